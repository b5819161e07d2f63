/* layer_dense.c -- Dense: fully connected, over the last axis */
#include "frontend/build.h"

#include <string.h>

static bool dense_shape(Model *m, Layer *l, const IrType *in)
{
	int64_t dim[IR_MAX_RANK], units = val_int(l->arg, "units");
	for (int i = 1; i < in->rank; i++)
		dim[i - 1] = in->dim[i];
	if (in->dim[in->rank - 1] > (INT64_C(1) << 36) / units) {
		snprintf(m->reason, sizeof m->reason, "input %s and %lld units: its kernel would be too large",
		         ir_shape_text(m->arena, in), (long long)units);
		return false;
	}
	dim[in->rank - 2] = units;
	return shape_set(m, l, in->rank - 1, dim);
}

static void dense_states(Model *m, Layer *l, const IrType *in)
{
	int32_t units = (int32_t)val_int(l->arg, "units"), kernel[2] = {in->dim[in->rank - 1], units};
	l->state[0] = layer_state(m, l, "kernel", ir_type(DT_F32, 2, kernel), val(l->arg, "kernel_initializer"),
	                          val(l->arg, "kernel_regularizer"), false);
	if (val_bool(l->arg, "use_bias"))
		l->state[1] = layer_state(m, l, "bias", ir_type(DT_F32, 1, &units), val(l->arg, "bias_initializer"),
		                          val(l->arg, "bias_regularizer"), false);
}

/* More than one axis of features: a 1x1 convolution over (N, 1, all other axes, features). */
static IrNode *dense_over_last(Build *b, const Layer *l, IrNode *x, IrNode *kernel)
{
	int32_t in = x->type.dim[x->type.rank - 1], out = kernel->type.dim[1];
	IrType flat = x->type;
	int32_t rows = (int32_t)(ir_row_elems(&x->type) / in);
	IrAttr attr = {.conv = {.size = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}, .groups = 1}};
	IrNode *operand[2] = {
		node_reshape(b, x, 4, (int32_t[]){IR_N, 1, rows, in}),
		node_reshape(b, kernel, 4, (int32_t[]){1, 1, in, out}),
	};
	IrNode *y = node_named(ir_node(b->e, NULL, OP_conv2d, l->loc, 2, operand, &attr, NULL), l->name);
	flat.dim[flat.rank - 1] = out;
	return node_reshape(b, y, flat.rank, flat.dim);
}

static IrNode *dense_emit(Build *b, const Layer *l, IrNode *const *in)
{
	IrNode *kernel = node_state(b, l->state[0]), *y;
	if (in[0]->type.rank > 2) {
		y = dense_over_last(b, l, in[0], kernel);
	} else {
		IrAttr attr = {.matmul = {false, false}};
		y = node_named(ir_node(b->e, NULL, OP_matmul, l->loc, 2, (IrNode *[]){in[0], kernel}, &attr, NULL), l->name);
	}
	if (l->state[1])
		y = node_named(node2(b, OP_add, y, node_state(b, l->state[1])), arena_printf(b->m->arena, "%s.bias", l->name));
	return layer_activation(b, l, y);
}

const LayerKind layer_dense_kinds[] = {
	{"Dense", 1, 1, 0, dense_shape, dense_states, dense_emit},
};
const int layer_ndense = COUNT(layer_dense_kinds);

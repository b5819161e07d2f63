/* layer_dense.c -- Dense, BatchNormalization, and the layers that only change the shape */
#include "frontend/build.h"

#include <string.h>

/* ---- Dense: over the last axis ---- */

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
	int32_t units = l->out.dim[l->out.rank - 1], kernel[2] = {in->dim[in->rank - 1], units};
	l->state[0] = layer_state(m, l, "kernel", ir_type(DT_F32, 2, kernel), val(l->arg, "kernel_initializer"),
	                          val(l->arg, "kernel_regularizer"), false);
	if (val_bool(l->arg, "use_bias"))
		l->state[1] = layer_state(m, l, "bias", ir_type(DT_F32, 1, &units), val(l->arg, "bias_initializer"),
		                          val(l->arg, "bias_regularizer"), false);
}

/* More than one axis of features: a 1x1 convolution over (N, 1, all other axes, features). */
static IrNode *dense_over_last(Build *b, const Layer *l, IrNode *x, IrNode *kernel)
{
	int32_t in = x->type.dim[x->type.rank - 1], out = l->out.dim[l->out.rank - 1];
	int32_t rows = (int32_t)(ir_row_elems(&x->type) / in);
	IrAttr attr = {.conv = {.size = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}, .groups = 1}};
	IrNode *operand[2] = {
		node_reshape(b, x, 4, (int32_t[]){IR_N, 1, rows, in}),
		node_reshape(b, kernel, 4, (int32_t[]){1, 1, in, out}),
	};
	IrNode *y = node_named(ir_node(b->e, NULL, OP_conv2d, l->loc, 2, operand, &attr, NULL), l->name);
	return node_reshape(b, y, l->out.rank, l->out.dim);
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

/* ---- BatchNormalization: keras/src/layers/normalization/batch_normalization.py ---- */

enum { GAMMA, BETA, MOVING_MEAN, MOVING_VARIANCE };

static bool norm_shape(Model *m, Layer *l, const IrType *in)
{
	int64_t axis = val_int(l->arg, "axis");
	if (axis != -1 && axis != in->rank - 1) {
		snprintf(m->reason, sizeof m->reason, "input %s: only the last axis can be normalized yet; axis is %lld",
		         ir_shape_text(m->arena, in), (long long)axis);
		return false;
	}
	l->out = *in;
	return true;
}

static void norm_states(Model *m, Layer *l, const IrType *in)
{
	IrType type = ir_type(DT_F32, 1, &in->dim[in->rank - 1]);
	const Val *none = &(Val){0}, *a = l->arg;
	if (val_bool(a, "scale"))
		l->state[GAMMA] = layer_state(m, l, "gamma", type, val(a, "gamma_initializer"), val(a, "gamma_regularizer"), false);
	if (val_bool(a, "center"))
		l->state[BETA] = layer_state(m, l, "beta", type, val(a, "beta_initializer"), val(a, "beta_regularizer"), false);
	l->state[MOVING_MEAN] = layer_state(m, l, "moving_mean", type, val(a, "moving_mean_initializer"), none, true);
	l->state[MOVING_VARIANCE] = layer_state(m, l, "moving_variance", type, val(a, "moving_variance_initializer"), none,
	                                        true);
}

/* Mean over all axes but the last, N included: N is known to the program only as 1/N. */
static IrNode *channel_mean(Build *b, IrNode *x)
{
	int rank = x->type.rank;
	double cells = (double)ir_row_elems(&x->type) / x->type.dim[rank - 1];
	IrNode *sum = node_reduce(b, OP_sum, x, (1u << (rank - 1)) - 1, false);
	return node2(b, OP_mul, node_scaled(b, sum, 1 / cells), ir_scalar(b->e, b->loc, SC_INV_N, 0));
}

/* moving = moving * momentum + batch * (1 - momentum) */
static void update_moving(Build *b, const Layer *l, IrState *moving, IrNode *batch)
{
	double momentum = val_number(l->arg, "momentum");
	IrNode *next = node2(b, OP_add, node_scaled(b, node_state(b, moving), momentum), node_scaled(b, batch, 1 - momentum));
	b->update = arena_grow(b->m->arena, b->update, (size_t)b->nupdates, (size_t)b->nupdates + 1, sizeof *b->update);
	b->update[b->nupdates++] = (IrRoot){.kind = ROOT_UPDATE, .name = moving->name, .value = next, .state = moving};
}

static IrNode *norm_emit(Build *b, const Layer *l, IrNode *const *in)
{
	IrNode *x = in[0], *mean, *variance, *centred;
	if (b->training && l->trainable) {
		mean = channel_mean(b, x);
		centred = node2(b, OP_sub, x, mean);
		variance = channel_mean(b, node2(b, OP_mul, centred, centred));
		update_moving(b, l, l->state[MOVING_MEAN], mean);
		update_moving(b, l, l->state[MOVING_VARIANCE], variance);
	} else {
		mean = node_state(b, l->state[MOVING_MEAN]);
		variance = node_state(b, l->state[MOVING_VARIANCE]);
		centred = node2(b, OP_sub, x, mean);
	}
	IrNode *scale = node1(b, OP_rsqrt, node2(b, OP_add, variance, node_k(b, val_number(l->arg, "epsilon"))));
	if (l->state[GAMMA])
		scale = node2(b, OP_mul, scale, node_state(b, l->state[GAMMA]));
	IrNode *y = node2(b, OP_mul, centred, scale);
	return l->state[BETA] ? node2(b, OP_add, y, node_state(b, l->state[BETA])) : y;
}

/* ---- shape ---- */

static bool flatten_shape(Model *m, Layer *l, const IrType *in)
{
	int64_t all = ir_row_elems(in);
	return shape_set(m, l, 1, &all);
}

static bool reshape_shape(Model *m, Layer *l, const IrType *in)
{
	const Val *target = val(l->arg, "target_shape");
	int64_t dim[IR_MAX_RANK], known = 1, all = ir_row_elems(in);
	int open = -1, n = target->n;
	for (int i = 0; i < n && n < IR_MAX_RANK; i++) {
		dim[i] = target->item[i].i;
		if (dim[i] == -1 && open < 0)
			open = i;
		else if (dim[i] < 1 || __builtin_mul_overflow(known, dim[i], &known))
			known = 0, n = IR_MAX_RANK;
	}
	if (n == 0 || n >= IR_MAX_RANK || known == 0 || (open < 0 ? known != all : all % known != 0)) {
		snprintf(m->reason, sizeof m->reason, "input %s has %lld elements; target_shape does not",
		         ir_shape_text(m->arena, in), (long long)all);
		return false;
	}
	if (open >= 0)
		dim[open] = all / known;
	return shape_set(m, l, n, dim);
}

static IrNode *reshape_emit(Build *b, const Layer *l, IrNode *const *in)
{
	return node_reshape(b, in[0], l->out.rank, l->out.dim);
}

const LayerKind layer_dense_kinds[] = {
	{"Dense", 1, 1, dense_shape, dense_states, dense_emit},
	{"BatchNormalization", 1, 1, norm_shape, norm_states, norm_emit},
	{"Flatten", 1, 1, flatten_shape, NULL, reshape_emit},
	{"Reshape", 1, 1, reshape_shape, NULL, reshape_emit},
};
const int layer_ndense = COUNT(layer_dense_kinds);

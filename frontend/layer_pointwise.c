/* layer_pointwise.c -- layers that keep the shape: activations and what is like them */
#include "frontend/build.h"

#include <string.h>

bool shape_same(Model *m, Layer *l, const IrType *in)
{
	(void)m;
	l->out = *in;
	return true;
}

static bool softmax_shape(Model *m, Layer *l, const IrType *in)
{
	const int64_t given = val_int(l->arg, "axis"), axis = given < 0 ? given + in->rank : given;
	l->out = *in;
	if (axis >= 1 && axis < in->rank)
		return true;
	snprintf(m->reason, sizeof m->reason, "input %s has no axis %lld for a softmax", ir_shape_text(m->arena, in),
	         (long long)given);
	return false;
}

static IrNode *rescaling_emit(Build *b, const Layer *l, IrNode *const *in)
{
	double offset = val_number(l->arg, "offset");
	IrNode *y = node_scaled(b, in[0], val_number(l->arg, "scale"));
	return offset == 0.0 ? y : node2(b, OP_add, y, node_k(b, offset));
}

static IrNode *activation_layer_emit(Build *b, const Layer *l, IrNode *const *in)
{
	return activation_emit(b, val(l->arg, "activation"), in[0]);
}

static IrNode *relu_emit(Build *b, const Layer *l, IrNode *const *in)
{
	return activation_relu(b, in[0], val_number(l->arg, "negative_slope"), val(l->arg, "max_value"),
	                       val_number(l->arg, "threshold"));
}

static IrNode *leaky_emit(Build *b, const Layer *l, IrNode *const *in)
{
	return activation_relu(b, in[0], val_number(l->arg, "negative_slope"), &(Val){0}, 0);
}

static IrNode *elu_emit(Build *b, const Layer *l, IrNode *const *in)
{
	return activation_elu(b, in[0], val_number(l->arg, "alpha"));
}

/* The op works on the last axis: another one changes places with it before and after. */
static IrNode *softmax_emit(Build *b, const Layer *l, IrNode *const *in)
{
	const int64_t given = val_int(l->arg, "axis");
	const int last = in[0]->type.rank - 1, axis = (int)(given < 0 ? given + last + 1 : given);
	int32_t perm[IR_MAX_RANK] = {0, 1, 2, 3, 4, 5};
	if (axis == last) {
		b->logits = in[0];
		return b->logits_of = node1(b, OP_softmax, in[0]);
	}
	perm[axis] = last;
	perm[last] = axis;
	return node_transpose(b, node1(b, OP_softmax, node_transpose(b, in[0], perm)), perm);
}

static IrNode *identity_emit(Build *b, const Layer *l, IrNode *const *in)
{
	(void)b, (void)l;
	return in[0];
}

/* ---- PReLU: alpha has the shape of a sample, 1 along shared axes ---- */

static bool prelu_shape(Model *m, Layer *l, const IrType *in)
{
	const Val *shared = val(l->arg, "shared_axes");
	l->out = *in;
	for (int i = 0; shared->kind == VAL_LIST && i < shared->n; i++) {
		if (shared->item[i].i >= in->rank) {
			snprintf(m->reason, sizeof m->reason, "input %s has no axis %lld to share alpha along",
			         ir_shape_text(m->arena, in), (long long)shared->item[i].i);
			return false;
		}
	}
	return true;
}

static void prelu_states(Model *m, Layer *l, const IrType *in)
{
	const Val *shared = val(l->arg, "shared_axes");
	int32_t dim[IR_MAX_RANK];
	for (int i = 1; i < in->rank; i++)
		dim[i - 1] = in->dim[i];
	for (int i = 0; shared->kind == VAL_LIST && i < shared->n; i++)
		dim[shared->item[i].i - 1] = 1;
	l->state[0] = layer_state(m, l, "alpha", ir_type(DT_F32, in->rank - 1, dim), val(l->arg, "alpha_initializer"),
	                          val(l->arg, "alpha_regularizer"), false);
}

/* relu(x) - alpha * relu(-x), as keras/src/layers/activations/prelu.py */
static IrNode *prelu_emit(Build *b, const Layer *l, IrNode *const *in)
{
	IrNode *below = node2(b, OP_mul, node_state(b, l->state[0]), node1(b, OP_relu, node1(b, OP_neg, in[0])));
	return node2(b, OP_sub, node1(b, OP_relu, in[0]), below);
}

const LayerKind layer_pointwise_kinds[] = {
	{"Rescaling", 1, 1, 0, shape_same, NULL, rescaling_emit},
	{"Shared", 1, 64, 0, NULL, NULL, NULL}, /* becomes the kind of the layer that it uses */
	{"Identity", 1, 1, 0, shape_same, NULL, identity_emit},
	{"Activation", 1, 1, 0, shape_same, NULL, activation_layer_emit},
	{"ReLU", 1, 1, 0, shape_same, NULL, relu_emit},
	{"LeakyReLU", 1, 1, 0, shape_same, NULL, leaky_emit},
	{"PReLU", 1, 1, 0, prelu_shape, prelu_states, prelu_emit},
	{"ELU", 1, 1, 0, shape_same, NULL, elu_emit},
	{"Softmax", 1, 1, 0, softmax_shape, NULL, softmax_emit},
};
const int layer_npointwise = COUNT(layer_pointwise_kinds);

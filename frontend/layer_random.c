/* layer_random.c -- layers that are random while training, and do nothing else
 *
 * Each has streams of its own; draws depend on seed, step, row and element only. Formulas: keras/src/layers/regularization/.
 */
#include "frontend/build.h"

#include <math.h>

static void two_streams(Model *m, Layer *l, const IrType *in)
{
	(void)in;
	l->stream = m->module->next_stream;
	m->module->next_stream += 2;
}

static void dropout_states(Model *m, Layer *l, const IrType *in)
{
	(void)in;
	l->stream = m->module->next_stream++;
}

/* Dropout where all elements with the same `draw` go together. */
static IrNode *dropped(Build *b, const Layer *l, IrNode *const *in, const IrType *shape)
{
	double rate = val_number(l->arg, "rate");
	if (!b->training || rate == 0.0)
		return in[0];
	IrNode *draw = node_random(b, NULL, l->stream, shape->rank, shape->dim);
	IrNode *kept = node2(b, OP_lt, draw, node_k(b, 1 - rate));
	return node_select(b, kept, node_scaled(b, in[0], 1 / (1 - rate)), node_k(b, 0));
}

/* The shape of the draws: that of the input, with 1 where `noise_shape` says so. */
static bool dropout_shape(Model *m, Layer *l, const IrType *in)
{
	const Val *noise = val(l->arg, "noise_shape");
	l->out = *in;
	if (noise->kind != VAL_LIST)
		return true;
	bool fits = noise->n == in->rank && noise->item[0].i == -1;
	for (int i = 1; fits && i < noise->n; i++)
		fits = noise->item[i].i == -1 || noise->item[i].i == 1 || noise->item[i].i == in->dim[i];
	if (!fits)
		snprintf(m->reason, sizeof m->reason, "input %s: noise_shape has as many entries, -1 for the samples, then 1 or -1",
		         ir_shape_text(m->arena, in));
	return fits;
}

static IrNode *dropout_emit(Build *b, const Layer *l, IrNode *const *in)
{
	const Val *noise = val(l->arg, "noise_shape");
	IrType shape = in[0]->type;
	for (int i = 1; noise->kind == VAL_LIST && i < noise->n; i++)
		shape.dim[i] = noise->item[i].i == 1 ? 1 : shape.dim[i];
	return dropped(b, l, in, &shape);
}

/* One draw a channel of a sample. */
static IrNode *spatial_emit(Build *b, const Layer *l, IrNode *const *in)
{
	IrType shape = in[0]->type;
	for (int i = 1; i < shape.rank - 1; i++)
		shape.dim[i] = 1;
	return dropped(b, l, in, &shape);
}

/* What is dropped becomes selu's value at minus infinity; scale and offset restore mean 0 and variance 1. */
static IrNode *alpha_emit(Build *b, const Layer *l, IrNode *const *in)
{
	const double rate = val_number(l->arg, "rate"), low = -1.6732632423543772 * 1.0507009873554805;
	if (!b->training || rate == 0.0)
		return in[0];
	const double scale = 1 / sqrt((1 - rate) * (1 + rate * low * low));
	IrNode *draw = node_random(b, NULL, l->stream, in[0]->type.rank, in[0]->type.dim);
	IrNode *mixed = node_select(b, node2(b, OP_lt, draw, node_k(b, 1 - rate)), in[0], node_k(b, low));
	return node2(b, OP_add, node_scaled(b, mixed, scale), node_k(b, -scale * low * rate));
}

/* Standard normal numbers of x's shape: Box & Muller 1958. */
static IrNode *normal(Build *b, const Layer *l, const IrNode *x)
{
	IrNode *u = node_random(b, NULL, l->stream, x->type.rank, x->type.dim);
	IrNode *v = node_random(b, NULL, l->stream + 1, x->type.rank, x->type.dim);
	IrNode *r = node1(b, OP_sqrt, node_scaled(b, node1(b, OP_log, node2(b, OP_sub, node_k(b, 1), u)), -2));
	return node2(b, OP_mul, r, node1(b, OP_cos, node_scaled(b, v, 2 * M_PI)));
}

static IrNode *noise_emit(Build *b, const Layer *l, IrNode *const *in)
{
	const double deviation = val_number(l->arg, "stddev");
	if (!b->training || deviation == 0.0)
		return in[0];
	return node2(b, OP_add, in[0], node_scaled(b, normal(b, l, in[0]), deviation));
}

static IrNode *gaussian_emit(Build *b, const Layer *l, IrNode *const *in)
{
	const double rate = val_number(l->arg, "rate");
	if (!b->training || rate == 0.0)
		return in[0];
	IrNode *factor = node2(b, OP_add, node_scaled(b, normal(b, l, in[0]), sqrt(rate / (1 - rate))), node_k(b, 1));
	return node2(b, OP_mul, in[0], factor);
}

const LayerKind layer_random_kinds[] = {
	{"Dropout", 1, 1, 0, dropout_shape, dropout_states, dropout_emit},
	{"SpatialDropout1D", 1, 1, 1, shape_same, dropout_states, spatial_emit},
	{"SpatialDropout2D", 1, 1, 2, shape_same, dropout_states, spatial_emit},
	{"SpatialDropout3D", 1, 1, 3, shape_same, dropout_states, spatial_emit},
	{"AlphaDropout", 1, 1, 0, shape_same, dropout_states, alpha_emit},
	{"GaussianDropout", 1, 1, 0, shape_same, two_streams, gaussian_emit},
	{"GaussianNoise", 1, 1, 0, shape_same, two_streams, noise_emit},
};
const int layer_nrandom = COUNT(layer_random_kinds);

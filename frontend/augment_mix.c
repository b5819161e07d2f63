/* augment_mix.c -- augmentation layers that mix each picture of a batch, and what is said of it, with another
 *
 * The other one is the next of the batch, whose order is random; the last takes the first. It comes in by ports of its own
 * (x_next, id_next, and for each target NAME_next), so every sample is still made of its own rows, and the batch of a step may be
 * cut up as before. Keras draws a permutation of the batch instead; pairs are alike. Formulas:
 * keras/src/layers/preprocessing/image_preprocessing/ (mix_up.py, cut_mix.py).
 */
#include "frontend/augment.h"

#include <string.h>

const Val *augment_mixing(const Model *m)
{
	const Val *list = m->data ? val(m->data, "augment") : NULL;
	if (!list || list->kind != VAL_LIST || list->n == 0)
		return NULL;
	const Val *last = &list->item[list->n - 1];
	return augment_is_mixing(last) ? last : NULL;
}

bool augment_is_mixing(const Val *v)
{
	return strcmp(v->section->name, "MixUp") == 0 || strcmp(v->section->name, "CutMix") == 0;
}

/* A draw of Beta(alpha, alpha), in closed form (Devroye, Random variate generation in one line of code, 1996): with uniform u, v,
 * q = u^(1/alpha) and c = cos(2 pi v), it is (1 + c sqrt((1 - q) / (q + (1 - q) c^2))) / 2. */
static IrNode *beta(Build *b, IrNode *alpha)
{
	IrNode *one = node_k(b, 1), *u = node2(b, OP_sub, one, pictures_draw(b, 0, 1));
	IrNode *c = node1(b, OP_cos, pictures_draw(b, 0, 6.283185307179586));
	IrNode *q = node1(b, OP_exp, node2(b, OP_div, node1(b, OP_log, u), alpha)), *rest = node2(b, OP_sub, one, q);
	IrNode *under = node2(b, OP_add, q, node2(b, OP_mul, rest, node2(b, OP_mul, c, c)));
	IrNode *root = node1(b, OP_sqrt, node2(b, OP_div, rest, node2(b, OP_max, under, node_k(b, 1e-30))));
	return node_scaled(b, node2(b, OP_add, one, node2(b, OP_mul, c, root)), 0.5);
}

/* weight * a + (1 - weight) * other */
static IrNode *blend(Build *b, IrNode *a, IrNode *other, IrNode *weight)
{
	IrNode *rest = node2(b, OP_sub, node_k(b, 1), weight);
	return node2(b, OP_add, node2(b, OP_mul, weight, a), node2(b, OP_mul, rest, other));
}

/* Targets as floats, so that they can be mixed; masks by place. */
static void mix_targets(Build *b, IrNode *weight, IrNode *inside)
{
	const Model *m = b->m;
	for (int k = 0; k < m->nheads; k++) {
		IrNode *y[2] = {b->target[k], b->target_next[k]};
		if (m->target == TARGET_MASK) {
			inside = node_reshape(b, inside, 3, (int32_t[]){IR_N, m->input.dim[1], m->input.dim[2]});
			b->target[k] = node_select(b, inside, y[1], y[0]);
			continue;
		}
		for (int i = 0; i < 2; i++) {
			b->head = &m->head[k];
			b->y = y[i];
			y[i] = loss_target(b);
		}
		b->target[k] = blend(b, y[0], y[1], node_reshape(b, weight, 2, (int32_t[]){IR_N, 1}));
	}
}

IrNode *augment_mix(Build *b, const Val *v, IrNode *x, IrNode *other)
{
	if (strcmp(v->section->name, "MixUp") == 0) {
		IrNode *weight = beta(b, node_k(b, val_number(v, "alpha")));
		mix_targets(b, weight, NULL);
		return blend(b, x, other, weight);
	}
	Range factor = augment_range(val(v, "factor"), 0);
	IrNode *weight = beta(b, pictures_draw(b, factor.lo + 1e-6, factor.hi + 1e-6));
	IrNode *side = node1(b, OP_sqrt, node2(b, OP_sub, node_k(b, 1), weight));
	IrNode *wide = augment_between(b, x->type.dim[2], 2, side), *high = augment_between(b, x->type.dim[1], 1, side);
	IrNode *inside = node2(b, OP_and, wide, high);
	mix_targets(b, weight, inside);
	return node_select(b, inside, other, x);
}

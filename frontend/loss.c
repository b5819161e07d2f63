/* loss.c -- losses on top of the outputs, and the labels that they compare with
 *
 * Formulas: keras/src/losses/losses.py and keras/src/backend/tensorflow/nn.py. Where the model ends in sigmoid or softmax
 * the loss is computed from their operand, as Keras does (_keras_logits).
 */
#include "frontend/build.h"

#include <stdlib.h>
#include <string.h>

static const double tiny = 1e-7; /* keras.config.epsilon() */

/* ---- targets ---- */

/* Class indices, one for each place that has an output of its own; else what the output is. */
IrType loss_target_type(const Model *m, const Head *h)
{
	IrType t = *head_type(m, h);
	if (m->target == TARGET_CLASS)
		return ir_type(DT_I32, 1, (int32_t[]){IR_N});
	if (m->target == TARGET_MASK)
		return ir_type(DT_U8, 3, m->input.dim);
	if (m->target == TARGET_ARRAY && h->kind == LOSS_SPARSE)
		return ir_type(DT_I32, t.rank - 1, t.dim);
	return t;
}

IrNode *loss_output(const Build *b)
{
	return b->value[b->head->layer];
}

static int32_t classes_of(const Build *b)
{
	return head_classes(b->m, b->head);
}

IrNode *loss_one_hot(Build *b)
{
	IrType t = b->y->type;
	t.dim[t.rank++] = 1;
	IrNode *y = node_reshape(b, b->y, t.rank, t.dim);
	return node2(b, OP_eq, y, node_iota(b, classes_of(b)));
}

IrNode *loss_target(Build *b)
{
	if (b->y->type.dtype != DT_I32)
		return b->y;
	if (classes_of(b) > 1)
		return node_cast(b, loss_one_hot(b), DT_F32);
	const IrType *t = head_type(b->m, b->head);
	return node_reshape(b, node_cast(b, b->y, DT_F32), t->rank, t->dim);
}

IrNode *loss_valid(Build *b)
{
	if (!b->head->ignores || b->y->type.dtype != DT_I32)
		return NULL;
	return node_select(b, node2(b, OP_eq, b->y, node_int(b, b->head->ignore)), node_k(b, 0), node_k(b, 1));
}

/* ---- formulas; each gives f32[N] ---- */

/* Any activation that has logits lends them, as in Keras' _get_logits: even sigmoid to a categorical loss. */
static IrNode *find_logits(Build *b, bool from_logits)
{
	return b->z ? b->z : from_logits ? loss_output(b) : NULL;
}

static IrNode *class_weights(Build *b, IrType type)
{
	Model *m = b->m;
	if (!m->class_weight) {
		m->class_weight = ir_state_new(m->module, "loss/class_weight", type, STATE_MOMENT, b->loc);
		m->class_weight->init = INIT_ONES;
	}
	return node_state(b, m->class_weight);
}

/* Where a sample has any number of classes each answer has its weight, f32[2,C]: of no, of yes. */
static IrNode *answers_weighed(Build *b, IrNode *each, IrNode *t)
{
	const int32_t classes = b->m->weighted_classes;
	if (!b->weighs || !classes || b->m->target != TARGET_CLASSES)
		return each;
	IrNode *all = class_weights(b, ir_type(DT_F32, 2, (int32_t[]){2, classes}));
	IrNode *no = node_cut(b, OP_slice, all, 0, 0, 1), *yes = node_cut(b, OP_slice, all, 0, 1, 1);
	return node2(b, OP_mul, each, node_select(b, node2(b, OP_lt, node_k(b, 0.5), t), yes, no));
}

/* mean over the last axis and all others but N */
static IrNode *binary(Build *b, bool from_logits, double smoothing)
{
	IrNode *t = loss_target(b), *z = find_logits(b, from_logits), *hard = t;
	if (smoothing != 0)
		t = node2(b, OP_add, node_scaled(b, t, 1 - smoothing), node_k(b, 0.5 * smoothing));
	if (z) { /* max(z, 0) - z t + log(1 + exp(-|z|)) */
		IrNode *rest = activation_softplus(b, z);
		return node_row_mean(b, answers_weighed(b, node2(b, OP_sub, rest, node2(b, OP_mul, z, t)), hard));
	}
	IrNode *p = node_clip(b, loss_output(b), tiny, 1 - tiny), *one = node_k(b, 1);
	IrNode *yes = node2(b, OP_mul, t, node1(b, OP_log, p));
	IrNode *no = node2(b, OP_mul, node2(b, OP_sub, one, t), node1(b, OP_log, node2(b, OP_sub, one, p)));
	return node_row_mean(b, answers_weighed(b, node1(b, OP_neg, node2(b, OP_add, yes, no)), hard));
}

/* -sum over the classes, then the mean over all places; of those that count alone, and of the whole batch: what Keras makes of
 * a loss that carries a mask. */
static IrNode *minus_sum_last(Build *b, IrNode *a)
{
	IrNode *each = node1(b, OP_neg, node_reduce(b, OP_sum, a, 1u << (a->type.rank - 1), false)), *valid = loss_valid(b);
	if (!valid)
		return node_row_mean(b, each);
	IrNode *inv_n = ir_scalar(b->e, b->loc, SC_INV_N, 0);
	uint32_t places = (1u << each->type.rank) - 1;
	IrNode *share = node2(b, OP_mul, node_reduce(b, OP_sum, valid, places, false), inv_n); /* a sample's mean number */
	IrNode *sums = node2(b, OP_mul, each, valid);
	if (each->type.rank > 1)
		sums = node_reduce(b, OP_sum, sums, places & ~1u, false);
	return node2(b, OP_div, sums, node2(b, OP_max, share, node_k(b, tiny)));
}

static IrNode *categorical(Build *b, bool from_logits, double smoothing)
{
	IrNode *t = loss_target(b), *z = find_logits(b, from_logits), *log_p;
	if (smoothing != 0)
		t = node2(b, OP_add, node_scaled(b, t, 1 - smoothing), node_k(b, smoothing / classes_of(b)));
	if (z) {
		log_p = node1(b, OP_log_softmax, z);
	} else {
		IrNode *p = loss_output(b), *sum = node_reduce(b, OP_sum, p, 1u << (p->type.rank - 1), true);
		log_p = node1(b, OP_log, node_clip(b, node2(b, OP_div, p, sum), tiny, 1 - tiny));
	}
	return minus_sum_last(b, node2(b, OP_mul, t, log_p));
}

static IrNode *sparse(Build *b, bool from_logits)
{
	IrNode *z = find_logits(b, from_logits);
	if (!z)
		z = node1(b, OP_log, node_clip(b, loss_output(b), tiny, 1 - tiny));
	if (b->y->type.dtype != DT_I32) /* mixed */
		return minus_sum_last(b, node2(b, OP_mul, b->y, node1(b, OP_log_softmax, z)));
	return minus_sum_last(b, node_select(b, loss_one_hot(b), node1(b, OP_log_softmax, z), node_k(b, 0)));
}

static IrNode *squared(Build *b)
{
	IrNode *difference = node2(b, OP_sub, loss_output(b), loss_target(b));
	return node_row_mean(b, node2(b, OP_mul, difference, difference));
}

IrNode *loss_rows(Build *b, LossKind kind, bool from_logits, double smoothing)
{
	switch (kind) {
	case LOSS_BINARY: return binary(b, from_logits, smoothing);
	case LOSS_CATEGORICAL: return categorical(b, from_logits, smoothing);
	case LOSS_SPARSE: return sparse(b, from_logits);
	case LOSS_SQUARED: return squared(b);
	}
	ICE("loss kind %d", (int)kind);
}

/* Index of the class that each sample belongs to, as Keras' data adapters see it. */
static IrNode *class_of(Build *b) /* i32[N] */
{
	IrNode *y = b->y;
	if (y->type.dtype == DT_I32)
		return y;
	if (classes_of(b) > 1)
		return node_reduce(b, OP_argmax, y, 1u << 1, false);
	IrNode *near = node1(b, OP_floor, node2(b, OP_add, y, node_k(b, 0.5)));
	return node_reshape(b, node_cast(b, near, DT_I32), 1, (int32_t[]){IR_N});
}

IrNode *loss_class_weight(Build *b)
{
	Model *m = b->m;
	if (!m->weighted_classes || m->target == TARGET_CLASSES)
		return NULL;
	IrNode *weights = class_weights(b, ir_type(DT_F32, 1, &m->weighted_classes));
	IrNode *own = node2(b, OP_eq, node_reshape(b, class_of(b), 2, (int32_t[]){IR_N, 1}), node_iota(b, m->weighted_classes));
	IrNode *weight = node_select(b, own, weights, node_k(b, 0));
	return node_reduce(b, OP_sum, weight, 2, false);
}

static IrNode *add_penalty(Build *b, IrNode *sum, IrNode *each, const IrState *s, double factor)
{
	IrNode *part = node_scaled(b, node_reduce(b, OP_sum, each, (1u << s->type.rank) - 1, false), factor);
	return sum ? node2(b, OP_add, sum, part) : part;
}

IrNode *loss_penalty(Build *b)
{
	IrNode *sum = NULL;
	Loc loss = b->loc;
	IR_EACH_STATE(b->m->module, s) {
		if (!s->trainable || (s->l1 == 0 && s->l2 == 0))
			continue;
		b->loc = s->loc;
		IrNode *w = node_state(b, s);
		if (s->l1 != 0)
			sum = add_penalty(b, sum, node1(b, OP_abs, w), s, s->l1);
		if (s->l2 != 0)
			sum = add_penalty(b, sum, node2(b, OP_mul, w, w), s, s->l2);
	}
	b->loc = loss;
	return sum;
}

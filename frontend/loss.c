/* loss.c -- losses on top of the outputs, and the labels that they compare with
 *
 * Formulas: keras/src/losses/losses.py and keras/src/backend/tensorflow/nn.py. Where the model ends in sigmoid or softmax
 * the loss is computed from their operand, as Keras does (_keras_logits).
 */
#include "frontend/build.h"

#include <stdlib.h>
#include <string.h>

static const double tiny = 1e-7; /* keras.config.epsilon() */

static const IrType *output_type(const Model *m)
{
	return &m->layer[m->output].out;
}

static int32_t output_classes(const Model *m)
{
	const IrType *t = output_type(m);
	return t->dim[t->rank - 1];
}

/* ---- labels ---- */

IrType loss_label_type(const Model *m)
{
	if (m->class_labels || m->loss == LOSS_SPARSE)
		return ir_type(DT_I32, 1, (int32_t[]){IR_N});
	return *output_type(m);
}

bool loss_one_hot(const Model *m)
{
	return loss_label_type(m).dtype == DT_I32 && output_classes(m) > 1;
}

static IrNode *one_hot(Build *b) /* bool[N,C] */
{
	IrNode *y = node_reshape(b, b->y, 2, (int32_t[]){IR_N, 1});
	return node2(b, OP_eq, y, node_iota(b, output_classes(b->m)));
}

IrNode *loss_target(Build *b)
{
	if (loss_one_hot(b->m))
		return node_cast(b, one_hot(b), DT_F32);
	if (b->y->type.dtype == DT_I32)
		return node_reshape(b, node_cast(b, b->y, DT_F32), 2, (int32_t[]){IR_N, 1});
	return b->y;
}

/* ---- formulas; each gives f32[N] ---- */

static IrNode *output(const Build *b)
{
	return b->value[b->m->output];
}

/* Any activation that has logits lends them, as in Keras' _get_logits: even sigmoid to a categorical loss. */
static IrNode *find_logits(Build *b, bool from_logits)
{
	return b->logits ? b->logits : from_logits ? output(b) : NULL;
}

/* mean over the last axis and all others but N */
static IrNode *binary(Build *b, bool from_logits, double smoothing)
{
	IrNode *t = loss_target(b), *z = find_logits(b, from_logits);
	if (smoothing != 0)
		t = node2(b, OP_add, node_scaled(b, t, 1 - smoothing), node_k(b, 0.5 * smoothing));
	if (z) { /* max(z, 0) - z t + log(1 + exp(-|z|)) */
		IrNode *rest = activation_softplus(b, z);
		return node_row_mean(b, node2(b, OP_sub, rest, node2(b, OP_mul, z, t)));
	}
	IrNode *p = node_clip(b, output(b), tiny, 1 - tiny), *one = node_k(b, 1);
	IrNode *yes = node2(b, OP_mul, t, node1(b, OP_log, p));
	IrNode *no = node2(b, OP_mul, node2(b, OP_sub, one, t), node1(b, OP_log, node2(b, OP_sub, one, p)));
	return node_row_mean(b, node1(b, OP_neg, node2(b, OP_add, yes, no)));
}

static IrNode *minus_sum_last(Build *b, IrNode *a)
{
	return node_row_mean(b, node1(b, OP_neg, node_reduce(b, OP_sum, a, 1u << (a->type.rank - 1), false)));
}

static IrNode *categorical(Build *b, bool from_logits, double smoothing)
{
	IrNode *t = loss_target(b), *z = find_logits(b, from_logits), *log_p;
	if (smoothing != 0)
		t = node2(b, OP_add, node_scaled(b, t, 1 - smoothing), node_k(b, smoothing / output_classes(b->m)));
	if (z) {
		log_p = node1(b, OP_log_softmax, z);
	} else {
		IrNode *p = output(b), *sum = node_reduce(b, OP_sum, p, 1u << (p->type.rank - 1), true);
		log_p = node1(b, OP_log, node_clip(b, node2(b, OP_div, p, sum), tiny, 1 - tiny));
	}
	return minus_sum_last(b, node2(b, OP_mul, t, log_p));
}

static IrNode *sparse(Build *b, bool from_logits)
{
	IrNode *z = find_logits(b, from_logits);
	if (!z)
		z = node1(b, OP_log, node_clip(b, output(b), tiny, 1 - tiny));
	return minus_sum_last(b, node_select(b, one_hot(b), node1(b, OP_log_softmax, z), node_k(b, 0)));
}

static IrNode *squared(Build *b)
{
	IrNode *difference = node2(b, OP_sub, output(b), loss_target(b));
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
	if (output_classes(b->m) > 1)
		return node_reduce(b, OP_argmax, y, 1u << 1, false);
	IrNode *near = node1(b, OP_floor, node2(b, OP_add, y, node_k(b, 0.5)));
	return node_reshape(b, node_cast(b, near, DT_I32), 1, (int32_t[]){IR_N});
}

IrNode *loss_class_weight(Build *b)
{
	Model *m = b->m;
	if (!m->weighted_classes)
		return NULL;
	IrType type = ir_type(DT_F32, 1, &m->weighted_classes);
	if (!m->class_weight) {
		m->class_weight = ir_state_new(m->module, "loss/class_weight", type, STATE_MOMENT, b->loc);
		m->class_weight->init = INIT_ONES;
	}
	IrNode *own = node2(b, OP_eq, node_reshape(b, class_of(b), 2, (int32_t[]){IR_N, 1}), node_iota(b, m->weighted_classes));
	IrNode *weight = node_select(b, own, node_state(b, m->class_weight), node_k(b, 0));
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

/* ---- checks ---- */

static bool wrong_units(Model *m, const char *why, const char *help)
{
	const Layer *last = &m->layer[m->output];
	diag_error(m->diag, last->loc, "'%s' has %d outputs; %s", last->name, output_classes(m), why);
	if (help)
		diag_note(m->diag, "help", "%s", help);
	return false;
}

static bool wrong_mode(Model *m, const Val *mode, const char *loss, const char *help)
{
	const Val *at = mode->given ? mode : val(m->train, "loss");
	diag_error(m->diag, at->loc, "%s does not go with label_mode: %s%s", loss, mode->s,
	           mode->given ? "" : " (the default)");
	diag_note(m->diag, "help", "%s", help);
	return false;
}

static bool check_class_labels(Model *m, const char *loss)
{
	const Val *mode = val(m->data, "label_mode");
	bool one_hot_mode = strcmp(mode->s, "categorical") == 0;
	int32_t classes = output_classes(m);
	if (output_type(m)->rank != 2)
		return diag_error(m->diag, m->layer[m->output].loc,
		                  "the output is %s; one row of numbers a sample is needed: add Flatten or pooling",
		                  ir_shape_text(m->arena, output_type(m)));
	if (m->loss == LOSS_CATEGORICAL && !one_hot_mode)
		return wrong_mode(m, mode, loss, "label_mode: categorical, or loss: sparse_categorical_crossentropy");
	if (m->loss == LOSS_SPARSE && one_hot_mode)
		return wrong_mode(m, mode, loss, "label_mode: int, or loss: categorical_crossentropy");
	if (m->loss == LOSS_BINARY && !one_hot_mode && classes != 1)
		return wrong_units(m, arena_printf(m->arena, "binary_crossentropy with label_mode: %s needs 1", mode->s),
		                   "Dense: {units: 1, activation: sigmoid}, or sparse_categorical_crossentropy with softmax");
	if (m->loss == LOSS_SQUARED && !one_hot_mode && classes != 1)
		return wrong_units(m, "with class indices as labels it needs 1", "label_mode: categorical");
	if ((m->loss == LOSS_CATEGORICAL || m->loss == LOSS_SPARSE || one_hot_mode) && classes < 2)
		return wrong_units(m, arena_printf(m->arena, "%s needs one for each class", loss),
		                   "Dense: {units: $num_classes, activation: softmax}, or label_mode: binary with "
		                   "binary_crossentropy");
	if (strcmp(mode->s, "binary") == 0 && m->num_classes > 0 && m->num_classes != 2)
		return diag_error(m->diag, mode->loc, "label_mode: binary is for 2 classes, not %lld", (long long)m->num_classes);
	if (classes == 1 && m->num_classes > 2 && m->loss == LOSS_BINARY)
		return wrong_units(m, arena_printf(m->arena, "there are %lld classes", (long long)m->num_classes), NULL);
	if (classes > 1 && m->num_classes > 0 && classes != m->num_classes)
		return wrong_units(m, arena_printf(m->arena, "there are %lld classes", (long long)m->num_classes),
		                   "units: $num_classes");
	return true;
}

static bool check_array_labels(Model *m, const char *loss)
{
	if (m->loss == LOSS_SPARSE && output_type(m)->rank != 2)
		return diag_error(m->diag, m->layer[m->output].loc, "%s over an output %s is not supported yet", loss,
		                  ir_shape_text(m->arena, output_type(m)));
	if ((m->loss == LOSS_CATEGORICAL || m->loss == LOSS_SPARSE) && output_classes(m) < 2)
		return wrong_units(m, arena_printf(m->arena, "%s needs one for each class", loss), NULL);
	return true;
}

/* A model that ends without the function that its loss expects trains, but on something else than was meant. */
static void warn_activation(Model *m, const Val *loss)
{
	static const char *const wanted[] = {"sigmoid", "softmax", "softmax"};
	const Layer *last = &m->layer[m->output];
	const char *name = last->kind->name, *function = strcmp(name, "Softmax") == 0 ? "softmax" : NULL;
	if (m->loss == LOSS_SQUARED)
		return;
	if (schema_field_index(last->arg->section, "activation") >= 0)
		function = val(last->arg, "activation")->section->name;
	if (m->from_logits && function && strcmp(function, wanted[m->loss]) == 0)
		diag_warning(m->diag, val(loss, "from_logits")->loc, "from_logits: true, but '%s' ends in %s already", last->name,
		             function);
	else if (!m->from_logits && function && strcmp(function, "linear") == 0)
		diag_warning(m->diag, last->loc, "'%s' has no activation; %s expects %s, or from_logits: true", last->name,
		             loss->section->name, wanted[m->loss]);
}

static bool read_smoothing(Model *m, const Val *loss)
{
	const Val *outer = val(m->train, "label_smoothing");
	bool takes = schema_field_index(loss->section, "label_smoothing") >= 0;
	const Val *inner = takes ? val(loss, "label_smoothing") : &(Val){0};
	if (outer->given && outer->x != 0 && !takes)
		return diag_error(m->diag, outer->key, "%s has no label_smoothing", loss->section->name);
	if (outer->given && inner->kind == VAL_NUMBER)
		return diag_error(m->diag, inner->key, "label_smoothing is given here and in train");
	m->label_smoothing = inner->kind == VAL_NUMBER ? inner->x : outer->x;
	return true;
}

/* Index of the class that key `v->s` names: -1 is reported. */
static int class_index(const Model *m, const Val *v, int32_t classes)
{
	size_t digits = strspn(v->s, "0123456789");
	long index = digits > 0 && digits < 10 && !v->s[digits] ? strtol(v->s, NULL, 10) : -1;
	for (int i = 0; i < m->module->nlabels; i++) {
		if (strcmp(m->module->labels[i], v->s) == 0)
			return i;
	}
	if (index >= 0 && index < classes)
		return (int)index;
	diag_error(m->diag, v->key, "class_weight: there is no class '%.60s'", v->s);
	if (m->module->nlabels)
		diag_note(m->diag, "help", "classes are those of data.class_names");
	else
		diag_note(m->diag, "help", "0 to %d, or names if data.class_names is given", classes - 1);
	return -1;
}

/* Rewrites the field as one weight for each class. */
static bool read_class_weight(Model *m)
{
	Val *given = (Val *)val(m->train, "class_weight");
	if (given->kind == VAL_UNSET)
		return true;
	int32_t classes = output_classes(m) > 1 ? output_classes(m) : 2;
	if (output_type(m)->rank != 2)
		return diag_error(m->diag, given->key, "class_weight needs one class a sample; the output is %s",
		                  ir_shape_text(m->arena, output_type(m)));
	m->weighted_classes = classes;
	if (given->kind != VAL_LIST)
		return true;
	Val *all = NEWN(m->arena, Val, classes);
	for (int32_t i = 0; i < classes; i++)
		all[i] = (Val){.kind = VAL_NUMBER, .x = 1, .s = arena_printf(m->arena, "%d", i), .field = given->field, .loc = given->loc};
	for (int i = 0; i < given->n; i++) {
		int index = class_index(m, &given->item[i], classes);
		if (index < 0)
			return false;
		if (all[index].given)
			return diag_error(m->diag, given->item[i].key, "class_weight: class %d is given twice", index);
		all[index].given = true;
		all[index].x = given->item[i].x;
	}
	given->item = all;
	given->n = classes;
	return true;
}

bool loss_check(Model *m)
{
	static const char *const names[] = {
		"binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy", "mean_squared_error",
	};
	const Val *loss = val(m->train, "loss");
	int kind = 0;
	while (strcmp(names[kind], loss->section->name) != 0)
		kind++;
	m->loss = (LossKind)kind;
	if (schema_field_index(loss->section, "axis") >= 0) {
		const Val *axis = val(loss, "axis");
		if (axis->i != -1 && axis->i != output_type(m)->rank - 1)
			return diag_error(m->diag, axis->loc, "another axis than the last is not supported yet");
		m->from_logits = val_bool(loss, "from_logits");
	}
	if (!read_smoothing(m, loss) || !read_class_weight(m))
		return false;
	bool ok = m->class_labels ? check_class_labels(m, loss->section->name) : check_array_labels(m, loss->section->name);
	if (ok)
		warn_activation(m, loss);
	return ok;
}

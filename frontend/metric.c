/* metric.c -- metrics as sums over samples
 *
 * Each gives f32[N] (a mean) or f32[N, count] (counts that the runtime turns into the number shown). Definitions:
 * keras/src/metrics/; `accuracy` picks by shape as keras/src/trainers/compile_utils.py does.
 */
#include "frontend/build.h"

#include <string.h>

enum { AUC_MOST_OUTPUTS = 4096 };

typedef struct Metric {
	const char *name;
	bool classes, one_row;  /* needs several outputs; needs outputs of rank 2 */
	IrMetricKind kind;
	IrNode *(*emit)(Build *b, const Val *v);
} Metric;

static int32_t last_dim(const IrNode *n)
{
	return n->type.dim[n->type.rank - 1];
}

static IrNode *as_float(Build *b, IrNode *n)
{
	return node_cast(b, n, DT_F32);
}

/* ---- accuracies ---- */

static IrNode *above(Build *b, IrNode *p, double threshold)
{
	return as_float(b, node2(b, OP_lt, node_k(b, threshold), p));
}

static IrNode *binary_accuracy_at(Build *b, double threshold)
{
	IrNode *right = node2(b, OP_eq, above(b, loss_output(b), threshold), loss_target(b));
	return node_row_mean(b, as_float(b, right));
}

static IrNode *binary_accuracy(Build *b, const Val *v)
{
	return binary_accuracy_at(b, val_number(v, "threshold"));
}

static IrNode *last_argmax(Build *b, IrNode *n)
{
	return node_reduce(b, OP_argmax, n, 1u << (n->type.rank - 1), false);
}

static IrNode *true_class(Build *b) /* i32[N, …] */
{
	return b->y->type.dtype == DT_I32 ? b->y : last_argmax(b, b->y);
}

static IrNode *categorical_accuracy(Build *b, const Val *v)
{
	(void)v;
	IrNode *right = node2(b, OP_eq, last_argmax(b, loss_output(b)), true_class(b));
	return node_row_mean(b, as_float(b, right));
}

static IrNode *accuracy(Build *b, const Val *v)
{
	return last_dim(loss_output(b)) == 1 ? binary_accuracy_at(b, 0.5) : categorical_accuracy(b, v);
}

/* bool[N, …, C]: the column that idx i32[N, …] names */
static IrNode *column(Build *b, IrNode *idx)
{
	IrType t = idx->type;
	t.dim[t.rank++] = 1;
	return node2(b, OP_eq, node_reshape(b, idx, t.rank, t.dim), node_iota(b, last_dim(loss_output(b))));
}

/* in_top_k: fewer than k outputs are larger than that of the true class. */
static IrNode *top_k(Build *b, const Val *v)
{
	IrNode *p = loss_output(b);
	IrNode *own = node_reduce(b, OP_sum, node_select(b, column(b, true_class(b)), p, node_k(b, 0)), 2, true);
	IrNode *larger = node_reduce(b, OP_sum, as_float(b, node2(b, OP_lt, own, p)), 2, false);
	return as_float(b, node2(b, OP_lt, larger, node_k(b, (double)val_int(v, "k"))));
}

/* ---- counts: tp fp fn tn ---- */

static IrNode *places_summed(Build *b, IrNode *n, bool classes_too)
{
	uint32_t places = (1u << (n->type.rank - 1)) - 2;
	n = places ? node_reduce(b, OP_sum, n, places, false) : n;
	return classes_too ? node_reduce(b, OP_sum, n, 2, true) : n;
}

/* yes, t: f32[N, …, C] of 0 and 1; those where valid (f32[N, …], NULL: all) is 1 count. Per class: f32[N, 4 C], class by class;
 * else all together: f32[N,4]. */
static IrNode *counts(Build *b, IrNode *yes, IrNode *t, IrNode *valid, bool per_class)
{
	IrNode *one = node_k(b, 1), *no = node2(b, OP_sub, one, yes), *f = node2(b, OP_sub, one, t);
	IrNode *part[4] = {node2(b, OP_mul, t, yes), node2(b, OP_mul, f, yes), node2(b, OP_mul, t, no),
	                   node2(b, OP_mul, f, no)};
	int32_t classes = last_dim(t);
	if (valid) {
		IrType cells = valid->type;
		cells.dim[cells.rank++] = 1;
		valid = node_reshape(b, valid, cells.rank, cells.dim);
	}
	for (int i = 0; i < 4; i++) {
		part[i] = places_summed(b, valid ? node2(b, OP_mul, part[i], valid) : part[i], !per_class);
		if (per_class)
			part[i] = node_reshape(b, part[i], 3, (int32_t[]){IR_N, classes, 1});
	}
	if (!per_class)
		return node_concat(b, part, 4, 1);
	return node_reshape(b, node_concat(b, part, 4, 2), 2, (int32_t[]){IR_N, 4 * classes});
}

static IrNode *flat(Build *b, IrNode *n)
{
	return node_reshape(b, n, 2, (int32_t[]){IR_N, (int32_t)ir_row_elems(&n->type)});
}

static IrNode *counts_above(Build *b, const Val *v)
{
	return counts(b, above(b, flat(b, loss_output(b)), val_number(v, "thresholds")), flat(b, loss_target(b)), NULL, false);
}

/* Yes-no answers, each by itself: one output, or a loss that takes them so. */
static bool independent(const Build *b)
{
	return last_dim(loss_output(b)) == 1 || b->head->kind == LOSS_BINARY;
}

static IrNode *decided(Build *b, const Val *v) /* f32 of the output's shape: 1 where the answer is yes */
{
	IrNode *p = loss_output(b);
	const Val *threshold = val(v, "threshold");
	if (threshold->kind == VAL_NUMBER)
		return above(b, p, threshold->x);
	return independent(b) ? above(b, p, 0.5) : as_float(b, column(b, last_argmax(b, p)));
}

static IrNode *f1(Build *b, const Val *v)
{
	bool micro = strcmp(val_string(v, "average"), "micro") == 0;
	return counts(b, decided(b, v), loss_target(b), loss_valid(b), !micro && last_dim(loss_output(b)) > 1);
}

static IrNode *iou(Build *b, const Val *v)
{
	const Val *ignored = val(v, "ignore_class");
	IrNode *valid = loss_valid(b), *t = loss_target(b), *yes = decided(b, v);
	if (ignored->kind == VAL_INT && b->y->type.dtype == DT_I32)
		valid = node_select(b, node2(b, OP_eq, b->y, node_int(b, (int32_t)ignored->i)), node_k(b, 0), node_k(b, 1));
	if (last_dim(t) == 1) { /* the other class is what this one is not */
		IrNode *one = node_k(b, 1), *no = node2(b, OP_sub, one, yes), *f = node2(b, OP_sub, one, t);
		yes = node_concat(b, (IrNode *[]){no, yes}, 2, yes->type.rank - 1);
		t = node_concat(b, (IrNode *[]){f, t}, 2, t->type.rank - 1);
	}
	return counts(b, yes, t, valid, true);
}

/* Histogram of the scores of positives, then of negatives. A score on a threshold is not above it: bin ceil(199 p) - 1. */
static IrNode *auc(Build *b, const Val *v)
{
	const bool each = val_bool(v, "multi_label");
	IrNode *p = flat(b, loss_output(b)), *t = flat(b, loss_target(b));
	int32_t n = last_dim(p), dim[3] = {IR_N, n, 1};
	IrNode *up = node1(b, OP_neg, node1(b, OP_floor, node_scaled(b, p, -IR_AUC_BINS)));
	IrNode *bin = node_clip(b, node2(b, OP_sub, up, node_k(b, 1)), 0, IR_AUC_BINS - 1);
	bin = node_reshape(b, node_cast(b, bin, DT_I32), 3, dim);
	IrNode *hit = as_float(b, node2(b, OP_eq, bin, node_iota(b, IR_AUC_BINS)));
	IrNode *yes = node_reshape(b, t, 3, dim), *no = node2(b, OP_sub, node_k(b, 1), yes);
	IrNode *half[2] = {node2(b, OP_mul, hit, yes), node2(b, OP_mul, hit, no)};
	if (each)
		return node_reshape(b, node_concat(b, half, 2, 2), 2, (int32_t[]){IR_N, n * 2 * IR_AUC_BINS});
	for (int i = 0; i < 2; i++)
		half[i] = node_reduce(b, OP_sum, half[i], 2, false);
	return node_concat(b, half, 2, 1);
}

/* ---- distances and losses ---- */

static IrNode *squared_error(Build *b, const Val *v)
{
	(void)v;
	return loss_rows(b, LOSS_SQUARED, false, 0);
}

static IrNode *absolute_error(Build *b, const Val *v)
{
	(void)v;
	return node_row_mean(b, node1(b, OP_abs, node2(b, OP_sub, loss_output(b), loss_target(b))));
}

static IrNode *loss_of(Build *b, LossKind kind)
{
	return loss_rows(b, kind, b->head->from_logits && b->head->kind == kind, 0);
}

static IrNode *binary_loss(Build *b, const Val *v)
{
	(void)v;
	return loss_of(b, LOSS_BINARY);
}

static IrNode *categorical_loss(Build *b, const Val *v)
{
	(void)v;
	return loss_of(b, LOSS_CATEGORICAL);
}

static IrNode *sparse_loss(Build *b, const Val *v)
{
	(void)v;
	return loss_of(b, LOSS_SPARSE);
}

static const Metric metrics[] = {
	{"accuracy", false, false, METRIC_MEAN, accuracy},
	{"binary_accuracy", false, false, METRIC_MEAN, binary_accuracy},
	{"categorical_accuracy", true, false, METRIC_MEAN, categorical_accuracy},
	{"sparse_categorical_accuracy", true, false, METRIC_MEAN, categorical_accuracy},
	{"top_k_categorical_accuracy", true, true, METRIC_MEAN, top_k},
	{"precision", false, false, METRIC_PRECISION, counts_above},
	{"recall", false, false, METRIC_RECALL, counts_above},
	{"f1", false, false, METRIC_F1, f1},
	{"mean_iou", false, false, METRIC_IOU, iou},
	{"auc", false, false, METRIC_AUC, auc},
	{"mean_squared_error", false, false, METRIC_MEAN, squared_error},
	{"mean_absolute_error", false, false, METRIC_MEAN, absolute_error},
	{"binary_crossentropy", false, false, METRIC_MEAN, binary_loss},
	{"categorical_crossentropy", true, false, METRIC_MEAN, categorical_loss},
	{"sparse_categorical_crossentropy", true, false, METRIC_MEAN, sparse_loss},
};

static const Metric *find_metric(const Val *v)
{
	for (size_t i = 0; i < COUNT(metrics); i++) {
		if (strcmp(metrics[i].name, v->section->name) == 0)
			return &metrics[i];
	}
	ICE("metric %s is in the schema but not built", v->section->name);
}

static const char *metric_name(Arena *a, const Val *v)
{
	if (schema_field_index(v->section, "k") >= 0)
		return arena_printf(a, "top_%lld_accuracy", (long long)val_int(v, "k"));
	if (schema_field_index(v->section, "average") >= 0 && strcmp(val_string(v, "average"), "micro") == 0)
		return "micro_f1"; /* so that both can be shown */
	return v->section->name;
}

static bool check_metric(Model *m, const Head *h, int i)
{
	const Val *v = &h->metrics->item[i];
	const Metric *metric = find_metric(v);
	const IrType *out = head_type(m, h);
	const char *name = metric_name(m->arena, v);
	for (int k = 0; k < i; k++) {
		if (strcmp(metric_name(m->arena, &h->metrics->item[k]), name) == 0)
			return diag_error(m->diag, v->loc, "metric %s is given twice", name);
	}
	if (metric->classes && out->dim[out->rank - 1] < 2)
		return diag_error(m->diag, v->loc, "%s compares classes, but the model has one output", name);
	if (metric->one_row && out->rank != 2)
		return diag_error(m->diag, v->loc, "%s of an output %s is not supported yet", name, ir_shape_text(m->arena, out));
	if (metric->emit == sparse_loss && loss_target_type(m, h).dtype == DT_F32)
		return diag_error(m->diag, v->loc, "%s needs class indices as labels", name);
	if (metric->emit == accuracy && m->target == TARGET_CLASSES)
		diag_warning(m->diag, v->loc, "accuracy compares the largest of several yes-no answers only, as in Keras; "
		                              "binary_accuracy counts each");
	if (metric->kind == METRIC_AUC && ir_row_elems(out) > (val_bool(v, "multi_label") ? AUC_MOST_OUTPUTS / 4 : AUC_MOST_OUTPUTS))
		return diag_error(m->diag, v->loc, "%s of more than %d outputs is not supported yet", name, AUC_MOST_OUTPUTS);
	return true;
}

bool metric_check(Model *m, const Head *h)
{
	bool ok = true;
	for (int i = 0; h->metrics->kind == VAL_LIST && i < h->metrics->n; i++)
		ok = check_metric(m, h, i) && ok;
	return ok;
}

void metric_emit(Build *b)
{
	const Val *list = b->head->metrics;
	Arena *a = b->m->arena;
	for (int i = 0; list->kind == VAL_LIST && i < list->n; i++) {
		const Val *v = &list->item[i];
		const Metric *metric = find_metric(v);
		b->loc = v->loc;
		const char *name = arena_printf(a, "%s%s", b->head->prefix, metric_name(a, v));
		IrMetricKind kind = metric->kind == METRIC_AUC && val_bool(v, "multi_label") ? METRIC_AUC_EACH : metric->kind;
		ir_root_new(b->e, (IrRoot){.kind = ROOT_METRIC, .name = name, .value = metric->emit(b, v), .metric = kind});
	}
}

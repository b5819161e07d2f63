/* metric.c -- metrics as sums over samples
 *
 * Each gives f32[N] (a mean) or f32[N, count] (counts that the runtime turns into the number shown). Definitions:
 * keras/src/metrics/; `accuracy` picks by shape as keras/src/trainers/compile_utils.py does.
 */
#include "frontend/build.h"

#include <string.h>

enum { AUC_BINS = 199, AUC_MOST_OUTPUTS = 4096 }; /* between Keras' 200 thresholds */

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

/* yes, t: f32[N,C] of 0 and 1. Per class: f32[N, 4 C], class by class; else all together: f32[N,4]. */
static IrNode *counts(Build *b, IrNode *yes, IrNode *t, bool per_class)
{
	IrNode *one = node_k(b, 1), *no = node2(b, OP_sub, one, yes), *f = node2(b, OP_sub, one, t);
	IrNode *part[4] = {node2(b, OP_mul, t, yes), node2(b, OP_mul, f, yes), node2(b, OP_mul, t, no),
	                   node2(b, OP_mul, f, no)};
	int32_t classes = last_dim(t);
	for (int i = 0; i < 4; i++)
		part[i] = per_class ? node_reshape(b, part[i], 3, (int32_t[]){IR_N, classes, 1}) :
		                      node_reduce(b, OP_sum, part[i], 2, true);
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
	return counts(b, above(b, flat(b, loss_output(b)), val_number(v, "thresholds")), flat(b, loss_target(b)), false);
}

static IrNode *f1(Build *b, const Val *v)
{
	(void)v;
	IrNode *p = loss_output(b);
	bool several = last_dim(p) > 1;
	IrNode *yes = several ? as_float(b, column(b, last_argmax(b, p))) : above(b, p, 0.5);
	return counts(b, yes, loss_target(b), several);
}

/* Histogram of the scores of positives, then of negatives. A score on a threshold is not above it: bin ceil(199 p) - 1. */
static IrNode *auc(Build *b, const Val *v)
{
	(void)v;
	IrNode *p = flat(b, loss_output(b)), *t = flat(b, loss_target(b));
	int32_t dim[3] = {IR_N, last_dim(p), 1};
	IrNode *up = node1(b, OP_neg, node1(b, OP_floor, node_scaled(b, p, -AUC_BINS)));
	IrNode *bin = node_clip(b, node2(b, OP_sub, up, node_k(b, 1)), 0, AUC_BINS - 1);
	bin = node_reshape(b, node_cast(b, bin, DT_I32), 3, dim);
	IrNode *hit = as_float(b, node2(b, OP_eq, bin, node_iota(b, AUC_BINS)));
	IrNode *yes = node_reshape(b, t, 3, dim), *no = node2(b, OP_sub, node_k(b, 1), yes);
	IrNode *half[2] = {node_reduce(b, OP_sum, node2(b, OP_mul, hit, yes), 2, false),
	                   node_reduce(b, OP_sum, node2(b, OP_mul, hit, no), 2, false)};
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
	{"f1", false, true, METRIC_F1, f1},
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
	if (metric->kind == METRIC_AUC && ir_row_elems(out) > AUC_MOST_OUTPUTS)
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
		ir_root_new(b->e, (IrRoot){.kind = ROOT_METRIC, .name = name, .value = metric->emit(b, v), .metric = metric->kind});
	}
}

/* entries.c -- predict, predict_raw, evaluate and train_step as graphs
 *
 * Each entry gets its own copy of the forward graph; the passes share what is equal. Nothing here can fail: shapes,
 * labels, losses and metrics were checked.
 */
#include "frontend/build.h"

#include <string.h>

static void add_port(Build *b, const char *name, IrType type, IrNode **out)
{
	*out = ir_input(b->e, b->loc, ir_port_new(b->e, name, type));
}

/* The rows again, from the second on; behind the last stands the first. */
static void add_next(Build *b)
{
	const Model *m = b->m;
	IrType x = m->input;
	x.dtype = DT_U8;
	b->target_next = NEWN(m->arena, IrNode *, m->nheads + 1);
	add_port(b, "x_next", x, &b->x_next);
	add_port(b, "id_next", ir_type(DT_U32, 1, (int32_t[]){IR_N}), &b->id_next);
	for (int k = 0; k < m->nheads; k++) {
		const Head *h = &m->head[k];
		if (k > 0 && strcmp(h->port, m->head[0].port) == 0)
			b->target_next[k] = b->target_next[0];
		else
			add_port(b, arena_printf(m->arena, "%s_next", h->port), loss_target_type(m, h), &b->target_next[k]);
	}
}

static Build start(Model *m, const char *name, bool raw, bool labels, bool training)
{
	Build b = {.m = m, .e = ir_entry_new(m->module, name), .training = training, .loc = m->input_loc};
	IrType x = m->input;
	if (m->pictures && !raw)
		x.dtype = DT_U8;
	add_port(&b, "x", x, &b.x);
	b.target = NEWN(m->arena, IrNode *, m->nheads + 1);
	b.head_logits = NEWN(m->arena, IrNode *, m->nheads + 1);
	for (int k = 0; labels && k < m->nheads; k++) {
		if (k > 0 && strcmp(m->head[k].port, m->head[0].port) == 0)
			b.target[k] = b.target[0];
		else
			add_port(&b, m->head[k].port, loss_target_type(m, &m->head[k]), &b.target[k]);
	}
	if (training)
		add_port(&b, "id", ir_type(DT_U32, 1, (int32_t[]){IR_N}), &b.id);
	if (training && augment_mixing(m))
		add_next(&b);
	b.further = NEWN(m->arena, IrNode *, m->nfurther + 1);
	for (int i = 0; i < m->nfurther; i++)
		add_port(&b, m->further[i].name, m->further[i].type, &b.further[i]);
	b.value = NEWN(m->arena, IrNode *, m->nlayers);
	return b;
}

/* The main node of a layer carries its name, unless the layer has named one itself. */
static void name_result(const Build *b, const IrNode *before, IrNode *result, const Layer *l)
{
	bool made = false;
	for (const IrNode *n = before ? before->next : b->e->first; n; n = n->next) {
		if (n->name == l->name)
			return;
		made = made || n == result;
	}
	if (made && !result->name)
		result->name = l->name;
}

void entries_layers(Build *b, IrNode *input)
{
	Model *m = b->m;
	bool first = !m->module->entry->next; /* FLOPs are counted once */
	for (int i = 0; i < m->nlayers; i++) {
		Layer *l = &m->layer[i];
		const IrNode *before = b->e->last;
		IrNode *in[64];
		for (int k = 0; k < l->nin; k++)
			in[k] = l->in[k] >= 0 ? b->value[l->in[k]] : l->in[k] == -1 ? input : b->further[-2 - l->in[k]];
		b->loc = l->loc;
		b->value[i] = l->kind->emit(b, l, in);
		for (int k = 0; k < m->nheads; k++) {
			if (i == m->head[k].layer && b->logits_of == b->value[i])
				b->head_logits[k] = b->logits;
		}
		INVARIANT(ir_type_eq(&b->value[i]->type, &l->out));
		name_result(b, before, b->value[i], l);
		for (const IrNode *n = before ? before->next : b->e->first; first && n; n = n->next)
			l->flops += ir_flops(n);
	}
	b->loc = m->layer[m->outputs[0]].loc;
}

Build entries_start(Model *m, const char *name)
{
	return start(m, name, false, false, false);
}

static void add_outputs(Build *b)
{
	for (int k = 0; k < b->m->noutputs; k++) {
		const int at = b->m->outputs[k];
		ir_root_new(b->e, (IrRoot){.kind = ROOT_OUTPUT, .name = b->m->layer[at].name, .value = b->value[at]});
	}
}

static void emit_predict(Model *m, const char *name, bool raw)
{
	Build b = start(m, name, raw, false, false);
	entries_layers(&b, raw ? b.x : pictures_emit(&b));
	add_outputs(&b);
}

static void add_mean(Build *b, const char *name, IrNode *rows)
{
	ir_root_new(b->e, (IrRoot){.kind = ROOT_METRIC, .name = name, .value = rows, .metric = METRIC_MEAN});
}

/* Weighted sum of the heads' losses, f32[N]; where there are several, shown[k] is each without its weight, as Keras shows it. */
static IrNode *loss_of_heads(Build *b, IrNode **shown)
{
	const Model *m = b->m;
	IrNode *all = NULL;
	for (int k = 0; k < m->nheads; k++) {
		const Head *h = &m->head[k];
		head_begin(b, k);
		b->weighs = b->training;
		IrNode *rows = loss_rows(b, h->kind, h->from_logits, h->smoothing);
		IrNode *weight = b->training ? loss_class_weight(b) : NULL;
		shown[k] = rows = weight ? node2(b, OP_mul, rows, weight) : rows;
		b->weighs = false;
		rows = node_scaled(b, rows, h->weight);
		all = all ? node2(b, OP_add, all, rows) : rows;
	}
	return all;
}

/* loss = sum over samples * 1/N + penalties; the metric is a value a sample, so that its mean is Keras' loss. */
static void emit_loss(Build *b)
{
	const Model *m = b->m;
	IrNode **shown = NEWN(m->arena, IrNode *, m->nheads), *rows = loss_of_heads(b, shown);
	b->loc = val(m->train, "loss")->loc;
	IrNode *penalty = loss_penalty(b);
	add_mean(b, "loss", penalty ? node2(b, OP_add, rows, penalty) : rows);
	for (int k = 0; m->nheads > 1 && k < m->nheads; k++)
		add_mean(b, arena_printf(m->arena, "%sloss", m->head[k].prefix), shown[k]);
	if (!b->training)
		return;
	IrNode *mean = node2(b, OP_mul, node_reduce(b, OP_sum, rows, 1, false), ir_scalar(b->e, b->loc, SC_INV_N, 0));
	b->e->loss = penalty ? node2(b, OP_add, mean, penalty) : mean;
}

static Build emit_with_labels(Model *m, const char *name, bool training, bool outputs)
{
	Build b = start(m, name, false, true, training);
	entries_layers(&b, pictures_emit(&b));
	if (outputs)
		add_outputs(&b);
	emit_loss(&b);
	for (int k = 0; k < m->nheads; k++) {
		head_begin(&b, k);
		metric_emit(&b);
	}
	for (int i = 0; i < b.nupdates; i++)
		ir_root_new(b.e, b.update[i]);
	return b;
}

/* Where a frozen base can be cut off: features_P, and train_step_P and evaluate_features_P on them; else train_step_P. */
static void emit_phase(Model *m, int p)
{
	const char *suffix = m->phase[p].suffix;
	IrOptimizer *own = NEW(m->arena, IrOptimizer);
	*own = training_optimizer(m->phase[p].optimizer);
	training_begin(m, p);
	Build b = emit_with_labels(m, arena_printf(m->arena, "train_step%s", suffix), true, false);
	int cut = features_cut(&b);
	if (cut >= 0) {
		features_entry(&b, cut, arena_printf(m->arena, "features%s", suffix));
		features_take(&b, cut);
	}
	training_begin(m, -1);
	if (p == 0)
		m->module->optimizer = *own;
	else
		b.e->optimizer = own;
	if (cut < 0)
		return;
	Build v = emit_with_labels(m, arena_printf(m->arena, "evaluate_features%s", suffix), false, true);
	features_take(&v, cut);
}

bool entries_emit(Model *m)
{
	emit_predict(m, "predict", false);
	if (m->pictures)
		emit_predict(m, "predict_raw", true);
	if (!explain_emit(m))
		return false;
	if (!m->train)
		return true;
	emit_with_labels(m, "evaluate", false, true);
	for (int p = 0; p < m->nphases; p++)
		emit_phase(m, p);
	return true;
}

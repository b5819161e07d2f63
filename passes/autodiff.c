/* autodiff.c -- gradients of the loss and the optimizer's updates join the entry
 *
 * in:   entries with a loss (f32[]); parameters marked trainable       out: update roots; entry->loss is NULL
 * not:  regularizers: the frontend adds their penalty to the loss, so their gradient comes out of the same sweep
 *
 * Reverse accumulation: nodes that no trainable parameter reaches, and nodes that do not reach the loss, cost
 * nothing. A trainable parameter without influence on the loss is not updated (nor decayed), as in Keras.
 */
#include "passes/optimizer.h"
#include "passes/passes.h"

typedef struct Sweep {
	IrEntry *e;
	bool *leads;    /* by node id: depends on a trainable parameter through floats */
	IrNode **grad;  /* by node id: d(loss)/d(node), so far */
} Sweep;

static bool is_float(const IrNode *n)
{
	return n->type.dtype == DT_F32 || n->type.dtype == DT_F64;
}

static bool is_trainable_read(const IrNode *n)
{
	return n->op == OP_state && !n->attr.state.frozen && n->attr.state.of->trainable &&
	       n->attr.state.of->kind == STATE_PARAM;
}

static void mark_leading(const Sweep *s)
{
	IR_EACH(s->e, n) {
		bool leads = is_trainable_read(n);
		for (int i = 0; i < n->nin; i++)
			leads |= s->leads[n->in[i]->id];
		s->leads[n->id] = leads && is_float(n);
	}
}

static void contribute(const Sweep *s, IrNode *to, IrNode *part)
{
	IrNode **sum = &s->grad[to->id];
	*sum = *sum ? ir_binary(s->e, OP_add, *sum, part) : part;
}

static bool differentiate(const Sweep *s, PassCx *cx, IrNode *n)
{
	bool *need = NEWN(cx->scratch, bool, n->nin + 1);
	IrNode **din = NEWN(cx->scratch, IrNode *, n->nin + 1);
	for (int i = 0; i < n->nin; i++)
		need[i] = s->leads[n->in[i]->id];
	if (!ir_grad(s->e, cx->diag, n, s->grad[n->id], need, din))
		return false;
	for (int i = 0; i < n->nin; i++) {
		if (din[i])
			contribute(s, n->in[i], din[i]);
	}
	return true;
}

/* One parameter may be read by several nodes: tied weights, or reads that cse has not merged yet. */
static OptimizerTarget target_of(const Sweep *s, const IrNode *last, IrState *param)
{
	OptimizerTarget t = { .param = param };
	for (IrNode *n = s->e->first; n; n = n == last ? NULL : n->next) {
		if (!is_trainable_read(n) || n->attr.state.of != param || !s->grad[n->id])
			continue;
		t.value = t.value ? t.value : n;
		t.gradient = t.gradient ? ir_binary(s->e, OP_add, t.gradient, s->grad[n->id]) : s->grad[n->id];
	}
	return t;
}

static void update_parameters(const Sweep *s, const IrNode *last, PassCx *cx)
{
	int n = 0, room = 0;
	IR_EACH_STATE(s->e->module, state)
		room++;
	OptimizerTarget *target = NEWN(cx->scratch, OptimizerTarget, room + 1);
	IR_EACH_STATE(s->e->module, state) {
		if (state->kind != STATE_PARAM || !state->trainable)
			continue;
		target[n] = target_of(s, last, state);
		n += target[n].gradient != NULL;
	}
	optimizer_updates(s->e, target, n);
}

static bool autodiff_entry(IrEntry *e, PassCx *cx)
{
	IrNode *loss = e->loss, *last = e->last;
	if (loss->type.rank != 0 || !is_float(loss))
		return diag_error(cx->diag, loss->loc, "the loss is not one number");
	if (!e->optimizer && e->module->optimizer.kind == OPTIM_NONE)
		return diag_error(cx->diag, loss->loc, "%s has a loss but no optimizer", e->name);
	Sweep s = { e, NEWN(cx->scratch, bool, e->next_id), NEWN(cx->scratch, IrNode *, e->next_id) };
	mark_leading(&s);
	e->cursor = NULL;
	if (s.leads[loss->id])
		s.grad[loss->id] = ir_konst(e, loss->loc, loss->type.dtype, 1.0);
	for (IrNode *n = last, *before; n; n = before) {
		before = n->prev;
		if (s.leads[n->id] && s.grad[n->id] && !differentiate(&s, cx, n))
			return false;
	}
	update_parameters(&s, last, cx);
	e->loss = NULL;
	return true;
}

bool pass_autodiff(IrModule *m, PassCx *cx)
{
	IR_EACH_ENTRY(m, e) {
		if (e->loss && !autodiff_entry(e, cx))
			return false;
	}
	return true;
}

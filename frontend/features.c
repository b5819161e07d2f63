/* features.c -- what training asks of a frozen base, cut off as an entry of its own
 *
 * in:   a training entry, before autodiff     out: entry "features" (x -> the value of one layer), and the training entry
 *       taking that value as its x
 * not:  the cache: the runtime keeps features as long as a phase lasts, or computes them each step
 *
 * A node is fixed if it depends on the sample and on what this phase does not train alone: no labels, no draws, no steps, no
 * statistics over the batch. The cut is made where all that is fixed is seen through the value of one layer, and is worth it
 * if there are contractions behind it. Kernels give a sample the same bits in any batch, so whether features were kept
 * cannot be seen in the results.
 */
#include "frontend/build.h"

#include <string.h>

static bool updated(const Build *b, const IrState *s)
{
	for (int i = 0; i < b->nupdates; i++) {
		if (b->update[i].state == s)
			return true;
	}
	return false;
}

static bool source_is_fixed(const Build *b, const IrNode *n)
{
	switch (n->op) {
	case OP_konst:
	case OP_iota: return true;
	case OP_input: return n == b->x;
	case OP_state:
		return !updated(b, n->attr.state.of) &&
		       (n->attr.state.of->kind == STATE_STAT ||
		        (n->attr.state.of->kind == STATE_PARAM && (n->attr.state.frozen || !n->attr.state.of->trainable)));
	default: return false;
	}
}

static bool is_fixed(const Build *b, const bool *fixed, const IrNode *n)
{
	bool batched = false;
	if (n->nin == 0)
		return source_is_fixed(b, n);
	if (!ir_has(n, PURE) || ir_has(n, RANDOM))
		return false;
	for (int i = 0; i < n->nin; i++) {
		if (!fixed[n->in[i]->id])
			return false;
		batched = batched || ir_batched(&n->in[i]->type);
	}
	return !batched || ir_batched(&n->type);
}

/* What the rest reads of fixed nodes, and what that is made of, down to `result`: does it get along without x? */
static bool sees_all(const Build *b, const bool *fixed, const IrNode *result, bool *seen)
{
	const IrEntry *e = b->e;
	memset(seen, 0, e->next_id * sizeof *seen);
	for (int i = 0; i < e->nroot; i++)
		seen[e->root[i].value->id] = true;
	for (const IrNode *n = e->last; n; n = n->prev) {
		for (int i = 0; (!fixed[n->id] || seen[n->id]) && n != result && i < n->nin; i++)
			seen[n->in[i]->id] = true;
	}
	return seen[result->id] && !seen[b->x->id];
}

static bool *mark_needed(const Build *b, IrNode *result)
{
	bool *needed = NEWN(b->m->arena, bool, b->e->next_id);
	needed[result->id] = true;
	for (const IrNode *n = result; n; n = n->prev) {
		for (int i = 0; needed[n->id] && i < n->nin; i++)
			needed[n->in[i]->id] = true;
	}
	return needed;
}

static bool contracts(const Build *b, const bool *needed)
{
	IR_EACH(b->e, n) {
		if (needed[n->id] && ir_has(n, CONTRACTS))
			return true;
	}
	return false;
}

int features_cut(Build *b)
{
	bool *fixed = NEWN(b->m->arena, bool, b->e->next_id), *seen = NEWN(b->m->arena, bool, b->e->next_id);
	if (b->m->nfurther > 0)
		return -1;
	IR_EACH(b->e, n)
		fixed[n->id] = is_fixed(b, fixed, n);
	for (int i = b->m->nlayers; i-- > 0;) {
		IrNode *result = b->value[i];
		if (fixed[result->id] && ir_batched(&result->type) && result->type.dtype == DT_F32 &&
		    sees_all(b, fixed, result, seen))
			return contracts(b, mark_needed(b, result)) ? i : -1;
	}
	return -1;
}

void features_entry(Build *b, int layer, const char *name)
{
	IrNode *result = b->value[layer];
	const bool *needed = mark_needed(b, result);
	IrNode **copy = NEWN(b->m->arena, IrNode *, b->e->next_id);
	IrEntry *e = ir_entry_new(b->m->module, name);
	copy[b->x->id] = ir_input(e, b->x->loc, ir_port_new(e, "x", b->x->type));
	IR_EACH(b->e, n) {
		IrNode **in = NEWN(b->m->arena, IrNode *, n->nin + 1);
		if (!needed[n->id] || n == b->x)
			continue;
		for (int i = 0; i < n->nin; i++)
			in[i] = copy[n->in[i]->id];
		copy[n->id] = ir_node(e, NULL, n->op, n->loc, n->nin, in, &n->attr, &n->type);
		copy[n->id]->name = n->name;
	}
	ir_root_new(e, (IrRoot){.kind = ROOT_OUTPUT, .name = "features", .value = copy[result->id]});
}

void features_take(Build *b, int layer)
{
	IrEntry *e = b->e;
	IrNode *result = b->value[layer], *old = b->x;
	INVARIANT(old->op == OP_input && old->attr.input.port == 0);
	e->port[0].type = result->type;
	e->cursor = e->first;
	b->x = ir_input(e, result->loc, 0);
	e->cursor = NULL;
	ir_replace(e, result, b->x);
	ir_count_uses(e);
	for (IrNode *n = e->last, *before; n; n = before) { /* what nobody reads any more, the old x with it */
		before = n->prev;
		if (n->nuse > 0 || n == b->x)
			continue;
		for (int i = 0; i < n->nin; i++)
			n->in[i]->nuse--;
		ir_remove(e, n);
	}
	IR_EACH(e, n)
		INVARIANT(n == b->x || n->op != OP_input || n->attr.input.port != 0);
}

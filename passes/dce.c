/* dce.c -- drop what no root needs
 *
 * in:   any graph     out: every node reaches a root or the loss
 * not:  ports and states: they belong to the interface of the program and stay
 */
#include "passes/passes.h"
#include "passes/rules.h"

static void need(bool *needed, const IrNode *n)
{
	if (n)
		needed[n->id] = true;
}

void dce_entry(IrEntry *e)
{
	Arena *a = arena_new();
	bool *needed = NEWN(a, bool, e->next_id + 1);
	need(needed, e->loss);
	for (int i = 0; i < e->nroot; i++)
		need(needed, e->root[i].value);
	for (IrNode *n = e->last, *before; n; n = before) {
		before = n->prev;
		if (!needed[n->id]) {
			ir_remove(e, n); /* its readers are gone: they came later */
			continue;
		}
		for (int i = 0; i < n->nin; i++)
			need(needed, n->in[i]);
	}
	arena_free(a);
}

bool pass_dce(IrModule *m, PassCx *cx)
{
	(void)cx;
	IR_EACH_ENTRY(m, e)
		dce_entry(e);
	return true;
}

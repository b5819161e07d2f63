/* fold.c -- evaluate what depends on constants only; drop neutral operations
 *
 * A constant is one number everywhere (OP_konst), so only results that are one number everywhere fold. The number
 * is the interpreter's, in double: it is rounded to the dtype once, when code is made.
 * not:  per-step scalars and random numbers, which are different in every call
 */
#include <math.h>
#include "passes/passes.h"
#include "passes/rules.h"

enum { MOST_ELEMS = 4096 }; /* operands larger than this are not worth evaluating here */

static IrNode *konst_like(IrEntry *e, const IrNode *n, double v)
{
	IrAttr attr = { .konst = { v } };
	return isfinite(v) ? ir_node(e, NULL, OP_konst, n->loc, 0, NULL, &attr, &n->type) : NULL;
}

static bool all_konst(const IrNode *n)
{
	for (int i = 0; i < n->nin; i++) {
		if (n->in[i]->op != OP_konst)
			return false;
	}
	return n->nin > 0;
}

static double operand(const IrNode *n, int i)
{
	return i < n->nin ? n->in[i]->attr.konst.value : 0.0;
}

static bool same_operands(const IrNode *n)
{
	for (int i = 1; i < n->nin; i++) {
		if (operand(n, i) != operand(n, 0))
			return false;
	}
	return true;
}

/* Moves elements, or takes their maximum or mean: equal elements stay what they are. */
static bool moves(const IrNode *n)
{
	return ir_has(n, VIEW) || ir_has(n, STRETCHES) || ir_has(n, PERMUTES) || ir_has(n, CROPS) || ir_has(n, JOINS) ||
	       n->op == OP_maxpool || n->op == OP_avgpool;
}

/* Work is at most the product of operand and result sizes. */
static bool worth_evaluating(const IrNode *n)
{
	bool ok = ir_has(n, REDUCES) || ir_has(n, CONTRACTS) || ir_has(n, ROWWISE) || ir_has(n, PADS);
	ok &= !ir_batched(&n->type) && ir_elems(&n->type, 1) <= MOST_ELEMS;
	for (int i = 0; i < n->nin; i++)
		ok &= !ir_batched(&n->in[i]->type) && ir_elems(&n->in[i]->type, 1) <= MOST_ELEMS;
	return ok;
}

/* Runs the node; NULL if its elements differ. */
static IrNode *evaluated(IrEntry *e, const IrNode *n)
{
	Arena *a = arena_new();
	const double **in = NEWN(a, const double *, n->nin);
	int64_t elems = ir_elems(&n->type, 1);
	double *out = NEWN(a, double, elems);
	for (int i = 0; i < n->nin; i++) {
		double *v = NEWN(a, double, ir_elems(&n->in[i]->type, 1));
		ir_eval_node(n->in[i], 1, NULL, NULL, v);
		in[i] = v;
	}
	ir_eval_node(n, 1, NULL, in, out);
	bool uniform = true;
	for (int64_t i = 1; i < elems; i++)
		uniform &= out[i] == out[0];
	IrNode *by = uniform ? konst_like(e, n, out[0]) : NULL;
	arena_free(a);
	return by;
}

static IrNode *constant(IrEntry *e, IrNode *n)
{
	if (!ir_has(n, PURE) || !all_konst(n))
		return NULL;
	if (ir_has(n, EWISE)) {
		double v = ir_ewise(ir_ops[n->op].text, operand(n, 0), operand(n, 1), operand(n, 2), n->type.dtype);
		return konst_like(e, n, v);
	}
	if (moves(n) && same_operands(n))
		return konst_like(e, n, operand(n, 0));
	return worth_evaluating(n) ? evaluated(e, n) : NULL;
}

Rule *const rules_constant[] = { constant, NULL };

bool pass_fold(IrModule *m, PassCx *cx)
{
	(void)cx;
	while (rules_run(m, rules_constant) || rules_run(m, rules_neutral))
		continue;
	return true;
}

/* neutral.c -- rules that drop operations which change nothing, or join two into one
 *
 * Values stay the same to the bit, NaN and infinities included, with one exception: x + 0 is taken for x, which keeps a
 * negative zero that the sum would make positive. Therefore no x * 0 -> 0, and no reordering of sums here.
 */
#include "passes/rules.h"

static bool is_konst(const IrNode *n, double v)
{
	return n->op == OP_konst && n->attr.konst.value == v;
}

/* x where a value of the type of n is wanted: n may have stretched it. */
static IrNode *stretched(IrEntry *e, IrNode *n, IrNode *x)
{
	return ir_type_eq(&n->type, &x->type) ? x : ir_broadcast(e, x, n->type);
}

/* ---- pointwise ---- */
static const struct { OpCode op; bool left, right; double value; } neutral[] = { /* which side may hold the constant */
	{ OP_add, true, true, 0.0 }, { OP_sub, false, true, 0.0 },
	{ OP_mul, true, true, 1.0 }, { OP_div, false, true, 1.0 },
};

static IrNode *neutral_operand(IrEntry *e, IrNode *n)
{
	for (size_t i = 0; i < COUNT(neutral); i++) {
		if (neutral[i].op != n->op)
			continue;
		if (neutral[i].right && is_konst(n->in[1], neutral[i].value))
			return stretched(e, n, n->in[0]);
		if (neutral[i].left && is_konst(n->in[0], neutral[i].value))
			return stretched(e, n, n->in[1]);
	}
	return NULL;
}

/* -(-x) = x, a + -b = a - b, a - -b = a + b, x * -1 = -x */
static IrNode *negations(IrEntry *e, IrNode *n)
{
	if (n->op == OP_neg && n->in[0]->op == OP_neg)
		return n->in[0]->in[0];
	if (n->op == OP_mul) {
		for (int i = 0; i < 2; i++) {
			if (is_konst(n->in[i], -1.0))
				return ir_unary(e, OP_neg, stretched(e, n, n->in[!i]));
		}
	}
	if (n->op != OP_add && n->op != OP_sub)
		return NULL;
	if (n->in[1]->op == OP_neg)
		return ir_binary(e, n->op == OP_add ? OP_sub : OP_add, n->in[0], n->in[1]->in[0]);
	if (n->op == OP_add && n->in[0]->op == OP_neg)
		return ir_binary(e, OP_sub, n->in[1], n->in[0]->in[0]);
	return NULL;
}

static IrNode *select_decided(IrEntry *e, IrNode *n)
{
	if (n->op != OP_select)
		return NULL;
	if (n->in[0]->op == OP_konst)
		return stretched(e, n, n->in[n->in[0]->attr.konst.value != 0.0 ? 1 : 2]);
	return n->in[1] == n->in[2] ? stretched(e, n, n->in[1]) : NULL;
}

static IrNode *cast_to_same(IrEntry *e, IrNode *n)
{
	(void)e;
	return n->op == OP_cast && n->in[0]->type.dtype == n->type.dtype ? n->in[0] : NULL;
}

/* True if n keeps its type when operand i has the shape `sub` instead. */
static bool others_cover(const IrNode *n, int i, const IrType *sub)
{
	for (int d = 1; d <= n->type.rank; d++) { /* from the last axis */
		bool covered = false;
		for (int k = 0; k < n->nin; k++) {
			const IrType *t = k == i ? sub : &n->in[k]->type;
			covered |= t->rank >= d && t->dim[t->rank - d] == n->type.dim[n->type.rank - d];
		}
		if (!covered)
			return false;
	}
	return true;
}

static IrNode *with_operand(IrEntry *e, const IrNode *n, int i, IrNode *by)
{
	IrNode *in[3] = { NULL };
	INVARIANT(n->nin <= (int)COUNT(in));
	for (int k = 0; k < n->nin; k++)
		in[k] = k == i ? by : n->in[k];
	return ir_node(e, NULL, n->op, n->loc, n->nin, in, &n->attr, NULL);
}

/* Pointwise ops stretch their operands themselves: no broadcast before them, and constants without shape. */
static IrNode *stretch_inside(IrEntry *e, IrNode *n)
{
	const IrType single = { .rank = 0 };
	if (!ir_has(n, EWISE))
		return NULL;
	for (int i = 0; i < n->nin; i++) {
		IrNode *x = n->in[i];
		if (x->op == OP_broadcast && others_cover(n, i, &x->in[0]->type))
			return with_operand(e, n, i, x->in[0]);
		if (x->op == OP_konst && x->type.rank > 0 && others_cover(n, i, &single))
			return with_operand(e, n, i, ir_konst(e, x->loc, x->type.dtype, x->attr.konst.value));
	}
	return NULL;
}

/* ---- shape ---- */
static IrNode *view_of_view(IrEntry *e, IrNode *n)
{
	if (!ir_has(n, VIEW))
		return NULL;
	if (ir_type_eq(&n->type, &n->in[0]->type))
		return n->in[0];
	return ir_has(n->in[0], VIEW) ? ir_reshape(e, n->in[0]->in[0], n->type) : NULL;
}

static IrNode *broadcast_of_broadcast(IrEntry *e, IrNode *n)
{
	if (n->op != OP_broadcast)
		return NULL;
	if (ir_type_eq(&n->type, &n->in[0]->type))
		return n->in[0];
	return n->in[0]->op == OP_broadcast ? ir_broadcast(e, n->in[0]->in[0], n->type) : NULL;
}

static IrNode *transposes(IrEntry *e, IrNode *n)
{
	if (n->op != OP_transpose)
		return NULL;
	IrNode *x = n->in[0];
	int32_t perm[IR_MAX_RANK] = { 0 };
	bool still = true, twice = x->op == OP_transpose;
	for (int i = 0; i < n->type.rank; i++) {
		perm[i] = n->attr.perm.perm[i];
		if (twice)
			perm[i] = x->attr.perm.perm[perm[i]];
		still &= perm[i] == i;
	}
	if (still)
		return twice ? x->in[0] : x;
	return twice ? ir_transpose(e, x->in[0], perm) : NULL;
}

/* A slice of everything, a pad by nothing, a concat of one, a window of one cell. */
static IrNode *whole(IrEntry *e, IrNode *n)
{
	(void)e;
	switch (n->op) {
	case OP_slice:
	case OP_pad:
	case OP_concat:
		return n->nin == 1 && ir_type_eq(&n->type, &n->in[0]->type) ? n->in[0] : NULL;
	case OP_maxpool:
	case OP_avgpool:
		return n->attr.pool.size[0] == 1 && n->attr.pool.size[1] == 1 && n->attr.pool.size[2] <= 1 &&
		       ir_type_eq(&n->type, &n->in[0]->type) && n->attr.pool.pad[0] == 0 && n->attr.pool.pad[1] == 0 &&
		       n->attr.pool.pad[4] == 0 ? n->in[0] : NULL;
	default:
		return NULL;
	}
}

/* A reduction over axes of extent 1 moves nothing together. */
static IrNode *reduce_nothing(IrEntry *e, IrNode *n)
{
	if (!ir_has(n, REDUCES) || n->type.dtype != n->in[0]->type.dtype || n->op == OP_argmax)
		return NULL;
	const IrType *t = &n->in[0]->type;
	for (int i = 0; i < t->rank; i++) {
		if (n->attr.reduce.axes >> i & 1 && t->dim[i] != 1)
			return NULL;
	}
	return ir_type_eq(&n->type, t) ? n->in[0] : ir_reshape(e, n->in[0], n->type);
}

Rule *const rules_neutral[] = {
	neutral_operand, negations, select_decided, cast_to_same, stretch_inside, view_of_view, broadcast_of_broadcast,
	transposes, whole, reduce_nothing, NULL
};

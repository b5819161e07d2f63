/* moments.c -- rules for sums over samples and pixels, as batch statistics and their gradients make them
 *
 * Factors leave a sum, values centred by their own mean vanish in it, and squares about a mean are summed picture by
 * picture, about the picture's own mean, so that they need not wait for the batch's. Only the order of sums changes.
 * An activation is then read twice where it was made, once to be normalized, and in the backward half once for both sums and
 * once for the gradient.
 */
#include <math.h>
#include "passes/lower.h"
#include "passes/rules.h"

static bool real(const IrNode *n)
{
	return n->type.dtype == DT_F32 || n->type.dtype == DT_F64;
}

/* Broadcasting alone moves x along `axes` of a value of type t. */
static bool constant_along(const IrNode *x, const IrType *t, uint32_t axes)
{
	for (int d = 0; d < t->rank; d++) {
		const int i = d - (t->rank - x->type.rank);
		if ((axes >> d & 1) && i >= 0 && x->type.dim[i] != 1)
			return false;
	}
	return true;
}

/* x, constant along `axes` of t, as an operand beside a sum over them: without these axes where they are not kept. */
static IrNode *beside_sum(IrEntry *e, IrNode *x, const IrType *t, uint32_t axes, bool keep)
{
	IrType to = { .dtype = x->type.dtype };
	if (keep || x->type.rank == 0)
		return x;
	for (int d = 0; d < t->rank; d++) {
		const int i = d - (t->rank - x->type.rank);
		if (!(axes >> d & 1) && i >= 0)
			to.dim[to.rank++] = x->type.dim[i];
	}
	return ir_type_eq(&to, &x->type) ? x : ir_reshape(e, x, to);
}

/* sum(x * s) = sum(x) * s, sum(-x) = -sum(x) */
static IrNode *factor_out(IrEntry *e, IrNode *n)
{
	if (n->op != OP_sum || !real(n))
		return NULL;
	IrNode *x = n->in[0];
	const uint32_t axes = n->attr.reduce.axes;
	const bool keep = n->attr.reduce.keep;
	if (x->op == OP_neg)
		return ir_unary(e, OP_neg, ir_reduce(e, OP_sum, x->in[0], axes, keep));
	for (int i = 0; i < 2 && x->op == OP_mul; i++) {
		IrNode *s = x->in[!i];
		if (ir_type_eq(&x->in[i]->type, &x->type) && constant_along(s, &x->type, axes))
			return ir_binary(e, OP_mul, ir_reduce(e, OP_sum, x->in[i], axes, keep),
			                 beside_sum(e, s, &x->type, axes, keep));
	}
	return NULL;
}

/* ---- means ---- */
static double cells_of(const IrType *t, uint32_t axes)
{
	double cells = 1;
	for (int d = 0; d < t->rank; d++)
		cells *= (axes >> d & 1) && t->dim[d] != IR_N ? t->dim[d] : 1;
	return cells;
}

/* The sum in m = sum(x, axes) * numbers that make it the mean of x over axes, N among them; NULL if m is something else. */
static IrNode *sum_of_mean(IrNode *m, const IrNode *x, uint32_t axes)
{
	double factor = 1;
	int per_n = 0;
	for (int depth = 0; depth < 8; depth++) {
		if (ir_has(m, VIEW) && lower_squeezes(&m->type, &m->in[0]->type)) {
			m = m->in[0];
			continue;
		}
		if (m->op == OP_sum && m->in[0] == x && m->attr.reduce.axes == axes)
			return per_n == 1 && fabs(factor * cells_of(&x->type, axes) - 1) < 1e-6 ? m : NULL;
		if (m->op != OP_mul)
			return NULL;
		const int i = ir_has(m->in[0], SOURCE) ? 0 : 1;
		const IrNode *s = m->in[i];
		if (s->op == OP_konst)
			factor *= s->attr.konst.value;
		else if (s->op == OP_scalar && s->attr.scalar.which == SC_INV_N)
			per_n++;
		else
			return NULL;
		m = m->in[!i];
	}
	return NULL;
}

/* x - mean(x) over axes: the sum whose mean is taken away. */
static IrNode *centred(const IrNode *d, uint32_t axes)
{
	if (d->op != OP_sub || !(axes & 1) || !ir_batched(&d->type) || !ir_type_eq(&d->in[0]->type, &d->type) ||
	    !constant_along(d->in[1], &d->type, axes))
		return NULL;
	return sum_of_mean(d->in[1], d->in[0], axes);
}

/* Is the sum of x over axes zero, but for rounding? */
static bool vanishes(const IrNode *x, uint32_t axes, int depth)
{
	if (depth == 0)
		return false;
	if (x->op == OP_neg)
		return vanishes(x->in[0], axes, depth - 1);
	if (x->op == OP_mul) {
		for (int i = 0; i < 2; i++) {
			if (ir_type_eq(&x->in[i]->type, &x->type) && constant_along(x->in[!i], &x->type, axes) &&
			    vanishes(x->in[i], axes, depth - 1))
				return true;
		}
	}
	return centred(x, axes) != NULL;
}

/* sum(a + b) = sum(a) where b vanishes */
static IrNode *vanishing_term(IrEntry *e, IrNode *n)
{
	enum { DEPTH = 6 };
	if (n->op != OP_sum || !real(n) || !(n->attr.reduce.axes & 1))
		return NULL;
	IrNode *x = n->in[0];
	const uint32_t axes = n->attr.reduce.axes;
	if ((x->op != OP_add && x->op != OP_sub) || !ir_type_eq(&x->in[0]->type, &x->type) ||
	    !ir_type_eq(&x->in[1]->type, &x->type))
		return NULL;
	if (vanishes(x->in[1], axes, DEPTH))
		return ir_reduce(e, OP_sum, x->in[0], axes, n->attr.reduce.keep);
	if (!vanishes(x->in[0], axes, DEPTH))
		return NULL;
	IrNode *b = ir_reduce(e, OP_sum, x->in[1], axes, n->attr.reduce.keep);
	return x->op == OP_add ? b : ir_unary(e, OP_neg, b);
}

/* ---- squares ---- */
/* sum over pixels and samples of (x - m)^2 = sum over samples of (sum over pixels of (x - p)^2 + pixels (p - m)^2), p the
 * mean of the sample's pixels: exact for any m, and all that depends on m is small. */
static IrNode *squares_by_sample(IrEntry *e, IrNode *n)
{
	if (n->op != OP_sum || !real(n) || n->in[0]->op != OP_mul || n->in[0]->in[0] != n->in[0]->in[1])
		return NULL;
	const uint32_t axes = n->attr.reduce.axes, pixels = axes & ~1u;
	IrNode *d = n->in[0]->in[0], *total = centred(d, axes);
	if (!total || !pixels || n->attr.reduce.keep)
		return NULL;
	IrNode *x = d->in[0], *m = d->in[1];
	const double cells = cells_of(&x->type, pixels);
	IrNode *after = e->cursor;
	e->cursor = total;
	IrNode *sum = ir_reduce(e, OP_sum, x, pixels, true);
	rules_replace(e, total, ir_reduce(e, OP_sum, sum, axes, false));
	e->cursor = after;
	IrNode *p = ir_binary(e, OP_mul, sum, ir_konst(e, n->loc, x->type.dtype, 1 / cells));
	IrNode *inner = ir_binary(e, OP_sub, x, p), *outer = ir_binary(e, OP_sub, p, m);
	IrNode *in = ir_reduce(e, OP_sum, ir_binary(e, OP_mul, inner, inner), pixels, true);
	IrNode *out = ir_binary(e, OP_mul, ir_binary(e, OP_mul, outer, outer), ir_konst(e, n->loc, x->type.dtype, cells));
	return ir_reduce(e, OP_sum, ir_binary(e, OP_add, in, out), axes, false);
}

Rule *const rules_sums[] = { factor_out, vanishing_term, NULL };
Rule *const rules_squares[] = { squares_by_sample, NULL };

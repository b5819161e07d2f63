/* grad.c -- the `grad` column: from d(loss)/d(node) to d(loss)/d(operands)
 *
 * Every rule builds plain graph nodes at e->cursor, so gradients are interpreted, verified, folded and fused like any
 * other node, and can be differentiated again. An operand that was stretched by broadcasting gets the sum over what it
 * was stretched to. Which operands ask is the caller's business (`need`); dtypes other than floats never have
 * gradients.
 */
#include <math.h>
#include <string.h>
#include "ir/ir.h"

typedef struct Grad {
	IrEntry *e;
	IrNode *n, *dy;
	const bool *need;
	IrNode **din;
} Grad;

typedef void GradFn(const Grad *g);
#define OP(name, text, lo, hi, attr, traits, infer, eval, grad, lower) GradFn grad_##grad;
#include "ir/ops.def"

static GradFn *const rules[OP_COUNT] = {
#define OP(name, text, lo, hi, attr, traits, infer, eval, grad, lower) [OP_##name] = grad_##grad,
#include "ir/ops.def"
};

/* ---- building ---- */
static IrNode *add(const Grad *g, IrNode *a, IrNode *b) { return ir_binary(g->e, OP_add, a, b); }
static IrNode *sub(const Grad *g, IrNode *a, IrNode *b) { return ir_binary(g->e, OP_sub, a, b); }
static IrNode *mul(const Grad *g, IrNode *a, IrNode *b) { return ir_binary(g->e, OP_mul, a, b); }
static IrNode *quotient(const Grad *g, IrNode *a, IrNode *b) { return ir_binary(g->e, OP_div, a, b); }
static IrNode *neg(const Grad *g, IrNode *a) { return ir_unary(g->e, OP_neg, a); }

static IrNode *number(const Grad *g, double v)
{
	return ir_konst(g->e, g->n->loc, g->dy->type.dtype, v);
}

static IrNode *scale(const Grad *g, IrNode *a, double by)
{
	return mul(g, a, number(g, by));
}

/* The type of a sum that keeps its axes. */
static IrType kept(IrType t, uint32_t axes)
{
	for (int i = 0; i < t.rank; i++) {
		if (axes >> i & 1)
			t.dim[i] = 1;
	}
	return t;
}

/* The adjoint of stretching `to` to the type of v: sums what was stretched. */
static IrNode *unstretch(const Grad *g, IrNode *v, const IrType *to)
{
	int lead = v->type.rank - to->rank;
	uint32_t axes = 0;
	for (int i = 0; i < v->type.rank; i++) {
		if (i < lead || (to->dim[i - lead] == 1 && v->type.dim[i] != 1))
			axes |= 1u << i;
	}
	if (axes)
		v = ir_reduce(g->e, OP_sum, v, axes, true);
	return ir_type_eq(&v->type, to) ? v : ir_reshape(g->e, v, *to);
}

/* Contributes v to operand i of a pointwise op. */
static void give(const Grad *g, int i, IrNode *v)
{
	g->din[i] = unstretch(g, v, &g->n->in[i]->type);
}

/* ---- no gradient ---- */
void grad_none(const Grad *g)
{
	ICE("%s has no gradient", ir_ops[g->n->op].text);
}

void grad_zero(const Grad *g)
{
	(void)g;
}

/* ---- pointwise, one operand: x = in[0], y = the node ---- */
#define UNARY(name, expr) \
	void grad_##name(const Grad *g) \
	{ \
		IrNode *x = g->n->in[0], *y = g->n, *dy = g->dy; \
		(void)x; (void)y; \
		give(g, 0, expr); \
	}
UNARY( neg,     neg(g, dy) )
UNARY( abs,     mul(g, dy, ir_unary(g->e, OP_sign, x)) )
UNARY( exp,     mul(g, dy, y) )
UNARY( log,     quotient(g, dy, x) )
UNARY( log1p,   quotient(g, dy, add(g, x, number(g, 1.0))) )
UNARY( sqrt,    quotient(g, scale(g, dy, 0.5), y) )
UNARY( rsqrt,   mul(g, scale(g, dy, -0.5), mul(g, y, mul(g, y, y))) )
UNARY( sin,     mul(g, dy, ir_unary(g->e, OP_cos, x)) )
UNARY( cos,     neg(g, mul(g, dy, ir_unary(g->e, OP_sin, x))) )
UNARY( tanh,    mul(g, dy, sub(g, number(g, 1.0), mul(g, y, y))) )
UNARY( sigmoid, mul(g, dy, mul(g, y, sub(g, number(g, 1.0), y))) )
/* 2 / sqrt(pi) * exp(-x^2) */
UNARY( erf,     mul(g, dy, scale(g, ir_unary(g->e, OP_exp, neg(g, mul(g, x, x))), 1.1283791670955126)) )
/* 0 at x = 0, as TensorFlow and PyTorch; reads y, so that x need not be kept. */
UNARY( relu,    ir_select(g->e, ir_binary(g->e, OP_lt, number(g, 0.0), y), dy, number(g, 0.0)) )
#undef UNARY

void grad_cast(const Grad *g)
{
	give(g, 0, ir_cast(g->e, g->dy, g->n->in[0]->type.dtype));
}

/* ---- pointwise, two operands ---- */
void grad_add(const Grad *g)
{
	for (int i = 0; i < 2; i++) {
		if (g->need[i])
			give(g, i, g->dy);
	}
}

void grad_sub(const Grad *g)
{
	if (g->need[0])
		give(g, 0, g->dy);
	if (g->need[1])
		give(g, 1, neg(g, g->dy));
}

void grad_mul(const Grad *g)
{
	for (int i = 0; i < 2; i++) {
		if (g->need[i])
			give(g, i, mul(g, g->dy, g->n->in[!i]));
	}
}

void grad_div(const Grad *g)
{
	IrNode *over = quotient(g, g->dy, g->n->in[1]);
	if (g->need[0])
		give(g, 0, over);
	if (g->need[1])
		give(g, 1, neg(g, mul(g, over, g->n)));
}

/* dy to operand 1 where `second` holds, else to operand 0: whichever the definition chose gets all of it. */
static void give_chosen(const Grad *g, IrNode *second)
{
	IrNode *zero = number(g, 0.0);
	if (g->need[0])
		give(g, 0, ir_select(g->e, second, zero, g->dy));
	if (g->need[1])
		give(g, 1, ir_select(g->e, second, g->dy, zero));
}

void grad_max(const Grad *g)
{
	give_chosen(g, ir_binary(g->e, OP_lt, g->n->in[0], g->n->in[1]));
}

void grad_min(const Grad *g)
{
	give_chosen(g, ir_binary(g->e, OP_lt, g->n->in[1], g->n->in[0]));
}

void grad_select(const Grad *g)
{
	IrNode *c = g->n->in[0], *zero = number(g, 0.0);
	if (g->need[1])
		give(g, 1, ir_select(g->e, c, g->dy, zero));
	if (g->need[2])
		give(g, 2, ir_select(g->e, c, zero, g->dy));
}

/* ---- shape ---- */
void grad_reshape(const Grad *g)
{
	g->din[0] = ir_reshape(g->e, g->dy, g->n->in[0]->type);
}

void grad_bcast(const Grad *g)
{
	give(g, 0, g->dy);
}

void grad_transpose(const Grad *g)
{
	int32_t inverse[IR_MAX_RANK] = { 0 };
	for (int i = 0; i < g->n->type.rank; i++)
		inverse[g->n->attr.perm.perm[i]] = i;
	g->din[0] = ir_transpose(g->e, g->dy, inverse);
}

static IrNode *cut(const Grad *g, OpCode op, int axis, int32_t start, int32_t extent)
{
	IrAttr attr;
	memset(&attr, 0, sizeof attr);
	attr.slice.axis = axis;
	attr.slice.start = start;
	attr.slice.extent = extent;
	return ir_node(g->e, NULL, op, g->n->loc, 1, &(IrNode *){ g->dy }, &attr, NULL);
}

void grad_concat(const Grad *g)
{
	int axis = g->n->attr.axis.axis;
	int32_t start = 0;
	for (int i = 0; i < g->n->nin; i++) {
		int32_t extent = g->n->in[i]->type.dim[axis];
		if (g->need[i])
			g->din[i] = cut(g, OP_slice, axis, start, extent);
		start += extent;
	}
}

void grad_slice(const Grad *g)
{
	int axis = g->n->attr.slice.axis;
	g->din[0] = cut(g, OP_pad, axis, g->n->attr.slice.start, g->n->in[0]->type.dim[axis]);
}

void grad_pad(const Grad *g)
{
	int axis = g->n->attr.slice.axis;
	g->din[0] = cut(g, OP_slice, axis, g->n->attr.slice.start, g->n->in[0]->type.dim[axis]);
}

/* ---- reductions ---- */
/* v, of the reduced type, with the reduced axes back as extent 1. */
static IrNode *with_axes(const Grad *g, IrNode *v)
{
	IrType t = kept(g->n->in[0]->type, g->n->attr.reduce.axes);
	t.dtype = v->type.dtype;
	return ir_type_eq(&v->type, &t) ? v : ir_reshape(g->e, v, t);
}

void grad_sum(const Grad *g)
{
	g->din[0] = ir_broadcast(g->e, with_axes(g, g->dy), g->n->in[0]->type);
}

static IrNode *iota(const Grad *g, int axis)
{
	IrType t = g->n->in[0]->type;
	t.dtype = DT_I32;
	IrAttr attr;
	memset(&attr, 0, sizeof attr);
	attr.axis.axis = axis;
	return ir_node(g->e, NULL, OP_iota, g->n->loc, 0, NULL, &attr, &t);
}

/* Where x is the first maximum, one axis reduced. */
static IrNode *first_on_axis(const Grad *g, int axis)
{
	IrNode *first = ir_reduce(g->e, OP_argmax, g->n->in[0], 1u << axis, true);
	return ir_binary(g->e, OP_eq, iota(g, axis), first);
}

/* Several axes: among the cells equal to the maximum the one of the smallest row-major number, written as the greatest
 * negative (exact in f32 up to 2^24 cells). */
static IrNode *first_of_all(const Grad *g, uint32_t axes)
{
	IrNode *x = g->n->in[0], *place = NULL;
	double stride = 1.0;
	for (int i = x->type.rank - 1; i >= 0; i--) {
		if (!(axes >> i & 1))
			continue;
		IrNode *term = scale(g, ir_cast(g->e, iota(g, i), x->type.dtype), -stride);
		place = place ? add(g, place, term) : term;
		stride *= x->type.dim[i]; /* N can only be the last that is met */
	}
	IrNode *hit = ir_binary(g->e, OP_eq, x, with_axes(g, g->n));
	IrNode *held = ir_select(g->e, hit, place, number(g, -INFINITY));
	return ir_binary(g->e, OP_eq, held, ir_reduce(g->e, OP_reduce_max, held, axes, true));
}

void grad_rmax(const Grad *g)
{
	uint32_t axes = g->n->attr.reduce.axes;
	if (!axes) {
		g->din[0] = g->dy;
		return;
	}
	bool one = !(axes & (axes - 1));
	IrNode *first = one ? first_on_axis(g, __builtin_ctz(axes)) : first_of_all(g, axes);
	g->din[0] = ir_select(g->e, first, with_axes(g, g->dy), number(g, 0.0));
}

/* ---- contractions ---- */
/* y = A B with A = a or a', B = b or b'. dA = dy B', dB = A' dy; transposed where the operand is. */
void grad_matmul(const Grad *g)
{
	IrNode *a = g->n->in[0], *b = g->n->in[1], *dy = g->dy;
	bool ta = g->n->attr.matmul.ta, tb = g->n->attr.matmul.tb;
	if (g->need[0])
		g->din[0] = ta ? ir_matmul(g->e, b, dy, tb, true) : ir_matmul(g->e, dy, b, false, !tb);
	if (g->need[1])
		g->din[1] = tb ? ir_matmul(g->e, dy, a, true, ta) : ir_matmul(g->e, a, dy, !ta, false);
}

/* The trilinear form of eval_contract.c: each op leaves one of x, w, y open, its gradients leave the others open. */
static IrNode *conv_with(const Grad *g, OpCode op, IrNode *a, IrNode *b, const IrType *want)
{
	return ir_node(g->e, NULL, op, g->n->loc, 2, (IrNode *[]){ a, b }, &g->n->attr, want);
}

static IrNode *conv_y(const Grad *g, IrNode *x, IrNode *w) { return conv_with(g, OP_conv2d, x, w, NULL); }
static IrNode *conv_x(const Grad *g, IrNode *y, IrNode *w, IrNode *like)
{
	return conv_with(g, OP_conv2d_dx, y, w, &like->type);
}
static IrNode *conv_w(const Grad *g, IrNode *x, IrNode *y, IrNode *like)
{
	return conv_with(g, OP_conv2d_dw, x, y, &like->type);
}

void grad_conv(const Grad *g)
{
	IrNode *x = g->n->in[0], *w = g->n->in[1];
	if (g->need[0])
		g->din[0] = conv_x(g, g->dy, w, x);
	if (g->need[1])
		g->din[1] = conv_w(g, x, g->dy, w);
}

void grad_conv_dx(const Grad *g) /* operands y, w */
{
	IrNode *y = g->n->in[0], *w = g->n->in[1];
	if (g->need[0])
		g->din[0] = conv_y(g, g->dy, w);
	if (g->need[1])
		g->din[1] = conv_w(g, g->dy, y, w);
}

void grad_conv_dw(const Grad *g) /* operands x, y */
{
	IrNode *x = g->n->in[0], *y = g->n->in[1];
	if (g->need[0])
		g->din[0] = conv_x(g, y, g->dy, x);
	if (g->need[1])
		g->din[1] = conv_y(g, x, g->dy);
}

/* ---- windows ---- */
static IrNode *pool_with(const Grad *g, OpCode op, int nin, IrNode *a, IrNode *b, const IrType *want)
{
	return ir_node(g->e, NULL, op, g->n->loc, nin, (IrNode *[]){ a, b }, &g->n->attr, want);
}

void grad_maxpool(const Grad *g)
{
	IrNode *x = g->n->in[0];
	IrNode *arg = pool_with(g, OP_maxpool_arg, 1, x, NULL, NULL);
	g->din[0] = pool_with(g, OP_maxpool_dx, 2, g->dy, arg, &x->type);
}

/* What lies under cell `cell` of every window of v: a depthwise convolution with a one-hot kernel. */
static IrNode *window_cell(const Grad *g, IrNode *v, int32_t cell)
{
	IrAttr attr = g->n->attr;
	const IrWindow *win = &g->n->attr.pool;
	const int space = ir_window_axes(win);
	attr.conv.groups = v->type.dim[space + 1];
	IrType t = { .dtype = DT_I32, .rank = space + 2 };
	for (int axis = 0; axis < space; axis++)
		t.dim[axis] = win->size[ir_window_outer(win, axis)];
	t.dim[space] = 1;
	t.dim[space + 1] = v->type.dim[space + 1];
	IrNode *hot = NULL;
	for (int axis = space - 1; axis >= 0; axis--) {
		IrAttr along;
		memset(&along, 0, sizeof along);
		along.axis.axis = axis;
		IrNode *at = ir_node(g->e, NULL, OP_iota, g->n->loc, 0, NULL, &along, &t);
		int32_t want = cell % t.dim[axis];
		cell /= t.dim[axis];
		IrNode *hit = ir_binary(g->e, OP_eq, at, ir_konst(g->e, g->n->loc, DT_I32, want));
		hot = hot ? ir_binary(g->e, OP_and, hot, hit) : hit;
	}
	IrNode *kernel = ir_cast(g->e, hot, v->type.dtype);
	return ir_node(g->e, NULL, OP_conv2d, g->n->loc, 2, (IrNode *[]){ v, kernel }, &attr, NULL);
}

/* Linear in dy: each window gets back the cell that its arg names. Only second derivatives come here. */
void grad_maxpool_dx(const Grad *g)
{
	IrNode *arg = g->n->in[1], *sum = number(g, 0.0);
	const IrWindow *win = &g->n->attr.pool;
	if (!g->need[0])
		return;
	int32_t cells = 1;
	for (int i = 0; i < ir_window_axes(win); i++)
		cells *= win->size[i];
	for (int32_t cell = 0; cell < cells; cell++) {
		IrNode *here = ir_binary(g->e, OP_eq, arg, ir_konst(g->e, g->n->loc, arg->type.dtype, cell));
		sum = ir_select(g->e, here, window_cell(g, g->dy, cell), sum);
	}
	g->din[0] = sum;
}

void grad_avgpool(const Grad *g)
{
	g->din[0] = pool_with(g, OP_avgpool_dx, 1, g->dy, NULL, &g->n->in[0]->type);
}

void grad_avgpool_dx(const Grad *g)
{
	g->din[0] = pool_with(g, OP_avgpool, 1, g->dy, NULL, NULL);
}

/* ---- rows ---- */
static IrNode *row_sum(const Grad *g, IrNode *v)
{
	return ir_reduce(g->e, OP_sum, v, 1u << (v->type.rank - 1), true);
}

void grad_softmax(const Grad *g)
{
	IrNode *y = g->n;
	g->din[0] = mul(g, y, sub(g, g->dy, row_sum(g, mul(g, g->dy, y))));
}

void grad_log_softmax(const Grad *g)
{
	g->din[0] = sub(g, g->dy, mul(g, ir_unary(g->e, OP_exp, g->n), row_sum(g, g->dy)));
}

/* ---- the interface ---- */
static bool is_float(DType t)
{
	return t == DT_F32 || t == DT_F64;
}

bool ir_grad(IrEntry *e, Diag *d, IrNode *n, IrNode *dy, const bool *need, IrNode **din)
{
	bool any = false, asks[64];
	INVARIANT(n->nin <= (int)COUNT(asks) && ir_type_eq(&n->type, &dy->type));
	for (int i = 0; i < n->nin; i++) {
		din[i] = NULL;
		asks[i] = need[i] && is_float(n->in[i]->type.dtype);
		any |= asks[i];
	}
	if (!any)
		return true;
	if (rules[n->op] == grad_none)
		return diag_error(d, n->loc, "%s has no gradient", ir_ops[n->op].text);
	rules[n->op](&(Grad){ e, n, dy, asks, din });
	return true;
}

/* precision_row.c -- columns and channels of a convolution's kernel as one summed axis
 *
 * in:   sum(… s c) x[…, w+s, c] * y[…, s, c, …]      out: sum(… t) x'[…, C·w + t] * y'[…, t, …],   t = C·s + c
 * not:  sums whose columns are not neighbours (dilation), or of which c is not all channels of x (groups)
 *
 * x' and y' are the same memory in types of one dimension less. Columns outside of x are outside of x'.
 */
#include "passes/precision.h"
#include "passes/rewrite.h"

/* x_dim, y_dim: dimensions of s; those of c are the next. c -1: of one channel, which no axis moves. */
typedef struct Row { int stage, x, y, s, c, x_dim, y_dim; } Row;

static bool in(KSet s, int axis)
{
	return s >> axis & 1;
}

/* The dimension that the axis moves, by ones; -1: none, or several. */
static int dim_of(const Kernel *k, int load, int axis)
{
	const KExpr *x = &k->expr[load];
	int dim = -1;
	for (int d = 0; d < k->opnd[x->operand].type.rank; d++) {
		if (!x->at[d].coef[axis])
			continue;
		if (dim >= 0 || x->at[d].coef[axis] != 1)
			return -1;
		dim = d;
	}
	return dim;
}

/* Does the axis alone run over all of dimension d? */
static bool covers(const Kernel *k, int load, int d, int axis)
{
	const KExpr *x = &k->expr[load];
	const KIndex whole = axis < 0 ? k_index(0) : k_index_axis(axis);
	return k_index_eq(&x->at[d], &whole) && k->opnd[x->operand].type.dim[d] == (axis < 0 ? 1 : k->axis[axis].extent);
}

/* Is the axis in indices of these two loads only? */
static bool only_there(const Kernel *k, const Row *r, int axis)
{
	for (int i = 0; i < k->nexprs; i++) {
		const KExpr *e = &k->expr[i];
		int n = e->op == K_LOAD ? k->opnd[e->operand].type.rank : e->op == K_AXIS ? 1 : 0;
		for (int d = 0; d < n && i != r->x && i != r->y; d++) {
			if (e->at[d].coef[axis])
				return false;
		}
	}
	return true;
}

static bool affine(const Kernel *k, int load)
{
	for (int d = 0; d < k->opnd[k->expr[load].operand].type.rank; d++) {
		if (k->expr[load].at[d].expr >= 0)
			return false;
	}
	return true;
}

/* Are s and c columns and channels of the product x · y? */
static bool is_row(const Kernel *k, Row *r)
{
	const IrType *t = &k->opnd[k->expr[r->x].operand].type, *ty = &k->opnd[k->expr[r->y].operand].type;
	if (k->axis[r->s].ext != EXT_CONST || (r->c >= 0 && k->axis[r->c].ext != EXT_CONST) || k->expr[r->x].edge > EDGE_ZERO ||
	    k->expr[r->y].edge != EDGE_NEVER || !affine(k, r->x) || !affine(k, r->y) || !only_there(k, r, r->s) ||
	    (r->c >= 0 && !only_there(k, r, r->c)))
		return false;
	r->x_dim = dim_of(k, r->x, r->s);
	r->y_dim = dim_of(k, r->y, r->s);
	return t->rank >= 2 && r->x_dim == t->rank - 2 && t->dim[r->x_dim] != IR_N && covers(k, r->x, r->x_dim + 1, r->c) &&
	       r->y_dim >= 0 && r->y_dim + 1 < ty->rank && covers(k, r->y, r->y_dim, r->s) && covers(k, r->y, r->y_dim + 1, r->c);
}

static bool find_axes(const Kernel *k, Row *r)
{
	const KSet away = k->stage[r->stage].away;
	for (r->s = 0; r->s < k->naxes; r->s++) {
		for (r->c = -1; r->c < k->naxes && in(away, r->s); r->c++) {
			if (r->c != r->s && (r->c < 0 || in(away, r->c)) && is_row(k, r))
				return true;
		}
	}
	return false;
}

static bool find_row(const Kernel *k, Row *r)
{
	for (r->stage = 0; r->stage < k->nstages; r->stage++) {
		const KStage *s = &k->stage[r->stage];
		for (int side = 0; side < 2 && k_is_contraction(k, s); side++) {
			const KExpr *product = &k->expr[s->value];
			r->x = product->arg[side];
			r->y = product->arg[!side];
			if (k->expr[r->x].op == K_LOAD && k->expr[r->y].op == K_LOAD && find_axes(k, r))
				return true;
		}
	}
	return false;
}

/* The load with the dimensions of s and c as one. */
static int flat_load(Rewrite *r, int x)
{
	const Row *row = r->arg;
	const KExpr *e = &r->from->expr[x];
	if (x != row->x && x != row->y)
		return -1;
	const KOperand *o = &r->from->opnd[e->operand];
	const int dim = x == row->x ? row->x_dim : row->y_dim;
	IrType t = o->type;
	KIndex at[IR_MAX_RANK];
	rewrite_index(r, e->at, t.rank, at);
	at[dim].coef[row->s] = 0;
	at[dim] = k_index_plus(k_index_affine(at[dim], t.dim[dim + 1], 0), k_index_axis(row->s));
	t.dim[dim] *= t.dim[dim + 1];
	t.rank--;
	for (int d = dim + 1; d < t.rank; d++) {
		t.dim[d] = t.dim[d + 1];
		at[d] = at[d + 1];
	}
	return k_load(r->a, r->to, k_operand(r->a, r->to, o->name, o->buf, t, o->mode), at, e->edge);
}

static int flat_sum(Rewrite *r, int stage)
{
	const Row *row = r->arg;
	const KStage *s = &r->from->stage[stage];
	if (stage != row->stage)
		return -1;
	const KSet away = row->c < 0 ? s->away : s->away & ~((KSet)1 << row->c);
	return k_reduce(r->a, r->to, s->name, s->red, away, rewrite_expr(r, s->value), s->type);
}

Kernel *row_kernel(Arena *a, const Kernel *k)
{
	Row row;
	if (!find_row(k, &row))
		return NULL;
	Rewrite *r = rewrite_new(a, k, k->name, flat_load, flat_sum, &row);
	r->to->axis[row.s].extent *= row.c < 0 ? 1 : k->axis[row.c].extent;
	return rewrite_all(r);
}

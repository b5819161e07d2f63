/* merge.c -- two axes that move memory like one become one
 *
 * in:   kernels as fuse made them      out: kernels of fewer axes, operands seen in types of fewer dimensions
 * not:  samples; kernels of lists; axes of a window, whose points meet
 *
 * y[n, h, w, k] = sum(c) x[n, h, w, c] * v[c, k] with pictures of 7x7 becomes y[n, hw, k] = sum(c) x[n, hw, c] * v[c, k] with hw:49, a
 * product of matrices: its tiles take as many pixels as they like, not only those of a row. Likewise the sum over pixels in its
 * gradient, and all of a picture where each value is computed by itself. Two axes merge if everywhere one step of the outer is as
 * many steps of the inner as that one has, in dimensions that nothing else moves.
 */
#include "passes/passes.h"
#include "passes/rewrite.h"
#include <string.h>

typedef struct Merge { int outer, inner; } Merge;

/* The dimensions of one access that the two axes move: first … last; none: first is -1. */
typedef struct Span { int first, last; int64_t by[2]; } Span; /* by: elements of those dimensions a step of outer, of inner */

static bool in(KSet s, int axis)
{
	return s >> axis & 1;
}

/* Do the two axes alone move this index, inside the dimension? */
static bool theirs_alone(const Kernel *k, const KIndex *at, int32_t dim, Merge m)
{
	int64_t last = 0;
	if (at->expr >= 0 || at->c0 || dim == IR_N)
		return false;
	for (int a = 0; a < k->naxes; a++) {
		if (at->coef[a] && a != m.outer && a != m.inner)
			return false;
		if (at->coef[a] < 0)
			return false;
		last += (int64_t)at->coef[a] * (k->axis[a].extent - 1);
	}
	return last < dim;
}

static bool span_of(const Kernel *k, const KIndex *at, const IrType *t, Merge m, Span *s)
{
	int64_t size = 1;
	*s = (Span){.first = -1, .last = -1};
	for (int d = 0; d < t->rank; d++) {
		if (!at[d].coef[m.outer] && !at[d].coef[m.inner])
			continue;
		s->first = s->first < 0 ? d : s->first;
		s->last = d;
	}
	for (int d = s->last; d >= 0 && d >= s->first; d--) {
		if (!theirs_alone(k, &at[d], t->dim[d], m))
			return false;
		s->by[0] += at[d].coef[m.outer] * size;
		s->by[1] += at[d].coef[m.inner] * size;
		size *= t->dim[d];
		if (size > INT32_MAX)
			return false;
	}
	return s->by[0] == s->by[1] * k->axis[m.inner].extent;
}

static bool both_or_none(KSet s, Merge m)
{
	return in(s, m.outer) == in(s, m.inner);
}

static bool neighbours(KSet s, Merge m)
{
	for (int a = m.outer + 1; a < m.inner; a++) {
		if (in(s, a))
			return false;
	}
	return true;
}

static bool stage_allows(const Kernel *k, const KStage *s, Merge m)
{
	Span span;
	if (s->kind == S_PUSH || !both_or_none(s->over, m) || !both_or_none(s->away, m))
		return false;
	if (s->kind == S_REDUCE) /* points are numbered in the order of the axes */
		return !in(s->away, m.outer) || neighbours(s->away, m);
	return span_of(k, s->at, &k->opnd[s->operand].type, m, &span);
}

static bool expr_allows(const Kernel *k, const KExpr *x, Merge m)
{
	Span span;
	if (x->op == K_LOAD)
		return span_of(k, x->at, &k->opnd[x->operand].type, m, &span);
	return x->op != K_AXIS || x->at->coef[m.outer] == (int64_t)x->at->coef[m.inner] * k->axis[m.inner].extent;
}

static bool may_merge(const Kernel *k, Merge m)
{
	const KAxis *a = &k->axis[m.outer], *b = &k->axis[m.inner];
	if (a->ext != EXT_CONST || b->ext != EXT_CONST || (int64_t)a->extent * b->extent > INT32_MAX)
		return false;
	for (int i = 0; i < k->nexprs; i++) {
		if (!expr_allows(k, &k->expr[i], m))
			return false;
	}
	for (int i = 0; i < k->nstages; i++) {
		if (!stage_allows(k, &k->stage[i], m))
			return false;
	}
	return true;
}

static bool has_list(const Kernel *k)
{
	for (int a = 0; a < k->naxes; a++) {
		if (k->axis[a].ext == EXT_LIST)
			return true;
	}
	return false;
}

/* ---- the merged kernel: the outer axis goes through all points of both ---- */

static void merge_index(Rewrite *r, KIndex *at)
{
	const Merge *m = r->arg;
	at->coef[m->outer] = at->coef[m->inner];
	at->coef[m->inner] = 0;
}

/* The operand in fewer dimensions, and the index of an access to it. */
static int merge_access(Rewrite *r, int operand, const KIndex *from, KIndex *at)
{
	const KOperand *o = &r->from->opnd[operand];
	IrType t = o->type;
	Span s;
	bool ok = span_of(r->from, from, &t, *(const Merge *)r->arg, &s);
	INVARIANT(ok);
	rewrite_index(r, from, t.rank, at);
	for (int d = s.last; d > s.first; d--) {
		t.dim[s.first] *= t.dim[s.first + 1];
		t.rank--;
		memmove(&t.dim[s.first + 1], &t.dim[s.first + 2], sizeof t.dim[0] * (size_t)(t.rank - s.first - 1));
		memmove(&at[s.first], &at[s.first + 1], sizeof *at * (size_t)(t.rank - s.first));
	}
	if (s.first >= 0)
		at[s.first].coef[((const Merge *)r->arg)->outer] = (int32_t)s.by[1];
	return k_operand(r->a, r->to, o->name, o->buf, t, o->mode);
}

static int merge_load(Rewrite *r, int x)
{
	const KExpr *e = &r->from->expr[x];
	KIndex at[IR_MAX_RANK];
	int o = merge_access(r, e->operand, e->at, at);
	return e->imm > 0 ? k_load_below(r->a, r->to, o, at, (int32_t)e->imm) : k_load(r->a, r->to, o, at, e->edge);
}

static int merge_reduce(Rewrite *r, int stage)
{
	const KStage *s = &r->from->stage[stage];
	KSet away = s->away & ~((KSet)1 << ((const Merge *)r->arg)->inner);
	return k_reduce(r->a, r->to, s->name, s->red, away, rewrite_expr(r, s->value), s->type);
}

static const char *merged_name(Arena *a, const Kernel *k, Merge m)
{
	const char *name = arena_printf(a, "%s%s", k->axis[m.outer].name, k->axis[m.inner].name);
	for (int i = 0; i < k->naxes; i++) {
		if (strcmp(name, k->axis[i].name) == 0)
			return k->axis[m.outer].name;
	}
	return name;
}

static Kernel *merged(Arena *a, const Kernel *k, Merge m)
{
	Rewrite *r = rewrite_new(a, k, k->name, merge_load, merge_reduce, &m);
	r->index = merge_index;
	r->to->axis[m.outer].extent *= k->axis[m.inner].extent;
	r->to->axis[m.outer].name = merged_name(a, k, m);
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		KIndex at[IR_MAX_RANK];
		if (s->kind == S_REDUCE)
			continue;
		int value = rewrite_expr(r, s->value), o = merge_access(r, s->operand, s->at, at);
		(s->kind == S_ADD ? k_add : k_store)(a, r->to, o, at, value);
	}
	k_finish(r->to);
	return r->to;
}

/* The kernel with its first two axes that may be one merged, NULL: there are none. */
static Kernel *merge_some(Arena *a, const Kernel *k)
{
	for (Merge m = {.outer = 0}; m.outer < k->naxes; m.outer++) {
		for (m.inner = m.outer + 1; m.inner < k->naxes; m.inner++) {
			if (may_merge(k, m))
				return merged(a, k, m);
		}
	}
	return NULL;
}

bool pass_merge(IrModule *m, PassCx *cx)
{
	(void)cx;
	for (int i = 0; i < m->program->nentries; i++) {
		KEntry *e = &m->program->entry[i];
		for (int j = 0; j < e->nkernels; j++) {
			Kernel *k = e->kernel[j];
			while (!has_list(k) && (k = merge_some(m->arena, k)))
				e->kernel[j] = k;
		}
	}
	return true;
}

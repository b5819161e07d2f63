/* layout.c -- physical layouts: the vector axis of every contraction runs through memory by ones
 *
 * in:   kernels, all buffers dense and row-major in their logical type      out: views, and kernels that make them
 *
 * Where a contraction reads an operand whose last dimension is not the last axis of its result (data gradients of convolutions
 * and dense layers read the kernel across), it reads a view instead: the same elements with that dimension last. Views of
 * parameters are made once a call, at its start; others where their source is ready. Files and state keep the Keras layout.
 */
#include "passes/passes.h"
#include "passes/rewrite.h"
#include <string.h>

enum { MIN_LANES = 4 };

typedef struct View { int source, buffer, dim; IrType type; const KEntry *entry; struct View *next; } View;

typedef struct Layout {
	IrModule *m;
	KEntry *e;
	View *views;
	int position;     /* of the kernel being rewritten */
	int axis;         /* its result's last axis */
	int paired;       /* its load whose pairs lie along that axis already, -1: none */
	bool changed;
} Layout;

/* The axis that steps through the first store's memory by one, -1: none. */
static int result_axis(const Kernel *k)
{
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		if (s->kind == S_REDUCE || k->opnd[s->operand].type.rank == 0)
			continue;
		const KIndex *last = &s->at[k->opnd[s->operand].type.rank - 1];
		for (int a = 0; a < k->naxes; a++) {
			if (last->coef[a] == 1 && k->axis[a].ext == EXT_CONST && k->axis[a].extent >= MIN_LANES)
				return a;
		}
		return -1;
	}
	return -1;
}

/* The one dimension before the last that the axis moves, by ones; -1 where a view would not help. */
static int crossing_dim(const Kernel *k, const KExpr *x, int axis)
{
	const IrType *t = &k->opnd[x->operand].type;
	int dim = -1;
	for (int d = 0; d < t->rank; d++) {
		if (x->at[d].expr >= 0)
			return -1;
		if (!x->at[d].coef[axis])
			continue;
		if (dim >= 0 || x->at[d].coef[axis] != 1 || d == t->rank - 1 || t->dim[d] == IR_N)
			return -1;
		dim = d;
	}
	return dim;
}

static IrType permuted(const IrType *t, int dim)
{
	IrType out = *t;
	for (int d = dim; d < t->rank - 1; d++)
		out.dim[d] = t->dim[d + 1];
	out.dim[t->rank - 1] = t->dim[dim];
	return out;
}

static void permute_index(const KIndex *at, int rank, int dim, KIndex *out)
{
	memmove(out, at, sizeof *out * (size_t)rank);
	KIndex moved = at[dim];
	for (int d = dim; d < rank - 1; d++)
		out[d] = at[d + 1];
	out[rank - 1] = moved;
}

/* view[…, i_dim] = source[…] */
static Kernel *view_kernel(Arena *a, const KBuffer *src, const View *v, Loc loc, int32_t max_n)
{
	Kernel *k = k_new(a, arena_printf(a, "%s.view", src->name), loc);
	KIndex at[IR_MAX_RANK], out[IR_MAX_RANK];
	for (int d = 0; d < v->type.rank; d++) {
		bool samples = v->type.dim[d] == IR_N;
		at[d] = k_index_axis(samples ? k_axis(a, k, "n", EXT_N, max_n) : k_axis(a, k, "i", EXT_CONST, v->type.dim[d]));
	}
	IrType to = permuted(&v->type, v->dim);
	int x = k_load(a, k, k_operand(a, k, "x", v->source, v->type, M_IN), at, EDGE_NEVER);
	permute_index(at, v->type.rank, v->dim, out);
	k_store(a, k, k_operand(a, k, "y", v->buffer, to, M_OUT), out, x);
	k_finish(k);
	return k;
}

static const View *view_of(Layout *l, int source, const IrType *t, int dim)
{
	for (View *v = l->views; v; v = v->next) {
		if (v->entry == l->e && v->source == source && v->dim == dim && ir_type_eq(&v->type, t))
			return v;
	}
	Arena *a = l->m->arena;
	View *v = NEW(a, View);
	*v = (View){.source = source, .dim = dim, .type = *t, .entry = l->e, .next = l->views};
	KBuffer src = l->m->program->buffer[source];
	v->buffer = program_buffer(a, l->m->program, (KBuffer){.name = arena_printf(a, "%s.view", src.name), .cls = B_SLAB,
	                                                       .type = permuted(t, dim), .loc = src.loc});
	l->views = v;
	Kernel *k = view_kernel(a, &src, v, src.loc, l->m->max_n);
	entry_insert(a, l->e, src.cls == B_STATE ? 0 : l->position, k);
	l->position++;
	return v;
}

static int load_view(Rewrite *r, int x)
{
	Layout *l = r->arg;
	const KExpr *e = &r->from->expr[x];
	int dim = crossing_dim(r->from, e, l->axis);
	if (dim < 0 || x == l->paired)
		return -1;
	const KOperand *o = &r->from->opnd[e->operand];
	const View *v = view_of(l, o->buf, &o->type, dim);
	IrType t = permuted(&o->type, dim);
	KIndex at[IR_MAX_RANK], out[IR_MAX_RANK];
	rewrite_index(r, e->at, t.rank, at);
	permute_index(at, t.rank, dim, out);
	l->changed = true;
	return k_load(r->a, r->to, k_operand(r->a, r->to, o->name, v->buffer, t, M_IN), out, e->edge);
}

static int paired_load(const Kernel *k)
{
	KPair p;
	for (int i = 0; i < k->nstages; i++) {
		if (k_pair(k, i, &p))
			return p.vector;
	}
	return -1;
}

/* Kernels that walk lists read every buffer as choose_list.c laid it. */
static bool walks_list(const Kernel *k)
{
	for (int a = 0; a < k->naxes; a++) {
		if (k->axis[a].ext == EXT_LIST)
			return true;
	}
	return false;
}

static void lay_out(Layout *l)
{
	Kernel *k = l->e->kernel[l->position];
	l->axis = result_axis(k);
	l->changed = false;
	l->paired = paired_load(k);
	if (!k->contraction || l->axis < 0 || walks_list(k))
		return;
	Kernel *made = rewrite_all(rewrite_new(l->m->arena, k, k->name, load_view, NULL, l));
	if (l->changed)
		l->e->kernel[l->position] = made;
}

bool pass_layout(IrModule *m, PassCx *cx)
{
	Layout l = {.m = m};
	(void)cx;
	for (int i = 0; i < m->program->nentries; i++) {
		l.e = &m->program->entry[i];
		for (l.position = 0; l.position < l.e->nkernels; l.position++)
			lay_out(&l);
	}
	return true;
}

/* choose_pack.c -- matrix products with copied factors: see choose.h
 *
 * y[m, j] = sum(k) a[m, k] * b[k, j] becomes
 *   p[jo, k, ji] = b[k, 32jo + ji]          q[m, k] = a[m, k], in rows that are a little longer
 *   y[m, 32jo + ji] = sum(k) q[m, k] * p[jo, k, ji]
 * A tile's columns of b then lie one behind the other, where a matrix that is read across pages fills few sets of the caches and
 * misses the TLB. The rows of a are copied where their distance is a multiple of what a way of the first-level cache holds, so that
 * all rows of a tile would fall into one set. It pays for itself when each copied element is used often; the order of the
 * sum stays.
 */
#include "passes/choose.h"
#include "passes/rewrite.h"
#include <string.h>

enum { PANEL = 2 * K_LANES, PAD = K_LANES, WAY_BYTES = 4096, PACK_BYTES = 1 << 20, PACK_ROWS = 384, PAD_COLUMNS = 384,
       CROSS_BYTES = 256 << 10, CROSS_ROWS = 8 };

typedef struct Product {
	IrModule *m;
	int stage, wide, other; /* REDUCE stage; its factors: the one that the columns move, the one that they do not */
	int row, column, sum;   /* axes */
	int dim[2];             /* of the wide factor: moved by the sum, by the columns */
	int panels;             /* axis of the new kernel */
	int packed, padded;     /* buffers, -1: not copied */
	IrType packed_type, padded_type;
} Product;

static bool in(KSet s, int axis)
{
	return s >> axis & 1;
}

static int only(KSet s)
{
	return s && !(s & (s - 1)) ? __builtin_ctz(s) : -1;
}

/* The axis by which the last dimension of every store goes by ones, -1: none. */
static int column_axis(const Kernel *k)
{
	int axis = -1;
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		int rank = s->kind == S_STORE ? k->opnd[s->operand].type.rank : 0;
		if (s->kind == S_REDUCE)
			continue;
		int a = rank ? only(k_index_axes(k, &s->at[rank - 1])) : -1;
		if (a < 0 || s->at[rank - 1].coef[a] != 1 || (axis >= 0 && a != axis))
			return -1;
		axis = a;
	}
	return axis;
}

/* Is load x a matrix of the axes sum and column, each in a dimension of its own? */
static bool is_matrix(const Kernel *k, int x, int sum, int column, int dim[2])
{
	const KExpr *l = &k->expr[x];
	const IrType *t = &k->opnd[l->operand].type;
	dim[0] = dim[1] = -1;
	for (int d = 0; d < t->rank; d++) {
		KSet axes = k_index_axes(k, &l->at[d]);
		int a = only(axes);
		if (l->at[d].expr >= 0 || l->at[d].c0 || (axes && a != sum && a != column) || (a >= 0 && l->at[d].coef[a] != 1) ||
		    (a >= 0 && dim[a == column] >= 0))
			return false;
		if (a >= 0)
			dim[a == column] = d;
	}
	return dim[0] >= 0 && dim[1] >= 0;
}

static bool plain_load(const Kernel *k, int x)
{
	const KExpr *l = &k->expr[x];
	return l->op == K_LOAD && l->edge == EDGE_NEVER && k->opnd[l->operand].mode == M_IN;
}

/* One sum of products over one axis, two axes of results. */
static bool read_product(const Kernel *k, Product *p)
{
	p->stage = -1;
	for (int i = 0; i < k->nstages; i++) {
		if (k->stage[i].kind == S_REDUCE && p->stage >= 0)
			return false;
		p->stage = k->stage[i].kind == S_REDUCE ? i : p->stage;
	}
	if (p->stage < 0 || !k_is_contraction(k, &k->stage[p->stage]))
		return false;
	const KStage *s = &k->stage[p->stage];
	const KExpr *x = &k->expr[s->value];
	p->column = column_axis(k);
	p->sum = only(s->away);
	if (p->column < 0 || p->sum < 0 || k->axis[p->sum].ext != EXT_CONST || k->axis[p->column].ext != EXT_CONST)
		return false;
	p->row = only(s->over & ~((KSet)1 << p->column));
	bool second = in(k->expr[x->arg[1]].axes, p->column);
	p->wide = x->arg[second];
	p->other = x->arg[!second];
	return p->row >= 0 && in(s->over, p->column) && plain_load(k, p->wide) && plain_load(k, p->other) &&
	       !in(k->expr[p->other].axes, p->column) && k->expr[p->wide].type == DT_F32 && k->expr[p->other].type == DT_F32 &&
	       is_matrix(k, p->wide, p->sum, p->column, p->dim);
}

static int64_t rows(const Product *p, const Kernel *k)
{
	return k->axis[p->row].ext == EXT_N ? p->m->max_n : k->axis[p->row].extent;
}

/* Is the wide factor used often enough for a copy? Where its lanes cross rows, a copy of some kind is made anyway. */
static bool wants_panels(const Product *p, const Kernel *k)
{
	int64_t columns = k->axis[p->column].extent, bytes = columns * k->axis[p->sum].extent * dtype_size(DT_F32);
	if (k->naxes == K_MAX_AXES || columns % PANEL || columns < 2 * PANEL)
		return false;
	bool crosses = p->dim[1] < p->dim[0];
	return crosses ? bytes >= CROSS_BYTES && rows(p, k) >= CROSS_ROWS : bytes >= PACK_BYTES && rows(p, k) >= PACK_ROWS;
}

/* Do the rows of the other factor, walked by the sum, meet in one set of the first-level cache? */
static bool wants_padding(const Product *p, const Kernel *k)
{
	const KExpr *l = &k->expr[p->other];
	const IrType *t = &k->opnd[l->operand].type;
	const KIndex *last = &l->at[t->rank - 1];
	return only(k_index_axes(k, last)) == p->sum && last->coef[p->sum] == 1 &&
	       t->dim[t->rank - 1] * (int64_t)dtype_size(DT_F32) % WAY_BYTES == 0 && k->axis[p->column].extent >= PAD_COLUMNS &&
	       rows(p, k) >= PACK_ROWS && t->dim[t->rank - 1] < INT32_MAX - PAD;
}

/* ---- copies ---- */

static int new_buffer(const Product *p, const Kernel *k, int source, const char *what, const IrType *t)
{
	const KBuffer *b = &p->m->program->buffer[source];
	return program_buffer(p->m->arena, p->m->program,
	                      (KBuffer){.name = arena_printf(p->m->arena, "%s.%s", b->name, what), .cls = B_SLAB, .type = *t, .loc = k->loc});
}

/* packed[jo, k, ji] = wide[k, PANEL jo + ji] */
static Kernel *packing_kernel(Product *p, const Kernel *k)
{
	Arena *a = p->m->arena;
	const KOperand *o = &k->opnd[k->expr[p->wide].operand];
	int32_t panels = k->axis[p->column].extent / PANEL, length = k->axis[p->sum].extent;
	p->packed_type = (IrType){.dtype = DT_F32, .rank = 3, .dim = {panels, length, PANEL}};
	p->packed = new_buffer(p, k, o->buf, "panels", &p->packed_type);
	Kernel *c = k_new(a, p->m->program->buffer[p->packed].name, k->loc);
	KIndex jo = k_index_axis(k_axis(a, c, "panel", EXT_CONST, panels)), i = k_index_axis(k_axis(a, c, "i", EXT_CONST, length)),
	       ji = k_index_axis(k_axis(a, c, "j", EXT_CONST, PANEL)), at[IR_MAX_RANK];
	for (int d = 0; d < o->type.rank; d++)
		at[d] = d == p->dim[0] ? i : d == p->dim[1] ? k_index_plus(k_index_affine(jo, PANEL, 0), ji) : k_index(0);
	int x = k_load(a, c, k_operand(a, c, "x", o->buf, o->type, M_IN), at, EDGE_NEVER);
	k_store(a, c, k_operand(a, c, "y", p->packed, p->packed_type, M_OUT), (KIndex[]){jo, i, ji}, x);
	k_finish(c);
	c->copies = p->dim[1] > p->dim[0];
	return c;
}

/* padded[m, k] = other[m, k] */
static Kernel *padding_kernel(Product *p, const Kernel *k)
{
	Arena *a = p->m->arena;
	const KOperand *o = &k->opnd[k->expr[p->other].operand];
	p->padded_type = o->type;
	p->padded_type.dim[o->type.rank - 1] += PAD;
	p->padded = new_buffer(p, k, o->buf, "rows", &p->padded_type);
	Kernel *c = k_new(a, p->m->program->buffer[p->padded].name, k->loc);
	KIndex at[IR_MAX_RANK];
	for (int d = 0; d < o->type.rank; d++) {
		bool samples = o->type.dim[d] == IR_N;
		at[d] = k_index_axis(samples ? k_axis(a, c, "n", EXT_N, p->m->max_n) : k_axis(a, c, "i", EXT_CONST, o->type.dim[d]));
	}
	int x = k_load(a, c, k_operand(a, c, "x", o->buf, o->type, M_IN), at, EDGE_NEVER);
	k_store(a, c, k_operand(a, c, "y", p->padded, p->padded_type, M_OUT), at, x);
	k_finish(c);
	c->copies = p->dim[1] > p->dim[0];
	return c;
}

/* ---- the product ---- */

static int load_copy(Rewrite *r, int x)
{
	const Product *p = r->arg;
	if (x == p->wide && p->packed >= 0) {
		KIndex at[3] = {k_index_axis(p->panels), k_index_axis(p->sum), k_index_axis(p->column)};
		return k_load(r->a, r->to, k_operand(r->a, r->to, "panels", p->packed, p->packed_type, M_IN), at, EDGE_NEVER);
	}
	if (x == p->other && p->padded >= 0) {
		KIndex at[IR_MAX_RANK];
		rewrite_index(r, r->from->expr[x].at, p->padded_type.rank, at);
		return k_load(r->a, r->to, k_operand(r->a, r->to, "rows", p->padded, p->padded_type, M_IN), at, EDGE_NEVER);
	}
	return -1;
}

static void split_columns(Rewrite *r, KIndex *at)
{
	const Product *p = r->arg;
	at->coef[p->panels] = PANEL * at->coef[p->column];
}

static Kernel *product_kernel(Product *p, const Kernel *k)
{
	Rewrite *r = rewrite_new(p->m->arena, k, k->name, load_copy, NULL, p);
	if (p->packed >= 0) {
		p->panels = k_axis(p->m->arena, r->to, "panel", EXT_CONST, k->axis[p->column].extent / PANEL);
		r->to->axis[p->column].extent = PANEL;
		r->index = split_columns;
	}
	rewrite_all(r);
	r->to->plain = p->dim[1] > p->dim[0] ? k : NULL; /* where lanes cross rows, layout copies anyway */
	return r->to;
}

int choose_pack(IrModule *m, KEntry *e, int at)
{
	Product p = {.m = m, .packed = -1, .padded = -1};
	const Kernel *k = e->kernel[at];
	if (!read_product(k, &p))
		return at;
	Kernel *pack = wants_panels(&p, k) ? packing_kernel(&p, k) : NULL;
	Kernel *pad = pack && wants_padding(&p, k) ? padding_kernel(&p, k) : NULL;
	if (!pack)
		return at;
	e->kernel[at] = product_kernel(&p, k);
	if (pad)
		entry_insert(m->arena, e, at++, pad);
	bool state = m->program->buffer[k->opnd[k->expr[p.wide].operand].buf].cls == B_STATE;
	entry_insert(m->arena, e, state ? 0 : at, pack);
	return at + 1;
}

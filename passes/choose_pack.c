/* choose_pack.c -- products with copied factors: see choose.h
 *
 * y[m, j] = sum(k) a[m, k] * b[k, j] becomes
 *   p[jo, k, ji] = b[k, 32jo + ji]          q[m, k] = a[m, k], in rows that are a little longer
 *   y[m, 32jo + ji] = sum(k) q[m, k] * p[jo, k, ji]
 * A tile's columns of b then lie one behind the other, where a matrix that is read across pages fills few sets of the caches and
 * misses the TLB. The same goes for the weights of a convolution, where m are samples and pixels and k rows, columns and channels
 * of a kernel. The rows of a are copied where their distance is a multiple of what a way of the first-level cache holds, so that
 * all rows of a tile would fall into one set. It pays for itself when each copied element is used often; the order of the
 * sum stays.
 */
#include "passes/choose.h"
#include "passes/rewrite.h"
#include <string.h>

enum { PANEL = 2 * K_LANES, PAD = K_LANES, WAY_BYTES = 4096, PACK_BYTES = 1 << 20, PACK_USES = 384, WEIGHT_USES = 768,
       PAD_COLUMNS = 384, CROSS_BYTES = 256 << 10, CROSS_USES = 8 };

typedef struct Product {
	IrModule *m;
	int stage, wide, other; /* REDUCE stage; its factors: the one that the columns move, the one that they do not */
	int column, sum;        /* axes; sum -1: there are several */
	int dim;                /* of the wide factor, moved by the columns */
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

/* The one dimension of load x that the axis moves, alone and by ones; nothing gathered. -1: none. */
static int column_dim(const Kernel *k, int x, int axis)
{
	const KExpr *l = &k->expr[x];
	int dim = -1;
	for (int d = 0; d < k->opnd[l->operand].type.rank; d++) {
		if (l->at[d].expr >= 0 || k->opnd[l->operand].type.dim[d] == IR_N)
			return -1;
		if (!l->at[d].coef[axis])
			continue;
		if (dim >= 0 || only(k_index_axes(k, &l->at[d])) != axis || l->at[d].coef[axis] != 1 || l->at[d].c0 ||
		    k->opnd[l->operand].type.dim[d] != k->axis[axis].extent)
			return -1;
		dim = d;
	}
	return dim;
}

static bool read_only(const Kernel *k, int x)
{
	const KExpr *l = &k->expr[x];
	return l->op == K_LOAD && l->type == DT_F32 && k->opnd[l->operand].mode == M_IN;
}

/* The one sum of products, and no stage that sums or compares columns. */
static int product_stage(const Kernel *k, int column)
{
	int stage = -1;
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		if (s->kind == S_REDUCE && (in(s->away, column) || !in(s->over, column)))
			return -1;
		if (k_is_contraction(k, s) && stage >= 0)
			return -1;
		stage = k_is_contraction(k, s) ? i : stage;
	}
	return stage;
}

static bool read_product(const Kernel *k, Product *p)
{
	for (int a = 0; a < k->naxes; a++) {
		if (k->axis[a].ext != EXT_CONST && k->axis[a].ext != EXT_N)
			return false;
	}
	p->column = column_axis(k);
	p->stage = p->column < 0 ? -1 : product_stage(k, p->column);
	if (p->stage < 0 || k->axis[p->column].ext != EXT_CONST || k->naxes == K_MAX_AXES)
		return false;
	const KStage *s = &k->stage[p->stage];
	const KExpr *x = &k->expr[s->value];
	bool second = in(k->expr[x->arg[1]].axes, p->column);
	p->sum = only(s->away);
	p->wide = x->arg[second];
	p->other = x->arg[!second];
	if (!read_only(k, p->wide) || !read_only(k, p->other) || in(k->expr[p->other].axes, p->column))
		return false;
	p->dim = column_dim(k, p->wide, p->column);
	return p->dim >= 0 && k->expr[p->wide].edge == EDGE_NEVER && k->opnd[k->expr[p->wide].operand].type.rank < IR_MAX_RANK;
}

/* How often the product uses each element of the wide factor. */
static int64_t uses(const Product *p, const Kernel *k)
{
	const KStage *s = &k->stage[p->stage];
	int64_t n = 1;
	for (int a = 0; a < k->naxes; a++) {
		if (in((s->over | s->away) & ~k->expr[p->wide].axes, a))
			n *= k->axis[a].ext == EXT_N ? p->m->max_n : k->axis[a].extent;
	}
	return n;
}

/* Do the lanes of columns cross rows of the wide factor? Then a copy of some kind is made anyway. */
static bool crosses(const Product *p, const Kernel *k)
{
	return p->dim < k->opnd[k->expr[p->wide].operand].type.rank - 1;
}

static bool is_matrix_product(const Product *p, const Kernel *k)
{
	return p->sum >= 0 && only(k->stage[p->stage].over & ~((KSet)1 << p->column)) >= 0;
}

/* Is the wide factor used often enough for a copy? One that a kernel before makes is laid as that kernel likes. */
static bool wants_panels(const Product *p, const Kernel *k)
{
	const KOperand *o = &k->opnd[k->expr[p->wide].operand];
	int64_t columns = k->axis[p->column].extent, bytes = ir_elems(&o->type, 1) * dtype_size(DT_F32);
	bool made = p->m->program->buffer[o->buf].cls == B_SLAB, paired = p->m->precision == PRECISION_MIXED_BF16;
	const bool matrix = is_matrix_product(p, k);
	if (columns % PANEL || columns < 2 * PANEL || ((made || paired) && !matrix))
		return false;
	if (crosses(p, k))
		return bytes >= CROSS_BYTES && uses(p, k) >= CROSS_USES;
	return bytes >= PACK_BYTES && uses(p, k) >= (matrix ? PACK_USES : WEIGHT_USES);
}

/* Do the rows of the other factor, walked by the sum, meet in one set of the first-level cache? */
static bool wants_padding(const Product *p, const Kernel *k)
{
	const KExpr *l = &k->expr[p->other];
	const IrType *t = &k->opnd[l->operand].type;
	const KIndex *last = &l->at[t->rank - 1];
	return is_matrix_product(p, k) && l->edge == EDGE_NEVER && only(k_index_axes(k, last)) == p->sum && last->coef[p->sum] == 1 &&
	       t->dim[t->rank - 1] * (int64_t)dtype_size(DT_F32) % WAY_BYTES == 0 && k->axis[p->column].extent >= PAD_COLUMNS &&
	       uses(p, k) >= PACK_USES && t->dim[t->rank - 1] < INT32_MAX - PAD;
}

/* ---- copies ---- */

static int new_buffer(const Product *p, const Kernel *k, int source, const char *what, const IrType *t)
{
	const KBuffer *b = &p->m->program->buffer[source];
	return program_buffer(p->m->arena, p->m->program,
	                      (KBuffer){.name = arena_printf(p->m->arena, "%s.%s", b->name, what), .cls = B_SLAB, .type = *t, .loc = k->loc});
}

/* The panel before, the column in it behind all other dimensions of the wide factor. */
static void panel_index(const Product *p, const KIndex *at, int rank, KIndex panel, KIndex column, KIndex *out)
{
	*out++ = panel;
	for (int d = 0; d < rank; d++) {
		if (d != p->dim)
			*out++ = at[d];
	}
	*out = column;
}

/* packed[jo, …, ji] = wide[…, PANEL jo + ji, …] */
static Kernel *packing_kernel(Product *p, const Kernel *k)
{
	Arena *a = p->m->arena;
	const KOperand *o = &k->opnd[k->expr[p->wide].operand];
	int32_t panels = k->axis[p->column].extent / PANEL;
	IrType *t = &p->packed_type;
	*t = (IrType){.dtype = DT_F32, .rank = 1, .dim = {panels}};
	for (int d = 0; d < o->type.rank; d++) {
		if (d != p->dim)
			t->dim[t->rank++] = o->type.dim[d];
	}
	t->dim[t->rank++] = PANEL;
	Kernel *c = k_new(a, arena_printf(a, "%s.panels", p->m->program->buffer[o->buf].name), k->loc);
	KIndex jo = k_index_axis(k_axis(a, c, "panel", EXT_CONST, panels)), at[IR_MAX_RANK], to[IR_MAX_RANK];
	for (int d = 0; d < o->type.rank; d++) {
		if (d != p->dim)
			at[d] = k_index_axis(k_axis(a, c, "i", EXT_CONST, o->type.dim[d]));
	}
	KIndex ji = k_index_axis(k_axis(a, c, "j", EXT_CONST, PANEL));
	at[p->dim] = k_index_plus(k_index_affine(jo, PANEL, 0), ji);
	panel_index(p, at, o->type.rank, jo, ji, to);
	int x = k_load(a, c, k_operand(a, c, "x", o->buf, o->type, M_IN), at, EDGE_NEVER);
	k_store(a, c, k_operand(a, c, "y", -1, *t, M_OUT), to, x);
	k_finish(c);
	c->copies = !crosses(p, k);
	return c;
}

static bool same_indices(const KIndex *a, const KIndex *b, int rank)
{
	for (int d = 0; d < rank; d++) {
		if (!k_index_eq(&a[d], &b[d]))
			return false;
	}
	return true;
}

/* Do both kernels copy the same elements of one buffer in the same way? */
static bool same_copy(const Kernel *a, const Kernel *b)
{
	if (a->nexprs != 1 || b->nexprs != 1 || a->nstages != 1 || b->nstages != 1 || a->expr[0].op != K_LOAD ||
	    b->expr[0].op != K_LOAD || a->naxes != b->naxes || a->copies != b->copies)
		return false;
	const KOperand *x = &a->opnd[a->expr[0].operand], *y = &b->opnd[b->expr[0].operand];
	const KOperand *to = &a->opnd[a->stage[0].operand], *out = &b->opnd[b->stage[0].operand];
	return x->buf == y->buf && ir_type_eq(&x->type, &y->type) && ir_type_eq(&to->type, &out->type) &&
	       same_indices(a->expr[0].at, b->expr[0].at, x->type.rank) && same_indices(a->stage[0].at, b->stage[0].at, to->type.rank);
}

/* The panels that a kernel before `at` makes already, -1: none. */
static int known_panels(const KEntry *e, int at, const Kernel *pack)
{
	for (int i = 0; i < at; i++) {
		if (same_copy(pack, e->kernel[i]))
			return e->kernel[i]->opnd[e->kernel[i]->stage[0].operand].buf;
	}
	return -1;
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
	c->copies = !crosses(p, k);
	return c;
}

/* ---- the product ---- */

static int load_copy(Rewrite *r, int x)
{
	const Product *p = r->arg;
	if (x == p->wide && p->packed >= 0) {
		KIndex from[IR_MAX_RANK], at[IR_MAX_RANK];
		rewrite_index(r, r->from->expr[x].at, p->packed_type.rank - 1, from);
		panel_index(p, from, p->packed_type.rank - 1, k_index_axis(p->panels), k_index_axis(p->column), at);
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
	r->to->plain = crosses(p, k) ? NULL : k; /* where lanes cross rows, layout copies anyway */
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
	const int source = k->opnd[k->expr[p.wide].operand].buf, known = known_panels(e, at, pack);
	p.packed = known >= 0 ? known : new_buffer(&p, k, source, "panels", &p.packed_type);
	e->kernel[at] = product_kernel(&p, k);
	if (pad)
		entry_insert(m->arena, e, at++, pad);
	if (known >= 0)
		return at;
	pack->opnd[pack->stage[0].operand].buf = p.packed;
	entry_insert(m->arena, e, m->program->buffer[source].cls == B_STATE ? 0 : at, pack);
	return at + 1;
}

/* fuse_kernel.c -- the kernels of the groups, in order
 *
 * A group becomes one kernel, or one for each phase of a split dimension: its roots are lowered at the root axes and
 * stored. Then the order: writers before readers, metrics and values before updates, and of the updates those that read a
 * state before the one that stores it.
 */
#include <string.h>
#include "ir/names.h"
#include "passes/fuse.h"
#include "passes/lower.h"

/* ---- pieces: the ways through the splits of a group ---- */
typedef struct Piece { int way[IR_MAX_RANK]; } Piece;

static int ways(const Group *g, int d)
{
	const Split *s = &g->split[d];
	const int32_t extent = g->shape.dim[d];
	if (!s->by || extent == 1)
		return 1;
	if (!s->blocks)
		return s->by < extent ? s->by : extent;
	return extent > s->by * s->count ? 2 : 1;
}

static bool next_piece(const Group *g, Piece *p)
{
	for (int d = g->shape.rank - 1; d >= 0; d--) {
		if (++p->way[d] < ways(g, d))
			return true;
		p->way[d] = 0;
	}
	return false;
}

/* ---- one kernel ---- */
typedef struct Making {
	Fuse *f;
	Group *group;
	LowerCx cx;
	KIndex idx[IR_MAX_RANK];
} Making;

static int32_t buffer_for(void *owner, const IrNode *n)
{
	const Making *m = owner;
	const NodeInfo *info = fuse_info(m->f, n);
	return info->own && fuse_find(info->own) == m->group ? -1 : info->buf;
}

static const char *axis_name(const IrType *t, int d)
{
	static const char *const picture[4] = { "n", "h", "w", "c" }, *const weights[4] = { "r", "s", "c", "k" };
	static const char *const rows[3] = { "n", "t", "k" }, *const any[IR_MAX_RANK] = { "p", "q", "u", "v", "x", "y" };
	if (t->rank == 4)
		return ir_batched(t) ? picture[d] : weights[d];
	if (ir_batched(t) && t->rank <= 3)
		return d == t->rank - 1 && d > 0 ? "k" : rows[d];
	return t->rank == 2 ? (d ? "k" : "i") : t->rank == 1 ? "k" : any[d];
}

static KIndex new_axis(Making *m, const char *name, int64_t extent)
{
	if (extent == 1)
		return k_index(0);
	if (extent == IR_N)
		return k_index_axis(k_axis(m->f->arena, m->cx.k, name, EXT_N, m->f->module->max_n));
	return k_index_axis(k_axis(m->f->arena, m->cx.k, name, EXT_CONST, (int32_t)extent));
}

static KIndex root_index(Making *m, int d, int way)
{
	const Split *s = &m->group->split[d];
	const int32_t extent = m->group->shape.dim[d], by = s->by;
	const char *name = axis_name(&m->group->shape, d);
	if (!by || extent == 1)
		return new_axis(m, name, extent);
	if (!s->blocks)
		return k_index_affine(new_axis(m, name, (extent - way + by - 1) / by), by, way);
	if (way == 1)
		return k_index_affine(new_axis(m, name, extent - by * s->count), 1, by * s->count);
	const KIndex outer = new_axis(m, name, s->count);
	return k_index_plus(k_index_affine(outer, by, 0), new_axis(m, arena_printf(m->f->arena, "%si", name), by));
}

static void store_metric(Making *m, const GroupRoot *r)
{
	Arena *a = m->f->arena;
	Kernel *k = m->cx.k;
	const int value = k_cast(a, k, lower_at(&m->cx, r->value, m->idx), DT_F64);
	const int sum = lower_fold(&m->cx, "total", RED_sum, k_index_axes(k, &m->idx[0]), value);
	k_store(a, k, k_operand(a, k, m->f->program->buffer[r->buf].name, r->buf, r->type, M_OUT), m->idx + 1, sum);
}

static void store_value(Making *m, const GroupRoot *r)
{
	Arena *a = m->f->arena;
	Kernel *k = m->cx.k;
	KIndex at[IR_MAX_RANK];
	for (int d = 0; d < r->type.rank; d++)
		at[d] = d == r->axis ? k_index_affine(m->idx[d], 1, r->offset) : m->idx[d];
	const int value = k_cast(a, k, lower_at(&m->cx, r->value, m->idx), r->type.dtype);
	k_store(a, k, k_operand(a, k, m->f->program->buffer[r->buf].name, r->buf, r->type, M_OUT), at, value);
}

static Kernel *make_kernel(Fuse *f, Group *g, const char *name, const Piece *p)
{
	Making m = { .f = f, .group = g };
	m.cx = (LowerCx){ .arena = f->arena, .k = k_new(f->arena, name, (g->main ? g->main : g->root->value)->loc),
	                  .max_n = f->module->max_n, .owner = &m, .buffer = buffer_for };
	for (int d = 0; d < g->shape.rank; d++)
		m.idx[d] = root_index(&m, d, p->way[d]);
	for (const GroupRoot *r = g->root; r; r = r->next) {
		if (g->cls == G_METRIC)
			store_metric(&m, r);
		else
			store_value(&m, r);
	}
	m.cx.k->update = g->cls == G_UPDATE;
	k_finish(m.cx.k);
	return m.cx.k;
}

/* ---- names ---- */
static const char *until_dot(Arena *a, const char *name)
{
	const char *dot = strchr(name, '.');
	return dot && dot > name ? arena_strndup(a, name, (size_t)(dot - name)) : name;
}

/* The state that an operand of n reads, straight or turned over; NULL if none does. */
static const IrState *state_read(const IrNode *n)
{
	for (int i = n->nin; i-- > 0;) {
		const IrNode *in = n->in[i];
		while (ir_has(in, VIEW) || ir_has(in, PERMUTES))
			in = in->in[0];
		if (in->op == OP_state)
			return in->attr.state.of;
	}
	return NULL;
}

/* The state for whose update g is the gradient, or NULL. */
static const char *gradient_of(const Fuse *f, const Group *g)
{
	for (const Place *p = fuse_info(f, g->root->value)->reader; p; p = p->next) {
		const Group *reader = fuse_find(p->group);
		if (reader->cls == G_UPDATE)
			return f->program->buffer[reader->root->buf].name;
	}
	return NULL;
}

/* What the group does to its main node, innermost first: "+pool", "+relu". */
static const char *suffix(Arena *a, const Group *g)
{
	const IrNode *n = g->root->value;
	const char *text = "";
	if (n != g->main && (n->op == OP_relu || n->op == OP_sigmoid || n->op == OP_tanh)) {
		text = arena_printf(a, "+%s", ir_ops[n->op].text);
		n = n->in[0];
	}
	return ir_has(n, WINDOW) && n != g->main ? arena_printf(a, "+pool%s", text) : text;
}

static const char *value_name(Arena *a, const Fuse *f, const Group *g)
{
	const IrNode *n = g->main ? g->main : g->root->value;
	const char *gradient = gradient_of(f, g);
	const IrState *weights = ir_has(n, CONTRACTS) ? state_read(n) : NULL;
	if (n->name)
		return until_dot(a, n->name);
	if (gradient)
		return arena_printf(a, "%s.grad", gradient);
	if (weights)
		return arena_printf(a, "%s.dx", until_dot(a, weights->name));
	return ir_ops[n->op].text;
}

static const char *group_name(Arena *a, const Fuse *f, const Group *g)
{
	if (g->cls != G_VALUE)
		return arena_printf(a, "%s.%s", f->program->buffer[g->root->buf].name, g->cls == G_UPDATE ? "update" : "sum");
	return arena_printf(a, "%s%s", value_name(a, f, g), suffix(a, g));
}

/* `base`, or `base.2` … where that is taken. */
static const char *unused_name(Fuse *f, const char *base)
{
	int *next = names_get(f->names, base);
	if (!next) {
		next = NEW(f->scratch, int);
		*next = 2;
		names_add(f->names, base, next);
		return base;
	}
	for (;;) {
		const char *name = arena_printf(f->arena, "%s.%d", base, (*next)++);
		if (!names_get(f->names, name))
			return unused_name(f, name);
	}
}

static void append(Fuse *f, KEntry *e, Kernel *k)
{
	k->name = unused_name(f, k->name);
	const size_t n = (size_t)e->nkernels;
	if (n == 0)
		e->kernel = NEWN(f->arena, Kernel *, 8);
	else if (n >= 8 && (n & (n - 1)) == 0)
		e->kernel = (Kernel **)arena_grow(f->arena, e->kernel, n, 2 * n, sizeof *e->kernel);
	e->kernel[e->nkernels++] = k;
}

static void append_group(Fuse *f, KEntry *e, Group *g)
{
	Piece p = { { 0 } };
	const char *name = group_name(f->arena, f, g);
	do
		append(f, e, make_kernel(f, g, name, &p));
	while (next_piece(g, &p));
}

/* ---- order ---- */
static void add_dep(Fuse *f, Group *reader, Group *writer)
{
	for (int i = 0; i < reader->ndep; i++) {
		if (reader->dep[i] == writer)
			return;
	}
	const size_t n = (size_t)reader->ndep;
	if (n == 0)
		reader->dep = NEWN(f->scratch, Group *, 8);
	else if (n >= 8 && (n & (n - 1)) == 0)
		reader->dep = (Group **)arena_grow(f->scratch, reader->dep, n, 2 * n, sizeof *reader->dep);
	reader->dep[reader->ndep++] = writer;
}

static void find_deps(Fuse *f)
{
	for (Group *g = f->group; g; g = g->next) {
		for (const GroupRoot *r = g->into ? NULL : g->root; r; r = r->next) {
			for (const Place *p = fuse_readers(f, g, r); p; p = p->next) {
				if (fuse_find(p->group) != g)
					add_dep(f, fuse_find(p->group), g);
			}
		}
	}
}

/* Writers first; depth first, so that chains stay together. stamp: f->stamp on the way, f->stamp + 1 done. */
static void append_after_deps(Fuse *f, KEntry *e, Group *g)
{
	if (g->stamp == f->stamp + 1)
		return;
	INVARIANT(g->stamp != f->stamp);
	g->stamp = f->stamp;
	for (int i = 0; i < g->ndep; i++)
		append_after_deps(f, e, g->dep[i]);
	if (g->cls != G_UPDATE)
		append_group(f, e, g);
	g->stamp = f->stamp + 1;
}

/* ---- updates ---- */
static bool reads_buffer(const Kernel *k, int32_t buf)
{
	for (int i = 0; i < k->nopnds; i++) {
		if (k->opnd[i].buf == buf && k->opnd[i].mode != M_OUT)
			return true;
	}
	return false;
}

static bool writes_buffer(const Kernel *k, int32_t buf)
{
	for (int i = 0; i < k->nopnds; i++) {
		if (k->opnd[i].buf == buf && k->opnd[i].mode != M_IN)
			return true;
	}
	return false;
}

static bool same_place(const KIndex *a, const KIndex *b, int rank)
{
	for (int d = 0; d < rank; d++) {
		if (!k_index_eq(&a[d], &b[d]))
			return false;
	}
	return true;
}

/* What is stored is read at the same point of the same operand only. */
static bool in_place(const Kernel *k)
{
	for (int s = 0; s < k->nstages; s++) {
		const KStage *st = &k->stage[s];
		if (st->kind == S_REDUCE)
			continue;
		for (int x = 0; x < k->nexprs; x++) {
			const KExpr *e = &k->expr[x];
			if (e->op != K_LOAD || k->opnd[e->operand].buf != k->opnd[st->operand].buf)
				continue;
			if (e->operand != st->operand || !same_place(e->at, st->at, k->opnd[st->operand].type.rank))
				return false;
		}
	}
	return true;
}

/* State that cannot be updated in place: the new values go to the slab now, and are copied at the end. */
static Kernel *through_slab(Fuse *f, KEntry *e, Group *g, const char *name)
{
	Arena *a = f->arena;
	const Piece whole = { { 0 } };
	Making m = { .f = f, .group = g, .cx = { .arena = a, .k = k_new(a, name, g->root->value->loc) } };
	for (int d = 0; d < g->shape.rank; d++)
		m.idx[d] = root_index(&m, d, whole.way[d]);
	for (GroupRoot *r = g->root; r; r = r->next) {
		const int32_t slab = fuse_slab(f, r->value), state = r->buf;
		const int from = k_operand(a, m.cx.k, "value", slab, r->type, M_IN);
		const int to = k_operand(a, m.cx.k, f->program->buffer[state].name, state, r->type, M_OUT);
		k_store(a, m.cx.k, to, m.idx, k_load(a, m.cx.k, from, m.idx, EDGE_NEVER));
		r->buf = slab;
	}
	m.cx.k->update = true;
	k_finish(m.cx.k);
	g->cls = G_VALUE;
	append(f, e, make_kernel(f, g, arena_printf(a, "%s.value", name), &whole));
	return m.cx.k;
}

typedef struct Updates { /* kernel[i] is NULL once it is done */
	Kernel **kernel, **done;
	Group **group;
	int n, ndone;
} Updates;

/* Does another waiting update read what update i stores? */
static bool still_read(const Updates *u, int i)
{
	const Kernel *k = u->kernel[i];
	for (int o = 0; o < k->nopnds; o++) {
		for (int j = 0; j < u->n; j++) {
			if (j != i && u->kernel[j] && writes_buffer(k, k->opnd[o].buf) && reads_buffer(u->kernel[j], k->opnd[o].buf))
				return true;
		}
	}
	return false;
}

static bool take_unread(Updates *u)
{
	bool any = false;
	for (int i = 0; i < u->n; i++) {
		if (!u->kernel[i] || still_read(u, i))
			continue;
		u->done[u->ndone++] = u->kernel[i];
		u->kernel[i] = NULL;
		any = true;
	}
	return any;
}

/* Updates that wait for each other in a circle: one of them goes through the slab, which breaks it. */
static void order_updates(Fuse *f, KEntry *e, Updates *u)
{
	for (int i = 0; i < u->n; i++) {
		if (!in_place(u->kernel[i]))
			u->kernel[i] = through_slab(f, e, u->group[i], u->kernel[i]->name);
	}
	for (;;) {
		while (take_unread(u))
			;
		int i = 0;
		while (i < u->n && !u->kernel[i])
			i++;
		if (i == u->n)
			return;
		u->kernel[i] = through_slab(f, e, u->group[i], u->kernel[i]->name);
	}
}

static void append_updates(Fuse *f, KEntry *e)
{
	Updates u = { 0 };
	for (Group *g = f->group; g; g = g->next)
		u.n += !g->into && g->cls == G_UPDATE;
	u.kernel = NEWN(f->scratch, Kernel *, u.n + 1);
	u.done = NEWN(f->scratch, Kernel *, u.n + 1);
	u.group = NEWN(f->scratch, Group *, u.n + 1);
	int n = 0;
	for (Group *g = f->group; g; g = g->next) {
		if (g->into || g->cls != G_UPDATE)
			continue;
		u.group[n] = g;
		u.kernel[n++] = make_kernel(f, g, group_name(f->arena, f, g), &(Piece){ { 0 } });
	}
	order_updates(f, e, &u);
	for (int i = 0; i < u.ndone; i++)
		append(f, e, u.done[i]);
}

void fuse_kernels(Fuse *f, KEntry *e)
{
	f->names = names_new(f->scratch);
	find_deps(f);
	f->stamp += 2;
	for (Group *g = f->group; g; g = g->next) {
		if (!g->into)
			append_after_deps(f, e, g);
	}
	append_updates(f, e);
}

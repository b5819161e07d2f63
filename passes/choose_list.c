/* choose_list.c -- gradients behind a max-pool as lists: only what is not zero is multiplied
 *
 * in:   kernels as fuse made them      out: for a contraction with a one-hot operand, kernels that push and walk lists
 *
 * The gradient that leaves a max-pool has one value a window that is not zero, and none where a relu was closed. It is made by a
 * kernel  u[n, a·ph+ay, b·pw+ax, k] = select(m[n,ph,pw,k] == b·ay+ax, g[n,ph,pw,k], 0).  A contraction that reads u becomes:
 *
 *   gradient of the picture, sum over taps and k: for each window and position the list of k; the patch of the picture that a
 *   window reaches (a+R-1 × b+S-1) is summed in registers and added to a padded picture, of which the kernel itself then is
 *   the epilogue. The weights are read from a view [c/16][k][r][s][16], one run of memory an entry.
 *
 *   gradient of the weights, sum over samples and pixels: for each k the list of (place in x, value); the sum over the list
 *   takes the place of the sum over pixels, and is split into parts like any other (choose.c). Of few channels, as pictures
 *   have, an entry meets a row of the kernel, all its columns and channels, as one vector.
 *
 * Zeros are left out, never added: the result is the dense one up to the order of its sums. Chosen by cost, not by name.
 */
#include "passes/choose.h"
#include "passes/rewrite.h"

enum { POSITIONS_MAX = 16, PATCH_MAX = 64, MIN_CHANNELS = 8, TAP_BYTES = 40 << 10 /* of weights that stay in L1 beside the rest */ };

/* Cycles: a multiply-add whose vector comes from memory, an entry's index and value, a list's end, an entry's push; the share of
 * windows whose relu was open (measured .55 to .75 in training), and what lists must save to be worth their memory. */
static const double LIST_SUM = 1.2, LIST_ENTRY = 2, LIST_END = 20, LIST_PUSH = 4,
                    LIST_PUSH_MANY = 1.2 /* of so many channels that vectors do it */, LIST_ALIVE = 0.75, LIST_GAIN = 0.9;

typedef struct OneHot { /* a kernel that spreads g by the positions m, and the buffer that it fills */
	int buffer;                   /* u */
	int g, m;                     /* buffers */
	int32_t rows, cols, a, b, k;  /* windows, window, channels */
	int taps_count, taps_list;    /* buffers of the lists of k, -1: not yet */
	int32_t tap_block;            /* channels that one list chooses from */
} OneHot;

typedef struct List {
	IrModule *m;
	KEntry *e;
	int at;                  /* position of the kernel being looked at */
	OneHot hot;
	const Kernel *k;         /* the contraction */
	int stage;
	const KExpr *spread, *other; /* its factors: the load of u, and the other */
	int made;                /* buffer of the patches */
} List;

/* ---- patterns ---- */

/* The axis that the index is, -1: it is something else. */
static int plain_axis(const KIndex *at)
{
	int axis = -1;
	for (int a = 0; a < K_MAX_AXES; a++) {
		if (at->coef[a] && (axis >= 0 || at->coef[a] != 1))
			return -1;
		axis = at->coef[a] ? a : axis;
	}
	return at->c0 == 0 && at->expr < 0 ? axis : -1;
}

/* index = scale · *major + *minor, the minor axis as long as the scale. */
static bool mixed_radix(const Kernel *k, const KIndex *at, int *major, int *minor)
{
	*major = *minor = -1;
	for (int a = 0; a < k->naxes; a++) {
		if (at->coef[a] == 1 && *minor < 0)
			*minor = a;
		else if (at->coef[a] > 1 && *major < 0)
			*major = a;
		else if (at->coef[a])
			return false;
	}
	return *major >= 0 && *minor >= 0 && at->c0 == 0 && at->expr < 0 && k->axis[*minor].ext == EXT_CONST &&
	       k->axis[*major].ext == EXT_CONST && at->coef[*major] == k->axis[*minor].extent;
}

static bool loads_at(const Kernel *k, int x, DType t, const int axis[4])
{
	const KExpr *e = &k->expr[x];
	if (e->op != K_LOAD || e->type != t || k->opnd[e->operand].type.rank != 4)
		return false;
	for (int d = 0; d < 4; d++) {
		if (plain_axis(&e->at[d]) != axis[d])
			return false;
	}
	return true;
}

/* x == y with one side i32(u8 load), the other the position b·ay+ax: the load, -1: it is not that. */
static int position_load(const Kernel *k, int x, int ay, int ax)
{
	const KExpr *eq = &k->expr[x];
	if (eq->op != K_EWISE || eq->row != EW_eq)
		return -1;
	for (int i = 0; i < 2; i++) {
		const KExpr *cast = &k->expr[eq->arg[i]], *axis = &k->expr[eq->arg[!i]];
		if (cast->op != K_EWISE || cast->row != EW_cast || axis->op != K_AXIS)
			continue;
		KIndex want = k_index_plus(k_index_affine(k_index_axis(ay), k->axis[ax].extent, 0), k_index_axis(ax));
		return k_index_eq(axis->at, &want) ? cast->arg[0] : -1;
	}
	return -1;
}

static bool is_zero(const Kernel *k, int x)
{
	return k->expr[x].op == K_KONST && k->expr[x].imm == 0;
}

/* Is k a kernel that does nothing but spread? */
static bool spreads(const KProgram *p, const Kernel *k, OneHot *h)
{
	if (k->nstages != 1 || k->stage[0].kind != S_STORE || k->opnd[k->stage[0].operand].type.rank != 4)
		return false;
	const KStage *s = &k->stage[0];
	const KOperand *o = &k->opnd[s->operand];
	const KExpr *v = &k->expr[s->value];
	int ph, pw, ay, ax, n = plain_axis(&s->at[0]), c = plain_axis(&s->at[3]);
	if (n < 0 || c < 0 || k->axis[n].ext != EXT_N || k->axis[c].ext != EXT_CONST || v->op != K_EWISE || v->row != EW_select ||
	    v->type != DT_F32 || !is_zero(k, v->arg[2]) || !mixed_radix(k, &s->at[1], &ph, &ay) || !mixed_radix(k, &s->at[2], &pw, &ax))
		return false;
	const int axis[4] = {n, ph, pw, c}, m = position_load(k, v->arg[0], ay, ax);
	if (m < 0 || !loads_at(k, m, DT_U8, axis) || !loads_at(k, v->arg[1], DT_F32, axis))
		return false;
	*h = (OneHot){.buffer = o->buf, .g = k->opnd[k->expr[v->arg[1]].operand].buf, .m = k->opnd[k->expr[m].operand].buf,
	              .rows = k->axis[ph].extent, .cols = k->axis[pw].extent, .a = k->axis[ay].extent, .b = k->axis[ax].extent,
	              .k = k->axis[c].extent, .taps_count = -1, .taps_list = -1};
	return p->buffer[o->buf].cls == B_SLAB && h->a * h->b <= POSITIONS_MAX && o->type.dim[1] == h->rows * h->a &&
	       o->type.dim[2] == h->cols * h->b && o->type.dim[3] == h->k && ir_row_elems(&p->buffer[h->g].type) == (int64_t)h->rows * h->cols * h->k;
}

static bool reads(const Kernel *k, int buffer)
{
	for (int i = 0; i < k->nopnds; i++) {
		if (k->opnd[i].buf == buffer && k->opnd[i].mode != M_OUT)
			return true;
	}
	return false;
}

/* The one sum of products in which l->k reads u, and nowhere else. */
static bool finds_sum(List *l)
{
	const Kernel *k = l->k;
	int loads = 0;
	l->stage = -1;
	for (int i = 0; i < k->nexprs; i++)
		loads += k->expr[i].op == K_LOAD && k->opnd[k->expr[i].operand].buf == l->hot.buffer;
	for (int i = 0; i < k->nstages; i++) {
		if (!k_is_contraction(k, &k->stage[i]))
			continue;
		const KExpr *product = &k->expr[k->stage[i].value];
		for (int j = 0; j < 2; j++) {
			const KExpr *x = &k->expr[product->arg[j]];
			if (k->opnd[x->operand].buf != l->hot.buffer || k->opnd[x->operand].type.rank != 4)
				continue;
			l->stage = i;
			l->spread = x;
			l->other = &k->expr[product->arg[!j]];
		}
	}
	return l->stage >= 0 && loads == 1 && l->other->type == DT_F32;
}

/* ---- building ---- */

static int new_buffer(List *l, const char *what, IrType t)
{
	const KBuffer *u = &l->m->program->buffer[l->hot.buffer];
	return program_buffer(l->m->arena, l->m->program,
	                      (KBuffer){.name = arena_printf(l->m->arena, "%s.%s", u->name, what), .cls = B_SLAB, .type = t, .loc = u->loc});
}

static void insert_before(List *l, Kernel *k)
{
	k_finish(k);
	entry_insert(l->m->arena, l->e, l->at++, k);
}

static Kernel *new_kernel(const List *l, const char *what)
{
	return k_new(l->m->arena, arena_printf(l->m->arena, "%s.%s", l->k->name, what), l->k->loc);
}

static int32_t whole_vectors(int32_t n)
{
	return (n + K_LANES - 1) / K_LANES * K_LANES;
}

static int operand(const List *l, Kernel *k, const char *name, int buffer, KMode mode)
{
	return k_operand(l->m->arena, k, name, buffer, l->m->program->buffer[buffer].type, mode);
}

static IrType window_type(const OneHot *h, DType t)
{
	return (IrType){.dtype = t, .rank = 4, .dim = {IR_N, h->rows, h->cols, h->k}};
}

/* g != 0; NaN is not zero */
static int alive(Arena *a, Kernel *k, int g)
{
	int zero = k_ewise(a, k, EW_eq, DT_BOOL, g, k_konst(a, k, DT_F32, 0), -1);
	return k_ewise(a, k, EW_select, DT_BOOL, zero, k_konst(a, k, DT_BOOL, 0), k_konst(a, k, DT_BOOL, 1));
}

/* ---- gradient of the picture ---- */

/* Channels a list: as many as keep their weights in L1 while windows come by, in equal blocks of whole vectors. */
static int32_t tap_block(int32_t k, int64_t bytes_each)
{
	int32_t block = k;
	while (block % (2 * K_LANES) == 0 && block * bytes_each > TAP_BYTES)
		block /= 2;
	return block;
}

/* taps[n, ph, pw, block of k, b·ay+ax]: the channels whose value lies at that position of the window */
static void push_taps(List *l)
{
	OneHot *h = &l->hot;
	Arena *a = l->m->arena;
	IrType t = {.dtype = DT_I32, .rank = 5, .dim = {IR_N, h->rows, h->cols, h->k / h->tap_block, h->a * h->b}};
	h->taps_count = new_buffer(l, "taps", t);
	t.dim[t.rank++] = whole_vectors(h->tap_block);
	h->taps_list = new_buffer(l, "taps.k", t);
	Kernel *k = new_kernel(l, "taps");
	int n = k_axis(a, k, "n", EXT_N, l->m->max_n), ph = k_axis(a, k, "h", EXT_CONST, h->rows), pw = k_axis(a, k, "w", EXT_CONST, h->cols),
	    b = k_axis(a, k, "b", EXT_CONST, h->k / h->tap_block), at = k_axis(a, k, "at", EXT_CONST, h->a * h->b),
	    c = k_axis(a, k, "k", EXT_CONST, h->tap_block);
	KIndex channel = k_index_plus(k_index_affine(k_index_axis(b), h->tap_block, 0), k_index_axis(c));
	KIndex where[5] = {k_index_axis(n), k_index_axis(ph), k_index_axis(pw), channel};
	int g = k_load(a, k, k_operand(a, k, "g", h->g, window_type(h, DT_F32), M_IN), where, EDGE_NEVER);
	int m = k_load(a, k, k_operand(a, k, "m", h->m, window_type(h, DT_U8), M_IN), where, EDGE_NEVER);
	int here = k_ewise(a, k, EW_eq, DT_BOOL, k_cast(a, k, m, DT_I32), k_axis_value(a, k, k_index_axis(at)), -1);
	int when = k_ewise(a, k, EW_and, DT_BOOL, here, alive(a, k, g), -1);
	where[3] = k_index_axis(b);
	where[4] = k_index_axis(at);
	int field = operand(l, k, "list", h->taps_list, M_OUT), value = k_axis_value(a, k, channel);
	k_push(a, k, operand(l, k, "count", h->taps_count, M_OUT), where, when, 1, &field, &value);
	insert_before(l, k);
}

typedef struct Picture { int n, h, w, r, s, k, c; int32_t pad_h, pad_w; } Picture; /* axes of the sum */

/* u[n, h-r+pad, w-s+pad, k] · w[r, s, c, k], summed over r s k */
static bool is_picture(const List *l, Picture *x)
{
	const KExpr *u = l->spread, *o = l->other;
	const KStage *s = &l->k->stage[l->stage];
	const KOperand *w = &l->k->opnd[o->operand];
	if (w->type.rank != 4 || ir_batched(&w->type))
		return false;
	*x = (Picture){.n = plain_axis(&u->at[0]), .r = plain_axis(&o->at[0]), .s = plain_axis(&o->at[1]), .c = plain_axis(&o->at[2]),
	               .k = plain_axis(&o->at[3]), .pad_h = u->at[1].c0, .pad_w = u->at[2].c0, .h = -1, .w = -1};
	if (x->n < 0 || x->r < 0 || x->s < 0 || x->c < 0 || x->k < 0 || plain_axis(&u->at[3]) != x->k)
		return false;
	for (int a = 0; a < l->k->naxes; a++) {
		x->h = u->at[1].coef[a] == 1 ? a : x->h;
		x->w = u->at[2].coef[a] == 1 ? a : x->w;
	}
	if (x->h < 0 || x->w < 0 || x->pad_h < 0 || x->pad_w < 0)
		return false;
	KIndex row = k_index_plus(k_index_axis(x->h), k_index_affine(k_index_axis(x->r), -1, x->pad_h)),
	       col = k_index_plus(k_index_axis(x->w), k_index_affine(k_index_axis(x->s), -1, x->pad_w));
	KSet bit = 1, away = bit << x->r | bit << x->s | bit << x->k, over = bit << x->n | bit << x->h | bit << x->w | bit << x->c;
	return k_index_eq(&row, &u->at[1]) && k_index_eq(&col, &u->at[2]) && s->away == away && s->over == over &&
	       w->type.dim[0] == l->k->axis[x->r].extent && w->type.dim[1] == l->k->axis[x->s].extent &&
	       w->type.dim[3] == l->hot.k && l->k->axis[x->k].extent == l->hot.k;
}

/* Cycles a window and vector of channels: sums of the dense form against entries, mispredicted ends of lists, the patch. */
static bool picture_pays(const List *l, const Picture *x)
{
	const OneHot *h = &l->hot;
	double taps = (double)l->k->axis[x->r].extent * l->k->axis[x->s].extent, positions = h->a * h->b;
	double patch = (double)(h->a + l->k->axis[x->r].extent - 1) * (h->b + l->k->axis[x->s].extent - 1);
	double dense = positions * h->k * taps, list = LIST_END * positions + h->k * LIST_ALIVE * (taps * LIST_SUM + LIST_ENTRY) + 3 * patch;
	return l->k->axis[x->c].extent >= MIN_CHANNELS && patch <= PATCH_MAX && list < LIST_GAIN * dense;
}

/* w[r, s, c, k] as [c/16][k][r][s][16]; channels that are no multiple of 16 stay one block */
static int tap_weights(List *l, int32_t block)
{
	Arena *a = l->m->arena;
	const KOperand *w = &l->k->opnd[l->other->operand];
	const int32_t *d = w->type.dim;
	IrType t = {.dtype = DT_F32, .rank = 5, .dim = {d[2] / block, d[3], d[0], d[1], block}};
	const KBuffer src = l->m->program->buffer[w->buf];
	int view = program_buffer(a, l->m->program, (KBuffer){.name = arena_printf(a, "%s.taps", src.name), .cls = B_SLAB, .type = t, .loc = src.loc});
	Kernel *k = k_new(a, arena_printf(a, "%s.taps", src.name), src.loc);
	KIndex at[5];
	const char *name[5] = {"b", "k", "r", "s", "c"};
	for (int i = 0; i < 5; i++)
		at[i] = k_index_axis(k_axis(a, k, name[i], EXT_CONST, t.dim[i]));
	KIndex from[4] = {at[2], at[3], k_index_plus(k_index_affine(at[0], block, 0), at[4]), at[1]};
	int v = k_load(a, k, k_operand(a, k, "w", w->buf, w->type, M_IN), from, EDGE_NEVER);
	k_store(a, k, k_operand(a, k, "y", view, t, M_OUT), at, v);
	k_finish(k);
	entry_insert(a, l->e, src.cls == B_STATE ? 0 : l->at, k);
	l->at++;
	return view;
}

static void fill_zero(List *l, int buffer)
{
	Arena *a = l->m->arena;
	const IrType *t = &l->m->program->buffer[buffer].type;
	Kernel *k = new_kernel(l, "zero");
	KIndex at[IR_MAX_RANK];
	for (int d = 0; d < t->rank; d++)
		at[d] = k_index_axis(d ? k_axis(a, k, "i", EXT_CONST, t->dim[d]) : k_axis(a, k, "n", EXT_N, l->m->max_n));
	k_store(a, k, operand(l, k, "y", buffer, M_OUT), at, k_konst(a, k, DT_F32, 0));
	insert_before(l, k);
}

/* sum[n, a·ph+i, b·pw+j, c] += sum(ay ax e) g[n, ph, pw, taps[e]] · weights[c/16, taps[e], i-ay, j-ax, c%16] */
static void add_patches(List *l, int sum, int weights)
{
	const OneHot *h = &l->hot;
	Arena *a = l->m->arena;
	Kernel *k = new_kernel(l, "list");
	const IrType wt = l->m->program->buffer[weights].type;
	int32_t block = wt.dim[4];
	KIndex n = k_index_axis(k_axis(a, k, "n", EXT_N, l->m->max_n)), b = k_index_axis(k_axis(a, k, "b", EXT_CONST, wt.dim[0])),
	       kb = k_index_axis(k_axis(a, k, "kb", EXT_CONST, h->k / h->tap_block)), ph = k_index_axis(k_axis(a, k, "h", EXT_CONST, h->rows)), pw = k_index_axis(k_axis(a, k, "w", EXT_CONST, h->cols)),
	       i = k_index_axis(k_axis(a, k, "i", EXT_CONST, h->a + wt.dim[2] - 1)),
	       j = k_index_axis(k_axis(a, k, "j", EXT_CONST, h->b + wt.dim[3] - 1)), c = k_index_axis(k_axis(a, k, "c", EXT_CONST, block));
	int ay = k_axis(a, k, "ay", EXT_CONST, h->a), ax = k_axis(a, k, "ax", EXT_CONST, h->b);
	KIndex at[6] = {n, ph, pw, kb, k_index_plus(k_index_affine(k_index_axis(ay), h->b, 0), k_index_axis(ax))};
	int count = k_load(a, k, operand(l, k, "count", h->taps_count, M_IN), at, EDGE_NEVER);
	int e = k_list_axis(a, k, "e", l->m->program->buffer[h->taps_list].type.dim[5], count);
	at[5] = k_index_axis(e);
	KIndex tap = k_index(0);
	tap.expr = (int16_t)k_load_below(a, k, operand(l, k, "list", h->taps_list, M_IN), at, h->k);
	KIndex value[4] = {n, ph, pw, tap},
	       weight[5] = {b, tap, k_index_plus(i, k_index_affine(k_index_axis(ay), -1, 0)), k_index_plus(j, k_index_affine(k_index_axis(ax), -1, 0)), c};
	int g = k_load(a, k, k_operand(a, k, "g", h->g, window_type(h, DT_F32), M_IN), value, EDGE_NEVER);
	int w = k_load(a, k, k_operand(a, k, "weights", weights, wt, M_IN), weight, EDGE_ZERO);
	KSet away = (KSet)1 << ay | (KSet)1 << ax | (KSet)1 << e;
	int acc = k_reduce(a, k, "acc", RED_sum, away, k_ewise(a, k, EW_mul, DT_F32, g, w, -1), DT_F32);
	KIndex out[4] = {n, k_index_plus(k_index_affine(ph, h->a, 0), i), k_index_plus(k_index_affine(pw, h->b, 0), j),
	                 k_index_plus(k_index_affine(b, block, 0), c)};
	k_add(a, k, operand(l, k, "sum", sum, M_ADD), out, acc);
	insert_before(l, k);
}

/* The sum is what the patches left at the pixel; pixels that no window reaches have none. */
static int patch_sum(Rewrite *r, int stage)
{
	const List *l = r->arg;
	if (stage != l->stage)
		return -1;
	Picture x;
	INVARIANT(is_picture(l, &x));
	KIndex at[4] = {k_index_axis(x.n), k_index_affine(k_index_axis(x.h), 1, x.pad_h), k_index_affine(k_index_axis(x.w), 1, x.pad_w),
	                k_index_axis(x.c)};
	return k_load(r->a, r->to, operand(l, r->to, "sum", l->made, M_IN), at, EDGE_ZERO);
}

static bool list_picture(List *l)
{
	Picture x;
	if (!is_picture(l, &x) || !picture_pays(l, &x))
		return false;
	const OneHot *h = &l->hot;
	int32_t c = l->k->axis[x.c].extent, rows = l->k->axis[x.r].extent, cols = l->k->axis[x.s].extent;
	int weights = tap_weights(l, c % K_LANES ? c : K_LANES);
	if (h->taps_list < 0) {
		l->hot.tap_block = tap_block(h->k, (int64_t)rows * cols * K_LANES * (int64_t)sizeof(float));
		push_taps(l);
	}
	IrType t = {.dtype = DT_F32, .rank = 4, .dim = {IR_N, h->rows * h->a + rows - 1, h->cols * h->b + cols - 1, c}};
	l->made = new_buffer(l, "patches", t);
	fill_zero(l, l->made);
	add_patches(l, l->made, weights);
	l->e->kernel[l->at] = rewrite_all(rewrite_new(l->m->arena, l->k, l->k->name, NULL, patch_sum, l));
	return true;
}

/* ---- gradient of the weights ---- */

typedef struct Weights { int n, oh, ow, k, c; } Weights; /* axes of the sum */

/* x[n, σ·oh+…, σ·ow+…, c] · u[n, oh, ow, k], summed over n oh ow */
static bool is_weights(const List *l, Weights *x)
{
	const KExpr *u = l->spread, *o = l->other;
	const KStage *s = &l->k->stage[l->stage];
	const IrType *t = &l->k->opnd[o->operand].type;
	if (t->rank != 4 || !ir_batched(t) || o->edge == EDGE_CLAMP || o->edge == EDGE_LOWEST)
		return false;
	*x = (Weights){plain_axis(&u->at[0]), plain_axis(&u->at[1]), plain_axis(&u->at[2]), plain_axis(&u->at[3]), plain_axis(&o->at[3])};
	if (x->n < 0 || x->oh < 0 || x->ow < 0 || x->k < 0 || x->c < 0 || plain_axis(&o->at[0]) != x->n)
		return false;
	KSet bit = 1, away = bit << x->n | bit << x->oh | bit << x->ow, sums = bit << x->k | bit << x->c;
	if (s->away != away || (sums & ~s->over) || !o->at[1].coef[x->oh] || !o->at[2].coef[x->ow] || o->at[1].expr >= 0 || o->at[2].expr >= 0 ||
	    (o->axes & bit << x->k))
		return false;
	KSet row = k_index_axes(l->k, &o->at[1]), col = k_index_axes(l->k, &o->at[2]);
	return !(row & (away & ~(bit << x->oh))) && !(col & (away & ~(bit << x->ow))) && l->k->axis[x->oh].extent == l->hot.rows * l->hot.a &&
	       l->k->axis[x->ow].extent == l->hot.cols * l->hot.b && l->k->axis[x->k].extent == l->hot.k;
}

/* Axes of a kernel w[r, s, c, k] = the sum, whose rows s, c lie together in x and in w and fill at most one vector. */
typedef struct Rows { int r, s; int32_t length; } Rows;

static bool is_rows(const List *l, const Weights *x, Rows *out)
{
	const Kernel *k = l->k;
	const KStage *store = &k->stage[k->nstages - 1];
	const KOperand *w = &k->opnd[store->operand], *o = &k->opnd[l->other->operand];
	if (k->nstages != 2 || l->stage != 0 || store->kind != S_STORE || w->type.rank != 4 || k->expr[store->value].op != K_LOCAL ||
	    plain_axis(&store->at[2]) != x->c || plain_axis(&store->at[3]) != x->k)
		return false;
	*out = (Rows){.r = plain_axis(&store->at[0]), .s = plain_axis(&store->at[1])};
	if (out->r < 0 || out->s < 0)
		return false;
	KSet bit = 1, row = bit << x->oh | bit << out->r, col = bit << x->ow | bit << out->s;
	out->length = k->axis[out->s].extent * k->axis[x->c].extent;
	return l->other->at[2].coef[out->s] == 1 && k_index_axes(k, &l->other->at[1]) == row && k_index_axes(k, &l->other->at[2]) == col &&
	       o->type.dim[3] == k->axis[x->c].extent && w->type.dim[1] * w->type.dim[2] == out->length && out->length <= K_LANES;
}

/* Cycles a channel k: sums of the dense form, in vectors of k, against those of a list, in vectors of c or of rows. */
static bool weights_pay(const List *l, const Weights *x, const Rows *rows)
{
	const OneHot *h = &l->hot;
	double windows = (double)h->rows * h->cols, taps = 1, c = l->k->axis[x->c].extent, vectors = whole_vectors((int32_t)c) / K_LANES;
	for (int a = 0; a < l->k->naxes; a++) {
		if ((l->k->stage[l->stage].over >> a & 1) && a != x->k && a != x->c)
			taps *= l->k->axis[a].extent;
	}
	double dense = windows * h->a * h->b * taps * c / K_LANES, push = h->k < K_LANES ? LIST_PUSH : LIST_PUSH_MANY;
	if (rows) {
		taps = l->k->axis[rows->r].extent;
		vectors = 1;
	}
	double list = vectors * (LIST_END + windows * LIST_ALIVE * (taps * LIST_SUM + LIST_ENTRY) + 3 * taps) + windows * push;
	return (rows || c >= MIN_CHANNELS) && list < LIST_GAIN * dense;
}

/* What the axes but oh, ow (or h, w of windows) leave of a dimension of x: lowest and highest index. */
static void reach(const Kernel *k, const KIndex *at, int64_t *lo, int64_t *hi)
{
	INVARIANT(k_index_range(k, at, lo, hi));
}

/* x with its border of zeros, so that every tap is inside: where the taps leave it. */
static int padded(List *l, int32_t top, int32_t left, int32_t rows, int32_t cols)
{
	Arena *a = l->m->arena;
	const KOperand *x = &l->k->opnd[l->other->operand];
	IrType t = x->type;
	t.dim[1] = rows;
	t.dim[2] = cols;
	int out = new_buffer(l, "padded", t);
	Kernel *k = new_kernel(l, "pad");
	KIndex at[4], from[4];
	for (int d = 0; d < 4; d++)
		from[d] = at[d] = k_index_axis(d ? k_axis(a, k, "i", EXT_CONST, t.dim[d]) : k_axis(a, k, "n", EXT_N, l->m->max_n));
	from[1].c0 = -top;
	from[2].c0 = -left;
	int v = k_load(a, k, k_operand(a, k, "x", x->buf, x->type, M_IN), from, EDGE_ZERO);
	k_store(a, k, operand(l, k, "y", out, M_OUT), at, v);
	insert_before(l, k);
	return out;
}

/* m / b of a position 0 … a·b-1, as i32: the rows that it has passed */
static int row_of(Arena *a, Kernel *k, int m, const OneHot *h)
{
	int row = k_konst(a, k, DT_I32, 0);
	for (int i = 1; i < h->a; i++) {
		int passed = k_ewise(a, k, EW_le, DT_BOOL, k_konst(a, k, DT_I32, i * h->b), m, -1);
		row = k_ewise(a, k, EW_add, DT_I32, k_cast(a, k, passed, DT_I32), row, -1);
	}
	return row;
}

typedef struct Places { int count, place, value; int32_t limit; } Places; /* buffers */

typedef struct Steps { int32_t h, w; } Steps; /* what a row and a column of u add to a place in x */

/* The place of each window's first point. */
static int corners(List *l, Steps step)
{
	const OneHot *h = &l->hot;
	Arena *a = l->m->arena;
	int out = new_buffer(l, "corners", (IrType){.dtype = DT_I32, .rank = 2, .dim = {h->rows, h->cols}});
	Kernel *k = new_kernel(l, "corners");
	KIndex at[2] = {k_index_axis(k_axis(a, k, "h", EXT_CONST, h->rows)), k_index_axis(k_axis(a, k, "w", EXT_CONST, h->cols))};
	int corner = k_axis_value(a, k, k_index_plus(k_index_affine(at[0], h->a * step.h, 0), k_index_affine(at[1], h->b * step.w, 0)));
	k_store(a, k, operand(l, k, "y", out, M_OUT), at, corner);
	k_finish(k);
	entry_insert(a, l->e, 0, k);
	l->at++;
	return out;
}

/* places[n, k]: (h·oh + w·ow, value) of every value of channel k, in the order of the windows p */
static Places push_places(List *l, Steps step)
{
	const OneHot *h = &l->hot;
	Arena *a = l->m->arena;
	int32_t windows = h->rows * h->cols;
	IrType t = {.dtype = DT_I32, .rank = 2, .dim = {IR_N, h->k}}, gt = {.dtype = DT_F32, .rank = 3, .dim = {IR_N, windows, h->k}}, mt = gt;
	Places out = {.count = new_buffer(l, "places", t)};
	t.dim[t.rank++] = whole_vectors(windows);
	out.place = new_buffer(l, "places.at", t);
	t.dtype = DT_F32;
	out.value = new_buffer(l, "places.g", t);
	mt.dtype = DT_U8;
	int corner_of = corners(l, step);
	Kernel *k = new_kernel(l, "places");
	KIndex n = k_index_axis(k_axis(a, k, "n", EXT_N, l->m->max_n)), c = k_index_axis(k_axis(a, k, "k", EXT_CONST, h->k)),
	       p = k_index_axis(k_axis(a, k, "p", EXT_CONST, windows));
	KIndex where[3] = {n, p, c}, key[2] = {n, c};
	int g = k_load(a, k, k_operand(a, k, "g", h->g, gt, M_IN), where, EDGE_NEVER);
	int m = k_cast(a, k, k_load(a, k, k_operand(a, k, "m", h->m, mt, M_IN), where, EDGE_NEVER), DT_I32);
	/* window's place + row·(step.h - b·step.w) + m·step.w, since column = m - b·row */
	int corner = k_load(a, k, k_operand(a, k, "corner", corner_of, (IrType){.dtype = DT_I32, .rank = 1, .dim = {windows}}, M_IN), &p,
	                    EDGE_NEVER);
	int rows = k_ewise(a, k, EW_mul, DT_I32, row_of(a, k, m, h), k_konst(a, k, DT_I32, step.h - h->b * step.w), -1);
	int along = k_ewise(a, k, EW_mul, DT_I32, m, k_konst(a, k, DT_I32, step.w), -1);
	int place = k_ewise(a, k, EW_add, DT_I32, k_ewise(a, k, EW_add, DT_I32, rows, along, -1), corner, -1);
	int field[2] = {operand(l, k, "place", out.place, M_OUT), operand(l, k, "value", out.value, M_OUT)}, value[2] = {place, g};
	k_push(a, k, operand(l, k, "count", out.count, M_OUT), key, alive(a, k, g), 2, field, value);
	insert_before(l, k);
	out.limit = (h->rows * h->a - 1) * step.h + (h->cols * h->b - 1) * step.w + 1;
	return out;
}

typedef struct Summed { /* x as the list's places count it */
	List *l;
	Weights x;
	Places list;
	int source;
	IrType type;
	KIndex rest; /* what the axes but those of the windows add to a place */
} Summed;

/* sum(n e) value[n, k, e] · x[n, place[n, k, e] + rest (, c)] */
static int sum_list(const Summed *s, Kernel *k, KIndex n, KIndex key, const KIndex *channel)
{
	Arena *a = s->l->m->arena;
	KIndex at[3] = {n, key};
	int count = k_load(a, k, operand(s->l, k, "count", s->list.count, M_IN), at, EDGE_NEVER);
	int e = k_list_axis(a, k, "e", s->l->m->program->buffer[s->list.place].type.dim[2], count);
	at[2] = k_index_axis(e);
	KIndex where[3] = {n, s->rest};
	where[1].expr = (int16_t)k_load_below(a, k, operand(s->l, k, "place", s->list.place, M_IN), at, s->list.limit);
	where[2] = channel ? *channel : k_index(0);
	int value = k_load(a, k, operand(s->l, k, "value", s->list.value, M_IN), at, EDGE_NEVER);
	int x = k_load(a, k, k_operand(a, k, "x", s->source, s->type, M_IN), where, EDGE_NEVER);
	return k_reduce(a, k, "acc", RED_sum, k_index_axes(k, &n) | (KSet)1 << e, k_ewise(a, k, EW_mul, DT_F32, value, x, -1), DT_F32);
}

static int place_sum(Rewrite *r, int stage)
{
	const Summed *s = r->arg;
	if (stage != s->l->stage)
		return -1;
	KIndex c = k_index_axis(s->x.c);
	return sum_list(s, r->to, k_index_axis(s->x.n), k_index_axis(s->x.k), &c);
}

/* w[r, s·C + c, k] = the sum, x[n, (row, column, channel)] */
static Kernel *rows_kernel(Summed *s, const Rows *rows)
{
	Arena *a = s->l->m->arena;
	const Kernel *from = s->l->k;
	const KOperand *o = &from->opnd[from->stage[1].operand];
	IrType t = {.dtype = DT_F32, .rank = 3, .dim = {o->type.dim[0], rows->length, o->type.dim[3]}};
	Kernel *k = k_new(a, from->name, from->loc);
	KIndex at[3] = {k_index_axis(k_axis(a, k, "r", EXT_CONST, t.dim[0])), k_index_axis(k_axis(a, k, "sc", EXT_CONST, t.dim[1])),
	                k_index_axis(k_axis(a, k, "k", EXT_CONST, t.dim[2]))};
	KIndex n = k_index_axis(k_axis(a, k, "n", EXT_N, s->l->m->max_n));
	s->rest = k_index_plus(k_index_plus(k_index_affine(at[0], s->rest.coef[rows->r], 0), at[1]), k_index(s->rest.c0));
	int acc = sum_list(s, k, n, at[2], NULL);
	k_store(a, k, k_operand(a, k, o->name, o->buf, t, o->mode), at, acc);
	k_finish(k);
	return k;
}

/* The rows and columns of x that taps reach, from top and left of it on. */
typedef struct Reach { int32_t top, left, rows, cols; bool leaves; } Reach;

static Reach reach_of(const List *l)
{
	const IrType *t = &l->k->opnd[l->other->operand].type;
	int64_t lo[2], hi[2];
	Reach r = {.rows = t->dim[1], .cols = t->dim[2]};
	reach(l->k, &l->other->at[1], &lo[0], &hi[0]);
	reach(l->k, &l->other->at[2], &lo[1], &hi[1]);
	r.leaves = lo[0] < 0 || lo[1] < 0 || hi[0] >= r.rows || hi[1] >= r.cols;
	r.top = lo[0] < 0 ? (int32_t)-lo[0] : 0;
	r.left = lo[1] < 0 ? (int32_t)-lo[1] : 0;
	r.rows = r.top + (hi[0] >= r.rows ? (int32_t)hi[0] + 1 : r.rows);
	r.cols = r.left + (hi[1] >= r.cols ? (int32_t)hi[1] + 1 : r.cols);
	return r;
}

static bool list_weights(List *l)
{
	Summed s = {.l = l};
	Rows rows;
	if (!is_weights(l, &s.x) || l->k->naxes >= K_MAX_AXES)
		return false;
	bool by_rows = is_rows(l, &s.x, &rows);
	if (!weights_pay(l, &s.x, by_rows ? &rows : NULL))
		return false;
	const KOperand *o = &l->k->opnd[l->other->operand];
	KIndex row = l->other->at[1], col = l->other->at[2];
	Reach r = reach_of(l);
	int32_t c = o->type.dim[3], each = by_rows ? c : 1; /* what a place counts: numbers, or pixels */
	s.source = r.leaves ? padded(l, r.top, r.left, r.rows, r.cols) : o->buf;
	s.type = (IrType){.dtype = DT_F32, .rank = by_rows ? 2 : 3, .dim = {IR_N, r.rows * r.cols * each, c}};
	Steps step = {row.coef[s.x.oh] * r.cols * each, col.coef[s.x.ow] * each};
	row.coef[s.x.oh] = col.coef[s.x.ow] = 0;
	row.c0 += r.top;
	col.c0 += r.left;
	s.rest = k_index_affine(k_index_plus(k_index_affine(row, r.cols, 0), col), each, 0);
	s.list = push_places(l, step);
	l->e->kernel[l->at] = by_rows ? rows_kernel(&s, &rows)
	                              : rewrite_all(rewrite_new(l->m->arena, l->k, l->k->name, NULL, place_sum, &s));
	return true;
}

/* ---- all of an entry ---- */

static void remove_kernel(KEntry *e, int at)
{
	for (int i = at; i + 1 < e->nkernels; i++)
		e->kernel[i] = e->kernel[i + 1];
	e->nkernels--;
}

/* Lists for every reader of what kernel `at` spreads; the kernel goes when nobody reads it any more. Gives the next position. */
static int list_readers(IrModule *m, KEntry *e, int at)
{
	List l = {.m = m, .e = e};
	const Kernel *spreader = e->kernel[at];
	bool read = false;
	if (!spreads(m->program, spreader, &l.hot))
		return at + 1;
	for (l.at = at + 1; l.at < e->nkernels; l.at++) {
		l.k = e->kernel[l.at];
		if (reads(l.k, l.hot.buffer) && !(finds_sum(&l) && (list_picture(&l) || list_weights(&l))))
			read = true;
	}
	while (e->kernel[at] != spreader)
		at++;
	if (!read)
		remove_kernel(e, at);
	return read ? at + 1 : at;
}

void choose_lists(IrModule *m, KEntry *e)
{
	for (int i = 0; i < e->nkernels;)
		i = list_readers(m, e, i);
}

/* choose_winograd.c -- 3x3 convolutions as Winograd's minimal filtering F(4x4, 3x3) or F(2x2, 3x3)
 *
 * in:   a kernel with the sum of a 3x3 convolution of stride 1, or of its data gradient      out: four kernels
 * not:  other windows, strides, dilations, groups
 *
 * The picture is cut into tiles of m x m results; a tile reads p x p elements, p = m + 2. With the matrices B, G, A of Lavin and
 * Gray, "Fast algorithms for convolutional neural networks" (2015):
 *   U[p*p, C, K]            = G w G^T       weights, once a call
 *   V[N, th, tw, p*p, C]    = B^T x B       tiles of the picture; zero outside of it
 *   M[N, th, tw, p*p, K]    = sum(C) V * U  p*p products of matrices
 *   result[m x m]           = A^T M A       and then all that the kernel did with the sum, pooling included
 * A tile of 4 x 4 takes 36 products instead of 144. Rounding errors grow with the constants in the matrices: about 1e-6 of the
 * largest result for m = 2, 1e-5 for m = 4.
 * What is left of a picture whose size is no multiple of m is stored by stages of its own, at a constant place.
 */
#include "passes/choose.h"
#include "passes/rewrite.h"
#include "passes/winograd.h"

enum { MIN_CHANNELS = 16 };

typedef struct Side { /* one dimension of the picture: result position = by * outer + inner */
	int outer, inner;   /* axes; inner -1: none, by = 1 */
	int32_t by, extent; /* extent: positions */
	int tap;            /* axis of the window's three taps */
	bool flip;          /* gradient: taps go backwards */
	int32_t first;      /* where position 0 reads first */
} Side;

typedef struct Conv {
	const Kernel *k;
	int stage, x, w;    /* the sum; the loads that it multiplies */
	Side side[2];
	int n, c, out;      /* axes: samples, channels summed, channels of the result */
	int wdim[4];        /* dimensions of the weights: taps of both sides, c, out */
	int32_t channels, results;
} Conv;

/* ---- what a kernel is ---- */

static KSet bit(int axis)
{
	return (KSet)1 << axis;
}

/* The axis that this index is; -1: something else. */
static int sole_axis(const Kernel *k, const KIndex *at)
{
	for (int a = 0; a < k->naxes; a++) {
		KIndex want = k_index_axis(a);
		if (k_index_eq(at, &want))
			return a;
	}
	return -1;
}

static bool read_side(const Kernel *k, const KStage *s, const KIndex *at, Side *out)
{
	int axis[3], n = 0;
	*out = (Side){.outer = -1, .inner = -1, .by = 1, .tap = -1};
	for (int a = 0; a < k->naxes; a++) {
		if (!at->coef[a])
			continue;
		if (n == 3 || k->axis[a].ext != EXT_CONST)
			return false;
		axis[n++] = a;
	}
	for (int i = 0; i < n; i++) {
		int a = axis[i], f = at->coef[a];
		if (s->away >> a & 1) {
			if (out->tap >= 0 || k->axis[a].extent != 3 || (f != 1 && f != -1))
				return false;
			out->tap = a;
			out->flip = f < 0;
		} else if (f == 1 && (out->outer < 0 || out->by == k->axis[a].extent)) {
			*(out->outer < 0 ? &out->outer : &out->inner) = a;
		} else if (f > 1 && (out->outer < 0 || f == k->axis[out->outer].extent) && out->inner < 0) {
			out->inner = out->outer;
			out->outer = a;
			out->by = f;
		} else {
			return false;
		}
	}
	if (out->tap < 0 || out->outer < 0 || at->expr >= 0 || (out->by > 1) != (out->inner >= 0))
		return false;
	out->extent = out->by * k->axis[out->outer].extent;
	out->first = at->c0 - (out->flip ? 2 : 0);
	return true;
}

static bool read_picture(const Kernel *k, const KStage *s, Conv *v)
{
	const KExpr *x = &k->expr[v->x];
	const IrType *t = &k->opnd[x->operand].type;
	if (t->rank != 4 || !ir_batched(t) || (x->edge != EDGE_NEVER && x->edge != EDGE_ZERO))
		return false;
	v->n = sole_axis(k, &x->at[0]);
	v->c = sole_axis(k, &x->at[3]);
	if (v->n < 0 || v->n != k_sample_axis(k) || v->c < 0 || !(s->away >> v->c & 1))
		return false;
	return read_side(k, s, &x->at[1], &v->side[0]) && read_side(k, s, &x->at[2], &v->side[1]);
}

static bool read_weights(const Kernel *k, const KStage *s, Conv *v)
{
	const KExpr *w = &k->expr[v->w];
	const IrType *t = &k->opnd[w->operand].type;
	if (t->rank != 4 || ir_batched(t) || w->edge != EDGE_NEVER || k->opnd[w->operand].mode != M_IN)
		return false;
	for (int i = 0; i < 4; i++)
		v->wdim[i] = -1;
	for (int d = 0; d < 4; d++) {
		int a = sole_axis(k, &w->at[d]);
		int which = a == v->side[0].tap ? 0 : a == v->side[1].tap ? 1 : a == v->c ? 2 : 3;
		if (a < 0 || v->wdim[which] >= 0 || k->axis[a].ext != EXT_CONST || k->axis[a].extent != t->dim[d])
			return false;
		v->wdim[which] = d;
		if (which == 3)
			v->out = a;
	}
	v->channels = k->axis[v->c].extent;
	v->results = k->axis[v->out].extent;
	return s->over >> v->out & 1;
}

/* Axes of the result that stay, and those of the cells of a pooling window. */
static KSet result_axes(const Conv *v)
{
	return bit(v->n) | bit(v->out) | bit(v->side[0].outer) | bit(v->side[1].outer);
}

static KSet cell_axes(const Conv *v)
{
	return (v->side[0].inner >= 0 ? bit(v->side[0].inner) : 0) | (v->side[1].inner >= 0 ? bit(v->side[1].inner) : 0);
}

static bool read_sum(const Kernel *k, const KStage *s, Conv *v)
{
	const KExpr *product = &k->expr[s->value];
	for (int i = 0; i < 2; i++) {
		v->x = product->arg[i];
		v->w = product->arg[1 - i];
		if (read_picture(k, s, v) && read_weights(k, s, v))
			return s->away == (bit(v->side[0].tap) | bit(v->side[1].tap) | bit(v->c)) &&
			       s->over == (result_axes(v) | cell_axes(v));
	}
	return false;
}

/* One convolution; whatever else the kernel does, it does to each result or to each pooling window. */
static bool read_conv(const Kernel *k, Conv *v)
{
	int sums = 0;
	*v = (Conv){.k = k};
	for (int i = 0; k->contraction && i < k->nstages; i++) {
		if (k_is_contraction(k, &k->stage[i]))
			v->stage = i, sums++;
	}
	if (sums != 1 || k->naxes + 2 > K_MAX_AXES || !read_sum(k, &k->stage[v->stage], v))
		return false;
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		if (s->kind == S_REDUCE && i != v->stage && (s->away & ~cell_axes(v)))
			return false;
		if (s->kind != S_REDUCE && (s->kind != S_STORE || k->opnd[s->operand].mode != M_OUT ||
		                            (s->over & result_axes(v)) != result_axes(v)))
			return false;
	}
	return true;
}

/* ---- what it costs, in vector multiply-adds a sample ---- */

static double vectors(int32_t channels)
{
	return (channels + K_LANES - 1) / K_LANES;
}

static int tiles(const Side *s, int m)
{
	return (s->extent + m - 1) / m;
}

/* Costs of one tile and one vector of channels, measured: loads, stores and arithmetic of the transforms. */
static double winograd_cost(const Conv *v, int m, int32_t max_n)
{
	const double into = m == 4 ? 260 : 90, out_of = m == 4 ? 260 : 90, weights = m == 4 ? 150 : 70, share = 0.85;
	int p = m + 2;
	double t = (double)tiles(&v->side[0], m) * tiles(&v->side[1], m);
	double products = t * p * p * v->channels * vectors(v->results) / share;
	return products + t * (into * vectors(v->channels) + out_of * vectors(v->results)) +
	       weights * v->channels * vectors(v->results) / max_n;
}

/* As pass precision will leave it: pairs of bf16 take half the instructions, and their copies. */
static double direct_cost(const IrModule *m, const Conv *v)
{
	const double paired = m->precision == PRECISION_MIXED_BF16 ? 0.55 : 1;
	return paired * v->side[0].extent * v->side[1].extent * 9 * v->channels * vectors(v->results);
}

/* Mixed precision rounds factors to 2^-9 of their size, many times what the tiles do. */
static bool may_round(const IrModule *m)
{
	return m->fast_math || m->precision == PRECISION_MIXED_BF16;
}

static bool windows_fit(const Conv *v, int m)
{
	return m % v->side[0].by == 0 && m % v->side[1].by == 0;
}

/* The size of tiles; 0: as it is. */
static int choose_tile(const IrModule *module, const Conv *v)
{
	const double gain = 0.85;
	const int32_t max_n = module->max_n;
	double best = direct_cost(module, v) * gain;
	int m = 0;
	if (v->channels < MIN_CHANNELS || v->results < MIN_CHANNELS)
		return 0;
	for (int i = 2; i <= 4; i += 2) {
		double c = winograd_cost(v, i, max_n);
		int64_t together = (int64_t)tiles(&v->side[0], i) * tiles(&v->side[1], i) * (part_rows(max_n) < 4 ? part_rows(max_n) : 4);
		if (windows_fit(v, i) && together >= 16 && c < best)
			best = c, m = i;
	}
	return m;
}

/* ---- the kernels ---- */

typedef struct Wino {
	IrModule *module;
	Arena *a;
	Conv v;
	int m, p;
	int32_t tiles[2];
	int u, tile_in, tile_out; /* buffers U, V, M */
} Wino;

static int new_buffer(const Wino *w, const char *what, int rank, const int32_t *dim)
{
	const Kernel *k = w->v.k;
	return program_buffer(w->a, w->module->program,
	                      (KBuffer){.name = arena_printf(w->a, "%s.%s", k->name, what), .cls = B_SLAB,
	                                .type = ir_type(DT_F32, rank, dim), .keep_f32 = true, .loc = k->loc});
}

static Kernel *new_kernel(const Wino *w, const char *what)
{
	return k_new(w->a, arena_printf(w->a, "%s.%s", w->v.k->name, what), w->v.k->loc);
}

static int operand(const Wino *w, Kernel *k, const char *name, int buffer, KMode mode)
{
	return k_operand(w->a, k, name, buffer, w->module->program->buffer[buffer].type, mode);
}

/* An axis, or 0 where there is but one point. */
static KIndex points(const Wino *w, Kernel *k, const char *name, int32_t extent)
{
	return extent > 1 ? k_index_axis(k_axis(w->a, k, name, EXT_CONST, extent)) : k_index(0);
}

/* U[i, c, k] = (G w G^T)[i] */
static Kernel *weight_kernel(const Wino *w)
{
	const Conv *v = &w->v;
	const KOperand *from = &v->k->opnd[v->k->expr[v->w].operand];
	Kernel *k = new_kernel(w, "weights");
	KIndex c = points(w, k, "c", v->channels), out = points(w, k, "k", v->results), at[4];
	int g[9], u[36], x = k_operand(w->a, k, from->name, from->buf, from->type, M_IN);
	for (int i = 0; i < 9; i++) {
		int tap[2] = {i / 3, i % 3};
		for (int d = 0; d < 2; d++)
			at[v->wdim[d]] = k_index(v->side[d].flip ? 2 - tap[d] : tap[d]);
		at[v->wdim[2]] = c;
		at[v->wdim[3]] = out;
		g[i] = k_load(w->a, k, x, at, EDGE_NEVER);
	}
	winograd_weights(w->a, k, w->m, g, u);
	for (int i = 0, y = operand(w, k, "u", w->u, M_OUT); i < w->p * w->p; i++)
		k_store(w->a, k, y, (KIndex[]){k_index(i), c, out}, u[i]);
	k_finish(k);
	return k;
}

/* Rows and columns that exist for every tile. */
static bool inside(const Kernel *k, const KIndex *at, const IrType *picture)
{
	for (int d = 0; d < 2; d++) {
		int64_t lo, hi;
		if (!k_index_range(k, &at[d], &lo, &hi) || lo < 0 || hi >= picture->dim[d + 1])
			return false;
	}
	return true;
}

/* V[n, ty, tx, i, c] = (B^T x B)[i] */
static Kernel *input_kernel(const Wino *w)
{
	const Conv *v = &w->v;
	const KOperand *from = &v->k->opnd[v->k->expr[v->x].operand];
	Kernel *k = new_kernel(w, "tiles");
	KIndex n = k_index_axis(k_axis(w->a, k, "n", EXT_N, w->module->max_n));
	KIndex ty = points(w, k, "ty", w->tiles[0]), tx = points(w, k, "tx", w->tiles[1]), c = points(w, k, "c", v->channels);
	int d[36], t[36], x = k_operand(w->a, k, from->name, from->buf, from->type, M_IN);
	for (int i = 0; i < w->p * w->p; i++) {
		KIndex at[4] = {n, k_index_affine(ty, w->m, v->side[0].first + i / w->p),
		                k_index_affine(tx, w->m, v->side[1].first + i % w->p), c};
		d[i] = k_load(w->a, k, x, at, inside(k, &at[1], &from->type) ? EDGE_NEVER : EDGE_ZERO);
	}
	winograd_input(w->a, k, w->m, d, t);
	for (int i = 0, y = operand(w, k, "v", w->tile_in, M_OUT); i < w->p * w->p; i++)
		k_store(w->a, k, y, (KIndex[]){n, ty, tx, k_index(i), c}, t[i]);
	k_finish(k);
	return k;
}

/* M[n, ty, tx, i, k] = sum(c) V[n, ty, tx, i, c] * U[i, c, k] */
static Kernel *product_kernel(const Wino *w)
{
	Kernel *k = new_kernel(w, "products");
	KIndex n = k_index_axis(k_axis(w->a, k, "n", EXT_N, w->module->max_n)), i = points(w, k, "i", w->p * w->p);
	KIndex ty = points(w, k, "ty", w->tiles[0]), tx = points(w, k, "tx", w->tiles[1]), out = points(w, k, "k", w->v.results);
	int c = k_axis(w->a, k, "c", EXT_CONST, w->v.channels);
	int x = k_load(w->a, k, operand(w, k, "v", w->tile_in, M_IN), (KIndex[]){n, ty, tx, i, k_index_axis(c)}, EDGE_NEVER);
	int u = k_load(w->a, k, operand(w, k, "u", w->u, M_IN), (KIndex[]){i, k_index_axis(c), out}, EDGE_NEVER);
	int sum = k_reduce(w->a, k, "acc", RED_sum, bit(c), k_ewise(w->a, k, EW_mul, DT_F32, x, u, -1), DT_F32);
	k_store(w->a, k, operand(w, k, "m", w->tile_out, M_OUT), (KIndex[]){n, ty, tx, i, out}, sum);
	k_finish(k);
	return k;
}

/* ---- the result kernel: the old one with its sum taken from a tile ---- */

typedef struct Place { /* one result of a tile, or the window that it begins */
	const Wino *w;
	Kernel *to;
	KIndex outer[2];
	int position[2], inner[2]; /* in the tile, of inner = 0; and inner */
	const int *y;              /* the tile's m x m results */
} Place;

static Rewrite *rewrite_at(const Place *p);

static void place_index(Rewrite *r, KIndex *at)
{
	const Place *p = r->arg;
	for (int d = 0; d < 2; d++) {
		const Side *s = &p->w->v.side[d];
		int32_t outer = at->coef[s->outer], inner = s->inner < 0 ? 0 : at->coef[s->inner];
		at->coef[s->outer] = 0;
		if (s->inner >= 0)
			at->coef[s->inner] = 0;
		if (outer)
			*at = k_index_plus(*at, k_index_affine(p->outer[d], outer, 0));
		*at = k_index_affine(*at, 1, inner * p->inner[d]);
	}
}

/* The greater of two, the first if equal; a NaN is greater than numbers. `a` goes with best, `b` with v. */
static int pick(const Wino *w, Kernel *k, int best, int v, int a, int b)
{
	int keep = k_ewise(w->a, k, EW_le, DT_BOOL, v, best, -1), number = k_ewise(w->a, k, EW_eq, DT_BOOL, best, best, -1);
	DType t = k->expr[a].type;
	return k_ewise(w->a, k, EW_select, t, keep, a, k_ewise(w->a, k, EW_select, t, number, b, a));
}

/* A reduction over cells of a window, cell by cell. */
static int fold_cells(const Place *p, const KStage *s)
{
	const Conv *v = &p->w->v;
	Arena *a = p->w->a;
	int best = -1, where = -1, cells[2], first = 0;
	for (int d = 0; d < 2; d++)
		cells[d] = v->side[d].inner >= 0 && (s->away >> v->side[d].inner & 1) ? v->side[d].by : 1;
	if (v->side[0].inner > v->side[1].inner) /* cells come in the order of axes */
		first = 1;
	for (int i = 0; i < cells[0] * cells[1]; i++) {
		Place cell = *p;
		if (cells[first] > 1)
			cell.inner[first] = i / cells[1 - first];
		if (cells[1 - first] > 1)
			cell.inner[1 - first] = i % cells[1 - first];
		int x = rewrite_expr(rewrite_at(&cell), s->value), number = k_konst(a, p->to, DT_I32, i);
		int next = i == 0 ? x : s->red == RED_sum ? k_ewise(a, p->to, EW_add, s->type, best, x, -1)
		                                          : pick(p->w, p->to, best, x, best, x);
		where = i == 0 || s->red != RED_argmax ? number : pick(p->w, p->to, best, x, where, number);
		best = next;
	}
	return s->red == RED_argmax ? where : best;
}

static int place_reduce(Rewrite *r, int stage)
{
	const Place *p = r->arg;
	if (stage != p->w->v.stage)
		return fold_cells(p, &r->from->stage[stage]);
	return p->y[(p->position[0] + p->inner[0]) * p->w->m + p->position[1] + p->inner[1]];
}

static Rewrite *rewrite_at(const Place *p)
{
	Place *copy = NEW(p->w->a, Place);
	*copy = *p;
	Rewrite *r = rewrite_new(p->w->a, p->w->v.k, p->to->name, NULL, place_reduce, copy);
	r->to = p->to;
	r->index = place_index;
	return r;
}

/* Tiles along one dimension of which `rows` positions exist: all whole ones, or the last. */
typedef struct Range { KIndex tile; int rows; } Range;

static void load_tile(const Wino *w, Kernel *k, const Range *range, int *y)
{
	int m[36], from = operand(w, k, "m", w->tile_out, M_IN);
	for (int i = 0; i < w->p * w->p; i++) {
		KIndex at[5] = {k_index_axis(w->v.n), range[0].tile, range[1].tile, k_index(i), k_index_axis(w->v.out)};
		m[i] = k_load(w->a, k, from, at, EDGE_NEVER);
	}
	winograd_output(w->a, k, w->m, m, y);
}

/* A store of whole windows, or of each cell. */
static void store_cells(Place *p, int stage)
{
	int cells[2];
	for (int d = 0; d < 2; d++) {
		const Side *s = &p->w->v.side[d];
		cells[d] = s->inner >= 0 && (p->w->v.k->stage[stage].over >> s->inner & 1) ? s->by : 1;
	}
	for (int i = 0; i < cells[0] * cells[1]; i++) {
		p->inner[0] = i / cells[1];
		p->inner[1] = i % cells[1];
		rewrite_store(rewrite_at(p), stage);
	}
}

static void store_tiles(const Wino *w, Kernel *to, const Range *range)
{
	const Side *side = w->v.side;
	int y[16];
	load_tile(w, to, range, y);
	for (int i = 0; i < range[0].rows; i += side[0].by) {
		for (int j = 0; j < range[1].rows; j += side[1].by) {
			Place p = {.w = w, .to = to, .position = {i, j}, .y = y};
			for (int d = 0; d < 2; d++)
				p.outer[d] = k_index_affine(range[d].tile, w->m / side[d].by, p.position[d] / side[d].by);
			for (int s = 0; s < w->v.k->nstages; s++) {
				if (w->v.k->stage[s].kind != S_REDUCE)
					store_cells(&p, s);
			}
		}
	}
}

static Kernel *output_kernel(const Wino *w)
{
	Rewrite *r = rewrite_new(w->a, w->v.k, w->v.k->name, NULL, NULL, NULL); /* the axes */
	Range range[2][2];
	int n[2] = {0, 0};
	for (int d = 0; d < 2; d++) {
		int32_t extent = w->v.side[d].extent, whole = extent / w->m, rest = extent % w->m;
		if (whole)
			range[d][n[d]++] = (Range){points(w, r->to, d ? "tx" : "ty", whole), w->m};
		if (rest)
			range[d][n[d]++] = (Range){k_index(whole), rest};
	}
	for (int i = 0; i < n[0]; i++) {
		for (int j = 0; j < n[1]; j++)
			store_tiles(w, r->to, (Range[]){range[0][i], range[1][j]});
	}
	k_finish(r->to);
	return r->to;
}

int choose_winograd(IrModule *m, KEntry *e, int at)
{
	Wino w = {.module = m, .a = m->arena};
	if (!may_round(m) || !read_conv(e->kernel[at], &w.v) || (w.m = choose_tile(m, &w.v)) == 0)
		return at;
	w.p = w.m + 2;
	for (int d = 0; d < 2; d++)
		w.tiles[d] = tiles(&w.v.side[d], w.m);
	int32_t pp = w.p * w.p, c = w.v.channels, k = w.v.results;
	w.u = new_buffer(&w, "u", 3, (int32_t[]){pp, c, k});
	w.tile_in = new_buffer(&w, "v", 5, (int32_t[]){IR_N, w.tiles[0], w.tiles[1], pp, c});
	w.tile_out = new_buffer(&w, "m", 5, (int32_t[]){IR_N, w.tiles[0], w.tiles[1], pp, k});
	KClass source = m->program->buffer[w.v.k->opnd[w.v.k->expr[w.v.w].operand].buf].cls;
	e->kernel[at] = output_kernel(&w);
	entry_insert(m->arena, e, at, product_kernel(&w));
	entry_insert(m->arena, e, at, input_kernel(&w));
	entry_insert(m->arena, e, source == B_STATE ? 0 : at, weight_kernel(&w));
	return at + 3;
}

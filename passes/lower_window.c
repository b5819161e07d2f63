/* lower_window.c -- pooling and its gradients as stages
 *
 * A window is two axes folded over cells of the picture. Gradients are gathered: each cell asks the windows that see it, so
 * every element is stored once.
 */
#include "passes/lower.h"

typedef struct Cells { KIndex at[4]; KSet away; KEdge edge; } Cells;

/* The cells of the window at idx; axes keyed by the operand, so that maximum and position share them and their loads. */
static Cells window_cells(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	static const char *const names[2] = { "dy", "dx" };
	const IrWindow *w = &n->attr.pool;
	Cells c = { { idx[0], idx[1], idx[2], idx[3] }, 0, EDGE_NEVER };
	for (int d = 0; d < 2; d++) {
		const KIndex t = lower_axis(cx, n->in[0], 8 + d, names[d], w->size[d]);
		c.away |= k_index_axes(cx->k, &t);
		c.at[1 + d] = k_index_plus(k_index_affine(idx[1 + d], w->stride[d], -w->pad[d]),
		                           k_index_affine(t, w->dilation[d], 0));
		int64_t lo, hi;
		k_index_range(cx->k, &c.at[1 + d], &lo, &hi);
		if (lo < 0 || hi >= n->in[0]->type.dim[1 + d])
			c.edge = EDGE_ZERO;
	}
	return c;
}

static int window_fold(LowerCx *cx, const IrNode *n, const KIndex *idx, const char *name, KRed red, KEdge outside)
{
	const Cells c = window_cells(cx, n, idx);
	const int x = c.edge == EDGE_NEVER ? lower_at(cx, n->in[0], c.at) : lower_edge(cx, n->in[0], c.at, outside);
	return lower_fold(cx, name, red, c.away, x);
}

int lower_maxpool(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	return window_fold(cx, n, idx, "top", RED_max, EDGE_LOWEST);
}

int lower_maxpool_arg(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	return k_cast(cx->arena, cx->k, window_fold(cx, n, idx, "cell", RED_argmax, EDGE_LOWEST), n->type.dtype);
}

/* ---- how many cells of a window lie inside the picture ---- */
static int at_least(LowerCx *cx, int x, int32_t least)
{
	return k_ewise(cx->arena, cx->k, EW_max, DT_I32, x, k_konst(cx->arena, cx->k, DT_I32, least), -1);
}

/* Taps t >= 0 with t * dilation < distance, at most `size`. */
static int taps_before(LowerCx *cx, KIndex distance, int32_t dilation, int32_t size)
{
	Arena *a = cx->arena;
	Kernel *k = cx->k;
	int n = at_least(cx, k_axis_value(a, k, distance), 0);
	if (dilation > 1) {
		n = k_ewise(a, k, EW_add, DT_I32, n, k_konst(a, k, DT_I32, dilation - 1), -1);
		n = k_ewise(a, k, EW_div, DT_I32, n, k_konst(a, k, DT_I32, dilation), -1);
	}
	return k_ewise(a, k, EW_min, DT_I32, n, k_konst(a, k, DT_I32, size), -1);
}

/* Along one dimension, for the window at `out`; never 0, so that windows outside the tensor divide by something. */
static int inside(LowerCx *cx, const IrWindow *w, int dim, KIndex out, int32_t extent, int32_t windows)
{
	const int32_t span = (w->size[dim] - 1) * w->dilation[dim], last = (windows - 1) * w->stride[dim] - w->pad[dim];
	if (w->pad[dim] == 0 && last + span < extent)
		return k_konst(cx->arena, cx->k, DT_I32, w->size[dim]);
	const KIndex start = k_index_affine(out, w->stride[dim], -w->pad[dim]);
	const int before = taps_before(cx, k_index_affine(start, -1, 0), w->dilation[dim], w->size[dim]);
	const int until = taps_before(cx, k_index_affine(start, -1, extent), w->dilation[dim], w->size[dim]);
	return at_least(cx, k_ewise(cx->arena, cx->k, EW_sub, DT_I32, until, before, -1), 1);
}

static int mean_of(LowerCx *cx, const IrNode *n, int sum, const KIndex *out, const IrType *big, const IrType *small)
{
	Arena *a = cx->arena;
	Kernel *k = cx->k;
	const IrWindow *w = &n->attr.pool;
	const int rows = inside(cx, w, 0, out[0], big->dim[1], small->dim[1]);
	const int cols = inside(cx, w, 1, out[1], big->dim[2], small->dim[2]);
	const int count = k_cast(a, k, k_ewise(a, k, EW_mul, DT_I32, rows, cols, -1), n->type.dtype);
	return k_ewise(a, k, EW_div, n->type.dtype, sum, count, -1);
}

int lower_avgpool(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	const int sum = window_fold(cx, n, idx, "total", RED_sum, EDGE_ZERO);
	return mean_of(cx, n, sum, &idx[1], &n->in[0]->type, &n->type);
}

/* ---- gradients ---- */
typedef struct Seen { LowerTaps h, w; KIndex out[4]; KSet away; bool none; } Seen;

static Seen windows_seeing(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	Seen s = { .h = lower_taps(cx, n, 0, idx[1], &n->attr.pool) };
	s.w = lower_taps(cx, n, 1, idx[2], &n->attr.pool);
	s.none = s.h.count == 0 || s.w.count == 0;
	s.out[0] = idx[0];
	s.out[1] = s.h.out;
	s.out[2] = s.w.out;
	s.out[3] = idx[3];
	s.away |= s.h.count > 1 ? k_index_axes(cx->k, &s.h.tap) : 0;
	s.away |= s.w.count > 1 ? k_index_axes(cx->k, &s.w.tap) : 0;
	return s;
}

/* sum over the windows that see the cell of: dy where the cell won */
int lower_maxpool_dx(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	Arena *a = cx->arena;
	Kernel *k = cx->k;
	const Seen s = windows_seeing(cx, n, idx);
	const int zero = k_konst(a, k, n->type.dtype, 0);
	if (s.none)
		return zero;
	const int dy = lower_edge(cx, n->in[0], s.out, EDGE_ZERO);
	const int won = k_cast(a, k, lower_edge(cx, n->in[1], s.out, EDGE_ZERO), DT_I32);
	const int cell = k_axis_value(a, k, k_index_plus(k_index_affine(s.h.tap, n->attr.pool.size[1], 0), s.w.tap));
	const int mine = k_ewise(a, k, EW_eq, DT_BOOL, won, cell, -1);
	return lower_fold(cx, "total", RED_sum, s.away, k_ewise(a, k, EW_select, n->type.dtype, mine, dy, zero));
}

int lower_avgpool_dx(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	const Seen s = windows_seeing(cx, n, idx);
	if (s.none)
		return k_konst(cx->arena, cx->k, n->type.dtype, 0);
	const int dy = lower_edge(cx, n->in[0], s.out, EDGE_ZERO);
	return lower_fold(cx, "total", RED_sum, s.away, mean_of(cx, n, dy, &s.out[1], &n->type, &n->in[0]->type));
}

/* lower_window.c -- pooling and its gradients as stages
 *
 * A window is two axes folded over cells of the picture. Gradients are gathered: each cell asks the windows that see it, so
 * every element is stored once.
 */
#include "passes/lower.h"

typedef struct Cells { KIndex at[IR_MAX_RANK]; KSet away; KEdge edge; } Cells;

/* The cells of the window at idx; axes keyed by the operand, so that maximum and position share them and their loads. */
static Cells window_cells(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	static const char *const names[IR_SPACE] = { "dy", "dx", "dz" };
	const IrWindow *w = &n->attr.pool;
	const int space = ir_window_axes(w);
	Cells c = { .at = { [0] = idx[0] }, .edge = EDGE_NEVER };
	c.at[space + 1] = idx[space + 1];
	for (int d = 1; d <= space; d++) {
		const int i = ir_window_outer(w, d - 1);
		const KIndex t = lower_axis(cx, n->in[0], 8 + i, names[i], w->size[i]);
		c.away |= k_index_axes(cx->k, &t);
		c.at[d] = k_index_plus(k_index_affine(idx[d], w->stride[i], -w->pad[ir_pad_before(i)]),
		                       k_index_affine(t, w->dilation[i], 0));
		int64_t lo, hi;
		k_index_range(cx->k, &c.at[d], &lo, &hi);
		if (lo < 0 || hi >= n->in[0]->type.dim[d])
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

/* Along axis i, for the window at `out`; never 0, so that windows outside the tensor divide by something. */
static int inside(LowerCx *cx, const IrWindow *w, int i, KIndex out, int32_t extent, int32_t windows)
{
	const int32_t pad = w->pad[ir_pad_before(i)];
	const int32_t span = (w->size[i] - 1) * w->dilation[i], last = (windows - 1) * w->stride[i] - pad;
	if (pad == 0 && last + span < extent)
		return k_konst(cx->arena, cx->k, DT_I32, w->size[i]);
	const KIndex start = k_index_affine(out, w->stride[i], -pad);
	const int before = taps_before(cx, k_index_affine(start, -1, 0), w->dilation[i], w->size[i]);
	const int until = taps_before(cx, k_index_affine(start, -1, extent), w->dilation[i], w->size[i]);
	return at_least(cx, k_ewise(cx->arena, cx->k, EW_sub, DT_I32, until, before, -1), 1);
}

/* out: indices of the small tensor */
static int mean_of(LowerCx *cx, const IrNode *n, int sum, const KIndex *out, const IrType *big, const IrType *small)
{
	Arena *a = cx->arena;
	Kernel *k = cx->k;
	const IrWindow *w = &n->attr.pool;
	int count = -1;
	for (int d = 1; d <= ir_window_axes(w); d++) {
		const int cells = inside(cx, w, ir_window_outer(w, d - 1), out[d], big->dim[d], small->dim[d]);
		count = d == 1 ? cells : k_ewise(a, k, EW_mul, DT_I32, count, cells, -1);
	}
	return k_ewise(a, k, EW_div, n->type.dtype, sum, k_cast(a, k, count, n->type.dtype), -1);
}

int lower_avgpool(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	const int sum = window_fold(cx, n, idx, "total", RED_sum, EDGE_ZERO);
	return mean_of(cx, n, sum, idx, &n->in[0]->type, &n->type);
}

/* ---- gradients ---- */
typedef struct Seen { KIndex out[IR_MAX_RANK], cell; KSet away; bool none; } Seen; /* cell: its number in the window */

static Seen windows_seeing(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	const IrWindow *w = &n->attr.pool;
	const int space = ir_window_axes(w);
	Seen s = { .cell = k_index(0) };
	s.out[0] = idx[0];
	s.out[space + 1] = idx[space + 1];
	for (int d = 1; d <= space && !s.none; d++) {
		const int i = ir_window_outer(w, d - 1);
		const LowerTaps t = lower_taps(cx, n, i, idx[d], w);
		s.none = t.count == 0;
		s.out[d] = t.out;
		s.cell = k_index_plus(k_index_affine(s.cell, w->size[i], 0), t.tap);
		s.away |= t.count > 1 ? k_index_axes(cx->k, &t.tap) : 0;
	}
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
	const int cell = k_axis_value(a, k, s.cell);
	const int mine = k_ewise(a, k, EW_eq, DT_BOOL, won, cell, -1);
	return lower_fold(cx, "total", RED_sum, s.away, k_ewise(a, k, EW_select, n->type.dtype, mine, dy, zero));
}

int lower_avgpool_dx(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	const Seen s = windows_seeing(cx, n, idx);
	if (s.none)
		return k_konst(cx->arena, cx->k, n->type.dtype, 0);
	const int dy = lower_edge(cx, n->in[0], s.out, EDGE_ZERO);
	return lower_fold(cx, "total", RED_sum, s.away, mean_of(cx, n, dy, s.out, &n->type, &n->in[0]->type));
}

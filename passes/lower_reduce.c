/* lower_reduce.c -- reductions over axes, rows (softmax) and contractions as stages */
#include "passes/lower.h"

/* ---- reductions over axes ---- */
/* The operand's index: idx where an axis stays, a new axis where it goes. Returns the new ones. */
static KSet reduced(LowerCx *cx, const IrNode *n, const KIndex *idx, KIndex *at)
{
	static const char *const names[IR_MAX_RANK] = { "a", "b", "d", "e", "f", "g" };
	const IrType *in = &n->in[0]->type;
	KSet away = 0;
	for (int d = 0, o = 0; d < in->rank; d++) {
		if (!(n->attr.reduce.axes >> d & 1)) {
			at[d] = idx[o++];
			continue;
		}
		at[d] = lower_axis(cx, n, d, in->dim[d] == IR_N ? "n" : names[d], in->dim[d]);
		away |= k_index_axes(cx->k, &at[d]);
		o += n->attr.reduce.keep;
	}
	return away;
}

static int reduction(LowerCx *cx, const IrNode *n, const KIndex *idx, const char *name, KRed red)
{
	KIndex at[IR_MAX_RANK];
	const KSet away = reduced(cx, n, idx, at);
	return lower_fold(cx, name, red, away, lower_at(cx, n->in[0], at));
}

int lower_sum(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	return reduction(cx, n, idx, "total", RED_sum);
}

int lower_rmax(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	return reduction(cx, n, idx, "top", RED_max);
}

int lower_argmax(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	return reduction(cx, n, idx, "first", RED_argmax);
}

/* ---- rows ---- */
/* Stages top = max x, norm = sum exp(x - top) over the last axis; *x - *top at idx is returned in *shift. */
static int row_norm(LowerCx *cx, const IrNode *n, const KIndex *idx, int *shift)
{
	Arena *a = cx->arena;
	Kernel *k = cx->k;
	const DType t = n->type.dtype;
	const int last = n->type.rank - 1;
	KIndex at[IR_MAX_RANK];
	for (int d = 0; d < last; d++)
		at[d] = idx[d];
	if (last >= 0)
		at[last] = lower_axis(cx, n, 0, "j", n->type.dim[last]);
	const KSet away = last >= 0 ? k_index_axes(k, &at[last]) : 0;
	const int x = lower_at(cx, n->in[0], at);
	const int top = lower_fold(cx, "top", RED_max, away, x);
	const int e = k_ewise(a, k, EW_exp, t, k_ewise(a, k, EW_sub, t, x, top, -1), -1, -1);
	const int norm = lower_fold(cx, "norm", RED_sum, away, e);
	*shift = k_ewise(a, k, EW_sub, t, lower_at(cx, n->in[0], idx), top, -1);
	return norm;
}

int lower_softmax(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	int shift;
	const int norm = row_norm(cx, n, idx, &shift);
	const int e = k_ewise(cx->arena, cx->k, EW_exp, n->type.dtype, shift, -1, -1);
	return k_ewise(cx->arena, cx->k, EW_div, n->type.dtype, e, norm, -1);
}

int lower_log_softmax(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	int shift;
	const int norm = row_norm(cx, n, idx, &shift);
	const int l = k_ewise(cx->arena, cx->k, EW_log, n->type.dtype, norm, -1, -1);
	return k_ewise(cx->arena, cx->k, EW_sub, n->type.dtype, shift, l, -1);
}

/* ---- contractions ---- */
static int product(LowerCx *cx, const IrNode *n, const KIndex *x, KEdge xedge, const KIndex *y, KSet away)
{
	const int a = lower_edge(cx, n->in[0], x, xedge), b = lower_edge(cx, n->in[1], y, EDGE_NEVER);
	return lower_fold(cx, "acc", RED_sum, away, k_ewise(cx->arena, cx->k, EW_mul, n->type.dtype, a, b, -1));
}

int lower_matmul(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	const bool ta = n->attr.matmul.ta, tb = n->attr.matmul.tb;
	const int32_t extent = n->in[0]->type.dim[!ta];
	const KIndex i = lower_axis(cx, n, 0, extent == IR_N ? "n" : "i", extent);
	KIndex a[2], b[2];
	a[ta] = idx[0];
	a[!ta] = i;
	b[tb] = i;
	b[!tb] = idx[1];
	return product(cx, n, a, EDGE_NEVER, b, k_index_axes(cx->k, &i));
}

/* Pixel of x under tap `tap` of the window at `out`. */
static KIndex pixel(const IrWindow *w, int dim, KIndex out, KIndex tap)
{
	return k_index_plus(k_index_affine(out, w->stride[dim], -w->pad[dim]), k_index_affine(tap, w->dilation[dim], 0));
}

/* Channel of x that channel c of the group of output channel k reads. per: output channels a group. */
static KIndex group_channel(const LowerCx *cx, const IrWindow *w, KIndex k, int32_t per, KIndex c, int32_t channels)
{
	KIndex group, inside;
	if (w->groups == 1)
		return c;
	lower_divmod(cx, k, per, &group, &inside);
	return k_index_plus(k_index_affine(group, channels, 0), c);
}

int lower_conv(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	const IrWindow *win = &n->attr.conv;
	const IrType *w = &n->in[1]->type;
	const KIndex r = lower_axis(cx, n, 0, "r", w->dim[0]), s = lower_axis(cx, n, 1, "s", w->dim[1]);
	const KIndex c = lower_axis(cx, n, 2, "c", w->dim[2]);
	const KIndex x[4] = { idx[0], pixel(win, 0, idx[1], r), pixel(win, 1, idx[2], s),
	                      group_channel(cx, win, idx[3], w->dim[3] / win->groups, c, w->dim[2]) };
	const KIndex taps[4] = { r, s, c, idx[3] };
	return product(cx, n, x, EDGE_ZERO, taps, lower_axes(cx, taps, 3));
}

/* dw[r,s,c,k] = sum(n oh ow) x * dy; x is in[0], dy in[1] */
int lower_conv_dw(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	const IrWindow *win = &n->attr.conv;
	const IrType *dy = &n->in[1]->type;
	const KIndex b = lower_axis(cx, n, 0, "n", dy->dim[0]);
	const KIndex oh = lower_axis(cx, n, 1, "oh", dy->dim[1]), ow = lower_axis(cx, n, 2, "ow", dy->dim[2]);
	const KIndex x[4] = { b, pixel(win, 0, oh, idx[0]), pixel(win, 1, ow, idx[1]),
	                      group_channel(cx, win, idx[3], n->type.dim[3] / win->groups, idx[2], n->type.dim[2]) };
	const KIndex y[4] = { b, oh, ow, idx[3] };
	return product(cx, n, x, EDGE_ZERO, y, lower_axes(cx, y, 3));
}

/* dx[n,h,w,c] = sum over the windows that see (h, w), and over k of the group, of dy * w */
int lower_conv_dx(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	IrWindow win = n->attr.conv;
	const IrType *w = &n->in[1]->type;
	win.size[0] = w->dim[0];
	win.size[1] = w->dim[1];
	const LowerTaps r = lower_taps(cx, n, 0, idx[1], &win), s = lower_taps(cx, n, 1, idx[2], &win);
	if (r.count == 0 || s.count == 0)
		return k_konst(cx->arena, cx->k, n->type.dtype, 0);
	const int32_t per = w->dim[3] / win.groups;
	KIndex k = lower_axis(cx, n, 2, "k", per), c = idx[3], group;
	KSet away = k_index_axes(cx->k, &k);
	if (win.groups > 1) {
		lower_divmod(cx, idx[3], w->dim[2], &group, &c);
		k = k_index_plus(k_index_affine(group, per, 0), k);
	}
	away |= r.count > 1 ? k_index_axes(cx->k, &r.tap) : 0;
	away |= s.count > 1 ? k_index_axes(cx->k, &s.tap) : 0;
	const KIndex y[4] = { idx[0], r.out, s.out, k }, taps[4] = { r.tap, s.tap, c, k };
	return product(cx, n, y, EDGE_ZERO, taps, away);
}

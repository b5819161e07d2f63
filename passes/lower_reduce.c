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

/* Pixel of x under tap `tap` of the window at `out`, along axis i of the window. */
static KIndex pixel(const IrWindow *w, int i, KIndex out, KIndex tap)
{
	return k_index_plus(k_index_affine(out, w->stride[i], -w->pad[ir_pad_before(i)]), k_index_affine(tap, w->dilation[i], 0));
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
	static const char *const names[IR_SPACE] = { "r", "s", "q" };
	const IrWindow *win = &n->attr.conv;
	const IrType *w = &n->in[1]->type;
	const int space = ir_window_axes(win);
	KIndex x[IR_MAX_RANK], taps[IR_MAX_RANK];
	x[0] = idx[0];
	for (int d = 0; d < space; d++) {
		const int i = ir_window_outer(win, d);
		taps[d] = lower_axis(cx, n, d, names[i], w->dim[d]);
		x[1 + d] = pixel(win, i, idx[1 + d], taps[d]);
	}
	const KIndex c = lower_axis(cx, n, space, "c", w->dim[space]), k = idx[space + 1];
	x[space + 1] = group_channel(cx, win, k, w->dim[space + 1] / win->groups, c, w->dim[space]);
	taps[space] = c;
	taps[space + 1] = k;
	return product(cx, n, x, EDGE_ZERO, taps, lower_axes(cx, taps, space + 1));
}

/* dw[r,s,c,k] = sum(n oh ow) x * dy; x is in[0], dy in[1] */
int lower_conv_dw(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	static const char *const names[IR_SPACE] = { "oh", "ow", "od" };
	const IrWindow *win = &n->attr.conv;
	const IrType *dy = &n->in[1]->type;
	const int space = ir_window_axes(win);
	KIndex x[IR_MAX_RANK], y[IR_MAX_RANK];
	x[0] = y[0] = lower_axis(cx, n, 0, "n", dy->dim[0]);
	for (int d = 0; d < space; d++) {
		const int i = ir_window_outer(win, d);
		y[1 + d] = lower_axis(cx, n, 1 + d, names[i], dy->dim[1 + d]);
		x[1 + d] = pixel(win, i, y[1 + d], idx[d]);
	}
	const KIndex k = idx[space + 1];
	x[space + 1] = group_channel(cx, win, k, n->type.dim[space + 1] / win->groups, idx[space], n->type.dim[space]);
	y[space + 1] = k;
	return product(cx, n, x, EDGE_ZERO, y, lower_axes(cx, y, space + 1));
}

/* dx[n,h,w,c] = sum over the windows that see (h, w), and over k of the group, of dy * w */
int lower_conv_dx(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	IrWindow win = n->attr.conv;
	const IrType *w = &n->in[1]->type;
	const int space = ir_window_axes(&win);
	KIndex y[IR_MAX_RANK], taps[IR_MAX_RANK], c = idx[space + 1], group;
	KSet away = 0;
	y[0] = idx[0];
	for (int d = 0; d < space; d++) {
		const LowerTaps t = lower_taps(cx, n, ir_window_outer(&win, d), idx[1 + d], &win);
		if (t.count == 0)
			return k_konst(cx->arena, cx->k, n->type.dtype, 0);
		y[1 + d] = t.out;
		taps[d] = t.tap;
		away |= t.count > 1 ? k_index_axes(cx->k, &t.tap) : 0;
	}
	const int32_t per = w->dim[space + 1] / win.groups;
	KIndex k = lower_axis(cx, n, IR_SPACE, "k", per);
	away |= k_index_axes(cx->k, &k);
	if (win.groups > 1) {
		lower_divmod(cx, idx[space + 1], w->dim[space], &group, &c);
		k = k_index_plus(k_index_affine(group, per, 0), k);
	}
	y[space + 1] = taps[space + 1] = k;
	taps[space] = c;
	return product(cx, n, y, EDGE_ZERO, taps, away);
}

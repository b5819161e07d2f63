/* infer_window.c -- shape rules of convolutions, pooling windows and pictures
 *
 * Shapes: x (B, H, W, C), w (kh, kw, C / groups, K), y (B, OH, OW, K); B may be N. The backward ops are given the type
 * of their result, and check that the forward rule leads from it to their operand.
 */
#include "ir/infer.h"

enum { LARGEST_WINDOW = IR_MAX_PAD, LARGEST_PICTURE = 32767 /* 16.16 fixed-point coordinates */ };

static bool rank_is(const Infer *cx, const IrNode *n, const IrType *t, const char *what, int rank)
{
	return t->rank == rank || infer_misfit(cx, n, "%s %s has %d dimensions, %d are needed", what,
	                                       ir_type_text(cx->arena, t), t->rank, rank);
}

static bool window_sane(const Infer *cx, const IrNode *n, const IrWindow *w)
{
	static const char *const axis[2] = { "height", "width" };
	for (int i = 0; i < 2; i++) {
		if (w->size[i] < 1 || w->size[i] > LARGEST_WINDOW)
			return infer_misfit(cx, n, "window %s is %d, possible are 1 to %d", axis[i], w->size[i],
			                    LARGEST_WINDOW);
		if (w->stride[i] < 1 || w->stride[i] > LARGEST_WINDOW)
			return infer_misfit(cx, n, "stride in %s is %d, possible are 1 to %d", axis[i], w->stride[i],
			                    LARGEST_WINDOW);
		if (w->dilation[i] < 1 || w->dilation[i] > LARGEST_WINDOW)
			return infer_misfit(cx, n, "dilation in %s is %d, possible are 1 to %d", axis[i],
			                    w->dilation[i], LARGEST_WINDOW);
	}
	for (int i = 0; i < 4; i++) {
		int least = i < 2 ? 0 : -LARGEST_WINDOW; /* rows and columns at the end may go unread: pass trim */
		if (w->pad[i] < least || w->pad[i] > LARGEST_WINDOW)
			return infer_misfit(cx, n, "padding is %d, possible are %d to %d", w->pad[i], least, LARGEST_WINDOW);
	}
	return true;
}

/* Dumoulin & Visin 2016, relationship 15: how often the dilated window fits into the padded picture. */
static bool window_count(const Infer *cx, const IrNode *n, const IrWindow *w, const IrType *x, int64_t out[2])
{
	for (int i = 0; i < 2; i++) {
		int64_t span = (int64_t)(w->size[i] - 1) * w->dilation[i] + 1;
		int64_t padded = (int64_t)x->dim[1 + i] + w->pad[i] + w->pad[i + 2];
		if (padded < span) {
			const char *dilated = w->dilation[i] == 1 ? "" :
			                      arena_printf(cx->arena, " (%lld dilated)", (long long)span);
			const char *with_pad = padded == x->dim[1 + i] ? "" :
			                       arena_printf(cx->arena, " (%lld padded)", (long long)padded);
			return infer_misfit(cx, n, "window of %d%s does not fit into %s %d%s", w->size[i], dilated,
			                    i ? "width" : "height", x->dim[1 + i], with_pad);
		}
		out[i] = (padded - span) / w->stride[i] + 1;
	}
	return true;
}

/* ---- convolutions ---- */

/* The type of y for x and w, without the dtype. */
static bool conv_shape(const Infer *cx, const IrNode *n, const IrType *x, const IrType *w, int64_t y[4])
{
	const IrWindow *at = &n->attr.conv;
	if (!rank_is(cx, n, x, "input", 4) || !rank_is(cx, n, w, "kernel", 4) || !window_sane(cx, n, at))
		return false;
	if (ir_batched(w))
		return infer_misfit(cx, n, "kernel %s depends on N", ir_type_text(cx->arena, w));
	if (at->size[0] != w->dim[0] || at->size[1] != w->dim[1])
		return infer_misfit(cx, n, "window is %dx%d, kernel %dx%d", at->size[0], at->size[1], w->dim[0],
		                    w->dim[1]);
	int32_t channels = x->dim[3], filters = w->dim[3], groups = at->groups;
	if (groups < 1 || channels % groups || filters % groups)
		return infer_misfit(cx, n, "%d channels and %d filters do not divide into %d groups", channels, filters,
		                    groups);
	if (w->dim[2] != channels / groups)
		return infer_misfit(cx, n, "input has %d channels%s, kernel wants %d", channels / groups,
		                    groups > 1 ? " a group" : "", w->dim[2]);
	y[0] = x->dim[0];
	y[3] = filters;
	return window_count(cx, n, at, x, y + 1);
}

static bool same_dims(const IrType *t, int rank, const int64_t *dim)
{
	bool same = t->rank == rank;
	for (int i = 0; same && i < rank; i++)
		same = t->dim[i] == dim[i];
	return same;
}

static bool conv_floats(const Infer *cx, const IrNode *n)
{
	return infer_float(cx, n, 0) && infer_same_dtype(cx, n, 0, 1);
}

bool infer_conv(const Infer *cx, IrNode *n)
{
	int64_t y[4];
	const IrType *x = &n->in[0]->type;
	return conv_floats(cx, n) && conv_shape(cx, n, x, &n->in[1]->type, y) && infer_set(cx, n, x->dtype, 4, y);
}

/* x and w lead to a y; dy must be of its shape, and the result of the operands' dtype. */
static bool conv_back(const Infer *cx, IrNode *n, const IrType *x, const IrType *w, const IrType *dy)
{
	int64_t y[4];
	if (!conv_floats(cx, n) || !infer_given(cx, n) || !conv_shape(cx, n, x, w, y))
		return false;
	if (!same_dims(dy, 4, y))
		return infer_misfit(cx, n, "gradient is %s, the convolution of %s with %s is (%lld, %lld, %lld)",
		                    ir_type_text(cx->arena, dy), ir_type_text(cx->arena, x), ir_type_text(cx->arena, w),
		                    (long long)y[1], (long long)y[2], (long long)y[3]);
	return n->type.dtype == dy->dtype || infer_misfit(cx, n, "operands are %s, result %s", dtype_name(dy->dtype),
	                                                  dtype_name(n->type.dtype));
}

bool infer_conv_dx(const Infer *cx, IrNode *n)
{
	return conv_back(cx, n, &n->type, &n->in[1]->type, &n->in[0]->type);
}

bool infer_conv_dw(const Infer *cx, IrNode *n)
{
	return conv_back(cx, n, &n->in[0]->type, &n->type, &n->in[1]->type);
}

/* ---- pooling ---- */

/* No window may lie outside the picture altogether: its maximum and mean would not exist. */
static bool windows_touch(const Infer *cx, const IrNode *n, const IrWindow *w, const IrType *x, const int64_t out[2])
{
	for (int i = 0; i < 2; i++) {
		int64_t extent = x->dim[1 + i], dilation = w->dilation[i], top = w->pad[i];
		bool touch = (out[i] - 1) * w->stride[i] - top < extent;
		/* While taps stand closer than the picture is wide, the first window decides for all that start outside. */
		int64_t starts = dilation <= extent ? 1 : out[i];
		for (int64_t o = 0; touch && o < starts && o * w->stride[i] < top; o++) {
			int64_t outside = top - o * w->stride[i];                    /* cells before the picture */
			int64_t first = (outside + dilation - 1) / dilation;         /* tap that first is inside */
			touch = first < w->size[i] && first * dilation - outside < extent;
		}
		if (!touch)
			return infer_misfit(cx, n, "a window of %d lies in the padding of %d and %d only", w->size[i],
			                    w->pad[i], w->pad[i + 2]);
	}
	return true;
}

static bool pool_shape(const Infer *cx, const IrNode *n, const IrType *x, int64_t y[4])
{
	const IrWindow *at = &n->attr.pool;
	if (!rank_is(cx, n, x, "input", 4) || !window_sane(cx, n, at) || !window_count(cx, n, at, x, y + 1) ||
	    !windows_touch(cx, n, at, x, y + 1))
		return false;
	y[0] = x->dim[0];
	y[3] = x->dim[3];
	return true;
}

bool infer_pool(const Infer *cx, IrNode *n)
{
	int64_t y[4];
	const IrType *x = &n->in[0]->type;
	if (n->op == OP_avgpool && !infer_float(cx, n, 0))
		return false;
	return pool_shape(cx, n, x, y) && infer_set(cx, n, x->dtype, 4, y);
}

static bool arg_fits(const Infer *cx, const IrNode *n)
{
	int64_t cells = (int64_t)n->attr.pool.size[0] * n->attr.pool.size[1];
	return cells <= 256 || infer_misfit(cx, n, "window of %lld cells, a position holds 256", (long long)cells);
}

bool infer_pool_arg(const Infer *cx, IrNode *n)
{
	int64_t y[4];
	return pool_shape(cx, n, &n->in[0]->type, y) && arg_fits(cx, n) && infer_set(cx, n, DT_U8, 4, y);
}

static bool pool_back(const Infer *cx, IrNode *n)
{
	int64_t y[4];
	const IrType *dy = &n->in[0]->type;
	if (!infer_float(cx, n, 0) || !infer_given(cx, n) || !pool_shape(cx, n, &n->type, y))
		return false;
	if (!same_dims(dy, 4, y) || dy->dtype != n->type.dtype)
		return infer_misfit(cx, n, "gradient %s does not belong to input %s", infer_shape(cx, n->in[0]),
		                    infer_shape(cx, n));
	return true;
}

bool infer_maxpool_dx(const Infer *cx, IrNode *n)
{
	const IrType *dy = &n->in[0]->type, *arg = &n->in[1]->type;
	if (!pool_back(cx, n) || !arg_fits(cx, n))
		return false;
	IrType want = ir_type(DT_U8, dy->rank, dy->dim);
	return ir_type_eq(arg, &want) || infer_misfit(cx, n, "positions are %s, not %s", infer_shape(cx, n->in[1]),
	                                              ir_type_text(cx->arena, &want));
}

bool infer_avgpool_dx(const Infer *cx, IrNode *n)
{
	return pool_back(cx, n);
}

/* ---- pictures ---- */
static bool picture_fits(const Infer *cx, const IrNode *n, int32_t height, int32_t width)
{
	return (height >= 1 && height <= LARGEST_PICTURE && width >= 1 && width <= LARGEST_PICTURE) ||
	       infer_misfit(cx, n, "picture of %dx%d, possible are 1x1 to %dx%d", height, width, LARGEST_PICTURE,
	                    LARGEST_PICTURE);
}

bool infer_affine_draw(const Infer *cx, IrNode *n)
{
	const IrType *id = &n->in[0]->type;
	if (id->rank != 1 || id->dtype != DT_U32)
		return infer_misfit(cx, n, "sample ids are %s, not u32[N]", infer_shape(cx, n->in[0]));
	return picture_fits(cx, n, n->attr.affine.height, n->attr.affine.width) &&
	       infer_set(cx, n, DT_I32, 2, (int64_t[]){ id->dim[0], 6 });
}

bool infer_warp(const Infer *cx, IrNode *n)
{
	const IrType *x = &n->in[0]->type, *map = &n->in[1]->type;
	if (!rank_is(cx, n, x, "picture", 4) || !picture_fits(cx, n, x->dim[1], x->dim[2]))
		return false;
	if (x->dtype != DT_U8 && x->dtype != DT_F32)
		return infer_misfit(cx, n, "picture is %s, not u8 or f32", infer_shape(cx, n->in[0]));
	IrType want = ir_type(DT_I32, 2, (int32_t[]){ x->dim[0], 6 });
	if (!ir_type_eq(map, &want))
		return infer_misfit(cx, n, "map is %s, not %s", infer_shape(cx, n->in[1]),
		                    ir_type_text(cx->arena, &want));
	if ((unsigned)n->attr.warp.fill > FILL_WRAP)
		return infer_misfit(cx, n, "no such fill mode: %d", (int)n->attr.warp.fill);
	if (n->attr.warp.along & ~(1u << 1 | 1u << 2))
		return infer_misfit(cx, n, "a map moves axes 1 and 2 only");
	return infer_set(cx, n, DT_F32, 4, (int64_t[]){ x->dim[0], x->dim[1], x->dim[2], x->dim[3] });
}

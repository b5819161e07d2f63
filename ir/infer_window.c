/* infer_window.c -- shape rules of convolutions, pooling windows and pictures
 *
 * Shapes: x (B, H, W, C), w (kh, kw, C / groups, K), y (B, OH, OW, K), with a depth before the height or without; B may be N. The backward ops are given the type
 * of their result, and check that the forward rule leads from it to their operand.
 */
#include "ir/infer.h"

enum { LARGEST_WINDOW = IR_MAX_PAD, LARGEST_PICTURE = 32767 /* 16.16 fixed-point coordinates */ };

static bool rank_is(const Infer *cx, const IrNode *n, const IrType *t, const char *what, int rank)
{
	return t->rank == rank || infer_misfit(cx, n, "%s %s has %d dimensions, %d are needed", what,
	                                       ir_type_text(cx->arena, t), t->rank, rank);
}

static const char *const axis_name[IR_SPACE] = { "height", "width", "depth" };

static bool window_sane(const Infer *cx, const IrNode *n, const IrWindow *w)
{
	for (int i = 0; i < ir_window_axes(w); i++) {
		if (w->size[i] < 1 || w->size[i] > LARGEST_WINDOW)
			return infer_misfit(cx, n, "window %s is %d, possible are 1 to %d", axis_name[i], w->size[i],
			                    LARGEST_WINDOW);
		if (w->stride[i] < 1 || w->stride[i] > LARGEST_WINDOW)
			return infer_misfit(cx, n, "stride in %s is %d, possible are 1 to %d", axis_name[i], w->stride[i],
			                    LARGEST_WINDOW);
		if (w->dilation[i] < 1 || w->dilation[i] > LARGEST_WINDOW)
			return infer_misfit(cx, n, "dilation in %s is %d, possible are 1 to %d", axis_name[i],
			                    w->dilation[i], LARGEST_WINDOW);
	}
	for (int i = 0; i < 2 * IR_SPACE; i++) {
		int least = i < 2 || i == 4 ? 0 : -LARGEST_WINDOW; /* rows and columns at the end may go unread: pass trim */
		if (w->pad[i] < least || w->pad[i] > LARGEST_WINDOW)
			return infer_misfit(cx, n, "padding is %d, possible are %d to %d", w->pad[i], least, LARGEST_WINDOW);
	}
	return true;
}

static int64_t window_span(const IrWindow *w, int i)
{
	return (int64_t)(w->size[i] - 1) * w->dilation[i] + 1;
}

/* Dumoulin & Visin 2016, relationship 15: how often the dilated window fits into the padded picture. y: a type's dimensions. */
static bool window_count(const Infer *cx, const IrNode *n, const IrWindow *w, const IrType *x, int64_t *y)
{
	for (int i = 0; i < ir_window_axes(w); i++) {
		const int32_t extent = x->dim[ir_window_dim(w, i)];
		const int64_t span = window_span(w, i);
		const int64_t padded = (int64_t)extent + w->pad[ir_pad_before(i)] + w->pad[ir_pad_after(i)];
		if (padded < span) {
			const char *dilated = w->dilation[i] == 1 ? "" :
			                      arena_printf(cx->arena, " (%lld dilated)", (long long)span);
			const char *with_pad = padded == extent ? "" :
			                       arena_printf(cx->arena, " (%lld padded)", (long long)padded);
			return infer_misfit(cx, n, "window of %d%s does not fit into %s %d%s", w->size[i], dilated,
			                    axis_name[i], extent, with_pad);
		}
		y[ir_window_dim(w, i)] = (padded - span) / w->stride[i] + 1;
	}
	return true;
}

/* ---- convolutions ---- */

/* The type of y for x and w, without the dtype. */
static bool conv_shape(const Infer *cx, const IrNode *n, const IrType *x, const IrType *w, int64_t *y)
{
	const IrWindow *at = &n->attr.conv;
	const int space = ir_window_axes(at), in = space, out = space + 1; /* of the kernel; of the picture channels are last */
	if (!rank_is(cx, n, x, "input", space + 2) || !rank_is(cx, n, w, "kernel", space + 2) || !window_sane(cx, n, at))
		return false;
	if (ir_batched(w))
		return infer_misfit(cx, n, "kernel %s depends on N", ir_type_text(cx->arena, w));
	for (int i = 0; i < space; i++) {
		if (at->size[i] != w->dim[ir_window_dim(at, i) - 1])
			return infer_misfit(cx, n, "window is %dx%d, kernel %dx%d", at->size[0], at->size[1], w->dim[space - 2],
			                    w->dim[space - 1]);
	}
	int32_t channels = x->dim[out], filters = w->dim[out], groups = at->groups;
	if (groups < 1 || channels % groups || filters % groups)
		return infer_misfit(cx, n, "%d channels and %d filters do not divide into %d groups", channels, filters,
		                    groups);
	if (w->dim[in] != channels / groups)
		return infer_misfit(cx, n, "input has %d channels%s, kernel wants %d", channels / groups,
		                    groups > 1 ? " a group" : "", w->dim[in]);
	y[0] = x->dim[0];
	y[out] = filters;
	return window_count(cx, n, at, x, y);
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
	int64_t y[IR_MAX_RANK];
	const IrType *x = &n->in[0]->type;
	return conv_floats(cx, n) && conv_shape(cx, n, x, &n->in[1]->type, y) && infer_set(cx, n, x->dtype, x->rank, y);
}

/* x and w lead to a y; dy must be of its shape, and the result of the operands' dtype. */
static bool conv_back(const Infer *cx, IrNode *n, const IrType *x, const IrType *w, const IrType *dy)
{
	int64_t y[IR_MAX_RANK];
	if (!conv_floats(cx, n) || !infer_given(cx, n) || !conv_shape(cx, n, x, w, y))
		return false;
	if (!same_dims(dy, x->rank, y))
		return infer_misfit(cx, n, "gradient is %s, the convolution of %s with %s is (%lld, %lld, %lld)",
		                    ir_type_text(cx->arena, dy), ir_type_text(cx->arena, x), ir_type_text(cx->arena, w),
		                    (long long)y[x->rank - 3], (long long)y[x->rank - 2], (long long)y[x->rank - 1]);
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
static bool windows_touch(const Infer *cx, const IrNode *n, const IrWindow *w, const IrType *x, const int64_t *y)
{
	for (int i = 0; i < ir_window_axes(w); i++) {
		const int64_t extent = x->dim[ir_window_dim(w, i)], dilation = w->dilation[i], top = w->pad[ir_pad_before(i)];
		const int64_t out = y[ir_window_dim(w, i)];
		bool touch = (out - 1) * w->stride[i] - top < extent;
		/* While taps stand closer than the picture is wide, the first window decides for all that start outside. */
		int64_t starts = dilation <= extent ? 1 : out;
		for (int64_t o = 0; touch && o < starts && o * w->stride[i] < top; o++) {
			int64_t outside = top - o * w->stride[i];                    /* cells before the picture */
			int64_t first = (outside + dilation - 1) / dilation;         /* tap that first is inside */
			touch = first < w->size[i] && first * dilation - outside < extent;
		}
		if (!touch)
			return infer_misfit(cx, n, "a window of %d lies in the padding of %d and %d only", w->size[i],
			                    w->pad[ir_pad_before(i)], w->pad[ir_pad_after(i)]);
	}
	return true;
}

static bool pool_shape(const Infer *cx, const IrNode *n, const IrType *x, int64_t *y)
{
	const IrWindow *at = &n->attr.pool;
	const int last = ir_window_axes(at) + 1;
	if (!rank_is(cx, n, x, "input", last + 1) || !window_sane(cx, n, at) || !window_count(cx, n, at, x, y) ||
	    !windows_touch(cx, n, at, x, y))
		return false;
	y[0] = x->dim[0];
	y[last] = x->dim[last];
	return true;
}

bool infer_pool(const Infer *cx, IrNode *n)
{
	int64_t y[IR_MAX_RANK];
	const IrType *x = &n->in[0]->type;
	if (n->op == OP_avgpool && !infer_float(cx, n, 0))
		return false;
	return pool_shape(cx, n, x, y) && infer_set(cx, n, x->dtype, x->rank, y);
}

/* Cells of a window, at most one more than an i32 holds. */
static int64_t window_cells(const IrWindow *w)
{
	int64_t cells = 1;
	for (int i = 0; i < ir_window_axes(w) && cells <= INT32_MAX; i++)
		cells *= w->size[i];
	return cells;
}

/* Positions in a window are counted in bytes where they fit. */
static DType position_type(const IrWindow *w)
{
	return window_cells(w) <= 256 ? DT_U8 : DT_I32;
}

static bool arg_fits(const Infer *cx, const IrNode *n)
{
	return window_cells(&n->attr.pool) <= INT32_MAX ||
	       infer_misfit(cx, n, "window of too many cells, a position holds %d", INT32_MAX);
}

bool infer_pool_arg(const Infer *cx, IrNode *n)
{
	int64_t y[IR_MAX_RANK];
	return pool_shape(cx, n, &n->in[0]->type, y) && arg_fits(cx, n) && infer_set(cx, n, position_type(&n->attr.pool), n->in[0]->type.rank, y);
}

static bool pool_back(const Infer *cx, IrNode *n)
{
	int64_t y[IR_MAX_RANK];
	const IrType *dy = &n->in[0]->type;
	if (!infer_float(cx, n, 0) || !infer_given(cx, n) || !pool_shape(cx, n, &n->type, y))
		return false;
	if (!same_dims(dy, n->type.rank, y) || dy->dtype != n->type.dtype)
		return infer_misfit(cx, n, "gradient %s does not belong to input %s", infer_shape(cx, n->in[0]),
		                    infer_shape(cx, n));
	return true;
}

bool infer_maxpool_dx(const Infer *cx, IrNode *n)
{
	const IrType *dy = &n->in[0]->type, *arg = &n->in[1]->type;
	if (!pool_back(cx, n) || !arg_fits(cx, n))
		return false;
	IrType want = ir_type(position_type(&n->attr.pool), dy->rank, dy->dim);
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

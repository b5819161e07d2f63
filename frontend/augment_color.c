/* augment_color.c -- augmentation layers that change colours
 *
 * in:   pictures f32[N,H,W,C] of 0 … 255     out: the same
 *
 * Formulas: keras/src/layers/preprocessing/image_preprocessing/. Hue and saturation are changed without going through HSV: with
 * largest and smallest channel M and m, d = M - m and the hue h in sixths, a channel is M - d * clip(min(k, 4 - k), 0, 1), where
 * k = (n + h) mod 6 and n is 5, 3, 1 for red, green, blue.
 */
#include "frontend/augment.h"

static IrNode *plane(Build *b, IrNode *x, int channel)
{
	return node_cut(b, OP_slice, x, 3, channel, 1);
}

typedef struct Hue { IrNode *most, *range, *sixths; } Hue; /* M, d, h: f32[N,H,W,1] */

static Hue hue_of(Build *b, IrNode *x)
{
	IrNode *red = plane(b, x, 0), *green = plane(b, x, 1), *blue = plane(b, x, 2), *sum;
	Hue h = {.most = node_reduce(b, OP_reduce_max, x, 8, true)};
	IrNode *least = node1(b, OP_neg, node_reduce(b, OP_reduce_max, node1(b, OP_neg, x), 8, true));
	h.range = node2(b, OP_sub, h.most, least);
	IrNode *over = node2(b, OP_max, h.range, node_k(b, 1e-6)); /* grey: any hue will do */
	IrNode *by_red = node2(b, OP_div, node2(b, OP_sub, green, blue), over);
	IrNode *by_green = node2(b, OP_div, node2(b, OP_sub, blue, red), over);
	IrNode *by_blue = node2(b, OP_div, node2(b, OP_sub, red, green), over);
	by_green = node2(b, OP_add, by_green, node_k(b, 2));
	by_blue = node2(b, OP_add, by_blue, node_k(b, 4));
	sum = node_select(b, node2(b, OP_eq, green, h.most), by_green, by_blue);
	h.sixths = node_select(b, node2(b, OP_eq, red, h.most), by_red, sum);
	return h;
}

static IrNode *colour_of(Build *b, Hue h)
{
	IrNode *channel[3], *six = node_k(b, 6);
	for (int c = 0; c < 3; c++) {
		IrNode *k = node2(b, OP_add, h.sixths, node_k(b, 5 - 2 * c));
		IrNode *turns = node1(b, OP_floor, node2(b, OP_div, k, six));
		k = node2(b, OP_sub, k, node2(b, OP_mul, turns, six));
		k = node2(b, OP_min, k, node2(b, OP_sub, node_k(b, 4), k));
		channel[c] = node2(b, OP_sub, h.most, node2(b, OP_mul, h.range, node_clip(b, k, 0, 1)));
	}
	return node_concat(b, channel, 3, 3);
}

/* Turned by factor / 2 of a circle, either way. */
static IrNode *turn(Build *b, IrNode *x, Range factor)
{
	Hue h = hue_of(b, x);
	IrNode *by = pictures_draw(b, 3 * factor.lo, 3 * factor.hi);
	IrNode *back = node2(b, OP_lt, node_k(b, 0.5), pictures_draw(b, 0, 1));
	h.sixths = node2(b, OP_add, h.sixths, node_select(b, back, node1(b, OP_neg, by), by));
	return node_clip(b, colour_of(b, h), 0, 255);
}

/* d times factor / (1 - factor), at most M: what Keras does to pictures of 0 … 1. */
static IrNode *saturate(Build *b, IrNode *x, Range factor)
{
	Hue h = hue_of(b, x);
	IrNode *f = pictures_draw(b, factor.lo, factor.hi);
	f = node2(b, OP_div, f, node2(b, OP_sub, node_k(b, 1 + 1e-7), f));
	h.range = node2(b, OP_min, node2(b, OP_mul, h.range, f), h.most);
	return colour_of(b, h);
}

IrNode *augment_hue(Build *b, IrNode *x, const Val *v)
{
	return turn(b, x, augment_range(val(v, "factor"), 0));
}

IrNode *augment_saturation(Build *b, IrNode *x, const Val *v)
{
	return saturate(b, x, augment_range(val(v, "factor"), 0));
}

IrNode *augment_contrast(Build *b, IrNode *x, Range factor)
{
	double cells = (double)x->type.dim[1] * x->type.dim[2];
	IrNode *mean = node_scaled(b, node_reduce(b, OP_sum, x, 6, true), 1 / cells); /* of each channel */
	IrNode *f = pictures_draw(b, 1 + factor.lo, 1 + factor.hi);
	x = node2(b, OP_add, node2(b, OP_mul, node2(b, OP_sub, x, mean), f), mean);
	return node_clip(b, x, 0, 255);
}

IrNode *augment_brightness(Build *b, IrNode *x, Range factor)
{
	return node_clip(b, node2(b, OP_add, x, pictures_draw(b, factor.lo * 255, factor.hi * 255)), 0, 255);
}

IrNode *augment_jitter(Build *b, IrNode *x, const Val *v)
{
	if (val_is_set(v, "brightness_factor"))
		x = augment_brightness(b, x, augment_range(val(v, "brightness_factor"), -1));
	if (val_is_set(v, "contrast_factor"))
		x = augment_contrast(b, x, augment_range(val(v, "contrast_factor"), -1));
	if (val_is_set(v, "saturation_factor"))
		x = saturate(b, x, augment_range(val(v, "saturation_factor"), 0));
	return val_is_set(v, "hue_factor") ? turn(b, x, augment_range(val(v, "hue_factor"), 0)) : x;
}

/* The upper `factor` bits of 8: whole multiples of 2^(8 - factor). The factor is drawn from lo … hi - 1. */
IrNode *augment_posterization(Build *b, IrNode *x, const Val *v)
{
	const Val *factor = val(v, "factor");
	double lo = factor->item[0].x, hi = factor->item[factor->n - 1].x;
	if (factor->n == 1)
		lo = 1;
	IrNode *bits = lo == hi ? node_k(b, lo) : node1(b, OP_floor, pictures_draw(b, lo, hi)), *step = node_k(b, 1);
	for (int i = 1; i < 8; i++)
		step = node_select(b, node2(b, OP_eq, bits, node_k(b, i)), node_k(b, 1 << (8 - i)), step);
	return node2(b, OP_mul, node1(b, OP_floor, node2(b, OP_div, node1(b, OP_floor, x), step)), step);
}

static IrNode *three(Build *b, IrNode *x, int axis) /* sums of three neighbours; 0 outside */
{
	int32_t extent = x->type.dim[axis];
	IrNode *wide = node_cut(b, OP_pad, x, axis, 1, extent + 2), *sum = x;
	sum = node2(b, OP_add, sum, node_cut(b, OP_slice, wide, axis, 0, extent));
	return node2(b, OP_add, sum, node_cut(b, OP_slice, wide, axis, 2, extent));
}

/* x + (1 - 2 factor) (smooth - x), smooth by the 3 x 3 kernel of 1/13 with 5/13 in its middle. */
IrNode *augment_sharpness(Build *b, IrNode *x, const Val *v)
{
	Range factor = augment_range(val(v, "factor"), 0);
	IrNode *around = node_scaled(b, three(b, three(b, x, 1), 2), 1.0 / 13);
	IrNode *smooth = node2(b, OP_add, around, node_scaled(b, x, 4.0 / 13));
	IrNode *share = pictures_draw(b, 1 - 2 * factor.lo, 1 - 2 * factor.hi);
	x = node2(b, OP_add, x, node2(b, OP_mul, share, node2(b, OP_sub, smooth, x)));
	return node_clip(b, x, 0, 255);
}

IrNode *augment_solarization(Build *b, IrNode *x, const Val *v)
{
	Range add = augment_range(val(v, "addition_factor"), 0), threshold = augment_range(val(v, "threshold_factor"), 0);
	IrNode *more = pictures_draw(b, add.lo, add.hi * 255), *limit = pictures_draw(b, threshold.lo, threshold.hi * 255);
	x = node_clip(b, node2(b, OP_add, x, more), 0, 255);
	return node_select(b, node2(b, OP_lt, x, limit), x, node2(b, OP_sub, node_k(b, 255), x));
}

/* Each channel from 0 to 255; one of a single value stays. */
IrNode *augment_auto_contrast(Build *b, IrNode *x, const Val *v)
{
	(void)v;
	IrNode *high = node_reduce(b, OP_reduce_max, x, 6, true);
	IrNode *low = node1(b, OP_neg, node_reduce(b, OP_reduce_max, node1(b, OP_neg, x), 6, true));
	IrNode *flat = node2(b, OP_le, high, low), *range = node2(b, OP_sub, high, low);
	range = node_select(b, flat, node_k(b, 1), range);
	IrNode *y = node2(b, OP_mul, node2(b, OP_sub, x, low), node2(b, OP_div, node_k(b, 255), range));
	return node_select(b, flat, x, node_clip(b, y, 0, 255));
}

/* resize.c -- tf.image.resize of 8-bit pictures: half-pixel centres, no antialiasing
 *
 * Every method but nearest is a weighted mean of input pixels, separable in x and y. The tables of weights of 256 columns
 * live on the stack, so resizing takes no memory. The picture may lie in a larger black one (RtPlacement): a pixel outside
 * of it has weight 0. Results round to nearest.
 */
#include <math.h>
#include <string.h>
#include "runtime/image.h"

enum { BLOCK = 256, MOST_TAPS = 4 };

typedef struct Taps {
	int32_t at[MOST_TAPS];   /* pixel of the picture */
	float weight[MOST_TAPS];
} Taps;

/* One dimension of a resize: `size` pixels, of which the picture has `inside` from `first` on, become `out`. */
typedef struct Axis {
	int64_t size, first, inside;
	float scale; /* size / out */
} Axis;

static Axis axis(int64_t size, int64_t first, int64_t inside, int out)
{
	return (Axis){ size, first, inside, (float)size / (float)out };
}

/* Centre of output pixel i in input coordinates, where input pixel j covers j … j+1 and has its centre at j + 0.5. */
static float centre(const Axis *a, int i)
{
	return ((float)i + 0.5f) * a->scale;
}

static void put(const Axis *a, Taps *t, int k, int64_t at, float weight)
{
	int64_t j = at - a->first;
	bool in = j >= 0 && j < a->inside;
	t->at[k] = in ? (int32_t)j : 0;
	t->weight[k] = in ? weight : 0;
}

static int64_t clamp(int64_t x, int64_t size)
{
	return x < 0 ? 0 : x >= size ? size - 1 : x;
}

static void linear_taps(const Axis *a, int i, Taps *t)
{
	float x = centre(a, i) - 0.5f, low = floorf(x), part = x - low;
	put(a, t, 0, clamp((int64_t)low, a->size), 1 - part);
	put(a, t, 1, clamp((int64_t)low + 1, a->size), part);
}

/* Keys' kernel with a = -1/2 ("Cubic convolution interpolation for digital image processing", 1981). Beyond the edge a pixel has
 * no weight, and the others are scaled to a sum of 1. */
static void cubic_taps(const Axis *a, int i, Taps *t)
{
	float x = centre(a, i) - 0.5f, low = floorf(x), p = x - low, q = 1 - p, sum = 0;
	float weight[4] = {
		((-0.5f * (p + 1) + 2.5f) * (p + 1) - 4) * (p + 1) + 2, (1.5f * p - 2.5f) * p * p + 1,
		(1.5f * q - 2.5f) * q * q + 1, ((-0.5f * (q + 1) + 2.5f) * (q + 1) - 4) * (q + 1) + 2,
	};
	for (int k = 0; k < 4; k++) {
		int64_t at = (int64_t)low - 1 + k;
		if (at != clamp(at, a->size))
			weight[k] = 0;
		sum += weight[k];
	}
	for (int k = 0; k < 4; k++)
		put(a, t, k, clamp((int64_t)low - 1 + k, a->size), weight[k] / sum);
}

static unsigned char rounded(float x)
{
	return x <= 0 ? 0 : x >= 255 ? 255 : (unsigned char)(x + 0.5f);
}

/* Columns x0 … x0+n of one output row; n taps and channels are constants where this is called. */
static inline __attribute__((always_inline)) void weigh_row(const RtPlacement *p, const Taps *ty, const Taps *tx, int n,
                                                            int taps, int channels, unsigned char *dst)
{
	const unsigned char *row[MOST_TAPS];
	for (int k = 0; k < taps; k++)
		row[k] = p->image.pixels + (size_t)ty->at[k] * p->stride;
	for (int i = 0; i < n; i++, dst += channels) {
		for (int c = 0; c < channels; c++) {
			float sum = 0;
			for (int k = 0; k < taps; k++) {
				float line = 0;
				for (int j = 0; j < taps; j++)
					line += tx[i].weight[j] * row[k][tx[i].at[j] * (ptrdiff_t)channels + c];
				sum += ty->weight[k] * line;
			}
			dst[c] = rounded(sum);
		}
	}
}

typedef void TapsFn(const Axis *, int i, Taps *);

static void resize_taps(const RtPlacement *p, Axis ax, Axis ay, int out_w, int out_h, TapsFn *fn, int taps, unsigned char *dst)
{
	Taps tx[BLOCK], ty;
	int channels = p->image.channels;
	for (int x0 = 0; x0 < out_w; x0 += BLOCK) {
		int n = out_w - x0 < BLOCK ? out_w - x0 : BLOCK;
		for (int i = 0; i < n; i++)
			fn(&ax, x0 + i, &tx[i]);
		for (int y = 0; y < out_h; y++) {
			unsigned char *to = dst + ((size_t)y * (size_t)out_w + (size_t)x0) * (size_t)channels;
			fn(&ay, y, &ty);
			if (taps == 2 && channels == 1)
				weigh_row(p, &ty, tx, n, 2, 1, to);
			else if (taps == 2 && channels == 3)
				weigh_row(p, &ty, tx, n, 2, 3, to);
			else
				weigh_row(p, &ty, tx, n, taps, channels, to);
		}
	}
}

static void resize_nearest(const RtPlacement *p, Axis ax, Axis ay, int out_w, int out_h, unsigned char *dst)
{
	int channels = p->image.channels;
	for (int y = 0; y < out_h; y++) {
		int64_t sy = clamp((int64_t)floorf(centre(&ay, y)), ay.size) - ay.first;
		for (int x = 0; x < out_w; x++, dst += channels) {
			int64_t sx = clamp((int64_t)floorf(centre(&ax, x)), ax.size) - ax.first;
			bool in = sy >= 0 && sy < ay.inside && sx >= 0 && sx < ax.inside;
			const unsigned char *from = p->image.pixels + (in ? (size_t)sy * p->stride + (size_t)(sx * channels) : 0);
			for (int c = 0; c < channels; c++)
				dst[c] = in ? from[c] : 0;
		}
	}
}

/* Range of the picture's pixels that [from, to) of the axis touches. */
static void touched(const Axis *a, double from, double to, int64_t *first, int64_t *end)
{
	int64_t low = (int64_t)floor(from) - a->first, high = (int64_t)ceil(to) - a->first;
	*first = low < 0 ? 0 : low > a->inside ? a->inside : low;
	*end = high > a->inside ? a->inside : high;
}

/* How much of input pixel j (of the picture) lies in [from, to). */
static double covered(const Axis *a, int64_t j, double from, double to)
{
	double low = (double)(j + a->first), high = low + 1;
	double width = (high < to ? high : to) - (low > from ? low : from);
	return width > 0 ? width : 0;
}

static void area_pixel(const RtPlacement *p, const Axis *ax, const Axis *ay, int x, int y, unsigned char *dst)
{
	double x0 = (double)x * ax->scale, x1 = x0 + ax->scale, y0 = (double)y * ay->scale, y1 = y0 + ay->scale, sum[4] = { 0 };
	int64_t left, right, top, bottom;
	touched(ax, x0, x1, &left, &right);
	touched(ay, y0, y1, &top, &bottom);
	for (int64_t j = top; j < bottom; j++) {
		const unsigned char *from = p->image.pixels + (size_t)j * p->stride + left * p->image.channels;
		double wy = covered(ay, j, y0, y1);
		for (int64_t i = left; i < right; i++) {
			double w = wy * covered(ax, i, x0, x1);
			for (int c = 0; c < p->image.channels; c++)
				sum[c] += w * *from++;
		}
	}
	for (int c = 0; c < p->image.channels; c++)
		dst[c] = rounded((float)(sum[c] / ((double)ax->scale * ay->scale)));
}

static bool same_size(const RtPlacement *p, int out_w, int out_h)
{
	return p->width == out_w && p->height == out_h && p->image.width == out_w && p->image.height == out_h;
}

void rt_placement_resize(const RtPlacement *p, RtInterpolation how, int out_w, int out_h, unsigned char *dst)
{
	if (same_size(p, out_w, out_h)) {
		size_t row = (size_t)out_w * (size_t)p->image.channels;
		for (int y = 0; y < out_h; y++)
			memcpy(dst + row * (size_t)y, p->image.pixels + p->stride * (size_t)y, row);
		return;
	}
	Axis ax = axis(p->width, p->left, p->image.width, out_w), ay = axis(p->height, p->top, p->image.height, out_h);
	switch (how) {
	case RT_BILINEAR:
		resize_taps(p, ax, ay, out_w, out_h, linear_taps, 2, dst);
		break;
	case RT_BICUBIC:
		resize_taps(p, ax, ay, out_w, out_h, cubic_taps, 4, dst);
		break;
	case RT_NEAREST:
		resize_nearest(p, ax, ay, out_w, out_h, dst);
		break;
	case RT_AREA:
		for (int y = 0; y < out_h; y++)
			for (int x = 0; x < out_w; x++, dst += p->image.channels)
				area_pixel(p, &ax, &ay, x, y, dst);
		break;
	}
}

void rt_image_resize(const RtImage *src, RtInterpolation how, int out_w, int out_h, unsigned char *dst)
{
	RtPlacement whole = { *src, (size_t)src->width * (size_t)src->channels, 0, 0, src->width, src->height };
	rt_placement_resize(&whole, how, out_w, out_h, dst);
}

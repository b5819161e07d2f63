/* resize.c -- tf.image.resize of 8-bit pictures: half-pixel centres, no antialiasing
 *
 * Every method but nearest is a weighted mean of input pixels, separable in x and y. The tables of weights of 256
 * columns live on the stack, so resizing takes no memory. Results round to nearest and are cut to 0 ... 255.
 */
#include <math.h>
#include <string.h>
#include "runtime/image.h"

enum { BLOCK = 256, MOST_TAPS = 4 };

typedef struct Taps {
	int32_t at[MOST_TAPS];
	float weight[MOST_TAPS];
} Taps;

typedef struct Axis { /* one dimension: `size` pixels become size / scale */
	int64_t size;
	float scale;
} Axis;

/* Centre of output pixel i in input coordinates, where input pixel j covers j … j+1 and has its centre at j + 0.5. */
static float centre(const Axis *a, int i)
{
	return ((float)i + 0.5f) * a->scale;
}

static int32_t clamp(int64_t x, int64_t size)
{
	return (int32_t)(x < 0 ? 0 : x >= size ? size - 1 : x);
}

static void linear_taps(const Axis *a, int i, Taps *t)
{
	float x = centre(a, i) - 0.5f, low = floorf(x), part = x - low;
	*t = (Taps){{clamp((int64_t)low, a->size), clamp((int64_t)low + 1, a->size)}, {1 - part, part}};
}

/* Keys' kernel with a = -1/2 ("Cubic convolution interpolation for digital image processing", 1981). Beyond the edge a
 * pixel has no weight, and the others are scaled to a sum of 1. */
static void cubic_taps(const Axis *a, int i, Taps *t)
{
	float x = centre(a, i) - 0.5f, low = floorf(x), p = x - low, q = 1 - p, sum = 0;
	float weight[4] = {
		((-0.5f * (p + 1) + 2.5f) * (p + 1) - 4) * (p + 1) + 2,
		(1.5f * p - 2.5f) * p * p + 1,
		(1.5f * q - 2.5f) * q * q + 1,
		((-0.5f * (q + 1) + 2.5f) * (q + 1) - 4) * (q + 1) + 2,
	};
	for (int k = 0; k < 4; k++) {
		int64_t at = (int64_t)low - 1 + k;
		if (at != clamp(at, a->size))
			weight[k] = 0;
		sum += weight[k];
	}
	for (int k = 0; k < 4; k++) {
		t->at[k] = clamp((int64_t)low - 1 + k, a->size);
		t->weight[k] = weight[k] / sum;
	}
}

static unsigned char rounded(float x)
{
	return x <= 0 ? 0 : x >= 255 ? 255 : (unsigned char)(x + 0.5f);
}

/* Columns x0 … x0+n of one output row; n taps and channels are constants where this is called. */
static inline __attribute__((always_inline)) void weigh_row(const RtView *p, const Taps *ty, const Taps *tx, int n,
							    int taps, int channels, unsigned char *dst)
{
	const unsigned char *row[MOST_TAPS];
	for (int k = 0; k < taps; k++)
		row[k] = p->pixels + (size_t)ty->at[k] * p->stride;
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

typedef struct Out {
	unsigned char *pixels;
	size_t stride;
	int width, height;
} Out;

typedef void TapsFn(const Axis *, int i, Taps *);

static void resize_taps(const RtView *p, Axis ax, Axis ay, TapsFn *fn, int taps, Out dst)
{
	Taps tx[BLOCK], ty;
	int channels = p->channels;
	for (int x0 = 0; x0 < dst.width; x0 += BLOCK) {
		int n = dst.width - x0 < BLOCK ? dst.width - x0 : BLOCK;
		for (int i = 0; i < n; i++)
			fn(&ax, x0 + i, &tx[i]);
		for (int y = 0; y < dst.height; y++) {
			unsigned char *to = dst.pixels + (size_t)y * dst.stride + (size_t)(x0 * channels);
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

static void resize_nearest(const RtView *p, Axis ax, Axis ay, Out dst)
{
	size_t channels = (size_t)p->channels;
	for (int y = 0; y < dst.height; y++) {
		const unsigned char *row =
			p->pixels + (size_t)clamp((int64_t)floorf(centre(&ay, y)), ay.size) * p->stride;
		unsigned char *to = dst.pixels + (size_t)y * dst.stride;
		for (int x = 0; x < dst.width; x++, to += channels)
			memcpy(to, row + (size_t)clamp((int64_t)floorf(centre(&ax, x)), ax.size) * channels, channels);
	}
}

/* Pixels that [from, to) of the axis touches: first ... end - 1. */
static void touched(const Axis *a, double from, double to, int64_t *first, int64_t *end)
{
	*first = clamp((int64_t)floor(from), a->size);
	*end = clamp((int64_t)ceil(to) - 1, a->size) + 1;
}

/* How much of input pixel j lies in [from, to). */
static double covered(int64_t j, double from, double to)
{
	double low = (double)j, high = low + 1;
	double width = (high < to ? high : to) - (low > from ? low : from);
	return width > 0 ? width : 0;
}

static void area_pixel(const RtView *p, const Axis *ax, const Axis *ay, int x, int y, unsigned char *dst)
{
	double x0 = (double)x * ax->scale, x1 = x0 + ax->scale, y0 = (double)y * ay->scale, y1 = y0 + ay->scale,
	       sum[4] = {0};
	int64_t left, right, top, bottom;
	touched(ax, x0, x1, &left, &right);
	touched(ay, y0, y1, &top, &bottom);
	for (int64_t j = top; j < bottom; j++) {
		const unsigned char *from = p->pixels + (size_t)j * p->stride + left * p->channels;
		double wy = covered(j, y0, y1);
		for (int64_t i = left; i < right; i++) {
			double w = wy * covered(i, x0, x1);
			for (int c = 0; c < p->channels; c++)
				sum[c] += w * *from++;
		}
	}
	for (int c = 0; c < p->channels; c++)
		dst[c] = rounded((float)(sum[c] / ((double)ax->scale * ay->scale)));
}

static void resize_area(const RtView *p, Axis ax, Axis ay, Out dst)
{
	for (int y = 0; y < dst.height; y++)
		for (int x = 0; x < dst.width; x++)
			area_pixel(p, &ax, &ay, x, y, dst.pixels + (size_t)y * dst.stride + (size_t)(x * p->channels));
}

static void copy(const RtView *p, Out dst)
{
	for (int y = 0; y < dst.height; y++)
		memcpy(dst.pixels + dst.stride * (size_t)y, p->pixels + p->stride * (size_t)y,
		       (size_t)(p->width * p->channels));
}

void rt_view_resize(const RtView *src, RtInterpolation how, int out_w, int out_h, unsigned char *dst, size_t dst_stride)
{
	Out out = {dst, dst_stride, out_w, out_h};
	Axis ax = {src->width, (float)src->width / (float)out_w}, ay = {src->height, (float)src->height / (float)out_h};
	if (src->width == out_w && src->height == out_h)
		copy(src, out);
	else if (how == RT_BILINEAR)
		resize_taps(src, ax, ay, linear_taps, 2, out);
	else if (how == RT_BICUBIC)
		resize_taps(src, ax, ay, cubic_taps, 4, out);
	else if (how == RT_NEAREST)
		resize_nearest(src, ax, ay, out);
	else
		resize_area(src, ax, ay, out);
}

void rt_image_resize(const RtImage *src, RtInterpolation how, int out_w, int out_h, unsigned char *dst)
{
	RtView whole = {src->pixels, (size_t)src->width * (size_t)src->channels, src->width, src->height,
			src->channels};
	rt_view_resize(&whole, how, out_w, out_h, dst, (size_t)out_w * (size_t)src->channels);
}

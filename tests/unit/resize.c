/* resize.c -- resizing against the definition, written down in double for one output value at a time */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include "runtime/image.h"
#include "tests/support/suite.h"

static unsigned char noise(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return (unsigned char)(*state >> 24);
}

/* Weight of input pixel j for output pixel i when `size` pixels become `out`. */
static double weight(RtInterpolation how, int i, int j, int size, int out)
{
	double scale = (double)size / out, x = (i + 0.5) * scale - 0.5, d = fabs(x - j), end, start;
	switch (how) {
	case RT_NEAREST:
		return j == (int)fmin(floor((i + 0.5) * scale), size - 1);
	case RT_BILINEAR: /* beyond the edge lies the edge pixel */
		if ((j == 0 && x < 0) || (j == size - 1 && x > size - 1))
			return 1;
		return d < 1 ? 1 - d : 0;
	case RT_BICUBIC: /* not yet divided by the sum */
		return d >= 2 ? 0 : d >= 1 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : (1.5 * d - 2.5) * d * d + 1;
	case RT_AREA:
		start = fmax(i * scale, j);
		end = fmin((i + 1) * scale, j + 1);
		return end > start ? (end - start) / scale : 0;
	}
	return 0;
}

static double value(const RtImage *src, RtInterpolation how, int x, int y, int c, int out_w, int out_h)
{
	double sum = 0, total = 0;
	for (int j = 0; j < src->height; j++) {
		double wy = weight(how, y, j, src->height, out_h);
		for (int i = 0; i < src->width && wy != 0; i++) {
			double w = wy * weight(how, x, i, src->width, out_w);
			sum += w * src->pixels[(j * src->width + i) * src->channels + c];
			total += w;
		}
	}
	sum /= total;
	return sum < 0 ? 0 : sum > 255 ? 255 : sum;
}

static void ck_resize(int w, int h, int channels, int out_w, int out_h, RtInterpolation how)
{
	uint32_t state = (uint32_t)(w * 31 + h * 7 + channels);
	RtImage src = {w, h, channels, malloc((size_t)(w * h * channels))};
	unsigned char *out = malloc((size_t)(out_w * out_h * channels));
	for (int i = 0; i < w * h * channels; i++)
		src.pixels[i] = noise(&state);
	rt_image_resize(&src, how, out_w, out_h, out);
	for (int i = 0; i < out_w * out_h * channels; i++) {
		int c = i % channels, x = i / channels % out_w, y = i / channels / out_w;
		double want = value(&src, how, x, y, c, out_w, out_h);
		ck_assert_msg(fabs(out[i] - want) <= 0.5 + 0.02,
			      "%dx%dx%d to %dx%d, method %d: (%d, %d, %d) is %d, not %.3f", w, h, channels, out_w,
			      out_h, how, x, y, c, out[i], want);
	}
	free(src.pixels);
	free(out);
}

START_TEST(definition)
{
	static const int size[][4] = {
		/* from w x h to w x h */
		{1, 1, 1, 1}, {1, 1, 5, 3},     {5, 3, 1, 1},   {28, 28, 64, 64}, {64, 48, 28, 28}, {2, 9, 300, 4},
		{7, 7, 7, 7}, {31, 17, 13, 40}, {3, 2, 513, 2}, {100, 3, 10, 3},  {600, 2, 299, 2},
	};
	static const int channels[] = {1, 3, 4};
	for (size_t k = 0; k < sizeof size / sizeof *size; k++)
		for (int c = 0; c < 3; c++)
			ck_resize(size[k][0], size[k][1], channels[c], size[k][2], size[k][3], (RtInterpolation)_i);
}
END_TEST

/* Values of tf.image.resize for [[10, 20], [30, 200]] to 3 x 3, as TensorFlow gives them, rounded. */
START_TEST(tensorflow)
{
	static const unsigned char pixels[] = {10, 20, 30, 200};
	static const unsigned char want[4][9] = {
		[RT_BILINEAR] = {10, 15, 20, 20, 65, 110, 30, 115, 200},
		[RT_NEAREST] = {10, 20, 20, 30, 200, 200, 30, 200, 200},
		[RT_BICUBIC] = {9, 8, 8, 14, 65, 116, 19, 122, 224},
		[RT_AREA] = {10, 15, 20, 20, 65, 110, 30, 115, 200},
	};
	RtImage src = {2, 2, 1, (unsigned char *)(uintptr_t)pixels};
	unsigned char out[9];
	rt_image_resize(&src, (RtInterpolation)_i, 3, 3, out);
	for (int i = 0; i < 9; i++)
		ck_assert_msg(out[i] == want[_i][i], "method %d: value %d is %d, not %d", _i, i, out[i], want[_i][i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("resize");
	TCase *t = tcase_create("resize");
	tcase_add_loop_test(t, definition, 0, 4);
	tcase_add_loop_test(t, tensorflow, 0, 4);
	suite_add_tcase(suite, t);
	return suite_run(suite);
}

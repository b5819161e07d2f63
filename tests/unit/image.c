/* image.c -- pictures of every kind decode to what was put in; damaged and hostile ones fail with a reason */
#include <check.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "runtime/image.h"
#include "runtime/sys.h"
#include "tests/support/suite.h"
#include "tests/unit/fixtures.h"

enum { W = 40, H = 24 };

static RtImage decoded(const Bytes *b, int channels)
{
	RtImage image;
	ck_assert_msg(rt_image_decode(b->p, b->n, channels, 0, 0, 0, false, &image) == RT_OK, "%s", rt_message());
	ck_assert_int_eq(image.channels, channels);
	return image;
}

static void ck_near(int have, int want, int tolerance, int x, int y)
{
	ck_assert_msg(abs(have - want) <= tolerance, "pixel (%d, %d) is %d, not %d", x, y, have, want);
}

/* The test picture in 1, 3 or 4 channels. */
static void ck_picture(const RtImage *image, int tolerance)
{
	ck_assert_int_eq(image->width, W);
	ck_assert_int_eq(image->height, H);
	for (int y = 0; y < H; y++)
		for (int x = 0; x < W; x++) {
			const unsigned char *p = image->pixels + (y * W + x) * image->channels;
			unsigned char rgb[3];
			picture_colour(x, y, W, H, rgb);
			if (image->channels == 1)
				ck_near(p[0], (299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000, tolerance + 1,
					x, y);
			else
				for (int c = 0; c < 3; c++)
					ck_near(p[c], rgb[c], tolerance, x, y);
		}
}

static void ck_gray_picture(const RtImage *image, int tolerance)
{
	for (int i = 0; i < W * H; i++) {
		unsigned char rgb[3];
		picture_colour(i % W, i / W, W, H, rgb);
		int luma = (299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000;
		for (int c = 0; c < (image->channels == 4 ? 3 : image->channels); c++)
			ck_near(image->pixels[i * image->channels + c], luma, tolerance, i % W, i / W);
	}
}

START_TEST(jpeg_colours)
{
	static const int channels[] = {1, 3, 4};
	static const JpegOptions kinds[] = {
		{.kind = JPEG_YCC},
		{.kind = JPEG_YCC, .progressive = true},
		{.kind = JPEG_YCC, .restart = 1},
		{.kind = JPEG_PLAIN_RGB},
		{.kind = JPEG_INK},
		{.kind = JPEG_YCCK},
		{.kind = JPEG_INK, .no_adobe = true},
	};
	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		Bytes b = make_jpeg(W, H, &kinds[k]);
		for (int c = 0; c < 3; c++) {
			RtImage image = decoded(&b, channels[c]);
			ck_picture(&image, 6);
			if (channels[c] == 4)
				ck_assert_int_eq(image.pixels[3], 255);
			rt_sys.release(image.pixels);
		}
		free(b.p);
	}
	Bytes gray = make_jpeg(W, H, &(JpegOptions){.kind = JPEG_GRAY});
	for (int c = 0; c < 3; c++) {
		RtImage image = decoded(&gray, channels[c]);
		ck_gray_picture(&image, 6);
		rt_sys.release(image.pixels);
	}
	free(gray.p);
}
END_TEST

static void ck_png(int type, int depth, bool interlaced, int channels)
{
	Bytes b = make_png(W, H, type, depth, interlaced);
	RtImage image = decoded(&b, channels);
	if (type == PNG_COLOR_TYPE_RGB || type == PNG_COLOR_TYPE_RGBA)
		ck_picture(&image, 0);
	else if (type != PNG_COLOR_TYPE_PALETTE)
		ck_gray_picture(&image, depth >= 8 ? 0 : 256 >> depth);
	for (int i = 0; i < W * H && channels == 4; i++) {
		int x = i % W, alpha = image.pixels[4 * i + 3];
		bool has = type & PNG_COLOR_MASK_ALPHA;
		ck_assert_int_eq(alpha, type == PNG_COLOR_TYPE_PALETTE ? 255 - x % (1 << depth) : has ? 255 - x : 255);
	}
	for (int i = 0; i < W * H && channels >= 3 && type == PNG_COLOR_TYPE_PALETTE; i++) {
		int k = i % W % (1 << depth);
		ck_assert_int_eq(image.pixels[channels * i], k * 3 & 255);
		ck_assert_int_eq(image.pixels[channels * i + 1], 255 - k);
		ck_assert_int_eq(image.pixels[channels * i + 2], k * 7 & 255);
	}
	rt_sys.release(image.pixels);
	free(b.p);
}

START_TEST(png_colours)
{
	static const struct {
		int type, depth;
	} kinds[] = {
		{PNG_COLOR_TYPE_GRAY, 1},       {PNG_COLOR_TYPE_GRAY, 2},        {PNG_COLOR_TYPE_GRAY, 4},
		{PNG_COLOR_TYPE_GRAY, 8},       {PNG_COLOR_TYPE_GRAY, 16},       {PNG_COLOR_TYPE_RGB, 8},
		{PNG_COLOR_TYPE_RGB, 16},       {PNG_COLOR_TYPE_RGBA, 8},        {PNG_COLOR_TYPE_RGBA, 16},
		{PNG_COLOR_TYPE_GRAY_ALPHA, 8}, {PNG_COLOR_TYPE_GRAY_ALPHA, 16}, {PNG_COLOR_TYPE_PALETTE, 1},
		{PNG_COLOR_TYPE_PALETTE, 2},    {PNG_COLOR_TYPE_PALETTE, 4},     {PNG_COLOR_TYPE_PALETTE, 8},
	};
	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
		for (int interlaced = 0; interlaced < 2; interlaced++)
			for (int channels = 1; channels <= 4; channels += channels == 1 ? 2 : 1)
				ck_png(kinds[k].type, kinds[k].depth, interlaced, channels);
}
END_TEST

/* Where pixel (x, y) of the upright picture lies in the stored one, by the words of the EXIF standard. */
static void stored(int orientation, int x, int y, int *sx, int *sy)
{
	int across[] = {0, x, W - 1 - x, W - 1 - x, x, y, y, W - 1 - y, W - 1 - y};
	int down[] = {0, y, y, H - 1 - y, H - 1 - y, x, H - 1 - x, H - 1 - x, x};
	*sx = across[orientation];
	*sy = down[orientation];
}

START_TEST(orientations)
{
	for (int o = 1; o <= 8; o++)
		for (int big = 0; big < 2; big++) {
			Bytes b = make_jpeg(W, H,
					    &(JpegOptions){.kind = JPEG_YCC, .orientation = o, .big_endian_exif = big});
			RtImage image = decoded(&b, 3);
			ck_assert_int_eq(image.width, o >= 5 ? H : W);
			ck_assert_int_eq(image.height, o >= 5 ? W : H);
			for (int y = 0; y < image.height; y++)
				for (int x = 0; x < image.width; x++) {
					int sx, sy;
					unsigned char rgb[3];
					stored(o, x, y, &sx, &sy);
					picture_colour(sx, sy, W, H, rgb);
					for (int c = 0; c < 3; c++)
						ck_near(image.pixels[(y * image.width + x) * 3 + c], rgb[c], 6, x, y);
				}
			rt_sys.release(image.pixels);
			free(b.p);
		}
}
END_TEST

START_TEST(exif_damage)
{
	unsigned char tiff[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0};
	ck_assert_int_eq(rt_exif_orientation(tiff, sizeof tiff), 6);
	for (size_t n = 0; n < sizeof tiff; n++) {
		unsigned char *cut = malloc(n + 1); /* its own block, so that reading past it is seen */
		memcpy(cut, tiff, n);
		cut = realloc(cut, n ? n : 1);
		ck_assert_int_eq(rt_exif_orientation(cut, n), 1);
		free(cut);
	}
	for (size_t i = 0; i < sizeof tiff; i++)
		for (int v = 0; v < 256; v++) {
			unsigned char bad[sizeof tiff];
			memcpy(bad, tiff, sizeof tiff);
			bad[i] = (unsigned char)v;
			int o = rt_exif_orientation(bad, sizeof bad);
			ck_assert(o >= 1 && o <= 8);
		}
}
END_TEST

static void ck_refused(const void *bytes, size_t n, const char *reason)
{
	RtImage image;
	RtStatus status = rt_image_decode(bytes, n, 3, 0, 0, 0, false, &image);
	ck_assert_int_eq(status, RT_BAD_DATA);
	ck_assert_ptr_null(image.pixels);
	ck_assert_msg(strstr(rt_message(), reason) != NULL, "'%s' does not say '%s'", rt_message(), reason);
}

START_TEST(truncated)
{
	Bytes files[] = {
		make_jpeg(W, H, &(JpegOptions){.kind = JPEG_YCC}),
		make_jpeg(W, H, &(JpegOptions){.kind = JPEG_YCC, .progressive = true}),
		make_png(W, H, PNG_COLOR_TYPE_RGB, 8, false),
		make_png(W, H, PNG_COLOR_TYPE_RGBA, 16, true),
	};
	static const size_t tail[] = {8, 2, 24, 24}; /* bytes at the end without which the picture may still be whole */
	for (int f = 0; f < 4; f++) {
		for (size_t n = 0; n + tail[f] < files[f].n; n++) {
			unsigned char *cut = malloc(n + 1);
			RtImage image;
			memcpy(cut, files[f].p, n);
			cut = realloc(cut, n ? n : 1);
			ck_assert_msg(rt_image_decode(cut, n, 3, 0, 0, 0, false, &image) == RT_BAD_DATA,
				      "file %d cut at %zu", f, n);
			free(cut);
		}
		free(files[f].p);
	}
}
END_TEST

START_TEST(not_pictures)
{
	ck_refused("", 0, "empty");
	ck_refused("#!/bin/sh\necho hello\n", 21, "not a JPEG or PNG");
	ck_refused("GIF89a..........", 16, "GIF pictures are not supported");
	ck_refused("RIFF....WEBPVP8 ", 16, "WebP pictures are not supported");
	ck_refused("\xff\xd8\xff", 3, "premature end");
	ck_refused("\x89PNG\r\n\x1a\n", 8, "premature end");
}
END_TEST

static void put32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (24 - 8 * i));
}

START_TEST(huge_sizes)
{
	Bytes jpeg = make_jpeg(W, H, &(JpegOptions){.kind = JPEG_YCC});
	for (size_t i = 0; i + 8 < jpeg.n; i++)
		if (jpeg.p[i] == 0xff && jpeg.p[i + 1] == 0xc0) {
			memcpy(jpeg.p + i + 5, "\xff\xdc\xff\xdc", 4); /* 65,500 x 65,500 */
			break;
		}
	ck_refused(jpeg.p, jpeg.n, "more than the limit");
	free(jpeg.p);
	static const uint32_t sizes[][2] = {
		{900000, 900000}, {0x7fffffff, 1}, {13000, 13000}, {0, 5}, {1u << 31, 1u << 31}};
	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		Bytes png = make_png(W, H, PNG_COLOR_TYPE_RGB, 8, false);
		put32(png.p + 16, sizes[k][0]);
		put32(png.p + 20, sizes[k][1]);
		put32(png.p + 29, (uint32_t)crc32(0, png.p + 12, 17));
		ck_refused(png.p, png.n, "");
		free(png.p);
	}
	Bytes small = make_png(W, H, PNG_COLOR_TYPE_RGB, 8, false);
	RtImage image;
	ck_assert_int_eq(rt_image_decode(small.p, small.n, 3, W * H - 1, 0, 0, false, &image), RT_BAD_DATA);
	ck_assert_int_eq(rt_image_decode(small.p, small.n, 3, W * H, 0, 0, false, &image), RT_OK);
	rt_sys.release(image.pixels);
	free(small.p);
}
END_TEST

/* A progressive file whose first scan comes 600 times: out of order, so refused long before the limit of scans. */
START_TEST(many_scans)
{
	Bytes jpeg = make_jpeg(W, H, &(JpegOptions){.kind = JPEG_GRAY, .progressive = true});
	size_t scan[2] = {0, 0};
	for (size_t i = 0, k = 0; i + 1 < jpeg.n && k < 2; i++)
		if (jpeg.p[i] == 0xff && jpeg.p[i + 1] == 0xda)
			scan[k++] = i;
	size_t refine = scan[0], n = scan[1] - scan[0];
	unsigned char *bomb = malloc(jpeg.n + 600 * n);
	memcpy(bomb, jpeg.p, refine);
	for (size_t k = 0; k < 600; k++)
		memcpy(bomb + refine + k * n, jpeg.p + refine, n);
	memcpy(bomb + refine + 600 * n, jpeg.p + scan[1], jpeg.n - scan[1]);
	RtImage image;
	ck_assert_int_eq(rt_image_decode(bomb, jpeg.n + 599 * n, 3, 0, 0, 0, false, &image), RT_BAD_DATA);
	free(bomb);
	free(jpeg.p);
}
END_TEST

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Bytes changed at random: any result is right that is not a crash or a leak. */
START_TEST(mutations)
{
	Bytes files[] = {
		make_jpeg(W, H, &(JpegOptions){.kind = JPEG_YCC, .orientation = 6}),
		make_jpeg(W, H, &(JpegOptions){.kind = JPEG_YCCK, .progressive = true}),
		make_jpeg(W, H, &(JpegOptions){.kind = JPEG_GRAY, .restart = 1}),
		make_png(W, H, PNG_COLOR_TYPE_RGBA, 8, false),
		make_png(W, H, PNG_COLOR_TYPE_PALETTE, 4, true),
		make_png(W, H, PNG_COLOR_TYPE_GRAY, 16, false),
	};
	uint32_t random = 7;
	for (int f = 0; f < 6; f++) {
		for (int round = 0; round < 400; round++) {
			Bytes b = {malloc(files[f].n), files[f].n};
			memcpy(b.p, files[f].p, b.n);
			for (uint32_t k = 0; k <= next_random(&random) % 4; k++)
				b.p[next_random(&random) % b.n] = (unsigned char)next_random(&random);
			if (round % 4 == 0)
				b.n = 1 + next_random(&random) % b.n;
			RtImage image;
			if (!rt_image_decode(b.p, b.n, 1 + 2 * (round & 1), 1 << 22, 16, 16, round & 2, &image))
				rt_sys.release(image.pixels);
			else
				ck_assert_str_ne(rt_message(), "");
			free(b.p);
		}
		free(files[f].p);
	}
}
END_TEST

START_TEST(fast_is_not_smaller_than_wanted)
{
	for (int o = 1; o <= 6; o += 5) {
		Bytes b = make_jpeg(400, 200, &(JpegOptions){.kind = JPEG_YCC, .orientation = o});
		RtImage image;
		ck_assert_int_eq(rt_image_decode(b.p, b.n, 3, 0, o >= 5 ? 40 : 90, o >= 5 ? 90 : 40, true, &image),
				 RT_OK);
		ck_assert_int_eq(image.width, o >= 5 ? 50 : 100);
		ck_assert_int_eq(image.height, o >= 5 ? 100 : 50);
		rt_sys.release(image.pixels);
		free(b.p);
	}
}
END_TEST

/* ---- whole files ---- */

static RtDataSpec spec_of(int h, int w, int c)
{
	return (RtDataSpec){
		.xport = {.rank = 4, .dtype = RT_U8, .dim = {0, h, w, c}, .row_bytes = (uint64_t)(h * w * c)}};
}

START_TEST(files)
{
	RtDataSpec spec = spec_of(16, 16, 3);
	unsigned char row[16 * 16 * 3];
	folder_new();
	write_jpeg(in_folder("a.jpg"), 30, 20, 200);
	ck_assert_int_eq(rt_image_load(in_folder("a.jpg"), &spec, row), RT_OK);
	for (size_t i = 0; i < sizeof row; i++)
		ck_near(row[i], 200, 2, (int)i, 0);
	ck_assert_int_eq(rt_image_load(in_folder("none.jpg"), &spec, row), RT_BAD_DATA);
	ck_assert_str_eq(rt_message(), "No such file or directory");
	ck_assert_int_eq(mkfifo(in_folder("fifo.jpg"), 0666), 0);
	ck_assert_int_eq(rt_image_load(in_folder("fifo.jpg"), &spec, row), RT_BAD_DATA);
	ck_assert_str_eq(rt_message(), "not a regular file");
	ck_assert_int_eq(symlink("loop.jpg", in_folder("loop.jpg")), 0);
	ck_assert_int_eq(rt_image_load(in_folder("loop.jpg"), &spec, row), RT_BAD_DATA);
	ck_assert_int_eq(rt_image_load("/dev/zero", &spec, row), RT_BAD_DATA);
	ck_assert_int_eq(rt_image_load_known(in_folder("a.jpg"), &spec, 1, 1, row), RT_BAD_DATA);
	ck_assert(rt_image_is_known("x/y.JPeG") && rt_image_is_known(".png") && !rt_image_is_known("a.jpg/b") &&
		  !rt_image_is_known("jpg") && !rt_image_is_known("a.gif"));
	folder_remove();
}
END_TEST

/* 30 x 20 of one grey into squares: cropping leaves no black, padding leaves a black band of a sixth above and below.
 */
START_TEST(aspect)
{
	RtDataSpec spec = spec_of(30, 30, 1);
	unsigned char row[900];
	folder_new();
	write_jpeg(in_folder("a.jpg"), 30, 20, 200);
	spec.crop_to_aspect_ratio = true;
	ck_assert_int_eq(rt_image_load(in_folder("a.jpg"), &spec, row), RT_OK);
	for (int i = 0; i < 900; i++)
		ck_near(row[i], 200, 2, i % 30, i / 30);
	spec.crop_to_aspect_ratio = false;
	spec.pad_to_aspect_ratio = true;
	for (int how = RT_BILINEAR; how <= RT_AREA; how++) {
		spec.interpolation = (RtInterpolation)how;
		ck_assert_int_eq(rt_image_load(in_folder("a.jpg"), &spec, row), RT_OK);
		for (int i = 0; i < 900; i++) /* 20 of 30 rows */
			ck_near(row[i], i / 30 < 5 || i / 30 >= 25 ? 0 : 200, 2, i % 30, i / 30);
	}
	write_jpeg(in_folder("thin.jpg"), 60000, 1, 9); /* would be no row of 30: one is left */
	ck_assert_int_eq(rt_image_load(in_folder("thin.jpg"), &spec, row), RT_OK);
	folder_remove();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("image");
	TCase *t = tcase_create("image");
	tcase_add_test(t, jpeg_colours);
	tcase_add_test(t, png_colours);
	tcase_add_test(t, orientations);
	tcase_add_test(t, exif_damage);
	tcase_add_test(t, truncated);
	tcase_add_test(t, not_pictures);
	tcase_add_test(t, huge_sizes);
	tcase_add_test(t, many_scans);
	tcase_add_test(t, mutations);
	tcase_add_test(t, fast_is_not_smaller_than_wanted);
	tcase_add_test(t, files);
	tcase_add_test(t, aspect);
	suite_add_tcase(suite, t);
	return suite_run(suite);
}

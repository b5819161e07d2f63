/* image_jpeg.c -- JPEG bytes to pixels, with libjpeg-turbo
 *
 * Baseline and progressive; grayscale, YCbCr, RGB, CMYK and YCCK. Data that is cut off or damaged is an error, while
 * oddities that leave the picture whole (bytes between markers, a wrong version) are let pass, as other readers do.
 * Limits are checked on the header, before memory is taken.
 */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <jpeglib.h>
#include <jerror.h>
#include "runtime/image.h"
#include "runtime/sys.h"

typedef struct Decoder {
	struct jpeg_decompress_struct c;
	struct jpeg_error_mgr errors;
	struct jpeg_progress_mgr progress;
	jmp_buf failed;
	RtStatus status;
	int max_scans;
	RtImage image;
} Decoder;

static void fail(j_common_ptr c)
{
	Decoder *d = c->client_data;
	char reason[JMSG_LENGTH_MAX];
	c->err->format_message(c, reason);
	d->status = rt_image_fail(reason);
	if (c->err->msg_code == JERR_OUT_OF_MEMORY)
		d->status = RT_NOMEM;
	longjmp(d->failed, 1);
}

/* Traces and warnings (level -1). libjpeg would go on with grey or old pixels. */
static void on_message(j_common_ptr c, int level)
{
	if (level >= 0)
		return;
	switch (c->err->msg_code) {
	case JWRN_JPEG_EOF:
	case JWRN_HIT_MARKER:
	case JWRN_HUFF_BAD_CODE:
	case JWRN_ARITH_BAD_CODE:
	case JWRN_MUST_RESYNC:
	case JWRN_BOGUS_PROGRESSION:
		fail(c);
	}
}

static void on_progress(j_common_ptr c)
{
	Decoder *d = c->client_data;
	if (d->c.input_scan_number <= d->max_scans)
		return;
	d->status = rt_fail(RT_BAD_DATA, "more than %d scans", d->max_scans);
	longjmp(d->failed, 1);
}

/* Each scan may visit every block for next to no bytes, so large pictures get fewer; real ones have some 10. */
static int scan_limit(const struct jpeg_decompress_struct *c)
{
	double limit = 4e9 / ((double)c->image_width * c->image_height);
	return limit < 32 ? 32 : limit > 500 ? 500 : (int)limit;
}

static int orientation_of(const struct jpeg_decompress_struct *c)
{
	static const unsigned char magic[6] = {'E', 'x', 'i', 'f', 0, 0};
	for (jpeg_saved_marker_ptr m = c->marker_list; m; m = m->next)
		if (m->marker == JPEG_APP0 + 1 && m->data_length > sizeof magic &&
		    !memcmp(m->data, magic, sizeof magic))
			return rt_exif_orientation(m->data + sizeof magic, m->data_length - sizeof magic);
	return 1;
}

static void choose_colours(Decoder *d, int channels)
{
	struct jpeg_decompress_struct *c = &d->c;
	if (c->jpeg_color_space == JCS_CMYK || c->jpeg_color_space == JCS_YCCK)
		c->out_color_space = JCS_CMYK;
	else
		c->out_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_EXT_RGBA;
}

/* The smallest of 1/8, 1/4, 1/2 that is still as large as wanted. */
static void choose_scale(struct jpeg_decompress_struct *c, const RtImageWish *wish, bool turned)
{
	int64_t w = turned ? wish->height : wish->width, h = turned ? wish->width : wish->height;
	if (!wish->fast || w <= 0 || h <= 0)
		return;
	c->scale_denom = 8;
	for (c->scale_num = 1; c->scale_num < 8; c->scale_num *= 2)
		if ((int64_t)c->image_width * c->scale_num / 8 >= w && (int64_t)c->image_height * c->scale_num / 8 >= h)
			return;
}

static unsigned muldiv255(unsigned a, unsigned b)
{
	unsigned t = a * b + 128;
	return (t + (t >> 8)) >> 8;
}

/* Adobe writes ink inverted: 255 is none. Light = (1 - ink) * (1 - black). */
static void from_cmyk(const unsigned char *src, unsigned char *dst, size_t n, int channels, bool inverted)
{
	unsigned flip = inverted ? 0 : 255;
	for (size_t i = 0; i < n; i++, src += 4, dst += channels) {
		unsigned k = src[3] ^ flip;
		unsigned r = muldiv255(src[0] ^ flip, k), g = muldiv255(src[1] ^ flip, k),
			 b = muldiv255(src[2] ^ flip, k);
		if (channels == 1) {
			dst[0] = rt_luma(r, g, b);
			continue;
		}
		dst[0] = (unsigned char)r;
		dst[1] = (unsigned char)g;
		dst[2] = (unsigned char)b;
		if (channels == 4)
			dst[3] = 255;
	}
}

static void read_rows(Decoder *d)
{
	struct jpeg_decompress_struct *c = &d->c;
	size_t w = c->output_width, row = w * (size_t)d->image.channels;
	bool cmyk = c->out_color_space == JCS_CMYK;
	JSAMPROW ink = cmyk ? c->mem->alloc_large((j_common_ptr)c, JPOOL_IMAGE, w * 4) : NULL;
	while (c->output_scanline < c->output_height) {
		unsigned char *dst = d->image.pixels + row * c->output_scanline;
		JSAMPROW to = cmyk ? ink : dst;
		if (jpeg_read_scanlines(c, &to, 1) != 1)
			ERREXIT(c, JERR_CANT_SUSPEND);
		if (cmyk)
			from_cmyk(ink, dst, w, d->image.channels, c->saw_Adobe_marker);
	}
}

static void decode(Decoder *d, const unsigned char *bytes, size_t n, const RtImageWish *wish, int *orientation)
{
	struct jpeg_decompress_struct *c = &d->c;
	jpeg_create_decompress(c);
	c->progress = &d->progress;
	jpeg_mem_src(c, bytes, n);
	jpeg_save_markers(c, JPEG_APP0 + 1, 0xffff);
	jpeg_read_header(c, TRUE);
	*orientation = orientation_of(c);
	d->max_scans = scan_limit(c);
	d->status = RT_BAD_DATA;
	if ((int64_t)c->image_width * c->image_height > wish->max_pixels) {
		rt_fail(RT_BAD_DATA, "%u x %u pixels are more than the limit of %lld", c->image_width, c->image_height,
			(long long)wish->max_pixels);
		longjmp(d->failed, 1);
	}
	choose_colours(d, wish->channels);
	choose_scale(c, wish, *orientation >= 5);
	jpeg_calc_output_dimensions(c);
	d->status = rt_image_alloc(&d->image, c->output_width, c->output_height, wish->channels, wish->max_pixels);
	if (d->status)
		longjmp(d->failed, 1);
	jpeg_start_decompress(c);
	read_rows(d);
}

/* Apart from rt_jpeg_decode, so that no variable lives in the frame that longjmp returns to. */
static bool decoded(Decoder *d, const unsigned char *bytes, size_t n, const RtImageWish *wish, int *orientation)
{
	if (setjmp(d->failed))
		return false;
	decode(d, bytes, n, wish, orientation);
	return true;
}

RtStatus rt_jpeg_decode(const unsigned char *bytes, size_t n, const RtImageWish *wish, RtImage *out, int *orientation)
{
	Decoder d;
	memset(&d, 0, sizeof d);
	d.c.err = jpeg_std_error(&d.errors);
	d.errors.error_exit = fail;
	d.errors.emit_message = on_message;
	d.progress.progress_monitor = on_progress;
	d.c.client_data = &d;
	bool ok = decoded(&d, bytes, n, wish, orientation);
	jpeg_destroy_decompress(&d.c); /* not jpeg_finish_decompress: what follows the last row does not matter */
	if (!ok) {
		rt_sys.release(d.image.pixels);
		return d.status;
	}
	*out = d.image;
	return RT_OK;
}

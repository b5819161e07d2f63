/* image_png.c -- PNG bytes to pixels, with libpng
 *
 * Every colour type and depth, interlaced or not. 16-bit samples keep their high byte; alpha is dropped where it is not
 * asked for, not blended. Limits are checked on the header, before memory is taken. Writes masks, too.
 */
#include <setjmp.h>
#include <string.h>
#include <png.h>
#include "ir/size.h"
#include "runtime/durable.h"
#include "runtime/image.h"
#include "runtime/sys.h"

typedef struct Reader {
	const unsigned char *at;
	size_t left, length;
	jmp_buf failed;
	RtStatus status;
	png_structp png;
	png_infop info;
	RtImage image;
} Reader;

static void fail(png_structp png, const char *reason)
{
	Reader *r = png_get_error_ptr(png);
	if (!r->status)
		r->status = rt_image_fail(reason);
	longjmp(r->failed, 1);
}

static void ignore(png_structp png, const char *warning)
{
	(void)png;
	(void)warning;
}

static void *take(png_structp png, png_alloc_size_t n)
{
	Reader *r = png_get_mem_ptr(png);
	void *p = rt_sys.alloc(n);
	if (!p)
		r->status = rt_fail(RT_NOMEM, "out of memory");
	return p;
}

static void release(png_structp png, void *p)
{
	(void)png;
	rt_sys.release(p);
}

static void read_bytes(png_structp png, png_bytep dst, size_t n)
{
	Reader *r = png_get_io_ptr(png);
	if (n > r->left)
		png_error(png, "premature end of PNG file");
	memcpy(dst, r->at, n);
	r->at += n;
	r->left -= n;
}

static void stop(Reader *r, RtStatus status)
{
	r->status = status;
	longjmp(r->failed, 1);
}

/* Deflate shrinks at most 1032 times, so a short file can't hold a large picture, whatever its header says. */
static void check_size(Reader *r, int64_t max_pixels)
{
	size_t w = png_get_image_width(r->png, r->info), h = png_get_image_height(r->png, r->info), pixels, packed,
	       most;
	if (!size_mul(w, h, &pixels) || pixels > (uint64_t)max_pixels)
		stop(r, rt_fail(RT_BAD_DATA, "%zu x %zu pixels are more than the limit of %lld", w, h,
				(long long)max_pixels));
	if (!size_mul(png_get_rowbytes(r->png, r->info), h, &packed) || !size_mul(r->length, 1032, &most) ||
	    packed > most)
		stop(r, rt_fail(RT_BAD_DATA, "the file is too short for %zu x %zu pixels", w, h));
}

static int orientation_of(Reader *r)
{
	png_bytep exif;
	png_uint_32 n;
	return png_get_eXIf_1(r->png, r->info, &n, &exif) && exif ? rt_exif_orientation(exif, n) : 1;
}

/* Asks libpng for 8-bit samples of 1, 3 or 4 channels; returns how many it will give: 3 where gray is still to be made.
 */
static int choose_transforms(Reader *r, const RtImageWish *wish)
{
	int channels = wish->channels;
	png_structp png = r->png;
	int type = png_get_color_type(png, r->info), depth = png_get_bit_depth(png, r->info);
	bool alpha = type & PNG_COLOR_MASK_ALPHA || png_get_valid(png, r->info, PNG_INFO_tRNS);
	bool colour = type & PNG_COLOR_MASK_COLOR;
	if (wish->indices) {
		if (depth == 16 || (colour && type != PNG_COLOR_TYPE_PALETTE))
			stop(r, rt_fail(RT_BAD_DATA, "a mask has grey values or a palette, of at most 8 bits"));
		png_set_packing(png);
		png_set_strip_alpha(png);
		return 1;
	}
	if (depth == 16)
		png_set_strip_16(png);
	if (type == PNG_COLOR_TYPE_PALETTE)
		png_set_palette_to_rgb(png);
	if (type == PNG_COLOR_TYPE_GRAY && depth < 8)
		png_set_expand_gray_1_2_4_to_8(png);
	if (channels == 4 && alpha)
		png_set_tRNS_to_alpha(png);
	if (channels == 4 && !alpha)
		png_set_add_alpha(png, 0xff, PNG_FILLER_AFTER);
	if (channels != 4)
		png_set_strip_alpha(png);
	if (channels >= 3 && !colour)
		png_set_gray_to_rgb(png);
	return channels == 1 && colour ? 3 : channels;
}

static void read_rows(Reader *r)
{
	size_t row = (size_t)r->image.width * (size_t)r->image.channels;
	int passes = png_set_interlace_handling(r->png);
	png_read_update_info(r->png, r->info);
	if (png_get_rowbytes(r->png, r->info) != row)
		png_error(r->png, "unexpected row size");
	for (int pass = 0; pass < passes; pass++)
		for (int y = 0; y < r->image.height; y++)
			png_read_row(r->png, r->image.pixels + row * (size_t)y, NULL);
}

static void to_gray(RtImage *image)
{
	const unsigned char *src = image->pixels;
	size_t n = (size_t)image->width * (size_t)image->height;
	for (size_t i = 0; i < n; i++, src += 3)
		image->pixels[i] = rt_luma(src[0], src[1], src[2]);
	image->channels = 1;
}

static void decode(Reader *r, const RtImageWish *wish, int *orientation)
{
	r->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, r, fail, ignore, r, take, release);
	r->info = r->png ? png_create_info_struct(r->png) : NULL;
	if (!r->info)
		stop(r, rt_fail(RT_NOMEM, "out of memory"));
	png_set_read_fn(r->png, r, read_bytes);
	png_read_info(r->png, r->info);
	check_size(r, wish->max_pixels);
	*orientation = orientation_of(r);
	int channels = choose_transforms(r, wish);
	RtStatus status = rt_image_alloc(&r->image, png_get_image_width(r->png, r->info),
					 png_get_image_height(r->png, r->info), channels, wish->max_pixels);
	if (status)
		stop(r, status);
	read_rows(r);
	if (channels != wish->channels)
		to_gray(&r->image);
}

/* Apart from rt_png_decode, so that no variable lives in the frame that longjmp returns to. */
static bool decoded(Reader *r, const RtImageWish *wish, int *orientation)
{
	if (setjmp(r->failed))
		return false;
	decode(r, wish, orientation);
	return true;
}

RtStatus rt_png_decode(const unsigned char *bytes, size_t n, const RtImageWish *wish, RtImage *out, int *orientation)
{
	Reader r;
	memset(&r, 0, sizeof r);
	r.at = bytes;
	r.left = r.length = n;
	bool ok = decoded(&r, wish, orientation);
	png_destroy_read_struct(&r.png, &r.info, NULL);
	if (!ok) {
		rt_sys.release(r.image.pixels);
		return r.status;
	}
	*out = r.image;
	return RT_OK;
}

/* ---- writing ---- */

typedef struct Writer {
	unsigned char *bytes;
	size_t n, room;
	jmp_buf failed;
	png_structp png;
	png_infop info;
} Writer;

static void write_failed(png_structp png, const char *reason)
{
	Writer *w = png_get_error_ptr(png);
	(void)reason;
	longjmp(w->failed, 1);
}

static void write_bytes(png_structp png, png_bytep bytes, size_t n)
{
	Writer *w = png_get_io_ptr(png);
	if (w->n + n > w->room) {
		size_t room = 2 * (w->n + n);
		unsigned char *bigger = rt_sys.resize(w->bytes, room);
		if (!bigger)
			png_error(png, "out of memory");
		w->bytes = bigger;
		w->room = room;
	}
	memcpy(w->bytes + w->n, bytes, n);
	w->n += n;
}

static void write_nothing(png_structp png)
{
	(void)png;
}

/* Pascal VOC's colours: the bits of the class, three by three, from the top bit of red, green and blue on. */
static png_color colour_of(int class)
{
	unsigned rgb[3] = {0};
	for (int bit = 7; class; class >>= 3, bit--) {
		for (int c = 0; c < 3; c++)
			rgb[c] |= (unsigned)(class >> c & 1) << bit;
	}
	return (png_color){(png_byte)rgb[0], (png_byte)rgb[1], (png_byte)rgb[2]};
}

static void encode(Writer *w, int width, int height, const unsigned char *classes)
{
	png_color palette[256];
	for (int i = 0; i < 256; i++)
		palette[i] = colour_of(i);
	w->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w, write_failed, ignore);
	w->info = w->png ? png_create_info_struct(w->png) : NULL;
	if (!w->info)
		longjmp(w->failed, 1);
	png_set_write_fn(w->png, w, write_bytes, write_nothing);
	png_set_IHDR(w->png, w->info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_PALETTE, PNG_INTERLACE_NONE,
		     PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_set_PLTE(w->png, w->info, palette, 256);
	png_write_info(w->png, w->info);
	for (int y = 0; y < height; y++)
		png_write_row(w->png, classes + (size_t)y * (size_t)width);
	png_write_end(w->png, NULL);
}

static bool encoded(Writer *w, int width, int height, const unsigned char *classes)
{
	if (setjmp(w->failed))
		return false;
	encode(w, width, height, classes);
	return true;
}

RtStatus rt_image_write_mask(const char *path, int width, int height, const unsigned char *classes)
{
	Writer w;
	memset(&w, 0, sizeof w);
	bool ok = encoded(&w, width, height, classes);
	png_destroy_write_struct(&w.png, &w.info);
	RtStatus s = ok ? rt_write_file(path, w.bytes, w.n, 0666) : rt_fail(RT_NOMEM, "out of memory for %s", path);
	rt_sys.release(w.bytes);
	return s;
}

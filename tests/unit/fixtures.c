/* fixtures.c -- makes the files that the tests of the data readers read */
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <jpeglib.h>
#include <png.h>
#include <zlib.h>
#include "tests/unit/fixtures.h"

static char folder[64];

static void *taken(void *p)
{
	if (!p)
		abort();
	return p;
}

void picture_colour(int x, int y, int w, int h, unsigned char rgb[3])
{
	rgb[0] = (unsigned char)(40 + 150 * x / w);
	rgb[1] = (unsigned char)(220 - 170 * y / h);
	rgb[2] = (unsigned char)(30 + 90 * x / w + 90 * y / h);
}

static unsigned char luma(const unsigned char *c)
{
	return (unsigned char)((299 * c[0] + 587 * c[1] + 114 * c[2] + 500) / 1000);
}

/* ---- JPEG ---- */

static void put_exif(struct jpeg_compress_struct *c, const JpegOptions *o)
{
	unsigned char little[] = {'E', 'x',  'i',  'f', 0, 0, 'I', 'I', 42, 0,   8, 0, 0, 0,    2,
				  0,   0x0f, 0x01, 2,   0, 1, 0,   0,   0,  'c', 0, 0, 0, 0x12, 0x01,
				  3,   0,    1,    0,   0, 0, 1,   0,   0,  0,   0, 0, 0, 0};
	unsigned char big[] = {'E',  'x',  'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1,
			       0x01, 0x12, 0,   3,   0, 0, 0,   1,   0, 1,  0, 0, 0, 0, 0, 0};
	little[36] = big[25] = (unsigned char)o->orientation;
	if (o->big_endian_exif)
		jpeg_write_marker(c, JPEG_APP0 + 1, big, sizeof big);
	else
		jpeg_write_marker(c, JPEG_APP0 + 1, little, sizeof little);
}

static void jpeg_row(unsigned char *row, int y, int w, int h, const JpegOptions *o)
{
	for (int x = 0; x < w; x++) {
		unsigned char rgb[3], ink = o->no_adobe ? 255 : 0;
		picture_colour(x, y, w, h, rgb);
		if (o->kind == JPEG_GRAY) {
			row[x] = luma(rgb);
		} else if (o->kind == JPEG_INK || o->kind == JPEG_YCCK) { /* no black: light = 255 - ink */
			for (int k = 0; k < 3; k++)
				row[4 * x + k] = rgb[k] ^ ink;
			row[4 * x + 3] = 255 ^ ink;
		} else {
			memcpy(row + 3 * x, rgb, 3);
		}
	}
}

static void jpeg_setup(struct jpeg_compress_struct *c, const JpegOptions *o)
{
	bool ink = o->kind == JPEG_INK || o->kind == JPEG_YCCK;
	c->input_components = o->kind == JPEG_GRAY ? 1 : ink ? 4 : 3;
	c->in_color_space = o->kind == JPEG_GRAY ? JCS_GRAYSCALE : ink ? JCS_CMYK : JCS_RGB;
	jpeg_set_defaults(c);
	jpeg_set_colorspace(c, o->kind == JPEG_GRAY        ? JCS_GRAYSCALE
			       : o->kind == JPEG_INK       ? JCS_CMYK
			       : o->kind == JPEG_YCCK      ? JCS_YCCK
			       : o->kind == JPEG_PLAIN_RGB ? JCS_RGB
							   : JCS_YCbCr);
	jpeg_set_quality(c, 98, TRUE);
	for (int i = 0; i < c->num_components; i++)
		c->comp_info[i].h_samp_factor = c->comp_info[i].v_samp_factor = 1;
	if (o->no_adobe)
		c->write_Adobe_marker = FALSE;
	c->restart_in_rows = o->restart;
	if (o->progressive)
		jpeg_simple_progression(c);
}

Bytes make_jpeg(int w, int h, const JpegOptions *o)
{
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr errors;
	unsigned char *out = NULL;
	unsigned long n = 0;
	c.err = jpeg_std_error(&errors);
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, &out, &n);
	c.image_width = (JDIMENSION)w;
	c.image_height = (JDIMENSION)h;
	jpeg_setup(&c, o);
	jpeg_start_compress(&c, TRUE);
	if (o->orientation)
		put_exif(&c, o);
	unsigned char *row = taken(malloc((size_t)w * 4));
	for (int y = 0; y < h; y++) {
		jpeg_row(row, y, w, h, o);
		jpeg_write_scanlines(&c, &row, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	free(row);
	return (Bytes){out, n};
}

void write_jpeg(const char *path, int w, int h, int shade)
{
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr errors;
	FILE *f = taken(fopen(path, "wb"));
	c.err = jpeg_std_error(&errors);
	jpeg_create_compress(&c);
	jpeg_stdio_dest(&c, f);
	c.image_width = (JDIMENSION)w;
	c.image_height = (JDIMENSION)h;
	c.input_components = 3;
	c.in_color_space = JCS_RGB;
	jpeg_set_defaults(&c);
	jpeg_start_compress(&c, TRUE);
	unsigned char *row = taken(malloc((size_t)w * 3));
	memset(row, shade, (size_t)w * 3);
	for (int y = 0; y < h; y++)
		jpeg_write_scanlines(&c, &row, 1);
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	free(row);
	fclose(f);
}

/* ---- PNG ---- */

static void append(png_structp png, png_bytep data, size_t n)
{
	Bytes *b = png_get_io_ptr(png);
	b->p = taken(realloc(b->p, b->n + n));
	memcpy(b->p + b->n, data, n);
	b->n += n;
}

static void no_flush(png_structp png)
{
	(void)png;
}

/* Samples of one row, 16 bits each with noise in the low byte, packed to the depth. */
static void png_pixels(unsigned char *row, int y, int w, int h, int type, int depth)
{
	int channels = type == PNG_COLOR_TYPE_RGB          ? 3
		       : type == PNG_COLOR_TYPE_RGBA       ? 4
		       : type == PNG_COLOR_TYPE_GRAY_ALPHA ? 2
							   : 1;
	memset(row, 0, (size_t)w * 8);
	for (int x = 0; x < w; x++) {
		unsigned char rgb[3], sample[4];
		picture_colour(x, y, w, h, rgb);
		unsigned char wide[4] = {rgb[0], rgb[1], rgb[2], (unsigned char)(255 - x)};
		unsigned char narrow[4] = {luma(rgb), (unsigned char)(255 - x), 0, 0};
		memcpy(sample, channels >= 3 ? wide : narrow, 4);
		if (type == PNG_COLOR_TYPE_PALETTE)
			sample[0] = (unsigned char)(x % (1 << depth));
		for (int c = 0; c < channels; c++) {
			int i = x * channels + c;
			if (depth == 16) {
				row[2 * i] = sample[c];
				row[2 * i + 1] = (unsigned char)(x * 37);
			} else if (depth == 8) {
				row[i] = sample[c];
			} else {
				int v = type == PNG_COLOR_TYPE_PALETTE ? sample[c] : sample[c] >> (8 - depth);
				row[i * depth / 8] |= (unsigned char)(v << (8 - depth - i * depth % 8));
			}
		}
	}
}

Bytes make_png(int w, int h, int type, int depth, bool interlaced)
{
	Bytes out = {NULL, 0};
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png_create_info_struct(png);
	png_set_write_fn(png, &out, append, no_flush);
	png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, depth, type,
		     interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
		     PNG_FILTER_TYPE_DEFAULT);
	if (type == PNG_COLOR_TYPE_PALETTE) {
		png_color colours[256];
		png_byte alpha[256];
		for (int i = 0; i < 256; i++) {
			colours[i] = (png_color){(png_byte)(i * 3), (png_byte)(255 - i), (png_byte)(i * 7)};
			alpha[i] = (png_byte)(255 - i);
		}
		png_set_PLTE(png, info, colours, 1 << depth);
		png_set_tRNS(png, info, alpha, 1 << depth, NULL);
	}
	png_write_info(png, info);
	unsigned char *pixels = taken(malloc((size_t)w * 8 * (size_t)h));
	png_bytep *rows = taken(malloc((size_t)h * sizeof *rows));
	for (int y = 0; y < h; y++) {
		rows[y] = pixels + (size_t)y * (size_t)w * 8;
		png_pixels(rows[y], y, w, h, type, depth);
	}
	png_write_image(png, rows);
	png_write_end(png, NULL);
	png_destroy_write_struct(&png, &info);
	free(pixels);
	free(rows);
	return out;
}

/* ---- other files and folders ---- */

void write_bytes(const char *path, const void *bytes, size_t n)
{
	FILE *f = taken(fopen(path, "wb"));
	if (n && fwrite(bytes, 1, n, f) != n)
		abort();
	fclose(f);
}

Bytes gzip(const void *bytes, size_t n)
{
	z_stream z = {0};
	Bytes out = {taken(malloc(n + n / 10 + 128)), n + n / 10 + 128};
	deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
	z.next_in = (Bytef *)(uintptr_t)bytes;
	z.avail_in = (uInt)n;
	z.next_out = out.p;
	z.avail_out = (uInt)out.n;
	if (deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	out.n = z.total_out;
	deflateEnd(&z);
	return out;
}

Bytes make_idx(int rank, const int *dim, const unsigned char *data)
{
	size_t n = 1, head = 4 + 4 * (size_t)rank;
	for (int i = 0; i < rank; i++)
		n *= (size_t)dim[i];
	Bytes b = {taken(malloc(head + n)), head + n};
	memcpy(b.p, (unsigned char[4]){0, 0, 8, (unsigned char)rank}, 4);
	for (int i = 0; i < rank; i++)
		for (int k = 0; k < 4; k++)
			b.p[4 + 4 * i + k] = (unsigned char)(dim[i] >> (24 - 8 * k));
	memcpy(b.p + head, data, n);
	return b;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

void folder_remove(void)
{
	if (*folder)
		nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	*folder = '\0';
}

const char *folder_new(void)
{
	folder_remove();
	strcpy(folder, "/tmp/cnnc-test-XXXXXX");
	return taken(mkdtemp(folder));
}

const char *in_folder(const char *fmt, ...)
{
	static char ring[8][512];
	static int next;
	char *out = ring[next++ % 8];
	int n = snprintf(out, sizeof *ring, "%s/", folder);
	va_list args;
	va_start(args, fmt);
	vsnprintf(out + n, sizeof *ring - (size_t)n, fmt, args);
	va_end(args);
	return out;
}

void folder_make(const char *fmt, ...)
{
	char name[256];
	va_list args;
	va_start(args, fmt);
	vsnprintf(name, sizeof name, fmt, args);
	va_end(args);
	if (mkdir(in_folder("%s", name), 0777))
		abort();
}

/* image.h -- between the parts of the picture reader: JPEG, PNG, EXIF, resize
 *
 * Decoders take bytes and a wish and give interleaved u8 pixels; they read no files. Failing, they leave no memory
 * behind and a reason (lower case, without the file's name) in rt_message().
 */
#ifndef CNNC_RUNTIME_IMAGE_H
#define CNNC_RUNTIME_IMAGE_H

#include "runtime/data.h"

typedef struct RtImageWish {
	int channels; /* 1, 3 or 4 */
	int64_t max_pixels;
	int width,
		height; /* with fast: the picture may come smaller than it is, but not smaller than this; 0: any size */
	bool fast;
	bool indices; /* PNG: samples as they are, grey or numbers in a palette; channels is 1 */
} RtImageWish;

/* orientation: the EXIF value, 1 … 8, still to be applied. */
RtStatus rt_jpeg_decode(const unsigned char *bytes, size_t n, const RtImageWish *wish, RtImage *out, int *orientation);
RtStatus rt_png_decode(const unsigned char *bytes, size_t n, const RtImageWish *wish, RtImage *out, int *orientation);

/* Orientation of a TIFF block as EXIF embeds it; 1 where there is none or the block is damaged. */
int rt_exif_orientation(const unsigned char *tiff, size_t n);

/* Pixels of the given size after the limit was checked. */
RtStatus rt_image_alloc(RtImage *image, uint64_t width, uint64_t height, int channels, int64_t max_pixels);
/* RT_BAD_DATA with a library's sentence, first letter lowered. */
RtStatus rt_image_fail(const char *reason);

/* ITU-R 601 luma of 8-bit R, G, B, in 16-bit fixed point. */
static inline unsigned char rt_luma(unsigned r, unsigned g, unsigned b)
{
	return (unsigned char)((19595 * r + 38470 * g + 7471 * b + 32768) >> 16);
}

/* A rectangle of a picture. */
typedef struct RtView {
	const unsigned char *pixels;
	size_t stride; /* bytes from a row to the next */
	int width, height, channels;
} RtView;

/* rt_image_resize of a rectangle into a rectangle. */
void rt_view_resize(const RtView *src, RtInterpolation how, int out_w, int out_h, unsigned char *dst,
		    size_t dst_stride);

/* A regular file's bytes; size, changed: as below. */
RtStatus rt_image_read_file(const char *path, int64_t size, int64_t changed, unsigned char **out, size_t *out_n);

/* Crops or pads as the spec says and resizes into a row of H x W pixels with the picture's own channels. */
void rt_image_fit(const RtImage *image, const RtDataSpec *spec, int padding, unsigned char *row); /* padding: value outside */

/* A picture file's bytes to a row, as rt_image_load does it. */
RtStatus rt_image_row(const void *bytes, size_t n, const RtDataSpec *spec, unsigned char *row);

/* rt_image_load of a file that must still have the size and time of change (ns) it had; size < 0: any. */
RtStatus rt_image_load_known(const char *path, const RtDataSpec *spec, int64_t size, int64_t changed,
			     unsigned char *row);

#endif

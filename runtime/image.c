/* image.c -- a picture file to the row of pixels that a model takes
 *
 * Tells the format by content, decodes, turns upright (EXIF), crops or pads to the wanted aspect ratio, resizes. Opens
 * regular files only and never waits on one. Reasons in rt_message() don't repeat the path.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include "ir/size.h"
#include "runtime/image.h"
#include "runtime/sys.h"

static const int64_t default_max_pixels = 178956970; /* as Pillow: a quarter GiB of RGB and half as much again */
static const int64_t max_file_bytes = INT64_C(1) << 29;

RtStatus rt_image_fail(const char *reason)
{
	bool word = reason[0] && !isupper((unsigned char)reason[1]);
	return rt_fail(RT_BAD_DATA, "%c%s", word ? tolower((unsigned char)reason[0]) : reason[0],
		       reason[0] ? reason + 1 : "");
}

RtStatus rt_image_alloc(RtImage *image, uint64_t width, uint64_t height, int channels, int64_t max_pixels)
{
	size_t pixels, bytes;
	if (!width || !height || width > INT_MAX || height > INT_MAX)
		return rt_fail(RT_BAD_DATA, "%llu x %llu is no size of a picture", (unsigned long long)width,
			       (unsigned long long)height);
	if (!size_mul(width, height, &pixels) || pixels > (uint64_t)max_pixels ||
	    !size_mul(pixels, (size_t)channels, &bytes))
		return rt_fail(RT_BAD_DATA, "%llu x %llu pixels are more than the limit of %lld",
			       (unsigned long long)width, (unsigned long long)height, (long long)max_pixels);
	unsigned char *p = rt_sys.alloc(bytes);
	if (!p)
		return rt_fail(RT_NOMEM, "out of memory: a picture needs %zu bytes", bytes);
	*image = (RtImage){(int)width, (int)height, channels, p};
	return RT_OK;
}

/* Moves pixel by pixel; from (x, y) of the upright picture to its place in the stored one, as the EXIF table has it. */
static void turn(const RtImage *src, int orientation, RtImage *dst)
{
	ptrdiff_t c = src->channels, row = c * src->width;
	ptrdiff_t across = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8 ? -c : c;
	ptrdiff_t down = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7 ? -row : row;
	const unsigned char *start =
		src->pixels + (across < 0 ? row - c : 0) + (down < 0 ? row * (src->height - 1) : 0);
	ptrdiff_t step_x = orientation >= 5 ? down : across, step_y = orientation >= 5 ? across : down;
	unsigned char *to = dst->pixels;
	for (int y = 0; y < dst->height; y++) {
		const unsigned char *from = start + step_y * y;
		for (int x = 0; x < dst->width; x++, to += c)
			memcpy(to, from + step_x * x, (size_t)c);
	}
}

static RtStatus upright(RtImage *image, int orientation)
{
	if (orientation == 1)
		return RT_OK;
	RtImage turned;
	bool swap = orientation >= 5;
	RtStatus status = rt_image_alloc(&turned, (uint64_t)(swap ? image->height : image->width),
					 (uint64_t)(swap ? image->width : image->height), image->channels, INT64_MAX);
	if (!status)
		turn(image, orientation, &turned);
	rt_sys.release(image->pixels);
	*image = status ? (RtImage){0} : turned;
	return status;
}

static bool starts(const unsigned char *bytes, size_t n, const char *magic, size_t length)
{
	return n >= length && !memcmp(bytes, magic, length);
}

static RtStatus unknown(const unsigned char *bytes, size_t n)
{
	if (!n)
		return rt_fail(RT_BAD_DATA, "the file is empty");
	const char *kind = starts(bytes, n, "GIF8", 4)                               ? "GIF"
			   : starts(bytes, n, "RIFF", 4)                             ? "WebP"
			   : starts(bytes, n, "BM", 2)                               ? "BMP"
			   : starts(bytes, n, "II*", 4) || starts(bytes, n, "MM", 2) ? "TIFF"
										     : NULL;
	return kind ? rt_fail(RT_BAD_DATA, "%s pictures are not supported, only JPEG and PNG", kind)
		    : rt_fail(RT_BAD_DATA, "not a JPEG or PNG picture");
}

RtStatus rt_image_decode(const void *data, size_t len, int channels, int64_t max_pixels, int want_w, int want_h,
			 bool fast, RtImage *out)
{
	const unsigned char *bytes = data;
	RtImageWish wish = {channels, max_pixels > 0 ? max_pixels : default_max_pixels, want_w, want_h, fast, false};
	int orientation = 1;
	RtStatus status;
	*out = (RtImage){0};
	if (channels != 1 && channels != 3 && channels != 4)
		return rt_fail(RT_INTERNAL, "pictures of %d channels can't be made", channels);
	if (starts(bytes, len, "\xff\xd8\xff", 3))
		status = rt_jpeg_decode(bytes, len, &wish, out, &orientation);
	else if (starts(bytes, len, "\x89PNG\r\n\x1a\n", 8))
		status = rt_png_decode(bytes, len, &wish, out, &orientation);
	else
		return unknown(bytes, len);
	return status ? status : upright(out, orientation);
}

bool rt_image_is_known(const char *path)
{
	const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
	return dot && (!slash || dot > slash) &&
	       (!strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg") || !strcasecmp(dot, ".png"));
}

static int clamp_side(int64_t side, int most)
{
	return side < 1 ? 1 : side > most ? most : (int)side;
}

/* The largest box of the wanted aspect ratio in the middle, as Keras' smart_resize takes it. */
static void fit_crop(RtView view, RtInterpolation how, int out_w, int out_h, unsigned char *row)
{
	int h = clamp_side((int64_t)view.width * out_h / out_w, view.height);
	int w = clamp_side((int64_t)view.height * out_w / out_h, view.width);
	size_t top = (size_t)(view.height - h) / 2, left = (size_t)(view.width - w) / 2;
	view.pixels += top * view.stride + left * (size_t)view.channels;
	view.width = w;
	view.height = h;
	rt_view_resize(&view, how, out_w, out_h, row, (size_t)out_w * (size_t)view.channels);
}

/* The whole picture between black bands, as tf.image.resize_with_pad does it: in float, so that sizes come out the
 * same. */
static void fit_pad(const RtView *view, RtInterpolation how, int out_w, int out_h, int padding, unsigned char *row)
{
	float across = (float)view->width / (float)out_w, down = (float)view->height / (float)out_h;
	float ratio = across > down ? across : down;
	float w = (float)view->width / ratio, h = (float)view->height / ratio;
	int inner_w = clamp_side((int64_t)w, out_w), inner_h = clamp_side((int64_t)h, out_h);
	float left = ((float)out_w - w) / 2, top = ((float)out_h - h) / 2;
	size_t x = left > 0 ? (size_t)left : 0, y = top > 0 ? (size_t)top : 0;
	size_t c = (size_t)view->channels, stride = (size_t)out_w * c;
	memset(row, padding, stride * (size_t)out_h);
	rt_view_resize(view, how, inner_w, inner_h, row + y * stride + x * c, stride);
}

void rt_image_fit(const RtImage *image, const RtDataSpec *spec, int padding, unsigned char *row)
{
	int out_h = (int)spec->xport.dim[1], out_w = (int)spec->xport.dim[2];
	size_t stride = (size_t)image->width * (size_t)image->channels;
	RtView view = {image->pixels, stride, image->width, image->height, image->channels};
	if (spec->crop_to_aspect_ratio)
		fit_crop(view, spec->interpolation, out_w, out_h, row);
	else if (spec->pad_to_aspect_ratio)
		fit_pad(&view, spec->interpolation, out_w, out_h, padding, row);
	else
		rt_view_resize(&view, spec->interpolation, out_w, out_h, row, (size_t)out_w * (size_t)image->channels);
}

RtStatus rt_image_row(const void *bytes, size_t n, const RtDataSpec *spec, unsigned char *row)
{
	const int64_t *dim = spec->xport.dim; /* (N, H, W, C) */
	RtImage image;
	RtStatus status = rt_image_decode(bytes, n, (int)dim[3], spec->max_pixels, (int)dim[2], (int)dim[1],
					  spec->fast_decode, &image);
	if (status)
		return status;
	rt_image_fit(&image, spec, 0, row);
	rt_sys.release(image.pixels);
	return RT_OK;
}

static RtStatus unreadable(void)
{
	char text[128];
	int error = errno;
	return rt_fail(error == ENOMEM ? RT_NOMEM : RT_BAD_DATA, "%s", strerror_r(error, text, sizeof text));
}

static int64_t changed_ns(const struct stat *st)
{
	return st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec;
}

static RtStatus check_file(const struct stat *st, int64_t size, int64_t changed)
{
	if (!S_ISREG(st->st_mode))
		return rt_fail(RT_BAD_DATA, "not a regular file");
	if (size >= 0 && (st->st_size != size || changed_ns(st) != changed))
		return rt_fail(RT_BAD_DATA, "the file changed after the program had started");
	if (st->st_size > max_file_bytes)
		return rt_fail(RT_BAD_DATA, "%lld bytes are more than the limit of %lld", (long long)st->st_size,
			       (long long)max_file_bytes);
	return st->st_size ? RT_OK : unknown(NULL, 0);
}

static RtStatus read_all(int fd, unsigned char *bytes, size_t n)
{
	for (size_t got = 0; got < n;) {
		ssize_t some = rt_sys.read(fd, bytes + got, n - got);
		if (some < 0 && errno == EINTR)
			continue;
		if (some < 0)
			return unreadable();
		if (some == 0)
			return rt_fail(RT_BAD_DATA, "the file got shorter while it was read");
		got += (size_t)some;
	}
	return RT_OK;
}

/* The whole file in memory. Looked at before it is opened: opening some devices has effects. */
RtStatus rt_image_read_file(const char *path, int64_t size, int64_t changed, unsigned char **out, size_t *out_n)
{
	struct stat st;
	if (rt_sys.stat(path, &st))
		return unreadable();
	RtStatus status = check_file(&st, size, changed);
	if (status)
		return status;
	int fd = rt_sys.open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return unreadable();
	status = rt_sys.fstat(fd, &st) ? unreadable() : check_file(&st, size, changed);
	unsigned char *bytes = NULL;
	if (!status && !(bytes = rt_sys.alloc((size_t)st.st_size)))
		status = rt_fail(RT_NOMEM, "out of memory: the file has %lld bytes", (long long)st.st_size);
	if (!status)
		status = read_all(fd, bytes, (size_t)st.st_size);
	rt_sys.close(fd);
	if (status) {
		rt_sys.release(bytes);
		return status;
	}
	*out = bytes;
	*out_n = (size_t)st.st_size;
	return RT_OK;
}

RtStatus rt_image_load_known(const char *path, const RtDataSpec *spec, int64_t size, int64_t changed,
			     unsigned char *row)
{
	unsigned char *bytes = NULL;
	size_t n = 0;
	RtStatus status = rt_image_read_file(path, size, changed, &bytes, &n);
	if (status)
		return status;
	status = rt_image_row(bytes, n, spec, row);
	rt_sys.release(bytes);
	return status;
}

RtStatus rt_image_load(const char *path, const RtDataSpec *spec, unsigned char *row)
{
	return rt_image_load_known(path, spec, -1, 0, row);
}

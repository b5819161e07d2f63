/* image_mask.c -- masks: pictures whose pixels are classes
 *
 * in:   a PNG of grey values or with a palette, of 8 bits or fewer     out: its values or palette indices, nearest-resized
 * not:  colours that mean classes: such masks are converted once, before training
 */
#include <stdio.h>
#include <string.h>
#include "runtime/image.h"
#include "runtime/sys.h"

static RtStatus check_classes(const RtImage *mask, const RtDataSpec *spec)
{
	size_t n = (size_t)mask->width * (size_t)mask->height;
	for (size_t i = 0; i < n && spec->mask_classes; i++) {
		int v = mask->pixels[i];
		if (v >= spec->mask_classes && v != spec->mask_ignored)
			return rt_fail(RT_BAD_DATA, "the value %d at (%zu, %zu) is no class: there are %d%s", v,
				       i % (size_t)mask->width, i / (size_t)mask->width, spec->mask_classes,
				       spec->mask_ignored < 0 ? "; the loss can leave one out (ignore_class)" : "");
	}
	return RT_OK;
}

RtStatus rt_image_load_mask(const char *path, const RtDataSpec *spec, unsigned char *row)
{
	enum { MOST_PIXELS = 178956970 }; /* as pictures */
	const RtImageWish wish = {.channels = 1, .max_pixels = spec->max_pixels > 0 ? spec->max_pixels : MOST_PIXELS, .indices = true};
	unsigned char *bytes = NULL;
	size_t n = 0;
	int orientation;
	RtImage mask = {0};
	RtDataSpec fit = *spec;
	RtStatus status = rt_image_read_file(path, -1, 0, &bytes, &n);
	if (status)
		return status == RT_BAD_DATA ? rt_fail(status, "its mask %s: %s", path, rt_message()) : status;
	if (n < 8 || memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) != 0)
		status = rt_fail(RT_BAD_DATA, "a mask is a PNG picture");
	else
		status = rt_png_decode(bytes, n, &wish, &mask, &orientation);
	if (!status)
		status = check_classes(&mask, spec);
	fit.interpolation = RT_NEAREST;
	if (!status)
		rt_image_fit(&mask, &fit, spec->mask_ignored < 0 ? 0 : spec->mask_ignored, row);
	else if (status == RT_BAD_DATA) {
		char why[256];
		snprintf(why, sizeof why, "%s", rt_message());
		rt_fail(status, "its mask %s: %s", path, why);
	}
	rt_sys.release(mask.pixels);
	rt_sys.release(bytes);
	return status;
}

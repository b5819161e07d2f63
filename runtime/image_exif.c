/* image_exif.c -- which way up a picture is: tag 0x0112 of the first directory of an EXIF (TIFF 6.0) block
 *
 * Reads within the block only. A damaged block gives 1, as if there were none: it says nothing about the pixels.
 */
#include "runtime/image.h"

typedef struct Tiff {
	const unsigned char *bytes;
	size_t n;
	bool big;
} Tiff;

static uint32_t get16(const Tiff *t, size_t at)
{
	const unsigned char *p = t->bytes + at;
	return t->big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t get32(const Tiff *t, size_t at)
{
	return t->big ? get16(t, at) << 16 | get16(t, at + 2) : get16(t, at + 2) << 16 | get16(t, at);
}

int rt_exif_orientation(const unsigned char *tiff, size_t n)
{
	enum { HEADER = 8, ENTRY = 12, ORIENTATION = 0x0112, SHORT = 3 };
	if (n < HEADER || tiff[0] != tiff[1] || (tiff[0] != 'I' && tiff[0] != 'M'))
		return 1;
	Tiff t = {tiff, n, tiff[0] == 'M'};
	size_t at = get32(&t, 4);
	if (get16(&t, 2) != 42 || at > n - 2)
		return 1;
	size_t entries = get16(&t, at);
	for (at += 2; entries && at <= n && n - at >= ENTRY; entries--, at += ENTRY) {
		if (get16(&t, at) != ORIENTATION)
			continue;
		uint32_t value = get16(&t, at + 8);
		return get16(&t, at + 2) == SHORT && get32(&t, at + 4) == 1 && value >= 1 && value <= 8 ? (int)value
													: 1;
	}
	return 1;
}

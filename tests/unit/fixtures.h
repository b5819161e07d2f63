/* fixtures.h -- picture files, IDX files and folders made at run time for the tests of the data readers */
#ifndef CNNC_TESTS_FIXTURES_H
#define CNNC_TESTS_FIXTURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Bytes {
	unsigned char *p;
	size_t n;
} Bytes; /* freed with free(b.p) */

typedef enum JpegKind { JPEG_GRAY, JPEG_YCC, JPEG_PLAIN_RGB, JPEG_INK, JPEG_YCCK } JpegKind;

typedef struct JpegOptions {
	JpegKind kind;
	bool progressive, big_endian_exif, no_adobe;
	int orientation; /* 0: no EXIF */
	int restart;     /* interval in rows of blocks, 0: none */
} JpegOptions;

/* Colour of pixel (x, y) of the test picture: smooth, so that JPEG keeps it within a few grey levels. */
void picture_colour(int x, int y, int w, int h, unsigned char rgb[3]);
/* That picture; CMYK files hold it as inks, inverted as Adobe does unless no_adobe. */
Bytes make_jpeg(int w, int h, const JpegOptions *o);
/* That picture by libpng's colour type and depth: gray types hold its luma, alpha is 255 - x. */
Bytes make_png(int w, int h, int colour_type, int depth, bool interlaced);

void write_bytes(const char *path, const void *bytes, size_t n);
void write_jpeg(const char *path, int w, int h, int shade); /* one colour all over: (shade, shade, shade) */
Bytes gzip(const void *bytes, size_t n);
/* An IDX file of u8 in memory: dims, then n = product of dims bytes. */
Bytes make_idx(int rank, const int *dim, const unsigned char *data);

/* A folder of the test's own, removed at the end of the process. printf-like path below it (static storage, 8 of them).
 */
const char *folder_new(void);
const char *in_folder(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void folder_make(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void folder_remove(void);

#endif

/* idx2jpeg.c -- pictures of an IDX pair (the MNIST family, gzip or not) as folders of JPEG files
 *
 * usage: idx2jpeg IMAGES LABELS DIR LABEL=CLASS …     writes DIR/CLASS/NNNNN.jpg, NNNNN the picture's number in the file
 * Greyscale, quality 95; labels that are not named are left out.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>
#include <jpeglib.h>

typedef struct Idx {
	uint32_t count, height, width;
	gzFile f;
} Idx;

_Noreturn static void fail(const char *what, const char *path)
{
	fprintf(stderr, "idx2jpeg: %s: %s\n", path, what);
	exit(1);
}

static uint32_t number(gzFile f, const char *path)
{
	unsigned char b[4];
	if (gzread(f, b, 4) != 4)
		fail("too short", path);
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static Idx open_idx(const char *path, uint32_t magic)
{
	Idx idx = {.height = 1, .width = 1, .f = gzopen(path, "rb")};
	if (!idx.f)
		fail(strerror(errno), path);
	if (number(idx.f, path) != magic)
		fail("not an IDX file of this kind", path);
	idx.count = number(idx.f, path);
	if (magic == 0x803) {
		idx.height = number(idx.f, path);
		idx.width = number(idx.f, path);
	}
	if (idx.height > 4096 || idx.width > 4096)
		fail("pictures too large", path);
	return idx;
}

static void write_jpeg(const char *path, const Idx *idx, unsigned char *pixels)
{
	FILE *f = fopen(path, "wb");
	if (!f)
		fail(strerror(errno), path);
	struct jpeg_error_mgr errors;
	struct jpeg_compress_struct c = {.err = jpeg_std_error(&errors)};
	jpeg_create_compress(&c);
	jpeg_stdio_dest(&c, f);
	c.image_width = idx->width;
	c.image_height = idx->height;
	c.input_components = 1;
	c.in_color_space = JCS_GRAYSCALE;
	jpeg_set_defaults(&c);
	jpeg_set_quality(&c, 95, TRUE);
	jpeg_start_compress(&c, TRUE);
	for (uint32_t y = 0; y < idx->height; y++)
		jpeg_write_scanlines(&c, &(JSAMPROW){pixels + (size_t)y * idx->width}, 1);
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	if (fclose(f))
		fail(strerror(errno), path);
}

static void make_folders(char *path)
{
	for (char *p = path + 1;; p++) {
		char end = *p;
		if (end != '/' && end != '\0')
			continue;
		*p = '\0';
		if (mkdir(path, 0777) && errno != EEXIST)
			fail(strerror(errno), path);
		*p = end;
		if (!end)
			return;
	}
}

int main(int argc, char **argv)
{
	const char *class_of[256] = {0};
	char path[4096];
	if (argc < 5) {
		fprintf(stderr, "usage: idx2jpeg IMAGES LABELS DIR LABEL=CLASS ...\n");
		return 2;
	}
	for (int i = 4; i < argc; i++) {
		const char *name = strchr(argv[i], '=');
		if (!name)
			fail("LABEL=CLASS is needed", argv[i]);
		class_of[strtoul(argv[i], NULL, 10) & 255] = name + 1;
		snprintf(path, sizeof path, "%s/%s", argv[3], name + 1);
		make_folders(path);
	}
	Idx images = open_idx(argv[1], 0x803), labels = open_idx(argv[2], 0x801);
	if (images.count != labels.count)
		fail("as many labels as pictures are needed", argv[2]);
	size_t size = (size_t)images.height * images.width;
	unsigned char *pixels = malloc(size + 1);
	for (uint32_t i = 0; i < images.count; i++) {
		int label = gzgetc(labels.f);
		if (label < 0 || !pixels || gzread(images.f, pixels, (unsigned)size) != (int)size)
			fail("too short", argv[label < 0 ? 2 : 1]);
		if (!class_of[label])
			continue;
		snprintf(path, sizeof path, "%s/%s/%05u.jpg", argv[3], class_of[label], i);
		write_jpeg(path, &images, pixels);
	}
	free(pixels);
	gzclose(images.f);
	gzclose(labels.f);
	return 0;
}

/* pictures.c -- folders of small generated pictures, one class a folder, for the end-to-end tests
 *
 * usage: pictures DIR PER_CLASS SEED CLASS …     writes DIR/CLASS/NNN.jpg (every fifth: .png), 20 to 51 pixels a side
 * Pictures of class c are stripes of c + 1 periods in a direction that belongs to c, with random phase, colour and noise:
 * a small network learns them in a few steps. Same arguments, same files.
 *
 *        pictures masks DIR COUNT SEED           writes DIR/pictures/NNN.png, 32 x 32, and DIR/masks/NNN.png with a palette:
 * a red or green disc (class 1 or 2) on noise (class 0); 255 at its edge. Every fourth mask has grey values instead.
 *        pictures labels DIR COUNT SEED          writes DIR/NNN.png and DIR/labels.csv, DIR/columns.csv: stripes of red, green
 * and blue, any number of them.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <jpeglib.h>
#include <png.h>

enum { MAX_SIDE = 64 };

typedef struct Picture {
	int width, height;
	unsigned char rgb[MAX_SIDE * MAX_SIDE * 3];
} Picture;

static double random_unit(uint64_t *state) /* splitmix64 */
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

static void draw(Picture *p, int class, uint64_t *state)
{
	p->width = 20 + (int)(random_unit(state) * 32);
	p->height = 20 + (int)(random_unit(state) * 32);
	double phase = random_unit(state) * 6.28, tint[3];
	for (int c = 0; c < 3; c++)
		tint[c] = 0.5 + random_unit(state) / 2;
	for (int y = 0; y < p->height; y++)
		for (int x = 0; x < p->width; x++) {
			double u = (double)x / p->width, v = (double)y / p->height;
			double wave = sin((class % 2 ? u : v) * 6.28 * (class + 1) + phase);
			double level = 110 + 80 * wave + 40 * (random_unit(state) - 0.5);
			for (int c = 0; c < 3; c++)
				p->rgb[(y * p->width + x) * 3 + c] = (unsigned char)(level * tint[c]);
		}
}

static void write_jpeg(const char *path, Picture *p)
{
	FILE *f = fopen(path, "wb");
	if (!f) {
		perror(path);
		exit(1);
	}
	struct jpeg_error_mgr errors;
	struct jpeg_compress_struct c = {.err = jpeg_std_error(&errors)};
	jpeg_create_compress(&c);
	jpeg_stdio_dest(&c, f);
	c.image_width = (JDIMENSION)p->width;
	c.image_height = (JDIMENSION)p->height;
	c.input_components = 3;
	c.in_color_space = JCS_RGB;
	jpeg_set_defaults(&c);
	jpeg_start_compress(&c, TRUE);
	for (int y = 0; y < p->height; y++)
		jpeg_write_scanlines(&c, &(JSAMPROW){p->rgb + y * p->width * 3}, 1);
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	fclose(f);
}

static void write_png(const char *path, Picture *p)
{
	png_image image = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)p->width, .height = (png_uint_32)p->height,
	                   .format = PNG_FORMAT_RGB};
	if (!png_image_write_to_file(&image, path, 0, p->rgb, 0, NULL)) {
		fprintf(stderr, "pictures: %s: %s\n", path, image.message);
		exit(1);
	}
}

/* ---- discs and their masks ---- */

static void write_mask(const char *path, const unsigned char *class, int side, bool grey)
{
	unsigned char palette[256 * 3];
	for (int i = 0; i < 256 * 3; i++)
		palette[i] = (unsigned char)(i * 53);
	png_image image = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)side, .height = (png_uint_32)side,
	                   .format = grey ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB_COLORMAP, .colormap_entries = grey ? 0 : 256};
	if (!png_image_write_to_file(&image, path, 0, class, 0, grey ? NULL : palette)) {
		fprintf(stderr, "pictures: %s: %s\n", path, image.message);
		exit(1);
	}
}

static void draw_disc(Picture *p, unsigned char *mask, uint64_t *state)
{
	enum { SIDE = 32 };
	double cy = 6 + random_unit(state) * 20, cx = 6 + random_unit(state) * 20, radius = 4 + random_unit(state) * 6;
	int class = 1 + (int)(random_unit(state) * 2);
	p->width = p->height = SIDE;
	for (int y = 0; y < SIDE; y++)
		for (int x = 0; x < SIDE; x++) {
			double far = hypot(y - cy, x - cx) - radius;
			bool inside = far < 0;
			for (int c = 0; c < 3; c++)
				p->rgb[(y * SIDE + x) * 3 + c] =
					(unsigned char)(random_unit(state) * 60 + (inside ? c == class - 1 ? 180 : 20 : 0));
			mask[y * SIDE + x] = fabs(far) < 0.5 ? 255 : inside ? (unsigned char)class : 0;
		}
}

static void write_masks(const char *dir, int count, int seed)
{
	static Picture p;
	static unsigned char mask[MAX_SIDE * MAX_SIDE];
	char path[4096];
	mkdir(dir, 0777);
	snprintf(path, sizeof path, "%s/pictures", dir);
	mkdir(path, 0777);
	snprintf(path, sizeof path, "%s/masks", dir);
	mkdir(path, 0777);
	for (int i = 0; i < count; i++) {
		uint64_t state = (uint64_t)seed * 1000003 + (uint64_t)i;
		draw_disc(&p, mask, &state);
		snprintf(path, sizeof path, "%s/pictures/%03d.png", dir, i);
		write_png(path, &p);
		snprintf(path, sizeof path, "%s/masks/%03d.png", dir, i);
		write_mask(path, mask, p.width, i % 4 == 3);
	}
}

/* ---- any number of colours ---- */

static void write_labels(const char *dir, int count, int seed)
{
	static const char *const name[] = {"red", "green", "blue"};
	static Picture p;
	char path[4096];
	mkdir(dir, 0777);
	snprintf(path, sizeof path, "%s/labels.csv", dir);
	FILE *labels = fopen(path, "w");
	snprintf(path, sizeof path, "%s/columns.csv", dir);
	FILE *columns = fopen(path, "w");
	if (!labels || !columns) {
		perror(dir);
		exit(1);
	}
	fputs("path,label\n", labels);
	fputs("path,red,green,blue\n", columns);
	p.width = p.height = 16;
	for (int i = 0; i < count; i++) {
		uint64_t state = (uint64_t)seed * 1000003 + (uint64_t)i;
		bool has[3], any = false;
		for (int c = 0; c < 3; c++)
			has[c] = random_unit(&state) < 0.6 - 0.15 * c;
		for (int k = 0; k < 16 * 16 * 3; k++)
			p.rgb[k] = (unsigned char)(random_unit(&state) * 60 + (has[k % 3] && k / 48 / 5 == k % 3 ? 180 : 0));
		snprintf(path, sizeof path, "%s/%03d.png", dir, i);
		write_png(path, &p);
		fprintf(labels, "%03d.png,", i);
		fprintf(columns, "%03d.png", i);
		for (int c = 0; c < 3; c++) {
			if (has[c])
				fprintf(labels, "%s%s", any ? " | " : "", name[c]);
			any = any || has[c];
			fprintf(columns, ",%d", has[c]);
		}
		fputs("\n", labels);
		fputs("\n", columns);
	}
	fclose(labels);
	fclose(columns);
}

int main(int argc, char **argv)
{
	static Picture p;
	char path[4096];
	if (argc == 5 && strcmp(argv[1], "masks") == 0) {
		write_masks(argv[2], atoi(argv[3]), atoi(argv[4]));
		return 0;
	}
	if (argc == 5 && strcmp(argv[1], "labels") == 0) {
		write_labels(argv[2], atoi(argv[3]), atoi(argv[4]));
		return 0;
	}
	if (argc < 5) {
		fprintf(stderr, "usage: pictures DIR PER_CLASS SEED CLASS ...\n");
		return 2;
	}
	mkdir(argv[1], 0777);
	for (int class = 0; class < argc - 4; class++) {
		snprintf(path, sizeof path, "%s/%s", argv[1], argv[4 + class]);
		mkdir(path, 0777);
		for (int i = 0; i < atoi(argv[2]); i++) {
			uint64_t state = (uint64_t)atoi(argv[3]) * 1000003 + (uint64_t)class * 10007 + (uint64_t)i;
			draw(&p, class, &state);
			bool png = i % 5 == 4;
			snprintf(path, sizeof path, "%s/%s/%03d.%s", argv[1], argv[4 + class], i, png ? "png" : "jpg");
			(png ? write_png : write_jpeg)(path, &p);
		}
	}
	return 0;
}

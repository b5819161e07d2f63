/* pictures.c -- folders of small generated pictures, one class a folder, for the end-to-end tests
 *
 * usage: pictures DIR PER_CLASS SEED CLASS …     writes DIR/CLASS/NNN.jpg (every fifth: .png), 20 to 51 pixels a side
 * Pictures of class c are stripes of c + 1 periods in a direction that belongs to c, with random phase, colour and noise:
 * a small network learns them in a few steps. Same arguments, same files.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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

int main(int argc, char **argv)
{
	static Picture p;
	char path[4096];
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

/* npy.c -- writes and prints small .npy arrays for the end-to-end tests
 *
 * usage: npy rand FILE SEED DIM …              float32, uniform in [-1, 1), from a fixed generator
 *        npy classes FILE SEED CLASSES DIM …   int64, uniform in 0 … CLASSES-1
 *        npy onehot FILE SEED ROWS CLASSES    float32, one 1 a row
 *        npy print FILE                        shape, then one number a line
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double random_unit(uint64_t *state) /* splitmix64 */
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

/* Writes the header of version 1.0, padded to 64 bytes; gives the number of elements. */
static size_t write_header(FILE *f, const char *descr, int rank, char **dim)
{
	char text[512];
	size_t count = 1;
	int n = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
	for (int i = 0; i < rank; i++) {
		count *= (size_t)atol(dim[i]);
		n += snprintf(text + n, sizeof text - (size_t)n, "%s,", dim[i]);
	}
	n += snprintf(text + n, sizeof text - (size_t)n, "), }");
	int len = (10 + n + 1 + 63) / 64 * 64 - 10;
	fwrite("\x93NUMPY\x01", 1, 7, f);
	fputc(0, f);
	fputc(len & 255, f);
	fputc(len >> 8, f);
	fprintf(f, "%s%*s\n", text, len - n - 1, "");
	return count;
}

static int print(const char *path)
{
	FILE *f = fopen(path, "rb");
	unsigned char start[10];
	char text[65536];
	if (!f || fread(start, 1, 10, f) != 10 || memcmp(start, "\x93NUMPY", 6)) {
		fprintf(stderr, "npy: %s is not a .npy file\n", path);
		return 1;
	}
	size_t len = start[8] | (size_t)start[9] << 8;
	if (fread(text, 1, len, f) != len)
		return 1;
	text[len ? len - 1 : 0] = '\0';
	char *shape = strchr(text, '(');
	printf("%.*s\n", shape ? (int)strcspn(shape, ")") + 1 : 0, shape ? shape : "");
	float x;
	int64_t i;
	if (strstr(text, "<f4"))
		while (fread(&x, sizeof x, 1, f) == 1)
			printf("%.9g\n", x);
	else
		while (fread(&i, sizeof i, 1, f) == 1)
			printf("%lld\n", (long long)i);
	fclose(f);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "print"))
		return print(argv[2]);
	int classes = argc > 4 && !strcmp(argv[1], "classes") ? atoi(argv[4]) : 0;
	bool onehot = argc == 6 && !strcmp(argv[1], "onehot");
	if (argc < 5 || (!classes && !onehot && strcmp(argv[1], "rand"))) {
		fprintf(stderr, "usage: npy rand FILE SEED DIM ... | classes FILE SEED CLASSES DIM ... |"
		                " onehot FILE SEED ROWS CLASSES | print FILE\n");
		return 2;
	}
	FILE *f = fopen(argv[2], "wb");
	if (!f) {
		perror(argv[2]);
		return 1;
	}
	uint64_t state = (uint64_t)atol(argv[3]);
	int first = classes ? 5 : 4;
	size_t count = write_header(f, classes ? "<i8" : "<f4", argc - first, argv + first), hot = 0;
	size_t width = onehot ? (size_t)atol(argv[argc - 1]) : 0;
	for (size_t i = 0; i < count; i++) {
		if (onehot && i % width == 0)
			hot = i + (size_t)(random_unit(&state) * (double)width);
		double u = onehot ? i == hot : 2 * random_unit(&state) - 1;
		if (classes)
			fwrite(&(int64_t){(int64_t)((u + 1) / 2 * classes)}, 8, 1, f);
		else
			fwrite(&(float){(float)u}, 4, 1, f);
	}
	return fclose(f) != 0;
}

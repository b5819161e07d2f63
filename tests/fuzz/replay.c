/* replay.c -- runs a fuzz target without libFuzzer: on each file of a folder, and on what is near it
 *
 * Near: cut off at every length, and every byte replaced by four others. So the corpus keeps finding mistakes in every
 * build that has the sanitizers on, with no fuzzer installed. Files above 4096 bytes run as they are only.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/fuzz/fuzz.h"

enum { MOST = 1 << 20, NEAR_MOST = 4096 };

/* The target gets memory of exactly n bytes, so that the sanitizer sees the end. */
static void run(const unsigned char *bytes, size_t n)
{
	unsigned char *copy = malloc(n ? n : 1);
	if (!copy)
		abort();
	memcpy(copy, bytes, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static long run_near(unsigned char *bytes, size_t n)
{
	static const unsigned char other[] = {0x00, 0xff, '9', '"'};
	long runs = 0;
	for (size_t i = 0; i < n && n <= NEAR_MOST; i++) {
		unsigned char was = bytes[i];
		run(bytes, i);
		for (size_t k = 0; k < sizeof other; k++) {
			bytes[i] = other[k];
			run(bytes, n);
		}
		bytes[i] = was;
		runs += 1 + (long)sizeof other;
	}
	return runs;
}

int main(int argc, char **argv)
{
	static unsigned char bytes[MOST];
	long files = 0, near = 0;
	DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
	if (!d) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		char path[4096];
		snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name);
		FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "rb");
		if (!f)
			continue;
		size_t n = fread(bytes, 1, sizeof bytes, f);
		fclose(f);
		run(bytes, n);
		near += run_near(bytes, n);
		files++;
	}
	closedir(d);
	printf("%ld files, %ld variations\n", files, near);
	return files ? 0 : 1;
}

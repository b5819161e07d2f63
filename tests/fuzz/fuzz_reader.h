/* fuzz_reader.h -- feeds bytes to readers of weights: every tensor is listed and read, or there is a sentence why not
 *
 * fuzz_reader does it in this process. fuzz_file goes the way of the compiler, through a process of its own: libhdf5 itself divides
 * by zero or reads outside its memory on damaged files, so what is tested there is that such an end becomes an error like any other.
 */
#ifndef CNNC_TESTS_FUZZ_READER_H
#define CNNC_TESTS_FUZZ_READER_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "frontend/weight_file.h"

static inline bool fuzz_touch(WeightIn *in, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i += 4096) /* it is there to be read */
		in->fd ^= ((const unsigned char *)bytes)[i];
	return true;
}

static inline int fuzz_reader(const WeightReader *r, const unsigned char *bytes, size_t length)
{
	enum { MOST = 64 << 20 };
	if (!r->claims(bytes, length))
		return 0;
	WeightIn in = { .arena = arena_new(), .bytes = bytes, .length = length, .put = fuzz_touch };
	bool ok = r->list(&in);
	size_t total = 0;
	for (int i = 0; ok && i < in.n && total < MOST; i++) {
		ok = in.tensor[i].bytes > MOST || r->read(&in, i);
		total += in.tensor[i].bytes;
	}
	if (!ok && !*in.why)
		abort(); /* refused without a word */
	r->close(&in);
	arena_free(in.arena);
	return 0;
}

static inline int fuzz_file(const WeightReader *r, const unsigned char *bytes, size_t length)
{
	if (!r->claims(bytes, length))
		return 0;
	char path[64];
	WeightFile f;
	Arena *a = arena_new();
	Diag *d = diag_new();
	const int fd = memfd_create("weights", MFD_CLOEXEC);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (fd < 0 || write(fd, bytes, length) != (ssize_t)length)
		abort();
	if (weight_file_open(path, false, (Loc){ 0 }, a, d, &f))
		weight_file_close(&f);
	else if (diag_errors(d) == 0)
		abort();
	close(fd);
	diag_free(d);
	arena_free(a);
	return 0;
}

#endif

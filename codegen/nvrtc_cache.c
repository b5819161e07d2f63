/* nvrtc_cache.c -- compiled kernels on disk: see nvrtc_cache.h. A file is the hash of the code, then the code. */
#include "codegen/nvrtc_cache.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "runtime/hash.h"

enum { HASH = 32, PATH = 4096, MAX_BYTES = 64 << 20 };

/* With its terminator, so that texts do not run together. */
static void add_text(RtHash *h, const char *text)
{
	rt_hash_add(h, text, strlen(text) + 1);
}

void cache_key(const char *options, const char *prelude, const char *text, char out[65])
{
	unsigned char hash[HASH];
	RtHash h;
	rt_hash_start(&h);
	add_text(&h, options);
	add_text(&h, prelude);
	add_text(&h, text);
	rt_hash_end(&h, hash);
	for (int i = 0; i < HASH; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

/* The folder, or a file in it; makes the folders on the way if asked. */
static bool path_of(const char *key, bool make, char out[PATH])
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	if (base && *base == '/')
		snprintf(out, PATH, "%s", base);
	else if (home && *home == '/')
		snprintf(out, PATH, "%s/.cache", home);
	else
		return false;
	static const char *const below[] = {"", "/cnnc", "/cuda"};
	for (size_t i = 0; i < COUNT(below); i++) {
		const size_t n = strlen(out);
		if (n + strlen(below[i]) + 80 > PATH)
			return false;
		memcpy(out + n, below[i], strlen(below[i]) + 1);
		if (make)
			mkdir(out, 0777);
	}
	snprintf(out + strlen(out), PATH - strlen(out), "/%s", key);
	return true;
}

bool cache_get(const char *key, Arena *a, RtCudaImage *out)
{
	char path[PATH];
	unsigned char stored[HASH], hash[HASH];
	struct stat st;
	if (!path_of(key, false, path))
		return false;
	FILE *f = fopen(path, "rb");
	if (!f)
		return false;
	bool ok = fstat(fileno(f), &st) == 0 && st.st_size > HASH && st.st_size < MAX_BYTES && fread(stored, 1, HASH, f) == HASH;
	const size_t n = ok ? (size_t)st.st_size - HASH : 0;
	unsigned char *data = NEWN(a, unsigned char, n + 1);
	ok = ok && fread(data, 1, n, f) == n;
	fclose(f);
	rt_hash(data, n, hash);
	*out = (RtCudaImage){data, n};
	return ok && memcmp(stored, hash, HASH) == 0;
}

/* A new file, renamed when it is whole: several cnnc may run at once. */
void cache_put(const char *key, const RtCudaImage *image)
{
	char path[PATH], temporary[PATH + 16];
	unsigned char hash[HASH];
	if (!path_of(key, true, path))
		return;
	snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
	const int fd = mkstemp(temporary);
	FILE *f = fd >= 0 ? fdopen(fd, "wb") : NULL;
	if (!f) {
		if (fd >= 0)
			close(fd);
		return;
	}
	rt_hash(image->data, image->bytes, hash);
	bool ok = fwrite(hash, 1, HASH, f) == HASH && fwrite(image->data, 1, image->bytes, f) == image->bytes;
	ok = fclose(f) == 0 && ok;
	if (!ok || rename(temporary, path) != 0)
		unlink(temporary);
}

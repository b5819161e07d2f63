/* bundle.c -- puts weights at the end of an executable and finds them there */
#include "runtime/bundle.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "runtime/crc32c.h"
#include "runtime/durable.h"
#include "runtime/safetensors.h"
#include "runtime/sys.h"

typedef struct Trailer { /* little endian, as the programs are */
	char magic[8];
	uint64_t start, length; /* of the safetensors bytes */
	uint64_t program;       /* length of the program without padding */
	uint32_t crc, own_crc;  /* of those bytes; of the trailer before this field */
} Trailer;

static const char magic[8] = "CNNCWTS1";
enum { START_ALIGN = 64 };

/* True if the file of `size` bytes ends in a trailer that describes it. */
static bool find_trailer(const unsigned char *file, size_t size, Trailer *t)
{
	if (size < sizeof *t)
		return false;
	memcpy(t, file + size - sizeof *t, sizeof *t);
	uint64_t room = size - sizeof *t;
	return memcmp(t->magic, magic, sizeof magic) == 0 &&
	       t->own_crc == rt_crc32c(0, t, offsetof(Trailer, own_crc)) && t->start <= room &&
	       t->length == room - t->start && t->program <= t->start;
}

static RtStatus map_file(const char *path, RtStatus cannot_be, RtBundle *b, mode_t *mode)
{
	*b = (RtBundle){0};
	int fd = rt_sys.open(path, O_RDONLY, 0);
	struct stat st;
	if (fd < 0)
		return rt_fail_errno(cannot_be, "open", path);
	RtStatus s = RT_OK;
	if (rt_sys.fstat(fd, &st) != 0)
		s = rt_fail_errno(cannot_be, "look at", path);
	else if (!S_ISREG(st.st_mode) || st.st_size <= 0)
		s = rt_fail(cannot_be, "%s is not a program", path);
	else if (!(b->map = rt_sys.map(fd, (size_t)st.st_size)))
		s = rt_fail_errno(cannot_be, "map", path);
	b->mapped = s == RT_OK ? (size_t)st.st_size : 0;
	if (mode)
		*mode = st.st_mode & 07777;
	rt_sys.close(fd);
	return s;
}

RtStatus rt_bundle_open(const char *program, RtBundle *out)
{
	Trailer t;
	RtStatus s = map_file(program, RT_IO, out, NULL);
	if (s != RT_OK)
		return s;
	if (!find_trailer(out->map, out->mapped, &t)) {
		rt_bundle_close(out);
		return RT_OK;
	}
	out->weights = (const unsigned char *)out->map + t.start;
	out->length = (size_t)t.length;
	if (rt_crc32c(0, out->weights, out->length) == t.crc)
		return RT_OK;
	rt_bundle_close(out);
	return rt_fail(RT_BAD_WEIGHTS, "the weights in %s are damaged: their checksum is wrong", program);
}

void rt_bundle_close(RtBundle *b)
{
	if (b->map)
		rt_sys.unmap(b->map, b->mapped);
	*b = (RtBundle){0};
}

static RtStatus write_parts(RtNewFile *f, const RtBundle *old, size_t program, const unsigned char *weights,
			    size_t length)
{
	static const unsigned char zeros[START_ALIGN];
	Trailer t = {.program = program, .length = length};
	size_t padding = -program & (START_ALIGN - 1);
	t.start = program + padding;
	memcpy(t.magic, magic, sizeof magic);
	t.crc = rt_crc32c(0, weights, length);
	t.own_crc = rt_crc32c(0, &t, offsetof(Trailer, own_crc));
	RtStatus s = rt_new_file_write(f, old->map, program);
	if (s == RT_OK)
		s = rt_new_file_write(f, zeros, padding);
	if (s == RT_OK)
		s = rt_new_file_write(f, weights, length);
	if (s == RT_OK)
		s = rt_new_file_write(f, &t, sizeof t);
	return s == RT_OK ? rt_new_file_commit(f) : s;
}

static RtStatus replace(const char *path, const RtBundle *old, mode_t mode, const unsigned char *hash,
			const unsigned char *weights, size_t length)
{
	Trailer t;
	RtNewFile f;
	size_t program = find_trailer(old->map, old->mapped, &t) ? (size_t)t.program : old->mapped;
	if (!memmem(old->map, program, hash, 32))
		return rt_fail(RT_BAD_WEIGHTS, "%s was compiled from another model", path);
	RtStatus s = rt_new_file(&f, path, mode);
	if (s == RT_OK)
		(void)!fchmod(f.fd, mode); /* what the umask took away */
	if (s == RT_OK)
		s = write_parts(&f, old, program, weights, length);
	if (s != RT_OK)
		rt_new_file_abort(&f);
	return s;
}

RtStatus rt_bundle_write(const char *program, const char *weights, const unsigned char model_hash[32])
{
	RtBundle old;
	RtSafetensors st;
	unsigned char *bytes = NULL;
	size_t length;
	mode_t mode;
	RtStatus s = rt_read_file(weights, RT_BAD_WEIGHTS, &bytes, &length);
	if (s == RT_OK)
		s = rt_st_parse(bytes, length, &st);
	if (s != RT_OK) {
		rt_sys.release(bytes);
		return s;
	}
	rt_st_free(&st);
	s = map_file(program, RT_IO, &old, &mode);
	if (s == RT_OK)
		s = replace(program, &old, mode, model_hash, bytes, length);
	rt_bundle_close(&old);
	rt_sys.release(bytes);
	return s;
}

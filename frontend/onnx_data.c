/* onnx_data.c -- the bytes of ONNX tensors: inside the model's file or in a file beside it
 *
 * An external file must lie below the folder of the model: no absolute path, no `..`, no link on the way (openat2), and it
 * must be a regular file of one name, long enough for what is asked of it.
 */
#include "frontend/onnx.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "ir/size.h"

static double half(uint16_t bits)
{
	const int exponent = bits >> 10 & 31;
	const double fraction = bits & 1023, sign = bits & 0x8000 ? -1 : 1;
	if (exponent == 31)
		return fraction != 0 ? (double)NAN : sign * (double)INFINITY;
	return sign * (exponent ? ldexp(fraction + 1024, exponent - 25) : ldexp(fraction, -24));
}

double onnx_element(OnnxType t, const unsigned char *bytes, int64_t i)
{
	const unsigned char *at = bytes + (size_t)i * onnx_type_bytes(t);
	union { float f; double d; int8_t i8; int16_t i16; uint16_t u16; int32_t i32; uint32_t u32; int64_t i64; uint64_t u64; } v = { .u64 = 0 };
	memcpy(&v, at, onnx_type_bytes(t));
	switch (t) {
	case ONNX_FLOAT: return (double)v.f;
	case ONNX_DOUBLE: return v.d;
	case ONNX_UINT8: return *at;
	case ONNX_BOOL: return *at != 0;
	case ONNX_INT8: return v.i8;
	case ONNX_UINT16: return v.u16;
	case ONNX_INT16: return v.i16;
	case ONNX_INT32: return v.i32;
	case ONNX_UINT32: return v.u32;
	case ONNX_INT64: return (double)v.i64;
	case ONNX_UINT64: return (double)v.u64;
	case ONNX_FLOAT16: return half(v.u16);
	case ONNX_BFLOAT16: v.u32 = (uint32_t)v.u16 << 16; return (double)v.f;
	default: ICE("no element of type %s", onnx_type_name(t));
	}
}

/* A file below the folder of `path`; -1: errno says why. */
static int open_beneath(const char *path, const char *location, Arena *a)
{
	const char *slash = strrchr(path, '/');
	const char *folder = slash ? arena_strndup(a, path, (size_t)(slash - path) + (slash == path)) : ".";
	const int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	if (dir < 0)
		return -1;
	const int fd = (int)syscall(SYS_openat2, dir, location, &how, sizeof how);
	const int why = errno;
	close(dir);
	errno = why;
	return fd;
}

static const char *read_range(int fd, const OnnxTensor *t, size_t bytes, unsigned char *out)
{
	struct stat st;
	size_t end;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return "is not a file";
	if (st.st_nlink != 1)
		return "has other names too (hard links)";
	if (!size_add((size_t)t->offset, bytes, &end) || end > (size_t)st.st_size)
		return "is too short";
	for (size_t done = 0; done < bytes;) {
		const ssize_t n = pread(fd, out + done, bytes - done, (off_t)(t->offset + (int64_t)done));
		if (n <= 0)
			return "cannot be read";
		done += (size_t)n;
	}
	return NULL;
}

const unsigned char *onnx_tensor_bytes(const OnnxTensor *t, const char *path, Arena *a, Diag *d)
{
	const Loc at = { path, 0, 0, 0 };
	size_t bytes;
	if (t->data || (t->elems == 0 && !t->problem))
		return t->data ? t->data : (const unsigned char *)"";
	if (t->problem || !t->location) {
		diag_error(d, at, "tensor '%.80s': %s", t->name, t->problem ? t->problem : "it has no data");
		return NULL;
	}
	if (!size_mul((size_t)t->elems, onnx_type_bytes(t->type), &bytes) || (t->length >= 0 && (size_t)t->length != bytes)) {
		diag_error(d, at, "tensor '%.80s' needs %zu bytes, its external data have %lld", t->name, bytes, (long long)t->length);
		return NULL;
	}
	const int fd = open_beneath(path, t->location, a);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) != 0 || (size_t)st.st_size < bytes) {
		diag_error(d, at, "tensor '%.80s': its external file '%.80s' %s", t->name, t->location,
		           fd >= 0 ? "is too short" : errno == EXDEV || errno == ELOOP ? "lies outside the model's folder" : strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	unsigned char *out = arena_alloc(a, bytes, 1);
	const char *why = read_range(fd, t, bytes, out);
	close(fd);
	if (why)
		diag_error(d, at, "tensor '%.80s': its external file '%.80s' %s", t->name, t->location, why);
	return why ? NULL : out;
}

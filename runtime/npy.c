/* npy.c -- NumPy's .npy files (format 1.0 to 3.0), little-endian and in C order
 *
 * Reading copies a file into memory, so that what happens to it later does not matter; one that is larger than a
 * quarter of memory is mapped, and must not be cut short while it is used. Rows are converted as they are taken.
 * Writing goes through a new file and a rename.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "ir/size.h"
#include "runtime/data.h"
#include "runtime/durable.h"
#include "runtime/npy_header.h"
#include "runtime/sys.h"

typedef enum NpyType { NPY_F32, NPY_F64, NPY_U8, NPY_I32, NPY_I64 } NpyType;

static const struct {
	const char *text;
	size_t bytes;
	RtDType port;
} npy_types[] = {
	[NPY_F32] = {"<f4", 4, RT_F32}, [NPY_F64] = {"<f8", 8, RT_F64}, [NPY_U8] = {"|u1", 1, RT_U8},
	[NPY_I32] = {"<i4", 4, RT_I32}, [NPY_I64] = {"<i8", 8, RT_I32},
};

static RtStatus parse(const char *path, RtNpy *a)
{
	RtNpyHeader h;
	RtStatus status = rt_npy_header(path, a->base, a->mapped, &h);
	if (status)
		return status;
	if (h.rank > RT_MAX_RANK)
		return rt_fail(RT_BAD_DATA, "%s: the .npy header is damaged, or has more than %d dimensions", path, RT_MAX_RANK);
	if (h.fortran && h.rank > 1)
		return rt_fail(RT_BAD_DATA, "%s is in Fortran order; save it with numpy.ascontiguousarray", path);
	size_t i = 0;
	while (i < sizeof npy_types / sizeof *npy_types && strcmp(h.type, npy_types[i].text))
		i++;
	if (i == sizeof npy_types / sizeof *npy_types)
		return rt_fail(RT_BAD_DATA,
			       "%s has the type %s; float32, float64, uint8, int32 and int64 are supported", path,
			       h.type);
	a->npdtype = (int)i;
	a->dtype = npy_types[i].port;
	a->rank = h.rank;
	memcpy(a->dim, h.dim, sizeof a->dim);
	if (!size_of_dims(a->dim, a->rank, npy_types[i].bytes, &a->bytes) || a->bytes > a->mapped - h.data)
		return rt_fail(RT_BAD_DATA, "%s is too short for its shape: %zu bytes of data", path,
			       a->mapped - h.data);
	a->data = (const unsigned char *)a->base + h.data;
	return RT_OK;
}

static RtStatus copy_file(const char *path, int fd, RtNpy *a)
{
	unsigned char *p = rt_sys.slab(a->mapped);
	a->base = p;
	a->copied = true;
	if (!p)
		return rt_fail(RT_NOMEM, "out of memory: %s has %zu bytes", path, a->mapped);
	for (size_t got = 0; got < a->mapped;) {
		ssize_t n = rt_sys.read(fd, p + got, a->mapped - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? rt_fail_errno(RT_IO, "read", path)
				 : rt_fail(RT_BAD_DATA, "%s got shorter while it was read", path);
		got += (size_t)n;
	}
	return RT_OK;
}

static RtStatus take_file(const char *path, int fd, RtNpy *a)
{
	struct stat st;
	if (rt_sys.fstat(fd, &st))
		return rt_fail_errno(RT_BAD_DATA, "read", path);
	if (!S_ISREG(st.st_mode))
		return rt_fail(RT_BAD_DATA, "%s is not a regular file", path);
	if (st.st_size == 0)
		return rt_fail(RT_BAD_DATA, "%s is empty", path);
	a->mapped = (size_t)st.st_size;
	if (st.st_size <= rt_memory_limit() / 4)
		return copy_file(path, fd, a);
	a->base = rt_sys.map(fd, a->mapped);
	return a->base ? RT_OK : rt_fail_errno(errno == ENOMEM ? RT_NOMEM : RT_IO, "map", path);
}

RtStatus rt_npy_open(const char *path, RtNpy *out)
{
	*out = (RtNpy){0};
	int fd = rt_sys.open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return rt_fail_errno(RT_BAD_DATA, "read", path);
	RtStatus status = take_file(path, fd, out);
	rt_sys.close(fd);
	if (!status)
		status = parse(path, out);
	if (status)
		rt_npy_close(out);
	return status;
}

void rt_npy_close(RtNpy *a)
{
	if (a->base && a->copied)
		rt_sys.slab_free(a->base, a->mapped);
	else if (a->base)
		rt_sys.unmap(a->base, a->mapped);
	*a = (RtNpy){0};
}

/* Elements may lie unaligned in the file, so they are copied out. */
static double get(const RtNpy *a, size_t i)
{
	const unsigned char *p = a->data + i * npy_types[a->npdtype].bytes;
	float f;
	double d;
	int32_t i32;
	int64_t i64;
	switch ((NpyType)a->npdtype) {
	case NPY_F32:
		return memcpy(&f, p, sizeof f), f;
	case NPY_F64:
		return memcpy(&d, p, sizeof d), d;
	case NPY_U8:
		return *p;
	case NPY_I32:
		return memcpy(&i32, p, sizeof i32), i32;
	case NPY_I64:
		return memcpy(&i64, p, sizeof i64), (double)i64;
	}
	return 0;
}

static double clamped(double x, double low, double high)
{
	return x >= low ? x <= high ? x : high : low; /* NaN: low */
}

static size_t port_bytes(int32_t dtype)
{
	return dtype == RT_F64 ? 8 : dtype == RT_U8 || dtype == RT_BOOL ? 1 : 4;
}

static void put(unsigned char *dst, int32_t dtype, double x)
{
	float f = (float)x;
	int32_t i32 = (int32_t)clamped(x, INT32_MIN, INT32_MAX);
	uint32_t u32 = (uint32_t)clamped(x, 0, UINT32_MAX);
	if (dtype == RT_F32)
		memcpy(dst, &f, sizeof f);
	else if (dtype == RT_F64)
		memcpy(dst, &x, sizeof x);
	else if (dtype == RT_I32)
		memcpy(dst, &i32, sizeof i32);
	else if (dtype == RT_U32)
		memcpy(dst, &u32, sizeof u32);
	else
		*dst = (unsigned char)(dtype == RT_BOOL ? x != 0 : clamped(x, 0, 255));
}

void rt_npy_row(const RtNpy *a, int64_t row, const RtPort *port, unsigned char *dst)
{
	size_t width = port_bytes(port->dtype), n = port->row_bytes / width, first = (size_t)row * n;
	bool same = (int32_t)npy_types[a->npdtype].port == port->dtype && npy_types[a->npdtype].bytes == width;
	if (same) {
		memcpy(dst, a->data + first * width, n * width);
		return;
	}
	if (a->npdtype == NPY_U8 && port->dtype == RT_F32) { /* pictures, the common case */
		for (size_t i = 0; i < n; i++) {
			float f = a->data[first + i];
			memcpy(dst + 4 * i, &f, sizeof f);
		}
		return;
	}
	for (size_t i = 0; i < n; i++)
		put(dst + i * width, port->dtype, get(a, first + i));
}

/* ---- writing ---- */

static const char *descr_of(int32_t dtype)
{
	static const char *const text[] = {[RT_F32] = "<f4", [RT_F64] = "<f8", [RT_I32] = "<i4",
					   [RT_U32] = "<u4", [RT_U8] = "|u1",  [RT_BOOL] = "|b1"};
	return text[dtype];
}

/* Format 1.0: magic, header length, dict, spaces and a newline up to a multiple of 64. */
static size_t make_header(char out[512], int32_t dtype, int rank, const int64_t *dim)
{
	enum { FIXED = 10 };
	int n = FIXED + snprintf(out + FIXED, 448 - FIXED, "{'descr': '%s', 'fortran_order': False, 'shape': (",
				 descr_of(dtype));
	for (int i = 0; i < rank; i++)
		n += snprintf(out + n, (size_t)(448 - n), "%" PRId64 "%s", dim[i],
			      i + 1 < rank ? ", "
			      : rank == 1  ? ","
					   : "");
	n += snprintf(out + n, (size_t)(448 - n), "), }");
	int end = (n + 1 + 63) / 64 * 64;
	memset(out + n, ' ', (size_t)(end - n));
	out[end - 1] = '\n';
	memcpy(out, "\x93NUMPY\x01\x00", 8);
	out[8] = (char)((end - FIXED) & 255);
	out[9] = (char)((end - FIXED) >> 8);
	return (size_t)end;
}

static RtStatus write_pipe(const char *path, const void *bytes, size_t n, int fd)
{
	for (const unsigned char *p = bytes; n;) {
		ssize_t some = rt_sys.write(fd, p, n);
		if (some < 0 && errno == EINTR)
			continue;
		if (some < 0)
			return rt_fail_errno(RT_IO, "write", path);
		p += some;
		n -= (size_t)some;
	}
	return RT_OK;
}

RtStatus rt_npy_write(const char *path, int32_t dtype, int rank, const int64_t *dim, const void *data)
{
	char header[512];
	size_t bytes;
	struct stat st;
	if (rank < 0 || rank > RT_MAX_RANK || !size_of_dims(dim, rank, port_bytes(dtype), &bytes))
		return rt_fail(RT_INTERNAL, "an array of this shape can't be written to %s", path);
	size_t n = make_header(header, dtype, rank, dim);
	if (!rt_sys.stat(path, &st) && !S_ISREG(st.st_mode) &&
	    !S_ISDIR(st.st_mode)) { /* a pipe or device stays what it is */
		int fd = rt_sys.open(path, O_WRONLY, 0);
		if (fd < 0)
			return rt_fail_errno(RT_IO, "write", path);
		RtStatus status = write_pipe(path, header, n, fd);
		if (!status)
			status = write_pipe(path, data, bytes, fd);
		return rt_sys.close(fd) && !status ? rt_fail_errno(RT_IO, "write", path) : status;
	}
	RtNewFile file;
	RtStatus status = rt_new_file(&file, path, 0666);
	if (!status)
		status = rt_new_file_write(&file, header, n);
	if (!status)
		status = rt_new_file_write(&file, data, bytes);
	if (!status)
		return rt_new_file_commit(&file);
	rt_new_file_abort(&file);
	return status;
}

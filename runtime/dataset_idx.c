/* dataset_idx.c -- IDX files (the MNIST family), plain or gzip, held in memory as they are
 *
 * Pictures are (n, height, width) or (n, height, width, channels) of u8, labels (n) of u8. The header is checked
 * against what the file can hold before memory is taken, gzip's checksum is verified. A row is made by resizing and by
 * repeating grey.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <zlib.h>
#include "ir/size.h"
#include "runtime/dataset.h"
#include "runtime/image.h"
#include "runtime/sys.h"

enum { CHUNK = 1 << 16, IDX_U8 = 8, DEFLATE_MOST = 1032 };

typedef struct Source { /* bytes of a file, inflated where it is gzip */
	const char *path;
	int fd;
	int64_t size; /* of the file */
	bool gzip, gzip_ended;
	z_stream z;
	unsigned char *chunk;
	size_t at, filled;
} Source;

static voidpf zip_alloc(voidpf opaque, uInt items, uInt size)
{
	size_t bytes;
	(void)opaque;
	return size_mul(items, size, &bytes) ? rt_sys.alloc(bytes) : NULL;
}

static void zip_free(voidpf opaque, voidpf p)
{
	(void)opaque;
	rt_sys.release(p);
}

/* Next bytes of the file into an empty chunk; filled = 0 at its end. */
static RtStatus refill(Source *s)
{
	ssize_t n;
	do
		n = rt_sys.read(s->fd, s->chunk, CHUNK);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return rt_fail_errno(RT_IO, "read", s->path);
	s->at = 0;
	s->filled = (size_t)n;
	return RT_OK;
}

static RtStatus source_open(Source *s, const char *path)
{
	struct stat st;
	*s = (Source){.path = path, .fd = rt_sys.open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0)};
	if (s->fd < 0 || rt_sys.fstat(s->fd, &st))
		return rt_fail_errno(RT_BAD_DATA, "read", path);
	if (!S_ISREG(st.st_mode))
		return rt_fail(RT_BAD_DATA, "%s is not a regular file", path);
	s->size = st.st_size;
	s->chunk = rt_sys.alloc(CHUNK);
	if (!s->chunk)
		return rt_fail(RT_NOMEM, "out of memory while reading %s", path);
	RtStatus status = refill(s);
	if (status || s->filled < 2 || s->chunk[0] != 0x1f || s->chunk[1] != 0x8b)
		return status;
	s->z = (z_stream){.zalloc = zip_alloc, .zfree = zip_free};
	if (inflateInit2(&s->z, 16 + MAX_WBITS) != Z_OK)
		return rt_fail(RT_NOMEM, "out of memory while reading %s", path);
	s->gzip = true;
	return RT_OK;
}

static void source_close(Source *s)
{
	if (s->gzip)
		inflateEnd(&s->z);
	rt_sys.release(s->chunk);
	if (s->fd >= 0)
		rt_sys.close(s->fd);
}

/* Some bytes, at most n; 0 at the end. */
static RtStatus read_plain(Source *s, unsigned char *dst, size_t n, size_t *got)
{
	size_t some = s->filled - s->at < n ? s->filled - s->at : n;
	memcpy(dst, s->chunk + s->at, some);
	s->at += some;
	*got = some;
	return RT_OK;
}

static RtStatus read_gzip(Source *s, unsigned char *dst, size_t n, size_t *got)
{
	*got = 0;
	if (s->gzip_ended && inflateReset(&s->z) != Z_OK) /* a gzip file may be several, one after the other */
		return rt_fail(RT_INTERNAL, "inflateReset failed");
	s->gzip_ended = false;
	s->z.next_in = s->chunk + s->at;
	s->z.avail_in = (uInt)(s->filled - s->at);
	s->z.next_out = dst;
	s->z.avail_out = n < INT_MAX ? (uInt)n : INT_MAX;
	size_t room = s->z.avail_out;
	int rc = inflate(&s->z, Z_NO_FLUSH);
	s->at = s->filled - s->z.avail_in;
	*got = room - s->z.avail_out;
	if (rc == Z_STREAM_END)
		s->gzip_ended = true;
	else if (rc == Z_MEM_ERROR)
		return rt_fail(RT_NOMEM, "out of memory while reading %s", s->path);
	else if (rc != Z_OK && rc != Z_BUF_ERROR)
		return rt_fail(RT_BAD_DATA, "%s: the gzip data is damaged (%s)", s->path,
			       s->z.msg ? s->z.msg : "bad header");
	return RT_OK;
}

/* Up to n bytes: fewer only at the end of the data. */
static RtStatus source_read(Source *s, unsigned char *dst, size_t n, size_t *got)
{
	*got = 0;
	while (*got < n) {
		size_t some = 0;
		RtStatus status = s->at == s->filled ? refill(s) : RT_OK;
		if (status)
			return status;
		if (!s->filled) /* the gzip trailer has been checked if it was there */
			return s->gzip && !s->gzip_ended ? rt_fail(RT_BAD_DATA, "%s ends within its gzip data", s->path)
							 : RT_OK;
		status = s->gzip ? read_gzip(s, dst + *got, n - *got, &some)
				 : read_plain(s, dst + *got, n - *got, &some);
		if (status)
			return status;
		*got += some;
	}
	return RT_OK;
}

/* Big-endian: 0, 0, type, rank, then a u32 a dimension. */
static RtStatus read_header(Source *s, int min_rank, int max_rank, int64_t dim[4], int *rank)
{
	unsigned char head[4], size[4];
	size_t got;
	RtStatus status = source_read(s, head, sizeof head, &got);
	if (status)
		return status;
	*rank = head[3];
	if (got < sizeof head || head[0] || head[1])
		return rt_fail(RT_BAD_DATA, "%s is not an IDX file", s->path);
	if (head[2] != IDX_U8 || *rank < min_rank || *rank > max_rank)
		return rt_fail(RT_BAD_DATA,
			       "%s holds %d-dimensional data of type 0x%02x; %s of type 0x08 (u8) are expected",
			       s->path, *rank, head[2], max_rank == 1 ? "labels" : "pictures");
	for (int i = 0; i < *rank; i++) {
		status = source_read(s, size, sizeof size, &got);
		if (status || got < sizeof size)
			return status ? status : rt_fail(RT_BAD_DATA, "%s ends within its header", s->path);
		dim[i] = (int64_t)size[0] << 24 | size[1] << 16 | size[2] << 8 | size[3];
	}
	return RT_OK;
}

/* The data after the header, all of it. */
static RtStatus read_data(Source *s, const int64_t *dim, int rank, unsigned char **out, size_t *out_bytes)
{
	size_t bytes, most, got, more = 0;
	unsigned char beyond;
	if (!size_of_dims(dim, rank, 1, &bytes) || !size_mul((size_t)s->size, s->gzip ? DEFLATE_MOST : 1, &most) ||
	    bytes > most)
		return rt_fail(RT_BAD_DATA, "%s is too short for the size that its header says", s->path);
	if (!bytes)
		return rt_fail(RT_BAD_DATA, "%s holds no samples", s->path);
	*out = rt_sys.slab(bytes);
	if (!*out)
		return rt_fail(RT_NOMEM, "out of memory: %s needs %zu bytes", s->path, bytes);
	*out_bytes = bytes;
	RtStatus status = source_read(s, *out, bytes, &got);
	if (!status && got == bytes)
		status = source_read(s, &beyond, 1, &more);
	if (!status && (got < bytes || more))
		status = rt_fail(RT_BAD_DATA, "%s is %s than its header says", s->path, more ? "longer" : "shorter");
	return status;
}

static RtStatus read_idx(const char *path, int min_rank, int max_rank, int64_t dim[4], int *rank, unsigned char **out,
			 size_t *out_bytes)
{
	Source s;
	RtStatus status = source_open(&s, path);
	if (!status)
		status = read_header(&s, min_rank, max_rank, dim, rank);
	if (!status)
		status = read_data(&s, dim, *rank, out, out_bytes);
	source_close(&s);
	return status;
}

static RtStatus read_pictures(RtStore *s)
{
	int64_t dim[4] = {0, 0, 0, 1};
	const int64_t *port = s->spec.xport.dim;
	int rank;
	RtStatus status = read_idx(s->spec.images, 3, 4, dim, &rank, &s->pixels, &s->pixels_bytes);
	if (status)
		return status;
	if (dim[0] >= UINT32_MAX || dim[1] > INT_MAX || dim[2] > INT_MAX || (dim[3] != 1 && dim[3] != 3 && dim[3] != 4))
		return rt_fail(RT_BAD_DATA, "%s holds no pictures: its sizes are %lld, %lld, %lld, %lld",
			       s->spec.images, (long long)dim[0], (long long)dim[1], (long long)dim[2],
			       (long long)dim[3]);
	if (dim[3] != 1 && dim[3] != port[3])
		return rt_fail(RT_BAD_DATA, "%s holds pictures of %lld channels, the model takes %lld", s->spec.images,
			       (long long)dim[3], (long long)port[3]);
	s->count = dim[0];
	s->height = (int)dim[1];
	s->width = (int)dim[2];
	s->channels = (int)dim[3];
	s->direct = dim[1] == port[1] && dim[2] == port[2] && dim[3] == port[3];
	return RT_OK;
}

static RtStatus use_labels(RtStore *s, const unsigned char *label, int64_t n)
{
	int most = 0, wanted = s->spec.nclass_names;
	if (n != s->count)
		return rt_fail(RT_BAD_DATA, "%s has %lld labels, %s has %lld pictures", s->spec.labels, (long long)n,
			       s->spec.images, (long long)s->count);
	s->label = rt_sys.alloc((size_t)n * sizeof *s->label);
	if (!s->label)
		return rt_fail(RT_NOMEM, "out of memory: %lld labels", (long long)n);
	for (int64_t i = 0; i < n; i++) {
		s->label[i] = label[i];
		most = label[i] > most ? label[i] : most;
	}
	if (wanted && most >= wanted)
		return rt_fail(RT_BAD_DATA, "%s has the label %d, but there are %d classes", s->spec.labels, most,
			       wanted);
	return rt_store_name_classes(s, s->spec.class_names, wanted ? wanted : most + 1);
}

RtStatus rt_store_open_idx(RtStore *s)
{
	int64_t dim[4] = {0};
	int rank;
	unsigned char *label = NULL;
	size_t bytes = 0;
	RtStatus status = read_pictures(s);
	if (status || !s->spec.has_y)
		return status;
	status = read_idx(s->spec.labels, 1, 1, dim, &rank, &label, &bytes);
	if (!status)
		status = use_labels(s, label, dim[0]);
	rt_sys.slab_free(label, bytes);
	return status;
}

void rt_store_idx_row(const RtStore *s, uint32_t i, unsigned char *row)
{
	size_t bytes = (size_t)s->height * (size_t)s->width * (size_t)s->channels;
	RtImage image = {s->width, s->height, s->channels, s->pixels + i * bytes};
	size_t pixels = (size_t)(s->spec.xport.dim[1] * s->spec.xport.dim[2]), channels = (size_t)s->spec.xport.dim[3];
	rt_image_fit(&image, &s->spec, 0, row);
	if ((size_t)s->channels == channels)
		return;
	/* From the end, so that no pixel is overwritten before it is read: grey pixel p goes to p * channels. */
	for (size_t p = pixels; p-- > 0;) {
		unsigned char *to = row + p * channels, grey = row[p];
		to[0] = to[1] = to[2] = grey;
		if (channels == 4)
			to[3] = 255;
	}
}

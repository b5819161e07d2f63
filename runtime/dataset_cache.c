/* dataset_cache.c -- samples as the model takes them, made once and kept: in memory, in a file, or not at all
 *
 * `auto` keeps them in memory while all of them fit a quarter of what the machine (or the control group) has. The file
 * has no name, so that it goes with the process; a full disk only ends the keeping. Each sample has a state that one
 * thread moves from COLD to BUSY to READY or BAD; a thread that meets a BUSY one makes the sample for itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "ir/size.h"
#include "runtime/dataset.h"
#include "runtime/image.h"
#include "runtime/sys.h"

static int open_unnamed(const char *folder)
{
	char path[4096];
	int fd = rt_sys.open(folder, O_TMPFILE | O_RDWR, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	int n = snprintf(path, sizeof path, "%s/.cnnc-cache-%ld-%lld", folder, (long)getpid(),
			 (long long)rt_sys.realtime_ns());
	if (n < 0 || (size_t)n >= sizeof path)
		return -1;
	fd = rt_sys.open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd >= 0)
		rt_sys.unlink(path);
	return fd;
}

static RtStatus open_rows(RtStore *s, size_t bytes)
{
	bool choose = s->spec.cache == RT_CACHE_AUTO;
	if (choose && bytes > (size_t)rt_memory_limit() / 4)
		return RT_OK;
	s->rows = rt_sys.slab(bytes);
	if (s->rows)
		s->rows_bytes = bytes;
	else if (!choose)
		return rt_fail(RT_NOMEM, "out of memory: the cache of decoded samples needs %zu bytes", bytes);
	return RT_OK;
}

RtStatus rt_store_cache_open(RtStore *s)
{
	size_t bytes;
	s->cache_fd = -1;
	s->state = rt_sys.alloc((size_t)s->count * sizeof *s->state);
	if (!s->state)
		return rt_fail(RT_NOMEM, "out of memory: %lld samples", (long long)s->count);
	if (s->direct || s->spec.cache == RT_CACHE_NONE)
		return RT_OK;
	if (!size_mul((size_t)s->count, rt_store_row_bytes(s), &bytes) || bytes > INT64_MAX)
		return rt_fail(RT_NOMEM, "the decoded samples are larger than memory can be");
	if (s->spec.cache != RT_CACHE_DISK)
		return open_rows(s, bytes);
	const char *folder = getenv("TMPDIR");
	folder = folder && *folder ? folder : ".";
	s->cache_fd = open_unnamed(folder);
	return s->cache_fd < 0 ? rt_fail_errno(RT_IO, "make the cache file in", folder) : RT_OK;
}

void rt_store_cache_close(RtStore *s)
{
	if (s->rows)
		rt_sys.slab_free(s->rows, s->rows_bytes);
	if (s->cache_fd >= 0)
		rt_sys.close(s->cache_fd);
	rt_sys.release(s->state);
	for (size_t i = 0; i < s->nbad; i++)
		rt_sys.release(s->bad[i].reason);
	rt_sys.release(s->bad);
}

/* ---- bad samples ---- */

static void remember(RtStore *s, uint32_t i, const char *reason)
{
	size_t n = strlen(reason) + 1;
	pthread_mutex_lock(&s->lock);
	if (s->nbad == s->bad_room) {
		size_t room = s->bad_room ? 2 * s->bad_room : 16;
		RtBadSample *more = rt_sys.resize(s->bad, room * sizeof *more);
		if (more) {
			s->bad = more;
			s->bad_room = room;
		}
	}
	if (s->nbad < s->bad_room) { /* else it is counted, and listed without a reason */
		RtBadSample *b = &s->bad[s->nbad++];
		*b = (RtBadSample){i, rt_sys.alloc(n)};
		if (b->reason)
			memcpy(b->reason, reason, n);
	}
	pthread_mutex_unlock(&s->lock);
}

static void set_state(RtStore *s, uint32_t i, int state)
{
	atomic_store_explicit(&s->state[i], (unsigned char)state, memory_order_release);
}

int rt_store_state(const RtStore *s, uint32_t i)
{
	return atomic_load_explicit(&s->state[i], memory_order_acquire);
}

void rt_store_meet(RtStore *s, uint32_t i)
{
	if (rt_store_state(s, i) == RT_SAMPLE_BAD)
		set_state(s, i, RT_SAMPLE_MET);
}

void rt_store_reason(RtStore *s, uint32_t i, char *out, size_t n)
{
	const char *reason = "can't be read";
	pthread_mutex_lock(&s->lock);
	for (size_t k = 0; k < s->nbad; k++)
		if (s->bad[k].index == i && s->bad[k].reason) {
			reason = s->bad[k].reason;
			break;
		}
	snprintf(out, n, "%s: %s", s->picture ? s->paths + s->picture[i].path : "sample", reason);
	pthread_mutex_unlock(&s->lock);
}

/* ---- making and keeping ---- */

/* The mask of DIRECTORY/a/b.jpg is MASKS/a/b.png. */
static RtStatus make_mask(const RtStore *s, uint32_t i, unsigned char *row)
{
	char path[2 * 4096];
	const char *name = s->paths + s->picture[i].path + s->root, *dot = strrchr(name, '.');
	int stem = dot ? (int)(dot - name) : (int)strlen(name);
	int n = snprintf(path, sizeof path, "%s/%.*s.png", s->spec.masks, stem, name);
	return n < 0 || (size_t)n >= sizeof path ? rt_fail(RT_BAD_DATA, "the path of its mask is too long")
						 : rt_image_load_mask(path, &s->spec, row);
}

static RtStatus make(RtStore *s, uint32_t i, unsigned char *row)
{
	if (!s->picture) {
		rt_store_idx_row(s, i, row);
		return RT_OK;
	}
	const RtPicture *p = &s->picture[i];
	RtStatus status = rt_image_load_known(s->paths + p->path, &s->spec, p->size, p->changed, row);
	return status || !s->spec.masks ? status : make_mask(s, i, row + s->spec.xport.row_bytes);
}

static bool write_row(RtStore *s, uint32_t i, const unsigned char *row)
{
	size_t n = rt_store_row_bytes(s);
	off_t at = (off_t)i * (off_t)n;
	while (n) {
		ssize_t some = rt_sys.pwrite(s->cache_fd, row, n, at);
		if (some < 0 && errno == EINTR)
			continue;
		if (some <= 0)
			return false;
		row += some;
		at += some;
		n -= (size_t)some;
	}
	return true;
}

RtStatus rt_store_load(RtStore *s, uint32_t i, unsigned char *row, bool *cached)
{
	unsigned char cold = RT_SAMPLE_COLD;
	bool mine = atomic_compare_exchange_strong(&s->state[i], &cold, RT_SAMPLE_BUSY);
	*cached = !mine && cold == RT_SAMPLE_READY;
	if (*cached)
		return RT_OK;
	if (cold >= RT_SAMPLE_BAD)
		return RT_BAD_DATA;
	bool keep = mine && s->rows;
	RtStatus status = make(s, i, keep ? s->rows + (size_t)i * rt_store_row_bytes(s) : row);
	if (!mine)
		return status; /* who made it BUSY will find the same */
	if (!status && s->cache_fd >= 0)
		keep = write_row(s, i, row);
	if (status == RT_BAD_DATA)
		remember(s, i, rt_message());
	set_state(s, i, status == RT_BAD_DATA ? RT_SAMPLE_BAD : !status && keep ? RT_SAMPLE_READY : RT_SAMPLE_COLD);
	*cached = !status && keep;
	return status;
}

static RtStatus read_part(RtStore *s, off_t at, size_t n, unsigned char *row)
{
	while (n) {
		ssize_t some = rt_sys.pread(s->cache_fd, row, n, at);
		if (some < 0 && errno == EINTR)
			continue;
		if (some <= 0)
			return some ? rt_fail_errno(RT_IO, "read", "the cache file")
				    : rt_fail(RT_IO, "the cache file got shorter");
		row += some;
		at += some;
		n -= (size_t)some;
	}
	return RT_OK;
}

RtStatus rt_store_copy(RtStore *s, uint32_t i, unsigned char *x, unsigned char *mask)
{
	size_t n = s->spec.xport.row_bytes, row = rt_store_row_bytes(s);
	if (s->rows) {
		memcpy(x, s->rows + (size_t)i * row, n);
		if (mask)
			memcpy(mask, s->rows + (size_t)i * row + n, row - n);
		return RT_OK;
	}
	if (s->cache_fd >= 0) {
		off_t at = (off_t)i * (off_t)row;
		RtStatus status = read_part(s, at, n, x);
		return status || !mask ? status : read_part(s, at + (off_t)n, row - n, mask);
	}
	if (s->pixels)
		memcpy(x, s->pixels + (size_t)i * n, n);
	else
		rt_npy_row(&s->x, i, &s->spec.xport, x);
	return RT_OK;
}

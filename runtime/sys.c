/* sys.c -- the runtime's calls to the system
 *
 * The real functions, as sys.h promises them. Built with CNNC_FAULTS, the variable CNNC_FAULT makes one entry of the
 * table fail: "write:3:ENOSPC" fails the third write once, "write:3+:EIO" the third and all after it (ENOMEM for memory
 * and EIO for files where no errno is named). That build is for tests only.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "ir/size.h"
#include "runtime/sys.h"

enum { HUGE_PAGE = 2 << 20, PAGE = 4096 };

static void *sys_alloc(size_t size)
{
	return calloc(1, size ? size : 1);
}

static void *sys_resize(void *p, size_t size)
{
	return realloc(p, size ? size : 1);
}

static void sys_release(void *p)
{
	free(p);
}

static void *map_anonymous(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

/* A large slab starts on a huge page: map one more and give back what surrounds it. */
static void *slab_huge(size_t size)
{
	size_t total;
	if (!size_add(size, HUGE_PAGE, &total))
		return NULL;
	unsigned char *p = map_anonymous(total);
	if (!p)
		return NULL;
	size_t before = -(uintptr_t)p & (HUGE_PAGE - 1);
	if (before)
		munmap(p, before);
	if (before < HUGE_PAGE)
		munmap(p + before + size, HUGE_PAGE - before);
	madvise(p + before, size, MADV_HUGEPAGE); /* a hint: without it the slab is as good, only slower */
	return p + before;
}

static void *sys_slab(size_t size)
{
	if (!size_align(size ? size : 1, PAGE, &size))
		return NULL;
	return size >= HUGE_PAGE ? slab_huge(size) : map_anonymous(size);
}

static void sys_slab_free(void *p, size_t size)
{
	if (p && size_align(size ? size : 1, PAGE, &size))
		munmap(p, size);
}

static int sys_open(const char *path, int flags, mode_t mode)
{
	return open(path, flags | O_CLOEXEC, mode);
}

static void *sys_map(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

static void sys_unmap(void *p, size_t size)
{
	munmap(p, size);
}

static int sys_rename(const char *from, const char *to)
{
	return rename(from, to);
}

static int sys_stat(const char *path, struct stat *st)
{
	return stat(path, st);
}

static int sys_fstat(int fd, struct stat *st)
{
	return fstat(fd, st);
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int64_t sys_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static int64_t sys_realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

#ifdef CNNC_FAULTS

static struct {
	pthread_once_t once;
	pthread_mutex_t lock;
	char call[16];
	unsigned long n, seen; /* n = 0: no fault wanted */
	int forever, error;
} fault = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER};

static int error_named(const char *name)
{
	static const struct {
		const char *name;
		int error;
	} known[] = {
		{"ENOSPC", ENOSPC}, {"EIO", EIO},     {"ENOMEM", ENOMEM}, {"EINTR", EINTR},   {"EACCES", EACCES},
		{"ENOENT", ENOENT}, {"EROFS", EROFS}, {"EMFILE", EMFILE}, {"EDQUOT", EDQUOT},
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!strcmp(known[i].name, name))
			return known[i].error;
	return EIO;
}

static void parse_fault(void)
{
	const char *text = getenv("CNNC_FAULT");
	char number[24] = "", error[16] = "";
	if (!text || sscanf(text, "%15[a-z_]:%23[0-9+]:%15[A-Z]", fault.call, number, error) < 2)
		return;
	fault.n = strtoul(number, NULL, 10);
	fault.forever = strchr(number, '+') != NULL;
	fault.error = error_named(error);
	if (!*error && (!strcmp(fault.call, "alloc") || !strcmp(fault.call, "resize") || !strcmp(fault.call, "slab")))
		fault.error = ENOMEM;
}

static int fails(const char *call)
{
	pthread_once(&fault.once, parse_fault);
	if (!fault.n || strcmp(fault.call, call))
		return 0;
	pthread_mutex_lock(&fault.lock);
	fault.seen++;
	int hit = fault.seen == fault.n || (fault.forever && fault.seen > fault.n);
	pthread_mutex_unlock(&fault.lock);
	if (hit)
		errno = fault.error;
	return hit;
}

#define FAULTY(type, call, params, args, real, failed)                                                                 \
	static type fault_##call params                                                                                \
	{                                                                                                              \
		return fails(#call) ? (failed) : real args;                                                            \
	}

FAULTY(void *, alloc, (size_t n), (n), sys_alloc, NULL)
FAULTY(void *, resize, (void *p, size_t n), (p, n), sys_resize, NULL)
FAULTY(void *, slab, (size_t n), (n), sys_slab, NULL)
FAULTY(int, open, (const char *p, int f, mode_t m), (p, f, m), sys_open, -1)
FAULTY(ssize_t, read, (int fd, void *b, size_t n), (fd, b, n), read, -1)
FAULTY(ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n), write, -1)
FAULTY(ssize_t, pread, (int fd, void *b, size_t n, off_t at), (fd, b, n, at), pread, -1)
FAULTY(ssize_t, pwrite, (int fd, const void *b, size_t n, off_t at), (fd, b, n, at), pwrite, -1)
FAULTY(void *, map, (int fd, size_t n), (fd, n), sys_map, NULL)
FAULTY(int, fsync, (int fd), (fd), fsync, -1)
FAULTY(int, rename, (const char *a, const char *b), (a, b), sys_rename, -1)
FAULTY(int, unlink, (const char *p), (p), unlink, -1)
FAULTY(int, mkdir, (const char *p, mode_t m), (p, m), mkdir, -1)
FAULTY(int, stat, (const char *p, struct stat *st), (p, st), sys_stat, -1)
FAULTY(int, fstat, (int fd, struct stat *st), (fd, st), sys_fstat, -1)

/* close must not be skipped, or the test would leak what the program does not. */
static int fault_close(int fd)
{
	int failed = fails("close"), error = errno, rc = close(fd);
	if (!failed)
		return rc;
	errno = error;
	return -1;
}

#define ENTRY(call, real) .call = fault_##call
#else
#define ENTRY(call, real) .call = real
#endif

RtSys rt_sys = {
	ENTRY(alloc, sys_alloc),
	ENTRY(resize, sys_resize),
	.release = sys_release,
	ENTRY(slab, sys_slab),
	.slab_free = sys_slab_free,
	ENTRY(open, sys_open),
	ENTRY(read, read),
	ENTRY(write, write),
	ENTRY(pread, pread),
	ENTRY(pwrite, pwrite),
	ENTRY(map, sys_map),
	.unmap = sys_unmap,
	ENTRY(fsync, fsync),
	ENTRY(close, close),
	ENTRY(rename, sys_rename),
	ENTRY(unlink, unlink),
	ENTRY(mkdir, mkdir),
	ENTRY(stat, sys_stat),
	ENTRY(fstat, sys_fstat),
	.monotonic_ns = sys_monotonic_ns,
	.realtime_ns = sys_realtime_ns,
};

/* A number in a small file of the system; `otherwise` where there is none ("max"). */
static int64_t read_number(const char *path, int64_t otherwise)
{
	char text[32] = "";
	int fd = rt_sys.open(path, O_RDONLY, 0);
	if (fd < 0)
		return otherwise;
	ssize_t n = rt_sys.read(fd, text, sizeof text - 1);
	rt_sys.close(fd);
	int64_t number = n > 0 && *text >= '0' && *text <= '9' ? strtoll(text, NULL, 10) : otherwise;
	return number > 0 ? number : otherwise;
}

int64_t rt_memory_limit(void)
{
	int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	int64_t v2 = read_number("/sys/fs/cgroup/memory.max", memory);
	int64_t v1 = read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes", memory);
	memory = v2 < memory ? v2 : memory;
	return v1 < memory ? v1 : memory;
}

/* sys.h -- every call of the runtime to the system, through one table
 *
 * Tests replace entries to fail the n-th allocation, write, rename …; nothing else in runtime/ calls malloc, open, write,
 * clock_gettime or their like. The functions behave as their POSIX namesakes (errno included). Thread-safe as those are.
 */
#ifndef CNNC_RUNTIME_SYS_H
#define CNNC_RUNTIME_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

typedef struct RtSys {
	void *(*alloc)(size_t size);                 /* zeroed; NULL when out of memory */
	void *(*resize)(void *p, size_t size);
	void (*release)(void *p);
	void *(*slab)(size_t size);                  /* zeroed, 64-byte aligned (large ones 2 MB, huge pages advised) */
	void (*slab_free)(void *p, size_t size);
	int (*open)(const char *path, int flags, mode_t mode); /* O_CLOEXEC is added */
	ssize_t (*read)(int fd, void *buf, size_t n);
	ssize_t (*write)(int fd, const void *buf, size_t n);
	ssize_t (*pread)(int fd, void *buf, size_t n, off_t at);
	ssize_t (*pwrite)(int fd, const void *buf, size_t n, off_t at);
	void *(*map)(int fd, size_t size);           /* whole file, read-only; NULL when it fails */
	void (*unmap)(void *p, size_t size);
	int (*fsync)(int fd);
	int (*close)(int fd);
	int (*rename)(const char *from, const char *to);
	int (*unlink)(const char *path);
	int (*mkdir)(const char *path, mode_t mode);
	int (*stat)(const char *path, struct stat *st);
	int (*fstat)(int fd, struct stat *st);
	int64_t (*monotonic_ns)(void);
	int64_t (*realtime_ns)(void);
} RtSys;

extern RtSys rt_sys; /* the real ones unless a test changed them; CNNC_FAULT=call:n[+][:errno] in the environment does too
                      * in programs built for tests (see sys.c) */

/* Bytes of memory that this process may use at most: the machine's, or its control group's limit. */
int64_t rt_memory_limit(void);

#endif

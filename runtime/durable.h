/* durable.h -- files that are there whole or not at all, whenever the power goes
 *
 * A new file is written beside its final name, fsynced, renamed over it, and the directory fsynced. A failure leaves
 * the old file as it was and no temporary behind.
 */
#ifndef CNNC_RUNTIME_DURABLE_H
#define CNNC_RUNTIME_DURABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "runtime/status.h"

enum { RT_PATH_MAX = 4096 };

typedef struct RtNewFile {
	char path[RT_PATH_MAX], temporary[RT_PATH_MAX + 8];
	int fd;
	uint64_t written;
	uint32_t crc; /* CRC-32C of what was written */
} RtNewFile;

RtStatus rt_new_file(RtNewFile *f, const char *path, mode_t mode);
RtStatus rt_new_file_write(RtNewFile *f, const void *bytes, size_t n);
RtStatus rt_new_file_commit(RtNewFile *f);
void rt_new_file_abort(RtNewFile *f); /* after a failed write or commit too; harmless twice */
/* All of it in one call. */
RtStatus rt_write_file(const char *path, const void *bytes, size_t n, mode_t mode);

/* Whole file in memory, '\0' after it; freed with rt_sys.release. `cannot_be`: status of a file that is missing or
 * unreadable. */
RtStatus rt_read_file(const char *path, RtStatus cannot_be, unsigned char **out, size_t *out_length);
RtStatus rt_make_dirs(const char *path);                         /* as mkdir -p */
bool rt_path_join(char *out, const char *dir, const char *name); /* out: RT_PATH_MAX; false: too long */
/* Absolute form of path without looking at the disk ("." and ".." stay). */
bool rt_path_absolute(char *out, const char *path);
RtStatus rt_fsync_dir_of(const char *path);

#endif

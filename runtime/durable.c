/* durable.c -- new file, fsync, rename, fsync of the directory */
#include "runtime/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "ir/size.h"
#include "runtime/crc32c.h"
#include "runtime/sys.h"

bool rt_path_join(char *out, const char *dir, const char *name)
{
	if (name[0] == '/' || dir[0] == '\0')
		dir = "";
	const char *slash = dir[0] && dir[strlen(dir) - 1] != '/' ? "/" : "";
	int n = snprintf(out, RT_PATH_MAX, "%s%s%s", dir, slash, name);
	return n >= 0 && n < RT_PATH_MAX;
}

bool rt_path_absolute(char *out, const char *path)
{
	char here[RT_PATH_MAX];
	if (path[0] == '/' || !getcwd(here, sizeof here))
		return rt_path_join(out, "", path);
	while (path[0] == '.' && path[1] == '/')
		path += 2;
	return rt_path_join(out, here, path);
}

RtStatus rt_new_file(RtNewFile *f, const char *path, mode_t mode)
{
	*f = (RtNewFile){.fd = -1};
	if (!rt_path_join(f->path, "", path))
		return rt_fail(RT_IO, "the path is too long: %.200s…", path);
	snprintf(f->temporary, sizeof f->temporary, "%s.tmp", path);
	f->fd = rt_sys.open(f->temporary, O_WRONLY | O_CREAT | O_TRUNC, mode);
	if (f->fd < 0)
		return rt_fail_errno(RT_IO, "create", f->temporary);
	return RT_OK;
}

RtStatus rt_new_file_write(RtNewFile *f, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	f->crc = rt_crc32c(f->crc, bytes, n);
	while (n > 0) {
		ssize_t k = rt_sys.write(f->fd, p, n < ((size_t)1 << 30) ? n : (size_t)1 << 30);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			errno = k == 0 ? ENOSPC : errno;
			return rt_fail_errno(RT_IO, "write", f->path);
		}
		p += k;
		n -= (size_t)k;
		f->written += (uint64_t)k;
	}
	return RT_OK;
}

void rt_new_file_abort(RtNewFile *f)
{
	if (f->fd >= 0)
		rt_sys.close(f->fd);
	if (f->temporary[0])
		rt_sys.unlink(f->temporary);
	f->fd = -1;
	f->temporary[0] = '\0';
}

RtStatus rt_fsync_dir_of(const char *path)
{
	char dir[RT_PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	if (n >= sizeof dir)
		return RT_OK;
	memcpy(dir, path, n);
	dir[n] = '\0';
	int fd = rt_sys.open(n ? dir : slash ? "/" : ".", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return rt_fail_errno(RT_IO, "open the folder of", path);
	int failed = rt_sys.fsync(fd);
	int error = errno;
	rt_sys.close(fd);
	errno = error;
	/* some file systems refuse to sync a folder: the rename is all they offer */
	if (failed && error != EINVAL && error != EROFS)
		return rt_fail_errno(RT_IO, "sync the folder of", path);
	return RT_OK;
}

RtStatus rt_new_file_commit(RtNewFile *f)
{
	RtStatus s = RT_OK;
	if (rt_sys.fsync(f->fd) != 0)
		s = rt_fail_errno(RT_IO, "sync", f->path);
	if (rt_sys.close(f->fd) != 0 && s == RT_OK)
		s = rt_fail_errno(RT_IO, "close", f->path);
	f->fd = -1;
	if (s == RT_OK && rt_sys.rename(f->temporary, f->path) != 0)
		s = rt_fail_errno(RT_IO, "put in place", f->path);
	if (s != RT_OK) {
		rt_new_file_abort(f);
		return s;
	}
	f->temporary[0] = '\0';
	return rt_fsync_dir_of(f->path);
}

RtStatus rt_write_file(const char *path, const void *bytes, size_t n, mode_t mode)
{
	RtNewFile f;
	RtStatus s = rt_new_file(&f, path, mode);
	if (s == RT_OK)
		s = rt_new_file_write(&f, bytes, n);
	if (s == RT_OK)
		return rt_new_file_commit(&f);
	rt_new_file_abort(&f);
	return s;
}

static RtStatus read_all(int fd, const char *path, RtStatus cannot_be, unsigned char *bytes, size_t *length)
{
	size_t got = 0;
	while (got < *length) {
		ssize_t k = rt_sys.read(fd, bytes + got, *length - got);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return rt_fail_errno(cannot_be, "read", path);
		if (k == 0)
			break;
		got += (size_t)k;
	}
	*length = got;
	return RT_OK;
}

RtStatus rt_read_file(const char *path, RtStatus cannot_be, unsigned char **out, size_t *out_length)
{
	*out = NULL;
	*out_length = 0;
	int fd = rt_sys.open(path, O_RDONLY | O_NONBLOCK, 0);
	struct stat st;
	if (fd < 0)
		return rt_fail_errno(cannot_be, "open", path);
	RtStatus s = RT_OK;
	size_t room = 0;
	if (rt_sys.fstat(fd, &st) != 0)
		s = rt_fail_errno(cannot_be, "look at", path);
	else if (!S_ISREG(st.st_mode))
		s = rt_fail(cannot_be, "%s is not a file", path);
	else if (!size_add((size_t)st.st_size, 1, &room) || !(*out = rt_sys.alloc(room)))
		s = rt_fail(RT_NOMEM, "out of memory: %s has %lld bytes", path, (long long)st.st_size);
	*out_length = room ? room - 1 : 0;
	if (s == RT_OK)
		s = read_all(fd, path, cannot_be, *out, out_length);
	rt_sys.close(fd);
	if (s != RT_OK) {
		rt_sys.release(*out);
		*out = NULL;
	}
	return s;
}

RtStatus rt_make_dirs(const char *path)
{
	char part[RT_PATH_MAX];
	if (!rt_path_join(part, "", path))
		return rt_fail(RT_IO, "the path is too long: %.200s…", path);
	for (char *p = part + (part[0] != '\0');; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char c = *p;
		*p = '\0';
		if (part[0] && rt_sys.mkdir(part, 0777) != 0 && errno != EEXIST)
			return rt_fail_errno(RT_IO, "create the folder", part);
		*p = c;
		if (c == '\0')
			return RT_OK;
	}
}

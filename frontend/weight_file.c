/* weight_file.c -- opens a file of weights: which format, the process that reads it, the safetensors that it leaves
 *
 * The process gets the mapped bytes and a file without a name, nothing else; it may take
 * PROCESS_SECONDS and one for each PROCESS_SPEED bytes, the memory of the file twice and some, and write no more than it announced. How it ends, or that it was ended, is this file's to report.
 */
#include "frontend/weight_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "ir/size.h"

enum { PROCESS_SECONDS = 20, PROCESS_SPEED = 4 << 20, NO_MEMORY = 3, REFUSED = 1 };

bool weight_fail(WeightIn *in, const char *fmt, ...)
{
	va_list args;
	if (*in->why)
		return false;
	va_start(args, fmt);
	vsnprintf(in->why, sizeof in->why, fmt, args);
	va_end(args);
	return false;
}

bool weight_add(WeightIn *in, const char *name, RtStDType dtype, int rank, const int64_t *dim)
{
	RtStTensor t = { .name = name, .dtype = dtype, .rank = rank };
	if (in->n == WEIGHT_MAX_TENSORS)
		return weight_fail(in, "more than %d tensors", WEIGHT_MAX_TENSORS);
	for (const char *p = name; *p; p++) {
		if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
			return weight_fail(in, "a tensor's name is not made of printable characters");
	}
	if (!size_of_dims(dim, rank, rt_st_dtype_size(dtype), &t.bytes))
		return weight_fail(in, "tensor '%.200s' has a shape that is too large", name);
	if (rank)
		memcpy(t.dim, dim, (size_t)rank * sizeof *dim);
	if (in->n == in->room) {
		const int room = in->room ? in->room * 2 : 64;
		in->tensor = arena_grow(in->arena, in->tensor, (size_t)in->room, (size_t)room, sizeof *in->tensor);
		in->room = room;
	}
	in->tensor[in->n++] = t;
	return true;
}

void weight_permute(void *out, const void *in, size_t element, int rank, const int64_t *dim, const int *perm)
{
	size_t stride[RT_ST_MAX_RANK + 1], step[RT_ST_MAX_RANK], index[RT_ST_MAX_RANK] = { 0 }, n = 1, at = 0;
	for (int i = rank - 1; i >= 0; i--) {
		stride[i] = n;
		n *= (size_t)dim[i];
	}
	for (int k = 0; k < rank; k++)
		step[k] = stride[perm[k]];
	for (size_t i = 0; i < n; i++) {
		memcpy((char *)out + i * element, (const char *)in + at * element, element);
		for (int k = rank - 1; k >= 0; k--) { /* the next element of out */
			at += step[k];
			if (++index[k] < (size_t)dim[perm[k]])
				break;
			at -= step[k] * index[k];
			index[k] = 0;
		}
	}
}

static int time_for(size_t length)
{
	return PROCESS_SECONDS + (int)(length / PROCESS_SPEED < 3600 ? length / PROCESS_SPEED : 3600);
}

/* ---- in the process ---- */
static bool write_bytes(WeightIn *in, const void *bytes, size_t n)
{
	for (const char *p = bytes; n > 0;) {
		const ssize_t some = write(in->fd, p, n);
		if (some < 0 && errno == EINTR)
			continue;
		if (some <= 0)
			return weight_fail(in, "cannot write its values to a temporary file: %s", strerror(errno));
		p += some;
		n -= (size_t)some;
	}
	return true;
}

static bool write_header(WeightIn *in, size_t *total)
{
	unsigned char *header = NULL;
	bool ok = true;
	if (in->n == 0)
		return weight_fail(in, "it holds no weights");
	if (rt_st_header(in->tensor, in->n, NULL, &header, total) != RT_OK)
		return weight_fail(in, "%s", "out of memory for the table of tensors");
	ok = write_bytes(in, header, *total);
	free(header);
	for (int i = 0; ok && i < in->n; i++)
		ok = size_add(*total, in->tensor[i].bytes, total) || weight_fail(in, "the tensors are too large together");
	return ok;
}

static bool convert(const WeightReader *r, WeightIn *in, bool names_only)
{
	size_t total = 0;
	bool ok = r->list(in) && write_header(in, &total);
	if (ok && ftruncate(in->fd, (off_t)total) != 0)
		ok = weight_fail(in, "cannot make a temporary file of %zu bytes: %s", total, strerror(errno));
	for (int i = 0; ok && !names_only && i < in->n; i++)
		ok = r->read(in, i);
	r->close(in);
	return ok;
}

static void limit(int what, rlim_t most)
{
	struct rlimit l = { most, most };
	setrlimit(what, &l);
}

static _Noreturn void run_reader(const WeightReader *r, const unsigned char *bytes, size_t length, bool names_only, int fd, int why)
{
	WeightIn in = { .arena = arena_new(), .bytes = bytes, .length = length, .put = write_bytes, .fd = fd };
#ifndef __SANITIZE_ADDRESS__ /* which maps terabytes */
	limit(RLIMIT_DATA, ((rlim_t)1 << 30) + 2 * (rlim_t)length);
#endif
	limit(RLIMIT_CPU, (rlim_t)time_for(length));
	limit(RLIMIT_CORE, 0);
	const bool ok = convert(r, &in, names_only);
	if (!ok)
		(void)!write(why, in.why, strlen(in.why));
	_exit(ok ? 0 : REFUSED);
}

/* ---- here ---- */
static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* What the process said, until it ends; false: it took too long. */
static bool hear(int from, int most, char *why, size_t room)
{
	const double end = seconds() + most;
	size_t n = 0;
	while (n + 1 < room) {
		struct pollfd p = { .fd = from, .events = POLLIN };
		const double left = end - seconds();
		const int ready = left > 0 ? poll(&p, 1, (int)(left * 1e3) + 1) : 0;
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			return false;
		const ssize_t some = read(from, why + n, room - 1 - n);
		if (some < 0 && errno == EINTR)
			continue;
		if (some <= 0)
			break;
		n += (size_t)some;
	}
	why[n] = '\0';
	return true;
}

/* NULL: it is done; else what is wrong. */
static const char *outcome(pid_t pid, int from, int most, Arena *a)
{
	char why[sizeof ((WeightIn *)0)->why];
	int status = 0;
	const bool heard = hear(from, most, why, sizeof why);
	if (!heard)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!heard || (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU))
		return arena_printf(a, "it is damaged: reading it took more than %d seconds", most);
	if (WIFSIGNALED(status))
		return arena_printf(a, "it is damaged: reading it ended in signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status) == NO_MEMORY)
		return "it is damaged, or there is too little memory for it";
	return WEXITSTATUS(status) == 0 ? NULL : *why ? arena_strdup(a, why) : "it is damaged";
}

static const char *run_process(const WeightReader *r, const unsigned char *bytes, size_t length, bool names_only, int fd, Arena *a)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		return arena_printf(a, "cannot start a process to read it: %s", strerror(errno));
	fflush(NULL);
	const pid_t pid = fork();
	if (pid == 0) {
		close(ends[0]);
		run_reader(r, bytes, length, names_only, fd, ends[1]);
	}
	close(ends[1]);
	const char *why = pid < 0 ? arena_printf(a, "cannot start a process to read it: %s", strerror(errno))
	                          : outcome(pid, ends[0], time_for(length), a);
	close(ends[0]);
	return why;
}

/* A file without a name in the temporary folder. */
static int nameless(Arena *a)
{
	const char *tmp = getenv("TMPDIR");
	char *path = arena_printf(a, "%s/cnnc-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	const int fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

static const char *map(int fd, void **out, size_t *length)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "not a file with weights";
	if (st.st_size == 0)
		return "it is empty";
	void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return strerror(errno);
	*out = at;
	*length = (size_t)st.st_size;
	return NULL;
}

static const char *through_process(const WeightReader *r, bool names_only, Arena *a, WeightFile *f)
{
	const int fd = nameless(a);
	if (fd < 0)
		return arena_printf(a, "cannot make a temporary file: %s", strerror(errno));
	const char *why = run_process(r, f->map, f->length, names_only, fd, a);
	munmap(f->map, f->length);
	f->map = NULL;
	f->format = r->format;
	if (!why)
		why = map(fd, &f->map, &f->length);
	close(fd);
	return why;
}

bool weight_file_open(const char *path, bool names_only, Loc at, Arena *a, Diag *d, WeightFile *out)
{
	static const WeightReader *const readers[] = { &weight_h5, &weight_keras, &weight_npz };
	*out = (WeightFile){ .format = "safetensors" };
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *why = fd < 0 ? strerror(errno) : map(fd, &out->map, &out->length);
	if (fd >= 0)
		close(fd);
	if (why)
		return diag_error(d, at, "cannot read %s: %s", path, why);
	for (size_t i = 0; !why && i < COUNT(readers); i++) {
		if (readers[i]->claims(out->map, out->length)) {
			why = through_process(readers[i], names_only, a, out);
			break;
		}
	}
	if (!why && rt_st_parse(out->map, out->length, &out->st) == RT_OK)
		return true;
	if (!why)
		why = rt_message();
	if (out->map)
		munmap(out->map, out->length);
	*out = (WeightFile){ .format = NULL };
	return diag_error(d, at, "%s: %s", path, why);
}

void weight_file_close(WeightFile *f)
{
	if (f->map) {
		rt_st_free(&f->st);
		munmap(f->map, f->length);
	}
	*f = (WeightFile){ .format = NULL };
}

/* nvrtc.c -- texts of kernels to code for GPUs, in several processes at once, kept on disk
 *
 * The library compiles one text at a time in a process, whatever its threads; so workers are forked, each takes its share of the
 * texts and sends results through a pipe. The same text, options and version give the same bytes: a result is kept under the
 * hash of those (nvrtc_cache.c) and not made again.
 */
#include "codegen/nvrtc.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "codegen/cuda_text.h"
#include "codegen/nvrtc_cache.h"

enum { MAX_WORKERS = 64, MAX_OPTIONS = 5, KIND_PTX = 2 };

typedef struct Job {
	CgCudaFunction *function;
	RtCudaImage *image;
	const char *arch;
	bool ptx;
	char key[65];
} Job;

typedef struct Header { uint32_t job, failed; uint64_t bytes; } Header; /* before each result */

typedef struct Worker {
	pid_t pid;
	int fd;
	Header head;
	size_t got;   /* of the head, then of the bytes */
	char *data;   /* NULL: the head comes first */
} Worker;

typedef struct Work {
	const Nvrtc *nv;
	Arena *arena; /* of the results */
	Job *job;
	int njobs;
	Diag *d;
	bool failed;
} Work;

/* ---- one text ---- */
static int options_of(const Nvrtc *nv, Arena *a, const Job *j, const char *option[MAX_OPTIONS])
{
	int n = 0;
	option[n++] = arena_printf(a, "--gpu-architecture=%s", j->arch);
	option[n++] = "--fmad=false";
	option[n++] = "--std=c++17";
	if (nv->major > 12 || nv->minor >= 4)
		option[n++] = "--minimal";
	return n;
}

static void hash_job(const Nvrtc *nv, Arena *a, Job *j)
{
	const char *option[MAX_OPTIONS], *all = arena_printf(a, "%d.%d", nv->major, nv->minor);
	const int n = options_of(nv, a, j, option);
	for (int i = 0; i < n; i++)
		all = arena_printf(a, "%s %s", all, option[i]);
	cache_key(all, cuda_prelude, j->function->text, j->key);
}

static char *compile(const Nvrtc *nv, Arena *a, const Job *j, Header *out)
{
	const char *option[MAX_OPTIONS];
	char *text = arena_printf(a, "%s%s", cuda_prelude, j->function->text), *data;
	NvHandle p = NULL;
	size_t n = 0;
	const int noptions = options_of(nv, a, j, option);
	int code = nv->create(&p, text, "kernel.cu", 0, NULL, NULL);
	const bool created = code == 0;
	if (code == 0)
		code = nv->compile(p, noptions, option);
	out->failed = code != 0;
	if (code == 0) {
		(j->ptx ? nv->ptx_size : nv->cubin_size)(p, &n);
		data = NEWN(a, char, n + 1);
		(j->ptx ? nv->ptx : nv->cubin)(p, data);
	} else if (created && nv->log_size(p, &n) == 0 && n > 1) {
		data = NEWN(a, char, n + 1);
		nv->log(p, data);
	} else {
		data = arena_strdup(a, nv->error(code));
		n = strlen(data) + 1;
	}
	if (created)
		nv->destroy(&p);
	out->bytes = n;
	return data;
}

/* ---- workers ---- */
static bool write_all(int fd, const void *bytes, size_t n)
{
	const char *at = bytes;
	while (n) {
		const ssize_t wrote = write(fd, at, n);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return false;
		at += wrote;
		n -= (size_t)wrote;
	}
	return true;
}

static _Noreturn void run_worker(const Work *w, int fd, int first, int step)
{
	Arena *a = arena_new();
	for (int i = first; i < w->njobs; i += step) {
		Header h = {.job = (uint32_t)i};
		const char *data = compile(w->nv, a, &w->job[i], &h);
		if (!write_all(fd, &h, sizeof h) || !write_all(fd, data, h.bytes))
			_exit(1);
		arena_reset(a);
	}
	_exit(0);
}

static bool start(const Work *w, Worker *to, int number, int workers)
{
	int ends[2];
	if (pipe(ends) != 0)
		return diag_error(w->d, (Loc){0}, "cannot start a compiler process: %s", strerror(errno));
	*to = (Worker){.fd = ends[0], .pid = fork()};
	if (to->pid == 0) {
		close(ends[0]);
		run_worker(w, ends[1], number, workers);
	}
	close(ends[1]);
	return to->pid > 0 || diag_error(w->d, (Loc){0}, "cannot start a compiler process: %s", strerror(errno));
}

/* A whole result is here. */
static void take(Work *w, Worker *from)
{
	const Job *j = &w->job[from->head.job];
	if (from->head.failed) {
		if (!w->failed)
			diag_error(w->d, (Loc){0}, "NVRTC %d.%d does not compile kernel %s for %s: %.*s", w->nv->major, w->nv->minor,
			           j->function->name, j->arch, (int)strcspn(from->data, "\n"), from->data);
		w->failed = true;
	} else {
		*j->image = (RtCudaImage){(const unsigned char *)from->data, from->head.bytes};
		cache_put(j->key, j->image);
	}
	from->data = NULL;
	from->got = 0;
}

/* What the pipe has; false: it is at its end. */
static bool receive(Work *w, Worker *from)
{
	char *to = from->data ? from->data : (char *)&from->head;
	const size_t want = from->data ? from->head.bytes : sizeof from->head;
	const ssize_t n = read(from->fd, to + from->got, want - from->got);
	if (n < 0)
		return errno == EINTR;
	from->got += (size_t)n;
	if (n > 0 && !from->data && from->got == sizeof from->head) {
		INVARIANT(from->head.job < (uint32_t)w->njobs);
		from->data = NEWN(w->arena, char, from->head.bytes + 1);
		from->got = 0;
	} else if (n > 0 && from->data && from->got == want) {
		take(w, from);
	}
	return n > 0;
}

static void gather(Work *w, Worker *worker, int n)
{
	struct pollfd fd[MAX_WORKERS];
	int open = n;
	for (int i = 0; i < n; i++)
		fd[i] = (struct pollfd){.fd = worker[i].fd, .events = POLLIN};
	while (open > 0) {
		if (poll(fd, (nfds_t)n, -1) < 0 && errno != EINTR)
			break;
		for (int i = 0; i < n; i++) {
			if (fd[i].fd < 0 || !fd[i].revents || receive(w, &worker[i]))
				continue;
			fd[i].fd = -1;
			open--;
		}
	}
	for (int i = 0; i < n; i++) {
		int status;
		close(worker[i].fd);
		waitpid(worker[i].pid, &status, 0);
		if (status != 0 && !w->failed)
			w->failed = !diag_error(w->d, (Loc){0}, "a process that compiles for GPUs ended early");
	}
}

static bool compile_all(Work *w, int workers)
{
	Worker worker[MAX_WORKERS];
	int n = 0;
	if (workers <= 0)
		workers = (int)sysconf(_SC_NPROCESSORS_ONLN);
	workers = workers > MAX_WORKERS ? MAX_WORKERS : workers;
	workers = workers > w->njobs ? w->njobs : workers;
	fflush(NULL); /* a child must not write what waits in our buffers */
	while (n < workers && start(w, &worker[n], n, workers))
		n++;
	w->failed = n < workers;
	gather(w, worker, n);
	return !w->failed;
}

/* ---- architectures ---- */
static bool knows(const Nvrtc *nv, Arena *a, const CgCuda *c, Diag *d)
{
	int n = 0;
	if (nv->num_archs(&n) != 0 || n <= 0)
		return true;
	int *list = NEWN(a, int, n);
	nv->archs(list);
	for (int i = 0; i < c->narchs; i++) {
		bool found = false;
		for (int j = 0; j < n; j++)
			found |= list[j] == (int)c->arch[i].number;
		if (!found)
			return diag_error(d, (Loc){0}, "NVRTC %d.%d (%s) cannot compile for %s; choose others with --cuda-arch", nv->major, nv->minor,
			                  nv->path, cuda_arch_text(a, c->arch[i]));
	}
	return true;
}

static int longest_first(const void *x, const void *y)
{
	const Job *a = x, *b = y;
	const size_t n = strlen(a->function->text), m = strlen(b->function->text);
	return n != m ? (n > m ? -1 : 1) : strcmp(a->key, b->key);
}

const char *nvrtc_text(Arena *a)
{
	Nvrtc nv;
	return nvrtc_load(&nv, a, NULL) ? arena_printf(a, "%d.%d, %s", nv.major, nv.minor, nv.path) : NULL;
}

bool nvrtc_found(void)
{
	Arena *a = arena_new();
	const bool found = nvrtc_text(a);
	arena_free(a);
	return found;
}

const char *nvrtc_resources(const CgCudaFunction *f, const char *arch, Arena *a, Diag *d)
{
	Nvrtc nv;
	NvHandle p = NULL;
	size_t n = 0;
	const char *option[MAX_OPTIONS + 1];
	if (!nvrtc_load(&nv, a, d))
		return NULL;
	int noptions = options_of(&nv, a, &(Job){.arch = arch}, option);
	option[noptions++] = "--ptxas-options=-v";
	int code = nv.create(&p, arena_printf(a, "%s%s", cuda_prelude, f->text), "kernel.cu", 0, NULL, NULL);
	code = code ? code : nv.compile(p, noptions, option);
	char *log = nv.log_size(p, &n) == 0 ? NEWN(a, char, n + 1) : NULL;
	if (log)
		nv.log(p, log);
	nv.destroy(&p);
	if (code != 0)
		diag_error(d, (Loc){0}, "NVRTC does not compile kernel %s for %s: %s", f->name, arch, log ? log : nv.error(code));
	return code == 0 ? log : NULL;
}

bool nvrtc_compile(CgCuda *c, int jobs, Diag *d)
{
	Nvrtc nv;
	Arena *a = c->arena;
	if (!nvrtc_load(&nv, a, d) || !knows(&nv, a, c, d))
		return false;
	Work w = {.nv = &nv, .arena = a, .d = d, .job = NEWN(a, Job, c->nfunctions * c->narchs + 1)};
	for (int f = 0; f < c->nfunctions; f++) {
		for (int i = 0; i < c->narchs; i++) {
			Job *j = &w.job[w.njobs];
			*j = (Job){.function = &c->function[f], .image = &c->function[f].image[i], .arch = cuda_arch_text(a, c->arch[i]),
			           .ptx = c->arch[i].kind == KIND_PTX};
			hash_job(&nv, a, j);
			w.njobs += !cache_get(j->key, a, j->image);
		}
	}
	qsort(w.job, (size_t)w.njobs, sizeof *w.job, longest_first);
	return w.njobs == 0 || compile_all(&w, jobs);
}

/* profile.c -- marks of kernels to sums and spans; the table; the trace
 *
 * Sums are over all steps, spans only of the last ones: both live in memory that is taken at the start. A step with
 * more marks than there is room for makes room for the next one and is not counted itself.
 */
#include "runtime/profile.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/cuda_call.h"
#include "runtime/durable.h"
#include "runtime/sys.h"

enum { STEPS = 200, SPANS = 1 << 18, FIRST_MARKS = 4096, LINE = 400, BLOCK = 1 << 16 };

typedef struct Mark {
	int64_t ns;
	pthread_t thread;
	uint32_t kernel;
	bool end;
} Mark;

typedef struct Row { /* of one kernel */
	uint32_t kernel;
	uint64_t calls, last_step;
	double ns, flops;
} Row;

typedef struct Span {
	int64_t start, ns;
	uint32_t kernel, thread;
} Span;

typedef struct Step {
	int64_t start, ns;
	uint64_t number, first; /* first: of its spans */
} Step;

struct RtProfile {
	const RtEntry *entry;
	const char *where; /* the GPU; NULL: threads */
	int threads, seen; /* seen: threads that have marked so far */
	pthread_t *thread;
	Mark *open; /* by thread: the kernel that runs */
	Mark *mark;
	size_t room;
	_Atomic size_t nmarks;
	Row *row;
	Span *span;      /* number i lies at i % SPANS */
	uint64_t nspans; /* ever */
	Step step[STEPS];
	uint64_t nsteps, lost; /* steps counted; steps with too many marks */
	int64_t start;
	double ns; /* of all steps counted */
};

RtStatus rt_profile_new(RtInstance *in, const RtEntry *entry, RtProfile **out)
{
	RtProfile *p = *out = rt_sys.alloc(sizeof *p);
	const int threads = in->cuda ? 1 : rt_pool_threads(in->pool);
	if (!p)
		return rt_fail(RT_NOMEM, "out of memory for the profile");
	const RtEntry *e = p->entry = in->cuda ? rt_cuda_entry(in->cuda, entry) : entry;
	p->threads = threads;
	p->where = in->cuda ? rt_cuda_name(in->cuda) : NULL;
	p->thread = rt_sys.alloc((size_t)threads * sizeof *p->thread);
	p->open = rt_sys.alloc((size_t)threads * sizeof *p->open);
	p->row = rt_sys.alloc(((size_t)e->nkernels + 1) * sizeof *p->row);
	p->span = rt_sys.alloc(SPANS * sizeof *p->span);
	p->mark = rt_sys.alloc(FIRST_MARKS * sizeof *p->mark);
	p->room = FIRST_MARKS;
	if (!p->thread || !p->open || !p->row || !p->span || !p->mark)
		return rt_fail(RT_NOMEM, "out of memory for the profile");
	for (uint32_t i = 0; i < e->nkernels; i++)
		p->row[i].kernel = i;
	return RT_OK;
}

void rt_profile_free(RtProfile *p)
{
	if (!p)
		return;
	rt_sys.release(p->thread);
	rt_sys.release(p->open);
	rt_sys.release(p->row);
	rt_sys.release(p->span);
	rt_sys.release(p->mark);
	rt_sys.release(p);
}

/* ---- gathering ---- */

static void mark(void *arg, uint32_t kernel, bool end)
{
	RtProfile *p = arg;
	size_t i = atomic_fetch_add_explicit(&p->nmarks, 1, memory_order_relaxed);
	if (i < p->room)
		p->mark[i] = (Mark){rt_sys.monotonic_ns(), pthread_self(), kernel, end};
}

/* Of the device, whose clock starts with the step. */
static void mark_launch(void *arg, uint32_t launch, double start_ms, double ms)
{
	RtProfile *p = arg;
	const int64_t start = p->start + (int64_t)(start_ms * 1e6);
	for (int end = 0; end < 2; end++) {
		size_t i = atomic_fetch_add_explicit(&p->nmarks, 1, memory_order_relaxed);
		if (i < p->room)
			p->mark[i] = (Mark){start + (end ? (int64_t)(ms * 1e6) : 0), pthread_self(), launch, end};
	}
}

void rt_profile_begin(RtProfile *p, RtInstance *in)
{
	if (!p)
		return;
	atomic_store(&p->nmarks, 0);
	if (in->cuda && rt_cuda_time(in->cuda, mark_launch, p) != RT_OK)
		rt_cuda_time(in->cuda, NULL, NULL); /* the step says what is wrong with the device */
	in->mark = mark;
	in->mark_arg = p;
	p->start = rt_sys.monotonic_ns();
}

static int number_of(RtProfile *p, pthread_t thread)
{
	int i = 0;
	while (i < p->seen && !pthread_equal(p->thread[i], thread))
		i++;
	if (i == p->seen && i < p->threads)
		p->thread[p->seen++] = thread;
	return i;
}

static void take_span(RtProfile *p, const Span *s, uint32_t n)
{
	const RtKernel *k = &p->entry->kernel[s->kernel];
	Row *r = &p->row[s->kernel];
	if (r->last_step != p->nsteps) {
		r->last_step = p->nsteps;
		r->flops += (double)k->flops * (k->batched ? n : 1);
	}
	r->calls++;
	r->ns += (double)s->ns;
	p->span[p->nspans++ % SPANS] = *s;
}

static void take_marks(RtProfile *p, size_t n, uint32_t samples)
{
	for (size_t i = 0; i < n; i++) {
		const Mark *m = &p->mark[i];
		int t = number_of(p, m->thread);
		if (t >= p->threads || m->kernel >= p->entry->nkernels)
			continue;
		if (m->end) {
			Span s = {p->open[t].ns, m->ns - p->open[t].ns, m->kernel, (uint32_t)t};
			take_span(p, &s, samples);
		}
		p->open[t] = *m;
	}
}

static void make_room(RtProfile *p, size_t wanted)
{
	Mark *bigger = rt_sys.resize(p->mark, (wanted + wanted / 2) * sizeof *bigger);
	p->lost++;
	if (bigger) {
		p->mark = bigger;
		p->room = wanted + wanted / 2;
	}
}

void rt_profile_end(RtProfile *p, RtInstance *in)
{
	if (!p)
		return;
	int64_t ns = rt_sys.monotonic_ns() - p->start;
	size_t n = atomic_load(&p->nmarks);
	in->mark = NULL;
	if (in->cuda)
		rt_cuda_time(in->cuda, NULL, NULL);
	if (n > p->room) {
		make_room(p, n);
		return;
	}
	p->step[p->nsteps++ % STEPS] = (Step){p->start, ns, in->scalars.step, p->nspans};
	p->ns += (double)ns;
	take_marks(p, n, in->scalars.n);
}

/* ---- the table ---- */

static int by_time(const void *a, const void *b)
{
	const Row *x = a, *y = b;
	if (x->ns != y->ns)
		return x->ns < y->ns ? 1 : -1;
	return (x->kernel > y->kernel) - (x->kernel < y->kernel);
}

static void print_row(FILE *f, const char *name, const Row *r, double all)
{
	double gflops = r->ns > 0 ? r->flops / r->ns : 0;
	fprintf(f, "%-40s %10llu %12.3f %10.4f %6.1f%%", name, (unsigned long long)r->calls, r->ns / 1e6,
		r->calls ? r->ns / 1e6 / (double)r->calls : 0.0, all > 0 ? 100 * r->ns / all : 0.0);
	if (gflops > 0)
		fprintf(f, " %9.1f", gflops);
	fputc('\n', f);
}

void rt_profile_print(const RtProfile *p, FILE *f)
{
	uint32_t n = p->entry->nkernels;
	Row *row = rt_sys.alloc(((size_t)n + 1) * sizeof *row), all = {0};
	for (uint32_t i = 0; i < n; i++) {
		all.calls += p->row[i].calls;
		all.ns += p->row[i].ns;
		all.flops += p->row[i].flops;
	}
	fprintf(f, "%-40s %10s %12s %10s %7s %9s\n", "kernel", "calls", "total ms", "ms/call", "share", "GFLOP/s");
	if (row) {
		memcpy(row, p->row, n * sizeof *row);
		qsort(row, n, sizeof *row, by_time);
	}
	for (uint32_t i = 0; row && i < n; i++)
		print_row(f, p->entry->kernel[row[i].kernel].name, &row[i], all.ns);
	print_row(f, "all kernels", &all, all.ns);
	char threads[40];
	snprintf(threads, sizeof threads, "%d threads", p->threads);
	fprintf(f, "%llu steps of %.4f ms on %s, %.1f%% of their time in kernels", (unsigned long long)p->nsteps,
		p->nsteps ? p->ns / 1e6 / (double)p->nsteps : 0.0, p->where ? p->where : threads,
		p->ns > 0 ? 100 * all.ns / p->ns / p->threads : 0.0);
	fprintf(f, p->lost ? "; %llu more not counted\n" : "\n", (unsigned long long)p->lost);
	rt_sys.release(row);
}

/* ---- the trace ---- */

typedef struct Trace {
	RtNewFile file;
	RtStatus status;
	char text[BLOCK + LINE];
	size_t n;
	int64_t zero; /* ns of the first event */
} Trace;

static void flush(Trace *t)
{
	if (t->status == RT_OK)
		t->status = rt_new_file_write(&t->file, t->text, t->n);
	t->n = 0;
}

/* As JSON has it; too long a name is cut between characters. */
static const char *quoted(const char *name, char *out, size_t room)
{
	enum { LONGEST = 12 }; /* an escape, the rest of a character, the end */
	size_t n = 0;
	for (const unsigned char *c = (const unsigned char *)name; *c && n + 2 < room; c++) {
		bool starts = (*c & 0xc0) != 0x80;
		if (starts && n + LONGEST > room)
			break;
		if (*c < ' ') {
			n += (size_t)snprintf(out + n, room - n, "\\u%04x", *c);
			continue;
		}
		if (*c == '"' || *c == '\\')
			out[n++] = '\\';
		out[n++] = (char)*c;
	}
	out[n] = '\0';
	return out;
}

static void event(Trace *t, const char *name, uint64_t step, uint32_t thread, int64_t start, int64_t ns)
{
	char room[160];
	t->n += (size_t)snprintf(t->text + t->n, LINE,
				 ",\n{\"name\":\"%s\",\"ph\":\"X\",\"pid\":1,\"tid\":%u,\"ts\":%.3f,\"dur\":%.3f,"
				 "\"args\":{\"step\":%llu}}",
				 quoted(name, room, sizeof room), thread, (double)(start - t->zero) / 1e3,
				 (double)ns / 1e3, (unsigned long long)step);
	if (t->n >= BLOCK)
		flush(t);
}

static void name_row(Trace *t, int tid, const char *name)
{
	t->n += (size_t)snprintf(t->text + t->n, LINE,
				 "%s{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":%d,"
				 "\"args\":{\"name\":\"%s\"}}",
				 tid ? ",\n" : "", tid, name);
	if (t->n >= BLOCK)
		flush(t);
}

/* Row 0 is the steps, row i + 1 is thread i. */
static void write_events(Trace *t, const RtProfile *p)
{
	char name[40];
	uint64_t oldest = p->nspans > SPANS ? p->nspans - SPANS : 0;
	uint64_t step = p->nsteps > STEPS ? p->nsteps - STEPS : 0;
	while (step < p->nsteps && p->step[step % STEPS].first < oldest)
		step++;
	t->zero = step < p->nsteps ? p->step[step % STEPS].start : 0;
	t->n += (size_t)snprintf(t->text, LINE, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
	name_row(t, 0, p->entry->name);
	for (int i = 0; i < p->seen; i++) {
		snprintf(name, sizeof name, "thread %d", i + 1);
		name_row(t, i + 1, name);
	}
	for (; step < p->nsteps; step++) {
		const Step *s = &p->step[step % STEPS];
		uint64_t end = step + 1 < p->nsteps ? p->step[(step + 1) % STEPS].first : p->nspans;
		event(t, p->entry->name, s->number, 0, s->start, s->ns);
		for (uint64_t i = s->first; i < end; i++) {
			const Span *k = &p->span[i % SPANS];
			event(t, p->entry->kernel[k->kernel].name, s->number, k->thread + 1, k->start, k->ns);
		}
	}
	t->n += (size_t)snprintf(t->text + t->n, LINE, "\n]}\n");
	flush(t);
}

RtStatus rt_profile_trace(const RtProfile *p, const char *path)
{
	Trace *t = rt_sys.alloc(sizeof *t);
	if (!t)
		return rt_fail(RT_NOMEM, "out of memory for the trace");
	t->status = rt_new_file(&t->file, path, 0666);
	if (t->status == RT_OK) {
		write_events(t, p);
		if (t->status == RT_OK)
			t->status = rt_new_file_commit(&t->file);
		if (t->status != RT_OK)
			rt_new_file_abort(&t->file);
	}
	RtStatus s = t->status;
	rt_sys.release(t);
	return s;
}

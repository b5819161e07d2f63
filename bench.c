/* bench.c -- `cnnc bench MODEL`: the generated code timed in this process, beside what the machine can do at most
 *
 * The model is compiled by the JIT from the same module as an object would be. Times are of whole entries on made-up data that
 * lies in memory; kernels are timed one by one on one thread.
 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"
#include "bench_limits.h"
#include "report.h"
#include "runtime/call.h"
#include "runtime/init.h"

enum { MAX_TIMES = 4000, MIN_TIMES = 5, SLICE_MS = 1200, KERNEL_CALLS = 8 };

typedef struct Times { double median, min; } Times;

typedef struct Bench {
	const Pipeline *p;
	const RtModel *model;
	RtPool *pool;
	RtInstance in;
	Arena *arena;
	int threads;
	Limits limit;
	double compile_ms;
	Times train, batch, one;
	const KEntry *shown;     /* the entry whose kernels are listed */
	double *kernel_ms;       /* each kernel in one call of it on one thread */
} Bench;

/* ---- data ---- */
static void fill_labels(const RtPort *port, int classes, unsigned char *data, int64_t n)
{
	int64_t row = (int64_t)port->row_bytes / rt_dtype_bytes(port->dtype);
	for (int64_t i = 0; i < n * row; i++) {
		int64_t sample = i / row, column = i % row;
		if (port->dtype == RT_F32)
			((float *)(void *)data)[i] = row > 1 ? sample % row == column : (float)(sample & 1);
		else if (port->dtype == RT_I32)
			((int32_t *)(void *)data)[i] = (int32_t)(sample % classes);
	}
}

static void make_ports(Bench *b, const RtEntry *e, unsigned char **port)
{
	const RtPort *prob = e->nout ? &e->out[0] : NULL;
	const RtEntry *predict = rt_entry(b->model, "predict");
	if (predict && predict->nout)
		prob = &predict->out[0];
	int classes = prob && prob->rank > 1 && prob->dim[prob->rank - 1] > 1 ? (int)prob->dim[prob->rank - 1] : 2;
	for (uint32_t i = 0; i < e->nin; i++) {
		int64_t n = (int64_t)b->model->max_n;
		port[i] = arena_alloc(b->arena, (size_t)n + 1, e->in[i].row_bytes);
		if (strcmp(e->in[i].name, "y") == 0)
			fill_labels(&e->in[i], classes, port[i], n);
		else
			bench_fill(&e->in[i], port[i], n);
	}
}

/* ---- entries ---- */
static void call_entry(Bench *b, const RtEntry *e, int64_t n, unsigned char *const *port, uint32_t step)
{
	rt_scalars_set(&b->in.scalars, b->model, (uint32_t)n, step);
	rt_instance_run(&b->in, e, port, NULL);
}

static Times time_entry(Bench *b, const char *name, int64_t n)
{
	double ms[MAX_TIMES];
	unsigned char *port[RT_MAX_PORTS];
	const RtEntry *e = rt_entry(b->model, name);
	int count = 0;
	if (!e)
		return (Times){0};
	make_ports(b, e, port);
	for (uint32_t i = 1; i <= 2; i++)
		call_entry(b, e, n, port, i);
	Times t = {.min = HUGE_VAL};
	for (double begin = now_ms(), now = begin; count < MIN_TIMES || now - begin < SLICE_MS; count++) {
		double start = now_ms();
		call_entry(b, e, n, port, 3 + (uint32_t)count);
		now = now_ms();
		ms[count % MAX_TIMES] = now - start; /* of many short calls, the last ones */
		t.min = fmin(t.min, now - start);
	}
	t.median = bench_median(ms, count < MAX_TIMES ? count : MAX_TIMES);
	return t;
}

static const KEntry *kernel_entry(const Bench *b, const char *name)
{
	const KProgram *p = b->p->fe.module->program;
	for (int i = 0; i < p->nentries; i++) {
		if (strcmp(p->entry[i].name, name) == 0)
			return &p->entry[i];
	}
	return NULL;
}

/* ---- kernels, one by one ---- */
typedef struct Profile { double *ms, start; } Profile;

static void mark_kernel(void *arg, uint32_t kernel, bool end)
{
	Profile *p = arg;
	double now = now_ms();
	if (end)
		p->ms[kernel] += now - p->start;
	p->start = now;
}

/* On a pool of one thread, so that times add up. The smallest of several calls. */
static bool time_kernels(Bench *b, const char *name, Diag *d)
{
	const RtEntry *e = rt_entry(b->model, name);
	RtPool *one, *all = b->in.pool;
	unsigned char *port[RT_MAX_PORTS];
	b->shown = kernel_entry(b, name);
	if (!e || !b->shown)
		return true;
	if (rt_pool_new(1, e->scratch_bytes, &one) != RT_OK)
		return diag_error(d, (Loc){0}, "%s", rt_message());
	size_t n = (size_t)b->shown->nkernels;
	b->kernel_ms = NEWN(b->arena, double, n + 1);
	Profile profile = {.ms = NEWN(b->arena, double, n + 1)};
	make_ports(b, e, port);
	b->in.pool = one;
	b->in.mark = mark_kernel;
	b->in.mark_arg = &profile;
	for (uint32_t call = 0; call < KERNEL_CALLS; call++) {
		memset(profile.ms, 0, n * sizeof(double));
		call_entry(b, e, (int64_t)b->model->max_n, port, call + 1);
		for (size_t i = 0; i < n; i++)
			b->kernel_ms[i] = call && b->kernel_ms[i] < profile.ms[i] ? b->kernel_ms[i] : profile.ms[i];
	}
	b->in.mark = NULL;
	b->in.pool = all;
	rt_pool_free(one);
	return true;
}

/* ---- work ---- */
static double kernel_flops(const Kernel *k, int64_t n)
{
	for (int i = 0; i < k->naxes; i++) {
		if (k->axis[i].ext == EXT_N)
			return (double)k->flops * (double)n;
	}
	return (double)k->flops;
}

static double entry_flops(const Bench *b, const char *name, int64_t n)
{
	const KEntry *e = kernel_entry(b, name);
	double sum = 0;
	for (int i = 0; e && i < e->nkernels; i++)
		sum += kernel_flops(e->kernel[i], n);
	return sum;
}

/* Bytes of all buffers that a kernel reads or writes, once each */
static double kernel_bytes(const Bench *b, const Kernel *k)
{
	const KProgram *p = b->p->fe.module->program;
	bool *used = NEWN(b->arena, bool, p->nbuffers + 1);
	double sum = 0;
	for (int i = 0; i < k->nopnds; i++) {
		const IrType *t = &p->buffer[k->opnd[i].buf].type;
		if (!used[k->opnd[i].buf])
			sum += (double)ir_elems(t, (int64_t)b->model->max_n) * dtype_size(t->dtype);
		used[k->opnd[i].buf] = true;
	}
	return sum;
}

typedef struct Line { const char *name; double ms, gflops, share, bytes, gbs; } Line;

static Line kernel_line(const Bench *b, int i)
{
	const Kernel *k = b->shown->kernel[i];
	Line l = {.name = k->name, .ms = b->kernel_ms[i], .bytes = kernel_bytes(b, k)};
	l.gflops = l.ms > 0 ? kernel_flops(k, (int64_t)b->model->max_n) / l.ms * 1e-6 : 0;
	l.share = l.gflops / b->limit.fma_one;
	l.gbs = l.ms > 0 ? l.bytes / l.ms * 1e-6 : 0;
	return l;
}

/* ---- results ---- */
static json_t *times_json(const Bench *b, Times t, const char *entry, int64_t n)
{
	if (t.min <= 0)
		return json_null();
	return json_pack("{s:f, s:f, s:f}", "median_ms", t.median, "min_ms", t.min, "gflops",
	                 entry_flops(b, entry, n) / t.median * 1e-6);
}

static json_t *kernels_json(const Bench *b)
{
	json_t *out = json_array();
	for (int i = 0; b->kernel_ms && i < b->shown->nkernels; i++) {
		Line l = kernel_line(b, i);
		json_array_append_new(out, json_pack("{s:s, s:f, s:f, s:f, s:I, s:f}", "name", l.name, "ms", l.ms, "gflops",
		                                     l.gflops, "peak_share", l.share, "bytes", (json_int_t)l.bytes, "gbs",
		                                     l.gbs));
	}
	return out;
}

static void print_json(const Bench *b)
{
	Memory m = report_memory(b->p->fe.module);
	int64_t n = (int64_t)b->model->max_n;
	json_t *machine = json_pack("{s:s, s:s, s:i, s:f, s:f}", "cpu", limits_cpu(b->arena), "target", b->p->target.name, "cpus",
	                            rt_cpu_count(), "fma_gflops", b->limit.fma_gflops, "copy_gbs", b->limit.copy_gbs);
	json_t *memory = json_pack("{s:I, s:I}", "train_bytes", (json_int_t)m.train, "predict_bytes", (json_int_t)m.predict);
	json_t *all = json_pack("{s:s, s:o, s:i, s:I, s:o, s:o, s:o, s:o, s:f, s:o}", "model", b->model->name, "machine", machine,
	                        "threads", b->threads, "batch", (json_int_t)n, "train_step",
	                        times_json(b, b->train, "train_step", n), "predict_batch", times_json(b, b->batch, "predict", n),
	                        "predict_1", times_json(b, b->one, "predict", 1), "memory", memory, "compile_ms", b->compile_ms,
	                        "kernels", kernels_json(b));
	json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(all);
}

static void print_times(const Bench *b, const char *what, Times t, const char *entry, int64_t n)
{
	if (t.min > 0)
		printf("%-14s %9.3f ms median, %9.3f ms min, %7.1f GFLOP/s\n", what, t.median, t.min,
		       entry_flops(b, entry, n) / t.median * 1e-6);
}

static void print_text(const Bench *b)
{
	Memory m = report_memory(b->p->fe.module);
	int64_t n = (int64_t)b->model->max_n;
	printf("%s: %s, %s, %d thread%s; %.0f GFLOP/s from registers, copies %.1f GB/s\n", b->model->name, limits_cpu(b->arena),
	       b->p->target.name, b->threads, b->threads == 1 ? "" : "s", b->limit.fma_gflops, b->limit.copy_gbs);
	printf("compiled in    %9.0f ms\n", b->compile_ms);
	print_times(b, arena_printf(b->arena, "train step %lld", (long long)n), b->train, "train_step", n);
	print_times(b, arena_printf(b->arena, "predict %lld", (long long)n), b->batch, "predict", n);
	print_times(b, "predict 1", b->one, "predict", 1);
	printf("memory         %s bytes to train, %s to predict\n", text_count(b->arena, m.train), text_count(b->arena, m.predict));
	if (b->kernel_ms)
		printf("kernels of %s on one thread:\n", b->shown->name);
	for (int i = 0; b->kernel_ms && i < b->shown->nkernels; i++) {
		Line l = kernel_line(b, i);
		printf("  %9.3f ms %7.1f GFLOP/s %4.0f %% %7.1f GB/s  %9s  %s\n", l.ms, l.gflops, 100 * l.share, l.gbs,
		       text_bytes(b->arena, (int64_t)l.bytes), l.name);
	}
}

/* ---- the command ---- */
static bool open_all(Bench *b, const Options *o, const CgJit *jit, Diag *d)
{
	static const char *const entries[] = {"predict", "evaluate", "train_step"};
	b->model = cg_jit_model(jit);
	if (rt_pool_new(o->threads, 0, &b->pool) != RT_OK || rt_instance_open(&b->in, b->model, b->pool, entries, 3) != RT_OK)
		return diag_error(d, (Loc){0}, "%s", rt_message());
	b->threads = rt_pool_threads(b->pool);
	b->in.scalars.seed = 1;
	b->in.scalars.lr = 1e-4f;
	rt_init_tensors(&b->in, 1);
	return true;
}

static bool measure(Bench *b, Diag *d)
{
	int64_t n = (int64_t)b->model->max_n;
	if (!limits_measure(&b->p->code, b->pool, &b->limit, d))
		return false;
	bool trains = rt_entry(b->model, "train_step") != NULL;
	b->train = time_entry(b, "train_step", n);
	b->batch = time_entry(b, "predict", n);
	b->one = time_entry(b, "predict", 1);
	return time_kernels(b, trains ? "train_step" : "predict", d) && limits_measure(&b->p->code, b->pool, &b->limit, d);
}

int bench(Pipeline *p, const Options *o, double compile_start_ms, Diag *d)
{
	Bench b = {.p = p, .arena = arena_new()};
	CgModule *c = pipeline_code(p, d);
	CgJit *jit = c ? cg_jit(c, d) : NULL;
	b.compile_ms = now_ms() - compile_start_ms;
	bool ok = jit && open_all(&b, o, jit, d) && measure(&b, d);
	if (ok && o->json)
		print_json(&b);
	else if (ok)
		print_text(&b);
	if (b.in.model)
		rt_instance_close(&b.in);
	rt_pool_free(b.pool);
	cg_jit_free(jit);
	arena_free(b.arena);
	return ok ? 0 : 2;
}

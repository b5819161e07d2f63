/* bench.c -- `cnnc bench MODEL`: the generated code timed in this process, beside what the machine can do at most
 *
 * The model is compiled by the JIT from the same module as an object would be. BenchTimes are of whole entries on made-up data that
 * lies in memory; kernels are timed one by one on one thread.
 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"
#include "bench_limits.h"
#include "bench_run.h"
#include "report.h"

enum { KERNELS_MS = 400 };

typedef struct Bench {
	const Pipeline *p;
	BenchRun run;
	int threads;
	Limits limit;
	double compile_ms;
	BenchTimes train, batch, one;
	const KEntry *shown;     /* the entry whose kernels are listed */
	double *kernel_ms;       /* each kernel in one call of it on one thread */
} Bench;

/* ---- entries ---- */
static const KEntry *kernel_entry(const Bench *b, const char *name)
{
	const KProgram *p = b->p->fe.module->program;
	for (int i = 0; i < p->nentries; i++) {
		if (strcmp(p->entry[i].name, name) == 0)
			return &p->entry[i];
	}
	return NULL;
}

/* The smallest of several calls. */
static bool time_kernels(Bench *b, const char *name, Diag *d)
{
	const RtEntry *e = rt_entry(b->run.model, name);
	b->shown = kernel_entry(b, name);
	if (!e || !b->shown)
		return true;
	size_t n = (size_t)b->shown->nkernels;
	b->kernel_ms = NEWN(b->run.arena, double, n + 1);
	for (size_t i = 0; i < n; i++)
		b->kernel_ms[i] = HUGE_VAL;
	return bench_run_kernels(&b->run, e, b->kernel_ms, n, KERNELS_MS, NULL, d);
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
	bool *used = NEWN(b->run.arena, bool, p->nbuffers + 1);
	double sum = 0;
	for (int i = 0; i < k->nopnds; i++) {
		const IrType *t = &p->buffer[k->opnd[i].buf].type;
		if (!used[k->opnd[i].buf])
			sum += (double)ir_elems(t, (int64_t)b->run.model->max_n) * dtype_size(t->dtype);
		used[k->opnd[i].buf] = true;
	}
	return sum;
}

typedef struct Line { const char *name; double ms, gflops, share, bytes, gbs; } Line;

static Line kernel_line(const Bench *b, int i)
{
	const Kernel *k = b->shown->kernel[i];
	Line l = {.name = k->name, .ms = b->kernel_ms[i], .bytes = kernel_bytes(b, k)};
	l.gflops = l.ms > 0 ? kernel_flops(k, (int64_t)b->run.model->max_n) / l.ms * 1e-6 : 0;
	l.share = l.gflops / b->limit.fma_one;
	l.gbs = l.ms > 0 ? l.bytes / l.ms * 1e-6 : 0;
	return l;
}

/* ---- results ---- */
static json_t *times_json(const Bench *b, BenchTimes t, const char *entry, int64_t n)
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
	int64_t n = (int64_t)b->run.model->max_n;
	json_t *machine = json_pack("{s:s, s:s, s:i, s:f, s:f}", "cpu", limits_cpu(b->run.arena), "target", b->p->target.name, "cpus",
	                            rt_cpu_count(), "fma_gflops", b->limit.fma_gflops, "copy_gbs", b->limit.copy_gbs);
	json_t *memory = json_pack("{s:I, s:I}", "train_bytes", (json_int_t)m.train, "predict_bytes", (json_int_t)m.predict);
	json_t *all = json_pack("{s:s, s:o, s:i, s:I, s:o, s:o, s:o, s:o, s:f, s:o}", "model", b->run.model->name, "machine", machine,
	                        "threads", b->threads, "batch", (json_int_t)n, "train_step",
	                        times_json(b, b->train, "train_step", n), "predict_batch", times_json(b, b->batch, "predict", n),
	                        "predict_1", times_json(b, b->one, "predict", 1), "memory", memory, "compile_ms", b->compile_ms,
	                        "kernels", kernels_json(b));
	json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(all);
}

static void print_times(const Bench *b, const char *what, BenchTimes t, const char *entry, int64_t n)
{
	if (t.min > 0)
		printf("%-14s %9.3f ms median, %9.3f ms min, %7.1f GFLOP/s\n", what, t.median, t.min,
		       entry_flops(b, entry, n) / t.median * 1e-6);
}

static void print_text(const Bench *b)
{
	Memory m = report_memory(b->p->fe.module);
	int64_t n = (int64_t)b->run.model->max_n;
	printf("%s: %s, %s, %d thread%s; %.0f GFLOP/s from registers, copies %.1f GB/s\n", b->run.model->name, limits_cpu(b->run.arena),
	       b->p->target.name, b->threads, b->threads == 1 ? "" : "s", b->limit.fma_gflops, b->limit.copy_gbs);
	printf("compiled in    %9.0f ms\n", b->compile_ms);
	print_times(b, arena_printf(b->run.arena, "train step %lld", (long long)n), b->train, "train_step", n);
	print_times(b, arena_printf(b->run.arena, "predict %lld", (long long)n), b->batch, "predict", n);
	print_times(b, "predict 1", b->one, "predict", 1);
	printf("memory         %s bytes to train, %s to predict\n", text_count(b->run.arena, m.train), text_count(b->run.arena, m.predict));
	if (b->kernel_ms)
		printf("kernels of %s on one thread:\n", b->shown->name);
	for (int i = 0; b->kernel_ms && i < b->shown->nkernels; i++) {
		Line l = kernel_line(b, i);
		printf("  %9.3f ms %7.1f GFLOP/s %4.0f %% %7.1f GB/s  %9s  %s\n", l.ms, l.gflops, 100 * l.share, l.gbs,
		       text_bytes(b->run.arena, (int64_t)l.bytes), l.name);
	}
}

/* ---- the command ---- */
static bool measure(Bench *b, Diag *d)
{
	int64_t n = (int64_t)b->run.model->max_n;
	if (!limits_measure(&b->p->code, b->run.pool, &b->limit, d))
		return false;
	bool trains = rt_entry(b->run.model, "train_step") != NULL;
	b->train = bench_run_time(&b->run, "train_step", n);
	b->batch = bench_run_time(&b->run, "predict", n);
	b->one = bench_run_time(&b->run, "predict", 1);
	return time_kernels(b, trains ? "train_step" : "predict", d) && limits_measure(&b->p->code, b->run.pool, &b->limit, d);
}

int bench(Pipeline *p, const Options *o, double compile_start_ms, Diag *d)
{
	if (p->cuda)
		return bench_cuda(p, o, compile_start_ms, d);
	Bench b = {.p = p};
	CgModule *c = pipeline_code(p, d);
	CgJit *jit = c ? cg_jit(c, d) : NULL;
	b.compile_ms = now_ms() - compile_start_ms;
	bool ok = jit && bench_run_open(&b.run, cg_jit_model(jit), o->threads, d);
	if (ok) {
		b.threads = rt_pool_threads(b.run.pool);
		ok = measure(&b, d);
	}
	if (ok && o->json)
		print_json(&b);
	else if (ok)
		print_text(&b);
	if (jit)
		bench_run_close(&b.run);
	cg_jit_free(jit);
	return ok ? 0 : 2;
}

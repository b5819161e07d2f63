/* bench_cuda.c -- `cnnc bench MODEL --target=cuda`: entries on a GPU, and what each launch of them takes
 *
 * Whole calls are timed by the clock of the host: inputs sent, the graph launched, results fetched. Launches are timed by the
 * clock of the device, one by one, the smallest of several calls; their sum is what a call cannot be faster than.
 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include "bench.h"
#include "bench_run.h"
#include "report.h"
#include "runtime/cuda_call.h"

enum { NODE_CALLS = 20 };

typedef struct CudaBench {
	BenchRun run;
	const RtEntry *shown;   /* the entry whose launches are listed, with them */
	double *node_ms, sum_ms;
	BenchTimes train, batch, one;
	uint64_t bytes;
	double compile_ms;
} CudaBench;

static const char *const entries[] = {"predict", "evaluate", "train_step"};

static void take_time(void *arg, uint32_t launch, double start_ms, double ms)
{
	double *best = arg;
	(void)start_ms;
	best[launch] = fmin(best[launch], ms);
}

static bool time_nodes(CudaBench *b, const char *name, Diag *d)
{
	const RtEntry *e = rt_entry(b->run.model, name);
	if (!e)
		return true;
	unsigned char **port = bench_run_ports(&b->run, e);
	b->shown = rt_cuda_entry(b->run.in.cuda, e);
	b->node_ms = NEWN(b->run.arena, double, b->shown->nkernels + 1);
	for (uint32_t i = 0; i < b->shown->nkernels; i++)
		b->node_ms[i] = HUGE_VAL;
	if (rt_cuda_time(b->run.in.cuda, take_time, b->node_ms) != RT_OK)
		return diag_error(d, (Loc){0}, "%s", rt_message());
	for (uint32_t i = 0; i < NODE_CALLS && b->run.in.fault == RT_OK; i++)
		bench_run_call(&b->run, e, (int64_t)b->run.model->max_n, port, i + 1);
	rt_cuda_time(b->run.in.cuda, NULL, NULL);
	for (uint32_t i = 0; i < b->shown->nkernels; i++)
		b->sum_ms += b->node_ms[i];
	return true;
}

static bool measure(CudaBench *b, Diag *d)
{
	const int64_t n = (int64_t)b->run.model->max_n;
	if (rt_instance_device(&b->run.in, "cuda", true, entries, COUNT(entries), NULL) != RT_OK)
		return diag_error(d, (Loc){0}, "%s", rt_message());
	b->bytes = rt_cuda_bytes(b->run.model, entries, COUNT(entries));
	b->train = bench_run_time(&b->run, "train_step", n);
	b->batch = bench_run_time(&b->run, "predict", n);
	b->one = bench_run_time(&b->run, "predict", 1);
	if (!time_nodes(b, b->train.min > 0 ? "train_step" : "predict", d))
		return false;
	return b->run.in.fault == RT_OK || diag_error(d, (Loc){0}, "%s", rt_message());
}

static double node_gflops(const CudaBench *b, uint32_t i)
{
	const RtKernel *k = &b->shown->kernel[i];
	const double flops = (double)k->flops * (k->batched ? (double)b->run.model->max_n : 1);
	return b->node_ms[i] > 0 ? flops / b->node_ms[i] * 1e-6 : 0;
}

static json_t *times_json(BenchTimes t)
{
	return t.min > 0 ? json_pack("{s:f, s:f}", "median_ms", t.median, "min_ms", t.min) : json_null();
}

static void print_json(const CudaBench *b)
{
	json_t *nodes = json_array();
	for (uint32_t i = 0; b->shown && i < b->shown->nkernels; i++)
		json_array_append_new(nodes, json_pack("{s:s, s:f, s:f}", "name", b->shown->kernel[i].name, "ms", b->node_ms[i], "gflops",
		                                       node_gflops(b, i)));
	json_t *all = json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:f, s:f, s:s, s:o}", "model", b->run.model->name, "gpu",
	                        rt_cuda_name(b->run.in.cuda), "batch", (json_int_t)b->run.model->max_n, "device_bytes",
	                        (json_int_t)b->bytes, "train_step", times_json(b->train), "predict_batch", times_json(b->batch),
	                        "predict_1", times_json(b->one), "compile_ms", b->compile_ms, "nodes_ms", b->sum_ms, "nodes_of",
	                        b->shown ? b->shown->name : "", "nodes", nodes);
	json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(all);
}

static void print_times(const char *what, BenchTimes t)
{
	if (t.min > 0)
		printf("%-16s %9.4f ms median, %9.4f ms min\n", what, t.median, t.min);
}

static void print_text(const CudaBench *b)
{
	Arena *a = b->run.arena;
	const long long n = (long long)b->run.model->max_n;
	printf("%s: %s\n", b->run.model->name, rt_cuda_name(b->run.in.cuda));
	printf("compiled in      %9.0f ms\n", b->compile_ms);
	print_times(arena_printf(a, "train step %lld", n), b->train);
	print_times(arena_printf(a, "predict %lld", n), b->batch);
	print_times("predict 1", b->one);
	printf("memory           %s bytes of the GPU\n", text_count(a, (int64_t)b->bytes));
	if (b->shown)
		printf("%u launches of %s, %.4f ms one by one:\n", b->shown->nkernels, b->shown->name, b->sum_ms);
	for (uint32_t i = 0; b->shown && i < b->shown->nkernels; i++)
		printf("  %9.4f ms %9.1f GFLOP/s  %s\n", b->node_ms[i], node_gflops(b, i), b->shown->kernel[i].name);
}

int bench_cuda(Pipeline *p, const Options *o, double compile_start_ms, Diag *d)
{
	CudaBench b = {.shown = NULL};
	Pipeline gpu = {.arena = NULL};
	CgCuda *cuda = pipeline_gpu(p, &gpu, d) ? pipeline_cuda(&gpu, true, d) : NULL;
	p->code.cuda = cuda;
	CgModule *c = cuda ? pipeline_code(p, d) : NULL;
	CgJit *jit = c ? cg_jit(c, d) : NULL;
	b.compile_ms = now_ms() - compile_start_ms;
	const bool ok = jit && bench_run_open(&b.run, cg_jit_model(jit), o->threads, d) && measure(&b, d);
	if (ok && o->json)
		print_json(&b);
	else if (ok)
		print_text(&b);
	if (jit)
		bench_run_close(&b.run);
	cg_jit_free(jit);
	p->code.cuda = NULL;
	cg_cuda_free(cuda);
	pipeline_close(&gpu);
	return ok ? 0 : 2;
}

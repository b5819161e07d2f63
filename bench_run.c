/* bench_run.c -- a compiled model run in this process on made-up data: see bench_run.h */
#include "bench_run.h"
#include <math.h>
#include <string.h>
#include "bench.h"
#include "bench_limits.h"
#include "runtime/cpu.h"
#include "runtime/init.h"

bool bench_run_open(BenchRun *r, const RtModel *model, int threads, Diag *d)
{
	static const char *const entries[] = {"predict", "evaluate", "train_step"};
	*r = (BenchRun){.model = model, .arena = arena_new()};
	if (rt_cpu_check(model) != RT_OK || rt_pool_new(threads, 0, &r->pool) != RT_OK ||
	    rt_instance_open(&r->in, model, r->pool, entries, COUNT(entries)) != RT_OK)
		return diag_error(d, (Loc){0}, "%s", rt_message());
	r->in.scalars.seed = 1;
	r->in.scalars.lr = 1e-4f;
	rt_init_tensors(&r->in, 1);
	return true;
}

void bench_run_close(BenchRun *r)
{
	if (r->in.model)
		rt_instance_close(&r->in);
	rt_pool_free(r->one);
	rt_pool_free(r->pool);
	if (r->arena)
		arena_free(r->arena);
	*r = (BenchRun){.model = NULL};
}

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
		else if (port->dtype == RT_U8)
			data[i] = (unsigned char)(i % classes);
	}
}

/* What target "y", or "y.NAME" of several, tells apart: the last axis of its output. */
static int classes_of(const BenchRun *r, const RtEntry *e, const char *target)
{
	const RtEntry *predict = rt_entry(r->model, "predict");
	const RtEntry *with = predict && predict->nout ? predict : e;
	int at = target[1] ? rt_port_find(with->out, with->nout, target + 2) : 0;
	const RtPort *prob = at >= 0 && (uint32_t)at < with->nout ? &with->out[at] : NULL;
	int64_t last = prob && prob->rank > 1 ? prob->dim[prob->rank - 1] : 1;
	return last > 1 ? (int)last : 2;
}

unsigned char **bench_run_ports(BenchRun *r, const RtEntry *e)
{
	unsigned char **port = NEWN(r->arena, unsigned char *, RT_MAX_PORTS);
	for (uint32_t i = 0; i < e->nin; i++) {
		int64_t n = (int64_t)r->model->max_n;
		port[i] = arena_alloc(r->arena, (size_t)n + 1, e->in[i].row_bytes);
		if (e->in[i].name[0] == 'y' && (!e->in[i].name[1] || e->in[i].name[1] == '.'))
			fill_labels(&e->in[i], classes_of(r, e, e->in[i].name), port[i], n);
		else
			bench_fill(&e->in[i], port[i], n);
	}
	return port;
}

void bench_run_call(BenchRun *r, const RtEntry *e, int64_t n, unsigned char *const *port, uint32_t step)
{
	rt_scalars_set(&r->in.scalars, r->model, (uint32_t)n, step);
	rt_instance_run(&r->in, e, port, NULL);
}

BenchTimes bench_run_time(BenchRun *r, const char *entry, int64_t n)
{
	enum { MAX_TIMES = 4000, MIN_TIMES = 5, SLICE_MS = 1200 };
	double ms[MAX_TIMES];
	const RtEntry *e = rt_entry(r->model, entry);
	int count = 0;
	if (!e)
		return (BenchTimes){0};
	unsigned char **port = bench_run_ports(r, e);
	for (uint32_t i = 1; i <= 2; i++)
		bench_run_call(r, e, n, port, i);
	BenchTimes t = {.min = HUGE_VAL};
	for (double begin = now_ms(), now = begin; count < MIN_TIMES || now - begin < SLICE_MS; count++) {
		double start = now_ms();
		bench_run_call(r, e, n, port, 3 + (uint32_t)count);
		now = now_ms();
		ms[count % MAX_TIMES] = now - start; /* of many short calls, the last ones */
		t.min = fmin(t.min, now - start);
	}
	t.median = bench_median(ms, count < MAX_TIMES ? count : MAX_TIMES);
	return t;
}

/* ---- kernels, one by one ---- */
void bench_mark(void *marks, uint32_t kernel, bool end)
{
	BenchMarks *m = marks;
	double now = now_ms();
	if (end)
		m->ms[kernel] += now - m->start;
	m->start = now;
}

/* On a pool of one thread, so that times add up. */
bool bench_run_kernels(BenchRun *r, const RtEntry *e, double *best, size_t nkernels, double ms, const atomic_int *stop, Diag *d)
{
	enum { AT_LEAST = 3, AT_MOST = 60 };
	if (!r->one && rt_pool_new(1, 0, &r->one) != RT_OK)
		return diag_error(d, (Loc){0}, "%s", rt_message());
	if (rt_pool_reserve(r->one, e->scratch_bytes) != RT_OK)
		return diag_error(d, (Loc){0}, "%s", rt_message());
	BenchMarks profile = {.ms = NEWN(r->arena, double, nkernels + 1)};
	unsigned char **port = bench_run_ports(r, e);
	RtPool *all = r->in.pool;
	r->in.pool = r->one;
	r->in.mark = bench_mark;
	r->in.mark_arg = &profile;
	double begin = now_ms();
	for (uint32_t call = 0; call < AT_LEAST || (call < AT_MOST && now_ms() - begin < ms); call++) {
		if (stop && *stop)
			break;
		memset(profile.ms, 0, nkernels * sizeof(double));
		rt_weights_changed(&r->in); /* so that the kernels that prepare run */
		bench_run_call(r, e, (int64_t)r->model->max_n, port, call + 1);
		for (size_t i = 0; i < nkernels; i++)
			best[i] = best[i] < profile.ms[i] ? best[i] : profile.ms[i];
	}
	r->in.mark = NULL;
	r->in.pool = all;
	return true;
}

/* bench_limits.c -- the machine's limits: a loop of multiply-adds made by our own emitter, and memcpy */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"
#include "codegen/emit.h"
#include "bench_limits.h"
#include "runtime/call.h"

enum { MAX_FMA_SUMS = 12 };

/* ---- multiply-adds ---- */
typedef void FmaLoop(const float *ab, float *out, int64_t trips);
typedef struct FmaJob {
	FmaLoop *loop;
	float ab[2 * K_LANES];
	float *out;
	int64_t trips;
} FmaJob;

static int fma_sums(const Target *t)
{
	int values = t->vec_regs * t->vec_bytes / (int)(K_LANES * sizeof(float)) - 3;
	return values < 2 ? 2 : values > MAX_FMA_SUMS ? MAX_FMA_SUMS : values;
}

/* sums[i] = sums[i] * a + b, all in registers */
static void emit_fma_loop(KEmit *e, int nsums)
{
	EVal sum[MAX_FMA_SUMS], zero = e->i64(e, 0);
	e->begin(e, "fma", 2, 1, false);
	EVal a = e->load_vec(e, DT_F32, e->ptr_arg(e, 0), zero, 0, K_LANES);
	EVal b = e->load_vec(e, DT_F32, e->ptr_arg(e, 0), zero, K_LANES, K_LANES);
	for (int i = 0; i < nsums; i++)
		sum[i] = e->konst(e, DT_F32, i, K_LANES);
	e->loop_begin(e, zero, e->int_arg(e, 0), 1, false, nsums, sum);
	for (int i = 0; i < nsums; i++)
		sum[i] = e->ewise(e, EW_fma, DT_F32, sum[i], a, b);
	e->loop_end(e, nsums, sum);
	for (int i = 0; i < nsums; i++)
		e->store_vec(e, DT_F32, sum[i], e->ptr_arg(e, 1), zero, i * K_LANES, K_LANES);
	e->end(e);
}

static void run_fma(void *arg, uint32_t part, void *scratch)
{
	const FmaJob *job = arg;
	(void)scratch;
	job->loop(job->ab, job->out + (size_t)part * MAX_FMA_SUMS * K_LANES, job->trips);
}

static double best_gflops(RtPool *pool, FmaJob *job, int threads, double flops)
{
	double best = 0;
	for (int i = 0; i < 12; i++) {
		double start = now_ms();
		rt_pool_for(pool, (uint32_t)threads, run_fma, job);
		double gflops = flops * threads / (now_ms() - start) * 1e-6;
		best = gflops > best ? gflops : best;
	}
	return best;
}

static bool measure_fma(const CgOptions *o, RtPool *pool, Limits *out, Diag *d)
{
	int nsums = fma_sums(o->target), threads = rt_pool_threads(pool);
	CgModule *c = cg_new("fma", o, d);
	if (!c)
		return false;
	emit_fma_loop(cg_emitter(c), nsums);
	CgJit *j = cg_jit(c, d);
	if (!j)
		return false;
	Arena *a = arena_new();
	FmaJob job = {.trips = 1000000, .out = NEWN(a, float, threads *MAX_FMA_SUMS *K_LANES)};
	*(void **)&job.loop = cg_jit_symbol(j, "fma");
	for (int i = 0; i < 2 * K_LANES; i++)
		job.ab[i] = i < K_LANES ? 0.5f : 1.0f;
	double flops = 2.0 * K_LANES * nsums * (double)job.trips;
	out->fma_one = fmax(out->fma_one, best_gflops(pool, &job, 1, flops));
	out->fma_gflops = threads == 1 ? out->fma_one : fmax(out->fma_gflops, best_gflops(pool, &job, threads, flops));
	arena_free(a);
	cg_jit_free(j);
	return true;
}

/* ---- memory ---- */
static double measure_copy(void)
{
	enum { BYTES = 64 << 20 };
	double best = 0;
	unsigned char *from = malloc(BYTES), *to = malloc(BYTES);
	for (int i = 0; from && to && i < 6; i++) {
		memset(from, i, BYTES);
		double start = now_ms();
		memcpy(to, from, BYTES);
		double gbs = 2.0 * BYTES / (now_ms() - start) * 1e-6;
		best = to[i] == i && gbs > best ? gbs : best;
	}
	free(from);
	free(to);
	return best;
}

const char *limits_cpu(Arena *a)
{
	char line[256];
	const char *name = "unknown";
	FILE *f = fopen("/proc/cpuinfo", "r");
	while (f && fgets(line, sizeof(line), f)) {
		const char *colon = strchr(line, ':');
		if (strncmp(line, "model name", 10) == 0 && colon) {
			name = arena_strndup(a, colon + 2, strcspn(colon + 2, "\n"));
			break;
		}
	}
	if (f)
		fclose(f);
	return name;
}

bool limits_measure(const CgOptions *o, RtPool *pool, Limits *out, Diag *d)
{
	out->copy_gbs = fmax(out->copy_gbs, measure_copy());
	return measure_fma(o, pool, out, d);
}

/* ---- what the benchmarks share ---- */
static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

void bench_fill(const RtPort *port, unsigned char *data, int64_t n)
{
	uint32_t state = 1;
	int64_t count = n * (int64_t)port->row_bytes / rt_dtype_bytes(port->dtype);
	for (int64_t i = 0; i < count; i++) {
		if (port->dtype == RT_F32)
			((float *)(void *)data)[i] = (float)next_random(&state) * 0x1p-24f;
		else if (port->dtype == RT_U8)
			data[i] = (unsigned char)next_random(&state);
		else if (rt_dtype_bytes(port->dtype) == 4)
			((uint32_t *)(void *)data)[i] = (uint32_t)i;
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double bench_median(double *ms, int n)
{
	qsort(ms, (size_t)n, sizeof(*ms), by_value);
	return ms[n / 2];
}

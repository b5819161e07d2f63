/* shim.h -- the CUDA that cnnc's kernels use, on a CPU: the same text compiled as C11
 *
 * A block's threads run one after the other; those of kernels with barriers are fibers that change places at each of them.
 * Shared memory is one array for all blocks, filled with NaNs before each. SHIM_ORDER (forward, reverse, random) is the order in
 * which threads and blocks run: results must not depend on it. A barrier that not all threads of a block reach ends the process.
 */
#include <math.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

typedef struct ShimIndex { unsigned x, y, z; } ShimIndex;
static ShimIndex threadIdx, blockIdx;

#define CNNC_KERNEL(threads) static void
#define CNNC_SHARED static __attribute__((section("shim_shared")))
#define CNNC_RESTRICT restrict

/* ---- the functions of CUDA ---- */
static inline float __int_as_float(int v) { float f; memcpy(&f, &v, 4); return f; }
static inline float __uint_as_float(unsigned v) { float f; memcpy(&f, &v, 4); return f; }
static inline int __float_as_int(float f) { int v; memcpy(&v, &f, 4); return v; }
static inline unsigned __float_as_uint(float f) { unsigned v; memcpy(&v, &f, 4); return v; }
static inline double __longlong_as_double(long long v) { double d; memcpy(&d, &v, 8); return d; }
static inline float __fsqrt_rn(float v) { return sqrtf(v); }
static inline double __dsqrt_rn(double v) { return sqrt(v); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
static inline long long __double2ll_rz(double v)
{
	return v != v ? 0 : v >= 9223372036854775807.0 ? INT64_MAX : v <= -9223372036854775808.0 ? INT64_MIN : (long long)v;
}
static inline int __double2int_rz(double v) { return v != v ? 0 : v >= 2147483647.0 ? INT32_MAX : v <= -2147483648.0 ? INT32_MIN : (int)v; }
static inline unsigned __double2uint_rz(double v) { return !(v > 0) ? 0 : v >= 4294967295.0 ? UINT32_MAX : (unsigned)v; }
static inline int __float2int_rz(float v) { return __double2int_rz((double)v); }
static inline unsigned __float2uint_rz(float v) { return __double2uint_rz((double)v); }

/* ---- fibers ---- */
enum { SHIM_STACK = 64 << 10, SHIM_THREADS = 1024 };

typedef struct ShimFiber {
	ucontext_t context; /* its start; from then on jumps lead in and out, which need no system calls */
	jmp_buf jump;
	char *stack;
	unsigned thread;
	bool done;
} ShimFiber;

static ShimFiber shim_fiber[SHIM_THREADS];
static jmp_buf shim_scheduler;
static ShimFiber *shim_running;
static void (*shim_call)(void **);
static void **shim_arguments;

static inline void shim_leave(void)
{
	ShimFiber *me = shim_running;
	if (!_setjmp(me->jump))
		_longjmp(shim_scheduler, 1);
}

static inline void __syncthreads(void)
{
	shim_leave();
	threadIdx.x = shim_running->thread;
}

static inline void shim_body(void)
{
	for (;;) {
		shim_call(shim_arguments);
		shim_running->done = true;
		shim_leave();
	}
}

static inline void shim_resume(ShimFiber *f)
{
	shim_running = f;
	threadIdx.x = f->thread;
	if (_setjmp(shim_scheduler))
		return;
	if (f->stack)
		_longjmp(f->jump, 1);
	f->stack = malloc(SHIM_STACK);
	getcontext(&f->context);
	f->context.uc_stack.ss_sp = f->stack;
	f->context.uc_stack.ss_size = SHIM_STACK;
	makecontext(&f->context, shim_body, 0);
	setcontext(&f->context);
}

static inline unsigned shim_random(void)
{
	static uint64_t state = 1;
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33);
}

/* A permutation of 0 … n-1. */
static inline void shim_shuffle(unsigned *order, unsigned n)
{
	const char *want = getenv("SHIM_ORDER");
	for (unsigned i = 0; i < n; i++)
		order[i] = want && !strcmp(want, "reverse") ? n - 1 - i : i;
	for (unsigned i = n; want && !strcmp(want, "random") && i > 1; i--) {
		const unsigned j = shim_random() % i, t = order[i - 1];
		order[i - 1] = order[j];
		order[j] = t;
	}
}

extern char __start_shim_shared[] __attribute__((weak)), __stop_shim_shared[] __attribute__((weak));

static inline void shim_fibers(unsigned threads, const unsigned *order)
{
	for (unsigned t = 0; t < threads; t++) {
		shim_fiber[t].thread = t;
		shim_fiber[t].done = false;
	}
	unsigned here = threads; /* those that did not leave at once */
	for (unsigned left = threads, round = 0; left; round++) {
		for (unsigned i = 0; i < threads; i++) {
			if (shim_fiber[order[i]].done)
				continue;
			shim_resume(&shim_fiber[order[i]]);
			left -= shim_fiber[order[i]].done;
		}
		here = round == 0 ? left : here;
		if (left && left != here) {
			fprintf(stderr, "shim: %u of %u threads of a block left before a barrier\n", here - left, here);
			abort();
		}
	}
}

static inline void shim_launch(void (*call)(void **), bool barriers, unsigned gx, unsigned gy, unsigned threads, void **arguments)
{
	unsigned *block = malloc(sizeof(unsigned) * gx * gy), order[SHIM_THREADS];
	shim_shuffle(block, gx * gy);
	shim_call = call;
	shim_arguments = arguments;
	for (unsigned b = 0; b < gx * gy; b++) {
		blockIdx = (ShimIndex){block[b] % gx, block[b] / gx, 0};
		shim_shuffle(order, threads);
		if (__start_shim_shared)
			memset(__start_shim_shared, 0xff, (size_t)(__stop_shim_shared - __start_shim_shared));
		if (barriers) {
			shim_fibers(threads, order);
			continue;
		}
		for (unsigned t = 0; t < threads; t++) {
			threadIdx.x = order[t];
			call(arguments);
		}
	}
	free(block);
}

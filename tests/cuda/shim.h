/* shim.h -- the CUDA that cnnc's kernels use, on a CPU: the same text compiled as C11
 *
 * A block's threads run one after the other; those of kernels with barriers are fibers. A warp runs until all its lanes wait at a
 * barrier, then the next one does; lanes change places where they do something together (matrix instructions). Shared memory is
 * one array for all blocks, filled with NaNs before each. Copies to it are made as late as they may be, and leave NaNs until then.
 * SHIM_ORDER (forward, reverse, random) is the order in which lanes, warps and blocks run: results must not depend on it. A barrier
 * that not all threads of a block reach ends the process.
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
#define CNNC_ARRAY(type, name, count) type *const name = shim_array(sizeof(type) * (count))
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

static inline void shim_wrong(const char *what)
{
	fprintf(stderr, "shim: %s\n", what);
	abort();
}

/* ---- fibers ---- */
enum { SHIM_STACK = 64 << 10, SHIM_THREADS = 1024, SHIM_WARP = 32 };

typedef enum ShimWait { SHIM_BLOCK, SHIM_LANES, SHIM_DONE } ShimWait; /* for what a fiber left */

typedef struct ShimFiber {
	ucontext_t context; /* its start; from then on jumps lead in and out, which need no system calls */
	jmp_buf jump;
	char *stack;
	unsigned thread;
	ShimWait wait;
} ShimFiber;

static ShimFiber shim_fiber[SHIM_THREADS];
static jmp_buf shim_scheduler;
static ShimFiber *shim_running;
static void (*shim_call)(void **);
static void **shim_arguments;

/* ---- shared memory: arrays follow each other in the order in which a thread meets them, before anything else ---- */
enum { SHIM_SHARED = 48 << 10 };

static _Alignas(16) unsigned char shim_memory[SHIM_SHARED];
static size_t shim_at, shim_used;

static inline void *shim_array(size_t bytes)
{
	void *p = shim_memory + shim_at;
	shim_at += (bytes + 15) / 16 * 16;
	if (shim_at > SHIM_SHARED)
		shim_wrong("a block wants more shared memory than there is");
	shim_used = shim_at > shim_used ? shim_at : shim_used;
	return p;
}

static inline void shim_leave(ShimWait why)
{
	ShimFiber *me = shim_running;
	me->wait = why;
	if (!_setjmp(me->jump))
		_longjmp(shim_scheduler, 1);
	threadIdx.x = shim_running->thread;
}

static inline void __syncthreads(void)
{
	shim_leave(SHIM_BLOCK);
}

static inline void shim_body(void)
{
	for (;;) {
		shim_at = 0;
		shim_call(shim_arguments);
		shim_leave(SHIM_DONE);
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

/* ---- copies to shared memory: made when the thread waits for them, until then what is there is no number ---- */
enum { SHIM_COPIES = 4096, SHIM_GROUPS = 8 };

typedef struct ShimCopy { unsigned char *to; const unsigned char *from; int bytes; bool inside; } ShimCopy;
typedef struct ShimQueue { /* of a thread */
	ShimCopy copy[SHIM_COPIES];
	int first[SHIM_GROUPS + 1], groups, n; /* first copy of each closed group, and of the open one */
} ShimQueue;

static ShimQueue *shim_queue[SHIM_THREADS];

static inline ShimQueue *shim_own_queue(void)
{
	ShimQueue **q = &shim_queue[threadIdx.x];
	if (!*q)
		*q = calloc(1, sizeof **q);
	return *q;
}

static inline void shim_copy(void *to, const void *from, int bytes, bool inside)
{
	ShimQueue *q = shim_own_queue();
	if (q->n == SHIM_COPIES || (uintptr_t)to % (unsigned)bytes || (inside && (uintptr_t)from % (unsigned)bytes))
		shim_wrong("a copy to shared memory is not aligned, or one of too many");
	if (inside) /* as it is read by then: must be readable now */
		*(volatile const unsigned char *)from;
	memset(to, 0xff, (size_t)bytes);
	q->copy[q->n++] = (ShimCopy){to, from, bytes, inside};
}

static inline void cnnc_copy16(void *to, const void *from, bool inside) { shim_copy(to, from, 16, inside); }
static inline void cnnc_copy8(void *to, const void *from, bool inside) { shim_copy(to, from, 8, inside); }
static inline void cnnc_copy4(void *to, const void *from, bool inside) { shim_copy(to, from, 4, inside); }
static inline void cnnc_copy2(void *to, const void *from, bool inside)
{
	*(unsigned short *)to = inside ? *(const unsigned short *)from : (unsigned short)0;
}

static inline void cnnc_copies_close(void)
{
	ShimQueue *q = shim_own_queue();
	if (q->groups == SHIM_GROUPS)
		shim_wrong("too many groups of copies");
	q->first[++q->groups] = q->n;
}

static inline void cnnc_copies_wait(int behind)
{
	ShimQueue *q = shim_own_queue();
	const int groups = q->groups > behind ? q->groups - behind : 0, n = q->first[groups];
	for (int i = 0; i < n; i++) {
		const ShimCopy *c = &q->copy[i];
		c->inside ? memcpy(c->to, c->from, (size_t)c->bytes) : memset(c->to, 0, (size_t)c->bytes);
	}
	memmove(q->copy, q->copy + n, sizeof *q->copy * (size_t)(q->n - n));
	q->n -= n;
	for (int i = 0; i <= q->groups - groups; i++)
		q->first[i] = q->first[i + groups] - n;
	q->groups -= groups;
}

/* ---- what lanes of a warp do together: each brings its part, then all of them go on ---- */
typedef struct ShimLane { unsigned a[4], b[2]; const void *row; } ShimLane;
static ShimLane shim_lane[2][SHIM_THREADS];
static unsigned shim_turn[SHIM_THREADS]; /* a lane that is ahead must not write what others still read */

static inline ShimLane *shim_meet(const ShimLane *mine)
{
	const unsigned me = threadIdx.x, turn = shim_turn[me]++ % 2;
	shim_lane[turn][me] = *mine;
	shim_leave(SHIM_LANES);
	return &shim_lane[turn][me / SHIM_WARP * SHIM_WARP];
}

static inline float shim_bf16(unsigned v) { return __uint_as_float(v << 16); }

/* To nearest, ties away from zero: ten bits of fraction. SHIM_EXACT: all bits stay, so that all else can be compared closely. */
static inline unsigned cnnc_tf32(float v)
{
#ifdef SHIM_EXACT
	return __float_as_uint(v);
#endif
	const unsigned u = __float_as_uint(v);
	return v != v ? 0x7fffffff : (u + 0x1000u) & ~0x1fffu;
}

static inline void cnnc_mma_tf32(float *c, const unsigned *a, const unsigned *b)
{
	const ShimLane *l = shim_meet(&(ShimLane){.a = {a[0], a[1], a[2], a[3]}, .b = {b[0], b[1]}});
	const unsigned me = threadIdx.x % SHIM_WARP;
	for (unsigned q = 0; q < 4; q++) {
		const unsigned row = me / 4, half = q / 2, col = me % 4 * 2 + q % 2;
		double sum = (double)c[q];
		for (unsigned k = 0; k < 8; k++)
			sum += (double)__uint_as_float(l[row * 4 + k % 4].a[half + k / 4 * 2]) * (double)__uint_as_float(l[col * 4 + k % 4].b[k / 4]);
		c[q] = (float)sum;
	}
}

static inline void cnnc_mma_bf16(float *c, const unsigned *a, const unsigned *b)
{
	const ShimLane *l = shim_meet(&(ShimLane){.a = {a[0], a[1], a[2], a[3]}, .b = {b[0], b[1]}});
	const unsigned me = threadIdx.x % SHIM_WARP;
	for (unsigned q = 0; q < 4; q++) {
		const unsigned row = me / 4, half = q / 2, col = me % 4 * 2 + q % 2;
		double sum = (double)c[q];
		for (unsigned k = 0; k < 16; k++) {
			const unsigned x = l[row * 4 + k % 8 / 2].a[half + k / 8 * 2], y = l[col * 4 + k % 8 / 2].b[k / 8], shift = k % 2 * 16;
			sum += (double)shim_bf16(x >> shift & 0xffff) * (double)shim_bf16(y >> shift & 0xffff);
		}
		c[q] = (float)sum;
	}
}

static inline void shim_ldmatrix(unsigned *r, const void *row, bool turned)
{
	const ShimLane *l = shim_meet(&(ShimLane){.row = row});
	const unsigned me = threadIdx.x % SHIM_WARP, i = me / 4, j = me % 4 * 2;
	if ((uintptr_t)row % 16)
		shim_wrong("a row of ldmatrix is not aligned");
	for (unsigned m = 0; m < 4; m++) {
		const unsigned short *first = l[m * 8 + (turned ? j : i)].row, *second = l[m * 8 + (turned ? j + 1 : i)].row;
		r[m] = first[turned ? i : j] | (unsigned)second[turned ? i : j + 1] << 16;
	}
}

static inline void cnnc_ldmatrix(unsigned *r, const void *row) { shim_ldmatrix(r, row, false); }
static inline void cnnc_ldmatrix_trans(unsigned *r, const void *row) { shim_ldmatrix(r, row, true); }

typedef struct __attribute__((aligned(16))) CnncFour { float v[4]; } CnncFour;

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

/* A warp until all its lanes wait for the block, or are done; those that wait for each other go on together. Lanes may leave at
 * once (first), later only all of them. */
static inline ShimWait shim_warp(unsigned warp, unsigned threads, const unsigned *lane, bool first)
{
	for (ShimWait all = SHIM_LANES; all == SHIM_LANES; first = false) {
		all = SHIM_DONE;
		for (unsigned i = 0; i < SHIM_WARP; i++) {
			const unsigned thread = warp * SHIM_WARP + lane[i];
			ShimFiber *f = &shim_fiber[thread];
			if (thread >= threads || f->wait == SHIM_DONE)
				continue;
			shim_resume(f);
			if (f->wait == SHIM_DONE && first)
				continue;
			if (all != SHIM_DONE && f->wait != all)
				shim_wrong("lanes of a warp wait for different things");
			all = f->wait;
		}
		if (all == SHIM_DONE || all == SHIM_BLOCK)
			return all;
	}
	return SHIM_DONE;
}

/* Warps run one after the other from barrier to barrier, each as far as it can. Some may leave at once. */
static inline void shim_fibers(unsigned threads, const unsigned *warp, const unsigned *lane)
{
	const unsigned warps = (threads + SHIM_WARP - 1) / SHIM_WARP;
	bool done[SHIM_THREADS / SHIM_WARP] = {false};
	unsigned left = warps, here = warps;
	for (unsigned t = 0; t < threads; t++) {
		shim_fiber[t].thread = t;
		shim_fiber[t].wait = SHIM_BLOCK;
	}
	for (bool first = true; left; first = false) {
		for (unsigned i = 0; i < warps; i++) {
			if (done[warp[i]])
				continue;
			done[warp[i]] = shim_warp(warp[i], threads, lane, first) == SHIM_DONE;
			left -= done[warp[i]];
		}
		here = first ? left : here;
		if (left && left != here)
			shim_wrong("some warps of a block left before a barrier");
	}
}

static inline void shim_launch(void (*call)(void **), bool barriers, unsigned gx, unsigned gy, unsigned threads, void **arguments)
{
	unsigned *block = malloc(sizeof(unsigned) * gx * gy), order[SHIM_THREADS], lane[SHIM_WARP];
	shim_shuffle(block, gx * gy);
	shim_call = call;
	shim_arguments = arguments;
	shim_used = SHIM_SHARED;
	for (unsigned b = 0; b < gx * gy; b++) {
		blockIdx = (ShimIndex){block[b] % gx, block[b] / gx, 0};
		memset(shim_memory, 0xff, shim_used);
		shim_used = 0;
		if (barriers) {
			shim_shuffle(order, (threads + SHIM_WARP - 1) / SHIM_WARP);
			shim_shuffle(lane, SHIM_WARP);
			shim_fibers(threads, order, lane);
			continue;
		}
		shim_shuffle(order, threads);
		for (unsigned t = 0; t < threads; t++) {
			threadIdx.x = order[t];
			shim_at = 0;
			call(arguments);
		}
	}
	free(block);
}

/* pool.c -- the thread pool: a ticket hands out parts, a countdown tells when all have run
 *
 * `ticket` holds (generation << 32 | parts not yet taken). A thread takes a part by lowering it with compare-and-swap,
 * so it can only ever own a part of the job whose fields it then reads: the job can't end before that part has run.
 * `left` counts parts not yet finished; the caller returns when it is 0.
 */
#include "runtime/pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "runtime/sys.h"

enum { SPIN_NS = 50000, SPINS_PER_LOOK = 64 };

typedef struct Worker {
	RtPool *pool;
	pthread_t thread;
	void *scratch;
	size_t scratch_bytes;
} Worker;

struct RtPool {
	_Alignas(64) _Atomic uint64_t ticket;
	_Alignas(64) _Atomic uint32_t left;
	_Alignas(64) _Atomic uint32_t wake; /* futex: bumped with each job and at the end */
	_Atomic uint32_t sleepers;
	_Atomic uint32_t caller_sleeps;
	_Atomic bool quit;
	RtTaskFn *fn;
	void *arg;
	uint32_t parts, generation;
	int threads, started; /* started: workers that run, without the caller */
	int64_t spin_ns; /* 0 where there are more threads than CPUs: spinning would only keep others from working */
	Worker *worker;  /* [threads]; the last one is the caller's */
};

static void futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

/* Takes one part of the current job; false when none is left. */
static bool take(RtPool *p, uint32_t *part)
{
	uint64_t t = atomic_load_explicit(&p->ticket, memory_order_acquire);
	while ((uint32_t)t) {
		if (atomic_compare_exchange_weak_explicit(&p->ticket, &t, t - 1, memory_order_acquire,
							  memory_order_acquire)) {
			*part = p->parts - (uint32_t)t;
			return true;
		}
	}
	return false;
}

static void work(RtPool *p, const Worker *w)
{
	uint32_t part;
	while (take(p, &part)) {
		/* scratch may have grown since the last job: looked up only while a part is held */
		p->fn(p->arg, part, w->scratch);
		if (atomic_fetch_sub_explicit(&p->left, 1, memory_order_seq_cst) == 1 &&
		    atomic_load_explicit(&p->caller_sleeps, memory_order_seq_cst))
			futex_wake(&p->left, 1);
	}
}

/* True when the word changed from `seen` while spinning. */
static bool spin(const RtPool *p, _Atomic uint32_t *word, uint32_t seen)
{
	if (p->spin_ns == 0)
		return atomic_load_explicit(word, memory_order_acquire) != seen;
	int64_t until = rt_sys.monotonic_ns() + p->spin_ns;
	do {
		for (int i = 0; i < SPINS_PER_LOOK; i++) {
			if (atomic_load_explicit(word, memory_order_acquire) != seen)
				return true;
			relax();
		}
	} while (rt_sys.monotonic_ns() < until);
	return false;
}

static void *worker_main(void *arg)
{
	Worker *w = arg;
	RtPool *p = w->pool;
	for (;;) {
		uint32_t seen = atomic_load(&p->wake);
		work(p, w);
		if (atomic_load(&p->quit))
			return NULL;
		if (spin(p, &p->wake, seen))
			continue;
		atomic_fetch_add(&p->sleepers, 1);
		if (atomic_load(&p->wake) == seen)
			futex_wait(&p->wake, seen);
		atomic_fetch_sub(&p->sleepers, 1);
	}
}

void rt_pool_for(RtPool *p, uint32_t parts, RtTaskFn *fn, void *arg)
{
	const Worker *self = &p->worker[p->threads - 1];
	if (p->started == 0 || parts <= 1) {
		for (uint32_t i = 0; i < parts; i++)
			fn(arg, i, self->scratch);
		return;
	}
	p->fn = fn;
	p->arg = arg;
	p->parts = parts;
	atomic_store(&p->left, parts);
	atomic_store(&p->ticket, (uint64_t)++p->generation << 32 | parts);
	atomic_fetch_add(&p->wake, 1);
	if (atomic_load(&p->sleepers))
		futex_wake(&p->wake, (int)(parts - 1 < INT_MAX ? parts - 1 : INT_MAX));
	work(p, self);
	for (uint32_t left; (left = atomic_load(&p->left)) != 0;) {
		if (spin(p, &p->left, left))
			continue;
		atomic_store(&p->caller_sleeps, 1);
		left = atomic_load(&p->left);
		if (left)
			futex_wait(&p->left, left);
		atomic_store(&p->caller_sleeps, 0);
	}
}

/* Signals go to the thread that runs the loop, never to a worker. */
static RtStatus start_workers(RtPool *p)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int error = 0;
	while (p->started < p->threads - 1 && error == 0) {
		Worker *w = &p->worker[p->started];
		error = pthread_create(&w->thread, NULL, worker_main, w);
		if (error == 0)
			p->started++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error)
		return rt_fail(RT_NOMEM, "cannot start %d threads: %s", p->threads, strerror(error));
	return RT_OK;
}

RtStatus rt_pool_reserve(RtPool *p, size_t bytes)
{
	for (int i = 0; i < p->threads; i++) {
		Worker *w = &p->worker[i];
		if (bytes <= w->scratch_bytes)
			continue;
		void *bigger = rt_sys.slab(bytes);
		if (!bigger)
			return rt_fail(RT_NOMEM, "out of memory: %zu bytes of scratch for each of %d threads", bytes,
				       p->threads);
		if (w->scratch)
			rt_sys.slab_free(w->scratch, w->scratch_bytes);
		w->scratch = bigger;
		w->scratch_bytes = bytes;
	}
	return RT_OK;
}

RtStatus rt_pool_new(int threads, size_t scratch_bytes, RtPool **out)
{
	*out = NULL;
	if (threads <= 0)
		threads = rt_cpu_count();
	if (threads > RT_MAX_THREADS)
		threads = RT_MAX_THREADS;
	RtPool *p = rt_sys.slab(sizeof *p);
	if (!p)
		return rt_fail(RT_NOMEM, "out of memory for the thread pool");
	p->threads = threads;
	p->spin_ns = threads <= rt_cpu_count() ? SPIN_NS : 0;
	p->worker = rt_sys.alloc((size_t)threads * sizeof *p->worker);
	RtStatus s = p->worker ? RT_OK : rt_fail(RT_NOMEM, "out of memory for %d threads", threads);
	for (int i = 0; p->worker && i < threads; i++)
		p->worker[i].pool = p;
	if (s == RT_OK)
		s = rt_pool_reserve(p, scratch_bytes ? scratch_bytes : RT_ALIGN);
	if (s == RT_OK)
		s = start_workers(p);
	if (s != RT_OK)
		rt_pool_free(p);
	else
		*out = p;
	return s;
}

void rt_pool_free(RtPool *p)
{
	if (!p)
		return;
	atomic_store(&p->quit, true);
	atomic_fetch_add(&p->wake, 1);
	futex_wake(&p->wake, INT_MAX);
	for (int i = 0; i < p->started; i++)
		pthread_join(p->worker[i].thread, NULL);
	for (int i = 0; p->worker && i < p->threads; i++) {
		if (p->worker[i].scratch)
			rt_sys.slab_free(p->worker[i].scratch, p->worker[i].scratch_bytes);
	}
	rt_sys.release(p->worker);
	rt_sys.slab_free(p, sizeof *p);
}

int rt_pool_threads(const RtPool *p)
{
	return p->threads;
}

/* CPUs that the cgroup's quota allows, rounded up; 0 where there is no quota. v2: "max 100000" or "200000 100000". */
static int cgroup_cpus(void)
{
	char text[128] = "";
	int fd = rt_sys.open("/sys/fs/cgroup/cpu.max", 0, 0);
	if (fd < 0)
		return 0;
	ssize_t n = rt_sys.read(fd, text, sizeof text - 1);
	rt_sys.close(fd);
	long long quota, period;
	if (n <= 0 || sscanf(text, "%lld %lld", &quota, &period) != 2 || quota <= 0 || period <= 0)
		return 0;
	long long cpus = (quota + period - 1) / period;
	return cpus > RT_MAX_THREADS ? RT_MAX_THREADS : (int)cpus;
}

int rt_cpu_count(void)
{
	cpu_set_t set;
	int n = 1;
	if (sched_getaffinity(0, sizeof set, &set) == 0)
		n = CPU_COUNT(&set);
	else if (sysconf(_SC_NPROCESSORS_ONLN) > 0)
		n = (int)sysconf(_SC_NPROCESSORS_ONLN);
	int quota = cgroup_cpus();
	if (quota > 0 && quota < n)
		n = quota;
	return n < 1 ? 1 : n;
}

/* parallel.c -- jobs that know nothing of each other, on several threads: a counter that the threads share */
#include "ir/parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Code generators recurse deeply, and the system's default may be small. */
enum { STACK_BYTES = 64 << 20 };

typedef struct Work {
	atomic_int next;
	int njobs;
	ParallelJob *job;
	void *cx;
} Work;

typedef struct Thread {
	pthread_t id;
	int number;
	Work *work;
} Thread;

static void *take_jobs(void *arg)
{
	const Thread *t = arg;
	Work *w = t->work;
	for (int i = atomic_fetch_add(&w->next, 1); i < w->njobs; i = atomic_fetch_add(&w->next, 1))
		w->job(w->cx, i, t->number);
	return NULL;
}

int parallel_threads(int threads, int njobs)
{
	int n = threads < njobs ? threads : njobs;
	return n < 1 ? 1 : n > PARALLEL_MAX ? PARALLEL_MAX : n;
}

void parallel_run(int threads, int njobs, ParallelJob *job, void *cx)
{
	Work w = {.njobs = njobs, .job = job, .cx = cx};
	Thread thread[PARALLEL_MAX] = {{.work = &w}};
	pthread_attr_t attr;
	int n = 1, most = parallel_threads(threads, njobs);
	bool more = most > 1 && pthread_attr_init(&attr) == 0;
	if (more)
		pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (bool ok = more; ok && n < most; n += ok) {
		thread[n] = (Thread){.number = n, .work = &w};
		ok = pthread_create(&thread[n].id, &attr, take_jobs, &thread[n]) == 0;
	}
	if (more)
		pthread_attr_destroy(&attr);
	take_jobs(&thread[0]);
	for (int i = 1; i < n; i++)
		pthread_join(thread[i].id, NULL);
}

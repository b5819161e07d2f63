/* pool.c -- every part runs once, whatever the number of threads; waiting and waking lose nothing */
#include <check.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/pool.h"
#include "tests/support/suite.h"

enum { PARTS = 1000, MOST_THREADS = 8 };

typedef struct Job {
	atomic_int runs[PARTS];
	void *scratch[PARTS];
} Job;

static void count(void *arg, uint32_t part, void *scratch)
{
	Job *job = arg;
	atomic_fetch_add(&job->runs[part], 1);
	job->scratch[part] = scratch;
	memset(scratch, (int)part, 64);
}

START_TEST(every_part_runs_once)
{
	static const uint32_t sizes[] = {0, 1, 2, 7, 64, PARTS};
	RtPool *pool;
	ck_assert_int_eq(rt_pool_new(_i, 100, &pool), RT_OK);
	ck_assert_int_eq(rt_pool_threads(pool), _i);
	Job *job = malloc(sizeof *job);
	for (int round = 0; round < 200; round++) {
		uint32_t n = sizes[round % 6];
		memset(job, 0, sizeof *job);
		rt_pool_for(pool, n, count, job);
		for (uint32_t i = 0; i < PARTS; i++)
			ck_assert_int_eq(atomic_load(&job->runs[i]), i < n);
		if (round % 50 == 49)
			usleep(2000); /* workers fall asleep */
	}
	free(job);
	rt_pool_free(pool);
}
END_TEST

/* Phases in a row, each reading what the one before wrote: the barrier orders memory too. */
static void add_neighbours(void *arg, uint32_t part, void *scratch)
{
	long **v = arg;
	(void)scratch;
	v[1][part] = v[0][part] + v[0][(part + 1) % 64];
}

START_TEST(phases_see_the_phase_before)
{
	RtPool *pool;
	long a[64], b[64], *v[2];
	ck_assert_int_eq(rt_pool_new(4, 0, &pool), RT_OK);
	for (int i = 0; i < 64; i++)
		a[i] = 1;
	for (int phase = 0; phase < 5000; phase++) {
		v[0] = phase % 2 ? b : a;
		v[1] = phase % 2 ? a : b;
		rt_pool_for(pool, 64, add_neighbours, v);
		for (int i = 0; i < 64; i++) {
			ck_assert_int_eq(v[1][i], 2);
			v[1][i] = 1;
		}
	}
	rt_pool_free(pool);
}
END_TEST

START_TEST(scratch_grows)
{
	RtPool *pool;
	ck_assert_int_eq(rt_pool_new(2, 64, &pool), RT_OK);
	ck_assert_int_eq(rt_pool_reserve(pool, 1 << 20), RT_OK);
	ck_assert_int_eq(rt_pool_reserve(pool, 100), RT_OK);
	Job *job = calloc(1, sizeof *job);
	rt_pool_for(pool, 10, count, job);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq((uintptr_t)job->scratch[i] % RT_ALIGN, 0);
	free(job);
	rt_pool_free(pool);
	rt_pool_free(NULL);
}
END_TEST

START_TEST(default_threads_follow_the_affinity_mask)
{
	cpu_set_t one, old;
	ck_assert_int_eq(sched_getaffinity(0, sizeof old, &old), 0);
	ck_assert_int_le(rt_cpu_count(), CPU_COUNT(&old));
	ck_assert_int_ge(rt_cpu_count(), 1);
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET(i, &old)) {
			CPU_SET(i, &one);
			break;
		}
	}
	ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
	ck_assert_int_eq(rt_cpu_count(), 1);
	sched_setaffinity(0, sizeof old, &old);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pool");
	TCase *c = tcase_create("pool");
	tcase_add_loop_test(c, every_part_runs_once, 1, MOST_THREADS + 1);
	tcase_add_test(c, phases_see_the_phase_before);
	tcase_add_test(c, scratch_grows);
	tcase_add_test(c, default_threads_follow_the_affinity_mask);
	tcase_set_timeout(c, 120);
	suite_add_tcase(s, c);
	return suite_run(s);
}

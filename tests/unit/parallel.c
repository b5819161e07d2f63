/* parallel.c -- each job once, in order where one thread works, by threads that tell who they are */
#include <check.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include "ir/parallel.h"
#include "tests/support/suite.h"

enum { JOBS = 1000 };

typedef struct Seen {
	atomic_int runs[JOBS], by[PARALLEL_MAX], next;
	atomic_bool ordered;
} Seen;

static void note(void *cx, int job, int thread)
{
	Seen *s = cx;
	atomic_fetch_add(&s->runs[job], 1);
	atomic_fetch_add(&s->by[thread], 1);
	if (atomic_fetch_add(&s->next, 1) != job)
		s->ordered = false;
}

static void one_thread_in_order(void)
{
	static const int threads[] = {-1, 0, 1};
	for (int t = 0; t < 3; t++) {
		Seen s = {.ordered = true};
		parallel_run(threads[t], JOBS, note, &s);
		ck_assert(s.ordered);
		ck_assert_int_eq(s.by[0], JOBS);
	}
}

START_TEST(each_once)
{
	static const int threads[] = {2, 3, 8, 5000};
	for (int t = 0; t < 4; t++) {
		Seen s = {.ordered = true};
		int sum = 0;
		parallel_run(threads[t], JOBS, note, &s);
		for (int i = 0; i < JOBS; i++)
			ck_assert_int_eq(s.runs[i], 1);
		for (int i = 0; i < PARALLEL_MAX; i++)
			sum += i < parallel_threads(threads[t], JOBS) ? s.by[i] : 0;
		ck_assert_int_eq(sum, JOBS);
	}
	one_thread_in_order();
}
END_TEST

START_TEST(few_jobs)
{
	Seen s = {.ordered = true};
	parallel_run(4, 0, note, &s);
	ck_assert_int_eq(s.next, 0);
	parallel_run(4, 2, note, &s);
	ck_assert_int_eq(s.runs[0] + s.runs[1], 2);
	ck_assert_int_eq(s.by[0] + s.by[1], 2);
	ck_assert_int_eq(parallel_threads(4, 2), 2);
	ck_assert_int_eq(parallel_threads(4, 0), 1);
	ck_assert_int_eq(parallel_threads(0, 7), 1);
	ck_assert_int_eq(parallel_threads(1 << 20, 1 << 20), PARALLEL_MAX);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("parallel");
	TCase *c = tcase_create("parallel");
	tcase_add_test(c, each_once);
	tcase_add_test(c, few_jobs);
	suite_add_tcase(s, c);
	return suite_run(s);
}

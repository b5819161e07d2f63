/* cpu.c -- which of the carried levels is chosen at start, and what is said where none fits */
#include "runtime/cpu.h"
#include "tests/support/suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS "far near base"
static const RtModel far = {.target = "far", .levels = LEVELS, .cpu_needs = "sse3 avx512vp2intersect9 avx10"};
static const RtModel near = {.target = "near", .levels = LEVELS, .cpu_needs = ""};
static const RtModel base = {.target = "base", .levels = LEVELS};
static const RtModel alone = {.target = "alone", .cpu_needs = "sse3"};

static bool has_all(const char *needs)
{
	return rt_cpu_check(&(RtModel){.target = "x", .cpu_needs = needs}) == RT_OK;
}

START_TEST(the_best_that_runs)
{
	const RtModel *const models[] = {&far, &near, &base, NULL}, *got = NULL;
	ck_assert_int_eq(unsetenv("CNNC_CPU"), 0);
	ck_assert_int_eq(rt_cpu_choose(models, &got), RT_OK);
	ck_assert_ptr_eq(got, &far); /* names that can't be asked for decide nothing */
	if (has_all("avx512vbmi avx512bf16 avx512vnni"))
		return;
	RtModel hard = far;
	hard.cpu_needs = "avx512vbmi avx512bf16 avx512vnni";
	const RtModel *const harder[] = {&hard, &near, &base, NULL};
	ck_assert_int_eq(rt_cpu_choose(harder, &got), RT_OK);
	ck_assert_ptr_eq(got, &near);
	const RtModel *const none[] = {&hard, NULL};
	ck_assert_int_eq(rt_cpu_choose(none, &got), RT_OK);
	ck_assert_ptr_eq(got, &hard);
	ck_assert_int_eq(rt_cpu_check(got), RT_DEVICE);
	ck_assert_ptr_nonnull(strstr(rt_message(), "compiled for far, and this CPU lacks avx512"));
}
END_TEST

START_TEST(the_environment_decides)
{
	const RtModel *const models[] = {&far, &near, &base, NULL}, *const one[] = {&alone, NULL}, *got = NULL;
	setenv("CNNC_CPU", "base", 1);
	ck_assert_int_eq(rt_cpu_choose(models, &got), RT_OK);
	ck_assert_ptr_eq(got, &base);
	setenv("CNNC_CPU", "nowhere", 1);
	ck_assert_int_eq(rt_cpu_choose(models, &got), RT_USAGE);
	ck_assert_str_eq(rt_message(), "CNNC_CPU is 'nowhere', and this program carries code for far near base");
	ck_assert_int_eq(rt_cpu_choose(one, &got), RT_USAGE);
	ck_assert_ptr_nonnull(strstr(rt_message(), "for alone"));
	setenv("CNNC_CPU", "", 1);
	ck_assert_int_eq(rt_cpu_choose(one, &got), RT_OK);
	ck_assert_ptr_eq(got, &alone);
}
END_TEST

START_TEST(what_is_carried_is_said)
{
	char text[100] = "";
	FILE *f = fmemopen(text, sizeof text, "w");
	rt_cpu_print(&near, f);
	fputc(';', f);
	rt_cpu_print(&alone, f);
	fclose(f);
	ck_assert_str_eq(text, "near (carried: far near base);alone");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cpu");
	TCase *c = tcase_create("cpu");
	tcase_add_test(c, the_best_that_runs);
	tcase_add_test(c, the_environment_decides);
	tcase_add_test(c, what_is_carried_is_said);
	suite_add_tcase(s, c);
	return suite_run(s);
}

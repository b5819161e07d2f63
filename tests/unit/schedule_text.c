/* schedule_text.c -- schedule files: text and back, what is refused and where, any bytes */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "passes/tile.h"
#include "tests/support/suite.h"

#define HEAD "cnnc schedules 1\n"
#define LINE "8c31f0e2a95b7d64 x86-64-v4 " CNNC_VERSION " : tile : "

static ScheduleFile *parse(const char *text, size_t n, Arena *a, char *said, size_t room)
{
	Diag *d = diag_new();
	diag_source(d, "f", text, n);
	ScheduleFile *s = schedule_parse("f", text, n, a, d);
	ck_assert((s != NULL) == (diag_errors(d) == 0));
	FILE *f = fmemopen(said, room, "w");
	diag_print(d, f);
	fclose(f);
	diag_free(d);
	return s;
}

static char *print(const ScheduleFile *s)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	schedule_print(s, f);
	fclose(f);
	return text;
}

START_TEST(there_and_back)
{
	static const char *const text[] = {
		HEAD,
		HEAD LINE ": 0 -\n",
		HEAD "# conv2d\n" LINE "loop a0 a3/32 a1 unroll a2 a3/16 vector a3/16 : 118000 AMD EPYC 9\n",
		HEAD LINE "loop a15/2147483647 : 9007199254740992 m\n# x\n0000000000000000 other 9 : pass : vector a1/16 : 1 m\n",
	};
	char said[4096];
	for (size_t i = 0; i < COUNT(text); i++) {
		Arena *a = arena_new();
		ScheduleFile *s = parse(text[i], strlen(text[i]), a, said, sizeof said);
		ck_assert_msg(s != NULL, "%s", said);
		char *again = print(s);
		ck_assert_str_eq(again, text[i]);
		free(again);
		arena_free(a);
	}
}
END_TEST

START_TEST(other_forms)
{
	static const char text[] = HEAD "\r\n  \n#\n  " LINE " loop  a1/1\t: 7   x  y \r\n" LINE "loop a2 : 8 z";
	char said[4096];
	Arena *a = arena_new();
	ScheduleFile *s = parse(text, strlen(text), a, said, sizeof said);
	ck_assert_msg(s != NULL, "%s", said);
	ck_assert_int_eq(s->n, 1); /* the second line of the same kernel counts */
	ck_assert_int_eq(s->line[0]->sched.loop[0].axis, 2);
	ck_assert_str_eq(s->line[0]->machine, "z");
	ck_assert_ptr_eq(schedule_find(s, 0x8c31f0e2a95b7d64, "x86-64-v4", "tile"), s->line[0]);
	ck_assert_ptr_null(schedule_find(s, 0x8c31f0e2a95b7d64, "x86-64-v3", "tile"));
	ck_assert_ptr_null(schedule_find(s, 1, "x86-64-v4", "tile"));
	arena_free(a);
}
END_TEST

START_TEST(mistakes)
{
	static const struct { const char *text, *want; } t[] = {
		{"", "f:1:1: error: this is no schedule file"},
		{"cnnc schedules 2\n", "f:1:1: error: this is no schedule file"},
		{HEAD "8c31\n", "f:2:1: error: a kernel's hash"},
		{HEAD "8C31F0E2A95B7D64 t v : tile : : 1 m\n", "f:2:1: error: a kernel's hash"},
		{HEAD "8c31f0e2a95b7d64\n", "f:2:17: error: a target"},
		{HEAD "8c31f0e2a95b7d64 : v : tile : : 1 m\n", "f:2:18: error: a target"},
		{HEAD "8c31f0e2a95b7d64 t v tile : : 1 m\n", "f:2:22: error: a ':'"},
		{HEAD "8c31f0e2a95b7d64 t v : tile : a0 : 1 m\n", "f:2:31: error: loop, unroll or vector"},
		{HEAD "8c31f0e2a95b7d64 t v : tile : loop b0 : 1 m\n", "f:2:36: error: an axis"},
		{HEAD "8c31f0e2a95b7d64 t v : tile : loop a16 : 1 m\n", "f:2:36: error: an axis"},
		{HEAD "8c31f0e2a95b7d64 t v : tile : loop a0/0 : 1 m\n", "f:2:36: error: an axis"},
		{HEAD "8c31f0e2a95b7d64 t v : tile : loop a0/2147483648 : 1 m\n", "f:2:36: error: an axis"},
		{HEAD "8c31f0e2a95b7d64 t v : tile : loop a0/ : 1 m\n", "f:2:36: error: an axis"},
		{HEAD "8c31f0e2a95b7d64 t v : tile : loop a0 a0 a0 a0 a0 a0 a0 a0 a0 a0 a0 a0 a0 a0 a0 a0 a0 a0 a0 a0 a0 a0 a0 a0 a0 : 1 m\n",
		 "error: too many loops"},
		{HEAD "8c31f0e2a95b7d64 t v : tile : loop a0", "f:2:38: error: the line ends"},
		{HEAD "8c31f0e2a95b7d64 t v : tile : loop a0 : -1 m\n", "f:2:41: error: nanoseconds"},
		{HEAD "8c31f0e2a95b7d64 t v : tile : loop a0 : 99999999999999999999 m\n", "f:2:41: error: nanoseconds"},
		{HEAD "8c31f0e2a95b7d64 t v : tile : loop a0 : 1\n", "error: the machine"},
	};
	for (size_t i = 0; i < COUNT(t); i++) {
		char said[4096] = "";
		Arena *a = arena_new();
		ck_assert_ptr_null(parse(t[i].text, strlen(t[i].text), a, said, sizeof said));
		ck_assert_msg(strstr(said, t[i].want), "'%s' said: %s", t[i].text, said);
		arena_free(a);
	}
}
END_TEST

/* A good file with bytes changed, cut and doubled: read or refused, nothing else. */
START_TEST(any_bytes)
{
	static const char good[] = HEAD "# conv2d\n" LINE "loop a0 a3/32 a1 unroll a2 a3/16 vector a3/16 : 118000 AMD EPYC\n" LINE
	                                ": 1 x\n";
	uint32_t state = (uint32_t)_i;
	for (int round = 0; round < 2000; round++) {
		char text[sizeof good], said[4096];
		size_t n = sizeof good - 1;
		memcpy(text, good, sizeof good);
		for (int change = 0; change < 1 + round % 4; change++) {
			state = state * 1664525u + 1013904223u;
			text[(state >> 8) % n] = (char)(state >> 3);
		}
		if (round % 3 == 0)
			n = (state >> 5) % n;
		Arena *a = arena_new();
		parse(text, n, a, said, sizeof said);
		arena_free(a);
	}
}
END_TEST

START_TEST(names_stay_on_their_line)
{
	char said[4096];
	Arena *a = arena_new();
	ScheduleFile *s = schedule_new(a);
	schedule_put(s, &(ScheduleLine){.target = "a b", .version = "", .pass = "p", .machine = "x\ny", .name = "two\nlines"});
	char *text = print(s);
	ScheduleFile *back = parse(text, strlen(text), a, said, sizeof said);
	ck_assert_msg(back && back->n == 1, "%s", said);
	free(text);
	arena_free(a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("schedule_text");
	TCase *t = tcase_create("text");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, there_and_back);
	tcase_add_test(t, other_forms);
	tcase_add_test(t, mistakes);
	tcase_add_loop_test(t, any_bytes, 0, 8);
	tcase_add_test(t, names_stay_on_their_line);
	suite_add_tcase(s, t);
	return suite_run(s);
}

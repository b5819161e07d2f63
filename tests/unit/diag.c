/* diag.c -- tests of ir/diag.c: the printed form byte for byte, order, hostile source lines, nearest names */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "ir/diag.h"
#include "tests/support/suite.h"

static char *printed;

/* What diag_print writes; valid until the next call. */
static const char *print(Diag *d)
{
	size_t len;
	free(printed);
	printed = NULL;
	FILE *f = open_memstream(&printed, &len);
	diag_print(d, f);
	fclose(f);
	return printed;
}

static Loc at(int line, int col, int len)
{
	return (Loc){ "m.yaml", line, col, len };
}

START_TEST(form)
{
	static const char text[] = "a: 1\n    - Conv2D: {filter: 32}\r\n";
	Diag *d = diag_new();
	diag_source(d, "m.yaml", text, strlen(text));
	ck_assert(!diag_error(d, at(2, 16, 6), "Conv2D has no field '%s'; did you mean '%s'?", "filter", "filters"));
	diag_note(d, "=", "Conv2D.filters: integer > 0");
	diag_note(d, "help", "see the list");
	diag_note(d, "", "bare line");
	ck_assert_int_eq(diag_errors(d), 1);
	ck_assert_str_eq(print(d), "m.yaml:2:16: error: Conv2D has no field 'filter'; did you mean 'filters'?\n"
	                           "    2 |     - Conv2D: {filter: 32}\n"
	                           "      |                ^~~~~~\n"
	                           "      = Conv2D.filters: integer > 0\n"
	                           "      help: see the list\n"
	                           "      bare line\n");
	ck_assert_str_eq(print(d), ""); /* forgotten */
	ck_assert_int_eq(diag_errors(d), 1);
	diag_free(d);
}
END_TEST

START_TEST(order_and_repeats)
{
	Diag *d = diag_new();
	diag_error(d, at(9, 1, 0), "late");
	diag_warning(d, at(3, 5, 0), "early");
	diag_error(d, (Loc){ "b.yaml", 1, 1, 0 }, "other file");
	diag_error(d, at(9, 1, 0), "late");
	diag_error(d, at(3, 2, 0), "earlier");
	diag_error(d, (Loc){ 0 }, "nowhere");
	ck_assert_int_eq(diag_errors(d), 5);
	ck_assert_str_eq(print(d), "m.yaml:3:2: error: earlier\n\n"
	                           "m.yaml:3:5: warning: early\n\n"
	                           "m.yaml:9:1: error: late\n\n"
	                           "b.yaml:1:1: error: other file\n\n"
	                           "error: nowhere\n");
	diag_free(d);
}
END_TEST

START_TEST(caret_under_tabs_and_utf8)
{
	static const char text[] = "\tk\xc3\xa4se: \xe7\x8c\xab x\n";
	Diag *d = diag_new();
	diag_source(d, "m.yaml", text, strlen(text));
	diag_error(d, at(1, 8, 3), "cat"); /* character 8: after tab k ä s e : blank */
	ck_assert_str_eq(print(d), "m.yaml:1:8: error: cat\n"
	                           "    1 | \tk\xc3\xa4se: \xe7\x8c\xab x\n"
	                           "      | \t      ^~\n");
	diag_error(d, at(1, 10, 1), "x");
	ck_assert_ptr_nonnull(strstr(print(d), "\n      | \t         ^\n"));
	diag_free(d);
}
END_TEST

START_TEST(hostile_source)
{
	static const char text[] = "a\033[2J\x9b\xff\0b";
	Diag *d = diag_new();
	diag_source(d, "m.yaml", text, sizeof text - 1);
	diag_error(d, at(1, 1, 100), "control \033 in a message");
	ck_assert_str_eq(print(d), "m.yaml:1:1: error: control ? in a message\n"
	                           "    1 | a?[2J???b\n"
	                           "      | ^~~~~~~~~\n");
	diag_error(d, at(7, 1, 1), "no such line");
	diag_error(d, at(1, 400, 7), "no such column");
	ck_assert_str_eq(print(d), "m.yaml:1:400: error: no such column\n    1 | a?[2J???b\n      |          ^\n\n"
	                           "m.yaml:7:1: error: no such line\n");
	diag_free(d);
}
END_TEST

START_TEST(long_lines_are_cut_around_the_caret)
{
	enum { LONG = 100000 };
	char *text = malloc(LONG);
	memset(text, 'x', LONG);
	Diag *d = diag_new();
	diag_source(d, "m.yaml", text, LONG);
	text[50000] = 'Y';
	diag_error(d, at(1, 50001, 1), "here");
	print(d);
	ck_assert_uint_lt(strlen(printed), 600);
	const char *y = strchr(printed, 'Y'), *line = strstr(printed, "    1 |");
	const char *caret_line = strstr(printed, "      |"), *caret = strchr(caret_line, '^');
	ck_assert_int_eq(y - line, caret - caret_line);
	diag_free(d);
	free(text);
}
END_TEST

START_TEST(floods_end)
{
	Diag *d = diag_new();
	for (int i = 1; i <= 1000; i++)
		diag_error(d, at(i, 1, 1), "mistake %d", i);
	ck_assert_ptr_nonnull(strstr(print(d), "\n... and 950 more\n"));
	diag_free(d);
}
END_TEST

START_TEST(nearest)
{
	static const char *const name[] = { "filters", "kernel_size", "strides", "Conv2D", "selu", "ReLU", "a" };
	enum { N = sizeof name / sizeof name[0] };
	ck_assert_str_eq(diag_nearest("filter", name, N), "filters");
	ck_assert_str_eq(diag_nearest("kernel-size", name, N), "kernel_size");
	ck_assert_str_eq(diag_nearest("krenel_size", name, N), "kernel_size"); /* one transposition */
	ck_assert_str_eq(diag_nearest("conv2d", name, N), "Conv2D");
	ck_assert_str_eq(diag_nearest("relu", name, N), "ReLU");
	ck_assert_ptr_null(diag_nearest("padding", name, N));
	ck_assert_ptr_null(diag_nearest("b", name, N));
	ck_assert_ptr_null(diag_nearest("", name, N));
	char wide[5000];
	memset(wide, 'a', sizeof wide - 1);
	wide[sizeof wide - 1] = '\0';
	ck_assert_ptr_null(diag_nearest(wide, name, N));
}
END_TEST

START_TEST(ice_aborts)
{
	INVARIANT(1 + 1 == 3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("diag");
	TCase *c = tcase_create("diag");
	tcase_add_test(c, form);
	tcase_add_test(c, order_and_repeats);
	tcase_add_test(c, caret_under_tabs_and_utf8);
	tcase_add_test(c, hostile_source);
	tcase_add_test(c, long_lines_are_cut_around_the_caret);
	tcase_add_test(c, floods_end);
	tcase_add_test(c, nearest);
	tcase_add_test_raise_signal(c, ice_aborts, SIGABRT);
	suite_add_tcase(s, c);
	int failed = suite_run(s);
	free(printed);
	return failed;
}

/* errors.c -- the catalogue of mistakes: every example is refused with its code, and accepted when mended */
#include <check.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "ir/errors.h"
#include "pipeline.h"
#include "tests/support/suite.h"

/* What is printed about a model file, through frontend and target; freed by the caller. */
static char *said_about(const char *text)
{
	Diag *d = diag_new();
	Pipeline p;
	char *said = NULL;
	size_t length;
	FILE *f = open_memstream(&said, &length);
	const bool ok = pipeline_open(&p, &(PipelineIn){.path = "model.yaml", .text = text, .stop_after = "import", .out = f}, d);
	ck_assert_msg(ok == (diag_errors(d) == 0), "%s", text);
	if (!ok)
		diag_print(d, f);
	pipeline_close(&p);
	diag_free(d);
	fclose(f);
	return said;
}

START_TEST(examples)
{
	const ErrorKind *k = error_kind(_i);
	char code[16];
	snprintf(code, sizeof(code), "[%s]", k->code);
	if (k->wrong) {
		char *said = said_about(k->wrong);
		ck_assert_msg(strstr(said, code), "%s is not said of\n%s\nbut\n%s", code, k->wrong, said);
		free(said);
	}
	if (k->right) {
		char *said = said_about(k->right);
		ck_assert_msg(!strstr(said, "error:"), "%s: mended, it is still refused:\n%s", k->code, said);
		free(said);
	}
}
END_TEST

START_TEST(codes_ascend)
{
	for (int i = 0; error_kind(i); i++) {
		const char *code = error_kind(i)->code;
		ck_assert_msg(strlen(code) == 5 && code[0] == 'E' && isdigit((unsigned char)code[4]), "%s", code);
		ck_assert_msg(i == 0 || strcmp(error_kind(i - 1)->code, code) < 0, "%s stands behind a larger one", code);
		ck_assert_msg(!error_kind(i)->wrong == !error_kind(i)->right, "%s has one example", code);
	}
	ck_assert_ptr_null(error_code("no such sentence"));
	ck_assert_str_eq(error_code("layer '%s' does not fit its input"), "E0401");
}
END_TEST

START_TEST(reference_is_current)
{
	char *text = NULL, *stored = NULL;
	size_t length, room = 0;
	FILE *f = open_memstream(&text, &length), *doc = fopen("docs/errors.md", "r");
	error_reference(f);
	fclose(f);
	ck_assert_ptr_nonnull(doc);
	const ssize_t n = getdelim(&stored, &room, '\0', doc);
	fclose(doc);
	ck_assert_msg(n == (ssize_t)length && memcmp(stored, text, length) == 0,
	              "docs/errors.md differs from the catalogue: cnnc explain reference >docs/errors.md");
	free(stored);
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("errors");
	TCase *tc = tcase_create("catalogue");
	int n = 0;
	while (error_kind(n))
		n++;
	tcase_add_loop_test(tc, examples, 0, n);
	tcase_add_test(tc, codes_ascend);
	tcase_add_test(tc, reference_is_current);
	suite_add_tcase(s, tc);
	return suite_run(s);
}

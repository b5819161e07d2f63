/* runner.c -- tests of passes/passes.c: order, dumps, stopping, times, and what happens when a pass or a check fails */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "passes/passes.h"
#include "tests/numeric/random_graph.h"
#include "tests/support/suite.h"

typedef struct Run {
	IrModule *m;
	PassCx cx;
	bool ok, stopped;
	char *text;
	size_t len;
} Run;

static Run run(IrModule *m, PassCx options)
{
	Run r = { .m = m, .cx = options };
	r.cx.diag = diag_new();
	r.cx.scratch = arena_new();
	r.cx.out = open_memstream(&r.text, &r.len);
	ck_assert_ptr_nonnull(r.cx.out);
	r.ok = passes_run(m, &r.cx, &r.stopped);
	fclose(r.cx.out);
	return r;
}

static void run_free(Run *r)
{
	diag_free(r->cx.diag);
	arena_free(r->cx.scratch);
	ir_module_free(r->m);
	free(r->text);
}

static IrEntry *training(IrModule *m)
{
	return ir_entry_find(m, "train_step");
}

START_TEST(names)
{
	ck_assert(passes_known("import") && passes_known("canon") && passes_known("plan"));
	ck_assert(!passes_known("") && !passes_known("can") && !passes_known("canonical") && !passes_known("canon,fold"));
}
END_TEST

START_TEST(list_has_every_pass)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	passes_list(f);
	fclose(f);
#define PASS(name, level, doc) ck_assert_msg(strstr(text, #name) && strstr(text, doc), "no pass %s", #name);
#include "passes/passes.def"
	free(text);
}
END_TEST

START_TEST(stops_before_the_first_pass)
{
	Run r = run(random_graph(3, 8), (PassCx){ .stop_after = "import", .dump = "import" });
	ck_assert(r.ok && r.stopped);
	ck_assert_ptr_nonnull(training(r.m)->loss);
	Diag *d = diag_new();
	IrModule *read = ir_parse("dump", r.text, r.len, d); /* one dump alone is the module's text */
	ck_assert_ptr_nonnull(read);
	ir_module_free(read);
	diag_free(d);
	run_free(&r);
}
END_TEST

START_TEST(stops_after_a_pass)
{
	Run r = run(random_graph(3, 8), (PassCx){ .stop_after = "autodiff" });
	ck_assert(r.ok && r.stopped);
	ck_assert_ptr_null(training(r.m)->loss);
	ck_assert_ptr_null(r.m->program);
	ck_assert_uint_eq(r.len, 0);
	run_free(&r);
}
END_TEST

START_TEST(several_dumps_have_headings)
{
	Run r = run(random_graph(3, 8), (PassCx){ .stop_after = "dce", .dump = "fold,import,cse" });
	ck_assert(r.ok);
	const char *import = strstr(r.text, "# after import\n"), *fold = strstr(r.text, "# after fold\n");
	const char *cse = strstr(r.text, "# after cse\n");
	ck_assert(import && fold && cse && import < fold && fold < cse);
	ck_assert_ptr_null(strstr(r.text, "# after canon"));
	run_free(&r);
}
END_TEST

START_TEST(times_of_what_ran)
{
	Run r = run(random_graph(3, 8), (PassCx){ .stop_after = "fold", .time_passes = true });
	ck_assert(strstr(r.text, "canon ") && strstr(r.text, "fold ") && strstr(r.text, "total "));
	ck_assert_ptr_null(strstr(r.text, "autodiff"));
	run_free(&r);
}
END_TEST

START_TEST(a_pass_that_fails)
{
	IrModule *m = random_graph(3, 8);
	m->optimizer.kind = OPTIM_NONE;
	Run r = run(m, (PassCx){ .stop_after = "dce" });
	ck_assert(!r.ok && !r.stopped);
	ck_assert_int_eq(diag_errors(r.cx.diag), 1);
	run_free(&r);
}
END_TEST

/* The first node moves behind its readers: the verifier must see it before any pass runs on it. */
START_TEST(a_broken_module)
{
	IrModule *m = random_graph(3, 8);
	IrEntry *e = m->entry;
	IrNode *first = e->first;
	e->first = first->next;
	e->first->prev = NULL;
	first->prev = e->last;
	first->next = NULL;
	e->last = e->last->next = first;
	Run r = run(m, (PassCx){ .stop_after = "dce" });
	ck_assert(!r.ok);
	ck_assert_int_ge(diag_errors(r.cx.diag), 1);
	run_free(&r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("runner");
	TCase *t = tcase_create("passes_run");
	tcase_add_test(t, names);
	tcase_add_test(t, list_has_every_pass);
	tcase_add_test(t, stops_before_the_first_pass);
	tcase_add_test(t, stops_after_a_pass);
	tcase_add_test(t, several_dumps_have_headings);
	tcase_add_test(t, times_of_what_ran);
	tcase_add_test(t, a_pass_that_fails);
	tcase_add_test(t, a_broken_module);
	suite_add_tcase(s, t);
	return suite_run(s);
}

/* ops.c -- every op alone, compiled, against the interpreter: one sample, a partial batch, a full one */
#include <check.h>
#include <stdlib.h>
#include "tests/numeric/op_cases.h"
#include "tests/numeric/run_kernels.h"
#include "tests/support/jit_check.h"
#include "tests/support/suite.h"

START_TEST(op_agrees)
{
	const OpCase *c = &op_cases[_i];
	IrModule *reference = op_case_module(c);
	const IrEntry *e = ir_entry_find(reference, "predict");
	const IrScalars s = {.lr = 0.25, .seed = 77, .step = 3, .pass = 2};
	Jitted j = jit_open(op_case_module(c), "native", 1);
	Arena *a = arena_new();
	for (int64_t n = 1; n <= OP_CASE_SAMPLES; n += 2) {
		Values v = random_values(a, e, n, (uint64_t)(_i + n));
		if (c->exact)
			values_whole(e, &v, n);
		ir_eval(e, n, &s, v.state, (const double *const *)v.in, v.out);
		jit_check(&j, e, &v, n, &s, 2e-6);
	}
	arena_free(a);
	jit_close(&j);
	ir_module_free(reference);
}
END_TEST

int main(void)
{
	const char *one = getenv("OP");
	Suite *s = suite_create("ops");
	TCase *t = tcase_create("ops");
	tcase_add_loop_test(t, op_agrees, one ? atoi(one) : 0, one ? atoi(one) + 1 : op_ncases);
	suite_add_tcase(s, t);
	return suite_run(s);
}

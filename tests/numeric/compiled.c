/* compiled.c -- the whole pipeline against the interpreter: random graphs, forward, backward and updates */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "tests/support/jit_check.h"

enum { GRAPHS = 60 };

/* What ir_eval gives for an entry, with autodiff's updates in the training step. */
static IrModule *with_updates(uint64_t seed, int size)
{
	IrModule *m = random_graph(seed, size);
	PassCx cx = {.diag = diag_new(), .scratch = arena_new()};
	ck_assert(pass_autodiff(m, &cx));
	arena_free(cx.scratch);
	diag_free(cx.diag);
	return m;
}

static void check_seed(uint64_t seed, const char *cpu, int threads, int64_t n)
{
	IrModule *reference = with_updates(seed, 12);
	Jitted j = jit_open(random_graph(seed, 12), cpu, threads);
	Arena *a = arena_new();
	IrScalars s = {.lr = 0.01, .seed = 7, .step = 3, .pass = 2};
	IR_EACH_ENTRY(reference, e) {
		Values v = random_values(a, e, n, seed);
		/* moments are zero in the compiled program's memory, too */
		ir_eval(e, n, &s, v.state, (const double *const *)v.in, v.out);
		jit_check(&j, e, &v, n, &s, 2e-3);
	}
	arena_free(a);
	jit_close(&j);
	ir_module_free(reference);
}

START_TEST(random_graphs_agree)
{
	int64_t n = (int64_t[]){1, 2, 3, 4}[_i % 4];
	const char *seed = getenv("SEED");
	if (seed && _i != atoi(seed))
		return;
	check_seed((uint64_t)_i, "native", 1 + _i % 2, n);
}
END_TEST

START_TEST(older_levels_agree)
{
	check_seed((uint64_t)_i + 1000, _i % 2 ? "x86-64-v2" : "x86-64-v3", 1, 3);
}
END_TEST

/* Parameters after three steps; the caller frees them. */
static unsigned char *trained(uint64_t seed, const char *cpu, int threads, size_t *bytes)
{
	Jitted j = jit_open(random_graph(seed, 12), cpu, threads);
	IrModule *reference = with_updates(seed, 12);
	Arena *a = arena_new();
	IrEntry *e = ir_entry_find(reference, "train_step");
	Values v = random_values(a, e, 4, seed);
	for (uint32_t step = 1; step <= 3; step++)
		jit_step(&j, e, &v, 4, &(IrScalars){.lr = 0.01, .seed = 7, .step = step}, step == 1);
	*bytes = j.model->params_bytes;
	unsigned char *params = malloc(*bytes);
	memcpy(params, j.instance.params, *bytes);
	arena_free(a);
	jit_close(&j);
	ir_module_free(reference);
	return params;
}

/* Same seed, same bits: for any number of threads, and for x86-64-v3 and v4. */
START_TEST(bits_agree)
{
	static const struct { const char *cpu; int threads; } run[] = {{"x86-64-v4", 1}, {"x86-64-v4", 2}, {"x86-64-v4", 3},
	                                                               {"x86-64-v4", 8}, {"x86-64-v3", 2}};
	size_t bytes, n;
	if (!__builtin_cpu_supports("avx512bw"))
		return;
	unsigned char *first = trained((uint64_t)_i, run[0].cpu, run[0].threads, &bytes);
	for (size_t i = 1; i < COUNT(run); i++) {
		unsigned char *other = trained((uint64_t)_i, run[i].cpu, run[i].threads, &n);
		ck_assert_uint_eq(n, bytes);
		ck_assert_msg(!memcmp(first, other, n), "%s with %d threads gives other bits", run[i].cpu, run[i].threads);
		free(other);
	}
	free(first);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("compiled");
	TCase *t = tcase_create("random graphs");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, random_graphs_agree, 0, GRAPHS);
	tcase_add_loop_test(t, older_levels_agree, 0, GRAPHS / 6);
	tcase_add_loop_test(t, bits_agree, 0, GRAPHS / 4);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

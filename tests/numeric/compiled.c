/* compiled.c -- the whole pipeline against the interpreter: random graphs, forward, backward and updates */
#include <check.h>
#include <stdlib.h>
#include "tests/support/jit_check.h"
#include "tests/support/same_bits.h"
#include "tests/support/suite.h"

enum { GRAPHS = 60 };

static void check_seed(uint64_t seed, const char *cpu, int threads, int64_t n)
{
	IrModule *reference = jit_reference(random_graph(seed, 12));
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

static unsigned char *trained(const void *what, const char *cpu, int threads, size_t *bytes)
{
	const uint64_t seed = *(const uint64_t *)what;
	Jitted j = jit_open(random_graph(seed, 12), cpu, threads);
	IrModule *reference = jit_reference(random_graph(seed, 12));
	Arena *a = arena_new();
	IrEntry *e = ir_entry_find(reference, "train_step");
	Values v = random_values(a, e, 4, seed);
	unsigned char *params = jit_trained(&j, e, &v, 4, bytes);
	arena_free(a);
	jit_close(&j);
	ir_module_free(reference);
	return params;
}

START_TEST(bits_agree)
{
	uint64_t seed = (uint64_t)_i;
	same_bits("a random graph", &seed, trained);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("compiled");
	TCase *t = tcase_create("random graphs");
	tcase_set_timeout(t, 300);
	const char *to = getenv("TO");
	const int graphs = to ? atoi(to) : GRAPHS;
	tcase_add_loop_test(t, random_graphs_agree, 0, graphs);
	if (!getenv("TEST_CPU")) {
		tcase_add_loop_test(t, older_levels_agree, 0, graphs / 6);
		tcase_add_loop_test(t, bits_agree, 0, graphs / 4);
	}
	suite_add_tcase(s, t);
	return suite_run(s);
}

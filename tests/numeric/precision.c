/* precision.c -- mixed_bfloat16: products of pairs, on this machine's instructions and widened
 *
 * Small whole numbers are exact in bf16, and their sums in f32: there every form must equal the graph in double, on odd
 * lengths, edges, strides, groups, one sample and a part of the batch. Elsewhere compiled code is compared with its own
 * kernels in double, which round operands at the same places: what may differ is a rounding that f32 and double decide
 * differently (2^-8 of one term of a sum), and the instruction's own order of adding and its zero for what is below 2^-126.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "frontend/frontend.h"
#include "tests/numeric/one_op.h"
#include "tests/numeric/run_kernels.h"
#include "tests/support/model_check.h"
#include "tests/support/same_bits.h"
#include "tests/support/suite.h"

static const char *const levels[] = {"x86-64-v4+bf16", "x86-64-v4", "x86-64-v3", "x86-64-v2"};

static int pairs_in(const IrModule *m)
{
	int n = 0;
	KPair p;
	for (int i = 0; i < m->program->nentries; i++) {
		const KEntry *e = &m->program->entry[i];
		for (int k = 0; k < e->nkernels && !e->few; k++) {
			for (int s = 0; s < e->kernel[k]->nstages; s++)
				n += k_pair(e->kernel[k], s, &p);
		}
	}
	return n;
}

/* ---- single ops, exactly ---- */
#define WIN(sh, sw, th, tw, dh, dw, pt, pl, pb, pr, g) {{sh, sw}, {th, tw}, {dh, dw}, {pt, pl, pb, pr}, g}
#define CONV(...) {.conv = WIN(__VA_ARGS__)}

typedef struct Case { OneOp op; int pairs; } Case; /* pairs: 0 where they would not pay */

static const Case cases[] = {
	{{OP_conv2d, {"f32[N,9,8,16]", "f32[3,3,16,24]"}, NULL, CONV(3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1)}, 1},
	{{OP_conv2d, {"f32[N,9,8,17]", "f32[3,3,17,24]"}, NULL, CONV(3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1)}, 1},
	{{OP_conv2d, {"f32[N,8,9,5]", "f32[3,3,5,130]"}, NULL, CONV(3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1)}, 1},
	{{OP_conv2d, {"f32[N,8,9,3]", "f32[3,3,3,32]"}, NULL, CONV(3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1)}, 1},
	{{OP_conv2d, {"f32[N,8,9,3]", "f32[3,3,3,300]"}, NULL, CONV(3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1)}, 1},
	{{OP_conv2d, {"f32[N,18,19,3]", "f32[3,3,3,48]"}, NULL, CONV(3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1)}, 1},
	{{OP_conv2d, {"f32[N,23,21,3]", "f32[7,7,3,32]"}, NULL, CONV(7, 7, 2, 2, 1, 1, 2, 2, 3, 3, 1)}, 1},
	{{OP_conv2d, {"f32[N,17,15,1]", "f32[5,5,1,32]"}, NULL, CONV(5, 5, 1, 1, 1, 1, 2, 1, 2, 3, 1)}, 1},
	{{OP_conv2d, {"f32[N,15,17,2]", "f32[3,5,2,33]"}, NULL, CONV(3, 5, 1, 3, 1, 1, 0, 4, 1, 4, 1)}, 1},
	{{OP_conv2d, {"f32[N,16,18,3]", "f32[3,3,3,64]"}, NULL, CONV(3, 3, 1, 1, 1, 2, 2, 2, 2, 2, 1)}, 1},
	{{OP_conv2d, {"f32[N,8,9,40]", "f32[5,5,40,8]"}, NULL, CONV(5, 5, 1, 1, 1, 1, 2, 2, 2, 2, 1)}, 1},
	{{OP_conv2d, {"f32[N,8,9,40]", "f32[5,5,40,3]"}, NULL, CONV(5, 5, 1, 1, 1, 1, 2, 2, 2, 2, 1)}, 0},
	{{OP_conv2d, {"f32[N,11,12,18]", "f32[3,3,18,52]"}, NULL, CONV(3, 3, 2, 2, 1, 1, 1, 0, 1, 1, 1)}, 1},
	{{OP_conv2d, {"f32[N,12,11,6]", "f32[3,2,6,100]"}, NULL, CONV(3, 2, 1, 1, 2, 3, 2, 1, 2, 1, 1)}, 1},
	{{OP_conv2d, {"f32[N,9,8,16]", "f32[3,3,8,32]"}, NULL, CONV(3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 2)}, 1},
	{{OP_conv2d, {"f32[N,9,8,10]", "f32[3,3,5,32]"}, NULL, CONV(3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 2)}, 0},
	{{OP_conv2d, {"f32[N,9,8,16]", "f32[3,3,1,16]"}, NULL, CONV(3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 16)}, 0},
	{{OP_conv2d, {"f32[N,6,6,130]", "f32[1,1,130,129]"}, NULL, CONV(1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1)}, 1},
	{{OP_conv2d_dx, {"f32[N,7,6,24]", "f32[3,3,17,24]"}, "f32[N,9,8,17]", CONV(3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1)}, 1},
	{{OP_conv2d_dx, {"f32[N,9,8,25]", "f32[3,3,32,25]"}, "f32[N,9,8,32]", CONV(3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1)}, 1},
	{{OP_conv2d_dx, {"f32[N,6,5,24]", "f32[3,3,130,24]"}, "f32[N,12,9,130]", CONV(3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1)}, 4},
	{{OP_conv2d_dx, {"f32[N,9,8,32]", "f32[3,3,8,32]"}, "f32[N,9,8,16]", CONV(3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 2)}, 1},
	{{OP_conv2d_dw, {"f32[N,9,8,16]", "f32[N,7,6,24]"}, "f32[3,3,16,24]", CONV(3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1)}, 1},
	{{OP_conv2d_dw, {"f32[N,9,8,9]", "f32[N,5,8,130]"}, "f32[3,3,9,130]", CONV(3, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1)}, 1},
	{{OP_conv2d_dw, {"f32[N,11,9,16]", "f32[N,7,5,130]"}, "f32[3,3,16,130]", CONV(3, 3, 1, 2, 2, 1, 0, 1, 0, 1, 1)}, 1},
	{{OP_matmul, {"f32[300,66]", "f32[66,160]"}, NULL, {{0}}}, 1},
	{{OP_matmul, {"f32[300,65]", "f32[65,161]"}, NULL, {{0}}}, 1},
	{{OP_matmul, {"f32[300,65]", "f32[160,65]"}, NULL, {.matmul = {false, true}}}, 1},
	{{OP_matmul, {"f32[N,65]", "f32[65,7]"}, NULL, {{0}}}, 0},
	{{OP_matmul, {"f32[66,300]", "f32[66,160]"}, NULL, {.matmul = {true, false}}}, 1},
};

static IrModule *op_module(const OneOp *op)
{
	IrModule *m = ir_module_new("op");
	m->max_n = 5;
	m->precision = PRECISION_MIXED_BF16;
	IrEntry *e = ir_entry_new(m, "predict");
	ir_root_new(e, (IrRoot){.kind = ROOT_OUTPUT, .name = "y", .value = one_op_build(e, op)});
	return m;
}

static void check_op(const Case *c, const char *level, int64_t n)
{
	Arena *a = arena_new();
	IrScalars s = {.step = 1};
	IrModule *before = op_module(&c->op);
	IrEntry *e = before->entry;
	Jitted j = jit_open(op_module(&c->op), level, 1);
	Values v = random_values(a, e, n, (uint64_t)n + 5);
	for (int p = 0; p < e->nport; p++) {
		for (int64_t i = 0; i < ir_elems(&e->port[p].type, n); i++)
			v.in[p][i] = trunc(v.in[p][i] * 8);
	}
	ck_assert_int_eq(pairs_in(j.module), c->pairs);
	ir_eval(e, n, &s, v.state, (const double *const *)v.in, v.out);
	jit_check(&j, e, &v, n, &s, 0);
	jit_close(&j);
	ir_module_free(before);
	arena_free(a);
}

START_TEST(ops_are_exact)
{
	const size_t machines = getenv("TEST_CPU") ? 1 : COUNT(levels);
	for (size_t l = 0; l < machines; l++) {
		for (int64_t n = 1; n <= 5 && (getenv("TEST_CPU") || cpu_runs(levels[l])); n += 2)
			check_op(&cases[_i], levels[l], n);
	}
}
END_TEST

/* ---- models ---- */
#define ARRAYS(batch, shape, layers)                                                                                       \
	"cnnc: 1\ndata: {type: npy, batch_size: " batch "}\nbuild: {precision: mixed_bfloat16}\nmodel:\n  input_shape: [" shape \
	"]\n  layers:\n" layers "train:\n  optimizer: sgd\n  loss: mean_squared_error\n"
#define L(text) "    - " text "\n"
#define C3(n, more) L("Conv2D: {filters: " n ", kernel_size: 3, activation: tanh" more "}")

static const ModelCheck models[] = {
	{.name = "a chain with pools",
	 .n = {1, 3, 6},
	 .text = ARRAYS("6", "16, 14, 3", C3("16", "") L("AveragePooling2D: {pool_size: 2}") C3("33", ", padding: same") C3("32", "")
				L("Flatten") L("Dense: {units: 5}"))},
	{.name = "strides and a residual",
	 .n = {1, 4},
	 .threads = 2,
	 .text = ARRAYS("4", "11, 9, 6",
			C3("24", ", padding: same, name: a") C3("24", ", padding: same, name: b") L("Add: {inputs: [a, b]}") C3("20", ", strides: 2, padding: same") L("GlobalAveragePooling2D")
				L("Dense: {units: 3}"))},
	{.name = "wide dense layers, large batch",
	 .n = {1, 100, 128},
	 .threads = 2,
	 .text = ARRAYS("128", "70", L("Dense: {units: 131, activation: tanh}") L("Dense: {units: 128, activation: tanh}")
				L("Dense: {units: 9}"))},
	{.name = "normalized",
	 .n = {3, 8},
	 .text = ARRAYS("8", "8, 8, 8", C3("16", ", padding: same") L("BatchNormalization") C3("16", "") L("Flatten")
				L("Dense: {units: 2}"))},
};

START_TEST(models_agree_with_their_kernels)
{
	for (size_t l = 0; l < COUNT(levels) && !getenv("TEST_CPU"); l += 2) { /* those are the CPU's */
		ModelCheck c = models[_i];
		c.cpu = levels[l];
		c.kernels = true;
		c.tolerance = 2e-3;
		if (cpu_runs(c.cpu))
			model_check(&c);
	}
}
END_TEST

/* Against the graph, what is seen is the rounding of operands to 8 bits: about 2^-9 of each term, of random sign. */
START_TEST(models_agree_with_the_graph)
{
	ModelCheck c = models[_i];
	c.cpu = cpu_runs(levels[0]) ? levels[0] : levels[3];
	c.tolerance = 1e-2;
	model_check(&c);
}
END_TEST

START_TEST(threads_change_no_bit)
{
	ModelCheck c = models[_i];
	c.seed = 11;
	same_bits_on(c.name, &c, model_trained, cpu_runs(levels[0]) ? levels[0] : levels[3]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("precision");
	TCase *t = tcase_create("pairs");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, ops_are_exact, 0, COUNT(cases));
	tcase_add_loop_test(t, models_agree_with_their_kernels, 0, COUNT(models));
	tcase_add_loop_test(t, models_agree_with_the_graph, 0, COUNT(models));
	tcase_add_loop_test(t, threads_change_no_bit, 0, COUNT(models));
	suite_add_tcase(s, t);
	return suite_run(s);
}

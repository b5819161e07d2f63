/* nvrtc.c -- staged products of every kind through NVIDIA's compiler: they compile for every architecture, and nothing spills
 *
 * Skipped, and said so, where the compiler is not installed. No GPU is needed.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "codegen/cuda.h"
#include "passes/passes.h"
#include "tests/numeric/one_op.h"
#include "tests/support/suite.h"

enum { MOST_REGISTERS = 200 }; /* two blocks of 128 threads, which most have, fit a multiprocessor */

static const char *const archs[] = {"sm_80", "sm_86", "sm_89", "sm_90a"};
static const IrPrecision precisions[] = {PRECISION_F32, PRECISION_TF32, PRECISION_MIXED_BF16};

#define CONV {.conv = {{3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 1}}

static const OneOp ops[] = {
	{OP_conv2d, {"f32[N,28,28,32]", "f32[3,3,32,64]"}, NULL, CONV},
	{OP_conv2d, {"f32[N,27,29,3]", "f32[3,3,3,33]"}, NULL, CONV},
	{OP_conv2d_dx, {"f32[N,28,28,64]", "f32[3,3,32,64]"}, "f32[N,28,28,32]", CONV},
	{OP_conv2d_dw, {"f32[N,28,28,32]", "f32[N,28,28,64]"}, "f32[3,3,32,64]", CONV},
	{OP_matmul, {"f32[512,512]", "f32[512,512]"}, NULL, {{0}}},
};

static CgCuda *code_of(const OneOp *op, IrPrecision precision, Diag *d)
{
	IrModule *m = ir_module_new("op");
	m->max_n = 32;
	m->precision = precision;
	IrEntry *e = ir_entry_new(m, "predict");
	ir_root_new(e, (IrRoot){.kind = ROOT_OUTPUT, .name = "y", .value = one_op_build(e, op)});
	PassCx cx = {.diag = d, .every_call = true, .stage_always = true, .scratch = arena_new(), .out = stdout};
	bool stopped;
	cg_cuda_target(&cx.target);
	ck_assert(passes_run(m, &cx, &stopped));
	CgCuda *c = cg_cuda(m, &cx.target);
	arena_free(cx.scratch);
	ir_module_free(m);
	return c;
}

/* The number before `word` in each line that has it. */
static void check_numbers(const char *log, const char *word, int most, const char *of, const char *arch)
{
	for (const char *at = strstr(log, word); at; at = strstr(at + 1, word)) {
		const char *first = at;
		while (first > log && first[-1] >= '0' && first[-1] <= '9')
			first--;
		ck_assert_msg(atoi(first) <= most, "%s for %s: %d%s", of, arch, atoi(first), word);
	}
}

START_TEST(nothing_spills)
{
	const OneOp *op = &ops[(size_t)_i % COUNT(ops)];
	Diag *d = diag_new();
	Arena *a = arena_new();
	CgCuda *c = code_of(op, precisions[(size_t)_i / COUNT(ops)], d);
	bool staged = false;
	for (int f = 0; f < c->nfunctions; f++) {
		const bool product = strstr(c->function[f].text, "cnnc_copies_wait");
		for (size_t i = 0; product && i < COUNT(archs); i++) {
			const char *log = nvrtc_resources(&c->function[f], archs[i], a, d);
			if (!log)
				diag_print(d, stderr);
			ck_assert_ptr_nonnull(log);
			ck_assert_ptr_nonnull(strstr(log, " registers"));
			check_numbers(log, " bytes spill", 0, c->function[f].name, archs[i]);
			check_numbers(log, " registers", MOST_REGISTERS, c->function[f].name, archs[i]);
			check_numbers(log, " bytes smem", 48 << 10, c->function[f].name, archs[i]);
			staged = true;
		}
	}
	ck_assert(staged);
	cg_cuda_free(c);
	arena_free(a);
	diag_free(d);
}
END_TEST

int main(void)
{
	if (!nvrtc_found()) {
		puts("SKIPPED: NVRTC is not here: no kernel was compiled for a GPU");
		return 77;
	}
	Suite *s = suite_create("nvrtc");
	TCase *t = tcase_create("nvrtc");
	tcase_add_loop_test(t, nothing_spills, 0, (int)(COUNT(ops) * COUNT(precisions)));
	suite_add_tcase(s, t);
	return suite_run(s);
}

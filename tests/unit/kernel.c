/* kernel.c -- building kernels, their text, key, verifier and evaluation */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "ir/kernel.h"
#include "tests/support/suite.h"

static const Loc nowhere = { 0 };

typedef struct Bench { /* one kernel over three buffers */
	Arena *a;
	KProgram p;
	KBuffer buffer[4];
	KEntry entry;
	Kernel *k, *kernels[2];
} Bench;

static IrType f32(int rank, const int32_t *dim)
{
	return ir_type(DT_F32, rank, dim);
}

static void bench_start(Bench *t)
{
	memset(t, 0, sizeof *t);
	t->a = arena_new();
	t->k = t->kernels[0] = k_new(t->a, "test", nowhere);
	t->p = (KProgram){ .buffer = t->buffer, .nbuffers = 4, .entry = &t->entry, .nentries = 1 };
	t->entry = (KEntry){ .name = "predict", .kernel = t->kernels, .nkernels = 1 };
	t->buffer[0] = (KBuffer){ .name = "x", .cls = B_IN, .type = f32(2, (int32_t[]){ IR_N, 6 }) };
	t->buffer[1] = (KBuffer){ .name = "w", .cls = B_STATE, .type = f32(2, (int32_t[]){ 6, 4 }) };
	t->buffer[2] = (KBuffer){ .name = "y", .cls = B_OUT, .type = f32(2, (int32_t[]){ IR_N, 4 }) };
	t->buffer[3] = (KBuffer){ .name = "p", .cls = B_PARTIAL, .type = f32(2, (int32_t[]){ 3, 6 }), .part_rows = 2 };
}

static int operand(Bench *t, int buf, KMode mode)
{
	return k_operand(t->a, t->k, t->buffer[buf].name, buf, t->buffer[buf].type, mode);
}

/* y = x w */
static void build_matmul(Bench *t)
{
	Arena *a = t->a;
	Kernel *k = t->k;
	const KIndex n = k_index_axis(k_axis(a, k, "n", EXT_N, 5)), j = k_index_axis(k_axis(a, k, "k", EXT_CONST, 4));
	const int i = k_axis(a, k, "i", EXT_CONST, 6);
	const int x = k_load(a, k, operand(t, 0, M_IN), (KIndex[]){ n, k_index_axis(i) }, EDGE_NEVER);
	const int w = k_load(a, k, operand(t, 1, M_IN), (KIndex[]){ k_index_axis(i), j }, EDGE_NEVER);
	const int acc = k_reduce(a, k, "acc", RED_sum, 1u << i, k_ewise(a, k, EW_mul, DT_F32, x, w, -1), DT_F32);
	k_store(a, k, operand(t, 2, M_OUT), (KIndex[]){ n, j }, acc);
	k_finish(k);
}

/* ---- building ---- */
START_TEST(equal_expressions_are_one)
{
	Bench t;
	bench_start(&t);
	Kernel *k = t.k;
	const int half = k_konst(t.a, k, DT_F32, 0.5), two = k_konst(t.a, k, DT_F32, 2);
	const int s = k_scalar(t.a, k, SC_LR, 0, 0);
	ck_assert_int_eq(half, k_konst(t.a, k, DT_F32, 0.5));
	ck_assert_int_ne(half, k_konst(t.a, k, DT_F64, 0.5));
	ck_assert_int_ne(k_konst(t.a, k, DT_F32, 0.0), k_konst(t.a, k, DT_F32, -0.0));
	ck_assert_int_eq(k_ewise(t.a, k, EW_add, DT_F32, s, half, -1), k_ewise(t.a, k, EW_add, DT_F32, s, half, -1));
	ck_assert_int_eq(k_ewise(t.a, k, EW_mul, DT_F32, half, two, -1), k_konst(t.a, k, DT_F32, 1));
	ck_assert_int_eq(k_ewise(t.a, k, EW_mul, DT_F32, s, k_konst(t.a, k, DT_F32, 1), -1), s);
	ck_assert_int_eq(k_cast(t.a, k, s, DT_F32), s);
	ck_assert_int_eq(k_axis_value(t.a, k, k_index(7)), k_konst(t.a, k, DT_I32, 7));
	arena_free(t.a);
}
END_TEST

START_TEST(operands_and_names)
{
	Bench t;
	bench_start(&t);
	const int w = operand(&t, 1, M_IN);
	ck_assert_int_eq(w, operand(&t, 1, M_OUT));
	ck_assert_int_eq(t.k->opnd[w].mode, M_INOUT);
	const IrType turned = f32(2, (int32_t[]){ 4, 6 });
	ck_assert_int_ne(w, k_operand(t.a, t.k, "w", 1, turned, M_IN));
	ck_assert_str_eq(t.k->opnd[1].name, "w_2");
	k_axis(t.a, t.k, "conv2d/kernel:0", EXT_CONST, 3);
	ck_assert_str_eq(t.k->axis[0].name, "conv2d_kernel_0");
	arena_free(t.a);
}
END_TEST

START_TEST(matmul_is_a_contraction)
{
	Bench t;
	bench_start(&t);
	build_matmul(&t);
	Diag *d = diag_new();
	ck_assert(k_verify(&t.p, d));
	ck_assert(t.k->contraction);
	ck_assert_int_eq(t.k->flops, 2 * 6 * 4);
	ck_assert_uint_eq(t.k->par, 3u); /* n and k */
	ck_assert_uint_eq(t.k->stage[0].over, 3u);
	ck_assert_uint_eq(t.k->stage[0].away, 4u);
	diag_free(d);
	arena_free(t.a);
}
END_TEST

/* y[n, h, c] = sum(r) x[n, h+r-1 | zero] w[r, c]: 2 of the 18 pairs (h, r) lie outside */
START_TEST(flops_leave_out_what_lies_outside)
{
	Bench t;
	bench_start(&t);
	Arena *a = t.a;
	Kernel *k = t.k;
	const IrType cube = f32(3, (int32_t[]){ IR_N, 6, 4 });
	const KIndex n = k_index_axis(k_axis(a, k, "n", EXT_N, 5)), h = k_index_axis(k_axis(a, k, "h", EXT_CONST, 6));
	const KIndex c = k_index_axis(k_axis(a, k, "c", EXT_CONST, 4));
	const int r = k_axis(a, k, "r", EXT_CONST, 3);
	const KIndex tap = k_index_affine(k_index_plus(h, k_index_axis(r)), 1, -1);
	const int x = k_load(a, k, operand(&t, 0, M_IN), (KIndex[]){ n, tap }, EDGE_ZERO);
	const int w = k_load(a, k, operand(&t, 1, M_IN), (KIndex[]){ k_index_axis(r), c }, EDGE_NEVER);
	const int acc = k_reduce(a, k, "acc", RED_sum, 1u << r, k_ewise(a, k, EW_mul, DT_F32, x, w, -1), DT_F32);
	k_store(a, k, k_operand(a, k, "y", 2, cube, M_OUT), (KIndex[]){ n, h, c }, acc);
	k_finish(k);
	ck_assert_int_eq(k->flops, 2 * 16 * 4);
	arena_free(t.a);
}
END_TEST

START_TEST(finish_drops_what_no_store_needs)
{
	Bench t;
	bench_start(&t);
	Kernel *k = t.k;
	const int dead = k_axis(t.a, k, "dead", EXT_CONST, 6), n = k_axis(t.a, k, "n", EXT_N, 5);
	const int j = k_axis(t.a, k, "j", EXT_CONST, 4);
	const int x = k_load(t.a, k, operand(&t, 0, M_IN), (KIndex[]){ k_index_axis(n), k_index_axis(dead) }, EDGE_NEVER);
	k_reduce(t.a, k, "unread", RED_max, 1u << dead, x, DT_F32);
	k_store(t.a, k, operand(&t, 2, M_OUT), (KIndex[]){ k_index_axis(n), k_index_axis(j) }, k_konst(t.a, k, DT_F32, 3));
	k_finish(k);
	ck_assert_int_eq(k->naxes, 2);
	ck_assert_int_eq(k->nstages, 1);
	ck_assert_int_eq(k->nopnds, 1);
	ck_assert_int_eq(k->nexprs, 1);
	ck_assert_str_eq(k->axis[0].name, "n");
	ck_assert_int_eq(k->stage[0].at[1].coef[1], 1);
	arena_free(t.a);
}
END_TEST

/* i = outer * a + inner * b over extents 3 and 2: par only if no two points meet. */
static const struct { int32_t a, b; unsigned par; } maps[] = { { 2, 1, 3 }, { 1, 3, 3 }, { 1, 1, 0 }, { 1, 2, 0 }, { 2, -1, 3 } };

START_TEST(parallel_axes_do_not_meet)
{
	Bench t;
	bench_start(&t);
	Kernel *k = t.k;
	const int o = k_axis(t.a, k, "o", EXT_CONST, 3), i = k_axis(t.a, k, "i", EXT_CONST, 2);
	const KIndex at = k_index_plus(k_index_affine(k_index_axis(o), maps[_i].a, 0), k_index_affine(k_index_axis(i), maps[_i].b, 1));
	k_store(t.a, k, operand(&t, 1, M_OUT), (KIndex[]){ at, k_index(2) }, k_konst(t.a, k, DT_F32, 3));
	k_finish(k);
	ck_assert_uint_eq(k->par, maps[_i].par);
	arena_free(t.a);
}
END_TEST

/* ---- text ---- */
static char *text_of(const Bench *t)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	k_print(&t->p, t->k, f);
	fclose(f);
	return text;
}

START_TEST(text_of_a_kernel)
{
	Bench t;
	bench_start(&t);
	build_matmul(&t);
	t.k->sched = (KSchedule){ .nloops = 3, .loop = { { L_LOOP, 0, 2 }, { L_UNROLL, 0, 1 }, { L_VECTOR, 1, 16 } } };
	char *text = text_of(&t);
	ck_assert_str_eq(text, "kernel test { axes n:N<=5 k:4 i:6\n"
	                       "  in x f32[N,6] #0\n"
	                       "  in w f32[6,4] #1\n"
	                       "  out y f32[N,4] #2\n"
	                       "  acc = sum(i) (x[n, i] * w[i, k])\n"
	                       "  y[n, k] = acc\n"
	                       "  loop n/2 unroll n vector k/16\n"
	                       "}\n");
	free(text);
	arena_free(t.a);
}
END_TEST

START_TEST(key_forgets_names_only)
{
	Bench t, u;
	bench_start(&t);
	bench_start(&u);
	u.k->name = "another";
	u.buffer[0].name = "picture";
	build_matmul(&t);
	build_matmul(&u);
	ck_assert_str_eq(k_key(&t.p, t.k, t.a), k_key(&u.p, u.k, u.a));
	u.k->axis[2].extent = 5;
	ck_assert_str_ne(k_key(&t.p, t.k, t.a), k_key(&u.p, u.k, u.a));
	arena_free(t.a);
	arena_free(u.a);
}
END_TEST

/* ---- verifier ---- */
static void leave_dimension(Kernel *k) { k->expr[1].at[1].c0 = 1; }
static void forget_sample(Kernel *k) { k->expr[0].at[0].c0 = 1; }
static void unbind(Kernel *k) { k->stage[0].away = 0; }
static void parallel_sum(Kernel *k) { k->par |= 4; }
static void swap_stages(Kernel *k)
{
	const KStage s = k->stage[0];
	k->stage[0] = k->stage[1];
	k->stage[1] = s;
	for (int i = 0; i < k->nexprs; i++)
		k->expr[i].stage = (int16_t)(k->expr[i].op == K_LOCAL ? 1 : -1);
}
static void read_output(Kernel *k) { k->opnd[0].mode = M_OUT; }
static void wrong_type(Kernel *k) { k->expr[k->stage[0].value].type = DT_I32; }
static void two_writers(Kernel *k) { k->opnd[2].buf = 1; }
static void inside_out(Kernel *k)
{
	k->sched = (KSchedule){ .nloops = 2, .loop = { { L_VECTOR, 1, 16 }, { L_LOOP, 1, 16 } } };
}

static const struct { void (*spoil)(Kernel *); const char *says; } spoilers[] = {
	{ leave_dimension, "dimension 1 of w may be left" },
	{ forget_sample, "dimension 0 of x may be left" },
	{ unbind, "does not bind" },
	{ parallel_sum, "parallel axis" },
	{ swap_stages, "later local" },
	{ read_output, "not an input" },
	{ wrong_type, "gives i32" },
	{ two_writers, "does not fit its buffer" },
	{ inside_out, "inside out" },
};

START_TEST(broken_kernels_are_found)
{
	Bench t;
	bench_start(&t);
	build_matmul(&t);
	spoilers[_i].spoil(t.k);
	Diag *d = diag_new();
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	ck_assert(!k_verify(&t.p, d));
	diag_print(d, f);
	fclose(f);
	ck_assert_msg(strstr(text, spoilers[_i].says), "%s", text);
	free(text);
	diag_free(d);
	arena_free(t.a);
}
END_TEST

/* ---- evaluation ---- */
static double **memory(Bench *t, int64_t n)
{
	double **m = NEWN(t->a, double *, t->p.nbuffers);
	for (int i = 0; i < t->p.nbuffers; i++) {
		m[i] = NEWN(t->a, double, n * 36);
		for (int64_t k = 0; k < n * 36; k++)
			m[i][k] = (double)(k % 7) - 3;
	}
	return m;
}

START_TEST(matmul_computes)
{
	Bench t;
	bench_start(&t);
	build_matmul(&t);
	const KMemory mem = { memory(&t, 3), 3, NULL };
	k_eval(&t.p, t.k, &mem);
	for (int n = 0; n < 3; n++) {
		for (int k = 0; k < 4; k++) {
			double sum = 0;
			for (int i = 0; i < 6; i++)
				sum += mem.buffer[0][n * 6 + i] * mem.buffer[1][i * 4 + k];
			ck_assert_double_eq(mem.buffer[2][n * 4 + k], sum);
		}
	}
	arena_free(t.a);
}
END_TEST

/* w[i,k] = w[i,k] + 1 and nothing else moves: loads see memory as it was. */
START_TEST(in_place)
{
	Bench t;
	bench_start(&t);
	const KIndex at[2] = { k_index_axis(k_axis(t.a, t.k, "i", EXT_CONST, 6)), k_index_axis(k_axis(t.a, t.k, "k", EXT_CONST, 4)) };
	const int w = k_load(t.a, t.k, operand(&t, 1, M_IN), at, EDGE_NEVER), one = k_konst(t.a, t.k, DT_F32, 1);
	k_store(t.a, t.k, operand(&t, 1, M_OUT), at, k_ewise(t.a, t.k, EW_add, DT_F32, w, one, -1));
	k_finish(t.k);
	const KMemory mem = { memory(&t, 1), 1, NULL };
	k_eval(&t.p, t.k, &mem);
	for (int i = 0; i < 24; i++)
		ck_assert_double_eq(mem.buffer[1][i], (double)(i % 7) - 2);
	arena_free(t.a);
}
END_TEST

/* Parts of two samples add x into their own copy; the second kernel sums the copies. */
START_TEST(partial_sums)
{
	Bench t;
	bench_start(&t);
	Kernel *sum = t.kernels[1] = k_new(t.a, "sum", nowhere);
	t.entry.nkernels = 2;
	const int n = k_axis(t.a, t.k, "n", EXT_N, 5);
	const KIndex i = k_index_axis(k_axis(t.a, t.k, "i", EXT_CONST, 6));
	const int x = k_load(t.a, t.k, operand(&t, 0, M_IN), (KIndex[]){ k_index_axis(n), i }, EDGE_NEVER);
	k_add(t.a, t.k, operand(&t, 3, M_ADD), (KIndex[]){ k_index(0), i }, k_reduce(t.a, t.k, "s", RED_sum, 1u << n, x, DT_F32));
	k_finish(t.k);
	const int parts = k_axis(t.a, sum, "q", EXT_PARTS, 3);
	sum->axis[parts].rows = 2;
	const KIndex j = k_index_axis(k_axis(t.a, sum, "j", EXT_CONST, 6));
	const int p = k_operand(t.a, sum, "p", 3, t.buffer[3].type, M_IN), w = k_operand(t.a, sum, "w", 1, t.buffer[1].type, M_OUT);
	const int all = k_reduce(t.a, sum, "s", RED_sum, 1u << parts,
	                         k_load(t.a, sum, p, (KIndex[]){ k_index_axis(parts), j }, EDGE_NEVER), DT_F32);
	k_store(t.a, sum, w, (KIndex[]){ j, k_index(0) }, all);
	k_finish(sum);
	KItem first = { .kind = I_RUN, .kernel = 0 };
	KItem tree[2] = { { .kind = I_PART, .axis = -1, .size = 2, .body = &first, .nbody = 1 }, { .kind = I_RUN, .kernel = 1 } };
	t.entry.item = tree;
	t.entry.nitems = 2;
	Diag *d = diag_new();
	ck_assert(k_verify(&t.p, d));
	for (int64_t samples = 1; samples <= 5; samples++) {
		const KMemory mem = { memory(&t, 5), samples, NULL };
		k_eval_entry(&t.p, &t.entry, &mem, true);
		for (int k = 0; k < 6; k++) {
			double want = 0;
			for (int64_t s = 0; s < samples; s++)
				want += mem.buffer[0][s * 6 + k];
			ck_assert_double_eq(mem.buffer[1][k * 4], want);
		}
	}
	diag_free(d);
	arena_free(t.a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("kernel");
	TCase *c = tcase_create("kernel");
	tcase_add_test(c, equal_expressions_are_one);
	tcase_add_test(c, operands_and_names);
	tcase_add_test(c, matmul_is_a_contraction);
	tcase_add_test(c, flops_leave_out_what_lies_outside);
	tcase_add_test(c, finish_drops_what_no_store_needs);
	tcase_add_loop_test(c, parallel_axes_do_not_meet, 0, (int)COUNT(maps));
	tcase_add_test(c, text_of_a_kernel);
	tcase_add_test(c, key_forgets_names_only);
	tcase_add_loop_test(c, broken_kernels_are_found, 0, (int)COUNT(spoilers));
	tcase_add_test(c, matmul_computes);
	tcase_add_test(c, in_place);
	tcase_add_test(c, partial_sums);
	suite_add_tcase(s, c);
	return suite_run(s);
}

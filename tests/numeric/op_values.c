/* op_values.c -- every row of the `eval` column against values known from elsewhere
 *
 * Convolutions, poolings and softmax: literals computed with TensorFlow 2.21 (SAME is written out as padding). The
 * other rows: small cases by hand, edges first (NaN, ties, wrapping, one sample). Philox: the test vectors of
 * Random123.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "tests/numeric/one_op.h"
#include "tests/support/suite.h"

typedef struct Known {
	OneOp op;
	int64_t n;
	const double *in[3], *want;
} Known;

#define V(...) (const double[]){ __VA_ARGS__ }
#define WIN(kh, kw, sh, sw, t, l, b, r) { .size = { kh, kw }, .stride = { sh, sw }, .dilation = { 1, 1 }, \
	.pad = { t, l, b, r }, .groups = 1 }
#define NO_ATTR { { 0 } }

static const IrScalars scalars = { .lr = 0.125, .seed = 0x123456789abcdef0u, .step = 3, .pass = 7 };

/* ---- pointwise: name, operands, result ---- */
static const struct { OpCode op; double a, b, c, want; } pointwise[] = {
	{ OP_neg, 2, 0, 0, -2 },
	{ OP_abs, -3, 0, 0, 3 },
	{ OP_exp, 1, 0, 0, 2.718281828459045 },
	{ OP_log, 10, 0, 0, 2.302585092994046 },
	{ OP_log1p, 1e-10, 0, 0, 9.9999999995e-11 },
	{ OP_sqrt, 2, 0, 0, 1.4142135623730951 },
	{ OP_rsqrt, 4, 0, 0, 0.5 },
	{ OP_sin, 1, 0, 0, 0.8414709848078965 },
	{ OP_cos, 1, 0, 0, 0.5403023058681398 },
	{ OP_tanh, 0.5, 0, 0, 0.46211715726000975 },
	{ OP_erf, 0.5, 0, 0, 0.5204998778130465 },
	{ OP_sigmoid, 2, 0, 0, 0.8807970779778825 },
	{ OP_sigmoid, -1000, 0, 0, 0 },
	{ OP_relu, -2, 0, 0, 0 }, { OP_relu, 2, 0, 0, 2 }, { OP_relu, NAN, 0, 0, NAN },
	{ OP_sign, -2, 0, 0, -1 }, { OP_sign, 0, 0, 0, 0 }, { OP_sign, 7, 0, 0, 1 },
	{ OP_floor, -1.5, 0, 0, -2 },
	{ OP_add, 2, 3, 0, 5 }, { OP_sub, 2, 3, 0, -1 }, { OP_mul, 2, 3, 0, 6 }, { OP_div, 3, 2, 0, 1.5 },
	{ OP_max, 2, 3, 0, 3 }, { OP_max, NAN, 3, 0, NAN }, { OP_min, 2, 3, 0, 2 }, { OP_min, 2, NAN, 0, 2 },
	{ OP_lt, 2, 3, 0, 1 }, { OP_lt, 3, 3, 0, 0 }, { OP_lt, NAN, 3, 0, 0 },
	{ OP_le, 3, 3, 0, 1 }, { OP_eq, 3, 3, 0, 1 }, { OP_eq, NAN, NAN, 0, 0 },
	{ OP_and, 1, 0, 0, 0 }, { OP_and, 1, 1, 0, 1 },
	{ OP_select, 1, 5, 6, 5 }, { OP_select, 0, 5, 6, 6 },
	{ OP_cast, 1.5, 0, 0, 1.5 },
};

static const struct { const char *row; double a, b; DType to; double want; } integer[] = {
	{ "add", 2147483647, 1, DT_I32, -2147483648.0 }, { "sub", 0, 1, DT_U32, 4294967295.0 },
	{ "add", 200, 100, DT_U8, 44 }, { "neg", 1, 0, DT_U8, 255 },
	{ "mul", 4294967295.0, 4294967295.0, DT_U32, 1 }, { "mul", 65536, 65536, DT_I32, 0 },
	{ "mul", -3, 5, DT_I32, -15 }, { "div", -7, 2, DT_I32, -3 }, { "div", 1, 0, DT_I32, 0 },
	{ "cast", -1.9, 0, DT_I32, -1 }, { "cast", 255.9, 0, DT_U8, 255 }, { "cast", 256, 0, DT_U8, 0 },
	{ "cast", -1, 0, DT_U32, 4294967295.0 }, { "cast", 0.5, 0, DT_BOOL, 1 }, { "cast", NAN, 0, DT_I32, 0 },
	{ "cast", 1e300, 0, DT_I32, 0 }, { "shr", 4294967295.0, 16, DT_U32, 65535 }, { "shl", 1, 31, DT_U32, 2147483648.0 },
	{ "band", 65539, 65535, DT_I32, 3 },
};

/* ---- everything else ---- */
#define X542 V(-3, -2, -1, 0, 1, 2, 3, -3, -2, -1, 0, 1, 2, 3, -3, -2, -1, 0, 1, 2, 3, -3, -2, -1, 0, 1, 2, 3, -3, -2, \
	-1, 0, 1, 2, 3, -3, -2, -1, 0, 1)
#define W3223 V(-2, -1, 0, 1, 2, -2, -1, 0, 1, 2, -2, -1, 0, 1, 2, -2, -1, 0, 1, 2, -2, -1, 0, 1, 2, -2, -1, 0, 1, 2, \
	-2, -1, 0, 1, 2, -2)
#define W2214 V(-2, -1, 0, 1, 2, -2, -1, 0, 1, 2, -2, -1, 0, 1, 2, -2)
#define DY323 V(-1, 0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2, -1, 0)
#define P54 V(-5, 2, -2, 5, 1, -3, 4, 0, -4, 3, -1, -5, 2, -2, 5, 1, -3, 4, 0, -4)
#define SAME_POOL { .pool = WIN(3, 2, 2, 2, 1, 0, 1, 0) }

static const Known known[] = {
	{ { OP_konst, { NULL }, "f32[N,2]", { .konst = { 1.5 } } }, 2, { NULL }, V(1.5, 1.5, 1.5, 1.5) },
	{ { OP_scalar, { NULL }, NULL, { .scalar = { SC_LR, 0 } } }, 4, { NULL }, V(0.125) },
	{ { OP_scalar, { NULL }, NULL, { .scalar = { SC_INV_N, 0 } } }, 4, { NULL }, V(0.25) },
	{ { OP_scalar, { NULL }, NULL, { .scalar = { SC_STEP, 0 } } }, 4, { NULL }, V(3) },
	{ { OP_scalar, { NULL }, NULL, { .scalar = { SC_PASS, 0 } } }, 4, { NULL }, V(7) },
	{ { OP_scalar, { NULL }, NULL, { .scalar = { SC_POWER, 0.5 } } }, 4, { NULL }, V(0.125) },
	{ { OP_iota, { NULL }, "i32[N,3]", { .axis = { 1 } } }, 2, { NULL }, V(0, 1, 2, 0, 1, 2) },
	{ { OP_iota, { NULL }, "i32[N,3]", { .axis = { 0 } } }, 2, { NULL }, V(0, 0, 0, 1, 1, 1) },
	/* broadcasting of pointwise operands, both ways at once */
	{ { OP_sub, { "f32[N,1]", "f32[3]" }, NULL, NO_ATTR }, 2, { V(10, 20), V(1, 2, 3) }, V(9, 8, 7, 19, 18, 17) },
	{ { OP_reshape, { "f32[N,2,2]" }, "f32[N,4]", NO_ATTR }, 1, { V(1, 2, 3, 4) }, V(1, 2, 3, 4) },
	{ { OP_broadcast, { "f32[2,1]" }, "f32[N,2,2]", NO_ATTR }, 2, { V(1, 2) }, V(1, 1, 2, 2, 1, 1, 2, 2) },
	{ { OP_transpose, { "f32[1,2,3]" }, NULL, { .perm = { { 2, 0, 1 } } } }, 1, { V(1, 2, 3, 4, 5, 6) },
	  V(1, 4, 2, 5, 3, 6) },
	{ { OP_concat, { "f32[N,1]", "f32[N,2]", "f32[N,1]" }, NULL, { .axis = { 1 } } }, 2,
	  { V(1, 2), V(3, 4, 5, 6), V(7, 8) }, V(1, 3, 4, 7, 2, 5, 6, 8) },
	{ { OP_slice, { "f32[N,4]" }, NULL, { .slice = { 1, 1, 2 } } }, 2, { V(1, 2, 3, 4, 5, 6, 7, 8) }, V(2, 3, 6, 7) },
	{ { OP_pad, { "f32[N,2]" }, NULL, { .slice = { 1, 1, 4 } } }, 2, { V(1, 2, 3, 4) }, V(0, 1, 2, 0, 0, 3, 4, 0) },
	{ { OP_sum, { "f32[N,2,3]" }, NULL, { .reduce = { 5, false } } }, 2,
	  { V(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12) }, V(30, 48) },
	{ { OP_sum, { "u8[4]" }, NULL, { .reduce = { 1, true } } }, 1, { V(200, 100, 3, 4) }, V(51) },
	{ { OP_reduce_max, { "f32[N,3]" }, NULL, { .reduce = { 2, false } } }, 3,
	  { V(1, 3, 2, -5, -6, -4, 1, NAN, 2) }, V(3, -4, NAN) },
	{ { OP_argmax, { "f32[N,3]" }, NULL, { .reduce = { 2, false } } }, 4,
	  { V(1, 3, 2, 5, 5, 5, 1, NAN, 2, -INFINITY, -INFINITY, -1) }, V(1, 0, 1, 2) },
	{ { OP_argmax, { "f32[2,2]" }, NULL, { .reduce = { 1, true } } }, 1, { V(1, 4, 3, 2) }, V(1, 0) },
	{ { OP_matmul, { "f32[N,3]", "f32[3,2]" }, NULL, NO_ATTR }, 1, { V(1, 2, 3), V(1, 2, 3, 4, 5, 6) }, V(22, 28) },
	{ { OP_matmul, { "f32[N,2]", "f32[3,2]" }, NULL, { .matmul = { false, true } } }, 2,
	  { V(1, 2, 3, 4), V(1, 2, 3, 4, 5, 6) }, V(5, 11, 17, 11, 25, 39) },
	{ { OP_matmul, { "f32[N,2]", "f32[N,1]" }, NULL, { .matmul = { true, false } } }, 3,
	  { V(1, 2, 3, 4, 5, 6), V(1, 10, 100) }, V(531, 642) },
	{ { OP_matmul, { "f32[2,1]", "f32[3,2]" }, NULL, { .matmul = { true, true } } }, 1,
	  { V(1, 10), V(1, 2, 3, 4, 5, 6) }, V(21, 43, 65) },
	{ { OP_conv2d, { "f32[N,5,4,2]", "f32[3,2,2,3]" }, NULL, { .conv = WIN(3, 2, 1, 1, 0, 0, 0, 0) } }, 1,
		{ X542, W3223 },
	  V(4, 3, -3, -5, -9, 7, -7, -7, 3, 3, 4, -5, 15, -1, -2, -1, 15, 1, -5, -9, 7, -7, -7, 3, -9, -5, -1) },
	{ { OP_conv2d, { "f32[N,5,4,2]", "f32[3,2,2,3]" }, NULL, { .conv = WIN(3, 2, 2, 2, 1, 0, 1, 0) } }, 1,
		{ X542, W3223 },
	  V(0, 2, -6, 10, 3, 1, 3, 4, -5, -1, 15, 1, 7, 1, -10, 6, -2, 0) },
	{ { OP_conv2d, { "f32[N,5,4,2]", "f32[3,2,2,3]" }, NULL,
	    { .conv = { { 3, 2 }, { 1, 1 }, { 2, 1 }, { 2, 1, 1, 0 }, 1 } } }, 1, { X542, W3223 },
	  V(1, -5, 4, 1, 2, -7, -8, -8, 7, 11, -4, -14, 0, -2, 1, 0, 4, -7, 5, 1, 7, -11, -2, 7, -2, 5, -3, -3, -9,
	  10, 16, -7, -15, -7, 16, 9, -1, 2, 0, 2, 1, 0, -2, -11, 5, 1, 5, -11) },
	{ { OP_conv2d, { "f32[N,5,4,2]", "f32[2,2,1,4]" }, NULL,
	    { .conv = { { 2, 2 }, { 1, 1 }, { 1, 1 }, { 0 }, 2 } } }, 1, { X542, W2214 },
	  V(2, 1, 4, -3, 4, 1, 2, -7, 6, -6, -7, 3, 3, 1, 3, -5, 5, 1, -13, 5, -7, 8, 6, 8, 4, 1, 2, -7, 6, -6, -7,
	  3, -13, -6, 5, -1, 5, 1, -13, 5, -7, 8, 6, 8, 2, 1, 4, -3) },
	{ { OP_conv2d_dx, { "f32[N,3,2,3]", "f32[3,2,2,3]" }, "f32[N,5,4,2]", { .conv = WIN(3, 2, 2, 2, 1, 0, 1, 0) } }, 1,
	  { DY323, W3223 },
	  V(2, 2, -3, 2, -1, -3, 0, -2, -7, 9, 0, -4, 5, -3, -1, -4, 0, -4, 7, -2, 5, -1, -2, 2, 1, -3, -2, 4, -7,
	  5, -3, 4, 2, 2, -3, 2, -1, -3, 0, -2) },
	{ { OP_conv2d_dw, { "f32[N,5,4,2]", "f32[N,3,2,3]" }, "f32[3,2,2,3]", { .conv = WIN(3, 2, 2, 2, 1, 0, 1, 0) } }, 1,
	  { X542, DY323 },
	  V(-8, 1, 6, -6, 3, 8, -4, -2, -4, -2, 0, -2, -1, 2, 5, 2, -4, -6, 5, -3, -3, 1, 5, -7, 6, -5, -8, 8, -3,
	  -6, -4, 6, -4, -2, 8, -2) },
	{ { OP_maxpool, { "f32[N,5,4,1]" }, NULL, SAME_POOL }, 1, { P54 }, V(2, 5, 3, 5, 4, 5) },
	{ { OP_maxpool, { "f32[N,5,4,1]" }, NULL, { .pool = WIN(2, 2, 3, 3, 0, 0, 0, 0) } }, 1, { P54 }, V(2, 4) },
	/* padding never wins, the first NaN does; ties go to the first cell */
	{ { OP_maxpool, { "f32[N,1,2,1]" }, NULL, { .pool = WIN(2, 2, 1, 1, 1, 0, 0, 0) } }, 2, { V(-3, -2, NAN, 9) },
	  V(-2, NAN) },
	{ { OP_maxpool_arg, { "f32[N,1,2,1]" }, NULL, { .pool = WIN(2, 2, 1, 1, 1, 0, 0, 0) } }, 3,
	  { V(-3, -2, 1, NAN, 4, 4) },
	  V(3, 3, 2) },
	{ { OP_maxpool_arg, { "f32[N,5,4,1]" }, NULL, SAME_POOL }, 1, { P54 }, V(3, 3, 3, 4, 3, 0) },
	{ { OP_maxpool_dx, { "f32[N,3,2,1]", "u8[N,3,2,1]" }, "f32[N,5,4,1]", SAME_POOL }, 1,
	  { V(1, 2, 3, 4, 5, 6), V(3, 3, 3, 4, 3, 0) }, V(0, 1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 10, 0, 0, 5, 0, 0) },
	{ { OP_avgpool, { "f32[N,5,4,1]" }, NULL, SAME_POOL }, 1, { P54 }, V(-1.25, 1.75, -0.5, 2.0 / 3, 0.25, 0.5) },
	{ { OP_avgpool_dx, { "f32[N,3,2,1]" }, "f32[N,5,4,1]", SAME_POOL }, 1, { V(1, 2, 3, 4, 5, 6) },
	  V(.25, .25, .5, .5, .75, .75, 7.0 / 6, 7.0 / 6, .5, .5, 2.0 / 3, 2.0 / 3, 1.75, 1.75, 13.0 / 6, 13.0 / 6,
	  1.25, 1.25, 1.5, 1.5) },
	{ { OP_softmax, { "f32[N,3]" }, NULL, NO_ATTR }, 2, { V(1, 2, 3.5, 1000, 0, -1000) },
	  V(0.0628900132458675, 0.17095278019779026, 0.7661572065563422, 1, 0, 0) },
	{ { OP_log_softmax, { "f32[N,3]" }, NULL, NO_ATTR }, 2, { V(1, 2, 3.5, 1000, 0, -1000) },
	  V(-2.7663678998071335, -1.7663678998071337, -0.26636789980713366, 0, -1000, -2000) },
};

/* Rows that have tests of their own below, or whose value is the caller's. */
static bool tested_elsewhere(OpCode op)
{
	return op == OP_input || op == OP_state || op == OP_random || op == OP_affine_draw || op == OP_warp;
}

START_TEST(every_row_has_a_case)
{
	for (int op = 0; op < OP_COUNT; op++) {
		bool found = tested_elsewhere((OpCode)op);
		for (size_t i = 0; i < COUNT(known); i++)
			found |= known[i].op.op == (OpCode)op;
		for (size_t i = 0; i < COUNT(pointwise); i++)
			found |= pointwise[i].op == (OpCode)op;
		ck_assert_msg(found, "no case for %s", ir_ops[op].text);
	}
}
END_TEST

static bool near(double got, double want)
{
	return (isnan(got) && isnan(want)) || got == want || fabs(got - want) <= 1e-12 + 1e-12 * fabs(want);
}

/* A whole entry runs, so that ports, roots and the walk are tested with the op. */
static void run_known(const Known *k, double *out, int64_t *elems)
{
	IrModule *m = ir_module_new("known");
	IrEntry *e = ir_entry_new(m, "predict");
	IrNode *y = one_op_build(e, &k->op);
	ir_root_new(e, (IrRoot){ .kind = ROOT_OUTPUT, .name = "y", .value = y });
	*elems = ir_elems(&y->type, k->n);
	ck_assert_int_le(*elems, 256);
	ir_eval(e, k->n, &scalars, NULL, k->in, (double *[]){ out });
	ir_module_free(m);
}

START_TEST(known_values)
{
	const Known *k = &known[_i];
	double out[256];
	int64_t elems;
	run_known(k, out, &elems);
	for (int64_t i = 0; i < elems; i++)
		ck_assert_msg(near(out[i], k->want[i]), "%s, case %d [%d]: %.17g, not %.17g", ir_ops[k->op.op].text, _i, (int)i,
		              out[i], k->want[i]);
}
END_TEST

START_TEST(pointwise_values)
{
	OpCode op = pointwise[_i].op;
	double got = ir_ewise(ir_ops[op].text, pointwise[_i].a, pointwise[_i].b, pointwise[_i].c, DT_F32);
	ck_assert_msg(near(got, pointwise[_i].want), "%s, case %d: %.17g, not %.17g", ir_ops[op].text, _i, got,
	              pointwise[_i].want);
}
END_TEST

START_TEST(integers_wrap)
{
	double got = ir_ewise(integer[_i].row, integer[_i].a, integer[_i].b, 0, integer[_i].to);
	ck_assert_msg(got == integer[_i].want, "%s, case %d: %.17g, not %.17g", integer[_i].row, _i, got, integer[_i].want);
}
END_TEST

/* ---- random numbers ---- */
/* kat_vectors of Random123, philox4x32 10 */
START_TEST(philox_vectors)
{
	static const uint32_t zero[4] = { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 };
	static const uint32_t ones[4] = { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd };
	static const uint32_t digits[4] = { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 };
	for (int w = 0; w < 4; w++) {
		ck_assert_uint_eq(philox(0, 0, 0, 0, 0, w), zero[w]);
		ck_assert_uint_eq(philox(UINT64_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, w), ones[w]);
		ck_assert_uint_eq(philox(0x299f31d0a4093822u, 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, w), digits[w]);
	}
}
END_TEST

START_TEST(random_counters)
{
	Known by_row = { { OP_random, { NULL }, "f32[N,2,3]", { .random = { 5, false } } }, 2, { NULL }, NULL };
	Known by_id = { { OP_random, { "u32[N]" }, "f32[N,2,3]", { .random = { 5, true } } }, 2,
		{ V(99, 4000000000.0) }, NULL };
	double out[256];
	int64_t elems;
	run_known(&by_row, out, &elems);
	for (uint32_t i = 0; i < 12; i++)
		ck_assert(out[i] == (philox(scalars.seed, i % 6, i / 6, scalars.step, 5, 0) >> 8) * 0x1p-24);
	run_known(&by_id, out, &elems);
	for (uint32_t i = 0; i < 12; i++)
		ck_assert(out[i] == (philox(scalars.seed, i % 6, i < 6 ? 99 : 4000000000u, scalars.pass, 5, 0) >> 8) * 0x1p-24);
}
END_TEST

/* ---- pictures ---- */
enum { IDS = 40 };

static void draw(Known k, int64_t n, double *out)
{
	double ids[IDS];
	int64_t elems;
	for (int i = 0; i < IDS; i++)
		ids[i] = i * 1000;
	k.n = n;
	k.in[0] = ids;
	run_known(&k, out, &elems);
	ck_assert_int_eq(elems, n * 6);
}

static const IrAttr still = { .affine = { .zoom_lo = 1, .zoom_hi = 1, .zoom_y_lo = 1, .zoom_y_hi = 1, .height = 4, .width = 6, .stream = 2 } };

START_TEST(affine_identity)
{
	double out[256];
	draw((Known){ .op = { OP_affine_draw, { "u32[N]" }, NULL, still } }, IDS, out);
	for (int i = 0; i < IDS; i++)
		ck_assert(!memcmp(out + i * 6, V(65536, 0, 0, 0, 65536, 0), 6 * sizeof *out));
}
END_TEST

/* About half of the samples each; a flip of 6 columns maps 0 to 5. */
START_TEST(affine_flips)
{
	double out[256];
	int horizontal = 0, vertical = 0;
	IrAttr attr = still;
	attr.affine.flip_h = attr.affine.flip_v = true;
	draw((Known){ .op = { OP_affine_draw, { "u32[N]" }, NULL, attr } }, IDS, out);
	for (int i = 0; i < IDS; i++) {
		const double *m = out + i * 6;
		bool h = m[4] < 0, v = m[0] < 0;
		ck_assert(m[4] == (h ? -65536 : 65536) && m[5] == (h ? 5 * 65536 : 0) && m[3] == 0);
		ck_assert(m[0] == (v ? -65536 : 65536) && m[2] == (v ? 3 * 65536 : 0) && m[1] == 0);
		horizontal += h;
		vertical += v;
	}
	ck_assert(horizontal > 8 && horizontal < 32 && vertical > 8 && vertical < 32);
}
END_TEST

/* Height shifts move rows, width shifts columns, by fractions of the picture's sides. */
START_TEST(affine_shifts)
{
	double out[256];
	IrAttr attr = still;
	attr.affine.height_shift = 0.25;
	attr.affine.width_shift = 0.5;
	draw((Known){ .op = { OP_affine_draw, { "u32[N]" }, NULL, attr } }, IDS, out);
	for (int i = 0; i < IDS; i++) {
		double uy = (philox(scalars.seed, 1, (uint32_t)i * 1000, scalars.pass, 2, 0) >> 8) * 0x1p-24;
		double ux = (philox(scalars.seed, 2, (uint32_t)i * 1000, scalars.pass, 2, 0) >> 8) * 0x1p-24;
		ck_assert(out[i * 6 + 2] == floor((uy * 2 - 1) * 0.25 * 4 * 65536 + 0.5));
		ck_assert(out[i * 6 + 5] == floor((ux * 2 - 1) * 0.5 * 6 * 65536 + 0.5));
	}
}
END_TEST

/* The map composes as Keras multiplies its matrices, and the picture's centre stays where it is without shift. */
START_TEST(affine_full)
{
	double out[256];
	IrAttr attr = still;
	attr.affine.rotation = 30;
	attr.affine.shear = 20;
	attr.affine.zoom_lo = 0.5;
	attr.affine.zoom_hi = 1.5;
	attr.affine.zoom_y_lo = 0.25;
	attr.affine.zoom_y_hi = 1.5;
	attr.affine.one_zoom = _i == 1;
	draw((Known){ .op = { OP_affine_draw, { "u32[N]" }, NULL, attr } }, IDS, out);
	for (int i = 0; i < IDS; i++) {
		double u[6], *m = out + i * 6;
		for (uint32_t k = 0; k < 6; k++)
			u[k] = (philox(scalars.seed, k, (uint32_t)i * 1000, scalars.pass, 2, 0) >> 8) * 0x1p-24;
		double theta = (2 * u[0] - 1) * 30 * acos(-1) / 180, phi = (2 * u[3] - 1) * 20 * acos(-1) / 180;
		double zx = 0.5 + u[4], zy = 0.25 + 1.25 * u[_i == 1 ? 4 : 5];
		ck_assert_double_eq_tol(m[4], cos(theta) * zx * 65536, 0.51);
		ck_assert_double_eq_tol(m[3], -sin(theta + phi) * zy * 65536, 0.51);
		ck_assert_double_eq_tol(m[1], sin(theta) * zx * 65536, 0.51);
		ck_assert_double_eq_tol(m[0], cos(theta + phi) * zy * 65536, 0.51);
		ck_assert_double_eq_tol(m[0] * 1.5 + m[1] * 2.5 + m[2], 1.5 * 65536, 3);
		ck_assert_double_eq_tol(m[3] * 1.5 + m[4] * 2.5 + m[5], 2.5 * 65536, 3);
	}
}
END_TEST

static double warp_1d(IrFill fill, double from, double cval)
{
	/* one row of three pixels, result pixel 0 reads `from` */
	Known k = { { OP_warp, { "u8[N,1,3,1]", "i32[N,6]" }, NULL, { .warp = { fill, cval } } }, 1,
		{ V(10, 20, 40), V(65536, 0, 0, 0, 65536, floor(from * 65536)) }, NULL };
	double out[256];
	int64_t elems;
	run_known(&k, out, &elems);
	return out[0];
}

START_TEST(warp_fill_modes)
{
	ck_assert(warp_1d(FILL_NEAREST, 0.5, 0) == 15);
	ck_assert(warp_1d(FILL_NEAREST, 1.25, 0) == 25);
	ck_assert(warp_1d(FILL_NEAREST, -7.5, 0) == 10);
	ck_assert(warp_1d(FILL_NEAREST, 2.5, 0) == 40);
	ck_assert(warp_1d(FILL_CONSTANT, 5, 7) == 7);
	ck_assert(warp_1d(FILL_CONSTANT, -0.5, 30) == 20);
	/* ... 40 20 10 | 10 20 40 | 40 20 10 | 10 20 40 */
	static const double reflect[] = { 10, 20, 40, 40, 20, 10 };
	for (int at = -9; at < 12; at++) {
		ck_assert(warp_1d(FILL_REFLECT, at, 0) == reflect[(at + 12) % 6]);
		ck_assert(warp_1d(FILL_WRAP, at, 0) == reflect[(at + 12) % 3]);
	}
	ck_assert(warp_1d(FILL_WRAP, 2.5, 0) == 25);
}
END_TEST

/* A horizontal flip of two samples with two channels; the second sample is also shifted down by one row. */
START_TEST(warp_channels_and_samples)
{
	Known k = { { OP_warp, { "u8[N,2,2,2]", "i32[N,6]" }, NULL, { .warp = { FILL_NEAREST, 0 } } }, 2,
		{ V(1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18),
		  V(65536, 0, 0, 0, -65536, 65536, 65536, 0, -65536, 0, -65536, 65536) }, NULL };
	const double *want = V(3, 4, 1, 2, 7, 8, 5, 6, 13, 14, 11, 12, 13, 14, 11, 12);
	double out[256];
	int64_t elems;
	run_known(&k, out, &elems);
	for (int i = 0; i < 16; i++)
		ck_assert(out[i] == want[i]);
}
END_TEST

/* ---- entries ---- */
/* Metrics sum over samples; updates see the state as it was; roots nobody asks for are skipped. */
START_TEST(entry_roots)
{
	IrModule *m = ir_module_new("roots");
	IrType one = one_op_type("f32[2]");
	IrState *a = ir_state_new(m, "a", one, STATE_STAT, (Loc){ 0 });
	IrState *b = ir_state_new(m, "b", one, STATE_STAT, (Loc){ 0 });
	IrEntry *e = ir_entry_new(m, "evaluate");
	IrNode *x = ir_input(e, (Loc){ 0 }, ir_port_new(e, "x", one_op_type("f32[N,2]")));
	IrNode *ra = ir_state_read(e, (Loc){ 0 }, a), *rb = ir_state_read(e, (Loc){ 0 }, b);
	ir_root_new(e, (IrRoot){ .kind = ROOT_UPDATE, .value = rb, .state = a });
	ir_root_new(e, (IrRoot){ .kind = ROOT_UPDATE, .value = ra, .state = b });
	ir_root_new(e, (IrRoot){ .kind = ROOT_METRIC, .name = "each", .value = x });
	ir_root_new(e, (IrRoot){ .kind = ROOT_METRIC, .name = "all", .value = ir_reduce(e, OP_sum, x, 2, false) });
	ir_root_new(e, (IrRoot){ .kind = ROOT_OUTPUT, .name = "unused", .value = x });
	double va[] = { 1, 2 }, vb[] = { 3, 4 }, out[4][2];
	ir_eval(e, 3, &scalars, (double *[]){ va, vb }, (const double *[]){ V(1, 10, 2, 20, 3, 30) },
	        (double *[]){ out[0], out[1], out[2], out[3], NULL });
	ck_assert(out[0][0] == 3 && out[0][1] == 4 && out[1][0] == 1 && out[1][1] == 2);
	ck_assert(out[2][0] == 6 && out[2][1] == 60 && out[3][0] == 66);
	ir_module_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("op_values");
	TCase *t = tcase_create("rows");
	tcase_add_test(t, every_row_has_a_case);
	tcase_add_loop_test(t, known_values, 0, (int)COUNT(known));
	tcase_add_loop_test(t, pointwise_values, 0, (int)COUNT(pointwise));
	tcase_add_loop_test(t, integers_wrap, 0, (int)COUNT(integer));
	tcase_add_test(t, philox_vectors);
	tcase_add_test(t, random_counters);
	tcase_add_test(t, affine_identity);
	tcase_add_test(t, affine_flips);
	tcase_add_test(t, affine_shifts);
	tcase_add_loop_test(t, affine_full, 0, 2);
	tcase_add_test(t, warp_fill_modes);
	tcase_add_test(t, warp_channels_and_samples);
	tcase_add_test(t, entry_roots);
	suite_add_tcase(s, t);
	return suite_run(s);
}

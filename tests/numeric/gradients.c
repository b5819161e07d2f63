/* gradients.c -- every rule of the `grad` column against finite differences, in double
 *
 * A case is one node y of random operands. With a random r, loss = sum(y * r); ir_grad with dy = r must give what
 * central differences of the loss give. No differentiable op may be without a case.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "tests/numeric/one_op.h"
#include "tests/support/suite.h"

typedef struct Case {
	OneOp op;
	double lo, hi; /* range of the operands; 0 0: -2 to 2. Integer operands: lo to hi inclusive, from 0 0: 0 or 1 */
} Case;

#define WIN(kh, kw, sh, sw, t, l, b, r) { .size = { kh, kw }, .stride = { sh, sw }, .dilation = { 1, 1 }, \
	.pad = { t, l, b, r }, .groups = 1 }
/* Windows over (N, depth, height, width, channels). */
#define SPACE { .size = { 2, 2, 2 }, .stride = { 2, 1, 1 }, .dilation = { 1, 1, 1 }, .pad = { 0, 1, 1, 0, 1, 0 }, .groups = 1 }
#define UNARY(name, lo, hi) { { OP_##name, { "f32[N,3]" }, NULL, { { 0 } } }, lo, hi }, \
	{ { OP_##name, { "f32[2,1,4]" }, NULL, { { 0 } } }, lo, hi }
#define BINARY(name, lo, hi) { { OP_##name, { "f32[N,3]", "f32[N,3]" }, NULL, { { 0 } } }, lo, hi }, \
	{ { OP_##name, { "f32[N,3,2]", "f32[2]" }, NULL, { { 0 } } }, lo, hi }, \
	{ { OP_##name, { "f32[]", "f32[N,1]" }, NULL, { { 0 } } }, lo, hi }, \
	{ { OP_##name, { "f32[1,3,1]", "f32[N,1,4]" }, NULL, { { 0 } } }, lo, hi }

static const IrWindow dilated = { .size = { 2, 3 }, .stride = { 2, 1 }, .dilation = { 2, 1 }, .pad = { 1, 0, 2, 1 },
	.groups = 2 };

static const Case cases[] = {
	UNARY(neg, 0, 0), UNARY(abs, 0, 0), UNARY(exp, 0, 0), UNARY(log, 0.5, 3), UNARY(log1p, -0.5, 3),
	UNARY(sqrt, 0.5, 3),
	UNARY(rsqrt, 0.5, 3), UNARY(sin, 0, 0), UNARY(cos, 0, 0), UNARY(tanh, 0, 0), UNARY(erf, 0, 0), UNARY(sigmoid, 0, 0),
	UNARY(relu, 0, 0), UNARY(softmax, 0, 0), UNARY(log_softmax, 0, 0),
	{ { OP_cast, { "f32[N,3]" }, NULL, { .cast = { DT_F64 } } }, 0, 0 },
	BINARY(add, 0, 0), BINARY(sub, 0, 0), BINARY(mul, 0, 0), BINARY(div, 0.5, 2), BINARY(max, 0, 0), BINARY(min, 0, 0),
	{ { OP_select, { "bool[N,3]", "f32[N,3]", "f32[N,3]" }, NULL, { { 0 } } }, 0, 0 },
	{ { OP_select, { "bool[3]", "f32[]", "f32[N,2,3]" }, NULL, { { 0 } } }, 0, 0 },
	{ { OP_reshape, { "f32[N,2,3]" }, "f32[N,6]", { { 0 } } }, 0, 0 },
	{ { OP_broadcast, { "f32[3]" }, "f32[N,2,3]", { { 0 } } }, 0, 0 },
	{ { OP_broadcast, { "f32[1,3,1]" }, "f32[N,3,2]", { { 0 } } }, 0, 0 },
	{ { OP_transpose, { "f32[N,2,3,4]" }, NULL, { .perm = { { 0, 3, 1, 2 } } } }, 0, 0 },
	{ { OP_transpose, { "f32[3,2]" }, NULL, { .perm = { { 1, 0 } } } }, 0, 0 },
	{ { OP_concat, { "f32[N,2]", "f32[N,3]", "f32[N,1]" }, NULL, { .axis = { 1 } } }, 0, 0 },
	{ { OP_concat, { "f32[2,2]" , "f32[1,2]" }, NULL, { .axis = { 0 } } }, 0, 0 },
	{ { OP_slice, { "f32[N,5,2]" }, NULL, { .slice = { 1, 2, 2 } } }, 0, 0 },
	{ { OP_pad, { "f32[N,2,2]" }, NULL, { .slice = { 2, 1, 5 } } }, 0, 0 },
	{ { OP_sum, { "f32[N,3,2]" }, NULL, { .reduce = { 5, false } } }, 0, 0 },
	{ { OP_sum, { "f32[N,3,2]" }, NULL, { .reduce = { 2, true } } }, 0, 0 },
	{ { OP_sum, { "f32[N]" }, NULL, { .reduce = { 1, false } } }, 0, 0 },
	{ { OP_reduce_max, { "f32[N,4,2]" }, NULL, { .reduce = { 2, false } } }, 0, 0 },
	{ { OP_reduce_max, { "f32[N,4]" }, NULL, { .reduce = { 1, true } } }, 0, 0 },
	{ { OP_reduce_max, { "f32[N,4,2,3]" }, NULL, { .reduce = { 10, false } } }, 0, 0 },
	{ { OP_reduce_max, { "f32[N,3]" }, NULL, { .reduce = { 3, true } } }, 0, 0 },
	{ { OP_matmul, { "f32[N,3]", "f32[3,4]" }, NULL, { .matmul = { false, false } } }, 0, 0 },
	{ { OP_matmul, { "f32[N,3]", "f32[4,3]" }, NULL, { .matmul = { false, true } } }, 0, 0 },
	{ { OP_matmul, { "f32[N,3]", "f32[N,2]" }, NULL, { .matmul = { true, false } } }, 0, 0 },
	{ { OP_matmul, { "f32[3,5]", "f32[2,3]" }, NULL, { .matmul = { true, true } } }, 0, 0 },
	{ { OP_conv2d, { "f32[N,5,4,2]", "f32[3,2,2,3]" }, NULL, { .conv = WIN(3, 2, 1, 1, 0, 0, 0, 0) } }, 0, 0 },
	{ { OP_conv2d, { "f32[N,5,4,2]", "f32[3,2,2,3]" }, NULL, { .conv = WIN(3, 2, 2, 3, 1, 0, 1, 1) } }, 0, 0 },
	{ { OP_conv2d, { "f32[N,5,4,4]", "f32[2,3,2,6]" }, NULL, { .conv = dilated } }, 0, 0 },
	{ { OP_conv2d_dx, { "f32[N,3,2,3]", "f32[3,2,2,3]" }, "f32[N,5,4,2]",
	    { .conv = WIN(3, 2, 2, 2, 1, 0, 1, 0) } }, 0, 0 },
	{ { OP_conv2d_dw, { "f32[N,5,4,2]", "f32[N,3,2,3]" }, "f32[3,2,2,3]",
	    { .conv = WIN(3, 2, 2, 2, 1, 0, 1, 0) } }, 0, 0 },
	{ { OP_maxpool, { "f32[N,4,5,2]" }, NULL, { .pool = WIN(2, 2, 2, 2, 0, 0, 0, 0) } }, 0, 0 },
	{ { OP_maxpool, { "f32[N,4,5,2]" }, NULL, { .pool = WIN(3, 2, 1, 1, 1, 0, 2, 1) } }, 0, 0 },
	{ { OP_maxpool, { "f32[N,5,5,1]" }, NULL, { .pool = WIN(2, 2, 3, 3, 0, 0, 0, 0) } }, 0, 0 },
	{ { OP_maxpool_dx, { "f32[N,2,2,3]", "u8[N,2,2,3]" }, "f32[N,4,5,3]",
	    { .pool = WIN(2, 2, 2, 2, 0, 0, 0, 0) } }, 0, 3 },
	{ { OP_maxpool_dx, { "f32[N,3,3,1]", "u8[N,3,3,1]" }, "f32[N,4,4,1]",
	    { .pool = WIN(3, 3, 1, 1, 0, 0, 1, 1) } }, 0, 8 },
	{ { OP_avgpool, { "f32[N,4,5,2]" }, NULL, { .pool = WIN(2, 2, 2, 2, 0, 0, 0, 0) } }, 0, 0 },
	{ { OP_avgpool, { "f32[N,4,5,2]" }, NULL, { .pool = WIN(3, 2, 1, 2, 1, 0, 2, 1) } }, 0, 0 },
	{ { OP_avgpool_dx, { "f32[N,4,2,2]" }, "f32[N,4,5,2]", { .pool = WIN(3, 2, 1, 2, 1, 0, 1, 0) } }, 0, 0 },
	{ { OP_conv2d, { "f32[N,3,4,3,2]", "f32[2,2,2,2,3]" }, NULL, { .conv = SPACE } }, 0, 0 },
	{ { OP_conv2d_dx, { "f32[N,3,2,3,3]", "f32[2,2,2,2,3]" }, "f32[N,3,4,3,2]", { .conv = SPACE } }, 0, 0 },
	{ { OP_conv2d_dw, { "f32[N,3,4,3,2]", "f32[N,3,2,3,3]" }, "f32[2,2,2,2,3]", { .conv = SPACE } }, 0, 0 },
	{ { OP_maxpool, { "f32[N,3,4,3,2]" }, NULL, { .pool = SPACE } }, 0, 0 },
	{ { OP_maxpool_dx, { "f32[N,3,2,3,2]", "u8[N,3,2,3,2]" }, "f32[N,3,4,3,2]", { .pool = SPACE } }, 0, 7 },
	{ { OP_avgpool, { "f32[N,3,4,3,2]" }, NULL, { .pool = SPACE } }, 0, 0 },
	{ { OP_avgpool_dx, { "f32[N,3,2,3,2]" }, "f32[N,3,4,3,2]", { .pool = SPACE } }, 0, 0 },
};

static bool differentiable(OpCode op)
{
	static const char *const rule[OP_COUNT] = {
#define OP(name, text, lo, hi, attr, traits, infer, eval, grad, lower) [OP_##name] = #grad,
#include "ir/ops.def"
	};
	return strcmp(rule[op], "none") && strcmp(rule[op], "zero");
}

START_TEST(every_rule_has_a_case)
{
	for (int op = 0; op < OP_COUNT; op++) {
		bool found = !differentiable((OpCode)op);
		for (size_t i = 0; i < COUNT(cases); i++)
			found |= cases[i].op.op == (OpCode)op;
		ck_assert_msg(found, "no gradient case for %s", ir_ops[op].text);
	}
}
END_TEST

/* ---- one case ---- */
static uint64_t random_bits(uint64_t *state) /* splitmix64 */
{
	uint64_t z = *state += 0x9E3779B97F4A7C15u;
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

/* Floats are distinct, at least range / 2^20 apart: no ties, no kinks within reach of a difference. */
static double *random_values(Arena *a, const IrType *t, int64_t n, const Case *c, uint64_t *rng)
{
	double lo = c->lo, hi = c->hi;
	int64_t elems = ir_elems(t, n);
	double *v = NEWN(a, double, elems);
	bool integer = t->dtype != DT_F32 && t->dtype != DT_F64;
	if (lo == hi || (!integer && c->op.in[1] && !strncmp(c->op.in[1], "u8", 2))) {
		lo = integer ? 0 : -2;
		hi = integer ? 1 : 2;
	}
	for (int64_t i = 0; i < elems; i++) {
		uint64_t bits = random_bits(rng);
		double unit = (double)(bits % 1024 * 1024 + (uint64_t)i % 1024 + 0x100000 / 2048) / (1024 * 1024 + 1024);
		v[i] = integer ? lo + (double)(bits % (uint64_t)(hi - lo + 1)) : lo + (hi - lo) * unit;
	}
	return v;
}

typedef struct Trial {
	Arena *arena;
	IrModule *m;
	IrEntry *e;
	int64_t n;
	int nin;
	double *in[4];  /* operands, then r */
	double *din[3];
} Trial;

static double loss_of(const Trial *t)
{
	double loss = 0.0;
	double **out = NEWN(t->arena, double *, t->e->nroot);
	out[0] = &loss;
	ir_eval(t->e, t->n, &(IrScalars){ 0 }, NULL, (const double *const *)t->in, out);
	return loss;
}

static void run_gradients(Trial *t, IrNode *const *din)
{
	double **out = NEWN(t->arena, double *, t->e->nroot);
	int root = 1;
	for (int i = 0; i < t->nin; i++) {
		if (!din[i])
			continue;
		t->din[i] = NEWN(t->arena, double, ir_elems(&din[i]->type, t->n));
		out[root++] = t->din[i];
	}
	ir_eval(t->e, t->n, &(IrScalars){ 0 }, NULL, (const double *const *)t->in, out);
}

static void compare(const Trial *t, const Case *c, int operand, int64_t elems)
{
	const double eps = 1e-6;
	double *v = t->in[operand];
	for (int64_t i = 0; i < elems; i++) {
		double at = v[i];
		v[i] = at + eps;
		double above = loss_of(t);
		v[i] = at - eps;
		double below = loss_of(t);
		v[i] = at;
		double want = (above - below) / (2 * eps), got = t->din[operand][i];
		ck_assert_msg(fabs(got - want) <= 1e-5 + 1e-3 * fabs(want), "%s, case %d: d operand %d [%d] is %.9g, not %.9g",
		              ir_ops[c->op.op].text, (int)(c - cases), operand, (int)i, got, want);
	}
}

/* loss = sum(y * r), root 0; the gradients of the float operands are the next roots. */
static void build(Trial *t, const Case *c, IrNode **din)
{
	t->m = ir_module_new("case");
	t->e = ir_entry_new(t->m, "predict");
	IrNode *y = one_op_build(t->e, &c->op);
	IrNode *r = ir_input(t->e, (Loc){ 0 }, ir_port_new(t->e, "r", y->type));
	IrNode *loss = ir_binary(t->e, OP_mul, y, r);
	loss = ir_reduce(t->e, OP_sum, loss, (1u << loss->type.rank) - 1, false);
	ir_root_new(t->e, (IrRoot){ .kind = ROOT_OUTPUT, .name = "loss", .value = loss });
	t->nin = y->nin;
	ck_assert(ir_grad(t->e, NULL, y, r, (bool[]){ true, true, true }, din));
	for (int i = 0; i < t->nin; i++) {
		if (!din[i])
			continue;
		ck_assert_msg(ir_type_eq(&din[i]->type, &y->in[i]->type), "%s, case %d: type of gradient %d",
		              ir_ops[c->op.op].text, (int)(c - cases), i);
		ir_root_new(t->e, (IrRoot){ .kind = ROOT_OUTPUT, .name = "d", .value = din[i] });
	}
}

static void check_case(const Case *c, int64_t n)
{
	uint64_t rng = (uint64_t)(c - cases) * 7919 + (uint64_t)n;
	Trial t = { .arena = arena_new(), .n = n };
	IrNode *din[3] = { NULL };
	build(&t, c, din);
	for (int i = 0; i < t.e->nport; i++)
		t.in[i] = random_values(t.arena, &t.e->port[i].type, n, i < t.nin ? c : &(Case){ .lo = 0 }, &rng);
	run_gradients(&t, din);
	for (int i = 0; i < t.nin; i++) {
		if (t.din[i])
			compare(&t, c, i, ir_elems(&t.e->port[i].type, n));
		else
			ck_assert_msg(t.e->port[i].type.dtype != DT_F32, "%s: no gradient for operand %d",
				ir_ops[c->op.op].text, i);
	}
	ir_module_free(t.m);
	arena_free(t.arena);
}

START_TEST(rule)
{
	check_case(&cases[_i], 1);
	check_case(&cases[_i], 3);
}
END_TEST

/* ---- where differences cannot decide: ties and kinks, with dy = 1 everywhere ---- */
#define V(...) (const double[]){ __VA_ARGS__ }
static const struct { OneOp op; const double *in[2], *din[2]; } ties[] = {
	{ { OP_relu, { "f32[3]" }, NULL, { { 0 } } }, { V(0, -1, 1) }, { V(0, 0, 1) } },
	{ { OP_abs, { "f32[2]" }, NULL, { { 0 } } }, { V(0, -1) }, { V(0, -1) } },
	{ { OP_max, { "f32[2]", "f32[2]" }, NULL, { { 0 } } }, { V(1, 1), V(1, 2) }, { V(1, 0), V(0, 1) } },
	{ { OP_min, { "f32[2]", "f32[2]" }, NULL, { { 0 } } }, { V(1, 2), V(1, 1) }, { V(1, 0), V(0, 1) } },
	{ { OP_reduce_max, { "f32[2,3]" }, NULL, { .reduce = { 2, false } } }, { V(1, 2, 2, 3, 3, 3) },
	  { V(0, 1, 0, 1, 0, 0) } },
	{ { OP_reduce_max, { "f32[2,1,3]" }, NULL, { .reduce = { 5, true } } }, { V(1, 2, 2, 2, 2, 0) },
	  { V(0, 1, 0, 0, 0, 0) } },
	{ { OP_maxpool, { "f32[1,2,4,1]" }, NULL, { .pool = WIN(2, 2, 2, 2, 0, 0, 0, 0) } }, { V(1, 5, 0, 0, 5, 5, 0, 0) },
	  { V(0, 1, 1, 0, 0, 0, 0, 0) } },
};

START_TEST(ties_go_to_the_first)
{
	IrModule *m = ir_module_new("ties");
	IrEntry *e = ir_entry_new(m, "predict");
	IrNode *y = one_op_build(e, &ties[_i].op), *din[3] = { NULL };
	IrNode *dy = ir_broadcast(e, ir_konst(e, y->loc, DT_F32, 1), y->type);
	double got[2][8];
	ck_assert(ir_grad(e, NULL, y, dy, (bool[]){ true, true, true }, din));
	for (int k = 0; k < y->nin; k++)
		ir_root_new(e, (IrRoot){ .kind = ROOT_OUTPUT, .name = "d", .value = din[k] });
	ir_eval(e, 1, &(IrScalars){ 0 }, NULL, ties[_i].in, (double *[]){ got[0], got[1] });
	for (int k = 0; k < y->nin; k++) {
		for (int64_t i = 0; i < ir_elems(&y->in[k]->type, 1); i++)
			ck_assert_msg(got[k][i] == ties[_i].din[k][i], "tie %d, operand %d [%d]: %g", _i, k, (int)i, got[k][i]);
	}
	ir_module_free(m);
}
END_TEST

/* Only what is needed is made: the gradient of a convolution's picture is the costly half. */
START_TEST(unneeded_costs_nothing)
{
	IrModule *m = ir_module_new("case");
	IrEntry *e = ir_entry_new(m, "predict");
	OneOp op = { OP_conv2d, { "f32[N,5,4,2]", "f32[3,2,2,3]" }, NULL, { .conv = WIN(3, 2, 1, 1, 0, 0, 0, 0) } };
	IrNode *y = one_op_build(e, &op), *din[2];
	ck_assert(ir_grad(e, NULL, y, y, (bool[]){ false, true }, din));
	ck_assert_ptr_null(din[0]);
	ck_assert_int_eq(din[1]->op, OP_conv2d_dw);
	ck_assert(ir_grad(e, NULL, y, y, (bool[]){ false, false }, din));
	ck_assert_ptr_null(din[1]);
	IR_EACH(e, n)
		ck_assert_int_ne(n->op, OP_conv2d_dx);
	ir_module_free(m);
}
END_TEST

START_TEST(no_gradient_is_a_diagnostic)
{
	IrModule *m = ir_module_new("case");
	IrEntry *e = ir_entry_new(m, "predict");
	Diag *d = diag_new();
	OneOp op = { OP_iota, { NULL }, "i32[3]", { .axis = { 0 } } };
	IrNode *x = ir_cast(e, one_op_build(e, &op), DT_F32), *din[1];
	ck_assert(ir_grad(e, d, x, x, (bool[]){ true }, din)); /* an integer operand asks for nothing */
	ck_assert_ptr_null(din[0]);
	ck_assert_int_eq(diag_errors(d), 0);
	diag_free(d);
	ir_module_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gradients");
	TCase *t = tcase_create("rules");
	tcase_add_test(t, every_rule_has_a_case);
	tcase_add_loop_test(t, rule, 0, (int)COUNT(cases));
	tcase_add_loop_test(t, ties_go_to_the_first, 0, (int)COUNT(ties));
	tcase_add_test(t, unneeded_costs_nothing);
	tcase_add_test(t, no_gradient_is_a_diagnostic);
	suite_add_tcase(s, t);
	return suite_run(s);
}

/* graph_passes.c -- the passes on graphs keep values, and do what they are for
 *
 * Values: random graphs are interpreted before and after each pass, in the order of the pipeline; what roots give
 * must not change (beyond the order of a sum). Purpose: small graphs in which one rewrite must happen, or must
 * not.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "passes/passes.h"
#include "tests/numeric/one_op.h"
#include "tests/numeric/random_graph.h"
#include "tests/support/suite.h"

enum { GRAPHS = 200 };

static const struct { const char *name; PassFn *run; } pipeline[] = {
	{ "canon", pass_canon }, { "fold", pass_fold }, { "autodiff", pass_autodiff }, { "simplify", pass_simplify },
	{ "cse", pass_cse }, { "dce", pass_dce },
};

static PassCx context(void)
{
	return (PassCx){ .diag = diag_new(), .scratch = arena_new() };
}

static void context_free(PassCx *cx)
{
	diag_free(cx->diag);
	arena_free(cx->scratch);
}

static void apply(PassFn *run, IrModule *m)
{
	PassCx cx = context();
	bool ok = run(m, &cx) && ir_verify(m, cx.diag);
	if (!ok)
		diag_print(cx.diag, stderr);
	ck_assert(ok);
	context_free(&cx);
}

/* ---- values ---- */
static bool near(double a, double b)
{
	return (isnan(a) && isnan(b)) || a == b || fabs(a - b) <= 1e-9 + 1e-7 * fabs(b);
}

/* Roots of `before` against the first roots of `after`: autodiff appends. */
static void compare_entry(const IrEntry *before, const IrEntry *after, const char *pass, int seed, int64_t n)
{
	Arena *a = arena_new();
	Values want = random_values(a, before, n, (uint64_t)seed), got = random_values(a, after, n, (uint64_t)seed);
	values_run(&want, before, n);
	values_run(&got, after, n);
	ck_assert_int_le(want.nout, got.nout);
	for (int r = 0; r < want.nout; r++) {
		for (int64_t i = 0; i < want.out_elems[r]; i++)
			ck_assert_msg(near(got.out[r][i], want.out[r][i]),
				"graph %d, %s changes %s of %s [%d]: %.17g, was %.17g", seed,
			              pass, before->root[r].name, before->name, (int)i, got.out[r][i], want.out[r][i]);
	}
	arena_free(a);
}

static char *text_of(const IrModule *m, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);
	ck_assert_ptr_nonnull(f);
	ir_print(m, f);
	fclose(f);
	return text;
}

/* What a pass makes can be written down and read back. */
static void check_text(const IrModule *m)
{
	size_t len, len_again;
	Diag *d = diag_new();
	char *text = text_of(m, &len);
	IrModule *read = ir_parse("dump", text, len, d);
	if (!read)
		diag_print(d, stderr);
	ck_assert_ptr_nonnull(read);
	char *again = text_of(read, &len_again);
	ck_assert_str_eq(text, again);
	ir_module_free(read);
	diag_free(d);
	free(text);
	free(again);
}

static void check_pass(IrModule *m, int pass, int seed)
{
	IrModule *before = ir_clone(m);
	apply(pipeline[pass].run, m);
	check_text(m);
	for (int64_t n = 1; n <= 3; n += 2) {
		IrEntry *after = m->entry;
		IR_EACH_ENTRY(before, e) {
			compare_entry(e, after, pipeline[pass].name, seed, n);
			after = after->next;
		}
	}
	ir_module_free(before);
}

START_TEST(values_stay)
{
	for (int seed = _i * GRAPHS / 10; seed < (_i + 1) * GRAPHS / 10; seed++) {
		IrModule *m = random_graph((uint64_t)seed, 4 + seed % 20);
		Diag *d = diag_new();
		ck_assert(ir_verify(m, d));
		diag_free(d);
		for (size_t p = 0; p < COUNT(pipeline); p++)
			check_pass(m, (int)p, seed);
		ir_module_free(m);
	}
}
END_TEST

/* ---- purpose ---- */
static const Loc nowhere = { 0 };

static int count_op(const IrEntry *e, OpCode op)
{
	int count = 0;
	IR_EACH(e, n)
		count += n->op == op;
	return count;
}

static IrEntry *entry(void)
{
	return ir_entry_new(ir_module_new("m"), "predict");
}

static IrNode *port(IrEntry *e, const char *type)
{
	return ir_input(e, nowhere, ir_port_new(e, arena_printf(e->module->arena, "p%d", e->nport), one_op_type(type)));
}

static IrNode *output(IrEntry *e, IrNode *value)
{
	ir_root_new(e, (IrRoot){ .kind = ROOT_OUTPUT, .name = arena_printf(e->module->arena, "o%d", e->nroot),
		.value = value });
	return value;
}

static IrNode *number(IrEntry *e, double v)
{
	return ir_konst(e, nowhere, DT_F32, v);
}

static const IrAttr pool_2x2 = { .pool = { .size = { 2, 2 }, .stride = { 2, 2 }, .dilation = { 1, 1 }, .groups = 1 } };

static IrNode *maxpool(IrEntry *e, IrNode *x)
{
	return ir_node(e, NULL, OP_maxpool, nowhere, 1, &x, &pool_2x2, NULL);
}

START_TEST(relu_moves_behind_the_pool)
{
	IrEntry *e = entry();
	output(e, maxpool(e, ir_unary(e, OP_relu, port(e, "f32[N,4,4,2]"))));
	apply(pass_canon, e->module);
	ck_assert_int_eq(e->root[0].value->op, OP_relu);
	ck_assert_int_eq(e->root[0].value->in[0]->op, OP_maxpool);
	ir_module_free(e->module);
}
END_TEST

START_TEST(relu_with_other_readers_stays)
{
	IrEntry *e = entry();
	IrNode *y = output(e, ir_unary(e, OP_relu, port(e, "f32[N,4,4,2]")));
	output(e, maxpool(e, y));
	apply(pass_canon, e->module);
	ck_assert_int_eq(e->root[1].value->op, OP_maxpool);
	ck_assert_int_eq(count_op(e, OP_relu), 1);
	ir_module_free(e->module);
}
END_TEST

/* tanh is monotone in theory; after rounding it makes ties where there were none, and its gradient is not zero
 * there. */
START_TEST(only_monotone_rows_move)
{
	IrEntry *e = entry();
	output(e, maxpool(e, ir_unary(e, OP_tanh, port(e, "f32[N,4,4,2]"))));
	apply(pass_canon, e->module);
	ck_assert_int_eq(e->root[0].value->op, OP_maxpool);
	ir_module_free(e->module);
}
END_TEST

START_TEST(bias_gradient_of_a_pooled_layer)
{
	static const struct { uint32_t axes; bool gone; } cases[] = {
		{ 7, true }, { 6, true }, { 15, true }, { 3, false }, { 8, false }
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		IrEntry *e = entry();
		IrType big = one_op_type("f32[N,5,4,2]");
		IrNode *in[2] = { port(e, "f32[N,2,2,2]"), port(e, "u8[N,2,2,2]") };
		IrNode *dx = ir_node(e, NULL, OP_maxpool_dx, nowhere, 2, in, &pool_2x2, &big);
		output(e, ir_reduce(e, OP_sum, dx, cases[i].axes, i % 2));
		apply(pass_simplify, e->module);
		ck_assert_int_eq(count_op(e, OP_maxpool_dx), !cases[i].gone);
		ir_module_free(e->module);
	}
}
END_TEST

/* x - mean(x) over `axes`, which hold axis 0, of f32[N,3,4,5] */
static IrNode *centred(IrEntry *e, IrNode *x, uint32_t axes, double cells)
{
	IrNode *sum = ir_reduce(e, OP_sum, x, axes, false);
	IrNode *mean = ir_binary(e, OP_mul, sum, number(e, 1 / cells));
	return ir_binary(e, OP_sub, x, ir_binary(e, OP_mul, mean, ir_scalar(e, nowhere, SC_INV_N, 0)));
}

/* What batch normalization sums: same values, and no sum that waits for another is over the whole batch. */
START_TEST(batch_statistics)
{
	const bool right = _i == 0; /* else the divisor is not the number of cells, and only the factors may move */
	const uint32_t all = 7;
	IrEntry *e = entry();
	IrNode *x = port(e, "f32[N,3,4,5]"), *g = port(e, "f32[N,3,4,5]"), *s = port(e, "f32[5]"), *t = port(e, "f32[1,1,1,5]");
	IrNode *d = centred(e, x, all, right ? 12 : 11), *dk = ir_binary(e, OP_mul, t, d);
	IrNode *both = ir_binary(e, OP_add, ir_binary(e, OP_mul, g, s), dk);
	output(e, ir_reduce(e, OP_sum, ir_unary(e, OP_neg, both), all, true));
	output(e, ir_reduce(e, OP_sum, ir_binary(e, OP_sub, dk, g), all, false));
	output(e, ir_reduce(e, OP_sum, ir_binary(e, OP_mul, d, d), all, false));
	output(e, ir_reduce(e, OP_sum, ir_binary(e, OP_mul, ir_reduce(e, OP_sum, x, 6, true), g), 6, false));
	IrModule *before = ir_clone(e->module);
	apply(pass_simplify, e->module);
	apply(pass_cse, e->module);
	apply(pass_dce, e->module);
	for (int64_t n = 1; n <= 3; n += 2)
		compare_entry(before->entry, e, "simplify", 7, n);
	int waiting = 0; /* sums over samples and pixels of something that needs d */
	IR_EACH(e, n)
		waiting += n->op == OP_sum && n->attr.reduce.axes == all && n->in[0]->type.dim[1] == 3 && n->in[0] != x && n->in[0] != g;
	ck_assert_int_eq(waiting, right ? 0 : 3);
	ir_module_free(before);
	ir_module_free(e->module);
}
END_TEST

START_TEST(neutral_operations_go)
{
	IrEntry *e = entry();
	IrNode *x = port(e, "f32[N,4]");
	IrNode *v = ir_binary(e, OP_add, number(e, 0), ir_binary(e, OP_mul, x, number(e, 1)));
	v = ir_binary(e, OP_div, ir_binary(e, OP_sub, v, number(e, 0)), number(e, 1));
	v = ir_unary(e, OP_neg, ir_unary(e, OP_neg, v));
	v = ir_reshape(e, ir_reshape(e, v, one_op_type("f32[N,2,2]")), one_op_type("f32[N,4]"));
	v = ir_select(e, ir_binary(e, OP_lt, number(e, 1), number(e, 2)), v, number(e, 3));
	v = ir_transpose(e, ir_reshape(e, v, one_op_type("f32[N,2,2]")), (int32_t[]){ 0, 2, 1 });
	v = ir_reshape(e, ir_transpose(e, v, (int32_t[]){ 0, 2, 1 }), one_op_type("f32[N,4]"));
	output(e, v);
	apply(pass_fold, e->module);
	ck_assert_ptr_eq(e->root[0].value, x);
	ck_assert_ptr_eq(e->first, e->last);
	ir_module_free(e->module);
}
END_TEST

/* NaN, infinities and sums keep their meaning. */
START_TEST(what_must_not_go)
{
	IrEntry *e = entry();
	IrNode *x = port(e, "f32[N,4]");
	output(e, ir_binary(e, OP_mul, x, number(e, 0)));
	output(e, ir_binary(e, OP_sub, x, x));
	output(e, ir_binary(e, OP_div, x, x));
	output(e, ir_binary(e, OP_eq, x, x));
	output(e, ir_cast(e, ir_cast(e, x, DT_I32), DT_F32));
	output(e, ir_binary(e, OP_div, number(e, 1), number(e, 0)));
	IrNode *ids = ir_konst(e, nowhere, DT_U32, 3);
	ids = ir_broadcast(e, ids, one_op_type("u32[2]"));
	IrAttr by_id = { .random = { 1, true } };
	IrType two = one_op_type("f32[2]");
	output(e, ir_node(e, NULL, OP_random, nowhere, 1, &ids, &by_id, &two));
	apply(pass_simplify, e->module);
	static const OpCode want[] = { OP_mul, OP_sub, OP_div, OP_eq, OP_cast, OP_div, OP_random };
	for (size_t i = 0; i < COUNT(want); i++)
		ck_assert_int_eq(e->root[i].value->op, want[i]);
	ir_module_free(e->module);
}
END_TEST

START_TEST(constants_fold)
{
	IrEntry *e = entry();
	IrNode *ones = ir_broadcast(e, number(e, 1), one_op_type("f32[2,3]"));
	IrNode *sum = ir_reduce(e, OP_sum, ones, 3, false);                  /* 6 */
	IrNode *product = ir_matmul(e, ones, ones, false, true);             /* 3 everywhere */
	IrNode *wide = ir_broadcast(e, ir_binary(e, OP_mul, sum, sum), one_op_type("f32[N,4]"));
	output(e, product);
	output(e, ir_unary(e, OP_neg, wide));                                /* -36 */
	output(e, ir_reduce(e, OP_sum, wide, 1, false));                     /* depends on N */
	apply(pass_fold, e->module);
	ck_assert(e->root[0].value->op == OP_konst && e->root[0].value->attr.konst.value == 3);
	ck_assert(e->root[1].value->op == OP_konst && e->root[1].value->attr.konst.value == -36);
	ck_assert_int_eq(e->root[2].value->op, OP_sum);
	ir_module_free(e->module);
}
END_TEST

START_TEST(equal_nodes_merge)
{
	IrEntry *e = entry();
	IrNode *x = port(e, "f32[N,4]"), *y = port(e, "f32[N,4]");
	output(e, ir_binary(e, OP_add, x, y));
	output(e, ir_binary(e, OP_add, y, x));
	output(e, ir_binary(e, OP_sub, x, y));
	output(e, ir_binary(e, OP_sub, y, x));
	output(e, ir_binary(e, OP_mul, x, number(e, 0.0)));
	output(e, ir_binary(e, OP_mul, x, number(e, -0.0)));
	for (int i = 0; i < 2; i++) {
		IrAttr attr = { .random = { (uint32_t)i, false } };
		output(e, ir_node(e, NULL, OP_random, nowhere, 0, NULL, &attr, &x->type));
	}
	apply(pass_cse, e->module);
	ck_assert_ptr_eq(e->root[0].value, e->root[1].value);
	for (int i = 2; i < 8; i += 2)
		ck_assert_ptr_ne(e->root[i].value, e->root[i + 1].value);
	ir_module_free(e->module);
}
END_TEST

START_TEST(unneeded_nodes_go)
{
	IrEntry *e = entry();
	IrNode *x = port(e, "f32[N]");
	output(e, ir_unary(e, OP_tanh, x));
	e->loss = ir_reduce(e, OP_sum, ir_unary(e, OP_exp, x), 1, false);
	ir_unary(e, OP_sin, ir_unary(e, OP_cos, x));
	port(e, "f32[N,2]");
	apply(pass_dce, e->module);
	ck_assert_int_eq(count_op(e, OP_sin) + count_op(e, OP_cos), 0);
	ck_assert_int_eq(count_op(e, OP_exp), 1); /* the loss is needed until autodiff */
	ck_assert_int_eq(count_op(e, OP_input), 1);
	ck_assert_int_eq(e->nport, 2);
	ir_module_free(e->module);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("graph_passes");
	TCase *t = tcase_create("passes");
	tcase_add_loop_test(t, values_stay, 0, 10);
	tcase_add_test(t, relu_moves_behind_the_pool);
	tcase_add_test(t, relu_with_other_readers_stays);
	tcase_add_test(t, only_monotone_rows_move);
	tcase_add_test(t, bias_gradient_of_a_pooled_layer);
	tcase_add_loop_test(t, batch_statistics, 0, 2);
	tcase_add_test(t, neutral_operations_go);
	tcase_add_test(t, what_must_not_go);
	tcase_add_test(t, constants_fold);
	tcase_add_test(t, equal_nodes_merge);
	tcase_add_test(t, unneeded_nodes_go);
	suite_add_tcase(s, t);
	return suite_run(s);
}

/* fusion.c -- what becomes one kernel, and that it still computes the same
 *
 * Each pattern says how many kernels it may need; all values are small integers, so results must be equal.
 */
#include <check.h>
#include <string.h>
#include "tests/numeric/one_op.h"
#include "tests/numeric/run_kernels.h"
#include "tests/support/suite.h"

static const Loc nowhere = { 0 };

typedef struct Net { IrModule *m; IrEntry *e; } Net;

static Net start(void)
{
	Net t = { ir_module_new("fusion"), NULL };
	t.m->max_n = 4;
	t.e = ir_entry_new(t.m, "predict");
	return t;
}

static IrNode *port(Net *t, const char *name, const char *type)
{
	return ir_input(t->e, nowhere, ir_port_new(t->e, name, one_op_type(type)));
}

static IrState *state(Net *t, const char *name, const char *type)
{
	return ir_state_new(t->m, name, one_op_type(type), STATE_PARAM, nowhere);
}

static IrNode *op(Net *t, OpCode code, IrNode *a, IrNode *b, IrAttr attr, const IrType *want)
{
	return ir_node(t->e, NULL, code, nowhere, b ? 2 : 1, (IrNode *[]){ a, b }, &attr, want);
}

static void output(Net *t, const char *name, IrNode *v)
{
	ir_root_new(t->e, (IrRoot){ .kind = ROOT_OUTPUT, .name = name, .value = v });
}

static void update(Net *t, IrState *s, IrNode *v)
{
	ir_root_new(t->e, (IrRoot){ .kind = ROOT_UPDATE, .name = s->name, .value = v, .state = s });
}

static const IrAttr conv_3x3 = { .conv = { { 3, 3 }, { 1, 1 }, { 1, 1 }, { 0 }, 1 } };
static const IrAttr conv_same = { .conv = { { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1, 1, 1 }, 1 } };
static const IrAttr pool_2x2 = { .pool = { { 2, 2 }, { 2, 2 }, { 1, 1 }, { 0 }, 1 } };
static const IrAttr pool_3x3 = { .pool = { { 3, 3 }, { 2, 2 }, { 1, 1 }, { 0 }, 1 } };

static IrNode *biased_conv(Net *t)
{
	IrNode *x = port(t, "x", "f32[N,8,9,3]"), *w = port(t, "w", "f32[3,3,3,4]"), *b = port(t, "b", "f32[4]");
	return ir_binary(t->e, OP_add, op(t, OP_conv2d, x, w, conv_3x3, NULL), b);
}

/* ---- patterns ---- */
static void conv_relu(Net *t)
{
	output(t, "y", ir_unary(t->e, OP_relu, biased_conv(t)));
}

static void conv_pool(Net *t)
{
	IrNode *y = biased_conv(t);
	output(t, "p", ir_unary(t->e, OP_relu, op(t, OP_maxpool, y, NULL, pool_2x2, NULL)));
	output(t, "m", op(t, OP_maxpool_arg, y, NULL, pool_2x2, NULL));
}

static void conv_mean(Net *t)
{
	output(t, "p", op(t, OP_avgpool, ir_unary(t->e, OP_relu, biased_conv(t)), NULL, pool_2x2, NULL));
}

static void overlapping_pool(Net *t) /* would compute cells twice */
{
	output(t, "p", op(t, OP_maxpool, biased_conv(t), NULL, pool_3x3, NULL));
}

static void residual(Net *t) /* one contraction a kernel */
{
	IrNode *x = port(t, "x", "f32[N,5,5,4]"), *w = port(t, "w", "f32[3,3,4,4]"), *v = port(t, "v", "f32[3,3,4,4]");
	IrNode *y = ir_unary(t->e, OP_relu, op(t, OP_conv2d, x, w, conv_same, NULL));
	output(t, "y", ir_unary(t->e, OP_relu, ir_binary(t->e, OP_add, op(t, OP_conv2d, y, v, conv_same, NULL), y)));
}

static void gradient_of_relu(Net *t)
{
	IrNode *dy = port(t, "dy", "f32[N,6,6,4]"), *w = port(t, "w", "f32[3,3,3,4]"), *x = port(t, "x", "f32[N,8,8,3]");
	IrNode *dx = op(t, OP_conv2d_dx, dy, w, conv_3x3, &x->type), *zero = ir_konst(t->e, nowhere, DT_F32, 0);
	output(t, "dx", ir_select(t->e, ir_binary(t->e, OP_lt, zero, x), dx, zero));
}

static void pointwise_diamond(Net *t)
{
	IrNode *x = port(t, "x", "f32[N,7]"), *a = ir_unary(t->e, OP_abs, x);
	IrNode *b = ir_binary(t->e, OP_add, a, x);
	output(t, "a", a);
	output(t, "c", ir_binary(t->e, OP_mul, a, b));
	output(t, "d", ir_unary(t->e, OP_neg, b));
}

static void stretched_row(Net *t) /* a row of sums is stored, not summed again for each element */
{
	IrNode *x = port(t, "x", "f32[N,3,5]");
	output(t, "y", ir_binary(t->e, OP_sub, x, ir_reduce(t->e, OP_sum, ir_unary(t->e, OP_abs, x), 4, true)));
}

static void concat_of_values(Net *t) /* each operand goes straight to its place */
{
	IrNode *x = port(t, "x", "f32[N,5,3]"), *y = port(t, "y", "f32[N,5,2]");
	IrNode *in[2] = { ir_unary(t->e, OP_neg, x), ir_unary(t->e, OP_abs, y) };
	output(t, "z", ir_unary(t->e, OP_relu, op(t, OP_concat, in[0], in[1], (IrAttr){ .axis = { 2 } }, NULL)));
}

static void flattened(Net *t) /* a reshape is another way to see a buffer */
{
	IrNode *x = port(t, "x", "f32[N,4,6]"), *w = port(t, "w", "f32[24,3]");
	IrNode *y = ir_matmul(t->e, ir_reshape(t->e, ir_unary(t->e, OP_abs, x), one_op_type("f32[N,24]")), w, false, false);
	output(t, "y", ir_reshape(t->e, y, one_op_type("f32[N,3,1]")));
}

static void grouped_with_relu(Net *t)
{
	IrNode *x = port(t, "x", "f32[N,6,6,4]"), *w = port(t, "w", "f32[3,3,2,6]");
	IrAttr attr = conv_3x3;
	attr.conv.groups = 2;
	IrNode *y = ir_unary(t->e, OP_relu, op(t, OP_conv2d, x, w, attr, NULL));
	output(t, "p", op(t, OP_maxpool, y, NULL, pool_2x2, NULL));
}

static void kept_on_the_way(Net *t) /* y is stored for the second convolution by the kernel that goes on with it */
{
	IrNode *x = port(t, "x", "f32[N,5,5,4]"), *w = port(t, "w", "f32[3,3,4,4]"), *v = port(t, "v", "f32[3,3,4,2]");
	IrNode *y = ir_unary(t->e, OP_relu, op(t, OP_conv2d, x, w, conv_same, NULL));
	output(t, "z", ir_binary(t->e, OP_add, y, x));
	output(t, "u", op(t, OP_conv2d, y, v, conv_same, NULL));
}

static void sums_over_samples(Net *t) /* stand alone: they may be split */
{
	IrNode *x = port(t, "x", "f32[N,6]"), *s = ir_reduce(t->e, OP_sum, x, 1, false);
	output(t, "s", ir_binary(t->e, OP_mul, s, ir_konst(t->e, nowhere, DT_F32, 2)));
}

/* ---- updates ---- */
static void momentum(Net *t)
{
	IrState *w = state(t, "w", "f32[4,3]"), *v = state(t, "v", "f32[4,3]");
	IrNode *g = port(t, "g", "f32[4,3]"), *old = ir_state_read(t->e, nowhere, w);
	IrNode *next = ir_binary(t->e, OP_add, ir_state_read(t->e, nowhere, v), g);
	update(t, v, next);
	update(t, w, ir_binary(t->e, OP_sub, old, next));
}

static void swap_states(Net *t)
{
	IrState *a = state(t, "a", "f32[4,3]"), *b = state(t, "b", "f32[4,3]"), *c = state(t, "c", "f32[4,3]");
	IrNode *ra = ir_state_read(t->e, nowhere, a), *rb = ir_state_read(t->e, nowhere, b);
	update(t, a, ir_unary(t->e, OP_neg, rb));
	update(t, b, ir_unary(t->e, OP_abs, ra));
	update(t, c, ir_unary(t->e, OP_neg, ra));
}

static void turned_in_place(Net *t)
{
	IrState *a = state(t, "a", "f32[4,4]");
	IrNode *r = ir_state_read(t->e, nowhere, a);
	update(t, a, ir_binary(t->e, OP_add, r, ir_transpose(t->e, r, (int32_t[]){ 1, 0 })));
}

static void updated_and_given(Net *t) /* the output is the new value, the other output the old one */
{
	IrState *a = state(t, "a", "f32[5]");
	IrNode *r = ir_state_read(t->e, nowhere, a), *x = port(t, "x", "f32[5]"), *next = ir_binary(t->e, OP_add, r, x);
	update(t, a, next);
	output(t, "next", next);
	output(t, "old", r);
}

static const struct { const char *name; void (*build)(Net *); int kernels; } patterns[] = {
	{ "conv, bias, relu", conv_relu, 1 },
	{ "conv, bias, pool and its positions, relu", conv_pool, 1 },
	{ "conv, bias, relu, mean", conv_mean, 1 },
	{ "conv under an overlapping pool", overlapping_pool, 2 },
	{ "residual", residual, 2 },
	{ "gradient of relu", gradient_of_relu, 1 },
	{ "pointwise diamond", pointwise_diamond, 1 },
	{ "stretched row", stretched_row, 2 },
	{ "concat", concat_of_values, 3 },
	{ "flattened", flattened, 2 },
	{ "grouped conv, relu, pool", grouped_with_relu, 1 },
	{ "kept on the way", kept_on_the_way, 2 },
	{ "sum over samples", sums_over_samples, 2 },
	{ "momentum", momentum, 1 },
	{ "states that swap", swap_states, 4 },
	{ "turned in place", turned_in_place, 2 },
	{ "updated and given", updated_and_given, 3 },
};

START_TEST(fuses)
{
	Net t = start();
	patterns[_i].build(&t);
	kernels_make(t.m, NULL, patterns[_i].name);
	const KEntry *e = &t.m->program->entry[0];
	if (e->nkernels != patterns[_i].kernels)
		k_print_program(t.m->program, stderr);
	ck_assert_msg(e->nkernels == patterns[_i].kernels, "%s: %d kernels, not %d", patterns[_i].name, e->nkernels,
	              patterns[_i].kernels);
	for (int64_t n = 1; n <= 3; n += 2)
		kernels_compare(t.m, n, (uint64_t)_i, true, patterns[_i].name);
	ir_module_free(t.m);
}
END_TEST

START_TEST(updates_come_last)
{
	Net t = start();
	patterns[_i].build(&t);
	kernels_make(t.m, "plan", patterns[_i].name);
	const KEntry *e = &t.m->program->entry[0];
	for (int i = 1; i < e->nkernels; i++)
		ck_assert_msg(e->kernel[i]->update || !e->kernel[i - 1]->update, "%s", patterns[_i].name);
	kernels_compare(t.m, 2, (uint64_t)_i, true, patterns[_i].name);
	ir_module_free(t.m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fusion");
	TCase *c = tcase_create("fusion");
	tcase_add_loop_test(c, fuses, 0, (int)COUNT(patterns));
	tcase_add_loop_test(c, updates_come_last, 0, (int)COUNT(patterns));
	suite_add_tcase(s, c);
	return suite_run(s);
}

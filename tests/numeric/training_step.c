/* training_step.c -- pass autodiff as a whole: gradients of a network, updates of the optimizers
 *
 * Gradients: with plain SGD and a learning rate of 1, old minus new value of a parameter is its gradient; it is
 * compared with central differences of the loss. Optimizers: three steps against parameters that Keras 3.15
 * arrives at.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "passes/passes.h"
#include "tests/numeric/one_op.h"
#include "tests/numeric/random_graph.h"
#include "tests/support/suite.h"

static const Loc nowhere = { 0 };

static bool autodiff(IrModule *m, int *errors)
{
	PassCx cx = { .diag = diag_new(), .scratch = arena_new() };
	bool ok = pass_autodiff(m, &cx);
	*errors = diag_errors(cx.diag);
	ck_assert(!ok || ir_verify(m, cx.diag));
	diag_free(cx.diag);
	arena_free(cx.scratch);
	return ok;
}

static void must_autodiff(IrModule *m)
{
	int errors;
	ck_assert(autodiff(m, &errors));
}

static IrNode *parameter(IrEntry *e, const char *name, const char *type)
{
	IrState *s = ir_state_find(e->module, name);
	if (!s) {
		s = ir_state_new(e->module, name, one_op_type(type), STATE_PARAM, nowhere);
		s->trainable = true;
	}
	return ir_state_read(e, nowhere, s);
}

static IrNode *number(IrEntry *e, double v)
{
	return ir_konst(e, nowhere, DT_F32, v);
}

/* ---- a small network ---- */
static IrNode *conv_relu_pool(IrEntry *e, IrNode *x, const char *name, const char *kernel, const char *bias)
{
	IrAttr conv = { .conv = { { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1, 1, 1 }, 1 } };
	IrAttr pool = { .pool = { { 2, 2 }, { 2, 2 }, { 1, 1 }, { 0 }, 1 } };
	IrNode *w = parameter(e, arena_printf(e->module->arena, "%s.kernel", name), kernel);
	IrNode *b = parameter(e, arena_printf(e->module->arena, "%s.bias", name), bias);
	IrNode *y = ir_node(e, NULL, OP_conv2d, nowhere, 2, (IrNode *[]){ x, w }, &conv, NULL);
	y = ir_unary(e, OP_relu, ir_binary(e, OP_add, y, b));
	return ir_node(e, NULL, OP_maxpool, nowhere, 1, &y, &pool, NULL);
}

/* conv relu pool, batch normalization, conv relu pool, dense, softmax cross-entropy, l2 penalty on the dense kernel */
static IrEntry *network(void)
{
	IrEntry *e = ir_entry_new(ir_module_new("cnn"), "train_step");
	IrNode *x = ir_input(e, nowhere, ir_port_new(e, "x", one_op_type("f32[N,8,9,2]")));
	IrNode *label = ir_input(e, nowhere, ir_port_new(e, "label", one_op_type("f32[N,3]")));
	IrNode *inv_n = ir_scalar(e, nowhere, SC_INV_N, 0);
	IrNode *y = conv_relu_pool(e, x, "conv2d", "f32[3,3,2,3]", "f32[3]");
	IrNode *inv = ir_binary(e, OP_mul, inv_n, number(e, 1.0 / 16));
	IrNode *mean = ir_binary(e, OP_mul, ir_reduce(e, OP_sum, y, 7, true), inv);
	IrNode *centred = ir_binary(e, OP_sub, y, mean);
	IrNode *var = ir_binary(e, OP_mul, ir_reduce(e, OP_sum, ir_binary(e, OP_mul, centred, centred), 7, true), inv);
	y = ir_binary(e, OP_mul, centred, ir_unary(e, OP_rsqrt, ir_binary(e, OP_add, var, number(e, 1e-3))));
	y = ir_binary(e, OP_mul, y, parameter(e, "bn.gamma", "f32[3]"));
	y = ir_binary(e, OP_add, y, parameter(e, "bn.beta", "f32[3]"));
	y = conv_relu_pool(e, y, "conv2d_1", "f32[3,3,3,4]", "f32[4]");
	y = ir_reshape(e, y, one_op_type("f32[N,16]"));
	IrNode *w = parameter(e, "dense.kernel", "f32[16,3]");
	y = ir_binary(e, OP_add, ir_matmul(e, y, w, false, false), parameter(e, "dense.bias", "f32[3]"));
	IrNode *each = ir_reduce(e, OP_sum, ir_binary(e, OP_mul, label, ir_unary(e, OP_log_softmax, y)), 2, false);
	IrNode *loss = ir_binary(e, OP_mul, ir_unary(e, OP_neg, ir_reduce(e, OP_sum, each, 1, false)), inv_n);
	IrNode *penalty = ir_reduce(e, OP_sum, ir_binary(e, OP_mul, w, w), 3, false);
	e->loss = ir_binary(e, OP_add, loss, ir_binary(e, OP_mul, penalty, number(e, 0.25)));
	return e;
}

/* Central differences of root 0 against old - new of every updated parameter. */
static void check_gradients(const IrEntry *e, int64_t n)
{
	Arena *a = arena_new();
	Values v = random_values(a, e, n, 5);
	IrScalars s = { .lr = 1.0, .step = 1 };
	ir_eval(e, n, &s, v.state, (const double *const *)v.in, v.out);
	for (int r = 1; r < e->nroot; r++) {
		int index = 0;
		for (const IrState *at = e->module->state; at != e->root[r].state; at = at->next)
			index++;
		double **only = NEWN(a, double *, e->nroot), loss[2];
		only[0] = loss;
		for (int64_t i = 0; i < v.out_elems[r]; i++) {
			double *p = &v.state[index][i], old = *p, got = old - v.out[r][i], side[2];
			for (int k = 0; k < 2; k++) {
				*p = old + (k ? -1e-6 : 1e-6);
				ir_eval(e, n, &s, v.state, (const double *const *)v.in, only);
				side[k] = loss[0];
			}
			*p = old;
			double want = (side[0] - side[1]) / 2e-6;
			ck_assert_msg(fabs(got - want) <= 1e-5 + 1e-3 * fabs(want), "d loss / d %s[%d] is %.9g, not %.9g",
			              e->root[r].name, (int)i, got, want);
		}
	}
	arena_free(a);
}

START_TEST(gradients_of_a_network)
{
	IrEntry *e = network();
	e->module->optimizer.kind = OPTIM_SGD;
	ir_root_new(e, (IrRoot){ .kind = ROOT_OUTPUT, .name = "loss", .value = e->loss });
	must_autodiff(e->module);
	ck_assert_ptr_null(e->loss);
	ck_assert_int_eq(e->nroot, 9);
	IR_EACH(e, n)
		ck_assert_msg(n->op != OP_conv2d_dx || n->type.dim[3] == 3, "nobody asks for the gradient of the picture");
	check_gradients(e, 1);
	check_gradients(e, 3);
	ir_module_free(e->module);
}
END_TEST

/* A frozen layer below costs no backward work at all. */
START_TEST(frozen_parameters)
{
	IrEntry *e = network();
	e->module->optimizer.kind = OPTIM_SGD;
	IR_EACH_STATE(e->module, s)
		s->trainable = !strncmp(s->name, "dense", 5);
	must_autodiff(e->module);
	ck_assert_int_eq(e->nroot, 2);
	IR_EACH(e, n)
		ck_assert(n->op != OP_conv2d_dw && n->op != OP_conv2d_dx && n->op != OP_maxpool_dx);
	ir_module_free(e->module);
}
END_TEST

START_TEST(nothing_trainable)
{
	IrEntry *e = network();
	e->module->optimizer.kind = OPTIM_ADAM;
	IR_EACH_STATE(e->module, s)
		s->trainable = false;
	must_autodiff(e->module);
	ck_assert_int_eq(e->nroot, 0);
	ck_assert_ptr_null(e->loss);
	ir_module_free(e->module);
}
END_TEST

START_TEST(no_optimizer_is_a_diagnostic)
{
	IrEntry *e = network();
	int errors;
	ck_assert(!autodiff(e->module, &errors));
	ck_assert_int_eq(errors, 1);
	ir_module_free(e->module);
}
END_TEST

/* w is read twice, u not at all by the loss: the parts add up, u is left alone. loss = sum(w * w), d = 2 w */
START_TEST(tied_and_unused_parameters)
{
	IrEntry *e = ir_entry_new(ir_module_new("tied"), "train_step");
	e->module->optimizer = (IrOptimizer){ .kind = OPTIM_SGD, .weight_decay = 0.5 };
	IrNode *w = parameter(e, "w", "f32[2]"), *again = parameter(e, "w", "f32[2]");
	parameter(e, "u", "f32[2]");
	e->loss = ir_reduce(e, OP_sum, ir_binary(e, OP_mul, w, again), 1, false);
	must_autodiff(e->module);
	ck_assert_int_eq(e->nroot, 1);
	double vw[] = { 3, -4 }, vu[] = { 1, 1 }, out[2];
	ir_eval(e, 1, &(IrScalars){ .lr = 0.25, .step = 1 }, (double *[]){ vw, vu }, NULL, (double *[]){ out });
	ck_assert(out[0] == 1.5 && out[1] == -2);
	ir_module_free(e->module);
}
END_TEST

/* ---- optimizers ---- */
static const struct { IrOptimizer o; bool decay; int moments; double want[2]; } optimizers[] = {
	{ { .kind = OPTIM_SGD }, false, 0, { 0.9700000286102295, -2.1399998664855957 } },
	{ { .kind = OPTIM_SGD, .momentum = 0.9 }, false, 1, { 0.875499963760376, -2.1489999294281006 } },
	{ { .kind = OPTIM_SGD, .momentum = 0.9, .nesterov = true, .weight_decay = 0.01 }, true, 1,
	  { 0.8552024364471436, -2.2681870460510254 } },
	{ { .kind = OPTIM_ADAM, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-3 }, true, 2,
	  { 0.8103358745574951, -1.9777406454086304 } },
	{ { .kind = OPTIM_ADAM, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-3, .amsgrad = true }, false, 3,
	  { 0.8103358745574951, -1.9777406454086304 } },
	{ { .kind = OPTIM_ADAMW, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-3, .weight_decay = 0.02 }, true, 2,
	  { 0.8048750162124634, -1.966079831123352 } },
	{ { .kind = OPTIM_ADAMW, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-3, .weight_decay = 0.02 }, false, 2,
	  { 0.8103358745574951, -1.9777406454086304 } },
};

/* loss = sum(w * g): the gradient is g. Keras rounds 1 - beta_2^t to f32, which is worth 2e-6 here. */
START_TEST(optimizer_steps)
{
	static const double gradient[3][2] = { { 0.5, -1 }, { 0.1, 2 }, { -0.3, 0.4 } };
	IrEntry *e = ir_entry_new(ir_module_new("step"), "train_step");
	e->module->optimizer = optimizers[_i].o;
	IrNode *w = parameter(e, "w", "f32[2]");
	w->attr.state.of->decay = optimizers[_i].decay;
	IrNode *g = ir_input(e, nowhere, ir_port_new(e, "g", one_op_type("f32[2]")));
	e->loss = ir_reduce(e, OP_sum, ir_binary(e, OP_mul, w, g), 1, false);
	must_autodiff(e->module);
	ck_assert_int_eq(e->nroot, 1 + optimizers[_i].moments);
	double state[4][2] = { { 1, -2 } }, next[4][2], *in_list[4], *out[4];
	for (int i = 0; i < e->nroot; i++) {
		int index = 0;
		for (const IrState *s = e->module->state; s != e->root[i].state; s = s->next)
			index++;
		in_list[i] = state[i];
		out[i] = next[index];
	}
	for (uint32_t t = 0; t < 3; t++) {
		IrScalars s = { .lr = 0.1, .step = t + 1 };
		ir_eval(e, 1, &s, in_list, (const double *[]){ gradient[t] }, out);
		memcpy(state, next, sizeof state);
	}
	for (int i = 0; i < 2; i++)
		ck_assert_msg(fabs(state[0][i] - optimizers[_i].want[i]) < 3e-6, "optimizer %d: w[%d] is %.9g, not %.9g", _i, i,
		              state[0][i], optimizers[_i].want[i]);
	ir_module_free(e->module);
}
END_TEST

/* With a gradient that shrinks, amsgrad divides by the largest second moment so far. */
START_TEST(amsgrad_keeps_the_largest)
{
	IrEntry *e = ir_entry_new(ir_module_new("step"), "train_step");
	e->module->optimizer = (IrOptimizer){ .kind = OPTIM_ADAM, .beta_1 = 0.5, .beta_2 = 0.5, .epsilon = 0,
		.amsgrad = true };
	IrNode *w = parameter(e, "w", "f32[]"), *g = ir_input(e, nowhere, ir_port_new(e, "g", one_op_type("f32[]")));
	e->loss = ir_binary(e, OP_mul, w, g);
	must_autodiff(e->module);
	double vw = 1, m = 0, v = 0, hat = 9, zero = 0, got = 0;
	double **out = (double *[]){ NULL, NULL, NULL, &got };
	ck_assert_str_eq(e->root[3].name, "w");
	ck_assert_str_eq(e->root[2].name, "w/v_hat");
	ir_eval(e, 1, &(IrScalars){ .lr = 1, .step = 1 }, (double *[]){ &vw, &m, &v, &hat },
		(const double *[]){ &zero }, out);
	ck_assert(got == 1);
	double one = 1; /* m = 0.5, alpha = sqrt(0.5) / 0.5, v_hat = 9 */
	ir_eval(e, 1, &(IrScalars){ .lr = 1, .step = 1 }, (double *[]){ &vw, &m, &v, &hat },
		(const double *[]){ &one }, out);
	ck_assert_double_eq_tol(got, 1 - 0.5 * (sqrt(0.5) / 0.5) / 3, 1e-12);
	ir_module_free(e->module);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("training_step");
	TCase *t = tcase_create("autodiff");
	tcase_add_test(t, gradients_of_a_network);
	tcase_add_test(t, frozen_parameters);
	tcase_add_test(t, nothing_trainable);
	tcase_add_test(t, no_optimizer_is_a_diagnostic);
	tcase_add_test(t, tied_and_unused_parameters);
	tcase_add_loop_test(t, optimizer_steps, 0, (int)COUNT(optimizers));
	tcase_add_test(t, amsgrad_keeps_the_largest);
	suite_add_tcase(s, t);
	return suite_run(s);
}

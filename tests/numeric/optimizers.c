/* optimizers.c -- every optimizer against the real Keras: seven steps of two parameters along given gradients
 *
 * The rows are made by tests/peers/keras_optimizers.py. Each goes through the frontend (names, defaults), then through pass
 * autodiff into the interpreter, and through all passes into compiled code.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "frontend/frontend.h"
#include "runtime/init.h"
#include "tests/numeric/one_op.h"
#include "tests/support/jit_check.h"
#include "tests/support/suite.h"

enum { STEPS = 7, MIDDLE = 4, WEIGHTS = 5, MAX_STATES = 16 };

#define NUMBERS(...) { __VA_ARGS__ }
static const struct Case { const char *text; double want[3][WEIGHTS]; } cases[] = {
#define OPTIMIZER(text, ...) { text, { __VA_ARGS__ } },
#include "tests/numeric/optimizer_vectors.def"
};

static const double start[WEIGHTS] = { 1, -2, 0.5, 0, -0.25 };
static const double gradient[STEPS][WEIGHTS] = {
	{ 0.5, -1, 0.1, 0, 0.2 }, { 0.1, 2, -0.3, 0, 0.4 }, { -0.3, 0.4, 0.05, 0.2, -0.1 }, { 0.7, -0.2, 0, -0.1, 0.3 },
	{ 0.05, 0.6, 0.25, 0.4, -0.2 }, { -0.4, 0.1, 0.3, 0.2, 0.1 }, { 0.2, 0.3, -0.1, 0.05, 0.6 },
};
static const Loc nowhere = { 0 };

static IrOptimizer optimizer_of(const char *text)
{
	char file[1024];
	FeModel model;
	Diag *d = diag_new();
	snprintf(file, sizeof file, "cnnc: 1\ndata: {type: npy}\nmodel: {input_shape: [2], layers: [Dense: {units: 1}]}\n"
	         "train: {loss: mse, optimizer: %s}\n", text);
	if (!fe_load_text("test.yaml", file, strlen(file), NULL, 0, d, &model)) {
		diag_print(d, stderr);
		ck_abort_msg("%s is refused", text);
	}
	const IrOptimizer o = model.module->optimizer;
	ir_module_free(model.module);
	diag_free(d);
	return o;
}

static IrNode *product(IrEntry *e, const char *param, const char *port, const char *type)
{
	IrState *s = ir_state_new(e->module, param, one_op_type(type), STATE_PARAM, nowhere);
	s->trainable = s->decay = true;
	IrNode *g = ir_input(e, nowhere, ir_port_new(e, port, one_op_type(type)));
	return ir_reduce(e, OP_sum, ir_binary(e, OP_mul, ir_state_read(e, nowhere, s), g), 1, false);
}

/* loss = sum(a * g) + sum(b * h): the gradients are g and h. */
static IrModule *module_of(const char *text)
{
	IrEntry *e = ir_entry_new(ir_module_new("step"), "train_step");
	e->module->max_n = 1;
	e->module->optimizer = optimizer_of(text);
	IrNode *first = product(e, "a", "g", "f32[2]");
	e->loss = ir_binary(e, OP_add, first, product(e, "b", "h", "f32[3]"));
	return e->module;
}

static void check_weights(const char *text, const char *how, const char *when, const double *got, const double *want)
{
	for (int i = 0; i < WEIGHTS; i++)
		ck_assert_msg(fabs(got[i] - want[i]) <= 4e-6 * (1 + fabs(want[i])), "%s, %s, %s: weight %d is %.9g, not %.9g", text,
		              how, when, i, got[i], want[i]);
}

/* ---- the interpreter ---- */

static double *state_of(const IrModule *m, double state[][WEIGHTS], const char *name)
{
	int i = 0;
	IR_EACH_STATE(m, s) {
		if (strcmp(s->name, name) == 0)
			return state[i];
		i++;
	}
	return NULL;
}

static void both(const IrModule *m, double state[][WEIGHTS], const char *a, const char *b, double *out)
{
	memcpy(out, state_of(m, state, a), 2 * sizeof *out);
	memcpy(out + 2, state_of(m, state, b), 3 * sizeof *out);
}

static void autodiff(IrModule *m)
{
	PassCx cx = { .diag = diag_new(), .scratch = arena_new() };
	ck_assert(pass_autodiff(m, &cx) && ir_verify(m, cx.diag));
	diag_free(cx.diag);
	arena_free(cx.scratch);
}

START_TEST(interpreted)
{
	const struct Case *c = &cases[_i];
	IrModule *m = module_of(c->text);
	double state[MAX_STATES][WEIGHTS] = { { 0 } }, next[MAX_STATES][WEIGHTS], got[WEIGHTS];
	double *now[MAX_STATES], *out[MAX_STATES];
	int n = 0;
	autodiff(m);
	IR_EACH_STATE(m, s) {
		for (int i = 0; i < WEIGHTS; i++)
			state[n][i] = s->init == INIT_CONSTANT ? s->init_arg[0] : 0;
		now[n] = state[n];
		ck_assert_int_lt(++n, MAX_STATES);
	}
	memcpy(state_of(m, state, "a"), start, 2 * sizeof *start);
	memcpy(state_of(m, state, "b"), start + 2, 3 * sizeof *start);
	for (int r = 0; r < m->entry->nroot; r++)
		out[r] = state_of(m, next, m->entry->root[r].name);
	for (uint32_t t = 0; t < STEPS; t++) {
		const IrScalars s = { .lr = 0.05, .step = t + 1 };
		memcpy(next, state, sizeof next);
		ir_eval(m->entry, 1, &s, now, (const double *[]){ gradient[t], gradient[t] + 2 }, out);
		memcpy(state, next, sizeof state);
		both(m, state, "a", "b", got);
		if (t + 1 == MIDDLE)
			check_weights(c->text, "interpreted", "in the middle", got, c->want[0]);
	}
	check_weights(c->text, "interpreted", "at the end", got, c->want[1]);
	if (m->optimizer.ema) {
		both(m, state, "a/average", "b/average", got);
		check_weights(c->text, "interpreted", "averages", got, c->want[2]);
	}
	ir_module_free(m);
}
END_TEST

/* ---- compiled ---- */

static float *tensor(Jitted *j, const char *name)
{
	const RtTensor *t = rt_tensor_find(j->model, name);
	ck_assert_ptr_nonnull(t);
	return (float *)(void *)rt_tensor_write(&j->instance, t);
}

static void put(Jitted *j, const char *a, const char *b, const double *from)
{
	for (int i = 0; i < WEIGHTS; i++)
		tensor(j, i < 2 ? a : b)[i < 2 ? i : i - 2] = (float)from[i];
}

static void get(Jitted *j, const char *a, const char *b, double *to)
{
	for (int i = 0; i < WEIGHTS; i++)
		to[i] = (double)tensor(j, i < 2 ? a : b)[i < 2 ? i : i - 2];
}

START_TEST(compiled)
{
	const struct Case *c = &cases[_i];
	Jitted j = jit_open(module_of(c->text), "native", 1);
	double got[WEIGHTS];
	rt_init_tensors(&j.instance, 1);
	put(&j, "a", "b", start);
	for (uint32_t t = 0; t < STEPS; t++) {
		_Alignas(RT_ALIGN) float g[16] = { 0 };
		_Alignas(RT_ALIGN) float h[16] = { 0 };
		for (int i = 0; i < WEIGHTS; i++)
			*(i < 2 ? &g[i] : &h[i - 2]) = (float)gradient[t][i];
		rt_scalars_set(&j.instance.scalars, j.model, 1, t + 1);
		j.instance.scalars.lr = 0.05f;
		rt_instance_run(&j.instance, rt_entry(j.model, "train_step"),
		                (unsigned char *[]){ (unsigned char *)g, (unsigned char *)h }, NULL);
		get(&j, "a", "b", got);
		if (t + 1 == MIDDLE)
			check_weights(c->text, "compiled", "in the middle", got, c->want[0]);
	}
	check_weights(c->text, "compiled", "at the end", got, c->want[1]);
	if (rt_tensor_find(j.model, "a/average")) {
		get(&j, "a/average", "b/average", got);
		check_weights(c->text, "compiled", "averages", got, c->want[2]);
	}
	jit_close(&j);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("optimizers");
	TCase *t = tcase_create("keras");
	tcase_add_loop_test(t, interpreted, 0, (int)COUNT(cases));
	tcase_add_loop_test(t, compiled, 0, (int)COUNT(cases));
	suite_add_tcase(s, t);
	return suite_run(s);
}

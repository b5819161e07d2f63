/* keras_layers.c -- predictions of Keras for every kind of layer, stored: keras_layers.def
 *
 * Weights and inputs come from formulas that tests/peers/keras_layers.py has too: element i of a weight is
 * sin(0.7 i + length of its name) / 2, plus 1 for variances, input i is sin(0.31 i). The interpreter must give Keras' numbers:
 * their sum, their sum weighted by cos(i), the largest, the first and the last (bilinear UpSampling2D is missing: TensorFlow works in float32).
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "frontend/frontend.h"
#include "tests/support/suite.h"

enum { NUMBERS = 5, SAMPLES = 2 };

static const struct { const char *name, *shape, *layers; double want[NUMBERS]; } rows[] = {
#define ROW(name, shape, layers, ...) { name, shape, layers, { __VA_ARGS__ } },
#include "tests/numeric/keras_layers.def"
#undef ROW
};

static const char *model_text(Arena *a, int i)
{
	const char *text = arena_printf(a, "cnnc: 1\nmodel:\n  input_shape: [%s]\n  layers:\n", rows[i].shape);
	for (const char *p = rows[i].layers; *p;) {
		const size_t n = strcspn(p, "|");
		text = arena_printf(a, "%s    - %.*s\n", text, (int)n, p);
		p += n + (p[n] == '|');
	}
	return text;
}

static double *weights(Arena *a, const IrState *s)
{
	const int64_t n = ir_elems(&s->type, 1);
	double *v = NEWN(a, double, n);
	for (int64_t i = 0; i < n; i++)
		v[i] = 0.5 * sin(0.7 * (double)i + (double)strlen(s->name)) + (strstr(s->name, "variance") ? 1 : 0);
	return v;
}

/* The predictions of the model, and how many there are. */
static double *predict(Arena *a, IrModule *m, int64_t *out_n)
{
	const IrEntry *e = ir_entry_find(m, "predict");
	const int64_t inputs = ir_elems(&e->port[0].type, SAMPLES);
	int nstates = 0;
	IR_EACH_STATE(m, s)
		nstates++;
	double **state = NEWN(a, double *, nstates + 1), *x = NEWN(a, double, inputs);
	nstates = 0;
	IR_EACH_STATE(m, s)
		state[nstates++] = weights(a, s);
	for (int64_t i = 0; i < inputs; i++)
		x[i] = sin(0.31 * (double)i);
	*out_n = ir_elems(&e->root[0].value->type, SAMPLES);
	double *y = NEWN(a, double, *out_n);
	ir_eval(e, SAMPLES, &(IrScalars){ .seed = 1, .step = 1 }, state, (const double *[]){ x }, (double *[]){ y });
	return y;
}

START_TEST(as_keras)
{
	Arena *a = arena_new();
	Diag *d = diag_new();
	FeModel model;
	const char *text = model_text(a, _i);
	if (!fe_load_text("m.yaml", text, strlen(text), NULL, 0, d, &model)) {
		diag_print(d, stderr);
		ck_abort_msg("%s is refused", rows[_i].name);
	}
	int64_t n;
	const double *y = predict(a, model.module, &n);
	double have[NUMBERS] = { 0, 0, 0, y[0], y[n - 1] };
	for (int64_t i = 0; i < n; i++) {
		have[0] += y[i];
		have[1] += y[i] * cos((double)i);
		have[2] = fmax(have[2], fabs(y[i]));
	}
	for (int k = 0; k < NUMBERS; k++)
		ck_assert_msg(fabs(have[k] - rows[_i].want[k]) <= 1e-9 * fmax(1, have[2] * (double)n), "%s: number %d is %.12g, Keras has %.12g",
		              rows[_i].name, k, have[k], rows[_i].want[k]);
	ir_module_free(model.module);
	diag_free(d);
	arena_free(a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("keras_layers");
	TCase *t = tcase_create("layers");
	tcase_add_loop_test(t, as_keras, 0, (int)COUNT(rows));
	suite_add_tcase(s, t);
	return suite_run(s);
}

/* model_check.c -- model files against the interpreter: see model_check.h */
#include "tests/support/model_check.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "frontend/frontend.h"
#include "tests/numeric/run_kernels.h"

IrModule *model_load(const ModelCheck *c, Diag *d)
{
	FeModel fe;
	if (!fe_load_text(c->name, c->text, strlen(c->text), NULL, 0, d, &fe)) {
		diag_print(d, stderr);
		ck_abort_msg("%s: the model file was refused", c->name);
	}
	return fe.module;
}

/* ---- values ---- */

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n >= m && !strcmp(s + n - m, end);
}

static double whole_number(double unit) /* -1 to 1: mostly 0, now and then -1 or 1 */
{
	return unit < -0.7 ? -1 : unit > 0.7 ? 1 : 0;
}

static void set_state(const ModelCheck *c, const IrState *s, double *v)
{
	int64_t elems = ir_elems(&s->type, 1);
	double fan_in = s->type.rank > 1 ? (double)elems / s->type.dim[s->type.rank - 1] : 1, scale = sqrt(6 / fan_in);
	for (int64_t i = 0; i < elems; i++) {
		if (s->kind == STATE_MOMENT)
			v[i] = (v[i] + 0.25) * 0.01; /* gradients are seen beside them */
		else if (s->kind == STATE_STAT)
			v[i] += 0.5;
		else if (c->whole)
			v[i] = whole_number(v[i]);
		else if (ends_with(s->name, ".gamma"))
			v[i] = v[i] * 0.5 + 1;
		else
			v[i] *= s->type.rank > 1 ? scale : 0.3;
	}
}

static bool is_target(const char *port)
{
	return port[0] == 'y' && (!port[1] || port[1] == '.' || port[1] == '_'); /* y, y.NAME, y_next */
}

/* That which target "y", or "y.NAME", belongs to. */
static const IrRoot *output_of(const IrModule *m, const char *target)
{
	const IrEntry *e = m->entry;
	for (int i = 0; i < e->nroot; i++) {
		if (e->root[i].kind == ROOT_OUTPUT && (target[1] != '.' || !strcmp(e->root[i].name, target + 2)))
			return &e->root[i];
	}
	return NULL;
}

static void set_labels(const ModelCheck *c, const IrModule *m, const IrPort *p, int64_t n, uint64_t rng, double *v)
{
	const IrType *out = &output_of(m, p->name)->value->type, *t = &p->type;
	int32_t classes = out->dim[out->rank - 1];
	int64_t border = strstr(c->text, "ignore_class: 255") ? 255 : 0; /* a label that some samples have */
	int64_t elems = ir_elems(t, n);
	bool one_hot = strstr(c->text, "categorical_crossentropy") && t->dtype == DT_F32 && p->name[1] != '.';
	bool numbers = strstr(c->text, "loss: mean_squared_error") || strstr(c->text, "loss: mse");
	for (int64_t i = 0; i < elems; i++) {
		uint64_t bits = random_bits(&rng) >> 20;
		if (t->dtype == DT_I32 || t->dtype == DT_U8)
			v[i] = border && bits % 5 == 0 ? (double)border : (double)(bits % (uint64_t)(classes > 1 ? classes : 2));
		else if (one_hot)
			v[i] = 0;
		else if (!numbers)
			v[i] = (double)(bits & 1);
		else if (c->whole)
			v[i] = whole_number(v[i]);
		if (one_hot && i % classes == classes - 1)
			v[i - (int64_t)(bits % (uint64_t)classes)] = 1;
	}
}

static Values values_of(const ModelCheck *c, Arena *a, const IrEntry *e, int64_t n)
{
	Values v = random_values(a, e, n, c->seed);
	int i = 0;
	for (const IrState *s = e->module->state; s; s = s->next)
		set_state(c, s, v.state[i++]);
	for (i = 0; i < e->nport; i++) {
		const IrPort *p = &e->port[i];
		int64_t elems = ir_elems(&p->type, n);
		if (is_target(p->name))
			set_labels(c, e->module, p, n, c->seed + 99, v.in[i]);
		else if (c->whole && p->type.dtype == DT_F32) {
			for (int64_t k = 0; k < elems; k++)
				v.in[i][k] = floor(v.in[i][k] * 3);
		}
	}
	return v;
}

/* ---- comparing ---- */

/* Near a kink (relu, a maximum, a threshold) rounding decides: the same entry in double, with parameters moved as far as
 * rounding moves values, shows by how much each root may differ. */
static double **slack_of(Arena *a, const IrEntry *e, const Values *v, int64_t n, const IrScalars *s)
{
	enum { TRIALS = 12 };
	uint64_t rng = 1;
	double **slack = NEWN(a, double *, e->nroot + 1), **out = NEWN(a, double *, e->nroot + 1);
	for (int i = 0; i < e->nroot; i++) {
		slack[i] = NEWN(a, double, v->out_elems[i]);
		out[i] = NEWN(a, double, v->out_elems[i]);
	}
	for (int trial = 0; trial < TRIALS; trial++) {
		Values moved = *v;
		int k = 0;
		for (const IrState *st = e->module->state; st; st = st->next, k++)
			;
		moved.state = NEWN(a, double *, k + 1);
		k = 0;
		for (const IrState *st = e->module->state; st; st = st->next, k++) {
			int64_t elems = ir_elems(&st->type, 1);
			moved.state[k] = NEWN(a, double, elems);
			for (int64_t i = 0; i < elems; i++)
				moved.state[k][i] = v->state[k][i] * (1 + ((double)(random_bits(&rng) >> 40) * 0x1p-23 - 1) * 0x1p-19);
		}
		ir_eval(e, n, s, moved.state, (const double *const *)v->in, out);
		for (int r = 0; r < e->nroot; r++) {
			for (int64_t i = 0; i < v->out_elems[r]; i++)
				slack[r][i] = fmax(slack[r][i], 2 * fabs(out[r][i] - v->out[r][i]));
		}
	}
	return slack;
}

static bool only_outputs(const IrEntry *e)
{
	for (int i = 0; i < e->nroot; i++) {
		if (e->root[i].kind != ROOT_OUTPUT)
			return false;
	}
	return true;
}

static double check_entry(const ModelCheck *c, Jitted *j, const IrEntry *e, int64_t n)
{
	Arena *a = arena_new();
	IrScalars s = {.lr = 8, .seed = c->seed + 7, .step = 3, .pass = 2};
	Values v = values_of(c, a, e, n);
	double tolerance = c->tolerance > 0 ? c->tolerance : 2e-5;
	if (!strcmp(e->name, "train_step"))
		tolerance *= 10;
	if (c->kernels)
		kernels_run(j->module, e->name, &v, n, &s);
	else
		ir_eval(e, n, &s, v.state, (const double *const *)v.in, v.out);
	double worst = jit_compare(j, e, &v, NULL, n, &s, tolerance, !c->kinks);
	if (!(worst <= tolerance))
		worst = jit_compare(j, e, &v, (const double *const *)slack_of(a, e, &v, n, &s), n, &s, tolerance, true);
	if (only_outputs(e)) {
		uint64_t bits = jit_same_bits(j, e, &v, n, &s);
		if (c->bits)
			*c->bits = *c->bits * 31 + bits;
	}
	arena_free(a);
	return worst / tolerance;
}

double model_check(const ModelCheck *c)
{
	Diag *d = diag_new();
	IrModule *before = jit_reference(model_load(c, d));
	Jitted j = jit_open(model_load(c, d), c->cpu ? c->cpu : "native", c->threads ? c->threads : 1);
	double worst = 0;
	for (size_t i = 0; i < COUNT(c->n) && c->n[i]; i++) {
		IR_EACH_ENTRY(before, e)
		{
			double w = check_entry(c, &j, e, c->n[i]);
			worst = w > worst ? w : worst;
		}
	}
	jit_close(&j);
	ir_module_free(before);
	diag_free(d);
	return worst;
}

unsigned char *model_trained(const void *what, const char *cpu, int threads, size_t *bytes)
{
	const ModelCheck *c = what;
	Diag *d = diag_new();
	Arena *a = arena_new();
	IrModule *before = jit_reference(model_load(c, d));
	Jitted j = jit_open(model_load(c, d), cpu, threads);
	IrEntry *e = ir_entry_find(before, "train_step");
	int64_t n = c->n[1] ? c->n[1] : c->n[0];
	Values v = values_of(c, a, e, n);
	unsigned char *params = jit_trained(&j, e, &v, n, bytes);
	jit_close(&j);
	arena_free(a);
	ir_module_free(before);
	diag_free(d);
	return params;
}

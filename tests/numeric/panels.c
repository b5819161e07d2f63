/* panels.c -- convolutions over merged pixels and with weights in panels, against the interpreter
 *
 * Forward and data gradients, 1x1 and 3x3, with rims and pools. Values are small integers, so results must be equal; with other values the
 * bits must depend neither on the threads, nor on the target, nor on how many samples a call has.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "tests/support/jit_check.h"
#include "tests/support/same_bits.h"
#include "tests/support/suite.h"

typedef struct Case {
	int h, w, c, k, size; /* of the picture that the convolution reads; padded so that it gives one of the same size */
	bool gradient, pool;
	int max_n, n;
	const char *has;      /* in the kernels and buffers */
} Case;

static const Case cases[] = {
	{7, 5, 96, 64, 1, false, false, 5, 3, "hw:35"},
	{4, 5, 512, 576, 1, false, false, 39, 3, "w.panels"},
	{4, 6, 128, 256, 3, false, true, 33, 3, "w.panels"},
	{5, 4, 128, 256, 3, false, false, 40, 2, "w.panels"},
	{5, 3, 64, 132, 3, true, false, 6, 5, "w.panels"},
	{7, 7, 256, 260, 1, true, false, 5, 2, "w.panels"},
	{3, 3, 72, 260, 3, true, false, 5, 2, "w.view"},
};

static IrModule *convolution(const Case *c)
{
	char text[1024];
	int pad = c->size / 2, from = c->gradient ? c->k : c->c, to = c->gradient ? c->c : c->k;
	int len = snprintf(text, sizeof text,
	                   "module panels N<=%d\nparam @w f32[%d,%d,%d,%d]\nentry predict (x f32[N,%d,%d,%d])\n"
	                   "  %%x = input f32[N,%d,%d,%d]\n  %%w = state f32[%d,%d,%d,%d] {of @w}\n"
	                   "  %%y = %s f32[N,%d,%d,%d] %%x %%w {window %d %d, stride 1 1, pad %d %d %d %d}\n",
	                   c->max_n, c->size, c->size, c->c, c->k, c->h, c->w, from, c->h, c->w, from, c->size, c->size, c->c, c->k,
	                   c->gradient ? "conv2d_dx" : "conv2d", c->h, c->w, to, c->size, c->size, pad, pad, pad, pad);
	if (c->pool)
		len += snprintf(text + len, sizeof text - (size_t)len,
		                "  %%p = maxpool f32[N,%d,%d,%d] %%y {window 2 2, stride 2 2}\n", c->h / 2, c->w / 2, to);
	len += snprintf(text + len, sizeof text - (size_t)len, "  output y %%%s\n", c->pool ? "p" : "y");
	Diag *d = diag_new();
	IrModule *m = ir_parse("panels", text, (size_t)len, d);
	ck_assert_ptr_nonnull(m);
	diag_free(d);
	return m;
}

static void integers(double *v, int64_t n, unsigned seed)
{
	for (int64_t i = 0; i < n; i++) {
		seed = seed * 1664525u + 1013904223u;
		v[i] = (int)(seed >> 24) % 5 - 2;
	}
}

static bool written(const IrModule *m, const char *what)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	ck_assert_ptr_nonnull(f);
	k_print_program(m->program, f);
	ck_assert_int_eq(fclose(f), 0);
	bool found = strstr(text, what) != NULL;
	free(text);
	return found;
}

START_TEST(equals_the_interpreter)
{
	static const struct { const char *cpu; int threads; } run[] = {{"native", 1}, {"native", 3}, {"x86-64-v3", 2}};
	const Case *c = &cases[_i];
	IrModule *m = convolution(c);
	const IrEntry *e = ir_entry_find(m, "predict");
	Arena *a = arena_new();
	IrScalars s = {.lr = 0};
	Values v = random_values(a, e, c->n, 5);
	integers(v.state[0], ir_elems(&m->state->type, 1), 1);
	integers(v.in[0], ir_elems(&e->port[0].type, c->n), 9);
	ir_eval(e, c->n, &s, v.state, (const double *const *)v.in, v.out);
	for (size_t i = 0; i < COUNT(run); i++) {
		Jitted j = jit_open(convolution(c), run[i].cpu, run[i].threads);
		jit_check(&j, e, &v, c->n, &s, 0);
		ck_assert_msg(written(j.module, c->has), "case %d: no %s", _i, c->has);
		jit_close(&j);
	}
	arena_free(a);
	ir_module_free(m);
}
END_TEST

static unsigned char *results(const void *what, const char *cpu, int threads, size_t *bytes)
{
	const Case *c = what;
	IrModule *m = convolution(c);
	const IrEntry *e = ir_entry_find(m, "predict");
	Arena *a = arena_new();
	Values v = random_values(a, e, c->n, 5);
	Jitted j = jit_open(convolution(c), cpu, threads);
	unsigned char *out = jit_outputs(&j, e, &v, c->n, &(IrScalars){.lr = 0}, bytes);
	jit_close(&j);
	arena_free(a);
	ir_module_free(m);
	return out;
}

START_TEST(bits_agree)
{
	same_bits("a convolution", &cases[_i], results);
}
END_TEST

START_TEST(samples_agree)
{
	const Case *c = &cases[_i];
	IrModule *m = convolution(c);
	const IrEntry *e = ir_entry_find(m, "predict");
	Arena *a = arena_new();
	IrScalars s = {.lr = 0};
	Values v = random_values(a, e, c->max_n, 5);
	Jitted j = jit_open(convolution(c), "native", 2);
	jit_same_bits(&j, e, &v, c->max_n, &s);
	jit_close(&j);
	arena_free(a);
	ir_module_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("panels");
	TCase *t = tcase_create("convolutions");
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, equals_the_interpreter, 0, COUNT(cases));
	tcase_add_loop_test(t, bits_agree, 0, COUNT(cases));
	tcase_add_loop_test(t, samples_agree, 0, COUNT(cases));
	suite_add_tcase(s, t);
	return suite_run(s);
}

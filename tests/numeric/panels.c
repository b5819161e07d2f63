/* panels.c -- convolutions over merged pixels and with weights in panels, against the interpreter
 *
 * Forward and data gradients, 1x1 and 3x3, with rims and pools. Values are small integers, so results must be equal; with other values the
 * bits must depend neither on the threads, nor on the target, nor on how many samples a call has.
 */
#include <check.h>
#include "tests/support/form_check.h"
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

static IrModule *convolution(const void *what)
{
	const Case *c = what;
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

static bool has(const IrModule *m, const void *what)
{
	const Case *c = what;
	return kernels_say(m, c->has);
}

static FormCheck form(int i, int n)
{
	return (FormCheck){.name = "a convolution", .build = convolution, .what = &cases[i], .n = n, .holds = has};
}

START_TEST(equals_the_interpreter)
{
	FormCheck c = form(_i, cases[_i].n);
	form_equals(&c);
}
END_TEST

START_TEST(bits_agree)
{
	FormCheck c = form(_i, cases[_i].n);
	form_same_bits(&c);
}
END_TEST

START_TEST(samples_agree)
{
	FormCheck c = form(_i, cases[_i].max_n);
	form_same_alone(&c);
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

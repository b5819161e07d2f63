/* slices.c -- sums that are added to memory in slices, against the interpreter
 *
 * Weight gradients of pictures larger than the second-level cache: strides, rims and rows that miss slices and tiles. Values are
 * small integers, so results must be equal; with other values the bits must not depend on the threads nor on the target.
 */
#include <check.h>
#include "tests/support/form_check.h"
#include "tests/support/suite.h"

typedef struct Case { int h, w, c, k, size, stride, pad, n; } Case;

static const Case cases[] = {
	{61, 57, 64, 32, 3, 2, 1, 3},
	{67, 53, 128, 20, 3, 1, 1, 1},
	{97, 91, 32, 48, 1, 1, 0, 2},
	{74, 91, 64, 70, 1, 1, 0, 1},
	{66, 60, 64, 17, 5, 3, 4, 2},
};

static IrModule *gradient(const void *what)
{
	const Case *c = what;
	char text[512];
	int oh = (c->h + 2 * c->pad - c->size) / c->stride + 1, ow = (c->w + 2 * c->pad - c->size) / c->stride + 1;
	int len = snprintf(text, sizeof text,
	                   "module slices N<=3\nentry predict (x f32[N,%d,%d,%d], dy f32[N,%d,%d,%d])\n  %%x = input f32[N,%d,%d,%d]\n "
	                   " %%dy = input f32[N,%d,%d,%d] {port 1}\n  %%g = conv2d_dw f32[%d,%d,%d,%d] %%x %%dy {window %d %d, stride "
	                   "%d %d, pad %d %d %d %d}\n  output g %%g\n",
	                   c->h, c->w, c->c, oh, ow, c->k, c->h, c->w, c->c, oh, ow, c->k, c->size, c->size, c->c, c->k, c->size, c->size,
	                   c->stride, c->stride, c->pad, c->pad, c->pad, c->pad);
	Diag *d = diag_new();
	IrModule *m = ir_parse("slices", text, (size_t)len, d);
	ck_assert_ptr_nonnull(m);
	diag_free(d);
	return m;
}

/* Has a kernel's schedule two loops over one axis? */
static bool sliced(const IrModule *m, const void *what)
{
	const KEntry *e = &m->program->entry[0];
	bool found = false;
	(void)what;
	for (int i = 0; i < e->nkernels; i++) {
		const KSchedule *s = &e->kernel[i]->sched;
		KSet looped = 0;
		for (int j = 0; j < s->nloops; j++) {
			found |= s->loop[j].level == L_LOOP && looped >> s->loop[j].axis & 1;
			looped |= s->loop[j].level == L_LOOP ? (KSet)1 << s->loop[j].axis : 0;
		}
	}
	return found;
}

static FormCheck form(int i)
{
	return (FormCheck){.name = "a weight gradient", .build = gradient, .what = &cases[i], .n = cases[i].n, .holds = sliced};
}

START_TEST(equals_the_interpreter)
{
	FormCheck c = form(_i);
	form_equals(&c);
}
END_TEST

START_TEST(bits_agree)
{
	FormCheck c = form(_i);
	form_same_bits(&c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("slices");
	TCase *t = tcase_create("weight gradients");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, equals_the_interpreter, 0, COUNT(cases));
	tcase_add_loop_test(t, bits_agree, 0, COUNT(cases));
	suite_add_tcase(s, t);
	return suite_run(s);
}

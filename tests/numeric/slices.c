/* slices.c -- sums that are added to memory in slices, against the interpreter
 *
 * Weight gradients of pictures larger than the second-level cache: strides, rims and rows that miss slices and tiles. Values are
 * small integers, so results must be equal; with other values the bits must not depend on the threads nor on the target.
 */
#include <check.h>
#include "tests/support/jit_check.h"
#include "tests/support/same_bits.h"
#include "tests/support/suite.h"

typedef struct Case { int h, w, c, k, size, stride, pad, n; } Case;

static const Case cases[] = {
	{61, 57, 64, 32, 3, 2, 1, 3},
	{67, 53, 128, 20, 3, 1, 1, 1},
	{97, 91, 32, 48, 1, 1, 0, 2},
	{74, 91, 64, 70, 1, 1, 0, 1},
	{66, 60, 64, 17, 5, 3, 4, 2},
};

static IrModule *gradient(const Case *c)
{
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

static void integers(double *v, int64_t n, unsigned seed)
{
	for (int64_t i = 0; i < n; i++) {
		seed = seed * 1664525u + 1013904223u;
		v[i] = (int)(seed >> 24) % 5 - 2;
	}
}

/* Has a kernel's schedule two loops over one axis? */
static bool sliced(const IrModule *m)
{
	const KEntry *e = &m->program->entry[0];
	bool found = false;
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

START_TEST(equals_the_interpreter)
{
	static const struct { const char *cpu; int threads; } run[] = {{"native", 1}, {"native", 3}, {"x86-64-v3", 2}};
	const Case *c = &cases[_i];
	IrModule *m = gradient(c);
	const IrEntry *e = ir_entry_find(m, "predict");
	Arena *a = arena_new();
	IrScalars s = {.lr = 0};
	Values v = random_values(a, e, c->n, 5);
	for (int i = 0; i < e->nport; i++)
		integers(v.in[i], ir_elems(&e->port[i].type, c->n), (unsigned)i + 9);
	ir_eval(e, c->n, &s, v.state, (const double *const *)v.in, v.out);
	for (size_t i = 0; i < COUNT(run); i++) {
		Jitted j = jit_open(gradient(c), run[i].cpu, run[i].threads);
		jit_check(&j, e, &v, c->n, &s, 0);
		ck_assert_msg(sliced(j.module), "case %d is not sliced", _i);
		jit_close(&j);
	}
	arena_free(a);
	ir_module_free(m);
}
END_TEST

static unsigned char *results(const void *what, const char *cpu, int threads, size_t *bytes)
{
	const Case *c = what;
	IrModule *m = gradient(c);
	const IrEntry *e = ir_entry_find(m, "predict");
	Arena *a = arena_new();
	Values v = random_values(a, e, c->n, 5);
	Jitted j = jit_open(gradient(c), cpu, threads);
	unsigned char *out = jit_outputs(&j, e, &v, c->n, &(IrScalars){.lr = 0}, bytes);
	jit_close(&j);
	arena_free(a);
	ir_module_free(m);
	return out;
}

START_TEST(bits_agree)
{
	same_bits("a weight gradient", &cases[_i], results);
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

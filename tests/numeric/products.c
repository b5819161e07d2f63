/* products.c -- matrix products whose sums go in blocks and whose factors are copied, against the interpreter
 *
 * Values are small integers, so results must be equal whatever the tiles. With other values the bits must not depend on the
 * threads, nor on whether x86-64-v3 or v4 runs. Sizes miss tiles, vectors, blocks and parts.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "tests/support/jit_check.h"
#include "tests/support/same_bits.h"
#include "tests/support/suite.h"

typedef struct Case {
	int32_t rows, columns, length; /* rows 0: samples */
	bool ta, tb;
	int32_t max_n, n;
	const char *has; /* in the schedules or buffers, NULL: nothing special */
} Case;

static const Case cases[] = {
	{0, 1030, 1500, false, false, 40, 9, "loop i/256"},
	{0, 1030, 1601, false, false, 40, 40, NULL},
	{0, 1541, 2060, false, false, 33, 1, NULL},
	{0, 512, 1024, false, false, 400, 29, "b.panels"},
	{0, 640, 1024, false, false, 400, 13, "a.rows"},
	{0, 512, 517, false, false, 385, 1, "b.panels"},
	{0, 256, 270, false, true, 11, 7, "b.panels"},
	{0, 1030, 300, false, true, 11, 11, NULL},
	{390, 544, 530, true, false, 1, 1, "b.panels"},
	{65, 96, 0, true, false, 40, 21, NULL},
	{4608, 128, 0, true, false, 32, 32, "ahead"},
};

static const Loc nowhere = {0};

/* y = relu(a b + bias): a a port; b a parameter, or a port where samples are summed. */
static IrModule *product(const Case *c)
{
	IrModule *m = ir_module_new("products");
	m->max_n = c->max_n;
	IrEntry *e = ir_entry_new(m, "predict");
	int32_t rows = c->rows ? c->rows : IR_N, length = c->length ? c->length : IR_N;
	IrType a = ir_type(DT_F32, 2, c->ta ? (int32_t[]){length, rows} : (int32_t[]){rows, length});
	IrType b = ir_type(DT_F32, 2, c->tb ? (int32_t[]){c->columns, length} : (int32_t[]){length, c->columns});
	IrState *bias = ir_state_new(m, "bias", ir_type(DT_F32, 1, (int32_t[]){c->columns}), STATE_PARAM, nowhere);
	IrNode *x, *w;
	if (c->rows && c->length)
		x = ir_state_read(e, nowhere, ir_state_new(m, "a", a, STATE_PARAM, nowhere));
	else
		x = ir_input(e, nowhere, ir_port_new(e, "a", a));
	if (c->length)
		w = ir_state_read(e, nowhere, ir_state_new(m, "b", b, STATE_PARAM, nowhere));
	else
		w = ir_input(e, nowhere, ir_port_new(e, "b", b));
	IrNode *y = ir_binary(e, OP_add, ir_matmul(e, x, w, c->ta, c->tb), ir_state_read(e, nowhere, bias));
	ir_root_new(e, (IrRoot){.kind = ROOT_OUTPUT, .name = "y", .value = ir_unary(e, OP_relu, y)});
	return m;
}

static void integers(double *v, int64_t n, unsigned seed)
{
	for (int64_t i = 0; i < n; i++) {
		seed = seed * 1664525u + 1013904223u;
		v[i] = (int)(seed >> 24) % 7 - 3;
	}
}

static Values values(Arena *a, const IrModule *m, const IrEntry *e, const Case *c, bool whole)
{
	Values v = random_values(a, e, c->n, 5);
	int i = 0;
	for (const IrState *s = m->state; s && whole; s = s->next, i++)
		integers(v.state[i], ir_elems(&s->type, 1), (unsigned)i + 1);
	for (i = 0; i < e->nport && whole; i++)
		integers(v.in[i], ir_elems(&e->port[i].type, c->n), (unsigned)i + 9);
	return v;
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
	IrModule *m = product(c);
	const IrEntry *e = ir_entry_find(m, "predict");
	Arena *a = arena_new();
	IrScalars s = {.lr = 0};
	Values v = values(a, m, e, c, true);
	ir_eval(e, c->n, &s, v.state, (const double *const *)v.in, v.out);
	for (size_t i = 0; i < COUNT(run); i++) {
		Jitted j = jit_open(product(c), run[i].cpu, run[i].threads);
		jit_check(&j, e, &v, c->n, &s, 0);
		if (c->has && i == 2) /* its caches do not depend on the machine */
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
	IrModule *m = product(c);
	const IrEntry *e = ir_entry_find(m, "predict");
	Arena *a = arena_new();
	Values v = values(a, m, e, c, false);
	Jitted j = jit_open(product(c), cpu, threads);
	unsigned char *out = jit_outputs(&j, e, &v, c->n, &(IrScalars){.lr = 0}, bytes);
	jit_close(&j);
	arena_free(a);
	ir_module_free(m);
	return out;
}

START_TEST(bits_agree)
{
	same_bits("a product", &cases[_i], results);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("products");
	TCase *t = tcase_create("products");
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, equals_the_interpreter, 0, (int)COUNT(cases));
	tcase_add_loop_test(t, bits_agree, 0, (int)COUNT(cases));
	suite_add_tcase(s, t);
	return suite_run(s);
}

/* products.c -- matrix products whose sums go in blocks and whose factors are copied, against the interpreter
 *
 * Values are small integers, so results must be equal whatever the tiles. With other values the bits must not depend on the
 * threads, nor on whether x86-64-v3 or v4 runs. Sizes miss tiles, vectors, blocks and parts.
 */
#include <check.h>
#include "tests/support/form_check.h"
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
static IrModule *product(const void *what)
{
	const Case *c = what;
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

static bool has(const IrModule *m, const void *what)
{
	const Case *c = what;
	return !c->has || kernels_say(m, c->has);
}

static FormCheck form(int i)
{
	return (FormCheck){.name = "a product", .build = product, .what = &cases[i], .n = cases[i].n, .holds = has};
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
	Suite *s = suite_create("products");
	TCase *t = tcase_create("products");
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, equals_the_interpreter, 0, (int)COUNT(cases));
	tcase_add_loop_test(t, bits_agree, 0, (int)COUNT(cases));
	suite_add_tcase(s, t);
	return suite_run(s);
}

/* kernels.c -- the kernels of an entry compute what its graph defines
 *
 * Single ops over many shapes, and random graphs, forward and after autodiff, before and after scheduling.
 */
#include <check.h>
#include "tests/numeric/one_op.h"
#include "tests/numeric/op_cases.h"
#include "tests/numeric/random_graph.h"
#include "tests/numeric/run_kernels.h"
#include "tests/support/suite.h"

/* ---- every op ---- */
START_TEST(every_op_lowers)
{
	const OpCase *c = &op_cases[_i];
	IrModule *m = op_case_module(c);
	const char *what = arena_printf(m->arena, "case %d: %s", _i, ir_ops[c->op.op].text);
	kernels_make(m, NULL, what);
	for (int64_t n = 1; n <= 5; n += 2)
		kernels_compare(m, n, (uint64_t)_i, c->exact, what);
	ir_module_free(m);
}
END_TEST

/* Ranges of Keras' ImageDataGenerator, with every fill mode, on a picture that is not square. */
static const IrAttr draws[] = {
	{ .affine = { 0, 0, 0, 0, 1, 1, 1, 1, false, false, false, 5, 7, 9 } },
	{ .affine = { 0, 0, 0, 0, 1, 1, 1, 1, true, false, false, 5, 7, 9 } },
	{ .affine = { 0, .3, .2, 0, 1, 1, 1, 1, true, true, false, 5, 7, 9 } },
	{ .affine = { 40, .3, .2, 20, .5, 1.5, .5, 1.5, true, true, false, 5, 7, 9 } },
	{ .affine = { 180, 3, 3, 20, .25, 4, .25, 4, false, true, true, 5, 7, 9 } },
};

/* until: NULL, one kernel by the general form; "plan": columns, then rows, where the map allows it */
static void check_picture(int which, const char *until)
{
	IrModule *m = ir_module_new("pictures");
	IrEntry *e = ir_entry_new(m, "predict");
	const IrAttr fill = { .warp = { (IrFill)(which % 4), 17.5, 0 } }, *draw = &draws[which / 4];
	m->max_n = 3;
	IrNode *in[2] = { ir_input(e, (Loc){ 0 }, ir_port_new(e, "x", one_op_type("u8[N,7,9,3]"))) };
	IrNode *id = ir_input(e, (Loc){ 0 }, ir_port_new(e, "id", one_op_type("u32[N]")));
	in[1] = ir_node(e, NULL, OP_affine_draw, (Loc){ 0 }, 1, &id, draw, NULL);
	IrNode *y = ir_node(e, NULL, OP_warp, (Loc){ 0 }, 2, in, &fill, NULL);
	ir_root_new(e, (IrRoot){ .kind = ROOT_OUTPUT, .name = "y", .value = y });
	kernels_make(m, until, "pictures");
	const bool by_axis = until && draw->affine.rotation == 0 && draw->affine.height_shift != 0;
	ck_assert_int_eq(m->program->entry[0].nkernels, by_axis ? 3 : 1);
	for (uint64_t seed = 0; seed < 4; seed++)
		kernels_compare(m, 3, seed, false, "pictures");
	ir_module_free(m);
}

START_TEST(pictures)
{
	check_picture(_i, NULL);
	check_picture(_i, "plan");
}
END_TEST

START_TEST(random_graphs)
{
	IrModule *m = random_graph((uint64_t)_i, 4 + _i % 40);
	const char *what = arena_printf(m->arena, "random graph %d", _i);
	if (m->max_n == 0)
		m->max_n = 4;
	static const char *const until[] = { NULL, "fuse", "plan" };
	kernels_make(m, until[_i % 3], what);
	for (int64_t n = 1; n <= 4; n += 3)
		kernels_compare(m, n, (uint64_t)_i, false, what);
	ir_module_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("kernels");
	TCase *t = tcase_create("kernels");
	tcase_add_loop_test(t, every_op_lowers, 0, op_ncases);
	tcase_add_loop_test(t, pictures, 0, 4 * (int)COUNT(draws));
	tcase_add_loop_test(t, random_graphs, 0, 800);
	suite_add_tcase(s, t);
	return suite_run(s);
}

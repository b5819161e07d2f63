/* lists.c -- gradients behind max-pools as lists: the interpreter's numbers, the same bits everywhere, and text that reads back
 *
 * Whole numbers are exact in any order, so there lists must equal the dense sums, ties and closed relus included.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/numeric/run_kernels.h"
#include "tests/support/model_check.h"
#include "tests/support/same_bits.h"
#include "tests/support/suite.h"

#define HEAD(batch, shape) "cnnc: 1\ndata: {type: npy, batch_size: " batch "}\nmodel:\n  input_shape: [" shape "]\n  layers:\n"
#define CONV(args) "    - Conv2D: {" args ", activation: relu}\n"
#define POOL(args) "    - MaxPooling2D: {" args "}\n"
#define TAIL "    - Flatten\n    - Dense: {units: 3}\ntrain:\n  optimizer: sgd\n  loss: mean_squared_error\n"

typedef struct ListCase {
	ModelCheck model;
	int walks; /* list axes in the training step: two for each convolution under a pool, for the first one at most one */
} ListCase;

static const ListCase cases[] = {
	{{.name = "two by two", .n = {1, 3, 8}, .threads = 2,
	  .text = HEAD("8", "26, 30, 3") CONV("filters: 32, kernel_size: 3") POOL("pool_size: 2") CONV("filters: 48, kernel_size: 3")
	          POOL("pool_size: 2") TAIL},
	 3},
	{{.name = "odd pictures, channels that are no vector", .n = {1, 2, 5},
	  .text = HEAD("5", "21, 17, 1") CONV("filters: 20, kernel_size: 3") POOL("pool_size: 2") CONV("filters: 37, kernel_size: 2")
	          POOL("pool_size: 2") TAIL},
	 2},
	{{.name = "same padding", .n = {1, 4}, .threads = 3,
	  .text = HEAD("4", "20, 18, 2") CONV("filters: 16, kernel_size: 3, padding: same") POOL("pool_size: 2")
	          CONV("filters: 32, kernel_size: 5, padding: same") POOL("pool_size: 2") TAIL},
	 2},
	{{.name = "three by three, and a wide kernel", .n = {1, 3},
	  .text = HEAD("3", "35, 29, 2") CONV("filters: 24, kernel_size: 3") POOL("pool_size: 3") CONV("filters: 16, kernel_size: [2, 4]")
	          POOL("pool_size: 3") TAIL},
	 3},
	{{.name = "a tower without a pool between", .n = {1, 3}, .cpu = "x86-64-v3",
	  .text = HEAD("3", "22, 22, 3") CONV("filters: 16, kernel_size: 3") CONV("filters: 24, kernel_size: 3") POOL("pool_size: 2")
	          CONV("filters: 32, kernel_size: 3") POOL("pool_size: 2") TAIL},
	 4},
	{{.name = "strides and dilation: the weights' gradient alone", .n = {1, 3},
	  .text = HEAD("3", "49, 53, 2") CONV("filters: 16, kernel_size: 3") CONV("filters: 20, kernel_size: 3, strides: 2") POOL("pool_size: 2")
	          CONV("filters: 24, kernel_size: 2, dilation_rate: 2") POOL("pool_size: 2") TAIL},
	 2},
	{{.name = "weights too large for partial sums", .n = {1, 16}, .threads = 2,
	  .text = HEAD("16", "6, 10, 160") CONV("filters: 192, kernel_size: 3, padding: same") POOL("pool_size: 2") TAIL},
	 1},
	{{.name = "whole numbers", .n = {1, 2, 4}, .whole = true, .tolerance = 1e-6,
	  .text = HEAD("4", "18, 22, 3") CONV("filters: 16, kernel_size: 3, padding: same") POOL("pool_size: 2")
	          CONV("filters: 18, kernel_size: 3") POOL("pool_size: 2") TAIL},
	 3},
	{{.name = "rows of a few channels", .n = {1, 5}, .threads = 2,
	  .text = HEAD("5", "35, 43, 3") CONV("filters: 20, kernel_size: [4, 5], strides: 2, padding: same") POOL("pool_size: 2") TAIL},
	 1},
	{{.name = "by lanes", .n = {2, 4}, .cpu = "x86-64-v2", .whole = true, .tolerance = 1e-6,
	  .text = HEAD("4", "18, 22, 3") CONV("filters: 16, kernel_size: 3") POOL("pool_size: 2") CONV("filters: 21, kernel_size: 3")
	          POOL("pool_size: 2") TAIL},
	 3},
};

static IrModule *made(const ModelCheck *c, const char *until)
{
	Diag *d = diag_new();
	IrModule *m = model_load(c, d);
	kernels_make(m, until, c->name);
	diag_free(d);
	return m;
}

static int walks(const IrModule *m)
{
	int n = 0;
	for (int i = 0; i < m->program->nentries; i++) {
		const KEntry *e = &m->program->entry[i];
		for (int k = 0; k < e->nkernels; k++) {
			for (int a = 0; a < e->kernel[k]->naxes; a++)
				n += e->kernel[k]->axis[a].ext == EXT_LIST;
		}
	}
	return n;
}

START_TEST(lists_are_chosen)
{
	IrModule *m = made(&cases[_i].model, "choose");
	ck_assert_msg(walks(m) == cases[_i].walks, "%s: %d list axes", cases[_i].model.name, walks(m));
	ir_module_free(m);
}
END_TEST

START_TEST(compiled_lists_agree)
{
	model_check(&cases[_i].model);
}
END_TEST

/* The kernels' own evaluator, before and after they are ordered into steps. */
START_TEST(evaluated_lists_agree)
{
	static const char *const until[] = {"choose", "plan"};
	for (size_t i = 0; i < COUNT(until); i++) {
		IrModule *m = made(&cases[_i].model, until[i]);
		kernels_compare(m, 2, 5, false, cases[_i].model.name);
		ir_module_free(m);
	}
}
END_TEST

START_TEST(bits_agree)
{
	same_bits(cases[_i].model.name, &cases[_i].model, model_trained);
}
END_TEST

START_TEST(text_reads_back)
{
	IrModule *m = made(&cases[_i].model, "plan");
	kernels_read_back(m, cases[_i].model.name);
	ir_module_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lists");
	TCase *t = tcase_create("lists");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, lists_are_chosen, 0, (int)COUNT(cases));
	tcase_add_loop_test(t, compiled_lists_agree, 0, (int)COUNT(cases));
	tcase_add_loop_test(t, evaluated_lists_agree, 0, (int)COUNT(cases));
	tcase_add_loop_test(t, bits_agree, 0, (int)COUNT(cases));
	tcase_add_loop_test(t, text_reads_back, 0, (int)COUNT(cases));
	suite_add_tcase(s, t);
	return suite_run(s);
}

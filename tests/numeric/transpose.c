/* transpose.c -- transposed views of weights in squares that are turned in registers, on sizes that miss them
 *
 * The training step of a model that reads its kernels across in the backward pass, in whole numbers, compared with the
 * interpreter: squares of 16 by 16, and rows and columns that are left over.
 */
#include <check.h>
#include <stdlib.h>
#include "tests/support/model_check.h"
#include "tests/support/same_bits.h"
#include "tests/support/suite.h"

#define MODEL(shape, layers)                                                                                                  \
	"cnnc: 1\ndata: {type: npy, batch_size: 3}\nmodel:\n  input_shape: [" shape "]\n  layers:\n" layers                   \
	"train:\n  optimizer: sgd\n  loss: mean_squared_error\n"
#define L(text) "    - " text "\n"
#define DENSE(units) L("Dense: {units: " units "}")
#define CONV(filters) L("Conv2D: {filters: " filters ", kernel_size: 3, padding: same}")

static const ModelCheck models[] = {
	{.name = "squares", .text = MODEL("7", DENSE("48") DENSE("32") DENSE("16") DENSE("3"))},
	{.name = "more rows", .text = MODEL("5", DENSE("53") DENSE("16") DENSE("130") DENSE("2"))},
	{.name = "more columns", .text = MODEL("9", DENSE("16") DENSE("47") DENSE("33") DENSE("31") DENSE("1"))},
	{.name = "rows below a vector", .text = MODEL("4", DENSE("15") DENSE("64") DENSE("17") DENSE("100") DENSE("1"))},
	{.name = "kernels of convolutions", .text = MODEL("6, 5, 2", CONV("33") CONV("50") CONV("16") L("Flatten") DENSE("2"))},
};

START_TEST(agree)
{
	static const char *const cpu[] = {"x86-64-v4", "x86-64-v3", "x86-64-v2"};
	for (size_t i = 0; i < COUNT(cpu); i++) {
		ModelCheck c = models[_i];
		c.cpu = cpu_runs(cpu[i]) ? cpu[i] : "native";
		c.threads = 1 + (int)i;
		c.n[0] = 3;
		c.n[1] = 1;
		c.whole = true;
		c.seed = 11;
		model_check(&c);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("transpose");
	TCase *t = tcase_create("transpose");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, agree, 0, COUNT(models));
	suite_add_tcase(s, t);
	return suite_run(s);
}

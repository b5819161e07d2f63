/* alone.c -- a picture gets the same bits alone and in a batch, on any number of threads, at any level
 *
 * Calls of a few samples run a tree of their own (pass variant): kernels cut along rows and channels instead of samples.
 * model_check compares each call with the interpreter, and every sample alone with the same sample in the batch.
 */
#include <check.h>
#include <stdlib.h>
#include "tests/support/model_check.h"
#include "tests/support/same_bits.h"
#include "tests/support/suite.h"

#define MODEL(batch, shape, layers)                                                                                           \
	"cnnc: 1\ndata: {type: npy, batch_size: " batch "}\nmodel:\n  input_shape: [" shape "]\n  layers:\n" layers           \
	"train:\n  optimizer: sgd\n  loss: mean_squared_error\n"
#define L(text) "    - " text "\n"

static const ModelCheck models[] = {
	{.name = "convolutions, pools, dense",
	 .n = {9},
	 .text = MODEL("9", "31, 29, 3",
	               L("Conv2D: {filters: 24, kernel_size: 3, activation: tanh}") L("MaxPooling2D: {pool_size: 2}")
	               L("Conv2D: {filters: 48, kernel_size: 3, padding: same, activation: tanh}") L("MaxPooling2D: {pool_size: 2}")
	               L("Flatten") L("Dense: {units: 100, activation: tanh}") L("Dense: {units: 7, activation: softmax}"))},
	{.name = "strides, normalization, mean of pixels",
	 .n = {6, 5},
	 .text = MODEL("6", "33, 40, 8",
	               L("Conv2D: {filters: 33, kernel_size: 5, strides: 2, padding: same}") L("BatchNormalization")
	               L("Activation: {activation: tanh}") L("Conv2D: {filters: 130, kernel_size: 1}") L("GlobalAveragePooling2D")
	               L("Dense: {units: 3}"))},
	{.name = "many channels, groups, average pools",
	 .n = {5},
	 .text = MODEL("5", "12, 13, 64",
	               L("Conv2D: {filters: 128, kernel_size: 3, groups: 2, padding: same, activation: tanh}")
	               L("AveragePooling2D: {pool_size: 2}") L("Conv2D: {filters: 96, kernel_size: 3, activation: tanh}")
	               L("GlobalMaxPooling2D") L("Dense: {units: 2}"))},
	{.name = "dense alone",
	 .n = {16, 7},
	 .text = MODEL("16", "700", L("Dense: {units: 513, activation: tanh}") L("Dense: {units: 65, activation: tanh}")
	               L("Dense: {units: 10, activation: softmax}"))},
	{.name = "batches smaller than a few",
	 .n = {3, 2},
	 .text = MODEL("3", "24, 24, 16", L("Conv2D: {filters: 64, kernel_size: 3, activation: tanh}") L("Flatten")
	               L("Dense: {units: 40}"))},
};

/* A hash of what model_check met on the way. */
static unsigned char *checked(const void *what, const char *cpu, int threads, size_t *bytes)
{
	ModelCheck c = *(const ModelCheck *)what;
	uint64_t *bits = calloc(1, sizeof *bits);
	c.cpu = cpu;
	c.threads = threads;
	c.bits = bits;
	c.seed = 5;
	model_check(&c);
	*bytes = sizeof *bits;
	return (unsigned char *)bits;
}

START_TEST(alone_and_in_a_batch)
{
	same_bits(models[_i].name, &models[_i], checked);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("alone");
	TCase *t = tcase_create("alone");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, alone_and_in_a_batch, 0, COUNT(models));
	suite_add_tcase(s, t);
	return suite_run(s);
}

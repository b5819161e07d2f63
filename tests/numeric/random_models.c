/* random_models.c -- random model files against the interpreter; SEED=n runs that one, FROM=a TO=b a range */
#include <check.h>
#include <stdlib.h>
#include "tests/support/model_check.h"
#include "tests/support/random_model.h"
#include "tests/support/suite.h"

enum { MODELS = 40 };

static int from_environment(const char *name, int otherwise)
{
	const char *v = getenv(name);
	return v ? atoi(v) : otherwise;
}

START_TEST(random_models_agree)
{
	static const char *const cpus[] = {"native", "native", "native", "x86-64-v3", "x86-64-v2"};
	int batch;
	char *text = random_model((uint64_t)_i, &batch);
	if (getenv("SEED"))
		fputs(text, stderr);
	ModelCheck c = {.name = "random",
			.text = text,
			.cpu = cpus[_i % 5],
			.threads = 1 + _i % 2,
			.seed = (uint64_t)_i,
			.kinks = true,
			.n = {batch, batch > 1, batch > 2 ? (batch - 1) | 1 : 0}};
	double worst = model_check(&c);
	if (getenv("VERBOSE"))
		printf("%d: %.3f\n", _i, worst);
	free(text);
}
END_TEST

int main(void)
{
	int from = from_environment("FROM", 0), to = from_environment("TO", MODELS), one = from_environment("SEED", -1);
	Suite *s = suite_create("random_models");
	TCase *t = tcase_create("random");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, random_models_agree, one < 0 ? from : one, one < 0 ? to : one + 1);
	suite_add_tcase(s, t);
	return suite_run(s);
}

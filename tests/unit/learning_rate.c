/* learning_rate.c -- schedules give what Keras' give; fields of the model file become a rate */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/learning_rate.h"
#include "tests/support/suite.h"

enum { POINTS = 10, MOST_FIELDS = 16 };

#define NUMBERS(...) { __VA_ARGS__ }
#define RATE(name, fields, ...) { name, fields, __VA_ARGS__ },
static const struct Case { const char *name, *fields; double want[POINTS]; } cases[] = {
#include "tests/unit/learning_rate_vectors.def"
};
static const int64_t steps[POINTS] = { 0, 1, 4, 5, 9, 10, 11, 25, 39, 100 };

/* "initial_learning_rate=0.1 decay_steps=10" below `start` */
static RtStatus read_fields(const char *start, const char *fields, int64_t warmup, int64_t total, RtRate *out)
{
	static char path[MOST_FIELDS][200];
	static RtField field[MOST_FIELDS];
	char text[400], *rest = text;
	uint32_t n = 0;
	snprintf(text, sizeof text, "%s", fields);
	for (char *word; (word = strtok_r(rest, " ", &rest)) != NULL; n++) {
		char *value = strchr(word, '=');
		*value = '\0';
		snprintf(path[n], sizeof path[n], "%s.%s", start, word);
		static char kept[MOST_FIELDS][40];
		snprintf(kept[n], sizeof kept[n], "%s", value + 1);
		field[n] = (RtField){ .path = path[n], .value = kept[n], .type = RT_FIELD_FLOAT, .runtime = 1 };
	}
	const RtModel model = { .nfields = n, .field = field };
	RtConfig c;
	ck_assert_int_eq(rt_config_new(&c, &model), RT_OK);
	const RtStatus s = rt_rate_read(&c, "train.optimizer", warmup, total, out);
	rt_config_free(&c);
	return s;
}

START_TEST(schedules)
{
	const struct Case *c = &cases[_i];
	RtRate rate;
	char start[100];
	snprintf(start, sizeof start, "train.optimizer.adam.learning_rate.%s", c->name);
	ck_assert_int_eq(read_fields(start, c->fields, 0, 0, &rate), RT_OK);
	for (int i = 0; i < POINTS; i++) {
		const double got = (double)rt_rate_at(&rate, 7, steps[i]);
		ck_assert_msg(fabs(got - c->want[i]) <= 2e-6 * c->want[i] + 2e-9, "%s %s at %d: %.9g, not %.9g", c->name, c->fields,
		              (int)steps[i], got, c->want[i]);
	}
}
END_TEST

START_TEST(constants)
{
	RtRate rate;
	ck_assert_int_eq(read_fields("train.optimizer.sgd", "learning_rate=0.25", 0, 0, &rate), RT_OK);
	ck_assert(rate.initial == 0.25 && rt_rate_at(&rate, 0.125f, 9) == 0.125f);
	ck_assert_int_eq(read_fields("train.optimizer.sgd", "learning_rate=-1", 0, 0, &rate), RT_USAGE);
	ck_assert_int_eq(read_fields("train.phases.0.optimizer.sgd", "learning_rate=0.25", 0, 0, &rate), RT_OK);
	ck_assert(rate.initial == 0.001);
}
END_TEST

/* The rise comes first; the schedule counts from its end. */
START_TEST(warm_up)
{
	RtRate rate;
	ck_assert_int_eq(read_fields("train.optimizer.sgd", "learning_rate=1", 4, 0, &rate), RT_OK);
	ck_assert(rt_rate_at(&rate, 1, 0) == 0 && rt_rate_at(&rate, 1, 1) == 0.25f && rt_rate_at(&rate, 1, 4) == 1);
	const char *start = "train.optimizer.sgd.learning_rate.ExponentialDecay";
	ck_assert_int_eq(read_fields(start, "initial_learning_rate=8 decay_steps=1 decay_rate=0.5", 2, 0, &rate), RT_OK);
	ck_assert(rt_rate_at(&rate, 1, 1) == 4 && rt_rate_at(&rate, 1, 2) == 8 && rt_rate_at(&rate, 1, 4) == 2);
}
END_TEST

START_TEST(automatic_steps)
{
	RtRate rate;
	const char *start = "train.optimizer.sgd.learning_rate.PolynomialDecay";
	ck_assert_int_eq(read_fields(start, "initial_learning_rate=1 decay_steps=auto end_learning_rate=0 power=1", 0, 8, &rate),
	                 RT_OK);
	ck_assert(rt_rate_at(&rate, 1, 2) == 0.75f && rt_rate_at(&rate, 1, 8) == 0);
	ck_assert_int_eq(read_fields(start, "initial_learning_rate=1 decay_steps=0", 0, 8, &rate), RT_USAGE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("learning_rate");
	TCase *t = tcase_create("rates");
	tcase_add_loop_test(t, schedules, 0, (int)(sizeof cases / sizeof *cases));
	tcase_add_test(t, constants);
	tcase_add_test(t, warm_up);
	tcase_add_test(t, automatic_steps);
	suite_add_tcase(s, t);
	return suite_run(s);
}

/* calibrate.c -- the temperature is found that labels were drawn with; probabilities change, the order of classes does not */
#include <check.h>
#include <math.h>
#include <string.h>
#include "runtime/calibrate.h"
#include "tests/support/suite.h"

enum { SAMPLES = 20000, MOST = 10 };

/* Numbers in [0, 1) that are the same everywhere. */
static double draw(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (double)(*state >> 11) * 0x1p-53;
}

static void softmax_at(const double *z, int n, double temperature, double *p)
{
	double sum = 0;
	for (int k = 0; k < n; k++)
		sum += p[k] = exp(z[k] / temperature);
	for (int k = 0; k < n; k++)
		p[k] /= sum;
}

/* Labels drawn at temperature `true_t`, scores of a network that believes in temperature 1. */
static void fill(RtCalibrator *c, double true_t)
{
	const RtScores *s = &c->scores;
	uint64_t state = 7;
	for (int i = 0; i < SAMPLES; i++) {
		double z[MOST] = {0}, p[MOST];
		float out[MOST];
		const int n = s->classes, first = s->outputs == 1;
		int32_t label = 0;
		for (int k = first; k < n; k++)
			z[k] = 6 * draw(&state) - 3;
		softmax_at(z, n, true_t, p);
		for (double u = draw(&state) - p[0]; u > 0 && label + 1 < n; u -= p[label])
			label++;
		softmax_at(z, n, 1, p);
		for (int k = 0; k < s->outputs; k++)
			out[k] = (float)(s->logits ? z[k + first] : p[k + first]);
		rt_calibrator_add(c, out, (const unsigned char *)&label, 1);
	}
}

START_TEST(finds_the_temperature)
{
	static const RtScores forms[] = {
		{.classes = 2, .outputs = 1, .exclusive = true, .temperature = 1},
		{.classes = 2, .outputs = 1, .exclusive = true, .logits = true, .temperature = 1},
		{.classes = 4, .outputs = 4, .exclusive = true, .temperature = 1},
		{.classes = 4, .outputs = 4, .exclusive = true, .logits = true, .temperature = 1},
	};
	static const double temperatures[] = {0.5, 1, 2.5};
	const RtPort y = {.name = "y", .dtype = RT_I32, .rank = 1, .row_bytes = 4};
	RtCalibrator c;
	ck_assert_int_eq(rt_calibrator_new(&c, &forms[_i], &y, SAMPLES), RT_OK);
	for (int k = 0; k < 3; k++) {
		rt_calibrator_reset(&c);
		fill(&c, temperatures[k]);
		const RtCalibration found = rt_calibrate(&c);
		ck_assert_int_eq(found.samples, SAMPLES);
		ck_assert_msg(fabs(found.temperature / temperatures[k] - 1) < 0.05, "form %d: %g, not %g", _i, found.temperature,
		              temperatures[k]);
		ck_assert(found.nll_calibrated <= found.nll);
		ck_assert_msg(found.ece_calibrated < 0.015, "%g", found.ece_calibrated);
		if (k != 1)
			ck_assert(found.ece_calibrated < found.ece / 2);
	}
	rt_calibrator_free(&c);
}
END_TEST

START_TEST(too_few_samples)
{
	const RtScores two = {.classes = 2, .outputs = 1, .exclusive = true, .temperature = 1};
	const RtPort y = {.name = "y", .dtype = RT_F32, .rank = 1, .row_bytes = 4};
	const float sure = 0.99f, nothing = NAN, yes = 1;
	RtCalibrator c;
	ck_assert_int_eq(rt_calibrator_new(&c, &two, &y, 100), RT_OK);
	for (int i = 0; i < 15; i++)
		rt_calibrator_add(&c, &sure, (const unsigned char *)&yes, 1);
	for (int i = 0; i < 15; i++)
		rt_calibrator_add(&c, &nothing, (const unsigned char *)&yes, 1);
	ck_assert_int_eq(c.n, 15);
	RtCalibration none = rt_calibrate(&c);
	ck_assert_int_eq(none.samples, 0);
	ck_assert(none.temperature == 1);
	rt_calibrator_add(&c, &sure, (const unsigned char *)&yes, 1);
	RtCalibration always_right = rt_calibrate(&c);
	/* One in 18 counts as undecided, so .99 is taken for too sure, and not for proof of a 1. */
	ck_assert(always_right.samples == 16 && always_right.temperature > 1 && always_right.temperature < 2);
	rt_calibrator_free(&c);
}
END_TEST

START_TEST(tempering)
{
	RtScores s = {.classes = 3, .outputs = 3, .exclusive = true, .temperature = 2};
	float p[6] = {0.7f, 0.2f, 0.1f, 1, 0, 0};
	rt_scores_temper(&s, p, 2);
	ck_assert_msg(fabsf(p[0] + p[1] + p[2] - 1) < 1e-6f && p[0] < 0.7f && p[0] > p[1] && p[1] > p[2], "%g %g %g", p[0], p[1], p[2]);
	ck_assert(fabs((double)p[0] / (double)p[1] - sqrt(3.5)) < 1e-5);
	ck_assert(p[3] == 1 && p[4] == 0 && p[5] == 0);

	RtScores one = {.classes = 2, .outputs = 1, .exclusive = true, .temperature = 0.5};
	float q[3] = {0.5f, 0.9f, 1};
	rt_scores_temper(&one, q, 3);
	ck_assert(fabsf(q[0] - 0.5f) < 1e-6f && fabsf(q[1] - 81.0f / 82) < 1e-5f && q[2] <= 1 && q[2] > 0.9999f);

	RtScores off = {.classes = 3, .outputs = 3, .exclusive = true, .temperature = 1};
	float kept[3] = {0.25f, 0.25f, 0.5f};
	rt_scores_temper(&off, kept, 1);
	ck_assert(kept[0] == 0.25f && kept[2] == 0.5f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("calibrate");
	TCase *tc = tcase_create("temperature");
	tcase_add_loop_test(tc, finds_the_temperature, 0, 4);
	tcase_add_test(tc, too_few_samples);
	tcase_add_test(tc, tempering);
	suite_add_tcase(s, tc);
	return suite_run(s);
}

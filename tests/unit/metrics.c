/* metrics.c -- metrics from sums against values worked out by hand or by Keras; initializers against their
 * distributions */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/init.h"
#include "runtime/metrics.h"
#include "tests/support/suite.h"

START_TEST(precision_recall_f1)
{
	double s[4] = {6, 2, 4, 8}, none[4] = {0, 0, 0, 9};
	ck_assert_double_eq(rt_precision(s), 0.75);
	ck_assert_double_eq(rt_recall(s), 0.6);
	ck_assert_double_eq_tol(rt_f1(s), 2 * 0.75 * 0.6 / 1.35, 1e-15);
	ck_assert_double_eq(rt_precision(none), 0);
	ck_assert_double_eq(rt_recall(none), 0);
	ck_assert_double_eq(rt_f1(none), 0);
}
END_TEST

/* Keras' example: labels 0 0 1 1, scores 0 0.5 0.3 0.9 with 3 thresholds give 0.75; bins of 1/2, upper edges inside. */
START_TEST(area_under_the_curve)
{
	double positives[2] = {1, 1}, negatives[2] = {2, 0};
	ck_assert_double_eq(rt_auc(positives, negatives, 2), 0.75);
	double all_right_p[4] = {0, 0, 0, 5}, all_right_n[4] = {3, 1, 0, 0};
	ck_assert_double_eq(rt_auc(all_right_p, all_right_n, 4), 1);
	ck_assert_double_eq(rt_auc(all_right_n, all_right_p, 4), 0);
	ck_assert_double_eq(rt_auc(positives, positives, 2), 0.5);
	double nothing[2] = {0, 0};
	ck_assert_double_eq(rt_auc(nothing, negatives, 2), 0);
}
END_TEST

static const RtMetric table[] = {{"loss", RT_MEAN, 0, 1}, {"precision", RT_PRECISION, 1, 8}, {"auc", RT_AUC, 9, 4}};
static const RtModel model = {.nmetrics = 3, .metric_doubles = 13, .metric = table};

START_TEST(sums_over_batches)
{
	RtMetrics m;
	double one[13] = {3, 1, 1, 0, 2, 2, 0, 2, 0, 1, 1, 2, 0}, two[13] = {1, 1, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0};
	ck_assert_int_eq(rt_metrics_new(&m, &model), RT_OK);
	ck_assert_double_eq(rt_metrics_value(&m, 0), 0);
	rt_metrics_add(&m, one, 4);
	rt_metrics_add(&m, two, 2);
	ck_assert_double_eq_tol(rt_metrics_value(&m, 0), 4.0 / 6, 1e-15);
	ck_assert_double_eq(rt_metrics_value(&m, 1), (0.5 + 1) / 2);
	ck_assert_double_eq(rt_metrics_value(&m, 2), 0.75);
	ck_assert_int_eq(rt_metrics_find(&model, "auc"), 2);
	ck_assert_int_eq(rt_metrics_find(&model, "f1"), -1);
	rt_metrics_reset(&m);
	ck_assert_double_eq(rt_metrics_value(&m, 1), 0);
	rt_metrics_free(&m);
}
END_TEST

/* ---- initializers ---- */

enum { KH = 3, KW = 3, IN = 20, OUT = 50, N = KH * KW * IN * OUT };
static float values[N];

static void init(int32_t kind, double a, double b, uint64_t seed)
{
	RtTensor t = {.name = "k",
		      .dtype = RT_F32,
		      .rank = 4,
		      .dim = {KH, KW, IN, OUT},
		      .bytes = sizeof values,
		      .init = kind,
		      .init_stream = 4,
		      .init_arg = {a, b}};
	RtModel one = {.ntensors = 1, .tensor = &t};
	RtInstance in = {.model = &one, .params = (unsigned char *)values};
	rt_init_tensors(&in, seed);
}

static void moments(double *mean, double *deviation, double *largest)
{
	double sum = 0, square = 0;
	*largest = 0;
	for (int i = 0; i < N; i++) {
		sum += (double)values[i];
		square += (double)values[i] * (double)values[i];
		*largest = fmax(*largest, fabs((double)values[i]));
	}
	*mean = sum / N;
	*deviation = sqrt(square / N - *mean * *mean);
}

static const struct {
	int32_t kind;
	double a, b, deviation, limit; /* limit 0: none */
} kinds[] = {
	{RT_GLOROT_UNIFORM, 0, 0, 0.056344, 0.097590}, /* limit sqrt(6 / 630) */
	{RT_GLOROT_NORMAL, 0, 0, 0.056344, 0.128107},  /* twice the deviation before truncation, 0.0640535 */
	{RT_HE_UNIFORM, 0, 0, 0.105409, 0.182575},     {RT_HE_NORMAL, 0, 0, 0.105409, 0.239664},
	{RT_LECUN_UNIFORM, 0, 0, 0.074536, 0.129100},  {RT_LECUN_NORMAL, 0, 0, 0.074536, 0.169468},
	{RT_UNIFORM, -0.05, 0.05, 0.028868, 0.05},     {RT_NORMAL, 0, 0.05, 0.05, 0},
	{RT_TRUNCATED_NORMAL, 0, 0.05, 0.043981, 0.1},
};

START_TEST(initializers_have_their_moments)
{
	double mean, deviation, largest;
	init(kinds[_i].kind, kinds[_i].a, kinds[_i].b, 11);
	moments(&mean, &deviation, &largest);
	ck_assert_double_eq_tol(mean, 0, 5 * kinds[_i].deviation / sqrt(N));
	ck_assert_double_eq_tol(deviation, kinds[_i].deviation, 0.02 * kinds[_i].deviation);
	if (kinds[_i].limit > 0)
		ck_assert_double_le(largest, kinds[_i].limit * 1.0001);
	float first[16];
	memcpy(first, values, sizeof first);
	init(kinds[_i].kind, kinds[_i].a, kinds[_i].b, 11);
	ck_assert_mem_eq(first, values, sizeof first);
	init(kinds[_i].kind, kinds[_i].a, kinds[_i].b, 12);
	ck_assert_mem_ne(first, values, sizeof first);
}
END_TEST

START_TEST(constants_and_fans)
{
	double in, out;
	init(RT_CONSTANT, 0.25, 0, 1);
	ck_assert_float_eq(values[N - 1], 0.25f);
	init(RT_ONES, 0, 0, 1);
	ck_assert_float_eq(values[7], 1);
	RtTensor dense = {.rank = 2, .dim = {7, 9}}, bias = {.rank = 1, .dim = {5}},
		 kernel = {.rank = 4, .dim = {3, 5, 7, 9}};
	rt_fans(&dense, &in, &out);
	ck_assert(in == 7 && out == 9);
	rt_fans(&bias, &in, &out);
	ck_assert(in == 5 && out == 5);
	rt_fans(&kernel, &in, &out);
	ck_assert(in == 105 && out == 135);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("metrics");
	TCase *c = tcase_create("metrics");
	tcase_add_test(c, precision_recall_f1);
	tcase_add_test(c, area_under_the_curve);
	tcase_add_test(c, sums_over_batches);
	tcase_add_loop_test(c, initializers_have_their_moments, 0, (int)(sizeof kinds / sizeof *kinds));
	tcase_add_test(c, constants_and_fans);
	suite_add_tcase(s, c);
	return suite_run(s);
}

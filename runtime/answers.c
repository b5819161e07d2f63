/* answers.c -- counts answers, and ranks them for ROC and precision-recall curves */
#include "runtime/answers.h"

#include <stdlib.h>
#include "ir/size.h"
#include "runtime/sys.h"

static void count_sample(RtAnswers *a, int64_t i, double temperature, float *row, double *p)
{
	const RtCalibrator *c = a->from;
	RtScores s = c->scores;
	for (int pass = 0; pass < 2; pass++) {
		int best = 0;
		s.temperature = pass ? temperature : 1;
		for (int k = 0; k < s.outputs; k++)
			row[k] = c->logit[i * s.outputs + k];
		rt_scores_temper(&s, row, 1);
		rt_scores_probabilities(&s, row, p);
		for (int k = 1; k < a->classes; k++)
			best = p[k] > p[best] ? k : best;
		rt_reliability_add(pass ? &a->calibrated : &a->as_trained, p[best], best == c->truth[i]);
		if (pass)
			a->counts[(long long)c->truth[i] * a->classes + best]++;
	}
}

RtStatus rt_answers_new(RtAnswers *a, const RtCalibrator *from, double temperature)
{
	*a = (RtAnswers){.classes = from->scores.classes, .samples = from->n, .from = from};
	size_t bytes;
	if (from->n == 0 || a->classes == 0)
		return RT_OK;
	if (!size_mul((size_t)a->classes * sizeof *a->counts, (size_t)a->classes, &bytes))
		return rt_fail(RT_NOMEM, "out of memory for the answers");
	a->counts = rt_sys.alloc(bytes);
	float *row = rt_sys.alloc(((size_t)from->scores.outputs + 1) * sizeof *row);
	double *p = rt_sys.alloc(((size_t)a->classes + 1) * sizeof *p);
	const bool ok = a->counts && row && p;
	for (int64_t i = 0; ok && i < a->samples; i++)
		count_sample(a, i, temperature, row, p);
	rt_sys.release(row);
	rt_sys.release(p);
	return ok ? RT_OK : rt_fail(RT_NOMEM, "out of memory for the answers");
}

void rt_answers_free(RtAnswers *a)
{
	rt_sys.release(a->counts);
	*a = (RtAnswers){0};
}

/* ---- curves ---- */

typedef struct Scored {
	double p;
	bool is;
} Scored;

static int by_score(const void *pa, const void *pb)
{
	const double a = ((const Scored *)pa)->p, b = ((const Scored *)pb)->p;
	return a > b ? -1 : a < b;
}

/* Walks groups of equal scores from the highest down; curves get the state after each hundredth of the samples. */
static void walk(const Scored *s, int64_t n, int64_t positives, RtCurve *out)
{
	const double negatives = (double)(n - positives);
	int64_t tp = 0, fp = 0;
	int k = 0;
	for (int64_t i = 0; i < n;) {
		const int64_t tp_before = tp, fp_before = fp;
		const double p = s[i].p;
		for (; i < n && !(s[i].p < p); i++) {
			tp += s[i].is;
			fp += !s[i].is;
		}
		out->auc += (double)(fp - fp_before) * (double)(tp + tp_before) / 2;
		for (; k < RT_CURVE && (i == n || k * n < i * (RT_CURVE - 1)); k++) {
			const bool none = k == 0;
			out->tpr[k] = none ? 0 : (double)tp / (double)positives;
			out->fpr[k] = none ? 0 : (double)fp / negatives;
			out->precision[k] = (double)tp / (double)(tp + fp);
		}
	}
	out->auc /= (double)positives * negatives;
}

RtStatus rt_answers_curve(const RtAnswers *a, int class, RtCurve *out, bool *found)
{
	const RtCalibrator *c = a->from;
	int64_t positives = 0;
	*out = (RtCurve){.auc = 0};
	Scored *s = rt_sys.alloc((size_t)(a->samples + 1) * sizeof *s);
	double *p = rt_sys.alloc(((size_t)a->classes + 1) * sizeof *p);
	for (int64_t i = 0; s && p && i < a->samples; i++) {
		rt_scores_probabilities(&c->scores, c->logit + i * c->scores.outputs, p);
		s[i] = (Scored){p[class], c->truth[i] == class};
		positives += s[i].is;
	}
	*found = s && p && positives > 0 && positives < a->samples;
	if (*found) {
		qsort(s, (size_t)a->samples, sizeof *s, by_score);
		walk(s, a->samples, positives, out);
	}
	const bool ok = s && p;
	rt_sys.release(s);
	rt_sys.release(p);
	return ok ? RT_OK : rt_fail(RT_NOMEM, "out of memory for curves");
}

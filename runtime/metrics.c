/* metrics.c -- mean, precision, recall, F1 and AUC from their sums (formulas: keras/src/metrics) */
#include "runtime/metrics.h"

#include <math.h>
#include <string.h>
#include "runtime/sys.h"

RtStatus rt_metrics_new(RtMetrics *m, const RtModel *model)
{
	*m = (RtMetrics){.model = model};
	if (model->nmetrics > RT_MAX_METRICS)
		return rt_fail(RT_INTERNAL, "the model has %u metrics, at most %d fit", model->nmetrics,
			       RT_MAX_METRICS);
	m->sum = rt_sys.alloc((model->metric_doubles + 1) * sizeof *m->sum);
	return m->sum ? RT_OK : rt_fail(RT_NOMEM, "out of memory for %u metric sums", model->metric_doubles);
}

void rt_metrics_free(RtMetrics *m)
{
	rt_sys.release(m->sum);
	*m = (RtMetrics){0};
}

void rt_metrics_reset(RtMetrics *m)
{
	memset(m->sum, 0, m->model->metric_doubles * sizeof *m->sum);
	m->samples = 0;
}

void rt_metrics_add(RtMetrics *m, const double *sum, uint32_t n)
{
	for (uint32_t i = 0; i < m->model->metric_doubles; i++)
		m->sum[i] += sum[i];
	m->samples += n;
}

static double quotient(double a, double b)
{
	return b == 0 ? 0 : a / b;
}

double rt_precision(const double *s)
{
	return quotient(s[0], s[0] + s[1]);
}

double rt_recall(const double *s)
{
	return quotient(s[0], s[0] + s[2]);
}

double rt_f1(const double *s)
{
	double p = rt_precision(s), r = rt_recall(s);
	return quotient(2 * p * r, p + r);
}

double rt_iou(const double *s)
{
	return s[0] / (s[0] + s[1] + s[2]);
}

double rt_auc(const double *positives, const double *negatives, uint32_t bins)
{
	double tp = 0, fp = 0, p = 0, n = 0, area = 0;
	for (uint32_t i = 0; i < bins; i++) {
		p += positives[i];
		n += negatives[i];
	}
	/* threshold falls from above the highest bin, where nothing is called positive, to below the lowest */
	for (uint32_t i = bins; i-- > 0;) {
		double tp_before = tp, fp_before = fp;
		tp += positives[i];
		fp += negatives[i];
		area += (quotient(fp, n) - quotient(fp_before, n)) * (quotient(tp, p) + quotient(tp_before, p)) / 2;
	}
	return area;
}

static double mean_over_classes(const double *sum, uint32_t count, double (*f)(const double *))
{
	double total = 0;
	for (uint32_t c = 0; c + 4 <= count; c += 4)
		total += f(sum + c);
	return quotient(total, count / 4);
}

static double mean_iou(const double *sum, uint32_t count)
{
	double total = 0, met = 0;
	for (uint32_t c = 0; c + 4 <= count; c += 4) {
		double one = rt_iou(sum + c);
		total += isnan(one) ? 0 : one;
		met += !isnan(one);
	}
	return quotient(total, met);
}

static double mean_auc(const double *sum, uint32_t count)
{
	double total = 0;
	uint32_t classes = count / (2 * RT_AUC_BINS);
	for (uint32_t c = 0; c < classes; c++)
		total += rt_auc(sum + 2 * c * RT_AUC_BINS, sum + (2 * c + 1) * RT_AUC_BINS, RT_AUC_BINS);
	return quotient(total, classes);
}

double rt_metrics_value(const RtMetrics *m, uint32_t which)
{
	const RtMetric *r = &m->model->metric[which];
	const double *sum = m->sum + r->offset;
	switch ((RtMetricKind)r->kind) {
	case RT_MEAN:
		return quotient(sum[0], (double)m->samples);
	case RT_PRECISION:
		return mean_over_classes(sum, r->count, rt_precision);
	case RT_RECALL:
		return mean_over_classes(sum, r->count, rt_recall);
	case RT_F1:
		return mean_over_classes(sum, r->count, rt_f1);
	case RT_AUC:
		return rt_auc(sum, sum + r->count / 2, r->count / 2);
	case RT_AUC_EACH:
		return mean_auc(sum, r->count);
	case RT_IOU:
		return mean_iou(sum, r->count);
	}
	return 0;
}

int rt_metrics_find(const RtModel *model, const char *name)
{
	for (uint32_t i = 0; i < model->nmetrics; i++) {
		if (strcmp(model->metric[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

/* metrics.h -- from the sums that entries give to the numbers that users read
 *
 * Sums are added over the batches of an epoch in double, in order, so they do not depend on threads.
 */
#ifndef CNNC_RUNTIME_METRICS_H
#define CNNC_RUNTIME_METRICS_H

#include <stdint.h>
#include "runtime/model.h"
#include "runtime/status.h"

enum { RT_MAX_METRICS = 32 };

typedef struct RtMetrics {
	const RtModel *model;
	double *sum; /* model->metric_doubles */
	int64_t samples;
} RtMetrics;

RtStatus rt_metrics_new(RtMetrics *m, const RtModel *model);
void rt_metrics_free(RtMetrics *m);
void rt_metrics_reset(RtMetrics *m);
void rt_metrics_add(RtMetrics *m, const double *sum, uint32_t n);
double rt_metrics_value(const RtMetrics *m, uint32_t which); /* of model->metric[which]; 0 of no samples is 0 */
int rt_metrics_find(const RtModel *model, const char *name); /* -1: none of that name */

/* Keras' formulas on plain sums. A quotient 0 / 0 is 0. */
double rt_precision(const double *tp_fp_fn_tn);
double rt_recall(const double *tp_fp_fn_tn);
double rt_f1(const double *tp_fp_fn_tn);
double rt_iou(const double *tp_fp_fn_tn); /* of a class that does not occur: NaN */
/* Area under the ROC curve by trapezoids over the bin edges; positives[bins], then negatives[bins]. */
double rt_auc(const double *positives, const double *negatives, uint32_t bins);

#endif

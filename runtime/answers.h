/* answers.h -- what a classifier said about validation samples, counted: the figures of a report */
#ifndef CNNC_RUNTIME_ANSWERS_H
#define CNNC_RUNTIME_ANSWERS_H

#include "runtime/calibrate.h"

enum { RT_CURVE = 101 };

typedef struct RtAnswers {
	int classes;
	int64_t samples;
	long long *counts;            /* [truth][answer] */
	RtReliability as_trained, calibrated;
	const RtCalibrator *from;
} RtAnswers;

typedef struct RtCurve { /* class against the rest, at RT_CURVE thresholds from the highest score down */
	double fpr[RT_CURVE], tpr[RT_CURVE], precision[RT_CURVE]; /* tpr is recall */
	double auc; /* of the ROC: the chance that a sample of the class scores above one of the rest; ties count half */
} RtCurve;

RtStatus rt_answers_new(RtAnswers *a, const RtCalibrator *from, double temperature);
void rt_answers_free(RtAnswers *a);
/* False: there are no samples of the class, or no others. */
RtStatus rt_answers_curve(const RtAnswers *a, int class, RtCurve *out, bool *found);

#endif

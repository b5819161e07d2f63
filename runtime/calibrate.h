/* calibrate.h -- are probabilities true? The expected calibration error, and one temperature that makes it small
 *
 * Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks (ICML 2017). Logits are divided by T, which is
 * fitted on samples that were not trained on: T minimises their mean negative log likelihood. Classes keep their order.
 */
#ifndef CNNC_RUNTIME_CALIBRATE_H
#define CNNC_RUNTIME_CALIBRATE_H

#include "runtime/scores.h"

enum { RT_ECE_BINS = 15 };

typedef struct RtReliability { /* by the probability of the predicted class, in bins of equal width */
	int64_t samples[RT_ECE_BINS], right[RT_ECE_BINS];
	double confidence[RT_ECE_BINS]; /* sums */
} RtReliability;

void rt_reliability_add(RtReliability *r, double confidence, bool right);
double rt_reliability_ece(const RtReliability *r); /* mean of |accuracy - confidence|, weighted by samples */

typedef struct RtCalibration {
	double temperature, ece, ece_calibrated, nll, nll_calibrated;
	int64_t samples; /* 0: there is none, and the rest says nothing */
} RtCalibration;

typedef struct RtCalibrator { /* samples to fit on */
	RtScores scores;
	RtPort y;
	float *logit; /* room * outputs */
	int32_t *truth;
	int64_t n, room;
} RtCalibrator;

/* Room for as many of `samples` as fit into 64 MB; further ones are not looked at. */
RtStatus rt_calibrator_new(RtCalibrator *c, const RtScores *scores, const RtPort *y, int64_t samples);
void rt_calibrator_free(RtCalibrator *c);
void rt_calibrator_reset(RtCalibrator *c);
void rt_calibrator_add(RtCalibrator *c, const float *out, const unsigned char *y, int64_t rows);
/* With fewer than 16 samples there is none. In order and in double: the same samples give the same bits. */
RtCalibration rt_calibrate(const RtCalibrator *c);

#endif

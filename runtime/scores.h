/* scores.h -- what the outputs of a classifier say: which class, how sure
 *
 * Trainer, predictor and server share this. A network of one output has two classes and says the probability of the second.
 */
#ifndef CNNC_RUNTIME_SCORES_H
#define CNNC_RUNTIME_SCORES_H

#include "runtime/config.h"

typedef struct RtScores {
	int classes;        /* 0: the outputs are not classes */
	int outputs;        /* values of output 0 for a sample; 0: they are not scores */
	bool logits;        /* outputs are scores before sigmoid or softmax */
	bool exclusive;     /* a sample has one class, and the loss says so: then a temperature has a meaning */
	double temperature; /* logits are divided by it; 1: as trained */
} RtScores;

/* labels: how many class names are known, 0: none. temperature is 1. */
RtScores rt_scores_of(const RtModel *m, const RtConfig *c, int labels);
/* What sigmoid or softmax was taken of: `outputs` of them, up to a constant. Of probabilities they are as exact as float32 has
 * kept them: a sigmoid has no more than +-16.6 to say, a softmax -103. */
void rt_scores_logits(const RtScores *s, const float *out, double *logits);
/* Divides the logits of `rows` samples by the temperature, in place. The order of the classes stays. */
void rt_scores_temper(const RtScores *s, float *out, int64_t rows);
void rt_scores_probabilities(const RtScores *s, const float *out, double *probability); /* `classes` of them */
/* The class that a row of port y says (index, one-hot or 0/1); -1 if it is none. */
int rt_scores_truth(const RtPort *y, const unsigned char *row, int classes);

#endif

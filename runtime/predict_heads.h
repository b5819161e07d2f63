/* predict_heads.h -- what the outputs of a model say, whichever they are
 *
 * An output is read by its loss: one class of several, any number of labels, a class for each pixel, or plain values. All forms of
 * answers (text, json, csv) of models with several outputs, of labels and of masks are made here, and csv of all.
 */
#ifndef CNNC_RUNTIME_PREDICT_HEADS_H
#define CNNC_RUNTIME_PREDICT_HEADS_H

#include "runtime/data.h"
#include "runtime/predict.h"

typedef enum RtHeadKind { RT_HEAD_VALUES, RT_HEAD_CLASS, RT_HEAD_LABELS, RT_HEAD_MASK } RtHeadKind;

typedef struct RtHead {
	const RtPort *port;
	RtHeadKind kind;
	int64_t values; /* numbers a sample */
	int classes;    /* 2 where one output is the second's probability; 0: none */
	bool logits;    /* numbers are scores before sigmoid or softmax */
} RtHead;

typedef struct RtHeads {
	int n;
	RtHead head[RT_MAX_PORTS];
	double *room; /* classes of the largest */
	bool several; /* pictures: their masks go to a folder */
	unsigned char *mask;
} RtHeads;

RtStatus rt_heads_open(const RtPredictor *p, const RtEntry *e, RtHeads *h);
void rt_heads_close(RtHeads *h);
/* One output, a class or values, not as csv: what predict_paths.c prints itself. */
bool rt_heads_plain(const RtPredictor *p, const RtHeads *h);
/* Sigmoid or softmax where they are missing; head->classes numbers. Of a class, labels. */
void rt_head_probabilities(const RtHead *head, const float *scores, double *out);
void rt_heads_begin(const RtPredictor *p, const RtHeads *h); /* the first line of csv */
/* The answer for row `row` of the outputs; masks go to p->output, if that is given. */
RtStatus rt_heads_print(const RtPredictor *p, const RtHeads *h, const RtDataSpec *spec, const char *path, int64_t row);

#endif

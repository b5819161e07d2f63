/* scores.c -- from outputs to logits and probabilities, and back with a temperature */
#include "runtime/scores.h"

#include <float.h>
#include <math.h>
#include <string.h>

static int outputs_of(const RtModel *m)
{
	const RtEntry *e = rt_entry(m, "predict");
	if (!e || e->nout == 0 || e->out[0].dtype != RT_F32 || e->out[0].rank > 2)
		return 0;
	return e->out[0].rank == 2 ? (int)e->out[0].dim[1] : 1;
}

/* "train.loss" = binary_crossentropy, or "train.loss.binary_crossentropy.from_logits" = true … */
static const char *loss_of(const RtConfig *c)
{
	const char *path = rt_config_match(c, "train.loss", "");
	return !path ? "" : strncmp(path, "train.loss.", 11) == 0 ? path + 11 : rt_config_text(c, path, "");
}

RtScores rt_scores_of(const RtModel *m, const RtConfig *c, int labels)
{
	const char *from_logits = rt_config_match(c, "train.loss", ".from_logits"), *loss = loss_of(c);
	const char *task = rt_config_text(c, "task", "");
	RtScores s = {.outputs = outputs_of(m), .temperature = 1};
	s.logits = from_logits && rt_config_bool(c, from_logits, false);
	s.exclusive = strstr(loss, "categorical_crossentropy") ||
	              (s.outputs == 1 && strncmp(loss, "binary_crossentropy", 19) == 0);
	bool classifies = labels > 0 || strcmp(task, "image_classification") == 0 || s.exclusive;
	if (classifies && s.outputs > 0 && strcmp(task, "regression") != 0)
		s.classes = s.outputs == 1 ? 2 : s.outputs;
	s.exclusive = s.exclusive && s.classes > 0;
	return s;
}

static double sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

void rt_scores_logits(const RtScores *s, const float *out, double *logits)
{
	const double least = log((double)FLT_TRUE_MIN), widest = -log((double)FLT_EPSILON / 2);
	for (int i = 0; i < s->outputs; i++) {
		double v = (double)out[i];
		if (s->logits)
			logits[i] = v;
		else if (s->outputs == 1)
			logits[i] = fmin(fmax(log(v) - log1p(-v), -widest), widest);
		else
			logits[i] = fmax(log(v), least);
	}
}

/* softmax(z / T) = p^(1/T) over its sum; the largest is 1 before the division, so nothing overflows. */
static void temper_softmax(const RtScores *s, float *p)
{
	double top = 0, sum = 0;
	for (int i = 0; i < s->outputs; i++)
		top = (double)p[i] > top ? (double)p[i] : top;
	for (int i = 0; i < s->outputs; i++)
		sum += pow((double)p[i] / top, 1 / s->temperature);
	for (int i = 0; i < s->outputs; i++)
		p[i] = (float)(pow((double)p[i] / top, 1 / s->temperature) / sum);
}

void rt_scores_temper(const RtScores *s, float *out, int64_t rows)
{
	if (s->temperature == 1 || !s->exclusive)
		return;
	for (int64_t r = 0; r < rows; r++, out += s->outputs) {
		if (s->logits) {
			for (int i = 0; i < s->outputs; i++)
				out[i] = (float)((double)out[i] / s->temperature);
		} else if (s->outputs == 1) {
			double z;
			rt_scores_logits(s, out, &z);
			out[0] = (float)sigmoid(z / s->temperature);
		} else {
			temper_softmax(s, out);
		}
	}
}

static void softmax(double *v, int n)
{
	double top = v[0], sum = 0;
	for (int i = 1; i < n; i++)
		top = v[i] > top ? v[i] : top;
	for (int i = 0; i < n; i++) {
		v[i] = exp(v[i] - top);
		sum += v[i];
	}
	for (int i = 0; i < n; i++)
		v[i] /= sum;
}

void rt_scores_probabilities(const RtScores *s, const float *out, double *probability)
{
	if (s->outputs == 1) {
		double second = s->logits ? sigmoid((double)out[0]) : (double)out[0];
		probability[0] = 1 - second;
		probability[1] = second;
		return;
	}
	for (int i = 0; i < s->classes; i++)
		probability[i] = (double)out[i];
	if (s->logits)
		softmax(probability, s->classes);
}

int rt_scores_truth(const RtPort *y, const unsigned char *row, int classes)
{
	int64_t n = y->rank > 1 ? y->dim[y->rank - 1] : 1;
	float f;
	int32_t i;
	if (y->dtype == RT_I32) {
		memcpy(&i, row, sizeof i);
	} else if (n > 1) {
		float top = 0;
		i = 0;
		for (int64_t k = 0; k < n; k++) {
			memcpy(&f, row + 4 * k, sizeof f);
			if (k == 0 || f > top) {
				top = f;
				i = (int32_t)k;
			}
		}
	} else {
		memcpy(&f, row, sizeof f);
		i = f > 0.5f;
	}
	return i >= 0 && i < classes ? i : -1;
}

/* calibrate.c -- fits the temperature by Newton steps inside a bracket, and measures calibration before and after */
#include "runtime/calibrate.h"

#include <math.h>
#include <string.h>
#include "ir/size.h"
#include "runtime/sys.h"

enum { ROOM_BYTES = 64 << 20, FEWEST = 16, STEPS = 60 };
static const double coldest = 0.05, hottest = 20; /* T beyond these says that there is nothing to fit */

/* ---- the calibration error ---- */

void rt_reliability_add(RtReliability *r, double confidence, bool right)
{
	int bin = (int)(confidence * RT_ECE_BINS);
	bin = bin < 0 ? 0 : bin >= RT_ECE_BINS ? RT_ECE_BINS - 1 : bin;
	r->samples[bin]++;
	r->right[bin] += right;
	r->confidence[bin] += confidence;
}

double rt_reliability_ece(const RtReliability *r)
{
	double sum = 0;
	int64_t n = 0;
	for (int i = 0; i < RT_ECE_BINS; i++) {
		sum += fabs((double)r->right[i] - r->confidence[i]);
		n += r->samples[i];
	}
	return n ? sum / (double)n : 0;
}

/* ---- samples ---- */

RtStatus rt_calibrator_new(RtCalibrator *c, const RtScores *scores, const RtPort *y, int64_t samples)
{
	int64_t most = ROOM_BYTES / ((int64_t)sizeof(float) * scores->outputs + (int64_t)sizeof(int32_t));
	size_t room = (size_t)(samples < most ? samples : most), bytes;
	*c = (RtCalibrator){.scores = *scores, .y = *y, .room = (int64_t)room};
	if (!size_mul(room + 1, (size_t)scores->outputs * sizeof *c->logit, &bytes))
		return rt_fail(RT_NOMEM, "out of memory for the scores of %lld samples", (long long)samples);
	c->logit = rt_sys.alloc(bytes);
	c->truth = rt_sys.alloc((room + 1) * sizeof *c->truth);
	if (c->logit && c->truth)
		return RT_OK;
	rt_calibrator_free(c);
	return rt_fail(RT_NOMEM, "out of memory for the scores of %lld samples", (long long)samples);
}

void rt_calibrator_free(RtCalibrator *c)
{
	rt_sys.release(c->logit);
	rt_sys.release(c->truth);
	*c = (RtCalibrator){0};
}

void rt_calibrator_reset(RtCalibrator *c)
{
	c->n = 0;
}

void rt_calibrator_add(RtCalibrator *c, const float *out, const unsigned char *y, int64_t rows)
{
	const RtScores *s = &c->scores;
	for (int64_t r = 0; r < rows && c->n < c->room; r++) {
		const float *row = out + r * s->outputs;
		int truth = rt_scores_truth(&c->y, y + (size_t)r * c->y.row_bytes, s->classes);
		bool finite = true;
		for (int i = 0; i < s->outputs; i++)
			finite = finite && isfinite(row[i]);
		if (truth < 0 || !finite)
			continue;
		memcpy(c->logit + c->n * s->outputs, row, (size_t)s->outputs * sizeof *row);
		c->truth[c->n++] = truth;
	}
}

/* ---- the fit ---- */

typedef struct Slope {
	double nll, first, second; /* mean of -log p, and its derivatives by b = 1 / T */
} Slope;

/* Of sample i: z, the logits of all classes (0 and z of a network with one output), in `room`. */
static int logits_of(const RtCalibrator *c, int64_t i, double *room)
{
	rt_scores_logits(&c->scores, c->logit + i * c->scores.outputs, room);
	if (c->scores.outputs == 1) {
		room[1] = room[0];
		room[0] = 0;
	}
	return c->scores.classes;
}

/* Adds a sample: nll = log sum exp(b z) - b z[truth], d/db = E[z] - z[truth], d2/db2 = Var[z] under p = softmax(b z). A share
 * `e` of the truth is spread over all classes. */
static void add_sample(Slope *sum, const double *z, int n, int truth, double b, double e)
{
	double top = z[0], all = 0, mean = 0, square = 0, plain = 0;
	for (int k = 0; k < n; k++) {
		top = z[k] > top ? z[k] : top;
		plain += z[k] / n;
	}
	for (int k = 0; k < n; k++)
		all += exp(b * (z[k] - top));
	for (int k = 0; k < n; k++) {
		double p = exp(b * (z[k] - top)) / all;
		mean += p * z[k];
	}
	for (int k = 0; k < n; k++)
		square += exp(b * (z[k] - top)) / all * (z[k] - mean) * (z[k] - mean);
	double target = (1 - e) * z[truth] + e * plain;
	sum->nll += log(all) + b * (top - target);
	sum->first += mean - target;
	sum->second += square;
}

/* As in Platt's scaling, one sample in n + 2 counts as being of any class: n right answers in a row are no proof that there
 * will never be a wrong one, and without it T would be 0 then. */
static Slope slope_at(const RtCalibrator *c, double b, double e, double *room)
{
	Slope s = {0};
	for (int64_t i = 0; i < c->n; i++) {
		int n = logits_of(c, i, room);
		add_sample(&s, room, n, c->truth[i], b, e);
	}
	return (Slope){s.nll / (double)c->n, s.first / (double)c->n, s.second / (double)c->n};
}

/* The nll is convex in b: Newton's step where it stays between the ends, else the middle. */
static double fit(const RtCalibrator *c, double *room)
{
	double lo = 1 / hottest, hi = 1 / coldest, b = 1, e = 1 / ((double)c->n + 2);
	for (int i = 0; i < STEPS; i++) {
		Slope s = slope_at(c, b, e, room);
		*(s.first > 0 ? &hi : &lo) = b;
		double next = b - s.first / s.second;
		if (!(next > lo && next < hi))
			next = (lo + hi) / 2;
		if (fabs(next - b) < 1e-9 * b)
			break;
		b = next;
	}
	return 1 / b;
}

static double ece_at(const RtCalibrator *c, double temperature, double *room)
{
	RtReliability r = {0};
	for (int64_t i = 0; i < c->n; i++) {
		int n = logits_of(c, i, room), best = 0;
		double sum = 0;
		for (int k = 1; k < n; k++)
			best = room[k] > room[best] ? k : best;
		for (int k = 0; k < n; k++)
			sum += exp((room[k] - room[best]) / temperature);
		rt_reliability_add(&r, 1 / sum, best == c->truth[i]);
	}
	return rt_reliability_ece(&r);
}

RtCalibration rt_calibrate(const RtCalibrator *c)
{
	RtCalibration out = {.temperature = 1, .samples = c->n};
	double *room = c->n >= FEWEST ? rt_sys.alloc(((size_t)c->scores.classes + 1) * sizeof *room) : NULL;
	if (!room)
		return (RtCalibration){.temperature = 1};
	out.temperature = fit(c, room);
	out.nll = slope_at(c, 1, 0, room).nll;
	out.nll_calibrated = slope_at(c, 1 / out.temperature, 0, room).nll;
	out.ece = ece_at(c, 1, room);
	out.ece_calibrated = ece_at(c, out.temperature, room);
	rt_sys.release(room);
	return out;
}

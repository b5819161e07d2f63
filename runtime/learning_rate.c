/* learning_rate.c -- see learning_rate.h */
#include "runtime/learning_rate.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* ---- schedules ---- */

static double periods(const RtRate *r, double step)
{
	double p = step / r->decay_steps;
	return r->staircase ? floor(p) : p;
}

static double exponential(const RtRate *r, double step)
{
	return r->initial * pow(r->decay_rate, periods(r, step));
}

static double inverse_time(const RtRate *r, double step)
{
	return r->initial / (1 + r->decay_rate * periods(r, step));
}

static double piecewise(const RtRate *r, double step)
{
	int i = 0;
	while (i < r->n && step > r->boundary[i])
		i++;
	return r->value[i];
}

static double polynomial(const RtRate *r, double step)
{
	double steps = r->decay_steps;
	if (r->cycle)
		steps *= step > 0 ? ceil(step / steps) : 1;
	else
		step = fmin(step, steps);
	return (r->initial - r->end) * pow(1 - step / steps, r->power) + r->end;
}

static double half_cosine(double fraction)
{
	return 0.5 * (1 + cos(M_PI * fraction));
}

static double cosine(const RtRate *r, double step)
{
	double from = r->has_target ? r->target : r->initial, before = r->has_target ? r->target_steps : 0;
	if (step < before)
		return (r->target - r->initial) * (step / before) + r->initial;
	double fraction = fmin(step - before, r->decay_steps) / r->decay_steps;
	return from * ((1 - r->alpha) * half_cosine(fraction) + r->alpha);
}

static double restarts(const RtRate *r, double step)
{
	double fraction = step / r->decay_steps, i = floor(fraction);
	if (r->t_mul == 1) {
		fraction -= i;
	} else {
		i = floor(log(1 - fraction * (1 - r->t_mul)) / log(r->t_mul));
		fraction = (fraction - (1 - pow(r->t_mul, i)) / (1 - r->t_mul)) / pow(r->t_mul, i);
	}
	return r->initial * ((1 - r->alpha) * pow(r->m_mul, i) * half_cosine(fraction) + r->alpha);
}

static const struct {
	const char *name;
	double (*at)(const RtRate *r, double step);
} schedules[] = {
	{"ExponentialDecay", exponential},   {"InverseTimeDecay", inverse_time}, {"PiecewiseConstantDecay", piecewise},
	{"PolynomialDecay", polynomial},     {"CosineDecay", cosine},            {"CosineDecayRestarts", restarts},
};

float rt_rate_at(const RtRate *r, float constant, int64_t step)
{
	double x = (double)(step > r->warmup ? step - r->warmup : 0), rate = r->at ? r->at(r, x) : (double)constant;
	if (step < r->warmup)
		rate *= (double)step / (double)r->warmup;
	return (float)rate;
}

/* ---- reading ---- */

static const struct {
	const char *name;
	size_t at;
	double lo;
} fields[] = {
	{"initial_learning_rate", offsetof(RtRate, initial), 0}, {"decay_steps", offsetof(RtRate, decay_steps), 1},
	{"first_decay_steps", offsetof(RtRate, decay_steps), 1}, {"decay_rate", offsetof(RtRate, decay_rate), 0},
	{"alpha", offsetof(RtRate, alpha), 0},                   {"end_learning_rate", offsetof(RtRate, end), 0},
	{"power", offsetof(RtRate, power), 0},                   {"t_mul", offsetof(RtRate, t_mul), 1},
	{"m_mul", offsetof(RtRate, m_mul), 0},                   {"warmup_target", offsetof(RtRate, target), 0},
	{"warmup_steps", offsetof(RtRate, target_steps), 0},
};

static RtStatus read_pieces(const RtConfig *c, const char *start, RtRate *out)
{
	char path[400];
	RtStatus s = RT_OK;
	for (int i = 0; i < RT_RATE_PIECES && s == RT_OK; i++) {
		snprintf(path, sizeof path, "%s.boundaries.%d", start, i);
		if (!rt_config_get(c, path))
			break;
		s = rt_config_float_in(c, path, 0, i ? out->boundary[i - 1] : 0, INT32_MAX, &out->boundary[i]);
		out->n = i + 1;
	}
	for (int i = 0; i <= out->n && s == RT_OK; i++) {
		snprintf(path, sizeof path, "%s.values.%d", start, i);
		s = rt_config_float_in(c, path, 0, 0, 3e38, &out->value[i]);
	}
	return s;
}

static RtStatus read_schedule(const RtConfig *c, const char *start, int64_t total_steps, RtRate *out)
{
	char path[400];
	RtStatus s = RT_OK;
	for (size_t i = 0; i < sizeof fields / sizeof *fields && s == RT_OK; i++) {
		snprintf(path, sizeof path, "%s.%s", start, fields[i].name);
		const char *text = rt_config_get(c, path);
		double *to = (double *)((char *)out + fields[i].at);
		if (text && strcmp(text, "auto") == 0)
			*to = (double)(total_steps < 1 ? 1 : total_steps);
		else if (text)
			s = rt_config_float_in(c, path, 0, fields[i].lo, 3e38, to);
		if (text && fields[i].at == offsetof(RtRate, target))
			out->has_target = true;
	}
	snprintf(path, sizeof path, "%s.staircase", start);
	out->staircase = rt_config_bool(c, path, false);
	snprintf(path, sizeof path, "%s.cycle", start);
	out->cycle = rt_config_bool(c, path, false);
	return s == RT_OK ? read_pieces(c, start, out) : s;
}

/* The part of a field's path up to the schedule's name, as in "train.optimizer.adam.learning_rate.CosineDecay.alpha"; 0: it
 * is none of the schedule `name`. */
static size_t schedule_end(const char *path, const char *optimizer, const char *name)
{
	static const char key[] = ".learning_rate.";
	size_t n = strlen(optimizer), k = strlen(name);
	const char *dot = strncmp(path, optimizer, n) == 0 && path[n] == '.' ? strstr(path + n, key) : NULL;
	const char *at = dot ? dot + sizeof key - 1 : NULL;
	return at && strncmp(at, name, k) == 0 && at[k] == '.' ? (size_t)(at - path) + k : 0;
}

RtStatus rt_rate_read(const RtConfig *c, const char *optimizer, int64_t warmup, int64_t total_steps, RtRate *out)
{
	*out = (RtRate){.initial = 0.001, .end = 1e-4, .power = 1, .t_mul = 2, .m_mul = 1, .warmup = warmup};
	for (size_t k = 0; k < sizeof schedules / sizeof *schedules; k++) {
		for (uint32_t i = 0; i < c->model->nfields; i++) {
			char start[300];
			size_t n = schedule_end(c->model->field[i].path, optimizer, schedules[k].name);
			if (n == 0 || n >= sizeof start)
				continue;
			memcpy(start, c->model->field[i].path, n);
			start[n] = '\0';
			out->at = schedules[k].at;
			return read_schedule(c, start, total_steps, out);
		}
	}
	const char *path = rt_config_match(c, optimizer, ".learning_rate");
	return path ? rt_config_float_in(c, path, out->initial, 0, 3e38, &out->initial) : RT_OK;
}

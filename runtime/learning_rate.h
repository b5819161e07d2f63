/* learning_rate.h -- the learning rate of each step: one number, or one of Keras' schedules
 *
 * A rate is a pure function of the step (counting from 0, as Keras' optimizer.iterations does), so that a resumed run has
 * it exactly. Formulas: keras/src/optimizers/schedules/learning_rate_schedule.py, in double.
 */
#ifndef CNNC_RUNTIME_LEARNING_RATE_H
#define CNNC_RUNTIME_LEARNING_RATE_H

#include "runtime/config.h"

enum { RT_RATE_PIECES = 64 };

typedef struct RtRate RtRate;
struct RtRate {
	double (*at)(const RtRate *r, double step); /* NULL: a constant */
	double initial, decay_steps, decay_rate, alpha, end, power, t_mul, m_mul, target, target_steps;
	bool staircase, cycle, has_target;
	double boundary[RT_RATE_PIECES], value[RT_RATE_PIECES + 1];
	int n; /* boundaries */
	int64_t warmup; /* steps in which the rate rises from 0 before all that */
};

/* Reads `optimizer`.*.learning_rate ("train.optimizer"); total_steps: what decay_steps: auto means. */
RtStatus rt_rate_read(const RtConfig *c, const char *optimizer, int64_t warmup, int64_t total_steps, RtRate *out);
/* constant: what r->initial has become meanwhile (ReduceLROnPlateau); schedules don't look at it. */
float rt_rate_at(const RtRate *r, float constant, int64_t step);

#endif

/* init.c -- Keras 3 initializers over Philox(seed, element, 0, 0, tensor's stream)
 *
 * Arguments (RtTensor.init_arg): constant {value}, uniform {minimum, maximum}, normal and truncated_normal {mean,
 * stddev}. The scaled ones: glorot variance 2 / (in + out), he 2 / in, lecun 1 / in; uniform limit sqrt(3 * variance);
 * normal is truncated at two deviations, whose deviation .87962566103423978 is divided out
 * (keras/src/initializers/random_initializers.py).
 */
#include "runtime/init.h"

#include <math.h>
#include <string.h>
#include "runtime/random.h"

void rt_fans(const RtTensor *t, double *fan_in, double *fan_out)
{
	double field = 1;
	if (t->rank < 2) {
		*fan_in = *fan_out = t->rank == 1 ? (double)t->dim[0] : 1;
		return;
	}
	for (int i = 0; i < t->rank - 2; i++)
		field *= (double)t->dim[i];
	*fan_in = field * (double)t->dim[t->rank - 2];
	*fan_out = field * (double)t->dim[t->rank - 1];
}

/* Standard normal by Box-Muller; |x| <= 2 by taking the next attempt where it is not. */
static double normal(uint64_t seed, uint64_t element, uint32_t stream, bool truncated)
{
	for (uint32_t attempt = 0;; attempt++) {
		uint32_t w[4];
		rt_philox(seed, (uint32_t)element, (uint32_t)(element >> 32), attempt, stream, w);
		double u = 1.0 - rt_uniform53(w[0], w[1]), v = rt_uniform53(w[2], w[3]);
		double r = sqrt(-2.0 * log(u)), z0 = r * cos(2 * M_PI * v), z1 = r * sin(2 * M_PI * v);
		if (!truncated || fabs(z0) <= 2.0)
			return z0;
		if (fabs(z1) <= 2.0)
			return z1;
	}
}

static double uniform(uint64_t seed, uint64_t element, uint32_t stream, double lo, double hi)
{
	uint32_t w[4];
	rt_philox(seed, (uint32_t)element, (uint32_t)(element >> 32), 0, stream, w);
	return lo + (hi - lo) * rt_uniform53(w[0], w[1]);
}

/* Variance of the scaled initializers; 0 for the others. */
static double variance(const RtTensor *t)
{
	double in, out;
	rt_fans(t, &in, &out);
	switch (t->init) {
	case RT_GLOROT_UNIFORM:
	case RT_GLOROT_NORMAL:
		return 2.0 / fmax(1.0, in + out);
	case RT_HE_UNIFORM:
	case RT_HE_NORMAL:
		return 2.0 / fmax(1.0, in);
	case RT_LECUN_UNIFORM:
	case RT_LECUN_NORMAL:
		return 1.0 / fmax(1.0, in);
	default:
		return 0;
	}
}

static double draw(const RtTensor *t, uint64_t seed, uint64_t i, double var)
{
	double limit = sqrt(3.0 * var), dev = sqrt(var) / .87962566103423978;
	switch ((RtInit)t->init) {
	case RT_ZEROS:
		return 0;
	case RT_ONES:
		return 1;
	case RT_CONSTANT:
		return t->init_arg[0];
	case RT_UNIFORM:
		return uniform(seed, i, t->init_stream, t->init_arg[0], t->init_arg[1]);
	case RT_NORMAL:
	case RT_TRUNCATED_NORMAL:
		return t->init_arg[0] +
		       t->init_arg[1] * normal(seed, i, t->init_stream, t->init == RT_TRUNCATED_NORMAL);
	case RT_GLOROT_UNIFORM:
	case RT_HE_UNIFORM:
	case RT_LECUN_UNIFORM:
		return uniform(seed, i, t->init_stream, -limit, limit);
	case RT_GLOROT_NORMAL:
	case RT_HE_NORMAL:
	case RT_LECUN_NORMAL:
		return dev * normal(seed, i, t->init_stream, true);
	}
	return 0;
}

static void store(unsigned char *base, int32_t dtype, uint64_t i, double v)
{
	float f = (float)v;
	int32_t n = (int32_t)v;
	switch (dtype) {
	case RT_F32:
		memcpy(base + 4 * i, &f, 4);
		break;
	case RT_F64:
		memcpy(base + 8 * i, &v, 8);
		break;
	case RT_I32:
	case RT_U32:
		memcpy(base + 4 * i, &n, 4);
		break;
	default:
		base[i] = (unsigned char)n;
	}
}

static void fill(RtInstance *in, uint64_t seed, const RtTensor *t)
{
	uint64_t n = (uint64_t)rt_tensor_elems(t);
	double var = variance(t);
	unsigned char *base = rt_tensor_write(in, t);
	for (uint64_t i = 0; i < n; i++)
		store(base, t->dtype, i, draw(t, seed, i, var));
}

void rt_init_tensors(RtInstance *in, uint64_t seed)
{
	for (uint32_t k = 0; k < in->model->ntensors; k++)
		fill(in, seed, &in->model->tensor[k]);
}

void rt_init_kind(RtInstance *in, uint64_t seed, RtTensorKind kind)
{
	for (uint32_t k = 0; k < in->model->ntensors; k++) {
		if (in->model->tensor[k].kind == (int32_t)kind)
			fill(in, seed, &in->model->tensor[k]);
	}
}

/* init.h -- first values of the parameters (Keras 3 initializers), a pure function of seed and model */
#ifndef CNNC_RUNTIME_INIT_H
#define CNNC_RUNTIME_INIT_H

#include "runtime/call.h"

/* Fills every tensor: parameters and statistics by their initializer, moments with it too (zeros). */
void rt_init_tensors(RtInstance *in, uint64_t seed);
void rt_init_kind(RtInstance *in, uint64_t seed, RtTensorKind kind); /* those of one kind only */
/* Keras' compute_fans: (in, out) for rank 2; receptive field times the last two dimensions for kernels (kh, kw, in,
 * out). */
void rt_fans(const RtTensor *t, double *fan_in, double *fan_out);

#endif

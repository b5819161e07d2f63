/* random.h -- Philox4x32-10 in the runtime: draws that are pure functions of key and counter
 *
 * Key = seed, counter = (draw, sample, pass, stream), as everywhere in cnnc. No state, so nothing to save or to share.
 */
#ifndef CNNC_RUNTIME_RANDOM_H
#define CNNC_RUNTIME_RANDOM_H

#include <stdint.h>

enum { /* counter word 3 of the runtime's own draws; generated code numbers its streams from 0 */
       RT_STREAM_ORDER = 0xffff0001,
       RT_STREAM_SPLIT = 0xffff0002
};

void rt_philox(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t out[4]);

/* Uniform in [0, 1): the upper 24 bits, as generated code has it; 53 bits of two words. */
static inline float rt_uniform(uint32_t word)
{
	return (float)(word >> 8) * 0x1p-24f;
}

static inline double rt_uniform53(uint32_t hi, uint32_t lo)
{
	return (double)((uint64_t)hi << 21 | lo >> 11) * 0x1p-53;
}

/* out[0 … n-1]: a permutation of 0 … n-1, every one equally likely over (seed, pass, stream). */
void rt_permutation(uint64_t seed, uint32_t pass, uint32_t stream, uint32_t n, uint32_t *out);

#endif

/* bench_limits.h -- what the machine can do at most, measured on the spot; and what the benchmarks share
 *
 * Fused multiply-adds from registers and copying of memory, measured in the same run with the same threads as what is
 * compared with them, since clocks drift.
 */
#ifndef CNNC_BENCH_LIMITS_H
#define CNNC_BENCH_LIMITS_H

#include "codegen/codegen.h"
#include "runtime/pool.h"

typedef struct Limits {
	double fma_gflops; /* of all threads together */
	double fma_one;    /* of one thread */
	double copy_gbs;   /* bytes read and written by one thread */
} Limits;

/* Keeps what is larger: zeroes first, and asked again after the work it is right although the clock drifts. */
bool limits_measure(const CgOptions *o, RtPool *pool, Limits *out, Diag *d);
const char *limits_cpu(Arena *a); /* the processor's name */

void bench_fill(const RtPort *port, unsigned char *data, int64_t n); /* made-up values of n samples: floats in [0, 1) */
double bench_median(double *ms, int n);                              /* sorts; n > 0 */

#endif

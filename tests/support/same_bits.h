/* same_bits.h -- same seed, same bits: one computation in several ways */
#ifndef CNNC_TESTS_SAME_BITS_H
#define CNNC_TESTS_SAME_BITS_H

#include <stdbool.h>
#include <stddef.h>

/* Results of `what` in code for cpu on so many threads, as bytes that the caller frees. */
typedef unsigned char *ResultsFn(const void *what, const char *cpu, int threads, size_t *bytes);

bool cpu_runs(const char *cpu); /* this machine runs code for x86-64-v4, …+bf16, x86-64-v3, native … */

/* 1, 2, 3 and 8 threads of x86-64-v4 and 2 of v3 give the same bits, as far as this machine runs them. */
void same_bits(const char *name, const void *what, ResultsFn *results);
/* The same for threads alone, in code for one cpu. */
void same_bits_on(const char *name, const void *what, ResultsFn *results, const char *cpu);

#endif

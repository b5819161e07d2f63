/* model_check.h -- model files against the interpreter: every entry, every root
 *
 * A text goes through the frontend twice: once through all passes and the JIT, once only through autodiff into ir_eval
 * (in double). Values: pictures 0 to 255, arrays -1 to 1, kernels scaled by their fan-in so that values keep their size
 * through any depth, labels that fit the loss. Floats differ from doubles by rounding alone, so differences are
 * measured against the largest element of each root (jit_check.h).
 */
#ifndef CNNC_TESTS_MODEL_CHECK_H
#define CNNC_TESTS_MODEL_CHECK_H

#include "tests/support/jit_check.h"

typedef struct ModelCheck {
	const char *name, *text;
	const char *cpu; /* NULL: native */
	int threads;     /* 0: 1 */
	int64_t n[4];    /* samples of the calls; 0: no more */
	uint64_t seed;
	bool whole;       /* parameters and arrays are small integers: sums are exact in f32 */
	bool kernels; /* against the kernels in double, roundings of operands included, not against the graph */
	bool kinks;   /* what a change of parameters by rounding explains is no difference */
	uint64_t *bits;   /* unless NULL: a hash of all outputs of entries that only have outputs is left here */
	double tolerance; /* 0: 2e-5 for outputs and sums, ten times that for updates */
} ModelCheck;

/* Returns the worst difference met, in units of the tolerance. Failures are Check failures. */
double model_check(const ModelCheck *c);

/* The module before any pass; NULL if there is none is a Check failure. */
IrModule *model_load(const ModelCheck *c, Diag *d);
/* A ResultsFn (same_bits.h) over a ModelCheck: parameters after three training steps on n[1] samples, or n[0]. */
unsigned char *model_trained(const void *check, const char *cpu, int threads, size_t *bytes);

#endif

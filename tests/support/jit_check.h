/* jit_check.h -- compiled code against the interpreter
 *
 * jit_open runs the whole pipeline on a module and makes it runnable in this process; jit_check runs one entry on given
 * values and compares every root with what ir_eval gave before the passes.
 */
#ifndef CNNC_TESTS_JIT_CHECK_H
#define CNNC_TESTS_JIT_CHECK_H

#include "codegen/codegen.h"
#include "passes/passes.h"
#include "runtime/call.h"
#include "tests/numeric/random_graph.h"

typedef struct Jitted {
	IrModule *module;
	CgJit *jit;
	const RtModel *model;
	RtPool *pool;
	RtInstance instance;
} Jitted;

/* Takes m over. cpu: as --cpu; "cuda": code for GPUs, run on the one of host memory that the environment of the tests leads to
 * (tests/cuda), every call in three orders of threads that must agree. TEST_CPU in the environment stands for any, CUDA_ARCH for sm_80. Failures are
 * Check failures. */
Jitted jit_open(IrModule *m, const char *cpu, int threads);
/* The same with schedules to take and a log of what pass tile could give (passes/tile.h); either may be NULL. */
Jitted jit_open_scheduled(IrModule *m, const char *cpu, int threads, struct ScheduleFile *schedules, struct TileLog *log);
void jit_close(Jitted *j);

/* want: the values after ir_eval on the entry as it was (v->out); states and inputs are those of v. tolerance: relative to the
 * largest element of each root (of an update: to its largest step); 0: equal. Returns the worst relative difference met. */
double jit_check(Jitted *j, const IrEntry *before, const Values *v, int64_t n, const IrScalars *s, double tolerance);

/* The same; `slack` (or NULL) holds an array for each root: differences up to it are none. must: a difference beyond the
 * tolerance is a failure, else it is returned. */
double jit_compare(Jitted *j, const IrEntry *before, const Values *v, const double *const *slack, int64_t n,
                   const IrScalars *s, double tolerance, bool must);

/* One call of an entry, nothing compared; states are set first if asked. */
void jit_step(Jitted *j, const IrEntry *before, const Values *v, int64_t n, const IrScalars *s, bool set_states);

/* Adds autodiff's updates to a module that compiled code is compared with, and returns it. */
IrModule *jit_reference(IrModule *m);

/* All parameters after three training steps on n samples, as bytes that the caller frees. */
unsigned char *jit_trained(Jitted *j, const IrEntry *before, const Values *v, int64_t n, size_t *bytes);
/* All outputs of one call, one after another, likewise. */
unsigned char *jit_outputs(Jitted *j, const IrEntry *before, const Values *v, int64_t n, const IrScalars *s, size_t *bytes);

/* An entry of outputs alone, states as they are: each sample gives the same bits whether it comes alone, with a few others or
 * with all n. Returns a hash of those bits. */
uint64_t jit_same_bits(Jitted *j, const IrEntry *before, const Values *v, int64_t n, const IrScalars *s);

#endif

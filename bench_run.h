/* bench_run.h -- a compiled model run in this process on made-up data, as the benchmark and the tuner do
 *
 * Weights are initialised, data lies in memory. Entries are called as a program calls them; kernels are timed one by one by
 * marks on one thread, within the tree that runs them.
 */
#ifndef CNNC_BENCH_RUN_H
#define CNNC_BENCH_RUN_H

#include <stdatomic.h>
#include "codegen/codegen.h"
#include "runtime/call.h"

typedef struct BenchMarks { double *ms, start; } BenchMarks; /* ms[kernel] grows by what it takes */

/* For RtCall.mark, with a BenchMarks: where one thread runs the kernels one after the other. */
void bench_mark(void *marks, uint32_t kernel, bool end);

typedef struct BenchTimes { double median, min; } BenchTimes; /* milliseconds; 0: there is no such entry */

typedef struct BenchRun {
	const RtModel *model;
	RtPool *pool, *one; /* one: a single thread, made when kernels are timed */
	RtInstance in;
	Arena *arena;
} BenchRun;

/* bench_run_close either way. threads: 0 is all. False: reported; also where this machine cannot run the code. */
bool bench_run_open(BenchRun *r, const RtModel *model, int threads, Diag *d);
void bench_run_close(BenchRun *r);

unsigned char **bench_run_ports(BenchRun *r, const RtEntry *e); /* inputs of max_n samples, in r's arena */
void bench_run_call(BenchRun *r, const RtEntry *e, int64_t n, unsigned char *const *port, uint32_t step);
/* Whole calls of an entry with n samples, for about a second. */
BenchTimes bench_run_time(BenchRun *r, const char *entry, int64_t n);
/* Each kernel's time in one call of max_n samples, the smallest of several calls: until `ms` have passed, 3 to 60. Larger
 * values in best[nkernels] are replaced. *stop, where given, ends it early. */
bool bench_run_kernels(BenchRun *r, const RtEntry *e, double *best, size_t nkernels, double ms, const atomic_int *stop, Diag *d);

#endif

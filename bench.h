/* bench.h -- `cnnc bench`: times of the generated code in this process */
#ifndef CNNC_BENCH_H
#define CNNC_BENCH_H

#include "options.h"
#include "pipeline.h"

/* Compiles, runs and prints to stdout; compile_start_ms: when reading the model began. Exit code; errors are in d. */
int bench(Pipeline *p, const Options *o, double compile_start_ms, Diag *d);
/* The same on a GPU (p->cuda): whole calls, and each launch of the graph by the device's clock. */
int bench_cuda(Pipeline *p, const Options *o, double compile_start_ms, Diag *d);
/* `cnnc bench --op`: one operation timed, beside libraries that can do the same; or written out, with --emit. */
int bench_op(const Options *o, Diag *d);
double now_ms(void);

#endif

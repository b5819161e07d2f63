/* run_kernels.h -- the kernels of a module against its graph: k_eval_entry against ir_eval, for every entry and root */
#ifndef CNNC_TESTS_RUN_KERNELS_H
#define CNNC_TESTS_RUN_KERNELS_H

#include "passes/passes.h"
#include "tests/numeric/random_graph.h"

/* Runs the passes up to `until`; NULL: fuse alone. */
void kernels_make(IrModule *m, const char *until, const char *what);
/* integers: ports hold small integers and both sides must be equal; else they agree to 1e-9. */
void kernels_compare(const IrModule *m, int64_t n, uint64_t seed, bool integers, const char *what);

/* Ports hold small integers from now on; positions in windows are such as there can be. */
void values_whole(const IrEntry *e, const Values *v, int64_t n);

/* Runs the entry's kernels on v in double, stores rounded to f32, and puts the values of its roots into v->out. */
void kernels_run(const IrModule *m, const char *entry, const Values *v, int64_t n, const IrScalars *s);

/* The program's text reads back as the same program: the same text, keys, parallel axes and work. */
void kernels_read_back(const IrModule *m, const char *what);

#endif

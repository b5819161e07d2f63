/* random_graph.h -- valid graphs from a seed, and values to run them on
 *
 * The same seed gives the same module on every machine. Values of states depend on the state's name only, those of
 * ports on the port's, so that a module can be compared with what passes made of it.
 */
#ifndef CNNC_TESTS_RANDOM_GRAPH_H
#define CNNC_TESTS_RANDOM_GRAPH_H

#include "ir/ir.h"

/* Entries `predict` (outputs) and `train_step` (outputs, a metric, a loss) over the same parameters, about `size`
 * operations each; convolutions, pools, matrices, pointwise, reductions, random numbers, constants, repeated parts. The
 * optimizer is one of the three kinds. */
IrModule *random_graph(uint64_t seed, int size);

typedef struct Values { /* as ir_eval wants them */
	double **state, **in, **out;
	int nout;
	int64_t *out_elems;
} Values;

/* Parameters and ports -1 to 1 (u32 ports: ids; u8: 0 to 255), statistics and second moments 0 to 1; room for
 * every root. */
Values random_values(Arena *a, const IrEntry *e, int64_t n, uint64_t seed);
void values_run(const Values *v, const IrEntry *e, int64_t n);

uint64_t random_bits(uint64_t *state); /* splitmix64 */

#endif

/* choose.h -- the algorithms that pass choose knows, one a file
 *
 * Each is offered a kernel and replaces it by others, or leaves it alone. What it makes has the same meaning but for rounding.
 */
#ifndef CNNC_PASSES_CHOOSE_H
#define CNNC_PASSES_CHOOSE_H

#include "passes/passes.h"

/* Kernel `at` of the entry, a 3x3 convolution of stride 1 or its data gradient, becomes Winograd's minimal filtering where the
 * estimate says that it is faster. Only for modules with fast_math, or of mixed precision. Returns how many kernels stand before
 * those that come next. */
int choose_winograd(IrModule *m, KEntry *e, int at);

/* Gradients behind a max-pool multiply only what is not zero, where that is cheaper: kernels of the entry are rewritten. Before
 * sums are split into parts. */
void choose_lists(IrModule *m, KEntry *e);

/* Kernel `at` of the entry, a product of matrices or a convolution, reads copies of its factors that suit the caches, where each element is used
 * often enough. Returns how many kernels stand before those that come next. */
int choose_pack(IrModule *m, KEntry *e, int at);

#endif

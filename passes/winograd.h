/* winograd.h -- the three transforms of Winograd's minimal filtering F(m x m, 3 x 3), m = 2 or 4, as expressions
 *
 * p = m + 2. Each takes the expressions of a square and gives those of another one, row-major, in f32:
 * columns first, then rows, sums that several results need formed once.
 */
#ifndef CNNC_PASSES_WINOGRAD_H
#define CNNC_PASSES_WINOGRAD_H

#include "ir/kernel.h"

void winograd_weights(Arena *a, Kernel *k, int m, const int *g, int *u); /* 3 x 3 -> p x p */
void winograd_input(Arena *a, Kernel *k, int m, const int *d, int *v);   /* p x p -> p x p */
void winograd_output(Arena *a, Kernel *k, int m, const int *in, int *y); /* p x p -> m x m */

#endif

/* precision.h -- inside of pass precision */
#ifndef CNNC_PASSES_PRECISION_H
#define CNNC_PASSES_PRECISION_H

#include "ir/kernel.h"

/* The kernel with columns and channels of a convolution's kernel as one summed axis; NULL: it has none, or they do not lie so. */
Kernel *row_kernel(Arena *a, const Kernel *k);

#endif

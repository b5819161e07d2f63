/* tile_cuda.h -- the schedule of a kernel for a GPU: see tile_cuda.c */
#ifndef CNNC_PASSES_TILE_CUDA_H
#define CNNC_PASSES_TILE_CUDA_H

#include "ir/kernel.h"

void tile_cuda(Kernel *k);

#endif

/* tile_cuda.h -- the schedule of a kernel for a GPU: see tile_cuda.c */
#ifndef CNNC_PASSES_TILE_CUDA_H
#define CNNC_PASSES_TILE_CUDA_H

#include "ir/kernel.h"

typedef struct CudaTile {
	bool tf32;   /* factors of products may be rounded to that */
	bool always; /* products go through shared memory even where that is slower */
} CudaTile;

void tile_cuda(Kernel *k, const CudaTile *how);

/* ---- tile_cuda_product.c ---- */
/* par: axes that blocks and threads may share out, the fastest in the result first. False: another schedule is faster. */
bool tile_cuda_product(Kernel *k, const CudaTile *how, const int *par, int npar);

#endif

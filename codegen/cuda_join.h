/* cuda_join.h -- several kernels in one launch, and what launches wait for: see cuda_join.c */
#ifndef CNNC_CODEGEN_CUDA_JOIN_H
#define CNNC_CODEGEN_CUDA_JOIN_H

#include "ir/arena.h"
#include "ir/diag.h"
#include "runtime/model.h"

typedef struct CudaJob {
	const char *name, *text; /* of its function, which takes arg[] behind its block's number and shared memory; equal names: the same function */
	uint32_t grid_x, grid_y, threads, nargs;
	int64_t shared;          /* bytes of shared memory that it is given */
	const RtCudaArg *arg;
} CudaJob;

/* How the kernel `name` that does all jobs is launched (the function is the caller's to fill). *text: it; NULL:
 * not wanted, and no job needs one. */
RtCudaLaunch cuda_join(Arena *a, const char *name, const CudaJob *job, int n, const char **text);

typedef struct CudaTouch { /* memory that a launch reads or writes */
	RtCudaArg at;
	uint64_t bytes;
	bool write;
} CudaTouch;

typedef struct CudaTouches {
	CudaTouch *touch;
	int n;
} CudaTouches;

/* Fills launch[].after, from what each touches (parallel to launch): which earlier launches it has to wait for. */
void cuda_edges(Arena *a, RtCudaLaunch *launch, const CudaTouches *touches, uint32_t n);

#endif

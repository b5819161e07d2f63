/* cuda_call.h -- a model on a GPU: its memory there, its code loaded, an entry run as one graph
 *
 * Everything is taken when it is opened: one block of memory for parameters, activations and ports, the functions of the
 * entries, one graph an entry. Running copies the inputs and the per-step numbers, launches the graph and copies what came out.
 * A run that fails says so with RT_DEVICE; the instance is of no further use then, what is on the disk is as it was.
 */
#ifndef CNNC_RUNTIME_CUDA_CALL_H
#define CNNC_RUNTIME_CUDA_CALL_H

#include <stdbool.h>
#include "runtime/model.h"
#include "runtime/status.h"

typedef struct RtCudaRun RtCudaRun;

/* params: the slab of the host, which rt_cuda_settle and rt_cuda_touch keep in step with that of the device. device: its number,
 * -1: the first that the program has code for. graph: else kernels are launched one by one. */
RtStatus rt_cuda_open(const RtModel *m, unsigned char *params, const char *const *entries, int n, int device, bool graph,
		      RtCudaRun **out);
void rt_cuda_close(RtCudaRun *r); /* NULL is fine */
const char *rt_cuda_name(const RtCudaRun *r); /* "cuda:0, NVIDIA H200" */

bool rt_cuda_place(const RtCudaRun *r, char out[32]); /* its PCI address, "00000000:3b:00.0" */

RtStatus rt_cuda_run(RtCudaRun *r, const RtEntry *entry, const RtScalars *s, unsigned char *const *in,
		     unsigned char *const *out, double *metric);
/* Weights that runs have changed come back to the host's slab. */
RtStatus rt_cuda_settle(RtCudaRun *r);
/* The same, and the host's slab may be changed: it is sent before the next run. */
void rt_cuda_touch(RtCudaRun *r);

#endif

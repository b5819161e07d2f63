/* cuda_call.h -- a model on a GPU: its memory there, its code loaded, an entry run as one graph
 *
 * Everything is taken when it is opened: memory for parameters, per-step numbers and ports, and for activations, the functions of the
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

/* From now on kernels are launched one by one, and fn is told of each one of a run how long after the run's start it began, and how
 * long it took, by the device's clock. fn NULL: no more. launch: of the entry as rt_cuda_entry has it. */
typedef void RtCudaTimeFn(void *arg, uint32_t launch, double start_ms, double ms);
RtStatus rt_cuda_time(RtCudaRun *r, RtCudaTimeFn *fn, void *arg);
/* The entry with the launches of the GPU in place of its kernels; lives as long as r. */
const RtEntry *rt_cuda_entry(RtCudaRun *r, const RtEntry *entry);
/* Bytes of the device that the entries take. */
uint64_t rt_cuda_bytes(const RtModel *m, const char *const *entries, int n);

RtStatus rt_cuda_run(RtCudaRun *r, const RtEntry *entry, const RtScalars *s, unsigned char *const *in,
		     unsigned char *const *out, double *metric);
/* Weights that runs have changed come back to the host's slab. */
RtStatus rt_cuda_settle(RtCudaRun *r);
/* The same, and the host's slab may be changed: it is sent before the next run. */
void rt_cuda_touch(RtCudaRun *r);

#endif

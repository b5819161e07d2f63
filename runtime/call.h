/* call.h -- a model with its memory: what the trainer, the predictor and the library run entries on
 *
 * One slab of parameters, one of activations that fits the largest of the entries asked for, and the metric sums.
 * Memory is taken once; running allocates nothing.
 */
#ifndef CNNC_RUNTIME_CALL_H
#define CNNC_RUNTIME_CALL_H

#include <stdio.h>
#include "runtime/model.h"
#include "runtime/pool.h"
#include "runtime/status.h"

enum { RT_MAX_ENTRIES = 32, RT_MAX_PORTS = 16, RT_MAX_PREPARED = 2 * RT_MAX_ENTRIES };

typedef struct RtInstance {
	const RtModel *model;
	RtPool *pool; /* borrowed */
	unsigned char *params, *slab;
	size_t slab_bytes;
	bool borrows; /* params are another instance's */
	double *metric; /* sums of the last call */
	unsigned char *out[RT_MAX_PORTS];
	size_t out_bytes[RT_MAX_PORTS]; /* outputs of the entries: as large as the largest needs */
	RtScalars scalars;
	void (*mark)(void *arg, uint32_t kernel, bool end);
	void *mark_arg;
	struct RtCudaRun *cuda; /* cuda_call.h: entries run on a GPU; or NULL */
	RtStatus fault;         /* of the GPU: why the last run gave no result */
	const RtPhase *prepared[RT_MAX_PREPARED]; /* those whose views of the weights are as they should be */
	int nprepared;
} RtInstance;

/* Takes the memory that `entries` (names; absent ones are skipped) need and reserves the pool's scratch. Tensors are
 * zero. */
RtStatus rt_instance_open(RtInstance *in, const RtModel *model, RtPool *pool, const char *const *entries, int n);
void rt_instance_close(RtInstance *in);
/* Uses the parameters of `owner`, which must outlive it, and the views of them, which this makes; for entries that do not write
 * them. No weight may change from then on. */
void rt_instance_borrow(RtInstance *in, RtInstance *owner);

/* n, 1/n, step and what is counted by it; seed, pass and lr stay. */
void rt_scalars_set(RtScalars *s, const RtModel *m, uint32_t n, uint32_t step);
/* What is counted (bias corrections …) by another step: that of the phase. */
void rt_scalars_count(RtScalars *s, const RtModel *m, uint32_t step);

/* Has entries run where `device` says (auto, cpu, cuda, cuda:1) and tells `say` (may be NULL) where that is. graph: on a GPU, one
 * launch an entry instead of one a kernel. After rt_instance_open, with the same entries. */
RtStatus rt_instance_device(RtInstance *in, const char *device, bool graph, const char *const *entries, int n, FILE *say);
bool rt_instance_gpu(const RtInstance *in, char out[32]); /* the PCI address of the GPU that it runs on; false: it runs on none */
RtStatus rt_device_known(const RtModel *m, const char *device); /* RT_USAGE: there is no such word; RT_DEVICE: no code for it */
/* Weights that were changed on a GPU come to in->params: before those are read in any other way than by rt_tensor_data. */
RtStatus rt_instance_settle(const RtInstance *in);

/* Runs an entry on `in` with in->scalars set before: outputs in in->out, sums in in->metric. False: stopped, or in->fault. */
bool rt_instance_run(RtInstance *in, const RtEntry *entry, unsigned char *const *ports, const atomic_int *stop);

/* Views of weights are kept between calls. Whoever writes tensors gets their place from rt_tensor_write, or says so. */
const unsigned char *rt_tensor_data(const RtInstance *in, const RtTensor *t);
unsigned char *rt_tensor_write(RtInstance *in, const RtTensor *t);
void rt_weights_changed(RtInstance *in);
int64_t rt_tensor_elems(const RtTensor *t);
int rt_dtype_bytes(int32_t dtype);
const char *rt_dtype_text(int32_t dtype); /* "float32" */
const RtTensor *rt_tensor_find(const RtModel *m, const char *name);
int rt_port_find(const RtPort *port, uint32_t n, const char *name); /* -1: absent */

#endif

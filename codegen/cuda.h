/* cuda.h -- kernels to CUDA C, and CUDA C to code for GPUs
 *
 * cg_cuda prints every kernel of a module whose passes ran for a TARGET_CUDA (equal ones once) and lists the launches of each
 * entry; nvrtc_compile makes code of the texts. Both results go into the program as one RtCuda (runtime/model.h).
 */
#ifndef CNNC_CODEGEN_CUDA_H
#define CNNC_CODEGEN_CUDA_H

#include "ir/kernel.h"
#include "runtime/model.h"

enum { CG_MAX_ARCHS = 12 };

typedef struct CgCudaFunction {
	const char *name, *text; /* text: of this function alone, without the prelude */
	RtCudaImage image[CG_MAX_ARCHS];
} CgCudaFunction;

typedef struct CgCuda {
	Arena *arena;            /* of all that it points to */
	CgCudaFunction *function;
	int nfunctions;
	RtCudaEntry *entry;      /* one for each of the program */
	int nentries;
	RtCudaArch arch[CG_MAX_ARCHS];
	int narchs;
	unsigned char schedule_key[32];
} CgCuda;

void cg_cuda_target(Target *out); /* for the passes */
CgCuda *cg_cuda(const IrModule *m, const Target *t);
void cg_cuda_free(CgCuda *c);     /* NULL is fine */
/* One text of all kernels; path "-": stdout. */
bool cg_cuda_write(const CgCuda *c, const char *path, Diag *d);

/* ---- cuda_arch.c ---- */
/* "sm_80,sm_90a" to c->arch, or the default set where `list` is NULL: those, and PTX for what comes later. */
bool cuda_archs(CgCuda *c, const char *list, Diag *d);
const char *cuda_arch_text(Arena *a, RtCudaArch arch); /* "sm_90a", "compute_80" */

/* ---- nvrtc.c ---- */
bool nvrtc_found(void); /* is the compiler library here? */
const char *nvrtc_text(Arena *a); /* its version and where it is; NULL: it is not here */
/* What the compiler's log says of the resources of one function's kernels on an architecture; NULL: reported. */
const char *nvrtc_resources(const CgCudaFunction *f, const char *arch, Arena *a, Diag *d);
/* Fills function[].image, from the cache on disk or by compiling in several processes. jobs: 0: as many as there are CPUs. */
bool nvrtc_compile(CgCuda *c, int jobs, Diag *d);

#endif

/* nvrtc.h -- NVIDIA's run-time compiler, found and loaded: only nvrtc_load.c names its library */
#ifndef CNNC_CODEGEN_NVRTC_H
#define CNNC_CODEGEN_NVRTC_H

#include "codegen/cuda.h"

typedef struct NvProgram *NvHandle;
typedef struct Nvrtc { /* its functions; each gives 0 for success */
	int (*version)(int *major, int *minor);
	int (*num_archs)(int *n);
	int (*archs)(int *list);
	int (*create)(NvHandle *p, const char *text, const char *name, int headers, const char *const *header, const char *const *include);
	int (*destroy)(NvHandle *p);
	int (*compile)(NvHandle p, int noptions, const char *const *option);
	int (*log_size)(NvHandle p, size_t *n);
	int (*log)(NvHandle p, char *text);
	int (*cubin_size)(NvHandle p, size_t *n);
	int (*cubin)(NvHandle p, char *data);
	int (*ptx_size)(NvHandle p, size_t *n);
	int (*ptx)(NvHandle p, char *data);
	const char *(*error)(int code);
	int major, minor;
	const char *path;
} Nvrtc;

/* Looks in CNNC_NVRTC, then for libnvrtc.so.13 and .12 where the loader, the toolkit and Python packages have them. d: says what
 * is missing; NULL: nothing is said. */
bool nvrtc_load(Nvrtc *out, Arena *a, Diag *d);

#endif

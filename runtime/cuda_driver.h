/* cuda_driver.h -- NVIDIA's driver interface as far as it is used, declared from its public documentation, loaded by hand
 *
 * Only cuda_driver.c names the library. Every function gives 0 for success. tests/unit/cuda_abi.c compares what stands here with
 * the real header where there is one.
 */
#ifndef CNNC_RUNTIME_CUDA_DRIVER_H
#define CNNC_RUNTIME_CUDA_DRIVER_H

#include <stddef.h>
#include "runtime/status.h"

typedef int CuResult;
typedef int CuDevice;
typedef unsigned long long CuAddress;
typedef struct CuContext_ *CuContext;
typedef struct CuModule_ *CuModule;
typedef struct CuFunction_ *CuFunction;
typedef struct CuStream_ *CuStream;
typedef struct CuEvent_ *CuEvent;
typedef struct CuGraph_ *CuGraph;
typedef struct CuGraphNode_ *CuGraphNode;
typedef struct CuGraphExec_ *CuGraphExec;

enum {
	CU_OK = 0, CU_OUT_OF_MEMORY = 2, CU_NO_DEVICE = 100, CU_INVALID_IMAGE = 200, CU_NO_BINARY_FOR_GPU = 209,
	CU_UNSUPPORTED_PTX = 222,
	CU_ATTRIBUTE_PCI_BUS = 33, CU_ATTRIBUTE_PCI_DEVICE = 34, CU_ATTRIBUTE_PCI_DOMAIN = 50,
	CU_ATTRIBUTE_MAJOR = 75, CU_ATTRIBUTE_MINOR = 76,
	CU_FUNCTION_REGISTERS = 4,
	CU_STREAM_NON_BLOCKING = 1
};

typedef struct CuKernelNode {
	CuFunction function;
	unsigned grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes;
	void **arguments, **extra;
} CuKernelNode;

typedef struct CuDriver {
	CuResult (*init)(unsigned flags);
	CuResult (*version)(int *v);
	CuResult (*device_count)(int *n);
	CuResult (*device)(CuDevice *out, int i);
	CuResult (*device_name)(char *out, int room, CuDevice d);
	CuResult (*device_attribute)(int *out, int attribute, CuDevice d);
	CuResult (*retain)(CuContext *out, CuDevice d);
	CuResult (*release)(CuDevice d);
	CuResult (*set_current)(CuContext c);
	CuResult (*load)(CuModule *out, const void *image);
	CuResult (*unload)(CuModule m);
	CuResult (*function)(CuFunction *out, CuModule m, const char *name);
	CuResult (*function_attribute)(int *out, int attribute, CuFunction f);
	CuResult (*memory)(size_t *free, size_t *total);
	CuResult (*alloc)(CuAddress *out, size_t bytes);
	CuResult (*free)(CuAddress a);
	CuResult (*host_alloc)(void **out, size_t bytes, unsigned flags);
	CuResult (*host_free)(void *p);
	CuResult (*to_device)(CuAddress to, const void *from, size_t bytes, CuStream s);
	CuResult (*to_host)(void *to, CuAddress from, size_t bytes, CuStream s);
	CuResult (*stream)(CuStream *out, unsigned flags);
	CuResult (*stream_wait)(CuStream s);
	CuResult (*stream_free)(CuStream s);
	CuResult (*event)(CuEvent *out, unsigned flags);
	CuResult (*event_record)(CuEvent e, CuStream s);
	CuResult (*event_ms)(float *out, CuEvent from, CuEvent to);
	CuResult (*event_free)(CuEvent e);
	CuResult (*launch)(CuFunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
			   CuStream s, void **arguments, void **extra);
	CuResult (*graph)(CuGraph *out, unsigned flags);
	CuResult (*graph_kernel)(CuGraphNode *out, CuGraph g, const CuGraphNode *after, size_t n, const CuKernelNode *k);
	CuResult (*graph_make)(CuGraphExec *out, CuGraph g, unsigned long long flags);
	CuResult (*graph_launch)(CuGraphExec e, CuStream s);
	CuResult (*graph_exec_free)(CuGraphExec e);
	CuResult (*graph_free)(CuGraph g);
	CuResult (*error_name)(CuResult r, const char **out);
	CuResult (*error_text)(CuResult r, const char **out);
} CuDriver;

/* RT_DEVICE and one sentence where there is no driver, or one that is too old. */
RtStatus rt_cuda_driver(CuDriver *out);
/* "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered" */
const char *rt_cuda_error(const CuDriver *d, CuResult r, char *room, size_t bytes);

#endif

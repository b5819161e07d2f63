/* cuda_abi.c -- what runtime/cuda_driver.h declares by hand against NVIDIA's own header, where there is one
 *
 * Compiled in: sizes, offsets, numbers. Without the header nothing is compared, and the test says so.
 */
#include <stdio.h>
/* The one name that both headers have. */
#define CU_STREAM_NON_BLOCKING OURS_STREAM_NON_BLOCKING
#include "runtime/cuda_driver.h"
#undef CU_STREAM_NON_BLOCKING

#if __has_include(<cuda.h>)
#include <cuda.h>

#define SAME_NUMBER(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #ours)
#define SAME_SIZE(ours, theirs) _Static_assert(sizeof(ours) == sizeof(theirs) && _Alignof(ours) == _Alignof(theirs), #ours)
#define SAME_PLACE(ours, field, theirs, name) \
	_Static_assert(offsetof(ours, field) == offsetof(theirs, name) && sizeof(((ours *)0)->field) == sizeof(((theirs *)0)->name), #field)

SAME_NUMBER(CU_OK, CUDA_SUCCESS);
SAME_NUMBER(CU_OUT_OF_MEMORY, CUDA_ERROR_OUT_OF_MEMORY);
SAME_NUMBER(CU_NO_DEVICE, CUDA_ERROR_NO_DEVICE);
SAME_NUMBER(CU_INVALID_IMAGE, CUDA_ERROR_INVALID_IMAGE);
SAME_NUMBER(CU_NO_BINARY_FOR_GPU, CUDA_ERROR_NO_BINARY_FOR_GPU);
SAME_NUMBER(CU_UNSUPPORTED_PTX, CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
SAME_NUMBER(CU_ATTRIBUTE_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
SAME_NUMBER(CU_ATTRIBUTE_MINOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
SAME_NUMBER(CU_ATTRIBUTE_PCI_BUS, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID);
SAME_NUMBER(CU_ATTRIBUTE_PCI_DEVICE, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID);
SAME_NUMBER(CU_ATTRIBUTE_PCI_DOMAIN, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID);
SAME_NUMBER(CU_FUNCTION_REGISTERS, CU_FUNC_ATTRIBUTE_NUM_REGS);
SAME_NUMBER(OURS_STREAM_NON_BLOCKING, CU_STREAM_NON_BLOCKING);

SAME_SIZE(CuResult, CUresult);
SAME_SIZE(CuDevice, CUdevice);
SAME_SIZE(CuAddress, CUdeviceptr);
SAME_SIZE(CuContext, CUcontext);
SAME_SIZE(CuModule, CUmodule);
SAME_SIZE(CuFunction, CUfunction);
SAME_SIZE(CuStream, CUstream);
SAME_SIZE(CuEvent, CUevent);
SAME_SIZE(CuGraph, CUgraph);
SAME_SIZE(CuGraphNode, CUgraphNode);
SAME_SIZE(CuGraphExec, CUgraphExec);

/* cuGraphAddKernelNode without a suffix, which is what is loaded, takes the first form of the struct: the later one began so. */
#define KERNEL(field, name) SAME_PLACE(CuKernelNode, field, CUDA_KERNEL_NODE_PARAMS, name)
KERNEL(function, func);
KERNEL(grid_x, gridDimX);
KERNEL(grid_y, gridDimY);
KERNEL(grid_z, gridDimZ);
KERNEL(block_x, blockDimX);
KERNEL(block_y, blockDimY);
KERNEL(block_z, blockDimZ);
KERNEL(shared_bytes, sharedMemBytes);
KERNEL(arguments, kernelParams);
KERNEL(extra, extra);


int main(void)
{
	printf("compared with the header of CUDA %d.%d\n", CUDA_VERSION / 1000, CUDA_VERSION % 1000 / 10);
	return 0;
}
#else
int main(void)
{
	fprintf(stderr, "SKIPPED: there is no cuda.h here, so runtime/cuda_driver.h was compared with nothing\n");
	return 77;
}
#endif

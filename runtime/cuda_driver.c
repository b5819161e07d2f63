/* cuda_driver.c -- loads libcuda.so.1: see cuda_driver.h. Nothing else in the runtime names it. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include "runtime/cuda_driver.h"

enum { OLDEST = 12000 }; /* a version as the driver counts: CUDA 12.0 */

static const struct {
	const char *name;
	size_t at;
} symbols[] = {
	{"cuInit", offsetof(CuDriver, init)},
	{"cuDriverGetVersion", offsetof(CuDriver, version)},
	{"cuDeviceGetCount", offsetof(CuDriver, device_count)},
	{"cuDeviceGet", offsetof(CuDriver, device)},
	{"cuDeviceGetName", offsetof(CuDriver, device_name)},
	{"cuDeviceGetAttribute", offsetof(CuDriver, device_attribute)},
	{"cuDevicePrimaryCtxRetain", offsetof(CuDriver, retain)},
	{"cuDevicePrimaryCtxRelease_v2", offsetof(CuDriver, release)},
	{"cuCtxSetCurrent", offsetof(CuDriver, set_current)},
	{"cuModuleLoadData", offsetof(CuDriver, load)},
	{"cuModuleUnload", offsetof(CuDriver, unload)},
	{"cuModuleGetFunction", offsetof(CuDriver, function)},
	{"cuFuncGetAttribute", offsetof(CuDriver, function_attribute)},
	{"cuMemGetInfo_v2", offsetof(CuDriver, memory)},
	{"cuMemAlloc_v2", offsetof(CuDriver, alloc)},
	{"cuMemFree_v2", offsetof(CuDriver, free)},
	{"cuMemHostAlloc", offsetof(CuDriver, host_alloc)},
	{"cuMemFreeHost", offsetof(CuDriver, host_free)},
	{"cuMemcpyHtoDAsync_v2", offsetof(CuDriver, to_device)},
	{"cuMemcpyDtoHAsync_v2", offsetof(CuDriver, to_host)},
	{"cuStreamCreate", offsetof(CuDriver, stream)},
	{"cuStreamSynchronize", offsetof(CuDriver, stream_wait)},
	{"cuStreamDestroy_v2", offsetof(CuDriver, stream_free)},
	{"cuEventCreate", offsetof(CuDriver, event)},
	{"cuEventRecord", offsetof(CuDriver, event_record)},
	{"cuEventElapsedTime", offsetof(CuDriver, event_ms)},
	{"cuEventDestroy_v2", offsetof(CuDriver, event_free)},
	{"cuLaunchKernel", offsetof(CuDriver, launch)},
	{"cuGraphCreate", offsetof(CuDriver, graph)},
	{"cuGraphAddKernelNode", offsetof(CuDriver, graph_kernel)},
	{"cuGraphInstantiateWithFlags", offsetof(CuDriver, graph_make)},
	{"cuGraphLaunch", offsetof(CuDriver, graph_launch)},
	{"cuGraphExecDestroy", offsetof(CuDriver, graph_exec_free)},
	{"cuGraphDestroy", offsetof(CuDriver, graph_free)},
	{"cuGetErrorName", offsetof(CuDriver, error_name)},
	{"cuGetErrorString", offsetof(CuDriver, error_text)},
};

RtStatus rt_cuda_driver(CuDriver *out)
{
	int version = 0;
	void *lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return rt_fail(RT_DEVICE, "there is no NVIDIA driver here (libcuda.so.1)");
	for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
		void *at = dlsym(lib, symbols[i].name);
		memcpy((char *)out + symbols[i].at, &at, sizeof at);
		if (!at)
			return rt_fail(RT_DEVICE, "the NVIDIA driver is too old: it has no function %s", symbols[i].name);
	}
	CuResult r = out->init(0);
	char room[200];
	if (r != CU_OK)
		return rt_fail(RT_DEVICE, "the NVIDIA driver does not start: %s", rt_cuda_error(out, r, room, sizeof room));
	if (out->version(&version) != CU_OK || version < OLDEST)
		return rt_fail(RT_DEVICE, "the NVIDIA driver is for CUDA %d.%d; %d.%d or newer is needed", version / 1000,
			       version % 1000 / 10, OLDEST / 1000, OLDEST % 1000 / 10);
	return RT_OK;
}

const char *rt_cuda_error(const CuDriver *d, CuResult r, char *room, size_t bytes)
{
	const char *name = NULL, *text = NULL;
	d->error_name(r, &name);
	d->error_text(r, &text);
	snprintf(room, bytes, "%s: %s", name ? name : "unknown error", text ? text : "no text for it");
	return room;
}

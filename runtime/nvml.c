/* nvml.c -- loads libnvidia-ml.so.1. Nothing else in the runtime names it. */
#include "runtime/nvml.h"

#include <dlfcn.h>
#include <string.h>
#include "runtime/sys.h"

struct RtNvml {
	void *lib, *device;
	int (*shutdown)(void);
	int (*energy)(void *device, unsigned long long *millijoules); /* Volta and newer */
};

/* POSIX has functions in void *, ISO C does not: so their bytes are copied. */
static int find(void *lib, const char *name, void *function)
{
	void *at = dlsym(lib, name);
	memcpy(function, &at, sizeof at);
	return at != NULL;
}

RtStatus rt_nvml_open(const char *bus, RtNvml **out)
{
	int (*init)(void);
	int (*by_bus)(const char *bus, void **device);
	*out = NULL;
	RtNvml n = {.lib = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)};
	if (!n.lib)
		return rt_fail(RT_DEVICE, "there is no libnvidia-ml.so.1 here");
	if (!find(n.lib, "nvmlInit_v2", &init) || !find(n.lib, "nvmlShutdown", &n.shutdown) ||
	    !find(n.lib, "nvmlDeviceGetHandleByPciBusId_v2", &by_bus) ||
	    !find(n.lib, "nvmlDeviceGetTotalEnergyConsumption", &n.energy))
		return rt_fail(RT_DEVICE, "libnvidia-ml.so.1 is too old to tell energy");
	if (init() != 0)
		return rt_fail(RT_DEVICE, "libnvidia-ml.so.1 does not start");
	if (by_bus(bus, &n.device) != 0) {
		n.shutdown();
		return rt_fail(RT_DEVICE, "libnvidia-ml.so.1 knows no GPU at %s", bus);
	}
	*out = rt_sys.alloc(sizeof **out);
	if (!*out) {
		n.shutdown();
		return rt_fail(RT_NOMEM, "out of memory for the counter of a GPU");
	}
	**out = n;
	return RT_OK;
}

void rt_nvml_close(RtNvml *n)
{
	if (n)
		n->shutdown();
	rt_sys.release(n);
}

RtStatus rt_nvml_millijoules(RtNvml *n, uint64_t *out)
{
	unsigned long long mj;
	int error = n->energy(n->device, &mj);
	if (error != 0)
		return rt_fail(RT_DEVICE, "this GPU tells no energy (NVML error %d)", error);
	*out = mj;
	return RT_OK;
}

/* nvml.h -- the energy counter of an NVIDIA GPU, from the driver's management library where there is one */
#ifndef CNNC_RUNTIME_NVML_H
#define CNNC_RUNTIME_NVML_H

#include <stdint.h>
#include "runtime/status.h"

typedef struct RtNvml RtNvml;

/* bus: "00000000:3b:00.0", as the library writes PCI addresses. RT_DEVICE: no library, no such GPU, or it has no counter. */
RtStatus rt_nvml_open(const char *bus, RtNvml **out);
void rt_nvml_close(RtNvml *n); /* NULL is fine */
RtStatus rt_nvml_millijoules(RtNvml *n, uint64_t *out); /* since the driver was loaded */

#endif

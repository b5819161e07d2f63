/* cpu.h -- whether this CPU has the instructions that the code was compiled for */
#ifndef CNNC_RUNTIME_CPU_H
#define CNNC_RUNTIME_CPU_H

#include "runtime/model.h"
#include "runtime/status.h"

/* RT_DEVICE with one sentence that names what is missing. */
RtStatus rt_cpu_check(const RtModel *m);

#endif

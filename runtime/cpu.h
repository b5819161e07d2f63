/* cpu.h -- which of the carried instruction levels runs here, and whether this CPU has the instructions that it needs */
#ifndef CNNC_RUNTIME_CPU_H
#define CNNC_RUNTIME_CPU_H

#include <stdio.h>
#include "runtime/model.h"
#include "runtime/status.h"

/* The best level that this CPU has (the last one where it has none: rt_cpu_check says what is missing), or that which
 * CNNC_CPU=x86-64-v3 in the environment names. `models` ends with NULL. */
RtStatus rt_cpu_choose(const RtModel *const *models, const RtModel **out);
/* "x86-64-v3", and what else the program carries. */
void rt_cpu_print(const RtModel *m, FILE *f);
/* RT_DEVICE with one sentence that names what is missing. */
RtStatus rt_cpu_check(const RtModel *m);

#endif

/* energy.h -- the energy that processors and a GPU have used, by their own counters
 *
 * Processors: RAPL, the packages (and their memory, where it has a counter) below /sys/class/powercap. A GPU: NVML, of the
 * driver. Counters are those of whole packages and boards: whatever else runs there is part of the sum. What cannot be read
 * is unknown, never 0, and a sum with an unknown part is unknown.
 */
#ifndef CNNC_RUNTIME_ENERGY_H
#define CNNC_RUNTIME_ENERGY_H

#include <stdbool.h>
#include <stdint.h>
#include "runtime/nvml.h"
#include "runtime/status.h"

enum { RT_MAX_ZONES = 64 };
#define RT_POWERCAP "/sys/class/powercap"

typedef struct RtZone { /* a counter of microjoules that starts again behind `range` */
	char path[400];
	uint64_t last, range;
} RtZone;

typedef struct RtEnergy {
	RtZone zone[RT_MAX_ZONES];
	int nzones;
	RtNvml *nvml;
	uint64_t gpu_first;  /* millijoules */
	bool cpu_known, gpu, gpu_known; /* gpu: there is one to measure */
	double cpu_joules, gpu_joules;  /* since the opening */
	int64_t read_ns;
	char why[200]; /* something is unknown */
} RtEnergy;

/* folder: RT_POWERCAP; $CNNC_POWERCAP stands in for it. gpu: the PCI address of the GPU that computes, NULL: none does. Always
 * works: it may find that nothing is known. */
void rt_energy_open(RtEnergy *e, const char *folder, const char *gpu);
void rt_energy_close(RtEnergy *e);
/* Reads the counters if a second has passed since the last time, or `now`. At least once a minute: a counter may start again
 * after little more. */
void rt_energy_update(RtEnergy *e, bool now);
bool rt_energy_known(const RtEnergy *e);
double rt_energy_joules(const RtEnergy *e); /* NaN: unknown */
double rt_energy_kwh(double joules);

#endif

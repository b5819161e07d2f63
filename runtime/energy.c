/* energy.c -- finds the counters of energy, reads them, and adds up what they have gone on */
#include "runtime/energy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/sys.h"

enum { SECOND_NS = 1000000000 };

/* ---- files of one line ---- */

static bool read_line(const char *folder, const char *name, char *out, size_t room)
{
	char path[512];
	int fd = snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path ? rt_sys.open(path, O_RDONLY, 0) : -1;
	if (fd < 0)
		return false;
	ssize_t n = rt_sys.read(fd, out, room - 1);
	int error = errno;
	rt_sys.close(fd);
	errno = error;
	if (n <= 0)
		return false;
	out[n] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return true;
}

static bool read_count(const char *folder, const char *name, uint64_t *out)
{
	char text[40], *end;
	if (!read_line(folder, name, text, sizeof text))
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return end != text && *end == '\0' && text[0] != '-' && errno == 0;
}

/* ---- processors ---- */

/* "package-0" holds what is in it but its memory, "dram"; other zones (core, uncore, psys) are counted in those or hold them. The
 * same package is there once more below another interface ("intel-rapl-mmio"). */
static bool is_counted(const char *file, const char *name)
{
	return strncmp(file, "intel-rapl:", 11) == 0 && (strncmp(name, "package", 7) == 0 || strcmp(name, "dram") == 0);
}

static void unknown(RtEnergy *e, bool *known, const char *what, const char *why)
{
	*known = false;
	snprintf(e->why, sizeof e->why, "%.120s: %.60s", what, why);
}

static void add_zone(RtEnergy *e, const char *folder, const char *file)
{
	RtZone *z = &e->zone[e->nzones];
	char name[40];
	if (snprintf(z->path, sizeof z->path, "%s/%s", folder, file) >= (int)sizeof z->path ||
	    !read_line(z->path, "name", name, sizeof name) || !is_counted(file, name))
		return;
	if (!read_count(z->path, "max_energy_range_uj", &z->range) || !read_count(z->path, "energy_uj", &z->last))
		unknown(e, &e->cpu_known, z->path, errno ? strerror(errno) : "not a number");
	else
		e->nzones++;
}

static void find_zones(RtEnergy *e, const char *folder)
{
	DIR *d = opendir(folder);
	e->cpu_known = true;
	if (!d) {
		unknown(e, &e->cpu_known, folder, strerror(errno));
		return;
	}
	for (struct dirent *f; e->nzones < RT_MAX_ZONES && (f = readdir(d)) != NULL;)
		add_zone(e, folder, f->d_name);
	closedir(d);
	if (e->cpu_known && e->nzones == 0)
		unknown(e, &e->cpu_known, folder, "no counter of a processor");
}

/* range + 1 values; a counter that is behind its last value has started again. */
static void read_zones(RtEnergy *e)
{
	for (int i = 0; i < e->nzones && e->cpu_known; i++) {
		RtZone *z = &e->zone[i];
		uint64_t now;
		if (!read_count(z->path, "energy_uj", &now)) {
			unknown(e, &e->cpu_known, z->path, errno ? strerror(errno) : "not a number");
			return;
		}
		uint64_t gone = now >= z->last ? now - z->last : z->range - z->last + now + 1;
		if (now < z->last && z->last > z->range)
			unknown(e, &e->cpu_known, z->path, "a counter beyond its range");
		e->cpu_joules += (double)gone * 1e-6;
		z->last = now;
	}
}

/* ---- all ---- */

void rt_energy_open(RtEnergy *e, const char *folder, const char *gpu)
{
	const char *instead = getenv("CNNC_POWERCAP");
	*e = (RtEnergy){.gpu = gpu != NULL, .read_ns = rt_sys.monotonic_ns()};
	find_zones(e, instead && *instead ? instead : folder);
	if (!gpu)
		return;
	e->gpu_known = rt_nvml_open(gpu, &e->nvml) == RT_OK && rt_nvml_millijoules(e->nvml, &e->gpu_first) == RT_OK;
	if (!e->gpu_known)
		unknown(e, &e->gpu_known, gpu, rt_message());
}

void rt_energy_close(RtEnergy *e)
{
	rt_nvml_close(e->nvml);
	e->nvml = NULL;
}

void rt_energy_update(RtEnergy *e, bool now)
{
	uint64_t mj;
	int64_t at = rt_sys.monotonic_ns();
	if (!now && at - e->read_ns < SECOND_NS)
		return;
	e->read_ns = at;
	read_zones(e);
	if (!e->gpu_known)
		return;
	if (rt_nvml_millijoules(e->nvml, &mj) == RT_OK && mj >= e->gpu_first)
		e->gpu_joules = (double)(mj - e->gpu_first) * 1e-3;
	else
		unknown(e, &e->gpu_known, "GPU", "its counter can't be read any more");
}

bool rt_energy_known(const RtEnergy *e)
{
	return e->cpu_known && (!e->gpu || e->gpu_known);
}

double rt_energy_joules(const RtEnergy *e)
{
	return rt_energy_known(e) ? e->cpu_joules + e->gpu_joules : NAN;
}

double rt_energy_kwh(double joules)
{
	return joules / 3.6e6;
}

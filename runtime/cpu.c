/* cpu.c -- chooses a level and checks model->cpu_needs with CPUID (the operating system's support for wide registers
 * included) */
#include "runtime/cpu.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
static bool has(const char *name)
{
#define KNOWN(feature)                                                                                                 \
	if (strcmp(name, feature) == 0)                                                                                \
		return __builtin_cpu_supports(feature);
	KNOWN("sse3")
	KNOWN("ssse3")
	KNOWN("sse4.1") KNOWN("sse4.2") KNOWN("popcnt") KNOWN("avx") KNOWN("avx2") KNOWN("fma") KNOWN("bmi")
		KNOWN("bmi2") KNOWN("avx512f") KNOWN("avx512bw") KNOWN("avx512cd") KNOWN("avx512dq") KNOWN("avx512vl")
			KNOWN("avx512vnni") KNOWN("avx512vbmi") KNOWN("avx512bf16") KNOWN("f16c") KNOWN("lzcnt")
				KNOWN("movbe")
#undef KNOWN
					return true; /* a name we can't ask for decides nothing */
}
#else
static bool has(const char *name)
{
	(void)name;
	return true;
}
#endif

/* Names in m->cpu_needs that this CPU lacks, one blank between them. */
static bool lacks(const RtModel *m, char *missing, size_t room)
{
	char name[32];
	const char *p = m->cpu_needs ? m->cpu_needs : "";
	missing[0] = '\0';
	while (*(p += strspn(p, " ,+")) != '\0') {
		size_t n = strcspn(p, " ,"), used = strlen(missing);
		if (n < sizeof name) {
			memcpy(name, p, n);
			name[n] = '\0';
			if (!has(name))
				snprintf(missing + used, room - used, "%s%s", used ? " " : "", name);
		}
		p += n;
	}
	return missing[0] != '\0';
}

RtStatus rt_cpu_check(const RtModel *m)
{
	char missing[200];
	if (!lacks(m, missing, sizeof missing))
		return RT_OK;
	return rt_fail(RT_DEVICE,
		       "this program was compiled for %s, and this CPU lacks %s; compile it with --cpu=native here",
		       m->target, missing);
}

static const char *levels_of(const RtModel *m)
{
	return m->levels ? m->levels : m->target;
}

RtStatus rt_cpu_choose(const RtModel *const *models, const RtModel **out)
{
	char missing[200];
	const char *wanted = getenv("CNNC_CPU");
	bool forced = wanted && *wanted;
	for (int i = 0; models[i]; i++) {
		*out = models[i];
		if (forced ? strcmp(wanted, models[i]->target) == 0 : !lacks(models[i], missing, sizeof missing))
			return RT_OK;
	}
	if (forced)
		return rt_fail(RT_USAGE, "CNNC_CPU is '%s', and this program carries code for %s", wanted,
			       levels_of(models[0]));
	return RT_OK;
}

void rt_cpu_print(const RtModel *m, FILE *f)
{
	fputs(m->target, f);
	if (strcmp(levels_of(m), m->target) != 0)
		fprintf(f, " (carried: %s)", levels_of(m));
}

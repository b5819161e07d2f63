/* cpu.c -- checks model->cpu_needs with CPUID (the operating system's support for wide registers included) */
#include "runtime/cpu.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
static bool has(const char *name)
{
#define KNOWN(feature)                                                                                                 \
	if (strcmp(name, feature) == 0)                                                                                \
		return __builtin_cpu_supports(feature);
	KNOWN("sse3")
	KNOWN("ssse3") KNOWN("sse4.1") KNOWN("sse4.2") KNOWN("popcnt") KNOWN("avx") KNOWN("avx2") KNOWN("fma")
		KNOWN("bmi") KNOWN("bmi2") KNOWN("avx512f") KNOWN("avx512bw") KNOWN("avx512cd") KNOWN("avx512dq")
			KNOWN("avx512vl") KNOWN("avx512vnni") KNOWN("avx512vbmi") KNOWN("avx512bf16") KNOWN("f16c")
				KNOWN("lzcnt") KNOWN("movbe")
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

RtStatus rt_cpu_check(const RtModel *m)
{
	char missing[200] = "", name[32];
	const char *p = m->cpu_needs ? m->cpu_needs : "";
	while (*(p += strspn(p, " ,+")) != '\0') {
		size_t n = strcspn(p, " ,"), used = strlen(missing);
		if (n < sizeof name) {
			memcpy(name, p, n);
			name[n] = '\0';
			if (!has(name))
				snprintf(missing + used, sizeof missing - used, "%s%s", used ? " " : "", name);
		}
		p += n;
	}
	if (!missing[0])
		return RT_OK;
	return rt_fail(RT_DEVICE,
		       "this program was compiled for %s, and this CPU lacks %s; compile it with --cpu=native here",
		       m->target, missing);
}

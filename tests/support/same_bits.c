/* same_bits.c -- one computation in several ways: see same_bits.h */
#include "tests/support/same_bits.h"
#include <check.h>
#include <stdlib.h>
#include <string.h>

bool cpu_runs(const char *cpu)
{
#if defined(__x86_64__)
	if (strstr(cpu, "bf16") && !__builtin_cpu_supports("avx512bf16"))
		return false;
	if (strstr(cpu, "v4"))
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
	return !strstr(cpu, "v3") || (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
#else
	return !strncmp(cpu, "native", 6);
#endif
}

typedef struct Way { const char *cpu; int threads; } Way;

static void agree(const char *name, const void *what, ResultsFn *results, const Way *way, int nways)
{
	unsigned char *first = NULL;
	size_t bytes = 0, n;
	for (int i = 0; i < nways; i++) {
		if (!cpu_runs(way[i].cpu))
			continue;
		unsigned char *bits = results(what, way[i].cpu, way[i].threads, &n);
		ck_assert_msg(!first || (n == bytes && !memcmp(first, bits, n)), "%s: %s with %d threads gives other bits", name,
		              way[i].cpu, way[i].threads);
		free(first);
		first = bits;
		bytes = n;
	}
	free(first);
}

void same_bits(const char *name, const void *what, ResultsFn *results)
{
	static const Way ways[] = {{"x86-64-v4", 1}, {"x86-64-v4", 2}, {"x86-64-v4", 3}, {"x86-64-v4", 8}, {"x86-64-v3", 2},
	                           {"x86-64-v3", 1}};
	agree(name, what, results, ways, cpu_runs("x86-64-v4") ? 5 : 6);
}

void same_bits_on(const char *name, const void *what, ResultsFn *results, const char *cpu)
{
	const Way ways[] = {{cpu, 1}, {cpu, 2}, {cpu, 3}, {cpu, 8}};
	agree(name, what, results, ways, 4);
}

/* doctor.c -- `cnnc doctor`: what this machine has for compiling, training and predicting, and what brings what is missing
 *
 * Each row is tried, not guessed: instructions from LLVM's view of the host, speeds by code made and run on the spot, the
 * linker by asking it. Nothing is installed or written.
 */
#include "doctor.h"
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench_limits.h"
#include "codegen/cuda.h"
#include "report.h"
#include "runtime/cuda_driver.h"

enum { EXIT_OK = 0, EXIT_MISSING = 2 };

typedef enum Verdict { FINE, MISSING, ABSENT } Verdict; /* ABSENT: works without, with less */

typedef struct Doctor {
	Arena *arena;
	Diag *diag;   /* of what was tried; not printed */
	int missing;
} Doctor;

/* One line a finding; the remedy where something is missing. */
static void row(Doctor *dr, Verdict v, const char *what, const char *found, const char *remedy)
{
	static const char *const sign[] = {"ok", "MISSING", "-"};
	printf("%-8s %-22s %s\n", sign[v], what, found);
	if (v != FINE && remedy)
		printf("%-8s %-22s -> %s\n", "", "", remedy);
	dr->missing += v == MISSING;
}

/* ---- processor ---- */
static void processor(Doctor *dr)
{
	Arena *a = dr->arena;
	Target t;
	const char *cpu = cg_cpu_bf16("native", "", a);
	row(dr, FINE, "processor", limits_cpu(a), NULL);
	if (!cg_target(cpu, "", dr->diag, a, &t)) {
		row(dr, MISSING, "code for it", "LLVM does not know this processor", "cnnc --cpu=x86-64-v2 compiles for any");
		return;
	}
	row(dr, FINE, "instructions", arena_printf(a, "%s: vectors of %d bits%s%s", t.name, 8 * t.vec_bytes,
	    t.fma ? ", fused multiply-add" : "", t.bf16 ? ", bf16 products" : ""), NULL);
	if (!t.bf16)
		row(dr, ABSENT, "bf16 instructions", "mixed_bfloat16 computes in float32 with rounding, no faster", NULL);
	RtPool *pool;
	Limits l = {0};
	if (rt_pool_new(0, 0, &pool) != RT_OK)
		return;
	CgOptions o = {.cpu = cpu, .triple = "", .target = &t};
	if (limits_measure(&o, pool, &l, dr->diag))
		row(dr, FINE, "speed, measured", arena_printf(a, "%.0f GFLOP/s on one core, %.0f on %d; copies %.0f GB/s", l.fma_one,
		    l.fma_gflops, rt_pool_threads(pool), l.copy_gbs), NULL);
	else
		row(dr, MISSING, "compiling in memory", "code could not be made and run in this process", "look at limits on executable memory");
	rt_pool_free(pool);
}

static void memory(Doctor *dr)
{
	int64_t page = sysconf(_SC_PAGESIZE), all = sysconf(_SC_PHYS_PAGES) * page, free_now = sysconf(_SC_AVPHYS_PAGES) * page;
	row(dr, FINE, "memory", arena_printf(dr->arena, "%s, %s of it unused", text_bytes(dr->arena, all), text_bytes(dr->arena, free_now)),
	    NULL);
}

/* ---- programs and libraries ---- */
static const char *first_line(Doctor *dr, const char *command)
{
	char line[256];
	FILE *f = popen(command, "r");
	char *got = f ? fgets(line, sizeof line, f) : NULL;
	if (got)
		line[strcspn(line, "\n")] = '\0';
	int status = f ? pclose(f) : -1;
	return got && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? arena_strdup(dr->arena, line) : NULL;
}

static void compiler(Doctor *dr)
{
	row(dr, FINE, "cnnc", CNNC_VERSION, NULL);
	row(dr, FINE, "LLVM", cg_llvm_version(dr->arena), NULL);
	const char *linker = first_line(dr, "cc --version 2>/dev/null");
	row(dr, linker ? FINE : MISSING, "linker (cc)", linker ? linker : "no program cc", "apt install gcc libc6-dev, or --linker=PROGRAM");
	const char *libdir = cg_libdir(dr->arena, dr->diag);
	row(dr, libdir ? FINE : MISSING, "runtime archives", libdir ? libdir : "not beside this program",
	    "keep bin/cnnc and lib/cnnc together: cmake --install build --prefix DIR");
}

static void helpers(Doctor *dr)
{
	static const struct { const char *what, *command, *use, *remedy; } optional[] = {
		{"Graphviz (dot)", "dot -V 2>&1", "draws what --emit=dot writes", "apt install graphviz"},
	};
	for (size_t i = 0; i < COUNT(optional); i++) {
		const char *found = first_line(dr, optional[i].command);
		row(dr, found ? FINE : ABSENT, optional[i].what, found ? found : optional[i].use, optional[i].remedy);
	}
}

/* ---- GPUs ---- */
static const char *device_text(Doctor *dr, const CuDriver *d, int number)
{
	CuDevice device;
	char name[100] = "";
	int major = 0, minor = 0;
	if (d->device(&device, number) != CU_OK || d->device_name(name, sizeof name - 1, device) != CU_OK ||
	    d->device_attribute(&major, CU_ATTRIBUTE_MAJOR, device) != CU_OK ||
	    d->device_attribute(&minor, CU_ATTRIBUTE_MINOR, device) != CU_OK)
		return "does not answer";
	return arena_printf(dr->arena, "%s, sm_%d%d", name, major, minor);
}

static void gpus(Doctor *dr)
{
	const char *nvrtc = nvrtc_text(dr->arena);
	CuDriver d;
	int version = 0, n = 0;
	row(dr, nvrtc ? FINE : ABSENT, "NVRTC", nvrtc ? nvrtc : "not here: no code for GPUs (--target=cuda), --emit=cuda works",
	    "pip install nvidia-cuda-nvrtc, or CNNC_NVRTC=/path/to/libnvrtc.so.13");
	if (rt_cuda_driver(&d) != RT_OK || d.version(&version) != CU_OK || d.device_count(&n) != CU_OK) {
		row(dr, ABSENT, "NVIDIA driver", "programs run on the CPU here", NULL);
		return;
	}
	row(dr, FINE, "NVIDIA driver", arena_printf(dr->arena, "for CUDA %d.%d", version / 1000, version % 1000 / 10), NULL);
	for (int i = 0; i < n; i++)
		row(dr, FINE, arena_printf(dr->arena, "cuda:%d", i), device_text(dr, &d, i), NULL);
}

int doctor(void)
{
	Doctor dr = {.arena = arena_new(), .diag = diag_new()};
	compiler(&dr);
	processor(&dr);
	memory(&dr);
	helpers(&dr);
	gpus(&dr);
	puts(dr.missing ? "cnnc cannot make programs here until what is missing is there" : "cnnc can compile, train and predict here");
	diag_free(dr.diag);
	arena_free(dr.arena);
	return dr.missing ? EXIT_MISSING : EXIT_OK;
}

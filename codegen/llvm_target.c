/* llvm_target.c -- which machine: cpu names to instruction levels, and LLVM's target machine
 *
 * On x86-64 a cpu name chooses one of the four psABI levels (cpus.def); the code uses that level's instructions and is
 * ordered for the named cpu. So `native` code runs on every machine of the same level, and what a program needs is a short
 * list. Other architectures take LLVM's cpu names as they are.
 */
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include "codegen/llvm_build.h"
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>

typedef struct Level {
	const char *name;
	int vec_bytes, vec_regs;
	bool fma;
	const char *needs; /* CPUID names, as gcc's __builtin_cpu_supports has them */
} Level;

static const Level levels[] = {
	{"x86-64", 16, 16, false, ""},
	{"x86-64-v2", 16, 16, false, "ssse3 sse4.1 sse4.2 popcnt"},
	{"x86-64-v3", 32, 16, true, "avx avx2 fma bmi bmi2 f16c lzcnt"},
	{"x86-64-v4", 64, 32, true, "avx avx2 fma bmi bmi2 f16c lzcnt avx512f avx512bw avx512cd avx512dq avx512vl"},
};

static const struct { const char *name; int level; } cpus[] = {
#define CPU(name, level) {name, level},
#include "codegen/cpus.def"
};

static bool blank(const char *s)
{
	return !s || !*s;
}

static bool is_x86(const char *triple)
{
	return strncmp(triple, "x86_64", 6) == 0 || strncmp(triple, "amd64", 5) == 0;
}

static const char *host_triple(Arena *a)
{
	char *text = LLVMGetDefaultTargetTriple();
	const char *copy = arena_strdup(a, text);
	LLVMDisposeMessage(text);
	return copy;
}

/* ---- the machine that we run on ---- */
static bool host_has(const char *features, const char *names)
{
	char want[32];
	for (const char *p = names; *p; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");
		snprintf(want, sizeof(want), "+%.*s,", (int)n, p);
		if (!strstr(features, want))
			return false;
		p += n;
	}
	return true;
}

static int host_level(Arena *a)
{
	/* LLVM's names of the features that tell the levels apart */
	static const char *const tell[] = {"", "sse4.2 popcnt", "avx2 fma bmi bmi2 f16c lzcnt",
	                                   "avx512f avx512bw avx512cd avx512dq avx512vl"};
	char *text = LLVMGetHostCPUFeatures();
	const char *features = arena_printf(a, "%s,", text);
	int level = 1;
	while (level < (int)COUNT(tell) && host_has(features, tell[level]))
		level++;
	LLVMDisposeMessage(text);
	return level;
}

static int64_t cache_size(int name, int64_t fallback)
{
	long n = sysconf(name);
	return n >= 16 * 1024 && n <= 64L * 1024 * 1024 ? n : fallback;
}

/* ---- names ---- */
/* Level of an x86-64 cpu name, 0 (reported) for an unknown one. */
static int find_level(const char *cpu, Diag *d, Arena *a)
{
	const char *name[COUNT(cpus)];
	if (blank(cpu) || strcmp(cpu, "native") == 0)
		return host_level(a);
	for (size_t i = 0; i < COUNT(cpus); i++) {
		if (strcmp(cpus[i].name, cpu) == 0)
			return cpus[i].level;
		name[i] = cpus[i].name;
	}
	diag_error(d, (Loc){0}, "unknown cpu '%s'", cpu);
	const char *near = diag_nearest(cpu, name, COUNT(cpus));
	if (near)
		diag_note(d, "help", "did you mean '%s'?", near);
	else
		diag_note(d, "help", "native, x86-64-v2, x86-64-v3, x86-64-v4, or a name that `llc --mcpu=help` lists");
	return 0;
}

/* The names are asked of a machine that is not this one: caches are those that nearly every such machine has at least. */
bool cg_target(const char *cpu, const char *triple, Diag *d, Arena *a, Target *out)
{
	enum { L1 = 32 * 1024, L2 = 1024 * 1024 };
	const char *t = blank(triple) ? host_triple(a) : triple;
	bool native = blank(triple) && (blank(cpu) || strcmp(cpu, "native") == 0);
	*out = (Target){.name = "generic", .vec_bytes = 16, .vec_regs = 32, .fma = true, .l1_bytes = L1, .l2_bytes = L2};
	if (is_x86(t)) {
		int level = find_level(cpu, d, a);
		if (!level)
			return false;
		const Level *l = &levels[level - 1];
		out->name = l->name;
		out->vec_bytes = l->vec_bytes;
		out->vec_regs = l->vec_regs;
		out->fma = l->fma;
	} else if (!native && !blank(cpu)) {
		out->name = arena_strdup(a, cpu);
	}
	if (native) {
		out->l1_bytes = cache_size(_SC_LEVEL1_DCACHE_SIZE, L1);
		out->l2_bytes = cache_size(_SC_LEVEL2_CACHE_SIZE, L2);
	}
	return true;
}

int cg_portable(const char *triple, Diag *d, Arena *a, const char *level[CG_MAX_LEVELS])
{
	int n = 0;
	const char *t = blank(triple) ? host_triple(a) : triple;
	if (!is_x86(t))
		return diag_error(d, (Loc){0}, "--cpu=portable is for x86-64 only, not for %s", t);
	for (size_t i = COUNT(levels); i-- > 1;)
		level[n++] = levels[i].name;
	return n;
}

/* ---- LLVM's machine ---- */
/* Loop strength reduction finds little in loops that already step constant offsets from few bases, and is the slowest pass. */
static void set_options(void)
{
	static const char *const word[] = {"cnnc", "-disable-lsr"};
	LLVMParseCommandLineOptions(COUNT(word), word, NULL);
}

static void start_host(void)
{
	set_options();
	LLVMInitializeNativeTarget();
	LLVMInitializeNativeAsmPrinter();
}

static void start_all(void)
{
	LLVMInitializeAllTargetInfos();
	LLVMInitializeAllTargets();
	LLVMInitializeAllTargetMCs();
	LLVMInitializeAllAsmPrinters();
}

/* LLVM's registry of targets belongs to the process; models may be loaded by several threads. */
static void start_targets(bool host)
{
	static pthread_once_t for_host = PTHREAD_ONCE_INIT, for_all = PTHREAD_ONCE_INIT;
	pthread_once(&for_host, start_host);
	if (!host)
		pthread_once(&for_all, start_all);
}

static const char *tuning(const CgOptions *o, Arena *a)
{
	if (!blank(o->cpu) && strcmp(o->cpu, "native") != 0)
		return arena_strdup(a, o->cpu);
	if (!blank(o->triple))
		return NULL;
	char *host = LLVMGetHostCPUName();
	const char *copy = arena_strdup(a, host);
	LLVMDisposeMessage(host);
	return copy;
}

LLVMTargetMachineRef llvm_machine(const CgOptions *o, Diag *d, Arena *a, const char **tune, const char **needs)
{
	const char *triple = blank(o->triple) ? host_triple(a) : o->triple, *cpu = "generic";
	LLVMTargetRef target;
	char *error = NULL;
	start_targets(blank(o->triple));
	*tune = NULL;
	*needs = "";
	if (is_x86(triple)) {
		int level = find_level(o->cpu, d, a);
		if (!level)
			return NULL;
		cpu = levels[level - 1].name;
		*needs = levels[level - 1].needs;
		*tune = tuning(o, a);
	} else if (!blank(o->cpu) && strcmp(o->cpu, "native") != 0) {
		cpu = o->cpu;
	}
	if (LLVMGetTargetFromTriple(triple, &target, &error)) {
		diag_error(d, (Loc){0}, "unknown triple '%s'", triple);
		LLVMDisposeMessage(error);
		return NULL;
	}
	/* What level Less lacks is a second scheduling of instructions, which made no kernel faster. */
	return LLVMCreateTargetMachine(target, triple, cpu, "", LLVMCodeGenLevelLess, LLVMRelocPIC, LLVMCodeModelDefault);
}

bool llvm_compresses(LLVMTargetMachineRef machine)
{
	char *cpu = LLVMGetTargetMachineCPU(machine);
	bool v4 = strcmp(cpu, "x86-64-v4") == 0;
	LLVMDisposeMessage(cpu);
	return v4;
}

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
	const char *features; /* LLVM's, beyond those of the cpu */
} Level;

#define V4_NEEDS "avx avx2 fma bmi bmi2 f16c lzcnt avx512f avx512bw avx512cd avx512dq avx512vl"

/* A cpu name with this behind it is asked to use its bf16 instructions too: only programs of that precision need them. */
#define BF16 "+bf16"
enum { LEVEL_V4 = 4, LEVEL_BF16 = 5 };

static const Level levels[] = {
	{"x86-64", 16, 16, false, "", ""},
	{"x86-64-v2", 16, 16, false, "ssse3 sse4.1 sse4.2 popcnt", ""},
	{"x86-64-v3", 32, 16, true, "avx avx2 fma bmi bmi2 f16c lzcnt", ""},
	{"x86-64-v4", 64, 32, true, V4_NEEDS, ""},
	{"x86-64-v4" BF16, 64, 32, true, V4_NEEDS " avx512bf16", "+avx512bf16"},
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
	level += level == LEVEL_V4 && host_has(features, "avx512bf16");
	LLVMDisposeMessage(text);
	return level;
}

static int64_t cache_size(int name, int64_t fallback)
{
	long n = sysconf(name);
	return n >= 16 * 1024 && n <= 64L * 1024 * 1024 ? n : fallback;
}

/* ---- names ---- */
static bool asks_bf16(const char *cpu)
{
	size_t n = cpu ? strlen(cpu) : 0, end = strlen(BF16);
	return n > end && strcmp(cpu + n - end, BF16) == 0;
}

/* The name without what it asks for; NULL: native. */
static const char *plain_name(const char *cpu, Arena *a)
{
	size_t n = cpu ? strlen(cpu) - (asks_bf16(cpu) ? strlen(BF16) : 0) : 0;
	const char *plain = arena_printf(a, "%.*s", (int)n, cpu ? cpu : "");
	return n == 0 || strcmp(plain, "native") == 0 ? NULL : plain;
}

/* The highest level of an x86-64 cpu, NULL: this one; 0 for an unknown name. */
static int best_level(const char *plain, Arena *a)
{
	if (!plain)
		return host_level(a);
	for (size_t i = 0; i < COUNT(cpus); i++) {
		if (strcmp(cpus[i].name, plain) == 0)
			return cpus[i].level;
	}
	return 0;
}

/* Level of an x86-64 cpu name, 0 (reported) for an unknown one. */
static int find_level(const char *cpu, Diag *d, Arena *a)
{
	const char *name[COUNT(cpus)], *plain = plain_name(cpu, a);
	int level = best_level(plain, a);
	if (level && !asks_bf16(cpu))
		return level < LEVEL_BF16 ? level : LEVEL_V4;
	if (level == LEVEL_BF16 || (plain && strcmp(plain, levels[LEVEL_V4 - 1].name) == 0))
		return LEVEL_BF16;
	if (level)
		return diag_error(d, (Loc){0}, "cpu '%s' has no bf16 instructions", plain ? plain : "native");
	for (size_t i = 0; i < COUNT(cpus); i++)
		name[i] = cpus[i].name;
	cpu = plain;
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
	bool native = blank(triple) && !plain_name(cpu, a);
	/* Other machines have no operands in memory: of their 32 registers, six hold what is loaded for the next products. */
	*out = (Target){.name = "generic", .vec_bytes = 16, .vec_regs = 26, .fma = true, .l1_bytes = L1, .l2_bytes = L2};
	if (is_x86(t)) {
		int level = find_level(cpu, d, a);
		if (!level)
			return false;
		const Level *l = &levels[level - 1];
		out->name = l->name;
		out->vec_bytes = l->vec_bytes;
		out->vec_regs = l->vec_regs;
		out->fma = l->fma;
		out->bf16 = level == LEVEL_BF16;
	} else if (plain_name(cpu, a)) {
		out->name = plain_name(cpu, a);
	}
	if (native) {
		out->l1_bytes = cache_size(_SC_LEVEL1_DCACHE_SIZE, L1);
		out->l2_bytes = cache_size(_SC_LEVEL2_CACHE_SIZE, L2);
	}
	return true;
}

const char *cg_cpu_bf16(const char *cpu, const char *triple, Arena *a)
{
	const char *plain = plain_name(cpu, a);
	bool host = blank(triple) || plain;
	if (asks_bf16(cpu) || !host || !is_x86(blank(triple) ? host_triple(a) : triple) || best_level(plain, a) != LEVEL_BF16)
		return cpu;
	return arena_printf(a, "%s" BF16, plain ? plain : "native");
}

int cg_portable(const char *triple, bool bf16, Diag *d, Arena *a, const char *level[CG_MAX_LEVELS])
{
	int n = 0;
	const char *t = blank(triple) ? host_triple(a) : triple;
	if (!is_x86(t))
		return diag_error(d, (Loc){0}, "--cpu=portable is for x86-64 only, not for %s", t);
	for (size_t i = bf16 ? LEVEL_BF16 : LEVEL_V4; i-- > 1;)
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
	if (plain_name(o->cpu, a))
		return plain_name(o->cpu, a);
	if (!blank(o->triple))
		return NULL;
	char *host = LLVMGetHostCPUName();
	const char *copy = arena_strdup(a, host);
	LLVMDisposeMessage(host);
	return copy;
}

bool llvm_target(const CgOptions *o, Diag *d, Arena *a, LlvmTarget *out)
{
	char *error = NULL;
	start_targets(blank(o->triple));
	*out = (LlvmTarget){.cpu = "generic", .features = "", .needs = ""};
	out->triple = blank(o->triple) ? host_triple(a) : arena_strdup(a, o->triple);
	if (is_x86(out->triple)) {
		int level = find_level(o->cpu, d, a);
		if (!level)
			return false;
		out->cpu = levels[level == LEVEL_BF16 ? LEVEL_V4 - 1 : level - 1].name;
		out->features = levels[level - 1].features;
		out->bf16 = level == LEVEL_BF16;
		out->compresses = level >= LEVEL_V4;
		out->needs = levels[level - 1].needs;
		out->tune = tuning(o, a);
	} else if (plain_name(o->cpu, a)) {
		out->cpu = plain_name(o->cpu, a);
	}
	if (LLVMGetTargetFromTriple(out->triple, &out->target, &error)) {
		diag_error(d, (Loc){0}, "unknown triple '%s'", out->triple);
		LLVMDisposeMessage(error);
		return false;
	}
	return true;
}

/* What level Less lacks is a second scheduling of instructions, which made no kernel faster. */
LLVMTargetMachineRef llvm_machine(const LlvmTarget *t)
{
	return LLVMCreateTargetMachine(t->target, t->triple, t->cpu, t->features, LLVMCodeGenLevelLess, LLVMRelocPIC,
	                               LLVMCodeModelDefault);
}

const char *cg_llvm_version(Arena *a)
{
	unsigned major, minor, patch;
	LLVMGetVersion(&major, &minor, &patch);
	return arena_printf(a, "%u.%u.%u", major, minor, patch);
}

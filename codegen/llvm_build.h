/* llvm_build.h -- what the llvm_*.c files share: the builder behind the emit table, and the units that it fills
 *
 * llvm_build.c makes functions, indices and control flow; llvm_memory.c loads and stores; llvm_value.c arithmetic;
 * llvm_table.c the constant tables; llvm_plain.c a function instead of them; llvm_unit.c owns one module of LLVM;
 * llvm_module.c a model as one such unit, or as several that are compiled at the same time; llvm_jit.c runs it here.
 */
#ifndef CNNC_CODEGEN_LLVM_BUILD_H
#define CNNC_CODEGEN_LLVM_BUILD_H

#include <llvm-c/Core.h>
#include <llvm-c/Orc.h>
#include <llvm-c/TargetMachine.h>
#include "codegen/codegen.h"
#include "codegen/emit.h"

typedef struct LlvmFrame LlvmFrame;

typedef struct LlvmBuild {
	Arena *arena;
	LLVMContextRef ctx;
	LLVMModuleRef module;
	LLVMBuilderRef b;
	LLVMTypeRef elem[DT_COUNT], memory[DT_COUNT], vector[DT_COUNT]; /* bool: i1 as a value, i8 in memory */
	int lanes;              /* of vectors that are made */
	LLVMTypeRef ptr, i8, i32, i64, nothing;
	bool compresses;        /* the target packs the lanes of a mask (AVX-512) */
	bool bf16;              /* the target multiplies pairs of bf16 */
	const char *tune;       /* cpu that instructions are ordered for, or NULL */
	const char *shared;     /* other units call functions too, which have this behind their names; NULL: all is here */
	LLVMValueRef fn;        /* being written, or NULL */
	bool phase;
	LLVMValueRef part;      /* phase: the part number as i64 */
	LlvmFrame *frame;       /* open loops and ifs, innermost first */
	LLVMMetadataRef unroll_disable;
} LlvmBuild;

/* What code is made for, and how; does not change. */
typedef struct LlvmTarget {
	LLVMTargetRef target;
	const char *triple, *cpu, *features;
	const char *tune;       /* cpu that instructions are ordered for, or NULL */
	const char *needs;      /* CPUID names */
	bool bf16;              /* it multiplies pairs of them */
	bool compresses;        /* AVX-512's packing of lanes */
} LlvmTarget;

/* One module of LLVM, in a context of its own: one thread works on it. */
typedef struct LlvmUnit {
	Arena *arena;
	LLVMContextRef ctx;
	LLVMModuleRef module;
	LLVMTargetMachineRef machine; /* borrowed; no other thread uses it meanwhile */
	LlvmBuild build;
	KEmit emit;
	bool finished;
} LlvmUnit;

struct CgModule {
	Arena *arena;
	const char *name;
	LlvmTarget target;
	const IrModule *m;      /* NULL: the module is filled by hand */
	const CgProgram *program; /* NULL: likewise */
	CgOptions options;
	LLVMTargetMachineRef machine; /* of `whole` */
	LlvmUnit *whole;        /* all of it as one unit; NULL: nobody has asked for it */
};

static inline LlvmBuild *lb(const KEmit *e)
{
	return (LlvmBuild *)e->cx;
}

/* Fills the table and the builder of the unit, whose module is made. */
void llvm_build_init(LlvmUnit *u, const LlvmTarget *t, const char *shared);
void llvm_build_free(LlvmBuild *b);
void llvm_memory_rows(KEmit *e); /* fill their part of the table */
void llvm_value_rows(KEmit *e);

bool llvm_is_vector(LLVMValueRef v);
LLVMTypeRef llvm_type(const LlvmBuild *b, DType t, bool vector);
/* Calls the intrinsic `name` overloaded on `types`. */
LLVMValueRef llvm_intrinsic(LlvmBuild *b, const char *name, int ntypes, LLVMTypeRef *types, int nargs, LLVMValueRef *arg);
LLVMValueRef llvm_splat(LlvmBuild *b, LLVMValueRef scalar);

/* The function of a phase: void (const RtCall *, uint32_t part, void *scratch), declared if it is not here. */
LLVMValueRef llvm_phase(LlvmBuild *b, const char *name);

/* ---- llvm_target.c ---- */
/* For the options' cpu and triple; false: reported. */
bool llvm_target(const CgOptions *o, Diag *d, Arena *a, LlvmTarget *out);
LLVMTargetMachineRef llvm_machine(const LlvmTarget *t); /* the caller's */

/* ---- llvm_unit.c ---- */
/* An empty one. shared: see LlvmBuild. */
LlvmUnit *llvm_unit_new(const char *name, const LlvmTarget *t, LLVMTargetMachineRef machine, const char *shared);
void llvm_unit_free(LlvmUnit *u); /* NULL is fine */
void llvm_unit_finish(LlvmUnit *u); /* after the last function: equal expressions become one; what is invalid is an ICE */
/* Finishes it too. LLVM changes the module meanwhile. */
LLVMMemoryBufferRef llvm_unit_code(LlvmUnit *u, LLVMCodeGenFileType type);

/* ---- llvm_table.c ---- */
/* Adds the model's table, and the list of tables unless another object has it; phases are functions of this unit or others. */
void llvm_table(LlvmUnit *u, const CgModule *c);

/* ---- llvm_module.c ---- */
/* The module as objects that belong together; the array is in arena a, what it holds is the caller's. */
LLVMMemoryBufferRef *llvm_objects(CgModule *c, Arena *a, int *n);

#endif

/* llvm_build.h -- what the llvm_*.c files share: the builder behind the emit table, and the module that it fills
 *
 * llvm_build.c makes functions, indices and control flow; llvm_memory.c loads and stores; llvm_value.c arithmetic;
 * llvm_table.c the constant tables; llvm_plain.c a function instead of them; llvm_module.c owns the module and writes it
 * out; llvm_jit.c runs it here.
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
	LLVMValueRef fn;        /* being written, or NULL */
	bool phase;
	LLVMValueRef part;      /* phase: the part number as i64 */
	LlvmFrame *frame;       /* open loops and ifs, innermost first */
	LLVMMetadataRef unroll_disable;
} LlvmBuild;

struct CgModule {
	Arena *arena;
	LLVMOrcThreadSafeContextRef ts;
	LLVMContextRef ctx;
	LLVMModuleRef module;
	LLVMTargetMachineRef machine;
	LlvmBuild build;
	KEmit emit;
	const char *needs;
	bool has_model;         /* a table is in it, and the list of tables */
};

static inline LlvmBuild *lb(const KEmit *e)
{
	return (LlvmBuild *)e->cx;
}

/* Fills the table and the builder; `module` and `tune` outlive it. */
void llvm_build_init(KEmit *e, LlvmBuild *b, Arena *a, LLVMModuleRef module, const char *tune);
void llvm_build_free(LlvmBuild *b);
void llvm_memory_rows(KEmit *e); /* fill their part of the table */
void llvm_value_rows(KEmit *e);

bool llvm_is_vector(LLVMValueRef v);
LLVMTypeRef llvm_type(const LlvmBuild *b, DType t, bool vector);
/* Calls the intrinsic `name` overloaded on `types`. */
LLVMValueRef llvm_intrinsic(LlvmBuild *b, const char *name, int ntypes, LLVMTypeRef *types, int nargs, LLVMValueRef *arg);
LLVMValueRef llvm_splat(LlvmBuild *b, LLVMValueRef scalar);

void llvm_verify(const CgModule *c); /* an invalid module is an ICE */
void llvm_tidy(const CgModule *c);   /* equal expressions become one */

/* ---- llvm_target.c ---- */
/* Machine for the options' cpu and triple; NULL: reported. tune: cpu to order for, or NULL. needs: CPUID names.
 * bf16: it multiplies pairs of them. */
LLVMTargetMachineRef llvm_machine(const CgOptions *o, Diag *d, Arena *a, const char **tune, const char **needs, bool *bf16);
bool llvm_compresses(LLVMTargetMachineRef machine); /* AVX-512's packing of lanes */

/* Adds the model's table, and the list of tables unless another object has it; phases of `entry` are functions of the
 * module. */
void llvm_table(CgModule *c, const IrModule *m, const CgEntry *entry, const CgOptions *o);

#endif

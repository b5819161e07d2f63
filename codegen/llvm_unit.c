/* llvm_unit.c -- one module of LLVM: made empty, filled through the emit table, turned into assembly or an object
 *
 * What the emitters write is final, and LLVM selects instructions. Of its optimiser only the removal of equal expressions
 * runs, since fewer instructions compile faster; the usual pipelines double the time and change the speed of no kernel.
 * Nothing is shared with other units at work, so that several threads may each have one.
 */
#include "codegen/llvm_build.h"
#include <llvm-c/Analysis.h>
#include <llvm-c/Transforms/PassBuilder.h>

LlvmUnit *llvm_unit_new(const char *name, const LlvmTarget *t, LLVMTargetMachineRef machine, const char *shared)
{
	Arena *a = arena_new();
	LlvmUnit *u = NEW(a, LlvmUnit);
	u->arena = a;
	u->machine = machine;
	u->ctx = LLVMContextCreate();
	u->module = LLVMModuleCreateWithNameInContext(name, u->ctx);
	LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(u->machine);
	LLVMSetTarget(u->module, t->triple);
	LLVMSetModuleDataLayout(u->module, layout);
	LLVMDisposeTargetData(layout);
	llvm_build_init(u, t, shared);
	return u;
}

void llvm_unit_free(LlvmUnit *u)
{
	if (!u)
		return;
	llvm_build_free(&u->build);
	LLVMDisposeModule(u->module);

	LLVMContextDispose(u->ctx);
	arena_free(u->arena);
}

static void tidy(LlvmUnit *u)
{
	LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
	LLVMErrorRef error = LLVMRunPasses(u->module, "function(early-cse)", u->machine, o);
	LLVMDisposePassBuilderOptions(o);
	if (error)
		ICE("LLVM's early-cse: %s", LLVMGetErrorMessage(error));
}

void llvm_unit_finish(LlvmUnit *u)
{
	char *why = NULL;
	if (u->finished)
		return;
	u->finished = true;
	if (LLVMVerifyModule(u->module, LLVMReturnStatusAction, &why))
		ICE("the generated module is not valid LLVM IR: %s", why);
	LLVMDisposeMessage(why);
	tidy(u);
}

LLVMMemoryBufferRef llvm_unit_code(LlvmUnit *u, LLVMCodeGenFileType type)
{
	char *why = NULL;
	LLVMMemoryBufferRef code;
	llvm_unit_finish(u);
	if (LLVMTargetMachineEmitToMemoryBuffer(u->machine, u->module, type, &why, &code))
		ICE("LLVM cannot write the module: %s", why);
	return code;
}

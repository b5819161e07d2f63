/* llvm_jit.c -- a module as code in this process, through ORC LLJIT
 *
 * Takes a module over, links its objects here and gives addresses. Symbols that LLVM itself calls (floorf, memset on old
 * targets) are found in this process.
 */
#include "codegen/llvm_build.h"
#include <llvm-c/LLJIT.h>

struct CgJit {
	LLVMOrcLLJITRef jit;
	const RtModel *model;
	Arena *arena;
};

static bool failed(LLVMErrorRef error, const char *what, Diag *d)
{
	if (!error)
		return false;
	char *text = LLVMGetErrorMessage(error);
	diag_error(d, (Loc){0}, "cannot run code in this process: %s: %s", what, text);
	LLVMDisposeErrorMessage(text);
	return true;
}

static LLVMOrcLLJITRef make_jit(const LlvmTarget *t, Diag *d)
{
	LLVMOrcLLJITRef jit;
	LLVMOrcLLJITBuilderRef builder = LLVMOrcCreateLLJITBuilder();
	LLVMOrcLLJITBuilderSetJITTargetMachineBuilder(
		builder, LLVMOrcJITTargetMachineBuilderCreateFromTargetMachine(llvm_machine(t)));
	return failed(LLVMOrcCreateLLJIT(&jit, builder), "LLJIT", d) ? NULL : jit;
}

static bool add_objects(CgModule *c, LLVMOrcLLJITRef jit, Diag *d)
{
	int n;
	bool ok = true;
	LLVMOrcDefinitionGeneratorRef process;
	LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(jit);
	char prefix = LLVMOrcLLJITGetGlobalPrefix(jit);
	if (failed(LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, prefix, NULL, NULL), "symbols", d))
		return false;
	LLVMOrcJITDylibAddGenerator(lib, process);
	LLVMMemoryBufferRef *object = llvm_objects(c, c->arena, &n);
	for (int i = 0; i < n; i++)
		ok = !failed(LLVMOrcLLJITAddObjectFile(jit, lib, object[i]), "object", d) && ok;
	return ok;
}

CgJit *cg_jit(CgModule *c, Diag *d)
{
	bool has_model = c->program != NULL;
	LLVMOrcLLJITRef jit = make_jit(&c->target, d);
	bool ok = jit && add_objects(c, jit, d);
	cg_free(c);
	if (!ok) {
		if (jit)
			failed(LLVMOrcDisposeLLJIT(jit), "LLJIT", d);
		return NULL;
	}
	Arena *a = arena_new();
	CgJit *j = NEW(a, CgJit);
	*j = (CgJit){.jit = jit, .arena = a};
	const RtModel *const *models = has_model ? cg_jit_symbol(j, "cnnc_models") : NULL;
	j->model = models ? models[0] : NULL;
	return j;
}

const RtModel *cg_jit_model(const CgJit *j)
{
	return j->model;
}

void *cg_jit_symbol(const CgJit *j, const char *name)
{
	LLVMOrcExecutorAddress at = 0;
	LLVMErrorRef error = LLVMOrcLLJITLookup(j->jit, &at, name);
	if (error)
		LLVMConsumeError(error);
	return error ? NULL : (void *)(uintptr_t)at;
}

void cg_jit_free(CgJit *j)
{
	if (!j)
		return;
	LLVMErrorRef error = LLVMOrcDisposeLLJIT(j->jit);
	if (error)
		LLVMConsumeError(error);
	arena_free(j->arena);
}

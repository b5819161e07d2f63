/* llvm_module.c -- one module a model: made empty, filled through the emit table, written as text, assembly or object
 *
 * What the emitters write is final, and LLVM selects instructions. Of its optimiser only the removal of equal expressions
 * runs, since fewer instructions compile faster; the usual pipelines double the time and change the speed of no kernel.
 */
#include <errno.h>
#include <string.h>
#include "codegen/llvm_build.h"
#include <llvm-c/Analysis.h>
#include <llvm-c/Transforms/PassBuilder.h>

CgModule *cg_new(const char *name, const CgOptions *o, Diag *d)
{
	const char *tune, *needs;
	bool bf16;
	Arena *a = arena_new();
	LLVMTargetMachineRef machine = llvm_machine(o, d, a, &tune, &needs, &bf16);
	if (!machine) {
		arena_free(a);
		return NULL;
	}
	CgModule *c = NEW(a, CgModule);
	c->arena = a;
	c->machine = machine;
	c->needs = needs;
	c->ts = LLVMOrcCreateNewThreadSafeContext();
	c->ctx = LLVMOrcThreadSafeContextGetContext(c->ts);
	c->module = LLVMModuleCreateWithNameInContext(name, c->ctx);
	char *triple = LLVMGetTargetMachineTriple(machine);
	LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
	LLVMSetTarget(c->module, triple);
	LLVMSetModuleDataLayout(c->module, layout);
	LLVMDisposeTargetData(layout);
	LLVMDisposeMessage(triple);
	llvm_build_init(&c->emit, &c->build, a, c->module, tune);
	c->build.compresses = llvm_compresses(machine);
	c->build.bf16 = bf16;
	return c;
}

KEmit *cg_emitter(CgModule *c)
{
	return &c->emit;
}

void cg_free(CgModule *c)
{
	if (!c)
		return;
	llvm_build_free(&c->build);
	if (c->module)
		LLVMDisposeModule(c->module);
	if (c->machine)
		LLVMDisposeTargetMachine(c->machine);
	LLVMOrcDisposeThreadSafeContext(c->ts);
	arena_free(c->arena);
}

void llvm_verify(const CgModule *c)
{
	char *why = NULL;
	if (LLVMVerifyModule(c->module, LLVMReturnStatusAction, &why))
		ICE("the generated module is not valid LLVM IR: %s", why);
	LLVMDisposeMessage(why);
}

void llvm_tidy(const CgModule *c)
{
	LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
	LLVMErrorRef error = LLVMRunPasses(c->module, "function(early-cse)", c->machine, o);
	LLVMDisposePassBuilderOptions(o);
	if (error)
		ICE("LLVM's early-cse: %s", LLVMGetErrorMessage(error));
}

/* ---- writing ---- */
static bool write_bytes(const char *path, const char *bytes, size_t n, Diag *d)
{
	bool out = strcmp(path, "-") == 0;
	const char *name = out ? "stdout" : path;
	FILE *f = out ? stdout : fopen(path, "wb");
	if (!f)
		return diag_error(d, (Loc){0}, "cannot write %s: %s", name, strerror(errno));
	bool ok = fwrite(bytes, 1, n, f) == n;
	ok = (out ? fflush(f) : fclose(f)) == 0 && ok;
	return ok || diag_error(d, (Loc){0}, "cannot write %s: %s", name, strerror(errno));
}

static bool write_text(CgModule *c, const char *path, Diag *d)
{
	char *text = LLVMPrintModuleToString(c->module);
	bool ok = write_bytes(path, text, strlen(text), d);
	LLVMDisposeMessage(text);
	return ok;
}

bool cg_emit(CgModule *c, CgKind kind, const char *path, Diag *d)
{
	char *why = NULL;
	LLVMMemoryBufferRef buffer;
	llvm_verify(c);
	if (kind == CG_LLVM)
		return write_text(c, path, d);
	LLVMCodeGenFileType type = kind == CG_ASM ? LLVMAssemblyFile : LLVMObjectFile;
	if (LLVMTargetMachineEmitToMemoryBuffer(c->machine, c->module, type, &why, &buffer))
		ICE("LLVM cannot write the module: %s", why);
	bool ok = write_bytes(path, LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer), d);
	LLVMDisposeMemoryBuffer(buffer);
	return ok;
}

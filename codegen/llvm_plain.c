/* llvm_plain.c -- a module with one plain C function instead of a table, for callers that know no runtime
 *
 *   void name(const void *in…, const void *params, void *out…, void *work)
 *
 * `params` is there if the module has state; inputs and outputs are in the order of the entry. The function makes the
 * RtCall that phases read on its own stack and runs every part of every phase, at max_n samples, on the caller's
 * thread.
 */
#include <stddef.h>
#include "codegen/llvm_build.h"

typedef struct Plain {
	LlvmBuild *b;
	LLVMValueRef fn, call, scratch;
} Plain;

static LLVMValueRef field(const Plain *p, LLVMValueRef base, size_t offset)
{
	LLVMValueRef at = LLVMConstInt(p->b->i64, offset, 0);
	return LLVMBuildInBoundsGEP2(p->b->b, p->b->i8, base, &at, 1, "");
}

static LLVMValueRef space(const Plain *p, size_t bytes)
{
	LLVMValueRef v = LLVMBuildAlloca(p->b->b, LLVMArrayType2(p->b->i8, bytes), "");
	LLVMSetAlignment(v, sizeof(void *));
	return v;
}

/* RtScalars of a first step with n samples */
static LLVMValueRef scalars(const Plain *p, int32_t n)
{
	RtScalars s = {.step = 1, .n = (uint32_t)n, .inv_n = 1.0f / (float)n};
	LLVMValueRef bytes = LLVMConstStringInContext2(p->b->ctx, (const char *)&s, sizeof(s), 1);
	LLVMValueRef g = LLVMAddGlobal(p->b->module, LLVMTypeOf(bytes), "scalars");
	LLVMSetInitializer(g, bytes);
	LLVMSetGlobalConstant(g, 1);
	LLVMSetLinkage(g, LLVMPrivateLinkage);
	LLVMSetAlignment(g, _Alignof(RtScalars));
	return g;
}

static LLVMValueRef pointers(const Plain *p, unsigned first, unsigned n)
{
	LLVMValueRef v = space(p, (n + 1) * sizeof(void *));
	for (unsigned i = 0; i < n; i++)
		LLVMBuildStore(p->b->b, LLVMGetParam(p->fn, first + i), field(p, v, i * sizeof(void *)));
	return v;
}

static void run_phase(const Plain *p, const CgPhase *phase, int32_t max_n)
{
	LLVMBuilderRef b = p->b->b;
	LLVMTypeRef type[] = {p->b->ptr, p->b->i32, p->b->ptr};
	uint32_t parts = phase->rows ? ((uint32_t)max_n + phase->rows - 1) / phase->rows : phase->parts;
	LLVMValueRef run = llvm_phase(p->b, phase->symbol);
	LLVMBasicBlockRef from = LLVMGetInsertBlock(b), loop = LLVMAppendBasicBlockInContext(p->b->ctx, p->fn, "parts");
	LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(p->b->ctx, p->fn, "done");
	LLVMBuildBr(b, loop);
	LLVMPositionBuilderAtEnd(b, loop);
	LLVMValueRef part = LLVMBuildPhi(b, p->b->i32, "part"), arg[] = {p->call, part, p->scratch};
	LLVMBuildCall2(b, LLVMFunctionType(p->b->nothing, type, 3, 0), run, arg, 3, "");
	LLVMValueRef next = LLVMBuildAdd(b, part, LLVMConstInt(p->b->i32, 1, 0), "");
	LLVMValueRef start[] = {LLVMConstInt(p->b->i32, 0, 0), next};
	LLVMAddIncoming(part, start, (LLVMBasicBlockRef[]){from, loop}, 2);
	LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntULT, next, LLVMConstInt(p->b->i32, parts, 0), ""), loop, done);
	LLVMPositionBuilderAtEnd(b, done);
}

static void plain_function(LlvmBuild *b, const char *name, const IrModule *m, const CgEntry *code)
{
	const KEntry *e = &m->program->entry[0];
	unsigned nin = (unsigned)e->graph->nport, nparams = m->state != NULL, nout = 0;
	for (int i = 0; i < e->graph->nroot; i++)
		nout += e->graph->root[i].kind == ROOT_OUTPUT;
	unsigned n = nin + nparams + nout + 1;
	LLVMTypeRef *type = NEWN(b->arena, LLVMTypeRef, n);
	for (unsigned i = 0; i < n; i++)
		type[i] = b->ptr;
	Plain p = {.b = b, .fn = LLVMAddFunction(b->module, name, LLVMFunctionType(b->nothing, type, n, 0))};
	LLVMPositionBuilderAtEnd(b->b, LLVMAppendBasicBlockInContext(b->ctx, p.fn, "entry"));
	LLVMValueRef work = LLVMGetParam(p.fn, n - 1), null = LLVMConstNull(b->ptr);
	p.call = space(&p, sizeof(RtCall));
	p.scratch = field(&p, work, (size_t)cg_plain_slab(m));
	LLVMBuildStore(b->b, scalars(&p, m->max_n), field(&p, p.call, offsetof(RtCall, s)));
	LLVMBuildStore(b->b, nparams ? LLVMGetParam(p.fn, nin) : null, field(&p, p.call, offsetof(RtCall, params)));
	LLVMBuildStore(b->b, work, field(&p, p.call, offsetof(RtCall, slab)));
	LLVMBuildStore(b->b, pointers(&p, 0, nin), field(&p, p.call, offsetof(RtCall, in)));
	LLVMBuildStore(b->b, pointers(&p, nin + nparams, nout), field(&p, p.call, offsetof(RtCall, out)));
	LLVMBuildStore(b->b, null, field(&p, p.call, offsetof(RtCall, metric)));
	LLVMBuildStore(b->b, null, field(&p, p.call, offsetof(RtCall, mark)));
	LLVMBuildStore(b->b, null, field(&p, p.call, offsetof(RtCall, mark_arg)));
	for (int i = 0; i < code->nphases; i++)
		run_phase(&p, &code->phase[i], m->max_n);
	LLVMBuildRetVoid(b->b);
}

int64_t cg_plain_slab(const IrModule *m)
{
	return (m->program->entry[0].slab_bytes + RT_ALIGN - 1) / RT_ALIGN * RT_ALIGN;
}

CgModule *cg_build_plain(const IrModule *m, const char *name, const CgOptions *o, Diag *d)
{
	INVARIANT(m->entry && !m->entry->next);
	CgModule *c = cg_new(name, o, d);
	if (!c)
		return NULL;
	const CgProgram *p = cg_program(m, o->target, c->arena);
	for (int i = 0; i < p->nfunctions; i++)
		cg_function(p, i, &c->whole->emit, c->arena);
	plain_function(&c->whole->build, name, m, p->entry);
	return c;
}

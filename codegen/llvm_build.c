/* llvm_build.c -- the emit table on the LLVM C API: functions, pointers, indices, loops
 *
 * Takes calls of emit.h and appends instructions to one module. Loops are do-while with phis, so that what is emitted is what
 * runs: no mid-level optimiser is needed after it. Does not choose anything; memory and arithmetic are in llvm_memory.c
 * and llvm_value.c.
 */
#include <stddef.h>
#include <string.h>
#include "codegen/llvm_build.h"
#include <llvm-c/DebugInfo.h>

struct LlvmFrame {
	LlvmFrame *outer;
	bool loop, once, guarded;       /* once: a single trip, no branch at all; guarded: may have no trip */
	LLVMBasicBlockRef before, body, after;
	LLVMValueRef iv, hi;
	int64_t step;
	int n;
	LLVMValueRef start[E_MAX_CARRIED], phi[E_MAX_CARRIED];
};

bool llvm_is_vector(LLVMValueRef v)
{
	return LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind;
}

LLVMTypeRef llvm_type(const LlvmBuild *b, DType t, bool vector)
{
	return vector ? b->vector[t] : b->elem[t];
}

LLVMValueRef llvm_intrinsic(LlvmBuild *b, const char *name, int ntypes, LLVMTypeRef *types, int nargs, LLVMValueRef *arg)
{
	unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
	INVARIANT(id != 0);
	LLVMValueRef f = LLVMGetIntrinsicDeclaration(b->module, id, types, (size_t)ntypes);
	return LLVMBuildCall2(b->b, LLVMGlobalGetValueType(f), f, arg, (unsigned)nargs, "");
}

/* ---- functions ---- */
static LLVMAttributeRef attribute(LlvmBuild *b, const char *name)
{
	return LLVMCreateEnumAttribute(b->ctx, LLVMGetEnumAttributeKindForName(name, strlen(name)), 0);
}

static void string_attribute(LlvmBuild *b, LLVMValueRef fn, const char *key, const char *value)
{
	LLVMAttributeRef a = LLVMCreateStringAttribute(b->ctx, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
	LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, a);
}

/* A function may be called before it is written, here or in another unit; its declaration becomes the definition. */
static LLVMValueRef find_function(LlvmBuild *b, const char **name)
{
	if (b->shared)
		*name = arena_printf(b->arena, "%s.%s", *name, b->shared);
	return LLVMGetNamedFunction(b->module, *name);
}

/* Functions of a model are seen by its units only. */
static LLVMValueRef add_function(LlvmBuild *b, const char *name, LLVMTypeRef type)
{
	LLVMValueRef fn = LLVMAddFunction(b->module, name, type);
	if (b->shared)
		LLVMSetVisibility(fn, LLVMHiddenVisibility);
	return fn;
}

static LLVMValueRef declare(LlvmBuild *b, const char *name, int nptr, int nint)
{
	LLVMValueRef fn = find_function(b, &name);
	if (fn) {
		INVARIANT(LLVMCountParams(fn) == (unsigned)(nptr + nint));
		return fn;
	}
	LLVMTypeRef *param = NEWN(b->arena, LLVMTypeRef, nptr + nint + 1);
	for (int i = 0; i < nptr + nint; i++)
		param[i] = i < nptr ? b->ptr : b->i64;
	return add_function(b, name, LLVMFunctionType(b->nothing, param, (unsigned)(nptr + nint), 0));
}

static void start_function(LlvmBuild *b, LLVMValueRef fn)
{
	INVARIANT(!b->fn && LLVMCountBasicBlocks(fn) == 0);
	b->fn = fn;
	LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, attribute(b, "nounwind"));
	if (b->tune)
		string_attribute(b, fn, "tune-cpu", b->tune);
	LLVMPositionBuilderAtEnd(b->b, LLVMAppendBasicBlockInContext(b->ctx, fn, "entry"));
}

static void set_lanes(KEmit *e, int lanes)
{
	LlvmBuild *b = lb(e);
	INVARIANT(lanes > 1 && lanes <= K_LANES && (lanes & (lanes - 1)) == 0);
	b->lanes = lanes;
	for (int t = 0; t < DT_COUNT; t++)
		b->vector[t] = LLVMVectorType(b->elem[t], (unsigned)lanes);
}

static void begin(KEmit *e, const char *name, int nptr, int nint, bool internal)
{
	LlvmBuild *b = lb(e);
	LLVMValueRef fn = declare(b, name, nptr, nint);
	set_lanes(e, K_LANES);
	for (int i = 0; i < nptr; i++) {
		LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)(i + 1), attribute(b, "noalias"));
		LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)(i + 1), attribute(b, "nonnull"));
	}
	if (internal && !b->shared)
		LLVMSetLinkage(fn, LLVMInternalLinkage);
	b->phase = false;
	start_function(b, fn);
}

LLVMValueRef llvm_phase(LlvmBuild *b, const char *name)
{
	LLVMTypeRef param[] = {b->ptr, b->i32, b->ptr};
	LLVMValueRef fn = find_function(b, &name);
	return fn ? fn : add_function(b, name, LLVMFunctionType(b->nothing, param, 3, 0));
}

static void begin_phase(KEmit *e, const char *name)
{
	LlvmBuild *b = lb(e);
	LLVMValueRef fn = llvm_phase(b, name);
	if (!b->shared)
		LLVMSetLinkage(fn, LLVMInternalLinkage);
	LLVMAddAttributeAtIndex(fn, 1, attribute(b, "nonnull"));
	start_function(b, fn);
	b->phase = true;
	b->part = LLVMBuildZExt(b->b, LLVMGetParam(fn, 1), b->i64, "part");
}

static void seldom(KEmit *e)
{
	LlvmBuild *b = lb(e);
	LLVMAddAttributeAtIndex(b->fn, LLVMAttributeFunctionIndex, attribute(b, "optnone"));
	LLVMAddAttributeAtIndex(b->fn, LLVMAttributeFunctionIndex, attribute(b, "noinline")); /* optnone asks for it */
}

static EVal phase_call(KEmit *e)
{
	INVARIANT(lb(e)->phase);
	return LLVMGetParam(lb(e)->fn, 0);
}

static EVal phase_part(KEmit *e)
{
	INVARIANT(lb(e)->phase);
	return lb(e)->part;
}

static EVal phase_scratch(KEmit *e)
{
	INVARIANT(lb(e)->phase);
	return LLVMGetParam(lb(e)->fn, 2);
}

static EVal ptr_arg(KEmit *e, int i)
{
	LLVMValueRef v = LLVMGetParam(lb(e)->fn, (unsigned)i);
	INVARIANT(LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMPointerTypeKind);
	return v;
}

static EVal int_arg(KEmit *e, int i)
{
	LlvmBuild *b = lb(e);
	unsigned p = 0, n = LLVMCountParams(b->fn);
	while (p < n && LLVMGetTypeKind(LLVMTypeOf(LLVMGetParam(b->fn, p))) == LLVMPointerTypeKind)
		p++;
	INVARIANT(p + (unsigned)i < n);
	return LLVMGetParam(b->fn, p + (unsigned)i);
}

static void end(KEmit *e)
{
	LlvmBuild *b = lb(e);
	INVARIANT(b->fn && !b->frame);
	LLVMBuildRetVoid(b->b);
	b->fn = NULL;
}

static void call(KEmit *e, const char *name, int nptr, EVal const *ptr, int nint, EVal const *i64)
{
	LlvmBuild *b = lb(e);
	LLVMValueRef fn = declare(b, name, nptr, nint);
	LLVMValueRef *arg = NEWN(b->arena, LLVMValueRef, nptr + nint + 1);
	for (int i = 0; i < nptr + nint; i++)
		arg[i] = (LLVMValueRef)(i < nptr ? ptr[i] : i64[i - nptr]);
	LLVMBuildCall2(b->b, LLVMGlobalGetValueType(fn), fn, arg, (unsigned)(nptr + nint), "");
}

/* ---- pointers ---- */
static EVal ptr_add(KEmit *e, EVal ptr, EVal bytes)
{
	LLVMValueRef i = bytes;
	int64_t zero;
	if (e->is_i64(e, bytes, &zero) && zero == 0)
		return ptr;
	return LLVMBuildInBoundsGEP2(lb(e)->b, lb(e)->i8, (LLVMValueRef)ptr, &i, 1, "");
}

static EVal ptr_load(KEmit *e, EVal ptr, int64_t byte_offset)
{
	LlvmBuild *b = lb(e);
	LLVMValueRef load = LLVMBuildLoad2(b->b, b->ptr, ptr_add(e, ptr, e->i64(e, byte_offset)), "");
	LLVMSetMetadata(load, LLVMGetMDKindIDInContext(b->ctx, "invariant.load", 14),
	                LLVMMetadataAsValue(b->ctx, LLVMMDNodeInContext2(b->ctx, NULL, 0)));
	return load;
}

/* ---- indices ---- */
static EVal i64_of(KEmit *e, int64_t v)
{
	return LLVMConstInt(lb(e)->i64, (unsigned long long)v, 1);
}

static bool is_i64(KEmit *e, EVal v, int64_t *out)
{
	(void)e;
	LLVMValueRef c = LLVMIsAConstantInt((LLVMValueRef)v);
	if (c)
		*out = LLVMConstIntGetSExtValue(c);
	return c != NULL;
}

static bool is_const(KEmit *e, EVal v, int64_t want)
{
	int64_t got;
	return is_i64(e, v, &got) && got == want;
}

static EVal iadd(KEmit *e, EVal a, EVal b)
{
	if (is_const(e, a, 0))
		return b;
	if (is_const(e, b, 0))
		return a;
	return LLVMBuildNSWAdd(lb(e)->b, a, b, "");
}

static EVal isub(KEmit *e, EVal a, EVal b)
{
	return is_const(e, b, 0) ? a : LLVMBuildNSWSub(lb(e)->b, a, b, "");
}

static EVal imul(KEmit *e, EVal a, EVal b)
{
	if (is_const(e, a, 1) || is_const(e, b, 0))
		return b;
	if (is_const(e, b, 1) || is_const(e, a, 0))
		return a;
	return LLVMBuildNSWMul(lb(e)->b, a, b, "");
}

static EVal idiv(KEmit *e, EVal a, EVal b)
{
	return is_const(e, b, 1) ? a : LLVMBuildUDiv(lb(e)->b, a, b, "");
}

static LLVMIntPredicate signed_predicate(ECmp c)
{
	static const LLVMIntPredicate p[] = {LLVMIntSLT, LLVMIntSLE, LLVMIntEQ, LLVMIntNE, LLVMIntSGT, LLVMIntSGE};
	return p[c];
}

static EVal icmp(KEmit *e, ECmp c, EVal a, EVal b)
{
	return LLVMBuildICmp(lb(e)->b, signed_predicate(c), a, b, "");
}

static EVal iselect(KEmit *e, EVal cond, EVal a, EVal b)
{
	return LLVMBuildSelect(lb(e)->b, cond, a, b, "");
}

static EVal imin(KEmit *e, EVal a, EVal b)
{
	return iselect(e, icmp(e, E_LT, a, b), a, b);
}

static EVal imax(KEmit *e, EVal a, EVal b)
{
	return iselect(e, icmp(e, E_GT, a, b), a, b);
}

/* i32 and u32 are one LLVM type: both are taken as signed, since an index never reaches 2^31. */
static EVal to_i64(KEmit *e, EVal scalar)
{
	LlvmBuild *b = lb(e);
	LLVMTypeRef t = LLVMTypeOf((LLVMValueRef)scalar);
	if (t == b->i64)
		return scalar;
	return t == b->i32 ? LLVMBuildSExt(b->b, scalar, b->i64, "") : LLVMBuildZExt(b->b, scalar, b->i64, "");
}

static EVal from_i64(KEmit *e, EVal i, DType to)
{
	LlvmBuild *b = lb(e);
	if (to == DT_F32 || to == DT_F64)
		return LLVMBuildSIToFP(b->b, i, b->elem[to], "");
	INVARIANT(to == DT_I32 || to == DT_U32);
	return LLVMBuildTrunc(b->b, i, b->i32, "");
}

/* ---- control ---- */
static LLVMBasicBlockRef new_block(LlvmBuild *b, const char *name)
{
	return LLVMAppendBasicBlockInContext(b->ctx, b->fn, name);
}

static LlvmFrame *push(LlvmBuild *b)
{
	LlvmFrame *f = NEW(b->arena, LlvmFrame);
	f->outer = b->frame;
	return b->frame = f;
}

static EVal loop_begin(KEmit *e, EVal lo, EVal hi, int64_t step, bool maybe_empty, int ncarried, EVal *carried)
{
	LlvmBuild *b = lb(e);
	LlvmFrame *f = push(b);
	int64_t first, last;
	bool known = is_i64(e, lo, &first) && is_i64(e, hi, &last);
	INVARIANT(step > 0 && ncarried <= E_MAX_CARRIED);
	f->loop = true;
	f->once = known && first < last && last - first <= step;
	f->guarded = maybe_empty && !(known && first < last);
	f->hi = hi;
	f->step = step;
	f->n = ncarried;
	if (f->once)
		return lo;
	f->before = LLVMGetInsertBlock(b->b);
	f->body = new_block(b, "loop");
	f->after = new_block(b, "done");
	if (f->guarded)
		LLVMBuildCondBr(b->b, icmp(e, E_LT, lo, hi), f->body, f->after);
	else
		LLVMBuildBr(b->b, f->body);
	LLVMPositionBuilderAtEnd(b->b, f->body);
	LLVMValueRef start = lo;
	f->iv = LLVMBuildPhi(b->b, b->i64, "i");
	LLVMAddIncoming(f->iv, &start, &f->before, 1);
	for (int i = 0; i < ncarried; i++) {
		f->start[i] = carried[i];
		f->phi[i] = LLVMBuildPhi(b->b, LLVMTypeOf(f->start[i]), "");
		LLVMAddIncoming(f->phi[i], &f->start[i], &f->before, 1);
		carried[i] = f->phi[i];
	}
	return f->iv;
}

/* !0 = distinct !{!0, !unroll_disable}: what was unrolled on purpose is unrolled already. */
static void mark_loop(LlvmBuild *b, LLVMValueRef branch)
{
	LLVMMetadataRef self = LLVMTemporaryMDNode(b->ctx, NULL, 0);
	LLVMMetadataRef op[] = {self, b->unroll_disable};
	LLVMMetadataRef node = LLVMMDNodeInContext2(b->ctx, op, 2);
	LLVMMetadataReplaceAllUsesWith(self, node);
	LLVMSetMetadata(branch, LLVMGetMDKindIDInContext(b->ctx, "llvm.loop", 9), LLVMMetadataAsValue(b->ctx, node));
}

static void loop_end(KEmit *e, int ncarried, EVal *carried)
{
	LlvmBuild *b = lb(e);
	LlvmFrame *f = b->frame;
	INVARIANT(f && f->loop && f->n == ncarried);
	b->frame = f->outer;
	if (f->once)
		return;
	LLVMBasicBlockRef latch = LLVMGetInsertBlock(b->b);
	LLVMValueRef next = LLVMBuildNSWAdd(b->b, f->iv, (LLVMValueRef)i64_of(e, f->step), "");
	LLVMAddIncoming(f->iv, &next, &latch, 1);
	mark_loop(b, LLVMBuildCondBr(b->b, icmp(e, E_LT, next, f->hi), f->body, f->after));
	LLVMMoveBasicBlockAfter(f->after, latch);
	LLVMPositionBuilderAtEnd(b->b, f->after);
	for (int i = 0; i < ncarried; i++) {
		LLVMValueRef v = carried[i];
		LLVMAddIncoming(f->phi[i], &v, &latch, 1);
		if (!f->guarded)
			continue;
		LLVMValueRef out = LLVMBuildPhi(b->b, LLVMTypeOf(v), "");
		LLVMValueRef from[] = {f->start[i], v};
		LLVMBasicBlockRef block[] = {f->before, latch};
		LLVMAddIncoming(out, from, block, 2);
		carried[i] = out;
	}
}

static void if_begin(KEmit *e, EVal cond)
{
	LlvmBuild *b = lb(e);
	LlvmFrame *f = push(b);
	f->body = new_block(b, "then");
	f->after = new_block(b, "endif");
	LLVMBuildCondBr(b->b, cond, f->body, f->after);
	LLVMPositionBuilderAtEnd(b->b, f->body);
}

static void if_end(KEmit *e)
{
	LlvmBuild *b = lb(e);
	LlvmFrame *f = b->frame;
	INVARIANT(f && !f->loop);
	b->frame = f->outer;
	LLVMBuildBr(b->b, f->after);
	LLVMMoveBasicBlockAfter(f->after, LLVMGetInsertBlock(b->b));
	LLVMPositionBuilderAtEnd(b->b, f->after);
}

/* `end` goes as a word: C passes a bool in the low byte of the same register. */
static void mark(KEmit *e, EVal call_ptr, int kernel, bool at_end)
{
	LlvmBuild *b = lb(e);
	LLVMTypeRef param[] = {b->ptr, b->i32, b->i32};
	LLVMValueRef fn = ptr_load(e, call_ptr, offsetof(RtCall, mark));
	if_begin(e, LLVMBuildICmp(b->b, LLVMIntNE, fn, LLVMConstNull(b->ptr), ""));
	LLVMValueRef arg[] = {ptr_load(e, call_ptr, offsetof(RtCall, mark_arg)), LLVMConstInt(b->i32, (unsigned)kernel, 0),
	                      LLVMConstInt(b->i32, at_end, 0)};
	LLVMBuildCall2(b->b, LLVMFunctionType(b->nothing, param, 3, 0), fn, arg, 3, "");
	if_end(e);
}

/* ---- the table ---- */
static void make_types(LlvmBuild *b)
{
	b->nothing = LLVMVoidTypeInContext(b->ctx);
	b->ptr = LLVMPointerTypeInContext(b->ctx, 0);
	b->i8 = LLVMInt8TypeInContext(b->ctx);
	b->i32 = LLVMInt32TypeInContext(b->ctx);
	b->i64 = LLVMInt64TypeInContext(b->ctx);
	b->elem[DT_F32] = LLVMFloatTypeInContext(b->ctx);
	b->elem[DT_F64] = LLVMDoubleTypeInContext(b->ctx);
	b->elem[DT_I32] = b->elem[DT_U32] = b->i32;
	b->elem[DT_U8] = b->i8;
	b->elem[DT_BOOL] = LLVMInt1TypeInContext(b->ctx);
	b->elem[DT_BF16] = LLVMInt16TypeInContext(b->ctx); /* bits: LLVM's own casts call functions where no instruction is */
	for (int t = 0; t < DT_COUNT; t++)
		b->memory[t] = t == DT_BOOL ? b->i8 : b->elem[t];
	LLVMMetadataRef text = LLVMMDStringInContext2(b->ctx, "llvm.loop.unroll.disable", 24);
	b->unroll_disable = LLVMMDNodeInContext2(b->ctx, &text, 1);
}

void llvm_build_init(LlvmUnit *u, const LlvmTarget *t, const char *shared)
{
	KEmit *e = &u->emit;
	LlvmBuild *b = &u->build;
	*b = (LlvmBuild){.arena = u->arena, .ctx = u->ctx, .module = u->module, .compresses = t->compresses, .bf16 = t->bf16,
	                 .tune = t->tune, .shared = shared};
	b->b = LLVMCreateBuilderInContext(b->ctx);
	make_types(b);
	*e = (KEmit){
		.begin = begin, .ptr_arg = ptr_arg, .int_arg = int_arg, .end = end, .call = call,
		.begin_phase = begin_phase, .phase_call = phase_call, .phase_part = phase_part,
		.phase_scratch = phase_scratch, .seldom = seldom, .mark = mark, .ptr_add = ptr_add, .ptr_load = ptr_load,
		.i64 = i64_of, .is_i64 = is_i64, .iadd = iadd, .isub = isub, .imul = imul, .idiv = idiv, .imin = imin,
		.imax = imax, .icmp = icmp, .iselect = iselect, .to_i64 = to_i64, .from_i64 = from_i64,
		.loop_begin = loop_begin, .loop_end = loop_end, .if_begin = if_begin, .if_end = if_end, .set_lanes = set_lanes,
		.cx = b,
	};
	llvm_memory_rows(e);
	llvm_value_rows(e);
}

void llvm_build_free(LlvmBuild *b)
{
	if (b->b)
		LLVMDisposeBuilder(b->b);
	b->b = NULL;
}

/* llvm_memory.c -- the emit table on the LLVM C API: loads, stores, gathers
 *
 * An address is base, plus an i64 element index in one inbounds step, plus a constant in a second one, which x86 folds into
 * the displacement. A vector with fewer `active` lanes than it has touches only its first `active` elements. Bools are one byte, 0 or 1.
 */
#include "codegen/llvm_build.h"

static LLVMValueRef step(LlvmBuild *b, LLVMTypeRef elem, LLVMValueRef base, LLVMValueRef index)
{
	if (LLVMIsAConstantInt(index) && LLVMConstIntGetSExtValue(index) == 0)
		return base;
	return LLVMBuildInBoundsGEP2(b->b, elem, base, &index, 1, "");
}

static LLVMValueRef address(LlvmBuild *b, DType t, LLVMValueRef base, LLVMValueRef at, int64_t off)
{
	if (LLVMIsAConstantInt(at)) {
		off += LLVMConstIntGetSExtValue(at);
		at = LLVMConstInt(b->i64, 0, 0);
	}
	LLVMValueRef p = step(b, b->memory[t], base, at);
	return step(b, b->memory[t], p, LLVMConstInt(b->i64, (unsigned long long)off, 1));
}

static LLVMTypeRef memory_vector(LlvmBuild *b, DType t)
{
	return LLVMVectorType(b->memory[t], (unsigned)b->lanes);
}

static LLVMValueRef lane_mask(LlvmBuild *b, int active)
{
	LLVMValueRef bit[K_LANES];
	for (int i = 0; i < b->lanes; i++)
		bit[i] = LLVMConstInt(b->elem[DT_BOOL], i < active, 0);
	return LLVMConstVector(bit, (unsigned)b->lanes);
}

/* memory form to value form and back */
static LLVMValueRef from_memory(LlvmBuild *b, DType t, LLVMValueRef v)
{
	if (t != DT_BOOL)
		return v;
	return LLVMBuildICmp(b->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
}

static LLVMValueRef to_memory(LlvmBuild *b, DType t, LLVMValueRef v)
{
	if (t != DT_BOOL)
		return v;
	return LLVMBuildZExt(b->b, v, llvm_is_vector(v) ? memory_vector(b, t) : b->i8, "");
}

static LLVMValueRef align_value(LlvmBuild *b, DType t)
{
	return LLVMConstInt(b->i32, (unsigned long long)dtype_size(t), 0);
}

static EVal load(KEmit *e, DType t, EVal base, EVal at, int64_t off)
{
	LlvmBuild *b = lb(e);
	LLVMValueRef v = LLVMBuildLoad2(b->b, b->memory[t], address(b, t, base, at, off), "");
	LLVMSetAlignment(v, (unsigned)dtype_size(t));
	return from_memory(b, t, v);
}

static EVal load_pair(KEmit *e, EVal base, EVal at, int64_t off)
{
	LlvmBuild *b = lb(e);
	LLVMValueRef v = LLVMBuildLoad2(b->b, b->memory[DT_U32], address(b, DT_BF16, base, at, off), "");
	LLVMSetAlignment(v, (unsigned)dtype_size(DT_BF16));
	return from_memory(b, DT_U32, v);
}

static void store(KEmit *e, DType t, EVal v, EVal base, EVal at, int64_t off)
{
	LlvmBuild *b = lb(e);
	LLVMValueRef s = LLVMBuildStore(b->b, to_memory(b, t, v), address(b, t, base, at, off));
	LLVMSetAlignment(s, (unsigned)dtype_size(t));
}

static EVal load_vec(KEmit *e, DType t, EVal base, EVal at, int64_t off, int active)
{
	LlvmBuild *b = lb(e);
	LLVMTypeRef type = memory_vector(b, t);
	LLVMValueRef p = address(b, t, base, at, off);
	INVARIANT(active > 0 && active <= b->lanes);
	if (active == b->lanes) {
		LLVMValueRef v = LLVMBuildLoad2(b->b, type, p, "");
		LLVMSetAlignment(v, (unsigned)dtype_size(t));
		return from_memory(b, t, v);
	}
	LLVMTypeRef over[] = {type, b->ptr};
	LLVMValueRef arg[] = {p, align_value(b, t), lane_mask(b, active), LLVMConstNull(type)};
	return from_memory(b, t, llvm_intrinsic(b, "llvm.masked.load", 2, over, 4, arg));
}

static void store_vec(KEmit *e, DType t, EVal v, EVal base, EVal at, int64_t off, int active)
{
	LlvmBuild *b = lb(e);
	LLVMValueRef value = to_memory(b, t, v), p = address(b, t, base, at, off);
	INVARIANT(active > 0 && active <= b->lanes);
	if (active == b->lanes) {
		LLVMSetAlignment(LLVMBuildStore(b->b, value, p), (unsigned)dtype_size(t));
		return;
	}
	LLVMTypeRef over[] = {memory_vector(b, t), b->ptr};
	LLVMValueRef arg[] = {value, p, align_value(b, t), lane_mask(b, active)};
	llvm_intrinsic(b, "llvm.masked.store", 2, over, 4, arg);
}

/* Scalar base and an i32 index vector: the form that becomes one gather instruction where there is one. */
static LLVMValueRef lane_address(LlvmBuild *b, DType t, LLVMValueRef base, LLVMValueRef index, int64_t off)
{
	LLVMValueRef p = address(b, t, base, LLVMConstInt(b->i64, 0, 0), off);
	return LLVMBuildInBoundsGEP2(b->b, b->memory[t], p, &index, 1, "");
}

static EVal gather(KEmit *e, DType t, EVal base, EVal lane_index, int64_t off, int active)
{
	LlvmBuild *b = lb(e);
	LLVMTypeRef type = memory_vector(b, t);
	LLVMTypeRef over[] = {type, LLVMVectorType(b->ptr, (unsigned)b->lanes)};
	LLVMValueRef arg[] = {lane_address(b, t, base, lane_index, off), align_value(b, t), lane_mask(b, active),
	                      LLVMConstNull(type)};
	return from_memory(b, t, llvm_intrinsic(b, "llvm.masked.gather", 2, over, 4, arg));
}

static void scatter(KEmit *e, DType t, EVal v, EVal base, EVal lane_index, int64_t off, int active)
{
	LlvmBuild *b = lb(e);
	LLVMTypeRef over[] = {memory_vector(b, t), LLVMVectorType(b->ptr, (unsigned)b->lanes)};
	LLVMValueRef arg[] = {to_memory(b, t, v), lane_address(b, t, base, lane_index, off), align_value(b, t),
	                      lane_mask(b, active)};
	llvm_intrinsic(b, "llvm.masked.scatter", 2, over, 4, arg);
}

static void prefetch(KEmit *e, EVal base, EVal at, int64_t off, DType t, bool write, bool near)
{
	enum { FIRST_LEVEL = 3, SECOND_LEVEL = 2, DATA = 1 };
	LlvmBuild *b = lb(e);
	LLVMValueRef far = LLVMConstInt(b->i64, (unsigned long long)off, 1);
	LLVMValueRef index = at, p = LLVMBuildGEP2(b->b, b->memory[t], base, &index, 1, "");
	LLVMValueRef arg[] = {LLVMBuildGEP2(b->b, b->memory[t], p, &far, 1, ""), LLVMConstInt(b->i32, write, 0),
	                      LLVMConstInt(b->i32, near ? FIRST_LEVEL : SECOND_LEVEL, 0), LLVMConstInt(b->i32, DATA, 0)};
	llvm_intrinsic(b, "llvm.prefetch", 1, &b->ptr, 4, arg);
}

/* cond as an integer of one bit a lane. */
static LLVMValueRef lane_bits(LlvmBuild *b, LLVMValueRef cond)
{
	return LLVMBuildBitCast(b->b, cond, LLVMIntTypeInContext(b->ctx, LLVMGetVectorSize(LLVMTypeOf(cond))), "");
}

static EVal count(KEmit *e, EVal cond)
{
	LlvmBuild *b = lb(e);
	if (!llvm_is_vector(cond))
		return LLVMBuildZExt(b->b, cond, b->i64, "");
	LLVMValueRef bits = LLVMBuildZExt(b->b, lane_bits(b, cond), b->i32, "");
	return LLVMBuildZExt(b->b, llvm_intrinsic(b, "llvm.ctpop", 1, &b->i32, 1, &bits), b->i64, "");
}

/* Each lane is stored where the next one goes that holds: without a branch, and without an instruction for it. */
static void push_by_lane(LlvmBuild *b, DType t, LLVMValueRef v, LLVMValueRef cond, LLVMValueRef base, LLVMValueRef at)
{
	LLVMValueRef bits = LLVMBuildZExt(b->b, lane_bits(b, cond), b->i64, ""), one = LLVMConstInt(b->i64, 1, 0);
	for (unsigned i = 0; i < LLVMGetVectorSize(LLVMTypeOf(v)); i++) {
		LLVMValueRef lane = LLVMBuildExtractElement(b->b, v, LLVMConstInt(b->i64, i, 0), "");
		LLVMSetAlignment(LLVMBuildStore(b->b, lane, address(b, t, base, at, 0)), (unsigned)dtype_size(t));
		LLVMValueRef bit = LLVMBuildLShr(b->b, bits, LLVMConstInt(b->i64, i, 0), "");
		at = LLVMBuildAdd(b->b, at, LLVMBuildAnd(b->b, bit, one, ""), "");
	}
}

/* AVX-512 packs in a register; its form that packs into memory is microcode on some machines. */
static void push_vec(KEmit *e, DType t, EVal v, EVal cond, EVal base, EVal at)
{
	LlvmBuild *b = lb(e);
	INVARIANT(dtype_size(t) == 4);
	if (!b->compresses || LLVMGetVectorSize(LLVMTypeOf(v)) < 4) {
		push_by_lane(b, t, v, cond, base, at);
		return;
	}
	LLVMTypeRef type = LLVMTypeOf(v);
	LLVMValueRef arg[] = {v, LLVMConstNull(type), cond};
	LLVMValueRef packed = llvm_intrinsic(b, "llvm.x86.avx512.mask.compress", 1, &type, 3, arg);
	LLVMSetAlignment(LLVMBuildStore(b->b, packed, address(b, t, base, at, 0)), (unsigned)dtype_size(t));
}

void llvm_memory_rows(KEmit *e)
{
	e->load = load;
	e->load_pair = load_pair;
	e->load_vec = load_vec;
	e->gather = gather;
	e->store = store;
	e->store_vec = store_vec;
	e->scatter = scatter;
	e->prefetch = prefetch;
	e->push_vec = push_vec;
	e->count = count;
}

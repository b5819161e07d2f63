/* llvm_value.c -- the emit table on the LLVM C API: arithmetic on scalars and vectors
 *
 * Each row of ewise.def here is one or a few instructions with exactly its meaning, NaN and signed zero included; no
 * fast-math flag is ever set. A vector is one LLVM vector of as many lanes on every target: LLVM splits it where registers
 * are narrower, so that results do not depend on the target.
 */
#include <string.h>
#include "codegen/llvm_build.h"

static bool is_float(DType t)
{
	return t == DT_F32 || t == DT_F64;
}

static bool is_unsigned(DType t)
{
	return t == DT_U32 || t == DT_U8 || t == DT_BOOL;
}

static LLVMValueRef zero_like(LLVMValueRef v)
{
	return LLVMConstNull(LLVMTypeOf(v));
}

static int lanes_of(LLVMValueRef v)
{
	return llvm_is_vector(v) ? (int)LLVMGetVectorSize(LLVMTypeOf(v)) : 1;
}

LLVMValueRef llvm_splat(LlvmBuild *b, LLVMValueRef scalar)
{
	const unsigned lanes = (unsigned)b->lanes;
	LLVMTypeRef t = LLVMVectorType(LLVMTypeOf(scalar), lanes);
	if (LLVMIsConstant(scalar)) {
		LLVMValueRef lane[K_LANES];
		for (unsigned i = 0; i < lanes; i++)
			lane[i] = scalar;
		return LLVMConstVector(lane, lanes);
	}
	LLVMValueRef one = LLVMBuildInsertElement(b->b, LLVMGetPoison(t), scalar, LLVMConstInt(b->i64, 0, 0), "");
	return LLVMBuildShuffleVector(b->b, one, LLVMGetPoison(t), LLVMConstNull(LLVMVectorType(b->i32, lanes)), "");
}

/* v is a bf16 already, as the interpreter rounds. */
static unsigned bf16_bits(double v)
{
	float f = (float)v;
	uint32_t u;
	memcpy(&u, &f, sizeof(u));
	return u >> 16;
}

static LLVMValueRef constant(LlvmBuild *b, DType t, double v)
{
	if (is_float(t))
		return LLVMConstReal(b->elem[t], v);
	if (t == DT_BF16)
		return LLVMConstInt(b->elem[t], bf16_bits(v), 0);
	return LLVMConstInt(b->elem[t], (unsigned long long)(int64_t)v, 1);
}

static LLVMValueRef constant_like(LlvmBuild *b, DType t, double v, LLVMValueRef like)
{
	LLVMValueRef c = constant(b, t, v);
	return llvm_is_vector(like) ? llvm_splat(b, c) : c;
}

static EVal konst(KEmit *e, DType t, double v, int lanes)
{
	LLVMValueRef c = constant(lb(e), t, v);
	return lanes == 1 ? c : llvm_splat(lb(e), c);
}

static LLVMValueRef shuffled(LlvmBuild *b, LLVMValueRef x, LLVMValueRef y, const uint8_t lane[K_LANES])
{
	LLVMValueRef index[K_LANES];
	for (int i = 0; i < K_LANES; i++)
		index[i] = LLVMConstInt(b->i32, lane[i], 0);
	return LLVMBuildShuffleVector(b->b, x, y, LLVMConstVector(index, K_LANES), "");
}

/* Squares of 4x4 in every quarter of the vectors, by the interleaving instructions that x86 has; then quarters change places.
 * Lane K_LANES + i of a pair is lane i of its second vector. */
static void transpose(KEmit *e, EVal v[K_LANES])
{
	static const uint8_t low[] = {0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29},
	                     high[] = {2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31},
	                     low2[] = {0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29},
	                     high2[] = {2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31},
	                     even[] = {0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27},
	                     odd[] = {4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31};
	LlvmBuild *b = lb(e);
	LLVMValueRef t[K_LANES], u[K_LANES];
	_Static_assert(K_LANES == 16, "four quarters of four lanes");
	for (int i = 0; i < K_LANES; i += 2) {
		t[i] = shuffled(b, v[i], v[i + 1], low);
		t[i + 1] = shuffled(b, v[i], v[i + 1], high);
	}
	for (int i = 0; i < K_LANES; i += 4) {
		u[i] = shuffled(b, t[i], t[i + 2], low2);
		u[i + 1] = shuffled(b, t[i], t[i + 2], high2);
		u[i + 2] = shuffled(b, t[i + 1], t[i + 3], low2);
		u[i + 3] = shuffled(b, t[i + 1], t[i + 3], high2);
	}
	for (int i = 0; i < 4; i++) {
		LLVMValueRef even_up = shuffled(b, u[i], u[4 + i], even), odd_up = shuffled(b, u[i], u[4 + i], odd);
		LLVMValueRef even_down = shuffled(b, u[8 + i], u[12 + i], even), odd_down = shuffled(b, u[8 + i], u[12 + i], odd);
		v[i] = shuffled(b, even_up, even_down, even);
		v[4 + i] = shuffled(b, odd_up, odd_down, even);
		v[8 + i] = shuffled(b, even_up, even_down, odd);
		v[12 + i] = shuffled(b, odd_up, odd_down, odd);
	}
}

static EVal splat(KEmit *e, EVal scalar)
{
	return llvm_splat(lb(e), scalar);
}

static EVal lanes(KEmit *e, DType t)
{
	LLVMValueRef lane[K_LANES];
	for (int i = 0; i < lb(e)->lanes; i++)
		lane[i] = constant(lb(e), t, i);
	return LLVMConstVector(lane, (unsigned)lb(e)->lanes);
}

static EVal extract(KEmit *e, EVal v, int lane)
{
	return LLVMBuildExtractElement(lb(e)->b, v, LLVMConstInt(lb(e)->i64, (unsigned)lane, 0), "");
}

static EVal insert(KEmit *e, EVal v, EVal scalar, int lane)
{
	return LLVMBuildInsertElement(lb(e)->b, v, scalar, LLVMConstInt(lb(e)->i64, (unsigned)lane, 0), "");
}

static int width(KEmit *e, EVal v)
{
	(void)e;
	return lanes_of(v);
}

/* ---- comparing and choosing ---- */
static LLVMValueRef compare(LlvmBuild *b, ECmp c, DType t, LLVMValueRef x, LLVMValueRef y)
{
	static const LLVMRealPredicate real[] = {LLVMRealOLT, LLVMRealOLE, LLVMRealOEQ, LLVMRealUNE, LLVMRealOGT,
	                                         LLVMRealOGE};
	static const LLVMIntPredicate sign[] = {LLVMIntSLT, LLVMIntSLE, LLVMIntEQ, LLVMIntNE, LLVMIntSGT, LLVMIntSGE};
	static const LLVMIntPredicate plain[] = {LLVMIntULT, LLVMIntULE, LLVMIntEQ, LLVMIntNE, LLVMIntUGT, LLVMIntUGE};
	if (is_float(t))
		return LLVMBuildFCmp(b->b, real[c], x, y, "");
	return LLVMBuildICmp(b->b, is_unsigned(t) ? plain[c] : sign[c], x, y, "");
}

static EVal cmp(KEmit *e, ECmp c, DType t, EVal x, EVal y)
{
	return compare(lb(e), c, t, x, y);
}

/* x != 0, for a value of any dtype */
static LLVMValueRef truth(LlvmBuild *b, LLVMValueRef x)
{
	LLVMTypeRef t = LLVMTypeOf(x), elem = llvm_is_vector(x) ? LLVMGetElementType(t) : t;
	if (elem == b->elem[DT_BOOL])
		return x;
	bool real = elem == b->elem[DT_F32] || elem == b->elem[DT_F64];
	return compare(b, E_NE, real ? DT_F64 : DT_I32, x, zero_like(x));
}

static LLVMValueRef choose(LlvmBuild *b, LLVMValueRef c, LLVMValueRef x, LLVMValueRef y)
{
	return LLVMBuildSelect(b->b, c, x, y, "");
}

/* a < b ? b : a, which x86 has as one instruction: a NaN in a passes, one in b does not. */
static LLVMValueRef maximum(LlvmBuild *b, DType t, LLVMValueRef x, LLVMValueRef y)
{
	return choose(b, compare(b, E_LT, t, x, y), y, x);
}

static LLVMValueRef sign_of(LlvmBuild *b, DType t, LLVMValueRef x)
{
	LLVMValueRef zero = zero_like(x), up = constant_like(b, t, 1, x);
	LLVMValueRef low = is_unsigned(t) ? zero : constant_like(b, t, -1, x);
	return choose(b, compare(b, E_GT, t, x, zero), up, choose(b, compare(b, E_LT, t, x, zero), low, zero));
}

/* ---- casts ---- */
static LLVMValueRef saturate(LlvmBuild *b, LLVMValueRef v, DType to)
{
	LLVMTypeRef over[] = {llvm_type(b, to, llvm_is_vector(v)), LLVMTypeOf(v)};
	return llvm_intrinsic(b, is_unsigned(to) ? "llvm.fptoui.sat" : "llvm.fptosi.sat", 2, over, 1, &v);
}

static LLVMValueRef bits_of(LlvmBuild *b, LLVMValueRef v, DType as)
{
	return LLVMBuildBitCast(b->b, v, llvm_type(b, as, llvm_is_vector(v)), "");
}

static LLVMValueRef widen_bf16(LlvmBuild *b, LLVMValueRef v)
{
	LLVMValueRef wide = LLVMBuildZExt(b->b, v, llvm_type(b, DT_U32, llvm_is_vector(v)), "");
	return bits_of(b, LLVMBuildShl(b->b, wide, constant_like(b, DT_U32, 16, wide), ""), DT_F32);
}

/* To nearest, ties to even, as the interpreter has it; a NaN stays one. The instruction takes numbers below 2^-126 for 0. */
static LLVMValueRef narrow_bf16(LlvmBuild *b, LLVMValueRef v)
{
	bool vector = llvm_is_vector(v);
	if (b->bf16 && lanes_of(v) >= 8) {
		const char *name = lanes_of(v) == 8 ? "llvm.x86.avx512bf16.cvtneps2bf16.256" : "llvm.x86.avx512bf16.cvtneps2bf16.512";
		return bits_of(b, llvm_intrinsic(b, name, 0, NULL, 1, &v), DT_BF16);
	}
	LLVMValueRef u = bits_of(b, v, DT_U32), half = constant_like(b, DT_U32, 16, u);
	LLVMValueRef odd = LLVMBuildAnd(b->b, LLVMBuildLShr(b->b, u, half, ""), constant_like(b, DT_U32, 1, u), "");
	LLVMValueRef up = LLVMBuildAdd(b->b, LLVMBuildAdd(b->b, u, constant_like(b, DT_U32, 0x7fff, u), ""), odd, "");
	LLVMValueRef quiet = LLVMBuildOr(b->b, u, constant_like(b, DT_U32, 0x400000, u), "");
	up = choose(b, compare(b, E_NE, DT_F32, v, v), quiet, up);
	return LLVMBuildTrunc(b->b, LLVMBuildLShr(b->b, up, half, ""), llvm_type(b, DT_BF16, vector), "");
}

static LLVMValueRef convert(LlvmBuild *b, LLVMValueRef v, DType from, DType to)
{
	LLVMTypeRef type = llvm_type(b, to, llvm_is_vector(v));
	if (from == to)
		return v;
	if (to == DT_BOOL)
		return truth(b, v);
	if (from == DT_BF16)
		return convert(b, widen_bf16(b, v), DT_F32, to);
	if (to == DT_BF16)
		return narrow_bf16(b, convert(b, v, from, DT_F32));
	if (is_float(from) && is_float(to))
		return to == DT_F64 ? LLVMBuildFPExt(b->b, v, type, "") : LLVMBuildFPTrunc(b->b, v, type, "");
	if (is_float(from))
		return saturate(b, v, to);
	if (is_float(to))
		return is_unsigned(from) ? LLVMBuildUIToFP(b->b, v, type, "") : LLVMBuildSIToFP(b->b, v, type, "");
	if (dtype_size(from) > dtype_size(to))
		return LLVMBuildTrunc(b->b, v, type, "");
	return LLVMTypeOf(v) == type ? v : LLVMBuildZExt(b->b, v, type, ""); /* only unsigned types widen */
}

static EVal cast(KEmit *e, EVal v, DType from, DType to)
{
	return convert(lb(e), v, from, to);
}

static EVal bitcast(KEmit *e, EVal v, DType from, DType to)
{
	INVARIANT(dtype_size(from) == dtype_size(to));
	return LLVMBuildBitCast(lb(e)->b, v, llvm_type(lb(e), to, llvm_is_vector(v)), "");
}

/* ---- pairs of bf16 ---- */
static EVal pair(KEmit *e, EVal first, EVal second)
{
	LlvmBuild *b = lb(e);
	LLVMTypeRef word = llvm_type(b, DT_U32, llvm_is_vector(first));
	LLVMValueRef lo = LLVMBuildZExt(b->b, first, word, ""), hi = LLVMBuildZExt(b->b, second, word, "");
	return LLVMBuildOr(b->b, lo, LLVMBuildShl(b->b, hi, constant_like(b, DT_U32, 16, hi), ""), "");
}

/* One half of each pair as f32. */
static LLVMValueRef half_of(LlvmBuild *b, LLVMValueRef pairs, bool second)
{
	LLVMValueRef by = constant_like(b, DT_U32, second ? 0xffff0000 : 16, pairs);
	return bits_of(b, second ? LLVMBuildAnd(b->b, pairs, by, "") : LLVMBuildShl(b->b, pairs, by, ""), DT_F32);
}

static EVal dot_pairs(KEmit *e, EVal x, EVal y, EVal acc)
{
	LlvmBuild *b = lb(e);
	const int lanes = lanes_of(acc);
	if (b->bf16 && lanes >= 4) {
		const char *name = arena_printf(b->arena, "llvm.x86.avx512bf16.dpbf16ps.%d", 32 * lanes);
		LLVMTypeRef bf16s = LLVMVectorType(LLVMBFloatTypeInContext(b->ctx), 2 * (unsigned)lanes);
		LLVMValueRef arg[] = {acc, LLVMBuildBitCast(b->b, x, bf16s, ""), LLVMBuildBitCast(b->b, y, bf16s, "")};
		return llvm_intrinsic(b, name, 0, NULL, 3, arg);
	}
	for (int i = 0; i < 2; i++)
		acc = e->ewise(e, EW_fma, DT_F32, half_of(b, x, i), half_of(b, y, i), acc);
	return acc;
}

/* ---- integers ---- */
/* High half of u32 products. A vector goes by its even and odd lanes, since the machine multiplies every other one. */
static LLVMValueRef mulhi(LlvmBuild *b, LLVMValueRef x, LLVMValueRef y)
{
	LLVMTypeRef narrow = LLVMTypeOf(x);
	bool vector = llvm_is_vector(x);
	const int pairs = lanes_of(x) / 2;
	LLVMTypeRef wide = vector ? LLVMVectorType(b->i64, (unsigned)pairs) : b->i64;
	LLVMValueRef half = LLVMConstInt(b->i64, 32, 0), low = LLVMConstInt(b->i64, UINT32_MAX, 0);
	if (!vector) {
		LLVMValueRef p = LLVMBuildMul(b->b, LLVMBuildZExt(b->b, x, wide, ""), LLVMBuildZExt(b->b, y, wide, ""), "");
		return LLVMBuildTrunc(b->b, LLVMBuildLShr(b->b, p, half, ""), narrow, "");
	}
	LLVMValueRef lane[2][K_LANES / 2];
	for (int i = 0; i < pairs; i++) {
		lane[0][i] = half;
		lane[1][i] = low;
	}
	LLVMValueRef shift = LLVMConstVector(lane[0], (unsigned)pairs), mask = LLVMConstVector(lane[1], (unsigned)pairs);
	LLVMValueRef p = LLVMBuildBitCast(b->b, x, wide, ""), q = LLVMBuildBitCast(b->b, y, wide, "");
	LLVMValueRef even = LLVMBuildMul(b->b, LLVMBuildAnd(b->b, p, mask, ""), LLVMBuildAnd(b->b, q, mask, ""), "");
	LLVMValueRef odd = LLVMBuildMul(b->b, LLVMBuildLShr(b->b, p, shift, ""), LLVMBuildLShr(b->b, q, shift, ""), "");
	LLVMValueRef high = LLVMBuildAnd(b->b, odd, LLVMConstNot(mask), "");
	return LLVMBuildBitCast(b->b, LLVMBuildOr(b->b, LLVMBuildLShr(b->b, even, shift, ""), high, ""), narrow, "");
}

static EVal bit(KEmit *e, EBit op, DType t, EVal x, EVal y)
{
	static const LLVMOpcode code[] = {LLVMShl, LLVMLShr, LLVMAShr, LLVMAnd, LLVMOr, LLVMXor};
	INVARIANT(!is_float(t));
	if (op == E_MULHI_U32)
		return mulhi(lb(e), x, y);
	return LLVMBuildBinOp(lb(e)->b, code[op], x, y, "");
}

/* ---- rows of ewise.def ---- */
/* Integer division as ewise.def has it, in double, truncated and wrapped; by zero it is 0. Nothing traps. */
static LLVMValueRef divide(LlvmBuild *b, DType t, LLVMValueRef x, LLVMValueRef y)
{
	if (is_float(t))
		return LLVMBuildFDiv(b->b, x, y, "");
	bool vector = llvm_is_vector(x);
	LLVMTypeRef wide = vector ? LLVMVectorType(b->i64, (unsigned)b->lanes) : b->i64;
	LLVMTypeRef over[] = {wide, llvm_type(b, DT_F64, vector)};
	LLVMValueRef q = LLVMBuildFDiv(b->b, convert(b, x, t, DT_F64), convert(b, y, t, DT_F64), "");
	q = LLVMBuildTrunc(b->b, llvm_intrinsic(b, "llvm.fptosi.sat", 2, over, 1, &q), LLVMTypeOf(x), "");
	return choose(b, compare(b, E_EQ, t, y, zero_like(y)), zero_like(x), q);
}

static LLVMValueRef unary_intrinsic(LlvmBuild *b, const char *name, LLVMValueRef x)
{
	LLVMTypeRef t = LLVMTypeOf(x);
	return llvm_intrinsic(b, name, 1, &t, 1, &x);
}

static LLVMValueRef unary(LlvmBuild *b, KRow row, DType t, LLVMValueRef x)
{
	switch (row) {
	case EW_neg:
		return is_float(t) ? LLVMBuildFNeg(b->b, x, "") : LLVMBuildNeg(b->b, x, "");
	case EW_abs:
		if (is_float(t))
			return unary_intrinsic(b, "llvm.fabs", x);
		return is_unsigned(t) ? x : choose(b, compare(b, E_LT, t, x, zero_like(x)), LLVMBuildNeg(b->b, x, ""), x);
	case EW_sqrt:
		return unary_intrinsic(b, "llvm.sqrt", x);
	case EW_rsqrt:
		return divide(b, t, constant_like(b, t, 1, x), unary_intrinsic(b, "llvm.sqrt", x));
	case EW_relu: /* 0 where x < 0: a NaN passes */
		return choose(b, compare(b, E_LT, t, x, zero_like(x)), zero_like(x), x);
	case EW_sign:
		return sign_of(b, t, x);
	case EW_floor:
		return is_float(t) ? unary_intrinsic(b, "llvm.floor", x) : x;
	default:
		ICE("ewise row %d is not one of the emit table", (int)row);
	}
}

static LLVMValueRef binary(LlvmBuild *b, KRow row, DType t, LLVMValueRef x, LLVMValueRef y)
{
	bool f = is_float(t);
	switch (row) {
	case EW_add:
		return f ? LLVMBuildFAdd(b->b, x, y, "") : LLVMBuildAdd(b->b, x, y, "");
	case EW_sub:
		return f ? LLVMBuildFSub(b->b, x, y, "") : LLVMBuildSub(b->b, x, y, "");
	case EW_mul:
		return f ? LLVMBuildFMul(b->b, x, y, "") : LLVMBuildMul(b->b, x, y, "");
	case EW_div:
		return divide(b, t, x, y);
	case EW_max:
		return maximum(b, t, x, y);
	case EW_min:
		return choose(b, compare(b, E_LT, t, y, x), y, x);
	case EW_lt:
		return compare(b, E_LT, t, x, y);
	case EW_le:
		return compare(b, E_LE, t, x, y);
	case EW_eq:
		return compare(b, E_EQ, t, x, y);
	case EW_and:
		return LLVMBuildAnd(b->b, truth(b, x), truth(b, y), "");
	case EW_shr:
		return is_unsigned(t) ? LLVMBuildLShr(b->b, x, y, "") : LLVMBuildAShr(b->b, x, y, "");
	case EW_shl:
		return LLVMBuildShl(b->b, x, y, "");
	case EW_band:
		return LLVMBuildAnd(b->b, x, y, "");
	default:
		return unary(b, row, t, x);
	}
}

static EVal ewise(KEmit *e, KRow row, DType t, EVal x, EVal y, EVal z)
{
	LlvmBuild *b = lb(e);
	if (row == EW_select)
		return choose(b, truth(b, x), y, z);
	if (row != EW_fma)
		return binary(b, row, t, x, y);
	if (!is_float(t))
		return LLVMBuildAdd(b->b, LLVMBuildMul(b->b, x, y, ""), z, "");
	LLVMTypeRef type = LLVMTypeOf((LLVMValueRef)x);
	LLVMValueRef arg[] = {x, y, z};
	return llvm_intrinsic(b, "llvm.fmuladd", 1, &type, 3, arg);
}

/* ---- reductions over lanes ---- */
/* s < v || v != v ? v : s, so that a NaN on either side stays */
static LLVMValueRef keep_larger(LlvmBuild *b, DType t, LLVMValueRef s, LLVMValueRef v)
{
	LLVMValueRef take = compare(b, E_LT, t, s, v);
	if (is_float(t))
		take = LLVMBuildOr(b->b, take, compare(b, E_NE, t, v, v), "");
	return choose(b, take, v, s);
}

/* Lanes [from, from + n) of v, as a vector of n, or a scalar for n = 1 */
static LLVMValueRef piece(LlvmBuild *b, LLVMValueRef v, int from, int n)
{
	LLVMValueRef lane[K_LANES];
	if (n == 1)
		return LLVMBuildExtractElement(b->b, v, LLVMConstInt(b->i64, (unsigned)from, 0), "");
	for (int i = 0; i < n; i++)
		lane[i] = LLVMConstInt(b->i32, (unsigned)(from + i), 0);
	return LLVMBuildShuffleVector(b->b, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(lane, (unsigned)n), "");
}

/* Lane i with i+8 of 16, then i+4, i+2, i+1: the same tree on every target, whatever its registers hold. */
static EVal reduce(KEmit *e, DType t, KRed red, EVal value)
{
	LlvmBuild *b = lb(e);
	LLVMValueRef v = value;
	INVARIANT(red == RED_sum || red == RED_max);
	for (int n = lanes_of(v) / 2; n >= 1; n /= 2) {
		LLVMValueRef lo = piece(b, v, 0, n), hi = piece(b, v, n, n);
		v = red == RED_sum ? binary(b, EW_add, t, lo, hi) : keep_larger(b, t, lo, hi);
	}
	return v;
}

void llvm_value_rows(KEmit *e)
{
	e->konst = konst;
	e->splat = splat;
	e->transpose = transpose;
	e->lanes = lanes;
	e->extract = extract;
	e->insert = insert;
	e->width = width;
	e->reduce = reduce;
	e->ewise = ewise;
	e->cast = cast;
	e->bit = bit;
	e->bitcast = bitcast;
	e->cmp = cmp;
	e->pair = pair;
	e->dot_pairs = dot_pairs;
}

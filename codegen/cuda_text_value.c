/* cuda_text_value.c -- the emit table that writes CUDA C: arithmetic of values (see cuda_text.h)
 *
 * Integers wrap: they are added as unsigned. Conversions to integers saturate by the instructions that do.
 */
#include <math.h>
#include <string.h>
#include "codegen/cuda_text_build.h"

static bool is_float(DType t)
{
	return t == DT_F32 || t == DT_F64;
}

static bool is_unsigned(DType t)
{
	return t == DT_U32 || t == DT_U8 || t == DT_BOOL;
}

/* The bits of v as t: what the table's rows call i32 may be an unsigned here, and signs matter to comparing and converting. */
static const char *as(KEmit *e, DType t, EVal v)
{
	const CuVal *x = v;
	if (!v || is_float(t) || t == DT_BOOL || strcmp(x->ctype, cuda_type(t)) == 0)
		return v ? x->text : NULL;
	return arena_printf(ct(e)->arena, "(%s)%s", cuda_type(t), x->text);
}

static EVal typed(KEmit *e, DType t, const char *text)
{
	return cuda_line(ct(e), cuda_type(t), "%s", text);
}

/* ---- constants ---- */
static const char *number(Arena *a, DType t, double v)
{
	if (t == DT_F32) {
		float s = (float)v;
		if (isnan(s))
			return "__int_as_float(0x7fc00000)";
		if (isinf(s))
			return s > 0 ? "__int_as_float(0x7f800000)" : "(-__int_as_float(0x7f800000))";
		return arena_printf(a, "(%af)", (double)s);
	}
	if (t == DT_F64) {
		if (isnan(v))
			return "__longlong_as_double(0x7ff8000000000000ll)";
		if (isinf(v))
			return v > 0 ? "__longlong_as_double(0x7ff0000000000000ll)" : "(-__longlong_as_double(0x7ff0000000000000ll))";
		return arena_printf(a, "(%a)", v);
	}
	if (t == DT_BF16)
		ICE("a bf16 constant");
	if (t == DT_U32)
		return arena_printf(a, "%uu", (unsigned)v);
	if (t == DT_BOOL)
		return v != 0 ? "true" : "false";
	if (v <= -2147483648.0)
		return "(-2147483647 - 1)";
	return arena_printf(a, v < 0 ? "(%d)" : "%d", (int)v);
}

static EVal konst(KEmit *e, DType t, double v, int lanes)
{
	(void)lanes;
	return cuda_new_val(ct(e), cuda_type(t), number(ct(e)->arena, t, v));
}

static EVal splat(KEmit *e, EVal scalar)
{
	(void)e;
	return scalar;
}

static int width(KEmit *e, EVal v)
{
	(void)e, (void)v;
	return 1;
}

/* ---- arithmetic ---- */
static const char *wrapped(Arena *a, DType t, const char *x, const char *op, const char *y)
{
	return arena_printf(a, "(%s)((unsigned)%s %s (unsigned)%s)", cuda_type(t), x, op, y);
}

static const char *binary_op(Arena *a, DType t, const char *x, const char *op, const char *y)
{
	return is_float(t) ? arena_printf(a, "%s %s %s", x, op, y) : wrapped(a, t, x, op, y);
}

static const char *larger(Arena *a, const char *x, const char *y)
{
	return arena_printf(a, "%s < %s ? %s : %s", x, y, y, x);
}

const char *cuda_combine(Arena *a, DType t, KRed red, const char *s, const char *v)
{
	INVARIANT(red == RED_sum || red == RED_max);
	if (red == RED_sum)
		return binary_op(a, t, s, "+", v);
	return is_float(t) ? arena_printf(a, "%s < %s || %s != %s ? %s : %s", s, v, v, v, v, s) : larger(a, s, v);
}

/* As ewise.def has it, in double, truncated and wrapped; by zero it is 0. */
static const char *quotient(Arena *a, DType t, const char *x, const char *y)
{
	if (is_float(t))
		return arena_printf(a, "%s / %s", x, y);
	return arena_printf(a, "%s == 0 ? (%s)0 : (%s)__double2ll_rz((double)%s / (double)%s)", y, cuda_type(t), cuda_type(t), x, y);
}

static const char *unary(Arena *a, KRow row, DType t, const char *x)
{
	const char *s = t == DT_F32 ? "f" : "";
	switch (row) {
	case EW_neg:
		return is_float(t) ? arena_printf(a, "-%s", x) : wrapped(a, t, "0", "-", x);
	case EW_abs:
		if (is_float(t))
			return arena_printf(a, "fabs%s(%s)", s, x);
		return is_unsigned(t) ? x : arena_printf(a, "%s < 0 ? %s : %s", x, wrapped(a, t, "0", "-", x), x);
	case EW_sqrt:
		return arena_printf(a, t == DT_F32 ? "__fsqrt_rn(%s)" : "__dsqrt_rn(%s)", x);
	case EW_rsqrt:
		return arena_printf(a, t == DT_F32 ? "1.0f / __fsqrt_rn(%s)" : "1.0 / __dsqrt_rn(%s)", x);
	case EW_relu: /* 0 where x < 0: a NaN passes */
		return is_unsigned(t) ? x : arena_printf(a, "%s < 0 ? 0 : %s", x, x);
	case EW_sign:
		return arena_printf(a, "(%s)((%s > 0) - (%s < 0))", cuda_type(t), x, x);
	case EW_floor:
		return is_float(t) ? arena_printf(a, "floor%s(%s)", s, x) : x;
	default:
		ICE("ewise row %d is not one of the emit table", (int)row);
	}
}

static const char *arithmetic(Arena *a, KRow row, DType t, const char *x, const char *y, const char *z)
{
	switch (row) {
	case EW_add:
		return binary_op(a, t, x, "+", y);
	case EW_sub:
		return binary_op(a, t, x, "-", y);
	case EW_mul:
		return binary_op(a, t, x, "*", y);
	case EW_div:
		return quotient(a, t, x, y);
	case EW_max:
		return larger(a, x, y);
	case EW_min:
		return arena_printf(a, "%s < %s ? %s : %s", y, x, y, x);
	case EW_shr:
		return arena_printf(a, "%s >> %s", x, y);
	case EW_shl:
		return wrapped(a, t, x, "<<", y);
	case EW_band:
		return arena_printf(a, "(%s)(%s & %s)", cuda_type(t), x, y);
	case EW_select:
		return arena_printf(a, "%s ? %s : %s", x, y, z);
	case EW_fma:
		if (is_float(t))
			return arena_printf(a, t == DT_F32 ? "fmaf(%s, %s, %s)" : "fma(%s, %s, %s)", x, y, z);
		return wrapped(a, t, wrapped(a, t, x, "*", y), "+", z);
	default:
		return unary(a, row, t, x);
	}
}

static EVal ewise(KEmit *e, KRow row, DType t, EVal x, EVal y, EVal z)
{
	static const char *const compares[] = {[EW_lt] = "<", [EW_le] = "<=", [EW_eq] = "=="};
	if (row == EW_lt || row == EW_le || row == EW_eq)
		return cuda_line(ct(e), "bool", "%s %s %s", as(e, t, x), compares[row], as(e, t, y));
	if (row == EW_and)
		return cuda_line(ct(e), "bool", "(%s != 0) & (%s != 0)", str(x), str(y));
	const char *first = row == EW_select ? str(x) : as(e, t, x);
	return typed(e, t, arithmetic(ct(e)->arena, row, t, first, as(e, t, y), as(e, t, z)));
}

/* ---- conversions ---- */
static const char *to_integer(Arena *a, const char *x, DType from, DType to)
{
	const char *s = from == DT_F32 ? "float" : "double";
	if (to == DT_I32)
		return arena_printf(a, "__%s2int_rz(%s)", s, x);
	if (to == DT_U32)
		return arena_printf(a, "__%s2uint_rz(%s)", s, x);
	return arena_printf(a, "(unsigned char)(__%s2uint_rz(%s) < 255u ? __%s2uint_rz(%s) : 255u)", s, x, s, x);
}

/* To nearest, ties to even; a NaN stays one. */
static EVal narrow(KEmit *e, const char *x)
{
	CuText *c = ct(e);
	const char *u = str(cuda_line(c, "unsigned", "__float_as_uint(%s)", x));
	return cuda_line(c, cuda_type(DT_BF16), "(unsigned short)((%s != %s ? %s | 0x400000u : %s + 0x7fffu + (%s >> 16 & 1u)) >> 16)", x,
	                 x, u, u, u);
}

static EVal cast(KEmit *e, EVal v, DType from, DType to)
{
	CuText *c = ct(e);
	if (from == to)
		return v;
	if (from == DT_BF16)
		return cast(e, cuda_line(c, "float", "__uint_as_float((unsigned)%s << 16)", str(v)), DT_F32, to);
	if (to == DT_BF16)
		return narrow(e, str(cast(e, v, from, DT_F32)));
	if (to == DT_BOOL)
		return cuda_line(c, "bool", "%s != 0", str(v));
	if (is_float(from) && !is_float(to))
		return typed(e, to, to_integer(c->arena, str(v), from, to));
	return cuda_line(c, cuda_type(to), "(%s)%s", cuda_type(to), as(e, from, v));
}

static EVal bit(KEmit *e, EBit op, DType t, EVal x, EVal y)
{
	static const char *const sign[] = {"<<", ">>", ">>", "&", "|", "^"};
	INVARIANT(!is_float(t));
	if (op == E_MULHI_U32)
		return cuda_line(ct(e), cuda_type(t), "__umulhi(%s, %s)", str(x), str(y));
	return cuda_line(ct(e), cuda_type(t), "(%s)((%s)%s %s %s)", cuda_type(t), op == E_ASHR ? "int" : "unsigned", str(x), sign[op],
	                 str(y));
}

static EVal bitcast(KEmit *e, EVal v, DType from, DType to)
{
	if (from == DT_F32)
		return cuda_line(ct(e), cuda_type(to), to == DT_U32 ? "__float_as_uint(%s)" : "__float_as_int(%s)", str(v));
	if (to == DT_F32)
		return cuda_line(ct(e), "float", from == DT_U32 ? "__uint_as_float(%s)" : "__int_as_float(%s)", str(v));
	INVARIANT(dtype_size(from) == dtype_size(to));
	return cuda_line(ct(e), cuda_type(to), "(%s)%s", cuda_type(to), str(v));
}

const char *cuda_cmp(ECmp cmp)
{
	static const char *const sign[] = {"<", "<=", "==", "!=", ">", ">="};
	return sign[cmp];
}

static EVal cmp(KEmit *e, ECmp c, DType t, EVal x, EVal y)
{
	return cuda_line(ct(e), "bool", "%s %s %s", as(e, t, x), cuda_cmp(c), as(e, t, y));
}

void cuda_value_rows(KEmit *e)
{
	e->konst = konst;
	e->splat = splat;
	e->width = width;
	e->ewise = ewise;
	e->cast = cast;
	e->bit = bit;
	e->bitcast = bitcast;
	e->cmp = cmp;
}

/* ewise.c -- the rows of ewise.def on doubles
 *
 * The one place where pointwise functions are computed at compile time: graph interpreter, kernel interpreter, folding.
 * Floats are not rounded to f32. Integers wrap at their width as the machine's do; a product of two u32 does not fit
 * a double, so products are formed in 64 bits. A quotient of integers is truncated; what is not finite becomes 0.
 * Casting a float that lies outside the integer's range is where targets may differ: here it wraps.
 */
#include <math.h>
#include <string.h>
#include "ir/eval.h"

#define EW(name, arity, expr) \
	static double ew_##name(double a, double b, double c) { (void)a; (void)b; (void)c; return expr; }
#include "ir/ewise.def"

static const struct { const char *name; Ewise *row; } rows[] = {
#define EW(name, arity, expr) { #name, ew_##name },
#include "ir/ewise.def"
};

Ewise *ewise_row(const char *name)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (!strcmp(rows[i].name, name))
			return rows[i].row;
	}
	return NULL;
}

/* The upper half of the float next to v, to nearest, ties to even; a NaN stays one. */
static double round_bf16(double v)
{
	float f = (float)v;
	uint32_t u;
	memcpy(&u, &f, sizeof u);
	if (isnan(f))
		return v;
	u += 0x7fff + (u >> 16 & 1);
	u &= 0xffff0000u;
	memcpy(&f, &u, sizeof f);
	return f;
}

static double wrap_bits(uint64_t v, DType to)
{
	switch (to) {
	case DT_I32: return (double)(int32_t)(uint32_t)v;
	case DT_U32: return (double)(uint32_t)v;
	case DT_U8:  return (double)(uint8_t)v;
	default:     ICE("%s is not an integer type", dtype_name(to));
	}
}

double ewise_wrap(double v, DType to)
{
	if (to == DT_F32 || to == DT_F64)
		return v;
	if (to == DT_BF16)
		return round_bf16(v);
	if (to == DT_BOOL)
		return v != 0.0;
	if (!isfinite(v))
		return 0.0;
	double low = fmod(trunc(v), 4294967296.0); /* |low| < 2^32: fits int64_t */
	return wrap_bits((uint64_t)(int64_t)low, to);
}

static bool is_integer(DType t)
{
	return t == DT_I32 || t == DT_U32 || t == DT_U8;
}

double ewise_apply(Ewise *row, double a, double b, double c, DType to)
{
	if (row == ew_mul && is_integer(to))
		return wrap_bits((uint64_t)(int64_t)a * (uint64_t)(int64_t)b, to);
	if (row == ew_fma && is_integer(to))
		return wrap_bits((uint64_t)(int64_t)a * (uint64_t)(int64_t)b + (uint64_t)(int64_t)c, to);
	return ewise_wrap(row(a, b, c), to);
}

double ir_ewise(const char *name, double a, double b, double c, DType to)
{
	Ewise *row = ewise_row(name);
	INVARIANT(row);
	return ewise_apply(row, a, b, c, to);
}

/* emit.c -- every function of the emit table on LLVM: compiled in this process and run
 *
 * Arithmetic is compared with ewise.def, bit by bit, as scalars and as vectors; memory with what C says; loops with counts.
 */
#include <check.h>
#include <math.h>
#include <string.h>
#include "codegen/codegen.h"
#include "codegen/emit.h"
#include "runtime/model.h"
#include "tests/support/suite.h"

typedef void Code(const void *a, const void *b, void *out, int64_t n);

typedef struct Built {
	CgJit *jit;
	Diag *d;
} Built;

static const char *const cpus[] = {
#if defined(__x86_64__)
	"x86-64-v2",
#endif
	"native",
};

static CgModule *fresh(Built *built, const char *cpu)
{
	built->d = diag_new();
	CgModule *c = cg_new("emit", &(CgOptions){.cpu = cpu}, built->d);
	ck_assert_ptr_nonnull(c);
	return c;
}

static void compile(Built *built, CgModule *c)
{
	built->jit = cg_jit(c, built->d);
	diag_print(built->d, stderr);
	ck_assert_ptr_nonnull(built->jit);
}

static Code *code(const Built *built, const char *name)
{
	Code *f;
	*(void **)&f = cg_jit_symbol(built->jit, name);
	ck_assert_msg(f != NULL, "no function %s", name);
	return f;
}

static void done(Built *built)
{
	cg_jit_free(built->jit);
	diag_free(built->d);
}

/* ---- arithmetic ---- */
static const struct { const char *name; KRow row; int arity; } rows[] = {
	{"neg", EW_neg, 1}, {"abs", EW_abs, 1}, {"sqrt", EW_sqrt, 1}, {"rsqrt", EW_rsqrt, 1}, {"relu", EW_relu, 1},
	{"sign", EW_sign, 1}, {"floor", EW_floor, 1}, {"add", EW_add, 2}, {"sub", EW_sub, 2}, {"mul", EW_mul, 2},
	{"div", EW_div, 2}, {"max", EW_max, 2}, {"min", EW_min, 2}, {"lt", EW_lt, 2}, {"le", EW_le, 2}, {"eq", EW_eq, 2},
	{"and", EW_and, 2}, {"select", EW_select, 3}, {"fma", EW_fma, 3}, {"shr", EW_shr, 2}, {"shl", EW_shl, 2},
	{"band", EW_band, 2},
};

static bool only_floats(KRow r)
{
	return r == EW_sqrt || r == EW_rsqrt;
}

static bool only_integers(KRow r)
{
	return r == EW_shr || r == EW_shl || r == EW_band;
}

static bool is_float(DType t)
{
	return t == DT_F32 || t == DT_F64;
}

static DType result_type(KRow r, DType t)
{
	return r == EW_lt || r == EW_le || r == EW_eq || r == EW_and ? DT_BOOL : t;
}

enum { VALUES = 12, PAIRS = VALUES * VALUES };

static const double float_values[VALUES] = {0.0, -0.0, 1.0, -1.5, 3.0, -7.25, 1e-30, -1e30, INFINITY, -INFINITY, NAN, 0.5};
static const double int_values[VALUES] = {0, 1, 2, 3, 7, 31, 100, 255, 65536, 2147483647, 4294967295.0, 2147483648.0};

static uint16_t upper_half(float f)
{
	uint32_t u;
	memcpy(&u, &f, sizeof(u));
	return (uint16_t)(u >> 16);
}

static double lower_half_zero(uint16_t upper)
{
	uint32_t u = (uint32_t)upper << 16;
	float f;
	memcpy(&f, &u, sizeof(f));
	return (double)f;
}

static void put(DType t, void *at, int i, double v)
{
	switch (t) {
	case DT_F32: ((float *)at)[i] = (float)v; break;
	case DT_F64: ((double *)at)[i] = v; break;
	case DT_I32: ((int32_t *)at)[i] = (int32_t)(uint32_t)(int64_t)v; break;
	case DT_U32: ((uint32_t *)at)[i] = (uint32_t)(int64_t)v; break;
	case DT_BF16: ((uint16_t *)at)[i] = upper_half((float)ir_ewise("cast", v, 0, 0, DT_BF16)); break;
	default: ((uint8_t *)at)[i] = (uint8_t)(int64_t)v;
	}
}

static double get(DType t, const void *at, int i)
{
	switch (t) {
	case DT_F32: return (double)((const float *)at)[i];
	case DT_F64: return ((const double *)at)[i];
	case DT_I32: return ((const int32_t *)at)[i];
	case DT_U32: return ((const uint32_t *)at)[i];
	case DT_BF16: return lower_half_zero(((const uint16_t *)at)[i]);
	default: return ((const uint8_t *)at)[i];
	}
}

static EVal element(KEmit *e, DType t, int arg, EVal i, bool vector)
{
	EVal p = e->ptr_arg(e, arg);
	return vector ? e->load_vec(e, t, p, i, 0, K_LANES) : e->load(e, t, p, i, 0);
}

/* out[i] = row(a[i], b[i], a[i] for a third) */
static void emit_row(KEmit *e, const char *name, KRow row, DType t, bool vector)
{
	e->begin(e, name, 3, 1, false);
	EVal i = e->loop_begin(e, e->i64(e, 0), e->int_arg(e, 0), vector ? K_LANES : 1, true, 0, NULL);
	EVal a = element(e, t, 0, i, vector), b = element(e, t, 1, i, vector);
	EVal y = e->ewise(e, row, t, a, b, a);
	if (vector)
		e->store_vec(e, result_type(row, t), y, e->ptr_arg(e, 2), i, 0, K_LANES);
	else
		e->store(e, result_type(row, t), y, e->ptr_arg(e, 2), i, 0);
	e->loop_end(e, 0, NULL);
	e->end(e);
}

static bool same(double a, double b)
{
	return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

static void check_row(size_t r, DType t, const char *cpu)
{
	Built built;
	CgModule *c = fresh(&built, cpu);
	double a[PAIRS], b[PAIRS], out[PAIRS];
	emit_row(cg_emitter(c), "vector", rows[r].row, t, true);
	emit_row(cg_emitter(c), "scalar", rows[r].row, t, false);
	compile(&built, c);
	for (int i = 0; i < PAIRS; i++) {
		const double *v = is_float(t) ? float_values : int_values;
		bool shift = rows[r].row == EW_shr || rows[r].row == EW_shl;
		put(t, a, i, v[i % VALUES]);
		put(t, b, i, shift ? i / VALUES * 2 : v[i / VALUES]);
	}
	for (int wide = 0; wide < 2; wide++) {
		code(&built, wide ? "vector" : "scalar")(a, b, out, PAIRS);
		for (int i = 0; i < PAIRS; i++) {
			double x = get(t, a, i), y = get(t, b, i), got = get(result_type(rows[r].row, t), out, i);
			double want = ir_ewise(rows[r].name, x, y, x, result_type(rows[r].row, t));
			if (t == DT_F32 && result_type(rows[r].row, t) == DT_F32)
				want = (double)(float)want;
			if ((rows[r].row == EW_rsqrt || rows[r].row == EW_fma) && is_float(t) && isfinite(want))
				got = fabs(got - want) <= (t == DT_F32 ? 2.4e-7 : 4.5e-16) * fabs(want) ? want : got; /* two roundings */
			ck_assert_msg(same(got, want), "%s %s(%g, %g) %s: %g, not %g", dtype_name(t), rows[r].name, x, y,
			              wide ? "vector" : "scalar", got, want);
		}
	}
	done(&built);
}

START_TEST(rows_are_those_of_the_table)
{
	static const DType types[] = {DT_F32, DT_F64, DT_I32, DT_U32, DT_U8};
	for (size_t i = 0; i < COUNT(types); i++) {
		DType t = types[i];
		KRow r = rows[_i].row;
		bool fits = is_float(t) ? !only_integers(r) : !only_floats(r) && !(only_integers(r) && t == DT_U8);
		for (size_t c = 0; fits && c < COUNT(cpus); c++)
			check_row((size_t)_i, t, cpus[c]);
	}
}
END_TEST

/* ---- casts ---- */
static double cast_of(double v, DType from, DType to)
{
	if (to == DT_BOOL)
		return v != 0;
	if (to == DT_F64)
		return v;
	if (to == DT_F32)
		return (double)(float)v;
	if (to == DT_BF16 || (!is_float(from) && from != DT_BF16))
		return ir_ewise("cast", v, 0, 0, to);
	double low = to == DT_I32 ? -2147483648.0 : 0, high = to == DT_I32 ? 2147483647.0 : to == DT_U32 ? 4294967295.0 : 255;
	return isnan(v) ? 0 : v < low ? low : v > high ? high : trunc(v) + 0.0;
}

static void check_cast(DType from, DType to)
{
	Built built;
	CgModule *c = fresh(&built, "native");
	KEmit *e = cg_emitter(c);
	double in[K_LANES] = {0}, out[K_LANES];
	e->begin(e, "cast", 3, 1, false);
	EVal v = e->load_vec(e, from, e->ptr_arg(e, 0), e->i64(e, 0), 0, K_LANES);
	e->store_vec(e, to, e->cast(e, v, from, to), e->ptr_arg(e, 2), e->i64(e, 0), 0, K_LANES);
	e->end(e);
	compile(&built, c);
	for (int i = 0; i < VALUES; i++)
		put(from, in, i, from == DT_BOOL ? i & 1 : is_float(from) ? float_values[i] : int_values[i]);
	code(&built, "cast")(in, in, out, 0);
	for (int i = 0; i < VALUES; i++) {
		double x = get(from, in, i), want = cast_of(x, from, to), got = get(to, out, i);
		ck_assert_msg((isnan(got) && isnan(want)) || got == want, "cast of %g from %s to %s: %g, not %g", x,
		              dtype_name(from), dtype_name(to), got, want);
	}
	done(&built);
}

START_TEST(casts)
{
	for (int to = 0; to < DT_COUNT; to++)
		check_cast((DType)_i, (DType)to);
}
END_TEST

/* ---- memory ---- */
static void emit_copies(KEmit *e, DType t)
{
	for (int active = 1; active <= K_LANES; active++) {
		char name[16];
		snprintf(name, sizeof(name), "copy%d", active);
		e->begin(e, name, 3, 1, false);
		EVal v = e->load_vec(e, t, e->ptr_arg(e, 0), e->int_arg(e, 0), 1, active);
		e->store_vec(e, t, v, e->ptr_arg(e, 2), e->i64(e, 2), 0, active);          /* elements 2 … */
		e->store_vec(e, t, v, e->ptr_arg(e, 2), e->i64(e, 0), 2 * K_LANES, K_LANES); /* all lanes */
		e->end(e);
	}
}

static void check_copies(DType t, const char *cpu)
{
	Built built;
	CgModule *c = fresh(&built, cpu);
	double in[3 * K_LANES] = {0}, out[4 * K_LANES];
	emit_copies(cg_emitter(c), t);
	compile(&built, c);
	for (int i = 0; i < 3 * K_LANES; i++)
		put(t, in, i, t == DT_BOOL ? i % 2 : i + 1);
	for (int active = 1; active <= K_LANES; active++) {
		char name[16];
		snprintf(name, sizeof(name), "copy%d", active);
		memset(out, 0x11, sizeof(out));
		double before = get(t, out, 0);
		code(&built, name)(in, in, out, 3); /* from element 4 */
		for (int i = 0; i < 2 * K_LANES; i++) {
			double want = i >= 2 && i < 2 + active ? get(t, in, 4 + i - 2) : before;
			ck_assert_msg(get(t, out, i) == want, "%s: %d of %d: %g", dtype_name(t), i, active, get(t, out, i));
		}
		for (int i = 0; i < K_LANES; i++)
			ck_assert(get(t, out, 2 * K_LANES + i) == (i < active ? get(t, in, 4 + i) : 0));
	}
	done(&built);
}

START_TEST(vectors_touch_active_lanes_only)
{
	for (size_t c = 0; c < COUNT(cpus); c++)
		check_copies((DType)_i, cpus[c]);
}
END_TEST

static void check_gather(DType t, int active, const char *cpu)
{
	Built built;
	CgModule *c = fresh(&built, cpu);
	KEmit *e = cg_emitter(c);
	double in[64] = {0}, out[64] = {0};
	int32_t index[K_LANES];
	e->begin(e, "move", 3, 1, false);
	EVal at = e->load_vec(e, DT_I32, e->ptr_arg(e, 1), e->i64(e, 0), 0, K_LANES);
	EVal v = e->gather(e, t, e->ptr_arg(e, 0), at, 1, active);
	e->scatter(e, t, v, e->ptr_arg(e, 2), at, 3, active);
	e->end(e);
	compile(&built, c);
	for (int i = 0; i < 64; i++)
		put(t, in, i, t == DT_BOOL ? i % 3 == 0 : i + 1);
	for (int i = 0; i < K_LANES; i++)
		index[i] = i < active ? i * 7 % K_LANES * 2 : 1 << 30; /* lanes that are not active must not be looked at */
	code(&built, "move")(in, index, out, 0);
	for (int i = 0; i < active; i++)
		ck_assert(get(t, out, index[i] + 3) == get(t, in, index[i] + 1));
	double sum = 0;
	for (int i = 0; i < 64; i++)
		sum += get(t, out, i) != 0;
	ck_assert(sum <= active);
	done(&built);
}

START_TEST(gather_and_scatter)
{
	for (size_t c = 0; c < COUNT(cpus); c++) {
		check_gather((DType)_i, K_LANES, cpus[c]);
		check_gather((DType)_i, 5, cpus[c]);
	}
}
END_TEST

/* ---- control ---- */
START_TEST(loops_count)
{
	static const struct { int64_t lo, hi, step, trips; } cases[] = {
		{0, 10, 1, 10}, {0, 10, 3, 4}, {5, 5, 1, 0}, {7, 5, 2, 0}, {-4, 4, 4, 2}, {0, 1, 16, 1},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		Built built;
		CgModule *c = fresh(&built, "native");
		KEmit *e = cg_emitter(c);
		int64_t args[2] = {cases[i].lo, cases[i].hi};
		int32_t out[4] = {0};
		for (int known = 0; known < 2; known++) {
			e->begin(e, known ? "known" : "unknown", 3, 1, false);
			EVal lo = known ? e->i64(e, cases[i].lo) : e->isub(e, e->int_arg(e, 0), e->i64(e, 0));
			EVal hi = known ? e->i64(e, cases[i].hi) : e->iadd(e, e->int_arg(e, 0), e->i64(e, cases[i].hi - cases[i].lo));
			EVal carried[2] = {e->konst(e, DT_I32, 0, 1), e->i64(e, 100)};
			EVal iv = e->loop_begin(e, lo, hi, cases[i].step, true, 2, carried);
			carried[0] = e->ewise(e, EW_add, DT_I32, carried[0], e->konst(e, DT_I32, 1, 1), NULL);
			carried[1] = iv;
			e->loop_end(e, 2, carried);
			e->store(e, DT_I32, carried[0], e->ptr_arg(e, 2), e->i64(e, 0), 0);
			e->store(e, DT_I32, e->from_i64(e, carried[1], DT_I32), e->ptr_arg(e, 2), e->i64(e, 1), 0);
			e->end(e);
		}
		compile(&built, c);
		int32_t last = (int32_t)(cases[i].trips ? cases[i].lo + (cases[i].trips - 1) * cases[i].step : 100);
		for (int known = 0; known < 2; known++) {
			code(&built, known ? "known" : "unknown")(args, args, out, cases[i].lo);
			ck_assert_int_eq(out[0], cases[i].trips);
			ck_assert_int_eq(out[1], last);
		}
		done(&built);
	}
}
END_TEST

/* out[0] = sum over i < n, j <= i, i odd, of i * j */
START_TEST(nested_loops_and_ifs)
{
	Built built;
	CgModule *c = fresh(&built, "native");
	KEmit *e = cg_emitter(c);
	e->begin(e, "nest", 3, 1, false);
	EVal out = e->ptr_arg(e, 2), zero = e->i64(e, 0);
	EVal i = e->loop_begin(e, zero, e->int_arg(e, 0), 1, true, 0, NULL);
	EVal half = e->imul(e, e->idiv(e, i, e->i64(e, 2)), e->i64(e, 2));
	e->if_begin(e, e->icmp(e, E_NE, half, i));
	EVal sum = e->to_i64(e, e->load(e, DT_I32, out, zero, 0));
	EVal j = e->loop_begin(e, zero, e->iadd(e, i, e->i64(e, 1)), 1, false, 1, &sum);
	sum = e->iadd(e, sum, e->imul(e, i, j));
	e->loop_end(e, 1, &sum);
	e->store(e, DT_I32, e->from_i64(e, sum, DT_I32), out, zero, 0);
	e->if_end(e);
	e->loop_end(e, 0, NULL);
	e->end(e);
	compile(&built, c);
	int32_t got = 0, want = 0;
	code(&built, "nest")(&got, &got, &got, 20);
	for (int a = 1; a < 20; a += 2) {
		for (int b = 0; b <= a; b++)
			want += a * b;
	}
	ck_assert_int_eq(got, want);
	done(&built);
}
END_TEST

START_TEST(indices_fold)
{
	Built built;
	CgModule *c = fresh(&built, "native");
	KEmit *e = cg_emitter(c);
	int64_t v = 0;
	e->begin(e, "fold", 3, 1, false);
	EVal n = e->int_arg(e, 0), six = e->i64(e, 6);
	ck_assert(!e->is_i64(e, n, &v));
	ck_assert(e->is_i64(e, e->imul(e, six, e->iadd(e, six, e->i64(e, 1))), &v) && v == 42);
	ck_assert(e->is_i64(e, e->imul(e, n, e->i64(e, 0)), &v) && v == 0);
	ck_assert(e->is_i64(e, e->imin(e, six, e->i64(e, -2)), &v) && v == -2);
	ck_assert(e->is_i64(e, e->imax(e, six, e->isub(e, e->i64(e, 9), e->idiv(e, six, e->i64(e, 4)))), &v) && v == 8);
	ck_assert(e->iadd(e, n, e->i64(e, 0)) == n && e->imul(e, n, e->i64(e, 1)) == n);
	e->end(e);
	compile(&built, c);
	done(&built);
}
END_TEST

/* ---- lanes ---- */
START_TEST(reductions_are_fixed_trees)
{
	for (size_t cpu = 0; cpu < COUNT(cpus); cpu++) {
		Built built;
		CgModule *c = fresh(&built, cpus[cpu]);
		KEmit *e = cg_emitter(c);
		float in[K_LANES], out[4], tree[K_LANES];
		e->begin(e, "reduce", 3, 1, false);
		EVal v = e->load_vec(e, DT_F32, e->ptr_arg(e, 0), e->i64(e, 0), 0, K_LANES);
		e->store(e, DT_F32, e->reduce(e, DT_F32, RED_sum, v), e->ptr_arg(e, 2), e->i64(e, 0), 0);
		e->store(e, DT_F32, e->reduce(e, DT_F32, RED_max, v), e->ptr_arg(e, 2), e->i64(e, 0), 1);
		e->store(e, DT_F32, e->extract(e, e->insert(e, v, e->konst(e, DT_F32, 5, 1), 3), 3), e->ptr_arg(e, 2), e->i64(e, 0), 2);
		e->end(e);
		compile(&built, c);
		for (int i = 0; i < K_LANES; i++)
			tree[i] = in[i] = 1.0f / (float)(i + 3) - 0.1f;
		for (int n = K_LANES / 2; n; n /= 2) {
			for (int i = 0; i < n; i++)
				tree[i] += tree[i + n];
		}
		code(&built, "reduce")(in, in, out, 0);
		ck_assert(out[0] == tree[0] && out[1] == in[0] && out[2] == 5);
		for (int i = 0; i < K_LANES; i++) {
			float saved = in[i];
			in[i] = NAN;
			code(&built, "reduce")(in, in, out, 0);
			ck_assert(isnan(out[0]) && isnan(out[1]));
			in[i] = saved;
		}
		done(&built);
	}
}
END_TEST

START_TEST(bits)
{
	Built built;
	CgModule *c = fresh(&built, "native");
	KEmit *e = cg_emitter(c);
	uint32_t in[K_LANES], out[7 * K_LANES];
	e->begin(e, "bits", 3, 1, false);
	EVal v = e->load_vec(e, DT_U32, e->ptr_arg(e, 0), e->i64(e, 0), 0, K_LANES);
	EVal k = e->splat(e, e->konst(e, DT_U32, 0xCD9E8D57u, 1)), five = e->konst(e, DT_U32, 5, K_LANES);
	for (int op = 0; op < 7; op++) {
		EVal y = e->bit(e, (EBit)op, DT_U32, v, op <= E_ASHR ? five : k);
		e->store_vec(e, DT_U32, y, e->ptr_arg(e, 2), e->i64(e, op * K_LANES), 0, K_LANES);
	}
	e->end(e);
	compile(&built, c);
	for (uint32_t i = 0; i < K_LANES; i++)
		in[i] = i * 0x9E3779B1u + 12345u;
	code(&built, "bits")(in, in, out, 0);
	for (int i = 0; i < K_LANES; i++) {
		uint32_t x = in[i], y = 0xCD9E8D57u;
		uint32_t want[7] = {x << 5, x >> 5, (uint32_t)((int32_t)x >> 5), x & y, x | y, x ^ y,
		                    (uint32_t)((uint64_t)x * y >> 32)};
		for (int op = 0; op < 7; op++)
			ck_assert_uint_eq(out[op * K_LANES + i], want[op]);
	}
	done(&built);
}
END_TEST

/* ---- functions ---- */
/* A phase stores its part and the learning rate, and calls a function that is written after it. */
START_TEST(phases_and_calls)
{
	Built built;
	CgModule *c = fresh(&built, "native");
	KEmit *e = cg_emitter(c);
	e->begin_phase(e, "phase");
	EVal call = e->phase_call(e), part = e->phase_part(e);
	EVal slab = e->ptr_load(e, call, offsetof(RtCall, slab)), s = e->ptr_load(e, call, offsetof(RtCall, s));
	EVal at = e->ptr_add(e, slab, e->imul(e, part, e->i64(e, 8)));
	EVal lr = e->load(e, DT_F32, e->ptr_add(e, s, e->i64(e, offsetof(RtScalars, lr))), e->i64(e, 0), 0);
	e->store(e, DT_F32, lr, at, e->i64(e, 0), 0);
	e->mark(e, call, 6, false);
	e->call(e, "later", 1, &at, 1, &part);
	e->mark(e, call, 6, true);
	e->end(e);
	e->begin(e, "later", 1, 1, true);
	e->store(e, DT_F32, e->from_i64(e, e->int_arg(e, 0), DT_F32), e->ptr_arg(e, 0), e->i64(e, 1), 0);
	e->end(e);
	e->begin(e, "visible", 3, 1, false);
	e->end(e);
	compile(&built, c);
	ck_assert_ptr_nonnull(cg_jit_symbol(built.jit, "visible"));
	ck_assert_ptr_null(cg_jit_symbol(built.jit, "nothing_of_that_name"));
	ck_assert_ptr_null(cg_jit_model(built.jit));
	done(&built);
}
END_TEST

/* ---- targets ---- */
START_TEST(cpu_names)
{
	Diag *d = diag_new();
	Arena *a = arena_new();
	Target t;
	ck_assert(cg_target("native", NULL, d, a, &t) && t.vec_bytes >= 16 && t.l1_bytes > 0 && t.l2_bytes > t.l1_bytes);
	ck_assert(cg_target("x86-64-v3", "x86_64-pc-linux-gnu", d, a, &t) && t.vec_bytes == 32 && t.vec_regs == 16 && t.fma);
	ck_assert(cg_target("znver5", "x86_64-pc-linux-gnu", d, a, &t) && t.vec_bytes == 64 && t.vec_regs == 32);
	ck_assert_str_eq(t.name, "x86-64-v4");
	ck_assert(cg_target("znver5+bf16", "x86_64-pc-linux-gnu", d, a, &t) && t.bf16);
	ck_assert_str_eq(t.name, "x86-64-v4+bf16");
	ck_assert_str_eq(cg_cpu_bf16("znver4", "x86_64-pc-linux-gnu", a), "znver4+bf16");
	ck_assert_str_eq(cg_cpu_bf16("znver3", "x86_64-pc-linux-gnu", a), "znver3");
	ck_assert(cg_target("x86-64-v2", "x86_64-pc-linux-gnu", d, a, &t) && t.vec_bytes == 16 && !t.fma);
	ck_assert(cg_target(NULL, "aarch64-linux-gnu", d, a, &t) && t.vec_regs == 26 && t.fma);
	ck_assert(!diag_errors(d));
	ck_assert(!cg_target("znver55", "x86_64-pc-linux-gnu", d, a, &t) && diag_errors(d) == 1);
	ck_assert(!cg_target("znver3+bf16", "x86_64-pc-linux-gnu", d, a, &t) && diag_errors(d) == 2);
	arena_free(a);
	diag_free(d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("emit");
	TCase *t = tcase_create("table");
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, rows_are_those_of_the_table, 0, (int)COUNT(rows));
	tcase_add_loop_test(t, casts, 0, DT_COUNT);
	tcase_add_loop_test(t, vectors_touch_active_lanes_only, 0, DT_COUNT);
	tcase_add_loop_test(t, gather_and_scatter, 0, DT_COUNT);
	tcase_add_test(t, loops_count);
	tcase_add_test(t, nested_loops_and_ifs);
	tcase_add_test(t, indices_fold);
	tcase_add_test(t, reductions_are_fixed_trees);
	tcase_add_test(t, bits);
	tcase_add_test(t, phases_and_calls);
	tcase_add_test(t, cpu_names);
	suite_add_tcase(s, t);
	return suite_run(s);
}

/* math.c -- the polynomials of codegen/math.c against libm in double: within 2 ulp over the whole range of f32
 *
 * Every function is compiled in this process for each x86-64 level that runs here (or the native machine elsewhere), as a
 * vector and as a scalar; the arguments are 2^20 and more bit patterns spread over all of f32, and the special ones.
 */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "codegen/codegen.h"
#include "codegen/emit.h"
#include "tests/support/same_bits.h"
#include "tests/support/suite.h"

typedef void Apply(const float *in, float *out, int64_t n);

typedef struct Function {
	const char *name;
	KRow row;
	double (*of)(double);
} Function;

static double sigmoid(double x)
{
	return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static const Function functions[] = {
	{"exp", EW_exp, exp}, {"log", EW_log, log}, {"log1p", EW_log1p, log1p}, {"sin", EW_sin, sin}, {"cos", EW_cos, cos},
	{"tanh", EW_tanh, tanh}, {"erf", EW_erf, erf}, {"sigmoid", EW_sigmoid, sigmoid},
};

static const char *const cpus[] = {
#if defined(__x86_64__)
	"x86-64-v2", "x86-64-v3", "x86-64-v4",
#endif
	"native",
};

/* out[i] = row(in[i]), 16 at a time or one at a time */
static void emit_function(KEmit *e, const char *name, KRow row, bool vector)
{
	e->begin(e, name, 2, 1, false);
	EVal i = e->loop_begin(e, e->i64(e, 0), e->int_arg(e, 0), vector ? K_LANES : 1, true, 0, NULL);
	EVal x = vector ? e->load_vec(e, DT_F32, e->ptr_arg(e, 0), i, 0, K_LANES) : e->load(e, DT_F32, e->ptr_arg(e, 0), i, 0);
	EVal y = math_ewise(e, row, x);
	if (vector)
		e->store_vec(e, DT_F32, y, e->ptr_arg(e, 1), i, 0, K_LANES);
	else
		e->store(e, DT_F32, y, e->ptr_arg(e, 1), i, 0);
	e->loop_end(e, 0, NULL);
	e->end(e);
}

static CgJit *compile(const char *cpu, const Function *fn, Apply **vector, Apply **scalar)
{
	Diag *d = diag_new();
	CgOptions o = {.cpu = cpu};
	CgModule *c = cg_new("math", &o, d);
	ck_assert_ptr_nonnull(c);
	emit_function(cg_emitter(c), "vector", fn->row, true);
	emit_function(cg_emitter(c), "scalar", fn->row, false);
	CgJit *j = cg_jit(c, d);
	diag_print(d, stderr);
	ck_assert_ptr_nonnull(j);
	*(void **)vector = cg_jit_symbol(j, "vector");
	*(void **)scalar = cg_jit_symbol(j, "scalar");
	diag_free(d);
	return j;
}

static float from_bits(uint32_t u)
{
	float x;
	memcpy(&x, &u, sizeof(x));
	return x;
}

/* Distance of got from want in units of the last place of want as f32 */
static double ulps(float got, double want)
{
	float near = (float)want;
	if (isnan(want) || isnan(got))
		return isnan(want) && isnan(got) ? 0 : INFINITY;
	if (isinf(want) || isinf(got) || isinf(near))
		return got == near || (isinf(near) && !isinf(want) && fabsf(got) == FLT_MAX) ? 0 : INFINITY;
	double a = fabs(want);
	double place = a < FLT_MIN ? 0x1p-149 : ldexp(1, ilogb(a) - 23);
	return fabs(got - want) / place;
}

enum { SPREAD = 1 << 20, NEAR = 1 << 18, SPECIAL = 16, TOTAL = SPREAD + NEAR + SPECIAL };

static void fill(float *x)
{
	static const float special[SPECIAL] = {0.0f, -0.0f, 1.0f, -1.0f, INFINITY, -INFINITY, NAN, FLT_MIN, -FLT_MIN, FLT_MAX,
	                                       -FLT_MAX, 0x1p-149f, -0x1p-149f, 88.72284f, -103.972f, 0.5f};
	for (uint32_t i = 0; i < SPREAD; i++)
		x[i] = from_bits(i * 4096u + (i * 2654435761u >> 20));
	for (uint32_t i = 0; i < NEAR; i++) /* where most of the work is: -20 … 20 */
		x[SPREAD + i] = ((float)i - NEAR / 2) * (40.0f / NEAR);
	memcpy(x + SPREAD + NEAR, special, sizeof(special));
}

static void check_function(const Function *fn, const char *cpu, const float *x, float *y, float *z)
{
	Apply *vector, *scalar;
	CgJit *j = compile(cpu, fn, &vector, &scalar);
	double worst = 0;
	float at = 0;
	int differ = 0;
	vector(x, y, TOTAL);
	scalar(x, z, TOTAL);
	for (int i = 0; i < TOTAL; i++) {
		double u = ulps(y[i], fn->of(x[i]));
		if (u > worst) {
			worst = u;
			at = x[i];
		}
		differ += isnan(y[i]) ? !isnan(z[i]) : memcmp(&y[i], &z[i], sizeof(float)) != 0;
	}
	printf("%-8s %-10s at most %.3f ulp, at %a\n", fn->name, cpu, worst, at);
	ck_assert_msg(worst <= 2, "%s on %s: %.3g ulp at %a", fn->name, cpu, worst, at);
	ck_assert_msg(differ == 0, "%s on %s: vector and scalar differ for %d arguments", fn->name, cpu, differ);
	cg_jit_free(j);
}

START_TEST(within_two_ulp)
{
	float *x = malloc(TOTAL * sizeof(float)), *y = malloc(TOTAL * sizeof(float)), *z = malloc(TOTAL * sizeof(float));
	fill(x);
	for (size_t c = 0; c < COUNT(cpus); c++) {
		if (cpu_runs(cpus[c]))
			check_function(&functions[_i], cpus[c], x, y, z);
	}
	free(x);
	free(y);
	free(z);
}
END_TEST

START_TEST(zeros_keep_their_sign)
{
	static const KRow odd[] = {EW_sin, EW_tanh, EW_erf, EW_log1p};
	for (size_t i = 0; i < COUNT(odd); i++) {
		Function fn = {"odd", odd[i], NULL};
		Apply *vector, *scalar;
		float zero[2] = {-0.0f, 0.0f}, out[2];
		CgJit *j = compile("native", &fn, &vector, &scalar);
		scalar(zero, out, 2);
		ck_assert(out[0] == 0 && signbit(out[0]) && out[1] == 0 && !signbit(out[1]));
		cg_jit_free(j);
	}
}
END_TEST

typedef void Draw(const uint32_t *key, const uint32_t *counter, uint32_t *out);

static void emit_philox(KEmit *e, bool vector)
{
	EVal p[3], key[2], c[4];
	e->begin(e, vector ? "vector" : "scalar", 3, 0, false);
	for (int i = 0; i < 3; i++)
		p[i] = e->ptr_arg(e, i);
	for (int i = 0; i < 2; i++)
		key[i] = e->load(e, DT_U32, p[0], e->i64(e, i), 0);
	for (int i = 0; i < 4; i++) {
		EVal at = e->i64(e, i * K_LANES);
		c[i] = vector ? e->load_vec(e, DT_U32, p[1], at, 0, K_LANES) : e->load(e, DT_U32, p[1], at, 0);
	}
	EVal r = math_philox(e, key[0], key[1], c[0], c[1], c[2], c[3]);
	if (vector)
		e->store_vec(e, DT_U32, r, p[2], e->i64(e, 0), 0, K_LANES);
	else
		e->store(e, DT_U32, r, p[2], e->i64(e, 0), 0);
	e->end(e);
}

static void check_philox(const char *cpu)
{
	Diag *d = diag_new();
	CgModule *c = cg_new("philox", &(CgOptions){.cpu = cpu}, d);
	Draw *vector, *scalar;
	emit_philox(cg_emitter(c), true);
	emit_philox(cg_emitter(c), false);
	CgJit *j = cg_jit(c, d);
	*(void **)&vector = cg_jit_symbol(j, "vector");
	*(void **)&scalar = cg_jit_symbol(j, "scalar");
	for (uint32_t round = 0; round < 100; round++) {
		uint32_t key[2] = {round * 0x85EBCA6Bu, ~round}, counter[4 * K_LANES], out[K_LANES], one;
		for (uint32_t i = 0; i < COUNT(counter); i++)
			counter[i] = (i + round) * 0x9E3779B1u;
		vector(key, counter, out);
		scalar(key, counter, &one);
		ck_assert_uint_eq(one, out[0]);
		for (int i = 0; i < K_LANES; i++) {
			uint64_t seed = key[0] | (uint64_t)key[1] << 32;
			uint32_t want = philox(seed, counter[i], counter[K_LANES + i], counter[2 * K_LANES + i],
			                       counter[3 * K_LANES + i], 0);
			ck_assert_uint_eq(out[i], want);
		}
	}
	cg_jit_free(j);
	diag_free(d);
}

START_TEST(philox_is_the_interpreters)
{
	for (size_t c = 0; c < COUNT(cpus); c++) {
		if (cpu_runs(cpus[c]))
			check_philox(cpus[c]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("math");
	TCase *t = tcase_create("functions");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, within_two_ulp, 0, (int)COUNT(functions));
	tcase_add_test(t, zeros_keep_their_sign);
	tcase_add_test(t, philox_is_the_interpreters);
	suite_add_tcase(s, t);
	return suite_run(s);
}

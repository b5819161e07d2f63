/* math.c -- exp log log1p sin cos tanh erf sigmoid in f32, and Philox, as straight code over the emit table
 *
 * One definition for every target, scalar or vector: no branch, no table in memory, no call of libm. Each is within 2 ulp of
 * the double-precision function over the whole range of f32, with its zeros, infinities, NaN and subnormal results
 * (tests/numeric/math.c). The polynomials are our own minimax fits (Remez exchange in 40 digits on the interval given,
 * relative error weighted by the function, then coefficients rounded to f32 one by one, the others fitted again).
 * The reductions are exact without a fused multiply-add too, so that targets that have none stay within the bound.
 */
#include <math.h>
#include "codegen/emit.h"

/* ---- shorthands ---- */
static EVal num(KEmit *e, DType t, double v, EVal like)
{
	return e->konst(e, t, v, e->width(e, like));
}

static EVal f(KEmit *e, double v, EVal like)
{
	return num(e, DT_F32, v, like);
}

static EVal add(KEmit *e, EVal a, EVal b)
{
	return e->ewise(e, EW_add, DT_F32, a, b, NULL);
}

static EVal sub(KEmit *e, EVal a, EVal b)
{
	return e->ewise(e, EW_sub, DT_F32, a, b, NULL);
}

static EVal mul(KEmit *e, EVal a, EVal b)
{
	return e->ewise(e, EW_mul, DT_F32, a, b, NULL);
}

static EVal quotient(KEmit *e, EVal a, EVal b)
{
	return e->ewise(e, EW_div, DT_F32, a, b, NULL);
}

static EVal mad(KEmit *e, EVal a, EVal b, EVal c)
{
	return e->ewise(e, EW_fma, DT_F32, a, b, c);
}

static EVal choose(KEmit *e, DType t, EVal cond, EVal a, EVal b)
{
	return e->ewise(e, EW_select, t, cond, a, b);
}

static EVal less(KEmit *e, EVal a, double b)
{
	return e->cmp(e, E_LT, DT_F32, a, f(e, b, a));
}

static EVal magnitude(KEmit *e, EVal a)
{
	return e->ewise(e, EW_abs, DT_F32, a, NULL, NULL);
}

static EVal word(KEmit *e, EBit op, EVal a, double b) /* u32 with a constant */
{
	return e->bit(e, op, DT_U32, a, num(e, DT_U32, b, a));
}

static EVal wplus(KEmit *e, EVal a, EVal b) /* u32 sum, wrapping */
{
	return e->ewise(e, EW_add, DT_U32, a, b, NULL);
}

static EVal bits(KEmit *e, EVal a)
{
	return e->bitcast(e, a, DT_F32, DT_U32);
}

static EVal from_bits(KEmit *e, EVal a)
{
	return e->bitcast(e, a, DT_U32, DT_F32);
}

/* c[0] + c[1] x + … */
static EVal poly(KEmit *e, EVal x, const double *c, int n)
{
	EVal y = f(e, c[n - 1], x);
	for (int i = n - 2; i >= 0; i--)
		y = mad(e, y, x, f(e, c[i], x));
	return y;
}
#define POLY(e, x, c) poly(e, x, c, (int)COUNT(c))

static EVal sign_bit(KEmit *e, EVal a)
{
	return word(e, E_AND, bits(e, a), 0x80000000u);
}

/* y with the sign of the word `sign` flipped in */
static EVal flip(KEmit *e, EVal y, EVal sign)
{
	return from_bits(e, e->bit(e, E_XOR, DT_U32, bits(e, y), sign));
}

/* ---- exp ---- */
/* ln 2 in two parts; the first has 14 bits, so k times it is exact for every exponent k */
static const double ln2_hi = 0x1.62e4p-1, ln2_lo = 0x1.7f7d1cp-20;

/* 2^k as f32 for the i32 (or wrapped u32) k in -126 … 127 */
static EVal power_of_2(KEmit *e, EVal k)
{
	return from_bits(e, word(e, E_SHL, wplus(e, k, num(e, DT_U32, 127, k)), 23));
}

/* x = k ln 2 + r, |r| <= ln 2 / 2;  e^x = 2^k (1 + r + r^2 q(r)), the scale in two factors so that it over- and
 * underflows as the exact value does. */
static EVal exp_f32(KEmit *e, EVal x)
{
	static const double q[] = {0x1.fffffcp-2, 0x1.555482p-3, 0x1.555826p-5, 0x1.124492p-7, 0x1.6afe16p-10};
	const double log2e = 0x1.715476p+0, to_integer = 0x1.8p23; /* adding it rounds to an integer in the low bits */
	EVal in = e->ewise(e, EW_min, DT_F32, e->ewise(e, EW_max, DT_F32, x, f(e, -104, x), NULL), f(e, 89.5, x), NULL);
	EVal shifted = mad(e, in, f(e, log2e, x), f(e, to_integer, x));
	EVal k = sub(e, shifted, f(e, to_integer, x));
	EVal ik = wplus(e, bits(e, shifted), num(e, DT_U32, (uint32_t)-0x4b400000, x));
	EVal r = mad(e, k, f(e, -ln2_hi, x), in);
	r = mad(e, k, f(e, -ln2_lo, x), r);
	EVal y = add(e, f(e, 1, x), mad(e, mul(e, r, r), POLY(e, r, q), r));
	EVal half = e->bit(e, E_ASHR, DT_I32, ik, num(e, DT_I32, 1, x));
	EVal rest = e->ewise(e, EW_sub, DT_U32, ik, half, NULL);
	return mul(e, mul(e, y, power_of_2(e, half)), power_of_2(e, rest));
}

/* ---- log ---- */
/* log(1 + t), t in sqrt(1/2) - 1 … sqrt(2) - 1, plus k ln 2 */
static EVal log_of_parts(KEmit *e, EVal t, EVal k)
{
	static const double p[] = {0x1.555548p-2, -0x1.00007p-2, 0x1.99a54p-3, -0x1.552f18p-3, 0x1.23036ap-3,
	                           -0x1.0103dcp-3, 0x1.eff12ap-4, -0x1.bf2a1p-4, 0x1.b5aadp-5};
	EVal t2 = mul(e, t, t);
	EVal y = mul(e, mul(e, t2, t), POLY(e, t, p));
	y = mad(e, k, f(e, ln2_lo, t), y);
	y = mad(e, t2, f(e, -0.5, t), y);
	y = add(e, y, t);
	return mad(e, k, f(e, ln2_hi, t), y);
}

/* u = 2^k m with m in sqrt(1/2) … sqrt(2); u positive and normal. k as i32. */
static EVal split_power(KEmit *e, EVal u, EVal *k)
{
	const double sqrt_half = 0x3f3504f3;
	EVal x = e->ewise(e, EW_sub, DT_U32, bits(e, u), num(e, DT_U32, sqrt_half, u), NULL);
	*k = e->bit(e, E_ASHR, DT_I32, x, num(e, DT_I32, 23, u));
	return from_bits(e, wplus(e, word(e, E_AND, x, 0x7fffff), num(e, DT_U32, sqrt_half, u)));
}

/* y, but: NaN below `pole`, -inf at it, x itself for inf and NaN */
static EVal log_limits(KEmit *e, EVal x, double pole, EVal y)
{
	y = choose(e, DT_F32, e->cmp(e, E_EQ, DT_F32, x, f(e, pole, x)), f(e, -INFINITY, x), y);
	y = choose(e, DT_F32, less(e, x, INFINITY), y, x);
	return choose(e, DT_F32, less(e, x, pole), f(e, NAN, x), y);
}

static EVal log_f32(KEmit *e, EVal x)
{
	EVal k, tiny = less(e, x, 0x1p-126);
	EVal m = split_power(e, choose(e, DT_F32, tiny, mul(e, x, f(e, 0x1p23, x)), x), &k);
	EVal exponent = add(e, e->cast(e, k, DT_I32, DT_F32), choose(e, DT_F32, tiny, f(e, -23, x), f(e, 0, x)));
	return log_limits(e, x, 0, log_of_parts(e, sub(e, m, f(e, 1, x)), exponent));
}

/* log of u = 1 + x and of what rounding lost in it (Knuth's two-sum) */
static EVal log1p_f32(KEmit *e, EVal x)
{
	EVal one = f(e, 1, x), k, u = add(e, one, x), back = sub(e, u, one);
	EVal lost = add(e, sub(e, one, sub(e, u, back)), sub(e, x, back));
	EVal m = split_power(e, u, &k);
	EVal scale = e->ewise(e, EW_sub, DT_I32, num(e, DT_I32, 127, x), k, NULL);
	scale = e->ewise(e, EW_max, DT_I32, scale, num(e, DT_I32, 0, x), NULL); /* 2^-127 and less: lost is 0 there */
	EVal t = mad(e, lost, from_bits(e, word(e, E_SHL, scale, 23)), sub(e, m, one));
	EVal y = log_limits(e, x, -1, log_of_parts(e, t, e->cast(e, k, DT_I32, DT_F32)));
	return choose(e, DT_F32, e->cmp(e, E_EQ, DT_F32, x, f(e, 0, x)), x, y); /* keeps -0 */
}

/* ---- sin, cos ---- */
/* 32 zero bits, then 2/pi: the 128 bits from bit `from` (0 … 135) on, as three words and a part that is dropped */
static void two_over_pi(KEmit *e, EVal from, EVal w[3])
{
	static const uint32_t table[] = {0, 0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab};
	EVal index = word(e, E_LSHR, from, 5), shift = word(e, E_AND, from, 31), at[4];
	EVal left = e->ewise(e, EW_sub, DT_U32, num(e, DT_U32, 31, from), shift, NULL);
	for (int i = 0; i < 4; i++) {
		at[i] = num(e, DT_U32, table[i], from);
		for (int j = 1; j <= 4; j++) {
			EVal here = e->cmp(e, E_EQ, DT_U32, index, num(e, DT_U32, j, from));
			at[i] = choose(e, DT_U32, here, num(e, DT_U32, table[i + j], from), at[i]);
		}
	}
	for (int i = 0; i < 3; i++) {
		EVal low = e->bit(e, E_LSHR, DT_U32, word(e, E_LSHR, at[i + 1], 1), left);
		w[i] = e->bit(e, E_OR, DT_U32, e->bit(e, E_SHL, DT_U32, at[i], shift), low);
	}
}

/* a >= 0 is (quadrant + r 2/pi) pi/2, |r| <= pi/4, quadrant modulo 4. Payne and Hanek: a = m 2^E with a 24-bit m, so bits of
 * 2/pi above 2^(1-E) only add whole turns; of the others 96 are enough for every f32. */
static EVal reduce_angle(KEmit *e, EVal a, EVal *quadrant)
{
	EVal b = bits(e, a), w[3];
	EVal exponent = word(e, E_LSHR, b, 23), m = word(e, E_OR, word(e, E_AND, b, 0x7fffff), 0x800000);
	EVal from = e->ewise(e, EW_sub, DT_I32, exponent, num(e, DT_I32, 120, a), NULL);
	two_over_pi(e, e->ewise(e, EW_max, DT_I32, from, num(e, DT_I32, 0, a), NULL), w);
	EVal lo = e->ewise(e, EW_mul, DT_U32, m, w[1], NULL);
	EVal mid = wplus(e, lo, e->bit(e, E_MULHI_U32, DT_U32, m, w[2]));
	EVal carry = e->cast(e, e->cmp(e, E_LT, DT_U32, mid, lo), DT_BOOL, DT_U32);
	EVal top = wplus(e, e->ewise(e, EW_mul, DT_U32, m, w[0], NULL), e->bit(e, E_MULHI_U32, DT_U32, m, w[1]));
	top = wplus(e, top, carry);
	EVal q = word(e, E_LSHR, wplus(e, top, num(e, DT_U32, 0x20000000, a)), 30); /* nearest quarter turn */
	EVal over = e->ewise(e, EW_sub, DT_U32, top, word(e, E_SHL, q, 30), NULL);  /* signed, in 2^-30 quarter turns */
	const double quarter = 0x1.921fb54442d18p+0; /* pi/2 */
	EVal turn = e->ewise(e, EW_mul, DT_F64, e->cast(e, over, DT_I32, DT_F64), num(e, DT_F64, 0x1p-30 * quarter, a), NULL);
	turn = e->ewise(e, EW_fma, DT_F64, e->cast(e, mid, DT_U32, DT_F64), num(e, DT_F64, 0x1p-62 * quarter, a), turn);
	EVal small = less(e, a, 0.5);
	*quadrant = choose(e, DT_U32, small, num(e, DT_U32, 0, a), q);
	return choose(e, DT_F32, small, a, e->cast(e, turn, DT_F64, DT_F32));
}

static EVal sine(KEmit *e, EVal x, bool cosine)
{
	static const double s[] = {-0x1.555546p-3, 0x1.110774p-7, -0x1.9951e8p-13};
	static const double c[] = {0x1.55554ap-5, -0x1.6c0c28p-10, 0x1.99e80cp-16};
	EVal a = magnitude(e, x), q;
	EVal r = reduce_angle(e, a, &q), r2 = mul(e, r, r);
	if (cosine)
		q = wplus(e, q, num(e, DT_U32, 1, x));
	EVal of_sin = mad(e, mul(e, r, r2), POLY(e, r2, s), r);
	EVal of_cos = mad(e, mul(e, r2, r2), POLY(e, r2, c), mad(e, r2, f(e, -0.5, x), f(e, 1, x)));
	EVal odd = e->cmp(e, E_NE, DT_U32, word(e, E_AND, q, 1), num(e, DT_U32, 0, x));
	EVal sign = word(e, E_SHL, word(e, E_AND, q, 2), 30);
	if (!cosine)
		sign = e->bit(e, E_XOR, DT_U32, sign, sign_bit(e, x));
	EVal y = flip(e, choose(e, DT_F32, odd, of_cos, of_sin), sign);
	return choose(e, DT_F32, less(e, a, INFINITY), y, f(e, NAN, x));
}

/* ---- tanh, erf, sigmoid ---- */
/* near 0 an odd polynomial, else 1 - 2 / (e^2a + 1) */
static EVal tanh_f32(KEmit *e, EVal x)
{
	static const double p[] = {-0x1.555532p-2, 0x1.1106f6p-3, -0x1.b835a4p-5, 0x1.51f8ccp-6, -0x1.750ccap-8};
	EVal a = magnitude(e, x), a2 = mul(e, a, a), one = f(e, 1, x);
	EVal small = mad(e, mul(e, a, a2), POLY(e, a2, p), a);
	EVal large = sub(e, one, quotient(e, f(e, 2, x), add(e, exp_f32(e, add(e, a, a)), one)));
	return flip(e, choose(e, DT_F32, less(e, a, 0.625), small, large), sign_bit(e, x));
}

/* near 0 an odd polynomial, else 1 - e^-g, g a polynomial close to -log(erfc) on 0.92 … 4 */
static EVal erf_f32(KEmit *e, EVal x)
{
	static const double p[] = {0x1.06eba8p-3, -0x1.81274p-2, 0x1.ce2d64p-4, -0x1.b80118p-6, 0x1.5449e4p-8,
	                           -0x1.a606c2p-11, 0x1.4f562ep-14};
	static const double g[] = {-0x1.6e5612p-13, 0x1.2127e4p+0, 0x1.44460ap-1, 0x1.bb841p-4, -0x1.9b8f5ap-6,
	                           0x1.115d04p-8, -0x1.c79c2cp-12, 0x1.61ff36p-16};
	EVal a = magnitude(e, x), small = mad(e, a, POLY(e, mul(e, a, a), p), a);
	EVal b = e->ewise(e, EW_min, DT_F32, a, f(e, 4, x), NULL);
	EVal tail = exp_f32(e, e->ewise(e, EW_neg, DT_F32, POLY(e, b, g), NULL, NULL));
	EVal large = sub(e, f(e, 1, x), tail);
	return flip(e, choose(e, DT_F32, less(e, a, 0.92), small, large), sign_bit(e, x));
}

/* z = e^-|x|: 1 / (1 + z), or z / (1 + z) for negative x, which keeps the small values. What rounding lost in 1 + z is put
 * back to first order, with 1 / (1 + z) taken from its best straight line on 1 … 2. */
static EVal sigmoid_f32(KEmit *e, EVal x)
{
	EVal z = exp_f32(e, e->ewise(e, EW_neg, DT_F32, magnitude(e, x), NULL, NULL)), one = f(e, 1, x);
	EVal below = add(e, one, z), lost = sub(e, z, sub(e, below, one));
	EVal y = quotient(e, choose(e, DT_F32, less(e, x, 0), z, one), below);
	EVal share = mul(e, lost, mad(e, below, f(e, -0.5, x), f(e, 1.457, x)));
	return sub(e, y, mul(e, y, share));
}

EVal math_ewise(KEmit *e, KRow row, EVal a)
{
	switch (row) {
	case EW_exp:
		return exp_f32(e, a);
	case EW_log:
		return log_f32(e, a);
	case EW_log1p:
		return log1p_f32(e, a);
	case EW_sin:
	case EW_cos:
		return sine(e, a, row == EW_cos);
	case EW_tanh:
		return tanh_f32(e, a);
	case EW_erf:
		return erf_f32(e, a);
	case EW_sigmoid:
		return sigmoid_f32(e, a);
	default:
		ICE("ewise row %d is not a function of math.c", (int)row);
	}
}

/* ---- random numbers: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC'11) ---- */
EVal math_philox(KEmit *e, EVal key_lo, EVal key_hi, EVal c0, EVal c1, EVal c2, EVal c3)
{
	const double multiply[] = {0xD2511F53, 0xCD9E8D57}, weyl[] = {0x9E3779B9, 0xBB67AE85};
	EVal c[] = {c0, c1, c2, c3}, key[] = {key_lo, key_hi};
	bool wide = e->width(e, c0) > 1;
	for (int round = 0; round < 10; round++) {
		EVal m0 = num(e, DT_U32, multiply[0], c0), m1 = num(e, DT_U32, multiply[1], c0);
		EVal k0 = wide ? e->splat(e, key[0]) : key[0], k1 = wide ? e->splat(e, key[1]) : key[1];
		EVal high0 = e->bit(e, E_MULHI_U32, DT_U32, m0, c[0]), low0 = e->ewise(e, EW_mul, DT_U32, m0, c[0], NULL);
		EVal high1 = e->bit(e, E_MULHI_U32, DT_U32, m1, c[2]), low1 = e->ewise(e, EW_mul, DT_U32, m1, c[2], NULL);
		c[0] = e->bit(e, E_XOR, DT_U32, e->bit(e, E_XOR, DT_U32, high1, c[1]), k0);
		c[2] = e->bit(e, E_XOR, DT_U32, e->bit(e, E_XOR, DT_U32, high0, c[3]), k1);
		c[1] = low1;
		c[3] = low0;
		for (int i = 0; i < 2; i++)
			key[i] = wplus(e, key[i], e->konst(e, DT_U32, weyl[i], 1));
	}
	return c[0];
}

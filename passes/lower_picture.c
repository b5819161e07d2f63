/* lower_picture.c -- augmentation as expressions: the formulas of ir/eval_picture.c, in the same order of operations
 *
 * Coefficients are computed in f64, coordinates in i32 (16.16), pixels in f32. What depends on the sample alone carries only
 * its axis, so an emitter computes it once a picture.
 */
#include <math.h>
#include "passes/lower.h"

static const double pi = 3.14159265358979323846;

static int ew2(LowerCx *cx, KRow row, DType t, int x, int y)
{
	return k_ewise(cx->arena, cx->k, row, t, x, y, -1);
}

static int konst(LowerCx *cx, DType t, double v)
{
	return k_konst(cx->arena, cx->k, t, v);
}

/* ---- finite f64 numbers: a structural zero takes what it touches with it ---- */
static bool is_zero(const LowerCx *cx, int x)
{
	return cx->k->expr[x].op == K_KONST && cx->k->expr[x].imm == 0;
}

static int num(LowerCx *cx, double v)
{
	return konst(cx, DT_F64, v);
}

static int mul(LowerCx *cx, int x, int y)
{
	return is_zero(cx, x) || is_zero(cx, y) ? num(cx, 0) : ew2(cx, EW_mul, DT_F64, x, y);
}

static int add(LowerCx *cx, int x, int y)
{
	return is_zero(cx, x) ? y : is_zero(cx, y) ? x : ew2(cx, EW_add, DT_F64, x, y);
}

static int neg(LowerCx *cx, int x)
{
	return is_zero(cx, x) ? x : k_ewise(cx->arena, cx->k, EW_neg, DT_F64, x, -1, -1);
}

static int sub(LowerCx *cx, int x, int y)
{
	return is_zero(cx, y) ? x : is_zero(cx, x) ? neg(cx, y) : ew2(cx, EW_sub, DT_F64, x, y);
}

/* f32 is enough: 2^-16 of a pixel */
static int wave(LowerCx *cx, KRow row, int angle)
{
	const int x = k_cast(cx->arena, cx->k, angle, DT_F32);
	return k_cast(cx->arena, cx->k, k_ewise(cx->arena, cx->k, row, DT_F32, x, -1, -1), DT_F64);
}

/* ---- affine_draw ---- */
typedef enum Draw { ROTATION, SHIFT_Y, SHIFT_X, SHEAR, ZOOM_X, ZOOM_Y, FLIP_H, FLIP_V } Draw;

typedef struct Map { int yy, yx, y0, xy, xx, x0; } Map; /* expressions; xy: what x takes from the output's y */

static int uniform(LowerCx *cx, const IrNode *n, int id, Draw which)
{
	const int word = k_random(cx->arena, cx->k, konst(cx, DT_U32, which), id, k_scalar(cx->arena, cx->k, SC_PASS, 0, 0),
	                          n->attr.affine.stream);
	const int high = ew2(cx, EW_shr, DT_U32, word, konst(cx, DT_U32, 8));
	return mul(cx, k_cast(cx->arena, cx->k, high, DT_F64), num(cx, 0x1p-24));
}

/* (u * 2 - 1) * range; nothing is drawn for a range of 0 */
static int symmetric(LowerCx *cx, const IrNode *n, int id, Draw which, double range)
{
	if (range == 0)
		return num(cx, 0);
	return mul(cx, sub(cx, mul(cx, uniform(cx, n, id, which), num(cx, 2)), num(cx, 1)), num(cx, range));
}

static int zoom(LowerCx *cx, const IrNode *n, int id, Draw which, double lo, double hi)
{
	const double range = hi - lo;
	if (range == 0)
		return num(cx, lo);
	return add(cx, mul(cx, uniform(cx, n, id, which), num(cx, range)), num(cx, lo));
}

typedef struct Angle { int cos, sin; } Angle;

static Angle angle(LowerCx *cx, const IrNode *n, int id, Draw which, double degrees)
{
	if (degrees == 0)
		return (Angle){ num(cx, 1), num(cx, 0) };
	const int v = symmetric(cx, n, id, which, degrees * pi / 180.0);
	return (Angle){ wave(cx, EW_cos, v), wave(cx, EW_sin, v) };
}

static Map affine_map(LowerCx *cx, const IrNode *n, int id)
{
	const double h = n->attr.affine.height, w = n->attr.affine.width;
	const Angle t = angle(cx, n, id, ROTATION, n->attr.affine.rotation);
	const Angle p = angle(cx, n, id, SHEAR, n->attr.affine.shear);
	const int ty = symmetric(cx, n, id, SHIFT_Y, n->attr.affine.height_shift * h);
	const int tx = symmetric(cx, n, id, SHIFT_X, n->attr.affine.width_shift * w);
	const int zx = zoom(cx, n, id, ZOOM_X, n->attr.affine.zoom_lo, n->attr.affine.zoom_hi);
	const int zy = zoom(cx, n, id, n->attr.affine.one_zoom ? ZOOM_X : ZOOM_Y, n->attr.affine.zoom_y_lo,
	                    n->attr.affine.zoom_y_hi);
	const int cy = num(cx, h * 0.5 - 0.5), mx = num(cx, w * 0.5 - 0.5);
	Map m = { .xx = mul(cx, t.cos, zx), .yx = mul(cx, t.sin, zx) };
	m.xy = neg(cx, mul(cx, add(cx, mul(cx, t.cos, p.sin), mul(cx, t.sin, p.cos)), zy));
	m.yy = mul(cx, sub(cx, mul(cx, t.cos, p.cos), mul(cx, t.sin, p.sin)), zy);
	m.x0 = sub(cx, add(cx, mx, sub(cx, mul(cx, t.cos, tx), mul(cx, t.sin, ty))),
	           add(cx, mul(cx, m.xx, mx), mul(cx, m.xy, cy)));
	m.y0 = sub(cx, add(cx, cy, add(cx, mul(cx, t.sin, tx), mul(cx, t.cos, ty))),
	           add(cx, mul(cx, m.yx, mx), mul(cx, m.yy, cy)));
	return m;
}

/* start + slope * last, -slope where flipped */
static void flip(LowerCx *cx, int flipped, double last, int *start, int *slope)
{
	const int from_end = add(cx, *start, mul(cx, *slope, num(cx, last)));
	*start = k_ewise(cx->arena, cx->k, EW_select, DT_F64, flipped, from_end, *start);
	*slope = k_ewise(cx->arena, cx->k, EW_select, DT_F64, flipped, neg(cx, *slope), *slope);
}

static Map affine_flip(LowerCx *cx, const IrNode *n, int id, Map m)
{
	const int half = num(cx, 0.5);
	if (n->attr.affine.flip_h) {
		const int f = ew2(cx, EW_lt, DT_BOOL, uniform(cx, n, id, FLIP_H), half);
		flip(cx, f, n->attr.affine.width - 1, &m.x0, &m.xx);
		flip(cx, f, n->attr.affine.width - 1, &m.y0, &m.yx);
	}
	if (n->attr.affine.flip_v) {
		const int f = ew2(cx, EW_lt, DT_BOOL, uniform(cx, n, id, FLIP_V), half);
		flip(cx, f, n->attr.affine.height - 1, &m.x0, &m.xy);
		flip(cx, f, n->attr.affine.height - 1, &m.y0, &m.yy);
	}
	return m;
}

static int to_fixed(LowerCx *cx, int v)
{
	const int scaled = add(cx, mul(cx, v, num(cx, 65536)), num(cx, 0.5));
	return k_cast(cx->arena, cx->k, k_ewise(cx->arena, cx->k, EW_floor, DT_F64, scaled, -1, -1), DT_I32);
}

int lower_affine_draw(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	const int id = k_cast(cx->arena, cx->k, lower_at(cx, n->in[0], idx), DT_U32);
	const Map m = affine_flip(cx, n, id, affine_map(cx, n, id));
	const int all[6] = { m.yy, m.yx, m.y0, m.xy, m.xx, m.x0 };
	const int which = k_axis_value(cx->arena, cx->k, idx[1]);
	int v = to_fixed(cx, all[5]);
	for (int i = 5; i-- > 0;) {
		const int here = ew2(cx, EW_eq, DT_BOOL, which, konst(cx, DT_I32, i));
		v = k_ewise(cx->arena, cx->k, EW_select, DT_I32, here, to_fixed(cx, all[i]), v);
	}
	return v;
}

/* ---- warp ---- */
typedef struct Position { int whole, fraction; bool moved; } Position; /* i32; f32 in [0, 1) */

static bool is_whole(const LowerCx *cx, int v) /* a known number of pixels */
{
	const KExpr *e = &cx->k->expr[v];
	return e->op == K_KONST && fmod(e->imm, 65536.0) == 0;
}

static int pixels(LowerCx *cx, int v)
{
	return konst(cx, DT_I32, cx->k->expr[v].imm / 65536.0);
}

/* Along axis 1 or 2: m[0] * oy + m[1] * ox + m[2], 16.16, of the axis' half of the map; without the other axis' term where
 * the node moves this one alone. */
static Position position(LowerCx *cx, const IrNode *n, const KIndex *idx, int axis)
{
	Arena *a = cx->arena;
	Kernel *k = cx->k;
	const uint32_t along = n->attr.warp.along;
	int v[3];
	if (along && !(along >> axis & 1))
		return (Position){ k_axis_value(a, k, idx[axis]), konst(cx, DT_F32, 0), false };
	for (int i = 0; i < 3; i++) {
		const bool other = i < 2 && i + 1 != axis;
		v[i] = along && other ? konst(cx, DT_I32, 0)
		                      : lower_at(cx, n->in[1], (KIndex[]){ idx[0], k_index((axis == 1 ? 0 : 3) + i) });
	}
	const bool whole = is_whole(cx, v[0]) && is_whole(cx, v[1]) && is_whole(cx, v[2]);
	for (int i = 0; whole && i < 3; i++)
		v[i] = pixels(cx, v[i]);
	const int y = ew2(cx, EW_mul, DT_I32, v[0], k_axis_value(a, k, idx[1]));
	const int x = ew2(cx, EW_mul, DT_I32, v[1], k_axis_value(a, k, idx[2]));
	const int at = ew2(cx, EW_add, DT_I32, ew2(cx, EW_add, DT_I32, y, x), v[2]);
	if (whole)
		return (Position){ at, konst(cx, DT_F32, 0), true };
	if (n->attr.warp.nearest) {
		const int near = ew2(cx, EW_add, DT_I32, at, konst(cx, DT_I32, 32768));
		return (Position){ ew2(cx, EW_shr, DT_I32, near, konst(cx, DT_I32, 16)), konst(cx, DT_F32, 0), true };
	}
	const int low = ew2(cx, EW_band, DT_I32, at, konst(cx, DT_I32, 65535));
	return (Position){
		.whole = ew2(cx, EW_shr, DT_I32, at, konst(cx, DT_I32, 16)),
		.fraction = ew2(cx, EW_mul, DT_F32, k_cast(a, k, low, DT_F32), konst(cx, DT_F32, 0x1p-16)),
		.moved = true,
	};
}

/* i modulo len, not negative. Exact in f32: |i| <= 2^15, len < 2^16. */
static int wrapped(LowerCx *cx, int i, int32_t len)
{
	Arena *a = cx->arena;
	Kernel *k = cx->k;
	const int ratio = ew2(cx, EW_div, DT_F32, k_cast(a, k, i, DT_F32), konst(cx, DT_F32, len));
	const int turns = k_cast(a, k, k_ewise(a, k, EW_floor, DT_F32, ratio, -1, -1), DT_I32);
	return ew2(cx, EW_sub, DT_I32, i, ew2(cx, EW_mul, DT_I32, turns, konst(cx, DT_I32, len)));
}

/* Where coordinate `whole` + step reads (nearest and constant: the load clamps). */
static KIndex filled(LowerCx *cx, IrFill fill, int whole, int32_t step, int32_t len)
{
	const KExpr *e = &cx->k->expr[whole];
	KIndex at = k_index(step);
	if (e->op == K_AXIS)
		at = k_index_affine(e->at[0], 1, step);
	else
		at.expr = (int16_t)whole;
	if (fill == FILL_NEAREST || fill == FILL_CONSTANT)
		return at;
	const int i = ew2(cx, EW_add, DT_I32, whole, konst(cx, DT_I32, step));
	at = k_index(0);
	if (fill == FILL_WRAP) {
		at.expr = (int16_t)wrapped(cx, i, len);
		return at;
	}
	const int r = wrapped(cx, i, 2 * len), back = ew2(cx, EW_sub, DT_I32, konst(cx, DT_I32, 2 * len - 1), r);
	at.expr = (int16_t)ew2(cx, EW_min, DT_I32, r, back);
	return at;
}

/* 0 <= whole + step < len */
static int within(LowerCx *cx, const Position *p, int32_t step, int32_t len)
{
	const int whole = p->whole;
	if (!p->moved)
		return konst(cx, DT_BOOL, 1);
	const int low = ew2(cx, EW_le, DT_BOOL, konst(cx, DT_I32, -step), whole);
	return ew2(cx, EW_and, DT_BOOL, low, ew2(cx, EW_lt, DT_BOOL, whole, konst(cx, DT_I32, len - step)));
}

static int pixel(LowerCx *cx, const IrNode *n, const KIndex *idx, const Position *y, const Position *x, int dy, int dx)
{
	const IrType *in = &n->in[0]->type;
	const IrFill fill = n->attr.warp.fill;
	const KIndex at[4] = { idx[0], filled(cx, fill, y->whole, dy, in->dim[1]), filled(cx, fill, x->whole, dx, in->dim[2]),
	                       idx[3] };
	const int v = k_cast(cx->arena, cx->k, lower_edge(cx, n->in[0], at, EDGE_CLAMP), DT_F32);
	if (fill != FILL_CONSTANT)
		return v;
	const int in_picture = ew2(cx, EW_and, DT_BOOL, within(cx, y, dy, in->dim[1]),
	                           within(cx, x, dx, in->dim[2]));
	return k_ewise(cx->arena, cx->k, EW_select, DT_F32, in_picture, v, konst(cx, DT_F32, n->attr.warp.cval));
}

/* Between pixels, which are finite; b is not read where t is known to be 0. */
static int lerp(LowerCx *cx, int a, int b, int t)
{
	if (is_zero(cx, t))
		return a;
	return ew2(cx, EW_add, DT_F32, a, ew2(cx, EW_mul, DT_F32, ew2(cx, EW_sub, DT_F32, b, a), t));
}

int lower_warp(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	const Position y = position(cx, n, idx, 1), x = position(cx, n, idx, 2);
	const int top = lerp(cx, pixel(cx, n, idx, &y, &x, 0, 0), pixel(cx, n, idx, &y, &x, 0, 1), x.fraction);
	const int bottom = lerp(cx, pixel(cx, n, idx, &y, &x, 1, 0), pixel(cx, n, idx, &y, &x, 1, 1), x.fraction);
	return lerp(cx, top, bottom, y.fraction);
}

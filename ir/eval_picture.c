/* eval_picture.c -- definitions of the augmentation ops: a random affine map a sample, and the resampling by it
 *
 * The map follows Keras 3, ImageDataGenerator and apply_affine_transform (order=1), with one difference: there the
 * height shift moves columns and the width shift rows (the axes are swapped after the matrix is built), and the
 * centre of a picture that is not square is off; here each name means what it says. The distribution is the same
 * where both ranges and both sides are equal.
 *
 * affine_draw, in double, in this order of operations (passes/lower repeats it in f64 expressions; the
 * coefficients then agree to the bit where neither rotation nor shear is drawn, and to 2^-16 of a pixel where sin
 * and cos are):
 *
 *   u[k]  = (philox(seed, k, id, pass, stream, word 0) >> 8) * 2^-24          k: the Draw below
 *   sym   = u * 2 - 1
 *   theta = sym[ROTATION] * (rotation * pi / 180)       phi = sym[SHEAR] * (shear * pi / 180)
 *   ty    = sym[SHIFT_Y] * (height_shift * H)           tx  = sym[SHIFT_X] * (width_shift * W)
 *   zx    = u[ZOOM_X] * (zoom_hi - zoom_lo) + zoom_lo   zy  = u[ZOOM_Y] * (zoom_y_hi - zoom_y_lo) + zoom_y_lo
 *                                                       one_zoom: u[ZOOM_X] here too
 *   c, s  = cos(theta), sin(theta)                      cp, sp = cos(phi), sin(phi)
 *
 *   rotation . shift . shear . zoom about the centre cy = H * 0.5 - 0.5, cx = W * 0.5 - 0.5, output to source:
 *   xx = c * zx        xy = -((c * sp + s * cp) * zy)        x0 = (cx + (c * tx - s * ty)) - (xx * cx + xy * cy)
 *   yx = s * zx        yy = (c * cp - s * sp) * zy           y0 = (cy + (s * tx + c * ty)) - (yx * cx + yy * cy)
 *
 *   flips act on the result, so on the output coordinate, o -> last - o:
 *   u[FLIP_H] < 0.5:   x0 = x0 + xx * (W - 1)   xx = -xx     y0 = y0 + yx * (W - 1)   yx = -yx
 *   u[FLIP_V] < 0.5:   x0 = x0 + xy * (H - 1)   xy = -xy     y0 = y0 + yy * (H - 1)   yy = -yy
 *
 *   each coefficient v is stored as floor(v * 65536 + 0.5), in the order yy yx y0 xy xx x0.
 *
 * (xy: what x takes from the output's y.) A range of zero draws nothing: theta = 0, c = 1, s = 0; zoom 1 to 1: 1.
 */
#include <math.h>
#include "ir/eval.h"

static const double pi = 3.14159265358979323846;

typedef enum Draw { ROTATION, SHIFT_Y, SHIFT_X, SHEAR, ZOOM_X, ZOOM_Y, FLIP_H, FLIP_V, DRAWS } Draw;

typedef struct Affine { double yy, yx, y0, xy, xx, x0; } Affine;

static Affine affine_map(const IrNode *n, const double *u)
{
	double h = n->attr.affine.height, w = n->attr.affine.width;
	double zoom_lo = n->attr.affine.zoom_lo, zoom = n->attr.affine.zoom_hi - zoom_lo;
	double zoom_y_lo = n->attr.affine.zoom_y_lo, zoom_y = n->attr.affine.zoom_y_hi - zoom_y_lo;
	double theta = (u[ROTATION] * 2.0 - 1.0) * (n->attr.affine.rotation * pi / 180.0);
	double phi = (u[SHEAR] * 2.0 - 1.0) * (n->attr.affine.shear * pi / 180.0);
	double ty = (u[SHIFT_Y] * 2.0 - 1.0) * (n->attr.affine.height_shift * h);
	double tx = (u[SHIFT_X] * 2.0 - 1.0) * (n->attr.affine.width_shift * w);
	double zx = u[ZOOM_X] * zoom + zoom_lo, zy = u[n->attr.affine.one_zoom ? ZOOM_X : ZOOM_Y] * zoom_y + zoom_y_lo;
	double c = cos(theta), s = sin(theta), cp = cos(phi), sp = sin(phi);
	double cy = h * 0.5 - 0.5, cx = w * 0.5 - 0.5;
	Affine m = { .xx = c * zx, .xy = -((c * sp + s * cp) * zy), .yx = s * zx, .yy = (c * cp - s * sp) * zy };
	m.x0 = (cx + (c * tx - s * ty)) - (m.xx * cx + m.xy * cy);
	m.y0 = (cy + (s * tx + c * ty)) - (m.yx * cx + m.yy * cy);
	return m;
}

static Affine affine_flip(const IrNode *n, const double *u, Affine m)
{
	if (n->attr.affine.flip_h && u[FLIP_H] < 0.5) {
		double last = n->attr.affine.width - 1;
		m = (Affine){ m.yy, -m.yx, m.y0 + m.yx * last, m.xy, -m.xx, m.x0 + m.xx * last };
	}
	if (n->attr.affine.flip_v && u[FLIP_V] < 0.5) {
		double last = n->attr.affine.height - 1;
		m = (Affine){ -m.yy, m.yx, m.y0 + m.yy * last, -m.xy, m.xx, m.x0 + m.xy * last };
	}
	return m;
}

static double to_fixed(double v)
{
	return ewise_wrap(floor(v * 65536.0 + 0.5), DT_I32);
}

void eval_affine_draw(const Eval *x)
{
	const IrNode *n = x->node;
	INVARIANT(x->s);
	int64_t rows = ir_elems(&n->type, x->n) / 6;
	for (int64_t i = 0; i < rows; i++) {
		double u[DRAWS], *out = x->out + i * 6;
		for (uint32_t k = 0; k < DRAWS; k++)
			u[k] = (philox(x->s->seed, k, (uint32_t)x->in[0][i], x->s->pass, n->attr.affine.stream, 0) >> 8) * 0x1p-24;
		Affine m = affine_flip(n, u, affine_map(n, u));
		double v[6] = { m.yy, m.yx, m.y0, m.xy, m.xx, m.x0 };
		for (int k = 0; k < 6; k++)
			out[k] = to_fixed(v[k]);
	}
}

/* ---- warp ---- */
/* Where a coordinate outside [0, len) reads; -1: the constant. Names and order of cells as scipy.ndimage:
 * reflect d c b a | a b c d | d c b a, wrap a b c d | a b c d | a b c d (its grid-wrap). */
static int64_t fill_at(IrFill fill, int64_t i, int64_t len)
{
	if (i >= 0 && i < len)
		return i;
	int64_t period = 2 * len, at;
	switch (fill) {
	case FILL_NEAREST:  return i < 0 ? 0 : len - 1;
	case FILL_CONSTANT: return -1;
	case FILL_REFLECT:
		at = (i % period + period) % period;
		return at < len ? at : period - 1 - at;
	case FILL_WRAP:     return (i % len + len) % len;
	}
	ICE("fill mode %d", (int)fill);
}

typedef struct Picture { const double *pixel; const Shape *shape; IrFill fill; double cval; } Picture;

static double pixel_at(const Picture *p, int64_t y, int64_t x, int64_t c)
{
	int64_t iy = fill_at(p->fill, y, p->shape->dim[1]), ix = fill_at(p->fill, x, p->shape->dim[2]);
	return iy < 0 || ix < 0 ? p->cval : p->pixel[iy * p->shape->stride[1] + ix * p->shape->stride[2] + c];
}

/* Bilinear at a 16.16 position: the integer parts choose four pixels (each goes through the fill mode), the fractions,
 * in units of 2^-16, mix them. top + (bottom - top) * fy, top = a + (b - a) * fx */
static double bilinear(const Picture *p, int32_t y, int32_t x, int64_t c)
{
	int64_t iy = y >> 16, ix = x >> 16;
	double fy = (y & 65535) * 0x1p-16, fx = (x & 65535) * 0x1p-16;
	double a = pixel_at(p, iy, ix, c), b = pixel_at(p, iy, ix + 1, c);
	double d = pixel_at(p, iy + 1, ix, c), e = pixel_at(p, iy + 1, ix + 1, c);
	double top = a + (b - a) * fx, bottom = d + (e - d) * fx;
	return top + (bottom - top) * fy;
}

/* nearest: the position rounded to whole pixels, halves up.
 *
 * Of a map that moves this axis alone: slope * o + start. */
static int32_t along_axis(const double *m, int axis, int64_t o)
{
	const uint32_t slope = (uint32_t)(int32_t)m[axis == 1 ? 0 : 4], start = (uint32_t)(int32_t)m[axis == 1 ? 2 : 5];
	return (int32_t)(slope * (uint32_t)o + start);
}

/* i32 arithmetic that wraps: what the kernels do. */
static int32_t coordinate(const double *m, int64_t oy, int64_t ox)
{
	uint32_t dy = (uint32_t)(int32_t)m[0], dx = (uint32_t)(int32_t)m[1], start = (uint32_t)(int32_t)m[2];
	return (int32_t)(dy * (uint32_t)oy + dx * (uint32_t)ox + start);
}

void eval_warp(const Eval *x)
{
	const uint32_t along = x->node->attr.warp.along;
	Shape to = shape_of(&x->node->type, x->n), from = shape_of(&x->node->in[0]->type, x->n);
	int64_t at[IR_MAX_RANK] = { 0 };
	for (int64_t i = 0; i < to.elems; i++, shape_next(&to, at)) {
		const double *m = x->in[1] + at[0] * 6;
		Picture p = { x->in[0] + at[0] * from.stride[0], &from, x->node->attr.warp.fill, x->node->attr.warp.cval };
		int32_t yx[2];
		for (int a = 1; a <= 2; a++)
			yx[a - 1] = !along ? coordinate(m + (a - 1) * 3, at[1], at[2]) : along >> a & 1 ? along_axis(m, a, at[a])
			                                                                                 : (int32_t)at[a] << 16;
		for (int a = 0; a < 2 && x->node->attr.warp.nearest; a++)
			yx[a] = (int32_t)(((uint32_t)yx[a] + 0x8000u) & ~0xffffu);
		x->out[i] = bilinear(&p, yx[0], yx[1], at[3]);
	}
}

/* winograd.c -- the transforms: see winograd.h
 *
 * Matrices: Lavin and Gray, "Fast algorithms for convolutional neural networks" (2015); interpolation points 0, 1, -1 and
 * infinity for m = 2, also 2 and -2 for m = 4.
 */
#include "passes/winograd.h"

enum { MOST = 6 };

typedef struct Cx { Arena *a; Kernel *k; } Cx;

typedef void Line(const Cx *cx, const int *in, int *out);

static int add(const Cx *cx, int x, int y)
{
	return k_ewise(cx->a, cx->k, EW_add, DT_F32, x, y, -1);
}

static int sub(const Cx *cx, int x, int y)
{
	return k_ewise(cx->a, cx->k, EW_sub, DT_F32, x, y, -1);
}

static int times(const Cx *cx, double c, int x)
{
	return k_ewise(cx->a, cx->k, EW_mul, DT_F32, x, k_konst(cx->a, cx->k, DT_F32, c), -1);
}

/* c * x + y */
static int plus(const Cx *cx, double c, int x, int y)
{
	return k_ewise(cx->a, cx->k, EW_fma, DT_F32, x, k_konst(cx->a, cx->k, DT_F32, c), y);
}

/* ---- F(2, 3) ---- */

static void weights_2(const Cx *cx, const int *g, int *u)
{
	int even = times(cx, 0.5, add(cx, g[0], g[2]));
	u[0] = g[0];
	u[1] = plus(cx, 0.5, g[1], even);
	u[2] = plus(cx, -0.5, g[1], even);
	u[3] = g[2];
}

static void input_2(const Cx *cx, const int *d, int *v)
{
	v[0] = sub(cx, d[0], d[2]);
	v[1] = add(cx, d[1], d[2]);
	v[2] = sub(cx, d[2], d[1]);
	v[3] = sub(cx, d[1], d[3]);
}

static void output_2(const Cx *cx, const int *m, int *y)
{
	y[0] = add(cx, m[0], add(cx, m[1], m[2]));
	y[1] = sub(cx, sub(cx, m[1], m[2]), m[3]);
}

/* ---- F(4, 3) ---- */

static void weights_4(const Cx *cx, const int *g, int *u)
{
	int near = times(cx, -1.0 / 6, add(cx, g[0], g[2])), far = plus(cx, 1.0 / 24, g[0], times(cx, 1.0 / 6, g[2]));
	u[0] = times(cx, 0.25, g[0]);
	u[1] = plus(cx, -1.0 / 6, g[1], near);
	u[2] = plus(cx, 1.0 / 6, g[1], near);
	u[3] = plus(cx, 1.0 / 12, g[1], far);
	u[4] = plus(cx, -1.0 / 12, g[1], far);
	u[5] = g[2];
}

static void input_4(const Cx *cx, const int *d, int *v)
{
	int even = plus(cx, -4, d[2], d[4]), odd = plus(cx, -4, d[1], d[3]), far = sub(cx, d[4], d[2]), step = sub(cx, d[3], d[1]);
	v[0] = plus(cx, 4, d[0], plus(cx, -5, d[2], d[4]));
	v[1] = add(cx, even, odd);
	v[2] = sub(cx, even, odd);
	v[3] = plus(cx, 2, step, far);
	v[4] = plus(cx, -2, step, far);
	v[5] = plus(cx, 4, d[1], plus(cx, -5, d[3], d[5]));
}

static void output_4(const Cx *cx, const int *m, int *y)
{
	int near = add(cx, m[1], m[2]), far = add(cx, m[3], m[4]), turn = sub(cx, m[1], m[2]), twist = sub(cx, m[3], m[4]);
	y[0] = add(cx, m[0], add(cx, near, far));
	y[1] = plus(cx, 2, twist, turn);
	y[2] = plus(cx, 4, far, near);
	y[3] = add(cx, m[5], plus(cx, 8, twist, turn));
}

/* ---- squares ---- */

static void square(Arena *a, Kernel *k, Line *line, int from, int to, const int *in, int *out)
{
	const Cx cx = {a, k};
	int half[MOST * MOST], column[MOST], got[MOST];
	for (int j = 0; j < from; j++) {
		for (int i = 0; i < from; i++)
			column[i] = in[i * from + j];
		line(&cx, column, got);
		for (int i = 0; i < to; i++)
			half[i * from + j] = got[i];
	}
	for (int i = 0; i < to; i++)
		line(&cx, &half[i * from], &out[i * to]);
}

void winograd_weights(Arena *a, Kernel *k, int m, const int *g, int *u)
{
	square(a, k, m == 2 ? weights_2 : weights_4, 3, m + 2, g, u);
}

void winograd_input(Arena *a, Kernel *k, int m, const int *d, int *v)
{
	square(a, k, m == 2 ? input_2 : input_4, m + 2, m + 2, d, v);
}

void winograd_output(Arena *a, Kernel *k, int m, const int *in, int *y)
{
	square(a, k, m == 2 ? output_2 : output_4, m + 2, m, in, y);
}

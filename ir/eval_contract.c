/* eval_contract.c -- definitions of the contractions: matmul, convolution and its two adjoints
 *
 * A convolution and its adjoints are one trilinear form, sum of x * w * y over the same index tuples; each op is
 * the form with one of the three left open.
 */
#include "ir/eval.h"

/* [m,k] x [k,n]; ta, tb: the operand is stored transposed. */
void eval_matmul(const Eval *x)
{
	bool ta = x->node->attr.matmul.ta, tb = x->node->attr.matmul.tb;
	Shape a = shape_of(&x->node->in[0]->type, x->n), b = shape_of(&x->node->in[1]->type, x->n);
	int64_t m = a.dim[ta], depth = a.dim[!ta], n = b.dim[!tb];
	for (int64_t i = 0; i < m; i++) {
		for (int64_t j = 0; j < n; j++) {
			double sum = 0.0;
			for (int64_t k = 0; k < depth; k++)
				sum += x->in[0][ta ? k * m + i : i * depth + k] * x->in[1][tb ? j * depth + k : k * n + j];
			x->out[i * n + j] = sum;
		}
	}
}

typedef enum Open { OPEN_Y, OPEN_X, OPEN_W } Open;

typedef struct Conv {
	const IrWindow *win;
	Shape xs, ws, ys;         /* (N, …, C), (…, C / groups, K), (N, …, K), … two or three axes of space */
	int space;
	const double *x, *w, *y;  /* the open one is NULL */
	double *out;
	Open open;
} Conv;

/* All terms of one output position and one tap: input pixel (iy, ix) of sample n. */
static void conv_tap(const Conv *c, int64_t pixel, int64_t tap, int64_t place)
{
	int64_t in_ch = c->ws.dim[c->space], out_ch = c->ws.dim[c->space + 1], per_group = out_ch / c->win->groups;
	for (int64_t k = 0; k < out_ch; k++) {
		for (int64_t i = 0; i < in_ch; i++) {
			int64_t xi = pixel * c->xs.dim[c->space + 1] + k / per_group * in_ch + i;
			int64_t wi = (tap * in_ch + i) * out_ch + k;
			int64_t yi = place * out_ch + k;
			switch (c->open) {
			case OPEN_Y: c->out[yi] += c->x[xi] * c->w[wi]; break;
			case OPEN_X: c->out[xi] += c->y[yi] * c->w[wi]; break;
			case OPEN_W: c->out[wi] += c->x[xi] * c->y[yi]; break;
			}
		}
	}
}

/* The pixel under tap number `tap` of window number `place`, both row-major; -1 outside. */
static int64_t conv_pixel(const Conv *c, int64_t place, int64_t tap)
{
	int64_t pixel = 0, stride = 1;
	for (int d = c->space; d >= 1; d--) {
		const int i = ir_window_outer(c->win, d - 1);
		const int64_t out = place % c->ys.dim[d], t = tap % c->ws.dim[d - 1];
		const int64_t in = out * c->win->stride[i] - c->win->pad[ir_pad_before(i)] + t * c->win->dilation[i];
		if (in < 0 || in >= c->xs.dim[d])
			return -1;
		pixel += in * stride;
		stride *= c->xs.dim[d];
		place /= c->ys.dim[d];
		tap /= c->ws.dim[d - 1];
	}
	return place * stride + pixel;
}

/* Cross-correlation, as every framework's conv2d; pixels outside the picture are zero. */
static void conv_walk(const Conv *c, int64_t elems)
{
	int64_t taps = 1, places = c->ys.dim[0];
	for (int64_t i = 0; i < elems; i++)
		c->out[i] = 0.0;
	for (int d = 0; d < c->space; d++) {
		taps *= c->ws.dim[d];
		places *= c->ys.dim[1 + d];
	}
	for (int64_t place = 0; place < places; place++) {
		for (int64_t tap = 0; tap < taps; tap++) {
			const int64_t pixel = conv_pixel(c, place, tap);
			if (pixel >= 0)
				conv_tap(c, pixel, tap, place);
		}
	}
}

static void conv_run(const Eval *e, Open open, const IrType *x, const IrType *w, const IrType *y, Conv c)
{
	c.win = &e->node->attr.conv;
	c.xs = shape_of(x, e->n);
	c.ws = shape_of(w, e->n);
	c.ys = shape_of(y, e->n);
	c.open = open;
	c.space = ir_window_axes(c.win);
	c.out = e->out;
	conv_walk(&c, ir_elems(&e->node->type, e->n));
}

void eval_conv(const Eval *e)
{
	const IrNode *n = e->node;
	conv_run(e, OPEN_Y, &n->in[0]->type, &n->in[1]->type, &n->type, (Conv){ .x = e->in[0], .w = e->in[1] });
}

void eval_conv_dx(const Eval *e)
{
	const IrNode *n = e->node;
	conv_run(e, OPEN_X, &n->type, &n->in[1]->type, &n->in[0]->type, (Conv){ .y = e->in[0], .w = e->in[1] });
}

void eval_conv_dw(const Eval *e)
{
	const IrNode *n = e->node;
	conv_run(e, OPEN_W, &n->in[0]->type, &n->type, &n->in[1]->type, (Conv){ .x = e->in[0], .y = e->in[1] });
}

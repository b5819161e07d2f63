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
	Shape xs, ws, ys;         /* (N, H, W, C), (R, S, C / groups, K), (N, OH, OW, K) */
	const double *x, *w, *y;  /* the open one is NULL */
	double *out;
	Open open;
} Conv;

/* All terms of one output position and one tap: input pixel (iy, ix) of sample n. */
static void conv_tap(const Conv *c, int64_t pixel, int64_t tap, int64_t place)
{
	int64_t in_ch = c->ws.dim[2], out_ch = c->ws.dim[3], per_group = out_ch / c->win->groups;
	for (int64_t k = 0; k < out_ch; k++) {
		for (int64_t i = 0; i < in_ch; i++) {
			int64_t xi = pixel * c->xs.dim[3] + k / per_group * in_ch + i;
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

/* Cross-correlation, as every framework's conv2d; pixels outside the picture are zero. */
static void conv_walk(const Conv *c, int64_t elems)
{
	for (int64_t i = 0; i < elems; i++)
		c->out[i] = 0.0;
	int64_t taps = c->ws.dim[0] * c->ws.dim[1];
	for (int64_t place = 0; place < c->ys.dim[0] * c->ys.dim[1] * c->ys.dim[2]; place++) {
		int64_t ox = place % c->ys.dim[2], oy = place / c->ys.dim[2] % c->ys.dim[1];
		int64_t n = place / c->ys.dim[2] / c->ys.dim[1];
		for (int64_t tap = 0; tap < taps; tap++) {
			int64_t r = tap / c->ws.dim[1], s = tap % c->ws.dim[1];
			int64_t iy = oy * c->win->stride[0] - c->win->pad[0] + r * c->win->dilation[0];
			int64_t ix = ox * c->win->stride[1] - c->win->pad[1] + s * c->win->dilation[1];
			if (iy >= 0 && iy < c->xs.dim[1] && ix >= 0 && ix < c->xs.dim[2])
				conv_tap(c, (n * c->xs.dim[1] + iy) * c->xs.dim[2] + ix, tap, place);
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

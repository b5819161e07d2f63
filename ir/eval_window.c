/* eval_window.c -- definitions of the pooling ops, NHWC
 *
 * A window sees only cells inside the picture: padding never wins a maximum and does not count in a mean (Keras,
 * TensorFlow SAME pooling). Ties go to the first cell in row-major order of the window; the first NaN beats
 * everything.
 */
#include <math.h>
#include "ir/eval.h"

typedef struct Pool {
	const IrWindow *win;
	Shape big, small; /* (N, H, W, C), (N, OH, OW, C); or with depth */
} Pool;

static Pool pool_of(const Eval *x, const IrType *big, const IrType *small)
{
	return (Pool){ &x->node->attr.pool, shape_of(big, x->n), shape_of(small, x->n) };
}

/* Element of the picture under cell `cell` (row-major in the window) of window `place` (element of the small tensor);
 * -1 outside. */
static int64_t pool_cell(const Pool *p, int64_t place, int64_t cell)
{
	const int space = ir_window_axes(p->win);
	int64_t at = place % p->small.dim[space + 1]; /* channel */
	for (int d = space; d >= 1; d--) {
		const int i = ir_window_outer(p->win, d - 1);
		const int64_t out = place / p->small.stride[d] % p->small.dim[d], tap = cell % p->win->size[i];
		const int64_t in = out * p->win->stride[i] - p->win->pad[ir_pad_before(i)] + tap * p->win->dilation[i];
		if (in < 0 || in >= p->big.dim[d])
			return -1;
		at += in * p->big.stride[d];
		cell /= p->win->size[i];
	}
	return place / p->small.stride[0] * p->big.stride[0] + at;
}

static int64_t pool_cells(const Pool *p)
{
	int64_t cells = 1;
	for (int i = 0; i < ir_window_axes(p->win); i++)
		cells *= p->win->size[i];
	return cells;
}

/* Winning cell of a window; -1 if it lies wholly outside (the shape rule does not let that happen). */
static int64_t pool_winner(const Pool *p, const double *v, int64_t place)
{
	int64_t best = -1;
	double max = 0.0;
	for (int64_t cell = 0; cell < pool_cells(p); cell++) {
		int64_t at = pool_cell(p, place, cell);
		if (at < 0)
			continue;
		if (best < 0 || v[at] > max || (isnan(v[at]) && !isnan(max))) {
			best = cell;
			max = v[at];
		}
	}
	return best;
}

void eval_maxpool(const Eval *x)
{
	Pool p = pool_of(x, &x->node->in[0]->type, &x->node->type);
	for (int64_t i = 0; i < p.small.elems; i++) {
		int64_t cell = pool_winner(&p, x->in[0], i);
		x->out[i] = cell < 0 ? -INFINITY : x->in[0][pool_cell(&p, i, cell)];
	}
}

void eval_maxpool_arg(const Eval *x)
{
	Pool p = pool_of(x, &x->node->in[0]->type, &x->node->type);
	for (int64_t i = 0; i < p.small.elems; i++) {
		int64_t cell = pool_winner(&p, x->in[0], i);
		x->out[i] = cell < 0 ? 0.0 : (double)cell;
	}
}

/* Each window sends its dy to the cell that its arg names; overlapping windows add. */
void eval_maxpool_dx(const Eval *x)
{
	Pool p = pool_of(x, &x->node->type, &x->node->in[0]->type);
	for (int64_t i = 0; i < p.big.elems; i++)
		x->out[i] = 0.0;
	for (int64_t i = 0; i < p.small.elems; i++) {
		int64_t at = pool_cell(&p, i, (int64_t)x->in[1][i]);
		if (at >= 0)
			x->out[at] += x->in[0][i];
	}
}

static int64_t pool_inside(const Pool *p, int64_t place)
{
	int64_t count = 0;
	for (int64_t cell = 0; cell < pool_cells(p); cell++)
		count += pool_cell(p, place, cell) >= 0;
	return count ? count : 1;
}

void eval_avgpool(const Eval *x)
{
	Pool p = pool_of(x, &x->node->in[0]->type, &x->node->type);
	for (int64_t i = 0; i < p.small.elems; i++) {
		double sum = 0.0;
		for (int64_t cell = 0; cell < pool_cells(&p); cell++) {
			int64_t at = pool_cell(&p, i, cell);
			sum += at < 0 ? 0.0 : x->in[0][at];
		}
		x->out[i] = sum / (double)pool_inside(&p, i);
	}
}

void eval_avgpool_dx(const Eval *x)
{
	Pool p = pool_of(x, &x->node->type, &x->node->in[0]->type);
	for (int64_t i = 0; i < p.big.elems; i++)
		x->out[i] = 0.0;
	for (int64_t i = 0; i < p.small.elems; i++) {
		double share = x->in[0][i] / (double)pool_inside(&p, i);
		for (int64_t cell = 0; cell < pool_cells(&p); cell++) {
			int64_t at = pool_cell(&p, i, cell);
			if (at >= 0)
				x->out[at] += share;
		}
	}
}

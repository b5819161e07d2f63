/* eval_shape.c -- definitions of the ops that move elements, and of the reductions over axes and rows */
#include <math.h>
#include <string.h>
#include "ir/eval.h"

void eval_reshape(const Eval *x)
{
	memcpy(x->out, x->in[0], (size_t)ir_elems(&x->node->type, x->n) * sizeof(double));
}

/* out[at] = in[at . stride], the stride of each axis of the result given */
static void gather(const Eval *x, const Shape *to, const int64_t *stride, int64_t start)
{
	int64_t at[IR_MAX_RANK] = { 0 };
	for (int64_t i = 0; i < to->elems; i++, shape_next(to, at))
		x->out[i] = x->in[0][start + shape_dot(to->rank, at, stride)];
}

void eval_bcast(const Eval *x)
{
	Shape to = shape_of(&x->node->type, x->n), from = shape_of(&x->node->in[0]->type, x->n);
	int64_t stride[IR_MAX_RANK];
	shape_stretch(&from, &to, stride);
	gather(x, &to, stride, 0);
}

void eval_transpose(const Eval *x)
{
	Shape to = shape_of(&x->node->type, x->n), from = shape_of(&x->node->in[0]->type, x->n);
	int64_t stride[IR_MAX_RANK];
	for (int i = 0; i < to.rank; i++)
		stride[i] = from.stride[x->node->attr.perm.perm[i]];
	gather(x, &to, stride, 0);
}

void eval_slice(const Eval *x)
{
	Shape to = shape_of(&x->node->type, x->n), from = shape_of(&x->node->in[0]->type, x->n);
	gather(x, &to, from.stride, x->node->attr.slice.start * from.stride[x->node->attr.slice.axis]);
}

/* Copies a whole tensor to `start` along one axis of the result. */
static void scatter(const Eval *x, const double *in, const Shape *from, int axis, int64_t start)
{
	Shape to = shape_of(&x->node->type, x->n);
	int64_t at[IR_MAX_RANK] = { 0 };
	for (int64_t i = 0; i < from->elems; i++, shape_next(from, at))
		x->out[start * to.stride[axis] + shape_dot(to.rank, at, to.stride)] = in[i];
}

void eval_concat(const Eval *x)
{
	int axis = x->node->attr.axis.axis;
	int64_t start = 0;
	for (int i = 0; i < x->node->nin; i++) {
		Shape from = shape_of(&x->node->in[i]->type, x->n);
		scatter(x, x->in[i], &from, axis, start);
		start += from.dim[axis];
	}
}

void eval_pad(const Eval *x)
{
	Shape from = shape_of(&x->node->in[0]->type, x->n);
	int64_t elems = ir_elems(&x->node->type, x->n);
	for (int64_t i = 0; i < elems; i++)
		x->out[i] = 0.0;
	scatter(x, x->in[0], &from, x->node->attr.slice.axis, x->node->attr.slice.start);
}

/* ---- reductions ---- */
/* Strides of the result under the index of the operand: 0 along the axes that go away. */
static void reduced_strides(const Shape *from, uint32_t axes, int64_t *stride)
{
	int64_t elems = 1;
	for (int i = from->rank - 1; i >= 0; i--) {
		bool away = axes >> i & 1;
		stride[i] = away ? 0 : elems;
		if (!away)
			elems *= from->dim[i];
	}
}

typedef double Combine(double s, double v);
static double combine_sum(double s, double v) { return s + v; }
/* NaN passes. */
static double combine_max(double s, double v) { return s < v || v != v ? v : s; }

static void reduce(const Eval *x, double start, Combine *combine)
{
	Shape from = shape_of(&x->node->in[0]->type, x->n);
	int64_t elems = ir_elems(&x->node->type, x->n), stride[IR_MAX_RANK], at[IR_MAX_RANK] = { 0 };
	reduced_strides(&from, x->node->attr.reduce.axes, stride);
	for (int64_t i = 0; i < elems; i++)
		x->out[i] = start;
	for (int64_t i = 0; i < from.elems; i++, shape_next(&from, at)) {
		double *s = &x->out[shape_dot(from.rank, at, stride)];
		*s = ewise_wrap(combine(*s, x->in[0][i]), x->node->type.dtype);
	}
}

void eval_sum(const Eval *x)
{
	reduce(x, 0.0, combine_sum);
}

void eval_rmax(const Eval *x)
{
	reduce(x, -INFINITY, combine_max);
}

/* First maximum along the one axis; the first NaN if there is one (as NumPy). */
void eval_argmax(const Eval *x)
{
	Shape from = shape_of(&x->node->in[0]->type, x->n);
	uint32_t axes = x->node->attr.reduce.axes;
	int axis = 0;
	while (axis < from.rank - 1 && !(axes >> axis & 1))
		axis++;
	int64_t stride[IR_MAX_RANK], at[IR_MAX_RANK] = { 0 };
	reduced_strides(&from, axes, stride);
	for (int64_t i = 0; i < from.elems; i++, shape_next(&from, at)) {
		if (at[axis])
			continue;
		const double *v = &x->in[0][i];
		int64_t best = 0;
		for (int64_t k = 1; k < from.dim[axis]; k++) {
			double b = v[best * from.stride[axis]], c = v[k * from.stride[axis]];
			if (c > b || (isnan(c) && !isnan(b)))
				best = k;
		}
		x->out[shape_dot(from.rank, at, stride)] = (double)best;
	}
}

/* ---- rows: over the last axis, shifted by the maximum so that exp cannot overflow ---- */
static void rows(const Eval *x, bool logarithm)
{
	Shape s = shape_of(&x->node->type, x->n);
	int64_t len = s.rank ? s.dim[s.rank - 1] : 1;
	for (int64_t r = 0; r < s.elems; r += len) {
		const double *v = x->in[0] + r;
		double *y = x->out + r, max = v[0], sum = 0.0;
		for (int64_t i = 1; i < len; i++)
			max = combine_max(max, v[i]);
		for (int64_t i = 0; i < len; i++)
			sum += exp(v[i] - max);
		for (int64_t i = 0; i < len; i++)
			y[i] = logarithm ? v[i] - max - log(sum) : exp(v[i] - max) / sum;
	}
}

void eval_softmax(const Eval *x)
{
	rows(x, false);
}

void eval_log_softmax(const Eval *x)
{
	rows(x, true);
}

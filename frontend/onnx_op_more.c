/* onnx_op_more.c -- ONNX operators of pictures, losses, quantized numbers, sequences and signals, made of simpler ones */
#include <ctype.h>
#include <math.h>
#include <string.h>
#include "frontend/onnx_value.h"

static bool is(const Onx *m, const char *op)
{
	return strcmp(m->node->op, op) == 0;
}

/* ---- resizing: a product with a matrix along each axis ---- */

typedef struct Resize {
	const char *mode, *coordinates, *nearest;
	double a, outside_value;
	bool exclude, cuts;
	double scale, from, to; /* of one axis */
	int64_t in, out;
} Resize;

static double coordinate(const Resize *r, int64_t i)
{
	const double o = (double)i, in = (double)r->in, out = (double)r->out;
	if (strcmp(r->coordinates, "asymmetric") == 0)
		return o / r->scale;
	if (strcmp(r->coordinates, "align_corners") == 0)
		return r->scale * in <= 1 ? 0 : o * (in - 1) / (r->scale * in - 1); /* not rounded to a whole extent */
	if (strcmp(r->coordinates, "pytorch_half_pixel") == 0)
		return r->out > 1 ? (o + 0.5) / r->scale - 0.5 : 0;
	if (strcmp(r->coordinates, "tf_half_pixel_for_nn") == 0)
		return (o + 0.5) / r->scale;
	if (r->cuts)
		return r->out > 1 ? r->from * (in - 1) + o * (r->to - r->from) * (in - 1) / (out - 1) : 0.5 * (r->from + r->to) * (in - 1);
	if (strcmp(r->coordinates, "half_pixel_symmetric") == 0) {
		const double adjust = out / (r->scale * in), centre = in / 2, offset = centre * (1 - adjust);
		return offset + (o + 0.5) / r->scale - 0.5;
	}
	return (o + 0.5) / r->scale - 0.5;
}

static double nearest(const Resize *r, double x)
{
	if (strcmp(r->nearest, "floor") == 0)
		return floor(x);
	if (strcmp(r->nearest, "ceil") == 0)
		return ceil(x);
	return strcmp(r->nearest, "round_prefer_ceil") == 0 ? floor(x + 0.5) : ceil(x - 0.5);
}

/* Keys 1981 */
static double cubic(double a, double t)
{
	t = fabs(t);
	if (t <= 1)
		return ((a + 2) * t - (a + 3)) * t * t + 1;
	return t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
}

/* Weights of the cells for output i. */
static void weights_of(const Resize *r, int64_t i, double *row)
{
	const double x = coordinate(r, i), low = floor(x);
	const int taps = strcmp(r->mode, "nearest") == 0 ? 1 : strcmp(r->mode, "cubic") == 0 ? 4 : 2;
	double all = 0;
	for (int k = 0; k < taps; k++) {
		const double cell = taps == 1 ? nearest(r, x) : low + k - (taps == 4);
		double w = taps == 1 ? 1 : taps == 2 ? 1 - fabs(x - cell) : cubic(r->a, x - cell);
		const bool outside = cell < 0 || cell > (double)(r->in - 1);
		w = taps == 4 && r->exclude && outside ? 0 : w;
		const double at = cell < 0 ? 0 : outside ? (double)(r->in - 1) : cell;
		row[(int64_t)at] += w;
		all += w;
	}
	for (int64_t k = 0; k < r->in && taps == 4 && r->exclude; k++)
		row[k] /= all;
}

/* Whole repetition of each cell: no arithmetic. */
static Value *repeated(Onx *m, Value *x, int axis, const Resize *r, const double *matrix)
{
	const int64_t times = r->out / r->in;
	int64_t wide[ONNX_MAX_RANK + 1], dim[ONNX_MAX_RANK];
	for (int64_t i = 0; i < r->out; i++) {
		if (r->out % r->in || matrix[i * r->in + i / times] != 1)
			return NULL;
	}
	for (int i = 0; i < x->rank; i++) {
		dim[i] = i == axis ? r->out : onx_dim(m, x, i);
		wide[i + (i > axis)] = onx_dim(m, x, i);
	}
	wide[axis + 1] = times;
	return onx_reshape(m, onx_expand(m, onx_unsqueeze(m, x, 2u << axis), x->rank + 1, wide), x->rank, dim);
}

static Value *resized(Onx *m, Value *x, int axis, const Resize *r)
{
	if (m->failed || r->out < 1 || r->out > 65536 || r->in * r->out > 1 << 22)
		return onx_fail(m, "an axis of %lld to one of %lld", (long long)r->in, (long long)r->out);
	double *matrix = NEWN(m->arena, double, r->in * r->out), *inside = NEWN(m->arena, double, r->out);
	bool all_inside = true;
	for (int64_t i = 0; i < r->out; i++) {
		const double at = coordinate(r, i);
		inside[i] = !r->cuts || (at >= 0 && at <= (double)(r->in - 1));
		all_inside = all_inside && inside[i] != 0;
		if (inside[i] != 0)
			weights_of(r, i, matrix + i * r->in);
	}
	Value *same = r->out >= r->in ? repeated(m, x, axis, r, matrix) : NULL;
	if (same)
		return same;
	/* (…, out, in, …) times (…, 1, in, …), summed over `in` */
	int64_t dim[ONNX_MAX_RANK];
	for (int i = 0; i <= x->rank; i++)
		dim[i] = i == axis ? r->out : i == axis + 1 ? r->in : 1;
	Value *w = onx_const(m, DT_F32, x->rank + 1, dim, matrix);
	Value *y = onx_reduce(m, OP_sum, onx_2(m, OP_mul, onx_unsqueeze(m, x, 1u << axis), w), 2u << axis, false);
	if (all_inside || m->failed)
		return y;
	dim[axis + 1] = 1;
	Value *kept = onx_2k(m, OP_eq, onx_const(m, DT_F32, x->rank, dim, inside), 1);
	return onx_select(m, kept, y, onx_k(m, DT_F32, r->outside_value));
}

/* Sizes from `sizes` or `scales`, which stand at other inputs in other operator sets. False: failed. */
static bool resize_sizes(Onx *m, Value *x, double *scale, int64_t *out, double *roi)
{
	const bool upsample = is(m, "Upsample"), old = upsample || m->g->opset < 11;
	const int scales = old ? 1 : 2;
	const OnnxAttr *attr = onx_attr(m, "scales");
	int n = 0;
	for (int i = 0; i < x->rank; i++) {
		roi[i] = 0;
		roi[x->rank + i] = 1;
	}
	if (!old && onx_has(m, 1) && strcmp(onx_text(m, "coordinate_transformation_mode", ""), "tf_crop_and_resize") == 0) {
		const double *r = onx_doubles(m, onx_in(m, 1));
		for (int i = 0; r && i < 2 * x->rank && onx_elems(m, onx_in(m, 1)) == 2 * x->rank; i++)
			roi[i] = r[i];
	}
	if (!old && onx_has(m, 3) && onx_ints(m, onx_in(m, 3), "sizes", ONNX_MAX_RANK, out, &n) && n == x->rank) {
		for (int i = 0; i < n; i++)
			scale[i] = (double)out[i] / (double)onx_dim(m, x, i);
		return true;
	}
	const bool listed = attr && attr->nfloats == x->rank;
	const double *s = listed || m->failed || !onx_has(m, scales) ? NULL : onx_doubles(m, onx_in(m, scales));
	if (m->failed || (!listed && (!s || onx_elems(m, onx_in(m, scales)) != x->rank)))
		return !onx_fail(m, "neither scales nor sizes fit its input")->p;
	for (int i = 0; i < x->rank; i++) {
		scale[i] = listed ? (double)attr->floats[i] : s[i];
		out[i] = scale[i] > 0 && scale[i] < 65536 ? (int64_t)floor((double)onx_dim(m, x, i) * scale[i]) : 0;
	}
	return true;
}

Value *import_resize(Onx *m)
{
	double scale[ONNX_MAX_RANK], roi[2 * ONNX_MAX_RANK];
	int64_t out[ONNX_MAX_RANK];
	Value *x = onx_in(m, 0);
	const bool old = is(m, "Upsample") || m->g->opset < 11;
	Resize r = { .mode = onx_text(m, "mode", "nearest"), .nearest = onx_text(m, "nearest_mode", old ? "floor" : "round_prefer_floor"),
	             .coordinates = onx_text(m, "coordinate_transformation_mode", old ? "asymmetric" : "half_pixel"),
	             .a = onx_float(m, "cubic_coeff_a", -0.75), .exclude = onx_int(m, "exclude_outside", 0) != 0,
	             .outside_value = onx_float(m, "extrapolation_value", 0) };
	if (m->failed || !resize_sizes(m, x, scale, out, roi))
		return m->nothing;
	if (onx_int(m, "antialias", 0) || onx_attr(m, "axes") || onx_attr(m, "keep_aspect_ratio_policy"))
		return onx_fail(m, "antialias, axes and keep_aspect_ratio_policy are not supported");
	r.cuts = strcmp(r.coordinates, "tf_crop_and_resize") == 0;
	const DType type = onx_dtype(x);
	Value *y = onx_cast(m, x, DT_F32);
	for (int axis = 0; axis < x->rank && !m->failed; axis++) {
		r.scale = scale[axis];
		r.in = onx_dim(m, x, axis);
		r.out = out[axis];
		r.from = roi[axis];
		r.to = roi[x->rank + axis];
		if (r.in != r.out || (r.cuts && (r.from != 0 || r.to != 1)))
			y = resized(m, y, axis, &r);
	}
	return onx_cast(m, y, type);
}

/* ---- losses ---- */

static uint32_t all_axes(const Value *v)
{
	return (1u << v->rank) - 1;
}

static Value *nll(Onx *m, Value *x, Value *target, Value *weight)
{
	const char *reduction = onx_text(m, "reduction", "mean");
	const OnnxAttr *ignore = onx_attr(m, "ignore_index");
	if (m->failed || x->rank < 2 || target->rank != x->rank - 1)
		return onx_fail(m, "its inputs are %d- and %d-dimensional", x->rank, target->rank);
	const int64_t classes = onx_dim(m, x, 1);
	target = onx_cast(m, target, DT_I32);
	Value *here = onx_2(m, OP_eq, onx_unsqueeze(m, target, 2), onx_iota(m, x->rank, 1, classes));
	for (int i = 2; weight && i < x->rank; i++)
		weight = onx_unsqueeze(m, weight, 1u << weight->rank);
	Value *zero = onx_k(m, DT_F32, 0), *weighted = weight ? onx_2(m, OP_mul, x, weight) : x;
	Value *loss = onx_1(m, OP_neg, onx_reduce(m, OP_sum, onx_select(m, here, weighted, zero), 2, false));
	Value *share = onx_select(m, here, weight ? weight : onx_k(m, DT_F32, 1), zero);
	share = onx_reduce(m, OP_sum, share, 2, false);
	if (ignore && ignore->is_int) {
		Value *ignored = onx_2k(m, OP_eq, target, (double)ignore->i);
		loss = onx_select(m, ignored, zero, loss);
		share = onx_select(m, ignored, zero, share);
	}
	if (strcmp(reduction, "none") == 0 || m->failed)
		return loss;
	Value *sum = onx_reduce(m, OP_sum, loss, all_axes(loss), false);
	return strcmp(reduction, "sum") == 0 ? sum : onx_2(m, OP_div, sum, onx_reduce(m, OP_sum, share, all_axes(share), false));
}

Value *import_nllloss(Onx *m)
{
	Value *x = onx_in(m, 0);
	if (is(m, "SoftmaxCrossEntropyLoss") && !m->failed && x->rank > 1)
		m->out[1] = x = onx_rowwise(m, OP_log_softmax, x, 1);
	return nll(m, x, onx_in(m, 1), onx_has(m, 2) ? onx_in(m, 2) : NULL);
}

/* ---- quantized numbers ---- */

/* One value along `axis` of x, or one for all. */
static Value *along(Onx *m, Value *v, const Value *x, int64_t axis)
{
	axis = axis < 0 ? axis + x->rank : axis;
	for (int64_t i = axis + 1; i < x->rank && v->rank == 1 + i - axis - 1 && onx_elems(m, v) > 1 && !m->failed; i++)
		v = onx_unsqueeze(m, v, 1u << v->rank);
	return v;
}

static Value *half_even(Onx *m, Value *x)
{
	Value *up = onx_1(m, OP_floor, onx_2k(m, OP_add, x, 0.5)), *half = onx_2k(m, OP_mul, up, 0.5);
	Value *odd = onx_not(m, onx_2(m, OP_eq, half, onx_1(m, OP_floor, half)));
	Value *tie = onx_2k(m, OP_eq, onx_2(m, OP_sub, up, x), 0.5);
	return onx_select(m, onx_2(m, OP_and, odd, tie), onx_2k(m, OP_sub, up, 1), up);
}

static Value *saturated(Onx *m, Value *x, DType type)
{
	const double low = type == DT_U8 ? 0 : -128, high = type == DT_U8 ? 255 : 127;
	return onx_cast(m, onx_2k(m, OP_min, onx_2k(m, OP_max, x, low), high), type);
}

static Value *quantized(Onx *m, Value *x, Value *scale, Value *zero, DType type)
{
	Value *y = half_even(m, onx_2(m, OP_div, x, scale));
	return saturated(m, zero ? onx_2(m, OP_add, y, onx_cast(m, zero, DT_F32)) : y, type);
}

static Value *plain(Onx *m, Value *x, Value *scale, Value *zero)
{
	Value *y = onx_cast(m, x, DT_F32);
	y = zero ? onx_2(m, OP_sub, y, onx_cast(m, zero, DT_F32)) : y;
	return onx_2(m, OP_mul, y, scale);
}

Value *import_quantize(Onx *m)
{
	Value *x = onx_in(m, 0), *scale = onx_in(m, 1), *zero = onx_has(m, 2) ? onx_in(m, 2) : NULL;
	const int64_t axis = onx_int(m, "axis", 1);
	if (m->failed)
		return m->nothing;
	return quantized(m, onx_cast(m, x, DT_F32), along(m, scale, x, axis), zero ? along(m, zero, x, axis) : NULL, zero ? onx_dtype(zero) : DT_U8);
}

Value *import_dequantize(Onx *m)
{
	Value *x = onx_in(m, 0), *scale = onx_in(m, 1), *zero = onx_has(m, 2) ? onx_in(m, 2) : NULL;
	const int64_t axis = onx_int(m, "axis", 1);
	return m->failed ? m->nothing : plain(m, x, along(m, scale, x, axis), zero ? along(m, zero, x, axis) : NULL);
}

Value *import_dynamicquantize(Onx *m)
{
	Value *x = onx_in(m, 0);
	if (m->failed)
		return m->nothing;
	Value *high = onx_reduce(m, OP_reduce_max, x, all_axes(x), false);
	Value *low = onx_1(m, OP_neg, onx_reduce(m, OP_reduce_max, onx_1(m, OP_neg, x), all_axes(x), false));
	high = onx_2k(m, OP_max, high, 0);
	low = onx_2k(m, OP_min, low, 0);
	Value *scale = onx_2k(m, OP_div, onx_2(m, OP_sub, high, low), 255);
	Value *zero = half_even(m, onx_1(m, OP_neg, onx_2(m, OP_div, low, scale)));
	m->out[1] = scale;
	m->out[2] = saturated(m, zero, DT_U8);
	return quantized(m, x, scale, m->out[2], DT_U8);
}

Value *import_qlinearmatmul(Onx *m)
{
	Value *in[8];
	for (int i = 0; i < 8; i++)
		in[i] = onx_in(m, i);
	if (m->failed)
		return m->nothing;
	Value *a = plain(m, in[0], in[1], in[2]), *b = plain(m, in[3], in[4], in[5]);
	return quantized(m, onx_matmul(m, a, b), in[6], in[7], onx_dtype(in[7]));
}

/* ---- recurrent layers ---- */

typedef struct Cell {
	Value *w, *r, *bw, *br, *peep;
	int64_t hidden;
	bool before; /* GRU: linear_before_reset */
} Cell;

static Value *gate(Onx *m, Value *all, int i, int64_t hidden)
{
	return m->failed ? m->nothing : onx_slice(m, all, all->rank - 1, i * hidden, hidden);
}

static Value *plus(Onx *m, Value *a, Value *b)
{
	return b ? onx_2(m, OP_add, a, b) : a;
}

static Value *lstm(Onx *m, const Cell *c, Value *x, Value *h, Value **state)
{
	const int64_t n = c->hidden;
	Value *all = plus(m, plus(m, onx_2(m, OP_add, onx_matmul(m, x, c->w), onx_matmul(m, h, c->r)), c->bw), c->br);
	Value *i = gate(m, all, 0, n), *o = gate(m, all, 1, n), *f = gate(m, all, 2, n), *g = gate(m, all, 3, n), *old = *state;
	if (c->peep) {
		i = onx_2(m, OP_add, i, onx_2(m, OP_mul, gate(m, c->peep, 0, n), old));
		f = onx_2(m, OP_add, f, onx_2(m, OP_mul, gate(m, c->peep, 2, n), old));
	}
	Value *now = onx_2(m, OP_add, onx_2(m, OP_mul, onx_1(m, OP_sigmoid, f), old),
	                   onx_2(m, OP_mul, onx_1(m, OP_sigmoid, i), onx_1(m, OP_tanh, g)));
	if (c->peep)
		o = onx_2(m, OP_add, o, onx_2(m, OP_mul, gate(m, c->peep, 1, n), now));
	*state = now;
	return onx_2(m, OP_mul, onx_1(m, OP_sigmoid, o), onx_1(m, OP_tanh, now));
}

static Value *gru(Onx *m, const Cell *c, Value *x, Value *h)
{
	const int64_t n = c->hidden;
	Value *xs = plus(m, onx_matmul(m, x, c->w), c->bw), *hs = plus(m, onx_matmul(m, h, c->r), c->br);
	Value *z = onx_1(m, OP_sigmoid, onx_2(m, OP_add, gate(m, xs, 0, n), gate(m, hs, 0, n)));
	Value *r = onx_1(m, OP_sigmoid, onx_2(m, OP_add, gate(m, xs, 1, n), gate(m, hs, 1, n)));
	Value *candidate;
	if (c->before) {
		candidate = onx_2(m, OP_mul, r, gate(m, hs, 2, n));
	} else {
		Value *reset = onx_matmul(m, onx_2(m, OP_mul, r, h), c->r);
		candidate = gate(m, plus(m, reset, c->br), 2, n);
	}
	candidate = onx_1(m, OP_tanh, onx_2(m, OP_add, gate(m, xs, 2, n), candidate));
	return onx_2(m, OP_add, candidate, onx_2(m, OP_mul, z, onx_2(m, OP_sub, h, candidate)));
}

static Value *rnn(Onx *m, const Cell *c, Value *x, Value *h)
{
	Value *all = onx_2(m, OP_add, onx_matmul(m, x, c->w), onx_matmul(m, h, c->r));
	return onx_1(m, OP_tanh, plus(m, plus(m, all, c->bw), c->br));
}

static Cell cell_of(Onx *m, int d, int64_t hidden, int gates, int peep)
{
	const int swap[2] = { 1, 0 };
	Cell c = { .hidden = hidden, .before = onx_int(m, "linear_before_reset", 0) != 0 };
	c.w = onx_transpose(m, onx_sub1(m, onx_in(m, 1), 0, d), swap);
	c.r = onx_transpose(m, onx_sub1(m, onx_in(m, 2), 0, d), swap);
	if (onx_has(m, 3)) {
		Value *b = onx_sub1(m, onx_in(m, 3), 0, d);
		c.bw = onx_slice(m, b, 0, 0, gates * hidden);
		c.br = onx_slice(m, b, 0, gates * hidden, gates * hidden);
	}
	if (peep && onx_has(m, peep))
		c.peep = onx_sub1(m, onx_in(m, peep), 0, d);
	return c;
}

/* Lengths of the sequences, where they are given, must be those of the input. */
static bool full_length(Onx *m, int64_t steps)
{
	int64_t length[256];
	int n;
	if (!onx_has(m, 4))
		return true;
	if (!onx_ints(m, onx_in(m, 4), "sequence_lens", 256, length, &n))
		return false;
	for (int i = 0; i < n; i++) {
		if (length[i] != steps)
			return !onx_fail(m, "sequences of different lengths are not supported")->p;
	}
	return true;
}

static Value *initial(Onx *m, int i, int d, int64_t batch, int64_t hidden, bool batch_first)
{
	if (onx_has(m, i))
		return onx_sub1(m, onx_in(m, i), batch_first ? 1 : 0, d);
	return onx_expand(m, onx_k(m, DT_F32, 0), 2, (int64_t[]){ batch, hidden });
}

/* X (time, batch, inputs); with layout 1 (batch, time, inputs). Y (time, directions, batch, hidden) or (batch, time, …). */
Value *import_recurrent(Onx *m)
{
	const bool is_lstm = is(m, "LSTM"), is_gru = is(m, "GRU"), batch_first = onx_int(m, "layout", 0) != 0;
	const char *direction = onx_text(m, "direction", "forward");
	const int dirs = strcmp(direction, "bidirectional") == 0 ? 2 : 1, gates = is_lstm ? 4 : is_gru ? 3 : 1;
	const int64_t hidden = onx_int(m, "hidden_size", 0);
	Value *x = onx_in(m, 0), *step[64], *last[2], *cell[2], *y[2];
	if (m->failed || x->rank != 3 || hidden < 1 || onx_attr(m, "activations") || onx_attr(m, "clip") || onx_int(m, "input_forget", 0))
		return onx_fail(m, "activations, clip and input_forget are not supported");
	const int time = batch_first ? 1 : 0;
	const int64_t steps = onx_dim(m, x, time), batch = onx_dim(m, x, 1 - time);
	if (steps > 64 || !full_length(m, steps))
		return onx_fail(m, "%lld steps; at most 64 are possible", (long long)steps);
	for (int d = 0; d < dirs && !m->failed; d++) {
		const Cell c = cell_of(m, d, hidden, gates, is_lstm ? 7 : 0);
		const bool back = d == 1 || strcmp(direction, "reverse") == 0;
		Value *h = initial(m, 5, d, batch, hidden, batch_first), *s = is_lstm ? initial(m, 6, d, batch, hidden, batch_first) : NULL;
		for (int64_t k = 0; k < steps && !m->failed; k++) {
			const int64_t t = back ? steps - 1 - k : k;
			Value *in = onx_sub1(m, x, time, t);
			h = is_lstm ? lstm(m, &c, in, h, &s) : is_gru ? gru(m, &c, in, h) : rnn(m, &c, in, h);
			step[t] = onx_unsqueeze(m, h, 1u << time); /* (1, batch, hidden), or (batch, 1, hidden) */
		}
		if (m->failed)
			return m->nothing;
		/* directions stand behind the time, before the batch: with batch first, behind both */
		Value *seq = onx_concat(m, (int)steps, step, time);
		y[d] = onx_unsqueeze(m, seq, batch_first ? 4u : 2u);
		last[d] = onx_unsqueeze(m, h, batch_first ? 2u : 1u);
		cell[d] = s ? onx_unsqueeze(m, s, batch_first ? 2u : 1u) : NULL;
	}
	if (m->failed)
		return m->nothing;
	if (onx_wanted(m, 1))
		m->out[1] = onx_concat(m, dirs, last, batch_first ? 1 : 0);
	if (is_lstm && onx_wanted(m, 2))
		m->out[2] = onx_concat(m, dirs, cell, batch_first ? 1 : 0);
	return onx_wanted(m, 0) ? onx_concat(m, dirs, y, batch_first ? 2 : 1) : x;
}

/* ---- sums of products by indices ---- */

typedef struct Letters { char of[ONNX_MAX_RANK * 4]; int n; } Letters;

static int letter(Letters *l, char c)
{
	for (int i = 0; i < l->n; i++) {
		if (l->of[i] == c)
			return i;
	}
	l->of[l->n] = c;
	return l->n++;
}

/* "...ij" for `rank` axes; what the dots stand for are the letters '0', '1', … counted from the right. */
static bool expand_dots(Onx *m, const char *term, size_t len, int rank, char *out)
{
	int n = 0, letters = 0;
	for (size_t i = 0; i < len; i++)
		letters += isalpha((unsigned char)term[i]) != 0;
	const int dots = memchr(term, '.', len) ? rank - letters : 0;
	if (letters + dots != rank || rank > ONNX_MAX_RANK || dots < 0)
		return !onx_fail(m, "'%.*s' does not fit %d dimensions", (int)len, term, rank)->p;
	for (size_t i = 0; i < len; i++) {
		if (isalpha((unsigned char)term[i]))
			out[n++] = term[i];
		for (int k = dots - 1; term[i] == '.' && (i == 0 || term[i - 1] != '.') && k >= 0; k--)
			out[n++] = (char)('0' + k);
	}
	out[n] = '\0';
	return true;
}

/* x with its axes at the places of their letters, ones elsewhere; an axis of a letter that came before: the diagonal. */
static Value *placed(Onx *m, Value *x, const char *term, Letters *l)
{
	int perm[ONNX_MAX_RANK], n = 0;
	for (int i = 0; term[i] && !m->failed; i++) {
		const char *first = strchr(term, term[i]);
		if (first == term + i)
			continue;
		const int a = (int)(first - term);
		Value *row = onx_iota(m, x->rank, a, onx_dim(m, x, a)), *column = onx_iota(m, x->rank, i, onx_dim(m, x, i));
		x = onx_reduce(m, OP_sum, onx_select(m, onx_2(m, OP_eq, row, column), x, onx_k(m, onx_dtype(x), 0)), 1u << i, true);
	}
	uint32_t there = 0, gone = 0;
	for (int i = 0; term[i]; i++) {
		if (strchr(term, term[i]) == term + i)
			there |= 1u << letter(l, term[i]);
		else
			gone |= 1u << i;
	}
	for (int k = 0; k < l->n; k++) {
		const char *at = strchr(term, l->of[k]);
		if (at)
			perm[n++] = (int)(at - term) - __builtin_popcount(gone & ((1u << (at - term)) - 1));
	}
	x = onx_transpose(m, onx_squeeze(m, x, gone), perm);
	return onx_unsqueeze(m, x, ((1u << l->n) - 1) & ~there);
}

Value *import_einsum(Onx *m)
{
	char text[128] = "", term[8][ONNX_MAX_RANK * 2], result[ONNX_MAX_RANK * 2] = "";
	Letters l = { .n = 0 };
	size_t n = 0;
	const char *equation = onx_text(m, "equation", "");
	for (const char *c = equation; *c && n + 1 < sizeof text; c++) {
		if (!isspace((unsigned char)*c))
			text[n++] = *c;
	}
	const char *arrow = strstr(text, "->"), *at = text;
	const int inputs = m->node->nin;
	if (!arrow || inputs < 1 || inputs > 8 || strlen(text) > 64)
		return onx_fail(m, "an equation without a result, or too long a one");
	for (int i = 0; i < inputs && !m->failed; i++) {
		const size_t len = strcspn(at, ",-");
		if (!expand_dots(m, at, len, onx_in(m, i)->rank, term[i]))
			return m->nothing;
		for (const char *c = term[i]; *c; c++)
			letter(&l, *c);
		at += len + (at[len] == ',');
	}
	if (m->failed || l.n > ONNX_MAX_RANK)
		return onx_fail(m, "%d indices", l.n);
	int digits = 0, letters = 0;
	for (int i = 0; i < l.n; i++)
		digits += isdigit((unsigned char)l.of[i]) != 0;
	for (const char *c = arrow + 2; *c; c++)
		letters += isalpha((unsigned char)*c) != 0;
	if (!expand_dots(m, arrow + 2, strlen(arrow + 2), letters + (strchr(arrow + 2, '.') ? digits : 0), result))
		return m->nothing;
	Value *y = NULL;
	for (int i = 0; i < inputs; i++) {
		Value *x = placed(m, onx_in(m, i), term[i], &l);
		y = y ? onx_2(m, OP_mul, y, x) : x;
	}
	uint32_t away = 0;
	int perm[ONNX_MAX_RANK], k = 0;
	for (int i = 0; i < l.n; i++)
		away |= strchr(result, l.of[i]) ? 0 : 1u << i;
	y = away ? onx_reduce(m, OP_sum, y, away, false) : y;
	for (const char *c = result; *c; c++) {
		const int i = letter(&l, *c);
		perm[k++] = i - __builtin_popcount(away & ((1u << i) - 1));
	}
	return onx_transpose(m, y, perm);
}

/* ---- signals ---- */

Value *import_window(Onx *m)
{
	int64_t size = 0;
	int n;
	if (!onx_ints(m, onx_in(m, 0), "its size", 1, &size, &n))
		return m->nothing;
	if (size < 1 || size > 1 << 20)
		return onx_fail(m, "a size of %lld", (long long)size);
	const double period = onx_int(m, "periodic", 1) ? (double)size : (double)(size - 1);
	double *d = NEWN(m->arena, double, size);
	for (int64_t i = 0; i < size; i++) {
		const double t = 2 * M_PI * (double)i / period;
		d[i] = is(m, "HannWindow") ? 0.5 - 0.5 * cos(t) : is(m, "HammingWindow") ? 25.0 / 46 - 21.0 / 46 * cos(t)
		                                                                       : 0.42 - 0.5 * cos(t) + 0.08 * cos(2 * t);
	}
	return onx_const(m, DT_F32, 1, &size, d);
}

static Value *entry(Onx *m, Value *x, int64_t i, int64_t j)
{
	return onx_sub1(m, onx_sub1(m, x, x->rank - 1, j), x->rank - 2, i);
}

static Value *minor(Onx *m, Value *x, int i, int j, int k, int l) /* x_ij x_kl - x_il x_kj */
{
	return onx_2(m, OP_sub, onx_2(m, OP_mul, entry(m, x, i, j), entry(m, x, k, l)), onx_2(m, OP_mul, entry(m, x, i, l), entry(m, x, k, j)));
}

Value *import_det(Onx *m)
{
	Value *x = onx_in(m, 0);
	const int64_t n = x->rank >= 2 ? onx_dim(m, x, x->rank - 1) : 0;
	if (m->failed || n < 1 || n > 3 || onx_dim(m, x, x->rank - 2) != n)
		return onx_fail(m, "determinants of 1x1 to 3x3 are supported");
	if (n == 1)
		return entry(m, x, 0, 0);
	if (n == 2)
		return minor(m, x, 0, 0, 1, 1);
	Value *y = onx_2(m, OP_mul, entry(m, x, 0, 0), minor(m, x, 1, 1, 2, 2));
	y = onx_2(m, OP_sub, y, onx_2(m, OP_mul, entry(m, x, 0, 1), minor(m, x, 1, 0, 2, 2)));
	return onx_2(m, OP_add, y, onx_2(m, OP_mul, entry(m, x, 0, 2), minor(m, x, 1, 0, 2, 1)));
}

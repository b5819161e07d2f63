/* onnx_op_shape.c -- ONNX operators that move, cut, join and make elements without computing */
#include <math.h>
#include <string.h>
#include "frontend/onnx_value.h"

static bool is(const Onx *m, const char *op)
{
	return strcmp(m->node->op, op) == 0;
}

/* Integers of an attribute in old operator sets, of a constant input in newer ones. -1: neither is there. */
static int ints_of(Onx *m, const char *name, int input, int most, int64_t *out)
{
	int n = onx_int_list(m, name, most, out);
	if (n < 0 && input > 0 && onx_has(m, input) && !onx_ints(m, onx_in(m, input), name, most, out, &n))
		return -1;
	return n;
}

/* ---- constants ---- */

Value *import_identity(Onx *m)
{
	return onx_in(m, 0);
}

Value *import_constant(Onx *m)
{
	const OnnxAttr *a = onx_attr(m, "value"), *i = onx_attr(m, "value_int"), *f = onx_attr(m, "value_float");
	const OnnxAttr *is_ = onx_attr(m, "value_ints"), *fs = onx_attr(m, "value_floats");
	const int64_t n = is_ ? is_->nints : fs ? fs->nfloats : 0;
	if (a && a->t)
		return onx_tensor(m, a->t);
	if (i || f)
		return onx_k(m, i ? DT_I32 : DT_F32, i ? (double)i->i : (double)f->f);
	if (!is_ && !fs)
		return onx_fail(m, "its value is no tensor of numbers");
	double *d = NEWN(m->arena, double, n + 1);
	for (int64_t k = 0; k < n; k++)
		d[k] = is_ ? (double)is_->ints[k] : (double)fs->floats[k];
	return onx_const(m, is_ ? DT_I32 : DT_F32, 1, &n, d);
}

Value *import_constantofshape(Onx *m)
{
	int64_t dim[ONNX_MAX_RANK];
	int rank;
	const OnnxAttr *a = onx_attr(m, "value");
	Value *one = a && a->t ? onx_tensor(m, a->t) : onx_k(m, DT_F32, 0);
	if (!onx_ints(m, onx_in(m, 0), "its shape", ONNX_MAX_RANK, dim, &rank))
		return m->nothing;
	if (m->failed || onx_elems(m, one) != 1)
		return onx_fail(m, "its value is not one number");
	return onx_expand(m, onx_reshape(m, one, 0, NULL), rank, dim);
}

static Value *int_row(Onx *m, const int64_t *v, int64_t n)
{
	double *d = NEWN(m->arena, double, n + 1);
	for (int64_t i = 0; i < n; i++)
		d[i] = (double)v[i];
	return onx_const(m, DT_I32, 1, &n, d);
}

Value *import_shape(Onx *m)
{
	Value *x = onx_in(m, 0);
	int64_t dim[ONNX_MAX_RANK], start = onx_int(m, "start", 0), end = onx_int(m, "end", x->rank);
	if (m->failed)
		return m->nothing;
	if (is(m, "Size"))
		return onx_k(m, DT_I32, (double)onx_elems(m, x));
	start = start < 0 ? start + x->rank : start;
	end = end < 0 ? end + x->rank : end;
	start = start < 0 ? 0 : start > x->rank ? x->rank : start;
	end = end < start ? start : end > x->rank ? x->rank : end;
	for (int64_t i = start; i < end; i++)
		dim[i - start] = onx_dim(m, x, (int)i);
	return int_row(m, dim, end - start);
}

Value *import_range(Onx *m)
{
	const double *at[3];
	for (int i = 0; i < 3; i++)
		at[i] = onx_doubles(m, onx_in(m, i));
	if (m->failed)
		return m->nothing;
	const double start = at[0][0], step = at[2][0], count = ceil((at[1][0] - start) / step);
	if (!(count >= 1 && count <= 1 << 20))
		return onx_fail(m, "%g elements", count);
	const int64_t n = (int64_t)count;
	double *d = NEWN(m->arena, double, n);
	for (int64_t i = 0; i < n; i++)
		d[i] = start + (double)i * step;
	return onx_const(m, onx_dtype(onx_in(m, 0)), 1, &n, d);
}

Value *import_eyelike(Onx *m)
{
	Value *x = onx_in(m, 0);
	const int64_t k = onx_int(m, "k", 0), type = onx_int(m, "dtype", 0);
	if (m->failed || x->rank != 2)
		return onx_fail(m, "its input is no matrix");
	Value *row = onx_iota(m, 2, 0, onx_dim(m, x, 0)), *column = onx_iota(m, 2, 1, onx_dim(m, x, 1));
	Value *here = onx_2(m, OP_eq, onx_2k(m, OP_add, row, (double)k), column);
	return onx_cast(m, here, type == ONNX_INT32 || type == ONNX_INT64 ? DT_I32 : type ? DT_F32 : onx_dtype(x));
}

/* ---- shapes ---- */

/* The batch of a graph that is split may stand as it is, as 0 or as the one that is computed. */
Value *import_reshape(Onx *m)
{
	int64_t dim[ONNX_MAX_RANK], known = 1;
	int open = -1;
	Value *x = onx_in(m, 0);
	const int rank = ints_of(m, "shape", 1, ONNX_MAX_RANK, dim);
	if (m->failed || rank < 0)
		return onx_fail(m, "its shape is not known");
	const int64_t all = onx_elems(m, x);
	for (int i = 0; i < rank; i++) {
		if (dim[i] == 0 && !onx_int(m, "allowzero", 0))
			dim[i] = i < x->rank ? onx_dim(m, x, i) : 0;
		if (dim[i] == -1)
			open = i;
		else if (dim[i] < 1 || __builtin_mul_overflow(known, dim[i], &known))
			return onx_fail(m, "a shape of extent %lld", (long long)dim[i]);
	}
	if (open >= 0)
		dim[open] = known ? all / known : 0;
	return onx_reshape(m, x, rank, dim);
}

Value *import_flatten(Onx *m)
{
	Value *x = onx_in(m, 0);
	int64_t dim[2] = { 1, 1 }, axis = onx_int(m, "axis", 1);
	axis = axis < 0 ? axis + x->rank : axis;
	for (int i = 0; i < x->rank; i++)
		dim[i >= axis] *= onx_dim(m, x, i);
	return onx_reshape(m, x, 2, dim);
}

Value *import_squeeze(Onx *m)
{
	int64_t list[ONNX_MAX_RANK];
	Value *x = onx_in(m, 0);
	const int n = ints_of(m, "axes", 1, ONNX_MAX_RANK, list);
	const bool adds = is(m, "Unsqueeze");
	uint32_t axes = 0;
	if (m->failed)
		return m->nothing;
	const int rank = adds ? x->rank + (n < 0 ? 0 : n) : x->rank;
	for (int i = 0; i < n; i++) {
		const int64_t axis = list[i] < 0 ? list[i] + rank : list[i];
		if (axis < 0 || axis >= rank)
			return onx_fail(m, "axis %lld of %d", (long long)list[i], rank);
		axes |= 1u << axis;
	}
	for (int i = 0; i < x->rank && n < 0 && !adds; i++)
		axes |= onx_dim(m, x, i) == 1 && i != onx_batch_axis(m, x) ? 1u << i : 0;
	if (adds && __builtin_popcount(axes) != n)
		return onx_fail(m, "its axes are not different ones");
	return adds ? onx_unsqueeze(m, x, axes) : onx_squeeze(m, x, axes);
}

Value *import_transpose(Onx *m)
{
	int64_t list[ONNX_MAX_RANK];
	int perm[ONNX_MAX_RANK];
	uint32_t seen = 0;
	Value *x = onx_in(m, 0);
	const int n = onx_int_list(m, "perm", ONNX_MAX_RANK, list);
	if (m->failed || (n >= 0 && n != x->rank))
		return onx_fail(m, "its perm has %d values, its input %d dimensions", n, x->rank);
	for (int i = 0; i < x->rank; i++) {
		perm[i] = n < 0 ? x->rank - 1 - i : onx_axis(m, x, list[i]);
		seen |= 1u << perm[i];
	}
	return seen == (1u << x->rank) - 1 ? onx_transpose(m, x, perm) : onx_fail(m, "its perm is no permutation");
}

/* ---- joining and cutting ---- */

Value *import_concat(Onx *m)
{
	Value *in[64];
	const int n = m->node->nin;
	if (n < 1 || n > 64)
		return onx_fail(m, "%d inputs; 1 to 64 are possible", n);
	for (int i = 0; i < n; i++)
		in[i] = onx_in(m, i);
	return onx_concat(m, n, in, onx_axis(m, in[0], onx_int(m, "axis", 1)));
}

Value *import_split(Onx *m)
{
	int64_t part[16], at = 0;
	Value *x = onx_in(m, 0), *first = NULL;
	const int axis = onx_axis(m, x, onx_int(m, "axis", 0)), n = ints_of(m, "split", 1, 16, part);
	const int parts = m->node->nout;
	if (m->failed || parts < 1 || parts > 16 || (n >= 0 && n != parts))
		return onx_fail(m, "%d parts", parts);
	const int64_t extent = onx_dim(m, x, axis), each = (extent + parts - 1) / parts;
	for (int i = 0; i < parts && !m->failed; i++) {
		const int64_t take = n >= 0 ? part[i] : extent - at < each ? extent - at : each;
		if (take < 1 || at + take > extent)
			return onx_fail(m, "a part of %lld elements", (long long)take);
		m->out[i] = onx_slice(m, x, axis, at, take);
		first = i ? first : m->out[0];
		at += take;
	}
	return first;
}

/* Elements start, start + step, … as an index where step is not 1. */
static Value *stepped(Onx *m, Value *x, int axis, int64_t start, int64_t step, int64_t n)
{
	if (step == 1 || m->failed)
		return onx_slice(m, x, axis, start, n);
	Value *index = onx_iota(m, x->rank, axis, n);
	index = onx_2k(m, OP_add, onx_2k(m, OP_mul, index, (double)step), (double)start);
	return onx_pick(m, x, index, axis);
}

Value *import_slice(Onx *m)
{
	int64_t start[ONNX_MAX_RANK], end[ONNX_MAX_RANK], axis[ONNX_MAX_RANK], step[ONNX_MAX_RANK];
	Value *x = onx_in(m, 0);
	const int n = ints_of(m, "starts", 1, ONNX_MAX_RANK, start), e = ints_of(m, "ends", 2, ONNX_MAX_RANK, end);
	const int a = ints_of(m, "axes", 3, ONNX_MAX_RANK, axis), s = ints_of(m, "steps", 4, ONNX_MAX_RANK, step);
	if (m->failed || n < 0 || e != n || (a >= 0 && a != n) || (s >= 0 && s != n))
		return onx_fail(m, "starts, ends, axes and steps do not fit");
	for (int i = 0; i < n && !m->failed; i++) {
		const int k = onx_axis(m, x, a < 0 ? i : axis[i]);
		const int64_t extent = onx_dim(m, x, k), by = s < 0 ? 1 : step[i];
		int64_t from = start[i] < 0 ? start[i] + extent : start[i], to = end[i] < 0 && end[i] > -INT64_MAX / 2 ? end[i] + extent : end[i];
		if (by == 0 || by > INT32_MAX || by < -INT32_MAX)
			return onx_fail(m, "a step of %lld", (long long)by);
		const int64_t low = by > 0 ? 0 : -1, high = by > 0 ? extent : extent - 1;
		from = from < 0 ? 0 : from > high ? high : from;
		to = to < low ? low : to > high ? high : to;
		const int64_t count = by > 0 ? (to - from + by - 1) / by : (from - to - by - 1) / -by;
		if (count < 1 && x->p->known && x->rank == 1)
			return onx_const(m, onx_dtype(x), 1, &(int64_t){ 0 }, NEW(m->arena, double));
		if (count < 1)
			return onx_fail(m, "a slice without elements");
		x = count == extent && by == 1 ? x : stepped(m, x, k, from, by, count);
	}
	return x;
}

/* Index of the element that stands at i of a padded axis */
static Value *mirrored(Onx *m, int rank, int axis, int64_t extent, int64_t before, int64_t after, const char *mode)
{
	const int64_t n = before + extent + after;
	if (n < 1 || n > 1 << 20)
		return onx_fail(m, "a padded axis of %lld", (long long)n);
	double *d = NEWN(m->arena, double, n);
	int64_t dim[ONNX_MAX_RANK];
	for (int64_t i = 0; i < n; i++) {
		int64_t at = i - before, period = 2 * (extent - 1);
		if (strcmp(mode, "edge") == 0) {
			at = at < 0 ? 0 : at >= extent ? extent - 1 : at;
		} else if (strcmp(mode, "wrap") == 0) {
			at = (at % extent + extent) % extent;
		} else {
			at = period ? (at % period + period) % period : 0;
			at = at >= extent ? period - at : at;
		}
		d[i] = (double)at;
	}
	for (int i = 0; i < rank; i++)
		dim[i] = i == axis ? n : 1;
	return onx_const(m, DT_I32, rank, dim, d);
}

static Value *padded(Onx *m, Value *x, int axis, int64_t before, int64_t after, const char *mode, Value *fill)
{
	const int64_t extent = onx_dim(m, x, axis), cut_before = before < 0 ? -before : 0, cut_after = after < 0 ? -after : 0;
	x = onx_slice(m, x, axis, cut_before, extent - cut_before - cut_after);
	before = before < 0 ? 0 : before;
	after = after < 0 ? 0 : after;
	if (m->failed || (before == 0 && after == 0))
		return x;
	const int64_t inner = onx_dim(m, x, axis);
	if (before > 1 << 24 || after > 1 << 24)
		return onx_fail(m, "padding of %lld", (long long)(before + after));
	if (strcmp(mode, "constant") != 0)
		return onx_pick(m, x, mirrored(m, x->rank, axis, inner, before, after, mode), axis);
	Value *y = onx_pad(m, x, axis, before, after);
	if (!fill)
		return y;
	Value *i = onx_iota(m, x->rank, axis, before + inner + after);
	Value *in = onx_2(m, OP_and, onx_2(m, OP_le, onx_k(m, DT_I32, (double)before), i), onx_2k(m, OP_lt, i, (double)(before + inner)));
	return onx_select(m, in, y, fill);
}

Value *import_pad(Onx *m)
{
	int64_t pads[2 * ONNX_MAX_RANK], axes[ONNX_MAX_RANK];
	Value *x = onx_in(m, 0), *fill = NULL;
	const char *mode = onx_text(m, "mode", "constant");
	int n = ints_of(m, "pads", 1, 2 * ONNX_MAX_RANK, pads);
	n = n < 0 ? onx_int_list(m, "paddings", 2 * ONNX_MAX_RANK, pads) : n;
	const int a = ints_of(m, "\1", 3, ONNX_MAX_RANK, axes), count = a < 0 ? x->rank : a;
	if (m->failed || n != 2 * count)
		return onx_fail(m, "its pads do not fit");
	if (onx_has(m, 2))
		fill = onx_in(m, 2);
	else if (onx_float(m, "value", 0) != 0)
		fill = onx_k(m, DT_F32, onx_float(m, "value", 0));
	if (fill && fill->rank == 1 && onx_elems(m, fill) == 1)
		fill = onx_squeeze(m, fill, 1);
	if (fill && fill->p->known && fill->rank == 0 && phys_element(fill->p, 0) == 0)
		fill = NULL;
	for (int i = 0; i < count && !m->failed; i++)
		x = padded(m, x, onx_axis(m, x, a < 0 ? i : axes[i]), pads[i], pads[count + i], mode, fill);
	return x;
}

Value *import_expand(Onx *m)
{
	int64_t dim[ONNX_MAX_RANK];
	int rank;
	Value *x = onx_in(m, 0);
	if (!onx_ints(m, onx_in(m, 1), "its shape", ONNX_MAX_RANK, dim, &rank))
		return m->nothing;
	return onx_expand(m, x, rank, dim);
}

Value *import_tile(Onx *m)
{
	int64_t times[ONNX_MAX_RANK];
	int n;
	Value *x = onx_in(m, 0);
	if (!onx_ints(m, onx_in(m, 1), "its repeats", ONNX_MAX_RANK, times, &n) || n != x->rank)
		return onx_fail(m, "its repeats do not fit");
	for (int axis = 0; axis < n && !m->failed; axis++) {
		int64_t wide[ONNX_MAX_RANK + 1], dim[ONNX_MAX_RANK];
		if (times[axis] == 1)
			continue;
		for (int i = 0; i < n; i++) {
			dim[i] = onx_dim(m, x, i) * (i == axis ? times[axis] : 1);
			wide[i + (i >= axis)] = onx_dim(m, x, i);
		}
		if (times[axis] < 1 || times[axis] > INT32_MAX || n >= ONNX_MAX_RANK)
			return onx_fail(m, "%lld repeats", (long long)times[axis]);
		wide[axis] = times[axis];
		x = onx_reshape(m, onx_expand(m, onx_unsqueeze(m, x, 1u << axis), n + 1, wide), n, dim);
	}
	return x;
}

/* Blocks of b by b: channels to pixels (DCR: block first, then channel; CRD: the other way) and back. */
Value *import_depthspace(Onx *m)
{
	Value *x = onx_in(m, 0);
	const int64_t b = onx_int(m, "blocksize", 0);
	const bool to_space = is(m, "DepthToSpace"), crd = strcmp(onx_text(m, "mode", "DCR"), "CRD") == 0;
	if (m->failed || x->rank != 4 || b < 1 || b > 4096)
		return onx_fail(m, "a block of %lld", (long long)b);
	const int64_t n = onx_dim(m, x, 0), c = onx_dim(m, x, 1), h = onx_dim(m, x, 2), w = onx_dim(m, x, 3);
	if (to_space) {
		int64_t dcr[6] = { n, b, b, c / (b * b), h, w }, rows[6] = { n, c / (b * b), b, b, h, w }, out[4] = { n, c / (b * b), h * b, w * b };
		Value *y = onx_reshape(m, x, 6, crd ? rows : dcr);
		y = onx_transpose(m, y, crd ? (int[]){ 0, 1, 4, 2, 5, 3 } : (int[]){ 0, 3, 4, 1, 5, 2 });
		return onx_reshape(m, y, 4, out);
	}
	int64_t in[6] = { n, c, h / b, b, w / b, b }, out[4] = { n, c * b * b, h / b, w / b };
	return onx_reshape(m, onx_transpose(m, onx_reshape(m, x, 6, in), (int[]){ 0, 3, 5, 1, 2, 4 }), 4, out);
}

Value *import_trilu(Onx *m)
{
	Value *x = onx_in(m, 0);
	int64_t k = 0;
	int n;
	if (onx_has(m, 1) && !onx_ints(m, onx_in(m, 1), "k", 1, &k, &n))
		return m->nothing;
	if (m->failed || x->rank < 2)
		return onx_fail(m, "its input is no matrix");
	const int r = x->rank;
	Value *row = onx_iota(m, 2, 0, onx_dim(m, x, r - 2)), *column = onx_iota(m, 2, 1, onx_dim(m, x, r - 1));
	row = onx_2k(m, OP_add, row, (double)k);
	Value *kept = onx_int(m, "upper", 1) ? onx_2(m, OP_le, row, column) : onx_2(m, OP_le, column, row);
	return onx_select(m, kept, x, onx_k(m, onx_dtype(x), 0));
}

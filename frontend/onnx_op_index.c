/* onnx_op_index.c -- ONNX operators that take and put elements by index
 *
 * Indices that are known become slices. Others select: a comparison with the positions, a sum over what was selected; work is
 * the product of both extents, and the gradient is there. Indices must lie inside, as ONNX wants them.
 */
#include <math.h>
#include <string.h>
#include "frontend/onnx_value.h"

/* Ones at the axes of v before `axis` … */
static Value *spread_index(Onx *m, Value *index, int before, int behind)
{
	const int rank = index->rank;
	for (int i = 0; i < before; i++)
		index = onx_unsqueeze(m, index, 1u);
	for (int i = 0; i < behind; i++)
		index = onx_unsqueeze(m, index, 1u << (before + rank + i));
	return index;
}

Value *import_gather(Onx *m)
{
	Value *x = onx_in(m, 0), *index = onx_in(m, 1);
	const int axis = onx_axis(m, x, onx_int(m, "axis", 0));
	if (m->failed)
		return m->nothing;
	const int64_t extent = onx_dim(m, x, axis);
	if (index->p->known && onx_elems(m, index) == 1) {
		const double *at = onx_doubles(m, index);
		const int64_t i = at ? (int64_t)at[0] : 0;
		if (i < -extent || i >= extent)
			return onx_fail(m, "index %lld of %lld", (long long)i, (long long)extent);
		Value *one = onx_slice(m, x, axis, i < 0 ? i + extent : i, 1);
		if (index->rank == 0)
			return onx_squeeze(m, one, 1u << axis);
		return index->rank == 1 ? one : onx_unsqueeze(m, one, ((1u << (index->rank - 1)) - 1) << axis);
	}
	/* x (A, K, B), index (J): K becomes the axes of J */
	const int q = index->rank, behind = x->rank - axis - 1;
	if (x->rank - 1 + q > ONNX_MAX_RANK - 1)
		return onx_fail(m, "%d dimensions", x->rank - 1 + q);
	Value *flat = onx_reshape(m, index, 1, (int64_t[]){ onx_elems(m, index) });
	Value *y = onx_pick(m, x, spread_index(m, flat, axis, behind), axis);
	int64_t dim[ONNX_MAX_RANK];
	for (int i = 0; i < x->rank - 1 + q; i++)
		dim[i] = i < axis ? onx_dim(m, x, i) : i < axis + q ? onx_dim(m, index, i - axis) : onx_dim(m, x, i - q + 1);
	return q == 1 ? y : onx_reshape(m, y, x->rank - 1 + q, dim);
}

Value *import_gatherelements(Onx *m)
{
	Value *x = onx_in(m, 0), *index = onx_in(m, 1);
	const int axis = onx_axis(m, x, onx_int(m, "axis", 0));
	if (m->failed || x->rank != index->rank)
		return onx_fail(m, "its inputs differ in rank");
	for (int i = 0; i < x->rank; i++) /* the index may be smaller beside the axis */
		x = i == axis || onx_dim(m, index, i) == onx_dim(m, x, i) ? x : onx_slice(m, x, i, 0, onx_dim(m, index, i));
	return onx_pick(m, x, index, axis);
}

/* Index tuples (…, k) over the first k axes as one index into all of their elements. */
static Value *linear_index(Onx *m, Value *index, const Value *x, int from, int k, int64_t *all)
{
	Value *sum = NULL;
	const int last = index->rank - 1;
	*all = 1;
	for (int i = k - 1; i >= 0; i--) {
		const int64_t extent = onx_dim(m, x, from + i);
		Value *one = onx_sub1(m, index, last, i);
		one = onx_select(m, onx_2k(m, OP_lt, one, 0), onx_2k(m, OP_add, one, (double)extent), one);
		one = onx_2k(m, OP_mul, one, (double)*all);
		sum = sum ? onx_2(m, OP_add, sum, one) : one;
		*all *= extent;
	}
	return sum;
}

Value *import_gathernd(Onx *m)
{
	Value *x = onx_in(m, 0), *index = onx_in(m, 1);
	const int64_t b = onx_int(m, "batch_dims", 0);
	int64_t dim[ONNX_MAX_RANK], out[ONNX_MAX_RANK], all, count = 1, rest = 1;
	if (m->failed || index->rank < 1 || b < 0 || b > 1 || b >= index->rank)
		return onx_fail(m, "%lld batch dimensions", (long long)b);
	const int k = (int)onx_dim(m, index, index->rank - 1), from = (int)b;
	if (k < 1 || from + k > x->rank)
		return onx_fail(m, "tuples of %d for %d dimensions", k, x->rank);
	Value *at = linear_index(m, index, x, from, k, &all);
	int n = 0, r = 0;
	for (int i = 0; i < index->rank - 1; i++) {
		out[r++] = onx_dim(m, index, i);
		count *= i < from ? 1 : onx_dim(m, index, i);
	}
	for (int i = from + k; i < x->rank; i++) {
		out[r++] = onx_dim(m, x, i);
		rest *= onx_dim(m, x, i);
	}
	for (int i = 0; i < from; i++)
		dim[n++] = onx_dim(m, x, i);
	dim[n++] = all;
	dim[n++] = rest;
	Value *flat = onx_reshape(m, x, n, dim);
	dim[n - 2] = count;
	dim[n - 1] = 1;
	Value *y = onx_pick(m, flat, onx_reshape(m, at, n, dim), from);
	return onx_reshape(m, y, r, out);
}

/* y_k = data_k, but the sum (or product…) of updates_j where index_j = k; x (…, k, …), index and updates (…, j, …). */
static Value *scattered(Onx *m, Value *x, Value *index, Value *updates, int axis, const char *reduction)
{
	const int64_t extent = onx_dim(m, x, axis);
	const DType type = onx_dtype(x);
	index = onx_cast(m, index, DT_I32);
	index = onx_select(m, onx_2k(m, OP_lt, index, 0), onx_2k(m, OP_add, index, (double)extent), index);
	/* (…, k, j, …) */
	Value *here = onx_2(m, OP_eq, onx_unsqueeze(m, index, 1u << axis), onx_iota(m, x->rank + 1, axis, extent));
	Value *wide = onx_unsqueeze(m, updates, 1u << axis), *chosen;
	const uint32_t j = 2u << axis;
	if (strcmp(reduction, "mul") == 0) {
		Value *y = NULL, *all = onx_select(m, here, wide, onx_k(m, type, 1));
		const int64_t n = onx_dim(m, index, axis);
		if (m->failed || n < 1 || n > 64)
			return onx_fail(m, "a product of %lld updates", (long long)n);
		for (int64_t i = 0; i < n; i++) {
			Value *one = onx_sub1(m, all, axis + 1, i);
			y = y ? onx_2(m, OP_mul, y, one) : one;
		}
		return onx_2(m, OP_mul, x, y);
	}
	if (strcmp(reduction, "max") == 0 || strcmp(reduction, "min") == 0) {
		const double sign = *reduction == 'm' && reduction[1] == 'a' ? 1 : -1;
		Value *u = onx_2k(m, OP_mul, wide, sign), *least = onx_k(m, type, type == DT_F32 ? -(double)INFINITY : (double)INT32_MIN);
		chosen = onx_reduce(m, OP_reduce_max, onx_select(m, here, u, least), j, false);
		return onx_2k(m, OP_mul, onx_2(m, OP_max, onx_2k(m, OP_mul, x, sign), chosen), sign);
	}
	chosen = onx_reduce(m, OP_sum, onx_select(m, here, wide, onx_k(m, type, 0)), j, false);
	if (strcmp(reduction, "add") == 0)
		return onx_2(m, OP_add, x, chosen);
	Value *hit = onx_reduce(m, OP_reduce_max, onx_cast(m, here, DT_I32), j, false);
	return onx_select(m, onx_2k(m, OP_eq, hit, 1), chosen, x);
}

Value *import_scatterelements(Onx *m)
{
	Value *x = onx_in(m, 0), *index = onx_in(m, 1), *updates = onx_in(m, 2);
	const int axis = onx_axis(m, x, onx_int(m, "axis", 0));
	if (m->failed || x->rank != index->rank || x->rank != updates->rank)
		return onx_fail(m, "its inputs differ in rank");
	/* an index that is smaller beside the axis: -extent - 1 … hits nothing */
	for (int i = 0; i < x->rank; i++) {
		const int64_t more = onx_dim(m, x, i) - onx_dim(m, index, i);
		if (i == axis || more == 0)
			continue;
		index = onx_2k(m, OP_sub, onx_pad(m, onx_2k(m, OP_add, onx_cast(m, index, DT_I32), 1 << 24), i, 0, more), 1 << 24);
		updates = onx_pad(m, updates, i, 0, more);
	}
	return scattered(m, x, index, updates, axis, onx_text(m, "reduction", "none"));
}

Value *import_scatternd(Onx *m)
{
	Value *x = onx_in(m, 0), *index = onx_in(m, 1), *updates = onx_in(m, 2);
	int64_t all, count = 1, rest = 1, dim[ONNX_MAX_RANK];
	if (m->failed || index->rank < 1)
		return onx_fail(m, "its index is a number");
	const int k = (int)onx_dim(m, index, index->rank - 1);
	if (k < 1 || k > x->rank)
		return onx_fail(m, "tuples of %d for %d dimensions", k, x->rank);
	Value *at = linear_index(m, index, x, 0, k, &all);
	for (int i = 0; i < x->rank; i++) {
		dim[i] = onx_dim(m, x, i);
		rest *= i < k ? 1 : dim[i];
	}
	for (int i = 0; i < index->rank - 1; i++)
		count *= onx_dim(m, index, i);
	Value *flat = onx_reshape(m, x, 2, (int64_t[]){ all, rest });
	Value *rows = onx_reshape(m, updates, 2, (int64_t[]){ count, rest });
	at = onx_reshape(m, at, 2, (int64_t[]){ count, 1 });
	return onx_reshape(m, scattered(m, flat, at, rows, 0, onx_text(m, "reduction", "none")), x->rank, dim);
}

Value *import_onehot(Onx *m)
{
	int64_t depth = 0, axis = onx_int(m, "axis", -1);
	int n;
	Value *index = onx_in(m, 0), *values = onx_in(m, 2);
	if (!onx_ints(m, onx_in(m, 1), "its depth", 1, &depth, &n))
		return m->nothing;
	axis = axis < 0 ? axis + index->rank + 1 : axis;
	if (m->failed || axis < 0 || axis > index->rank)
		return onx_fail(m, "an axis beyond its input");
	index = onx_cast(m, index, DT_I32);
	index = onx_select(m, onx_2k(m, OP_lt, index, 0), onx_2k(m, OP_add, index, (double)depth), index);
	Value *here = onx_2(m, OP_eq, onx_unsqueeze(m, index, 1u << axis), onx_iota(m, index->rank + 1, (int)axis, depth));
	return onx_select(m, here, onx_sub1(m, values, 0, 1), onx_sub1(m, values, 0, 0));
}

/* Element i has rank r = how many are larger, or equal and before it; result k is the sum of those of rank k. */
Value *import_topk(Onx *m)
{
	int64_t k = onx_int(m, "k", 0);
	int n;
	Value *x = onx_in(m, 0);
	const int axis = onx_axis(m, x, onx_int(m, "axis", -1));
	if (onx_has(m, 1) && !onx_ints(m, onx_in(m, 1), "k", 1, &k, &n))
		return m->nothing;
	if (m->failed || k < 1 || k > onx_dim(m, x, axis))
		return onx_fail(m, "k is %lld", (long long)k);
	const int64_t extent = onx_dim(m, x, axis);
	Value *i = onx_iota(m, x->rank + 1, axis, extent), *j = onx_iota(m, x->rank + 1, axis + 1, extent);
	Value *xi = onx_unsqueeze(m, x, 2u << axis), *xj = onx_unsqueeze(m, x, 1u << axis);
	Value *better = onx_int(m, "largest", 1) ? onx_2(m, OP_lt, xi, xj) : onx_2(m, OP_lt, xj, xi);
	Value *tie = onx_2(m, OP_and, onx_2(m, OP_eq, xi, xj), onx_2(m, OP_lt, j, i));
	Value *ahead = onx_select(m, better, onx_k(m, DT_I32, 1), onx_cast(m, tie, DT_I32));
	Value *rank = onx_reduce(m, OP_sum, ahead, 2u << axis, false);
	/* (…, k, i, …) */
	Value *here = onx_2(m, OP_eq, onx_unsqueeze(m, rank, 1u << axis), onx_iota(m, x->rank + 1, axis, k));
	Value *value = onx_select(m, here, xj, onx_k(m, onx_dtype(x), 0));
	m->out[1] = onx_reduce(m, OP_sum, onx_select(m, here, j, onx_k(m, DT_I32, 0)), 2u << axis, false);
	return onx_reduce(m, OP_sum, value, 2u << axis, false);
}

Value *import_reversesequence(Onx *m)
{
	Value *x = onx_in(m, 0), *length = onx_in(m, 1);
	const int time = onx_axis(m, x, onx_int(m, "time_axis", 0)), batch = onx_axis(m, x, onx_int(m, "batch_axis", 1));
	if (m->failed)
		return m->nothing;
	Value *t = onx_iota(m, x->rank, time, onx_dim(m, x, time)), *n = onx_cast(m, length, DT_I32);
	n = spread_index(m, n, batch, x->rank - batch - 1);
	Value *back = onx_2k(m, OP_sub, onx_2(m, OP_sub, n, t), 1);
	return onx_pick(m, x, onx_select(m, onx_2(m, OP_lt, t, n), back, t), time);
}

/* Every element of the pool goes where its index says, in (batch, channels, all cells); `output_shape` may be larger. */
Value *import_maxunpool(Onx *m)
{
	int64_t size[3], stride[3] = { 1, 1, 1 }, pad[6] = { 0 }, out[ONNX_MAX_RANK] = { 1, 1 }, wanted[ONNX_MAX_RANK];
	int64_t cells = 1, inputs = 1;
	Value *x = onx_in(m, 0), *index = onx_in(m, 1);
	const int n = onx_int_list(m, "kernel_shape", 3, size);
	int rank = 0;
	onx_int_list(m, "strides", 3, stride);
	onx_int_list(m, "pads", 6, pad);
	if (m->failed || n != x->rank - 2 || onx_dim(m, x, 0) * onx_dim(m, x, 1) != 1)
		return onx_fail(m, "several pictures or channels are not supported");
	for (int i = 0; i < n; i++) {
		out[2 + i] = (onx_dim(m, x, 2 + i) - 1) * stride[i] + size[i] - pad[i] - pad[n + i];
		inputs *= onx_dim(m, x, 2 + i);
		cells = out[2 + i] < 1 || out[2 + i] > 65536 ? 1 << 30 : cells * out[2 + i];
	}
	if (cells > 1 << 20)
		return onx_fail(m, "%lld cells", (long long)cells);
	Value *zeros = onx_expand(m, onx_k(m, DT_F32, 0), 1, (int64_t[]){ cells });
	Value *y = scattered(m, zeros, onx_reshape(m, index, 1, &inputs), onx_reshape(m, x, 1, &inputs), 0, "add");
	y = onx_reshape(m, y, x->rank, out);
	if (onx_has(m, 2) && onx_ints(m, onx_in(m, 2), "output_shape", ONNX_MAX_RANK, wanted, &rank)) {
		for (int i = 0; i < n && rank == x->rank; i++)
			y = onx_pad(m, y, 2 + i, 0, wanted[2 + i] - out[2 + i]);
	}
	return y;
}

/* onnx_math.c -- NumPy's operations on values under import
 *
 * Each finds an order of the physical axes that its operands can share and asks for as few changes of place as it can:
 * pointwise operations and concatenations keep the order of their first operand, reductions and slices any order.
 */
#include <string.h>
#include "frontend/onnx_value.h"

/* ---- constants ---- */

static const int64_t most_made = INT64_C(1) << 25;

Value *onx_const(Onx *m, DType t, int rank, const int64_t *dim, const double *d)
{
	int32_t small[ONNX_MAX_RANK] = { 0 };
	int64_t all = 1;
	if (rank > IR_MAX_RANK)
		return onx_fail(m, "a constant of %d dimensions; at most %d are possible", rank, IR_MAX_RANK);
	for (int i = 0; i < rank; i++) {
		if (dim[i] > INT32_MAX || __builtin_mul_overflow(all, dim[i], &all) || all > INT64_C(1) << 36)
			return onx_fail(m, "a constant is too large");
		small[i] = (int32_t)dim[i];
	}
	m->folded += d ? all : 0;
	if (m->folded > most_made)
		return onx_fail(m, "the constants of the graph come to more than %lld elements", (long long)most_made);
	Phys *p = phys_known(m, ir_type(t, rank, small), NULL, d);
	p->fixed = true;
	return onx_new(m, p, rank);
}

Value *onx_k(Onx *m, DType t, double x)
{
	double *d = NEW(m->arena, double);
	*d = x;
	return onx_const(m, t, 0, NULL, d);
}

Value *onx_tensor(Onx *m, const OnnxTensor *t)
{
	if (t->problem)
		return onx_fail(m, "tensor '%.80s': %s", t->name, t->problem);
	const int before = diag_errors(m->diag);
	const unsigned char *bytes = onnx_tensor_bytes(t, m->g->path, m->arena, m->diag);
	if (!bytes || diag_errors(m->diag) > before)
		return onx_fail(m, "its tensor '%.80s' can't be read", t->name);
	Value *v = onx_const(m, onx_dtype_of(t->type), t->rank, t->dim, NULL);
	if (m->failed)
		return v;
	v->p->fixed = false;
	if (t->type == ONNX_FLOAT && ((uintptr_t)bytes & 3) == 0) {
		v->p->f = (const float *)(const void *)bytes;
	} else if (t->type == ONNX_FLOAT) {
		float *f = NEWN(m->arena, float, t->elems);
		memcpy(f, bytes, (size_t)t->elems * sizeof *f);
		v->p->f = f;
	} else {
		double *d = NEWN(m->arena, double, t->elems);
		for (int64_t i = 0; i < t->elems; i++)
			d[i] = onnx_element(t->type, bytes, i);
		v->p->d = d;
	}
	return v;
}

/* ---- pointwise ---- */

typedef struct Order { int n, axis[ONNX_MAX_RANK]; int rank, batch; } Order; /* logical axes of the result, as they will lie */

static void insert(Order *o, int at, int axis)
{
	memmove(&o->axis[at + 1], &o->axis[at], (size_t)(o->n - at) * sizeof o->axis[0]);
	o->axis[at] = axis;
	o->n++;
}

static bool listed(const Order *o, int axis)
{
	for (int k = 0; k < o->n; k++) {
		if (o->axis[k] == axis)
			return true;
	}
	return axis == o->batch;
}

/* The order in which the axes of v lie, counted in a result of `rank` axes. */
static void order_of(const Onx *m, const Value *v, int rank, Order *o)
{
	const IrType *t = &v->p->node.type;
	const int lead = rank - v->rank, batch = onx_batch_axis(m, v);
	*o = (Order){ .rank = rank, .batch = batch < 0 ? -1 : batch + lead };
	for (int p = ir_batched(t); p < t->rank; p++) {
		for (int i = 0; i < v->rank; i++) {
			if (v->at[i] == p && i != batch)
				o->axis[o->n++] = i + lead;
		}
	}
}

/* The common order: that of the first operand that differs between samples (else of the largest), then what others have. */
static bool common_order(Onx *m, int n, Value *const *in, Order *o)
{
	int rank = 0, ref = -1;
	for (int i = 0; i < n; i++)
		rank = in[i]->rank > rank ? in[i]->rank : rank;
	for (int i = n - 1; i >= 0; i--) {
		if (ir_batched(&in[i]->p->node.type))
			ref = i;
	}
	for (int i = 0; i < n && ref < 0; i++)
		ref = in[i]->rank == rank ? i : ref;
	order_of(m, in[ref], rank, o);
	for (int axis = rank - 1; axis >= 0; axis--) {
		for (int i = 0; i < n; i++) {
			int at = 0;
			if (listed(o, axis) || onx_dim(m, in[i], axis - (rank - in[i]->rank)) == 1)
				continue;
			while (at < o->n && o->axis[at] < axis)
				at++;
			insert(o, at, axis);
		}
	}
	for (int i = 0; i < n; i++) {
		const int lead = rank - in[i]->rank, batch = onx_batch_axis(m, in[i]);
		if (batch >= 0 && batch + lead != o->batch)
			return !onx_mixes(m, "samples of one operand meet another axis of the other");
		if (batch < 0 && o->batch >= 0 && onx_dim(m, in[i], o->batch - lead) != 1)
			return !onx_mixes(m, "samples meet values of their own");
	}
	return true;
}

static Phys *in_order(Onx *m, Value *v, const Order *o)
{
	int axis[ONNX_MAX_RANK], n = 0;
	const bool batched = ir_batched(&v->p->node.type);
	for (int k = 0; k < o->n; k++) {
		const int i = o->axis[k] - (o->rank - v->rank);
		if (n == 0 && !batched && onx_dim(m, v, i) == 1)
			continue; /* leading ones are not needed */
		axis[n++] = i;
	}
	return onx_take(m, v, n, axis);
}

static bool lies_in(const Onx *m, const Value *v, const Order *o)
{
	Order own;
	order_of(m, v, o->rank, &own);
	const IrType *t = &v->p->node.type; /* squeezed axes may still be there */
	return own.n == o->n && own.batch == o->batch && t->rank == o->n + ir_batched(t) && memcmp(own.axis, o->axis, (size_t)o->n * sizeof own.axis[0]) == 0;
}

Value *onx_map(Onx *m, OpCode op, int n, Value *const *in)
{
	Value *real[8];
	Phys *p[8];
	Order o;
	INVARIANT(n <= 8);
	for (int i = 0; i < n; i++)
		real[i] = onx_real(m, in[i]);
	if (m->failed || !common_order(m, n, real, &o) || m->failed)
		return m->nothing;
	for (int i = 0; i < n; i++)
		p[i] = lies_in(m, real[i], &o) ? real[i]->p : in_order(m, real[i], &o);
	Phys *y = phys_op(m, op, n, p, NULL, NULL);
	if (m->failed)
		return m->nothing;
	const int most = o.n + ir_batched(&y->node.type), missing = most - y->node.type.rank;
	INVARIANT(missing >= 0);
	Order kept = { .rank = o.rank, .batch = o.batch };
	for (int k = missing; k < o.n; k++) /* only constants have left out leading ones */
		kept.axis[kept.n++] = o.axis[k];
	return onx_make(m, y, o.rank, kept.n, kept.axis, o.batch);
}

Value *onx_1(Onx *m, OpCode op, Value *a)
{
	return onx_map(m, op, 1, &a);
}

Value *onx_2(Onx *m, OpCode op, Value *a, Value *b)
{
	return onx_map(m, op, 2, (Value *[]){ a, b });
}

Value *onx_2k(Onx *m, OpCode op, Value *a, double b)
{
	return onx_2(m, op, a, onx_k(m, onx_dtype(a), b));
}

Value *onx_select(Onx *m, Value *c, Value *a, Value *b)
{
	return onx_map(m, OP_select, 3, (Value *[]){ c, a, b });
}

Value *onx_not(Onx *m, Value *a)
{
	return onx_2(m, OP_eq, a, onx_k(m, DT_BOOL, 0));
}

Value *onx_cast(Onx *m, Value *a, DType to)
{
	IrAttr attr;
	if (onx_dtype(a) == to || m->failed)
		return a;
	a = onx_real(m, a);
	memset(&attr, 0, sizeof attr);
	attr.cast.to = to;
	if (to == DT_BOOL)
		return onx_not(m, onx_2k(m, OP_eq, a, 0));
	Value *v = NEW(m->arena, Value);
	*v = *a;
	v->p = phys_op(m, OP_cast, 1, &a->p, &attr, NULL);
	return v;
}

/* ---- axes ---- */

/* The physical axes of logical ones. */
static bool physical_axes(Onx *m, const Value *a, uint32_t axes, uint32_t *out)
{
	const bool batched = ir_batched(&a->p->node.type);
	*out = 0;
	for (int i = 0; i < a->rank; i++) {
		if (!(axes >> i & 1) || a->at[i] < 0)
			continue;
		if (batched && a->at[i] == 0)
			return !onx_mixes(m, "it works across samples");
		*out |= 1u << a->at[i];
	}
	return true;
}

/* Logical axes of v without `axes`, whose physical ones (gone) are not there any more. */
static Value *without(Onx *m, const Value *v, Phys *p, uint32_t axes, uint32_t gone, bool keep)
{
	Value *out = onx_new(m, p, 0);
	for (int i = 0; i < v->rank; i++) {
		int at = v->at[i];
		for (int k = 0; k < v->at[i]; k++)
			at -= gone >> k & 1;
		if (axes >> i & 1)
			at = -1;
		if (!(axes >> i & 1) || keep)
			out->at[out->rank++] = at;
	}
	return out;
}

Value *onx_reduce(Onx *m, OpCode op, Value *a, uint32_t axes, bool keep)
{
	uint32_t physical;
	IrAttr attr;
	a = onx_real(m, a);
	if (m->failed || !physical_axes(m, a, axes, &physical))
		return m->nothing;
	memset(&attr, 0, sizeof attr);
	attr.reduce.axes = physical;
	Phys *p = a->p;
	if (physical)
		p = phys_op(m, op, 1, &p, &attr, NULL);
	else if (op == OP_argmax)
		return onx_2k(m, OP_mul, onx_cast(m, onx_squeeze(m, a, keep ? 0 : axes), DT_I32), 0);
	return m->failed ? m->nothing : without(m, a, p, axes, physical, keep);
}

/* Axes [from, to) of the operand and [first, last) of the result have the same elements. */
typedef struct Joint { int from, to, first, last, place; } Joint;

static int64_t dim_of(const Onx *m, const Value *a, const int64_t *dim, bool result, int i)
{
	return result ? dim[i] : onx_dim(m, a, i);
}

/* Cuts both shapes behind `skip` leading axes into the shortest runs of equal products. */
static int joints_of(const Onx *m, const Value *a, int rank, const int64_t *dim, int skip, Joint *out)
{
	int n = 0, i = skip, j = skip;
	while (i < a->rank || j < rank) {
		Joint g = { i, i, j, j, 0 };
		int64_t left = 1, right = 1;
		do {
			if ((left <= right && g.to < a->rank) || g.last == rank)
				left *= dim_of(m, a, dim, false, g.to++);
			else
				right *= dim_of(m, a, dim, true, g.last++);
		} while (left != right);
		i = g.to;
		j = g.last;
		out[n++] = g;
	}
	return n;
}

/* By where the first axis of each run lies: runs keep their places, axes within one are put in order. */
static void order_joints(const Onx *m, const Value *a, Joint *g, int n)
{
	for (int k = 0; k < n; k++) {
		g[k].place = k ? g[k - 1].place : -1;
		for (int i = g[k].to - 1; i >= g[k].from; i--)
			g[k].place = a->at[i] >= 0 && onx_dim(m, a, i) > 1 ? a->at[i] : g[k].place;
	}
	for (int k = 1; k < n; k++) {
		for (int i = k; i > 0 && g[i - 1].place > g[i].place; i--) {
			const Joint t = g[i];
			g[i] = g[i - 1];
			g[i - 1] = t;
		}
	}
}

static bool shape_fits(Onx *m, const Value *a, int rank, const int64_t *dim)
{
	int64_t all = 1;
	if (rank > ONNX_MAX_RANK)
		return !onx_fail(m, "%d dimensions", rank)->p;
	for (int i = 0; i < rank; i++) {
		if (dim[i] < 1 || dim[i] > INT32_MAX || __builtin_mul_overflow(all, dim[i], &all))
			return !onx_fail(m, "a shape of extent %lld", (long long)dim[i])->p;
	}
	if (all == onx_elems(m, a))
		return true;
	onx_fail(m, "%lld elements do not fit a shape of %lld", (long long)onx_elems(m, a), (long long)all);
	return false;
}

/* (batch, all) of a picture: left as it lies; matrix products with constants need no order. */
static Value *flattened(Onx *m, Value *a, int batch)
{
	const int32_t all = (int32_t)ir_row_elems(&a->p->node.type);
	const bool split = batch == 0;
	Phys *p = phys_reshape(m, a->p, 2, (int32_t[]){ IR_N, all });
	Value *v = onx_make(m, p, 2, 1, (int[]){ 1 }, split ? 0 : -1);
	bool sorted = true;
	for (int i = 0, last = -1; i < a->rank; i++) {
		if (a->at[i] < 0 || i == batch || onx_dim(m, a, i) == 1)
			continue;
		sorted = sorted && a->at[i] > last;
		last = a->at[i];
	}
	v->flat = sorted ? NULL : a;
	return v;
}

Value *onx_reshape(Onx *m, Value *a, int rank, const int64_t *dim)
{
	Joint g[2 * ONNX_MAX_RANK];
	int take[ONNX_MAX_RANK], put[ONNX_MAX_RANK], n = 0, k = 0;
	int32_t small[ONNX_MAX_RANK + 1] = { IR_N };
	if (m->failed || !shape_fits(m, a, rank, dim))
		return m->nothing;
	a = a->flat ? a->flat : a;
	const int batch = onx_batch_axis(m, a);
	const bool batched = ir_batched(&a->p->node.type);
	if (batch > 0 || (batch == 0 && (rank == 0 || dim[0] != m->batch)))
		return onx_mixes(m, "a shape that joins samples");
	if (batched && rank == 2 && a->p->node.type.rank > 2 && (batch == 0 || dim[0] == 1))
		return flattened(m, a, batch);
	const int joints = joints_of(m, a, rank, dim, batch == 0, g);
	order_joints(m, a, g, joints);
	for (int j = 0; j < joints; j++) {
		for (int i = g[j].from; i < g[j].to; i++)
			take[n++] = i;
		for (int i = g[j].first; i < g[j].last; i++) {
			put[k] = i;
			small[batched + k++] = (int32_t)dim[i];
		}
	}
	Phys *p = phys_reshape(m, onx_take(m, a, n, take), k + batched, small);
	return onx_make(m, p, rank, k, put, batch);
}

Value *onx_transpose(Onx *m, Value *a, const int *perm)
{
	a = onx_real(m, a);
	Value *v = onx_new(m, a->p, a->rank);
	for (int i = 0; i < a->rank; i++)
		v->at[i] = a->at[perm[i]];
	return v;
}

Value *onx_squeeze(Onx *m, Value *a, uint32_t axes)
{
	if (m->failed || axes == 0)
		return m->failed ? m->nothing : a;
	a = onx_real(m, a);
	Value *v = onx_new(m, a->p, 0);
	for (int i = 0; i < a->rank; i++) {
		if (!(axes >> i & 1))
			v->at[v->rank++] = a->at[i];
		else if (onx_dim(m, a, i) != 1)
			return onx_fail(m, "axis %d of extent %lld can't be squeezed", i, (long long)onx_dim(m, a, i));
		else if (m->split && a->at[i] == 0 && ir_batched(&a->p->node.type))
			return onx_mixes(m, "the axis of the samples is squeezed");
	}
	return v;
}

Value *onx_unsqueeze(Onx *m, Value *a, uint32_t axes)
{
	const int rank = a->rank + __builtin_popcount(axes);
	if (m->failed)
		return m->nothing;
	if (rank > ONNX_MAX_RANK || axes >> rank)
		return onx_fail(m, "the result has %d dimensions", rank);
	a = onx_real(m, a);
	Value *v = onx_new(m, a->p, rank);
	for (int i = 0, k = 0; i < rank; i++)
		v->at[i] = axes >> i & 1 ? -1 : a->at[k++];
	return v;
}

/* ---- cutting and joining ---- */

/* v with logical axis present physically, and not N */
static Value *with_axis(Onx *m, Value *v, int axis)
{
	v = onx_real(m, v);
	if (m->failed || v->at[axis] >= 0) {
		if (!m->failed && v->at[axis] == 0 && ir_batched(&v->p->node.type))
			return onx_mixes(m, "it cuts between samples");
		return v;
	}
	int order[ONNX_MAX_RANK], n = 0;
	const int batch = onx_batch_axis(m, v);
	Order o;
	order_of(m, v, v->rank, &o);
	for (int k = 0; k < o.n; k++)
		order[n++] = o.axis[k];
	memmove(order + 1, order, (size_t)n * sizeof order[0]);
	order[0] = axis;
	return onx_make(m, onx_take(m, v, n + 1, order), v->rank, n + 1, order, batch);
}

static Value *cut(Onx *m, OpCode op, Value *a, int axis, int64_t start, int64_t extent)
{
	IrAttr attr;
	a = with_axis(m, a, axis);
	if (m->failed)
		return m->nothing;
	if (start < 0 || extent < 1 || start > INT32_MAX || extent > INT32_MAX)
		return onx_fail(m, "%lld elements from %lld on", (long long)extent, (long long)start);
	memset(&attr, 0, sizeof attr);
	attr.slice.axis = a->at[axis];
	attr.slice.start = (int32_t)start;
	attr.slice.extent = (int32_t)extent;
	Value *v = NEW(m->arena, Value);
	*v = *a;
	v->p = phys_op(m, op, 1, &a->p, &attr, NULL);
	return m->failed ? m->nothing : v;
}

Value *onx_slice(Onx *m, Value *a, int axis, int64_t start, int64_t extent)
{
	return start == 0 && extent == onx_dim(m, a, axis) ? a : cut(m, OP_slice, a, axis, start, extent);
}

Value *onx_pad(Onx *m, Value *a, int axis, int64_t before, int64_t after)
{
	return before == 0 && after == 0 ? a : cut(m, OP_pad, a, axis, before, before + onx_dim(m, a, axis) + after);
}

enum { MOST_JOINED = 64 };

typedef struct Join {
	int n, axis;
	bool samples;              /* one of them differs from sample to sample */
	Value *part[MOST_JOINED];  /* with the axis as one that lies in memory */
	Order o;
} Join;

/* What has elements; where nothing has, all. */
static int not_empty(Onx *m, int n, Value *const *in, Value **out)
{
	int filled = 0;
	for (int i = 0; i < n && !m->failed; i++) {
		if (onx_elems(m, in[i]) > 0)
			out[filled++] = in[i];
	}
	if (filled)
		return filled;
	memcpy(out, in, (size_t)n * sizeof *out);
	return n;
}

static bool join_parts(Onx *m, Join *j, Value *const *in)
{
	int first = 0;
	bool differs = false;
	for (int i = j->n - 1; i >= 0; i--) {
		if (in[i]->rank != in[0]->rank || j->axis >= in[i]->rank || onx_dtype(in[i]) != onx_dtype(in[0])) {
			onx_fail(m, "its inputs differ in rank or type");
			return false;
		}
		if (ir_batched(&in[i]->p->node.type))
			first = i, j->samples = true;
		else
			differs = true;
	}
	for (int i = 0; i < j->n; i++) {
		const bool alike = j->samples && differs && !ir_batched(&in[i]->p->node.type);
		j->part[i] = alike ? onx_real(m, in[i]) : with_axis(m, in[i], j->axis);
	}
	j->part[first] = with_axis(m, j->part[first], j->axis);
	if (m->failed)
		return false;
	order_of(m, j->part[first], j->part[first]->rank, &j->o);
	for (int i = 0; i < j->n; i++) {
		for (int k = 0; k < j->part[i]->rank; k++) {
			if (!listed(&j->o, k) && onx_dim(m, j->part[i], k) != 1)
				insert(&j->o, j->o.n, k);
		}
	}
	return true;
}

/* A part as it will lie; what is alike for all samples is made one of each. NULL: failed. */
static Phys *join_lay(Onx *m, const Join *j, Value *part)
{
	const Order *o = &j->o;
	int32_t dim[ONNX_MAX_RANK + 1] = { IR_N };
	if (!j->samples || ir_batched(&part->p->node.type)) {
		if (onx_batch_axis(m, part) == o->batch)
			return onx_take(m, part, o->n, o->axis);
		onx_mixes(m, "samples of one input meet another axis of the other");
		return NULL;
	}
	for (int k = 0; k < o->n; k++)
		dim[1 + k] = (int32_t)onx_dim(m, part, o->axis[k]);
	if (o->n >= IR_MAX_RANK) {
		onx_fail(m, "too many dimensions");
		return NULL;
	}
	if (o->batch >= 0 && onx_dim(m, part, o->batch) != 1 && m->batch != 1) {
		onx_mixes(m, "samples are put beside constants");
		return NULL;
	}
	IrType to = ir_type(onx_dtype(part), o->n + 1, dim);
	Phys *alike = onx_take(m, part, o->n, o->axis);
	return phys_op(m, OP_broadcast, 1, &alike, NULL, &to);
}

/* As Keras' layer; `axis` counts in memory. NULL: failed. */
static Phys *join_layer(Onx *m, const Join *j, Phys *const *p, int axis)
{
	IrType t = p[0]->node.type;
	int64_t extent = 0;
	for (int i = 0; i < j->n; i++) {
		for (int k = 0; k < t.rank; k++) {
			if (k != axis && p[i]->node.type.dim[k] != t.dim[k]) {
				onx_fail(m, "its inputs differ beside axis %d", j->axis);
				return NULL;
			}
		}
		extent += p[i]->node.type.dim[axis];
	}
	if (extent > INT32_MAX) {
		onx_fail(m, "its result is too large");
		return NULL;
	}
	t.dim[axis] = (int32_t)extent;
	const char *fields = axis == t.rank - 1 ? "" : arena_printf(m->arena, "axis: %d, ", axis);
	return phys_layer(m, "Concatenate", fields, j->n, p, t);
}

Value *onx_concat(Onx *m, int n, Value *const *in, int axis)
{
	Value *filled[MOST_JOINED];
	Phys *p[MOST_JOINED], *y = NULL;
	if (m->failed || n < 1 || n > MOST_JOINED)
		return onx_fail(m, "%d inputs; 1 to %d are possible", n, MOST_JOINED);
	Join j = { .n = not_empty(m, n, in, filled), .axis = axis };
	if (m->failed || !join_parts(m, &j, filled))
		return m->nothing;
	for (int i = 0; i < j.n; i++) {
		p[i] = join_lay(m, &j, j.part[i]);
		if (!p[i] || m->failed)
			return m->nothing;
	}
	if (j.n == 1)
		return onx_make(m, p[0], filled[0]->rank, j.o.n, j.o.axis, j.o.batch);
	IrAttr attr;
	memset(&attr, 0, sizeof attr);
	for (int k = 0; k < j.o.n; k++) {
		if (j.o.axis[k] == axis)
			attr.axis.axis = k + j.samples;
	}
	if (j.samples && onx_dtype(filled[0]) == DT_F32)
		y = join_layer(m, &j, p, attr.axis.axis);
	else
		y = phys_op(m, OP_concat, j.n, p, &attr, NULL);
	return onx_make(m, m->failed ? NULL : y, filled[0]->rank, j.o.n, j.o.axis, j.o.batch);
}

Value *onx_expand(Onx *m, Value *a, int rank, const int64_t *dim)
{
	int64_t to[ONNX_MAX_RANK];
	bool same = rank <= a->rank;
	if (m->failed)
		return m->nothing;
	if (rank > ONNX_MAX_RANK)
		return onx_fail(m, "%d dimensions", rank);
	const int most = rank > a->rank ? rank : a->rank;
	for (int i = 0; i < most; i++) {
		const int64_t own = onx_dim(m, a, i - (most - a->rank)), other = i - (most - rank) < 0 ? 1 : dim[i - (most - rank)];
		if (own != other && own != 1 && other != 1)
			return onx_fail(m, "extent %lld does not stretch to %lld", (long long)own, (long long)other);
		to[i] = own == 1 ? other : own;
		same = same && to[i] == own;
	}
	if (same)
		return a;
	if (most > a->rank)
		a = onx_unsqueeze(m, a, (1u << (most - a->rank)) - 1);
	const int batch = onx_batch_axis(m, a);
	int axis[ONNX_MAX_RANK], n = 0;
	int32_t small[ONNX_MAX_RANK + 1] = { IR_N };
	const bool batched = ir_batched(&a->p->node.type);
	for (int i = 0; i < most; i++) {
		if (i == batch) {
			if (to[i] != m->batch)
				return onx_mixes(m, "samples are repeated");
			continue;
		}
		if (to[i] < 1 || to[i] > INT32_MAX || n + batched >= IR_MAX_RANK)
			return onx_fail(m, "a shape of %d dimensions, one of them %lld", most, (long long)to[i]);
		small[n + batched] = (int32_t)to[i];
		axis[n++] = i;
	}
	Phys *p = onx_take(m, a, n, axis);
	IrType type = ir_type(onx_dtype(a), n + batched, small);
	if (!m->failed && !ir_type_eq(&type, &p->node.type))
		p = phys_op(m, OP_broadcast, 1, &p, NULL, &type);
	return onx_make(m, p, most, n, axis, batch);
}

/* ---- made of the others ---- */

Value *onx_iota(Onx *m, int rank, int axis, int64_t extent)
{
	if (m->failed || extent < 1 || extent > INT64_C(1) << 20)
		return onx_fail(m, "an axis of extent %lld", (long long)extent);
	double *d = NEWN(m->arena, double, extent);
	int64_t dim[ONNX_MAX_RANK];
	for (int64_t i = 0; i < extent; i++)
		d[i] = (double)i;
	for (int i = 0; i < rank; i++)
		dim[i] = i == axis ? extent : 1;
	return onx_const(m, DT_I32, rank, dim, d);
}

Value *onx_rowwise(Onx *m, OpCode op, Value *a, int axis)
{
	Order o;
	a = with_axis(m, a, axis);
	if (m->failed)
		return m->nothing;
	order_of(m, a, a->rank, &o);
	int order[ONNX_MAX_RANK], n = 0;
	for (int k = 0; k < o.n; k++) {
		if (o.axis[k] != axis)
			order[n++] = o.axis[k];
	}
	order[n++] = axis;
	Phys *p = onx_take(m, a, n, order);
	if (op == OP_softmax && !m->failed && ir_batched(&p->node.type))
		p = phys_layer(m, "Softmax", "", 1, &p, p->node.type);
	else
		p = phys_op(m, op, 1, &p, NULL, NULL);
	return onx_make(m, p, a->rank, n, order, o.batch);
}

Value *onx_matmul(Onx *m, Value *a, Value *b)
{
	if (m->failed)
		return m->nothing;
	if (a->rank < 1 || b->rank < 1)
		return onx_fail(m, "its inputs are %d- and %d-dimensional", a->rank, b->rank);
	const bool row = a->rank == 1, column = b->rank == 1;
	if (row)
		a = onx_unsqueeze(m, a, 1);
	if (column)
		b = onx_unsqueeze(m, b, 2);
	if (onx_dim(m, a, a->rank - 1) != onx_dim(m, b, b->rank - 2))
		return onx_fail(m, "inner extents %lld and %lld differ", (long long)onx_dim(m, a, a->rank - 1),
		                (long long)onx_dim(m, b, b->rank - 2));
	/* (…, i, k, 1) * (…, 1, k, j), summed over k */
	Value *left = onx_unsqueeze(m, a, 1u << a->rank), *right = onx_unsqueeze(m, b, 1u << (b->rank - 2));
	Value *product = onx_2(m, OP_mul, left, right);
	Value *y = onx_reduce(m, OP_sum, product, m->failed ? 0 : 1u << (product->rank - 2), false);
	const uint32_t away = m->failed ? 0 : (row ? 1u << (y->rank - 2) : 0) | (column ? 1u << (y->rank - 1) : 0);
	return onx_squeeze(m, y, away);
}

/* One-hot rows of the index select and sum: exact for any value but NaN and infinities in other places, which `select`
 * leaves out. */
Value *onx_pick(Onx *m, Value *a, Value *index, int axis)
{
	if (m->failed || a->rank != index->rank)
		return onx_fail(m, "its inputs are %d- and %d-dimensional", a->rank, index->rank);
	const int64_t extent = onx_dim(m, a, axis);
	index = onx_cast(m, index, DT_I32);
	index = onx_select(m, onx_2k(m, OP_lt, index, 0), onx_2k(m, OP_add, index, (double)extent), index);
	/* the axis of a becomes a new one behind all; the index has extent 1 there */
	Value *wide = onx_unsqueeze(m, index, 1u << index->rank);
	int perm[ONNX_MAX_RANK + 1];
	Value *from = onx_unsqueeze(m, a, 1u << axis);
	if (m->failed)
		return m->nothing;
	for (int i = 0, k = 0; i < from->rank; i++) {
		if (i != axis + 1)
			perm[k++] = i;
	}
	perm[from->rank - 1] = axis + 1;
	from = onx_transpose(m, from, perm);
	const bool boolean = onx_dtype(a) == DT_BOOL;
	Value *here = onx_2(m, OP_eq, wide, onx_iota(m, from->rank, from->rank - 1, extent));
	Value *value = boolean ? onx_cast(m, from, DT_I32) : from;
	Value *y = onx_select(m, here, value, onx_k(m, onx_dtype(value), 0));
	y = onx_reduce(m, OP_sum, y, m->failed ? 0 : 1u << (y->rank - 1), false);
	return boolean ? onx_cast(m, y, DT_BOOL) : y;
}

Value *onx_sub1(Onx *m, Value *a, int axis, int64_t i)
{
	return onx_squeeze(m, onx_slice(m, a, axis, i, 1), 1u << axis);
}

static Value *reversed(Onx *m, Value *a, int axis, int64_t extent)
{
	const double *from = onx_doubles(m, a);
	const int64_t n = m->failed ? 0 : onx_elems(m, a);
	double *to = NEWN(m->arena, double, n + 1);
	int64_t dim[ONNX_MAX_RANK], inner = 1;
	for (int i = 0; i < a->rank; i++) {
		dim[i] = onx_dim(m, a, i);
		inner *= i > axis ? dim[i] : 1;
	}
	for (int64_t i = 0; i < n && from; i++)
		to[i] = from[i + (extent - 1 - 2 * (i / inner % extent)) * inner];
	Value *v = onx_const(m, onx_dtype(a), a->rank, dim, to);
	v->p->fixed = a->p->fixed;
	return v;
}

Value *onx_reverse(Onx *m, Value *a, int axis)
{
	const int64_t extent = onx_dim(m, a, axis);
	if (!m->failed && a->p->known)
		return reversed(m, a, axis, extent);
	Value *index = onx_iota(m, a->rank, axis, extent);
	return onx_pick(m, a, onx_2(m, OP_sub, onx_k(m, DT_I32, (double)(extent - 1)), index), axis);
}

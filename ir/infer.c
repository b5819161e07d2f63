/* infer.c -- shape and dtype rules: the `infer` column of ops.def
 *
 * in:  n->op, operands, attributes; n->type where the caller gives the result type
 * out: n->type. A misfit is reported at n->loc, or is an ICE where nobody listens (d == NULL).
 * Arithmetic on dimensions is in int64_t: operands and attributes fit int32_t, so sums and products of two are exact.
 * Rules of windows and pictures stand in infer_window.c.
 */
#include "ir/infer.h"

#include <stdarg.h>
#include <string.h>

/* Most elements of a value that does not depend on N, and of a sample of one that does: element counts of whole
 * values stay below 2^62, and indices inside a sample fit 31 bits. */
static const int64_t most_elems = (int64_t)1 << 40, most_row_elems = INT32_MAX;

bool infer_misfit(const Infer *cx, const IrNode *n, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	const char *text = arena_vprintf(cx->arena, fmt, ap);
	va_end(ap);
	if (cx->why) {
		*cx->why = text;
		return false;
	}
	if (!cx->diag)
		ICE("%s: %s", ir_ops[n->op].text, text);
	return diag_error(cx->diag, n->loc, "%s: %s", ir_ops[n->op].text, text);
}

const char *infer_shape(const Infer *cx, const IrNode *n)
{
	return ir_type_text(cx->arena, &n->type);
}

bool infer_set(const Infer *cx, IrNode *n, DType dtype, int rank, const int64_t *dim)
{
	IrType t = { .dtype = dtype, .rank = rank };
	if (rank > IR_MAX_RANK)
		return infer_misfit(cx, n, "result would have %d dimensions, at most %d are possible", rank,
		                    IR_MAX_RANK);
	for (int i = 0; i < rank; i++) {
		if (dim[i] == IR_N && i > 0)
			return infer_misfit(cx, n, "N would be dimension %d of the result, it must be the outermost",
			                    i);
		if (dim[i] != IR_N && dim[i] < 1)
			return infer_misfit(cx, n, "dimension %d of the result would be %lld", i, (long long)dim[i]);
		if (dim[i] > INT32_MAX)
			return infer_misfit(cx, n, "dimension %d of the result would be %lld, more than %d", i,
			                    (long long)dim[i], INT32_MAX);
		t.dim[i] = (int32_t)dim[i];
	}
	int64_t most = ir_batched(&t) ? most_row_elems : most_elems;
	if (ir_row_elems(&t) > most)
		return infer_misfit(cx, n, "result %s is too large: more than %lld elements",
		                    ir_type_text(cx->arena, &t), (long long)most);
	n->type = t;
	return true;
}

bool infer_float(const Infer *cx, const IrNode *n, int i)
{
	DType t = n->in[i]->type.dtype;
	return t == DT_F32 || t == DT_F64 ||
	       infer_misfit(cx, n, "operand %d is %s, a float type is needed", i, dtype_name(t));
}

bool infer_same_dtype(const Infer *cx, const IrNode *n, int i, int j)
{
	DType a = n->in[i]->type.dtype, b = n->in[j]->type.dtype;
	return a == b || infer_misfit(cx, n, "operands differ in type: %s and %s", dtype_name(a), dtype_name(b));
}

static bool like(const Infer *cx, IrNode *n, DType dtype, const IrType *shape)
{
	int64_t dim[IR_MAX_RANK];
	for (int i = 0; i < shape->rank; i++)
		dim[i] = shape->dim[i];
	return infer_set(cx, n, dtype, shape->rank, dim);
}

/* ---- sources ---- */
bool infer_state(const Infer *cx, IrNode *n)
{
	if (!n->attr.state.of)
		return infer_misfit(cx, n, "no state to read");
	return like(cx, n, n->attr.state.of->type.dtype, &n->attr.state.of->type);
}

bool infer_scalar(const Infer *cx, IrNode *n)
{
	IrScalar which = n->attr.scalar.which;
	if ((unsigned)which > SC_DUE)
		return infer_misfit(cx, n, "no such scalar: %d", (int)which);
	if (n->attr.scalar.every < 0 || !(n->attr.scalar.base >= 0 && n->attr.scalar.base <= INT32_MAX))
		return infer_misfit(cx, n, "scalar: base or every out of range");
	return infer_set(cx, n, which == SC_STEP || which == SC_PASS ? DT_U32 : DT_F32, 0, NULL);
}

static bool check_iota(const Infer *cx, const IrNode *n)
{
	if (n->type.dtype != DT_I32)
		return infer_misfit(cx, n, "result is %s, indices are i32", dtype_name(n->type.dtype));
	if (n->attr.axis.axis < 0 || n->attr.axis.axis >= n->type.rank)
		return infer_misfit(cx, n, "axis %d, result has %d dimensions", n->attr.axis.axis, n->type.rank);
	return true;
}

static bool check_random(const Infer *cx, const IrNode *n)
{
	if (n->type.dtype != DT_F32 && n->type.dtype != DT_F64)
		return infer_misfit(cx, n, "result is %s, random numbers are floats", dtype_name(n->type.dtype));
	if (n->nin != n->attr.random.by_id)
		return infer_misfit(cx, n, "%d operands, by_id wants %d", n->nin, n->attr.random.by_id);
	if (n->nin == 0)
		return true;
	const IrType *id = &n->in[0]->type;
	if (id->dtype != DT_U32 || id->rank != 1 || n->type.rank < 1 || id->dim[0] != n->type.dim[0])
		return infer_misfit(cx, n, "sample ids are %s, result is %s", infer_shape(cx, n->in[0]),
		                    infer_shape(cx, n));
	return true;
}


/* The type that the caller gave: only its sanity, and that of the few ops that use it, can be checked. */
bool infer_given(const Infer *cx, IrNode *n)
{
	if ((unsigned)n->type.dtype >= DT_COUNT)
		return infer_misfit(cx, n, "no such dtype: %d", (int)n->type.dtype);
	if (n->type.dtype == DT_BF16)
		return infer_misfit(cx, n, "bf16 is for kernels only");
	if (n->type.rank < 0 || n->type.rank > IR_MAX_RANK)
		return infer_misfit(cx, n, "%d dimensions, possible are 0 to %d", n->type.rank, IR_MAX_RANK);
	IrType t = n->type;
	if (!like(cx, n, t.dtype, &t))
		return false;
	return n->op == OP_iota ? check_iota(cx, n) : n->op == OP_random ? check_random(cx, n) : true;
}

/* ---- pointwise ---- */
static const char *operand_shapes(const Infer *cx, const IrNode *n)
{
	const char *text = infer_shape(cx, n->in[0]);
	for (int i = 1; i < n->nin; i++)
		text = arena_printf(cx->arena, "%s%s%s", text, i + 1 < n->nin ? ", " : " and ",
		                    infer_shape(cx, n->in[i]));
	return text;
}

/* NumPy broadcasting: trailing axes aligned, extent 1 stretches; N matches N and 1. */
static bool broadcast_all(const Infer *cx, IrNode *n, DType dtype)
{
	int64_t dim[IR_MAX_RANK] = { 1, 1, 1, 1, 1, 1 };
	int rank = 0;
	for (int i = 0; i < n->nin; i++)
		rank = n->in[i]->type.rank > rank ? n->in[i]->type.rank : rank;
	for (int i = 0; i < n->nin; i++) {
		const IrType *t = &n->in[i]->type;
		int64_t *to = dim + (rank - t->rank);
		for (int k = 0; k < t->rank; k++) {
			if (to[k] == 1)
				to[k] = t->dim[k];
			else if (t->dim[k] != 1 && t->dim[k] != to[k])
				return infer_misfit(cx, n, "shapes do not fit: %s", operand_shapes(cx, n));
		}
	}
	return infer_set(cx, n, dtype, rank, dim);
}

static bool wants_float(OpCode op)
{
	return op == OP_exp || op == OP_log || op == OP_log1p || op == OP_sqrt || op == OP_rsqrt || op == OP_sin ||
	       op == OP_cos || op == OP_tanh || op == OP_erf || op == OP_sigmoid || op == OP_floor;
}

bool infer_ewise(const Infer *cx, IrNode *n)
{
	DType dtype = n->in[0]->type.dtype;
	if (wants_float(n->op) && !infer_float(cx, n, 0))
		return false;
	if (dtype == DT_BOOL)
		return infer_misfit(cx, n, "bool has no arithmetic");
	if (n->nin == 2 && !infer_same_dtype(cx, n, 0, 1))
		return false;
	return broadcast_all(cx, n, dtype);
}

bool infer_cast(const Infer *cx, IrNode *n)
{
	if ((unsigned)n->attr.cast.to >= DT_COUNT)
		return infer_misfit(cx, n, "no such dtype: %d", (int)n->attr.cast.to);
	if (n->attr.cast.to == DT_BF16)
		return infer_misfit(cx, n, "bf16 is for kernels only");
	return like(cx, n, n->attr.cast.to, &n->in[0]->type);
}

bool infer_compare(const Infer *cx, IrNode *n)
{
	return infer_same_dtype(cx, n, 0, 1) && broadcast_all(cx, n, DT_BOOL);
}

bool infer_select(const Infer *cx, IrNode *n)
{
	DType c = n->in[0]->type.dtype;
	if (c != DT_BOOL)
		return infer_misfit(cx, n, "condition is %s, not bool", dtype_name(c));
	return infer_same_dtype(cx, n, 1, 2) && broadcast_all(cx, n, n->in[1]->type.dtype);
}

/* softmax, log_softmax: over the last axis, which must be one of features. */
bool infer_same(const Infer *cx, IrNode *n)
{
	const IrType *t = &n->in[0]->type;
	if (t->rank == 0 || (t->rank == 1 && ir_batched(t)))
		return infer_misfit(cx, n, "operand %s has no axis of features", infer_shape(cx, n->in[0]));
	return infer_float(cx, n, 0) && like(cx, n, t->dtype, t);
}

/* ---- shape ---- */
static bool want_dtype(const Infer *cx, const IrNode *n)
{
	DType from = n->in[0]->type.dtype;
	return n->type.dtype == from ||
	       infer_misfit(cx, n, "operand is %s, result %s", dtype_name(from), dtype_name(n->type.dtype));
}

bool infer_reshape(const Infer *cx, IrNode *n)
{
	const IrType *from = &n->in[0]->type;
	if (!infer_given(cx, n) || !want_dtype(cx, n))
		return false;
	if (ir_batched(from) != ir_batched(&n->type))
		return infer_misfit(cx, n, "%s to %s: N must stay outermost", infer_shape(cx, n->in[0]),
		                    infer_shape(cx, n));
	if (ir_row_elems(from) != ir_row_elems(&n->type))
		return infer_misfit(cx, n, "%s has %lld elements%s, %s has %lld", infer_shape(cx, n->in[0]),
		                    (long long)ir_row_elems(from), ir_batched(from) ? " a sample" : "",
		                    infer_shape(cx, n), (long long)ir_row_elems(&n->type));
	return true;
}

bool infer_bcast(const Infer *cx, IrNode *n)
{
	const IrType *from = &n->in[0]->type;
	if (!infer_given(cx, n) || !want_dtype(cx, n))
		return false;
	bool fits = from->rank <= n->type.rank;
	for (int i = 0; fits && i < from->rank; i++) {
		int32_t to = n->type.dim[n->type.rank - from->rank + i];
		fits = from->dim[i] == 1 || from->dim[i] == to;
	}
	return fits || infer_misfit(cx, n, "%s does not stretch to %s", infer_shape(cx, n->in[0]), infer_shape(cx, n));
}

bool infer_transpose(const Infer *cx, IrNode *n)
{
	const IrType *from = &n->in[0]->type;
	int64_t dim[IR_MAX_RANK];
	unsigned seen = 0;
	for (int i = 0; i < from->rank; i++) {
		int32_t axis = n->attr.perm.perm[i];
		if (axis < 0 || axis >= from->rank || (seen & 1u << axis))
			return infer_misfit(cx, n, "%d at %d is no permutation of %d axes", axis, i, from->rank);
		seen |= 1u << axis;
		dim[i] = from->dim[axis];
	}
	for (int i = from->rank; i < IR_MAX_RANK; i++)
		n->attr.perm.perm[i] = 0;
	return infer_set(cx, n, from->dtype, from->rank, dim);
}

/* An axis along which a value can be cut or extended: N cannot. */
static bool fixed_axis(const Infer *cx, const IrNode *n, int axis)
{
	const IrType *from = &n->in[0]->type;
	if (axis < 0 || axis >= from->rank)
		return infer_misfit(cx, n, "axis %d, operand %s has %d dimensions", axis, infer_shape(cx, n->in[0]),
		                    from->rank);
	return from->dim[axis] != IR_N || infer_misfit(cx, n, "axis %d is N, the samples of the call", axis);
}

bool infer_concat(const Infer *cx, IrNode *n)
{
	const IrType *a = &n->in[0]->type;
	int axis = n->attr.axis.axis;
	int64_t dim[IR_MAX_RANK];
	if (!fixed_axis(cx, n, axis))
		return false;
	for (int k = 0; k < a->rank; k++)
		dim[k] = a->dim[k];
	for (int i = 1; i < n->nin; i++) {
		const IrType *b = &n->in[i]->type;
		bool fits = a->rank == b->rank && b->dim[axis] != IR_N;
		for (int k = 0; fits && k < a->rank; k++)
			fits = k == axis || a->dim[k] == b->dim[k];
		if (!infer_same_dtype(cx, n, 0, i))
			return false;
		if (!fits)
			return infer_misfit(cx, n, "%s and %s differ beside axis %d", infer_shape(cx, n->in[0]),
			                    infer_shape(cx, n->in[i]), axis);
		dim[axis] += b->dim[axis];
	}
	return infer_set(cx, n, a->dtype, a->rank, dim);
}

/* slice: inner = result; pad: inner = operand. [start, start + extent of inner) must lie in the outer extent. */
static bool cut(const Infer *cx, IrNode *n, bool pads)
{
	const IrType *from = &n->in[0]->type;
	int axis = n->attr.slice.axis, start = n->attr.slice.start, extent = n->attr.slice.extent;
	int64_t dim[IR_MAX_RANK];
	if (!fixed_axis(cx, n, axis))
		return false;
	int64_t inner = pads ? from->dim[axis] : extent, outer = pads ? extent : from->dim[axis];
	if (start < 0 || extent < 1 || start + inner > outer)
		return infer_misfit(cx, n, "%lld at %d does not lie in extent %lld of axis %d", (long long)inner, start,
		                    (long long)outer, axis);
	for (int k = 0; k < from->rank; k++)
		dim[k] = k == axis ? extent : from->dim[k];
	return infer_set(cx, n, from->dtype, from->rank, dim);
}

bool infer_slice(const Infer *cx, IrNode *n)
{
	return cut(cx, n, false);
}

bool infer_pad(const Infer *cx, IrNode *n)
{
	return cut(cx, n, true);
}

/* ---- reductions ---- */
static bool reduced(const Infer *cx, IrNode *n, DType dtype)
{
	const IrType *from = &n->in[0]->type;
	uint32_t axes = n->attr.reduce.axes;
	int64_t dim[IR_MAX_RANK];
	int rank = 0;
	if (axes == 0)
		return infer_misfit(cx, n, "no axis to reduce");
	if (axes >> from->rank)
		return infer_misfit(cx, n, "axes 0x%x, operand %s has %d dimensions", axes, infer_shape(cx, n->in[0]),
		                    from->rank);
	for (int k = 0; k < from->rank; k++) {
		if (!(axes & 1u << k))
			dim[rank++] = from->dim[k];
		else if (n->attr.reduce.keep)
			dim[rank++] = 1;
	}
	return infer_set(cx, n, dtype, rank, dim);
}

bool infer_reduce(const Infer *cx, IrNode *n)
{
	DType dtype = n->in[0]->type.dtype;
	if (n->op == OP_sum && dtype == DT_BOOL)
		return infer_misfit(cx, n, "bool has no arithmetic");
	return reduced(cx, n, dtype);
}

bool infer_argmax(const Infer *cx, IrNode *n)
{
	uint32_t axes = n->attr.reduce.axes;
	if (axes & (axes - 1))
		return infer_misfit(cx, n, "axes 0x%x, one axis is possible", axes);
	return reduced(cx, n, DT_I32);
}

/* ---- matmul: (m, k) x (k, n) -> (m, n) ---- */
bool infer_matmul(const Infer *cx, IrNode *n)
{
	const IrType *a = &n->in[0]->type, *b = &n->in[1]->type;
	bool ta = n->attr.matmul.ta, tb = n->attr.matmul.tb;
	if (a->rank != 2 || b->rank != 2)
		return infer_misfit(cx, n, "operands %s and %s, two matrices are needed", infer_shape(cx, n->in[0]),
		                    infer_shape(cx, n->in[1]));
	if (!infer_float(cx, n, 0) || !infer_same_dtype(cx, n, 0, 1))
		return false;
	int32_t inner_a = a->dim[!ta], inner_b = b->dim[tb];
	if (inner_a != inner_b)
		return infer_misfit(cx, n, "inner sizes differ: %s in %s%s and %s in %s%s",
		                    inner_a == IR_N ? "N" : arena_printf(cx->arena, "%d", inner_a),
		                    infer_shape(cx, n->in[0]), ta ? " transposed" : "",
		                    inner_b == IR_N ? "N" : arena_printf(cx->arena, "%d", inner_b),
		                    infer_shape(cx, n->in[1]), tb ? " transposed" : "");
	return infer_set(cx, n, a->dtype, 2, (int64_t[]){ a->dim[ta], b->dim[!tb] });
}

/* ---- dispatch ---- */
static bool infer(IrNode *n, const Infer *cx)
{
	static InferRule *const rule[OP_COUNT] = {
#define OP(name, text, lo, hi, attr, traits, infer, ...) [OP_##name] = infer_##infer,
#include "ir/ops.def"
	};
	const IrOpInfo *op = &ir_ops[n->op];
	if (n->nin < op->min_in || n->nin > op->max_in)
		return infer_misfit(cx, n, "%d operands, possible are %d to %d", n->nin, op->min_in, op->max_in);
	return rule[n->op](cx, n);
}

bool ir_infer(IrNode *n, Diag *d, Arena *a)
{
	return infer(n, &(Infer){ d, a, NULL });
}

const char *ir_infer_why(IrNode *n, Arena *a)
{
	const char *why = NULL;
	infer(n, &(Infer){ NULL, a, &why });
	return why;
}

static int64_t saturating_mul(int64_t a, int64_t b)
{
	int64_t product;
	return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

int64_t ir_flops(const IrNode *n)
{
	if (!ir_has(n, CONTRACTS))
		return 0;
	if (n->op == OP_matmul) {
		int32_t inner = n->in[0]->type.dim[!n->attr.matmul.ta];
		return saturating_mul(saturating_mul(2, ir_row_elems(&n->type)), inner == IR_N ? 1 : inner);
	}
	/* Each output cell of the forward convolution is (kh, kw, C / groups) multiply-adds, in all directions. */
	const IrType *y = n->op == OP_conv2d ? &n->type : &n->in[n->op == OP_conv2d_dw]->type;
	const IrType *w = n->op == OP_conv2d_dw ? &n->type : &n->in[1]->type;
	int64_t cell = saturating_mul(saturating_mul(w->dim[0], w->dim[1]), w->dim[2]);
	return saturating_mul(saturating_mul(2, ir_row_elems(y)), cell);
}

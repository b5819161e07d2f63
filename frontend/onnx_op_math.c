/* onnx_op_math.c -- ONNX operators that work element by element, and reductions
 *
 * Formulas: the operators' definitions in onnx/docs/Operators.md. Functions that the op table lacks are made of those that it
 * has, so that they have gradients.
 */
#include <math.h>
#include <string.h>
#include "frontend/onnx_value.h"

static bool is(const Onx *m, const char *op)
{
	return strcmp(m->node->op, op) == 0;
}

/* ---- one operand ---- */

static Value *keras_function(Onx *m, Value *x, const char *kind, const char *fields, OpCode op)
{
	x = onx_real(m, x);
	if (m->failed || x->p->known || onx_dtype(x) != DT_F32 || !ir_batched(&x->p->node.type))
		return op == OP_COUNT ? NULL : onx_1(m, op, x);
	Value *y = NEW(m->arena, Value);
	*y = *x;
	y->p = phys_layer(m, kind, fields, 1, &x->p, x->p->node.type);
	return y;
}

Value *import_unary(Onx *m)
{
	static const struct { const char *name; OpCode op; } table[] = {
		{ "Abs", OP_abs }, { "Cos", OP_cos }, { "Erf", OP_erf }, { "Exp", OP_exp }, { "Floor", OP_floor }, { "Log", OP_log },
		{ "Neg", OP_neg }, { "Sign", OP_sign }, { "Sin", OP_sin }, { "Sqrt", OP_sqrt }, { "Tanh", OP_tanh },
	};
	Value *x = onx_in(m, 0);
	for (size_t i = 0; i < COUNT(table); i++) {
		if (is(m, table[i].name))
			return table[i].op == OP_tanh ? keras_function(m, x, "Activation", "activation: tanh, ", OP_tanh)
			                              : onx_1(m, table[i].op, x);
	}
	return onx_fail(m, "not a function of one value");
}

static Value *square(Onx *m, Value *x)
{
	return onx_2(m, OP_mul, x, x);
}

static Value *divided(Onx *m, double a, Value *x)
{
	return onx_2(m, OP_div, onx_k(m, onx_dtype(x), a), x);
}

/* Abramowitz and Stegun 4.4.49 on |x| <= 1, pi/2 - atan(1/x) above */
static Value *arc_tangent(Onx *m, Value *x)
{
	static const double c[] = { -0.3333314528, 0.1999355085, -0.1420889944, 0.1065626393, -0.0752896400, 0.0429096138,
	                            -0.0161657367, 0.0028662257 };
	Value *a = onx_1(m, OP_abs, x), *large = onx_2(m, OP_lt, onx_k(m, DT_F32, 1), a);
	Value *t = onx_select(m, large, divided(m, 1, onx_2k(m, OP_max, a, 1)), a), *t2 = square(m, t);
	Value *y = onx_2k(m, OP_mul, t2, c[COUNT(c) - 1]);
	for (int i = (int)COUNT(c) - 2; i >= 0; i--)
		y = onx_2(m, OP_mul, t2, onx_2k(m, OP_add, y, c[i]));
	y = onx_2(m, OP_mul, t, onx_2k(m, OP_add, y, 1));
	y = onx_select(m, large, onx_2(m, OP_sub, onx_k(m, DT_F32, M_PI / 2), y), y);
	return onx_2(m, OP_mul, y, onx_1(m, OP_sign, x));
}

static Value *exponentials(Onx *m, Value *x, OpCode op)
{
	Value *up = onx_1(m, OP_exp, x), *down = onx_1(m, OP_exp, onx_1(m, OP_neg, x));
	return onx_2k(m, OP_mul, onx_2(m, op, up, down), 0.5);
}

static Value *arc_sine(Onx *m, Value *x)
{
	Value *root = onx_1(m, OP_sqrt, onx_2(m, OP_sub, onx_k(m, DT_F32, 1), square(m, x)));
	return arc_tangent(m, onx_2(m, OP_div, x, root));
}

/* sign(x) log(|x| + sqrt(x^2 + d)) */
static Value *area(Onx *m, Value *x, double d)
{
	Value *a = onx_1(m, OP_abs, x);
	Value *y = onx_1(m, OP_log, onx_2(m, OP_add, a, onx_1(m, OP_sqrt, onx_2k(m, OP_add, square(m, x), d))));
	return onx_2(m, OP_mul, y, onx_1(m, OP_sign, x));
}

Value *import_trig(Onx *m)
{
	Value *x = onx_in(m, 0);
	if (is(m, "Tan"))
		return onx_2(m, OP_div, onx_1(m, OP_sin, x), onx_1(m, OP_cos, x));
	if (is(m, "Sinh"))
		return exponentials(m, x, OP_sub);
	if (is(m, "Cosh"))
		return exponentials(m, x, OP_add);
	if (is(m, "Atan"))
		return arc_tangent(m, x);
	if (is(m, "Asin"))
		return arc_sine(m, x);
	if (is(m, "Acos"))
		return onx_2(m, OP_sub, onx_k(m, DT_F32, M_PI / 2), arc_sine(m, x));
	if (is(m, "Atanh"))
		return onx_2k(m, OP_mul, onx_2(m, OP_sub, onx_1(m, OP_log1p, x), onx_1(m, OP_log1p, onx_1(m, OP_neg, x))), 0.5);
	return area(m, x, is(m, "Asinh") ? 1 : -1);
}

Value *import_ceil(Onx *m)
{
	return onx_1(m, OP_neg, onx_1(m, OP_floor, onx_1(m, OP_neg, onx_in(m, 0))));
}

/* floor(x + 1/2), one less where that is odd and x lay half way; numbers from 2^23 on are whole already. */
static Value *rounded(Onx *m, Value *x)
{
	Value *up = onx_1(m, OP_floor, onx_2k(m, OP_add, x, 0.5)), *half = onx_2k(m, OP_mul, up, 0.5);
	Value *odd = onx_not(m, onx_2(m, OP_eq, half, onx_1(m, OP_floor, half)));
	Value *tie = onx_2k(m, OP_eq, onx_2(m, OP_sub, up, x), 0.5);
	Value *y = onx_select(m, onx_2(m, OP_and, odd, tie), onx_2k(m, OP_sub, up, 1), up);
	return onx_select(m, onx_2k(m, OP_lt, onx_1(m, OP_abs, x), 8388608), y, x);
}

Value *import_round(Onx *m)
{
	return rounded(m, onx_in(m, 0));
}

Value *import_reciprocal(Onx *m)
{
	return divided(m, 1, onx_in(m, 0));
}

Value *import_isnan(Onx *m)
{
	Value *x = onx_in(m, 0);
	return onx_not(m, onx_2(m, OP_eq, x, x));
}

Value *import_isinf(Onx *m)
{
	Value *x = onx_in(m, 0);
	const bool up = onx_int(m, "detect_positive", 1) != 0, down = onx_int(m, "detect_negative", 1) != 0;
	const Value *y = x;
	if (up && down)
		return onx_2k(m, OP_eq, onx_1(m, OP_abs, x), (double)INFINITY);
	return y ? onx_2k(m, OP_eq, x, up ? (double)INFINITY : down ? -(double)INFINITY : (double)NAN) : x;
}

/* ---- two operands and more ---- */

static bool same_shape(const Onx *m, const Value *a, const Value *b)
{
	bool same = a->rank == b->rank;
	for (int i = 0; same && i < a->rank; i++)
		same = onx_dim(m, a, i) == onx_dim(m, b, i) && a->at[i] == b->at[i];
	return same && ir_type_eq(&a->p->node.type, &b->p->node.type);
}

/* Keras' Add where both are of one shape and differ from sample to sample. */
static Value *added(Onx *m, Value *a, Value *b)
{
	a = onx_real(m, a);
	b = onx_real(m, b);
	if (m->failed || a->p->known || b->p->known || onx_dtype(a) != DT_F32 || !same_shape(m, a, b) || !ir_batched(&a->p->node.type))
		return onx_2(m, OP_add, a, b);
	Value *y = NEW(m->arena, Value);
	*y = *a;
	y->p = phys_layer(m, "Add", "", 2, (Phys *[]){ a->p, b->p }, a->p->node.type);
	return y;
}

Value *import_binary(Onx *m)
{
	Value *a = onx_in(m, 0), *b = onx_in(m, 1);
	const OpCode op = is(m, "Add") ? OP_add : is(m, "Sub") ? OP_sub : is(m, "Mul") ? OP_mul : OP_div;
	const OnnxAttr *axis = onx_attr(m, "axis"); /* before opset 7: where the axes of b begin */
	if (m->failed)
		return m->nothing;
	if (m->g->opset < 7 && axis && onx_int(m, "broadcast", 0)) {
		const int first = onx_axis(m, a, axis->i), behind = a->rank - first - b->rank;
		for (int i = 0; i < behind; i++)
			b = onx_unsqueeze(m, b, 1u << b->rank);
	}
	return op == OP_add ? added(m, a, b) : onx_2(m, op, a, b);
}

static Value *power(Onx *m, Value *x, Value *y)
{
	Value *a = onx_1(m, OP_abs, x), *zero = onx_2k(m, OP_eq, a, 0);
	Value *safe = onx_select(m, zero, onx_k(m, DT_F32, 1), a);
	Value *p = onx_1(m, OP_exp, onx_2(m, OP_mul, y, onx_1(m, OP_log, safe)));
	Value *half = onx_2k(m, OP_mul, y, 0.5), *whole = onx_2(m, OP_eq, y, onx_1(m, OP_floor, y));
	Value *even = onx_2(m, OP_eq, half, onx_1(m, OP_floor, half)), *negative = onx_2k(m, OP_lt, x, 0);
	Value *of_negative = onx_select(m, even, p, onx_select(m, whole, onx_1(m, OP_neg, p), onx_k(m, DT_F32, (double)NAN)));
	Value *of_zero = onx_select(m, onx_2k(m, OP_eq, y, 0), onx_k(m, DT_F32, 1),
	                            onx_select(m, onx_2k(m, OP_lt, y, 0), onx_k(m, DT_F32, (double)INFINITY), onx_k(m, DT_F32, 0)));
	return onx_select(m, zero, of_zero, onx_select(m, negative, of_negative, p));
}

static Value *whole_power(Onx *m, Value *x, int n)
{
	Value *y = x;
	for (int i = 1; i < n; i++)
		y = onx_2(m, OP_mul, y, x);
	return y;
}

Value *import_pow(Onx *m)
{
	Value *x = onx_in(m, 0), *y = onx_in(m, 1);
	if (m->failed)
		return m->nothing;
	const DType type = onx_dtype(x);
	if (y->p->known && onx_elems(m, y) == 1 && y->rank == 0) {
		const double e = phys_element(y->p, 0);
		if (e == 0.5 && type == DT_F32)
			return onx_1(m, OP_sqrt, x);
		if (e >= 1 && e <= 4 && e == floor(e))
			return whole_power(m, x, (int)e);
	}
	Value *p = power(m, onx_cast(m, x, DT_F32), onx_cast(m, y, DT_F32));
	return type == DT_F32 ? p : onx_cast(m, rounded(m, p), type);
}

/* Of integers `div` is C's: the remainder has the sign of x; Python's has that of y. */
Value *import_mod(Onx *m)
{
	Value *x = onx_in(m, 0), *y = onx_in(m, 1);
	if (m->failed)
		return m->nothing;
	const bool floats = onx_dtype(x) == DT_F32;
	Value *q = onx_2(m, OP_div, x, y);
	if (floats) {
		Value *down = onx_1(m, OP_floor, onx_1(m, OP_abs, q));
		q = onx_2(m, OP_mul, down, onx_1(m, OP_sign, q));
	}
	Value *r = onx_2(m, OP_sub, x, onx_2(m, OP_mul, q, y));
	if (onx_int(m, "fmod", 0) || onx_dtype(x) == DT_U8 || onx_dtype(x) == DT_U32)
		return r;
	Value *differ = onx_2k(m, OP_lt, onx_2(m, OP_mul, onx_1(m, OP_sign, r), onx_1(m, OP_sign, y)), 0);
	return onx_select(m, differ, onx_2(m, OP_add, r, y), r);
}

Value *import_fold(Onx *m)
{
	const OpCode op = is(m, "Max") ? OP_max : is(m, "Min") ? OP_min : OP_add;
	Value *y = onx_in(m, 0);
	for (int i = 1; i < m->node->nin && !m->failed; i++)
		y = op == OP_add ? added(m, y, onx_in(m, i)) : onx_2(m, op, y, onx_in(m, i));
	return is(m, "Mean") && m->node->nin > 1 ? onx_2k(m, OP_mul, y, 1.0 / m->node->nin) : y;
}

Value *import_compare(Onx *m)
{
	Value *a = onx_in(m, 0), *b = onx_in(m, 1);
	if (is(m, "Equal"))
		return onx_2(m, OP_eq, a, b);
	const OpCode op = strstr(m->node->op, "OrEqual") ? OP_le : OP_lt;
	return is(m, "Less") || is(m, "LessOrEqual") ? onx_2(m, op, a, b) : onx_2(m, op, b, a);
}

Value *import_logic(Onx *m)
{
	Value *a = onx_in(m, 0);
	if (is(m, "Not"))
		return onx_not(m, a);
	Value *b = onx_in(m, 1);
	if (is(m, "And"))
		return onx_2(m, OP_and, a, b);
	if (is(m, "Xor"))
		return onx_not(m, onx_2(m, OP_eq, a, b));
	return onx_not(m, onx_2(m, OP_and, onx_not(m, a), onx_not(m, b)));
}

/* Left shifts multiply, right shifts divide by 2^y; the power is a product of the bits' powers. */
Value *import_bitshift(Onx *m)
{
	Value *x = onx_in(m, 0), *y = onx_in(m, 1);
	if (m->failed)
		return m->nothing;
	const DType type = onx_dtype(x);
	Value *bits = onx_cast(m, y, DT_I32), *p = onx_k(m, type, 1);
	for (int bit = type == DT_U8 ? 2 : 4; bit >= 0; bit--) {
		Value *has = onx_2(m, OP_le, onx_k(m, DT_I32, 1 << bit), bits);
		p = onx_2(m, OP_mul, p, onx_select(m, has, onx_k(m, type, (double)(1u << (1 << bit))), onx_k(m, type, 1)));
		bits = onx_select(m, has, onx_2k(m, OP_sub, bits, 1 << bit), bits);
	}
	return onx_2(m, strcmp(onx_text(m, "direction", ""), "LEFT") == 0 ? OP_mul : OP_div, x, p);
}

Value *import_where(Onx *m)
{
	return onx_select(m, onx_in(m, 0), onx_in(m, 1), onx_in(m, 2));
}

Value *import_cast(Onx *m)
{
	static const DType of[] = { [ONNX_FLOAT] = DT_F32, [ONNX_UINT8] = DT_U8, [ONNX_INT8] = DT_I32, [ONNX_UINT16] = DT_I32,
	                            [ONNX_INT16] = DT_I32, [ONNX_INT32] = DT_I32, [ONNX_INT64] = DT_I32, [ONNX_BOOL] = DT_BOOL,
	                            [ONNX_FLOAT16] = DT_F32, [ONNX_DOUBLE] = DT_F32, [ONNX_UINT32] = DT_U32, [ONNX_UINT64] = DT_U32,
	                            [ONNX_BFLOAT16] = DT_F32 };
	Value *x = onx_in(m, 0);
	const char *target = is(m, "CastLike") && onx_has(m, 1) ? m->node->in[1] : "";
	for (int i = 0; i < m->g->ninputs; i++) {
		if (strcmp(m->g->input[i].name, target) == 0 && m->g->input[i].type == ONNX_BFLOAT16)
			return onx_fail(m, "a cast to type bfloat16 is not supported");
	}
	if (is(m, "CastLike"))
		return onx_cast(m, x, onx_dtype(onx_in(m, 1)));
	const int64_t to = onx_int(m, "to", 0);
	if (to < 0 || to >= (int64_t)COUNT(of) || to == ONNX_BFLOAT16 || !onnx_type_bytes((OnnxType)to))
		return onx_fail(m, "a cast to type %s is not supported", onnx_type_name((OnnxType)to));
	return onx_cast(m, x, of[to]);
}

Value *import_clip(Onx *m)
{
	Value *x = onx_in(m, 0);
	if (m->failed)
		return m->nothing;
	if (m->g->opset < 11) {
		const OnnxAttr *lo = onx_attr(m, "min"), *hi = onx_attr(m, "max");
		x = lo ? onx_2k(m, OP_max, x, (double)lo->f) : x;
		return hi ? onx_2k(m, OP_min, x, (double)hi->f) : x;
	}
	if (onx_has(m, 1))
		x = onx_2(m, OP_max, x, onx_in(m, 1));
	return onx_has(m, 2) ? onx_2(m, OP_min, x, onx_in(m, 2)) : x;
}

/* ---- activations ---- */

static Value *exponential_below(Onx *m, Value *x) /* exp(min(x, 0)) - 1 */
{
	return onx_2k(m, OP_sub, onx_1(m, OP_exp, onx_2k(m, OP_min, x, 0)), 1);
}

static Value *composed(Onx *m, Value *x)
{
	const double alpha = onx_float(m, "alpha", is(m, "HardSigmoid") ? 0.2 : is(m, "LeakyRelu") ? 0.01 : 1.0);
	Value *zero = onx_k(m, DT_F32, 0), *negative = onx_2k(m, OP_lt, x, 0);
	if (is(m, "Relu"))
		return onx_1(m, OP_relu, x);
	if (is(m, "LeakyRelu"))
		return onx_select(m, negative, onx_2k(m, OP_mul, x, alpha), x);
	if (is(m, "Sigmoid"))
		return onx_1(m, OP_sigmoid, x);
	if (is(m, "HardSigmoid") || is(m, "HardSwish")) {
		const bool swish = is(m, "HardSwish");
		Value *y = onx_2k(m, OP_add, onx_2k(m, OP_mul, x, swish ? 1.0 / 6 : alpha), swish ? 0.5 : onx_float(m, "beta", 0.5));
		y = onx_2k(m, OP_min, onx_2k(m, OP_max, y, 0), 1);
		return swish ? onx_2(m, OP_mul, x, y) : y;
	}
	if (is(m, "ThresholdedRelu"))
		return onx_select(m, onx_2(m, OP_lt, onx_k(m, DT_F32, alpha), x), x, zero);
	if (is(m, "Shrink")) {
		const double lambda = onx_float(m, "lambd", 0.5), bias = onx_float(m, "bias", 0);
		Value *low = onx_2k(m, OP_lt, x, -lambda), *high = onx_2(m, OP_lt, onx_k(m, DT_F32, lambda), x);
		return onx_select(m, low, onx_2k(m, OP_add, x, bias), onx_select(m, high, onx_2k(m, OP_sub, x, bias), zero));
	}
	if (is(m, "Elu"))
		return onx_select(m, negative, onx_2k(m, OP_mul, exponential_below(m, x), alpha), x);
	if (is(m, "Selu")) {
		const double a = onx_float(m, "alpha", 1.67326319217681884765625), g = onx_float(m, "gamma", 1.05070102214813232421875);
		return onx_2k(m, OP_mul, onx_select(m, negative, onx_2k(m, OP_mul, exponential_below(m, x), a), x), g);
	}
	return onx_fail(m, "not a function of a constant");
}

/* Keras' layer where there is one of the same meaning. */
Value *import_activation(Onx *m)
{
	Arena *a = m->arena;
	Value *x = onx_in(m, 0), *y = NULL;
	if (m->failed)
		return m->nothing;
	const double alpha = onx_float(m, "alpha", is(m, "LeakyRelu") ? 0.01 : 1.0);
	if (is(m, "Relu"))
		y = keras_function(m, x, "ReLU", "", OP_COUNT);
	else if (is(m, "LeakyRelu") && alpha >= 0)
		y = keras_function(m, x, "LeakyReLU", arena_printf(a, "negative_slope: %.9g, ", alpha), OP_COUNT);
	else if (is(m, "Sigmoid"))
		y = keras_function(m, x, "Activation", "activation: sigmoid, ", OP_COUNT);
	else if (is(m, "Elu"))
		y = keras_function(m, x, "ELU", arena_printf(a, "alpha: %.9g, ", alpha), OP_COUNT);
	else if (is(m, "Celu") && alpha > 0)
		y = keras_function(m, x, "Activation", arena_printf(a, "activation: {celu: {alpha: %.9g}}, ", alpha), OP_COUNT);
	else if (is(m, "Softplus") || is(m, "Softsign") || is(m, "Mish"))
		y = keras_function(m, x, "Activation", is(m, "Softplus") ? "activation: softplus, " : is(m, "Mish") ?
		                   "activation: mish, " : "activation: softsign, ", OP_COUNT);
	else if (is(m, "HardSwish"))
		y = keras_function(m, x, "Activation", "activation: hard_silu, ", OP_COUNT);
	else if (is(m, "Selu") && !m->node->nattr)
		y = keras_function(m, x, "Activation", "activation: selu, ", OP_COUNT);
	else if (is(m, "Gelu"))
		y = keras_function(m, x, "Activation", strcmp(onx_text(m, "approximate", "none"), "tanh") == 0 ?
		                   "activation: {gelu: {approximate: true}}, " : "activation: gelu, ", OP_COUNT);
	return y ? y : composed(m, x);
}

/* Slopes broadcast to x from the last axis; before opset 7 from the channels. */
Value *import_prelu(Onx *m)
{
	Value *x = onx_in(m, 0), *slope = onx_in(m, 1);
	if (m->failed)
		return m->nothing;
	if (m->g->opset < 7 && slope->rank == 1 && x->rank > 2 && onx_dim(m, slope, 0) > 1) {
		for (int i = 2; i < x->rank; i++)
			slope = onx_unsqueeze(m, slope, 1u << slope->rank);
	}
	return onx_select(m, onx_2k(m, OP_lt, x, 0), onx_2(m, OP_mul, x, slope), x);
}

/* Before opset 13: over a matrix of all axes before `axis` and all from it on. */
static Value *as_matrix(Onx *m, Value *x, int axis)
{
	int64_t dim[2] = { 1, 1 };
	for (int i = 0; i < x->rank; i++)
		dim[i >= axis] *= onx_dim(m, x, i);
	return onx_reshape(m, x, 2, dim);
}

static Value *like(Onx *m, Value *y, Value *x)
{
	int64_t dim[ONNX_MAX_RANK];
	for (int i = 0; i < x->rank; i++)
		dim[i] = onx_dim(m, x, i);
	return onx_reshape(m, y, x->rank, dim);
}

Value *import_softmax(Onx *m)
{
	const OpCode op = is(m, "Softmax") ? OP_softmax : OP_log_softmax;
	const bool flat = m->g->opset < 13;
	Value *x = onx_in(m, 0);
	const int axis = onx_axis(m, x, onx_int(m, "axis", flat ? 1 : -1));
	if (m->failed)
		return m->nothing;
	if (!flat || axis == x->rank - 1)
		return onx_rowwise(m, op, x, axis);
	int64_t inner = 1;
	for (int i = axis + 1; i < x->rank; i++)
		inner *= onx_dim(m, x, i);
	if (inner == 1)
		return onx_rowwise(m, op, x, axis);
	return like(m, onx_rowwise(m, op, as_matrix(m, x, axis), 1), x);
}

Value *import_hardmax(Onx *m)
{
	const bool flat = m->g->opset < 13;
	Value *x = onx_in(m, 0), *rows = x;
	int axis = onx_axis(m, x, onx_int(m, "axis", flat ? 1 : -1));
	if (m->failed)
		return m->nothing;
	if (flat)
		rows = as_matrix(m, x, axis), axis = 1;
	Value *first = onx_reduce(m, OP_argmax, rows, 1u << axis, true);
	Value *here = onx_2(m, OP_eq, first, onx_iota(m, rows->rank, axis, onx_dim(m, rows, axis)));
	Value *y = onx_select(m, here, onx_k(m, DT_F32, 1), onx_k(m, DT_F32, 0));
	return flat ? like(m, y, x) : y;
}

/* ---- reductions ---- */

/* Axes of the attribute, or of input 1 where there is one; all where none is given. */
static uint32_t axes_of(Onx *m, Value *x, bool *none)
{
	int64_t list[ONNX_MAX_RANK];
	int n = onx_int_list(m, "axes", ONNX_MAX_RANK, list);
	uint32_t axes = 0;
	*none = false;
	if (n < 0 && onx_has(m, 1))
		onx_ints(m, onx_in(m, 1), "axes", ONNX_MAX_RANK, list, &n);
	if (n <= 0) {
		*none = onx_int(m, "noop_with_empty_axes", 0) != 0;
		return (1u << x->rank) - 1;
	}
	for (int i = 0; i < n && !m->failed; i++)
		axes |= 1u << onx_axis(m, x, list[i]);
	return axes;
}

static Value *product(Onx *m, Value *x, uint32_t axes, bool keep)
{
	for (int axis = 0; axis < x->rank && !m->failed; axis++) {
		Value *y = NULL;
		const int64_t n = onx_dim(m, x, axis);
		if (!(axes >> axis & 1))
			continue;
		if (n < 1 || n > 256)
			return onx_fail(m, "a product of %lld elements", (long long)n);
		for (int64_t i = 0; i < n; i++) {
			Value *one = onx_slice(m, x, axis, i, 1);
			y = y ? onx_2(m, OP_mul, y, one) : one;
		}
		x = y;
	}
	return keep ? x : onx_squeeze(m, x, axes);
}

static double count_of(const Onx *m, const Value *x, uint32_t axes)
{
	double n = 1;
	for (int i = 0; i < x->rank; i++)
		n *= axes >> i & 1 ? (double)onx_dim(m, x, i) : 1;
	return n;
}

static Value *sums(Onx *m, Value *x, uint32_t axes, bool keep)
{
	return onx_reduce(m, OP_sum, x, axes, keep);
}

Value *import_reduce(Onx *m)
{
	Value *x = onx_in(m, 0);
	bool none, keep = onx_int(m, "keepdims", 1) != 0;
	if (m->failed)
		return m->nothing;
	const uint32_t axes = axes_of(m, x, &none);
	if (none || m->failed)
		return x;
	if (onx_elems(m, x) == 0)
		return onx_fail(m, "a reduction of nothing");
	if (onx_dtype(x) == DT_BOOL)
		return onx_fail(m, "a reduction of booleans is not supported");
	if (is(m, "ReduceSum"))
		return sums(m, x, axes, keep);
	if (is(m, "ReduceMean"))
		return onx_2k(m, OP_mul, sums(m, x, axes, keep), 1 / count_of(m, x, axes));
	if (is(m, "ReduceMax"))
		return onx_reduce(m, OP_reduce_max, x, axes, keep);
	if (is(m, "ReduceMin"))
		return onx_1(m, OP_neg, onx_reduce(m, OP_reduce_max, onx_1(m, OP_neg, x), axes, keep));
	if (is(m, "ReduceProd"))
		return product(m, x, axes, keep);
	if (is(m, "ReduceL1"))
		return sums(m, onx_1(m, OP_abs, x), axes, keep);
	if (is(m, "ReduceSumSquare"))
		return sums(m, square(m, x), axes, keep);
	if (is(m, "ReduceL2"))
		return onx_1(m, OP_sqrt, sums(m, square(m, x), axes, keep));
	if (is(m, "ReduceLogSum"))
		return onx_1(m, OP_log, sums(m, x, axes, keep));
	Value *top = onx_reduce(m, OP_reduce_max, x, axes, true);
	Value *sum = sums(m, onx_1(m, OP_exp, onx_2(m, OP_sub, x, top)), axes, true);
	Value *y = onx_2(m, OP_add, onx_1(m, OP_log, sum), top);
	return keep ? y : onx_squeeze(m, y, axes);
}

Value *import_argmax(Onx *m)
{
	Value *x = onx_in(m, 0);
	const int axis = onx_axis(m, x, onx_int(m, "axis", 0));
	const bool keep = onx_int(m, "keepdims", 1) != 0, last = onx_int(m, "select_last_index", 0) != 0;
	if (is(m, "ArgMin"))
		x = onx_1(m, OP_neg, x);
	if (!last)
		return onx_reduce(m, OP_argmax, x, 1u << axis, keep);
	Value *y = onx_reduce(m, OP_argmax, onx_reverse(m, x, axis), 1u << axis, keep);
	return onx_2(m, OP_sub, onx_k(m, DT_I32, (double)(onx_dim(m, x, axis) - 1)), y);
}

/* y_i = sum of x_j over j <= i (< with `exclusive`, >= with `reverse`) */
Value *import_cumsum(Onx *m)
{
	Value *x = onx_in(m, 0);
	int64_t where = 0;
	int n;
	if (!onx_ints(m, onx_in(m, 1), "axis", 1, &where, &n))
		return m->nothing;
	const int axis = onx_axis(m, x, where);
	const bool exclusive = onx_int(m, "exclusive", 0) != 0, reverse = onx_int(m, "reverse", 0) != 0;
	if (m->failed)
		return m->nothing;
	const int64_t extent = onx_dim(m, x, axis);
	/* (…, i, j, …) */
	Value *i = onx_iota(m, x->rank + 1, axis, extent), *j = onx_iota(m, x->rank + 1, axis + 1, extent);
	Value *in = onx_2(m, exclusive ? OP_lt : OP_le, reverse ? i : j, reverse ? j : i);
	Value *y = onx_select(m, in, onx_unsqueeze(m, x, 1u << axis), onx_k(m, onx_dtype(x), 0));
	return onx_reduce(m, OP_sum, y, 2u << axis, false);
}

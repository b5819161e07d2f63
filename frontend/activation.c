/* activation.c -- Keras' activation functions out of primitive ops
 *
 * Formulas: keras/src/activations/activations.py. Branches that could overflow get an operand that can't, so that neither
 * value nor gradient is ever inf * 0. Sigmoid and softmax leave their operand in b->logits: the losses use it.
 */
#include "frontend/build.h"

#include <math.h>
#include <string.h>

typedef IrNode *Function(Build *b, const Val *v, IrNode *x);

static IrNode *add_k(Build *b, IrNode *x, double k)
{
	return node2(b, OP_add, x, node_k(b, k));
}

/* x < threshold: slope * (x - threshold); else x, at most max_value. */
IrNode *activation_relu(Build *b, IrNode *x, double slope, const Val *max_value, double threshold)
{
	IrNode *y;
	if (slope == 0.0 && threshold == 0.0) {
		y = node1(b, OP_relu, x);
	} else {
		IrNode *from = threshold == 0.0 ? x : add_k(b, x, -threshold);
		IrNode *below = slope == 0.0 ? node_k(b, 0) : node_scaled(b, from, slope);
		y = node_select(b, node2(b, OP_lt, x, node_k(b, threshold)), below, x);
	}
	return max_value->kind == VAL_UNSET ? y : node2(b, OP_min, y, node_k(b, max_value->x));
}

/* exp(min(x, 0)) - 1: what elu and its kin need, without overflow */
static IrNode *exp_below(Build *b, IrNode *x)
{
	return add_k(b, node1(b, OP_exp, node2(b, OP_min, x, node_k(b, 0))), -1);
}

IrNode *activation_elu(Build *b, IrNode *x, double alpha)
{
	return node_select(b, node2(b, OP_lt, node_k(b, 0), x), x, node_scaled(b, exp_below(b, x), alpha));
}

/* max(x, 0) + log(1 + exp(-|x|)); both parts as selects, so that the gradient at 0 is 1/2. */
IrNode *activation_softplus(Build *b, IrNode *x)
{
	IrNode *zero = node_k(b, 0), *positive = node2(b, OP_le, zero, x), *minus = node1(b, OP_neg, x);
	IrNode *tail = node1(b, OP_log1p, node1(b, OP_exp, node_select(b, positive, minus, x)));
	return node2(b, OP_add, node_select(b, positive, x, zero), tail);
}

static IrNode *relu(Build *b, const Val *v, IrNode *x)
{
	return activation_relu(b, x, val_number(v, "negative_slope"), val(v, "max_value"), val_number(v, "threshold"));
}

static IrNode *with_logits(Build *b, OpCode op, IrNode *x)
{
	b->logits = x;
	return b->logits_of = node1(b, op, x);
}

static IrNode *sigmoid(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	return with_logits(b, OP_sigmoid, x);
}

static IrNode *softmax(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	return with_logits(b, OP_softmax, x);
}

static IrNode *log_softmax(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	return node1(b, OP_log_softmax, x);
}

static IrNode *tanh_(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	return node1(b, OP_tanh, x);
}

static IrNode *exponential(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	return node1(b, OP_exp, x);
}

static IrNode *linear(Build *b, const Val *v, IrNode *x)
{
	(void)b, (void)v;
	return x;
}

static IrNode *elu(Build *b, const Val *v, IrNode *x)
{
	return activation_elu(b, x, val_number(v, "alpha"));
}

/* Klambauer et al. 2017 */
static IrNode *selu(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	return node_scaled(b, activation_elu(b, x, 1.6732632423543772), 1.0507009873554805);
}

static IrNode *celu(Build *b, const Val *v, IrNode *x)
{
	double alpha = val_number(v, "alpha");
	return node2(b, OP_add, node1(b, OP_relu, x), node_scaled(b, exp_below(b, node_scaled(b, x, 1 / alpha)), alpha));
}

/* Hendrycks & Gimpel 2016 */
static IrNode *gelu(Build *b, const Val *v, IrNode *x)
{
	IrNode *inner;
	if (val_bool(v, "approximate")) {
		IrNode *cube = node2(b, OP_mul, x, node2(b, OP_mul, x, x));
		inner = node1(b, OP_tanh, node_scaled(b, node2(b, OP_add, x, node_scaled(b, cube, 0.044715)), sqrt(2 / M_PI)));
	} else {
		inner = node1(b, OP_erf, node_scaled(b, x, 1 / sqrt(2)));
	}
	return node2(b, OP_mul, node_scaled(b, x, 0.5), add_k(b, inner, 1));
}

static IrNode *silu(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	return node2(b, OP_mul, x, node1(b, OP_sigmoid, x));
}

static IrNode *softplus(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	return activation_softplus(b, x);
}

static IrNode *softsign(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	return node2(b, OP_div, x, add_k(b, node1(b, OP_abs, x), 1));
}

static IrNode *leaky_relu(Build *b, const Val *v, IrNode *x)
{
	return activation_relu(b, x, val_number(v, "negative_slope"), &(Val){0}, 0);
}

static IrNode *relu6(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	return node2(b, OP_min, node1(b, OP_relu, x), node_k(b, 6));
}

static IrNode *hard_sigmoid(Build *b, const Val *v, IrNode *x)
{
	return node_scaled(b, relu6(b, v, add_k(b, x, 3)), 1.0 / 6);
}

static IrNode *hard_silu(Build *b, const Val *v, IrNode *x)
{
	return node2(b, OP_mul, x, hard_sigmoid(b, v, x));
}

static IrNode *hard_tanh(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	return node_clip(b, x, -1, 1);
}

static IrNode *tanh_shrink(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	return node2(b, OP_sub, x, node1(b, OP_tanh, x));
}

static IrNode *log_sigmoid(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	return node1(b, OP_neg, activation_softplus(b, node1(b, OP_neg, x)));
}

static IrNode *mish(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	return node2(b, OP_mul, x, node1(b, OP_tanh, activation_softplus(b, x)));
}

/* x moved towards 0: a max and a min that cannot both act */
static IrNode *soft_shrink(Build *b, const Val *v, IrNode *x)
{
	const double threshold = val_number(v, "threshold");
	IrNode *above = node1(b, OP_relu, add_k(b, x, -threshold)), *below = node1(b, OP_relu, add_k(b, node1(b, OP_neg, x), -threshold));
	return node2(b, OP_sub, above, below);
}

static IrNode *hard_shrink(Build *b, const Val *v, IrNode *x)
{
	IrNode *far = node2(b, OP_lt, node_k(b, val_number(v, "threshold")), node1(b, OP_abs, x));
	return node_select(b, far, x, node_k(b, 0));
}

static IrNode *threshold(Build *b, const Val *v, IrNode *x)
{
	IrNode *above = node2(b, OP_lt, node_k(b, val_number(v, "threshold")), x);
	return node_select(b, above, x, node_k(b, val_number(v, "default_value")));
}

static IrNode *sparse_plus(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	IrNode *from = add_k(b, x, 1), *square = node_scaled(b, node2(b, OP_mul, from, from), 0.25);
	IrNode *low = node_select(b, node2(b, OP_le, x, node_k(b, -1)), node_k(b, 0), square);
	return node_select(b, node2(b, OP_lt, x, node_k(b, 1)), low, x);
}

static IrNode *sparse_sigmoid(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	IrNode *line = node_select(b, node2(b, OP_le, x, node_k(b, -1)), node_k(b, 0), node_scaled(b, add_k(b, x, 1), 0.5));
	return node_select(b, node2(b, OP_lt, x, node_k(b, 1)), line, node_k(b, 1));
}

static IrNode *squareplus(Build *b, const Val *v, IrNode *x)
{
	IrNode *root = node1(b, OP_sqrt, add_k(b, node2(b, OP_mul, x, x), val_number(v, "b")));
	return node_scaled(b, node2(b, OP_add, x, root), 0.5);
}

static IrNode *half(Build *b, IrNode *x, int which)
{
	const int last = x->type.rank - 1;
	const int32_t extent = x->type.dim[last] / 2;
	return node_cut(b, OP_slice, x, last, which * extent, extent);
}

static IrNode *glu(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	return node2(b, OP_mul, half(b, x, 0), node1(b, OP_sigmoid, half(b, x, 1)));
}

static IrNode *sum_last(Build *b, IrNode *x)
{
	return node_reduce(b, OP_sum, x, 1u << (x->type.rank - 1), true);
}

/* Martins & Astudillo 2016: max(x - tau, 0) with tau so that the sum is 1. x_i is in the support if 1 + k x_i > s, k and s the
 * number and the sum of all x_j >= x_i; every pair is compared instead of sorting. x is taken about its maximum. */
static IrNode *sparsemax(Build *b, const Val *v, IrNode *x)
{
	(void)v;
	const IrType *t = &x->type;
	const int32_t extent = t->dim[t->rank - 1], rows = (int32_t)(ir_row_elems(t) / extent);
	IrNode *zero = node_k(b, 0), *one = node_k(b, 1), *top = node_reduce(b, OP_reduce_max, x, 1u << (t->rank - 1), true);
	IrNode *near = node2(b, OP_sub, x, top);
	IrNode *mine = node_reshape(b, near, 4, (int32_t[]){IR_N, rows, extent, 1});
	IrNode *other = node_reshape(b, near, 4, (int32_t[]){IR_N, rows, 1, extent}), *above = node2(b, OP_le, mine, other);
	IrNode *count = node_reshape(b, sum_last(b, node_select(b, above, one, zero)), t->rank, t->dim);
	IrNode *sum = node_reshape(b, sum_last(b, node_select(b, above, other, zero)), t->rank, t->dim);
	IrNode *in = node2(b, OP_lt, sum, node2(b, OP_add, node2(b, OP_mul, count, near), one));
	IrNode *all = sum_last(b, node_select(b, in, near, zero)), *size = sum_last(b, node_select(b, in, one, zero));
	IrNode *tau = node2(b, OP_div, node2(b, OP_sub, all, one), size);
	return node2(b, OP_max, node2(b, OP_sub, near, tau), zero);
}

static const struct { const char *name; Function *emit; } functions[] = {
	{"linear", linear}, {"relu", relu}, {"sigmoid", sigmoid}, {"tanh", tanh_}, {"softmax", softmax},
	{"log_softmax", log_softmax}, {"elu", elu}, {"selu", selu}, {"celu", celu}, {"gelu", gelu}, {"silu", silu},
	{"softplus", softplus}, {"softsign", softsign}, {"leaky_relu", leaky_relu}, {"relu6", relu6},
	{"hard_sigmoid", hard_sigmoid}, {"hard_silu", hard_silu}, {"hard_tanh", hard_tanh}, {"tanh_shrink", tanh_shrink},
	{"log_sigmoid", log_sigmoid}, {"exponential", exponential}, {"mish", mish},
	{"soft_shrink", soft_shrink}, {"hard_shrink", hard_shrink}, {"threshold", threshold}, {"sparse_plus", sparse_plus},
	{"sparse_sigmoid", sparse_sigmoid}, {"squareplus", squareplus}, {"sparsemax", sparsemax}, {"glu", glu},
};

bool activation_halves(const Val *activation)
{
	return strcmp(activation->section->name, "glu") == 0;
}

IrNode *activation_emit(Build *b, const Val *activation, IrNode *x)
{
	for (size_t i = 0; i < COUNT(functions); i++) {
		if (strcmp(functions[i].name, activation->section->name) == 0)
			return functions[i].emit(b, activation, x);
	}
	ICE("activation %s is in the schema but not built", activation->section->name);
}

/* layer_norm.c -- normalization: by the batch, by the sample, by groups, by near channels
 *
 * Formulas: keras/src/layers/normalization/, tf.nn.local_response_normalization. Variances are means of squares about the
 * mean. Statistics of a sample keep their axes with extent 1, so that they stretch over it again.
 */
#include "frontend/build.h"

#include <string.h>

enum { GAMMA, BETA, MOVING_MEAN, MOVING_VARIANCE };

static int axis_of(int64_t axis, int rank)
{
	return (int)(axis < 0 ? axis + rank : axis);
}

static bool axis_fits(Model *m, const IrType *in, int64_t axis)
{
	const int at = axis_of(axis, in->rank);
	if (at >= 1 && at < in->rank)
		return true;
	snprintf(m->reason, sizeof m->reason, "input %s: there is no axis %lld to normalize", ir_shape_text(m->arena, in),
	         (long long)axis);
	return false;
}

/* gamma and beta, as far as the layer has them. */
static void scale_states(Model *m, Layer *l, IrType type)
{
	const Val *a = l->arg;
	if (val_bool(a, "scale"))
		l->state[GAMMA] = layer_state(m, l, "gamma", type, val(a, "gamma_initializer"), val(a, "gamma_regularizer"), false);
	if (val_bool(a, "center"))
		l->state[BETA] = layer_state(m, l, "beta", type, val(a, "beta_initializer"), val(a, "beta_regularizer"), false);
}

/* A vector or weights as `like` has them, so that they stretch to x; NULL: as they are. */
static IrNode *along(Build *b, IrNode *v, const IrType *like)
{
	return like ? node_reshape(b, v, like->rank, like->dim) : v;
}

/* (centred * rsqrt(variance + epsilon)) * gamma + beta */
static IrNode *scaled(Build *b, const Layer *l, IrNode *centred, IrNode *variance, const IrType *like)
{
	IrNode *scale = node1(b, OP_rsqrt, node2(b, OP_add, variance, node_k(b, val_number(l->arg, "epsilon"))));
	if (l->state[GAMMA])
		scale = node2(b, OP_mul, scale, along(b, node_state(b, l->state[GAMMA]), like));
	IrNode *y = node2(b, OP_mul, centred, scale);
	return l->state[BETA] ? node2(b, OP_add, y, along(b, node_state(b, l->state[BETA]), like)) : y;
}

/* ---- BatchNormalization ---- */

static bool batch_shape(Model *m, Layer *l, const IrType *in)
{
	l->out = *in;
	return axis_fits(m, in, val_int(l->arg, "axis"));
}

static void batch_states(Model *m, Layer *l, const IrType *in)
{
	IrType type = ir_type(DT_F32, 1, &in->dim[axis_of(val_int(l->arg, "axis"), in->rank)]);
	const Val *none = &(Val){0}, *a = l->arg;
	scale_states(m, l, type);
	l->state[MOVING_MEAN] = layer_state(m, l, "moving_mean", type, val(a, "moving_mean_initializer"), none, true);
	l->state[MOVING_VARIANCE] = layer_state(m, l, "moving_variance", type, val(a, "moving_variance_initializer"), none,
	                                        true);
}

/* Mean over all axes but one, N included: N is known to the program only as 1/N. */
static IrNode *channel_mean(Build *b, IrNode *x, int axis)
{
	double cells = (double)ir_row_elems(&x->type) / x->type.dim[axis];
	IrNode *sum = node_reduce(b, OP_sum, x, ((1u << x->type.rank) - 1) & ~(1u << axis), false);
	return node2(b, OP_mul, node_scaled(b, sum, 1 / cells), ir_scalar(b->e, b->loc, SC_INV_N, 0));
}

/* variance * n / (n - 1), n the elements of a channel; 0 for n = 1 */
static IrNode *unbiased(Build *b, IrNode *variance, const IrNode *x, int axis)
{
	double cells = (double)ir_row_elems(&x->type) / x->type.dim[axis];
	IrNode *share = node_scaled(b, ir_scalar(b->e, b->loc, SC_INV_N, 0), 1 / cells);
	return node2(b, OP_div, variance, node2(b, OP_max, node2(b, OP_sub, node_k(b, 1), share), node_k(b, 1e-9)));
}

/* The update of a state so far, or NULL. */
static IrRoot *update_of(const Build *b, const IrState *s)
{
	for (int i = 0; i < b->nupdates; i++) {
		if (b->update[i].state == s)
			return &b->update[i];
	}
	return NULL;
}

/* moving = moving * momentum + batch * (1 - momentum); a layer that is used again goes on from its first use */
static void update_moving(Build *b, const Layer *l, IrState *moving, IrNode *batch)
{
	double momentum = val_number(l->arg, "momentum");
	IrRoot *so_far = update_of(b, moving);
	IrNode *share = node_scaled(b, batch, 1 - momentum), *from = so_far ? so_far->value : node_state(b, moving);
	IrNode *next = node2(b, OP_add, node_scaled(b, from, momentum), share);
	if (so_far) {
		so_far->value = next;
		return;
	}
	b->update = arena_grow(b->m->arena, b->update, (size_t)b->nupdates, (size_t)b->nupdates + 1, sizeof *b->update);
	b->update[b->nupdates++] = (IrRoot){.kind = ROOT_UPDATE, .name = moving->name, .value = next, .state = moving};
}

static IrNode *batch_emit(Build *b, const Layer *l, IrNode *const *in)
{
	IrNode *x = in[0], *mean, *variance, *centred;
	const int rank = x->type.rank, axis = axis_of(val_int(l->arg, "axis"), rank);
	const IrType channel = {.dtype = DT_F32, .rank = rank - axis, .dim = {x->type.dim[axis], 1, 1, 1, 1, 1}};
	const IrType *shape = axis == rank - 1 ? NULL : &channel;
	if (b->training && l->trainable) {
		mean = channel_mean(b, x, axis);
		centred = node2(b, OP_sub, x, along(b, mean, shape));
		variance = channel_mean(b, node2(b, OP_mul, centred, centred), axis);
		update_moving(b, l, l->state[MOVING_MEAN], mean);
		update_moving(b, l, l->state[MOVING_VARIANCE],
		              val_bool(l->arg, "unbiased") ? unbiased(b, variance, x, axis) : variance);
	} else {
		mean = node_state(b, l->state[MOVING_MEAN]);
		variance = node_state(b, l->state[MOVING_VARIANCE]);
		centred = node2(b, OP_sub, x, along(b, mean, shape));
	}
	return scaled(b, l, centred, along(b, variance, shape), shape);
}

/* ---- Normalization: by statistics of the data, given or kept as weights ---- */

enum { DATA_MEAN, DATA_VARIANCE, DATA_COUNT };

static bool data_shape(Model *m, Layer *l, const IrType *in)
{
	static const char *const fields[] = {"mean", "variance"};
	const int64_t axis = val_int(l->arg, "axis");
	l->out = *in;
	if (!axis_fits(m, in, axis))
		return false;
	const int32_t extent = in->dim[axis_of(axis, in->rank)];
	for (int i = 0; i < 2; i++) {
		const Val *v = val(l->arg, fields[i]);
		if (v->kind == VAL_LIST && v->n != 1 && v->n != extent) {
			snprintf(m->reason, sizeof m->reason, "input %s: %d values of %s for an axis of %d", ir_shape_text(m->arena, in),
			         v->n, fields[i], extent);
			return false;
		}
	}
	if (val_is_set(l->arg, "mean") == val_is_set(l->arg, "variance"))
		return true;
	snprintf(m->reason, sizeof m->reason, "mean and variance are given together, or neither is");
	return false;
}

/* mean, variance and count, as Keras' adapt() leaves them; it starts from the standard normal distribution. */
static void data_states(Model *m, Layer *l, const IrType *in)
{
	static const char *const names[] = {"mean", "variance", "count"}, *const inits[] = {"zeros", "ones", "zeros"};
	IrType type = ir_type(DT_F32, 1, &in->dim[axis_of(val_int(l->arg, "axis"), in->rank)]);
	const Val none = {0};
	for (int i = DATA_MEAN; i <= DATA_COUNT && !val_is_set(l->arg, "mean"); i++) {
		const Val init = {.kind = VAL_OBJECT, .section = schema_find(INITIALIZER, inits[i])};
		l->state[i] = layer_state(m, l, names[i], i == DATA_COUNT ? ir_type(DT_I32, 0, NULL) : type, &init, &none, true);
	}
}

/* The statistic as it stretches over x. */
static IrNode *statistic(Build *b, const Layer *l, int which, const char *field, const IrType *like)
{
	if (l->state[which])
		return along(b, node_state(b, l->state[which]), like);
	const Val *v = val(l->arg, field);
	double *value = NEWN(b->m->arena, double, v->n);
	for (int i = 0; i < v->n; i++)
		value[i] = v->item[i].x;
	IrNode *k = pictures_channels(b, value, v->n);
	return k->type.rank == 0 ? k : along(b, k, like);
}

static IrNode *data_emit(Build *b, const Layer *l, IrNode *const *in)
{
	const int rank = in[0]->type.rank, axis = axis_of(val_int(l->arg, "axis"), rank);
	const IrType channel = {.dtype = DT_F32, .rank = rank - axis, .dim = {in[0]->type.dim[axis], 1, 1, 1, 1, 1}};
	const IrType *like = axis == rank - 1 ? NULL : &channel;
	IrNode *mean = statistic(b, l, DATA_MEAN, "mean", like), *variance = statistic(b, l, DATA_VARIANCE, "variance", like);
	variance = node2(b, OP_max, variance, node_k(b, 1e-14)); /* max(sqrt(variance), 1e-7) */
	if (val_bool(l->arg, "invert"))
		return node2(b, OP_add, node2(b, OP_mul, in[0], node1(b, OP_sqrt, variance)), mean);
	return node2(b, OP_mul, node2(b, OP_sub, in[0], mean), node1(b, OP_rsqrt, variance));
}

/* ---- LayerNormalization, RMSNormalization, UnitNormalization: over some axes of a sample ---- */

static uint32_t axes_of(const Layer *l, int rank)
{
	const Val *axis = val(l->arg, "axis");
	uint32_t axes = 0;
	for (int i = 0; i < axis->n; i++)
		axes |= 1u << axis_of(axis->item[i].i, rank);
	return axes;
}

static bool axes_shape(Model *m, Layer *l, const IrType *in)
{
	const Val *axis = val(l->arg, "axis");
	l->out = *in;
	for (int i = 0; i < axis->n; i++) {
		if (!axis_fits(m, in, axis->item[i].i))
			return false;
	}
	return true;
}

/* Extents of the axes, in order (`keep` false), or all axes with the others as 1. */
static IrType axes_type(const IrType *in, uint32_t axes, bool keep)
{
	IrType t = {.dtype = DT_F32};
	for (int i = keep ? 0 : 1; i < in->rank; i++) {
		const bool in_axes = axes >> i & 1;
		if (keep || in_axes)
			t.dim[t.rank++] = in_axes ? in->dim[i] : 1;
	}
	return t;
}

static void layer_states(Model *m, Layer *l, const IrType *in)
{
	scale_states(m, l, axes_type(in, axes_of(l, in->rank), false));
}

/* Mean over axes of a sample, kept with extent 1. */
static IrNode *mean_over(Build *b, IrNode *x, uint32_t axes)
{
	double count = 1;
	for (int i = 1; i < x->type.rank; i++)
		count *= axes >> i & 1 ? x->type.dim[i] : 1;
	return node_scaled(b, node_reduce(b, OP_sum, x, axes, true), 1 / count);
}

static IrNode *layer_emit(Build *b, const Layer *l, IrNode *const *in)
{
	const uint32_t axes = axes_of(l, in[0]->type.rank);
	const IrType shape = axes_type(&in[0]->type, axes, true);
	IrNode *centred = node2(b, OP_sub, in[0], mean_over(b, in[0], axes));
	IrNode *variance = mean_over(b, node2(b, OP_mul, centred, centred), axes);
	return scaled(b, l, centred, variance, &shape);
}

static void rms_states(Model *m, Layer *l, const IrType *in)
{
	const Val init = {.kind = VAL_OBJECT, .section = schema_find(INITIALIZER, "ones")}, none = {0};
	l->state[0] = layer_state(m, l, "scale", axes_type(in, axes_of(l, in->rank), false), &init, &none, false);
}

static IrNode *rms_emit(Build *b, const Layer *l, IrNode *const *in)
{
	const uint32_t axes = axes_of(l, in[0]->type.rank);
	const IrType shape = axes_type(&in[0]->type, axes, true);
	IrNode *mean = mean_over(b, node2(b, OP_mul, in[0], in[0]), axes);
	IrNode *by = node1(b, OP_rsqrt, node2(b, OP_add, mean, node_k(b, val_number(l->arg, "epsilon"))));
	IrNode *scale = node_reshape(b, node_state(b, l->state[0]), shape.rank, shape.dim);
	return node2(b, OP_mul, node2(b, OP_mul, in[0], by), scale);
}

static IrNode *unit_emit(Build *b, const Layer *l, IrNode *const *in)
{
	return node_unit(b, in[0], axes_of(l, in[0]->type.rank), 1e-12);
}

/* ---- GroupNormalization ---- */

static bool group_shape(Model *m, Layer *l, const IrType *in)
{
	const int64_t axis = val_int(l->arg, "axis"), groups = val_int(l->arg, "groups");
	const int32_t channels = in->dim[in->rank - 1];
	l->out = *in;
	if (axis_of(axis, in->rank) != in->rank - 1) {
		snprintf(m->reason, sizeof m->reason, "input %s: only the last axis can have groups yet; axis is %lld",
		         ir_shape_text(m->arena, in), (long long)axis);
		return false;
	}
	if (groups == 0 || (groups > 0 && channels % groups)) {
		snprintf(m->reason, sizeof m->reason, "input %s: %d channels do not divide into %lld groups",
		         ir_shape_text(m->arena, in), channels, (long long)groups);
		return false;
	}
	return true;
}

static void group_states(Model *m, Layer *l, const IrType *in)
{
	scale_states(m, l, ir_type(DT_F32, 1, &in->dim[in->rank - 1]));
}

/* The mean of x's group for every channel, (N, 1, …, channels): sums a channel first, so that x is read as it lies. */
static IrNode *group_mean(Build *b, IrNode *x, int32_t groups)
{
	const int rank = x->type.rank;
	const int32_t channels = x->type.dim[rank - 1], each = channels / groups;
	const double count = (double)(ir_row_elems(&x->type) / channels) * each;
	IrType wide = {.dtype = DT_F32, .rank = rank, .dim = {IR_N, 1, 1, 1, 1, 1}};
	wide.dim[rank - 1] = channels;
	IrNode *sum = rank > 2 ? node_reduce(b, OP_sum, x, (1u << (rank - 1)) - 2, false) : x;
	sum = node_reduce(b, OP_sum, node_reshape(b, sum, 3, (int32_t[]){IR_N, groups, each}), 4, true);
	sum = node_broadcast(b, node_scaled(b, sum, 1 / count), 3, (int32_t[]){IR_N, groups, each});
	return node_reshape(b, sum, wide.rank, wide.dim);
}

static IrNode *group_emit(Build *b, const Layer *l, IrNode *const *in)
{
	const int32_t channels = in[0]->type.dim[in[0]->type.rank - 1];
	const int32_t given = (int32_t)val_int(l->arg, "groups"), groups = given < 0 ? channels : given;
	IrNode *centred = node2(b, OP_sub, in[0], group_mean(b, in[0], groups));
	return scaled(b, l, centred, group_mean(b, node2(b, OP_mul, centred, centred), groups), NULL);
}

/* ---- LocalResponseNormalization ---- */

static bool near_shape(Model *m, Layer *l, const IrType *in)
{
	(void)m;
	l->out = *in;
	return true;
}

/* base^-beta for base > 0; the usual exponents without logarithm. */
static IrNode *negative_power(Build *b, IrNode *base, double beta)
{
	IrNode *root = node1(b, OP_rsqrt, base);
	if (beta == 0.5)
		return root;
	if (beta == 0.75) /* base^-1/2 * base^-1/4 */
		return node2(b, OP_mul, root, node1(b, OP_sqrt, root));
	return node1(b, OP_exp, node_scaled(b, node1(b, OP_log, base), -beta));
}

/* Sums over near channels: a convolution of (N, 1, cells * channels …) would cross pixels, so channels are the width of a
 * picture with one channel and the window is a row of ones. */
static IrNode *near_emit(Build *b, const Layer *l, IrNode *const *in)
{
	const IrType *t = &in[0]->type;
	const int32_t channels = t->dim[t->rank - 1], cells = (int32_t)(ir_row_elems(t) / channels);
	int32_t radius = (int32_t)val_int(l->arg, "depth_radius");
	radius = radius < channels ? radius : channels - 1;
	IrAttr attr = {.conv = {.size = {1, 2 * radius + 1}, .stride = {1, 1}, .dilation = {1, 1},
	                        .pad = {0, radius, 0, radius}, .groups = 1}};
	IrNode *square = node_reshape(b, node2(b, OP_mul, in[0], in[0]), 4, (int32_t[]){IR_N, cells, channels, 1});
	IrNode *ones = node_broadcast(b, node_k(b, 1), 4, (int32_t[]){1, 2 * radius + 1, 1, 1});
	IrNode *sum = ir_node(b->e, NULL, OP_conv2d, b->loc, 2, (IrNode *[]){square, ones}, &attr, NULL);
	sum = node_reshape(b, sum, t->rank, t->dim);
	IrNode *base = node2(b, OP_add, node_scaled(b, sum, val_number(l->arg, "alpha")), node_k(b, val_number(l->arg, "bias")));
	return node2(b, OP_mul, in[0], negative_power(b, base, val_number(l->arg, "beta")));
}

const LayerKind layer_norm_kinds[] = {
	{"BatchNormalization", 1, 1, 0, batch_shape, batch_states, batch_emit},
	{"Normalization", 1, 1, 0, data_shape, data_states, data_emit},
	{"LayerNormalization", 1, 1, 0, axes_shape, layer_states, layer_emit},
	{"RMSNormalization", 1, 1, 0, axes_shape, rms_states, rms_emit},
	{"UnitNormalization", 1, 1, 0, axes_shape, NULL, unit_emit},
	{"GroupNormalization", 1, 1, 0, group_shape, group_states, group_emit},
	{"LocalResponseNormalization", 1, 1, 0, near_shape, NULL, near_emit},
};
const int layer_nnorm = COUNT(layer_norm_kinds);

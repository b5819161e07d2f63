/* layer_shape.c -- layers that move elements: reshape, permute, pad, crop, enlarge */
#include "frontend/build.h"

#include <string.h>

/* ---- the same elements in another shape ---- */

static bool flatten_shape(Model *m, Layer *l, const IrType *in)
{
	int64_t all = ir_row_elems(in);
	return shape_set(m, l, 1, &all);
}

static bool reshape_shape(Model *m, Layer *l, const IrType *in)
{
	const Val *target = val(l->arg, "target_shape");
	int64_t dim[IR_MAX_RANK], known = 1, all = ir_row_elems(in);
	int open = -1, n = target->n;
	for (int i = 0; i < n && n < IR_MAX_RANK; i++) {
		dim[i] = target->item[i].i;
		if (dim[i] == -1 && open < 0)
			open = i;
		else if (dim[i] < 1 || __builtin_mul_overflow(known, dim[i], &known))
			known = 0, n = IR_MAX_RANK;
	}
	if (n == 0 || n >= IR_MAX_RANK || known == 0 || (open < 0 ? known != all : all % known != 0)) {
		snprintf(m->reason, sizeof m->reason, "input %s has %lld elements; target_shape does not",
		         ir_shape_text(m->arena, in), (long long)all);
		return false;
	}
	if (open >= 0)
		dim[open] = all / known;
	return shape_set(m, l, n, dim);
}

static IrNode *reshape_emit(Build *b, const Layer *l, IrNode *const *in)
{
	return node_reshape(b, in[0], l->out.rank, l->out.dim);
}

static bool permute_shape(Model *m, Layer *l, const IrType *in)
{
	const Val *dims = val(l->arg, "dims");
	int64_t dim[IR_MAX_RANK];
	unsigned seen = 0;
	for (int i = 0; i < dims->n && dims->item[i].i < in->rank; i++) {
		seen |= 1u << dims->item[i].i;
		dim[i] = in->dim[dims->item[i].i];
	}
	if (dims->n != in->rank - 1 || seen != (1u << in->rank) - 2) {
		snprintf(m->reason, sizeof m->reason, "input %s: dims must name each of the axes 1 to %d once",
		         ir_shape_text(m->arena, in), in->rank - 1);
		return false;
	}
	return shape_set(m, l, dims->n, dim);
}

static IrNode *permute_emit(Build *b, const Layer *l, IrNode *const *in)
{
	const Val *dims = val(l->arg, "dims");
	int32_t perm[IR_MAX_RANK] = {0};
	for (int i = 0; i < dims->n; i++)
		perm[1 + i] = (int32_t)dims->item[i].i;
	return node_transpose(b, in[0], perm);
}

static bool repeat_shape(Model *m, Layer *l, const IrType *in)
{
	return shape_is(m, l, in, 2, "(N, features)") && shape_set(m, l, 2, (int64_t[]){val_int(l->arg, "n"), in->dim[1]});
}

static IrNode *repeat_emit(Build *b, const Layer *l, IrNode *const *in)
{
	const int32_t features = in[0]->type.dim[1];
	return node_broadcast(b, node_reshape(b, in[0], 3, (int32_t[]){IR_N, 1, features}), 3, l->out.dim);
}

/* ---- ZeroPadding, Cropping ---- */

/* [before, after] of axis i of space: a pair, or pairs, as the schema has it. */
static void ends(const Layer *l, const char *field, int i, int64_t out[2])
{
	const Val *v = val(l->arg, field), *of = l->kind->space == 1 ? v : &v->item[i];
	for (int k = 0; k < 2; k++)
		out[k] = of->item[k].i;
}

static bool pad_shape(Model *m, Layer *l, const IrType *in)
{
	int64_t dim[IR_MAX_RANK], add[2];
	for (int i = 0; i <= l->kind->space; i++) {
		dim[i] = in->dim[1 + i];
		if (i < l->kind->space) {
			ends(l, "padding", i, add);
			dim[i] += add[0] + add[1];
		}
	}
	return shape_set(m, l, in->rank - 1, dim);
}

static IrNode *pad_emit(Build *b, const Layer *l, IrNode *const *in)
{
	IrNode *x = in[0];
	for (int i = 0; i < l->kind->space; i++) {
		int64_t add[2];
		ends(l, "padding", i, add);
		x = node_cut(b, OP_pad, x, 1 + i, (int32_t)add[0], l->out.dim[1 + i]);
	}
	return x;
}

static bool crop_shape(Model *m, Layer *l, const IrType *in)
{
	int64_t dim[IR_MAX_RANK], cut[2];
	for (int i = 0; i <= l->kind->space; i++) {
		dim[i] = in->dim[1 + i];
		if (i == l->kind->space)
			break;
		ends(l, "cropping", i, cut);
		dim[i] -= cut[0] + cut[1];
		if (dim[i] < 1) {
			snprintf(m->reason, sizeof m->reason, "input %s: cropping %lld and %lld leaves nothing of axis %d",
			         ir_shape_text(m->arena, in), (long long)cut[0], (long long)cut[1], 1 + i);
			return false;
		}
	}
	return shape_set(m, l, in->rank - 1, dim);
}

static IrNode *crop_emit(Build *b, const Layer *l, IrNode *const *in)
{
	IrNode *x = in[0];
	for (int i = 0; i < l->kind->space; i++) {
		int64_t cut[2];
		ends(l, "cropping", i, cut);
		x = node_cut(b, OP_slice, x, 1 + i, (int32_t)cut[0], l->out.dim[1 + i]);
	}
	return x;
}

/* ---- UpSampling ---- */

static bool enlarge_shape(Model *m, Layer *l, const IrType *in)
{
	int64_t dim[IR_MAX_RANK];
	for (int i = 0; i <= l->kind->space; i++)
		dim[i] = in->dim[1 + i] * (i < l->kind->space ? val(l->arg, "size")->item[i].i : 1);
	return shape_set(m, l, in->rank - 1, dim);
}

/* x with `axis` as (before, extent, 1, after): what repeating and interpolating along it works on. */
static IrNode *axis_apart(Build *b, IrNode *x, int axis)
{
	const IrType *t = &x->type;
	int64_t before = 1, after = 1;
	for (int i = 1; i < axis; i++)
		before *= t->dim[i];
	for (int i = axis + 1; i < t->rank; i++)
		after *= t->dim[i];
	return node_reshape(b, x, 5, (int32_t[]){t->dim[0], (int32_t)before, t->dim[axis], 1, (int32_t)after});
}

/* The same with `axis` times as long. */
static IrNode *axis_together(Build *b, IrNode *x, const IrType *was, int axis, int32_t times)
{
	IrType t = *was;
	t.dim[axis] *= times;
	return node_reshape(b, x, t.rank, t.dim);
}

static IrNode *repeated(Build *b, IrNode *x, int axis, int32_t times)
{
	IrNode *apart = axis_apart(b, x, axis);
	IrType t = apart->type;
	t.dim[3] = times;
	return times == 1 ? x : axis_together(b, node_broadcast(b, apart, t.rank, t.dim), &x->type, axis, times);
}

/* x moved by one along axis 2, the border repeated: the neighbours before (end 0) or after (end 1). */
static IrNode *neighbour(Build *b, IrNode *x, int end)
{
	const int32_t extent = x->type.dim[2];
	IrNode *border = node_cut(b, OP_slice, x, 2, end ? extent - 1 : 0, 1);
	if (extent == 1)
		return border;
	IrNode *rest = node_cut(b, OP_slice, x, 2, end ? 1 : 0, extent - 1);
	return node_concat(b, end ? (IrNode *[]){rest, border} : (IrNode *[]){border, rest}, 2, 2);
}

/* Bilinear along one axis, pixel centres at halves, as tf.image.resize: output p of `times` a pixel lies (2p + 1 - times) /
 * (2 times) pixels from its centre, between it and the neighbour on that side. */
static IrNode *interpolated(Build *b, IrNode *x, int axis, int32_t times)
{
	if (times == 1)
		return x;
	IrNode *here = axis_apart(b, x, axis), *none = node_k(b, 0);
	IrNode *phase = node_cast(b, node_reshape(b, node_iota(b, times), 2, (int32_t[]){times, 1}), DT_F32);
	IrNode *off = node2(b, OP_add, node_scaled(b, phase, 1.0 / times), node_k(b, (1.0 - times) / (2.0 * times)));
	IrNode *left = node2(b, OP_max, node1(b, OP_neg, off), none), *right = node2(b, OP_max, off, none);
	IrNode *before = node2(b, OP_sub, neighbour(b, here, 0), here), *after = node2(b, OP_sub, neighbour(b, here, 1), here);
	IrNode *y = node2(b, OP_add, node2(b, OP_mul, before, left), node2(b, OP_mul, after, right));
	return axis_together(b, node2(b, OP_add, y, here), &x->type, axis, times);
}

static IrNode *enlarge_emit(Build *b, const Layer *l, IrNode *const *in)
{
	const bool smooth = schema_field_index(l->arg->section, "interpolation") >= 0 &&
	                    strcmp(val_string(l->arg, "interpolation"), "bilinear") == 0;
	IrNode *x = in[0];
	for (int i = 0; i < l->kind->space; i++) {
		const int32_t times = (int32_t)val(l->arg, "size")->item[i].i;
		x = smooth ? interpolated(b, x, 1 + i, times) : repeated(b, x, 1 + i, times);
	}
	return x;
}

const LayerKind layer_shape_kinds[] = {
	{"Flatten", 1, 1, 0, flatten_shape, NULL, reshape_emit},
	{"Reshape", 1, 1, 0, reshape_shape, NULL, reshape_emit},
	{"Permute", 1, 1, 0, permute_shape, NULL, permute_emit},
	{"RepeatVector", 1, 1, 0, repeat_shape, NULL, repeat_emit},
	{"ZeroPadding1D", 1, 1, 1, pad_shape, NULL, pad_emit},
	{"ZeroPadding2D", 1, 1, 2, pad_shape, NULL, pad_emit},
	{"ZeroPadding3D", 1, 1, 3, pad_shape, NULL, pad_emit},
	{"Cropping1D", 1, 1, 1, crop_shape, NULL, crop_emit},
	{"Cropping2D", 1, 1, 2, crop_shape, NULL, crop_emit},
	{"Cropping3D", 1, 1, 3, crop_shape, NULL, crop_emit},
	{"UpSampling1D", 1, 1, 1, enlarge_shape, NULL, enlarge_emit},
	{"UpSampling2D", 1, 1, 2, enlarge_shape, NULL, enlarge_emit},
	{"UpSampling3D", 1, 1, 3, enlarge_shape, NULL, enlarge_emit},
};
const int layer_nshape = COUNT(layer_shape_kinds);

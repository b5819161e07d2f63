/* layer_merge.c -- layers with several inputs */
#include "frontend/build.h"

#include <string.h>

/* NumPy broadcasting of the samples' shapes, as keras/src/layers/merging/base_merge.py. */
static bool merge_shape(Model *m, Layer *l, const IrType *in)
{
	int rank = in[0].rank;
	int64_t dim[IR_MAX_RANK];
	for (int i = 1; i < l->nin; i++) {
		if (in[i].rank != rank) {
			snprintf(m->reason, sizeof m->reason, "its inputs are %s and %s", ir_shape_text(m->arena, &in[0]),
			         ir_shape_text(m->arena, &in[i]));
			return false;
		}
	}
	for (int k = 1; k < rank; k++) {
		dim[k - 1] = 1;
		for (int i = 0; i < l->nin; i++) {
			int32_t d = in[i].dim[k];
			if (d != 1 && dim[k - 1] != 1 && d != dim[k - 1]) {
				snprintf(m->reason, sizeof m->reason, "its inputs are %s and %s", ir_shape_text(m->arena, &in[0]),
				         ir_shape_text(m->arena, &in[i]));
				return false;
			}
			dim[k - 1] = d == 1 ? dim[k - 1] : d;
		}
	}
	return shape_set(m, l, rank - 1, dim);
}

static IrNode *fold(Build *b, const Layer *l, IrNode *const *in, OpCode op)
{
	IrNode *y = in[0];
	for (int i = 1; i < l->nin; i++)
		y = node2(b, op, y, in[i]);
	return y;
}

static IrNode *add_emit(Build *b, const Layer *l, IrNode *const *in) { return fold(b, l, in, OP_add); }
static IrNode *subtract_emit(Build *b, const Layer *l, IrNode *const *in) { return fold(b, l, in, OP_sub); }
static IrNode *multiply_emit(Build *b, const Layer *l, IrNode *const *in) { return fold(b, l, in, OP_mul); }
static IrNode *maximum_emit(Build *b, const Layer *l, IrNode *const *in) { return fold(b, l, in, OP_max); }
static IrNode *minimum_emit(Build *b, const Layer *l, IrNode *const *in) { return fold(b, l, in, OP_min); }

static IrNode *average_emit(Build *b, const Layer *l, IrNode *const *in)
{
	return node_scaled(b, fold(b, l, in, OP_add), 1.0 / l->nin);
}

static int concat_axis(const Layer *l, int rank)
{
	int axis = (int)val_int(l->arg, "axis");
	return axis < 0 ? axis + rank : axis;
}

static bool concat_shape(Model *m, Layer *l, const IrType *in)
{
	int rank = in[0].rank, axis = concat_axis(l, rank);
	int64_t dim[IR_MAX_RANK];
	if (axis < 1 || axis >= rank) {
		snprintf(m->reason, sizeof m->reason, "input %s has no axis %lld to concatenate along",
		         ir_shape_text(m->arena, in), (long long)val_int(l->arg, "axis"));
		return false;
	}
	for (int k = 1; k < rank; k++)
		dim[k - 1] = in[0].dim[k];
	for (int i = 1; i < l->nin; i++) {
		bool fits = in[i].rank == rank;
		for (int k = 1; fits && k < rank; k++)
			fits = k == axis || in[i].dim[k] == in[0].dim[k];
		if (!fits) {
			snprintf(m->reason, sizeof m->reason, "its inputs are %s and %s: they may differ in axis %d only",
			         ir_shape_text(m->arena, &in[0]), ir_shape_text(m->arena, &in[i]), axis);
			return false;
		}
		dim[axis - 1] += in[i].dim[axis];
	}
	return shape_set(m, l, rank - 1, dim);
}

static IrNode *concat_emit(Build *b, const Layer *l, IrNode *const *in)
{
	return node_concat(b, in, l->nin, concat_axis(l, in[0]->type.rank));
}

/* ---- Dot: keras/src/layers/merging/dot.py ---- */

static int dot_axis(const Layer *l, int i, int rank)
{
	const int64_t axis = val(l->arg, "axes")->item[i].i;
	return (int)(axis < 0 ? axis + rank : axis);
}

static bool dot_shape(Model *m, Layer *l, const IrType *in)
{
	int64_t dim[2 * IR_MAX_RANK];
	int rank = 0, axis[2];
	for (int i = 0; i < 2; i++) {
		axis[i] = dot_axis(l, i, in[i].rank);
		if (axis[i] < 1 || axis[i] >= in[i].rank) {
			snprintf(m->reason, sizeof m->reason, "input %s has no axis %lld for a product", ir_shape_text(m->arena, &in[i]),
			         (long long)val(l->arg, "axes")->item[i].i);
			return false;
		}
		for (int k = 1; k < in[i].rank; k++) {
			if (k != axis[i])
				dim[rank++] = in[i].dim[k];
		}
	}
	if (in[0].dim[axis[0]] != in[1].dim[axis[1]] || rank > IR_MAX_RANK - 2) {
		snprintf(m->reason, sizeof m->reason, "its inputs are %s and %s: %s", ir_shape_text(m->arena, &in[0]),
		         ir_shape_text(m->arena, &in[1]), rank > IR_MAX_RANK - 2 ? "the result would have too many axes" :
		         "the axes differ in extent");
		return false;
	}
	dim[rank] = 1;
	return shape_set(m, l, rank ? rank : 1, dim);
}

/* The two as (N, own axes, 1 for each axis of the other, the common axis), multiplied and summed over the last. */
static IrNode *dot_emit(Build *b, const Layer *l, IrNode *const *in)
{
	IrNode *x[2];
	const int free[2] = {in[0]->type.rank - 2, in[1]->type.rank - 2}, rank = 2 + free[0] + free[1];
	for (int i = 0; i < 2; i++) {
		const int axis = dot_axis(l, i, in[i]->type.rank);
		int32_t perm[IR_MAX_RANK] = {0}, dim[IR_MAX_RANK] = {IR_N, 1, 1, 1, 1, 1};
		int n = 1;
		x[i] = val_bool(l->arg, "normalize") ? node_unit(b, in[i], 1u << axis, 1e-7) : in[i];
		for (int k = 1; k < in[i]->type.rank; k++) {
			if (k != axis) {
				dim[n + (i ? free[0] : 0)] = in[i]->type.dim[k];
				perm[n++] = k;
			}
		}
		perm[n] = axis;
		dim[rank - 1] = in[i]->type.dim[axis];
		x[i] = node_reshape(b, node_transpose(b, x[i], perm), rank, dim);
	}
	IrNode *y = node_reduce(b, OP_sum, node2(b, OP_mul, x[0], x[1]), 1u << (rank - 1), false);
	return node_reshape(b, y, l->out.rank, l->out.dim);
}

const LayerKind layer_merge_kinds[] = {
	{"Add", 2, 64, 0, merge_shape, NULL, add_emit},
	{"Subtract", 2, 2, 0, merge_shape, NULL, subtract_emit},
	{"Multiply", 2, 64, 0, merge_shape, NULL, multiply_emit},
	{"Average", 2, 64, 0, merge_shape, NULL, average_emit},
	{"Maximum", 2, 64, 0, merge_shape, NULL, maximum_emit},
	{"Minimum", 2, 64, 0, merge_shape, NULL, minimum_emit},
	{"Dot", 2, 2, 0, dot_shape, NULL, dot_emit},
	{"Concatenate", 2, 64, 0, concat_shape, NULL, concat_emit},
};
const int layer_nmerge = COUNT(layer_merge_kinds);

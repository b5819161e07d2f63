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

const LayerKind layer_merge_kinds[] = {
	{"Add", 2, 64, merge_shape, NULL, add_emit},
	{"Subtract", 2, 2, merge_shape, NULL, subtract_emit},
	{"Multiply", 2, 64, merge_shape, NULL, multiply_emit},
	{"Average", 2, 64, merge_shape, NULL, average_emit},
	{"Maximum", 2, 64, merge_shape, NULL, maximum_emit},
	{"Minimum", 2, 64, merge_shape, NULL, minimum_emit},
	{"Concatenate", 2, 64, concat_shape, NULL, concat_emit},
};
const int layer_nmerge = COUNT(layer_merge_kinds);

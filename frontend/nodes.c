/* nodes.c -- shorthands for making nodes at the place in the file that is being built
 *
 * Shapes were checked before: a misfit here is ours.
 */
#include "frontend/build.h"

static IrNode *make(Build *b, OpCode op, int n, IrNode *const *in, const IrAttr *attr, const IrType *want)
{
	return ir_node(b->e, NULL, op, b->loc, n, in, attr, want);
}

IrNode *node1(Build *b, OpCode op, IrNode *a)
{
	return make(b, op, 1, &a, NULL, NULL);
}

IrNode *node2(Build *b, OpCode op, IrNode *a, IrNode *c)
{
	return make(b, op, 2, (IrNode *[]){a, c}, NULL, NULL);
}

IrNode *node_select(Build *b, IrNode *c, IrNode *yes, IrNode *no)
{
	return make(b, OP_select, 3, (IrNode *[]){c, yes, no}, NULL, NULL);
}

IrNode *node_k(Build *b, double value)
{
	return ir_konst(b->e, b->loc, DT_F32, value);
}

IrNode *node_int(Build *b, int32_t value)
{
	return ir_konst(b->e, b->loc, DT_I32, value);
}

IrNode *node_scaled(Build *b, IrNode *a, double factor)
{
	return factor == 1.0 ? a : node2(b, OP_mul, a, node_k(b, factor));
}

IrNode *node_cast(Build *b, IrNode *a, DType to)
{
	IrAttr attr = {.cast = {to}};
	return a->type.dtype == to ? a : make(b, OP_cast, 1, &a, &attr, NULL);
}

IrNode *node_reshape(Build *b, IrNode *a, int rank, const int32_t *dim)
{
	IrType to = ir_type(a->type.dtype, rank, dim);
	return ir_type_eq(&a->type, &to) ? a : make(b, OP_reshape, 1, &a, NULL, &to);
}

IrNode *node_reduce(Build *b, OpCode op, IrNode *a, uint32_t axes, bool keep)
{
	IrAttr attr = {.reduce = {axes, keep}};
	return make(b, op, 1, &a, &attr, NULL);
}

IrNode *node_iota(Build *b, int32_t extent)
{
	IrAttr attr = {.axis = {0}};
	IrType type = ir_type(DT_I32, 1, &extent);
	return make(b, OP_iota, 0, NULL, &attr, &type);
}

IrNode *node_random(Build *b, IrNode *id, uint32_t stream, int rank, const int32_t *dim)
{
	IrAttr attr = {.random = {stream, id != NULL}};
	IrType type = ir_type(DT_F32, rank, dim);
	return make(b, OP_random, id != NULL, &id, &attr, &type);
}

IrNode *node_state(Build *b, IrState *s)
{
	IrAttr attr = {.state = {s, b->training && b->m->nphases > 1 && s->kind == STATE_PARAM && !s->trainable}};
	return make(b, OP_state, 0, NULL, &attr, NULL);
}

IrNode *node_concat(Build *b, IrNode *const *in, int n, int axis)
{
	IrAttr attr = {.axis = {axis}};
	return make(b, OP_concat, n, in, &attr, NULL);
}

IrNode *node_transpose(Build *b, IrNode *a, const int32_t *perm)
{
	IrAttr attr = {.perm = {{0}}};
	for (int i = 0; i < a->type.rank; i++)
		attr.perm.perm[i] = perm[i];
	return make(b, OP_transpose, 1, &a, &attr, NULL);
}

IrNode *node_broadcast(Build *b, IrNode *a, int rank, const int32_t *dim)
{
	IrType to = ir_type(a->type.dtype, rank, dim);
	return ir_type_eq(&a->type, &to) ? a : make(b, OP_broadcast, 1, &a, NULL, &to);
}

IrNode *node_cut(Build *b, OpCode op, IrNode *a, int axis, int32_t start, int32_t extent)
{
	IrAttr attr = {.slice = {.axis = axis, .start = start, .extent = extent}};
	return start == 0 && extent == a->type.dim[axis] ? a : make(b, op, 1, &a, &attr, NULL);
}

IrNode *node_unit(Build *b, IrNode *a, uint32_t axes, double least)
{
	IrNode *squares = node_reduce(b, OP_sum, node2(b, OP_mul, a, a), axes, true);
	return node2(b, OP_mul, a, node1(b, OP_rsqrt, node2(b, OP_max, squares, node_k(b, least * least))));
}

IrNode *node_named(IrNode *n, const char *name)
{
	n->name = name;
	return n;
}

IrNode *node_clip(Build *b, IrNode *a, double lo, double hi)
{
	return node2(b, OP_min, node2(b, OP_max, a, node_k(b, lo)), node_k(b, hi));
}

IrNode *node_row_mean(Build *b, IrNode *a)
{
	if (a->type.rank == 1)
		return a;
	double count = (double)ir_row_elems(&a->type);
	return node_scaled(b, node_reduce(b, OP_sum, a, (1u << a->type.rank) - 2, false), 1.0 / count);
}

/* lower.c -- nodes as expressions: loads, sources, pointwise ops, and ops that only move the index
 *
 * Here too: the memo, shared reduction axes, and the arithmetic on indices that the other lower_*.c use.
 */
#include <string.h>
#include "passes/lower.h"

struct LowerMemo {
	const IrNode *node;
	KIndex idx[IR_MAX_RANK];
	int value;
	LowerMemo *next;
};

struct LowerAxis {
	const IrNode *key;
	int slot, axis;
	int32_t extent;
	LowerAxis *next;
};

static LowerFn *const rules[OP_COUNT] = {
#define OP(name, text, lo, hi, attr, traits, infer, eval, grad, lower) [OP_##name] = lower_##lower,
#include "ir/ops.def"
};

/* ---- loads ---- */
static int32_t buffer_of(LowerCx *cx, const IrNode *n)
{
	while (n->op == OP_reshape)
		n = n->in[0];
	return cx->buffer(cx->owner, n);
}

static const char *operand_name(Arena *a, const IrNode *n)
{
	if (n->op == OP_state)
		return n->attr.state.of->name;
	return n->name ? n->name : arena_printf(a, "%s_%u", ir_ops[n->op].text, n->id);
}

typedef enum Where { INSIDE, CROSSES, OUTSIDE } Where;

static Where where(const Kernel *k, const IrType *t, const KIndex *idx)
{
	Where all = INSIDE;
	for (int d = 0; d < t->rank; d++) {
		int64_t lo, hi;
		const bool affine = k_index_range(k, &idx[d], &lo, &hi);
		if (t->dim[d] == IR_N && affine)
			continue; /* always the sample's own index */
		if (affine && (hi < 0 || lo >= t->dim[d]))
			return OUTSIDE;
		if (!affine || lo < 0 || hi >= t->dim[d])
			all = CROSSES;
	}
	return all;
}

static int load(LowerCx *cx, const IrNode *n, int32_t buf, const KIndex *idx, KEdge edge)
{
	const Where at = where(cx->k, &n->type, idx);
	INVARIANT(at == INSIDE || edge != EDGE_NEVER);
	if (at == OUTSIDE && edge == EDGE_ZERO)
		return k_konst(cx->arena, cx->k, n->type.dtype, 0);
	const int operand = k_operand(cx->arena, cx->k, operand_name(cx->arena, n), buf, n->type, M_IN);
	return k_load(cx->arena, cx->k, operand, idx, at == INSIDE ? EDGE_NEVER : edge);
}

int lower_edge(LowerCx *cx, const IrNode *n, const KIndex *idx, KEdge edge)
{
	const int32_t buf = buffer_of(cx, n);
	INVARIANT(buf >= 0);
	return load(cx, n, buf, idx, edge);
}

int lower_at(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	const int32_t buf = buffer_of(cx, n);
	if (buf >= 0)
		return load(cx, n, buf, idx, EDGE_NEVER);
	for (const LowerMemo *m = cx->memo; m; m = m->next) {
		bool same = m->node == n;
		for (int d = 0; same && d < n->type.rank; d++)
			same = k_index_eq(&m->idx[d], &idx[d]);
		if (same)
			return m->value;
	}
	LowerMemo *m = NEW(cx->arena, LowerMemo);
	m->node = n;
	if (n->type.rank > 0)
		memcpy(m->idx, idx, (size_t)n->type.rank * sizeof *idx);
	m->value = rules[n->op](cx, n, idx);
	m->next = cx->memo;
	cx->memo = m;
	return m->value;
}

/* ---- reduction axes and indices ---- */
KIndex lower_axis(LowerCx *cx, const IrNode *key, int slot, const char *name, int32_t extent)
{
	if (extent == 1)
		return k_index(0);
	for (const LowerAxis *x = cx->axes; x; x = x->next) {
		if (x->key == key && x->slot == slot && x->extent == extent)
			return k_index_axis(x->axis);
	}
	const int axis = extent == IR_N ? k_axis(cx->arena, cx->k, name, EXT_N, cx->max_n)
	                                : k_axis(cx->arena, cx->k, name, EXT_CONST, extent);
	LowerAxis *x = NEW(cx->arena, LowerAxis);
	*x = (LowerAxis){ key, slot, axis, extent, cx->axes };
	cx->axes = x;
	return k_index_axis(axis);
}

KSet lower_axes(const LowerCx *cx, const KIndex *idx, int n)
{
	KSet axes = 0;
	for (int d = 0; d < n; d++)
		axes |= k_index_axes(cx->k, &idx[d]);
	return axes;
}

int lower_fold(LowerCx *cx, const char *name, KRed red, KSet away, int value)
{
	const DType t = red == RED_argmax ? DT_I32 : cx->k->expr[value].type;
	if (away)
		return k_reduce(cx->arena, cx->k, name, red, away, value, t);
	return red == RED_argmax ? k_konst(cx->arena, cx->k, DT_I32, 0) : value;
}

static int32_t mod(int32_t a, int32_t by)
{
	const int32_t r = a % by;
	return r < 0 ? r + by : r;
}

void lower_divmod(const LowerCx *cx, KIndex i, int32_t by, KIndex *quot, KIndex *rem)
{
	INVARIANT(i.expr < 0);
	*rem = k_index(mod(i.c0, by));
	*quot = k_index((i.c0 - rem->c0) / by);
	for (int ax = 0; ax < K_MAX_AXES; ax++) {
		if (i.coef[ax] % by == 0)
			quot->coef[ax] = i.coef[ax] / by;
		else
			rem->coef[ax] = i.coef[ax];
	}
	int64_t lo, hi;
	k_index_range(cx->k, rem, &lo, &hi);
	INVARIANT(lo >= 0 && hi < by);
}

static int32_t gcd(int32_t a, int32_t b)
{
	return b ? gcd(b, a % b) : a;
}

LowerTaps lower_taps(LowerCx *cx, const IrNode *key, int dim, KIndex i, const IrWindow *w)
{
	const int32_t size = w->size[dim], stride = w->stride[dim], dilation = w->dilation[dim];
	KIndex quot, phase;
	lower_divmod(cx, k_index_affine(i, 1, w->pad[ir_pad_before(dim)]), stride, &quot, &phase);
	if (k_index_axes(cx->k, &phase)) { /* split by an axis: windows meet edge to edge */
		INVARIANT(dilation == 1 && size == stride);
		return (LowerTaps){ phase, quot, 1 };
	}
	/* tap * dilation = phase (mod stride): the first such tap, then every step-th */
	const int32_t step = stride / gcd(dilation, stride);
	int32_t first = 0;
	while (first < step && (int64_t)first * dilation % stride != phase.c0)
		first++;
	if (first == step || first >= size)
		return (LowerTaps){ k_index(0), k_index(0), 0 };
	const int32_t count = (size - first + step - 1) / step;
	const KIndex t = lower_axis(cx, key, dim, dim == 2 ? "q" : dim ? "s" : "r", count);
	return (LowerTaps){
		.tap = k_index_affine(t, step, first),
		.out = k_index_plus(k_index_affine(quot, 1, -(int32_t)(((int64_t)first * dilation - phase.c0) / stride)),
		                    k_index_affine(t, -(int32_t)((int64_t)step * dilation / stride), 0)),
		.count = count,
	};
}

/* ---- sources ---- */
int lower_given(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	(void)cx, (void)idx;
	ICE("%s is not in memory", ir_ops[n->op].text);
}

int lower_konst(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	(void)idx;
	return k_konst(cx->arena, cx->k, n->type.dtype, n->attr.konst.value);
}

int lower_scalar(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	(void)idx;
	const int x = k_scalar(cx->arena, cx->k, n->attr.scalar.which, n->attr.scalar.base, n->attr.scalar.every);
	return k_cast(cx->arena, cx->k, x, n->type.dtype);
}

int lower_iota(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	return k_cast(cx->arena, cx->k, k_axis_value(cx->arena, cx->k, idx[n->attr.axis.axis]), n->type.dtype);
}

/* eval_random: element of the row, row or sample id, step or pass. */
int lower_random(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	Arena *a = cx->arena;
	Kernel *k = cx->k;
	const bool batched = ir_batched(&n->type);
	KIndex element = k_index(0);
	for (int d = batched; d < n->type.rank; d++)
		element = k_index_plus(k_index_affine(element, n->type.dim[d], 0), idx[d]);
	int row = k_konst(a, k, DT_U32, 0);
	if (n->attr.random.by_id)
		row = lower_at(cx, n->in[0], (KIndex[]){ batched ? idx[0] : k_index(0) });
	else if (batched)
		row = k_axis_value(a, k, idx[0]);
	const int turn = k_scalar(a, k, n->attr.random.by_id ? SC_PASS : SC_STEP, 0, 0);
	const int word = k_random(a, k, k_cast(a, k, k_axis_value(a, k, element), DT_U32), k_cast(a, k, row, DT_U32), turn,
	                          n->attr.random.stream);
	const int high = k_ewise(a, k, EW_shr, DT_U32, word, k_konst(a, k, DT_U32, 8), -1);
	return k_ewise(a, k, EW_mul, n->type.dtype, k_cast(a, k, high, n->type.dtype),
	               k_konst(a, k, n->type.dtype, 0x1p-24), -1);
}

/* ---- pointwise ---- */
/* idx of out, seen by an operand that is stretched to out */
static void stretched(const IrType *out, const IrType *in, const KIndex *idx, KIndex *at)
{
	for (int d = 0; d < in->rank; d++)
		at[d] = in->dim[d] == 1 ? k_index(0) : idx[out->rank - in->rank + d];
}

int lower_ewise(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	int arg[3] = { -1, -1, -1 };
	KIndex at[IR_MAX_RANK];
	KRow row;
	for (int i = 0; i < n->nin; i++) {
		stretched(&n->type, &n->in[i]->type, idx, at);
		arg[i] = lower_at(cx, n->in[i], at);
	}
	INVARIANT(k_row_find(ir_ops[n->op].text, &row));
	return k_ewise(cx->arena, cx->k, row, n->type.dtype, arg[0], arg[1], arg[2]);
}

int lower_bcast(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	KIndex at[IR_MAX_RANK];
	stretched(&n->type, &n->in[0]->type, idx, at);
	return lower_at(cx, n->in[0], at);
}

/* ---- moving the index ---- */
bool lower_squeezes(const IrType *out, const IrType *in)
{
	int o = 0;
	for (int i = 0; i < in->rank; i++) {
		if (in->dim[i] == 1)
			continue;
		while (o < out->rank && out->dim[o] == 1)
			o++;
		if (o == out->rank || out->dim[o++] != in->dim[i])
			return false;
	}
	while (o < out->rank && out->dim[o] == 1)
		o++;
	return o == out->rank;
}

/* Of what is not in memory, only dimensions of extent 1 may come or go; fuse sees to it. */
int lower_reshape(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	const IrType *in = &n->in[0]->type;
	KIndex at[IR_MAX_RANK];
	INVARIANT(lower_squeezes(&n->type, in));
	for (int i = 0, o = 0; i < in->rank; i++) {
		at[i] = k_index(0);
		if (in->dim[i] == 1)
			continue;
		while (n->type.dim[o] == 1)
			o++;
		at[i] = idx[o++];
	}
	return lower_at(cx, n->in[0], at);
}

int lower_transpose(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	KIndex at[IR_MAX_RANK];
	for (int d = 0; d < n->type.rank; d++)
		at[n->attr.perm.perm[d]] = idx[d];
	return lower_at(cx, n->in[0], at);
}

static void shifted(const IrNode *n, const KIndex *idx, int32_t by, KIndex *at)
{
	for (int d = 0; d < n->type.rank; d++)
		at[d] = d == n->attr.slice.axis ? k_index_affine(idx[d], 1, by) : idx[d];
}

int lower_slice(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	KIndex at[IR_MAX_RANK];
	shifted(n, idx, n->attr.slice.start, at);
	return lower_at(cx, n->in[0], at);
}

int lower_pad(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	KIndex at[IR_MAX_RANK];
	shifted(n, idx, -n->attr.slice.start, at);
	return lower_edge(cx, n->in[0], at, EDGE_ZERO);
}

/* Stored operand by operand (fuse), never computed inside a reader. */
int lower_concat(LowerCx *cx, const IrNode *n, const KIndex *idx)
{
	return lower_given(cx, n, idx);
}

/* kernel_pair.c -- pairs of bf16: which products and stores of a kernel move two neighbours in memory as one word
 *
 * takes: a kernel      gives: the axis of extent 2 and the axis that may run along lanes
 * not:   making such kernels (passes/precision.c), nor their code (codegen/walk*.c)
 *
 *   acc = sum(… c p) f32(x[…, 2c+p]) * f32(w[…, c, k, p])        y[…, c, k, p] = bf16(v)
 *
 * Machines with bf16 multiply two pairs and add both products in one lane; a pair of x is then one word for all lanes of k, a
 * vector of w's pairs is contiguous. Everything here is read off the strides of memory: no kernel is marked.
 */
#include "ir/kernel.h"

/* How far axis `axis` moves the element, in elements of memory. */
static int64_t flat_stride(const KOperand *o, const KIndex *at, int axis)
{
	int64_t stride = 1, sum = 0;
	for (int d = o->type.rank - 1; d >= 0; d--) {
		sum += at[d].coef[axis] * stride;
		stride *= o->type.dim[d] == IR_N ? 1 : o->type.dim[d];
	}
	return sum;
}

/* Are pairs along `p` two neighbours in memory, of which either both are there or none? */
static bool pairs_along(const Kernel *k, const KOperand *o, const KIndex *at, int p)
{
	if (o->type.dtype != DT_BF16 || flat_stride(o, at, p) != 1)
		return false;
	for (int d = o->type.rank - 1; d >= 0; d--) {
		int64_t lo, hi;
		if (at[d].expr >= 0)
			return false;
		if (at[d].coef[p] && (!k_index_range(k, &at[d], &lo, &hi) || lo < 0 || hi >= o->type.dim[d]))
			return false;
	}
	return true;
}

/* Such pairs that begin at even elements, as those of a vector must: everything but p moves by even distances. */
static bool words(const Kernel *k, const KOperand *o, const KIndex *at, int p)
{
	int64_t stride = 1, start = 0;
	if (!pairs_along(k, o, at, p))
		return false;
	for (int d = o->type.rank - 1; d >= 0; d--) {
		start += at[d].c0 * stride;
		stride *= o->type.dim[d] == IR_N ? 1 : o->type.dim[d];
	}
	for (int a = 0; a < k->naxes; a++) {
		if (a != p && flat_stride(o, at, a) % 2)
			return false;
	}
	return start % 2 == 0;
}

int k_widened(const Kernel *k, int x)
{
	const KExpr *e = &k->expr[x];
	if (e->op != K_EWISE || e->row != EW_cast || e->type != DT_F32)
		return x;
	return k->expr[e->arg[0]].op == K_LOAD && k->expr[e->arg[0]].type == DT_BF16 ? e->arg[0] : x;
}

/* Does the axis move the first stored result by ones? Of two factors that both could be the vector, the one whose lanes are
 * stored so is. */
static bool stored_by_ones(const Kernel *k, int axis)
{
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		if (s->kind != S_REDUCE && k->opnd[s->operand].type.rank > 0)
			return flat_stride(&k->opnd[s->operand], s->at, axis) == 1;
	}
	return false;
}

/* The one axis of `over` that moves the load by two and the other factor not at all. */
static int lane_axis(const Kernel *k, const KStage *s, int vector, int splat)
{
	int axis = -1;
	const KExpr *v = &k->expr[vector];
	for (int a = 0; a < k->naxes; a++) {
		if (!(s->over >> a & 1) || k->expr[splat].axes >> a & 1 || flat_stride(&k->opnd[v->operand], v->at, a) != 2)
			continue;
		if (axis >= 0)
			return -1;
		axis = a;
	}
	return axis;
}

bool k_pair(const Kernel *k, int stage, KPair *out)
{
	const KStage *s = &k->stage[stage];
	if (!k_is_contraction(k, s))
		return false;
	const KExpr *product = &k->expr[s->value];
	int x[2] = {k_widened(k, product->arg[0]), k_widened(k, product->arg[1])};
	if (x[0] == product->arg[0] || x[1] == product->arg[1] || k_readers(k, s->value) != 1)
		return false;
	for (int i = 0; i < 2; i++) {
		if (k_readers(k, x[i]) != 1 || k_readers(k, product->arg[i]) != 1)
			return false;
	}
	for (int p = 0; p < k->naxes; p++) {
		const KExpr *a = &k->expr[x[0]], *b = &k->expr[x[1]];
		if (!(s->away >> p & 1) || k->axis[p].ext != EXT_CONST || k->axis[p].extent != 2 ||
		    !pairs_along(k, &k->opnd[a->operand], a->at, p) || !pairs_along(k, &k->opnd[b->operand], b->at, p))
			continue;
		for (int i = 0; i < 2; i++) {
			const KExpr *vector = &k->expr[x[i]];
			int lanes = lane_axis(k, s, x[i], x[1 - i]);
			if (lanes < 0 || !words(k, &k->opnd[vector->operand], vector->at, p) || !stored_by_ones(k, lanes) ||
			    vector->edge != EDGE_NEVER || k->expr[x[1 - i]].edge > EDGE_ZERO)
				continue;
			*out = (KPair){.axis = p, .lanes = lanes, .vector = x[i], .splat = x[1 - i]};
			return true;
		}
	}
	return false;
}

bool k_pair_store(const Kernel *k, int stage, KPair *out)
{
	const KStage *s = &k->stage[stage];
	if (s->kind != S_STORE)
		return false;
	const KOperand *o = &k->opnd[s->operand];
	for (int p = 0; p < k->naxes; p++) {
		if (!(s->over >> p & 1) || k->axis[p].ext != EXT_CONST || k->axis[p].extent != 2 || !words(k, o, s->at, p))
			continue;
		for (int a = 0; a < k->naxes; a++) {
			if (k->axis[a].ext != EXT_CONST || flat_stride(o, s->at, a) != 2)
				continue;
			*out = (KPair){.axis = p, .lanes = a, .vector = -1, .splat = -1};
			return true;
		}
	}
	return false;
}

/* kernel_stage.c -- schedules of a GPU whose product goes through shared memory: the matrix that a block's tile is
 *
 * A schedule with STAGE entries. GRID entries say which points of the result a block has, STAGE entries how many points of the sum
 * its threads copy to shared memory at a time, AHEAD how many stages are under way; WARP and MMA how its warps share the product
 * out. The result stands in shared memory at the end, from where the other stages of the kernel read it, their points shared out
 * by BLOCK entries as in any other kernel. Everything here follows from the kernel and those entries.
 */
#include "ir/kernel.h"
#include <string.h>

enum { COPY_BYTES = 16, FMA_ROWS = 4, FMA_COLS = 8, FMA_DEPTH = 4, MMA_ROWS = 16, MMA_COLS = 8 };

static KSet bit(int axis)
{
	return (KSet)1 << axis;
}

static const KLoop *entry(const Kernel *k, KLevel level, KSet axes)
{
	for (int i = 0; i < k->sched.nloops; i++) {
		if (k->sched.loop[i].level == level && (axes >> k->sched.loop[i].axis & 1))
			return &k->sched.loop[i];
	}
	return NULL;
}

static int step(const Kernel *k, KLevel level, KSet axes, int otherwise)
{
	const KLoop *l = entry(k, level, axes);
	return l ? l->step : otherwise;
}

int k_stage_points(const Kernel *k, int axis)
{
	const int at_once = step(k, L_STAGE, bit(axis), step(k, L_GRID, bit(axis), k->axis[axis].extent));
	return at_once < k->axis[axis].extent ? at_once : k->axis[axis].extent;
}

int k_stage_order(KSet axes, int fast, int out[K_MAX_AXES])
{
	int n = 0;
	for (int a = 0; a < K_MAX_AXES; a++) {
		if ((axes >> a & 1) && a != fast)
			out[n++] = a;
	}
	if (fast >= 0 && (axes >> fast & 1))
		out[n++] = fast;
	return n;
}

static int points_of(const Kernel *k, KSet axes)
{
	int64_t n = 1;
	for (int a = 0; a < k->naxes; a++)
		n = (axes >> a & 1) && n < 1 << 20 ? n * k_stage_points(k, a) : n;
	return (int)n;
}

/* Elements that the axis moves the load; the whole constant offset for axis -1. */
static int64_t moved(const Kernel *k, int load, int axis)
{
	const KExpr *x = &k->expr[load];
	const IrType *t = &k->opnd[x->operand].type;
	int64_t stride = 1, at = 0;
	for (int d = t->rank - 1; d >= 0; d--) {
		at += stride * (axis < 0 ? x->at[d].c0 : x->at[d].coef[axis]);
		stride *= t->dim[d] > 0 ? t->dim[d] : 1;
	}
	return at;
}

static int fast_axis(const Kernel *k, int load)
{
	for (int a = 0; a < k->naxes; a++) {
		if ((k->expr[load].axes >> a & 1) && moved(k, load, a) == 1 && k->axis[a].ext == EXT_CONST)
			return a;
	}
	return -1;
}

/* Do so many elements along its fast axis lie in one piece of memory, all of them inside or none? */
static bool groups(const Kernel *k, int load, int fast, int n)
{
	const KExpr *x = &k->expr[load];
	const IrType *t = &k->opnd[x->operand].type;
	int64_t lo, hi;
	if (k_stage_points(k, fast) % n || k->axis[fast].extent % n || moved(k, load, -1) % n)
		return false;
	for (int a = 0; a < k->naxes; a++) {
		if (a != fast && moved(k, load, a) % n)
			return false;
	}
	for (int d = 0; d < t->rank; d++) {
		if (x->at[d].coef[fast] && t->dim[d] != IR_N && (!k_index_range(k, &x->at[d], &lo, &hi) || lo < 0 || hi >= t->dim[d]))
			return false;
	}
	return true;
}

static bool added_to_memory(const Kernel *k, int stage, int axis)
{
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		const KExpr *x = &k->expr[s->value];
		if (i == stage)
			continue;
		if (s->kind != S_ADD || x->op != K_LOCAL || x->stage != stage)
			return false;
		for (int d = 0; d < k->opnd[s->operand].type.rank; d++) {
			if (s->at[d].coef[axis])
				return false;
		}
	}
	return k->stage[stage].over >> axis & 1;
}

static int contraction(const Kernel *k)
{
	for (int i = 0; i < k->nstages; i++) {
		if (k_is_contraction(k, &k->stage[i]))
			return i;
	}
	return -1;
}

static void find_axes(const Kernel *k, KStaged *t)
{
	const KStage *s = &k->stage[t->stage];
	const KExpr *product = &k->expr[s->value];
	KSet has[2];
	for (int i = 0; i < 2; i++) {
		t->side[i].load = k_widened(k, product->arg[i]);
		has[i] = k->expr[t->side[i].load].axes;
	}
	t->sum = s->away;
	t->added = -1;
	for (int a = 0; a < k->naxes; a++) {
		if (!(s->away & bit(a)) && added_to_memory(k, t->stage, a))
			t->added = a;
	}
	t->sum |= t->added >= 0 ? bit(t->added) : 0;
	for (int i = 0; i < 2; i++)
		t->side[i].axes = s->over & ~t->sum & has[i] & ~has[1 - i];
}

static int whole(int n, int unit)
{
	return (n + unit - 1) / unit * unit;
}

/* Leads at which the reads of a warp meet different banks: see the readers in codegen/cuda_mma.c. */
static int lead_of(const KStaged *t, const KSide *s)
{
	const int inner = s->deep ? t->padded : s->padded, unit = t->mma ? 8 : 4;
	if (t->type == DT_BF16)
		return inner + 8;
	return s->deep ? whole(inner, 8) + 4 : whole(inner, 32) + unit;
}

KStaged k_staged(const Kernel *k)
{
	KStaged t = {.stage = entry(k, L_STAGE, ~(KSet)0) ? contraction(k) : -1};
	if (t.stage < 0)
		return t;
	find_axes(k, &t);
	t.mma = step(k, L_MMA, ~(KSet)0, 0);
	t.ahead = step(k, L_AHEAD, t.sum, 1);
	t.type = k->opnd[k->expr[t.side[0].load].operand].type.dtype;
	t.depth = points_of(k, t.sum);
	t.padded = whole(t.depth, t.mma ? t.mma : FMA_DEPTH);
	t.fast = -1;
	for (int i = 0; i < 2; i++) {
		KSide *s = &t.side[i];
		s->fast = fast_axis(k, s->load);
		t.fast = t.fast < 0 && s->fast >= 0 && (t.sum & bit(s->fast)) ? s->fast : t.fast;
		s->warps = step(k, L_WARP, s->axes, 1);
		s->points = points_of(k, s->axes);
		const int warp = i == 0 ? (t.mma ? MMA_ROWS : FMA_ROWS * 4) : t.mma ? 2 * MMA_COLS : FMA_COLS * 4;
		s->padded = whole(s->points, warp * s->warps);
	}
	for (int i = 0; i < 2; i++) {
		KSide *s = &t.side[i];
		const bool side_fast = s->fast >= 0 && (s->axes & bit(s->fast));
		s->deep = !side_fast;
		for (s->group = COPY_BYTES / dtype_size(t.type); s->group > 1; s->group /= 2) {
			if ((side_fast || (s->fast >= 0 && s->fast == t.fast)) && groups(k, s->load, s->fast, s->group))
				break;
		}
		s->lead = lead_of(&t, s);
	}
	t.result_lead = t.side[1].padded + 4;
	return t;
}

int64_t k_stage_bytes(const KStaged *t, int side)
{
	const KSide *s = &t->side[side];
	return (int64_t)s->lead * (s->deep ? s->padded : t->padded) * dtype_size(t->type);
}

int64_t k_shared_bytes(const KStaged *t)
{
	const int64_t factors = (t->ahead + 1) * (k_stage_bytes(t, 0) + k_stage_bytes(t, 1));
	const int64_t result = (int64_t)t->side[0].padded * t->result_lead * 4;
	return factors > result ? factors : result;
}

/* ---- what may not be ---- */
static const char *factor_fault(const Kernel *k, const KStaged *t)
{
	for (int i = 0; i < 2; i++) {
		const KExpr *x = &k->expr[t->side[i].load];
		const KOperand *o = &k->opnd[x->operand];
		for (int d = 0; d < o->type.rank; d++) {
			if (x->at[d].expr >= 0)
				return "a factor is gathered";
		}
		if (o->mode != M_IN || o->type.dtype != t->type || (t->type != DT_F32 && t->type != DT_BF16) || x->edge == EDGE_LOWEST)
			return "a factor cannot be copied as it is";
	}
	const bool bf16 = t->type == DT_BF16;
	return t->mma == 16 ? (bf16 ? NULL : "no such matrix instruction") :
	       (t->mma == 0 || t->mma == 8) && !bf16 ? NULL : "no such matrix instruction";
}

/* The other stages read the sums, under other axes than the sum's. */
static const char *reader_fault(const Kernel *k, const KStaged *t)
{
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		if (i != t->stage && ((s->away | s->over) & t->sum & ~(t->added >= 0 ? bit(t->added) : 0)))
			return "another stage goes over the axes of the staged sum";
		if (i != t->stage && k_is_contraction(k, s))
			return "two products in one kernel";
	}
	return NULL;
}

static const char *axis_fault(const Kernel *k, const KStaged *t, int a)
{
	const KSet sides = t->side[0].axes | t->side[1].axes, over = k->stage[t->stage].over;
	const bool grid = k_grid(k, a) > 0;
	if (t->sum & bit(a))
		return grid || k_block(k, a) > 1 || (k->axis[a].ext != EXT_CONST && k->axis[a].ext != EXT_N) ? "a staged axis has threads" : NULL;
	if (entry(k, L_STAGE, bit(a)))
		return "a staged axis is not summed";
	if ((over & bit(a)) && !(sides & bit(a)) && k_stage_points(k, a) != 1)
		return "a tile has several points of an axis that both factors have";
	if ((over & bit(a)) && !grid && k->axis[a].ext != EXT_CONST)
		return "a block has all samples";
	return NULL;
}

static const char *tile_fault(const KStaged *t, int64_t threads)
{
	for (int i = 0; i < 2; i++) {
		const KSide *s = &t->side[i];
		const int warp = s->padded / s->warps;
		if (!s->axes || s->points > 1024 || warp > 64)
			return "a tile has too many points, or none";
	}
	if (threads != (int64_t)K_WARP * t->side[0].warps * t->side[1].warps)
		return "a block has other threads than its warps have";
	if (t->depth > 1024 || t->ahead > 7)
		return "a stage is too deep";
	return k_shared_bytes(t) > K_SHARED_BYTES ? "a block needs more shared memory than there is" : NULL;
}

const char *k_stage_fault(const Kernel *k)
{
	const KStaged t = k_staged(k);
	const char *fault = NULL;
	if (t.stage < 0)
		return entry(k, L_STAGE, ~(KSet)0) || entry(k, L_WARP, ~(KSet)0) || entry(k, L_MMA, ~(KSet)0) ? "nothing is staged" : NULL;
	for (int i = 0; i < k->sched.nloops; i++) {
		const KLevel level = k->sched.loop[i].level;
		if (level != L_GRID && level != L_BLOCK && level != L_STAGE && level != L_WARP && level != L_MMA && level != L_AHEAD)
			return "a staged kernel has loops of its own";
	}
	for (int a = 0; !fault && a < k->naxes; a++)
		fault = axis_fault(k, &t, a);
	fault = fault ? fault : factor_fault(k, &t);
	fault = fault ? fault : reader_fault(k, &t);
	return fault ? fault : tile_fault(&t, k_block_threads(k));
}

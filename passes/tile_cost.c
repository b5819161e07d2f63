/* tile_cost.c -- what a tile costs: see tile_cost.h */
#include "passes/tile_block.h"
#include <string.h>

/* Throughputs of a current x86-64 or arm64 core, a cycle: vector multiply-adds, loads, operations of any kind. */
static const double FMA_RATE = 2, LOAD_RATE = 2, ISSUE_RATE = 5, FMA_LATENCY = 4, GATHER_COST = 24, LOOP_COST = 1.5,
                    LOOP_EXIT = 4, EDGE_CHECK = 6, TIE_LOAD = 0.05, TURN_COST = 4;

Lanes lanes_of(const Kernel *k, const KOperand *o, const KIndex *at, int axis)
{
	Lanes how = LANES_NONE;
	int64_t stride = 1;
	for (int d = o->type.rank - 1; d >= 0; d--) {
		if (at[d].coef[axis])
			how = how == LANES_NONE && at[d].coef[axis] * stride == 1 ? LANES_UNIT : LANES_SCATTERED;
		if (at[d].expr >= 0 && (k->expr[at[d].expr].axes >> axis & 1))
			return LANES_SCATTERED;
		stride *= o->type.dim[d] > 0 ? o->type.dim[d] : 1;
	}
	return how;
}

bool tile_summed(const Kernel *k, int axis)
{
	for (int i = 0; i < k->nstages; i++) {
		if (k->stage[i].kind == S_REDUCE && (k->stage[i].away >> axis & 1))
			return true;
	}
	return false;
}

bool tile_reduces(const Kernel *k)
{
	for (int i = 0; i < k->nstages; i++) {
		if (k->stage[i].kind == S_REDUCE)
			return true;
	}
	return false;
}

bool tile_may_be_vector(const TileCx *cx, int axis)
{
	const Kernel *k = cx->k;
	if (k->axis[axis].ext != EXT_CONST || cx->extent[axis] < 2)
		return false;
	for (int i = 0; i < k->nstages; i++) {
		const KStage *st = &k->stage[i];
		if (st->kind == S_REDUCE && st->red == RED_argmax && st->away >> axis & 1)
			return false;
		if (st->kind != S_REDUCE && (st->over >> axis & 1) &&
		    lanes_of(k, &k->opnd[st->operand], st->at, axis) == LANES_NONE)
			return false;
	}
	return true;
}

int tile_step(const Tile *t, int axis)
{
	return t->copies[axis] * (axis == t->vector ? K_LANES : 1);
}

int tile_lanes(const Kernel *k, int axis)
{
	int lanes = K_LANES;
	while (lanes / 2 >= 4 && k->axis[axis].extent <= lanes / 2)
		lanes /= 2;
	return lanes;
}

/* Machine vectors in a vector of the tile. */
static int pieces(const TileCx *cx, const Tile *t)
{
	int lanes = t->vector < 0 ? K_LANES : tile_lanes(cx->k, t->vector), p = lanes * (int)sizeof(float) / cx->target->vec_bytes;
	return p < 1 ? 1 : p;
}

static int product(const Kernel *k, const Tile *t, KSet axes)
{
	int n = 1;
	for (int a = 0; a < k->naxes; a++) {
		if (axes >> a & 1)
			n *= t->copies[a];
	}
	return n;
}

/* Distinct values of one dimension's index over the copies. */
static int distinct_dim(const Kernel *k, const KIndex *at, const Tile *t)
{
	uint64_t seen[16] = {0};
	int n = 0, copy[K_MAX_AXES] = {0};
	for (;;) {
		int v = 0, a = 0;
		for (int i = 0; i < k->naxes; i++)
			v += at->coef[i] * copy[i] * (i == t->vector ? K_LANES : 1);
		v &= 1023;
		if (!(seen[v / 64] >> (v % 64) & 1)) {
			seen[v / 64] |= (uint64_t)1 << (v % 64);
			n++;
		}
		for (; a < k->naxes; a++) {
			if (!at->coef[a])
				continue;
			if (++copy[a] < t->copies[a])
				break;
			copy[a] = 0;
		}
		if (a == k->naxes)
			return n;
	}
}

static int distinct(const Kernel *k, const KExpr *x, const Tile *t)
{
	int n = 1;
	for (int d = 0; d < k->opnd[x->operand].type.rank; d++) {
		if (x->at[d].expr >= 0)
			return product(k, t, x->axes);
		n *= distinct_dim(k, &x->at[d], t);
	}
	return n;
}

/* A loop of step 1 whose first and last trips alone may reach over the edge where `copies` points of other axes move too:
 * those trips are peeled (codegen/walk.c). */
static bool peeled_at_rim(const Kernel *k, const KExpr *x, int d, int loop, const Tile *t)
{
	const int64_t extent = k->opnd[x->operand].type.dim[d], f = x->at[d].coef[loop], trips = k->axis[loop].extent;
	int64_t lo = x->at[d].c0, hi = lo;
	if (k->axis[loop].ext != EXT_CONST || x->at[d].expr >= 0)
		return false;
	for (int a = 0; a < k->naxes; a++) {
		const int64_t g = x->at[d].coef[a], last = k->axis[a].extent - 1;
		if (g && a != loop && t->copies[a] < k->axis[a].extent)
			return false;
		lo += a != loop && g < 0 ? g * last : 0;
		hi += a != loop && g > 0 ? g * last : 0;
	}
	lo += f < 0 ? f * (trips - 1) : 0;
	hi += f > 0 ? f * (trips - 1) : 0;
	const int64_t below = lo < 0 ? -lo : 0, over = hi >= extent ? hi - extent + 1 : 0, by = f > 0 ? f : -f;
	return (below + by - 1) / by + (over + by - 1) / by <= TILE_MAX_RIM;
}

/* Is it only known at run time on which side of the edge a copy lies? A dimension moved by a loop of step 1 and by unrolled
 * copies at once; loops of whole tiles and short rims are peeled, removed axes alone are clipped. */
static bool edge_in_doubt(const Kernel *k, const KExpr *x, const Tile *t)
{
	for (int d = 0; x->edge != EDGE_NEVER && d < k->opnd[x->operand].type.rank; d++) {
		int looped = -1;
		bool unrolled = false, several = false;
		for (int a = 0; a < k->naxes; a++) {
			bool moves = x->at[d].coef[a] && k->axis[a].extent > 1, loops = moves && t->copies[a] == 1 && a != t->vector;
			several |= loops && looped >= 0;
			looped = loops ? a : looped;
			unrolled |= moves && t->copies[a] > 1;
		}
		if (looped >= 0 && unrolled && (several || !peeled_at_rim(k, x, d, looped, t)))
			return true;
	}
	return false;
}

bool tile_turns(const Kernel *k, const KExpr *x, const Tile *t)
{
	const KOperand *o = &k->opnd[x->operand];
	if (x->edge != EDGE_NEVER || o->type.dtype != DT_F32 || t->vector < 0 || tile_lanes(k, t->vector) != K_LANES)
		return false;
	for (int a = 0; a < k->naxes; a++) {
		if (a != t->vector && t->copies[a] == K_LANES && lanes_of(k, o, x->at, a) == LANES_UNIT)
			return true;
	}
	return false;
}

typedef struct Load { double vectors, scalars, gathers, other; } Load;

static void count_one(const Kernel *k, const KExpr *e, const Tile *t, Load *l)
{
	if (e->op == K_LOAD) {
		int n = distinct(k, e, t);
		Lanes how = t->vector < 0 ? LANES_NONE : lanes_of(k, &k->opnd[e->operand], e->at, t->vector);
		bool turns = how == LANES_SCATTERED && tile_turns(k, e, t);
		*(how == LANES_UNIT || turns ? &l->vectors : how == LANES_NONE ? &l->scalars : &l->gathers) += n;
		l->other += turns ? n * TURN_COST : 0;
		l->other += edge_in_doubt(k, e, t) ? n * EDGE_CHECK : 0;
	} else if (e->op == K_EWISE || e->op == K_RANDOM) {
		l->other += product(k, t, e->axes) * (e->op == K_RANDOM ? 60 : e->row == EW_exp || e->row == EW_tanh ? 15 : 1);
	}
}

enum { MAX_EXPRS = INT16_MAX + 1 }; /* KExpr counts in int16_t */

/* What one body needs to make expression x at all its copies: what it is made of counts once, however often it is used, and
 * what hangs on the `outer` axes alone elsewhere. */
static void count_expr(const Kernel *k, int x, const Tile *t, KSet outer, Load *l)
{
	uint64_t need[MAX_EXPRS / 64];
	memset(need, 0, ((size_t)x / 64 + 1) * sizeof *need);
	need[x / 64] |= (uint64_t)1 << (x % 64);
	for (int i = x; i >= 0; i--) {
		const KExpr *e = &k->expr[i];
		if (!(need[i / 64] >> (i % 64) & 1))
			continue;
		if (e->axes & ~outer || !outer)
			count_one(k, e, t, l);
		for (int j = 0; j < 3; j++) {
			if (e->arg[j] >= 0)
				need[e->arg[j] / 64] |= (uint64_t)1 << (e->arg[j] % 64);
		}
		for (int d = 0; e->op == K_LOAD && d < k->opnd[e->operand].type.rank; d++) {
			if (e->at[d].expr >= 0)
				need[e->at[d].expr / 64] |= (uint64_t)1 << (e->at[d].expr % 64);
		}
	}
}

static Load count_body(const TileCx *cx, const Tile *t)
{
	const Kernel *k = cx->k;
	Load l = {0};
	const KExpr *x = &k->expr[k->stage[cx->stage].value];
	if (cx->pair.axis >= 0) {
		l.vectors = distinct(k, &k->expr[cx->pair.vector], t);
		l.scalars = distinct(k, &k->expr[cx->pair.splat], t);
		l.other = edge_in_doubt(k, &k->expr[cx->pair.splat], t) ? l.scalars * EDGE_CHECK : 0;
		return l;
	}
	for (int i = 0; i < 2; i++)
		count_expr(k, x->arg[i], t, 0, &l);
	return l;
}

/* Removed axes whose copies meet splats that copies of a result axis have loaded already: kernel columns. */
static KSet reused_axes(const Kernel *k, const KStage *s, const Tile *t)
{
	const KExpr *x = &k->expr[s->value];
	KSet reused = 0;
	for (int i = 0; i < 2; i++) {
		const KExpr *l = &k->expr[k_widened(k, x->arg[i])];
		if (l->op != K_LOAD || (t->vector >= 0 && (l->axes >> t->vector & 1)))
			continue;
		for (int d = 0; d < k->opnd[l->operand].type.rank; d++) {
			KSet moved = 0;
			for (int a = 0; a < k->naxes; a++)
				moved |= l->at[d].coef[a] && t->copies[a] > 1 ? (KSet)1 << a : 0;
			reused |= moved & s->over ? moved & s->away : 0;
		}
	}
	return reused;
}

bool tile_fits(const TileCx *cx, const Tile *t)
{
	const KStage *s = &cx->k->stage[cx->stage];
	int sums = product(cx->k, t, s->over), fma = sums * product(cx->k, t, s->away), p = pieces(cx, t);
	if (sums > TILE_MAX_CARRIED || fma > TILE_MAX_FMA)
		return false;
	Tile one = *t; /* vectors stay in registers while the splats pass: of one step, and of steps that reuse splats */
	KSet reused = reused_axes(cx->k, s, t);
	for (int a = 0; a < cx->k->naxes; a++) {
		if ((s->away & ~reused) >> a & 1)
			one.copies[a] = 1;
	}
	int vectors = tile_streams(cx, t) ? 1 : (int)count_body(cx, &one).vectors; /* met once: from memory to the sum */
	int ahead = product(cx->k, t, s->away & ~reused) > 1 ? 2 : 0; /* loads of the next step begin before this one ends */
	return (sums + vectors) * p + ahead + 1 <= cx->target->vec_regs;
}

/* Trips of an axis in units of whole tiles; a tail costs its share, but not below what latency allows. */
static double tiles(const TileCx *cx, const Tile *t, int a, int sums)
{
	int step = tile_step(t, a), extent = cx->extent[a];
	if (step >= extent)
		return 1;
	double floor_share = sums < 8 ? 1 : 8.0 / sums;
	int rest = extent % step;
	if (!rest)
		return extent / step;
	int left = a == t->vector ? (rest + K_LANES - 1) / K_LANES : rest;
	double share = (double)left / t->copies[a];
	if (cx->k->axis[a].ext == EXT_N) /* the tail goes sample by sample */
		return extent / step + rest * (1.0 / t->copies[a] > floor_share ? 1.0 / t->copies[a] : floor_share);
	return extent / step + (share > floor_share ? share : floor_share);
}

/* Leaving an inner loop costs a mispredicted branch and new addresses, once for each trip of the loops around it. */
static double exits(const TileCx *cx, const Tile *t, KSet away, int sums)
{
	double trips = 1, total = 0;
	for (int a = 0; a < cx->k->naxes; a++) {
		double n = (away >> a & 1) ? tiles(cx, t, a, sums) : 1;
		if (n > 1) {
			total += trips;
			trips *= n;
		}
	}
	return total * LOOP_EXIT;
}

static double max2(double a, double b)
{
	return a > b ? a : b;
}

double tile_cost(const TileCx *cx, const Tile *t)
{
	const Kernel *k = cx->k;
	const KStage *s = &k->stage[cx->stage];
	int sums = product(k, t, s->over), steps = product(k, t, s->away), p = pieces(cx, t);
	Load l = count_body(cx, t);
	double loads = l.vectors * p + l.scalars + l.gathers * GATHER_COST, fma = (double)sums * steps * p;
	double body = max2(max2(fma / FMA_RATE, loads / LOAD_RATE), FMA_LATENCY * steps);
	body = max2(body, (fma + loads + l.other * p) / ISSUE_RATE) + LOOP_COST + loads * TIE_LOAD;
	double inner = 1, outer = 1;
	for (int a = 0; a < k->naxes; a++) {
		double slices = t->slice[a] ? (cx->extent[a] + t->slice[a] - 1) / t->slice[a] : 1;
		outer *= slices;
		if (s->away >> a & 1)
			inner *= tiles(cx, t, a, sums) / slices;
		else if (s->over >> a & 1)
			outer *= tiles(cx, t, a, sums);
	}
	double ends = sums * p * 1.5 + 10 + exits(cx, t, s->away, sums);
	if (t->vector >= 0 && (s->away >> t->vector & 1))
		ends += sums * 10; /* lanes are added at the end of each sum */
	return outer * (inner * body + ends) + tile_pieces_cost(cx, t);
}

KSet tile_gathering(const Kernel *k)
{
	KSet axes = 0;
	for (int i = 0; i < k->nexprs; i++) {
		const KExpr *x = &k->expr[i];
		for (int d = 0; x->op == K_LOAD && d < k->opnd[x->operand].type.rank; d++)
			axes |= x->at[d].expr >= 0 ? k->expr[x->at[d].expr].axes : 0;
	}
	return axes;
}

static double trips_of(const TileCx *cx, const Tile *t, KSet axes)
{
	double trips = 1;
	for (int a = 0; a < cx->k->naxes; a++)
		trips *= axes >> a & 1 ? (cx->extent[a] + tile_step(t, a) - 1) / tile_step(t, a) : 1;
	return trips;
}

/* Axes whose loops stand outside the others (samples, and those that gathered indices hang on): what depends on nothing else
 * is computed there once. */
static KSet outside(const Kernel *k, const Tile *t)
{
	const int n = k_sample_axis(k);
	KSet axes = tile_gathering(k) | (n >= 0 ? (KSet)1 << n : 0);
	return t->vector >= 0 ? axes & ~((KSet)1 << t->vector) : axes;
}

double nest_cost(const TileCx *cx, const Tile *t)
{
	const Kernel *k = cx->k;
	const KSet outer = outside(k, t);
	double total = 0;
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		KSet axes = s->over | s->away;
		Load l = {0}, all = {0};
		count_expr(k, s->value, t, outer, &l);
		count_expr(k, s->value, t, 0, &all);
		if (s->kind != S_REDUCE) {
			const KOperand *o = &k->opnd[s->operand];
			Lanes how = t->vector < 0 ? LANES_NONE : lanes_of(k, o, s->at, t->vector);
			int n = product(k, t, s->over);
			KPair p;
			if (t->vector >= 0 && k_pair_store(k, i, &p) && p.lanes == t->vector && t->copies[p.axis] == 2)
				how = LANES_UNIT;
			*(how == LANES_UNIT ? &l.vectors : how == LANES_NONE ? &l.scalars : &l.gathers) += n;
		}
		bool wide = t->vector >= 0 && (axes >> t->vector & 1);
		int p = wide ? pieces(cx, t) : 1;
		double body = (l.vectors + l.other + product(k, t, axes)) * p + l.scalars + l.gathers * GATHER_COST;
		total += trips_of(cx, t, axes) * (body / LOAD_RATE + LOOP_COST + 1);
		total += trips_of(cx, t, axes & outer) * (all.other - l.other + all.scalars - l.scalars) / LOAD_RATE;
	}
	return total;
}

/* tile.c -- the schedule of each kernel: loop order, register tile, vector axis
 *
 * in:   kernels and the tree that runs them      out: kernel->sched
 * not:  changing what is computed, buffers or layouts
 *
 * Every legal tile of a small set is priced (tile_cost.c) and the cheapest kept. A contraction's tile is: some short axes
 * unrolled whole (pool windows, kernel columns), one axis unrolled a few times, one to four vectors. For the best few tiles
 * each order of the long result loops is priced with what it misses in the caches (tile_memory.c); inside them run the summed
 * axes, in the order in which the kernel names them. Sums that are added to memory may go in slices of some rows.
 */
#include "ir/names.h"
#include "passes/passes.h"
#include "passes/rewrite.h"
#include "passes/tile.h"
#include "passes/tile_list.h"
#include "passes/tile_search.h"
#include <string.h>

enum { WHOLE_MAX = 8, WHOLE_COPIES = 36, VECTORS_MAX = 4, COPIES_MAX = 16, BODY_MAX = 100, ROWS_MAX = 4, TOP_ALIKE = 2,
       LAST_CACHE = 16 << 20, MEMORY_COST = 3, TURN_EXPRS = 16 };

/* What decides the order of a sum – vector axis, unrolled removed axes – is chosen for this target whatever the real one, so
 * that x86-64-v3 and v4 give the same bits. */
static const Target REFERENCE = {.name = "reference", .vec_bytes = 64, .vec_regs = 32, .fma = true, .l1_bytes = 32 << 10,
                                 .l2_bytes = 1 << 20};

typedef struct Tiling { const KProgram *program; const PassCx *cx; Names *done; } Tiling;
static void list_plain(Search *s, const Tile *t);

bool tile_summed(const Kernel *k, int axis)
{
	for (int i = 0; i < k->nstages; i++) {
		if (k->stage[i].kind == S_REDUCE && in(k->stage[i].away, axis))
			return true;
	}
	return false;
}

/* ---- candidates of a contraction ---- */

static bool sums_alike(const Search *s, const Tile *t)
{
	const KStage *st = &s->cx.k->stage[s->cx.stage];
	for (int a = 0; a < s->cx.k->naxes; a++) {
		if (in(st->away, a) && t->copies[a] != s->sums->copies[a])
			return false;
	}
	return t->vector == s->sums->vector;
}

/* What is folded over a window after the contraction (argmax: the first of equals; a sum) meets its points row by row, whatever
 * the tile: no axis may go in steps inside the copies of one before it. */
static bool keeps_order(const TileCx *cx, const Tile *t)
{
	for (int i = 0; i < cx->k->nstages; i++) {
		bool copied = false;
		for (int a = 0; i != cx->stage && cx->k->stage[i].kind == S_REDUCE && a < cx->k->naxes; a++) {
			if (!in(cx->k->stage[i].away, a))
				continue;
			if (copied && tile_step(t, a) < cx->k->axis[a].extent)
				return false;
			copied |= t->copies[a] > 1;
		}
	}
	return true;
}

static void consider(Search *s, const Tile *t)
{
	if (!keeps_order(&s->cx, t))
		return;
	if (s->sums && !sums_alike(s, t))
		return;
	if (s->part_axis >= 0 && s->part_size % tile_step(t, s->part_axis))
		return;
	if (!tile_fits(&s->cx, t))
		return;
	double c = tile_cost(&s->cx, t);
	if (s->others)
		list_plain(s, t);
	int alike = 0, worst = -1;
	for (int i = 0; i < s->ntop; i++) {
		if (s->top[i].vector == t->vector && s->top[i].copies[t->vector] == t->copies[t->vector])
			alike++, worst = i;
	}
	if (alike == TOP_ALIKE) { /* of tiles alike, those that walk memory alike, the best few stand for all */
		if (c >= s->top_cost[worst] * 0.999)
			return;
		for (s->ntop--; worst < s->ntop; worst++) {
			s->top[worst] = s->top[worst + 1];
			s->top_cost[worst] = s->top_cost[worst + 1];
		}
	}
	int at = s->ntop < TOP ? s->ntop++ : TOP;
	for (; at > 0 && c < s->top_cost[at - 1] * 0.999; at--) {
		if (at < TOP) {
			s->top[at] = s->top[at - 1];
			s->top_cost[at] = s->top_cost[at - 1];
		}
	}
	if (at < TOP) {
		s->top[at] = *t;
		s->top_cost[at] = c;
	}
}

/* The innermost removed axis, unrolled by 2 where that halves the loop's own cost. */
static void with_depth(Search *s, Tile *t)
{
	const KStage *st = &s->cx.k->stage[s->cx.stage];
	consider(s, t);
	for (int a = s->cx.k->naxes - 1; a >= 0; a--) {
		if (!in(st->away, a) || a == t->vector || a == s->cx.pair.axis || t->copies[a] > 1 || s->cx.k->axis[a].ext != EXT_CONST)
			continue;
		if (s->cx.extent[a] % 2 == 0) {
			t->copies[a] = 2;
			consider(s, t);
			t->copies[a] = 1;
		}
		return;
	}
}

/* One more result axis, unrolled in part: balanced, so that the last tile is not a crumb. */
static void with_rows(Search *s, Tile *t)
{
	const Kernel *k = s->cx.k;
	const KStage *st = &k->stage[s->cx.stage];
	with_depth(s, t);
	for (int a = 0; a < k->naxes; a++) {
		if (!in(st->over, a) || a == t->vector || t->copies[a] > 1)
			continue;
		for (int n = 2; n <= COPIES_MAX && n <= s->cx.extent[a]; n++) {
			t->copies[a] = n;
			with_depth(s, t);
		}
		t->copies[a] = 1;
	}
}

/* Short axes, each unrolled whole or not at all. */
static void with_whole(Search *s, Tile *t, int axis, int copies)
{
	const Kernel *k = s->cx.k;
	const KStage *st = &k->stage[s->cx.stage];
	if (axis == k->naxes) {
		with_rows(s, t);
		return;
	}
	with_whole(s, t, axis + 1, copies);
	int extent = s->cx.extent[axis];
	if (k->axis[axis].ext != EXT_CONST || axis == t->vector || axis == s->part_axis || extent < 2 || extent > WHOLE_MAX ||
	    copies * extent > WHOLE_COPIES || !in(st->over | st->away, axis))
		return;
	t->copies[axis] = extent;
	with_whole(s, t, axis + 1, copies * extent);
	t->copies[axis] = 1;
}

static bool stores_by_ones(const Kernel *k, int axis)
{
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		if (s->kind == S_REDUCE || !in(s->over, axis))
			continue;
		if (lanes_of(k, &k->opnd[s->operand], s->at, axis) != LANES_UNIT)
			return false;
	}
	return true;
}

/* argmax keeps positions, not lanes; an added-to element may not be met by two lanes. */
static bool may_be_vector(const Kernel *k, int axis, const Search *s)
{
	if (k->axis[axis].ext != EXT_CONST || s->cx.extent[axis] < 2)
		return false;
	for (int i = 0; i < k->nstages; i++) {
		const KStage *st = &k->stage[i];
		if (st->kind == S_REDUCE && st->red == RED_argmax && in(st->away, axis))
			return false;
		if (st->kind != S_REDUCE && in(st->over, axis) &&
		    lanes_of(k, &k->opnd[st->operand], st->at, axis) == LANES_NONE)
			return false;
	}
	return true;
}

static void search_contraction(Search *s)
{
	const Kernel *k = s->cx.k;
	const KStage *st = &k->stage[s->cx.stage];
	for (int v = 0; v < k->naxes; v++) {
		if (!in(st->over | st->away, v) || !may_be_vector(k, v, s) || (in(st->over, v) && !stores_by_ones(k, v)))
			continue;
		if (s->cx.pair.axis >= 0 && v != s->cx.pair.lanes)
			continue;
		if (v == s->part_axis && s->part_size % K_LANES)
			continue;
		Tile t = {.vector = v};
		for (int a = 0; a < k->naxes; a++)
			t.copies[a] = 1;
		int most = (s->cx.extent[v] + K_LANES - 1) / K_LANES;
		for (t.copies[v] = 1; t.copies[v] <= VECTORS_MAX && t.copies[v] <= most; t.copies[v]++)
			with_whole(s, &t, 0, 1);
	}
	tile_arrange(s);
}

/* ---- plain nests ---- */

/* Where the lanes of v scatter over a load, the axis that walks that load's memory by ones: it should move innermost, so
 * that the lines that one vector touches are used up by the next ones (transpositions). -1: none. */
static int walking_axis(const Kernel *k, int v)
{
	for (int i = 0; v >= 0 && i < k->nexprs; i++) {
		const KExpr *x = &k->expr[i];
		if (x->op != K_LOAD || lanes_of(k, &k->opnd[x->operand], x->at, v) != LANES_SCATTERED)
			continue;
		for (int a = 0; a < k->naxes; a++) {
			if (a != v && lanes_of(k, &k->opnd[x->operand], x->at, a) == LANES_UNIT)
				return a;
		}
	}
	return -1;
}

static bool reduces(const Kernel *k)
{
	for (int i = 0; i < k->nstages; i++) {
		if (k->stage[i].kind == S_REDUCE)
			return true;
	}
	return false;
}

enum { RANKS = 7 };

/* Samples, vectors, other results, those first that say where a nest reads; then sums. A transposition walks its source
 * innermost. */
static int loop_rank(const Kernel *k, int vector, int a, int walking)
{
	if (k->axis[a].ext == EXT_N && !tile_summed(k, a))
		return 0;
	if (walking >= 0 && !k->contraction && (a == walking || a == vector))
		return a == walking ? 6 : 5;
	if (tile_summed(k, a))
		return 4;
	const KSet gathering = k->contraction ? 0 : tile_gathering(k);
	if (gathering && !in(gathering, a))
		return 3;
	return a == vector && k->contraction ? 1 : 2;
}

/* A nest whose rows are one vector: several of them an iteration, along the loop that will be the innermost. */
static void unroll_rows(const Search *s, Tile *t)
{
	const Kernel *k = s->cx.k;
	int inner = -1, rank = -1;
	for (int a = 0; a < k->naxes; a++) {
		const int r = loop_rank(k, t->vector, a, -1);
		if (a != t->vector && r >= rank && t->copies[a] == 1)
			inner = a, rank = r;
	}
	if (reduces(k) || inner < 0 || k->axis[inner].ext != EXT_CONST || inner == s->part_axis)
		return;
	for (int n = ROWS_MAX; n > 1; n /= 2) {
		if (s->cx.extent[inner] % n == 0 && s->cx.extent[inner] > n) {
			t->copies[inner] = n;
			return;
		}
	}
}

/* Squares of a transposition: the axis that walks the source, unrolled as far as a vector goes. -1: none. */
static int turning_axis(const Search *s, int v)
{
	const Kernel *k = s->cx.k;
	int a = walking_axis(k, v);
	bool square = a >= 0 && k->axis[a].ext == EXT_CONST && s->cx.extent[a] >= K_LANES && s->cx.extent[v] >= K_LANES;
	return square && !reduces(k) && k->nexprs <= TURN_EXPRS ? a : -1;
}

/* The axis along which a store makes pairs of what lanes of v hold, -1: none. */
static int stored_pair(const Kernel *k, int v)
{
	KPair p;
	for (int i = 0; v >= 0 && i < k->nstages; i++) {
		if (k_pair_store(k, i, &p) && p.lanes == v)
			return p.axis;
	}
	return -1;
}

/* vectors: at most so many of them at a time; one: no rows either */
static void nest_candidate(Search *s, int v, int vectors)
{
	const Kernel *k = s->cx.k;
	Tile t = {.vector = v};
	int copies = 1, pair = stored_pair(k, v);
	for (int a = 0; a < k->naxes; a++) {
		t.copies[a] = 1;
		bool window = a == pair;
		for (int i = 0; i < k->nstages; i++)
			window |= k->stage[i].kind == S_REDUCE && in(k->stage[i].away, a);
		int extent = s->cx.extent[a];
		if (window && a != v && k->axis[a].ext == EXT_CONST && extent <= WHOLE_MAX / 2 && copies * extent <= WHOLE_MAX * 2) {
			t.copies[a] = extent;
			copies *= extent;
		}
	}
	if (v >= 0 && copies == (pair < 0 ? 1 : 2) && walking_axis(k, v) < 0 && k->nexprs <= BODY_MAX) {
		int most = (s->cx.extent[v] + K_LANES - 1) / K_LANES;
		t.copies[v] = most < vectors ? most : vectors;
		if (most == 1 && vectors > 1)
			unroll_rows(s, &t);
	}
	int turning = turning_axis(s, v);
	if (turning >= 0)
		t.copies[turning] = K_LANES;
	if (s->part_axis >= 0 && s->part_size % tile_step(&t, s->part_axis)) {
		if (s->part_size % K_LANES && s->part_axis == v)
			return;
		t.copies[s->part_axis] = 1;
	}
	double c = nest_cost(&s->cx, &t);
	if (s->others) {
		tile_list_other(s, &t, c);
	} else if (s->cost < 0 || c < s->cost) {
		s->cost = c;
		s->best = t;
	}
}

static void search_nest(Search *s)
{
	nest_candidate(s, -1, VECTORS_MAX);
	for (int v = 0; v < s->cx.k->naxes; v++) {
		if (!may_be_vector(s->cx.k, v, s))
			continue;
		nest_candidate(s, v, VECTORS_MAX);
		for (int vectors = 1; s->others && vectors < VECTORS_MAX; vectors *= 2)
			nest_candidate(s, v, vectors);
	}
}

/* ---- writing the schedule ---- */

static void put(KSchedule *s, KLevel level, int axis, int step)
{
	INVARIANT(s->nloops < (int)COUNT(s->loop));
	s->loop[s->nloops++] = (KLoop){level, (int8_t)axis, step};
}

static void put_loop(const Search *s, KSchedule *out, int axis)
{
	int step = tile_step(&s->best, axis), extent = s->cx.k->axis[axis].extent;
	if (step < extent || s->cx.k->axis[axis].ext != EXT_CONST || axis == s->part_axis)
		put(out, L_LOOP, axis, step);
}

/* What it costs to read all of a factor once, in bytes from the last cache. */
static double load_bytes(const Search *s, const KExpr *x)
{
	const Kernel *k = s->cx.k;
	const IrType *t = &k->opnd[x->operand].type;
	int n = k_sample_axis(k), cut = s->part_axis;
	double bytes = (double)ir_elems(t, n < 0 ? 1 : s->cx.extent[n]) * dtype_size(t->dtype);
	if (bytes > LAST_CACHE)
		bytes *= MEMORY_COST;
	return cut >= 0 && cut != n && in(x->axes, cut) ? bytes * s->part_size / k->axis[cut].extent : bytes;
}

/* How often the loops of the result axes outside `axes` go round. */
static double rounds(const Search *s, KSet axes)
{
	double n = 1;
	for (int a = 0; a < s->cx.k->naxes; a++) {
		if (in(s->cx.k->stage[s->cx.stage].over & ~axes, a))
			n *= (s->cx.extent[a] + tile_step(&s->best, a) - 1) / tile_step(&s->best, a);
	}
	return n;
}

/* The axes of the factor that all samples of the call share, where each panel of it should meet all samples before the next
 * one comes: it is more than the nearest cache holds, and reading it again for each tile of samples is more than reading the
 * other factor again for each panel. Else 0. */
static KSet shared_axes(const Search *s)
{
	enum { NEAREST = 32 << 10 }; /* bytes */
	const Kernel *k = s->cx.k;
	int n = k_sample_axis(k);
	if (s->cx.stage < 0 || n < 0 || s->cx.extent[n] <= tile_step(&s->best, n) || tile_summed(k, n))
		return 0;
	const KExpr *product = &k->expr[k->stage[s->cx.stage].value];
	for (int i = 0; i < 2; i++) {
		const KExpr *w = &k->expr[product->arg[i]], *x = &k->expr[product->arg[1 - i]];
		if (w->op != K_LOAD || x->op != K_LOAD || in(w->axes, n) || !in(x->axes, n))
			continue;
		double panels = load_bytes(s, w), rows = load_bytes(s, x), again = rounds(s, ~((KSet)1 << n));
		bool apart = panels > NEAREST && panels * again + rows > panels + rows * rounds(s, x->axes);
		return apart ? w->axes & k->stage[s->cx.stage].over : 0;
	}
	return 0;
}

/* The place of an axis's loop; shared: see shared_axes. */
static int place_of(const Search *s, int a, int walking, KSet shared)
{
	if (shared && !tile_summed(s->cx.k, a))
		return a == s->best.vector ? 0 : in(shared, a) ? 1 : 2;
	/* in squares, the result is walked: its lines are written whole, one behind the other */
	bool square = walking >= 0 && turning_axis(s, s->best.vector) == walking && s->best.copies[walking] == K_LANES;
	return square ? loop_rank(s->cx.k, walking, a, s->best.vector) : loop_rank(s->cx.k, s->best.vector, a, walking);
}

static void put_nest(const Search *s, KSet shared, KSchedule *out)
{
	const Kernel *k = s->cx.k;
	int walking = walking_axis(k, s->best.vector);
	for (int rank = 0; rank < RANKS; rank++) {
		for (int a = 0; a < k->naxes; a++) {
			if (place_of(s, a, walking, shared) == rank)
				put_loop(s, out, a);
		}
	}
}

static void put_contraction(const Search *s, KSchedule *out)
{
	KSet seen = 0;
	for (int i = 0; i < s->best.nloops; i++) {
		int a = s->best.loop[i];
		if (s->best.slice[a] && !in(seen, a))
			put(out, L_LOOP, a, s->best.slice[a]);
		else
			put_loop(s, out, a);
		seen |= (KSet)1 << a;
	}
}

static void write_schedule(const Search *s, KSchedule *out)
{
	const Kernel *k = s->cx.k;
	out->nloops = 0;
	out->cost_ns = s->cost;
	KSet shared = shared_axes(s);
	if (s->block.axis >= 0)
		put(out, L_LOOP, s->block.axis, s->block.points);
	if (s->cx.stage >= 0 && !shared)
		put_contraction(s, out);
	else
		put_nest(s, shared, out);
	for (int results = 0; results < 2; results++) {
		for (int a = 0; a < k->naxes; a++) {
			if (a != s->best.vector && s->best.copies[a] > 1 && tile_summed(k, a) == !results)
				put(out, L_UNROLL, a, 1);
		}
	}
	if (s->best.vector >= 0) {
		if (s->best.copies[s->best.vector] > 1)
			put(out, L_UNROLL, s->best.vector, tile_lanes(k, s->best.vector));
		put(out, L_VECTOR, s->best.vector, tile_lanes(k, s->best.vector));
	}
	if (s->block.early >= 0)
		put(out, L_AHEAD, s->block.early, s->block.early_points);
}

static int contraction_stage(const Kernel *k)
{
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		const KExpr *x = &k->expr[s->value];
		if (s->kind == S_REDUCE && s->red == RED_sum && x->op == K_EWISE && x->row == EW_mul && x->type == DT_F32)
			return i;
	}
	return -1;
}

/* Both points of a pair were one while tiles were looked for. */
static void take_pair(Search *s)
{
	if (s->cx.stage >= 0 && s->cx.pair.axis >= 0)
		s->best.copies[s->cx.pair.axis] = 2;
}

/* ---- other schedules, for a tuner and for schedule files ---- */

/* Does the order in which points of the axis are visited decide the order of a sum? */
static bool orders_sums(const Kernel *k, int axis)
{
	bool orders = tile_summed(k, axis);
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		KSet indexed = 0;
		for (int d = 0; s->kind == S_ADD && d < k->opnd[s->operand].type.rank; d++)
			indexed |= k_index_axes(k, &s->at[d]);
		orders |= s->kind == S_ADD && in(s->over & ~indexed, axis);
	}
	return orders;
}

/* Does the loop at i leave the order of sums as it is? Blocks of a sum and results asked for early do. */
static bool leaves_sums(const Kernel *k, const KSchedule *s, int i)
{
	bool block = false;
	for (int j = i + 1; s->loop[i].level == L_LOOP && j < s->nloops; j++)
		block |= s->loop[j].level == L_LOOP && s->loop[j].axis == s->loop[i].axis;
	return (block && !k_adds(k, s->loop[i].axis)) || s->loop[i].level == L_AHEAD || !orders_sums(k, s->loop[i].axis);
}

/* The same loops, copies and lanes of all axes along which sums run, in the same order. */
static bool same_sums(const Kernel *k, const KSchedule *a, const KSchedule *b)
{
	int i = 0, j = 0;
	for (;; i++, j++) {
		while (i < a->nloops && leaves_sums(k, a, i))
			i++;
		while (j < b->nloops && leaves_sums(k, b, j))
			j++;
		if (i == a->nloops || j == b->nloops)
			return i == a->nloops && j == b->nloops;
		if (a->loop[i].level != b->loop[j].level || a->loop[i].axis != b->loop[j].axis || a->loop[i].step != b->loop[j].step)
			return false;
	}
}

void tile_list_other(const Search *s, const Tile *t, double cost)
{
	Others *o = s->others;
	Search one = *s;
	KSchedule made;
	one.best = *t;
	one.cost = cost;
	one.block = tile_block(&one.cx, t);
	take_pair(&one);
	write_schedule(&one, &made);
	if (!same_sums(s->cx.k, &made, &o->list[0]))
		return;
	o->found |= o->wanted && schedule_equal(&made, o->wanted);
	for (int i = 0; i < o->n; i++) {
		if (schedule_equal(&made, &o->list[i]))
			return;
	}
	if (o->n == o->room && o->list[o->n - 1].cost_ns <= cost)
		return;
	int at = o->n < o->room ? o->n++ : o->n - 1;
	for (; at > 1 && o->list[at - 1].cost_ns > cost; at--)
		o->list[at] = o->list[at - 1];
	o->list[at] = made;
}

/* The tile with its loops in the first order, and the slices of the schedule that the others go with. */
static void list_plain(Search *s, const Tile *t)
{
	const KSchedule *like = &s->others->list[0];
	Tile one = *t;
	int axis = tile_sliced_axis(s, t), from, count, loops = 0;
	for (int i = 0; axis >= 0 && i < like->nloops; i++) {
		if (like->loop[i].axis == axis && like->loop[i].level == L_LOOP && loops++ == 0)
			one.slice[axis] = like->loop[i].step;
	}
	if (loops < 2) {
		memset(one.slice, 0, sizeof one.slice);
		axis = -1;
	}
	tile_first_order(s, &one, axis, &from, &count);
	tile_list_other(s, &one, tile_cost(&s->cx, &one) + memory_cost(&s->cx, &one));
}

static void search_others(Search *s, const PassCx *cx, Others *o)
{
	s->others = o;
	s->sums = NULL;
	s->ntop = 0;
	s->cx.target = s->cx.stage >= 0 ? &cx->target : &REFERENCE;
	if (o->room < 2 && !o->wanted)
		return;
	if (s->cx.stage >= 0)
		search_contraction(s);
	else
		search_nest(s);
}

/* The same sums with fewer or more results at a time, as the real target's registers allow. */
static void retile(Search *s, Tile sums, const Target *target)
{
	s->sums = &sums;
	s->cx.target = target;
	s->ntop = 0;
	search_contraction(s);
	if (s->cost < 0) { /* nothing fits: one result at a time */
		s->top[0] = sums;
		for (int a = 0; a < s->cx.k->naxes; a++)
			s->top[0].copies[a] = in(s->cx.k->stage[s->cx.stage].over, a) ? 1 : sums.copies[a];
		s->ntop = 1;
		tile_arrange(s);
	}
}

/* The tile that a schedule was made of. */
static Tile tile_of(const Kernel *k)
{
	Tile t = {.vector = -1};
	KSet looped = 0;
	for (int a = 0; a < k->naxes; a++)
		t.copies[a] = k->axis[a].extent;
	for (int i = 0; i < k->sched.nloops; i++) {
		const KLoop *l = &k->sched.loop[i];
		if (l->level == L_LOOP) {
			t.slice[l->axis] = looped >> l->axis & 1 ? t.copies[l->axis] : 0;
			looped |= (KSet)1 << l->axis;
			t.copies[l->axis] = l->step;
		} else if (l->level == L_VECTOR) {
			t.vector = l->axis;
		}
	}
	if (t.vector >= 0)
		t.copies[t.vector] = (t.copies[t.vector] + K_LANES - 1) / K_LANES;
	return t;
}

/* A nest in the tile of the kernel whose sums it repeats, as far as its part allows. */
static void retile_nest(Search *s, const Tile *like)
{
	s->best = *like;
	s->cost = 0;
	if (s->part_axis < 0 || s->part_size % tile_step(like, s->part_axis) == 0)
		return;
	s->best.copies[s->part_axis] = 1;
	if (s->part_axis == like->vector && s->part_size % K_LANES)
		s->best.vector = -1;
}

static void search_like(Search *s, const Target *target)
{
	Tile like = tile_of(s->cx.k->like);
	if (s->cx.pair.axis >= 0)
		like.copies[s->cx.pair.axis] = 1;
	if (s->cx.stage >= 0)
		retile(s, like, target);
	else
		retile_nest(s, &like);
}

static void search_freely(Search *s, const Target *target)
{
	s->cx.target = &REFERENCE;
	if (s->cx.stage >= 0)
		search_contraction(s);
	if (s->cost < 0) {
		if (s->cx.pair.axis >= 0)
			s->cx.extent[s->cx.pair.axis] = 2;
		s->cx.stage = -1;
		search_nest(s);
	} else if (target->vec_bytes != REFERENCE.vec_bytes || target->vec_regs != REFERENCE.vec_regs) {
		retile(s, s->best, target);
	}
}

static void search_kernel(Search *s, Kernel *k, const PassCx *cx)
{
	if (has_list(k)) {
		schedule_list(k, &cx->target, &k->sched);
		return;
	}
	if (k->like && (s->cx.stage >= 0 || reduces(k)))
		search_like(s, &cx->target);
	else
		search_freely(s, &cx->target);
	s->cx.target = &cx->target;
	s->block = tile_block(&s->cx, &s->best);
	take_pair(s);
	write_schedule(s, &k->sched);
}

static Search search_of(Kernel *k, const PassCx *cx, int part_axis, int part_size, int samples)
{
	Search s = {.cx = {.k = k, .target = &cx->target, .stage = k->contraction ? contraction_stage(k) : -1}, .cost = -1,
	            .part_axis = part_axis, .part_size = part_size};
	for (int a = 0; a < k->naxes; a++) {
		s.cx.extent[a] = k->axis[a].ext == EXT_N ? samples : k->axis[a].extent;
		if (a == part_axis && part_size < s.cx.extent[a])
			s.cx.extent[a] = part_size;
	}
	if (s.cx.stage < 0 || !k_pair(k, s.cx.stage, &s.cx.pair))
		s.cx.pair.axis = -1;
	if (s.cx.pair.axis >= 0)
		s.cx.extent[s.cx.pair.axis] = 1;
	return s;
}

/* Lists what else is possible and takes the file's schedule, as far as somebody wants that. Kernels of lists have
 * one schedule each, and a kernel that repeats another's sums follows that one. */
static bool choose_other(Search *s, Kernel *k, const PassCx *cx, TileKernel *out)
{
	bool fixed = k->like || has_list(k);
	TileLog *log = fixed ? NULL : cx->tile_log;
	ScheduleLine *line =
		cx->schedules && !fixed ? schedule_find(cx->schedules, out->hash, cx->target.name, TILE_PASS) : NULL;
	if (!log && !line)
		return true;
	Others o = {.room = log ? log->most : 1, .wanted = line ? &line->sched : NULL, .n = 1};
	o.list = NEWN(log ? log->arena : cx->scratch, KSchedule, o.room + 1);
	o.list[0] = k->sched;
	o.found = line && schedule_equal(&line->sched, &k->sched);
	search_others(s, cx, &o);
	*out = (TileKernel){.hash = out->hash, .known = line != NULL, .choice = o.list, .nchoices = o.n};
	if (!line)
		return true;
	line->used = true;
	k->sched = line->sched;
	if (o.found)
		return true;
	diag_error(cx->diag, line->loc, "this is no schedule that kernel %s can have", k->name);
	diag_note(cx->diag, "help", "delete the line, or the file, and measure again with --tune");
	return false;
}

static void log_kernel(TileLog *log, const Kernel *k, const TileKernel *as)
{
	if (log->n == log->room) {
		int room = log->room ? log->room * 2 : 64;
		log->kernel = arena_grow(log->arena, log->kernel, (size_t)log->room, (size_t)room, sizeof(*log->kernel));
		log->room = room;
	}
	log->kernel[log->n] = *as;
	log->kernel[log->n++].kernel = k;
}

typedef struct Tiled { const Kernel *kernel; TileKernel as; } Tiled;

/* Equal kernels – deep networks have many – are searched once. */
static bool tile_kernel(Tiling *t, Kernel *k, int part_axis, int part_size, int samples)
{
	Arena *a = t->cx->scratch;
	const char *key = arena_printf(a, "%d %d %d %s%s", part_axis, part_size, samples, k_key(t->program, k, a),
	                               k->like ? k_key(t->program, k->like, a) : "");
	Tiled *one = names_get(t->done, key);
	bool ok = true;
	if (one) {
		k->sched = one->kernel->sched;
	} else {
		Search s = search_of(k, t->cx, part_axis, part_size, samples);
		one = NEW(a, Tiled);
		*one = (Tiled){.kernel = k, .as = {.hash = schedule_hash(key)}};
		search_kernel(&s, k, t->cx);
		ok = choose_other(&s, k, t->cx, &one->as);
		names_add(t->done, key, one);
	}
	if (t->cx->tile_log)
		log_kernel(t->cx->tile_log, k, &one->as);
	return ok;
}

/* samples: of one call of the kernels below, as planned. */
static bool tile_item(Tiling *t, const KEntry *e, const KItem *item, int axis, int size, int samples)
{
	if (item->kind == I_RUN)
		return tile_kernel(t, e->kernel[item->kernel], axis, size, samples);
	bool by_sample = item->axis < 0 && item->size < samples;
	bool ok = true;
	for (int i = 0; i < item->nbody; i++)
		ok &= tile_item(t, e, &item->body[i], item->axis, item->size, by_sample ? item->size : samples);
	return ok;
}

bool pass_tile(IrModule *m, PassCx *cx)
{
	Tiling t = {.program = m->program, .cx = cx, .done = names_new(cx->scratch)};
	bool ok = true;
	for (int i = 0; i < m->program->nentries; i++) {
		const KEntry *e = &m->program->entry[i];
		for (int j = 0; j < e->nitems; j++)
			ok &= tile_item(&t, e, &e->item[j], -1, 0, e->few ? 1 : m->max_n);
	}
	return ok;
}

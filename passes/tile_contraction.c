/* tile_contraction.c -- the tiles of a sum of products: see tile_search.h
 *
 * A tile is: some short axes unrolled whole (pool windows, kernel columns), one axis unrolled a few times, the innermost summed
 * axis perhaps twice, one to four vectors. All that fit the registers are priced; the cheapest few go on to tile_order.c.
 */
#include "passes/tile_block.h"
#include "passes/tile_search.h"

enum { WHOLE_MAX = 8, WHOLE_COPIES = 36, VECTORS_MAX = 4, VECTORS_STREAMED = 16, COPIES_MAX = 16, TOP_ALIKE = 2 };

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

/* In the first order of its loops, with the slices of the schedule that it would stand for. */
static void list_plain(const Search *s, const Tile *t)
{
	Tile one = *t;
	tile_order_like(s, &one, &s->others->list[0]);
	tile_list_other(s, &one, tile_cost(&s->cx, &one) + memory_cost(&s->cx, &one));
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
	for (int a = k->naxes - 1; a >= 0; a--) { /* of equals the first stays: pixels sooner than samples */
		if (!in(st->over, a) || a == t->vector || t->copies[a] > 1)
			continue;
		for (int n = 2; n <= COPIES_MAX && n <= s->cx.extent[a]; n++) {
			t->copies[a] = n;
			with_depth(s, t);
		}
		t->copies[a] = 1;
	}
}

/* Does the axis step over the vectors of a row of results? Its copies would be vectors beyond those that a tile may have. */
static bool steps_over_vectors(const Kernel *k, const Tile *t, int axis)
{
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		for (int d = 0; s->kind != S_REDUCE && d < k->opnd[s->operand].type.rank; d++) {
			if (s->at[d].coef[axis] && s->at[d].coef[t->vector])
				return true;
		}
	}
	return false;
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
	    copies * extent > WHOLE_COPIES || !in(st->over | st->away, axis) || steps_over_vectors(k, t, axis))
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

void tile_search_contraction(Search *s)
{
	const Kernel *k = s->cx.k;
	const KStage *st = &k->stage[s->cx.stage];
	for (int v = 0; v < k->naxes; v++) {
		if (!in(st->over | st->away, v) || !tile_may_be_vector(&s->cx, v) || (in(st->over, v) && !stores_by_ones(k, v)))
			continue;
		if (s->cx.pair.axis >= 0 && v != s->cx.pair.lanes)
			continue;
		if (v == s->part_axis && s->part_size % K_LANES)
			continue;
		Tile t = {.vector = v};
		for (int a = 0; a < k->naxes; a++)
			t.copies[a] = 1;
		const int whole = (s->cx.extent[v] + K_LANES - 1) / K_LANES, most = tile_streams(&s->cx, &t) ? VECTORS_STREAMED : VECTORS_MAX;
		for (t.copies[v] = 1; t.copies[v] <= most && t.copies[v] <= whole; t.copies[v]++)
			with_whole(s, &t, 0, 1);
	}
	tile_arrange(s);
}

/* tile_nest.c -- the tiles of kernels that are no sums of products, and the order of their loops: see tile_search.h
 *
 * What is summed over a short window is unrolled; one axis runs along the lanes. Samples go outside, then other results, then sums;
 * a transposition walks memory in the order of its source, or square by square in that of its result.
 */
#include "passes/tile_search.h"

enum { WHOLE_MAX = 8, VECTORS_MAX = 4, BODY_MAX = 100, ROWS_MAX = 4, TURN_EXPRS = 16, RANKS = 6 };

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

/* Samples, other results, those first that say where a nest reads; then sums. A transposition walks its source
 * innermost. */
static int loop_rank(const Kernel *k, int vector, int a, int walking)
{
	if (k->axis[a].ext == EXT_N && !tile_summed(k, a))
		return 0;
	if (walking >= 0 && (a == walking || a == vector))
		return a == walking ? 5 : 4;
	if (tile_summed(k, a))
		return 3;
	const KSet gathering = tile_gathering(k);
	return gathering && !in(gathering, a) ? 2 : 1;
}

/* Squares of a transposition: the axis that walks the source, unrolled as far as a vector goes. -1: none. */
static int turning_axis(const Search *s, int v)
{
	const Kernel *k = s->cx.k;
	int a = walking_axis(k, v);
	bool square = a >= 0 && k->axis[a].ext == EXT_CONST && s->cx.extent[a] >= K_LANES && s->cx.extent[v] >= K_LANES;
	return square && !tile_reduces(k) && k->nexprs <= TURN_EXPRS ? a : -1;
}

/* The place of an axis's loop in tile t. */
static int place_of(const Search *s, const Tile *t, int a, int walking)
{
	/* in squares, the result is walked: its lines are written whole, one behind the other */
	bool square = walking >= 0 && turning_axis(s, t->vector) == walking && t->copies[walking] == K_LANES;
	return square ? loop_rank(s->cx.k, walking, a, t->vector) : loop_rank(s->cx.k, t->vector, a, walking);
}

void tile_order_nest(const Search *s, Tile *t)
{
	int walking = walking_axis(s->cx.k, t->vector);
	t->nloops = 0;
	for (int rank = 0; rank < RANKS; rank++) {
		for (int a = 0; a < s->cx.k->naxes; a++) {
			if (place_of(s, t, a, walking) == rank)
				t->loop[t->nloops++] = (int8_t)a;
		}
	}
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
	if (tile_reduces(k) || inner < 0 || k->axis[inner].ext != EXT_CONST || inner == s->part_axis)
		return;
	for (int n = ROWS_MAX; n > 1; n /= 2) {
		if (s->cx.extent[inner] % n == 0 && s->cx.extent[inner] > n) {
			t->copies[inner] = n;
			return;
		}
	}
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

/* An argmax is the first of equals: unrolled axes come after all loops, so only its last axes may be unrolled. */
static void unroll_in_order(const Kernel *k, Tile *t)
{
	for (int i = 0; i < k->nstages; i++) {
		const KStage *st = &k->stage[i];
		bool loop = false;
		for (int a = k->naxes; st->kind == S_REDUCE && st->red == RED_argmax && a-- > 0;) {
			if (!in(st->away, a))
				continue;
			if (loop)
				t->copies[a] = 1;
			loop |= t->copies[a] == 1;
		}
	}
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
	unroll_in_order(k, &t);
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
	tile_order_nest(s, &t);
	double c = nest_cost(&s->cx, &t);
	if (s->others) {
		tile_list_other(s, &t, c);
	} else if (s->cost < 0 || c < s->cost) {
		s->cost = c;
		s->best = t;
	}
}

void tile_search_nest(Search *s)
{
	nest_candidate(s, -1, VECTORS_MAX);
	for (int v = 0; v < s->cx.k->naxes; v++) {
		if (!tile_may_be_vector(&s->cx, v))
			continue;
		nest_candidate(s, v, VECTORS_MAX);
		for (int vectors = 1; s->others && vectors < VECTORS_MAX; vectors *= 2)
			nest_candidate(s, v, vectors);
	}
}

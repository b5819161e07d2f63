/* tile_memory.c -- what a loop order costs in the caches: see tile_cost.h
 *
 * Footprints: the lines that each operand's accesses touch while the loops inside a level run. What fits a cache at some level
 * comes from beyond that cache once a trip of the loops further out; the loop just outside finds again what it does not move.
 */
#include "passes/tile_block.h"
#include <string.h>

enum { LINE = 64, PAGE = 4096, STREAM = 256, LONG_STREAM = 2048, MAX_LEVELS = 2 * K_MAX_AXES + 2, MAX_ACCESSES = 6 };

/* Cycles that a line from the next level adds, most of its latency hidden; the part of a cache that one kernel can count on;
 * the part of the cost that is left from the second level where lines follow one another, so that hardware foresees them; what
 * results cost more that go beyond the second level in short pieces. */
static const double L1_MISS = 1, L2_MISS = 5, USABLE = 0.75, STREAMED = 0.3, PIECES = 2;

typedef struct Access {
	const KOperand *operand;
	const KIndex *at;
	bool stored;
	double lines[MAX_LEVELS];
	int64_t run[MAX_LEVELS]; /* bytes that lie together; INT64_MAX: all of them */
} Access;

typedef struct Levels { /* [0] is the tile, [i] everything inside loop i-1 and that loop; loops innermost first */
	int n;
	double trips[MAX_LEVELS], footprint[MAX_LEVELS];
	Access access[MAX_ACCESSES];
	int naccesses;
} Levels;

static int minimum(int a, int b)
{
	return a < b ? a : b;
}

/* Elements of one dimension met while axis a spans span[a] points. */
static int64_t range(const Kernel *k, const KIndex *at, int64_t dim, const int *span)
{
	int64_t r = 1;
	for (int a = 0; a < k->naxes; a++) {
		int64_t f = at->coef[a] < 0 ? -at->coef[a] : at->coef[a];
		r += f * (span[a] - 1);
	}
	return dim > 0 && (r > dim || at->expr >= 0) ? dim : r;
}

/* Lines of a run of bytes: aligned where it may be, else it begins anywhere. */
static double run_lines(int64_t bytes)
{
	if (bytes % LINE == 0 || LINE % bytes == 0)
		return (double)((bytes + LINE - 1) / LINE);
	return (double)(bytes - (int64_t)sizeof(float)) / LINE + 1;
}

/* Cache lines of an access: whole inner dimensions are one run. *crowd: how many times as much of a cache they take, because
 * runs at a distance of many lines share its sets. *together: bytes of a run. */
static double lines(const Kernel *k, const Access *x, const int *span, double *crowd, int64_t *together)
{
	const IrType *t = &x->operand->type;
	int64_t rows = 1, run = dtype_size(t->dtype), pitch = run, sets = PAGE / LINE;
	bool whole = true;
	for (int d = t->rank - 1; d >= 0; d--) {
		int64_t r = range(k, &x->at[d], t->dim[d], span);
		if (whole) {
			run *= r;
			pitch *= t->dim[d] > 0 ? t->dim[d] : 1;
		} else {
			rows *= r;
		}
		whole &= r == t->dim[d];
	}
	while (sets > 1 && pitch % (sets * LINE))
		sets /= 2;
	double each = run_lines(run);
	*crowd = rows > 1 && (double)sets > each ? (double)sets / each : 1;
	*together = rows == 1 ? INT64_MAX : run;
	return (double)rows * each;
}

static void add_access(Levels *l, const KOperand *o, const KIndex *at, bool stored)
{
	if (l->naccesses < MAX_ACCESSES)
		l->access[l->naccesses++] = (Access){.operand = o, .at = at, .stored = stored};
}

static void find_accesses(const TileCx *cx, Levels *l)
{
	const Kernel *k = cx->k;
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		if (s->kind != S_REDUCE)
			add_access(l, &k->opnd[s->operand], s->at, true);
	}
	for (int i = 0; i < k->nexprs; i++) {
		if (k->expr[i].op == K_LOAD)
			add_access(l, &k->opnd[k->expr[i].operand], k->expr[i].at, false);
	}
}

static void measure(const TileCx *cx, Levels *l, const int *span)
{
	l->footprint[l->n] = 0;
	for (int i = 0; i < l->naccesses; i++) {
		double crowd;
		l->access[i].lines[l->n] = lines(cx->k, &l->access[i], span, &crowd, &l->access[i].run[l->n]);
		l->footprint[l->n] += l->access[i].lines[l->n] * LINE * crowd;
	}
	l->n++;
}

/* A sum in blocks runs over one of them in all loops; those over the blocks stand outside. */
static void find_levels(const TileCx *cx, const Tile *t, Levels *l)
{
	const TileBlock b = tile_block(cx, t);
	int span[K_MAX_AXES];
	for (int a = 0; a < cx->k->naxes; a++)
		span[a] = minimum(tile_step(t, a), cx->extent[a]);
	measure(cx, l, span);
	for (int i = t->nloops - 1; i >= 0; i--) {
		int a = t->loop[i], before = span[a];
		bool inner = t->slice[a] && span[a] < t->slice[a];
		span[a] = inner ? minimum(t->slice[a], cx->extent[a]) : a == b.axis ? b.points : cx->extent[a];
		l->trips[l->n] = (span[a] + before - 1) / before;
		if (l->trips[l->n] > 1)
			measure(cx, l, span);
	}
	if (b.axis >= 0) {
		span[b.axis] = cx->extent[b.axis];
		l->trips[l->n] = (double)cx->extent[b.axis] / b.points;
		measure(cx, l, span);
	}
}

/* The first level that does not fit a cache of `bytes`: what it touches comes from beyond, *times times. */
static int level_beyond(const Levels *l, double bytes, double *times)
{
	int at = 0;
	while (at + 1 < l->n && l->footprint[at] <= bytes)
		at++;
	*times = 1;
	for (int i = at + 1; i < l->n; i++)
		*times *= l->trips[i];
	return at;
}

static double l1_misses(const Levels *l, double bytes)
{
	double times, total = 0;
	const int at = level_beyond(l, bytes, &times);
	for (int i = 0; i < l->naccesses; i++) {
		const Access *x = &l->access[i];
		total += (x->stored ? 2 : 1) * x->lines[at] * (x->run[at] >= STREAM ? STREAMED : 1) * times;
	}
	return total;
}

/* Are results that samples share, met once a call and so in memory, written in short pieces, with a return for
 * what lies between? */
static bool in_pieces(const Kernel *k, const Levels *l, const Access *x)
{
	const int sample = k_sample_axis(k);
	int i = 0;
	for (int d = 0; d < x->operand->type.rank; d++) {
		if (sample < 0 || x->at[d].coef[sample])
			return false;
	}
	while (i + 1 < l->n && x->lines[i] * LINE < LONG_STREAM)
		i++;
	return x->stored && x->run[i] < LONG_STREAM;
}

static double l2_misses(const Kernel *k, const Levels *l, double bytes)
{
	double times, total = 0;
	const int at = level_beyond(l, bytes, &times);
	for (int i = 0; i < l->naccesses; i++) {
		const Access *x = &l->access[i];
		total += (x->stored ? 2 : 1) * (in_pieces(k, l, x) ? PIECES : 1) * x->lines[at] * times;
	}
	return total;
}

double memory_cost(const TileCx *cx, const Tile *t)
{
	Levels l = {0};
	find_accesses(cx, &l);
	find_levels(cx, t, &l);
	return l1_misses(&l, USABLE * (double)cx->target->l1_bytes) * L1_MISS +
	       l2_misses(cx->k, &l, USABLE * (double)cx->target->l2_bytes) * L2_MISS;
}

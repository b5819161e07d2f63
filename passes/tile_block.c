/* tile_block.c -- a tile's way through the caches: see tile_block.h
 *
 * A product of matrices with vectors along columns reads its wide factor in panels: a tile's columns, all rows. Where that
 * factor exceeds the second-level cache and its rows are far apart, a panel of many rows falls into few sets of the caches and
 * on as many pages; so the sum goes in blocks of rows, and the tiles that share a panel find it where the first one left it.
 */
#include "passes/tile_block.h"
#include <stdlib.h>

enum { BLOCK = 256, FAR_APART = 256, SHORT_SUM = 256, LINE = 64, USED_OFTEN = 4 };

/* Measured with one row, 16 MB: pieces of 256 bytes 8.5 cycles a line, of 512 5, without end 3.6. */
static const double PIECE_BYTES = 1250;

/* Bytes from the first to the last element in each dimension, multiplied. */
static double footprint(const TileCx *cx, const KOperand *o, const KIndex *at)
{
	double bytes = dtype_size(o->type.dtype);
	for (int d = 0; d < o->type.rank; d++) {
		double span = 1;
		for (int a = 0; a < cx->k->naxes; a++)
			span += abs(at[d].coef[a]) * (double)(cx->extent[a] - 1);
		bytes *= o->type.dim[d] > 0 && span > o->type.dim[d] ? o->type.dim[d] : span;
	}
	return bytes;
}

static int64_t stride(const KOperand *o, const KIndex *at, int axis)
{
	int64_t all = 0, s = 1;
	for (int d = o->type.rank - 1; d >= 0; d--) {
		all += at[d].coef[axis] * s;
		s *= o->type.dim[d] > 0 ? o->type.dim[d] : 1;
	}
	return all;
}

/* The only summed axis, -1: several. */
static int summed_axis(const Kernel *k, const KStage *s)
{
	int axis = -1;
	for (int a = 0; a < k->naxes; a++) {
		if (!(s->away >> a & 1))
			continue;
		if (axis >= 0)
			return -1;
		axis = a;
	}
	return axis;
}

static double trips(const TileCx *cx, const Tile *t, KSet axes)
{
	double n = 1;
	for (int a = 0; a < cx->k->naxes; a++)
		n *= axes >> a & 1 ? (cx->extent[a] + tile_step(t, a) - 1) / tile_step(t, a) : 1;
	return n;
}

/* The factor that the vector axis moves, if it moves one of two loads. */
static const KExpr *wide_factor(const TileCx *cx, const Tile *t)
{
	const Kernel *k = cx->k;
	const KExpr *x = &k->expr[k->stage[cx->stage].value];
	const KExpr *f[2] = {&k->expr[x->arg[0]], &k->expr[x->arg[1]]};
	bool first = f[0]->axes >> t->vector & 1, second = f[1]->axes >> t->vector & 1;
	return first != second && f[0]->op == K_LOAD && f[1]->op == K_LOAD ? f[second] : NULL;
}

/* Short sums with many results wait for memory to write to: the tile's own results are asked for one tile before, along the
 * innermost loop over results. */
static void results_early(const TileCx *cx, const Tile *t, KSet wide, TileBlock *b)
{
	const Kernel *k = cx->k;
	const KStage *s = &k->stage[cx->stage];
	double bytes = 0;
	for (int i = 0; i < k->nstages; i++) {
		if (k->stage[i].kind == S_STORE)
			bytes += footprint(cx, &k->opnd[k->stage[i].operand], k->stage[i].at);
		else if (k->stage[i].kind != S_REDUCE)
			return;
	}
	if (trips(cx, t, s->away) > SHORT_SUM || bytes < (double)cx->target->l2_bytes / 8)
		return;
	for (int a = 0; a < k->naxes; a++) {
		if ((s->over >> a & 1) && !(wide >> a & 1) && tile_step(t, a) < cx->extent[a])
			b->early = a;
	}
	if (b->early >= 0)
		b->early_points = tile_step(t, b->early);
}

/* The factor that is streamed; NULL: there is none. */
static const KExpr *streamed(const TileCx *cx, const Tile *t)
{
	const Kernel *k = cx->k;
	const KStage *s = cx->stage < 0 ? NULL : &k->stage[cx->stage];
	const int axis = !s || t->vector < 0 || cx->pair.axis >= 0 ? -1 : summed_axis(k, s);
	const KExpr *wide = axis < 0 || axis == t->vector ? NULL : wide_factor(cx, t);
	double uses = 1;
	for (int a = 0; wide && a < k->naxes; a++)
		uses *= (s->over & ~wide->axes) >> a & 1 ? cx->extent[a] : 1;
	if (!wide || uses > USED_OFTEN || stride(&k->opnd[wide->operand], wide->at, t->vector) != 1)
		return NULL;
	const IrType *type = &k->opnd[wide->operand].type;
	return (double)ir_elems(type, 1) * dtype_size(type->dtype) > (double)cx->target->l2_bytes ? wide : NULL;
}

bool tile_streams(const TileCx *cx, const Tile *t)
{
	return streamed(cx, t) != NULL;
}

double tile_pieces_cost(const TileCx *cx, const Tile *t)
{
	const KExpr *wide = streamed(cx, t);
	if (!wide)
		return 0;
	const double piece = tile_step(t, t->vector) * (double)dtype_size(wide->type);
	return footprint(cx, &cx->k->opnd[wide->operand], wide->at) / LINE * (PIECE_BYTES / piece);
}

TileBlock tile_block(const TileCx *cx, const Tile *t)
{
	const Kernel *k = cx->k;
	const KStage *s = cx->stage < 0 ? NULL : &k->stage[cx->stage];
	TileBlock b = {.axis = -1, .early = -1};
	int axis = !s || t->vector < 0 ? -1 : summed_axis(k, s), reduce, store;
	const KExpr *wide = axis < 0 || axis == t->vector ? NULL : wide_factor(cx, t);
	if (!wide)
		return b;
	double bytes = footprint(cx, &k->opnd[wide->operand], wide->at);
	int64_t apart = stride(&k->opnd[wide->operand], wide->at, axis) * dtype_size(wide->type);
	bool far = apart >= FAR_APART && bytes > (double)cx->target->l2_bytes / 2;
	if (far && trips(cx, t, s->over & ~wide->axes) > 1 && cx->extent[axis] >= 2 * BLOCK && BLOCK % t->copies[axis] == 0 &&
	    k_waits(k, axis, &reduce, &store)) {
		b.axis = axis;
		b.points = BLOCK;
	}
	results_early(cx, t, wide->axes, &b);
	return b;
}

/* tile_search.h -- the search for a schedule, shared by tile.c and tile_order.c
 *
 * A contraction's tiles come first, priced without caches; the cheapest few are then priced in each order of their loops.
 */
#ifndef CNNC_PASSES_TILE_SEARCH_H
#define CNNC_PASSES_TILE_SEARCH_H

#include "passes/tile_block.h"

enum { TOP = 8 };

typedef struct Others Others;

typedef struct Search {
	TileCx cx;
	const Tile *sums; /* keep its vector axis and its copies of removed axes */
	Tile best;
	double cost;
	TileBlock block;
	Tile top[TOP];       /* of a contraction: the cheapest without caches, cheapest first */
	double top_cost[TOP];
	int ntop;
	int part_axis, part_size;
	Others *others;    /* list what else is possible, instead of looking for the best */
} Search;

/* What else is possible: schedules that add in the order of list[0], by cost from list[1] on. */
struct Others {
	KSchedule *list;
	int n, room;
	const KSchedule *wanted; /* is it among all of them? */
	bool found;
};

static inline bool in(KSet s, int axis)
{
	return s >> axis & 1;
}

bool tile_summed(const Kernel *k, int axis);                 /* is it removed by any stage? */
void tile_list_other(const Search *s, const Tile *t, double cost);

/* tile_order.c */
/* The outermost removed axis, where its sum is only added to memory and a slice of it can be added by itself; -1: none. */
int tile_sliced_axis(const Search *s, const Tile *t);
/* The loops of t, the sliced axis (or -1) before the results: the start of all orders. The loops from *from on, *count of them,
 * may stand in any order. */
void tile_first_order(const Search *s, Tile *t, int slice_axis, int *from, int *count);
/* Each of the top tiles with each order, and with slices of a few sizes where the sum is added to memory: the best one. */
void tile_arrange(Search *s);

#endif

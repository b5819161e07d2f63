/* tile_search.h -- the search for a schedule: what the files of pass tile share
 *
 * tile.c says what is searched for. A contraction's tiles come from tile_contraction.c, priced without caches (tile_cost.c); the
 * cheapest few are then priced in each order of their loops (tile_order.c) with what they miss in the caches (tile_memory.c,
 * tile_block.c). Tiles of other nests come from tile_nest.c. tile_others.c lists what else is possible, and tile_write.c turns a
 * tile into a schedule. A file calls only what stands further on in this sequence. Several threads search, each for another
 * kernel: beside its Search and that kernel's schedule a search changes nothing, and it has no arena.
 */
#ifndef CNNC_PASSES_TILE_SEARCH_H
#define CNNC_PASSES_TILE_SEARCH_H

#include "passes/tile_block.h"

enum { TOP = 8 };

/* What else is possible: schedules that add in the order of list[0], by cost from list[1] on. */
typedef struct Others {
	KSchedule *list;
	int n, room;
	const KSchedule *wanted; /* is it among all of them? */
	bool found;
} Others;

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

static inline bool in(KSet s, int axis)
{
	return s >> axis & 1;
}

/* tile_contraction.c */
void tile_search_contraction(Search *s);

/* tile_order.c */
/* Each of the top tiles with each order, and with slices of a few sizes where the sum is added to memory: the best one. */
void tile_arrange(Search *s);
/* Gives t its loops in the first order of all, and slices as the schedule has them. */
void tile_order_like(const Search *s, Tile *t, const KSchedule *like);

/* tile_nest.c */
void tile_search_nest(Search *s);
void tile_order_nest(const Search *s, Tile *t); /* gives t its loops */

/* tile_others.c */
void tile_list_other(const Search *s, const Tile *t, double cost);

/* tile_write.c */
void tile_write(const Search *s, KSchedule *out); /* the best tile */
void tile_take_pair(Search *s);                   /* both points of a pair were one while tiles were looked for */
Tile tile_of(const Kernel *k);                    /* the tile that its schedule was made of, without loops */

#endif

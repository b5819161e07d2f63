/* tile_block.h -- a tile's way through the caches: blocks of the sum, results asked for early
 *
 * None of it changes the order in which a sum adds, so it may differ between targets.
 */
#ifndef CNNC_PASSES_TILE_BLOCK_H
#define CNNC_PASSES_TILE_BLOCK_H

#include "passes/tile_cost.h"

typedef struct TileBlock {
	int axis, points;        /* summed axis to cut into blocks, points of a block; axis -1: none */
	int early, early_points; /* result axis along which memory is asked for early, -1: none */
} TileBlock;

TileBlock tile_block(const TileCx *cx, const Tile *t);

/* Does the product, with vectors along t->vector, read each element of a factor that is larger than the second-level cache
 * about once? Then memory sets its pace. */
bool tile_streams(const TileCx *cx, const Tile *t);
/* Cycles that memory loses where such a factor is read in pieces of rows: the shorter they are, the more. */
double tile_pieces_cost(const TileCx *cx, const Tile *t);

#endif

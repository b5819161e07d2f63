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

#endif

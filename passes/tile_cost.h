/* tile_cost.h -- what a tile costs: the static model behind pass tile
 *
 * A Tile says how many copies of each axis are unrolled and which axis runs along vector lanes. The cost counts what
 * the emitter will make of it: accumulators, multiply-adds, loads and splats with distinct addresses, loop trips and tails.
 * Cycles of one core, all samples of the planned maximum (or of the part, for a kernel that is cut).
 */
#ifndef CNNC_PASSES_TILE_COST_H
#define CNNC_PASSES_TILE_COST_H

#include "ir/kernel.h"

typedef struct Tile {
	int copies[K_MAX_AXES]; /* >= 1; a copy is one point, or K_LANES of the vector axis */
	int vector;             /* -1: none */
	int8_t loop[2 * K_MAX_AXES]; /* of a contraction, outermost first; an axis that stands twice is sliced */
	int nloops;
	int slice[K_MAX_AXES];  /* of a sliced axis: points that the inner loop runs over; 0: not sliced */
} Tile;

typedef struct TileCx {
	const Kernel *k;
	const Target *target;
	int32_t extent[K_MAX_AXES]; /* trips of each axis where this runs: planned samples, a part's range */
	int stage;                  /* the REDUCE stage to tile, -1: a plain nest */
	KPair pair;                 /* its products are taken by pairs: both points of that axis are one; axis -1: no */
} TileCx;

/* RIM: trips that the emitter peels off a loop of step 1 */
enum { TILE_MAX_FMA = 100, TILE_MAX_CARRIED = 64, TILE_MAX_RIM = 6 };

/* How the lanes of `axis` meet a load or store: not at all, by ones, or scattered. */
typedef enum Lanes { LANES_NONE, LANES_UNIT, LANES_SCATTERED } Lanes;
Lanes lanes_of(const Kernel *k, const KOperand *o, const KIndex *at, int axis);

bool tile_summed(const Kernel *k, int axis);                 /* is it removed by any stage? */
bool tile_reduces(const Kernel *k);                          /* has it a REDUCE stage? */
/* May the axis run along lanes? argmax keeps positions, not lanes; an added-to element may not be met by two lanes. */
bool tile_may_be_vector(const TileCx *cx, int axis);
int tile_lanes(const Kernel *k, int axis);                   /* of a vector along the axis: no more than it can fill */
/* Lanes go from row to row of a load, and K_LANES copies of another axis along its rows: vectors and shuffles instead of
 * gathers. */
bool tile_turns(const Kernel *k, const KExpr *x, const Tile *t);
int tile_step(const Tile *t, int axis);                      /* points of a tile along the axis */
bool tile_fits(const TileCx *cx, const Tile *t);             /* registers, body size */
double tile_cost(const TileCx *cx, const Tile *t);           /* of a REDUCE stage's contraction */
KSet tile_gathering(const Kernel *k);                        /* axes that gathered indices hang on */
double memory_cost(const TileCx *cx, const Tile *t);         /* of its loop order: tile_memory.c */
double nest_cost(const TileCx *cx, const Tile *t);           /* of all stages, loosely */

#endif

/* tile.h -- pass tile seen from outside: the schedules that it could give, and taking one of them
 *
 * A tuner asks for a TileLog, makes a ScheduleFile of what it wants and runs the passes again with it. A schedule from a file
 * is taken only if the pass itself could have chosen it for this kernel, target and place in the tree, and if it adds every
 * sum in the order of the schedule that the cost model chooses: so no file breaks generated code, or changes its results.
 */
#ifndef CNNC_PASSES_TILE_H
#define CNNC_PASSES_TILE_H

#include "passes/schedule.h"

#define TILE_PASS "tile" /* in the lines of schedule files */

typedef struct TileKernel {
	const Kernel *kernel;
	uint64_t hash;          /* of kernels that are equal and run in the same way */
	bool known;             /* took a line of the file */
	const KSchedule *choice; /* the cost model's choice, then others by cost */
	int nchoices;            /* 0: it has no other, or follows another kernel whose sums it repeats */
} TileKernel;

typedef struct TileLog { /* every kernel of every entry, in order */
	Arena *arena;
	int most;               /* schedules to list for a kernel */
	TileKernel *kernel;
	int n, room;
} TileLog;

#endif

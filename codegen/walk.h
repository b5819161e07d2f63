/* walk.h -- inside of the kernel emitter: the state that walk.c, walk_value.c and walk_reduce.c share
 *
 * The schedule binds each axis to a tile: a base (loop variable or constant) and a number of copies, unrolled, each one
 * point or one vector. A value is emitted once for each distinct combination of copies that it depends on, a load once
 * for each distinct address: that numbering alone gives register tiles their accumulators, splats and shared loads.
 */
#ifndef CNNC_CODEGEN_WALK_H
#define CNNC_CODEGEN_WALK_H

#include "codegen/emit.h"

enum { WALK_MAX_COPIES = 64 };

typedef struct WalkAxis {
	bool bound;
	EVal base;        /* i64 */
	int64_t lo, hi;   /* compile-time bounds of base, both included */
	int count;        /* points of the tile; the last vector may be partly active */
	int copies, step; /* copies are `step` points apart: 1, or the lanes of the vector axis */
	EVal from, to;    /* narrowed range of the loop to open (clipping); NULL: the whole extent, block or slice */
	EVal block;       /* first point of the block of the sum that is being written, NULL: no blocks */
	int64_t block_lo, block_hi; /* its compile-time bounds, both included */
	int block_count;  /* points of the block */
	EVal slice_from, slice_to; /* the slice of the sum that is added to memory by itself; NULL: no slices */
	int64_t slice;    /* its points */
	EVal first, own;  /* GPU: this thread's first point, NULL: the axis is not shared out; its block's (grid > 0) */
	EVal thread;      /* its number along the axis */
	int grid, threads, distance; /* points of a block, 0: all; threads along the axis, and how far apart they are */
} WalkAxis;

typedef struct WalkCombo { uint8_t copy[K_MAX_AXES]; } WalkCombo;

typedef struct WalkCell { /* one emitted value */
	int expr, prev;   /* prev: previous cell of the same expression */
	int32_t key[IR_MAX_RANK];
	EVal value, splat;/* splat: the value on all lanes, once somebody wanted it */
	bool zero;        /* known to be zero: outside an EDGE_ZERO operand */
} WalkCell;

typedef struct Walk {
	KEmit *e;
	const KProgram *p;
	const Kernel *k;
	Arena *arena;
	WalkAxis axis[K_MAX_AXES];
	int vector;         /* the vector axis of the schedule, -1: none */
	int lanes;          /* of its vectors */
	int part_axis;
	EVal lo, hi, n, scalars;
	EVal *addr;         /* by load expression: sum of stride * base over the bound axes, in elements */
	uint8_t *proved;    /* by load expression: bit d: dimension d is inside, no check */
	uint8_t *placed;    /* by load expression: bit d: gathered dimension d is in addr, clamped where it had to be */
	int *head;          /* by expression: its newest cell, -1: none */
	WalkCell *cell;
	int ncells, cell_room;
	int *splatted;      /* cells whose splat was made, in order: it belongs to the scope that wanted it */
	int nsplats, splat_room;
	bool *needed;       /* by expression */
	int waiting;        /* REDUCE stage whose sums wait in the result of stage `store` between blocks, -1: none */
	int store;
	bool first;         /* the block that is being written starts the sums */
	KStaged staged;     /* the sum whose factors go through shared memory; its stage is -1: none */
	int placing;        /* the only load whose address moves when an axis is bound, -1: all do */
	EVal shared;        /* where its result is, when that is done */
	KPair pair;         /* of the stage whose products are taken by pairs; axis -1: none */
	int pair_stage;
} Walk;

typedef struct WalkCarry { int n; EVal v[E_MAX_CARRIED]; } WalkCarry;
typedef void WalkBody(Walk *w, WalkCarry *c, void *arg);

/* walk.c */
static inline KSet walk_bit(int axis)
{
	return (KSet)1 << axis;
}
KSet walk_bound(const Walk *w);
/* Opens loops over `axes` in schedule order and runs body inside; carried values go round. Emits tails and rims as copies. */
/* Binds axis a to `count` points from base; addresses of loads move along. Gives the old addresses, for unbind. */
EVal *walk_bind(Walk *w, int a, EVal base, int64_t lo, int64_t hi, int count);
void walk_unbind(Walk *w, int a, EVal *old_addr);
void walk_nest(Walk *w, KSet axes, WalkCarry *c, WalkBody *body, void *arg);
/* Copies of `axes` in schedule order: first combination, then next until false. */
void walk_combo_first(WalkCombo *c);
bool walk_combo_next(const Walk *w, KSet axes, WalkCombo *c);
int walk_combos(const Walk *w, KSet axes);

/* walk_value.c */
WalkCell *walk_cell(Walk *w, int x, const WalkCombo *c);    /* emitted or found; valid until the next emission */
EVal walk_value(Walk *w, int x, const WalkCombo *c);        /* natural width */
EVal walk_vector(Walk *w, int x, const WalkCombo *c);       /* on all lanes */
WalkCell *walk_find(Walk *w, int x, const WalkCombo *c);    /* NULL: not emitted in this scope */
void walk_record(Walk *w, int x, const WalkCombo *c, EVal v);
bool walk_is_vector(const Walk *w, int x);
void walk_store(Walk *w, const KStage *s, const WalkCombo *c, EVal value);
void walk_store_pairs(Walk *w, const KStage *s, const WalkCombo *c, EVal words);
void walk_fetch_store(Walk *w, const KStage *s, const WalkCombo *c, int64_t ahead); /* `ahead` elements behind the place */
void walk_prefetch(Walk *w, int x, int64_t ahead);          /* the lines of load x in this tile, `ahead` elements further on */
EVal walk_load_for_add(Walk *w, const KStage *s, const WalkCombo *c);
int64_t walk_stride(const KOperand *o, int dim);            /* elements */
int64_t walk_elems(const Walk *w, int x, int64_t elems);    /* in units of what load x counts: elements, or pairs of a vector of them */
int walk_active(const Walk *w, const WalkCombo *c);         /* lanes of the vector axis that exist at c */
/* n elements of load x, from the bound point on, to shared memory: zeros where `inside` does not hold (NULL: it does) or that lies
 * over an edge. */
void walk_copy(Walk *w, int x, int n, EVal to, EVal to_at, EVal inside);
void walk_place(Walk *w, int x);                            /* gathered dimensions of load x that no loop to come moves */
bool walk_inside(const Walk *w, const KIndex *at, int extent); /* proved in range for every point of the tile */
EVal walk_axis_point(Walk *w, int axis, const WalkCombo *c); /* i64 */
EVal walk_index(Walk *w, const KIndex *at, const WalkCombo *c); /* i64: everything but the lanes */

/* walk_push.c */
void walk_push(Walk *w, const KStage *s); /* fills the list that belongs to the bound axes */

/* walk_threads.c */
void walk_threads(Walk *w);                  /* what this thread has of each axis */
bool walk_guard(Walk *w, KSet over);         /* opens an if for stores under `over` that one thread of several makes; false: all do */
EVal walk_fold(Walk *w, int stage, EVal v);  /* each thread's own sum to that of the block */

/* walk_stage.c */
void walk_staged(Walk *w);                              /* the product that goes through shared memory, if there is one */
EVal walk_staged_value(Walk *w, const WalkCombo *c);    /* a point of its result */

/* walk_block.c */
/* Loops over `axes` with body inside, once for each block of the sum where the schedule cuts it into blocks. */
void walk_blocks(Walk *w, KSet axes, WalkBody *body, void *arg);
/* Asks for the lines that stages over `over` will write later, as the schedule's AHEAD entries say. */
void walk_fetch_results(Walk *w, KSet over);

/* walk_reduce.c */
int walk_local(const Walk *w, int stage); /* its K_LOCAL expression, -1: nobody reads it */
void walk_reduce(Walk *w, int stage); /* emits the stage (and those that share its loops) at the current place */
void walk_ready(Walk *w, int x);      /* emits the reductions that x needs and whose axes are bound */

#endif

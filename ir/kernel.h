/* kernel.h -- level 2 of the IR: kernels, and the tree that runs them
 *
 * A kernel is named axes and an ordered list of stages. A stage runs for every point of the axes that it mentions; a
 * REDUCE stage removes some of them and defines a local that later stages read. There is no other construct: prologue,
 * contraction, epilogue, pooling and softmax are stages.
 *
 * A list is the one extent that data decide: a PUSH stage appends to it the points at which a condition holds, and counts
 * them; an axis over it runs as many trips. What is mostly zero (the gradient behind a max-pool) is worked through as lists.
 *
 *   kernel conv2d_1 { axes n:N ph:14 pw:14 k:64 dy:2 dx:2 r:3 s:3 c:32
 *     in x f32[N,31,31,32]   in w f32[3,3,32,64]   in b f32[64]   out p f32[N,14,14,64]   out m u8[N,14,14,64]
 *     acc = sum(r s c) x[n, 2ph+dy+r, 2pw+dx+s, c] * w[r,s,c,k]
 *     t   = max(dy dx) acc + b[k]        q = argmax(dy dx) acc + b[k]
 *     p[n,ph,pw,k] = relu(t)             m[n,ph,pw,k] = cast(q) }
 *
 * Meaning (kernel_eval.c is the definition): stages in order, each for every point of `over` in lexicographic order.
 * Loads see memory as it was before the kernel. A buffer that is both read and stored is one M_INOUT operand, read only
 * at the index at which it is stored, so a nest that loads a point's values before it stores any does the same.
 * The schedule says in which order and tiles the points are visited; it never changes what is computed beyond
 * the order of a sum, and never adds a buffer. Built by passes/fuse.c, scheduled by passes/tile.c, emitted by codegen/.
 */
#ifndef CNNC_IR_KERNEL_H
#define CNNC_IR_KERNEL_H

#include "ir/ir.h"

enum {
	K_MAX_AXES = 16,
	K_MAX_THREADS = 1024, /* of a block */
	K_LANES = 16 /* most lanes of a vector axis, the same on every target, so that reductions give the same bits */
};

typedef uint32_t KSet; /* bit i = axis i */

typedef struct KIndex { /* c0 + sum of coef[i] * axis i (+ the i32 expression `expr`, a gather; -1: none) */
	int32_t c0, coef[K_MAX_AXES];
	int16_t expr;
} KIndex;

typedef enum KExtent {
	EXT_CONST, /* extent trips */
	EXT_N,     /* the samples of the call, or of the part that runs */
	EXT_PARTS, /* parts that the entry's n is split into: ceil(N / rows); reads a B_PARTIAL buffer */
	EXT_LIST   /* entries of a list: expression `count` at the point of the other axes */
} KExtent;

typedef struct KAxis {
	const char *name;
	KExtent ext;
	int32_t extent; /* EXT_CONST: trips; else the planned maximum */
	int32_t rows;   /* EXT_PARTS: samples a part */
	int16_t count;  /* EXT_LIST: an i32 load by affine indices, what a PUSH stage counted; else -1 */
} KAxis;

/* ---- buffers ---- */
typedef enum KClass {
	B_IN,      /* a port of the entry */
	B_OUT,     /* a result of the entry */
	B_STATE,   /* parameters, moments, statistics: in the parameter slab, in the Keras layout */
	B_SLAB,    /* lives within one call; plan gives the offset */
	B_PARTIAL, /* B_SLAB with one copy a part: dim[0] is the part */
	B_SCRATCH, /* lives within one step of a part: one step's samples, a copy for each worker; plan makes them of B_SLAB */
	B_VIEW,   /* made of states alone, kept between calls (pass prepare): behind the states in the parameter slab */
	B_METRIC   /* f64 sums of this call, at `offset` doubles in the metric array */
} KClass;

typedef struct KBuffer {
	const char *name;
	KClass cls;
	IrType type;       /* logical type; storage is dense and row-major in it */
	IrState *state;    /* B_STATE, and views of a state (see pass layout) */
	int32_t index;     /* B_IN, B_OUT: port or output number */
	bool keep_f32;     /* rounding errors of its elements grow on their way to a result: no bf16 form of it */
	int32_t part_rows; /* B_PARTIAL: samples a part, set by order */
	int64_t offset;    /* bytes in slab or parameter slab; B_METRIC: doubles */
	int64_t bytes;     /* at max_n (SCRATCH: a step), 64-byte rounded; set by plan */
	Loc loc;
} KBuffer;

typedef enum KMode { M_IN, M_OUT, M_INOUT, M_ADD } KMode;

typedef struct KOperand { /* a buffer seen as `type`: same elements, row-major (reshape is another operand type) */
	const char *name;
	int32_t buf; /* into program->buffer */
	IrType type;
	KMode mode;
} KOperand;

/* ---- expressions: a DAG, arguments before users ---- */
typedef enum KOp {
	K_KONST,   /* imm, in double: whoever emits it rounds it to the dtype */
	K_LOAD,    /* operand[at]; outside the operand's type as `edge` says. i32: 0 <= value < imm where imm > 0 (list fields) */
	K_AXIS,    /* i32 value of the index at[0] */
	K_SCALAR,  /* per-step number `scalar`; of SC_POWER and on: base in imm, every */
	K_LOCAL,   /* value of the REDUCE stage `stage` */
	K_RANDOM,  /* u32 philox(seed, arg0, arg1, arg2, stream imm), word 0 */
	K_EWISE    /* row `row` of ewise.def on arg[] */
} KOp;

typedef enum KRow {
#define EW(name, arity, expr) EW_##name,
#include "ir/ewise.def"
	EW_COUNT
} KRow;

typedef enum KRed {
#define RED(name, start, combine) RED_##name,
#include "ir/reduce.def"
	RED_COUNT
} KRed;

/* Value of a load outside the operand: never there; 0; -inf; the nearest element. */
typedef enum KEdge { EDGE_NEVER, EDGE_ZERO, EDGE_LOWEST, EDGE_CLAMP } KEdge;

typedef struct KExpr {
	KOp op;
	DType type;
	KRow row;         /* K_EWISE */
	int16_t arg[3];   /* expressions; -1: none */
	int16_t operand, stage;
	IrScalar scalar;
	int32_t every;    /* K_SCALAR */
	KEdge edge;       /* K_LOAD */
	double imm;
	KIndex *at;       /* K_LOAD: one a dimension of the operand's type; K_AXIS: one */
	KSet axes;        /* every axis it depends on, through arguments and locals too */
} KExpr;

/* PUSH: operand[at] is the length of a list that starts empty. Each point of `away` at which `value` is not 0 (i32, 0 or 1)
 * appends an entry: field f is stored at field operand[at, length]. Fields have one dimension more, the list's room. */
typedef enum KStageKind { S_REDUCE, S_STORE, S_ADD, S_PUSH } KStageKind;

enum { K_MAX_FIELDS = 2 };

typedef struct KStage {
	KStageKind kind;
	KSet over;        /* axes that it runs under; REDUCE, PUSH: what is left after `away` */
	KSet away;        /* REDUCE: removed axes; PUSH: those that `at` has not, in the order of which entries are appended */
	KRed red;
	int16_t value;    /* expression; STORE, ADD: converted to the operand's dtype by an explicit cast */
	int16_t operand;  /* STORE, ADD, PUSH */
	KIndex *at;       /* STORE, ADD, PUSH: one a dimension */
	int nfields;      /* PUSH */
	int16_t field[K_MAX_FIELDS], field_value[K_MAX_FIELDS]; /* operand; expression */
	DType type;       /* REDUCE: dtype of the local (argmax: i32) and of the accumulation */
	const char *name; /* REDUCE: name of the local */
} KStage;

/* ---- schedule ---- */
typedef enum KLevel {
	L_GRID,   /* GPU: each block of threads takes `step` points of the axis, one behind the other */
	L_BLOCK,  /* GPU: `step` threads of a block go through its points (without GRID: all), thread t takes points t, t + step … */
	L_STAGE,  /* GPU: of a summed axis, `step` points of both factors lie in shared memory at a time (kernel_stage.c) */
	L_WARP,   /* GPU: `step` warps side by side along the side of the tile that the axis belongs to */
	L_MMA,    /* GPU: matrix instructions that add `step` products of a result at once: 8 of tf32, 16 of bf16 */
	L_LOOP,   /* a loop over the axis in steps of `step` */
	L_PEEL,   /* the same in steps of 1, every trip written out: what depends on it is a constant */
	L_UNROLL, /* the points of the innermost step, all at once: registers */
	L_VECTOR, /* `step` lanes of the axis: K_LANES, or a smaller power of two that holds all its points */
	L_AHEAD   /* memory that results will go to is asked for `step` points of the axis early; of a staged axis: `step` stages */
} KLevel;

typedef struct KLoop {
	KLevel level;
	int8_t axis;
	int32_t step; /* LOOP: points an iteration; UNROLL: distance of copies (1, the lanes of the vector axis, the threads of a BLOCK); VECTOR: lanes */
} KLoop;

/* Outermost first. An axis has at most one LOOP or PEEL, then at most one UNROLL, then at most one VECTOR, then at most one AHEAD; an
 * axis without an entry is a loop of step 1 inside all others. A summed axis may have two LOOPs, the first of them outside all
 * other loops: it cuts the sum into blocks, and between blocks the sums wait in the result (k_waits). The order in which a sum
 * adds is the same with and without blocks. Where all stores
 * add the sum to memory (k_adds), the first of two LOOPs stands anywhere among the results': each slice of the sum is added by
 * itself.
 * An axis of a GPU has at most one GRID, then at most one BLOCK, then at most one UNROLL, which takes all that a thread has of a
 * GRID. GRID: only of axes along which parts may run. A sum over a BLOCK axis is folded over the threads by a fixed tree. */
typedef struct KSchedule {
	int nloops;
	KLoop loop[24];
	double cost_ns; /* estimate for one sample, for choosing */
} KSchedule;

typedef struct Kernel {
	const char *name;
	Loc loc;
	int naxes, nopnds, nexprs, nstages;
	KAxis axis[K_MAX_AXES];
	KOperand *opnd;
	KExpr *expr;
	KStage *stage;
	KSet par;           /* axes along which parts may run at the same time: every store is injective in them */
	bool contraction;   /* has a REDUCE sum of a product: scheduled by register tile */
	bool update;        /* writes state: skipped when the loss is not finite */
	bool starts;        /* nothing else adds to what it adds to: its first sample stores, so that nothing has to be cleared */
	bool prepares;      /* writes only views (B_VIEW): skipped where they are as an earlier call made them */
	const struct Kernel *plain;/* the same on factors that are not copied, for calls of a few samples; NULL: there is none */
	bool copies;               /* only makes a copy for one that has a plain form */
	const struct Kernel *like; /* sums in the same order as this one: its schedule is made first; NULL: of its own */
	int64_t flops;      /* a sample */
	KSchedule sched;
} Kernel;

/* ---- the tree that runs an entry ---- */
typedef enum KItemKind {
	I_RUN,  /* one kernel */
	I_PART, /* body once for every `size` trips of `axis` (axis -1: n), in parallel, whoever is free */
	I_STEP, /* inside a part over n: body for `size` samples at a time (depth first) */
	I_JOIN  /* GPU: runs and parts of one run, none of which touches what another writes: one launch does them all */
} KItemKind;

typedef struct KItem {
	KItemKind kind;
	int32_t kernel; /* RUN: into entry->kernel */
	int32_t axis;   /* PART: axis of the one kernel inside, or -1 for samples */
	int32_t size;
	struct KItem *body;
	int nbody;
} KItem;

typedef struct KEntry {
	const char *name;
	IrEntry *graph;
	int32_t few;     /* > 0: a variant of the entry of the same name before it, for calls of at most so many samples */
	Kernel **kernel; /* in an order that respects every dependence */
	int nkernels;
	KItem *item;     /* top level: phases, with a barrier after each */
	int nitems;
	int64_t slab_bytes;    /* at max_n; enough for variants, too */
	int64_t scratch_bytes; /* for each worker */
} KEntry;

/* A per-step number that the runtime keeps a slot for (ir_counted). */
typedef struct KCounted { IrScalar which; double base; int32_t every; } KCounted;

typedef struct KProgram {
	KBuffer *buffer;
	int nbuffers;
	KEntry *entry;
	int nentries;
	int64_t param_bytes;    /* the parameter slab: all B_STATE buffers */
	int64_t view_bytes;     /* behind them: all B_VIEW buffers */
	int metric_doubles;
	KCounted *counted;      /* distinct ones: slot i of RtScalars.counted is ir_counted of counted[i] */
	int ncounted;
} KProgram;

typedef enum TargetKind { TARGET_CPU, TARGET_CUDA } TargetKind;

/* What the machine that will run the code can do. */
typedef struct Target {
	TargetKind kind;
	const char *name;      /* "x86-64-v4": part of schedule keys */
	int vec_bytes;         /* width of a vector register: 16, 32, 64 */
	int vec_regs;          /* that sums and vectors may take: 16, 26 or 32 */
	bool fma;
	bool bf16;             /* multiplies pairs of bf16 */
	int64_t l1_bytes, l2_bytes;
} Target;

/* ---- kernel.c: building ---- */
Kernel *k_new(Arena *a, const char *name, Loc loc);
int k_axis(Arena *a, Kernel *k, const char *name, KExtent ext, int32_t extent); /* unique name made from `name` */
int k_operand(Arena *a, Kernel *k, const char *name, int32_t buf, IrType type, KMode mode); /* reuses an equal one */
KIndex k_index(int32_t c0);               /* constant */
KIndex k_index_axis(int axis);            /* 1 * axis */
KIndex k_index_affine(KIndex i, int32_t mul, int32_t add);
KIndex k_index_plus(KIndex a, KIndex b);  /* sum of both; at most one may have an expr */
/* Expressions are hash-consed: equal ones give the same number. All compute `axes`. */
int k_konst(Arena *a, Kernel *k, DType t, double v);
int k_load(Arena *a, Kernel *k, int operand, const KIndex *at, KEdge edge);
int k_load_below(Arena *a, Kernel *k, int operand, const KIndex *at, int32_t top); /* i32 that is known to be 0 … top-1 */
int k_axis_value(Arena *a, Kernel *k, KIndex at);
int k_scalar(Arena *a, Kernel *k, IrScalar which, double base, int32_t every); /* base, every: SC_POWER and on */
int k_random(Arena *a, Kernel *k, int element, int row, int step, uint32_t stream);
int k_ewise(Arena *a, Kernel *k, KRow row, DType t, int x, int y, int z); /* -1: no argument; folds constants */
int k_cast(Arena *a, Kernel *k, int x, DType to);
int k_reduce(Arena *a, Kernel *k, const char *name, KRed red, KSet away, int value, DType t); /* -> K_LOCAL expression */
void k_store(Arena *a, Kernel *k, int operand, const KIndex *at, int value);
void k_add(Arena *a, Kernel *k, int operand, const KIndex *at, int value);
/* Appends where `when` (bool) holds. Fields: operands of mode M_OUT, as the count is. */
void k_push(Arena *a, Kernel *k, int count, const KIndex *at, int when, int nfields, const int *field, const int *value);
int k_list_axis(Arena *a, Kernel *k, const char *name, int32_t room, int count); /* EXT_LIST */
KSet k_index_axes(const Kernel *k, const KIndex *i);
bool k_index_eq(const KIndex *a, const KIndex *b);
bool k_counted_eq(const KCounted *a, const KCounted *b);
/* Least and greatest value (N at its planned maximum); false if there is an expr besides of which no range is known. */
bool k_index_range(const Kernel *k, const KIndex *i, int64_t *lo, int64_t *hi);
const char *k_row_name(KRow row);
int k_row_arity(KRow row);
bool k_row_find(const char *name, KRow *row);
bool k_is_contraction(const Kernel *k, const KStage *s);
void k_finish(Kernel *k); /* computes over, par, contraction, flops; drops unused axes */
int k_readers(const Kernel *k, int x); /* arguments and stage values that are expression x */
int k_sample_axis(const Kernel *k);    /* its EXT_N axis, -1: none */
/* May the sum over `axis` be cut into blocks? Then *reduce is the stage that sums and *store the one where its sums can wait:
 * one float for each sum, which nothing reads. */
bool k_waits(const Kernel *k, int axis, int *reduce, int *store);
int k_block_axis(const Kernel *k); /* the axis with two LOOPs in the schedule between which sums wait, -1: none */
bool k_adds(const Kernel *k, int axis); /* is all that k does to add its one sum, over `axis` too, to memory? */
bool k_runs_by_sample(const Kernel *k); /* every store runs under that axis: k can be called for a range of samples */

/* ---- kernel_threads.c: schedules of a GPU ---- */
int k_grid(const Kernel *k, int axis);    /* points of the axis that a block takes; 0: blocks do not share it out */
int k_block(const Kernel *k, int axis);   /* threads along the axis, 1: it has no BLOCK entry */
bool k_threaded(const Kernel *k);         /* has it such an entry at all? */
int64_t k_blocks(const Kernel *k);        /* of the planned maximum */
int64_t k_block_threads(const Kernel *k);
KSet k_folded(const Kernel *k, int stage);/* axes of the sum that are folded over threads */
const char *k_thread_fault(const Kernel *k); /* what is wrong with its schedule, NULL: nothing */

/* ---- kernel_stage.c: products whose factors go through the shared memory of a block ----
 * The block's tile of the result is a matrix. Rows are the points of the axes that only one factor has, columns those of the
 * axes that only the other one has; a stage of the sum is its depth. */
enum { K_SHARED_BYTES = 48 << 10, K_WARP = 32 }; /* what every GPU gives a block; threads of a warp */

typedef struct KSide { /* of the matrix: rows or columns, and the factor that has them */
	int load;          /* the factor: a load, below the cast that widens it */
	KSet axes;
	int fast;          /* axis that moves the load by one element, -1: none */
	int points, padded;/* of the tile; to whole tiles of the warps */
	int warps;
	int group;         /* elements that are copied at a time */
	bool deep;         /* in shared memory, elements of one row (column) lie side by side; else those of one point of the sum */
	int lead;          /* elements from one row of that to the next */
} KSide;

typedef struct KStaged {
	int stage;         /* the sum; -1: nothing goes through shared memory */
	KSide side[2];     /* rows, columns */
	KSet sum;
	int fast;          /* of the sum */
	int added;         /* an axis whose points are added to memory one by one: part of the sum here; -1: none */
	int depth, padded; /* of a stage, in whole steps of the instruction */
	int mma, ahead;
	DType type;        /* of the factors in shared memory */
	int result_lead;   /* of the result, which takes the factors' place */
} KStaged;

KStaged k_staged(const Kernel *k);
int k_stage_points(const Kernel *k, int axis);          /* points of the axis in a tile */
int k_stage_order(KSet axes, int fast, int out[K_MAX_AXES]); /* the fastest last */
int64_t k_stage_bytes(const KStaged *t, int side);      /* of one factor's stage, in whole 16 bytes */
int64_t k_shared_bytes(const KStaged *t);               /* of a block */
const char *k_stage_fault(const Kernel *k);

/* ---- kernel_pair.c: pairs of bf16 that lie side by side in memory ---- */
typedef struct KPair {
	int axis;          /* of extent 2: moves memory by one */
	int lanes;         /* moves by two: may be the vector axis */
	int vector, splat; /* loads of a product: the one that the lanes move, and the one that they share */
} KPair;
/* Is the stage a sum of products of such pairs? Does it store pairs? */
bool k_pair(const Kernel *k, int stage, KPair *out);
bool k_pair_store(const Kernel *k, int stage, KPair *out);
int k_widened(const Kernel *k, int x); /* the bf16 load that x is the f32 of; else x */

/* ---- kernel_verify.c ---- */
/* Locals only where their axes are bound; every index inside the operand's type unless `edge` says what lies outside
 * (interval arithmetic); `par` axes injective in all stores and in no reduction; no unused axis. */
bool k_verify(const KProgram *p, Diag *d);

/* ---- kernel_print.c, kernel_parse.c: inverse of each other ---- */
void k_print(const KProgram *p, const Kernel *k, FILE *f);
void k_print_program(const KProgram *p, FILE *f); /* buffers, kernels with schedules, trees */
void k_print_schedule(const KSchedule *s, FILE *f); /* with axes a0, a1 …, as k_key has them; one line without its end */
const char *k_level_name(int level);                /* NULL: there is none of that number */
/* A program from the text that k_print_program writes, in arena a; buffers of states have no IrState, nothing has a place.
 * NULL: reported. What it gives has passed k_verify, whatever the text holds. */
KProgram *k_parse(const char *file, const char *text, size_t len, Arena *a, Diag *d);
/* The text without names and places: equal keys mean equal code. */
char *k_key(const KProgram *p, const Kernel *k, Arena *a);

/* ---- kernel_eval.c: the definition ---- */
typedef struct KMemory { /* one array of doubles a program buffer, row-major at n samples; parts: [parts, …] */
	double **buffer;
	int64_t n;
	const IrScalars *scalars;
} KMemory;
void k_eval(const KProgram *p, const Kernel *k, const KMemory *mem);
/* Runs an entry's tree (or, before pass order, its kernels in turn), with float rounding of every stored value if asked. */
void k_eval_entry(const KProgram *p, const KEntry *e, const KMemory *mem, bool round_f32);

#endif

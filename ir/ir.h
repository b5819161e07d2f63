/* ir.h -- level 1 of the IR: the graph
 *
 * A module holds state (parameters, optimizer moments, running statistics) and entry points. An entry is a list of
 * nodes in topological order, each one SSA value of static shape and dtype; only the outermost dimension may be IR_N, the
 * number of samples of the call (1 … module->max_n). What an entry produces are its roots: outputs, metric sums and
 * state updates. Updates take effect together at the end: every node reads the state as it was before the call.
 *
 * Everything lives in module->arena and is freed with it. Nothing here is thread-safe; nothing prints.
 */
#ifndef CNNC_IR_IR_H
#define CNNC_IR_IR_H

#include <stdbool.h>
#include <stdint.h>
#include "ir/arena.h"
#include "ir/diag.h"

enum { IR_AUC_BINS = 199, IR_MAX_RANK = 6, IR_N = -1, IR_SPACE = 3, IR_MAX_PAD = 1 << 20 };

/* DT_BF16: the upper half of an f32; kernels store it and widen what they load, graphs do without it. */
typedef enum DType { DT_F32, DT_F64, DT_I32, DT_U32, DT_U8, DT_BOOL, DT_BF16, DT_COUNT } DType;

typedef struct IrType {
	DType dtype;
	int rank;
	int32_t dim[IR_MAX_RANK]; /* outermost first; dim[0] may be IR_N */
} IrType;

typedef enum OpCode {
#define OP(name, ...) OP_##name,
#include "ir/ops.def"
	OP_COUNT
} OpCode;

typedef enum IrTrait {
	SOURCE = 1 << 0,         /* no operands, not computed */
	PURE = 1 << 1,           /* same operands and attributes, same value: may be shared, moved, dropped */
	EWISE = 1 << 2,          /* out[i] = f(in0[i], …) under broadcasting */
	COMMUTES = 1 << 3,       /* operands may be swapped */
	MONOTONE = 1 << 4,       /* a <= b implies f(a) <= f(b): commutes with max */
	CHEAP = 1 << 5,          /* recomputing costs less than storing: always fused into readers */
	VIEW = 1 << 6,           /* same elements in the same order: no code, shares the buffer */
	REDUCES = 1 << 7,        /* folds axes away */
	CONTRACTS = 1 << 8,      /* a sum of products: goes to the register-tiled emitter */
	WINDOW = 1 << 9,         /* folds small windows */
	ONE_PER_WINDOW = 1 << 10,/* at most one non-zero a window */
	ROWWISE = 1 << 11,       /* mixes elements of the last axis only */
	SLIDES = 1 << 12,        /* windows over operand 0, a picture NHWC: result (i, j) needs the window at (i, j) only */
	UNSLIDES = 1 << 13,      /* the adjoint: result (i, j), a picture, gathers from the windows that saw it */
	CONVOLVES = 1 << 14,     /* CONTRACTS with a window and channels: attributes in `conv` */
	STRETCHES = 1 << 15,     /* elements of the operand are repeated */
	PERMUTES = 1 << 16,      /* the same elements in other places */
	CROPS = 1 << 17,         /* some elements of the operand, shifted */
	PADS = 1 << 18,          /* the operand with zeros around */
	JOINS = 1 << 19,         /* operands side by side */
	RANDOM = 1 << 20,         /* random numbers; the operand is a key */
	RESAMPLES = 1 << 21      /* operand 1 says, once a sample, where operand 0 is read */
} IrTrait;

typedef enum IrFill { FILL_NEAREST, FILL_CONSTANT, FILL_REFLECT, FILL_WRAP } IrFill; /* as scipy.ndimage, Keras fill_mode */

/* Per-step numbers, filled by the runtime (RtScalars). */
typedef enum IrScalar {
	SC_LR,      /* learning rate of this step */
	SC_INV_N,   /* 1 / samples of this call */
	SC_STEP,    /* u32 in kernels: step number, counting from 1 */
	SC_PASS,    /* u32 in kernels: pass over the data */
	/* of t, the number of the update that this step belongs to, from 1: ceil(step / every); see ir_counted */
	SC_POWER,   /* base^t (bias corrections) */
	SC_UPDATE,  /* t */
	SC_DUE      /* 1 where base divides t, else 0 */
} IrScalar;

typedef struct IrState IrState;

/* Windows over height and width, and depth where the picture (N, depth, height, width, channels) has it: entries 0, 1 and 2 of
 * size, stride, dilation; 2 is 0 where there is no depth. Cells outside the picture are skipped (or zero: conv). */
typedef struct IrWindow {
	int32_t size[IR_SPACE], stride[IR_SPACE], dilation[IR_SPACE];
	int32_t pad[2 * IR_SPACE]; /* top, left, bottom, right, front, back */
	int32_t groups;
} IrWindow;

static inline int ir_window_axes(const IrWindow *w)
{
	return w->size[2] ? 3 : 2;
}

/* The dimension of the picture that axis i of the window slides along; depth is the outermost. */
static inline int ir_window_dim(const IrWindow *w, int i)
{
	return i == 2 ? 1 : w->size[2] ? 2 + i : 1 + i;
}

/* Axes in the order of the picture's dimensions: entry `i` of a walk from the outermost. */
static inline int ir_window_outer(const IrWindow *w, int i)
{
	return w->size[2] ? (i + 2) % 3 : i;
}

static inline int ir_pad_before(int i) { return i == 2 ? 4 : i; }
static inline int ir_pad_after(int i) { return i == 2 ? 5 : 2 + i; }

typedef union IrAttr {
	struct { int32_t port; } input;             /* index into entry->port */
	struct { IrState *of; bool frozen; } state; /* frozen: no gradient is asked for here */
	struct { double value; } konst;
	struct { IrScalar which; double base; int32_t every; } scalar; /* every 0: as 1 */
	struct { int32_t axis; } axis;              /* iota, concat */
	struct { uint32_t stream; bool by_id; } random; /* by_id: keyed by operand 0 (sample ids) and the pass; else by row and step */
	struct { DType to; } cast;
	struct { int32_t perm[IR_MAX_RANK]; } perm; /* out dim i = in dim perm[i] */
	struct { int32_t axis, start, extent; } slice; /* pad: `start` zeros before, output extent `extent` */
	struct { uint32_t axes; bool keep; } reduce;/* bit i = axis i; keep: reduced axes stay with extent 1 */
	struct { bool ta, tb; } matmul;             /* operands are read transposed */
	IrWindow conv, pool;
	struct {                                    /* Keras ImageDataGenerator; fractions of height and width */
		double rotation, width_shift, height_shift, shear, zoom_lo, zoom_hi; /* degrees for rotation and shear */
		double zoom_y_lo, zoom_y_hi; /* of the height; zoom_lo and zoom_hi are of the width */
		bool flip_h, flip_v, one_zoom; /* one_zoom: the width's draw is the height's */
		uint32_t stream;
		int32_t height, width;
	} affine;
	struct { IrFill fill; double cval; uint32_t along; bool nearest; } warp; /* along: axes 1, 2 that the map moves, each by its own terms; 0: both, by all. nearest: pixels are not mixed */
} IrAttr;

typedef struct IrNode {
	OpCode op;
	uint32_t id;        /* unique in the entry; printed where there is no name */
	const char *name;   /* unique in the entry, or NULL */
	IrType type;
	Loc loc;            /* the YAML line that it came from */
	int nin;
	struct IrNode **in;
	IrAttr attr;
	struct IrNode *prev, *next;
	void *mark;         /* scratch of the running pass; NULL between passes */
	uint32_t nuse;      /* readers + roots; valid after ir_count_uses */
} IrNode;

typedef enum IrInit { /* Keras 3 initializers; arg meanings in runtime/init.c */
	INIT_ZEROS, INIT_ONES, INIT_CONSTANT, INIT_UNIFORM, INIT_NORMAL, INIT_TRUNCATED_NORMAL,
	INIT_GLOROT_UNIFORM, INIT_GLOROT_NORMAL, INIT_HE_UNIFORM, INIT_HE_NORMAL, INIT_LECUN_UNIFORM, INIT_LECUN_NORMAL,
	INIT_COUNT
} IrInit;

typedef enum IrStateKind { STATE_PARAM, STATE_MOMENT, STATE_STAT } IrStateKind;

struct IrState {
	const char *name;      /* "conv2d.kernel"; moments: "conv2d.kernel/m" */
	IrType type;           /* never IR_N */
	IrStateKind kind;
	IrInit init;
	double init_arg[2];
	uint32_t init_stream;  /* Philox stream of the initializer */
	bool trainable;
	bool decay;            /* weight decay applies */
	double l1, l2;         /* regularizer */
	Loc loc;
	IrState *next;
};

typedef struct IrPort { const char *name; IrType type; } IrPort;

typedef enum IrRootKind { ROOT_OUTPUT, ROOT_METRIC, ROOT_UPDATE } IrRootKind;

/* What the runtime makes of metric sums; each is `count` doubles, summed over samples and batches. Same order as RtMetricKind. */
typedef enum IrMetricKind {
	METRIC_MEAN,      /* 1: sum of the value; shown as sum / samples */
	METRIC_PRECISION, /* 4*C: tp fp fn tn of each of C classes (C = 1: binary, or all together); mean over classes */
	METRIC_RECALL,    /* the same sums */
	METRIC_F1,        /* the same sums */
	METRIC_AUC,       /* 2*T: positives, then negatives, in each of T score bins of [0,1] (Keras AUC, ROC) */
	METRIC_AUC_EACH,  /* C*2*IR_AUC_BINS: those of each class; mean over classes */
	METRIC_IOU        /* sums as precision; tp / (tp + fp + fn), mean over the classes that occur */
} IrMetricKind;

typedef struct IrRoot {
	IrRootKind kind;
	const char *name;      /* output or metric name; update: the state's name */
	IrNode *value;         /* metric: [N] or [N, count], summed over N */
	IrState *state;        /* update */
	IrMetricKind metric;
} IrRoot;

typedef struct IrModule IrModule;

typedef struct IrEntry {
	const char *name;      /* predict evaluate train_step */
	IrModule *module;
	IrNode *first, *last;
	uint32_t next_id;
	IrNode *cursor;        /* new nodes go before it; NULL: at the end */
	IrPort *port;          /* inputs, in call order */
	int nport;
	IrRoot *root;
	int nroot;
	IrNode *loss;          /* train_step before autodiff: f32[], what is minimised */
	const struct IrOptimizer *optimizer; /* that minimises it; NULL: the module's */
	struct IrEntry *next;
} IrEntry;

typedef enum IrOptimizerKind {
	OPTIM_NONE, OPTIM_SGD, OPTIM_ADAM, OPTIM_ADAMW, OPTIM_RMSPROP, OPTIM_ADAGRAD, OPTIM_ADADELTA, OPTIM_ADAMAX, OPTIM_NADAM,
	OPTIM_LION, OPTIM_LAMB, OPTIM_COUNT
} IrOptimizerKind;

/* How autodiff's update half is built; set by the frontend. Formulas: Keras 3. */
typedef struct IrOptimizer {
	IrOptimizerKind kind;
	double momentum, beta_1, beta_2, rho, epsilon, weight_decay;
	double accumulator;                          /* Adagrad: start of the sums */
	double clipnorm, clipvalue, global_clipnorm; /* 0: none; at most one is set */
	double ema_momentum;
	bool nesterov, amsgrad, centered, ema;
	int32_t accumulate;                          /* steps whose gradients make one update; 0: as 1 */
	int32_t ema_overwrite;                       /* updates between overwriting weights by their averages; 0: never */
} IrOptimizer;

/* One field of the resolved model file, flattened: what the produced programs know of it. */
typedef enum IrFieldType { FIELD_BOOL, FIELD_INT, FIELD_FLOAT, FIELD_STRING, FIELD_ENUM, FIELD_PATH, FIELD_DURATION, FIELD_SIZE } IrFieldType;
typedef struct IrField {
	const char *path;    /* "train.epochs", "train.callbacks.0.EarlyStopping.patience", "data.image_size.0" */
	const char *value;   /* canonical text: 20, 0.001, true, data/train; "" is unset */
	IrFieldType type;
	bool runtime;        /* may be set on the trainer's command line; else it changes code */
	const char *choices; /* ENUM: "skip|stop"; else NULL */
	const char *doc;
} IrField;

typedef enum IrPrecision {
	PRECISION_F32,
	PRECISION_TF32,      /* GPU: factors of products are rounded to tf32, 10 bits of fraction; CPUs compute in f32 */
	PRECISION_MIXED_BF16 /* operands of large contractions are rounded to bf16, sums and everything else are f32 */
} IrPrecision;

struct KProgram; /* ir/kernel.h: the entries as kernels, after `fuse` */

struct IrModule {
	Arena *arena;
	const char *name;
	int32_t max_n;
	IrState *state;        /* list in creation order */
	IrState *state_last;
	IrEntry *entry;
	IrOptimizer optimizer;
	bool fast_math;        /* build.math: results may differ by rounding errors of other algorithms (pass choose) */
	IrPrecision precision;
	uint32_t next_stream;
	IrField *field;        /* the resolved model file, in schema order */
	int nfield;
	const char *const *labels; /* class names known at compile time, or NULL */
	int nlabels;
	struct KProgram *program;
};

typedef struct IrOpInfo {
	const char *text;
	int min_in, max_in;
	unsigned traits;
} IrOpInfo;
extern const IrOpInfo ir_ops[OP_COUNT];

static inline bool ir_has(const IrNode *n, unsigned traits)
{
	return (ir_ops[n->op].traits & traits) == traits;
}

#define IR_EACH(entry, n) for (IrNode *n = (entry)->first; n; n = n->next)
#define IR_EACH_ENTRY(module, e) for (IrEntry *e = (module)->entry; e; e = e->next)
#define IR_EACH_STATE(module, s) for (IrState *s = (module)->state; s; s = s->next)

/* ---- building (graph.c) ---- */
IrModule *ir_module_new(const char *name);
void ir_module_free(IrModule *m); /* frees the arena and so everything of the module */
IrEntry *ir_entry_new(IrModule *m, const char *name);
IrEntry *ir_entry_find(IrModule *m, const char *name); /* NULL if absent */
IrState *ir_state_new(IrModule *m, const char *name, IrType type, IrStateKind kind, Loc loc);
IrState *ir_state_find(IrModule *m, const char *name);
int ir_port_new(IrEntry *e, const char *name, IrType type);
void ir_root_new(IrEntry *e, IrRoot root); /* the only way to lengthen e->root */

/* Makes a node before e->cursor. The shape rule runs: a misfit is reported to d and gives NULL. Where the rule is `given`
 * or needs the result type (bcast, conv_dx, …) it comes in `want`; elsewhere want is NULL. d == NULL: a misfit is an ICE. */
IrNode *ir_node(IrEntry *e, Diag *d, OpCode op, Loc loc, int nin, IrNode *const *in, const IrAttr *attr, const IrType *want);

/* Shorthands for passes and gradient rules; misfits are ICEs. The place is that of the first operand. What would
 * change nothing (cast, reshape, broadcast to the same type; a reduction over no axis) gives the operand itself. */
IrNode *ir_unary(IrEntry *e, OpCode op, IrNode *a);
IrNode *ir_binary(IrEntry *e, OpCode op, IrNode *a, IrNode *b);
IrNode *ir_select(IrEntry *e, IrNode *c, IrNode *a, IrNode *b);
IrNode *ir_konst(IrEntry *e, Loc loc, DType dtype, double value);          /* rank 0 */
IrNode *ir_scalar(IrEntry *e, Loc loc, IrScalar which, double base);       /* f32[] */
IrNode *ir_counted_scalar(IrEntry *e, Loc loc, IrScalar which, double base, int32_t every); /* f32[]; SC_POWER and on */
IrNode *ir_state_read(IrEntry *e, Loc loc, IrState *s);
IrNode *ir_input(IrEntry *e, Loc loc, int port);
IrNode *ir_cast(IrEntry *e, IrNode *a, DType to);
IrNode *ir_reshape(IrEntry *e, IrNode *a, IrType to);
IrNode *ir_broadcast(IrEntry *e, IrNode *a, IrType to);
IrNode *ir_transpose(IrEntry *e, IrNode *a, const int32_t *perm);
IrNode *ir_reduce(IrEntry *e, OpCode op, IrNode *a, uint32_t axes, bool keep);
IrNode *ir_matmul(IrEntry *e, IrNode *a, IrNode *b, bool ta, bool tb);

void ir_replace(IrEntry *e, IrNode *old, IrNode *by); /* in all readers but `by` itself, and roots; old stays, unused */
void ir_remove(IrEntry *e, IrNode *n);                /* n has no readers */
void ir_count_uses(IrEntry *e);
void ir_sort(IrEntry *e); /* operands before readers again, otherwise stable */
IrModule *ir_clone(const IrModule *m); /* graph level only */

/* ---- types (type.c, infer*.c) ---- */
IrType ir_type(DType dtype, int rank, const int32_t *dim);
bool ir_type_eq(const IrType *a, const IrType *b);
bool ir_batched(const IrType *t);                       /* dim[0] == IR_N */
int64_t ir_row_elems(const IrType *t);                  /* elements a sample; all of them if not batched */
int64_t ir_elems(const IrType *t, int64_t n);           /* with n samples */
int dtype_size(DType t);
const char *dtype_name(DType t);                        /* f32 f64 i32 u32 u8 bool bf16 */
const char *ir_type_text(Arena *a, const IrType *t);    /* "f32[N,62,62,32]" */
const char *ir_shape_text(Arena *a, const IrType *t);   /* "(N, 62, 62, 32)", as users read it */
bool ir_infer(IrNode *n, Diag *d, Arena *a);            /* computes n->type from operands and attributes */
const char *ir_infer_why(IrNode *n, Arena *a);          /* the same, nothing reported: why not, or NULL */
int64_t ir_flops(const IrNode *n);                      /* for one sample; 2 a multiply-add, contractions only */

/* ---- checking (verify.c) ---- */
bool ir_verify(const IrModule *m, Diag *d); /* false: a broken invariant, reported as an internal error naming entry and node */
const char *ir_root_problem(Arena *a, const IrRoot *r); /* what its value may not be (a metric's shape, an update's type), or NULL */

/* ---- text (print.c, parse.c): inverse of each other; grammar in docs/ir.md ---- */
void ir_print(const IrModule *m, FILE *f);
IrModule *ir_parse(const char *file, const char *text, size_t len, Diag *d); /* NULL: reported */

/* ---- the definition of every op (eval.c …), in double ---- */
typedef struct IrScalars { double lr; uint64_t seed; uint32_t step, pass; } IrScalars;
/* Buffers hold doubles in row-major order. `state` is parallel to the module's state list, `in` to entry->port,
 * `out` to entry->root (output: whole value; metric: `count` sums; update: the new value). Any out[i] may be NULL. */
void ir_eval(const IrEntry *e, int64_t n, const IrScalars *s, double *const *state, const double *const *in,
             double *const *out);
/* One node on given operands: what folding and the op tests use. n: value of IR_N. */
void ir_eval_node(const IrNode *node, int64_t n, const IrScalars *s, const double *const *in, double *out);
/* SC_POWER, SC_UPDATE, SC_DUE at a step, counting from 1. */
double ir_counted(IrScalar which, double base, int32_t every, uint32_t step);
/* Row of ewise.def on doubles; `to` is the result dtype (rounding to float is not applied, integers wrap). */
double ir_ewise(const char *name, double a, double b, double c, DType to);
/* Word `word` (0-3) of Philox4x32-10 with counter (c0 c1 c2 c3), key = seed. Salmon et al., SC'11. */
uint32_t philox(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, int word);

/* ---- gradients (grad.c): the `grad` column ---- */
/* Given d(loss)/d(n) = dy, makes the operands' gradients into din[0 … nin-1]; NULL where `need[i]` is false or it is zero.
 * False: the op is not differentiable; reported at n->loc. */
bool ir_grad(IrEntry *e, Diag *d, IrNode *n, IrNode *dy, const bool *need, IrNode **din);

#endif

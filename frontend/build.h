/* build.h -- from checked values to the graph: what the parts of the frontend share
 *
 *   resolve.c   sections against each other; the input; class names; facts
 *   model.c     the list of layers: names, edges, shapes, parameters
 *   layer_*.c   one row a layer kind: shape, state, nodes
 *   pictures.c  preprocess and augment          loss.c, metric.c   on top of the outputs
 *   entries.c   predict, predict_raw, evaluate, train_step
 */
#ifndef CNNC_FRONTEND_BUILD_H
#define CNNC_FRONTEND_BUILD_H

#include "frontend/value.h"
#include "ir/ir.h"

typedef struct Model Model;
typedef struct Layer Layer;
typedef struct Build Build;

enum { MODEL_MAX_LAYERS = 8192, MODEL_MAX_INPUTS = 12, LAYER_STATES = 4 };

typedef struct ModelInput { const char *name; IrType type; Loc loc; } ModelInput;

typedef struct LayerKind {
	const char *name;
	int min_in, max_in;
	int space;                                                     /* its input is (N, space axes, channels); 0: any */
	bool (*shape)(Model *m, Layer *l, const IrType *in);           /* sets l->out; false: why in m->reason */
	void (*states)(Model *m, Layer *l, const IrType *in);          /* NULL: none */
	IrNode *(*emit)(Build *b, const Layer *l, IrNode *const *in);
} LayerKind;

struct Layer {
	const char *name;
	const LayerKind *kind;
	const Val *own;       /* its fields in the file: name, inputs */
	const Val *arg;       /* its checked fields; Shared: those of the layer that it uses */
	const Layer *shared;  /* whose weights it uses; NULL: it has its own */
	Loc loc;
	int nin;
	int *in;              /* layers that feed it; -1 - i: input i of the model */
	IrType out;           /* f32[N, …]; of kinds that take any, anything */
	bool trainable, used; /* trainable: in the phase whose entry is being made; else in any */
	uint32_t trains;      /* bit p: in phase p */
	IrWindow window;
	IrState *state[LAYER_STATES];
	uint32_t stream;      /* of its random draws */
	int64_t params, flops;
};

typedef enum LossKind { LOSS_BINARY, LOSS_CATEGORICAL, LOSS_SPARSE, LOSS_SQUARED } LossKind;

/* What data says of a sample: an array; one class (i32[N]); any number of classes (f32[N, classes], 0 and 1); a class for each
 * pixel (u8[N, height, width]). */
typedef enum TargetKind { TARGET_ARRAY, TARGET_CLASS, TARGET_CLASSES, TARGET_MASK } TargetKind;

typedef struct Head {         /* an output that is trained: its target, loss, metrics */
	int layer;            /* whose output it is */
	const char *port;     /* of its target: "y"; "y.NAME" where targets differ */
	const char *prefix;   /* of its metrics: "", or "NAME_" where there are several */
	const Val *loss, *metrics;
	LossKind kind;
	bool from_logits, ignores;
	int32_t ignore;       /* class that does not count, if `ignores` */
	double smoothing, weight;
} Head;

enum { MODEL_MAX_PHASES = 8 };

typedef struct Phase {
	const char *suffix;   /* of its entries: "", "_2", … */
	const Val *optimizer;
} Phase;

struct Model {
	Arena *arena;         /* the module's */
	Diag *diag;
	IrModule *module;
	Val *top, *data, *model, *train; /* data, train: NULL where the file has none */
	IrType input;         /* f32[N, …]: the model's own input */
	const char *input_name;
	Loc input_loc;
	ModelInput *further;  /* inputs beside that one */
	int nfurther;
	bool pictures;        /* data are u8 pictures */
	TargetKind target;
	int64_t num_classes;  /* 0: not known */
	Layer *layer;
	int nlayers;
	const ZooUse *use;    /* which layers are those of an application */
	int nuses;
	int *outputs, noutputs; /* layers whose outputs are the result */
	Head *head;           /* where the file trains: one for each of them */
	int nheads;
	const Phase *phase;   /* of the training: one where the file has no `phases` */
	int nphases;
	IrState *class_weight; /* f32[C], filled by the runtime; NULL: none */
	int32_t weighted_classes;
	char reason[256];     /* why a shape rule said no */
	int64_t least[2];     /* height and width that a window rule needs; 0: not about that */
};

struct Build {            /* one entry */
	Model *m;
	IrEntry *e;
	bool training;
	IrNode *x, *id;       /* ports that it has */
	IrNode *map;          /* i32[N,6] that the pictures were moved by, by `moved`; NULL: they stayed */
	IrAttr moved;
	IrNode **target;      /* those of the heads' targets, by head */
	IrNode *x_next, *id_next, **target_next; /* of the sample behind each; where pictures are mixed */
	bool weighs;          /* class_weight counts: in the loss, not in metrics */
	const Head *head;     /* that is being made, and its target and logits (NULL: it has none) */
	IrNode *y, *z;
	IrNode **further;     /* those of m->further */
	IrNode **value;       /* by layer */
	Loc loc;              /* of the nodes being made */
	IrNode *logits, *logits_of;      /* logits_of = sigmoid or softmax of logits: the last such activation */
	IrNode **head_logits;            /* by head */
	IrRoot *update;
	int nupdates;
};

/* ---- resolve.c ---- */
bool resolve_sections(Model *m, Scope *s, const char *file);
const char *resolve_split_owner(const char *field);
IrField *resolve_fields(Model *m, int *out_count);     /* fields.c: the flat list */

/* ---- model.c ---- */
bool model_read(Model *m);
bool model_states(Model *m);                           /* false: a layer does not fit the weights that it shares */
const char *keras_name(Arena *a, const char *kind);    /* MaxPooling2D -> max_pooling2d */
const IrType *model_value_type(const Model *m, int in); /* of what stands in Layer.in */

/* ---- pretrained.c ---- */
struct FeWeights weights_check(const Model *m, const char *file); /* model.weights or base.weights; misfits are reported */

/* ---- layer.c, layer_*.c ---- */
const LayerKind *layer_kind(const char *name);
extern const LayerKind layer_conv_kinds[], layer_window_kinds[], layer_dense_kinds[], layer_norm_kinds[], layer_shape_kinds[],
	layer_merge_kinds[], layer_random_kinds[], layer_pointwise_kinds[], layer_op_kinds[];
extern const int layer_nconv, layer_nwindow, layer_ndense, layer_nnorm, layer_nshape, layer_nmerge, layer_nrandom,
	layer_npointwise, layer_nop;
bool layer_takes_any(const LayerKind *kind);            /* inputs of any type, without N too; else they are f32[N, …] */
bool layer_is_source(const Layer *l);                   /* takes no inputs, not even that before it */
bool layer_number(const Layer *l, const char *text, double *out); /* an entry of `inputs:` that is a number */
bool layer_op_writable(OpCode op);                     /* can stand in a model file as Op */
IrState *layer_state(Model *m, Layer *l, const char *name, IrType type, const Val *init, const Val *regularizer, bool stat);
bool shape_is(Model *m, const Layer *l, const IrType *in, int rank, const char *what); /* else m->reason */
bool shape_same(Model *m, Layer *l, const IrType *in);                                  /* the output is like the input */
bool shape_set(Model *m, Layer *l, int rank, const int64_t *dim);                       /* dim without N; checks the size */
IrNode *layer_activation(Build *b, const Layer *l, IrNode *x);                          /* its `activation:` */

/* ---- layer_window.c: windows of layers with kind->space ---- */
int window_axes(const Layer *l);
int window_axis(const Layer *l, int i);                 /* the window's axis for axis i of space */
void window_field(const Layer *l, const char *field, int32_t *out);
void window_extents(const Layer *l, const IrType *in, int64_t *out);
bool window_count(Model *m, Layer *l, const IrType *in, int64_t *out);
bool window_out(Model *m, Layer *l, const int64_t *extent, int64_t channels);
IrNode *window_picture(Build *b, const Layer *l, IrNode *x);
IrNode *window_back(Build *b, const Layer *l, IrNode *y);

/* ---- nodes at b->loc ---- */
IrNode *node1(Build *b, OpCode op, IrNode *a);
IrNode *node2(Build *b, OpCode op, IrNode *a, IrNode *c);
IrNode *node_select(Build *b, IrNode *c, IrNode *yes, IrNode *no);
IrNode *node_k(Build *b, double value);                                                 /* f32[] */
IrNode *node_int(Build *b, int32_t value);                                              /* i32[] */
IrNode *node_scaled(Build *b, IrNode *a, double factor);
IrNode *node_cast(Build *b, IrNode *a, DType to);
IrNode *node_reshape(Build *b, IrNode *a, int rank, const int32_t *dim);
IrNode *node_reduce(Build *b, OpCode op, IrNode *a, uint32_t axes, bool keep);
IrNode *node_iota(Build *b, int32_t extent);                                            /* i32[extent] */
IrNode *node_random(Build *b, IrNode *id, uint32_t stream, int rank, const int32_t *dim);
IrNode *node_state(Build *b, IrState *s);
IrNode *node_concat(Build *b, IrNode *const *in, int n, int axis);
IrNode *node_transpose(Build *b, IrNode *a, const int32_t *perm);
IrNode *node_broadcast(Build *b, IrNode *a, int rank, const int32_t *dim);
IrNode *node_cut(Build *b, OpCode op, IrNode *a, int axis, int32_t start, int32_t extent); /* OP_slice, OP_pad */
IrNode *node_unit(Build *b, IrNode *a, uint32_t axes, double least); /* a / max(length along the axes, least) */
IrNode *node_named(IrNode *n, const char *name);
IrNode *node_clip(Build *b, IrNode *a, double lo, double hi);
IrNode *node_row_mean(Build *b, IrNode *a);                                             /* [N, …] to [N] */

/* ---- activation.c ---- */
IrNode *activation_emit(Build *b, const Val *activation, IrNode *x);
IrNode *activation_relu(Build *b, IrNode *x, double slope, const Val *max_value, double threshold);
IrNode *activation_elu(Build *b, IrNode *x, double alpha);
IrNode *activation_softplus(Build *b, IrNode *x);
bool activation_halves(const Val *activation);         /* the last axis becomes half as long */

/* ---- pictures.c ---- */
IrNode *pictures_emit(Build *b);                       /* b->x as the model's input; masks among b->target as i32, moved with it */
bool pictures_check(Model *m);
IrNode *pictures_draw(Build *b, double lo, double hi);                 /* f32[N,1,1,1], uniform in [lo, hi) */
IrNode *pictures_channels(Build *b, const double *value, int n);       /* f32[n], f32[] where all are equal */

/* ---- augment.c ---- */
IrNode *augment_emit(Build *b, IrNode *x, const Val *layer);
bool augment_check(Model *m, const Val *layer);
/* ---- augment_mix.c ---- */
bool augment_is_mixing(const Val *layer);
const Val *augment_mixing(const Model *m);             /* the layer of the list that mixes pictures; NULL: none */
IrNode *augment_mix(Build *b, const Val *layer, IrNode *x, IrNode *other); /* b->target too */

/* ---- head.c ---- */
bool head_read(Model *m);                              /* m->head, checked; after the layers have shapes */
void head_begin(Build *b, int k);                      /* b->head, b->y, b->z */
const IrType *head_type(const Model *m, const Head *h); /* of its output */
int32_t head_classes(const Model *m, const Head *h);   /* the extent of its last axis */

/* ---- loss.c: of b->head ---- */
IrType loss_target_type(const Model *m, const Head *h); /* of its port */
IrNode *loss_output(const Build *b);
IrNode *loss_target(Build *b);                         /* float targets of the output's shape */
IrNode *loss_one_hot(Build *b);                        /* bool, of the output's shape; of class indices */
IrNode *loss_valid(Build *b);                          /* f32, 1 where the target counts: the output's shape without classes; NULL: all do */
IrNode *loss_rows(Build *b, LossKind kind, bool from_logits, double smoothing); /* [N] */
IrNode *loss_class_weight(Build *b);                   /* f32[N], NULL without class_weight */
IrNode *loss_penalty(Build *b);                        /* f32[], NULL where nothing is regularized */

/* ---- metric.c ---- */
bool metric_check(Model *m, const Head *h);
void metric_emit(Build *b);                            /* those of b->head */

/* ---- training.c ---- */
bool training_check(Model *m);                         /* phases, optimizers, what is trained when; after the layers have names */
IrOptimizer training_optimizer(const Val *optimizer);
void training_begin(Model *m, int phase);              /* layers and states are trainable as in that phase; -1: in any */

/* ---- features.c ---- */
int features_cut(Build *b);                            /* layer whose value is all that a training entry needs of x; -1: none */
void features_entry(Build *b, int layer, const char *name); /* new entry: x -> that value */
void features_take(Build *b, int layer);               /* the value comes in as x */

/* ---- entries.c ---- */
bool entries_emit(Model *m);                           /* false: an op has no gradient, reported */
Build entries_start(Model *m, const char *name);       /* of a predicting entry: x */
void entries_layers(Build *b, IrNode *input);          /* b->value, by layer */

/* ---- explain.c ---- */
bool explain_check(Model *m);
bool explain_emit(Model *m);                           /* the entries that predict.explain asks for */

#endif

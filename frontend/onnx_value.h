/* onnx_value.h -- values of an ONNX graph on their way into a model file
 *
 * A physical value (Phys) is what a layer of the model file gives, or a constant: a type of the IR, N outermost where it
 * differs from sample to sample. A logical value is what the ONNX graph means: its axes, each with its place in the physical
 * one, so that transposes, squeezes and the difference between NCHW and NHWC are bookkeeping until an operation needs the
 * elements in some order.
 *
 * Samples: either the graph's axis 0 is the batch (`split`), one axis of every value that depends on an input; or the whole
 * graph is one sample, N an axis that it does not know of. The import tries the first, then the second (onnx_import.c).
 *
 * Failing: the first problem is kept (onx_fail) and every function does nothing from then on, giving onx->nothing; who
 * loops over sizes looks at onx->failed.
 */
#ifndef CNNC_FRONTEND_ONNX_VALUE_H
#define CNNC_FRONTEND_ONNX_VALUE_H

#include "frontend/onnx.h"

typedef struct Onx Onx;

/* Elements of constants, row-major: floats as f (large weights), everything else, and what was computed, as d. */
typedef struct Phys {
	IrNode node;          /* only its type is used; operand of shape rules and of the interpreter */
	const char *layer;    /* that gives it; NULL: not written yet */
	bool known;
	bool splat;           /* d[0] everywhere */
	bool fixed;           /* a constant of the importer's own making: not to be trained */
	const float *f;
	const double *d;
} Phys;

typedef struct Value {
	Phys *p;
	int rank;             /* logical */
	int at[ONNX_MAX_RANK];/* physical axis of each logical one; -1: extent 1, not there */
	struct Value *flat;   /* (batch, all) of that value, elements still in its physical order: for matrix products */
	struct Value *split;  /* parts of a value, where the graph keeps several as one: not used outside onnx_op_*.c */
} Value;

typedef struct OnxWeight {
	const char *name;     /* of the state */
	IrType type;
	const float *f;
	const double *d;
	bool splat;
	struct OnxWeight *next;
} OnxWeight;

typedef struct OnxInput {
	const OnnxPort *port;
	Phys *p;              /* as it comes in */
	const OnnxTensor *given; /* its value, where the caller knows one: taken if a constant is needed */
	Value *value;
	const char *layer;    /* its name in the model file */
	bool perm;            /* comes in as (batch, height, width, channels) */
	bool constant;        /* somebody needed its value */
} OnxInput;

typedef struct OnxName { const char *name; Value *value; } OnxName;

struct Onx {
	const OnnxGraph *g;
	Arena *arena;
	Diag *diag;
	FILE *text;           /* of the layers */
	int nlayers;
	const char *last;     /* layer written last */
	OnxWeight *weight, **weight_end;
	const char **layer_name;
	int nlayer_names, room;
	OnxInput *input;
	bool split;           /* axis 0 is the batch */
	bool bake;            /* inputs of another leading extent are constants */
	int64_t batch;
	int64_t folded, filled; /* elements computed so far; and filled with one number */
	OnxName *table;       /* values by name: open addressing */
	size_t table_size;
	const OnnxNode *node; /* being imported */
	Value *out[16];       /* its outputs */
	bool failed, wrap;    /* wrap: the other meaning of the batch may work */
	const char *why;
	Value *nothing;
};

/* ---- problems ---- */
Value *onx_fail(Onx *m, const char *fmt, ...) CNNC_PRINTF(2, 3);
Value *onx_mixes(Onx *m, const char *what); /* samples are mixed: fails, but the other meaning of the batch may work */

/* ---- physical values ---- */
Phys *phys_op(Onx *m, OpCode op, int n, Phys *const *in, const IrAttr *attr, const IrType *want);
/* A layer of the model file: `fields` is the text between its braces before `inputs:` ("" or ending in ", "). */
Phys *phys_layer(Onx *m, const char *kind, const char *fields, int n, Phys *const *in, IrType type);
const char *phys_layer_name(Onx *m);                              /* that the next layer will get */
void phys_weight(Onx *m, const char *layer, const char *suffix, const Phys *p);
const char *phys_name(Onx *m, Phys *p);                           /* writes constants; the name of its layer */
Phys *phys_known(Onx *m, IrType type, const float *f, const double *d);
double phys_element(const Phys *p, int64_t i);
Phys *phys_reshape(Onx *m, Phys *p, int rank, const int32_t *dim); /* dim[0] may be IR_N */

/* ---- logical values ---- */
Value *onx_find(Onx *m, const char *name);
void onx_define(Onx *m, const char *name, Value *v);
Value *onx_new(Onx *m, Phys *p, int rank);                        /* of a constant: axes as they are */
int64_t onx_dim(const Onx *m, const Value *v, int axis);
int64_t onx_elems(const Onx *m, const Value *v);
DType onx_dtype(const Value *v);
DType onx_dtype_of(OnnxType t);                                   /* what it is computed in */
int onx_batch_axis(const Onx *m, const Value *v);                 /* logical axis that is N; -1: none */
int onx_axis(Onx *m, const Value *v, int64_t axis);               /* negative: from the end; checked */
Value *onx_real(Onx *m, Value *v);                                /* elements in order: not `flat` */
/* The physical value with N (if it has it) and then these logical axes, in this order; others must be N or of extent 1. */
Phys *onx_take(Onx *m, Value *v, int n, const int *axis);
/* A value of `rank` logical axes; physical axes behind N are `axis`, N is logical axis `batch` (-1: none, or not split). */
Value *onx_make(Onx *m, Phys *p, int rank, int n, const int *axis, int batch);
bool onx_known(Onx *m, Value *v);                                 /* a constant, or made one */
const double *onx_doubles(Onx *m, Value *v);                      /* of a constant, in logical order; NULL: failed */
bool onx_ints(Onx *m, Value *v, const char *what, int most, int64_t *out, int *n);

/* ---- operations, NumPy's meaning (onnx_math.c) ---- */
Value *onx_k(Onx *m, DType t, double x);
Value *onx_const(Onx *m, DType t, int rank, const int64_t *dim, const double *d);
Value *onx_map(Onx *m, OpCode op, int n, Value *const *in);       /* pointwise, broadcasting */
Value *onx_1(Onx *m, OpCode op, Value *a);
Value *onx_2(Onx *m, OpCode op, Value *a, Value *b);
Value *onx_2k(Onx *m, OpCode op, Value *a, double b);
Value *onx_select(Onx *m, Value *c, Value *a, Value *b);
Value *onx_not(Onx *m, Value *a);
Value *onx_cast(Onx *m, Value *a, DType to);
Value *onx_reduce(Onx *m, OpCode op, Value *a, uint32_t axes, bool keep); /* bit i: logical axis i */
Value *onx_reshape(Onx *m, Value *a, int rank, const int64_t *dim);
Value *onx_transpose(Onx *m, Value *a, const int *perm);
Value *onx_squeeze(Onx *m, Value *a, uint32_t axes);
Value *onx_unsqueeze(Onx *m, Value *a, uint32_t axes);            /* axes of the result */
Value *onx_slice(Onx *m, Value *a, int axis, int64_t start, int64_t extent);
Value *onx_pad(Onx *m, Value *a, int axis, int64_t before, int64_t after); /* zeros */
Value *onx_concat(Onx *m, int n, Value *const *in, int axis);
Value *onx_expand(Onx *m, Value *a, int rank, const int64_t *dim); /* broadcast to it, and with it */
Value *onx_iota(Onx *m, int rank, int axis, int64_t extent);      /* i32, extent 1 along the others */
Value *onx_rowwise(Onx *m, OpCode op, Value *a, int axis);        /* softmax, log_softmax */
Value *onx_matmul(Onx *m, Value *a, Value *b);
Value *onx_pick(Onx *m, Value *a, Value *index, int axis);        /* a[…, index[…], …]: take_along_axis, broadcasting */
Value *onx_sub1(Onx *m, Value *a, int axis, int64_t i);           /* a[…, i, …], the axis gone */
Value *onx_reverse(Onx *m, Value *a, int axis);

/* ---- attributes of the node being imported ---- */
const OnnxAttr *onx_attr(const Onx *m, const char *name);
int64_t onx_int(const Onx *m, const char *name, int64_t otherwise);
double onx_float(const Onx *m, const char *name, double otherwise);
const char *onx_text(const Onx *m, const char *name, const char *otherwise);
int onx_int_list(Onx *m, const char *name, int most, int64_t *out); /* how many; -1: not given */
Value *onx_in(Onx *m, int i);                                     /* input i, failing if it is left out */
bool onx_has(const Onx *m, int i);
bool onx_wanted(const Onx *m, int i);                             /* somebody reads output i */
Value *onx_tensor(Onx *m, const OnnxTensor *t);                   /* a constant */

/* ---- onnx.def ---- */
typedef Value *OnnxRule(Onx *m);
typedef struct OnnxOp { const char *name; OnnxRule *rule; const char *doc; } OnnxOp;
const OnnxOp *onnx_op(const char *domain, const char *name);      /* NULL: not supported */
#define ONNX(name, rule, doc) OnnxRule import_##rule;
#include "frontend/onnx.def"

#endif

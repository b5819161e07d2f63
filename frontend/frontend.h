/* frontend.h -- model file to graph
 *
 * fe_load reads a YAML model, checks it against the schema (frontend/schema.def) and builds the module: state, and the entries
 *   predict      x (u8 pictures, preprocess applied, or the model's own input for npy data) -> outputs
 *   predict_raw  x f32, the model's own input -> outputs          (pictures only; else predict is that)
 *   evaluate     x, y -> outputs; metric sums                     (only with a train section)
 *   train_step   x, y, id -> metric sums; loss set for autodiff   (only with a train section); train_step_2 … of later phases
 *   features     x -> what train_step and evaluate_features take as x, where a frozen base can be cut off (features.c)
 * All errors of the file are reported to d; NULL then.
 */
#ifndef CNNC_FRONTEND_FRONTEND_H
#define CNNC_FRONTEND_FRONTEND_H

#include "ir/ir.h"

typedef struct FeLayer {     /* what the summary and `info` print, one a layer of the file */
	const char *name, *kind; /* conv2d_1, Conv2D */
	IrType type;         /* output */
	int64_t params, flops;
	Loc loc;
	int nin;
	const int *in;       /* layers that feed it; -1 - i: input i */
} FeLayer;

typedef struct FeInput { const char *name; IrType type; } FeInput;

typedef struct FeConversion FeConversion;

typedef struct FeWeights {   /* what the programs start from */
	const char *path;    /* NULL: nothing */
	bool whole;          /* else some are not in it: nothing to predict with yet */
	const FeConversion *conversion; /* NULL: it is safetensors with the model's names, to be taken as it is */
} FeWeights;

typedef struct FeModel {
	IrModule *module;    /* owned by the caller: ir_module_free; everything here lives in its arena */
	const char *cuda_arch; /* build.cuda_arch, with commas; NULL: the default set */
	const char *target;  /* build.target (with commas), cpu, triple, precision, math: as resolved */
	const char *cpu, *triple, *precision, *math;
	FeLayer *layer;
	int nlayers;
	FeInput *input;
	int ninputs;
	int64_t params, trainable;
	int64_t flops;       /* forward, one sample */
	bool trains, serves; /* has a train section; a serve section */
	double tune_seconds; /* build.tune; 0: not */
	FeWeights weights;   /* compared with the model */
} FeModel;

/* overrides: "train.epochs=5" …, n of them (from -D). */
bool fe_load(const char *path, const char *const *overrides, int n, Diag *d, FeModel *out);
/* The same from memory; `name` stands for the path in diagnostics. text need not be terminated and must outlive d. */
bool fe_load_text(const char *name, const char *text, size_t len, const char *const *overrides, int n, Diag *d, FeModel *out);

/* A model file's bytes, in memory of d; as many as YAML_MAX_BYTES + 1. NULL: reported. */
char *fe_read(const char *path, Diag *d, size_t *out_len);
/* A model file laid out evenly, comments kept, in arena a: the same tree (format.c). NULL: reported. */
const char *fe_format(const char *name, const char *text, size_t len, Arena *a, Diag *d);

/* ---- files of weights (pretrained.c, weight_*.c) ---- */
/* What w->conversion says, as a safetensors file with the model's names. */
bool fe_weights_convert(const FeWeights *w, const char *path, Diag *d);
bool fe_weights_list(const char *path, FILE *out, Diag *d); /* names, types and shapes in a file of any format */

/* ---- ONNX (onnx_*.c) ---- */
typedef struct FeOnnxPort {  /* an input or output: what the graph calls it, and what the model file does */
	const char *name, *layer;
	int onnx_type;
	int rank;
	int64_t dim[8];          /* as in the graph; -1: free */
	bool channels_last;      /* (batch, channels, height, width) of the graph is (N, height, width, channels) of the model */
} FeOnnxPort;

typedef struct FeOnnxGiven { const char *name; const void *bytes; size_t length; } FeOnnxGiven; /* a TensorProto for an input */

typedef struct FeOnnx {
	const char *text;        /* the model file; weights, if any, stand in it under the name that was asked for */
	size_t length;
	bool split;              /* axis 0 of the graph's inputs and outputs is N; else the whole graph is one sample */
	int64_t batch;           /* that axis' extent in the graph, 1 where it is free */
	FeOnnxPort *input, *output; /* inputs that became constants are left out */
	int ninputs, noutputs;
	const struct OnxWeight *weight;
} FeOnnx;

/* A graph as a model file, in arena a. `weights`: file name that model.weights will say. given: values of inputs, taken
 * where the graph needs them to be constants. False: reported, every unsupported operator with its node. */
bool fe_onnx_import(const char *path, const void *bytes, size_t length, const char *weights, const FeOnnxGiven *given,
                    int ngiven, Arena *a, Diag *d, FeOnnx *out);
bool fe_onnx_load(const char *path, const char *weights, Arena *a, Diag *d, FeOnnx *out); /* from a file */
bool fe_onnx_save_weights(const FeOnnx *m, const char *path, Diag *d);
/* Values of the weights into buffers of doubles parallel to the module's states; false: one is missing. */
bool fe_onnx_set_states(const FeOnnx *m, const IrModule *module, double *const *state);
/* The entry `predict` with the weights of a safetensors file (NULL: it has none) as an ONNX file; path "-" is stdout. */
bool fe_onnx_export(const IrModule *m, const char *weights, const char *path, Diag *d);
void fe_onnx_operators(FILE *f);               /* docs/onnx.md */

/* ---- everything printed from the schema table ---- */
void fe_schema_json(FILE *f);                  /* cnnc schema */
bool fe_help(const char *topic, FILE *f);      /* cnnc help [onnx|LAYER|FIELD|reference]; false: no such topic (nearest one printed) */
bool fe_help_op(const char *topic, FILE *f); /* of an operation of the graph; false: there is none of that name */
void fe_reference(FILE *f);                    /* docs/yaml.md, Markdown */

#endif

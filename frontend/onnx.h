/* onnx.h -- ONNX files to model files: what the parts of the importer share
 *
 *   onnx_proto.c   bytes to the structs below and back; the only file that names protobuf
 *   onnx_data.c    where a tensor's bytes are: in the file, or in a file beside it
 *   onnx_value.c   values under import: shapes, layouts, constants, layers that are written
 *   onnx_math.c    NumPy-like operations on values, which the rules are made of
 *   onnx_op_*.c    one rule an ONNX operator, listed in onnx.def
 *   onnx_import.c  graph, inputs, outputs, and what becomes of the samples
 *   onnx_export.c  the other way: the graph of `predict` as an ONNX file
 *   onnx_text.c    the model file and the weights' file
 *
 * A graph becomes layers of the model file (Keras' where there is one, else rows of the op table) and named weights; it is
 * then loaded like any model file. Nothing is trusted: sizes are checked, work is bounded, errors name the node.
 */
#ifndef CNNC_FRONTEND_ONNX_H
#define CNNC_FRONTEND_ONNX_H

#include "frontend/frontend.h"

enum {
	ONNX_MAX_RANK = 8,
	ONNX_MAX_NODES = 8192,
	ONNX_MAX_OPSET = 22, /* newest version of ai.onnx whose meaning is known */
	ONNX_MIN_OPSET = 1
};

/* ---- onnx_proto.c: the file as it is ---- */

/* TensorProto.DataType */
typedef enum OnnxType {
	ONNX_NONE, ONNX_FLOAT, ONNX_UINT8, ONNX_INT8, ONNX_UINT16, ONNX_INT16, ONNX_INT32, ONNX_INT64, ONNX_STRING, ONNX_BOOL,
	ONNX_FLOAT16, ONNX_DOUBLE, ONNX_UINT32, ONNX_UINT64, ONNX_COMPLEX64, ONNX_COMPLEX128, ONNX_BFLOAT16
} OnnxType;

typedef struct OnnxTensor {
	const char *name;
	OnnxType type;
	int rank;
	int64_t dim[ONNX_MAX_RANK], elems;
	const unsigned char *data;    /* elems * onnx_type_bytes(type) bytes, little endian; NULL: external, or not understood */
	const char *location;         /* external: file, and where in it */
	int64_t offset, length;       /* length -1: to the end */
	const char *problem;          /* why there are no data */
} OnnxTensor;

typedef struct OnnxAttr {
	const char *name;
	bool is_int, is_float, is_graph;
	int64_t i;
	float f;
	const char *s;                /* NULL: none */
	const OnnxTensor *t;
	int nints, nfloats, nstrings;
	const int64_t *ints;
	const float *floats;
	const char *const *strings;
} OnnxAttr;

typedef struct OnnxNode {
	const char *name, *op, *domain;
	int index, nin, nout, nattr;
	const char *const *in, *const *out; /* "": left out */
	const OnnxAttr *attr;
} OnnxNode;

typedef struct OnnxPort {
	const char *name;
	OnnxType type;                /* ONNX_NONE: no tensor */
	int rank;                     /* -1: not known */
	int64_t dim[ONNX_MAX_RANK];   /* -1: not known */
} OnnxPort;

typedef struct OnnxGraph {
	const char *path, *name;
	int64_t opset;
	int nnodes, ninits, ninputs, noutputs;
	const OnnxNode *node;
	const OnnxTensor *init;
	const OnnxPort *input, *output;
} OnnxGraph;

/* All in arena a; texts too, bytes of tensors may stay in `bytes`. False: reported. */
bool onnx_read(const char *path, const void *bytes, size_t length, Arena *a, Diag *d, OnnxGraph *out);
bool onnx_read_tensor(const char *path, const void *bytes, size_t length, Arena *a, Diag *d, OnnxTensor *out);
size_t onnx_type_bytes(OnnxType t); /* 0: no tensor of such elements can be read */
const char *onnx_type_name(OnnxType t);
/* The graph as a file's bytes in arena a. */
const unsigned char *onnx_write(const OnnxGraph *g, Arena *a, size_t *out_length);

/* ---- onnx_data.c ---- */
/* The tensor's bytes, read from the file beside `path` where they are external; NULL: reported. */
const unsigned char *onnx_tensor_bytes(const OnnxTensor *t, const char *path, Arena *a, Diag *d);
double onnx_element(OnnxType t, const unsigned char *bytes, int64_t i);

#endif

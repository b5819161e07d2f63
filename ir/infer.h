/* infer.h -- what the shape rules share; private to ir/infer*.c
 *
 * A rule reads operands and attributes and ends in infer_set, or reports the two values that disagree.
 */
#ifndef CNNC_IR_INFER_H
#define CNNC_IR_INFER_H

#include "ir/ir.h"

typedef struct Infer {
	Diag *diag; /* NULL: a misfit is an ICE */
	Arena *arena;
	const char **why; /* unless NULL: gets the reason, and nothing is reported */
} Infer;

typedef bool InferRule(const Infer *cx, IrNode *n);
#define OP(name, text, lo, hi, attr, traits, infer, ...) InferRule infer_##infer;
#include "ir/ops.def"

bool infer_misfit(const Infer *cx, const IrNode *n, const char *fmt, ...) CNNC_PRINTF(3, 4); /* always false */
const char *infer_shape(const Infer *cx, const IrNode *n);
bool infer_set(const Infer *cx, IrNode *n, DType dtype, int rank, const int64_t *dim);
bool infer_float(const Infer *cx, const IrNode *n, int i);
bool infer_same_dtype(const Infer *cx, const IrNode *n, int i, int j);

#endif

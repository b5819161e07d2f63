/* eval.h -- what the rules of the `eval` column share
 *
 * Internal to the interpreter (eval*.c, ewise.c); its interface is in ir.h. A rule gets one node, the values of its
 * operands and room for its own, all as doubles in row-major order, and fills in every element.
 */
#ifndef CNNC_IR_EVAL_H
#define CNNC_IR_EVAL_H

#include "ir/ir.h"

typedef struct Eval {
	const IrNode *node;
	int64_t n;             /* value of IR_N */
	const IrScalars *s;
	const double *const *in;
	double *out;
} Eval;

typedef void EvalFn(const Eval *x);
#define OP(name, text, lo, hi, attr, traits, infer, eval, grad, lower) EvalFn eval_##eval;
#include "ir/ops.def"

typedef struct Shape { /* a type whose IR_N has a value */
	int rank;
	int64_t dim[IR_MAX_RANK], stride[IR_MAX_RANK]; /* row-major strides, in elements */
	int64_t elems;
} Shape;

Shape shape_of(const IrType *t, int64_t n);
/* Strides that read a tensor of shape `from` under the index of `to`: trailing axes aligned, extent 1 stretches. */
void shape_stretch(const Shape *from, const Shape *to, int64_t *stride);
/* Steps `at` to the next index in row-major order. */
void shape_next(const Shape *s, int64_t *at);
int64_t shape_dot(int rank, const int64_t *at, const int64_t *stride);

/* ---- ewise.c ---- */
typedef double Ewise(double a, double b, double c);
Ewise *ewise_row(const char *name); /* NULL if there is no such row */
double ewise_apply(Ewise *row, double a, double b, double c, DType to);
double ewise_wrap(double v, DType to); /* floats as they are, bool 0/1, integers truncated and wrapped at their width */

#endif

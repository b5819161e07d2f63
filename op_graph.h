/* op_graph.h -- a description of one operation, as a command line has it, to a graph of that operation
 *
 *   conv2d x=32x56x56x64 w=3x3x64x64 stride=1 pad=1
 *
 * An attribute's name sets it (values between commas; one for all), `out` gives the result's shape where it does not
 * follow, and every other name is an operand, in order: dimensions between `x`, after `u8:` and the like where they are
 * not floats. The first dimension of what holds samples is the number of samples; what is alike for all samples is a
 * parameter.
 */
#ifndef CNNC_OP_GRAPH_H
#define CNNC_OP_GRAPH_H

#include "ir/ir.h"

/* What was described, for those who do the same by other means. Sizes of a convolution are those of its forward pass.
 */
typedef struct OpWork {
	OpCode op;
	int64_t n, h, w, c, k, r, s, oh, ow; /* conv2d, conv2d_dx, conv2d_dw; of matmul: n rows, k columns, c summed */
	IrWindow window;                     /* conv… */
	bool ta, tb;                         /* matmul */
} OpWork;

/* The module has one entry, `predict`, with one output, `out`. `shape` is the short form of conv2d…, matmul, dense and
 * the pools ("N,H,W,C,K,R,S[,stride[,pad]]", "M,N,K" …), or NULL. NULL: reported. */
IrModule *op_graph(const char *op, const char *shape, const char *const *word, int n, Diag *d);
bool op_work(const IrModule *m, OpWork *out); /* false: an operation that OpWork does not describe */
const char *op_text(Arena *a,
		    const IrModule *m); /* "conv2d x f32[N,8,8,3] w f32[3,3,3,4] -> f32[N,6,6,4] {window 3 3}" */

#endif

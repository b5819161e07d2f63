/* lower.h -- graph nodes as kernel expressions
 *
 * A rule of the `lower` column gives the expression of one element of a node: lower_at(cx, n, idx) with one index a
 * dimension, each affine in the kernel's axes. Operands are asked for at the indices that the op maps idx to; a reduction
 * makes axes and a REDUCE stage. What is in memory is loaded. So a kernel is its roots lowered at the root axes, and fusion
 * is the choice of what is in memory. Dimensions of extent 1 have the index 0 and no axis.
 */
#ifndef CNNC_PASSES_LOWER_H
#define CNNC_PASSES_LOWER_H

#include "ir/kernel.h"

typedef struct LowerMemo LowerMemo;
typedef struct LowerAxis LowerAxis;

typedef struct LowerCx {
	Arena *arena;    /* the module's: kernels live there */
	Kernel *k;
	int32_t max_n;
	void *owner;
	/* Program buffer from which the kernel reads the whole of n, -1: n is computed in the kernel. Not asked for reshapes. */
	int32_t (*buffer)(void *owner, const IrNode *n);
	LowerMemo *memo; /* elements that have an expression already */
	LowerAxis *axes; /* reduction axes, shared by whoever reduces the same thing */
} LowerCx;

typedef int LowerFn(LowerCx *cx, const IrNode *n, const KIndex *idx);
#define OP(name, text, lo, hi, attr, traits, infer, eval, grad, lower) LowerFn lower_##lower;
#include "ir/ops.def"

int lower_at(LowerCx *cx, const IrNode *n, const KIndex *idx);
/* n is in memory; `edge` is what lies outside it. */
int lower_edge(LowerCx *cx, const IrNode *n, const KIndex *idx, KEdge edge);
/* The index of a reduction axis over `extent` points; 0 if there is but one. Equal (key, slot, extent): the same axis. */
KIndex lower_axis(LowerCx *cx, const IrNode *key, int slot, const char *name, int32_t extent);
KSet lower_axes(const LowerCx *cx, const KIndex *idx, int n);
/* value folded over the axes; value itself if there are none */
int lower_fold(LowerCx *cx, const char *name, KRed red, KSet away, int value);
/* i = quot * by + rem, 0 <= rem < by, both affine: the root axes must have been split so (fuse). */
void lower_divmod(const LowerCx *cx, KIndex i, int32_t by, KIndex *quot, KIndex *rem);

/* Windows that see position i of a picture: i + pad = stride * out + dilation * tap. A fold over `count` such pairs along
 * one axis (none if count is 1); 0: no window sees any of these positions. */
typedef struct LowerTaps { KIndex tap, out; int32_t count; } LowerTaps;
LowerTaps lower_taps(LowerCx *cx, const IrNode *key, int dim, KIndex i, const IrWindow *w);

/* Whether index d of in equals index d of out but for dimensions of extent 1. */
bool lower_squeezes(const IrType *out, const IrType *in);

#endif

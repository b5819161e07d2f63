/* rewrite.h -- making a kernel out of another one
 *
 * A Rewrite copies expressions and stages from `from` to `to`, which starts with the same axes. Hooks replace what
 * changes: a load becomes another expression, a REDUCE stage another stage, an index another one. Numbers of `from` map to
 * numbers of `to`. Several Rewrites may fill one kernel: equal expressions are one.
 */
#ifndef CNNC_PASSES_REWRITE_H
#define CNNC_PASSES_REWRITE_H

#include "ir/kernel.h"

typedef struct Rewrite Rewrite;
/* Expression of `to` for load x of `from`, or -1: copy it. */
typedef int RewriteLoad(Rewrite *r, int x);
/* K_LOCAL expression of `to` for REDUCE stage s of `from`, or -1: copy it. */
typedef int RewriteReduce(Rewrite *r, int s);
/* Changes an index, copied from `from`, to one of `to`. */
typedef void RewriteIndex(Rewrite *r, KIndex *at);

struct Rewrite {
	Arena *a;
	const Kernel *from;
	Kernel *to;
	RewriteLoad *load;
	RewriteReduce *reduce;
	RewriteIndex *index; /* NULL: axes stay what they are */
	void *arg;
	int *expr, *local; /* maps, -1: not yet */
};

Rewrite *rewrite_new(Arena *a, const Kernel *from, const char *name, RewriteLoad *load, RewriteReduce *reduce, void *arg);
int rewrite_expr(Rewrite *r, int x);       /* the expression of `to` that stands for x */
int rewrite_operand(Rewrite *r, int o);
void rewrite_store(Rewrite *r, int stage); /* copies a STORE or ADD stage */
void rewrite_index(Rewrite *r, const KIndex *at, int n, KIndex *out);
Kernel *rewrite_all(Rewrite *r);           /* every store; finishes and returns `to` */

/* Lists of kernels and of buffers have room for 8, or for the next power of two of what is in them. */
/* Inserts k at position `at` of the entry's kernels. */
void entry_insert(Arena *a, KEntry *e, int at, Kernel *k);
int program_buffer(Arena *a, KProgram *p, KBuffer b); /* appends; returns its number */

/* How samples are cut into parts: 8 to 16 parts, fixed by the planned maximum alone. */
int32_t part_rows(int32_t max_n);

/* Calls of at most so many samples are not cut into samples, but each sample into pieces. */
enum { FEW_SAMPLES = 4 };

#endif

/* fuse.h -- what fuse.c, fuse_group.c and fuse_kernel.c share
 *
 * A group is a kernel to be: roots of one shape, each stored, and every node that is computed inside. fuse_group.c decides
 * which nodes are stored and which are computed inside whom; fuse_kernel.c makes the kernels and puts them in order.
 */
#ifndef CNNC_PASSES_FUSE_H
#define CNNC_PASSES_FUSE_H

#include "passes/passes.h"

typedef enum GroupClass {
	G_VALUE,  /* stores values to slab or outputs */
	G_METRIC, /* sums over samples */
	G_UPDATE  /* stores state, after everything else has read it; pointwise */
} GroupClass;

/* How a dimension of the roots becomes axes. 0: one axis. Else i = by * outer + inner: either one kernel for each inner
 * (phases), or both are axes (blocks; `count` trips of outer, the rest of the dimension is another kernel). */
typedef struct Split { int32_t by, count; bool blocks; } Split;

typedef struct GroupRoot {
	IrNode *value;
	IrNode *stored; /* whose buffer it is: value, or the concat that value is a piece of */
	int32_t buf;
	int axis;       /* concat: the value is stored from `offset` on along this axis of `type` */
	int32_t offset;
	IrType type;    /* how the store sees the buffer */
	struct GroupRoot *next;
} GroupRoot;

typedef struct Group {
	struct Group *into; /* merged into; NULL: stands */
	GroupClass cls;
	IrType shape;       /* dimensions of every root */
	GroupRoot *root;
	Split split[IR_MAX_RANK];
	int axes, nodes, loose;
	bool contraction, reduces;
	IrNode *main;       /* gives name and place */
	struct Group **dep; /* groups that must run before */
	int ndep;
	uint32_t stamp;     /* of the last search that came here */
	struct Group *next; /* in the order of creation */
} Group;

/* How the elements of a node relate to the points of a kernel: what may be computed there without repeating itself. */
typedef enum FrameKind {
	F_ROOT,   /* element i at root point i */
	F_POOL,   /* every element at most once, as a cell of a window */
	F_REDUCE, /* every element once, under a reduction */
	F_MOVED,  /* every element at most once, somewhere else */
	F_WARP,   /* six coefficients, once a sample */
	F_LOOSE,  /* several times: pointwise only */
	F_FAR     /* many times: only what is cheap */
} FrameKind;

typedef struct Frame {
	FrameKind kind;
	const IrNode *node;  /* REDUCE, MOVED */
	const IrWindow *win; /* POOL */
	const struct Frame *parent;
	struct Frame *next;
} Frame;

typedef struct Place { Group *group; const Frame *frame; struct Place *next; } Place;

typedef struct NodeInfo {
	Place *reader;  /* where its value is asked for */
	bool need_load; /* some reader must find it in memory */
	bool scalar;    /* one number made of constants and per-step numbers: computed wherever it is used */
	Group *own;     /* that stores it */
	int32_t buf;    /* -1: not in memory */
} NodeInfo;

typedef struct Fuse {
	IrModule *module;
	IrEntry *entry;
	KProgram *program;
	Arena *scratch, *arena; /* arena: the module's */
	NodeInfo *info;         /* by node id */
	int32_t *port_buf;      /* by port */
	Group *group, *last_group;
	Frame *frames;
	struct Names *names;    /* of kernels */
	uint32_t stamp;
} Fuse;

Group *fuse_find(Group *g);
static inline NodeInfo *fuse_info(const Fuse *f, const IrNode *n)
{
	return &f->info[n->id];
}
/* fuse.c */
int32_t fuse_buffer(Fuse *f, KBuffer b);
int32_t fuse_slab(Fuse *f, const IrNode *n);
/* fuse_group.c: groups of the entry, every node placed */
/* The places that read what root r of group g stores; NULL if nobody can. */
const Place *fuse_readers(const Fuse *f, const Group *g, const GroupRoot *r);
void fuse_groups(Fuse *f);
/* fuse_kernel.c: kernels of the groups, in order */
void fuse_kernels(Fuse *f, KEntry *e);

#endif

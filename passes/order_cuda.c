/* order_cuda.c -- the tree of each entry for a GPU: what one launch does
 *
 * in:   kernels in an order that respects dependences      out: entry->item; kernels in the order in which they run
 *
 * A launch costs as much as a small kernel runs, so there are as few as dependences allow: a kernel's level is the length of the
 * longest chain of kernels before it, and all kernels of a level are joined. What only reads weights, inputs and numbers (views,
 * casts) runs just before it is needed, so that its result lives for a short time. A kernel that fills a GPU for long is
 * launched by itself: it would share its registers with others for nothing; those of its level run beside it.
 * A kernel that adds into partial sums is cut into parts of samples, which are blocks of their own.
 */
#include <string.h>
#include "passes/order.h"
#include "passes/rewrite.h"

#define LONG_FLOPS 2e10 /* of a launch: more than 200 microseconds at 100 TFLOP/s */

typedef struct Ordering {
	const IrModule *m;
	KEntry *e;
	Arena *scratch;
	int *level;
	int nlevels;
} Ordering;

typedef struct Touch { int read, write; } Touch; /* levels of a buffer's readers and writers */

static void see(int *most, int level)
{
	*most = level > *most ? level : *most;
}

/* The buffer whose first number says whether updates happen, -1: none. */
static int loss_buffer(const KProgram *p, const KEntry *e)
{
	for (int i = 0; i < e->nkernels; i++) {
		for (int o = 0; o < e->kernel[i]->nopnds; o++) {
			const KBuffer *b = &p->buffer[e->kernel[i]->opnd[o].buf];
			if (b->cls == B_METRIC && b->offset == 0)
				return e->kernel[i]->opnd[o].buf;
		}
	}
	return -1;
}

/* Behind all that it reads, and all that touches what it writes. */
static void find_levels(Ordering *o)
{
	const KProgram *p = o->m->program;
	Touch *t = NEWN(o->scratch, Touch, p->nbuffers + 1);
	const int loss = loss_buffer(p, o->e);
	for (int i = 0; i < p->nbuffers; i++)
		t[i] = (Touch){-1, -1};
	for (int i = 0; i < o->e->nkernels; i++) {
		const Kernel *k = o->e->kernel[i];
		int after = k->update && loss >= 0 ? t[loss].write : -1;
		for (int j = 0; j < k->nopnds; j++) {
			see(&after, t[k->opnd[j].buf].write);
			if (k->opnd[j].mode != M_IN)
				see(&after, t[k->opnd[j].buf].read);
		}
		o->level[i] = after + 1;
		for (int j = 0; j < k->nopnds; j++)
			see(k->opnd[j].mode == M_IN ? &t[k->opnd[j].buf].read : &t[k->opnd[j].buf].write, o->level[i]);
		see(&o->nlevels, o->level[i] + 1);
	}
}

static bool reads_slab(const KProgram *p, const Kernel *k)
{
	for (int i = 0; i < k->nopnds; i++) {
		const KClass cls = p->buffer[k->opnd[i].buf].cls;
		if (k->opnd[i].mode != M_OUT && (cls == B_SLAB || cls == B_PARTIAL))
			return true;
	}
	return false;
}

/* From the last kernel to the first: t holds the first level at which a later kernel reads or writes a buffer. */
static void move_late(Ordering *o)
{
	const KProgram *p = o->m->program;
	Touch *t = NEWN(o->scratch, Touch, p->nbuffers + 2);
	const int loss = loss_buffer(p, o->e);
	for (int i = 0; i < p->nbuffers; i++)
		t[i] = (Touch){o->nlevels, o->nlevels};
	for (int i = o->e->nkernels - 1; i >= 0; i--) {
		const Kernel *k = o->e->kernel[i];
		int before = o->nlevels;
		for (int j = 0; j < k->nopnds; j++) {
			const Touch *b = &t[k->opnd[j].buf];
			before = b->write < before ? b->write : before;
			if (k->opnd[j].mode != M_IN)
				before = b->read < before ? b->read : before;
		}
		if (k->update || !reads_slab(p, k))
			o->level[i] = before - 1;
		if (k->update && loss >= 0 && o->level[i] < t[loss].read)
			t[loss].read = o->level[i];
		for (int j = 0; j < k->nopnds; j++) {
			Touch *b = &t[k->opnd[j].buf];
			int *first = k->opnd[j].mode == M_IN ? &b->read : &b->write;
			*first = o->level[i] < *first ? o->level[i] : *first;
		}
	}
}

/* ---- items ---- */
static bool adds(const Kernel *k)
{
	for (int i = 0; i < k->nopnds; i++) {
		if (k->opnd[i].mode == M_ADD)
			return true;
	}
	return false;
}

static KItem item_of(const Ordering *o, const Kernel *k, int number)
{
	KItem run = {.kind = I_RUN, .kernel = number, .axis = -1};
	if (!adds(k))
		return run;
	KItem *body = NEW(o->m->arena, KItem);
	*body = run;
	return (KItem){.kind = I_PART, .axis = -1, .size = part_rows(o->m->max_n), .body = body, .nbody = 1};
}

static bool is_long(const Ordering *o, const Kernel *k)
{
	return (double)k->flops * o->m->max_n > LONG_FLOPS;
}

static void add_item(Ordering *o, const KItem *body, int n)
{
	if (n > 0)
		o->e->item[o->e->nitems++] = n == 1 ? body[0] : (KItem){.kind = I_JOIN, .axis = -1, .body = (KItem *)body, .nbody = n};
}

/* The kernels of one level: long ones first, each by itself, then the others together. */
static int list_level(Ordering *o, int level, Kernel **sorted, int n)
{
	KItem *body = NEWN(o->m->arena, KItem, o->e->nkernels + 1);
	int joined = 0;
	for (int together = 0; together < 2; together++) {
		for (int i = 0; i < o->e->nkernels; i++) {
			Kernel *k = o->e->kernel[i];
			if (o->level[i] != level || is_long(o, k) == (together == 1))
				continue;
			const KItem it = item_of(o, k, n);
			if (together)
				body[joined++] = it;
			else
				add_item(o, &it, 1);
			sorted[n++] = k;
		}
	}
	add_item(o, body, joined);
	return n;
}

/* Every buffer of partial sums has one kernel that adds to it (pass choose). */
static void mark_starts(const KEntry *e, int *adders)
{
	for (int i = 0; i < e->nkernels; i++) {
		Kernel *k = e->kernel[i];
		for (int j = 0; j < k->nopnds; j++) {
			if (k->opnd[j].mode != M_ADD)
				continue;
			INVARIANT(++adders[k->opnd[j].buf] == 1);
			k->starts = true;
		}
	}
}

void order_cuda(const IrModule *m, KEntry *e, Arena *scratch)
{
	Ordering o = {.m = m, .e = e, .scratch = scratch, .level = NEWN(scratch, int, e->nkernels + 1)};
	Kernel **sorted = NEWN(scratch, Kernel *, e->nkernels + 1);
	int n = 0;
	e->item = NEWN(m->arena, KItem, e->nkernels + 1);
	e->nitems = 0;
	find_levels(&o);
	move_late(&o);
	mark_starts(e, NEWN(scratch, int, m->program->nbuffers + 1));
	for (int level = 0; level < o.nlevels; level++)
		n = list_level(&o, level, sorted, n);
	INVARIANT(n == e->nkernels);
	memcpy(e->kernel, sorted, sizeof *sorted * (size_t)n);
}

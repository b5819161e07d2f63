/* prepare.c -- what entries make of weights alone is made once, and kept until the weights change
 *
 * in:   kernels of each entry      out: those that read states only, and write what nobody else writes, are marked `prepares`;
 *       what they write is of class B_VIEW; entries that make the same view share it
 *
 * Transposed, packed, transformed and rounded weights of predict and evaluate: they cost what a picture alone may cost. Not for
 * entries that write states: theirs are new in every call.
 */
#include "passes/passes.h"
#include <string.h>

typedef struct Prepare {
	IrModule *m;
	KEntry *e;
	Kernel **made; /* of all entries so far */
	const char **key;
	int nmade;
	Arena *scratch;
} Prepare;

static bool writes_states(const KEntry *e)
{
	for (int i = 0; i < e->nkernels; i++) {
		if (e->kernel[i]->update)
			return true;
	}
	return false;
}

static int writers(const KEntry *e, int buf)
{
	int n = 0;
	for (int i = 0; i < e->nkernels; i++) {
		for (int j = 0; j < e->kernel[i]->nopnds; j++)
			n += e->kernel[i]->opnd[j].buf == buf && e->kernel[i]->opnd[j].mode != M_IN;
	}
	return n;
}

/* The same numbers in every call? */
static bool stands_still(const Kernel *k)
{
	for (int a = 0; a < k->naxes; a++) {
		if (k->axis[a].ext != EXT_CONST)
			return false;
	}
	for (int i = 0; i < k->nexprs; i++) {
		if (k->expr[i].op == K_SCALAR || k->expr[i].op == K_RANDOM)
			return false;
	}
	return true;
}

static bool may_prepare(const Prepare *p, const Kernel *k)
{
	if (!stands_still(k))
		return false;
	for (int i = 0; i < k->nopnds; i++) {
		const KBuffer *b = &p->m->program->buffer[k->opnd[i].buf];
		bool reads = k->opnd[i].mode == M_IN && (b->cls == B_STATE || b->cls == B_VIEW);
		bool writes = k->opnd[i].mode == M_OUT && b->cls == B_SLAB && !ir_batched(&b->type) && writers(p->e, k->opnd[i].buf) == 1;
		if (!reads && !writes)
			return false;
	}
	return true;
}

/* A kernel of an earlier entry, of the same text, that reads the same buffers; NULL: there is none. */
static const Kernel *made_before(const Prepare *p, const Kernel *k, const char *key)
{
	for (int i = 0; i < p->nmade; i++) {
		bool same = p->made[i]->nopnds == k->nopnds && !strcmp(p->key[i], key);
		for (int o = 0; same && o < k->nopnds; o++)
			same = k->opnd[o].mode != M_IN || k->opnd[o].buf == p->made[i]->opnd[o].buf;
		if (same)
			return p->made[i];
	}
	return NULL;
}

static void rename_buffer(Kernel *k, int from, int to)
{
	for (int i = 0; i < k->nopnds; i++) {
		if (k->opnd[i].buf == from)
			k->opnd[i].buf = to;
	}
}

/* The entry's buffer gives way to one that holds the same. */
static void take_over(const Prepare *p, int from, int to)
{
	for (int i = 0; i < p->e->nkernels; i++) {
		Kernel *k = p->e->kernel[i];
		rename_buffer(k, from, to);
		if (k->plain)
			rename_buffer((Kernel *)k->plain, from, to);
	}
}

static void prepare(Prepare *p, Kernel *k)
{
	const char *key = k_key(p->m->program, k, p->scratch);
	const Kernel *before = made_before(p, k, key);
	k->prepares = true;
	for (int i = 0; i < k->nopnds; i++) {
		if (k->opnd[i].mode == M_IN)
			continue;
		if (before)
			take_over(p, k->opnd[i].buf, before->opnd[i].buf);
		else
			p->m->program->buffer[k->opnd[i].buf].cls = B_VIEW;
	}
	if (!before) {
		p->key[p->nmade] = key;
		p->made[p->nmade++] = k;
	}
}

bool pass_prepare(IrModule *m, PassCx *cx)
{
	Prepare p = {.m = m, .scratch = cx->scratch};
	int kernels = 0;
	for (int i = 0; i < m->program->nentries; i++)
		kernels += m->program->entry[i].nkernels;
	p.made = NEWN(cx->scratch, Kernel *, kernels + 1);
	p.key = NEWN(cx->scratch, const char *, kernels + 1);
	for (int i = 0; i < m->program->nentries && !cx->every_call; i++) {
		p.e = &m->program->entry[i];
		for (int k = 0; k < p.e->nkernels && !writes_states(p.e); k++) {
			if (may_prepare(&p, p.e->kernel[k]))
				prepare(&p, p.e->kernel[k]);
		}
	}
	return true;
}

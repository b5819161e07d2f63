/* plan.c -- where every buffer lies: lifetimes to offsets, so that a program allocates once
 *
 * in:   the tree of each entry      out: offset and bytes of every buffer; bytes of slab, parameters and kept views
 *
 * A buffer lives from the first phase that touches it to the last. One that only kernels of a single step touch needs room for
 * that step's samples alone: it goes to the worker's scratch, and stays in its cache. Placement is first fit by decreasing
 * size, on 64-byte lines, with the planned maximum of samples; fewer samples use a prefix of each buffer.
 */
#include "passes/passes.h"
#include "passes/rewrite.h"
#include <stdlib.h>
#include <string.h>

enum { LINE = 64 };

typedef struct Life {
	int buffer;
	int first, last;   /* phases */
	int start, end;    /* kernels */
	const KItem *step; /* that all its kernels run in; NULL: not all in one */
	int64_t bytes, offset;
} Life;

static int64_t rounded(int64_t bytes)
{
	return (bytes + LINE - 1) / LINE * LINE;
}

static bool buffer_bytes(const IrModule *m, KBuffer *b, Diag *d)
{
	int64_t bytes = dtype_size(b->type.dtype);
	for (int i = 0; i < b->type.rank; i++) {
		if (__builtin_mul_overflow(bytes, b->type.dim[i] == IR_N ? m->max_n : b->type.dim[i], &bytes) ||
		    bytes > INT64_MAX / 64)
			return diag_error(d, b->loc, "'%s' needs more memory than can be addressed", b->name);
	}
	b->bytes = rounded(bytes);
	return true;
}

static int64_t bytes_for(const KBuffer *b, int64_t samples)
{
	return rounded(ir_row_elems(&b->type) * dtype_size(b->type.dtype) * samples);
}

static void mark_kernel(const KEntry *e, int kernel, const KItem *step, int phase, Life *life)
{
	const Kernel *k = e->kernel[kernel];
	for (int i = 0; i < k->nopnds; i++) {
		Life *l = &life[k->opnd[i].buf];
		if (l->first < 0) {
			l->first = phase;
			l->start = kernel;
			l->step = step;
		}
		if (l->first != phase || l->step != step)
			l->step = NULL;
		l->last = phase;
		l->end = kernel;
	}
}

static void mark_item(const KEntry *e, const KItem *item, const KItem *step, int phase, Life *life)
{
	for (int i = 0; i < item->nbody; i++)
		mark_item(e, &item->body[i], item->kind == I_STEP ? item : step, phase, life);
	if (item->kind == I_RUN)
		mark_kernel(e, item->kernel, step, phase, life);
}

static int by_size(const void *x, const void *y)
{
	const Life *a = x, *b = y;
	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return a->buffer - b->buffer;
}

/* The lowest offset where l overlaps nothing that lives at the same time. In scratch, phases come one after another and
 * kernels count; in the slab the parts of a phase are all under way at once. */
static int64_t first_fit(const Life *placed, int n, const Life *l, bool scratch)
{
	int64_t at = 0;
	for (bool moved = true; moved;) {
		moved = false;
		for (int i = 0; i < n; i++) {
			const Life *o = &placed[i];
			bool together = scratch ? o->start <= l->end && l->start <= o->end : o->first <= l->last && l->first <= o->last;
			if (together && at < o->offset + o->bytes && o->offset < at + l->bytes) {
				at = o->offset + o->bytes;
				moved = true;
			}
		}
	}
	return at;
}

static int64_t place(KProgram *p, Life *live, int n, bool scratch)
{
	int64_t top = 0;
	qsort(live, (size_t)n, sizeof *live, by_size);
	for (int i = 0; i < n; i++) {
		live[i].offset = first_fit(live, i, &live[i], scratch);
		p->buffer[live[i].buffer].offset = live[i].offset;
		if (live[i].offset + live[i].bytes > top)
			top = live[i].offset + live[i].bytes;
	}
	return top;
}

static bool stays_in_step(const KBuffer *b, const Life *l)
{
	return b->cls == B_SLAB && l->step && ir_batched(&b->type);
}

static void plan_entry(KProgram *p, KEntry *e, Arena *scratch)
{
	Life *life = NEWN(scratch, Life, p->nbuffers + 1), *slab = NEWN(scratch, Life, p->nbuffers + 1),
	     *local = NEWN(scratch, Life, p->nbuffers + 1);
	int nslab = 0, nlocal = 0;
	for (int i = 0; i < p->nbuffers; i++)
		life[i] = (Life){.buffer = i, .first = -1, .bytes = p->buffer[i].bytes};
	for (int i = 0; i < e->nitems; i++)
		mark_item(e, &e->item[i], NULL, i, life);
	for (int i = 0; i < p->nbuffers; i++) {
		KBuffer *b = &p->buffer[i];
		if (life[i].first < 0)
			continue;
		if (e->few && b->cls == B_SLAB && ir_batched(&b->type))
			b->bytes = life[i].bytes = bytes_for(b, e->few);
		if (stays_in_step(b, &life[i])) {
			b->cls = B_SCRATCH;
			b->bytes = life[i].bytes = bytes_for(b, life[i].step->size);
			local[nlocal++] = life[i];
		} else if (b->cls == B_SLAB || b->cls == B_PARTIAL) {
			slab[nslab++] = life[i];
		}
	}
	e->slab_bytes = place(p, slab, nslab, false);
	e->scratch_bytes = place(p, local, nlocal, true);
}

/* The memory of an entry serves its variants, too. */
static void share_with_variants(KProgram *p, const KEntry *v)
{
	for (int i = 0; v->few && i < p->nentries; i++) {
		KEntry *e = &p->entry[i];
		if (e->few || strcmp(e->name, v->name) != 0)
			continue;
		e->slab_bytes = v->slab_bytes > e->slab_bytes ? v->slab_bytes : e->slab_bytes;
		e->scratch_bytes = v->scratch_bytes > e->scratch_bytes ? v->scratch_bytes : e->scratch_bytes;
	}
}

bool pass_plan(IrModule *m, PassCx *cx)
{
	KProgram *p = m->program;
	p->param_bytes = 0;
	for (int i = 0; i < p->nbuffers; i++) {
		KBuffer *b = &p->buffer[i];
		if (!buffer_bytes(m, b, cx->diag))
			return false;
		if (b->cls == B_STATE) {
			b->offset = p->param_bytes;
			p->param_bytes += b->bytes;
		}
	}
	p->view_bytes = 0;
	for (int i = 0; i < p->nbuffers; i++) {
		if (p->buffer[i].cls == B_VIEW) {
			p->buffer[i].offset = p->param_bytes + p->view_bytes;
			p->view_bytes += p->buffer[i].bytes;
		}
	}
	for (int i = 0; i < p->nentries; i++)
		plan_entry(p, &p->entry[i], cx->scratch);
	for (int i = 0; i < p->nentries; i++)
		share_with_variants(p, &p->entry[i]);
	return true;
}

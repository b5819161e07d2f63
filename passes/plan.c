/* plan.c -- where every buffer lies: lifetimes to offsets, so that a program allocates once
 *
 * in:   the tree of each entry      out: offset and bytes of every buffer, slab and parameter bytes
 *
 * A buffer lives from the first phase that touches it to the last. Placement is first fit by decreasing size, on 64-byte
 * lines, with the planned maximum of samples; fewer samples use a prefix of each buffer.
 */
#include "passes/passes.h"
#include "passes/rewrite.h"
#include <stdlib.h>

enum { LINE = 64 };

typedef struct Life { int buffer, first, last; int64_t bytes, offset; } Life;

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

static void mark_item(const KProgram *p, const KEntry *e, const KItem *item, int phase, Life *life)
{
	for (int i = 0; i < item->nbody; i++)
		mark_item(p, e, &item->body[i], phase, life);
	if (item->kind != I_RUN)
		return;
	const Kernel *k = e->kernel[item->kernel];
	for (int i = 0; i < k->nopnds; i++) {
		Life *l = &life[k->opnd[i].buf];
		if (l->first < 0)
			l->first = phase;
		l->last = phase;
	}
}

static int by_size(const void *x, const void *y)
{
	const Life *a = x, *b = y;
	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return a->buffer - b->buffer;
}

/* The lowest offset where l overlaps nothing that lives at the same time. */
static int64_t first_fit(const Life *placed, int n, const Life *l)
{
	int64_t at = 0;
	for (bool moved = true; moved;) {
		moved = false;
		for (int i = 0; i < n; i++) {
			const Life *o = &placed[i];
			bool together = o->first <= l->last && l->first <= o->last;
			if (together && at < o->offset + o->bytes && o->offset < at + l->bytes) {
				at = o->offset + o->bytes;
				moved = true;
			}
		}
	}
	return at;
}

static void plan_entry(KProgram *p, KEntry *e, Arena *scratch)
{
	Life *life = NEWN(scratch, Life, p->nbuffers + 1), *live = NEWN(scratch, Life, p->nbuffers + 1);
	for (int i = 0; i < p->nbuffers; i++)
		life[i] = (Life){.buffer = i, .first = -1, .bytes = p->buffer[i].bytes};
	for (int i = 0; i < e->nitems; i++)
		mark_item(p, e, &e->item[i], i, life);
	int n = 0;
	for (int i = 0; i < p->nbuffers; i++) {
		if (life[i].first >= 0 && (p->buffer[i].cls == B_SLAB || p->buffer[i].cls == B_PARTIAL))
			live[n++] = life[i];
	}
	qsort(live, (size_t)n, sizeof *live, by_size);
	e->slab_bytes = 0;
	for (int i = 0; i < n; i++) {
		live[i].offset = first_fit(live, i, &live[i]);
		p->buffer[live[i].buffer].offset = live[i].offset;
		if (live[i].offset + live[i].bytes > e->slab_bytes)
			e->slab_bytes = live[i].offset + live[i].bytes;
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
	for (int i = 0; i < p->nentries; i++)
		plan_entry(p, &p->entry[i], cx->scratch);
	return true;
}

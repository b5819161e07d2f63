/* walk_threads.c -- what one thread of a GPU has of a kernel: its points of each axis, folds over the threads of a block
 *
 * in:   a schedule with GRID and BLOCK entries (ir/kernel_threads.c)      out: places of threads through the emit table
 *
 * A thread runs the nest of the kernel with fewer points. Where threads of a block share out the axis of a sum, each adds its
 * own points, then all of them are folded; every thread has the result, and stores that do not run under that axis are done by
 * its first thread.
 */
#include "codegen/walk.h"

/* The last of *rest's digits to base n. */
static EVal digit(KEmit *e, EVal *rest, int64_t n, bool last)
{
	EVal all = *rest;
	if (last)
		return all;
	*rest = e->idiv(e, all, e->i64(e, n));
	return e->isub(e, all, e->imul(e, *rest, e->i64(e, n)));
}

static int first_entry(const KSchedule *s, KLevel level)
{
	int i = 0;
	while (i < s->nloops && s->loop[i].level != level)
		i++;
	return i;
}

void walk_threads(Walk *w)
{
	KEmit *e = w->e;
	const Kernel *k = w->k;
	const KSchedule *s = &k->sched;
	if (!k_threaded(k))
		return;
	EVal block = e->block_index(e), thread = e->thread_index(e);
	const int first_grid = first_entry(s, L_GRID), first_block = first_entry(s, L_BLOCK);
	int distance = 1;
	for (int i = s->nloops - 1; i >= 0; i--) {
		WalkAxis *x = &w->axis[s->loop[i].axis];
		const int64_t extent = k->axis[s->loop[i].axis].extent, step = s->loop[i].step;
		if (s->loop[i].level == L_BLOCK) {
			x->threads = (int)step;
			x->thread = digit(e, &thread, step, i == first_block);
			x->distance = distance;
			distance *= (int)step;
		} else if (s->loop[i].level == L_GRID) {
			x->grid = (int)step;
			x->first = x->own = e->imul(e, digit(e, &block, (extent + step - 1) / step, i == first_grid), e->i64(e, step));
		}
	}
	for (int a = 0; a < k->naxes; a++) {
		WalkAxis *x = &w->axis[a];
		if (x->threads)
			x->first = x->own ? e->iadd(e, x->own, x->thread) : x->thread;
	}
}

bool walk_guard(Walk *w, KSet over)
{
	KEmit *e = w->e;
	EVal first = NULL;
	for (int a = 0; a < w->k->naxes; a++) {
		if (w->axis[a].threads <= 1 || (over & walk_bit(a)))
			continue;
		EVal one = e->icmp(e, E_EQ, w->axis[a].thread, e->i64(e, 0));
		first = first ? e->ewise(e, EW_and, DT_BOOL, first, one, NULL) : one;
	}
	if (first)
		e->if_begin(e, first);
	return first;
}

EVal walk_fold(Walk *w, int stage, EVal v)
{
	const KStage *s = &w->k->stage[stage];
	const KSet folded = k_folded(w->k, stage);
	for (int a = w->k->naxes - 1; a >= 0; a--) {
		const WalkAxis *x = &w->axis[a];
		if ((folded & walk_bit(a)) && x->threads > 1)
			v = w->e->fold(w->e, w->k->expr[s->value].type, s->red, v, x->threads, x->distance);
	}
	return v;
}

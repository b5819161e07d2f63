/* walk_block.c -- blocks of a sum, and results asked for early
 *
 * Where the schedule's first loop cuts a sum into blocks, the nest is written for the first block, for those between and for
 * the last one. Each but the last stores its sums where the result will stand, each but the first goes on from there; so the
 * order of a sum does not change, and what follows the sum runs in the last block only.
 */
#include "codegen/walk.h"

/* ---- blocks ---- */

static void store_sums(Walk *w, WalkCarry *c, void *arg)
{
	const KStage *s = &w->k->stage[w->store];
	int x = walk_local(w, w->waiting);
	(void)c, (void)arg;
	walk_reduce(w, w->waiting);
	bool vector = w->vector >= 0 && (s->over & walk_bit(w->vector));
	WalkCombo p;
	walk_combo_first(&p);
	do
		walk_store(w, s, &p, vector ? walk_vector(w, x, &p) : walk_value(w, x, &p));
	while (walk_combo_next(w, s->over, &p));
}

static void one_block(Walk *w, int axis, EVal base, int64_t lo, int64_t hi, int count, KSet axes, WalkBody *body, void *arg)
{
	WalkAxis *x = &w->axis[axis];
	x->block = base;
	x->block_lo = lo;
	x->block_hi = hi;
	x->block_count = count;
	w->first = hi == 0;
	walk_nest(w, axes, &(WalkCarry){.n = 0}, body, arg);
	x->block = NULL;
}

void walk_blocks(Walk *w, KSet axes, WalkBody *body, void *arg)
{
	KEmit *e = w->e;
	int axis = k_block_axis(w->k), step = axis < 0 ? 0 : w->k->sched.loop[0].step;
	int64_t extent = axis < 0 ? 0 : w->k->axis[axis].extent;
	if (step >= extent) {
		walk_nest(w, axes, &(WalkCarry){.n = 0}, body, arg);
		return;
	}
	int64_t last = (extent - 1) / step * step;
	bool waits = k_waits(w->k, axis, &w->waiting, &w->store);
	INVARIANT(waits);
	one_block(w, axis, e->i64(e, 0), 0, 0, step, axes, store_sums, NULL);
	if (last > step) {
		EVal at = e->loop_begin(e, e->i64(e, step), e->i64(e, last), step, false, 0, NULL);
		one_block(w, axis, at, step, last - step, step, axes, store_sums, NULL);
		e->loop_end(e, 0, NULL);
	}
	one_block(w, axis, e->i64(e, last), last, last, (int)(extent - last), axes, body, arg);
}

/* ---- results asked for early ---- */

/* Elements that the axis of an AHEAD entry moves a store in its points. */
static int64_t lead(const KOperand *o, const KIndex *at, const KLoop *l)
{
	int64_t stride = 0;
	for (int d = 0; d < o->type.rank; d++)
		stride += at[d].coef[l->axis] * walk_stride(o, d);
	return stride * l->step;
}

void walk_fetch_results(Walk *w, KSet over)
{
	for (int i = 0; i < w->k->sched.nloops; i++) {
		const KLoop *l = &w->k->sched.loop[i];
		if (l->level != L_AHEAD || !(over & walk_bit(l->axis)))
			continue;
		for (int j = 0; j < w->k->nstages; j++) {
			const KStage *s = &w->k->stage[j];
			if (s->kind == S_REDUCE || s->over != over)
				continue;
			WalkCombo c;
			walk_combo_first(&c);
			do
				walk_fetch_store(w, s, &c, lead(&w->k->opnd[s->operand], s->at, l));
			while (walk_combo_next(w, over, &c));
		}
	}
}

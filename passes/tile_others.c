/* tile_others.c -- the schedules that a kernel could have, for a tuner and for schedule files: see tile_search.h */
#include "passes/schedule.h"
#include "passes/tile_search.h"

/* Does the order in which points of the axis are visited decide the order of a sum? */
static bool orders_sums(const Kernel *k, int axis)
{
	bool orders = tile_summed(k, axis);
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		KSet indexed = 0;
		for (int d = 0; s->kind == S_ADD && d < k->opnd[s->operand].type.rank; d++)
			indexed |= k_index_axes(k, &s->at[d]);
		orders |= s->kind == S_ADD && in(s->over & ~indexed, axis);
	}
	return orders;
}

/* Does the loop at i leave the order of sums as it is? Blocks of a sum and results asked for early do. */
static bool leaves_sums(const Kernel *k, const KSchedule *s, int i)
{
	bool block = false;
	for (int j = i + 1; s->loop[i].level == L_LOOP && j < s->nloops; j++)
		block |= s->loop[j].level == L_LOOP && s->loop[j].axis == s->loop[i].axis;
	return (block && !k_adds(k, s->loop[i].axis)) || s->loop[i].level == L_AHEAD || !orders_sums(k, s->loop[i].axis);
}

/* The same loops, copies and lanes of all axes along which sums run, in the same order. */
static bool same_sums(const Kernel *k, const KSchedule *a, const KSchedule *b)
{
	int i = 0, j = 0;
	for (;; i++, j++) {
		while (i < a->nloops && leaves_sums(k, a, i))
			i++;
		while (j < b->nloops && leaves_sums(k, b, j))
			j++;
		if (i == a->nloops || j == b->nloops)
			return i == a->nloops && j == b->nloops;
		if (a->loop[i].level != b->loop[j].level || a->loop[i].axis != b->loop[j].axis || a->loop[i].step != b->loop[j].step)
			return false;
	}
}

void tile_list_other(const Search *s, const Tile *t, double cost)
{
	Others *o = s->others;
	Search one = *s;
	KSchedule made;
	one.best = *t;
	one.cost = cost;
	one.block = tile_block(&one.cx, t);
	tile_take_pair(&one);
	tile_write(&one, &made);
	if (!same_sums(s->cx.k, &made, &o->list[0]))
		return;
	o->found |= o->wanted && schedule_equal(&made, o->wanted);
	for (int i = 0; i < o->n; i++) {
		if (schedule_equal(&made, &o->list[i]))
			return;
	}
	if (o->n == o->room && o->list[o->n - 1].cost_ns <= cost)
		return;
	int at = o->n < o->room ? o->n++ : o->n - 1;
	for (; at > 1 && o->list[at - 1].cost_ns > cost; at--)
		o->list[at] = o->list[at - 1];
	o->list[at] = made;
}

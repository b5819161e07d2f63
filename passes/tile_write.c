/* tile_write.c -- a tile and the order of its loops to a schedule, and back: see tile_search.h */
#include "passes/tile_search.h"

static void put(KSchedule *s, KLevel level, int axis, int step)
{
	INVARIANT(s->nloops < (int)COUNT(s->loop));
	s->loop[s->nloops++] = (KLoop){level, (int8_t)axis, step};
}

static void put_loop(const Search *s, KSchedule *out, int axis)
{
	int step = tile_step(&s->best, axis), extent = s->cx.k->axis[axis].extent;
	if (step < extent || s->cx.k->axis[axis].ext != EXT_CONST || axis == s->part_axis)
		put(out, L_LOOP, axis, step);
}

static void put_loops(const Search *s, KSchedule *out)
{
	KSet seen = 0;
	for (int i = 0; i < s->best.nloops; i++) {
		int a = s->best.loop[i];
		if (s->best.slice[a] && !in(seen, a))
			put(out, L_LOOP, a, s->best.slice[a]);
		else
			put_loop(s, out, a);
		seen |= (KSet)1 << a;
	}
}

void tile_write(const Search *s, KSchedule *out)
{
	const Kernel *k = s->cx.k;
	out->nloops = 0;
	out->cost_ns = s->cost;
	if (s->block.axis >= 0)
		put(out, L_LOOP, s->block.axis, s->block.points);
	put_loops(s, out);
	for (int results = 0; results < 2; results++) {
		for (int a = 0; a < k->naxes; a++) {
			if (a != s->best.vector && s->best.copies[a] > 1 && tile_summed(k, a) == !results)
				put(out, L_UNROLL, a, 1);
		}
	}
	if (s->best.vector >= 0) {
		if (s->best.copies[s->best.vector] > 1)
			put(out, L_UNROLL, s->best.vector, tile_lanes(k, s->best.vector));
		put(out, L_VECTOR, s->best.vector, tile_lanes(k, s->best.vector));
	}
	if (s->block.early >= 0)
		put(out, L_AHEAD, s->block.early, s->block.early_points);
}

void tile_take_pair(Search *s)
{
	if (s->cx.stage >= 0 && s->cx.pair.axis >= 0)
		s->best.copies[s->cx.pair.axis] = 2;
}

Tile tile_of(const Kernel *k)
{
	Tile t = {.vector = -1};
	KSet looped = 0;
	for (int a = 0; a < k->naxes; a++)
		t.copies[a] = k->axis[a].extent;
	for (int i = 0; i < k->sched.nloops; i++) {
		const KLoop *l = &k->sched.loop[i];
		if (l->level == L_LOOP) {
			t.slice[l->axis] = looped >> l->axis & 1 ? t.copies[l->axis] : 0;
			looped |= (KSet)1 << l->axis;
			t.copies[l->axis] = l->step;
		} else if (l->level == L_VECTOR) {
			t.vector = l->axis;
		}
	}
	if (t.vector >= 0)
		t.copies[t.vector] = (t.copies[t.vector] + K_LANES - 1) / K_LANES;
	return t;
}

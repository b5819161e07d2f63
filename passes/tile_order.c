/* tile_order.c -- the order of a contraction's loops, and slices of its sum: see tile_search.h
 *
 * Long result axes are put in every order and priced with what they miss in the caches (tile_memory.c); short ones stand inside
 * them, and the summed axes innermost, in the order in which the kernel names them.
 */
#include "passes/tile_search.h"
#include <string.h>

enum { LONG_LOOPS = 4, LONG_TRIPS = 8 };

static int trips(const Search *s, const Tile *t, int axis)
{
	int step = tile_step(t, axis);
	return (s->cx.extent[axis] + step - 1) / step;
}

/* The outermost removed axis, where its sum is only added to memory and a slice of it can be added by itself; -1: none. */
static int sliced_axis(const Search *s, const Tile *t)
{
	const Kernel *k = s->cx.k;
	for (int a = 0; a < k->naxes; a++) {
		if (in(k->stage[s->cx.stage].away, a))
			return a != t->vector && k_adds(k, a) ? a : -1;
	}
	return -1;
}

static void price(Search *s, const Tile *t)
{
	double c = tile_cost(&s->cx, t) + memory_cost(&s->cx, t);
	if (s->others)
		tile_list_other(s, t, c);
	else if (s->cost < 0 || c < s->cost * 0.99) {
		s->cost = c;
		s->best = *t;
	}
}

/* All orders of axes at … n-1 in the tile's list of loops. */
static void permute(Search *s, Tile *t, int at, int n)
{
	if (at >= n - 1) {
		price(s, t);
		return;
	}
	Tile next = *t;
	for (int i = at; i < n; i++) { /* the i-th comes first, the others keep their order */
		int8_t axis = t->loop[i];
		memmove(&next.loop[at + 1], &t->loop[at], (size_t)(i - at));
		memcpy(&next.loop[i + 1], &t->loop[i + 1], (size_t)(t->nloops - i - 1));
		next.loop[at] = axis;
		permute(s, &next, at + 1, n);
	}
}

/* Slice, samples and vectors, long result axes, short ones, removed ones: the start of all orders. The loops from *from on, *count
 * of them, may stand in any. */
static void first_order(const Search *s, Tile *t, int slice_axis, int *from, int *count)
{
	const Kernel *k = s->cx.k;
	int n = 0, first;
	t->nloops = 0;
	if (slice_axis >= 0 && k_sample_axis(k) >= 0)
		t->loop[t->nloops++] = (int8_t)k_sample_axis(k);
	if (slice_axis >= 0)
		t->loop[t->nloops++] = (int8_t)slice_axis;
	first = t->nloops;
	for (int rank = 0; rank < 5; rank++) {
		for (int a = 0; a < k->naxes; a++) {
			if (first > 0 && a == t->loop[0] && a != slice_axis)
				continue;
			bool is_long = trips(s, t, a) >= LONG_TRIPS || k->axis[a].ext == EXT_N;
			int r = tile_summed(k, a) ? 4 : k->axis[a].ext == EXT_N ? 0 : a == t->vector ? 1 : is_long ? 2 : 3;
			if (r != rank)
				continue;
			t->loop[t->nloops++] = (int8_t)a;
			n += r < 3 && n < LONG_LOOPS;
		}
	}
	*from = first;
	*count = n;
}

void tile_order_like(const Search *s, Tile *t, const KSchedule *like)
{
	int axis = sliced_axis(s, t), from, count, loops = 0;
	for (int i = 0; axis >= 0 && i < like->nloops; i++) {
		if (like->loop[i].axis == axis && like->loop[i].level == L_LOOP && loops++ == 0)
			t->slice[axis] = like->loop[i].step;
	}
	if (loops < 2) {
		memset(t->slice, 0, sizeof t->slice);
		axis = -1;
	}
	first_order(s, t, axis, &from, &count);
}

static void arrange(Search *s, Tile *t, int slice_axis)
{
	int from, count;
	first_order(s, t, slice_axis, &from, &count);
	permute(s, t, from, from + count);
}

/* Products of one body: the longer it is, the more registers it takes beyond those counted. */
static double body_size(const Search *s, const Tile *t)
{
	double n = 1;
	for (int a = 0; a < s->cx.k->naxes; a++)
		n *= t->copies[a];
	return n;
}

void tile_arrange(Search *s)
{
	s->cost = -1;
	for (int i = 0; i < s->ntop; i++) {
		Tile *t = &s->top[i];
		int axis = sliced_axis(s, t), steps = axis < 0 ? 0 : trips(s, t, axis);
		if (s->top_cost[i] > s->top_cost[0] * 1.25 || body_size(s, t) > body_size(s, &s->top[0]) * 1.1)
			continue;
		if (axis < 0)
			memset(t->slice, 0, sizeof t->slice);
		if (!s->sums || axis < 0 || !s->sums->slice[axis])
			arrange(s, t, -1);
		for (int slices = 2; axis >= 0 && slices <= steps; slices *= 2) {
			int size = (steps + slices - 1) / slices * tile_step(t, axis);
			if (s->sums && s->sums->slice[axis] != size)
				continue;
			t->slice[axis] = size;
			arrange(s, t, axis);
		}
		if (axis >= 0)
			t->slice[axis] = 0;
	}
}

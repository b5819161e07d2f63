/* tile_list.c -- schedules of kernels that fill lists or walk them
 *
 * in:   a kernel with a PUSH stage, or with a list axis      out: its schedule
 *
 * There is little to choose: the length of a list is not known, so the list is the innermost loop, and what stays in registers
 * are the sums of all axes that the list's entries meet at once – the patch of a picture, the taps of a kernel. Axes of a short
 * window whose position is part of the list are peeled: in each copy the edges are constants, and sums out of reach vanish.
 */
#include "passes/tile_list.h"

enum { SPARE_REGS = 2, PEEL_MAX = 16, SIDE = 4 };

static bool in(KSet s, int axis)
{
	return s >> axis & 1;
}

static void put(KSchedule *s, KLevel level, int axis, int step)
{
	INVARIANT(s->nloops < (int)COUNT(s->loop));
	s->loop[s->nloops++] = (KLoop){level, (int8_t)axis, step};
}

static const KStage *push_stage(const Kernel *k)
{
	for (int i = 0; i < k->nstages; i++) {
		if (k->stage[i].kind == S_PUSH)
			return &k->stage[i];
	}
	return NULL;
}

/* The REDUCE stage over a list, and the list's axis. */
static const KStage *list_stage(const Kernel *k, int *axis)
{
	for (int i = 0; i < k->nstages; i++) {
		for (int a = 0; a < k->naxes; a++) {
			*axis = a;
			if (k->axis[a].ext == EXT_LIST && in(k->stage[i].away, a))
				return &k->stage[i];
		}
	}
	return NULL;
}

bool has_list(const Kernel *k)
{
	int axis;
	return push_stage(k) || list_stage(k, &axis);
}

/* Every load that moves with the axis moves by ones. */
static bool by_ones(const Kernel *k, int axis)
{
	for (int i = 0; i < k->nexprs; i++) {
		const KExpr *x = &k->expr[i];
		if (x->op == K_LOAD && lanes_of(k, &k->opnd[x->operand], x->at, axis) == LANES_SCATTERED)
			return false;
	}
	return true;
}

static bool loaded_by(const Kernel *k, int axis)
{
	for (int i = 0; i < k->nexprs; i++) {
		if (k->expr[i].op == K_LOAD && in(k->expr[i].axes, axis))
			return true;
	}
	return false;
}

static bool short_axis(const Kernel *k, int axis)
{
	return k->axis[axis].ext == EXT_CONST && k->axis[axis].extent <= PEEL_MAX;
}

/* ---- filling ---- */

/* The key that runs through memory by ones: neighbours are filled side by side, while their values are at hand. -1: none. */
static int side_by_side(const Kernel *k, const KStage *s)
{
	int side = -1;
	for (int a = 0; a < k->naxes; a++)
		side = in(s->over, a) && k->axis[a].ext == EXT_CONST && k->axis[a].extent >= SIDE && loaded_by(k, a) && by_ones(k, a) ? a : side;
	return side;
}

/* The one axis of a list's points, -1: there are several, or a number that is not known. */
static int point_axis(const Kernel *k, const KStage *s)
{
	for (int a = 0; a < k->naxes; a++) {
		if (in(s->away, a))
			return s->away == (KSet)1 << a && k->axis[a].ext == EXT_CONST ? a : -1;
	}
	return -1;
}

/* Squares of keys and points, turned in registers, fill as many lists with vectors: where the machine packs those. */
static bool fills_squares(const Kernel *k, int side, int point, const Target *t)
{
	return side >= 0 && point >= 0 && k->axis[side].extent >= K_LANES && tile_lanes(k, point) == K_LANES &&
	       t->vec_bytes >= K_LANES * (int)sizeof(float);
}

/* Keys outside, positions of a window peeled, then the points; lanes where a whole list is a run of memory, or in squares. */
static void schedule_push(const Kernel *k, const KStage *s, const Target *t, KSchedule *out)
{
	int side = side_by_side(k, s), point = point_axis(k, s);
	bool squares = fills_squares(k, side, point, t);
	int vector = squares || (point >= 0 && by_ones(k, point)) ? point : -1, beside = squares ? K_LANES : SIDE;
	for (int a = 0; a < k->naxes; a++) {
		if (in(s->over, a))
			put(out, !loaded_by(k, a) && short_axis(k, a) ? L_PEEL : L_LOOP, a, a == side ? beside : 1);
	}
	for (int a = 0; a < k->naxes; a++) {
		if (in(s->away, a))
			put(out, L_LOOP, a, a == vector ? tile_lanes(k, a) : 1);
	}
	if (side >= 0)
		put(out, L_UNROLL, side, 1);
	if (vector >= 0)
		put(out, L_VECTOR, vector, tile_lanes(k, vector));
}

/* ---- walking ---- */

typedef struct Walking {
	const Kernel *k;
	const KStage *s;
	KSet keys, copies; /* axes of the list's count; axes unrolled */
	int list, vector;
} Walking;

/* The last result axis along which every load and store runs by ones or stands. */
static int vector_axis(const Kernel *k, const KStage *s)
{
	int vector = -1;
	for (int a = 0; a < k->naxes; a++) {
		bool stored = true;
		for (int i = 0; i < k->nstages; i++) {
			const KStage *st = &k->stage[i];
			if (st->kind != S_REDUCE)
				stored &= lanes_of(k, &k->opnd[st->operand], st->at, a) != LANES_NONE;
		}
		if (in(s->over, a) && k->axis[a].ext == EXT_CONST && k->axis[a].extent > 1 && stored && by_ones(k, a))
			vector = a;
	}
	return vector;
}

/* Does the axis move the factor that the entries gather? Then each entry meets all of its points. */
static bool meets_entries(const Walking *w, int axis)
{
	for (int i = 0; i < w->k->nexprs; i++) {
		const KExpr *x = &w->k->expr[i];
		if (x->op == K_LOAD && in(x->axes, w->list) && in(x->axes, axis) && (w->vector < 0 || in(x->axes, w->vector)))
			return true;
	}
	return false;
}

/* Result axes in registers: the innermost first, while their sums fit. */
static void choose_copies(Walking *w, const Target *t)
{
	int bytes = w->vector >= 0 ? tile_lanes(w->k, w->vector) * (int)sizeof(float) : 1, sums = bytes > t->vec_bytes ? bytes / t->vec_bytes : 1;
	for (int a = w->k->naxes - 1; a >= 0; a--) {
		bool inner = in(w->s->over, a) && !in(w->keys, a) && a != w->vector && short_axis(w->k, a);
		if (!inner || !meets_entries(w, a) || sums * w->k->axis[a].extent + SPARE_REGS > t->vec_regs)
			continue;
		sums *= w->k->axis[a].extent;
		w->copies |= (KSet)1 << a;
	}
}

enum { RANKS = 7 };

/* Do points of the axis and of other lists meet in one result? Then it stays inside, so that they meet in the same order
 * whether it is unrolled or not. */
static bool overlaps(const Walking *w, int axis)
{
	for (int i = 0; i < w->k->nstages; i++) {
		const KStage *st = &w->k->stage[i];
		for (int d = 0; st->kind != S_REDUCE && d < w->k->opnd[st->operand].type.rank; d++) {
			if (st->at[d].coef[axis] && (k_index_axes(w->k, &st->at[d]) & w->keys))
				return true;
		}
	}
	return false;
}

/* Samples, vectors and their blocks, lists, other results; of what is summed: samples, positions of a window, the list. */
static int rank_of(const Walking *w, int a)
{
	bool sample = w->k->axis[a].ext == EXT_N;
	if (!in(w->s->over, a))
		return sample ? 4 : a == w->list ? 6 : 5;
	if (sample)
		return 0;
	if (in(w->keys, a))
		return 2;
	return overlaps(w, a) ? 3 : 1;
}

static void schedule_walk(const Kernel *k, const KStage *s, int list, const Target *t, KSchedule *out)
{
	Walking w = {.k = k, .s = s, .keys = k->expr[k->axis[list].count].axes, .list = list, .vector = vector_axis(k, s)};
	choose_copies(&w, t);
	for (int rank = 0; rank < RANKS; rank++) {
		for (int a = 0; a < k->naxes; a++) {
			bool whole = in(w.copies, a) || (a == w.vector && k->axis[a].extent <= tile_lanes(k, a));
			bool position = in(s->away, a) && in(w.keys, a) && short_axis(k, a);
			if (rank_of(&w, a) == rank && !whole)
				put(out, position ? L_PEEL : L_LOOP, a, a == w.vector ? tile_lanes(k, a) : 1);
		}
	}
	for (int a = 0; a < k->naxes; a++) {
		if (in(w.copies, a))
			put(out, L_UNROLL, a, 1);
	}
	if (w.vector >= 0)
		put(out, L_VECTOR, w.vector, tile_lanes(k, w.vector));
}

void schedule_list(const Kernel *k, const Target *t, KSchedule *out)
{
	int list = -1;
	const KStage *push = push_stage(k), *walk = list_stage(k, &list);
	*out = (KSchedule){0};
	INVARIANT(push || walk);
	if (push)
		schedule_push(k, push, t, out);
	else
		schedule_walk(k, walk, list, t, out);
}

/* walk.c -- a kernel and its schedule to code: loops, tails, rims, stores
 *
 * in:   a verified, scheduled kernel      out: one function through the emit table
 * not:  choosing anything (passes/tile.c), computing values (walk_value.c), reductions (walk_reduce.c)
 *
 * Stages run at the shallowest place where their axes are bound: before a loop opens, everything that it does not
 * change is emitted. Loops whose extent is no multiple of the step get a tail: the same code with a smaller tile.
 */
#include "codegen/walk.h"
#include <string.h>
#include "runtime/model.h"

KSet walk_bound(const Walk *w)
{
	KSet s = 0;
	for (int a = 0; a < w->k->naxes; a++)
		s |= w->axis[a].bound ? walk_bit(a) : 0;
	return s;
}

/* ---- combinations of copies ---- */

void walk_combo_first(WalkCombo *c)
{
	memset(c, 0, sizeof *c);
}

/* Axes with copies, innermost last: in the order of the schedule's UNROLL and VECTOR entries. */
static int unrolled(const Walk *w, KSet axes, int *out)
{
	const KSchedule *s = &w->k->sched;
	KSet seen = 0;
	int n = 0;
	for (int i = 0; i < s->nloops; i++) {
		int a = s->loop[i].axis;
		int level = s->loop[i].level;
		if (level < L_UNROLL || level == L_AHEAD || !(axes & walk_bit(a)) || (seen & walk_bit(a)) || w->axis[a].copies <= 1)
			continue;
		seen |= walk_bit(a);
		out[n++] = a;
	}
	return n;
}

bool walk_combo_next(const Walk *w, KSet axes, WalkCombo *c)
{
	int order[K_MAX_AXES], n = unrolled(w, axes, order);
	for (int i = n - 1; i >= 0; i--) {
		if (++c->copy[order[i]] < w->axis[order[i]].copies)
			return true;
		c->copy[order[i]] = 0;
	}
	return false;
}

int walk_combos(const Walk *w, KSet axes)
{
	int order[K_MAX_AXES], n = unrolled(w, axes, order), total = 1;
	for (int i = 0; i < n; i++)
		total *= w->axis[order[i]].copies;
	return total;
}

/* ---- scopes ---- */

static void forget_cells(Walk *w, int mark, int splat_mark)
{
	while (w->nsplats > splat_mark)
		w->cell[w->splatted[--w->nsplats]].splat = NULL;
	while (w->ncells > mark) {
		const WalkCell *c = &w->cell[--w->ncells];
		w->head[c->expr] = c->prev;
	}
}

/* Distance of copies of axis a, from its UNROLL or VECTOR entry. */
static int copy_step(const Walk *w, int a)
{
	return a == w->vector ? w->lanes : w->axis[a].threads > 1 ? w->axis[a].threads : 1;
}

EVal *walk_bind(Walk *w, int a, EVal base, int64_t lo, int64_t hi, int count)
{
	WalkAxis *x = &w->axis[a];
	x->bound = true;
	x->base = base;
	x->lo = lo;
	x->hi = hi;
	x->count = count;
	x->step = copy_step(w, a);
	x->copies = (count + x->step - 1) / x->step;
	INVARIANT(x->copies <= WALK_MAX_COPIES);
	EVal *old = w->addr;
	w->addr = NEWN(w->arena, EVal, w->k->nexprs + 1);
	memcpy(w->addr, old, sizeof(EVal) * (size_t)w->k->nexprs);
	for (int i = 0; i < w->k->nexprs; i++) {
		const KExpr *l = &w->k->expr[i];
		if (l->op != K_LOAD || (w->placing >= 0 && i != w->placing))
			continue;
		const KOperand *o = &w->k->opnd[l->operand];
		int64_t stride = 0;
		for (int d = 0; d < o->type.rank; d++)
			stride += walk_stride(o, d) * l->at[d].coef[a];
		stride = walk_elems(w, i, stride);
		if (stride)
			w->addr[i] = w->e->iadd(w->e, w->addr[i], w->e->imul(w->e, base, w->e->i64(w->e, stride)));
	}
	return old;
}

void walk_unbind(Walk *w, int a, EVal *old_addr)
{
	w->axis[a].bound = false;
	w->axis[a].copies = 1;
	w->addr = old_addr;
}

/* ---- loops ---- */

typedef struct Nest {
	int axis[2 * K_MAX_AXES], step[2 * K_MAX_AXES]; /* step 0: the whole extent at once */
	bool peel[2 * K_MAX_AXES];
	bool tiled[2 * K_MAX_AXES]; /* has copies inside the loop */
	bool slice[2 * K_MAX_AXES]; /* narrows the loop of the axis that opens further in */
	int n;
	WalkBody *body;
	void *arg;
} Nest;

/* Is loop i of the schedule the outer one of two? */
static bool is_slice(const Walk *w, int i)
{
	const KSchedule *s = &w->k->sched;
	if (!k_adds(w->k, s->loop[i].axis))
		return false;
	for (int j = i + 1; s->loop[i].level == L_LOOP && j < s->nloops; j++) {
		if (s->loop[j].level == L_LOOP && s->loop[j].axis == s->loop[i].axis)
			return true;
	}
	return false;
}

/* Loops of the axes in schedule order, and of slices that are not open; an axis without entries is a loop of step 1 inside the
 * others. */
static void plan_nest(const Walk *w, KSet axes, Nest *n)
{
	const KSchedule *s = &w->k->sched;
	KSet placed = 0, tiled = 0;
	int block = k_block_axis(w->k);
	for (int i = 0; i < s->nloops; i++) {
		const KLoop *l = &s->loop[i];
		if (is_slice(w, i)) {
			if (!(axes & walk_bit(l->axis)) && !w->axis[l->axis].slice_from) {
				n->slice[n->n] = true;
				n->axis[n->n] = l->axis;
				n->step[n->n++] = l->step;
			}
			continue;
		}
		if (!(axes & walk_bit(l->axis)) || l->level == L_AHEAD || (i == 0 && l->axis == block))
			continue;
		if (l->level < L_UNROLL && !(placed & walk_bit(l->axis))) {
			n->axis[n->n] = l->axis;
			n->peel[n->n] = l->level == L_PEEL;
			n->step[n->n++] = l->step;
			placed |= walk_bit(l->axis);
		} else if (l->level >= L_UNROLL) {
			tiled |= walk_bit(l->axis);
		}
	}
	for (int i = 0; i < n->n; i++)
		n->tiled[i] = tiled & walk_bit(n->axis[i]);
	for (int a = 0; a < w->k->naxes; a++) {
		if (!(axes & walk_bit(a)) || (placed & walk_bit(a)))
			continue;
		n->axis[n->n] = a;
		n->step[n->n++] = (tiled & walk_bit(a)) ? 0 : 1;
	}
}

static void nest_from(Walk *w, const Nest *n, int i, WalkCarry *c);

/* One value of the loop variable, known or not, with `count` points. */
static void nest_tile(Walk *w, const Nest *n, int i, WalkCarry *c, EVal base, int64_t lo, int64_t hi, int count)
{
	int mark = w->ncells, splat_mark = w->nsplats;
	EVal *old = walk_bind(w, n->axis[i], base, lo, hi, count);
	uint8_t *placed = w->placed;
	w->placed = NEWN(w->arena, uint8_t, w->k->nexprs + 1);
	memcpy(w->placed, placed, (size_t)w->k->nexprs);
	nest_from(w, n, i + 1, c);
	w->placed = placed;
	walk_unbind(w, n->axis[i], old);
	forget_cells(w, mark, splat_mark);
}

static void nest_const(Walk *w, const Nest *n, int i, WalkCarry *c, int64_t base, int count)
{
	nest_tile(w, n, i, c, w->e->i64(w->e, base), base, base, count);
}

static void nest_loop(Walk *w, const Nest *n, int i, WalkCarry *c, EVal from, EVal to, int step, bool maybe_empty, int64_t lo,
                      int64_t hi, int count)
{
	EVal iv = w->e->loop_begin(w->e, from, to, step, maybe_empty, c->n, c->v);
	nest_tile(w, n, i, c, iv, lo, hi, count);
	w->e->loop_end(w->e, c->n, c->v);
}

/* Trips at both ends of a loop that are peeled: with a known base every point of a tile that lies outside an operand is
 * decided at compile time, and what is left in the middle needs no checks. */
typedef struct Rim { int64_t low, high; } Rim;

/* An axis that is one tile, wherever its loop is opened. */
static bool unrolls_whole(const Walk *w, int a)
{
	bool tiled = false;
	for (int i = 0; i < w->k->sched.nloops; i++) {
		const KLoop *l = &w->k->sched.loop[i];
		if (l->axis == a && l->level <= L_LOOP)
			return false;
		tiled |= l->axis == a;
	}
	return tiled;
}

/* Range of an index without axis a. *tile: copies move it; *open: so does a loop yet to come, which may be clipped. */
static void range_besides(const Walk *w, const KIndex *at, int a, int64_t *lo, int64_t *hi, bool *tile, bool *open)
{
	*lo = *hi = at->c0;
	*tile = *open = false;
	for (int b = 0; b < w->k->naxes; b++) {
		const WalkAxis *x = &w->axis[b];
		const int64_t f = at->coef[b];
		if (!f || b == a)
			continue;
		const int64_t low = x->bound ? x->lo : 0, high = x->bound ? x->hi + x->count - 1 : w->k->axis[b].extent - 1;
		*lo += f > 0 ? f * low : f * high;
		*hi += f > 0 ? f * high : f * low;
		*tile |= x->bound ? x->count > 1 : unrolls_whole(w, b);
		*open |= !x->bound && !unrolls_whole(w, b);
	}
}

/* Trips from the low end until a tile of `step` points lies inside; `trips` if none does. */
static int64_t trips_outside(int64_t f, int64_t lo, int64_t hi, int64_t extent, int64_t step, int64_t trips, bool from_end)
{
	for (int64_t i = 0; i < trips; i++) {
		const int64_t first = (from_end ? trips - 1 - i : i) * step, last = first + step - 1;
		if (lo + f * (f > 0 ? first : last) >= 0 && hi + f * (f > 0 ? last : first) < extent)
			return i;
	}
	return trips;
}

static Rim rim_of(const Walk *w, int a, int step, int64_t trips)
{
	enum { MOST = 6 }; /* TILE_MAX_RIM of passes/tile_cost.h counts on it */
	Rim r = {0};
	for (int i = 0; i < w->k->nexprs; i++) {
		const KExpr *l = &w->k->expr[i];
		if (l->op != K_LOAD || l->edge == EDGE_NEVER || !w->needed[i])
			continue;
		for (int d = 0; d < w->k->opnd[l->operand].type.rank; d++) {
			int64_t lo, hi, f = l->at[d].coef[a], extent = w->k->opnd[l->operand].type.dim[d];
			bool tile, open;
			if (!f || trips == 1)
				continue;
			range_besides(w, &l->at[d], a, &lo, &hi, &tile, &open);
			if (step == 1 && (open || !tile || l->at[d].expr >= 0))
				continue;
			int64_t low = trips_outside(f, lo, hi, extent, step, trips, false);
			int64_t high = trips_outside(f, lo, hi, extent, step, trips, true);
			if (low + high > MOST || l->at[d].expr >= 0)
				low = high = step > 1;
			r.low = low > r.low ? low : r.low;
			r.high = high > r.high ? high : r.high;
		}
	}
	if (r.low + r.high > trips)
		r = (Rim){trips, 0};
	return r;
}

/* Trips 0 … trips-1 of a constant range. */
static void nest_trips(Walk *w, const Nest *n, int i, WalkCarry *c, int64_t trips, int step)
{
	const Rim rim = rim_of(w, n->axis[i], step, trips);
	const int64_t first = trips == 1 ? 1 : rim.low, last = trips == 1 ? 1 : trips - rim.high;
	for (int64_t t = 0; t < first; t++)
		nest_const(w, n, i, c, t * step, step);
	if (last - first == 1)
		nest_const(w, n, i, c, first * step, step);
	else if (last > first)
		nest_loop(w, n, i, c, w->e->i64(w->e, first * step), w->e->i64(w->e, last * step), step, false, first * step,
		          (last - 1) * step, step);
	for (int64_t t = last > first ? last : first; t < trips; t++)
		nest_const(w, n, i, c, t * step, step);
}

/* A range known only at run time: whole tiles, then a tail. `rest`: points of the tail when it is known, else it goes by ones. */
static void nest_range(Walk *w, const Nest *n, int i, WalkCarry *c, EVal from, EVal to, bool maybe_empty, int step, int64_t top,
                       int rest)
{
	KEmit *e = w->e;
	if (step == 1) {
		nest_loop(w, n, i, c, from, to, 1, maybe_empty, 0, top, 1);
		return;
	}
	EVal whole = e->imul(e, e->idiv(e, e->isub(e, to, from), e->i64(e, step)), e->i64(e, step));
	EVal middle = e->iadd(e, from, whole);
	nest_loop(w, n, i, c, from, middle, step, true, 0, top < step ? 0 : top - step + 1, step);
	if (rest > 0)
		nest_loop(w, n, i, c, middle, to, step, true, 0, top - rest + 1, rest);
	else if (rest < 0)
		nest_loop(w, n, i, c, middle, to, 1, true, 0, top, 1);
}

/* The points of a block: whole tiles, then what is left. */
static void nest_block(Walk *w, const Nest *n, int i, WalkCarry *c, int step)
{
	const WalkAxis x = w->axis[n->axis[i]];
	int whole = x.block_count / step * step;
	EVal middle = w->e->iadd(w->e, x.block, w->e->i64(w->e, whole));
	if (whole)
		nest_loop(w, n, i, c, x.block, middle, step, false, x.block_lo, x.block_hi + whole - step, step);
	if (x.block_count > whole)
		nest_tile(w, n, i, c, middle, x.block_lo + whole, x.block_hi + whole, x.block_count - whole);
}

/* Slices of an axis that a reduction further in opens. */
static void nest_slices(Walk *w, const Nest *n, int i, WalkCarry *c)
{
	KEmit *e = w->e;
	WalkAxis *x = &w->axis[n->axis[i]];
	int64_t extent = w->k->axis[n->axis[i]].extent, step = n->step[i];
	int mark = w->ncells, splat_mark = w->nsplats;
	INVARIANT(w->k->axis[n->axis[i]].ext == EXT_CONST && !x->slice_from);
	x->slice = step;
	x->slice_from = e->loop_begin(e, e->i64(e, 0), e->i64(e, extent), step, false, c->n, c->v);
	x->slice_to = e->iadd(e, x->slice_from, e->i64(e, step));
	if (extent % step)
		x->slice_to = e->imin(e, x->slice_to, e->i64(e, extent));
	nest_from(w, n, i + 1, c);
	x->slice_from = x->slice_to = NULL;
	forget_cells(w, mark, splat_mark);
	e->loop_end(e, c->n, c->v);
}

/* The end of an axis, known or not. */
static EVal extent_of(const Walk *w, int a)
{
	const KAxis *x = &w->k->axis[a];
	KEmit *e = w->e;
	if (x->ext == EXT_N)
		return w->n;
	if (x->ext == EXT_PARTS)
		return e->idiv(e, e->iadd(e, w->n, e->i64(e, x->rows - 1)), e->i64(e, x->rows));
	return e->i64(e, x->extent);
}

/* A thread's own points. With copies all of them are one tile, unless the block stands at a ragged end. */
static void nest_own(Walk *w, const Nest *n, int i, WalkCarry *c)
{
	KEmit *e = w->e;
	const int a = n->axis[i];
	const WalkAxis x = w->axis[a];
	const int64_t extent = w->k->axis[a].extent;
	const int threads = x.threads > 1 ? x.threads : 1, points = x.grid ? x.grid : (int)extent;
	const int copies = n->tiled[i] ? points / threads : 1, span = (copies - 1) * threads + 1;
	const bool even = w->k->axis[a].ext == EXT_CONST && extent % points == 0 && points == threads * copies;
	EVal end = extent_of(w, a), from = x.first;
	if (even) {
		nest_tile(w, n, i, c, from, 0, extent - span, span);
		return;
	}
	EVal limit = x.own ? e->iadd(e, x.own, e->i64(e, x.grid)) : NULL;
	if (copies > 1) {
		EVal whole = e->icmp(e, E_LE, limit, end);
		INVARIANT(c->n == 0);
		e->if_begin(e, whole);
		nest_tile(w, n, i, c, from, 0, extent - span, span);
		e->if_end(e);
		from = e->iselect(e, whole, end, from);
	}
	EVal to = limit ? e->imin(e, limit, end) : end;
	EVal iv = e->loop_begin(e, from, to, threads, true, c->n, c->v);
	nest_tile(w, n, i, c, iv, 0, extent - 1, 1);
	e->loop_end(e, c->n, c->v);
}

static void nest_axis(Walk *w, const Nest *n, int i, WalkCarry *c)
{
	int a = n->axis[i];
	const KAxis *x = &w->k->axis[a];
	WalkAxis *wx = &w->axis[a];
	int64_t extent = x->extent;
	int step = n->step[i] ? n->step[i] : (int)extent;
	KEmit *e = w->e;
	if (step > extent)
		step = (int)extent;
	if (wx->first) {
		nest_own(w, n, i, c);
	} else if (n->peel[i]) {
		for (int64_t at = 0; at < extent; at++)
			nest_const(w, n, i, c, at, 1);
	} else if (x->ext == EXT_LIST) {
		WalkCombo zero; /* the length does not depend on copies: its axes have none */
		walk_combo_first(&zero);
		EVal length = e->to_i64(e, walk_value(w, x->count, &zero));
		nest_range(w, n, i, c, e->i64(e, 0), length, true, 1, extent - 1, 0);
	} else if (wx->block) {
		nest_block(w, n, i, c, step > wx->block_count ? wx->block_count : step);
	} else if (wx->from) {
		nest_range(w, n, i, c, wx->from, wx->to, true, 1, extent - 1, 0);
	} else if (wx->slice_from) {
		nest_range(w, n, i, c, wx->slice_from, wx->slice_to, false, step, extent - 1, (int)(extent % step));
	} else if (a == w->part_axis) {
		int rest = x->ext == EXT_CONST ? (int)(extent % step) : -1;
		INVARIANT(a != w->vector || x->ext == EXT_CONST);
		nest_range(w, n, i, c, w->lo, w->hi, false, step, extent - 1, rest);
	} else if (x->ext == EXT_N) {
		INVARIANT(a != w->vector);
		nest_range(w, n, i, c, e->i64(e, 0), w->n, false, step, extent - 1, -1);
	} else if (x->ext == EXT_PARTS) {
		nest_range(w, n, i, c, e->i64(e, 0), extent_of(w, a), false, 1, extent - 1, 0);
	} else {
		if (extent / step)
			nest_trips(w, n, i, c, extent / step, step);
		if (extent % step)
			nest_const(w, n, i, c, extent / step * step, (int)(extent % step));
	}
}

/* Scalar values that the loops to come do not change, and that only they would compute again and again. */
static void hoist(Walk *w)
{
	KSet bound = walk_bound(w), tiles = 0;
	for (int a = 0; a < w->k->naxes; a++)
		tiles |= w->axis[a].bound && (w->axis[a].copies > 1 || a == w->vector) ? walk_bit(a) : 0;
	WalkCombo zero;
	walk_combo_first(&zero);
	for (int i = 0; i < w->k->nexprs; i++) {
		const KExpr *x = &w->k->expr[i];
		if (!w->needed[i] || x->op == K_KONST || x->op == K_AXIS || x->op == K_LOCAL || (x->axes & ~bound) ||
		    (x->axes & tiles) || walk_find(w, i, &zero))
			continue;
		bool ready = true;
		for (int j = 0; j < 3; j++) {
			const KExpr *arg = x->arg[j] >= 0 ? &w->k->expr[x->arg[j]] : NULL;
			ready &= !arg || arg->op == K_KONST || arg->op == K_AXIS || walk_find(w, x->arg[j], &zero);
		}
		if (ready)
			walk_cell(w, i, &zero);
	}
	for (int i = 0; i < w->k->nexprs; i++) {
		if (w->needed[i] && w->k->expr[i].op == K_LOAD)
			walk_place(w, i);
	}
}

static void nest_from(Walk *w, const Nest *n, int i, WalkCarry *c)
{
	if (i == n->n) {
		n->body(w, c, n->arg);
		return;
	}
	hoist(w);
	if (n->slice[i])
		nest_slices(w, n, i, c);
	else
		nest_axis(w, n, i, c);
}

void walk_nest(Walk *w, KSet axes, WalkCarry *c, WalkBody *body, void *arg)
{
	Nest n = {.body = body, .arg = arg};
	plan_nest(w, axes & ~walk_bound(w), &n);
	nest_from(w, &n, 0, c);
}

/* ---- stores ---- */

typedef struct Stores { const KStage **stage; int n; } Stores;

static bool only_written(const Walk *w, const KStage *s)
{
	return w->k->opnd[s->operand].mode == M_OUT;
}

static EVal store_value(Walk *w, const KStage *s, const WalkCombo *c)
{
	bool vec = w->vector >= 0 && (s->over & walk_bit(w->vector));
	return vec ? walk_vector(w, s->value, c) : walk_value(w, s->value, c);
}

/* Both halves of a pair are here: one vector of words is stored instead of two scattered ones. False: not this combination's. */
static bool paired_store(Walk *w, const KStage *s, const WalkCombo *c, EVal *v, bool *skip)
{
	KPair p;
	if (!k_pair_store(w->k, (int)(s - w->k->stage), &p) || p.lanes != w->vector || w->axis[p.axis].copies != 2)
		return false;
	*skip = c->copy[p.axis] == 1;
	if (*skip)
		return true;
	WalkCombo next = *c;
	next.copy[p.axis] = 1;
	EVal first = store_value(w, s, c);
	*v = w->e->pair(w->e, first, store_value(w, s, &next));
	return true;
}

/* What the value makes of what is in memory; of a kernel that starts a sum, the first sample of a part finds 0 there. */
static EVal added(Walk *w, const KStage *s, const WalkCombo *c, EVal v)
{
	KEmit *e = w->e;
	const DType t = w->k->expr[s->value].type;
	EVal old = walk_load_for_add(w, s, c);
	if (w->k->starts) {
		INVARIANT(w->part_axis >= 0 && w->axis[w->part_axis].bound);
		EVal first = e->icmp(e, E_EQ, walk_axis_point(w, w->part_axis, c), w->lo);
		old = e->ewise(e, EW_select, t, first, e->konst(e, t, 0, 1), old);
	}
	return e->ewise(e, EW_add, t, old, v, NULL);
}

/* All values of a combination before its stores to what is also read: an operand may be read and written at the same place.
 * What is only written is stored at once, so that many values do not wait in registers. */
static void emit_stores(Walk *w, const Stores *s)
{
	WalkCombo c;
	walk_combo_first(&c);
	KSet over = 0;
	EVal *v = NEWN(w->arena, EVal, s->n);
	bool *paired = NEWN(w->arena, bool, s->n), *skip = NEWN(w->arena, bool, s->n);
	for (int i = 0; i < s->n; i++)
		over |= s->stage[i]->over;
	int mark = w->ncells, splat_mark = w->nsplats;
	bool guarded = walk_guard(w, over);
	do {
		for (int i = 0; i < s->n; i++) {
			skip[i] = false;
			paired[i] = paired_store(w, s->stage[i], &c, &v[i], &skip[i]);
			if (!paired[i])
				v[i] = store_value(w, s->stage[i], &c);
			if (s->stage[i]->kind == S_ADD)
				v[i] = added(w, s->stage[i], &c, v[i]);
			if (only_written(w, s->stage[i]) && !skip[i])
				(paired[i] ? walk_store_pairs : walk_store)(w, s->stage[i], &c, v[i]);
		}
		for (int i = 0; i < s->n; i++) {
			if (!only_written(w, s->stage[i]) && !skip[i])
				(paired[i] ? walk_store_pairs : walk_store)(w, s->stage[i], &c, v[i]);
		}
	} while (walk_combo_next(w, over, &c));
	if (guarded) {
		forget_cells(w, mark, splat_mark);
		w->e->if_end(w->e);
	}
}

static void stores_body(Walk *w, WalkCarry *c, void *arg);

/* Stores whose axes are all bound are emitted; the others go on, grouped by their axes. */
static void stores_here(Walk *w, const Stores *s)
{
	KSet bound = walk_bound(w);
	bool *done = NEWN(w->arena, bool, s->n);
	for (int i = 0; i < s->n; i++)
		walk_ready(w, s->stage[i]->value);
	for (int i = 0; i < s->n; i++) {
		if (done[i])
			continue;
		if (s->stage[i]->kind == S_PUSH && !(s->stage[i]->over & ~bound)) {
			walk_push(w, s->stage[i]);
			continue;
		}
		Stores group = {.stage = NEWN(w->arena, const KStage *, s->n)};
		for (int j = i; j < s->n; j++) {
			if (!done[j] && s->stage[j]->over == s->stage[i]->over)
				group.stage[group.n++] = s->stage[j], done[j] = true;
		}
		if (!(s->stage[i]->over & ~bound))
			emit_stores(w, &group);
		else
			walk_nest(w, s->stage[i]->over, &(WalkCarry){.n = 0}, stores_body, &group);
	}
}

static void stores_body(Walk *w, WalkCarry *c, void *arg)
{
	(void)c;
	stores_here(w, arg);
}

static void mark_needed(Walk *w)
{
	for (int i = 0; i < w->k->nstages; i++) {
		w->needed[w->k->stage[i].value] = true;
		for (int f = 0; f < w->k->stage[i].nfields; f++)
			w->needed[w->k->stage[i].field_value[f]] = true;
	}
	for (int a = 0; a < w->k->naxes; a++) {
		if (w->k->axis[a].ext == EXT_LIST)
			w->needed[w->k->axis[a].count] = true;
	}
	for (int i = w->k->nexprs - 1; i >= 0; i--) {
		const KExpr *x = &w->k->expr[i];
		for (int j = 0; w->needed[i] && j < 3; j++) {
			if (x->arg[j] >= 0)
				w->needed[x->arg[j]] = true;
		}
		for (int d = 0; w->needed[i] && x->op == K_LOAD && d < w->k->opnd[x->operand].type.rank; d++) {
			if (x->at[d].expr >= 0)
				w->needed[x->at[d].expr] = true;
		}
	}
}

static bool unrolled_whole(const Walk *w, int axis)
{
	const KSchedule *s = &w->k->sched;
	bool copies = false;
	for (int i = 0; i < s->nloops; i++) {
		if (s->loop[i].axis == axis && s->loop[i].level != L_UNROLL)
			return false;
		copies |= s->loop[i].axis == axis;
	}
	return copies;
}

/* Products by pairs, where the schedule has both halves at once and the right axis along the lanes. */
static void find_pair(Walk *w)
{
	w->pair = (KPair){.axis = -1, .lanes = -1, .vector = -1, .splat = -1};
	for (int i = 0; i < w->k->nstages && w->vector >= 0; i++) {
		KPair p;
		if (!k_pair(w->k, i, &p) || p.lanes != w->vector || !unrolled_whole(w, p.axis))
			continue;
		w->pair = p;
		w->pair_stage = i;
		return;
	}
}

static void walk_init(Walk *w, KEmit *e, const KProgram *p, const Kernel *k, int part_axis, Arena *a)
{
	*w = (Walk){.e = e, .p = p, .k = k, .arena = a, .vector = -1, .lanes = K_LANES, .part_axis = part_axis,
	            .waiting = -1, .staged.stage = -1, .placing = -1};
	for (int i = 0; i < k->sched.nloops; i++) {
		if (k->sched.loop[i].level == L_VECTOR) {
			w->vector = k->sched.loop[i].axis;
			w->lanes = k->sched.loop[i].step;
		}
	}
	for (int i = 0; i < k->naxes; i++)
		w->axis[i].copies = 1;
	w->addr = NEWN(a, EVal, k->nexprs + 1);
	w->proved = NEWN(a, uint8_t, k->nexprs + 1);
	w->placed = NEWN(a, uint8_t, k->nexprs + 1);
	w->head = NEWN(a, int, k->nexprs + 1);
	w->needed = NEWN(a, bool, k->nexprs + 1);
	for (int i = 0; i < k->nexprs; i++) {
		w->head[i] = -1;
		w->addr[i] = e->i64(e, 0);
	}
	mark_needed(w);
	find_pair(w);
}

/* Axes that every reduction runs under: one that misses an axis of the stores (softmax) is computed outside its loop. Where
 * there is a register tile, the schedule's order of loops stands. */
static KSet reduced_under(const Walk *w)
{
	KSet axes = ~(KSet)0;
	for (int i = 0; i < w->k->nstages && !w->k->contraction; i++) {
		if (w->k->stage[i].kind == S_REDUCE)
			axes &= w->k->stage[i].over;
	}
	return axes;
}

void walk_kernel(KEmit *e, const KProgram *p, const Kernel *k, const Target *t, const char *name, int part_axis)
{
	(void)t;
	Arena *a = arena_new();
	Walk w;
	e->begin(e, name, k->nopnds + 1, 3, true);
	walk_init(&w, e, p, k, part_axis, a);
	e->set_lanes(e, w.lanes);
	w.scalars = e->ptr_arg(e, 0);
	w.lo = e->int_arg(e, 0);
	w.hi = e->int_arg(e, 1);
	w.n = e->int_arg(e, 2);
	walk_threads(&w);
	walk_staged(&w);
	Stores s = {.stage = NEWN(a, const KStage *, k->nstages + 1)};
	KSet common = ~(KSet)0;
	for (int i = 0; i < k->nstages; i++) {
		if (k->stage[i].kind == S_REDUCE)
			continue;
		s.stage[s.n++] = &k->stage[i];
		common &= k->stage[i].over;
	}
	INVARIANT(s.n > 0);
	walk_blocks(&w, common & reduced_under(&w), stores_body, &s);
	e->end(e);
	arena_free(a);
}

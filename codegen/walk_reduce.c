/* walk_reduce.c -- reductions of the kernel emitter; a sum of products is the register-tiled contraction
 *
 * The accumulators of a REDUCE stage are its value at every combination of unrolled copies; they go round the loops as SSA
 * values. Inside the innermost loop each combination takes one multiply-add; loads and splats are shared because equal
 * addresses are emitted once (walk_value.c). So a 12x2 tile, kernel-row reuse and clipped edges need no code of their own.
 *
 * Order of a sum: lexicographic in the loops of the schedule, the same on every target; lanes are added last, by a fixed tree.
 */
#include "codegen/walk.h"
#include <string.h>

enum { GROUP_MAX = 8 };

typedef struct Group { /* stages with the same axes share their loops */
	int stage[GROUP_MAX], n;
	KSet over, away;
	int parts[GROUP_MAX];  /* carried values a combination: 1, argmax 2 */
	bool vector[GROUP_MAX];/* the accumulator is a vector */
} Group;

static const KStage *stage_of(const Walk *w, const Group *g, int i)
{
	return &w->k->stage[g->stage[i]];
}

int walk_local(const Walk *w, int stage)
{
	for (int i = 0; i < w->k->nexprs; i++) {
		if (w->k->expr[i].op == K_LOCAL && w->k->expr[i].stage == stage)
			return i;
	}
	return -1;
}

static bool available(Walk *w, int stage)
{
	WalkCombo zero;
	walk_combo_first(&zero);
	int x = walk_local(w, stage);
	return x < 0 || walk_find(w, x, &zero);
}

/* By expression: x needs it. Arguments stand before users, and a kernel may use a value many times: one pass, no recursion. */
static const bool *needed_by(const Walk *w, int x)
{
	bool *need = NEWN(w->arena, bool, x + 1);
	need[x] = true;
	for (int i = x; i >= 0; i--) {
		const KExpr *k = &w->k->expr[i];
		for (int j = 0; need[i] && j < 3; j++) {
			if (k->arg[j] >= 0)
				need[k->arg[j]] = true;
		}
		for (int d = 0; need[i] && k->op == K_LOAD && d < w->k->opnd[k->operand].type.rank; d++) {
			if (k->at[d].expr >= 0)
				need[k->at[d].expr] = true;
		}
	}
	return need;
}

/* A local that is neither available nor waits for axes. */
static bool due(Walk *w, int x, KSet bound)
{
	const KExpr *k = &w->k->expr[x];
	return k->op == K_LOCAL && k->stage != w->staged.stage && !available(w, k->stage) && !(w->k->stage[k->stage].over & ~bound);
}

/* Does expression x need a local that is computable here and not there yet? */
static bool waits(Walk *w, int x, KSet bound)
{
	const bool *need = needed_by(w, x);
	for (int i = 0; i <= x; i++) {
		if (need[i] && due(w, i, bound))
			return true;
	}
	return false;
}

void walk_ready(Walk *w, int x)
{
	const bool *need = needed_by(w, x);
	for (int i = 0; i <= x; i++) {
		if (need[i] && due(w, i, walk_bound(w)))
			walk_reduce(w, w->k->expr[i].stage);
	}
}

static int parts_of(const KStage *s)
{
	return s->red == RED_argmax ? 2 : 1;
}

/* The stages that can share the loops of `stage`: same axes, same removed axes, nothing to wait for, few enough sums. */
static Group gather_group(Walk *w, int stage)
{
	const KStage *s = &w->k->stage[stage];
	Group g = {.over = s->over, .away = s->away};
	int combos = walk_combos(w, s->over), room = E_MAX_CARRIED - combos * parts_of(s);
	for (int i = 0; i < w->k->nstages; i++) {
		const KStage *o = &w->k->stage[i];
		int x = o->kind == S_REDUCE ? walk_local(w, i) : -1;
		if (x < 0 || !w->needed[x] || o->over != s->over || o->away != s->away)
			continue;
		bool full = g.n + (i < stage) >= GROUP_MAX || room < combos * parts_of(o);
		if (i != stage && (full || available(w, i) || waits(w, o->value, walk_bound(w))))
			continue;
		room -= i == stage ? 0 : combos * parts_of(o);
		g.stage[g.n] = i;
		g.parts[g.n] = parts_of(o);
		g.n++;
	}
	return g;
}

/* ---- start ---- */

static double start_value(KRed red)
{
	switch (red) {
#define RED(name, start, combine) \
	case RED_##name: \
		return start;
#define INFINITY __builtin_inf()
#include "ir/reduce.def"
#undef INFINITY
	case RED_COUNT:
		break;
	}
	ICE("no such reduction");
}

/* The sums as the block before left them. */
static void resume(Walk *w, const Group *g, WalkCarry *c)
{
	WalkCombo p;
	walk_combo_first(&p);
	do
		c->v[c->n++] = walk_load_for_add(w, &w->k->stage[w->store], &p);
	while (walk_combo_next(w, g->over, &p));
}

static void start_group(Walk *w, Group *g, WalkCarry *c)
{
	KEmit *e = w->e;
	int combos = walk_combos(w, g->over);
	for (int i = 0; i < g->n; i++) {
		const KStage *s = stage_of(w, g, i);
		DType t = w->k->expr[s->value].type;
		g->vector[i] = w->vector >= 0 && ((g->over | g->away) & walk_bit(w->vector));
		INVARIANT(s->red != RED_argmax || !(g->away & walk_bit(w->vector < 0 ? 31 : w->vector)));
		for (int j = 0; j < combos; j++) {
			INVARIANT(c->n + g->parts[i] <= E_MAX_CARRIED);
			if (g->stage[i] == w->waiting && !w->first)
				continue;
			c->v[c->n++] = e->konst(e, t, start_value(s->red), g->vector[i] ? w->lanes : 1);
			if (g->parts[i] == 2)
				c->v[c->n++] = e->konst(e, DT_I32, 0, g->vector[i] ? w->lanes : 1);
		}
		if (g->stage[i] == w->waiting && !w->first)
			resume(w, g, c);
	}
}

/* ---- one point ---- */

static EVal value_of(Walk *w, const Group *g, int i, int x, const WalkCombo *c)
{
	return g->vector[i] ? walk_vector(w, x, c) : walk_value(w, x, c);
}

/* Lanes beyond the extent of a removed vector axis hold the start value. */
static EVal mask_lanes(Walk *w, const Group *g, const KStage *s, EVal v, const WalkCombo *c)
{
	KEmit *e = w->e;
	int active = w->vector >= 0 && (g->away & walk_bit(w->vector)) ? walk_active(w, c) : w->lanes;
	if (active == w->lanes)
		return v;
	DType t = w->k->expr[s->value].type;
	EVal in = e->cmp(e, E_LT, DT_I32, e->lanes(e, DT_I32), e->konst(e, DT_I32, active, w->lanes));
	return e->ewise(e, EW_select, t, in, v, e->konst(e, t, start_value(s->red), w->lanes));
}

static bool known_zero(Walk *w, int x, const WalkCombo *c)
{
	x = k_widened(w->k, x);
	return w->k->expr[x].op == K_LOAD && walk_cell(w, x, c)->zero;
}

/* acc plus the products of one pair. */
static EVal step_pair(Walk *w, EVal acc, const WalkCombo *c)
{
	if (known_zero(w, w->pair.splat, c))
		return acc;
	EVal splat = walk_vector(w, w->pair.splat, c);
	return w->e->dot_pairs(w->e, splat, walk_vector(w, w->pair.vector, c), acc);
}

static EVal step_sum(Walk *w, const Group *g, int i, EVal acc, const WalkCombo *c)
{
	if (w->pair.axis >= 0 && g->stage[i] == w->pair_stage)
		return c->copy[w->pair.axis] == 0 ? step_pair(w, acc, c) : acc;
	const KStage *s = stage_of(w, g, i);
	const KExpr *x = &w->k->expr[s->value];
	KEmit *e = w->e;
	bool partial = w->vector >= 0 && (g->away & walk_bit(w->vector)) && walk_active(w, c) < w->lanes;
	if (x->op == K_EWISE && x->row == EW_mul && x->type == DT_F32) {
		if (known_zero(w, x->arg[0], c) || known_zero(w, x->arg[1], c))
			return acc;
		if (!partial)
			return e->ewise(e, EW_fma, DT_F32, value_of(w, g, i, x->arg[0], c), value_of(w, g, i, x->arg[1], c), acc);
	}
	if (known_zero(w, s->value, c))
		return acc;
	return e->ewise(e, EW_add, x->type, acc, mask_lanes(w, g, s, value_of(w, g, i, s->value, c), c), NULL);
}

/* s < v || v != v: the condition under which the newcomer wins. */
static EVal wins(KEmit *e, DType t, EVal s, EVal v)
{
	EVal less = e->cmp(e, E_LT, t, s, v);
	if (t != DT_F32 && t != DT_F64)
		return less;
	EVal nan = e->cmp(e, E_NE, t, v, v);
	EVal one = e->konst(e, DT_BOOL, 1, e->width(e, v));
	return e->ewise(e, EW_select, DT_BOOL, less, one, nan);
}

/* Row-major number of the point among the removed axes. */
static EVal away_number(Walk *w, const Group *g, const WalkCombo *c)
{
	KEmit *e = w->e;
	EVal n = e->i64(e, 0);
	for (int a = 0; a < w->k->naxes; a++) {
		if (!(g->away & walk_bit(a)))
			continue;
		n = e->iadd(e, e->imul(e, n, e->i64(e, w->k->axis[a].extent)), walk_axis_point(w, a, c));
	}
	return e->from_i64(e, n, DT_I32);
}

static void step_max(Walk *w, const Group *g, int i, EVal *acc, const WalkCombo *c)
{
	KEmit *e = w->e;
	const KStage *s = stage_of(w, g, i);
	DType t = w->k->expr[s->value].type;
	EVal v = mask_lanes(w, g, s, value_of(w, g, i, s->value, c), c);
	EVal win = wins(e, t, acc[0], v);
	if (s->red == RED_argmax) {
		/* the first NaN stays: a later one must not win against it */
		EVal number = away_number(w, g, c);
		EVal keeps = e->cmp(e, E_NE, t, acc[0], acc[0]);
		win = e->ewise(e, EW_select, DT_BOOL, keeps, e->konst(e, DT_BOOL, 0, e->width(e, v)), win);
		acc[1] = e->ewise(e, EW_select, DT_I32, win, g->vector[i] ? e->splat(e, number) : number, acc[1]);
	}
	acc[0] = e->ewise(e, EW_select, t, win, v, acc[0]);
}

/* One multiply-add of the tile: a combination of copies and the accumulator that it goes to. */
typedef struct Point { WalkCombo combo; int acc, away; int64_t splat; } Point;

/* The factor of a product that all lanes share, -1: none, or both. */
static int splat_factor(const Walk *w, const KStage *s)
{
	const KExpr *x = &w->k->expr[s->value];
	if (s->red != RED_sum || x->op != K_EWISE || x->row != EW_mul || w->vector < 0)
		return -1;
	bool first = walk_is_vector(w, x->arg[0]), second = walk_is_vector(w, x->arg[1]);
	int one = k_widened(w->k, first ? x->arg[1] : x->arg[0]);
	return first != second && w->k->expr[one].op == K_LOAD ? one : -1;
}

/* Unrolled removed axes that move the splat in a dimension that a result axis moves too: their splats coincide. (Whether that
 * one is unrolled does not count: the order of a sum must not depend on the tile.) */
static KSet reused_axes(const Walk *w, const Group *g, int splat)
{
	const KExpr *l = &w->k->expr[splat];
	KSet reused = 0;
	for (int d = 0; d < w->k->opnd[l->operand].type.rank; d++) {
		KSet over = 0, away = 0;
		for (int a = 0; a < w->k->naxes; a++) {
			if (!l->at[d].coef[a])
				continue;
			over |= g->over & walk_bit(a);
			away |= w->axis[a].copies > 1 ? g->away & walk_bit(a) : 0;
		}
		reused |= over ? away : 0;
	}
	return reused;
}

/* Do copies of result axes meet splats of other copies of removed axes? */
static bool splats_meet(const Walk *w, const Group *g, int splat, KSet reused)
{
	const KExpr *l = &w->k->expr[splat];
	for (int d = 0; d < w->k->opnd[l->operand].type.rank; d++) {
		KSet moved = 0;
		for (int a = 0; a < w->k->naxes; a++)
			moved |= l->at[d].coef[a] && w->axis[a].copies > 1 ? walk_bit(a) : 0;
		if ((moved & g->over) && (moved & reused))
			return true;
	}
	return false;
}

/* Address of the splat, as far as copies of `axes` move it. */
static int64_t splat_offset(const Walk *w, int splat, KSet axes, const WalkCombo *c)
{
	const KExpr *l = &w->k->expr[splat];
	const KOperand *o = &w->k->opnd[l->operand];
	int64_t off = 0;
	for (int d = 0; d < o->type.rank; d++) {
		for (int a = 0; a < w->k->naxes; a++) {
			if (axes & walk_bit(a))
				off += (int64_t)l->at[d].coef[a] * c->copy[a] * w->axis[a].step * walk_stride(o, d);
		}
	}
	return off;
}

static bool after(const Point *a, const Point *b)
{
	return a->away != b->away ? a->away > b->away : a->splat > b->splat;
}

/* Points of stage i in the order of emission: copies of removed axes in schedule order, but those that reuse splats (the
 * columns of a kernel) together, by the address of the splat, so that a splat lives only while its products are formed. Where
 * this tile has no two results that meet in a splat, the removed axes' share of the address is the order, the same for each
 * sum, and the other factor's vectors live as short as splats. */
static int list_points(const Walk *w, const Group *g, int i, Point *out)
{
	int splat = splat_factor(w, stage_of(w, g, i)), n = 0, step = 0, acc;
	KSet reused = splat >= 0 ? reused_axes(w, g, splat) : 0;
	KSet by = reused && splats_meet(w, g, splat, reused) ? g->over | g->away : g->away;
	WalkCombo outer, inner, p;
	walk_combo_first(&outer);
	do {
		inner = outer;
		do {
			p = inner;
			acc = 0;
			do {
				Point x = {.combo = p, .acc = acc++, .away = step};
				x.splat = reused ? splat_offset(w, splat, by, &p) : n;
				int at = n++;
				for (; at > 0 && after(&out[at - 1], &x); at--)
					out[at] = out[at - 1];
				out[at] = x;
			} while (walk_combo_next(w, g->over, &p));
		} while (walk_combo_next(w, reused, &inner));
		step++;
	} while (walk_combo_next(w, g->away & ~reused, &outer));
	return n;
}

/* What the next slice will read at this place comes into the second level meanwhile: slices walk memory in short runs, which
 * hardware does not foresee. */
static void prefetch_factors(Walk *w, const Group *g)
{
	const KExpr *x = &w->k->expr[stage_of(w, g, 0)->value];
	for (int a = 0; a < w->k->naxes; a++) {
		for (int i = 0; w->axis[a].slice_from && x->op == K_EWISE && i < 2 && x->arg[i] >= 0; i++) {
			const KExpr *l = &w->k->expr[x->arg[i]];
			int64_t ahead = 0;
			for (int d = 0; l->op == K_LOAD && d < w->k->opnd[l->operand].type.rank; d++)
				ahead += l->at[d].coef[a] * walk_stride(&w->k->opnd[l->operand], d) * w->axis[a].slice;
			if (ahead)
				walk_prefetch(w, x->arg[i], ahead);
		}
	}
}

static void group_body(Walk *w, WalkCarry *c, void *arg)
{
	const Group *g = arg;
	int combos = walk_combos(w, g->over), room = combos * walk_combos(w, g->away), at = 0;
	Point *point = NEWN(w->arena, Point, room);
	for (int i = 0; i < g->n; i++)
		walk_ready(w, stage_of(w, g, i)->value);
	prefetch_factors(w, g);
	for (int i = 0; i < g->n; at += combos * g->parts[i], i++) {
		int n = list_points(w, g, i, point);
		for (int j = 0; j < n; j++) {
			EVal *acc = &c->v[at + point[j].acc * g->parts[i]];
			if (stage_of(w, g, i)->red == RED_sum)
				*acc = step_sum(w, g, i, *acc, &point[j].combo);
			else
				step_max(w, g, i, acc, &point[j].combo);
		}
	}
}

/* ---- end ---- */

static void finish_group(Walk *w, const Group *g, const WalkCarry *c)
{
	KEmit *e = w->e;
	int at = 0;
	bool across = w->vector >= 0 && (g->away & walk_bit(w->vector));
	for (int i = 0; i < g->n; i++) {
		const KStage *s = stage_of(w, g, i);
		DType t = w->k->expr[s->value].type;
		int x = walk_local(w, g->stage[i]);
		WalkCombo p;
		walk_combo_first(&p);
		do {
			EVal v = c->v[at + g->parts[i] - 1];
			if (across)
				v = e->reduce(e, t, s->red, v);
			walk_record(w, x, &p, walk_fold(w, g->stage[i], v));
			at += g->parts[i];
		} while (walk_combo_next(w, g->over, &p));
	}
}

/* ---- edges: clip the trips of a removed axis to those that read inside ---- */

/* Index of dimension d is a multiple of axis + rest, rest one value for the whole tile? */
static bool clippable(const Walk *w, const KIndex *at, int axis)
{
	if (!at->coef[axis] || at->expr >= 0)
		return false;
	for (int a = 0; a < w->k->naxes; a++) {
		if (a != axis && at->coef[a] && (!w->axis[a].bound || w->axis[a].copies > 1 || a == w->vector))
			return false;
	}
	return true;
}

static bool looped_by_one(const Walk *w, int axis)
{
	bool slice = w->axis[axis].slice_from != NULL; /* its loop stands outside the axis's own */
	for (int i = 0; i < w->k->sched.nloops; i++) {
		const KLoop *l = &w->k->sched.loop[i];
		if (l->axis == axis && l->level != L_AHEAD && !slice && (l->level != L_LOOP || l->step != 1)) /* a peeled one has its constants */
			return false;
		slice &= l->axis != axis;
	}
	return w->k->axis[axis].ext == EXT_CONST && axis != w->part_axis;
}

/* Trips of step f > 0 that cover `distance`, none when that is negative. */
static EVal trips_over(KEmit *e, EVal distance, int f)
{
	EVal d = e->imax(e, distance, e->i64(e, 0));
	return f == 1 ? d : e->idiv(e, e->iadd(e, d, e->i64(e, f - 1)), e->i64(e, f));
}

/* A point where the product's EDGE_ZERO factor lies outside adds zero: leave those trips out. */
static void clip_axis(Walk *w, int x, int d, int axis)
{
	KEmit *e = w->e;
	const KExpr *l = &w->k->expr[x];
	KIndex rest = l->at[d];
	int64_t extent = w->k->opnd[l->operand].type.dim[d];
	int f = rest.coef[axis];
	EVal r = e->i64(e, rest.c0), zero = e->i64(e, 0), size = e->i64(e, extent), one = e->i64(e, 1);
	for (int a = 0; a < w->k->naxes; a++) {
		if (a != axis && rest.coef[a])
			r = e->iadd(e, r, e->imul(e, w->axis[a].base, e->i64(e, rest.coef[a])));
	}
	EVal first = w->axis[axis].slice_from, last = w->axis[axis].slice_to;
	EVal start = first ? first : zero, end = last ? last : e->i64(e, w->k->axis[axis].extent);
	EVal from = f > 0 ? trips_over(e, e->isub(e, zero, r), f) : trips_over(e, e->iadd(e, e->isub(e, r, size), one), -f);
	EVal to = f > 0 ? trips_over(e, e->isub(e, size, r), f) : trips_over(e, e->iadd(e, r, one), -f);
	w->axis[axis].from = e->imax(e, from, start);
	w->axis[axis].to = e->imin(e, to, end);
	w->proved[x] |= (uint8_t)(1 << d);
}

/* Extents known without loops: no clipping where the whole axis stays inside anyway. */
static bool always_inside(const Walk *w, const KIndex *at, int axis, int64_t extent)
{
	int64_t lo = at->c0, hi = at->c0;
	for (int a = 0; a < w->k->naxes; a++) {
		int64_t f = at->coef[a];
		int64_t low = a == axis ? 0 : w->axis[a].lo, high = a == axis ? w->k->axis[a].extent - 1 : w->axis[a].hi;
		if (f) {
			lo += f > 0 ? f * low : f * high;
			hi += f > 0 ? f * high : f * low;
		}
	}
	return lo >= 0 && hi < extent;
}

static void clip_factor(Walk *w, const Group *g, int x)
{
	const KExpr *l = &w->k->expr[x];
	if (l->op != K_LOAD || l->edge != EDGE_ZERO)
		return;
	const KOperand *o = &w->k->opnd[l->operand];
	for (int d = 0; d < o->type.rank; d++) {
		for (int a = 0; a < w->k->naxes; a++) {
			if (!(g->away & walk_bit(a)) || w->axis[a].from || !looped_by_one(w, a) || !clippable(w, &l->at[d], a))
				continue;
			if (!always_inside(w, &l->at[d], a, o->type.dim[d]))
				clip_axis(w, x, d, a);
			break;
		}
	}
}

static void clip_group(Walk *w, const Group *g)
{
	if (g->n != 1 || stage_of(w, g, 0)->red != RED_sum)
		return;
	const KExpr *x = &w->k->expr[stage_of(w, g, 0)->value];
	if (x->op == K_LOAD) {
		clip_factor(w, g, stage_of(w, g, 0)->value);
	} else if (x->op == K_EWISE && x->row == EW_mul) {
		clip_factor(w, g, k_widened(w->k, x->arg[0]));
		clip_factor(w, g, k_widened(w->k, x->arg[1]));
	}
}

void walk_reduce(Walk *w, int stage)
{
	walk_ready(w, w->k->stage[stage].value);
	Group g = gather_group(w, stage);
	for (int i = 0; i < g.n; i++)
		walk_ready(w, stage_of(w, &g, i)->value);
	WalkCarry c = {.n = 0};
	start_group(w, &g, &c);
	walk_fetch_results(w, g.over);
	uint8_t *proved = NEWN(w->arena, uint8_t, w->k->nexprs);
	memcpy(proved, w->proved, (size_t)w->k->nexprs);
	clip_group(w, &g);
	walk_nest(w, g.away, &c, group_body, &g);
	memcpy(w->proved, proved, (size_t)w->k->nexprs);
	for (int a = 0; a < w->k->naxes; a++) { /* not before: tails and rims open a clipped axis again */
		if (g.away & walk_bit(a))
			w->axis[a].from = w->axis[a].to = NULL;
	}
	finish_group(w, &g, &c);
}

/* walk_stage.c -- a product whose factors go through the shared memory of a block (ir/kernel_stage.c says what is where)
 *
 * in:   a schedule with STAGE entries      out: copies, barriers and tile products through the emit table
 *
 * The block's threads copy a stage of both factors, `ahead` stages before its products are formed; the sums stay in registers and
 * go to shared memory when the last stage is done. From then on the sum is a local like any other, read from there.
 *
 *   copy stages 0 … ahead-1
 *   for each stage:  wait for it; barrier; copy the one `ahead` further on into the buffer that is free since then; add its products
 *   barrier; sums to shared memory; barrier
 *
 * Points of the sum that do not exist are zeros in both factors, rows and columns that do not exist repeat the last one and are
 * never read.
 */
#include "codegen/walk.h"

enum { MOST_COPIES = 4 }; /* of a thread, one after the other */

typedef struct Staging {
	Walk *w;
	const KStaged *t;
	int axis[K_MAX_AXES], naxes; /* of the sum, the fastest last, samples first */
	EVal thread, shared;
	EVal tiles;                  /* stages of the sum */
} Staging;

typedef struct Coordinate { EVal at[K_MAX_AXES]; EVal beyond; } Coordinate; /* beyond: the tile's own end is passed, NULL: never */

static int64_t ceiling(int64_t n, int64_t unit)
{
	return (n + unit - 1) / unit;
}

/* ---- stages of the sum ---- */
static bool by_samples(const Staging *s, int axis)
{
	return s->w->k->axis[axis].ext == EXT_N;
}

static EVal first_of(const Staging *s, int axis)
{
	return axis == s->w->part_axis ? s->w->lo : s->w->e->i64(s->w->e, 0);
}

static EVal end_of(const Staging *s, int axis)
{
	KEmit *e = s->w->e;
	return axis == s->w->part_axis ? s->w->hi : by_samples(s, axis) ? s->w->n : e->i64(e, s->w->k->axis[axis].extent);
}

static void list_sum(Staging *s)
{
	KSet samples = 0;
	for (int a = 0; a < s->w->k->naxes; a++)
		samples |= (s->t->sum & walk_bit(a)) && by_samples(s, a) ? walk_bit(a) : 0;
	s->naxes = k_stage_order(samples, -1, s->axis);
	s->naxes += k_stage_order(s->t->sum & ~samples, s->t->fast, s->axis + s->naxes);
}

static EVal tiles_along(const Staging *s, int axis)
{
	KEmit *e = s->w->e;
	const int points = k_stage_points(s->w->k, axis);
	if (!by_samples(s, axis))
		return e->i64(e, ceiling(s->w->k->axis[axis].extent, points));
	EVal n = e->isub(e, end_of(s, axis), first_of(s, axis));
	return e->idiv(e, e->iadd(e, n, e->i64(e, points - 1)), e->i64(e, points));
}

/* Where stage number `tile` begins. */
static void stage_begin(const Staging *s, EVal tile, EVal begin[K_MAX_AXES])
{
	KEmit *e = s->w->e;
	for (int i = s->naxes - 1; i >= 0; i--) {
		const int a = s->axis[i];
		EVal digit = tile;
		if (i > 0) {
			EVal n = tiles_along(s, a), next = e->idiv(e, tile, n);
			digit = e->isub(e, tile, e->imul(e, next, n));
			tile = next;
		}
		begin[a] = e->iadd(e, first_of(s, a), e->imul(e, digit, e->i64(e, k_stage_points(s->w->k, a))));
	}
}

/* ---- one copy ---- */
/* Digits of `number` along the axes, added to begin. */
static void spread(const Staging *s, const int *axis, int n, EVal number, const EVal *begin, EVal out[K_MAX_AXES])
{
	KEmit *e = s->w->e;
	for (int i = n - 1; i >= 0; i--) {
		const int points = k_stage_points(s->w->k, axis[i]);
		EVal digit = number;
		if (points == 1)
			digit = e->i64(e, 0);
		else if (i > 0) {
			EVal next = e->idiv(e, number, e->i64(e, points));
			digit = e->isub(e, number, e->imul(e, next, e->i64(e, points)));
			number = next;
		}
		out[axis[i]] = begin[axis[i]] ? e->iadd(e, begin[axis[i]], digit) : digit;
	}
}

static EVal both(KEmit *e, EVal a, EVal b)
{
	return a && b ? e->ewise(e, EW_and, DT_BOOL, a, b, NULL) : a ? a : b;
}

/* Can a tile pass the end of the axis? Blocks behind the last sample do nothing. */
static bool passes_end(const Staging *s, int axis)
{
	const int points = k_stage_points(s->w->k, axis);
	return by_samples(s, axis) ? points > 1 : s->w->k->axis[axis].extent % points != 0;
}

/* Binds the axes of a factor; what lies behind an end is moved to it. Gives whether the point of the sum exists. */
static EVal bind_point(const Staging *s, const KSide *f, EVal at[K_MAX_AXES], EVal inside, EVal **old)
{
	KEmit *e = s->w->e;
	const Kernel *k = s->w->k;
	const KSet axes = k->expr[f->load].axes;
	const bool padded = s->t->padded != s->t->depth;
	for (int a = 0; a < k->naxes; a++) {
		const bool summed = s->t->sum & walk_bit(a), top = padded && a == s->axis[0];
		const int group = a == f->fast ? f->group : 1;
		if (!(axes & walk_bit(a)))
			continue;
		EVal point = at[a];
		if (passes_end(s, a) || (summed && top)) {
			EVal last = e->isub(e, end_of(s, a), e->i64(e, group)), moved = e->imin(e, point, last);
			inside = summed ? both(e, inside, e->icmp(e, E_LE, point, last)) : inside;
			point = moved;
		}
		EVal *before = walk_bind(s->w, a, point, 0, k->axis[a].extent - group, 1);
		*old = *old ? *old : before;
	}
	return inside;
}

static void unbind_point(const Staging *s, const KSide *f, EVal *old)
{
	for (int a = s->w->k->naxes - 1; a >= 0; a--) {
		if (s->w->k->expr[f->load].axes & walk_bit(a))
			walk_unbind(s->w, a, old);
	}
}

/* Group number `number` of the stage that begins at `begin`. */
static void copy_group(const Staging *s, const KSide *f, EVal number, EVal to, const EVal *begin)
{
	KEmit *e = s->w->e;
	const KStaged *t = s->t;
	int axis[K_MAX_AXES], n = k_stage_order(f->axes, f->fast, axis);
	const int inner = (f->deep ? t->padded : f->points) / f->group;
	EVal outer = e->idiv(e, number, e->i64(e, inner));
	EVal first = e->imul(e, e->isub(e, number, e->imul(e, outer, e->i64(e, inner))), e->i64(e, f->group));
	EVal depth = f->deep ? first : outer, at[K_MAX_AXES] = {NULL}, *old = NULL, inside = NULL;
	for (int a = 0; a < s->w->k->naxes; a++)
		at[a] = begin[a];
	spread(s, axis, n, f->deep ? outer : first, begin, at);
	spread(s, s->axis, s->naxes, depth, begin, at);
	if (t->padded != t->depth)
		inside = e->icmp(e, E_LT, depth, e->i64(e, t->depth));
	s->w->placing = f->load;
	inside = bind_point(s, f, at, inside, &old);
	walk_copy(s->w, f->load, f->group, to, e->iadd(e, e->imul(e, outer, e->i64(e, f->lead)), first), inside);
	unbind_point(s, f, old);
	s->w->placing = -1;
}

static void copy_side(const Staging *s, int side, EVal to, const EVal *begin)
{
	KEmit *e = s->w->e;
	const KSide *f = &s->t->side[side];
	const int64_t threads = k_block_threads(s->w->k);
	const int64_t groups = (f->deep ? (int64_t)s->t->padded * f->points : (int64_t)f->points * s->t->padded) / f->group;
	if (groups > MOST_COPIES * threads) { /* written out, their addresses would fill the registers */
		EVal number = e->loop_begin(e, s->thread, e->i64(e, groups), threads, true, 0, NULL);
		copy_group(s, f, number, to, begin);
		e->loop_end(e, 0, NULL);
		return;
	}
	for (int64_t i = 0; i < groups; i += threads) {
		EVal number = e->iadd(e, s->thread, e->i64(e, i));
		const bool some = i + threads > groups;
		if (some)
			e->if_begin(e, e->icmp(e, E_LT, number, e->i64(e, groups)));
		copy_group(s, f, number, to, begin);
		if (some)
			e->if_end(e);
	}
}

/* ---- stages ---- */
static EVal buffer_of(const Staging *s, EVal tile, int side)
{
	KEmit *e = s->w->e;
	const KStaged *t = s->t;
	EVal turns = e->idiv(e, tile, e->i64(e, t->ahead + 1));
	EVal number = e->isub(e, tile, e->imul(e, turns, e->i64(e, t->ahead + 1)));
	EVal at = e->imul(e, number, e->i64(e, k_stage_bytes(t, 0) + k_stage_bytes(t, 1)));
	return e->ptr_add(e, s->shared, side ? e->iadd(e, at, e->i64(e, k_stage_bytes(t, 0))) : at);
}

/* Where the block's tile begins, for the axes of the result. */
static void block_begin(const Staging *s, EVal begin[K_MAX_AXES])
{
	KEmit *e = s->w->e;
	for (int a = 0; a < s->w->k->naxes; a++)
		begin[a] = s->w->axis[a].own ? s->w->axis[a].own : e->i64(e, 0);
}

static void copy_stage(const Staging *s, EVal tile)
{
	KEmit *e = s->w->e;
	EVal begin[K_MAX_AXES], exists = e->icmp(e, E_LT, tile, s->tiles);
	int64_t number, all;
	const bool known = e->is_i64(e, tile, &number) && e->is_i64(e, s->tiles, &all);
	if (!known || number < all) {
		if (!known)
			e->if_begin(e, exists);
		block_begin(s, begin);
		stage_begin(s, tile, begin);
		for (int i = 0; i < 2; i++)
			copy_side(s, i, buffer_of(s, tile, i), begin);
		if (!known)
			e->if_end(e);
	}
	e->copies_close(e);
}

static void add_stages(const Staging *s)
{
	KEmit *e = s->w->e;
	const int ahead = s->t->ahead;
	for (int i = 0; i < ahead; i++)
		copy_stage(s, e->i64(e, i));
	EVal tile = e->loop_begin(e, e->i64(e, 0), s->tiles, 1, true, 0, NULL);
	e->copies_wait(e, ahead - 1);
	e->barrier(e);
	copy_stage(s, e->iadd(e, tile, e->i64(e, ahead)));
	e->tile_add(e, s->t, buffer_of(s, tile, 0), buffer_of(s, tile, 1));
	e->loop_end(e, 0, NULL);
}

/* Does the block have a sample at all? */
static EVal exists(const Staging *s)
{
	KEmit *e = s->w->e;
	EVal any = NULL;
	for (int a = 0; a < s->w->k->naxes; a++) {
		if (by_samples(s, a) && s->w->axis[a].own)
			any = both(e, any, e->icmp(e, E_LT, s->w->axis[a].own, s->w->n));
	}
	return any;
}

void walk_staged(Walk *w)
{
	KEmit *e = w->e;
	w->staged = k_staged(w->k);
	if (w->staged.stage < 0)
		return;
	Staging s = {.w = w, .t = &w->staged};
	list_sum(&s);
	s.thread = e->thread_index(e);
	w->shared = s.shared = e->shared(e, k_shared_bytes(s.t));
	s.tiles = e->i64(e, 1);
	for (int i = 0; i < s.naxes; i++)
		s.tiles = e->imul(e, s.tiles, tiles_along(&s, s.axis[i]));
	EVal some = exists(&s);
	if (some)
		e->if_begin(e, some);
	e->tile_clear(e, s.t);
	add_stages(&s);
	e->barrier(e);
	e->tile_take(e, s.t, s.shared);
	e->barrier(e);
	if (some)
		e->if_end(e);
	if (s.t->added >= 0)
		walk_bind(w, s.t->added, first_of(&s, s.t->added), 0, w->k->axis[s.t->added].extent - 1, 1);
}

/* ---- the result ---- */
EVal walk_staged_value(Walk *w, const WalkCombo *c)
{
	KEmit *e = w->e;
	const KStaged *t = &w->staged;
	EVal at = e->i64(e, 0);
	for (int i = 0; i < 2; i++) {
		int axis[K_MAX_AXES], n = k_stage_order(t->side[i].axes, t->side[i].fast, axis);
		int64_t weight = i == 0 ? t->result_lead : 1;
		for (int j = n - 1; j >= 0; j--) {
			EVal point = walk_axis_point(w, axis[j], c), own = w->axis[axis[j]].own;
			at = e->iadd(e, at, e->imul(e, own ? e->isub(e, point, own) : point, e->i64(e, weight)));
			weight *= k_stage_points(w->k, axis[j]);
		}
	}
	return e->load(e, DT_F32, w->shared, at, 0);
}

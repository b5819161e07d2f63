/* walk_value.c -- expressions, addresses and edges of the kernel emitter
 *
 * A value is emitted once a scope for each distinct key: for a load the offsets of its copies in each dimension (so that
 * copies with equal addresses share one load), for anything else the copies of the axes that it depends on.
 */
#include "codegen/walk.h"
#include <stddef.h>
#include <string.h>
#include "runtime/model.h"

int64_t walk_stride(const KOperand *o, int dim)
{
	int64_t s = 1;
	for (int d = o->type.rank - 1; d > dim; d--)
		s *= o->type.dim[d];
	return s;
}

int64_t walk_elems(const Walk *w, int x, int64_t elems)
{
	return x == w->pair.vector ? elems / 2 : elems;
}

bool walk_is_vector(const Walk *w, int x)
{
	return w->vector >= 0 && w->axis[w->vector].bound && (w->k->expr[x].axes & walk_bit(w->vector));
}

int walk_active(const Walk *w, const WalkCombo *c)
{
	const WalkAxis *v = &w->axis[w->vector];
	int left = v->count - c->copy[w->vector] * w->lanes;
	return left < w->lanes ? left : w->lanes;
}

/* ---- cells ---- */

static int64_t copy_offset(const Walk *w, const KIndex *at, const WalkCombo *c)
{
	int64_t off = at->c0;
	for (int a = 0; a < w->k->naxes; a++)
		off += (int64_t)at->coef[a] * c->copy[a] * (w->axis[a].bound ? w->axis[a].step : 1);
	return off;
}

static void cell_key(const Walk *w, int x, const WalkCombo *c, int32_t key[IR_MAX_RANK])
{
	const KExpr *e = &w->k->expr[x];
	memset(key, 0, sizeof(int32_t) * IR_MAX_RANK);
	bool gathers = false;
	if (e->op == K_LOAD) {
		const KOperand *o = &w->k->opnd[e->operand];
		for (int d = 0; d < o->type.rank; d++) {
			key[d] = (int32_t)copy_offset(w, &e->at[d], c);
			gathers |= e->at[d].expr >= 0;
		}
		if (!gathers)
			return;
	}
	int32_t number = 0;
	for (int a = 0; a < w->k->naxes; a++) {
		if (e->axes & walk_bit(a))
			number = number * w->axis[a].copies + c->copy[a];
	}
	key[gathers ? IR_MAX_RANK - 1 : 0] = number;
}

static WalkCell *find_key(Walk *w, int x, const int32_t key[IR_MAX_RANK])
{
	for (int i = w->head[x]; i >= 0; i = w->cell[i].prev) {
		if (!memcmp(w->cell[i].key, key, sizeof w->cell[i].key))
			return &w->cell[i];
	}
	return NULL;
}

WalkCell *walk_find(Walk *w, int x, const WalkCombo *c)
{
	int32_t key[IR_MAX_RANK];
	cell_key(w, x, c, key);
	return find_key(w, x, key);
}

static WalkCell *record(Walk *w, int x, const int32_t key[IR_MAX_RANK], EVal v, bool zero)
{
	if (w->ncells == w->cell_room) {
		int room = w->cell_room ? w->cell_room * 2 : 256;
		w->cell = arena_grow(w->arena, w->cell, (size_t)w->cell_room, (size_t)room, sizeof(WalkCell));
		w->cell_room = room;
	}
	WalkCell *cell = &w->cell[w->ncells];
	*cell = (WalkCell){.expr = x, .prev = w->head[x], .value = v, .zero = zero};
	memcpy(cell->key, key, sizeof cell->key);
	w->head[x] = w->ncells++;
	return cell;
}

void walk_record(Walk *w, int x, const WalkCombo *c, EVal v)
{
	int32_t key[IR_MAX_RANK];
	cell_key(w, x, c, key);
	record(w, x, key, v, false);
}

/* ---- indices ---- */

EVal walk_axis_point(Walk *w, int axis, const WalkCombo *c)
{
	const WalkAxis *x = &w->axis[axis];
	return w->e->iadd(w->e, x->base, w->e->i64(w->e, (int64_t)c->copy[axis] * x->step));
}

/* Interval of an affine index over the tile's bases, at one combination; lanes included. */
static void interval(const Walk *w, const KIndex *at, const WalkCombo *c, int64_t *lo, int64_t *hi)
{
	*lo = *hi = copy_offset(w, at, c);
	for (int a = 0; a < w->k->naxes; a++) {
		int64_t f = at->coef[a];
		if (!f)
			continue;
		int64_t low = w->axis[a].lo, high = w->axis[a].hi;
		if (a == w->vector)
			high += walk_active(w, c) - 1;
		*lo += f > 0 ? f * low : f * high;
		*hi += f > 0 ? f * high : f * low;
	}
}

bool walk_inside(const Walk *w, const KIndex *at, int extent)
{
	WalkCombo c;
	walk_combo_first(&c);
	KSet axes = 0;
	for (int a = 0; a < w->k->naxes; a++)
		axes |= at->coef[a] ? walk_bit(a) : 0;
	do {
		int64_t lo, hi;
		interval(w, at, &c, &lo, &hi);
		if (lo < 0 || hi >= extent)
			return false;
	} while (walk_combo_next(w, axes, &c));
	return true;
}

/* The scalar part of an affine index: everything but the lanes. */
EVal walk_index(Walk *w, const KIndex *at, const WalkCombo *c)
{
	KEmit *e = w->e;
	EVal v = e->i64(e, copy_offset(w, at, c));
	for (int a = 0; a < w->k->naxes; a++) {
		if (at->coef[a])
			v = e->iadd(e, v, e->imul(e, w->axis[a].base, e->i64(e, at->coef[a])));
	}
	if (at->expr >= 0 && !walk_is_vector(w, at->expr))
		v = e->iadd(e, v, e->to_i64(e, walk_value(w, at->expr, c)));
	return v;
}

/* The same as an i32 vector, lanes and gathered part included. */
static EVal index_lanes(Walk *w, const KIndex *at, const WalkCombo *c)
{
	KEmit *e = w->e;
	EVal v = e->splat(e, e->from_i64(e, walk_index(w, at, c), DT_I32));
	if (w->vector >= 0 && at->coef[w->vector]) {
		EVal step = e->konst(e, DT_I32, at->coef[w->vector], w->lanes);
		v = e->ewise(e, EW_add, DT_I32, v, e->ewise(e, EW_mul, DT_I32, e->lanes(e, DT_I32), step, NULL), NULL);
	}
	if (at->expr >= 0 && walk_is_vector(w, at->expr))
		v = e->ewise(e, EW_add, DT_I32, v, walk_vector(w, at->expr, c), NULL);
	return v;
}

/* ---- loads ---- */

/* In memory a bool is a byte. */
static DType stored(DType t)
{
	return t == DT_BOOL ? DT_U8 : t;
}

static bool by_pairs(const Walk *w, int x)
{
	return x == w->pair.vector || x == w->pair.splat;
}

/* Dtype of the value that load x gives: pairs come as words. */
static DType loaded(const Walk *w, int x)
{
	return by_pairs(w, x) ? DT_U32 : w->k->expr[x].type;
}

static EVal from_memory(KEmit *e, DType t, EVal v)
{
	return t == DT_BOOL ? e->cmp(e, E_NE, DT_U8, v, e->konst(e, DT_U8, 0, e->width(e, v))) : v;
}

static double outside_value(const KExpr *x)
{
	return x->edge == EDGE_LOWEST ? -__builtin_inf() : 0.0;
}

enum { PLACE_INSIDE, PLACE_OUTSIDE, PLACE_UNKNOWN };

static int place(const Walk *w, int x, int d, const WalkCombo *c)
{
	const KExpr *l = &w->k->expr[x];
	int64_t lo, hi, extent = w->k->opnd[l->operand].type.dim[d];
	if (l->edge == EDGE_NEVER || (w->proved[x] >> d & 1) || (d == 0 && extent == IR_N))
		return PLACE_INSIDE;
	interval(w, &l->at[d], c, &lo, &hi);
	if (l->at[d].expr >= 0) { /* a field of a list keeps to its range; of any other index nothing is known */
		double top = w->k->expr[l->at[d].expr].op == K_LOAD ? w->k->expr[l->at[d].expr].imm : 0;
		return top > 0 && lo >= 0 && hi + (int64_t)top <= extent ? PLACE_INSIDE : PLACE_UNKNOWN;
	}
	if (lo >= 0 && hi < extent)
		return PLACE_INSIDE;
	return hi < 0 || lo >= extent ? PLACE_OUTSIDE : PLACE_UNKNOWN;
}

static EVal clamp_i64(KEmit *e, EVal v, int64_t extent)
{
	return e->imin(e, e->imax(e, v, e->i64(e, 0)), e->i64(e, extent - 1));
}

void walk_place(Walk *w, int x)
{
	KEmit *e = w->e;
	const KExpr *l = &w->k->expr[x];
	const KOperand *o = &w->k->opnd[l->operand];
	WalkCombo zero;
	walk_combo_first(&zero);
	for (int d = 0; d < o->type.rank; d++) {
		const KIndex *at = &l->at[d];
		const bool clamps = l->edge == EDGE_CLAMP;
		if (at->expr < 0 || (w->placed[x] >> d & 1) || k_index_axes(w->k, at) != w->k->expr[at->expr].axes ||
		    !(clamps || l->edge == EDGE_NEVER) || !walk_find(w, at->expr, &zero) || walk_is_vector(w, at->expr))
			continue;
		bool moves = false;
		for (int a = 0; a < w->k->naxes; a++)
			moves |= at->coef[a] || ((w->k->expr[at->expr].axes & walk_bit(a)) && w->axis[a].copies > 1);
		if (moves)
			continue;
		EVal i = walk_index(w, at, &zero);
		i = clamps ? clamp_i64(e, i, o->type.dim[d]) : i;
		w->addr[x] = e->iadd(e, w->addr[x], e->imul(e, i, e->i64(e, walk_stride(o, d))));
		w->placed[x] |= (uint8_t)(1 << d);
	}
}

/* Address from scratch, each dimension clamped into the operand: for edges whose side is known only at run time.
 * *inside: bool scalar, NULL when no dimension is in doubt. */
static EVal clamped_address(Walk *w, int x, const WalkCombo *c, EVal *inside)
{
	KEmit *e = w->e;
	const KExpr *l = &w->k->expr[x];
	const KOperand *o = &w->k->opnd[l->operand];
	EVal at = e->i64(e, 0);
	*inside = NULL;
	for (int d = 0; d < o->type.rank; d++) {
		EVal i = walk_index(w, &l->at[d], c);
		if (place(w, x, d, c) == PLACE_UNKNOWN) {
			EVal clamped = clamp_i64(e, i, o->type.dim[d]);
			EVal ok = e->icmp(e, E_EQ, clamped, i);
			*inside = *inside ? e->ewise(e, EW_and, DT_BOOL, *inside, ok, NULL) : ok;
			i = clamped;
		}
		at = e->iadd(e, at, e->imul(e, i, e->i64(e, walk_stride(o, d))));
	}
	return at;
}

/* Lanes go anywhere: strided, gathered, or over an edge. Row base in i64, the rest in i32 lanes. */
static EVal load_gather(Walk *w, int x, const WalkCombo *c)
{
	KEmit *e = w->e;
	const KExpr *l = &w->k->expr[x];
	const KOperand *o = &w->k->opnd[l->operand];
	DType t = stored(o->type.dtype);
	EVal base = e->ptr_arg(e, l->operand + 1), lanes = e->konst(e, DT_I32, 0, w->lanes), inside = NULL;
	for (int d = 0; d < o->type.rank; d++) {
		const KIndex *at = &l->at[d];
		int64_t stride = walk_stride(o, d);
		bool wide = (w->vector >= 0 && at->coef[w->vector]) || (at->expr >= 0 && walk_is_vector(w, at->expr));
		if (!wide && place(w, x, d, c) == PLACE_INSIDE) {
			base = e->ptr_add(e, base, e->imul(e, walk_index(w, at, c), e->i64(e, stride * dtype_size(t))));
			continue;
		}
		EVal i = index_lanes(w, at, c);
		if (place(w, x, d, c) != PLACE_INSIDE) {
			EVal zero = e->konst(e, DT_I32, 0, w->lanes), top = e->konst(e, DT_I32, o->type.dim[d] - 1, w->lanes);
			EVal clamped = e->ewise(e, EW_max, DT_I32, e->ewise(e, EW_min, DT_I32, i, top, NULL), zero, NULL);
			EVal ok = e->cmp(e, E_EQ, DT_I32, clamped, i);
			inside = inside ? e->ewise(e, EW_and, DT_BOOL, inside, ok, NULL) : ok;
			i = clamped;
		}
		EVal step = e->konst(e, DT_I32, (double)stride, w->lanes);
		lanes = e->ewise(e, EW_add, DT_I32, lanes, e->ewise(e, EW_mul, DT_I32, i, step, NULL), NULL);
	}
	EVal v = from_memory(e, o->type.dtype, e->gather(e, t, base, lanes, 0, walk_active(w, c)));
	if (inside && l->edge != EDGE_CLAMP)
		v = e->ewise(e, EW_select, o->type.dtype, inside, v, e->konst(e, o->type.dtype, outside_value(l), w->lanes));
	return v;
}

static int64_t axis_stride(const Walk *w, int x, int axis)
{
	const KExpr *l = &w->k->expr[x];
	int64_t stride = 0;
	for (int d = 0; d < w->k->opnd[l->operand].type.rank; d++)
		stride += walk_stride(&w->k->opnd[l->operand], d) * l->at[d].coef[axis];
	return stride;
}

/* The axis whose unrolled copies step through a load's memory by ones while lanes go from row to row, -1: none. Such a square
 * is read along its rows and turned in registers. */
static int turning_axis(const Walk *w, int x)
{
	const KExpr *l = &w->k->expr[x];
	const KOperand *o = &w->k->opnd[l->operand];
	if (w->lanes != K_LANES || l->edge != EDGE_NEVER || (o->type.dtype != DT_F32 && o->type.dtype != DT_U8))
		return -1;
	for (int d = 0; d < o->type.rank; d++) {
		if (l->at[d].expr >= 0)
			return -1;
	}
	for (int a = 0; a < w->k->naxes; a++) {
		if (a != w->vector && w->axis[a].copies == K_LANES && w->axis[a].step == 1 && axis_stride(w, x, a) == 1)
			return a;
	}
	return -1;
}

/* All copies of a square at once: lanes are rows, copies of the turning axis columns. Gives the cell of combination c. */
static WalkCell *load_square(Walk *w, int x, const WalkCombo *c, int turning)
{
	KEmit *e = w->e;
	const KExpr *l = &w->k->expr[x];
	const KOperand *o = &w->k->opnd[l->operand];
	const DType t = o->type.dtype;
	const bool bytes = t == DT_U8; /* turned as vectors of 32 bits, which x86 has instructions for */
	WalkCombo at = *c;
	EVal v[K_LANES], base = e->ptr_arg(e, l->operand + 1);
	int rows = walk_active(w, c);
	int64_t off = 0, row = axis_stride(w, x, w->vector);
	int32_t key[IR_MAX_RANK];
	at.copy[turning] = 0;
	for (int d = 0; d < o->type.rank; d++)
		off += copy_offset(w, &l->at[d], &at) * walk_stride(o, d);
	for (int i = 0; i < K_LANES; i++) {
		v[i] = i < rows ? e->load_vec(e, t, base, w->addr[x], off + i * row, K_LANES) : e->konst(e, t, 0, K_LANES);
		v[i] = bytes ? e->cast(e, v[i], t, DT_I32) : v[i];
	}
	e->transpose(e, v);
	for (int i = 0; i < K_LANES; i++) {
		at.copy[turning] = (uint8_t)i;
		cell_key(w, x, &at, key);
		record(w, x, key, bytes ? e->cast(e, v[i], DT_I32, t) : v[i], false);
	}
	return walk_find(w, x, c);
}

/* Does the vector axis step through memory by one, and nothing else moves the lanes? */
static bool contiguous(const Walk *w, int x)
{
	const KExpr *l = &w->k->expr[x];
	const KOperand *o = &w->k->opnd[l->operand];
	int64_t stride = 0;
	for (int d = 0; d < o->type.rank; d++) {
		int64_t f = w->vector >= 0 ? l->at[d].coef[w->vector] : 0;
		stride += f * walk_stride(o, d);
		if (f && l->edge != EDGE_NEVER && !walk_inside(w, &l->at[d], o->type.dim[d] < 0 ? INT32_MAX : o->type.dim[d]))
			return false;
		if (l->at[d].expr >= 0 && walk_is_vector(w, l->at[d].expr))
			return false;
	}
	return walk_elems(w, x, stride) == 1;
}

static EVal load_at(Walk *w, int x, const WalkCombo *c, EVal at, int64_t off)
{
	KEmit *e = w->e;
	const KExpr *l = &w->k->expr[x];
	const KOperand *o = &w->k->opnd[l->operand];
	DType t = stored(loaded(w, x));
	EVal base = e->ptr_arg(e, l->operand + 1);
	if (x == w->pair.splat)
		return e->load_pair(e, base, at, off);
	EVal v = walk_is_vector(w, x) ? e->load_vec(e, t, base, at, off, walk_active(w, c)) : e->load(e, t, base, at, off);
	return from_memory(e, o->type.dtype, v);
}

static EVal load_edge(Walk *w, int x, const WalkCombo *c)
{
	KEmit *e = w->e;
	const KExpr *l = &w->k->expr[x];
	EVal inside, at = clamped_address(w, x, c, &inside);
	if (x == w->pair.vector)
		at = e->idiv(e, at, e->i64(e, 2));
	EVal v = load_at(w, x, c, at, 0);
	if (!inside || l->edge == EDGE_CLAMP)
		return v;
	int width = e->width(e, v);
	EVal other = e->konst(e, loaded(w, x), outside_value(l), width);
	return e->ewise(e, EW_select, loaded(w, x), width > 1 ? e->splat(e, inside) : inside, v, other);
}

/* Scalars or consecutive lanes from a gathered place that is inside: what copies share of the address is computed once. */
static EVal load_gathered(Walk *w, int x, const WalkCombo *c, int64_t off)
{
	KEmit *e = w->e;
	const KExpr *l = &w->k->expr[x];
	const KOperand *o = &w->k->opnd[l->operand];
	EVal at = w->addr[x];
	for (int d = 0; d < o->type.rank; d++) {
		if (l->at[d].expr < 0)
			continue;
		EVal i = e->to_i64(e, walk_value(w, l->at[d].expr, c));
		at = e->iadd(e, at, e->imul(e, i, e->i64(e, walk_stride(o, d))));
	}
	return load_at(w, x, c, at, off);
}

static WalkCell *emit_load(Walk *w, int x, const WalkCombo *c, const int32_t *key)
{
	const KExpr *l = &w->k->expr[x];
	const KOperand *o = &w->k->opnd[l->operand];
	int worst = PLACE_INSIDE;
	bool gathers = false;
	int64_t off = 0;
	for (int d = 0; d < o->type.rank; d++) {
		if (w->placed[x] >> d & 1)
			continue;
		int p = place(w, x, d, c);
		if (p == PLACE_OUTSIDE && l->edge != EDGE_CLAMP)
			return record(w, x, key, w->e->konst(w->e, loaded(w, x), outside_value(l), walk_is_vector(w, x) ? w->lanes : 1),
			              l->edge == EDGE_ZERO);
		if (p != PLACE_INSIDE)
			worst = PLACE_UNKNOWN;
		gathers |= l->at[d].expr >= 0;
		off += copy_offset(w, &l->at[d], c) * walk_stride(o, d);
	}
	EVal v;
	bool scattered = walk_is_vector(w, x) && !contiguous(w, x);
	int turning = scattered ? turning_axis(w, x) : -1;
	if (turning >= 0)
		return load_square(w, x, c, turning);
	if (scattered)
		v = load_gather(w, x, c);
	else if (worst != PLACE_INSIDE)
		v = load_edge(w, x, c);
	else if (gathers)
		v = load_gathered(w, x, c, off);
	else
		v = load_at(w, x, c, w->addr[x], walk_elems(w, x, off));
	return record(w, x, key, v, false);
}

void walk_copy(Walk *w, int x, int n, EVal to, EVal to_at, EVal inside)
{
	KEmit *e = w->e;
	const KExpr *l = &w->k->expr[x];
	const KOperand *o = &w->k->opnd[l->operand];
	bool known = true;
	int64_t off = 0;
	WalkCombo zero;
	walk_combo_first(&zero);
	for (int d = 0; d < o->type.rank; d++) {
		known &= place(w, x, d, &zero) == PLACE_INSIDE;
		off += copy_offset(w, &l->at[d], &zero) * walk_stride(o, d);
	}
	EVal at = w->addr[x], within = NULL;
	if (!known) {
		at = clamped_address(w, x, &zero, &within);
		off = 0;
	}
	if (within && l->edge == EDGE_ZERO)
		inside = inside ? e->ewise(e, EW_and, DT_BOOL, inside, within, NULL) : within;
	e->copy(e, o->type.dtype, n, to, to_at, e->ptr_arg(e, l->operand + 1), at, off, inside);
}

void walk_prefetch(Walk *w, int x, int64_t ahead)
{
	enum { LINE = 64 };
	const KExpr *l = &w->k->expr[x];
	const KOperand *o = &w->k->opnd[l->operand];
	DType t = stored(o->type.dtype);
	int64_t per_line = LINE / dtype_size(t), seen[WALK_MAX_COPIES];
	int n = 0, i;
	WalkCombo c;
	walk_combo_first(&c);
	do {
		int64_t off = 0;
		for (int d = 0; d < o->type.rank; d++)
			off += copy_offset(w, &l->at[d], &c) * walk_stride(o, d);
		int64_t line = (off < 0 ? off - per_line + 1 : off) / per_line;
		for (i = 0; i < n && seen[i] != line; i++)
			;
		if (i < n || n == WALK_MAX_COPIES)
			continue;
		seen[n++] = line;
		w->e->prefetch(w->e, w->e->ptr_arg(w->e, l->operand + 1), w->addr[x], off + ahead, t, false, false);
	} while (walk_combo_next(w, l->axes, &c));
}

/* ---- the other expressions ---- */

static EVal emit_axis(Walk *w, const KExpr *x, const WalkCombo *c)
{
	KEmit *e = w->e;
	bool lanes = w->vector >= 0 && w->axis[w->vector].bound && x->at->coef[w->vector];
	lanes |= x->at->expr >= 0 && walk_is_vector(w, x->at->expr);
	return lanes ? index_lanes(w, x->at, c) : e->from_i64(e, walk_index(w, x->at, c), DT_I32);
}

static EVal scalar_field(Walk *w, DType t, size_t offset)
{
	return w->e->load(w->e, t, w->scalars, w->e->i64(w->e, 0), (int64_t)(offset / sizeof(float)));
}

static EVal emit_scalar(Walk *w, const KExpr *x)
{
	switch (x->scalar) {
	case SC_LR:
		return scalar_field(w, DT_F32, offsetof(RtScalars, lr));
	case SC_INV_N:
		return scalar_field(w, DT_F32, offsetof(RtScalars, inv_n));
	case SC_STEP:
		return scalar_field(w, DT_U32, offsetof(RtScalars, step));
	case SC_PASS:
		return scalar_field(w, DT_U32, offsetof(RtScalars, pass));
	default:
		for (int i = 0; i < w->p->ncounted; i++) {
			if (k_counted_eq(&w->p->counted[i], &(KCounted){ x->scalar, x->imm, x->every }))
				return scalar_field(w, DT_F32, offsetof(RtScalars, counted) + sizeof(float) * (size_t)i);
		}
	}
	ICE("kernel %s: unknown per-step number", w->k->name);
}

static EVal emit_random(Walk *w, const KExpr *x, const WalkCombo *c, bool vector)
{
	KEmit *e = w->e;
	EVal counter[3];
	for (int i = 0; i < 3; i++)
		counter[i] = vector ? walk_vector(w, x->arg[i], c) : walk_value(w, x->arg[i], c);
	EVal stream = e->konst(e, DT_U32, x->imm, vector ? w->lanes : 1);
	EVal lo = scalar_field(w, DT_U32, offsetof(RtScalars, seed));
	EVal hi = scalar_field(w, DT_U32, offsetof(RtScalars, seed) + sizeof(float));
	return math_philox(e, lo, hi, counter[0], counter[1], counter[2], stream);
}

static bool in_math(KRow row)
{
	return row == EW_exp || row == EW_log || row == EW_log1p || row == EW_sin || row == EW_cos || row == EW_tanh ||
	       row == EW_erf || row == EW_sigmoid;
}

static EVal emit_ewise(Walk *w, const KExpr *x, const WalkCombo *c, bool vector)
{
	KEmit *e = w->e;
	EVal v[3] = {NULL, NULL, NULL};
	for (int i = 0; i < 3 && x->arg[i] >= 0; i++)
		v[i] = vector ? walk_vector(w, x->arg[i], c) : walk_value(w, x->arg[i], c);
	DType t = w->k->expr[x->arg[x->row == EW_select ? 1 : 0]].type;
	if (x->row == EW_cast)
		return t == x->type ? v[0] : e->cast(e, v[0], t, x->type);
	if (in_math(x->row)) {
		if (t == DT_F32)
			return math_ewise(e, x->row, v[0]);
		return e->cast(e, math_ewise(e, x->row, e->cast(e, v[0], t, DT_F32)), DT_F32, t);
	}
	return e->ewise(e, x->row, t, v[0], v[1], v[2]);
}

static EVal emit(Walk *w, int x, const WalkCombo *c)
{
	const KExpr *k = &w->k->expr[x];
	bool vector = walk_is_vector(w, x);
	switch (k->op) {
	case K_KONST:
		return w->e->konst(w->e, k->type, k->imm, 1);
	case K_AXIS:
		return emit_axis(w, k, c);
	case K_SCALAR:
		return emit_scalar(w, k);
	case K_RANDOM:
		return emit_random(w, k, c, vector);
	case K_EWISE:
		return emit_ewise(w, k, c, vector);
	case K_LOAD:
	case K_LOCAL:
		break;
	}
	ICE("kernel %s: expression %d has no value", w->k->name, x);
}

WalkCell *walk_cell(Walk *w, int x, const WalkCombo *c)
{
	int32_t key[IR_MAX_RANK];
	cell_key(w, x, c, key);
	WalkCell *cell = find_key(w, x, key);
	if (cell)
		return cell;
	const KExpr *k = &w->k->expr[x];
	if (k->op == K_LOAD)
		return emit_load(w, x, c, key);
	if (k->op == K_LOCAL && k->stage == w->staged.stage)
		return record(w, x, key, walk_staged_value(w, c), false);
	if (k->op == K_LOCAL) {
		walk_reduce(w, k->stage);
		cell = find_key(w, x, key);
		INVARIANT(cell);
		return cell;
	}
	EVal v = emit(w, x, c);
	return record(w, x, key, v, false);
}

EVal walk_value(Walk *w, int x, const WalkCombo *c)
{
	return walk_cell(w, x, c)->value;
}

static void log_splat(Walk *w, int cell)
{
	if (w->nsplats == w->splat_room) {
		int room = w->splat_room ? w->splat_room * 2 : 256;
		w->splatted = arena_grow(w->arena, w->splatted, (size_t)w->splat_room, (size_t)room, sizeof(int));
		w->splat_room = room;
	}
	w->splatted[w->nsplats++] = cell;
}

EVal walk_vector(Walk *w, int x, const WalkCombo *c)
{
	const KExpr *k = &w->k->expr[x];
	if (k->op == K_KONST)
		return w->e->konst(w->e, k->type, k->imm, w->lanes);
	WalkCell *cell = walk_cell(w, x, c);
	if (w->e->width(w->e, cell->value) > 1)
		return cell->value;
	if (!cell->splat) {
		cell->splat = w->e->splat(w->e, cell->value);
		log_splat(w, (int)(cell - w->cell));
	}
	return cell->splat;
}

/* ---- stores ---- */

typedef struct Place { EVal base, at, lanes; int64_t off; bool vector; } Place;

/* unit: elements that one stored value holds, 1 or 2. */
static Place store_place(Walk *w, const KStage *s, const WalkCombo *c, int unit)
{
	KEmit *e = w->e;
	const KOperand *o = &w->k->opnd[s->operand];
	Place p = {.base = e->ptr_arg(e, s->operand + 1), .at = e->i64(e, 0)};
	int64_t lane_stride = 0;
	for (int d = 0; d < o->type.rank; d++) {
		int64_t stride = walk_stride(o, d);
		INVARIANT(s->at[d].expr < 0);
		p.off += copy_offset(w, &s->at[d], c) * stride;
		for (int a = 0; a < w->k->naxes; a++) {
			if (s->at[d].coef[a])
				p.at = e->iadd(e, p.at, e->imul(e, w->axis[a].base, e->i64(e, s->at[d].coef[a] * stride)));
		}
		if (w->vector >= 0 && w->axis[w->vector].bound)
			lane_stride += s->at[d].coef[w->vector] * stride;
	}
	if (unit != 1) {
		p.at = e->idiv(e, p.at, e->i64(e, unit));
		p.off /= unit;
		lane_stride /= unit;
	}
	p.vector = lane_stride != 0;
	if (p.vector && lane_stride != 1) {
		EVal step = e->konst(e, DT_I32, (double)lane_stride, w->lanes);
		p.lanes = e->ewise(e, EW_mul, DT_I32, e->lanes(e, DT_I32), step, NULL);
		p.base = e->ptr_add(e, p.base, e->imul(e, p.at, e->i64(e, dtype_size(stored(o->type.dtype)))));
	}
	return p;
}

static void store_at(Walk *w, const KStage *s, const WalkCombo *c, EVal v, bool pairs)
{
	KEmit *e = w->e;
	DType to = w->k->opnd[s->operand].type.dtype, t = pairs ? DT_U32 : stored(to);
	Place p = store_place(w, s, c, pairs ? 2 : 1);
	if (to == DT_BOOL)
		v = e->cast(e, v, DT_BOOL, DT_U8);
	if (p.lanes)
		e->scatter(e, t, v, p.base, p.lanes, p.off, walk_active(w, c));
	else if (p.vector)
		e->store_vec(e, t, v, p.base, p.at, p.off, walk_active(w, c));
	else
		e->store(e, t, e->width(e, v) > 1 ? e->extract(e, v, 0) : v, p.base, p.at, p.off);
}

void walk_store(Walk *w, const KStage *s, const WalkCombo *c, EVal v)
{
	store_at(w, s, c, v, false);
}

void walk_store_pairs(Walk *w, const KStage *s, const WalkCombo *c, EVal words)
{
	store_at(w, s, c, words, true);
}

EVal walk_load_for_add(Walk *w, const KStage *s, const WalkCombo *c)
{
	KEmit *e = w->e;
	DType t = w->k->opnd[s->operand].type.dtype;
	Place p = store_place(w, s, c, 1);
	if (p.lanes)
		return e->gather(e, t, p.base, p.lanes, p.off, walk_active(w, c));
	return p.vector ? e->load_vec(e, t, p.base, p.at, p.off, walk_active(w, c)) : e->load(e, t, p.base, p.at, p.off);
}

void walk_fetch_store(Walk *w, const KStage *s, const WalkCombo *c, int64_t ahead)
{
	Place p = store_place(w, s, c, 1);
	if (p.vector && !p.lanes)
		w->e->prefetch(w->e, p.base, p.at, p.off + ahead, stored(w->k->opnd[s->operand].type.dtype), true, true);
}

/* kernel.c -- building kernels: axes, operands, hash-consed expressions, stages
 *
 * A kernel is built from the roots' axes inwards; k_finish then drops what no store needs and derives what the later
 * passes read (par, contraction, flops). Array capacities are the next power of two of the counts, at least 8.
 */
#include <stdlib.h>
#include <string.h>
#include "ir/kernel.h"

static const char *const rows[] = {
#define EW(name, arity, expr) #name,
#include "ir/ewise.def"
};

static const int arities[] = {
#define EW(name, arity, expr) arity,
#include "ir/ewise.def"
};

const char *k_row_name(KRow row)
{
	return rows[row];
}

int k_row_arity(KRow row)
{
	return arities[row];
}

bool k_row_find(const char *name, KRow *row)
{
	for (int i = 0; i < EW_COUNT; i++) {
		if (strcmp(rows[i], name) == 0) {
			*row = (KRow)i;
			return true;
		}
	}
	return false;
}

static void *make_room(Arena *a, void *array, int count, size_t size)
{
	const size_t n = (size_t)count;
	if (count == 0)
		return arena_alloc(a, 8, size);
	if (n >= 8 && (n & (n - 1)) == 0)
		return arena_grow(a, array, n, 2 * n, size);
	return array;
}

Kernel *k_new(Arena *a, const char *name, Loc loc)
{
	Kernel *k = NEW(a, Kernel);
	k->name = name;
	k->loc = loc;
	return k;
}

/* ---- names ---- */
static bool name_taken(const Kernel *k, const char *name)
{
	for (int i = 0; i < k->naxes; i++) {
		if (strcmp(k->axis[i].name, name) == 0)
			return true;
	}
	for (int i = 0; i < k->nopnds; i++) {
		if (strcmp(k->opnd[i].name, name) == 0)
			return true;
	}
	for (int i = 0; i < k->nstages; i++) {
		if (k->stage[i].name && strcmp(k->stage[i].name, name) == 0)
			return true;
	}
	return false;
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* t1, t2 …: the text's names of shared expressions */
static bool is_let(const char *name)
{
	return name[0] == 't' && name[1] && strspn(name + 1, "0123456789") == strlen(name + 1);
}

/* An identifier made of `base`, unlike every other name of the kernel. */
static const char *fresh_name(Arena *a, const Kernel *k, const char *base)
{
	const bool bad = (base[0] >= '0' && base[0] <= '9') || is_let(base);
	char *stem = arena_printf(a, "%s%s", bad ? "_" : "", base[0] ? base : "v");
	for (char *c = stem; *c; c++) {
		if (!name_char(*c))
			*c = '_';
	}
	const char *name = stem;
	for (int i = 2; name_taken(k, name); i++)
		name = arena_printf(a, "%s_%d", stem, i);
	return name;
}

/* ---- axes and operands ---- */
int k_axis(Arena *a, Kernel *k, const char *name, KExtent ext, int32_t extent)
{
	INVARIANT(k->naxes < K_MAX_AXES && extent > 0);
	k->axis[k->naxes] = (KAxis){ .name = fresh_name(a, k, name), .ext = ext, .extent = extent, .count = -1 };
	return k->naxes++;
}

int k_list_axis(Arena *a, Kernel *k, const char *name, int32_t room, int count)
{
	const int axis = k_axis(a, k, name, EXT_LIST, room);
	INVARIANT(k->expr[count].op == K_LOAD && k->expr[count].type == DT_I32);
	k->axis[axis].count = (int16_t)count;
	return axis;
}

static KMode merged_mode(KMode a, KMode b)
{
	return a == b ? a : M_INOUT;
}

int k_operand(Arena *a, Kernel *k, const char *name, int32_t buf, IrType type, KMode mode)
{
	for (int i = 0; i < k->nopnds; i++) {
		KOperand *o = &k->opnd[i];
		if (o->buf == buf && ir_type_eq(&o->type, &type) && (o->mode == M_ADD) == (mode == M_ADD)) {
			o->mode = merged_mode(o->mode, mode);
			return i;
		}
	}
	INVARIANT(k->nopnds < INT16_MAX);
	k->opnd = make_room(a, k->opnd, k->nopnds, sizeof *k->opnd);
	k->opnd[k->nopnds] = (KOperand){ .name = fresh_name(a, k, name), .buf = buf, .type = type, .mode = mode };
	return k->nopnds++;
}

/* ---- indices ---- */
KIndex k_index(int32_t c0)
{
	return (KIndex){ .c0 = c0, .expr = -1 };
}

KIndex k_index_axis(int axis)
{
	KIndex i = k_index(0);
	i.coef[axis] = 1;
	return i;
}

KIndex k_index_affine(KIndex i, int32_t mul, int32_t add)
{
	INVARIANT(i.expr < 0 || mul == 1);
	for (int ax = 0; ax < K_MAX_AXES; ax++)
		i.coef[ax] = (int32_t)((uint32_t)i.coef[ax] * (uint32_t)mul); /* wraps like the i32 values it stands for */
	i.c0 = (int32_t)((uint32_t)i.c0 * (uint32_t)mul + (uint32_t)add);
	return i;
}

KIndex k_index_plus(KIndex a, KIndex b)
{
	INVARIANT(a.expr < 0 || b.expr < 0);
	for (int ax = 0; ax < K_MAX_AXES; ax++)
		a.coef[ax] = (int32_t)((uint32_t)a.coef[ax] + (uint32_t)b.coef[ax]);
	a.c0 = (int32_t)((uint32_t)a.c0 + (uint32_t)b.c0);
	if (b.expr >= 0)
		a.expr = b.expr;
	return a;
}

bool k_counted_eq(const KCounted *a, const KCounted *b)
{
	return a->which == b->which && a->base == b->base && a->every == b->every;
}

bool k_index_eq(const KIndex *a, const KIndex *b)
{
	return a->c0 == b->c0 && a->expr == b->expr && memcmp(a->coef, b->coef, sizeof a->coef) == 0;
}

KSet k_index_axes(const Kernel *k, const KIndex *i)
{
	KSet axes = i->expr >= 0 ? k->expr[i->expr].axes : 0;
	for (int ax = 0; ax < K_MAX_AXES; ax++) {
		if (i->coef[ax])
			axes |= (KSet)1 << ax;
	}
	return axes;
}

bool k_index_range(const Kernel *k, const KIndex *i, int64_t *lo, int64_t *hi)
{
	*lo = *hi = i->c0;
	for (int ax = 0; ax < K_MAX_AXES; ax++) {
		const int64_t far = i->coef[ax] ? (int64_t)i->coef[ax] * (k->axis[ax].extent - 1) : 0;
		*(far < 0 ? lo : hi) += far;
	}
	if (i->expr < 0)
		return true;
	const KExpr *e = &k->expr[i->expr];
	if (e->op != K_LOAD || e->imm < 1)
		return false;
	*hi += (int64_t)e->imm - 1;
	return true;
}

/* ---- expressions ---- */
static int index_count(const Kernel *k, const KExpr *e)
{
	return e->op == K_LOAD ? k->opnd[e->operand].type.rank : e->op == K_AXIS ? 1 : 0;
}

static bool expr_eq(const Kernel *k, const KExpr *a, const KExpr *b)
{
	if (a->op != b->op || a->type != b->type || a->row != b->row || memcmp(a->arg, b->arg, sizeof a->arg) != 0 ||
	    a->operand != b->operand || a->stage != b->stage || a->scalar != b->scalar || a->every != b->every || a->edge != b->edge ||
	    memcmp(&a->imm, &b->imm, sizeof a->imm) != 0)
		return false;
	for (int d = 0; d < index_count(k, a); d++) {
		if (!k_index_eq(&a->at[d], &b->at[d]))
			return false;
	}
	return true;
}

static KSet expr_axes(const Kernel *k, const KExpr *e)
{
	KSet axes = e->op == K_LOCAL ? k->stage[e->stage].over : 0;
	for (int i = 0; i < 3; i++)
		axes |= e->arg[i] >= 0 ? k->expr[e->arg[i]].axes : 0;
	for (int d = 0; d < index_count(k, e); d++)
		axes |= k_index_axes(k, &e->at[d]);
	return axes;
}

static KExpr new_expr(KOp op, DType type)
{
	return (KExpr){ .op = op, .type = type, .arg = { -1, -1, -1 }, .operand = -1, .stage = -1 };
}

static int cons(Arena *a, Kernel *k, KExpr e)
{
	for (int i = k->nexprs; i-- > 0;) {
		if (expr_eq(k, &k->expr[i], &e))
			return i;
	}
	INVARIANT(k->nexprs < INT16_MAX);
	e.axes = expr_axes(k, &e);
	const int n = index_count(k, &e);
	if (n > 0)
		e.at = memcpy(NEWN(a, KIndex, n), e.at, (size_t)n * sizeof *e.at);
	else
		e.at = NULL;
	k->expr = make_room(a, k->expr, k->nexprs, sizeof *k->expr);
	k->expr[k->nexprs] = e;
	return k->nexprs++;
}

int k_konst(Arena *a, Kernel *k, DType t, double v)
{
	KExpr e = new_expr(K_KONST, t);
	e.imm = v;
	return cons(a, k, e);
}

int k_load(Arena *a, Kernel *k, int operand, const KIndex *at, KEdge edge)
{
	KExpr e = new_expr(K_LOAD, k->opnd[operand].type.dtype);
	e.operand = (int16_t)operand;
	e.edge = edge;
	e.at = (KIndex *)at; /* copied by cons */
	return cons(a, k, e);
}

int k_load_below(Arena *a, Kernel *k, int operand, const KIndex *at, int32_t top)
{
	INVARIANT(k->opnd[operand].type.dtype == DT_I32 && top > 0);
	KExpr e = new_expr(K_LOAD, DT_I32);
	e.operand = (int16_t)operand;
	e.at = (KIndex *)at; /* copied by cons */
	e.imm = top;
	return cons(a, k, e);
}

int k_axis_value(Arena *a, Kernel *k, KIndex at)
{
	if (at.expr < 0 && k_index_axes(k, &at) == 0)
		return k_konst(a, k, DT_I32, at.c0);
	KExpr e = new_expr(K_AXIS, DT_I32);
	e.at = &at;
	return cons(a, k, e);
}

int k_scalar(Arena *a, Kernel *k, IrScalar which, double base, int32_t every)
{
	KExpr e = new_expr(K_SCALAR, which == SC_STEP || which == SC_PASS ? DT_U32 : DT_F32);
	e.scalar = which;
	e.imm = which >= SC_POWER ? base : 0;
	e.every = which >= SC_POWER && every > 1 ? every : 0;
	return cons(a, k, e);
}

int k_random(Arena *a, Kernel *k, int element, int row, int step, uint32_t stream)
{
	KExpr e = new_expr(K_RANDOM, DT_U32);
	e.arg[0] = (int16_t)element;
	e.arg[1] = (int16_t)row;
	e.arg[2] = (int16_t)step;
	e.imm = stream;
	return cons(a, k, e);
}

static bool is_konst(const Kernel *k, int x)
{
	return x < 0 || k->expr[x].op == K_KONST;
}

static bool is_value(const Kernel *k, int x, double v)
{
	return x >= 0 && k->expr[x].op == K_KONST && k->expr[x].imm == v;
}

static bool is_integer(DType t)
{
	return t == DT_I32 || t == DT_U32 || t == DT_U8;
}

/* The argument that the result equals, or -1. Exact for every value, NaN and -0 included. */
static int neutral(const Kernel *k, KRow row, DType t, int x, int y, int z)
{
	if (row == EW_mul && is_value(k, y, 1))
		return x;
	if (row == EW_mul && is_value(k, x, 1))
		return y;
	if (row == EW_div && is_value(k, y, 1))
		return x;
	if ((row == EW_add || row == EW_sub) && is_integer(t) && is_value(k, y, 0))
		return x;
	if (row == EW_add && is_integer(t) && is_value(k, x, 0))
		return y;
	if (row == EW_mul && is_integer(t) && (is_value(k, x, 0) || is_value(k, y, 0)))
		return is_value(k, x, 0) ? x : y;
	if (row == EW_select && k->expr[x].op == K_KONST)
		return k->expr[x].imm != 0 ? y : z;
	if (row == EW_select && y == z)
		return y;
	return -1;
}

/* Shifts and masks of numbers that are not in range have no value. */
static bool foldable(const Kernel *k, KRow row, int x, int y)
{
	if (row != EW_shr && row != EW_shl && row != EW_band)
		return true;
	const double u = k->expr[x].imm, v = k->expr[y].imm;
	return u >= 0 && u < 4294967296.0 && v >= 0 && v < (row == EW_band ? 4294967296.0 : 32.0);
}

int k_ewise(Arena *a, Kernel *k, KRow row, DType t, int x, int y, int z)
{
	if (row == EW_cast && k->expr[x].type == t)
		return x;
	const int same = neutral(k, row, t, x, y, z);
	if (same >= 0)
		return same;
	if (is_konst(k, x) && is_konst(k, y) && is_konst(k, z) && foldable(k, row, x, y)) {
		const double u = y >= 0 ? k->expr[y].imm : 0, v = z >= 0 ? k->expr[z].imm : 0;
		return k_konst(a, k, t, ir_ewise(rows[row], k->expr[x].imm, u, v, t));
	}
	KExpr e = new_expr(K_EWISE, t);
	e.row = row;
	e.arg[0] = (int16_t)x;
	e.arg[1] = (int16_t)y;
	e.arg[2] = (int16_t)z;
	return cons(a, k, e);
}

int k_cast(Arena *a, Kernel *k, int x, DType to)
{
	return k_ewise(a, k, EW_cast, to, x, -1, -1);
}

/* ---- stages ---- */
static KStage *new_stage(Arena *a, Kernel *k, KStageKind kind, int value)
{
	INVARIANT(k->nstages < INT16_MAX);
	k->stage = make_room(a, k->stage, k->nstages, sizeof *k->stage);
	KStage *s = &k->stage[k->nstages++];
	*s = (KStage){ .kind = kind, .value = (int16_t)value, .operand = -1, .type = k->expr[value].type };
	return s;
}

static int local(Arena *a, Kernel *k, int stage)
{
	KExpr e = new_expr(K_LOCAL, k->stage[stage].type);
	e.stage = (int16_t)stage;
	return cons(a, k, e);
}

int k_reduce(Arena *a, Kernel *k, const char *name, KRed red, KSet away, int value, DType t)
{
	INVARIANT(away && (red == RED_argmax ? t == DT_I32 : t == k->expr[value].type));
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		if (s->kind == S_REDUCE && s->red == red && s->away == away && s->value == value)
			return local(a, k, i);
	}
	const char *unique = fresh_name(a, k, name);
	KStage *s = new_stage(a, k, S_REDUCE, value);
	s->red = red;
	s->away = away;
	s->over = k->expr[value].axes & ~away;
	s->type = t;
	s->name = unique;
	return local(a, k, k->nstages - 1);
}

static void put(Arena *a, Kernel *k, KStageKind kind, int operand, const KIndex *at, int value)
{
	const IrType *t = &k->opnd[operand].type;
	INVARIANT(k->expr[value].type == t->dtype);
	KStage *s = new_stage(a, k, kind, value);
	s->operand = (int16_t)operand;
	s->at = NEWN(a, KIndex, t->rank + 1);
	s->over = k->expr[value].axes;
	for (int d = 0; d < t->rank; d++) {
		s->at[d] = at[d];
		s->over |= k_index_axes(k, &at[d]);
	}
}

void k_store(Arena *a, Kernel *k, int operand, const KIndex *at, int value)
{
	put(a, k, S_STORE, operand, at, value);
}

void k_add(Arena *a, Kernel *k, int operand, const KIndex *at, int value)
{
	put(a, k, S_ADD, operand, at, value);
}

void k_push(Arena *a, Kernel *k, int count, const KIndex *at, int when, int nfields, const int *field, const int *value)
{
	INVARIANT(nfields > 0 && nfields <= K_MAX_FIELDS);
	put(a, k, S_PUSH, count, at, k_cast(a, k, when, DT_I32));
	KStage *s = &k->stage[k->nstages - 1];
	KSet keys = 0, all = s->over;
	for (int d = 0; d < k->opnd[count].type.rank; d++)
		keys |= k_index_axes(k, &at[d]);
	for (int i = 0; i < nfields; i++) {
		s->field[s->nfields] = (int16_t)field[i];
		s->field_value[s->nfields++] = (int16_t)value[i];
		all |= k->expr[value[i]].axes;
	}
	s->over = keys;
	s->away = all & ~keys;
}

/* ---- finishing ---- */
typedef struct Live {
	bool expr[INT16_MAX + 1], stage[INT16_MAX + 1];
} Live;

typedef struct Renumber {
	int16_t expr[INT16_MAX + 1], stage[INT16_MAX + 1], opnd[INT16_MAX + 1];
	int axis[K_MAX_AXES];
} Renumber;

static void mark_live(const Kernel *k, Live *live, int x)
{
	if (x < 0 || live->expr[x])
		return;
	const KExpr *e = &k->expr[x];
	live->expr[x] = true;
	for (int i = 0; i < 3; i++)
		mark_live(k, live, e->arg[i]);
	for (int d = 0; d < index_count(k, e); d++)
		mark_live(k, live, e->at[d].expr);
	if (e->op == K_LOCAL)
		live->stage[e->stage] = true;
	for (int ax = 0; ax < k->naxes; ax++) {
		if (e->axes >> ax & 1 && k->axis[ax].ext == EXT_LIST)
			mark_live(k, live, k->axis[ax].count);
	}
}

static void find_live(const Kernel *k, Live *live)
{
	for (int i = k->nstages; i-- > 0;) {
		const KStage *s = &k->stage[i];
		live->stage[i] |= s->kind != S_REDUCE;
		if (!live->stage[i])
			continue;
		mark_live(k, live, s->value);
		for (int d = 0; s->kind != S_REDUCE && d < k->opnd[s->operand].type.rank; d++)
			mark_live(k, live, s->at[d].expr);
		for (int f = 0; f < s->nfields; f++)
			mark_live(k, live, s->field_value[f]);
	}
}

static KSet renumber_set(const Renumber *r, KSet set)
{
	KSet out = 0;
	for (int ax = 0; ax < K_MAX_AXES; ax++) {
		if (set >> ax & 1 && r->axis[ax] >= 0)
			out |= (KSet)1 << r->axis[ax];
	}
	return out;
}

static void renumber_index(const Renumber *r, KIndex *i)
{
	KIndex out = k_index(i->c0);
	out.expr = (int16_t)(i->expr >= 0 ? r->expr[i->expr] : -1);
	for (int ax = 0; ax < K_MAX_AXES; ax++) {
		if (i->coef[ax])
			out.coef[r->axis[ax]] = i->coef[ax];
	}
	*i = out;
}

static void drop_axes(Kernel *k, const Live *live, Renumber *r)
{
	KSet used = 0;
	for (int i = 0; i < k->nstages; i++)
		used |= live->stage[i] ? k->stage[i].over | k->stage[i].away : 0;
	int n = 0;
	for (int ax = 0; ax < K_MAX_AXES; ax++) {
		r->axis[ax] = -1;
		if (ax < k->naxes && used >> ax & 1) {
			r->axis[ax] = n;
			k->axis[n++] = k->axis[ax];
		}
	}
	k->naxes = n;
}

static void drop_operands(Kernel *k, const Live *live, Renumber *r)
{
	bool used[INT16_MAX + 1] = { false };
	for (int i = 0; i < k->nexprs; i++) {
		if (live->expr[i] && k->expr[i].op == K_LOAD)
			used[k->expr[i].operand] = true;
	}
	for (int i = 0; i < k->nstages; i++) {
		if (k->stage[i].kind != S_REDUCE)
			used[k->stage[i].operand] = true;
		for (int f = 0; f < k->stage[i].nfields; f++)
			used[k->stage[i].field[f]] = true;
	}
	int n = 0;
	for (int i = 0; i < k->nopnds; i++) {
		r->opnd[i] = (int16_t)n;
		if (used[i])
			k->opnd[n++] = k->opnd[i];
	}
	k->nopnds = n;
}

static void compact_exprs(Kernel *k, const Live *live, Renumber *r)
{
	int n = 0;
	for (int i = 0; i < k->nexprs; i++) {
		if (!live->expr[i])
			continue;
		KExpr *e = &k->expr[n];
		*e = k->expr[i];
		r->expr[i] = (int16_t)n++;
		for (int j = 0; j < 3; j++)
			e->arg[j] = (int16_t)(e->arg[j] >= 0 ? r->expr[e->arg[j]] : -1);
		e->operand = (int16_t)(e->operand >= 0 ? r->opnd[e->operand] : -1);
		e->stage = (int16_t)(e->stage >= 0 ? r->stage[e->stage] : -1);
		e->axes = renumber_set(r, e->axes);
		for (int d = 0; d < index_count(k, e); d++)
			renumber_index(r, &e->at[d]);
	}
	k->nexprs = n;
	for (int ax = 0; ax < k->naxes; ax++)
		k->axis[ax].count = (int16_t)(k->axis[ax].ext == EXT_LIST ? r->expr[k->axis[ax].count] : -1);
}

static void compact_stages(Kernel *k, const Live *live, const Renumber *r)
{
	int n = 0;
	for (int i = 0; i < k->nstages; i++) {
		if (!live->stage[i])
			continue;
		KStage *s = &k->stage[n++];
		*s = k->stage[i];
		s->over = renumber_set(r, s->over);
		s->away = renumber_set(r, s->away);
		s->value = r->expr[s->value];
		if (s->kind == S_REDUCE)
			continue;
		s->operand = r->opnd[s->operand];
		for (int d = 0; d < k->opnd[s->operand].type.rank; d++)
			renumber_index(r, &s->at[d]);
		for (int f = 0; f < s->nfields; f++) {
			s->field[f] = r->opnd[s->field[f]];
			s->field_value[f] = r->expr[s->field_value[f]];
		}
	}
	k->nstages = n;
}

static void drop_dead(Kernel *k)
{
	Live live = { { false }, { false } };
	Renumber r = { .axis = { 0 } };
	find_live(k, &live);
	int n = 0;
	for (int i = 0; i < k->nstages; i++)
		r.stage[i] = (int16_t)(live.stage[i] ? n++ : -1);
	drop_axes(k, &live, &r);
	drop_operands(k, &live, &r);
	compact_exprs(k, &live, &r);
	compact_stages(k, &live, &r);
}

/* The axes of one dimension's index if no two of their points share a value: mixed radix, as in 4i + a with a < 4. */
static KSet injective_in(const Kernel *k, const KIndex *at)
{
	KSet axes = 0;
	int64_t span = 1;
	if (at->expr >= 0)
		return 0;
	for (;;) {
		int next = -1;
		for (int ax = 0; ax < k->naxes; ax++) {
			if (at->coef[ax] && !(axes >> ax & 1) && (next < 0 || abs(at->coef[ax]) < abs(at->coef[next])))
				next = ax;
		}
		if (next < 0)
			return axes;
		if (abs(at->coef[next]) < span)
			return 0;
		span += (int64_t)abs(at->coef[next]) * (k->axis[next].extent - 1);
		axes |= (KSet)1 << next;
	}
}

static KSet parallel_axes(const Kernel *k)
{
	KSet par = (KSet)(((uint64_t)1 << k->naxes) - 1);
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		KSet here = 0;
		par &= ~s->away;
		if (s->kind == S_REDUCE)
			continue;
		for (int d = 0; d < k->opnd[s->operand].type.rank; d++)
			here |= injective_in(k, &s->at[d]);
		par &= here;
	}
	return par;
}

/* A sum of products of two loads, one of which misses an axis of the result: elements are used more than once. */
bool k_is_contraction(const Kernel *k, const KStage *s)
{
	if (s->kind != S_REDUCE || s->red != RED_sum || s->type != DT_F32)
		return false;
	const KExpr *e = &k->expr[s->value];
	if (e->op != K_EWISE || e->row != EW_mul || e->arg[0] == e->arg[1])
		return false;
	const KExpr *x = &k->expr[k_widened(k, e->arg[0])], *y = &k->expr[k_widened(k, e->arg[1])];
	return x->op == K_LOAD && y->op == K_LOAD && (s->over & ~(x->axes & y->axes)) != 0;
}

/* Points of the axes in `at`, from axis `ax` on, at which `value` and their part of the index lie in 0 … extent-1. */
static int64_t points_inside(const Kernel *k, const KIndex *at, int ax, int64_t value, int64_t extent)
{
	while (ax < k->naxes && !at->coef[ax])
		ax++;
	if (ax == k->naxes)
		return value >= 0 && value < extent;
	int64_t n = 0;
	for (int64_t i = 0; i < k->axis[ax].extent; i++)
		n += points_inside(k, at, ax + 1, value + i * at->coef[ax], extent);
	return n;
}

/* Points of the axes of one dimension of a load, those outside an EDGE_ZERO operand left out; 0: not a set of its own. */
static int64_t dim_points(const Kernel *k, const KIndex *at, int32_t extent, KSet counted, KSet *axes)
{
	enum { MOST = 1 << 22 };
	int64_t all = 1;
	*axes = 0;
	for (int ax = 0; ax < k->naxes; ax++) {
		if (!at->coef[ax])
			continue;
		*axes |= (KSet)1 << ax;
		if (k->axis[ax].ext != EXT_CONST || (all *= k->axis[ax].extent) > MOST)
			return 0;
	}
	return *axes && at->expr < 0 && !(*axes & counted) ? points_inside(k, at, 0, at->c0, extent) : 0;
}

/* Entries of a list axis if its lists are full: what is summed over several lists (buckets) has room for all in each. */
static int64_t list_points(const Kernel *k, const KStage *s, int ax)
{
	int64_t buckets = 1;
	const KSet keys = k->expr[k->axis[ax].count].axes & s->away;
	for (int i = 0; i < k->naxes; i++)
		buckets *= keys >> i & 1 ? k->axis[i].extent : 1;
	return (k->axis[ax].extent + buckets - 1) / buckets;
}

/* Twice the points of a sum of products; what lies outside a picture is zero and is not computed. */
static int64_t stage_flops(const Kernel *k, const KStage *s)
{
	const KExpr *product = &k->expr[s->value];
	int64_t flops = 2;
	KSet counted = 0, axes;
	bool fits = true;
	for (int i = 0; i < 2; i++) {
		const KExpr *x = &k->expr[k_widened(k, product->arg[i])];
		for (int d = 0; x->edge == EDGE_ZERO && d < k->opnd[x->operand].type.rank; d++) {
			int64_t n = dim_points(k, &x->at[d], k->opnd[x->operand].type.dim[d], counted, &axes);
			counted |= n ? axes : 0;
			fits &= !n || !__builtin_mul_overflow(flops, n, &flops);
		}
	}
	for (int ax = 0; ax < k->naxes; ax++) {
		const bool list = k->axis[ax].ext == EXT_LIST;
		if ((s->over | s->away) & ~counted & (KSet)1 << ax && (list || k->axis[ax].ext == EXT_CONST))
			fits &= !__builtin_mul_overflow(flops, list ? list_points(k, s, ax) : k->axis[ax].extent, &flops);
	}
	return fits && flops < INT64_MAX / K_MAX_AXES ? flops : INT64_MAX / K_MAX_AXES;
}

void k_finish(Kernel *k)
{
	drop_dead(k);
	k->par = parallel_axes(k);
	k->contraction = false;
	k->flops = 0;
	for (int i = 0; i < k->nstages; i++) {
		if (k_is_contraction(k, &k->stage[i])) {
			k->contraction = true;
			const int64_t flops = stage_flops(k, &k->stage[i]);
			k->flops += flops < INT64_MAX - k->flops ? flops : INT64_MAX - k->flops;
		}
	}
}

int k_readers(const Kernel *k, int x)
{
	int n = 0;
	for (int i = 0; i < k->nexprs; i++) {
		for (int j = 0; j < 3; j++)
			n += k->expr[i].arg[j] == x;
	}
	for (int i = 0; i < k->nstages; i++)
		n += k->stage[i].value == x;
	return n;
}

int k_sample_axis(const Kernel *k)
{
	for (int a = 0; a < k->naxes; a++) {
		if (k->axis[a].ext == EXT_N)
			return a;
	}
	return -1;
}

bool k_adds(const Kernel *k, int axis)
{
	int sum = -1;
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		const KExpr *x = &k->expr[s->value];
		if (s->kind == S_REDUCE && s->red == RED_sum && sum < 0)
			sum = i;
		else if (s->kind != S_ADD || sum < 0 || x->op != K_LOCAL || x->stage != sum || s->over != k->stage[sum].over)
			return false;
	}
	return sum >= 0 && (k->stage[sum].away >> axis & 1) && k->axis[axis].ext == EXT_CONST;
}

bool k_runs_by_sample(const Kernel *k)
{
	int n = k_sample_axis(k);
	for (int i = 0; n >= 0 && i < k->nstages; i++) {
		if (k->stage[i].kind != S_REDUCE && !(k->stage[i].over >> n & 1))
			return false;
	}
	return n >= 0;
}

/* ---- sums in blocks ---- */
static bool shares_buffer(const Kernel *k, int operand)
{
	for (int i = 0; i < k->nopnds; i++) {
		if (i != operand && k->opnd[i].buf == k->opnd[operand].buf)
			return true;
	}
	return false;
}

/* Every read at a place that the axis moves is inside its operand: no trips are left out at edges. */
static bool reads_inside(const Kernel *k, int axis)
{
	for (int i = 0; i < k->nexprs; i++) {
		const KExpr *x = &k->expr[i];
		if (x->op == K_LOAD && (x->axes >> axis & 1) && x->edge != EDGE_NEVER)
			return false;
	}
	return true;
}

bool k_waits(const Kernel *k, int axis, int *reduce, int *store)
{
	*reduce = *store = -1;
	for (int i = 0; i < k->nstages; i++) {
		KStageKind kind = k->stage[i].kind;
		if ((kind != S_REDUCE && kind != S_STORE) || (kind == S_REDUCE && *reduce >= 0))
			return false;
		if (k->stage[i].kind == S_REDUCE)
			*reduce = i;
	}
	const KStage *r = *reduce < 0 ? NULL : &k->stage[*reduce];
	if (!r || r->red != RED_sum || r->type != DT_F32 || !(r->away >> axis & 1) || k->axis[axis].ext != EXT_CONST ||
	    (r->over & ~k->par) || !reads_inside(k, axis))
		return false;
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		if (i == *reduce)
			continue;
		if (s->over != r->over)
			return false;
		const KOperand *o = &k->opnd[s->operand];
		if (*store < 0 && o->type.dtype == DT_F32 && o->mode == M_OUT && !shares_buffer(k, s->operand))
			*store = i;
	}
	return *store >= 0;
}

int k_block_axis(const Kernel *k)
{
	const KSchedule *s = &k->sched;
	for (int i = 1; i < s->nloops && !k_adds(k, s->loop[0].axis); i++) {
		if (s->loop[i].level == L_LOOP && s->loop[0].level == L_LOOP && s->loop[i].axis == s->loop[0].axis)
			return s->loop[0].axis;
	}
	return -1;
}

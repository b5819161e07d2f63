/* kernel_eval.c -- the definition of kernels: stages in order, every point in lexicographic order, in double
 *
 * Takes a program, a kernel or an entry's tree, and memory (one array of doubles a buffer). Ignores schedules. Values are
 * not rounded unless the caller asks; integers wrap at their width. Slow and obvious, but for one thing: an expression is
 * computed again only when an axis that it depends on has moved.
 */
#include <math.h>
#include <string.h>
#include "ir/eval.h"
#include "ir/kernel.h"

typedef struct Term { int32_t axis, coef; } Term;

typedef struct Affine { /* a KIndex without its zeros */
	int nterms, expr;
	int64_t c0;
	Term term[K_MAX_AXES];
} Affine;

typedef struct Local { /* values of a REDUCE stage: dense over the axes of `over`, row-major by axis number */
	double *value;
	int64_t stride[K_MAX_AXES];
} Local;

typedef struct Run {
	const KProgram *p;
	const Kernel *k;
	const KMemory *mem;
	bool round_f32;
	int64_t lo, n;              /* samples [lo, n) of the call: the range of EXT_N axes */
	Arena *arena;
	double **read;              /* by operand: memory as it was before the kernel */
	Ewise **row;                /* by expression */
	Affine **at;                /* by expression */
	Local *local;               /* by stage */
	double *value;              /* by expression, at the present point */
	int64_t point[K_MAX_AXES];
} Run;

static Affine *affines(Arena *a, const KIndex *at, int n)
{
	Affine *out = NEWN(a, Affine, n + 1);
	for (int d = 0; d < n; d++) {
		out[d].c0 = at[d].c0;
		out[d].expr = at[d].expr;
		for (int ax = 0; ax < K_MAX_AXES; ax++) {
			if (at[d].coef[ax])
				out[d].term[out[d].nterms++] = (Term){ ax, at[d].coef[ax] };
		}
	}
	return out;
}

static int64_t affine_at(const Run *r, const Affine *a)
{
	int64_t v = a->c0;
	for (int i = 0; i < a->nterms; i++)
		v += a->term[i].coef * r->point[a->term[i].axis];
	return a->expr < 0 ? v : v + (int64_t)r->value[a->expr];
}

static int64_t parts_of(int64_t n, int32_t rows)
{
	INVARIANT(rows > 0);
	return (n + rows - 1) / rows;
}

static int64_t axis_first(const Run *r, int ax)
{
	return r->k->axis[ax].ext == EXT_N ? r->lo : 0;
}

static int64_t axis_end(const Run *r, int ax)
{
	const KAxis *a = &r->k->axis[ax];
	switch (a->ext) {
	case EXT_CONST: return a->extent;
	case EXT_N:     return r->n;
	case EXT_PARTS: return parts_of(r->mem->n, a->rows);
	case EXT_LIST:  return a->extent; /* points beyond the list's length are left out: see beyond() */
	}
	ICE("extent %d", (int)a->ext);
}

/* Extent of dimension d of a buffer seen as `t`: the samples, or the parts of a partial buffer. */
static int64_t dim_of(const Run *r, const KOperand *o, int d)
{
	const KBuffer *b = &r->p->buffer[o->buf];
	if (b->cls == B_PARTIAL && d == 0 && o->type.rank == b->type.rank)
		return parts_of(r->mem->n, b->part_rows);
	return o->type.dim[d] == IR_N ? r->mem->n : o->type.dim[d];
}

/* Element of operand o at the indices; -1: outside, and edge says what that means. */
static int64_t element(const Run *r, const KOperand *o, const Affine *at, KEdge edge)
{
	int64_t where = 0;
	for (int d = 0; d < o->type.rank; d++) {
		const int64_t extent = dim_of(r, o, d);
		int64_t i = affine_at(r, &at[d]);
		if (edge == EDGE_CLAMP)
			i = i < 0 ? 0 : i >= extent ? extent - 1 : i;
		if (i < 0 || i >= extent) {
			INVARIANT(edge != EDGE_NEVER);
			return -1;
		}
		where = where * extent + i;
	}
	return where;
}

/* ---- expressions ---- */
static double scalar_value(const Run *r, const KExpr *e)
{
	const IrScalars *s = r->mem->scalars;
	INVARIANT(s);
	switch (e->scalar) {
	case SC_LR:    return s->lr;
	case SC_INV_N: return 1.0 / (double)r->mem->n;
	case SC_STEP:  return s->step;
	case SC_PASS:  return s->pass;
	default:       return ir_counted(e->scalar, e->imm, e->every, s->step);
	}
}

static double load_value(const Run *r, const KExpr *e, const Affine *at)
{
	const int64_t i = element(r, &r->k->opnd[e->operand], at, e->edge);
	INVARIANT(e->imm == 0 || (r->read[e->operand][i] >= 0 && r->read[e->operand][i] < e->imm));
	return i >= 0 ? r->read[e->operand][i] : e->edge == EDGE_LOWEST ? -INFINITY : 0.0;
}

static double local_value(const Run *r, int stage)
{
	const Local *l = &r->local[stage];
	int64_t at = 0;
	for (int ax = 0; ax < r->k->naxes; ax++)
		at += l->stride[ax] * (r->point[ax] - axis_first(r, ax));
	return l->value[at];
}

static double arg(const Run *r, const KExpr *e, int i)
{
	return e->arg[i] >= 0 ? r->value[e->arg[i]] : 0.0;
}

static double expr_value(const Run *r, int x)
{
	const KExpr *e = &r->k->expr[x];
	switch (e->op) {
	case K_KONST:  return e->imm;
	case K_LOAD:   return load_value(r, e, r->at[x]);
	case K_AXIS:   return (double)affine_at(r, r->at[x]);
	case K_SCALAR: return scalar_value(r, e);
	case K_LOCAL:  return local_value(r, e->stage);
	case K_RANDOM:
		return philox(r->mem->scalars->seed, (uint32_t)arg(r, e, 0), (uint32_t)arg(r, e, 1), (uint32_t)arg(r, e, 2),
		              (uint32_t)e->imm, 0);
	case K_EWISE:
		return ewise_apply(r->row[x], arg(r, e, 0), arg(r, e, 1), arg(r, e, 2), e->type);
	}
	ICE("expression %d", (int)e->op);
}

/* ---- points ---- */
typedef struct Walk { /* the points of a stage: outer axes, then inner, each in ascending number */
	int naxes, nouter, nexprs;
	int axis[K_MAX_AXES];
	int *expr; /* what the stage needs, arguments first */
	KSet stale; /* axes that moved while points were left out */
} Walk;

static void need(const Run *r, bool *needed, int x)
{
	if (x < 0 || needed[x])
		return;
	const KExpr *e = &r->k->expr[x];
	needed[x] = true;
	for (int i = 0; i < 3; i++)
		need(r, needed, e->arg[i]);
	const int n = e->op == K_LOAD ? r->k->opnd[e->operand].type.rank : 0;
	for (int d = 0; d < n; d++)
		need(r, needed, e->at[d].expr);
}

static Walk walk_of(const Run *r, const KStage *s)
{
	Walk w = { 0 };
	bool *needed = NEWN(r->arena, bool, r->k->nexprs + 1);
	for (int pass = 0; pass < 2; pass++) {
		for (int ax = 0; ax < r->k->naxes; ax++) {
			if ((pass ? s->away : s->over) >> ax & 1)
				w.axis[w.naxes++] = ax;
		}
		w.nouter = pass ? w.nouter : w.naxes;
	}
	need(r, needed, s->value);
	for (int f = 0; f < s->nfields; f++)
		need(r, needed, s->field_value[f]);
	for (int d = 0; s->kind != S_REDUCE && d < r->k->opnd[s->operand].type.rank; d++)
		need(r, needed, s->at[d].expr);
	w.expr = NEWN(r->arena, int, r->k->nexprs + 1);
	for (int x = 0; x < r->k->nexprs; x++) {
		if (needed[x])
			w.expr[w.nexprs++] = x;
	}
	return w;
}

/* Is the point behind the end of a list? */
static bool beyond(const Run *r, const Walk *w)
{
	for (int i = 0; i < w->naxes; i++) {
		const KAxis *a = &r->k->axis[w->axis[i]];
		if (a->ext == EXT_LIST && r->point[w->axis[i]] >= load_value(r, &r->k->expr[a->count], r->at[a->count]))
			return true;
	}
	return false;
}

/* Values at the present point; false: there is none. */
static bool compute(Run *r, Walk *w, KSet moved, bool all)
{
	w->stale |= all ? ~(KSet)0 : moved;
	if (beyond(r, w))
		return false;
	for (int i = 0; i < w->nexprs; i++) {
		const int x = w->expr[i];
		if (w->stale == ~(KSet)0 || r->k->expr[x].axes & w->stale)
			r->value[x] = expr_value(r, x);
	}
	w->stale = 0;
	return true;
}

static bool walk_start(Run *r, const Walk *w)
{
	for (int i = 0; i < w->naxes; i++) {
		r->point[w->axis[i]] = axis_first(r, w->axis[i]);
		if (axis_end(r, w->axis[i]) <= axis_first(r, w->axis[i]))
			return false;
	}
	return true;
}

/* The outermost position that moved; -1 after the last point. */
static int walk_next(Run *r, const Walk *w, KSet *moved)
{
	*moved = 0;
	for (int i = w->naxes; i-- > 0;) {
		const int ax = w->axis[i];
		*moved |= (KSet)1 << ax;
		if (++r->point[ax] < axis_end(r, ax))
			return i;
		r->point[ax] = axis_first(r, ax);
	}
	return -1;
}

/* ---- stages ---- */
typedef struct Fold { double s; int64_t best, count; } Fold;

static double red_start(KRed red)
{
	switch (red) {
#define RED(name, start, combine) case RED_##name: return start;
#include "ir/reduce.def"
	case RED_COUNT: break;
	}
	ICE("reduction %d", (int)red);
}

static double red_combine(KRed red, double s, double v)
{
	switch (red) {
#define RED(name, start, combine) case RED_##name: return combine;
#include "ir/reduce.def"
	case RED_COUNT: break;
	}
	ICE("reduction %d", (int)red);
}

static void fold(const KStage *s, Fold *f, double v)
{
	if (s->red != RED_argmax)
		f->s = ewise_wrap(red_combine(s->red, f->s, v), s->type);
	else if (f->s < v || (isnan(v) && !isnan(f->s))) {
		f->s = v;
		f->best = f->count;
	}
	f->count++;
}

static void run_reduce(Run *r, int stage)
{
	const KStage *s = &r->k->stage[stage];
	Walk w = walk_of(r, s);
	Local *l = &r->local[stage];
	int64_t size = 1;
	for (int i = w.nouter; i-- > 0;) {
		l->stride[w.axis[i]] = size;
		size *= axis_end(r, w.axis[i]) - axis_first(r, w.axis[i]);
	}
	l->value = NEWN(r->arena, double, size);
	Fold f = { red_start(s->red), 0, 0 };
	for (int64_t i = 0; i < size; i++)
		l->value[i] = s->red == RED_argmax ? 0.0 : f.s;
	KSet moved = 0;
	int64_t out = 0;
	if (!walk_start(r, &w))
		return;
	for (int at = 0; at >= 0; at = walk_next(r, &w, &moved)) {
		if (moved && at < w.nouter) {
			f = (Fold){ red_start(s->red), 0, 0 };
			out++;
		}
		if (compute(r, &w, moved, moved == 0))
			fold(s, &f, r->value[s->value]);
		l->value[out] = s->red == RED_argmax ? (double)f.best : f.s;
	}
}

static double rounded(const Run *r, double v, DType t)
{
	return r->round_f32 && t == DT_F32 ? (double)(float)v : v;
}

/* A store into a partial buffer goes to the copy of the part that runs; its own index of dimension 0 is 0. */
static int64_t part_start(const Run *r, const KOperand *o)
{
	const KBuffer *b = &r->p->buffer[o->buf];
	if (b->cls != B_PARTIAL)
		return 0;
	int64_t at = r->lo / b->part_rows;
	for (int d = 1; d < b->type.rank; d++)
		at *= b->type.dim[d];
	return at;
}

/* The length grows by one, behind the fields. */
static void push(Run *r, const KStage *s, const Affine *at)
{
	const KOperand *o = &r->k->opnd[s->operand];
	const int64_t list = element(r, o, at, EDGE_NEVER);
	double *length = &r->mem->buffer[o->buf][list];
	if (r->value[s->value] == 0)
		return;
	for (int f = 0; f < s->nfields; f++) {
		const KOperand *field = &r->k->opnd[s->field[f]];
		const int32_t room = field->type.dim[field->type.rank - 1];
		INVARIANT(*length < room);
		r->mem->buffer[field->buf][list * room + (int64_t)*length] = rounded(r, r->value[s->field_value[f]], field->type.dtype);
	}
	++*length;
}

/* Every list that this run fills, emptied. */
static void run_push(Run *r, const KStage *s)
{
	Walk w = walk_of(r, s);
	const KOperand *o = &r->k->opnd[s->operand];
	const Affine *at = affines(r->arena, s->at, o->type.rank);
	KSet moved = 0;
	for (int pass = 0; pass < 2; pass++) {
		if (!walk_start(r, &w))
			return;
		for (int more = 0; more >= 0; more = walk_next(r, &w, &moved)) {
			if (pass == 0)
				r->mem->buffer[o->buf][element(r, o, at, EDGE_NEVER)] = 0;
			else if (compute(r, &w, moved, moved == 0))
				push(r, s, at);
		}
		moved = 0;
	}
}

static void run_store(Run *r, const KStage *s)
{
	Walk w = walk_of(r, s);
	const KOperand *o = &r->k->opnd[s->operand];
	const Affine *at = affines(r->arena, s->at, o->type.rank);
	double *out = r->mem->buffer[o->buf] + part_start(r, o);
	KSet moved = 0;
	if (!walk_start(r, &w))
		return;
	for (int more = 0; more >= 0; more = walk_next(r, &w, &moved)) {
		if (!compute(r, &w, moved, moved == 0))
			continue;
		int64_t i = element(r, o, at, EDGE_NEVER);
		const double v = r->value[s->value];
		if (s->kind == S_ADD)
			out[i] = rounded(r, out[i] + v, o->type.dtype);
		else
			out[i] = rounded(r, v, o->type.dtype);
	}
}

static int64_t operand_elems(const Run *r, const KOperand *o)
{
	int64_t elems = 1;
	for (int d = 0; d < o->type.rank; d++)
		elems *= dim_of(r, o, d);
	return elems;
}

static void snapshot(Run *r)
{
	r->read = NEWN(r->arena, double *, r->k->nopnds + 1);
	for (int i = 0; i < r->k->nopnds; i++) {
		const KOperand *o = &r->k->opnd[i];
		r->read[i] = r->mem->buffer[o->buf];
		if (o->mode != M_INOUT)
			continue;
		const size_t elems = (size_t)operand_elems(r, o);
		r->read[i] = memcpy(NEWN(r->arena, double, elems), r->mem->buffer[o->buf], elems * sizeof(double));
	}
}

static void run_kernel(Run *r)
{
	const Kernel *k = r->k;
	r->arena = arena_new();
	r->row = NEWN(r->arena, Ewise *, k->nexprs + 1);
	r->at = NEWN(r->arena, Affine *, k->nexprs + 1);
	r->local = NEWN(r->arena, Local, k->nstages + 1);
	r->value = NEWN(r->arena, double, k->nexprs + 1);
	for (int x = 0; x < k->nexprs; x++) {
		const KExpr *e = &k->expr[x];
		r->row[x] = e->op == K_EWISE ? ewise_row(k_row_name(e->row)) : NULL;
		if (e->op == K_LOAD || e->op == K_AXIS)
			r->at[x] = affines(r->arena, e->at, e->op == K_AXIS ? 1 : k->opnd[e->operand].type.rank);
	}
	snapshot(r);
	for (int i = 0; i < k->nstages; i++) {
		if (k->stage[i].kind == S_REDUCE)
			run_reduce(r, i);
		else if (k->stage[i].kind == S_PUSH)
			run_push(r, &k->stage[i]);
		else
			run_store(r, &k->stage[i]);
	}
	arena_free(r->arena);
}

void k_eval(const KProgram *p, const Kernel *k, const KMemory *mem)
{
	Run r = { .p = p, .k = k, .mem = mem, .n = mem->n };
	run_kernel(&r);
}

/* ---- entries ---- */
static void zero(const KProgram *p, const KMemory *mem, int buf)
{
	const KBuffer *b = &p->buffer[buf];
	const bool parts = b->cls == B_PARTIAL;
	int64_t elems = parts ? parts_of(mem->n, b->part_rows) : 1;
	for (int d = parts; d < b->type.rank; d++)
		elems *= b->type.dim[d] == IR_N ? mem->n : b->type.dim[d];
	memset(mem->buffer[buf], 0, (size_t)elems * sizeof(double));
}

/* What a kernel adds to starts at zero when the phase starts that it belongs to. */
static void zero_sums(const KProgram *p, const Kernel *k, const KMemory *mem)
{
	for (int i = 0; i < k->nopnds; i++) {
		if (k->opnd[i].mode == M_ADD)
			zero(p, mem, k->opnd[i].buf);
	}
}

static void zero_item(const KProgram *p, const KEntry *e, const KItem *item, const KMemory *mem)
{
	if (item->kind == I_RUN)
		zero_sums(p, e->kernel[item->kernel], mem);
	for (int i = 0; i < item->nbody; i++)
		zero_item(p, e, &item->body[i], mem);
}

typedef struct Range { int64_t lo, hi; } Range;

static void run_items(const KProgram *p, const KEntry *e, const KItem *item, int n, const KMemory *mem, bool round_f32,
                      Range rows);

/* Parts along another axis than the samples write disjoint places of the same kernel: one run does them all. */
static void run_item(const KProgram *p, const KEntry *e, const KItem *it, const KMemory *mem, bool round_f32, Range rows)
{
	if (it->kind == I_RUN) {
		Run r = { .p = p, .k = e->kernel[it->kernel], .mem = mem, .round_f32 = round_f32, .lo = rows.lo, .n = rows.hi };
		run_kernel(&r);
		return;
	}
	if (it->kind == I_JOIN || (it->kind == I_PART && it->axis >= 0)) {
		run_items(p, e, it->body, it->nbody, mem, round_f32, rows);
		return;
	}
	INVARIANT(it->size > 0);
	for (int64_t lo = rows.lo; lo < rows.hi; lo += it->size) {
		const int64_t hi = lo + it->size < rows.hi ? lo + it->size : rows.hi;
		run_items(p, e, it->body, it->nbody, mem, round_f32, (Range){ lo, hi });
	}
}

static void run_items(const KProgram *p, const KEntry *e, const KItem *item, int n, const KMemory *mem, bool round_f32,
                      Range rows)
{
	for (int i = 0; i < n; i++)
		run_item(p, e, &item[i], mem, round_f32, rows);
}

void k_eval_entry(const KProgram *p, const KEntry *e, const KMemory *mem, bool round_f32)
{
	for (int i = 0; i < e->nitems; i++) {
		zero_item(p, e, &e->item[i], mem);
		run_items(p, e, &e->item[i], 1, mem, round_f32, (Range){ 0, mem->n });
	}
	for (int i = 0; e->nitems == 0 && i < e->nkernels; i++) {
		zero_sums(p, e->kernel[i], mem);
		Run r = { .p = p, .k = e->kernel[i], .mem = mem, .round_f32 = round_f32, .n = mem->n };
		run_kernel(&r);
	}
}

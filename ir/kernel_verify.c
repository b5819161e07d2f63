/* kernel_verify.c -- invariants of kernels and trees
 *
 * Takes a program, changes nothing, and reports the first broken invariant of each kernel as an internal error. Bounds are
 * interval arithmetic on affine indices: enough, since passes only make indices that it can follow.
 */
#include <stdarg.h>
#include "ir/kernel.h"

typedef struct Check {
	const KProgram *p;
	const Kernel *k;
	Diag *d;
	Arena *scratch;
} Check;

static bool wrong(const Check *c, const char *fmt, ...) CNNC_PRINTF(2, 3);

static bool wrong(const Check *c, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return diag_error(c->d, c->k->loc, "internal error: kernel %s: %s", c->k->name, text);
}

/* ---- indices ---- */
/* The index of N must be the sample's own: an axis over N, or the part of a partial buffer. */
static bool is_sample(const Check *c, const KIndex *at)
{
	int axis = -1;
	for (int ax = 0; ax < c->k->naxes; ax++) {
		if (at->coef[ax] && (axis >= 0 || at->coef[ax] != 1))
			return false;
		axis = at->coef[ax] ? ax : axis;
	}
	return at->c0 == 0 && at->expr < 0 && axis >= 0 && c->k->axis[axis].ext == EXT_N;
}

static bool is_part(const Check *c, const KIndex *at)
{
	for (int ax = 0; ax < c->k->naxes; ax++) {
		if (at->coef[ax] && (at->coef[ax] != 1 || c->k->axis[ax].ext != EXT_PARTS))
			return false;
	}
	return at->c0 == 0 && at->expr < 0;
}

static bool index_inside(const Check *c, const KOperand *o, const KIndex *at, int d)
{
	const KBuffer *b = &c->p->buffer[o->buf];
	int64_t lo, hi;
	if (b->cls == B_PARTIAL && d == 0 && o->type.rank == b->type.rank)
		return is_part(c, at);
	if (o->type.dim[d] == IR_N)
		return is_sample(c, at);
	return k_index_range(c->k, at, &lo, &hi) && lo >= 0 && hi < o->type.dim[d];
}

static bool check_index(const Check *c, const KIndex *at, int before)
{
	for (int ax = c->k->naxes; ax < K_MAX_AXES; ax++) {
		if (at->coef[ax])
			return wrong(c, "an index has axis %d of %d", ax, c->k->naxes);
	}
	if (at->expr >= before)
		return wrong(c, "an index reads a later expression");
	if (at->expr >= 0 && c->k->expr[at->expr].type != DT_I32)
		return wrong(c, "an index is not i32");
	return true;
}

static bool check_access(const Check *c, const KOperand *o, const KIndex *at, KEdge edge, int before)
{
	for (int d = 0; d < o->type.rank; d++) {
		if (!check_index(c, &at[d], before))
			return false;
		if (edge == EDGE_NEVER && !index_inside(c, o, &at[d], d))
			return wrong(c, "dimension %d of %s may be left", d, o->name);
	}
	return true;
}

/* ---- expressions ---- */
static bool check_ewise(const Check *c, const KExpr *e)
{
	const int arity = k_row_arity(e->row);
	const bool compares = e->row == EW_lt || e->row == EW_le || e->row == EW_eq;
	for (int i = 0; i < 3; i++) {
		if ((e->arg[i] >= 0) != (i < arity))
			return wrong(c, "%s has the wrong number of arguments", k_row_name(e->row));
	}
	if (e->row == EW_cast)
		return true;
	const int first = e->row == EW_select;
	const DType t = c->k->expr[e->arg[first]].type;
	if (t == DT_BF16)
		return wrong(c, "%s of bf16, which has no arithmetic", k_row_name(e->row));
	for (int i = first; i < arity; i++) {
		if (c->k->expr[e->arg[i]].type != t)
			return wrong(c, "arguments of %s differ in dtype", k_row_name(e->row));
	}
	if (first && c->k->expr[e->arg[0]].type != DT_BOOL)
		return wrong(c, "select by %s", dtype_name(c->k->expr[e->arg[0]].type));
	if (e->type != (compares ? DT_BOOL : t))
		return wrong(c, "%s of %s gives %s", k_row_name(e->row), dtype_name(t), dtype_name(e->type));
	return true;
}

static bool check_load(const Check *c, int x)
{
	const KExpr *e = &c->k->expr[x];
	if (e->operand < 0 || e->operand >= c->k->nopnds)
		return wrong(c, "load from operand %d of %d", e->operand, c->k->nopnds);
	const KOperand *o = &c->k->opnd[e->operand];
	if (e->type != o->type.dtype)
		return wrong(c, "load of %s gives %s", o->name, dtype_name(e->type));
	if (o->mode != M_IN && o->mode != M_INOUT)
		return wrong(c, "%s is read, but not an input", o->name);
	if (e->imm != 0 && (e->type != DT_I32 || e->imm < 1))
		return wrong(c, "%s promises a range", o->name);
	return check_access(c, o, e->at, e->edge, x);
}

static bool check_expr(const Check *c, int x)
{
	const KExpr *e = &c->k->expr[x];
	for (int i = 0; i < 3; i++) {
		if (e->arg[i] >= x)
			return wrong(c, "expression %d reads %d", x, e->arg[i]);
	}
	if (e->axes >> c->k->naxes)
		return wrong(c, "expression %d depends on an axis that is not there", x);
	if (e->op == K_LOCAL && (e->stage < 0 || e->stage >= c->k->nstages || c->k->stage[e->stage].kind != S_REDUCE ||
	                         c->k->stage[e->stage].over & ~e->axes))
		return wrong(c, "expression %d reads no local", x);
	for (int i = 0; e->op == K_RANDOM && i < 3; i++) {
		if (e->arg[i] < 0 || c->k->expr[e->arg[i]].type != DT_U32)
			return wrong(c, "random by something that is not u32");
	}
	if (e->op == K_EWISE)
		return check_ewise(c, e);
	if (e->op == K_AXIS)
		return check_index(c, e->at, x);
	return e->op != K_LOAD || check_load(c, x);
}

/* ---- stages ---- */
/* Locals that expression x needs are made before stage s. */
static bool locals_ready(const Check *c, int x, int s)
{
	/* arguments come first, so one sweep finds all that x can reach */
	bool ok = true;
	bool *seen = NEWN(c->scratch, bool, x + 1);
	seen[x] = true;
	for (int i = x; i >= 0; i--) {
		const KExpr *e = &c->k->expr[i];
		if (!seen[i])
			continue;
		for (int j = 0; j < 3; j++) {
			if (e->arg[j] >= 0)
				seen[e->arg[j]] = true;
		}
		ok = ok && (e->op != K_LOCAL || e->stage < s);
	}
	return ok;
}

static bool check_store(const Check *c, const KStage *s)
{
	if (s->operand < 0 || s->operand >= c->k->nopnds)
		return wrong(c, "store to operand %d of %d", s->operand, c->k->nopnds);
	const KOperand *o = &c->k->opnd[s->operand];
	KSet indexed = 0;
	for (int d = 0; d < o->type.rank; d++)
		indexed |= k_index_axes(c->k, &s->at[d]);
	if (o->mode == M_IN || (s->kind == S_ADD) != (o->mode == M_ADD) || (s->kind == S_PUSH && o->mode != M_OUT))
		return wrong(c, "%s is stored in the wrong mode", o->name);
	if (c->k->expr[s->value].type != o->type.dtype)
		return wrong(c, "%s is stored as %s", o->name, dtype_name(c->k->expr[s->value].type));
	if (s->kind == S_ADD && o->type.dtype == DT_BF16)
		return wrong(c, "%s is bf16, which has no arithmetic", o->name);
	if (indexed & ~s->over)
		return wrong(c, "store to %s runs under too few axes", o->name);
	return check_access(c, o, s->at, EDGE_NEVER, c->k->nexprs);
}

/* A field is the list's count with one dimension more: room for every point that may be appended, in whole vectors. */
static bool check_push(const Check *c, const KStage *s)
{
	const KOperand *count = &c->k->opnd[s->operand];
	int64_t points = 1;
	for (int ax = 0; ax < c->k->naxes; ax++)
		points *= s->away >> ax & 1 ? c->k->axis[ax].extent : 1;
	if (count->type.dtype != DT_I32 || s->nfields < 1 || s->nfields > K_MAX_FIELDS || !s->away)
		return wrong(c, "%s is no list", count->name);
	for (int f = 0; f < s->nfields; f++) {
		if (s->field[f] < 0 || s->field[f] >= c->k->nopnds || s->field_value[f] < 0 || s->field_value[f] >= c->k->nexprs)
			return wrong(c, "field %d of %s is not there", f, count->name);
		const KOperand *o = &c->k->opnd[s->field[f]];
		const KExpr *v = &c->k->expr[s->field_value[f]];
		bool fits = o->mode == M_OUT && o->type.rank == count->type.rank + 1 && o->type.dtype == v->type && dtype_size(v->type) == 4;
		for (int d = 0; fits && d < count->type.rank; d++)
			fits = o->type.dim[d] == count->type.dim[d];
		if (!fits || o->type.dim[o->type.rank - 1] < (points + K_LANES - 1) / K_LANES * K_LANES)
			return wrong(c, "%s has no room for the entries of %s", o->name, count->name);
		if (v->axes & ~(s->over | s->away))
			return wrong(c, "field %s does not bind its axes", o->name);
	}
	return true;
}

static bool check_stage(const Check *c, int i)
{
	const KStage *s = &c->k->stage[i];
	if (s->value < 0 || s->value >= c->k->nexprs)
		return wrong(c, "stage %d has no value", i);
	const KExpr *v = &c->k->expr[s->value];
	if (v->axes & ~(s->over | s->away) || (s->over | s->away) >> c->k->naxes || s->over & s->away)
		return wrong(c, "stage %d does not bind its axes", i);
	if (!locals_ready(c, s->value, i))
		return wrong(c, "stage %d reads a later local", i);
	for (int f = 0; f < s->nfields; f++) {
		if (!locals_ready(c, s->field_value[f], i))
			return wrong(c, "stage %d reads a later local", i);
	}
	if (s->kind != S_REDUCE)
		return check_store(c, s) && (s->kind != S_PUSH || check_push(c, s));
	if (v->type == DT_BF16)
		return wrong(c, "%s folds bf16, which has no arithmetic", s->name);
	if (s->type != (s->red == RED_argmax ? DT_I32 : v->type))
		return wrong(c, "%s is %s of %s", s->name, dtype_name(s->type), dtype_name(v->type));
	return s->away || wrong(c, "%s folds nothing", s->name);
}

/* ---- kernels ---- */
static bool check_operand(const Check *c, int i)
{
	const KOperand *o = &c->k->opnd[i];
	if (o->buf < 0 || o->buf >= c->p->nbuffers)
		return wrong(c, "%s is buffer %d of %d", o->name, o->buf, c->p->nbuffers);
	const IrType *t = &c->p->buffer[o->buf].type;
	const bool part = c->p->buffer[o->buf].cls == B_PARTIAL;
	if (o->type.dtype != t->dtype || (!part && (ir_batched(&o->type) != ir_batched(t) || ir_row_elems(&o->type) != ir_row_elems(t))))
		return wrong(c, "%s does not fit its buffer", o->name);
	for (int j = 0; j < i; j++) {
		if (c->k->opnd[j].buf == o->buf && (o->mode != M_IN || c->k->opnd[j].mode != M_IN))
			return wrong(c, "%s is stored, and another operand too", o->name);
	}
	return true;
}

/* M_INOUT: every load is at the index of every store. */
static bool check_in_place(const Check *c, const KStage *s)
{
	if (s->kind == S_REDUCE || c->k->opnd[s->operand].mode != M_INOUT)
		return true;
	for (int x = 0; x < c->k->nexprs; x++) {
		const KExpr *e = &c->k->expr[x];
		for (int d = 0; e->op == K_LOAD && e->operand == s->operand && d < c->k->opnd[s->operand].type.rank; d++) {
			if (!k_index_eq(&e->at[d], &s->at[d]))
				return wrong(c, "%s is read elsewhere than it is stored", c->k->opnd[s->operand].name);
		}
	}
	return true;
}

/* Its count is a plain load by other axes, and whoever runs over the list runs over those too. */
static bool check_list_axis(const Check *c, int axis)
{
	const int count = c->k->axis[axis].count;
	if (count < 0 || count >= c->k->nexprs || c->k->expr[count].op != K_LOAD || c->k->expr[count].type != DT_I32)
		return wrong(c, "axis %s has no count", c->k->axis[axis].name);
	const KExpr *e = &c->k->expr[count];
	for (int d = 0; d < c->k->opnd[e->operand].type.rank; d++) {
		if (e->at[d].expr >= 0)
			return wrong(c, "the count of axis %s is gathered", c->k->axis[axis].name);
	}
	for (int i = 0; i < c->k->nstages; i++) {
		const KSet axes = c->k->stage[i].over | c->k->stage[i].away;
		if (c->k->stage[i].over >> axis & 1)
			return wrong(c, "axis %s is no sum's", c->k->axis[axis].name);
		if (axes >> axis & 1 && (e->axes & ~axes || e->axes >> axis & 1))
			return wrong(c, "axis %s runs without its count", c->k->axis[axis].name);
	}
	return true;
}

static bool check_axes(const Check *c)
{
	KSet used = 0;
	for (int i = 0; i < c->k->nstages; i++) {
		const KStage *s = &c->k->stage[i];
		KSet here = 0;
		used |= s->over | s->away;
		for (int d = 0; s->kind != S_REDUCE && d < c->k->opnd[s->operand].type.rank; d++)
			here |= k_index_axes(c->k, &s->at[d]);
		if (c->k->par & (s->kind == S_REDUCE ? s->away : ~here | s->away))
			return wrong(c, "stage %d mixes points of a parallel axis", i);
	}
	for (int ax = 0; ax < c->k->naxes; ax++) {
		if (!(used >> ax & 1))
			return wrong(c, "axis %s is not used", c->k->axis[ax].name);
		if (c->k->axis[ax].extent < 1 || (c->k->axis[ax].ext == EXT_PARTS && c->k->axis[ax].rows < 1))
			return wrong(c, "axis %s is empty", c->k->axis[ax].name);
		if (c->k->axis[ax].ext == EXT_LIST && !check_list_axis(c, ax))
			return false;
	}
	return true;
}

/* K_LANES lanes, or fewer that hold the whole axis. */
static bool lanes_hold(const KAxis *a, int32_t lanes)
{
	return lanes == K_LANES || (lanes > 1 && lanes < K_LANES && (lanes & (lanes - 1)) == 0 && a->extent <= lanes);
}

/* Where the schedule puts axis ax: a loop's place; all unrolled axes come after, in the order of their numbers. */
static int nest_place(const Kernel *k, int ax)
{
	bool tiled = false;
	for (int i = 0; i < k->sched.nloops; i++) {
		const KLoop *l = &k->sched.loop[i];
		if (l->axis == ax && l->level < L_UNROLL)
			return i;
		tiled |= l->axis == ax;
	}
	return k->sched.nloops + ax + (tiled ? K_MAX_AXES : 0);
}

/* argmax is the first of equals: its points must be met in order. */
static bool check_first(const Check *c)
{
	for (int i = 0; c->k->sched.nloops && i < c->k->nstages; i++) {
		const KStage *s = &c->k->stage[i];
		int last = -1;
		for (int ax = 0; s->kind == S_REDUCE && s->red == RED_argmax && ax < c->k->naxes; ax++) {
			if (!(s->away >> ax & 1))
				continue;
			if (nest_place(c->k, ax) < last)
				return wrong(c, "the schedule takes the points of %s out of order", s->name);
			last = nest_place(c->k, ax);
		}
	}
	return true;
}

/* A second LOOP of an axis: only inside blocks of a sum that can wait, whose lanes are results, or inside slices of one that is added
 * to memory; in whole steps. */
static bool check_blocks(const Check *c)
{
	const KSchedule *s = &c->k->sched;
	int axis = k_block_axis(c->k), loops[K_MAX_AXES] = { 0 }, outer[K_MAX_AXES] = { 0 }, reduce, store;
	for (int i = 0; i < s->nloops; i++) {
		const KLoop *l = &s->loop[i];
		if (l->level != L_LOOP)
			continue;
		if (++loops[l->axis] > (l->axis == axis || k_adds(c->k, l->axis) ? 2 : 1))
			return wrong(c, "loop %d of the schedule goes over its axis again", i);
		if (loops[l->axis] == 2 && outer[l->axis] % l->step)
			return wrong(c, "a block of %d does not hold whole steps of %d", outer[l->axis], l->step);
		outer[l->axis] = l->step;
	}
	if (axis < 0)
		return true;
	if (!k_waits(c->k, axis, &reduce, &store))
		return wrong(c, "the sum over %s cannot wait between blocks", c->k->axis[axis].name);
	for (int i = 0; i < s->nloops; i++) {
		if (s->loop[i].level == L_VECTOR && (c->k->stage[reduce].away >> s->loop[i].axis & 1))
			return wrong(c, "a sum over lanes cannot wait between blocks");
	}
	return true;
}

/* LOOPs of an axis, then at most one UNROLL, one VECTOR and one AHEAD. */
static bool check_schedule(const Check *c)
{
	int level[K_MAX_AXES] = { 0 };
	for (int i = 0; i < c->k->sched.nloops; i++) {
		const KLoop *l = &c->k->sched.loop[i];
		if (l->axis < 0 || l->axis >= c->k->naxes || l->step < 1)
			return wrong(c, "loop %d of the schedule has no axis or step", i);
		if ((int)l->level < level[l->axis])
			return wrong(c, "loop %d of the schedule is inside out", i);
		if (l->level == L_VECTOR && !lanes_hold(&c->k->axis[l->axis], l->step))
			return wrong(c, "loop %d of the schedule: no vector of %d lanes", i, (int)l->step);
		if (l->level == L_PEEL && (l->step != 1 || c->k->axis[l->axis].ext != EXT_CONST))
			return wrong(c, "loop %d of the schedule cannot be peeled", i);
		level[l->axis] = (int)l->level + (l->level != L_LOOP);
	}
	const char *fault = k_thread_fault(c->k);
	return fault ? wrong(c, "the schedule: %s", fault) : check_blocks(c);
}

/* Views are made of states and views alone, by kernels that do nothing else. */
static bool check_views(const Check *c)
{
	for (int i = 0; i < c->k->nopnds; i++) {
		const KOperand *o = &c->k->opnd[i];
		const KClass cls = c->p->buffer[o->buf].cls;
		const bool fits = o->mode == M_IN ? !c->k->prepares || cls == B_STATE || cls == B_VIEW : c->k->prepares == (cls == B_VIEW);
		if (!fits || (c->k->prepares && o->mode == M_INOUT))
			return wrong(c, "%s may not be touched by a kernel that %s views", o->name, c->k->prepares ? "prepares" : "uses");
	}
	return !(c->k->prepares && c->k->update) || wrong(c, "it prepares and updates");
}

static bool check_kernel(const Check *c)
{
	if (c->k->naxes < 0 || c->k->naxes > K_MAX_AXES)
		return wrong(c, "%d axes", c->k->naxes);
	for (int i = 0; i < c->k->nopnds; i++) {
		if (!check_operand(c, i))
			return false;
	}
	for (int x = 0; x < c->k->nexprs; x++) {
		if (!check_expr(c, x))
			return false;
	}
	for (int i = 0; i < c->k->nstages; i++) {
		if (!check_stage(c, i) || !check_in_place(c, &c->k->stage[i]))
			return false;
	}
	return check_views(c) && check_axes(c) && check_schedule(c) && check_first(c);
}

/* ---- trees ---- */
static const Kernel *kernel_of(const KEntry *e, const KItem *it)
{
	while (it->kind != I_RUN && it->nbody == 1)
		it = &it->body[0];
	return it->kind == I_RUN && it->kernel >= 0 && it->kernel < e->nkernels ? e->kernel[it->kernel] : NULL;
}

/* Does some other body touch what one of them writes? seen: by buffer, 0, or who touched it plus 1, or -1: several. */
static bool check_join(const Check *c, const KEntry *e, const KItem *join)
{
	int *seen = NEWN(c->scratch, int, c->p->nbuffers + 1), *wrote = NEWN(c->scratch, int, c->p->nbuffers + 1);
	for (int i = 0; i < join->nbody; i++) {
		const Kernel *k = join->body[i].kind == I_JOIN ? NULL : kernel_of(e, &join->body[i]);
		for (int o = 0; k && o < k->nopnds; o++) {
			const int buf = k->opnd[o].buf, me = i + 1;
			const bool writes = k->opnd[o].mode != M_IN;
			if ((wrote[buf] && wrote[buf] != me) || (writes && seen[buf] && seen[buf] != me))
				return wrong(c, "entry %s joins %s with one that it depends on", e->name, k->name);
			seen[buf] = seen[buf] && seen[buf] != me ? -1 : me;
			wrote[buf] = writes ? me : wrote[buf];
		}
		if (!k)
			return wrong(c, "entry %s joins what is no run of a kernel", e->name);
	}
	return true;
}

static bool check_items(const Check *c, const KEntry *e, const KItem *item, int n, int *runs)
{
	for (int i = 0; i < n; i++) {
		const KItem *it = &item[i];
		if (it->kind != I_RUN) {
			if (it->kind == I_JOIN && !check_join(c, e, it))
				return false;
			if (it->kind != I_JOIN && it->size < 1)
				return wrong(c, "entry %s: an item of size %d", e->name, it->size);
			if (!check_items(c, e, it->body, it->nbody, runs))
				return false;
			if (it->axis >= 0 && (it->nbody != 1 || it->body[0].kind != I_RUN ||
			                      it->axis >= e->kernel[it->body[0].kernel]->naxes))
				return wrong(c, "entry %s cuts an axis of no kernel", e->name);
			continue;
		}
		if (it->kernel < 0 || it->kernel >= e->nkernels)
			return wrong(c, "entry %s runs kernel %d of %d", e->name, it->kernel, e->nkernels);
		runs[it->kernel]++;
	}
	return true;
}

static bool check_tree(const KProgram *p, const KEntry *e, Diag *d, Arena *scratch)
{
	if (e->nitems == 0 || e->nkernels == 0)
		return true;
	const Check c = { p, e->kernel[0], d, scratch };
	int *runs = NEWN(scratch, int, e->nkernels);
	bool ok = check_items(&c, e, e->item, e->nitems, runs);
	for (int i = 0; ok && i < e->nkernels; i++) {
		if (runs[i] != 1)
			ok = diag_error(d, e->kernel[i]->loc, "internal error: kernel %s runs %d times", e->kernel[i]->name, runs[i]);
	}
	return ok;
}

bool k_verify(const KProgram *p, Diag *d)
{
	bool ok = true;
	Arena *scratch = arena_new();
	for (int i = 0; i < p->nentries; i++) {
		for (int k = 0; k < p->entry[i].nkernels; k++)
			ok &= check_kernel(&(Check){ p, p->entry[i].kernel[k], d, scratch });
		ok &= check_tree(p, &p->entry[i], d, scratch);
	}
	arena_free(scratch);
	return ok;
}

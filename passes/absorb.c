/* absorb.c -- GPU: a kernel computes for itself what little it reads of another's
 *
 * in:   kernels, split and laid out      out: fewer kernels in a row; kernels that nobody reads any more are gone
 * not:  contractions, neither as the one that reads nor as the one that is read; CPUs, where a kernel costs no launch
 *
 * Sums over parts, means of a batch and what follows from them are small, but each of them is a launch that the next one waits
 * for. A load of such a value becomes the value's expression: the producer's axes are what the load's index says, axes that
 * it sums over join the reader. What others still read is stored as before, beside the reader instead of before it.
 * Taken are values that as many threads need, once, as made them before, those that are little altogether, and those that cost no
 * more than the load did.
 */
#include <string.h>
#include "passes/passes.h"
#include "passes/rewrite.h"

enum { MAX_EXPRS = 200, MAX_ROUNDS = 24, LITTLE = 1 << 14, CHEAP_LOADS = 2, CHEAP_ROWS = 4, MAX_OPERANDS = 40 };

typedef struct Made { /* a buffer that one store of one kernel makes: out[axes in order] = value */
	const Kernel *k;
	int kernel, stage;
	int axis[IR_MAX_RANK], naxes; /* of dimensions that are not 1 */
	int dim[IR_MAX_RANK];         /* of the store's operand */
	bool *in_value;               /* by expression of k */
	KSet summed;
	double trips;
	int loads, rows;
} Made;

typedef struct Absorb {
	IrModule *m;
	KEntry *e;
	Arena *scratch;
	const Made *made;
	const Kernel *reader;
	int load;                     /* its expression that is replaced */
	int axis[K_MAX_AXES];         /* of the producer's summed axes: axes of the new reader */
	bool flat;                    /* the reader sees the buffer in another type, and so what the value reads */
	Rewrite *inner;
} Absorb;

static bool in(KSet s, int axis)
{
	return s >> axis & 1;
}

static bool is_axis(const KIndex *at, int *axis)
{
	*axis = -1;
	for (int a = 0; a < K_MAX_AXES; a++) {
		if (at->coef[a] && (at->coef[a] != 1 || *axis >= 0))
			return false;
		*axis = at->coef[a] ? a : *axis;
	}
	return at->expr < 0 && at->c0 == 0;
}

/* Does the axis go through all of such a dimension? */
static bool spans(const KAxis *x, int32_t dim)
{
	return dim == IR_N ? x->ext == EXT_N : (x->ext == EXT_CONST || x->ext == EXT_PARTS) && x->extent == dim;
}

static double extent(const IrModule *m, const Kernel *k, int axis)
{
	return k->axis[axis].ext == EXT_N ? m->max_n : k->axis[axis].extent;
}

static double points(const IrModule *m, const Kernel *k, KSet axes)
{
	double n = 1;
	for (int a = 0; a < k->naxes; a++)
		n *= in(axes, a) ? extent(m, k, a) : 1;
	return n;
}

/* ---- the producer ---- */

/* Every dimension of what is stored is an axis of its own, or 1. */
static bool stores_all(const Kernel *k, const KStage *s, Made *made)
{
	const IrType *t = &k->opnd[s->operand].type;
	KSet seen = 0;
	for (int d = 0; d < t->rank; d++) {
		int a;
		if (!is_axis(&s->at[d], &a) || (a < 0 && t->dim[d] != 1))
			return false;
		if (a < 0)
			continue;
		if (in(seen, a) || !spans(&k->axis[a], t->dim[d]) || k->axis[a].ext == EXT_PARTS)
			return false;
		seen |= (KSet)1 << a;
		made->dim[made->naxes] = d;
		made->axis[made->naxes++] = a;
	}
	return true;
}

static bool stage_fits(const Kernel *k, const KStage *s)
{
	for (int a = 0; a < k->naxes; a++) {
		if (in(s->away, a) && k->axis[a].ext == EXT_LIST)
			return false;
	}
	return s->red != RED_argmax;
}

/* Marks what the value is made of; false: something that cannot move to another kernel. */
static bool find_value(const IrModule *m, Made *made)
{
	const Kernel *k = made->k;
	made->in_value[k->stage[made->stage].value] = true;
	for (int x = k->nexprs - 1; x >= 0; x--) {
		const KExpr *e = &k->expr[x];
		if (!made->in_value[x])
			continue;
		if (e->op == K_AXIS || e->op == K_RANDOM || (e->op == K_LOCAL && !stage_fits(k, &k->stage[e->stage])))
			return false;
		for (int d = 0; e->op == K_LOAD && d < k->opnd[e->operand].type.rank; d++) {
			if (e->at[d].expr >= 0)
				return false;
		}
		made->loads += e->op == K_LOAD;
		made->rows += e->op == K_EWISE;
		for (int i = 0; i < 3; i++) {
			if (e->arg[i] >= 0)
				made->in_value[e->arg[i]] = true;
		}
		if (e->op == K_LOCAL) {
			made->in_value[k->stage[e->stage].value] = true;
			made->summed |= k->stage[e->stage].away;
		}
	}
	made->trips = points(m, k, made->summed);
	return true;
}

/* The one store that makes buffer `buf`, if it is of a kind that readers can make themselves. */
static bool find_made(const Absorb *b, int before, int buf, Made *made)
{
	int stores = 0;
	for (int i = 0; i < b->e->nkernels; i++) {
		const Kernel *k = b->e->kernel[i];
		for (int s = 0; s < k->nstages; s++) {
			if (k->stage[s].kind == S_REDUCE || k->opnd[k->stage[s].operand].buf != buf)
				continue;
			stores++;
			*made = (Made){.k = k, .kernel = i, .stage = s};
		}
	}
	if (stores != 1 || made->kernel >= before || made->k->stage[made->stage].kind != S_STORE)
		return false;
	const Kernel *k = made->k;
	const KOperand *o = &k->opnd[k->stage[made->stage].operand];
	made->in_value = NEWN(b->scratch, bool, k->nexprs + 1);
	return o->mode == M_OUT && !k->contraction && !k->update && !k->prepares && stores_all(k, &k->stage[made->stage], made) &&
	       find_value(b->m, made);
}

/* ---- how the reader's index says where ---- */

/* The dimensions that are not 1 are the same ones. */
static bool same_dims(const IrType *t, const Made *made)
{
	const IrType *from = &made->k->opnd[made->k->stage[made->stage].operand].type;
	int i = 0;
	for (int d = 0; d < t->rank; d++) {
		if (t->dim[d] == 1)
			continue;
		if (i == made->naxes || t->dim[d] != from->dim[made->dim[i]])
			return false;
		i++;
	}
	return i == made->naxes;
}

/* Dimensions in front that summed axes alone move, behind them the stored axes in their order. -1: it is not like that. */
static int prefix_of(const Made *made, const KExpr *load)
{
	const IrType *t = &made->k->opnd[load->operand].type;
	int prefix = 0, next = 0, a;
	for (int d = 0; d < t->rank; d++) {
		if (!is_axis(&load->at[d], &a) || load->edge != EDGE_NEVER || (a >= 0 && !spans(&made->k->axis[a], t->dim[d])))
			return -1;
		if (a >= 0 && in(made->summed, a) && next == 0)
			prefix = d + 1;
		else if (a >= 0 && next < made->naxes && a == made->axis[next])
			next++;
		else if (t->dim[d] != 1)
			return -1;
	}
	return next == made->naxes ? prefix : -1;
}

static bool flat_fits(const Made *made, const IrType *t)
{
	for (int x = 0; x < made->k->nexprs; x++) {
		const KExpr *e = &made->k->expr[x];
		if (!made->in_value[x] || e->op != K_LOAD)
			continue;
		const int prefix = prefix_of(made, e);
		if (prefix < 0 || prefix + t->rank > IR_MAX_RANK || (prefix && ir_batched(t)))
			return false;
	}
	return true;
}

/* ---- is it worth it, and is it right? ---- */
static bool writes(const Kernel *k, int buf)
{
	for (int i = 0; i < k->nopnds; i++) {
		if (k->opnd[i].buf == buf && k->opnd[i].mode != M_IN)
			return true;
	}
	return false;
}

/* What the value reads is still the same where the reader runs, and the reader does not change it. Updates do not read other
 * weights: one would have to wait for the other. */
static bool still_there(const Absorb *b, const Made *made, int reader)
{
	for (int x = 0; x < made->k->nexprs; x++) {
		if (!made->in_value[x] || made->k->expr[x].op != K_LOAD)
			continue;
		const int buf = made->k->opnd[made->k->expr[x].operand].buf;
		if (b->reader->update && b->m->program->buffer[buf].cls == B_STATE)
			return false;
		for (int i = made->kernel; i <= reader; i++) {
			if (writes(b->e->kernel[i], buf))
				return false;
		}
	}
	return true;
}

static bool worth_it(const Absorb *b, const Made *made, const Kernel *reader, int load)
{
	KSet stored = 0, own = 0;
	for (int i = 0; i < reader->nstages; i++)
		stored |= reader->stage[i].kind == S_REDUCE ? 0 : reader->stage[i].over;
	for (int i = 0; i < made->naxes; i++)
		own |= (KSet)1 << made->axis[i];
	if (made->summed && (reader->expr[load].axes & ~stored)) /* once a point of the result, never within another sum */
		return false;
	const double wide = points(b->m, reader, stored), was = points(b->m, made->k, own);
	const double again = points(b->m, reader, stored | reader->expr[load].axes) * made->trips;
	if (!made->summed && made->loads <= CHEAP_LOADS && made->rows <= CHEAP_ROWS)
		return true;
	return again <= LITTLE || (again <= was * made->trips && wide >= was); /* no fewer threads than before */
}

/* The reader's axis that stands for a summed one, or a new one: an axis that it sums over itself, where the load does not run. */
static bool map_axes(Absorb *b)
{
	const Made *made = b->made;
	const Kernel *reader = b->reader;
	KSet used = reader->expr[b->load].axes | reader->par;
	int next = reader->naxes;
	for (int a = 0; a < made->k->naxes; a++) {
		const KAxis *x = &made->k->axis[a];
		b->axis[a] = -1;
		for (int c = 0; in(made->summed, a) && c < reader->naxes && b->axis[a] < 0; c++) {
			const KAxis *y = &reader->axis[c];
			if (!in(used, c) && y->ext == x->ext && y->extent == x->extent && y->rows == x->rows)
				b->axis[a] = c;
		}
		if (in(made->summed, a) && b->axis[a] < 0)
			b->axis[a] = next++;
		used |= b->axis[a] >= 0 && b->axis[a] < reader->naxes ? (KSet)1 << b->axis[a] : 0;
	}
	return next <= K_MAX_AXES;
}

static bool can_absorb(Absorb *b, int reader, int load, Made *made)
{
	const Kernel *k = b->e->kernel[reader];
	const KExpr *x = &k->expr[load];
	const KOperand *o = &k->opnd[x->operand];
	if (x->op != K_LOAD || o->mode != M_IN || x->edge != EDGE_NEVER || x->imm > 0 || b->m->program->buffer[o->buf].cls != B_SLAB)
		return false;
	for (int d = 0; d < o->type.rank; d++) {
		if (x->at[d].expr >= 0)
			return false;
	}
	if (!find_made(b, reader, o->buf, made) || made->k->expr[made->k->stage[made->stage].value].type != x->type)
		return false;
	b->made = made;
	b->reader = k;
	b->load = load;
	b->flat = !same_dims(&o->type, made);
	return k->nexprs + made->k->nexprs <= MAX_EXPRS && k->nopnds + made->k->nopnds <= MAX_OPERANDS &&
	       (!b->flat || flat_fits(made, &o->type)) && still_there(b, made, reader) && worth_it(b, made, k, load) && map_axes(b);
}

/* ---- the new reader ---- */

/* An index of the producer, with the reader's index in place of stored axes. */
static void replace_axes(Rewrite *inner, KIndex *at)
{
	const Absorb *b = inner->arg;
	const KExpr *x = &b->reader->expr[b->load];
	const IrType *t = &b->reader->opnd[x->operand].type;
	KIndex out = k_index(at->c0);
	int i = 0;
	for (int a = 0; a < inner->from->naxes; a++) {
		if (b->axis[a] >= 0)
			out.coef[b->axis[a]] += at->coef[a];
	}
	for (int d = 0; d < t->rank; d++) {
		if (t->dim[d] == 1)
			continue;
		const int32_t by = at->coef[b->made->axis[i++]];
		if (by)
			out = k_index_plus(out, k_index_affine(x->at[d], by, 0));
	}
	*at = out;
}

/* The same load, of its operand seen in the type in which the reader sees the value, behind the summed dimensions. */
static int flat_load(Rewrite *inner, int x)
{
	const Absorb *b = inner->arg;
	const KExpr *e = &inner->from->expr[x], *at = &b->reader->expr[b->load];
	const KOperand *o = &inner->from->opnd[e->operand];
	const IrType *t = &b->reader->opnd[at->operand].type;
	const int prefix = b->flat ? prefix_of(b->made, e) : -1;
	if (prefix < 0)
		return -1;
	IrType type = {.dtype = o->type.dtype, .rank = prefix + t->rank};
	KIndex index[IR_MAX_RANK];
	for (int d = 0; d < prefix; d++) {
		int a;
		type.dim[d] = o->type.dim[d];
		is_axis(&e->at[d], &a);
		index[d] = a < 0 ? k_index(0) : k_index_axis(b->axis[a]);
	}
	for (int d = 0; d < t->rank; d++) {
		type.dim[prefix + d] = t->dim[d];
		index[prefix + d] = at->at[d];
	}
	return k_load(inner->a, inner->to, k_operand(inner->a, inner->to, o->name, o->buf, type, M_IN), index, EDGE_NEVER);
}

static int sum_again(Rewrite *inner, int stage)
{
	const Absorb *b = inner->arg;
	const KStage *s = &inner->from->stage[stage];
	KSet away = 0;
	for (int a = 0; a < inner->from->naxes; a++)
		away |= in(s->away, a) ? (KSet)1 << b->axis[a] : 0;
	return k_reduce(inner->a, inner->to, s->name, s->red, away, rewrite_expr(inner, s->value), s->type);
}

static int replace_load(Rewrite *r, int x)
{
	const Absorb *b = r->arg;
	if (x != b->load)
		return -1;
	return rewrite_expr(b->inner, b->made->k->stage[b->made->stage].value);
}

static Kernel *absorbed(Absorb *b)
{
	Arena *a = b->m->arena;
	const Kernel *k = b->made->k;
	Rewrite *r = rewrite_new(a, b->reader, b->reader->name, replace_load, NULL, b);
	for (int i = 0; i < k->naxes; i++) {
		if (b->axis[i] < b->reader->naxes)
			continue;
		const int axis = k_axis(a, r->to, k->axis[i].name, k->axis[i].ext, k->axis[i].extent);
		INVARIANT(axis == b->axis[i]);
		r->to->axis[axis].rows = k->axis[i].rows;
	}
	Rewrite inner = {.a = a, .from = k, .to = r->to, .load = flat_load, .reduce = sum_again, .index = replace_axes, .arg = b};
	inner.expr = NEWN(b->scratch, int, k->nexprs + 1);
	inner.local = NEWN(b->scratch, int, k->nstages + 1);
	memset(inner.expr, -1, sizeof(int) * (size_t)k->nexprs);
	memset(inner.local, -1, sizeof(int) * (size_t)k->nstages);
	b->inner = &inner;
	return rewrite_all(r);
}

/* A kernel that runs for parts of the samples sees no others, so it cannot sum over all of them. */
static bool runs_by_part(const Kernel *k)
{
	for (int i = 0; i < k->nopnds; i++) {
		if (k->opnd[i].mode == M_ADD)
			return true;
	}
	return false;
}

static bool sums_samples(const Made *made)
{
	for (int a = 0; a < made->k->naxes; a++) {
		if (in(made->summed, a) && made->k->axis[a].ext != EXT_CONST)
			return true;
	}
	return false;
}

/* One load of the kernel, the first that can be. */
static bool absorb_one(Absorb *b, int reader)
{
	const Kernel *k = b->e->kernel[reader];
	for (int x = 0; x < k->nexprs && !k->contraction && !k->prepares; x++) {
		Made made;
		if (!can_absorb(b, reader, x, &made) || (sums_samples(&made) && runs_by_part(k)))
			continue;
		b->e->kernel[reader] = absorbed(b);
		return true;
	}
	return false;
}

/* ---- what nobody reads ---- */
static bool is_read(const KEntry *e, int buf)
{
	for (int i = 0; i < e->nkernels; i++) {
		for (int o = 0; o < e->kernel[i]->nopnds; o++) {
			if (e->kernel[i]->opnd[o].buf == buf && e->kernel[i]->opnd[o].mode != M_OUT)
				return true;
		}
	}
	return false;
}

static bool is_needed(const KProgram *p, const KEntry *e, const Kernel *k)
{
	for (int o = 0; o < k->nopnds; o++) {
		const int buf = k->opnd[o].buf;
		if (k->opnd[o].mode != M_IN && (p->buffer[buf].cls != B_SLAB || is_read(e, buf)))
			return true;
	}
	return false;
}

static void drop_unread(const KProgram *p, KEntry *e)
{
	for (int i = e->nkernels - 1; i >= 0; i--) {
		if (is_needed(p, e, e->kernel[i]))
			continue;
		memmove(e->kernel + i, e->kernel + i + 1, sizeof *e->kernel * (size_t)(e->nkernels - i - 1));
		e->nkernels--;
	}
}

bool pass_absorb(IrModule *m, PassCx *cx)
{
	for (int i = 0; i < m->program->nentries && cx->target.kind == TARGET_CUDA; i++) {
		KEntry *e = &m->program->entry[i];
		Absorb b = {.m = m, .e = e, .scratch = cx->scratch};
		for (int k = 0; k < e->nkernels; k++) {
			for (int round = 0; round < MAX_ROUNDS && absorb_one(&b, k); round++)
				;
		}
		drop_unread(m->program, e);
	}
	return true;
}

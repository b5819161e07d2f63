/* rewrite.c -- making a kernel out of another one: see rewrite.h */
#include "passes/rewrite.h"
#include <string.h>

Rewrite *rewrite_new(Arena *a, const Kernel *from, const char *name, RewriteLoad *load, RewriteReduce *reduce, void *arg)
{
	Rewrite *r = NEW(a, Rewrite);
	*r = (Rewrite){.a = a, .from = from, .to = k_new(a, name, from->loc), .load = load, .reduce = reduce, .arg = arg};
	memcpy(r->to->axis, from->axis, sizeof r->to->axis);
	r->to->naxes = from->naxes;
	r->to->update = from->update;
	r->to->prepares = from->prepares;
	r->expr = NEWN(a, int, from->nexprs + 1);
	r->local = NEWN(a, int, from->nstages + 1);
	for (int i = 0; i < from->nexprs; i++)
		r->expr[i] = -1;
	for (int i = 0; i < from->nstages; i++)
		r->local[i] = -1;
	for (int i = 0; i < from->naxes; i++) {
		if (from->axis[i].ext == EXT_LIST)
			r->to->axis[i].count = (int16_t)rewrite_expr(r, from->axis[i].count);
	}
	return r;
}

int rewrite_operand(Rewrite *r, int o)
{
	const KOperand *p = &r->from->opnd[o];
	return k_operand(r->a, r->to, p->name, p->buf, p->type, p->mode);
}

void rewrite_index(Rewrite *r, const KIndex *at, int n, KIndex *out)
{
	for (int d = 0; d < n; d++) {
		out[d] = at[d];
		if (at[d].expr >= 0)
			out[d].expr = (int16_t)rewrite_expr(r, at[d].expr);
		if (r->index)
			r->index(r, &out[d]);
	}
}

static int copy_reduce(Rewrite *r, int stage)
{
	const KStage *s = &r->from->stage[stage];
	int x = r->reduce ? r->reduce(r, stage) : -1;
	if (x >= 0)
		return x;
	return k_reduce(r->a, r->to, s->name, s->red, s->away, rewrite_expr(r, s->value), s->type);
}

static int copy_load(Rewrite *r, int x)
{
	const KExpr *e = &r->from->expr[x];
	int y = r->load ? r->load(r, x) : -1;
	if (y >= 0)
		return y;
	KIndex at[IR_MAX_RANK];
	rewrite_index(r, e->at, r->from->opnd[e->operand].type.rank, at);
	if (e->imm > 0)
		return k_load_below(r->a, r->to, rewrite_operand(r, e->operand), at, (int32_t)e->imm);
	return k_load(r->a, r->to, rewrite_operand(r, e->operand), at, e->edge);
}

static int copy_expr(Rewrite *r, int x)
{
	const KExpr *e = &r->from->expr[x];
	int arg[3];
	KIndex at;
	for (int i = 0; i < 3; i++)
		arg[i] = e->arg[i] >= 0 ? rewrite_expr(r, e->arg[i]) : -1;
	switch (e->op) {
	case K_KONST:
		return k_konst(r->a, r->to, e->type, e->imm);
	case K_LOAD:
		return copy_load(r, x);
	case K_AXIS:
		rewrite_index(r, e->at, 1, &at);
		return k_axis_value(r->a, r->to, at);
	case K_SCALAR:
		return k_scalar(r->a, r->to, e->scalar, e->imm, e->every);
	case K_LOCAL:
		if (r->local[e->stage] < 0)
			r->local[e->stage] = copy_reduce(r, e->stage);
		return r->local[e->stage];
	case K_RANDOM:
		return k_random(r->a, r->to, arg[0], arg[1], arg[2], (uint32_t)e->imm);
	case K_EWISE:
		return k_ewise(r->a, r->to, e->row, e->type, arg[0], arg[1], arg[2]);
	}
	ICE("unknown kernel expression");
}

int rewrite_expr(Rewrite *r, int x)
{
	if (r->expr[x] < 0)
		r->expr[x] = copy_expr(r, x);
	return r->expr[x];
}

void rewrite_store(Rewrite *r, int stage)
{
	const KStage *s = &r->from->stage[stage];
	KIndex at[IR_MAX_RANK];
	int value = rewrite_expr(r, s->value), operand = rewrite_operand(r, s->operand);
	rewrite_index(r, s->at, r->from->opnd[s->operand].type.rank, at);
	if (s->kind == S_PUSH) {
		int field[K_MAX_FIELDS], entry[K_MAX_FIELDS];
		for (int f = 0; f < s->nfields; f++) {
			field[f] = rewrite_operand(r, s->field[f]);
			entry[f] = rewrite_expr(r, s->field_value[f]);
		}
		k_push(r->a, r->to, operand, at, r->to->expr[value].arg[0], s->nfields, field, entry);
		return;
	}
	if (s->kind == S_ADD)
		k_add(r->a, r->to, operand, at, value);
	else
		k_store(r->a, r->to, operand, at, value);
}

Kernel *rewrite_all(Rewrite *r)
{
	for (int i = 0; i < r->from->nstages; i++) {
		if (r->from->stage[i].kind != S_REDUCE)
			rewrite_store(r, i);
	}
	k_finish(r->to);
	return r->to;
}

/* Room for one more behind n: the next power of two, so that lists of thousands stay cheap. */
static void *one_more(Arena *a, void *list, size_t n, size_t size)
{
	if (n == 0)
		return arena_alloc(a, 8, size);
	return n >= 8 && (n & (n - 1)) == 0 ? arena_grow(a, list, n, 2 * n, size) : list;
}

void entry_insert(Arena *a, KEntry *e, int at, Kernel *k)
{
	e->kernel = one_more(a, e->kernel, (size_t)e->nkernels, sizeof *e->kernel);
	memmove(e->kernel + at + 1, e->kernel + at, sizeof *e->kernel * (size_t)(e->nkernels - at));
	e->kernel[at] = k;
	e->nkernels++;
}

int program_buffer(Arena *a, KProgram *p, KBuffer b)
{
	INVARIANT(p->nbuffers < INT32_MAX / 2);
	p->buffer = one_more(a, p->buffer, (size_t)p->nbuffers, sizeof b);
	p->buffer[p->nbuffers] = b;
	return p->nbuffers++;
}

int32_t part_rows(int32_t max_n)
{
	if (max_n < 32)
		return max_n < 8 ? 1 : max_n / 8;
	return max_n / 16 < 4 ? 4 : max_n / 16;
}

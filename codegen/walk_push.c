/* walk_push.c -- lists of the kernel emitter: the points at which a condition holds, packed
 *
 * One list at a time, its length in a register: the value at every point of the removed axes is formed, the lanes that hold are
 * stored one after the other, and at the end the length. A scalar is stored in any case, and counts or does not: there is no
 * branch to be mispredicted. The room of a field is at least the points that were seen, in whole vectors (kernel_verify.c).
 */
#include "codegen/walk.h"

/* Where field f of the list begins, in elements. */
static EVal list_start(Walk *w, const KStage *s, int f)
{
	KEmit *e = w->e;
	const KOperand *count = &w->k->opnd[s->operand], *field = &w->k->opnd[s->field[f]];
	WalkCombo zero;
	walk_combo_first(&zero);
	EVal at = e->i64(e, 0);
	for (int d = 0; d < count->type.rank; d++)
		at = e->iadd(e, at, e->imul(e, walk_index(w, &s->at[d], &zero), e->i64(e, walk_stride(field, d))));
	return at;
}

/* The condition, false in lanes that are not there. */
static EVal holds(Walk *w, const KStage *s, const WalkCombo *c, bool vector)
{
	KEmit *e = w->e;
	int cond = w->k->expr[s->value].arg[0];
	if (!vector)
		return walk_value(w, cond, c);
	EVal v = walk_vector(w, cond, c);
	if (walk_active(w, c) == w->lanes)
		return v;
	EVal there = e->cmp(e, E_LT, DT_I32, e->lanes(e, DT_I32), e->konst(e, DT_I32, walk_active(w, c), w->lanes));
	return e->ewise(e, EW_and, DT_BOOL, v, there, NULL);
}

typedef struct Push { const KStage *stage; EVal start[K_MAX_FIELDS]; } Push;

static void push_body(Walk *w, WalkCarry *c, void *arg)
{
	KEmit *e = w->e;
	const Push *p = arg;
	const KStage *s = p->stage;
	bool vector = w->vector >= 0 && (s->away & walk_bit(w->vector));
	WalkCombo combo;
	walk_combo_first(&combo);
	do {
		EVal cond = holds(w, s, &combo, vector);
		for (int f = 0; f < s->nfields; f++) {
			DType t = w->k->expr[s->field_value[f]].type;
			EVal base = e->ptr_arg(e, s->field[f] + 1), at = e->iadd(e, p->start[f], c->v[0]);
			if (vector)
				e->push_vec(e, t, walk_vector(w, s->field_value[f], &combo), cond, base, at);
			else
				e->store(e, t, walk_value(w, s->field_value[f], &combo), base, at, 0);
		}
		c->v[0] = e->iadd(e, c->v[0], e->count(e, cond));
	} while (walk_combo_next(w, s->away, &combo));
}

void walk_push(Walk *w, const KStage *s)
{
	KEmit *e = w->e;
	Push p = {.stage = s};
	WalkCarry c = {.n = 1, .v = {e->i64(e, 0)}};
	WalkCombo zero;
	walk_combo_first(&zero);
	for (int f = 0; f < s->nfields; f++)
		p.start[f] = list_start(w, s, f);
	walk_nest(w, s->away, &c, push_body, &p);
	walk_store(w, s, &zero, e->from_i64(e, c.v[0], DT_I32));
}

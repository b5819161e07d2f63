/* walk_push.c -- lists of the kernel emitter: the points at which a condition holds, packed
 *
 * A list's length stays in a register: the value at every point of the removed axes is formed, the lanes that hold are stored one
 * after the other, and at the end the length. Lists of unrolled keys are filled side by side. A scalar is stored in any case, and
 * counts or does not: there is no branch to be mispredicted. The room of a field is at least the points that were seen, in whole
 * vectors (kernel_verify.c).
 */
#include "codegen/walk.h"

typedef struct Push { const KStage *stage; EVal start[K_MAX_FIELDS]; } Push;

/* Where field f of the first key's list begins, in elements. */
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

/* How far the list of these copies lies from the first key's. */
static int64_t list_offset(const Walk *w, const KStage *s, int f, const WalkCombo *c)
{
	const KOperand *count = &w->k->opnd[s->operand], *field = &w->k->opnd[s->field[f]];
	int64_t off = 0;
	for (int d = 0; d < count->type.rank; d++) {
		for (int a = 0; a < w->k->naxes; a++) {
			if (s->over & walk_bit(a))
				off += (int64_t)s->at[d].coef[a] * c->copy[a] * w->axis[a].step * walk_stride(field, d);
		}
	}
	return off;
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

/* The points of one combination of copies join the list whose length is *length. */
static void push_point(Walk *w, const Push *p, const WalkCombo *c, EVal *length)
{
	KEmit *e = w->e;
	const KStage *s = p->stage;
	bool vector = w->vector >= 0 && (s->away & walk_bit(w->vector));
	EVal cond = holds(w, s, c, vector);
	for (int f = 0; f < s->nfields; f++) {
		DType t = w->k->expr[s->field_value[f]].type;
		EVal base = e->ptr_arg(e, s->field[f] + 1), at = e->iadd(e, p->start[f], *length);
		int64_t off = list_offset(w, s, f, c);
		if (vector)
			e->push_vec(e, t, walk_vector(w, s->field_value[f], c), cond, base, e->iadd(e, at, e->i64(e, off)));
		else
			e->store(e, t, walk_value(w, s->field_value[f], c), base, at, off);
	}
	*length = e->iadd(e, *length, e->count(e, cond));
}

static void push_body(Walk *w, WalkCarry *c, void *arg)
{
	const Push *p = arg;
	WalkCombo point, key;
	walk_combo_first(&point);
	do {
		int list = 0;
		key = point;
		do
			push_point(w, p, &key, &c->v[list++]);
		while (walk_combo_next(w, p->stage->over, &key));
	} while (walk_combo_next(w, p->stage->away, &point));
}

void walk_push(Walk *w, const KStage *s)
{
	KEmit *e = w->e;
	Push p = {.stage = s};
	WalkCarry c = {.n = walk_combos(w, s->over)};
	WalkCombo key;
	INVARIANT(c.n <= E_MAX_CARRIED);
	for (int i = 0; i < c.n; i++)
		c.v[i] = e->i64(e, 0);
	for (int f = 0; f < s->nfields; f++)
		p.start[f] = list_start(w, s, f);
	walk_nest(w, s->away, &c, push_body, &p);
	walk_combo_first(&key);
	int list = 0;
	do
		walk_store(w, s, &key, e->from_i64(e, c.v[list++], DT_I32));
	while (walk_combo_next(w, s->over, &key));
}

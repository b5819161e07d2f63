/* verify.c -- the invariants of a graph, checked after every pass
 *
 * in:  any module that is reachable without following a dangling pointer
 * out: true, or false with an `internal error` naming entry, node and invariant
 * Changes nothing but the scratch marks, which it leaves NULL as it wants to find them.
 */
#include <string.h>
#include "ir/ir.h"
#include "ir/names.h"

typedef struct Verify {
	const IrModule *module;
	const IrEntry *entry;
	Diag *diag;
	Arena *arena;
	Names *states; /* name -> IrState */
	bool sound;
} Verify;

static const char *node_name(const Verify *v, const IrNode *n)
{
	const char *name = n->name ? n->name : arena_printf(v->arena, "%u", n->id);
	return arena_printf(v->arena, "%s: %%%s (%s)", v->entry->name, name,
	                    (unsigned)n->op < OP_COUNT ? ir_ops[n->op].text : "no op");
}

static void CNNC_PRINTF(4, 5) broken(Verify *v, Loc at, const char *whose, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	diag_error(v->diag, at, "internal error: %s: %s", whose, arena_vprintf(v->arena, fmt, ap));
	va_end(ap);
	v->sound = false;
}

/* ---- states ---- */
static bool type_sane(const IrType *t, bool may_be_batched)
{
	if ((unsigned)t->dtype >= DT_COUNT || t->dtype == DT_BF16 || t->rank < 0 || t->rank > IR_MAX_RANK)
		return false;
	for (int i = 0; i < t->rank; i++) {
		if (t->dim[i] < 1 && !(t->dim[i] == IR_N && i == 0 && may_be_batched))
			return false;
	}
	return true;
}

static void check_state(Verify *v, IrState *s)
{
	const char *whose = arena_printf(v->arena, "state @%s", s->name ? s->name : "");
	if (!s->name || !s->name[0])
		broken(v, s->loc, whose, "no name");
	else if (names_add(v->states, s->name, s))
		broken(v, s->loc, whose, "two states of this name");
	if (!type_sane(&s->type, false))
		broken(v, s->loc, whose, "bad type %s", ir_type_text(v->arena, &s->type));
	if ((unsigned)s->kind > STATE_STAT || (unsigned)s->init >= INIT_COUNT)
		broken(v, s->loc, whose, "bad kind %d or initializer %d", (int)s->kind, (int)s->init);
}

static bool is_state(const Verify *v, const IrState *s)
{
	return s && s->name && names_get(v->states, s->name) == s;
}

/* ---- nodes ---- */

/* A consistent doubly linked list cannot run into itself, so later walks end. */
static bool check_links(Verify *v)
{
	const IrEntry *e = v->entry;
	const IrNode *before = NULL;
	for (const IrNode *n = e->first; n; before = n, n = n->next) {
		if (n->prev != before) {
			broken(v, n->loc, node_name(v, n), "list of nodes is not linked both ways");
			return false;
		}
		if (n->mark) {
			broken(v, n->loc, node_name(v, n), "mark left by a pass");
			return false;
		}
	}
	if (e->last != before)
		broken(v, (Loc){ 0 }, e->name, "last node of the list is not entry->last");
	return e->last == before;
}

static bool check_operands(Verify *v, const IrNode *n)
{
	if ((unsigned)n->op >= OP_COUNT) {
		broken(v, n->loc, node_name(v, n), "no such op: %d", (int)n->op);
		return false;
	}
	if (n->nin < ir_ops[n->op].min_in || n->nin > ir_ops[n->op].max_in) {
		broken(v, n->loc, node_name(v, n), "%d operands", n->nin);
		return false;
	}
	for (int i = 0; i < n->nin; i++) {
		if (n->in[i] && n->in[i]->mark)
			continue;
		if (n->in[i])
			broken(v, n->loc, node_name(v, n), "operand %d, %%%s, does not stand before it in this entry",
			       i, n->in[i]->name ? n->in[i]->name : arena_printf(v->arena, "%u", n->in[i]->id));
		else
			broken(v, n->loc, node_name(v, n), "operand %d is missing", i);
		return false;
	}
	return true;
}

static void check_source(Verify *v, const IrNode *n)
{
	const IrEntry *e = v->entry;
	if (n->op == OP_state && !is_state(v, n->attr.state.of))
		broken(v, n->loc, node_name(v, n), "reads a state that is not the module's");
	if (n->op != OP_input)
		return;
	int32_t port = n->attr.input.port;
	if (port < 0 || port >= e->nport)
		broken(v, n->loc, node_name(v, n), "port %d of %d", port, e->nport);
	else if (!ir_type_eq(&n->type, &e->port[port].type))
		broken(v, n->loc, node_name(v, n), "is %s, port '%s' is %s", ir_type_text(v->arena, &n->type),
		       e->port[port].name, ir_type_text(v->arena, &e->port[port].type));
}

static void check_type(Verify *v, const IrNode *n)
{
	IrNode probe = *n;
	if (!type_sane(&n->type, true)) {
		broken(v, n->loc, node_name(v, n), "bad type: dtype %d, %d dimensions", (int)n->type.dtype,
		       n->type.rank);
		return;
	}
	if (!ir_infer(&probe, v->diag, v->arena))
		broken(v, n->loc, node_name(v, n), "operands and attributes break its shape rule");
	else if (!ir_type_eq(&probe.type, &n->type))
		broken(v, n->loc, node_name(v, n), "is %s, its operands give %s", ir_type_text(v->arena, &n->type),
		       ir_type_text(v->arena, &probe.type));
}

static void check_nodes(Verify *v)
{
	const IrEntry *e = v->entry;
	Names *names = names_new(v->arena);
	IR_EACH(e, n) {
		if (check_operands(v, n)) {
			check_source(v, n);
			check_type(v, n);
		}
		if (n->id >= e->next_id)
			broken(v, n->loc, node_name(v, n), "id %u, next is %u", n->id, e->next_id);
		/* A sigil keeps ids and names apart. */
		if (names_add(names, arena_printf(v->arena, "#%u", n->id), n))
			broken(v, n->loc, node_name(v, n), "two nodes with id %u", n->id);
		if (n->name && names_add(names, arena_printf(v->arena, "%%%s", n->name), n))
			broken(v, n->loc, node_name(v, n), "two nodes of this name");
		n->mark = n; /* seen */
	}
}

/* ---- roots ---- */
static const char *metric_problem(Arena *a, const IrRoot *r)
{
	const IrType *t = &r->value->type;
	int64_t columns = ir_row_elems(t);
	bool fits = ir_batched(t) && t->rank <= 2 && t->dtype != DT_BOOL;
	if (r->metric == METRIC_MEAN)
		fits = fits && columns == 1;
	else if (r->metric == METRIC_AUC_EACH)
		fits = fits && columns % (2 * IR_AUC_BINS) == 0;
	else if (r->metric == METRIC_AUC)
		fits = fits && columns % 2 == 0;
	else
		fits = fits && columns % 4 == 0;
	if ((unsigned)r->metric > METRIC_IOU)
		return arena_printf(a, "no such metric: %d", (int)r->metric);
	return fits ? NULL : arena_printf(a, "metric '%s' cannot be summed from %s", r->name, ir_type_text(a, t));
}

const char *ir_root_problem(Arena *a, const IrRoot *r)
{
	if (!r->value)
		return "no value";
	if (r->kind != ROOT_UPDATE && (!r->name || !r->name[0]))
		return "no name";
	if (r->kind == ROOT_METRIC)
		return metric_problem(a, r);
	if (r->kind == ROOT_UPDATE && !r->state)
		return "no state to update";
	if (r->kind == ROOT_UPDATE && !ir_type_eq(&r->state->type, &r->value->type))
		return arena_printf(a, "state @%s is %s, its update %s", r->state->name,
		                    ir_type_text(a, &r->state->type), ir_type_text(a, &r->value->type));
	return NULL;
}

static void check_roots(Verify *v)
{
	const IrEntry *e = v->entry;
	Names *names = names_new(v->arena);
	for (int i = 0; i < e->nroot; i++) {
		IrRoot *r = &e->root[i];
		Loc at = r->value ? r->value->loc : (Loc){ 0 };
		const char *whose = arena_printf(v->arena, "%s: root %d ('%s')", e->name, i, r->name ? r->name : "");
		const char *problem = ir_root_problem(v->arena, r);
		if (problem)
			broken(v, at, whose, "%s", problem);
		if (r->value && !r->value->mark)
			broken(v, at, whose, "value is not a node of this entry");
		if (r->kind == ROOT_UPDATE && !is_state(v, r->state))
			broken(v, at, whose, "updates a state that is not the module's");
		const char *key = r->kind == ROOT_UPDATE && r->state ? r->state->name : r->name;
		if (key && names_add(names, arena_printf(v->arena, "%d %s", (int)r->kind, key), r))
			broken(v, at, whose, "two roots of this kind and name");
	}
	if (e->loss && (!e->loss->mark || e->loss->type.rank != 0 || e->loss->type.dtype != DT_F32))
		broken(v, e->loss->loc, node_name(v, e->loss), "loss is no f32[] of this entry");
	if (e->cursor && !e->cursor->mark)
		broken(v, e->cursor->loc, node_name(v, e->cursor), "cursor is not a node of this entry");
}

static void check_ports(Verify *v)
{
	const IrEntry *e = v->entry;
	Names *names = names_new(v->arena);
	for (int i = 0; i < e->nport; i++) {
		IrPort *p = &e->port[i];
		const char *whose = arena_printf(v->arena, "%s: port %d", e->name, i);
		if (!p->name || !p->name[0])
			broken(v, (Loc){ 0 }, whose, "no name");
		else if (names_add(names, p->name, p))
			broken(v, (Loc){ 0 }, whose, "two ports named '%s'", p->name);
		if (!type_sane(&p->type, true))
			broken(v, (Loc){ 0 }, whose, "bad type");
	}
}

static void check_entry(Verify *v, IrEntry *e)
{
	v->entry = e;
	if (e->module != v->module)
		broken(v, (Loc){ 0 }, e->name, "entry of another module");
	check_ports(v);
	if (!check_links(v))
		return;
	check_nodes(v);
	check_roots(v);
	IR_EACH(e, n)
		n->mark = NULL;
}

bool ir_verify(const IrModule *m, Diag *d)
{
	Arena *scratch = arena_new();
	Verify v = { .module = m, .diag = d, .arena = scratch, .states = names_new(scratch), .sound = true };
	Names *entries = names_new(scratch);
	IR_EACH_STATE(m, s)
		check_state(&v, s);
	IR_EACH_ENTRY(m, e) {
		if (names_add(entries, e->name, e))
			broken(&v, (Loc){ 0 }, e->name, "two entries of this name");
		check_entry(&v, e);
	}
	if (m->max_n < 1)
		broken(&v, (Loc){ 0 }, m->name, "N would be at most %d", m->max_n);
	arena_free(scratch);
	return v.sound;
}

/* graph.c -- building and changing graphs
 *
 * Owns: the lists of modules, entries and nodes, use counts and order. Types come from ir_infer; nothing here knows
 * what an op means. Memory is the module's arena and is given back with the module only.
 */
#include <stdlib.h>
#include <string.h>
#include "ir/attr.h"

/* ---- modules, entries, states, roots ---- */
IrModule *ir_module_new(const char *name)
{
	Arena *a = arena_new();
	IrModule *m = NEW(a, IrModule);
	m->arena = a;
	m->name = arena_strdup(a, name);
	m->max_n = 1;
	return m;
}

void ir_module_free(IrModule *m)
{
	if (m)
		arena_free(m->arena);
}

IrEntry *ir_entry_new(IrModule *m, const char *name)
{
	IrEntry *e = NEW(m->arena, IrEntry), **end = &m->entry;
	e->module = m;
	e->name = arena_strdup(m->arena, name);
	while (*end)
		end = &(*end)->next;
	return *end = e;
}

IrEntry *ir_entry_find(IrModule *m, const char *name)
{
	IR_EACH_ENTRY(m, e) {
		if (strcmp(e->name, name) == 0)
			return e;
	}
	return NULL;
}

IrState *ir_state_new(IrModule *m, const char *name, IrType type, IrStateKind kind, Loc loc)
{
	IrState *s = NEW(m->arena, IrState);
	s->name = arena_strdup(m->arena, name);
	s->type = ir_type(type.dtype, type.rank, type.dim);
	s->kind = kind;
	s->loc = loc;
	IrState **end = m->state_last ? &m->state_last->next : &m->state;
	while (*end)
		end = &(*end)->next;
	m->state_last = s;
	return *end = s;
}

IrState *ir_state_find(IrModule *m, const char *name)
{
	IR_EACH_STATE(m, s) {
		if (strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

/* Room for one more behind n elements; capacities are powers of two. */
static void *room(Arena *a, void *array, int n, size_t size)
{
	if (n & (n - 1))
		return array;
	return arena_grow(a, array, (size_t)n, n ? 2 * (size_t)n : 1, size);
}

int ir_port_new(IrEntry *e, const char *name, IrType type)
{
	Arena *a = e->module->arena;
	e->port = room(a, e->port, e->nport, sizeof *e->port);
	e->port[e->nport] = (IrPort){ arena_strdup(a, name), ir_type(type.dtype, type.rank, type.dim) };
	return e->nport++;
}

void ir_root_new(IrEntry *e, IrRoot root)
{
	Arena *a = e->module->arena;
	const char *name = root.kind == ROOT_UPDATE && !root.name && root.state ? root.state->name : root.name;
	e->root = room(a, e->root, e->nroot, sizeof *e->root);
	root.name = name ? arena_strdup(a, name) : NULL;
	e->root[e->nroot++] = root;
}

/* ---- nodes ---- */
static void link_before(IrEntry *e, IrNode *n, IrNode *at)
{
	n->next = at;
	n->prev = at ? at->prev : e->last;
	*(n->prev ? &n->prev->next : &e->first) = n;
	*(at ? &at->prev : &e->last) = n;
}

static void unlink_node(IrEntry *e, IrNode *n)
{
	*(n->prev ? &n->prev->next : &e->first) = n->next;
	*(n->next ? &n->next->prev : &e->last) = n->prev;
	n->prev = n->next = NULL;
}

IrNode *ir_node(IrEntry *e, Diag *d, OpCode op, Loc loc, int nin, IrNode *const *in, const IrAttr *attr,
                const IrType *want)
{
	Arena *a = e->module->arena;
	IrNode *n = NEW(a, IrNode);
	n->op = op;
	n->loc = loc;
	n->nin = nin;
	n->in = NEWN(a, IrNode *, nin);
	for (int i = 0; i < nin; i++)
		n->in[i] = in[i];
	if (attr)
		ir_attr_copy(op, &n->attr, attr);
	if (want)
		n->type = *want;
	if (!ir_infer(n, d, a))
		return NULL;
	n->id = e->next_id++;
	link_before(e, n, e->cursor);
	return n;
}

static IrNode *node1(IrEntry *e, OpCode op, IrNode *a, const IrAttr *attr, const IrType *want)
{
	return ir_node(e, NULL, op, a->loc, 1, &a, attr, want);
}

IrNode *ir_unary(IrEntry *e, OpCode op, IrNode *a)
{
	return node1(e, op, a, NULL, NULL);
}

IrNode *ir_binary(IrEntry *e, OpCode op, IrNode *a, IrNode *b)
{
	return ir_node(e, NULL, op, a->loc, 2, (IrNode *[]){ a, b }, NULL, NULL);
}

IrNode *ir_select(IrEntry *e, IrNode *c, IrNode *a, IrNode *b)
{
	return ir_node(e, NULL, OP_select, c->loc, 3, (IrNode *[]){ c, a, b }, NULL, NULL);
}

IrNode *ir_konst(IrEntry *e, Loc loc, DType dtype, double value)
{
	IrAttr attr = { .konst = { value } };
	IrType type = ir_type(dtype, 0, NULL);
	return ir_node(e, NULL, OP_konst, loc, 0, NULL, &attr, &type);
}

IrNode *ir_scalar(IrEntry *e, Loc loc, IrScalar which, double base)
{
	return ir_counted_scalar(e, loc, which, base, 0);
}

IrNode *ir_counted_scalar(IrEntry *e, Loc loc, IrScalar which, double base, int32_t every)
{
	IrAttr attr = { .scalar = { which, base, every > 1 ? every : 0 } };
	return ir_node(e, NULL, OP_scalar, loc, 0, NULL, &attr, NULL);
}

IrNode *ir_state_read(IrEntry *e, Loc loc, IrState *s)
{
	IrAttr attr = { .state = { s } };
	return ir_node(e, NULL, OP_state, loc, 0, NULL, &attr, NULL);
}

IrNode *ir_input(IrEntry *e, Loc loc, int port)
{
	INVARIANT(port >= 0 && port < e->nport);
	IrAttr attr = { .input = { port } };
	return ir_node(e, NULL, OP_input, loc, 0, NULL, &attr, &e->port[port].type);
}

IrNode *ir_cast(IrEntry *e, IrNode *a, DType to)
{
	IrAttr attr = { .cast = { to } };
	return a->type.dtype == to ? a : node1(e, OP_cast, a, &attr, NULL);
}

IrNode *ir_reshape(IrEntry *e, IrNode *a, IrType to)
{
	return ir_type_eq(&a->type, &to) ? a : node1(e, OP_reshape, a, NULL, &to);
}

IrNode *ir_broadcast(IrEntry *e, IrNode *a, IrType to)
{
	return ir_type_eq(&a->type, &to) ? a : node1(e, OP_broadcast, a, NULL, &to);
}

IrNode *ir_transpose(IrEntry *e, IrNode *a, const int32_t *perm)
{
	IrAttr attr = { .perm = { { 0 } } };
	for (int i = 0; i < a->type.rank; i++)
		attr.perm.perm[i] = perm[i];
	return node1(e, OP_transpose, a, &attr, NULL);
}

IrNode *ir_reduce(IrEntry *e, OpCode op, IrNode *a, uint32_t axes, bool keep)
{
	IrAttr attr = { .reduce = { axes, keep } };
	if (axes == 0 && op != OP_argmax)
		return a;
	return node1(e, op, a, &attr, NULL);
}

IrNode *ir_matmul(IrEntry *e, IrNode *a, IrNode *b, bool ta, bool tb)
{
	IrAttr attr = { .matmul = { ta, tb } };
	return ir_node(e, NULL, OP_matmul, a->loc, 2, (IrNode *[]){ a, b }, &attr, NULL);
}

/* ---- changing ---- */
void ir_replace(IrEntry *e, IrNode *old, IrNode *by)
{
	IR_EACH(e, n) {
		for (int i = 0; n != by && i < n->nin; i++) {
			if (n->in[i] == old)
				n->in[i] = by;
		}
	}
	for (int i = 0; i < e->nroot; i++) {
		if (e->root[i].value == old)
			e->root[i].value = by;
	}
	if (e->loss == old)
		e->loss = by;
}

void ir_remove(IrEntry *e, IrNode *n)
{
	if (e->cursor == n)
		e->cursor = n->next;
	unlink_node(e, n);
}

void ir_count_uses(IrEntry *e)
{
	IR_EACH(e, n)
		n->nuse = 0;
	IR_EACH(e, n) {
		for (int i = 0; i < n->nin; i++)
			n->in[i]->nuse++;
	}
	for (int i = 0; i < e->nroot; i++)
		e->root[i].value->nuse++;
	if (e->loss)
		e->loss->nuse++;
}

/* ---- order ---- */
typedef struct Visit { /* a node of the depth-first walk; on n->mark while ir_sort runs */
	IrNode *node;
	struct Visit *reader; /* the walk came from here: the stack, linked through the heap */
	int next_in;
	bool open, done;
} Visit;

/* Emits v's operands, then v: appends to the list that starts over. */
static void emit(IrEntry *e, Visit *v)
{
	v->reader = NULL;
	while (v) {
		IrNode *n = v->node;
		if (!v->done && v->next_in < n->nin) {
			Visit *operand = n->in[v->next_in++]->mark;
			INVARIANT(operand && "operand in no entry");
			if (operand->done)
				continue;
			v->open = true;
			INVARIANT(!operand->open && "cycle in the graph");
			operand->reader = v;
			v = operand;
			continue;
		}
		if (!v->done)
			link_before(e, n, NULL);
		v->done = true;
		v = v->reader;
	}
}

void ir_sort(IrEntry *e)
{
	Arena *scratch = arena_new();
	size_t count = 0, i = 0;
	IR_EACH(e, n)
		count++;
	Visit *visit = NEWN(scratch, Visit, count);
	IR_EACH(e, n) {
		visit[i].node = n;
		n->mark = &visit[i++];
	}
	e->first = e->last = NULL;
	for (i = 0; i < count; i++) {
		if (!visit[i].done)
			emit(e, &visit[i]);
	}
	IR_EACH(e, n)
		n->mark = NULL;
	arena_free(scratch);
}

/* ---- copying ---- */
typedef struct StatePair { const IrState *from; IrState *to; } StatePair;

typedef struct Clone {
	IrModule *to;
	StatePair *state; /* sorted by `from` */
	size_t nstates;
	const char *file, *file_copy; /* one copy of a file name serves all neighbours */
} Clone;

static const char *copy_text(const Clone *cx, const char *s)
{
	return s ? arena_strdup(cx->to->arena, s) : NULL;
}

static Loc copy_loc(Clone *cx, Loc loc)
{
	if (loc.file != cx->file) {
		cx->file = loc.file;
		cx->file_copy = copy_text(cx, loc.file);
	}
	loc.file = cx->file_copy;
	return loc;
}

static int by_from(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)((const StatePair *)a)->from, y = (uintptr_t)((const StatePair *)b)->from;
	return x < y ? -1 : x > y;
}

static IrState *state_copy(const Clone *cx, const IrState *from)
{
	StatePair key = { from, NULL };
	const StatePair *pair = from ? bsearch(&key, cx->state, cx->nstates, sizeof key, by_from) : NULL;
	return pair ? pair->to : NULL;
}

static void clone_states(Clone *cx, Arena *scratch, const IrModule *m)
{
	IR_EACH_STATE(m, s)
		cx->nstates++;
	StatePair *pair = cx->state = NEWN(scratch, StatePair, cx->nstates);
	IR_EACH_STATE(m, s) {
		IrState *copy = ir_state_new(cx->to, s->name, s->type, s->kind, copy_loc(cx, s->loc));
		const char *name = copy->name;
		Loc loc = copy->loc;
		*copy = *s;
		copy->name = name;
		copy->loc = loc;
		copy->next = NULL;
		*pair++ = (StatePair){ s, copy };
	}
	qsort(cx->state, cx->nstates, sizeof *cx->state, by_from);
}

static IrNode *clone_node(Clone *cx, const IrNode *n)
{
	Arena *a = cx->to->arena;
	IrNode *copy = NEW(a, IrNode);
	*copy = *n;
	copy->name = copy_text(cx, n->name);
	copy->loc = copy_loc(cx, n->loc);
	copy->in = NEWN(a, IrNode *, n->nin);
	for (int i = 0; i < n->nin; i++)
		copy->in[i] = n->in[i]->mark;
	if (n->op == OP_state)
		copy->attr.state.of = state_copy(cx, n->attr.state.of);
	copy->prev = copy->next = NULL;
	copy->mark = NULL;
	return copy;
}

/* The original's nodes are in order, so operands have their copies on their marks; these are cleared at the end. */
static void clone_entry(Clone *cx, const IrEntry *from)
{
	IrEntry *e = ir_entry_new(cx->to, from->name);
	for (int i = 0; i < from->nport; i++)
		ir_port_new(e, from->port[i].name, from->port[i].type);
	IR_EACH(from, n) {
		IrNode *copy = clone_node(cx, n);
		link_before(e, copy, NULL);
		n->mark = copy;
	}
	for (int i = 0; i < from->nroot; i++) {
		IrRoot root = from->root[i];
		root.value = root.value->mark;
		root.state = state_copy(cx, root.state);
		ir_root_new(e, root);
	}
	if (from->optimizer) {
		IrOptimizer *o = NEW(cx->to->arena, IrOptimizer);
		*o = *from->optimizer;
		e->optimizer = o;
	}
	e->next_id = from->next_id;
	e->loss = from->loss ? from->loss->mark : NULL;
	e->cursor = from->cursor ? from->cursor->mark : NULL;
	IR_EACH(from, n)
		n->mark = NULL;
}

/* The resolved model file and the labels. */
static void clone_file(Clone *cx, const IrModule *m)
{
	Arena *a = cx->to->arena;
	cx->to->field = NEWN(a, IrField, m->nfield);
	cx->to->nfield = m->nfield;
	for (int i = 0; i < m->nfield; i++) {
		IrField f = m->field[i];
		f.path = copy_text(cx, f.path);
		f.value = copy_text(cx, f.value);
		f.choices = copy_text(cx, f.choices);
		f.doc = copy_text(cx, f.doc);
		cx->to->field[i] = f;
	}
	const char **labels = m->labels ? NEWN(a, const char *, m->nlabels) : NULL;
	for (int i = 0; labels && i < m->nlabels; i++)
		labels[i] = copy_text(cx, m->labels[i]);
	cx->to->labels = labels;
	cx->to->nlabels = m->nlabels;
}

IrModule *ir_clone(const IrModule *m)
{
	Arena *scratch = arena_new();
	Clone cx = { .to = ir_module_new(m->name) };
	cx.to->max_n = m->max_n;
	cx.to->optimizer = m->optimizer;
	cx.to->fast_math = m->fast_math;
	cx.to->precision = m->precision;
	cx.to->next_stream = m->next_stream;
	clone_file(&cx, m);
	clone_states(&cx, scratch, m);
	IR_EACH_ENTRY(m, e)
		clone_entry(&cx, e);
	arena_free(scratch);
	return cx.to;
}

/* program.c -- entries to code: each kernel once, each top-level item of the tree as one phase function
 *
 * A phase function computes the range of its part, the addresses of the buffers, and calls kernels: once, or sample by
 * sample where the tree says step. Kernels with equal text are one function, whatever buffers they work on. First all
 * functions are listed; then each can be written by itself, in any order, by any thread.
 */
#include "codegen/emit.h"
#include <stddef.h>
#include <string.h>
#include "runtime/model.h"

enum {
	PIECE = 24, /* kernels called from one function */
	FUNCTION_COST = 40, CALL_COST = 15, RANDOM_COST = 100, MOST_COST = 1 << 20 /* in instructions, nearly */
};

typedef enum CgKindOf { CG_ZERO, CG_KERNEL, CG_PIECE, CG_PHASE } CgKindOf;

struct CgFunction {
	CgKindOf kind;
	const char *name;
	int64_t cost;
	DType type;           /* ZERO: of what it clears */
	const Kernel *kernel; /* KERNEL */
	const char *key;
	int part_axis;
	int entry;            /* PIECE, PHASE: of the program */
	const CgPhase *phase;
	const KItem *top;     /* of the phase */
	const KItem *item;    /* PIECE: the first of `nitems` */
	int nitems;
};

/* While functions are listed. */
typedef struct Lister {
	CgProgram *p;
	const KProgram *kernels;
	Arena *a;
	int room, nkernels;
} Lister;

/* While one is written. */
typedef struct Prog {
	KEmit *e;
	const KProgram *p;
	Arena *a;
} Prog;

/* What a phase function knows while it is being written. */
typedef struct Frame {
	const KEntry *entry;
	const KItem *phase;
	const char *symbol;
	const char *const *callee; /* by kernel */
	EVal call, part, scratch, scalars, n;
} Frame;

static bool by_samples(const KItem *phase)
{
	return phase->kind == I_PART && phase->axis < 0;
}

/* The partitioned axis of a kernel below a top-level item, -1: none. */
static int part_axis(const Kernel *k, const KItem *phase)
{
	if (by_samples(phase))
		return k_runs_by_sample(k) ? k_sample_axis(k) : -1;
	return phase->kind == I_PART ? phase->axis : -1;
}

/* ---- addresses ---- */

static int64_t copy_bytes(const KBuffer *b)
{
	int64_t bytes = dtype_size(b->type.dtype);
	for (int d = 1; d < b->type.rank; d++)
		bytes *= b->type.dim[d];
	return bytes;
}

/* lo: first sample of the call, where scratch begins. */
static EVal buffer_address(const Prog *p, const Frame *f, const KBuffer *b, bool this_part, EVal lo)
{
	KEmit *e = p->e;
	EVal base = NULL;
	int64_t offset = b->offset;
	switch (b->cls) {
	case B_IN:
		return e->ptr_load(e, e->ptr_load(e, f->call, offsetof(RtCall, in)), b->index * (int64_t)sizeof(void *));
	case B_OUT:
		return e->ptr_load(e, e->ptr_load(e, f->call, offsetof(RtCall, out)), b->index * (int64_t)sizeof(void *));
	case B_STATE:
	case B_VIEW:
		base = e->ptr_load(e, f->call, offsetof(RtCall, params));
		break;
	case B_SLAB:
	case B_PARTIAL:
		base = e->ptr_load(e, f->call, offsetof(RtCall, slab));
		break;
	case B_SCRATCH:
		offset = ir_row_elems(&b->type) * dtype_size(b->type.dtype);
		base = e->ptr_add(e, f->scratch, e->i64(e, b->offset));
		return e->ptr_add(e, base, e->isub(e, e->i64(e, 0), e->imul(e, lo, e->i64(e, offset))));
	case B_METRIC:
		base = e->ptr_load(e, f->call, offsetof(RtCall, metric));
		offset *= (int64_t)sizeof(double);
		break;
	}
	EVal address = e->ptr_add(e, base, e->i64(e, offset));
	if (b->cls == B_PARTIAL && this_part)
		address = e->ptr_add(e, address, e->imul(e, f->part, e->i64(e, copy_bytes(b))));
	return address;
}

/* ---- phases ---- */

static void emit_call(Prog *p, const Frame *f, int kernel, EVal lo, EVal hi)
{
	const Kernel *k = f->entry->kernel[kernel];
	KEmit *e = p->e;
	EVal *ptr = NEWN(p->a, EVal, k->nopnds + 1), i64[3] = {lo, hi, f->n};
	ptr[0] = f->scalars;
	for (int i = 0; i < k->nopnds; i++)
		ptr[i + 1] = buffer_address(p, f, &p->p->buffer[k->opnd[i].buf], k->opnd[i].mode == M_ADD, lo);
	if (part_axis(k, f->phase) < 0)
		i64[0] = i64[1] = e->i64(e, 0);
	e->call(e, f->callee[kernel], k->nopnds + 1, ptr, 3, i64);
}

static void emit_items(Prog *p, const Frame *f, const KItem *item, int n, EVal lo, EVal hi);

static void emit_item(Prog *p, const Frame *f, const KItem *item, EVal lo, EVal hi)
{
	KEmit *e = p->e;
	if (item->kind == I_RUN) {
		e->mark(e, f->call, item->kernel, false);
		emit_call(p, f, item->kernel, lo, hi);
		e->mark(e, f->call, item->kernel, true);
		return;
	}
	INVARIANT(item->kind == I_STEP);
	EVal at = e->loop_begin(e, lo, hi, item->size, false, 0, NULL);
	EVal end = e->imin(e, e->iadd(e, at, e->i64(e, item->size)), hi);
	emit_items(p, f, item->body, item->nbody, at, end);
	e->loop_end(e, 0, NULL);
}

static int runs_in_a_row(const KItem *item, int n)
{
	int runs = 0;
	while (runs < n && runs < PIECE && item[runs].kind == I_RUN)
		runs++;
	return runs;
}

static const char *piece_name(Arena *a, const char *phase, const KItem *first)
{
	return arena_printf(a, "%s_%d", phase, first->kernel);
}

/* Fills in what every function of a phase computes for itself. */
static void open_frame(Prog *p, Frame *f)
{
	KEmit *e = p->e;
	f->scalars = e->ptr_load(e, f->call, offsetof(RtCall, s));
	f->n = e->to_i64(e, e->load(e, DT_U32, f->scalars, e->i64(e, 0), (int64_t)(offsetof(RtScalars, n) / sizeof(uint32_t))));
}

/* Long lists of kernels are cut into functions of their own: what a compiler does to a function is not linear in its size. */
static void emit_piece(Prog *p, const CgFunction *fn, Frame *f)
{
	KEmit *e = p->e;
	e->begin(e, fn->name, 2, 3, true);
	e->seldom(e);
	f->call = e->ptr_arg(e, 0);
	f->scratch = e->ptr_arg(e, 1);
	f->part = e->int_arg(e, 0);
	open_frame(p, f);
	for (int i = 0; i < fn->nitems; i++)
		emit_item(p, f, &fn->item[i], e->int_arg(e, 1), e->int_arg(e, 2));
	e->end(e);
}

static void emit_items(Prog *p, const Frame *f, const KItem *item, int n, EVal lo, EVal hi)
{
	for (int i = 0, runs; i < n; i += runs ? runs : 1) {
		runs = n > PIECE ? runs_in_a_row(item + i, n - i) : 0;
		if (runs)
			p->e->call(p->e, piece_name(p->a, f->symbol, item + i), 2, (EVal[]){f->call, f->scratch}, 3, (EVal[]){f->part, lo, hi});
		else
			emit_item(p, f, &item[i], lo, hi);
	}
}

static const char *zero_name(Arena *a, DType t)
{
	return arena_printf(a, "zero_%s", dtype_name(t));
}

/* The function that clears a partial: base; elements. */
static void emit_zero(Prog *p, DType t)
{
	KEmit *e = p->e;
	e->begin(e, zero_name(p->a, t), 1, 1, true);
	EVal n = e->int_arg(e, 0), lanes = e->i64(e, K_LANES), whole = e->imul(e, e->idiv(e, n, lanes), lanes);
	EVal at = e->loop_begin(e, e->i64(e, 0), whole, K_LANES, true, 0, NULL);
	e->store_vec(e, t, e->konst(e, t, 0, K_LANES), e->ptr_arg(e, 0), at, 0, K_LANES);
	e->loop_end(e, 0, NULL);
	at = e->loop_begin(e, whole, n, 1, true, 0, NULL);
	e->store(e, t, e->konst(e, t, 0, 1), e->ptr_arg(e, 0), at, 0);
	e->loop_end(e, 0, NULL);
	e->end(e);
}

/* Partial sums that this part adds into start at zero. Two kernels may add into the same buffer. */
static void zero_partials(Prog *p, const Frame *f, const KItem *item, bool *zeroed)
{
	for (int i = 0; i < item->nbody; i++)
		zero_partials(p, f, &item->body[i], zeroed);
	if (item->kind != I_RUN)
		return;
	const Kernel *k = f->entry->kernel[item->kernel];
	KEmit *e = p->e;
	for (int i = 0; i < k->nopnds; i++) {
		const KBuffer *b = &p->p->buffer[k->opnd[i].buf];
		if (b->cls != B_PARTIAL || k->opnd[i].mode != M_ADD || zeroed[k->opnd[i].buf])
			continue;
		zeroed[k->opnd[i].buf] = true;
		int64_t elems = copy_bytes(b) / dtype_size(b->type.dtype);
		e->call(e, zero_name(p->a, b->type.dtype), 1, (EVal[]){buffer_address(p, f, b, true, NULL)}, 1, (EVal[]){e->i64(e, elems)});
	}
}

static void emit_phase(Prog *p, const CgFunction *fn, Frame *f)
{
	KEmit *e = p->e;
	const KItem *item = fn->top;
	e->begin_phase(e, fn->name);
	e->seldom(e);
	f->call = e->phase_call(e);
	f->part = e->phase_part(e);
	f->scratch = e->phase_scratch(e);
	open_frame(p, f);
	EVal lo = e->i64(e, 0), hi = lo;
	if (item->kind == I_PART) {
		const Kernel *first = f->entry->kernel[fn->phase->first_kernel];
		lo = e->imul(e, f->part, e->i64(e, item->size));
		hi = e->iadd(e, lo, e->i64(e, item->size));
		hi = e->imin(e, hi, by_samples(item) ? f->n : e->i64(e, first->axis[item->axis].extent));
	}
	zero_partials(p, f, item, NEWN(p->a, bool, p->p->nbuffers + 1));
	if (item->kind == I_RUN)
		emit_item(p, f, item, lo, hi);
	emit_items(p, f, item->body, item->nbody, lo, hi);
	e->end(e);
}

void cg_function(const CgProgram *cg, int function, KEmit *e, Arena *a)
{
	const CgFunction *fn = &cg->function[function];
	Prog p = {.e = e, .p = cg->m->program, .a = a};
	Frame f = {.symbol = fn->phase ? fn->phase->symbol : NULL, .phase = fn->top};
	if (fn->phase) {
		f.entry = &p.p->entry[fn->entry];
		f.callee = cg->callee[fn->entry];
	}
	switch (fn->kind) {
	case CG_ZERO:
		emit_zero(&p, fn->type);
		break;
	case CG_KERNEL:
		walk_kernel(e, p.p, fn->kernel, cg->target, fn->name, fn->part_axis);
		break;
	case CG_PIECE:
		emit_piece(&p, fn, &f);
		break;
	case CG_PHASE:
		emit_phase(&p, fn, &f);
		break;
	}
}

/* ---- estimates ---- */

/* How often code stands there for what depends on an axis: its copies, and its bodies beside the loop's own (tail, rims). */
typedef struct Written { int copies, bodies; } Written;

static bool has_rims(const Kernel *k, int axis)
{
	for (int i = 0; i < k->nexprs; i++) {
		const KExpr *x = &k->expr[i];
		bool checked = x->op == K_LOAD && (x->edge == EDGE_ZERO || x->edge == EDGE_LOWEST);
		for (int d = 0; checked && d < k->opnd[x->operand].type.rank; d++) {
			if (x->at[d].coef[axis])
				return true;
		}
	}
	return false;
}

static Written written(const Kernel *k, int axis)
{
	int64_t extent = k->axis[axis].extent, step = extent, lanes = 1;
	bool tiled = false;
	for (int i = 0; i < k->sched.nloops; i++) {
		const KLoop *l = &k->sched.loop[i];
		if (l->axis != axis || l->level == L_AHEAD)
			continue;
		if (l->level == L_PEEL)
			return (Written){1, (int)extent};
		tiled |= l->level == L_UNROLL || l->level == L_VECTOR;
		lanes = l->level == L_VECTOR ? l->step : lanes;
		step = l->level == L_LOOP && l->step < extent ? l->step : step;
	}
	if (!tiled)
		step = 1;
	bool tail = step > 1 && (extent % step || k->axis[axis].ext != EXT_CONST);
	return (Written){(int)((step + lanes - 1) / lanes), 1 + tail + (step > 1 && step < extent && has_rims(k, axis))};
}

static int64_t copies(const Written *w, KSet axes)
{
	int64_t n = 1;
	for (int a = 0; a < K_MAX_AXES; a++)
		n *= axes >> a & 1 && n < MOST_COST ? w[a].copies : 1;
	return n;
}

static int64_t kernel_cost(const Kernel *k)
{
	Written w[K_MAX_AXES];
	int64_t bodies = 1, cost = 0;
	for (int a = 0; a < k->naxes; a++) {
		w[a] = written(k, a);
		bodies *= bodies < MOST_COST ? w[a].bodies : 1;
	}
	for (int i = 0; i < k->nexprs; i++)
		cost += k->expr[i].op == K_RANDOM ? RANDOM_COST : copies(w, k->expr[i].axes);
	for (int i = 0; i < k->nstages; i++)
		cost += 2 * copies(w, k->stage[i].over | k->stage[i].away);
	return FUNCTION_COST + bodies * cost;
}

/* ---- the list ---- */

static CgFunction *add_function(Lister *l, CgKindOf kind, const char *name, int64_t cost)
{
	CgProgram *p = l->p;
	if (p->nfunctions == l->room) {
		int room = l->room ? l->room * 2 : 64;
		p->function = arena_grow(l->a, p->function, (size_t)l->room, (size_t)room, sizeof(CgFunction));
		l->room = room;
	}
	CgFunction *f = &p->function[p->nfunctions++];
	*f = (CgFunction){.kind = kind, .name = name, .cost = cost};
	return f;
}

static const char *find_kernel(const CgProgram *p, const char *key, int axis)
{
	for (int i = 0; i < p->nfunctions; i++) {
		const CgFunction *f = &p->function[i];
		if (f->kind == CG_KERNEL && f->part_axis == axis && !strcmp(f->key, key))
			return f->name;
	}
	return NULL;
}

static const char *list_kernel(Lister *l, const Kernel *k, int axis)
{
	const char *key = k_key(l->kernels, k, l->a), *name = find_kernel(l->p, key, axis);
	if (name)
		return name;
	name = arena_printf(l->a, "k%d_%s", l->nkernels++, k->name);
	CgFunction *f = add_function(l, CG_KERNEL, name, kernel_cost(k));
	f->kernel = k;
	f->key = key;
	f->part_axis = axis;
	return name;
}

static void list_kernels(Lister *l, int entry, const KItem *item, const KItem *phase)
{
	for (int i = 0; i < item->nbody; i++)
		list_kernels(l, entry, &item->body[i], phase);
	if (item->kind != I_RUN)
		return;
	const Kernel *k = l->kernels->entry[entry].kernel[item->kernel];
	l->p->callee[entry][item->kernel] = list_kernel(l, k, part_axis(k, phase));
}

static void list_pieces(Lister *l, int entry, const CgPhase *phase, const KItem *top, const KItem *item, int n)
{
	for (int i = 0, runs; n > PIECE && i < n; i += runs ? runs : 1) {
		runs = runs_in_a_row(item + i, n - i);
		if (!runs)
			continue;
		const char *name = piece_name(l->a, phase->symbol, item + i);
		CgFunction *f = add_function(l, CG_PIECE, name, FUNCTION_COST + (int64_t)runs * CALL_COST);
		f->entry = entry;
		f->top = top;
		f->item = item + i;
		f->nitems = runs;
		f->phase = phase;
	}
	for (int i = 0; i < n; i++)
		list_pieces(l, entry, phase, top, item[i].body, item[i].nbody);
}

static bool writes_state(const KEntry *entry, const KItem *item)
{
	if (item->kind == I_RUN)
		return entry->kernel[item->kernel]->update;
	for (int i = 0; i < item->nbody; i++) {
		if (writes_state(entry, &item->body[i]))
			return true;
	}
	return false;
}

static bool prepares(const KEntry *entry, const KItem *item)
{
	return item->kind == I_RUN ? entry->kernel[item->kernel]->prepares : prepares(entry, &item->body[0]);
}

static int first_kernel(const KItem *item)
{
	return item->kind == I_RUN ? item->kernel : first_kernel(&item->body[0]);
}

static const char *phase_name(Arena *a, const KEntry *entry, const KItem *item)
{
	if (item->kind == I_RUN)
		return entry->kernel[item->kernel]->name;
	const char *name = phase_name(a, entry, &item->body[0]);
	return item->nbody > 1 ? arena_printf(a, "%s…%s", name, phase_name(a, entry, &item->body[item->nbody - 1])) : name;
}

static int64_t calls_cost(const KItem *item)
{
	int64_t cost = item->kind == I_RUN ? CALL_COST : 0;
	for (int i = 0; i < item->nbody; i++)
		cost += calls_cost(&item->body[i]);
	return cost;
}

static void list_phase(Lister *l, int at, int number, CgPhase *phase)
{
	const KEntry *entry = &l->kernels->entry[at];
	const KItem *item = &entry->item[number];
	*phase = (CgPhase){.name = arena_strdup(l->a, phase_name(l->a, entry, item)),
	                   .symbol = arena_printf(l->a, "phase_%s%s_%d", entry->name, entry->few ? "_few" : "", number),
	                   .parts = 1,
	                   .update = writes_state(entry, item),
	                   .prepare = prepares(entry, item),
	                   .first_kernel = first_kernel(item)};
	if (by_samples(item)) {
		phase->rows = (uint32_t)item->size;
	} else if (item->kind == I_PART) {
		int32_t extent = entry->kernel[phase->first_kernel]->axis[item->axis].extent;
		phase->parts = (uint32_t)((extent + item->size - 1) / item->size);
	}
	list_kernels(l, at, item, item);
	list_pieces(l, at, phase, item, item->body, item->nbody);
	CgFunction *f = add_function(l, CG_PHASE, phase->symbol, FUNCTION_COST + calls_cost(item));
	f->entry = at;
	f->top = item;
	f->phase = phase;
}

static void list_zeros(Lister *l)
{
	bool done[DT_COUNT] = {false};
	for (int i = 0; i < l->kernels->nbuffers; i++) {
		const KBuffer *b = &l->kernels->buffer[i];
		if (b->cls == B_PARTIAL && !done[b->type.dtype])
			add_function(l, CG_ZERO, zero_name(l->a, b->type.dtype), FUNCTION_COST)->type = b->type.dtype;
		done[b->type.dtype] |= b->cls == B_PARTIAL;
	}
}

const CgProgram *cg_program(const IrModule *m, const Target *t, Arena *a)
{
	CgProgram *p = NEW(a, CgProgram);
	Lister l = {.p = p, .kernels = m->program, .a = a};
	int n = m->program->nentries;
	*p = (CgProgram){.m = m, .target = t, .entry = NEWN(a, CgEntry, n + 1), .callee = NEWN(a, const char **, n + 1)};
	list_zeros(&l);
	for (int i = 0; i < n; i++) {
		const KEntry *entry = &m->program->entry[i];
		p->callee[i] = NEWN(a, const char *, entry->nkernels + 1);
		p->entry[i].nphases = entry->nitems;
		p->entry[i].phase = NEWN(a, CgPhase, entry->nitems + 1);
		for (int j = 0; j < entry->nitems; j++)
			list_phase(&l, i, j, &p->entry[i].phase[j]);
	}
	return p;
}

int64_t cg_function_cost(const CgProgram *p, int function)
{
	return p->function[function].cost;
}

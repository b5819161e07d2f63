/* program.c -- entries to code: each kernel once, each top-level item of the tree as one phase function
 *
 * A phase function computes the range of its part, the addresses of the buffers, and calls kernels: once, or sample by sample
 * where the tree says step. Kernels with equal text are one function, whatever buffers they work on.
 */
#include "codegen/emit.h"
#include <stddef.h>
#include <string.h>
#include "runtime/model.h"

enum { PIECE = 24 }; /* kernels called from one function */

typedef struct Emitted { const char *key, *name; int part_axis; } Emitted;

typedef struct Prog {
	KEmit *e;
	const IrModule *m;
	const KProgram *p;
	const Target *t;
	Arena *a;
	Emitted *done;
	int ndone, room;
} Prog;

/* What a phase function knows while it is being written. */
typedef struct Frame {
	const KEntry *entry;
	const char *symbol;
	EVal call, part, scratch, scalars, n;
	bool by_samples; /* lo … hi are samples */
	int axis;        /* the partitioned axis of the one kernel, -1: none */
} Frame;

static int part_axis(const Kernel *k, const Frame *f)
{
	if (f->by_samples)
		return k_runs_by_sample(k) ? k_sample_axis(k) : -1;
	return f->axis;
}

/* ---- kernels ---- */

static const char *find_kernel(const Prog *p, const char *key, int axis)
{
	for (int i = 0; i < p->ndone; i++) {
		if (p->done[i].part_axis == axis && !strcmp(p->done[i].key, key))
			return p->done[i].name;
	}
	return NULL;
}

static const char *kernel_function(Prog *p, const Kernel *k, int axis)
{
	const char *key = k_key(p->p, k, p->a), *name = find_kernel(p, key, axis);
	if (name)
		return name;
	if (p->ndone == p->room) {
		int room = p->room ? p->room * 2 : 64;
		p->done = arena_grow(p->a, p->done, (size_t)p->room, (size_t)room, sizeof(Emitted));
		p->room = room;
	}
	name = arena_printf(p->a, "k%d_%s", p->ndone, k->name);
	walk_kernel(p->e, p->p, k, p->t, name, axis);
	p->done[p->ndone++] = (Emitted){key, name, axis};
	return name;
}

/* Functions of every kernel below an item, before the phase that calls them is opened. */
static void emit_kernels(Prog *p, const KItem *item, Frame *f)
{
	if (item->kind == I_RUN) {
		const Kernel *k = f->entry->kernel[item->kernel];
		kernel_function(p, k, part_axis(k, f));
		return;
	}
	for (int i = 0; i < item->nbody; i++)
		emit_kernels(p, &item->body[i], f);
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

static void emit_call(Prog *p, const Frame *f, const Kernel *k, EVal lo, EVal hi)
{
	KEmit *e = p->e;
	int axis = part_axis(k, f);
	EVal *ptr = NEWN(p->a, EVal, k->nopnds + 1), i64[3] = {lo, hi, f->n};
	ptr[0] = f->scalars;
	for (int i = 0; i < k->nopnds; i++)
		ptr[i + 1] = buffer_address(p, f, &p->p->buffer[k->opnd[i].buf], k->opnd[i].mode == M_ADD, lo);
	if (axis < 0)
		i64[0] = i64[1] = e->i64(e, 0);
	e->call(e, kernel_function(p, k, axis), k->nopnds + 1, ptr, 3, i64);
}

static void emit_items(Prog *p, const Frame *f, const KItem *item, int n, EVal lo, EVal hi);

static void emit_item(Prog *p, const Frame *f, const KItem *item, EVal lo, EVal hi)
{
	KEmit *e = p->e;
	if (item->kind == I_RUN) {
		e->mark(e, f->call, item->kernel, false);
		emit_call(p, f, f->entry->kernel[item->kernel], lo, hi);
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

static const char *piece_name(const Prog *p, const Frame *f, const KItem *first)
{
	return arena_printf(p->a, "%s_%d", f->symbol, first->kernel);
}

/* Fills in what every function of a phase computes for itself. */
static void open_frame(Prog *p, Frame *f)
{
	KEmit *e = p->e;
	f->scalars = e->ptr_load(e, f->call, offsetof(RtCall, s));
	f->n = e->to_i64(e, e->load(e, DT_U32, f->scalars, e->i64(e, 0), (int64_t)(offsetof(RtScalars, n) / sizeof(uint32_t))));
}

/* Long lists of kernels are cut into functions of their own: what a compiler does to a function is not linear in its size. */
static void emit_pieces(Prog *p, const Frame *phase, const KItem *item, int n)
{
	KEmit *e = p->e;
	for (int i = 0, runs; n > PIECE && i < n; i += runs ? runs : 1) {
		runs = runs_in_a_row(item + i, n - i);
		if (!runs)
			continue;
		Frame f = *phase;
		e->begin(e, piece_name(p, phase, item + i), 2, 3, true);
		f.call = e->ptr_arg(e, 0);
		f.scratch = e->ptr_arg(e, 1);
		f.part = e->int_arg(e, 0);
		open_frame(p, &f);
		for (int j = i; j < i + runs; j++)
			emit_item(p, &f, &item[j], e->int_arg(e, 1), e->int_arg(e, 2));
		e->end(e);
	}
	for (int i = 0; i < n; i++)
		emit_pieces(p, phase, item[i].body, item[i].nbody);
}

static void emit_items(Prog *p, const Frame *f, const KItem *item, int n, EVal lo, EVal hi)
{
	for (int i = 0, runs; i < n; i += runs ? runs : 1) {
		runs = n > PIECE ? runs_in_a_row(item + i, n - i) : 0;
		if (runs)
			p->e->call(p->e, piece_name(p, f, item + i), 2, (EVal[]){f->call, f->scratch}, 3, (EVal[]){f->part, lo, hi});
		else
			emit_item(p, f, &item[i], lo, hi);
	}
}

static const char *zero_name(const Prog *p, DType t)
{
	return arena_printf(p->a, "zero_%s", dtype_name(t));
}

/* The function that clears a partial: base; elements. */
static void emit_zero(Prog *p, DType t)
{
	KEmit *e = p->e;
	e->begin(e, zero_name(p, t), 1, 1, true);
	EVal n = e->int_arg(e, 0), lanes = e->i64(e, K_LANES), whole = e->imul(e, e->idiv(e, n, lanes), lanes);
	EVal at = e->loop_begin(e, e->i64(e, 0), whole, K_LANES, true, 0, NULL);
	e->store_vec(e, t, e->konst(e, t, 0, K_LANES), e->ptr_arg(e, 0), at, 0, K_LANES);
	e->loop_end(e, 0, NULL);
	at = e->loop_begin(e, whole, n, 1, true, 0, NULL);
	e->store(e, t, e->konst(e, t, 0, 1), e->ptr_arg(e, 0), at, 0);
	e->loop_end(e, 0, NULL);
	e->end(e);
}

static void emit_zeros(Prog *p)
{
	bool done[DT_COUNT] = {false};
	for (int i = 0; i < p->p->nbuffers; i++) {
		const KBuffer *b = &p->p->buffer[i];
		if (b->cls == B_PARTIAL && !done[b->type.dtype])
			emit_zero(p, b->type.dtype);
		done[b->type.dtype] |= b->cls == B_PARTIAL;
	}
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
		e->call(e, zero_name(p, b->type.dtype), 1, (EVal[]){buffer_address(p, f, b, true, NULL)}, 1, (EVal[]){e->i64(e, elems)});
	}
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

static int first_kernel(const KItem *item)
{
	return item->kind == I_RUN ? item->kernel : first_kernel(&item->body[0]);
}

static const char *phase_name(Prog *p, const KEntry *entry, const KItem *item)
{
	if (item->kind == I_RUN)
		return entry->kernel[item->kernel]->name;
	const char *name = phase_name(p, entry, &item->body[0]);
	return item->nbody > 1 ? arena_printf(p->a, "%s…%s", name, phase_name(p, entry, &item->body[item->nbody - 1])) : name;
}

static CgPhase emit_phase(Prog *p, const KEntry *entry, const KItem *item, int number)
{
	KEmit *e = p->e;
	Frame f = {.entry = entry, .by_samples = item->kind == I_PART && item->axis < 0};
	f.axis = item->kind == I_PART ? item->axis : -1;
	CgPhase phase = {.name = arena_strdup(p->a, phase_name(p, entry, item)),
	                 .symbol = arena_printf(p->a, "phase_%s%s_%d", entry->name, entry->few ? "_few" : "", number),
	                 .parts = 1, .update = writes_state(entry, item), .first_kernel = first_kernel(item)};
	f.symbol = phase.symbol;
	emit_kernels(p, item, &f);
	emit_pieces(p, &f, item->body, item->nbody);
	e->begin_phase(e, phase.symbol);
	f.call = e->phase_call(e);
	f.part = e->phase_part(e);
	f.scratch = e->phase_scratch(e);
	open_frame(p, &f);
	EVal lo = e->i64(e, 0), hi = lo;
	if (item->kind == I_PART) {
		lo = e->imul(e, f.part, e->i64(e, item->size));
		hi = e->iadd(e, lo, e->i64(e, item->size));
		if (f.by_samples) {
			phase.rows = (uint32_t)item->size;
			hi = e->imin(e, hi, f.n);
		} else {
			int32_t extent = entry->kernel[phase.first_kernel]->axis[item->axis].extent;
			phase.parts = (uint32_t)((extent + item->size - 1) / item->size);
			hi = e->imin(e, hi, e->i64(e, extent));
		}
	}
	zero_partials(p, &f, item, NEWN(p->a, bool, p->p->nbuffers + 1));
	if (item->kind == I_RUN)
		emit_item(p, &f, item, lo, hi);
	emit_items(p, &f, item->body, item->nbody, lo, hi);
	e->end(e);
	return phase;
}

CgEntry *cg_program(KEmit *e, const IrModule *m, const Target *t, Arena *a)
{
	Prog p = {.e = e, .m = m, .p = m->program, .t = t, .a = a};
	CgEntry *out = NEWN(a, CgEntry, p.p->nentries + 1);
	emit_zeros(&p);
	for (int i = 0; i < p.p->nentries; i++) {
		const KEntry *entry = &p.p->entry[i];
		out[i].nphases = entry->nitems;
		out[i].phase = NEWN(a, CgPhase, entry->nitems + 1);
		for (int j = 0; j < entry->nitems; j++)
			out[i].phase[j] = emit_phase(&p, entry, &entry->item[j], j);
	}
	return out;
}

/* order.c -- the tree of each entry: which kernels run together, and what runs in parallel
 *
 * in:   kernels in an order that respects dependences      out: entry->item; kernels in the order in which they run
 *
 * Kernels that work sample by sample and feed each other only within a sample join one phase: `part n/rows { step n/1 … }`,
 * depth first, so that a picture's intermediate values are used while they are in the cache. A heavy kernel that is not
 * like that is cut along one of its own axes; so is every one where there are only a few samples (pass variant). What is light
 * runs in one part, with its neighbours. A phase ends in a barrier.
 * Parts depend on the planned maximum of samples and on shapes, never on the number of threads.
 */
#include "passes/order.h"
#include "passes/passes.h"
#include "passes/rewrite.h"
#include <string.h>

enum { LIGHT_POINTS = 32768, LIGHT_ALONE = 8192, AXIS_PARTS = 16, AXIS_GRAIN = 32, PART_POINTS = 7, RESIDENT_BYTES = 64 << 10, REUSE = 8,
       STREAM_BYTES = 2 << 20, STEP_ROWS = 36, STEP_MOST = 4, STREAM_GRAIN = 128, STREAM_PARTS = 8 };

typedef enum Class { BY_SAMPLE, BY_AXIS, LIGHT } Class;

typedef struct Cut { int axis; int32_t size; } Cut; /* parts of `size` points of the axis; axis -1: none */

typedef struct User { int kernel; struct User *next; } User;

typedef struct Order {
	IrModule *m;
	Arena *scratch;
	KEntry *e;
	Class *class;
	bool *light;         /* may run with others, but is not worth parts of its own */
	Cut *cut;            /* BY_AXIS: how */
	bool few;            /* only a few samples, maybe one */
	bool *placed, *here; /* in an earlier phase; in the phase being filled */
	User **pred;         /* what must run before a kernel */
	User **writer, **reader; /* of a buffer, among the kernels seen so far */
	int *pred_of;        /* the last kernel that a kernel was put before */
	int *list, nlist;    /* kernels in their final order */
} Order;

/* ---- what kind of work ---- */

/* Points of the largest stage with all samples; of many alike, the share that lets three go for one. */
static double points(const Kernel *k, int32_t max_n)
{
	double most = 0, all = 0;
	for (int i = 0; i < k->nstages; i++) {
		double p = 1;
		for (int a = 0; a < k->naxes; a++) {
			if ((k->stage[i].over | k->stage[i].away) >> a & 1)
				p *= k->axis[a].ext == EXT_N ? max_n : k->axis[a].extent;
		}
		most = p > most ? p : most;
		all += p;
	}
	return all / 4 > most ? all / 4 : most;
}

/* What a kernel reads of operands that all samples share. */
static int64_t shared_bytes(const KProgram *p, const Kernel *k)
{
	int64_t bytes = 0;
	for (int i = 0; i < k->nopnds; i++) {
		const IrType *t = &k->opnd[i].type;
		if (k->opnd[i].mode == M_IN && !ir_batched(t) && p->buffer[k->opnd[i].buf].cls != B_PARTIAL)
			bytes += ir_elems(t, 1) * dtype_size(t->dtype);
	}
	return bytes;
}

/* A contraction that uses each element of its shared operands only a few times a sample should see all samples at once, or,
 * where those operands stay in a cache, a few samples. */
static bool wants_all_samples(const KProgram *p, const Kernel *k)
{
	int64_t bytes = shared_bytes(p, k);
	int together = bytes > STREAM_BYTES || k->flops < 2 * bytes ? 1 : STEP_MOST;
	return k->contraction && bytes > RESIDENT_BYTES && k->flops * together < bytes * REUSE;
}

/* Samples that a contraction wants at a time, so that it uses what it reads of shared operands for enough rows of its result. */
static int32_t step_of(const Order *o, const Kernel *k)
{
	int64_t bytes = shared_bytes(o->m->program, k);
	int32_t size = 1, part = part_rows(o->m->max_n);
	if (!k->contraction || bytes <= RESIDENT_BYTES || o->few)
		return 1;
	while (size < STEP_MOST && 2 * size <= part && k->flops / bytes * size < STEP_ROWS / 2) /* 2 FLOP, 4 bytes a use */
		size *= 2;
	return size;
}

static bool contiguous(const Kernel *k, int axis)
{
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		int rank = s->kind == S_REDUCE ? 0 : k->opnd[s->operand].type.rank;
		if (rank > 0 && s->at[rank - 1].coef[axis])
			return true;
	}
	return false;
}

/* A few rows times a large matrix: memory sets the pace, and is read in pieces as long as a part. */
static bool streams_columns(const Kernel *k, int axis)
{
	int64_t rows = 1;
	for (int a = 0; a < k->naxes; a++)
		rows *= (k->par >> a & 1) && a != axis ? k->axis[a].extent : 1;
	return k->contraction && rows <= FEW_SAMPLES && k->axis[axis].extent >= STREAM_PARTS * STREAM_GRAIN;
}

/* Points of a contiguous axis that make a piece worth cutting off: of one that steps over panels of columns, fewer. */
static int32_t grain(const Kernel *k, int axis)
{
	int32_t most = 1;
	if (streams_columns(k, axis))
		return STREAM_GRAIN;
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		int rank = s->kind == S_REDUCE ? 0 : k->opnd[s->operand].type.rank;
		if (rank && s->at[rank - 1].coef[axis] > most)
			most = s->at[rank - 1].coef[axis];
	}
	return most < AXIS_GRAIN ? AXIS_GRAIN / most : 1;
}

/* Points of a part: a multiple of the grain, about AXIS_PARTS parts. */
static int32_t cut_size(int32_t extent, int32_t grain)
{
	int32_t size = (extent + AXIS_PARTS - 1) / AXIS_PARTS;
	return (size + grain - 1) / grain * grain;
}

/* The parallel axis to cut: not the one that is contiguous in the result where there is another. */
static Cut cut_batch(const Kernel *k)
{
	Cut best = {.axis = -1};
	int64_t best_score = 0;
	for (int a = 0; a < k->naxes; a++) {
		int32_t extent = k->axis[a].extent;
		if (!(k->par >> a & 1) || k->axis[a].ext != EXT_CONST || extent < 2 * grain(k, a))
			continue;
		int64_t score = contiguous(k, a) ? extent / 64 : extent;
		if (best.axis < 0 || score > best_score) {
			best = (Cut){a, cut_size(extent, grain(k, a))};
			best_score = score;
		}
	}
	return best;
}

/* An even number of equal parts if there is one, so that two threads end together. */
static int32_t even_size(int32_t extent, int32_t grain)
{
	int32_t least = cut_size(extent, grain);
	for (int32_t size = least; size <= extent / 2; size += grain) {
		if (extent % (2 * size) == 0)
			return size;
	}
	return least;
}

/* Is axis a all the pixels that a contraction has? Then a part of it should be enough for a tile. */
static bool only_pixels(const Kernel *k, int a)
{
	int others = 0;
	for (int b = 0; b < k->naxes; b++)
		others += b != a && (k->par >> b & 1) && k->axis[b].ext == EXT_CONST && !contiguous(k, b);
	return k->contraction && !contiguous(k, a) && others == 0;
}

/* The parallel axis that gives most parts; rows of a picture sooner than its channels. */
static Cut cut_sample(const Kernel *k)
{
	Cut best = {.axis = -1};
	int32_t most = 1;
	for (int a = 0; a < k->naxes; a++) {
		int32_t extent = k->axis[a].extent;
		if (!(k->par >> a & 1) || k->axis[a].ext != EXT_CONST)
			continue;
		int32_t size = even_size(extent, contiguous(k, a) ? grain(k, a) : 1);
		if (size < PART_POINTS && only_pixels(k, a))
			size = even_size(extent, PART_POINTS);
		const int32_t parts = (extent + size - 1) / size;
		if (parts > most) {
			best = (Cut){a, size};
			most = parts;
		}
	}
	return best;
}

static bool adds_partials(const KProgram *p, const Kernel *k)
{
	for (int i = 0; i < k->nopnds; i++) {
		if (k->opnd[i].mode == M_ADD && p->buffer[k->opnd[i].buf].cls == B_PARTIAL)
			return true;
	}
	return false;
}

static void classify(Order *o, int i)
{
	const Kernel *k = o->e->kernel[i];
	o->light[i] = o->few ? points(k, 1) < LIGHT_ALONE : points(k, o->m->max_n) < LIGHT_POINTS;
	o->cut[i].axis = -1;
	bool by_sample = k_runs_by_sample(k) && !wants_all_samples(o->m->program, k);
	if (by_sample && !o->few) {
		o->class[i] = BY_SAMPLE;
		return;
	}
	if (!o->light[i])
		o->cut[i] = o->few ? cut_sample(k) : cut_batch(k);
	o->class[i] = o->cut[i].axis >= 0 ? BY_AXIS : by_sample && !o->light[i] ? BY_SAMPLE : LIGHT;
}

/* ---- dependences ---- */

static bool touches(const Kernel *k, int buf, bool write)
{
	for (int i = 0; i < k->nopnds; i++) {
		if (k->opnd[i].buf == buf && (write ? k->opnd[i].mode != M_IN : k->opnd[i].mode == M_IN || k->opnd[i].mode == M_INOUT))
			return true;
	}
	return false;
}

static bool is_samples(const Kernel *k, const KIndex *at)
{
	KIndex want = k_index_axis(k_sample_axis(k));
	return at->expr < 0 && at->c0 == 0 && !memcmp(at->coef, want.coef, sizeof want.coef);
}

/* Every access of k to buf is to the sample that runs. */
static bool within_sample(const Kernel *k, int buf)
{
	for (int i = 0; i < k->nexprs; i++) {
		const KExpr *x = &k->expr[i];
		if (x->op == K_LOAD && k->opnd[x->operand].buf == buf &&
		    (!ir_batched(&k->opnd[x->operand].type) || !is_samples(k, &x->at[0])))
			return false;
	}
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		if (s->kind != S_REDUCE && k->opnd[s->operand].buf == buf &&
		    (!ir_batched(&k->opnd[s->operand].type) || !is_samples(k, &s->at[0])))
			return false;
	}
	return true;
}

/* May b follow a inside one step? Whatever they share, they share within the sample. */
static bool aligned(const Kernel *a, const Kernel *b)
{
	for (int i = 0; i < b->nopnds; i++) {
		int buf = b->opnd[i].buf;
		bool conflict = touches(a, buf, true) || (b->opnd[i].mode != M_IN && touches(a, buf, false));
		if (conflict && !(within_sample(a, buf) && within_sample(b, buf)))
			return false;
	}
	return true;
}

static void add_user(Order *o, User **list, int kernel)
{
	User *u = NEW(o->scratch, User);
	*u = (User){kernel, *list};
	*list = u;
}

static void add_preds(Order *o, const User *list, int i)
{
	for (; list; list = list->next) {
		if (o->pred_of[list->kernel] != i)
			add_user(o, &o->pred[i], list->kernel);
		o->pred_of[list->kernel] = i;
	}
}

/* What must run before kernel i, of those that stand before it: who writes what it reads or writes, who reads what it writes. */
static void find_preds(Order *o, int i)
{
	const Kernel *k = o->e->kernel[i];
	for (int p = 0; p < k->nopnds; p++) {
		add_preds(o, o->writer[k->opnd[p].buf], i);
		if (k->opnd[p].mode != M_IN)
			add_preds(o, o->reader[k->opnd[p].buf], i);
	}
	for (int p = 0; p < k->nopnds; p++) {
		KMode mode = k->opnd[p].mode;
		if (mode != M_IN)
			add_user(o, &o->writer[k->opnd[p].buf], i);
		if (mode == M_IN || mode == M_INOUT)
			add_user(o, &o->reader[k->opnd[p].buf], i);
	}
}

/* Kernel i may join the phase: everything before it has run, or runs in this phase and step_ok. */
static bool may_join(const Order *o, int i, bool by_sample)
{
	for (const User *p = o->pred[i]; p; p = p->next) {
		int j = p->kernel;
		if (o->placed[j])
			continue;
		if (!o->here[j])
			return false;
		if (by_sample && !aligned(o->e->kernel[j], o->e->kernel[i]))
			return false;
	}
	return true;
}

/* ---- phases ---- */

static KItem *run_items(Order *o, int n)
{
	KItem *item = NEWN(o->m->arena, KItem, n + 1);
	for (int i = 0; i < n; i++)
		item[i] = (KItem){.kind = I_RUN, .kernel = o->nlist + i, .axis = -1};
	return item;
}

static bool feeds(const Order *o, const Kernel *from, const Kernel *to)
{
	for (int i = 0; i < to->nopnds; i++) {
		const KBuffer *b = &o->m->program->buffer[to->opnd[i].buf];
		if (b->cls == B_SLAB && ir_batched(&b->type) && to->opnd[i].mode == M_IN && touches(from, to->opnd[i].buf, true))
			return true;
	}
	return false;
}

/* Steps of a phase: each kernel's wish, and that of a neighbour which it feeds or which feeds it. Neighbours of equal wishes
 * share a step. */
static int step_items(Order *o, const int *kernel, int n, KItem *body, KItem *out)
{
	int32_t *want = NEWN(o->scratch, int32_t, n), *wish = NEWN(o->scratch, int32_t, n);
	int steps = 0;
	for (int i = 0; i < n; i++)
		want[i] = wish[i] = step_of(o, o->e->kernel[kernel[i]]);
	for (int i = 0; i + 1 < n; i++) {
		if (!feeds(o, o->e->kernel[kernel[i]], o->e->kernel[kernel[i + 1]]))
			continue;
		wish[i] = want[i + 1] > wish[i] ? want[i + 1] : wish[i];
		wish[i + 1] = want[i] > wish[i + 1] ? want[i] : wish[i + 1];
	}
	for (int i = 0; i < n; i++) {
		if (i == 0 || wish[i] != wish[i - 1])
			out[steps++] = (KItem){.kind = I_STEP, .axis = -1, .size = wish[i], .body = body + i};
		out[steps - 1].nbody++;
	}
	return steps;
}

/* Samples of a part: partial sums fix them; where there are none, the largest step is a part. */
static int32_t rows_of_part(const Order *o, const int *kernel, int n, const KItem *step, int nsteps)
{
	int32_t most = 1;
	for (int i = 0; i < n && !o->few; i++) {
		if (n == 1 || adds_partials(o->m->program, o->e->kernel[kernel[i]]))
			return part_rows(o->m->max_n);
	}
	for (int i = 0; i < nsteps; i++)
		most = step[i].kind == I_STEP && step[i].size > most ? step[i].size : most;
	return most;
}

static void close_phase(Order *o, Class class, const int *kernel, int n)
{
	KItem *body = run_items(o, n), item = {.kind = I_PART, .axis = -1, .body = body, .nbody = n};
	if (class == BY_AXIS) {
		item.axis = o->cut[kernel[0]].axis;
		item.size = o->cut[kernel[0]].size;
	} else if (class == BY_SAMPLE) {
		if (n > 1) {
			item.body = NEWN(o->m->arena, KItem, n);
			item.nbody = step_items(o, kernel, n, body, item.body);
		}
		item.size = rows_of_part(o, kernel, n, item.body, item.nbody);
	} else {
		item.size = o->m->max_n;
	}
	o->e->item[o->e->nitems++] = item;
	for (int i = 0; i < n; i++) {
		o->list[o->nlist++] = kernel[i];
		o->here[kernel[i]] = false;
		o->placed[kernel[i]] = true;
	}
}

/* A kernel that reads nothing could run at any time: it waits for the phase of the one that needs what it fills, so that this is
 * still in a cache, or never leaves the step. True while that one cannot join. */
static bool fills_early(const Order *o, int i)
{
	const Kernel *k = o->e->kernel[i];
	for (int p = 0; p < k->nopnds; p++) {
		if (k->opnd[p].mode != M_OUT)
			return false;
	}
	for (int j = i + 1; j < o->e->nkernels; j++) {
		const User *p = o->pred[j];
		bool needs = false, ready = true;
		for (; p; p = p->next) {
			needs |= p->kernel == i;
			ready &= p->kernel == i || o->placed[p->kernel] || o->here[p->kernel];
		}
		if (needs)
			return !ready;
	}
	return false;
}

/* Fills a phase from kernel `first` on with all later ones that fit. */
static void fill_phase(Order *o, int first, bool split)
{
	int *kernel = NEWN(o->scratch, int, o->e->nkernels), n = 0;
	const Kernel *f = o->e->kernel[first];
	Class class = o->class[first];
	for (int i = first; i < o->e->nkernels; i++) {
		const Kernel *k = o->e->kernel[i];
		bool fits = i == first;
		if (i > first && !split && !o->placed[i] && k->update == f->update && k->prepares == f->prepares) {
			if (class == BY_SAMPLE)
				fits = o->class[i] == BY_SAMPLE && may_join(o, i, true) && !fills_early(o, i);
			else if (class == LIGHT)
				fits = (o->class[i] == LIGHT || (o->light[i] && o->class[i] == BY_SAMPLE)) &&
				       !adds_partials(o->m->program, k) && may_join(o, i, false);
		}
		if (fits) {
			kernel[n++] = i;
			o->here[i] = true;
		}
	}
	close_phase(o, class, kernel, n);
}

/* A phase of light work by sample alone is not worth its parts. */
static void settle(Order *o, int first)
{
	if (o->class[first] != BY_SAMPLE || !o->light[first] || adds_partials(o->m->program, o->e->kernel[first]))
		return;
	for (int i = first + 1; i < o->e->nkernels; i++) {
		if (!o->placed[i] && o->class[i] == BY_SAMPLE && !o->light[i] && !o->e->kernel[i]->update && !o->e->kernel[i]->prepares && may_join(o, i, true))
			return;
	}
	o->class[first] = LIGHT;
}

/* The first kernel that can run now; updates only when nothing else is left. */
static int next_kernel(const Order *o)
{
	for (int updates = 0; updates < 2; updates++) {
		for (int i = 0; i < o->e->nkernels; i++) {
			if (!o->placed[i] && o->e->kernel[i]->update == (updates == 1) && may_join(o, i, false))
				return i;
		}
	}
	return -1;
}

/* State that is written, and sums of samples in their fixed parts: the cut of a batch is theirs. */
static bool fixed_parts(const Order *o)
{
	for (int i = 0; i < o->e->nkernels; i++) {
		const Kernel *k = o->e->kernel[i];
		if (k->update)
			return true;
		for (int j = 0; j < k->nopnds; j++) {
			if (k->opnd[j].mode == M_ADD)
				return true;
		}
	}
	return false;
}

static void order_entry(Order *o, bool split)
{
	int n = o->e->nkernels;
	o->class = NEWN(o->scratch, Class, n + 1);
	o->light = NEWN(o->scratch, bool, n + 1);
	o->cut = NEWN(o->scratch, Cut, n + 1);
	o->few = o->e->few > 0 || (o->m->max_n <= FEW_SAMPLES && !fixed_parts(o));
	o->placed = NEWN(o->scratch, bool, n + 1);
	o->here = NEWN(o->scratch, bool, n + 1);
	o->list = NEWN(o->scratch, int, n + 1);
	o->nlist = 0;
	o->e->item = NEWN(o->m->arena, KItem, n + 1);
	o->e->nitems = 0;
	o->pred = NEWN(o->scratch, User *, n + 1);
	o->writer = NEWN(o->scratch, User *, o->m->program->nbuffers + 1);
	o->reader = NEWN(o->scratch, User *, o->m->program->nbuffers + 1);
	o->pred_of = NEWN(o->scratch, int, n + 1);
	memset(o->pred_of, -1, sizeof(int) * ((size_t)n + 1));
	for (int i = 0; i < n; i++) {
		classify(o, i);
		find_preds(o, i);
	}
	while (o->nlist < n) {
		int first = next_kernel(o);
		INVARIANT(first >= 0);
		if (!split)
			settle(o, first);
		fill_phase(o, first, split);
	}
	Kernel **sorted = NEWN(o->scratch, Kernel *, n + 1);
	for (int i = 0; i < n; i++)
		sorted[i] = o->e->kernel[o->list[i]];
	memcpy(o->e->kernel, sorted, sizeof *sorted * (size_t)n);
}

bool pass_order(IrModule *m, PassCx *cx)
{
	for (int i = 0; i < m->program->nentries; i++) {
		Order o = {.m = m, .scratch = cx->scratch, .e = &m->program->entry[i]};
		if (cx->target.kind == TARGET_CUDA)
			order_cuda(m, o.e, cx->scratch);
		else
			order_entry(&o, cx->split_phases);
	}
	return true;
}

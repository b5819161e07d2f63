/* choose.c -- the algorithm of each kernel
 *
 * in:   kernels as fuse made them      out: kernels, other buffers where an algorithm needs them
 * not:  loop order and tiles (tile.c)
 *
 * Split sum: a sum over samples and pixels with few results (weight and bias gradients, batch statistics) becomes two kernels.
 * The first adds each part's share into a partial of its own, so parts run in parallel; the second adds the partials in
 * order and does what the kernel did with the sum. The number of parts comes from the planned maximum of samples, never
 * from the threads, so the bits do not depend on them. Many sums that lie in another order than the result are added as they
 * lie, and turned over afterwards.
 * The other algorithms have files of their own: choose_*.c.
 */
#include "passes/choose.h"
#include "passes/rewrite.h"

enum { MIN_PIXELS = 8, MAX_PARTIAL_BYTES = 8 << 20, TURN_SUMS = 4096 };

typedef struct Split { int stage, buffer, over[IR_MAX_RANK], nover; } Split;

static int64_t trips(const Kernel *k, KSet axes)
{
	int64_t t = 1;
	for (int a = 0; a < k->naxes; a++) {
		if ((axes >> a & 1) && (k->axis[a].ext == EXT_CONST || k->axis[a].ext == EXT_LIST))
			t *= k->axis[a].extent;
	}
	return t;
}

/* A sum over samples and at least a few pixels, its results small against what is summed. */
static bool splits(const Kernel *k, int stage, int32_t max_n)
{
	const KStage *s = &k->stage[stage];
	int n = k_sample_axis(k);
	if (s->kind != S_REDUCE || s->red != RED_sum || n < 0 || !(s->away >> n & 1) || trips(k, s->away) < MIN_PIXELS)
		return false;
	int rank = 0;
	for (int a = 0; a < k->naxes; a++) {
		rank += s->over >> a & 1;
		if ((s->over >> a & 1) && k->axis[a].ext != EXT_CONST)
			return false;
	}
	int64_t parts = (max_n + part_rows(max_n) - 1) / part_rows(max_n);
	int64_t bytes = trips(k, s->over) * parts * dtype_size(s->type);
	return rank + 1 <= IR_MAX_RANK && bytes <= MAX_PARTIAL_BYTES;
}

static void partial_index(const Split *s, int first_axis, KIndex *at)
{
	at[0] = first_axis < 0 ? k_index(0) : k_index_axis(first_axis);
	for (int i = 0; i < s->nover; i++)
		at[i + 1] = k_index_axis(s->over[i]);
}

/* Does the axis step through a factor of the summed product by ones? */
static bool runs_along(const Kernel *k, const KStage *s, int axis)
{
	const KExpr *v = &k->expr[s->value];
	for (int i = 0; i < 2 && v->op == K_EWISE && v->row == EW_mul; i++) {
		const KExpr *x = &k->expr[v->arg[i]];
		if (x->op == K_LOAD && x->at[k->opnd[x->operand].type.rank - 1].coef[axis] == 1)
			return true;
	}
	return false;
}

/* Axes by which the lists of a sum are chosen: what one list adds to should lie together. */
static KSet list_keys(const Kernel *k, const KStage *s)
{
	KSet keys = 0;
	for (int a = 0; a < k->naxes; a++)
		keys |= (s->away >> a & 1) && k->axis[a].ext == EXT_LIST ? k->expr[k->axis[a].count].axes : 0;
	return keys;
}

/* The axis for the partial's last dimension: the kernel's last one, unless only another can be a vector of the sum. */
static int last_axis(const Kernel *k, const KStage *s)
{
	int last = -1, along = -1;
	for (int a = 0; a < k->naxes; a++) {
		if (!(s->over >> a & 1))
			continue;
		last = a;
		along = runs_along(k, s, a) ? a : along;
	}
	return along >= 0 ? along : last;
}

static Split new_partial(IrModule *m, const Kernel *k, int stage)
{
	KProgram *p = m->program;
	const KStage *s = &k->stage[stage];
	Split out = {.stage = stage};
	int32_t rows = part_rows(m->max_n);
	IrType t = {.dtype = s->type, .rank = 1, .dim = {(m->max_n + rows - 1) / rows}};
	int along = last_axis(k, s);
	KSet last = along < 0 ? 0 : (KSet)1 << along, first = list_keys(k, s) & ~last;
	const KSet turn[] = {first, ~(first | last), last};
	for (int i = 0; i < (int)COUNT(turn) * k->naxes; i++) {
		int a = i % k->naxes;
		if (!((s->over & turn[i / k->naxes]) >> a & 1))
			continue;
		out.over[out.nover++] = a;
		t.dim[t.rank++] = k->axis[a].extent;
	}
	out.buffer = program_buffer(m->arena, p, (KBuffer){.name = arena_printf(m->arena, "%s.parts", k->name), .cls = B_PARTIAL,
	                                                   .type = t, .part_rows = rows, .loc = k->loc});
	return out;
}

/* partial[this part, over…] += sum over the removed axes but the samples. */
static Kernel *adding_kernel(IrModule *m, const Kernel *k, const Split *s)
{
	const KStage *st = &k->stage[s->stage];
	Rewrite *r = rewrite_new(m->arena, k, arena_printf(m->arena, "%s.part", k->name), NULL, NULL, NULL);
	KSet away = st->away & ~((KSet)1 << k_sample_axis(k));
	int value = rewrite_expr(r, st->value);
	int sum = k_reduce(m->arena, r->to, st->name, RED_sum, away, value, st->type);
	int out = k_operand(m->arena, r->to, "part", s->buffer, m->program->buffer[s->buffer].type, M_ADD);
	KIndex at[IR_MAX_RANK];
	partial_index(s, -1, at);
	k_add(m->arena, r->to, out, at, sum);
	r->to->update = false;
	k_finish(r->to);
	return r->to;
}

static int fold_reduce(Rewrite *r, int stage)
{
	const Split *s = r->arg;
	if (stage != s->stage)
		return -1;
	int q = r->to->naxes - 1; /* added by folding_kernel */
	KIndex at[IR_MAX_RANK];
	partial_index(s, q, at);
	IrType t = {.dtype = r->from->stage[stage].type, .rank = s->nover + 1, .dim = {r->to->axis[q].extent}};
	for (int i = 0; i < s->nover; i++)
		t.dim[i + 1] = r->from->axis[s->over[i]].extent;
	int o = k_operand(r->a, r->to, "part", s->buffer, t, M_IN);
	int x = k_load(r->a, r->to, o, at, EDGE_NEVER);
	return k_reduce(r->a, r->to, r->from->stage[stage].name, RED_sum, (KSet)1 << q, x, t.dtype);
}

/* The kernel itself, with the sum read from the partials. */
static Kernel *folding_kernel(IrModule *m, const Kernel *k, Split *s)
{
	const KBuffer *b = &m->program->buffer[s->buffer];
	Rewrite *r = rewrite_new(m->arena, k, arena_printf(m->arena, "%s.fold", k->name), NULL, fold_reduce, s);
	int q = k_axis(m->arena, r->to, "q", EXT_PARTS, b->type.dim[0]);
	r->to->axis[q].rows = b->part_rows;
	return rewrite_all(r);
}

/* Would a fold walk the partials across, and long enough to be worth two kernels? */
static bool lies_across(const Kernel *k, const Split *s)
{
	if (s->nover < 2 || trips(k, k->stage[s->stage].over) < TURN_SUMS)
		return false;
	for (int i = 0; i < k->nstages; i++) {
		const KStage *st = &k->stage[i];
		const int rank = st->kind == S_STORE ? k->opnd[st->operand].type.rank : 0;
		if (rank)
			return st->at[rank - 1].coef[s->over[s->nover - 1]] == 0;
	}
	return false;
}

typedef struct Sums { const Split *split; int buffer; } Sums;

static void sums_index(const Split *s, const int *axis, KIndex *at)
{
	for (int i = 0; i < s->nover; i++)
		at[i] = k_index_axis(axis[i]);
}

/* sums[over…] = sum over the parts */
static Kernel *summing_kernel(IrModule *m, const Kernel *k, const Sums *sums)
{
	Arena *a = m->arena;
	const Split *s = sums->split;
	const KBuffer *part = &m->program->buffer[s->buffer];
	const IrType t = m->program->buffer[sums->buffer].type;
	Kernel *out = k_new(a, arena_printf(a, "%s.fold", k->name), k->loc);
	int axis[IR_MAX_RANK];
	KIndex at[IR_MAX_RANK];
	for (int i = 0; i < s->nover; i++)
		axis[i] = k_axis(a, out, k->axis[s->over[i]].name, EXT_CONST, t.dim[i]);
	int q = k_axis(a, out, "q", EXT_PARTS, part->type.dim[0]);
	out->axis[q].rows = part->part_rows;
	at[0] = k_index_axis(q);
	sums_index(s, axis, at + 1);
	int x = k_load(a, out, k_operand(a, out, "part", s->buffer, part->type, M_IN), at, EDGE_NEVER);
	int sum = k_reduce(a, out, k->stage[s->stage].name, RED_sum, (KSet)1 << q, x, t.dtype);
	k_store(a, out, k_operand(a, out, "sums", sums->buffer, t, M_OUT), at + 1, sum);
	k_finish(out);
	return out;
}

static int load_sum(Rewrite *r, int stage)
{
	const Sums *sums = r->arg;
	const Split *s = sums->split;
	KIndex at[IR_MAX_RANK];
	if (stage != s->stage)
		return -1;
	IrType t = {.dtype = r->from->stage[stage].type, .rank = s->nover};
	for (int i = 0; i < s->nover; i++)
		t.dim[i] = r->from->axis[s->over[i]].extent;
	sums_index(s, s->over, at);
	return k_load(r->a, r->to, k_operand(r->a, r->to, "sums", sums->buffer, t, M_IN), at, EDGE_NEVER);
}

/* The kernel with its sum from memory, where summing_kernel leaves it. */
static Kernel *turning_kernel(IrModule *m, const Kernel *k, Sums *sums)
{
	return rewrite_all(rewrite_new(m->arena, k, k->name, NULL, load_sum, sums));
}

static Sums new_sums(IrModule *m, const Kernel *k, const Split *s)
{
	const KBuffer *part = &m->program->buffer[s->buffer];
	IrType t = {.dtype = part->type.dtype, .rank = s->nover};
	for (int i = 0; i < s->nover; i++)
		t.dim[i] = part->type.dim[i + 1];
	return (Sums){s, program_buffer(m->arena, m->program, (KBuffer){.name = arena_printf(m->arena, "%s.sums", k->name), .cls = B_SLAB,
	                                                                .type = t, .loc = k->loc})};
}

/* Splits the first stage of kernel `at` that wants it; the fold, which may hold another one, comes next. */
static bool split_kernel(IrModule *m, KEntry *e, int at)
{
	const Kernel *k = e->kernel[at];
	for (int i = 0; i < k->nstages; i++) {
		if (k->naxes == K_MAX_AXES || !splits(k, i, m->max_n))
			continue;
		Split s = new_partial(m, k, i);
		Kernel *add = adding_kernel(m, k, &s);
		if (lies_across(k, &s)) {
			Sums sums = new_sums(m, k, &s);
			e->kernel[at] = turning_kernel(m, k, &sums);
			entry_insert(m->arena, e, at, summing_kernel(m, k, &sums));
		} else {
			e->kernel[at] = folding_kernel(m, k, &s);
		}
		entry_insert(m->arena, e, at, add);
		return true;
	}
	return false;
}

bool pass_choose(IrModule *m, PassCx *cx)
{
	const bool cpu = cx->target.kind == TARGET_CPU; /* lists, copies and tiles of pictures are for caches and vector units */
	for (int i = 0; i < m->program->nentries; i++) {
		KEntry *e = &m->program->entry[i];
		if (cpu)
			choose_lists(m, e);
		for (int j = 0; j < e->nkernels; j++)
			split_kernel(m, e, j);
		for (int j = 0; cpu && j < e->nkernels; j++)
			j = choose_winograd(m, e, j);
		for (int j = 0; cpu && j < e->nkernels; j++)
			j = choose_pack(m, e, j);
	}
	return true;
}

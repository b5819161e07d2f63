/* tile.c -- the schedule of each kernel: loop order, register tile, vector axis
 *
 * in:   kernels and the tree that runs them      out: kernel->sched
 * not:  changing what is computed, buffers or layouts
 *
 * Every legal tile of a small set is priced and the cheapest kept: tile_search.h tells which file does what. The order in which
 * sums add is chosen for one reference target and kept for all others. Kernels are searched at the same time, in rounds: one
 * that repeats another's sums after that one.
 */
#include "ir/names.h"
#include "ir/parallel.h"
#include "passes/passes.h"
#include "passes/rewrite.h"
#include "passes/tile.h"
#include "passes/tile_cuda.h"
#include "passes/tile_list.h"
#include "passes/tile_search.h"

/* What decides the order of a sum – vector axis, unrolled removed axes – is chosen for this target whatever the real one, so
 * that x86-64-v3 and v4 give the same bits. */
static const Target REFERENCE = {.name = "reference", .vec_bytes = 64, .vec_regs = 32, .fma = true, .l1_bytes = 32 << 10,
                                 .l2_bytes = 1 << 20};

/* ---- the search for one kernel ---- */

static int contraction_stage(const Kernel *k)
{
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		const KExpr *x = &k->expr[s->value];
		if (s->kind == S_REDUCE && s->red == RED_sum && x->op == K_EWISE && x->row == EW_mul && x->type == DT_F32)
			return i;
	}
	return -1;
}

/* The same sums with fewer or more results at a time, as the real target's registers allow. */
static void retile(Search *s, Tile sums, const Target *target)
{
	s->sums = &sums;
	s->cx.target = target;
	s->ntop = 0;
	tile_search_contraction(s);
	if (s->cost < 0) { /* nothing fits: one result at a time */
		s->top[0] = sums;
		for (int a = 0; a < s->cx.k->naxes; a++)
			s->top[0].copies[a] = in(s->cx.k->stage[s->cx.stage].over, a) ? 1 : sums.copies[a];
		s->ntop = 1;
		tile_arrange(s);
	}
}

/* A nest in the tile of the kernel whose sums it repeats, as far as its part allows. */
static void retile_nest(Search *s, const Tile *like)
{
	s->best = *like;
	s->cost = 0;
	if (s->part_axis >= 0 && s->part_size % tile_step(like, s->part_axis)) {
		s->best.copies[s->part_axis] = 1;
		if (s->part_axis == like->vector && s->part_size % K_LANES)
			s->best.vector = -1;
	}
	tile_order_nest(s, &s->best);
}

static void search_like(Search *s, const Target *target)
{
	Tile like = tile_of(s->cx.k->like);
	if (s->cx.pair.axis >= 0)
		like.copies[s->cx.pair.axis] = 1;
	if (s->cx.stage >= 0)
		retile(s, like, target);
	else
		retile_nest(s, &like);
}

static void search_freely(Search *s, const Target *target)
{
	s->cx.target = &REFERENCE;
	if (s->cx.stage >= 0)
		tile_search_contraction(s);
	if (s->cost < 0) {
		if (s->cx.pair.axis >= 0)
			s->cx.extent[s->cx.pair.axis] = 2;
		s->cx.stage = -1;
		tile_search_nest(s);
	} else if (target->vec_bytes != REFERENCE.vec_bytes || target->vec_regs != REFERENCE.vec_regs) {
		retile(s, s->best, target);
	}
}

static void search_kernel(Search *s, Kernel *k, const PassCx *cx)
{
	if (has_list(k)) {
		schedule_list(k, &cx->target, &k->sched);
		return;
	}
	if (k->like && (s->cx.stage >= 0 || tile_reduces(k)))
		search_like(s, &cx->target);
	else
		search_freely(s, &cx->target);
	s->cx.target = &cx->target;
	s->block = tile_block(&s->cx, &s->best);
	tile_take_pair(s);
	tile_write(s, &k->sched);
}

static Search search_of(Kernel *k, const PassCx *cx, int part_axis, int part_size, int samples)
{
	Search s = {.cx = {.k = k, .target = &cx->target, .stage = k->contraction ? contraction_stage(k) : -1}, .cost = -1,
	            .part_axis = part_axis, .part_size = part_size};
	for (int a = 0; a < k->naxes; a++) {
		s.cx.extent[a] = k->axis[a].ext == EXT_N ? samples : k->axis[a].extent;
		if (a == part_axis && part_size < s.cx.extent[a])
			s.cx.extent[a] = part_size;
	}
	if (s.cx.stage < 0 || !k_pair(k, s.cx.stage, &s.cx.pair))
		s.cx.pair.axis = -1;
	if (s.cx.pair.axis >= 0)
		s.cx.extent[s.cx.pair.axis] = 1;
	return s;
}

/* ---- other schedules ---- */

static void search_others(Search *s, const PassCx *cx, Others *o)
{
	s->others = o;
	s->sums = NULL;
	s->ntop = 0;
	s->cx.target = s->cx.stage >= 0 ? &cx->target : &REFERENCE;
	if (o->room < 2 && !o->wanted)
		return;
	if (s->cx.stage >= 0)
		tile_search_contraction(s);
	else
		tile_search_nest(s);
}

/* Lists what else is possible and takes the file's schedule, as far as somebody wants that. Kernels of lists have
 * one schedule each, and a kernel that repeats another's sums follows that one. */
static bool choose_other(Search *s, Kernel *k, const PassCx *cx, TileKernel *out)
{
	bool fixed = k->like || has_list(k);
	TileLog *log = fixed ? NULL : cx->tile_log;
	ScheduleLine *line =
		cx->schedules && !fixed ? schedule_find(cx->schedules, out->hash, cx->target.name, TILE_PASS) : NULL;
	if (!log && !line)
		return true;
	Others o = {.room = log ? log->most : 1, .wanted = line ? &line->sched : NULL, .n = 1};
	o.list = NEWN(log ? log->arena : cx->scratch, KSchedule, o.room + 1);
	o.list[0] = k->sched;
	o.found = line && schedule_equal(&line->sched, &k->sched);
	search_others(s, cx, &o);
	*out = (TileKernel){.hash = out->hash, .known = line != NULL, .choice = o.list, .nchoices = o.n};
	if (!line)
		return true;
	line->used = true;
	k->sched = line->sched;
	if (o.found)
		return true;
	diag_error(cx->diag, line->loc, "this is no schedule that kernel %s can have", k->name);
	diag_note(cx->diag, "help", "delete the line, or the file, and measure again with --tune");
	return false;
}

/* ---- all kernels ---- */

static void log_kernel(TileLog *log, const Kernel *k, const TileKernel *as)
{
	if (log->n == log->room) {
		int room = log->room ? log->room * 2 : 64;
		log->kernel = arena_grow(log->arena, log->kernel, (size_t)log->room, (size_t)room, sizeof(*log->kernel));
		log->room = room;
	}
	log->kernel[log->n] = *as;
	log->kernel[log->n++].kernel = k;
}

/* Equal kernels – deep networks have many – that run in the same way: searched once. */
typedef struct Tiled {
	Kernel *kernel; /* the first of them */
	Search search;
	TileKernel as;
} Tiled;

typedef struct Run { Kernel *kernel; int part_axis, part_size, samples; Tiled *as; } Run;

typedef struct Tiling {
	const KProgram *program;
	const PassCx *cx;
	Names *done;    /* Tiled by key */
	Run *run;       /* all kernels of all entries, in order */
	int n, room;
	Tiled **job;    /* of the round */
	int njobs;
} Tiling;

/* Kernels of a round follow those of earlier ones only. */
static int round_of(const Kernel *k)
{
	return k->like ? 1 + round_of(k->like) : 0;
}

static void find_tiled(Tiling *t, Run *r)
{
	Arena *a = t->cx->scratch;
	Kernel *k = r->kernel;
	const char *key = arena_printf(a, "%d %d %d %s%s", r->part_axis, r->part_size, r->samples, k_key(t->program, k, a),
	                               k->like ? k_key(t->program, k->like, a) : "");
	r->as = names_get(t->done, key);
	if (r->as)
		return;
	r->as = NEW(a, Tiled);
	*r->as = (Tiled){.kernel = k, .search = search_of(k, t->cx, r->part_axis, r->part_size, r->samples),
	                 .as = {.hash = schedule_hash(key)}};
	names_add(t->done, key, r->as);
	t->job[t->njobs++] = r->as;
}

static void search_job(void *cx, int job, int thread)
{
	const Tiling *t = cx;
	(void)thread;
	search_kernel(&t->job[job]->search, t->job[job]->kernel, t->cx);
}

static bool tile_round(Tiling *t, int round)
{
	bool ok = true;
	t->njobs = 0;
	for (int i = 0; i < t->n; i++) {
		if (round_of(t->run[i].kernel) == round)
			find_tiled(t, &t->run[i]);
	}
	parallel_run(t->cx->threads, t->njobs, search_job, t);
	for (int i = 0; i < t->njobs; i++)
		ok &= choose_other(&t->job[i]->search, t->job[i]->kernel, t->cx, &t->job[i]->as);
	for (int i = 0; i < t->n; i++) {
		if (round_of(t->run[i].kernel) == round)
			t->run[i].kernel->sched = t->run[i].as->kernel->sched;
	}
	return ok;
}

/* samples: of one call of the kernels below, as planned. */
static void list_runs(Tiling *t, const KEntry *e, const KItem *item, int axis, int size, int samples)
{
	if (item->kind == I_RUN) {
		if (t->n == t->room) {
			int room = t->room ? t->room * 2 : 64;
			t->run = arena_grow(t->cx->scratch, t->run, (size_t)t->room, (size_t)room, sizeof(*t->run));
			t->room = room;
		}
		t->run[t->n++] = (Run){e->kernel[item->kernel], axis, size, samples, NULL};
		return;
	}
	bool by_sample = item->axis < 0 && item->size < samples;
	for (int i = 0; i < item->nbody; i++)
		list_runs(t, e, &item->body[i], item->axis, item->size, by_sample ? item->size : samples);
}

static bool tile_for_cuda(const KProgram *p, const CudaTile *how)
{
	for (int i = 0; i < p->nentries; i++) {
		for (int j = 0; j < p->entry[i].nkernels; j++)
			tile_cuda(p->entry[i].kernel[j], how);
	}
	return true;
}

bool pass_tile(IrModule *m, PassCx *cx)
{
	Tiling t = {.program = m->program, .cx = cx, .done = names_new(cx->scratch)};
	bool ok = true;
	int rounds = 1;
	if (cx->target.kind == TARGET_CUDA)
		return tile_for_cuda(m->program, &(CudaTile){.tf32 = m->precision == PRECISION_TF32, .always = cx->stage_always});
	for (int i = 0; i < m->program->nentries; i++) {
		const KEntry *e = &m->program->entry[i];
		for (int j = 0; j < e->nitems; j++)
			list_runs(&t, e, &e->item[j], -1, 0, e->few ? 1 : m->max_n);
	}
	t.job = (Tiled **)arena_alloc(cx->scratch, (size_t)t.n + 1, sizeof(*t.job));
	for (int i = 0; i < t.n; i++)
		rounds = round_of(t.run[i].kernel) < rounds ? rounds : round_of(t.run[i].kernel) + 1;
	for (int i = 0; i < rounds; i++)
		ok &= tile_round(&t, i);
	for (int i = 0; cx->tile_log && i < t.n; i++)
		log_kernel(cx->tile_log, t.run[i].kernel, &t.run[i].as->as);
	return ok;
}

/* tile_cuda.c -- the schedule of each kernel for a GPU: what a block and a thread have of its axes
 *
 * in:   kernels      out: kernel->sched with GRID, BLOCK and UNROLL entries
 *
 * Parallel axes go to blocks and threads, those that step through the result's memory by ones to neighbouring threads, so that a
 * warp reads and writes whole lines. A product's thread has a small register tile as long as enough threads are left to fill a
 * GPU. Where there are few results, threads of a block share out a sum and fold it. All of this depends on shapes alone.
 */
#include "passes/tile_cuda.h"
#include "passes/rewrite.h"

enum { BLOCK_THREADS = 256, FILL_THREADS = 65536, FEW_POINTS = 32768, FOLD_TRIPS = 32, FOLD_THREADS = 32, WARP = 32,
       TILE_COPIES = 4, WINDOW_COPIES = 9 };

typedef struct Plan {
	Kernel *k;
	int par[K_MAX_AXES], npar; /* fastest in the result first */
	int fold;                  /* axis whose points threads share out and meet again, -1: none */
	int threads[K_MAX_AXES], copies[K_MAX_AXES];
} Plan;

static bool in(KSet s, int axis)
{
	return s >> axis & 1;
}

static int32_t extent(const Plan *p, int axis)
{
	return p->k->axis[axis].extent;
}

/* ---- axes ---- */
static int64_t stride_in_result(const Kernel *k, int axis)
{
	for (int i = 0; i < k->nstages; i++) {
		const KStage *s = &k->stage[i];
		if (s->kind == S_REDUCE || !in(s->over, axis))
			continue;
		const IrType *t = &k->opnd[s->operand].type;
		int64_t stride = 1, at = 0;
		for (int d = t->rank - 1; d >= 0; d--) {
			at += stride * s->at[d].coef[axis];
			stride *= t->dim[d] > 0 ? t->dim[d] : 1;
		}
		return at < 0 ? -at : at;
	}
	return 0;
}

static bool parted(const Kernel *k)
{
	for (int i = 0; i < k->nopnds; i++) {
		if (k->opnd[i].mode == M_ADD)
			return true;
	}
	return false;
}

static void find_parallel(Plan *p)
{
	const Kernel *k = p->k;
	for (int a = 0; a < k->naxes; a++) {
		if (!in(k->par, a) || (k->axis[a].ext != EXT_CONST && k->axis[a].ext != EXT_N) ||
		    (parted(k) && a == k_sample_axis(k)))
			continue;
		int at = p->npar++;
		for (; at > 0 && stride_in_result(k, p->par[at - 1]) > stride_in_result(k, a); at--)
			p->par[at] = p->par[at - 1];
		p->par[at] = a;
	}
}

static double points(const Plan *p)
{
	double n = parted(p->k) ? 8 : 1; /* parts */
	for (int i = 0; i < p->npar; i++)
		n *= extent(p, p->par[i]);
	return n;
}

/* ---- sums that threads share ---- */
static KSet stored_axes(const Kernel *k)
{
	KSet s = 0;
	for (int i = 0; i < k->nstages; i++)
		s |= k->stage[i].kind == S_REDUCE ? 0 : k->stage[i].over;
	return s;
}

static bool foldable(const Kernel *k, int axis)
{
	bool summed = false;
	for (int i = 0; i < k->nstages; i++) {
		if (k->stage[i].kind != S_REDUCE || !in(k->stage[i].away, axis))
			continue;
		if (k->stage[i].red == RED_argmax)
			return false;
		summed = true;
	}
	return summed && k->axis[axis].ext != EXT_LIST && !(parted(k) && axis == k_sample_axis(k));
}

static void find_fold(Plan *p)
{
	const Kernel *k = p->k;
	const KSet stored = stored_axes(k);
	double trips = 1;
	p->fold = -1;
	for (int a = 0; a < k->naxes; a++) {
		if (!foldable(k, a) || (in(stored, a) && k->contraction))
			continue;
		trips *= extent(p, a);
		if (p->fold < 0 || in(stored, a) > in(stored, p->fold) ||
		    (in(stored, a) == in(stored, p->fold) && extent(p, a) > extent(p, p->fold)))
			p->fold = a;
	}
	if (p->fold >= 0 && !in(stored, p->fold) && (points(p) >= FEW_POINTS || trips < FOLD_TRIPS))
		p->fold = -1;
}

static int power_of_2(int most)
{
	int n = 1;
	while (2 * n <= most)
		n *= 2;
	return n;
}

/* Threads along an axis, at most `room`. Where threads meet in a fold, all must have equally many points. */
static int threads_along(const Plan *p, int axis, int room)
{
	const int n = extent(p, axis), most = n < room ? n : room;
	if (p->fold >= 0 && p->k->axis[axis].ext != EXT_CONST)
		return 1;
	for (int t = most; t > (p->fold >= 0 ? 1 : most / 2); t--) {
		if (n % t == 0)
			return t;
	}
	return p->fold >= 0 ? 1 : most;
}

static void share_threads(Plan *p)
{
	const KSet stored = stored_axes(p->k);
	int room = BLOCK_THREADS;
	if (p->fold >= 0) {
		const int most = extent(p, p->fold), few = p->npar && extent(p, p->par[0]) >= WARP / 4 ? BLOCK_THREADS / WARP : BLOCK_THREADS;
		const int limit = in(stored, p->fold) ? BLOCK_THREADS : points(p) * FOLD_THREADS < FILL_THREADS ? few : FOLD_THREADS / 4;
		p->threads[p->fold] = power_of_2(most < limit ? most : limit);
		room /= p->threads[p->fold];
	}
	for (int i = 0; i < p->npar; i++) {
		p->threads[p->par[i]] = threads_along(p, p->par[i], room);
		room /= p->threads[p->par[i]];
	}
}

/* ---- the register tile of a product ---- */
static int contraction_stage(const Kernel *k)
{
	for (int i = 0; i < k->nstages; i++) {
		if (k_is_contraction(k, &k->stage[i]))
			return i;
	}
	return -1;
}

/* Windows that a later stage folds: all their points at once, so that what they share is read once. */
static int unroll_windows(Plan *p, int stage)
{
	const Kernel *k = p->k;
	int copies = 1;
	for (int a = 0; a < k->naxes; a++) {
		if (!in(k->stage[stage].over, a) || in(stored_axes(k), a) || k->axis[a].ext != EXT_CONST || a == p->fold ||
		    copies * extent(p, a) > WINDOW_COPIES)
			continue;
		p->copies[a] = extent(p, a);
		copies *= extent(p, a);
	}
	return copies;
}

static void tile_product(Plan *p)
{
	const int stage = contraction_stage(p->k);
	double threads = points(p);
	if (stage < 0 || p->fold >= 0)
		return;
	int windows = unroll_windows(p, stage), tiled = 0;
	for (int i = 0; i < p->npar && tiled < 2; i++) {
		const int a = p->par[i];
		int copies = windows > 1 ? TILE_COPIES / 2 : TILE_COPIES;
		if (p->k->axis[a].ext != EXT_CONST || !in(p->k->stage[stage].over, a))
			continue;
		while (copies > 1 && (threads / copies < FILL_THREADS || extent(p, a) % (copies * p->threads[a])))
			copies /= 2;
		if (copies == 1 && extent(p, a) == p->threads[a] && p->threads[a] % 2 == 0 && threads / 2 >= FILL_THREADS &&
		    p->threads[a] > WARP) {
			copies = 2;
			p->threads[a] /= 2;
		}
		p->copies[a] = copies;
		threads /= copies;
		tiled += copies > 1;
	}
}

/* ---- writing it down ---- */
static void add(KSchedule *s, KLevel level, int axis, int step)
{
	if (s->nloops < (int)COUNT(s->loop))
		s->loop[s->nloops++] = (KLoop){level, (int8_t)axis, step};
}

static void write_schedule(const Plan *p)
{
	KSchedule *s = &p->k->sched;
	*s = (KSchedule){.nloops = 0};
	for (int i = p->npar - 1; i >= 0; i--)
		add(s, L_GRID, p->par[i], p->threads[p->par[i]] * p->copies[p->par[i]]);
	const bool fold_fastest = p->fold >= 0 && (in(stored_axes(p->k), p->fold) || !p->npar || p->threads[p->par[0]] < WARP / 4);
	if (p->fold >= 0 && !fold_fastest)
		add(s, L_BLOCK, p->fold, p->threads[p->fold]);
	for (int i = p->npar - 1; i >= 0; i--) {
		if (p->threads[p->par[i]] > 1)
			add(s, L_BLOCK, p->par[i], p->threads[p->par[i]]);
	}
	if (fold_fastest)
		add(s, L_BLOCK, p->fold, p->threads[p->fold]);
	for (int a = 0; a < p->k->naxes; a++) {
		if (p->copies[a] > 1)
			add(s, L_UNROLL, a, p->threads[a]);
	}
}

void tile_cuda(Kernel *k, const CudaTile *how)
{
	Plan p = {.k = k, .fold = -1};
	for (int a = 0; a < k->naxes; a++)
		p.threads[a] = p.copies[a] = 1;
	find_parallel(&p);
	if (tile_cuda_product(k, how, p.par, p.npar))
		return;
	find_fold(&p);
	share_threads(&p);
	tile_product(&p);
	write_schedule(&p);
}

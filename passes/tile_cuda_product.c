/* tile_cuda_product.c -- the schedule of a product whose factors go through shared memory
 *
 * in:   a kernel, the module's precision      out: kernel->sched, where that is faster than one thread a result
 *
 * All sizes of a block's tile are priced, in cycles of a GPU with SMS multiprocessors: products of a stage by the instructions
 * that form them, its copies by the bytes that they bring, and what waiting costs; blocks beyond one a multiprocessor queue up.
 * Within a size, the tile is the box of axes that needs the fewest blocks. Shapes alone decide, so every machine has the same.
 */
#include "passes/tile_cuda.h"
#include "passes/rewrite.h"

enum { SMS = 128, STAGE_WAIT = 60, COPIED_BYTES = 64, FMAS = 128, NAIVE_FMAS = 12, LEAST = 8, PARTS = 8 };

typedef struct Box { /* of some axes */
	const Kernel *k;
	int axis[K_MAX_AXES], naxes;
	int fixed;                  /* the first so many axes are taken whole */
	int fast;                   /* moves by groups */
	int unit;                   /* the product is rounded up to it */
	int most;
	int points[K_MAX_AXES], try[K_MAX_AXES];
	double cost;                /* -1: none found */
	double per_box;             /* what a box costs besides its points */
} Box;

typedef struct Product {
	Kernel *k;
	KStaged t;
	KSet batch;
	int bytes, mma;
	Box side[2], sum;
	int padded[2], warps[2];
	double cost;
} Product;

static bool in(KSet s, int axis)
{
	return s >> axis & 1;
}

static int whole(int n, int unit)
{
	return (n + unit - 1) / unit * unit;
}

static int extent(const Kernel *k, int axis)
{
	return k->axis[axis].extent;
}

/* ---- boxes ---- */
static double boxes(const Box *b, const int *points)
{
	double n = 1;
	for (int i = 0; i < b->naxes; i++)
		n *= (extent(b->k, b->axis[i]) + points[i] - 1) / points[i];
	return n;
}

static void try_box(Box *b, int i, int product)
{
	if (i == b->naxes) {
		const double cost = boxes(b, b->try) * (whole(product, b->unit) + b->per_box);
		if (b->cost >= 0 && cost >= b->cost)
			return;
		b->cost = cost;
		for (int a = 0; a < b->naxes; a++)
			b->points[a] = b->try[a];
		return;
	}
	const int n = extent(b->k, b->axis[i]), room = b->most / product;
	int step = 1;
	for (int group = 8; b->axis[i] == b->fast && group > 1 && step == 1; group /= 2)
		step = n % group == 0 ? group : 1;
	if (i < b->fixed || step > n)
		step = n;
	for (int points = step; points <= n && points <= room; points += step) {
		b->try[i] = points;
		try_box(b, i + 1, product * points);
	}
}

/* Axes that blocks cannot share out come first. */
static Box box_of(const Kernel *k, KSet axes, int fast, bool summed)
{
	Box b = {.k = k, .fast = fast, .cost = -1};
	for (int pass = 0; pass < 2; pass++) {
		for (int a = 0; a < k->naxes; a++) {
			const bool shared = summed || in(k->par, a);
			if (in(axes, a) && shared == (pass == 1))
				b.axis[b.naxes++] = a;
		}
		b.fixed = pass == 0 ? b.naxes : b.fixed;
	}
	return b;
}

static bool find_box(Box *b, int unit, int most, double per_box)
{
	b->unit = unit;
	b->most = most;
	b->per_box = per_box;
	b->cost = -1;
	try_box(b, 0, 1);
	return b->cost >= 0;
}

static int points_of(const Box *b)
{
	int n = 1;
	for (int i = 0; i < b->naxes; i++)
		n *= b->points[i];
	return n;
}

/* ---- prices ---- */
/* Warps of a block: as few as hold its sums in registers, but four where there are enough of them. */
static void share_warps(Product *p)
{
	const int least[2] = {16, p->mma ? 16 : 32};
	int part[2];
	for (int i = 0; i < 2; i++)
		part[i] = p->padded[i] < (i && !p->mma ? 64 : 32) ? p->padded[i] : i && !p->mma ? 64 : 32;
	for (int i = 0; i < 2; i++) {
		if (p->padded[i] % part[i])
			part[i] = least[i];
	}
	while (p->padded[0] / part[0] * (p->padded[1] / part[1]) < 4 && (part[0] > least[0] || part[1] > least[1])) {
		const int side = part[0] > least[0] ? 0 : 1;
		part[side] = part[side] / 2 % least[side] ? least[side] : part[side] / 2;
	}
	for (int i = 0; i < 2; i++)
		p->warps[i] = p->padded[i] / part[i];
}

static double price(const Product *p)
{
	const double area = (double)p->padded[0] * p->padded[1], round = p->padded[0] + p->padded[1];
	const int depth = whole(points_of(&p->sum), p->sum.unit);
	const double fmas = p->mma == 16 ? 8 * FMAS : p->mma ? 4 * FMAS : FMAS;
	const double stage = area * depth / fmas + round * depth * p->bytes / COPIED_BYTES + STAGE_WAIT;
	double blocks = boxes(&p->side[0], p->side[0].points) * boxes(&p->side[1], p->side[1].points);
	for (int a = 0; a < p->k->naxes; a++)
		blocks *= in(p->batch, a) ? extent(p->k, a) : 1;
	double stages = boxes(&p->sum, p->sum.points);
	if (p->t.added >= 0) {
		blocks *= PARTS;
		stages /= PARTS;
	}
	return (blocks > SMS ? blocks / SMS : 1) * (stages * stage + area * 4 / COPIED_BYTES);
}

/* One thread a result, each of its factors read from a cache. */
static double naive_price(const Product *p)
{
	double work = 1;
	const KStage *s = &p->k->stage[p->t.stage];
	for (int a = 0; a < p->k->naxes; a++)
		work *= in(s->over | s->away, a) ? extent(p->k, a) : 1;
	return work / ((double)SMS * NAIVE_FMAS);
}

/* ---- writing it down ---- */
static void add(KSchedule *s, KLevel level, int axis, int step)
{
	if (s->nloops < (int)COUNT(s->loop))
		s->loop[s->nloops++] = (KLoop){level, (int8_t)axis, step};
}

static int power_of_2(int most)
{
	int n = 1;
	while (2 * n <= most)
		n *= 2;
	return n;
}

static int tile_points(const Product *p, int axis)
{
	for (int i = 0; i < 2; i++) {
		for (int j = 0; j < p->side[i].naxes; j++) {
			if (p->side[i].axis[j] == axis)
				return p->side[i].points[j];
		}
	}
	return 1;
}

/* The threads that the product has, for what follows it: along the axes that step through the result's memory first. */
static void write_threads(const Product *p, KSchedule *s, const int *par, int npar)
{
	int room = K_WARP * p->warps[0] * p->warps[1], threads[K_MAX_AXES];
	for (int i = 0; i < npar; i++) {
		const int points = power_of_2(tile_points(p, par[i]));
		threads[i] = i == npar - 1 ? room : points < room ? points : room;
		room /= threads[i];
	}
	for (int i = npar - 1; i >= 0; i--) {
		if (threads[i] > 1)
			add(s, L_BLOCK, par[i], threads[i]);
	}
}

static void write_product(const Product *p, const int *par, int npar)
{
	KSchedule *s = &p->k->sched;
	*s = (KSchedule){.nloops = 0};
	for (int i = npar - 1; i >= 0; i--)
		add(s, L_GRID, par[i], tile_points(p, par[i]));
	write_threads(p, s, par, npar);
	for (int i = 0; i < p->sum.naxes; i++)
		add(s, L_STAGE, p->sum.axis[i], p->sum.points[i]);
	for (int i = 0; i < 2; i++) {
		if (p->warps[i] > 1)
			add(s, L_WARP, p->side[i].axis[p->side[i].naxes - 1], p->warps[i]);
	}
	if (p->mma)
		add(s, L_MMA, p->sum.axis[p->sum.naxes - 1], p->mma);
	add(s, L_AHEAD, p->sum.axis[p->sum.naxes - 1], boxes(&p->sum, p->sum.points) > 2 ? 2 : 1);
}

/* ---- the search ---- */
static void try_tile(Product *p, Product *best, int rows, int columns)
{
	const int most[2] = {rows, columns}, least[2] = {16, p->mma ? 16 : 32};
	for (int i = 0; i < 2; i++) {
		if (!find_box(&p->side[i], 1, most[i], most[i]))
			return;
		p->padded[i] = whole(points_of(&p->side[i]), least[i]);
	}
	share_warps(p);
	for (int i = 0; i < 2; i++)
		p->padded[i] = whole(points_of(&p->side[i]), least[i] * p->warps[i]);
	p->cost = price(p);
	if (best->cost < 0 || p->cost < best->cost)
		*best = *p;
}

static bool start(Product *p, Kernel *k, bool tf32)
{
	int sum = -1;
	for (int i = 0; i < k->nstages; i++) {
		for (int a = 0; k_is_contraction(k, &k->stage[i]) && a < k->naxes; a++)
			sum = in(k->stage[i].away, a) ? a : sum;
	}
	if (sum < 0)
		return false;
	k->sched = (KSchedule){.nloops = 0};
	add(&k->sched, L_STAGE, sum, 1);
	*p = (Product){.k = k, .t = k_staged(k), .cost = -1};
	const KStage *s = &k->stage[p->t.stage];
	p->batch = s->over & ~(p->t.side[0].axes | p->t.side[1].axes | p->t.sum);
	p->bytes = (int)dtype_size(p->t.type);
	p->mma = p->t.type == DT_BF16 ? 16 : tf32 ? 8 : 0;
	for (int i = 0; i < 2; i++)
		p->side[i] = box_of(k, p->t.side[i].axes, p->t.side[i].fast, false);
	p->sum = box_of(k, p->t.sum, p->t.fast, true);
	k->sched.nloops = 0;
	return p->side[0].naxes > 0 && p->side[1].naxes > 0 && (p->batch & ~k->par) == 0;
}

bool tile_cuda_product(Kernel *k, const CudaTile *how, const int *par, int npar)
{
	static const int sizes[] = {32, 64, 128};
	Product p, best = {.cost = -1};
	if (!k->contraction || npar == 0 || !start(&p, k, how->tf32))
		return false;
	const int depth = 64 / p.bytes, unit = p.mma ? p.mma : 4;
	if (!find_box(&p.sum, unit, depth, depth / 2))
		return false;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		for (size_t j = 0; j < COUNT(sizes); j++)
			try_tile(&p, &best, sizes[i], sizes[j]);
		if (best.cost < 0)
			continue;
	}
	if (best.cost < 0 || (!how->always && best.cost >= naive_price(&best)))
		return false;
	write_product(&best, par, npar);
	if (!k_thread_fault(k))
		return true;
	k->sched = (KSchedule){.nloops = 0};
	return false;
}

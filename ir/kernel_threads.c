/* kernel_threads.c -- schedules of a GPU: which axes its blocks and threads take, and what they may not
 *
 * Blocks are numbered row-major over the axes with GRID entries, threads of a block over those with BLOCK entries, in the order
 * of the schedule: the last entry is the fastest.
 */
#include "ir/kernel.h"

static int step_of(const Kernel *k, int axis, KLevel level)
{
	for (int i = 0; i < k->sched.nloops; i++) {
		if (k->sched.loop[i].level == level && k->sched.loop[i].axis == axis)
			return k->sched.loop[i].step;
	}
	return 0;
}

int k_grid(const Kernel *k, int axis)
{
	return step_of(k, axis, L_GRID);
}

int k_block(const Kernel *k, int axis)
{
	const int threads = step_of(k, axis, L_BLOCK);
	return threads ? threads : 1;
}

bool k_threaded(const Kernel *k)
{
	for (int i = 0; i < k->sched.nloops; i++) {
		if (k->sched.loop[i].level <= L_BLOCK)
			return true;
	}
	return false;
}

int64_t k_blocks(const Kernel *k)
{
	int64_t blocks = 1;
	for (int i = 0; i < k->sched.nloops; i++) {
		const KLoop *l = &k->sched.loop[i];
		if (l->level == L_GRID)
			blocks *= (k->axis[l->axis].extent + l->step - 1) / l->step;
	}
	return blocks;
}

int64_t k_block_threads(const Kernel *k)
{
	int64_t threads = 1;
	for (int i = 0; i < k->sched.nloops; i++)
		threads *= k->sched.loop[i].level == L_BLOCK ? k->sched.loop[i].step : 1;
	return threads;
}

static KSet block_axes(const Kernel *k)
{
	KSet axes = 0;
	for (int i = 0; i < k->sched.nloops; i++) {
		if (k->sched.loop[i].level == L_BLOCK)
			axes |= (KSet)1 << k->sched.loop[i].axis;
	}
	return axes;
}

KSet k_folded(const Kernel *k, int stage)
{
	return k->stage[stage].kind == S_REDUCE ? k->stage[stage].away & block_axes(k) : 0;
}

/* Does each thread go through as many points as any other, whatever the number of samples? */
static bool even(const Kernel *k, int axis)
{
	const int points = k_grid(k, axis) ? k_grid(k, axis) : k->axis[axis].extent;
	return k->axis[axis].ext == EXT_CONST && k->axis[axis].extent % points == 0 && points % k_block(k, axis) == 0;
}

static const char *fold_fault(const Kernel *k, int stage, KSet stored)
{
	const KSet folded = k_folded(k, stage);
	if (k->stage[stage].red == RED_argmax)
		return "an argmax is taken over the threads of a block";
	if (k->contraction && (folded & stored))
		return "threads meet inside a loop over their own axis";
	const KSet under = k->stage[stage].over | (k->contraction ? stored : 0);
	for (int a = 0; a < k->naxes; a++) {
		if ((under & block_axes(k)) >> a & 1 && !even(k, a))
			return "threads meet in a loop that not all of them run equally often";
	}
	return NULL;
}

static const char *loop_fault(const Kernel *k, const KLoop *l)
{
	const KAxis *x = &k->axis[l->axis];
	if (l->level == L_GRID && (!(k->par >> l->axis & 1) || (x->ext != EXT_CONST && x->ext != EXT_N)))
		return "blocks cannot share out this axis";
	if (l->level == L_BLOCK && (x->ext == EXT_LIST || l->step > K_MAX_THREADS))
		return "threads cannot go through this axis";
	const bool threaded = k_grid(k, l->axis) || step_of(k, l->axis, L_BLOCK);
	if (threaded && l->level > L_BLOCK && l->level != L_UNROLL && l->level != L_WARP && l->level != L_MMA)
		return "an axis of blocks or threads has another loop";
	if (threaded && l->level == L_UNROLL &&
	    (l->step != k_block(k, l->axis) || !k_grid(k, l->axis) || k_grid(k, l->axis) % l->step))
		return "the copies of a thread are not all that it has of a block";
	return NULL;
}

const char *k_thread_fault(const Kernel *k)
{
	const char *fault = NULL;
	KSet stored = 0;
	if (!k_threaded(k))
		return NULL;
	for (int i = 0; i < k->nstages; i++) {
		stored |= k->stage[i].kind == S_REDUCE ? 0 : k->stage[i].over;
		if (k->stage[i].kind == S_PUSH)
			return "threads cannot fill a list";
	}
	for (int i = 0; !fault && i < k->sched.nloops; i++)
		fault = loop_fault(k, &k->sched.loop[i]);
	for (int i = 0; !fault && i < k->nstages; i++)
		fault = k_folded(k, i) ? fold_fault(k, i, stored) : NULL;
	fault = fault ? fault : k_stage_fault(k);
	return !fault && k_block_threads(k) > K_MAX_THREADS ? "a block has too many threads" : fault;
}

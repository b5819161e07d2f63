/* variant.c -- entries that only compute get a second tree, for calls of a few samples
 *
 * in:   kernels of each entry      out: behind the entries, a copy of each that may be called with fewer samples than it can
 *       be cut into parts for: kernels and slab buffers of its own, KEntry.few set
 *
 * A batch is cut into samples; one sample must be cut into pieces of itself to keep several threads busy. Pass order does
 * that for a variant, pass tile keeps the order of every sum: the results are the same bits.
 * Not for entries that write state or add partials (their parts decide the order of sums), nor for metrics.
 */
#include "passes/passes.h"
#include "passes/rewrite.h"
#include <string.h>

static bool only_computes(const KProgram *p, const KEntry *e)
{
	for (int i = 0; i < e->nkernels; i++) {
		const Kernel *k = e->kernel[i];
		for (int j = 0; j < k->nopnds; j++) {
			KClass cls = p->buffer[k->opnd[j].buf].cls;
			if (k->update || k->opnd[j].mode == M_ADD || cls == B_METRIC || cls == B_PARTIAL)
				return false;
		}
	}
	return e->nkernels > 0;
}

/* The variant's own buffer for one of the slab's; others are shared. */
static int32_t buffer_of(IrModule *m, int32_t *copy, int32_t buf)
{
	KProgram *p = m->program;
	if (p->buffer[buf].cls != B_SLAB)
		return buf;
	if (copy[buf] < 0)
		copy[buf] = program_buffer(m->arena, p, p->buffer[buf]);
	return copy[buf];
}

static Kernel *copy_kernel(IrModule *m, int32_t *copy, const Kernel *k)
{
	Kernel *out = NEW(m->arena, Kernel);
	const Kernel *like = k;
	k = k->plain ? k->plain : k;
	*out = *k;
	out->like = like;
	out->opnd = NEWN(m->arena, KOperand, k->nopnds + 1);
	memcpy(out->opnd, k->opnd, sizeof *k->opnd * (size_t)k->nopnds);
	for (int i = 0; i < k->nopnds; i++)
		out->opnd[i].buf = buffer_of(m, copy, k->opnd[i].buf);
	for (int a = 0; a < k->naxes; a++) {
		if (k->axis[a].ext == EXT_N)
			out->axis[a].extent = FEW_SAMPLES;
	}
	return out;
}

static KEntry copy_entry(IrModule *m, const KEntry *e, Arena *scratch)
{
	KEntry out = {.name = e->name, .graph = e->graph, .few = FEW_SAMPLES, .nkernels = e->nkernels};
	int nbuffers = m->program->nbuffers;
	int32_t *copy = NEWN(scratch, int32_t, nbuffers + 1);
	memset(copy, -1, sizeof *copy * (size_t)nbuffers);
	out.kernel = NEWN(m->arena, Kernel *, e->nkernels + 1);
	out.nkernels = 0;
	for (int i = 0; i < e->nkernels; i++) {
		const Kernel *k = e->kernel[i];
		if (!k->copies)
			out.kernel[out.nkernels++] = copy_kernel(m, copy, k);
	}
	return out;
}

bool pass_variant(IrModule *m, PassCx *cx)
{
	KProgram *p = m->program;
	int n = p->nentries;
	if (m->max_n <= FEW_SAMPLES || cx->target.kind == TARGET_CUDA) /* a GPU is filled from within a sample anyway */
		return true;
	KEntry *entry = NEWN(m->arena, KEntry, 2 * n + 1);
	memcpy(entry, p->entry, sizeof *entry * (size_t)n);
	p->entry = entry;
	for (int i = 0; i < n; i++) {
		if (only_computes(p, &entry[i]))
			entry[p->nentries++] = copy_entry(m, &entry[i], cx->scratch);
	}
	return true;
}

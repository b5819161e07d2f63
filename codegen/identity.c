/* identity.c -- what tells models and schedules apart: hashes in programs, checkpoints and weights
 *
 * The model's hash is that of its graph as text; the schedule's key that of every kernel with its schedule, the trees and the
 * target: other bits may come out only where one of them differs.
 */
#include <stdlib.h>
#include "codegen/codegen.h"
#include "codegen/digest.h"

static void model_hash(const IrModule *m, unsigned char out[32])
{
	char *graph = NULL;
	size_t n = 0;
	Digest d;
	FILE *f = open_memstream(&graph, &n);
	if (!f)
		ICE("no memory for the text of the graph");
	ir_print(m, f);
	fclose(f);
	digest_begin(&d);
	digest_add(&d, graph, n);
	digest_end(&d, out);
	free(graph);
}

static void hash_items(Digest *d, const KItem *item, int n)
{
	for (int i = 0; i < n; i++) {
		int32_t word[] = {(int32_t)item[i].kind, item[i].kernel, item[i].axis, item[i].size, item[i].nbody};
		digest_add(d, word, sizeof(word));
		hash_items(d, item[i].body, item[i].nbody);
	}
}

static void schedule_key(const KProgram *p, const Target *t, Arena *a, unsigned char out[32])
{
	Digest d;
	digest_begin(&d);
	digest_text(&d, t->name);
	for (int i = 0; i < p->nentries; i++) {
		const KEntry *e = &p->entry[i];
		for (int k = 0; k < e->nkernels; k++)
			digest_text(&d, k_key(p, e->kernel[k], a));
		hash_items(&d, e->item, e->nitems);
	}
	digest_end(&d, out);
}

void cg_identity(const IrModule *m, const Target *t, unsigned char model[32], unsigned char schedule[32])
{
	Arena *a = arena_new();
	model_hash(m, model);
	schedule_key(m->program, t, a, schedule);
	arena_free(a);
}

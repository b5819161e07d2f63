/* identity.c -- what tells models and schedules apart: hashes in programs, checkpoints and weights
 *
 * The model's hash is that of its graph as text; the schedule's key that of every kernel with its schedule, the trees and the
 * target: other bits may come out only where one of them differs.
 */
#include <stdlib.h>
#include <string.h>
#include "codegen/codegen.h"
#include "runtime/hash.h"

static void model_hash(const IrModule *m, unsigned char out[32])
{
	char *graph = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&graph, &n);
	if (!f)
		ICE("no memory for the text of the graph");
	ir_print(m, f);
	fclose(f);
	rt_hash(graph, n, out);
	free(graph);
}

/* With its terminator, so that texts do not run together. */
static void add_text(RtHash *d, const char *text)
{
	rt_hash_add(d, text, strlen(text) + 1);
}

static void hash_items(RtHash *d, const KItem *item, int n)
{
	for (int i = 0; i < n; i++) {
		int32_t word[] = {(int32_t)item[i].kind, item[i].kernel, item[i].axis, item[i].size, item[i].nbody};
		rt_hash_add(d, word, sizeof(word));
		hash_items(d, item[i].body, item[i].nbody);
	}
}

static void schedule_key(const KProgram *p, const Target *t, Arena *a, unsigned char out[32])
{
	RtHash d;
	rt_hash_start(&d);
	add_text(&d, t->name);
	for (int i = 0; i < p->nentries; i++) {
		const KEntry *e = &p->entry[i];
		for (int k = 0; k < e->nkernels; k++)
			add_text(&d, k_key(p, e->kernel[k], a));
		hash_items(&d, e->item, e->nitems);
	}
	rt_hash_end(&d, out);
}

void cg_identity(const IrModule *m, const Target *t, unsigned char model[32], unsigned char schedule[32])
{
	Arena *a = arena_new();
	model_hash(m, model);
	schedule_key(m->program, t, a, schedule);
	arena_free(a);
}

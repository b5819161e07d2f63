/* cse.c -- equal nodes are one
 *
 * in:   any graph     out: no two nodes with the same op, operands (in any order where it commutes), attributes
 * and type
 *
 * Reads of state and ports may be shared too: nothing changes within a call.
 */
#include <string.h>
#include "passes/passes.h"

typedef struct Seen { IrNode *n; struct Seen *next; } Seen;

static bool sharable(const IrNode *n)
{
	return ir_has(n, PURE) || ir_has(n, SOURCE);
}

static uint32_t mix(uint32_t h, uint32_t v)
{
	return (h ^ v) * 16777619u; /* FNV-1a, a word at a time */
}

static uint32_t hash(const IrNode *n)
{
	uint32_t h = mix(2166136261u, (uint32_t)n->op), operands = 0;
	const unsigned char *attr = (const unsigned char *)&n->attr;
	for (size_t i = 0; i < sizeof n->attr; i++)
		h = mix(h, attr[i]);
	for (int i = 0; i < n->nin; i++) /* commuting operands must hash alike */
		operands = ir_has(n, COMMUTES) ? operands + mix(1, n->in[i]->id) : mix(operands, n->in[i]->id);
	return mix(h, operands);
}

static bool same_operands(const IrNode *a, const IrNode *b)
{
	if (a->nin != b->nin)
		return false;
	if (ir_has(a, COMMUTES) && a->in[0] == b->in[1] && a->in[1] == b->in[0])
		return true;
	return memcmp(a->in, b->in, (size_t)a->nin * sizeof a->in[0]) == 0;
}

/* Attributes carry no stray bytes (ir_attr_copy), so comparing bytes tells 0 from -0 and never one state from
 * itself. */
static bool equal(const IrNode *a, const IrNode *b)
{
	return a->op == b->op && ir_type_eq(&a->type, &b->type) && same_operands(a, b) &&
	       memcmp(&a->attr, &b->attr, sizeof a->attr) == 0;
}

static IrNode *first_equal(const Seen *list, const IrNode *n)
{
	for (; list; list = list->next) {
		if (equal(list->n, n))
			return list->n;
	}
	return NULL;
}

/* What stands for n: readers come after what they read, so one walk redirects them all. */
static IrNode *standing_for(IrNode *n)
{
	return n && n->mark ? (IrNode *)n->mark : n;
}

static void merge_equal(IrEntry *e, Arena *a)
{
	enum { BUCKETS = 4096 };
	Seen **bucket = NEWN(a, Seen *, BUCKETS);
	IR_EACH(e, n) {
		for (int i = 0; i < n->nin; i++)
			n->in[i] = standing_for(n->in[i]);
		if (!sharable(n))
			continue;
		Seen **list = &bucket[hash(n) % BUCKETS];
		IrNode *same = first_equal(*list, n);
		if (same) {
			n->mark = same;
			if (!same->name) {
				same->name = n->name;
				n->name = NULL;
			}
			continue;
		}
		Seen *seen = NEW(a, Seen);
		*seen = (Seen){ n, *list };
		*list = seen;
	}
}

static void cse_entry(IrEntry *e, Arena *a)
{
	merge_equal(e, a);
	for (int i = 0; i < e->nroot; i++)
		e->root[i].value = standing_for(e->root[i].value);
	e->loss = standing_for(e->loss);
	for (IrNode *n = e->first, *after; n; n = after) {
		after = n->next;
		if (n->mark)
			ir_remove(e, n);
	}
}

bool pass_cse(IrModule *m, PassCx *cx)
{
	IR_EACH_ENTRY(m, e)
		cse_entry(e, cx->scratch);
	return true;
}

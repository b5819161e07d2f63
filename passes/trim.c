/* trim.c -- compute only the rows and columns of pictures that somebody reads
 *
 * A pooling window that does not fit, or a stride that steps over the end, leaves rows at the bottom and columns at the right
 * unread; so are then those of the layer before that only they needed, and so on up. Each picture gets its needed size,
 * from its readers; windows keep their place by negative padding at the bottom and right. Runs before autodiff, so that
 * the backward half never sees what was trimmed. Exact: what goes away reaches no result.
 */
#include "passes/passes.h"

typedef struct Need { int32_t dim[2]; } Need; /* rows, columns */

typedef struct Trim {
	IrEntry *e;
	Need *need;  /* by node id */
	bool *whole; /* by node id: what is computed whole: resampled pictures, pictures with a weight an element, what is pointwise on them */
} Trim;

static bool is_picture(const IrType *t)
{
	return t->rank == 4 && ir_batched(t);
}

/* Ops whose result may be computed in part. */
static bool trimmable(const Trim *t, const IrNode *n)
{
	return is_picture(&n->type) && ((ir_has(n, EWISE) && !t->whole[n->id]) || ir_has(n, SLIDES));
}

/* Does t, of no samples, have rows or columns of its own where it meets a picture (a weight an element)? */
static bool spans(const IrType *t)
{
	return !is_picture(t) && ((t->rank >= 3 && t->dim[t->rank - 3] != 1) || (t->rank >= 2 && t->dim[t->rank - 2] != 1));
}

static void find_whole(Trim *t)
{
	IR_EACH(t->e, n) {
		t->whole[n->id] = ir_has(n, RESAMPLES);
		for (int i = 0; i < n->nin && ir_has(n, EWISE); i++)
			t->whole[n->id] |= is_picture(&n->in[i]->type) ? t->whole[n->in[i]->id] : spans(&n->in[i]->type);
	}
}

static const IrWindow *window_of(const IrNode *n)
{
	return ir_has(n, CONTRACTS) ? &n->attr.conv : &n->attr.pool;
}

static void ask(Trim *t, const IrNode *n, int d, int32_t extent)
{
	if (is_picture(&n->type) && t->need[n->id].dim[d] < extent)
		t->need[n->id].dim[d] = extent;
}

static void ask_all(Trim *t, const IrNode *n)
{
	for (int d = 0; d < 2 && is_picture(&n->type); d++)
		ask(t, n, d, n->type.dim[1 + d]);
}

/* Rows that `out` windows reach, counted from the first row of the picture. */
static int64_t reach(const IrWindow *w, int d, int64_t out)
{
	return (out - 1) * w->stride[d] + (int64_t)(w->size[d] - 1) * w->dilation[d] + 1 - w->pad[d];
}

static void ask_operands(Trim *t, const IrNode *n)
{
	const Need *own = &t->need[n->id];
	for (int i = 0; i < n->nin; i++) {
		const IrNode *x = n->in[i];
		if (!trimmable(t, n) || !is_picture(&x->type) || (ir_has(n, SLIDES) && i > 0)) {
			ask_all(t, x);
			continue;
		}
		for (int d = 0; d < 2; d++) {
			int32_t extent = x->type.dim[1 + d];
			int64_t rows = ir_has(n, SLIDES) ? reach(window_of(n), d, own->dim[d]) : extent == 1 ? 1 : own->dim[d];
			ask(t, x, d, rows < 1 ? 1 : rows < extent ? (int32_t)rows : extent);
		}
	}
}

/* The first `extent` rows (d 0) or columns (d 1) of x. */
static IrNode *first_of(Trim *t, IrNode *x, int d, int32_t extent)
{
	if (x->type.dim[1 + d] <= extent)
		return x;
	IrAttr attr = {.slice = {.axis = 1 + d, .start = 0, .extent = extent}};
	return ir_node(t->e, NULL, OP_slice, x->loc, 1, &x, &attr, NULL);
}

static void trim_window(IrNode *n, const Need *need)
{
	IrWindow *w = ir_has(n, CONTRACTS) ? &n->attr.conv : &n->attr.pool;
	for (int d = 0; d < 2; d++) {
		int64_t pad = reach(w, d, need->dim[d]) - n->in[0]->type.dim[1 + d];
		n->type.dim[1 + d] = need->dim[d];
		w->pad[2 + d] = pad < w->pad[2 + d] ? (int32_t)pad : w->pad[2 + d];
	}
}

static void trim_pointwise(Trim *t, IrNode *n, const Need *need)
{
	for (int d = 0; d < 2; d++) {
		for (int i = 0; i < n->nin; i++) {
			if (is_picture(&n->in[i]->type) && n->in[i]->type.dim[1 + d] != 1)
				n->in[i] = first_of(t, n->in[i], d, need->dim[d]);
		}
		if (n->type.dim[1 + d] > need->dim[d])
			n->type.dim[1 + d] = need->dim[d];
	}
}

static void trim_entry(IrEntry *e, Arena *scratch)
{
	Trim t = {.e = e, .need = NEWN(scratch, Need, e->next_id + 1), .whole = NEWN(scratch, bool, e->next_id + 1)};
	find_whole(&t);
	for (int i = 0; i < e->nroot; i++)
		ask_all(&t, e->root[i].value);
	for (IrNode *n = e->last; n; n = n->prev)
		ask_operands(&t, n);
	for (IrNode *n = e->first; n; n = n->next) {
		const Need *need = &t.need[n->id];
		if (!trimmable(&t, n) || need->dim[0] == 0 || need->dim[1] == 0)
			continue;
		e->cursor = n;
		if (ir_has(n, SLIDES))
			trim_window(n, need);
		else
			trim_pointwise(&t, n, need);
	}
	e->cursor = NULL;
}

bool pass_trim(IrModule *m, PassCx *cx)
{
	IR_EACH_ENTRY(m, e)
		trim_entry(e, cx->scratch);
	return true;
}

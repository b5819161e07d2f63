/* rules.c -- the rewrite loop, and the rules that put operations into their one order (pass canon)
 *
 * not:  rules that drop operations (neutral.c), evaluation of constants (fold.c)
 */
#include "passes/rules.h"

void rules_replace(IrEntry *e, IrNode *n, IrNode *by)
{
	ir_replace(e, n, by);
	if (e->loss == n)
		e->loss = by;
	if (!by->name) {
		by->name = n->name;
		n->name = NULL;
	}
}

static bool rewrite(IrEntry *e, Rule *const *rules, IrNode *n)
{
	for (int i = 0; rules[i]; i++) {
		e->cursor = n;
		IrNode *by = rules[i](e, n);
		e->cursor = NULL;
		if (by) {
			INVARIANT(ir_type_eq(&n->type, &by->type));
			rules_replace(e, n, by);
			return true;
		}
	}
	return false;
}

/* Use counts are those of the start of the sweep, so a rule may see a reader too many or too few: it may use them to
 * judge what pays, never what is right. */
static bool sweep(IrEntry *e, Rule *const *rules)
{
	bool changed = false;
	dce_entry(e);
	ir_count_uses(e);
	for (IrNode *n = e->first, *after; n; n = after) {
		after = n->next;
		changed |= rewrite(e, rules, n);
	}
	return changed;
}

bool rules_run(IrModule *m, Rule *const *rules)
{
	bool changed = false;
	IR_EACH_ENTRY(m, e) {
		while (sweep(e, rules))
			changed = true;
	}
	return changed;
}

/* maxpool(f(x)) = f(maxpool(x)) for monotone f: f runs on the windows' winners only. Exact, NaN included: the first NaN
 * wins the window and f lets it pass. The cell that wins can differ only where f makes equal what was not, and there
 * the gradient of f is zero. */
static IrNode *monotone_after_pool(IrEntry *e, IrNode *n)
{
	if (n->op != OP_maxpool)
		return NULL;
	IrNode *f = n->in[0];
	if (!ir_has(f, EWISE | MONOTONE) || f->nin != 1 || f->nuse > 1)
		return NULL;
	IrNode *pool = ir_node(e, NULL, n->op, n->loc, 1, f->in, &n->attr, NULL);
	IrNode *by = ir_node(e, NULL, f->op, f->loc, 1, &pool, &f->attr, NULL);
	pool->name = n->name;
	by->name = f->name;
	n->name = f->name = NULL;
	return by;
}

/* Each window sends its value to one cell of the picture, so the sum over whole pictures is the sum over windows: the
 * bias gradient of a pooled layer needs no full-size tensor. Only the order of the sum changes. */
static IrNode *sum_of_unpooled(IrEntry *e, IrNode *n)
{
	if (n->op != OP_sum || !ir_has(n->in[0], ONE_PER_WINDOW))
		return NULL;
	const uint32_t spatial = (1u << (n->in[0]->type.rank - 1)) - 2;
	if ((n->attr.reduce.axes & spatial) != spatial)
		return NULL;
	return ir_reduce(e, OP_sum, n->in[0]->in[0], n->attr.reduce.axes, n->attr.reduce.keep);
}

/* A product reads a transposed matrix as it lies. */
static IrNode *transpose_into_matmul(IrEntry *e, IrNode *n)
{
	if (n->op != OP_matmul)
		return NULL;
	IrNode *in[2] = { n->in[0], n->in[1] };
	bool flag[2] = { n->attr.matmul.ta, n->attr.matmul.tb }, found = false;
	for (int i = 0; i < 2; i++) {
		if (in[i]->op == OP_transpose && in[i]->attr.perm.perm[0] == 1) {
			in[i] = in[i]->in[0];
			flag[i] = !flag[i];
			found = true;
		}
	}
	return found ? ir_matmul(e, in[0], in[1], flag[0], flag[1]) : NULL;
}

/* A map without rotation and shear goes column by column, then row by row: the same values, since the definition blends
 * along rows first, and the integers of a column are worked out once a picture. */
static IrNode *warp_by_axis(IrEntry *e, IrNode *n)
{
	if (n->op != OP_warp || n->attr.warp.along || n->in[1]->op != OP_affine_draw)
		return NULL;
	const IrAttr *m = &n->in[1]->attr;
	if (m->affine.rotation != 0 || m->affine.shear != 0)
		return NULL;
	const bool tall = m->affine.zoom_y_lo != 1 || m->affine.zoom_y_hi != 1;
	const bool wide = m->affine.zoom_lo != 1 || m->affine.zoom_hi != 1;
	const bool moved[2] = { tall || m->affine.height_shift != 0 || m->affine.flip_v,
	                        wide || m->affine.width_shift != 0 || m->affine.flip_h };
	IrNode *by = n->in[0];
	for (int axis = 2; axis >= 1; axis--) {
		IrAttr attr = n->attr;
		attr.warp.along = 1u << axis;
		if (moved[axis - 1])
			by = ir_node(e, NULL, OP_warp, n->loc, 2, (IrNode *[]){ by, n->in[1] }, &attr, NULL);
	}
	return by == n->in[0] ? NULL : by;
}

/* A convolution takes what lies outside its picture as zero: zeros put around it before need not be stored. */
static IrNode *pad_into_conv(IrEntry *e, IrNode *n)
{
	const IrNode *pad = n->nin ? n->in[0] : NULL;
	if (!ir_has(n, CONVOLVES | SLIDES) || !ir_has(pad, PADS))
		return NULL;
	const int d = pad->attr.slice.axis, space = ir_window_axes(&n->attr.conv);
	IrAttr attr = n->attr;
	if (d < 1 || d > space)
		return NULL;
	const int i = ir_window_outer(&attr.conv, d - 1);
	int32_t *at = attr.conv.pad;
	const int64_t before = (int64_t)at[ir_pad_before(i)] + pad->attr.slice.start;
	const int64_t all = (int64_t)pad->type.dim[d] - pad->in[0]->type.dim[d];
	const int64_t after = at[ir_pad_after(i)] + all - pad->attr.slice.start;
	if (before > IR_MAX_PAD || after > IR_MAX_PAD)
		return NULL;
	at[ir_pad_before(i)] = (int32_t)before;
	at[ir_pad_after(i)] = (int32_t)after;
	return ir_node(e, NULL, n->op, n->loc, 2, (IrNode *[]){ pad->in[0], n->in[1] }, &attr, NULL);
}

Rule *const rules_canon[] = {
	monotone_after_pool, sum_of_unpooled, transpose_into_matmul, warp_by_axis, pad_into_conv, NULL
};

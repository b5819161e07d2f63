/* fuse_group.c -- which values are stored, and which are computed inside their readers
 *
 * Nodes are taken readers first. Each has been asked for at some places (group, frame); it is computed there if that is one
 * group, or several that can become one, and if the frame says that it would not be computed over and over; cheap nodes
 * are computed everywhere. What remains is stored by a group of its own. A group holds at most one contraction.
 * Updates come last and only read what others stored, so folds over the samples always stand alone and can be split.
 */
#include <string.h>
#include "passes/fuse.h"
#include "passes/lower.h"

enum {
	MAX_NODES = 256, /* of a group: keeps functions small */
	MAX_LOOSE = 32,  /* of those that are computed several times: what they add up to stays polynomial, but grows */
	AXES_LEFT = K_MAX_AXES
};

static const Frame root_frame = { .kind = F_ROOT }, loose_frame = { .kind = F_LOOSE }, far_frame = { .kind = F_FAR },
                   warp_frame = { .kind = F_WARP };

Group *fuse_find(Group *g)
{
	while (g->into)
		g = g->into;
	return g;
}

/* ---- frames ---- */
static bool window_eq(const IrWindow *a, const IrWindow *b)
{
	return a == b || (a && b && memcmp(a, b, sizeof *a) == 0);
}

static const Frame *frame_of(Fuse *f, FrameKind kind, const IrNode *node, const IrWindow *win, const Frame *parent)
{
	for (Frame *x = f->frames; x; x = x->next) {
		if (x->kind == kind && x->node == node && window_eq(x->win, win) && x->parent == parent)
			return x;
	}
	Frame *x = NEW(f->scratch, Frame);
	*x = (Frame){ kind, node, win, parent, f->frames };
	return f->frames = x;
}

static bool single_element(const IrType *t)
{
	return !ir_batched(t) && ir_row_elems(t) == 1;
}

/* The operand has the leading dimensions of the result and no others: computed outside the inner loops. */
static bool leads(const IrType *out, const IrType *in)
{
	bool gone = false;
	for (int d = 0; d < out->rank; d++) {
		const int i = d - (out->rank - in->rank);
		const int32_t dim = i < 0 ? 1 : in->dim[i];
		if (dim == 1 && out->dim[d] != 1)
			gone = true;
		else if (dim != 1 && gone)
			return false;
	}
	return true;
}

static const Frame *stretched_frame(const IrNode *n, const IrNode *in, const Frame *at)
{
	if (at->kind == F_FAR || lower_squeezes(&n->type, &in->type))
		return at;
	return single_element(&in->type) || leads(&n->type, &in->type) ? &loose_frame : &far_frame;
}

static bool meets_once(const IrWindow *w) /* no cell lies in two windows, none outside */
{
	bool once = true;
	for (int i = 0; i < ir_window_axes(w); i++)
		once = once && w->stride[i] >= w->size[i] && w->dilation[i] == 1 && w->pad[ir_pad_before(i)] == 0 &&
		       w->pad[ir_pad_after(i)] <= 0;
	return once;
}

/* Frame of operand i where n is computed in frame `at`; *load: it must be in memory. */
static const Frame *operand_frame(Fuse *f, const IrNode *n, int i, const Frame *at, bool *load)
{
	*load = false;
	if (ir_has(n, EWISE) || ir_has(n, STRETCHES))
		return stretched_frame(n, n->in[i], at);
	if (ir_has(n, VIEW) && lower_squeezes(&n->type, &n->in[0]->type))
		return at;
	if (ir_has(n, CROPS) || ir_has(n, ROWWISE))
		return at->kind == F_FAR ? at : &loose_frame;
	if (ir_has(n, PERMUTES))
		return at->kind == F_FAR || at->kind == F_LOOSE ? at : frame_of(f, F_MOVED, n, NULL, at);
	if (ir_has(n, REDUCES))
		return frame_of(f, F_REDUCE, n, NULL, at);
	if (ir_has(n, WINDOW) && !ir_has(n, UNSLIDES) && meets_once(&n->attr.pool))
		return frame_of(f, F_POOL, NULL, &n->attr.pool, at);
	if (ir_has(n, RESAMPLES) && i == 1)
		return &warp_frame;
	*load = !ir_has(n, RANDOM);
	return &far_frame;
}

/* ---- groups ---- */
static Group *new_group(Fuse *f, GroupClass cls, const IrType *shape)
{
	Group *g = NEW(f->scratch, Group);
	g->cls = cls;
	g->shape = *shape;
	g->axes = shape->rank;
	if (f->last_group)
		f->last_group->next = g;
	else
		f->group = g;
	return f->last_group = g;
}

static GroupRoot *new_root(Fuse *f, Group *g, IrNode *value, int32_t buf, const IrType *type)
{
	GroupRoot *r = NEW(f->scratch, GroupRoot);
	*r = (GroupRoot){ .value = value, .stored = value, .buf = buf, .axis = -1, .type = *type };
	GroupRoot **end = &g->root;
	while (*end)
		end = &(*end)->next;
	return *end = r;
}

static void ask(Fuse *f, IrNode *n, Group *g, const Frame *frame)
{
	NodeInfo *info = fuse_info(f, n);
	g = fuse_find(g);
	for (Place *p = info->reader; p; p = p->next) {
		if (fuse_find(p->group) == g && p->frame == frame)
			return;
	}
	Place *p = NEW(f->scratch, Place);
	*p = (Place){ g, frame, info->reader };
	info->reader = p;
}

/* Tells the operands of n where they are needed. */
static void ask_operands(Fuse *f, const IrNode *n, const Place *places)
{
	for (const Place *p = places; p; p = p->next) {
		for (int i = 0; i < n->nin; i++) {
			bool load;
			const Frame *frame = operand_frame(f, n, i, p->frame, &load);
			ask(f, n->in[i], p->group, frame);
			fuse_info(f, n->in[i])->need_load |= load;
		}
	}
}

static bool same_shape(const IrType *a, const IrType *b)
{
	return a->rank == b->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof a->dim[0]) == 0;
}

const Place *fuse_readers(const Fuse *f, const Group *g, const GroupRoot *r)
{
	const NodeInfo *info = fuse_info(f, r->stored);
	const bool here = r->axis >= 0 || (info->own && fuse_find(info->own) == g && info->buf == r->buf);
	return g->cls == G_VALUE && here ? info->reader : NULL;
}

/* Whether a group that reads what `from` stores, directly or not, is `to`. */
static bool reaches(Fuse *f, Group *from, const Group *to)
{
	from->stamp = f->stamp;
	for (const GroupRoot *r = from->root; r; r = r->next) {
		for (const Place *p = fuse_readers(f, from, r); p; p = p->next) {
			Group *g = fuse_find(p->group);
			if (g == from || g->stamp == f->stamp)
				continue;
			if (g == to || reaches(f, g, to))
				return true;
		}
	}
	return false;
}

static bool depends(Fuse *f, Group *from, const Group *to)
{
	f->stamp++;
	return reaches(f, from, to);
}

static bool splits_agree(const Split *a, const Split *b)
{
	for (int d = 0; d < IR_MAX_RANK; d++) {
		if (a[d].by && b[d].by && (a[d].by != b[d].by || a[d].blocks != b[d].blocks || a[d].count != b[d].count))
			return false;
	}
	return true;
}

static bool can_merge(Fuse *f, Group *a, Group *b)
{
	return a->cls == b->cls && same_shape(&a->shape, &b->shape) && !(a->contraction && b->contraction) &&
	       !(a->contraction && b->reduces) && !(a->reduces && b->contraction) && splits_agree(a->split, b->split) &&
	       a->nodes + b->nodes <= MAX_NODES && a->axes + b->axes - a->shape.rank <= AXES_LEFT && !depends(f, a, b) &&
	       !depends(f, b, a);
}

static Group *merge(Group *a, Group *b)
{
	GroupRoot **end = &a->root;
	while (*end)
		end = &(*end)->next;
	*end = b->root;
	a->axes += b->axes - a->shape.rank;
	a->nodes += b->nodes;
	a->loose += b->loose;
	a->contraction |= b->contraction;
	a->reduces |= b->reduces;
	a->main = a->main ? a->main : b->main;
	for (int d = 0; d < IR_MAX_RANK; d++) {
		if (b->split[d].by)
			a->split[d] = b->split[d];
	}
	b->into = a;
	return a;
}

/* ---- what may join ---- */
static bool folds_samples(const IrNode *n)
{
	if (ir_has(n, REDUCES))
		return ir_batched(&n->in[0]->type) && n->attr.reduce.axes & 1;
	return ir_has(n, CONTRACTS) && ir_batched(&n->in[0]->type) && !ir_batched(&n->type);
}

/* Windows of a gradient along axis i: phases of the stride, or blocks where they lie edge to edge. */
static Split window_split(const IrNode *n, const IrWindow *w, int i)
{
	const int d = ir_window_dim(w, i);
	const int32_t stride = w->stride[i], windows = n->in[0]->type.dim[d], extent = n->type.dim[d];
	if (stride == 1)
		return (Split){ 0 };
	const int64_t rest = extent - (int64_t)windows * stride;
	if (w->size[i] == stride && w->dilation[i] == 1 && w->pad[ir_pad_before(i)] == 0 && rest >= 0 && rest < stride)
		return (Split){ stride, windows, true };
	return (Split){ stride, 0, false };
}

/* How n needs the dimensions of its result split. */
static bool splits_of(const IrNode *n, Split *s)
{
	bool any = false;
	if (ir_has(n, UNSLIDES)) {
		const IrWindow *w = ir_has(n, CONVOLVES) ? &n->attr.conv : &n->attr.pool;
		for (int i = 0; i < ir_window_axes(w); i++) {
			const int d = ir_window_dim(w, i);
			s[d] = window_split(n, w, i);
			any |= s[d].by != 0;
		}
	}
	if (ir_has(n, CONVOLVES) && n->attr.conv.groups > 1) {
		const int last = n->type.rank - 1;
		const int32_t channels = n->type.dim[last], by = channels / n->attr.conv.groups;
		if (by > 1)
			s[last] = (Split){ by, n->attr.conv.groups, true };
		any |= by > 1;
	}
	return any;
}

/* Reduction axes that computing n adds. */
static int axes_of(const IrNode *n)
{
	if (ir_has(n, REDUCES))
		return __builtin_popcount(n->attr.reduce.axes);
	if (ir_has(n, ROWWISE))
		return 1;
	if (ir_has(n, CONTRACTS))
		return ir_has(n, CONVOLVES) ? n->type.rank - 1 : 1;
	return ir_has(n, WINDOW) || ir_has(n, UNSLIDES) ? ir_window_axes(&n->attr.pool) : 0;
}

static bool class_allows(const IrNode *n, GroupClass cls)
{
	return cls == G_VALUE || ir_has(n, EWISE) || (cls == G_METRIC && (ir_has(n, REDUCES) || ir_has(n, ROWWISE)));
}

static bool heavy_joins(const IrNode *n, const Group *g, const Frame *at)
{
	const bool root = at->kind == F_ROOT;
	if (ir_has(n, CONTRACTS))
		return !g->contraction && !g->reduces && (root || (at->kind == F_POOL && at->parent->kind == F_ROOT));
	if (ir_has(n, ROWWISE))
		return !g->contraction && (root || at->kind == F_REDUCE);
	if (ir_has(n, REDUCES))
		return root && !g->contraction && !g->reduces;
	if (ir_has(n, RANDOM))
		return at->kind == F_WARP;
	if (ir_has(n, PERMUTES) || ir_has(n, PADS))
		return at->kind != F_LOOSE;
	return root && !g->contraction && !g->reduces; /* windows, their gradients, warp */
}

static bool joins(const IrNode *n, const Group *g, const Frame *at)
{
	Split split[IR_MAX_RANK] = { { 0 } };
	if (at->kind == F_FAR || (at->kind == F_LOOSE && g->loose >= MAX_LOOSE) || g->nodes >= MAX_NODES ||
	    !class_allows(n, g->cls))
		return false;
	if (ir_has(n, EWISE))
		return true;
	if (g->axes + axes_of(n) + 3 > AXES_LEFT)
		return false;
	if (at->kind == F_ROOT && g->nodes == 0 && g->cls == G_VALUE)
		return true;
	if (folds_samples(n) || !heavy_joins(n, g, at))
		return false;
	if (!splits_of(n, split))
		return true;
	const int last = n->type.rank - 1;
	bool channels_only = n->type.rank == g->shape.rank && n->type.dim[last] == g->shape.dim[last];
	for (int d = 0; d < last; d++)
		channels_only = channels_only && !split[d].by;
	const bool in_place = at->kind == F_ROOT && same_shape(&n->type, &g->shape);
	return (in_place || channels_only) && splits_agree(split, g->split);
}

static void join(const IrNode *n, Group *g, const Frame *at)
{
	Split split[IR_MAX_RANK] = { { 0 } };
	splits_of(n, split);
	for (int d = 0; d < IR_MAX_RANK; d++) {
		if (split[d].by)
			g->split[d] = split[d];
		g->axes += split[d].blocks;
	}
	g->axes += axes_of(n);
	g->nodes++;
	g->loose += at->kind == F_LOOSE;
	g->contraction |= ir_has(n, CONTRACTS);
	g->reduces |= ir_has(n, REDUCES) || ir_has(n, ROWWISE) || (ir_has(n, UNSLIDES) && !ir_has(n, CONTRACTS));
	if (!g->main || (!ir_has(n, EWISE) && ir_has(g->main, EWISE)) || ir_has(n, CONTRACTS))
		g->main = (IrNode *)n;
}

/* ---- what is cheaper to compute again ---- */
/* Does n, a small value, hang on x? Looks back over a few nodes. */
static bool hangs_on(const IrNode *n, const IrNode *x, int *looks)
{
	if (n == x)
		return true;
	for (int i = 0; i < n->nin && !ir_has(n, CONTRACTS); i++) {
		if (--*looks > 0 && hangs_on(n->in[i], x, looks))
			return true;
	}
	return false;
}

/* One operand as large as the result, the others few numbers, among them some that need all of the large one: that one is in
 * memory by then, and n costs its readers no more to load than it would itself (a value and its batch's mean). */
static bool computed_again(const IrNode *n)
{
	enum { LOOKS = 64 };
	const IrNode *large = NULL;
	bool waits = false;
	if (!ir_has(n, EWISE) || !ir_batched(&n->type))
		return false;
	for (int i = 0; i < n->nin; i++) {
		if (!ir_batched(&n->in[i]->type))
			continue;
		if (large || !same_shape(&n->in[i]->type, &n->type))
			return false;
		large = n->in[i];
	}
	for (int i = 0; large && i < n->nin; i++) {
		int looks = LOOKS;
		waits |= n->in[i] != large && hangs_on(n->in[i], large, &looks);
	}
	return waits;
}

/* ---- deciding ---- */
static void place(Fuse *f, const IrNode *n, Group *g, const Frame *frame)
{
	ask_operands(f, n, &(Place){ g, frame, NULL });
}

/* The one place where all readers could share n; groups are not merged yet. */
static bool common_frame(const NodeInfo *info, const Frame **frame)
{
	*frame = info->reader->frame;
	for (const Place *p = info->reader->next; p; p = p->next) {
		if (p->frame == *frame)
			continue;
		if (fuse_find(p->group) != fuse_find(info->reader->group) || p->frame->kind == F_FAR || (*frame)->kind == F_FAR)
			return false;
		*frame = &loose_frame;
	}
	return true;
}

static bool inline_into_readers(Fuse *f, const IrNode *n)
{
	const NodeInfo *info = fuse_info(f, n);
	const Frame *frame;
	if (!info->reader || !common_frame(info, &frame))
		return false;
	Group *g = fuse_find(info->reader->group);
	for (const Place *p = info->reader; p; p = p->next) {
		Group *other = fuse_find(p->group);
		if (!joins(n, other, frame) || (other != g && (frame->kind == F_LOOSE || !can_merge(f, g, other))))
			return false;
		if (other != g)
			g = merge(g, other);
	}
	if (!joins(n, g, frame))
		return false;
	join(n, g, frame);
	place(f, n, g, frame);
	return true;
}

/* A group that stores n as an output already, or NULL. */
static Group *storing(const Fuse *f, const IrNode *n, int32_t *buf)
{
	for (const Place *p = fuse_info(f, n)->reader; p; p = p->next) {
		Group *g = fuse_find(p->group);
		for (const GroupRoot *r = g->root; r && g->cls == G_VALUE; r = r->next) {
			if (r->value == n && r->axis < 0) {
				*buf = r->buf;
				return g;
			}
		}
	}
	return NULL;
}

/* n is asked for in g once an element, at the root points, and nobody else who reads n runs before g. */
static bool may_store(Fuse *f, const IrNode *n, Group *g)
{
	if (g->cls != G_VALUE || !same_shape(&g->shape, &n->type) || g->nodes == 0 || !joins(n, g, &root_frame))
		return false;
	for (const Place *p = fuse_info(f, n)->reader; p; p = p->next) {
		Group *other = fuse_find(p->group);
		if (other == g ? p->frame->kind != F_ROOT : depends(f, other, g))
			return false;
	}
	return true;
}

/* A reader that can compute and store n on its way: one pass over memory less. */
static Group *storing_reader(Fuse *f, const IrNode *n)
{
	for (const Place *p = fuse_info(f, n)->reader; p; p = p->next) {
		Group *g = fuse_find(p->group);
		if (p->frame->kind == F_ROOT && may_store(f, n, g))
			return g;
	}
	return NULL;
}

/* The group that stores n: a reader if one can, else one of its own. */
static Group *group_to_store(Fuse *f, IrNode *n, int32_t *buf)
{
	Group *given = storing(f, n, buf), *reader = storing_reader(f, n);
	if (given && (reader == given || (!reader && given->nodes == 0)))
		return given;
	if (given && given->nodes == 0)
		return can_merge(f, reader, given) ? merge(reader, given) : given;
	Group *g = reader ? reader : new_group(f, G_VALUE, &n->type);
	*buf = fuse_slab(f, n);
	new_root(f, g, n, *buf, &n->type);
	return g;
}

static void store(Fuse *f, IrNode *n)
{
	NodeInfo *info = fuse_info(f, n);
	int32_t buf = -1;
	Group *g = group_to_store(f, n, &buf);
	info->own = g;
	info->buf = buf;
	join(n, g, &root_frame);
	place(f, n, g, &root_frame);
}

/* Every operand is a group that stores into its range of the one buffer. */
static void store_concat(Fuse *f, IrNode *n)
{
	NodeInfo *info = fuse_info(f, n);
	const int axis = n->attr.axis.axis;
	int32_t offset = 0;
	info->buf = fuse_slab(f, n);
	for (int i = 0; i < n->nin; i++) {
		Group *g = new_group(f, G_VALUE, &n->in[i]->type);
		GroupRoot *r = new_root(f, g, n->in[i], info->buf, &n->type);
		r->stored = n;
		r->axis = axis;
		r->offset = offset;
		offset += n->in[i]->type.dim[axis];
		ask(f, n->in[i], g, &root_frame);
	}
}

static void decide(Fuse *f, IrNode *n)
{
	NodeInfo *info = fuse_info(f, n);
	if ((ir_has(n, SOURCE) && !ir_has(n, CHEAP)) || !info->reader)
		return;
	if (ir_has(n, VIEW)) {
		const bool squeezes = lower_squeezes(&n->type, &n->in[0]->type);
		ask_operands(f, n, info->reader);
		fuse_info(f, n->in[0])->need_load |= info->need_load || !squeezes;
	} else if (ir_has(n, JOINS)) {
		store_concat(f, n);
	} else if (!info->need_load && (ir_has(n, CHEAP) || info->scalar || computed_again(n))) {
		ask_operands(f, n, info->reader);
	} else if (info->need_load || !inline_into_readers(f, n)) {
		store(f, n);
	}
}

/* ---- the entry's roots ---- */
static int32_t metric_offset(Fuse *f, const char *name, int32_t count)
{
	KProgram *p = f->program;
	for (int i = 0; i < p->nbuffers; i++) {
		const KBuffer *b = &p->buffer[i];
		if (b->cls == B_METRIC && strcmp(b->name, name) == 0 && ir_row_elems(&b->type) == count)
			return (int32_t)b->offset;
	}
	p->metric_doubles += count;
	return p->metric_doubles - count;
}

static void metric_root(Fuse *f, const IrRoot *root)
{
	const IrType *t = &root->value->type;
	IrType sums = { .dtype = DT_F64, .rank = t->rank - 1 };
	memcpy(sums.dim, t->dim + 1, sizeof sums.dim - sizeof sums.dim[0]);
	const int32_t offset = metric_offset(f, root->name, (int32_t)ir_row_elems(&sums));
	const int32_t buf = fuse_buffer(f, (KBuffer){ .name = root->name, .cls = B_METRIC, .type = sums, .offset = offset,
	                                              .loc = root->value->loc });
	Group *g = new_group(f, G_METRIC, t);
	new_root(f, g, root->value, buf, &sums);
	ask(f, root->value, g, &root_frame);
}

/* Reshapes at the root change how the store sees the buffer, not the kernel. */
static IrNode *peeled(IrNode *n)
{
	while (ir_has(n, VIEW))
		n = n->in[0];
	return n;
}

static int32_t state_buffer(const Fuse *f, const IrState *s)
{
	for (int i = 0; i < f->program->nbuffers; i++) {
		if (f->program->buffer[i].state == s)
			return i;
	}
	ICE("state %s is not in the module", s->name);
}

static void value_root(Fuse *f, const IrRoot *root, int index)
{
	IrNode *value = peeled(root->value);
	const bool update = root->kind == ROOT_UPDATE;
	const int32_t buf = update ? state_buffer(f, root->state)
	                           : fuse_buffer(f, (KBuffer){ .name = root->name, .cls = B_OUT, .type = root->value->type,
	                                                       .index = index, .loc = root->value->loc });
	Group *g = new_group(f, update ? G_UPDATE : G_VALUE, &value->type);
	new_root(f, g, value, buf, &value->type);
	ask(f, value, g, &root_frame);
}

static void find_scalars(Fuse *f)
{
	IR_EACH(f->entry, n) {
		bool scalar = single_element(&n->type) && (ir_has(n, EWISE) || ir_has(n, SOURCE | CHEAP) ||
		                                           ir_has(n, VIEW) || ir_has(n, STRETCHES));
		for (int i = 0; i < n->nin; i++)
			scalar = scalar && fuse_info(f, n->in[i])->scalar;
		fuse_info(f, n)->scalar = scalar;
	}
}

void fuse_groups(Fuse *f)
{
	int outputs = 0;
	find_scalars(f);
	for (int i = 0; i < f->entry->nroot; i++) {
		const IrRoot *root = &f->entry->root[i];
		if (root->kind == ROOT_METRIC)
			metric_root(f, root);
		else
			value_root(f, root, root->kind == ROOT_OUTPUT ? outputs++ : 0);
	}
	for (IrNode *n = f->entry->last; n; n = n->prev)
		decide(f, n);
}

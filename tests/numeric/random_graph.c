/* random_graph.c -- grows a graph by choosing an operation and a value that it fits, again and again
 *
 * Values stay within about ±10 (large ones pass through tanh), so that comparisons in floats make sense; no step
 * depends on more than the values made so far. Every shape rule is kept by construction.
 */
#include "tests/numeric/random_graph.h"

enum { POOL = 128 };

typedef struct Grow {
	IrModule *m;
	IrEntry *e;
	uint64_t rng;
	IrNode *value[POOL]; /* f32, all [N, …], or of rank 2 or 4 */
	int nvalues, nparams;
	IrNode *ids;
} Grow;

uint64_t random_bits(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15u;
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

static int below(Grow *g, int n)
{
	return (int)(random_bits(&g->rng) >> 33) % n;
}

static const Loc nowhere = { 0 };

static IrNode *make(Grow *g, OpCode op, IrNode *a, IrNode *b, IrAttr attr)
{
	return ir_node(g->e, NULL, op, nowhere, b ? 2 : 1, (IrNode *[]){ a, b }, &attr, NULL);
}

static IrNode *konst(Grow *g, double v)
{
	return ir_konst(g->e, nowhere, DT_F32, v);
}

/* Mostly a recent value, so that graphs grow deep as well as wide. */
static IrNode *pick(Grow *g)
{
	int back = below(g, 3) ? below(g, g->nvalues < 3 ? g->nvalues : 3) : below(g, g->nvalues);
	return g->value[g->nvalues - 1 - back];
}

static IrNode *parameter(Grow *g, int rank, const int32_t *dim)
{
	Arena *a = g->m->arena;
	const char *name = arena_printf(a, "p%d", g->nparams++);
	IrState *s = ir_state_find(g->m, name); /* the other entry may have made it */
	if (!s) {
		s = ir_state_new(g->m, name, ir_type(DT_F32, rank, dim), STATE_PARAM, nowhere);
		s->init = INIT_GLOROT_UNIFORM;
		s->init_stream = g->m->next_stream++;
		s->trainable = g->nparams % 5 != 4;
		s->decay = g->nparams % 2;
	}
	return ir_state_read(g->e, nowhere, s);
}

/* ---- operations; each gives a value, or NULL where x does not fit ---- */
static IrNode *grow_unary(Grow *g, IrNode *x)
{
	static const OpCode ops[] = { OP_relu, OP_tanh, OP_sigmoid, OP_neg, OP_abs, OP_sin, OP_cos, OP_erf,
		OP_floor, OP_sign };
	return ir_unary(g->e, ops[below(g, COUNT(ops))], x);
}

static IrNode *grow_positive(Grow *g, IrNode *x) /* functions with a restricted domain */
{
	static const OpCode ops[] = { OP_sqrt, OP_rsqrt, OP_log, OP_log1p };
	IrNode *positive = ir_binary(g->e, OP_add, ir_binary(g->e, OP_mul, x, x), konst(g, 0.5));
	return ir_unary(g->e, ops[below(g, COUNT(ops))], positive);
}

static IrNode *grow_exp(Grow *g, IrNode *x)
{
	return ir_unary(g->e, OP_exp, ir_unary(g->e, OP_neg, ir_unary(g->e, OP_abs, x)));
}

static IrNode *same_type(Grow *g, const IrNode *x)
{
	int start = below(g, g->nvalues);
	for (int i = 0; i < g->nvalues; i++) {
		IrNode *v = g->value[(start + i) % g->nvalues];
		if (ir_type_eq(&v->type, &x->type))
			return v;
	}
	ICE("x itself fits");
}

static IrNode *grow_binary(Grow *g, IrNode *x)
{
	static const OpCode ops[] = { OP_add, OP_sub, OP_mul, OP_max, OP_min, OP_add, OP_mul };
	OpCode op = ops[below(g, COUNT(ops))];
	IrNode *y = same_type(g, x);
	if (below(g, 3) == 0) /* stretched in the last axes */
		y = ir_reduce(g->e, OP_reduce_max, y, 1u << (y->type.rank - 1), true);
	return below(g, 2) ? ir_binary(g->e, op, x, y) : ir_binary(g->e, op, y, x);
}

static IrNode *grow_constant(Grow *g, IrNode *x) /* neutral ones too: what fold is for */
{
	static const double values[] = { 0, 1, -1, 2, 0.5 };
	static const OpCode ops[] = { OP_add, OP_sub, OP_mul, OP_div };
	OpCode op = ops[below(g, COUNT(ops))];
	IrNode *c = konst(g, values[below(g, COUNT(values))]);
	if (below(g, 2))
		c = ir_binary(g->e, OP_add, c, konst(g, 0));
	if (below(g, 2))
		c = ir_broadcast(g->e, c, x->type);
	if (op == OP_div)
		return ir_binary(g->e, op, x, ir_binary(g->e, OP_max, c, konst(g, 0.5)));
	return below(g, 2) ? ir_binary(g->e, op, x, c) : ir_binary(g->e, op == OP_sub ? OP_add : op, c, x);
}

static IrNode *grow_select(Grow *g, IrNode *x)
{
	IrNode *y = same_type(g, x);
	IrNode *c = ir_binary(g->e, below(g, 2) ? OP_lt : OP_le, y, below(g, 2) ? x : konst(g, 0));
	if (below(g, 3) == 0)
		c = ir_binary(g->e, OP_and, c, ir_binary(g->e, OP_lt, x, konst(g, 1)));
	return ir_select(g->e, c, x, y);
}

static IrNode *grow_dropout(Grow *g, IrNode *x)
{
	IrAttr attr = { .random = { (uint32_t)g->nvalues + 100, below(g, 2) } };
	IrNode *u = ir_node(g->e, NULL, OP_random, nowhere, attr.random.by_id, &g->ids, &attr, &x->type);
	IrNode *kept = ir_binary(g->e, OP_mul, x, konst(g, 4.0 / 3));
	return ir_select(g->e, ir_binary(g->e, OP_lt, u, konst(g, 0.25)), konst(g, 0), kept);
}

static IrNode *grow_integers(Grow *g, IrNode *x)
{
	IrNode *i = ir_cast(g->e, ir_binary(g->e, OP_mul, x, konst(g, 8)), DT_I32);
	i = ir_binary(g->e, OP_mul, i, ir_konst(g->e, nowhere, DT_I32, 3));
	return ir_binary(g->e, OP_mul, ir_cast(g->e, i, DT_F32), konst(g, 1.0 / 64));
}

static IrNode *grow_softmax(Grow *g, IrNode *x)
{
	return ir_unary(g->e, below(g, 2) ? OP_softmax : OP_log_softmax, x);
}

static IrNode *grow_normalise(Grow *g, IrNode *x) /* batch normalization, as the frontend spells it */
{
	uint32_t axes = (1u << (x->type.rank - 1)) - 1;
	double rows = (double)ir_row_elems(&x->type) / x->type.dim[x->type.rank - 1];
	IrNode *inv = ir_binary(g->e, OP_mul, ir_scalar(g->e, nowhere, SC_INV_N, 0), konst(g, 1.0 / rows));
	IrNode *mean = ir_binary(g->e, OP_mul, ir_reduce(g->e, OP_sum, x, axes, true), inv);
	IrNode *centred = ir_binary(g->e, OP_sub, x, mean);
	IrNode *square = ir_reduce(g->e, OP_sum, ir_binary(g->e, OP_mul, centred, centred), axes, true);
	IrNode *var = ir_binary(g->e, OP_add, ir_binary(g->e, OP_mul, square, inv), konst(g, 0.01));
	return ir_binary(g->e, OP_mul, centred, ir_unary(g->e, OP_rsqrt, var));
}

static IrNode *grow_reduce(Grow *g, IrNode *x)
{
	int axis = 1 + below(g, x->type.rank - 1);
	IrNode *s = ir_reduce(g->e, below(g, 2) ? OP_sum : OP_reduce_max, x, 1u << axis, true);
	s = ir_binary(g->e, OP_mul, s, konst(g, 1.0 / x->type.dim[axis]));
	return ir_broadcast(g->e, s, x->type);
}

static IrNode *grow_argmax(Grow *g, IrNode *x)
{
	int last = x->type.rank - 1;
	IrType t = x->type;
	t.dtype = DT_I32;
	IrAttr attr = { .axis = { last } };
	IrNode *iota = ir_node(g->e, NULL, OP_iota, nowhere, 0, NULL, &attr, &t);
	IrNode *hit = ir_binary(g->e, OP_eq, iota, ir_reduce(g->e, OP_argmax, x, 1u << last, true));
	return ir_binary(g->e, OP_mul, ir_cast(g->e, hit, DT_F32), x);
}

static IrNode *grow_shape(Grow *g, IrNode *x)
{
	int axis = 1 + below(g, x->type.rank - 1), extent = x->type.dim[axis];
	IrAttr cut = { .slice = { axis, 0, extent } }, join = { .axis = { axis } };
	switch (below(g, 4)) {
	case 0:
		cut.slice.extent = (extent + 1) / 2;
		cut.slice.start = extent - cut.slice.extent;
		return make(g, OP_slice, x, NULL, cut);
	case 1:
		cut.slice.start = 1;
		cut.slice.extent = extent + 1 + below(g, 2);
		return extent < 8 ? make(g, OP_pad, x, NULL, cut) : NULL;
	case 2:
		return extent < 6 ? make(g, OP_concat, x, same_type(g, x), join) : NULL;
	default: {
		IrAttr perm = { .perm = { { 0, 2, 1, 3 } } };
		return x->type.rank == 4 ? make(g, OP_transpose, x, NULL, perm) : NULL;
	}
	}
}

static IrNode *flat(Grow *g, IrNode *x)
{
	IrType t = ir_type(DT_F32, 2, (int32_t[]){ IR_N, (int32_t)ir_row_elems(&x->type) });
	return t.dim[1] <= 128 ? ir_reshape(g->e, x, t) : NULL;
}

static IrNode *grow_dense(Grow *g, IrNode *x)
{
	x = flat(g, x);
	if (!x)
		return NULL;
	bool tb = below(g, 2);
	int32_t units = 1 + below(g, 6), in = x->type.dim[1];
	IrNode *w = parameter(g, 2, tb ? (int32_t[]){ units, in } : (int32_t[]){ in, units });
	if (tb && below(g, 2)) {
		w = ir_transpose(g->e, w, (int32_t[]){ 1, 0 });
		tb = false;
	}
	IrNode *y = ir_binary(g->e, OP_mul, ir_matmul(g->e, x, w, false, tb), konst(g, 1.0 / in));
	return ir_binary(g->e, OP_add, y, parameter(g, 1, &units));
}

static IrWindow window(Grow *g, const IrType *t, int largest)
{
	IrWindow w = { .dilation = { 1, 1 }, .groups = 1 };
	for (int i = 0; i < 2; i++) {
		int extent = t->dim[1 + i], most = extent < largest ? extent : largest;
		w.size[i] = 1 + below(g, most);
		w.stride[i] = 1 + below(g, 3);
		w.pad[i] = below(g, w.size[i]);
		w.pad[i + 2] = below(g, w.size[i]);
	}
	return w;
}

static IrNode *grow_conv(Grow *g, IrNode *x)
{
	if (x->type.rank != 4)
		return NULL;
	IrAttr attr = { .conv = window(g, &x->type, 3) };
	int32_t channels = x->type.dim[3], filters = 1 + below(g, 4);
	if (below(g, 4) == 0) { /* depthwise */
		attr.conv.groups = channels;
		filters = channels;
	}
	for (int i = 0; i < 2; i++) {
		if (2 * attr.conv.size[i] - 1 <= x->type.dim[1 + i] && below(g, 3) == 0)
			attr.conv.dilation[i] = 2;
	}
	IrNode *w = parameter(g, 4, (int32_t[]){ attr.conv.size[0], attr.conv.size[1], channels / attr.conv.groups,
		filters });
	IrNode *y = make(g, OP_conv2d, x, w, attr);
	return below(g, 4) ? ir_binary(g->e, OP_add, y, parameter(g, 1, &filters)) : y;
}

static IrNode *grow_pool(Grow *g, IrNode *x)
{
	if (x->type.rank != 4)
		return NULL;
	IrAttr attr = { .pool = window(g, &x->type, 3) };
	for (int i = 0; i < 2; i++) /* windows wholly outside are refused */
		attr.pool.pad[i + 2] = attr.pool.pad[i + 2] < attr.pool.stride[i] ? attr.pool.pad[i + 2] : 0;
	return make(g, below(g, 3) ? OP_maxpool : OP_avgpool, below(g, 2) ? ir_unary(g->e, OP_relu, x) : x, NULL, attr);
}

/* The same computation once more: what cse is for. */
static IrNode *grow_again(Grow *g, IrNode *x)
{
	if (x->op == OP_input || x->op == OP_state)
		return NULL;
	return ir_node(g->e, NULL, x->op, nowhere, x->nin, x->in, &x->attr, &x->type);
}

typedef IrNode *GrowFn(Grow *g, IrNode *x);
static GrowFn *const growers[] = {
	grow_unary, grow_unary, grow_positive, grow_exp, grow_binary, grow_binary, grow_constant, grow_constant,
	grow_select, grow_dropout, grow_integers, grow_softmax, grow_normalise, grow_reduce, grow_argmax,
	grow_shape, grow_shape, grow_dense, grow_dense, grow_conv, grow_conv, grow_conv, grow_conv, grow_pool,
	grow_pool, grow_pool, grow_again
};

/* ---- entries ---- */
static void keep(Grow *g, IrNode *v)
{
	bool tame = v->op == OP_relu || v->op == OP_maxpool || v->op == OP_reshape || v->op == OP_state || below(g, 2);
	g->value[g->nvalues++] = tame ? v : ir_unary(g->e, OP_tanh, v);
}

static void grow(Grow *g, int size)
{
	for (int made = 0, tries = 0; made < size && tries < 20 * size && g->nvalues < POOL; tries++) {
		IrNode *v = growers[below(g, COUNT(growers))](g, pick(g));
		if (!v || ir_row_elems(&v->type) > 512)
			continue;
		keep(g, v);
		made++;
	}
}

static Grow start(IrModule *m, const char *name, uint64_t seed)
{
	Grow g = { .m = m, .e = ir_entry_new(m, name), .rng = seed * 1000003 + 17 };
	int32_t side = 2 + below(&g, 6), channels = 1 + below(&g, 3);
	IrType picture = ir_type(DT_U8, 4, (int32_t[]){ IR_N, side, side + below(&g, 3), channels });
	IrType id = ir_type(DT_U32, 1, (int32_t[]){ IR_N });
	IrNode *x = ir_input(g.e, nowhere, ir_port_new(g.e, "x", picture));
	g.ids = ir_input(g.e, nowhere, ir_port_new(g.e, "id", id));
	g.value[g.nvalues++] = ir_binary(g.e, OP_mul, ir_cast(g.e, x, DT_F32), konst(&g, 1.0 / 255));
	return g;
}

/* Up to three values that nothing reads yet. */
static int loose_ends(Grow *g, IrNode **end)
{
	int count = 0;
	ir_count_uses(g->e);
	for (int i = g->nvalues - 1; i >= 0 && count < 3; i--) {
		if (!g->value[i]->nuse)
			end[count++] = g->value[i];
	}
	return count;
}

/* mean over the samples of a tame sum of all ends */
static void finish_training(Grow *g, IrNode *const *end, int ends)
{
	IrNode *each = NULL;
	for (int i = 0; i < ends; i++) {
		uint32_t features = ((1u << end[i]->type.rank) - 1) & ~1u;
		IrNode *bounded = ir_unary(g->e, OP_tanh, end[i]);
		IrNode *sum = ir_reduce(g->e, OP_sum, ir_binary(g->e, OP_mul, bounded, bounded), features, false);
		each = each ? ir_binary(g->e, OP_add, each, sum) : sum;
	}
	ir_root_new(g->e, (IrRoot){ .kind = ROOT_METRIC, .name = "loss", .value = each, .metric = METRIC_MEAN });
	IrNode *total = ir_reduce(g->e, OP_sum, each, 1, false);
	g->e->loss = ir_binary(g->e, OP_mul, total, ir_scalar(g->e, nowhere, SC_INV_N, 0));
}

static IrOptimizer optimizer(uint64_t seed)
{
	IrOptimizer o = { .momentum = seed % 2 ? 0.9 : 0, .beta_1 = 0.9, .beta_2 = 0.99, .epsilon = 1e-3,
		.nesterov = seed % 4 == 1, .amsgrad = seed % 3 == 0, .weight_decay = seed % 3 == 1 ? 0.01 : 0 };
	o.kind = seed % 3 == 0 ? OPTIM_SGD : seed % 3 == 1 ? OPTIM_ADAM : OPTIM_ADAMW;
	return o;
}

IrModule *random_graph(uint64_t seed, int size)
{
	static const char *const entries[] = { "predict", "train_step" }, *const output[] = { "y0", "y1", "y2" };
	IrModule *m = ir_module_new("random");
	m->max_n = 8;
	m->optimizer = optimizer(seed);
	for (int i = 0; i < 2; i++) {
		Grow g = start(m, entries[i], seed);
		grow(&g, size);
		IrNode *end[3];
		int ends = loose_ends(&g, end);
		for (int k = 0; k < ends; k++)
			ir_root_new(g.e, (IrRoot){ .kind = ROOT_OUTPUT, .name = output[k], .value = end[k] });
		if (i == 1)
			finish_training(&g, end, ends);
	}
	return m;
}

/* ---- values ---- */
static uint64_t hash_name(const char *name)
{
	uint64_t h = 14695981039346656037u;
	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 1099511628211u;
	return h;
}

static double *fill(Arena *a, const IrType *t, int64_t n, bool positive, uint64_t rng)
{
	int64_t elems = ir_elems(t, n);
	double *v = NEWN(a, double, elems);
	for (int64_t i = 0; i < elems; i++) {
		uint64_t bits = random_bits(&rng);
		double unit = (double)(bits >> 40) * 0x1p-24; /* exact in f32 */
		if (t->dtype == DT_F32 || t->dtype == DT_F64)
			v[i] = positive ? unit : 2 * unit - 1;
		else
			v[i] = t->dtype == DT_BOOL ? (double)(bits & 1) : (double)(bits >> 56);
	}
	return v;
}

Values random_values(Arena *a, const IrEntry *e, int64_t n, uint64_t seed)
{
	Values v = { .nout = e->nroot };
	int count = 0;
	IR_EACH_STATE(e->module, s)
		count++;
	v.state = NEWN(a, double *, count + 1);
	v.in = NEWN(a, double *, e->nport + 1);
	v.out = NEWN(a, double *, e->nroot + 1);
	v.out_elems = NEWN(a, int64_t, e->nroot + 1);
	count = 0;
	IR_EACH_STATE(e->module, s)
		v.state[count++] = fill(a, &s->type, n, s->kind != STATE_PARAM, seed ^ hash_name(s->name));
	for (int i = 0; i < e->nport; i++)
		v.in[i] = fill(a, &e->port[i].type, n, false, seed ^ hash_name(e->port[i].name));
	for (int i = 0; i < e->nroot; i++) {
		const IrType *t = &e->root[i].value->type;
		v.out_elems[i] = e->root[i].kind == ROOT_METRIC ? ir_row_elems(t) : ir_elems(t, n);
		v.out[i] = NEWN(a, double, v.out_elems[i]);
	}
	return v;
}

void values_run(const Values *v, const IrEntry *e, int64_t n)
{
	IrScalars s = { .lr = 0.125, .seed = 42, .step = 5, .pass = 2 };
	ir_eval(e, n, &s, v->state, (const double *const *)v->in, v->out);
}

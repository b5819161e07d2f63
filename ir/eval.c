/* eval.c -- the interpreter: runs an entry in double, one op after the other
 *
 * This and eval_*.c are the definition of every op: slow and obvious. Constant folding and all numeric tests use it.
 * Values of dtype f32 are not rounded; integer values wrap at their width; bool is 0 or 1. Here: the walk over an
 * entry, sources, random numbers and pointwise ops. Reads node, scalars and operands only; changes nothing in the
 * module.
 */
#include <math.h>
#include <string.h>
#include "ir/eval.h"

static EvalFn *const rules[OP_COUNT] = {
#define OP(name, text, lo, hi, attr, traits, infer, eval, grad, lower) [OP_##name] = eval_##eval,
#include "ir/ops.def"
};

/* ---- shapes ---- */
Shape shape_of(const IrType *t, int64_t n)
{
	Shape s = { .rank = t->rank, .elems = 1 };
	for (int i = t->rank - 1; i >= 0; i--) {
		s.dim[i] = t->dim[i] == IR_N ? n : t->dim[i];
		s.stride[i] = s.elems;
		s.elems *= s.dim[i];
	}
	return s;
}

void shape_stretch(const Shape *from, const Shape *to, int64_t *stride)
{
	int lead = to->rank - from->rank;
	for (int i = 0; i < to->rank; i++)
		stride[i] = i < lead || from->dim[i - lead] == 1 ? 0 : from->stride[i - lead];
}

void shape_next(const Shape *s, int64_t *at)
{
	for (int i = s->rank - 1; i >= 0; i--) {
		if (++at[i] < s->dim[i])
			return;
		at[i] = 0;
	}
}

int64_t shape_dot(int rank, const int64_t *at, const int64_t *stride)
{
	int64_t sum = 0;
	for (int i = 0; i < rank; i++)
		sum += at[i] * stride[i];
	return sum;
}

/* ---- sources ---- */
void eval_given(const Eval *x)
{
	ICE("the value of %s comes from the caller", ir_ops[x->node->op].text);
}

void eval_konst(const Eval *x)
{
	int64_t elems = ir_elems(&x->node->type, x->n);
	for (int64_t i = 0; i < elems; i++)
		x->out[i] = x->node->attr.konst.value;
}

double ir_counted(IrScalar which, double base, int32_t every, uint32_t step)
{
	const uint32_t t = every > 1 && step ? (step - 1) / (uint32_t)every + 1 : step;
	switch (which) {
	case SC_POWER:  return pow(base, t);
	case SC_UPDATE: return t;
	case SC_DUE:    return t % (uint32_t)(base < 1 ? 1 : base) == 0;
	default:        ICE("scalar %d", (int)which);
	}
}

void eval_scalar(const Eval *x)
{
	INVARIANT(x->s);
	switch (x->node->attr.scalar.which) {
	case SC_LR:    x->out[0] = x->s->lr; break;
	case SC_INV_N: x->out[0] = 1.0 / (double)x->n; break;
	case SC_STEP:  x->out[0] = x->s->step; break;
	case SC_PASS:  x->out[0] = x->s->pass; break;
	default:
		x->out[0] = ir_counted(x->node->attr.scalar.which, x->node->attr.scalar.base, x->node->attr.scalar.every, x->s->step);
	}
}

void eval_iota(const Eval *x)
{
	Shape s = shape_of(&x->node->type, x->n);
	int64_t at[IR_MAX_RANK] = { 0 };
	for (int64_t i = 0; i < s.elems; i++, shape_next(&s, at))
		x->out[i] = (double)at[x->node->attr.axis.axis];
}

/* u * 2^-24 of the 24 high bits: every value is exact in f32 and below 1. Counter: element inside the row (row-major),
 * sample (its id, or its row in this call), pass (by id) or step, stream. A type without N is one row. */
void eval_random(const Eval *x)
{
	const IrNode *n = x->node;
	INVARIANT(x->s);
	int64_t elems = ir_elems(&n->type, x->n), row = ir_row_elems(&n->type);
	uint32_t turn = n->attr.random.by_id ? x->s->pass : x->s->step;
	for (int64_t i = 0; i < elems; i++) {
		uint32_t key = n->attr.random.by_id ? (uint32_t)x->in[0][i / row] : (uint32_t)(i / row);
		uint32_t word = philox(x->s->seed, (uint32_t)(i % row), key, turn, n->attr.random.stream, 0);
		x->out[i] = (word >> 8) * 0x1p-24;
	}
}

/* ---- pointwise ---- */
/* NumPy broadcasting; row of ewise.def of the op's name. */
void eval_ewise(const Eval *x)
{
	const IrNode *n = x->node;
	Ewise *row = ewise_row(ir_ops[n->op].text);
	INVARIANT(row && n->nin <= 3);
	Shape to = shape_of(&n->type, x->n);
	int64_t stride[3][IR_MAX_RANK], at[IR_MAX_RANK] = { 0 };
	for (int k = 0; k < n->nin; k++) {
		Shape from = shape_of(&n->in[k]->type, x->n);
		shape_stretch(&from, &to, stride[k]);
	}
	for (int64_t i = 0; i < to.elems; i++, shape_next(&to, at)) {
		double v[3] = { 0 };
		for (int k = 0; k < n->nin; k++)
			v[k] = x->in[k][shape_dot(to.rank, at, stride[k])];
		x->out[i] = ewise_apply(row, v[0], v[1], v[2], n->type.dtype);
	}
}

/* ---- entries ---- */
void ir_eval_node(const IrNode *node, int64_t n, const IrScalars *s, const double *const *in, double *out)
{
	rules[node->op](&(Eval){ node, n, s, in, out });
}

typedef struct Run {
	const IrEntry *entry;
	int64_t n;
	const IrScalars *s;
	double *const *state;
	const double *const *in;
	const double **value; /* by node id */
	Arena *arena;
} Run;

static const double *state_value(const Run *r, const IrState *of)
{
	int i = 0;
	IR_EACH_STATE(r->entry->module, s) {
		if (s == of)
			return r->state[i];
		i++;
	}
	ICE("state %s is not in the module", of->name);
}

static void run_node(Run *r, const IrNode *n)
{
	if (n->op == OP_input) {
		r->value[n->id] = r->in[n->attr.input.port];
		return;
	}
	if (n->op == OP_state) {
		r->value[n->id] = state_value(r, n->attr.state.of);
		return;
	}
	const double **in = NEWN(r->arena, const double *, n->nin + 1);
	for (int i = 0; i < n->nin; i++)
		in[i] = r->value[n->in[i]->id];
	double *out = NEWN(r->arena, double, ir_elems(&n->type, r->n));
	ir_eval_node(n, r->n, r->s, in, out);
	r->value[n->id] = out;
}

/* Output and update: the value. Metric: its sum over the samples. */
static void give_root(const Run *r, const IrRoot *root, double *out)
{
	const double *v = r->value[root->value->id];
	int64_t elems = ir_elems(&root->value->type, r->n);
	if (root->kind != ROOT_METRIC) {
		memcpy(out, v, (size_t)elems * sizeof *out);
		return;
	}
	int64_t count = ir_row_elems(&root->value->type);
	for (int64_t i = 0; i < count; i++)
		out[i] = 0.0;
	for (int64_t i = 0; i < elems; i++)
		out[i % count] += v[i];
}

void ir_eval(const IrEntry *e, int64_t n, const IrScalars *s, double *const *state, const double *const *in,
             double *const *out)
{
	Arena *arena = arena_new();
	Run r = { e, n, s, state, in, NEWN(arena, const double *, e->next_id + 1), arena };
	IR_EACH(e, node)
		run_node(&r, node);
	for (int i = 0; i < e->nroot; i++) {
		if (out[i])
			give_root(&r, &e->root[i], out[i]);
	}
	arena_free(arena);
}

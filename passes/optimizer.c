/* optimizer.c -- one step of an optimizer for one parameter, as plain graph nodes
 *
 * in:   a parameter, its value and gradient, module->optimizer     out: moments (states of zeros), update roots
 * not:  learning rates and schedules (SC_LR is set by the runtime), gradient clipping
 *
 * Formulas and their order of operations: Keras 3, keras/src/optimizers/{sgd,adam,base_optimizer}.py. Scalars (the
 * bias corrections) come out once a parameter and are merged by pass cse.
 */
#include "passes/optimizer.h"

typedef struct Step {
	IrEntry *e;
	const IrOptimizer *o;
	IrState *param;
	IrNode *w, *g;
	Loc loc;
} Step;

static IrNode *add(const Step *s, IrNode *a, IrNode *b) { return ir_binary(s->e, OP_add, a, b); }
static IrNode *sub(const Step *s, IrNode *a, IrNode *b) { return ir_binary(s->e, OP_sub, a, b); }
static IrNode *mul(const Step *s, IrNode *a, IrNode *b) { return ir_binary(s->e, OP_mul, a, b); }

static IrNode *number(const Step *s, double v)
{
	return ir_konst(s->e, s->loc, DT_F32, v);
}

static IrNode *rate(const Step *s)
{
	return ir_scalar(s->e, s->loc, SC_LR, 0.0);
}

static IrState *moment(const Step *s, const char *suffix)
{
	IrModule *m = s->e->module;
	const char *name = arena_printf(m->arena, "%s/%s", s->param->name, suffix);
	IrState *state = ir_state_find(m, name);
	if (!state)
		state = ir_state_new(m, name, s->param->type, STATE_MOMENT, s->loc);
	INVARIANT(state->kind == STATE_MOMENT && ir_type_eq(&state->type, &s->param->type));
	state->init = INIT_ZEROS;
	return state;
}

static void update(const Step *s, IrState *state, IrNode *value)
{
	ir_root_new(s->e, (IrRoot){ .kind = ROOT_UPDATE, .name = state->name, .value = value, .state = state });
}

/* Decoupled decay comes first: w - w * decay * lr. */
static IrNode *decayed(const Step *s)
{
	if (s->o->weight_decay == 0.0 || !s->param->decay)
		return s->w;
	return sub(s, s->w, mul(s, mul(s, s->w, number(s, s->o->weight_decay)), rate(s)));
}

static void step_sgd(const Step *s)
{
	IrNode *move = mul(s, s->g, rate(s)), *w = decayed(s);
	if (s->o->momentum == 0.0) {
		update(s, s->param, sub(s, w, move));
		return;
	}
	IrState *velocity = moment(s, "momentum");
	IrNode *keep = number(s, s->o->momentum);
	IrNode *v = sub(s, mul(s, ir_state_read(s->e, s->loc, velocity), keep), move);
	update(s, velocity, v);
	update(s, s->param, add(s, w, s->o->nesterov ? sub(s, mul(s, v, keep), move) : v));
}

/* m + (x - m) * (1 - beta) */
static IrNode *average(const Step *s, IrState *state, IrNode *x, double beta)
{
	IrNode *m = ir_state_read(s->e, s->loc, state);
	IrNode *next = add(s, m, mul(s, sub(s, x, m), number(s, 1.0 - beta)));
	update(s, state, next);
	return next;
}

/* lr * sqrt(1 - beta_2^t) / (1 - beta_1^t) */
static IrNode *adam_rate(const Step *s)
{
	IrNode *one = number(s, 1.0);
	IrNode *bias_1 = sub(s, one, ir_scalar(s->e, s->loc, SC_POWER, s->o->beta_1));
	IrNode *bias_2 = sub(s, one, ir_scalar(s->e, s->loc, SC_POWER, s->o->beta_2));
	return ir_binary(s->e, OP_div, mul(s, rate(s), ir_unary(s->e, OP_sqrt, bias_2)), bias_1);
}

static void step_adam(const Step *s)
{
	IrNode *w = decayed(s), *alpha = adam_rate(s);
	IrNode *m = average(s, moment(s, "m"), s->g, s->o->beta_1);
	IrNode *v = average(s, moment(s, "v"), mul(s, s->g, s->g), s->o->beta_2);
	if (s->o->amsgrad) {
		IrState *highest = moment(s, "v_hat");
		v = ir_binary(s->e, OP_max, ir_state_read(s->e, s->loc, highest), v);
		update(s, highest, v);
	}
	IrNode *scale = add(s, ir_unary(s->e, OP_sqrt, v), number(s, s->o->epsilon));
	update(s, s->param, sub(s, w, ir_binary(s->e, OP_div, mul(s, m, alpha), scale)));
}

void optimizer_update(IrEntry *e, IrState *param, IrNode *value, IrNode *gradient)
{
	const IrOptimizer *o = &e->module->optimizer;
	INVARIANT(ir_type_eq(&gradient->type, &param->type));
	Step s = { e, o, param, value, gradient, param->loc };
	switch (o->kind) {
	case OPTIM_SGD:
		step_sgd(&s);
		break;
	case OPTIM_ADAM:
	case OPTIM_ADAMW:
		step_adam(&s);
		break;
	case OPTIM_NONE:
		ICE("no optimizer");
	}
}

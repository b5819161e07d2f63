/* optimizer.c -- one step of an optimizer for all parameters, as plain graph nodes
 *
 * in:   parameters, their values and gradients, the optimizer of the entry     out: what is kept (states), update roots
 * not:  learning rates and schedules (SC_LR is set by the runtime)
 *
 * Formulas and their order of operations: Keras 3, keras/src/optimizers/. A rule gives the parameter's next value; what it
 * keeps from step to step it updates itself. All of one parameter is pointwise (norms are separate sums), so fusion makes
 * one pass over it. Scalars (bias corrections) come out once a parameter and are merged by pass cse.
 *
 * Gradient accumulation: on steps that are not `due` every state but the sum of gradients keeps its value.
 */
#include "passes/optimizer.h"

typedef struct Step {
	IrEntry *e;
	const IrOptimizer *o;
	IrState *param;
	IrNode *w, *g; /* value, after weight decay; gradient, after clipping */
	IrNode *due;   /* bool[]: this step updates; NULL: every step does */
	Loc loc;
} Step;

static IrNode *add(const Step *s, IrNode *a, IrNode *b) { return ir_binary(s->e, OP_add, a, b); }
static IrNode *sub(const Step *s, IrNode *a, IrNode *b) { return ir_binary(s->e, OP_sub, a, b); }
static IrNode *mul(const Step *s, IrNode *a, IrNode *b) { return ir_binary(s->e, OP_mul, a, b); }
static IrNode *over(const Step *s, IrNode *a, IrNode *b) { return ir_binary(s->e, OP_div, a, b); }
static IrNode *root(const Step *s, IrNode *a) { return ir_unary(s->e, OP_sqrt, a); }
static IrNode *square(const Step *s, IrNode *a) { return mul(s, a, a); }

static IrNode *number(const Step *s, double v)
{
	return ir_konst(s->e, s->loc, DT_F32, v);
}

static IrNode *scaled(const Step *s, IrNode *a, double v)
{
	return mul(s, a, number(s, v));
}

static IrNode *rate(const Step *s)
{
	return ir_scalar(s->e, s->loc, SC_LR, 0.0);
}

static IrNode *counted(const Step *s, IrScalar which, double base)
{
	return ir_counted_scalar(s->e, s->loc, which, base, s->o->accumulate);
}

/* 1 - base^t, t counting updates */
static IrNode *correction(const Step *s, double base)
{
	return sub(s, number(s, 1.0), counted(s, SC_POWER, base));
}

static IrState *keep(const Step *s, const char *name, const IrType *type, double start)
{
	IrModule *m = s->e->module;
	IrState *state = ir_state_find(m, name);
	if (!state)
		state = ir_state_new(m, name, *type, STATE_MOMENT, s->loc);
	INVARIANT(state->kind == STATE_MOMENT && ir_type_eq(&state->type, type));
	state->init = start == 0.0 ? INIT_ZEROS : INIT_CONSTANT;
	state->init_arg[0] = start;
	return state;
}

/* One number for each of the parameter's. */
static IrState *moment(const Step *s, const char *suffix, double start)
{
	return keep(s, arena_printf(s->e->module->arena, "%s/%s", s->param->name, suffix), &s->param->type, start);
}

static IrNode *read(const Step *s, IrState *state)
{
	return ir_state_read(s->e, s->loc, state);
}

static void store(const Step *s, IrState *state, IrNode *value)
{
	ir_root_new(s->e, (IrRoot){ .kind = ROOT_UPDATE, .name = state->name, .value = value, .state = state });
}

/* Gives the new value as the rest of this update sees it: on steps that are not due it is not kept. */
static IrNode *update(const Step *s, IrState *state, IrNode *value)
{
	store(s, state, s->due ? ir_select(s->e, s->due, value, read(s, state)) : value);
	return value;
}

/* m + (x - m) * (1 - beta) */
static IrNode *average(const Step *s, const char *suffix, IrNode *x, double beta)
{
	IrState *state = moment(s, suffix, 0);
	IrNode *m = read(s, state);
	return update(s, state, add(s, m, scaled(s, sub(s, x, m), 1.0 - beta)));
}

/* m * rho + x * (1 - rho) */
static IrNode *blend(const Step *s, const char *suffix, IrNode *x, double rho)
{
	IrState *state = moment(s, suffix, 0);
	return update(s, state, add(s, scaled(s, read(s, state), rho), scaled(s, x, 1.0 - rho)));
}

/* ---- rules ---- */

static IrNode *step_sgd(const Step *s)
{
	IrNode *move = mul(s, s->g, rate(s));
	if (s->o->momentum == 0.0)
		return sub(s, s->w, move);
	IrState *velocity = moment(s, "momentum", 0);
	IrNode *v = update(s, velocity, sub(s, scaled(s, read(s, velocity), s->o->momentum), move));
	return add(s, s->w, s->o->nesterov ? sub(s, scaled(s, v, s->o->momentum), move) : v);
}

static IrNode *step_adam(const Step *s)
{
	IrNode *bias_1 = correction(s, s->o->beta_1), *bias_2 = correction(s, s->o->beta_2);
	IrNode *alpha = over(s, mul(s, rate(s), root(s, bias_2)), bias_1);
	IrNode *m = average(s, "m", s->g, s->o->beta_1), *v = average(s, "v", square(s, s->g), s->o->beta_2);
	if (s->o->amsgrad) {
		IrState *highest = moment(s, "v_hat", 0);
		v = update(s, highest, ir_binary(s->e, OP_max, read(s, highest), v));
	}
	IrNode *scale = add(s, root(s, v), number(s, s->o->epsilon));
	return sub(s, s->w, over(s, mul(s, m, alpha), scale));
}

static IrNode *step_rmsprop(const Step *s)
{
	IrNode *v = blend(s, "velocity", square(s, s->g), s->o->rho);
	if (s->o->centered)
		v = sub(s, v, square(s, blend(s, "average_gradient", s->g, s->o->rho)));
	IrNode *move = over(s, mul(s, rate(s), s->g), root(s, add(s, v, number(s, s->o->epsilon))));
	if (s->o->momentum > 0.0) {
		IrState *velocity = moment(s, "momentum", 0);
		move = update(s, velocity, add(s, scaled(s, read(s, velocity), s->o->momentum), move));
	}
	return sub(s, s->w, move);
}

static IrNode *step_adagrad(const Step *s)
{
	IrState *sums = moment(s, "accumulator", s->o->accumulator);
	IrNode *sum = update(s, sums, add(s, read(s, sums), square(s, s->g)));
	return sub(s, s->w, over(s, mul(s, rate(s), s->g), root(s, add(s, sum, number(s, s->o->epsilon)))));
}

static IrNode *step_adadelta(const Step *s)
{
	IrNode *epsilon = number(s, s->o->epsilon);
	IrNode *before = read(s, moment(s, "accumulated_delta_var", 0));
	IrNode *grads = blend(s, "accumulated_grad", square(s, s->g), s->o->rho);
	IrNode *move = over(s, mul(s, root(s, add(s, before, epsilon)), s->g), root(s, add(s, grads, epsilon)));
	blend(s, "accumulated_delta_var", square(s, move), s->o->rho);
	return sub(s, s->w, mul(s, rate(s), move));
}

static IrNode *step_adamax(const Step *s)
{
	IrState *norms = moment(s, "u", 0);
	IrNode *m = average(s, "m", s->g, s->o->beta_1), *old = scaled(s, read(s, norms), s->o->beta_2);
	IrNode *u = update(s, norms, ir_binary(s->e, OP_max, old, ir_unary(s->e, OP_abs, s->g)));
	IrNode *scale = mul(s, correction(s, s->o->beta_1), add(s, u, number(s, s->o->epsilon)));
	return sub(s, s->w, over(s, mul(s, rate(s), m), scale));
}

/* beta_1 * (1 - 0.5 * 0.96^(t + later)) */
static IrNode *nadam_momentum(const Step *s, double later)
{
	IrNode *power = scaled(s, counted(s, SC_POWER, 0.96), 0.5 * later);
	return scaled(s, sub(s, number(s, 1.0), power), s->o->beta_1);
}

/* The product of the momenta so far, f32[]: one for all parameters (the first of them updates it). */
static IrNode *nadam_product(const Step *s)
{
	IrState *state = keep(s, "optimizer/u_product", &(IrType){ .dtype = DT_F32 }, 1);
	IrNode *product = mul(s, read(s, state), nadam_momentum(s, 1));
	for (int i = 0; i < s->e->nroot; i++) {
		if (s->e->root[i].state == state)
			return product;
	}
	return update(s, state, product);
}

static IrNode *step_nadam(const Step *s)
{
	IrNode *one = number(s, 1.0), *now = nadam_momentum(s, 1), *next = nadam_momentum(s, 0.96);
	IrNode *product = nadam_product(s);
	IrNode *m = average(s, "m", s->g, s->o->beta_1), *v = average(s, "v", square(s, s->g), s->o->beta_2);
	IrNode *ahead = over(s, mul(s, next, m), sub(s, one, mul(s, product, next)));
	IrNode *m_hat = add(s, ahead, over(s, mul(s, sub(s, one, now), s->g), sub(s, one, product)));
	IrNode *v_hat = over(s, v, correction(s, s->o->beta_2));
	return sub(s, s->w, over(s, mul(s, m_hat, rate(s)), add(s, root(s, v_hat), number(s, s->o->epsilon))));
}

static IrNode *step_lion(const Step *s)
{
	IrState *momenta = moment(s, "momentum", 0);
	IrNode *m = read(s, momenta);
	IrNode *sum = add(s, scaled(s, m, s->o->beta_1), scaled(s, s->g, 1.0 - s->o->beta_1));
	blend(s, "momentum", s->g, s->o->beta_2);
	return sub(s, s->w, mul(s, rate(s), ir_unary(s->e, OP_sign, sum)));
}

/* f32[]: sum of squares of all elements; first over all axes but the longest outer one, which is work for all threads */
static IrNode *squares(const Step *s, IrNode *a)
{
	const uint32_t all = (1u << a->type.rank) - 1;
	int longest = 0;
	for (int d = 1; d + 1 < a->type.rank; d++)
		longest = a->type.dim[d] > a->type.dim[longest] ? d : longest;
	IrNode *sum = square(s, a);
	if (a->type.rank > 1)
		sum = ir_reduce(s->e, OP_sum, sum, all & ~(1u << longest), false);
	return ir_reduce(s->e, OP_sum, sum, (1u << sum->type.rank) - 1, false);
}

/* |w| / |u|, 1 where either is 0 */
static IrNode *trust(const Step *s, IrNode *u)
{
	IrNode *zero = number(s, 0.0), *norm_w = root(s, squares(s, s->w)), *norm_u = root(s, squares(s, u));
	IrNode *both = ir_binary(s->e, OP_and, ir_binary(s->e, OP_lt, zero, norm_w), ir_binary(s->e, OP_lt, zero, norm_u));
	return ir_select(s->e, both, over(s, norm_w, norm_u), number(s, 1.0));
}

static IrNode *step_lamb(const Step *s)
{
	IrNode *m = average(s, "m", s->g, s->o->beta_1), *v = average(s, "v", square(s, s->g), s->o->beta_2);
	IrNode *m_hat = over(s, m, correction(s, s->o->beta_1)), *v_hat = over(s, v, correction(s, s->o->beta_2));
	IrNode *u = over(s, m_hat, add(s, root(s, v_hat), number(s, s->o->epsilon)));
	return sub(s, s->w, mul(s, mul(s, trust(s, u), rate(s)), u));
}

static IrNode *(*const rules[OPTIM_COUNT])(const Step *s) = {
	[OPTIM_SGD] = step_sgd, [OPTIM_ADAM] = step_adam, [OPTIM_ADAMW] = step_adam, [OPTIM_RMSPROP] = step_rmsprop,
	[OPTIM_ADAGRAD] = step_adagrad, [OPTIM_ADADELTA] = step_adadelta, [OPTIM_ADAMAX] = step_adamax,
	[OPTIM_NADAM] = step_nadam, [OPTIM_LION] = step_lion, [OPTIM_LAMB] = step_lamb,
};

/* ---- around the rules ---- */

static const IrOptimizer *optimizer_of(const IrEntry *e)
{
	return e->optimizer ? e->optimizer : &e->module->optimizer;
}

static Step step_of(IrEntry *e, const OptimizerTarget *t)
{
	Step s = { e, optimizer_of(e), t->param, t->value, t->gradient, NULL, t->param->loc };
	if (s.o->accumulate > 1)
		s.due = ir_binary(e, OP_lt, number(&s, 0.0), ir_counted_scalar(e, s.loc, SC_DUE, s.o->accumulate, 0));
	return s;
}

/* The mean of the gradients of the last `accumulate` steps; the sum starts over when they are used. */
static IrNode *accumulated(const Step *s)
{
	IrState *sums = moment(s, "gradient_accumulator", 0);
	IrNode *sum = add(s, s->g, read(s, sums));
	store(s, sums, ir_select(s->e, s->due, number(s, 0.0), sum));
	return over(s, sum, number(s, s->o->accumulate));
}

/* tf.clip_by_norm: g * c / max(|g|, c) */
static IrNode *clipped_norm(const Step *s)
{
	IrNode *clip = number(s, s->o->clipnorm);
	return over(s, mul(s, s->g, clip), ir_binary(s->e, OP_max, root(s, squares(s, s->g)), clip));
}

/* All gradients times c * min(1 / |all|, 1 / c); not finite where the norm is not. */
static void clip_together(IrEntry *e, OptimizerTarget *target, int n)
{
	IrNode *sum = NULL;
	for (int i = 0; i < n; i++) {
		const Step s = step_of(e, &target[i]);
		IrNode *part = squares(&s, s.g);
		sum = sum ? add(&s, sum, part) : part;
	}
	const Step s = step_of(e, &target[0]);
	IrNode *norm = root(&s, sum), *one = number(&s, 1.0), *clip = number(&s, s.o->global_clipnorm);
	IrNode *least = ir_binary(e, OP_min, over(&s, one, norm), over(&s, one, clip));
	IrNode *scale = add(&s, mul(&s, clip, least), sub(&s, norm, norm));
	for (int i = 0; i < n; i++)
		target[i].gradient = mul(&s, target[i].gradient, scale);
}

static void prepare_gradients(IrEntry *e, OptimizerTarget *target, int n)
{
	const IrOptimizer *o = optimizer_of(e);
	for (int i = 0; i < n; i++) {
		Step s = step_of(e, &target[i]);
		if (s.due)
			s.g = accumulated(&s);
		if (o->clipnorm > 0)
			s.g = clipped_norm(&s);
		if (o->clipvalue > 0)
			s.g = ir_binary(e, OP_min, ir_binary(e, OP_max, s.g, number(&s, -o->clipvalue)), number(&s, o->clipvalue));
		target[i].gradient = s.g;
	}
	if (o->global_clipnorm > 0 && n > 0)
		clip_together(e, target, n);
}

/* Decoupled decay comes first: w - w * decay * lr. */
static IrNode *decayed(const Step *s)
{
	if (s->o->weight_decay == 0.0 || !s->param->decay)
		return s->w;
	return sub(s, s->w, mul(s, scaled(s, s->w, s->o->weight_decay), rate(s)));
}

/* Follows every step, even one without an update; the first update is all of the average. */
static IrNode *averaged(const Step *s, IrNode *w)
{
	IrState *state = moment(s, "average", 0);
	IrNode *one = number(s, 1.0), *later = ir_binary(s->e, OP_lt, one, counted(s, SC_UPDATE, 0));
	IrNode *keeps = ir_select(s->e, later, number(s, s->o->ema_momentum), number(s, 0.0));
	IrNode *mean = add(s, mul(s, keeps, read(s, state)), mul(s, sub(s, one, keeps), w));
	store(s, state, mean);
	if (!s->o->ema_overwrite)
		return w;
	IrNode *due = ir_binary(s->e, OP_lt, number(s, 0.0), counted(s, SC_DUE, s->o->ema_overwrite));
	return ir_select(s->e, due, mean, w);
}

static void update_target(IrEntry *e, const OptimizerTarget *t)
{
	Step s = step_of(e, t);
	s.w = decayed(&s);
	IrNode *w = rules[s.o->kind](&s);
	if (s.due)
		w = ir_select(e, s.due, w, t->value);
	store(&s, t->param, s.o->ema ? averaged(&s, w) : w);
}

void optimizer_updates(IrEntry *e, OptimizerTarget *target, int n)
{
	INVARIANT(optimizer_of(e)->kind > OPTIM_NONE && optimizer_of(e)->kind < OPTIM_COUNT);
	for (int i = 0; i < n; i++)
		INVARIANT(ir_type_eq(&target[i].gradient->type, &target[i].param->type));
	prepare_gradients(e, target, n);
	for (int i = 0; i < n; i++)
		update_target(e, &target[i]);
}

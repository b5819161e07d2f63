/* training.c -- what is trained when, and by which optimizer
 *
 * in:   the checked section `train`, layers with names     out: m->phase, Layer.trains, IrOptimizer
 * not:  epochs, learning rates, callbacks: the runtime reads them from the flat fields
 *
 * A phase trains what the one before it trained, unless it says otherwise; the first, what the layers say. Each phase is an
 * entry of its own, so that what it does not train costs nothing there.
 */
#include "frontend/build.h"

#include <stddef.h>
#include <string.h>
#include "ir/attr.h"

enum { MOST_PIECES = 64 }; /* RT_RATE_PIECES */

static const struct { const char *field; size_t at; } numbers[] = {
	{"momentum", offsetof(IrOptimizer, momentum)},
	{"beta_1", offsetof(IrOptimizer, beta_1)},
	{"beta_2", offsetof(IrOptimizer, beta_2)},
	{"rho", offsetof(IrOptimizer, rho)},
	{"epsilon", offsetof(IrOptimizer, epsilon)},
	{"initial_accumulator_value", offsetof(IrOptimizer, accumulator)},
	{"weight_decay", offsetof(IrOptimizer, weight_decay)},
	{"clipnorm", offsetof(IrOptimizer, clipnorm)},
	{"clipvalue", offsetof(IrOptimizer, clipvalue)},
	{"global_clipnorm", offsetof(IrOptimizer, global_clipnorm)},
};

static const struct { const char *field; size_t at; } flags[] = {
	{"nesterov", offsetof(IrOptimizer, nesterov)},
	{"amsgrad", offsetof(IrOptimizer, amsgrad)},
	{"centered", offsetof(IrOptimizer, centered)},
	{"use_ema", offsetof(IrOptimizer, ema)},
};

static const Val *field_of(const Val *v, const char *field)
{
	static const Val unset = {0};
	return schema_field_index(v->section, field) >= 0 ? val(v, field) : &unset;
}

/* Keras takes at most one of the three. */
static bool check_clipping(Diag *d, const Val *v)
{
	static const char *const names[] = {"clipnorm", "clipvalue", "global_clipnorm"};
	const Val *first = NULL;
	for (size_t i = 0; i < COUNT(names); i++) {
		const Val *clip = val(v, names[i]);
		if (clip->kind != VAL_NUMBER)
			continue;
		if (first)
			return diag_error(d, clip->key, "%s and %s are both given; one of them clips", first->field->name, names[i]);
		first = clip;
	}
	return true;
}

static bool check_averages(Diag *d, const Val *v)
{
	static const char *const names[] = {"ema_momentum", "ema_overwrite_frequency"};
	for (size_t i = 0; i < COUNT(names); i++) {
		const Val *given = val(v, names[i]);
		if (given->given && !val_bool(v, "use_ema"))
			return diag_error(d, given->key, "%s is for use_ema: true", names[i]);
	}
	return true;
}

static bool check_pieces(Diag *d, const Val *schedule)
{
	const Val *b = val(schedule, "boundaries"), *v = val(schedule, "values");
	if (b->n > MOST_PIECES)
		return diag_error(d, b->loc, "%d boundaries; at most %d are possible", b->n, MOST_PIECES);
	if (v->n != b->n + 1)
		return diag_error(d, v->loc, "%d values for %d boundaries; one more than boundaries is needed", v->n, b->n);
	for (int i = 1; i < b->n; i++) {
		if (b->item[i].i < b->item[i - 1].i)
			return diag_error(d, b->item[i].loc, "boundaries ascend: %lld follows %lld", (long long)b->item[i].i,
			                  (long long)b->item[i - 1].i);
	}
	return true;
}

static bool check_rate(const Model *m, const Val *rate, const Val *callbacks)
{
	if (rate->kind != VAL_OBJECT)
		return true;
	for (int i = 0; callbacks->kind == VAL_LIST && i < callbacks->n; i++) {
		if (strcmp(callbacks->item[i].section->name, "ReduceLROnPlateau") == 0)
			return diag_error(m->diag, callbacks->item[i].loc, "ReduceLROnPlateau can't change the rate of a schedule (line %d)",
			                  rate->loc.line);
	}
	if (schema_field_index(rate->section, "boundaries") >= 0)
		return check_pieces(m->diag, rate);
	if (schema_field_index(rate->section, "warmup_steps") >= 0 && val_int(rate, "warmup_steps") > 0 &&
	    !val_is_set(rate, "warmup_target"))
		return diag_error(m->diag, val(rate, "warmup_steps")->key, "warmup_steps needs warmup_target, the rate to rise to");
	return true;
}

static bool check_optimizer(const Model *m, const Val *v, const Val *callbacks)
{
	bool ok = check_clipping(m->diag, v);
	ok = check_averages(m->diag, v) && ok;
	return check_rate(m, val(v, "learning_rate"), callbacks) && ok;
}

/* Fields have the same meaning wherever they occur, so one list reads them all; what an optimizer lacks stays 0. */
IrOptimizer training_optimizer(const Val *v)
{
	IrOptimizer o = {.kind = OPTIM_SGD};
	while (strcmp(ir_optimizer_words[o.kind], v->section->name) != 0) {
		o.kind++;
		INVARIANT(o.kind < OPTIM_COUNT);
	}
	for (size_t i = 0; i < COUNT(numbers); i++)
		*(double *)((char *)&o + numbers[i].at) = field_of(v, numbers[i].field)->x;
	for (size_t i = 0; i < COUNT(flags); i++)
		*(bool *)((char *)&o + flags[i].at) = field_of(v, flags[i].field)->flag;
	o.accumulate = (int32_t)val(v, "gradient_accumulation_steps")->i;
	if (o.ema) {
		o.ema_momentum = val_number(v, "ema_momentum");
		o.ema_overwrite = (int32_t)val(v, "ema_overwrite_frequency")->i;
	}
	if (o.kind == OPTIM_ADAM && o.weight_decay > 0)
		o.kind = OPTIM_ADAMW;
	return o;
}

/* ---- phases ---- */

/* `*` is any text, `?` any character. */
static bool matches(const char *glob, const char *name)
{
	const char *star = NULL, *from = NULL;
	while (*name) {
		if (*glob == '*') {
			star = glob++;
			from = name;
		} else if (*glob == '?' || *glob == *name) {
			glob++;
			name++;
		} else if (star) {
			glob = star + 1;
			name = ++from;
		} else {
			return false;
		}
	}
	return glob[strspn(glob, "*")] == '\0';
}

static bool no_layer(const Model *m, const Val *glob)
{
	const char **names = NEWN(m->arena, const char *, m->nlayers);
	for (int i = 0; i < m->nlayers; i++)
		names[i] = m->layer[i].name;
	const char *near = diag_nearest(glob->s, names, (size_t)m->nlayers);
	return diag_error(m->diag, glob->loc, "no layer is called '%.60s'%s%s%s", glob->s, near ? "; did you mean '" : "",
	                  near ? near : "", near ? "'?" : "");
}

/* Layers that a glob of the list names: bit `to` becomes `on`. */
static bool mark(Model *m, const Val *globs, int to, bool on)
{
	bool ok = true;
	for (int k = 0; globs->kind == VAL_LIST && k < globs->n; k++) {
		bool any = false;
		for (int i = 0; i < m->nlayers; i++) {
			if (!matches(globs->item[k].s, m->layer[i].name))
				continue;
			any = true;
			m->layer[i].trains = (m->layer[i].trains & ~(1u << to)) | (uint32_t)on << to;
		}
		ok = (any || no_layer(m, &globs->item[k])) && ok;
	}
	return ok;
}

/* What phase p trains: `only` of its layers, or as before; then more, then less. */
static bool choose_layers(Model *m, int p, const Val *only, const Val *more, const Val *less)
{
	uint32_t bit = 1u << p;
	for (int i = 0; i < m->nlayers; i++) {
		Layer *l = &m->layer[i];
		bool before = only->kind != VAL_LIST && (p ? (l->trains & bit >> 1) != 0 : l->trainable);
		l->trains = (l->trains & ~bit) | (before ? bit : 0);
	}
	bool ok = mark(m, only, p, true);
	ok = mark(m, more, p, true) && ok;
	return mark(m, less, p, false) && ok;
}

static bool trains_something(const Model *m, int p)
{
	for (int i = 0; i < m->nlayers; i++) {
		if (m->layer[i].kind->states && m->layer[i].trains >> p & 1)
			return true;
	}
	return false;
}

static bool check_phase(Model *m, Phase *phase, int p, const Val *v)
{
	const Val *own = val(v, "optimizer");
	if (own->kind == VAL_OBJECT && !check_optimizer(m, own, val(v, "callbacks")))
		return false;
	phase->optimizer = own->kind == VAL_OBJECT ? own : val(m->train, "optimizer");
	phase->suffix = p ? arena_printf(m->arena, "_%d", p + 1) : "";
	if (phase->optimizer->kind != VAL_OBJECT)
		return diag_error(m->diag, v->loc, "this phase has no optimizer, and train has none either");
	if (!choose_layers(m, p, val(v, "trainable"), val(v, "unfreeze"), val(v, "freeze")))
		return false;
	return trains_something(m, p) || diag_error(m->diag, v->loc, "nothing is trained in this phase");
}

static bool read_phases(Model *m, const Val *list)
{
	static const char *const instead[] = {"epochs", "initial_epoch"};
	Phase *phase = NEWN(m->arena, Phase, list->n);
	if (list->n > MODEL_MAX_PHASES)
		return diag_error(m->diag, list->loc, "%d phases; at most %d are possible", list->n, MODEL_MAX_PHASES);
	for (size_t i = 0; i < COUNT(instead); i++) {
		if (val(m->train, instead[i])->given)
			return diag_error(m->diag, val(m->train, instead[i])->key, "%s belongs to each of the phases", instead[i]);
	}
	bool ok = true;
	for (int p = 0; p < list->n; p++)
		ok = check_phase(m, &phase[p], p, &list->item[p]) && ok;
	m->phase = phase;
	m->nphases = list->n;
	return ok;
}

/* From here on a layer counts as trainable if some phase trains it. */
bool training_check(Model *m)
{
	static const Val nothing = {0};
	const Val *phases = val(m->train, "phases"), *optimizer = val(m->train, "optimizer");
	if (optimizer->kind == VAL_OBJECT && !check_optimizer(m, optimizer, val(m->train, "callbacks")))
		return false;
	if (!choose_layers(m, 0, val(m->train, "trainable"), &nothing, &nothing))
		return false;
	for (int i = 0; i < m->nlayers; i++)
		m->layer[i].trainable = m->layer[i].trains & 1;
	if (phases->kind == VAL_LIST && phases->n > 0) {
		bool ok = read_phases(m, phases);
		training_begin(m, -1);
		return ok;
	}
	if (optimizer->kind != VAL_OBJECT) {
		diag_error(m->diag, m->train->key, "train needs 'optimizer'");
		diag_note(m->diag, "=", "train.optimizer: %s", schema_describe(m->arena, optimizer->field));
		return false;
	}
	Phase *one = NEW(m->arena, Phase);
	*one = (Phase){"", optimizer};
	m->phase = one;
	m->nphases = 1;
	return true;
}

void training_begin(Model *m, int phase)
{
	for (int i = 0; i < m->nlayers; i++) {
		Layer *l = &m->layer[i];
		l->trainable = phase < 0 ? l->trains != 0 : (l->trains >> phase & 1) != 0;
		for (int k = 0; k < LAYER_STATES; k++) {
			if (l->state[k] && l->state[k]->decay) /* may be trained at all */
				l->state[k]->trainable = l->trainable;
		}
	}
}

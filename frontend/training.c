/* training.c -- the optimizer of the file as the passes read it
 *
 * in:   a checked section of kind OPTIMIZER     out: IrOptimizer
 * not:  learning rates: the runtime reads them from the flat fields
 *
 * Fields have the same meaning wherever they occur, so one list reads them all; what an optimizer lacks stays 0.
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

static bool check_rate(const Model *m, const Val *rate)
{
	const Val *callbacks = val(m->train, "callbacks");
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

bool optimizer_check(const Model *m, const Val *v)
{
	bool ok = check_clipping(m->diag, v);
	ok = check_averages(m->diag, v) && ok;
	return check_rate(m, val(v, "learning_rate")) && ok;
}

IrOptimizer optimizer_read(const Val *v)
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

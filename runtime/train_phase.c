/* train_phase.c -- phases: trainings after each other, each with its own entry, optimizer, epochs and callbacks
 *
 * The fields are train.phases.P.*, or train.* where there is one training only. A phase starts with fresh optimizer state,
 * and its step counts from 0, as after Keras' compile(); weights, data position and epochs go on.
 */
#include <stdio.h>
#include <string.h>
#include "runtime/class_weight.h"
#include "runtime/init.h"
#include "runtime/train.h"

enum { MOST_EPOCHS = INT32_MAX };

/* "train_step", "train_step_2", … */
static const RtEntry *entry_of(const RtModel *m, const char *name, int p)
{
	char text[40];
	if (p)
		snprintf(text, sizeof text, "%s_%d", name, p + 1);
	else
		snprintf(text, sizeof text, "%s", name);
	return rt_entry(m, text);
}

static bool has_fields(const RtTrainer *t, const char *start)
{
	return rt_config_match(&t->config, start, "") != NULL;
}

/* "train.phases.1.epochs"; "train.epochs" without phases. */
static const char *field(const RtTrainer *t, int p, const char *name, char out[80])
{
	if (has_fields(t, "train.phases."))
		snprintf(out, 80, "train.phases.%d.%s", p, name);
	else
		snprintf(out, 80, "train.%s", name);
	return out;
}

/* The same, or that of train where the phase says nothing. */
static const char *own_section(const RtTrainer *t, int p, const char *name, char out[80])
{
	snprintf(out, 80, "train.phases.%d.%s.", p, name);
	bool own = has_fields(t, out);
	if (!own)
		snprintf(out, 80, "train.%s.", name);
	out[strlen(out) - 1] = '\0';
	return out;
}

static RtStatus read_rate(RtTrainer *t, int p, int64_t epochs)
{
	char path[80];
	int64_t warmup, total;
	RtStatus s = rt_config_int_in(&t->config, field(t, p, "warmup_steps", path), 0, 0, MOST_EPOCHS, &warmup);
	if (__builtin_mul_overflow(epochs, rt_train_steps_expected(t), &total))
		total = INT64_MAX;
	if (s == RT_OK)
		s = rt_rate_read(&t->config, own_section(t, p, "optimizer", path), warmup, total, &t->rate);
	t->lr = (float)t->rate.initial;
	return s;
}

static RtStatus open_features(RtTrainer *t, int p)
{
	const RtEntry *features = entry_of(t->model, "features", p);
	bool keep = strcmp(rt_config_text(&t->config, "data.cache", "auto"), "none") != 0;
	rt_train_close_features(t);
	t->val_entry = features ? entry_of(t->model, "evaluate_features", p) : t->eval_entry;
	if (!features)
		return RT_OK;
	RtStatus s = rt_features_new(&t->in, features, rt_dataset_count(t->train_data), keep, &t->features);
	if (s == RT_OK && t->val_data)
		s = rt_features_new(&t->in, features, rt_dataset_count(t->val_data), keep, &t->val_features);
	return s;
}

void rt_train_close_features(RtTrainer *t)
{
	rt_features_free(t->features);
	rt_features_free(t->val_features);
	t->features = t->val_features = NULL;
}

/* Entry, epochs, rate and callbacks of phase p; t->phase_epoch says where it begins. */
RtStatus rt_train_set_phase(RtTrainer *t, int p)
{
	char path[80];
	int64_t epochs;
	t->phase = p;
	t->step_entry = entry_of(t->model, "train_step", p);
	if (!t->step_entry)
		return rt_fail(RT_BAD_WEIGHTS, "there is no phase %d", p + 1);
	RtStatus s = open_features(t, p);
	if (s == RT_OK)
		s = rt_config_int_in(&t->config, field(t, p, "epochs", path), 1, 0, MOST_EPOCHS, &epochs);
	t->epochs = t->phase_epoch + epochs;
	if (s == RT_OK)
		s = read_rate(t, p, epochs);
	const char *average = rt_config_match(&t->config, own_section(t, p, "optimizer", path), ".use_ema");
	t->averages = average && rt_config_bool(&t->config, average, false);
	rt_callbacks_free(t->callbacks);
	t->callbacks = NULL;
	if (s == RT_OK)
		s = rt_callbacks_new(&t->config, own_section(t, p, "callbacks", path), t->run.path, &t->callbacks);
	return s;
}

/* What the optimizer keeps, as new. */
RtStatus rt_train_fresh_optimizer(RtTrainer *t)
{
	rt_init_kind(&t->in, t->seed, RT_MOMENT);
	rt_train_start_averages(t);
	return rt_class_weight_fill(&t->config, t->train_data, &t->in);
}

void rt_train_say_phase(const RtTrainer *t)
{
	char path[80];
	const char *name = rt_config_text(&t->config, field(t, t->phase, "name", path), "");
	if (t->progress.mode && t->nphases > 1)
		fprintf(t->err, "Phase %d of %d%s%s: up to epoch %lld.\n", t->phase + 1, t->nphases, *name ? ", " : "", name,
			(long long)t->epochs);
}

static RtStatus renew_profile(RtTrainer *t)
{
	if (!t->profile)
		return RT_OK;
	rt_train_profile(t);
	rt_profile_free(t->profile);
	t->profile = NULL;
	return rt_profile_new(&t->in, t->step_entry, &t->profile);
}

int rt_train_count_phases(const RtModel *m)
{
	int n = 0;
	while (entry_of(m, "train_step", n))
		n++;
	return n;
}

bool rt_train_phase_finished(const RtTrainer *t)
{
	return t->stopped || t->epoch >= t->epochs;
}

RtStatus rt_train_next_phase(RtTrainer *t)
{
	rt_train_swap_averages(t); /* they are the outcome of the phase that ends */
	rt_callbacks_train_end(t->callbacks, &t->in, t->err);
	t->phase_epoch = t->epoch;
	t->phase_step = t->step;
	t->stopped = false;
	RtStatus s = rt_train_set_phase(t, t->phase + 1);
	if (s == RT_OK)
		s = rt_train_fresh_optimizer(t);
	if (s == RT_OK)
		s = renew_profile(t);
	if (s == RT_OK)
		rt_train_say_phase(t);
	return s;
}

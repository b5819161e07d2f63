/* train_loop.c -- epochs of steps, validation, and what follows each */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/sys.h"
#include "runtime/train.h"

static bool stop_wanted(void)
{
	return atomic_load_explicit(rt_stop_flag(), memory_order_relaxed) != 0;
}

int64_t rt_train_steps_expected(const RtTrainer *t)
{
	int64_t n = rt_dataset_count(t->train_data);
	return t->steps_per_epoch ? t->steps_per_epoch : (n + t->batch - 1) / t->batch;
}

/* ---- numbers to show ---- */

/* loss, accuracy …; with `all` also val_… and learning_rate. Returns how many. */
static int collect(const RtTrainer *t, bool all, RtShown *out)
{
	int n = 0, nm = (int)t->model->nmetrics;
	for (int i = 0; i < nm; i++, n++)
		out[n] = (RtShown){t->shown_name[i], rt_metrics_value(&t->train, (uint32_t)i)};
	for (int i = 0; i < nm && all && t->val_stream; i++, n++)
		out[n] = (RtShown){t->shown_name[nm + i], rt_metrics_value(&t->val, (uint32_t)i)};
	if (all)
		out[n++] = (RtShown){"learning_rate", (double)rt_rate_at(&t->rate, t->lr, t->step - t->phase_step)};
	return n;
}

/* ---- steps ---- */

static void bind_ports(const RtStream *s, const RtEntry *e, const RtBatch *b, RtFeatures *f, unsigned char **ports)
{
	RtBatch seen = *b;
	if (f)
		seen.x = rt_features_of(f, b->x, b->id, (uint32_t)b->n);
	rt_stream_ports(s, &seen, e, ports);
}

RtStatus rt_train_step(RtTrainer *t, const RtBatch *b)
{
	unsigned char *ports[RT_MAX_PORTS];
	uint32_t n = (uint32_t)b->n;
	bind_ports(t->train_stream, t->step_entry, b, t->features, ports);
	rt_scalars_set(&t->in.scalars, t->model, n, t->step + 1);
	rt_scalars_count(&t->in.scalars, t->model, t->step + 1 - t->phase_step);
	t->in.scalars.lr = rt_rate_at(&t->rate, t->lr, t->step - t->phase_step);
	t->in.scalars.pass = b->pass;
	rt_profile_begin(t->profile, &t->in);
	rt_instance_run(&t->in, t->step_entry, ports, NULL);
	rt_profile_end(t->profile, &t->in);
	if (t->in.fault != RT_OK)
		return t->in.fault;
	if (t->model->nmetrics && !isfinite(t->in.metric[0]))
		return rt_train_blame(t, ports, n);
	rt_metrics_add(&t->train, t->in.metric, n);
	t->step++;
	t->step_in_epoch++;
	t->epoch_trained = t->steps_per_epoch ? t->step_in_epoch >= t->steps_per_epoch : b->last_of_pass;
	return RT_OK;
}

static RtStatus train_steps(RtTrainer *t)
{
	RtShown shown[RT_MAX_SHOWN];
	RtStatus s = RT_OK;
	if (t->step_in_epoch == 0)
		rt_metrics_reset(&t->train);
	while (!t->epoch_trained && s == RT_OK) {
		RtBatch batch;
		if (stop_wanted())
			return RT_INTERRUPTED;
		if (rt_train_over_limit(t))
			return RT_OK;
		const int64_t from = rt_sys.monotonic_ns();
		s = rt_stream_next(t->train_stream, &batch);
		t->waited_ns += rt_sys.monotonic_ns() - from;
		if (s == RT_OK && batch.n == 0)
			s = rt_fail(RT_BAD_DATA, "the training data ended");
		if (s == RT_OK)
			s = rt_train_step(t, &batch);
		t->stepping_ns += rt_sys.monotonic_ns() - from;
		if (s != RT_OK)
			return s;
		rt_progress_step(&t->progress, t->step_in_epoch, shown, collect(t, false, shown));
		if (rt_sys.monotonic_ns() - t->saved >= t->checkpoint_ns)
			s = rt_train_save(t);
	}
	rt_progress_trained(&t->progress);
	return s;
}

/* ---- validation ---- */

RtStatus rt_train_validate(RtTrainer *t)
{
	rt_metrics_reset(&t->val);
	rt_calibrator_reset(&t->calibrator);
	rt_gallery_reset(&t->gallery);
	RtStatus s = t->val_stream ? rt_stream_seek(t->val_stream, 0, 0) : RT_OK;
	for (int64_t i = 0; t->val_stream && s == RT_OK && (t->validation_steps == 0 || i < t->validation_steps); i++) {
		unsigned char *ports[RT_MAX_PORTS];
		RtBatch batch;
		s = rt_stream_next(t->val_stream, &batch);
		if (s != RT_OK || batch.n == 0)
			break;
		bind_ports(t->val_stream, t->val_entry, &batch, t->val_features, ports);
		rt_scalars_set(&t->in.scalars, t->model, (uint32_t)batch.n, t->step);
		if (!rt_instance_run(&t->in, t->val_entry, ports, rt_stop_flag()) || stop_wanted())
			return t->in.fault != RT_OK ? t->in.fault : RT_INTERRUPTED;
		rt_metrics_add(&t->val, t->in.metric, (uint32_t)batch.n);
		rt_train_calibrate_add(t, ports, batch.n);
		rt_train_see(t, &batch);
	}
	rt_train_calibrate_end(t);
	if (s == RT_OK && t->val_stream && t->val.samples == 0)
		return rt_fail(RT_BAD_DATA, "no validation sample can be read");
	return s;
}

/* ---- end of an epoch ---- */

/* "best" is the lowest val_loss, or loss where nothing is validated. It counts only once it is on the disk. */
static RtStatus keep_best(RtTrainer *t)
{
	double v = t->model->nmetrics ? rt_metrics_value(t->val_stream ? &t->val : &t->train, 0) : 0;
	if (!isfinite(v) || (t->has_best && v >= t->best))
		return RT_OK;
	t->epoch++; /* the file says how many epochs its weights have seen */
	RtStatus s = rt_train_weights(t, "best");
	t->epoch--;
	if (s == RT_OK) {
		t->best = v;
		t->has_best = true;
		t->best_epoch = t->epoch + 1;
		t->best_calibration = t->calibration;
	} else if (s == RT_IO) {
		rt_progress_break(&t->progress);
		fprintf(t->err, "warning: %s\n", rt_message());
		t->outputs_failed = true;
		s = RT_OK;
	}
	return s;
}

static RtStatus end_epoch(RtTrainer *t)
{
	RtShown log[RT_MAX_SHOWN];
	RtTrainMeta meta;
	int n = collect(t, true, log);
	/* the learning rate is a column of results.csv, not of the progress line */
	rt_progress_end(&t->progress, t->step_in_epoch, log, n - 1);
	rt_train_meta(t, &meta);
	RtEpochEnd e = {.epoch = t->epoch,
			.log = log,
			.nlog = n,
			.in = &t->in,
			.meta = meta.pair,
			.lr = &t->lr,
			.stop = &t->stopped,
			.say = t->err};
	RtStatus s = rt_instance_settle(&t->in);
	if (s == RT_OK)
		s = keep_best(t);
	if (s == RT_OK)
		s = rt_train_row(t, log, n);
	if (s == RT_OK)
		s = rt_train_report(t, false);
	if (s == RT_OK)
		s = rt_callbacks_epoch_end(t->callbacks, &e);
	if (s != RT_OK)
		return s;
	t->epoch++;
	t->step_in_epoch = 0;
	t->epoch_trained = false;
	return RT_OK;
}

static RtStatus judge_epoch(RtTrainer *t)
{
	rt_train_swap_averages(t);
	RtStatus s = rt_train_validate(t);
	if (s == RT_OK)
		s = end_epoch(t);
	rt_train_swap_averages(t);
	return s == RT_OK ? rt_train_save(t) : s;
}

static RtStatus interrupted(RtTrainer *t)
{
	rt_progress_break(&t->progress);
	RtStatus s = rt_train_save(t);
	if (s != RT_OK)
		return s;
	if (t->unsaved)
		return rt_fail(RT_IO,
			       "interrupted, and the checkpoint could not be written; the one before it is in %s",
			       t->run.path);
	fprintf(t->err, "interrupted at epoch %lld, step %lld: checkpoint saved in %s; go on with: %s --resume\n",
		(long long)t->epoch + 1, (long long)t->step_in_epoch, t->run.path, t->args.program);
	return RT_INTERRUPTED;
}

RtStatus rt_train_loop(RtTrainer *t)
{
	RtStatus s = RT_OK;
	while (s == RT_OK && !rt_train_finished(t) && !rt_train_over_limit(t)) {
		if (rt_train_phase_finished(t)) {
			s = rt_train_next_phase(t);
			continue;
		}
		rt_progress_epoch(&t->progress, t->epoch + 1, t->epochs, rt_train_steps_expected(t), t->step_in_epoch);
		s = train_steps(t);
		if (s == RT_OK && !t->limit)
			s = judge_epoch(t);
	}
	rt_progress_break(&t->progress);
	if (s == RT_OK && t->limit && !rt_train_finished(t))
		return rt_train_stop_at_limit(t);
	return s == RT_INTERRUPTED ? interrupted(t) : s;
}

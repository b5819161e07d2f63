/* train_run.c -- the trainer from its arguments to its exit code
 *
 * Opens configuration, data, memory and run folder in this order, starts or resumes, runs the loop, and closes all
 * again.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/bundle.h"
#include "runtime/cpu.h"
#include "runtime/data_spec.h"
#include "runtime/init.h"
#include "runtime/sys.h"
#include "runtime/train.h"
#include "runtime/weights.h"

enum { CHECKPOINT_SECONDS = 30, AHEAD = 4, MAX_COUNT = INT32_MAX };

/* ---- settings ---- */

static RtStatus read_batch(RtTrainer *t)
{
	int64_t batch = rt_config_int(&t->config, "data.batch_size", (int64_t)t->model->max_n);
	if (batch > (int64_t)t->model->max_n)
		return rt_fail(RT_USAGE,
			       "data.batch_size is %lld, but the program was compiled for at most %llu samples a step; "
			       "compile again "
			       "with `cnnc … -D data.batch_size=%lld`",
			       (long long)batch, (unsigned long long)t->model->max_n, (long long)batch);
	t->batch = batch < 1 ? 1 : (int)batch;
	return batch < 1 ? rt_fail(RT_USAGE, "data.batch_size is %lld; it must be at least 1", (long long)batch)
			 : RT_OK;
}

static RtStatus read_settings(RtTrainer *t)
{
	const RtConfig *c = &t->config;
	int64_t seed, none;
	RtStatus s = rt_config_int_in(c, "train.steps_per_epoch", 0, 0, MAX_COUNT, &t->steps_per_epoch);
	if (s == RT_OK)
		s = rt_config_int_in(c, "train.validation_steps", 0, 0, MAX_COUNT, &t->validation_steps);
	if (s == RT_OK)
		s = rt_config_int_in(c, "train.initial_epoch", 0, 0, MAX_COUNT, &t->epoch);
	if (s == RT_OK)
		s = rt_config_int_in(c, "train.seed", 0, 0, INT64_MAX, &seed);
	if (s == RT_OK)
		s = rt_config_int_in(c, "data.seed", 0, 0, INT64_MAX, &none);
	if (s == RT_OK)
		s = read_batch(t);
	if (s != RT_OK)
		return s;
	t->seed = (uint64_t)seed;
	t->checkpoint_ns = INT64_C(1000000000) * CHECKPOINT_SECONDS;
	return RT_OK;
}

/* ---- data ---- */

static void say_found(const RtTrainer *t, const RtDataset *d)
{
	if (t->progress.mode == 0)
		return;
	if (rt_dataset_path(d, 0))
		fprintf(t->err, "Found %lld files belonging to %d classes.\n", (long long)rt_dataset_count(d),
			rt_dataset_classes(d));
	else
		fprintf(t->err, "Found %lld samples.\n", (long long)rt_dataset_count(d));
}

static RtStatus split_data(RtTrainer *t, double fraction)
{
	t->whole = t->train_data;
	t->train_data = NULL;
	RtStatus s = rt_dataset_split(t->whole, fraction, rt_data_seed(&t->config), &t->train_data, &t->val_data);
	if (s == RT_OK && t->progress.mode)
		fprintf(t->err, "Using %lld for training and %lld for validation.\n",
			(long long)rt_dataset_count(t->train_data), (long long)rt_dataset_count(t->val_data));
	return s;
}

/* Classes are numbered by their names: other names would be other labels. */
static RtStatus check_same_classes(const RtDataset *train, const RtDataset *validation)
{
	for (int i = 0; i < rt_dataset_classes(train) && i < rt_dataset_classes(validation); i++) {
		const char *a = rt_dataset_class(train, i), *b = rt_dataset_class(validation, i);
		if (strcmp(a, b) != 0)
			return rt_fail(RT_BAD_DATA,
				       "class %d is called '%s' in the training data and '%s' in the validation data",
				       i, a, b);
	}
	return RT_OK;
}

/* The folders of the training data say which class has which index. */
static RtStatus open_validation(RtTrainer *t)
{
	int n = rt_dataset_path(t->train_data, 0) ? rt_dataset_classes(t->train_data) : 0;
	if (n == 0)
		return rt_data_open(&t->config, t->eval_entry, "validation", NULL, &t->val_data);
	char **names = rt_sys.alloc((size_t)n * sizeof *names);
	for (int i = 0; names && i < n; i++)
		names[i] = (char *)(uintptr_t)rt_dataset_class(t->train_data, i); /* only read */
	RtStatus s = names ? rt_data_open_named(&t->config, t->eval_entry, "validation", NULL, names, n, &t->val_data)
			   : rt_fail(RT_NOMEM, "out of memory for %d class names", n);
	rt_sys.release(names);
	return s;
}

static RtStatus open_datasets(RtTrainer *t)
{
	double fraction;
	RtStatus s = rt_data_open(&t->config, t->eval_entry ? t->eval_entry : t->step_entry, "train", NULL, &t->train_data);
	if (s == RT_OK)
		s = rt_check_classes(t->model, t->train_data, "the training data");
	if (s == RT_OK)
		s = rt_config_float_in(&t->config, "data.validation_split", 0, 0, 0.999999, &fraction);
	if (s != RT_OK)
		return s;
	say_found(t, t->train_data);
	if (!t->eval_entry)
		return RT_OK;
	if (!rt_data_has_split(&t->config, "validation"))
		return fraction > 0 ? split_data(t, fraction) : RT_OK;
	s = open_validation(t);
	if (s == RT_OK)
		s = rt_check_classes(t->model, t->val_data, "the validation data");
	if (s == RT_OK)
		s = check_same_classes(t->train_data, t->val_data);
	if (s == RT_OK)
		say_found(t, t->val_data);
	return s;
}

static RtStatus open_streams(RtTrainer *t)
{
	int workers = rt_data_workers(&t->config, rt_pool_threads(t->pool));
	int64_t ahead;
	RtStatus s = rt_config_int_in(&t->config, "data.prefetch", AHEAD, 0, 1024, &ahead);
	RtStreamSpec spec = {.batch = t->batch,
			     .shuffle = rt_config_bool(&t->config, "data.shuffle", true),
			     .seed = rt_data_seed(&t->config),
			     .workers = workers,
			     .ahead = ahead < 1 ? 1 : (int)ahead,
			     .endless = true};
	if (s == RT_OK)
		s = rt_stream_new(t->train_data, &spec, &t->train_stream);
	spec.endless = false; /* shuffled too, always alike: the first batches hold all classes (validation_steps) */
	if (s == RT_OK && t->val_data)
		s = rt_stream_new(t->val_data, &spec, &t->val_stream);
	return s;
}

static RtStatus make_labels_json(RtTrainer *t)
{
	json_t *labels = json_array();
	int n = rt_dataset_classes(t->train_data);
	for (int i = 0; i < n; i++)
		json_array_append_new(labels, json_string(rt_dataset_class(t->train_data, i)));
	t->labels_json = n > 0 ? json_dumps(labels, JSON_COMPACT) : NULL;
	json_decref(labels);
	return n > 0 && !t->labels_json ? rt_fail(RT_BAD_DATA, "a class name is not valid UTF-8") : RT_OK;
}

/* ---- memory ---- */

static RtStatus open_memory(RtTrainer *t)
{
	const char *entries[RT_MAX_ENTRIES];
	int nentries = 0;
	for (uint32_t i = 0; i < t->model->nentries && nentries < RT_MAX_ENTRIES; i++) {
		const char *name = t->model->entry[i].name;
		if (strncmp(name, "predict", sizeof "predict" - 1) != 0)
			entries[nentries++] = name;
	}
	RtStatus s = rt_pool_new((int)rt_config_int(&t->config, "train.threads", 0), 0, &t->pool);
	if (s == RT_OK)
		s = rt_instance_open(&t->in, t->model, t->pool, entries, nentries);
	if (s == RT_OK)
		s = rt_instance_device(&t->in, t->args.device, !t->args.no_graph, entries, nentries, t->err);
	if (s == RT_OK)
		s = rt_metrics_new(&t->train, t->model);
	if (s == RT_OK)
		s = rt_metrics_new(&t->val, t->model);
	if (s != RT_OK)
		return s;
	t->in.scalars.seed = t->seed;
	for (uint32_t i = 0; i < t->model->nmetrics; i++) {
		snprintf(t->shown_name[i], sizeof t->shown_name[i], "%s", t->model->metric[i].name);
		snprintf(t->shown_name[t->model->nmetrics + i], sizeof t->shown_name[i], "val_%s",
			 t->model->metric[i].name);
	}
	return t->args.profile ? rt_profile_new(&t->in, t->step_entry, &t->profile) : RT_OK;
}

/* ---- start ---- */

/* Those that the model file names, for all layers or for the base: the compiler has compared them with the model. */
static RtStatus own_weights(RtTrainer *t)
{
	RtBundle bundle;
	RtSafetensors st;
	int loaded = 0;
	RtStatus s = rt_bundle_open("/proc/self/exe", &bundle);
	if (s != RT_OK || !bundle.weights)
		return s;
	s = rt_st_parse(bundle.weights, bundle.length, &st);
	if (s == RT_OK) {
		s = rt_weights_load(&t->in, &st, t->args.program, true, &loaded);
		rt_st_free(&st);
	}
	rt_bundle_close(&bundle);
	return s;
}

static RtStatus start_weights(RtTrainer *t)
{
	const char *path = rt_config_get(&t->config, "train.initial_weights");
	bool skip = rt_config_bool(&t->config, "train.skip_mismatch", false);
	int loaded = 0;
	rt_init_tensors(&t->in, t->seed);
	RtStatus s = path ? rt_weights_load_file(&t->in, path, skip, &loaded) : own_weights(t);
	if (s == RT_OK && path && t->progress.mode)
		fprintf(t->err, "Starting from %d tensors of %s.\n", loaded, path);
	return s == RT_OK ? rt_train_fresh_optimizer(t) : s;
}

static RtStatus start_new(RtTrainer *t)
{
	RtStatus s = start_weights(t);
	if (s == RT_OK)
		s = rt_run_new(&t->run, t->model->name);
	if (s == RT_OK)
		s = rt_train_set_phase(t, 0);
	if (s == RT_OK)
		s = rt_train_start_files(t);
	return s == RT_OK ? rt_train_save(t) : s;
}

static RtStatus rehearse(RtTrainer *t)
{
	RtStatus s = start_weights(t);
	if (s == RT_OK)
		s = rt_train_set_phase(t, 0);
	return s == RT_OK ? rt_train_dry(t) : s;
}

static RtStatus resume(RtTrainer *t, bool must, bool *found)
{
	RtStatus s = rt_run_latest(&t->run, t->model->name, found);
	if (s == RT_OK && *found)
		s = rt_train_set_phase(t, 0);
	if (s == RT_OK && *found)
		s = rt_train_restore(t, found);
	if (s != RT_OK)
		return s;
	if (!*found && must)
		return rt_fail(RT_BAD_WEIGHTS, "there is nothing to resume in runs/%s", t->model->name);
	if (!*found)
		fprintf(t->err, "There is nothing to resume in runs/%s: starting at epoch 1.\n", t->model->name);
	else if (rt_train_finished(t))
		fprintf(t->err, "%s is finished: %lld epochs%s.\n", t->run.path, (long long)t->epoch,
			t->stopped ? ", stopped early" : "");
	else
		fprintf(t->err, "Resuming %s at epoch %lld, step %lld.\n", t->run.path, (long long)t->epoch + 1,
			(long long)t->step_in_epoch + 1);
	return RT_OK;
}

static RtStatus start(RtTrainer *t)
{
	const char *how = rt_config_text(&t->config, "train.resume", "never");
	bool found = false;
	RtStatus s = rt_train_identity(t);
	if (s == RT_OK && strcmp(how, "never") != 0)
		s = resume(t, strcmp(how, "must") == 0, &found);
	if (s != RT_OK)
		return s;
	if (!found) {
		rt_callbacks_free(t->callbacks);
		t->callbacks = NULL;
		rt_run_close(&t->run);
		s = start_new(t);
	}
	if (s == RT_OK && !rt_train_finished(t))
		rt_train_say_phase(t);
	if (s == RT_OK && t->progress.mode)
		fprintf(t->err, "Seed %llu, %d threads, code for %s, writing to %s.\n", (unsigned long long)t->seed,
			rt_pool_threads(t->pool), t->model->target, t->run.path);
	return s;
}

/* ---- all ---- */

static RtStatus train(RtTrainer *t)
{
	RtStatus s = read_settings(t);
	rt_progress_open(&t->progress, t->err, rt_config_text(&t->config, "train.verbose", "auto"));
	if (s == RT_OK)
		s = open_datasets(t);
	if (s == RT_OK)
		s = make_labels_json(t);
	if (s == RT_OK)
		s = open_memory(t);
	if (s == RT_OK)
		s = rt_train_limits_open(t);
	if (s == RT_OK)
		s = open_streams(t);
	if (s == RT_OK)
		s = rt_train_calibrate_open(t);
	if (s == RT_OK)
		s = rt_train_report_open(t);
	t->started = t->saved = rt_sys.monotonic_ns();
	rt_stop_reset();
	rt_stop_on_signals();
	if (s == RT_OK && t->args.dry_run)
		return rehearse(t);
	if (s == RT_OK)
		s = start(t);
	if (s == RT_OK)
		s = rt_train_loop(t);
	if (t->train_data && rt_dataset_bad(t->train_data))
		rt_dataset_print_bad(t->train_data, t->err, 20);
	if (t->val_data && rt_dataset_bad(t->val_data))
		rt_dataset_print_bad(t->val_data, t->err, 20);
	if (s == RT_OK || s == RT_INTERRUPTED)
		rt_train_profile(t);
	if (s == RT_OK)
		s = rt_train_finish(t);
	if (s == RT_OK && t->unsaved && rt_train_save(t) == RT_OK && t->unsaved)
		s = rt_fail(RT_IO, "the last checkpoint could not be written in %s", t->run.path);
	if (s == RT_OK && t->outputs_failed)
		s = rt_fail(RT_IO, "not all results could be written to %s; see the warnings above", t->run.path);
	return s;
}

static void close_all(RtTrainer *t)
{
	rt_train_close_features(t);
	rt_stream_free(t->train_stream);
	rt_stream_free(t->val_stream);
	rt_dataset_free(t->train_data);
	rt_dataset_free(t->val_data);
	rt_dataset_free(t->whole);
	rt_callbacks_free(t->callbacks);
	rt_metrics_free(&t->train);
	rt_metrics_free(&t->val);
	rt_calibrator_free(&t->calibrator);
	rt_gallery_free(&t->gallery);
	rt_energy_close(&t->energy);
	if (t->in.model)
		rt_instance_close(&t->in);
	rt_pool_free(t->pool);
	rt_run_close(&t->run);
	json_decref(t->arguments);
	free(t->labels_json);
	rt_profile_free(t->profile);
	rt_sys.release(t->csv);
	rt_config_free(&t->config);
}

static RtStatus dispatch(RtTrainer *t, int argc, char **argv)
{
	RtStatus s = rt_config_new(&t->config, t->model);
	if (s == RT_OK)
		s = rt_train_args(t, argc, argv);
	if (s != RT_OK)
		return s;
	if (t->args.help) {
		rt_train_help(t);
		return RT_OK;
	}
	if (t->args.version) {
		fprintf(t->out, "%s-train, made by cnnc " CNNC_VERSION " for ", t->model->name);
		rt_cpu_print(t->model, t->out);
		fputc('\n', t->out);
		return RT_OK;
	}
	s = rt_cpu_check(t->model);
	if (s == RT_OK && t->args.bundle)
		return rt_train_bundle_run(t, t->args.bundle);
	return s == RT_OK ? train(t) : s;
}

int rt_train_main(const RtModel *model, int argc, char **argv)
{
	RtTrainer *t = rt_sys.alloc(sizeof *t);
	if (!t) {
		fputs("error: out of memory\n", stderr);
		return RT_NOMEM;
	}
	t->model = model;
	t->out = stdout;
	t->err = stderr;
	t->run.lock = -1;
	t->nphases = rt_train_count_phases(model);
	t->step_entry = rt_entry(model, "train_step");
	t->eval_entry = rt_entry(model, "evaluate");
	RtStatus s = dispatch(t, argc, argv);
	if (s != RT_OK && s != RT_INTERRUPTED)
		rt_print_failure(s);
	close_all(t);
	rt_sys.release(t);
	if (fflush(stdout) != 0 && s == RT_OK)
		s = RT_IO;
	return s == RT_INTERRUPTED ? 128 + atomic_load(rt_stop_flag()) : (int)s;
}

/* train_state.c -- the trainer's state into a checkpoint and back
 *
 * A checkpoint is taken between steps, so the state is: all tensors, where the stream stands, the sums of the running
 * epoch, and what callbacks remember. Doubles go as bits: a resumed run continues with exactly the same numbers.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/hash.h"
#include "runtime/sys.h"
#include "runtime/train.h"
#include "runtime/weights.h"

/* ---- what must be the same ---- */

/* Fields that don't change a number that training computes, or may change between sessions. */
static bool is_free(const RtField *f)
{
	static const char *const names[] = {"train.epochs",          "train.threads", "train.verbose", "train.resume",
					    "train.max_time",        "train.max_energy_kwh",
					    "train.initial_weights", "data.workers",  "data.prefetch", "data.cache"};
	const char *dot = strrchr(f->path, '.');
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (strcmp(f->path, names[i]) == 0)
			return true;
	}
	if (strncmp(f->path, "train.phases.", 13) == 0 && dot && strcmp(dot, ".epochs") == 0)
		return true;
	/* files are compared by the hash of their list, so that a moved folder is no difference */
	return f->type == RT_FIELD_PATH || !f->runtime || (dot && strcmp(dot, ".verbose") == 0) ||
	       (strncmp(f->path, "train.", 6) != 0 && strncmp(f->path, "data.", 5) != 0);
}

static void hash_text(const unsigned char hash[32], char out[65])
{
	for (int i = 0; i < 32; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

RtStatus rt_train_identity(RtTrainer *t)
{
	unsigned char part[64];
	t->arguments = json_object();
	for (uint32_t i = 0; i < t->model->nfields; i++) {
		const RtField *f = &t->model->field[i];
		if (!is_free(f))
			json_object_set_new(t->arguments, f->path, json_string(rt_config_value(&t->config, i)));
	}
	memset(part, 0, sizeof part);
	rt_dataset_hash(t->train_data, part);
	if (t->val_data)
		rt_dataset_hash(t->val_data, part + 32);
	rt_hash(part, sizeof part, t->files_hash);
	return t->arguments ? RT_OK : rt_fail(RT_NOMEM, "out of memory for the arguments");
}

static RtStatus check_identity(const RtTrainer *t, const json_t *state)
{
	char hash[65];
	const char *key;
	json_t *value;
	const json_t *theirs = json_object_get(state, "arguments");
	const char *model = json_string_value(json_object_get(state, "model"));
	hash_text(t->model->model_hash, hash);
	if (!model || strcmp(model, hash) != 0)
		return rt_fail(RT_BAD_WEIGHTS,
			       "the checkpoint in %s was made by another model; start anew without resume",
			       t->run.path);
	json_object_foreach(t->arguments, key, value)
	{
		const char *mine = json_string_value(value), *other = json_string_value(json_object_get(theirs, key));
		if (!other || strcmp(mine, other) != 0)
			return rt_fail(
				RT_BAD_WEIGHTS,
				"%s is '%s' now and was '%s' in the checkpoint in %s; set it back, or start anew "
				"without resume",
				key, mine, other ? other : "not set", t->run.path);
	}
	const char *files = json_string_value(json_object_get(state, "files"));
	hash_text(t->files_hash, hash);
	if (!files || strcmp(files, hash) != 0)
		return rt_fail(RT_BAD_WEIGHTS,
			       "the data files are not those of the checkpoint in %s (data.train, data.validation): "
			       "some were added, removed or changed",
			       t->run.path);
	const char *schedule = json_string_value(json_object_get(state, "schedule"));
	hash_text(t->model->schedule_key, hash);
	if (!schedule || strcmp(schedule, hash) != 0)
		fprintf(t->err, "warning: the program was compiled with another schedule than the checkpoint, so last "
				"bits may differ\n");
	return RT_OK;
}

/* ---- saving ---- */

static json_t *sums_json(const RtMetrics *m)
{
	json_t *sums = json_array();
	for (uint32_t i = 0; i < m->model->metric_doubles; i++)
		json_array_append_new(sums, rt_json_double(m->sum[i]));
	return sums;
}

static char *state_text(const RtTrainer *t)
{
	char model[65], schedule[65], files[65];
	uint32_t pass;
	int64_t position;
	hash_text(t->model->model_hash, model);
	hash_text(t->model->schedule_key, schedule);
	hash_text(t->files_hash, files);
	rt_stream_tell(t->train_stream, &pass, &position);
	double seconds = rt_train_seconds(t);
	json_t *root = json_pack("{s:i, s:s, s:s, s:s, s:O, s:o, s:o}", "version", 1, "model", model, "schedule",
				 schedule, "files", files, "arguments", t->arguments, "sums", sums_json(&t->train),
				 "callbacks", rt_callbacks_state(t->callbacks));
	json_t *more =
		json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:o, s:o, s:b, s:I, s:b, s:f}", "phase",
			  (json_int_t)t->phase, "phase_step", (json_int_t)t->phase_step, "phase_epoch",
			  (json_int_t)t->phase_epoch, "step",
			  (json_int_t)t->step, "epoch", (json_int_t)t->epoch, "step_in_epoch",
			  (json_int_t)t->step_in_epoch, "trained", t->epoch_trained, "pass", (json_int_t)pass,
			  "position", (json_int_t)position, "samples", (json_int_t)t->train.samples, "lr",
			  rt_json_double((double)t->lr), "best", rt_json_double(t->best), "has_best", t->has_best,
			  "best_epoch", (json_int_t)t->best_epoch, "stopped", t->stopped, "seconds", seconds);
	json_object_set_new(root, "joules", rt_json_double(rt_train_joules(t)));
	json_object_set_new(root, "calibration", rt_train_calibration_json(&t->calibration));
	json_object_set_new(root, "best_calibration", rt_train_calibration_json(&t->best_calibration));
	char *text = NULL;
	if (root && more && json_object_update(root, more) == 0)
		text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	json_decref(more);
	return text;
}

static RtStatus write_checkpoint(RtTrainer *t)
{
	int kept = rt_callbacks_tensors(t->callbacks, &t->in, NULL, NULL, 0), n = (int)t->model->ntensors;
	char *state = state_text(t);
	RtStTensor *tensor = rt_sys.alloc((size_t)(n + kept + 1) * sizeof *tensor);
	RtKeptName *names = rt_sys.alloc((size_t)(kept + 1) * sizeof *names);
	RtStatus s = RT_OK;
	if (!state || !tensor || !names)
		s = rt_fail(RT_NOMEM, "out of memory for a checkpoint");
	for (int i = 0; i < n && s == RT_OK; i++)
		tensor[i] = rt_st_tensor_of(&t->model->tensor[i], rt_tensor_data(&t->in, &t->model->tensor[i]));
	if (s == RT_OK) {
		rt_callbacks_tensors(t->callbacks, &t->in, tensor + n, names, kept);
		s = rt_checkpoint_write(t->run.path, t->generation + 1, tensor, n + kept, state);
	}
	free(state);
	rt_sys.release(tensor);
	rt_sys.release(names);
	return s;
}

RtStatus rt_train_save(RtTrainer *t)
{
	RtStatus s = rt_instance_settle(&t->in);
	if (s != RT_OK)
		return s;
	const RtTensor *bad = rt_tensor_nonfinite(&t->in, true);
	if (bad)
		return rt_fail(RT_NONFINITE,
			       "tensor '%s' holds NaN or infinity after step %u; the weights on the disk are those "
			       "from before",
			       bad->name, t->step);
	s = write_checkpoint(t);
	t->saved = rt_sys.monotonic_ns();
	t->unsaved = s == RT_IO;
	if (s == RT_OK)
		t->generation++;
	if (s != RT_IO)
		return s;
	rt_progress_break(&t->progress);
	fprintf(t->err, "warning: no checkpoint: %s; training goes on and tries again\n", rt_message());
	return RT_OK;
}

/* ---- resuming ---- */

static RtStatus restore_tensors(RtTrainer *t, const RtSafetensors *st)
{
	for (uint32_t i = 0; i < t->model->ntensors; i++) {
		const RtTensor *to = &t->model->tensor[i];
		const RtStTensor *from = rt_st_find(st, to->name);
		RtStTensor want = rt_st_tensor_of(to, NULL);
		if (!from || from->dtype != want.dtype || from->bytes != want.bytes)
			return rt_fail(RT_BAD_WEIGHTS, "the checkpoint in %s lacks the tensor '%s'", t->run.path,
				       to->name);
		memcpy(rt_tensor_write(&t->in, to), from->data, from->bytes);
	}
	return RT_OK;
}

static int64_t whole(const json_t *state, const char *name)
{
	int64_t v = json_integer_value(json_object_get(state, name));
	return v < 0 ? 0 : v;
}

static RtStatus restore_state(RtTrainer *t, const json_t *state)
{
	const json_t *sums = json_object_get(state, "sums");
	t->step = (uint32_t)whole(state, "step");
	t->epoch = whole(state, "epoch");
	t->step_in_epoch = whole(state, "step_in_epoch");
	t->epoch_trained = json_is_true(json_object_get(state, "trained"));
	t->lr = (float)rt_double_of_json(json_object_get(state, "lr"), t->lr);
	t->best = rt_double_of_json(json_object_get(state, "best"), 0);
	t->has_best = json_is_true(json_object_get(state, "has_best"));
	t->best_epoch = whole(state, "best_epoch");
	rt_train_calibration_read(&t->calibration, json_object_get(state, "calibration"));
	rt_train_calibration_read(&t->best_calibration, json_object_get(state, "best_calibration"));
	t->stopped = json_is_true(json_object_get(state, "stopped"));
	t->seconds = json_real_value(json_object_get(state, "seconds"));
	t->joules = rt_double_of_json(json_object_get(state, "joules"), NAN);
	t->train.samples = whole(state, "samples");
	if (json_array_size(sums) != t->model->metric_doubles)
		return rt_fail(RT_BAD_WEIGHTS, "the checkpoint in %s has other metrics", t->run.path);
	for (uint32_t i = 0; i < t->model->metric_doubles; i++)
		t->train.sum[i] = rt_double_of_json(json_array_get(sums, i), 0);
	return rt_stream_seek(t->train_stream, (uint32_t)whole(state, "pass"), whole(state, "position"));
}

/* What a kill in the middle of writing may have left. */
static void remove_temporaries(const RtTrainer *t)
{
	static const char *const names[] = {"checkpoint-a.tmp",
					    "checkpoint-b.tmp",
					    "results.csv.tmp",
					    "args.yaml.tmp",
					    "labels.txt.tmp",
					    "weights/best.safetensors.tmp",
					    "weights/last.safetensors.tmp",
					    "profile.json.tmp",
					    "results.json.tmp"};
	char path[RT_PATH_MAX];
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (rt_run_file(&t->run, names[i], path))
			rt_sys.unlink(path);
	}
}

static RtStatus restore_from(RtTrainer *t, const RtCheckpoint *c)
{
	RtStatus s = check_identity(t, c->state);
	t->phase_step = (uint32_t)whole(c->state, "phase_step");
	t->phase_epoch = whole(c->state, "phase_epoch");
	if (s == RT_OK)
		s = rt_train_set_phase(t, (int)whole(c->state, "phase"));
	if (s == RT_OK)
		s = restore_tensors(t, &c->st);
	if (s == RT_OK)
		s = rt_callbacks_restore(t->callbacks, json_object_get(c->state, "callbacks"), &c->st, &t->in);
	if (s == RT_OK)
		s = restore_state(t, c->state);
	t->generation = c->generation;
	if (s == RT_OK)
		s = rt_train_csv_keep(t);
	return s;
}

/* t->run is the folder to resume. */
RtStatus rt_train_restore(RtTrainer *t, bool *found)
{
	char note[1200];
	RtCheckpoint c;
	RtStatus s = rt_checkpoint_newest(t->run.path, &c, note, sizeof note);
	*found = s == RT_OK && c.bytes;
	if (!*found)
		return s;
	if (note[0])
		fprintf(t->err, "warning: %s; going on from the checkpoint before it\n", note);
	remove_temporaries(t);
	s = restore_from(t, &c);
	rt_checkpoint_free(&c);
	return s;
}

bool rt_train_finished(const RtTrainer *t)
{
	return t->phase + 1 >= t->nphases && rt_train_phase_finished(t);
}

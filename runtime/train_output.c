/* train_output.c -- what a training leaves: args.yaml, labels.txt, results.csv, weights, and the predictor with weights
 *
 * Every file is written whole. Disk trouble is told, remembered and tried again; it never ends the training.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/bundle.h"
#include "runtime/durable.h"
#include "runtime/sys.h"
#include "runtime/train.h"
#include "runtime/weights.h"

static RtStatus run_file(const RtTrainer *t, const char *name, char *path)
{
	return rt_run_file(&t->run, name, path) ? RT_OK : rt_fail(RT_IO, "the path is too long: %.200s", t->run.path);
}

/* Turns RT_IO into a warning. */
RtStatus rt_train_warned(RtTrainer *t, RtStatus s)
{
	if (s == RT_OK || s != RT_IO)
		return s;
	rt_progress_break(&t->progress);
	fprintf(t->err, "warning: %s\n", rt_message());
	t->outputs_failed = true;
	return RT_OK;
}

/* ---- start ---- */

static RtStatus write_labels(RtTrainer *t, const char *path)
{
	char *text = NULL;
	size_t length = 0;
	FILE *f = open_memstream(&text, &length);
	if (!f)
		return rt_fail(RT_NOMEM, "out of memory for labels.txt");
	for (int i = 0; i < rt_dataset_classes(t->train_data); i++)
		fprintf(f, "%s\n", rt_dataset_class(t->train_data, i));
	fclose(f);
	RtStatus s = rt_write_file(path, text, length, 0666);
	free(text);
	return s;
}

RtStatus rt_train_start_files(RtTrainer *t)
{
	char path[RT_PATH_MAX], *yaml;
	RtStatus s = rt_config_yaml(&t->config, true, &yaml);
	if (s != RT_OK)
		return s;
	s = run_file(t, "args.yaml", path);
	if (s == RT_OK)
		s = rt_write_file(path, yaml, strlen(yaml), 0666);
	rt_sys.release(yaml);
	if (s == RT_OK && rt_dataset_classes(t->train_data) > 0) {
		s = run_file(t, "labels.txt", path);
		if (s == RT_OK)
			s = write_labels(t, path);
	}
	return rt_train_warned(t, s);
}

/* ---- results.csv ---- */

static RtStatus csv_append(RtTrainer *t, const char *piece)
{
	size_t n = strlen(piece);
	char *bigger = rt_sys.resize(t->csv, t->csv_length + n + 1);
	if (!bigger)
		return rt_fail(RT_NOMEM, "out of memory for the rows of results.csv");
	memcpy(bigger + t->csv_length, piece, n + 1);
	t->csv = bigger;
	t->csv_length += n;
	return RT_OK;
}

RtStatus rt_train_row(RtTrainer *t, const RtShown *log, int n)
{
	char piece[128], path[RT_PATH_MAX];
	RtStatus s = RT_OK;
	if (t->csv_length == 0) {
		s = csv_append(t, "epoch,step,time_s");
		for (int i = 0; i < n && s == RT_OK; i++) {
			snprintf(piece, sizeof piece, ",%s", log[i].name);
			s = csv_append(t, piece);
		}
		s = s == RT_OK ? csv_append(t, "\n") : s;
	}
	snprintf(piece, sizeof piece, "%lld,%u,%.3f", (long long)t->epoch + 1, t->step, rt_train_seconds(t));
	s = s == RT_OK ? csv_append(t, piece) : s;
	for (int i = 0; i < n && s == RT_OK; i++) {
		/* the rate is a float: its digits beyond the seventh are noise */
		snprintf(piece, sizeof piece, strcmp(log[i].name, "learning_rate") == 0 ? ",%.7g" : ",%.9g",
			 log[i].value);
		s = csv_append(t, piece);
	}
	s = s == RT_OK ? csv_append(t, "\n") : s;
	s = s == RT_OK ? run_file(t, "results.csv", path) : s;
	return rt_train_warned(t, s == RT_OK ? rt_write_file(path, t->csv, t->csv_length, 0666) : s);
}

RtStatus rt_train_csv_keep(RtTrainer *t)
{
	char path[RT_PATH_MAX];
	unsigned char *bytes;
	size_t length, at = 0;
	RtStatus s = run_file(t, "results.csv", path);
	struct stat st;
	if (s != RT_OK || rt_sys.stat(path, &st) != 0)
		return s;
	s = rt_read_file(path, RT_IO, &bytes, &length);
	if (s != RT_OK)
		return s;
	for (bool header = true; at < length; header = false) {
		char *end = memchr(bytes + at, '\n', length - at);
		if (!end || (!header && strtoll((char *)bytes + at, NULL, 10) > t->epoch))
			break;
		at = (size_t)(end + 1 - (char *)bytes);
	}
	bytes[at] = '\0';
	t->csv = (char *)bytes;
	t->csv_length = at;
	return at < length ? rt_train_warned(t, rt_write_file(path, bytes, at, 0666)) : RT_OK;
}

/* ---- weights ---- */

void rt_train_meta(const RtTrainer *t, RtTrainMeta *out)
{
	int n = 0;
	for (int i = 0; i < 32; i++)
		snprintf(out->hash + 2 * i, 3, "%02x", t->model->model_hash[i]);
	snprintf(out->epoch, sizeof out->epoch, "%lld", (long long)t->epoch);
	const char *pairs[] = {"format", "cnnc", "model", t->model->name, "model_hash", out->hash, "epoch", out->epoch};
	for (; n < 8; n++)
		out->pair[n] = pairs[n];
	if (t->labels_json) {
		out->pair[n++] = "labels";
		out->pair[n++] = t->labels_json;
	}
	if (t->calibration.samples > 0) {
		snprintf(out->temperature, sizeof out->temperature, "%.9g", t->calibration.temperature);
		out->pair[n++] = "temperature";
		out->pair[n++] = out->temperature;
	}
	out->pair[n] = NULL;
}

static RtStatus weights_path(const RtTrainer *t, const char *name, char *path)
{
	char file[64];
	snprintf(file, sizeof file, "weights/%s.safetensors", name);
	return run_file(t, file, path);
}

RtStatus rt_train_weights(RtTrainer *t, const char *name)
{
	char path[RT_PATH_MAX];
	RtTrainMeta meta;
	rt_train_meta(t, &meta);
	RtStatus s = weights_path(t, name, path);
	return s == RT_OK ? rt_weights_save(&t->in, path, meta.pair) : s;
}

/* ---- the predictor ---- */

static bool strip_train(char *path)
{
	size_t n = strlen(path), k = sizeof "-train" - 1;
	if (n <= k || strcmp(path + n - k, "-train") != 0)
		return false;
	path[n - k] = '\0';
	return true;
}

/* Where the predictor is, and how the user calls it. */
static bool predictor_path(const RtTrainer *t, char *path, char *shown)
{
	ssize_t n = readlink("/proc/self/exe", path, RT_PATH_MAX - 1);
	if (n <= 0)
		return false;
	path[n] = '\0';
	if (!strip_train(path))
		return false;
	bool named = strchr(t->args.program, '/') && rt_path_join(shown, "", t->args.program) && strip_train(shown);
	if (!named)
		memcpy(shown, path, RT_PATH_MAX);
	return true;
}

RtStatus rt_train_bundle(RtTrainer *t, const char *weights, const char *said)
{
	char path[RT_PATH_MAX], shown[RT_PATH_MAX];
	struct stat st;
	RtStatus s;
	if (!predictor_path(t, path, shown) || rt_sys.stat(path, &st) != 0)
		s = rt_fail(RT_IO,
			    "there is no predictor beside %s to put the weights into; it takes them with --weights %s",
			    t->args.program, weights);
	else
		s = rt_bundle_write(path, weights, t->model->model_hash);
	if (s == RT_OK)
		fprintf(t->out, "%s now holds the %s\n", shown, said);
	else
		fprintf(t->err, "warning: %s\n", rt_message());
	return s;
}

RtStatus rt_train_bundle_run(RtTrainer *t, const char *run)
{
	static const char *const names[] = {"best", "last"};
	char file[64], path[RT_PATH_MAX], said[64];
	struct stat st;
	for (int i = 0; i < 2; i++) {
		snprintf(file, sizeof file, "weights/%s.safetensors", names[i]);
		if (!rt_path_join(path, run, file) || rt_sys.stat(path, &st) != 0)
			continue;
		snprintf(said, sizeof said, "%s weights of that run", names[i]);
		RtStatus s = rt_train_bundle(t, path, said);
		return s == RT_OK ? s : rt_fail(s, "nothing was changed");
	}
	return rt_fail(RT_BAD_WEIGHTS, "%s holds neither weights/best.safetensors nor weights/last.safetensors", run);
}

/* ---- --profile ---- */

RtStatus rt_train_profile(RtTrainer *t)
{
	char path[RT_PATH_MAX];
	if (!t->profile)
		return RT_OK;
	rt_profile_print(t->profile, t->err);
	RtStatus s = run_file(t, "profile.json", path);
	return rt_train_warned(t, s == RT_OK ? rt_profile_trace(t->profile, path) : s);
}

/* ---- end ---- */

static void list_files(const RtTrainer *t)
{
	static const char *const names[] = {"args.yaml", "results.csv", "results.json", "report.html", "MODEL_CARD.md", "tensorboard", "labels.txt", "weights/best.safetensors",
					    "weights/last.safetensors", "profile.json"};
	char path[RT_PATH_MAX];
	struct stat st;
	fprintf(t->out, "%s:", t->run.path);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (rt_run_file(&t->run, names[i], path) && rt_sys.stat(path, &st) == 0)
			fprintf(t->out, " %s", names[i]);
	}
	fputs("\n", t->out);
}

static RtStatus finish(RtTrainer *t)
{
	char path[RT_PATH_MAX], said[100];
	struct stat st;
	RtStatus s = RT_OK;
	if (rt_callbacks_train_end(t->callbacks, &t->in, t->err) && t->calibrator.room > 0)
		s = rt_train_validate(t); /* other weights, another temperature */
	if (s == RT_OK)
		s = rt_train_warned(t, rt_train_weights(t, "last"));
	if (s != RT_OK)
		return s;
	s = rt_train_warned(t, rt_train_results(t));
	if (s == RT_OK)
		s = rt_train_report(t, true);
	if (s != RT_OK)
		return s;
	list_files(t);
	bool best =
		t->val_stream && t->has_best && weights_path(t, "best", path) == RT_OK && rt_sys.stat(path, &st) == 0;
	if (best)
		snprintf(said, sizeof said, "best weights (epoch %lld, val_loss %.4f)", (long long)t->best_epoch,
			 t->best);
	else
		snprintf(said, sizeof said, "last weights (epoch %lld)", (long long)t->epoch);
	if (best || (weights_path(t, "last", path) == RT_OK && rt_sys.stat(path, &st) == 0))
		rt_train_bundle(t, path, said);
	rt_train_say_calibration(t, best ? &t->best_calibration : &t->calibration);
	rt_train_say_energy(t);
	rt_train_say_findings(t);
	return RT_OK;
}

RtStatus rt_train_finish(RtTrainer *t)
{
	rt_train_swap_averages(t);
	RtStatus s = finish(t);
	rt_train_swap_averages(t);
	return s;
}

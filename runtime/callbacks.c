/* callbacks.c -- decisions at the end of an epoch (rules: keras/src/callbacks) */
#include "runtime/callbacks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/durable.h"
#include "runtime/sys.h"
#include "runtime/weights.h"

typedef struct Callback Callback;

typedef struct Kind {
	const char *name;
	RtStatus (*open)(Callback *cb, const RtConfig *config);
	RtStatus (*epoch_end)(Callback *cb, const RtEpochEnd *e);
} Kind;

struct Callback {
	const Kind *kind;
	char section[80]; /* "train.callbacks" */
	int index;
	const char *folder;
	const char *monitor, *file, *separator; /* borrowed from the configuration */
	bool more, verbose, warned, has_baseline, save_best_only, restore, append;
	double min_delta, baseline, factor, min_lr;
	int64_t patience, start_from_epoch, cooldown;
	/* ---- state ---- */
	bool has_best, stopped;
	double best;
	int64_t wait, best_epoch, cooldown_left, stopped_epoch;
	unsigned char *kept; /* copy of the parameter slab */
	size_t kept_bytes;
	char *text; /* CSV so far */
	size_t text_length;
};

struct RtCallbacks {
	Callback *cb;
	int n;
};

/* ---- shared ---- */

bool rt_more_is_better(const char *monitor, const char *mode)
{
	if (strcmp(mode, "auto") != 0)
		return strcmp(mode, "max") == 0;
	const char *name = strncmp(monitor, "val_", 4) == 0 ? monitor + 4 : monitor;
	return !strstr(name, "loss") && !strstr(name, "error") && !strstr(name, "entropy") &&
	       strcmp(name, "learning_rate") != 0;
}

json_t *rt_json_double(double v)
{
	char text[20];
	uint64_t bits;
	memcpy(&bits, &v, sizeof bits);
	snprintf(text, sizeof text, "%016llx", (unsigned long long)bits);
	return json_string(text);
}

double rt_double_of_json(const json_t *j, double otherwise)
{
	const char *text = json_string_value(j);
	if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
		return otherwise;
	uint64_t bits = strtoull(text, NULL, 16);
	double v;
	memcpy(&v, &bits, sizeof v);
	return v;
}

static const double *find_log(const RtShown *log, int n, const char *name)
{
	for (int i = 0; i < n; i++) {
		if (strcmp(log[i].name, name) == 0)
			return &log[i].value;
	}
	return NULL;
}

/* The watched number, or NULL after one warning. */
static const double *watched(Callback *cb, const RtEpochEnd *e)
{
	const double *v = find_log(e->log, e->nlog, cb->monitor);
	if (!v && !cb->warned) {
		fprintf(e->say, "warning: %s watches '%s', which this run does not compute\n", cb->kind->name,
			cb->monitor);
		cb->warned = true;
	}
	return v;
}

static bool better(const Callback *cb, double value, double than)
{
	return cb->more ? value - cb->min_delta > than : value + cb->min_delta < than;
}

/* Writing a side file never ends the training; disk trouble is told and tried again next time. */
static RtStatus soft(RtStatus s, const Callback *cb, const RtEpochEnd *e)
{
	if (s == RT_IO || s == RT_NONFINITE) {
		fprintf(e->say, "warning: %s: %s\n", cb->kind->name, rt_message());
		return RT_OK;
	}
	return s;
}

/* ---- {name:spec} ---- */

static bool valid_spec(const char *spec, bool whole)
{
	spec += strspn(spec, "0123456789");
	if (*spec == '.')
		spec += 1 + strspn(spec + 1, "0123456789");
	if (*spec == '\0')
		return true;
	return spec[1] == '\0' && strchr(whole ? "d" : "fegFEG", *spec) != NULL;
}

static RtStatus format_one(char *out, size_t size, char *name, int64_t epoch, const RtShown *log, int n)
{
	char *spec = strchr(name, ':'), format[32];
	if (spec)
		*spec++ = '\0';
	bool whole = strcmp(name, "epoch") == 0;
	const double *v = find_log(log, n, name);
	size_t length = spec ? strlen(spec) : 0;
	if (!whole && !v)
		return rt_fail(RT_USAGE, "the file path names '{%s}', which this run does not compute", name);
	if (length > 12 || (spec && (!valid_spec(spec, whole) || strspn(spec, "0123456789") > 3)))
		return rt_fail(RT_USAGE, "the file path has the unknown format '{%s:%s}'", name, spec);
	bool typed = length && strchr("dfegFEG", spec[length - 1]);
	snprintf(format, sizeof format, "%%%.*s%s", (int)(typed ? length - 1 : length), spec ? spec : "",
		 whole   ? "lld"
		 : typed ? spec + length - 1
			 : "g");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	if (whole)
		snprintf(out, size, format, (long long)epoch + 1);
	else
		snprintf(out, size, format, *v);
#pragma GCC diagnostic pop
	return RT_OK;
}

RtStatus rt_format_path(char *out, size_t size, const char *pattern, int64_t epoch, const RtShown *log, int n)
{
	size_t used = 0;
	out[0] = '\0';
	for (const char *p = pattern; *p;) {
		char name[64], value[1100];
		const char *close = *p == '{' ? strchr(p, '}') : NULL;
		value[0] = *p;
		value[1] = '\0';
		if (close && (size_t)(close - p) < sizeof name) {
			memcpy(name, p + 1, (size_t)(close - p - 1));
			name[close - p - 1] = '\0';
			RtStatus s = format_one(value, sizeof value, name, epoch, log, n);
			if (s != RT_OK)
				return s;
			p = close;
		}
		p++;
		size_t length = strlen(value);
		if (used + length + 1 > size)
			return rt_fail(RT_USAGE, "the file path is too long: %.200s", pattern);
		memcpy(out + used, value, length + 1);
		used += length;
	}
	return RT_OK;
}

/* ---- fields ---- */

static const char *field(const Callback *cb, const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s.%d.%s.%s", cb->section, cb->index, cb->kind->name, name);
	return path;
}

static const char *text_of(const Callback *cb, const RtConfig *c, const char *name, const char *otherwise)
{
	char path[200];
	return rt_config_text(c, field(cb, name, path, sizeof path), otherwise);
}

static bool bool_of(const Callback *cb, const RtConfig *c, const char *name, bool otherwise)
{
	char path[200];
	return rt_config_bool(c, field(cb, name, path, sizeof path), otherwise);
}

static RtStatus count_of(const Callback *cb, const RtConfig *c, const char *name, int64_t otherwise, int64_t *out)
{
	char path[200];
	return rt_config_int_in(c, field(cb, name, path, sizeof path), otherwise, 0, INT32_MAX, out);
}

static RtStatus number_of(const Callback *cb, const RtConfig *c, const char *name, double otherwise, double lo,
			  double hi, double *out)
{
	char path[200];
	return rt_config_float_in(c, field(cb, name, path, sizeof path), otherwise, lo, hi, out);
}

static void open_monitor(Callback *cb, const RtConfig *c)
{
	cb->monitor = text_of(cb, c, "monitor", "val_loss");
	cb->more = rt_more_is_better(cb->monitor, text_of(cb, c, "mode", "auto"));
	cb->verbose = rt_config_int(c, field(cb, "verbose", (char[200]){0}, 200), 0) > 0;
}

/* ---- EarlyStopping ---- */

static RtStatus early_open(Callback *cb, const RtConfig *c)
{
	open_monitor(cb, c);
	cb->restore = bool_of(cb, c, "restore_best_weights", false);
	cb->has_baseline = text_of(cb, c, "baseline", NULL) != NULL;
	RtStatus s = number_of(cb, c, "baseline", 0, -1e300, 1e300, &cb->baseline);
	if (s == RT_OK)
		s = number_of(cb, c, "min_delta", 0, 0, 1e300, &cb->min_delta);
	if (s == RT_OK)
		s = count_of(cb, c, "patience", 0, &cb->patience);
	return s == RT_OK ? count_of(cb, c, "start_from_epoch", 0, &cb->start_from_epoch) : s;
}

static RtStatus keep_weights(Callback *cb, const RtInstance *in, int64_t epoch)
{
	cb->best_epoch = epoch;
	if (!cb->restore)
		return RT_OK;
	if (!cb->kept) {
		cb->kept_bytes = (size_t)in->model->params_bytes + RT_ALIGN;
		cb->kept = rt_sys.slab(cb->kept_bytes);
	}
	if (!cb->kept)
		return rt_fail(RT_NOMEM, "out of memory: %zu bytes to keep the best weights", cb->kept_bytes);
	memcpy(cb->kept, in->params, in->model->params_bytes);
	return RT_OK;
}

static RtStatus early_epoch_end(Callback *cb, const RtEpochEnd *e)
{
	const double *v = watched(cb, e);
	RtStatus s = RT_OK;
	if (!v || e->epoch < cb->start_from_epoch)
		return RT_OK;
	if (cb->restore && !cb->kept)
		s = keep_weights(cb, e->in, e->epoch);
	cb->wait++;
	if (!cb->has_best || better(cb, *v, cb->best)) {
		cb->has_best = true;
		cb->best = *v;
		/* progress short of the baseline does not reset the patience */
		if (!cb->has_baseline || better(cb, *v, cb->baseline))
			cb->wait = 0;
		return s == RT_OK ? keep_weights(cb, e->in, e->epoch) : s;
	}
	if (cb->wait >= cb->patience && e->epoch > 0) {
		cb->stopped = true;
		cb->stopped_epoch = e->epoch;
		*e->stop = true;
		if (cb->verbose)
			fprintf(e->say, "Epoch %lld: early stopping\n", (long long)e->epoch + 1);
	}
	return s;
}

/* ---- ModelCheckpoint ---- */

static RtStatus save_open(Callback *cb, const RtConfig *c)
{
	open_monitor(cb, c);
	cb->file = text_of(cb, c, "filepath", NULL);
	cb->save_best_only = bool_of(cb, c, "save_best_only", false);
	cb->has_best = text_of(cb, c, "initial_value_threshold", NULL) != NULL;
	if (!cb->file)
		return rt_fail(RT_USAGE, "%s.%d.ModelCheckpoint.filepath is empty", cb->section, cb->index);
	return number_of(cb, c, "initial_value_threshold", 0, -1e300, 1e300, &cb->best);
}

static RtStatus save_file(Callback *cb, const RtEpochEnd *e)
{
	char name[RT_PATH_MAX], path[RT_PATH_MAX], dir[RT_PATH_MAX];
	RtStatus s = rt_format_path(name, sizeof name - 16, cb->file, e->epoch, e->log, e->nlog);
	if (s != RT_OK)
		return s;
	size_t n = strlen(name);
	if (n < 12 || strcmp(name + n - 12, ".safetensors") != 0)
		memcpy(name + n, ".safetensors", 13);
	if (!rt_path_join(path, cb->folder, name))
		return rt_fail(RT_USAGE, "the file path is too long: %.200s", name);
	memcpy(dir, path, sizeof dir);
	char *slash = strrchr(dir, '/');
	if (slash) {
		*slash = '\0';
		s = rt_make_dirs(dir);
	}
	if (s == RT_OK)
		s = rt_weights_save(e->in, path, e->meta);
	if (s == RT_OK && cb->verbose)
		fprintf(e->say, "Epoch %lld: weights saved to %s\n", (long long)e->epoch + 1, path);
	return soft(s, cb, e);
}

static RtStatus save_epoch_end(Callback *cb, const RtEpochEnd *e)
{
	if (!cb->save_best_only)
		return save_file(cb, e);
	const double *v = watched(cb, e);
	if (!v || (cb->has_best && !better(cb, *v, cb->best)))
		return RT_OK;
	cb->has_best = true;
	cb->best = *v;
	return save_file(cb, e);
}

/* ---- ReduceLROnPlateau ---- */

static RtStatus plateau_open(Callback *cb, const RtConfig *c)
{
	open_monitor(cb, c);
	RtStatus s = number_of(cb, c, "factor", 0.1, 0, 1, &cb->factor);
	if (s == RT_OK && cb->factor >= 1)
		s = rt_fail(RT_USAGE, "%s.%d.ReduceLROnPlateau.factor must be less than 1", cb->section,
			    cb->index);
	if (s == RT_OK)
		s = number_of(cb, c, "min_delta", 1e-4, 0, 1e300, &cb->min_delta);
	if (s == RT_OK)
		s = number_of(cb, c, "min_lr", 0, 0, 1e300, &cb->min_lr);
	if (s == RT_OK)
		s = count_of(cb, c, "cooldown", 0, &cb->cooldown);
	return s == RT_OK ? count_of(cb, c, "patience", 10, &cb->patience) : s;
}

static void lower_rate(Callback *cb, const RtEpochEnd *e)
{
	double old = (double)*e->lr;
	if (old <= (double)(float)cb->min_lr)
		return;
	*e->lr = (float)fmax(old * cb->factor, cb->min_lr);
	cb->cooldown_left = cb->cooldown;
	cb->wait = 0;
	if (cb->verbose)
		fprintf(e->say, "Epoch %lld: learning rate lowered to %g\n", (long long)e->epoch + 1, (double)*e->lr);
}

static RtStatus plateau_epoch_end(Callback *cb, const RtEpochEnd *e)
{
	const double *v = watched(cb, e);
	if (!v)
		return RT_OK;
	if (cb->cooldown_left > 0) {
		cb->cooldown_left--;
		cb->wait = 0;
	}
	if (!cb->has_best || better(cb, *v, cb->best)) {
		cb->has_best = true;
		cb->best = *v;
		cb->wait = 0;
	} else if (cb->cooldown_left == 0 && ++cb->wait >= cb->patience) {
		lower_rate(cb, e);
	}
	return RT_OK;
}

/* ---- CSVLogger ---- */

static RtStatus csv_open(Callback *cb, const RtConfig *c)
{
	cb->file = text_of(cb, c, "filename", NULL);
	cb->separator = text_of(cb, c, "separator", ",");
	cb->append = bool_of(cb, c, "append", false);
	return cb->file ? RT_OK : rt_fail(RT_USAGE, "%s.%d.CSVLogger.filename is empty", cb->section, cb->index);
}

static int shown_by_name(const void *a, const void *b)
{
	const RtShown *x = a, *y = b;
	return strcmp(x->name, y->name);
}

static RtStatus csv_add(Callback *cb, const char *piece)
{
	size_t n = strlen(piece);
	char *bigger = rt_sys.resize(cb->text, cb->text_length + n + 1);
	if (!bigger)
		return rt_fail(RT_NOMEM, "out of memory for the rows of %s", cb->file);
	cb->text = bigger;
	memcpy(cb->text + cb->text_length, piece, n + 1);
	cb->text_length += n;
	return RT_OK;
}

/* A row of all numbers but the learning rate, in the order of their names; epoch counts from 0, as Keras has it. */
static RtStatus csv_row(Callback *cb, const RtEpochEnd *e, bool header)
{
	RtShown sorted[80];
	char piece[64];
	int n = e->nlog < 80 ? e->nlog : 80;
	memcpy(sorted, e->log, (size_t)n * sizeof *sorted);
	qsort(sorted, (size_t)n, sizeof *sorted, shown_by_name);
	snprintf(piece, sizeof piece, "%lld", (long long)e->epoch);
	RtStatus s = csv_add(cb, header ? "epoch" : piece);
	for (int i = 0; i < n && s == RT_OK; i++) {
		if (strcmp(sorted[i].name, "learning_rate") == 0)
			continue;
		snprintf(piece, sizeof piece, "%.9g", sorted[i].value);
		s = csv_add(cb, cb->separator);
		if (s == RT_OK)
			s = csv_add(cb, header ? sorted[i].name : piece);
	}
	return s == RT_OK ? csv_add(cb, "\n") : s;
}

/* What an earlier run left, as far as it is wanted: all of it (append), or `keep` bytes (resume). */
static RtStatus csv_read(Callback *cb, size_t keep)
{
	char path[RT_PATH_MAX];
	struct stat st;
	if (!rt_path_join(path, cb->folder, cb->file) || rt_sys.stat(path, &st) != 0)
		return RT_OK;
	unsigned char *bytes;
	RtStatus s = rt_read_file(path, RT_IO, &bytes, &cb->text_length);
	if (s != RT_OK)
		return s;
	rt_sys.release(cb->text);
	cb->text = (char *)bytes;
	if (cb->text_length > keep)
		cb->text_length = keep;
	cb->text[cb->text_length] = '\0';
	return RT_OK;
}

static RtStatus csv_epoch_end(Callback *cb, const RtEpochEnd *e)
{
	char path[RT_PATH_MAX];
	RtStatus s = !cb->text && cb->append ? csv_read(cb, SIZE_MAX) : RT_OK;
	if (s == RT_OK && cb->text_length == 0)
		s = csv_row(cb, e, true);
	if (s == RT_OK)
		s = csv_row(cb, e, false);
	if (s == RT_OK && !rt_path_join(path, cb->folder, cb->file))
		s = rt_fail(RT_USAGE, "the file path is too long: %.200s", cb->file);
	return soft(s == RT_OK ? rt_write_file(path, cb->text, cb->text_length, 0666) : s, cb, e);
}

static RtStatus nothing_open(Callback *cb, const RtConfig *c)
{
	(void)cb, (void)c;
	return RT_OK;
}

static RtStatus nothing_epoch_end(Callback *cb, const RtEpochEnd *e)
{
	(void)cb, (void)e;
	return RT_OK;
}

static const Kind kinds[] = {
	{"EarlyStopping", early_open, early_epoch_end},         {"ModelCheckpoint", save_open, save_epoch_end},
	{"ReduceLROnPlateau", plateau_open, plateau_epoch_end}, {"CSVLogger", csv_open, csv_epoch_end},
	{"TerminateOnNaN", nothing_open, nothing_epoch_end},
};

/* ---- all of them ---- */

/* Kind and index of a field "SECTION.INDEX.KIND.…", or of "SECTION.INDEX" whose value is KIND. */
static const Kind *kind_of(const RtConfig *c, const char *section, uint32_t i, int *index)
{
	const char *path = c->model->field[i].path;
	size_t start = strlen(section);
	char *end;
	if (strncmp(path, section, start) != 0 || path[start] != '.')
		return NULL;
	*index = (int)strtol(path + start + 1, &end, 10);
	const char *name = *end == '.' ? end + 1 : rt_config_value(c, i);
	size_t n = strcspn(name, ".");
	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		if (strlen(kinds[k].name) == n && strncmp(kinds[k].name, name, n) == 0)
			return &kinds[k];
	}
	return NULL;
}

RtStatus rt_callbacks_new(const RtConfig *config, const char *section, const char *folder, RtCallbacks **out)
{
	RtStatus s = RT_OK;
	RtCallbacks *c = rt_sys.alloc(sizeof *c);
	*out = c;
	if (c)
		c->cb = rt_sys.alloc((config->model->nfields + 1) * sizeof *c->cb);
	if (!c || !c->cb)
		s = rt_fail(RT_NOMEM, "out of memory for callbacks");
	for (uint32_t i = 0; i < config->model->nfields && s == RT_OK; i++) {
		int index;
		const Kind *kind = kind_of(config, section, i, &index);
		if (!kind || (c->n && c->cb[c->n - 1].index == index))
			continue;
		c->cb[c->n] = (Callback){.kind = kind, .index = index, .folder = folder};
		snprintf(c->cb[c->n].section, sizeof c->cb[c->n].section, "%s", section);
		s = kind->open(&c->cb[c->n++], config);
	}
	if (s != RT_OK) {
		rt_callbacks_free(c);
		*out = NULL;
	}
	return s;
}

void rt_callbacks_free(RtCallbacks *c)
{
	for (int i = 0; c && i < c->n; i++) {
		if (c->cb[i].kept)
			rt_sys.slab_free(c->cb[i].kept, c->cb[i].kept_bytes);
		rt_sys.release(c->cb[i].text);
	}
	if (c)
		rt_sys.release(c->cb);
	rt_sys.release(c);
}

RtStatus rt_callbacks_epoch_end(RtCallbacks *c, const RtEpochEnd *e)
{
	RtStatus s = RT_OK;
	for (int i = 0; i < c->n && s == RT_OK; i++)
		s = c->cb[i].kind->epoch_end(&c->cb[i], e);
	return s;
}

bool rt_callbacks_train_end(RtCallbacks *c, RtInstance *in, FILE *say)
{
	bool restored = false;
	for (int i = 0; i < c->n; i++) {
		const Callback *cb = &c->cb[i];
		if (!cb->kept)
			continue;
		if (cb->verbose)
			fprintf(say, "Restoring the weights of epoch %lld\n", (long long)cb->best_epoch + 1);
		for (uint32_t k = 0; k < in->model->ntensors; k++) {
			const RtTensor *t = &in->model->tensor[k];
			if (rt_tensor_is_weight(t))
				memcpy(rt_tensor_write(in, t), cb->kept + t->offset, t->bytes);
		}
		restored = true;
	}
	return restored;
}

/* ---- state ---- */

json_t *rt_callbacks_state(const RtCallbacks *c)
{
	json_t *all = json_array();
	for (int i = 0; i < c->n; i++) {
		const Callback *cb = &c->cb[i];
		json_array_append_new(all,
				      json_pack("{s:s, s:b, s:o, s:I, s:I, s:I, s:b, s:I, s:b, s:I}", "kind",
						cb->kind->name, "has_best", cb->has_best, "best",
						rt_json_double(cb->best), "wait", (json_int_t)cb->wait, "best_epoch",
						(json_int_t)cb->best_epoch, "cooldown", (json_int_t)cb->cooldown_left,
						"stopped", cb->stopped, "stopped_epoch", (json_int_t)cb->stopped_epoch,
						"kept", cb->kept != NULL, "bytes", (json_int_t)cb->text_length));
	}
	return all;
}

static void kept_name(RtKeptName out, int which, const RtTensor *t)
{
	snprintf(out, sizeof(RtKeptName), "callback.%d/%s", which, t->name);
}

int rt_callbacks_tensors(const RtCallbacks *c, const RtInstance *in, RtStTensor *out, RtKeptName *names, int room)
{
	int n = 0;
	for (int i = 0; i < c->n; i++) {
		const Callback *cb = &c->cb[i];
		for (uint32_t k = 0; cb->kept && k < in->model->ntensors; k++) {
			const RtTensor *t = &in->model->tensor[k];
			if (!rt_tensor_is_weight(t) || n++ >= room)
				continue;
			out[n - 1] = rt_st_tensor_of(t, cb->kept + t->offset);
			kept_name(names[n - 1], i, t);
			out[n - 1].name = names[n - 1];
		}
	}
	return n;
}

static RtStatus restore_kept(Callback *cb, int which, const RtSafetensors *st, const RtInstance *in)
{
	RtStatus s = keep_weights(cb, in, cb->best_epoch);
	for (uint32_t k = 0; k < in->model->ntensors && s == RT_OK; k++) {
		const RtTensor *t = &in->model->tensor[k];
		RtKeptName name;
		if (!rt_tensor_is_weight(t))
			continue;
		kept_name(name, which, t);
		const RtStTensor *from = rt_st_find(st, name);
		size_t bytes = (size_t)rt_tensor_elems(t) * (size_t)rt_dtype_bytes(t->dtype);
		if (!from || from->bytes != bytes)
			return rt_fail(RT_BAD_WEIGHTS, "the checkpoint lacks the kept weights '%s'", name);
		memcpy(cb->kept + t->offset, from->data, from->bytes);
	}
	return s;
}

RtStatus rt_callbacks_restore(RtCallbacks *c, const json_t *state, const RtSafetensors *st, const RtInstance *in)
{
	RtStatus s = RT_OK;
	for (int i = 0; i < c->n && s == RT_OK; i++) {
		Callback *cb = &c->cb[i];
		const json_t *j = json_array_get(state, (size_t)i);
		const char *kind = json_string_value(json_object_get(j, "kind"));
		if (!kind || strcmp(kind, cb->kind->name) != 0 || json_array_size(state) != (size_t)c->n)
			return rt_fail(RT_BAD_WEIGHTS, "the checkpoint was made with other callbacks");
		cb->has_best = json_is_true(json_object_get(j, "has_best"));
		cb->best = rt_double_of_json(json_object_get(j, "best"), cb->best);
		cb->wait = json_integer_value(json_object_get(j, "wait"));
		cb->best_epoch = json_integer_value(json_object_get(j, "best_epoch"));
		cb->cooldown_left = json_integer_value(json_object_get(j, "cooldown"));
		cb->stopped = json_is_true(json_object_get(j, "stopped"));
		cb->stopped_epoch = json_integer_value(json_object_get(j, "stopped_epoch"));
		if (cb->file && cb->separator)
			s = csv_read(cb, (size_t)json_integer_value(json_object_get(j, "bytes")));
		if (s == RT_OK && json_is_true(json_object_get(j, "kept")) && cb->restore)
			s = restore_kept(cb, i, st, in);
	}
	return s;
}

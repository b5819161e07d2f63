/* predict_paths.c -- predicts pictures: files, and folders with all pictures below them in the order of their names
 *
 * Pictures are decoded by the pool, a batch at a time, and printed in order. One that can't be read is told on stderr
 * and makes the exit code 5; the others are still predicted.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/data_spec.h"
#include "runtime/durable.h"
#include "runtime/predict_heads.h"
#include "runtime/sys.h"

enum { MAX_DEPTH = 64, FEW = 8, REASON = 200 };

typedef struct Paths {
	char **path;
	size_t n, room;
} Paths;

typedef struct Batch { /* what the decoding parts share */
	const RtDataSpec *spec;
	char *const *path;
	unsigned char *rows;
	char (*reason)[REASON]; /* "": decoded */
	const RtHeads *heads;
	RtStatus status;        /* of writing masks */
} Batch;

/* ---- collecting ---- */

static RtStatus add(Paths *list, const char *path)
{
	size_t n = strlen(path) + 1;
	if (list->n == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		char **bigger = rt_sys.resize(list->path, room * sizeof *bigger);
		if (!bigger)
			return rt_fail(RT_NOMEM, "out of memory for %zu paths", room);
		list->path = bigger;
		list->room = room;
	}
	char *copy = rt_sys.alloc(n);
	if (!copy)
		return rt_fail(RT_NOMEM, "out of memory for %zu paths", list->n);
	memcpy(copy, path, n);
	list->path[list->n++] = copy;
	return RT_OK;
}

static void free_paths(Paths *list)
{
	for (size_t i = 0; i < list->n; i++)
		rt_sys.release(list->path[i]);
	rt_sys.release(list->path);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static RtStatus walk(Paths *list, const char *dir, int depth)
{
	Paths inside = {0};
	RtStatus s = RT_OK;
	DIR *d = opendir(dir);
	if (!d)
		return rt_fail_errno(RT_BAD_DATA, "open the folder", dir);
	for (struct dirent *e; s == RT_OK && (e = readdir(d)) != NULL;) {
		char path[RT_PATH_MAX];
		if (e->d_name[0] != '.' && rt_path_join(path, dir, e->d_name))
			s = add(&inside, path);
	}
	closedir(d);
	if (inside.n)
		qsort(inside.path, inside.n, sizeof *inside.path, by_bytes);
	for (size_t i = 0; i < inside.n && s == RT_OK; i++) {
		struct stat st;
		if (rt_sys.stat(inside.path[i], &st) != 0)
			continue;
		if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH) /* a loop of links ends there */
			s = walk(list, inside.path[i], depth + 1);
		else if (S_ISREG(st.st_mode) && rt_image_is_known(inside.path[i]))
			s = add(list, inside.path[i]);
	}
	free_paths(&inside);
	return s;
}

static RtStatus collect(const RtPredictor *p, Paths *list)
{
	for (int i = 0; i < p->nargs; i++) {
		struct stat st;
		bool folder = rt_sys.stat(p->arg[i], &st) == 0 && S_ISDIR(st.st_mode);
		size_t before = list->n;
		RtStatus s = folder ? walk(list, p->arg[i], 0) : add(list, p->arg[i]);
		if (s == RT_OK && folder && list->n == before)
			s = rt_fail(RT_BAD_DATA, "the folder %s holds no pictures (.jpg, .jpeg or .png)", p->arg[i]);
		if (s != RT_OK)
			return s;
	}
	return RT_OK;
}

/* ---- printing ---- */

static void print_text(const RtPredictor *p, const char *path, const RtAnswer *a, int classes)
{
	char room[24];
	fprintf(p->out, "%s  %s  %.3f", path, rt_predict_label(p, a->best, room), a->probability);
	bool *shown = rt_sys.alloc((size_t)classes);
	for (int64_t k = 1; shown && k < p->top_k && k < classes; k++) {
		int next = -1;
		shown[a->best] = true;
		for (int i = 0; i < classes; i++) {
			if (!shown[i] && (next < 0 || a->probabilities[i] > a->probabilities[next]))
				next = i;
		}
		shown[next] = true;
		fprintf(p->out, "  %s  %.3f", rt_predict_label(p, next, room), a->probabilities[next]);
	}
	rt_sys.release(shown);
	fputs("\n", p->out);
}

static json_t *top_k_json(const RtPredictor *p, const RtAnswer *a, int classes)
{
	json_t *top = json_array();
	double last = 2;
	int last_index = -1;
	for (int64_t k = 0; k < p->top_k && k < classes; k++) {
		int next = -1; /* next in the order (probability falling, index rising) */
		char room[24];
		for (int i = 0; i < classes; i++) {
			double v = a->probabilities[i];
			bool after = v < last || (v == last && i > last_index);
			if (after && (next < 0 || v > a->probabilities[next]))
				next = i;
		}
		if (next < 0)
			break;
		last = a->probabilities[next];
		last_index = next;
		json_array_append_new(top, json_pack("{s:s, s:i, s:o}", "label", rt_predict_label(p, next, room),
						     "index", next, "probability", rt_json_number(last)));
	}
	return top;
}

static void print_json(const RtPredictor *p, json_t *line)
{
	json_dumpf(line, p->out, JSON_COMPACT | JSON_REAL_PRECISION(9));
	fputs("\n", p->out);
	json_decref(line);
}

/* A path need not be UTF-8, but JSON is: other bytes become '?'. */
json_t *rt_path_json(const char *path)
{
	json_t *j = json_string(path);
	char copy[RT_PATH_MAX];
	if (j)
		return j;
	snprintf(copy, sizeof copy, "%s", path);
	for (char *c = copy; *c; c++)
		*c = (unsigned char)*c < 128 ? *c : '?';
	return json_string(copy);
}

static void print_class(const RtPredictor *p, const char *path, const RtAnswer *a, int classes)
{
	char room[24];
	if (!p->json) {
		print_text(p, path, a, classes);
		return;
	}
	json_t *all = json_object();
	for (int i = 0; i < classes; i++)
		json_object_set_new(all, rt_predict_label(p, i, room), rt_json_number(a->probabilities[i]));
	json_t *line = json_pack("{s:o, s:s, s:i, s:o, s:o}", "path", rt_path_json(path), "label",
				 rt_predict_label(p, a->best, room), "index", a->best, "probability",
				 rt_json_number(a->probability), "probabilities", all);
	if (p->top_k > 1)
		json_object_set_new(line, "top_k", top_k_json(p, a, classes));
	print_json(p, line);
}

static void print_values(const RtPredictor *p, const char *path, const RtEntry *e, int64_t row)
{
	int64_t n = (int64_t)e->out[0].row_bytes / (int64_t)sizeof(float);
	const float *v = (const float *)(const void *)p->in.out[0] + row * n;
	if (p->json) {
		json_t *values = json_array();
		for (int64_t i = 0; i < n; i++)
			json_array_append_new(values, rt_json_number((double)v[i]));
		print_json(p, json_pack("{s:o, s:o}", "path", rt_path_json(path), "values", values));
		return;
	}
	fputs(path, p->out);
	for (int64_t i = 0; i < n; i++)
		fprintf(p->out, "  %.6g", (double)v[i]);
	fputs("\n", p->out);
}

/* ---- batches ---- */

static void decode_one(void *arg, uint32_t i, void *scratch)
{
	Batch *b = arg;
	(void)scratch;
	b->reason[i][0] = '\0';
	if (rt_image_load(b->path[i], b->spec, b->rows + i * b->spec->xport.row_bytes) != RT_OK)
		snprintf(b->reason[i], REASON, "%s", rt_message());
}

/* Readable pictures move together at the front of the batch; order[k] is the picture in row k. */
static uint32_t compact(const RtPredictor *p, Batch *b, uint32_t n, uint32_t *order, int64_t *bad)
{
	uint32_t kept = 0;
	size_t row = b->spec->xport.row_bytes;
	for (uint32_t i = 0; i < n; i++) {
		if (b->reason[i][0]) {
			bool named = strstr(b->reason[i], b->path[i]) != NULL;
			fprintf(p->err, "warning: %s%s%s\n", named ? "" : b->path[i], named ? "" : ": ", b->reason[i]);
			++*bad;
			continue;
		}
		if (kept != i)
			memcpy(b->rows + kept * row, b->rows + i * row, row);
		order[kept++] = i;
	}
	return kept;
}

static void predict_batch(RtPredictor *p, const RtEntry *e, Batch *b, uint32_t n, uint32_t *order, double *room,
			  int64_t *bad)
{
	int classes = rt_predict_classes(p);
	rt_pool_for(p->pool, n, decode_one, b);
	uint32_t kept = compact(p, b, n, order, bad);
	unsigned char *ports[RT_MAX_PORTS] = {b->rows};
	if (kept == 0)
		return;
	rt_scalars_set(&p->in.scalars, p->model, kept, 0);
	if (!rt_instance_run(&p->in, e, ports, NULL))
		return;
	const float *scores = (const float *)(const void *)p->in.out[0];
	rt_predict_temper(p, p->in.out[0], kept);
	for (uint32_t k = 0; k < kept; k++) {
		RtAnswer a = {.probabilities = room};
		if (!rt_heads_plain(p, b->heads)) {
			RtStatus s = rt_heads_print(p, b->heads, b->spec, b->path[order[k]], k);
			b->status = b->status != RT_OK ? b->status : s;
			continue;
		}
		if (classes == 0) {
			print_values(p, b->path[order[k]], e, k);
			continue;
		}
		rt_predict_answer(p, scores + k * rt_predict_outputs(p), &a);
		print_class(p, b->path[order[k]], &a, classes);
	}
}

static RtStatus predict_all(RtPredictor *p, const RtEntry *e, const RtDataSpec *spec, const Paths *list)
{
	uint32_t most = (uint32_t)(list->n < p->model->max_n ? list->n : p->model->max_n);
	RtHeads heads;
	RtStatus opened = rt_heads_open(p, e, &heads);
	Batch b = {.spec = spec, .heads = &heads, .rows = rt_sys.slab((size_t)spec->xport.row_bytes * most)};
	uint32_t *order = rt_sys.alloc(most * sizeof *order);
	double *room = rt_sys.alloc(((size_t)rt_predict_classes(p) + 1) * sizeof *room);
	int64_t bad = 0;
	b.reason = rt_sys.alloc(most * sizeof *b.reason);
	RtStatus s = b.rows && order && room && b.reason
			     ? RT_OK
			     : rt_fail(RT_NOMEM, "out of memory for a batch of %u pictures", most);
	heads.several = list->n > 1;
	if (s == RT_OK && (s = opened) == RT_OK)
		rt_heads_begin(p, &heads);
	for (size_t at = 0; at < list->n && s == RT_OK; at += most) {
		b.path = list->path + at;
		predict_batch(p, e, &b, (uint32_t)(list->n - at < most ? list->n - at : most), order, room, &bad);
		s = p->in.fault != RT_OK ? p->in.fault : b.status;
	}
	rt_heads_close(&heads);
	if (b.rows)
		rt_sys.slab_free(b.rows, (size_t)spec->xport.row_bytes * most);
	rt_sys.release(order);
	rt_sys.release(room);
	rt_sys.release(b.reason);
	if (s == RT_OK && bad)
		s = rt_fail(RT_BAD_DATA, "%lld of %zu pictures can't be read", (long long)bad, list->n);
	return s;
}

RtStatus rt_predict_paths(RtPredictor *p)
{
	static const char *const entries[] = {"predict"};
	const RtEntry *e = rt_entry(p->model, "predict");
	RtDataSpec spec;
	Paths list = {0};
	if (p->nargs == 0)
		return rt_fail(RT_USAGE, "no picture or folder is named; --help shows how");
	RtStatus s = rt_data_spec(&p->config, e, &spec);
	if (s == RT_OK && (spec.xport.dtype != RT_U8 || spec.xport.rank != 4))
		s = rt_fail(RT_USAGE, "this model takes arrays, not pictures: use `run --input X.npy --output Y.npy`");
	if (s == RT_OK)
		s = collect(p, &list);
	/* a few pictures are done before threads would have started */
	if (s == RT_OK)
		s = rt_predict_open(p, entries, 1, p->threads ? p->threads : list.n <= FEW ? 1 : 0);
	if (s == RT_OK)
		s = predict_all(p, e, &spec, &list);
	free_paths(&list);
	return s;
}

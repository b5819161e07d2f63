/* predict_heads.c -- see predict_heads.h */
#include "runtime/predict_heads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/durable.h"
#include "runtime/image.h"
#include "runtime/sys.h"

/* ---- what an output is ---- */

/* Where the loss of output k stands: by its name, by its place, or once for all. */
static void loss_path(const RtPredictor *p, const RtEntry *e, uint32_t k, char out[160])
{
	char below[170];
	const char *forms[2] = {e->out[k].name, NULL};
	char place[16];
	snprintf(place, sizeof place, "%u", k);
	forms[1] = place;
	for (int i = 0; i < 2 && e->nout > 1; i++) {
		snprintf(out, 160, "train.loss.%s", forms[i]);
		snprintf(below, sizeof below, "%s.", out);
		if (rt_config_get(&p->config, out) || rt_config_match(&p->config, below, ""))
			return;
	}
	snprintf(out, 160, "train.loss");
}

/* "binary_crossentropy"; "" without a train section. */
static void loss_name(const RtPredictor *p, const char *path, char out[64])
{
	char below[170];
	const char *plain = rt_config_get(&p->config, path);
	snprintf(below, sizeof below, "%s.", path);
	const char *field = plain ? NULL : rt_config_match(&p->config, below, "");
	const char *name = plain ? plain : field ? field + strlen(below) : "";
	snprintf(out, 64, "%.*s", (int)strcspn(name, "."), name);
}

static RtHeadKind kind_of(const RtPredictor *p, const RtEntry *e, uint32_t k, const char *loss)
{
	const RtPort *o = &e->out[k];
	const char *mode = rt_config_text(&p->config, "data.label_mode", "int");
	int64_t last = o->rank > 1 ? o->dim[o->rank - 1] : 1;
	bool crossentropy = strstr(loss, "crossentropy") != NULL, binary = strcmp(loss, "binary_crossentropy") == 0;
	if (o->dtype != RT_F32)
		return RT_HEAD_VALUES;
	if (o->rank == 4 && strcmp(mode, "mask") == 0)
		return RT_HEAD_MASK;
	if (o->rank > 2)
		return RT_HEAD_VALUES;
	if (last > 1 && (strcmp(mode, "multi_label") == 0 || (binary && (int64_t)json_array_size(p->labels) == last)))
		return RT_HEAD_LABELS;
	if (e->nout == 1)
		return rt_predict_classes(p) ? RT_HEAD_CLASS : RT_HEAD_VALUES;
	return crossentropy && (!binary || last == 1) ? RT_HEAD_CLASS : RT_HEAD_VALUES;
}

RtStatus rt_heads_open(const RtPredictor *p, const RtEntry *e, RtHeads *h)
{
	size_t most = 1, pixels = 1;
	*h = (RtHeads){.n = (int)e->nout};
	for (uint32_t k = 0; k < e->nout; k++) {
		char path[160], below[256], loss[64];
		RtHead *head = &h->head[k];
		const RtPort *o = &e->out[k];
		loss_path(p, e, k, path);
		loss_name(p, path, loss);
		snprintf(below, sizeof below, "%s.%s.from_logits", path, loss);
		*head = (RtHead){.port = o, .kind = kind_of(p, e, k, loss)};
		head->values = (int64_t)o->row_bytes / rt_dtype_bytes(o->dtype);
		int64_t last = o->rank > 1 ? o->dim[o->rank - 1] : 1;
		head->classes = head->kind == RT_HEAD_VALUES ? 0 : last == 1 ? 2 : (int)last;
		head->logits = rt_config_bool(&p->config, below, false);
		most = (size_t)head->classes > most ? (size_t)head->classes : most;
		if (head->kind == RT_HEAD_MASK)
			pixels = (size_t)(o->dim[1] * o->dim[2]);
	}
	h->room = rt_sys.alloc(most * sizeof *h->room);
	h->mask = rt_sys.alloc(pixels);
	return h->room && h->mask ? RT_OK : rt_fail(RT_NOMEM, "out of memory for %zu classes", most);
}

void rt_heads_close(RtHeads *h)
{
	rt_sys.release(h->room);
	rt_sys.release(h->mask);
	*h = (RtHeads){0};
}

bool rt_heads_plain(const RtPredictor *p, const RtHeads *h)
{
	return h->n == 1 && !p->csv && (h->head[0].kind == RT_HEAD_VALUES || h->head[0].kind == RT_HEAD_CLASS);
}

/* ---- reading it ---- */

static double sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

static void softmax(double *v, int n)
{
	double top = v[0], sum = 0;
	for (int i = 1; i < n; i++)
		top = v[i] > top ? v[i] : top;
	for (int i = 0; i < n; i++) {
		v[i] = exp(v[i] - top);
		sum += v[i];
	}
	for (int i = 0; i < n; i++)
		v[i] /= sum;
}

void rt_head_probabilities(const RtHead *head, const float *scores, double *out)
{
	if (head->classes == 2 && head->values == 1) {
		out[1] = head->logits ? sigmoid((double)scores[0]) : (double)scores[0];
		out[0] = 1 - out[1];
		return;
	}
	for (int i = 0; i < head->classes; i++)
		out[i] = head->logits && head->kind == RT_HEAD_LABELS ? sigmoid((double)scores[i]) : (double)scores[i];
	if (head->logits && head->kind == RT_HEAD_CLASS)
		softmax(out, head->classes);
}

static int best_of(const RtPredictor *p, const RtHead *head, const double *v)
{
	if (head->values == 1)
		return v[1] > p->threshold;
	int best = 0;
	for (int i = 1; i < head->classes; i++)
		best = v[i] > v[best] ? i : best;
	return best;
}

/* Classes of the pixels into h->mask, their shares into h->room. */
static void read_mask(const RtPredictor *p, const RtHeads *h, const RtHead *head, const float *scores)
{
	int64_t channels = head->port->dim[3], pixels = head->port->dim[1] * head->port->dim[2];
	double threshold = head->logits ? log(p->threshold / (1 - p->threshold)) : p->threshold;
	memset(h->room, 0, (size_t)head->classes * sizeof *h->room);
	for (int64_t i = 0; i < pixels; i++) {
		const float *at = scores + i * channels;
		int best = channels == 1 && (double)at[0] > threshold;
		for (int c = 1; c < channels; c++)
			best = at[c] > at[best] ? c : best;
		h->mask[i] = (unsigned char)best;
		h->room[best] += 1.0 / (double)pixels;
	}
}

/* ---- masks as files ---- */

static bool is_folder(const char *path)
{
	struct stat st;
	size_t n = strlen(path);
	return (n > 0 && path[n - 1] == '/') || (rt_sys.stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

/* p->output, or in that folder the picture's name with .png. */
static RtStatus mask_path(const RtPredictor *p, bool several, const char *picture, char out[RT_PATH_MAX])
{
	if (!several && !is_folder(p->output))
		return snprintf(out, RT_PATH_MAX, "%s", p->output) < RT_PATH_MAX ? RT_OK : rt_fail(RT_USAGE, "the path is too long");
	const char *slash = strrchr(picture, '/'), *name = slash ? slash + 1 : picture, *dot = strrchr(name, '.');
	char file[RT_PATH_MAX];
	snprintf(file, sizeof file, "%.*s.png", dot ? (int)(dot - name) : (int)strlen(name), name);
	RtStatus s = rt_make_dirs(p->output);
	return s != RT_OK || rt_path_join(out, p->output, file) ? s : rt_fail(RT_USAGE, "the path is too long: %.200s", file);
}

/* As large as the picture; as the model sees it where the picture was cropped or padded. */
static RtStatus write_mask(const RtHead *head, const RtDataSpec *spec, const char *picture, const char *path, unsigned char *mask)
{
	RtImage seen = {(int)head->port->dim[2], (int)head->port->dim[1], 1, mask}, whole;
	unsigned char *bytes = NULL;
	size_t n;
	if (spec->crop_to_aspect_ratio || spec->pad_to_aspect_ratio)
		return rt_image_write_mask(path, seen.width, seen.height, mask);
	RtStatus s = rt_image_read_file(picture, -1, 0, &bytes, &n);
	if (s == RT_OK)
		s = rt_image_decode(bytes, n, 1, spec->max_pixels, 0, 0, false, &whole);
	if (s == RT_OK) {
		rt_image_resize(&seen, RT_NEAREST, whole.width, whole.height, whole.pixels);
		s = rt_image_write_mask(path, whole.width, whole.height, whole.pixels);
		rt_sys.release(whole.pixels);
	}
	rt_sys.release(bytes);
	return s;
}

/* ---- text ---- */

static void say_text(const RtPredictor *p, const RtHeads *h, const RtHead *head, const float *v)
{
	char room[24];
	int said = 0;
	if (h->n > 1)
		fprintf(p->out, "  %s:", head->port->name);
	if (head->kind == RT_HEAD_CLASS) {
		int best = best_of(p, head, h->room);
		fprintf(p->out, "  %s  %.3f", rt_predict_label(p, best, room), h->room[best]);
	} else if (head->kind == RT_HEAD_VALUES) {
		for (int64_t i = 0; i < head->values; i++)
			fprintf(p->out, "  %.6g", (double)v[i]);
	}
	for (int i = 0; i < head->classes && head->kind != RT_HEAD_CLASS; i++) {
		if (head->kind == RT_HEAD_LABELS ? h->room[i] > p->threshold : h->room[i] > 0)
			said += fprintf(p->out, "  %s  %.3f", rt_predict_label(p, i, room), h->room[i]) > 0;
	}
	if (head->kind == RT_HEAD_LABELS && !said)
		fputs("  -", p->out);
}

/* ---- json ---- */

static json_t *numbers_json(const RtPredictor *p, const RtHead *head, const double *v)
{
	json_t *all = json_object();
	char room[24];
	for (int i = 0; i < head->classes; i++)
		json_object_set_new(all, rt_predict_label(p, i, room), rt_json_number(v[i]));
	return all;
}

static void add_json(const RtPredictor *p, const RtHeads *h, const RtHead *head, const float *v, json_t *to)
{
	char room[24];
	if (head->kind == RT_HEAD_CLASS) {
		int best = best_of(p, head, h->room);
		json_object_set_new(to, "label", json_string(rt_predict_label(p, best, room)));
		json_object_set_new(to, "index", json_integer(best));
		json_object_set_new(to, "probability", rt_json_number(h->room[best]));
	} else if (head->kind == RT_HEAD_LABELS) {
		json_t *labels = json_array();
		for (int i = 0; i < head->classes; i++) {
			if (h->room[i] > p->threshold)
				json_array_append_new(labels, json_string(rt_predict_label(p, i, room)));
		}
		json_object_set_new(to, "labels", labels);
	} else if (head->kind == RT_HEAD_VALUES) {
		json_t *values = json_array();
		for (int64_t i = 0; i < head->values; i++)
			json_array_append_new(values, rt_json_number((double)v[i]));
		json_object_set_new(to, "values", values);
	}
	if (head->classes)
		json_object_set_new(to, head->kind == RT_HEAD_MASK ? "shares" : "probabilities", numbers_json(p, head, h->room));
}

/* ---- csv: path, then of each output label and probabilities, labels and probabilities, shares, or values ---- */

static void csv_field(FILE *f, const char *before, const char *text)
{
	bool quoted = text[strcspn(text, ",\"\r\n")] != '\0';
	fputs(before, f);
	if (quoted)
		fputc('"', f);
	for (; *text; text++) {
		fputs(*text == '"' ? "\"" : "", f);
		fputc(*text, f);
	}
	if (quoted)
		fputc('"', f);
}

static void csv_name(const RtPredictor *p, const RtHeads *h, const RtHead *head, const char *what)
{
	char name[300];
	snprintf(name, sizeof name, "%s%s%s", h->n > 1 ? head->port->name : "", h->n > 1 ? "." : "", what);
	csv_field(p->out, ",", name);
}

void rt_heads_begin(const RtPredictor *p, const RtHeads *h)
{
	char room[24];
	if (!p->csv)
		return;
	fputs("path", p->out);
	for (int k = 0; k < h->n; k++) {
		const RtHead *head = &h->head[k];
		if (head->kind == RT_HEAD_CLASS || head->kind == RT_HEAD_LABELS)
			csv_name(p, h, head, head->kind == RT_HEAD_CLASS ? "label" : "labels");
		for (int i = 0; i < head->classes; i++)
			csv_name(p, h, head, rt_predict_label(p, i, room));
		for (int64_t i = 0; head->kind == RT_HEAD_VALUES && i < head->values; i++) {
			snprintf(room, sizeof room, "%lld", (long long)i);
			csv_name(p, h, head, room);
		}
	}
	fputs("\n", p->out);
}

static void say_labels(const RtPredictor *p, const RtHeads *h, const RtHead *head)
{
	char text[4096], room[24];
	size_t used = 0;
	text[0] = '\0';
	for (int i = 0; i < head->classes && used < sizeof text; i++) {
		if (h->room[i] > p->threshold)
			used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? "|" : "", rt_predict_label(p, i, room));
	}
	csv_field(p->out, ",", text);
}

static void say_csv(const RtPredictor *p, const RtHeads *h, const RtHead *head, const float *v)
{
	char room[24];
	if (head->kind == RT_HEAD_CLASS)
		csv_field(p->out, ",", rt_predict_label(p, best_of(p, head, h->room), room));
	if (head->kind == RT_HEAD_LABELS)
		say_labels(p, h, head);
	for (int i = 0; i < head->classes; i++)
		fprintf(p->out, ",%.9g", h->room[i]);
	for (int64_t i = 0; head->kind == RT_HEAD_VALUES && i < head->values; i++)
		fprintf(p->out, ",%.9g", (double)v[i]);
}

/* ---- one picture ---- */

/* Output k of a sample; *to: where json goes. */
static RtStatus say_head(const RtPredictor *p, const RtHeads *h, const RtHead *head, const float *v, const RtDataSpec *spec,
			 const char *path, json_t *to)
{
	char file[RT_PATH_MAX];
	if (head->kind == RT_HEAD_MASK)
		read_mask(p, h, head, v);
	else if (head->classes)
		rt_head_probabilities(head, v, h->room);
	if (p->json)
		add_json(p, h, head, v, to);
	else if (p->csv)
		say_csv(p, h, head, v);
	else
		say_text(p, h, head, v);
	if (head->kind != RT_HEAD_MASK || !p->output)
		return RT_OK;
	RtStatus s = mask_path(p, h->several, path, file);
	if (s == RT_OK)
		s = write_mask(head, spec, path, file, h->mask);
	if (s == RT_OK && p->json)
		json_object_set_new(to, "mask", rt_path_json(file));
	return s;
}

RtStatus rt_heads_print(const RtPredictor *p, const RtHeads *h, const RtDataSpec *spec, const char *path, int64_t row)
{
	json_t *line = p->json ? json_object() : NULL, *outputs = p->json && h->n > 1 ? json_object() : NULL;
	RtStatus s = RT_OK;
	if (p->json)
		json_object_set_new(line, "path", rt_path_json(path));
	else if (p->csv)
		csv_field(p->out, "", path);
	else
		fputs(path, p->out);
	for (int k = 0; k < h->n && s == RT_OK; k++) {
		const RtHead *head = &h->head[k];
		json_t *to = outputs ? json_object() : line;
		s = say_head(p, h, head, (const float *)(const void *)p->in.out[k] + row * head->values, spec, path, to);
		if (outputs)
			json_object_set_new(outputs, head->port->name, to);
	}
	if (outputs)
		json_object_set_new(line, "outputs", outputs);
	if (p->json)
		json_dumpf(line, p->out, JSON_COMPACT | JSON_REAL_PRECISION(9));
	json_decref(line);
	fputs("\n", p->out);
	return s;
}

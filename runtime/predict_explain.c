/* predict_explain.c -- explain PICTURE -o HEAT.png [--class NAME] [--method M]: what the answer rests on, as a map over the picture
 *
 * The maps are entries of the model (frontend/explain.c) where predict.explain asked for them. The picture is shown as the
 * network sees it: cropped or resized as its input is, enlarged to at least 256 pixels.
 */
#include <math.h>
#include <png.h>
#include <string.h>
#include "runtime/data_spec.h"
#include "runtime/durable.h"
#include "runtime/predict.h"
#include "runtime/sys.h"

enum { PATH_STEPS = 64, LEAST_SIDE = 256 };

typedef struct Explanation {
	const RtEntry *entry, *predict;
	const char *method;
	RtDataSpec spec;
	unsigned char *rows; /* max_n times the picture */
	float *y, *alpha, *map; /* map: h * w */
	double *room;
	int h, w, best;
	double probability;
} Explanation;

/* ---- which ---- */

static const RtEntry *entry_of(const RtModel *m, const char *method)
{
	char name[64];
	snprintf(name, sizeof name, "predict_%.40s", method);
	return rt_entry(m, name);
}

static RtStatus choose_method(const RtPredictor *p, Explanation *x)
{
	static const char *const methods[] = {"grad_cam", "integrated_gradients"};
	bool known = !p->method;
	for (int i = 0; i < 2; i++) {
		const RtEntry *e = entry_of(p->model, methods[i]);
		known = known || strcmp(p->method, methods[i]) == 0;
		if (e && !x->entry && (!p->method || strcmp(p->method, methods[i]) == 0)) {
			x->entry = e;
			x->method = methods[i];
		}
	}
	if (!known)
		return rt_fail(RT_USAGE, "--method is grad_cam or integrated_gradients, not '%s'", p->method);
	if (!x->entry)
		return rt_fail(RT_USAGE, "this predictor was made without %s: give the model file `predict: {explain: %s}` and compile it "
			       "again; the weights still fit", p->method ? p->method : "explanations", p->method ? p->method : "grad_cam");
	return RT_OK;
}

/* The class to explain: the answer, or --class by name or number. */
static RtStatus choose_class(const RtPredictor *p, Explanation *x)
{
	char room[24];
	if (!p->class_name)
		return RT_OK;
	for (int i = 0; i < rt_predict_classes(p); i++) {
		char number[24];
		snprintf(number, sizeof number, "%d", i);
		if (strcmp(p->class_name, rt_predict_label(p, i, room)) != 0 && strcmp(p->class_name, number) != 0)
			continue;
		x->best = i;
		x->probability = x->room[i];
		return RT_OK;
	}
	return rt_fail(RT_USAGE, "there is no class '%s'", p->class_name);
}

/* ---- the map ---- */

static RtStatus open_room(RtPredictor *p, Explanation *x)
{
	size_t n = (size_t)p->model->max_n, cells = (size_t)(x->entry->out[0].row_bytes / sizeof(float));
	x->h = (int)x->entry->out[0].dim[1];
	x->w = (int)x->entry->out[0].dim[2];
	x->rows = rt_sys.alloc(n * (size_t)x->spec.xport.row_bytes);
	x->y = rt_sys.alloc(n * ((size_t)p->scores.outputs + 1) * sizeof(float));
	x->alpha = rt_sys.alloc(n * sizeof(float));
	x->map = rt_sys.alloc(cells * sizeof(float));
	x->room = rt_sys.alloc(((size_t)rt_predict_classes(p) + 1) * sizeof(double));
	return x->rows && x->y && x->alpha && x->map && x->room ? RT_OK : rt_fail(RT_NOMEM, "out of memory for a map");
}

static RtStatus predict_one(RtPredictor *p, Explanation *x)
{
	unsigned char *ports[RT_MAX_PORTS] = {x->rows};
	RtAnswer a = {.probabilities = x->room};
	rt_scalars_set(&p->in.scalars, p->model, 1, 0);
	if (!rt_instance_run(&p->in, x->predict, ports, NULL))
		return p->in.fault;
	rt_predict_temper(p, p->in.out[0], 1);
	rt_predict_answer(p, (const float *)(const void *)p->in.out[0], &a);
	x->best = a.best;
	x->probability = a.probability;
	return RT_OK;
}

/* Adds the maps of n rows to x->map, each with a weight. */
static RtStatus run_rows(RtPredictor *p, Explanation *x, uint32_t n, double weight)
{
	unsigned char *ports[RT_MAX_PORTS] = {x->rows, (unsigned char *)x->y, (unsigned char *)x->alpha};
	rt_scalars_set(&p->in.scalars, p->model, n, 0);
	if (!rt_instance_run(&p->in, x->entry, ports, NULL))
		return p->in.fault;
	const float *out = (const float *)(const void *)p->in.out[0];
	for (int64_t i = 0; i < (int64_t)n * x->h * x->w; i++)
		x->map[i % ((int64_t)x->h * x->w)] += (float)((double)out[i] * weight);
	return RT_OK;
}

/* One output says how much speaks for the second class: the first one's score is its negative. */
static void fill_rows(const RtPredictor *p, const Explanation *x, uint32_t n)
{
	size_t bytes = (size_t)x->spec.xport.row_bytes;
	int outputs = p->scores.outputs;
	for (uint32_t i = 0; i < n; i++) {
		if (i)
			memcpy(x->rows + i * bytes, x->rows, bytes);
		if (outputs == 1)
			x->y[i] = x->best ? 1.0f : -1.0f;
		else
			x->y[i * (uint32_t)outputs + (uint32_t)x->best] = 1.0f;
	}
}

/* The path from black to the picture in steps, each in its middle. */
static RtStatus make_map(RtPredictor *p, Explanation *x)
{
	bool path = x->entry->nin > 2;
	uint32_t steps = path ? PATH_STEPS : 1, most = (uint32_t)p->model->max_n;
	fill_rows(p, x, steps < most ? steps : most);
	for (uint32_t at = 0; at < steps; at += most) {
		uint32_t n = steps - at < most ? steps - at : most;
		for (uint32_t i = 0; i < n; i++)
			x->alpha[i] = ((float)(at + i) + 0.5f) / (float)steps;
		RtStatus s = run_rows(p, x, n, 1.0 / steps);
		if (s != RT_OK)
			return s;
	}
	return RT_OK;
}

/* ---- the picture ---- */

/* Bilinear, half-pixel centres. */
static double map_at(const Explanation *x, double v, double u)
{
	double fy = fmin(fmax(v * x->h - 0.5, 0), x->h - 1), fx = fmin(fmax(u * x->w - 0.5, 0), x->w - 1);
	int i = (int)fy, j = (int)fx, i1 = i + 1 < x->h ? i + 1 : i, j1 = j + 1 < x->w ? j + 1 : j;
	double a = fy - i, b = fx - j;
	const float *m = x->map;
	return (1 - a) * ((1 - b) * (double)m[i * x->w + j] + b * (double)m[i * x->w + j1]) +
	       a * ((1 - b) * (double)m[i1 * x->w + j] + b * (double)m[i1 * x->w + j1]);
}

/* Blue, green, yellow, red. */
static double heat(double v, int channel)
{
	return fmin(fmax(1.5 - fabs(4 * v - (3 - channel)), 0), 1);
}

static RtStatus write_heat(const RtPredictor *p, const Explanation *x)
{
	int h = (int)x->spec.xport.dim[1], w = (int)x->spec.xport.dim[2], c = (int)x->spec.xport.dim[3];
	int scale = 1 + (LEAST_SIDE - 1) / (h < w ? h : w);
	double top = 0;
	for (int i = 0; i < x->h * x->w; i++)
		top = fmax(top, fabs((double)x->map[i]));
	png_image image = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)(w * scale), .height = (png_uint_32)(h * scale),
			   .format = PNG_FORMAT_RGB};
	unsigned char *pixels = rt_sys.alloc((size_t)PNG_IMAGE_SIZE(image));
	png_alloc_size_t length = PNG_IMAGE_PNG_SIZE_MAX(image);
	unsigned char *file = rt_sys.alloc(length);
	RtStatus s = pixels && file ? RT_OK : rt_fail(RT_NOMEM, "out of memory for the picture");
	for (int i = 0; i < h * scale && s == RT_OK; i++) {
		for (int j = 0; j < w * scale; j++) {
			const unsigned char *from = x->rows + ((size_t)(i / scale) * (size_t)w + (size_t)(j / scale)) * (size_t)c;
			double v = map_at(x, (i + 0.5) / (h * scale), (j + 0.5) / (w * scale));
			v = top > 0 ? fabs(v) / top : 0;
			for (int k = 0; k < 3; k++)
				pixels[((size_t)i * (size_t)(w * scale) + (size_t)j) * 3 + (size_t)k] =
					(unsigned char)(0.5 * from[c >= 3 ? k : 0] + 127.5 * heat(v, k));
		}
	}
	if (s == RT_OK && !png_image_write_to_memory(&image, file, &length, 0, pixels, 0, NULL))
		s = rt_fail(RT_INTERNAL, "the picture can't be written: %s", image.message);
	if (s == RT_OK)
		s = rt_write_file(p->output, file, length, 0666);
	rt_sys.release(pixels);
	rt_sys.release(file);
	return s;
}

static void print_json(const RtPredictor *p, const Explanation *x)
{
	char room[24];
	json_t *map = json_array();
	for (int i = 0; i < x->h; i++) {
		json_t *row = json_array();
		for (int j = 0; j < x->w; j++)
			json_array_append_new(row, rt_json_number((double)x->map[i * x->w + j]));
		json_array_append_new(map, row);
	}
	json_t *root = json_pack("{s:s, s:s, s:s, s:i, s:o, s:o}", "path", p->arg[0], "method", x->method, "label",
				 rt_predict_label(p, x->best, room), "index", x->best, "probability",
				 rt_json_number(x->probability), "map", map);
	if (root)
		json_dumpf(root, p->out, JSON_COMPACT | JSON_REAL_PRECISION(9));
	fputs("\n", p->out);
	json_decref(root);
}

/* ---- all ---- */

static RtStatus explain(RtPredictor *p, Explanation *x)
{
	const char *entries[] = {"predict", x->entry->name};
	char room[24];
	RtStatus s = rt_data_spec(&p->config, x->predict, &x->spec);
	if (s == RT_OK)
		s = rt_predict_open(p, entries, 2, p->threads);
	if (s == RT_OK && rt_predict_classes(p) == 0)
		s = rt_fail(RT_USAGE, "the outputs of this model are not classes, so there is no score to explain");
	if (s == RT_OK)
		s = open_room(p, x);
	if (s == RT_OK)
		s = rt_image_load(p->arg[0], &x->spec, x->rows);
	if (s == RT_OK)
		s = predict_one(p, x);
	if (s == RT_OK)
		s = choose_class(p, x);
	if (s == RT_OK)
		s = make_map(p, x);
	if (s == RT_OK && p->output)
		s = write_heat(p, x);
	if (s == RT_OK && p->json)
		print_json(p, x);
	else if (s == RT_OK)
		fprintf(p->out, "%s  %s  %.3f  %s in %s\n", p->arg[0], rt_predict_label(p, x->best, room), x->probability, x->method,
			p->output);
	return s;
}

RtStatus rt_predict_explain(RtPredictor *p)
{
	Explanation x = {.predict = rt_entry(p->model, "predict")};
	if (p->nargs != 1 || (!p->output && !p->json))
		return rt_fail(RT_USAGE, "explain takes one picture and -o HEAT.png, or --json");
	RtStatus s = choose_method(p, &x);
	if (s == RT_OK)
		s = explain(p, &x);
	rt_sys.release(x.rows);
	rt_sys.release(x.y);
	rt_sys.release(x.alpha);
	rt_sys.release(x.map);
	rt_sys.release(x.room);
	return s;
}

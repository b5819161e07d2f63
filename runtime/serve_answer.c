/* serve_answer.c -- results to the bodies of answers, in each protocol's form */
#include <string.h>
#include "runtime/serve.h"
#include "runtime/sys.h"

const char *rt_datatype(int32_t dtype)
{
	static const char *const text[] = {[RT_F32] = "FP32",   [RT_F64] = "FP64",  [RT_I32] = "INT32",
					   [RT_U32] = "UINT32", [RT_U8] = "UINT8", [RT_BOOL] = "BOOL"};
	return text[dtype];
}

void rt_answer_error(RtRequest *r, int status, const char *why)
{
	rt_text_free(&r->body);
	r->status = status;
	r->type = "application/json";
	rt_text_say(&r->body, "{\"error\":");
	rt_json_say(&r->body, why);
	rt_text_say(&r->body, "}\n");
}

/* ---- values ---- */

static double value_at(const RtPort *p, const unsigned char *data, size_t i)
{
	const void *v = data;
	switch ((RtDType)p->dtype) {
	case RT_F32: return (double)((const float *)v)[i];
	case RT_F64: return ((const double *)v)[i];
	case RT_I32: return ((const int32_t *)v)[i];
	case RT_U32: return ((const uint32_t *)v)[i];
	case RT_U8:
	case RT_BOOL: break;
	}
	return data[i];
}

static void say_values(RtText *t, const RtPort *p, const unsigned char *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i)
			rt_text_add(t, ",", 1);
		rt_json_say_number(t, value_at(p, data, i));
	}
}

/* One sample, nested as its shape. */
static const unsigned char *say_nested(RtText *t, const RtPort *p, const unsigned char *data, int axis)
{
	if (axis >= p->rank - 1) {
		size_t n = axis < p->rank ? (size_t)p->dim[axis] : 1;
		rt_text_say(t, axis < p->rank ? "[" : "");
		say_values(t, p, data, n);
		rt_text_say(t, axis < p->rank ? "]" : "");
		return data + n * (size_t)rt_dtype_bytes(p->dtype);
	}
	rt_text_say(t, "[");
	for (int64_t i = 0; i < p->dim[axis]; i++) {
		rt_text_say(t, i ? "," : "");
		data = say_nested(t, p, data, axis + 1);
	}
	rt_text_say(t, "]");
	return data;
}

/* The next index in the order (value falling, index rising) behind `last`; -1: none. */
static int64_t next_best(const RtPort *p, const unsigned char *data, int64_t n, int64_t last)
{
	int64_t best = -1;
	double bound = last < 0 ? 0 : value_at(p, data, (size_t)last), top = 0;
	for (int64_t i = 0; i < n; i++) {
		double v = value_at(p, data, (size_t)i);
		bool behind = last < 0 || v < bound || (v == bound && i > last);
		if (behind && (best < 0 || v > top)) {
			best = i;
			top = v;
		}
	}
	return best;
}

/* ---- Open Inference Protocol ---- */

/* "value:index:label", the most likely first, as Triton's extension `classification` has it. */
static int64_t classified(const RtServer *s, const RtJob *j, int k, bool binary, RtText *json, RtText *bytes)
{
	const RtPort *p = &s->takes.output[k];
	int64_t n = (int64_t)rt_port_elems(p), most = j->ask.output[k].classes < n ? j->ask.output[k].classes : n;
	for (int64_t row = 0; row < j->ask.rows; row++) {
		const unsigned char *data = j->out[k] + (size_t)row * (size_t)p->row_bytes;
		int64_t at = -1;
		for (int64_t i = 0; i < most && (at = next_best(p, data, n, at)) >= 0; i++) {
			char room[24];
			const char *label = n == s->classes ? rt_predict_label(s->predictor, (int)at, room) : NULL;
			RtText one = {0};
			rt_text_format(&one, "%.9g:%lld%s%s", value_at(p, data, (size_t)at), (long long)at,
				       label ? ":" : "", label ? label : "");
			if (binary) {
				uint32_t length = (uint32_t)one.n;
				rt_text_add(bytes, &length, 4);
				rt_text_add(bytes, one.text, one.n);
			} else {
				rt_text_say(json, row + i ? "," : "");
				rt_json_say_bytes(json, one.text, one.n);
			}
			json->failed = json->failed || one.failed;
			rt_text_free(&one);
		}
	}
	return most;
}

static void say_shape(RtText *t, const RtPort *p, int64_t rows)
{
	rt_text_format(t, "[%lld", (long long)rows);
	for (int i = 1; i < p->rank; i++)
		rt_text_format(t, ",%lld", (long long)p->dim[i]);
	rt_text_say(t, "]");
}

static void say_output(const RtServer *s, const RtJob *j, int k, RtText *t, RtText *bytes)
{
	const RtPort *p = &s->takes.output[k];
	bool binary = j->ask.output[k].binary;
	size_t before = bytes->n, elems = rt_port_elems(p) * (size_t)j->ask.rows;
	RtText data = {0};
	rt_text_say(t, "{\"name\":");
	rt_json_say(t, p->name);
	if (j->ask.output[k].classes) {
		int64_t most = classified(s, j, k, binary, &data, bytes);
		rt_text_format(t, ",\"datatype\":\"BYTES\",\"shape\":[%lld,%lld]", (long long)j->ask.rows, (long long)most);
	} else {
		rt_text_format(t, ",\"datatype\":\"%s\",\"shape\":", rt_datatype(p->dtype));
		say_shape(t, p, j->ask.rows);
		if (binary)
			rt_text_add(bytes, j->out[k], (size_t)p->row_bytes * (size_t)j->ask.rows);
		else
			say_values(&data, p, j->out[k], elems);
	}
	if (binary) {
		rt_text_format(t, ",\"parameters\":{\"binary_data_size\":%zu}}", bytes->n - before);
	} else {
		rt_text_say(t, ",\"data\":[");
		rt_text_add(t, data.text ? data.text : "", data.n);
		rt_text_say(t, "]}");
	}
	t->failed = t->failed || data.failed;
	rt_text_free(&data);
}

static void answer_v2(const RtServer *s, RtJob *j)
{
	RtText *t = &j->request->body, bytes = {0};
	const char *comma = "";
	rt_text_say(t, "{");
	if (j->ask.id) {
		rt_text_say(t, "\"id\":");
		rt_json_say_bytes(t, j->ask.id, j->ask.id_n);
		rt_text_say(t, ",");
	}
	rt_text_say(t, "\"model_name\":");
	rt_json_say(t, s->predictor->model->name);
	rt_text_say(t, ",\"model_version\":\"1\",\"outputs\":[");
	for (int k = 0; k < s->takes.noutputs; k++) {
		if (!j->ask.output[k].wanted)
			continue;
		rt_text_say(t, comma);
		say_output(s, j, k, t, &bytes);
		comma = ",";
	}
	rt_text_say(t, "]}");
	if (bytes.n) {
		char length[32];
		snprintf(length, sizeof length, "%zu", t->n);
		rt_request_add_header(j->request, "Inference-Header-Content-Length", length);
		j->request->type = "application/octet-stream";
		rt_text_add(t, bytes.text, bytes.n);
	}
	t->failed = t->failed || bytes.failed;
	rt_text_free(&bytes);
}

/* ---- TensorFlow Serving ---- */

static void say_sample(const RtServer *s, const RtJob *j, int64_t row, RtText *t)
{
	bool several = s->takes.noutputs > 1;
	rt_text_say(t, several ? "{" : "");
	for (int k = 0; k < s->takes.noutputs; k++) {
		const RtPort *p = &s->takes.output[k];
		if (several) {
			rt_text_say(t, k ? "," : "");
			rt_json_say(t, p->name);
			rt_text_say(t, ":");
		}
		say_nested(t, p, j->out[k] + (size_t)row * (size_t)p->row_bytes, 1);
	}
	rt_text_say(t, several ? "}" : "");
}

static void say_column(const RtServer *s, const RtJob *j, int k, RtText *t)
{
	const RtPort *p = &s->takes.output[k];
	rt_text_say(t, "[");
	for (int64_t row = 0; row < j->ask.rows; row++) {
		rt_text_say(t, row ? "," : "");
		say_nested(t, p, j->out[k] + (size_t)row * (size_t)p->row_bytes, 1);
	}
	rt_text_say(t, "]");
}

static void answer_tensorflow(const RtServer *s, RtJob *j)
{
	RtText *t = &j->request->body;
	if (!j->ask.columns) {
		rt_text_say(t, "{\"predictions\":[");
		for (int64_t row = 0; row < j->ask.rows; row++) {
			rt_text_say(t, row ? "," : "");
			say_sample(s, j, row, t);
		}
		rt_text_say(t, "]}\n");
		return;
	}
	rt_text_say(t, "{\"outputs\":");
	rt_text_say(t, s->takes.noutputs > 1 ? "{" : "");
	for (int k = 0; k < s->takes.noutputs; k++) {
		if (s->takes.noutputs > 1) {
			rt_text_say(t, k ? "," : "");
			rt_json_say(t, s->takes.output[k].name);
			rt_text_say(t, ":");
		}
		say_column(s, j, k, t);
	}
	rt_text_say(t, s->takes.noutputs > 1 ? "}}\n" : "}\n");
}

/* ---- plain ---- */

static void say_class(const RtServer *s, const double *probabilities, int i, RtText *t)
{
	char room[24];
	rt_text_say(t, "\"label\":");
	rt_json_say(t, rt_predict_label(s->predictor, i, room));
	rt_text_format(t, ",\"index\":%d,\"probability\":", i);
	rt_json_say_number(t, probabilities[i]);
}

static void say_answer(const RtServer *s, const RtJob *j, const RtAnswer *a, RtText *t)
{
	char room[24];
	const RtPort f64 = {.dtype = RT_F64};
	const unsigned char *data = (const unsigned char *)a->probabilities;
	say_class(s, a->probabilities, a->best, t);
	rt_text_say(t, ",\"probabilities\":{");
	for (int i = 0; i < s->classes; i++) {
		rt_text_say(t, i ? "," : "");
		rt_json_say(t, rt_predict_label(s->predictor, i, room));
		rt_text_say(t, ":");
		rt_json_say_number(t, a->probabilities[i]);
	}
	rt_text_say(t, "}");
	if (j->top_k <= 1)
		return;
	int64_t at = -1;
	rt_text_say(t, ",\"top_k\":[");
	for (int64_t k = 0; k < j->top_k && (at = next_best(&f64, data, s->classes, at)) >= 0; k++) {
		rt_text_say(t, k ? ",{" : "{");
		say_class(s, a->probabilities, (int)at, t);
		rt_text_say(t, "}");
	}
	rt_text_say(t, "]");
}

static void say_picture(const RtServer *s, const RtJob *j, int64_t row, double *room, RtText *t)
{
	const RtPort *p = &s->takes.output[0];
	const unsigned char *data = j->out[0] + (size_t)row * (size_t)p->row_bytes;
	RtAnswer a = {.probabilities = room};
	rt_text_say(t, "{");
	if (j->ask.name) {
		rt_text_say(t, "\"name\":");
		rt_json_say_bytes(t, j->ask.name[row].p, j->ask.name[row].n);
		rt_text_say(t, ",");
	}
	if (s->classes) {
		rt_predict_answer(s->predictor, (const float *)(const void *)data, &a);
		say_answer(s, j, &a, t);
	} else {
		rt_text_say(t, "\"values\":[");
		say_values(t, p, data, rt_port_elems(p));
		rt_text_say(t, "]");
	}
	rt_text_say(t, "}");
}

/* One picture: an object; a form of several: a list. */
static void answer_plain(const RtServer *s, RtJob *j)
{
	RtText *t = &j->request->body;
	double *room = rt_sys.alloc(((size_t)s->classes + 1) * sizeof *room);
	if (!room) {
		t->failed = true;
		return;
	}
	bool list = j->ask.rows > 1;
	rt_text_say(t, list ? "{\"predictions\":[" : "");
	for (int64_t row = 0; row < j->ask.rows; row++) {
		rt_text_say(t, row ? "," : "");
		say_picture(s, j, row, room, t);
	}
	rt_text_say(t, list ? "]}\n" : "\n");
	rt_sys.release(room);
}

void rt_answer(RtServer *s, RtJob *j)
{
	j->request->type = "application/json";
	j->request->status = 200;
	switch (j->protocol) {
	case RT_PROTOCOL_PLAIN: answer_plain(s, j); break;
	case RT_PROTOCOL_V2: answer_v2(s, j); break;
	case RT_PROTOCOL_TENSORFLOW: answer_tensorflow(s, j); break;
	}
	if (j->request->body.failed)
		rt_answer_error(j->request, 503, "out of memory for the answer");
}

/* serve_route.c -- paths to what answers them: health, metadata, predictions, metrics, the page */
#include <string.h>
#include "runtime/serve.h"

/* What the path names behind /v1/models/NAME or /v2/models/NAME[/versions/1]; NULL: another model or version. */
static const char *behind_model(const RtServer *s, const char *path)
{
	const char *name = s->predictor->model->name;
	size_t n = strlen(name);
	if (strncmp(path, name, n) != 0 || (path[n] && path[n] != '/' && path[n] != ':'))
		return NULL;
	path += n;
	if (strncmp(path, "/versions/", 10) != 0)
		return path;
	return path[10] == '1' && (!path[11] || path[11] == '/' || path[11] == ':') ? path + 11 : NULL;
}

static void answer_text(RtRequest *r, int status, const char *type, const char *text)
{
	r->status = status;
	r->type = type;
	rt_text_say(&r->body, text);
}

/* ---- metadata ---- */

static void say_port(RtText *t, const char *name, const RtPort *p)
{
	rt_text_say(t, "{\"name\":");
	rt_json_say(t, name);
	if (!p) {
		rt_text_say(t, ",\"datatype\":\"BYTES\",\"shape\":[-1]}");
		return;
	}
	rt_text_format(t, ",\"datatype\":\"%s\",\"shape\":[-1", rt_datatype(p->dtype));
	for (int i = 1; i < p->rank; i++)
		rt_text_format(t, ",%lld", (long long)p->dim[i]);
	rt_text_say(t, "]}");
}

static void model_metadata(const RtServer *s, RtRequest *r)
{
	const RtTakes *x = &s->takes;
	RtText *t = &r->body;
	answer_text(r, 200, "application/json", "{\"name\":");
	rt_json_say(t, s->predictor->model->name);
	rt_text_say(t, ",\"versions\":[\"1\"],\"platform\":\"cnnc\",\"inputs\":[");
	say_port(t, x->input, x->pictures ? NULL : &x->floats);
	rt_text_say(t, "],\"outputs\":[");
	for (int k = 0; k < x->noutputs; k++) {
		rt_text_say(t, k ? "," : "");
		say_port(t, x->output[k].name, &x->output[k]);
	}
	rt_text_say(t, "]}\n");
}

/* TensorFlow's names: a shape is a list of {"size": "64", "name": ""}. */
static void say_tensorflow_port(RtText *t, const char *name, const RtPort *p)
{
	rt_json_say(t, name);
	rt_text_format(t, ":{\"dtype\":\"%s\",\"tensor_shape\":{\"dim\":[{\"size\":\"-1\",\"name\":\"\"}",
		       !p ? "DT_STRING" : p->dtype == RT_F32 ? "DT_FLOAT" : p->dtype == RT_F64 ? "DT_DOUBLE" : "DT_INT32");
	for (int i = 1; p && i < p->rank; i++)
		rt_text_format(t, ",{\"size\":\"%lld\",\"name\":\"\"}", (long long)p->dim[i]);
	rt_text_say(t, "],\"unknown_rank\":false},\"name\":");
	rt_json_say(t, name);
	rt_text_say(t, "}");
}

static void tensorflow_metadata(const RtServer *s, RtRequest *r)
{
	const RtTakes *x = &s->takes;
	RtText *t = &r->body;
	answer_text(r, 200, "application/json", "{\"model_spec\":{\"name\":");
	rt_json_say(t, s->predictor->model->name);
	rt_text_say(t, ",\"signature_name\":\"\",\"version\":\"1\"},\"metadata\":{\"signature_def\":{\"signature_def\":"
		       "{\"serving_default\":{\"inputs\":{");
	say_tensorflow_port(t, x->input, x->pictures ? NULL : &x->floats);
	rt_text_say(t, "},\"outputs\":{");
	for (int k = 0; k < x->noutputs; k++) {
		rt_text_say(t, k ? "," : "");
		say_tensorflow_port(t, x->output[k].name, &x->output[k]);
	}
	rt_text_say(t, "},\"method_name\":\"tensorflow/serving/predict\"}}}}}\n");
}

static void server_metadata(RtRequest *r)
{
	answer_text(r, 200, "application/json",
		    "{\"name\":\"cnnc\",\"version\":\"" CNNC_VERSION
		    "\",\"extensions\":[\"binary_tensor_data\",\"classification\"]}\n");
}

static void health(const RtServer *s, RtRequest *r, bool ready, const char *name)
{
	bool well = !ready || !rt_http_draining(s->http);
	answer_text(r, well ? 200 : 503, "application/json", "{");
	if (name) {
		rt_text_say(&r->body, "\"name\":");
		rt_json_say(&r->body, name);
		rt_text_say(&r->body, ",");
	}
	rt_text_format(&r->body, "\"%s\":%s}\n", ready ? "ready" : "live", well ? "true" : "false");
}

/* ---- paths ---- */

typedef enum Found { FOUND_ANSWER, FOUND_JOB, FOUND_NOTHING, FOUND_OTHER_METHOD } Found;

static bool is_get(const RtRequest *r)
{
	return strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
}

static Found route_v2(RtServer *s, RtRequest *r, const char *path)
{
	const char *rest;
	if (strncmp(path, "/models/", 8) == 0 && (rest = behind_model(s, path + 8)) != NULL && *rest != ':') {
		if (strcmp(rest, "/infer") == 0)
			return is_get(r) ? FOUND_OTHER_METHOD : FOUND_JOB;
		if (!is_get(r))
			return FOUND_OTHER_METHOD;
		if (strcmp(rest, "/ready") == 0)
			health(s, r, true, s->predictor->model->name);
		else if (*rest == '\0' || strcmp(rest, "/") == 0)
			model_metadata(s, r);
		return r->status ? FOUND_ANSWER : FOUND_NOTHING;
	}
	if (!is_get(r))
		return FOUND_NOTHING;
	if (strcmp(path, "/health/live") == 0)
		health(s, r, false, NULL);
	else if (strcmp(path, "/health/ready") == 0)
		health(s, r, true, NULL);
	else if (*path == '\0' || strcmp(path, "/") == 0)
		server_metadata(r);
	return r->status ? FOUND_ANSWER : FOUND_NOTHING;
}

static Found route_v1(RtServer *s, RtRequest *r, const char *path)
{
	const char *rest = strncmp(path, "/models/", 8) == 0 ? behind_model(s, path + 8) : NULL;
	if (!rest)
		return FOUND_NOTHING;
	if (strcmp(rest, ":predict") == 0)
		return is_get(r) ? FOUND_OTHER_METHOD : FOUND_JOB;
	if (!is_get(r))
		return FOUND_OTHER_METHOD;
	if (strcmp(rest, "/metadata") == 0)
		tensorflow_metadata(s, r);
	else if (*rest == '\0')
		answer_text(r, 200, "application/json",
			    rt_http_draining(s->http)
				    ? "{\"model_version_status\":[{\"version\":\"1\",\"state\":\"UNLOADING\",\"status\":"
				      "{\"error_code\":\"OK\",\"error_message\":\"\"}}]}\n"
				    : "{\"model_version_status\":[{\"version\":\"1\",\"state\":\"AVAILABLE\",\"status\":"
				      "{\"error_code\":\"OK\",\"error_message\":\"\"}}]}\n");
	return r->status ? FOUND_ANSWER : FOUND_NOTHING;
}

static Found route_page(RtServer *s, RtRequest *r)
{
	if (!is_get(r))
		return FOUND_OTHER_METHOD;
	answer_text(r, 200, "text/html; charset=utf-8", rt_serve_page);
	s->counts.page_views++;
	return FOUND_ANSWER;
}

static Found route_metrics(RtServer *s, RtRequest *r)
{
	if (!is_get(r))
		return FOUND_OTHER_METHOD;
	answer_text(r, 200, "text/plain; version=0.0.4; charset=utf-8", "");
	rt_serve_metrics(s, &r->body);
	return FOUND_ANSWER;
}

static bool speaks(const RtServer *s, RtProtocol p)
{
	return s->protocols >> p & 1;
}

static Found route(RtServer *s, RtRequest *r, RtProtocol *protocol)
{
	*protocol = RT_PROTOCOL_PLAIN;
	if (strcmp(r->path, "/metrics") == 0 && s->metrics)
		return route_metrics(s, r);
	if (strcmp(r->path, "/") == 0 && speaks(s, RT_PROTOCOL_PLAIN))
		return route_page(s, r);
	if (strcmp(r->path, "/predict") == 0 && speaks(s, RT_PROTOCOL_PLAIN))
		return is_get(r) ? FOUND_OTHER_METHOD : FOUND_JOB;
	bool v2 = strncmp(r->path, "/v2", 3) == 0 && (!r->path[3] || r->path[3] == '/');
	if (v2 && (speaks(s, RT_PROTOCOL_V2) || strncmp(r->path, "/v2/health/", 11) == 0)) {
		*protocol = RT_PROTOCOL_V2;
		return route_v2(s, r, r->path + 3);
	}
	*protocol = RT_PROTOCOL_TENSORFLOW;
	bool v1 = strncmp(r->path, "/v1", 3) == 0 && speaks(s, RT_PROTOCOL_TENSORFLOW);
	return v1 ? route_v1(s, r, r->path + 3) : FOUND_NOTHING;
}

/* What tells nothing of the model may be asked without the token: the page, and health for whoever watches it. */
static bool is_open(const RtRequest *r)
{
	return strcmp(r->path, "/") == 0 || strncmp(r->path, "/v2/health/", 11) == 0;
}

void rt_serve_route(void *server, RtRequest *r)
{
	RtServer *s = server;
	RtProtocol protocol = RT_PROTOCOL_PLAIN;
	if (!r->authorized && !is_open(r)) {
		rt_request_add_header(r, "WWW-Authenticate", "Bearer");
		rt_answer_error(r, 401, "the bearer token is missing or wrong");
		rt_http_answer_now(r);
		return;
	}
	Found found = route(s, r, &protocol);
	if (found == FOUND_JOB) {
		if (rt_request_header(r, "Content-Encoding"))
			rt_answer_error(r, 415, "compressed bodies are not taken");
		else {
			rt_serve_enqueue(s, r, protocol);
			return;
		}
	}
	if (found == FOUND_NOTHING)
		rt_answer_error(r, 404, "there is nothing at this path; the model's name is part of it");
	if (found == FOUND_OTHER_METHOD)
		rt_answer_error(r, 405, "this path takes another method");
	rt_http_answer_now(r);
}

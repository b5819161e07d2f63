/* serve.c -- NAME serve [OPTION …]: options, opening everything, serving, the end
 *
 * Each option has a field `serve.*` in the model file, which is its default.
 */
#include "runtime/serve.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include "runtime/cpu.h"
#include "runtime/data_spec.h"
#include "runtime/durable.h"
#include "runtime/sys.h"

enum { MAX_ROWS = 1024 };

static const int64_t default_max_pixels = 50000000;

typedef enum OptionKind { INT, INT64, FLOAT, BYTES, SECONDS, MILLISECONDS, TEXT } OptionKind;

typedef struct Option {
	const char *name, *field; /* "--port", "serve.port" */
	OptionKind kind;
	size_t at; /* in RtServer */
	double least, most;
	const char *doc;
} Option;

#define HTTP(member) offsetof(RtServer, http_options.member)
#define OWN(member) offsetof(RtServer, o.member)

static const Option options[] = {
	{"--port", "serve.port", INT, HTTP(port), 0, 65535, "port; 0 takes any that is free"},
	{"--host", "serve.host", TEXT, HTTP(host), 0, 0, "address to listen at; 0.0.0.0 is all of them"},
	{"--threads", "serve.threads", INT, OWN(threads), 1, RT_MAX_THREADS, "threads that decode and predict"},
	{"--max-batch", "serve.max_batch", INT, OWN(max_batch), 1, 65536, "samples that are predicted together"},
	{"--batch-delay-ms", "serve.batch_delay", MILLISECONDS, OWN(delay_s), 0, 60, "how long a batch waits to fill"},
	{"--deadline-ms", "serve.deadline", MILLISECONDS, OWN(deadline_s), 0, 3600,
	 "a request that has waited longer gets 503; 0: never"},
	{"--max-queue", "serve.max_queue", INT, OWN(max_queue), 1, 1000000, "requests that wait; more get 503"},
	{"--max-body", "serve.max_body", BYTES, HTTP(max_body), 1024, 1e12, "bytes of a request: 8MB, 512KiB"},
	{"--max-buffered", "serve.max_buffered", BYTES, HTTP(max_buffered), 65536, 1e13, "bytes of all requests together"},
	{"--max-pixels", "serve.max_pixels", INT64, OWN(max_pixels), 1, 1e10, "width x height of a picture"},
	{"--max-header", "serve.max_header", INT, HTTP(max_header), 512, 1 << 20, "bytes of a request's header"},
	{"--max-connections", "serve.max_connections", INT, HTTP(max_connections), 1, 1000000,
	 "open connections; beyond, the slowest goes"},
	{"--rate", "serve.rate", FLOAT, HTTP(rate), 0, 1e9, "requests a second for each client address; 0: any number"},
	{"--header-timeout", "serve.header_timeout", SECONDS, HTTP(header_s), 0.01, 3600, "time for a request's header"},
	{"--body-timeout", "serve.body_timeout", SECONDS, HTTP(body_s), 0.01, 3600,
	 "time for its body, and a second more for each 16 KiB"},
	{"--idle-timeout", "serve.idle_timeout", SECONDS, HTTP(idle_s), 0.01, 86400, "time between two requests"},
	{"--drain-ms", "serve.drain", MILLISECONDS, HTTP(drain_s), 0, 600,
	 "after SIGTERM: how long connections are still taken"},
	{"--token-file", "serve.token_file", TEXT, OWN(token_file), 0, 0, "clients must send this bearer token"},
	{"--access-log", "serve.access_log", TEXT, OWN(log), 0, 0, "a JSON object a request: a file, - or none"},
};

enum { NOPTIONS = sizeof options / sizeof *options };

/* ---- options ---- */

static RtStatus set_option(RtServer *s, const Option *o, const char *text, const char *name)
{
	void *at = (char *)s + o->at;
	double v = 0;
	int64_t n = 0;
	bool ok = true;
	switch (o->kind) {
	case TEXT: *(const char **)at = text; return RT_OK;
	case INT:
	case INT64:
		ok = rt_parse_int(text, &n);
		v = (double)n;
		break;
	case BYTES:
		ok = rt_parse_bytes(text, &n);
		v = (double)n;
		break;
	case FLOAT: ok = rt_parse_float(text, &v); break;
	case SECONDS: ok = rt_parse_seconds(text, &v); break;
	case MILLISECONDS: /* the option has its unit in its name, the field says one */
		ok = name == o->name ? rt_parse_float(text, &v) : rt_parse_seconds(text, &v);
		v = name == o->name ? v / 1000 : v;
		break;
	}
	if (!ok || v < o->least || v > o->most)
		return rt_fail(RT_USAGE, "%s is from %g to %g%s, not '%s'", name,
			       o->kind == MILLISECONDS ? o->least * 1000 : o->least,
			       o->kind == MILLISECONDS ? o->most * 1000 : o->most,
			       o->kind == MILLISECONDS ? " ms"
			       : o->kind == SECONDS    ? " s"
						       : "",
			       text);
	if (o->kind == INT)
		*(int *)at = (int)n;
	else if (o->kind == INT64 || o->kind == BYTES)
		*(int64_t *)at = n;
	else
		*(double *)at = v;
	return RT_OK;
}

static void print_help(const RtPredictor *p)
{
	fprintf(p->out, "usage: %s serve [OPTION …]   answers over HTTP: POST /predict, /v2, /v1, /metrics, a page at /\n\n",
		p->program);
	for (int i = 0; i < NOPTIONS; i++)
		fprintf(p->out, "  %-20s %s\n", options[i].name, options[i].doc);
	fputs("  --weights            these weights (safetensors) instead of those inside\n  --help\n", p->out);
}

static RtStatus take_option(RtServer *s, int argc, char **argv, int *i)
{
	const char *value;
	for (int k = 0; k < NOPTIONS; k++) {
		value = rt_option(argc, argv, i, options[k].name);
		if (value)
			return set_option(s, &options[k], value, options[k].name);
	}
	value = rt_option(argc, argv, i, "--weights");
	if (value) {
		s->predictor->weights = value;
		return RT_OK;
	}
	s->predictor->help = strcmp(argv[*i], "--help") == 0 || strcmp(argv[*i], "-h") == 0;
	return s->predictor->help
		       ? RT_OK
		       : rt_fail(RT_USAGE, "serve has no option '%s'; %s serve --help lists them", argv[*i],
				 s->predictor->program);
}

static RtStatus parse(RtServer *s, int argc, char **argv)
{
	RtStatus status = RT_OK;
	s->http_options = rt_http_defaults();
	s->o = (RtServeOptions){.max_queue = 256, .deadline_s = 2, .max_pixels = default_max_pixels, .log = "-"};
	for (int k = 0; k < NOPTIONS && status == RT_OK; k++) {
		const char *value = rt_config_get(&s->predictor->config, options[k].field);
		if (value && *value && strcmp(value, "auto") != 0)
			status = set_option(s, &options[k], value, options[k].field);
	}
	for (int i = 1; i < argc && status == RT_OK; i++)
		status = take_option(s, argc, argv, &i);
	if (status == RT_OK && !s->o.threads)
		s->o.threads = rt_cpu_count();
	int most = (int)s->predictor->model->max_n;
	if (!s->o.max_batch || s->o.max_batch > most)
		s->o.max_batch = most;
	return status;
}

/* ---- opening ---- */

/* What the model takes and gives, for the parsers. */
static RtStatus look_at_model(RtServer *s)
{
	const RtModel *m = s->predictor->model;
	const RtEntry *e = rt_entry(m, "predict"), *raw = rt_entry(m, "predict_raw");
	RtTakes *t = &s->takes;
	RtStatus status = rt_data_spec(&s->predictor->config, e, &s->spec);
	if (status != RT_OK)
		return status;
	raw = raw ? raw : e;
	t->pictures = s->spec.xport.dtype == RT_U8 && s->spec.xport.rank == 4;
	t->pixels = s->spec.xport;
	t->floats = raw->in[0];
	if (raw->nin != 1 || t->floats.dtype != RT_F32 || raw->nout != e->nout)
		return rt_fail(RT_USAGE, "this model takes neither pictures nor one float32 array, which is what can be served");
	t->input = t->floats.name;
	t->output = e->out;
	t->noutputs = (int)e->nout;
	t->max_rows = MAX_ROWS;
	s->entry[RT_ASK_PICTURES] = s->entry[RT_ASK_PIXELS] = e;
	s->entry[RT_ASK_FLOATS] = raw;
	if (!s->spec.max_pixels || s->spec.max_pixels > s->o.max_pixels)
		s->spec.max_pixels = s->o.max_pixels;
	return RT_OK;
}

static void choose_protocols(RtServer *s)
{
	static const char *const name[] = {[RT_PROTOCOL_PLAIN] = "plain", "v2", "tensorflow"};
	const RtConfig *c = &s->predictor->config;
	const char *text;
	char path[40];
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "serve.protocol.%d", i);
		text = rt_config_text(c, path, "");
		for (int k = 0; k < 3; k++)
			s->protocols |= strcmp(text, name[k]) == 0 ? 1U << k : 0;
	}
	if (!s->protocols)
		s->protocols = 7;
	s->metrics = strcmp(rt_config_text(c, "serve.metrics", "prometheus"), "none") != 0;
}

static RtStatus read_token(RtServer *s)
{
	size_t n;
	unsigned char *text;
	if (!s->o.token_file || !*s->o.token_file)
		return RT_OK;
	RtStatus status = rt_read_file(s->o.token_file, RT_IO, &text, &n);
	if (status != RT_OK)
		return status;
	while (n && strchr(" \t\r\n", text[n - 1]))
		text[--n] = '\0';
	s->token = (char *)text;
	s->http_options.token = s->token;
	return n ? RT_OK : rt_fail(RT_USAGE, "%s holds no token", s->o.token_file);
}

static RtStatus open_log(RtServer *s)
{
	const char *path = s->o.log;
	if (strcmp(path, "none") == 0)
		return RT_OK;
	if (strcmp(path, "-") == 0) {
		s->http_options.log = s->predictor->out;
		return RT_OK;
	}
	int fd = rt_sys.open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (fd < 0 || !(s->http_options.log = fdopen(fd, "a"))) {
		RtStatus status = rt_fail_errno(RT_IO, "open", path);
		if (fd >= 0)
			rt_sys.close(fd);
		return status;
	}
	return RT_OK;
}

static RtStatus open_all(RtServer *s)
{
	static const char *const entries[] = {"predict", "predict_raw"};
	RtPredictor *p = s->predictor;
	RtStatus status = rt_cpu_check(p->model);
	choose_protocols(s);
	p->device = "cpu"; /* workers borrow its weights */
	if (status == RT_OK)
		status = look_at_model(s);
	if (status == RT_OK)
		status = read_token(s);
	if (status == RT_OK)
		status = open_log(s);
	if (status == RT_OK)
		status = rt_predict_open(p, entries, 2, 1);
	if (status != RT_OK)
		return status;
	const bool many = strcmp(rt_config_text(&p->config, "data.label_mode", ""), "multi_label") == 0;
	s->classes = many ? 0 : rt_predict_classes(p); /* any number of labels: their numbers are the answer */
	if (s->classes && s->classes != (rt_predict_outputs(p) == 1 ? 2 : (int)rt_predict_outputs(p)))
		s->classes = 0;
	s->http_options.handle = rt_serve_route;
	s->http_options.answered = rt_serve_answered;
	s->http_options.tick = rt_serve_tick;
	s->http_options.arg = s;
	rt_energy_open(&s->energy, RT_POWERCAP, NULL);
	status = rt_http_open(&s->http_options, &s->http);
	return status == RT_OK ? rt_serve_start(s) : status;
}

static void announce(const RtServer *s)
{
	const char *host = s->http_options.host ? s->http_options.host : "127.0.0.1";
	bool v6 = strchr(host, ':') != NULL;
	fprintf(s->predictor->err, "%s serves at http://%s%s%s:%d (threads: %d, largest batch: %d)\n",
		s->predictor->model->name, v6 ? "[" : "", host, v6 ? "]" : "", rt_http_port(s->http), s->o.threads,
		s->o.max_batch);
	if (!s->token && strncmp(host, "127.", 4) != 0 && strcmp(host, "localhost") != 0 && strcmp(host, "::1") != 0)
		fputs("warning: other machines can ask it, and no --token-file is given\n", s->predictor->err);
	fflush(s->predictor->err);
}

RtStatus rt_serve(RtPredictor *p, int argc, char **argv)
{
	RtServer s = {.predictor = p, .started_s = (double)rt_sys.realtime_ns() * 1e-9};
	RtStatus status = parse(&s, argc, argv);
	if (status == RT_OK && p->help) {
		print_help(p);
		return RT_OK;
	}
	if (status == RT_OK)
		status = open_all(&s);
	if (status == RT_OK) {
		announce(&s);
		status = rt_http_run(s.http);
	}
	rt_serve_stop(&s);
	rt_http_close(s.http);
	rt_energy_close(&s.energy);
	if (s.http_options.log && s.http_options.log != p->out && fclose(s.http_options.log) != 0 && status == RT_OK)
		status = rt_fail_errno(RT_IO, "write", s.o.log);
	rt_sys.release(s.token);
	return status;
}

/* http_request.c -- a whole request from evhttp to the handler, and its answer back
 *
 * What could be read in two ways (a body where there should be none, a transfer coding beside a length) is refused and the
 * connection closed: whoever stands between a client and us must not see other requests than we do.
 */
#include <event2/keyvalq_struct.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>
#include "runtime/http_conn.h"
#include "runtime/sys.h"

enum { REFUSAL_LEAST_NS = 25000000, REFUSAL_APART_NS = 2000000, REFUSAL_MOST_NS = 1500000000 };

static const char *method_of(enum evhttp_cmd_type type)
{
	switch (type) {
	case EVHTTP_REQ_GET: return "GET";
	case EVHTTP_REQ_POST: return "POST";
	case EVHTTP_REQ_HEAD: return "HEAD";
	case EVHTTP_REQ_PUT: return "PUT";
	case EVHTTP_REQ_DELETE: return "DELETE";
	case EVHTTP_REQ_OPTIONS: return "OPTIONS";
	default: return "OTHER";
	}
}

const char *rt_request_header(const RtRequest *r, const char *name)
{
	return evhttp_find_header(evhttp_request_get_input_headers(r->ev), name);
}

const unsigned char *rt_request_body(RtRequest *r)
{
	return r->length ? evbuffer_pullup(evhttp_request_get_input_buffer(r->ev), -1) : NULL;
}

void rt_request_add_header(RtRequest *r, const char *name, const char *value)
{
	if (r->nheaders == RT_HTTP_HEADERS)
		return;
	r->header[r->nheaders].name = name;
	snprintf(r->header[r->nheaders].value, sizeof r->header[0].value, "%s", value);
	r->nheaders++;
}

void rt_request_free(RtRequest *r)
{
	rt_text_free(&r->body);
	rt_sys.release(r);
}

/* ---- in ---- */

/* Takes the same time wherever the two differ. */
static bool same_secret(const char *given, const char *wanted)
{
	size_t n = strlen(given), m = strlen(wanted);
	volatile size_t differ = n ^ m;
	for (size_t i = 0; i < n; i++)
		differ |= (size_t)(given[i] ^ wanted[m ? i % m : 0]);
	return differ == 0;
}

static bool is_authorized(const RtRequest *r, const char *token)
{
	const char *given = rt_request_header(r, "Authorization");
	if (!token)
		return true;
	if (!given || strncasecmp(given, "bearer ", 7) != 0)
		return false;
	given += 7 + strspn(given + 7, " ");
	return same_secret(given, token);
}

/* NULL, or why the request may mean something else to others than to us. */
static const char *ambiguity(const RtRequest *r)
{
	const struct evkeyvalq *headers = evhttp_request_get_input_headers(r->ev);
	int lengths = 0;
	for (const struct evkeyval *kv = headers->tqh_first; kv; kv = kv->next.tqe_next) {
		lengths += strcasecmp(kv->key, "Content-Length") == 0 || strcasecmp(kv->key, "Transfer-Encoding") == 0;
		if (strpbrk(kv->key, " \t"))
			return "a blank in the name of a header";
	}
	if (lengths > 1)
		return "the length of the body is said twice";
	const char *coding = rt_request_header(r, "Transfer-Encoding"), *length = rt_request_header(r, "Content-Length");
	bool bodyless = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
	if (coding && strcasecmp(coding, "chunked") != 0)
		return "a transfer coding other than chunked";
	if (bodyless && (coding || (length && strcmp(length, "0") != 0)))
		return "a body where the method has none";
	if (length && length[strspn(length, "0123456789")])
		return "Content-Length is not a number";
	return NULL;
}

static void refuse(RtRequest *r, int status, const char *why)
{
	r->status = status;
	r->type = "application/json";
	rt_text_say(&r->body, "{\"error\":");
	rt_json_say(&r->body, why);
	rt_text_say(&r->body, "}\n");
	rt_http_answer_now(r);
}

static RtRequest *request_new(RtHttp *h, RtConn *c, struct evhttp_request *ev)
{
	RtRequest *r = rt_sys.alloc(sizeof *r);
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(ev);
	if (!r)
		return NULL;
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL, *query = uri ? evhttp_uri_get_query(uri) : NULL;
	*r = (RtRequest){.method = method_of(evhttp_request_get_command(ev)),
			 .path = path && *path ? path : "/",
			 .query = query ? query : "",
			 .length = evbuffer_get_length(evhttp_request_get_input_buffer(ev)),
			 .arrived_ns = rt_sys.monotonic_ns(),
			 .type = "text/plain",
			 .server = h,
			 .conn = c,
			 .ev = ev};
	memcpy(r->client, c->client, sizeof r->client);
	r->authorized = is_authorized(r, h->o.token);
	return r;
}

void rt_request_arrived(struct evhttp_request *ev, void *server)
{
	RtHttp *h = server;
	RtConn *c = rt_conn_of(h, ev);
	RtRequest *r = c ? request_new(h, c, ev) : NULL;
	if (!r) {
		evhttp_send_error(ev, 503, NULL);
		return;
	}
	c->request = r;
	c->phase = RT_CONN_BUSY;
	c->since = r->arrived_ns;
	const char *why = ambiguity(r);
	if (why) {
		h->counts.malformed++;
		r->close = true;
		refuse(r, 400, why);
	} else if (h->rates && !rt_rates_take(h->rates, c->client, r->arrived_ns)) {
		h->counts.limited++;
		rt_request_add_header(r, "Retry-After", "1");
		refuse(r, 429, "too many requests from this address");
	} else {
		h->o.handle(h->o.arg, r);
	}
}

/* ---- out ---- */

static const char *reason_of(int status)
{
	static const struct {
		int status;
		const char *reason;
	} known[] = {{200, "OK"},
		     {400, "Bad Request"},
		     {401, "Unauthorized"},
		     {404, "Not Found"},
		     {405, "Method Not Allowed"},
		     {413, "Content Too Large"},
		     {415, "Unsupported Media Type"},
		     {422, "Unprocessable Content"},
		     {429, "Too Many Requests"},
		     {500, "Internal Server Error"},
		     {503, "Service Unavailable"},
		     {504, "Gateway Timeout"}};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (known[i].status == status)
			return known[i].reason;
	}
	return "Error";
}

static void log_request(const RtHttp *h, const RtRequest *r, int64_t now)
{
	int64_t time = rt_sys.realtime_ns();
	time_t seconds = (time_t)(time / 1000000000);
	struct tm tm;
	char stamp[32];
	RtText t = {0};
	gmtime_r(&seconds, &tm);
	strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
	rt_text_format(&t, "{\"time\":\"%s.%03dZ\",\"client\":", stamp, (int)(time / 1000000 % 1000));
	rt_json_say(&t, r->client);
	rt_text_format(&t, ",\"method\":\"%s\",\"path\":", r->method);
	rt_json_say(&t, r->path);
	rt_text_format(&t, ",\"status\":%d,\"in\":%zu,\"out\":%zu,\"ms\":%.3f%s%s}\n", r->status, r->length, r->body.n,
		       (double)(now - r->arrived_ns) * 1e-6, r->note[0] ? "," : "", r->note);
	if (!t.failed)
		fwrite(t.text, 1, t.n, h->o.log);
	rt_text_free(&t);
}

static void free_body(const void *bytes, size_t n, void *arg)
{
	(void)bytes;
	(void)n;
	rt_sys.release(arg);
}

static void send_answer(RtHttp *h, RtRequest *r)
{
	int64_t now = rt_sys.monotonic_ns();
	if (r->body.failed) {
		rt_text_free(&r->body);
		r->status = 503;
	}
	if (h->o.answered)
		h->o.answered(h->o.arg, r);
	if (h->o.log)
		log_request(h, r, now);
	struct evkeyvalq *headers = evhttp_request_get_output_headers(r->ev);
	struct evbuffer *body = evhttp_request_get_output_buffer(r->ev);
	evhttp_add_header(headers, "Content-Type", r->type);
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	for (int i = 0; i < r->nheaders; i++)
		evhttp_add_header(headers, r->header[i].name, r->header[i].value);
	if (r->close || h->drain != RT_DRAIN_NO)
		evhttp_add_header(headers, "Connection", "close");
	if (r->body.n && evbuffer_add_reference(body, r->body.text, r->body.n, free_body, r->body.text) == 0)
		r->body = (RtText){0};
	RtConn *c = r->conn;
	if (c) {
		c->request = NULL;
		c->phase = RT_CONN_WRITING;
		c->since = now;
		evhttp_request_set_on_complete_cb(r->ev, rt_conn_answered, c);
	}
	evhttp_send_reply(r->ev, r->status, reason_of(r->status), NULL);
	rt_request_free(r);
}

void rt_http_answer(RtRequest *r)
{
	RtHttp *h = r->server;
	pthread_mutex_lock(&h->lock);
	r->next = NULL;
	if (h->done)
		h->done_last->next = r;
	else
		h->done = r;
	h->done_last = r;
	bool wake = !h->woken;
	h->woken = true;
	pthread_mutex_unlock(&h->lock);
	uint64_t one = 1;
	while (wake && rt_sys.write(h->wake_fd, &one, sizeof one) < 0) {
		/* an eventfd is full only if it has been written to 2^64 times: this is an interrupted call */
	}
}

void rt_request_send_done(RtHttp *h)
{
	pthread_mutex_lock(&h->lock);
	RtRequest *r = h->done;
	h->done = h->done_last = NULL;
	h->woken = false;
	pthread_mutex_unlock(&h->lock);
	for (RtRequest *next; r; r = next) {
		next = r->next;
		send_answer(h, r);
	}
}

/* ---- later ---- */

static void wait_for_late(RtHttp *h, int64_t now)
{
	int64_t us = (h->late->answer_at_ns - now) / 1000;
	us = us < 0 ? 0 : us;
	event_add(h->late_due, &(struct timeval){us / 1000000, us % 1000000});
}

void rt_http_answer_now(RtRequest *r)
{
	send_answer(r->server, r);
}

static void drop_body(RtHttp *h, RtRequest *r)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(r->ev);
	evbuffer_drain(body, evbuffer_get_length(body));
	if (r->conn) {
		h->counts.buffered -= r->conn->wire;
		r->conn->wire = 0;
	}
}

void rt_http_answer_slowly(RtRequest *r)
{
	RtHttp *h = r->server;
	int64_t now = rt_sys.monotonic_ns(), at = now + REFUSAL_LEAST_NS;
	drop_body(h, r);
	if (h->drain != RT_DRAIN_NO || h->counts.connections > h->o.max_connections / 2) {
		send_answer(h, r);
		return;
	}
	if (h->late && h->late_last->answer_at_ns + REFUSAL_APART_NS > at)
		at = h->late_last->answer_at_ns + REFUSAL_APART_NS;
	r->answer_at_ns = at < now + REFUSAL_MOST_NS ? at : now + REFUSAL_MOST_NS; /* never before the last one's */
	r->next = NULL;
	if (h->late)
		h->late_last->next = r;
	else
		h->late = r;
	h->late_last = r;
	if (h->late == r)
		wait_for_late(h, now);
}

void rt_request_send_late(RtHttp *h, int64_t now)
{
	while (h->late && (h->late->answer_at_ns <= now || h->drain != RT_DRAIN_NO)) {
		RtRequest *r = h->late;
		h->late = r->next;
		send_answer(h, r);
	}
	if (h->late)
		wait_for_late(h, now);
}

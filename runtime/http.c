/* http.c -- the server as a whole: listening, the loop, signals, draining */
#include "runtime/http.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "runtime/http_conn.h"
#include "runtime/sys.h"

enum { BACKLOG = 4096, DRAIN_MOST_S = 30, SPARE_FILES = 64 };

static const struct timeval sweep_time = {0, 250000}, drain_time = {0, 10000}, breath = {0, 100000};

RtHttpOptions rt_http_defaults(void)
{
	return (RtHttpOptions){.port = 8080,
			       .max_body = 8 << 20,
			       .max_buffered = 256 << 20,
			       .max_header = 16 << 10,
			       .max_connections = 4096,
			       .header_s = 10,
			       .body_s = 10,
			       .idle_s = 60,
			       .write_s = 20,
			       .drain_s = 0.5,
			       .min_rate = 16 << 10};
}

int rt_http_port(const RtHttp *h)
{
	return h->port;
}

bool rt_http_draining(const RtHttp *h)
{
	return h->drain != RT_DRAIN_NO;
}

RtHttpCounts rt_http_counts(const RtHttp *h)
{
	return h->counts;
}

/* ---- the end ---- */

static void hurry(RtHttp *h, const struct timeval *every)
{
	event_del(h->sweep);
	event_add(h->sweep, every);
}

static void drain(RtHttp *h, RtDrain how)
{
	h->drain = how;
	h->drain_since = rt_sys.monotonic_ns();
	hurry(h, &drain_time);
	rt_request_send_late(h, h->drain_since);
}

static void on_signal(evutil_socket_t number, short what, void *server)
{
	RtHttp *h = server;
	(void)what;
	if (h->drain != RT_DRAIN_NO) {
		h->signal = (int)number;
		event_base_loopbreak(h->base);
		return;
	}
	drain(h, number == SIGTERM && h->o.drain_s > 0 ? RT_DRAIN_TOLD : RT_DRAIN_CLOSING);
}

/* Connections that the kernel has taken already are ours to serve: the listener goes when none waits. */
static void stop_listening(RtHttp *h)
{
	struct pollfd p = {.fd = evhttp_bound_socket_get_fd(h->bound), .events = POLLIN};
	if (poll(&p, 1, 0) == 0) {
		evhttp_del_accept_socket(h->http, h->bound);
		h->bound = NULL;
	}
}

static void drain_on(RtHttp *h)
{
	double waited = (double)(rt_sys.monotonic_ns() - h->drain_since) * 1e-9;
	if (h->drain == RT_DRAIN_TOLD && waited >= h->o.drain_s)
		h->drain = RT_DRAIN_CLOSING;
	if (h->drain == RT_DRAIN_CLOSING && h->bound)
		stop_listening(h);
	if (h->drain == RT_DRAIN_CLOSING && !h->bound && !h->counts.connections && !h->fresh)
		event_base_loopexit(h->base, NULL);
	else if (waited > DRAIN_MOST_S + h->o.drain_s) {
		h->signal = SIGTERM;
		event_base_loopbreak(h->base);
	}
}

static void on_sweep(evutil_socket_t fd, short what, void *server)
{
	RtHttp *h = server;
	(void)fd;
	(void)what;
	rt_conn_sweep(h);
	if (h->o.tick)
		h->o.tick(h->o.arg);
	if (h->o.log)
		fflush(h->o.log);
	if (h->drain != RT_DRAIN_NO)
		drain_on(h);
}

/* ---- events ---- */

static void on_wake(evutil_socket_t fd, short what, void *server)
{
	uint64_t count;
	(void)what;
	if (rt_sys.read(fd, &count, sizeof count) > 0)
		rt_request_send_done(server);
}

static void on_late(evutil_socket_t fd, short what, void *server)
{
	(void)fd;
	(void)what;
	rt_request_send_late(server, rt_sys.monotonic_ns());
}

/* Out of file descriptors or memory: connections wait in the kernel for a moment. */
static void on_accept_error(struct evconnlistener *listener, void *server)
{
	RtHttp *h = server;
	evconnlistener_disable(listener);
	event_add(h->listen_again, &breath);
}

static void on_listen_again(evutil_socket_t fd, short what, void *server)
{
	RtHttp *h = server;
	(void)fd;
	(void)what;
	if (h->bound)
		evconnlistener_enable(evhttp_bound_socket_get_listener(h->bound));
}

static RtStatus open_events(RtHttp *h)
{
	struct event_base *b = h->base;
	h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->wake_fd < 0)
		return rt_fail_errno(RT_IO, "make", "an eventfd");
	h->wake = event_new(b, h->wake_fd, EV_READ | EV_PERSIST, on_wake, h);
	h->sweep = event_new(b, -1, EV_PERSIST, on_sweep, h);
	h->fresh_ready = event_new(b, -1, 0, rt_conn_fresh, h);
	h->late_due = event_new(b, -1, 0, on_late, h);
	h->listen_again = event_new(b, -1, 0, on_listen_again, h);
	h->terminate = evsignal_new(b, SIGTERM, on_signal, h);
	h->interrupt = evsignal_new(b, SIGINT, on_signal, h);
	bool ok = h->wake && h->sweep && h->fresh_ready && h->late_due && h->listen_again && h->terminate &&
		  h->interrupt && event_priority_set(h->fresh_ready, 0) == 0;
	ok = ok && event_add(h->wake, NULL) == 0 && event_add(h->sweep, &sweep_time) == 0 &&
	     event_add(h->terminate, NULL) == 0 && event_add(h->interrupt, NULL) == 0;
	return ok ? RT_OK : rt_fail(RT_NOMEM, "out of memory for the event loop");
}

/* ---- listening ---- */

static RtStatus bind_to(RtHttp *h, const struct addrinfo *a)
{
	const unsigned flags =
		LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_DISABLED;
	struct evconnlistener *l =
		evconnlistener_new_bind(h->base, NULL, h, flags, BACKLOG, a->ai_addr, (int)a->ai_addrlen);
	if (!l)
		return RT_IO;
	h->bound = evhttp_bind_listener(h->http, l);
	if (!h->bound) {
		evconnlistener_free(l);
		return rt_fail(RT_NOMEM, "out of memory for the listening socket");
	}
	evconnlistener_set_error_cb(l, on_accept_error);
	evconnlistener_enable(l);
	struct sockaddr_storage at;
	socklen_t n = sizeof at;
	char port[16] = "";
	if (getsockname(evconnlistener_get_fd(l), (struct sockaddr *)&at, &n) == 0)
		getnameinfo((struct sockaddr *)&at, n, NULL, 0, port, sizeof port, NI_NUMERICSERV);
	sscanf(port, "%d", &h->port);
	return RT_OK;
}

static RtStatus listen_at(RtHttp *h)
{
	const char *host = h->o.host ? h->o.host : "127.0.0.1";
	char port[16], text[128];
	struct addrinfo *found = NULL, want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	snprintf(port, sizeof port, "%d", h->o.port);
	int error = getaddrinfo(host, port, &want, &found);
	if (error)
		return rt_fail(RT_USAGE, "there is no address '%s' to listen at: %s", host, gai_strerror(error));
	RtStatus s = RT_IO;
	for (const struct addrinfo *a = found; a && s == RT_IO; a = a->ai_next)
		s = bind_to(h, a);
	error = errno;
	freeaddrinfo(found);
	if (s == RT_IO)
		return rt_fail(RT_IO, "cannot listen at %s port %s: %s%s", host, port,
			       strerror_r(error, text, sizeof text),
			       error == EADDRINUSE ? " (--port takes another)" : "");
	return s;
}

/* As many files as connections need, as far as the system lets us. */
static void raise_file_limit(RtHttp *h)
{
	struct rlimit r;
	rlim_t want = (rlim_t)h->o.max_connections * 2 + SPARE_FILES;
	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return;
	if (r.rlim_cur < want) {
		r.rlim_cur = want < r.rlim_max ? want : r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
		getrlimit(RLIMIT_NOFILE, &r);
	}
	int64_t most = (int64_t)(r.rlim_cur > SPARE_FILES * 2 ? r.rlim_cur - SPARE_FILES : r.rlim_cur / 2);
	if (h->o.max_connections > most)
		h->o.max_connections = (int)most;
}

static RtStatus open_http(RtHttp *h)
{
	h->http = evhttp_new(h->base);
	if (!h->http)
		return rt_fail(RT_NOMEM, "out of memory for the server");
	evhttp_set_bevcb(h->http, rt_conn_new, h);
	evhttp_set_gencb(h->http, rt_request_arrived, h);
	evhttp_set_max_headers_size(h->http, h->o.max_header);
	evhttp_set_max_body_size(h->http, (ev_ssize_t)h->o.max_body);
	evhttp_set_allowed_methods(h->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
						    EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS);
	return listen_at(h);
}

RtStatus rt_http_open(const RtHttpOptions *o, RtHttp **out)
{
	*out = NULL;
	RtHttp *h = rt_sys.alloc(sizeof *h);
	if (!h)
		return rt_fail(RT_NOMEM, "out of memory for the server");
	*h = (RtHttp){.o = *o, .wake_fd = -1};
	pthread_mutex_init(&h->lock, NULL);
	raise_file_limit(h);
	signal(SIGPIPE, SIG_IGN);
	event_set_mem_functions(rt_sys.alloc, rt_sys.resize, rt_sys.release);
	h->base = event_base_new();
	RtStatus s = h->base && event_base_priority_init(h->base, 2) == 0
			     ? RT_OK
			     : rt_fail(RT_NOMEM, "out of memory for the event loop");
	if (s == RT_OK && o->rate > 0 && !(h->rates = rt_rates_new(o->rate)))
		s = rt_fail(RT_NOMEM, "out of memory for the table of clients");
	if (s == RT_OK)
		s = open_events(h);
	if (s == RT_OK)
		s = open_http(h);
	if (s != RT_OK)
		rt_http_close(h);
	else
		*out = h;
	return s;
}

RtStatus rt_http_run(RtHttp *h)
{
	event_base_dispatch(h->base);
	rt_conn_sweep(h);
	if (!h->signal)
		return RT_OK;
	rt_fail(RT_INTERRUPTED, "ended before %d connections were finished", h->counts.connections);
	return h->signal == SIGINT ? RT_INTERRUPTED : (RtStatus)(128 + h->signal);
}

/* Answers that reach nobody any more. */
static void drop(const RtHttp *h, RtRequest *r)
{
	for (RtRequest *next; r; r = next) {
		next = r->next;
		if (h->o.answered)
			h->o.answered(h->o.arg, r);
		rt_request_free(r);
	}
}

void rt_http_close(RtHttp *h)
{
	if (!h)
		return;
	drop(h, h->done);
	drop(h, h->late);
	for (RtConn *c = h->conns; c; c = c->next)
		c->request = NULL;
	if (h->http)
		evhttp_free(h->http);
	rt_linger_free_all(h);
	struct event *const event[] = {h->wake,         h->sweep,     h->fresh_ready, h->late_due,
				       h->listen_again, h->terminate, h->interrupt};
	for (size_t i = 0; i < sizeof event / sizeof *event; i++) {
		if (event[i])
			event_free(event[i]);
	}
	if (h->base)
		event_base_free(h->base);
	if (h->wake_fd >= 0)
		rt_sys.close(h->wake_fd);
	rt_rates_free(h->rates);
	rt_sys.release(h->by_fd);
	pthread_mutex_destroy(&h->lock);
	rt_sys.release(h);
}

/* http_conn.c -- what evhttp does not watch over: how many connections there are, how long they take, how much they keep
 *
 * evhttp tells of a request once all of it is there. What happens before is seen here by a callback on each
 * connection's input, which counts bytes and looks for the empty line that ends a header. A connection is freed only between
 * requests or while one is read, never while the handler has it; its end is told by evhttp's close callback, for which
 * the evhttp_connection is needed: it is the argument of the callbacks that evhttp has put on the bufferevent by the time
 * that the fresh connections are looked at, before any of their input is (the event has priority).
 *
 * A client that is refused while it still sends would meet a reset before it has read why. So the socket lingers: a
 * duplicate stays open, and what comes is thrown away, until two seconds of silence or some seconds altogether.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "runtime/http_conn.h"
#include "runtime/sys.h"

enum { LINGERS = 256, LINGER_BYTES = 64 << 20, LINGER_S = 5, FRAMING = 64 << 10 };

struct RtLinger {
	RtLinger *prev, *next;
	RtHttp *server;
	struct event *ready;
	int fd;
	size_t bytes;
	int64_t until;
};

/* ---- lingering ---- */

static void linger_free(RtLinger *l)
{
	RtHttp *h = l->server;
	if (l->prev)
		l->prev->next = l->next;
	else
		h->linger = l->next;
	if (l->next)
		l->next->prev = l->prev;
	h->lingers--;
	event_free(l->ready);
	rt_sys.close(l->fd);
	rt_sys.release(l);
}

void rt_linger_free_all(RtHttp *h)
{
	while (h->linger)
		linger_free(h->linger);
}

static void linger_read(evutil_socket_t fd, short what, void *arg)
{
	RtLinger *l = arg;
	char waste[16384];
	ssize_t n = what & EV_READ ? recv(fd, waste, sizeof waste, MSG_DONTWAIT) : 0;
	l->bytes += n > 0 ? (size_t)n : 0;
	bool over = l->bytes > LINGER_BYTES || rt_sys.monotonic_ns() > l->until;
	if (over || n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		linger_free(l);
}

/* Takes a duplicate of fd, which its owner will close. */
static void linger(RtHttp *h, int fd)
{
	static const struct timeval silence = {2, 0};
	if (h->lingers == LINGERS)
		return;
	RtLinger *l = rt_sys.alloc(sizeof *l);
	if (!l)
		return;
	*l = (RtLinger){.next = h->linger, .server = h, .fd = dup(fd)};
	l->until = rt_sys.monotonic_ns() + LINGER_S * INT64_C(1000000000);
	l->ready = l->fd < 0 ? NULL : event_new(h->base, l->fd, EV_READ | EV_PERSIST, linger_read, l);
	if (!l->ready || event_add(l->ready, &silence) != 0) {
		if (l->ready)
			event_free(l->ready);
		if (l->fd >= 0)
			rt_sys.close(l->fd);
		rt_sys.release(l);
		return;
	}
	if (l->next)
		l->next->prev = l;
	h->linger = l;
	h->lingers++;
}

/* ---- the phases of a connection ---- */

static void enter(RtConn *c, RtConnPhase phase)
{
	c->phase = phase;
	c->since = rt_sys.monotonic_ns();
}

static void refuse_soon(RtConn *c, int status)
{
	if (!c->refuse) {
		c->refuse = status;
		c->server->refusing = true;
		event_active(c->server->fresh_ready, 0, 0);
	}
}

/* Looks for the end of the header: a line that is empty but for '\r'. */
static void scan_header(RtConn *c, const unsigned char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] != '\n') {
			c->line_cr = c->line == 0 && s[i] == '\r';
			c->line = c->line < 2 ? c->line + 1 : 2;
			continue;
		}
		bool empty = c->line == 0 || (c->line == 1 && c->line_cr);
		c->line = 0;
		if (empty) {
			enter(c, RT_CONN_BODY);
			return;
		}
	}
}

/* The last n bytes of the input are new. */
static void take_bytes(RtConn *c, struct evbuffer *input, size_t n)
{
	RtHttp *h = c->server;
	if (c->phase == RT_CONN_IDLE) {
		enter(c, RT_CONN_HEADER);
		c->line = 2; /* empty lines before a request don't count */
	}
	struct evbuffer_ptr at;
	struct evbuffer_iovec piece[8];
	size_t left = n, all = evbuffer_get_length(input);
	evbuffer_ptr_set(input, &at, all - n, EVBUFFER_PTR_SET);
	while (left && c->phase == RT_CONN_HEADER) {
		int pieces = evbuffer_peek(input, (ev_ssize_t)left, &at, piece, 8);
		for (int i = 0; i < pieces && i < 8 && left && c->phase == RT_CONN_HEADER; i++) {
			size_t some = piece[i].iov_len < left ? piece[i].iov_len : left;
			scan_header(c, piece[i].iov_base, some);
			left -= some;
			evbuffer_ptr_set(input, &at, some, EVBUFFER_PTR_ADD);
		}
		if (pieces <= 0)
			break;
	}
	c->wire += (int64_t)n;
	h->counts.buffered += (int64_t)n;
	if (c->phase == RT_CONN_HEADER && c->wire > h->o.max_header)
		refuse_soon(c, 431);
	else if (c->wire > h->o.max_header + h->o.max_body + h->o.max_body / 4 + FRAMING)
		refuse_soon(c, 413);
	else if (h->counts.buffered > h->o.max_buffered)
		refuse_soon(c, 503);
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
	if (info->n_added)
		take_bytes(arg, input, info->n_added);
}

void rt_conn_answered(struct evhttp_request *ev, void *arg)
{
	RtConn *c = arg;
	struct evbuffer *input = bufferevent_get_input(c->bev);
	size_t ahead = evbuffer_get_length(input); /* of the next request, sent before this one was answered */
	(void)ev;
	c->server->counts.buffered -= c->wire;
	c->wire = 0;
	c->refuse = 0;
	c->served++;
	enter(c, RT_CONN_IDLE);
	if (ahead)
		take_bytes(c, input, ahead);
}

/* ---- begin and end ---- */

struct bufferevent *rt_conn_new(struct event_base *base, void *server)
{
	RtHttp *h = server;
	RtConn *c = rt_sys.alloc(sizeof *c);
	struct bufferevent *bev = c ? bufferevent_socket_new(base, -1, 0) : NULL;
	if (!bev || !evbuffer_add_cb(bufferevent_get_input(bev), on_input, c)) {
		if (bev)
			bufferevent_free(bev);
		rt_sys.release(c);
		return NULL;
	}
	*c = (RtConn){.server = h, .bev = bev, .next = h->fresh, .fd = -1};
	bufferevent_incref(bev); /* evhttp may give up on it before it is looked at */
	h->fresh = c;
	event_active(h->fresh_ready, 0, 0);
	return bev;
}

static bool may_be_freed(const RtConn *c)
{
	return c->phase == RT_CONN_IDLE || c->phase == RT_CONN_HEADER || c->phase == RT_CONN_BODY;
}

static void on_close(struct evhttp_connection *evcon, void *arg)
{
	RtConn *c = arg;
	RtHttp *h = c->server;
	(void)evcon;
	evbuffer_remove_cb(bufferevent_get_input(c->bev), on_input, c);
	if (c->phase == RT_CONN_HEADER || c->phase == RT_CONN_BODY) {
		h->counts.malformed += !c->refuse; /* or broken off by the client */
		linger(h, c->fd);
	}
	if (c->request)
		c->request->conn = NULL;
	if (c->prev)
		c->prev->next = c->next;
	else
		h->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	h->by_fd[c->fd] = NULL;
	h->counts.connections--;
	h->counts.buffered -= c->wire;
	rt_sys.release(c);
}

/* A short answer straight to the socket, as far as it takes it, and the end of the connection. */
static void refuse(RtConn *c, int status, const char *reason)
{
	char text[200];
	int n = snprintf(text, sizeof text,
			 "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: 0\r\n%s\r\n", status, reason,
			 status == 503 ? "Retry-After: 1\r\n" : "");
	c->refuse = status;
	if (send(c->fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		errno = 0; /* it does not want to know */
	evhttp_connection_free(c->evcon);
}

/* The connection that has gone longest without a whole request makes room. */
static void evict(RtHttp *h)
{
	RtConn *oldest = NULL;
	for (RtConn *c = h->conns; c; c = c->next) {
		if (may_be_freed(c) && (!oldest || c->since < oldest->since))
			oldest = c;
	}
	if (!oldest)
		return;
	h->counts.evicted++;
	refuse(oldest, 503, "Service Unavailable");
}

static bool know_fd(RtHttp *h, RtConn *c)
{
	if (c->fd < 0)
		return false;
	if (c->fd >= h->nfds) {
		int room = c->fd * 2 + 64;
		RtConn **bigger = rt_sys.resize(h->by_fd, (size_t)room * sizeof *bigger);
		if (!bigger)
			return false;
		memset(bigger + h->nfds, 0, (size_t)(room - h->nfds) * sizeof *bigger);
		h->by_fd = bigger;
		h->nfds = room;
	}
	h->by_fd[c->fd] = c;
	return true;
}

static void welcome(RtHttp *h, RtConn *c)
{
	void *evcon = NULL;
	const char *address = NULL;
	ev_uint16_t port;
	int on = 1;
	bufferevent_getcb(c->bev, NULL, NULL, NULL, &evcon);
	c->evcon = evcon;
	c->fd = bufferevent_getfd(c->bev);
	if (!evcon || !know_fd(h, c)) {
		evbuffer_remove_cb(bufferevent_get_input(c->bev), on_input, c);
		if (evcon)
			evhttp_connection_free(evcon);
		bufferevent_decref(c->bev);
		rt_sys.release(c);
		return;
	}
	bufferevent_decref(c->bev);
	evhttp_connection_set_closecb(c->evcon, on_close, c);
	evhttp_connection_get_peer(c->evcon, (char **)(uintptr_t)&address, &port);
	snprintf(c->client, sizeof c->client, "%s", address ? address : "");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	enter(c, RT_CONN_IDLE);
	c->prev = NULL;
	c->next = h->conns;
	if (h->conns)
		h->conns->prev = c;
	h->conns = c;
	h->counts.accepted++;
	if (++h->counts.connections > h->o.max_connections)
		evict(h);
}

static const char *reason_of(int status)
{
	return status == 431   ? "Request Header Fields Too Large"
	       : status == 413 ? "Content Too Large"
	       : status == 408 ? "Request Timeout"
			       : "Service Unavailable";
}

void rt_conn_fresh(evutil_socket_t fd, short what, void *server)
{
	RtHttp *h = server;
	(void)fd;
	(void)what;
	while (h->fresh) {
		RtConn *c = h->fresh;
		h->fresh = c->next;
		welcome(h, c);
	}
	for (RtConn *c = h->refusing ? h->conns : NULL, *next; c; c = next) {
		next = c->next;
		if (c->refuse && may_be_freed(c)) {
			h->counts.malformed++;
			refuse(c, c->refuse, reason_of(c->refuse));
		}
	}
	h->refusing = false;
}

RtConn *rt_conn_of(const RtHttp *h, struct evhttp_request *ev)
{
	struct evhttp_connection *evcon = evhttp_request_get_connection(ev);
	int fd = evcon ? bufferevent_getfd(evhttp_connection_get_bufferevent(evcon)) : -1;
	RtConn *c = fd >= 0 && fd < h->nfds ? h->by_fd[fd] : NULL;
	return c && c->evcon == evcon ? c : NULL;
}

/* ---- deadlines ---- */

static double seconds_allowed(const RtHttpOptions *o, const RtConn *c)
{
	switch (c->phase) {
	case RT_CONN_IDLE: return c->served ? o->idle_s : o->header_s;
	case RT_CONN_HEADER: return o->header_s;
	case RT_CONN_BODY: return o->body_s + (o->min_rate ? (double)c->wire / (double)o->min_rate : 0);
	case RT_CONN_WRITING: return o->write_s;
	case RT_CONN_BUSY: break;
	}
	return 0;
}

static bool nothing_came(const RtConn *c)
{
	int waiting = 0;
	return c->phase == RT_CONN_IDLE && ioctl(c->fd, FIONREAD, &waiting) == 0 && waiting == 0;
}

void rt_conn_sweep(RtHttp *h)
{
	int64_t now = rt_sys.monotonic_ns();
	for (RtConn *c = h->conns, *next; c; c = next) {
		next = c->next;
		if (c->phase == RT_CONN_BUSY)
			continue;
		if (h->drain == RT_DRAIN_CLOSING && nothing_came(c)) {
			evhttp_connection_free(c->evcon);
			continue;
		}
		if ((double)(now - c->since) * 1e-9 < seconds_allowed(&h->o, c))
			continue;
		h->counts.timeouts++;
		if (c->phase == RT_CONN_HEADER || c->phase == RT_CONN_BODY)
			refuse(c, 408, reason_of(408));
		else
			evhttp_connection_free(c->evcon);
	}
}

/* http_conn.h -- between the parts of the HTTP server: its state, and what is known of each connection
 *
 * http.c  opening, running, draining    http_request.c  a request in, an answer out
 * http_conn.c  connections: phases, deadlines, limits, lingering    http_rate.c  requests a second and client
 */
#ifndef CNNC_RUNTIME_HTTP_CONN_H
#define CNNC_RUNTIME_HTTP_CONN_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <pthread.h>
#include "runtime/http.h"

typedef enum RtConnPhase {
	RT_CONN_IDLE,   /* nothing of a request is there */
	RT_CONN_HEADER, /* some, but not the empty line */
	RT_CONN_BODY,
	RT_CONN_BUSY, /* the handler has it */
	RT_CONN_WRITING
} RtConnPhase;

struct RtConn {
	RtConn *prev, *next;
	RtHttp *server;
	struct bufferevent *bev;
	struct evhttp_connection *evcon;
	RtRequest *request;
	RtConnPhase phase;
	int fd;
	int refuse;      /* status to refuse it with as soon as it may be freed; 0: no */
	int line;        /* bytes of the line that is being read, up to 2: only "" and "\r" matter */
	bool line_cr;
	uint64_t served; /* requests */
	int64_t since;   /* ns: when the phase began */
	int64_t wire;    /* bytes of the present request */
	char client[RT_CLIENT_TEXT];
};

typedef struct RtLinger RtLinger;
typedef struct RtRates RtRates;

typedef enum RtDrain { RT_DRAIN_NO, RT_DRAIN_TOLD, RT_DRAIN_CLOSING } RtDrain;

struct RtHttp {
	RtHttpOptions o;
	RtHttpCounts counts;
	struct event_base *base;
	struct evhttp *http;
	struct evhttp_bound_socket *bound; /* NULL once no connection is taken any more */
	struct event *wake, *sweep, *fresh_ready, *terminate, *interrupt, *late_due, *listen_again;
	int wake_fd, port;
	RtConn *conns, *fresh; /* fresh: accepted in this turn of the loop, not yet looked at */
	bool refusing; /* a connection wants to be refused */
	RtConn **by_fd;
	int nfds, lingers;
	RtLinger *linger;
	RtRates *rates;
	RtRequest *late, *late_last; /* answers that wait, in the order of their time */
	RtDrain drain;
	int64_t drain_since;
	int signal; /* that ended it before all was finished */

	pthread_mutex_t lock; /* of the two below */
	RtRequest *done, *done_last;
	bool woken;
};

/* ---- http_conn.c ---- */
struct bufferevent *rt_conn_new(struct event_base *base, void *server); /* evhttp asks for it at each accept */
void rt_conn_fresh(evutil_socket_t fd, short what, void *server);
RtConn *rt_conn_of(const RtHttp *h, struct evhttp_request *ev); /* NULL: it could not be made for want of memory */
void rt_conn_answered(struct evhttp_request *ev, void *conn);   /* the answer is written */
/* Closes what has passed its deadline; while draining, also what is idle. */
void rt_conn_sweep(RtHttp *h);
void rt_linger_free_all(RtHttp *h);

/* ---- http_request.c ---- */
void rt_request_arrived(struct evhttp_request *ev, void *server);
void rt_request_send_done(RtHttp *h); /* all answers that other threads gave */
void rt_request_send_late(RtHttp *h, int64_t now);
void rt_request_free(RtRequest *r);

/* ---- http_rate.c ---- */
RtRates *rt_rates_new(double rate);
void rt_rates_free(RtRates *t);
bool rt_rates_take(RtRates *t, const char *client, int64_t now_ns); /* false: too many */

#endif

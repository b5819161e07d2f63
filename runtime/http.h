/* http.h -- an HTTP/1.1 server of one event loop: limits on all that a client can make it keep, and an orderly end
 *
 * The handler runs on the loop's thread and must not take long: it answers a request at once, or keeps it and answers it
 * later from any thread, exactly once. What a client can hold on to is bounded: header, body, the bodies of all requests
 * together, connections (the one that has been idle or incomplete for longest makes room), and time, as an absolute
 * deadline with a least rate, not a time-out that each byte renews.
 *
 * SIGTERM: `draining` turns true at once; for drain_s requests are still taken, so that whoever balances load can see it;
 * then no connection is taken any more, all that has begun is finished, and rt_http_run returns. SIGINT leaves the wait out. A
 * second signal ends it at once.
 */
#ifndef CNNC_RUNTIME_HTTP_H
#define CNNC_RUNTIME_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "runtime/json_write.h"
#include "runtime/status.h"

enum { RT_HTTP_HEADERS = 4, RT_CLIENT_TEXT = 48 };

typedef struct RtHttp RtHttp;
typedef struct RtConn RtConn;

typedef struct RtRequest {
	/* ---- what was asked: borrowed until the answer ---- */
	const char *method, *path, *query; /* query: "" where there is none */
	size_t length;                     /* of the body */
	int64_t arrived_ns;                /* when all of it was there */
	bool authorized;                   /* the token is right, or none is wanted */
	void *job;                         /* the handler's own */
	/* ---- the answer: filled in, then rt_http_answer ---- */
	int status;
	const char *type; /* of the body */
	RtText body;
	struct {
		const char *name;
		char value[40];
	} header[RT_HTTP_HEADERS];
	int nheaders;
	char note[160]; /* members of a JSON object for the log: "\"batch\":3" */
	/* ---- the server's ---- */
	RtHttp *server;
	RtConn *conn; /* NULL: the client has gone */
	struct evhttp_request *ev;
	struct RtRequest *next;
	bool close; /* the connection, after the answer */
	int64_t answer_at_ns; /* of a refusal that waits */
	char client[RT_CLIENT_TEXT];
} RtRequest;

typedef struct RtHttpOptions {
	const char *host; /* address or name; NULL: 127.0.0.1 */
	int port;         /* 0: any that is free */
	int64_t max_body, max_buffered; /* bytes: of one request; of all that are not answered yet */
	int max_header, max_connections;
	double header_s, body_s, idle_s, write_s, drain_s;
	int64_t min_rate; /* bytes a second that extend body_s */
	double rate;      /* requests a second and client address, twice as many at once; 0: any number */
	const char *token; /* NULL: none is wanted */
	FILE *log;         /* a JSON object a request; NULL: none */
	void (*handle)(void *arg, RtRequest *r);
	void (*answered)(void *arg, const RtRequest *r); /* on the loop's thread, once a request; may be NULL */
	void (*tick)(void *arg); /* on the loop's thread, several times a minute; may be NULL */
	void *arg;
} RtHttpOptions;

typedef struct RtHttpCounts { /* read on the loop's thread */
	int connections;
	int64_t buffered;                                  /* bytes of requests in the house */
	uint64_t accepted, timeouts, malformed, evicted, limited; /* since the start */
} RtHttpCounts;

RtHttpOptions rt_http_defaults(void);
/* Listens when it returns. Signals other than the two must be handled by threads that are started after it. */
RtStatus rt_http_open(const RtHttpOptions *o, RtHttp **out);
RtStatus rt_http_run(RtHttp *h); /* RT_OK: drained */
void rt_http_close(RtHttp *h);   /* no thread may hold a request any more; NULL is fine */
int rt_http_port(const RtHttp *h);
bool rt_http_draining(const RtHttp *h);
RtHttpCounts rt_http_counts(const RtHttp *h);

const char *rt_request_header(const RtRequest *r, const char *name); /* NULL: absent */
/* All of the body in one piece; by one thread at a time. NULL: out of memory, or the body is empty. */
const unsigned char *rt_request_body(RtRequest *r);
void rt_request_add_header(RtRequest *r, const char *name, const char *value);
/* From any thread. The request is gone afterwards. */
void rt_http_answer(RtRequest *r);
/* The same at once; on the loop's thread. */
void rt_http_answer_now(RtRequest *r);
/* For refusals, on the loop's thread: the body is dropped at once, but the answer waits, so that at most 500 go out a
 * second and clients that ask again at once leave the processors to those who are served. At most 1.5 seconds. */
void rt_http_answer_slowly(RtRequest *r);

#endif

/* serve.h -- NAME serve: the predictor as a network service
 *
 * serve.c           options, opening, the end      serve_route.c    which request is for whom, health, metadata
 * serve_work.c      the queue, the workers, batches  serve_ask*.c   bodies in
 * serve_answer.c    bodies out                     serve_metrics.c  /metrics
 * serve_page.c      the page at /
 *
 * The loop's thread reads requests, queues them in the order of their arrival and writes answers; it neither parses
 * bodies nor decodes nor predicts. Each worker has an instance of the model (the weights are shared) and a pool of one thread. A
 * worker that is free takes the oldest requests, its share of them if others are free too, at most max_batch, and runs their
 * samples in that order, max_batch at a time. The network gives a sample the same bits in any company.
 */
#ifndef CNNC_RUNTIME_SERVE_H
#define CNNC_RUNTIME_SERVE_H

#include <pthread.h>
#include "runtime/data.h"
#include "runtime/energy.h"
#include "runtime/http.h"
#include "runtime/predict.h"
#include "runtime/serve_ask.h"

typedef enum RtProtocol { RT_PROTOCOL_PLAIN, RT_PROTOCOL_V2, RT_PROTOCOL_TENSORFLOW } RtProtocol;

typedef struct RtJob { /* a request for predictions */
	RtRequest *request;
	RtProtocol protocol;
	RtAsk ask;
	int64_t top_k;
	int64_t left; /* samples that have not been predicted */
	unsigned char *out[RT_MAX_PORTS]; /* by row */
	int64_t taken_ns, input_ns, infer_ns, output_ns; /* when it left the queue; what parsing, prediction, writing took */
	uint32_t batch;                                  /* samples in the largest batch that it was part of */
	bool refused;                                    /* never came to a worker */
	struct RtJob *next;
} RtJob;

typedef struct RtWorker RtWorker;

typedef struct RtServeOptions {
	int threads, max_batch, max_queue;
	double deadline_s, delay_s; /* a request waits no longer than this; a batch for more samples */
	int64_t max_pixels;
	const char *token_file, *log;
} RtServeOptions;

enum { RT_LATENCY_BUCKETS = 14 };

typedef struct RtServeCounts { /* of the loop's thread, but for the last two */
	uint64_t success, refused, failed, samples, page_views;
	int64_t request_ns, queue_ns, input_ns, infer_ns, output_ns;
	uint64_t latency[RT_LATENCY_BUCKETS + 1];
	_Atomic uint64_t executions, predicted; /* batches, samples in them */
} RtServeCounts;

typedef struct RtServer {
	RtPredictor *predictor;
	RtServeOptions o;
	RtHttp *http;
	RtHttpOptions http_options;
	char *token; /* or NULL */
	RtDataSpec spec;
	RtTakes takes;
	const RtEntry *entry[RT_ASK_KINDS];
	int classes;         /* 0: the outputs are not classes */
	unsigned protocols;  /* 1 << RtProtocol of those that are answered */
	bool metrics;
	double started_s;
	RtServeCounts counts;
	RtEnergy energy; /* since the start; of the loop's thread */

	RtWorker *worker;
	int nworkers; /* that run */
	pthread_mutex_t lock; /* of the rest */
	pthread_cond_t more;
	RtJob *first, *last;
	int queued, idle;
	bool closing;
} RtServer;

/* ---- serve_work.c ---- */
RtStatus rt_serve_start(RtServer *s); /* the workers */
void rt_serve_stop(RtServer *s);      /* after the loop has ended: what is still queued is dropped */
/* On the loop's thread. */
void rt_serve_enqueue(RtServer *s, RtRequest *r, RtProtocol protocol);
void rt_job_free(RtJob *j);

/* ---- serve_answer.c ---- */
void rt_answer(RtServer *s, RtJob *j); /* into j->request */
void rt_answer_error(RtRequest *r, int status, const char *why);
const char *rt_datatype(int32_t dtype); /* "FP32" */

/* ---- serve_route.c ---- */
void rt_serve_route(void *server, RtRequest *r);
void rt_serve_answered(void *server, const RtRequest *r);

void rt_serve_tick(void *server);
void rt_serve_metrics(RtServer *s, RtText *t);
extern const char rt_serve_page[];

/* predict.h's RtCommandFn. */
RtStatus rt_serve(RtPredictor *p, int argc, char **argv);

#endif

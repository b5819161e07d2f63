/* serve_work.c -- from the queue to results: workers, batches in the order of arrival */
#include <string.h>
#include <signal.h>
#include <time.h>
#include "ir/size.h"
#include "runtime/image.h"
#include "runtime/serve.h"
#include "runtime/sys.h"

typedef struct Place {
	RtJob *job;
	int64_t row;
} Place;

struct RtWorker {
	RtServer *server;
	RtInstance in;
	RtPool *pool;
	pthread_t thread;
	/* the batch that is being filled */
	RtAskKind kind;
	uint32_t fill;
	Place *place;
	unsigned char *rows;
	size_t rows_bytes;
	RtJob *open; /* the jobs taken together, while they are not answered */
};

void rt_job_free(RtJob *j)
{
	rt_ask_free(&j->ask);
	rt_sys.release(j->out[0]);
	rt_sys.release(j);
}

/* ---- the queue ---- */

void rt_serve_enqueue(RtServer *s, RtRequest *r, RtProtocol protocol)
{
	pthread_mutex_lock(&s->lock);
	bool full = s->queued >= s->o.max_queue;
	pthread_mutex_unlock(&s->lock);
	RtJob *j = full ? NULL : rt_sys.alloc(sizeof *j);
	if (!j) {
		s->counts.refused++;
		rt_request_add_header(r, "Retry-After", "1");
		rt_answer_error(r, 503, full ? "too many requests wait" : "out of memory");
		rt_http_answer_slowly(r);
		return;
	}
	*j = (RtJob){.request = r, .protocol = protocol, .top_k = s->predictor->top_k};
	const char *top_k = strstr(r->query, "top_k=");
	int64_t n;
	if (top_k && (top_k == r->query || top_k[-1] == '&') && rt_parse_int(top_k + 6, &n) && n > 0)
		j->top_k = n;
	r->job = j;
	pthread_mutex_lock(&s->lock);
	if (s->last)
		s->last->next = j;
	else
		s->first = j;
	s->last = j;
	s->queued++;
	if (s->idle)
		pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
}

static void wait_until(RtServer *s, int64_t ns)
{
	struct timespec t = {ns / 1000000000, ns % 1000000000};
	pthread_cond_timedwait(&s->more, &s->lock, &t);
}

/* The oldest jobs: a fair share where other workers are free too. NULL: closing. */
static RtJob *take_jobs(RtServer *s)
{
	pthread_mutex_lock(&s->lock);
	s->idle++;
	for (;;) {
		int64_t until = s->first ? s->first->request->arrived_ns + (int64_t)(s->o.delay_s * 1e9) : 0;
		if (s->closing || (s->first && (s->queued >= s->o.max_batch || until <= rt_sys.monotonic_ns())))
			break;
		if (s->first)
			wait_until(s, until);
		else
			pthread_cond_wait(&s->more, &s->lock);
	}
	int share = (s->queued + s->idle - 1) / s->idle, n = share < s->o.max_batch ? share : s->o.max_batch;
	s->idle--; /* no longer: the others share what is left */
	RtJob *taken = s->first, *end = taken;
	for (int i = 1; i < n && end->next; i++)
		end = end->next;
	if (taken) {
		s->first = end->next;
		s->last = s->first ? s->last : NULL;
		s->queued -= n;
		end->next = NULL;
		if (s->first && s->idle)
			pthread_cond_signal(&s->more);
	}
	pthread_mutex_unlock(&s->lock);
	return taken;
}

/* ---- a job's end ---- */

/* Every job is answered once: what fails is marked by a status, and no more of it is done. */
static void fail_job(RtJob *j, int status, const char *why)
{
	if (!j->request->status)
		rt_answer_error(j->request, status, why);
}

/* Answers those that are predicted or failed. No row of a failed one may be in the batch any more. */
static void finish_jobs(RtWorker *w)
{
	for (RtJob **at = &w->open; *at;) {
		RtJob *j = *at;
		if (j->left && !j->request->status) {
			at = &j->next;
			continue;
		}
		*at = j->next;
		int64_t from = rt_sys.monotonic_ns();
		if (!j->request->status)
			rt_answer(w->server, j);
		int64_t now = rt_sys.monotonic_ns();
		j->output_ns = now - from;
		snprintf(j->request->note, sizeof j->request->note,
			 "\"samples\":%lld,\"batch\":%u,\"queue_ms\":%.3f,\"input_ms\":%.3f,\"infer_ms\":%.3f",
			 (long long)j->ask.rows, j->batch, (double)(j->taken_ns - j->request->arrived_ns) * 1e-6,
			 (double)j->input_ns * 1e-6, (double)j->infer_ns * 1e-6);
		rt_http_answer(j->request);
	}
}

/* ---- batches ---- */

static void run_batch(RtWorker *w)
{
	RtServer *s = w->server;
	const RtEntry *e = s->entry[w->kind];
	unsigned char *ports[RT_MAX_PORTS] = {w->rows};
	uint32_t n = w->fill;
	if (n == 0)
		return;
	w->fill = 0;
	int64_t from = rt_sys.monotonic_ns();
	rt_scalars_set(&w->in.scalars, w->in.model, n, 0);
	rt_instance_run(&w->in, e, ports, NULL);
	rt_predict_temper(s->predictor, w->in.out[0], n);
	int64_t took = rt_sys.monotonic_ns() - from;
	s->counts.executions++;
	s->counts.predicted += n;
	RtJob *before = NULL;
	for (uint32_t i = 0; i < n; i++) {
		RtJob *j = w->place[i].job;
		for (uint32_t k = 0; k < e->nout; k++) {
			size_t bytes = (size_t)e->out[k].row_bytes;
			memcpy(j->out[k] + (size_t)w->place[i].row * bytes, w->in.out[k] + i * bytes, bytes);
		}
		j->left--;
		j->infer_ns += j == before ? 0 : took;
		j->batch = n > j->batch ? n : j->batch;
		before = j;
	}
}

static void add_row(RtWorker *w, RtJob *j, int64_t row)
{
	w->place[w->fill++] = (Place){j, row};
	if (w->fill == (uint32_t)w->server->o.max_batch)
		run_batch(w);
}

static void add_pictures(RtWorker *w, RtJob *j)
{
	RtServer *s = w->server;
	size_t row_bytes = (size_t)s->spec.xport.row_bytes;
	for (int64_t i = 0; i < j->ask.rows; i++) {
		char why[256];
		RtSpan file = j->ask.picture[i];
		int64_t from = rt_sys.monotonic_ns();
		RtStatus status = rt_image_row(file.p, file.n, &s->spec, w->rows + w->fill * row_bytes);
		j->input_ns += rt_sys.monotonic_ns() - from;
		if (status != RT_OK) {
			snprintf(why, sizeof why, "picture %lld: %s", (long long)i, rt_message());
			fail_job(j, status == RT_NOMEM ? 503 : 422, why);
			return;
		}
		add_row(w, j, i);
	}
}

static void add_tensor(RtWorker *w, RtJob *j)
{
	const RtTakes *t = &w->server->takes;
	size_t row_bytes = (size_t)(w->kind == RT_ASK_PIXELS ? t->pixels : t->floats).row_bytes;
	for (int64_t i = 0; i < j->ask.rows; i++) {
		memcpy(w->rows + w->fill * row_bytes, j->ask.tensor + (size_t)i * row_bytes, row_bytes);
		add_row(w, j, i);
	}
}

static RtStatus parse_job(RtServer *s, RtJob *j)
{
	const unsigned char *body = rt_request_body(j->request);
	size_t n = j->request->length, n_json = SIZE_MAX;
	const char *split = rt_request_header(j->request, "Inference-Header-Content-Length");
	int64_t at;
	if (!body)
		return rt_fail(n ? RT_NOMEM : RT_BAD_DATA, n ? "out of memory for the body" : "the body is empty");
	switch (j->protocol) {
	case RT_PROTOCOL_V2:
		if (split && (!rt_parse_int(split, &at) || at < 0))
			return rt_fail(RT_BAD_DATA, "Inference-Header-Content-Length is no number");
		return rt_ask_v2(&s->takes, body, n, split ? (size_t)at : n_json, &j->ask);
	case RT_PROTOCOL_TENSORFLOW: return rt_ask_tensorflow(&s->takes, body, n, &j->ask);
	case RT_PROTOCOL_PLAIN: break;
	}
	return rt_ask_plain(&s->takes, rt_request_header(j->request, "Content-Type"), body, n, &j->ask);
}

/* Room for the outputs of all rows, in one piece. */
static RtStatus open_outputs(const RtServer *s, RtJob *j)
{
	size_t offset[RT_MAX_PORTS], total = 0, bytes;
	for (int k = 0; k < s->takes.noutputs; k++) {
		offset[k] = total;
		if (!size_mul((size_t)j->ask.rows, (size_t)s->takes.output[k].row_bytes, &bytes) ||
		    !size_align(bytes, RT_ALIGN, &bytes) || !size_add(total, bytes, &total))
			return rt_fail(RT_NOMEM, "the outputs are too large");
	}
	unsigned char *room = rt_sys.alloc(total);
	if (!room)
		return rt_fail(RT_NOMEM, "out of memory for the outputs");
	for (int k = 0; k < s->takes.noutputs; k++)
		j->out[k] = room + offset[k];
	j->left = j->ask.rows;
	return RT_OK;
}

static void begin_job(RtWorker *w, RtJob *j)
{
	RtServer *s = w->server;
	int64_t from = rt_sys.monotonic_ns();
	j->taken_ns = from;
	if (s->o.deadline_s > 0 && (double)(from - j->request->arrived_ns) * 1e-9 > s->o.deadline_s) {
		j->refused = true;
		rt_request_add_header(j->request, "Retry-After", "1");
		fail_job(j, 503, "waited longer than the deadline");
		return;
	}
	RtStatus status = parse_job(s, j);
	if (status == RT_OK)
		status = open_outputs(s, j);
	j->input_ns = rt_sys.monotonic_ns() - from;
	if (status != RT_OK) {
		fail_job(j, status == RT_NOMEM ? 503 : 400, rt_message());
		return;
	}
	if (w->kind != j->ask.kind)
		run_batch(w);
	w->kind = j->ask.kind;
	if (w->kind == RT_ASK_PICTURES)
		add_pictures(w, j);
	else
		add_tensor(w, j);
}

/* Rows of a job that failed later may be in the batch; they are predicted for nothing. */
static void *work(void *arg)
{
	RtWorker *w = arg;
	for (RtJob *jobs; (jobs = take_jobs(w->server)) != NULL;) {
		for (RtJob *j = jobs, *next; j; j = next) {
			next = j->next;
			j->next = w->open;
			w->open = j;
			begin_job(w, j);
			if (next && !w->fill)
				finish_jobs(w); /* a full batch has just run: its jobs don't wait for the rest */
		}
		run_batch(w);
		finish_jobs(w);
	}
	return NULL;
}

/* ---- begin and end ---- */

static RtStatus open_worker(RtServer *s, RtWorker *w)
{
	static const char *const entries[] = {"predict", "predict_raw"};
	size_t row = (size_t)s->takes.floats.row_bytes;
	if (s->takes.pictures && s->takes.pixels.row_bytes > row)
		row = (size_t)s->takes.pixels.row_bytes;
	w->server = s;
	RtStatus status = rt_pool_new(1, 0, &w->pool);
	if (status == RT_OK)
		status = rt_instance_open(&w->in, s->predictor->model, w->pool, entries, 2);
	if (status != RT_OK)
		return status;
	rt_instance_borrow(&w->in, &s->predictor->in);
	w->place = rt_sys.alloc((size_t)s->o.max_batch * sizeof *w->place);
	if (!size_mul(row, (size_t)s->o.max_batch, &w->rows_bytes) || !(w->rows = rt_sys.slab(w->rows_bytes)) || !w->place)
		return rt_fail(RT_NOMEM, "out of memory for a batch of %d samples", s->o.max_batch);
	return RT_OK;
}

static void close_worker(RtWorker *w)
{
	if (w->in.model)
		rt_instance_close(&w->in);
	rt_pool_free(w->pool);
	if (w->rows)
		rt_sys.slab_free(w->rows, w->rows_bytes);
	rt_sys.release(w->place);
}

RtStatus rt_serve_start(RtServer *s)
{
	sigset_t all, old;
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->more, &attr);
	pthread_condattr_destroy(&attr);
	s->worker = rt_sys.alloc((size_t)s->o.threads * sizeof *s->worker);
	RtStatus status = s->worker ? RT_OK : rt_fail(RT_NOMEM, "out of memory for %d threads", s->o.threads);
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (status == RT_OK && s->nworkers < s->o.threads) {
		RtWorker *w = &s->worker[s->nworkers];
		status = open_worker(s, w);
		if (status == RT_OK && pthread_create(&w->thread, NULL, work, w) != 0)
			status = rt_fail(RT_NOMEM, "cannot start %d threads", s->o.threads);
		if (status == RT_OK)
			s->nworkers++;
		else
			close_worker(w);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return status;
}

void rt_serve_stop(RtServer *s)
{
	if (!s->worker)
		return;
	pthread_mutex_lock(&s->lock);
	RtJob *dropped = s->first;
	s->first = s->last = NULL;
	s->queued = 0;
	s->closing = true;
	pthread_cond_broadcast(&s->more);
	pthread_mutex_unlock(&s->lock);
	for (RtJob *j = dropped, *next; j; j = next) {
		next = j->next;
		j->refused = true;
		rt_answer_error(j->request, 503, "the server ends");
		rt_http_answer(j->request);
	}
	for (int i = 0; i < s->nworkers; i++) {
		pthread_join(s->worker[i].thread, NULL);
		close_worker(&s->worker[i]);
	}
	rt_sys.release(s->worker);
	s->worker = NULL;
	pthread_cond_destroy(&s->more);
	pthread_mutex_destroy(&s->lock);
}

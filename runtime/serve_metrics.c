/* serve_metrics.c -- /metrics: the families that Triton has, as cnnc_, in seconds; latency; the process
 *
 * All counters are the loop's thread's own, but the batches, which workers count.
 */
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/resource.h>
#include <unistd.h>
#include "runtime/serve.h"
#include "runtime/sys.h"

static const double bucket_s[RT_LATENCY_BUCKETS] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
						    0.025,  0.05,    0.1,    0.25,  0.5,    1,     5};

void rt_serve_answered(void *server, const RtRequest *r)
{
	RtServer *s = server;
	RtServeCounts *c = &s->counts;
	RtJob *j = r->job;
	if (!j)
		return;
	int64_t took = rt_sys.monotonic_ns() - r->arrived_ns;
	int i = 0;
	while (i < RT_LATENCY_BUCKETS && (double)took * 1e-9 > bucket_s[i])
		i++;
	c->latency[i]++;
	c->success += r->status == 200;
	c->refused += j->refused;
	c->failed += r->status != 200 && !j->refused;
	c->samples += r->status == 200 ? (uint64_t)j->ask.rows : 0;
	c->request_ns += took;
	c->queue_ns += j->taken_ns ? j->taken_ns - r->arrived_ns : 0;
	c->input_ns += j->input_ns;
	c->infer_ns += j->infer_ns;
	c->output_ns += j->output_ns;
	rt_job_free(j);
}

typedef struct Page {
	RtText *t;
	const char *model; /* a label's value, escaped */
} Page;

static void family(const Page *p, const char *name, const char *type, const char *help)
{
	rt_text_format(p->t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void sample(const Page *p, const char *name, const char *labels, double v)
{
	rt_text_format(p->t, "%s{model=%s,version=\"1\"%s} %.15g\n", name, p->model, labels, v);
}

static void counter(const Page *p, const char *name, const char *help, double v)
{
	family(p, name, "counter", help);
	sample(p, name, "", v);
}

static void plain(const Page *p, const char *name, const char *type, const char *help, double v)
{
	family(p, name, type, help);
	rt_text_format(p->t, "%s %.15g\n", name, v);
}

static int queued(RtServer *s)
{
	pthread_mutex_lock(&s->lock);
	int n = s->queued;
	pthread_mutex_unlock(&s->lock);
	return n;
}

static void inference(RtServer *s, const Page *p)
{
	const RtServeCounts *c = &s->counts;
	family(p, "cnnc_inference_request_failure", "counter", "Requests for predictions that failed");
	sample(p, "cnnc_inference_request_failure", ",reason=\"REJECTED\"", (double)c->refused);
	sample(p, "cnnc_inference_request_failure", ",reason=\"OTHER\"", (double)c->failed);
	counter(p, "cnnc_inference_request_success", "Requests for predictions that were answered", (double)c->success);
	counter(p, "cnnc_inference_count", "Samples predicted and answered", (double)c->samples);
	counter(p, "cnnc_inference_exec_count", "Batches run", (double)c->executions);
	counter(p, "cnnc_inference_exec_samples", "Samples in them", (double)c->predicted);
	counter(p, "cnnc_inference_request_duration_seconds", "From the whole request to its answer, in all",
		(double)c->request_ns * 1e-9);
	counter(p, "cnnc_inference_queue_duration_seconds", "Waiting for a worker, in all", (double)c->queue_ns * 1e-9);
	counter(p, "cnnc_inference_compute_input_duration_seconds", "Parsing and decoding, in all",
		(double)c->input_ns * 1e-9);
	counter(p, "cnnc_inference_compute_infer_duration_seconds", "Prediction, in all; a batch counts for each request",
		(double)c->infer_ns * 1e-9);
	counter(p, "cnnc_inference_compute_output_duration_seconds", "Writing answers, in all",
		(double)c->output_ns * 1e-9);
	family(p, "cnnc_inference_pending_request_count", "gauge", "Requests that wait for a worker");
	sample(p, "cnnc_inference_pending_request_count", "", queued(s));
}

static void latency(const RtServer *s, const Page *p)
{
	const char *name = "cnnc_inference_latency_seconds";
	uint64_t sum = 0;
	family(p, name, "histogram", "From the whole request to its answer");
	for (int i = 0; i <= RT_LATENCY_BUCKETS; i++) {
		char bound[32] = "+Inf";
		if (i < RT_LATENCY_BUCKETS)
			snprintf(bound, sizeof bound, "%g", bucket_s[i]);
		sum += s->counts.latency[i];
		rt_text_format(p->t, "%s_bucket{model=%s,version=\"1\",le=\"%s\"} %llu\n", name, p->model, bound,
			       (unsigned long long)sum);
	}
	rt_text_format(p->t, "%s_sum{model=%s,version=\"1\"} %.15g\n", name, p->model, (double)s->counts.request_ns * 1e-9);
	rt_text_format(p->t, "%s_count{model=%s,version=\"1\"} %llu\n", name, p->model, (unsigned long long)sum);
}

static void http(const RtServer *s, const Page *p)
{
	RtHttpCounts c = rt_http_counts(s->http);
	plain(p, "cnnc_http_connections", "gauge", "Connections that are open", c.connections);
	plain(p, "cnnc_http_connections_accepted", "counter", "Connections since the start", (double)c.accepted);
	plain(p, "cnnc_http_connections_timed_out", "counter", "Connections closed at a deadline", (double)c.timeouts);
	plain(p, "cnnc_http_connections_evicted", "counter", "Connections closed to make room", (double)c.evicted);
	plain(p, "cnnc_http_requests_malformed", "counter", "Requests refused as malformed or too large, or broken off",
	      (double)c.malformed);
	plain(p, "cnnc_http_requests_rate_limited", "counter", "Requests refused for their client's rate",
	      (double)c.limited);
	plain(p, "cnnc_http_request_bytes", "gauge", "Bytes of requests that are not answered yet", (double)c.buffered);
	plain(p, "cnnc_ready", "gauge", "1 until draining begins", !rt_http_draining(s->http));
}

static double resident_bytes(void)
{
	char text[64] = "";
	int fd = rt_sys.open("/proc/self/statm", O_RDONLY, 0);
	long long all, resident = 0;
	if (fd < 0)
		return 0;
	if (rt_sys.read(fd, text, sizeof text - 1) > 0 && sscanf(text, "%lld %lld", &all, &resident) != 2)
		resident = 0;
	rt_sys.close(fd);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static void process(const RtServer *s, const Page *p)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	double cpu = (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
		     ((double)u.ru_utime.tv_usec + (double)u.ru_stime.tv_usec) * 1e-6;
	plain(p, "process_cpu_seconds_total", "counter", "Processor time of the process", cpu);
	plain(p, "process_resident_memory_bytes", "gauge", "Memory of the process", resident_bytes());
	plain(p, "process_start_time_seconds", "gauge", "When the process started, in seconds since 1970", s->started_s);
}

void rt_serve_tick(void *server)
{
	RtServer *s = server;
	rt_energy_update(&s->energy, false);
}

/* NaN, which Prometheus has for it, where the counters can't be read. */
static void number_or_nan(const Page *p, const char *name, const char *type, const char *help, double v)
{
	if (isfinite(v)) {
		plain(p, name, type, help, v);
		return;
	}
	family(p, name, type, help);
	rt_text_format(p->t, "%s NaN\n", name);
}

static void energy(RtServer *s, const Page *p)
{
	rt_energy_update(&s->energy, true);
	double joules = rt_energy_joules(&s->energy), samples = (double)s->counts.samples;
	number_or_nan(p, "cnnc_energy_consumption_joules", "counter",
		      "Energy of the machine's processors since the start; NaN: unknown", joules);
	number_or_nan(p, "cnnc_energy_kwh_per_1000_predictions", "gauge", "The same in kWh for 1,000 samples; NaN: unknown",
		      samples > 0 ? rt_energy_kwh(joules) * 1000 / samples : NAN);
}

void rt_serve_metrics(RtServer *s, RtText *t)
{
	RtText label = {0};
	rt_json_say(&label, s->predictor->model->name); /* '"' and '\' are escaped in labels as JSON does it */
	Page p = {t, label.text ? label.text : "\"\""};
	inference(s, &p);
	latency(s, &p);
	http(s, &p);
	energy(s, &p);
	process(s, &p);
	rt_text_free(&label);
}

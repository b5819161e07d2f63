/* libcnnc.c -- the public C API over pipeline, JIT and runtime
 *
 * A model is its compiled code, one instance of the runtime (weights, activations) and a pool of threads. Nothing is printed:
 * messages are kept in the thread that got them.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cnnc.h"
#include "pipeline.h"
#include "runtime/call.h"
#include "runtime/class_weight.h"
#include "runtime/init.h"
#include "runtime/weights.h"

struct CnncModel {
	CgJit *jit;
	const RtModel *rt;
	const RtEntry *predict, *train_step, *features; /* features: what train_step takes as x is their output; or NULL */
	RtPool *pool;
	RtInstance in;
	uint32_t step;     /* steps taken */
	uint32_t *id;      /* sample ids of a step: 0, 1, … counted on over the steps */
	uint64_t samples;
};

enum { MESSAGE_BYTES = 8192 };
static _Thread_local char message[MESSAGE_BYTES];

const char *cnnc_error(void)
{
	return message;
}

const char *cnnc_version(void)
{
	return CNNC_VERSION;
}

static bool fail(const char *fmt, ...) CNNC_PRINTF(1, 2);

static bool fail(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	return false;
}

static void keep_diagnostics(Diag *d)
{
	FILE *f = fmemopen(message, sizeof(message), "w");
	if (!f) {
		fail("out of memory");
		return;
	}
	diag_print(d, f);
	fclose(f);
	message[sizeof(message) - 1] = '\0';
}

/* ---- life ---- */
/* *p stays open: it may hold the file of the weights that the model starts from. */
static CgJit *compile(const PipelineIn *in, Pipeline *p)
{
	Diag *d = diag_new();
	CgJit *jit = NULL;
	if (pipeline_open(p, in, d) && pipeline_weights(p, d)) {
		CgModule *c = pipeline_code(p, d);
		jit = c ? cg_jit(c, d) : NULL;
	}
	if (!jit)
		keep_diagnostics(d);
	diag_free(d);
	return jit;
}

static bool open_instance(CnncModel *m, int threads)
{
	static const char *const entries[] = {"predict", "train_step", "features"};
	m->rt = cg_jit_model(m->jit);
	m->predict = rt_entry(m->rt, "predict");
	m->train_step = rt_entry(m->rt, "train_step");
	m->features = rt_entry(m->rt, "features");
	m->id = calloc((size_t)m->rt->max_n + 1, sizeof(*m->id));
	if (!m->id)
		return fail("out of memory");
	if (rt_pool_new(threads, 0, &m->pool) != RT_OK || rt_instance_open(&m->in, m->rt, m->pool, entries, COUNT(entries)) != RT_OK)
		return fail("%s", rt_message());
	return true;
}

/* partly: weights that the file lacks stay as they are. */
static bool load_weights(CnncModel *m, const char *path, bool partly)
{
	int loaded;
	return rt_weights_load_file(&m->in, path, partly, &loaded) == RT_OK || fail("%s", rt_message());
}

static CnncModel *load(const PipelineIn *base, const CnncOptions *o)
{
	PipelineIn in = *base;
	in.here = true;
	if (o) {
		in.cpu = o->cpu;
		in.threads = o->threads;
		in.define = o->define;
		in.ndefines = o->ndefines;
	}
	CnncModel *m = calloc(1, sizeof(*m));
	if (!m) {
		fail("out of memory");
		return NULL;
	}
	Pipeline p;
	m->jit = compile(&in, &p);
	bool ok = m->jit && open_instance(m, o ? o->threads : 0) && (!p.fe.weights.path || load_weights(m, p.fe.weights.path, !p.fe.weights.whole));
	pipeline_close(&p);
	if (ok)
		return m;
	cnnc_free(m);
	return NULL;
}

CnncModel *cnnc_load(const char *path, const CnncOptions *options)
{
	return load(&(PipelineIn){.path = path}, options);
}

CnncModel *cnnc_load_text(const char *name, const char *yaml, const CnncOptions *options)
{
	return load(&(PipelineIn){.path = name, .text = yaml}, options);
}

void cnnc_free(CnncModel *m)
{
	if (!m)
		return;
	if (m->in.model)
		rt_instance_close(&m->in);
	rt_pool_free(m->pool);
	cg_jit_free(m->jit);
	free(m->id);
	free(m);
}

/* ---- weights ---- */
void cnnc_init_weights(CnncModel *m, uint64_t seed)
{
	m->in.scalars.seed = seed;
	m->step = 0;
	m->samples = 0;
	rt_init_tensors(&m->in, seed);
	RtConfig c;
	if (rt_config_new(&c, m->rt) == RT_OK) {
		rt_class_weight_fill(&c, NULL, &m->in);
		rt_config_free(&c);
	}
}

bool cnnc_load_weights(CnncModel *m, const char *path)
{
	return load_weights(m, path, false);
}

bool cnnc_save_weights(const CnncModel *m, const char *path)
{
	static const char *const meta[] = {"producer", "cnnc " CNNC_VERSION, NULL};
	return rt_weights_save(&m->in, path, meta) == RT_OK || fail("%s", rt_message());
}

/* ---- running ---- */
bool cnnc_predict(CnncModel *m, const void *x, int64_t n, void *out)
{
	if (!m->predict || m->predict->nin != 1 || m->predict->nout < 1)
		return fail("the model has no prediction of one input");
	if (n < 1)
		return fail("predicting needs at least one sample, not %lld", (long long)n);
	size_t in_row = m->predict->in[0].row_bytes, out_row = m->predict->out[0].row_bytes;
	for (int64_t at = 0; at < n;) {
		int64_t left = n - at, take = left < (int64_t)m->rt->max_n ? left : (int64_t)m->rt->max_n;
		unsigned char *port[] = {(unsigned char *)(uintptr_t)x + (size_t)at * in_row};
		rt_scalars_set(&m->in.scalars, m->rt, (uint32_t)take, m->step + 1);
		rt_instance_run(&m->in, m->predict, port, NULL);
		memcpy((unsigned char *)out + (size_t)at * out_row, m->in.out[0], (size_t)take * out_row);
		at += take;
	}
	return true;
}

static double loss_of(const CnncModel *m, int64_t n)
{
	for (uint32_t i = 0; i < m->rt->nmetrics; i++) {
		if (strcmp(m->rt->metric[i].name, "loss") == 0)
			return m->in.metric[m->rt->metric[i].offset] / (double)n;
	}
	return 0;
}

bool cnnc_train_step(CnncModel *m, const void *x, const void *y, int64_t n, double learning_rate, double *loss)
{
	if (!m->train_step)
		return fail("the model has no train section");
	for (uint32_t i = 0; i < m->train_step->nin; i++) {
		const char *name = m->train_step->in[i].name;
		if (strcmp(name, "x") != 0 && strcmp(name, "y") != 0 && strcmp(name, "id") != 0)
			return fail("the model's training takes '%s' too; this call is for one input and one target", name);
	}
	if (n < 1 || n > (int64_t)m->rt->max_n)
		return fail("a step takes 1 to %llu samples, not %lld", (unsigned long long)m->rt->max_n, (long long)n);
	for (int64_t i = 0; i < n; i++)
		m->id[i] = (uint32_t)(m->samples + (uint64_t)i);
	if (m->features) {
		rt_scalars_set(&m->in.scalars, m->rt, (uint32_t)n, m->step + 1);
		rt_instance_run(&m->in, m->features, (unsigned char *[]){(unsigned char *)(uintptr_t)x}, NULL);
		x = m->in.out[0];
	}
	const void *by_name[][2] = {{"x", x}, {"y", y}, {"id", m->id}};
	unsigned char *port[RT_MAX_PORTS] = {NULL};
	for (size_t i = 0; i < COUNT(by_name); i++) {
		int at = rt_port_find(m->train_step->in, m->train_step->nin, by_name[i][0]);
		if (at >= 0)
			port[at] = (unsigned char *)(uintptr_t)by_name[i][1];
	}
	m->in.scalars.lr = (float)learning_rate;
	rt_scalars_set(&m->in.scalars, m->rt, (uint32_t)n, m->step + 1);
	rt_instance_run(&m->in, m->train_step, port, NULL);
	double value = loss_of(m, n);
	if (loss)
		*loss = value;
	if (!isfinite(value))
		return fail("the loss is not finite; the weights are as before");
	m->step++;
	m->samples += (uint64_t)n;
	return true;
}

/* ---- looking inside ---- */
int64_t cnnc_max_batch(const CnncModel *m)
{
	return (int64_t)m->rt->max_n;
}

bool cnnc_trains(const CnncModel *m)
{
	return m->train_step != NULL;
}

static bool describe_port(const RtPort *port, uint32_t n, int i, CnncArray *out)
{
	if (i < 0 || (uint32_t)i >= n)
		return fail("there is no port %d", i);
	*out = (CnncArray){.name = port[i].name, .dtype = (CnncDType)port[i].dtype, .rank = port[i].rank, .bytes = port[i].row_bytes};
	memcpy(out->dim, port[i].dim, sizeof(out->dim));
	return true;
}

bool cnnc_input(const CnncModel *m, int i, CnncArray *out)
{
	const RtEntry *e = m->train_step ? rt_entry(m->rt, "evaluate") : m->predict; /* x as train_step takes it here */
	if (!e || i > 1)
		return fail("there is no input %d", i);
	return describe_port(e->in, e->nin, i, out);
}

bool cnnc_output(const CnncModel *m, int i, CnncArray *out)
{
	if (!m->predict)
		return fail("the model does not predict");
	return describe_port(m->predict->out, m->predict->nout, i, out);
}

int cnnc_ntensors(const CnncModel *m)
{
	return (int)m->rt->ntensors;
}

bool cnnc_tensor(const CnncModel *m, int i, CnncArray *out)
{
	if (i < 0 || (uint32_t)i >= m->rt->ntensors)
		return fail("there is no tensor %d", i);
	const RtTensor *t = &m->rt->tensor[i];
	*out = (CnncArray){.name = t->name, .dtype = (CnncDType)t->dtype, .rank = t->rank, .bytes = t->bytes};
	memcpy(out->dim, t->dim, sizeof(out->dim));
	return true;
}

static const RtTensor *find_tensor(const CnncModel *m, const char *name, size_t bytes)
{
	const RtTensor *t = rt_tensor_find(m->rt, name);
	if (!t)
		fail("there is no tensor '%s'", name);
	else if (t->bytes != bytes)
		fail("tensor '%s' has %llu bytes, not %zu", name, (unsigned long long)t->bytes, bytes);
	return t && t->bytes == bytes ? t : NULL;
}

bool cnnc_get(const CnncModel *m, const char *tensor, void *data, size_t bytes)
{
	const RtTensor *t = find_tensor(m, tensor, bytes);
	if (t)
		memcpy(data, rt_tensor_data(&m->in, t), bytes);
	return t != NULL;
}

bool cnnc_set(CnncModel *m, const char *tensor, const void *data, size_t bytes)
{
	const RtTensor *t = find_tensor(m, tensor, bytes);
	if (t)
		memcpy(rt_tensor_write(&m->in, t), data, bytes);
	return t != NULL;
}

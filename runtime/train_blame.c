/* train_blame.c -- which tensor was the first to hold a NaN or infinity
 *
 * The step is run again on the same batch and the same weights (its updates were skipped), phase by phase; after each
 * phase the values that are complete then are looked at. Slab memory is reused, so this is the only time they can be
 * seen. It is run on the CPU, whatever ran the step.
 */
#include <math.h>
#include <stddef.h>
#include <string.h>
#include "runtime/sys.h"
#include "runtime/train.h"
#include "runtime/weights.h"

typedef struct Job {
	const RtPhase *phase;
	const RtCall *call;
} Job;

static void run_part(void *arg, uint32_t part, void *scratch)
{
	const Job *job = arg;
	job->phase->run(job->call, part, scratch);
}

static const char *bad_input(const RtEntry *e, unsigned char *const *ports, uint32_t n)
{
	for (uint32_t i = 0; i < e->nin; i++) {
		const RtPort *p = &e->in[i];
		size_t size = (size_t)rt_dtype_bytes(p->dtype);
		if (!rt_all_finite(p->dtype, ports[i], (size_t)p->row_bytes * n / size))
			return p->name;
	}
	return NULL;
}

static const char *bad_tap(const RtEntry *e, const RtCall *call, uint32_t phase)
{
	for (uint32_t i = 0; i < e->ntaps; i++) {
		const RtTap *tap = &e->tap[i];
		if (tap->phase != phase || (tap->dtype != RT_F32 && tap->dtype != RT_F64))
			continue;
		size_t bytes = (size_t)tap->row_bytes * (tap->fixed ? 1 : call->s->n);
		if (!rt_all_finite(tap->dtype, call->slab + tap->offset, bytes / (size_t)rt_dtype_bytes(tap->dtype)))
			return tap->name;
	}
	return NULL;
}

static const char *replay(RtTrainer *t, unsigned char *const *ports)
{
	const RtEntry *e = t->step_entry;
	memset(t->in.metric, 0, t->model->metric_doubles * sizeof *t->in.metric);
	RtCall call = {.s = &t->in.scalars,
		       .params = t->in.params,
		       .slab = t->in.slab,
		       .in = ports,
		       .out = t->in.out,
		       .metric = t->in.metric};
	for (uint32_t i = 0; i < e->nphases; i++) {
		const RtPhase *p = &e->phase[i];
		uint32_t n = t->in.scalars.n;
		Job job = {p, &call};
		if (p->update)
			continue;
		rt_pool_for(t->pool, p->rows ? n / p->rows + (n % p->rows != 0) : p->parts, run_part, &job);
		const char *name = bad_tap(e, &call, i);
		if (name)
			return name;
	}
	return NULL;
}

RtStatus rt_train_blame(RtTrainer *t, unsigned char *const *ports, uint32_t n)
{
	const char *kind = "input", *name = bad_input(t->step_entry, ports, n);
	double loss = t->in.metric[0];
	RtStatus s = rt_instance_settle(&t->in);
	if (s != RT_OK)
		return s;
	if (!name) {
		const RtTensor *bad = rt_tensor_nonfinite(&t->in, true);
		kind = "weight";
		name = bad ? bad->name : NULL;
	}
	if (!name) {
		kind = "result";
		name = replay(t, ports);
	}
	const char *hint = strcmp(kind, "input") == 0 ? "look at the data" : "try a lower learning rate";
	return rt_fail(
		RT_NONFINITE,
		"the loss is not finite (%s) at step %lld of epoch %lld; the first bad tensor is the %s '%s'; %s. "
		"The weights on the disk are those from before",
		isnan(loss) ? "NaN" : "infinity", (long long)t->step_in_epoch + 1, (long long)t->epoch + 1,
		name ? kind : "value", name ? name : "loss", hint);
}

/* ---- dead outputs ---- */

/* Channels of a kernel (its last axis) whose moments are all zero. */
static int64_t zero_channels(const RtInstance *in, const RtTensor *moment)
{
	const int64_t channels = moment->dim[moment->rank - 1], n = rt_tensor_elems(moment);
	const float *v = (const float *)(const void *)rt_tensor_data(in, moment);
	int64_t dead = 0;
	for (int64_t c = 0; c < channels; c++) {
		bool zero = true;
		for (int64_t i = c; i < n && zero; i += channels)
			zero = v[i] == 0;
		dead += zero;
	}
	return dead;
}

/* A moment that is zero after an epoch belongs to a weight whose gradient never was anything else. Phases freeze weights, and
 * plain SGD keeps no moments: nothing is said of those. */
void rt_train_find_dead(const RtTrainer *t, RtFindings *f)
{
	for (uint32_t i = 0; i < t->model->ntensors && t->nphases == 1; i++) {
		const RtTensor *m = &t->model->tensor[i];
		const char *slash = strchr(m->name, '/');
		const size_t kernel = sizeof ".kernel" - 1;
		if (m->kind != RT_MOMENT || m->dtype != RT_F32 || m->rank < 2 || !slash || (size_t)(slash - m->name) < kernel ||
		    memcmp(slash - kernel, ".kernel", kernel) != 0)
			continue;
		const int64_t dead = zero_channels(&t->in, m), all = m->dim[m->rank - 1];
		const bool second = i > 0 && strncmp(t->model->tensor[i - 1].name, m->name, (size_t)(slash - m->name) + 1) == 0;
		if (4 * dead >= all && !second)
			rt_find(f, "%lld of %lld outputs of layer %.*s never got a gradient: they are dead. A smaller learning rate, another "
			        "initializer (he_normal for relu), leaky_relu or BatchNormalization help.",
			        (long long)dead, (long long)all, (int)(slash - m->name - (ptrdiff_t)kernel), m->name);
	}
}

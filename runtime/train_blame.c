/* train_blame.c -- which tensor was the first to hold a NaN or infinity
 *
 * The step is run again on the same batch and the same weights (its updates were skipped), phase by phase; after each
 * phase the values that are complete then are looked at. Slab memory is reused, so this is the only time they can be
 * seen. It is run on the CPU, whatever ran the step.
 */
#include <math.h>
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

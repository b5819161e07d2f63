/* call.c -- runs the entries of a model: phase after phase, parts over the pool
 *
 * A step with updates happens whole or not at all: `stop` is looked at before its first phase only, and its update
 * phases are skipped when the loss of this very call is not finite, so that a NaN never reaches the weights.
 */
#include "runtime/call.h"

#include <math.h>
#include <string.h>
#include "runtime/cuda_call.h"
#include "runtime/sys.h"

typedef struct PhaseJob {
	const RtPhase *phase;
	const RtCall *call;
} PhaseJob;

static void run_part(void *arg, uint32_t part, void *scratch)
{
	const PhaseJob *job = arg;
	job->phase->run(job->call, part, scratch);
}

const RtEntry *rt_entry(const RtModel *m, const char *name)
{
	for (uint32_t i = 0; i < m->nentries; i++) {
		if (strcmp(m->entry[i].name, name) == 0)
			return &m->entry[i];
	}
	return NULL;
}

static bool has_updates(const RtEntry *e)
{
	for (uint32_t i = 0; i < e->nphases; i++) {
		if (e->phase[i].update)
			return true;
	}
	return false;
}

static uint32_t parts_of(const RtPhase *p, uint32_t n)
{
	return p->rows ? n / p->rows + (n % p->rows != 0) : p->parts;
}

/* Loss is the first metric of every entry that has updates. */
static bool skipped(const RtPhase *p, const RtCall *call)
{
	return p->update && call->metric && !isfinite(call->metric[0]);
}

/* The phases for n samples. */
static const RtPhase *phases_for(const RtEntry *e, uint32_t n, uint32_t *count)
{
	for (uint32_t i = 0; i < e->nvariants; i++) {
		if (n <= e->variant[i].n_max) {
			*count = e->variant[i].nphases;
			return e->variant[i].phase;
		}
	}
	*count = e->nphases;
	return e->phase;
}

bool rt_call(RtPool *pool, const RtEntry *entry, const RtCall *call, const atomic_int *stop)
{
	bool whole = has_updates(entry);
	uint32_t nphases;
	const RtPhase *phase = phases_for(entry, call->s->n, &nphases);
	for (uint32_t i = 0; i < nphases; i++) {
		const RtPhase *p = &phase[i];
		if (stop && (i == 0 || !whole) && atomic_load_explicit(stop, memory_order_relaxed))
			return false;
		if (skipped(p, call) || (p->prepare && call->prepared))
			continue;
		PhaseJob job = {p, call};
		rt_pool_for(pool, parts_of(p, call->s->n), run_part, &job);
	}
	return true;
}

static double counted(const RtCounted *c, uint32_t step)
{
	uint32_t t = c->every > 1 && step ? (step - 1) / (uint32_t)c->every + 1 : step;
	switch ((RtCountedKind)c->kind) {
	case RT_POWER:
		return pow(c->base, t);
	case RT_UPDATE:
		return t;
	case RT_DUE:
		return t % (uint32_t)(c->base < 1 ? 1 : c->base) == 0;
	}
	return 0;
}

void rt_scalars_set(RtScalars *s, const RtModel *m, uint32_t n, uint32_t step)
{
	s->n = n;
	s->inv_n = n ? (float)(1.0 / n) : 0.0f;
	s->step = step;
	rt_scalars_count(s, m, step);
}

void rt_scalars_count(RtScalars *s, const RtModel *m, uint32_t step)
{
	for (uint32_t i = 0; i < m->ncounted && i < RT_COUNTED; i++)
		s->counted[i] = (float)counted(&m->counted[i], step);
}

/* ---- views of weights ---- */

void rt_weights_changed(RtInstance *in)
{
	in->nprepared = 0;
}

static bool is_prepared(const RtInstance *in, const RtPhase *phases)
{
	for (int i = 0; i < in->nprepared; i++) {
		if (in->prepared[i] == phases)
			return true;
	}
	return false;
}

/* After a call: an entry that changes weights leaves no view as it was; of more tables than can be kept in mind, the rest
 * prepare in every call. */
static void note_views(RtInstance *in, const RtEntry *entry, const RtPhase *phases, bool whole)
{
	if (has_updates(entry))
		rt_weights_changed(in);
	else if (whole && in->nprepared < RT_MAX_PREPARED && !is_prepared(in, phases))
		in->prepared[in->nprepared++] = phases;
}

bool rt_instance_run(RtInstance *in, const RtEntry *entry, unsigned char *const *ports, const atomic_int *stop)
{
	uint32_t nphases;
	const RtPhase *phases = phases_for(entry, in->scalars.n, &nphases);
	memset(in->metric, 0, (in->model->metric_doubles + 1) * sizeof *in->metric);
	if (in->cuda) {
		if (stop && atomic_load_explicit(stop, memory_order_relaxed))
			return false;
		in->fault = rt_cuda_run(in->cuda, entry, &in->scalars, ports, in->out, in->metric);
		note_views(in, entry, phases, false);
		return in->fault == RT_OK;
	}
	RtCall call = {.s = &in->scalars,
		       .params = in->params,
		       .slab = in->slab,
		       .in = ports,
		       .out = in->out,
		       .metric = in->metric,
		       .prepared = is_prepared(in, phases),
		       .mark = in->mark,
		       .mark_arg = in->mark_arg};
	bool whole = rt_call(in->pool, entry, &call, stop);
	note_views(in, entry, phases, whole);
	return whole;
}

static void prepare_table(RtInstance *in, const RtEntry *e, const RtPhase *phase, uint32_t nphases)
{
	RtCall call = {.s = &in->scalars, .params = in->params, .slab = in->slab, .metric = in->metric};
	if (has_updates(e) || is_prepared(in, phase))
		return;
	for (uint32_t i = 0; i < nphases; i++) {
		PhaseJob job = {&phase[i], &call};
		if (phase[i].prepare)
			rt_pool_for(in->pool, parts_of(&phase[i], (uint32_t)in->model->max_n), run_part, &job);
	}
	note_views(in, e, phase, true);
}

/* The views of every entry, so that several instances may read them at the same time. */
static void prepare_all(RtInstance *in)
{
	rt_scalars_set(&in->scalars, in->model, (uint32_t)in->model->max_n, 1);
	for (uint32_t i = 0; i < in->model->nentries; i++) {
		const RtEntry *e = &in->model->entry[i];
		prepare_table(in, e, e->phase, e->nphases);
		for (uint32_t v = 0; v < e->nvariants; v++)
			prepare_table(in, e, e->variant[v].phase, e->variant[v].nphases);
	}
}

/* ---- memory ---- */

static size_t params_room(const RtModel *m)
{
	return (size_t)(m->params_bytes + m->views_bytes) + RT_ALIGN;
}

static RtStatus open_outputs(RtInstance *in, const RtEntry *e)
{
	for (uint32_t i = 0; i < e->nout; i++) {
		size_t bytes = (size_t)e->out[i].row_bytes * (e->out[i].dim[0] == 0 ? in->model->max_n : 1);
		if (bytes <= in->out_bytes[i])
			continue;
		if (in->out[i])
			rt_sys.slab_free(in->out[i], in->out_bytes[i]);
		in->out[i] = rt_sys.slab(bytes);
		in->out_bytes[i] = in->out[i] ? bytes : 0;
		if (!in->out[i])
			return rt_fail(RT_NOMEM, "out of memory: %zu bytes for output '%s'", bytes, e->out[i].name);
	}
	return RT_OK;
}

RtStatus rt_instance_open(RtInstance *in, const RtModel *model, RtPool *pool, const char *const *entries, int n)
{
	*in = (RtInstance){.model = model, .pool = pool};
	size_t slab = RT_ALIGN, scratch = 0;
	if (model->abi != RT_ABI || model->size != sizeof(RtModel))
		return rt_fail(RT_INTERNAL, "the model was compiled for runtime interface %u, this runtime has %d",
			       model->abi, RT_ABI);
	for (int i = 0; i < n; i++) {
		const RtEntry *e = rt_entry(model, entries[i]);
		if (!e)
			continue;
		if (e->nout > RT_MAX_PORTS || e->nin > RT_MAX_PORTS)
			return rt_fail(RT_INTERNAL, "entry '%s' has more than %d ports", e->name, RT_MAX_PORTS);
		slab = e->slab_bytes > slab ? e->slab_bytes : slab;
		scratch = e->scratch_bytes > scratch ? e->scratch_bytes : scratch;
		RtStatus s = open_outputs(in, e);
		if (s != RT_OK)
			return s;
	}
	in->slab_bytes = slab;
	in->params = rt_sys.slab(params_room(model));
	in->slab = rt_sys.slab(slab);
	in->metric = rt_sys.alloc((model->metric_doubles + 1) * sizeof *in->metric);
	if (!in->params || !in->slab || !in->metric)
		return rt_fail(RT_NOMEM,
			       "out of memory: the model needs %llu bytes for parameters and %zu for activations",
			       (unsigned long long)(model->params_bytes + model->views_bytes), slab);
	return rt_pool_reserve(pool, scratch);
}

void rt_instance_borrow(RtInstance *in, RtInstance *owner)
{
	prepare_all(owner);
	rt_sys.slab_free(in->params, params_room(in->model));
	in->params = owner->params;
	in->borrows = true;
	memcpy(in->prepared, owner->prepared, sizeof in->prepared);
	in->nprepared = owner->nprepared;
}

void rt_instance_close(RtInstance *in)
{
	if (in->params && !in->borrows)
		rt_sys.slab_free(in->params, params_room(in->model));
	if (in->slab)
		rt_sys.slab_free(in->slab, in->slab_bytes);
	for (int i = 0; i < RT_MAX_PORTS; i++) {
		if (in->out[i])
			rt_sys.slab_free(in->out[i], in->out_bytes[i]);
	}
	rt_sys.release(in->metric);
	rt_cuda_close(in->cuda);
	*in = (RtInstance){0};
}

/* ---- tables ---- */

const unsigned char *rt_tensor_data(const RtInstance *in, const RtTensor *t)
{
	if (in->cuda)
		rt_cuda_touch(in->cuda);
	return in->params + t->offset;
}

unsigned char *rt_tensor_write(RtInstance *in, const RtTensor *t)
{
	rt_weights_changed(in);
	if (in->cuda)
		rt_cuda_touch(in->cuda);
	return in->params + t->offset;
}

int64_t rt_tensor_elems(const RtTensor *t)
{
	int64_t n = 1;
	for (int i = 0; i < t->rank; i++)
		n *= t->dim[i];
	return n;
}

int rt_dtype_bytes(int32_t dtype)
{
	static const int bytes[] = {[RT_F32] = 4, [RT_F64] = 8, [RT_I32] = 4, [RT_U32] = 4, [RT_U8] = 1, [RT_BOOL] = 1};
	return bytes[dtype];
}

const char *rt_dtype_text(int32_t dtype)
{
	static const char *const text[] = {[RT_F32] = "float32", [RT_F64] = "float64", [RT_I32] = "int32",
					   [RT_U32] = "uint32",  [RT_U8] = "uint8",    [RT_BOOL] = "bool"};
	return text[dtype];
}

const RtTensor *rt_tensor_find(const RtModel *m, const char *name)
{
	for (uint32_t i = 0; i < m->ntensors; i++) {
		if (strcmp(m->tensor[i].name, name) == 0)
			return &m->tensor[i];
	}
	return NULL;
}

int rt_port_find(const RtPort *port, uint32_t n, const char *name)
{
	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(port[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

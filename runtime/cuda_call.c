/* cuda_call.c -- opens a model on a GPU and runs its entries there: see cuda_call.h
 *
 * Memory of the device: parameters | per-step numbers | metric sums | inputs | outputs. All but the first have a mirror in memory
 * that the device can read, so that copies need not wait. Activations of the largest entry lie by themselves: nothing of them
 * outlives a run.
 */
#include "runtime/cuda_call.h"
#include <stdio.h>
#include <string.h>
#include "runtime/call.h"
#include "runtime/cuda_driver.h"
#include "runtime/sys.h"

enum { ALIGN = 256, KIND_EXACT = 1, KIND_PTX = 2, MAX_ARGS = 64, MAX_AFTER = 1024 };

typedef struct Loaded { /* parallel to RtCuda.function */
	CuModule module;
	CuFunction function;
} Loaded;

typedef struct Prepared { /* parallel to RtModel.entry */
	bool wanted;
	CuGraph graph;
	CuGraphExec exec;
	uint64_t in[RT_MAX_PORTS], out[RT_MAX_PORTS]; /* offsets of ports */
} Prepared;

struct RtCudaRun {
	CuDriver d;
	const RtModel *model;
	const RtCuda *code;
	CuDevice device;
	CuContext context;
	CuStream stream;
	CuAddress base, work;  /* work: activations */
	unsigned char *mirror; /* of everything from `scalars` on */
	uint64_t params, scalars, metric, ports, bytes, work_bytes;
	Loaded *loaded;
	Prepared *entry;
	RtEntry *listed;       /* parallel to entry: as rt_cuda_entry gives it */
	RtCudaTimeFn *time;
	void *time_arg;
	CuEvent *event;        /* times: before the first launch, and after each; as many as the longest entry needs */
	uint32_t nevents;
	int number, arch; /* of the device; of code->arch */
	bool held, graphs;
	unsigned char *host;           /* the parameter slab in memory of the host */
	bool host_newer, device_newer; /* which of the two was changed last; at most one */
	char name[160];
};

/* ---- faults ---- */

static RtStatus fault(const RtCudaRun *r, CuResult code, const char *doing)
{
	char room[200];
	if (code == CU_OK)
		return RT_OK;
	if (code == CU_OUT_OF_MEMORY)
		return rt_fail(RT_NOMEM, "%s: out of memory on the GPU while %s", r->name, doing);
	return rt_fail(RT_DEVICE, "%s failed while %s: %s", r->name, doing, rt_cuda_error(&r->d, code, room, sizeof room));
}

/* ---- the device and the code for it ---- */

static bool fits(const RtCudaArch *a, int capability)
{
	const int number = (int)a->number;
	if (a->kind == KIND_EXACT)
		return number == capability;
	return a->kind == KIND_PTX ? number <= capability : number / 10 == capability / 10 && number <= capability;
}

/* Code for exactly this one before that of its family, before PTX; the newest of each. -1: none. */
static int best_arch(const RtCuda *c, int capability)
{
	int best = -1;
	for (int i = 0; i < (int)c->narchs; i++) {
		const RtCudaArch *a = &c->arch[i], *b = best >= 0 ? &c->arch[best] : NULL;
		if (!fits(a, capability))
			continue;
		if (!b || (a->kind == KIND_PTX) < (b->kind == KIND_PTX) ||
		    ((a->kind == KIND_PTX) == (b->kind == KIND_PTX) && a->number >= b->number && a->kind >= b->kind))
			best = i;
	}
	return best;
}

static RtStatus no_code(const RtCudaRun *r, int capability)
{
	char list[200] = "";
	for (uint32_t i = 0; i < r->code->narchs; i++) {
		const RtCudaArch *a = &r->code->arch[i];
		size_t n = strlen(list);
		snprintf(list + n, sizeof list - n, "%s%s_%u%s", i ? " " : "", a->kind == KIND_PTX ? "compute" : "sm", a->number,
			 a->kind == KIND_EXACT ? "a" : "");
	}
	return rt_fail(RT_DEVICE, "%s is of architecture sm_%d, and the program has code for %s", r->name, capability, list);
}

static RtStatus take_device(RtCudaRun *r, int number)
{
	char name[100] = "";
	int major = 0, minor = 0;
	CuResult code = r->d.device(&r->device, number);
	snprintf(r->name, sizeof r->name, "cuda:%d", number);
	if (code == CU_OK)
		code = r->d.device_name(name, sizeof name, r->device);
	if (code == CU_OK)
		code = r->d.device_attribute(&major, CU_ATTRIBUTE_MAJOR, r->device);
	if (code == CU_OK)
		code = r->d.device_attribute(&minor, CU_ATTRIBUTE_MINOR, r->device);
	if (code != CU_OK)
		return fault(r, code, "it was asked what it is");
	name[sizeof name - 1] = 0;
	snprintf(r->name, sizeof r->name, "cuda:%d, %s", number, name);
	r->number = number;
	r->arch = best_arch(r->code, 10 * major + minor);
	return r->arch >= 0 ? RT_OK : no_code(r, 10 * major + minor);
}

static RtStatus choose_device(RtCudaRun *r, int wanted)
{
	int n = 0;
	CuResult code = r->d.device_count(&n);
	if (code != CU_OK && code != CU_NO_DEVICE)
		return fault(r, code, "GPUs were counted");
	if (n <= 0)
		return rt_fail(RT_DEVICE, "the NVIDIA driver finds no GPU");
	if (wanted >= n)
		return rt_fail(RT_DEVICE, "there is no cuda:%d, the last GPU here is cuda:%d", wanted, n - 1);
	RtStatus s = RT_DEVICE;
	for (int i = wanted < 0 ? 0 : wanted; s != RT_OK && i < (wanted < 0 ? n : wanted + 1); i++)
		s = take_device(r, i);
	return s;
}

/* ---- memory ---- */

static uint64_t place(uint64_t *at, uint64_t bytes)
{
	uint64_t here = *at;
	*at += (bytes + ALIGN - 1) / ALIGN * ALIGN;
	return here;
}

static uint64_t port_bytes(const RtModel *m, const RtPort *p)
{
	return p->row_bytes * (p->dim[0] == 0 ? m->max_n : 1);
}

static void plan(RtCudaRun *r)
{
	const RtModel *m = r->model;
	uint64_t at = 0, end;
	r->work_bytes = ALIGN;
	for (uint32_t i = 0; i < m->nentries; i++) {
		if (r->entry[i].wanted && r->code->entry[i].slab_bytes > r->work_bytes)
			r->work_bytes = r->code->entry[i].slab_bytes;
	}
	r->params = place(&at, m->params_bytes);
	r->scalars = place(&at, sizeof(RtScalars));
	r->metric = place(&at, (m->metric_doubles + 1) * sizeof(double));
	r->ports = end = at;
	for (uint32_t i = 0; i < m->nentries; i++) {
		const RtEntry *e = &m->entry[i];
		at = r->ports;
		for (uint32_t p = 0; p < e->nin && r->entry[i].wanted; p++)
			r->entry[i].in[p] = place(&at, port_bytes(m, &e->in[p]));
		for (uint32_t p = 0; p < e->nout && r->entry[i].wanted; p++)
			r->entry[i].out[p] = place(&at, port_bytes(m, &e->out[p]));
		end = at > end ? at : end;
	}
	r->bytes = end;
}

static RtStatus take_memory(RtCudaRun *r)
{
	size_t free = 0, total = 0;
	void *mirror = NULL;
	CuResult code = r->d.memory(&free, &total);
	plan(r);
	if (code == CU_OK && r->bytes + r->work_bytes > free)
		return rt_fail(RT_NOMEM, "%s has %zu bytes of memory free, and the model needs %llu: a smaller batch_size needs less",
			       r->name, free, (unsigned long long)(r->bytes + r->work_bytes));
	if (code == CU_OK)
		code = r->d.alloc(&r->base, r->bytes);
	if (code == CU_OK)
		code = r->d.alloc(&r->work, r->work_bytes);
	if (code == CU_OK)
		code = r->d.host_alloc(&mirror, r->bytes - r->scalars, 0);
	r->mirror = mirror;
	return fault(r, code, "memory was taken");
}

static unsigned char *mirror_at(const RtCudaRun *r, uint64_t at)
{
	return r->mirror + (at - r->scalars);
}

static CuAddress address(const RtCudaRun *r, const Prepared *e, const RtCudaArg *a)
{
	switch ((RtCudaBase)a->base) {
	case RT_CUDA_SCALARS:
		return r->base + r->scalars;
	case RT_CUDA_PARAMS:
		return r->base + r->params + a->offset;
	case RT_CUDA_SLAB:
		return r->work + a->offset;
	case RT_CUDA_METRIC:
		return r->base + r->metric + a->offset;
	case RT_CUDA_IN:
		return r->base + e->in[a->port] + a->offset;
	case RT_CUDA_OUT:
		return r->base + e->out[a->port] + a->offset;
	}
	return 0;
}

/* ---- functions ---- */

static RtStatus load_function(RtCudaRun *r, uint32_t number)
{
	const RtCudaFunction *f = &r->code->function[number];
	Loaded *l = &r->loaded[number];
	int registers;
	char room[200];
	if (l->function)
		return RT_OK;
	CuResult code = r->d.load(&l->module, f->image[r->arch].data);
	if (code == CU_NO_BINARY_FOR_GPU || code == CU_UNSUPPORTED_PTX || code == CU_INVALID_IMAGE)
		return rt_fail(RT_DEVICE, "the driver of %s is too old for this program's code: %s", r->name,
			       rt_cuda_error(&r->d, code, room, sizeof room));
	if (code == CU_OK)
		code = r->d.function(&l->function, l->module, f->name);
	if (code == CU_OK) /* loads it now, where the driver would do that at its first launch */
		code = r->d.function_attribute(&registers, CU_FUNCTION_REGISTERS, l->function);
	return fault(r, code, "code was loaded");
}

static RtStatus load_functions(RtCudaRun *r)
{
	RtStatus s = RT_OK;
	for (uint32_t i = 0; i < r->model->nentries; i++) {
		const RtCudaEntry *e = &r->code->entry[i];
		for (uint32_t k = 0; k < e->nlaunches && r->entry[i].wanted && s == RT_OK; k++)
			s = load_function(r, e->launch[k].function);
	}
	return s;
}

/* ---- launches ---- */

typedef struct Arguments {
	CuAddress value[MAX_ARGS];
	void *at[MAX_ARGS];
} Arguments;

static void arguments_of(const RtCudaRun *r, const Prepared *e, const RtCudaLaunch *l, Arguments *a)
{
	for (uint32_t i = 0; i < l->nargs && i < MAX_ARGS; i++) {
		a->value[i] = address(r, e, &l->arg[i]);
		a->at[i] = &a->value[i];
	}
}

static CuResult launch(const RtCudaRun *r, const Prepared *e, const RtCudaLaunch *l)
{
	Arguments a;
	arguments_of(r, e, l, &a);
	return r->d.launch(r->loaded[l->function].function, l->grid_x, l->grid_y, 1, l->threads, 1, 1, 0, r->stream, a.at, NULL);
}

static CuResult add_node(const RtCudaRun *r, const Prepared *e, const RtCudaLaunch *l, CuGraphNode *node, uint32_t at)
{
	Arguments a;
	CuGraphNode after[MAX_AFTER];
	arguments_of(r, e, l, &a);
	for (uint32_t i = 0; i < l->nafter; i++)
		after[i] = node[l->after[i]];
	CuKernelNode k = {r->loaded[l->function].function, l->grid_x, l->grid_y, 1, l->threads, 1, 1, 0, a.at, NULL};
	return r->d.graph_kernel(&node[at], e->graph, after, l->nafter, &k);
}

static RtStatus build_graph(RtCudaRun *r, Prepared *e, const RtCudaEntry *code)
{
	CuGraphNode *node = rt_sys.alloc((code->nlaunches + 1) * sizeof *node);
	if (!node)
		return rt_fail(RT_NOMEM, "out of memory for a graph of %u nodes", code->nlaunches);
	CuResult result = r->d.graph(&e->graph, 0);
	for (uint32_t i = 0; i < code->nlaunches && result == CU_OK; i++)
		result = add_node(r, e, &code->launch[i], node, i);
	if (result == CU_OK)
		result = r->d.graph_make(&e->exec, e->graph, 0);
	rt_sys.release(node);
	return fault(r, result, "its graph was built");
}

/* ---- opening ---- */

static RtStatus prepare(RtCudaRun *r, const char *const *entries, int n)
{
	const RtModel *m = r->model;
	r->loaded = rt_sys.alloc((r->code->nfunctions + 1) * sizeof *r->loaded);
	r->entry = rt_sys.alloc((m->nentries + 1) * sizeof *r->entry);
	r->listed = rt_sys.alloc((m->nentries + 1) * sizeof *r->listed);
	if (!r->loaded || !r->entry || !r->listed)
		return rt_fail(RT_NOMEM, "out of memory for the tables of %u functions", r->code->nfunctions);
	for (uint32_t i = 0; i < m->nentries; i++) {
		for (int k = 0; k < n; k++)
			r->entry[i].wanted |= strcmp(m->entry[i].name, entries[k]) == 0;
		for (uint32_t k = 0; k < r->code->entry[i].nlaunches; k++) {
			const RtCudaLaunch *l = &r->code->entry[i].launch[k];
			if (l->nargs > MAX_ARGS || l->nafter > MAX_AFTER)
				return rt_fail(RT_INTERNAL, "a kernel of '%s' takes or follows too much", m->entry[i].name);
		}
	}
	return RT_OK;
}

static RtStatus start(RtCudaRun *r, const char *const *entries, int n, int device)
{
	RtStatus s = rt_cuda_driver(&r->d);
	if (s == RT_OK)
		s = choose_device(r, device);
	if (s == RT_OK)
		s = prepare(r, entries, n);
	if (s != RT_OK)
		return s;
	CuResult code = r->d.retain(&r->context, r->device);
	r->held = code == CU_OK;
	if (code == CU_OK)
		code = r->d.set_current(r->context);
	if (code == CU_OK)
		code = r->d.stream(&r->stream, CU_STREAM_NON_BLOCKING);
	s = fault(r, code, "it was started");
	if (s == RT_OK)
		s = take_memory(r);
	if (s == RT_OK)
		s = load_functions(r);
	for (uint32_t i = 0; i < r->model->nentries && s == RT_OK && r->graphs; i++)
		s = r->entry[i].wanted && r->code->entry[i].nlaunches ? build_graph(r, &r->entry[i], &r->code->entry[i]) : RT_OK;
	return s == RT_OK ? fault(r, r->d.stream_wait(r->stream), "it was started") : s;
}

RtStatus rt_cuda_open(const RtModel *m, unsigned char *params, const char *const *entries, int n, int device, bool graph,
		      RtCudaRun **out)
{
	*out = NULL;
	if (!m->cuda)
		return rt_fail(RT_DEVICE, "this program was compiled for the CPU only (--target=cpu,cuda makes one for both)");
	RtCudaRun *r = rt_sys.alloc(sizeof *r);
	if (!r)
		return rt_fail(RT_NOMEM, "out of memory");
	*r = (RtCudaRun){.model = m, .code = m->cuda, .graphs = graph, .host = params, .host_newer = true, .name = "the GPU"};
	RtStatus s = start(r, entries, n, device);
	if (s == RT_OK)
		*out = r;
	else
		rt_cuda_close(r);
	return s;
}

void rt_cuda_close(RtCudaRun *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; r->entry && i < r->model->nentries; i++) {
		if (r->entry[i].exec)
			r->d.graph_exec_free(r->entry[i].exec);
		if (r->entry[i].graph)
			r->d.graph_free(r->entry[i].graph);
	}
	for (uint32_t i = 0; r->loaded && i < r->code->nfunctions; i++) {
		if (r->loaded[i].module)
			r->d.unload(r->loaded[i].module);
	}
	for (uint32_t i = 0; i < r->nevents; i++)
		r->d.event_free(r->event[i]);
	if (r->work)
		r->d.free(r->work);
	if (r->base)
		r->d.free(r->base);
	if (r->mirror)
		r->d.host_free(r->mirror);
	if (r->stream)
		r->d.stream_free(r->stream);
	if (r->held)
		r->d.release(r->device);
	rt_sys.release(r->loaded);
	rt_sys.release(r->entry);
	rt_sys.release(r->listed);
	rt_sys.release(r->event);
	rt_sys.release(r);
}

bool rt_cuda_place(const RtCudaRun *r, char out[32])
{
	int domain, bus, device;
	if (r->d.device_attribute(&domain, CU_ATTRIBUTE_PCI_DOMAIN, r->device) != CU_OK ||
	    r->d.device_attribute(&bus, CU_ATTRIBUTE_PCI_BUS, r->device) != CU_OK ||
	    r->d.device_attribute(&device, CU_ATTRIBUTE_PCI_DEVICE, r->device) != CU_OK)
		return false;
	snprintf(out, 32, "%08x:%02x:%02x.0", (unsigned)domain, (unsigned)bus & 0xff, (unsigned)device & 0xff);
	return true;
}

const char *rt_cuda_name(const RtCudaRun *r)
{
	return r->name;
}

uint64_t rt_cuda_bytes(const RtModel *m, const char *const *entries, int n)
{
	RtCudaRun r = {.model = m, .code = m->cuda};
	uint64_t bytes = 0;
	if (m->cuda && prepare(&r, entries, n) == RT_OK) {
		plan(&r);
		bytes = r.bytes + r.work_bytes;
	}
	rt_sys.release(r.loaded);
	rt_sys.release(r.entry);
	rt_sys.release(r.listed);
	return bytes;
}

/* ---- times ---- */
const RtEntry *rt_cuda_entry(RtCudaRun *r, const RtEntry *entry)
{
	const uint32_t i = (uint32_t)(entry - r->model->entry);
	r->listed[i] = *entry;
	r->listed[i].nkernels = r->code->entry[i].nlaunches;
	r->listed[i].kernel = r->code->entry[i].kernel;
	return &r->listed[i];
}

RtStatus rt_cuda_time(RtCudaRun *r, RtCudaTimeFn *fn, void *arg)
{
	uint32_t most = 0;
	CuResult code = CU_OK;
	r->time = fn;
	r->time_arg = arg;
	for (uint32_t i = 0; i < r->model->nentries; i++)
		most = r->code->entry[i].nlaunches > most ? r->code->entry[i].nlaunches : most;
	if (!fn || r->event)
		return RT_OK;
	r->event = rt_sys.alloc((most + 1) * sizeof *r->event);
	if (!r->event)
		return rt_fail(RT_NOMEM, "out of memory for the times of %u kernels", most);
	while (r->nevents <= most && (code = r->d.event(&r->event[r->nevents], 0)) == CU_OK)
		r->nevents++;
	return fault(r, code, "times were to be taken");
}

/* One launch after the other, an event behind each. */
static CuResult launch_timed(const RtCudaRun *r, const Prepared *p, const RtCudaEntry *c)
{
	CuResult code = r->d.event_record(r->event[0], r->stream);
	for (uint32_t i = 0; i < c->nlaunches && code == CU_OK; i++) {
		code = launch(r, p, &c->launch[i]);
		if (code == CU_OK)
			code = r->d.event_record(r->event[i + 1], r->stream);
	}
	return code;
}

static CuResult tell_times(const RtCudaRun *r, const RtCudaEntry *c)
{
	CuResult code = CU_OK;
	for (uint32_t i = 0; i < c->nlaunches && code == CU_OK; i++) {
		float start = 0, ms = 0;
		code = r->d.event_ms(&start, r->event[0], r->event[i]);
		if (code == CU_OK)
			code = r->d.event_ms(&ms, r->event[i], r->event[i + 1]);
		if (code == CU_OK)
			r->time(r->time_arg, i, (double)start, (double)ms);
	}
	return code;
}

/* ---- running ---- */

static CuResult send(const RtCudaRun *r, uint64_t at, const void *from, size_t bytes)
{
	memcpy(mirror_at(r, at), from, bytes);
	return r->d.to_device(r->base + at, mirror_at(r, at), bytes, r->stream);
}

static size_t rows_bytes(const RtPort *p, uint32_t n)
{
	return (size_t)p->row_bytes * (p->dim[0] == 0 ? n : 1);
}

/* Per-step numbers and metric sums of 0 lie side by side. */
static CuResult send_numbers(const RtCudaRun *r, const RtScalars *s)
{
	memcpy(mirror_at(r, r->scalars), s, sizeof *s);
	memset(mirror_at(r, r->metric), 0, r->ports - r->metric);
	return r->d.to_device(r->base + r->scalars, mirror_at(r, r->scalars), r->ports - r->scalars, r->stream);
}

static CuResult send_inputs(const RtCudaRun *r, const RtEntry *e, const Prepared *p, const RtScalars *s, unsigned char *const *in)
{
	CuResult code = send_numbers(r, s);
	for (uint32_t i = 0; i < e->nin && code == CU_OK; i++)
		code = send(r, p->in[i], in[i], rows_bytes(&e->in[i], s->n));
	return code;
}

static CuResult fetch_results(const RtCudaRun *r, const RtEntry *e, const Prepared *p, const RtScalars *s)
{
	const size_t sums = r->model->metric_doubles * sizeof(double);
	CuResult code = sums ? r->d.to_host(mirror_at(r, r->metric), r->base + r->metric, sums, r->stream) : CU_OK;
	for (uint32_t i = 0; i < e->nout && code == CU_OK; i++)
		code = r->d.to_host(mirror_at(r, p->out[i]), r->base + p->out[i], rows_bytes(&e->out[i], s->n), r->stream);
	return code == CU_OK ? r->d.stream_wait(r->stream) : code;
}

static bool updates(const RtEntry *e)
{
	for (uint32_t i = 0; i < e->nphases; i++) {
		if (e->phase[i].update)
			return true;
	}
	return false;
}

static RtStatus send_weights(RtCudaRun *r)
{
	if (!r->host_newer)
		return RT_OK;
	CuResult code = r->d.to_device(r->base + r->params, r->host, r->model->params_bytes, r->stream);
	if (code == CU_OK)
		code = r->d.stream_wait(r->stream);
	r->host_newer = code != CU_OK;
	return fault(r, code, "weights were sent to it");
}

RtStatus rt_cuda_settle(RtCudaRun *r)
{
	if (!r->device_newer)
		return RT_OK;
	CuResult code = r->d.to_host(r->host, r->base + r->params, r->model->params_bytes, r->stream);
	if (code == CU_OK)
		code = r->d.stream_wait(r->stream);
	r->device_newer = code != CU_OK;
	return fault(r, code, "weights were fetched from it");
}

void rt_cuda_touch(RtCudaRun *r)
{
	if (rt_cuda_settle(r) == RT_OK)
		r->host_newer = true;
}

static CuResult start_launches(const RtCudaRun *r, const Prepared *p, const RtCudaEntry *c)
{
	CuResult code = CU_OK;
	if (r->time)
		return launch_timed(r, p, c);
	if (p->exec)
		return r->d.graph_launch(p->exec, r->stream);
	for (uint32_t i = 0; i < c->nlaunches && code == CU_OK; i++)
		code = launch(r, p, &c->launch[i]);
	return code;
}

RtStatus rt_cuda_run(RtCudaRun *r, const RtEntry *entry, const RtScalars *s, unsigned char *const *in,
		     unsigned char *const *out, double *metric)
{
	const uint32_t number = (uint32_t)(entry - r->model->entry);
	const Prepared *p = &r->entry[number];
	const RtCudaEntry *c = &r->code->entry[number];
	char doing[80];
	if (!p->wanted)
		return rt_fail(RT_INTERNAL, "entry '%s' was not opened on the GPU", entry->name);
	RtStatus status = send_weights(r);
	if (status != RT_OK)
		return status;
	CuResult code = send_inputs(r, entry, p, s, in);
	r->device_newer |= updates(entry);
	if (code == CU_OK)
		code = start_launches(r, p, c);
	if (code == CU_OK)
		code = fetch_results(r, entry, p, s);
	if (code == CU_OK && r->time)
		code = tell_times(r, c);
	if (code != CU_OK) {
		snprintf(doing, sizeof doing, "it ran %s", entry->name);
		return fault(r, code, doing);
	}
	memcpy(metric, mirror_at(r, r->metric), r->model->metric_doubles * sizeof *metric);
	for (uint32_t i = 0; i < entry->nout; i++)
		memcpy(out[i], mirror_at(r, p->out[i]), rows_bytes(&entry->out[i], s->n));
	return RT_OK;
}

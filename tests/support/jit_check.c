/* jit_check.c -- compiled code against the interpreter: see jit_check.h */
#include "tests/support/jit_check.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "codegen/cuda.h"
#include "runtime/cuda_call.h"

static const char *const entries[] = {"predict", "predict_raw", "evaluate", "train_step"};

Jitted jit_open(IrModule *m, const char *cpu, int threads)
{
	return jit_open_scheduled(m, cpu, threads, NULL, NULL);
}

static void run_passes(IrModule *m, PassCx *cx)
{
	bool stopped = false;
	cx->scratch = arena_new();
	cx->out = stdout;
	if (!passes_run(m, cx, &stopped)) {
		diag_print(cx->diag, stderr);
		ck_abort_msg("the passes failed");
	}
	arena_free(cx->scratch);
}

/* The same model's code for the GPU of tests/cuda. */
static CgCuda *code_for_gpu(const IrModule *m, Diag *d)
{
	IrModule *copy = ir_clone(m);
	PassCx cx = {.diag = d, .every_call = true, .stage_always = getenv("TEST_STAGE")}; /* no views are kept there */
	const char *precision = getenv("TEST_PRECISION");
	if (precision && strcmp(precision, "tf32") == 0)
		copy->precision = PRECISION_TF32;
	cg_cuda_target(&cx.target);
	run_passes(copy, &cx);
	const char *arch = getenv("CUDA_ARCH");
	CgCuda *c = cg_cuda(copy, &cx.target);
	if (!cuda_archs(c, arch ? arch : "sm_80", d) || !nvrtc_compile(c, 1, d)) {
		diag_print(d, stderr);
		ck_abort_msg("no code for a GPU");
	}
	ir_module_free(copy);
	return c;
}

static void use_gpu(Jitted *j)
{
	if (rt_instance_device(&j->instance, "cuda:0", true, entries, COUNT(entries), NULL) != RT_OK)
		ck_abort_msg("no GPU of tests/cuda: %s", rt_message());
}

Jitted jit_open_scheduled(IrModule *m, const char *cpu, int threads, struct ScheduleFile *schedules, struct TileLog *log)
{
	const char *instead = getenv("TEST_CPU");
	cpu = instead ? instead : cpu;
	const bool gpu = cpu && strcmp(cpu, "cuda") == 0; /* NULL: as --cpu left out */
	Jitted j = {.module = m};
	Diag *d = diag_new();
	PassCx cx = {.diag = d, .schedules = schedules, .tile_log = log};
	CgOptions o = {.cpu = gpu ? "native" : cpu, .target = &cx.target};
	ck_assert(cg_target(o.cpu, NULL, d, m->arena, &cx.target));
	CgCuda *cuda = gpu ? code_for_gpu(m, d) : NULL;
	run_passes(m, &cx);
	o.cuda = cuda;
	CgModule *c = cg_build(m, &o, d);
	ck_assert(c != NULL);
	j.jit = cg_jit(c, d);
	ck_assert(j.jit != NULL);
	cg_cuda_free(cuda);
	j.model = cg_jit_model(j.jit);
	ck_assert_int_eq(rt_pool_new(threads, 0, &j.pool), RT_OK);
	ck_assert_int_eq(rt_instance_open(&j.instance, j.model, j.pool, entries, COUNT(entries)), RT_OK);
	if (gpu)
		use_gpu(&j);
	diag_free(d);
	return j;
}

IrModule *jit_reference(IrModule *m)
{
	PassCx cx = {.diag = diag_new(), .scratch = arena_new()};
	ck_assert(pass_autodiff(m, &cx));
	arena_free(cx.scratch);
	diag_free(cx.diag);
	return m;
}

void jit_close(Jitted *j)
{
	rt_instance_close(&j->instance);
	rt_pool_free(j->pool);
	cg_jit_free(j->jit);
	ir_module_free(j->module);
}

/* ---- doubles to and from memory ---- */

static void put(unsigned char *to, DType t, const double *from, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		switch (t) {
		case DT_F32: ((float *)to)[i] = (float)from[i]; break;
		case DT_F64: ((double *)to)[i] = from[i]; break;
		case DT_I32: ((int32_t *)to)[i] = (int32_t)from[i]; break;
		case DT_U32: ((uint32_t *)to)[i] = (uint32_t)from[i]; break;
		default: to[i] = (unsigned char)from[i];
		}
	}
}

static double get(const unsigned char *from, DType t, int64_t i)
{
	switch (t) {
	case DT_F32: return ((const float *)from)[i];
	case DT_F64: return ((const double *)from)[i];
	case DT_I32: return ((const int32_t *)from)[i];
	case DT_U32: return ((const uint32_t *)from)[i];
	default: return from[i];
	}
}

/* Moments that the passes made have no values: they are zero. */
static void put_states(Jitted *j, const IrEntry *before, const Values *v)
{
	int i = 0;
	ck_assert_int_eq(rt_instance_settle(&j->instance), RT_OK);
	memset(j->instance.params, 0, j->model->params_bytes);
	for (const IrState *s = before->module->state; s; s = s->next, i++) {
		const RtTensor *t = rt_tensor_find(j->model, s->name);
		ck_assert_ptr_nonnull(t);
		put(rt_tensor_write(&j->instance, t), s->type.dtype, v->state[i], ir_elems(&s->type, 1));
	}
}

static const unsigned char *result(const Jitted *j, const IrRoot *r, int *output)
{
	if (r->kind == ROOT_OUTPUT)
		return j->instance.out[(*output)++];
	if (r->kind == ROOT_UPDATE)
		return rt_tensor_data(&j->instance, rt_tensor_find(j->model, r->state->name));
	for (uint32_t i = 0; i < j->model->nmetrics; i++) {
		if (!strcmp(j->model->metric[i].name, r->name))
			return (const unsigned char *)(j->instance.metric + j->model->metric[i].offset);
	}
	ck_abort_msg("metric %s is missing", r->name);
	return NULL;
}

/* What v holds of the state that root r updates, NULL for other roots. */
static const double *old_value(const IrEntry *e, const IrRoot *r, const Values *v)
{
	int i = 0;
	for (const IrState *s = e->module->state; s && r->kind == ROOT_UPDATE; s = s->next, i++) {
		if (s == r->state)
			return v->state[i];
	}
	return NULL;
}

/* The unit of differences: the largest element; of an update, how far it goes at most (a small step on a large weight must
 * not hide a wrong gradient), and a gradient of 1e-2 more, for gradients that are sums of large numbers and yet zero (a bias
 * before a normalization). Float resolves no more of the weight than 2^-24. */
static double unit_of(const double *want, const double *old, int64_t elems, double lr, double tolerance)
{
	double largest = 2e-2, step = 0; /* a sum of losses clipped at 1e-7 is no better than that */
	for (int64_t i = 0; i < elems; i++) {
		largest = isfinite(want[i]) && fabs(want[i]) > largest ? fabs(want[i]) : largest;
		step = old && isfinite(want[i]) && fabs(want[i] - old[i]) > step ? fabs(want[i] - old[i]) : step;
	}
	return !old || tolerance == 0 ? largest : step + lr * 1e-2 + largest * 0x1p-22 / tolerance;
}

static double difference(const IrRoot *r, const unsigned char *got, const double *want, const double *old, int64_t elems,
                         const double *slack, double lr, double tolerance, bool must)
{
	DType t = r->kind == ROOT_METRIC ? DT_F64 : r->value->type.dtype;
	double unit = unit_of(want, old, elems, lr, tolerance), worst = 0;
	for (int64_t i = 0; i < elems; i++) {
		double g = get(got, t, i), d = fabs(g - want[i]) / unit;
		if (g == want[i] || (isnan(g) && isnan(want[i])) || (slack && fabs(g - want[i]) <= slack[i]))
			continue;
		ck_assert_msg(!must || d <= tolerance, "root %s element %ld: %.9g, the interpreter has %.9g (unit %.9g)", r->name, (long)i, g,
		              want[i], unit);
		worst = d <= worst ? worst : d; /* NaN too */
	}
	return worst;
}

/* ---- memory that tells on who strays ---- */

/* A port's bytes, on 64-byte lines as the contract has it, before a page that nobody may touch. */
typedef struct Fenced { unsigned char *map, *data; size_t bytes; } Fenced;

static Fenced fenced(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), lines = (bytes + 63) / 64 * 64, whole = (lines + page - 1) / page * page;
	Fenced f = {.bytes = whole + page};
	f.map = mmap(NULL, f.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert(f.map != MAP_FAILED && mprotect(f.map + whole, page, PROT_NONE) == 0);
	f.data = f.map + whole - lines;
	return f;
}

/* What no kernel has written is NaN: whoever reads it is found out. */
static void poison(Jitted *j)
{
	memset(j->instance.slab, 0xFF, j->instance.slab_bytes);
	for (int i = 0; i < RT_MAX_PORTS; i++) {
		if (j->instance.out[i])
			memset(j->instance.out[i], 0xFF, j->instance.out_bytes[i]);
	}
}

/* Everything that a run has left, one after another. */
static unsigned char *left_by(const Jitted *j, size_t *bytes)
{
	const size_t metric = j->model->metric_doubles * sizeof(double);
	*bytes = j->model->params_bytes + metric;
	for (int i = 0; i < RT_MAX_PORTS; i++)
		*bytes += j->instance.out_bytes[i];
	unsigned char *all = malloc(*bytes + 1), *at = all;
	memcpy(at, j->instance.params, j->model->params_bytes);
	at += j->model->params_bytes;
	memcpy(at, j->instance.metric, metric);
	at += metric;
	for (int i = 0; i < RT_MAX_PORTS; at += j->instance.out_bytes[i++]) {
		if (j->instance.out_bytes[i])
			memcpy(at, j->instance.out[i], j->instance.out_bytes[i]);
	}
	return all;
}

static void run(Jitted *j, const RtEntry *entry, unsigned char *const *ports)
{
	poison(j);
	ck_assert_msg(rt_instance_run(&j->instance, entry, ports, NULL), "%s did not run: %s", entry->name, rt_message());
}

/* In every order of threads and blocks, from the same parameters: the bits must be the same. */
static void run_in_orders(Jitted *j, const RtEntry *entry, unsigned char *const *ports)
{
	static const char *const order[] = {"random", "reverse", "forward"};
	const size_t nparams = j->model->params_bytes;
	unsigned char *params = malloc(nparams + 1), *first = NULL;
	ck_assert_int_eq(rt_instance_settle(&j->instance), RT_OK);
	memcpy(params, j->instance.params, nparams);
	for (size_t i = 0; i < COUNT(order); i++) {
		size_t bytes;
		rt_cuda_touch(j->instance.cuda);
		memcpy(j->instance.params, params, nparams);
		setenv("SHIM_ORDER", order[i], 1);
		run(j, entry, ports);
		ck_assert_int_eq(rt_instance_settle(&j->instance), RT_OK);
		unsigned char *all = left_by(j, &bytes);
		ck_assert_msg(!first || !memcmp(first, all, bytes), "%s: threads in %s order give other bits", entry->name, order[i]);
		free(first);
		first = all;
	}
	free(first);
	free(params);
}

void jit_step(Jitted *j, const IrEntry *before, const Values *v, int64_t n, const IrScalars *s, bool set_states)
{
	const RtEntry *entry = rt_entry(j->model, before->name);
	ck_assert_ptr_nonnull(entry);
	unsigned char *ports[RT_MAX_PORTS];
	Fenced memory[RT_MAX_PORTS];
	if (set_states)
		put_states(j, before, v);
	for (int i = 0; i < before->nport; i++) {
		const IrType *t = &before->port[i].type;
		int64_t elems = ir_elems(t, n);
		memory[i] = fenced((size_t)elems * (size_t)dtype_size(t->dtype));
		ports[i] = memory[i].data;
		put(ports[i], t->dtype, v->in[i], elems);
	}
	j->instance.scalars.seed = s->seed;
	j->instance.scalars.pass = s->pass;
	j->instance.scalars.lr = (float)s->lr;
	rt_scalars_set(&j->instance.scalars, j->model, (uint32_t)n, s->step);
	if (j->instance.cuda)
		run_in_orders(j, entry, ports);
	else
		run(j, entry, ports);
	for (int i = 0; i < before->nport; i++)
		munmap(memory[i].map, memory[i].bytes);
}

double jit_compare(Jitted *j, const IrEntry *before, const Values *v, const double *const *slack, int64_t n, const IrScalars *s,
                   double tolerance, bool must)
{
	double worst = 0;
	int output = 0;
	jit_step(j, before, v, n, s, true);
	for (int i = 0; i < before->nroot; i++) {
		const IrRoot *r = &before->root[i];
		double d = difference(r, result(j, r, &output), v->out[i], old_value(before, r, v), v->out_elems[i],
		                      slack ? slack[i] : NULL, s->lr, tolerance, must);
		worst = d <= worst ? worst : d;
	}
	return worst;
}

double jit_check(Jitted *j, const IrEntry *before, const Values *v, int64_t n, const IrScalars *s, double tolerance)
{
	return jit_compare(j, before, v, NULL, n, s, tolerance, true);
}

/* ---- bits ---- */

static size_t port_bytes(const RtPort *p, int64_t n)
{
	return (size_t)p->row_bytes * (p->dim[0] == 0 ? (size_t)n : 1);
}

static size_t output_bytes(const RtEntry *e, int64_t n)
{
	size_t bytes = 0;
	for (uint32_t i = 0; i < e->nout; i++)
		bytes += port_bytes(&e->out[i], n);
	return bytes;
}

/* Runs samples from … from + n of v and puts the rows of each output where they stand in a call of `all` samples. */
static void run_rows(Jitted *j, const IrEntry *before, const Values *v, int64_t from, int64_t n, int64_t all, const IrScalars *s,
                     unsigned char *out)
{
	double *in[RT_MAX_PORTS];
	Values rows = *v;
	rows.in = in;
	for (int i = 0; i < before->nport; i++)
		in[i] = v->in[i] + from * ir_row_elems(&before->port[i].type);
	jit_step(j, before, &rows, n, s, false);
	const RtEntry *e = rt_entry(j->model, before->name);
	for (uint32_t i = 0; i < e->nout; i++) {
		size_t row = (size_t)e->out[i].row_bytes;
		memcpy(out + row * (size_t)from, j->instance.out[i], row * (size_t)n);
		out += row * (size_t)all;
	}
}

unsigned char *jit_trained(Jitted *j, const IrEntry *before, const Values *v, int64_t n, size_t *bytes)
{
	for (uint32_t step = 1; step <= 3; step++)
		jit_step(j, before, v, n, &(IrScalars){.lr = 0.01, .seed = 7, .step = step}, step == 1);
	*bytes = j->model->params_bytes;
	unsigned char *params = malloc(*bytes + 1);
	ck_assert_int_eq(rt_instance_settle(&j->instance), RT_OK);
	memcpy(params, j->instance.params, *bytes);
	return params;
}

unsigned char *jit_outputs(Jitted *j, const IrEntry *before, const Values *v, int64_t n, const IrScalars *s, size_t *bytes)
{
	const RtEntry *e = rt_entry(j->model, before->name);
	*bytes = output_bytes(e, n);
	unsigned char *all = malloc(*bytes + 1), *out = all;
	jit_step(j, before, v, n, s, true);
	for (uint32_t i = 0; i < e->nout; i++) {
		memcpy(out, j->instance.out[i], port_bytes(&e->out[i], n));
		out += port_bytes(&e->out[i], n);
	}
	return all;
}

uint64_t jit_same_bits(Jitted *j, const IrEntry *before, const Values *v, int64_t n, const IrScalars *s)
{
	size_t bytes = output_bytes(rt_entry(j->model, before->name), n);
	unsigned char *batch = calloc(1, bytes + 1), *few = calloc(1, bytes + 1);
	run_rows(j, before, v, 0, n, n, s, batch);
	for (int64_t chunk = 1; chunk <= 5 && chunk < n; chunk += 2) {
		memset(few, 0, bytes);
		for (int64_t from = 0; from < n; from += chunk)
			run_rows(j, before, v, from, from + chunk <= n ? chunk : n - from, n, s, few);
		ck_assert_msg(!memcmp(batch, few, bytes), "%s: %ld of %ld samples give other bits", before->name, (long)chunk, (long)n);
	}
	uint64_t hash = 14695981039346656037u;
	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ batch[i]) * 1099511628211u;
	free(batch);
	free(few);
	return hash;
}

/* bench_op.c -- `cnnc bench --op …`: one operation through the whole pipeline, timed beside others or written out
 *
 * The graph of one operation takes the same passes as a model and runs in this process. Contenders take turns, A B A B,
 * in slices of some milliseconds on the same data; what is compared are medians. Results of the others are checked
 * against ours.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include "bench.h"
#include "bench_peers.h"
#include "bench_limits.h"
#include "bench_run.h"
#include "op_graph.h"
#include "runtime/call.h"
#include "runtime/init.h"

enum { ROUNDS = 7, SLICE_MS = 60, MAX_CALLS = 4000, MIN_CALLS = 2 };

typedef struct Contender {
	const char *name;
	const Peer *peer; /* NULL: us */
	double *ms;
	int n;
	double median, difference; /* difference: from our result, relative to its largest value */
} Contender;

typedef struct OpBench {
	Pipeline p;
	Arena *arena;
	Diag *diag;
	const char *text; /* the operation in words */
	OpWork work;
	bool has_work;
	const RtModel *model;
	const RtEntry *entry;
	RtPool *pool;
	RtInstance in;
	unsigned char *port[RT_MAX_PORTS];
	Limits limit;
	double flops, bytes;
	Contender who[1 + MAX_PEERS];
	int nwho;
} OpBench;

/* ---- preparing ---- */
static double program_flops(const Pipeline *p)
{
	const KEntry *e = &p->fe.module->program->entry[0];
	double flops = 0;
	for (int i = 0; i < e->nkernels; i++) {
		bool batched = false;
		for (int a = 0; a < e->kernel[i]->naxes; a++)
			batched |= e->kernel[i]->axis[a].ext == EXT_N;
		flops += (double)e->kernel[i]->flops * (batched ? p->fe.module->max_n : 1);
	}
	return flops;
}

/* Operands and result, once each */
static double program_bytes(const IrModule *m)
{
	const IrEntry *e = m->entry;
	const IrType *out = &e->root[0].value->type;
	double bytes = (double)ir_elems(out, m->max_n) * dtype_size(out->dtype);
	for (int i = 0; i < e->nport; i++)
		bytes += (double)ir_elems(&e->port[i].type, m->max_n) * dtype_size(e->port[i].type.dtype);
	IR_EACH_STATE(m, s)
	bytes += (double)ir_elems(&s->type, 1) * dtype_size(s->type.dtype);
	return bytes;
}

static bool open_instance(OpBench *b, const CgJit *jit, int threads)
{
	static const char *const entries[] = {"predict"};
	b->model = cg_jit_model(jit);
	b->entry = rt_entry(b->model, "predict");
	if (rt_pool_new(threads, 0, &b->pool) != RT_OK ||
	    rt_instance_open(&b->in, b->model, b->pool, entries, 1) != RT_OK)
		return diag_error(b->diag, (Loc){0}, "%s", rt_message());
	rt_init_tensors(&b->in, 1);
	rt_scalars_set(&b->in.scalars, b->model, (uint32_t)b->model->max_n, 1);
	for (uint32_t i = 0; i < b->entry->nin; i++) {
		const RtPort *port = &b->entry->in[i];
		char *room = arena_alloc(b->arena, (size_t)b->model->max_n * port->row_bytes + 128, 1);
		b->port[i] = (unsigned char *)room + (64 - (uintptr_t)room % 64) % 64;
		bench_fill(port, b->port[i], (int64_t)b->model->max_n);
	}
	return true;
}

/* Operands in the order of the description: ports, and the state of conv2d and matmul after them. */
static void open_contenders(OpBench *b)
{
	Peer *peer = NEWN(b->arena, Peer, MAX_PEERS);
	const float *in[2] = {(const float *)(const void *)b->port[0], (const float *)(const void *)b->port[1]};
	const IrType *out = &b->p.fe.module->entry->root[0].value->type;
	int npeers = 0;
	if (b->entry->nin == 1)
		in[1] = (const float *)(const void *)b->in.params;
	if (b->has_work)
		npeers = peers_open(&b->work, in, (size_t)ir_elems(out, b->p.fe.module->max_n),
				    rt_pool_threads(b->pool), b->arena, peer);
	b->who[0] = (Contender){.name = "cnnc"};
	for (int i = 0; i < npeers; i++)
		b->who[i + 1] = (Contender){.name = peer[i].name, .peer = &peer[i]};
	b->nwho = npeers + 1;
	for (int i = 0; i < b->nwho; i++)
		b->who[i].ms = NEWN(b->arena, double, MAX_CALLS);
}

/* ---- timing ---- */
static bool call(OpBench *b, const Contender *c)
{
	return c->peer ? c->peer->run(c->peer->self) : rt_instance_run(&b->in, b->entry, b->port, NULL);
}

static double difference(const OpBench *b, const Peer *p)
{
	const IrType *out = &b->p.fe.module->entry->root[0].value->type;
	const float *ours = (const float *)(const void *)b->in.out[0];
	int64_t n = ir_elems(out, b->p.fe.module->max_n);
	double largest = 1e-30, worst = 0;
	for (int64_t i = 0; i < n; i++) {
		double d = fabs((double)ours[i] - (double)p->out[i]);
		largest = fmax(largest, fabs((double)ours[i]));
		worst = d > worst || isnan(d) ? d : worst;
	}
	return worst / largest;
}

/* First calls: memory is touched, code is made; and the results are compared. */
static bool warm_up(OpBench *b)
{
	for (int i = 0; i < b->nwho; i++) {
		Contender *c = &b->who[i];
		if (!call(b, c) || (c->peer && c->peer->result && !c->peer->result(c->peer->self)))
			return diag_error(b->diag, (Loc){0}, "%s failed", c->name);
		if (c->peer)
			c->difference = difference(b, c->peer);
	}
	return true;
}

static void slice(OpBench *b, Contender *c)
{
	double begin = now_ms(), last = begin;
	for (int i = 0; c->n < MAX_CALLS && (i < MIN_CALLS || last - begin < SLICE_MS); i++) {
		call(b, c);
		double now = now_ms();
		c->ms[c->n++] = now - last;
		last = now;
	}
}

static bool take_times(OpBench *b)
{
	if (!warm_up(b) || !limits_measure(&b->p.code, b->pool, &b->limit, b->diag))
		return false;
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < b->nwho; i++)
			slice(b, &b->who[i]);
	}
	for (int i = 0; i < b->nwho; i++)
		b->who[i].median = bench_median(b->who[i].ms, b->who[i].n);
	return true;
}

/* ---- kernels, where there are several ---- */
/* Milliseconds of each kernel in the best of a few calls; only where one thread runs them one after the other. */
static void print_kernels(OpBench *b)
{
	enum { CALLS = 5 };
	const KEntry *e = &b->p.fe.module->program->entry[0];
	size_t n = (size_t)e->nkernels;
	BenchMarks p = {.ms = NEWN(b->arena, double, n)};
	double *best = NEWN(b->arena, double, n);
	if (n < 2 || rt_pool_threads(b->pool) > 1)
		return;
	b->in.mark = bench_mark;
	b->in.mark_arg = &p;
	for (int i = 0; i < CALLS; i++) {
		memset(p.ms, 0, n * sizeof(double));
		call(b, &b->who[0]);
		for (size_t k = 0; k < n; k++)
			best[k] = i && best[k] < p.ms[k] ? best[k] : p.ms[k];
	}
	b->in.mark = NULL;
	for (size_t k = 0; k < n; k++)
		printf("  %-40s %10.4f ms\n", e->kernel[k]->name, best[k]);
}

/* ---- results ---- */
static void print_text(OpBench *b)
{
	int threads = rt_pool_threads(b->pool);
	printf("%s, N = %d\n", b->text, b->p.fe.module->max_n);
	printf("%s, %s, %d thread%s; %.0f GFLOP/s from registers, copies %.1f GB/s\n", limits_cpu(b->arena),
	       b->p.target.name, threads, threads == 1 ? "" : "s", b->limit.fma_gflops, b->limit.copy_gbs);
	for (int i = 0; i < b->nwho; i++) {
		const Contender *c = &b->who[i];
		double gflops = b->flops / c->median * 1e-6;
		printf("%-18s %10.4f ms", c->name, c->median);
		if (b->flops > 0)
			printf(" %8.1f GFLOP/s %4.0f %%", gflops, 100 * gflops / b->limit.fma_gflops);
		printf(" %8.1f GB/s", b->bytes / c->median * 1e-6);
		if (c->peer)
			printf("   cnnc is %.2f times as fast", c->median / b->who[0].median);
		if (c->peer && !(c->difference < 1e-3))
			printf("   (results differ by %.2g)", c->difference);
		putchar('\n');
	}
	print_kernels(b);
}

static void print_json(const OpBench *b)
{
	json_t *who = json_array();
	for (int i = 0; i < b->nwho; i++) {
		const Contender *c = &b->who[i];
		double gflops = b->flops / c->median * 1e-6;
		json_array_append_new(who,
				      json_pack("{s:s, s:f, s:f, s:f, s:f, s:f}", "name", c->name, "median_ms",
						c->median, "gflops", gflops, "peak_share", gflops / b->limit.fma_gflops,
						"gbs", b->bytes / c->median * 1e-6, "difference", c->difference));
	}
	json_t *machine =
		json_pack("{s:s, s:s, s:i, s:f, s:f}", "cpu", limits_cpu(b->arena), "target", b->p.target.name, "cpus",
			  rt_cpu_count(), "fma_gflops", b->limit.fma_gflops, "copy_gbs", b->limit.copy_gbs);
	json_t *all = json_pack("{s:s, s:o, s:i, s:f, s:f, s:o}", "op", b->text, "machine", machine, "threads",
				rt_pool_threads(b->pool), "flops", b->flops, "bytes", b->bytes, "times", who);
	json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(all);
}

static bool measure(OpBench *b, const Options *o)
{
	CgModule *c = pipeline_code(&b->p, b->diag);
	CgJit *jit = c ? cg_jit(c, b->diag) : NULL;
	bool ok = jit && open_instance(b, jit, o->threads);
	if (ok) {
		open_contenders(b);
		ok = take_times(b);
	}
	if (ok && o->json)
		print_json(b);
	else if (ok)
		print_text(b);
	for (int i = 0; i < b->nwho; i++) {
		if (b->who[i].peer && b->who[i].peer->close)
			b->who[i].peer->close(b->who[i].peer->self);
	}
	if (b->in.model)
		rt_instance_close(&b->in);
	rt_pool_free(b->pool);
	cg_jit_free(jit);
	return ok;
}

/* ---- writing out ---- */
static const char *c_type(DType t)
{
	static const char *const name[] = {"float", "double", "int32_t", "uint32_t", "uint8_t", "uint8_t"};
	return name[t];
}

/* The file's name without folder and suffix, as an identifier */
static const char *identifier(Arena *a, const char *output)
{
	const char *slash = strrchr(output, '/'), *base = slash ? slash + 1 : output;
	char *name = arena_printf(a, "%s%.*s", *base >= '0' && *base <= '9' ? "_" : "", (int)strcspn(base, "."), base);
	for (char *c = name; *c; c++) {
		bool fine = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
		*c = fine ? *c : '_';
	}
	return *name ? name : "op";
}

static void print_header(const OpBench *b, const char *name, FILE *f)
{
	const IrModule *m = b->p.fe.module;
	const IrEntry *e = m->entry;
	const KEntry *k = &m->program->entry[0];
	fprintf(f, "/* %s.h -- made by cnnc " CNNC_VERSION " for %s\n *\n * %s, N = %d: %.6g FLOP a call\n */\n", name,
		b->p.target.name, b->text, m->max_n, b->flops);
	fprintf(f, "#ifndef CNNC_OP_%s_H\n#define CNNC_OP_%s_H\n\n#include <stdint.h>\n\n", name, name);
	fprintf(f, "#define %s_FLOPS %.17g\n#define %s_WORK_BYTES %lld\n\n", name, b->flops, name,
		(long long)(cg_plain_slab(m) + k->scratch_bytes + RT_ALIGN));
	fputs("#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n", f);
	fputs("/* Arrays are dense and row-major. Runs on the calling thread, with `work` for it alone: WORK_BYTES of "
	      "memory, aligned to\n"
	      " * 64 bytes. */\n",
	      f);
	fprintf(f, "void %s(", name);
	for (int i = 0; i < e->nport; i++)
		fprintf(f, "const %s *%s, ", c_type(e->port[i].type.dtype), e->port[i].name);
	IR_EACH_STATE(m, s)
	fprintf(f, "const %s *%s, ", c_type(s->type.dtype), s->name);
	fprintf(f, "%s *out, void *work);\n\n", c_type(e->root[0].value->type.dtype));
	fputs("#ifdef __cplusplus\n}\n#endif\n\n#endif\n", f);
}

static bool write_header(const OpBench *b, const char *name, const char *path)
{
	FILE *f = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
	if (!f)
		return diag_error(b->diag, (Loc){0}, "cannot write %s: %s", path, strerror(errno));
	print_header(b, name, f);
	bool ok = (f == stdout ? fflush(f) : fclose(f)) == 0;
	return ok || diag_error(b->diag, (Loc){0}, "cannot write %s: %s", path, strerror(errno));
}

/* The plain function takes one pointer for all parameters: there may be one of them. */
static bool one_parameter(const OpBench *b)
{
	const IrState *s = b->p.fe.module->state;
	return !s || !s->next || diag_error(b->diag, (Loc){0}, "--emit needs an operation with at most one parameter");
}

static bool write_out(OpBench *b, const Options *o)
{
	static const struct {
		EmitKind kind;
		CgKind code;
		const char *suffix;
	} kinds[] = {
		{EMIT_LLVM, CG_LLVM, "ll"},
		{EMIT_ASM, CG_ASM, "s"},
		{EMIT_OBJ, CG_OBJ, "o"},
	};
	const char *output = o->output ? o->output : o->op, *name = identifier(b->arena, output);
	bool out = strcmp(output, "-") == 0;
	if (!one_parameter(b))
		return false;
	if (o->emit & (EMIT_GRAPH | EMIT_KERNELS))
		return diag_error(b->diag, (Loc){0}, "--emit of one operation is llvm, asm, obj or header");
	CgModule *c = cg_build_plain(b->p.fe.module, out ? o->op : name, &b->p.code, b->diag);
	bool ok = c != NULL;
	for (size_t i = 0; ok && i < COUNT(kinds); i++) {
		if (o->emit & kinds[i].kind)
			ok = cg_emit(c, kinds[i].code,
				     out ? "-" : arena_printf(b->arena, "%s.%s", output, kinds[i].suffix), b->diag);
	}
	if (ok && o->emit & EMIT_HEADER)
		ok = write_header(b, out ? o->op : name, out ? "-" : arena_printf(b->arena, "%s.h", output));
	cg_free(c);
	return ok;
}

/* ---- the command ---- */
int bench_op(const Options *o, Diag *d)
{
	enum { OK = 0, USAGE = 2 };
	OpBench b = {.arena = arena_new(), .diag = d};
	IrModule *m = op_graph(o->op, o->shape, o->word, o->nwords, d);
	bool ok = m != NULL;
	if (ok) {
		PipelineIn in = {.path = o->op, .module = m, .cpu = o->cpu, .triple = o->triple, .here = true, .alone = true,
				 .dump = o->dump ? o->dump : o->stop_after, .stop_after = o->stop_after, .out = stdout};
		m->fast_math = o->fast_math;
		b.text = op_text(b.arena, m);
		b.has_work = op_work(m, &b.work);
		b.bytes = program_bytes(m);
		ok = pipeline_open(&b.p, &in, d);
	}
	if (ok && !b.p.stopped) {
		b.flops = program_flops(&b.p);
		ok = o->emit ? write_out(&b, o) : measure(&b, o);
	}
	if (m)
		pipeline_close(&b.p);
	arena_free(b.arena);
	return ok ? OK : USAGE;
}

/* pipeline.c -- model file to code: frontend, target, passes, code generation, one call each */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "pipeline.h"
#include "runtime/pool.h"

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n >= m && strcmp(s + n - m, end) == 0;
}

/* ---- graphs as text ---- */
enum { MAX_GRAPH_BYTES = 64 << 20 };

static char *read_file(const char *path, size_t *n, Arena *a, Diag *d)
{
	FILE *f = fopen(path, "rb");
	size_t room = 1 << 16, got;
	char *text = NEWN(a, char, room);
	*n = 0;
	while (f && *n < MAX_GRAPH_BYTES && (got = fread(text + *n, 1, room - *n, f)) > 0) {
		*n += got;
		if (*n == room) {
			text = arena_grow(a, text, room, room * 2, 1);
			room *= 2;
		}
	}
	bool ok = f && !ferror(f) && *n < MAX_GRAPH_BYTES;
	if (!ok)
		diag_error(d, (Loc){0}, "cannot read %s: %s", path, f && *n >= MAX_GRAPH_BYTES ? "too large" : strerror(errno));
	if (f)
		fclose(f);
	return ok ? text : NULL;
}

ScheduleFile *pipeline_read_schedules(const char *path, Arena *a, Diag *d)
{
	size_t n;
	const char *text = read_file(path, &n, diag_arena(d), d);
	if (!text)
		return NULL;
	diag_source(d, path, text, n);
	return schedule_parse(path, text, n, a, d);
}

static bool load_graph(Pipeline *p, const PipelineIn *in, Diag *d)
{
	size_t n;
	const char *text = read_file(in->path, &n, p->arena, d);
	if (!text)
		return false;
	diag_source(d, in->path, text, n);
	p->fe.module = ir_parse(in->path, text, n, d);
	return p->fe.module != NULL;
}

/* ---- weights in a temporary file, removed with the pipeline ---- */
static const char *temporary(Pipeline *p, Diag *d)
{
	if (p->weights)
		unlink(p->weights);
	p->weights = NULL;
	const char *tmp = getenv("TMPDIR");
	char *path = arena_printf(p->arena, "%s/cnnc-XXXXXX.safetensors", tmp && *tmp ? tmp : "/tmp");
	const int fd = mkstemps(path, 12);
	if (fd < 0) {
		diag_error(d, (Loc){0}, "cannot make a temporary file %s: %s", path, strerror(errno));
		return NULL;
	}
	close(fd);
	p->weights = path;
	return path;
}

bool pipeline_weights(Pipeline *p, Diag *d)
{
	if (!p->fe.weights.conversion)
		return true;
	const char *path = temporary(p, d);
	if (!path || !fe_weights_convert(&p->fe.weights, path, d))
		return false;
	p->fe.weights.path = path;
	p->fe.weights.conversion = NULL;
	return true;
}

/* ---- ONNX: imported as a model file in memory, whose weights are a temporary file ---- */
static bool load_onnx(Pipeline *p, const PipelineIn *in, Diag *d)
{
	const char *path = temporary(p, d);
	FeOnnx onnx;
	if (!path)
		return false;
	Arena *a = arena_new();
	bool ok = fe_onnx_load(in->path, path, a, d, &onnx) && (!onnx.weight || fe_onnx_save_weights(&onnx, path, d));
	const char *text = ok ? arena_strndup(diag_arena(d), onnx.text, onnx.length) : "";
	arena_free(a);
	return ok && fe_load_text(in->path, text, strlen(text), in->define, in->ndefines, d, &p->fe);
}

/* ---- the steps ---- */
static bool load(Pipeline *p, const PipelineIn *in, Diag *d)
{
	p->fe.module = in->module;
	if (in->module)
		return true;
	if (in->text)
		return fe_load_text(in->path, in->text, strlen(in->text), in->define, in->ndefines, d, &p->fe);
	if (ends_with(in->path, ".ir"))
		return load_graph(p, in, d);
	if (ends_with(in->path, ".onnx"))
		return load_onnx(p, in, d);
	return fe_load(in->path, in->define, in->ndefines, d, &p->fe);
}

static void describe_layers(Pipeline *p)
{
	CgLayer *layer = NEWN(p->arena, CgLayer, p->fe.nlayers + 1);
	for (int i = 0; i < p->fe.nlayers; i++) {
		const FeLayer *l = &p->fe.layer[i];
		layer[i] = (CgLayer){l->name, l->kind, ir_shape_text(p->arena, &l->type), l->params, l->flops};
	}
	p->code.layer = layer;
	p->code.nlayers = p->fe.nlayers;
}

static bool mixed(const Pipeline *p)
{
	return p->fe.module->precision == PRECISION_MIXED_BF16;
}

static bool choose_cpu(Pipeline *p, const PipelineIn *in, Diag *d)
{
	p->code.cpu = in->cpu ? in->cpu : p->fe.cpu;
	p->code.triple = in->triple ? in->triple : p->fe.triple;
	bool portable = p->code.cpu && strcmp(p->code.cpu, "portable") == 0;
	if (portable)
		p->code.cpu = "native";
	if (mixed(p))
		p->code.cpu = cg_cpu_bf16(p->code.cpu, p->code.triple, p->arena);
	if (!portable || in->here)
		return true;
	p->nlevels = cg_portable(p->code.triple, mixed(p), d, p->arena, p->level);
	if (p->nlevels == 0)
		return false;
	p->code.cpu = p->level[0];
	p->code.level = p->level;
	p->code.nlevels = p->nlevels;
	return true;
}

static void choose_target(Pipeline *p, const PipelineIn *in)
{
	const char *t = in->target ? in->target : p->fe.target ? p->fe.target : "cpu";
	const bool cuda = strstr(t, "cuda"), cpu = strstr(t, "cpu");
	p->gpu = cuda && !cpu;
	p->cuda = cuda && cpu;
	p->cuda_arch = in->cuda_arch ? in->cuda_arch : p->fe.cuda_arch;
}

static bool passes(Pipeline *p, PassCx *cx, Diag *d)
{
	p->code.target = &p->target;
	if (p->gpu)
		cg_cuda_target(&p->target);
	else if (!cg_target(p->code.cpu, p->code.triple, d, p->arena, &p->target))
		return false;
	if (mixed(p) && !p->gpu && !p->target.bf16 && p->nlevels == 0 && !p->quiet)
		diag_warning(d, (Loc){0}, "%s has no bf16 instructions: mixed_bfloat16 is computed in float32, with rounding", p->target.name);
	cx->diag = d;
	cx->scratch = arena_new();
	cx->every_call = p->alone || p->gpu;
	cx->target = p->target;
	cx->threads = p->code.threads;
	bool ok = passes_run(p->fe.module, cx, &p->stopped);
	arena_free(cx->scratch);
	return ok;
}

bool pipeline_open(Pipeline *p, const PipelineIn *in, Diag *d)
{
	*p = (Pipeline){.arena = arena_new(), .code.threads = in->threads ? in->threads : rt_cpu_count()};
	if (!load(p, in, d))
		return false;
	choose_target(p, in);
	if (!choose_cpu(p, in, d))
		return false;
	describe_layers(p);
	p->tunes = in->tunes || p->fe.tune_seconds > 0;
	p->alone = in->alone;
	if (in->schedule && !p->tunes) {
		p->schedules = pipeline_read_schedules(in->schedule, p->arena, d);
		if (!p->schedules)
			return false;
	}
	if (p->tunes || p->nlevels || p->cuda)
		p->graph = ir_clone(p->fe.module);
	PassCx cx = {.dump = in->dump, .stop_after = in->stop_after, .time_passes = in->time_passes,
	             .out = in->out ? in->out : stderr, .schedules = p->schedules};
	return passes(p, &cx, d);
}

bool pipeline_again(const Pipeline *p, const char *cpu, ScheduleFile *schedules, TileLog *log, Pipeline *out, Diag *d)
{
	PassCx cx = {.out = stderr, .schedules = schedules, .tile_log = log};
	*out = (Pipeline){.arena = arena_new(), .fe = p->fe, .code = p->code, .schedules = schedules};
	out->fe.module = ir_clone(p->graph);
	out->code.cpu = cpu;
	out->quiet = log || schedules != p->schedules;
	return passes(out, &cx, d);
}

bool pipeline_gpu(const Pipeline *p, Pipeline *out, Diag *d)
{
	PassCx cx = {.out = stderr};
	*out = (Pipeline){.arena = arena_new(), .fe = p->fe, .code = p->code, .gpu = true, .cuda_arch = p->cuda_arch};
	out->fe.module = ir_clone(p->graph);
	return passes(out, &cx, d);
}

CgCuda *pipeline_cuda(const Pipeline *p, bool compile, Diag *d)
{
	CgCuda *c = cg_cuda(p->fe.module, &p->target);
	if (cuda_archs(c, p->cuda_arch, d) && (!compile || nvrtc_compile(c, 0, d)))
		return c;
	cg_cuda_free(c);
	return NULL;
}

bool pipeline_retake(Pipeline *p, ScheduleFile *schedules, Diag *d)
{
	PassCx cx = {.out = stderr, .schedules = schedules};
	INVARIANT(p->graph && !p->first);
	p->quiet = true;
	p->first = p->fe.module;
	p->fe.module = ir_clone(p->graph);
	p->schedules = schedules;
	return passes(p, &cx, d);
}

CgModule *pipeline_code(const Pipeline *p, Diag *d)
{
	return cg_build(p->fe.module, &p->code, d);
}

void pipeline_close(Pipeline *p)
{
	if (p->weights)
		unlink(p->weights);
	if (p->fe.module)
		ir_module_free(p->fe.module);
	if (p->graph)
		ir_module_free(p->graph);
	if (p->first)
		ir_module_free(p->first);
	if (p->arena)
		arena_free(p->arena);
	*p = (Pipeline){0};
}

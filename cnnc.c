/* cnnc.c -- the compiler's command: model.yaml to two programs
 *
 * Reads like the pipeline: frontend and passes (pipeline.c), code, object, link. Results go to stdout, diagnostics to stderr;
 * exit codes are those of docs/contract: 0 ok, 1 internal error, 2 usage or model file, 3 out of memory, 4 disk or I/O.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"
#include "doctor.h"
#include "init_model.h"
#include "options.h"
#include "pipeline.h"
#include "reference.h"
#include "report.h"
#include "runtime/bundle.h"
#include "tune.h"

enum { EXIT_OK = 0, EXIT_USAGE = 2, EXIT_IO = 4 };

double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int finish(Diag *d, int code)
{
	if (diag_errors(d) && code == EXIT_OK)
		code = EXIT_USAGE;
	diag_print(d, stderr);
	if (fflush(stdout) != 0 && code == EXIT_OK) {
		fprintf(stderr, "cnnc: cannot write to stdout: %s\n", strerror(errno));
		code = EXIT_IO;
	}
	return code;
}

/* ---- outputs ---- */
static bool to_stdout(const Options *o)
{
	return o->output && strcmp(o->output, "-") == 0;
}

static bool can_be_made(const char *file, Arena *a, Diag *d)
{
	struct stat st;
	const char *slash = strrchr(file, '/');
	const char *folder = slash ? arena_strndup(a, file, slash == file ? 1 : (size_t)(slash - file)) : ".";
	if (stat(file, &st) == 0 && S_ISDIR(st.st_mode))
		return diag_error(d, (Loc){0}, "%s is a folder; -o needs another name", file);
	if (stat(folder, &st) != 0)
		return diag_error(d, (Loc){0}, "the folder %s of the output does not exist", folder);
	return S_ISDIR(st.st_mode) || diag_error(d, (Loc){0}, "%s is not a folder", folder);
}

/* NAME with the suffix of a kind, unless it has it. */
static const char *file_of_kind(const char *name, const char *suffix, Arena *a)
{
	size_t n = strlen(name), m = strlen(suffix);
	if (strcmp(name, "-") == 0 || (n > m && strcmp(name + n - m, suffix) == 0))
		return name;
	return arena_printf(a, "%s%s", name, suffix);
}

static bool write_text(const Pipeline *p, EmitKind kind, const char *path, Diag *d)
{
	FILE *f = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
	if (!f)
		return diag_error(d, (Loc){0}, "cannot write %s: %s", path, strerror(errno));
	if (kind == EMIT_KERNELS)
		k_print_program(p->fe.module->program, f);
	else if (kind == EMIT_GRAPH)
		ir_print(p->fe.module, f);
	else
		report_dot(p, f);
	bool ok = (f == stdout ? fflush(f) : fclose(f)) == 0;
	return ok || diag_error(d, (Loc){0}, "cannot write %s: %s", path, strerror(errno));
}

/* A file of this text, whole or as it was before. */
static bool replace_file(const char *path, const char *text, Arena *a, Diag *d)
{
	const char *fresh = arena_printf(a, "%s.%ld~", path, (long)getpid());
	FILE *f = fopen(fresh, "wx");
	bool ok = f && fputs(text, f) >= 0;
	ok = f && fclose(f) == 0 && ok && rename(fresh, path) == 0;
	if (!ok) {
		diag_error(d, (Loc){0}, "cannot write %s: %s", path, strerror(errno));
		if (f)
			unlink(fresh);
	}
	return ok;
}

static bool emit_cuda(const Pipeline *p, const char *path, Diag *d)
{
	Pipeline gpu = {.arena = NULL};
	const bool ok = p->gpu || pipeline_gpu(p, &gpu, d);
	CgCuda *c = ok ? pipeline_cuda(p->gpu ? p : &gpu, false, d) : NULL;
	const bool written = c && cg_cuda_write(c, path, d);
	cg_cuda_free(c);
	pipeline_close(&gpu);
	return written;
}

static int emit_level(const Pipeline *p, const Options *o, const char *name, Diag *d)
{
	static const struct { EmitKind kind; CgKind code; const char *suffix; } kinds[] = {
		{EMIT_LLVM, CG_LLVM, ".ll"}, {EMIT_ASM, CG_ASM, ".s"}, {EMIT_OBJ, CG_OBJ, ".o"},
	};
	static const struct { EmitKind kind; const char *suffix; } texts[] = {
		{EMIT_GRAPH, ".ir"}, {EMIT_KERNELS, ".kernels"}, {EMIT_DOT, ".dot"},
	};
	bool ok = true;
	for (size_t i = 0; ok && i < COUNT(texts); i++) {
		if (o->emit & texts[i].kind)
			ok = write_text(p, texts[i].kind, file_of_kind(name, texts[i].suffix, p->arena), d);
	}
	if (ok && (o->emit & EMIT_ONNX))
		ok = fe_onnx_export(p->fe.module, p->fe.weights.whole ? p->fe.weights.path : NULL, file_of_kind(name, ".onnx", p->arena), d);
	if (!ok && diag_errors(d))
		return EXIT_USAGE;
	if (ok && (o->emit & EMIT_CUDA) && !emit_cuda(p, file_of_kind(name, ".cu", p->arena), d))
		return EXIT_USAGE;
	if (!ok || !(o->emit & (EMIT_LLVM | EMIT_ASM | EMIT_OBJ)))
		return ok ? EXIT_OK : EXIT_IO;
	if (p->gpu)
		return diag_error(d, (Loc){0}, "--target=cuda alone has no llvm, asm or obj"), EXIT_USAGE;
	CgModule *c = pipeline_code(p, d);
	if (!c)
		return EXIT_USAGE;
	for (size_t i = 0; ok && i < COUNT(kinds); i++) {
		if (o->emit & kinds[i].kind)
			ok = cg_emit(c, kinds[i].code, file_of_kind(name, kinds[i].suffix, p->arena), d);
	}
	cg_free(c);
	return ok ? EXIT_OK : EXIT_IO;
}

/* A portable model gives files of each level: NAME.x86-64-v3.s */
static int emit(const Pipeline *p, const Options *o, const char *name, Diag *d)
{
	if (p->nlevels == 0)
		return emit_level(p, o, name, d);
	if (to_stdout(o))
		diag_error(d, (Loc){0}, "--cpu=portable makes several files, so -o needs a name");
	if (diag_errors(d))
		return EXIT_USAGE;
	int code = emit_level(p, o, arena_printf(p->arena, "%s.%s", name, p->level[0]), d);
	for (int i = 1; code == EXIT_OK && i < p->nlevels; i++) {
		Pipeline level;
		bool ok = pipeline_again(p, p->level[i], p->schedules, NULL, &level, d);
		code = ok ? emit_level(&level, o, arena_printf(p->arena, "%s.%s", name, p->level[i]), d) : EXIT_USAGE;
		pipeline_close(&level);
	}
	return code;
}

/* ---- programs ---- */
static int64_t file_size(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? st.st_size : 0;
}

/* The weights that the model file names go into both programs, as those of a training run go into the predictor; those of a
 * base alone into the trainer. */
static bool bundle_weights(const Pipeline *p, const char *name, const char *trainer, Diag *d)
{
	unsigned char model[32], schedule[32];
	cg_identity(p->fe.module, &p->target, model, schedule);
	if ((p->fe.weights.whole && rt_bundle_write(name, p->fe.weights.path, model) != RT_OK) ||
	    (p->fe.trains && rt_bundle_write(trainer, p->fe.weights.path, model) != RT_OK))
		return diag_error(d, (Loc){0}, "%s", rt_message());
	return true;
}

static int link_programs(const Pipeline *p, const Options *o, const CgObjects *objects, const char *name, double start,
                         Diag *d)
{
	Arena *a = p->arena;
	const char *trainer = arena_printf(a, "%s-train", name), *libdir = cg_libdir(a, d);
	CgLink predict = {.linker = o->linker, .libdir = libdir, .object = objects->path, .nobjects = objects->n,
	                  .output = name, .serves = p->fe.serves, .strip = true}, train = predict;
	train.output = trainer;
	train.trainer = true;
	if (!libdir || !cg_link((CgLink[]){predict, train}, p->fe.trains ? 2 : 1, d))
		return EXIT_USAGE;
	if (p->fe.weights.path && !bundle_weights(p, name, trainer, d))
		return EXIT_IO;
	printf("wrote %s (%s)", name, text_bytes(a, file_size(name)));
	if (p->fe.trains)
		printf("  %s (%s)", trainer, text_bytes(a, file_size(trainer)));
	printf("  in %s\n", text_time(a, now_ms() - start));
	return EXIT_OK;
}

static int make_object(const Pipeline *p, const char *folder, CgObjects *out, Diag *d)
{
	CgModule *c = pipeline_code(p, d);
	if (!c)
		return EXIT_USAGE;
	bool ok = cg_objects(c, folder, p->arena, out, d);
	cg_free(c);
	return ok ? EXIT_OK : EXIT_IO;
}

/* Those of one level after the other; says how long each took where there are several. */
static int make_objects(const Pipeline *p, Pipeline *further, const char *folder, CgObjects *out, double start, Diag *d)
{
	int code = make_object(p, folder, out, d);
	for (int i = 0; code == EXIT_OK && p->nlevels; i++) {
		printf("%s %s", p->level[i], text_time(p->arena, now_ms() - start));
		fputs(i + 1 < p->nlevels ? ", " : "\n", stdout);
		if (i + 1 == p->nlevels)
			break;
		start = now_ms();
		bool ok = pipeline_again(p, p->level[i + 1], p->schedules, NULL, &further[i], d);
		code = ok ? make_object(&further[i], folder, out, d) : EXIT_USAGE;
	}
	return code;
}

/* Code for GPUs, for the programs' tables. */
static CgCuda *make_cuda(const Pipeline *p, Pipeline *gpu, Diag *d)
{
	const double start = now_ms();
	CgCuda *c = pipeline_gpu(p, gpu, d) ? pipeline_cuda(gpu, true, d) : NULL;
	for (int i = 0; c && i < c->narchs; i++)
		printf("%s%s", i ? " " : "cuda ", cuda_arch_text(p->arena, c->arch[i]));
	if (c)
		printf(": %d kernels %s\n", c->nfunctions, text_time(p->arena, now_ms() - start));
	return c;
}

static int programs(const Pipeline *cpu, const Options *o, const char *name, double start, Diag *d)
{
	CgObjects objects = {.n = 0};
	Pipeline further[CG_MAX_LEVELS] = {{.arena = NULL}}, gpu = {.arena = NULL}, with = *cpu, *p = &with;
	const char *tmp = getenv("TMPDIR");
	char *folder = arena_printf(p->arena, "%s/cnnc-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(folder)) {
		diag_error(d, (Loc){0}, "cannot make a temporary folder %s: %s", folder, strerror(errno));
		return EXIT_IO;
	}
	CgCuda *cuda = p->cuda ? make_cuda(p, &gpu, d) : NULL;
	p->code.cuda = cuda;
	int code = p->cuda && !cuda ? EXIT_USAGE : make_objects(p, further, folder, &objects, start, d);
	if (code == EXIT_OK)
		code = link_programs(p, o, &objects, name, start, d);
	cg_cuda_free(cuda);
	pipeline_close(&gpu);
	for (int i = 0; i < objects.n; i++)
		unlink(objects.path[i]);
	rmdir(folder);
	for (int i = 0; i < CG_MAX_LEVELS; i++)
		pipeline_close(&further[i]);
	return code;
}

/* ---- commands ---- */
static int compile(const Pipeline *p, const Options *o, double start, Diag *d)
{
	const char *name = o->output ? o->output : p->fe.module->name;
	bool quiet = to_stdout(o) || o->dump || o->time_passes;
	if (!to_stdout(o) && !can_be_made(name, p->arena, d))
		return EXIT_USAGE;
	if (o->emit)
		return emit(p, o, name, d);
	if (to_stdout(o))
		diag_error(d, (Loc){0}, "-o - needs --emit: a program is not written to stdout");
	else if (o->triple)
		diag_error(d, (Loc){0}, "--triple needs --emit: programs are linked for this system only");
	else if (p->gpu)
		diag_error(d, (Loc){0}, "programs run on the CPU where there is no GPU: --target=cpu,cuda (cuda alone needs --emit)");
	if (diag_errors(d))
		return EXIT_USAGE;
	report_summary(p, o->model, quiet ? stderr : stdout);
	return programs(p, o, name, start, d);
}

/* ---- schedules ---- */
static int tune_model(Pipeline *p, const Options *o, Diag *d)
{
	const char *name = o->output && !to_stdout(o) ? o->output : p->fe.module->name;
	if (p->code.triple && *p->code.triple)
		return diag_error(d, (Loc){0}, "code for %s cannot be measured here", p->code.triple), EXIT_USAGE;
	TuneOptions t = {.path = o->schedule ? o->schedule : arena_printf(p->arena, "%s.schedule", name),
	                 .seconds = o->tune ? o->tune : p->fe.tune_seconds, .table = to_stdout(o) || o->json ? stderr : stdout};
	return can_be_made(t.path, p->arena, d) ? tune(p, &t, d) : EXIT_USAGE;
}

/* Lines of the schedule file that this compilation had no use for are no mistake, but worth a word. */
static void note_unused(const Pipeline *p)
{
	int other = 0, unknown = 0;
	const char *path = NULL;
	for (int i = 0; p->schedules && i < p->schedules->n; i++) {
		const ScheduleLine *l = p->schedules->line[i];
		bool ours = strcmp(l->target, p->target.name) == 0;
		path = l->loc.file ? l->loc.file : path;
		for (int j = 0; j < p->nlevels; j++)
			ours |= strcmp(l->target, p->level[j]) == 0;
		other += !l->used && (!ours || strcmp(l->version, CNNC_VERSION) != 0 || strcmp(l->pass, TILE_PASS) != 0);
		unknown += !l->used && ours && strcmp(l->version, CNNC_VERSION) == 0 && strcmp(l->pass, TILE_PASS) == 0;
	}
	if (other)
		fprintf(stderr, "%s: note: ignored %d lines for another target or version of cnnc\n", path, other);
	if (unknown)
		fprintf(stderr, "%s: note: ignored %d lines for kernels that this model does not have\n", path, unknown);
}

static int check(const Pipeline *p, const Options *o)
{
	if (o->json)
		return report_json(p, stdout) ? EXIT_OK : EXIT_IO;
	report_layers(p, stdout);
	report_summary(p, o->model, stdout);
	return EXIT_OK;
}

static int command(Pipeline *p, const Options *o, double start, Diag *d)
{
	if (o->command == CMD_CHECK)
		return check(p, o);
	int code = p->tunes ? tune_model(p, o, d) : EXIT_OK;
	if (code != EXIT_OK)
		return code;
	if (o->command == CMD_COMPILE && !pipeline_weights(p, d))
		return EXIT_USAGE;
	code = o->command == CMD_BENCH ? bench(p, o, start, d) : compile(p, o, start, d);
	note_unused(p);
	return code;
}

/* MODEL.onnx to a model file, its weights beside it under the same name. */
static int import_graph(const Options *o, Diag *d)
{
	FeOnnx onnx;
	Arena *a = arena_new();
	const char *slash = strrchr(o->output, '/'), *dot = strrchr(o->output, '.');
	const size_t stem = dot && (!slash || dot > slash) ? (size_t)(dot - o->output) : strlen(o->output);
	const char *weights = arena_printf(a, "%.*s.safetensors", (int)stem, o->output);
	int code = EXIT_USAGE;
	if (can_be_made(o->output, a, d) && fe_onnx_load(o->model, slash ? weights + (slash + 1 - o->output) : weights, a, d, &onnx)) {
		FILE *f = fopen(o->output, "w");
		bool ok = f && fwrite(onnx.text, 1, onnx.length, f) == onnx.length;
		ok = f && fclose(f) == 0 && ok;
		if (!ok)
			diag_error(d, (Loc){0}, "cannot write %s: %s", o->output, strerror(errno));
		ok = ok && (!onnx.weight || fe_onnx_save_weights(&onnx, weights, d));
		code = ok ? EXIT_OK : EXIT_IO;
		if (ok)
			printf("wrote %s%s%s\n", o->output, onnx.weight ? " and " : "", onnx.weight ? weights : "");
	}
	arena_free(a);
	return code;
}

/* Lays a model file out: in place, to another file, or to stdout. */
static int format_file(const Options *o, Diag *d)
{
	size_t len;
	Arena *a = arena_new();
	const char *text = fe_read(o->model, d, &len), *path = o->output ? o->output : o->model;
	const char *laid_out = text ? fe_format(o->model, text, len, a, d) : NULL;
	int code = laid_out ? EXIT_OK : EXIT_USAGE;
	if (laid_out && strcmp(path, "-") == 0)
		fputs(laid_out, stdout);
	else if (laid_out && !(path == o->model && strlen(laid_out) == len && memcmp(text, laid_out, len) == 0))
		code = replace_file(path, laid_out, a, d) ? EXIT_OK : EXIT_IO;
	arena_free(a);
	return code;
}

/* cnnc weights FILE, or MODEL.yaml FILE -o OUT.safetensors: the file as model.weights would take it. */
static int weights_command(const Options *o, Diag *d)
{
	if (o->nwords == 0)
		return fe_weights_list(o->model, stdout, d) ? EXIT_OK : EXIT_USAGE;
	Arena *a = arena_new();
	char *absolute = realpath(o->word[0], NULL);
	const char *define[] = {arena_printf(a, "model.weights=%s", absolute ? absolute : o->word[0])};
	FeModel fe;
	int code = EXIT_USAGE;
	free(absolute);
	if (can_be_made(o->output, a, d) && fe_load(o->model, define, 1, d, &fe)) {
		const bool native = !fe.weights.conversion;
		bool ok = native || fe_weights_convert(&fe.weights, o->output, d);
		if (ok)
			printf("%s%s\n", native ? "nothing to convert: the model takes this file as it is: " : "wrote ", native ? o->word[0] : o->output);
		code = ok ? EXIT_OK : EXIT_IO;
		ir_module_free(fe.module);
	}
	arena_free(a);
	return code;
}

/* --emit=cuda asks for a GPU without saying so; what is timed here runs on the CPU. */
static const char *target_of(const Options *o)
{
	if (!o->target && (o->emit & EMIT_CUDA))
		return o->emit == EMIT_CUDA ? "cuda" : "cpu,cuda";
	if (o->command == CMD_BENCH)
		return o->target && strstr(o->target, "cuda") ? "cpu,cuda" : "cpu";
	return o->target;
}

static int run(const Options *o)
{
	double start = now_ms();
	Diag *d = diag_new();
	if (o->op || o->command == CMD_INIT || o->command == CMD_WEIGHTS || o->command == CMD_IMPORT || o->command == CMD_FMT) {
		int code = finish(d, o->op ? bench_op(o, d) : o->command == CMD_IMPORT ? import_graph(o, d) :
		                  o->command == CMD_WEIGHTS ? weights_command(o, d) :
		                  o->command == CMD_FMT ? format_file(o, d) : init_command(o->model, o->output, d));
		diag_free(d);
		return code;
	}
	Pipeline p;
	PipelineIn in = {.path = o->model, .define = o->define, .ndefines = o->ndefines, .target = target_of(o),
	                 .cuda_arch = o->cuda_arch, .cpu = o->cpu, .triple = o->triple,
	                 .dump = o->dump ? o->dump : o->stop_after, .stop_after = o->stop_after,
	                 .time_passes = o->time_passes, .out = stdout, .here = o->command == CMD_BENCH, .threads = o->threads,
	                 .schedule = o->schedule, .tunes = o->tune > 0};
	int code = EXIT_USAGE;
	if (pipeline_open(&p, &in, d))
		code = p.stopped ? EXIT_OK : command(&p, o, start, d);
	code = finish(d, code);
	pipeline_close(&p);
	diag_free(d);
	return code;
}

int main(int argc, char **argv)
{
	const char **define = calloc((size_t)argc + 1, sizeof(*define));
	const char **word = calloc((size_t)argc + 1, sizeof(*word));
	Options o = {.define = define, .word = word};
	int code = EXIT_OK;
	if (!define || !word || !options_parse(&o, argc, argv, stderr)) {
		free(define);
		free(word);
		return EXIT_USAGE;
	}
	switch (o.command) {
	case CMD_VERSION:
		puts("cnnc " CNNC_VERSION);
		break;
	case CMD_USAGE:
		options_usage(stdout);
		break;
	case CMD_LIST_PASSES:
		passes_list(stdout);
		break;
	case CMD_DOCTOR:
		code = doctor();
		break;
	case CMD_SCHEMA:
		fe_schema_json(stdout);
		break;
	case CMD_HELP:
		code = reference_help(o.topic);
		break;
	case CMD_EXPLAIN:
		code = reference_explain(o.topic);
		break;
	default:
		code = run(&o);
	}
	free(define);
	free(word);
	return fflush(stdout) == 0 ? code : EXIT_IO;
}

/* options.c -- the command line of cnnc: one table of options, one sentence for each mistake */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "ir/diag.h"
#include "options.h"
#include "passes/passes.h"

typedef enum Kind { FLAG, TEXT, DEFINE, NUMBER, SECONDS, EMIT, TARGET, MATH, PASSES, ACTION } Kind;

typedef struct Option {
	const char *name, *value, *doc; /* value: how it is shown; NULL: takes none */
	Kind kind;
	size_t at;                      /* of the member; ACTION: the command */
} Option;

static const Option options[] = {
	{"-o", "NAME", "write NAME and NAME-train; `-` with --emit is stdout", TEXT, offsetof(Options, output)},
	{"-D", "KEY=VALUE", "set a field of the model file, as train.epochs=5", DEFINE, 0},
	{"--emit", "KIND[,KIND]", "write graph, kernels, dot (layers, for Graphviz), llvm, asm, obj, cuda or onnx (of --op: header too), no programs", EMIT, 0},
	{"--cpu", "CPU", "native (default), portable (v4, v3 and v2 in one program), x86-64-v3, or a name LLVM knows", TEXT,
	 offsetof(Options, cpu)},
	{"--triple", "TRIPLE", "system to compile for, with --emit; default: this one", TEXT, offsetof(Options, triple)},
	{"--target", "TARGET", "cpu, or cpu,cuda: programs that take a GPU where there is one; cuda alone with --emit", TARGET,
	 offsetof(Options, target)},
	{"--cuda-arch", "ARCH[,ARCH]", "GPUs to compile for, as sm_80,sm_90a; compute_80 is PTX for later ones", TEXT,
	 offsetof(Options, cuda_arch)},
	{"--linker", "PROGRAM", "links the programs; default cc", TEXT, offsetof(Options, linker)},
	{"--tune", "SECONDS", "measure each kernel's schedules first, all of them or as many as this time allows", SECONDS,
	 offsetof(Options, tune)},
	{"--schedule", "FILE", "take schedules measured before; with --tune, write them there, default NAME.schedule", TEXT,
	 offsetof(Options, schedule)},
	{"--threads", "N", "threads to compile with, and of bench; default: the CPUs of this process", NUMBER,
	 offsetof(Options, threads)},
	{"--op", "OP", "bench: one operation, described as x=32x56x56x64 w=3x3x64x64 stride=1 pad=1", TEXT,
	 offsetof(Options, op)},
	{"--shape", "LIST", "bench: N,H,W,C,K,R,S[,stride[,pad]] of a convolution, M,N,K of matmul", TEXT,
	 offsetof(Options, shape)},
	{"--math", "MATH", "bench --op: exact (default), or fast: other roundings allowed, as build.math", MATH, 0},
	{"--json", NULL, "check, bench: print one JSON object", FLAG, offsetof(Options, json)},
	{"--dump", "PASS[,PASS]", "print the program after these passes", PASSES, offsetof(Options, dump)},
	{"--stop-after", "PASS", "print the program after this pass, and stop", PASSES, offsetof(Options, stop_after)},
	{"--time-passes", NULL, "print the time of each pass", FLAG, offsetof(Options, time_passes)},
	{"--list-passes", NULL, "print the passes in run order", ACTION, CMD_LIST_PASSES},
	{"--version", NULL, "print the version", ACTION, CMD_VERSION},
	{"--help", NULL, "print this text", ACTION, CMD_USAGE},
	{"-h", NULL, NULL, ACTION, CMD_USAGE},
};

static const struct { const char *name; Command command; } commands[] = {
	{"compile", CMD_COMPILE}, {"check", CMD_CHECK}, {"bench", CMD_BENCH}, {"init", CMD_INIT}, {"doctor", CMD_DOCTOR}, {"help", CMD_HELP}, {"explain", CMD_EXPLAIN}, {"schema", CMD_SCHEMA}, {"import", CMD_IMPORT},
};

static const char *shown_before(const Option *o)
{
	return !o->value ? "" : o->kind == SECONDS ? "[=" : o->name[1] == '-' ? "=" : " ";
}

void options_usage(FILE *f)
{
	fputs("usage: cnnc init DIR [-o MODEL.yaml]                 look at a folder of data, write a first model file for it\n"
	      "       cnnc [compile] MODEL.yaml -o NAME [OPTION…]   write the predictor NAME and the trainer NAME-train\n"
	      "       cnnc check MODEL.yaml [--json]               check it; print layers and memory\n"
	      "       cnnc bench MODEL.yaml [--threads N] [--json] time the generated code\n"
	      "       cnnc bench --op OP WORD…|--shape LIST [--emit=KIND…] [-o NAME]   time or write out one operation\n"
	      "       cnnc doctor                                  what this machine has, and what is missing\n"
	      "       cnnc import FILE.onnx -o MODEL.yaml          write an ONNX graph as a model file, its weights beside it\n"
	      "       cnnc help [LAYER|FIELD]                      what can stand in a model file\n"
	      "       cnnc explain [CODE]                          what an error means, and how it is mended\n"
	      "       cnnc schema                                  JSON Schema of model files\n\n"
	      "options:\n", f);
	for (size_t i = 0; i < COUNT(options); i++) {
		const Option *o = &options[i];
		if (o->doc)
			fprintf(f, "  %s%s%-*s %s\n", o->name, shown_before(o), 26 - (int)strlen(o->name) - (int)strlen(shown_before(o)),
			        o->kind == SECONDS ? "SECONDS]" : o->value ? o->value : "", o->doc);
	}
}

/* ---- mistakes ---- */
static bool refuse(FILE *err, const char *fmt, ...) CNNC_PRINTF(2, 3);

static bool refuse(FILE *err, const char *fmt, ...)
{
	va_list args;
	fputs("cnnc: ", err);
	va_start(args, fmt);
	vfprintf(err, fmt, args);
	va_end(args);
	fputs("; `cnnc --help` lists the options\n", err);
	return false;
}

static bool refuse_near(FILE *err, const char *what, const char *word, const char *const *names, size_t n)
{
	const char *near = diag_nearest(word, names, n);
	if (near)
		return refuse(err, "unknown %s '%s', did you mean '%s'?", what, word, near);
	return refuse(err, "unknown %s '%s'", what, word);
}

/* ---- values ---- */
static bool set_emit(Options *o, const char *list, FILE *err)
{
	static const char *const name[] = {"graph", "kernels", "llvm", "asm", "obj", "header", "cuda", "dot", "onnx", "lib", "ptx"};
	enum { BUILT = 9 };
	while (*list) {
		char word[32];
		size_t n = strcspn(list, ","), i = 0;
		snprintf(word, sizeof(word), "%.*s", (int)n, list);
		while (i < COUNT(name) && strcmp(name[i], word) != 0)
			i++;
		if (i == COUNT(name))
			return refuse_near(err, "kind of --emit:", word, name, BUILT);
		if (i >= BUILT)
			return refuse(err, "--emit=%s is not supported yet", word);
		o->emit |= 1u << i;
		list += n + (list[n] == ',');
	}
	return o->emit != 0 || refuse(err, "--emit needs a kind");
}

static bool check_passes(const char *list, FILE *err)
{
	while (*list) {
		char word[64];
		size_t n = strcspn(list, ",");
		snprintf(word, sizeof(word), "%.*s", (int)n, list);
		if (!passes_known(word))
			return refuse(err, "unknown pass '%s' (`cnnc --list-passes` lists them)", word);
		list += n + (list[n] == ',');
	}
	return true;
}

static bool set_number(int *out, const char *name, const char *value, FILE *err)
{
	char *end;
	long v = strtol(value, &end, 10);
	if (end == value || *end || v < 1 || v > 1024)
		return refuse(err, "%s needs a number from 1 to 1024, not '%s'", name, value);
	*out = (int)v;
	return true;
}

/* Without a value: as many as it takes. */
static bool set_seconds(double *out, const char *name, const char *value, FILE *err)
{
	char *end;
	*out = value ? strtod(value, &end) : INFINITY;
	if (value && (end == value || *end || !(*out > 0)))
		return refuse(err, "%s needs a number of seconds, not '%s'", name, value);
	return true;
}

static bool set_target(Options *o, const char *value, FILE *err)
{
	static const char *const known[] = {"cpu", "cuda", "cpu,cuda", "cuda,cpu"};
	o->target = value;
	for (size_t i = 0; i < COUNT(known); i++) {
		if (strcmp(value, known[i]) == 0)
			return true;
	}
	return refuse(err, "unknown target '%s'", value);
}

static bool set_math(Options *o, const char *value, FILE *err)
{
	o->fast_math = strcmp(value, "fast") == 0;
	return o->fast_math || strcmp(value, "exact") == 0 || refuse(err, "--math is exact or fast, not '%s'", value);
}

static bool set(Options *o, const Option *opt, const char *value, FILE *err)
{
	void *member = (char *)o + opt->at;
	switch (opt->kind) {
	case FLAG:
		*(bool *)member = true;
		return true;
	case ACTION:
		o->command = (Command)opt->at;
		return true;
	case TEXT:
		*(const char **)member = value;
		return *value || refuse(err, "%s needs a value", opt->name);
	case PASSES:
		*(const char **)member = value;
		return check_passes(value, err);
	case DEFINE:
		o->define[o->ndefines++] = value;
		return strchr(value, '=') || refuse(err, "-D needs KEY=VALUE, not '%s'", value);
	case NUMBER:
		return set_number(member, opt->name, value, err);
	case SECONDS:
		return set_seconds(member, opt->name, value, err);
	case EMIT:
		return set_emit(o, value, err);
	case TARGET:
		return set_target(o, value, err);
	case MATH:
		return set_math(o, value, err);
	}
	return false;
}

/* ---- words ---- */
static const Option *find(const char *word, const char **value)
{
	for (size_t i = 0; i < COUNT(options); i++) {
		size_t n = strlen(options[i].name);
		bool word_option = options[i].name[1] == '-';
		*value = NULL;
		if (strncmp(word, options[i].name, n) != 0)
			continue;
		if (!word[n])
			return &options[i];
		*value = word_option ? word + n + 1 : word + n; /* --cpu=native, -DKEY=VALUE */
		if (word_option ? word[n] == '=' : options[i].value != NULL)
			return &options[i];
	}
	return NULL;
}

static bool unknown(const char *word, FILE *err)
{
	const char *name[COUNT(options)];
	char bare[64];
	for (size_t i = 0; i < COUNT(options); i++)
		name[i] = options[i].name;
	snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(word, "="), word);
	return refuse_near(err, "option", bare, name, COUNT(options));
}

static bool option(Options *o, int argc, char **argv, int *i, FILE *err)
{
	const char *value, *word = argv[*i];
	const Option *opt = find(word, &value);
	if (!opt)
		return unknown(word, err);
	if (!opt->value && value)
		return refuse(err, "%s takes no value", opt->name);
	bool optional = opt->kind == SECONDS;
	if (opt->value && !value && !optional) {
		if (*i + 1 >= argc)
			return refuse(err, "%s needs %s", opt->name, opt->value);
		value = argv[++*i];
	}
	return set(o, opt, value, err);
}

static bool positional(Options *o, const char *word, FILE *err)
{
	const char *name[COUNT(commands)];
	if ((o->command == CMD_HELP || o->command == CMD_EXPLAIN) && !o->topic) {
		o->topic = word;
		return true;
	}
	if (o->command == CMD_BENCH && strncmp(word, "threads=", 8) == 0)
		return set_number(&o->threads, "threads", word + 8, err);
	if (o->command == CMD_BENCH && o->op) {
		o->word[o->nwords++] = word;
		return true;
	}
	if (!o->model && o->command <= CMD_IMPORT) {
		o->model = word;
		return true;
	}
	for (size_t i = 0; i < COUNT(commands); i++)
		name[i] = commands[i].name;
	const char *near = o->model ? diag_nearest(o->model, name, COUNT(commands)) : NULL;
	if (near)
		return refuse(err, "unknown command '%s', did you mean '%s'?", o->model, near);
	return refuse(err, "unexpected argument '%s'", word);
}

static int command_word(Options *o, int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < COUNT(commands); i++) {
		if (strcmp(argv[1], commands[i].name) == 0) {
			o->command = commands[i].command;
			return 2;
		}
	}
	return 1;
}

bool options_parse(Options *o, int argc, char **argv, FILE *err)
{
	bool words_only = false;
	for (int i = command_word(o, argc, argv); i < argc; i++) {
		bool dashed = !words_only && argv[i][0] == '-' && argv[i][1];
		if (dashed && strcmp(argv[i], "--") == 0)
			words_only = true;
		else if (!(dashed ? option(o, argc, argv, &i, err) : positional(o, argv[i], err)))
			return false;
	}
	if (o->op && (o->command != CMD_BENCH || o->model))
		return refuse(err, "--op is for `cnnc bench --op OP …`, without a model file");
	if (o->tune && (o->triple || o->op || o->command == CMD_CHECK))
		return refuse(err, "--tune is for models whose code runs here, not for %s",
		              o->op ? "--op" : o->triple ? "--triple" : "check");
	if (o->shape && !o->op)
		return refuse(err, "--shape needs --op");
	if (o->fast_math && !o->op)
		return refuse(err, "--math is for --op; of a model: -D build.math=fast");
	if (o->emit & EMIT_HEADER && !o->op)
		return refuse(err, "--emit=header is for `cnnc bench --op` only");
	if (o->command == CMD_IMPORT && (!o->model || !o->output))
		return refuse(err, "import needs FILE.onnx and -o MODEL.yaml");
	if (o->command == CMD_INIT && !o->model)
		return refuse(err, "init needs a folder of data");
	if (o->command <= CMD_BENCH && !o->model && !o->op)
		return refuse(err, "a model file is needed");
	return true;
}

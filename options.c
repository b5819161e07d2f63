/* options.c -- the command line of cnnc: the table of options.def, one sentence for each mistake */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "ir/diag.h"
#include "options.h"
#include "passes/passes.h"

typedef enum Kind { FLAG, TEXT, DEFINE, NUMBER, SECONDS, EMIT, TARGET, MATH, PASSES, ACTION } Kind;

typedef struct Option {
	const char *name, *value; /* value NULL: takes none */
	Kind kind;
	size_t at;                /* of the member; ACTION: the command */
} Option;

#define AT_ACTION(command) (size_t)(command)
#define AT_FLAG(member) offsetof(Options, member)
#define AT_TEXT AT_FLAG
#define AT_DEFINE AT_FLAG
#define AT_NUMBER AT_FLAG
#define AT_SECONDS AT_FLAG
#define AT_EMIT AT_FLAG
#define AT_TARGET AT_FLAG
#define AT_MATH AT_FLAG
#define AT_PASSES AT_FLAG

static const Option options[] = {
#define COMMAND(...)
#define FORM(...)
#define OPTION(name, value, kind, member, words, doc) {name, value, kind, AT_##kind(member)},
#include "options.def"
};

static const struct { const char *name; Command command; } commands[] = {
#define COMMAND(word, id, arguments, doc) {word, id},
#define FORM(...)
#define OPTION(...)
#include "options.def"
};

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
	if (o->command == CMD_WEIGHTS && o->model && o->nwords == 0) {
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
	if (o->command == CMD_WEIGHTS && (!o->model || (o->nwords == 0) != (o->output == NULL)))
		return refuse(err, "weights needs FILE, or MODEL.yaml FILE -o OUT.safetensors");
	if (o->command == CMD_INIT && !o->model)
		return refuse(err, "init needs a folder of data");
	if (o->command <= CMD_BENCH && !o->model && !o->op)
		return refuse(err, "a model file is needed");
	return true;
}

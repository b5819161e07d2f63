/* options_print.c -- options.def for readers: --help, the manual page, completions of shells, Markdown */
#include <string.h>
#include "ir/arena.h"
#include "options.h"

enum { USAGE_COLUMN = 48, OPTION_COLUMN = 26 };

typedef enum Row { COMMAND_ROW, FORM_ROW, OPTION_ROW } Row;

typedef struct Line {
	Row row;
	const char *name, *value, *words, *doc; /* value: of a command, its arguments; NULL: none */
} Line;

static const Line lines[] = {
#define COMMAND(word, id, arguments, doc) {COMMAND_ROW, word, arguments, "", doc},
#define FORM(arguments, doc) {FORM_ROW, NULL, arguments, "", doc},
#define OPTION(name, value, kind, member, words, doc) {OPTION_ROW, name, value, words, doc},
#include "options.def"
};

#define EACH_LINE(l) for (const Line *l = lines; l < lines + COUNT(lines); l++)

/* `-o NAME`, `--cpu=CPU`, `--tune[=SECONDS]`, whose value alone may be left out. */
static const char *spelled(const Line *l, char *to, size_t size)
{
	const bool optional = strcmp(l->name, "--tune") == 0;
	if (!l->value)
		snprintf(to, size, "%s", l->name);
	else
		snprintf(to, size, "%s%s%s%s", l->name, optional ? "[=" : l->name[1] == '-' ? "=" : " ", l->value, optional ? "]" : "");
	return to;
}

/* ---- --help ---- */

void options_usage(FILE *f)
{
	const char *lead = "usage:", *command = "";
	EACH_LINE(l) {
		if (l->row == OPTION_ROW)
			continue;
		if (l->row == COMMAND_ROW)
			command = l->name;
		fprintf(f, "%-6s cnnc %s %-*s %s\n", lead, command, USAGE_COLUMN - (int)strlen(command), l->value, l->doc);
		lead = "";
	}
	fputs("\noptions:\n", f);
	EACH_LINE(l) {
		char text[64];
		if (l->row == OPTION_ROW && l->doc)
			fprintf(f, "  %-*s %s\n", OPTION_COLUMN, spelled(l, text, sizeof(text)), l->doc);
	}
}

/* ---- cnnc(1) ---- */

/* A minus, not a hyphen; a dot or quote at the start of a line is text. */
static void print_roff(FILE *f, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", f);
	for (; *text; text++) {
		if (*text == '-' || *text == '\\')
			fputc('\\', f);
		fputs(*text == '\\' ? "e" : (char[]){*text, 0}, f);
	}
}

static void print_term(FILE *f, const char *bold, const char *rest, const char *doc)
{
	fputs(".TP\n\\fB", f);
	print_roff(f, bold);
	fputs("\\fR", f);
	if (rest && *rest) {
		fputc(' ', f);
		print_roff(f, rest);
	}
	fputc('\n', f);
	print_roff(f, doc);
	fputc('\n', f);
}

void options_man(FILE *f)
{
	char text[64];
	const char *command = "";
	fputs("'\\\" -*- coding: utf-8 -*-\n.TH CNNC 1 \"\" \"cnnc " CNNC_VERSION "\" \"User Commands\"\n.SH NAME\ncnnc \\- compiler for neural networks\n"
	      ".SH SYNOPSIS\n.B cnnc\n.I MODEL.yaml\n.B \\-o\n.I NAME\n.br\n.B cnnc\n.I COMMAND\n[\\fIARGUMENT\\fR...]\n.SH DESCRIPTION\n"
	      "Turns a YAML description of a neural network into two programs that need nothing else: NAME\\-train trains it, "
	      "NAME predicts. Both say with \\-\\-help what they take; \\fBcnnc-model\\fR(5) describes model files.\n.SH COMMANDS\n", f);
	EACH_LINE(l) {
		if (l->row == COMMAND_ROW)
			command = l->name;
		if (l->row != OPTION_ROW)
			print_term(f, command, l->value, l->doc);
	}
	fputs(".SH OPTIONS\n", f);
	EACH_LINE(l) {
		if (l->row == OPTION_ROW && l->doc)
			print_term(f, spelled(l, text, sizeof(text)), NULL, l->doc);
	}
	fputs(".SH EXIT STATUS\n0: done. 1: internal error. 2: usage or model file. 3: out of memory. 4: disk or input/output. 5: data. "
	      "6: weights or checkpoint. 7: non\\-finite loss. 8: device. 130, 143: interrupted after a saved checkpoint.\n"
	      ".SH ENVIRONMENT\n", f);
	print_term(f, "CNNC_NVRTC", NULL, "NVIDIA's compiler library for GPUs, where it is not among the system's.");
	print_term(f, "NO_COLOR", NULL, "Errors are printed without colours.");
	fputs(".SH SEE ALSO\n\\fBcnnc-model\\fR(5)\n", f);
}

/* ---- completions ---- */

static bool offers(const Line *l, const char *what)
{
	return strcmp(l->words, what) == 0;
}

/* Words of a row's value: the shell's own expression for files and passes. */
static void print_bash_case(FILE *f, const Line *l)
{
	fprintf(f, "\t%s) ", l->name);
	if (offers(l, "@file"))
		fputs("COMPREPLY=($(compgen -f -- \"$word\"))", f);
	else if (offers(l, "@pass"))
		fputs("COMPREPLY=($(compgen -W \"$(cnnc --list-passes | cut -d' ' -f1)\" -- \"$word\"))", f);
	else
		fprintf(f, "COMPREPLY=($(compgen -W \"%s\" -- \"$word\"))", l->words);
	fputs("; return ;;\n", f);
}

static void print_bash(FILE *f)
{
	fputs("# completion of cnnc for bash\n_cnnc() {\n\tlocal word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "\tif [ \"$word\" = = ]; then word=; elif [ \"$option\" = = ]; then option=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
	      "\tcase $option in\n", f);
	EACH_LINE(l) {
		if (l->row == OPTION_ROW && l->value && *l->words)
			print_bash_case(f, l);
	}
	fputs("\tesac\n\tlocal words=\"", f);
	EACH_LINE(l) {
		if (l->row == OPTION_ROW)
			fprintf(f, "%s ", l->name);
	}
	fputs("\"\n\t[ \"$COMP_CWORD\" != 1 ] || words=\"$words", f);
	EACH_LINE(l) {
		if (l->row == COMMAND_ROW)
			fprintf(f, " %s", l->name);
	}
	fputs("\"\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$word\") $(compgen -f -- \"$word\"))\n}\n"
	      "complete -o filenames -F _cnnc cnnc\n", f);
}

/* Text within single quotes of zsh and fish; `:` and brackets part zsh's specifications. */
static void print_quoted(FILE *f, const char *text, bool zsh)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", f);
		else if (zsh && strchr(":[]\\", *text))
			fprintf(f, "\\%c", *text);
		else
			fputc(*text, f);
	}
}

static void print_zsh_option(FILE *f, const Line *l)
{
	const char *join = l->value && l->name[1] == '-' ? "=-" : l->value ? "+" : "";
	fprintf(f, "\t'%s%s[", l->name, join);
	print_quoted(f, l->doc, true);
	fputc(']', f);
	if (l->value) {
		fputs(strcmp(l->name, "--tune") == 0 ? "::" : ":", f);
		print_quoted(f, l->value, true);
		if (offers(l, "@file"))
			fputs(":_files", f);
		else if (offers(l, "@pass"))
			fputs(":(${(f)\"$(cnnc --list-passes | cut -d\" \" -f1)\"})", f);
		else
			fprintf(f, ":(%s)", l->words);
	}
	fputs("' \\\n", f);
}

static void print_zsh(FILE *f)
{
	fputs("#compdef cnnc\nlocal -a commands=(\n", f);
	EACH_LINE(l) {
		if (l->row == COMMAND_ROW) {
			fprintf(f, "\t'%s:", l->name);
			print_quoted(f, l->doc, true);
			fputs("'\n", f);
		}
	}
	fputs(")\n_arguments -s \\\n", f);
	EACH_LINE(l) {
		if (l->row == OPTION_ROW && l->doc)
			print_zsh_option(f, l);
	}
	fputs("\t'1: :{ _describe command commands; _files }' \\\n\t'*: :_files'\n", f);
}

static void print_fish_option(FILE *f, const Line *l)
{
	const bool dashes = l->name[1] == '-';
	fprintf(f, "complete -c cnnc -%c %s", dashes ? 'l' : 's', l->name + 1 + dashes);
	if (l->value)
		fputs(" -r", f);
	if (offers(l, "@pass"))
		fputs(" -f -a '(cnnc --list-passes | cut -d\" \" -f1)'", f);
	else if (l->value && !offers(l, "@file"))
		fprintf(f, " -f -a '%s'", l->words);
	fputs(" -d '", f);
	print_quoted(f, l->doc, false);
	fputs("'\n", f);
}

static void print_fish(FILE *f)
{
	fputs("# completion of cnnc for fish\n", f);
	EACH_LINE(l) {
		if (l->row == OPTION_ROW && l->doc)
			print_fish_option(f, l);
		if (l->row != COMMAND_ROW)
			continue;
		fprintf(f, "complete -c cnnc -n __fish_use_subcommand -a %s -d '", l->name);
		print_quoted(f, l->doc, false);
		fputs("'\n", f);
	}
}

bool options_completion(const char *shell, FILE *f)
{
	static const struct { const char *shell; void (*print)(FILE *); } shells[] = {
		{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish},
	};
	for (size_t i = 0; i < COUNT(shells); i++) {
		if (strcmp(shells[i].shell, shell) == 0) {
			shells[i].print(f);
			return true;
		}
	}
	return false;
}

/* ---- Markdown ---- */

static void print_cell(FILE *f, const char *text)
{
	for (; *text; text++)
		fprintf(f, "%s%c", *text == '|' ? "\\" : "", *text);
}

void options_reference(FILE *f)
{
	char text[64];
	const char *command = "";
	fputs("# The command\n\n| command | |\n|---|---|\n", f);
	EACH_LINE(l) {
		if (l->row == OPTION_ROW)
			continue;
		command = l->row == COMMAND_ROW ? l->name : command;
		fprintf(f, "| `cnnc %s%s", command, *l->value ? " " : "");
		print_cell(f, l->value);
		fputs("` | ", f);
		print_cell(f, l->doc);
		fputs(" |\n", f);
	}
	fputs("\n| option | |\n|---|---|\n", f);
	EACH_LINE(l) {
		if (l->row != OPTION_ROW || !l->doc)
			continue;
		fprintf(f, "| `%s` | ", spelled(l, text, sizeof(text)));
		print_cell(f, l->doc);
		fputs(" |\n", f);
	}
}

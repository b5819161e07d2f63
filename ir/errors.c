/* errors.c -- looks things up in errors.def, and prints what it says for terminals and as Markdown */
#include "ir/errors.h"

#include <ctype.h>
#include <string.h>
#include "ir/arena.h"

enum { TEXT_WIDTH = 96 };

static const ErrorKind kinds[] = {
#define ERROR(...) { __VA_ARGS__ },
#define SAYS(format)
#include "ir/errors.def"
};

/* The table once more, rows of both kinds: a sentence has the code of the last ERROR before it. */
static const struct { const char *code, *format; } rows[] = {
#define ERROR(code, ...) { code, NULL },
#define SAYS(format) { NULL, format },
#include "ir/errors.def"
};

const ErrorKind *error_kind(int i)
{
	return i >= 0 && i < (int)COUNT(kinds) ? &kinds[i] : NULL;
}

const char *error_code(const char *format)
{
	const char *code = NULL;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (rows[i].code)
			code = rows[i].code;
		else if (strcmp(rows[i].format, format) == 0)
			return code;
	}
	return NULL;
}

/* ---- printing ---- */

/* Words of `text` in lines of at most TEXT_WIDTH bytes. */
static void print_filled(FILE *f, const char *text)
{
	size_t column = 0;
	while (*text) {
		size_t n = strcspn(text, " ");
		if (column && column + 1 + n > TEXT_WIDTH) {
			fputc('\n', f);
			column = 0;
		} else if (column) {
			fputc(' ', f);
			column++;
		}
		fwrite(text, 1, n, f);
		column += n;
		text += n + strspn(text + n, " ");
	}
	fputc('\n', f);
}

static void print_indented(FILE *f, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");
		fprintf(f, "    %.*s\n", (int)n, text);
		text += n + (text[n] == '\n');
	}
}

static bool same_code(const char *code, const char *word)
{
	while (*code && toupper((unsigned char)*word) == *code) {
		code++;
		word++;
	}
	return !*code && !*word;
}

bool error_explain(const char *code, FILE *f)
{
	for (size_t i = 0; i < COUNT(kinds); i++) {
		const ErrorKind *k = &kinds[i];
		if (!same_code(k->code, code))
			continue;
		fprintf(f, "%s: %s\n\n", k->code, k->title);
		print_filled(f, k->why);
		if (k->wrong && *k->wrong) {
			fputs("\nThis is refused:\n\n", f);
			print_indented(f, k->wrong);
		}
		if (k->right) {
			fputs("\nThis is not:\n\n", f);
			print_indented(f, k->right);
		}
		return true;
	}
	return false;
}

void error_list(FILE *f)
{
	for (size_t i = 0; i < COUNT(kinds); i++)
		fprintf(f, "%s  %s\n", kinds[i].code, kinds[i].title);
}

static void fenced(FILE *f, const char *lead, const char *text)
{
	if (text && *text)
		fprintf(f, "\n%s\n\n```yaml\n%s```\n", lead, text);
}

void error_reference(FILE *f)
{
	fputs("# Errors\n\nCodes stand behind the compiler's errors, as `[E0201]`; `cnnc explain CODE` prints what stands here. "
	      "Written by `cnnc explain reference`.\n", f);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		const ErrorKind *k = &kinds[i];
		fprintf(f, "\n## %s: %s\n\n%s\n", k->code, k->title, k->why);
		fenced(f, "Refused:", k->wrong);
		fenced(f, "Mended:", k->right);
	}
}

/* diag.c -- collects located errors and prints them with source line, caret and notes
 *
 * The form is that of docs/hacking.md. User text is never trusted on its way to a terminal: control characters and
 * invalid UTF-8 are shown as '?', long lines are cut around the caret, and a flood of errors ends with a count.
 */
#include "ir/diag.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "ir/errors.h"

enum { MOST_SHOWN = 50, WIDEST_LINE = 160, LEAD_IN = 60, LONGEST_WORD = 63 };

typedef struct Note {
	const char *lead, *text;
	struct Note *next;
} Note;

typedef struct Item {
	bool error;
	Loc at;
	const char *text, *code; /* code: of errors.def, or NULL */
	int file_order, number; /* first mention of the file; order of reporting */
	Note *note, *note_last;
	struct Item *next;
} Item;

typedef struct Source {
	const char *file, *text;
	size_t len;
	struct Source *next;
} Source;

struct Diag {
	Arena *arena; /* sources and the Diag itself */
	Arena *items_arena;
	Source *source;
	Item *first, *last;
	int nitems, nerrors;
};

Diag *diag_new(void)
{
	Arena *a = arena_new();
	Diag *d = NEW(a, Diag);
	d->arena = a;
	d->items_arena = arena_new();
	return d;
}

void diag_free(Diag *d)
{
	if (!d)
		return;
	arena_free(d->items_arena);
	arena_free(d->arena);
}

Arena *diag_arena(Diag *d)
{
	return d->arena;
}

void diag_source(Diag *d, const char *file, const char *text, size_t len)
{
	Source *s = NEW(d->arena, Source);
	*s = (Source){ arena_strdup(d->arena, file), text, len, d->source };
	d->source = s; /* a newer text of the same file hides the older one */
}

static bool same_file(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static int file_order(const Diag *d, const char *file)
{
	for (const Item *i = d->first; i; i = i->next) {
		if (same_file(i->at.file, file))
			return i->file_order;
	}
	return d->nitems;
}

static void CNNC_PRINTF(4, 0) report(Diag *d, bool error, Loc at, const char *fmt, va_list ap)
{
	Arena *a = d->items_arena;
	Item *i = NEW(a, Item);
	i->error = error;
	i->at = at;
	i->at.file = at.file ? arena_strdup(a, at.file) : NULL;
	i->text = arena_vprintf(a, fmt, ap);
	i->code = error ? error_code(fmt) : NULL;
	i->file_order = file_order(d, at.file);
	i->number = d->nitems++;
	d->nerrors += error;
	if (d->last)
		d->last->next = i;
	else
		d->first = i;
	d->last = i;
}

bool diag_error(Diag *d, Loc at, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	report(d, true, at, fmt, ap);
	va_end(ap);
	return false;
}

void diag_warning(Diag *d, Loc at, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	report(d, false, at, fmt, ap);
	va_end(ap);
}

void diag_note(Diag *d, const char *lead, const char *fmt, ...)
{
	Item *i = d->last;
	if (!i)
		return;
	va_list ap;
	va_start(ap, fmt);
	Note *n = NEW(d->items_arena, Note);
	n->lead = arena_strdup(d->items_arena, lead ? lead : "");
	n->text = arena_vprintf(d->items_arena, fmt, ap);
	va_end(ap);
	if (i->note_last)
		i->note_last->next = n;
	else
		i->note = n;
	i->note_last = n;
}

int diag_errors(const Diag *d)
{
	return d->nerrors;
}

/* ---- characters ---- */

/* Bytes of the UTF-8 sequence at s (1 if invalid); *out_point is its code point, or -1. Overlong forms are invalid. */
static size_t utf8_next(const char *s, size_t left, int32_t *out_point)
{
	static const int32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char c = (unsigned char)s[0];
	size_t n = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
	*out_point = -1;
	if (n == 0 || n > left)
		return 1;
	int32_t point = n == 1 ? c : c & (0x7F >> n);
	for (size_t i = 1; i < n; i++) {
		if (((unsigned char)s[i] & 0xC0) != 0x80)
			return 1;
		point = point << 6 | ((unsigned char)s[i] & 0x3F);
	}
	if (point < least[n] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000))
		return 1;
	*out_point = point;
	return n;
}

/* Columns on a terminal: 0 for combining marks, 2 for East Asian wide characters and emoji (Unicode TR 11). */
static int width_of(int32_t point)
{
	static const struct { int32_t from, to, width; } wide[] = {
		{ 0x0300, 0x036F, 0 }, { 0x1100, 0x115F, 2 }, { 0x200B, 0x200F, 0 },   { 0x20D0, 0x20FF, 0 },
		{ 0x2E80, 0xA4CF, 2 }, { 0xAC00, 0xD7A3, 2 }, { 0xF900, 0xFAFF, 2 },   { 0xFE00, 0xFE0F, 0 },
		{ 0xFE30, 0xFE6F, 2 }, { 0xFF00, 0xFF60, 2 }, { 0xFFE0, 0xFFE6, 2 },   { 0x1F300, 0x1FAFF, 2 },
		{ 0x20000, 0x3FFFD, 2 },
	};
	for (size_t i = 0; i < COUNT(wide); i++) {
		if (point >= wide[i].from && point <= wide[i].to)
			return wide[i].width;
	}
	return 1;
}

static bool is_control(int32_t point)
{
	return point < 0x20 || (point >= 0x7F && point < 0xA0) || (point >= 0x202A && point <= 0x202E) ||
	       (point >= 0x2066 && point <= 0x2069); /* C0, C1, bidirectional overrides */
}

static void print_clean(FILE *f, const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		int32_t point;
		size_t n = utf8_next(s + i, len - i, &point);
		if (point == '\t' || (point >= 0 && !is_control(point)))
			fwrite(s + i, 1, n, f);
		else
			fputc('?', f);
		i += n;
	}
}

/* ---- printing ---- */
static bool find_line(const Diag *d, Loc at, const char **out_line, size_t *out_len)
{
	for (const Source *s = d->source; s; s = s->next) {
		if (!same_file(s->file, at.file) || !s->text)
			continue;
		const char *line = s->text, *end = s->text + s->len;
		for (int n = 1; n < at.line; n++) {
			const char *nl = memchr(line, '\n', (size_t)(end - line));
			if (!nl)
				return false;
			line = nl + 1;
		}
		const char *nl = memchr(line, '\n', (size_t)(end - line));
		size_t len = (size_t)((nl ? nl : end) - line);
		if (len && line[len - 1] == '\r')
			len--;
		*out_line = line;
		*out_len = len;
		return true;
	}
	return false;
}

/* Where the caret stands: byte offset of character `col` (from 1), at most the end of the line. */
static size_t byte_of_col(const char *line, size_t len, int col)
{
	size_t at = 0;
	int32_t point;
	for (int c = 1; c < col && at < len; c++)
		at += utf8_next(line + at, len - at, &point);
	return at;
}

static size_t next_boundary(const char *line, size_t len, size_t at)
{
	while (at < len && ((unsigned char)line[at] & 0xC0) == 0x80)
		at++;
	return at < len ? at : len;
}

static void print_caret(FILE *f, const char *line, size_t from, size_t caret, size_t len, int underline)
{
	int32_t point;
	for (size_t i = from; i < caret;) {
		size_t n = utf8_next(line + i, caret - i, &point);
		if (point == '\t')
			fputc('\t', f);
		else
			fprintf(f, "%*s", point < 0 || is_control(point) ? 1 : width_of(point), "");
		i += n;
	}
	fputc('^', f);
	size_t end = underline > 0 && (size_t)underline < len - caret ? caret + (size_t)underline : len;
	int columns = 0;
	for (size_t i = caret; underline > 0 && i < end;) {
		i += utf8_next(line + i, end - i, &point);
		columns += point < 0 || is_control(point) ? 1 : width_of(point);
	}
	for (int i = 1; i < columns; i++)
		fputc('~', f);
}

static void print_source(const Diag *d, FILE *f, Loc at)
{
	const char *line;
	size_t len;
	if (at.line < 1 || !find_line(d, at, &line, &len))
		return;
	size_t caret = byte_of_col(line, len, at.col);
	size_t from = caret > WIDEST_LINE - LEAD_IN ? next_boundary(line, len, caret - LEAD_IN) : 0;
	size_t to = len - from > WIDEST_LINE ? next_boundary(line, len, from + WIDEST_LINE) : len;
	fprintf(f, "%5d | %s", at.line, from ? "... " : "");
	print_clean(f, line + from, to - from);
	fputs(to < len ? " ...\n" : "\n", f);
	if (at.col < 1)
		return;
	fprintf(f, "      | %s", from ? "    " : "");
	print_caret(f, line, from, caret, to, at.len);
	fputc('\n', f);
}

static void print_item(const Diag *d, FILE *f, const Item *i, bool colour)
{
	if (colour)
		fputs("\033[1m", f);
	if (i->at.file) {
		print_clean(f, i->at.file, strlen(i->at.file));
		if (i->at.line > 0)
			fprintf(f, ":%d", i->at.line);
		if (i->at.line > 0 && i->at.col > 0)
			fprintf(f, ":%d", i->at.col);
		fputs(": ", f);
	}
	if (colour)
		fputs(i->error ? "\033[31m" : "\033[35m", f);
	fputs(i->error ? "error: " : "warning: ", f);
	if (colour)
		fputs("\033[0m", f);
	print_clean(f, i->text, strlen(i->text));
	if (i->code)
		fprintf(f, " [%s]", i->code);
	fputc('\n', f);
	print_source(d, f, i->at);
	for (const Note *n = i->note; n; n = n->next) {
		bool word = n->lead[0] && strcmp(n->lead, "=") != 0;
		fprintf(f, "      %s%s", n->lead, word ? ": " : n->lead[0] ? " " : "");
		print_clean(f, n->text, strlen(n->text));
		fputc('\n', f);
	}
}

static int by_place(const void *pa, const void *pb)
{
	const Item *a = *(Item *const *)pa, *b = *(Item *const *)pb;
	if (a->file_order != b->file_order)
		return a->file_order < b->file_order ? -1 : 1;
	if (a->at.line != b->at.line)
		return a->at.line < b->at.line ? -1 : 1;
	if (a->at.col != b->at.col)
		return a->at.col < b->at.col ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

/* The same mistake met again, e.g. once an entry point. */
static bool repeats(const Item *a, const Item *b)
{
	return a->error == b->error && a->file_order == b->file_order && a->at.line == b->at.line &&
	       a->at.col == b->at.col && strcmp(a->text, b->text) == 0;
}

void diag_print(Diag *d, FILE *f)
{
	const char *no_color = getenv("NO_COLOR");
	int fd = fileno(f);
	bool colour = (!no_color || !no_color[0]) && fd >= 0 && isatty(fd);
	Item **order = NEWN(d->items_arena, Item *, d->nitems);
	int n = 0, shown = 0, hidden = 0;
	const char *code = NULL; /* of the first error that has one */
	for (Item *i = d->first; i; i = i->next)
		order[n++] = i;
	qsort(order, (size_t)n, sizeof *order, by_place);
	for (int i = 0; i < n; i++) {
		if (i > 0 && repeats(order[i - 1], order[i]))
			continue;
		if (shown == MOST_SHOWN) {
			hidden++;
			continue;
		}
		if (shown++)
			fputc('\n', f);
		print_item(d, f, order[i], colour);
		code = code ? code : order[i]->code;
	}
	if (hidden)
		fprintf(f, "\n... and %d more\n", hidden);
	if (colour && code)
		fprintf(f, "\n`cnnc explain %s` says more\n", code);
	d->first = d->last = NULL;
	d->nitems = 0;
	arena_reset(d->items_arena);
}

/* ---- names ---- */
static unsigned char lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool same_char(char a, char b, bool any_case)
{
	return any_case ? lower(a) == lower(b) : a == b;
}

static int least(int a, int b)
{
	return a < b ? a : b;
}

/* Damerau-Levenshtein distance in its restricted form (optimal string alignment); both at most LONGEST_WORD long. */
static int distance(const char *a, size_t na, const char *b, size_t nb, bool any_case)
{
	int row[3][LONGEST_WORD + 1];
	int *before = row[0], *above = row[1], *now = row[2];
	for (size_t j = 0; j <= nb; j++)
		above[j] = (int)j;
	for (size_t i = 1; i <= na; i++) {
		now[0] = (int)i;
		for (size_t j = 1; j <= nb; j++) {
			int change = above[j - 1] + !same_char(a[i - 1], b[j - 1], any_case);
			now[j] = least(change, 1 + least(above[j], now[j - 1]));
			bool crossed = i > 1 && j > 1 && same_char(a[i - 1], b[j - 2], any_case) &&
			               same_char(a[i - 2], b[j - 1], any_case);
			if (crossed)
				now[j] = least(now[j], before[j - 2] + 1);
		}
		int *oldest = before;
		before = above;
		above = now;
		now = oldest;
	}
	return above[nb];
}

const char *diag_nearest(const char *word, const char *const *names, size_t n)
{
	size_t len = strlen(word);
	const char *best = NULL;
	int best_any = 0, best_exact = 0;
	if (len == 0 || len > LONGEST_WORD)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t other = names[i] ? strlen(names[i]) : 0;
		if (other == 0 || other > LONGEST_WORD)
			continue;
		int any = distance(word, len, names[i], other, true);
		if (any > (int)len / 3)
			continue;
		int exact = distance(word, len, names[i], other, false);
		if (!best || any < best_any || (any == best_any && exact < best_exact)) {
			best = names[i];
			best_any = any;
			best_exact = exact;
		}
	}
	return best;
}

_Noreturn void ice_at(const char *file, int line, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fprintf(stderr, "cnnc: internal error: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, " (%s:%d)\n", file, line);
	fputs("This is a bug in cnnc, not in the model; please report it together with the model file\n", stderr);
	va_end(ap);
	abort();
}

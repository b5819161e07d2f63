/* format.c -- fe_format: a model file laid out evenly, its comments where they were
 *
 * Works on lines, as only the text has comments: two blanks for each level, sequences to the right of their key, one blank
 * behind `-`, `:` and `,`, none within brackets, no two empty lines. Scalars, line breaks and the order of keys stay. The
 * result is parsed and compared with the original; a layout that the rules below do not know is refused, never damaged.
 */
#include <stdlib.h>
#include <string.h>
#include "frontend/frontend.h"
#include "frontend/yaml.h"

typedef struct Level { /* a block collection that is open: its column, and the one that it gets */
	int old, fresh;
	bool sequence;
} Level;

typedef struct Format {
	FILE *f;
	Level level[2 * YAML_MAX_DEPTH];
	int n;
	int flow;           /* brackets open */
	char quote;         /* open, or 0 */
	bool in_block;      /* within a | or > scalar */
	bool token_start;   /* a value may begin here */
	int shift;          /* of the line that the current one goes on from */
	bool wrote, blank;  /* something is written; an empty line is due */
	const char *comment[256];
	size_t comment_n[256];
	int ncomments;
} Format;

static const Level outside = {-1, -2, false};

static const Level *top(const Format *w)
{
	return w->n ? &w->level[w->n - 1] : &outside;
}

/* ---- lines ---- */

static void begin_line(Format *w, int column)
{
	if (w->blank && w->wrote)
		fputc('\n', w->f);
	w->blank = false;
	w->wrote = true;
	fprintf(w->f, "%*s", column > 0 ? column : 0, "");
}

static int indent_of(const char *s, size_t n)
{
	size_t i = 0;
	while (i < n && s[i] == ' ')
		i++;
	return (int)i;
}

static bool is_dash(const char *s, size_t n)
{
	return n > 0 && s[0] == '-' && (n == 1 || s[1] == ' ');
}

static bool ends_token(const char *s, size_t n, size_t i)
{
	return i >= n || s[i] == ' ';
}

/* Does a line's text begin with a key? Anchors may stand before it; keys are words or quoted. */
static bool is_key(const char *s, size_t n)
{
	size_t i = 0;
	while (i < n && (s[i] == '&' || s[i] == '!')) {
		while (!ends_token(s, n, i))
			i++;
		while (i < n && s[i] == ' ')
			i++;
	}
	if (i < n && (s[i] == '"' || s[i] == '\'')) {
		const char *close = memchr(s + i + 1, s[i], n - i - 1);
		i = close ? (size_t)(close - s) + 1 : n;
		while (i < n && s[i] == ' ')
			i++;
		return i < n && s[i] == ':' && ends_token(s, n, i + 1);
	}
	if (i < n && (s[i] == '[' || s[i] == '{'))
		return false;
	for (; i < n && !(s[i] == '#' && i > 0 && s[i - 1] == ' '); i++) {
		if (s[i] == ':' && ends_token(s, n, i + 1))
			return true;
	}
	return false;
}

/* ---- within a line ---- */

/* Blanks outside of quotes at s: how many of the n stay. Up to a comment, or within a scalar, they all do. */
static int blanks_kept(const Format *w, char before, char after, int n)
{
	if (after == '#' || after == 0)
		return after ? n : 0;
	if (w->flow && strchr(",]}", after))
		return 0;
	if (w->flow && strchr("[{", before))
		return 0;
	return w->token_start ? 1 : n;
}

static void quoted(Format *w, const char *s, size_t n, size_t *i)
{
	const char c = s[*i];
	if (c == '\\' && w->quote == '"' && *i + 1 < n) {
		fputc(c, w->f);
		++*i;
	} else if (c == w->quote) {
		w->quote = 0;
	}
	fputc(s[*i], w->f);
	++*i;
}

/* A character that parts tokens or begins one; false: it belongs to a scalar. */
static bool indicator(Format *w, const char *s, size_t n, size_t i)
{
	const char c = s[i];
	const bool ends = i + 1 >= n || s[i + 1] == ' ' || (w->flow && strchr(",[]{}", s[i + 1]));
	if (w->token_start && (c == '"' || c == '\'')) {
		w->quote = c;
		w->token_start = false;
	} else if ((w->token_start || w->flow) && (c == '[' || c == '{')) {
		w->flow++;
		w->token_start = true;
	} else if (w->flow && (c == ']' || c == '}')) {
		w->flow--;
		w->token_start = false;
	} else if ((c == ':' && (ends || (w->flow && i > 0 && strchr("\"'", s[i - 1])))) || (w->flow && c == ',')) {
		w->token_start = true;
	} else if (w->token_start && !w->flow && (c == '|' || c == '>')) {
		w->in_block = true;
	} else {
		return false;
	}
	return true;
}

/* The rest of a line from a place where a value may begin, or in a flow or quotes that go on. */
static void print_rest(Format *w, const char *s, size_t n)
{
	char before = 0;
	for (size_t i = 0; i < n;) {
		if (w->quote) {
			quoted(w, s, n, &i);
			before = w->quote;
			continue;
		}
		const size_t blanks = (size_t)indent_of(s + i, n - i);
		if (blanks) {
			fprintf(w->f, "%*s", blanks_kept(w, before ? before : ' ', i + blanks < n ? s[i + blanks] : 0, (int)blanks), "");
			i += blanks;
			before = ' ';
			continue;
		}
		if (s[i] == '#' && (i == 0 || s[i - 1] == ' ')) {
			fwrite(s + i, 1, n - i, w->f);
			break;
		}
		if (w->token_start && (s[i] == '&' || s[i] == '*' || s[i] == '!')) {
			for (; i < n && s[i] != ' ' && !(w->flow && strchr(",]}", s[i])); i++)
				fputc(s[i], w->f);
			before = 'x';
			continue;
		}
		if (!indicator(w, s, n, i))
			w->token_start = false;
		fputc(s[i], w->f);
		before = s[i++];
		if (before == ',' && w->flow && i < n && s[i] != ' ')
			fputc(' ', w->f);
	}
	fputc('\n', w->f);
}

/* ---- levels ---- */

static bool open_level(Format *w, int old, bool sequence)
{
	if (w->n == (int)COUNT(w->level))
		return false;
	const int fresh = top(w)->fresh + 2;
	w->level[w->n++] = (Level){old, fresh, sequence};
	return true;
}

/* Closes what ends before a line at this column, opens what begins there. */
static bool enter(Format *w, int column, bool sequence)
{
	while (w->n && (top(w)->old > column || (top(w)->old == column && top(w)->sequence && !sequence)))
		w->n--;
	return (top(w)->old == column && top(w)->sequence == sequence) || open_level(w, column, sequence);
}

/* Comments stand as the line behind them, or as what they were even with before. */
static void print_comments(Format *w, int column, int fresh)
{
	for (int i = 0; i < w->ncomments; i++) {
		const size_t n = w->comment_n[i];
		const char *s = w->comment[i];
		const int at = indent_of(s, n);
		int to = fresh;
		if (n == 0) {
			w->blank = true;
			continue;
		}
		for (int k = 0; at != column && k < w->n; k++)
			to = w->level[k].old == at ? w->level[k].fresh : to;
		begin_line(w, to);
		fprintf(w->f, "%.*s\n", (int)(n - (size_t)at), s + at);
	}
	w->ncomments = 0;
}

/* Where the line's first collection will stand, before its levels are opened. */
static int column_to_be(const Format *w, int column, bool dash, bool key)
{
	Format ahead = *w;
	if (!dash && !key)
		return top(w)->fresh + 2;
	return enter(&ahead, column, dash) ? top(&ahead)->fresh : 0;
}

/* A line that begins with `- ` or a key, or goes on with a plain scalar. */
static bool print_structure(Format *w, const char *s, size_t n)
{
	int column = indent_of(s, n);
	const bool dash = is_dash(s + column, n - (size_t)column), key = is_key(s + column, n - (size_t)column);
	const int fresh = column_to_be(w, column, dash, key);
	print_comments(w, column, fresh);
	begin_line(w, fresh);
	w->shift = fresh - column;
	while (is_dash(s + column, n - (size_t)column)) {
		if (!enter(w, column, true))
			return false;
		fputc('-', w->f);
		column += 1 + indent_of(s + column + 1, n - (size_t)column - 1);
		if ((size_t)column < n)
			fputc(' ', w->f);
	}
	if (is_key(s + column, n - (size_t)column) && !enter(w, column, false))
		return false;
	w->token_start = dash || key || w->n == 0;
	print_rest(w, s + column, n - (size_t)column);
	return true;
}

/* One line without its end. False: more levels than YAML allows. */
static bool print_line(Format *w, const char *s, size_t n)
{
	const int column = indent_of(s, n);
	while (n && (s[n - 1] == ' ' || s[n - 1] == '\t' || s[n - 1] == '\r'))
		n--;
	const bool comment = (size_t)column >= n || s[column] == '#';
	if (w->in_block && ((size_t)column >= n || column > top(w)->old)) {
		const int to = column + top(w)->fresh - top(w)->old;
		fprintf(w->f, "%*s%.*s\n", (size_t)column < n ? to : 0, "", (size_t)column < n ? (int)(n - (size_t)column) : 0, s + column);
		return true;
	}
	w->in_block = false;
	if (w->quote || (w->flow && !comment)) {
		const int to = column + w->shift, least = top(w)->fresh + 2;
		fprintf(w->f, "%*s", (size_t)column >= n ? 0 : to > least ? to : least, "");
		print_rest(w, s + ((size_t)column < n ? column : 0), (size_t)column < n ? n - (size_t)column : 0);
		return true;
	}
	if (comment) {
		if (w->ncomments == (int)COUNT(w->comment))
			return false;
		w->comment[w->ncomments] = s;
		w->comment_n[w->ncomments++] = (size_t)column < n ? n : 0;
		return true;
	}
	if (n >= 3 && (memcmp(s, "---", 3) == 0 || memcmp(s, "...", 3) == 0 || s[0] == '%')) {
		print_comments(w, 0, 0);
		begin_line(w, 0);
		fprintf(w->f, "%.*s\n", (int)n, s);
		w->n = 0;
		return true;
	}
	return print_structure(w, s, n);
}

/* ---- the same file? ---- */
static bool same_tree(const YNode *a, const YNode *b)
{
	bool same = a->kind == b->kind && a->n == b->n && a->plain == b->plain &&
	            (a->kind != Y_SCALAR || strcmp(a->text, b->text) == 0);
	for (int i = 0; same && i < a->n; i++) {
		same = a->kind == Y_SEQ ? same_tree(a->item[i], b->item[i]) :
		       strcmp(a->pair[i].key, b->pair[i].key) == 0 && same_tree(a->pair[i].value, b->pair[i].value);
	}
	return same;
}

static bool is_same_file(Arena *a, const YNode *root, const char *text, size_t len)
{
	Diag *d = diag_new();
	const YNode *again = yaml_parse(a, d, (Loc){"", 1, 1, 0}, text, len);
	diag_free(d);
	return again && same_tree(root, again);
}

const char *fe_format(const char *name, const char *text, size_t len, Arena *a, Diag *d)
{
	diag_source(d, name, text, len);
	const YNode *root = yaml_parse(a, d, (Loc){name, 1, 1, 0}, text, len);
	if (!root)
		return NULL;
	char *out = NULL;
	size_t length = 0;
	Format w = {.f = open_memstream(&out, &length)};
	bool ok = w.f != NULL;
	for (const char *s = text, *end = text + len; ok && s < end;) {
		const char *nl = memchr(s, '\n', (size_t)(end - s));
		const size_t n = (size_t)((nl ? nl : end) - s);
		ok = print_line(&w, s, n);
		s += n + (nl != NULL);
	}
	if (ok)
		print_comments(&w, -1, 0);
	ok = w.f && fclose(w.f) == 0 && ok;
	const char *done = ok ? arena_strndup(a, out, length) : NULL;
	free(out);
	if (!done || !is_same_file(a, root, done, length)) {
		diag_error(d, (Loc){name, 0, 0, 0}, "this file is laid out in a way that fmt does not know; it stays as it is");
		return NULL;
	}
	return done;
}

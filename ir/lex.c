/* lex.c -- words of the text forms
 *
 * Comments run from # to the end of the line. Bytes that belong to no token are errors, NUL included.
 */
#include "ir/lex.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return is_letter(c) || is_digit(c) || c == '.' || c == '/' || c == '-';
}

static bool is_number(char c)
{
	return is_letter(c) || is_digit(c) || c == '.' || c == '+' || c == '-';
}

Loc lex_loc(const Lexer *x, const Token *t)
{
	size_t start = t->at;
	int col = 1;
	while (start > 0 && x->text[start - 1] != '\n')
		start--;
	for (size_t i = start; i < t->at; i++)
		col += ((unsigned char)x->text[i] & 0xC0) != 0x80;
	return (Loc){ x->file, t->line, col, (int)t->len };
}

bool lex_error(Lexer *x, const Token *at, const char *fmt, ...)
{
	if (x->failed)
		return false;
	va_list ap;
	va_start(ap, fmt);
	diag_error(x->diag, lex_loc(x, at), "%s", arena_vprintf(x->arena, fmt, ap));
	va_end(ap);
	x->failed = true;
	x->token = (Token){ .kind = TOKEN_END, .at = at->at, .text = "", .line = at->line };
	return false;
}

static int hex_digit(char c)
{
	return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One character behind a backslash, x->at on it; -1: reported. */
static int lex_escape(Lexer *x, const Token *t, size_t end)
{
	char c = x->text[x->at++];
	if (c == '"' || c == '\\')
		return (unsigned char)c;
	int hi = c == 'x' && end - x->at >= 2 ? hex_digit(x->text[x->at]) : -1;
	int lo = hi >= 0 ? hex_digit(x->text[x->at + 1]) : -1;
	if (lo < 0 || hi * 16 + lo == 0) {
		lex_error(x, t, "bad escape in a string; possible are \\\", \\\\ and \\x01 to \\xff");
		return -1;
	}
	x->at += 2;
	return hi * 16 + lo;
}

/* x->at is behind the opening quote. */
static void lex_string(Lexer *x, Token *t)
{
	size_t end = x->at;
	while (end < x->len && x->text[end] != '"' && x->text[end] != '\n' && x->text[end] != '\0')
		end += x->text[end] == '\\' && end + 1 < x->len && x->text[end + 1] != '\n' ? 2 : 1;
	if (end >= x->len || x->text[end] != '"') {
		lex_error(x, t, "string does not end on its line");
		return;
	}
	char *out = arena_alloc(x->arena, end - x->at + 1, 1), *to = out;
	t->len = end + 1 - t->at;
	while (x->at < end) {
		int c = (unsigned char)x->text[x->at++];
		if (c == '\\')
			c = lex_escape(x, t, end);
		if (c < 0)
			return;
		*to++ = (char)c;
	}
	x->at = end + 1;
	t->kind = TOKEN_STRING;
	t->text = out;
}

static void lex_run(Lexer *x, Token *t, TokenKind kind, bool (*belongs)(char))
{
	while (x->at < x->len && belongs(x->text[x->at]))
		x->at++;
	t->kind = kind;
	t->len = x->at - t->at;
	t->text = arena_strndup(x->arena, x->text + t->at, t->len);
}

static void skip_blanks(Lexer *x)
{
	while (x->at < x->len && (x->text[x->at] == ' ' || x->text[x->at] == '\t' || x->text[x->at] == '\r'))
		x->at++;
	if (x->at < x->len && x->text[x->at] == '#') {
		while (x->at < x->len && x->text[x->at] != '\n')
			x->at++;
	}
}

/* Over blanks, comments and empty lines. True: a line that held something ends here. */
static bool skip_to_token(Lexer *x)
{
	skip_blanks(x);
	while (x->at < x->len && x->text[x->at] == '\n' && !x->in_line) {
		x->at++;
		x->line++;
		skip_blanks(x);
	}
	return x->in_line && (x->at == x->len || x->text[x->at] == '\n');
}

void lex_next(Lexer *x)
{
	if (x->failed)
		return;
	bool line_ends = skip_to_token(x);
	Token *t = &x->token;
	*t = (Token){ .kind = line_ends ? TOKEN_LINE : TOKEN_END, .at = x->at, .text = "", .line = x->line };
	if (line_ends)
		x->in_line = false;
	if (line_ends || x->at == x->len)
		return;
	char c = x->text[x->at];
	x->in_line = true;
	if (is_letter(c)) {
		lex_run(x, t, TOKEN_WORD, is_word);
	} else if (is_digit(c) || c == '-') {
		lex_run(x, t, TOKEN_NUMBER, is_number);
	} else if (c == '"') {
		x->at++;
		lex_string(x, t);
	} else if (c > ' ' && c < 0x7F) {
		x->at++;
		t->kind = TOKEN_PUNCT;
		t->len = 1;
		t->text = arena_strndup(x->arena, x->text + t->at, 1);
	} else {
		lex_error(x, t, "byte 0x%02x outside a string", (unsigned char)c);
	}
}

Lexer lex_start(const char *file, const char *text, size_t len, Diag *d, Arena *a)
{
	Lexer x = { .file = file, .text = text, .len = len, .line = 1, .arena = a, .diag = d };
	lex_next(&x);
	return x;
}

const char *lex_found(Lexer *x)
{
	const Token *t = &x->token;
	if (t->kind == TOKEN_END)
		return "the end of the text";
	if (t->kind == TOKEN_LINE)
		return "the end of the line";
	return arena_printf(x->arena, "'%s'", t->text);
}

/* ---- what parsers ask ---- */
bool lex_accept(Lexer *x, char c)
{
	if (x->token.kind != TOKEN_PUNCT || x->token.text[0] != c)
		return false;
	lex_next(x);
	return true;
}

bool lex_expect(Lexer *x, char c)
{
	return lex_accept(x, c) || lex_error(x, &x->token, "'%c' is missing before %s", c, lex_found(x));
}

bool lex_end_line(Lexer *x)
{
	if (x->failed)
		return false;
	if (x->token.kind != TOKEN_LINE)
		return x->token.kind == TOKEN_END || lex_error(x, &x->token, "%s does not belong here", lex_found(x));
	lex_next(x);
	return !x->failed;
}

const char *lex_name(Lexer *x, const char *what)
{
	if (x->token.kind != TOKEN_WORD && x->token.kind != TOKEN_STRING) {
		lex_error(x, &x->token, "%s is missing before %s", what, lex_found(x));
		return NULL;
	}
	const char *name = x->token.text;
	lex_next(x);
	return x->failed ? NULL : name;
}

bool lex_accept_word(Lexer *x, const char *word)
{
	if (x->token.kind != TOKEN_WORD || strcmp(x->token.text, word) != 0)
		return false;
	lex_next(x);
	return true;
}

bool lex_int(Lexer *x, int64_t lo, int64_t hi, int64_t *out)
{
	char *end;
	if (x->token.kind != TOKEN_NUMBER)
		return lex_error(x, &x->token, "a number is missing before %s", lex_found(x));
	errno = 0;
	long long value = strtoll(x->token.text, &end, 10);
	if (*end)
		return lex_error(x, &x->token, "%s is no integer", lex_found(x));
	if (errno == ERANGE || value < lo || value > hi)
		return lex_error(x, &x->token, "%s is out of range, possible are %lld to %lld", lex_found(x),
		                 (long long)lo, (long long)hi);
	*out = value;
	lex_next(x);
	return !x->failed;
}

/* Decimal, inf, -inf or nan; what strtod takes beyond that (hexadecimal, nan(...)) is refused. */
static bool read_double(const char *text, double *out)
{
	char *end;
	const char *digits = text + (text[0] == '-');
	*out = strtod(text, &end);
	if (*end)
		return false;
	return strcmp(digits, "inf") == 0 || strcmp(text, "nan") == 0 ||
	       (is_digit(digits[0]) && strspn(digits, "0123456789.eE+-") == strlen(digits));
}

bool lex_double(Lexer *x, double *out)
{
	if ((x->token.kind != TOKEN_NUMBER && x->token.kind != TOKEN_WORD) || !read_double(x->token.text, out))
		return lex_error(x, &x->token, "a number is missing before %s", lex_found(x));
	lex_next(x);
	return !x->failed;
}

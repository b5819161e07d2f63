/* lex.h -- words of the text forms; private to the parsers of ir/
 *
 * A Lexer reads bytes [0, len) of a text that need not end in NUL and may hold anything. One token is ahead.
 * The first error is reported and ends the text: every later token is TOKEN_END, so callers unwind by themselves.
 */
#ifndef CNNC_IR_LEX_H
#define CNNC_IR_LEX_H

#include <stdint.h>
#include "ir/arena.h"
#include "ir/diag.h"

typedef enum TokenKind {
	TOKEN_END,
	TOKEN_LINE,   /* end of a line that holds something */
	TOKEN_WORD,   /* letter or _, then letters, digits, _ . / - */
	TOKEN_NUMBER, /* digit or -, then digits, letters, . + - : anything that may be a number */
	TOKEN_STRING, /* "…" with \" \\ \xHH */
	TOKEN_PUNCT   /* any other character */
} TokenKind;

typedef struct Token {
	TokenKind kind;
	size_t at, len;   /* in the text */
	const char *text; /* WORD, NUMBER, STRING: decoded, NUL-terminated; PUNCT: the character */
	int line;
} Token;

typedef struct Lexer {
	const char *file, *text;
	size_t len, at;
	int line;
	bool in_line; /* something stood on this line */
	bool failed;
	Token token;  /* the one ahead */
	Arena *arena; /* decoded text */
	Diag *diag;
} Lexer;

Lexer lex_start(const char *file, const char *text, size_t len, Diag *d, Arena *a);
void lex_next(Lexer *x);
Loc lex_loc(const Lexer *x, const Token *t);
/* Always false; only the first is reported. */
bool lex_error(Lexer *x, const Token *at, const char *fmt, ...) CNNC_PRINTF(3, 4);
const char *lex_found(Lexer *x);                       /* the token ahead, for messages */

/* Each takes the token ahead if it fits; else the first three report. */
bool lex_expect(Lexer *x, char c);
bool lex_end_line(Lexer *x);
const char *lex_name(Lexer *x, const char *what);      /* WORD or STRING; NULL: reported */
bool lex_accept(Lexer *x, char c);
bool lex_accept_word(Lexer *x, const char *word);
bool lex_int(Lexer *x, int64_t lo, int64_t hi, int64_t *out);
bool lex_double(Lexer *x, double *out);

#endif

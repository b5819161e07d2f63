/* diag.h -- the two kinds of error
 *
 * The user's: located in their file, collected in a Diag, printed together with source line, caret and
 * help. A function that meets one reports it and returns false; the caller unwinds.
 * Ours: an invariant does not hold. ICE prints which one and aborts; no input file may reach it.
 */
#ifndef CNNC_IR_DIAG_H
#define CNNC_IR_DIAG_H

#include <stdbool.h>
#include <stdio.h>
#include "ir/arena.h"

/* A place in the user's file; line and col count from 1, line 0 is "no place". col counts characters (as libyaml
 * does), len is in bytes: how much to underline. */
typedef struct Loc {
	const char *file;
	int line, col, len;
} Loc;

typedef struct Diag Diag;

Diag *diag_new(void);
void diag_free(Diag *d);
Arena *diag_arena(Diag *d); /* memory that lives as long as d: for texts given to diag_source */
/* Gives the text of a file so that diagnostics can show its lines. Borrowed; must outlive d. */
void diag_source(Diag *d, const char *file, const char *text, size_t len);

bool diag_error(Diag *d, Loc at, const char *fmt, ...) CNNC_PRINTF(3, 4);   /* always false */
void diag_warning(Diag *d, Loc at, const char *fmt, ...) CNNC_PRINTF(3, 4);
/* Attaches a line to the last error or warning: printed behind it with the given lead ("help", "shapes", "=" …). */
void diag_note(Diag *d, const char *lead, const char *fmt, ...) CNNC_PRINTF(3, 4);

int diag_errors(const Diag *d);
/* Prints everything reported since the last print, in file order for one file, and forgets it.
 * form:  file:line:col: error: text [code] / source line / caret / notes (see docs/hacking.md) */
void diag_print(Diag *d, FILE *f);

/* The nearest of n names to `word` (edit distance, at most a third of its length), NULL if none is near. */
const char *diag_nearest(const char *word, const char *const *names, size_t n);

_Noreturn void ice_at(const char *file, int line, const char *fmt, ...) CNNC_PRINTF(3, 4);
#define ICE(...) ice_at(__FILE__, __LINE__, __VA_ARGS__)
#define INVARIANT(cond) ((cond) ? (void)0 : ice_at(__FILE__, __LINE__, "%s", #cond))

#endif

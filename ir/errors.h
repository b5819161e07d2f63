/* errors.h -- the catalogue of the user's mistakes (errors.def): codes of diagnostics, and what `cnnc explain` says */
#ifndef CNNC_IR_ERRORS_H
#define CNNC_IR_ERRORS_H

#include <stdbool.h>
#include <stdio.h>

typedef struct ErrorKind {
	const char *code, *title, *why; /* "E0201", "there is no such field", a paragraph */
	const char *wrong, *right;      /* model files: refused with this code, and mended; NULL: no file shows it */
} ErrorKind;

/* Kind i of the catalogue, in the order of codes; NULL beyond the last. */
const ErrorKind *error_kind(int i);
/* The code of diagnostics that are printed by this format; NULL: it has none. */
const char *error_code(const char *format);

/* `cnnc explain CODE`: title, cause, the mistake and the mended file. False: there is no such code, nothing printed. */
bool error_explain(const char *code, FILE *f);
void error_list(FILE *f);      /* `cnnc explain`: codes and titles */
void error_reference(FILE *f); /* docs/errors.md, Markdown */

#endif

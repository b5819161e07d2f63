/* document.h -- the reference's Markdown as a manual page or an HTML page
 *
 * Reads what cnnc itself prints (`cnnc help reference`, `cnnc explain reference`): headings, paragraphs, lists of one level,
 * tables, fenced blocks; `code`, **strong**, [text](link), backslash escapes. Everything else is text.
 */
#ifndef CNNC_DOCUMENT_H
#define CNNC_DOCUMENT_H

#include <stdio.h>

/* name, section: of the page, "cnnc-model", 5; purpose: one line. */
void document_man(const char *markdown, const char *name, int section, const char *purpose, FILE *f);
/* One file that needs no other; headings of the first two levels become its table of contents. */
void document_html(const char *markdown, const char *title, FILE *f);

#endif

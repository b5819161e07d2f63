/* reference.h -- `cnnc help` and `cnnc explain`: what is printed from the tables of fields, options and errors */
#ifndef CNNC_REFERENCE_H
#define CNNC_REFERENCE_H

/* To stdout; exit status. topic NULL: the overview; a field or layer, or one of the documents: `reference` (docs/yaml.md), `man`,
 * `man-model`, `html`, and the completions of `bash`, `zsh`, `fish`. */
int reference_help(const char *topic);
/* A code; `reference`: docs/errors.md; NULL: the list. */
int reference_explain(const char *code);

#endif

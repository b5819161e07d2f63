/* names.h -- a map from names to pointers
 *
 * Lives in an arena and dies with it. Names are copied. Not thread-safe.
 */
#ifndef CNNC_IR_NAMES_H
#define CNNC_IR_NAMES_H

#include "ir/arena.h"

typedef struct Names Names;

Names *names_new(Arena *a);
void *names_get(const Names *t, const char *name);        /* NULL if absent */
void *names_add(Names *t, const char *name, void *value); /* the value that was there before and stays; else NULL */

#endif

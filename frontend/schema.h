/* schema.h -- the table of everything that a model file may say (schema.def), and how to look things up in it */
#ifndef CNNC_FRONTEND_SCHEMA_H
#define CNNC_FRONTEND_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include "ir/arena.h"

typedef enum SchemaKind {
	FIELD_ROW, TOP, MAP, LAYER, ACTIVATION_KIND, INITIALIZER, REGULARIZER, OPTIMIZER, SCHEDULE, LOSS, METRIC, CALLBACK,
	AUGMENTATION, APPLICATION, SCHEMA_KINDS
} SchemaKind;

typedef enum SchemaType {
	BOOL, INT, NUMBER, STRING, PATH, ENUM, DURATION, SIZE, MAP_FIELD, ONE, MAP_OR_LIST, MAP_OR_ENUM, NUMBERS, ANY
} SchemaType;

enum SchemaFlag {
	LIST = 1, SOME = 2, PAIR = 4, REQUIRED = 8, NULLABLE = 16, RUN = 32, LATER = 64, BARE = 128, SINGLE = 256, TRIPLE = 512,
	ENDS = 1024, NAMED = 2048
};

typedef struct SchemaRow {  /* a section, followed by its fields */
	SchemaKind kind;
	const char *name, *alias;
	SchemaType type;
	const char *of, *range, *deflt;
	unsigned flags;
	const char *doc;
} SchemaRow;

extern const SchemaRow schema_rows[];
extern const int schema_nrows;

typedef struct SchemaRange {
	double lo, hi;
	bool lo_open, hi_open, has_lo, has_hi;
} SchemaRange;

const SchemaRow *schema_top(void);
const SchemaRow *schema_map(const char *name);                          /* a MAP section that exists */
const SchemaRow *schema_any_layer(void);                                /* keys of every layer */
SchemaKind schema_kind(const char *name, size_t len);                   /* "layer" -> LAYER */
const char *schema_kind_name(SchemaKind kind);
const SchemaRow *schema_find(SchemaKind kind, const char *name);        /* by name or alias; NULL */
const SchemaRow *schema_nearest(SchemaKind kind, const char *name);     /* for suggestions; NULL */
int schema_nfields(const SchemaRow *section);                           /* with those of "any layer" for layers */
const SchemaRow *schema_field(const SchemaRow *section, int i);
int schema_field_index(const SchemaRow *section, const char *name);     /* by name or alias; -1 */
const char *schema_field_nearest(const SchemaRow *section, const char *name);
bool schema_alias_is(const char *aliases, const char *name);

SchemaRange schema_range(const char *text);
int schema_many(const SchemaRow *field);                                /* values that it always has: 1, 2, 3; 0: other */
/* "integer > 0, number of output channels (required)" */
const char *schema_describe(Arena *a, const SchemaRow *field);
/* Choice i of "a|b*": false beyond the last. *later: ends in '*'. */
bool schema_choice(Arena *a, const char *choices, int i, const char **out_name, bool *later);

#endif

/* value.h -- a model file as checked, typed values: what the rest of the frontend reads
 *
 * A checked section is an object with one value for each of its schema fields; values that the file leaves out are
 * the defaults (`given` is false). Values keep their place in the file.
 */
#ifndef CNNC_FRONTEND_VALUE_H
#define CNNC_FRONTEND_VALUE_H

#include <stdint.h>
#include "frontend/schema.h"
#include "frontend/yaml.h"
#include "ir/diag.h"

typedef enum ValKind { VAL_UNSET, VAL_BOOL, VAL_INT, VAL_NUMBER, VAL_STRING, VAL_LIST, VAL_OBJECT } ValKind;

typedef struct Val Val;
struct Val {
	ValKind kind;
	bool given;
	Loc loc, key;             /* of the value; of its key or name */
	const SchemaRow *field;   /* row that it was checked against */
	bool flag;
	int64_t i;                /* INT; SIZE in bytes */
	double x;                 /* NUMBER; DURATION in seconds; INT too */
	const char *s;            /* STRING; the key of an element of NUMBERS */
	const char *name;         /* of an element given by name (NAMED); NULL: by place */
	int n;                    /* elements of a list, fields of an object */
	Val *item;
	const SchemaRow *section; /* of an object */
};

/* An application in the model: layers first … first + n - 1 of the list. */
typedef struct ZooUse {
	const SchemaRow *application;
	const char *variant;      /* NULL: it has none */
	const char *prefix;       /* in front of the names of its layers */
	int first, n;
	Loc loc;
} ZooUse;

/* Names usable as $name. */
typedef struct Scope {
	Arena *arena;
	Diag *diag;
	int n;
	struct ScopeName {
		const char *name;
		const YNode *node;
	} *name;
	const Val *data;          /* the checked data section: what $num_classes follows from */
	int64_t num_classes;      /* $num_classes; 0: see why_not */
	const char *why_not;
	ZooUse *use;              /* found by blocks_expand, model.base first */
	int nuses;
	size_t used;              /* $names replaced so far: bounded */
	int depth;
} Scope;

void resolve_classes(Scope *s, const Val *data); /* resolve.c: num_classes or why_not */
bool scope_define(Scope *s, const YNode *define); /* reads `define:` */
/* The node that `$name` stands for; NULL: reported. */
const YNode *scope_lookup(Scope *s, Loc at, const char *name, size_t len);

typedef struct Number {
	bool is_int;
	int64_t i;
	double x;                 /* the value in either case */
} Number;
/* Constant expression: + - * / // % ( ) $name. False: reported with the column inside the scalar. */
bool number_read(Scope *s, const YNode *node, Number *out);
bool number_has_unit(const char *text, SchemaType type, double *out); /* 90s, 8GB; false: malformed */

/* ---- check.c ---- */
/* Checks a node against a section; false: reported (every error, not only the first). */
bool check_section(Scope *s, const SchemaRow *section, const YNode *node, Loc at, Val *out);
bool check_field(Scope *s, const SchemaRow *section, const SchemaRow *field, const YNode *node, Loc key, Val *out);

/* ---- reading checked values; the field must exist ---- */
const Val *val(const Val *object, const char *field);
bool val_is_set(const Val *object, const char *field);
int64_t val_int(const Val *object, const char *field);
double val_number(const Val *object, const char *field);
const char *val_string(const Val *object, const char *field); /* NULL if unset */
bool val_bool(const Val *object, const char *field);
const char *val_text(Arena *a, const Val *v);                 /* canonical text of a scalar */

/* ---- blocks.c ---- */
/* Writes out blocks and repetitions: model.layers of `root` becomes a plain list. False: reported. */
bool blocks_expand(Scope *s, YNode *root);

/* ---- override.c ---- */
/* Applies "train.epochs=5" … to the tree before it is checked. */
YNode *override_apply(Arena *a, Diag *d, YNode *root, const char *const *text, int n); /* NULL: reported */

#endif

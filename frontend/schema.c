/* schema.c -- look-ups in the schema table
 *
 * The table is constant data made from schema.def. Identifiers of Keras objects (optimizers, losses, …) match without
 * regard to case and underscores, as keras.optimizers.get does for Adam and adam; layers and fields match exactly.
 */
#include "frontend/schema.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "ir/diag.h"

#define SECTION(kind, name, alias, flags, doc) {kind, name, alias, ANY, "", "", NULL, flags, doc},
#define FIELD(name, alias, type, of, range, deflt, flags, doc) \
	{FIELD_ROW, name, alias, TYPE_##type, of, range, deflt, flags, doc},
#define TYPE_BOOL BOOL
#define TYPE_INT INT
#define TYPE_NUMBER NUMBER
#define TYPE_STRING STRING
#define TYPE_PATH PATH
#define TYPE_ENUM ENUM
#define TYPE_DURATION DURATION
#define TYPE_SIZE SIZE
#define TYPE_MAP MAP_FIELD
#define TYPE_ONE ONE
#define TYPE_MAP_OR_LIST MAP_OR_LIST
#define TYPE_MAP_OR_ENUM MAP_OR_ENUM
#define TYPE_NUMBERS NUMBERS
#define TYPE_ANY ANY
const SchemaRow schema_rows[] = {
#include "frontend/schema.def"
};
const int schema_nrows = COUNT(schema_rows);

static const char *const kind_names[SCHEMA_KINDS] = {
	"field", "model file", "section", "layer", "activation", "initializer", "regularizer", "optimizer", "schedule", "loss",
	"metric", "callback", "augmentation", "application",
};

SchemaKind schema_kind(const char *name, size_t len)
{
	for (int k = 0; k < SCHEMA_KINDS; k++) {
		if (strlen(kind_names[k]) == len && strncmp(kind_names[k], name, len) == 0)
			return (SchemaKind)k;
	}
	ICE("no schema kind '%.*s'", (int)len, name);
}

const char *schema_kind_name(SchemaKind kind)
{
	return kind_names[kind];
}

/* ---- names ---- */

bool schema_alias_is(const char *aliases, const char *name)
{
	size_t n = strlen(name);
	for (const char *s = aliases; n > 0 && *s;) {
		size_t len = strcspn(s, "|");
		if (len == n && strncmp(s, name, n) == 0)
			return true;
		s += len + (s[len] == '|');
	}
	return false;
}

/* Equal but for case and underscores. */
static bool loosely_equal(const char *a, const char *b, size_t nb)
{
	const char *end = b + nb;
	for (;;) {
		while (*a == '_')
			a++;
		while (b < end && *b == '_')
			b++;
		if (!*a || b == end)
			return !*a && b == end;
		if (tolower((unsigned char)*a++) != tolower((unsigned char)*b++))
			return false;
	}
}

static bool row_is(const SchemaRow *row, const char *name)
{
	if (strcmp(row->name, name) == 0 || schema_alias_is(row->alias, name))
		return true;
	if (row->kind == LAYER || row->kind == CALLBACK || row->kind == AUGMENTATION || row->kind == APPLICATION || row->kind == MAP || row->kind == TOP)
		return false;
	if (loosely_equal(name, row->name, strlen(row->name)))
		return true;
	for (const char *s = row->alias; *s;) {
		size_t len = strcspn(s, "|");
		if (loosely_equal(name, s, len))
			return true;
		s += len + (s[len] == '|');
	}
	return false;
}

const SchemaRow *schema_find(SchemaKind kind, const char *name)
{
	for (int i = 0; i < schema_nrows; i++) {
		if (schema_rows[i].kind == kind && row_is(&schema_rows[i], name))
			return &schema_rows[i];
	}
	return NULL;
}

const SchemaRow *schema_nearest(SchemaKind kind, const char *name)
{
	const char *names[COUNT(schema_rows)];
	size_t n = 0;
	for (int i = 0; i < schema_nrows; i++) {
		if (schema_rows[i].kind == kind)
			names[n++] = schema_rows[i].name;
	}
	const char *best = diag_nearest(name, names, n);
	return best ? schema_find(kind, best) : NULL;
}

const SchemaRow *schema_top(void)
{
	return &schema_rows[0];
}

const SchemaRow *schema_map(const char *name)
{
	const SchemaRow *s = schema_find(MAP, name);
	INVARIANT(s != NULL);
	return s;
}

const SchemaRow *schema_any_layer(void)
{
	return schema_map("any layer");
}

/* ---- fields ---- */

static int own_fields(const SchemaRow *section)
{
	const SchemaRow *row = section + 1, *end = schema_rows + schema_nrows;
	while (row < end && row->kind == FIELD_ROW)
		row++;
	return (int)(row - section) - 1;
}

int schema_nfields(const SchemaRow *section)
{
	return own_fields(section) + (section->kind == LAYER ? own_fields(schema_any_layer()) : 0);
}

const SchemaRow *schema_field(const SchemaRow *section, int i)
{
	int own = own_fields(section);
	return i < own ? section + 1 + i : schema_any_layer() + 1 + (i - own);
}

int schema_field_index(const SchemaRow *section, const char *name)
{
	int own = own_fields(section);
	for (int i = 0; i < own; i++) {
		if (strcmp(section[1 + i].name, name) == 0 || schema_alias_is(section[1 + i].alias, name))
			return i;
	}
	if (section->kind != LAYER)
		return -1;
	int common = schema_field_index(schema_any_layer(), name);
	return common < 0 ? -1 : own + common;
}

const char *schema_field_nearest(const SchemaRow *section, const char *name)
{
	const char *names[64];
	size_t n = 0;
	for (int i = 0; i < schema_nfields(section) && n < COUNT(names); i++)
		names[n++] = schema_field(section, i)->name;
	return diag_nearest(name, names, n);
}

/* ---- ranges and descriptions ---- */

SchemaRange schema_range(const char *text)
{
	SchemaRange r = {0};
	if (!*text)
		return r;
	char *end;
	r.lo_open = *text++ == '(';
	r.lo = strtod(text, &end);
	r.has_lo = end != text;
	INVARIANT(*end == ',');
	text = end + 1;
	r.hi = strtod(text, &end);
	r.has_hi = end != text;
	r.hi_open = *end == ')';
	return r;
}

bool schema_choice(Arena *a, const char *choices, int i, const char **out_name, bool *later)
{
	const char *s = choices;
	for (; i > 0; i--) {
		s += strcspn(s, "|");
		if (!*s)
			return false;
		s++;
	}
	if (!*s)
		return false;
	size_t len = strcspn(s, "|");
	*later = s[len - 1] == '*';
	*out_name = arena_strndup(a, s, len - *later);
	return true;
}

static const char *describe_choices(Arena *a, const char *choices)
{
	const char *text = "", *name;
	bool later;
	for (int i = 0; schema_choice(a, choices, i, &name, &later); i++)
		text = arena_printf(a, "%s%s%s%s", text, i ? ", " : "", name, later ? " (not supported yet)" : "");
	return text;
}

static const char *describe_range(Arena *a, const SchemaRow *f)
{
	SchemaRange r = schema_range(f->range);
	if (r.has_lo && r.has_hi && r.lo == r.hi)
		return arena_printf(a, " %g", r.lo);
	if (r.has_lo && r.has_hi)
		return arena_printf(a, " %s %g and %s %g", r.lo_open ? ">" : ">=", r.lo, r.hi_open ? "<" : "<=", r.hi);
	if (r.has_lo)
		return arena_printf(a, " %s %g", r.lo_open ? ">" : ">=", r.lo);
	return "";
}

static const char *describe_type(Arena *a, const SchemaRow *f)
{
	switch (f->type) {
	case BOOL: return "true or false";
	case INT: return arena_printf(a, "integer%s%s", describe_range(a, f), *f->of ? " or auto" : "");
	case NUMBER: return arena_printf(a, "number%s%s%s", describe_range(a, f), *f->of ? " or a " : "", f->of);
	case STRING: return "text";
	case PATH: return "path";
	case ENUM: return arena_printf(a, "one of %s", describe_choices(a, f->of));
	case DURATION: return "time (90s, 10m, 2h)";
	case SIZE: return "size (512MB, 8GB)";
	case MAP_FIELD: return arena_printf(a, "mapping (%s)", f->of);
	case ONE: return arena_printf(a, "%s", f->of);
	case MAP_OR_LIST: return "mapping, or list of Keras layers";
	case MAP_OR_ENUM: return arena_printf(a, "mapping, or one of %s", describe_choices(a, strchr(f->of, ':') + 1));
	case NUMBERS:
		return arena_printf(a, "%s%sa mapping to numbers%s, or a list of them", *f->of ? "one of " : "",
		                    *f->of ? arena_printf(a, "%s, or ", describe_choices(a, f->of)) : "", describe_range(a, f));
	case ANY: return "any value";
	}
	return "";
}

int schema_many(const SchemaRow *f)
{
	return f->flags & SINGLE ? 1 : f->flags & PAIR ? 2 : f->flags & TRIPLE ? 3 : 0;
}

static const char *describe_lists(const SchemaRow *f)
{
	static const char *const of[] = { "", ", or a list of one", ", or a list of two", ", or a list of three" };
	static const char *const ends[] = { "", "", ", or a list of two such or pairs", ", or a list of three such or pairs" };
	if (f->flags & ENDS)
		return ends[schema_many(f)];
	if (f->flags & NAMED)
		return ", or one for each name";
	return f->flags & SOME ? ", or a list" : of[schema_many(f)];
}

const char *schema_describe(Arena *a, const SchemaRow *f)
{
	const char *many = f->flags & LIST ? "list of " : "", *pair = describe_lists(f);
	const char *state = f->flags & LATER ? " (not supported yet)" : f->flags & REQUIRED ? " (required)" : "";
	bool listed = f->type == ENUM || f->type == NUMBERS || f->type == MAP_OR_ENUM;
	bool shown = f->deflt && !(f->flags & REQUIRED) && strcmp(f->deflt, "{}") != 0;
	const char *deflt = shown ? arena_printf(a, " (default %s)", f->deflt) : "";
	return arena_printf(a, "%s%s%s%s %s%s%s", many, describe_type(a, f), pair, listed ? ";" : ",", f->doc, state, deflt);
}

/* schema_print.c -- the schema table for readers: help, JSON Schema, the reference
 *
 * Everything comes from schema.def; nothing is said twice.
 */
#include <ctype.h>
#include <string.h>
#include "frontend/frontend.h"
#include "frontend/schema.h"

static const SchemaKind listed[] = {LAYER, APPLICATION, ACTIVATION_KIND, OPTIMIZER, LOSS, METRIC, CALLBACK, INITIALIZER,
                                    REGULARIZER, AUGMENTATION};

static bool is_section(const SchemaRow *row)
{
	return row->kind != FIELD_ROW;
}

/* ---- help ---- */

static void print_field(FILE *f, Arena *a, const SchemaRow *field, const char *indent)
{
	const char *when = field->flags & LATER ? "" : field->flags & RUN ? " [run-time]" : "";
	fprintf(f, "%s%-24s %s%s\n", indent, field->name, schema_describe(a, field), when);
}

static void print_section(FILE *f, Arena *a, const SchemaRow *s)
{
	fprintf(f, "%s (%s%s): %s\n", s->name, schema_kind_name(s->kind), s->flags & LATER ? ", not supported yet" : "",
	        s->doc);
	if (*s->alias)
		fprintf(f, "  also called: %s\n", s->alias);
	for (int i = 0; i < schema_nfields(s); i++)
		print_field(f, a, schema_field(s, i), "  ");
}

static void print_names(FILE *f, SchemaKind kind, bool later)
{
	size_t column = 0;
	for (int i = 0; i < schema_nrows; i++) {
		const SchemaRow *row = &schema_rows[i];
		if (row->kind != kind || ((row->flags & LATER) != 0) != later)
			continue;
		if (column == 0 || column + strlen(row->name) > 96) {
			fprintf(f, "%s    ", column ? "\n" : "");
			column = 4;
		}
		fprintf(f, "%s ", row->name);
		column += strlen(row->name) + 1;
	}
	if (column)
		fputc('\n', f);
}

static void print_overview(FILE *f, Arena *a)
{
	fputs("cnnc help NAME explains a section, a field, a layer, …; cnnc help reference prints all as Markdown\n\n"
	      "sections of a model file\n", f);
	for (int i = 0; i < schema_nfields(schema_top()); i++)
		print_field(f, a, schema_field(schema_top(), i), "    ");
	for (size_t k = 0; k < COUNT(listed); k++) {
		fprintf(f, "%s%s\n", schema_kind_name(listed[k]), listed[k] == LOSS ? "es" : "s");
		print_names(f, listed[k], false);
	}
}

static bool same_word(const char *a, const char *b)
{
	for (; *a && *b; a++, b++) {
		if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
			return false;
	}
	return !*a && !*b;
}

/* "data.image_size", "Conv2D.filters", "image_size", "train.optimizer.learning_rate": the last part counts, and the one
 * before it. */
static int print_fields_named(FILE *f, Arena *a, const char *topic)
{
	const char *dot = strrchr(topic, '.'), *name = dot ? dot + 1 : topic, *before = dot;
	int found = 0;
	while (before && before > topic && before[-1] != '.')
		before--;
	const char *owner = dot ? arena_strndup(a, before, (size_t)(dot - before)) : NULL;
	const SchemaRow *section = NULL;
	for (int i = 0; i < schema_nrows; i++) {
		const SchemaRow *row = &schema_rows[i];
		if (is_section(row)) {
			section = row;
			continue;
		}
		if (!same_word(row->name, name) && !schema_alias_is(row->alias, name))
			continue;
		if (owner && !same_word(owner, section->name) && !same_word(owner, schema_kind_name(section->kind)) &&
		    section->kind != TOP)
			continue;
		const char *when = row->flags & LATER ? "" : row->flags & RUN ? " [run-time: also on the trainer's command line]" :
			" [compile-time]";
		fprintf(f, "%s%s%s: %s%s\n", section->kind == TOP ? "" : section->name, section->kind == TOP ? "" : ".", row->name,
		        schema_describe(a, row), when);
		found++;
	}
	return found;
}

static void print_nearest(FILE *f, Arena *a, const char *topic)
{
	const char **names = NEWN(a, const char *, schema_nrows);
	size_t n = 0;
	for (int i = 0; i < schema_nrows; i++)
		names[n++] = schema_rows[i].name;
	const char *near = diag_nearest(topic, names, n);
	fprintf(f, "no section, layer or field is called '%s'%s%s%s\n", topic, near ? "; did you mean '" : "", near ? near :
	        "",
	        near ? "'?" : "");
}

bool fe_help(const char *topic, FILE *f)
{
	Arena *a = arena_new();
	int found = 0;
	bool all = topic && strcmp(topic, "reference") == 0;
	if (topic && strcmp(topic, "onnx") == 0) {
		fe_onnx_operators(f);
		arena_free(a);
		return true;
	}
	if (!topic || !*topic || all) {
		if (all)
			fe_reference(f);
		else
			print_overview(f, a);
		arena_free(a);
		return true;
	}
	for (int i = 0; i < schema_nrows; i++) {
		const SchemaRow *row = &schema_rows[i];
		if (is_section(row) && row->kind != TOP && (same_word(row->name, topic) || schema_alias_is(row->alias, topic))) {
			print_section(f, a, row);
			found++;
		}
	}
	if (!found || schema_field_index(schema_top(), topic) < 0)
		found += print_fields_named(f, a, topic);
	found += fe_help_op(topic, f);
	if (!found)
		print_nearest(f, a, topic);
	arena_free(a);
	return found > 0;
}

/* ---- JSON Schema, draft 2020-12 ---- */

static void json_text(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(f, "\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			fprintf(f, "\\u%04x", (unsigned)*s);
		else
			fputc(*s, f);
	}
	fputc('"', f);
}

static void json_section(FILE *f, const char *name, size_t len)
{
	fprintf(f, "{\"$ref\": \"#/$defs/section %.*s\"}", (int)len, name);
}

static void json_kind_ref(FILE *f, const char *kind)
{
	fprintf(f, "{\"$ref\": \"#/$defs/%s\"}", kind);
}

static void json_number(FILE *f, const SchemaRow *field, const char *type)
{
	SchemaRange r = schema_range(field->range);
	fprintf(f, "{\"type\": \"%s\"", type);
	if (r.has_lo)
		fprintf(f, ", \"%s\": %.17g", r.lo_open ? "exclusiveMinimum" : "minimum", r.lo);
	if (r.has_hi)
		fprintf(f, ", \"%s\": %.17g", r.hi_open ? "exclusiveMaximum" : "maximum", r.hi);
	fputs("}, {\"type\": \"string\"}", f); /* 1/255, $width, auto */
}

static void json_choices(FILE *f, Arena *a, const char *of)
{
	const char *name;
	bool later, first = true;
	fputs("{\"enum\": [", f);
	for (int i = 0; schema_choice(a, of, i, &name, &later); i++) {
		if (later)
			continue;
		fputs(first ? "" : ", ", f);
		if (name[strspn(name, "0123456789")] == '\0')
			fprintf(f, "%s, ", name); /* an editor reads 0 as a number */
		json_text(f, name);
		first = false;
	}
	fputs("]}, {\"type\": \"string\", \"pattern\": \"^\\\\$\"}", f);
}

/* One value of the field, as the alternatives of an anyOf. */
static void json_alternatives(FILE *f, Arena *a, const SchemaRow *field)
{
	const char *colon = strchr(field->of, ':');
	switch (field->type) {
	case BOOL: fputs("{\"type\": \"boolean\"}, {\"type\": \"string\", \"pattern\": \"^\\\\$\"}", f); break;
	case INT: json_number(f, field, "integer"); break;
	case NUMBER: json_number(f, field, "number"); break;
	case STRING:
	case PATH: fputs("{\"type\": [\"string\", \"number\", \"boolean\"]}", f); break;
	case DURATION:
	case SIZE: fputs("{\"type\": [\"string\", \"number\"]}", f); break;
	case ENUM: json_choices(f, a, field->of); break;
	case MAP_FIELD:
		json_section(f, field->of, strlen(field->of));
		fputs(", {\"type\": \"null\"}", f);
		break;
	case ONE: json_kind_ref(f, field->of); break;
	case MAP_OR_ENUM:
		json_section(f, field->of, (size_t)(colon - field->of));
		fputs(", ", f);
		json_choices(f, a, colon + 1);
		break;
	case MAP_OR_LIST:
		json_section(f, field->of, (size_t)(colon - field->of));
		fputs(", {\"type\": \"array\", \"items\": ", f);
		json_kind_ref(f, colon + 1);
		fputs("}", f);
		break;
	case NUMBERS:
		json_choices(f, a, field->of);
		fputs(", {\"type\": \"object\", \"additionalProperties\": {\"type\": [\"number\", \"string\"]}}, "
		      "{\"type\": \"array\", \"items\": {\"type\": [\"number\", \"string\"]}}", f);
		break;
	case ANY: fputs("{}", f); break;
	}
}

/* A mapping from names to such, or to lists of such; and a list of them where the field is not one itself. */
static void json_named(FILE *f, Arena *a, const SchemaRow *field)
{
	const bool list = (field->flags & LIST) != 0;
	for (int i = 0; i < 2 - list; i++) {
		fputs(i ? ", {\"type\": \"array\", \"items\": {\"anyOf\": [" :
		          ", {\"type\": \"object\", \"additionalProperties\": {\"anyOf\": [", f);
		json_alternatives(f, a, field);
		if (list) {
			fputs(", {\"type\": \"array\", \"items\": {\"anyOf\": [", f);
			json_alternatives(f, a, field);
			fputs("]}}", f);
		}
		fputs("]}}", f);
	}
}

static void json_property(FILE *f, Arena *a, const char *name, const SchemaRow *field)
{
	json_text(f, name);
	fputs(": {\"description\": ", f);
	json_text(f, schema_describe(a, field));
	fputs(", \"anyOf\": [", f);
	if (!(field->flags & LIST))
		json_alternatives(f, a, field);
	const int many = schema_many(field);
	if (field->flags & (LIST | SOME) || many) {
		fprintf(f, "%s{\"type\": \"array\", \"items\": {\"anyOf\": [", field->flags & LIST ? "" : ", ");
		json_alternatives(f, a, field);
		if (field->flags & ENDS) {
			fputs(", {\"type\": \"array\", \"items\": {\"anyOf\": [", f);
			json_alternatives(f, a, field);
			fputs("]}, \"minItems\": 2, \"maxItems\": 2}", f);
		}
		fputs("]}", f);
		if (many)
			fprintf(f, ", \"minItems\": %d, \"maxItems\": %d", many, many);
		fprintf(f, "%s}", field->flags & SOME ? ", \"minItems\": 1" : "");
	}
	if (field->flags & NAMED)
		json_named(f, a, field);
	fprintf(f, "%s]}", field->flags & NULLABLE ? ", {\"type\": \"null\"}" : "");
}

static void json_object(FILE *f, Arena *a, const SchemaRow *s)
{
	bool first = true;
	fputs("{\"type\": \"object\", \"description\": ", f);
	json_text(f, s->doc);
	fputs(", \"additionalProperties\": false, \"properties\": {", f);
	for (int i = 0; i < schema_nfields(s); i++) {
		const SchemaRow *field = schema_field(s, i);
		for (const char *alias = field->flags & LATER ? NULL : field->name; alias && *alias;) {
			size_t n = strcspn(alias, "|");
			fputs(first ? "\n    " : ",\n    ", f);
			json_property(f, a, arena_strndup(a, alias, n), field);
			first = false;
			alias = alias == field->name ? field->alias : alias + n + (alias[n] == '|');
		}
	}
	fputs("}, \"required\": [", f);
	first = true;
	for (int i = 0; i < schema_nfields(s); i++) {
		if (!(schema_field(s, i)->flags & REQUIRED) || *schema_field(s, i)->alias)
			continue;
		fputs(first ? "" : ", ", f);
		json_text(f, schema_field(s, i)->name);
		first = false;
	}
	fputs("]}", f);
}

static bool needs_arguments(const SchemaRow *s)
{
	for (int i = 0; i < schema_nfields(s); i++) {
		if (schema_field(s, i)->flags & REQUIRED)
			return true;
	}
	return false;
}

/* `name`, or `{name: {arguments}}` */
static void json_kind(FILE *f, Arena *a, SchemaKind kind)
{
	bool first = true;
	fprintf(f, ",\n  \"%s\": {\"anyOf\": [{\"type\": \"string\", \"examples\": [", schema_kind_name(kind));
	for (int i = 0; i < schema_nrows; i++) {
		const SchemaRow *row = &schema_rows[i];
		if (row->kind != kind || (row->flags & LATER) || needs_arguments(row))
			continue;
		fputs(first ? "" : ", ", f);
		json_text(f, row->name);
		first = false;
	}
	fputs("]}", f);
	for (int i = 0; i < schema_nrows; i++) {
		const SchemaRow *row = &schema_rows[i];
		if (row->kind != kind || (row->flags & LATER))
			continue;
		fprintf(f, ",\n   {\"type\": \"object\", \"minProperties\": 1, \"additionalProperties\": false, \"properties\": {\"%s\": {\"anyOf\": [",
		        row->name);
		json_object(f, a, row);
		fprintf(f, "%s%s]}}}", needs_arguments(row) ? "" : ", {\"type\": \"null\"}", row->flags & BARE ?
		        ", {\"type\": [\"number\", \"string\"]}" : "");
	}
	fputs("]}", f);
}

void fe_schema_json(FILE *f)
{
	Arena *a = arena_new();
	fputs("{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n \"title\": \"cnnc model file\",\n"
	      " \"$ref\": \"#/$defs/file\",\n \"$defs\": {\n  \"file\": ", f);
	json_object(f, a, schema_top());
	for (int i = 0; i < schema_nrows; i++) {
		if (schema_rows[i].kind != MAP)
			continue;
		fprintf(f, ",\n  \"section %s\": ", schema_rows[i].name);
		json_object(f, a, &schema_rows[i]);
	}
	for (size_t k = 0; k < COUNT(listed); k++)
		json_kind(f, a, listed[k]);
	json_kind(f, a, SCHEDULE);
	fputs("\n }}\n", f);
	arena_free(a);
}

/* ---- docs/yaml.md ---- */

static void cell(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (*s == '|' || *s == '*' || *s == '_' || *s == '<')
			fputc('\\', f);
		fputc(*s, f);
	}
}

static void reference_fields(FILE *f, Arena *a, const SchemaRow *s, int from, int to)
{
	if (from >= to)
		return;
	fputs("| field | meaning | when |\n|---|---|---|\n", f);
	for (int i = from; i < to; i++) {
		const SchemaRow *field = schema_field(s, i);
		fprintf(f, "| `%s`", field->name);
		if (*field->alias)
			fprintf(f, " (`%s`)", field->alias);
		fputs(" | ", f);
		cell(f, schema_describe(a, field));
		fprintf(f, " | %s |\n", field->flags & LATER ? "–" : field->flags & RUN ? "run" : "compile");
	}
	fputc('\n', f);
}

static void reference_section(FILE *f, Arena *a, const SchemaRow *s)
{
	int own = schema_nfields(s) - (s->kind == LAYER ? schema_nfields(schema_any_layer()) : 0);
	fprintf(f, "%s `%s`\n\n", s->kind == MAP || s->kind == TOP ? "##" : "###", s->name);
	cell(f, s->doc);
	if (*s->alias)
		fprintf(f, " (also `%s`)", s->alias);
	fputs(".\n\n", f);
	reference_fields(f, a, s, 0, own);
}

static void reference_kind(FILE *f, Arena *a, SchemaKind kind)
{
	const char *name = schema_kind_name(kind);
	fprintf(f, "## %c%s%s\n\n", toupper((unsigned char)name[0]), name + 1, kind == LOSS ? "es" : "s");
	for (int i = 0; i < schema_nrows; i++) {
		if (schema_rows[i].kind == kind && !(schema_rows[i].flags & LATER))
			reference_section(f, a, &schema_rows[i]);
	}
	bool first = true;
	for (int i = 0; i < schema_nrows; i++) {
		if (schema_rows[i].kind != kind || !(schema_rows[i].flags & LATER))
			continue;
		fprintf(f, "%s`%s`", first ? "Known but not supported yet: " : ", ", schema_rows[i].name);
		first = false;
	}
	fputs(first ? "" : ".\n\n", f);
}

void fe_reference(FILE *f)
{
	Arena *a = arena_new();
	fputs("<!-- Generated from frontend/schema.def: `cnnc help reference`. Do not edit. -->\n# The model file\n\n"
	      "Names and defaults are those of Keras 3. Numbers may be constant expressions (`1/255`, `4 * $width`), `$name` stands for\n"
	      "a value of `define:`, `$num_classes` for the number of classes. `when` says what can change a field: *compile* needs\n"
	      "cnnc (`-D path=value`), *run* can be given on the trainer's command line (`train.epochs=5`) too. A layer, optimizer,\n"
	      "loss, … is written as its name, or as `name: {arguments}`.\n\n", f);
	for (int i = 0; i < schema_nrows; i++) {
		if (schema_rows[i].kind == TOP || schema_rows[i].kind == MAP)
			reference_section(f, a, &schema_rows[i]);
	}
	for (size_t k = 0; k < COUNT(listed); k++)
		reference_kind(f, a, listed[k]);
	arena_free(a);
}

/* fields.c -- the resolved model file as a flat list of paths and values
 *
 * "train.epochs" = 20, "data.image_size.0" = 64, "train.optimizer.adam.learning_rate" = 0.001: read as a nested document it is
 * a model file again. An object without given or settable arguments is its name alone: "train.loss" = binary_crossentropy.
 */
#include <string.h>
#include "frontend/build.h"

typedef struct List {
	Arena *arena;
	IrField *field;
	size_t n, room;
	const char *data_type;
	const Model *m;
} List;

static void flatten(List *l, const char *path, const Val *v, unsigned flags);

static const char *open_choices(Arena *a, const SchemaRow *f)
{
	if (f->type != ENUM && f->type != MAP_OR_ENUM && f->type != NUMBERS)
		return *f->of && f->type == INT && strncmp(f->of, "auto", 5) == 0 ? "auto" : NULL;
	const char *text = "", *name, *of = f->type != MAP_OR_ENUM ? f->of : strchr(f->of, ':') + 1;
	bool later;
	for (int i = 0; schema_choice(a, of, i, &name, &later); i++) {
		if (!later)
			text = arena_printf(a, "%s%s%s", text, *text ? "|" : "", name);
	}
	return text;
}

static IrFieldType field_type(const SchemaRow *f)
{
	switch (f->type) {
	case BOOL: return FIELD_BOOL;
	case INT: return FIELD_INT;
	case NUMBER: return FIELD_FLOAT;
	case PATH: return FIELD_PATH;
	case DURATION: return FIELD_DURATION;
	case SIZE: return FIELD_SIZE;
	case ENUM:
	case MAP_OR_ENUM:
	case NUMBERS: return FIELD_ENUM;
	default: return FIELD_STRING;
	}
}

static void append(List *l, const char *path, const Val *v, const char *value, unsigned flags)
{
	const SchemaRow *f = v->field;
	if (l->n == l->room) {
		size_t more = l->room ? l->room * 2 : 128;
		l->field = arena_grow(l->arena, l->field, l->room, more, sizeof *l->field);
		l->room = more;
	}
	bool one = v->kind == VAL_OBJECT;
	l->field[l->n++] = (IrField){
		.path = path, .value = value, .type = one ? FIELD_STRING : field_type(f), .runtime = (flags & RUN) != 0,
		.choices = one ? NULL : open_choices(l->arena, f), .doc = f->doc,
	};
}

static void append_number(List *l, const char *path, const Val *v, unsigned flags)
{
	append(l, path, v, val_text(l->arena, v), flags);
	IrField *f = &l->field[l->n - 1];
	f->type = FIELD_FLOAT;
	f->choices = NULL;
}

static bool is_bare(const Val *object)
{
	if (object->section->kind == MAP)
		return false;
	for (int i = 0; i < object->n; i++) {
		const SchemaRow *f = schema_field(object->section, i);
		if (object->item[i].given || ((f->flags & RUN) && !(f->flags & LATER)))
			return false;
	}
	return true;
}

/* What belongs to another data.type says nothing here. */
static bool is_left_out(const List *l, const SchemaRow *section, const SchemaRow *f)
{
	const char *owner = strcmp(section->name, "split") == 0 ? resolve_split_owner(f->name) : NULL;
	return (f->flags & LATER) || (owner && l->data_type && strcmp(owner, l->data_type) != 0);
}

static void flatten_object(List *l, const char *path, const Val *v)
{
	if (is_bare(v)) {
		append(l, path, v, v->section->name, 0);
		return;
	}
	if (v->section->kind != MAP)
		path = arena_printf(l->arena, "%s.%s", path, v->section->name);
	for (int i = 0; i < v->n; i++) {
		const SchemaRow *f = schema_field(v->section, i);
		if (!is_left_out(l, v->section, f))
			flatten(l, arena_printf(l->arena, "%s.%s", path, f->name), &v->item[i], f->flags);
	}
}

/* A field of one for each name that the file leaves out: one entry for each input, or for each target. */
static bool append_named(List *l, const char *path, const SchemaRow *f)
{
	const Model *m = l->m;
	const Val unset = {.field = f};
	const bool inputs = strcmp(f->name, "x") == 0;
	if (!(f->flags & NAMED) || (inputs ? m->nfurther : m->noutputs - 1) < 1)
		return false;
	if (inputs)
		append(l, arena_printf(l->arena, "%s.%s", path, m->input_name), &unset, "", f->flags);
	for (int i = 0; i < (inputs ? m->nfurther : m->noutputs); i++)
		append(l, arena_printf(l->arena, "%s.%s", path, inputs ? m->further[i].name : m->layer[m->outputs[i]].name), &unset, "",
		       f->flags);
	return true;
}

/* A section that the file leaves out, of fields that the trainer's command line may set: listed, with no values. */
static void flatten_unset(List *l, const char *path, const SchemaRow *section)
{
	for (int i = 0; i < schema_nfields(section); i++) {
		const SchemaRow *f = schema_field(section, i);
		const char *at = arena_printf(l->arena, "%s.%s", path, f->name);
		if ((f->flags & RUN) && !is_left_out(l, section, f) && !append_named(l, at, f))
			append(l, at, &(Val){.field = f}, "", f->flags);
	}
}

static void flatten(List *l, const char *path, const Val *v, unsigned flags)
{
	const SchemaRow *f = v->field;
	if (v->kind == VAL_LIST && f && f->type == NUMBERS) {
		for (int i = 0; i < v->n; i++)
			append_number(l, arena_printf(l->arena, "%s.%s", path, v->item[i].s), &v->item[i], RUN);
	} else if (v->kind == VAL_OBJECT) {
		flatten_object(l, path, v);
	} else if (v->kind == VAL_LIST) {
		for (int i = 0; i < v->n; i++) {
			const Val *one = &v->item[i];
			flatten(l, one->name ? arena_printf(l->arena, "%s.%s", path, one->name) : arena_printf(l->arena, "%s.%d", path, i), one,
			        flags);
		}
	} else if (f && f->type == MAP_FIELD && strcmp(f->of, "split") == 0) {
		flatten_unset(l, path, schema_map(f->of));
	} else if (f && f->type != MAP_FIELD && f->type != ANY && (v->kind != VAL_UNSET || (flags & RUN))) {
		append(l, path, v, val_text(l->arena, v), flags);
	}
}

IrField *resolve_fields(Model *m, int *out_count)
{
	List l = {.arena = m->arena, .m = m, .data_type = m->data ? val_string(m->data, "type") : NULL};
	for (int i = 0; i < m->top->n; i++) {
		const SchemaRow *f = schema_field(m->top->section, i);
		if (!(f->flags & LATER))
			flatten(&l, f->name, &m->top->item[i], f->flags);
	}
	*out_count = (int)l.n;
	return l.field;
}

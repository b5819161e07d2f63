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
} List;

static void flatten(List *l, const char *path, const Val *v, unsigned flags);

static const char *open_choices(Arena *a, const SchemaRow *f)
{
	if (f->type != ENUM && f->type != MAP_OR_ENUM)
		return *f->of && f->type == INT && strncmp(f->of, "auto", 5) == 0 ? "auto" : NULL;
	const char *text = "", *name, *of = f->type == ENUM ? f->of : strchr(f->of, ':') + 1;
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
	case MAP_OR_ENUM: return FIELD_ENUM;
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
		if (!(f->flags & LATER))
			flatten(l, arena_printf(l->arena, "%s.%s", path, f->name), &v->item[i], f->flags);
	}
}

static void flatten(List *l, const char *path, const Val *v, unsigned flags)
{
	if (v->kind == VAL_OBJECT) {
		flatten_object(l, path, v);
	} else if (v->kind == VAL_LIST) {
		for (int i = 0; i < v->n; i++)
			flatten(l, arena_printf(l->arena, "%s.%d", path, i), &v->item[i], flags);
	} else if (v->field && v->field->type == MAP_FIELD && v->field->of && strcmp(v->field->of, "split") == 0) {
		const SchemaRow *split = schema_map("split"); /* may be set on the trainer's command line: listed though unset */
		for (int i = 0; i < schema_nfields(split); i++) {
			const SchemaRow *f = schema_field(split, i);
			if (!(f->flags & LATER))
				append(l, arena_printf(l->arena, "%s.%s", path, f->name), &(Val){.field = f}, "", f->flags);
		}
	} else if (v->field && v->field->type != MAP_FIELD && v->field->type != ANY && (v->kind != VAL_UNSET || (flags & RUN))) {
		append(l, path, v, val_text(l->arena, v), flags);
	}
}

IrField *resolve_fields(Model *m, int *out_count)
{
	List l = {.arena = m->arena};
	for (int i = 0; i < m->top->n; i++) {
		const SchemaRow *f = schema_field(m->top->section, i);
		if (!(f->flags & LATER))
			flatten(&l, f->name, &m->top->item[i], f->flags);
	}
	*out_count = (int)l.n;
	return l.field;
}

/* zoo.c -- reads a use of an application: its arguments against the schema, its file into lists of layers
 *
 * Knows nothing of any particular network. The files are ours: what is wrong in them is an ICE.
 */
#include "frontend/zoo.h"

#include <string.h>
#include "frontend/build.h"

/* What comes in has the place of the use: that is what messages can point at. */
static void relocate(YNode *n, Loc at)
{
	n->loc = at;
	for (int i = 0; n->kind == Y_SEQ && i < n->n; i++)
		relocate(n->item[i], at);
	for (int i = 0; n->kind == Y_MAP && i < n->n; i++) {
		n->pair[i].loc = at;
		relocate(n->pair[i].value, at);
	}
}

static const YNode *file_of(Scope *s, const SchemaRow *row, Loc at)
{
	for (int i = 0; i < zoo_nfiles; i++) {
		if (strcmp(zoo_file[i].name, row->name) != 0)
			continue;
		YNode *root = yaml_parse(s->arena, s->diag, (Loc){row->name, 1, 1, 0}, zoo_file[i].text, strlen(zoo_file[i].text));
		if (!root || root->kind != Y_MAP)
			ICE("zoo/%s.yaml is no mapping", row->name);
		relocate(root, at);
		return root;
	}
	ICE("application %s is in the schema but has no file", row->name);
}

static void set_all(Arena *a, YNode *to, const YNode *from)
{
	for (int i = 0; from && from->kind == Y_MAP && i < from->n; i++)
		yaml_set(a, to, from->pair[i].key, from->pair[i].loc, from->pair[i].value);
}

/* The arguments as the schema has them: defaults, then what the variant says, then what is given. */
static YNode *values(Scope *s, const Val *v, const YNode *variant, const YNode *args, Loc at)
{
	Arena *a = s->arena;
	YNode *map = NEW(a, YNode);
	*map = (YNode){.kind = Y_MAP, .loc = at, .size = 1};
	for (int i = 0; i < v->n; i++) {
		const char *text = v->item[i].kind == VAL_UNSET ? "" : val_text(a, &v->item[i]);
		yaml_set(a, map, schema_field(v->section, i)->name, at, yaml_scalar(a, at, text));
	}
	set_all(a, map, variant);
	set_all(a, map, args);
	return map;
}

static void add_input(Arena *a, YNode *map, const YNode *shape, Loc at)
{
	static const char *const axis[] = {"height", "width", "channels"};
	const bool known = shape && shape->kind == Y_SEQ && shape->n == 3;
	for (int i = 0; i < 3; i++)
		yaml_set(a, map, axis[i], at, known ? shape->item[i] : yaml_scalar(a, at, ""));
}

bool application_read(Scope *s, const SchemaRow *row, const YNode *args, const YNode *shape, Loc at, Application *out)
{
	Val v = {0};
	if (!check_section(s, row, args, at, &v))
		return false;
	const bool top = val_bool(&v, "include_top");
	const char *pooling = val_string(&v, "pooling");
	if (top && pooling)
		return diag_error(s->diag, val(&v, "pooling")->key, "pooling is for include_top: false");
	const YNode *file = file_of(s, row, at);
	const char *end = top ? "top" : pooling;
	const char *variant = schema_field_index(row, "variant") >= 0 ? val_string(&v, "variant") : NULL;
	YNode *names = values(s, &v, variant ? yaml_find(yaml_find(file, "variants"), variant) : NULL, args, at);
	add_input(s->arena, names, shape, at);
	*out = (Application){names, yaml_find(file, "params"), yaml_find(file, "blocks"), yaml_find(file, "layers"),
	                     end ? yaml_find(file, end) : NULL, variant};
	return true;
}

YNode *application_shape(Scope *s, const SchemaRow *row, Loc at)
{
	return yaml_find(file_of(s, row, at), "input_shape");
}

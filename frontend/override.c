/* override.c -- `-D key=value`: changes the tree of the file before it is checked
 *
 * key is a dotted path (train.epochs, model.layers.0.filters), or the last part of one where only one field ends so. The
 * value is YAML. Nodes on the way are copied: what an alias shares stays as it is elsewhere.
 */
#include <ctype.h>
#include <string.h>
#include "frontend/value.h"

typedef struct Override {
	Arena *arena;
	Diag *diag;
	Loc at;            /* of the key */
	const char *key;
	YNode *value;
} Override;

enum { CANDIDATES = 512 };

typedef struct Found { /* fields that the file can set */
	const char *path[CANDIDATES], *name[CANDIDATES];
	int rank[CANDIDATES]; /* 2: the file gives it; 1: it has a default; 0: neither (data.seed follows train.seed) */
	int n;
} Found;

static const SchemaRow *field_of(const SchemaRow *section, const char *name, size_t len)
{
	char text[128];
	if (len >= sizeof text)
		return NULL;
	memcpy(text, name, len);
	text[len] = '\0';
	int i = schema_field_index(section, text);
	return i < 0 ? NULL : schema_field(section, i);
}

static bool one_of(const SchemaRow *f)
{
	return f->type == ONE;
}

static const SchemaRow *one_section(const SchemaRow *f, const YNode *node)
{
	bool args = node->kind == Y_MAP && node->n == 1;
	const char *name = node->kind == Y_SCALAR ? node->text : args ? node->pair[0].key : NULL;
	return name ? schema_find(schema_kind(f->of, strlen(f->of)), name) : NULL;
}

/* ---- the last part alone ---- */

static void add(Found *f, const char *path, const char *name, int rank)
{
	if (f->n == CANDIDATES)
		return;
	f->path[f->n] = path;
	f->name[f->n] = name;
	f->rank[f->n++] = rank;
}

static void search(Arena *a, const SchemaRow *section, const YNode *node, const char *prefix, Found *out)
{
	for (int i = 0; i < schema_nfields(section); i++) {
		const SchemaRow *f = schema_field(section, i);
		const char *path = *prefix ? arena_printf(a, "%s.%s", prefix, f->name) : f->name;
		const YNode *child = node ? yaml_find(node, f->name) : NULL;
		if (f->flags & LATER)
			continue;
		add(out, path, f->name, child ? 2 : f->deflt != NULL);
		if (f->flags & LIST)
			continue;
		if (f->type == MAP_FIELD)
			search(a, schema_map(f->of), child, path, out);
		else if (f->type == MAP_OR_ENUM || f->type == MAP_OR_LIST)
			search(a, schema_map(arena_strndup(a, f->of, strcspn(f->of, ":"))), child, path, out);
		else if (one_of(f) && child && one_section(f, child))
			search(a, one_section(f, child), child->kind == Y_MAP ? child->pair[0].value : NULL, path, out);
	}
	const YNode *define = section->kind == TOP && node ? yaml_find(node, "define") : NULL;
	for (int i = 0; define && define->kind == Y_MAP && i < define->n; i++)
		add(out, arena_printf(a, "define.%s", define->pair[i].key), define->pair[i].key, 2);
}

/* The one field that ends in the key; among several the one that the file gives, or that has a default. */
static const char *full_path(const Override *o, const YNode *root)
{
	Found *found = NEW(o->arena, Found);
	const char *best = NULL, *all = "";
	int rank = -1, same = 0;
	if (strchr(o->key, '.') || schema_field_index(schema_top(), o->key) >= 0)
		return o->key;
	search(o->arena, schema_top(), root, "", found);
	for (int i = 0; i < found->n; i++) {
		if (strcmp(found->name[i], o->key) != 0)
			continue;
		all = arena_printf(o->arena, "%s%s%s", all, *all ? ", " : "", found->path[i]);
		same = found->rank[i] == rank ? same + 1 : found->rank[i] > rank ? 1 : same;
		best = found->rank[i] > rank ? found->path[i] : best;
		rank = found->rank[i] > rank ? found->rank[i] : rank;
	}
	if (same == 1)
		return best;
	const char *near = diag_nearest(o->key, found->name, (size_t)found->n);
	for (int i = 0; near && i < found->n; i++) {
		if (found->name[i] == near)
			near = found->path[i];
	}
	if (same > 1)
		diag_error(o->diag, o->at, "'%s' may be any of %s", o->key, all);
	else
		diag_error(o->diag, o->at, "there is no field '%s'%s%s%s", o->key, near ? "; did you mean '" : "", near ? near : "",
		           near ? "'?" : "");
	return NULL;
}

/* ---- setting ---- */

static YNode *set(const Override *o, const SchemaRow *section, const YNode *map, const char *path);

static bool last_part(const char *path)
{
	return !strchr(path, '.');
}

static const char *next_part(const char *path)
{
	return strchr(path, '.') + 1;
}

static YNode *new_map(const Override *o)
{
	YNode *n = NEW(o->arena, YNode);
	*n = (YNode){.kind = Y_MAP, .loc = o->at, .size = 1};
	return n;
}

static YNode *no_such(const Override *o, const char *what, const char *part)
{
	diag_error(o->diag, o->at, "there is no field '%s': %s has no '%.*s'", o->key, what, (int)strcspn(part, "."), part);
	return NULL;
}

/* adam -> {adam: {…}}; the name itself may stand in the path. */
static YNode *set_one(const Override *o, const SchemaRow *f, const YNode *node, const char *path)
{
	const SchemaRow *section = node ? one_section(f, node) : NULL;
	size_t len = strcspn(path, ".");
	char *first = arena_strndup(o->arena, path, len);
	const SchemaRow *named = schema_find(schema_kind(f->of, strlen(f->of)), first);
	if (named && (!section || named == section) && path[len] && schema_field_index(named, first) < 0) {
		section = named;
		path += len + 1;
	}
	if (!section)
		return no_such(o, f->name, path);
	const YNode *args = node && node->kind == Y_MAP && one_section(f, node) == section ? node->pair[0].value : NULL;
	YNode *inner = set(o, section, args, path), *outer = new_map(o);
	if (!inner)
		return NULL;
	yaml_set(o->arena, outer, section->name, node ? node->loc : o->at, inner);
	if (node && node->kind == Y_MAP && node->n == 1)
		outer->pair[0].loc = node->pair[0].loc;
	return outer;
}

static YNode *set_element(const Override *o, const SchemaRow *f, const YNode *node, const char *path);

/* Value of one element of field f, below which `path` is set. */
static YNode *set_below(const Override *o, const SchemaRow *f, const YNode *node, const char *path)
{
	if (f->type == MAP_FIELD)
		return set(o, schema_map(f->of), node, path);
	if (f->type == MAP_OR_ENUM || f->type == MAP_OR_LIST)
		return set(o, schema_map(arena_strndup(o->arena, f->of, strcspn(f->of, ":"))), node, path);
	if (one_of(f))
		return set_one(o, f, node, path);
	if (f->type == ANY || f->type == NUMBERS) {
		YNode *map = node && node->kind == Y_MAP ? yaml_copy(o->arena, node) : new_map(o);
		if (!last_part(path))
			return no_such(o, f->name, next_part(path));
		yaml_set(o->arena, map, arena_strdup(o->arena, path), o->at, o->value);
		return map;
	}
	return no_such(o, f->name, path);
}

static YNode *set_element(const Override *o, const SchemaRow *f, const YNode *node, const char *path)
{
	size_t digits = strspn(path, "0123456789");
	int index = 0;
	for (size_t i = 0; i < digits && index < 1000000; i++)
		index = index * 10 + (path[i] - '0');
	if (digits == 0 || (path[digits] && path[digits] != '.') || !node || node->kind != Y_SEQ || index >= node->n)
		return no_such(o, f->name, path);
	YNode *list = yaml_copy(o->arena, node);
	YNode *item = path[digits] ? set_below(o, f, node->item[index], path + digits + 1) : o->value;
	if (!item)
		return NULL;
	list->item[index] = item;
	return list;
}

static YNode *set(const Override *o, const SchemaRow *section, const YNode *map, const char *path)
{
	size_t len = strcspn(path, ".");
	const SchemaRow *f = field_of(section, path, len);
	const char *what = section->kind == TOP ? "a model file" : section->name;
	if (map && map->kind == Y_SCALAR && !*map->text)
		map = NULL;
	if (map && map->kind != Y_MAP)
		return no_such(o, what, path);
	if (!f) {
		char *part = arena_strndup(o->arena, path, len);
		const char *near = schema_field_nearest(section, part);
		diag_error(o->diag, o->at, "%s has no field '%s'%s%s%s", what, part, near ? "; did you mean '" : "", near ? near : "",
		           near ? "'?" : "");
		return NULL;
	}
	YNode *copy = map ? yaml_copy(o->arena, map) : new_map(o), *value = o->value;
	const char *key = f->name;
	for (int i = 0; i < copy->n; i++) { /* the file may use an alias */
		if (field_of(section, copy->pair[i].key, strlen(copy->pair[i].key)) == f)
			key = copy->pair[i].key;
	}
	const YNode *old = yaml_find(copy, key);
	bool list = (f->flags & (LIST | SOME)) || schema_many(f) || (f->type == MAP_OR_LIST && old && old->kind == Y_SEQ);
	if (path[len])
		value = list ? set_element(o, f, old, path + len + 1) : set_below(o, f, old, path + len + 1);
	if (!value)
		return NULL;
	Loc loc = o->at;
	for (int i = 0; i < copy->n; i++) {
		if (path[len] && strcmp(copy->pair[i].key, key) == 0)
			loc = copy->pair[i].loc;
	}
	yaml_set(o->arena, copy, key, loc, value);
	return copy;
}

static YNode *apply(Arena *a, Diag *d, YNode *root, const char *given)
{
	const char *text = arena_strdup(diag_arena(d), given), *equals = strchr(text, '=');
	const char *file = arena_printf(a, "-D %s", text);
	diag_source(d, file, text, strlen(text));
	int length = (int)(equals ? (size_t)(equals - text) : strlen(text));
	Override o = {.arena = a, .diag = d, .at = {file, 1, 1, length}, .key = arena_strndup(a, text, (size_t)length)};
	if (!equals || length == 0) {
		diag_error(d, o.at, "-D wants KEY=VALUE");
		return NULL;
	}
	if (equals[1])
		o.value = yaml_parse(a, d, (Loc){file, 1, length + 2, 0}, equals + 1, strlen(equals + 1));
	else
		o.value = yaml_scalar(a, (Loc){file, 1, length + 2, 1}, "");
	const char *path = o.value ? full_path(&o, root) : NULL;
	return path ? set(&o, schema_top(), root, path) : NULL;
}

YNode *override_apply(Arena *a, Diag *d, YNode *root, const char *const *text, int n)
{
	bool ok = true;
	for (int i = 0; i < n; i++) {
		YNode *changed = apply(a, d, root, text[i]);
		if (changed)
			root = changed;
		else
			ok = false;
	}
	return ok ? root : NULL;
}

/* check.c -- a YAML tree against the schema
 *
 * Gives checked, typed values with defaults filled in, and lists every error: unknown and missing keys, wrong types,
 * values out of range, unknown choices, and what is known but not built yet. Knows nothing of any particular field.
 */
#include <math.h>
#include <string.h>
#include "frontend/value.h"

enum { MAX_NAMES_CHAIN = 16 };

static bool check_node(Scope *s, const SchemaRow *section, const SchemaRow *f, const YNode *node, Val *out);

/* ---- messages ---- */

static const char *field_path(Scope *s, const SchemaRow *section, const SchemaRow *f)
{
	if (!section || section->kind == TOP || strcmp(section->name, "split") == 0)
		return f->name;
	return arena_printf(s->arena, "%s.%s", section->name, f->name);
}

static bool describe(Scope *s, const SchemaRow *section, const SchemaRow *f)
{
	diag_note(s->diag, "=", "%s: %s", field_path(s, section, f), schema_describe(s->arena, f));
	return false;
}

static bool not_yet(Scope *s, Loc at, const char *what)
{
	return diag_error(s->diag, at, "%s is not supported yet", what);
}

static const char *shown(Scope *s, const YNode *n)
{
	if (n->kind == Y_SEQ)
		return arena_printf(s->arena, "a list of %d", n->n);
	if (n->kind == Y_MAP)
		return "a mapping";
	return *n->text ? arena_printf(s->arena, "'%.60s'", n->text) : "nothing";
}

static bool misfit(Scope *s, const SchemaRow *section, const SchemaRow *f, const YNode *node, const char *wanted)
{
	diag_error(s->diag, node->loc, "%s must be %s, not %s", field_path(s, section, f), wanted, shown(s, node));
	return describe(s, section, f);
}

static const char *did_you_mean(Scope *s, const char *near)
{
	return near ? arena_printf(s->arena, "; did you mean '%s'?", near) : "";
}

/* ---- scalars ---- */

static bool is_null(const YNode *n)
{
	return n->kind == Y_SCALAR && n->plain && (!*n->text || strcmp(n->text, "null") == 0 || strcmp(n->text, "~") == 0);
}

static bool in_range(const SchemaRow *f, double x)
{
	SchemaRange r = schema_range(f->range);
	if (r.has_lo && (r.lo_open ? !(x > r.lo) : !(x >= r.lo)))
		return false;
	return !r.has_hi || (r.hi_open ? x < r.hi : x <= r.hi);
}

static bool is_seed(const SchemaRow *f)
{
	return strcmp(f->name, "seed") == 0;
}

static bool check_number(Scope *s, const SchemaRow *section, const SchemaRow *f, const YNode *node, Val *out)
{
	if (*f->of && f->type == INT && strncmp(node->text, "auto", 5) == 0) {
		if (f->of[4] == '*')
			return not_yet(s, node->loc, arena_printf(s->arena, "%s: auto", field_path(s, section, f)));
		out->kind = VAL_STRING;
		out->s = "auto";
		return true;
	}
	Number n;
	if (!number_read(s, node, &n))
		return describe(s, section, f);
	if (f->type == INT && !n.is_int && n.x == floor(n.x) && fabs(n.x) < 9007199254740992.0) /* 2^53 */
		n = (Number){true, (int64_t)n.x, n.x};
	if (f->type == INT && !n.is_int)
		return misfit(s, section, f, node, "an integer");
	if (f->type == INT && !is_seed(f) && (n.i > INT32_MAX || n.i < INT32_MIN))
		return misfit(s, section, f, node, "smaller");
	if (!in_range(f, n.x)) {
		const char *value = val_text(s->arena, &(Val){.kind = f->type == INT ? VAL_INT : VAL_NUMBER, .i = n.i, .x = n.x});
		diag_error(s->diag, node->loc, "%s is out of range: %s", field_path(s, section, f), value);
		return describe(s, section, f);
	}
	out->kind = f->type == INT ? VAL_INT : VAL_NUMBER;
	out->i = n.i;
	out->x = n.x;
	return true;
}

static bool check_choice(Scope *s, const SchemaRow *section, const SchemaRow *f, const char *choices, const YNode *node,
                         Val *out)
{
	const char *names[32], *name;
	bool later;
	size_t n = 0;
	for (int i = 0; n < COUNT(names) && schema_choice(s->arena, choices, i, &name, &later); i++) {
		names[n++] = name;
		if (strcmp(name, node->text) != 0)
			continue;
		if (later)
			return not_yet(s, node->loc, arena_printf(s->arena, "%s: %s", field_path(s, section, f), name));
		out->kind = VAL_STRING;
		out->s = name;
		return true;
	}
	diag_error(s->diag, node->loc, "%s can't be %s%s", field_path(s, section, f), shown(s, node),
	           did_you_mean(s, diag_nearest(node->text, names, n)));
	return describe(s, section, f);
}

static bool check_unit(Scope *s, const SchemaRow *section, const SchemaRow *f, const YNode *node, Val *out)
{
	if (!number_has_unit(node->text, f->type, &out->x))
		return misfit(s, section, f, node, f->type == SIZE ? "a size" : "a time");
	out->kind = VAL_NUMBER;
	out->i = (int64_t)out->x;
	return true;
}

static bool check_scalar(Scope *s, const SchemaRow *section, const SchemaRow *f, const YNode *node, Val *out)
{
	switch (f->type) {
	case BOOL:
		if (!node->plain || (strcmp(node->text, "true") != 0 && strcmp(node->text, "false") != 0))
			return misfit(s, section, f, node, "true or false");
		out->kind = VAL_BOOL;
		out->flag = node->text[0] == 't';
		return true;
	case INT:
	case NUMBER: return check_number(s, section, f, node, out);
	case STRING:
	case PATH:
		if (!*node->text)
			return misfit(s, section, f, node, "some text");
		out->kind = VAL_STRING;
		out->s = node->text;
		return true;
	case ENUM: return check_choice(s, section, f, f->of, node, out);
	case DURATION:
	case SIZE: return check_unit(s, section, f, node, out);
	default: ICE("field %s is no scalar", f->name);
	}
}

/* ---- name, or {name: {arguments}} ---- */

/* top_3_accuracy: top_k_categorical_accuracy with k = 3 */
static const YNode *top_k(Scope *s, SchemaKind kind, const YNode *name)
{
	size_t n = strlen(name->text), k = strspn(name->text + (n > 4 ? 4 : n), "0123456789");
	if (kind != METRIC || strncmp(name->text, "top_", 4) != 0 || k == 0 || strcmp(name->text + 4 + k, "_accuracy") != 0)
		return NULL;
	YNode *args = NEW(s->arena, YNode);
	*args = (YNode){.kind = Y_MAP, .loc = name->loc, .size = 1};
	yaml_set(s->arena, args, "k", name->loc, yaml_scalar(s->arena, name->loc, arena_strndup(s->arena, name->text + 4, k)));
	return args;
}

static const SchemaRow *find_name(Scope *s, SchemaKind kind, const YNode *name)
{
	const SchemaRow *section = schema_find(kind, name->text);
	if (section && (section->flags & LATER)) {
		not_yet(s, name->loc, arena_printf(s->arena, "%s %s", schema_kind_name(kind), section->name));
		return NULL;
	}
	if (section)
		return section;
	const SchemaRow *near = schema_nearest(kind, name->text);
	diag_error(s->diag, name->loc, "there is no %s '%.60s'%s", schema_kind_name(kind), name->text,
	           did_you_mean(s, near ? near->name : NULL));
	if (near)
		diag_note(s->diag, "=", "%s: %s", near->name, near->doc);
	return NULL;
}

static bool check_one(Scope *s, SchemaKind kind, const YNode *node, Val *out)
{
	const char *what = schema_kind_name(kind);
	YNode name = *node;
	const YNode *args = NULL;
	if (node->kind == Y_SEQ || (node->kind == Y_MAP && node->n != 1)) {
		diag_error(s->diag, node->loc, "%s: a name, or one name with arguments, is expected here", what);
		if (node->kind == Y_MAP && node->n > 1)
			diag_note(s->diag, "help", "the arguments stand below the name, further to the right, or in { }");
		return false;
	}
	if (node->kind == Y_MAP) {
		name = (YNode){.kind = Y_SCALAR, .plain = true, .loc = node->pair[0].loc, .text = node->pair[0].key};
		args = node->pair[0].value;
	}
	const YNode *k = top_k(s, kind, &name);
	if (k) {
		name.text = "top_k_categorical_accuracy";
		args = k;
	}
	const SchemaRow *section = find_name(s, kind, &name);
	if (!section)
		return false;
	if (args && args->kind == Y_SCALAR && !is_null(args) && (section->flags & BARE)) {
		YNode *map = NEW(s->arena, YNode);
		*map = (YNode){.kind = Y_MAP, .loc = args->loc, .size = 1};
		yaml_set(s->arena, map, section[1].name, args->loc, yaml_copy(s->arena, args));
		args = map;
	}
	return check_section(s, section, args && is_null(args) ? NULL : args, name.loc, out);
}

/* ---- lists ---- */

static bool check_items(Scope *s, const SchemaRow *section, const SchemaRow *f, const YNode *node, Val *out)
{
	SchemaRow *element = NEW(s->arena, SchemaRow); /* values of lists in it keep it as their field */
	*element = *f;
	element->flags &= ~(unsigned)(LIST | SOME | SINGLE | PAIR | TRIPLE | ENDS | NULLABLE);
	element->flags |= f->flags & ENDS ? PAIR : 0;
	if (element->type == MAP_OR_LIST)
		element->type = ONE, element->of = strchr(f->of, ':') + 1;
	out->kind = VAL_LIST;
	out->n = node->n;
	out->item = NEWN(s->arena, Val, node->n);
	bool ok = true;
	for (int i = 0; i < node->n; i++) {
		out->item[i] = (Val){.given = true, .loc = node->item[i]->loc, .key = node->item[i]->loc, .field = f};
		ok = check_node(s, section, element, node->item[i], &out->item[i]) && ok;
	}
	return ok;
}

static bool check_list(Scope *s, const SchemaRow *section, const SchemaRow *f, const YNode *node, Val *out)
{
	static const char *const wanted[] = { "", "one value", "one value or a list of two", "one value or a list of three" };
	const int many = schema_many(f), n = many ? many : 1;
	if (node->kind == Y_SEQ && many && node->n != many)
		return misfit(s, section, f, node, wanted[many]);
	if (node->kind == Y_SEQ && (f->flags & (SOME | REQUIRED)) && node->n == 0) {
		diag_error(s->diag, node->loc, "%s is empty", field_path(s, section, f));
		return describe(s, section, f);
	}
	if (node->kind == Y_SEQ)
		return check_items(s, section, f, node, out);
	if (f->flags & LIST)
		return misfit(s, section, f, node, "a list");
	YNode *item = yaml_copy(s->arena, node), list = {.kind = Y_SEQ, .loc = node->loc, .n = 1, .item = &item};
	if (!check_items(s, section, f, &list, out))
		return false;
	Val *all = NEWN(s->arena, Val, n);
	for (int i = 0; i < n; i++)
		all[i] = out->item[0];
	out->item = all;
	out->n = n;
	return true;
}

/* ---- one for each name ---- */

/* A mapping is one of a kind with its arguments if its only key is one, else names. */
static bool is_named(const SchemaRow *f, const YNode *node)
{
	if (!(f->flags & NAMED) || node->kind == Y_SCALAR)
		return false;
	if (f->type != ONE)
		return node->kind == Y_MAP;
	SchemaKind kind = schema_kind(f->of, strlen(f->of));
	if (node->kind == Y_SEQ)
		return !(f->flags & LIST);
	if ((f->flags & LIST) || node->n == 0)
		return true;
	if (node->n > 1)
		return !schema_find(kind, node->pair[0].key);
	const YNode *value = node->pair[0].value;
	const char *name = value->kind == Y_SCALAR ? value->text : value->kind == Y_MAP && value->n == 1 ? value->pair[0].key : NULL;
	return !schema_find(kind, node->pair[0].key) && name && schema_find(kind, name);
}

static bool check_named(Scope *s, const SchemaRow *section, const SchemaRow *f, const YNode *node, Val *out)
{
	SchemaRow *element = NEW(s->arena, SchemaRow); /* values keep it */
	bool ok = true;
	*element = *f;
	element->flags &= ~(unsigned)NAMED;
	out->kind = VAL_LIST;
	out->n = node->n;
	out->item = NEWN(s->arena, Val, node->n);
	if (node->n == 0)
		return misfit(s, section, f, node, "one for each name");
	for (int i = 0; i < node->n; i++) {
		const YNode *value = node->kind == Y_MAP ? node->pair[i].value : node->item[i];
		const YNode list = {.kind = Y_SEQ, .loc = value->loc, .n = 1, .item = (YNode **)(uintptr_t)&value};
		const bool alone = (f->flags & LIST) && value->kind != Y_SEQ; /* metrics: {out: accuracy} */
		ok = check_field(s, section, element, alone ? &list : value, node->kind == Y_MAP ? node->pair[i].loc : value->loc,
		                 &out->item[i]) && ok;
		out->item[i].field = f;
		out->item[i].name = node->kind == Y_MAP ? node->pair[i].key : NULL;
	}
	return ok;
}

/* ---- {key: number}, or [number]: keys 0, 1 … ---- */

static bool check_numbers(Scope *s, const SchemaRow *section, const SchemaRow *f, const YNode *node, Val *out)
{
	SchemaRow element = *f;
	bool ok = true;
	element.type = NUMBER;
	element.of = "";
	out->kind = VAL_LIST;
	out->n = node->n;
	out->item = NEWN(s->arena, Val, node->n);
	for (int i = 0; i < node->n; i++) {
		const bool map = node->kind == Y_MAP;
		const YNode *value = map ? node->pair[i].value : node->item[i];
		Val *v = &out->item[i];
		ok = check_field(s, section, &element, value, map ? node->pair[i].loc : value->loc, v) && ok;
		v->field = f;
		v->s = map ? node->pair[i].key : arena_printf(s->arena, "%d", i);
		v->name = map ? v->s : NULL;
	}
	return ok;
}

/* ---- any node ---- */

static const YNode *replace_names(Scope *s, const YNode *node)
{
	for (int i = 0; node && i < MAX_NAMES_CHAIN; i++) {
		if (node->kind != Y_SCALAR || !node->plain || node->text[0] != '$' || !node->text[1])
			return node;
		if (node->text[1 + strspn(node->text + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")])
			return node;
		Loc at = node->loc;
		node = scope_lookup(s, at, node->text + 1, strlen(node->text) - 1);
		if (node && node->kind == Y_SCALAR) {
			YNode *here = yaml_copy(s->arena, node);
			here->loc = at;
			node = here;
		}
	}
	return node;
}

static bool check_node(Scope *s, const SchemaRow *section, const SchemaRow *f, const YNode *node, Val *out)
{
	if (s->depth >= YAML_MAX_DEPTH)
		return diag_error(s->diag, node->loc, "nested too deeply");
	node = replace_names(s, node);
	if (!node)
		return false;
	out->loc = node->loc;
	if (is_null(node) && (f->flags & NULLABLE)) {
		out->kind = VAL_UNSET;
		return true;
	}
	bool ok;
	s->depth++;
	if (is_named(f, node))
		ok = check_named(s, section, f, node, out);
	else if (f->flags & (LIST | SOME) || schema_many(f) || (f->type == MAP_OR_LIST && node->kind == Y_SEQ))
		ok = check_list(s, section, f, node, out);
	else if (f->type == MAP_FIELD)
		ok = check_section(s, schema_map(f->of), is_null(node) ? NULL : node, node->loc, out);
	else if (f->type == MAP_OR_LIST || (f->type == MAP_OR_ENUM && node->kind != Y_SCALAR))
		ok = check_section(s, schema_map(arena_strndup(s->arena, f->of, strcspn(f->of, ":"))), is_null(node) ? NULL : node,
		                   node->loc, out);
	else if (f->type == NUMBERS && node->kind != Y_SCALAR)
		ok = check_numbers(s, section, f, node, out);
	else if (f->type == MAP_OR_ENUM || f->type == NUMBERS)
		ok = check_choice(s, section, f, f->type == NUMBERS ? f->of : strchr(f->of, ':') + 1, node, out);
	else if (f->type == ONE || (f->type == NUMBER && *f->of && node->kind == Y_MAP))
		ok = check_one(s, schema_kind(f->of, strlen(f->of)), node, out);
	else if (f->type == ANY)
		ok = true;
	else if (node->kind != Y_SCALAR)
		ok = misfit(s, section, f, node, "one value");
	else
		ok = check_scalar(s, section, f, node, out);
	s->depth--;
	return ok;
}

bool check_field(Scope *s, const SchemaRow *section, const SchemaRow *f, const YNode *node, Loc key, Val *out)
{
	*out = (Val){.given = true, .field = f, .key = key, .loc = key};
	if (f->flags & LATER)
		return not_yet(s, key, section->kind == TOP ? arena_printf(s->arena, "'%s'", f->name) : field_path(s, section, f));
	return check_node(s, section, f, node, out);
}

/* ---- sections ---- */

static bool check_default(Scope *s, const SchemaRow *section, const SchemaRow *f, Loc at, Val *out)
{
	*out = (Val){.field = f, .loc = at, .key = at};
	if (!f->deflt || (f->flags & LATER))
		return true;
	YNode *node = NULL;
	if (strcmp(f->deflt, "{}") == 0) {
		node = yaml_scalar(s->arena, at, "");
	} else if (f->deflt[0] == '[') {
		node = yaml_parse(s->arena, s->diag, (Loc){at.file, 1, 1, 0}, f->deflt, strlen(f->deflt));
		for (int i = 0; node && i < node->n; i++)
			node->item[i]->loc = at;
	} else {
		node = yaml_scalar(s->arena, at, f->deflt);
	}
	if (!node)
		ICE("default of %s.%s", section->name, f->name);
	node->loc = at;
	bool ok = check_node(s, section, f, node, out);
	out->given = false;
	return ok;
}

/* A misspelt required field is not reported as missing too: `seen`. */
static bool unknown_key(Scope *s, const SchemaRow *section, const YPair *p, bool *seen)
{
	const char *what = section->kind == TOP ? "a model file" : section->name;
	const char *near = schema_field_nearest(section, p->key);
	diag_error(s->diag, p->loc, "%s has no field '%.60s'%s", what, p->key, did_you_mean(s, near));
	if (near) {
		int i = schema_field_index(section, near);
		seen[i] = seen[i] || (schema_field(section, i)->flags & REQUIRED) != 0;
		return describe(s, section, schema_field(section, i));
	}
	const char *all = "";
	for (int i = 0; i < schema_nfields(section); i++) {
		if (!(schema_field(section, i)->flags & LATER))
			all = arena_printf(s->arena, "%s%s%s", all, *all ? ", " : "", schema_field(section, i)->name);
	}
	diag_note(s->diag, "=", "%s: %s", what, *all ? all : "no fields");
	return false;
}

bool check_section(Scope *s, const SchemaRow *section, const YNode *node, Loc at, Val *out)
{
	int n = schema_nfields(section);
	Loc key = out->key;
	*out = (Val){.kind = VAL_OBJECT, .given = true, .loc = at, .key = key.line ? key : at, .field = out->field,
	             .section = section, .n = n, .item = NEWN(s->arena, Val, n)};
	if (node && node->kind != Y_MAP) {
		diag_error(s->diag, node->loc, "%s takes a mapping of fields, not %s", section->name, shown(s, node));
		bool layer = section->kind == LAYER && n > 0 && node->kind == Y_SCALAR && *node->text;
		if (layer) /* Keras' first positional argument */
			diag_note(s->diag, "help", "name the field: %s: {%s: %.60s}", section->name, schema_field(section, 0)->name, node->text);
		return false;
	}
	bool ok = true, later = false, *seen = NEWN(s->arena, bool, n + 1), *misspelt = NEWN(s->arena, bool, n + 1);
	for (int i = 0; node && i < node->n; i++) {
		const YPair *p = &node->pair[i];
		int f = schema_field_index(section, p->key);
		if (f < 0) {
			ok = unknown_key(s, section, p, misspelt);
			continue;
		}
		if (seen[f])
			ok = diag_error(s->diag, p->loc, "'%s' and '%s' are the same field; both are given", p->key,
			                schema_field(section, f)->name);
		else
			ok = check_field(s, section, schema_field(section, f), p->value, p->loc, &out->item[f]) && ok;
		seen[f] = true;
		later = later || (schema_field(section, f)->flags & LATER);
	}
	for (int i = 0; i < n; i++) {
		const SchemaRow *f = schema_field(section, i);
		if (seen[i] || misspelt[i])
			continue;
		if ((f->flags & REQUIRED) && later) { /* may be what stands instead */
			ok = false;
		} else if (f->flags & REQUIRED) {
			const char *what = section->kind == TOP ? "a model file" : section->name;
			ok = diag_error(s->diag, section->kind == MAP ? out->key : at, "%s needs '%s'", what, f->name);
			describe(s, section, f);
		} else {
			ok = check_default(s, section, f, at, &out->item[i]) && ok;
		}
	}
	return ok;
}

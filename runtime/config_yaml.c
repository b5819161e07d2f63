/* config_yaml.c -- the fields as a nested document: JSON, YAML (args.yaml), and the list that --help prints */
#include "runtime/config.h"

#include <stdlib.h>
#include <string.h>
#include "runtime/durable.h"
#include "runtime/sys.h"

/* ---- dotted paths to a tree ---- */

static bool is_index(const char *part)
{
	return part[0] && part[strspn(part, "0123456789")] == '\0';
}

/* A typed leaf; text that is not what the type says stays text. */
static json_t *leaf(const RtField *f, const char *value, bool absolute)
{
	double d;
	int64_t i;
	char path[RT_PATH_MAX];
	switch ((RtFieldType)f->type) {
	case RT_FIELD_BOOL:
		return strcmp(value, "true") == 0    ? json_true()
		       : strcmp(value, "false") == 0 ? json_false()
						     : json_string(value);
	case RT_FIELD_INT:
		return rt_parse_int(value, &i) ? json_integer(i) : json_string(value);
	case RT_FIELD_FLOAT:
		return rt_parse_float(value, &d) ? json_real(d) : json_string(value);
	case RT_FIELD_PATH:
		/* callbacks write below the run folder, wherever that is */
		if (absolute && !strstr(f->path, ".callbacks.") && rt_path_absolute(path, value))
			return json_string(path);
		return json_string(value);
	default:
		return json_string(value);
	}
}

/* Sequences are kept as objects with the keys "0" "1" … until all is in. */
static json_t *child(json_t *parent, const char *part)
{
	json_t *next = json_object_get(parent, part);
	if (!next) {
		next = json_object();
		json_object_set_new(parent, part, next);
	}
	return json_is_object(next) ? next : NULL;
}

static void insert(json_t *root, const char *path, json_t *value)
{
	char part[128];
	json_t *at = root;
	for (const char *dot; at && (dot = strchr(path, '.')) != NULL; path = dot + 1) {
		size_t n = (size_t)(dot - path) < sizeof part - 1 ? (size_t)(dot - path) : sizeof part - 1;
		memcpy(part, path, n);
		part[n] = '\0';
		at = child(at, part);
	}
	if (!at || json_object_get(at, path))
		json_decref(value);
	else
		json_object_set_new(at, path, value);
}

/* Objects whose keys are all numbers become arrays, in the order they came. */
static json_t *with_arrays(json_t *node)
{
	const char *key;
	json_t *value;
	if (!json_is_object(node))
		return json_incref(node);
	bool all = json_object_size(node) > 0;
	json_object_foreach(node, key, value) all = all && is_index(key);
	json_t *out = all ? json_array() : json_object();
	json_object_foreach(node, key, value)
	{
		json_t *inner = with_arrays(value);
		if (all)
			json_array_append_new(out, inner);
		else
			json_object_set_new(out, key, inner);
	}
	return out;
}

json_t *rt_config_json(const RtConfig *c, bool absolute_paths)
{
	json_t *root = json_object();
	for (uint32_t i = 0; i < c->model->nfields; i++) {
		const RtField *f = &c->model->field[i];
		const char *value = rt_config_value(c, i);
		if (value[0])
			insert(root, f->path, leaf(f, value, absolute_paths));
	}
	json_t *out = with_arrays(root);
	json_decref(root);
	return out;
}

/* ---- YAML ---- */

typedef struct Text {
	char *bytes;
	size_t used, room;
	bool failed;
} Text;

static void put(Text *t, const char *s, size_t n)
{
	if (t->used + n + 1 > t->room && !t->failed) {
		size_t room = (t->used + n + 1) * 2;
		char *bigger = rt_sys.resize(t->bytes, room);
		t->failed = !bigger;
		t->bytes = bigger ? bigger : t->bytes;
		t->room = bigger ? room : t->room;
	}
	if (t->failed)
		return;
	memcpy(t->bytes + t->used, s, n);
	t->used += n;
	t->bytes[t->used] = '\0';
}

static void puts_text(Text *t, const char *s)
{
	put(t, s, strlen(s));
}

static void indent(Text *t, int depth)
{
	for (int i = 0; i < depth; i++)
		put(t, "  ", 2);
}

/* A string needs quotes unless it is made of harmless characters and can't be read as another type. */
static bool is_plain(const char *s)
{
	static const char *const words[] = {"true", "false", "null", "yes", "no", "on", "off", "~"};
	double d;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (strcasecmp(s, words[i]) == 0)
			return false;
	}
	if (rt_parse_float(s, &d) || s[0] == '-' || s[0] == '.' || s[0] == '\0')
		return false;
	return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+")] == '\0';
}

static void put_scalar(Text *t, const json_t *value)
{
	char number[40];
	const char *s = json_string_value(value);
	if (s && is_plain(s)) {
		puts_text(t, s);
	} else if (json_is_real(value)) {
		snprintf(number, sizeof number, "%.17g", json_real_value(value));
		for (int digits = 1; digits < 17; digits++) {
			char shorter[40];
			snprintf(shorter, sizeof shorter, "%.*g", digits, json_real_value(value));
			if (strtod(shorter, NULL) == json_real_value(value)) {
				memcpy(number, shorter, sizeof shorter);
				break;
			}
		}
		puts_text(t, number);
	} else {
		char *text = json_dumps(value, JSON_ENCODE_ANY);
		t->failed |= !text;
		puts_text(t, text ? text : "");
		free(text);
	}
}

static bool all_scalars(const json_t *array)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		const json_t *v = json_array_get(array, i);
		if (json_is_object(v) || json_is_array(v))
			return false;
	}
	return true;
}

static void put_node(Text *t, json_t *node, int depth, bool after_dash);

static void put_flow(Text *t, const json_t *array)
{
	puts_text(t, "[");
	for (size_t i = 0; i < json_array_size(array); i++) {
		puts_text(t, i ? ", " : "");
		put_scalar(t, json_array_get(array, i));
	}
	puts_text(t, "]");
}

/* After "key:" or "-": the value, on this line if it fits there. */
static void put_value(Text *t, json_t *value, int depth, bool after_dash)
{
	if (json_is_array(value) && all_scalars(value)) {
		puts_text(t, " ");
		put_flow(t, value);
	} else if (json_is_object(value) && after_dash) {
		puts_text(t, " ");
		put_node(t, value, depth, true);
		return;
	} else if (json_is_object(value) || json_is_array(value)) {
		puts_text(t, "\n");
		put_node(t, value, depth, false);
		return;
	} else {
		puts_text(t, " ");
		put_scalar(t, value);
	}
	puts_text(t, "\n");
}

static void put_node(Text *t, json_t *node, int depth, bool after_dash)
{
	const char *key;
	json_t *value;
	json_object_foreach(node, key, value)
	{
		if (!after_dash)
			indent(t, depth);
		after_dash = false;
		json_t *k = json_string(key);
		put_scalar(t, k);
		json_decref(k);
		puts_text(t, ":");
		put_value(t, value, depth + 1, false);
	}
	for (size_t i = 0; i < json_array_size(node); i++) {
		indent(t, depth);
		puts_text(t, "-");
		put_value(t, json_array_get(node, i), depth + 1, true);
	}
}

RtStatus rt_config_yaml(const RtConfig *c, bool absolute_paths, char **out)
{
	Text t = {0};
	json_t *root = rt_config_json(c, absolute_paths);
	*out = NULL;
	puts_text(&t, "# the resolved model file: every field that has a value\n");
	if (root)
		put_node(&t, root, 0, false);
	if (!root || t.failed) {
		json_decref(root);
		rt_sys.release(t.bytes);
		return rt_fail(RT_NOMEM, "out of memory for args.yaml");
	}
	json_decref(root);
	*out = t.bytes;
	return RT_OK;
}

/* ---- --help ---- */

void rt_config_help(const RtConfig *c, FILE *f)
{
	static const char *const types[] = {
		[RT_FIELD_BOOL] = "true|false", [RT_FIELD_INT] = "whole number", [RT_FIELD_FLOAT] = "number",
		[RT_FIELD_STRING] = "text",     [RT_FIELD_ENUM] = "choice",      [RT_FIELD_PATH] = "path",
		[RT_FIELD_DURATION] = "time",   [RT_FIELD_SIZE] = "size"};
	for (uint32_t i = 0; i < c->model->nfields; i++) {
		const RtField *r = &c->model->field[i];
		const char *value = rt_config_value(c, i);
		if (!r->runtime)
			continue;
		fprintf(f, "  %s=%s\n      %s", r->path, value, r->choices ? r->choices : types[r->type]);
		fprintf(f, "%s%s\n", r->doc && r->doc[0] ? ": " : "", r->doc ? r->doc : "");
	}
}

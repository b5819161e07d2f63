/* blocks.c -- `blocks:`, `repeat:`, applications and layers used again, written out before the file is checked
 *
 * A block is a list of layers with parameters: `encoder: {width: 64}` in a list of layers stands for the layers of the block
 * `encoder`, $width in them for 64. `x` in their `inputs:` is what the block is fed with. Their names get the name of this use
 * in front (encoder_attn), layers without a name are counted over the whole model, as Keras does. The name of a use stands for
 * its last layer, and `.` as a name in it is that name. `repeat: n` makes n copies, each fed by the one before, called name,
 * name_1, …; $copy is the number of the copy, from 1, and a name with it in is as it says. In texts ${name} stands for the value,
 * ${name + 1} for a number computed of it. A field whose value is a parameter without a value is left out. A name of a layer
 * above in the place of a kind uses that layer again: Shared.
 *
 * An application is a block that comes with the compiler (zoo.h). As `model.base` it stands in front of the layers, and its names
 * have nothing in front; nor have those of a use without a name.
 *
 * Takes the tree, changes model.layers and model.outputs; what it makes is a plain list of layers that keep their places in
 * the file. Sizes are bounded: layers, depth, length of texts.
 */
#include "frontend/build.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "frontend/zoo.h"

enum { BLOCK_DEPTH = 16, TEXT_MAX = 256, REF_MARK = 1 };

typedef struct Name { const char *name, *stands_for; const YNode *value; struct Name *next; } Name;

/* Where a list of layers is written out: the model, or a use of a block. */
typedef struct Env {
	const char *prefix;   /* of names; "" in the model */
	Name *param, *local;  /* local: names of this list, for what they stand */
	Name *all;            /* parameters of an application, which all of its blocks see */
	YNode *x;             /* list of what feeds the block; NULL: the layer before `first` */
	int first, depth;
	const struct Env *up;
	const char *block;
	const YNode *blocks;  /* mapping: those that can be used; NULL: none */
	bool frozen;          /* its layers are not trained */
} Env;

typedef struct Expand {
	Scope *s;
	YNode *out;           /* the plain list */
	const YNode *shape;   /* list: the model's input; NULL: not known yet */
	bool failed;
} Expand;

/* ---- small things ---- */

/* Nothing more is written out; `reported` is what diag_error gave: false. */
static bool stop(Expand *e, bool reported)
{
	e->failed = true;
	return reported;
}

static bool is_nothing(const YNode *n)
{
	return n->kind == Y_SCALAR && n->plain && (!*n->text || strcmp(n->text, "null") == 0 || strcmp(n->text, "~") == 0);
}

static Name *find(Name *list, const char *name)
{
	while (list && strcmp(list->name, name) != 0)
		list = list->next;
	return list;
}

static void add(Expand *e, Name **list, const char *name, const char *stands_for, const YNode *value)
{
	Name *n = NEW(e->s->arena, Name);
	*n = (Name){name, stands_for, value, *list};
	*list = n;
}

static YNode *list_of(Arena *a, Loc at, int room)
{
	YNode *list = NEW(a, YNode);
	*list = (YNode){.kind = Y_SEQ, .loc = at, .size = 1, .room = room, .item = NEWN(a, YNode *, room + 1)};
	return list;
}

static void append(Arena *a, YNode *list, YNode *item)
{
	if (list->n == list->room) {
		const int more = list->room ? 2 * list->room : 16;
		list->item = arena_grow(a, list->item, (size_t)list->room, (size_t)more, sizeof *list->item);
		list->room = more;
	}
	list->item[list->n++] = item;
}

/* A reference to layer i of the plain list, which may have no name yet; -1: the model's input. */
static const char *ref(Arena *a, int i)
{
	return i < 0 ? "x" : arena_printf(a, "%c%d", REF_MARK, i);
}

/* ---- parameters ---- */

static bool name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* The value of a name that is a single text: a parameter, else what `define:` says; NULL: neither. */
static const YNode *value_of(Expand *e, const Env *env, const YNode *at, const char *name)
{
	const Name *param = find(env->param, name);
	const YNode *value = param ? param->value : scope_lookup(e->s, at->loc, name, strlen(name));
	return value && value->kind == Y_SCALAR ? value : NULL;
}

/* ${name} or ${expression of names} as text, without parentheses. */
static const char *braced_text(Expand *e, const Env *env, const YNode *node, const char *inner)
{
	Arena *a = e->s->arena;
	YNode *sum = yaml_copy(a, node);
	sum->text = "";
	sum->plain = false;
	for (const char *p = inner; *p;) {
		size_t n = 0;
		while (name_char(p[n]))
			n++;
		const bool name = n > 0 && !isdigit((unsigned char)*p);
		const YNode *value = name ? value_of(e, env, node, arena_strndup(a, p, n)) : NULL;
		if (name && !value)
			return stop(e, find(env->param, arena_strndup(a, p, n)) &&
			            diag_error(e->s->diag, node->loc, "%.*s is no single value", (int)n, p)), "";
		if (name && !inner[n])
			return value->text;
		n += n == 0;
		sum->text = name ? arena_printf(a, "%s(%s)", sum->text, value->text) : arena_printf(a, "%s%.*s", sum->text, (int)n, p);
		p += n;
		if (strlen(sum->text) > TEXT_MAX)
			return stop(e, diag_error(e->s->diag, node->loc, "its text becomes longer than %d characters", TEXT_MAX)), "";
	}
	Number result;
	if (!number_read(e->s, sum, &result))
		return stop(e, false), "";
	return val_text(a, &(Val){.kind = result.is_int ? VAL_INT : VAL_NUMBER, .i = result.i, .x = result.x});
}

/* The next name behind a `$`, and what stands for it: its length in the text, 0: an ordinary character. */
static size_t next_name(Expand *e, const Env *env, const YNode *node, const char *p, const char **out)
{
	Arena *a = e->s->arena;
	const char *brace = p[1] == '{' ? strchr(p, '}') : NULL;
	size_t n = 0;
	if (brace) {
		*out = braced_text(e, env, node, arena_strndup(a, p + 2, (size_t)(brace - p) - 2));
		return (size_t)(brace - p) + 1;
	}
	while (name_char(p[1 + n]))
		n++;
	const Name *param = find(env->param, arena_strndup(a, p + 1, n));
	if (!param || param->value->kind != Y_SCALAR)
		return 0;
	if (is_nothing(param->value))
		stop(e, diag_error(e->s->diag, node->loc, "$%s has no value here", param->name));
	*out = arena_printf(a, "(%s)", param->value->text);
	return n + 1;
}

/* `text` with the values of parameters in the place of their names. */
static const char *replaced_text(Expand *e, const Env *env, const YNode *node)
{
	const char *out = "", *p = node->text;
	while (*p && !e->failed) {
		const size_t plain = strcspn(p, "$");
		const char *by = "";
		out = arena_printf(e->s->arena, "%s%.*s", out, (int)plain, p);
		p += plain;
		size_t n = *p ? next_name(e, env, node, p, &by) : 0;
		if (*p && n == 0) {
			by = "$";
			n = 1;
		}
		out = arena_printf(e->s->arena, "%s%s", out, by);
		p += n;
		if (strlen(out) > TEXT_MAX) {
			stop(e, diag_error(e->s->diag, node->loc, "its text becomes longer than %d characters", TEXT_MAX));
			return node->text;
		}
	}
	return out;
}

static const Name *whole_name(const Env *env, const YNode *node)
{
	return node->kind == Y_SCALAR && node->text[0] == '$' ? find(env->param, node->text + 1) : NULL;
}

static YNode *replaced(Expand *e, const Env *env, YNode *node);

/* Fields whose value is a parameter without a value are left out. */
static YNode *replaced_map(Expand *e, const Env *env, const YNode *node)
{
	YNode *by = yaml_copy(e->s->arena, node);
	by->n = 0;
	for (int i = 0; i < node->n; i++) {
		const Name *whole = whole_name(env, node->pair[i].value);
		if (whole && is_nothing(whole->value))
			continue;
		by->pair[by->n] = node->pair[i];
		by->pair[by->n++].value = replaced(e, env, node->pair[i].value);
	}
	return by;
}

/* The node with parameters replaced; scalars without any are shared. */
static YNode *replaced(Expand *e, const Env *env, YNode *node)
{
	Arena *a = e->s->arena;
	if (node->kind == Y_MAP)
		return replaced_map(e, env, node);
	if (node->kind == Y_SCALAR) {
		if (!strchr(node->text, '$'))
			return node;
		const Name *whole = whole_name(env, node);
		YNode *by = yaml_copy(a, whole ? whole->value : node);
		by->loc = node->loc;
		if (!whole)
			by->text = replaced_text(e, env, node);
		return by;
	}
	YNode *by = yaml_copy(a, node);
	for (int i = 0; i < node->n; i++)
		by->item[i] = replaced(e, env, node->item[i]);
	return by;
}

/* ---- one layer ---- */

typedef struct Item {
	const char *kind;
	Loc loc;
	YNode *as_is;         /* its arguments as the file has them, but `repeat` */
	YNode *args;          /* those of the copy that is being written: a mapping of its own */
	bool counted;         /* has `repeat`: there is a $copy */
	bool named;           /* its name says the number of the copy itself */
	int repeat;
} Item;

static bool read_repeat(Expand *e, Item *item, const YNode *node)
{
	Number n;
	if (!number_read(e->s, node, &n))
		return stop(e, false);
	if (!n.is_int || n.i < 0 || n.i > MODEL_MAX_LAYERS)
		return stop(e, diag_error(e->s->diag, node->loc, "repeat must be an integer from 0 to %d", MODEL_MAX_LAYERS));
	item->repeat = (int)n.i;
	item->counted = true;
	return true;
}

/* Takes `key` out of a mapping. */
static YNode *taken(YNode *map, const char *key)
{
	for (int i = 0; i < map->n; i++) {
		if (strcmp(map->pair[i].key, key) != 0)
			continue;
		YNode *value = map->pair[i].value;
		memmove(map->pair + i, map->pair + i + 1, (size_t)(map->n - i - 1) * sizeof *map->pair);
		map->n--;
		return value;
	}
	return NULL;
}

/* False: it is not `name` or `{name: …}`: the check says so. */
static bool read_item(Expand *e, const Env *env, YNode *node, Item *out)
{
	Arena *a = e->s->arena;
	*out = (Item){.loc = node->loc, .repeat = 1};
	if (node->kind == Y_SEQ || (node->kind == Y_MAP && node->n != 1))
		return false;
	out->kind = node->kind == Y_MAP ? node->pair[0].key : node->text;
	out->loc = node->kind == Y_MAP ? node->pair[0].loc : node->loc;
	YNode *args = node->kind == Y_MAP ? node->pair[0].value : NULL;
	if (args && is_nothing(args))
		args = NULL;
	if (args && args->kind != Y_MAP)
		return false;
	const YNode empty = {.kind = Y_MAP, .loc = out->loc, .size = 1};
	out->as_is = yaml_copy(a, args ? args : &empty);
	YNode *repeat = taken(out->as_is, "repeat");
	const YNode *name = yaml_find(out->as_is, "name");
	out->named = name && name->kind == Y_SCALAR && (strstr(name->text, "$copy") || strstr(name->text, "${copy"));
	return !repeat || read_repeat(e, out, replaced(e, env, repeat));
}

/* The arguments of one copy. */
static void make_args(Expand *e, Env *env, Item *item, int copy)
{
	Name *outer = env->param;
	if (item->counted)
		add(e, &env->param, "copy", NULL, yaml_scalar(e->s->arena, item->loc, arena_printf(e->s->arena, "%d", copy + 1)));
	item->args = replaced(e, env, item->as_is);
	env->param = outer;
}

/* What an entry of `inputs:` stands for, as a list. */
static void resolve_input(Expand *e, const Env *env, YNode *entry, YNode *out)
{
	Arena *a = e->s->arena;
	const Name *local = entry->kind == Y_SCALAR ? find(env->local, entry->text) : NULL;
	const bool x = entry->kind == Y_SCALAR && env->up && strcmp(entry->text, "x") == 0;
	if (x && env->x) {
		for (int i = 0; i < env->x->n; i++)
			append(a, out, env->x->item[i]);
		return;
	}
	YNode *by = entry;
	if (x || local) {
		by = yaml_copy(a, entry);
		by->text = local ? local->stands_for : ref(a, env->first - 1);
	}
	append(a, out, by);
}

static YNode *resolve_inputs(Expand *e, const Env *env, YNode *inputs)
{
	YNode *out = list_of(e->s->arena, inputs->loc, 4);
	if (inputs->kind == Y_MAP)
		return inputs;
	for (int i = 0; i < (inputs->kind == Y_SEQ ? inputs->n : 1); i++)
		resolve_input(e, env, inputs->kind == Y_SEQ ? inputs->item[i] : inputs, out);
	return out;
}

static bool is_text(const YNode *n)
{
	return n && n->kind == Y_SCALAR && *n->text;
}

/* Name of copy i, as the file says it; NULL: none. */
static const char *copy_name(Expand *e, const Item *item, int i)
{
	const YNode *name = yaml_find(item->args, "name");
	if (!is_text(name))
		return NULL;
	return i && !item->named ? arena_printf(e->s->arena, "%s_%d", name->text, i) : name->text;
}

static bool room_for_one(Expand *e, Loc at)
{
	if (e->out->n < MODEL_MAX_LAYERS)
		return true;
	return stop(e, diag_error(e->s->diag, at, "written out, the model has more than %d layers", MODEL_MAX_LAYERS));
}

/* The layer of that name, if an earlier one is used again. */
static const char *layer_above(Expand *e, const Env *env, const char *kind)
{
	const Name *local = find(env->local, kind);
	if (local)
		return local->stands_for;
	for (int i = 0; i < e->out->n; i++) {
		const YNode *layer = e->out->item[i], *args = layer->kind == Y_MAP && layer->n == 1 ? layer->pair[0].value : NULL;
		const YNode *name = args && args->kind == Y_MAP ? yaml_find(args, "name") : NULL;
		if (is_text(name) && strcmp(name->text, kind) == 0)
			return kind;
	}
	return NULL;
}

/* Name of a layer or use in a list, with those of the uses around it in front; `.` is the use's own name. */
static const char *inner_name(Expand *e, const Env *env, const char *own)
{
	const size_t n = strlen(env->prefix);
	if (strcmp(own, ".") == 0)
		return arena_strndup(e->s->arena, env->prefix, n - (n > 0));
	return arena_printf(e->s->arena, "%s%s", env->prefix, own);
}

static void emit_layer(Expand *e, Env *env, const Item *item, int copy)
{
	Arena *a = e->s->arena;
	YNode *args = yaml_copy(a, item->args), *layer = NEW(a, YNode);
	const YNode *name = yaml_find(args, "name");
	const char *own = copy_name(e, item, copy);
	if (own) {
		const char *full = inner_name(e, env, own);
		YNode *by = yaml_copy(a, name);
		by->text = full;
		yaml_set(a, args, "name", name->loc, by);
		if (env->up)
			add(e, &env->local, own, full, NULL);
	}
	YNode *inputs = copy ? (taken(args, "inputs"), NULL) : yaml_find(args, "inputs");
	if (inputs)
		yaml_set(a, args, "inputs", inputs->loc, resolve_inputs(e, env, inputs));
	else if (env->x && e->out->n == env->first)
		yaml_set(a, args, "inputs", item->loc, env->x);
	if (env->frozen)
		yaml_set(a, args, "trainable", item->loc, yaml_scalar(a, item->loc, "false"));
	const char *kind = item->kind, *again = schema_find(LAYER, kind) ? NULL : layer_above(e, env, kind);
	const YNode *layer_again = yaml_find(args, "layer");
	if (again)
		kind = "Shared";
	else if (is_text(layer_again))
		again = layer_above(e, env, layer_again->text);
	if (again)
		yaml_set(a, args, "layer", item->loc, yaml_scalar(a, layer_again ? layer_again->loc : item->loc, again));
	*layer = (YNode){.kind = Y_MAP, .loc = item->loc, .size = args->size + 1, .n = 1, .room = 1, .pair = NEW(a, YPair)};
	layer->pair[0] = (YPair){kind, item->loc, args};
	append(a, e->out, layer);
}

/* ---- uses of blocks ---- */

static void write_layers(Expand *e, Env *env, const YNode *layers);

/* Parameters of the block: what this use gives, else their defaults. False: reported. */
static bool bind_params(Expand *e, const YNode *block, const Item *item, Env *env)
{
	const YNode *params = yaml_find(block, "params");
	const char *known[64];
	int n = 0;
	for (int i = 0; params && params->kind == Y_MAP && i < params->n && n < (int)COUNT(known); i++) {
		YPair *p = &params->pair[i];
		YNode *given = yaml_find(item->args, p->key);
		known[n++] = p->key;
		if (!given && is_nothing(p->value))
			return stop(e, diag_error(e->s->diag, item->loc, "block %s needs '%s'", item->kind, p->key));
		add(e, &env->param, p->key, NULL, given ? given : p->value);
	}
	for (int i = 0; i < item->args->n; i++) {
		const YPair *p = &item->args->pair[i];
		if (find(env->param, p->key) || strcmp(p->key, "name") == 0 || strcmp(p->key, "inputs") == 0)
			continue;
		const char *near = diag_nearest(p->key, known, (size_t)n);
		return stop(e, diag_error(e->s->diag, p->loc, "block %s has no parameter '%.60s'%s%s%s", item->kind, p->key,
		                          near ? "; did you mean '" : "", near ? near : "", near ? "'?" : ""));
	}
	return true;
}

/* Name of a use that has none: encoder, encoder_1, … in its list. */
static const char *use_name(Expand *e, const Env *env, const char *block)
{
	const char *name = block;
	for (int i = 1; find(env->local, name); i++)
		name = arena_printf(e->s->arena, "%s_%d", block, i);
	return name;
}

static bool block_sane(Expand *e, const Env *env, const Item *item, const YNode *block)
{
	const YNode *layers = block->kind == Y_MAP ? yaml_find(block, "layers") : NULL;
	const YNode *params = layers ? yaml_find(block, "params") : NULL;
	for (int i = 0; block->kind == Y_MAP && i < block->n; i++) {
		if (strcmp(block->pair[i].key, "layers") != 0 && strcmp(block->pair[i].key, "params") != 0)
			return stop(e, diag_error(e->s->diag, block->pair[i].loc, "a block has 'params' and 'layers', no '%.60s'",
			                          block->pair[i].key));
	}
	if (!layers || layers->kind != Y_SEQ || layers->n == 0 || (params && params->kind != Y_MAP))
		return stop(e, diag_error(e->s->diag, block->loc, "block %s: a mapping of 'layers', a list, and perhaps 'params', a mapping, is "
		                          "expected here", item->kind));
	for (const Env *up = env; up; up = up->up) {
		if (up->block && strcmp(up->block, item->kind) == 0)
			return stop(e, diag_error(e->s->diag, item->loc, "block %s contains itself", item->kind));
	}
	return env->depth < BLOCK_DEPTH || stop(e, diag_error(e->s->diag, item->loc, "blocks are nested too deeply"));
}

/* Where the layers of a use are written. */
static Env inner_env(Expand *e, const Env *env, const Item *item, int copy, const char *prefix)
{
	YNode *inputs = copy ? NULL : yaml_find(item->args, "inputs");
	Env in = {.prefix = prefix, .first = e->out->n, .depth = env->depth + 1, .up = env, .block = item->kind,
	          .x = inputs ? resolve_inputs(e, env, inputs) : NULL, .blocks = env->blocks, .frozen = env->frozen, .all = env->all, .param = env->all};
	if (!in.x && env->x && e->out->n == env->first)
		in.x = env->x;
	return in;
}

/* From here on its name stands for its last layer. */
static void end_use(Expand *e, Env *env, const Env *in, const char *own)
{
	if (e->out->n == in->first && !e->failed)
		stop(e, diag_error(e->s->diag, e->out->loc, "block %s has no layers here", in->block));
	add(e, &env->local, own, ref(e->s->arena, e->out->n - 1), NULL);
}

static void write_block(Expand *e, Env *env, const Item *item, const YNode *block, int copy)
{
	Arena *a = e->s->arena;
	const char *given = copy_name(e, item, copy), *own = given ? given : use_name(e, env, item->kind);
	const char *full = inner_name(e, env, own);
	Env in = inner_env(e, env, item, copy, *full ? arena_printf(a, "%s_", full) : "");
	if (strlen(in.prefix) > TEXT_MAX) {
		stop(e, diag_error(e->s->diag, item->loc, "the names in it become longer than %d characters", TEXT_MAX));
		return;
	}
	if (!bind_params(e, block, item, &in))
		return;
	write_layers(e, &in, yaml_find(block, "layers"));
	end_use(e, env, &in, own);
}

/* ---- applications ---- */

/* Names of the application and of its input, then those that are made of them. */
static void bind_application(Expand *e, Env *env, const Application *app)
{
	for (int i = 0; i < app->name->n; i++)
		add(e, &env->param, app->name->pair[i].key, NULL, app->name->pair[i].value);
	for (int i = 0; app->params && i < app->params->n; i++)
		add(e, &env->param, app->params->pair[i].key, NULL, replaced(e, env, app->params->pair[i].value));
	env->all = env->param;
}

static void write_application(Expand *e, Env *env, const Item *item, const SchemaRow *row, int copy)
{
	Arena *a = e->s->arena;
	const char *given = copy_name(e, item, copy), *own = given ? given : use_name(e, env, item->kind);
	Env in = inner_env(e, env, item, copy, given ? arena_printf(a, "%s%s_", env->prefix, given) : env->prefix);
	YNode *args = yaml_copy(a, item->args), *trainable = taken(args, "trainable");
	Application app;
	taken(args, "name");
	taken(args, "inputs");
	const char *word = trainable && trainable->kind == Y_SCALAR ? trainable->text : trainable ? "a list or mapping" : "true";
	if (strcmp(word, "true") != 0 && strcmp(word, "false") != 0) {
		stop(e, diag_error(e->s->diag, trainable->loc, "%s must be %s, not %s", "trainable", "true or false", word));
		return;
	}
	if (!application_read(e->s, row, args, e->out->n == 0 ? e->shape : NULL, item->loc, &app)) {
		stop(e, false);
		return;
	}
	in.frozen = in.frozen || *word == 'f';
	in.blocks = app.blocks;
	bind_application(e, &in, &app);
	write_layers(e, &in, app.layers);
	if (app.end)
		write_layers(e, &in, app.end);
	end_use(e, env, &in, own);
	Scope *s = e->s;
	s->use = arena_grow(a, s->use, (size_t)s->nuses, (size_t)s->nuses + 1, sizeof *s->use);
	s->use[s->nuses++] = (ZooUse){row, app.variant, in.prefix, in.first, e->out->n - in.first, item->loc};
}

static void write_layers(Expand *e, Env *env, const YNode *layers)
{
	for (int i = 0; i < layers->n && !e->failed; i++) {
		Item item;
		if (!read_item(e, env, layers->item[i], &item)) {
			if (!e->failed)
				append(e->s->arena, e->out, layers->item[i]);
			continue;
		}
		const bool layer = schema_find(LAYER, item.kind) != NULL;
		const YNode *block = env->blocks && !layer ? yaml_find(env->blocks, item.kind) : NULL;
		const SchemaRow *application = block || layer ? NULL : schema_find(APPLICATION, item.kind);
		if (block && !block_sane(e, env, &item, block))
			return;
		for (int copy = 0; copy < item.repeat && !e->failed; copy++) {
			if (!room_for_one(e, item.loc))
				return;
			make_args(e, env, &item, copy);
			if (block)
				write_block(e, env, &item, block, copy);
			else if (application)
				write_application(e, env, &item, application, copy);
			else
				emit_layer(e, env, &item, copy);
		}
	}
}

/* ---- names for references ---- */

static const char *name_of(const YNode *layer)
{
	const YNode *args = layer->pair[0].value, *name = args->kind == Y_MAP ? yaml_find(args, "name") : NULL;
	return is_text(name) ? name->text : NULL;
}

static bool is_layer(const YNode *n)
{
	return n->kind == Y_MAP && n->n == 1;
}

/* Names that the layers of the plain list will have: their own, or as Keras counts. */
static const char **final_names(Expand *e)
{
	const char **names = NEWN(e->s->arena, const char *, e->out->n + 1);
	int *used = NEWN(e->s->arena, int, schema_nrows);
	for (int i = 0; i < e->out->n; i++) {
		const YNode *layer = e->out->item[i];
		const SchemaRow *kind = is_layer(layer) ? schema_find(LAYER, layer->pair[0].key) : NULL;
		names[i] = kind && name_of(layer) ? name_of(layer) : "";
		if (!kind || name_of(layer))
			continue;
		const int before = used[kind - schema_rows]++;
		names[i] = keras_name(e->s->arena, kind->name);
		if (before)
			names[i] = arena_printf(e->s->arena, "%s_%d", names[i], before);
	}
	return names;
}

/* The scalar itself, or one with the name that it refers to. */
static YNode *named(Expand *e, const char **names, YNode *n)
{
	if (n->kind != Y_SCALAR || n->text[0] != REF_MARK)
		return n;
	YNode *by = yaml_copy(e->s->arena, n);
	by->text = names[atoi(n->text + 1)];
	return by;
}

static void name_list(Expand *e, const char **names, YNode *list)
{
	for (int i = 0; list && list->kind == Y_SEQ && i < list->n; i++)
		list->item[i] = named(e, names, list->item[i]);
}

static void name_refs(Expand *e, const char **names)
{
	for (int i = 0; i < e->out->n; i++) {
		const YNode *layer = e->out->item[i];
		YNode *args = is_layer(layer) ? layer->pair[0].value : NULL;
		if (!args || args->kind != Y_MAP)
			continue;
		name_list(e, names, yaml_find(args, "inputs"));
		YNode *shared = yaml_find(args, "layer");
		if (shared)
			yaml_set(e->s->arena, args, "layer", shared->loc, named(e, names, shared));
	}
}

/* ---- the file ---- */

static void set_in(Arena *a, YNode *map, const char *key, YNode *value)
{
	for (int i = 0; i < map->n; i++) {
		if (strcmp(map->pair[i].key, key) == 0)
			yaml_set(a, map, key, map->pair[i].loc, value);
	}
}

/* What the model is fed with, as far as it can be seen here: a list, or NULL. */
static const YNode *input_shape(Scope *s, const YNode *model)
{
	const YNode *given = yaml_find(model, "input_shape");
	const Val *size = s->data && s->data->kind == VAL_OBJECT ? val(s->data, "image_size") : NULL;
	if (given || !size || !size->given || size->n != 2)
		return given;
	const char *mode = val_string(s->data, "color_mode");
	YNode *list = list_of(s->arena, size->loc, 3);
	for (int i = 0; i < 2; i++)
		append(s->arena, list, yaml_scalar(s->arena, size->loc, val_text(s->arena, &size->item[i])));
	append(s->arena, list, yaml_scalar(s->arena, size->loc, strcmp(mode, "rgb") == 0 ? "3" : strcmp(mode, "rgba") == 0 ? "4" : "1"));
	return list;
}

/* The shape that the base says, or was made for, becomes that of the model. */
static bool base_shape(Expand *e, const SchemaRow *row, const YNode *base, YNode *model)
{
	YNode *own = yaml_find(base, "input_shape"), *other = yaml_find(model, "input_shape");
	if (own && other)
		return diag_error(e->s->diag, other->loc, "model.input_shape and base.input_shape are both given; one of them says it all");
	if (!own && !yaml_find(model, "inputs") && !input_shape(e->s, model))
		own = application_shape(e->s, row, base->loc);
	if (own)
		yaml_set(e->s->arena, model, "input_shape", own->loc, own);
	e->shape = input_shape(e->s, model);
	return true;
}

/* Arguments beside the application's name join those behind it. */
static bool base_args(Expand *e, const SchemaRow *row, const YNode *base, YNode *args)
{
	for (int i = 0; i < base->n; i++) {
		const YPair *p = &base->pair[i];
		if (schema_field_index(row, p->key) < 0 && strcmp(p->key, "trainable") != 0)
			continue;
		if (yaml_find(args, p->key))
			return diag_error(e->s->diag, p->loc, "%s is given twice: here and behind %s", p->key, row->name);
		yaml_set(e->s->arena, args, p->key, p->loc, p->value);
	}
	return true;
}

/* model.base: an application in front of the layers. */
static void write_base(Expand *e, Env *top, const YNode *base, YNode *model)
{
	Arena *a = e->s->arena;
	Val v = {.key = base->loc};
	if (!check_section(e->s, schema_map("base"), base, base->loc, &v)) {
		stop(e, false);
		return;
	}
	const YNode *node = yaml_find(base, "application"), *behind = node->kind == Y_MAP ? node->pair[0].value : NULL;
	const SchemaRow *row = val(&v, "application")->section;
	const YNode empty = {.kind = Y_MAP, .loc = node->loc, .size = 1};
	Item item = {.kind = row->name, .loc = val(&v, "application")->loc, .repeat = 1};
	item.args = yaml_copy(a, behind && behind->kind == Y_MAP ? behind : &empty);
	if (!base_args(e, row, base, item.args) || !base_shape(e, row, base, model))
		stop(e, false);
	else
		write_application(e, top, &item, row, 0);
}

bool blocks_expand(Scope *s, YNode *root)
{
	const YNode *blocks = yaml_find(root, "blocks"), *model = yaml_find(root, "model");
	const YNode *base = yaml_find(model, "base"), *layers = yaml_find(model, "layers");
	Expand e = {.s = s};
	if (blocks && blocks->kind != Y_MAP)
		return diag_error(s->diag, blocks->loc, "blocks is a mapping: name: {params: …, layers: […]}");
	for (int i = 0; blocks && i < blocks->n; i++) {
		if (schema_find(LAYER, blocks->pair[i].key))
			return diag_error(s->diag, blocks->pair[i].loc, "a block can't be called '%.60s': that is a layer", blocks->pair[i].key);
	}
	if ((layers && layers->kind != Y_SEQ) || (!layers && !base))
		return true;
	Env top = {.prefix = "", .blocks = blocks};
	YNode *changed = yaml_copy(s->arena, model), *outputs = yaml_find(model, "outputs");
	e.out = list_of(s->arena, layers ? layers->loc : base->loc, layers ? layers->n : 0);
	e.shape = input_shape(s, model);
	if (base)
		write_base(&e, &top, base, changed);
	if (layers && !e.failed)
		write_layers(&e, &top, layers);
	if (e.failed)
		return false;
	const char **names = final_names(&e);
	name_refs(&e, names);
	yaml_set(s->arena, changed, "layers", e.out->loc, e.out);
	if (outputs) {
		YNode *list = resolve_inputs(&e, &top, outputs);
		name_list(&e, names, list);
		set_in(s->arena, changed, "outputs", list);
	}
	set_in(s->arena, root, "model", changed);
	return true;
}

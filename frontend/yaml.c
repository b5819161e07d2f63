/* yaml.c -- YAML text to a tree of located values: the only file that knows libyaml
 *
 * Takes any bytes. Gives a YNode tree (yaml.h) or located errors: syntax, invalid UTF-8, NUL, duplicate keys, unknown
 * anchors, tags, several documents, too large, too deep, too many nodes once aliases are expanded. libyaml stops at its
 * first syntax error, so there is at most one of those. Does not interpret scalars.
 */
#include <stdint.h>
#include <string.h>
#include <yaml.h>
#include "frontend/yaml.h"

typedef struct Anchor {
	const char *name;
	YNode *node;
	struct Anchor *next;
} Anchor;

typedef struct Reader {
	yaml_parser_t parser;
	Arena *arena;
	Diag *diag;
	Loc at;
	const char *text;
	size_t len;
	uint32_t *offset;     /* byte offset of character i; nchars + 1 entries */
	size_t nchars;
	uint32_t *line_start; /* first character of line i */
	size_t nlines;
	Anchor *anchor;
	size_t nodes;         /* made so far, aliases expanded */
} Reader;

/* ---- places ---- */

/* Characters [from, to); what lies in other lines is not underlined. */
static Loc loc_of_chars(const Reader *r, size_t from, size_t to)
{
	size_t lo = 0, hi = r->nlines; /* line lo starts at or before `from` */
	from = from < r->nchars ? from : r->nchars;
	to = to < r->nchars ? to : r->nchars;
	while (hi - lo > 1) {
		size_t mid = (lo + hi) / 2;
		if (r->line_start[mid] <= from)
			lo = mid;
		else
			hi = mid;
	}
	size_t end = hi < r->nlines && to > r->line_start[hi] ? r->line_start[hi] : to;
	while (end > from && (r->text[r->offset[end] - 1] == '\n' || r->text[r->offset[end] - 1] == '\r'))
		end--;
	Loc loc = {r->at.file, (int)lo + 1, (int)(from - r->line_start[lo]) + 1, 1};
	if (lo == 0)
		loc.col += r->at.col > 0 ? r->at.col - 1 : 0;
	if (end > from)
		loc.len = (int)(r->offset[end] - r->offset[from]);
	return loc;
}

static Loc loc_of(const Reader *r, yaml_mark_t from, yaml_mark_t to)
{
	return loc_of_chars(r, from.index, to.index);
}

/* Length of the well-formed UTF-8 sequence at s (RFC 3629), 0 if there is none. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
	if (s[0] < 0x80)
		return 1;
	size_t n = s[0] >= 0xC2 && s[0] <= 0xDF ? 2 : (s[0] & 0xF0) == 0xE0 ? 3 : s[0] >= 0xF0 && s[0] <= 0xF4 ? 4 : 0;
	if (n == 0 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	}
	bool overlong = (s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xF0 && s[1] < 0x90);
	bool beyond = (s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF4 && s[1] > 0x8F);
	return overlong || beyond ? 0 : n;
}

static bool index_text(Reader *r)
{
	r->offset = NEWN(r->arena, uint32_t, r->len + 1);
	r->line_start = NEWN(r->arena, uint32_t, r->len + 1);
	r->nlines = 1;
	for (size_t i = 0; i < r->len;) {
		size_t n = utf8_length((const unsigned char *)r->text + i, r->len - i);
		r->offset[r->nchars] = (uint32_t)i;
		if (r->text[i] == '\0' || n == 0) {
			Loc loc = loc_of_chars(r, r->nchars, r->nchars);
			return r->text[i] == '\0' ? diag_error(r->diag, loc, "NUL byte in the file") :
			       diag_error(r->diag, loc, "not valid UTF-8 (byte 0x%02x)", (unsigned)(unsigned char)r->text[i]);
		}
		r->nchars++;
		if (r->text[i] == '\n')
			r->line_start[r->nlines++] = (uint32_t)r->nchars;
		i += n;
	}
	r->offset[r->nchars] = (uint32_t)r->len;
	return true;
}

/* ---- events ---- */

static bool syntax_error(Reader *r)
{
	const yaml_parser_t *p = &r->parser;
	const char *problem = p->problem ? p->problem : "not readable as YAML";
	if (p->error == YAML_READER_ERROR) {
		size_t at = 0; /* problem_offset counts bytes */
		while (at < r->nchars && r->offset[at] < p->problem_offset)
			at++;
		return diag_error(r->diag, loc_of_chars(r, at, at), "%s", problem);
	}
	diag_error(r->diag, loc_of(r, p->problem_mark, p->problem_mark), "YAML syntax: %s", problem);
	if (p->context)
		diag_note(r->diag, "=", "%s that starts in line %d", p->context,
		          loc_of(r, p->context_mark, p->context_mark).line);
	return false;
}

static bool next_event(Reader *r, yaml_event_t *e)
{
	return yaml_parser_parse(&r->parser, e) ? true : syntax_error(r);
}

static bool count_nodes(Reader *r, Loc loc, size_t n)
{
	r->nodes += n;
	if (r->nodes <= YAML_MAX_NODES)
		return true;
	return diag_error(r->diag, loc, "too many values (more than %d with aliases expanded)", YAML_MAX_NODES);
}

static YNode *new_node(Reader *r, YKind kind, Loc loc)
{
	if (!count_nodes(r, loc, 1))
		return NULL;
	YNode *n = NEW(r->arena, YNode);
	n->kind = kind;
	n->loc = loc;
	n->size = 1;
	return n;
}

static void remember(Reader *r, const yaml_char_t *anchor, YNode *node)
{
	if (!anchor)
		return;
	Anchor *a = NEW(r->arena, Anchor);
	a->name = arena_strdup(r->arena, (const char *)anchor);
	a->node = node;
	a->next = r->anchor;
	r->anchor = a;
}

static bool no_tag(Reader *r, Loc loc, const yaml_char_t *tag)
{
	return !tag || diag_error(r->diag, loc, "tags ('%s') are not used: the schema gives every value its type",
	                          (const char *)tag);
}

static YNode *compose(Reader *r, yaml_event_t *e, int depth);

static YNode *compose_alias(Reader *r, const yaml_event_t *e, Loc loc)
{
	const char *name = (const char *)e->data.alias.anchor;
	for (Anchor *a = r->anchor; a; a = a->next) {
		if (strcmp(a->name, name) == 0)
			return count_nodes(r, loc, a->node->size) ? a->node : NULL;
	}
	diag_error(r->diag, loc, "no anchor '&%s' ends before this alias", name);
	return NULL;
}

static YNode *compose_scalar(Reader *r, const yaml_event_t *e, Loc loc)
{
	const char *text = (const char *)e->data.scalar.value;
	size_t len = e->data.scalar.length;
	if (!no_tag(r, loc, e->data.scalar.tag))
		return NULL;
	if (memchr(text, '\0', len)) {
		diag_error(r->diag, loc, "NUL character in a string");
		return NULL;
	}
	YNode *n = new_node(r, Y_SCALAR, loc);
	if (!n)
		return NULL;
	n->text = arena_strndup(r->arena, text, len);
	n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	remember(r, e->data.scalar.anchor, n);
	return n;
}

static void append_item(Arena *a, YNode *seq, YNode *item)
{
	if (seq->n == seq->room) {
		int more = seq->room ? seq->room * 2 : 4;
		seq->item = arena_grow(a, seq->item, (size_t)seq->room, (size_t)more, sizeof *seq->item);
		seq->room = more;
	}
	seq->item[seq->n++] = item;
	seq->size += item->size;
}

static YNode *compose_seq(Reader *r, const yaml_event_t *start, Loc loc, int depth)
{
	if (!no_tag(r, loc, start->data.sequence_start.tag))
		return NULL;
	YNode *n = new_node(r, Y_SEQ, loc);
	if (!n)
		return NULL;
	for (;;) {
		yaml_event_t e;
		if (!next_event(r, &e))
			return NULL;
		if (e.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&e);
			break;
		}
		YNode *item = compose(r, &e, depth + 1);
		if (!item)
			return NULL;
		append_item(r->arena, n, item);
	}
	remember(r, start->data.sequence_start.anchor, n);
	return n;
}

/* ---- mappings ---- */

static int find_pair(const YNode *map, const char *key)
{
	for (int i = 0; i < map->n; i++) {
		if (strcmp(map->pair[i].key, key) == 0)
			return i;
	}
	return -1;
}

static void append_pair(Arena *a, YNode *map, const char *key, Loc loc, YNode *value)
{
	if (map->n == map->room) {
		int more = map->room ? map->room * 2 : 4;
		map->pair = arena_grow(a, map->pair, (size_t)map->room, (size_t)more, sizeof *map->pair);
		map->room = more;
	}
	map->pair[map->n++] = (YPair){key, loc, value};
	map->size += value->size;
}

/* Keys of `from` that the map does not give itself; earlier merged maps win (YAML merge key, yaml.org/type/merge). */
static bool merge_map(Reader *r, YNode *map, const YNode *from)
{
	if (from->kind != Y_MAP)
		return diag_error(r->diag, from->loc, "'<<' merges mappings; this is not one");
	for (int i = 0; i < from->n; i++) {
		const YPair *p = &from->pair[i];
		if (find_pair(map, p->key) >= 0)
			continue;
		if (!count_nodes(r, p->loc, p->value->size))
			return false;
		append_pair(r->arena, map, p->key, p->loc, p->value);
	}
	return true;
}

static bool merge(Reader *r, YNode *map, const YNode *value)
{
	if (value->kind != Y_SEQ)
		return merge_map(r, map, value);
	for (int i = 0; i < value->n; i++) {
		if (!merge_map(r, map, value->item[i]))
			return false;
	}
	return true;
}

static bool read_pair(Reader *r, YNode *map, yaml_event_t *key_event, const YNode **merged, int depth)
{
	Loc loc = loc_of(r, key_event->start_mark, key_event->end_mark);
	bool quoted = key_event->type == YAML_SCALAR_EVENT && key_event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	YNode *key = compose(r, key_event, depth + 1);
	if (!key)
		return false;
	if (key->kind != Y_SCALAR)
		return diag_error(r->diag, loc, "a key must be a name");
	yaml_event_t e;
	if (!next_event(r, &e))
		return false;
	YNode *value = compose(r, &e, depth + 1);
	if (!value)
		return false;
	int old = find_pair(map, key->text);
	bool is_merge = !quoted && strcmp(key->text, "<<") == 0;
	if (old >= 0 || (is_merge && *merged)) {
		diag_error(r->diag, loc, "duplicate key '%s'", key->text);
		if (old >= 0)
			diag_note(r->diag, "=", "given in line %d already", map->pair[old].loc.line);
		return true; /* go on: every duplicate is listed */
	}
	if (map->n >= YAML_MAX_KEYS)
		return diag_error(r->diag, loc, "more than %d keys in one mapping", YAML_MAX_KEYS);
	if (is_merge)
		*merged = value;
	else
		append_pair(r->arena, map, key->text, loc, value);
	return true;
}

static YNode *compose_map(Reader *r, const yaml_event_t *start, Loc loc, int depth)
{
	if (!no_tag(r, loc, start->data.mapping_start.tag))
		return NULL;
	YNode *n = new_node(r, Y_MAP, loc);
	if (!n)
		return NULL;
	const YNode *merged = NULL;
	for (;;) {
		yaml_event_t e;
		if (!next_event(r, &e))
			return NULL;
		if (e.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&e);
			break;
		}
		if (!read_pair(r, n, &e, &merged, depth))
			return NULL;
	}
	if (merged && !merge(r, n, merged))
		return NULL;
	remember(r, start->data.mapping_start.anchor, n);
	return n;
}

/* Node that starts with event e; e is used up. */
static YNode *compose(Reader *r, yaml_event_t *e, int depth)
{
	Loc loc = loc_of(r, e->start_mark, e->end_mark);
	YNode *n = NULL;
	if (depth > YAML_MAX_DEPTH)
		diag_error(r->diag, loc, "nested too deeply (more than %d levels)", YAML_MAX_DEPTH);
	else if (e->type == YAML_ALIAS_EVENT)
		n = compose_alias(r, e, loc);
	else if (e->type == YAML_SCALAR_EVENT)
		n = compose_scalar(r, e, loc);
	else if (e->type == YAML_SEQUENCE_START_EVENT)
		n = compose_seq(r, e, loc, depth);
	else if (e->type == YAML_MAPPING_START_EVENT)
		n = compose_map(r, e, loc, depth);
	else
		diag_error(r->diag, loc, "nothing here");
	yaml_event_delete(e);
	return n;
}

/* ---- documents ---- */

static YNode *read_document(Reader *r)
{
	yaml_event_t e;
	if (!next_event(r, &e)) /* stream start */
		return NULL;
	yaml_event_delete(&e);
	if (!next_event(r, &e))
		return NULL;
	bool empty = e.type != YAML_DOCUMENT_START_EVENT;
	yaml_event_delete(&e);
	if (empty) {
		diag_error(r->diag, (Loc){r->at.file, 1, r->at.col, 0}, "nothing in the file");
		return NULL;
	}
	if (!next_event(r, &e))
		return NULL;
	YNode *root = compose(r, &e, 0);
	if (!root)
		return NULL;
	if (!next_event(r, &e)) /* document end */
		return NULL;
	yaml_event_delete(&e);
	if (!next_event(r, &e))
		return NULL;
	bool more = e.type != YAML_STREAM_END_EVENT;
	Loc loc = loc_of(r, e.start_mark, e.end_mark);
	yaml_event_delete(&e);
	if (more) {
		diag_error(r->diag, loc, "a second document; only one is read");
		return NULL;
	}
	return root;
}

YNode *yaml_parse(Arena *a, Diag *d, Loc at, const char *text, size_t len)
{
	Reader r = {.arena = a, .diag = d, .at = at, .text = text, .len = len};
	if (len > YAML_MAX_BYTES) {
		diag_error(d, (Loc){at.file, 0, 0, 0}, "larger than %d bytes: not a model file", YAML_MAX_BYTES);
		return NULL;
	}
	if (!index_text(&r))
		return NULL;
	if (!yaml_parser_initialize(&r.parser)) {
		diag_error(d, at, "out of memory");
		return NULL;
	}
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	int before = diag_errors(d);
	YNode *root = read_document(&r);
	yaml_parser_delete(&r.parser);
	return diag_errors(d) == before ? root : NULL;
}

YNode *yaml_scalar(Arena *a, Loc loc, const char *text)
{
	YNode *n = NEW(a, YNode);
	*n = (YNode){.kind = Y_SCALAR, .plain = true, .loc = loc, .text = text, .size = 1};
	return n;
}

YNode *yaml_copy(Arena *a, const YNode *from)
{
	YNode *n = NEW(a, YNode);
	*n = *from;
	n->room = n->n;
	if (n->kind == Y_SEQ) {
		n->item = NEWN(a, YNode *, n->n);
		for (int i = 0; i < n->n; i++)
			n->item[i] = from->item[i];
	}
	if (n->kind == Y_MAP) {
		n->pair = NEWN(a, YPair, n->n);
		for (int i = 0; i < n->n; i++)
			n->pair[i] = from->pair[i];
	}
	return n;
}

YNode *yaml_find(const YNode *map, const char *key)
{
	int i = map && map->kind == Y_MAP ? find_pair(map, key) : -1;
	return i < 0 ? NULL : map->pair[i].value;
}

void yaml_set(Arena *a, YNode *map, const char *key, Loc loc, YNode *value)
{
	INVARIANT(map->kind == Y_MAP);
	int i = find_pair(map, key);
	if (i < 0)
		append_pair(a, map, key, loc, value);
	else
		map->pair[i] = (YPair){key, loc, value};
}

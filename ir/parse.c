/* parse.c -- a graph from its text form; docs/ir.md is the grammar, print.c the inverse
 *
 * in:  any bytes      out: a module that ir_verify accepts, or NULL and one located error
 * Nodes are built by ir_node, so every shape rule holds; a type that is written must be the one that the rule gives.
 */
#include <string.h>
#include "ir/attr.h"
#include "ir/lex.h"
#include "ir/names.h"

enum { MOST_ENTRIES = 64, MOST_OPERANDS = 64, LARGEST_ID = INT32_MAX };

typedef struct Parse {
	Lexer x;
	Arena *scratch;
	IrModule *module;
	const char *source; /* the file that line numbers count in, or NULL */
	Names *states;
	IrEntry *entry;     /* the one being read */
	Names *values;      /* of the entry: "#12" and "%name" -> node */
	Names *roots;       /* of the entry: "output name" -> anything */
	int nentries;
	int64_t next_id;    /* above every id that was written */
} Parse;

static bool fail_word(Parse *p, const Token *at, const char *what, const char *word, const char *const *names, int n)
{
	const char *near = diag_nearest(word, names, (size_t)n);
	return near ? lex_error(&p->x, at, "no %s '%s'; did you mean '%s'?", what, word, near) :
	              lex_error(&p->x, at, "no %s '%s'", what, word);
}

/* One of n words; *out is its number. */
static bool parse_word(Parse *p, const char *what, const char *const *names, int n, int32_t *out)
{
	Token at = p->x.token;
	if (at.kind != TOKEN_WORD)
		return lex_error(&p->x, &at, "%s is missing before %s", what, lex_found(&p->x));
	for (int i = 0; i < n; i++) {
		if (lex_accept_word(&p->x, names[i])) {
			*out = i;
			return !p->x.failed;
		}
	}
	return fail_word(p, &at, what, at.text, names, n);
}

static bool parse_type(Parse *p, bool may_be_batched, IrType *out)
{
	int32_t dim[IR_MAX_RANK], dtype = 0;
	int rank = 0, n;
	int64_t extent = 0;
	const char *const *dtypes = ir_member_words(MEMBER_DTYPE, &n);
	if (!parse_word(p, "dtype", dtypes, n, &dtype) || !lex_expect(&p->x, '['))
		return false;
	while (!lex_accept(&p->x, ']')) {
		if (rank > 0 && !lex_expect(&p->x, ','))
			return false;
		if (rank == IR_MAX_RANK)
			return lex_error(&p->x, &p->x.token, "at most %d dimensions are possible", IR_MAX_RANK);
		if (rank == 0 && may_be_batched && lex_accept_word(&p->x, "N"))
			extent = IR_N;
		else if (!lex_int(&p->x, 1, INT32_MAX, &extent))
			return false;
		dim[rank++] = (int32_t)extent;
	}
	*out = ir_type((DType)dtype, rank, dim);
	return !p->x.failed;
}

/* The YAML line at the end of a line, and the end. */
static bool parse_line_end(Parse *p, Loc *out)
{
	int64_t line = 0;
	if (lex_accept(&p->x, ':') && !lex_int(&p->x, 1, INT32_MAX, &line))
		return false;
	*out = (Loc){ .file = line ? p->source : NULL, .line = (int)line };
	return lex_end_line(&p->x);
}

static IrState *parse_state_ref(Parse *p)
{
	if (!lex_expect(&p->x, '@'))
		return NULL;
	Token at = p->x.token;
	const char *name = lex_name(&p->x, "name of a state");
	IrState *s = name ? names_get(p->states, name) : NULL;
	if (name && !s)
		lex_error(&p->x, &at, "no state @%s above this line", name);
	return s;
}

/* The key of a value in p->values; *out_name and *out_id say how it was written. NULL: reported. */
static const char *parse_value_name(Parse *p, const char **out_name, int64_t *out_id)
{
	*out_name = NULL;
	if (!lex_expect(&p->x, '%'))
		return NULL;
	if (p->x.token.kind == TOKEN_NUMBER) {
		if (!lex_int(&p->x, 0, LARGEST_ID, out_id))
			return NULL;
		return arena_printf(p->scratch, "#%lld", (long long)*out_id);
	}
	*out_name = lex_name(&p->x, "name of a value");
	return *out_name ? arena_printf(p->scratch, "%%%s", *out_name) : NULL;
}

static IrNode *parse_value(Parse *p)
{
	const char *name;
	int64_t id;
	Token at = p->x.token;
	const char *key = parse_value_name(p, &name, &id);
	IrNode *n = key ? names_get(p->values, key) : NULL;
	if (key && !n)
		lex_error(&p->x, &at, "no value %%%s above this line", key + 1);
	return n;
}

/* ---- braces ---- */
static bool parse_i32s(Parse *p, int32_t *to, int n)
{
	for (int i = 0; i < n; i++) {
		int64_t value;
		if (!lex_int(&p->x, INT32_MIN, INT32_MAX, &value))
			return false;
		to[i] = (int32_t)value;
	}
	return true;
}

static bool parse_axes(Parse *p, uint32_t *to)
{
	*to = 0;
	do {
		int64_t axis;
		if (!lex_int(&p->x, 0, 31, &axis))
			return false;
		*to |= UINT32_C(1) << axis;
	} while (p->x.token.kind == TOKEN_NUMBER);
	return true;
}

static bool parse_perm(Parse *p, int32_t *to)
{
	int n = 0;
	do {
		if (n == IR_MAX_RANK)
			return lex_error(&p->x, &p->x.token, "at most %d axes are possible", IR_MAX_RANK);
		if (!parse_i32s(p, to + n, 1))
			return false;
		n++;
	} while (p->x.token.kind == TOKEN_NUMBER);
	return true;
}

static bool parse_enum(Parse *p, const IrMember *m, int32_t *to)
{
	int n;
	const char *const *words = ir_member_words(m->kind, &n);
	return parse_word(p, m->name, words, n, to);
}

static bool parse_member(Parse *p, const IrMember *m, void *at)
{
	void *to = (char *)at + m->offset;
	int64_t value = 0;
	switch (m->kind) {
	case MEMBER_I32:
		return parse_i32s(p, to, m->count);
	case MEMBER_U32:
		if (!lex_int(&p->x, 0, UINT32_MAX, &value))
			return false;
		*(uint32_t *)to = (uint32_t)value;
		return true;
	case MEMBER_F64:
		for (int i = 0; i < m->count; i++) {
			if (!lex_double(&p->x, (double *)to + i))
				return false;
		}
		return true;
	case MEMBER_FLAG:
		*(bool *)to = true;
		return true;
	case MEMBER_AXES:
		return parse_axes(p, to);
	case MEMBER_PERM:
		return parse_perm(p, to);
	case MEMBER_STATE:
		return (*(IrState **)to = parse_state_ref(p)) != NULL;
	default:
		return parse_enum(p, m, to);
	}
}

/* `{name values, …}`, or nothing: every member that is not written has its default. */
static bool parse_members(Parse *p, IrMembers list, void *at)
{
	const char *name[32];
	uint32_t seen = 0;
	INVARIANT(list.n <= (int)COUNT(name));
	for (int i = 0; i < list.n; i++)
		name[i] = list.member[i].name;
	ir_members_preset(list, at);
	if (!lex_accept(&p->x, '{'))
		return !p->x.failed;
	do {
		int32_t i;
		Token word = p->x.token;
		if (!parse_word(p, "attribute", name, list.n, &i))
			return false;
		if (seen & UINT32_C(1) << i)
			return lex_error(&p->x, &word, "'%s' is given twice", name[i]);
		seen |= UINT32_C(1) << i;
		if (!parse_member(p, &list.member[i], at))
			return false;
	} while (lex_accept(&p->x, ','));
	return lex_expect(&p->x, '}');
}

/* ---- the lines of a module ---- */
static bool parse_module(Parse *p)
{
	int64_t n = 1, streams = 0;
	if (!lex_accept_word(&p->x, "module"))
		return lex_error(&p->x, &p->x.token, "'module' is missing before %s", lex_found(&p->x));
	const char *name = lex_name(&p->x, "name of the module");
	if (!name)
		return false;
	p->module = ir_module_new(name);
	if (!lex_accept_word(&p->x, "N"))
		return lex_error(&p->x, &p->x.token, "'N<=' is missing before %s", lex_found(&p->x));
	if (!lex_expect(&p->x, '<') || !lex_expect(&p->x, '=') || !lex_int(&p->x, 1, INT32_MAX, &n))
		return false;
	if (lex_accept_word(&p->x, "precision")) {
		const bool tf32 = lex_accept_word(&p->x, "tf32");
		if (!tf32 && !lex_accept_word(&p->x, "mixed_bfloat16"))
			return lex_error(&p->x, &p->x.token, "no such precision: %s", lex_found(&p->x));
		p->module->precision = tf32 ? PRECISION_TF32 : PRECISION_MIXED_BF16;
	}
	if (lex_accept_word(&p->x, "streams") && !lex_int(&p->x, 0, UINT32_MAX, &streams))
		return false;
	if (lex_accept_word(&p->x, "math")) {
		p->module->fast_math = lex_accept_word(&p->x, "fast");
		if (!p->module->fast_math)
			return lex_error(&p->x, &p->x.token, "'fast' is missing before %s", lex_found(&p->x));
	}
	if (lex_accept_word(&p->x, "from")) {
		const char *file = lex_name(&p->x, "name of a file");
		if (!file)
			return false;
		p->source = arena_strdup(p->module->arena, file);
	}
	p->module->max_n = (int32_t)n;
	p->module->next_stream = (uint32_t)streams;
	return lex_end_line(&p->x);
}

static bool parse_labels(Parse *p)
{
	int n = 0, room = 0;
	const char **label = NULL;
	if (p->module->nlabels)
		return lex_error(&p->x, &p->x.token, "a second line of labels");
	while (p->x.token.kind == TOKEN_STRING) {
		if (n == room) {
			room = room ? 2 * room : 8;
			label = arena_grow(p->module->arena, label, (size_t)n, (size_t)room, sizeof *label);
		}
		label[n++] = arena_strdup(p->module->arena, p->x.token.text);
		lex_next(&p->x);
	}
	p->module->labels = label;
	p->module->nlabels = n;
	return lex_end_line(&p->x);
}

static bool parse_optimizer(Parse *p)
{
	IrOptimizer *o = p->entry ? NEW(p->module->arena, IrOptimizer) : &p->module->optimizer;
	int32_t kind = 0;
	if (p->entry)
		p->entry->optimizer = o;
	if (!parse_word(p, "optimizer", ir_optimizer_words, OPTIM_COUNT, &kind) || !parse_members(p, ir_optimizer_members(), o))
		return false;
	o->kind = (IrOptimizerKind)kind;
	return lex_end_line(&p->x);
}

static bool parse_state(Parse *p, IrStateKind kind)
{
	IrType type;
	if (!lex_expect(&p->x, '@'))
		return false;
	Token at = p->x.token;
	const char *name = lex_name(&p->x, "name of a state");
	if (!name || !parse_type(p, false, &type))
		return false;
	if (!name[0])
		return lex_error(&p->x, &at, "the name is empty");
	if (names_get(p->states, name))
		return lex_error(&p->x, &at, "a second state @%s", name);
	if (ir_row_elems(&type) == INT64_MAX)
		return lex_error(&p->x, &at, "state @%s is too large", name);
	IrState *s = ir_state_new(p->module, name, type, kind, (Loc){ 0 });
	names_add(p->states, name, s);
	return parse_members(p, ir_state_members(), s) && parse_line_end(p, &s->loc);
}

static bool parse_port(Parse *p, Names *seen)
{
	IrType type;
	Token at = p->x.token;
	const char *name = lex_name(&p->x, "name of an input");
	if (!name || !parse_type(p, true, &type))
		return false;
	if (!name[0])
		return lex_error(&p->x, &at, "the name is empty");
	if (names_add(seen, name, p))
		return lex_error(&p->x, &at, "a second input '%s'", name);
	ir_port_new(p->entry, name, type);
	return true;
}

static bool parse_entry(Parse *p)
{
	Token at = p->x.token;
	const char *name = lex_name(&p->x, "name of an entry");
	Names *ports = names_new(p->scratch);
	if (!name || !lex_expect(&p->x, '('))
		return false;
	if (ir_entry_find(p->module, name))
		return lex_error(&p->x, &at, "a second entry '%s'", name);
	if (++p->nentries > MOST_ENTRIES)
		return lex_error(&p->x, &at, "more than %d entries", MOST_ENTRIES);
	p->entry = ir_entry_new(p->module, name);
	p->values = names_new(p->scratch);
	p->roots = names_new(p->scratch);
	p->next_id = 0;
	while (!lex_accept(&p->x, ')')) {
		if (p->entry->nport > 0 && !lex_expect(&p->x, ','))
			return false;
		if (!parse_port(p, ports))
			return false;
	}
	return lex_end_line(&p->x);
}

/* Ids that were written stay; named nodes get those above. */
static void finish_entry(Parse *p)
{
	if (!p->entry)
		return;
	p->entry->next_id = (uint32_t)p->next_id;
	IR_EACH(p->entry, n) {
		if (n->name)
			n->id = p->entry->next_id++;
	}
	p->entry = NULL;
}

/* ---- the lines of an entry ---- */
static bool parse_op(Parse *p, int32_t *out)
{
	static const char *const names[] = {
#define OP(name, text, ...) text,
#include "ir/ops.def"
	};
	return parse_word(p, "op", names, COUNT(names), out);
}

static bool input_fits(Parse *p, const Token *at, const IrNode *n)
{
	int32_t port = n->attr.input.port;
	if (port < 0 || port >= p->entry->nport)
		return lex_error(&p->x, at, "port %d, entry '%s' has %d inputs", port, p->entry->name, p->entry->nport);
	const IrPort *from = &p->entry->port[port];
	return ir_type_eq(&n->type, &from->type) ||
	       lex_error(&p->x, at, "type is %s, input '%s' is %s", ir_type_text(p->scratch, &n->type), from->name,
	                 ir_type_text(p->scratch, &from->type));
}

/* op type operands {attributes}; NULL: reported. */
static IrNode *parse_operation(Parse *p)
{
	IrNode *in[MOST_OPERANDS];
	IrAttr attr;
	IrType type;
	int32_t op = 0;
	int nin = 0;
	Token at = p->x.token;
	memset(&attr, 0, sizeof attr);
	if (!parse_op(p, &op) || !parse_type(p, true, &type))
		return NULL;
	while (p->x.token.kind == TOKEN_PUNCT && p->x.token.text[0] == '%') {
		if (nin == MOST_OPERANDS) {
			lex_error(&p->x, &at, "more than %d operands", MOST_OPERANDS);
			return NULL;
		}
		if (!(in[nin++] = parse_value(p)))
			return NULL;
	}
	if (!parse_members(p, ir_attr_members((OpCode)op), &attr))
		return NULL;
	IrNode *n = ir_node(p->entry, p->x.diag, (OpCode)op, lex_loc(&p->x, &at), nin, in, &attr, &type);
	if (!n) {
		p->x.failed = true;
		return NULL;
	}
	if (!ir_type_eq(&n->type, &type)) {
		lex_error(&p->x, &at, "type is %s, operands give %s", ir_type_text(p->scratch, &type),
		          ir_type_text(p->scratch, &n->type));
		return NULL;
	}
	return n->op != OP_input || input_fits(p, &at, n) ? n : NULL;
}

static bool parse_node(Parse *p)
{
	const char *name;
	int64_t id = 0;
	Token at = p->x.token;
	const char *key = parse_value_name(p, &name, &id);
	if (!key || !lex_expect(&p->x, '='))
		return false;
	if (names_get(p->values, key))
		return lex_error(&p->x, &at, "a second value %%%s", key + 1);
	IrNode *n = parse_operation(p);
	if (!n || !parse_line_end(p, &n->loc))
		return false;
	n->name = name ? arena_strdup(p->module->arena, name) : NULL;
	n->id = (uint32_t)id;
	if (!name && id >= p->next_id)
		p->next_id = id + 1;
	names_add(p->values, key, n);
	return true;
}

static bool parse_root(Parse *p, IrRootKind kind)
{
	static const char *const kinds[] = { "output", "metric", "update" };
	static const char *const metrics[] = { "mean", "precision", "recall", "f1", "auc", "auc_each", "iou" };
	IrRoot root = { .kind = kind };
	int32_t metric = METRIC_MEAN;
	Token at = p->x.token;
	if (kind == ROOT_UPDATE) {
		root.state = parse_state_ref(p);
		root.name = root.state ? root.state->name : NULL;
	} else {
		root.name = lex_name(&p->x, "name of a result");
	}
	if (!root.name || (kind == ROOT_METRIC && !parse_word(p, "metric", metrics, COUNT(metrics), &metric)))
		return false;
	root.metric = (IrMetricKind)metric;
	if (!(root.value = parse_value(p)))
		return false;
	const char *problem = ir_root_problem(p->scratch, &root);
	if (problem)
		return lex_error(&p->x, &at, "%s", problem);
	if (names_add(p->roots, arena_printf(p->scratch, "%s %s", kinds[kind], root.name), p))
		return lex_error(&p->x, &at, "a second %s '%s'", kinds[kind], root.name);
	ir_root_new(p->entry, root);
	return lex_end_line(&p->x);
}

static bool parse_loss(Parse *p)
{
	Token at = p->x.token;
	IrNode *n = parse_value(p);
	if (!n)
		return false;
	if (p->entry->loss)
		return lex_error(&p->x, &at, "a second loss");
	if (n->type.rank != 0 || n->type.dtype != DT_F32)
		return lex_error(&p->x, &at, "loss is %s, not f32[]", ir_type_text(p->scratch, &n->type));
	p->entry->loss = n;
	return lex_end_line(&p->x);
}

static bool parse_entry_line(Parse *p, int word)
{
	switch (word) {
	case 0:
	case 1:
	case 2:
		return parse_root(p, (IrRootKind)word);
	default:
		return parse_loss(p);
	}
}

static bool parse_line(Parse *p)
{
	static const char *const words[] = { "output", "metric", "update", "loss", /* of an entry */
		                             "param", "moment", "stat", "entry", "labels", "optimizer" };
	enum { LOSS = 3, PARAM = 4, STAT = 6, ENTRY = 7, LABELS = 8 };
	int32_t word = 0;
	Token at = p->x.token;
	bool node = at.kind == TOKEN_PUNCT && at.text[0] == '%';
	if (!node && !parse_word(p, "line that begins with", words, COUNT(words), &word))
		return false;
	if ((node || word <= LOSS) && !p->entry)
		return lex_error(&p->x, &at, "stands in no entry");
	if (node)
		return parse_node(p);
	if (word <= LOSS)
		return parse_entry_line(p, word);
	finish_entry(p);
	if (word <= STAT)
		return parse_state(p, (IrStateKind)(word - PARAM));
	return word == ENTRY ? parse_entry(p) : word == LABELS ? parse_labels(p) : parse_optimizer(p);
}

IrModule *ir_parse(const char *file, const char *text, size_t len, Diag *d)
{
	Arena *scratch = arena_new();
	Parse p = { .scratch = scratch, .states = names_new(scratch) };
	p.x = lex_start(file, text, len, d, scratch);
	bool good = !p.x.failed && parse_module(&p);
	while (good && p.x.token.kind != TOKEN_END)
		good = parse_line(&p);
	good = good && !p.x.failed;
	if (good)
		finish_entry(&p);
	arena_free(scratch);
	if (good)
		return p.module;
	ir_module_free(p.module);
	return NULL;
}

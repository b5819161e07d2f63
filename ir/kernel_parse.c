/* kernel_parse.c -- the text of kernel_print.c back into a program
 *
 * Recursive descent over bytes; white space separates and means nothing else. Takes any text: the first error is reported
 * and ends it. Expressions are rebuilt through kernel.c, so equal ones are shared as they were; k_verify has the last word.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ir/kernel.h"

enum { MAX_DEPTH = 500, MAX_COUNT = 1 << 20, LARGEST = 1 << 29 /* extents, coefficients: sums of products fit int64_t */ };

typedef struct Parse {
	const char *file, *text;
	size_t len, at;
	int depth;
	bool failed;
	Arena *a;
	Diag *d;
	KProgram *p;
	KEntry *e;
	Kernel *k;
	int *let;    /* expression of t1, t2 … */
	int nlets;
} Parse;

static const char *const classes[] = { "in", "out", "state", "slab", "partial", "scratch", "view", "metric" };
static const char *const modes[] = { "in", "out", "inout", "add" };
static const char *const scalars[] = { "lr", "inv_n", "step", "pass", "power", "update", "due" };
static const char *const edges[] = { "never", "zero", "lowest", "clamp" };
static const char *const levels[] = { "grid", "block", "stage", "warp", "mma", "loop", "peel", "unroll", "vector", "ahead" };
static const char *const counts[] = { "count" };
static const char *const items[] = { "run", "part", "step", "join" };
static const char *const reds[] = {
#define RED(name, start, combine) #name,
#include "ir/reduce.def"
};

/* ---- bytes and words ---- */
static bool fail(Parse *x, const char *what)
{
	int line = 1, col = 1;
	if (x->failed)
		return false;
	x->failed = true;
	for (size_t i = 0; i < x->at && i < x->len; i++) {
		col = x->text[i] == '\n' ? 1 : col + 1;
		line += x->text[i] == '\n';
	}
	return diag_error(x->d, (Loc){ x->file, line, col, 1 }, "kernel text: %s", what);
}

static char ahead(Parse *x)
{
	while (x->at < x->len && strchr(" \t\r\n", x->text[x->at]) && x->text[x->at])
		x->at++;
	return x->at < x->len && !x->failed ? x->text[x->at] : '\0';
}

static bool accept(Parse *x, char c)
{
	if (ahead(x) != c || c == '\0')
		return false;
	x->at++;
	return true;
}

static bool expect(Parse *x, char c)
{
	return accept(x, c) || fail(x, c == '(' ? "( is missing" : c == ')' ? ") is missing" : c == '{' ? "{ is missing" :
	                               c == '}' ? "} is missing" : c == '[' ? "[ is missing" : c == ']' ? "] is missing" :
	                               "a sign is missing");
}

static bool is_word(char c, const char *more)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || (c && strchr(more, c));
}

static char *bytes_while(Parse *x, const char *more)
{
	ahead(x);
	const size_t start = x->at;
	while (!x->failed && x->at < x->len && is_word(x->text[x->at], more))
		x->at++;
	return x->at > start ? arena_strndup(x->a, x->text + start, x->at - start) : NULL;
}

static const char *word(Parse *x)
{
	const char *w = bytes_while(x, "");
	if (!w)
		fail(x, "a name is missing");
	return w ? w : "";
}

/* A word without taking it. */
static const char *peek(Parse *x)
{
	ahead(x);
	const size_t at = x->at;
	const char *w = bytes_while(x, "");
	x->at = at;
	return w ? w : "";
}

static bool accept_word(Parse *x, const char *w)
{
	if (strcmp(peek(x), w) != 0)
		return false;
	x->at += strlen(w);
	return true;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *name(Parse *x)
{
	if (!accept(x, '"')) {
		const char *w = bytes_while(x, "./+-@");
		if (!w)
			fail(x, "a name is missing");
		return w ? w : "";
	}
	char *out = NEWN(x->a, char, x->len - x->at + 1);
	for (size_t n = 0; x->at < x->len && x->text[x->at] != '"'; n++, x->at++) {
		out[n] = x->text[x->at];
		if (out[n] != '\\')
			continue;
		if (x->at + 3 >= x->len || x->text[x->at + 1] != 'x' || hex(x->text[x->at + 2]) < 0 || hex(x->text[x->at + 3]) < 0)
			break;
		out[n] = (char)(hex(x->text[x->at + 2]) * 16 + hex(x->text[x->at + 3]));
		x->at += 3;
	}
	if (x->at >= x->len || x->text[x->at] != '"')
		fail(x, "the name does not end");
	else
		x->at++;
	return out;
}

static int one_of(Parse *x, const char *const *list, int n, const char *what)
{
	const char *w = word(x);
	for (int i = 0; i < n; i++) {
		if (strcmp(list[i], w) == 0)
			return i;
	}
	fail(x, what);
	return 0;
}

static int64_t integer(Parse *x, int64_t lo, int64_t hi)
{
	const bool minus = accept(x, '-');
	const char *w = bytes_while(x, "");
	char *end = NULL;
	errno = 0;
	int64_t v = w ? strtoll(w, &end, 10) : 0;
	v = minus ? -v : v;
	if (!w || *end || errno || v < lo || v > hi) {
		fail(x, "a number is missing or out of range");
		return lo;
	}
	return v;
}

static double number(Parse *x)
{
	ahead(x);
	const size_t start = x->at;
	char buf[64], *end;
	while (x->at < x->len && x->at - start < sizeof buf - 1 &&
	       (is_word(x->text[x->at], ".") || (strchr("+-", x->text[x->at]) && x->text[x->at] &&
	                                         (x->at == start || strchr("eE", x->text[x->at - 1])))))
		x->at++;
	memcpy(buf, x->text + start, x->at - start);
	buf[x->at - start] = '\0';
	const double v = strtod(buf, &end);
	if (end == buf || *end)
		fail(x, "a number is missing");
	return v;
}

static DType dtype(Parse *x)
{
	const char *w = word(x);
	for (int i = 0; i < DT_COUNT; i++) {
		if (strcmp(dtype_name((DType)i), w) == 0)
			return (DType)i;
	}
	fail(x, "no such dtype");
	return DT_F32;
}

static IrType type(Parse *x)
{
	IrType t = { .dtype = dtype(x) };
	expect(x, '[');
	while (!x->failed && ahead(x) != ']') {
		if (t.rank == IR_MAX_RANK) {
			fail(x, "too many dimensions");
			break;
		}
		const bool samples = t.rank == 0 && accept_word(x, "N");
		t.dim[t.rank++] = samples ? IR_N : (int32_t)integer(x, 1, INT32_MAX);
		if (!accept(x, ','))
			break;
	}
	expect(x, ']');
	int64_t elems = 1;
	for (int i = 0; i < t.rank; i++) {
		if (__builtin_mul_overflow(elems, t.dim[i] == IR_N ? 1 : t.dim[i], &elems))
			fail(x, "the type is too large");
	}
	return x->failed ? (IrType){ 0 } : t;
}

/* ---- expressions ---- */
static int expr(Parse *x);

static int axis(Parse *x)
{
	const char *w = word(x);
	for (int i = 0; i < x->k->naxes; i++) {
		if (strcmp(x->k->axis[i].name, w) == 0)
			return i;
	}
	fail(x, "no such axis");
	return 0;
}

static int64_t coefficient(Parse *x)
{
	int64_t v = 0;
	while (x->at < x->len && x->text[x->at] >= '0' && x->text[x->at] <= '9' && v <= LARGEST)
		v = v * 10 + (x->text[x->at++] - '0');
	if (v > LARGEST)
		fail(x, "a coefficient is out of range");
	return v <= LARGEST ? v : 0;
}

/* [+-] ( INT | [INT] AXIS | "(" expr ")" ) … */
static KIndex parse_index(Parse *x)
{
	KIndex at = k_index(0);
	for (bool first = true; !x->failed; first = false) {
		const bool minus = accept(x, '-');
		if (!minus && !accept(x, '+') && !first)
			break;
		if (!minus && at.expr < 0 && accept(x, '(')) {
			const int e = expr(x);
			at.expr = (int16_t)e;
			expect(x, ')');
			continue;
		}
		const char c = ahead(x);
		const bool digits = c >= '0' && c <= '9';
		int64_t v = digits ? coefficient(x) : 1;
		v = minus ? -v : v;
		const bool has_axis = x->at < x->len && is_word(x->text[x->at], "");
		if (has_axis)
			at.coef[axis(x)] = (int32_t)v;
		else if (digits)
			at.c0 = (int32_t)v;
		else
			fail(x, "an index is missing");
	}
	return at;
}

static int operand(Parse *x, const char *w)
{
	for (int i = 0; i < x->k->nopnds; i++) {
		if (strcmp(x->k->opnd[i].name, w) == 0)
			return i;
	}
	fail(x, "no such operand");
	return -1;
}

/* "[" index,… [ "|" edge ] [ "<" top ] "]" behind the operand's name; *top: 0 where there is none */
static KEdge access(Parse *x, int o, KIndex *at, int32_t *top)
{
	KEdge edge = EDGE_NEVER;
	const int rank = o >= 0 ? x->k->opnd[o].type.rank : 0;
	expect(x, '[');
	for (int d = 0; d < rank && !x->failed; d++) {
		if (d > 0)
			expect(x, ',');
		at[d] = parse_index(x);
	}
	if (accept(x, '|'))
		edge = (KEdge)one_of(x, edges, (int)COUNT(edges), "no such edge");
	*top = accept(x, '<') ? (int32_t)integer(x, 1, LARGEST) : 0;
	if (*top && (edge != EDGE_NEVER || o < 0 || x->k->opnd[o].type.dtype != DT_I32))
		fail(x, "a bound of what is no index");
	expect(x, ']');
	return edge;
}

static int load(Parse *x, const char *w)
{
	KIndex at[IR_MAX_RANK];
	const int o = operand(x, w);
	int32_t top;
	const KEdge edge = access(x, o, at, &top);
	if (x->failed)
		return 0;
	return top ? k_load_below(x->a, x->k, o, at, top) : k_load(x->a, x->k, o, at, edge);
}

static int arguments(Parse *x, int *arg, int most)
{
	int n = 0;
	do {
		if (n == most)
			fail(x, "too many arguments");
		else
			arg[n++] = expr(x);
	} while (!x->failed && accept(x, ','));
	expect(x, ')');
	return n;
}

static DType type_of(const Parse *x, int e)
{
	return x->k->expr[e].type;
}

static int operation(Parse *x, KRow row, const int *arg, int n)
{
	if (x->failed || n != k_row_arity(row)) {
		fail(x, "wrong number of arguments");
		return 0;
	}
	const bool compares = row == EW_lt || row == EW_le || row == EW_eq;
	const int first = row == EW_select;
	for (int i = first; i < n; i++) {
		if (type_of(x, arg[i]) != type_of(x, arg[first]) || (first && type_of(x, arg[0]) != DT_BOOL)) {
			fail(x, "arguments differ in dtype");
			return 0;
		}
	}
	return k_ewise(x->a, x->k, row, compares ? DT_BOOL : type_of(x, arg[first]), arg[0], n > 1 ? arg[1] : -1,
	               n > 2 ? arg[2] : -1);
}

/* f(…): a row of ewise.def, a cast, or random */
static int call(Parse *x, const char *w)
{
	int arg[3] = { 0, 0, 0 };
	KRow row;
	if (strcmp(w, "random") == 0) {
		for (int i = 0; i < 3; i++) {
			arg[i] = expr(x);
			expect(x, ',');
		}
		const uint32_t stream = (uint32_t)integer(x, 0, UINT32_MAX);
		expect(x, ')');
		return x->failed ? 0 : k_random(x->a, x->k, arg[0], arg[1], arg[2], stream);
	}
	for (int t = 0; t < DT_COUNT; t++) {
		if (strcmp(dtype_name((DType)t), w) != 0)
			continue;
		const int n = arguments(x, arg, 1);
		return x->failed || n != 1 ? 0 : k_cast(x->a, x->k, arg[0], (DType)t);
	}
	if (!k_row_find(w, &row) || row == EW_cast) {
		fail(x, "no such function");
		return 0;
	}
	return operation(x, row, arg, arguments(x, arg, 3));
}

static int infix(Parse *x)
{
	static const struct { char sign; KRow row; } rows[] = { { '+', EW_add }, { '-', EW_sub }, { '*', EW_mul }, { '/', EW_div } };
	int arg[3] = { expr(x), 0, 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (!accept(x, rows[i].sign))
			continue;
		arg[1] = expr(x);
		expect(x, ')');
		return operation(x, rows[i].row, arg, 2);
	}
	fail(x, "an operator is missing");
	return 0;
}

static KCounted per_step(Parse *x)
{
	KCounted c = { .which = (IrScalar)one_of(x, scalars, (int)COUNT(scalars), "no such number") };
	if (c.which < SC_POWER)
		return c;
	expect(x, '(');
	c.base = number(x);
	if (accept(x, ','))
		c.every = (int32_t)integer(x, 2, INT32_MAX);
	expect(x, ')');
	if (!(c.base >= 0 && c.base <= INT32_MAX))
		fail(x, "out of range");
	return c;
}

static int scalar(Parse *x)
{
	const KCounted c = per_step(x);
	return k_scalar(x->a, x->k, c.which, c.base, c.every);
}

static int konst(Parse *x)
{
	const double v = number(x);
	const DType t = accept(x, ':') ? dtype(x) : DT_F32;
	return k_konst(x->a, x->k, t, ir_ewise("cast", v, 0, 0, t));
}

/* A local or a let: the expression that stands for it. */
static int named(Parse *x, const char *w)
{
	for (int i = 0; i < x->k->nstages; i++) {
		const KStage *s = &x->k->stage[i];
		if (s->kind == S_REDUCE && strcmp(s->name, w) == 0)
			return k_reduce(x->a, x->k, w, s->red, s->away, s->value, s->type); /* the same again: its local */
	}
	char *end;
	const long i = w[0] == 't' ? strtol(w + 1, &end, 10) : 0;
	if (i >= 1 && i <= x->nlets && !*end)
		return x->let[i - 1];
	fail(x, "no such value");
	return 0;
}

static int primary(Parse *x)
{
	const char c = ahead(x);
	if (accept(x, '('))
		return infix(x);
	if (accept(x, '$'))
		return scalar(x);
	if (accept(x, '@')) {
		expect(x, '(');
		const KIndex at = parse_index(x);
		expect(x, ')');
		return x->failed ? 0 : k_axis_value(x->a, x->k, at);
	}
	const char *w = peek(x);
	if (c == '-' || (c >= '0' && c <= '9') || strcmp(w, "inf") == 0 || strcmp(w, "nan") == 0)
		return konst(x);
	w = word(x);
	return ahead(x) == '[' ? load(x, w) : accept(x, '(') ? call(x, w) : named(x, w);
}

static int expr(Parse *x)
{
	if (x->depth >= MAX_DEPTH || x->k->nexprs >= INT16_MAX - 16)
		fail(x, "the expression is too large");
	if (x->failed)
		return x->k->nexprs ? 0 : k_konst(x->a, x->k, DT_F32, 0);
	x->depth++;
	const int e = primary(x);
	x->depth--;
	return x->failed && !x->k->nexprs ? k_konst(x->a, x->k, DT_F32, 0) : e;
}

/* ---- kernels ---- */
static void *room(Parse *x, void *array, int count, size_t size)
{
	const size_t n = (size_t)count;
	return n == 0 ? arena_alloc(x->a, 8, size)
	       : n >= 8 && (n & (n - 1)) == 0 ? arena_grow(x->a, array, n, 2 * n, size) : array;
}

static void parse_axis(Parse *x)
{
	const char *w = word(x);
	KExtent ext = EXT_CONST;
	int64_t extent, rows = 0;
	expect(x, ':');
	if (accept_word(x, "N"))
		ext = EXT_N;
	else if (accept_word(x, "parts"))
		ext = EXT_PARTS;
	else if (accept_word(x, "list"))
		ext = EXT_LIST;
	if (ext != EXT_CONST) {
		expect(x, '<');
		expect(x, '=');
	}
	extent = integer(x, 1, LARGEST);
	if (ext == EXT_PARTS && expect(x, '/'))
		rows = integer(x, 1, LARGEST);
	if (x->k->naxes == K_MAX_AXES)
		fail(x, "too many axes");
	if (x->failed)
		return;
	const int i = k_axis(x->a, x->k, w, ext, (int32_t)extent);
	x->k->axis[i].rows = (int32_t)rows;
	if (strcmp(x->k->axis[i].name, w) != 0)
		fail(x, "the name is taken");
}

static void parse_operand(Parse *x)
{
	const KMode mode = (KMode)one_of(x, modes, (int)COUNT(modes), "no such mode");
	const char *w = word(x);
	const IrType t = type(x);
	expect(x, '#');
	const int32_t buf = (int32_t)integer(x, 0, x->p->nbuffers - 1);
	if (x->k->nopnds >= INT16_MAX - 1 || x->p->nbuffers == 0)
		fail(x, "no such buffer");
	if (x->failed)
		return;
	const int n = x->k->nopnds, i = k_operand(x->a, x->k, w, buf, t, mode);
	if (i != n || strcmp(x->k->opnd[i].name, w) != 0)
		fail(x, "the name is taken, or the operand is there already");
}

static void parse_reduction(Parse *x, const char *w)
{
	const KRed red = (KRed)one_of(x, reds, (int)COUNT(reds), "no such reduction");
	KSet away = 0;
	expect(x, '(');
	while (!x->failed && ahead(x) != ')')
		away |= (KSet)1 << axis(x);
	expect(x, ')');
	const int value = expr(x), before = x->k->nstages;
	if (!away || before >= INT16_MAX - 1)
		fail(x, "a reduction over nothing");
	if (x->failed)
		return;
	k_reduce(x->a, x->k, w, red, away, value, red == RED_argmax ? DT_I32 : type_of(x, value));
	if (x->k->nstages == before || strcmp(x->k->stage[before].name, w) != 0)
		fail(x, "the name or the reduction is there already");
}

static void parse_let(Parse *x)
{
	x->let = room(x, x->let, x->nlets, sizeof *x->let);
	x->let[x->nlets] = expr(x);
	x->nlets++;
}

static void parse_store(Parse *x, const char *w)
{
	KIndex at[IR_MAX_RANK];
	const int o = operand(x, w);
	int32_t top;
	access(x, o, at, &top);
	const bool add = accept(x, '+');
	expect(x, '=');
	const int value = expr(x);
	if (!x->failed && type_of(x, value) != x->k->opnd[o].type.dtype)
		fail(x, "stored in another dtype");
	if (x->k->nstages >= INT16_MAX - 1)
		fail(x, "too many stages");
	if (!x->failed)
		(add ? k_add : k_store)(x->a, x->k, o, at, value);
}

/* count e = L[…] */
static void parse_count(Parse *x)
{
	word(x);
	const int ax = axis(x);
	expect(x, '=');
	const char *w = word(x);
	const int e = ahead(x) == '[' ? load(x, w) : -1;
	if (!x->failed && (e < 0 || x->k->expr[e].type != DT_I32 || x->k->axis[ax].ext != EXT_LIST))
		fail(x, "a count is a load of i32, of a list axis");
	if (!x->failed)
		x->k->axis[ax].count = (int16_t)e;
}

/* push count[…] field = expr … if i32(bool) */
static void parse_push(Parse *x)
{
	KIndex at[IR_MAX_RANK];
	int field[K_MAX_FIELDS], value[K_MAX_FIELDS], n = 0;
	int32_t top;
	const int o = operand(x, word(x));
	access(x, o, at, &top);
	for (; !x->failed && !accept_word(x, "if"); n++) {
		if (n == K_MAX_FIELDS) {
			fail(x, "too many fields");
			return;
		}
		field[n] = operand(x, word(x));
		expect(x, '=');
		value[n] = expr(x);
	}
	const int when = expr(x);
	const KExpr *e = x->failed ? NULL : &x->k->expr[when];
	if (e && (n == 0 || e->op != K_EWISE || e->row != EW_cast || e->type != DT_I32 || type_of(x, e->arg[0]) != DT_BOOL))
		fail(x, "a push has fields, and a condition cast to i32");
	if (!x->failed && (x->k->opnd[o].type.dtype != DT_I32 || x->k->nstages >= INT16_MAX - 1))
		fail(x, "the length of a list is i32");
	if (!x->failed)
		k_push(x->a, x->k, o, at, x->k->expr[when].arg[0], n, field, value);
}

static bool is_let(const Parse *x, const char *w)
{
	return strcmp(w, arena_printf(x->a, "t%d", x->nlets + 1)) == 0;
}

static void parse_stage(Parse *x)
{
	const char *w = word(x);
	if (ahead(x) == '[') {
		parse_store(x, w);
		return;
	}
	if (strcmp(w, "push") == 0 && ahead(x) != '=') {
		parse_push(x);
		return;
	}
	expect(x, '=');
	if (is_let(x, w))
		parse_let(x);
	else
		parse_reduction(x, w);
}

/* Does the next line start with one of the words, and is it not the name of something stored or defined? */
static bool starts(Parse *x, const char *const *list, int n)
{
	const size_t at = x->at;
	const char *w = peek(x);
	bool found = false;
	for (int i = 0; i < n; i++)
		found |= strcmp(list[i], w) == 0;
	ahead(x);
	x->at += strlen(w);
	found = found && ahead(x) != '[' && ahead(x) != '=' && ahead(x) != ':';
	x->at = at;
	return found;
}

static void parse_loops(Parse *x)
{
	const KLevel level = (KLevel)one_of(x, levels, (int)COUNT(levels), "no such loop");
	KSchedule *s = &x->k->sched;
	while (!x->failed && ahead(x) != '}' && !starts(x, levels, (int)COUNT(levels))) {
		if (s->nloops == (int)COUNT(s->loop)) {
			fail(x, "too many loops");
			return;
		}
		KLoop *l = &s->loop[s->nloops++];
		*l = (KLoop){ level, (int8_t)axis(x), 1 };
		if (accept(x, '/'))
			l->step = (int32_t)integer(x, 1, INT32_MAX);
	}
}

static Kernel *parse_kernel(Parse *x)
{
	x->k = k_new(x->a, name(x), (Loc){ x->file, 0, 0, 0 });
	x->let = NULL;
	x->nlets = 0;
	expect(x, '{');
	x->k->update = accept_word(x, "update");
	x->k->prepares = accept_word(x, "prepares");
	x->k->starts = accept_word(x, "starts");
	if (accept_word(x, "axes")) {
		do
			parse_axis(x);
		while (!x->failed && !starts(x, modes, (int)COUNT(modes)) && ahead(x) != '}');
	}
	while (!x->failed && starts(x, modes, (int)COUNT(modes)))
		parse_operand(x);
	while (!x->failed && starts(x, counts, (int)COUNT(counts)))
		parse_count(x);
	while (!x->failed && ahead(x) != '}' && !starts(x, levels, (int)COUNT(levels)))
		parse_stage(x);
	while (!x->failed && ahead(x) != '}')
		parse_loops(x);
	expect(x, '}');
	for (int i = 0; !x->failed && i < x->k->naxes; i++) {
		if (x->k->axis[i].ext == EXT_LIST && x->k->axis[i].count < 0)
			fail(x, "a list axis without its count");
	}
	if (!x->failed) {
		const int naxes = x->k->naxes;
		k_finish(x->k);
		if (x->k->naxes != naxes)
			fail(x, "an axis is not used");
	}
	return x->k;
}

/* ---- buffers, entries, trees ---- */
static void parse_buffer(Parse *x)
{
	expect(x, '#');
	if (integer(x, 0, MAX_COUNT) != x->p->nbuffers)
		fail(x, "buffers are numbered in order");
	KBuffer b = { .cls = (KClass)one_of(x, classes, (int)COUNT(classes), "no such class") };
	b.name = name(x);
	b.type = type(x);
	if (accept_word(x, "index"))
		b.index = (int32_t)integer(x, 0, INT32_MAX);
	if (accept_word(x, "rows"))
		b.part_rows = (int32_t)integer(x, 0, INT32_MAX);
	if (accept_word(x, "at")) {
		b.offset = integer(x, 0, INT64_MAX);
		if (!accept_word(x, "bytes"))
			fail(x, "bytes are missing");
		b.bytes = integer(x, 0, INT64_MAX);
	}
	x->p->buffer = room(x, x->p->buffer, x->p->nbuffers, sizeof b);
	x->p->buffer[x->p->nbuffers++] = b;
}

static int32_t kernel_number(Parse *x)
{
	const char *w = name(x);
	for (int i = 0; i < x->e->nkernels; i++) {
		if (strcmp(x->e->kernel[i]->name, w) == 0)
			return i;
	}
	fail(x, "no such kernel");
	return 0;
}

static void parse_cut(Parse *x, KItem *it)
{
	const bool samples = accept_word(x, "samples");
	if (!samples && !accept_word(x, "axis"))
		fail(x, "samples or axis is missing");
	it->size = (int32_t)integer(x, 1, INT32_MAX);
	if (!samples && accept_word(x, "of"))
		it->axis = (int32_t)integer(x, 0, K_MAX_AXES - 1);
}

static KItem parse_item(Parse *x)
{
	KItem it = { .kind = (KItemKind)one_of(x, items, (int)COUNT(items), "no such item"), .axis = -1 };
	if (x->depth >= MAX_DEPTH)
		fail(x, "the tree is too deep");
	if (it.kind == I_RUN) {
		it.kernel = kernel_number(x);
		return it;
	}
	if (it.kind != I_JOIN)
		parse_cut(x, &it);
	x->depth++;
	expect(x, '{');
	while (!x->failed && ahead(x) != '}') {
		it.body = room(x, it.body, it.nbody, sizeof it);
		const KItem inside = parse_item(x);
		it.body[it.nbody++] = inside;
	}
	expect(x, '}');
	x->depth--;
	return it;
}

static void parse_entry(Parse *x)
{
	KProgram *p = x->p;
	p->entry = room(x, p->entry, p->nentries, sizeof *p->entry);
	KEntry *e = x->e = &p->entry[p->nentries++];
	*e = (KEntry){ .name = name(x) };
	if (accept_word(x, "few"))
		e->few = (int32_t)integer(x, 1, INT32_MAX);
	if (accept_word(x, "slab"))
		e->slab_bytes = integer(x, 0, INT64_MAX);
	if (accept_word(x, "scratch"))
		e->scratch_bytes = integer(x, 0, INT64_MAX);
	expect(x, '{');
	while (!x->failed && accept_word(x, "kernel")) {
		e->kernel = (Kernel **)room(x, e->kernel, e->nkernels, sizeof *e->kernel);
		e->kernel[e->nkernels] = parse_kernel(x);
		e->nkernels++;
	}
	while (!x->failed && ahead(x) != '}') {
		e->item = room(x, e->item, e->nitems, sizeof *e->item);
		e->item[e->nitems] = parse_item(x);
		e->nitems++;
	}
	expect(x, '}');
}

static void parse_program(Parse *x)
{
	if (!accept_word(x, "program") || !accept_word(x, "params"))
		fail(x, "this is no program");
	x->p->param_bytes = integer(x, 0, INT64_MAX);
	if (accept_word(x, "views"))
		x->p->view_bytes = integer(x, 0, INT64_MAX);
	if (!accept_word(x, "metrics"))
		fail(x, "metrics are missing");
	x->p->metric_doubles = (int)integer(x, 0, MAX_COUNT);
	while (!x->failed && accept_word(x, "counted")) {
		expect(x, '$');
		x->p->counted = room(x, x->p->counted, x->p->ncounted, sizeof *x->p->counted);
		x->p->counted[x->p->ncounted++] = per_step(x);
	}
	while (!x->failed && accept_word(x, "buffer"))
		parse_buffer(x);
	while (!x->failed && accept_word(x, "entry"))
		parse_entry(x);
	if (!x->failed && ahead(x))
		fail(x, "the text goes on after the program");
}

KProgram *k_parse(const char *file, const char *text, size_t len, Arena *a, Diag *d)
{
	Parse x = { .file = file, .text = text, .len = len, .a = a, .d = d, .p = NEW(a, KProgram) };
	parse_program(&x);
	if (!x.failed && x.at < x.len)
		fail(&x, "the text goes on after the program");
	return !x.failed && k_verify(x.p, d) ? x.p : NULL;
}

/* value.c -- what scalars mean: constant expressions, $names, units; and access to checked values
 *
 * Expressions have C's precedence, `/` divides exactly (as Python), `//` rounds down. Integers are 64-bit and overflow is
 * an error; a leading zero means nothing. Text that is no expression is reported where reading stopped.
 */
#include "frontend/value.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXPRESSION_MAX = 256, EXPRESSION_DEPTH = 32, SCOPE_MAX_USES = 100000, UNITS_MAX = 8 };

/* ---- expressions ---- */

typedef struct Parser {
	Scope *scope;
	const YNode *node;
	const char *start, *p;
	int depth;
	bool failed;
} Parser;

static Number fail(Parser *e, const char *at, const char *message)
{
	if (!e->failed) {
		Loc loc = e->node->loc;
		if (e->node->plain && at > e->start && at - e->start < loc.len) {
			loc.col += (int)(at - e->start);
			loc.len = 1;
		}
		diag_error(e->scope->diag, loc, "'%s' is not a number: %s", e->start, message);
	}
	e->failed = true;
	return (Number){true, 0, 0};
}

static Number of_int(int64_t i)
{
	return (Number){true, i, (double)i};
}

static Number of_double(Parser *e, const char *at, double x)
{
	return isfinite(x) ? (Number){false, 0, x} : fail(e, at, "too large, or not defined");
}

static void skip_blanks(Parser *e)
{
	while (*e->p == ' ' || *e->p == '\t')
		e->p++;
}

static bool digits(const char **s)
{
	const char *start = *s;
	while (isdigit((unsigned char)**s))
		++*s;
	return *s > start;
}

static Number literal(Parser *e)
{
	const char *start = e->p, *s = start;
	bool whole = digits(&s), is_int = whole;
	if (*s == '.') {
		s++;
		is_int = false;
		whole = digits(&s) || whole;
	}
	if (!whole)
		return fail(e, start, *start ? "a number is expected here" : "it ends too early");
	if (*s == 'e' || *s == 'E') {
		const char *x = s + 1;
		x += *x == '+' || *x == '-';
		if (digits(&x)) {
			s = x;
			is_int = false;
		}
	}
	e->p = s;
	if (!is_int) {
		char *end;
		return of_double(e, start, strtod(start, &end)); /* digits were checked: no hex, no inf */
	}
	int64_t value = 0;
	for (s = start; s < e->p; s++) {
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *s - '0', &value))
			return fail(e, start, "too large for 64 bits");
	}
	return of_int(value);
}

static bool name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static Number variable(Parser *e)
{
	const char *start = ++e->p;
	while (name_char(*e->p))
		e->p++;
	const YNode *node = scope_lookup(e->scope, e->node->loc, start, (size_t)(e->p - start));
	Number n = of_int(0);
	if (!node || (node->kind == Y_SCALAR && !number_read(e->scope, node, &n)))
		e->failed = true;
	else if (node->kind != Y_SCALAR)
		return fail(e, start, "it refers to a list or mapping");
	return n;
}

static Number sum(Parser *e);

static Number primary(Parser *e)
{
	skip_blanks(e);
	if (++e->depth > EXPRESSION_DEPTH)
		return fail(e, e->p, "nested too deeply");
	Number n;
	if (*e->p == '-' || *e->p == '+') {
		bool minus = *e->p++ == '-';
		n = primary(e);
		if (minus && n.is_int && n.i == INT64_MIN)
			n = fail(e, e->p, "too large for 64 bits");
		else if (minus)
			n = (Number){n.is_int, -n.i, -n.x};
	} else if (*e->p == '(') {
		e->p++;
		n = sum(e);
		skip_blanks(e);
		if (*e->p == ')')
			e->p++;
		else
			n = fail(e, e->p, "')' is missing");
	} else if (*e->p == '$') {
		n = variable(e);
	} else {
		n = literal(e);
	}
	e->depth--;
	return n;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* a // b and a % b round down, as in Python. */
static Number divide_floor(Parser *e, const char *at, Number a, Number b, bool remainder)
{
	if (a.is_int && b.is_int && a.i == INT64_MIN && b.i == -1)
		return fail(e, at, "too large for 64 bits");
	if (a.is_int && b.is_int) {
		int64_t q = floor_div(a.i, b.i);
		return of_int(remainder ? a.i - q * b.i : q);
	}
	double q = floor(a.x / b.x);
	return of_double(e, at, remainder ? a.x - q * b.x : q);
}

static Number product(Parser *e)
{
	Number a = primary(e);
	for (;;) {
		skip_blanks(e);
		const char *at = e->p;
		char op = *at;
		if (e->failed || (op != '*' && op != '/' && op != '%'))
			return a;
		bool twice = op == '/' && at[1] == '/';
		e->p += 1 + twice;
		Number b = primary(e);
		if (e->failed)
			return a;
		int64_t i = 0;
		if (op != '*' && b.x == 0)
			a = fail(e, at, "division by zero");
		else if (op == '%' || twice)
			a = divide_floor(e, at, a, b, op == '%');
		else if (op == '/')
			a = of_double(e, at, a.x / b.x);
		else if (!a.is_int || !b.is_int)
			a = of_double(e, at, a.x * b.x);
		else if (__builtin_mul_overflow(a.i, b.i, &i))
			a = fail(e, at, "too large for 64 bits");
		else
			a = of_int(i);
	}
}

static Number sum(Parser *e)
{
	Number a = product(e);
	for (;;) {
		skip_blanks(e);
		const char *at = e->p;
		if (e->failed || (*at != '+' && *at != '-'))
			return a;
		e->p++;
		Number b = product(e);
		if (e->failed)
			return a;
		int64_t i = 0;
		bool over = *at == '+' ? __builtin_add_overflow(a.i, b.i, &i) : __builtin_sub_overflow(a.i, b.i, &i);
		if (!a.is_int || !b.is_int)
			a = of_double(e, at, *at == '+' ? a.x + b.x : a.x - b.x);
		else if (over)
			a = fail(e, at, "too large for 64 bits");
		else
			a = of_int(i);
	}
}

bool number_read(Scope *s, const YNode *node, Number *out)
{
	Parser e = {.scope = s, .node = node, .start = node->text, .p = node->text};
	if (strlen(node->text) > EXPRESSION_MAX)
		return diag_error(s->diag, node->loc, "an expression of more than %d characters", EXPRESSION_MAX);
	*out = sum(&e);
	skip_blanks(&e);
	if (!e.failed && *e.p)
		fail(&e, e.p, "it goes on behind the number");
	return !e.failed;
}

bool number_has_unit(const char *text, SchemaType type, double *out)
{
	static const struct { SchemaType type; const char *unit; double factor; } units[] = {
		{DURATION, "", 1}, {DURATION, "ms", 1e-3}, {DURATION, "s", 1}, {DURATION, "m", 60}, {DURATION, "h", 3600},
		{DURATION, "d", 86400}, {SIZE, "", 1}, {SIZE, "B", 1}, {SIZE, "KB", 1e3}, {SIZE, "MB", 1e6}, {SIZE, "GB", 1e9},
		{SIZE, "TB", 1e12}, {SIZE, "KiB", 1024.0}, {SIZE, "MiB", 1048576.0}, {SIZE, "GiB", 1073741824.0},
		{SIZE, "TiB", 1099511627776.0},
	};
	const char *s = text;
	if (!digits(&s))
		return false;
	if (*s == '.' && (s++, !digits(&s)))
		return false;
	double x = strtod(text, NULL);
	while (*s == ' ')
		s++;
	for (size_t i = 0; i < COUNT(units); i++) {
		if (units[i].type == type && strcmp(units[i].unit, s) == 0) {
			*out = x * units[i].factor;
			return *out < 9e15;
		}
	}
	return false;
}

/* ---- $names ---- */

static bool is_whole_name(const YNode *n)
{
	if (n->kind != Y_SCALAR || !n->plain || n->text[0] != '$' || !n->text[1])
		return false;
	const char *s = n->text + 1;
	while (name_char(*s))
		s++;
	return !*s;
}

static const YNode *fact(Scope *s, Loc at, const char *name)
{
	static const char *const later[] = {"vocab_size", "steps_per_epoch"};
	for (size_t i = 0; i < COUNT(later); i++) {
		if (strcmp(name, later[i]) == 0) {
			diag_error(s->diag, at, "$%s is not supported yet", name);
			return NULL;
		}
	}
	if (strcmp(name, "total_steps") == 0) /* known when the trainer starts */
		return yaml_scalar(s->arena, at, "auto");
	if (strcmp(name, "num_classes") != 0)
		return NULL;
	resolve_classes(s, s->data);
	if (s->num_classes > 0)
		return yaml_scalar(s->arena, at, arena_printf(s->arena, "%lld", (long long)s->num_classes));
	diag_error(s->diag, at, "$num_classes is not known: %s", s->why_not);
	diag_note(s->diag, "help", "give data.class_names: [first, second]");
	return NULL;
}

const YNode *scope_lookup(Scope *s, Loc at, const char *name, size_t len)
{
	if (++s->used > SCOPE_MAX_USES) {
		if (s->used == SCOPE_MAX_USES + 1)
			diag_error(s->diag, at, "more than %d uses of $names", SCOPE_MAX_USES);
		return NULL;
	}
	char *text = arena_strndup(s->arena, name, len);
	for (int i = 0; i < s->n; i++) {
		if (strcmp(s->name[i].name, text) == 0)
			return s->name[i].node;
	}
	int before = diag_errors(s->diag);
	const YNode *found = fact(s, at, text);
	if (found || diag_errors(s->diag) > before)
		return found;
	const char **names = NEWN(s->arena, const char *, s->n + 1);
	names[0] = "num_classes";
	for (int i = 0; i < s->n; i++)
		names[1 + i] = s->name[i].name;
	const char *near = diag_nearest(text, names, (size_t)s->n + 1);
	diag_error(s->diag, at, "$%s is not defined%s%s%s", text, near ? "; did you mean '$" : "", near ? near : "", near ?
	           "'?" : "");
	if (!near)
		diag_note(s->diag, "help", "define: {%s: …} at the top of the file, before its uses in define", text);
	return NULL;
}

static const char *number_text(Arena *a, const Number *n)
{
	if (n->is_int)
		return arena_printf(a, "%lld", (long long)n->i);
	for (int digit = 15; digit < 17; digit++) {
		const char *text = arena_printf(a, "%.*g", digit, n->x);
		if (strtod(text, NULL) == n->x)
			return text;
	}
	return arena_printf(a, "%.17g", n->x);
}

/* Scalars that use names are replaced by their value at once, so that looking one up never recurses. */
static const YNode *define_value(Scope *s, const YNode *value)
{
	if (value->kind != Y_SCALAR || !value->plain || !strchr(value->text, '$'))
		return value;
	if (is_whole_name(value))
		return scope_lookup(s, value->loc, value->text + 1, strlen(value->text) - 1);
	Number n;
	return number_read(s, value, &n) ? yaml_scalar(s->arena, value->loc, number_text(s->arena, &n)) : NULL;
}

bool scope_define(Scope *s, const YNode *define)
{
	if (define->kind != Y_MAP)
		return diag_error(s->diag, define->loc, "define: must be a mapping of names to values");
	s->name = NEWN(s->arena, struct ScopeName, define->n);
	bool ok = true;
	for (int i = 0; i < define->n; i++) {
		const YPair *p = &define->pair[i];
		const char *c = p->key;
		while (name_char(*c))
			c++;
		if (*c || !p->key[0] || isdigit((unsigned char)p->key[0]))
			ok = diag_error(s->diag, p->loc, "'%s' can't be a name: letters, digits and _ only", p->key);
		const YNode *value = define_value(s, p->value);
		if (value)
			s->name[s->n++] = (struct ScopeName){p->key, value};
		ok = ok && value;
	}
	return ok;
}

/* ---- access ---- */

const Val *val(const Val *object, const char *field)
{
	INVARIANT(object->kind == VAL_OBJECT);
	int i = schema_field_index(object->section, field);
	if (i < 0)
		ICE("section %s has no field %s", object->section->name, field);
	return &object->item[i];
}

bool val_is_set(const Val *object, const char *field)
{
	return val(object, field)->kind != VAL_UNSET;
}

int64_t val_int(const Val *object, const char *field)
{
	const Val *v = val(object, field);
	INVARIANT(v->kind == VAL_INT);
	return v->i;
}

double val_number(const Val *object, const char *field)
{
	const Val *v = val(object, field);
	INVARIANT(v->kind == VAL_NUMBER || v->kind == VAL_INT);
	return v->x;
}

const char *val_string(const Val *object, const char *field)
{
	const Val *v = val(object, field);
	INVARIANT(v->kind == VAL_STRING || v->kind == VAL_UNSET);
	return v->s;
}

bool val_bool(const Val *object, const char *field)
{
	const Val *v = val(object, field);
	INVARIANT(v->kind == VAL_BOOL);
	return v->flag;
}

const char *val_text(Arena *a, const Val *v)
{
	switch (v->kind) {
	case VAL_BOOL: return v->flag ? "true" : "false";
	case VAL_INT: return arena_printf(a, "%lld", (long long)v->i);
	case VAL_NUMBER: return number_text(a, &(Number){false, 0, v->x});
	case VAL_STRING: return v->s;
	case VAL_OBJECT: return v->section->name;
	case VAL_UNSET:
	case VAL_LIST: break;
	}
	return "";
}

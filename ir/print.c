/* print.c -- the graph as text, one op a line; docs/ir.md is the grammar, parse.c the inverse
 *
 * in:  a module at graph level     out: text from which ir_parse makes a module that prints the same
 * not: the resolved model file (module->field), places beyond the line, ids of named nodes, kernels
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "ir/attr.h"

static bool is_plain(const char *name)
{
	if (!isalpha((unsigned char)name[0]) && name[0] != '_')
		return false;
	for (const char *s = name; *s; s++) {
		if ((unsigned char)*s >= 0x80 || (!isalnum((unsigned char)*s) && !strchr("_./-", *s)))
			return false;
	}
	return true;
}

static const char *quoted(Arena *a, const char *text)
{
	char *out = arena_alloc(a, 4 * strlen(text) + 3, 1), *to = out;
	*to++ = '"';
	for (const char *s = text; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c < 0x20 || c == 0x7F) {
			to += sprintf(to, "\\x%02x", c);
			continue;
		}
		if (c == '"' || c == '\\')
			*to++ = '\\';
		*to++ = *s;
	}
	*to = '"';
	return out;
}

static const char *name_text(Arena *a, const char *name)
{
	return is_plain(name) ? name : quoted(a, name);
}

static const char *value_text(Arena *a, const IrNode *n)
{
	return n->name ? arena_printf(a, "%%%s", name_text(a, n->name)) : arena_printf(a, "%%%u", n->id);
}

/* The fewest digits that read back as the same double. */
static void print_double(FILE *f, double x)
{
	char text[32];
	if (isnan(x) || isinf(x)) {
		fputs(isnan(x) ? "nan" : x < 0 ? "-inf" : "inf", f);
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, x);
		if (strtod(text, NULL) == x)
			break;
	}
	fputs(text, f);
}

/* ---- braces ---- */
typedef struct Print {
	FILE *f;
	Arena *arena;
} Print;

static void print_words(FILE *f, const IrMember *m, int32_t value)
{
	int n;
	const char *const *word = ir_member_words(m->kind, &n);
	if (value >= 0 && value < n)
		fprintf(f, " %s", word[value]);
	else
		fprintf(f, " ?%d", value);
}

static void print_member(const Print *p, const IrMember *m, const void *at, int rank)
{
	FILE *f = p->f;
	const char *value = (const char *)at + m->offset;
	fputs(m->name, f);
	switch (m->kind) {
	case MEMBER_F64:
		for (int i = 0; i < m->count; i++) {
			fputc(' ', f);
			print_double(f, ((const double *)(const void *)value)[i]);
		}
		break;
	case MEMBER_FLAG:
		break;
	case MEMBER_STATE: {
		const IrState *s = *(IrState *const *)(const void *)value;
		fprintf(f, " @%s", name_text(p->arena, s ? s->name : ""));
		break;
	}
	case MEMBER_AXES:
		for (int i = 0; i < 32; i++) {
			if (*(const uint32_t *)(const void *)value >> i & 1)
				fprintf(f, " %d", i);
		}
		break;
	case MEMBER_U32:
		fprintf(f, " %u", *(const uint32_t *)(const void *)value);
		break;
	case MEMBER_I32:
	case MEMBER_PERM:
		for (int i = 0; i < (m->kind == MEMBER_PERM ? rank : m->count); i++)
			fprintf(f, " %d", ((const int32_t *)(const void *)value)[i]);
		break;
	default:
		print_words(f, m, *(const int32_t *)(const void *)value);
	}
}

static void print_members(const Print *p, IrMembers list, const void *at, int rank)
{
	bool any = false;
	for (int i = 0; i < list.n; i++) {
		const IrMember *m = &list.member[i];
		if (ir_member_is_preset(m, at))
			continue;
		fputs(any ? ", " : " {", p->f);
		print_member(p, m, at, rank);
		any = true;
	}
	if (any)
		fputc('}', p->f);
}

static void print_line(const Print *p, Loc loc)
{
	if (loc.line > 0)
		fprintf(p->f, "  :%d", loc.line);
	fputc('\n', p->f);
}

/* ---- the module ---- */

/* The file that the line numbers count in: that of the first place. */
static const char *source_of(const IrModule *m)
{
	IR_EACH_STATE(m, s) {
		if (s->loc.line > 0 && s->loc.file)
			return s->loc.file;
	}
	IR_EACH_ENTRY(m, e) {
		IR_EACH(e, n) {
			if (n->loc.line > 0 && n->loc.file)
				return n->loc.file;
		}
	}
	return NULL;
}

static void print_labels(const Print *p, const IrModule *m)
{
	if (m->nlabels < 1 || !m->labels)
		return;
	fputs("labels", p->f);
	for (int i = 0; i < m->nlabels; i++)
		fprintf(p->f, " %s", quoted(p->arena, m->labels[i]));
	fputc('\n', p->f);
}

static void print_optimizer(const Print *p, const IrOptimizer *o)
{
	IrMembers list = ir_optimizer_members();
	bool any = o->kind != OPTIM_NONE;
	for (int i = 0; !any && i < list.n; i++)
		any = !ir_member_is_preset(&list.member[i], o);
	if (!any)
		return;
	fprintf(p->f, "optimizer %s", ir_optimizer_words[o->kind]);
	print_members(p, list, o, 0);
	fputc('\n', p->f);
}

static void print_head(const Print *p, const IrModule *m)
{
	const char *source = source_of(m);
	fprintf(p->f, "module %s N<=%d", name_text(p->arena, m->name), m->max_n);
	if (m->precision != PRECISION_F32)
		fprintf(p->f, " precision %s", m->precision == PRECISION_TF32 ? "tf32" : "mixed_bfloat16");
	if (m->next_stream)
		fprintf(p->f, " streams %u", m->next_stream);
	if (m->fast_math)
		fputs(" math fast", p->f);
	if (source)
		fprintf(p->f, " from %s", quoted(p->arena, source));
	fputc('\n', p->f);
	print_labels(p, m);
	print_optimizer(p, &m->optimizer);
}

static void print_states(const Print *p, const IrModule *m)
{
	static const char *const kind[] = { "param", "moment", "stat" };
	IR_EACH_STATE(m, s) {
		fprintf(p->f, "%s @%s %s", kind[s->kind], name_text(p->arena, s->name),
		        ir_type_text(p->arena, &s->type));
		print_members(p, ir_state_members(), s, 0);
		print_line(p, s->loc);
	}
}

static void print_node(const Print *p, const IrNode *n, int name_width)
{
	fprintf(p->f, "  %-*s = %-11s %-*s", name_width, value_text(p->arena, n), ir_ops[n->op].text, n->nin ? 17 : 0,
	        ir_type_text(p->arena, &n->type));
	for (int i = 0; i < n->nin; i++)
		fprintf(p->f, " %s", value_text(p->arena, n->in[i]));
	print_members(p, ir_attr_members(n->op), &n->attr, n->type.rank);
	print_line(p, n->loc);
}

static void print_root(const Print *p, const IrRoot *r)
{
	static const char *const metric[] = { "mean", "precision", "recall", "f1", "auc", "auc_each", "iou" };
	const char *value = value_text(p->arena, r->value);
	if (r->kind == ROOT_UPDATE)
		fprintf(p->f, "  update @%s %s\n", name_text(p->arena, r->state->name), value);
	else if (r->kind == ROOT_METRIC)
		fprintf(p->f, "  metric %s %s %s\n", name_text(p->arena, r->name), metric[r->metric], value);
	else
		fprintf(p->f, "  output %s %s\n", name_text(p->arena, r->name), value);
}

static int name_width(const Print *p, const IrEntry *e)
{
	enum { WIDEST = 24 };
	size_t width = 0;
	IR_EACH(e, n) {
		size_t len = strlen(value_text(p->arena, n));
		width = len > width && len <= WIDEST ? len : width;
	}
	return (int)width;
}

static void print_entry(const Print *p, const IrEntry *e)
{
	int width = name_width(p, e);
	fprintf(p->f, "\nentry %s (", name_text(p->arena, e->name));
	for (int i = 0; i < e->nport; i++)
		fprintf(p->f, "%s%s %s", i ? ", " : "", name_text(p->arena, e->port[i].name),
		        ir_type_text(p->arena, &e->port[i].type));
	fputs(")\n", p->f);
	if (e->optimizer)
		print_optimizer(p, e->optimizer);
	IR_EACH(e, n)
		print_node(p, n, width);
	for (int i = 0; i < e->nroot; i++)
		print_root(p, &e->root[i]);
	if (e->loss)
		fprintf(p->f, "  loss %s\n", value_text(p->arena, e->loss));
}

void ir_print(const IrModule *m, FILE *f)
{
	Print p = { f, arena_new() };
	print_head(&p, m);
	print_states(&p, m);
	IR_EACH_ENTRY(m, e)
		print_entry(&p, e);
	arena_free(p.arena);
}

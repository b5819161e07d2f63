/* kernel_print.c -- kernels, schedules, buffers and trees as text; grammar in docs/ir.md
 *
 * An expression that is read more than once is a line of its own, `t1 = …`, before the first stage that needs it. Names
 * are those of the kernel; k_key writes numbers instead and leaves out what does not change the code.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "ir/kernel.h"

typedef struct Print {
	const KProgram *p;
	const Kernel *k;
	FILE *f;
	bool key;        /* numbers for names */
	Arena *scratch;
	int *use;        /* readers of an expression */
	int *let;        /* its number as a line of its own; 0: none yet */
	int nlets;
} Print;

static const char *const classes[] = { "in", "out", "state", "slab", "partial", "scratch", "view", "metric" };
static const char *const modes[] = { "in", "out", "inout", "add" };
static const char *const scalars[] = { "lr", "inv_n", "step", "pass", "power", "update", "due" };
static const char *const edges[] = { "", "zero", "lowest", "clamp" };
static const char *const levels[] = { "grid", "block", "stage", "warp", "mma", "loop", "peel", "unroll", "vector", "ahead" };
static const char *const items[] = { "run", "part", "step", "join" };
static const char *const reds[] = {
#define RED(name, start, combine) #name,
#include "ir/reduce.def"
};

/* ---- names and numbers ---- */
static void print_axis(const Print *x, int axis)
{
	if (x->key)
		fprintf(x->f, "a%d", axis);
	else
		fputs(x->k->axis[axis].name, x->f);
}

static void print_operand(const Print *x, int operand)
{
	if (x->key)
		fprintf(x->f, "b%d", operand);
	else
		fputs(x->k->opnd[operand].name, x->f);
}

static void print_local(const Print *x, int stage)
{
	if (x->key)
		fprintf(x->f, "r%d", stage);
	else
		fputs(x->k->stage[stage].name, x->f);
}

/* The shortest text that reads back as v. */
static void print_number(FILE *f, double v)
{
	char text[40];
	if (!isfinite(v)) {
		fputs(isnan(v) ? "nan" : v < 0 ? "-inf" : "inf", f);
		return;
	}
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	fputs(text, f);
}

/* A name as it is, or in quotes where it holds what the text could take for something else. */
static void print_name(FILE *f, const char *name)
{
	const char *c = name;
	while ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || (*c && strchr("_./+-@", *c)))
		c++;
	if (!*c && name[0]) {
		fputs(name, f);
		return;
	}
	fputc('"', f);
	for (c = name; *c; c++) {
		if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
			fprintf(f, "\\x%02x", (unsigned char)*c);
		else
			fputc(*c, f);
	}
	fputc('"', f);
}

static void print_type(const Print *x, const IrType *t)
{
	fputs(ir_type_text(x->scratch, t), x->f);
}

/* ---- expressions ---- */
static void print_expr(const Print *x, int e);

/* 2ph+dy-1+(t3) */
static void print_per_step(FILE *f, const KCounted *c)
{
	fprintf(f, "$%s", scalars[c->which]);
	if (c->which < SC_POWER)
		return;
	fputs("(", f);
	print_number(f, c->base);
	if (c->every)
		fprintf(f, ", %d", c->every);
	fputs(")", f);
}

static void print_index(const Print *x, const KIndex *at)
{
	bool first = true;
	for (int ax = 0; ax < x->k->naxes; ax++) {
		const int32_t c = at->coef[ax];
		if (c == 0)
			continue;
		fputs(c < 0 ? "-" : first ? "" : "+", x->f);
		if (c != 1 && c != -1)
			fprintf(x->f, "%d", abs(c));
		print_axis(x, ax);
		first = false;
	}
	if (at->c0 || (first && at->expr < 0))
		fprintf(x->f, first ? "%d" : "%+d", at->c0);
	if (at->expr >= 0) {
		fputs(first && !at->c0 ? "(" : "+(", x->f);
		print_expr(x, at->expr);
		fputs(")", x->f);
	}
}

static void print_access(const Print *x, int operand, const KIndex *at, KEdge edge, int below)
{
	print_operand(x, operand);
	fputs("[", x->f);
	for (int d = 0; d < x->k->opnd[operand].type.rank; d++) {
		fputs(d ? ", " : "", x->f);
		print_index(x, &at[d]);
	}
	fprintf(x->f, edge ? " | %s" : "", edges[edge]);
	fprintf(x->f, below ? " < %d]" : "]", below);
}

static void print_konst(const Print *x, const KExpr *e)
{
	print_number(x->f, e->imm);
	if (e->type != DT_F32)
		fprintf(x->f, ":%s", dtype_name(e->type));
}

static const char *infix(KRow row)
{
	return row == EW_add ? "+" : row == EW_sub ? "-" : row == EW_mul ? "*" : row == EW_div ? "/" : NULL;
}

static void print_args(const Print *x, const KExpr *e)
{
	fputs("(", x->f);
	for (int i = 0; i < 3 && e->arg[i] >= 0; i++) {
		fputs(i ? ", " : "", x->f);
		print_expr(x, e->arg[i]);
	}
}

static void print_operation(const Print *x, const KExpr *e)
{
	if (infix(e->row)) {
		fputs("(", x->f);
		print_expr(x, e->arg[0]);
		fprintf(x->f, " %s ", infix(e->row));
		print_expr(x, e->arg[1]);
		fputs(")", x->f);
		return;
	}
	fputs(e->row == EW_cast ? dtype_name(e->type) : k_row_name(e->row), x->f);
	print_args(x, e);
	fputs(")", x->f);
}

static void print_body(const Print *x, const KExpr *e)
{
	switch (e->op) {
	case K_KONST: print_konst(x, e); break;
	case K_LOAD:  print_access(x, e->operand, e->at, e->edge, (int)e->imm); break;
	case K_LOCAL: print_local(x, e->stage); break;
	case K_EWISE: print_operation(x, e); break;
	case K_AXIS:
		fputs("@(", x->f);
		print_index(x, e->at);
		fputs(")", x->f);
		break;
	case K_SCALAR:
		print_per_step(x->f, &(KCounted){ e->scalar, e->imm, e->every });
		break;
	case K_RANDOM:
		fputs("random", x->f);
		print_args(x, e);
		fprintf(x->f, ", %u)", (uint32_t)e->imm);
		break;
	}
}

static void print_expr(const Print *x, int e)
{
	if (x->let[e])
		fprintf(x->f, "t%d", x->let[e]);
	else
		print_body(x, &x->k->expr[e]);
}

/* ---- lets ---- */
static int indices_of(const Print *x, const KExpr *e)
{
	return e->op == K_LOAD ? x->k->opnd[e->operand].type.rank : e->op == K_AXIS;
}

static void count_use(Print *x, int e)
{
	if (e >= 0)
		x->use[e]++;
}

static void count_uses(Print *x)
{
	const Kernel *k = x->k;
	for (int i = 0; i < k->nexprs; i++) {
		const KExpr *e = &k->expr[i];
		for (int j = 0; j < 3; j++)
			count_use(x, e->arg[j]);
		for (int d = 0; d < indices_of(x, e); d++)
			count_use(x, e->at[d].expr);
	}
	for (int i = 0; i < k->nstages; i++) {
		count_use(x, k->stage[i].value);
		for (int f = 0; f < k->stage[i].nfields; f++)
			count_use(x, k->stage[i].field_value[f]);
	}
}

static bool deserves_line(const Print *x, int e)
{
	const KOp op = x->k->expr[e].op;
	return x->use[e] > 1 && (op == K_LOAD || op == K_EWISE || op == K_RANDOM);
}

static void print_lets(Print *x, int e)
{
	const KExpr *at = &x->k->expr[e];
	if (x->let[e])
		return;
	for (int d = 0; d < indices_of(x, at); d++) {
		if (at->at[d].expr >= 0)
			print_lets(x, at->at[d].expr);
	}
	for (int j = 0; j < 3; j++) {
		if (at->arg[j] >= 0)
			print_lets(x, at->arg[j]);
	}
	if (!deserves_line(x, e))
		return;
	fprintf(x->f, "  t%d = ", x->nlets + 1);
	print_body(x, at);
	fputs("\n", x->f);
	x->let[e] = ++x->nlets;
}

/* ---- stages and kernels ---- */
static void print_axes(const Print *x, KSet set)
{
	for (int ax = 0, first = 1; ax < x->k->naxes; ax++) {
		if (!(set >> ax & 1))
			continue;
		fputs(first ? "" : " ", x->f);
		print_axis(x, ax);
		first = 0;
	}
}

/* push count[…] field = value field = value if i32(…) */
static void print_push(const Print *x, const KStage *s)
{
	fputs("push ", x->f);
	print_access(x, s->operand, s->at, EDGE_NEVER, 0);
	for (int f = 0; f < s->nfields; f++) {
		fputs(" ", x->f);
		print_operand(x, s->field[f]);
		fputs(" = ", x->f);
		print_expr(x, s->field_value[f]);
	}
	fputs(" if ", x->f);
}

static void print_stage(Print *x, int i)
{
	const KStage *s = &x->k->stage[i];
	print_lets(x, s->value);
	for (int f = 0; f < s->nfields; f++)
		print_lets(x, s->field_value[f]);
	fputs("  ", x->f);
	if (s->kind == S_PUSH) {
		print_push(x, s);
	} else if (s->kind == S_REDUCE) {
		print_local(x, i);
		fprintf(x->f, " = %s(", reds[s->red]);
		print_axes(x, s->away);
		fputs(") ", x->f);
	} else {
		print_access(x, s->operand, s->at, EDGE_NEVER, 0);
		fputs(s->kind == S_ADD ? " += " : " = ", x->f);
	}
	print_expr(x, s->value);
	fputs("\n", x->f);
}

static void print_extent(const Print *x, const KAxis *a)
{
	if (a->ext == EXT_CONST)
		fprintf(x->f, ":%d", a->extent);
	else if (a->ext == EXT_N)
		fprintf(x->f, ":N<=%d", a->extent);
	else if (a->ext == EXT_LIST)
		fprintf(x->f, ":list<=%d", a->extent);
	else
		fprintf(x->f, ":parts<=%d/%d", a->extent, a->rows);
}

/* Words with a blank after each but the last. */
static void print_loops(const Print *x, const KSchedule *s)
{
	for (int i = 0; i < s->nloops; i++) {
		if (i == 0 || s->loop[i].level != s->loop[i - 1].level)
			fprintf(x->f, "%s%s", i ? " " : "", levels[s->loop[i].level]);
		fputs(" ", x->f);
		print_axis(x, s->loop[i].axis);
		if (s->loop[i].step != 1)
			fprintf(x->f, "/%d", s->loop[i].step);
	}
}

static void print_schedule(const Print *x)
{
	if (x->k->sched.nloops == 0)
		return;
	fputs("  ", x->f);
	print_loops(x, &x->k->sched);
	fputs("\n", x->f);
}

void k_print_schedule(const KSchedule *s, FILE *f)
{
	print_loops(&(Print){.f = f, .key = true}, s);
}

const char *k_level_name(int level)
{
	return level >= 0 && level < (int)COUNT(levels) ? levels[level] : NULL;
}

static void print_operands(const Print *x)
{
	for (int i = 0; i < x->k->nopnds; i++) {
		const KOperand *o = &x->k->opnd[i];
		const KBuffer *b = &x->p->buffer[o->buf];
		int first = 0;
		while (x->k->opnd[first].buf != o->buf)
			first++;
		fprintf(x->f, "  %s ", modes[o->mode]);
		print_operand(x, i);
		fputs(" ", x->f);
		print_type(x, &o->type);
		if (x->key && b->cls == B_PARTIAL) /* of other classes the code sees an address only */
			fprintf(x->f, " %d %s/%d", first, classes[b->cls], b->part_rows);
		else if (x->key)
			fprintf(x->f, " %d", first);
		else
			fprintf(x->f, " #%d", o->buf);
		fputs("\n", x->f);
	}
}

/* trips of list axes: count e = L[n, ph, pw] */
static void print_counts(const Print *x)
{
	for (int i = 0; i < x->k->naxes; i++) {
		if (x->k->axis[i].ext != EXT_LIST)
			continue;
		const KExpr *e = &x->k->expr[x->k->axis[i].count];
		fputs("  count ", x->f);
		print_axis(x, i);
		fputs(" = ", x->f);
		print_access(x, e->operand, e->at, EDGE_NEVER, (int)e->imm);
		fputs("\n", x->f);
	}
}

static void print_kernel(const KProgram *p, const Kernel *k, FILE *f, bool key)
{
	Arena *a = arena_new();
	Print x = { .p = p, .k = k, .f = f, .key = key, .scratch = a };
	x.use = NEWN(a, int, k->nexprs + 1);
	x.let = NEWN(a, int, k->nexprs + 1);
	count_uses(&x);
	fputs("kernel ", f);
	print_name(f, key ? "k" : k->name);
	fputs(" {", f);
	fputs(k->update ? " update" : k->prepares ? " prepares" : k->starts ? " starts" : "", f);
	fputs(k->naxes ? " axes" : "", f);
	for (int i = 0; i < k->naxes; i++) {
		fputs(" ", f);
		print_axis(&x, i);
		print_extent(&x, &k->axis[i]);
	}
	fputs("\n", f);
	print_operands(&x);
	print_counts(&x);
	for (int i = 0; i < k->nstages; i++)
		print_stage(&x, i);
	print_schedule(&x);
	fputs("}\n", f);
	arena_free(a);
}

void k_print(const KProgram *p, const Kernel *k, FILE *f)
{
	print_kernel(p, k, f, false);
}

char *k_key(const KProgram *p, const Kernel *k, Arena *a)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	INVARIANT(f);
	print_kernel(p, k, f, true);
	INVARIANT(fclose(f) == 0);
	char *key = arena_strndup(a, text, len);
	free(text); /* open_memstream's */
	return key;
}

/* ---- programs ---- */
static void print_buffer(const KProgram *p, int i, FILE *f, Arena *a)
{
	const KBuffer *b = &p->buffer[i];
	fprintf(f, "buffer #%d %s ", i, classes[b->cls]);
	print_name(f, b->name);
	fprintf(f, " %s", ir_type_text(a, &b->type));
	if (b->cls == B_IN || b->cls == B_OUT)
		fprintf(f, " index %d", b->index);
	if (b->cls == B_PARTIAL)
		fprintf(f, " rows %d", b->part_rows);
	if (b->bytes || b->offset)
		fprintf(f, " at %lld bytes %lld", (long long)b->offset, (long long)b->bytes);
	fputs("\n", f);
}

static void print_item(const KEntry *e, const KItem *it, int depth, FILE *f)
{
	fprintf(f, "%*s%s", 2 * depth, "", items[it->kind]);
	if (it->kind == I_RUN) {
		fputs(" ", f);
		print_name(f, e->kernel[it->kernel]->name);
		fputs("\n", f);
		return;
	}
	if (it->kind == I_JOIN)
		fputs(" {\n", f);
	else if (it->axis < 0)
		fprintf(f, " samples %d {\n", it->size);
	else
		fprintf(f, " axis %d of %d {\n", it->size, it->axis);
	for (int i = 0; i < it->nbody; i++)
		print_item(e, &it->body[i], depth + 1, f);
	fprintf(f, "%*s}\n", 2 * depth, "");
}

void k_print_program(const KProgram *p, FILE *f)
{
	Arena *a = arena_new();
	fprintf(f, "program params %lld", (long long)p->param_bytes);
	if (p->view_bytes)
		fprintf(f, " views %lld", (long long)p->view_bytes);
	fprintf(f, " metrics %d\n", p->metric_doubles);
	for (int i = 0; i < p->ncounted; i++) {
		fputs("counted ", f);
		print_per_step(f, &p->counted[i]);
		fputs("\n", f);
	}
	for (int i = 0; i < p->nbuffers; i++)
		print_buffer(p, i, f, a);
	for (int i = 0; i < p->nentries; i++) {
		const KEntry *e = &p->entry[i];
		fprintf(f, "\nentry %s", e->name);
		if (e->few)
			fprintf(f, " few %d", e->few);
		fprintf(f, " slab %lld scratch %lld {\n", (long long)e->slab_bytes, (long long)e->scratch_bytes);
		for (int k = 0; k < e->nkernels; k++)
			k_print(p, e->kernel[k], f);
		for (int k = 0; k < e->nitems; k++)
			print_item(e, &e->item[k], 1, f);
		fputs("}\n", f);
	}
	arena_free(a);
}

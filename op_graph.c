/* op_graph.c -- words like x=32x56x56x64 to a graph of one operation: names of ops.def and attrs.def, nothing special a
 * row
 *
 * What convolutions and pools repeat (window from the kernel's shape, stride from the window) is filled in here.
 */
#include "op_graph.h"
#include <stdlib.h>
#include <string.h>
#include "ir/attr.h"
#include "ir/size.h"

enum { MAX_OPERANDS = 8, MAX_WORDS = 24, MAX_SAMPLES = 1 << 20 };
static const size_t MOST_BYTES = (size_t)1 << 36;

typedef struct Described {
	Arena *arena;
	Diag *diag;
	OpCode op;
	IrAttr attr;
	IrMembers member;
	bool given[16]; /* by member */
	const char *name[MAX_OPERANDS];
	IrType type[MAX_OPERANDS];
	int nin;
	IrType out;
	bool has_out;
} Described;

static bool is_conv(OpCode op)
{
	return ir_ops[op].traits & CONVOLVES;
}

static bool is_pool(OpCode op)
{
	return !is_conv(op) && ir_ops[op].traits & (WINDOW | UNSLIDES);
}

/* ---- words ---- */
static bool find_op(Described *s, const char *name)
{
	const char *text[OP_COUNT + 1] = {"dense"};
	int n = 1;
	for (int i = 0; i < OP_COUNT; i++) {
		if (ir_ops[i].traits & SOURCE)
			continue;
		s->op = (OpCode)i;
		text[n++] = ir_ops[i].text;
		if (strcmp(ir_ops[i].text, strcmp(name, "dense") == 0 ? "matmul" : name) == 0)
			return true;
	}
	const char *near = diag_nearest(name, text, (size_t)n);
	diag_error(s->diag, (Loc){0}, "unknown operation '%s'", name);
	if (near)
		diag_note(s->diag, "help", "did you mean '%s'?", near);
	return false;
}

static bool integer(const char **text, int64_t *out)
{
	char *end;
	*out = strtoll(*text, &end, 10);
	bool ok = end != *text && *out > INT32_MIN && *out < INT32_MAX;
	*text = end;
	return ok;
}

/* "32x56x56x64", "u8:32x10" */
static bool read_type(Described *s, const char *word, const char *value, IrType *out)
{
	int nwords;
	const char *const *dtype = ir_member_words(MEMBER_DTYPE, &nwords), *colon = strchr(value, ':'), *at = value;
	*out = (IrType){.dtype = DT_F32};
	for (int i = 0; colon && i < nwords; i++) {
		if (strlen(dtype[i]) == (size_t)(colon - value) &&
		    strncmp(dtype[i], value, (size_t)(colon - value)) == 0) {
			out->dtype = (DType)i;
			at = colon + 1;
		}
	}
	size_t bytes = sizeof(double);
	bool good = true, more = true;
	while (good && more) {
		int64_t dim = 0;
		good = out->rank < IR_MAX_RANK && integer(&at, &dim) && dim > 0;
		if (good && (!size_mul(bytes, (size_t)dim, &bytes) || bytes > MOST_BYTES))
			return diag_error(s->diag, (Loc){0}, "'%s': too large", word);
		if (good)
			out->dim[out->rank++] = (int32_t)dim;
		more = *at == 'x';
		at += more;
	}
	return (good && *at == '\0') ||
	       diag_error(s->diag, (Loc){0}, "'%s': a shape is like 32x56x56x64, or u8:32x10; at most %d dimensions",
			  word, IR_MAX_RANK);
}

/* One number of a member, `k` of those it has. */
static bool set_value(IrAttr *attr, const IrMember *f, int k, const char **text)
{
	int nwords;
	char *end, *to = (char *)attr + f->offset;
	const char *const *word = ir_member_words(f->kind, &nwords);
	int64_t v = 0;
	if (f->kind == MEMBER_F64) {
		((double *)(void *)to)[k] = strtod(*text, &end);
		bool ok = end != *text;
		*text = end;
		return ok;
	}
	for (int i = 0; i < nwords; i++) {
		if (strcmp(word[i], *text) == 0) {
			((int32_t *)(void *)to)[k] = i;
			*text += strlen(*text);
			return true;
		}
	}
	if (nwords || !integer(text, &v))
		return false;
	if (f->kind == MEMBER_FLAG)
		*(bool *)to = v != 0;
	else if (f->kind == MEMBER_AXES)
		*(uint32_t *)(void *)to |= v >= 0 && v < IR_MAX_RANK ? 1u << v : 0;
	else
		((int32_t *)(void *)to)[k] = (int32_t)v;
	return f->kind != MEMBER_STATE;
}

/* "1", "2,2", "same"; fewer values than the member has repeat. */
static bool read_attr(Described *s, const IrMember *f, const char *word, const char *value)
{
	int32_t *number = (int32_t *)(void *)((char *)&s->attr + f->offset);
	int k = 0, most = f->kind == MEMBER_AXES ? IR_MAX_RANK : f->count;
	const char *at = value;
	s->given[f - s->member.member] = true;
	bool good = true, more = true;
	for (; good && more && k < most; k++) {
		good = set_value(&s->attr, f, k, &at);
		more = *at == ',';
		at += more;
	}
	if (!good || more || *at || (f->kind == MEMBER_I32 && f->count % k))
		return diag_error(s->diag, (Loc){0}, "'%s': %s takes %s%d number%s", word, f->name,
				  most > 1 ? "1 to " : "", most, most > 1 ? "s, with commas between" : "");
	for (int i = k; f->kind == MEMBER_I32 && i < f->count; i++)
		number[i] = number[i - k];
	return true;
}

static bool read_word(Described *s, const char *word)
{
	const char *equals = strchr(word, '=');
	if (!equals || equals == word)
		return diag_error(s->diag, (Loc){0}, "'%s': expected NAME=SHAPE or ATTRIBUTE=VALUE", word);
	const char *name = arena_strndup(s->arena, word, (size_t)(equals - word));
	for (int i = 0; i < s->member.n; i++) {
		if (strcmp(s->member.member[i].name, name) == 0)
			return read_attr(s, &s->member.member[i], word, equals + 1);
	}
	if (strcmp(name, "out") == 0)
		return s->has_out = read_type(s, word, equals + 1, &s->out);
	if (s->nin == ir_ops[s->op].max_in || s->nin == MAX_OPERANDS)
		return diag_error(s->diag, (Loc){0}, "'%s': %s has %d operand%s and no attribute '%s'", word,
				  ir_ops[s->op].text, ir_ops[s->op].max_in, ir_ops[s->op].max_in == 1 ? "" : "s", name);
	s->name[s->nin] = name;
	return read_type(s, word, equals + 1, &s->type[s->nin++]);
}

/* ---- the short form ---- */
static int numbers(const char *shape, int64_t *out, int room)
{
	int n = 0;
	const char *at = shape;
	while (n < room && integer(&at, &out[n])) {
		n++;
		if (*at != ',')
			break;
		at++;
	}
	return *at ? -1 : n;
}

static int64_t windows(int64_t extent, int64_t window, int64_t stride, int64_t pad)
{
	return stride > 0 && extent + 2 * pad >= window ? (extent + 2 * pad - window) / stride + 1 : 0;
}

/* N,H,W,C,K,R,S[,stride[,pad]] */
static int conv_words(Arena *a, OpCode op, const int64_t *v, int n, const char **word)
{
	long long stride = n > 7 ? v[7] : 1, pad = n > 8 ? v[8] : 0;
	long long oh = windows(v[1], v[5], stride, pad), ow = windows(v[2], v[6], stride, pad);
	const char *x = arena_printf(a, "%lldx%lldx%lldx%lld", (long long)v[0], (long long)v[1], (long long)v[2],
				     (long long)v[3]);
	const char *w = arena_printf(a, "%lldx%lldx%lldx%lld", (long long)v[5], (long long)v[6], (long long)v[3],
				     (long long)v[4]);
	const char *y = arena_printf(a, "%lldx%lldx%lldx%lld", (long long)v[0], oh, ow, (long long)v[4]);
	word[0] = arena_printf(a, "%s=%s", op == OP_conv2d_dx ? "dy" : "x", op == OP_conv2d_dx ? y : x);
	word[1] = arena_printf(a, "%s=%s", op == OP_conv2d_dw ? "dy" : "w", op == OP_conv2d_dw ? y : w);
	word[2] = arena_printf(a, "stride=%lld", stride);
	word[3] = arena_printf(a, "pad=%lld", pad);
	word[4] = arena_printf(a, "out=%s", op == OP_conv2d_dx ? x : w);
	return op == OP_conv2d ? 4 : 5;
}

static int short_form(Described *s, const char *shape, const char **word)
{
	int64_t v[9];
	Arena *a = s->arena;
	int n = numbers(shape, v, COUNT(v));
	if (is_conv(s->op) && n >= 7)
		return conv_words(a, s->op, v, n, word);
	if (s->op == OP_matmul && n == 3) { /* M,N,K */
		word[0] = arena_printf(a, "a=%lldx%lld", (long long)v[0], (long long)v[2]);
		word[1] = arena_printf(a, "b=%lldx%lld", (long long)v[2], (long long)v[1]);
		return 2;
	}
	if ((s->op == OP_maxpool || s->op == OP_avgpool) && (n == 5 || n == 6)) { /* N,H,W,C,window[,stride] */
		word[0] = arena_printf(a, "x=%lldx%lldx%lldx%lld", (long long)v[0], (long long)v[1], (long long)v[2],
				       (long long)v[3]);
		word[1] = arena_printf(a, "window=%lld", (long long)v[4]);
		word[2] = arena_printf(a, "stride=%lld", (long long)v[n - 1]);
		return 3;
	}
	diag_error(s->diag, (Loc){0}, "--shape %s does not fit %s", shape, ir_ops[s->op].text);
	diag_note(s->diag, "help",
		  "conv2d, conv2d_dx, conv2d_dw: N,H,W,C,K,R,S[,stride[,pad]]; matmul: M,N,K; maxpool, avgpool: "
		  "N,H,W,C,window[,stride]; all others: NAME=SHAPE for each operand");
	return -1;
}

/* ---- what need not be said ---- */
static bool *given(Described *s, const char *name)
{
	for (int i = 0; i < s->member.n; i++) {
		if (strcmp(s->member.member[i].name, name) == 0)
			return &s->given[i];
	}
	ICE("no attribute %s", name);
}

static void fill_in(Described *s)
{
	IrWindow *w = is_conv(s->op) ? &s->attr.conv : &s->attr.pool;
	const IrType *kernel = s->op == OP_conv2d_dw ? &s->out : &s->type[1];
	for (int i = 0; i < 2; i++) {
		if (is_conv(s->op) && !*given(s, "window") && kernel->rank == 4)
			w->size[i] = kernel->dim[i];
		if (is_pool(s->op) && !*given(s, "stride"))
			w->stride[i] = w->size[i];
	}
}

/* Which operands hold samples: the others are alike for all of them. */
static bool batched(const Described *s, int i)
{
	if (s->type[i].rank == 0 || s->type[i].dim[0] != s->type[0].dim[0])
		return false;
	if (s->op == OP_conv2d || s->op == OP_conv2d_dx)
		return i == 0;
	if (s->op == OP_matmul)
		return i == 0 || (s->attr.matmul.ta && !s->attr.matmul.tb);
	return i == 0 || s->type[i].rank == s->type[0].rank || s->op == OP_warp || s->op == OP_select;
}

/* ---- the graph ---- */
static IrNode *operand(Described *s, IrEntry *e, int i)
{
	IrType t = s->type[i];
	if (batched(s, i)) {
		t.dim[0] = IR_N;
		return ir_input(e, (Loc){0}, ir_port_new(e, s->name[i], t));
	}
	IrState *st = ir_state_new(e->module, s->name[i], t, STATE_PARAM, (Loc){0});
	st->init = INIT_UNIFORM;
	st->init_arg[0] = -1;
	st->init_arg[1] = 1;
	st->init_stream = e->module->next_stream++;
	return ir_state_read(e, (Loc){0}, st);
}

static bool distinct(const Described *s)
{
	for (int i = 0; i < s->nin; i++) {
		for (int j = 0; j < i; j++) {
			if (strcmp(s->name[i], s->name[j]) == 0)
				return diag_error(s->diag, (Loc){0}, "two operands are called '%s'", s->name[i]);
		}
	}
	return s->nin >= ir_ops[s->op].min_in ||
	       diag_error(s->diag, (Loc){0}, "%s needs %d operand%s, as x=32x56x56x64", ir_ops[s->op].text,
			  ir_ops[s->op].min_in, ir_ops[s->op].min_in == 1 ? "" : "s");
}

static bool build(Described *s, IrModule *m)
{
	IrNode *in[MAX_OPERANDS];
	if (s->nin == 0 || s->type[0].dim[0] > MAX_SAMPLES)
		return diag_error(s->diag, (Loc){0}, "%s needs a first operand of 1 to %d samples", ir_ops[s->op].text,
				  MAX_SAMPLES);
	m->max_n = s->type[0].dim[0];
	IrEntry *e = ir_entry_new(m, "predict");
	for (int i = 0; i < s->nin; i++)
		in[i] = operand(s, e, i);
	if (s->has_out && s->op != OP_conv2d_dw && s->out.dim[0] == m->max_n)
		s->out.dim[0] = IR_N;
	IrNode *n = ir_node(e, s->diag, s->op, (Loc){0}, s->nin, in, &s->attr, s->has_out ? &s->out : NULL);
	if (!n)
		return false;
	n->name = ir_ops[s->op].text;
	ir_root_new(e, (IrRoot){.kind = ROOT_OUTPUT, .name = "out", .value = n});
	return true;
}

IrModule *op_graph(const char *op, const char *shape, const char *const *word, int n, Diag *d)
{
	Described s = {.arena = arena_new(), .diag = d};
	const char *made[MAX_WORDS];
	int nmade = 0;
	IrModule *m = NULL;
	bool ok = find_op(&s, op);
	if (ok) {
		s.member = ir_attr_members(s.op);
		INVARIANT(s.member.n <= (int)COUNT(s.given));
		ir_members_preset(s.member, &s.attr);
		nmade = shape ? short_form(&s, shape, made) : 0;
		ok = nmade >= 0;
	}
	for (int i = 0; ok && i < nmade; i++)
		ok = read_word(&s, made[i]);
	for (int i = 0; ok && i < n; i++)
		ok = read_word(&s, word[i]);
	if (ok && distinct(&s)) {
		if (is_conv(s.op) || is_pool(s.op))
			fill_in(&s);
		m = ir_module_new(ir_ops[s.op].text);
		for (int i = 0; i < s.nin; i++)
			s.name[i] = arena_strdup(m->arena, s.name[i]);
		if (!build(&s, m)) {
			ir_module_free(m);
			m = NULL;
		}
	}
	arena_free(s.arena);
	return m;
}

/* ---- what was described ---- */
bool op_work(const IrModule *m, OpWork *out)
{
	const IrNode *y = m->entry->root[0].value;
	*out = (OpWork){.op = y->op};
	if (y->op == OP_matmul) {
		const IrType *a = &y->in[0]->type, *b = &y->in[1]->type;
		out->ta = y->attr.matmul.ta;
		out->tb = y->attr.matmul.tb;
		out->n = a->dim[out->ta];
		out->c = a->dim[!out->ta];
		out->k = b->dim[!out->tb];
		out->n = out->n == IR_N ? m->max_n : out->n;
		out->c = out->c == IR_N ? m->max_n : out->c;
		return true;
	}
	if (!is_conv(y->op))
		return false;
	const IrType *x = y->op == OP_conv2d_dx ? &y->type : &y->in[0]->type;
	const IrType *w = y->op == OP_conv2d_dw ? &y->type : &y->in[1]->type;
	const IrType *dy = y->op == OP_conv2d ? &y->type : y->op == OP_conv2d_dx ? &y->in[0]->type : &y->in[1]->type;
	out->n = m->max_n;
	out->h = x->dim[1], out->w = x->dim[2], out->c = x->dim[3];
	out->r = w->dim[0], out->s = w->dim[1], out->k = w->dim[3];
	out->oh = dy->dim[1], out->ow = dy->dim[2];
	out->window = y->attr.conv;
	return true;
}

static void print_attrs(FILE *f, const IrNode *y)
{
	IrMembers list = ir_attr_members(y->op);
	const char *before = " {";
	for (int i = 0; i < list.n; i++) {
		const IrMember *m = &list.member[i];
		if (ir_member_is_preset(m, &y->attr) || (m->kind != MEMBER_I32 && m->kind != MEMBER_FLAG))
			continue;
		fprintf(f, "%s%s", before, m->name);
		for (int k = 0; m->kind == MEMBER_I32 && k < m->count; k++)
			fprintf(f, " %d", ((const int32_t *)(const void *)((const char *)&y->attr + m->offset))[k]);
		before = ", ";
	}
	if (before[0] == ',')
		fputc('}', f);
}

const char *op_text(Arena *a, const IrModule *m)
{
	const IrNode *y = m->entry->root[0].value;
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	if (!f)
		return ir_ops[y->op].text;
	fputs(ir_ops[y->op].text, f);
	for (int i = 0; i < y->nin; i++) {
		const IrNode *x = y->in[i];
		const char *name = x->op == OP_state ? x->attr.state.of->name : m->entry->port[x->attr.input.port].name;
		fprintf(f, " %s %s", name, ir_type_text(a, &x->type));
	}
	fprintf(f, " -> %s", ir_type_text(a, &y->type));
	print_attrs(f, y);
	fclose(f);
	const char *copy = arena_strdup(a, text);
	free(text);
	return copy;
}

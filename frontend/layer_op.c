/* layer_op.c -- Weight, a tensor of weights, and Op, a row of the op table by its own name
 *
 * Op has a field for each attribute of ir/attrs.def that a model file may set, under the same name; which of them an op
 * takes, and what fits, the table and its shape rules say. An op whose attributes have no fields here (random numbers,
 * augmentation) can't be written. Numbers among the inputs are constants of the first input's type.
 */
#include "frontend/build.h"
#include "frontend/frontend.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "ir/attr.h"

bool layer_takes_any(const LayerKind *kind)
{
	for (int i = 0; i < layer_nop; i++) {
		if (kind == &layer_op_kinds[i])
			return true;
	}
	return false;
}

/* ---- inputs that are numbers: layers' names begin with a letter ---- */

bool layer_number(const Layer *l, const char *text, double *out)
{
	char *end;
	if (!layer_takes_any(l->kind) || isalpha((unsigned char)*text) || *text == '_')
		return false;
	*out = strtod(text, &end);
	return end != text && !*end;
}

bool layer_is_source(const Layer *l)
{
	if (l->kind->max_in == 0)
		return true;
	for (int op = 0; layer_takes_any(l->kind) && op < OP_COUNT; op++) {
		if (strcmp(ir_ops[op].text, val_string(l->arg, "op")) == 0)
			return ir_ops[op].max_in == 0;
	}
	return false;
}

/* ---- fields and attributes ---- */

static bool refuse(Model *m, const char *fmt, ...) CNNC_PRINTF(2, 3);

static bool refuse(Model *m, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(m->reason, sizeof m->reason, fmt, args);
	va_end(args);
	return false;
}

static const SchemaRow *op_section(void)
{
	return schema_find(LAYER, "Op");
}

bool layer_op_writable(OpCode op)
{
	const IrMembers list = ir_attr_members(op);
	if (!(ir_ops[op].traits & PURE))
		return false;
	for (int i = 0; i < list.n; i++) {
		if (schema_field_index(op_section(), list.member[i].name) < 0)
			return false;
	}
	return true;
}

/* ---- cnnc help OP ---- */

static const char *what_it_does(unsigned traits)
{
	static const struct { unsigned trait; const char *text; } word[] = {
		{EWISE, "works element by element; shapes stretch as in NumPy"}, {REDUCES, "folds axes away"},
		{CONVOLVES, "sums of products over windows"}, {CONTRACTS, "sums of products"}, {WINDOW, "folds or spreads windows"},
		{UNSLIDES, "spreads windows"}, {ROWWISE, "works along the last axis"}, {VIEW, "the same elements in another shape"},
		{STRETCHES, "repeats elements"}, {PERMUTES, "reorders axes"}, {CROPS, "takes some elements"}, {PADS, "puts zeros around"},
		{JOINS, "puts inputs side by side"}, {RESAMPLES, "reads pictures at other places"}, {RANDOM, "random numbers"},
	};
	for (size_t i = 0; i < COUNT(word); i++) {
		if (traits & word[i].trait)
			return word[i].text;
	}
	return "makes a value";
}

bool fe_help_op(const char *topic, FILE *f)
{
	Arena *a = arena_new();
	int op = 0;
	while (op < OP_COUNT && strcmp(ir_ops[op].text, topic) != 0)
		op++;
	if (op < OP_COUNT) {
		const IrOpInfo *info = &ir_ops[op];
		const IrMembers list = ir_attr_members((OpCode)op);
		const bool writable = layer_op_writable((OpCode)op), one = info->max_in == 1;
		fprintf(f, "%s (operation): %s; ", info->text, what_it_does(info->traits));
		if (info->min_in == info->max_in)
			fprintf(f, "%d input%s\n", info->min_in, one ? "" : "s");
		else
			fprintf(f, "%d to %d inputs\n", info->min_in, info->max_in);
		if (writable)
			fprintf(f, "  as a layer: Op: {op: %s, …}; every layer's keys, and\n", info->text);
		else
			fputs("  not to be written as a layer\n", f);
		for (int i = 0; writable && i < list.n; i++) {
			const int at = schema_field_index(op_section(), list.member[i].name);
			fprintf(f, "  %-24s %s\n", list.member[i].name, schema_describe(a, schema_field(op_section(), at)));
		}
	}
	arena_free(a);
	return op < OP_COUNT;
}

static bool find_op(Model *m, const char *text, OpCode *out)
{
	const char *names[OP_COUNT];
	size_t n = 0;
	for (int op = 0; op < OP_COUNT; op++) {
		if (!layer_op_writable((OpCode)op))
			continue;
		names[n++] = ir_ops[op].text;
		*out = (OpCode)op;
		if (strcmp(ir_ops[op].text, text) == 0)
			return true;
	}
	const char *near = diag_nearest(text, names, n);
	return refuse(m, "there is no operation '%.60s'%s%s%s", text, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static bool is_field_of_all(const SchemaRow *f)
{
	static const char *const names[] = { "op", "shape", "samples", "to" };
	for (size_t i = 0; i < COUNT(names); i++) {
		if (strcmp(names[i], f->name) == 0)
			return true;
	}
	return schema_field_index(schema_any_layer(), f->name) >= 0;
}

/* A field that was given but is no attribute of the op. */
static bool fields_fit(Model *m, const Layer *l, OpCode op)
{
	const IrMembers list = ir_attr_members(op);
	for (int i = 0; i < l->arg->n; i++) {
		const SchemaRow *f = schema_field(l->arg->section, i);
		bool known = is_field_of_all(f);
		for (int k = 0; k < list.n; k++)
			known = known || strcmp(list.member[k].name, f->name) == 0;
		if (!known && l->arg->item[i].given)
			return refuse(m, "%s takes no '%s'", ir_ops[op].text, f->name);
	}
	return true;
}

static bool set_axes(Model *m, const Val *v, uint32_t *out)
{
	*out = 0;
	for (int i = 0; i < v->n; i++) {
		if (*out & 1u << v->item[i].i)
			return refuse(m, "axis %lld is listed twice", (long long)v->item[i].i);
		*out |= 1u << v->item[i].i;
	}
	return true;
}

static bool set_numbers(Model *m, const Val *v, const char *name, int most, bool all, int32_t *out)
{
	if (v->kind != VAL_LIST) {
		*out = (int32_t)v->i;
		return true;
	}
	if (v->n > most || (all && v->n != most))
		return refuse(m, "%s has %d values, not %d", name, v->n, most);
	for (int i = 0; i < v->n; i++)
		out[i] = (int32_t)v->item[i].i;
	return true;
}

static bool set_dtype(const Val *v, DType *out)
{
	int n;
	const char *const *words = ir_member_words(MEMBER_DTYPE, &n);
	for (int i = 0; i < n; i++) {
		if (strcmp(words[i], v->s) == 0)
			*out = (DType)i;
	}
	return true;
}

static bool set_attribute(Model *m, const IrMember *f, const Val *v, IrAttr *attr)
{
	char *at = (char *)attr + f->offset;
	switch (f->kind) {
	case MEMBER_F64:
		memcpy(at, &v->x, sizeof v->x);
		return true;
	case MEMBER_FLAG:
		*(bool *)at = v->flag;
		return true;
	case MEMBER_AXES:
		return set_axes(m, v, (uint32_t *)at);
	case MEMBER_DTYPE:
		return set_dtype(v, (DType *)at);
	case MEMBER_I32:
		return set_numbers(m, v, f->name, f->count, true, (int32_t *)at);
	case MEMBER_PERM:
		return set_numbers(m, v, f->name, IR_MAX_RANK, false, (int32_t *)at);
	default:
		return refuse(m, "'%s' can't be set", f->name);
	}
}

static bool read_attributes(Model *m, const Layer *l, OpCode op, IrAttr *attr)
{
	const IrMembers list = ir_attr_members(op);
	ir_members_preset(list, attr);
	for (int i = 0; i < list.n; i++) {
		const Val *v = val(l->arg, list.member[i].name);
		if (v->kind != VAL_UNSET && !set_attribute(m, &list.member[i], v, attr))
			return false;
		if (v->kind == VAL_UNSET && list.member[i].kind == MEMBER_DTYPE)
			return refuse(m, "%s needs '%s'", ir_ops[op].text, list.member[i].name);
	}
	return true;
}

/* ---- Op ---- */

/* The result as the file gives it; where `shape` is not given, room for the shape rule. */
static bool given_type(Model *m, const Layer *l, OpCode op, const IrType *in, IrType *out)
{
	const Val *shape = val(l->arg, "shape"), *to = val(l->arg, "to");
	bool batched = val_bool(l->arg, "samples");
	*out = (IrType){ .dtype = l->nin ? in[0].dtype : op == OP_iota ? DT_I32 : DT_F32 };
	for (int i = 0; i < l->nin; i++)
		batched = batched || ir_batched(&in[i]);
	if (to->kind == VAL_STRING)
		set_dtype(to, &out->dtype);
	if (shape->kind != VAL_LIST)
		return true;
	out->rank = shape->n + batched;
	if (out->rank > IR_MAX_RANK)
		return refuse(m, "the result would have %d dimensions; at most %d are possible", out->rank, IR_MAX_RANK);
	out->dim[0] = IR_N;
	for (int i = 0; i < shape->n; i++)
		out->dim[batched + i] = (int32_t)shape->item[i].i;
	return true;
}

/* A node of the op on nodes that only have types, with its attributes; numbers are constants. */
static IrNode *node_of(Model *m, const Layer *l, const IrType *in)
{
	const Val *inputs = val(l->own, "inputs");
	const int all = inputs->kind == VAL_LIST ? inputs->n : l->nin;
	IrNode *n = NEW(m->arena, IrNode), *operand = NEWN(m->arena, IrNode, all + 1);
	double number;
	if (!find_op(m, val_string(l->arg, "op"), &n->op) || !fields_fit(m, l, n->op))
		return NULL;
	const bool chooses = ir_ops[n->op].min_in == 3; /* select: input 0 is the condition */
	n->loc = l->loc;
	n->nin = all;
	n->in = NEWN(m->arena, IrNode *, all + 1);
	for (int i = 0, k = 0; i < all; i++) {
		n->in[i] = &operand[i];
		operand[i].op = OP_input;
		if (inputs->kind == VAL_LIST && layer_number(l, inputs->item[i].s, &number)) {
			operand[i].op = OP_konst;
			operand[i].attr.konst.value = number;
			operand[i].type.dtype = l->nin > chooses ? in[chooses].dtype : DT_F32;
		} else {
			operand[i].type = in[k++];
		}
	}
	return given_type(m, l, n->op, in, &n->type) && read_attributes(m, l, n->op, &n->attr) ? n : NULL;
}

static bool op_shape(Model *m, Layer *l, const IrType *in)
{
	IrNode *n = node_of(m, l, in);
	if (!n)
		return false;
	const IrType given = n->type;
	const char *why = ir_infer_why(n, m->arena);
	if (why)
		return refuse(m, "%s", why);
	if (val(l->arg, "shape")->kind == VAL_LIST && !ir_type_eq(&given, &n->type))
		return refuse(m, "the result is %s, not %s", ir_type_text(m->arena, &n->type), ir_type_text(m->arena, &given));
	l->out = n->type;
	return true;
}

static IrNode *op_emit(Build *b, const Layer *l, IrNode *const *in)
{
	IrType type[64];
	for (int i = 0; i < l->nin; i++)
		type[i] = in[i]->type;
	IrNode *like = node_of(b->m, l, type);
	INVARIANT(like);
	for (int i = 0, k = 0; i < like->nin; i++) {
		const IrNode *o = like->in[i];
		like->in[i] = o->op == OP_konst ? ir_konst(b->e, b->loc, o->type.dtype, o->attr.konst.value) : in[k++];
	}
	return ir_node(b->e, NULL, like->op, b->loc, like->nin, like->in, &like->attr, &like->type);
}

/* ---- Weight ---- */

static bool weight_shape(Model *m, Layer *l, const IrType *in)
{
	(void)in;
	static const struct { const char *name; DType dtype; } dtypes[] = {
		{ "float32", DT_F32 }, { "int32", DT_I32 }, { "uint32", DT_U32 }, { "uint8", DT_U8 }, { "bool", DT_BOOL },
	};
	const Val *shape = val(l->arg, "shape");
	int64_t all = 1;
	l->out = (IrType){ .rank = shape->kind == VAL_LIST ? shape->n : 0 };
	for (size_t i = 0; i < COUNT(dtypes); i++) {
		if (strcmp(dtypes[i].name, val_string(l->arg, "dtype")) == 0)
			l->out.dtype = dtypes[i].dtype;
	}
	if (l->out.rank > IR_MAX_RANK)
		return refuse(m, "it has %d dimensions; at most %d are possible", l->out.rank, IR_MAX_RANK);
	for (int i = 0; i < l->out.rank; i++) {
		l->out.dim[i] = (int32_t)shape->item[i].i;
		if (__builtin_mul_overflow(all, shape->item[i].i, &all) || all > INT64_C(1) << 36)
			return refuse(m, "it would be too large");
	}
	return true;
}

static void weight_states(Model *m, Layer *l, const IrType *in)
{
	(void)in;
	l->state[0] = layer_state(m, l, "value", l->out, val(l->arg, "initializer"), val(l->arg, "regularizer"), false);
	l->state[0]->trainable &= l->out.dtype == DT_F32;
	l->state[0]->decay = l->state[0]->trainable;
}

static IrNode *weight_emit(Build *b, const Layer *l, IrNode *const *in)
{
	(void)in;
	return node_state(b, l->state[0]);
}

const LayerKind layer_op_kinds[] = {
	{ "Weight", 0, 0, 0, weight_shape, weight_states, weight_emit },
	{ "Op", 0, 64, 0, op_shape, NULL, op_emit },
};
const int layer_nop = COUNT(layer_op_kinds);

/* onnx_value.c -- values under import: constants that are folded, layers that are written, and where axes lie
 *
 * What has only constant operands is computed here by the interpreter, everything else becomes a line of the model file. Which
 * shape an operation gives, the op table's own rule says.
 */
#include "frontend/onnx_value.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "ir/attr.h"

enum { MAX_LAYERS = 8192, MAX_INPUTS = 64 };
static const int64_t large = 4096, most_filled = INT64_C(1) << 29, most_folded = INT64_C(1) << 22, most_folded_all = INT64_C(1) << 24;

/* ---- problems ---- */

Value *onx_fail(Onx *m, const char *fmt, ...)
{
	va_list args;
	if (m->failed)
		return m->nothing;
	va_start(args, fmt);
	m->why = arena_vprintf(m->arena, fmt, args);
	va_end(args);
	m->failed = true;
	return m->nothing;
}

Value *onx_mixes(Onx *m, const char *what)
{
	onx_fail(m, "%s", what);
	m->wrap = true;
	return m->nothing;
}

/* ---- names of layers ---- */

static bool taken(const Onx *m, const char *name)
{
	static const char *const reserved[] = { "x", "y", "id", "input" };
	for (size_t i = 0; i < COUNT(reserved); i++) {
		if (strcmp(name, reserved[i]) == 0)
			return true;
	}
	for (int i = 0; i < m->nlayer_names; i++) {
		if (strcmp(name, m->layer_name[i]) == 0)
			return true;
	}
	return false;
}

/* Letters, digits and _ of `from`, made unique. */
static const char *new_name(Onx *m, const char *from)
{
	enum { LONGEST = 48 };
	char *base = arena_strndup(m->arena, from, strnlen(from, LONGEST));
	for (char *c = base; *c; c++)
		*c = isalnum((unsigned char)*c) ? *c : '_';
	while (*base == '_')
		base++;
	if (!isalpha((unsigned char)*base))
		base = arena_printf(m->arena, "n%s", base);
	const char *name = base;
	for (int i = 1; taken(m, name); i++) /* many of one name: counted by all names, so that the search is short */
		name = arena_printf(m->arena, "%s_%d", base, i < 16 ? i : m->nlayer_names + i);
	if (m->nlayer_names == m->room) {
		m->layer_name = arena_grow(m->arena, m->layer_name, (size_t)m->room, (size_t)m->room * 2 + 64, sizeof *m->layer_name);
		m->room = m->room * 2 + 64;
	}
	m->layer_name[m->nlayer_names++] = name;
	return name;
}

const char *phys_layer_name(Onx *m)
{
	const OnnxNode *n = m->node;
	const char *from = !n ? "output" : *n->name ? n->name : n->nout && *n->out[0] ? n->out[0] : n->op;
	return new_name(m, isdigit((unsigned char)*from) && n ? arena_printf(m->arena, "%s_%s", n->op, from) : from);
}

/* ---- constants ---- */

Phys *phys_known(Onx *m, IrType type, const float *f, const double *d)
{
	Phys *p = NEW(m->arena, Phys);
	p->node.op = OP_input;
	p->node.type = type;
	p->known = true;
	p->f = f;
	p->d = d;
	return p;
}

double phys_element(const Phys *p, int64_t i)
{
	return p->splat ? p->d[0] : p->f ? (double)p->f[i] : p->d[i];
}

static const double *as_doubles(Arena *a, const Phys *p)
{
	if (p->d && !p->splat)
		return p->d;
	const int64_t n = ir_elems(&p->node.type, 1);
	double *d = NEWN(a, double, n);
	for (int64_t i = 0; i < n; i++)
		d[i] = phys_element(p, i);
	return d;
}

/* Transposing weights may be large: element by element, without doubles. */
static Phys *fold_transpose(Onx *m, const Phys *in, const IrType *type, const int32_t *perm)
{
	int64_t stride[IR_MAX_RANK], from[IR_MAX_RANK], at[IR_MAX_RANK] = { 0 }, s = 1, n = ir_elems(type, 1);
	float *out = NEWN(m->arena, float, n);
	for (int i = type->rank - 1; i >= 0; i--) {
		from[i] = s;
		s *= in->node.type.dim[i];
	}
	for (int i = 0; i < type->rank; i++)
		stride[i] = from[perm[i]];
	for (int64_t i = 0, offset = 0; i < n; i++) {
		out[i] = in->f[offset];
		for (int k = type->rank - 1; k >= 0; k--) {
			offset += stride[k];
			if (++at[k] < type->dim[k])
				break;
			offset -= at[k] * stride[k];
			at[k] = 0;
		}
	}
	Phys *p = phys_known(m, *type, out, NULL);
	p->fixed = in->fixed;
	return p;
}

/* One number everywhere, of whatever shape: takes no memory. */
static Phys *fold_splat(Onx *m, const Phys *in, const IrType *type)
{
	double *one = NEW(m->arena, double);
	*one = phys_element(in, 0);
	Phys *p = phys_known(m, *type, NULL, one);
	p->splat = true;
	p->fixed = in->fixed;
	return p;
}

static Phys *fold(Onx *m, const IrNode *node, int n, Phys *const *in)
{
	const int64_t elems = ir_elems(&node->type, 1);
	Arena *scratch = arena_new();
	const double *operand[MAX_INPUTS];
	double *out = NEWN(elems >= large ? scratch : m->arena, double, elems);
	for (int i = 0; i < n; i++)
		operand[i] = as_doubles(scratch, in[i]);
	ir_eval_node(node, 1, &(IrScalars){ 0 }, operand, out);
	for (int64_t i = 0; i < elems && node->type.dtype == DT_F32; i++)
		out[i] = (double)(float)out[i];
	m->folded += elems;
	float *f = node->type.dtype == DT_F32 && elems >= large ? NEWN(m->arena, float, elems) : NULL;
	for (int64_t i = 0; i < elems && f; i++)
		f[i] = (float)out[i];
	Phys *p = phys_known(m, node->type, f, f ? NULL : out);
	p->fixed = true;
	for (int i = 0; i < n; i++)
		p->fixed = p->fixed && in[i]->fixed;
	arena_free(scratch);
	return p;
}

static bool can_fold(Onx *m, const IrNode *node, int n, Phys *const *in)
{
	int64_t work = ir_elems(&node->type, 1);
	for (int i = 0; i < n; i++) {
		if (!in[i]->known)
			return false;
		work += ir_elems(&in[i]->node.type, 1);
	}
	return !ir_batched(&node->type) && !ir_has(node, RANDOM) && !ir_has(node, CONTRACTS) && work <= most_folded && m->folded <= most_folded_all;
}

/* ---- layers ---- */

static const char *number(Arena *a, double v)
{
	if (isnan(v))
		return "+nan";
	if (isinf(v))
		return v < 0 ? "-inf" : "+inf";
	for (int digits = 1; digits < 17; digits++) {
		const char *text = arena_printf(a, "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			return text;
	}
	return arena_printf(a, "%.17g", v);
}

static const char *shape_text(Arena *a, const IrType *t, bool samples)
{
	const char *text = "[";
	for (int i = samples && ir_batched(t); i < t->rank; i++)
		text = arena_printf(a, "%s%s%d", text, text[1] ? ", " : "", t->dim[i]);
	return arena_printf(a, "%s]", text);
}

DType onx_dtype_of(OnnxType t)
{
	switch (t) {
	case ONNX_UINT8: return DT_U8;
	case ONNX_BOOL: return DT_BOOL;
	case ONNX_UINT32:
	case ONNX_UINT64: return DT_U32;
	case ONNX_INT8:
	case ONNX_INT16:
	case ONNX_UINT16:
	case ONNX_INT32:
	case ONNX_INT64: return DT_I32;
	default: return DT_F32;
	}
}

static const char *dtype_word(DType t)
{
	return t == DT_F32 ? "float32" : t == DT_I32 ? "int32" : t == DT_U32 ? "uint32" : t == DT_U8 ? "uint8" : "bool";
}

void phys_weight(Onx *m, const char *layer, const char *suffix, const Phys *p)
{
	OnxWeight *w = NEW(m->arena, OnxWeight);
	*w = (OnxWeight){ .name = arena_printf(m->arena, "%s.%s", layer, suffix), .type = p->node.type, .f = p->f, .d = p->d, .splat = p->splat };
	*m->weight_end = w;
	m->weight_end = &w->next;
}

static bool may_write(Onx *m)
{
	if (!m->failed && ++m->nlayers > MAX_LAYERS)
		onx_fail(m, "the model would have more than %d layers", MAX_LAYERS);
	return !m->failed;
}

static bool all_equal(const Phys *p)
{
	const int64_t n = p->splat ? 0 : ir_elems(&p->node.type, 1);
	for (int64_t i = 1; i < n; i++) {
		if (phys_element(p, i) != phys_element(p, 0))
			return false;
	}
	return true;
}

/* The axis along which it counts 0, 1, 2, …; -1: it does not. */
static int counted_axis(const Phys *p)
{
	const IrType *t = &p->node.type;
	int64_t inner = ir_elems(t, 1);
	const int64_t n = inner;
	for (int axis = 0; t->dtype == DT_I32 && axis < t->rank; axis++) {
		bool counts = t->dim[axis] > 1;
		inner /= t->dim[axis];
		for (int64_t i = 0; counts && i < n; i++)
			counts = phys_element(p, i) == (double)(i / inner % t->dim[axis]);
		if (counts)
			return axis;
	}
	return -1;
}

static void write_known(Onx *m, Phys *p)
{
	const IrType *t = &p->node.type;
	Arena *a = m->arena;
	if (ir_elems(t, 1) == 0)
		onx_fail(m, "a tensor without elements");
	if (!may_write(m))
		return;
	const int axis = counted_axis(p);
	p->layer = new_name(m, arena_printf(a, "%s_const", m->node && *m->node->op ? m->node->op : "output"));
	if (axis >= 0) {
		fprintf(m->text, "    - Op: {op: iota, shape: %s, axis: %d, name: %s}\n", shape_text(a, t, false), axis, p->layer);
	} else if (t->dtype == DT_F32 && all_equal(p) && !isfinite(phys_element(p, 0))) {
		fprintf(m->text, "    - Op: {op: broadcast, shape: %s, inputs: %s, name: %s}\n", shape_text(a, t, false),
		        number(a, phys_element(p, 0)), p->layer);
	} else if (t->dtype != DT_BOOL && all_equal(p)) {
		fprintf(m->text, "    - Op: {op: const, value: %s, to: %s, shape: %s, name: %s}\n", number(a, phys_element(p, 0)),
		        dtype_name(t->dtype), shape_text(a, t, false), p->layer);
	} else {
		const char *dtype = t->dtype == DT_F32 ? (p->fixed ? "trainable: false, " : "") : arena_printf(a, "dtype: %s, trainable: false, ", dtype_word(t->dtype));
		fprintf(m->text, "    - Weight: {shape: %s, %sname: %s}\n", shape_text(a, t, false), dtype, p->layer);
		phys_weight(m, p->layer, "value", p);
	}
	m->last = NULL;
}

const char *phys_name(Onx *m, Phys *p)
{
	p->node.nuse++;
	if (!p->layer && !p->known)
		onx_mixes(m, "an input whose first extent is another than that of the first input");
	else if (!p->layer && !m->failed)
		write_known(m, p);
	return p->layer ? p->layer : "nothing";
}

/* Operands as `inputs:` writes them; a number stands for a constant where another operand says its type. */
static const char *inputs_text(Onx *m, int n, Phys *const *in, bool numbers)
{
	const char *text = "";
	const int first = n == 3 ? 1 : 0; /* select: a number is of the type of the second operand */
	bool typed = false;
	for (int i = first; i < n; i++)
		typed = typed || !in[i]->known || in[i]->node.type.dtype == DT_F32;
	for (int i = 0; i < n; i++) {
		const IrType *t = &in[i]->node.type;
		const bool single = numbers && typed && i >= first && in[i]->known && t->dtype != DT_BOOL && ir_elems(t, 1) == 1 && t->rank == 0;
		const char *one = single ? number(m->arena, phys_element(in[i], 0)) : phys_name(m, in[i]);
		text = arena_printf(m->arena, "%s%s%s", text, i ? ", " : "", one);
	}
	return text;
}

static Phys *written(Onx *m, const char *layer, IrType type)
{
	Phys *p = NEW(m->arena, Phys);
	p->node.op = OP_input;
	p->node.type = type;
	p->layer = layer;
	m->last = layer;
	return p;
}

Phys *phys_layer(Onx *m, const char *kind, const char *fields, int n, Phys *const *in, IrType type)
{
	const char *before = m->last;
	const bool follows = n == 1 && before && in[0]->layer == before;
	const char *inputs = follows || n == 0 ? "" : inputs_text(m, n, in, strcmp(kind, "Op") == 0);
	if (!may_write(m))
		return m->nothing->p;
	const char *name = phys_layer_name(m);
	fprintf(m->text, "    - %s: {%s", kind, fields);
	if (*inputs)
		fprintf(m->text, n == 1 ? "inputs: %s, " : "inputs: [%s], ", inputs);
	fprintf(m->text, "name: %s}\n", name);
	return written(m, name, type);
}

static const char *member_text(Arena *a, const IrMember *f, const IrAttr *attr, int rank)
{
	const char *at = (const char *)attr + f->offset, *text = "[";
	const int n = f->kind == MEMBER_PERM ? rank : f->count;
	double x;
	switch (f->kind) {
	case MEMBER_F64:
		memcpy(&x, at, sizeof x);
		return number(a, x);
	case MEMBER_FLAG:
		return *(const bool *)at ? "true" : "false";
	case MEMBER_DTYPE:
		return dtype_name(*(const DType *)at);
	case MEMBER_AXES:
		for (int i = 0; i < 32; i++) {
			if (*(const uint32_t *)at >> i & 1)
				text = arena_printf(a, "%s%s%d", text, text[1] ? ", " : "", i);
		}
		return arena_printf(a, "%s]", text);
	default:
		if (n == 1 && f->kind != MEMBER_PERM)
			return arena_printf(a, "%d", *(const int32_t *)at);
		for (int i = 0; i < n; i++)
			text = arena_printf(a, "%s%s%d", text, i ? ", " : "", ((const int32_t *)at)[i]);
		return arena_printf(a, "%s]", text);
	}
}

static const char *op_fields(Onx *m, const IrNode *node, bool shape)
{
	const IrMembers list = ir_attr_members(node->op);
	const char *text = arena_printf(m->arena, "op: %s, ", ir_ops[node->op].text);
	for (int i = 0; i < list.n; i++) {
		if (!ir_member_is_preset(&list.member[i], &node->attr) || list.member[i].kind == MEMBER_DTYPE)
			text = arena_printf(m->arena, "%s%s: %s, ", text, list.member[i].name,
			                    member_text(m->arena, &list.member[i], &node->attr, node->type.rank));
	}
	if (shape)
		text = arena_printf(m->arena, "%sshape: %s, ", text, shape_text(m->arena, &node->type, true));
	return text;
}

static bool adds_samples(const IrNode *node, int n, Phys *const *in)
{
	bool batched = ir_batched(&node->type);
	for (int i = 0; i < n; i++)
		batched = batched && !ir_batched(&in[i]->node.type);
	return batched;
}

Phys *phys_op(Onx *m, OpCode op, int n, Phys *const *in, const IrAttr *attr, const IrType *want)
{
	if (m->failed)
		return m->nothing->p;
	IrNode *node = NEW(m->arena, IrNode);
	node->op = op;
	node->nin = n;
	node->in = NEWN(m->arena, IrNode *, n + 1);
	for (int i = 0; i < n; i++)
		node->in[i] = &in[i]->node;
	if (attr)
		ir_attr_copy(op, &node->attr, attr);
	else
		ir_members_preset(ir_attr_members(op), &node->attr);
	if (want)
		node->type = *want;
	const char *why = ir_infer_why(node, m->arena);
	if (why)
		return onx_fail(m, "%s: %s", ir_ops[op].text, why)->p;
	if ((op == OP_transpose || op == OP_reshape) && in[0]->known && in[0]->splat)
		return fold_splat(m, in[0], &node->type);
	if (op == OP_transpose && in[0]->known && in[0]->f)
		return fold_transpose(m, in[0], &node->type, node->attr.perm.perm);
	if (op == OP_broadcast && in[0]->known && !ir_batched(&node->type) && node->type.dtype == DT_F32 &&
	    ir_elems(&in[0]->node.type, 1) == 1 && (m->filled += ir_elems(&node->type, 1)) <= most_filled)
		return fold_splat(m, in[0], &node->type);
	if (can_fold(m, node, n, in))
		return fold(m, node, n, in);
	const char *fields = op_fields(m, node, want != NULL);
	if (adds_samples(node, n, in))
		fields = arena_printf(m->arena, "%ssamples: true, ", fields);
	return phys_layer(m, "Op", fields, n, in, node->type);
}

Phys *phys_reshape(Onx *m, Phys *p, int rank, const int32_t *dim)
{
	if (m->failed)
		return m->nothing->p;
	if (rank > IR_MAX_RANK)
		return onx_fail(m, "a value of %d dimensions; at most %d are possible", rank, IR_MAX_RANK)->p;
	IrType to = ir_type(p->node.type.dtype, rank, dim);
	if (ir_type_eq(&to, &p->node.type))
		return p;
	if (p->known && p->f && ir_elems(&to, 1) == ir_elems(&p->node.type, 1)) {
		Phys *same = phys_known(m, to, p->f, NULL);
		same->fixed = p->fixed;
		return same;
	}
	return phys_op(m, OP_reshape, 1, &p, NULL, &to);
}

/* ---- logical values ---- */

static size_t hash(const char *s)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a */
	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	return (size_t)(h ^ h >> 32);
}

static OnxName *slot(const Onx *m, const char *name)
{
	size_t i = hash(name) % m->table_size;
	while (m->table[i].name && strcmp(m->table[i].name, name) != 0)
		i = (i + 1) % m->table_size;
	return &m->table[i];
}

Value *onx_find(Onx *m, const char *name)
{
	return slot(m, name)->value;
}

void onx_define(Onx *m, const char *name, Value *v)
{
	OnxName *s = slot(m, name);
	if (s->value && m->node)
		onx_fail(m, "'%.80s' is defined twice", name);
	*s = (OnxName){ name, v };
}

Value *onx_new(Onx *m, Phys *p, int rank)
{
	Value *v = NEW(m->arena, Value);
	v->p = p;
	v->rank = rank;
	for (int i = 0; i < ONNX_MAX_RANK; i++)
		v->at[i] = i < rank ? i : -1;
	return v;
}

int64_t onx_dim(const Onx *m, const Value *v, int axis)
{
	if (axis < 0 || axis >= v->rank || v->at[axis] < 0)
		return 1;
	const int32_t d = v->p->node.type.dim[v->at[axis]];
	return d == IR_N ? m->batch : d;
}

int64_t onx_elems(const Onx *m, const Value *v)
{
	int64_t n = 1;
	for (int i = 0; i < v->rank; i++)
		n *= onx_dim(m, v, i);
	return n;
}

DType onx_dtype(const Value *v)
{
	return v->p->node.type.dtype;
}

int onx_batch_axis(const Onx *m, const Value *v)
{
	for (int i = 0; m->split && ir_batched(&v->p->node.type) && i < v->rank; i++) {
		if (v->at[i] == 0)
			return i;
	}
	return -1;
}

int onx_axis(Onx *m, const Value *v, int64_t axis)
{
	const int64_t i = axis < 0 ? axis + v->rank : axis;
	if (i >= 0 && i < v->rank)
		return (int)i;
	onx_fail(m, "axis %lld, its input has %d dimensions", (long long)axis, v->rank);
	return 0;
}

Value *onx_real(Onx *m, Value *v)
{
	if (!v->flat)
		return v;
	Value *from = v->flat;
	int axis[ONNX_MAX_RANK], n = 0;
	const int batch = onx_batch_axis(m, from);
	for (int i = 0; i < from->rank; i++) {
		if (i != batch)
			axis[n++] = i;
	}
	Phys *p = onx_take(m, from, n, axis);
	Value *out = NEW(m->arena, Value);
	*out = *v;
	out->flat = NULL;
	out->p = phys_reshape(m, p, v->p->node.type.rank, v->p->node.type.dim);
	return out;
}

static bool axes_left(Onx *m, const Value *v, int n, const int *axis)
{
	const int batch = onx_batch_axis(m, v);
	for (int i = 0; i < v->rank; i++) {
		bool listed = i == batch;
		for (int k = 0; k < n; k++)
			listed = listed || axis[k] == i;
		if (!listed && onx_dim(m, v, i) != 1) {
			onx_fail(m, "axis %d of extent %lld must be 1", i, (long long)onx_dim(m, v, i));
			return false;
		}
	}
	return true;
}

Phys *onx_take(Onx *m, Value *v, int n, const int *axis)
{
	v = onx_real(m, v);
	if (m->failed || !axes_left(m, v, n, axis))
		return m->nothing->p;
	Phys *p = v->p;
	const IrType *t = &p->node.type;
	const bool batched = ir_batched(t);
	int32_t perm[IR_MAX_RANK] = { 0 }, dim[ONNX_MAX_RANK + 1];
	int used = 0, rank = 0;
	bool seen[IR_MAX_RANK] = { false }, moves = false;
	if (batched) {
		perm[used++] = 0;
		seen[0] = true;
		dim[rank++] = IR_N;
	}
	for (int k = 0; k < n; k++) {
		const int at = axis[k] >= 0 && axis[k] < v->rank ? v->at[axis[k]] : -1;
		if (at == 0 && batched)
			return onx_mixes(m, "the axis of the samples is used as another")->p;
		dim[rank++] = at < 0 ? 1 : t->dim[at];
		if (at >= 0 && !seen[at]) {
			seen[at] = true;
			perm[used++] = at;
		}
	}
	for (int i = 0; i < t->rank; i++) {
		if (!seen[i])
			perm[used++] = i;
	}
	for (int i = 0, last = -1; i < t->rank; i++) {
		if (t->dim[perm[i]] == 1)
			continue;
		moves = moves || perm[i] < last;
		last = perm[i];
	}
	if (moves) {
		IrAttr attr;
		memset(&attr, 0, sizeof attr);
		memcpy(attr.perm.perm, perm, sizeof perm);
		p = phys_op(m, OP_transpose, 1, &p, &attr, NULL);
	}
	return phys_reshape(m, p, rank, dim);
}

Value *onx_make(Onx *m, Phys *p, int rank, int n, const int *axis, int batch)
{
	if (m->failed)
		return m->nothing;
	Value *v = onx_new(m, p, rank);
	const bool batched = ir_batched(&p->node.type);
	for (int i = 0; i < rank; i++)
		v->at[i] = -1;
	for (int k = 0; k < n; k++)
		v->at[axis[k]] = k + batched;
	if (batched && m->split && batch >= 0)
		v->at[batch] = 0;
	INVARIANT(p->node.type.rank == n + batched && (!batched || !m->split || batch >= 0));
	return v;
}

/* ---- constants ---- */

static OnxInput *input_of(Onx *m, const Value *v)
{
	for (int i = 0; i < m->g->ninputs; i++) {
		if (m->input[i].value == v)
			return &m->input[i];
	}
	return NULL;
}

bool onx_known(Onx *m, Value *v)
{
	if (v->p->known)
		return true;
	OnxInput *in = input_of(m, v);
	if (!in || !in->given || m->failed)
		return false;
	const Value *constant = onx_tensor(m, in->given);
	if (m->failed)
		return false;
	*v = *constant;
	in->constant = true;
	return true;
}

const double *onx_doubles(Onx *m, Value *v)
{
	int axis[ONNX_MAX_RANK];
	if (!onx_known(m, v)) {
		onx_fail(m, "an input must be a constant");
		return NULL;
	}
	if (onx_elems(m, v) > most_folded)
		onx_fail(m, "a constant of %lld elements", (long long)onx_elems(m, v));
	for (int i = 0; i < v->rank; i++)
		axis[i] = i;
	Phys *p = onx_take(m, v, v->rank, axis);
	return m->failed ? NULL : as_doubles(m->arena, p);
}

bool onx_ints(Onx *m, Value *v, const char *what, int most, int64_t *out, int *n)
{
	*n = 0;
	if (!m->failed && !onx_known(m, v))
		onx_fail(m, "%s must be a constant", what);
	const int64_t elems = m->failed ? 0 : onx_elems(m, v);
	if (elems > most)
		onx_fail(m, "%s has %lld elements", what, (long long)elems);
	const double *d = m->failed ? NULL : onx_doubles(m, v);
	for (int64_t i = 0; d && i < elems; i++)
		out[i] = d[i] >= 9.2e18 ? INT64_MAX : d[i] <= -9.2e18 ? INT64_MIN : (int64_t)d[i];
	*n = d ? (int)elems : 0;
	return d != NULL;
}

/* ---- attributes ---- */

const OnnxAttr *onx_attr(const Onx *m, const char *name)
{
	for (int i = 0; i < m->node->nattr; i++) {
		if (strcmp(m->node->attr[i].name, name) == 0)
			return &m->node->attr[i];
	}
	return NULL;
}

int64_t onx_int(const Onx *m, const char *name, int64_t otherwise)
{
	const OnnxAttr *a = onx_attr(m, name);
	return a && a->is_int ? a->i : otherwise;
}

double onx_float(const Onx *m, const char *name, double otherwise)
{
	const OnnxAttr *a = onx_attr(m, name);
	return a && a->is_float ? (double)a->f : otherwise;
}

const char *onx_text(const Onx *m, const char *name, const char *otherwise)
{
	const OnnxAttr *a = onx_attr(m, name);
	return a && a->s ? a->s : otherwise;
}

int onx_int_list(Onx *m, const char *name, int most, int64_t *out)
{
	const OnnxAttr *a = onx_attr(m, name);
	if (!a)
		return -1;
	if (a->nints > most) {
		onx_fail(m, "'%s' has %d values, at most %d are possible", name, a->nints, most);
		return -1;
	}
	for (int i = 0; i < a->nints; i++)
		out[i] = a->ints[i];
	return a->nints;
}

bool onx_has(const Onx *m, int i)
{
	return i < m->node->nin && *m->node->in[i];
}

bool onx_wanted(const Onx *m, int i)
{
	const char *name = i < m->node->nout ? m->node->out[i] : "";
	for (int k = m->node->index + 1; *name && k < m->g->nnodes; k++) {
		for (int j = 0; j < m->g->node[k].nin; j++) {
			if (strcmp(m->g->node[k].in[j], name) == 0)
				return true;
		}
	}
	for (int k = 0; *name && k < m->g->noutputs; k++) {
		if (strcmp(m->g->output[k].name, name) == 0)
			return true;
	}
	return false;
}

Value *onx_in(Onx *m, int i)
{
	if (!onx_has(m, i))
		return onx_fail(m, "input %d is missing", i);
	Value *v = onx_find(m, m->node->in[i]);
	return v ? v : onx_fail(m, "its input '%.80s' is not defined", m->node->in[i]);
}

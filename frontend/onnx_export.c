/* onnx_export.c -- the graph of `predict` as an ONNX file (operator set 17), its weights inside
 *
 * Every op of the table that can stand in a predictor has a row here. ONNX's convolutions and pools want channels first: their
 * results are kept so, pointwise ops, joins and reductions follow, and a Transpose appears only where something else reads
 * them. The batch is free (`N`).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "frontend/onnx.h"
#include "runtime/safetensors.h"

enum { OPSET = 17 };

typedef struct Made { const char *last, *first; } Made; /* names of a value, channels last and channels first; NULL: not there */

typedef struct Export {
	Arena *arena;
	Diag *diag;
	const IrEntry *e;
	const RtSafetensors *st;
	OnnxNode *node;
	OnnxTensor *init;
	int nnodes, ninits, rnodes, rinits, fresh;
	Made *made;          /* by node id */
} Export;

/* ---- nodes and constants ---- */

static OnnxType type_of(DType t)
{
	static const OnnxType of[DT_COUNT] = { ONNX_FLOAT, ONNX_DOUBLE, ONNX_INT32, ONNX_UINT32, ONNX_UINT8, ONNX_BOOL, ONNX_BFLOAT16 };
	return of[t];
}

static const char *fresh(Export *x)
{
	return arena_printf(x->arena, "t%d", x->fresh++);
}

static const char *constant(Export *x, OnnxType type, int rank, const int64_t *dim, const void *data)
{
	if (x->ninits == x->rinits) {
		x->init = arena_grow(x->arena, x->init, (size_t)x->rinits, (size_t)x->rinits * 2 + 64, sizeof *x->init);
		x->rinits = x->rinits * 2 + 64;
	}
	OnnxTensor *t = &x->init[x->ninits++];
	*t = (OnnxTensor){ .name = fresh(x), .type = type, .rank = rank, .elems = 1, .data = data };
	for (int i = 0; i < rank; i++) {
		t->dim[i] = dim[i];
		t->elems *= dim[i];
	}
	return t->name;
}

static const char *ints(Export *x, const int64_t *v, int n)
{
	int64_t *copy = NEWN(x->arena, int64_t, n + 1), rows = n;
	memcpy(copy, v, (size_t)n * sizeof *copy);
	return constant(x, ONNX_INT64, 1, &rows, copy);
}

static OnnxAttr attr_ints(Export *x, const char *name, const int64_t *v, int n)
{
	int64_t *copy = NEWN(x->arena, int64_t, n + 1);
	memcpy(copy, v, (size_t)n * sizeof *copy);
	return (OnnxAttr){ .name = name, .nints = n, .ints = copy };
}

static OnnxAttr attr_int(const char *name, int64_t v)
{
	return (OnnxAttr){ .name = name, .is_int = true, .i = v };
}

/* A node of one result; gives its name. */
static const char *emit(Export *x, const char *op, int nin, const char *const *in, int nattr, const OnnxAttr *attr)
{
	if (x->nnodes == x->rnodes) {
		x->node = arena_grow(x->arena, x->node, (size_t)x->rnodes, (size_t)x->rnodes * 2 + 64, sizeof *x->node);
		x->rnodes = x->rnodes * 2 + 64;
	}
	const char **inputs = NEWN(x->arena, const char *, nin + 1), **out = NEWN(x->arena, const char *, 1);
	OnnxAttr *attrs = NEWN(x->arena, OnnxAttr, nattr + 1);
	memcpy(inputs, in, (size_t)nin * sizeof *in);
	if (nattr)
		memcpy(attrs, attr, (size_t)nattr * sizeof *attr);
	out[0] = fresh(x);
	x->node[x->nnodes++] = (OnnxNode){ .name = out[0], .op = op, .domain = "", .nin = nin, .nout = 1, .nattr = nattr, .in = inputs,
	                                   .out = out, .attr = attrs };
	return out[0];
}

static const char *emit1(Export *x, const char *op, const char *a)
{
	return emit(x, op, 1, &a, 0, NULL);
}

static const char *emit2(Export *x, const char *op, const char *a, const char *b)
{
	return emit(x, op, 2, (const char *[]){ a, b }, 0, NULL);
}

static const char *transposed(Export *x, const char *a, const int64_t *perm, int n)
{
	const OnnxAttr attr = attr_ints(x, "perm", perm, n);
	return emit(x, "Transpose", 1, &a, 1, &attr);
}

/* ---- layouts ---- */

static Made *made(Export *x, const IrNode *n)
{
	return &x->made[n->id];
}

static const char *last(Export *x, const IrNode *n)
{
	Made *v = made(x, n);
	int64_t perm[IR_MAX_RANK] = { 0 };
	const int rank = n->type.rank;
	for (int i = 1; i < rank; i++)
		perm[i] = i + 1 < rank ? i + 1 : 1;
	if (!v->last)
		v->last = transposed(x, v->first, perm, rank);
	return v->last;
}

static const char *first(Export *x, const IrNode *n)
{
	Made *v = made(x, n);
	int64_t perm[IR_MAX_RANK] = { 0 };
	const int rank = n->type.rank;
	for (int i = 1; i < rank; i++)
		perm[i] = i == 1 ? rank - 1 : i - 1;
	if (!v->first)
		v->first = transposed(x, v->last, perm, rank);
	return v->first;
}

static bool is_first(Export *x, const IrNode *n)
{
	return made(x, n)->first && !made(x, n)->last;
}

/* ---- weights ---- */

static const char *state(Export *x, const IrState *s)
{
	const RtStTensor *t = x->st ? rt_st_find(x->st, s->name) : NULL;
	if (!t || t->bytes != (size_t)ir_elems(&s->type, 1) * (size_t)dtype_size(s->type.dtype)) {
		diag_error(x->diag, (Loc){ 0 }, "--emit=onnx needs the weights; '%s' is not among them: -D model.weights=FILE.safetensors", s->name);
		return "";
	}
	int64_t dim[IR_MAX_RANK];
	for (int i = 0; i < s->type.rank; i++)
		dim[i] = s->type.dim[i];
	const char *name = constant(x, type_of(s->type.dtype), s->type.rank, dim, t->data);
	x->init[x->ninits - 1].name = arena_strdup(x->arena, s->name);
	(void)name;
	return x->init[x->ninits - 1].name;
}

/* ---- rules ---- */

static const char *number(Export *x, DType t, double v)
{
	unsigned char *data = arena_alloc(x->arena, 1, 8);
	const float f = (float)v;
	const int32_t i = t == DT_U32 ? (int32_t)(uint32_t)v : (int32_t)v;
	if (t == DT_F64)
		memcpy(data, &v, 8);
	else if (t == DT_F32)
		memcpy(data, &f, 4);
	else if (t == DT_I32 || t == DT_U32)
		memcpy(data, &i, 4);
	else
		data[0] = (unsigned char)v;
	return constant(x, type_of(t), 0, NULL, data);
}

/* Extents of a type as a row of numbers; the batch, if it has one, is `batch`. */
static const char *extents(Export *x, const IrType *t, int64_t batch)
{
	int64_t dim[IR_MAX_RANK];
	for (int i = 0; i < t->rank; i++)
		dim[i] = t->dim[i] == IR_N ? batch : t->dim[i];
	return ints(x, dim, t->rank);
}

/* (N, …) where the operand does not have N: the batch is read from the first input. */
static const char *with_batch(Export *x, const IrType *t)
{
	IrType rest = { .dtype = t->dtype, .rank = t->rank - 1 };
	memcpy(rest.dim, t->dim + 1, (size_t)rest.rank * sizeof rest.dim[0]);
	const char *shape = emit1(x, "Shape", x->e->port[0].name);
	const char *n = emit(x, "Slice", 3, (const char *[]){ shape, ints(x, (int64_t[]){ 0 }, 1), ints(x, (int64_t[]){ 1 }, 1) }, 0, NULL);
	const OnnxAttr axis = attr_int("axis", 0);
	return emit(x, "Concat", 2, (const char *[]){ n, extents(x, &rest, 1) }, 1, &axis);
}

static const char *iota(Export *x, const IrNode *n)
{
	const int axis = n->attr.axis.axis;
	const int32_t extent = n->type.dim[axis];
	int32_t *data = NEWN(x->arena, int32_t, extent > 0 ? extent : 1);
	int64_t dim[IR_MAX_RANK] = { 0 };
	if (ir_batched(&n->type))
		return NULL;
	for (int32_t i = 0; i < extent; i++)
		data[i] = i;
	for (int i = 0; i < n->type.rank; i++)
		dim[i] = i == axis ? extent : 1;
	return emit2(x, "Expand", constant(x, ONNX_INT32, n->type.rank, dim, data), extents(x, &n->type, 1));
}

static const char *source(Export *x, const IrNode *n)
{
	switch (n->op) {
	case OP_input: return x->e->port[n->attr.input.port].name;
	case OP_state: return state(x, n->attr.state.of);
	case OP_konst: return n->type.rank == 0 ? number(x, n->type.dtype, n->attr.konst.value) :
	                      emit2(x, "Expand", number(x, n->type.dtype, n->attr.konst.value),
	                            ir_batched(&n->type) ? with_batch(x, &n->type) : extents(x, &n->type, 1));
	case OP_iota: return iota(x, n);
	default: return NULL;
	}
}

static const char *ewise_name(OpCode op)
{
	static const struct { OpCode op; const char *name; } table[] = {
		{ OP_neg, "Neg" }, { OP_abs, "Abs" }, { OP_exp, "Exp" }, { OP_log, "Log" }, { OP_sqrt, "Sqrt" }, { OP_sin, "Sin" },
		{ OP_cos, "Cos" }, { OP_tanh, "Tanh" }, { OP_erf, "Erf" }, { OP_sigmoid, "Sigmoid" }, { OP_relu, "Relu" },
		{ OP_sign, "Sign" }, { OP_floor, "Floor" }, { OP_add, "Add" }, { OP_sub, "Sub" }, { OP_mul, "Mul" }, { OP_div, "Div" },
		{ OP_max, "Max" }, { OP_min, "Min" }, { OP_lt, "Less" }, { OP_le, "LessOrEqual" }, { OP_eq, "Equal" }, { OP_and, "And" },
		{ OP_select, "Where" },
	};
	for (size_t i = 0; i < COUNT(table); i++) {
		if (table[i].op == op)
			return table[i].name;
	}
	return NULL;
}

static const char *pointwise(Export *x, const IrNode *n, const char *const *in)
{
	if (n->op == OP_cast) {
		const OnnxAttr to = attr_int("to", type_of(n->type.dtype));
		return emit(x, "Cast", 1, in, 1, &to);
	}
	if (n->op == OP_rsqrt)
		return emit1(x, "Reciprocal", emit1(x, "Sqrt", in[0]));
	if (n->op == OP_log1p)
		return emit1(x, "Log", emit2(x, "Add", in[0], number(x, n->type.dtype, 1)));
	const char *name = ewise_name(n->op);
	return name ? emit(x, name, n->nin, in, 0, NULL) : NULL;
}

/* One a channel, (C), seen beside channels first: (C, 1, …). */
static const char *channels(Export *x, const IrNode *n, int rank)
{
	int64_t dim[IR_MAX_RANK];
	for (int i = 0; i < rank - 1; i++)
		dim[i] = i == 0 ? n->type.dim[0] : 1;
	return emit2(x, "Reshape", last(x, n), ints(x, dim, rank - 1));
}

/* Channels first where an operand is, and the others can be. */
static bool follows(Export *x, const IrNode *n)
{
	bool any = false;
	for (int i = 0; i < n->nin; i++) {
		const int rank = n->in[i]->type.rank;
		any = any || is_first(x, n->in[i]);
		if (rank > 1 && rank != n->type.rank)
			return false;
	}
	return any && n->type.rank >= 3;
}

static bool ewise(Export *x, const IrNode *n)
{
	const char *in[3];
	const bool to_first = follows(x, n);
	for (int i = 0; i < n->nin; i++) {
		const int rank = n->in[i]->type.rank;
		in[i] = !to_first || rank == 0 ? last(x, n->in[i]) : rank == 1 ? channels(x, n->in[i], n->type.rank) : first(x, n->in[i]);
	}
	const char *y = pointwise(x, n, in);
	if (to_first)
		made(x, n)->first = y;
	else
		made(x, n)->last = y;
	return y != NULL;
}

/* Axis of a value channels last as an axis of it channels first. */
static int64_t axis_first(int axis, int rank)
{
	return axis == 0 ? 0 : axis == rank - 1 ? 1 : axis + 1;
}

static bool joined(Export *x, const IrNode *n)
{
	const char **in = NEWN(x->arena, const char *, n->nin);
	const bool to_first = follows(x, n);
	for (int i = 0; i < n->nin; i++)
		in[i] = to_first ? first(x, n->in[i]) : last(x, n->in[i]);
	const OnnxAttr axis = attr_int("axis", to_first ? axis_first(n->attr.axis.axis, n->type.rank) : n->attr.axis.axis);
	const char *y = emit(x, "Concat", n->nin, in, 1, &axis);
	if (to_first)
		made(x, n)->first = y;
	else
		made(x, n)->last = y;
	return true;
}

/* Over the picture: channels first, and without the folded axes both orders are one. */
static bool reduced(Export *x, const IrNode *n)
{
	const IrNode *a = n->in[0];
	const int rank = a->type.rank;
	const uint32_t picture = (1u << (rank - 1)) - 2;
	const bool to_first = is_first(x, a) && n->attr.reduce.axes == picture;
	int64_t axes[IR_MAX_RANK];
	int k = 0;
	for (int i = 0; i < rank; i++) {
		if (n->attr.reduce.axes >> i & 1)
			axes[k++] = to_first ? axis_first(i, rank) : i;
	}
	const char *in[2] = { to_first ? first(x, a) : last(x, a), NULL }, *y;
	const OnnxAttr keep = attr_int("keepdims", n->attr.reduce.keep);
	if (n->op == OP_argmax) {
		const OnnxAttr attr[2] = { keep, attr_int("axis", axes[0]) }, to = attr_int("to", ONNX_INT32);
		y = emit(x, "ArgMax", 1, in, 2, attr);
		y = emit(x, "Cast", 1, &y, 1, &to);
	} else if (n->op == OP_sum) {
		in[1] = ints(x, axes, k);
		y = emit(x, "ReduceSum", 2, in, 1, &keep);
	} else {
		const OnnxAttr attr[2] = { keep, attr_ints(x, "axes", axes, k) };
		y = emit(x, "ReduceMax", 1, in, 2, attr);
	}
	if (to_first && n->attr.reduce.keep)
		made(x, n)->first = y;
	else
		made(x, n)->last = y;
	return true;
}

static int window_attrs(Export *x, const IrWindow *w, int space, bool pool, OnnxAttr *out)
{
	int64_t v[4][2 * IR_SPACE];
	for (int i = 0; i < space; i++) {
		v[0][i] = w->size[i];
		v[1][i] = w->stride[i];
		v[2][i] = w->dilation[i];
		v[3][i] = w->pad[i] < 0 ? 0 : w->pad[i];
		v[3][space + i] = w->pad[space + i] < 0 ? 0 : w->pad[space + i];
	}
	int n = 0;
	out[n++] = attr_ints(x, "kernel_shape", v[0], space);
	out[n++] = attr_ints(x, "strides", v[1], space);
	out[n++] = attr_ints(x, "pads", v[3], 2 * space);
	if (!pool)
		out[n++] = attr_ints(x, "dilations", v[2], space);
	return n;
}

/* The picture, channels first, without the cells that negative padding takes away. */
static const char *picture_of(Export *x, const IrNode *n, const IrWindow *w)
{
	const char *y = first(x, n->in[0]);
	const int space = n->type.rank - 2;
	for (int i = 0; i < space; i++) {
		const int64_t axis = 2 + i, start = w->pad[i] < 0 ? -w->pad[i] : 0;
		const int64_t end = n->in[0]->type.dim[1 + i] + (w->pad[space + i] < 0 ? w->pad[space + i] : 0);
		if (start > 0 || end < n->in[0]->type.dim[1 + i])
			y = emit(x, "Slice", 4, (const char *[]){ y, ints(x, &start, 1), ints(x, &end, 1), ints(x, &axis, 1) }, 0, NULL);
	}
	return y;
}

static bool convolution(Export *x, const IrNode *n)
{
	const int rank = n->type.rank, space = rank - 2;
	OnnxAttr attr[5];
	int64_t perm[IR_MAX_RANK];
	perm[0] = rank - 1;
	perm[1] = rank - 2;
	for (int i = 0; i < space; i++)
		perm[2 + i] = i;
	int k = window_attrs(x, &n->attr.conv, space, false, attr);
	attr[k++] = attr_int("group", n->attr.conv.groups);
	const char *in[2] = { picture_of(x, n, &n->attr.conv), transposed(x, last(x, n->in[1]), perm, rank) };
	made(x, n)->first = emit(x, "Conv", 2, in, k, attr);
	return true;
}

static bool pool(Export *x, const IrNode *n)
{
	OnnxAttr attr[5];
	const bool max = n->op == OP_maxpool;
	int k = window_attrs(x, &n->attr.pool, n->type.rank - 2, !max, attr);
	if (!max && (n->attr.pool.dilation[0] > 1 || n->attr.pool.dilation[1] > 1))
		return false;
	const char *in = picture_of(x, n, &n->attr.pool);
	made(x, n)->first = emit(x, max ? "MaxPool" : "AveragePool", 1, &in, k, attr);
	return true;
}

static const char *product(Export *x, const IrNode *n)
{
	const int64_t swap[2] = { 1, 0 };
	const char *a = last(x, n->in[0]), *b = last(x, n->in[1]);
	a = n->attr.matmul.ta ? transposed(x, a, swap, 2) : a;
	return emit2(x, "MatMul", a, n->attr.matmul.tb ? transposed(x, b, swap, 2) : b);
}

static const char *moved(Export *x, const IrNode *n)
{
	const char *a = last(x, n->in[0]);
	const int64_t axis = n->attr.slice.axis, start = n->attr.slice.start, end = start + n->attr.slice.extent;
	int64_t perm[IR_MAX_RANK], pads[2 * IR_MAX_RANK] = { 0 };
	const int rank = n->type.rank;
	switch (n->op) {
	case OP_reshape: return emit2(x, "Reshape", a, extents(x, &n->type, -1));
	case OP_broadcast:
		return emit2(x, "Expand", a, !ir_batched(&n->type) || ir_batched(&n->in[0]->type) ? extents(x, &n->type, 1) : with_batch(x, &n->type));
	case OP_transpose:
		for (int i = 0; i < rank; i++)
			perm[i] = n->attr.perm.perm[i];
		return transposed(x, a, perm, rank);
	case OP_slice:
		return emit(x, "Slice", 4, (const char *[]){ a, ints(x, &start, 1), ints(x, &end, 1), ints(x, &axis, 1) }, 0, NULL);
	case OP_pad:
		pads[axis] = start;
		pads[rank + axis] = n->attr.slice.extent - start - n->in[0]->type.dim[axis];
		return emit(x, "Pad", 3, (const char *[]){ a, ints(x, pads, 2 * rank), number(x, n->type.dtype, 0) }, 0, NULL);
	default: return NULL;
	}
}

static const char *rowwise(Export *x, const IrNode *n)
{
	const OnnxAttr axis = attr_int("axis", -1);
	const char *a = last(x, n->in[0]);
	return emit(x, n->op == OP_softmax ? "Softmax" : "LogSoftmax", 1, &a, 1, &axis);
}

static bool export_node(Export *x, const IrNode *n)
{
	Made *v = made(x, n);
	if (ir_has(n, SOURCE))
		v->last = source(x, n);
	else if (ir_has(n, EWISE))
		return ewise(x, n);
	else if (n->op == OP_concat)
		return joined(x, n);
	else if (n->op == OP_sum || n->op == OP_reduce_max || n->op == OP_argmax)
		return reduced(x, n);
	else if (n->op == OP_conv2d)
		return convolution(x, n);
	else if (n->op == OP_maxpool || n->op == OP_avgpool)
		return pool(x, n);
	else if (n->op == OP_matmul)
		v->last = product(x, n);
	else if (n->op == OP_softmax || n->op == OP_log_softmax)
		v->last = rowwise(x, n);
	else
		v->last = moved(x, n);
	return v->last != NULL;
}

/* ---- the whole ---- */

static OnnxPort port_of(const char *name, const IrType *t)
{
	OnnxPort p = { .name = name, .type = type_of(t->dtype), .rank = t->rank };
	for (int i = 0; i < t->rank; i++)
		p.dim[i] = t->dim[i]; /* IR_N: free */
	return p;
}

static bool export_entry(Export *x, const char *path)
{
	const IrEntry *e = x->e;
	OnnxPort *in = NEWN(x->arena, OnnxPort, e->nport + 1), *out = NEWN(x->arena, OnnxPort, e->nroot + 1);
	int outputs = 0;
	x->made = NEWN(x->arena, Made, e->next_id + 1);
	for (int i = 0; i < e->nport; i++)
		in[i] = port_of(e->port[i].name, &e->port[i].type);
	IR_EACH(e, n) {
		if (!export_node(x, n))
			return diag_error(x->diag, n->loc, "--emit=onnx: ONNX has nothing for the operation '%s'", ir_ops[n->op].text);
	}
	for (int i = 0; i < e->nroot; i++) {
		if (e->root[i].kind != ROOT_OUTPUT)
			continue;
		const char *from = last(x, e->root[i].value);
		emit1(x, "Identity", from);
		((const char **)(uintptr_t)x->node[x->nnodes - 1].out)[0] = e->root[i].name;
		out[outputs++] = port_of(e->root[i].name, &e->root[i].value->type);
	}
	if (diag_errors(x->diag))
		return false;
	const OnnxGraph g = { .path = path, .name = e->module->name, .opset = OPSET, .nnodes = x->nnodes, .ninits = x->ninits,
	                      .ninputs = e->nport, .noutputs = outputs, .node = x->node, .init = x->init, .input = in, .output = out };
	size_t length;
	const unsigned char *bytes = onnx_write(&g, x->arena, &length);
	FILE *f = strcmp(path, "-") == 0 ? stdout : fopen(path, "wb");
	bool ok = f && fwrite(bytes, 1, length, f) == length;
	ok = f && (f == stdout ? fflush(f) : fclose(f)) == 0 && ok;
	return ok || diag_error(x->diag, (Loc){ 0 }, "cannot write %s: %s", path, strerror(errno));
}

bool fe_onnx_export(const IrModule *m, const char *weights, const char *path, Diag *d)
{
	RtSafetensors st = { .ntensors = 0 };
	struct stat info;
	void *bytes = MAP_FAILED;
	const int fd = weights ? open(weights, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0 && fstat(fd, &info) == 0 && info.st_size > 0)
		bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	const bool parsed = bytes != MAP_FAILED && rt_st_parse(bytes, (size_t)info.st_size, &st) == RT_OK;
	Export x = { .arena = arena_new(), .diag = d, .e = ir_entry_find((IrModule *)m, "predict"), .st = parsed ? &st : NULL };
	const bool ok = x.e && export_entry(&x, path);
	arena_free(x.arena);
	if (parsed)
		rt_st_free(&st);
	if (bytes != MAP_FAILED)
		munmap(bytes, (size_t)info.st_size);
	if (fd >= 0)
		close(fd);
	return ok;
}

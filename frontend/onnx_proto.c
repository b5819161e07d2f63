/* onnx_proto.c -- protobuf bytes to the structs of onnx.h, and back
 *
 * The message classes are generated at build time from the onnx.proto that is installed. protobuf-c follows nested messages
 * by recursion and gives each one a struct, so the bytes are walked once before they are unpacked: their depth and what they
 * would take are bounded there. Unknown fields are skipped, as protobuf wants it.
 */
#include <onnx.pb-c.h>
#include <stdlib.h>
#include <string.h>
#include "frontend/onnx.h"
#include "ir/size.h"

enum { MAX_DEPTH = 24, MAX_MESSAGES = 1000000 };

/* ---- the walk before ---- */

typedef struct Walk {
	const unsigned char *at, *end;
	int64_t *messages; /* left */
} Walk;

static bool read_varint(Walk *w, uint64_t *out)
{
	*out = 0;
	for (int shift = 0; shift < 64 && w->at < w->end; shift += 7) {
		const unsigned char byte = *w->at++;
		*out |= (uint64_t)(byte & 127) << shift;
		if (!(byte & 128))
			return true;
	}
	return false;
}

static bool skip(Walk *w, uint64_t bytes)
{
	if (bytes > (uint64_t)(w->end - w->at))
		return false;
	w->at += bytes;
	return true;
}

static bool walk(Walk *w, const ProtobufCMessageDescriptor *type, int depth);

static bool walk_delimited(Walk *w, const ProtobufCMessageDescriptor *type, uint64_t number, int depth)
{
	uint64_t length;
	if (!read_varint(w, &length) || length > (uint64_t)(w->end - w->at))
		return false;
	Walk inner = { w->at, w->at + length, w->messages };
	w->at += length;
	const ProtobufCFieldDescriptor *f =
		number <= INT32_MAX ? protobuf_c_message_descriptor_get_field(type, (unsigned)number) : NULL;
	*w->messages -= 1;
	return !f || f->type != PROTOBUF_C_TYPE_MESSAGE || walk(&inner, f->descriptor, depth + 1);
}

static bool walk(Walk *w, const ProtobufCMessageDescriptor *type, int depth)
{
	if (depth > MAX_DEPTH)
		return false;
	while (w->at < w->end) {
		uint64_t tag, ignored;
		if (*w->messages <= 0 || !read_varint(w, &tag))
			return false;
		const unsigned wire = tag & 7;
		const bool ok = wire == 0   ? read_varint(w, &ignored)
		                : wire == 1 ? skip(w, 8)
		                : wire == 2 ? walk_delimited(w, type, tag >> 3, depth)
		                : wire == 5 ? skip(w, 4)
		                            : false;
		if (!ok)
			return false;
	}
	return true;
}

static bool walkable(const ProtobufCMessageDescriptor *type, const void *bytes, size_t length)
{
	int64_t messages = MAX_MESSAGES;
	Walk w = { bytes, (const unsigned char *)bytes + length, &messages };
	return walk(&w, type, 0);
}

/* ---- unpacking into an arena ---- */

static void *take(void *arena, size_t size)
{
	return arena_alloc(arena, 1, size ? size : 1);
}

static void leave(void *arena, void *at)
{
	(void)arena, (void)at;
}

static void *unpack(const ProtobufCMessageDescriptor *type, const void *bytes, size_t length, Arena *a)
{
	ProtobufCAllocator allocator = { take, leave, a };
	return walkable(type, bytes, length) ? protobuf_c_message_unpack(type, &allocator, length, bytes) : NULL;
}

static const char *text(const char *s)
{
	return s ? s : "";
}

static const char *bytes_text(Arena *a, ProtobufCBinaryData b)
{
	return arena_strndup(a, (const char *)b.data, b.data ? b.len : 0);
}

/* ---- tensors ---- */

size_t onnx_type_bytes(OnnxType t)
{
	switch (t) {
	case ONNX_UINT8:
	case ONNX_INT8:
	case ONNX_BOOL: return 1;
	case ONNX_UINT16:
	case ONNX_INT16:
	case ONNX_FLOAT16:
	case ONNX_BFLOAT16: return 2;
	case ONNX_FLOAT:
	case ONNX_INT32:
	case ONNX_UINT32: return 4;
	case ONNX_INT64:
	case ONNX_DOUBLE:
	case ONNX_UINT64: return 8;
	default: return 0;
	}
}

const char *onnx_type_name(OnnxType t)
{
	static const char *const names[] = { "undefined", "float", "uint8", "int8", "uint16", "int16", "int32", "int64", "string",
	                                     "bool", "float16", "double", "uint32", "uint64", "complex64", "complex128", "bfloat16" };
	return (unsigned)t < COUNT(names) ? names[t] : "unknown";
}

/* int32_data holds the narrower integers, bool and the bits of float16, one an element. */
static const unsigned char *narrowed(const Onnx__TensorProto *p, size_t width, Arena *a)
{
	unsigned char *out = arena_alloc(a, p->n_int32_data + 1, width);
	for (size_t i = 0; i < p->n_int32_data; i++)
		memcpy(out + i * width, &p->int32_data[i], width); /* little endian */
	return out;
}

static const unsigned char *widened(const Onnx__TensorProto *p, Arena *a)
{
	uint32_t *out = NEWN(a, uint32_t, p->n_uint64_data + 1);
	for (size_t i = 0; i < p->n_uint64_data; i++)
		out[i] = (uint32_t)p->uint64_data[i];
	return (unsigned char *)out;
}

/* The elements where they are typed fields; *n: how many. */
static const unsigned char *typed_data(const Onnx__TensorProto *p, OnnxType t, Arena *a, size_t *n)
{
	switch (t) {
	case ONNX_FLOAT: *n = p->n_float_data; return (const unsigned char *)p->float_data;
	case ONNX_DOUBLE: *n = p->n_double_data; return (const unsigned char *)p->double_data;
	case ONNX_INT64: *n = p->n_int64_data; return (const unsigned char *)p->int64_data;
	case ONNX_UINT64: *n = p->n_uint64_data; return (const unsigned char *)p->uint64_data;
	case ONNX_UINT32: *n = p->n_uint64_data; return widened(p, a);
	case ONNX_INT32: *n = p->n_int32_data; return (const unsigned char *)p->int32_data;
	default: *n = p->n_int32_data; return narrowed(p, onnx_type_bytes(t), a);
	}
}

static bool read_location(const Onnx__TensorProto *p, OnnxTensor *t)
{
	t->length = -1;
	for (size_t i = 0; i < p->n_external_data; i++) {
		const char *key = text(p->external_data[i]->key), *value = text(p->external_data[i]->value);
		char *end = NULL;
		if (strcmp(key, "location") == 0)
			t->location = value;
		else if (strcmp(key, "offset") == 0)
			t->offset = strtoll(value, &end, 10);
		else if (strcmp(key, "length") == 0)
			t->length = strtoll(value, &end, 10);
		if (end && (*end || end == value))
			return false;
	}
	return t->location && t->offset >= 0 && t->length >= -1;
}

static const char *find_data(const Onnx__TensorProto *p, OnnxTensor *t, Arena *a)
{
	const size_t width = onnx_type_bytes(t->type);
	size_t bytes, n;
	if (p->n_dims > ONNX_MAX_RANK)
		return arena_printf(a, "it has %zu dimensions, at most %d are possible", p->n_dims, ONNX_MAX_RANK);
	if (!width)
		return arena_printf(a, "elements of type %s are not supported", onnx_type_name(t->type));
	t->rank = (int)p->n_dims;
	t->elems = 1;
	for (int i = 0; i < t->rank; i++) {
		t->dim[i] = p->dims[i];
		if (t->dim[i] < 0 || __builtin_mul_overflow(t->elems, t->dim[i], &t->elems))
			return "its shape is no shape of a tensor";
	}
	if (!size_mul((size_t)t->elems, width, &bytes) || t->elems > INT64_C(1) << 40)
		return "its shape is too large";
	if (p->segment)
		return "segments are not supported";
	if (p->has_data_location && p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
		return read_location(p, t) ? NULL : "its external data have no proper location";
	if (p->has_raw_data && (p->raw_data.len || !t->elems)) {
		t->data = p->raw_data.data;
		return p->raw_data.len == bytes ? NULL : arena_printf(a, "it has %zu bytes, its shape needs %zu", p->raw_data.len, bytes);
	}
	t->data = typed_data(p, t->type, a, &n);
	return n == (size_t)t->elems ? NULL : arena_printf(a, "it has %zu elements, its shape needs %lld", n, (long long)t->elems);
}

static void read_tensor(const Onnx__TensorProto *p, OnnxTensor *t, Arena *a)
{
	*t = (OnnxTensor){ .name = text(p->name), .type = (OnnxType)p->data_type };
	t->problem = find_data(p, t, a);
	if (t->problem)
		t->data = NULL;
}

/* ---- nodes ---- */

static void read_attr(const Onnx__AttributeProto *p, OnnxAttr *out, Arena *a)
{
	*out = (OnnxAttr){ .name = text(p->name), .is_int = p->has_i, .is_float = p->has_f, .is_graph = p->g || p->n_graphs, .i = p->i,
	                   .f = p->f, .s = p->has_s ? bytes_text(a, p->s) : NULL, .ints = p->ints, .floats = p->floats,
	                   .nints = (int)p->n_ints, .nfloats = (int)p->n_floats, .nstrings = (int)p->n_strings };
	const char **strings = NEWN(a, const char *, p->n_strings + 1);
	for (size_t i = 0; i < p->n_strings; i++)
		strings[i] = bytes_text(a, p->strings[i]);
	out->strings = strings;
	if (p->t) {
		OnnxTensor *t = NEW(a, OnnxTensor);
		read_tensor(p->t, t, a);
		out->t = t;
	}
}

static void read_node(const Onnx__NodeProto *p, int index, OnnxNode *out, Arena *a)
{
	OnnxAttr *attr = NEWN(a, OnnxAttr, p->n_attribute + 1);
	for (size_t i = 0; i < p->n_attribute; i++)
		read_attr(p->attribute[i], &attr[i], a);
	*out = (OnnxNode){ .name = text(p->name), .op = text(p->op_type), .domain = text(p->domain), .index = index,
	                   .nin = (int)p->n_input, .nout = (int)p->n_output, .nattr = (int)p->n_attribute, .attr = attr,
	                   .in = (const char *const *)p->input, .out = (const char *const *)p->output };
	if (strcmp(out->domain, "ai.onnx") == 0)
		out->domain = "";
}

static void read_port(const Onnx__ValueInfoProto *p, OnnxPort *out)
{
	*out = (OnnxPort){ .name = text(p->name), .rank = -1 };
	if (!p->type || p->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !p->type->tensor_type)
		return;
	const Onnx__TypeProto__Tensor *t = p->type->tensor_type;
	out->type = (OnnxType)t->elem_type;
	if (!t->shape || t->shape->n_dim > ONNX_MAX_RANK)
		return;
	out->rank = (int)t->shape->n_dim;
	for (int i = 0; i < out->rank; i++) {
		const Onnx__TensorShapeProto__Dimension *d = t->shape->dim[i];
		out->dim[i] = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && d->dim_value > 0 ? d->dim_value : -1;
	}
}

/* ---- the graph ---- */

static void read_graph(const Onnx__GraphProto *p, OnnxGraph *out, Arena *a)
{
	OnnxNode *node = NEWN(a, OnnxNode, p->n_node + 1);
	OnnxTensor *init = NEWN(a, OnnxTensor, p->n_initializer + 1);
	OnnxPort *in = NEWN(a, OnnxPort, p->n_input + 1), *port = NEWN(a, OnnxPort, p->n_output + 1);
	for (size_t i = 0; i < p->n_node; i++)
		read_node(p->node[i], (int)i, &node[i], a);
	for (size_t i = 0; i < p->n_initializer; i++)
		read_tensor(p->initializer[i], &init[i], a);
	for (size_t i = 0; i < p->n_input; i++)
		read_port(p->input[i], &in[i]);
	for (size_t i = 0; i < p->n_output; i++)
		read_port(p->output[i], &port[i]);
	out->name = text(p->name);
	out->nnodes = (int)p->n_node;
	out->ninits = (int)p->n_initializer;
	out->ninputs = (int)p->n_input;
	out->noutputs = (int)p->n_output;
	out->node = node;
	out->init = init;
	out->input = in;
	out->output = port;
}

static int64_t opset_of(const Onnx__ModelProto *m)
{
	for (size_t i = 0; i < m->n_opset_import; i++) {
		const char *domain = text(m->opset_import[i]->domain);
		if (!*domain || strcmp(domain, "ai.onnx") == 0)
			return m->opset_import[i]->version;
	}
	return 1; /* files of before there were operator sets */
}

bool onnx_read(const char *path, const void *bytes, size_t length, Arena *a, Diag *d, OnnxGraph *out)
{
	const Loc at = { path, 0, 0, 0 };
	const Onnx__ModelProto *m = length ? unpack(&onnx__model_proto__descriptor, bytes, length, a) : NULL;
	if (!m || !m->graph)
		return diag_error(d, at, m ? "it holds no graph" : "this is not an ONNX file, or it is damaged");
	if (m->graph->n_node > ONNX_MAX_NODES)
		return diag_error(d, at, "%zu nodes; at most %d are possible", m->graph->n_node, ONNX_MAX_NODES);
	if (m->graph->n_sparse_initializer)
		return diag_error(d, at, "sparse initializers are not supported");
	*out = (OnnxGraph){ .path = path, .opset = opset_of(m) };
	read_graph(m->graph, out, a);
	return true;
}

bool onnx_read_tensor(const char *path, const void *bytes, size_t length, Arena *a, Diag *d, OnnxTensor *out)
{
	const Loc at = { path, 0, 0, 0 };
	const Onnx__TensorProto *t = unpack(&onnx__tensor_proto__descriptor, bytes, length, a);
	if (!t)
		return diag_error(d, at, "this is not a tensor of ONNX, or it is damaged");
	read_tensor(t, out, a);
	return !out->problem || diag_error(d, at, "%s", out->problem);
}

/* ---- writing ---- */

static Onnx__TensorProto *write_tensor(const OnnxTensor *t, Arena *a)
{
	Onnx__TensorProto *p = NEW(a, Onnx__TensorProto);
	onnx__tensor_proto__init(p);
	p->name = (char *)(uintptr_t)t->name;
	p->has_data_type = true;
	p->data_type = (int32_t)t->type;
	p->n_dims = (size_t)t->rank;
	p->dims = (int64_t *)(uintptr_t)t->dim;
	p->has_raw_data = true;
	p->raw_data.data = (uint8_t *)(uintptr_t)t->data;
	p->raw_data.len = (size_t)t->elems * onnx_type_bytes(t->type);
	return p;
}

static Onnx__AttributeProto *write_attr(const OnnxAttr *x, Arena *a)
{
	Onnx__AttributeProto *p = NEW(a, Onnx__AttributeProto);
	onnx__attribute_proto__init(p);
	p->name = (char *)(uintptr_t)x->name;
	p->has_type = true;
	p->type = x->is_int ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT : ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
	p->has_i = x->is_int;
	p->i = x->i;
	p->n_ints = (size_t)x->nints;
	p->ints = (int64_t *)(uintptr_t)x->ints;
	return p;
}

static Onnx__NodeProto *write_node(const OnnxNode *n, Arena *a)
{
	Onnx__NodeProto *p = NEW(a, Onnx__NodeProto);
	onnx__node_proto__init(p);
	p->name = (char *)(uintptr_t)n->name;
	p->op_type = (char *)(uintptr_t)n->op;
	p->n_input = (size_t)n->nin;
	p->input = (char **)(uintptr_t)n->in;
	p->n_output = (size_t)n->nout;
	p->output = (char **)(uintptr_t)n->out;
	p->n_attribute = (size_t)n->nattr;
	p->attribute = NEWN(a, Onnx__AttributeProto *, n->nattr + 1);
	for (int i = 0; i < n->nattr; i++)
		p->attribute[i] = write_attr(&n->attr[i], a);
	return p;
}

static Onnx__ValueInfoProto *write_port(const OnnxPort *port, Arena *a)
{
	Onnx__ValueInfoProto *p = NEW(a, Onnx__ValueInfoProto);
	Onnx__TypeProto *type = NEW(a, Onnx__TypeProto);
	Onnx__TypeProto__Tensor *tensor = NEW(a, Onnx__TypeProto__Tensor);
	Onnx__TensorShapeProto *shape = NEW(a, Onnx__TensorShapeProto);
	onnx__value_info_proto__init(p);
	onnx__type_proto__init(type);
	onnx__type_proto__tensor__init(tensor);
	onnx__tensor_shape_proto__init(shape);
	p->name = (char *)(uintptr_t)port->name;
	p->type = type;
	type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
	type->tensor_type = tensor;
	tensor->has_elem_type = true;
	tensor->elem_type = (int32_t)port->type;
	tensor->shape = shape;
	shape->n_dim = (size_t)port->rank;
	shape->dim = NEWN(a, Onnx__TensorShapeProto__Dimension *, port->rank + 1);
	for (int i = 0; i < port->rank; i++) {
		Onnx__TensorShapeProto__Dimension *d = shape->dim[i] = NEW(a, Onnx__TensorShapeProto__Dimension);
		onnx__tensor_shape_proto__dimension__init(d);
		d->value_case = port->dim[i] < 0 ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM
		                                 : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
		if (port->dim[i] < 0)
			d->dim_param = arena_strdup(a, "N");
		else
			d->dim_value = port->dim[i];
	}
	return p;
}

const unsigned char *onnx_write(const OnnxGraph *g, Arena *a, size_t *out_length)
{
	Onnx__ModelProto m = ONNX__MODEL_PROTO__INIT;
	Onnx__GraphProto p = ONNX__GRAPH_PROTO__INIT;
	Onnx__OperatorSetIdProto set = ONNX__OPERATOR_SET_ID_PROTO__INIT, *sets = &set;
	set.domain = arena_strdup(a, "");
	set.has_version = true;
	set.version = g->opset;
	m.has_ir_version = true;
	m.ir_version = 8;
	m.n_opset_import = 1;
	m.opset_import = &sets;
	m.producer_name = arena_strdup(a, "cnnc");
	m.producer_version = arena_strdup(a, CNNC_VERSION);
	m.graph = &p;
	p.name = (char *)(uintptr_t)g->name;
	p.n_node = (size_t)g->nnodes;
	p.node = NEWN(a, Onnx__NodeProto *, g->nnodes + 1);
	for (int i = 0; i < g->nnodes; i++)
		p.node[i] = write_node(&g->node[i], a);
	p.n_initializer = (size_t)g->ninits;
	p.initializer = NEWN(a, Onnx__TensorProto *, g->ninits + 1);
	for (int i = 0; i < g->ninits; i++)
		p.initializer[i] = write_tensor(&g->init[i], a);
	p.n_input = (size_t)g->ninputs;
	p.input = NEWN(a, Onnx__ValueInfoProto *, g->ninputs + 1);
	for (int i = 0; i < g->ninputs; i++)
		p.input[i] = write_port(&g->input[i], a);
	p.n_output = (size_t)g->noutputs;
	p.output = NEWN(a, Onnx__ValueInfoProto *, g->noutputs + 1);
	for (int i = 0; i < g->noutputs; i++)
		p.output[i] = write_port(&g->output[i], a);
	*out_length = onnx__model_proto__get_packed_size(&m);
	unsigned char *bytes = arena_alloc(a, *out_length, 1);
	onnx__model_proto__pack(&m, bytes);
	return bytes;
}

/* onnx_import.c -- an ONNX graph as a model file: inputs, nodes in order, outputs, and what N is
 *
 * Readings of the samples are tried until one imports: axis 0 of all inputs is the batch; the whole graph is one sample;
 * and both once more with inputs as constants whose value is known: those of another leading extent, single integers. The
 * problem of the second is what the user sees, since it asks least of the graph.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "frontend/onnx_value.h"

enum { MOST_PORTS = 16384, MOST_OUTPUTS = 64 };

/* ---- operators ---- */

static const OnnxOp operators[] = {
#define ONNX(name, rule, doc) { #name, import_##rule, doc },
#include "frontend/onnx.def"
	{ NULL, NULL, NULL }
};

const OnnxOp *onnx_op(const char *domain, const char *name)
{
	for (const OnnxOp *op = operators; op->name && !*domain; op++) {
		if (strcmp(op->name, name) == 0)
			return op;
	}
	return NULL;
}

static const char *node_text(Arena *a, const OnnxNode *n)
{
	const char *name = *n->name ? n->name : n->nout && *n->out[0] ? n->out[0] : "";
	return arena_printf(a, "%s%.60s '%.60s' (node %d)", n->domain, n->op, name, n->index);
}

/* One error that lists every operator that can't be imported. */
static bool all_supported(const OnnxGraph *g, Arena *a, Diag *d)
{
	enum { LISTED = 40 };
	int bad = 0;
	for (int i = 0; i < g->nnodes; i++) {
		const OnnxNode *n = &g->node[i];
		if (onnx_op(n->domain, n->op))
			continue;
		if (bad++ == 0)
			diag_error(d, (Loc){ g->path, 0, 0, 0 }, "this graph has operators that are not supported");
		if (bad <= LISTED)
			diag_note(d, "", "%s%s", *n->domain ? arena_printf(a, "%.60s.", n->domain) : "",
			          node_text(a, &(OnnxNode){ .name = n->name, .op = n->op, .domain = "", .index = i, .nout = n->nout, .out = n->out }));
	}
	if (bad > LISTED)
		diag_note(d, "", "and %d more", bad - LISTED);
	if (g->opset > ONNX_MAX_OPSET || g->opset < ONNX_MIN_OPSET)
		return diag_error(d, (Loc){ g->path, 0, 0, 0 }, "operator set %lld; %d to %d are supported", (long long)g->opset,
		                  ONNX_MIN_OPSET, ONNX_MAX_OPSET);
	return bad == 0;
}

/* ---- inputs ---- */

/* Before inputs are defined: initializers alone are. */
static bool is_initializer(Onx *m, const char *name)
{
	return onx_find(m, name) != NULL;
}

static DType type_of(Onx *m, OnnxType t)
{
	if (onnx_type_bytes(t) == 0)
		onx_fail(m, "an input of type %s is not supported", onnx_type_name(t));
	return onx_dtype_of(t);
}

static const char *port_name(Onx *m, const char *name, int index)
{
	const OnnxNode as = { .name = index == 0 && strcmp(name, "x") == 0 ? "input_x" : name, .op = "in" };
	m->node = &as;
	const char *layer = phys_layer_name(m);
	m->node = NULL;
	return layer;
}

/* The extents of an input: free ones are 1 where the batch may be, else an error. */
static bool input_dims(Onx *m, const OnnxPort *p, const OnnxTensor *given, int64_t *dim, int *rank)
{
	*rank = given ? given->rank : p->rank;
	if (*rank < 0)
		return !onx_fail(m, "input '%.80s' has no known shape", p->name)->p;
	for (int i = 0; i < *rank; i++) {
		dim[i] = given ? given->dim[i] : p->dim[i];
		if (dim[i] < 0 && i > 0) {
			onx_fail(m, "axis %d of input '%.80s' is free: only axis 0, the samples, may be", i, p->name);
			return false;
		}
		dim[i] = dim[i] < 0 ? 1 : dim[i];
		if (dim[i] < !given || dim[i] > INT32_MAX) {
			onx_fail(m, "input '%.80s' has an axis of extent %lld", p->name, (long long)dim[i]);
			return false;
		}
	}
	return true;
}

/* Every reader takes it as a picture: it comes in channels last, as pictures do. */
static bool takes_pictures(const Onx *m, const OnnxPort *p, int rank, DType dtype)
{
	static const char *const ops[] = { "Conv", "MaxPool", "AveragePool", "BatchNormalization", "GlobalAveragePool" };
	int readers = 0, pictures = 0;
	for (int i = 0; i < m->g->nnodes && m->split && rank == 4 && dtype == DT_F32; i++) {
		const OnnxNode *n = &m->g->node[i];
		for (int k = 0; k < n->nin; k++) {
			if (strcmp(n->in[k], p->name) != 0)
				continue;
			readers++;
			for (size_t o = 0; o < COUNT(ops) && k == 0; o++)
				pictures += strcmp(n->op, ops[o]) == 0;
		}
	}
	for (int i = 0; i < m->g->noutputs; i++)
		readers += strcmp(m->g->output[i].name, p->name) == 0;
	return readers > 0 && readers == pictures;
}

static void define_input(Onx *m, OnxInput *in)
{
	int64_t dim[ONNX_MAX_RANK] = { 0 };
	int rank, axis[ONNX_MAX_RANK];
	int32_t small[ONNX_MAX_RANK + 1] = { IR_N };
	const DType dtype = type_of(m, in->port->type);
	if (m->failed || !input_dims(m, in->port, in->given, dim, &rank))
		return;
	const bool empty = in->given && in->given->elems == 0, single = m->bake && !m->split && rank == 0 && dtype == DT_I32;
	const bool odd = empty || single || (m->split && (rank == 0 || dim[0] != m->batch));
	const int first = m->split ? 1 : 0;
	for (int i = first; i < rank; i++) {
		axis[i - first] = i;
		small[1 + i - first] = (int32_t)dim[i];
	}
	const int behind = rank > first ? rank - first : 0;
	if (behind >= IR_MAX_RANK) {
		onx_fail(m, "input '%.80s' has %d dimensions", in->port->name, rank);
		return;
	}
	if (takes_pictures(m, in->port, rank, dtype)) {
		in->perm = true;
		axis[0] = 2, axis[1] = 3, axis[2] = 1;
		for (int i = 0; i < 3; i++)
			small[1 + i] = (int32_t)dim[axis[i]];
	}
	in->p = NEW(m->arena, Phys);
	in->p->node.op = OP_input;
	in->p->node.type = ir_type(dtype, odd ? 0 : behind + 1, small);
	in->p->layer = odd ? NULL : in->layer;
	if (odd) {
		for (int i = 0; i < rank && rank <= IR_MAX_RANK; i++)
			in->p->node.type.dim[i] = (int32_t)dim[i];
		in->p->node.type.rank = rank <= IR_MAX_RANK ? rank : 0;
		in->value = onx_new(m, in->p, rank);
		if (m->bake || empty)
			onx_known(m, in->value);
	} else if (behind == 0) { /* inputs of a model file have an axis: [N, 1] */
		in->p->node.type = ir_type(dtype, 2, (int32_t[]){ IR_N, 1 });
		in->value = onx_make(m, in->p, rank, 1, (int[]){ rank }, m->split ? 0 : -1);
		in->value->at[rank] = -1;
	} else {
		in->value = onx_make(m, in->p, rank, behind, axis, m->split ? 0 : -1);
	}
	onx_define(m, in->port->name, in->value);
}

static void define_inputs(Onx *m)
{
	m->batch = 1;
	for (int i = 0, first = 1; i < m->g->ninputs && m->split; i++) {
		const OnnxPort *p = m->input[i].port;
		const OnnxTensor *t = m->input[i].given;
		const int rank = t ? t->rank : p->rank;
		if (is_initializer(m, p->name) || rank < 1 || !first)
			continue;
		const int64_t dim = t ? t->dim[0] : p->dim[0];
		m->batch = dim < 1 ? 1 : dim;
		first = 0;
	}
	for (int i = 0; i < m->g->ninputs && !m->failed; i++) {
		OnxInput *in = &m->input[i];
		if (is_initializer(m, in->port->name))
			continue;
		in->layer = port_name(m, in->port->name, i);
		define_input(m, in);
	}
}

/* ---- nodes ---- */

static void import_node(Onx *m, const OnnxNode *n)
{
	const OnnxOp *op = onnx_op(n->domain, n->op);
	m->node = n;
	memset(m->out, 0, sizeof m->out);
	for (int i = 0; i < n->nattr; i++) {
		if (n->attr[i].is_graph)
			onx_fail(m, "graphs inside nodes are not supported");
	}
	Value *first = m->failed ? m->nothing : op->rule(m);
	m->out[0] = first;
	for (int i = 0; i < n->nout && !m->failed; i++) {
		if (!*n->out[i])
			continue;
		if (i >= (int)COUNT(m->out) || !m->out[i])
			onx_wanted(m, i) ? (void)onx_fail(m, "output %d is not supported", i) : (void)0;
		else
			onx_define(m, n->out[i], m->out[i]);
	}
	if (m->failed)
		m->why = arena_printf(m->arena, "%s: %s", node_text(m->arena, n), m->why);
	m->node = NULL;
}

/* ---- outputs ---- */

/* The value in the graph's order of axes, a layer of its own that differs from sample to sample. */
static Phys *output_value(Onx *m, Value *v)
{
	int axis[ONNX_MAX_RANK], n = 0;
	v = onx_real(m, v);
	const int batch = onx_batch_axis(m, v);
	const bool batched = ir_batched(&v->p->node.type);
	if (batch > 0 || (m->split && !batched))
		return onx_mixes(m, "an output whose axis 0 is not that of the samples")->p;
	for (int i = 0; i < v->rank; i++) {
		if (i != batch)
			axis[n++] = i;
	}
	Phys *p = onx_take(m, v, n, axis);
	if (!batched && !m->failed) {
		IrType t = { .dtype = p->node.type.dtype, .rank = n + 1, .dim = { IR_N } };
		memcpy(t.dim + 1, p->node.type.dim, (size_t)n * sizeof t.dim[0]);
		if (n >= IR_MAX_RANK)
			return onx_fail(m, "an output of %d dimensions", n)->p;
		p = phys_op(m, OP_broadcast, 1, &p, NULL, &t);
	}
	return p;
}

static bool is_input(const Onx *m, const char *layer)
{
	for (int i = 0; i < m->g->ninputs; i++) {
		if (m->input[i].layer && strcmp(m->input[i].layer, layer) == 0)
			return true;
	}
	return false;
}

static void define_outputs(Onx *m, FeOnnx *out)
{
	out->output = NEWN(m->arena, FeOnnxPort, m->g->noutputs + 1);
	for (int i = 0; i < m->g->noutputs && !m->failed; i++) {
		const OnnxPort *port = &m->g->output[i];
		Value *v = onx_find(m, port->name);
		if (!v) {
			onx_fail(m, "output '%.80s' is not defined", port->name);
			return;
		}
		m->node = &(OnnxNode){ .name = port->name, .op = "output", .index = -1 };
		Phys *p = output_value(m, v);
		bool again = is_input(m, phys_name(m, p));
		for (int k = 0; k < i && !again; k++)
			again = strcmp(out->output[k].layer, p->layer) == 0;
		if (again) /* layers hand out what they make, each once */
			p = phys_layer(m, "Op", arena_printf(m->arena, "op: reshape, shape: [%s], ",
			                                     arena_strndup(m->arena, ir_shape_text(m->arena, &p->node.type) + 4,
			                                                   strlen(ir_shape_text(m->arena, &p->node.type)) - 5)),
			               1, &p, p->node.type);
		FeOnnxPort *o = &out->output[out->noutputs++];
		*o = (FeOnnxPort){ .name = port->name, .layer = p->layer, .onnx_type = (int)port->type, .rank = v->rank };
		for (int k = 0; k < v->rank; k++)
			o->dim[k] = onx_dim(m, v, k);
		m->node = NULL;
	}
}

static void list_inputs(Onx *m, FeOnnx *out)
{
	out->input = NEWN(m->arena, FeOnnxPort, m->g->ninputs + 1);
	for (int i = 0; i < m->g->ninputs; i++) {
		const OnxInput *in = &m->input[i];
		if (!in->layer || !in->p->layer || (in->constant && in->p->node.nuse == 0))
			continue;
		FeOnnxPort *o = &out->input[out->ninputs++];
		*o = (FeOnnxPort){ .name = in->port->name, .layer = in->layer, .onnx_type = (int)in->port->type, .rank = in->port->rank };
		memcpy(o->dim, in->port->dim, sizeof o->dim);
		o->channels_last = in->perm;
	}
}

/* ---- one reading ---- */

static void define_initializers(Onx *m)
{
	for (int i = 0; i < m->g->ninits && !m->failed; i++) {
		const OnnxTensor *t = &m->g->init[i];
		m->node = NULL;
		if (*t->name)
			onx_define(m, t->name, onx_tensor(m, t));
	}
}

static void start(Onx *m, const OnnxGraph *g, Arena *a, Diag *d, const OnnxTensor *given)
{
	size_t names = (size_t)g->ninits + (size_t)g->ninputs + 1;
	static const double zero;
	for (int i = 0; i < g->nnodes; i++)
		names += (size_t)g->node[i].nout;
	*m = (Onx){ .g = g, .arena = a, .diag = d, .table_size = names * 2 + 1 };
	m->table = NEWN(a, OnxName, m->table_size);
	m->input = NEWN(a, OnxInput, g->ninputs + 1);
	m->weight_end = &m->weight;
	m->nothing = onx_new(m, phys_known(m, (IrType){ .dtype = DT_F32 }, NULL, &zero), 0);
	for (int i = 0; i < g->ninputs; i++) {
		m->input[i].port = &g->input[i];
		m->input[i].given = given[i].name ? &given[i] : NULL;
	}
}

static void write_head(Onx *m, const FeOnnx *out, const char *weights, FILE *f)
{
	static const char *const types[] = { "float32", "float32", "int32", "uint32", "uint8", "bool" };
	fprintf(f, "cnnc: 1\nmodel:\n  inputs:\n");
	for (int i = 0; i < m->g->ninputs; i++) {
		const OnxInput *in = &m->input[i];
		bool used = false;
		for (int k = 0; k < out->ninputs; k++)
			used = used || out->input[k].layer == in->layer;
		if (!in->layer || !used)
			continue;
		const IrType *t = &in->p->node.type;
		const char *shape = ir_shape_text(m->arena, t); /* (N, 3, 4) */
		fprintf(f, "    - {name: %s, shape: [%.*s]", in->layer, (int)strlen(shape) - 5, shape + 4);
		fprintf(f, t->dtype == DT_F32 ? "}\n" : ", dtype: %s}\n", types[t->dtype]);
	}
	if (out->ninputs == 0)
		fprintf(f, "    - {name: unused, shape: [1]}\n");
	if (m->weight && weights)
		fprintf(f, "  weights: %s\n", weights);
	fprintf(f, "  layers:\n");
}

static void write_tail(const FeOnnx *out, FILE *f)
{
	fprintf(f, "  outputs: [");
	for (int i = 0; i < out->noutputs; i++)
		fprintf(f, "%s%s", i ? ", " : "", out->output[i].layer);
	fprintf(f, "]\n");
}

/* Memory streams are the C library's: copied into the arena and freed. */
static bool finish(Onx *m, FeOnnx *out, const char *weights, const char *layers)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, &out->length);
	if (!f)
		return false;
	write_head(m, out, weights, f);
	fputs(layers, f);
	write_tail(out, f);
	fclose(f);
	out->text = arena_strndup(m->arena, text, out->length);
	free(text);
	out->weight = m->weight;
	out->split = m->split;
	out->batch = m->batch;
	return true;
}

static bool import_as(Onx *m, const char *weights, FeOnnx *out)
{
	char *layers = NULL;
	size_t length;
	*out = (FeOnnx){ .noutputs = 0 };
	m->text = open_memstream(&layers, &length);
	if (!m->text)
		return false;
	define_initializers(m);
	define_inputs(m);
	for (int i = 0; i < m->g->nnodes && !m->failed; i++)
		import_node(m, &m->g->node[i]);
	if (!m->failed)
		define_outputs(m, out);
	if (!m->failed)
		list_inputs(m, out);
	if (!m->failed && m->nlayers == 0)
		onx_fail(m, "the graph computes nothing");
	fclose(m->text);
	const bool ok = !m->failed && finish(m, out, weights, layers);
	free(layers);
	return ok;
}

static bool read_given(const OnnxGraph *g, const FeOnnxGiven *given, int n, Arena *a, Diag *d, OnnxTensor *out)
{
	for (int i = 0; i < g->ninputs; i++) {
		for (int k = 0; k < n; k++) {
			if (strcmp(given[k].name, g->input[i].name) != 0)
				continue;
			if (!onnx_read_tensor(g->path, given[k].bytes, given[k].length, a, d, &out[i]))
				return false;
			out[i].name = g->input[i].name;
		}
	}
	return true;
}

bool fe_onnx_import(const char *path, const void *bytes, size_t length, const char *weights, const FeOnnxGiven *given,
                    int ngiven, Arena *a, Diag *d, FeOnnx *out)
{
	OnnxGraph g;
	Onx m;
	const char *why = NULL;
	if (!onnx_read(path, bytes, length, a, d, &g) || !all_supported(&g, a, d))
		return false;
	if (g.ninputs > MOST_PORTS || g.ninits > MOST_PORTS || g.noutputs > MOST_OUTPUTS)
		return diag_error(d, (Loc){ path, 0, 0, 0 }, "%d inputs, %d initializers, %d outputs; at most %d, %d and %d are possible",
		                  g.ninputs, g.ninits, g.noutputs, MOST_PORTS, MOST_PORTS, MOST_OUTPUTS);
	OnnxTensor *values = NEWN(a, OnnxTensor, g.ninputs + 1);
	if (!read_given(&g, given, ngiven, a, d, values))
		return false;
	const int before = diag_errors(d);
	for (int reading = 0; reading < 4; reading++) {
		start(&m, &g, a, d, values);
		m.split = reading == 0 || reading == 2;
		m.bake = reading >= 2;
		if (import_as(&m, weights, out))
			return true;
		if (diag_errors(d) > before)
			break;
		why = reading == 1 || !why ? m.why : why;
	}
	if (diag_errors(d) == before || why)
		diag_error(d, (Loc){ path, 0, 0, 0 }, "%s", why ? why : m.why);
	return false;
}

bool fe_onnx_load(const char *path, const char *weights, Arena *a, Diag *d, FeOnnx *out)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool ok = false;
	if (fd < 0 || fstat(fd, &st) != 0) {
		diag_error(d, (Loc){ path, 0, 0, 0 }, "%s", strerror(errno));
	} else if (!S_ISREG(st.st_mode) || st.st_size == 0) {
		diag_error(d, (Loc){ path, 0, 0, 0 }, "this is not an ONNX file, or it is empty");
	} else {
		void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes == MAP_FAILED) {
			diag_error(d, (Loc){ path, 0, 0, 0 }, "%s", strerror(errno));
		} else {
			ok = fe_onnx_import(path, bytes, (size_t)st.st_size, weights, NULL, 0, a, d, out);
			munmap(bytes, (size_t)st.st_size);
		}
	}
	if (fd >= 0)
		close(fd);
	return ok;
}

static const char head[] =
	"# ONNX\n\n"
	"```\n"
	"cnnc import model.onnx -o model.yaml    # a readable model file, its weights in model.safetensors beside it\n"
	"cnnc check model.onnx                   # layers, memory\n"
	"cnnc model.onnx -o NAME                 # the predictor, weights inside\n"
	"cnnc model.yaml --emit=onnx -o model.onnx -D model.weights=best.safetensors   # the predictor as ONNX, opset 17\n"
	"```\n\n"
	"There is one way: the graph is turned into a model file, and that is checked and compiled like any other. Operators that\n"
	"are Keras layers become those; others become `Op` layers, rows of the op table (`cnnc help Op`). To train the model, give\n"
	"the file `data` and `train` sections.\n\n"
	"- **Operator sets** 1 to 22 of ai.onnx. Functions, control flow, sequences, maps, optionals, strings and sparse tensors are\n"
	"  not supported; an error lists every unsupported operator with its node.\n"
	"- **Shapes** are static but for the batch. Where axis 0 of all inputs is the batch and no operator mixes samples, it becomes\n"
	"  N; otherwise the whole graph is one sample, and N counts graphs.\n"
	"- **Layouts**: axes are tracked, transposes cost nothing by themselves. Pictures are channels last inside; an input that only\n"
	"  convolutions and pools read is taken channels last, so that pictures can be predicted and trained on directly. Behind a\n"
	"  flattened picture the rows of the dense kernel are put into our order.\n"
	"- **Weights**: initializers become named tensors, trainable; single numbers, shapes and what follows from constants are\n"
	"  folded. What an operator needs as a constant (a kernel, a shape) must be one.\n"
	"- **Types**: float; double, float16 and bfloat16 are computed in float. int64, int32, int16, int8 and uint16 are int32:\n"
	"  a number beyond 2^31 wraps. uint64 and uint32 are uint32; uint8 and bool are themselves.\n"
	"- **External data** must be regular files below the model's folder, without links on the way.\n"
	"- Hostile files end in an error: depth, messages, sizes, layers and folding work are bounded.\n\n"
	"The node tests of Debian's libonnx-testdata run in the test suite (`tests/unit/onnx_nodes.c`).\n\n";

void fe_onnx_operators(FILE *f)
{
	fputs(head, f);
	fputs("| operator | becomes |\n|---|---|\n", f);
	for (const OnnxOp *op = operators; op->name; op++)
		fprintf(f, "| %s | %s |\n", op->name, op->doc);
}

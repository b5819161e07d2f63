/* report.c -- what cnnc prints about a compiled model: summary, layers, memory, JSON
 *
 * Takes a pipeline whose passes have run. All byte counts are those that the produced programs will ask for.
 */
#include <jansson.h>
#include <string.h>
#include "report.h"

/* ---- numbers as text ---- */
const char *text_count(Arena *a, int64_t n)
{
	const char *digits = arena_printf(a, "%lld", (long long)n);
	size_t len = strlen(digits), k = 0;
	char *out = NEWN(a, char, len * 2 + 1);
	for (size_t i = 0; i < len; i++) {
		if (i && digits[i - 1] != '-' && (len - i) % 3 == 0)
			out[k++] = ',';
		out[k++] = digits[i];
	}
	return out;
}

static const char *scaled(Arena *a, double v, const char *unit)
{
	static const char *const prefix[] = {"", "k", "M", "G", "T", "P"};
	size_t i = 0;
	while (v >= 999.5 && i + 1 < COUNT(prefix)) {
		v /= 1000;
		i++;
	}
	return arena_printf(a, i ? "%.1f %s%s" : "%.0f %s%s", v, prefix[i], unit);
}

const char *text_bytes(Arena *a, int64_t n)
{
	return scaled(a, (double)n, "B");
}

const char *text_flops(Arena *a, double n)
{
	return scaled(a, n, "FLOP");
}

const char *text_time(Arena *a, double ms)
{
	return ms < 1000 ? arena_printf(a, "%.0f ms", ms) : arena_printf(a, "%.2f s", ms / 1000);
}

/* ---- memory ---- */
static const KEntry *entry_named(const KProgram *p, const char *name)
{
	static const KEntry none = {.slab_bytes = 0};
	for (int i = 0; i < p->nentries; i++) {
		if (strcmp(p->entry[i].name, name) == 0)
			return &p->entry[i];
	}
	return &none;
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

Memory report_memory(const IrModule *m)
{
	const KProgram *p = m->program;
	const KEntry *step = entry_named(p, "train_step"), *evaluate = entry_named(p, "evaluate");
	const KEntry *predict = entry_named(p, "predict");
	Memory out = {.predict_scratch = predict->scratch_bytes};
	IR_EACH_STATE(m, s) {
		if (s->kind != STATE_MOMENT)
			out.weights += ir_elems(&s->type, 1) * dtype_size(s->type.dtype);
	}
	out.predict = out.weights + p->view_bytes + predict->slab_bytes;
	if (step->name) {
		out.train = p->param_bytes + p->view_bytes + larger(step->slab_bytes, evaluate->slab_bytes);
		out.train_scratch = larger(step->scratch_bytes, evaluate->scratch_bytes);
	}
	return out;
}

/* ---- text ---- */
static const char *sample_word(const IrModule *m)
{
	for (const IrEntry *e = m->entry; e; e = e->next) {
		if (strcmp(e->name, "predict") == 0 && e->nport > 0 && e->port[0].type.dtype == DT_U8)
			return "image";
	}
	return "sample";
}

static const char *a_thread(Arena *a, int64_t bytes)
{
	return bytes ? arena_printf(a, " + %s a thread", text_count(a, bytes)) : "";
}

void report_summary(const Pipeline *p, const char *path, FILE *f)
{
	const IrModule *m = p->fe.module;
	Memory mem = report_memory(m);
	Arena *a = arena_new();
	fprintf(f, "%s: %d layer%s, %s parameters, %s forward per %s\n", path, p->fe.nlayers, p->fe.nlayers == 1 ? "" : "s",
	        text_count(a, p->fe.params), text_flops(a, (double)p->fe.flops), sample_word(m));
	fprintf(f, "plan: %s weights; ", text_bytes(a, mem.weights));
	if (mem.train)
		fprintf(f, "training at batch %d needs %s bytes%s, ", m->max_n, text_count(a, mem.train),
		        a_thread(a, mem.train_scratch));
	fprintf(f, "predicting %s%s\n", text_count(a, mem.predict), a_thread(a, mem.predict_scratch));
	arena_free(a);
}

void report_layers(const Pipeline *p, FILE *f)
{
	Arena *a = arena_new();
	int name = 0, kind = 0, shape = 0;
	for (int i = 0; i < p->code.nlayers; i++) {
		const CgLayer *l = &p->code.layer[i];
		int n[3] = {(int)strlen(l->name), (int)strlen(l->kind), (int)strlen(l->shape)};
		name = n[0] > name ? n[0] : name;
		kind = n[1] > kind ? n[1] : kind;
		shape = n[2] > shape ? n[2] : shape;
	}
	for (int i = 0; i < p->code.nlayers; i++) {
		const CgLayer *l = &p->code.layer[i];
		fprintf(f, "  %-*s  %-*s  %-*s  %12s", name, l->name, kind, l->kind, shape, l->shape, text_count(a, l->params));
		fprintf(f, l->flops ? "  %s\n" : "\n", text_flops(a, (double)l->flops));
	}
	arena_free(a);
}

/* ---- JSON ---- */
static json_t *hex(const unsigned char *bytes, size_t n)
{
	char text[2 * 32 + 1] = "";
	for (size_t i = 0; i < n && i < 32; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return json_string(text);
}

static json_t *shape_json(const IrType *t)
{
	json_t *shape = json_array();
	for (int i = 0; i < t->rank; i++)
		json_array_append_new(shape, t->dim[i] == IR_N ? json_null() : json_integer(t->dim[i]));
	return shape;
}

static json_t *port_json(const char *name, const IrType *t)
{
	return json_pack("{s:s, s:s, s:o}", "name", name, "dtype", dtype_name(t->dtype), "shape", shape_json(t));
}

static json_t *layers_json(const Pipeline *p)
{
	json_t *out = json_array();
	for (int i = 0; i < p->fe.nlayers; i++) {
		const FeLayer *l = &p->fe.layer[i];
		json_array_append_new(out, json_pack("{s:s, s:s, s:o, s:I, s:I, s:i}", "name", l->name, "kind", l->kind, "shape",
		                                     shape_json(&l->type), "parameters", (json_int_t)l->params, "flops",
		                                     (json_int_t)l->flops, "line", l->loc.line));
	}
	return out;
}

static json_t *entry_json(const KEntry *e)
{
	json_t *in = json_array(), *out = json_array(), *metrics = json_array();
	for (int i = 0; i < e->graph->nport; i++)
		json_array_append_new(in, port_json(e->graph->port[i].name, &e->graph->port[i].type));
	for (int i = 0; i < e->graph->nroot; i++) {
		const IrRoot *r = &e->graph->root[i];
		if (r->kind == ROOT_OUTPUT)
			json_array_append_new(out, port_json(r->name, &r->value->type));
		else if (r->kind == ROOT_METRIC)
			json_array_append_new(metrics, json_string(r->name));
	}
	return json_pack("{s:s, s:o, s:o, s:o, s:i, s:i, s:I}", "name", e->name, "inputs", in, "outputs", out, "metrics", metrics,
	                 "kernels", e->nkernels, "phases", e->nitems, "slab_bytes", (json_int_t)e->slab_bytes);
}

static json_t *tensors_json(const IrModule *m)
{
	static const char *const kind[] = {"parameter", "moment", "statistic"};
	json_t *out = json_array();
	IR_EACH_STATE(m, s) {
		json_array_append_new(out, json_pack("{s:s, s:s, s:s, s:o, s:b}", "name", s->name, "kind", kind[s->kind], "dtype",
		                                     dtype_name(s->type.dtype), "shape", shape_json(&s->type), "trainable",
		                                     s->trainable));
	}
	return out;
}

static json_t *classes_json(const IrModule *m)
{
	json_t *out = json_array();
	for (int i = 0; i < m->nlabels; i++)
		json_array_append_new(out, json_string(m->labels[i]));
	return out;
}

bool report_json(const Pipeline *p, FILE *f)
{
	const IrModule *m = p->fe.module;
	Memory mem = report_memory(m);
	unsigned char model[32], schedule[32];
	json_t *entries = json_array();
	cg_identity(m, &p->target, model, schedule);
	for (int i = 0; i < m->program->nentries; i++) {
		if (!m->program->entry[i].few)
			json_array_append_new(entries, entry_json(&m->program->entry[i]));
	}
	json_t *bytes = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "weights", (json_int_t)mem.weights, "parameter_slab",
	                          (json_int_t)m->program->param_bytes, "train", (json_int_t)mem.train, "predict",
	                          (json_int_t)mem.predict, "train_scratch_a_thread", (json_int_t)mem.train_scratch,
	                          "predict_scratch_a_thread", (json_int_t)mem.predict_scratch);
	json_t *all = json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", m->name, "target",
	                        p->target.name, "max_batch", (int)m->max_n, "parameters", (json_int_t)p->fe.params, "trainable",
	                        (json_int_t)p->fe.trainable, "flops", (json_int_t)p->fe.flops, "layers", layers_json(p), "tensors",
	                        tensors_json(m), "entries", entries, "classes", classes_json(m), "bytes", bytes, "model_hash",
	                        hex(model, 32), "schedule_key", hex(schedule, 32));
	bool ok = all && json_dumpf(all, f, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) == 0 && fputc('\n', f) != EOF;
	json_decref(all);
	return ok;
}

/* ---- Graphviz ---- */
static void dot_text(const char *s, FILE *f)
{
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fputc('\\', f);
		fputc(*s, f);
	}
}

static void dot_node(const char *id, int number, const char *name, const char *kind, const char *rest, FILE *f)
{
	fprintf(f, "  %s%d [label=\"", id, number);
	dot_text(name, f);
	fprintf(f, "\\n%s%s%s\"];\n", kind, *kind ? "\\n" : "", rest);
}

void report_dot(const Pipeline *p, FILE *f)
{
	Arena *a = p->arena;
	const FeModel *m = &p->fe;
	fputs("digraph \"", f);
	dot_text(m->module->name, f);
	fputs("\" {\n  node [shape=box, style=rounded, fontname=\"Helvetica\", fontsize=10];\n  edge [arrowsize=0.7];\n", f);
	for (int i = 0; i < m->ninputs; i++)
		dot_node("input", i, m->input[i].name ? m->input[i].name : "input", "", ir_shape_text(a, &m->input[i].type), f);
	for (int i = 0; i < m->nlayers; i++) {
		const FeLayer *l = &m->layer[i];
		const char *shape = ir_shape_text(a, &l->type);
		dot_node("layer", i, l->name, l->kind,
		         l->params ? arena_printf(a, "%s, %s parameters", shape, text_count(a, l->params)) : shape, f);
	}
	for (int i = 0; i < m->nlayers; i++) {
		for (int k = 0; k < m->layer[i].nin; k++) {
			int from = m->layer[i].in[k];
			fprintf(f, "  %s%d -> layer%d;\n", from < 0 ? "input" : "layer", from < 0 ? -1 - from : from, i);
		}
	}
	fputs("}\n", f);
}

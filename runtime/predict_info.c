/* predict_info.c -- info [--config] [--json]: what this program is and what it takes */
#include <string.h>
#include "runtime/cpu.h"
#include "runtime/cuda_call.h"
#include "runtime/predict.h"
#include "runtime/sys.h"

static void hash_text(const unsigned char hash[32], char out[65])
{
	for (int i = 0; i < 32; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

typedef struct Counts {
	int64_t params, trainable, statistics, flops;
} Counts;

static Counts counts_of(const RtModel *m)
{
	Counts c = {0};
	for (uint32_t i = 0; i < m->ntensors; i++) {
		int64_t n = rt_tensor_elems(&m->tensor[i]);
		c.params += m->tensor[i].kind == RT_MOMENT ? 0 : n;
		c.trainable += m->tensor[i].kind == RT_PARAM && m->tensor[i].trainable ? n : 0;
		c.statistics += m->tensor[i].kind == RT_STAT ? n : 0;
	}
	for (uint32_t i = 0; i < m->nlayers; i++)
		c.flops += m->layer[i].flops;
	return c;
}

static const char *grouped(int64_t v, char room[32])
{
	char digits[24];
	int n = snprintf(digits, sizeof digits, "%lld", (long long)v), k = 0;
	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0 && digits[i - 1] != '-')
			room[k++] = ',';
		room[k++] = digits[i];
	}
	room[k] = '\0';
	return room;
}

static void shape_text(const RtPort *p, char *out, size_t size)
{
	size_t used = (size_t)snprintf(out, size, "(N");
	for (int i = 1; i < p->rank && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, ", %lld", (long long)p->dim[i]);
	if (used < size)
		snprintf(out + used, size - used, ")");
}

/* Memory of a GPU for the entries that train, or for those that predict; 0: no code for one, or no such entries. */
static uint64_t gpu_bytes(const RtModel *m, bool train)
{
	const char *name[RT_MAX_ENTRIES];
	int n = 0;
	for (uint32_t i = 0; m->cuda && i < m->nentries && n < RT_MAX_ENTRIES; i++) {
		if ((strncmp(m->entry[i].name, "predict", sizeof "predict" - 1) != 0) == train)
			name[n++] = m->entry[i].name;
	}
	return n ? rt_cuda_bytes(m, name, n) : 0;
}

/* ---- text ---- */

static void print_layers(FILE *f, const RtModel *m)
{
	char a[32], b[32];
	fprintf(f, "%-28s %-24s %-22s %14s %16s\n", "layer", "kind", "output", "parameters", "FLOP");
	for (uint32_t i = 0; i < m->nlayers; i++)
		fprintf(f, "%-28s %-24s %-22s %14s %16s\n", m->layer[i].name, m->layer[i].kind, m->layer[i].shape,
			grouped(m->layer[i].params, a), grouped(m->layer[i].flops, b));
}

static void print_entries(FILE *f, const RtModel *m)
{
	char a[32], b[32], shape[100];
	fprintf(f, "\n%-14s %18s %22s\n", "entry", "activations, bytes", "scratch a thread, bytes");
	for (uint32_t i = 0; i < m->nentries; i++) {
		const RtEntry *e = &m->entry[i];
		fprintf(f, "%-14s %18s %22s\n", e->name, grouped((int64_t)e->slab_bytes, a),
			grouped((int64_t)e->scratch_bytes, b));
		for (uint32_t k = 0; k < e->nin + e->nout; k++) {
			const RtPort *p = k < e->nin ? &e->in[k] : &e->out[k - e->nin];
			shape_text(p, shape, sizeof shape);
			fprintf(f, "  %-3s %-10s %s %s\n", k < e->nin ? "in" : "out", p->name, rt_dtype_text(p->dtype),
				shape);
		}
	}
}

static void print_text(const RtPredictor *p)
{
	const RtModel *m = p->model;
	char a[32], b[32], hash[65], room[24];
	Counts c = counts_of(m);
	fprintf(p->out, "%s, made by cnnc " CNNC_VERSION " for ", m->name);
	rt_cpu_print(m, p->out);
	fprintf(p->out, "%s%s\n\n", m->cpu_needs && m->cpu_needs[0] ? ": " : "", m->cpu_needs ? m->cpu_needs : "");
	print_layers(p->out, m);
	fprintf(p->out, "\n%s parameters, %s trainable; ", grouped(c.params, a), grouped(c.trainable, b));
	fprintf(p->out, "%s FLOP a sample\n", grouped(c.flops, a));
	fprintf(p->out, "%s bytes of parameters and optimizer state; at most %llu samples a call\n",
		grouped((int64_t)m->params_bytes, a), (unsigned long long)m->max_n);
	if (m->cuda)
		fprintf(p->out, "GPU memory: %s bytes to predict, %s to train\n", grouped((int64_t)gpu_bytes(m, false), a),
			grouped((int64_t)gpu_bytes(m, true), b));
	print_entries(p->out, m);
	size_t labels = json_array_size(p->labels);
	fputs(labels ? "\nclasses:" : "", p->out);
	for (size_t i = 0; i < labels; i++)
		fprintf(p->out, "%s %s", i ? "," : "", rt_predict_label(p, (int)i, room));
	fputs("\n", p->out);
	hash_text(m->model_hash, hash);
	fprintf(p->out, "model    %s\n", hash);
	hash_text(m->schedule_key, hash);
	fprintf(p->out, "schedule %s\n", hash);
}

/* ---- JSON ---- */

static json_t *port_json(const RtPort *p)
{
	json_t *shape = json_array();
	json_array_append_new(shape, json_string("N"));
	for (int i = 1; i < p->rank; i++)
		json_array_append_new(shape, json_integer(p->dim[i]));
	return json_pack("{s:s, s:s, s:o}", "name", p->name, "dtype", rt_dtype_text(p->dtype), "shape", shape);
}

static json_t *entries_json(const RtModel *m)
{
	json_t *entries = json_array();
	for (uint32_t i = 0; i < m->nentries; i++) {
		const RtEntry *e = &m->entry[i];
		json_t *in = json_array(), *out = json_array();
		for (uint32_t k = 0; k < e->nin; k++)
			json_array_append_new(in, port_json(&e->in[k]));
		for (uint32_t k = 0; k < e->nout; k++)
			json_array_append_new(out, port_json(&e->out[k]));
		json_array_append_new(entries, json_pack("{s:s, s:I, s:I, s:i, s:o, s:o}", "name", e->name,
							 "activation_bytes", (json_int_t)e->slab_bytes,
							 "scratch_bytes_per_thread", (json_int_t)e->scratch_bytes,
							 "phases", (int)e->nphases, "inputs", in, "outputs", out));
	}
	return entries;
}

static json_t *layers_json(const RtModel *m)
{
	json_t *layers = json_array();
	for (uint32_t i = 0; i < m->nlayers; i++) {
		const RtLayer *l = &m->layer[i];
		json_array_append_new(layers, json_pack("{s:s, s:s, s:s, s:I, s:I}", "name", l->name, "kind", l->kind,
							"output", l->shape, "parameters", (json_int_t)l->params,
							"flops", (json_int_t)l->flops));
	}
	return layers;
}

static void print_json(const RtPredictor *p)
{
	const RtModel *m = p->model;
	char model[65], schedule[65];
	Counts c = counts_of(m);
	hash_text(m->model_hash, model);
	hash_text(m->schedule_key, schedule);
	json_t *root =
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "name", m->name, "cnnc", CNNC_VERSION,
			  "target", m->target, "levels", m->levels ? m->levels : m->target, "cpu", m->cpu_needs ? m->cpu_needs : "", "parameters",
			  (json_int_t)c.params, "trainable", (json_int_t)c.trainable, "flops", (json_int_t)c.flops,
			  "parameter_bytes", (json_int_t)m->params_bytes, "max_batch", (json_int_t)m->max_n);
	if (m->cuda)
		json_object_set_new(root, "gpu_bytes", json_pack("{s:I, s:I}", "predict", (json_int_t)gpu_bytes(m, false), "train",
								 (json_int_t)gpu_bytes(m, true)));
	json_object_set_new(root, "layers", layers_json(m));
	json_object_set_new(root, "entries", entries_json(m));
	json_object_set(root, "classes", p->labels ? p->labels : json_null());
	json_object_set_new(root, "model_hash", json_string(model));
	json_object_set_new(root, "schedule_key", json_string(schedule));
	if (p->show_config)
		json_object_set_new(root, "config", rt_config_json(&p->config, false));
	json_dumpf(root, p->out, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	fputs("\n", p->out);
	json_decref(root);
}

RtStatus rt_predict_info(RtPredictor *p)
{
	if (p->nargs)
		return rt_fail(RT_USAGE, "info takes no operand, and '%s' is one", p->arg[0]);
	rt_predict_labels(p);
	if (p->json) {
		print_json(p);
	} else if (p->show_config) {
		char *yaml;
		RtStatus s = rt_config_yaml(&p->config, false, &yaml);
		if (s != RT_OK)
			return s;
		fputs(yaml, p->out);
		rt_sys.release(yaml);
	} else {
		print_text(p);
	}
	return RT_OK;
}

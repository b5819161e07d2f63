/* predict_array.c -- run --input X.npy --output Y.npy: the network alone, on the model's own inputs
 *
 * Of several inputs each array is given as NAME=FILE. No preprocessing is applied. A second output goes to Y-NAME.npy.
 */
#include <stdio.h>
#include <string.h>
#include "ir/size.h"
#include "runtime/data.h"
#include "runtime/durable.h"
#include "runtime/predict.h"
#include "runtime/sys.h"

static RtStatus check_shape(const RtNpy *a, const RtPort *x, const char *path)
{
	bool same = a->rank == x->rank;
	char has[100] = "", wants[100] = "N";
	for (int i = 1; same && i < x->rank; i++)
		same = a->dim[i] == x->dim[i];
	if (same)
		return RT_OK;
	for (int i = 0; i < a->rank; i++)
		snprintf(has + strlen(has), sizeof has - strlen(has), "%s%lld", i ? ", " : "", (long long)a->dim[i]);
	for (int i = 1; i < x->rank; i++)
		snprintf(wants + strlen(wants), sizeof wants - strlen(wants), ", %lld", (long long)x->dim[i]);
	return rt_fail(RT_BAD_DATA, "%s has the shape (%s), the model takes (%s)", path, has, wants);
}

static RtStatus output_path(const RtPredictor *p, const RtEntry *e, uint32_t which, char *path)
{
	size_t n = strlen(p->output);
	int stem = n > 4 && strcmp(p->output + n - 4, ".npy") == 0 ? (int)n - 4 : (int)n;
	int length = which == 0 ? snprintf(path, RT_PATH_MAX, "%s", p->output)
				: snprintf(path, RT_PATH_MAX, "%.*s-%s.npy", stem, p->output, e->out[which].name);
	return length < RT_PATH_MAX ? RT_OK : rt_fail(RT_USAGE, "the path is too long: %.200s", p->output);
}

static RtStatus write_outputs(const RtPredictor *p, const RtEntry *e, int64_t n, unsigned char *const *all)
{
	RtStatus s = RT_OK;
	for (uint32_t i = 0; i < e->nout && s == RT_OK; i++) {
		char path[RT_PATH_MAX];
		int64_t dim[RT_MAX_RANK];
		memcpy(dim, e->out[i].dim, sizeof dim);
		dim[0] = n;
		s = output_path(p, e, i, path);
		if (s == RT_OK)
			s = rt_npy_write(path, e->out[i].dtype, e->out[i].rank, dim, all[i]);
	}
	return s;
}

typedef struct Arrays { /* parallel to the entry's inputs */
	RtNpy array[RT_MAX_PORTS];
	unsigned char *rows[RT_MAX_PORTS];
	int opened;
} Arrays;

static RtStatus run_all(RtPredictor *p, const RtEntry *e, const Arrays *in, unsigned char *const *all)
{
	int64_t n = in->array[0].dim[0];
	for (int64_t at = 0; at < n;) {
		uint32_t k = (uint32_t)(n - at < (int64_t)p->model->max_n ? n - at : (int64_t)p->model->max_n);
		for (uint32_t port = 0; port < e->nin; port++) {
			const RtPort *x = &e->in[port];
			for (uint32_t i = 0; i < k; i++)
				rt_npy_row(&in->array[port], at + i, x, in->rows[port] + i * x->row_bytes);
		}
		rt_scalars_set(&p->in.scalars, p->model, k, 0);
		if (!rt_instance_run(&p->in, e, in->rows, NULL))
			return p->in.fault;
		for (uint32_t i = 0; i < e->nout; i++)
			memcpy(all[i] + (size_t)at * e->out[i].row_bytes, p->in.out[i], k * e->out[i].row_bytes);
		at += k;
	}
	return write_outputs(p, e, n, all);
}

static RtStatus run_with_memory(RtPredictor *p, const RtEntry *e, Arrays *in)
{
	unsigned char *all[RT_MAX_PORTS] = {0};
	size_t bytes[RT_MAX_PORTS] = {0}, n = (size_t)in->array[0].dim[0];
	bool room = true;
	for (uint32_t i = 0; i < e->nin && room; i++) {
		in->rows[i] = rt_sys.slab((size_t)p->model->max_n * e->in[i].row_bytes);
		room = in->rows[i] != NULL;
	}
	for (uint32_t i = 0; i < e->nout && room; i++) {
		room = size_mul(n, (size_t)e->out[i].row_bytes, &bytes[i]);
		all[i] = room ? rt_sys.slab(bytes[i] ? bytes[i] : 1) : NULL;
		room = all[i] != NULL;
	}
	RtStatus s = room ? run_all(p, e, in, all) : rt_fail(RT_NOMEM, "out of memory for the outputs of %zu samples", n);
	for (uint32_t i = 0; i < e->nout; i++) {
		if (all[i])
			rt_sys.slab_free(all[i], bytes[i] ? bytes[i] : 1);
	}
	for (uint32_t i = 0; i < e->nin; i++) {
		if (in->rows[i])
			rt_sys.slab_free(in->rows[i], (size_t)p->model->max_n * e->in[i].row_bytes);
	}
	return s;
}

/* The first input is called x in the program, as the file calls it outside. */
static const char *name_of(const RtPredictor *p, const RtPort *port)
{
	return strcmp(port->name, "x") == 0 ? rt_config_text(&p->config, "model.inputs.0.name", "input") : port->name;
}

/* FILE of the one input; of several that of --input NAME=FILE. */
static const char *file_of(const RtPredictor *p, const RtEntry *e, const RtPort *port)
{
	const char *name = name_of(p, port);
	size_t n = strlen(name);
	if (e->nin == 1 && p->ninputs == 1)
		return p->input[0];
	for (int i = 0; i < p->ninputs; i++) {
		if (strncmp(p->input[i], name, n) == 0 && p->input[i][n] == '=')
			return p->input[i] + n + 1;
	}
	return NULL;
}

static RtStatus open_inputs(const RtPredictor *p, const RtEntry *e, Arrays *in)
{
	for (uint32_t i = 0; i < e->nin; i++) {
		const char *file = file_of(p, e, &e->in[i]);
		if (!file)
			return rt_fail(RT_USAGE, "there is no array for input '%s': --input %s=FILE.npy", name_of(p, &e->in[i]),
				       name_of(p, &e->in[i]));
		RtStatus s = rt_npy_open(file, &in->array[i]);
		if (s != RT_OK)
			return s;
		in->opened++;
		s = check_shape(&in->array[i], &e->in[i], file);
		if (s != RT_OK)
			return s;
		if (in->array[i].dim[0] != in->array[0].dim[0])
			return rt_fail(RT_BAD_DATA, "%s has %lld rows, the first array %lld", file, (long long)in->array[i].dim[0],
				       (long long)in->array[0].dim[0]);
	}
	return p->ninputs == (int)e->nin ? RT_OK : rt_fail(RT_USAGE, "%d arrays for %u inputs", p->ninputs, e->nin);
}

RtStatus rt_predict_array(RtPredictor *p)
{
	const RtEntry *e = rt_entry(p->model, "predict_raw");
	Arrays in = {.opened = 0};
	e = e ? e : rt_entry(p->model, "predict");
	if (!p->ninputs || !p->output || p->nargs)
		return rt_fail(RT_USAGE, "usage: %s run --input X.npy --output Y.npy", p->program);
	if (!e || e->nin > RT_MAX_PORTS)
		return rt_fail(RT_INTERNAL, "the model has no entry that takes arrays");
	RtStatus s = open_inputs(p, e, &in);
	if (s == RT_OK)
		s = rt_predict_open(p, &e->name, 1, p->threads ? p->threads : in.array[0].dim[0] <= 1 ? 1 : 0);
	if (s == RT_OK)
		s = run_with_memory(p, e, &in);
	for (int i = 0; i < in.opened; i++)
		rt_npy_close(&in.array[i]);
	return s;
}

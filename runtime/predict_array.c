/* predict_array.c -- run --input X.npy --output Y.npy: the network alone, on the model's own input
 *
 * No preprocessing is applied. A second output goes to Y-NAME.npy.
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

static RtStatus run_all(RtPredictor *p, const RtEntry *e, const RtNpy *a, unsigned char *rows,
			unsigned char *const *all)
{
	const RtPort *x = &e->in[0];
	int64_t n = a->dim[0];
	for (int64_t at = 0; at < n;) {
		uint32_t k = (uint32_t)(n - at < (int64_t)p->model->max_n ? n - at : (int64_t)p->model->max_n);
		unsigned char *ports[RT_MAX_PORTS] = {rows};
		for (uint32_t i = 0; i < k; i++)
			rt_npy_row(a, at + i, x, rows + i * x->row_bytes);
		rt_scalars_set(&p->in.scalars, p->model, k, 0);
		if (!rt_instance_run(&p->in, e, ports, NULL))
			return p->in.fault;
		for (uint32_t i = 0; i < e->nout; i++)
			memcpy(all[i] + (size_t)at * e->out[i].row_bytes, p->in.out[i], k * e->out[i].row_bytes);
		at += k;
	}
	return write_outputs(p, e, n, all);
}

static RtStatus run_with_memory(RtPredictor *p, const RtEntry *e, const RtNpy *a)
{
	unsigned char *rows = rt_sys.slab((size_t)p->model->max_n * e->in[0].row_bytes), *all[RT_MAX_PORTS] = {0};
	size_t bytes[RT_MAX_PORTS] = {0};
	bool room = rows != NULL;
	for (uint32_t i = 0; i < e->nout && room; i++) {
		room = size_mul((size_t)a->dim[0], (size_t)e->out[i].row_bytes, &bytes[i]);
		all[i] = room ? rt_sys.slab(bytes[i] ? bytes[i] : 1) : NULL;
		room = all[i] != NULL;
	}
	RtStatus s = room ? run_all(p, e, a, rows, all)
			  : rt_fail(RT_NOMEM, "out of memory for the outputs of %lld samples", (long long)a->dim[0]);
	for (uint32_t i = 0; i < e->nout; i++) {
		if (all[i])
			rt_sys.slab_free(all[i], bytes[i] ? bytes[i] : 1);
	}
	if (rows)
		rt_sys.slab_free(rows, (size_t)p->model->max_n * e->in[0].row_bytes);
	return s;
}

RtStatus rt_predict_array(RtPredictor *p)
{
	const RtEntry *e = rt_entry(p->model, "predict_raw");
	RtNpy a;
	e = e ? e : rt_entry(p->model, "predict");
	if (!p->input || !p->output || p->nargs)
		return rt_fail(RT_USAGE, "usage: %s run --input X.npy --output Y.npy", p->program);
	if (!e || e->nin != 1)
		return rt_fail(RT_INTERNAL, "the model has no entry that takes one array");
	RtStatus s = rt_npy_open(p->input, &a);
	if (s != RT_OK)
		return s;
	s = check_shape(&a, &e->in[0], p->input);
	if (s == RT_OK)
		s = rt_predict_open(p, &e->name, 1, p->threads ? p->threads : a.dim[0] <= 1 ? 1 : 0);
	if (s == RT_OK)
		s = run_with_memory(p, e, &a);
	rt_npy_close(&a);
	return s;
}

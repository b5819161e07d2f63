/* weights.c -- loads and saves weights, checking names, shapes and finiteness */
#include "runtime/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/durable.h"
#include "runtime/sys.h"

enum { LISTED = 5 }; /* names an error shows of each kind */

RtStDType rt_st_dtype_of(int32_t dtype)
{
	static const RtStDType of[] = {[RT_F32] = RT_ST_F32, [RT_F64] = RT_ST_F64, [RT_I32] = RT_ST_I32,
				       [RT_U32] = RT_ST_U32, [RT_U8] = RT_ST_U8,   [RT_BOOL] = RT_ST_BOOL};
	return of[dtype];
}

RtStTensor rt_st_tensor_of(const RtTensor *t, const unsigned char *data)
{
	RtStTensor s = {.name = t->name, .dtype = rt_st_dtype_of(t->dtype), .rank = t->rank, .data = data};
	memcpy(s.dim, t->dim, (size_t)t->rank * sizeof *s.dim);
	s.bytes = (size_t)rt_tensor_elems(t) * (size_t)rt_dtype_bytes(t->dtype);
	return s;
}

bool rt_tensor_is_weight(const RtTensor *t)
{
	return t->kind != RT_MOMENT;
}

/* ---- finiteness ---- */

/* Exponent all ones is an infinity or NaN; looking at the bits vectorizes and works under any math flags. */
static bool finite_f32(const float *x, size_t n)
{
	uint32_t bad = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t bits;
		memcpy(&bits, &x[i], sizeof bits);
		bad |= (bits & 0x7f800000u) == 0x7f800000u;
	}
	return !bad;
}

static bool finite_f64(const double *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!isfinite(x[i]))
			return false;
	}
	return true;
}

bool rt_all_finite(int32_t dtype, const void *data, size_t elems)
{
	if (dtype == RT_F32)
		return finite_f32(data, elems);
	return dtype != RT_F64 || finite_f64(data, elems);
}

const RtTensor *rt_tensor_nonfinite(const RtInstance *in, bool moments_too)
{
	for (uint32_t i = 0; i < in->model->ntensors; i++) {
		const RtTensor *t = &in->model->tensor[i];
		if ((moments_too || rt_tensor_is_weight(t)) &&
		    !rt_all_finite(t->dtype, rt_tensor_data(in, t), (size_t)rt_tensor_elems(t)))
			return t;
	}
	return NULL;
}

/* ---- loading ---- */

static bool same_shape(const RtTensor *t, const RtStTensor *s)
{
	return t->rank == s->rank && memcmp(t->dim, s->dim, (size_t)t->rank * sizeof *t->dim) == 0;
}

static bool convertible(const RtTensor *t, const RtStTensor *s)
{
	bool is_float =
		s->dtype == RT_ST_F32 || s->dtype == RT_ST_F64 || s->dtype == RT_ST_F16 || s->dtype == RT_ST_BF16;
	return rt_st_dtype_of(t->dtype) == s->dtype || ((t->dtype == RT_F32 || t->dtype == RT_F64) && is_float);
}

static void copy_values(unsigned char *to, const RtTensor *t, const RtStTensor *s)
{
	size_t n = (size_t)rt_tensor_elems(t);
	if (rt_st_dtype_of(t->dtype) == s->dtype) {
		memcpy(to, s->data, s->bytes);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		double v = rt_st_value(s, i);
		float f = (float)v;
		if (t->dtype == RT_F32)
			memcpy(to + 4 * i, &f, 4);
		else
			memcpy(to + 8 * i, &v, 8);
	}
}

typedef struct List {
	char text[600];
	int n;
} List;

static void list_add(List *l, const char *item)
{
	size_t used = strlen(l->text);
	if (l->n++ < LISTED)
		snprintf(l->text + used, sizeof l->text - used, "%s%.100s", used ? ", " : "", item);
}

/* "; missing: a, b and 3 more" */
static void list_print(const List *l, const char *what, char *out, size_t size)
{
	size_t used = strlen(out);
	if (l->n == 0)
		return;
	used += (size_t)snprintf(out + used, size - used, "; %s: %s", what, l->text);
	if (l->n > LISTED && used < size)
		snprintf(out + used, size - used, " and %d more", l->n - LISTED);
}

static void shape_text(char *out, size_t size, int rank, const int64_t *dim)
{
	size_t used = (size_t)snprintf(out, size, "(");
	for (int i = 0; i < rank && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? ", " : "", (long long)dim[i]);
	if (used < size)
		snprintf(out + used, size - used, ")");
}

static void list_misfit(List *l, const RtTensor *t, const RtStTensor *s)
{
	char has[64], wants[64], item[200];
	shape_text(has, sizeof has, s->rank, s->dim);
	shape_text(wants, sizeof wants, t->rank, t->dim);
	if (same_shape(t, s))
		snprintf(item, sizeof item, "%.60s is %s", t->name, rt_st_dtype_name(s->dtype));
	else
		snprintf(item, sizeof item, "%.60s %s instead of %s", t->name, has, wants);
	list_add(l, item);
}

static RtStatus check_names(const RtModel *m, const RtSafetensors *st, const char *file)
{
	List missing = {.n = 0}, unexpected = {.n = 0}, misshapen = {.n = 0};
	for (uint32_t i = 0; i < m->ntensors; i++) {
		const RtTensor *t = &m->tensor[i];
		const RtStTensor *s = rt_st_find(st, t->name);
		if (!rt_tensor_is_weight(t))
			continue;
		if (!s)
			list_add(&missing, t->name);
		else if (!same_shape(t, s) || !convertible(t, s))
			list_misfit(&misshapen, t, s);
	}
	for (int i = 0; i < st->ntensors; i++) {
		const RtTensor *t = rt_tensor_find(m, st->tensor[i].name);
		if (!t || !rt_tensor_is_weight(t))
			list_add(&unexpected, st->tensor[i].name);
	}
	if (missing.n + unexpected.n + misshapen.n == 0)
		return RT_OK;
	char why[2048] = "";
	list_print(&missing, "missing", why, sizeof why);
	list_print(&unexpected, "unexpected", why, sizeof why);
	list_print(&misshapen, "wrong shape", why, sizeof why);
	return rt_fail(RT_BAD_WEIGHTS, "%s does not fit this model%s", file, why);
}

RtStatus rt_weights_load(RtInstance *in, const RtSafetensors *st, const char *file, bool skip_mismatch, int *out_loaded)
{
	RtStatus s = skip_mismatch ? RT_OK : check_names(in->model, st, file);
	*out_loaded = 0;
	for (uint32_t i = 0; s == RT_OK && i < in->model->ntensors; i++) {
		const RtTensor *t = &in->model->tensor[i];
		const RtStTensor *from = rt_tensor_is_weight(t) ? rt_st_find(st, t->name) : NULL;
		if (!from || !same_shape(t, from) || !convertible(t, from))
			continue;
		copy_values(rt_tensor_write(in, t), t, from);
		if (!rt_all_finite(t->dtype, rt_tensor_data(in, t), (size_t)rt_tensor_elems(t)))
			return rt_fail(RT_BAD_WEIGHTS, "%s: tensor '%s' holds NaN or infinity", file, t->name);
		++*out_loaded;
	}
	return s;
}

/* Formats that the compiler converts. */
static bool is_foreign(const unsigned char *bytes, size_t length)
{
	return length >= 8 && (memcmp(bytes, "\x89HDF\r\n\x1a\n", 8) == 0 || memcmp(bytes, "PK\3\4", 4) == 0);
}

RtStatus rt_weights_load_file(RtInstance *in, const char *path, bool skip_mismatch, int *out_loaded)
{
	unsigned char *bytes;
	size_t length;
	RtSafetensors st;
	RtStatus s = rt_read_file(path, RT_BAD_WEIGHTS, &bytes, &length);
	if (s != RT_OK)
		return s;
	if (is_foreign(bytes, length)) {
		rt_sys.release(bytes);
		return rt_fail(RT_BAD_WEIGHTS,
			       "%s is no safetensors file; `cnnc weights MODEL.yaml %s -o NEW.safetensors` converts it", path,
			       path);
	}
	s = rt_st_parse(bytes, length, &st);
	if (s == RT_BAD_WEIGHTS) {
		rt_fail(s, "%s: %s", path, rt_message());
	} else if (s == RT_OK) {
		s = rt_weights_load(in, &st, path, skip_mismatch, out_loaded);
		rt_st_free(&st);
	}
	rt_sys.release(bytes);
	return s;
}

/* ---- saving ---- */

static int by_size_of_element(const void *a, const void *b)
{
	const RtStTensor *x = a, *y = b;
	size_t sx = rt_st_dtype_size(x->dtype), sy = rt_st_dtype_size(y->dtype);
	if (sx != sy)
		return sx > sy ? -1 : 1;
	return x->data < y->data ? -1 : x->data > y->data;
}

static int collect(const RtInstance *in, RtStTensor *out)
{
	int n = 0;
	for (uint32_t i = 0; i < in->model->ntensors; i++) {
		if (rt_tensor_is_weight(&in->model->tensor[i]))
			out[n++] = rt_st_tensor_of(&in->model->tensor[i], rt_tensor_data(in, &in->model->tensor[i]));
	}
	/* wide elements first keeps every tensor aligned without holes */
	qsort(out, (size_t)n, sizeof *out, by_size_of_element);
	return n;
}

static RtStatus write_tensors(const char *path, const RtStTensor *tensor, int n, const char *const *meta)
{
	unsigned char *header = NULL;
	size_t length;
	RtNewFile f;
	RtStatus s = rt_st_header(tensor, n, meta, &header, &length);
	if (s != RT_OK)
		return s;
	s = rt_new_file(&f, path, 0666);
	if (s == RT_OK)
		s = rt_new_file_write(&f, header, length);
	for (int i = 0; i < n && s == RT_OK; i++)
		s = rt_new_file_write(&f, tensor[i].data, tensor[i].bytes);
	rt_sys.release(header);
	if (s == RT_OK)
		return rt_new_file_commit(&f);
	rt_new_file_abort(&f);
	return s;
}

RtStatus rt_weights_save(const RtInstance *in, const char *path, const char *const *meta)
{
	RtStatus s = rt_instance_settle(in);
	if (s != RT_OK)
		return s;
	const RtTensor *bad = rt_tensor_nonfinite(in, false);
	if (bad)
		return rt_fail(RT_NONFINITE, "tensor '%s' holds NaN or infinity, so %s is not written", bad->name,
			       path);
	RtStTensor *tensor = rt_sys.alloc((in->model->ntensors + 1) * sizeof *tensor);
	if (!tensor)
		return rt_fail(RT_NOMEM, "out of memory for the table of %u tensors", in->model->ntensors);
	s = write_tensors(path, tensor, collect(in, tensor), meta);
	rt_sys.release(tensor);
	return s;
}

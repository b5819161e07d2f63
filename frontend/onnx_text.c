/* onnx_text.c -- the weights of an imported graph as a safetensors file, or as numbers for the interpreter */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "frontend/onnx_value.h"
#include "runtime/safetensors.h"

static RtStDType dtype_of(DType t)
{
	static const RtStDType of[DT_COUNT] = { RT_ST_F32, RT_ST_F64, RT_ST_I32, RT_ST_U32, RT_ST_U8, RT_ST_BOOL, RT_ST_BF16 };
	return of[t];
}

static double element(const OnxWeight *w, int64_t i)
{
	return w->splat ? w->d[0] : w->f ? (double)w->f[i] : w->d[i];
}

static void put(unsigned char *at, DType t, double v)
{
	const float f = (float)v;
	const int32_t i = t == DT_U32 ? (int32_t)(uint32_t)v : (int32_t)v;
	if (t == DT_F32)
		memcpy(at, &f, sizeof f);
	else if (t == DT_I32 || t == DT_U32)
		memcpy(at, &i, sizeof i);
	else
		*at = (unsigned char)v;
}

static bool write_values(const OnxWeight *w, FILE *f)
{
	enum { CHUNK = 4096 };
	unsigned char buffer[CHUNK * 4];
	const size_t width = (size_t)dtype_size(w->type.dtype);
	const int64_t n = ir_elems(&w->type, 1);
	if (w->f)
		return fwrite(w->f, sizeof *w->f, (size_t)n, f) == (size_t)n;
	for (int64_t done = 0; done < n;) {
		const size_t take = (size_t)(n - done < CHUNK ? n - done : CHUNK);
		for (size_t i = 0; i < take; i++)
			put(buffer + i * width, w->type.dtype, element(w, done + (int64_t)i));
		if (fwrite(buffer, width, take, f) != take)
			return false;
		done += (int64_t)take;
	}
	return true;
}

/* Wide elements first: every tensor is aligned without holes. */
static int by_width(const void *a, const void *b)
{
	const OnxWeight *const *x = a, *const *y = b;
	return dtype_size((*y)->type.dtype) - dtype_size((*x)->type.dtype);
}

static bool write_all(FILE *f, const OnxWeight **w, const RtStTensor *t, int n)
{
	unsigned char *header = NULL;
	size_t length = 0;
	if (rt_st_header(t, n, (const char *const[]){ "producer", "cnnc " CNNC_VERSION, NULL }, &header, &length) != RT_OK)
		return false;
	bool ok = fwrite(header, 1, length, f) == length;
	free(header);
	for (int i = 0; ok && i < n; i++)
		ok = write_values(w[i], f);
	return ok;
}

bool fe_onnx_save_weights(const FeOnnx *m, const char *path, Diag *d)
{
	Arena *a = arena_new();
	int n = 0;
	for (const OnxWeight *w = m->weight; w; w = w->next)
		n++;
	const OnxWeight **list = NEWN(a, const OnxWeight *, n + 1);
	RtStTensor *t = NEWN(a, RtStTensor, n + 1);
	n = 0;
	for (const OnxWeight *w = m->weight; w; w = w->next)
		list[n++] = w;
	qsort(list, (size_t)n, sizeof *list, by_width);
	for (int i = 0; i < n; i++) {
		const IrType *type = &list[i]->type;
		t[i] = (RtStTensor){ .name = list[i]->name, .dtype = dtype_of(type->dtype), .rank = type->rank,
		                     .bytes = (size_t)ir_elems(type, 1) * (size_t)dtype_size(type->dtype) };
		for (int k = 0; k < type->rank; k++)
			t[i].dim[k] = type->dim[k];
	}
	FILE *f = fopen(path, "wb");
	bool ok = f && write_all(f, list, t, n);
	ok = f && fclose(f) == 0 && ok;
	arena_free(a);
	return ok || diag_error(d, (Loc){ path, 0, 0, 0 }, "cannot write: %s", strerror(errno));
}

bool fe_onnx_set_states(const FeOnnx *m, const IrModule *module, double *const *state)
{
	int k = 0;
	IR_EACH_STATE(module, s) {
		const OnxWeight *w = m->weight;
		while (w && strcmp(w->name, s->name) != 0)
			w = w->next;
		if (!w || !ir_type_eq(&w->type, &s->type))
			return false;
		const int64_t n = ir_elems(&s->type, 1);
		for (int64_t i = 0; i < n; i++)
			state[k][i] = element(w, i);
		k++;
	}
	return true;
}

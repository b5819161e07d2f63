/* safetensors.c -- parses and makes safetensors headers (format: github.com/huggingface/safetensors, README) */
#include "runtime/safetensors.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "ir/size.h"
#include "runtime/sys.h"

static const struct {
	const char *name;
	size_t size;
} dtypes[RT_ST_COUNT] = {
	[RT_ST_F32] = {"F32", 4},   [RT_ST_F64] = {"F64", 8},         [RT_ST_F16] = {"F16", 2},
	[RT_ST_BF16] = {"BF16", 2}, [RT_ST_I64] = {"I64", 8},         [RT_ST_I32] = {"I32", 4},
	[RT_ST_I16] = {"I16", 2},   [RT_ST_I8] = {"I8", 1},           [RT_ST_U64] = {"U64", 8},
	[RT_ST_U32] = {"U32", 4},   [RT_ST_U16] = {"U16", 2},         [RT_ST_U8] = {"U8", 1},
	[RT_ST_BOOL] = {"BOOL", 1}, [RT_ST_F8_E4M3] = {"F8_E4M3", 1}, [RT_ST_F8_E5M2] = {"F8_E5M2", 1},
};

const char *rt_st_dtype_name(RtStDType t)
{
	return dtypes[t].name;
}

size_t rt_st_dtype_size(RtStDType t)
{
	return dtypes[t].size;
}

static uint64_t get_u64(const unsigned char *p)
{
	uint64_t v = 0;
	for (int i = 0; i < 8; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

static RtStatus parse_shape(const json_t *shape, RtStTensor *t)
{
	size_t rank = json_array_size(shape);
	if (!json_is_array(shape) || rank > RT_ST_MAX_RANK)
		return rt_fail(RT_BAD_WEIGHTS, "tensor '%s' has no shape of at most %d dimensions", t->name,
			       RT_ST_MAX_RANK);
	t->rank = (int)rank;
	for (size_t i = 0; i < rank; i++) {
		const json_t *dim = json_array_get(shape, i);
		if (!json_is_integer(dim) || json_integer_value(dim) < 0)
			return rt_fail(RT_BAD_WEIGHTS, "the shape of tensor '%s' is not made of whole numbers",
				       t->name);
		t->dim[i] = json_integer_value(dim);
	}
	return RT_OK;
}

static RtStatus parse_dtype(const json_t *dtype, RtStTensor *t)
{
	const char *text = json_string_value(dtype);
	for (int i = 0; text && i < RT_ST_COUNT; i++) {
		if (strcmp(text, dtypes[i].name) == 0) {
			t->dtype = (RtStDType)i;
			return RT_OK;
		}
	}
	return rt_fail(RT_BAD_WEIGHTS, "tensor '%s' has the unknown dtype '%.32s'", t->name, text ? text : "");
}

static RtStatus parse_tensor(const char *name, const json_t *entry, const unsigned char *data, size_t length,
			     RtStTensor *t)
{
	t->name = name;
	if (!json_is_object(entry))
		return rt_fail(RT_BAD_WEIGHTS, "the entry of tensor '%s' is not an object", name);
	RtStatus s = parse_dtype(json_object_get(entry, "dtype"), t);
	if (s == RT_OK)
		s = parse_shape(json_object_get(entry, "shape"), t);
	if (s != RT_OK)
		return s;
	const json_t *at = json_object_get(entry, "data_offsets");
	const json_t *from = json_array_get(at, 0), *to = json_array_get(at, 1);
	if (json_array_size(at) != 2 || !json_is_integer(from) || !json_is_integer(to))
		return rt_fail(RT_BAD_WEIGHTS, "tensor '%s' has no data_offsets", name);
	json_int_t begin = json_integer_value(from), end = json_integer_value(to);
	size_t want;
	if (begin < 0 || end < begin || (uint64_t)end > length)
		return rt_fail(RT_BAD_WEIGHTS, "the bytes of tensor '%s' lie outside the file", name);
	if (!size_of_dims(t->dim, t->rank, dtypes[t->dtype].size, &want) || want != (uint64_t)(end - begin))
		return rt_fail(RT_BAD_WEIGHTS, "tensor '%s' has %lld bytes, not what its shape says", name,
			       (long long)(end - begin));
	t->data = data + begin;
	t->bytes = want;
	return RT_OK;
}

static int by_place(const void *a, const void *b)
{
	const RtStTensor *x = a, *y = b;
	if (x->data != y->data)
		return x->data < y->data ? -1 : 1;
	return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* Every byte of the data belongs to exactly one tensor: no other file can hide in this one. */
static RtStatus check_cover(RtSafetensors *st, const unsigned char *data, size_t length)
{
	qsort(st->tensor, (size_t)st->ntensors, sizeof *st->tensor, by_place);
	const unsigned char *at = data;
	for (int i = 0; i < st->ntensors; i++) {
		if (st->tensor[i].data != at)
			return rt_fail(RT_BAD_WEIGHTS, "the bytes of tensor '%s' overlap others or leave a hole",
				       st->tensor[i].name);
		at += st->tensor[i].bytes;
	}
	if (at != data + length)
		return rt_fail(RT_BAD_WEIGHTS, "%zu bytes at the end belong to no tensor",
			       (size_t)(data + length - at));
	return RT_OK;
}

static RtStatus parse_entries(RtSafetensors *st, const unsigned char *data, size_t length)
{
	json_t *root = st->json, *entry;
	const char *key;
	st->tensor = rt_sys.alloc((json_object_size(root) + 1) * sizeof *st->tensor);
	if (!st->tensor)
		return rt_fail(RT_NOMEM, "out of memory for the table of %zu tensors", json_object_size(root));
	json_object_foreach(root, key, entry)
	{
		RtStatus s = RT_OK;
		if (strcmp(key, "__metadata__") != 0)
			s = parse_tensor(key, entry, data, length, &st->tensor[st->ntensors++]);
		else if (!json_is_object(entry))
			s = rt_fail(RT_BAD_WEIGHTS, "__metadata__ is not an object");
		if (s != RT_OK)
			return s;
	}
	return check_cover(st, data, length);
}

RtStatus rt_st_parse(const void *bytes, size_t length, RtSafetensors *out)
{
	*out = (RtSafetensors){.length = length};
	if (length < 8)
		return rt_fail(RT_BAD_WEIGHTS, "a safetensors file has at least 8 bytes, this one %zu", length);
	uint64_t header = get_u64(bytes);
	if (header > RT_ST_MAX_HEADER || header > length - 8)
		return rt_fail(RT_BAD_WEIGHTS,
			       "not a safetensors file, or cut short: the header should have %llu bytes",
			       (unsigned long long)header);
	const char *text = (const char *)bytes + 8;
	if (header == 0 || text[0] != '{')
		return rt_fail(RT_BAD_WEIGHTS, "not a safetensors file: the header does not start with '{'");
	json_error_t error;
	out->json = json_loadb(text, (size_t)header, JSON_REJECT_DUPLICATES, &error);
	RtStatus s = RT_OK;
	if (!out->json)
		s = rt_fail(RT_BAD_WEIGHTS, "the header is not valid JSON at byte %d: %s", error.position, error.text);
	else
		s = parse_entries(out, (const unsigned char *)bytes + 8 + header, length - 8 - (size_t)header);
	if (s != RT_OK)
		rt_st_free(out);
	return s;
}

void rt_st_free(RtSafetensors *st)
{
	rt_sys.release(st->tensor);
	json_decref(st->json);
	*st = (RtSafetensors){0};
}

const RtStTensor *rt_st_find(const RtSafetensors *st, const char *name)
{
	for (int i = 0; i < st->ntensors; i++) {
		if (strcmp(st->tensor[i].name, name) == 0)
			return &st->tensor[i];
	}
	return NULL;
}

const char *rt_st_meta(const RtSafetensors *st, const char *key)
{
	return json_string_value(json_object_get(json_object_get(st->json, "__metadata__"), key));
}

/* ---- values ---- */

static double half_value(uint16_t h)
{
	unsigned exponent = h >> 10 & 31, fraction = h & 1023;
	double sign = h >> 15 ? -1.0 : 1.0;
	if (exponent == 31)
		return fraction ? (double)__builtin_nanf("") : sign * (double)__builtin_inff();
	if (exponent == 0)
		return sign * fraction / 16777216.0;
	double scale = 1.0;
	for (unsigned e = exponent; e < 15; e++)
		scale /= 2;
	for (unsigned e = 15; e < exponent; e++)
		scale *= 2;
	return sign * scale * (1.0 + fraction / 1024.0);
}

double rt_st_value(const RtStTensor *t, size_t i)
{
	uint16_t h;
	uint32_t u;
	float f;
	double d;
	switch (t->dtype) {
	case RT_ST_F32:
		memcpy(&f, t->data + 4 * i, 4);
		return f;
	case RT_ST_F64:
		memcpy(&d, t->data + 8 * i, 8);
		return d;
	case RT_ST_F16:
		memcpy(&h, t->data + 2 * i, 2);
		return half_value(h);
	case RT_ST_BF16:
		memcpy(&h, t->data + 2 * i, 2);
		u = (uint32_t)h << 16;
		memcpy(&f, &u, 4);
		return f;
	default:
		return 0;
	}
}

/* ---- the header of a new file ---- */

static json_t *make_meta(const char *const *meta)
{
	json_t *object = json_object();
	for (; meta && meta[0]; meta += 2) {
		if (json_object_set_new(object, meta[0], json_string(meta[1])) != 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

static bool add_entry(json_t *root, const RtStTensor *t, size_t *at)
{
	json_t *shape = json_array();
	for (int i = 0; i < t->rank; i++)
		json_array_append_new(shape, json_integer(t->dim[i]));
	json_t *entry = json_pack("{s:s, s:o, s:[I,I]}", "dtype", dtypes[t->dtype].name, "shape", shape, "data_offsets",
				  (json_int_t)*at, (json_int_t)(*at + t->bytes));
	if (!entry)
		return false;
	*at += t->bytes;
	return json_object_set_new(root, t->name, entry) == 0;
}

RtStatus rt_st_header(const RtStTensor *tensor, int n, const char *const *meta, unsigned char **out, size_t *out_length)
{
	json_t *root = json_object(), *about = make_meta(meta);
	bool ok = about && json_object_set_new(root, "__metadata__", about) == 0;
	size_t at = 0;
	for (int i = 0; i < n && ok; i++)
		ok = add_entry(root, &tensor[i], &at);
	char *text = ok ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	size_t length = text ? strlen(text) : 0, padded = (length + 7) & ~(size_t)7;
	unsigned char *header = text ? rt_sys.alloc(8 + padded) : NULL;
	if (header) {
		for (int i = 0; i < 8; i++)
			header[i] = (unsigned char)(padded >> 8 * i);
		memset(header + 8, ' ', padded);
		memcpy(header + 8, text, length);
	}
	free(text);
	*out = header;
	*out_length = 8 + padded;
	return header ? RT_OK : rt_fail(RT_NOMEM, "out of memory for the header of %d tensors", n);
}

/* weight_h5.c -- reads HDF5 files of Keras 2 and 3: weights alone, or whole models
 *
 * in:  the bytes of the file, given to libhdf5 as memory      out: every variable of a layer, named by the layers it lies in
 * not: external and soft links, external storage, virtual datasets, filters that are plugins: refused before anything follows
 *      them. Expansions are bounded by what is stored.
 *
 * Keras 2 (and Keras 3's .h5 of whole models):  [model_weights/]LAYER/…/LAYER/kernel[:0]
 * Keras 3:                                      layers/KEY/vars/0, the attribute `name` of vars being the layer's name
 */
#include <H5PLextern.h>
#include <hdf5.h>
#include <string.h>
#include "frontend/weight_file.h"
#include "ir/size.h"

enum { MAX_DEPTH = 24, MAX_OBJECTS = 400000, SLAB = 32 << 20, MAX_CHUNK = 256 << 20, MAX_RATIO = 1000, FLOOR = 1 << 20 };

typedef struct H5 {
	hid_t file;
	const char **path;  /* of each tensor in the file */
	size_t stored;      /* bytes of all datasets */
	int objects, room;
} H5;

static bool claims(const unsigned char *bytes, size_t length)
{
	static const unsigned char magic[8] = { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n' };
	for (size_t at = 0; at < length && length - at >= 8; at = at ? at * 2 : 512) { /* behind a user block */
		if (memcmp(bytes + at, magic, 8) == 0)
			return true;
	}
	return false;
}

/* ---- the file as memory, never copied ---- */
static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *image)
{
	(void)size, (void)op;
	return image;
}

static void *image_memcpy(void *dest, const void *src, size_t size, H5FD_file_image_op_t op, void *image)
{
	(void)size, (void)op, (void)image;
	return dest == src ? dest : NULL;
}

static void *image_realloc(void *p, size_t size, H5FD_file_image_op_t op, void *image)
{
	(void)p, (void)size, (void)op, (void)image;
	return NULL; /* it never grows */
}

static herr_t image_free(void *p, H5FD_file_image_op_t op, void *image)
{
	(void)p, (void)op, (void)image;
	return 0;
}

static void *image_keep(void *image)
{
	return image;
}

static herr_t image_leave(void *image)
{
	(void)image;
	return 0;
}

static hid_t open_image(const unsigned char *bytes, size_t length)
{
	void *image = (void *)bytes; /* opened for reading only */
	H5FD_file_image_callbacks_t calls = { image_malloc, image_memcpy, image_realloc, image_free, image_keep, image_leave, image };
	const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
	H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
	H5PLset_loading_state(0);
	hid_t file = -1;
	if (H5Pset_fapl_core(access, 1 << 16, 0) >= 0 && H5Pset_file_image_callbacks(access, &calls) >= 0 &&
	    H5Pset_file_image(access, image, length) >= 0)
		file = H5Fopen("weights", H5F_ACC_RDONLY, access);
	H5Pclose(access);
	return file;
}

/* ---- types and shapes ---- */
static bool float_is(hid_t type, size_t exponent, size_t mantissa)
{
	size_t sign, epos, esize, mpos, msize;
	return H5Tget_fields(type, &sign, &epos, &esize, &mpos, &msize) >= 0 && sign == exponent + mantissa && epos == mantissa &&
	       esize == exponent && mpos == 0 && msize == mantissa && H5Tget_order(type) == H5T_ORDER_LE;
}

static bool dtype_of(hid_t type, RtStDType *out)
{
	static const RtStDType ints[2][9] = { { [1] = RT_ST_U8, [2] = RT_ST_U16, [4] = RT_ST_U32, [8] = RT_ST_U64 },
	                                      { [1] = RT_ST_I8, [2] = RT_ST_I16, [4] = RT_ST_I32, [8] = RT_ST_I64 } };
	const size_t size = H5Tget_size(type);
	switch (H5Tget_class(type)) {
	case H5T_FLOAT:
		*out = size == 4 ? RT_ST_F32 : size == 8 ? RT_ST_F64 : float_is(type, 8, 7) ? RT_ST_BF16 : RT_ST_F16;
		return size == 4 || size == 8 || (size == 2 && (float_is(type, 5, 10) || float_is(type, 8, 7)));
	case H5T_INTEGER:
		*out = size <= 8 ? ints[H5Tget_sign(type) == H5T_SGN_2][size] : RT_ST_F32;
		return *out != RT_ST_F32;
	case H5T_ENUM:
		*out = RT_ST_BOOL;
		return size == 1;
	default:
		return false;
	}
}

/* What H5Dread converts to; the narrow floats stay as they are in the file. */
static hid_t memory_type(RtStDType t)
{
	switch (t) {
	case RT_ST_F32: return H5T_NATIVE_FLOAT;
	case RT_ST_F64: return H5T_NATIVE_DOUBLE;
	case RT_ST_I8: return H5T_NATIVE_INT8;
	case RT_ST_I16: return H5T_NATIVE_INT16;
	case RT_ST_I32: return H5T_NATIVE_INT32;
	case RT_ST_I64: return H5T_NATIVE_INT64;
	case RT_ST_U8: return H5T_NATIVE_UINT8;
	case RT_ST_U16: return H5T_NATIVE_UINT16;
	case RT_ST_U32: return H5T_NATIVE_UINT32;
	case RT_ST_U64: return H5T_NATIVE_UINT64;
	default: return -1;
	}
}

static const char *filters_problem(hid_t plist)
{
	const int n = H5Pget_nfilters(plist);
	for (int i = 0; i < n; i++) {
		unsigned flags, config;
		size_t values = 0;
		const H5Z_filter_t f = H5Pget_filter2(plist, (unsigned)i, &flags, &values, NULL, 0, NULL, &config);
		if (f != H5Z_FILTER_DEFLATE && f != H5Z_FILTER_SHUFFLE && f != H5Z_FILTER_FLETCHER32)
			return "is compressed by a filter that is not supported (gzip and shuffle are)";
	}
	return n < 0 ? "is damaged" : NULL;
}

static const char *chunk_problem(hid_t plist, size_t element)
{
	hsize_t dim[H5S_MAX_RANK];
	const int rank = H5Pget_chunk(plist, H5S_MAX_RANK, dim);
	size_t bytes = element;
	for (int i = 0; i < rank; i++) {
		if (dim[i] == 0 || !size_mul(bytes, (size_t)dim[i], &bytes) || bytes > MAX_CHUNK)
			return "has pieces of more than 256 MiB";
	}
	return rank < 1 ? "is damaged" : NULL;
}

/* Before the dataset's space or bytes are asked for: those could lead out of the file. */
static const char *storage_problem(hid_t plist, size_t element)
{
	const H5D_layout_t layout = H5Pget_layout(plist);
	if (layout == H5D_VIRTUAL)
		return "is a virtual dataset: its values lie in other files";
	if (layout != H5D_COMPACT && layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED)
		return "is damaged";
	if (H5Pget_external_count(plist) != 0)
		return "has its values in another file";
	if (layout == H5D_CHUNKED && chunk_problem(plist, element))
		return chunk_problem(plist, element);
	return filters_problem(plist);
}

static const char *shape_of(hid_t set, int *rank, int64_t *dim)
{
	hsize_t extent[H5S_MAX_RANK];
	const hid_t space = H5Dget_space(set);
	const bool simple = space >= 0 && (H5Sget_simple_extent_type(space) == H5S_SIMPLE || H5Sget_simple_extent_type(space) == H5S_SCALAR);
	*rank = simple ? H5Sget_simple_extent_dims(space, extent, NULL) : -1;
	if (space >= 0)
		H5Sclose(space);
	for (int i = 0; i < *rank && i < RT_ST_MAX_RANK; i++) {
		if (extent[i] > INT64_MAX)
			return "has a shape that is too large";
		dim[i] = (int64_t)extent[i];
	}
	return *rank < 0 ? "has no shape" : *rank > RT_ST_MAX_RANK ? "has too many dimensions" : NULL;
}

static const char *size_problem(WeightIn *in, hid_t set, size_t element, int rank, const int64_t *dim)
{
	H5 *h = in->state;
	size_t bytes;
	const size_t stored = (size_t)H5Dget_storage_size(set);
	if (!size_of_dims(dim, rank, element, &bytes))
		return "has a shape that is too large";
	if (stored > in->length || !size_add(h->stored, stored, &h->stored) || h->stored > in->length)
		return "claims more bytes than the file has";
	if (bytes > FLOOR && bytes / MAX_RATIO > stored)
		return "would expand to more than 1000 times what is stored";
	return NULL;
}

/* ---- the tree ---- */
typedef struct Walk {
	WeightIn *in;
	const char *path, *name; /* in the file; with dots, as names of tensors have it */
	int depth;
	bool ok;
} Walk;

/* stem.sequential.stem.kernel is stem.kernel: Keras repeats the layer, with what it lies in. */
static const char *short_name(const char *name)
{
	const size_t n = strcspn(name, ".");
	const char *best = name, *last = strrchr(name, '.');
	for (const char *p = strchr(name, '.'); p && p < last; p = strchr(p + 1, '.')) {
		if (strncmp(p + 1, name, n) == 0 && p[1 + n] == '.')
			best = p + 1;
	}
	return best;
}

static bool add_dataset(WeightIn *in, hid_t set, const char *path, const char *name)
{
	H5 *h = in->state;
	RtStDType dtype = RT_ST_F32;
	int64_t dim[RT_ST_MAX_RANK];
	int rank = 0;
	const hid_t type = H5Dget_type(set), plist = H5Dget_create_plist(set);
	const bool typed = type >= 0 && dtype_of(type, &dtype);
	const size_t element = rt_st_dtype_size(dtype);
	const char *why = plist < 0 ? "is damaged" : storage_problem(plist, type >= 0 && H5Tget_size(type) ? H5Tget_size(type) : 1);
	if (!why && !typed)
		why = "holds no numbers";
	if (!why)
		why = shape_of(set, &rank, dim);
	if (!why)
		why = size_problem(in, set, element, rank, dim);
	if (type >= 0)
		H5Tclose(type);
	if (plist >= 0)
		H5Pclose(plist);
	if (why)
		return weight_fail(in, "dataset %.200s %s", path, why);
	const size_t length = strlen(name);
	if (length > 2 && strcmp(name + length - 2, ":0") == 0)
		name = arena_strndup(in->arena, name, length - 2);
	if (in->n == h->room) {
		const int room = h->room ? h->room * 2 : 64;
		h->path = arena_grow(in->arena, h->path, (size_t)h->room, (size_t)room, sizeof *h->path);
		h->room = room;
	}
	h->path[in->n] = path;
	return weight_add(in, short_name(name), dtype, rank, dim);
}

/* The attribute `name` of KEY/vars; NULL: there is none. */
static const char *given_name(WeightIn *in, hid_t group)
{
	char text[WEIGHT_MAX_NAME] = "", *longer = NULL;
	H5L_info_t link;
	if (H5Lexists(group, "vars", H5P_DEFAULT) <= 0 || H5Lget_info(group, "vars", &link, H5P_DEFAULT) < 0 ||
	    link.type != H5L_TYPE_HARD || H5Aexists_by_name(group, "vars", "name", H5P_DEFAULT) <= 0)
		return NULL;
	const hid_t attr = H5Aopen_by_name(group, "vars", "name", H5P_DEFAULT, H5P_DEFAULT);
	const hid_t type = attr >= 0 ? H5Aget_type(attr) : -1, space = attr >= 0 ? H5Aget_space(attr) : -1;
	if (type >= 0 && H5Tget_class(type) == H5T_STRING && space >= 0 && H5Sget_simple_extent_npoints(space) == 1) {
		if (H5Tis_variable_str(type) > 0) {
			if (H5Aread(attr, type, &longer) >= 0 && longer && strlen(longer) < sizeof text)
				memcpy(text, longer, strlen(longer) + 1);
			if (longer)
				H5free_memory(longer);
		} else if (H5Tget_size(type) < sizeof text) {
			H5Aread(attr, type, text);
		}
	}
	if (space >= 0)
		H5Sclose(space);
	if (type >= 0)
		H5Tclose(type);
	if (attr >= 0)
		H5Aclose(attr);
	return *text ? arena_strdup(in->arena, text) : NULL;
}

static herr_t visit(hid_t group, const char *key, const H5L_info_t *link, void *to);

static bool walk(Walk *w, hid_t group)
{
	hsize_t at = 0;
	return H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, &at, visit, w) >= 0 && w->ok;
}

static bool visit_group(Walk *w, hid_t group, const char *key, const char *path)
{
	WeightIn *in = w->in;
	static const char *const containers[] = { "layers", "_layer_checkpoint_dependencies", "vars", "model_weights" };
	bool own = true;
	for (size_t i = 0; i < COUNT(containers); i++)
		own = own && strcmp(key, containers[i]) != 0;
	const char *given = own ? given_name(in, group) : NULL, *name = given ? given : key;
	if (own)
		name = *w->name ? arena_printf(in->arena, "%s.%s", w->name, name) : name;
	else
		name = w->name;
	if (w->depth == MAX_DEPTH)
		return weight_fail(in, "more than %d groups inside each other", MAX_DEPTH);
	Walk inner = { in, path, name, w->depth + 1, true };
	return walk(&inner, group) || (*in->why == '\0' && weight_fail(in, "group %.200s is damaged", path));
}

static herr_t visit(hid_t group, const char *key, const H5L_info_t *link, void *to)
{
	Walk *w = to;
	WeightIn *in = w->in;
	H5 *h = in->state;
	const char *path = arena_printf(in->arena, "%s/%.*s", w->path, WEIGHT_MAX_NAME, key);
	w->ok = false;
	if (strlen(path) > WEIGHT_MAX_NAME)
		return weight_fail(in, "a name of more than %d characters", WEIGHT_MAX_NAME), -1;
	if (++h->objects > MAX_OBJECTS)
		return weight_fail(in, "more than %d objects", MAX_OBJECTS), -1;
	if (link->type != H5L_TYPE_HARD)
		return weight_fail(in, "%.200s is %s link: weights lie in the file itself", path,
		                   link->type == H5L_TYPE_SOFT ? "a soft" : "an external"), -1;
	/* state of random numbers is no weight */
	if (strncmp(key, "seed_generator", 14) == 0)
		return w->ok = true, 0;
	const hid_t object = H5Oopen(group, key, H5P_DEFAULT);
	if (object < 0)
		return weight_fail(in, "%.200s is damaged", path), -1;
	const H5I_type_t type = H5Iget_type(object);
	w->ok = type == H5I_GROUP     ? visit_group(w, object, key, path)
	        : type == H5I_DATASET ? add_dataset(in, object, path, *w->name ? arena_printf(in->arena, "%s.%s", w->name, key) : key)
	                              : weight_fail(in, "%.200s is neither a group nor a dataset", path);
	H5Oclose(object);
	return w->ok ? 0 : -1;
}

/* The weights lie below one of these; what stands beside it is the optimizer's. */
static bool walk_file(WeightIn *in, hid_t file)
{
	static const char *const roots[] = { "model_weights", "layers", "_layer_checkpoint_dependencies" };
	for (size_t i = 0; i < COUNT(roots); i++) {
		H5L_info_t link;
		if (H5Lexists(file, roots[i], H5P_DEFAULT) <= 0)
			continue;
		Walk w = { in, "", "", 0, true };
		if (H5Lget_info(file, roots[i], &link, H5P_DEFAULT) < 0)
			return weight_fail(in, "%s is damaged", roots[i]);
		return visit(file, roots[i], &link, &w) == 0;
	}
	Walk w = { in, "", "", 0, true };
	return walk(&w, file) || (*in->why == '\0' && weight_fail(in, "the file is damaged"));
}

static bool list(WeightIn *in)
{
	H5 *h = NEW(in->arena, H5);
	in->state = h;
	h->file = open_image(in->bytes, in->length);
	if (h->file < 0)
		return weight_fail(in, "the HDF5 file is damaged or cut off");
	return walk_file(in, h->file);
}

/* ---- bytes ---- */
static int64_t rows_at_once(hid_t set, int64_t rows, size_t row)
{
	const hid_t plist = H5Dget_create_plist(set);
	hsize_t chunk[H5S_MAX_RANK] = { 1 };
	if (plist >= 0 && H5Pget_layout(plist) == H5D_CHUNKED)
		H5Pget_chunk(plist, H5S_MAX_RANK, chunk);
	if (plist >= 0)
		H5Pclose(plist);
	const int64_t step = chunk[0] < (hsize_t)rows ? (int64_t)chunk[0] : rows, fit = (int64_t)(SLAB / (row ? row : 1)) / step * step;
	return fit > step ? fit : step;
}

static bool read_rows(WeightIn *in, hid_t set, hid_t type, const RtStTensor *t, Arena *scratch)
{
	const int64_t rows = t->rank ? t->dim[0] : 1;
	const size_t row = t->bytes / (size_t)rows;
	const int64_t step = t->rank && t->bytes > SLAB ? rows_at_once(set, rows, row) : rows;
	const int rank = t->rank ? t->rank : 1;
	hsize_t start[RT_ST_MAX_RANK] = { 0 }, count[RT_ST_MAX_RANK] = { 1 };
	for (int i = 0; i < t->rank; i++)
		count[i] = (hsize_t)t->dim[i];
	void *slab = arena_alloc(scratch, (size_t)step, row);
	for (int64_t at = 0; at < rows; at += step) {
		count[0] = (hsize_t)(rows - at < step ? rows - at : step);
		start[0] = (hsize_t)at;
		const hid_t from = H5Dget_space(set), to = t->rank ? H5Screate_simple(rank, count, NULL) : H5Screate(H5S_SCALAR);
		bool ok = from >= 0 && to >= 0 && (!t->rank || H5Sselect_hyperslab(from, H5S_SELECT_SET, start, NULL, count, NULL) >= 0) &&
		          H5Dread(set, type, to, from, H5P_DEFAULT, slab) >= 0;
		H5Sclose(from);
		H5Sclose(to);
		if (!ok)
			return weight_fail(in, "dataset %.200s is damaged", ((H5 *)in->state)->path[t - in->tensor]);
		if (!in->put(in, slab, (size_t)count[0] * row))
			return false;
	}
	return true;
}

static bool read(WeightIn *in, int i)
{
	H5 *h = in->state;
	const RtStTensor *t = &in->tensor[i];
	if (t->bytes == 0)
		return true;
	const hid_t set = H5Dopen2(h->file, h->path[i], H5P_DEFAULT);
	if (set < 0)
		return weight_fail(in, "dataset %.200s is damaged", h->path[i]);
	const hid_t own = H5Dget_type(set), wanted = memory_type(t->dtype);
	Arena *scratch = arena_new();
	const bool ok = read_rows(in, set, wanted < 0 ? own : wanted, t, scratch);
	arena_free(scratch);
	H5Tclose(own);
	H5Dclose(set);
	return ok;
}

static void close_file(WeightIn *in)
{
	H5 *h = in->state;
	if (h && h->file >= 0)
		H5Fclose(h->file);
}

const WeightReader weight_h5 = { "HDF5", claims, list, read, close_file };

/* dataset.c -- opening datasets, their views, classes, labels, identity and what of them can't be read
 *
 * Checks the wanted ports once, so that everything after works on rows of known size. Where samples come from is in
 * dataset_dir.c, dataset_idx.c and dataset_npy.c; how they are kept in dataset_cache.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ir/size.h"
#include "runtime/dataset.h"
#include "runtime/hash.h"
#include "runtime/random.h"
#include "runtime/sys.h"

static size_t dtype_bytes(int32_t dtype)
{
	return dtype == RT_F64 ? 8 : dtype == RT_U8 || dtype == RT_BOOL ? 1 : 4;
}

static bool port_fits(const RtPort *p)
{
	size_t bytes;
	return p->rank >= 1 && p->rank <= RT_MAX_RANK &&
	       size_of_dims(p->dim + 1, p->rank - 1, dtype_bytes(p->dtype), &bytes) && bytes == p->row_bytes &&
	       bytes > 0;
}

static bool picture_port(const RtPort *p)
{
	return p->rank == 4 && p->dtype == RT_U8 && (p->dim[3] == 1 || p->dim[3] == 3 || p->dim[3] == 4) &&
	       p->dim[1] < 1 << 24 && p->dim[2] < 1 << 24;
}

static size_t y_elems(const RtStore *s)
{
	return s->spec.yport.row_bytes / dtype_bytes(s->spec.yport.dtype);
}

/* A class index as a number, or one-hot. */
static RtStatus check_label_port(const RtStore *s)
{
	size_t n = y_elems(s);
	if (s->spec.masks)
		return RT_OK;
	if (s->spec.many)
		return n == (size_t)s->classes ? RT_OK : rt_fail(RT_BAD_DATA, "the model has %zu classes, the data has %d", n, s->classes);
	bool binary = n == 1 && s->spec.yport.dtype == RT_F32;
	if (binary && s->classes != 2)
		return rt_fail(RT_BAD_DATA, "the model tells two classes apart, the data has %d", s->classes);
	if (n > 1 && n < (size_t)s->classes)
		return rt_fail(RT_BAD_DATA, "the model has %zu classes, the data has %d", n, s->classes);
	return RT_OK;
}

static RtStatus open_source(RtStore *s)
{
	RtDataType type = s->spec.type;
	bool fits = type == RT_DATA_NPY || s->spec.nfurther == 0;
	for (int i = 0; i < s->spec.nfurther; i++)
		fits = fits && port_fits(&s->spec.further[i].port);
	if (!fits || !port_fits(&s->spec.xport) || (s->spec.has_y && !port_fits(&s->spec.yport)) ||
	    (type != RT_DATA_NPY && !picture_port(&s->spec.xport)))
		return rt_fail(RT_INTERNAL, "the model's input can't be read from this kind of data");
	const char *needed = type == RT_DATA_IMAGES ? s->spec.directory
			     : type == RT_DATA_IDX  ? s->spec.images
			     : type == RT_DATA_CSV  ? s->spec.file
						    : s->spec.x;
	const char *beside = type == RT_DATA_IDX ? s->spec.labels : type == RT_DATA_NPY ? s->spec.y : "";
	if (!needed || !*needed || (s->spec.has_y && !beside))
		return rt_fail(RT_USAGE, "no path is given for the data");
	RtStatus status = type == RT_DATA_IMAGES ? rt_store_open_folder(s)
			  : type == RT_DATA_IDX  ? rt_store_open_idx(s)
			  : type == RT_DATA_CSV  ? rt_store_open_csv(s)
						 : rt_store_open_npy(s);
	if (!status && s->spec.has_y && type != RT_DATA_NPY)
		status = check_label_port(s);
	return status ? status : rt_store_cache_open(s);
}

static void store_free(RtStore *s)
{
	rt_store_cache_close(s);
	for (int i = 0; i < s->classes && s->class_name; i++)
		rt_sys.release(s->class_name[i]);
	rt_sys.release(s->class_name);
	rt_sys.release(s->label);
	rt_sys.release(s->many);
	rt_sys.release(s->picture);
	rt_sys.release(s->paths);
	rt_sys.release(s->masks);
	if (s->pixels)
		rt_sys.slab_free(s->pixels, s->pixels_bytes);
	rt_npy_close(&s->x);
	rt_npy_close(&s->y);
	for (int i = 0; i < s->spec.nfurther; i++)
		rt_npy_close(&s->further[i]);
	pthread_mutex_destroy(&s->lock);
	rt_sys.release(s);
}

RtStatus rt_dataset_open(const RtDataSpec *spec, RtDataset **out)
{
	RtDataset *d = rt_sys.alloc(sizeof *d);
	RtStore *s = rt_sys.alloc(sizeof *s);
	*out = NULL;
	if (!d || !s) {
		rt_sys.release(d);
		rt_sys.release(s);
		return rt_fail(RT_NOMEM, "out of memory while opening the data");
	}
	s->spec = *spec;
	if (s->spec.nclass_names <= 0) {
		s->spec.nclass_names = 0;
		s->spec.class_names = NULL;
	}
	s->cache_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	RtStatus status = open_source(s);
	*d = (RtDataset){s, NULL, s->count, true};
	if (status) {
		rt_dataset_free(d);
		return status;
	}
	*out = d;
	return RT_OK;
}

void rt_dataset_free(RtDataset *d)
{
	if (!d)
		return;
	if (d->owner)
		store_free(d->store);
	rt_sys.release(d->index);
	rt_sys.release(d);
}

RtStatus rt_store_name_classes(RtStore *s, char *const *names, int n)
{
	s->class_name = rt_sys.alloc((size_t)n * sizeof *s->class_name);
	if (!s->class_name)
		return rt_fail(RT_NOMEM, "out of memory: %d class names", n);
	for (s->classes = 0; s->classes < n; s->classes++) {
		char number[16];
		snprintf(number, sizeof number, "%d", s->classes);
		const char *text = names ? names[s->classes] : number;
		size_t bytes = strlen(text) + 1;
		char *copy = rt_sys.alloc(bytes);
		if (!copy)
			return rt_fail(RT_NOMEM, "out of memory: %d class names", n);
		s->class_name[s->classes] = memcpy(copy, text, bytes);
	}
	return RT_OK;
}

/* ---- looking at it ---- */

int64_t rt_dataset_count(const RtDataset *d)
{
	return d->count;
}

int rt_dataset_classes(const RtDataset *d)
{
	return d->store->classes;
}

const char *rt_dataset_class(const RtDataset *d, int i)
{
	return i >= 0 && i < d->store->classes ? d->store->class_name[i] : NULL;
}

const char *rt_dataset_path(const RtDataset *d, int64_t i)
{
	const RtStore *s = d->store;
	return s->picture && i >= 0 && i < d->count ? s->paths + s->picture[rt_dataset_at(d, i)].path : NULL;
}

int32_t rt_dataset_label(const RtDataset *d, int64_t i)
{
	return d->store->label && i >= 0 && i < d->count ? d->store->label[rt_dataset_at(d, i)] : -1;
}

static void put_number(unsigned char *dst, int32_t dtype, int32_t x)
{
	float f = (float)x;
	double f64 = x;
	if (dtype == RT_F32)
		memcpy(dst, &f, sizeof f);
	else if (dtype == RT_F64)
		memcpy(dst, &f64, sizeof f64);
	else if (dtype == RT_U8 || dtype == RT_BOOL)
		*dst = (unsigned char)x;
	else
		memcpy(dst, &x, sizeof x);
}

void rt_store_y(const RtStore *s, uint32_t i, unsigned char *row)
{
	const RtPort *port = &s->spec.yport;
	size_t n = y_elems(s), width = dtype_bytes(port->dtype);
	if (s->y.base) {
		rt_npy_row(&s->y, i, port, row);
	} else if (s->many) {
		for (size_t c = 0; c < n; c++)
			put_number(row + c * width, port->dtype, s->many[i * n + c]);
	} else if (n == 1) {
		put_number(row, port->dtype, s->label[i]);
	} else {
		memset(row, 0, port->row_bytes);
		put_number(row + (size_t)s->label[i] * width, port->dtype, 1);
	}
}

bool rt_dataset_has(const RtDataset *d, int64_t i, int class)
{
	const RtStore *s = d->store;
	return s->many && class >= 0 && class < s->classes && i >= 0 && i < d->count &&
	       s->many[(size_t)rt_dataset_at(d, i) * (size_t)s->classes + (size_t)class];
}

int32_t rt_dataset_true_class(const RtDataset *d, int64_t i)
{
	const RtStore *s = d->store;
	const RtPort number = {.dtype = RT_F64, .row_bytes = y_elems(s) * sizeof(double)};
	double best = 0;
	int32_t class = -1;
	if (s->label || !s->y.base)
		return rt_dataset_label(d, i);
	double *row = rt_sys.alloc(number.row_bytes);
	if (!row)
		return -1;
	rt_npy_row(&s->y, rt_dataset_at(d, i), &number, (unsigned char *)row);
	for (size_t k = 0; k < y_elems(s); k++) {
		if (class < 0 || row[k] > best) {
			best = row[k];
			class = (int32_t)k;
		}
	}
	if (y_elems(s) == 1)
		class = best >= -0.5 && best < INT32_MAX - 1 ? (int32_t)(best + 0.5) : -1;
	rt_sys.release(row);
	return class;
}

/* ---- views ---- */

static RtStatus view_new(const RtDataset *d, const uint32_t *order, int64_t n, RtDataset **out)
{
	RtDataset *v = rt_sys.alloc(sizeof *v);
	uint32_t *index = rt_sys.alloc((size_t)n * sizeof *index);
	if (!v || !index) {
		rt_sys.release(v);
		rt_sys.release(index);
		return rt_fail(RT_NOMEM, "out of memory while splitting the data");
	}
	for (int64_t i = 0; i < n; i++)
		index[i] = rt_dataset_at(d, order[i]);
	*v = (RtDataset){d->store, index, n, false};
	*out = v;
	return RT_OK;
}

RtStatus rt_dataset_split(RtDataset *d, double fraction, uint64_t seed, RtDataset **out_train,
			  RtDataset **out_validation)
{
	*out_train = *out_validation = NULL;
	if (!(fraction > 0 && fraction < 1))
		return rt_fail(RT_USAGE, "validation_split is %g, it must lie between 0 and 1", fraction);
	int64_t held = (int64_t)(fraction * (double)d->count), kept = d->count - held;
	if (held < 1 || kept < 1)
		return rt_fail(RT_BAD_DATA, "validation_split %g of %lld samples leaves none for %s", fraction,
			       (long long)d->count, held < 1 ? "validation" : "training");
	uint32_t *order = rt_sys.alloc((size_t)d->count * sizeof *order);
	if (!order)
		return rt_fail(RT_NOMEM, "out of memory while splitting the data");
	rt_permutation(seed, 0, RT_STREAM_SPLIT, (uint32_t)d->count, order);
	RtStatus status = view_new(d, order, kept, out_train);
	if (!status)
		status = view_new(d, order + kept, held, out_validation);
	if (status) {
		rt_dataset_free(*out_train);
		*out_train = NULL;
	}
	rt_sys.release(order);
	return status;
}

/* ---- identity ---- */

static void add_int(RtHash *h, int64_t x)
{
	unsigned char bytes[8];
	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char)((uint64_t)x >> (8 * i));
	rt_hash_add(h, bytes, sizeof bytes);
}

/* All of a small array; of a large one 1,024 pieces spread over it, so that opening stays quick. */
static void add_array(RtHash *h, const unsigned char *bytes, size_t n)
{
	enum { PIECE = 4096, PIECES = 1024 };
	add_int(h, (int64_t)n);
	if (n <= (size_t)PIECE * PIECES) {
		rt_hash_add(h, bytes, n);
		return;
	}
	for (size_t i = 0; i < PIECES; i++)
		rt_hash_add(h, bytes + (n - PIECE) / (PIECES - 1) * i, PIECE);
}

void rt_dataset_hash(const RtDataset *d, unsigned char out[32])
{
	const RtStore *s = d->store;
	RtHash h;
	rt_hash_start(&h);
	add_int(&h, s->spec.type);
	add_int(&h, d->count);
	for (int i = 0; i < s->classes; i++)
		rt_hash_add(&h, s->class_name[i], strlen(s->class_name[i]) + 1);
	for (int64_t i = 0; i < d->count && (s->label || s->picture || d->index); i++) {
		uint32_t k = rt_dataset_at(d, i);
		add_int(&h, s->label ? s->label[k] : -1);
		if (s->many)
			rt_hash_add(&h, s->many + (size_t)k * (size_t)s->classes, (size_t)s->classes);
		if (d->index)
			add_int(&h, k);
		if (!s->picture)
			continue;
		const char *name = s->paths + s->picture[k].path + s->root;
		rt_hash_add(&h, name, strlen(name) + 1);
		add_int(&h, s->picture[k].size);
	}
	if (s->pixels)
		add_array(&h, s->pixels, s->pixels_bytes);
	if (s->x.base)
		add_array(&h, s->x.data, s->x.bytes);
	if (s->y.base)
		add_array(&h, s->y.data, s->y.bytes);
	for (int i = 0; i < s->spec.nfurther; i++)
		add_array(&h, s->further[i].data, s->further[i].bytes);
	rt_hash_end(&h, out);
}

/* ---- what can't be read ---- */

int64_t rt_dataset_bad(const RtDataset *d)
{
	int64_t n = 0;
	for (int64_t i = 0; i < d->count; i++)
		n += rt_store_state(d->store, rt_dataset_at(d, i)) == RT_SAMPLE_MET;
	return n;
}

/* In the dataset's order, whichever was met first. */
void rt_dataset_print_bad(const RtDataset *d, FILE *f, int64_t at_most)
{
	int64_t shown = 0, more = 0;
	char line[8192];
	for (int64_t i = 0; i < d->count; i++) {
		uint32_t k = rt_dataset_at(d, i);
		if (rt_store_state(d->store, k) != RT_SAMPLE_MET)
			continue;
		if (shown++ >= at_most) {
			more++;
			continue;
		}
		rt_store_reason(d->store, k, line, sizeof line);
		fprintf(f, "%s\n", line);
	}
	if (more)
		fprintf(f, "… and %lld more\n", (long long)more);
}

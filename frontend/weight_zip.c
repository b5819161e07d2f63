/* weight_zip.c -- reads archives: NumPy's .npz, and .keras, whose weights are the HDF5 file in it
 *
 * in:  the bytes of the archive, given to libzip as memory; nothing is written to a disk under a name of the archive
 * not: members named twice or by a path that leaves the archive, encrypted ones, expansions to more than 100 times
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zip.h>
#include "frontend/weight_file.h"
#include "ir/size.h"
#include "runtime/npy_header.h"

enum { MAX_RATIO = 100, FLOOR = 1 << 20, BLOCK = 1 << 16, MAX_HEADER = 1 << 16, DIRECTORY = 1 << 16 };

static const char keras_member[] = "model.weights.h5";

typedef struct Npz {
	zip_t *zip;
	zip_uint64_t *member; /* of each tensor */
	size_t *start;        /* of its data in the member */
	bool *reversed;       /* the bytes are those of the transposed array */
	int room;
} Npz;

static bool has_member(const unsigned char *bytes, size_t length, const char *name)
{
	const size_t end = length < DIRECTORY ? length : DIRECTORY; /* the directory stands at the end */
	return length > 4 && memcmp(bytes, "PK\3\4", 4) == 0 && memmem(bytes + length - end, end, name, strlen(name));
}

static bool keras_claims(const unsigned char *bytes, size_t length)
{
	return has_member(bytes, length, keras_member);
}

static bool npz_claims(const unsigned char *bytes, size_t length)
{
	return length >= 4 && (memcmp(bytes, "PK\3\4", 4) == 0 || memcmp(bytes, "PK\5\6", 4) == 0);
}

/* ---- members ---- */
static zip_t *open_zip(WeightIn *in)
{
	zip_error_t error;
	zip_error_init(&error);
	zip_source_t *source = zip_source_buffer_create(in->bytes, in->length, 0, &error);
	zip_t *zip = source ? zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error) : NULL;
	if (!zip) {
		weight_fail(in, "the archive is damaged or cut off: %s", zip_error_strerror(&error));
		zip_source_free(source);
	}
	zip_error_fini(&error);
	return zip;
}

static bool leaves(const char *name)
{
	for (const char *p = name; p; p = strchr(p, '/')) {
		p += *p == '/';
		if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
			return true;
	}
	return *name == '/' || strchr(name, '\\');
}

static bool check_member(WeightIn *in, zip_t *zip, zip_uint64_t i, zip_stat_t *st)
{
	enum { ALL = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_ENCRYPTION_METHOD };
	if (zip_stat_index(zip, i, 0, st) != 0 || (st->valid & ALL) != ALL)
		return weight_fail(in, "member %llu of the archive is damaged", (unsigned long long)i);
	if (strlen(st->name) > WEIGHT_MAX_NAME || leaves(st->name))
		return weight_fail(in, "the archive's member '%.200s' has a path that leaves the archive", st->name);
	if (zip_name_locate(zip, st->name, 0) != (zip_int64_t)i)
		return weight_fail(in, "two members of the archive are called '%.200s'", st->name);
	if (st->encryption_method != ZIP_EM_NONE)
		return weight_fail(in, "the archive's member '%.200s' is encrypted", st->name);
	if (st->comp_size > in->length || (st->size > FLOOR && st->size / MAX_RATIO > st->comp_size))
		return weight_fail(in, "the archive's member '%.200s' would expand to more than 100 times its size", st->name);
	return true;
}

static bool members(WeightIn *in, zip_t *zip, zip_int64_t *out)
{
	*out = zip_get_num_entries(zip, 0);
	if (*out > WEIGHT_MAX_TENSORS)
		return weight_fail(in, "the archive has more than %d members", WEIGHT_MAX_TENSORS);
	return *out > 0 || weight_fail(in, "the archive is empty");
}

/* Exactly n bytes. */
static bool take(zip_file_t *f, void *out, size_t n)
{
	for (size_t done = 0; done < n;) {
		const zip_int64_t got = zip_fread(f, (char *)out + done, n - done);
		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

static bool damaged(WeightIn *in, const char *name)
{
	return weight_fail(in, "the archive's member '%.200s' is damaged or cut off", name);
}

/* ---- .npz ---- */
static bool npy_dtype(const char *text, RtStDType *out)
{
	static const struct { const char *text; RtStDType dtype; } types[] = {
		{ "<f4", RT_ST_F32 }, { "<f8", RT_ST_F64 }, { "<f2", RT_ST_F16 }, { "<i8", RT_ST_I64 }, { "<i4", RT_ST_I32 },
		{ "<i2", RT_ST_I16 }, { "|i1", RT_ST_I8 }, { "<u8", RT_ST_U64 }, { "<u4", RT_ST_U32 }, { "<u2", RT_ST_U16 },
		{ "|u1", RT_ST_U8 }, { "|b1", RT_ST_BOOL },
	};
	for (size_t i = 0; i < COUNT(types); i++) {
		if (strcmp(text, types[i].text) == 0)
			return *out = types[i].dtype, true;
	}
	return false;
}

static void npz_room(WeightIn *in, Npz *z)
{
	if (in->n < z->room)
		return;
	const size_t room = z->room ? (size_t)z->room * 2 : 64, old = (size_t)z->room;
	z->member = arena_grow(in->arena, z->member, old, room, sizeof *z->member);
	z->start = arena_grow(in->arena, z->start, old, room, sizeof *z->start);
	z->reversed = arena_grow(in->arena, z->reversed, old, room, sizeof *z->reversed);
	z->room = (int)room;
}

static bool npz_add(WeightIn *in, zip_uint64_t member, const zip_stat_t *st)
{
	Npz *z = in->state;
	RtNpyHeader h;
	RtStDType dtype;
	const size_t n = strlen(st->name), most = st->size < MAX_HEADER ? (size_t)st->size : MAX_HEADER;
	if (n < 5 || strcmp(st->name + n - 4, ".npy") != 0)
		return weight_fail(in, "the archive's member '%.200s' is no array (.npy)", st->name);
	unsigned char *bytes = arena_alloc(in->arena, most + 1, 1);
	zip_file_t *f = zip_fopen_index(z->zip, member, 0);
	const bool got = f && take(f, bytes, most);
	if (f)
		zip_fclose(f);
	if (!got)
		return damaged(in, st->name);
	if (rt_npy_header(st->name, bytes, most, &h) != RT_OK)
		return weight_fail(in, "%.400s", rt_message());
	if (!npy_dtype(h.type, &dtype))
		return weight_fail(in, "the archive's member '%.200s' has elements of type %.32s", st->name, h.type);
	npz_room(in, z);
	z->member[in->n] = member;
	z->start[in->n] = h.data;
	z->reversed[in->n] = h.fortran && h.rank > 1;
	if (!weight_add(in, arena_strndup(in->arena, st->name, n - 4), dtype, h.rank, h.dim))
		return false;
	const size_t have = st->size - h.data;
	return in->tensor[in->n - 1].bytes == have ||
	       weight_fail(in, "the archive's member '%.200s' has %zu bytes of data, not what its shape says", st->name, have);
}

static bool npz_list(WeightIn *in)
{
	Npz *z = NEW(in->arena, Npz);
	zip_int64_t n;
	in->state = z;
	z->zip = open_zip(in);
	if (!z->zip || !members(in, z->zip, &n))
		return false;
	if (zip_name_locate(z->zip, "data.pkl", ZIP_FL_NODIR) >= 0)
		return weight_fail(in, "this is a file of torch.save, which holds programs (pickle); safetensors.torch.save_file writes one to use here");
	for (zip_int64_t i = 0; i < n; i++) {
		zip_stat_t st;
		if (!check_member(in, z->zip, (zip_uint64_t)i, &st) || !npz_add(in, (zip_uint64_t)i, &st))
			return false;
	}
	return true;
}

static bool copy_member(WeightIn *in, zip_file_t *f, size_t n)
{
	unsigned char block[BLOCK];
	while (n > 0) {
		const size_t some = n < BLOCK ? n : BLOCK;
		if (!take(f, block, some))
			return damaged(in, "");
		if (!in->put(in, block, some))
			return false;
		n -= some;
	}
	return true;
}

/* Columns first: the transposed array in C order. */
static bool copy_reversed(WeightIn *in, zip_file_t *f, const RtStTensor *t)
{
	int64_t dim[RT_ST_MAX_RANK];
	int perm[RT_ST_MAX_RANK];
	Arena *scratch = arena_new();
	unsigned char *bytes = arena_alloc(scratch, t->bytes, 1), *out = arena_alloc(scratch, t->bytes, 1);
	for (int i = 0; i < t->rank; i++) {
		perm[i] = t->rank - 1 - i;
		dim[i] = t->dim[t->rank - 1 - i];
	}
	bool ok = take(f, bytes, t->bytes) || damaged(in, t->name);
	if (ok) {
		weight_permute(out, bytes, rt_st_dtype_size(t->dtype), t->rank, dim, perm);
		ok = in->put(in, out, t->bytes);
	}
	arena_free(scratch);
	return ok;
}

static bool npz_read(WeightIn *in, int i)
{
	Npz *z = in->state;
	const RtStTensor *t = &in->tensor[i];
	unsigned char head[256];
	if (t->bytes == 0)
		return true;
	zip_file_t *f = zip_fopen_index(z->zip, z->member[i], 0);
	bool ok = f != NULL;
	for (size_t left = z->start[i]; ok && left > 0;) {
		const size_t some = left < sizeof head ? left : sizeof head;
		ok = take(f, head, some);
		left -= some;
	}
	ok = ok ? (z->reversed[i] ? copy_reversed(in, f, t) : copy_member(in, f, t->bytes)) : damaged(in, t->name);
	if (f)
		zip_fclose(f);
	return ok;
}

static void npz_close(WeightIn *in)
{
	Npz *z = in->state;
	if (z && z->zip)
		zip_discard(z->zip);
}

const WeightReader weight_npz = { "NumPy archive", npz_claims, npz_list, npz_read, npz_close };

/* ---- .keras ---- */
typedef struct Keras {
	void *file; /* the HDF5 file in it */
	size_t length;
	WeightIn h5;
	bool listed;
} Keras;

static bool extract(WeightIn *in, zip_t *zip, zip_uint64_t member, size_t size)
{
	Keras *k = in->state;
	zip_file_t *f = zip_fopen_index(zip, member, 0);
	k->file = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	k->length = k->file == MAP_FAILED ? 0 : size;
	const bool ok = f && k->length && take(f, k->file, size);
	if (f)
		zip_fclose(f);
	return ok || damaged(in, keras_member);
}

static bool find_weights(WeightIn *in, zip_t *zip)
{
	zip_int64_t n, at = -1;
	zip_stat_t st, found = { .size = 0 };
	if (!members(in, zip, &n))
		return false;
	for (zip_int64_t i = 0; i < n; i++) {
		if (!check_member(in, zip, (zip_uint64_t)i, &st))
			return false;
		if (strcmp(st.name, keras_member) == 0) {
			at = i;
			found = st;
		}
	}
	if (at < 0 || found.size == 0)
		return weight_fail(in, "the archive has no %s", keras_member);
	return extract(in, zip, (zip_uint64_t)at, (size_t)found.size);
}

static bool keras_list(WeightIn *in)
{
	Keras *k = NEW(in->arena, Keras);
	in->state = k;
	zip_t *zip = open_zip(in);
	const bool found = zip && find_weights(in, zip);
	if (zip)
		zip_discard(zip);
	if (!found)
		return false;
	k->h5 = (WeightIn){ .arena = in->arena, .bytes = k->file, .length = k->length, .put = in->put, .fd = in->fd };
	k->listed = true;
	if (!weight_h5.list(&k->h5))
		return weight_fail(in, "%s: %s", keras_member, k->h5.why);
	in->tensor = k->h5.tensor;
	in->n = k->h5.n;
	return true;
}

static bool keras_read(WeightIn *in, int i)
{
	Keras *k = in->state;
	return weight_h5.read(&k->h5, i) || weight_fail(in, "%s: %s", keras_member, k->h5.why);
}

static void keras_close(WeightIn *in)
{
	Keras *k = in->state;
	if (k && k->listed)
		weight_h5.close(&k->h5);
	if (k && k->length)
		munmap(k->file, k->length);
}

const WeightReader weight_keras = { "Keras archive", keras_claims, keras_list, keras_read, keras_close };

/* init_scan.c -- what a data folder holds: parts, classes, sizes, damage and copies; see init_model.h */
#include "init_model.h"
#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "runtime/dataset.h"
#include "runtime/hash.h"
#include "runtime/pool.h"
#include "runtime/sys.h"

static const char *const part_names[INIT_PARTS][4] = {
	{"train", "training", NULL}, {"validation", "val", "valid", NULL}, {"test", "testing", NULL}};

typedef struct Picture {
	const char *path;
	int32_t label;
	int part, width, height;
	int64_t bytes;
	bool good, grey;
	const char *reason;
	unsigned char hash[32];
} Picture;

typedef struct Scan {
	Arena *arena;
	FILE *progress;
	Picture *picture;
	int64_t n;
	atomic_long done;
	RtDataset *set[INIT_PARTS];
	int label_of[INIT_PARTS][4096]; /* class of the part -> class of all */
} Scan;

/* ---- which layout ---- */
static bool is_folder(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static const char *part_folder(const char *dir, int part, Arena *a)
{
	for (int i = 0; part_names[part][i]; i++) {
		const char *path = arena_printf(a, "%s/%s", dir, part_names[part][i]);
		if (is_folder(path))
			return path;
	}
	return NULL;
}

static bool ends(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n >= m && strcmp(s + n - m, end) == 0;
}

/* The MNIST family: train-images-idx3-ubyte[.gz], t10k-labels-idx1-ubyte[.gz] … */
static void find_idx(const char *dir, InitFound *f, Arena *a)
{
	DIR *folder = opendir(dir);
	for (struct dirent *e; folder && (e = readdir(folder));) {
		bool images = strstr(e->d_name, "-images-idx") != NULL, labels = strstr(e->d_name, "-labels-idx") != NULL;
		if ((!images && !labels) || !(ends(e->d_name, "ubyte") || ends(e->d_name, "ubyte.gz")))
			continue;
		InitPart *p = &f->part[strncmp(e->d_name, "train", 5) == 0 ? 0 : 1];
		*(images ? &p->images : &p->labels) = arena_printf(a, "%s/%s", dir, e->d_name);
	}
	if (folder)
		closedir(folder);
	f->idx = f->part[0].images && f->part[0].labels;
}

static bool find_parts(const char *dir, InitFound *f, Arena *a, int *code, Diag *d)
{
	*code = RT_BAD_DATA;
	if (!is_folder(dir))
		return diag_error(d, (Loc){0}, "%s: %s", dir, errno == ENOENT ? "no such folder" : "is not a folder");
	find_idx(dir, f, a);
	if (f->idx)
		return true;
	for (int i = 0; i < INIT_PARTS; i++)
		f->part[i].directory = part_folder(dir, i, a);
	if (!f->part[0].directory) {
		memset(f->part, 0, sizeof f->part);
		f->part[0].directory = dir;
	} else if (!f->part[1].directory) { /* Keras users call it test */
		f->part[1] = f->part[2];
		f->part[2] = (InitPart){0};
	}
	return true;
}

/* ---- pictures ---- */
static unsigned char *read_file(const char *path, size_t *n, const char **reason)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	unsigned char *bytes = NULL;
	*reason = NULL;
	if (f && fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode))
		bytes = malloc((size_t)st.st_size + 1);
	if (bytes) {
		*n = fread(bytes, 1, (size_t)st.st_size, f);
	} else {
		*reason = strerror(errno);
	}
	if (f)
		fclose(f);
	return bytes;
}

static bool is_grey(const RtImage *image)
{
	const unsigned char *p = image->pixels;
	for (int64_t i = 0; i < (int64_t)image->width * image->height; i++, p += 3) {
		if (p[0] != p[1] || p[1] != p[2])
			return false;
	}
	return true;
}

static void look_at(void *arg, uint32_t part, void *scratch)
{
	Scan *s = arg;
	Picture *p = &s->picture[part];
	size_t n = 0;
	const char *reason;
	unsigned char *bytes = read_file(p->path, &n, &reason);
	RtImage image;
	(void)scratch;
	if (!bytes) {
		p->reason = strdup(reason);
	} else if (rt_image_decode(bytes, n, 3, 0, 0, 0, false, &image) != RT_OK) {
		p->reason = strdup(rt_message());
	} else {
		*p = (Picture){.path = p->path, .label = p->label, .part = p->part, .width = image.width,
		               .height = image.height, .good = true, .grey = is_grey(&image)};
		rt_hash(bytes, n, p->hash);
		rt_sys.release(image.pixels);
	}
	p->bytes = (int64_t)n;
	free(bytes);
	long done = atomic_fetch_add(&s->done, 1) + 1;
	if (s->progress && (done % 100 == 0 || done == s->n))
		fprintf(s->progress, "\r%ld of %ld pictures", done, (long)s->n);
}

static int by_hash(const void *x, const void *y)
{
	const Picture *a = *(Picture *const *)x, *b = *(Picture *const *)y;
	int order = memcmp(a->hash, b->hash, sizeof a->hash);
	return order ? order : a->part != b->part ? a->part - b->part : strcmp(a->path, b->path);
}

static void find_copies(Scan *s, InitFound *f)
{
	Picture **sorted = NEWN(s->arena, Picture *, s->n + 1);
	int64_t n = 0;
	for (int64_t i = 0; i < s->n; i++) {
		if (s->picture[i].good)
			sorted[n++] = &s->picture[i];
	}
	qsort(sorted, (size_t)n, sizeof *sorted, by_hash);
	for (int64_t i = 1, first = 0; i < n; i++) {
		const Picture *p = sorted[i], *q = sorted[first];
		if (memcmp(p->hash, q->hash, sizeof p->hash) != 0) {
			first = i;
			continue;
		}
		if (f->copies < INIT_EXAMPLES) {
			f->copy_example[f->copies][0] = arena_strdup(s->arena, q->path);
			f->copy_example[f->copies][1] = arena_strdup(s->arena, p->path);
		}
		f->copies++;
		f->leaks += q->part == 0 && p->part != 0;
		f->contradictions += q->label != p->label;
	}
}

static int by_number(const void *x, const void *y)
{
	return *(const int *)x - *(const int *)y;
}

static void find_sizes(const Scan *s, InitFound *f)
{
	int *side = NEWN(s->arena, int, s->n + 1), *const out[] = {f->width, f->height};
	for (int axis = 0; axis < 2; axis++) {
		int64_t n = 0;
		for (int64_t i = 0; i < s->n; i++) {
			if (s->picture[i].good)
				side[n++] = axis ? s->picture[i].height : s->picture[i].width;
		}
		qsort(side, (size_t)n, sizeof *side, by_number);
		memcpy(out[axis], (int[]){n ? side[0] : 0, n ? side[n / 2] : 0, n ? side[n - 1] : 0}, 3 * sizeof(int));
	}
}

static void summarize(Scan *s, InitFound *f)
{
	f->grey = true;
	for (int64_t i = 0; i < s->n; i++) {
		Picture *p = &s->picture[i];
		f->bytes += p->bytes;
		f->grey &= p->grey || !p->good;
		if (!p->good && f->bad++ < INIT_EXAMPLES)
			f->bad_example[f->bad - 1] = arena_printf(s->arena, "%s: %s", p->path, p->reason);
		free((char *)p->reason);
	}
	find_sizes(s, f);
	find_copies(s, f);
}

/* ---- classes ---- */
static int class_of(InitFound *f, const char *name, Arena *a)
{
	for (int i = 0; i < f->nclasses; i++) {
		if (strcmp(f->class_name[i], name) == 0)
			return i;
	}
	f->class_name = arena_grow(a, f->class_name, (size_t)f->nclasses, (size_t)f->nclasses + 1, sizeof(char *));
	f->class_name[f->nclasses] = arena_strdup(a, name);
	return f->nclasses++;
}

static bool same_classes(const Scan *s, const InitFound *f, int part, Diag *d)
{
	int n = rt_dataset_classes(s->set[part]), first = rt_dataset_classes(s->set[0]);
	if (n == first && f->nclasses == first)
		return true;
	return diag_error(d, (Loc){0}, "%s has %d class folders and %s has %d of the same names; both need the same classes",
	                  f->part[0].directory, first, f->part[part].directory, n - (f->nclasses - first));
}

/* Classes and samples of a part; pictures are listed. */
static bool open_part(Scan *s, InitFound *f, int part, int *code, Diag *d)
{
	InitPart *p = &f->part[part];
	RtDataSpec spec = {.type = p->directory ? RT_DATA_IMAGES : RT_DATA_IDX, .directory = p->directory, .images = p->images,
	                   .labels = p->labels, .has_y = true,
	                   .xport = {.dtype = RT_U8, .rank = 4, .dim = {0, 8, 8, 1}, .row_bytes = 64},
	                   .yport = {.dtype = RT_I32, .rank = 1, .row_bytes = 4}};
	*code = (int)rt_dataset_open(&spec, &s->set[part]);
	if (*code != RT_OK)
		return diag_error(d, (Loc){0}, "%s", rt_message());
	p->count = rt_dataset_count(s->set[part]);
	int n = rt_dataset_classes(s->set[part]);
	*code = RT_BAD_DATA;
	if (n > (int)COUNT(s->label_of[0]))
		return diag_error(d, (Loc){0}, "%s has %d class folders; at most %d are known to be meant", p->directory, n,
		                  (int)COUNT(s->label_of[0]));
	for (int i = 0; i < n; i++)
		s->label_of[part][i] = class_of(f, rt_dataset_class(s->set[part], i), s->arena);
	return same_classes(s, f, part, d);
}

static void list_pictures(Scan *s, InitFound *f)
{
	int64_t all = 0, at = 0;
	for (int part = 0; part < INIT_PARTS; part++)
		all += f->part[part].count;
	s->picture = NEWN(s->arena, Picture, all + 1);
	for (int part = 0; part < INIT_PARTS; part++) {
		f->part[part].of_class = NEWN(s->arena, int64_t, f->nclasses + 1);
		for (int64_t i = 0; i < f->part[part].count; i++) {
			int label = s->label_of[part][rt_dataset_label(s->set[part], i)];
			f->part[part].of_class[label]++;
			s->picture[at++] = (Picture){.path = rt_dataset_path(s->set[part], i), .label = label, .part = part};
		}
	}
	s->n = f->idx ? 0 : at; /* nothing to read one by one */
}

static void idx_sizes(const Scan *s, InitFound *f)
{
	const RtStore *store = s->set[0]->store;
	for (int i = 0; i < 3; i++) {
		f->width[i] = store->width;
		f->height[i] = store->height;
	}
	f->grey = store->channels == 1;
}

bool init_scan(const char *dir, FILE *progress, Arena *a, InitFound *out, int *code, Diag *d)
{
	Scan *s = NEW(a, Scan);
	RtPool *pool = NULL;
	s->arena = a;
	s->progress = progress;
	memset(out, 0, sizeof *out);
	bool ok = find_parts(dir, out, a, code, d);
	for (int i = 0; ok && i < INIT_PARTS; i++)
		ok = (!out->part[i].directory && !out->part[i].images) || open_part(s, out, i, code, d);
	if (ok && (*code = (int)rt_pool_new(0, 0, &pool)) != RT_OK)
		ok = diag_error(d, (Loc){0}, "%s", rt_message());
	if (ok) {
		list_pictures(s, out);
		rt_pool_for(pool, (uint32_t)s->n, look_at, s);
		if (progress && s->n)
			fputs("\r\033[K", progress);
		summarize(s, out);
		if (out->idx)
			idx_sizes(s, out);
	}
	rt_pool_free(pool);
	for (int i = 0; i < INIT_PARTS; i++)
		rt_dataset_free(s->set[i]);
	return ok;
}

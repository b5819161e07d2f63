/* dataset_dir.c -- folders of pictures: a class is a folder, its samples the pictures anywhere below it
 *
 * Lists names, sizes and times and opens no file. Order: classes as given or bytewise, pictures bytewise by path.
 * Hidden names and files without a picture's ending are passed over. A class folder may be a link; below it links to
 * folders are not followed, so there are no loops. What has a picture's name is a sample even if it proves to be none.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "ir/size.h"
#include "runtime/dataset.h"
#include "runtime/sys.h"

enum { PATH_BYTES = 4096, MOST_NESTED = 64 };

typedef struct Walk {
	RtStore *store;
	char path[PATH_BYTES]; /* of the folder that is being read, and then of an entry */
	size_t length;
	RtPictureRoom room;
} Walk;

static RtStatus no_memory(void)
{
	return rt_fail(RT_NOMEM, "out of memory while listing the data folder");
}

/* Doubles the array that the pointer at `array` points to until `need` elements fit. */
static bool grow(void *array, size_t *room, size_t need, size_t elem)
{
	void *old;
	size_t want = *room ? *room : 64, bytes;
	while (want < need)
		if (!size_mul(want, 2, &want))
			return false;
	if (want == *room)
		return true;
	memcpy(&old, array, sizeof old); /* whatever its type */
	void *bigger = size_mul(want, elem, &bytes) ? rt_sys.resize(old, bytes) : NULL;
	if (!bigger)
		return false;
	memcpy(array, &bigger, sizeof bigger);
	*room = want;
	return true;
}

static RtStatus push(Walk *w, const char *name, size_t *before)
{
	size_t n = strlen(name);
	*before = w->length;
	if (w->length + 1 + n >= sizeof w->path)
		return rt_fail(RT_BAD_DATA, "%s holds a path that is longer than %d bytes", w->path, PATH_BYTES);
	w->path[w->length++] = '/';
	memcpy(w->path + w->length, name, n + 1);
	w->length += n;
	return RT_OK;
}

static void pop(Walk *w, size_t before)
{
	w->length = before;
	w->path[before] = '\0';
}

RtStatus rt_store_add_picture(RtStore *s, RtPictureRoom *w, const char *path, size_t length, int32_t label)
{
	size_t room = w->pictures, labels = room, need = (size_t)s->count + 1;
	if (s->count >= UINT32_MAX - 1)
		return rt_fail(RT_BAD_DATA, "more than %u pictures", UINT32_MAX - 1);
	if (!grow(&s->picture, &room, need, sizeof *s->picture) || !grow(&s->label, &labels, need, sizeof *s->label))
		return no_memory();
	w->pictures = room;
	if (!grow(&s->paths, &w->room, w->used + length + 1, 1))
		return no_memory();
	struct stat st;
	RtPicture *p = &s->picture[s->count];
	*p = (RtPicture){.path = w->used};
	if (!rt_sys.stat(path, &st)) {
		p->size = st.st_size;
		p->changed = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec;
	}
	s->label[s->count++] = label;
	memcpy(s->paths + w->used, path, length + 1);
	w->used += length + 1;
	return RT_OK;
}

static bool is_folder(DIR *dir, const struct dirent *e, bool follow)
{
	struct stat st;
	if (e->d_type == DT_DIR)
		return true;
	if (e->d_type != DT_UNKNOWN && !(follow && e->d_type == DT_LNK))
		return false;
	return !fstatat(dirfd(dir), e->d_name, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
}

static bool is_linked_folder(DIR *dir, const struct dirent *e)
{
	return (e->d_type == DT_LNK || e->d_type == DT_UNKNOWN) && is_folder(dir, e, true);
}

static RtStatus folder_failed(const char *path)
{
	if (errno == ENOENT)
		return rt_fail(RT_BAD_DATA, "the folder %s does not exist", path);
	if (errno == ENOTDIR)
		return rt_fail(RT_BAD_DATA, "%s is not a folder", path);
	return rt_fail_errno(errno == ENOMEM ? RT_NOMEM : RT_BAD_DATA, "read the folder", path);
}

/* All pictures below w->path, in the order of the disk. */
static RtStatus list(Walk *w, int32_t label, int depth)
{
	DIR *dir = opendir(w->path);
	if (!dir)
		return folder_failed(w->path);
	RtStatus status = RT_OK;
	struct dirent *e;
	while (!status && (errno = 0, e = readdir(dir))) {
		size_t before;
		bool folder = is_folder(dir, e, false), picture = !folder && rt_image_is_known(e->d_name);
		if (e->d_name[0] == '.' || (!folder && !picture) || (picture && is_linked_folder(dir, e)))
			continue;
		status = push(w, e->d_name, &before);
		if (status)
			break;
		if (picture)
			status = rt_store_add_picture(w->store, &w->room, w->path, w->length, label);
		else if (depth == MOST_NESTED)
			status = rt_fail(RT_BAD_DATA, "folders nest deeper than %d at %s", MOST_NESTED, w->path);
		else
			status = list(w, label, depth + 1);
		pop(w, before);
	}
	if (!status && errno)
		status = folder_failed(w->path);
	closedir(dir);
	return status;
}

static int by_path(const void *a, const void *b, void *paths)
{
	return strcmp((char *)paths + ((const RtPicture *)a)->path, (char *)paths + ((const RtPicture *)b)->path);
}

static RtStatus list_sorted(Walk *w, int32_t label)
{
	int64_t first = w->store->count;
	RtStatus status = list(w, label, 0);
	int64_t n = w->store->count - first;
	if (!status && n)
		qsort_r(w->store->picture + first, (size_t)n, sizeof(RtPicture), by_path, w->store->paths);
	return status;
}

/* ---- the classes ---- */

typedef struct Names {
	char **name;
	size_t n, room, pictures;
} Names; /* pictures: files beside the class folders */

static RtStatus add_name(Names *names, const char *text)
{
	size_t bytes = strlen(text) + 1;
	char *copy = NULL;
	if (!grow(&names->name, &names->room, names->n + 1, sizeof *names->name) || !(copy = rt_sys.alloc(bytes)))
		return no_memory();
	memcpy(copy, text, bytes);
	names->name[names->n++] = copy;
	return RT_OK;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static RtStatus find_classes(const char *directory, Names *names)
{
	DIR *dir = opendir(directory);
	if (!dir)
		return folder_failed(directory);
	RtStatus status = RT_OK;
	struct dirent *e;
	while (!status && (errno = 0, e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		if (is_folder(dir, e, true))
			status = add_name(names, e->d_name);
		else
			names->pictures += rt_image_is_known(e->d_name);
	}
	if (!status && errno)
		status = folder_failed(directory);
	closedir(dir);
	if (names->n)
		qsort(names->name, names->n, sizeof *names->name, by_name);
	return status;
}

static RtStatus check_classes(const RtDataSpec *spec, const Names *found)
{
	if (!found->n && found->pictures)
		return rt_fail(RT_BAD_DATA,
			       "%s holds pictures, but no folders: the pictures of a class belong in a folder named "
			       "after it",
			       spec->directory);
	if (!found->n)
		return rt_fail(RT_BAD_DATA, "%s holds no class folders", spec->directory);
	for (int i = 0; spec->class_names && i < spec->nclass_names; i++)
		if (!bsearch(&spec->class_names[i], found->name, found->n, sizeof *found->name, by_name))
			return rt_fail(RT_BAD_DATA, "%s has no folder for the class %s", spec->directory,
				       spec->class_names[i]);
	if (!spec->class_names && spec->nclass_names && found->n != (size_t)spec->nclass_names)
		return rt_fail(RT_BAD_DATA, "%s holds %zu class folders, the model has %d classes", spec->directory,
			       found->n, spec->nclass_names);
	return found->n > INT32_MAX ? rt_fail(RT_BAD_DATA, "%s holds too many folders", spec->directory) : RT_OK;
}

static RtStatus list_classes(Walk *w)
{
	RtStore *s = w->store;
	for (int c = 0; c < s->classes; c++) {
		size_t before;
		int64_t first = s->count;
		RtStatus status = push(w, s->class_name[c], &before);
		if (!status)
			status = list_sorted(w, c);
		if (!status && s->count == first)
			status = rt_fail(RT_BAD_DATA, "the class folder %s holds no JPEG or PNG pictures", w->path);
		if (status)
			return status;
		pop(w, before);
	}
	return RT_OK;
}

static RtStatus open_classes(Walk *w)
{
	const RtDataSpec *spec = &w->store->spec;
	Names found = {0};
	RtStatus status = find_classes(spec->directory, &found);
	if (!status)
		status = check_classes(spec, &found);
	if (!status && spec->class_names)
		status = rt_store_name_classes(w->store, spec->class_names, spec->nclass_names);
	else if (!status)
		status = rt_store_name_classes(w->store, found.name, (int)found.n);
	for (size_t i = 0; i < found.n; i++)
		rt_sys.release(found.name[i]);
	rt_sys.release(found.name);
	return status ? status : list_classes(w);
}

static RtStatus keep_masks(RtStore *s)
{
	size_t bytes = strlen(s->spec.masks) + 1;
	s->masks = rt_sys.alloc(bytes);
	if (!s->masks)
		return no_memory();
	s->spec.masks = memcpy(s->masks, s->spec.masks, bytes);
	return s->spec.class_names ? rt_store_name_classes(s, s->spec.class_names, s->spec.nclass_names) : RT_OK;
}

/* Without labels, and with masks, every picture below the folder counts, and there are no classes. */
RtStatus rt_store_open_folder(RtStore *s)
{
	Walk w = {.store = s};
	const char *directory = s->spec.directory;
	size_t n = strlen(directory);
	while (n > 1 && directory[n - 1] == '/')
		n--;
	if (n >= sizeof w.path)
		return rt_fail(RT_BAD_DATA, "the path of the data folder is longer than %d bytes", PATH_BYTES);
	memcpy(w.path, directory, n);
	w.length = n;
	s->root = n + 1;
	RtStatus status = s->spec.has_y && !s->spec.masks ? open_classes(&w) : list_sorted(&w, -1);
	if (!status && s->spec.masks)
		status = keep_masks(s);
	if (!status && !s->count)
		status = rt_fail(RT_BAD_DATA, "%s holds no JPEG or PNG pictures", directory);
	return status;
}

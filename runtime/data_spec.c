/* data_spec.c -- reads the fields data.* */
#include "runtime/data_spec.h"

#include <stdio.h>
#include <string.h>
#include "runtime/call.h"

enum { MOST_WORKERS = 64, PATH_FIELDS = 3 };

static RtDataType type_of(const RtConfig *c)
{
	const char *type = rt_config_text(c, "data.type", "image_directory");
	return strcmp(type, "npy") == 0 ? RT_DATA_NPY : strcmp(type, "idx") == 0 ? RT_DATA_IDX :
	       strcmp(type, "csv") == 0 ? RT_DATA_CSV : RT_DATA_IMAGES;
}

static RtInterpolation interpolation_of(const RtConfig *c)
{
	static const char *const names[] = {
		[RT_BILINEAR] = "bilinear", [RT_NEAREST] = "nearest", [RT_BICUBIC] = "bicubic", [RT_AREA] = "area"};
	const char *name = rt_config_text(c, "data.interpolation", "bilinear");
	for (int i = 0; i < 4; i++) {
		if (strcmp(name, names[i]) == 0)
			return (RtInterpolation)i;
	}
	return RT_BILINEAR;
}

static RtCache cache_of(const RtConfig *c)
{
	const char *name = rt_config_text(c, "data.cache", "auto");
	return strcmp(name, "ram") == 0    ? RT_CACHE_RAM
	       : strcmp(name, "disk") == 0 ? RT_CACHE_DISK
	       : strcmp(name, "none") == 0 ? RT_CACHE_NONE
					   : RT_CACHE_AUTO;
}

RtStatus rt_data_spec(const RtConfig *c, const RtEntry *entry, RtDataSpec *out)
{
	*out = (RtDataSpec){.type = type_of(c), .interpolation = interpolation_of(c), .cache = cache_of(c)};
	int x = entry ? rt_port_find(entry->in, entry->nin, "x") : -1;
	int y = entry ? rt_port_find(entry->in, entry->nin, "y") : -1;
	if (x < 0)
		return rt_fail(RT_INTERNAL, "the model has no input 'x'");
	out->xport = entry->in[x];
	out->has_y = y >= 0;
	if (out->has_y)
		out->yport = entry->in[y];
	out->crop_to_aspect_ratio = rt_config_bool(c, "data.crop_to_aspect_ratio", false);
	out->pad_to_aspect_ratio = rt_config_bool(c, "data.pad_to_aspect_ratio", false);
	out->fast_decode = strcmp(rt_config_text(c, "data.decode", "full"), "fast") == 0;
	out->stop_on_error = strcmp(rt_config_text(c, "data.on_error", "skip"), "stop") == 0;
	out->class_names = (char **)(uintptr_t)c->model->labels; /* only read */
	out->nclass_names = (int)c->model->nlabels;
	return RT_OK;
}

static const char *split_file(const RtConfig *c, const char *split, const char *name)
{
	char path[100];
	snprintf(path, sizeof path, "data.%s.%s", split, name);
	return rt_config_get(c, path);
}

static const char *const *needed(RtDataType type)
{
	static const char *const names[][PATH_FIELDS] = {
		[RT_DATA_IMAGES] = {"directory"}, [RT_DATA_IDX] = {"images", "labels"}, [RT_DATA_NPY] = {"x", "y"},
		[RT_DATA_CSV] = {"file"}};
	return names[type];
}

bool rt_data_has_split(const RtConfig *c, const char *split)
{
	return split_file(c, split, needed(type_of(c))[0]) != NULL;
}

static const char *file_of(const RtConfig *c, const char *split, const char *name)
{
	const char *file = split_file(c, split, name);
	if (!file && strcmp(split, "train") == 0 && strcmp(name, "directory") == 0)
		file = rt_config_get(c, "data.directory");
	return file;
}

RtStatus rt_data_open(const RtConfig *c, const RtEntry *entry, const char *split, const char *directory,
		      RtDataset **out)
{
	return rt_data_open_named(c, entry, split, directory, NULL, 0, out);
}

RtStatus rt_data_open_named(const RtConfig *c, const RtEntry *entry, const char *split, const char *directory,
			    char **names, int n, RtDataset **out)
{
	RtDataSpec spec;
	*out = NULL;
	RtStatus s = rt_data_spec(c, entry, &spec);
	if (s != RT_OK)
		return s;
	if (n > 0) {
		spec.class_names = names;
		spec.nclass_names = n;
	}
	if (directory)
		spec.type = RT_DATA_IMAGES;
	for (const char *const *name = needed(spec.type); *name && !directory; name++) {
		if (!file_of(c, split, *name))
			return rt_fail(RT_USAGE, "no data is named: set data.%s.%s=…", split, *name);
	}
	spec.directory = directory ? directory : file_of(c, split, "directory");
	spec.file = split_file(c, split, "file");
	spec.path_column = rt_config_text(c, "data.columns.path", "path");
	spec.label_column = rt_config_text(c, "data.columns.label", "label");
	spec.images = split_file(c, split, "images");
	spec.labels = split_file(c, split, "labels");
	spec.x = split_file(c, split, "x");
	spec.y = split_file(c, split, "y");
	return rt_dataset_open(&spec, out);
}

RtStatus rt_check_classes(const RtModel *m, const RtDataset *d, const char *what)
{
	const RtEntry *e = rt_entry(m, "predict");
	int classes = rt_dataset_classes(d);
	if (classes == 0 || !e || e->nout == 0)
		return RT_OK;
	const RtPort *p = &e->out[0];
	int64_t outputs = p->rank > 1 ? p->dim[p->rank - 1] : 1;
	int64_t wanted = outputs == 1 ? 2 : outputs;
	if (classes == wanted)
		return RT_OK;
	return rt_fail(RT_BAD_DATA, "%s has %d classes, but the model tells %lld apart", what, classes,
		       (long long)wanted);
}

int rt_data_workers(const RtConfig *c, int threads)
{
	int64_t workers = rt_config_int(c, "data.workers", type_of(c) == RT_DATA_IMAGES || type_of(c) == RT_DATA_CSV ? threads : 0);
	return workers < 0 ? 0 : workers > MOST_WORKERS ? MOST_WORKERS : (int)workers;
}

uint64_t rt_data_seed(const RtConfig *c)
{
	return (uint64_t)rt_config_int(c, "data.seed", rt_config_int(c, "train.seed", 0));
}

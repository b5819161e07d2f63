/* data_spec.c -- reads the fields data.* */
#include "runtime/data_spec.h"

#include <stdio.h>
#include <string.h>
#include "runtime/call.h"

enum { MOST_WORKERS = 64, PATH_FIELDS = 3, MOST_COLUMNS = 4096 };

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
	if (x < 0)
		return rt_fail(RT_INTERNAL, "the model has no input 'x'");
	out->xport = entry->in[x];
	for (uint32_t i = 0; i < entry->nin; i++) {
		const char *name = entry->in[i].name;
		bool target = strcmp(name, "y") == 0 || strncmp(name, "y.", 2) == 0;
		size_t n = strlen(name);
		if ((int)i == x || strcmp(name, "id") == 0 || (n > 5 && strcmp(name + n - 5, "_next") == 0 && out->type != RT_DATA_NPY))
			continue; /* not of the data, or said already */
		if (target && !out->has_y) {
			out->has_y = true;
			out->yport = entry->in[i];
		} else if (out->nfurther < RT_DATA_ARRAYS) {
			out->further[out->nfurther++].port = entry->in[i];
		} else {
			return rt_fail(RT_INTERNAL, "the model has more than %d inputs", RT_DATA_ARRAYS);
		}
	}
	out->crop_to_aspect_ratio = rt_config_bool(c, "data.crop_to_aspect_ratio", false);
	out->pad_to_aspect_ratio = rt_config_bool(c, "data.pad_to_aspect_ratio", false);
	out->fast_decode = strcmp(rt_config_text(c, "data.decode", "full"), "fast") == 0;
	out->stop_on_error = strcmp(rt_config_text(c, "data.on_error", "skip"), "stop") == 0;
	out->many = strcmp(rt_config_text(c, "data.label_mode", "int"), "multi_label") == 0;
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

/* "data.train.x.NAME", "data.train.y.NAME": that of the port, where there are several. */
static const char *array_file(const RtConfig *c, const char *split, const RtPort *port, char path[160])
{
	bool target = strncmp(port->name, "y.", 2) == 0;
	const char *name = target ? port->name + 2 : port->name;
	if (strcmp(name, "x") == 0) /* the first input, whatever it is called */
		name = rt_config_text(c, "model.inputs.0.name", "input");
	snprintf(path, 160, "data.%s.%c.%s", split, target ? 'y' : 'x', name);
	return rt_config_get(c, path);
}

bool rt_data_has_split(const RtConfig *c, const char *split)
{
	char start[100];
	snprintf(start, sizeof start, "data.%s.x.", split);
	const char *first = type_of(c) == RT_DATA_NPY ? rt_config_match(c, start, "") : NULL;
	return split_file(c, split, needed(type_of(c))[0]) || (first && rt_config_get(c, first));
}

/* Files of the arrays beside x and y, and of those two where they are one of several. */
static RtStatus find_arrays(const RtConfig *c, const char *split, RtDataSpec *spec)
{
	char path[160];
	if (!spec->x)
		spec->x = array_file(c, split, &spec->xport, path);
	if (!spec->x)
		return rt_fail(RT_USAGE, "no data is named: set data.%s.x=…", split);
	if (spec->has_y && !spec->y && strcmp(spec->yport.name, "y") != 0 && !(spec->y = array_file(c, split, &spec->yport, path)))
		return rt_fail(RT_USAGE, "no data is named: set %s=…", path);
	if (spec->has_y && !spec->y)
		return rt_fail(RT_USAGE, "no data is named: set data.%s.y=…", split);
	for (int i = 0; i < spec->nfurther; i++) {
		spec->further[i].file = array_file(c, split, &spec->further[i].port, path);
		if (!spec->further[i].file)
			return rt_fail(RT_USAGE, "no data is named: set %s=…", path);
	}
	return RT_OK;
}

static const char *file_of(const RtConfig *c, const char *split, const char *name)
{
	const char *file = split_file(c, split, name);
	if (!file && strcmp(split, "train") == 0 && strcmp(name, "directory") == 0)
		file = rt_config_get(c, "data.directory");
	return file;
}

/* data.columns.labels: a column for each class. */
static void class_columns(const RtConfig *c, RtDataSpec *spec, const char *columns[MOST_COLUMNS])
{
	char path[64];
	spec->class_columns = columns;
	for (int i = 0; spec->many && i < MOST_COLUMNS; i++) {
		snprintf(path, sizeof path, "data.columns.labels.%d", i);
		const char *name = rt_config_get(c, path);
		if (!name)
			return;
		columns[spec->nclass_columns++] = name;
	}
}

static RtStatus mask_spec(const RtConfig *c, const char *split, RtDataSpec *spec)
{
	const RtEntry *e = rt_entry(c->model, "predict");
	const RtPort *p = e && e->nout ? &e->out[0] : NULL;
	const char *ignored = rt_config_match(c, "train.loss", ".ignore_class");
	spec->masks = split_file(c, split, "masks");
	spec->mask_classes = p && p->rank == 4 && p->dim[3] > 1 ? (int)p->dim[3] : 0; /* one output: all but 0 is the object */
	spec->mask_ignored = ignored ? (int)rt_config_int(c, ignored, -1) : -1;
	return spec->masks ? RT_OK : rt_fail(RT_USAGE, "no masks are named: set data.%s.masks=…", split);
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
	const char *columns[MOST_COLUMNS];
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
	for (const char *const *name = needed(spec.type); *name && !directory && spec.type != RT_DATA_NPY; name++) {
		if (!file_of(c, split, *name))
			return rt_fail(RT_USAGE, "no data is named: set data.%s.%s=…", split, *name);
	}
	spec.directory = directory ? directory : file_of(c, split, "directory");
	spec.file = split_file(c, split, "file");
	spec.path_column = rt_config_text(c, "data.columns.path", "path");
	spec.label_column = rt_config_text(c, "data.columns.label", "label");
	spec.images = split_file(c, split, "images");
	spec.labels = split_file(c, split, "labels");
	spec.separator = rt_config_text(c, "data.columns.separator", "|");
	class_columns(c, &spec, columns);
	if (strcmp(rt_config_text(c, "data.label_mode", "int"), "mask") == 0 && spec.has_y)
		s = mask_spec(c, split, &spec);
	spec.x = split_file(c, split, "x");
	spec.y = split_file(c, split, "y");
	if (s == RT_OK && spec.type == RT_DATA_NPY)
		s = find_arrays(c, split, &spec);
	return s != RT_OK ? s : rt_dataset_open(&spec, out);
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

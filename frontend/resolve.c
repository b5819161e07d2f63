/* resolve.c -- what one section means for another: the input, the classes, the names
 *
 * Works on checked values and fills in those that follow from others (image_size from input_shape, …), so that the
 * flat list of fields shows what is really used.
 */
#include "frontend/build.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* ---- classes ---- */

static const Val *class_list(const Val *data)
{
	const Val *v = val(data, "class_names"), *columns = val(data, "columns");
	if (v->kind != VAL_LIST && columns->kind == VAL_OBJECT && val(columns, "labels")->kind == VAL_LIST)
		return val(columns, "labels");
	return v->kind == VAL_LIST ? v : val(data, "classes");
}

static bool is_folder(const char *parent, const char *name)
{
	char path[4096];
	struct stat st;
	int n = snprintf(path, sizeof path, "%s/%s", parent, name);
	return name[0] != '.' && n > 0 && (size_t)n < sizeof path && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int64_t count_folders(const char *path)
{
	DIR *dir = opendir(path);
	if (!dir)
		return -1;
	int64_t n = 0;
	for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
		n += is_folder(path, entry->d_name);
	closedir(dir);
	return n;
}

static const char *train_folder(const Val *data)
{
	const Val *train = val(data, "train"), *v = val(data, "directory");
	if (v->kind != VAL_STRING && train->kind == VAL_OBJECT)
		v = val(train, "directory");
	return v->kind == VAL_STRING ? v->s : NULL;
}

/* Data are looked at only here, when $num_classes is used and the file does not name the classes. */
void resolve_classes(Scope *s, const Val *data)
{
	if (s->num_classes || s->why_not)
		return;
	if (!data || data->kind != VAL_OBJECT) {
		s->why_not = "there is no data section with class_names";
		return;
	}
	const Val *names = class_list(data), *type = val(data, "type");
	const char *folder = train_folder(data);
	if (names->kind == VAL_LIST && names->n > 0) {
		s->num_classes = names->n;
	} else if (type->kind != VAL_STRING || strcmp(type->s, "image_directory") != 0 || !folder) {
		s->why_not = "data has no class_names and no folder of pictures";
	} else {
		int64_t n = count_folders(folder);
		const char *problem = n < 0 ? strerror(errno) : "no folders in it";
		if (n > 0)
			s->num_classes = n;
		else
			s->why_not = arena_printf(s->arena, "data has no class_names, and %.300s can't be counted: %s", folder, problem);
	}
}

static bool check_class_names(Model *m)
{
	const Val *names = class_list(m->data);
	if (val_is_set(m->data, "class_names") && val_is_set(m->data, "classes"))
		return diag_error(m->diag, val(m->data, "classes")->key, "class_names and classes are the same; both are given");
	if (names->kind != VAL_LIST)
		return true;
	if (names->n < 2 || names->n > 65536)
		return diag_error(m->diag, names->loc, "%d class names; two or more are needed", names->n);
	const char **label = NEWN(m->arena, const char *, names->n);
	for (int i = 0; i < names->n; i++) {
		label[i] = names->item[i].s;
		for (int k = 0; k < i && names->n <= 4096; k++) {
			if (strcmp(label[k], label[i]) == 0)
				return diag_error(m->diag, names->item[i].loc, "class '%.60s' is given twice", label[i]);
		}
	}
	m->module->labels = label;
	m->module->nlabels = names->n;
	m->num_classes = names->n;
	return true;
}

/* ---- the input ---- */

static Val *find(Val *object, const char *field)
{
	return (Val *)val(object, field);
}

static bool read_type(Model *m, const Val *shape, DType dtype, IrType *out)
{
	int64_t all = 1;
	if (shape->n < 1 || shape->n >= IR_MAX_RANK)
		return diag_error(m->diag, shape->loc, "an input of %d dimensions; 1 to %d are possible", shape->n, IR_MAX_RANK - 1);
	*out = (IrType){.dtype = dtype, .rank = shape->n + 1, .dim = {IR_N}};
	for (int i = 0; i < shape->n; i++) {
		out->dim[1 + i] = (int32_t)shape->item[i].i;
		if (__builtin_mul_overflow(all, shape->item[i].i, &all) || all > INT32_MAX)
			return diag_error(m->diag, shape->loc, "an input of more than %d elements", INT32_MAX);
	}
	return true;
}

static DType dtype_of(const char *name)
{
	static const struct { const char *name; DType dtype; } table[] = {
		{"float32", DT_F32}, {"int32", DT_I32}, {"uint32", DT_U32}, {"uint8", DT_U8}, {"bool", DT_BOOL},
	};
	for (size_t i = 0; i < COUNT(table); i++) {
		if (strcmp(table[i].name, name) == 0)
			return table[i].dtype;
	}
	ICE("type %s is in the schema but not built", name);
}

/* model.inputs behind the first. */
static bool read_further(Model *m, const Val *inputs)
{
	m->further = NEWN(m->arena, ModelInput, inputs->n);
	for (int i = 1; i < inputs->n; i++) {
		const Val *v = &inputs->item[i];
		ModelInput *in = &m->further[m->nfurther];
		in->name = val_string(v, "name");
		in->loc = v->loc;
		for (int k = 0; k < i; k++) {
			if (strcmp(val_string(&inputs->item[k], "name"), in->name) == 0)
				return diag_error(m->diag, v->loc, "two inputs are called '%s'", in->name);
		}
		if (!read_type(m, val(v, "shape"), dtype_of(val_string(v, "dtype")), &in->type))
			return false;
		m->nfurther++;
	}
	return true;
}

static bool check_rank(Model *m, const Val *shape)
{
	const Val *inputs = val(m->model, "inputs");
	const bool listed = inputs->kind == VAL_LIST;
	m->input_loc = shape->loc;
	if (!read_type(m, shape, listed ? dtype_of(val_string(&inputs->item[0], "dtype")) : DT_F32, &m->input))
		return false;
	if (m->input.dtype != DT_F32 && m->data)
		return diag_error(m->diag, inputs->loc, "data for an input of %s are not supported yet", dtype_name(m->input.dtype));
	return !listed || read_further(m, inputs);
}

static const Val *given_shape(Model *m)
{
	const Val *shape = val(m->model, "input_shape"), *inputs = val(m->model, "inputs");
	m->input_name = "input";
	if (inputs->kind != VAL_LIST)
		return shape;
	m->input_name = val_string(&inputs->item[0], "name");
	return val(&inputs->item[0], "shape");
}

static bool check_inputs(Model *m)
{
	const Val *shape = val(m->model, "input_shape"), *inputs = val(m->model, "inputs");
	if (inputs->kind != VAL_LIST)
		return true;
	if (shape->kind == VAL_LIST)
		return diag_error(m->diag, shape->key, "input_shape and inputs are both given; one of them says it all");
	if (inputs->n == 0)
		return diag_error(m->diag, inputs->loc, "inputs is empty");
	if (inputs->n > MODEL_MAX_INPUTS)
		return diag_error(m->diag, inputs->loc, "%d inputs; at most %d are possible", inputs->n, MODEL_MAX_INPUTS);
	if (inputs->n != 1 && m->pictures)
		return diag_error(m->diag, inputs->loc, "several inputs come from arrays (data.type: npy), not from pictures");
	for (int i = 0; i < inputs->n; i++) {
		const Val *name = val(&inputs->item[i], "name");
		for (const char *s = name->s; *s; s++) {
			if (!isalnum((unsigned char)*s) && *s != '_')
				return diag_error(m->diag, name->loc, "'%.60s' can't be the name of an input: letters, digits and _ only", name->s);
		}
		if (i && (strcmp(name->s, "x") == 0 || strcmp(name->s, "y") == 0 || strcmp(name->s, "id") == 0))
			return diag_error(m->diag, name->loc, "an input can't be called '%s': programs use that name", name->s);
	}
	return true;
}

static int color_channels(const char *mode)
{
	return strcmp(mode, "rgb") == 0 ? 3 : strcmp(mode, "rgba") == 0 ? 4 : 1;
}

static void set_int_list(Arena *a, Val *v, const int64_t *value, int n)
{
	v->kind = VAL_LIST;
	v->n = n;
	v->item = NEWN(a, Val, n);
	for (int i = 0; i < n; i++)
		v->item[i] = (Val){.kind = VAL_INT, .i = value[i], .x = (double)value[i], .field = v->field, .loc = v->loc};
}

/* The model has no input_shape: pictures as data gives them. */
static bool shape_from_data(Model *m)
{
	const Val *size = val(m->data, "image_size"), *mode = val(m->data, "color_mode");
	int64_t dim[3] = {size->item[0].i, size->item[1].i, color_channels(mode->s)};
	Val *shape = find(m->model, "input_shape");
	set_int_list(m->arena, shape, dim, 3);
	shape->loc = size->given ? size->loc : m->model->loc;
	return check_rank(m, shape);
}

static bool shape_against_data(Model *m, const Val *shape)
{
	Val *size = find(m->data, "image_size"), *mode = find(m->data, "color_mode");
	static const char *const modes[] = {NULL, "grayscale", NULL, "rgb", "rgba"};
	if (shape->n != 3)
		return diag_error(m->diag, shape->loc, "input_shape for pictures is [height, width, channels]");
	int64_t h = shape->item[0].i, w = shape->item[1].i, c = shape->item[2].i;
	if (c > 4 || !modes[c])
		return diag_error(m->diag, shape->item[2].loc, "pictures have 1, 3 or 4 channels, not %lld", (long long)c);
	if (size->given && (size->item[0].i != h || size->item[1].i != w)) {
		diag_error(m->diag, size->loc, "data.image_size is %lldx%lld, the model's input %lldx%lld",
		           (long long)size->item[0].i, (long long)size->item[1].i, (long long)h, (long long)w);
		diag_note(m->diag, "=", "the input shape is given in line %d", shape->loc.line);
		return false;
	}
	if (mode->given && color_channels(mode->s) != c) {
		diag_error(m->diag, mode->loc, "color_mode: %s has %d channel%s, the model's input %lld", mode->s,
		           color_channels(mode->s), color_channels(mode->s) == 1 ? "" : "s", (long long)c);
		diag_note(m->diag, "=", "the input shape is given in line %d", shape->loc.line);
		return false;
	}
	set_int_list(m->arena, size, (int64_t[]){h, w}, 2);
	mode->s = modes[c];
	return true;
}

static bool resolve_input(Model *m)
{
	if (!check_inputs(m))
		return false;
	const Val *shape = given_shape(m);
	if (shape->kind == VAL_LIST && !check_rank(m, shape))
		return false;
	if (!m->pictures)
		return shape->kind == VAL_LIST ||
		       diag_error(m->diag, m->model->key, "model needs input_shape: the shape of one sample, channels last");
	if (shape->kind != VAL_LIST ? !shape_from_data(m) : !shape_against_data(m, shape))
		return false;
	if (m->input.dim[1] <= 32767 && m->input.dim[2] <= 32767)
		return true;
	return diag_error(m->diag, m->input_loc, "pictures larger than 32767x32767");
}

/* ---- data ---- */

/* The data.type that a file field of a split belongs to; NULL: none. */
const char *resolve_split_owner(const char *field)
{
	static const struct { const char *field, *type; } owner[] = {
		{"directory", "image_directory"}, {"masks", "image_directory"}, {"x", "npy"}, {"y", "npy"}, {"images", "idx"}, {"labels", "idx"}, {"file", "csv"},
	};
	for (size_t i = 0; i < COUNT(owner); i++) {
		if (strcmp(owner[i].field, field) == 0)
			return owner[i].type;
	}
	return NULL;
}

static bool check_split(Model *m, const char *type, const char *name)
{
	const Val *split = val(m->data, name);
	bool ok = true;
	for (int i = 0; split->kind == VAL_OBJECT && i < split->n; i++) {
		const Val *v = &split->item[i];
		const char *owner = v->kind == VAL_STRING ? resolve_split_owner(v->field->name) : NULL;
		if (owner && strcmp(owner, type) != 0)
			ok = diag_error(m->diag, v->key, "%s.%s is for data of type %s, not %s", name, v->field->name, owner, type);
	}
	return ok;
}

/* What `label_mode` makes of samples; masks imply theirs. */
static bool resolve_target(Model *m, const char *type)
{
	static const char *const splits[] = {"train", "validation", "test"};
	Val *mode = find(m->data, "label_mode");
	const Val *columns = val(m->data, "columns"), *masks = NULL;
	m->target = m->pictures ? TARGET_CLASS : TARGET_ARRAY;
	for (size_t i = 0; i < COUNT(splits); i++) {
		const Val *split = val(m->data, splits[i]);
		if (split->kind == VAL_OBJECT && val_is_set(split, "masks"))
			masks = val(split, "masks");
	}
	if (masks && !mode->given)
		mode->s = "mask";
	const bool mask = strcmp(mode->s, "mask") == 0, many = strcmp(mode->s, "multi_label") == 0;
	if (masks && !mask)
		return diag_error(m->diag, masks->key, "masks are for label_mode: mask, not %s", mode->s);
	if (mask && strcmp(type, "image_directory") != 0)
		return diag_error(m->diag, mode->loc, "label_mode: mask is for data of type image_directory, with masks beside directory");
	if (mask && val_number(m->data, "validation_split") > 0 && val_is_set(m->data, "directory"))
		return diag_error(m->diag, val(m->data, "directory")->key, "masks stand beside the directory of train: "
		                                                           "train: {directory: …, masks: …}");
	if (many && strcmp(type, "csv") != 0)
		return diag_error(m->diag, mode->loc, "label_mode: multi_label is for data of type csv");
	if (!many && columns->kind == VAL_OBJECT && val_is_set(columns, "labels"))
		return diag_error(m->diag, val(columns, "labels")->key, "columns.labels is for label_mode: multi_label");
	m->target = mask ? TARGET_MASK : many ? TARGET_CLASSES : m->target;
	return true;
}

static bool check_data(Model *m)
{
	const char *type = val_string(m->data, "type");
	bool ok = check_class_names(m);
	ok = resolve_target(m, type) && ok;
	ok = check_split(m, type, "train") && ok;
	ok = check_split(m, type, "validation") && ok;
	ok = check_split(m, type, "test") && ok;
	const Val *directory = val(m->data, "directory"), *train = val(m->data, "train");
	const Val *split = val(m->data, "validation_split");
	if (directory->kind == VAL_STRING && strcmp(type, "image_directory") != 0)
		ok = diag_error(m->diag, directory->key, "directory is for data of type image_directory, not %s", type);
	if (directory->kind == VAL_STRING && train->kind == VAL_OBJECT && val_is_set(train, "directory"))
		ok = diag_error(m->diag, directory->key, "data.directory and data.train.directory are both given");
	if (split->x > 0 && val(m->data, "validation")->kind == VAL_OBJECT)
		ok = diag_error(m->diag, split->key, "validation_split and data.validation are both given");
	if (val_bool(m->data, "crop_to_aspect_ratio") && val_bool(m->data, "pad_to_aspect_ratio"))
		ok = diag_error(m->diag, val(m->data, "pad_to_aspect_ratio")->key,
		                "crop_to_aspect_ratio and pad_to_aspect_ratio exclude each other");
	return ok;
}

/* ---- names ---- */

static bool name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

static bool resolve_name(Model *m, const char *file)
{
	Val *v = find(m->top, "name");
	if (v->kind != VAL_STRING) {
		const char *slash = strrchr(file, '/'), *stem = slash ? slash + 1 : file, *dot = strrchr(stem, '.');
		char *name = arena_strndup(m->arena, stem, dot && dot > stem ? (size_t)(dot - stem) : strlen(stem));
		for (char *c = name; *c; c++)
			*c = name_char(*c) ? *c : '_';
		v->kind = VAL_STRING;
		v->s = isalpha((unsigned char)*name) ? name : arena_printf(m->arena, "model_%s", name);
	}
	for (const char *c = v->s; *c; c++) {
		if (!name_char(*c) || !isalpha((unsigned char)*v->s))
			return diag_error(m->diag, v->loc,
			                  "'%.60s' can't be a model's name: a letter, then letters, digits, '_', '-' and '.'", v->s);
	}
	m->module->name = v->s;
	return true;
}

bool resolve_sections(Model *m, Scope *s, const char *file)
{
	bool ok = resolve_name(m, file);
	m->num_classes = s->num_classes;
	if (m->train && !m->data)
		ok = diag_error(m->diag, m->train->key, "train needs a data section");
	if (m->data) {
		m->pictures = strcmp(val_string(m->data, "type"), "npy") != 0;
		ok = check_data(m) && ok;
		m->module->max_n = (int32_t)val_int(m->data, "batch_size");
	} else {
		m->module->max_n = 32;
	}
	if (!resolve_input(m)) {
		m->input.rank = 0;
		return false;
	}
	return ok;
}

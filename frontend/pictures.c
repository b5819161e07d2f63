/* pictures.c -- from u8 pictures to the model's input: augment (train_step only), preprocess
 *
 * Order and formulas: keras/src/legacy/preprocessing/image.py (apply_transform, then standardize) for the generator form,
 * keras/src/layers/preprocessing/image_preprocessing/ for the list form, keras/src/applications/imagenet_utils.py for names.
 * Draws are keyed by (seed, pass, sample).
 */
#include "frontend/build.h"

#include <math.h>
#include <string.h>

/* ---- preprocess ---- */

typedef struct Standard { /* a named preprocessing */
	const char *names;
	double rescale, offset;
	bool bgr, centred, scaled;
	double mean[3], std[3];
} Standard;

static const Standard standards[] = {
	{"mobilenet|mobilenet_v2|inception_v3|xception|inception_resnet_v2|resnet_v2|nasnet", 1 / 127.5, -1,
	 false, false, false, {0}, {0}},
	{"imagenet|densenet", 1.0 / 255, 0, false, true, true, {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}},
	{"vgg16|vgg19|resnet|resnet50", 1, 0, true, true, false, {103.939, 116.779, 123.68}, {0}},
	{"efficientnet", 1, 0, false, false, false, {0}, {0}},
};

static const Standard *standard(const Val *preprocess)
{
	for (size_t i = 0; preprocess->kind == VAL_STRING && i < COUNT(standards); i++) {
		if (schema_alias_is(standards[i].names, preprocess->s))
			return &standards[i];
	}
	return NULL;
}

IrNode *pictures_channels(Build *b, const double *value, int n)
{
	IrNode *index = NULL, *out = node_k(b, value[n - 1]);
	for (int c = n - 2; c >= 0; c--) {
		if (value[c] == value[n - 1] && !index)
			continue;
		index = index ? index : node_iota(b, n);
		out = node_select(b, node2(b, OP_eq, index, node_int(b, c)), node_k(b, value[c]), out);
	}
	return out;
}

static IrNode *list_channels(Build *b, const Val *list)
{
	double value[4];
	for (int i = 0; i < list->n; i++)
		value[i] = list->item[i].x;
	return pictures_channels(b, value, list->n);
}

static IrNode *reverse_channels(Build *b, IrNode *x)
{
	IrNode *plane[3];
	for (int c = 0; c < 3; c++) {
		IrAttr attr = {.slice = {3, 2 - c, 1}};
		plane[c] = ir_node(b->e, NULL, OP_slice, b->loc, 1, &x, &attr, NULL);
	}
	return node_concat(b, plane, 3, 3);
}

static IrNode *shift(Build *b, IrNode *x, double offset)
{
	return offset == 0.0 ? x : node2(b, OP_add, x, node_k(b, offset));
}

static IrNode *apply_standard(Build *b, IrNode *x, const Standard *s)
{
	if (s->bgr)
		x = reverse_channels(b, x);
	x = shift(b, node_scaled(b, x, s->rescale), s->offset);
	if (s->centred)
		x = node2(b, OP_sub, x, pictures_channels(b, s->mean, 3));
	return s->scaled ? node2(b, OP_div, x, pictures_channels(b, s->std, 3)) : x;
}

static IrNode *apply_fields(Build *b, IrNode *x, const Val *preprocess, const Val *augment)
{
	if (augment->kind == VAL_OBJECT && val_is_set(augment, "rescale"))
		x = node_scaled(b, x, val_number(augment, "rescale"));
	if (preprocess->kind != VAL_OBJECT)
		return x;
	if (val_is_set(preprocess, "rescale"))
		x = node_scaled(b, x, val_number(preprocess, "rescale"));
	x = shift(b, x, val_number(preprocess, "offset"));
	if (val_is_set(preprocess, "mean"))
		x = node2(b, OP_sub, x, list_channels(b, val(preprocess, "mean")));
	if (val_is_set(preprocess, "std"))
		x = node2(b, OP_div, x, list_channels(b, val(preprocess, "std")));
	return x;
}

static IrNode *picture_mean(Build *b, IrNode *x, uint32_t axes)
{
	double cells = 1;
	for (int k = 1; k < 4; k++)
		cells *= axes & 1u << k ? x->type.dim[k] : 1;
	return node_scaled(b, node_reduce(b, OP_sum, x, axes, true), 1 / cells);
}

/* Per-sample normalization is part of every entry, as rescale is: a model trained with it needs it. */
static IrNode *apply_samplewise(Build *b, IrNode *x, const Val *augment)
{
	const uint32_t all = 14; /* axes 1 2 3 */
	if (val_bool(augment, "samplewise_center"))
		x = node2(b, OP_sub, x, picture_mean(b, x, all));
	if (!val_bool(augment, "samplewise_std_normalization"))
		return x;
	IrNode *centred = node2(b, OP_sub, x, picture_mean(b, x, all));
	IrNode *variance = picture_mean(b, node2(b, OP_mul, centred, centred), all);
	return node2(b, OP_div, x, shift(b, node1(b, OP_sqrt, variance), 1e-6));
}

/* ---- augment: draws ---- */

IrNode *pictures_draw(Build *b, double lo, double hi)
{
	uint32_t stream = b->m->module->next_stream++;
	IrNode *u = node_random(b, b->id, stream, 4, (int32_t[]){IR_N, 1, 1, 1});
	return shift(b, node_scaled(b, u, hi - lo), lo);
}

static IrFill fill_mode(const char *name)
{
	return strcmp(name, "constant") == 0 ? FILL_CONSTANT : strcmp(name, "reflect") == 0 ? FILL_REFLECT :
	       strcmp(name, "wrap") == 0 ? FILL_WRAP : FILL_NEAREST;
}

static IrNode *warp(Build *b, IrAttr draws, const char *fill, double cval, bool nearest)
{
	draws.affine.height = b->m->input.dim[1];
	draws.affine.width = b->m->input.dim[2];
	draws.affine.stream = b->m->module->next_stream++;
	IrNode *map = ir_node(b->e, NULL, OP_affine_draw, b->loc, 1, &b->id, &draws, NULL);
	IrAttr attr = {.warp = {.fill = fill_mode(fill), .cval = cval, .nearest = nearest}};
	b->map = map;
	b->moved = attr;
	return ir_node(b->e, NULL, OP_warp, b->loc, 2, (IrNode *[]){b->x, map}, &attr, NULL);
}

/* Masks go where their pictures went, whole pixels; what came from outside does not count, where the loss knows such a class. */
static void move_masks(Build *b, IrNode **target)
{
	const Model *m = b->m;
	for (int k = 0; k < m->nheads && target[k]; k++) {
		IrNode *mask = target[k];
		IrType t = mask->type;
		if (b->map) {
			IrAttr attr = b->moved;
			attr.warp.nearest = true;
			attr.warp.cval = m->head[k].ignores ? m->head[k].ignore : 0;
			mask = node_reshape(b, mask, 4, (int32_t[]){IR_N, t.dim[1], t.dim[2], 1});
			mask = ir_node(b->e, NULL, OP_warp, b->loc, 2, (IrNode *[]){mask, b->map}, &attr, NULL);
			mask = node_reshape(b, mask, 3, t.dim);
		}
		mask = node_cast(b, mask, DT_I32);
		if (head_classes(m, &m->head[k]) == 1) { /* one output: all but 0 is the object */
			IrNode *none = node2(b, OP_eq, mask, node_int(b, 0)), *no = node_int(b, 0);
			mask = node_select(b, none, no, node_int(b, 1));
		}
		target[k] = mask;
	}
}

/* ---- augment: ImageDataGenerator ---- */

static double fraction_of(double range, int32_t extent)
{
	return range < 1 ? range : range / extent;
}

static IrAttr generator_draws(const Model *m, const Val *a)
{
	const Val *zoom = val(a, "zoom_range");
	double z0 = zoom->item[0].x, z1 = zoom->item[zoom->n - 1].x;
	return (IrAttr){.affine = {
		.rotation = val_number(a, "rotation_range"), .shear = val_number(a, "shear_range"),
		.width_shift = fraction_of(val_number(a, "width_shift_range"), m->input.dim[2]),
		.height_shift = fraction_of(val_number(a, "height_shift_range"), m->input.dim[1]),
		.zoom_lo = zoom->n == 2 ? z0 : 1 - z0, .zoom_hi = zoom->n == 2 ? z1 : 1 + z0,
		.zoom_y_lo = zoom->n == 2 ? z0 : 1 - z0, .zoom_y_hi = zoom->n == 2 ? z1 : 1 + z0,
		.flip_h = val_bool(a, "horizontal_flip"), .flip_v = val_bool(a, "vertical_flip"),
	}};
}

static bool moves(const IrAttr *a)
{
	return a->affine.rotation != 0 || a->affine.shear != 0 || a->affine.width_shift != 0 || a->affine.height_shift != 0 ||
	       a->affine.zoom_lo != 1 || a->affine.zoom_hi != 1 || a->affine.zoom_y_lo != 1 || a->affine.zoom_y_hi != 1 || a->affine.flip_h || a->affine.flip_v;
}

/* apply_channel_shift: the same value on all channels, clipped to the picture's own range */
static IrNode *channel_shift(Build *b, IrNode *x, double range)
{
	IrNode *hi = node_reduce(b, OP_reduce_max, x, 14, true);
	IrNode *lo = node1(b, OP_neg, node_reduce(b, OP_reduce_max, node1(b, OP_neg, x), 14, true));
	IrNode *y = node2(b, OP_add, x, pictures_draw(b, -range, range));
	return node2(b, OP_min, node2(b, OP_max, y, lo), hi);
}

/* apply_brightness_shift: through PIL, which keeps whole values of 0 … 255 before and after */
static IrNode *brightness(Build *b, IrNode *x, const Val *range)
{
	IrNode *y = node2(b, OP_mul, node1(b, OP_floor, x), pictures_draw(b, range->item[0].x, range->item[1].x));
	return node1(b, OP_floor, node_clip(b, y, 0, 255));
}

static IrNode *generator(Build *b, const Val *a)
{
	IrAttr draws = generator_draws(b->m, a);
	IrNode *x = moves(&draws) ? warp(b, draws, val_string(a, "fill_mode"), val_number(a, "cval"), false) :
	                            node_cast(b, b->x, DT_F32);
	double shift_range = val_number(a, "channel_shift_range");
	if (shift_range != 0)
		x = channel_shift(b, x, shift_range);
	return val_is_set(a, "brightness_range") ? brightness(b, x, val(a, "brightness_range")) : x;
}

/* ---- augment: list of Keras layers ---- */

/* Flips, a rotation, a translation and a zoom in this order are one affine map. */
static bool is_geometric(const Val *v)
{
	return schema_alias_is("RandomFlip|RandomRotation|RandomTranslation|RandomZoom", v->section->name);
}

static void zoom_range(const Val *v, double *lo, double *hi)
{
	double a = v->item[0].x, z = v->item[v->n - 1].x;
	bool one = v->n == 1;
	a = one ? -fabs(a) : a;
	z = one ? fabs(z) : z;
	*lo = 1 + (a < z ? a : z);
	*hi = 1 + (a < z ? z : a);
}

/* Without a width_factor both directions have one draw. */
static void set_zoom(IrAttr *draws, const Val *v)
{
	const Val *width = val(v, "width_factor");
	zoom_range(val(v, "height_factor"), &draws->affine.zoom_y_lo, &draws->affine.zoom_y_hi);
	zoom_range(width->kind == VAL_LIST ? width : val(v, "height_factor"), &draws->affine.zoom_lo, &draws->affine.zoom_hi);
	draws->affine.one_zoom = width->kind != VAL_LIST;
}

static IrNode *geometric(Build *b, const Val *list)
{
	IrAttr draws = {.affine = {.zoom_lo = 1, .zoom_hi = 1, .zoom_y_lo = 1, .zoom_y_hi = 1}};
	const Val *fill = NULL;
	for (int i = 0; i < list->n; i++) {
		const Val *v = &list->item[i];
		const char *name = v->section->name;
		if (strcmp(name, "RandomFlip") == 0) {
			const char *mode = val_string(v, "mode");
			draws.affine.flip_h |= strstr(mode, "horizontal") != NULL;
			draws.affine.flip_v |= strstr(mode, "vertical") != NULL;
			continue;
		}
		if (strcmp(name, "RandomRotation") == 0)
			draws.affine.rotation = val_number(v, "factor") * 360;
		else if (strcmp(name, "RandomZoom") == 0)
			set_zoom(&draws, v);
		else if (strcmp(name, "RandomTranslation") == 0)
			draws.affine.height_shift = val_number(v, "height_factor"), draws.affine.width_shift = val_number(v, "width_factor");
		else
			continue;
		fill = v;
	}
	if (!moves(&draws))
		return node_cast(b, b->x, DT_F32);
	if (!fill)
		return warp(b, draws, "nearest", 0, false);
	const bool nearest = strcmp(val_string(fill, "interpolation"), "nearest") == 0;
	return warp(b, draws, val_string(fill, "fill_mode"), val_number(fill, "fill_value"), nearest);
}

static IrNode *layers(Build *b, const Val *list)
{
	IrNode *x = geometric(b, list);
	for (int i = 0; i < list->n; i++) {
		if (!is_geometric(&list->item[i]) && !augment_is_mixing(&list->item[i]))
			x = augment_emit(b, x, &list->item[i]);
	}
	return x;
}

/* Pictures b->x and masks `target`, changed by draws keyed by b->id; as they are outside of training. */
static IrNode *augmented(Build *b, IrNode **target)
{
	const Val *augment = val(b->m->data, "augment");
	IrNode *x;
	b->map = NULL;
	if (b->training && augment->kind == VAL_OBJECT)
		x = generator(b, augment);
	else if (b->training && augment->kind == VAL_LIST)
		x = layers(b, augment);
	else
		x = node_cast(b, b->x, DT_F32);
	if (b->m->target == TARGET_MASK)
		move_masks(b, target);
	return x;
}

/* The next sample's picture, changed as it is at its own place: by the same streams. */
static IrNode *augmented_next(Build *b, uint32_t streams)
{
	IrNode *x = b->x, *id = b->id;
	uint32_t after = b->m->module->next_stream;
	b->m->module->next_stream = streams;
	b->x = b->x_next;
	b->id = b->id_next;
	IrNode *next = augmented(b, b->target_next);
	b->x = x;
	b->id = id;
	INVARIANT(b->m->module->next_stream == after);
	return next;
}

IrNode *pictures_emit(Build *b)
{
	Model *m = b->m;
	if (!m->pictures)
		return b->x;
	const Val *preprocess = val(m->data, "preprocess"), *augment = val(m->data, "augment");
	b->loc = augment->given && b->training ? augment->loc : m->input_loc;
	uint32_t streams = m->module->next_stream;
	IrNode *x = augmented(b, b->target);
	if (b->x_next)
		x = augment_mix(b, augment_mixing(m), x, augmented_next(b, streams));
	b->loc = preprocess->given ? preprocess->loc : m->input_loc;
	const Standard *s = standard(preprocess);
	x = s ? apply_standard(b, x, s) : apply_fields(b, x, preprocess, augment);
	return augment->kind == VAL_OBJECT ? apply_samplewise(b, x, augment) : x;
}

/* ---- checks ---- */

static bool check_channels(Model *m, const Val *preprocess, const char *field)
{
	const Val *v = val(preprocess, field);
	int32_t channels_ = m->input.dim[3];
	if (v->kind != VAL_LIST || v->n == 1 || v->n == channels_)
		return true;
	return diag_error(m->diag, v->loc, "preprocess.%s has %d values for %d channels", field, v->n, channels_);
}

static bool check_preprocess(Model *m, const Val *p, const Val *augment)
{
	bool ok = true;
	const Standard *s = standard(p);
	if (s && (s->bgr || s->centred) && m->input.dim[3] != 3)
		ok = diag_error(m->diag, p->loc, "preprocess: %s is for pictures of 3 channels, not %d", p->s, m->input.dim[3]);
	if (p->kind == VAL_OBJECT) {
		ok = check_channels(m, p, "mean") && ok;
		ok = check_channels(m, p, "std") && ok;
	}
	if (augment->kind != VAL_OBJECT || !val_is_set(augment, "rescale"))
		return ok;
	if (s || (p->kind == VAL_OBJECT && val_is_set(p, "rescale")))
		ok = diag_error(m->diag, val(augment, "rescale")->loc,
		                "augment.rescale and data.preprocess are both given; use one of them");
	return ok;
}

static bool check_generator(Model *m, const Val *a)
{
	bool ok = true;
	const Val *b = val(a, "brightness_range"), *z = val(a, "zoom_range");
	if (b->kind == VAL_LIST && (b->n != 2 || b->item[0].x > b->item[1].x))
		ok = diag_error(m->diag, b->loc, "brightness_range is [smallest, largest]");
	if (z->n > 2 || (z->n == 2 && (z->item[0].x > z->item[1].x || z->item[0].x <= 0)) || (z->n == 1 && z->item[0].x >= 1))
		ok = diag_error(m->diag, z->loc, "zoom_range is a number less than 1, or [smallest, largest], greater than 0");
	return ok;
}

static bool check_layers(Model *m, const Val *list)
{
	bool ok = true, turned = false, moved = false, zoomed = false, other = false;
	const char *fill = NULL, *between = NULL;
	for (int i = 0; i < list->n; i++) {
		const Val *v = &list->item[i];
		bool geometry = is_geometric(v), mixing = augment_is_mixing(v), rotation = strcmp(v->section->name, "RandomRotation") == 0;
		bool translation = strcmp(v->section->name, "RandomTranslation") == 0;
		if (mixing && i + 1 < list->n)
			ok = diag_error(m->diag, v->loc, "%s is the last of the list: it mixes pictures that are done", v->section->name);
		if (mixing && m->target == TARGET_MASK && strcmp(v->section->name, "MixUp") == 0)
			ok = diag_error(m->diag, v->loc, "MixUp has no meaning for masks: a pixel has one class; CutMix cuts them too");
		if (geometry && other)
			ok = diag_error(m->diag, v->loc, "%s behind a change of colour is not supported yet", v->section->name);
		bool zoom = strcmp(v->section->name, "RandomZoom") == 0;
		if ((rotation && (turned || moved || zoomed)) || (translation && (moved || zoomed)) || (zoom && zoomed))
			ok = diag_error(m->diag, v->loc, "%s here is not supported yet: one rotation, one translation, one zoom, in this order",
			                v->section->name);
		ok = (mixing || augment_check(m, v)) && ok;
		if (rotation || translation || zoom) {
			const char *mode = val_string(v, "fill_mode"), *how = val_string(v, "interpolation");
			if (between && strcmp(between, how) != 0)
				ok = diag_error(m->diag, v->loc, "two interpolations in one list are not supported yet");
			between = how;
			if (fill && strcmp(fill, mode) != 0)
				ok = diag_error(m->diag, v->loc, "two fill modes in one list are not supported yet");
			fill = mode;
		}
		turned = turned || rotation;
		moved = moved || translation;
		zoomed = zoomed || zoom;
		other = other || !geometry;
	}
	return ok;
}

bool pictures_check(Model *m)
{
	if (!m->data)
		return true;
	const Val *p = val(m->data, "preprocess"), *a = val(m->data, "augment");
	bool ok = true;
	if (!m->pictures) {
		if (p->given)
			ok = diag_error(m->diag, p->key, "preprocess is for pictures; arrays are the model's own input");
		if (a->given)
			ok = diag_error(m->diag, a->key, "augment is for pictures; arrays are the model's own input");
		return ok;
	}
	ok = check_preprocess(m, p, a);
	if (a->kind == VAL_OBJECT)
		ok = check_generator(m, a) && ok;
	if (a->kind == VAL_LIST)
		ok = check_layers(m, a) && ok;
	return ok;
}

/* augment.c -- augmentation layers of the list form that change pixels where they are
 *
 * in:   pictures f32[N,H,W,C] of 0 … 255     out: the same, changed by draws keyed by (seed, pass, sample)
 * not:  those that move pixels: they become one affine map (pictures.c)
 *
 * Formulas: keras/src/layers/preprocessing/image_preprocessing/. A factor of one number f means [0, f] where Keras bounds it to
 * [0, 1], else [-f, f].
 */
#include "frontend/augment.h"

#include <string.h>

Range augment_range(const Val *v, double lowest)
{
	if (v->n == 2)
		return v->item[0].x < v->item[1].x ? (Range){v->item[0].x, v->item[1].x} : (Range){v->item[1].x, v->item[0].x};
	double f = v->item[0].x < 0 ? -v->item[0].x : v->item[0].x;
	return (Range){-f < lowest ? lowest : -f, f};
}

static IrNode *draw(Build *b, Range r)
{
	return pictures_draw(b, r.lo, r.hi);
}

/* bool[N,1,1,1]: a threshold in [0, 1) is below a probability drawn from the factor */
static IrNode *chosen(Build *b, const Val *factor)
{
	IrNode *probability = draw(b, augment_range(factor, 0));
	return node2(b, OP_lt, pictures_draw(b, 0, 1), probability);
}

static IrNode *clip_to(Build *b, IrNode *x, const Val *value_range)
{
	Range r = augment_range(value_range, 0);
	return node_clip(b, x, r.lo, r.hi);
}

static IrNode *contrast(Build *b, IrNode *x, const Val *v)
{
	double f = val_number(v, "factor");
	return augment_contrast(b, x, (Range){-f, f});
}

static IrNode *brightness(Build *b, IrNode *x, const Val *v)
{
	double f = val_number(v, "factor");
	return augment_brightness(b, x, (Range){-f, f});
}

/* rgb_to_grayscale: f32[N,H,W,1] */
static IrNode *grey(Build *b, IrNode *x)
{
	static const double weight[3] = {0.2989, 0.587, 0.114};
	return node_reduce(b, OP_sum, node2(b, OP_mul, x, pictures_channels(b, weight, 3)), 8, true);
}

static IrNode *grayscale(Build *b, IrNode *x, const Val *v)
{
	IrNode *apply = node2(b, OP_lt, pictures_draw(b, 0, 1), node_k(b, val_number(v, "factor")));
	return node_select(b, apply, grey(b, x), x);
}

static IrNode *degeneration(Build *b, IrNode *x, const Val *v)
{
	IrNode *change = node2(b, OP_sub, grey(b, x), x);
	x = node2(b, OP_add, x, node2(b, OP_mul, draw(b, augment_range(val(v, "factor"), -1)), change));
	return clip_to(b, x, val(v, "value_range"));
}

static IrNode *invert(Build *b, IrNode *x, const Val *v)
{
	IrNode *apply = chosen(b, val(v, "factor")), *most = node_k(b, val(v, "value_range")->item[1].x);
	return node_select(b, apply, node2(b, OP_sub, most, x), x);
}

/* ---- RandomErasing ---- */

/* bool: start <= index along the axis < start + length; length = ratio * extent, start uniform in what is left */
IrNode *augment_between(Build *b, int32_t extent, int axis, IrNode *ratio)
{
	int32_t dim[4] = {1, 1, 1, 1};
	dim[axis] = extent;
	IrNode *at = node_reshape(b, node_cast(b, node_iota(b, extent), DT_F32), 4, dim);
	IrNode *length = node_scaled(b, ratio, extent);
	IrNode *start = node2(b, OP_mul, pictures_draw(b, 0, 1), node2(b, OP_sub, node_k(b, extent), length));
	return node2(b, OP_and, node2(b, OP_le, start, at), node2(b, OP_lt, at, node2(b, OP_add, start, length)));
}

/* Normal noise: sqrt(-2 log(1 - u)) * cos(2 pi v) */
static IrNode *noise(Build *b, const IrType *t)
{
	uint32_t stream = b->m->module->next_stream++;
	IrNode *u = node_random(b, b->id, stream, t->rank, t->dim), *v;
	v = node_random(b, b->id, b->m->module->next_stream++, t->rank, t->dim);
	IrNode *radius = node1(b, OP_sqrt, node_scaled(b, node1(b, OP_log, node2(b, OP_sub, node_k(b, 1), u)), -2));
	return node2(b, OP_mul, radius, node1(b, OP_cos, node_scaled(b, v, 6.283185307179586)));
}

static IrNode *filling(Build *b, const IrType *t, const Val *v)
{
	const Val *fill = val(v, "fill_value"), *range = val(v, "value_range");
	double value[4];
	if (fill->kind != VAL_LIST)
		return clip_to(b, node_scaled(b, noise(b, t), range->item[1].x), range);
	for (int i = 0; i < fill->n; i++)
		value[i] = fill->item[i].x;
	return clip_to(b, pictures_channels(b, value, fill->n), range);
}

static IrNode *erasing(Build *b, IrNode *x, const Val *v)
{
	Range scale = augment_range(val(v, "scale"), 0);
	IrNode *wide = node1(b, OP_sqrt, draw(b, scale)), *high = node1(b, OP_sqrt, draw(b, scale));
	IrNode *inside = node2(b, OP_and, augment_between(b, x->type.dim[1], 1, high), augment_between(b, x->type.dim[2], 2, wide));
	IrNode *erase = node2(b, OP_and, inside, chosen(b, val(v, "factor")));
	return node_select(b, erase, filling(b, &x->type, v), x);
}

static const struct {
	const char *name;
	bool rgb; /* for three channels only */
	IrNode *(*emit)(Build *b, IrNode *x, const Val *v);
} layers[] = {
	{"RandomContrast", false, contrast}, {"RandomBrightness", false, brightness}, {"RandomErasing", false, erasing},
	{"RandomInvert", false, invert},     {"RandomGrayscale", true, grayscale},
	{"RandomColorDegeneration", true, degeneration}, {"RandomHue", true, augment_hue},
	{"RandomSaturation", true, augment_saturation},  {"RandomColorJitter", true, augment_jitter},
	{"RandomPosterization", false, augment_posterization}, {"RandomSharpness", false, augment_sharpness},
	{"Solarization", false, augment_solarization}, {"AutoContrast", false, augment_auto_contrast},
};

IrNode *augment_emit(Build *b, IrNode *x, const Val *v)
{
	size_t i = 0;
	while (strcmp(layers[i].name, v->section->name) != 0) {
		if (++i == COUNT(layers))
			ICE("augmentation %s is in the schema but not built", v->section->name);
	}
	return layers[i].emit(b, x, v);
}

bool augment_check(Model *m, const Val *v)
{
	const Val *fill = schema_field_index(v->section, "fill_value") >= 0 ? val(v, "fill_value") : NULL;
	for (size_t i = 0; i < COUNT(layers); i++) {
		if (layers[i].rgb && strcmp(layers[i].name, v->section->name) == 0 && m->input.dim[3] != 3)
			return diag_error(m->diag, v->loc, "%s is for pictures of 3 channels, not %d", v->section->name, m->input.dim[3]);
	}
	for (int i = 0; i < v->n; i++) {
		const SchemaRow *f = schema_field(v->section, i);
		if ((f->flags & SOME) && v->item[i].kind == VAL_LIST && v->item[i].n > 2 && strcmp(f->name, "fill_value") != 0)
			return diag_error(m->diag, v->item[i].loc, "%s is one number, or [smallest, largest]", f->name);
	}
	if (fill && fill->kind == VAL_LIST && fill->n != 1 && fill->n != m->input.dim[3])
		return diag_error(m->diag, fill->loc, "%d values for %d channels", fill->n, m->input.dim[3]);
	return true;
}

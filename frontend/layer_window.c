/* layer_window.c -- windows of convolutions and pooling; the pooling layers
 *
 * Shapes are (N, …, channels) with one to three axes of space, as Keras channels_last. A window has the axes that
 * IrWindow says; a sequence is a picture of height 1. Padding `same` is TensorFlow's: ceil(size / stride) windows, the
 * odd cell of padding goes to the end.
 */
#include "frontend/build.h"

#include <string.h>

int window_axes(const Layer *l)
{
	return l->kind->space < 2 ? 2 : l->kind->space;
}

int window_axis(const Layer *l, int i)
{
	return l->kind->space == 1 ? 1 : l->kind->space == 3 ? (i + 2) % 3 : i;
}

/* Fills the entries of a window from a field with one value an axis of space; 1 where there is no such field. */
void window_field(const Layer *l, const char *field, int32_t *out)
{
	const Val *v = field ? val(l->arg, field) : NULL;
	for (int i = 0; i < window_axes(l); i++)
		out[i] = 1;
	for (int i = 0; v && i < l->kind->space; i++)
		out[window_axis(l, i)] = (int32_t)v->item[i].i;
}

/* Extents of the picture in axes of the window. */
void window_extents(const Layer *l, const IrType *in, int64_t *out)
{
	out[0] = 1;
	for (int i = 0; i < l->kind->space; i++)
		out[window_axis(l, i)] = in->dim[1 + i];
}

static const char *extents_text(Arena *a, const int64_t *x, int n)
{
	bool same = true;
	const char *text = "";
	for (int i = 0; i < n; i++) {
		same = same && x[i] == x[0];
		text = arena_printf(a, "%s%s%lld", text, i ? "x" : "", (long long)x[i]);
	}
	return same ? arena_printf(a, "%lld", (long long)x[0]) : text;
}

static bool too_small(Model *m, const Layer *l, const IrType *in, const int64_t *span)
{
	const IrWindow *w = &l->window;
	const int space = l->kind->space;
	int64_t size[IR_SPACE] = {0}, apart[IR_SPACE] = {0}, needed[IR_SPACE] = {0};
	const char *what = schema_field_index(l->arg->section, "kernel_size") >= 0 ? "kernel_size" : "pool_size", *dilation = "";
	for (int i = 0; i < space; i++) {
		size[i] = w->size[window_axis(l, i)];
		apart[i] = w->dilation[window_axis(l, i)];
		needed[i] = span[window_axis(l, i)];
		if (apart[i] > 1)
			dilation = ", dilation_rate ";
	}
	if (*dilation)
		dilation = arena_printf(m->arena, "%s%s", dilation, extents_text(m->arena, apart, space));
	const char *least = extents_text(m->arena, needed, space);
	snprintf(m->reason, sizeof m->reason, "input %s, %s %s%s, padding valid -> needs at least %s%s%s",
	         ir_shape_text(m->arena, in), what, extents_text(m->arena, size, space), dilation, least,
	         space == 2 && !strchr(least, 'x') ? "x" : "", space == 2 && !strchr(least, 'x') ? least : "");
	for (int i = 0; space == 2 && i < 2; i++)
		m->least[i] = span[i];
	return false;
}

/* `pad` as it is given: every window must hold a cell of the picture. */
static bool given_padding(Model *m, Layer *l, const int64_t *extent, const int64_t *span, int64_t *out)
{
	const Val *pad = val(l->arg, "pad");
	IrWindow *w = &l->window;
	const int axes = window_axes(l), space = l->kind->space, first = axes - space;
	if (pad->n != 2 * space || val(l->arg, "padding")->given) {
		snprintf(m->reason, sizeof m->reason, pad->n != 2 * space ? "pad needs %d values: before each axis, then behind each"
		                                                         : "pad and padding are both given", 2 * space);
		return false;
	}
	for (int i = 0; i < axes; i++) {
		w->pad[i] = i < first ? 0 : (int32_t)pad->item[i - first].i;
		w->pad[axes + i] = i < first ? 0 : (int32_t)pad->item[space + i - first].i;
		const int64_t room = extent[i] + w->pad[i] + w->pad[axes + i] - span[i];
		if (room < 0 || w->pad[i] >= span[i] || w->pad[axes + i] >= span[i]) {
			snprintf(m->reason, sizeof m->reason, "windows of %lld cells do not fit %lld cells between pads of %d and %d",
			         (long long)span[i], (long long)extent[i], w->pad[i], w->pad[axes + i]);
			return false;
		}
		out[i] = room / w->stride[i] + 1;
	}
	return true;
}

/* Windows of l->window over `in`: fills the padding, gives the number of windows along each axis of the window. */
bool window_count(Model *m, Layer *l, const IrType *in, int64_t *out)
{
	IrWindow *w = &l->window;
	const int axes = window_axes(l);
	const char *padding = val_string(l->arg, "padding");
	const bool same = strcmp(padding, "same") == 0, causal = strcmp(padding, "causal") == 0;
	int64_t span[IR_SPACE], extent[IR_SPACE];
	window_extents(l, in, extent);
	for (int i = 0; i < axes; i++)
		span[i] = (int64_t)(w->size[i] - 1) * w->dilation[i] + 1;
	if (schema_field_index(l->arg->section, "pad") >= 0 && val(l->arg, "pad")->kind == VAL_LIST)
		return given_padding(m, l, extent, span, out);
	for (int i = 0; i < axes; i++) {
		int64_t pad = causal ? span[i] - 1 : 0;
		if (same) {
			out[i] = (extent[i] + w->stride[i] - 1) / w->stride[i];
			pad = (out[i] - 1) * w->stride[i] + span[i] - extent[i];
			pad = pad < 0 ? 0 : pad;
		} else if (extent[i] + pad < span[i]) {
			return too_small(m, l, in, span);
		} else {
			out[i] = (extent[i] + pad - span[i]) / w->stride[i] + 1;
		}
		if (pad > 1 << 20) {
			snprintf(m->reason, sizeof m->reason, "its window spans %lld cells", (long long)span[i]);
			return false;
		}
		w->pad[ir_pad_before(i)] = (int32_t)(causal ? pad : pad / 2);
		w->pad[ir_pad_after(i)] = (int32_t)pad - w->pad[ir_pad_before(i)];
	}
	return true;
}

/* Sets the layer's shape: extents in axes of the window, and channels. */
bool window_out(Model *m, Layer *l, const int64_t *extent, int64_t channels)
{
	const int space = l->kind->space;
	int64_t dim[IR_SPACE + 1];
	for (int i = 0; i < space; i++)
		dim[i] = extent[window_axis(l, i)];
	dim[space] = channels;
	return shape_set(m, l, space + 1, dim);
}

/* x as the picture that the ops want, and back to the shape of the layer's output. */
IrNode *window_picture(Build *b, const Layer *l, IrNode *x)
{
	const IrType *t = &x->type;
	return l->kind->space > 1 ? x : node_reshape(b, x, 4, (int32_t[]){t->dim[0], 1, t->dim[1], t->dim[2]});
}

IrNode *window_back(Build *b, const Layer *l, IrNode *y)
{
	return l->kind->space > 1 ? y : node_reshape(b, y, 3, (int32_t[]){y->type.dim[0], y->type.dim[2], y->type.dim[3]});
}

/* ---- pooling ---- */

static bool pool_shape(Model *m, Layer *l, const IrType *in)
{
	IrWindow *w = &l->window;
	int64_t out[IR_SPACE], cells = 1;
	*w = (IrWindow){.groups = 1};
	window_field(l, "pool_size", w->size);
	window_field(l, val(l->arg, "strides")->kind == VAL_LIST ? "strides" : "pool_size", w->stride);
	window_field(l, NULL, w->dilation);
	for (int i = 0; i < window_axes(l); i++)
		cells = cells > INT32_MAX ? cells : cells * w->size[i];
	if (cells > INT32_MAX) {
		snprintf(m->reason, sizeof m->reason, "its windows would have more than %d cells", INT32_MAX);
		return false;
	}
	return window_count(m, l, in, out) && window_out(m, l, out, in->dim[in->rank - 1]);
}

static IrNode *pooled(Build *b, const Layer *l, IrNode *x, OpCode op)
{
	IrAttr attr = {.pool = l->window};
	x = window_picture(b, l, x);
	return window_back(b, l, ir_node(b->e, NULL, op, l->loc, 1, &x, &attr, NULL));
}

static IrNode *max_pool_emit(Build *b, const Layer *l, IrNode *const *in)
{
	return pooled(b, l, in[0], OP_maxpool);
}

static IrNode *average_pool_emit(Build *b, const Layer *l, IrNode *const *in)
{
	return pooled(b, l, in[0], OP_avgpool);
}

static bool global_shape(Model *m, Layer *l, const IrType *in)
{
	const int space = l->kind->space;
	const bool keep = val_bool(l->arg, "keepdims");
	int64_t out[] = {1, 1, 1, in->dim[in->rank - 1]};
	return shape_set(m, l, keep ? space + 1 : 1, out + (keep ? IR_SPACE - space : IR_SPACE));
}

static uint32_t space_axes(const IrNode *x)
{
	return (1u << (x->type.rank - 1)) - 2;
}

static IrNode *global_max_emit(Build *b, const Layer *l, IrNode *const *in)
{
	return node_reduce(b, OP_reduce_max, in[0], space_axes(in[0]), val_bool(l->arg, "keepdims"));
}

static IrNode *global_average_emit(Build *b, const Layer *l, IrNode *const *in)
{
	double cells = (double)(ir_row_elems(&in[0]->type) / in[0]->type.dim[in[0]->type.rank - 1]);
	return node_scaled(b, node_reduce(b, OP_sum, in[0], space_axes(in[0]), val_bool(l->arg, "keepdims")), 1 / cells);
}

const LayerKind layer_window_kinds[] = {
	{"MaxPooling1D", 1, 1, 1, pool_shape, NULL, max_pool_emit},
	{"MaxPooling2D", 1, 1, 2, pool_shape, NULL, max_pool_emit},
	{"MaxPooling3D", 1, 1, 3, pool_shape, NULL, max_pool_emit},
	{"AveragePooling1D", 1, 1, 1, pool_shape, NULL, average_pool_emit},
	{"AveragePooling2D", 1, 1, 2, pool_shape, NULL, average_pool_emit},
	{"AveragePooling3D", 1, 1, 3, pool_shape, NULL, average_pool_emit},
	{"GlobalAveragePooling1D", 1, 1, 1, global_shape, NULL, global_average_emit},
	{"GlobalAveragePooling2D", 1, 1, 2, global_shape, NULL, global_average_emit},
	{"GlobalAveragePooling3D", 1, 1, 3, global_shape, NULL, global_average_emit},
	{"GlobalMaxPooling1D", 1, 1, 1, global_shape, NULL, global_max_emit},
	{"GlobalMaxPooling2D", 1, 1, 2, global_shape, NULL, global_max_emit},
	{"GlobalMaxPooling3D", 1, 1, 3, global_shape, NULL, global_max_emit},
};
const int layer_nwindow = COUNT(layer_window_kinds);

/* layer_window.c -- convolution and pooling layers
 *
 * Shapes are (N, height, width, channels), kernels (height, width, channels / groups, filters), as Keras channels_last.
 * Padding `same` is TensorFlow's: ceil(size / stride) windows, the odd cell of padding goes below and to the right.
 */
#include "frontend/build.h"

#include <string.h>

static void read_pair(const Val *v, int32_t out[2])
{
	for (int i = 0; i < 2; i++)
		out[i] = (int32_t)v->item[i].i;
}

static bool too_small(Model *m, const Layer *l, const IrType *in, const int64_t span[2])
{
	const IrWindow *w = &l->window;
	const char *what = strcmp(l->kind->name, "Conv2D") == 0 ? "kernel_size" : "pool_size", *dilation = "";
	const char *size = arena_printf(m->arena, w->size[0] == w->size[1] ? "%d" : "%dx%d", w->size[0], w->size[1]);
	if (w->dilation[0] > 1 || w->dilation[1] > 1)
		dilation = arena_printf(m->arena, ", dilation_rate %dx%d", w->dilation[0], w->dilation[1]);
	snprintf(m->reason, sizeof m->reason, "input %s, %s %s%s, padding valid -> needs at least %lldx%lld",
	         ir_shape_text(m->arena, in), what, size, dilation, (long long)span[0], (long long)span[1]);
	m->least[0] = span[0];
	m->least[1] = span[1];
	return false;
}

/* Windows of l->window over `in`: fills the padding, gives the number of windows. */
static bool count_windows(Model *m, Layer *l, const IrType *in, bool same, int64_t out[2])
{
	IrWindow *w = &l->window;
	int64_t span[2], extent[2] = {in->dim[1], in->dim[2]};
	for (int i = 0; i < 2; i++)
		span[i] = (int64_t)(w->size[i] - 1) * w->dilation[i] + 1;
	for (int i = 0; i < 2; i++) {
		int64_t pad = 0;
		if (same) {
			out[i] = (extent[i] + w->stride[i] - 1) / w->stride[i];
			pad = (out[i] - 1) * w->stride[i] + span[i] - extent[i];
			pad = pad < 0 ? 0 : pad;
		} else if (extent[i] < span[i]) {
			return too_small(m, l, in, span);
		} else {
			out[i] = (extent[i] - span[i]) / w->stride[i] + 1;
		}
		if (pad > 1 << 20) {
			snprintf(m->reason, sizeof m->reason, "its window spans %lld cells", (long long)span[i]);
			return false;
		}
		w->pad[i] = (int32_t)(pad / 2);
		w->pad[2 + i] = (int32_t)(pad - pad / 2);
	}
	return true;
}

/* ---- Conv2D ---- */

static bool conv_shape(Model *m, Layer *l, const IrType *in)
{
	if (!shape_is(m, l, in, 4, "(N, height, width, channels)"))
		return false;
	IrWindow *w = &l->window;
	int64_t filters = val_int(l->arg, "filters"), out[3];
	read_pair(val(l->arg, "kernel_size"), w->size);
	read_pair(val(l->arg, "strides"), w->stride);
	read_pair(val(l->arg, "dilation_rate"), w->dilation);
	w->groups = (int32_t)val_int(l->arg, "groups");
	if (in->dim[3] % w->groups || filters % w->groups) {
		snprintf(m->reason, sizeof m->reason, "input %s: %d channels and %lld filters do not divide into %d groups",
		         ir_shape_text(m->arena, in), in->dim[3], (long long)filters, w->groups);
		return false;
	}
	if ((w->stride[0] > 1 || w->stride[1] > 1) && (w->dilation[0] > 1 || w->dilation[1] > 1)) {
		snprintf(m->reason, sizeof m->reason, "strides > 1 and dilation_rate > 1 exclude each other");
		return false;
	}
	if (!count_windows(m, l, in, strcmp(val_string(l->arg, "padding"), "same") == 0, out))
		return false;
	out[2] = filters;
	int64_t kernel = (int64_t)w->size[0] * w->size[1]; /* < 2^32 */
	if (kernel > (1 << 20) || kernel * (in->dim[3] / w->groups) > (INT64_C(1) << 36) / filters) {
		snprintf(m->reason, sizeof m->reason, "its kernel would be too large");
		return false;
	}
	return shape_set(m, l, 3, out);
}

static void conv_states(Model *m, Layer *l, const IrType *in)
{
	const IrWindow *w = &l->window;
	int32_t filters = l->out.dim[3], kernel[4] = {w->size[0], w->size[1], in->dim[3] / w->groups, filters};
	l->state[0] = layer_state(m, l, "kernel", ir_type(DT_F32, 4, kernel), val(l->arg, "kernel_initializer"),
	                          val(l->arg, "kernel_regularizer"), false);
	if (val_bool(l->arg, "use_bias"))
		l->state[1] = layer_state(m, l, "bias", ir_type(DT_F32, 1, &filters), val(l->arg, "bias_initializer"),
		                          val(l->arg, "bias_regularizer"), false);
}

static IrNode *conv_emit(Build *b, const Layer *l, IrNode *const *in)
{
	IrAttr attr = {.conv = l->window};
	IrNode *operand[2] = {in[0], node_state(b, l->state[0])};
	IrNode *y = ir_node(b->e, NULL, OP_conv2d, l->loc, 2, operand, &attr, NULL);
	node_named(y, l->name);
	if (l->state[1])
		y = node_named(node2(b, OP_add, y, node_state(b, l->state[1])), arena_printf(b->m->arena, "%s.bias", l->name));
	return layer_activation(b, l, y);
}

/* ---- pooling ---- */

static bool pool_shape(Model *m, Layer *l, const IrType *in)
{
	if (!shape_is(m, l, in, 4, "(N, height, width, channels)"))
		return false;
	IrWindow *w = &l->window;
	int64_t out[3];
	*w = (IrWindow){.dilation = {1, 1}, .groups = 1};
	read_pair(val(l->arg, "pool_size"), w->size);
	const Val *strides = val(l->arg, "strides");
	read_pair(strides->kind == VAL_LIST ? strides : val(l->arg, "pool_size"), w->stride);
	bool max = strcmp(l->kind->name, "MaxPooling2D") == 0;
	if (max && m->train && (int64_t)w->size[0] * w->size[1] > 256) {
		snprintf(m->reason, sizeof m->reason, "windows of more than 256 cells are not supported yet in training");
		return false;
	}
	if (!count_windows(m, l, in, strcmp(val_string(l->arg, "padding"), "same") == 0, out))
		return false;
	out[2] = in->dim[3];
	return shape_set(m, l, 3, out);
}

static IrNode *pool_emit(Build *b, const Layer *l, IrNode *const *in)
{
	IrAttr attr = {.pool = l->window};
	OpCode op = strcmp(l->kind->name, "MaxPooling2D") == 0 ? OP_maxpool : OP_avgpool;
	return ir_node(b->e, NULL, op, l->loc, 1, in, &attr, NULL);
}

static bool global_shape(Model *m, Layer *l, const IrType *in)
{
	if (!shape_is(m, l, in, 4, "(N, height, width, channels)"))
		return false;
	bool keep = val_bool(l->arg, "keepdims");
	int64_t out[3] = {1, 1, in->dim[3]};
	return shape_set(m, l, keep ? 3 : 1, keep ? out : out + 2);
}

static IrNode *global_emit(Build *b, const Layer *l, IrNode *const *in)
{
	bool keep = val_bool(l->arg, "keepdims");
	if (strcmp(l->kind->name, "GlobalMaxPooling2D") == 0)
		return node_reduce(b, OP_reduce_max, in[0], 6, keep);
	double cells = (double)in[0]->type.dim[1] * in[0]->type.dim[2];
	return node_scaled(b, node_reduce(b, OP_sum, in[0], 6, keep), 1 / cells);
}

const LayerKind layer_window_kinds[] = {
	{"Conv2D", 1, 1, conv_shape, conv_states, conv_emit},
	{"MaxPooling2D", 1, 1, pool_shape, NULL, pool_emit},
	{"AveragePooling2D", 1, 1, pool_shape, NULL, pool_emit},
	{"GlobalAveragePooling2D", 1, 1, global_shape, NULL, global_emit},
	{"GlobalMaxPooling2D", 1, 1, global_shape, NULL, global_emit},
};
const int layer_nwindow = COUNT(layer_window_kinds);

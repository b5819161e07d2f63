/* layer_conv.c -- convolutions: full, of each channel, both after each other, and transposed
 *
 * Kernels are those of Keras: (…, channels / groups, filters), depthwise (…, channels, multiplier), transposed
 * (…, filters, channels). All are the one contraction: a depthwise one has as many groups as channels, and the transposed
 * one is the gradient of a convolution from its output to its input (Dumoulin & Visin 2016, section 4).
 */
#include "frontend/build.h"

#include <string.h>

/* ---- shared ---- */

/* Reads the window; false: strides and dilation exclude each other. */
static bool read_window(Model *m, Layer *l)
{
	IrWindow *w = &l->window;
	bool strides = false, apart = false;
	*w = (IrWindow){.groups = 1};
	window_field(l, "kernel_size", w->size);
	window_field(l, "strides", w->stride);
	window_field(l, "dilation_rate", w->dilation);
	for (int i = 0; i < window_axes(l); i++) {
		strides = strides || w->stride[i] > 1;
		apart = apart || w->dilation[i] > 1;
	}
	if (strides && apart)
		snprintf(m->reason, sizeof m->reason, "strides > 1 and dilation_rate > 1 exclude each other");
	return !(strides && apart);
}

/* Whether a kernel of that many numbers a cell of the window is thinkable. */
static bool kernel_fits(Model *m, const Layer *l, int64_t channels, int64_t filters)
{
	int64_t cells = 1;
	for (int i = 0; i < window_axes(l) && cells <= 1 << 20; i++)
		cells *= l->window.size[i];
	if (cells <= 1 << 20 && cells * channels <= (INT64_C(1) << 36) / filters)
		return true;
	snprintf(m->reason, sizeof m->reason, "its kernel would be too large");
	return false;
}

/* The state of a kernel with the layer's window and two more axes. */
static IrState *kernel_state(Model *m, Layer *l, const char *name, const char *field, int64_t in, int64_t out)
{
	const int space = l->kind->space;
	const char *init = arena_printf(m->arena, "%s_initializer", field), *reg = arena_printf(m->arena, "%s_regularizer", field);
	int32_t dim[IR_MAX_RANK];
	for (int i = 0; i < space; i++)
		dim[i] = l->window.size[window_axis(l, i)];
	dim[space] = (int32_t)in;
	dim[space + 1] = (int32_t)out;
	return layer_state(m, l, name, ir_type(DT_F32, space + 2, dim), val(l->arg, init), val(l->arg, reg), false);
}

static IrState *bias_state(Model *m, Layer *l, int64_t filters)
{
	if (!val_bool(l->arg, "use_bias"))
		return NULL;
	return layer_state(m, l, "bias", ir_type(DT_F32, 1, &(int32_t){(int32_t)filters}), val(l->arg, "bias_initializer"),
	                   val(l->arg, "bias_regularizer"), false);
}

/* The kernel as the ops want it, with `in` and `out` as its last two extents. */
static IrNode *kernel(Build *b, const IrWindow *w, IrState *s, int32_t in, int32_t out)
{
	const int axes = ir_window_axes(w);
	int32_t dim[IR_MAX_RANK];
	for (int d = 0; d < axes; d++)
		dim[d] = w->size[ir_window_outer(w, d)];
	dim[axes] = in;
	dim[axes + 1] = out;
	return node_reshape(b, node_state(b, s), axes + 2, dim);
}

static IrNode *convolved(Build *b, const IrWindow *w, IrNode *x, IrNode *k)
{
	IrAttr attr = {.conv = *w};
	return ir_node(b->e, NULL, OP_conv2d, b->loc, 2, (IrNode *[]){x, k}, &attr, NULL);
}

/* What follows the contraction y: its name, the bias and the activation. */
static IrNode *finished(Build *b, const Layer *l, IrNode *y, IrState *bias)
{
	node_named(y, l->name);
	y = window_back(b, l, y);
	if (bias)
		y = node_named(node2(b, OP_add, y, node_state(b, bias)), arena_printf(b->m->arena, "%s.bias", l->name));
	return layer_activation(b, l, y);
}

static int32_t channels_of(const IrType *in)
{
	return in->dim[in->rank - 1];
}

/* ---- Conv1D, Conv2D, Conv3D ---- */

static bool conv_shape(Model *m, Layer *l, const IrType *in)
{
	const int32_t channels = channels_of(in);
	int64_t filters = val_int(l->arg, "filters"), groups = val_int(l->arg, "groups"), out[IR_SPACE];
	if (!read_window(m, l))
		return false;
	l->window.groups = (int32_t)groups;
	if (channels % groups || filters % groups) {
		snprintf(m->reason, sizeof m->reason, "input %s: %d channels and %lld filters do not divide into %lld groups",
		         ir_shape_text(m->arena, in), channels, (long long)filters, (long long)groups);
		return false;
	}
	return window_count(m, l, in, out) && kernel_fits(m, l, channels / groups, filters) && window_out(m, l, out, filters);
}

static void conv_states(Model *m, Layer *l, const IrType *in)
{
	int64_t filters = val_int(l->arg, "filters");
	l->state[0] = kernel_state(m, l, "kernel", "kernel", channels_of(in) / l->window.groups, filters);
	l->state[1] = bias_state(m, l, filters);
}

static IrNode *conv_emit(Build *b, const Layer *l, IrNode *const *in)
{
	const int32_t channels = channels_of(&in[0]->type) / l->window.groups;
	IrNode *k = kernel(b, &l->window, l->state[0], channels, (int32_t)val_int(l->arg, "filters"));
	return finished(b, l, convolved(b, &l->window, window_picture(b, l, in[0]), k), l->state[1]);
}

/* ---- DepthwiseConv, SeparableConv ---- */

static bool depthwise_shape(Model *m, Layer *l, const IrType *in)
{
	int64_t multiplier = val_int(l->arg, "depth_multiplier"), channels = channels_of(in), out[IR_SPACE];
	if (!read_window(m, l) || !window_count(m, l, in, out) || !kernel_fits(m, l, channels, multiplier))
		return false;
	l->window.groups = (int32_t)channels;
	return window_out(m, l, out, channels * multiplier);
}

static void depthwise_states(Model *m, Layer *l, const IrType *in)
{
	int64_t multiplier = val_int(l->arg, "depth_multiplier");
	l->state[0] = kernel_state(m, l, "kernel", "depthwise", channels_of(in), multiplier);
	l->state[1] = bias_state(m, l, channels_of(in) * multiplier);
}

/* (…, channels, multiplier) in the order of (…, 1, channels * multiplier), whose groups are the channels. */
static IrNode *each_channel(Build *b, const Layer *l, IrNode *x)
{
	const int32_t out = channels_of(&x->type) * (int32_t)val_int(l->arg, "depth_multiplier");
	return convolved(b, &l->window, window_picture(b, l, x), kernel(b, &l->window, l->state[0], 1, out));
}

static IrNode *depthwise_emit(Build *b, const Layer *l, IrNode *const *in)
{
	return finished(b, l, each_channel(b, l, in[0]), l->state[1]);
}

static bool separable_shape(Model *m, Layer *l, const IrType *in)
{
	int64_t filters = val_int(l->arg, "filters");
	if (!depthwise_shape(m, l, in))
		return false;
	l->out.dim[l->out.rank - 1] = 1;
	int64_t cells = ir_row_elems(&l->out);
	if (cells > INT32_MAX / filters || channels_of(in) * val_int(l->arg, "depth_multiplier") > (INT64_C(1) << 36) / filters) {
		snprintf(m->reason, sizeof m->reason, "its output or kernel would be too large");
		return false;
	}
	l->out.dim[l->out.rank - 1] = (int32_t)filters;
	return true;
}

static void separable_states(Model *m, Layer *l, const IrType *in)
{
	int64_t multiplier = val_int(l->arg, "depth_multiplier"), filters = val_int(l->arg, "filters");
	const IrWindow window = l->window;
	l->state[0] = kernel_state(m, l, "depthwise_kernel", "depthwise", channels_of(in), multiplier);
	for (int i = 0; i < window_axes(l); i++)
		l->window.size[i] = 1;
	l->state[1] = kernel_state(m, l, "pointwise_kernel", "pointwise", channels_of(in) * multiplier, filters);
	l->window = window;
	l->state[2] = bias_state(m, l, filters);
}

static IrNode *separable_emit(Build *b, const Layer *l, IrNode *const *in)
{
	const IrWindow one = {.size = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
	IrNode *x = node_named(each_channel(b, l, in[0]), arena_printf(b->m->arena, "%s.depthwise", l->name));
	IrNode *k = kernel(b, &one, l->state[1], channels_of(&x->type), (int32_t)val_int(l->arg, "filters"));
	return finished(b, l, convolved(b, &one, x, k), l->state[2]);
}

/* ---- transposed ---- */

/* Extent of the output; keras/src/backend/common/backend_utils.py, _get_output_shape_given_tf_padding. 0: there is none. */
static int64_t transposed_extent(int64_t in, int64_t span, int64_t stride, bool same, int64_t added)
{
	if (added < 0)
		return same ? in * stride : (in - 1) * stride + (span > stride ? span : stride);
	int64_t last = same ? span % 2 + added : added + 1; /* 1 … stride: as many windows as there are inputs */
	return last < 1 || last > stride ? 0 : (in - 1) * stride + (same ? span % 2 : span) + added;
}

static bool transpose_shape(Model *m, Layer *l, const IrType *in)
{
	IrWindow *w = &l->window;
	const int axes = window_axes(l);
	const bool same = strcmp(val_string(l->arg, "padding"), "same") == 0;
	const Val *added = val(l->arg, "output_padding");
	int64_t filters = val_int(l->arg, "filters"), extent[IR_SPACE], out[IR_SPACE], more[IR_SPACE] = {-1, -1, -1};
	for (int i = 0; added->kind == VAL_LIST && i < l->kind->space; i++)
		more[window_axis(l, i)] = added->item[i].i;
	if (!read_window(m, l) || !kernel_fits(m, l, filters, channels_of(in)))
		return false;
	window_extents(l, in, extent);
	for (int i = 0; i < axes; i++) {
		const int64_t span = (int64_t)(w->size[i] - 1) * w->dilation[i] + 1;
		out[i] = transposed_extent(extent[i], span, w->stride[i], same, more[i]);
		if (out[i] < 1 || out[i] > INT32_MAX) {
			snprintf(m->reason, sizeof m->reason, "output_padding and these strides do not go together: it must be less");
			return false;
		}
		int64_t pad = same ? (extent[i] - 1) * w->stride[i] + span - out[i] : 0;
		pad = pad < 0 ? 0 : pad;
		w->pad[ir_pad_before(i)] = (int32_t)(pad / 2);
		w->pad[ir_pad_after(i)] = (int32_t)(pad - pad / 2);
	}
	return window_out(m, l, out, filters);
}

static void transpose_states(Model *m, Layer *l, const IrType *in)
{
	int64_t filters = val_int(l->arg, "filters");
	l->state[0] = kernel_state(m, l, "kernel", "kernel", filters, channels_of(in));
	l->state[1] = bias_state(m, l, filters);
}

static IrNode *transpose_emit(Build *b, const Layer *l, IrNode *const *in)
{
	const int32_t filters = (int32_t)val_int(l->arg, "filters"), channels = channels_of(&in[0]->type);
	const int axes = window_axes(l), first = axes - l->kind->space;
	IrAttr attr = {.conv = l->window};
	IrNode *operand[2] = {window_picture(b, l, in[0]), kernel(b, &l->window, l->state[0], filters, channels)};
	IrType out = operand[0]->type;
	for (int d = 1; d <= axes; d++)
		out.dim[d] = d <= first ? 1 : l->out.dim[d - first];
	out.dim[1 + axes] = filters;
	return finished(b, l, ir_node(b->e, NULL, OP_conv2d_dx, l->loc, 2, operand, &attr, &out), l->state[1]);
}

const LayerKind layer_conv_kinds[] = {
	{"Conv1D", 1, 1, 1, conv_shape, conv_states, conv_emit},
	{"Conv2D", 1, 1, 2, conv_shape, conv_states, conv_emit},
	{"Conv3D", 1, 1, 3, conv_shape, conv_states, conv_emit},
	{"Conv1DTranspose", 1, 1, 1, transpose_shape, transpose_states, transpose_emit},
	{"Conv2DTranspose", 1, 1, 2, transpose_shape, transpose_states, transpose_emit},
	{"Conv3DTranspose", 1, 1, 3, transpose_shape, transpose_states, transpose_emit},
	{"DepthwiseConv1D", 1, 1, 1, depthwise_shape, depthwise_states, depthwise_emit},
	{"DepthwiseConv2D", 1, 1, 2, depthwise_shape, depthwise_states, depthwise_emit},
	{"SeparableConv1D", 1, 1, 1, separable_shape, separable_states, separable_emit},
	{"SeparableConv2D", 1, 1, 2, separable_shape, separable_states, separable_emit},
};
const int layer_nconv = COUNT(layer_conv_kinds);

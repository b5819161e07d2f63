/* onnx_op_net.c -- ONNX operators of networks: convolutions, pools, matrix products, normalizations
 *
 * Pictures come as (batch, channels, height, width) and are taken as (N, height, width, channels), which costs nothing where
 * the operator before left them so; kernels are turned into Keras' order once, here.
 */
#include <math.h>
#include <string.h>
#include "frontend/onnx_value.h"

static bool is(const Onx *m, const char *op)
{
	return strcmp(m->node->op, op) == 0;
}

/* ---- windows ---- */

typedef struct Window {
	int dims;                 /* of the picture: 1, 2, 3 */
	int64_t in[3], size[3], stride[3], dilation[3], begin[3], end[3], extra[3], out[3]; /* extra: of end, for ceil_mode */
} Window;

static void auto_pad(Onx *m, Window *w, int i)
{
	const char *how = onx_text(m, "auto_pad", "NOTSET");
	const int64_t span = (w->size[i] - 1) * w->dilation[i] + 1;
	if (strncmp(how, "SAME", 4) == 0) {
		const int64_t n = (w->in[i] + w->stride[i] - 1) / w->stride[i], all = (n - 1) * w->stride[i] + span - w->in[i];
		const int64_t pad = all > 0 ? all : 0, less = pad / 2;
		w->begin[i] = strcmp(how, "SAME_LOWER") == 0 ? pad - less : less;
		w->end[i] = pad - w->begin[i];
	} else if (strcmp(how, "VALID") == 0) {
		w->begin[i] = w->end[i] = 0;
	}
}

/* ceil_mode: windows that reach over the end, but begin inside. */
static void count_windows(Onx *m, Window *w, int i, bool ceil_mode)
{
	const int64_t span = (w->size[i] - 1) * w->dilation[i] + 1, room = w->in[i] + w->begin[i] + w->end[i] - span;
	if (room < 0) {
		onx_fail(m, "a window of %lld does not fit a picture of %lld", (long long)span, (long long)w->in[i]);
		return;
	}
	w->out[i] = room / w->stride[i] + 1;
	if (ceil_mode && room % w->stride[i] && w->out[i] * w->stride[i] < w->in[i] + w->begin[i]) {
		w->extra[i] = w->stride[i] - room % w->stride[i];
		w->end[i] += w->extra[i];
		w->out[i]++;
	}
}

static bool read_window(Onx *m, const Value *x, const Value *kernel, Window *w)
{
	int64_t size[3], stride[3] = { 1, 1, 1 }, dilation[3] = { 1, 1, 1 }, pad[6] = { 0 };
	*w = (Window){ .dims = x->rank - 2 };
	if (m->failed)
		return false;
	if (w->dims < 1 || w->dims > 3)
		return !onx_fail(m, "a picture of %d dimensions", w->dims)->p;
	const int n = onx_int_list(m, "kernel_shape", 3, size), s = onx_int_list(m, "strides", 3, stride);
	const int d = onx_int_list(m, "dilations", 3, dilation), p = onx_int_list(m, "pads", 6, pad);
	if ((n >= 0 && n != w->dims) || (s >= 0 && s != w->dims) || (d >= 0 && d != w->dims) || (p >= 0 && p != 2 * w->dims) ||
	    (n < 0 && !kernel))
		return !onx_fail(m, "kernel_shape, strides, dilations and pads do not fit a picture of %d dimensions", w->dims)->p;
	for (int i = 0; i < w->dims && !m->failed; i++) {
		w->in[i] = onx_dim(m, x, 2 + i);
		w->size[i] = kernel ? onx_dim(m, kernel, 2 + i) : size[i];
		w->stride[i] = stride[i];
		w->dilation[i] = dilation[i];
		w->begin[i] = pad[i];
		w->end[i] = pad[w->dims + i];
		if (w->size[i] < 1 || w->stride[i] < 1 || w->dilation[i] < 1 || w->size[i] > 65535 || w->stride[i] > 65535 ||
		    w->dilation[i] > 65535 || w->begin[i] < -65535 || w->end[i] < -65535 || w->begin[i] > 65535 || w->end[i] > 65535)
			return !onx_fail(m, "a window of %lld, strides %lld, dilations %lld", (long long)w->size[i], (long long)w->stride[i],
			                 (long long)w->dilation[i])->p;
		auto_pad(m, w, i);
		count_windows(m, w, i, onx_int(m, "ceil_mode", 0) != 0);
	}
	return !m->failed;
}

/* A window along two of its axes; of one axis: a picture of one row. */
static IrWindow window_of(const Window *w, int first, int n)
{
	IrWindow out = { { 1, 1 }, { 1, 1 }, { 1, 1 }, { 0 }, 1 };
	for (int i = 0; i < n; i++) {
		const int to = 2 - n + i, from = first + i;
		out.size[to] = (int32_t)w->size[from];
		out.stride[to] = (int32_t)w->stride[from];
		out.dilation[to] = (int32_t)w->dilation[from];
		out.pad[to] = (int32_t)w->begin[from];
		out.pad[2 + to] = (int32_t)w->end[from];
	}
	return out;
}

/* (N, height, width, channels) of a picture of one or two axes */
static Phys *picture(Onx *m, Value *x, int dims)
{
	if (dims == 2)
		return onx_take(m, x, 3, (int[]){ 2, 3, 1 });
	return onx_take(m, onx_unsqueeze(m, x, 1u << 3), 3, (int[]){ 3, 2, 1 });
}

static Value *from_picture(Onx *m, Phys *y, const Value *x, int dims)
{
	const int batch = m->split ? onx_batch_axis(m, x) : -1;
	if (m->failed)
		return m->nothing;
	if (dims == 2)
		return onx_make(m, y, 4, 3, (int[]){ 2, 3, 1 }, batch);
	return onx_squeeze(m, onx_make(m, y, 4, 3, (int[]){ 3, 2, 1 }, batch), 1u << 3);
}

/* Pictures are one a sample: of a graph that is one sample, its batch must be 1. */
static bool one_picture(Onx *m, const Value *x)
{
	if (m->failed)
		return false;
	if (x->rank < 3)
		return !onx_fail(m, "a picture of %d dimensions", x->rank)->p;
	if (!ir_batched(&x->p->node.type))
		return !onx_fail(m, "the picture is a constant")->p;
	const int batch = onx_batch_axis(m, x);
	if (m->split ? batch != 0 : onx_dim(m, x, 0) != 1)
		return !onx_mixes(m, "a batch of pictures beside the samples")->p;
	return true;
}

static const char *pair(Arena *a, const int32_t *v)
{
	return v[0] == v[1] ? arena_printf(a, "%d", v[0]) : arena_printf(a, "[%d, %d]", v[0], v[1]);
}

static const char *window_fields(Onx *m, const IrWindow *w, const char *size)
{
	Arena *a = m->arena;
	const char *text = arena_printf(a, "%s: %s, strides: %s, ", size, pair(a, w->size), pair(a, w->stride));
	if (w->pad[0] | w->pad[1] | w->pad[2] | w->pad[3])
		text = arena_printf(a, "%spad: [%d, %d, %d, %d], ", text, w->pad[0], w->pad[1], w->pad[2], w->pad[3]);
	if (w->dilation[0] != 1 || w->dilation[1] != 1)
		text = arena_printf(a, "%sdilation_rate: %s, ", text, pair(a, w->dilation));
	return text;
}

/* ---- convolution ---- */

typedef struct ConvWeights { Phys *kernel, *bias; int32_t filters, groups; } ConvWeights;

/* (filters, channels / groups, …) as (height, width, channels / groups, filters) */
static Phys *kernel_of(Onx *m, Value *w)
{
	if (!onx_known(m, w))
		return onx_fail(m, "its kernel is not a constant")->p;
	if (w->rank == 3)
		w = onx_unsqueeze(m, w, 1u << 2);
	return onx_take(m, w, 4, (int[]){ 2, 3, 1, 0 });
}

static Value *convolved(Onx *m, Value *x, Phys *kernel, Phys *bias, IrWindow window, int dims)
{
	const IrType *k = &kernel->node.type;
	if (m->failed)
		return m->nothing;
	Phys *in = picture(m, x, dims);
	IrAttr attr = { .conv = window };
	IrNode probe = { .op = OP_conv2d, .nin = 2, .in = (IrNode *[]){ &in->node, &kernel->node }, .attr = attr };
	const char *why = m->failed ? "" : ir_infer_why(&probe, m->arena);
	if (why)
		return onx_fail(m, "%s", why);
	const char *fields = arena_printf(m->arena, "filters: %d, %s%s%s", k->dim[3], window_fields(m, &window, "kernel_size"),
	                                  window.groups > 1 ? arena_printf(m->arena, "groups: %d, ", window.groups) : "",
	                                  bias ? "" : "use_bias: false, ");
	Phys *y = phys_layer(m, "Conv2D", fields, 1, &in, probe.type);
	phys_weight(m, y->layer, "kernel", kernel);
	if (bias)
		phys_weight(m, y->layer, "bias", bias);
	return from_picture(m, y, x, dims);
}

static Phys *bias_of(Onx *m, int i)
{
	if (!onx_has(m, i))
		return NULL;
	Value *b = onx_in(m, i);
	return onx_known(m, b) && b->rank == 1 ? onx_take(m, b, 1, (int[]){ 0 }) : onx_fail(m, "its bias is not a constant row")->p;
}

static Value *convolution(Onx *m, Value *x, Value *w, Phys *bias)
{
	Window window;
	if (m->failed || !onx_known(m, w) || !one_picture(m, x) || !read_window(m, x, w, &window))
		return onx_fail(m, "its kernel is not a constant");
	if (window.dims > 2)
		return onx_fail(m, "convolutions of 3 dimensions are not supported");
	IrWindow attr = window_of(&window, 0, window.dims);
	const int64_t groups = onx_int(m, "group", 1);
	if (groups < 1 || groups > INT32_MAX)
		return onx_fail(m, "%lld groups", (long long)groups);
	attr.groups = (int32_t)groups;
	return convolved(m, x, kernel_of(m, w), bias, attr, window.dims);
}

Value *import_conv(Onx *m)
{
	return convolution(m, onx_in(m, 0), onx_in(m, 1), bias_of(m, 2));
}

static Value *less_zero_point(Onx *m, int i, int zero, int axis)
{
	Value *x = onx_cast(m, onx_in(m, i), DT_F32);
	if (!onx_has(m, zero))
		return x;
	Value *z = onx_cast(m, onx_in(m, zero), DT_F32);
	if (z->rank == 1 && onx_elems(m, z) > 1)
		for (int k = axis + 1; k < x->rank; k++)
			z = onx_unsqueeze(m, z, 1u << z->rank);
	return onx_2(m, OP_sub, x, z);
}

static Value *constant_of(Onx *m, int i)
{
	Value *v = onx_in(m, i);
	if (!m->failed && !onx_known(m, v))
		onx_fail(m, "input %d is not a constant", i);
	return v;
}

Value *import_convinteger(Onx *m)
{
	constant_of(m, 1);
	if (onx_has(m, 3))
		constant_of(m, 3);
	return onx_cast(m, convolution(m, less_zero_point(m, 0, 2, 0), less_zero_point(m, 1, 3, 0), NULL), DT_I32);
}

/* Zeros between the elements: (…, n, …) to (…, (n - 1) * stride + 1, …) */
static Value *spread(Onx *m, Value *x, int axis, int64_t stride)
{
	int64_t dim[ONNX_MAX_RANK];
	if (stride == 1 || m->failed)
		return x;
	const int64_t n = onx_dim(m, x, axis);
	Value *y = onx_pad(m, onx_unsqueeze(m, x, 2u << axis), axis + 1, 0, stride - 1);
	for (int i = 0; i < x->rank; i++)
		dim[i] = i == axis ? n * stride : onx_dim(m, x, i);
	return onx_slice(m, onx_reshape(m, y, x->rank, dim), axis, 0, (n - 1) * stride + 1);
}

/* Kernel (channels, filters / groups, …) to (filters, channels / groups, …), turned round. */
static Value *turned_kernel(Onx *m, Value *w, int64_t groups)
{
	int64_t split[ONNX_MAX_RANK + 1], joined[ONNX_MAX_RANK];
	int perm[ONNX_MAX_RANK + 1];
	const int rank = w->rank;
	for (int i = 2; i < rank; i++)
		w = onx_reverse(m, w, i);
	if (m->failed || groups < 1 || onx_dim(m, w, 0) % groups)
		return onx_fail(m, "%lld groups do not divide its channels", (long long)groups);
	split[0] = groups;
	split[1] = onx_dim(m, w, 0) / groups;
	for (int i = 1; i < rank; i++)
		split[1 + i] = onx_dim(m, w, i);
	for (int i = 0; i <= rank; i++)
		perm[i] = i == 1 ? 2 : i == 2 ? 1 : i;
	w = onx_transpose(m, onx_reshape(m, w, rank + 1, split), perm);
	joined[0] = groups * split[2];
	joined[1] = split[1];
	for (int i = 2; i < rank; i++)
		joined[i] = split[1 + i];
	return onx_reshape(m, w, rank, joined);
}

/* How much of each end the gradient's window leaves out; from `output_shape` where it is given. */
static void transposed_pads(Onx *m, Window *w)
{
	int64_t extra[3] = { 0 }, shape[3];
	onx_int_list(m, "output_padding", 3, extra);
	const int given = onx_int_list(m, "output_shape", 3, shape);
	const char *how = onx_text(m, "auto_pad", "NOTSET");
	for (int i = 0; i < w->dims; i++) {
		const int64_t span = (w->size[i] - 1) * w->dilation[i] + 1, full = (w->in[i] - 1) * w->stride[i] + span + extra[i];
		if (given == w->dims || strncmp(how, "SAME", 4) == 0) {
			const int64_t all = full - (given == w->dims ? shape[i] : w->in[i] * w->stride[i]), less = (all - (all & 1)) / 2;
			const bool upper = strcmp(how, "SAME_UPPER") == 0;
			w->begin[i] = upper ? less : all - less;
			w->end[i] = all - w->begin[i];
		}
		w->begin[i] = span - 1 - w->begin[i];
		w->end[i] = span - 1 - w->end[i] + extra[i];
		w->stride[i] = 1;
	}
}

static Value *slide_1d_of(Onx *m, Value *x, Value *w, Phys *bias, Window *window, int64_t groups)
{
	IrWindow attr = window_of(window, 0, window->dims);
	attr.groups = (int32_t)groups;
	return convolved(m, x, kernel_of(m, w), bias, attr, window->dims);
}

Value *import_convtranspose(Onx *m)
{
	Window w;
	Value *x = onx_in(m, 0), *kernel = onx_in(m, 1);
	const int64_t groups = onx_int(m, "group", 1);
	Phys *bias = bias_of(m, 2);
	if (m->failed || !onx_known(m, kernel) || !one_picture(m, x) || kernel->rank != x->rank)
		return onx_fail(m, "its kernel is not a constant of as many dimensions");
	int64_t pads[6] = { 0 }, size[3] = { 1, 1, 1 }, stride[3] = { 1, 1, 1 }, dilation[3] = { 1, 1, 1 };
	w = (Window){ .dims = x->rank - 2 };
	const int np = onx_int_list(m, "pads", 6, pads);
	onx_int_list(m, "strides", 3, stride);
	onx_int_list(m, "dilations", 3, dilation);
	if (w.dims > 2 || (np >= 0 && np != 2 * w.dims))
		return onx_fail(m, w.dims > 2 ? "transposed convolutions of 3 dimensions are not supported" : "its pads do not fit");
	for (int i = 0; i < w.dims; i++) {
		size[i] = onx_dim(m, kernel, 2 + i);
		if (stride[i] < 1 || stride[i] > 1024 || dilation[i] < 1 || dilation[i] > 1024 || size[i] > 65535 || pads[i] < 0 ||
		    pads[i] > 65535 || pads[w.dims + i] < 0 || pads[w.dims + i] > 65535)
			return onx_fail(m, "a stride of %lld, a dilation of %lld", (long long)stride[i], (long long)dilation[i]);
		w.in[i] = onx_dim(m, x, 2 + i);
		w.size[i] = size[i];
		w.stride[i] = stride[i];
		w.dilation[i] = dilation[i];
		w.begin[i] = pads[i];
		w.end[i] = pads[w.dims + i];
	}
	transposed_pads(m, &w);
	for (int i = 0; i < w.dims; i++) {
		x = spread(m, x, 2 + i, stride[i]);
		/* windows may not lie outside altogether: what reaches further is cut or added */
		const int64_t cut_begin = w.begin[i] < 0 ? -w.begin[i] : 0, cut_end = w.end[i] < 0 ? -w.end[i] : 0;
		x = onx_slice(m, x, 2 + i, cut_begin, onx_dim(m, x, 2 + i) - cut_begin - cut_end);
		x = onx_pad(m, x, 2 + i, w.begin[i] > 0 ? w.begin[i] : 0, w.end[i] > 0 ? w.end[i] : 0);
		w.begin[i] = w.end[i] = 0;
	}
	return slide_1d_of(m, x, turned_kernel(m, kernel, groups), bias, &w, groups);
}

/* ---- pools ---- */

static Value *pooled(Onx *m, Value *x, OpCode op, IrWindow window, int dims)
{
	Phys *in = picture(m, x, dims);
	IrAttr attr = { .pool = window };
	const bool same_steps = window.dilation[0] == 1 && window.dilation[1] == 1;
	if (m->failed)
		return m->nothing;
	IrNode probe = { .op = op, .nin = 1, .in = (IrNode *[]){ &in->node }, .attr = attr };
	const char *why = ir_infer_why(&probe, m->arena);
	if (why)
		return onx_fail(m, "%s", why);
	Phys *y;
	if (same_steps && onx_dtype(x) == DT_F32)
		y = phys_layer(m, op == OP_maxpool ? "MaxPooling2D" : "AveragePooling2D", window_fields(m, &window, "pool_size"), 1, &in,
		               probe.type);
	else
		y = phys_op(m, op, 1, &in, &attr, NULL);
	return from_picture(m, y, x, dims);
}

/* Depth, then height and width: a maximum of maxima, a mean of means. (batch, channels, depth, height, width) */
static Value *pooled_3d(Onx *m, Value *x, OpCode op, const Window *w)
{
	const int64_t c = onx_dim(m, x, 1), d = onx_dim(m, x, 2), h = onx_dim(m, x, 3), width = onx_dim(m, x, 4);
	int64_t planes[4] = { onx_dim(m, x, 0), c * d, h, width };
	x = pooled(m, onx_reshape(m, x, 4, planes), op, window_of(w, 1, 2), 2);
	const int64_t oh = onx_dim(m, x, 2), ow = onx_dim(m, x, 3);
	int64_t columns[4] = { planes[0], c, d, oh * ow }, all[5] = { planes[0], c, w->out[0], oh, ow };
	IrWindow along = window_of(w, 0, 1);
	along = (IrWindow){ { along.size[1], 1 }, { along.stride[1], 1 }, { along.dilation[1], 1 }, { along.pad[1], 0, along.pad[3], 0 }, 1 };
	x = pooled(m, onx_reshape(m, x, 4, columns), op, along, 2);
	return onx_reshape(m, x, 5, all);
}

Value *import_pool(Onx *m)
{
	Window w;
	Value *x = onx_in(m, 0);
	const OpCode op = is(m, "MaxPool") ? OP_maxpool : OP_avgpool;
	const bool counts = op == OP_avgpool && onx_int(m, "count_include_pad", 0);
	if (!one_picture(m, x) || !read_window(m, x, NULL, &w))
		return m->nothing;
	const DType type = onx_dtype(x);
	if (type != DT_F32)
		x = onx_cast(m, x, DT_F32);
	for (int i = 0; i < w.dims && counts; i++) {
		x = onx_pad(m, x, 2 + i, w.begin[i], w.end[i] - w.extra[i]);
		w.begin[i] = 0;
		w.end[i] = w.extra[i];
	}
	Value *y = w.dims == 3 ? pooled_3d(m, x, op, &w) : pooled(m, x, op, window_of(&w, 0, w.dims), w.dims);
	return onx_cast(m, y, type);
}

Value *import_lppool(Onx *m)
{
	Window w;
	Value *x = onx_in(m, 0);
	const int64_t p = onx_int(m, "p", 2);
	double cells = 1;
	if (!one_picture(m, x) || !read_window(m, x, NULL, &w))
		return m->nothing;
	if (p != 1 && p != 2)
		return onx_fail(m, "p is %lld; 1 and 2 are supported", (long long)p);
	x = p == 2 ? onx_2(m, OP_mul, x, x) : onx_1(m, OP_abs, x);
	for (int i = 0; i < w.dims; i++) {
		x = onx_pad(m, x, 2 + i, w.begin[i], w.end[i]);
		w.begin[i] = w.end[i] = 0;
		cells *= (double)w.size[i];
	}
	Value *y = w.dims == 3 ? pooled_3d(m, x, OP_avgpool, &w) : pooled(m, x, OP_avgpool, window_of(&w, 0, w.dims), w.dims);
	y = onx_2k(m, OP_mul, y, cells);
	return p == 2 ? onx_1(m, OP_sqrt, y) : y;
}

Value *import_globalpool(Onx *m)
{
	Value *x = onx_in(m, 0);
	const bool max = is(m, "GlobalMaxPool");
	double cells = 1;
	if (m->failed)
		return m->nothing;
	if (x->rank == 4 && ir_batched(&x->p->node.type) && onx_dtype(x) == DT_F32 && one_picture(m, x)) {
		Phys *in = picture(m, x, 2);
		IrType t = in->node.type;
		if (m->failed)
			return m->nothing;
		t.dim[1] = t.dim[2] = 1;
		Phys *y = phys_layer(m, max ? "GlobalMaxPooling2D" : "GlobalAveragePooling2D", "keepdims: true, ", 1, &in, t);
		return from_picture(m, y, x, 2);
	}
	const uint32_t axes = ((1u << x->rank) - 1) & ~3u;
	for (int i = 2; i < x->rank; i++)
		cells *= (double)onx_dim(m, x, i);
	Value *y = onx_reduce(m, max ? OP_reduce_max : OP_sum, x, axes, true);
	return max ? y : onx_2k(m, OP_mul, y, 1 / cells);
}

/* ---- matrix products ---- */

/* x (…, k) with a constant kernel (k, n) as Dense. Elements of a flattened picture stay where they lie: rows of the kernel
 * are put into their order instead. */
static Value *dense(Onx *m, Value *x, Value *w, Phys *bias)
{
	int64_t k = onx_dim(m, w, 0), n = onx_dim(m, w, 1), dim[ONNX_MAX_RANK];
	int axis[ONNX_MAX_RANK], nx = 0;
	Phys *in;
	if (x->flat) {
		Value *from = x->flat;
		const IrType *t = &from->p->node.type;
		int perm[ONNX_MAX_RANK], rank = 0;
		for (int i = 0; i < from->rank; i++) {
			if (i != onx_batch_axis(m, from) && from->at[i] >= 0)
				dim[rank++] = onx_dim(m, from, i);
		}
		dim[rank] = n;
		for (int p = 1; p < t->rank; p++) { /* perm: logical axis that lies at physical p */
			for (int i = 0, r = 0; i < from->rank; i++) {
				if (i == onx_batch_axis(m, from) || from->at[i] < 0)
					continue;
				if (from->at[i] == p)
					perm[p - 1] = r;
				r++;
			}
		}
		perm[rank] = rank;
		w = onx_reshape(m, onx_transpose(m, onx_reshape(m, w, rank + 1, dim), perm), 2, (int64_t[]){ k, n });
		in = x->p;
		axis[nx++] = 1;
	} else {
		for (int i = 0; i < x->rank; i++) {
			if (i != onx_batch_axis(m, x))
				axis[nx++] = i;
		}
		in = onx_take(m, x, nx, axis);
	}
	Phys *kernel = onx_take(m, w, 2, (int[]){ 0, 1 });
	if (m->failed)
		return m->nothing;
	IrType t = in->node.type;
	t.dim[t.rank - 1] = (int32_t)n;
	Phys *y = phys_layer(m, "Dense", arena_printf(m->arena, "units: %lld, %s", (long long)n, bias ? "" : "use_bias: false, "), 1, &in, t);
	phys_weight(m, y->layer, "kernel", kernel);
	if (bias)
		phys_weight(m, y->layer, "bias", bias);
	return onx_make(m, y, x->rank, nx, axis, onx_batch_axis(m, x));
}

static bool is_dense(Onx *m, Value *x, Value *w)
{
	const bool floats = !m->failed && onx_dtype(x) == DT_F32 && onx_dtype(w) == DT_F32;
	return floats && x->rank >= 2 && w->rank == 2 && ir_batched(&x->p->node.type) && w->p->known &&
	       onx_dim(m, x, x->rank - 1) == onx_dim(m, w, 0) && onx_batch_axis(m, x) != x->rank - 1;
}

Value *import_matmul(Onx *m)
{
	Value *a = onx_in(m, 0), *b = onx_in(m, 1);
	return is_dense(m, a, b) ? dense(m, a, b, NULL) : onx_matmul(m, a, b);
}

Value *import_gemm(Onx *m)
{
	const int swap[2] = { 1, 0 };
	Value *a = onx_in(m, 0), *b = onx_in(m, 1), *c = onx_has(m, 2) ? onx_in(m, 2) : NULL;
	const double alpha = onx_float(m, "alpha", 1), beta = onx_float(m, "beta", 1);
	if (m->failed || a->rank != 2 || b->rank != 2)
		return onx_fail(m, "its inputs are %d- and %d-dimensional", a->rank, b->rank);
	if (onx_int(m, "transA", 0))
		a = onx_transpose(m, a, swap);
	if (onx_int(m, "transB", 0))
		b = onx_transpose(m, b, swap);
	if (is_dense(m, a, b)) {
		const bool row = c && c->p->known && ((c->rank == 1 && onx_dim(m, c, 0) == onx_dim(m, b, 1)) ||
		                                      (c->rank == 2 && onx_dim(m, c, 0) == 1 && onx_dim(m, c, 1) == onx_dim(m, b, 1)));
		b = alpha == 1 ? b : onx_2k(m, OP_mul, b, alpha);
		if (row || !c) {
			c = c && beta != 1 ? onx_2k(m, OP_mul, c, beta) : c;
			return dense(m, a, b, c ? onx_take(m, c, 1, (int[]){ c->rank - 1 }) : NULL);
		}
		Value *y = dense(m, a, b, NULL);
		return onx_2(m, OP_add, y, beta == 1 ? c : onx_2k(m, OP_mul, c, beta));
	}
	Value *y = onx_matmul(m, a, b);
	y = alpha == 1 ? y : onx_2k(m, OP_mul, y, alpha);
	return c ? onx_2(m, OP_add, y, beta == 1 ? c : onx_2k(m, OP_mul, c, beta)) : y;
}

Value *import_matmulinteger(Onx *m)
{
	Value *a = less_zero_point(m, 0, 2, 0), *b = less_zero_point(m, 1, 3, 1);
	return onx_cast(m, onx_matmul(m, a, b), DT_I32);
}

/* ---- normalizations ---- */

static Value *mean_of(Onx *m, Value *x, uint32_t axes)
{
	double n = 1;
	for (int i = 0; i < x->rank; i++)
		n *= axes >> i & 1 ? (double)onx_dim(m, x, i) : 1;
	return onx_2k(m, OP_mul, onx_reduce(m, OP_sum, x, axes, true), 1 / n);
}

/* (x - mean) / sqrt(variance + epsilon) over `axes` */
static Value *normalized(Onx *m, Value *x, uint32_t axes, double epsilon, Value **mean, Value **inverse)
{
	*mean = mean_of(m, x, axes);
	Value *centred = onx_2(m, OP_sub, x, *mean), *variance = mean_of(m, onx_2(m, OP_mul, centred, centred), axes);
	*inverse = onx_1(m, OP_rsqrt, onx_2k(m, OP_add, variance, epsilon));
	return onx_2(m, OP_mul, centred, *inverse);
}

/* One value a channel, to be broadcast with x (batch, channels, …). */
static Value *by_channel(Onx *m, Value *v, const Value *x)
{
	for (int i = 2; i < x->rank && !m->failed; i++)
		v = onx_unsqueeze(m, v, 1u << v->rank);
	return v;
}

static Value *training_norm(Onx *m, Value *x)
{
	const uint32_t axes = ((1u << x->rank) - 1) & ~2u;
	const double momentum = onx_float(m, "momentum", 0.9);
	Value *mean, *inverse, *y = normalized(m, x, axes, onx_float(m, "epsilon", 1e-5), &mean, &inverse);
	Value *centred = onx_2(m, OP_sub, x, mean), *variance = mean_of(m, onx_2(m, OP_mul, centred, centred), axes);
	y = onx_2(m, OP_add, onx_2(m, OP_mul, y, by_channel(m, onx_in(m, 1), x)), by_channel(m, onx_in(m, 2), x));
	Value *batch[2] = { onx_squeeze(m, mean, axes), onx_squeeze(m, variance, axes) };
	for (int i = 0; i < 2; i++)
		m->out[1 + i] = onx_2(m, OP_add, onx_2k(m, OP_mul, onx_in(m, 3 + i), momentum), onx_2k(m, OP_mul, batch[i], 1 - momentum));
	return y;
}

Value *import_batchnorm(Onx *m)
{
	Value *x = onx_in(m, 0);
	Phys *w[4];
	if (m->failed || x->rank < 2)
		return onx_fail(m, "its input has %d dimensions", x->rank);
	if (onx_int(m, "training_mode", 0))
		return training_norm(m, x);
	x = onx_real(m, x);
	for (int i = 0; i < 4; i++) {
		Value *v = onx_in(m, 1 + i);
		if (m->failed || !onx_known(m, v) || v->rank != 1 || onx_dim(m, v, 0) != onx_dim(m, x, 1))
			return onx_fail(m, "input %d is no constant row, one value a channel", 1 + i);
		w[i] = onx_take(m, v, 1, (int[]){ 0 });
	}
	int axis[ONNX_MAX_RANK], n = 0;
	const int batch = onx_batch_axis(m, x);
	if (!ir_batched(&x->p->node.type))
		return onx_fail(m, "its input is a constant");
	for (int i = 0; i < x->rank; i++) {
		if (i != batch && i != 1)
			axis[n++] = i;
	}
	axis[n++] = 1;
	Phys *in = onx_take(m, x, n, axis);
	if (m->failed)
		return m->nothing;
	Phys *y = phys_layer(m, "BatchNormalization", arena_printf(m->arena, "epsilon: %.9g, momentum: %.9g, ", onx_float(m, "epsilon", 1e-5),
	                                                           onx_float(m, "momentum", 0.9)), 1, &in, in->node.type);
	static const char *const names[] = { "gamma", "beta", "moving_mean", "moving_variance" };
	for (int i = 0; i < 4; i++)
		phys_weight(m, y->layer, names[i], w[i]);
	return onx_make(m, y, x->rank, n, axis, batch);
}

Value *import_instancenorm(Onx *m)
{
	Value *x = onx_in(m, 0), *mean, *inverse;
	if (m->failed || x->rank < 3)
		return onx_fail(m, "its input has %d dimensions", x->rank);
	Value *y = normalized(m, x, ((1u << x->rank) - 1) & ~3u, onx_float(m, "epsilon", 1e-5), &mean, &inverse);
	return onx_2(m, OP_add, onx_2(m, OP_mul, y, by_channel(m, onx_in(m, 1), x)), by_channel(m, onx_in(m, 2), x));
}

Value *import_layernorm(Onx *m)
{
	Value *x = onx_in(m, 0);
	const int axis = onx_axis(m, x, onx_int(m, "axis", -1));
	if (m->failed)
		return m->nothing;
	const uint32_t axes = ((1u << x->rank) - 1) & ~((1u << axis) - 1);
	Value *y = normalized(m, x, axes, onx_float(m, "epsilon", 1e-5), &m->out[1], &m->out[2]);
	y = onx_2(m, OP_mul, y, onx_in(m, 1));
	return onx_has(m, 2) ? onx_2(m, OP_add, y, onx_in(m, 2)) : y;
}

/* (batch, groups, channels / groups, …): before opset 21 scale and bias are one a group. */
Value *import_groupnorm(Onx *m)
{
	Value *x = onx_in(m, 0), *mean, *inverse;
	const int64_t groups = onx_int(m, "num_groups", 1);
	int64_t dim[ONNX_MAX_RANK], back[ONNX_MAX_RANK];
	if (m->failed || x->rank < 2 || groups < 1 || onx_dim(m, x, 1) % groups || x->rank >= ONNX_MAX_RANK)
		return onx_fail(m, "%lld groups do not divide its channels", (long long)groups);
	for (int i = 0; i < x->rank; i++) {
		back[i] = onx_dim(m, x, i);
		dim[i + (i > 1)] = back[i];
	}
	dim[1] = groups;
	dim[2] = back[1] / groups;
	Value *y = onx_reshape(m, x, x->rank + 1, dim);
	y = normalized(m, y, ((1u << (x->rank + 1)) - 1) & ~3u, onx_float(m, "epsilon", 1e-5), &mean, &inverse);
	Value *scale = onx_in(m, 1), *bias = onx_in(m, 2);
	if (m->failed)
		return m->nothing;
	if (onx_dim(m, scale, 0) == groups && m->g->opset < 21) {
		y = onx_2(m, OP_add, onx_2(m, OP_mul, y, by_channel(m, scale, y)), by_channel(m, bias, y));
		return onx_reshape(m, y, x->rank, back);
	}
	y = onx_reshape(m, y, x->rank, back);
	return onx_2(m, OP_add, onx_2(m, OP_mul, y, by_channel(m, scale, x)), by_channel(m, bias, x));
}

Value *import_mvn(Onx *m)
{
	int64_t list[ONNX_MAX_RANK] = { 0, 2, 3 };
	Value *x = onx_in(m, 0);
	int n = onx_int_list(m, "axes", ONNX_MAX_RANK, list);
	uint32_t axes = 0;
	for (int i = 0; i < (n < 0 ? 3 : n); i++)
		axes |= 1u << onx_axis(m, x, list[i]);
	if (m->failed)
		return m->nothing;
	Value *mean = mean_of(m, x, axes), *squares = mean_of(m, onx_2(m, OP_mul, x, x), axes);
	Value *deviation = onx_1(m, OP_sqrt, onx_2(m, OP_sub, squares, onx_2(m, OP_mul, mean, mean)));
	return onx_2(m, OP_div, onx_2(m, OP_sub, x, mean), onx_2k(m, OP_add, deviation, 1e-9));
}

/* x / (bias + alpha / size * sum of the squares of `size` neighbouring channels) ^ beta */
Value *import_lrn(Onx *m)
{
	Value *x = onx_in(m, 0);
	const int64_t size = onx_int(m, "size", 1), before = (size - 1) / 2;
	const double alpha = onx_float(m, "alpha", 1e-4), beta = onx_float(m, "beta", 0.75), bias = onx_float(m, "bias", 1);
	if (m->failed || x->rank < 2 || size < 1 || size > 255)
		return onx_fail(m, "a size of %lld", (long long)size);
	const int64_t channels = onx_dim(m, x, 1);
	Value *squares = onx_pad(m, onx_2(m, OP_mul, x, x), 1, before, size - 1 - before), *sum = NULL;
	for (int64_t i = 0; i < size; i++) {
		Value *one = onx_slice(m, squares, 1, i, channels);
		sum = sum ? onx_2(m, OP_add, sum, one) : one;
	}
	Value *base = onx_2k(m, OP_add, onx_2k(m, OP_mul, sum, alpha / (double)size), bias);
	return onx_2(m, OP_mul, x, onx_1(m, OP_exp, onx_2k(m, OP_mul, onx_1(m, OP_log, base), -beta)));
}

Value *import_dropout(Onx *m)
{
	Value *x = onx_in(m, 0);
	int64_t training = 0;
	int n;
	double ratio = 0.5;
	if (onx_has(m, 1) && onx_has(m, 2)) {
		const double *r = onx_doubles(m, onx_in(m, 1));
		ratio = r ? r[0] : 0;
	}
	if (onx_has(m, 2) && !onx_ints(m, onx_in(m, 2), "training_mode", 1, &training, &n))
		return m->nothing;
	if (training && ratio != 0)
		return onx_fail(m, "dropping at random is for training: prediction is what is imported");
	if (onx_wanted(m, 1))
		m->out[1] = onx_2(m, OP_eq, x, x);
	return x;
}

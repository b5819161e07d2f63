/* random_model.c -- valid model files from a seed: see random_model.h */
#include "tests/support/random_model.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ir/arena.h"
#include "tests/numeric/random_graph.h"

enum { MOST = 64, ELEMS = 8000, WORK = 1000000 };

typedef struct Out { /* output of a layer, one sample */
	char name[16];
	int h, w, c; /* h 0: rank 1 */
} Out;

typedef struct Make {
	uint64_t rng;
	FILE *f;
	Out out[MOST];
	int n;
	bool pictures;
} Make;

static int below(Make *m, int n)
{
	return (int)(random_bits(&m->rng) >> 33) % n;
}

static bool chance(Make *m, int percent)
{
	return below(m, 100) < percent;
}

static int one_of(Make *m, const int *v, int n)
{
	return v[below(m, n)];
}
#define ONE_OF(m, ...) one_of(m, (const int[]){__VA_ARGS__}, (int)COUNT(((const int[]){__VA_ARGS__})))

static const char *word_of(Make *m, const char *const *v, int n)
{
	return v[below(m, n)];
}
#define WORD_OF(m, ...) word_of(m, (const char *const[]){__VA_ARGS__}, (int)COUNT(((const char *const[]){__VA_ARGS__})))

/* Mostly the newest, so that graphs grow deep. */
static const Out *pick(Make *m)
{
	return &m->out[chance(m, 75) ? m->n - 1 : below(m, m->n)];
}

/* `    - Kind: {inputs: [a], name: l7` + fields + `}`; the new output is like `as`. */
__attribute__((format(printf, 4, 5))) static Out *layer(Make *m, const char *kind, const Out *as, const char *fields,
							...)
{
	va_list args;
	Out *o = &m->out[m->n], copy = *as;
	fprintf(m->f, "    - %s: {inputs: %s, name: l%d", kind, as->name, m->n);
	va_start(args, fields);
	vfprintf(m->f, fields, args);
	va_end(args);
	fputs("}\n", m->f);
	*o = copy;
	snprintf(o->name, sizeof o->name, "l%d", m->n++);
	return o;
}

static const char *activation(Make *m)
{
	return WORD_OF(m, "linear", "relu", "relu", "relu", "tanh", "sigmoid", "elu", "gelu", "silu", "softplus",
		       "leaky_relu", "relu6", "hard_silu", "mish", "selu", "softsign", "softmax");
}

static const char *regularizer(Make *m)
{
	return chance(m, 80) ? "" : WORD_OF(m, ", kernel_regularizer: {l2: 0.05}", ", kernel_regularizer: {l1: 0.02}");
}

/* ---- windows ---- */

/* Extent of the output, 0: no window fits. */
static int windows(int extent, int size, int stride, int dilation, bool same)
{
	int reach = (size - 1) * dilation + 1;
	return same ? (extent + stride - 1) / stride : extent < reach ? 0 : (extent - reach) / stride + 1;
}

static bool conv(Make *m, const Out *x)
{
	int filters = ONE_OF(m, 1, 2, 3, 5, 8, 16, 16, 17, 24, 32, 33, 40), size[2], stride[2] = {1, 1},
	    dilation[2] = {1, 1};
	int groups = chance(m, 85) ? 1 : ONE_OF(m, 2, 3, 4, x->c);
	bool same = chance(m, 50);
	if (x->c % groups)
		groups = 1;
	filters = (filters + groups - 1) / groups * groups;
	for (int i = 0; i < 2; i++) {
		size[i] = chance(m, 90) ? ONE_OF(m, 1, 2, 3, 3, 3, 4, 5, 7) : ONE_OF(m, 9, 12, 16, 21, 35);
		if (i && chance(m, 70))
			size[1] = size[0];
		stride[i] = chance(m, 70) ? 1 : 1 + below(m, 3);
	}
	for (int i = 0; i < 2; i++)
		dilation[i] = stride[0] * stride[1] > 1 || chance(m, 85) ? 1 : 2;
	int h = windows(x->h, size[0], stride[0], dilation[0], same),
	    w = windows(x->w, size[1], stride[1], dilation[1], same);
	if (h < 1 || w < 1 || h * w * filters > ELEMS ||
	    (int64_t)h * w * filters * size[0] * size[1] * x->c / groups > WORK)
		return false;
	Out *o =
		layer(m, "Conv2D", x,
		      ", filters: %d, kernel_size: [%d, %d], strides: [%d, %d], dilation_rate: [%d, %d], "
		      "padding: %s, groups: %d, activation: %s, use_bias: %s%s",
		      filters, size[0], size[1], stride[0], stride[1], dilation[0], dilation[1],
		      same ? "same" : "valid", groups, activation(m), chance(m, 80) ? "true" : "false", regularizer(m));
	o->h = h, o->w = w, o->c = filters;
	return true;
}

static bool pool(Make *m, const Out *x)
{
	int size[2] = {1 + below(m, chance(m, 90) ? 4 : 20), 0}, stride[2];
	bool same = chance(m, 40);
	size[1] = chance(m, 70) ? size[0] : 1 + below(m, 4);
	for (int i = 0; i < 2; i++)
		stride[i] = chance(m, 60) ? size[i] : 1 + below(m, 3);
	int h = windows(x->h, size[0], stride[0], 1, same), w = windows(x->w, size[1], stride[1], 1, same);
	if (h < 1 || w < 1)
		return false;
	Out *o = layer(m, chance(m, 60) ? "MaxPooling2D" : "AveragePooling2D", x,
		       ", pool_size: [%d, %d], strides: [%d, %d], "
		       "padding: %s",
		       size[0], size[1], stride[0], stride[1], same ? "same" : "valid");
	o->h = h, o->w = w;
	return true;
}

/* ---- layers on several inputs ---- */

static const Out *match(Make *m, const Out *x, bool channels)
{
	int start = below(m, m->n);
	for (int i = 0; i < m->n; i++) {
		const Out *o = &m->out[(start + i) % m->n];
		if (o->h == x->h && o->w == x->w && (!channels || o->c == x->c))
			return o;
	}
	return x;
}

static bool merge(Make *m, const Out *x)
{
	const Out *y = match(m, x, true), *z = match(m, x, true);
	const char *kind = WORD_OF(m, "Add", "Add", "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum");
	if (!strcmp(y->name, x->name) && kind[0] == 'S') /* nothing but zeros: every rounding decides a kink */
		kind = "Add";
	bool three = chance(m, 20) && kind[0] != 'S';
	Out *o = &m->out[m->n];
	fprintf(m->f, "    - %s: {inputs: [%s, %s%s%s], name: l%d}\n", kind, x->name, y->name, three ? ", " : "",
		three ? z->name : "", m->n);
	*o = *x;
	snprintf(o->name, sizeof o->name, "l%d", m->n++);
	return true;
}

static bool concat(Make *m, const Out *x)
{
	const Out *y = match(m, x, false);
	Out *o = &m->out[m->n];
	if ((x->h ? x->h * x->w : 1) * (x->c + y->c) > ELEMS || x->c + y->c > 200)
		return false;
	fprintf(m->f, "    - Concatenate: {inputs: [%s, %s], name: l%d}\n", x->name, y->name, m->n);
	int c = x->c + y->c;
	*o = *x;
	o->c = c;
	snprintf(o->name, sizeof o->name, "l%d", m->n++);
	return true;
}

/* ---- layers on anything ---- */

static bool dense(Make *m, const Out *x)
{
	int units = ONE_OF(m, 1, 2, 5, 10, 16, 17, 32, 40, 100);
	if ((int64_t)(x->h ? x->h * x->w : 1) * x->c * units > WORK || (x->h && x->h * x->w * units > ELEMS))
		return false;
	layer(m, "Dense", x, ", units: %d, activation: %s, use_bias: %s%s", units, activation(m),
	      chance(m, 80) ? "true" : "false", regularizer(m))
		->c = units;
	return true;
}

static void pointwise(Make *m, const Out *x)
{
	switch (below(m, 6)) {
	case 0:
		layer(m, "Dropout", x, ", rate: 0.%d", 1 + below(m, 8));
		break;
	case 1:
		layer(m, "Activation", x, ", activation: %s", activation(m));
		break;
	case 2:
		layer(m, "ReLU", x, ", negative_slope: 0.%d", below(m, 3));
		break;
	case 3:
		layer(m, "Rescaling", x, ", scale: 0.%d, offset: %d", 5 + below(m, 5), below(m, 3) - 1);
		break;
	default:
		layer(m, "BatchNormalization", x, ", momentum: 0.9, epsilon: 0.01, center: %s, scale: %s",
		      chance(m, 80) ? "true" : "false", chance(m, 80) ? "true" : "false");
	}
}

static void flatten(Make *m, const Out *x)
{
	const char *kind = WORD_OF(m, "Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D");
	int all = x->h * x->w * x->c;
	Out *o = layer(m, kind, x, "%s", "");
	o->c = kind[0] == 'F' ? all : o->c;
	o->h = o->w = 0;
}

static void reshape(Make *m, const Out *x)
{
	Out *o = layer(m, "Reshape", x, ", target_shape: [%d, %d, %d]", x->w, x->h, x->c);
	int h = o->h;
	o->h = o->w;
	o->w = h;
}

static void grow(Make *m)
{
	Out copy = *pick(m);
	const Out *x = &copy;
	int what = below(m, 100);
	if (x->h && what < 35)
		conv(m, x);
	else if (x->h && what < 48)
		pool(m, x);
	else if (what < 60)
		merge(m, x);
	else if (what < 68)
		concat(m, x);
	else if (x->h && what < 71)
		reshape(m, x);
	else if (what < (x->h ? 75 : 85))
		dense(m, x);
	else
		pointwise(m, x);
}

/* ---- the rest of the file ---- */

static void start(Make *m, int batch)
{
	Out *x = &m->out[m->n++];
	*x = (Out){.name = "input", .c = ONE_OF(m, 1, 3, 7, 16, 20)};
	m->pictures = chance(m, 15);
	bool flat = !m->pictures && chance(m, 15);
	int most = x->c <= 3 && chance(m, 30) ? 40 : 18;
	if (!flat)
		x->h = 1 + below(m, most), x->w = chance(m, 50) ? x->h : 1 + below(m, most);
	if (m->pictures)
		x->c = ONE_OF(m, 1, 3);
	fprintf(m->f, "cnnc: 1\ndata:\n  batch_size: %d\n", batch);
	if (m->pictures)
		fprintf(m->f,
			"  type: image_directory\n  train: {directory: t}\n  image_size: [%d, %d]\n  color_mode: %s\n"
			"  preprocess: {rescale: 1/255}\n",
			x->h, x->w, x->c == 1 ? "grayscale" : "rgb");
	else
		fputs("  type: npy\n", m->f);
	fputs("model:\n", m->f);
	if (flat)
		fprintf(m->f, "  input_shape: [%d]\n", x->c);
	else
		fprintf(m->f, "  input_shape: [%d, %d, %d]\n", x->h, x->w, x->c);
	fputs("  layers:\n", m->f);
}

static const char *optimizer(Make *m)
{
	return WORD_OF(m, "sgd", "sgd", "{sgd: {momentum: 0.9}}",
		       "{sgd: {momentum: 0.8, nesterov: true, weight_decay: 0.01}}", "{adam: {epsilon: 0.001}}",
		       "{adam: {epsilon: 0.001, amsgrad: true}}", "{adamw: {epsilon: 0.001, weight_decay: 0.02}}");
}

static void finish(Make *m)
{
	static const struct {
		const char *activation, *loss, *metrics;
		int classes; /* at least */
		bool arrays; /* labels are numbers: not for pictures */
	} end[] = {
		{"softmax", "sparse_categorical_crossentropy", "accuracy, scce", 2, false},
		{"linear", "{scce: {from_logits: true}}", "accuracy, top_2_accuracy", 2, false},
		{"softmax", "categorical_crossentropy", "accuracy, mse", 2, true},
		{"sigmoid", "binary_crossentropy", "binary_accuracy, precision, recall", 1, true},
		{"linear", "{bce: {from_logits: true, label_smoothing: 0.1}}", "mae", 1, true},
		{"linear", "mean_squared_error", "mae, mse", 1, true},
		{"softsign", "mse", "mae", 1, true},
	};
	int which = m->pictures ? below(m, 2) : below(m, (int)COUNT(end));
	int units = ONE_OF(m, 1, 2, 3, 10, 33);
	units = units < end[which].classes ? end[which].classes : units;
	Out last = m->out[m->n - 1];
	if (last.h) {
		flatten(m, &last);
		last = m->out[m->n - 1];
	}
	layer(m, "Dense", &last, ", units: %d, activation: %s", units, end[which].activation);
	fprintf(m->f, "train:\n  optimizer: %s\n  loss: %s\n  metrics: [%s]\n", optimizer(m), end[which].loss,
		end[which].metrics);
}

char *random_model(uint64_t seed, int *batch)
{
	Make m = {.rng = seed * 2654435761u + 12345};
	char *text;
	size_t size;
	m.f = open_memstream(&text, &size);
	*batch = ONE_OF(&m, 1, 2, 3, 5, 8, 17, 33);
	start(&m, *batch);
	for (int i = 2 + below(&m, 10); i > 0; i--)
		grow(&m);
	finish(&m);
	fclose(m.f);
	return text;
}

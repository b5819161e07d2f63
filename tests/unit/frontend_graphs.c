/* frontend_graphs.c -- the graphs that model files become: shapes, names, parameters, entries, values of losses and metrics */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "frontend/frontend.h"
#include "runtime/metrics.h"
#include "tests/support/suite.h"

static FeModel model;
static Diag *diag;

static void load(const char *text)
{
	diag = diag_new();
	if (!fe_load_text("m.yaml", text, strlen(text), NULL, 0, diag, &model)) {
		diag_print(diag, stderr);
		ck_abort_msg("refused:\n%s", text);
	}
	ck_assert(ir_verify(model.module, diag));
}

static void unload(void)
{
	ir_module_free(model.module);
	diag_free(diag);
}

static IrNode *find_node(const char *entry, const char *name)
{
	IrEntry *e = ir_entry_find(model.module, entry);
	ck_assert_msg(e != NULL, "no entry %s", entry);
	IR_EACH(e, n) {
		if (n->name && strcmp(n->name, name) == 0)
			return n;
	}
	return NULL;
}

static int count_ops(const char *entry, OpCode op)
{
	int count = 0;
	IR_EACH(ir_entry_find(model.module, entry), n)
		count += n->op == op;
	return count;
}

static const char *shape_of(const char *name)
{
	IrNode *n = find_node("predict", name);
	ck_assert_msg(n != NULL, "no node %s", name);
	return ir_shape_text(model.module->arena, &n->type);
}

static const char *const reference =
	"cnnc: 1\nname: classifier\ntask: image_classification\n"
	"data:\n  type: image_directory\n  train: {directory: data/train}\n  validation: {directory: data/test}\n  image_size: [64, 64]\n"
	"  color_mode: rgb\n  label_mode: binary\n  batch_size: 32\n  on_error: skip\n  preprocess: {rescale: 1/255}\n"
	"  augment:\n    horizontal_flip: true\n    width_shift_range: 0.1\n    height_shift_range: 0.1\n"
	"model:\n  input_shape: [64, 64, 3]\n  layers:\n"
	"    - Conv2D: {filters: 32, kernel_size: 3, activation: relu}\n    - MaxPooling2D: {pool_size: 2}\n"
	"    - Conv2D: {filters: 64, kernel_size: 3, activation: relu}\n    - MaxPooling2D: {pool_size: 2}\n"
	"    - Conv2D: {filters: 128, kernel_size: 3, activation: relu}\n    - MaxPooling2D: {pool_size: 2}\n"
	"    - Flatten\n    - Dense: {units: 128, activation: relu}\n    - Dense: {units: 1, activation: sigmoid}\n"
	"train:\n  seed: 1\n  optimizer: adam\n  loss: binary_crossentropy\n  metrics: [accuracy]\n  steps_per_epoch: 100\n  epochs: 20\n"
	"  validation_steps: 50\n";

START_TEST(reference_model)
{
	static const int64_t params[] = {896, 0, 18496, 0, 73856, 0, 0, 589952, 129};
	load(reference);
	ck_assert_int_eq(model.params, 683329);
	ck_assert_int_eq(model.trainable, 683329);
	ck_assert_int_eq(model.nlayers, 9);
	for (int i = 0; i < 9; i++)
		ck_assert_int_eq(model.layer[i].params, params[i]);
	ck_assert_int_eq(model.flops, 60058624);
	ck_assert_str_eq(shape_of("conv2d"), "(N, 62, 62, 32)");
	ck_assert_str_eq(shape_of("max_pooling2d_2"), "(N, 6, 6, 128)");
	ck_assert_str_eq(shape_of("dense_1.act"), "(N, 1)");
	ck_assert_int_eq(find_node("predict", "conv2d_1.bias")->loc.line, 23);
	ck_assert_ptr_nonnull(ir_state_find(model.module, "dense_1.kernel"));
	ck_assert_int_eq(model.module->max_n, 32);
	ck_assert_int_eq(model.module->optimizer.kind, OPTIM_ADAM);
	ck_assert(model.trains);
	ck_assert_int_eq(count_ops("train_step", OP_warp), 1);
	ck_assert_int_eq(count_ops("evaluate", OP_warp), 0);
	ck_assert_ptr_nonnull(ir_entry_find(model.module, "train_step")->loss);
	ck_assert_int_eq(ir_entry_find(model.module, "predict")->port[0].type.dtype, DT_U8);
	ck_assert_int_eq(ir_entry_find(model.module, "predict_raw")->port[0].type.dtype, DT_F32);
	unload();
}
END_TEST

START_TEST(streams_differ)
{
	load(reference);
	uint32_t expected = 0;
	IR_EACH_STATE(model.module, s)
		ck_assert_int_eq(s->init_stream, expected++);
	ck_assert_int_gt(model.module->next_stream, expected);
	unload();
}
END_TEST

/* Input 11x10x3; output extents as tf.nn.conv2d and tf.nn.max_pool2d give them. */
START_TEST(window_shapes)
{
	static const struct { const char *layer, *shape; } cases[] = {
		{"Conv2D: {filters: 2, kernel_size: 3, strides: 2, padding: same}", "(N, 6, 5, 2)"},
		{"Conv2D: {filters: 2, kernel_size: [5, 4], padding: same}", "(N, 11, 10, 2)"},
		{"Conv2D: {filters: 2, kernel_size: 3, dilation_rate: [2, 3]}", "(N, 7, 4, 2)"},
		{"Conv2D: {filters: 3, kernel_size: 1, stride: 3, padding: same, groups: 3}", "(N, 4, 4, 3)"},
		{"MaxPooling2D: {pool_size: 3, padding: same}", "(N, 4, 4, 3)"},
		{"MaxPooling2D: {pool_size: [2, 3], strides: [1, 2]}", "(N, 10, 4, 3)"},
		{"AveragePooling2D", "(N, 5, 5, 3)"},
		{"GlobalAveragePooling2D", "(N, 3)"},
		{"GlobalMaxPooling2D: {keepdims: true}", "(N, 1, 1, 3)"},
		{"Dense: {units: 7}", "(N, 11, 10, 7)"},
		{"Reshape: {target_shape: [5, -1]}", "(N, 5, 66)"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[400];
		snprintf(text, sizeof text, "cnnc: 1\nmodel: {input_shape: [11, 10, 3], layers: [%s]}\n", cases[i].layer);
		load(text);
		ck_assert_str_eq(ir_shape_text(model.module->arena, &model.layer[0].type), cases[i].shape);
		unload();
	}
}
END_TEST

/* TensorFlow puts the odd cell of padding below and to the right. */
START_TEST(same_padding_is_asymmetric)
{
	load("cnnc: 1\nmodel: {input_shape: [8, 9, 1], layers: [Conv2D: {filters: 1, kernel_size: 4, strides: 3, padding: same}]}\n");
	const IrWindow *w = &find_node("predict", "conv2d")->attr.conv;
	ck_assert_int_eq(w->pad[0], 1); /* (3 - 1) * 3 + 4 - 8 = 2 */
	ck_assert_int_eq(w->pad[2], 1);
	ck_assert_int_eq(w->pad[1], 0); /* (3 - 1) * 3 + 4 - 9 = 1 */
	ck_assert_int_eq(w->pad[3], 1);
	unload();
}
END_TEST

START_TEST(graph_form)
{
	load("cnnc: 1\nmodel:\n  inputs: [{name: picture, shape: [8, 8, 4]}]\n  layers:\n"
	     "    - Conv2D: {filters: 4, kernel_size: 3, padding: same, name: left, trainable: false}\n"
	     "    - Conv2D: {filters: 4, kernel_size: 1, inputs: picture}\n    - Add: {inputs: [left, conv2d, picture]}\n"
	     "    - Concatenate: {inputs: [add, left], axis: 1}\n    - GlobalAveragePooling2D\n    - Dense: {units: 2, use_bias: false}\n"
	     "  outputs: dense\n");
	ck_assert_str_eq(shape_of("concatenate"), "(N, 16, 8, 4)");
	ck_assert_int_eq(model.params, 4 * 36 + 4 + 16 + 4 + 8);
	ck_assert_int_eq(model.trainable, 16 + 4 + 8);
	ck_assert_ptr_null(ir_state_find(model.module, "dense.bias"));
	ck_assert(!ir_state_find(model.module, "left.kernel")->trainable);
	ck_assert(!model.trains);
	ck_assert_ptr_null(ir_entry_find(model.module, "evaluate"));
	ck_assert_ptr_null(ir_entry_find(model.module, "predict_raw"));
	unload();
}
END_TEST

START_TEST(training_only_parts)
{
	load("cnnc: 1\ndata: {type: npy}\nmodel:\n  input_shape: [4, 4, 2]\n  layers:\n    - BatchNormalization: {momentum: 0.9}\n"
	     "    - Dropout: {rate: 0.25}\n    - Flatten\n    - Dense: {units: 1, kernel_initializer: {random_normal: {stddev: 2}}}\n"
	     "train: {optimizer: {SGD: {momentum: 0.9}}, loss: MSE}\n");
	ck_assert_int_eq(count_ops("train_step", OP_random), 1);
	ck_assert_int_eq(count_ops("evaluate", OP_random), 0);
	int updates = 0;
	IrEntry *e = ir_entry_find(model.module, "train_step");
	for (int i = 0; i < e->nroot; i++)
		updates += e->root[i].kind == ROOT_UPDATE;
	ck_assert_int_eq(updates, 2);
	ck_assert_int_eq(model.params, 8 + 33);
	ck_assert_int_eq(model.trainable, 4 + 33);
	ck_assert_int_eq(ir_state_find(model.module, "batch_normalization.moving_mean")->kind, STATE_STAT);
	const IrState *kernel = ir_state_find(model.module, "dense.kernel");
	ck_assert(kernel->init == INIT_NORMAL && kernel->init_arg[0] == 0 && kernel->init_arg[1] == 2);
	ck_assert(model.module->optimizer.kind == OPTIM_SGD && model.module->optimizer.momentum == 0.9);
	unload();
}
END_TEST

/* ---- values: one Dense(1) layer whose kernel is 1 and whose bias is 0, so that its output before the activation is x ---- */

static double metric_value(const char *name, int64_t n, const double *x, const double *y, int outputs)
{
	static double out[16][2000];
	double kernel[64] = {0}, bias[8] = {0}, *state[] = {kernel, bias}, *to[16];
	const double *in[] = {x, y};
	IrEntry *e = ir_entry_find(model.module, "evaluate");
	for (int i = 0; i < outputs; i++)
		kernel[i * outputs + i] = 1;
	for (int i = 0; i < e->nroot; i++)
		to[i] = out[i];
	IrScalars s = {0};
	ir_eval(e, n, &s, state, in, to);
	for (int i = 0; i < e->nroot; i++) {
		if (e->root[i].kind == ROOT_METRIC && strcmp(e->root[i].name, name) == 0)
			return out[i][0];
	}
	ck_abort_msg("no metric %s", name);
	return 0;
}

static void load_dense(int units, const char *activation, const char *train)
{
	char text[600];
	snprintf(text, sizeof text, "cnnc: 1\ndata: {type: npy}\nmodel: {input_shape: [%d], layers: [Dense: {units: %d, activation: %s}]}\n"
	         "train: {optimizer: adam, %s}\n", units, units, activation, train);
	load(text);
}

START_TEST(binary_values)
{
	const double x[] = {0, 2, -3, 40}, y[] = {1, 0, 0, 1};
	load_dense(1, "sigmoid", "loss: binary_crossentropy, metrics: [accuracy, mse]");
	double loss = log(2) + log1p(exp(2)) + log1p(exp(-3)) + log1p(exp(-40));
	ck_assert_double_eq_tol(metric_value("loss", 4, x, y, 1), loss, 1e-12);
	ck_assert_double_eq(metric_value("accuracy", 4, x, y, 1), 2); /* sigmoid(0) = 0.5 is not above the threshold */
	unload();
	load_dense(1, "sigmoid", "loss: {bce: {label_smoothing: 0.2}}");
	loss = log(2) + (log1p(exp(2)) - 2 * 0.1) + (log1p(exp(-3)) + 3 * 0.1) + (log1p(exp(-40)) + 40 * 0.1);
	ck_assert_double_eq_tol(metric_value("loss", 4, x, y, 1), loss, 1e-12);
	unload();
	load_dense(1, "hard_sigmoid", "loss: binary_crossentropy"); /* from probabilities, clipped to [1e-7, 1 - 1e-7] */
	loss = log(2) - log(1 - 5.0 / 6) - log(1 - 1e-7) - log(1 - 1e-7);
	ck_assert_double_eq_tol(metric_value("loss", 4, x, y, 1), loss, 1e-9);
	unload();
}
END_TEST

START_TEST(class_values)
{
	const double x[] = {1, 2, 3, 3, 2, 1, 0, 5, 5}, y[] = {2, 1, 2};
	double s = exp(0) + exp(-1) + exp(-2), t = 2 + exp(-5), loss = log(s) + (log(s) + 1) + log(t);
	load_dense(3, "softmax", "loss: sparse_categorical_crossentropy, metrics: [accuracy, top_2_accuracy, top_1_accuracy]");
	ck_assert_double_eq_tol(metric_value("loss", 3, x, y, 3), loss, 1e-12);
	ck_assert_double_eq(metric_value("accuracy", 3, x, y, 3), 1);       /* a tie goes to the first class */
	ck_assert_double_eq(metric_value("top_2_accuracy", 3, x, y, 3), 3);
	ck_assert_double_eq(metric_value("top_1_accuracy", 3, x, y, 3), 2); /* in_top_k lets ties in */
	unload();
	load_dense(3, "linear", "loss: {sparse_categorical_crossentropy: {from_logits: true}}");
	ck_assert_double_eq_tol(metric_value("loss", 3, x, y, 3), loss, 1e-12);
	unload();
}
END_TEST

/* Keras 3: each head's loss is shown without its weight, loss is the weighted sum. */
START_TEST(several_heads)
{
	static double out[16][8];
	double one[] = {1, 0}, bias[2] = {0}, two[] = {0, 2}, *state[] = {one, bias, two, bias}, *to[16];
	const double x[] = {1, 2, 3, 4}, ya[] = {0, 5}, yb[] = {4, 4}, *in[] = {x, ya, yb};
	load("cnnc: 1\ndata: {type: npy}\nmodel:\n  input_shape: [2]\n  layers:\n    - Dense: {units: 1, name: a}\n"
	     "    - Dense: {units: 1, name: b, inputs: input}\n  outputs: [a, b]\n"
	     "train: {optimizer: adam, loss: mse, loss_weights: {b: 0.5}, metrics: {b: mae}}\n");
	IrEntry *e = ir_entry_find(model.module, "evaluate");
	static const struct { const char *name; double sum; } want[] = {
		{"loss", 1 + 4 + 0.5 * (0 + 16)}, {"a_loss", 1 + 4}, {"b_loss", 16}, {"b_mean_absolute_error", 4},
	};
	size_t found = 0;
	for (int i = 0; i < e->nroot; i++)
		to[i] = out[i];
	ir_eval(e, 2, &(IrScalars){0}, state, in, to);
	for (int i = 0; i < e->nroot; i++) {
		if (e->root[i].kind != ROOT_METRIC)
			continue;
		ck_assert_uint_lt(found, COUNT(want));
		ck_assert_str_eq(e->root[i].name, want[found].name);
		ck_assert_double_eq_tol(out[i][0], want[found++].sum, 1e-12);
	}
	ck_assert_uint_eq(found, COUNT(want));
	unload();
}
END_TEST

/* Labels of each place; the ignored ones neither count nor divide. Values: keras.losses.SparseCategoricalCrossentropy(
 * ignore_class=255) of Keras on the logits below, whose sum over places over the number of valid ones this is. */
START_TEST(ignored_class)
{
	const double x[] = {1, 0, 0, 2, 3, 3, 1, -1}, y[] = {0, 255, 1, 255}, kernel[] = {1, 0, 0, 1};
	double bias[2] = {0}, *state[] = {(double *)(uintptr_t)kernel, bias}, loss[8], *to[8] = {0};
	const double *in[] = {x, y};
	load("cnnc: 1\ndata: {type: npy}\nmodel: {input_shape: [2, 2], layers: [Dense: {units: 2}]}\n"
	     "train: {optimizer: adam, loss: {scce: {from_logits: true, ignore_class: 255}}}\n");
	IrEntry *e = ir_entry_find(model.module, "evaluate");
	for (int i = 0; i < e->nroot; i++)
		to[i] = e->root[i].kind == ROOT_METRIC ? loss : NULL;
	ir_eval(e, 2, &(IrScalars){0}, state, in, to);
	ck_assert_double_eq_tol(loss[0] / 2, (log1p(exp(-1)) + log(2)) / 2, 1e-12);
	unload();
}
END_TEST

/* The number that the runtime makes of the sums of metric `name`. */
static double shown_value(const char *name, int64_t n, const double *x, const double *y, int outputs)
{
	static double out[16][2000];
	double kernel[64] = {0}, bias[8] = {0}, *state[] = {kernel, bias}, *to[16];
	const double *in[] = {x, y};
	const IrEntry *e = ir_entry_find(model.module, "evaluate");
	RtMetric table[16];
	RtModel shown = {.metric = table};
	double value = NAN;
	for (int i = 0; i < outputs; i++)
		kernel[i * outputs + i] = 1;
	for (int i = 0; i < e->nroot; i++)
		to[i] = out[i];
	ir_eval(e, n, &(IrScalars){0}, state, in, to);
	for (int i = 0; i < e->nroot; i++) {
		const IrRoot *r = &e->root[i];
		if (r->kind != ROOT_METRIC || strcmp(r->name, name) != 0)
			continue;
		table[0] = (RtMetric){r->name, (int32_t)r->metric, 0, (uint32_t)ir_row_elems(&r->value->type)};
		shown.nmetrics = 1;
		shown.metric_doubles = table[0].count;
		RtMetrics m;
		ck_assert_int_eq(rt_metrics_new(&m, &shown), RT_OK);
		rt_metrics_add(&m, out[i], (uint32_t)n);
		value = rt_metrics_value(&m, 0);
		rt_metrics_free(&m);
	}
	ck_assert_msg(!isnan(value), "no metric %s", name);
	return value;
}

/* What Keras 3.15 gives: MeanIoU(4), MeanIoU(4, ignore_class=0); AUC(multi_label=True), AUC(), F1Score(threshold=0.5) by average,
 * BinaryAccuracy, BinaryCrossentropy. Class 3 does not occur. */
START_TEST(metrics_of_keras)
{
	const double t[] = {0, 1, 1, 2, 0, 2, 2}, class[] = {0, 1, 2, 2, 1, 2, 0};
	const double p[] = {0.9, 0.2, 0.4, 0.7, 0.35, 0.3, 0.1, 0.6, 0.8, 0.05}, y[] = {1, 0, 0, 1, 1, 1, 0, 0, 1, 0};
	static const struct { const char *name; double value; } want[] = {
		{"auc", 0.8333333730697632}, {"f1", 0.6499999761581421}, {"micro_f1", 0.6666666269302368},
		{"binary_accuracy", 0.699999988079071}, {"loss", 0.4745887815952301},
	};
	double scores[28] = {0};
	for (int i = 0; i < 7; i++)
		scores[4 * i + (int)class[i]] = 10;
	load_dense(4, "softmax", "loss: scce, metrics: [mean_iou]");
	ck_assert_double_eq_tol(shown_value("mean_iou", 7, scores, t, 4), 0.3888889253139496, 1e-6);
	unload();
	load_dense(4, "softmax", "loss: scce, metrics: [mean_iou: {ignore_class: 0}]");
	ck_assert_double_eq_tol(shown_value("mean_iou", 7, scores, t, 4), 0.3333333432674408, 1e-6);
	unload();
	load_dense(2, "linear", "loss: bce, metrics: [binary_accuracy, f1, f1: {average: micro}, auc: {multi_label: true}]");
	for (size_t i = 0; i < COUNT(want); i++)
		ck_assert_double_eq_tol(shown_value(want[i].name, 5, p, y, 2), want[i].value, 1e-6);
	unload();
	load_dense(2, "linear", "loss: bce, metrics: [auc]");
	ck_assert_double_eq_tol(shown_value("auc", 5, p, y, 2), 0.8399999737739563, 1e-6);
	unload();
}
END_TEST

START_TEST(penalties)
{
	const double x[] = {3}, y[] = {1};
	load("cnnc: 1\ndata: {type: npy}\nmodel: {input_shape: [1], layers: [Dense: {units: 1, kernel_regularizer: {l1_l2: {l1: 0.5, l2: 0.25}}}]}\n"
	     "train: {optimizer: adam, loss: mse}\n");
	ck_assert_double_eq_tol(metric_value("loss", 1, x, y, 1), 4 + 0.5 + 0.25, 1e-12);
	unload();
}
END_TEST

START_TEST(labels)
{
	load("cnnc: 1\ndata: {type: idx, class_names: [a, b, c], label_mode: int}\n"
	     "model: {input_shape: [8, 8, 1], layers: [Flatten, Dense: {units: $num_classes, activation: softmax}]}\n"
	     "train: {optimizer: adam, loss: sparse_categorical_crossentropy}\n");
	ck_assert_int_eq(model.module->nlabels, 3);
	ck_assert_str_eq(model.module->labels[2], "c");
	IrType y = ir_entry_find(model.module, "evaluate")->port[1].type;
	ck_assert(y.dtype == DT_I32 && y.rank == 1);
	unload();
	load_dense(3, "softmax", "loss: categorical_crossentropy");
	y = ir_entry_find(model.module, "evaluate")->port[1].type;
	ck_assert(y.dtype == DT_F32 && y.rank == 2 && y.dim[1] == 3);
	unload();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("frontend_graphs");
	TCase *c = tcase_create("graphs");
	tcase_add_test(c, reference_model);
	tcase_add_test(c, streams_differ);
	tcase_add_test(c, window_shapes);
	tcase_add_test(c, same_padding_is_asymmetric);
	tcase_add_test(c, graph_form);
	tcase_add_test(c, training_only_parts);
	tcase_add_test(c, binary_values);
	tcase_add_test(c, class_values);
	tcase_add_test(c, several_heads);
	tcase_add_test(c, ignored_class);
	tcase_add_test(c, metrics_of_keras);
	tcase_add_test(c, penalties);
	tcase_add_test(c, labels);
	suite_add_tcase(s, c);
	return suite_run(s);
}

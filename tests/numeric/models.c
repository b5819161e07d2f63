/* models.c -- model files that nobody here trains, each entry compiled and compared with the interpreter
 *
 * Tolerances: see model_check.h; a case has its own only with a reason beside it. Sizes are those that miss tiles and
 * vectors: 1, 3, 17, 130 channels, odd pictures, one filter, windows larger than what they see.
 */
#include <check.h>
#include <stdlib.h>
#include "tests/support/model_check.h"
#include "tests/support/suite.h"

#define ARRAYS(batch, shape, layers, train)                                                                            \
	"cnnc: 1\ndata: {type: npy, batch_size: " batch "}\nmodel:\n  input_shape: [" shape "]\n  layers:\n" layers    \
	"train:\n" train
#define PICTURES(batch, size, color, data, layers, train)                                                              \
	"cnnc: 1\ndata:\n  type: image_directory\n  train: {directory: t}\n  class_names: [a, b, c]\n  "               \
	"batch_size: " batch "\n  image_size: [" size "]\n  color_mode: " color "\n" data "model:\n  layers:\n" layers \
	"train:\n" train
#define L(text) "    - " text "\n"
#define SGD "  optimizer: sgd\n"
#define MSE SGD "  loss: mean_squared_error\n  metrics: [mae]\n"
#define CLASSES SGD "  loss: sparse_categorical_crossentropy\n  metrics: [accuracy]\n"
#define CONV(args) L("Conv2D: {" args "}")
#define DENSE(args) L("Dense: {" args "}")

static const ModelCheck models[] = {
	/* ---- convolutions ---- */
	{.name = "one channel, one filter",
	 .n = {1, 3, 4},
	 .text = ARRAYS("4", "9, 7, 1", CONV("filters: 1, kernel_size: 3") L("Flatten") DENSE("units: 1"), MSE)},
	{.name = "three channels, strides",
	 .n = {1, 3, 8},
	 .threads = 2,
	 .text = ARRAYS("8", "31, 17, 3",
			CONV("filters: 2, kernel_size: 7, strides: 2, padding: same, activation: tanh")
				CONV("filters: 17, kernel_size: 3, strides: [2, 1], activation: tanh") L("Flatten")
					DENSE("units: 5"),
			MSE)},
	{.name = "17 channels, same",
	 .n = {1, 3},
	 .cpu = "x86-64-v3",
	 .text = ARRAYS("3", "11, 13, 17",
			CONV("filters: 19, kernel_size: 5, padding: same, activation: tanh") CONV(
				"filters: 3, kernel_size: 2, padding: same, strides: 3") L("Flatten") DENSE("units: 2"),
			MSE)},
	{.name = "130 channels, 1x1",
	 .n = {1, 3, 33},
	 .threads = 2,
	 .text = ARRAYS("33", "6, 5, 130",
			CONV("filters: 40, kernel_size: 1, activation: tanh")
				CONV("filters: 130, kernel_size: 1, strides: 2") L("GlobalAveragePooling2D"),
			MSE)},
	{.name = "dilation",
	 .n = {1, 3, 5},
	 .text = ARRAYS("5", "15, 14, 3",
			CONV("filters: 8, kernel_size: 3, dilation_rate: 2, padding: same, activation: tanh")
				CONV("filters: 4, kernel_size: [3, 2], dilation_rate: [3, 5]") L("Flatten")
					DENSE("units: 3"),
			MSE)},
	{.name = "dilation and strides",
	 .n = {1, 3, 5},
	 .cpu = "x86-64-v2",
	 .text = ARRAYS("5", "16, 13, 2",
			CONV("filters: 4, kernel_size: 3, strides: 3, padding: same, activation: tanh")
				CONV("filters: 5, kernel_size: 2, strides: [1, 2], padding: same") L("Flatten")
					DENSE("units: 3"),
			MSE)},
	{.name = "groups",
	 .n = {1, 3, 6},
	 .threads = 2,
	 .text = ARRAYS("6", "9, 8, 12",
			CONV("filters: 18, kernel_size: 3, groups: 3, padding: same, activation: tanh") CONV(
				"filters: 18, kernel_size: 3, groups: 18, strides: 2, padding: same, activation: tanh")
				CONV("filters: 36, kernel_size: 3, groups: 18") L("GlobalAveragePooling2D"),
			MSE)},
	{.name = "kernel as large as the picture",
	 .n = {1, 3, 4},
	 .text = ARRAYS("4", "11, 10, 3", CONV("filters: 33, kernel_size: [11, 10], activation: tanh") L("Flatten"),
			MSE)},
	{.name = "kernel larger than the picture, same",
	 .n = {1, 3, 4},
	 .text = ARRAYS("4", "5, 4, 3",
			CONV("filters: 6, kernel_size: 11, padding: same, activation: tanh") CONV(
				"filters: 2, kernel_size: 9, strides: 3, padding: same") L("Flatten") DENSE("units: 3"),
			MSE)},
	{.name = "a window in vectors, and columns clipped in each",
	 .n = {1, 3, 4},
	 .text = ARRAYS("4", "20, 24, 3",
			CONV("filters: 3, kernel_size: 21, padding: same, activation: tanh") L("Flatten")
				DENSE("units: 2"),
			MSE)},
	{.name = "stride larger than the kernel",
	 .n = {1, 3, 4},
	 .text = ARRAYS("4", "14, 17, 5",
			CONV("filters: 6, kernel_size: 2, strides: 5, padding: same, activation: tanh")
				CONV("filters: 7, kernel_size: 1, strides: 3") L("Flatten") DENSE("units: 3"),
			MSE)},
	{.name = "long and thin",
	 .n = {1, 3, 7},
	 .threads = 2,
	 .text = ARRAYS("7", "1, 150, 4",
			CONV("filters: 24, kernel_size: [1, 9], padding: same, activation: tanh")
				L("AveragePooling2D: {pool_size: [1, 3]}") CONV("filters: 4, kernel_size: [1, 5]")
					L("Flatten") DENSE("units: 3"),
			MSE)},
	{.name = "tall, one pixel wide",
	 .n = {1, 3, 7},
	 .text = ARRAYS("7", "65, 1, 16",
			CONV("filters: 16, kernel_size: [7, 1], activation: tanh") L("GlobalAveragePooling2D"), MSE)},
	{.name = "no bias, batch of 100",
	 .n = {1, 33, 100},
	 .threads = 2,
	 .text = ARRAYS("100", "8, 8, 3",
			CONV("filters: 16, kernel_size: 3, padding: same, use_bias: false, activation: tanh")
				L("Flatten") DENSE("units: 10, use_bias: false, activation: softmax"),
			CLASSES)},
	/* ---- pooling ---- */
	{.name = "pools that overlap",
	 .n = {1, 3, 5},
	 .text = ARRAYS(
		 "5", "13, 12, 5",
		 CONV("filters: 9, kernel_size: 3, activation: tanh") L("MaxPooling2D: {pool_size: 3, strides: 2}")
			 CONV("filters: 7, kernel_size: 2, padding: same")
				 L("AveragePooling2D: {pool_size: 3, strides: 1}") L("Flatten") DENSE("units: 3"),
		 MSE)},
	{.name = "pools of same size",
	 .n = {1, 3, 5},
	 .cpu = "x86-64-v3",
	 .text = ARRAYS("5", "13, 10, 4",
			CONV("filters: 20, kernel_size: 3, padding: same, activation: tanh")
				L("MaxPooling2D: {pool_size: 3, strides: 2, padding: same}")
					CONV("filters: 17, kernel_size: 1")
						L("AveragePooling2D: {pool_size: [3, 2], strides: 2, padding: same}")
							L("Flatten") DENSE("units: 3"),
			MSE)},
	{.name = "pools with gaps",
	 .n = {1, 3, 5},
	 .text = ARRAYS(
		 "5", "17, 16, 3",
		 CONV("filters: 4, kernel_size: 2, activation: relu") L("MaxPooling2D: {pool_size: 2, strides: 3}")
			 CONV("filters: 4, kernel_size: 2, activation: relu")
				 L("AveragePooling2D: {pool_size: 1, strides: 2}") L("Flatten") DENSE("units: 3"),
		 MSE)},
	{.name = "pool of the input",
	 .n = {1, 3, 5},
	 .text = ARRAYS("5", "12, 12, 3",
			L("MaxPooling2D: {pool_size: 4}") L("AveragePooling2D: {pool_size: 2, padding: same}")
				L("Flatten") DENSE("units: 3"),
			MSE)},
	{.name = "global pools",
	 .n = {1, 3, 5},
	 .threads = 2,
	 .text = ARRAYS("5", "9, 9, 3",
			CONV("filters: 18, kernel_size: 3, activation: elu, name: c")
				L("GlobalMaxPooling2D: {inputs: c, name: m}")
					L("GlobalAveragePooling2D: {inputs: c, name: a}")
						L("Concatenate: {inputs: [m, a]}") DENSE("units: 4"),
			MSE)},
	{.name = "global pools with extents",
	 .n = {1, 3},
	 .text = ARRAYS("3", "6, 7, 5",
			CONV("filters: 5, kernel_size: 2, activation: tanh, name: c")
				L("GlobalAveragePooling2D: {keepdims: true}")
					DENSE("units: 5, activation: sigmoid, name: g") L("Multiply: {inputs: [c, g]}")
						L("GlobalMaxPooling2D: {keepdims: true}") L("Flatten"),
			MSE)},
	{.name = "integers are exact",
	 .n = {1, 2, 4},
	 .whole = true,
	 .tolerance = 1e-6,
	 .text = ARRAYS("4", "14, 15, 3",
			CONV("filters: 20, kernel_size: 3, padding: same, activation: relu")
				L("MaxPooling2D: {pool_size: 2}") CONV("filters: 18, kernel_size: 3, activation: relu")
					L("MaxPooling2D: {pool_size: 3, strides: 2, padding: same}") L("Flatten")
						DENSE("units: 4"),
			MSE)},
	/* ---- normalization ---- */
	{.name = "batch normalization here and there",
	 .n = {3, 7, 8},
	 .threads = 2,
	 .text = ARRAYS("8", "9, 9, 3",
			L("BatchNormalization") CONV("filters: 17, kernel_size: 3, use_bias: false") L(
				"BatchNormalization: {momentum: 0.9}") L("ReLU") L("MaxPooling2D: {pool_size: 2}")
				L("BatchNormalization: {center: false, epsilon: 0.01}") L("Flatten") DENSE("units: 20")
					L("BatchNormalization: {scale: false}") L("Activation: {activation: tanh}")
						DENSE("units: 3") L("BatchNormalization"),
			MSE)},
	{.name = "one sample normalized",
	 .n = {1},
	 .text = ARRAYS("1", "7, 6, 3",
			CONV("filters: 5, kernel_size: 3") L("BatchNormalization") L("Activation: {activation: tanh}")
				L("Flatten") DENSE("units: 3"),
			MSE)},
	{.name = "penalties on everything",
	 .n = {2, 5},
	 .text = ARRAYS(
		 "5", "6, 6, 2",
		 CONV("filters: 4, kernel_size: 3, kernel_regularizer: {l2: 0.1}, bias_regularizer: {l1: 0.2}") L(
			 "BatchNormalization: {gamma_regularizer: {l1_l2: {l1: 0.1, l2: 0.2}}, beta_regularizer: l2}")
			 L("Activation: {activation: tanh}") L("Flatten") DENSE("units: 3, kernel_regularizer: l1"),
		 MSE)},
	/* ---- graphs ---- */
	{.name = "residual",
	 .n = {2, 5, 6},
	 .threads = 2,
	 .text = ARRAYS(
		 "6", "10, 10, 3",
		 CONV("filters: 16, kernel_size: 3, padding: same, use_bias: false, name: a") L("BatchNormalization") L(
			 "ReLU: {name: r}") CONV("filters: 16, kernel_size: 3, padding: same")
			 L("BatchNormalization: {name: b}") L("Add: {inputs: [r, b]}") L("ReLU: {name: s}") CONV(
				 "filters: 24, kernel_size: 3, strides: 2, padding: same, use_bias: false, name: d")
				 CONV("filters: 24, kernel_size: 1, strides: 2, inputs: s, name: p")
					 L("Add: {inputs: [d, p]}") L("GlobalAveragePooling2D")
						 DENSE("units: 5, activation: softmax"),
		 CLASSES)},
	{.name = "inception",
	 .n = {1, 3, 4},
	 .text = ARRAYS("4", "9, 8, 6",
			CONV("filters: 5, kernel_size: 1, inputs: input, name: a") CONV(
				"filters: 4, kernel_size: 1, inputs: input")
				CONV("filters: 7, kernel_size: 3, padding: same, name: b") CONV(
					"filters: 3, kernel_size: 5, padding: same, inputs: input, name: c")
					L("MaxPooling2D: {pool_size: 3, strides: 1, padding: same, inputs: input}")
						CONV("filters: 2, kernel_size: 1, name: d")
							L("Concatenate: {inputs: [a, b, c, d]}")
								L("Activation: {activation: tanh}")
									L("GlobalAveragePooling2D") DENSE("units: 3"),
			MSE)},
	{.name = "dense connections",
	 .n = {2, 5, 8},
	 .threads = 2,
	 .text = ARRAYS("8", "8, 8, 3",
			CONV("filters: 6, kernel_size: 3, padding: same, name: x0") L("BatchNormalization") L(
				"ReLU") CONV("filters: 5, kernel_size: 3, padding: same, name: x1")
				L("Concatenate: {inputs: [x0, x1], name: k1}") L("BatchNormalization") L("ReLU") CONV(
					"filters: 5, kernel_size: 3, padding: same, name: x2")
					L("Concatenate: {inputs: [k1, x2], name: k2}") L("BatchNormalization") L("ReLU")
						CONV("filters: 5, kernel_size: 3, padding: same, name: x3")
							L("Concatenate: {inputs: [k2, x3]}") L("AveragePooling2D")
								L("Flatten") DENSE("units: 4, activation: softmax"),
			CLASSES)},
	{.name = "every merge",
	 .n = {1, 3, 4},
	 .text = ARRAYS(
		 "4", "5, 6, 4",
		 CONV("filters: 4, kernel_size: 3, padding: same, activation: tanh, name: a") CONV(
			 "filters: 4, kernel_size: 3, padding: same, activation: sigmoid, name: b, inputs: input")
			 L("Subtract: {inputs: [a, b], name: s}") L("Multiply: {inputs: [a, b, s], name: m}") L(
				 "Average: {inputs: [a, m, s], name: v}") L("Maximum: {inputs: [a, b, v], name: w}")
				 L("Minimum: {inputs: [w, b, m], name: n}") L("Add: {inputs: [n, w, v, a], name: d}")
					 L("Concatenate: {inputs: [d, n, w], axis: 1}") L("Flatten") DENSE("units: 3"),
		 MSE)},
	{.name = "an operand shared with itself",
	 .n = {1, 3},
	 .text = ARRAYS("3", "6, 6, 3",
			CONV("filters: 4, kernel_size: 3, activation: tanh, name: a")
				L("Add: {inputs: [a, a], name: t}") L("Multiply: {inputs: [t, t, a], name: q}")
					L("Concatenate: {inputs: [q, q, a]}") L("Flatten") DENSE("units: 3"),
			MSE)},
	{.name = "layers that nobody reads",
	 .n = {1, 3},
	 .text = ARRAYS("3", "6, 6, 3",
			CONV("filters: 4, kernel_size: 3, name: a")
				CONV("filters: 5, kernel_size: 3, inputs: input, name: lost") L("Flatten: {inputs: a}")
					DENSE("units: 3"),
			MSE)},
	{.name = "shapes changed",
	 .n = {1, 3, 5},
	 .text = ARRAYS("5", "4, 6, 5",
			L("Reshape: {target_shape: [6, 4, 5]}") CONV("filters: 6, kernel_size: 2, activation: tanh")
				L("Reshape: {target_shape: [-1, 9]}") DENSE("units: 4, activation: tanh")
					L("Reshape: {target_shape: [5, 8, 1]}") CONV("filters: 3, kernel_size: 2")
						L("Flatten") L("Rescaling: {scale: 0.5, offset: 1}"),
			MSE)},
	{.name = "frozen layers",
	 .n = {1, 3},
	 .text = ARRAYS("3", "8, 8, 3",
			CONV("filters: 4, kernel_size: 3, trainable: false") L("BatchNormalization: {trainable: false}")
				CONV("filters: 4, kernel_size: 3") L("Flatten") DENSE("units: 3"),
			MSE)},
	{.name = "dropout everywhere",
	 .n = {1, 3, 5},
	 .threads = 2,
	 .text = ARRAYS("5", "8, 8, 3",
			L("Dropout: {rate: 0.2}") CONV("filters: 17, kernel_size: 3, activation: tanh")
				L("Dropout: {rate: 0.5}") L("MaxPooling2D") L("Flatten") L("Dropout: {rate: 0.9}")
					DENSE("units: 30, activation: tanh") L("Dropout: {rate: 0}")
						L("Dropout: {rate: 0.25}") DENSE("units: 3"),
			MSE)},
	/* ---- dense ---- */
	{.name = "only dense layers",
	 .n = {1, 33, 100},
	 .threads = 2,
	 .text = ARRAYS("100", "23",
			DENSE("units: 130, activation: tanh") DENSE("units: 17, activation: sigmoid")
				DENSE("units: 1, activation: sigmoid"),
			SGD "  loss: binary_crossentropy\n  metrics: [accuracy, precision, recall, auc, f1]\n")},
	{.name = "one number", .n = {1, 3}, .text = ARRAYS("3", "1", DENSE("units: 1"), MSE)},
	{.name = "big dense",
	 .n = {1, 3},
	 .threads = 2,
	 .text = ARRAYS("3", "5000", DENSE("units: 300, activation: tanh") DENSE("units: 2"), MSE)},
	{.name = "softmax over 1000 classes",
	 .n = {1, 5},
	 .text = ARRAYS("5", "30", DENSE("units: 1000, activation: softmax"),
			SGD "  loss: sparse_categorical_crossentropy\n  metrics: [accuracy, top_5_accuracy]\n")},
	{.name = "dense over the last of three axes",
	 .n = {1, 3},
	 .text = ARRAYS("3", "7, 5, 9",
			DENSE("units: 18, activation: tanh") DENSE("units: 2") L("Softmax") L("Flatten"), MSE)},
	{.name = "no layer with weights",
	 .n = {1, 3},
	 .text = "cnnc: 1\nmodel:\n  input_shape: [6, 6, 2]\n  layers:\n" L("MaxPooling2D") L("Flatten") L("Softmax")},
};

START_TEST(models_agree)
{
	const char *only = getenv("MODEL");
	if (!only || atoi(only) == _i) {
		double worst = model_check(&models[_i]);
		if (getenv("VERBOSE"))
			printf("%2d %-40s %.3f\n", _i, models[_i].name, worst);
	}
}
END_TEST

/* ---- one thing at a time, in a small network ---- */

static const char *const activations[] = {
	"linear",
	"relu",
	"{relu: {negative_slope: 0.2, max_value: 0.5, threshold: 0.1}}",
	"sigmoid",
	"tanh",
	"softmax",
	"log_softmax",
	"elu",
	"{elu: {alpha: 0.5}}",
	"selu",
	"{celu: {alpha: 0.5}}",
	"gelu",
	"{gelu: {approximate: true}}",
	"silu",
	"softplus",
	"softsign",
	"leaky_relu",
	"{leaky_relu: {negative_slope: 0.4}}",
	"relu6",
	"hard_sigmoid",
	"hard_silu",
	"hard_tanh",
	"tanh_shrink",
	"log_sigmoid",
	"exponential",
	"mish",
};
static const char *const activation_layers[] = {
	"ReLU",      "ReLU: {max_value: 0.5, negative_slope: 0.25, threshold: 0.1}",
	"LeakyReLU", "LeakyReLU: {negative_slope: 0.1}",
	"ELU",       "ELU: {alpha: 0.3}",
	"Softmax",   "Activation: {activation: mish}",
};
static const char *const optimizers[] = {
	"sgd",
	"{sgd: {momentum: 0.9}}",
	"{sgd: {momentum: 0.9, nesterov: true}}",
	"{sgd: {weight_decay: 0.01}}",
	"{sgd: {momentum: 0.5, weight_decay: 0.02, nesterov: true}}",
	"adam",
	"{adam: {beta_1: 0.8, beta_2: 0.9, epsilon: 0.001}}",
	"{adam: {amsgrad: true}}",
	"{adam: {weight_decay: 0.01}}",
	"adamw",
	"{adamw: {amsgrad: true, weight_decay: 0.1}}",
	"{rmsprop: {momentum: 0.5, centered: true, epsilon: 0.1}}",
	"{adagrad: {epsilon: 0.01}}",
	"{adadelta: {epsilon: 0.01}}",
	"{adamax: {epsilon: 0.01}}",
	"{nadam: {epsilon: 0.01, gradient_accumulation_steps: 3}}",
	"{lamb: {epsilon: 0.01, weight_decay: 0.01}}",
	"{sgd: {global_clipnorm: 0.5, gradient_accumulation_steps: 2}}",
	"{adam: {epsilon: 0.01, clipnorm: 0.25, use_ema: true, ema_overwrite_frequency: 3}}",
};
/* Last layer, loss, metrics. */
static const char *const losses[][3] = {
	{"units: 1, activation: sigmoid", "binary_crossentropy",
	 "accuracy, precision, recall, f1, auc, bce, mse, mae, binary_accuracy"},
	{"units: 1", "{binary_crossentropy: {from_logits: true}}", "accuracy, binary_accuracy: {threshold: 0.2}"},
	{"units: 5, activation: sigmoid", "{bce: {label_smoothing: 0.1}}",
	 "binary_accuracy, auc, precision: {thresholds: 0.3}, recall"},
	{"units: 5, activation: tanh", "bce", "mae"},
	{"units: 7, activation: softmax", "categorical_crossentropy",
	 "accuracy, top_3_accuracy, f1, auc, precision, recall, mse, cce"},
	{"units: 7", "{cce: {from_logits: true, label_smoothing: 0.2}}", "categorical_accuracy, cce"},
	{"units: 7, activation: relu", "cce", "categorical_accuracy"},
	{"units: 7, activation: softmax", "sparse_categorical_crossentropy",
	 "accuracy, sparse_categorical_accuracy, top_k_categorical_accuracy: {k: 2}, scce, f1, precision"},
	{"units: 7", "{scce: {from_logits: true}}", "acc, scce"},
	{"units: 2, activation: softmax", "scce", "acc, f1"},
	{"units: 7, activation: sigmoid", "scce", "acc"},
	{"units: 3", "mse", "mse, mae"},
};
static const char *const augmentations[] = {
	"rotation_range: 30",
	"width_shift_range: 0.2",
	"height_shift_range: 3",
	"brightness_range: [0.5, 1.5]",
	"shear_range: 20",
	"zoom_range: 0.3",
	"zoom_range: [0.5, 2]",
	"channel_shift_range: 40",
	"horizontal_flip: true",
	"vertical_flip: true",
	"samplewise_center: true",
	"samplewise_center: true, samplewise_std_normalization: true",
	"rescale: 1/255",
	"width_shift_range: 0.4, fill_mode: constant, cval: 9",
	"width_shift_range: 0.4, fill_mode: reflect",
	"height_shift_range: 0.4, fill_mode: wrap",
	"horizontal_flip: true, vertical_flip: true, zoom_range: 0.2, fill_mode: reflect",
	"rotation_range: 45, width_shift_range: 0.2, height_shift_range: 0.2, shear_range: 10, zoom_range: 0.2, "
	"channel_shift_range: 20, "
	"horizontal_flip: true, vertical_flip: true, samplewise_center: true, samplewise_std_normalization: true, "
	"fill_mode: nearest",
};
static const char *const augmentation_lists[] = {
	"[RandomHue: {factor: 0.5}]",
	"[RandomTranslation: {height_factor: 0.3, width_factor: 0.2, interpolation: nearest}]",
	"[RandomSaturation: {factor: [0.3, 0.8]}, RandomSharpness: {factor: 1}]",
	"[RandomColorJitter: {brightness_factor: 0.2, contrast_factor: [0.1, 0.3], saturation_factor: 0.7, hue_factor: 0.1}]",
	"[RandomPosterization: {factor: [2, 6]}, AutoContrast]",
	"[Solarization: {addition_factor: 0.2, threshold_factor: [0.3, 0.9]}]",
	"[MixUp]",
	"[RandomFlip, RandomTranslation: {height_factor: 0.2, width_factor: 0.1}, RandomBrightness: {factor: 0.2}, MixUp: {alpha: 0.8}]",
	"[RandomRotation: {factor: 0.1}, CutMix: {factor: [0.5, 1]}]",
	"[RandomZoom: {height_factor: 0.2}]",
	"[RandomZoom: {height_factor: [-0.3, -0.1], width_factor: 0.2, fill_mode: constant, fill_value: 7}]",
	"[RandomZoom: {height_factor: [0.1, 0.3], width_factor: [0, 0]}]",
	"[RandomErasing]",
	"[RandomErasing: {factor: [0.5, 1], scale: [0.1, 0.5], fill_value: 9}]",
	"[RandomInvert, RandomColorDegeneration: {factor: 0.5}]",
	"[RandomRotation: {factor: 0.1}, RandomZoom: {height_factor: 0.1}, RandomGrayscale, RandomErasing: {fill_value: [1, 2, 3]}]",
	"[RandomFlip]",
	"[RandomFlip: {mode: horizontal}]",
	"[RandomRotation: {factor: 0.1}]",
	"[RandomTranslation: {height_factor: 0.2, width_factor: 0.1, fill_mode: wrap}]",
	"[RandomContrast: {factor: 0.3}]",
	"[RandomBrightness: {factor: 0.2}]",
	"[RandomFlip, RandomRotation: {factor: 0.1, fill_mode: constant, fill_value: 3}, RandomTranslation: "
	"{height_factor: 0.2, "
	"width_factor: 0.1, fill_mode: constant, fill_value: 3}, RandomContrast: {factor: 0.3}, RandomBrightness: "
	"{factor: 0.2}]",
};
static const char *const preprocesses[] = {
	"{rescale: 1/255}",
	"{rescale: 0.01, offset: -1, mean: [0.1, 0.2, 0.3], std: [0.5, 0.6, 0.7]}",
	"{mean: 128, std: 60}",
	"imagenet",
	"vgg16",
	"mobilenet",
	"efficientnet",
};

/* Several inputs and outputs; what stands in `train`. */
static const char *const heads[] = {
	"loss: mse, loss_weights: [1, 0.25, 2]",
	"loss: [bce, mse, mse], metrics: {one: [accuracy, auc], three: mae}",
	"loss: {one: bce, two: {scce: {from_logits: true}}, three: mse}, loss_weights: {two: 0.5}, "
	"metrics: {two: [accuracy, scce], three: [mse]}",
};

/* label_mode, the last layer, loss and metrics of pictures with masks or any number of classes; how they are augmented. */
static const char *const targets[][4] = {
	{"mask", "Conv2D: {filters: 4, kernel_size: 3, padding: same, activation: softmax}",
	 "{scce: {ignore_class: 255}}, metrics: [accuracy, mean_iou, f1]", "[RandomFlip, RandomRotation: {factor: 0.05}]"},
	{"mask", "Conv2D: {filters: 3, kernel_size: 1}",
	 "{scce: {from_logits: true, ignore_class: 255}}, metrics: [mean_iou: {ignore_class: 0}]",
	 "[RandomFlip, RandomTranslation: {height_factor: 0.2, width_factor: 0.1, fill_mode: constant}]"},
	{"mask", "Conv2D: {filters: 1, kernel_size: 1, activation: sigmoid}", "bce, metrics: [accuracy, mean_iou, f1]",
	 "[RandomZoom: {height_factor: 0.2}]"},
	{"mask", "Conv2D: {filters: 5, kernel_size: 1, activation: softmax}",
	 "{cce: {label_smoothing: 0.1}}, metrics: [f1: {average: micro}]", "{rotation_range: 20, fill_mode: wrap}"},
	{"mask", "Conv2D: {filters: 4, kernel_size: 3, padding: same, activation: softmax}",
	 "{scce: {ignore_class: 255}}, metrics: [accuracy, mean_iou]", "[RandomFlip, CutMix]"},
	{"multi_label", "Flatten: {}}, {Dense: {units: 6, activation: sigmoid}", "bce, metrics: [f1]", "[RandomFlip, MixUp]"},
	{"multi_label", "Flatten: {}}, {Dense: {units: 6, activation: sigmoid}",
	 "bce, class_weight: {'1': 2}, metrics: [f1, f1: {average: micro}, auc: {multi_label: true}]", "[]"},
};

static void check_text(const char *what, int i, const char *text, double tolerance)
{
	ModelCheck c = {.name = what,
			.text = text,
			.n = {1, 3, 5},
			.threads = 1 + i % 2,
			.seed = (uint64_t)i,
			.tolerance = tolerance,
			.cpu = i % 5 == 3   ? "x86-64-v3"
			       : i % 5 == 4 ? "x86-64-v2"
					    : NULL};
	const char *only = getenv("MODEL");
	if (only && atoi(only) != i)
		return;
	double worst = model_check(&c);
	if (getenv("VERBOSE"))
		printf("%s: %.3f\n", what, worst);
}

START_TEST(activations_agree)
{
	Arena *a = arena_new();
	const char *f = activations[_i];
	check_text(f, _i,
		   arena_printf(a,
				ARRAYS("5", "7, 6, 3",
				       CONV("filters: 17, kernel_size: 3, activation: %s") L("AveragePooling2D")
					       L("Flatten") DENSE("units: 6, activation: %s") DENSE("units: 2"),
				       MSE),
				f, f),
		   0);
	arena_free(a);
}
END_TEST

START_TEST(activation_layers_agree)
{
	Arena *a = arena_new();
	const char *f = activation_layers[_i];
	check_text(f, _i,
		   arena_printf(a,
				ARRAYS("5", "7, 6, 3",
				       CONV("filters: 17, kernel_size: 3") L("%s")
					       L("MaxPooling2D: {pool_size: 3, strides: 2}") L("Flatten") L("%s")
						       DENSE("units: 2"),
				       MSE),
				f, f),
		   0);
	arena_free(a);
}
END_TEST

START_TEST(optimizers_agree)
{
	Arena *a = arena_new();
	check_text(optimizers[_i], _i,
		   arena_printf(a,
				ARRAYS("5", "7, 6, 3",
				       CONV("filters: 17, kernel_size: 3, activation: tanh") L("BatchNormalization")
					       L("Flatten") DENSE("units: 2"),
				       "  optimizer: %s\n  loss: mse\n"),
				optimizers[_i]),
		   0);
	arena_free(a);
}
END_TEST

START_TEST(losses_agree)
{
	Arena *a = arena_new();
	const char *const *l = losses[_i];
	check_text(l[1], _i,
		   arena_printf(a,
				ARRAYS("5", "11", DENSE("units: 18, activation: tanh") DENSE("%s"),
				       SGD "  loss: %s\n  metrics: [%s]\n"),
				l[0], l[1], l[2]),
		   0);
	arena_free(a);
}
END_TEST

START_TEST(targets_agree)
{
	Arena *a = arena_new();
	const char *const *t = targets[_i];
	const bool mask = strcmp(t[0], "mask") == 0;
	check_text(t[2], _i,
		   arena_printf(a, "cnnc: 1\ndata: {type: %s, label_mode: %s, batch_size: 5, augment: %s, preprocess: {rescale: 1/255}}\n"
				   "model: {input_shape: [11, 13, 3], layers: [{Conv2D: {filters: 6, kernel_size: 3, padding: same, "
				   "activation: tanh}}, {%s}]}\ntrain: {optimizer: sgd, loss: %s}\n",
				mask ? "image_directory" : "csv", t[0], t[3], t[1], t[2]),
		   0);
	arena_free(a);
}
END_TEST

START_TEST(heads_agree)
{
	Arena *a = arena_new();
	check_text(heads[_i], _i,
		   arena_printf(a, "cnnc: 1\ndata: {type: npy, batch_size: 5}\nmodel:\n  inputs: [{name: a, shape: [9]}, {name: b, "
				   "shape: [4]}]\n  layers:\n"
				   L("Dense: {units: 8, activation: tanh, inputs: a, name: p, kernel_regularizer: {l2: 0.1}}")
				   L("Dense: {units: 8, activation: tanh, inputs: b, name: q}")
				   L("Multiply: {inputs: [p, q], name: both}")
				   L("Dense: {units: 1, activation: sigmoid, name: one, inputs: both}")
				   L("Dense: {units: 5, name: two, inputs: both}")
				   L("Dense: {units: 3, name: three, inputs: p}")
				   "  outputs: [one, two, three]\ntrain: {optimizer: sgd, %s}\n",
				heads[_i]),
		   0);
	arena_free(a);
}
END_TEST

/* The network is linear up to the softmax, so that every pixel shows. Brightness ends in floor and a wrapped or
 * constant border is a step, which f32 sin and cos, off by 2^-16 of a pixel, could take on the other side: no case here
 * does. */
static void check_pictures(const char *what, int i, const char *data)
{
	Arena *a = arena_new();
	const char *text = arena_printf(a,
					PICTURES("5", "13, 10", "rgb", "  %s\n",
						 CONV("filters: 8, kernel_size: 3, padding: same")
							 L("AveragePooling2D: {pool_size: 3}") L("Flatten")
								 DENSE("units: 3") L("Rescaling: {scale: 0.005}"),
						 SGD "  loss: {scce: {from_logits: true}}\n"),
					data);
	check_text(what, i, text, 0);
	arena_free(a);
}

START_TEST(augmentations_agree)
{
	Arena *a = arena_new();
	check_pictures(augmentations[_i], _i, arena_printf(a, "augment: {%s}", augmentations[_i]));
	arena_free(a);
}
END_TEST

START_TEST(augmentation_lists_agree)
{
	Arena *a = arena_new();
	check_pictures(augmentation_lists[_i], _i, arena_printf(a, "augment: %s", augmentation_lists[_i]));
	arena_free(a);
}
END_TEST

START_TEST(preprocesses_agree)
{
	Arena *a = arena_new();
	check_pictures(preprocesses[_i], _i,
		       arena_printf(a, "preprocess: %s\n  augment: {horizontal_flip: true}", preprocesses[_i]));
	arena_free(a);
}
END_TEST

/* Sixty convolutions: rounding adds up over them. */
START_TEST(deep_network)
{
	Arena *a = arena_new();
	const char *layers = L("Conv2D: {filters: 8, kernel_size: 3, padding: same, name: a0}");
	for (int i = 0; i < 30; i++)
		layers = arena_printf(a,
				      "%s" L("BatchNormalization: {inputs: a%d}")
					      CONV("filters: 8, kernel_size: 3, padding: same, activation: tanh")
						      CONV("filters: 8, kernel_size: 3, padding: same, name: c%d")
							      L("Add: {inputs: [a%d, c%d], name: a%d}"),
				      layers, i, i, i, i, i + 1);
	check_text("deep", 0,
		   arena_printf(a, ARRAYS("5", "6, 6, 3", "%s" L("GlobalAveragePooling2D") DENSE("units: 3"), MSE),
				layers),
		   2e-4);
	arena_free(a);
}
END_TEST

/* ---- more of everything: limits that only long or wide models meet ---- */

static const char *repeat(Arena *a, int n, const char *(*layer)(Arena *a, int i))
{
	const char *text = "";
	for (int i = 0; i < n; i++)
		text = arena_printf(a, "%s%s", text, layer(a, i));
	return text;
}

/* An expression that uses the one before several times: its tree has 3^n nodes, its graph n. */
static const char *mish(Arena *a, int i)
{
	return arena_printf(a, L("Activation: {activation: mish, name: m%d}"), i);
}

static const char *doubled(Arena *a, int i)
{
	return arena_printf(a,
			    L("Multiply: {inputs: [a%d, a%d], name: b%d}") L("Activation: {activation: tanh, name: c%d}")
				    L("Average: {inputs: [a%d, c%d], name: a%d}"),
			    i, i, i, i, i, i, i + 1);
}

static const char *branch(Arena *a, int i)
{
	return arena_printf(a, DENSE("units: 5, activation: tanh, inputs: input, name: d%d"), i);
}

static const char *multiplied(Arena *a, int i)
{
	return arena_printf(a, L("Average: {inputs: [%s%d, d%d], name: p%d}"), i ? "p" : "d", i ? i - 1 : 0, i + 1, i);
}

static const char *windows(Arena *a, int i)
{
	return arena_printf(a, CONV("filters: 2, kernel_size: 3, inputs: input, name: c%d, activation: tanh"), i);
}

static const char *name_of_window(Arena *a, int i)
{
	return arena_printf(a, "%sc%d", i ? ", " : "", i);
}

START_TEST(long_pointwise_chain)
{
	Arena *a = arena_new();
	check_text(
		"mish", 0,
		arena_printf(a, ARRAYS("5", "6, 5, 3", "%s" L("Flatten") DENSE("units: 2"), MSE), repeat(a, 60, mish)),
		0);
	check_text("doubled", 0,
		   arena_printf(a, ARRAYS("5", "4", DENSE("units: 8, name: a0") "%s", MSE), repeat(a, 40, doubled)), 0);
	arena_free(a);
}
END_TEST

START_TEST(many_branches)
{
	Arena *a = arena_new();
	check_text("average", 0,
		   arena_printf(a, ARRAYS("5", "20", "%s%s", MSE), repeat(a, 100, branch), repeat(a, 99, multiplied)),
		   0);
	for (int i = 0; i < 2; i++)
		check_text("add", 0,
			   arena_printf(a,
					ARRAYS("5", "6, 6, 3",
					       "%s" L("%s: {inputs: [%s]}") L("Flatten") DENSE("units: 2"), MSE),
					repeat(a, 64, windows), i ? "Add" : "Concatenate",
					repeat(a, 64, name_of_window)),
			   0);
	arena_free(a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("models");
	TCase *t = tcase_create("fixed");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, models_agree, 0, (int)COUNT(models));
	tcase_add_loop_test(t, activations_agree, 0, (int)COUNT(activations));
	tcase_add_loop_test(t, activation_layers_agree, 0, (int)COUNT(activation_layers));
	tcase_add_loop_test(t, optimizers_agree, 0, (int)COUNT(optimizers));
	tcase_add_loop_test(t, losses_agree, 0, (int)COUNT(losses));
	tcase_add_loop_test(t, targets_agree, 0, (int)COUNT(targets));
	tcase_add_loop_test(t, heads_agree, 0, (int)COUNT(heads));
	tcase_add_loop_test(t, augmentations_agree, 0, (int)COUNT(augmentations));
	tcase_add_loop_test(t, augmentation_lists_agree, 0, (int)COUNT(augmentation_lists));
	tcase_add_loop_test(t, preprocesses_agree, 0, (int)COUNT(preprocesses));
	tcase_add_test(t, deep_network);
	tcase_add_test(t, long_pointwise_chain);
	tcase_add_test(t, many_branches);
	suite_add_tcase(s, t);
	return suite_run(s);
}

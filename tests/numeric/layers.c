/* layers.c -- every kind of layer in a small network, all entries compiled and compared with the interpreter
 *
 * Beside models.c, which is about convolutions, pooling and Dense: here stand the layers made of other ops, with the arguments that
 * change their graph. Sizes miss vectors and tiles. Gradients are those of the graph, which numeric/gradients compares with
 * differences.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "tests/support/model_check.h"

/* A row: shape of a sample; layers, one a '|'. A Dense of two units follows. `kinks`: a maximum or a step that rounding may decide. */
static const struct { const char *shape, *layers; bool kinks; } rows[] = {
	/* convolutions of channels */
	{"9, 8, 5", "DepthwiseConv2D: {kernel_size: 3, activation: tanh}|Conv2D: {filters: 4, kernel_size: 1}", false},
	{"9, 8, 19", "DepthwiseConv2D: {kernel_size: [3, 2], strides: 2, padding: same, depth_multiplier: 3, activation: tanh}", false},
	{"12, 9, 1", "DepthwiseConv2D: {kernel_size: 3, dilation_rate: 2, depth_multiplier: 7, use_bias: false}", false},
	{"9, 8, 33", "Conv2D: {filters: 24, kernel_size: 1, use_bias: false}|BatchNormalization|ReLU: {max_value: 6}|"
	             "DepthwiseConv2D: {kernel_size: 3, padding: same, use_bias: false}|BatchNormalization|ReLU: {max_value: 6}", true},
	{"9, 8, 5", "SeparableConv2D: {filters: 7, kernel_size: 3, strides: 2, padding: same, depth_multiplier: 2, activation: tanh}", false},
	{"10, 9, 6", "SeparableConv2D: {filters: 17, kernel_size: 5, activation: silu}|SeparableConv2D: {filters: 3, kernel_size: 2}", false},
	/* transposed */
	{"5, 6, 3", "Conv2DTranspose: {filters: 7, kernel_size: 3, activation: tanh}|Conv2D: {filters: 2, kernel_size: 2}", false},
	{"5, 6, 3", "Conv2DTranspose: {filters: 17, kernel_size: 3, strides: 2, padding: same}|ReLU|Conv2D: {filters: 2, kernel_size: 2}", true},
	{"5, 4, 5", "Conv2DTranspose: {filters: 3, kernel_size: 2, strides: 3, output_padding: 1, use_bias: false, activation: tanh}", false},
	{"5, 4, 5", "Conv2DTranspose: {filters: 4, kernel_size: [4, 3], strides: [2, 1], padding: same, output_padding: [1, 0]}", false},
	{"6, 5, 2", "Conv2DTranspose: {filters: 5, kernel_size: 3, dilation_rate: 2, padding: same, activation: tanh}|AveragePooling2D", false},
	/* sequences */
	{"17, 4", "Conv1D: {filters: 19, kernel_size: 3, strides: 2, activation: tanh}|Conv1D: {filters: 6, kernel_size: 3, padding: same, groups: 1}", false},
	{"21, 6", "Conv1D: {filters: 6, kernel_size: 3, padding: causal, dilation_rate: 3, groups: 2}|MaxPooling1D: {pool_size: 3, strides: 2}", true},
	{"20, 5", "DepthwiseConv1D: {kernel_size: 3, padding: same, depth_multiplier: 2}|SeparableConv1D: {filters: 9, kernel_size: 2}|"
	          "AveragePooling1D: {pool_size: 3, padding: same}|GlobalMaxPooling1D: {keepdims: true}", true},
	{"8, 5", "Conv1DTranspose: {filters: 6, kernel_size: 4, strides: 3, padding: same, activation: tanh}|GlobalAveragePooling1D", false},
	/* windows that are long one way, and of more than 256 cells */
	{"9, 13, 3", "MaxPooling2D: {pool_size: [3, 5], strides: [2, 1]}|MaxPooling2D: {pool_size: [1, 7], strides: 1}|Dense: {units: 3}", true},
	{"33, 20, 3", "MaxPooling2D: {pool_size: [17, 16]}|Dense: {units: 3}", true},
	{"23, 21, 3", "Conv2D: {filters: 5, kernel_size: 2}|ReLU|MaxPooling2D: {pool_size: 19, strides: 2}|Dense: {units: 3}", true},
	/* volumes */
	{"5, 6, 7, 3", "Conv3D: {filters: 5, kernel_size: [3, 2, 3], activation: tanh}|Conv3D: {filters: 6, kernel_size: 3, strides: [1, 2, 3], padding: same}|"
	               "AveragePooling3D: {pool_size: [1, 2, 2], padding: same}", false},
	{"5, 6, 7, 4", "Conv3D: {filters: 6, kernel_size: 2, groups: 2, dilation_rate: [2, 1, 3], padding: same, activation: relu}|MaxPooling3D|ZeroPadding3D|"
	               "Conv3D: {filters: 2, kernel_size: 3}", true},
	{"6, 5, 7, 2", "Conv3D: {filters: 3, kernel_size: 2, activation: tanh}|MaxPooling3D: {pool_size: [3, 2, 3], strides: [2, 1, 2], padding: same}|"
	               "AveragePooling3D: {pool_size: 2, strides: 1}|Dense: {units: 3}", true},
	{"3, 4, 2, 3", "Conv3DTranspose: {filters: 4, kernel_size: [2, 3, 4], strides: [2, 1, 3], activation: tanh}|Conv3DTranspose: {filters: 2, kernel_size: 3, padding: same, strides: 2}|"
	               "GlobalAveragePooling3D", false},
	{"8, 8, 8, 2", "MaxPooling3D: {pool_size: 7, strides: 1}|Dense: {units: 3}", true},
	/* moving elements */
	{"7, 6, 3", "ZeroPadding2D: {padding: [[1, 2], [0, 3]]}|Conv2D: {filters: 4, kernel_size: 3, activation: tanh}|Cropping2D: {cropping: [[1, 0], [2, 1]]}|"
	            "ZeroPadding2D|MaxPooling2D: {pool_size: 3, strides: 2}", true},
	{"7, 6, 3", "Conv2D: {filters: 4, kernel_size: 2, activation: tanh}|ZeroPadding2D: {padding: 2}|AveragePooling2D: {pool_size: 3}|ZeroPadding2D|"
	            "DepthwiseConv2D: {kernel_size: 3, strides: 2}", false},
	{"9, 3", "ZeroPadding1D: {padding: [2, 1]}|Conv1D: {filters: 4, kernel_size: 3}|Cropping1D|UpSampling1D: {size: 3}|Conv1D: {filters: 2, kernel_size: 2}", false},
	{"4, 5, 3, 2", "Dense: {units: 3, activation: tanh}|ZeroPadding3D: {padding: [[1, 0], [0, 2], [1, 1]]}|Cropping3D|UpSampling3D: {size: [2, 1, 3]}|GlobalMaxPooling3D", true},
	{"4, 5, 3", "Conv2D: {filters: 5, kernel_size: 2, activation: tanh}|UpSampling2D: {size: [3, 2]}|Conv2D: {filters: 2, kernel_size: 3}", false},
	{"4, 5, 3", "Conv2D: {filters: 5, kernel_size: 2, activation: tanh}|UpSampling2D: {size: [3, 2], interpolation: bilinear}|Conv2D: {filters: 2, kernel_size: 3}", false},
	{"1, 5, 17", "UpSampling2D: {interpolation: bilinear}|Dense: {units: 3, activation: tanh}", false},
	{"4, 5, 3", "Conv2D: {filters: 5, kernel_size: 2}|Permute: {dims: [3, 1, 2]}|Conv2D: {filters: 3, kernel_size: 2, activation: tanh}|Permute: {dims: [2, 1, 3]}", false},
	{"6", "Dense: {units: 4, activation: tanh}|RepeatVector: {n: 3}|Conv1D: {filters: 3, kernel_size: 2}|Reshape: {target_shape: [3, -1]}|Identity", false},
	/* normalization */
	{"6, 5, 4", "Conv2D: {filters: 7, kernel_size: 2}|LayerNormalization|ReLU", true},
	{"6, 5, 4", "Conv2D: {filters: 19, kernel_size: 2}|LayerNormalization: {axis: [1, 2], epsilon: 0.1}|LayerNormalization: {axis: [3, 1], center: false}|"
	            "LayerNormalization: {axis: -2, scale: false}", false},
	{"6, 5, 4", "Conv2D: {filters: 12, kernel_size: 2}|GroupNormalization: {groups: 4}|Activation: {activation: silu}|GroupNormalization: {groups: -1, scale: false}", false},
	{"9", "Dense: {units: 12}|GroupNormalization: {groups: 3}|BatchNormalization|UnitNormalization", false},
	{"6, 5", "Conv1D: {filters: 18, kernel_size: 2}|UnitNormalization: {axis: 1}|RMSNormalization|BatchNormalization: {axis: 1}", false},
	{"6, 5, 8", "Conv2D: {filters: 9, kernel_size: 2}|LocalResponseNormalization|Conv2D: {filters: 20, kernel_size: 2}|"
	            "LocalResponseNormalization: {depth_radius: 2, bias: 2, alpha: 0.3, beta: 0.75}|LocalResponseNormalization: {depth_radius: 1, beta: 0.6}", false},
	/* pointwise */
	{"9, 9, 3", "Conv2D: {filters: 5, kernel_size: 2}|PReLU: {alpha_initializer: ones}|MaxPooling2D: {pool_size: 3}", true},
	{"9, 9, 3", "Conv2D: {filters: 5, kernel_size: 2}|PReLU: {alpha_initializer: {constant: {value: 0.3}}, shared_axes: [1, 2]}|AveragePooling2D: {pool_size: 3}", true},
	{"6, 5", "Conv1D: {filters: 4, kernel_size: 2}|Softmax: {axis: 1}|Dense: {units: 6, activation: glu}", false},
	{"7, 6, 3", "Conv2D: {filters: 10, kernel_size: 3, activation: glu}|DepthwiseConv2D: {kernel_size: 2, depth_multiplier: 2, activation: glu}", false},
	{"11", "Dense: {units: 18, activation: {soft_shrink: {threshold: 0.1}}}|Dense: {units: 9, activation: squareplus}", true},
	{"11", "Dense: {units: 18, activation: sparse_plus}|Dense: {units: 9, activation: sparse_sigmoid}", true},
	{"11", "Dense: {units: 18, activation: sparsemax}|Dense: {units: 9, activation: {hard_shrink: {threshold: 0}}}", true},
	{"11", "Dense: {units: 18, activation: {threshold: {threshold: -9, default_value: 1}}}|Activation: {activation: mish}", false},
	/* random */
	{"6, 5, 4", "Conv2D: {filters: 5, kernel_size: 2}|SpatialDropout2D: {rate: 0.4}|AlphaDropout: {rate: 0.2}|GaussianNoise: {stddev: 0.3}|GaussianDropout: {rate: 0.1}", false},
	{"9, 4", "SpatialDropout1D: {rate: 0.4}|Conv1D: {filters: 5, kernel_size: 2, activation: tanh}|Dropout: {rate: 0.3}", false},
	/* several inputs */
	{"6, 6", "Conv1D: {filters: 6, kernel_size: 1, name: a}|Conv1D: {filters: 6, kernel_size: 3, padding: same, inputs: input, name: b}|"
	         "Dot: {axes: [2, 1], normalize: true, inputs: [a, b]}", false},
	{"6, 6", "Conv1D: {filters: 4, kernel_size: 1, name: a}|Conv1D: {filters: 9, kernel_size: 3, padding: same, inputs: input, name: b}|Dot: {axes: 1, inputs: [a, b]}", false},
	{"6", "Dense: {units: 5, name: a}|Dense: {units: 5, inputs: input, name: b}|Dot: {axes: -1, inputs: [a, b]}", false},
	/* used again, repeated */
	{"6", "Dense: {units: 6, name: t, activation: tanh, kernel_regularizer: {l2: 0.1}}|t|t: {inputs: input}|Add: {inputs: [shared, shared_1]}", false},
	{"6, 5, 4", "Conv2D: {filters: 4, kernel_size: 3, padding: same, repeat: 3, activation: tanh, name: c}|BatchNormalization: {name: n}|c_1|n|"
	            "Shared: {layer: c, inputs: input}|Concatenate: {inputs: [shared_1, shared_2], axis: 1}", false},
};

static const char *model_text(Arena *a, int i)
{
	const char *text = arena_printf(a, "cnnc: 1\ndata: {type: npy, batch_size: 5}\nmodel:\n  input_shape: [%s]\n  layers:\n",
	                                rows[i].shape);
	for (const char *p = rows[i].layers; *p;) {
		const size_t n = strcspn(p, "|");
		text = arena_printf(a, "%s    - %.*s\n", text, (int)n, p);
		p += n + (p[n] == '|');
	}
	return arena_printf(a, "%s    - Flatten\n    - Dense: {units: 2}\ntrain:\n  optimizer: sgd\n  loss: mse\n", text);
}

START_TEST(layers_agree)
{
	Arena *a = arena_new();
	const char *only = getenv("MODEL");
	const ModelCheck c = {.name = rows[_i].layers, .text = model_text(a, _i), .n = {1, 3, 5}, .threads = 1 + _i % 2,
	                      .seed = (uint64_t)_i, .kinks = rows[_i].kinks,
	                      .cpu = _i % 5 == 3 ? "x86-64-v3" : _i % 5 == 4 ? "x86-64-v2" : NULL};
	if (!only || atoi(only) == _i) {
		const double worst = model_check(&c);
		if (getenv("VERBOSE"))
			printf("%2d %.3f %s\n", _i, worst, rows[_i].layers);
	}
	arena_free(a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("layers");
	TCase *t = tcase_create("layers");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, layers_agree, 0, (int)COUNT(rows));
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

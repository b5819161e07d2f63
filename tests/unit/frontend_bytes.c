/* frontend_bytes.c -- fe_load survives any bytes: mutations of model files, and files made to blow up */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "frontend/frontend.h"
#include "tests/support/suite.h"

static const char *const seeds[] = {
	"cnnc: 1\nname: m\ntask: image_classification\ndefine: {w: 4, s: [16, 16]}\n"
	"data:\n  type: image_directory\n  train: {directory: a}\n  image_size: $s\n  label_mode: categorical\n  class_names: [a, b, c]\n"
	"  preprocess: {rescale: 1/255, mean: [1, 2, 3]}\n  augment: {horizontal_flip: true, zoom_range: 0.1, brightness_range: [0.5, 1.5],\n"
	"    channel_shift_range: 3, samplewise_center: true}\n"
	"model:\n  input_shape: [16, 16, 3]\n  layers:\n"
	"    - &c {Conv2D: {filters: 4 * $w, kernel_size: [3, 2], strides: 2, padding: same, activation: {leaky_relu: {negative_slope: 0.1}}}}\n"
	"    - *c\n    - BatchNormalization\n    - MaxPooling2D: {pool_size: 2, name: p}\n    - ReLU: {max_value: 6}\n"
	"    - Add: {inputs: [re_lu, p]}\n    - Concatenate: {inputs: [add, p]}\n    - Dropout: {rate: 0.5}\n    - Flatten\n"
	"    - Dense: {units: $num_classes, activation: softmax, kernel_regularizer: {l2: 1e-4}}\n"
	"train:\n  optimizer: {adam: {learning_rate: 1e-3}}\n  loss: categorical_crossentropy\n  label_smoothing: 0.1\n"
	"  metrics: [accuracy, top_2_accuracy, precision, recall, f1, auc, mse, mae, {binary_accuracy: {threshold: 0.4}}]\n"
	"  callbacks:\n    - EarlyStopping: {patience: 3}\n    - TerminateOnNaN\n",
	"cnnc: 1\ndefine: {base: &b {filters: 2}}\nmodel:\n  inputs: [{name: q, shape: [4, 4, 1]}]\n  layers:\n    - Conv2D: {<<: *b, kernel_size: 1}\n"
	"    - GlobalAveragePooling2D\n    - Reshape: {target_shape: [1, -1]}\n    - Dense: {units: 2}\n    - Activation: {activation: gelu}\n",
	"{cnnc: 1, data: {type: npy}, model: {input_shape: [5], layers: [{Dense: {units: 3}}]},\n"
	" train: {optimizer: {sgd: {momentum: 0.9, nesterov: true}}, loss: mse, metrics: [mae]}, build: {cpu: x86-64-v3}}\n",
};

static unsigned long long state = 88172645463325252ULL;

static size_t any(size_t n) /* xorshift64 */
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return n ? (size_t)(state % n) : 0;
}

static const char *const tokens[] = {
	"[", "]", "{", "}", ": ", "- ", "\n", "\n  ", "&a ", "*a", "*c", "<<: ", "$w", "$", "99999999999", "-1", "0", "1e308",
		"1/0", "null",
	"~", "true", "'", "\"", "#", "!!str ", "---\n", "\xff", "\xe2\x82", "name: ", "inputs: ", "input", "2147483647",
		"65535", "\t", "|",
	"(((((", "$num_classes", "Dense", "Conv2D", "units: 3", "strides: 70000", "groups: 3", "pool_size: 65535",
		"padding: same",
};

static size_t mutate(char *text, size_t len, size_t room)
{
	for (size_t k = 1 + any(4); k > 0; k--) {
		size_t at = any(len + 1), kind = any(4), n = any(12);
		const char *token = tokens[any(sizeof tokens / sizeof *tokens)];
		if (kind == 0 && len > 0 && at < len) {
			text[at] = (char)any(256);
		} else if (kind == 1 && at + n <= len) {
			memmove(text + at, text + at + n, len - at - n);
			len -= n;
		} else if (kind == 2 && len + strlen(token) < room) {
			memmove(text + at + strlen(token), text + at, len - at);
			memcpy(text + at, token, strlen(token));
			len += strlen(token);
		} else if (len > 40 && len + 40 < room) { /* a piece of it again elsewhere */
			size_t from = any(len - 40);
			char piece[40];
			memcpy(piece, text + from, 40);
			memmove(text + at + 40, text + at, len - at);
			memcpy(text + at, piece, 40);
			len += 40;
		}
	}
	return len;
}

static bool load(const char *text, size_t len)
{
	Diag *d = diag_new();
	FeModel m;
	bool ok = fe_load_text("m.yaml", text, len, NULL, 0, d, &m);
	if (ok) {
		bool sound = ir_verify(m.module, d);
		ck_assert_msg(sound, "invalid graph from:\n%.*s", (int)len, text);
		ir_module_free(m.module);
	} else {
		ck_assert_msg(diag_errors(d) > 0, "refused without a word:\n%.*s", (int)len, text);
	}
	FILE *f = fopen("/dev/null", "w");
	diag_print(d, f);
	fclose(f);
	diag_free(d);
	return ok;
}

START_TEST(mutations)
{
	const char *more = getenv("CNNC_FUZZ");
	int rounds = more ? atoi(more) : 1500;
	state += more ? (unsigned long long)rounds : 0;
	for (int i = 0; i < rounds; i++) {
		char text[8192];
		const char *seed = seeds[i % 3];
		size_t len = strlen(seed);
		memcpy(text, seed, len);
		load(text, mutate(text, len, sizeof text));
	}
}
END_TEST

START_TEST(whole)
{
	for (size_t s = 0; s < sizeof seeds / sizeof *seeds; s++)
		ck_assert_msg(load(seeds[s], strlen(seeds[s])), "seed %zu is refused", s);
}
END_TEST

START_TEST(prefixes)
{
	for (size_t s = 0; s < sizeof seeds / sizeof *seeds; s++) {
		for (size_t len = 0; len < strlen(seeds[s]); len += 3) {
			char *exact = malloc(len + 1); /* so that reading beyond the end is seen */
			memcpy(exact, seeds[s], len);
			load(exact, len);
			free(exact);
		}
	}
}
END_TEST

START_TEST(overrides)
{
	static const char *const parts[] = {
		"train", "data", "model", "layers", "0", "1", "9", "Dense", "units", "optimizer", "adam", "sgd", "learning_rate", ".", ".", ".", "=",
		"=", "3", "{", "}", "[", "]", "epochs", "seed", "augment", "preprocess", "rescale", "define", "w", "callbacks", "EarlyStopping",
		"patience", "class_names", "image_size", "metrics", "loss", "inputs", "name", "shape", ": ", "true", "-1", "99999999999999999999",
		"build", "target", "cpu", "$w", "1/0", "null", "\xff", "", "mse", "filters", "weights", "input_shape",
	};
	for (int i = 0; i < 3000; i++) {
		char text[2][300] = {"", ""};
		for (int k = 0; k < 2; k++) {
			for (size_t n = 1 + any(7); n > 0; n--)
				strcat(text[k], parts[any(sizeof parts / sizeof *parts)]);
		}
		Diag *d = diag_new();
		FeModel m;
		const char *seed = seeds[i % 3], *given[2] = {text[0], text[1]};
		if (fe_load_text("m.yaml", seed, strlen(seed), given, 2, d, &m)) {
			ck_assert(ir_verify(m.module, d));
			ir_module_free(m.module);
		} else {
			ck_assert_int_gt(diag_errors(d), 0);
		}
		diag_free(d);
	}
}
END_TEST

static char *repeat(const char *head, const char *piece, size_t times, const char *tail)
{
	size_t n = strlen(piece), h = strlen(head);
	char *text = malloc(h + n * times + strlen(tail) + 1);
	strcpy(text, head);
	for (size_t i = 0; i < times; i++)
		memcpy(text + h + i * n, piece, n);
	strcpy(text + h + n * times, tail);
	return text;
}

static void refuse(char *text)
{
	ck_assert(!load(text, strlen(text)));
	free(text);
}

START_TEST(bombs)
{
	refuse(repeat("cnnc: 1\ndefine: ", "[", 20000, ""));
	refuse(repeat("", "{a: ", 500, "1"));
	refuse(repeat("a: ", "(", 200, "1"));
	refuse(repeat("define:\n  a: &a [1,1,1,1,1,1,1,1]\n", "  b: &a [*a,*a,*a,*a,*a,*a,*a,*a]\n", 20, ""));
	refuse(repeat("define:\n  a: &a [x, *a]\n", "", 0, ""));
	refuse(repeat("cnnc: 1\nmodel:\n  input_shape: [4]\n  layers:\n", "    - Dense: {units: 1}\n", 30000, ""));
	refuse(repeat("cnnc: 1\nmodel:\n  input_shape: [4]\n  layers:\n", "    - Dense: {units: 2147483647}\n", 3, ""));
	refuse(repeat("", "x", 1100000, ""));
	refuse(repeat("cnnc: 1\nmodel: {input_shape: [", "7,", 40000, "1]}"));
	refuse(repeat("cnnc: ", "1+", 20000, "1"));
	refuse(repeat("", "k", 1, ": "));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("frontend_bytes");
	TCase *c = tcase_create("bytes");
	tcase_set_timeout(c, 300);
	tcase_add_test(c, whole);
	tcase_add_test(c, mutations);
	tcase_add_test(c, prefixes);
	tcase_add_test(c, overrides);
	tcase_add_test(c, bombs);
	suite_add_tcase(s, c);
	return suite_run(s);
}

/* frontend_values.c -- scalars and names: expressions, typing, $names, suggestions, overrides */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "frontend/frontend.h"
#include "frontend/build.h"
#include "tests/support/suite.h"

/* ---- expressions ---- */

static bool evaluate(const char *text, Number *out)
{
	Arena *a = arena_new();
	Diag *d = diag_new();
	const char *names = "{w: 64, h: 2 * $w, f: 0.5, l: [1, 2], t: hello}";
	YNode *define = yaml_parse(a, d, (Loc){"d", 1, 1, 0}, names, strlen(names));
	Scope s = {.arena = a, .diag = d};
	ck_assert(define && scope_define(&s, define));
	bool ok = number_read(&s, yaml_scalar(a, (Loc){"t", 1, 1, (int)strlen(text)}, text), out);
	ck_assert_int_eq(ok, diag_errors(d) == 0);
	diag_free(d);
	arena_free(a);
	return ok;
}

START_TEST(expressions)
{
	static const struct { const char *text; bool is_int; double x; } good[] = {
		{"7", true, 7}, {"0777", true, 777}, {"-3", true, -3}, {"+3", true, 3}, {"- -3", true, 3}, {"1e3", false, 1000},
		{"1e-3", false, 1e-3}, {".5", false, 0.5}, {"5.", false, 5}, {"1/255", false, 1.0 / 255}, {"7 // 2", true, 3},
		{"-7 // 2", true, -4}, {"-7 % 3", true, 2}, {"2 + 3 * 4", true, 14}, {"(2 + 3) * 4", true, 20}, {"10 - 4 - 3", true,
				3},
		{"100 / 10 / 2", false, 5}, {"-2 * -3", true, 6}, {"4 * $w", true, 256}, {"$h", true, 128}, {"$w // 5", true, 12},
		{"$f * 2", false, 1}, {"7.5 // 2", false, 3}, {"9223372036854775807", true, 9223372036854775807.0}, {" 1 ", true, 1},
	};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		Number n;
		ck_assert_msg(evaluate(good[i].text, &n), "%s", good[i].text);
		ck_assert_msg(n.is_int == good[i].is_int && n.x == good[i].x, "%s is %g", good[i].text, n.x);
		ck_assert(!n.is_int || (double)n.i == n.x);
	}
}
END_TEST

START_TEST(no_expressions)
{
	static const char *const bad[] = {
		"", " ", "1:30", "0x10", "1 2", "three", "1 +", "* 2", "(1", "1)", "1 / 0", "1 // 0", "1 % 0", "1.5 / 0", "1e999",
			"-1e999",
		"inf", "nan", ".inf", ".", "e5", "--", "$", "$nope", "$l", "$t", "9223372036854775808", "9223372036854775807 + 1",
		"-9223372036854775807 - 2", "4611686018427387904 * 2", "1__0", "1,5", "1e308 * 10", "5 px", "٣",
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		Number n;
		ck_assert_msg(!evaluate(bad[i], &n), "'%s' is %g", bad[i], n.x);
	}
}
END_TEST

START_TEST(units)
{
	static const struct { const char *text; SchemaType type; double x; } good[] = {
		{"90s", DURATION, 90}, {"1.5h", DURATION, 5400}, {"10m", DURATION, 600}, {"250ms", DURATION, 0.25}, {"2d", DURATION,
				172800},
		{"7", DURATION, 7}, {"8GB", SIZE, 8e9}, {"512 MB", SIZE, 512e6}, {"1KiB", SIZE, 1024}, {"100", SIZE, 100},
	};
	static const struct { const char *text; SchemaType type; } bad[] = {
		{"90x", DURATION}, {"s", DURATION}, {"-1s", DURATION}, {"1:30", DURATION}, {"8Gb", SIZE}, {"1e3GB", SIZE}, {"", SIZE},
		{"99999999TB", SIZE}, {"8s", SIZE},
	};
	double x;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		ck_assert_msg(number_has_unit(good[i].text, good[i].type, &x), "%s", good[i].text);
		ck_assert_msg(fabs(x - good[i].x) <= 1e-12 * good[i].x, "%s is %g", good[i].text, x);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(!number_has_unit(bad[i].text, bad[i].type, &x), "%s", bad[i].text);
}
END_TEST

/* ---- names ---- */

START_TEST(keras_names)
{
	static const char *const pairs[][2] = {
		{"Conv2D", "conv2d"}, {"MaxPooling2D", "max_pooling2d"}, {"GlobalAveragePooling2D", "global_average_pooling2d"},
		{"BatchNormalization", "batch_normalization"}, {"Dense", "dense"}, {"ReLU", "re_lu"}, {"LeakyReLU", "leaky_re_lu"},
		{"ELU", "elu"}, {"Conv2DTranspose", "conv2d_transpose"}, {"LSTM", "lstm"}, {"SpatialDropout2D", "spatial_dropout2d"},
	};
	Arena *a = arena_new();
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		ck_assert_str_eq(keras_name(a, pairs[i][0]), pairs[i][1]);
	arena_free(a);
}
END_TEST

START_TEST(identifiers)
{
	ck_assert_ptr_eq(schema_find(OPTIMIZER, "Adam"), schema_find(OPTIMIZER, "adam"));
	ck_assert_ptr_eq(schema_find(INITIALIZER, "GlorotUniform"), schema_find(INITIALIZER, "glorot_uniform"));
	ck_assert_ptr_eq(schema_find(LOSS, "BinaryCrossentropy"), schema_find(LOSS, "bce"));
	ck_assert_ptr_eq(schema_find(ACTIVATION_KIND, "swish"), schema_find(ACTIVATION_KIND, "silu"));
	ck_assert_ptr_nonnull(schema_find(LAYER, "MaxPool2D"));
	ck_assert_ptr_null(schema_find(LAYER, "conv2d"));
	ck_assert_str_eq(schema_nearest(LAYER, "Conv2d")->name, "Conv2D");
	ck_assert_ptr_null(schema_nearest(LAYER, "Xyzzy"));
	ck_assert_str_eq(schema_field_nearest(schema_find(LAYER, "Conv2D"), "filter"), "filters");
	ck_assert_int_eq(schema_field_index(schema_find(LAYER, "Conv2D"), "stride"),
	                 schema_field_index(schema_find(LAYER, "Conv2D"), "strides"));
}
END_TEST

/* Every layer of the table that is not marked `not supported yet` is built, and every default passes its own check. */
START_TEST(table_is_whole)
{
	for (int i = 0; i < schema_nrows; i++) {
		const SchemaRow *row = &schema_rows[i];
		if (row->kind == LAYER)
			ck_assert_msg((layer_kind(row->name) != NULL) == !(row->flags & LATER), "%s", row->name);
		ck_assert_msg(row->doc && *row->doc, "%s has no doc", row->name);
		if (row->kind == FIELD_ROW && *row->range)
			schema_range(row->range);
		if (row->kind == FIELD_ROW && row->type == MAP_FIELD)
			schema_map(row->of);
		if (row->kind == FIELD_ROW && row->type == ONE)
			schema_kind(row->of, strlen(row->of));
	}
}
END_TEST

/* ---- whole files ---- */

static const char *const file =
	"cnnc: 1\nname: m\n"
	"data: {type: npy, batch_size: 8}\n"
	"model:\n  input_shape: [4]\n  layers:\n    - Dense: {units: 3, activation: relu}\n    - Dense: {units: 1}\n"
	"train: {optimizer: adam, loss: mse, epochs: 5, callbacks: [{EarlyStopping: {patience: 2}}, TerminateOnNaN]}\n";

static const char *field_after(const char *path, const char *const *overrides, int n)
{
	static char value[100];
	Diag *d = diag_new();
	FeModel m;
	value[0] = '\0';
	if (!fe_load_text("m.yaml", file, strlen(file), overrides, n, d, &m)) {
		diag_free(d);
		return "refused";
	}
	for (int i = 0; i < m.module->nfield; i++) {
		if (strcmp(m.module->field[i].path, path) == 0)
			snprintf(value, sizeof value, "%s%s", m.module->field[i].value, m.module->field[i].runtime ? " run" : "");
	}
	ir_module_free(m.module);
	diag_free(d);
	return value;
}

static void set_gives(const char *override, const char *path, const char *value)
{
	const char *got = field_after(path, &override, 1);
	ck_assert_msg(strcmp(got, value) == 0, "-D %s: %s is '%s', not '%s'", override, path, got, value);
}

START_TEST(overrides)
{
	set_gives("train.epochs=7", "train.epochs", "7 run");
	set_gives("epochs=3 + 4", "train.epochs", "7 run");
	set_gives("batch_size=64", "data.batch_size", "64 run");
	set_gives("seed=9", "train.seed", "9 run");
	set_gives("learning_rate=1/1000", "train.optimizer.adam.learning_rate", "0.001 run");
	set_gives("train.optimizer.learning_rate=0.5", "train.optimizer.adam.learning_rate", "0.5 run");
	set_gives("train.optimizer.adam.beta_1=0.5", "train.optimizer.adam.beta_1", "0.5");
	set_gives("train.optimizer={sgd: {momentum: 0.9}}", "train.optimizer.sgd.momentum", "0.9");
	set_gives("train.optimizer.sgd.momentum=0.9", "train.optimizer.sgd.momentum", "refused");
	set_gives("model.layers.0.Dense.units=5", "model.layers.0.Dense.units", "5");
	set_gives("model.layers.0.units=5", "model.layers.0.Dense.units", "5");
	set_gives("model.input_shape=[9]", "model.input_shape.0", "9");
	set_gives("train.callbacks.0.EarlyStopping.patience=4", "train.callbacks.0.EarlyStopping.patience", "4 run");
	set_gives("data.train.x=a.npy", "data.train.x", "a.npy run");
	set_gives("predict.top_k=2", "predict.top_k", "2 run");
	set_gives("epoch=7", "", "refused");
	set_gives("train.epoch=7", "", "refused");
	set_gives("train.epochs=[1, 2]", "", "refused");
	set_gives("model.layers.7.units=5", "", "refused");
	set_gives("name", "", "refused");
	const char *two[] = {"epochs=7", "epochs=8"};
	ck_assert_str_eq(field_after("train.epochs", two, 2), "8 run");
}
END_TEST

START_TEST(flat_fields)
{
	ck_assert_str_eq(field_after("train.callbacks.0.EarlyStopping.monitor", NULL, 0), "val_loss run");
	ck_assert_str_eq(field_after("train.callbacks.1", NULL, 0), "TerminateOnNaN");
	ck_assert_str_eq(field_after("train.loss", NULL, 0), "mean_squared_error");
	ck_assert_str_eq(field_after("train.optimizer.adam.epsilon", NULL, 0), "1e-07");
	ck_assert_str_eq(field_after("data.train.y", NULL, 0), " run");
	ck_assert_str_eq(field_after("build.target.0", NULL, 0), "cpu");
	ck_assert_str_eq(field_after("model.layers.1.Dense.kernel_initializer", NULL, 0), "glorot_uniform");
}
END_TEST

/* ---- what is printed from the table ---- */

static char *printed(void (*print)(FILE *), size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);
	print(f);
	fclose(f);
	return text;
}

START_TEST(schema_is_json)
{
	size_t len;
	char *text = printed(fe_schema_json, &len);
	int depth = 0;
	bool string = false;
	for (size_t i = 0; i < len; i++) {
		if (string && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			string = !string;
		else if (!string)
			depth += (text[i] == '{' || text[i] == '[') - (text[i] == '}' || text[i] == ']');
		ck_assert_int_ge(depth, i + 2 < len);
	}
	ck_assert_int_eq(depth, 0);
	ck_assert_ptr_nonnull(strstr(text, "\"$schema\": \"https://json-schema.org/draft/2020-12/schema\""));
	ck_assert_ptr_nonnull(strstr(text, "\"kernel_size\""));
	ck_assert_ptr_null(strstr(text, "tokenizer"));
	free(text);
}
END_TEST

START_TEST(reference_is_current)
{
	size_t len, n = 0;
	char *text = printed(fe_reference, &len), *stored = calloc(1, len + 2);
	FILE *f = fopen("docs/yaml.md", "rb");
	ck_assert_msg(f != NULL, "docs/yaml.md is missing");
	n = fread(stored, 1, len + 1, f);
	fclose(f);
	bool same = n == len && memcmp(text, stored, n) == 0;
	free(stored);
	free(text);
	ck_assert_msg(same, "docs/yaml.md differs from the table: cnnc help reference >docs/yaml.md");
}
END_TEST

START_TEST(help)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	ck_assert(fe_help("conv2d", f) && fe_help("epochs", f) && fe_help("data.image_size", f) && fe_help(NULL, f));
	ck_assert(!fe_help("convd2", f));
	fclose(f);
	ck_assert_ptr_nonnull(strstr(text, "kernel_size"));
	ck_assert_ptr_nonnull(strstr(text, "train.epochs: integer >= 0"));
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("frontend_values");
	TCase *c = tcase_create("values");
	tcase_add_test(c, expressions);
	tcase_add_test(c, no_expressions);
	tcase_add_test(c, units);
	tcase_add_test(c, keras_names);
	tcase_add_test(c, identifiers);
	tcase_add_test(c, table_is_whole);
	tcase_add_test(c, overrides);
	tcase_add_test(c, flat_fields);
	tcase_add_test(c, schema_is_json);
	tcase_add_test(c, reference_is_current);
	tcase_add_test(c, help);
	suite_add_tcase(s, c);
	return suite_run(s);
}

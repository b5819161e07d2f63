/* zoo.c -- applications: every one of the schema has a file and the other way round; sizes, names, variants, what is refused */
#include <check.h>
#include <string.h>
#include "frontend/frontend.h"
#include "frontend/zoo.h"
#include "tests/support/suite.h"

#define BASE(args) "cnnc: 1\nmodel:\n  base: {application: " args "}\n"

static FeModel model;
static Diag *diag;

static bool load(const char *text)
{
	diag = diag_new();
	return fe_load_text("m.yaml", text, strlen(text), NULL, 0, diag, &model);
}

static void load_or_fail(const char *text)
{
	if (load(text))
		return;
	diag_print(diag, stderr);
	ck_abort_msg("refused:\n%s", text);
}

static void done(void)
{
	ck_assert(ir_verify(model.module, diag));
	ir_module_free(model.module);
	diag_free(diag);
}

/* Parameters, running statistics included, as Keras' summary and torchvision's num_params + buffers say. */
static const struct { const char *text; int64_t params; const char *first, *last; } good[] = {
	{BASE("VGG16"), 138357544, "block1_conv1", "predictions"},
	{BASE("VGG16, include_top: false, input_shape: [32, 48, 3]"), 14714688, "block1_conv1", "block5_pool"},
	{BASE("{VGG19: {variant: torchvision}}"), 143667240, "block1_conv1", "predictions"},
	{BASE("ResNet50"), 25636712, "conv1_conv", "predictions"},
	{BASE("ResNet50, include_top: false, pooling: avg"), 23587712, "conv1_conv", "avg_pool"},
	{BASE("ResNet50, variant: torchvision"), 25557032 + 53120, "conv1_conv", "predictions"},
	{BASE("LeNet5"), 61706, "c1", "predictions"},
	{BASE("AlexNet"), 61100840, "conv1", "predictions"},
	{BASE("AlexNet, variant: paper"), 60965224, "conv1", "predictions"},
	{BASE("InceptionV3"), 23851784, "conv2d", "predictions"},
	{BASE("InceptionV3, variant: torchvision"), 23834568 + 34432, "conv2d", "predictions"},
	{BASE("ResNet18"), 11689512 + 9600, "conv1_conv", "predictions"},
	{BASE("DenseNet121"), 8062504, "conv1_conv", "predictions"},
	{BASE("DenseNet121, variant: torchvision"), 7978856 + 83648, "conv1_conv", "predictions"},
	{BASE("MobileNetV2"), 3538984, "Conv1", "predictions"},
	{BASE("MobileNetV2, variant: torchvision"), 3504872 + 34112, "Conv1", "predictions"},
	{BASE("EfficientNetB0"), 5330571, "rescaling", "predictions"},
	{BASE("EfficientNetB0, variant: torchvision"), 5288548 + 42016, "stem_conv", "predictions"},
	{BASE("UNet"), 31031810, "down1_conv1", "predictions"},
	{BASE("MLPMixer"), 59880472, "stem", "predictions"},
};

START_TEST(sizes)
{
	load_or_fail(good[_i].text);
	ck_assert_int_eq(model.params, good[_i].params);
	ck_assert_str_eq(model.layer[0].name, good[_i].first);
	ck_assert_str_eq(model.layer[model.nlayers - 1].name, good[_i].last);
	done();
}
END_TEST

static int application_rows(void)
{
	int n = 0;
	for (int i = 0; i < schema_nrows; i++)
		n += schema_rows[i].kind == APPLICATION;
	return n;
}

/* Row i with each of its variants, as a base with and without top. */
START_TEST(every_variant)
{
	const SchemaRow *row = NULL;
	int n = 0, field, variants = 0;
	for (int i = 0; i < schema_nrows; i++) {
		if (schema_rows[i].kind == APPLICATION && n++ == _i)
			row = &schema_rows[i];
	}
	ck_assert_ptr_nonnull(row);
	field = schema_field_index(row, "variant");
	Arena *a = arena_new();
	const char *name = NULL;
	bool later;
	while (field >= 0 && schema_choice(a, schema_field(row, field)->of, variants, &name, &later)) {
		load_or_fail(arena_printf(a, BASE("%s, variant: %s, include_top: false"), row->name, name));
		done();
		load_or_fail(arena_printf(a, BASE("%s, variant: %s, classes: 7"), row->name, name));
		const IrType *out = &model.layer[model.nlayers - 1].type;
		ck_assert_int_eq(out->dim[out->rank - 1], 7);
		done();
		variants++;
	}
	ck_assert_msg(field < 0 || variants > 0, "%s", row->name);
	arena_free(a);
}
END_TEST

START_TEST(files_and_rows)
{
	ck_assert_int_eq(zoo_nfiles, application_rows());
	for (int i = 0; i < zoo_nfiles; i++)
		ck_assert_msg(schema_find(APPLICATION, zoo_file[i].name) != NULL, "%s", zoo_file[i].name);
}
END_TEST

/* As an entry of a list of layers: names with that of the use in front, weights that stay, its name as an input. */
START_TEST(entries)
{
	load_or_fail("cnnc: 1\nmodel:\n  input_shape: [32, 32, 3]\n  layers:\n    - VGG16: {include_top: false, name: a, trainable: false}\n"
	             "    - VGG16: {include_top: false, pooling: max, inputs: input, trainable: true}\n    - Dense: {units: 2, inputs: a}\n");
	ck_assert_str_eq(model.layer[0].name, "a_block1_conv1");
	ck_assert_str_eq(model.layer[18].name, "block1_conv1");
	ck_assert_str_eq(model.layer[36].name, "global_max_pooling2d");
	ck_assert_int_eq(model.layer[37].in[0], 17);
	ck_assert_int_eq(model.trainable, 14714688 + 2 * 513);
	done();
}
END_TEST

/* Layers of the base can be used by name; the input has the shape of the data. */
START_TEST(base_and_layers)
{
	load_or_fail("cnnc: 1\ndata: {image_size: [64, 32], directory: d, class_names: [a, b, c]}\nmodel:\n  base: {application: ResNet50, trainable: false, "
	             "include_top: false}\n  layers:\n    - Conv2D: {filters: 1, kernel_size: 1, inputs: conv3_block4_out}\n"
	             "    - GlobalMaxPooling2D\n    - Dense: {units: $num_classes}\n");
	ck_assert_int_eq(model.input[0].type.dim[1], 64);
	ck_assert_int_eq(model.trainable, 513 + 6);
	done();
}
END_TEST

static const struct { const char *text, *error; } bad[] = {
	{BASE("VGG17"), "there is no application 'VGG17'; did you mean 'VGG16'?"},
	{BASE("ResNet50, variant: torchvison"), "ResNet50.variant can't be 'torchvison'; did you mean 'torchvision'?"},
	{BASE("{ResNet50: {variant: keras}}, variant: keras"), "variant is given twice"},
	{BASE("{ResNet50: {widht: 3}}"), "ResNet50 has no field 'widht'"},
	{BASE("ResNet50, weigths: a"), "did you mean 'weights'?"},
	{BASE("ResNet50, pooling: avg"), "pooling is for include_top: false"},
	{"cnnc: 1\nmodel:\n  input_shape: [32, 32, 3]\n  layers:\n    - ReLU\n    - MLPMixer\n", "$height has no value here"},
	{BASE("ResNet50, trainable: 1"), "trainable must be true or false"},
	{"cnnc: 1\nmodel:\n  input_shape: [32, 32, 3]\n  layers:\n    - VGG16: {trainable: 1, include_top: false}\n", "must be true or false"},
	{"cnnc: 1\nmodel:\n  input_shape: [8, 8, 3]\n  layers:\n    - VGG16\n", "layer 'block4_pool' does not fit its input"},
	{"cnnc: 1\nmodel:\n  input_shape: [8, 8, 3]\n  base: {application: VGG16, input_shape: [32, 32, 3]}\n", "are both given"},
	{"cnnc: 1\nmodel:\n  base: VGG16\n", "base takes a mapping"},
	{"cnnc: 1\nmodel:\n  base: {include_top: false}\n", "base needs 'application'"},
};

START_TEST(refused)
{
	char text[4096] = "";
	FILE *f = fmemopen(text, sizeof text - 1, "w");
	ck_assert(!load(bad[_i].text));
	diag_print(diag, f);
	fclose(f);
	ck_assert_msg(strstr(text, bad[_i].error) != NULL, "%s\nsays\n%s", bad[_i].text, text);
	diag_free(diag);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("zoo");
	TCase *t = tcase_create("zoo");
	tcase_add_loop_test(t, sizes, 0, (int)(sizeof good / sizeof *good));
	tcase_add_loop_test(t, every_variant, 0, application_rows());
	tcase_add_test(t, files_and_rows);
	tcase_add_test(t, entries);
	tcase_add_test(t, base_and_layers);
	tcase_add_loop_test(t, refused, 0, (int)(sizeof bad / sizeof *bad));
	suite_add_tcase(s, t);
	return suite_run(s);
}

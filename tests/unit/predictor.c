/* predictor.c -- the predictor's commands on the hand-written model: weights, pictures, evaluation, arrays, info */
#include <check.h>
#include <jansson.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/bundle.h"
#include "runtime/predict.h"
#include "runtime/train.h"
#include "tests/support/suite.h"
#include "tests/unit/tiny_model.h"

#define PREDICT(...) tiny_run(rt_predict_main, "./tiny", __VA_ARGS__, NULL)
#define WITH "--weights=runs/tiny/1/weights/best.safetensors"

static void train_first(void)
{
	tiny_folder();
	ck_assert_int_eq(tiny_run(rt_train_main, "./tiny-train", "epochs=8", NULL), 0);
}

/* A 2x2 grey PNG whose pixels are all `value`. */
static void write_png(const char *path, int value)
{
	png_image image = {.version = PNG_IMAGE_VERSION, .width = 2, .height = 2, .format = PNG_FORMAT_GRAY};
	unsigned char pixels[4];
	memset(pixels, value, sizeof pixels);
	ck_assert(png_image_write_to_file(&image, path, 0, pixels, 0, NULL));
}

START_TEST(without_weights_it_says_how_to_get_them)
{
	tiny_folder();
	write_png("a.png", 9);
	ck_assert_int_eq(PREDICT("a.png"), RT_BAD_WEIGHTS);
	ck_assert_ptr_nonnull(
		strstr(tiny_text("err"), "holds no weights yet: run ./tiny-train, or give --weights FILE"));
	ck_assert_int_eq(PREDICT("--weights", "x.npy", "a.png"), RT_BAD_WEIGHTS);
}
END_TEST

START_TEST(pictures_and_folders)
{
	train_first();
	ck_assert_int_eq(system("mkdir -p pictures/deep"), 0);
	write_png("pictures/b.png", 0);
	write_png("pictures/deep/c.PNG", 200);
	write_png("pictures/a.png", 255);
	ck_assert_int_eq(PREDICT(WITH, "pictures"), 0);
	const char *text = tiny_text("out");
	const char *a = strstr(text, "pictures/a.png  "), *b = strstr(text, "pictures/b.png  "),
		   *c = strstr(text, "pictures/deep/c.PNG  ");
	ck_assert(a == text && b > a && c > b);
	ck_assert_int_eq(PREDICT(WITH, "--json", "--top-k", "2", "pictures/a.png"), 0);
	json_t *j = json_loads(tiny_text("out"), 0, NULL);
	ck_assert_str_eq(json_string_value(json_object_get(j, "path")), "pictures/a.png");
	double p = json_real_value(json_object_get(json_object_get(j, "probabilities"), "yes"));
	ck_assert_str_eq(json_string_value(json_object_get(j, "label")), p > 0.5 ? "yes" : "no");
	ck_assert_double_eq_tol(json_real_value(json_object_get(j, "probability")), p > 0.5 ? p : 1 - p, 1e-7);
	ck_assert_int_eq(json_array_size(json_object_get(j, "top_k")), 2);
	json_decref(j);
	ck_assert_int_eq(PREDICT(WITH, "--threshold=0", "pictures/a.png"), 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("out"), "  yes  "));
}
END_TEST

START_TEST(unreadable_pictures_are_told)
{
	train_first();
	write_png("good.png", 100);
	ck_assert_int_eq(system("echo no picture > bad.jpg"), 0);
	ck_assert_int_eq(PREDICT(WITH, "bad.jpg", "good.png", "absent.png"), RT_BAD_DATA);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "bad.jpg"));
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "error: 2 of 3 pictures can't be read"));
	ck_assert_ptr_nonnull(strstr(tiny_text("out"), "good.png  "));
	ck_assert_int_eq(system("mkdir empty"), 0);
	ck_assert_int_eq(PREDICT(WITH, "empty"), RT_BAD_DATA);
}
END_TEST

START_TEST(evaluate_counts_by_class)
{
	train_first();
	ck_assert_int_eq(PREDICT(WITH, "evaluate"), 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("out"), "confusion matrix"));
	ck_assert_int_eq(PREDICT(WITH, "evaluate", "--json"), 0);
	json_t *j = json_loads(tiny_text("out"), 0, NULL), *m = json_object_get(j, "confusion_matrix");
	ck_assert_int_eq(json_integer_value(json_object_get(j, "samples")), 19);
	json_int_t n[2][2];
	for (int i = 0; i < 4; i++)
		n[i / 2][i % 2] = json_integer_value(json_array_get(json_array_get(m, (size_t)i / 2), (size_t)i % 2));
	ck_assert_int_eq(n[0][0] + n[0][1] + n[1][0] + n[1][1], 19);
	double accuracy = json_real_value(json_object_get(j, "accuracy"));
	ck_assert_double_eq_tol(accuracy, (double)(n[0][0] + n[1][1]) / 19, 1e-9);
	ck_assert_double_eq_tol(json_real_value(json_object_get(json_object_get(j, "micro"), "f1")), accuracy, 1e-9);
	json_t *yes = json_array_get(json_object_get(j, "classes"), 1);
	ck_assert_double_eq_tol(json_real_value(json_object_get(yes, "recall")),
				(double)n[1][1] / (double)(n[1][0] + n[1][1]), 1e-9);
	json_decref(j);
	ck_assert_int_eq(PREDICT(WITH, "evaluate", "data.validation.x=x.npy", "data.validation.y=y.npy"), 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("out"), "  45"));
}
END_TEST

START_TEST(arrays_in_arrays_out)
{
	train_first();
	RtNpy y;
	ck_assert_int_eq(PREDICT(WITH, "run", "--input", "x.npy", "--output", "p.npy"), 0);
	ck_assert_int_eq(rt_npy_open("p.npy", &y), RT_OK);
	ck_assert_int_eq(y.rank, 2);
	ck_assert_int_eq(y.dim[0], 45);
	const float *p = (const void *)y.data;
	for (int i = 0; i < 45; i++)
		ck_assert(p[i] > 0 && p[i] < 1);
	rt_npy_close(&y);
	ck_assert_int_eq(PREDICT(WITH, "run", "--input", "y.npy", "--output", "p.npy"), RT_BAD_DATA);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "y.npy has the shape (45, 1), the model takes (N, 4)"));
	ck_assert_int_eq(PREDICT(WITH, "run", "--input", "x.npy"), RT_USAGE);
}
END_TEST

START_TEST(info_tells_all)
{
	tiny_folder();
	ck_assert_int_eq(PREDICT("info"), 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("out"), "5 trainable"));
	ck_assert_int_eq(PREDICT("info", "--json"), 0);
	json_t *j = json_loads(tiny_text("out"), 0, NULL);
	ck_assert_int_eq(json_array_size(json_object_get(j, "entries")), 4);
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(j, "classes"), 1)), "yes");
	json_decref(j);
	ck_assert_int_eq(PREDICT("info", "--config"), 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("out"), "image_size: [2, 2]"));
	ck_assert_int_eq(PREDICT("--top-k=0", "a.png"), RT_USAGE);
	ck_assert_int_eq(PREDICT("--nonsense"), RT_USAGE);
	ck_assert_int_eq(PREDICT("--version"), 0);
	ck_assert_int_eq(tiny_run(rt_predict_main, "./tiny", NULL), RT_USAGE);
}
END_TEST

/* Weights go in, come out, are replaced, and damage is seen. */
START_TEST(weights_inside_a_program)
{
	train_first();
	RtBundle b;
	FILE *f = fopen("program", "w");
	fprintf(f, "#!/bin/sh\necho hi\nexit\n");
	fwrite(tiny_model.model_hash, 1, 32, f);
	fclose(f);
	ck_assert_int_eq(system("chmod 755 program; cp program original"), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(
			rt_bundle_write("program", "runs/tiny/1/weights/best.safetensors", tiny_model.model_hash),
			RT_OK);
		ck_assert_int_eq(rt_bundle_open("program", &b), RT_OK);
		ck_assert_ptr_nonnull(b.weights);
		rt_bundle_close(&b);
	}
	ck_assert_int_eq(system("test \"$(./program)\" = hi && cmp -n $(stat -c %s original) program original && "
				"test $(stat -c %s program) -lt 2000"),
			 0);
	ck_assert_int_eq(system("printf X | dd of=program bs=1 seek=300 conv=notrunc 2>/dev/null"), 0);
	ck_assert_int_eq(rt_bundle_open("program", &b), RT_BAD_WEIGHTS);
	ck_assert_int_eq(system("cp original program; printf 'another program, of some other model' > other"), 0);
	ck_assert_int_eq(rt_bundle_open("program", &b), RT_OK);
	ck_assert_ptr_null(b.weights);
	ck_assert_int_eq(rt_bundle_write("other", "runs/tiny/1/weights/best.safetensors", tiny_model.model_hash),
			 RT_BAD_WEIGHTS);
	ck_assert_int_eq(rt_bundle_write("program", "x.npy", tiny_model.model_hash), RT_BAD_WEIGHTS);
	ck_assert_int_eq(system("cmp program original && test ! -e program.tmp"), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("predictor");
	TCase *c = tcase_create("predictor");
	tcase_add_test(c, without_weights_it_says_how_to_get_them);
	tcase_add_test(c, pictures_and_folders);
	tcase_add_test(c, unreadable_pictures_are_told);
	tcase_add_test(c, evaluate_counts_by_class);
	tcase_add_test(c, arrays_in_arrays_out);
	tcase_add_test(c, info_tells_all);
	tcase_add_test(c, weights_inside_a_program);
	tcase_set_timeout(c, 120);
	suite_add_tcase(s, c);
	return suite_run(s);
}

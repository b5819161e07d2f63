/* library.c -- the public C API: compile text, look inside, train, predict, keep weights, and what is refused */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cnnc.h"
#include "tests/support/suite.h"

/* y = x w + b, mean squared error, plain gradient descent: everything can be computed by hand. */
static const char linear[] =
	"cnnc: 1\n"
	"name: linear\n"
	"data: {type: npy, train: {x: x.npy, y: y.npy}, batch_size: 4}\n"
	"model:\n"
	"  input_shape: [3]\n"
	"  layers:\n"
	"    - Dense: {units: 1}\n"
	"train: {optimizer: {sgd: {learning_rate: 0.1}}, loss: mean_squared_error}\n";

static const char classes[] =
	"cnnc: 1\n"
	"name: classes\n"
	"data: {type: npy, train: {x: x.npy, y: y.npy}, label_mode: int, batch_size: 8}\n"
	"model:\n"
	"  input_shape: [6, 6, 2]\n"
	"  layers:\n"
	"    - Conv2D: {filters: 5, kernel_size: 3, activation: relu}\n"
	"    - MaxPooling2D\n"
	"    - Flatten\n"
	"    - Dense: {units: 3, activation: softmax}\n"
	"train: {optimizer: adam, loss: sparse_categorical_crossentropy}\n";

static CnncModel *load(const char *text, int threads)
{
	CnncModel *m = cnnc_load_text("model.yaml", text, &(CnncOptions){.threads = threads});
	ck_assert_msg(m != NULL, "%s", cnnc_error());
	return m;
}

START_TEST(looks_inside)
{
	CnncModel *m = load(linear, 1);
	CnncArray a;
	ck_assert(cnnc_trains(m));
	ck_assert_int_eq(cnnc_max_batch(m), 4);
	ck_assert(cnnc_input(m, 0, &a));
	ck_assert_str_eq(a.name, "x");
	ck_assert(a.dtype == CNNC_F32 && a.rank == 2 && a.dim[0] == 0 && a.dim[1] == 3 && a.bytes == 12);
	ck_assert(cnnc_input(m, 1, &a) && a.bytes == 4);
	ck_assert(!cnnc_input(m, 2, &a) && !cnnc_input(m, -1, &a));
	ck_assert(cnnc_output(m, 0, &a) && a.bytes == 4 && !cnnc_output(m, 1, &a));
	ck_assert_int_eq(cnnc_ntensors(m), 2);
	ck_assert(cnnc_tensor(m, 0, &a) && !cnnc_tensor(m, 2, &a));
	ck_assert_str_eq(a.name, "dense.kernel");
	ck_assert(a.rank == 2 && a.dim[0] == 3 && a.dim[1] == 1 && a.bytes == 12);
	cnnc_free(m);
	cnnc_free(NULL);
}
END_TEST

START_TEST(one_step_by_hand)
{
	CnncModel *m = load(linear, 1);
	const float x[] = {1, 2, 3, -1, 0, 1}, y[] = {2, -1};
	float w[] = {0.5f, -1, 0.25f}, b = 0.125f, p[2], got[3];
	double loss;
	ck_assert(cnnc_set(m, "dense.kernel", w, sizeof(w)) && cnnc_set(m, "dense.bias", &b, sizeof(b)));
	ck_assert(cnnc_predict(m, x, 2, p));
	ck_assert(p[0] == 0.5f - 2 + 0.75f + 0.125f && p[1] == -0.5f + 0.25f + 0.125f);
	ck_assert_msg(cnnc_train_step(m, x, y, 2, 0.1, &loss), "%s", cnnc_error());
	double e0 = p[0] - y[0], e1 = p[1] - y[1];
	ck_assert_double_eq_tol(loss, (e0 * e0 + e1 * e1) / 2, 1e-6);
	ck_assert(cnnc_get(m, "dense.kernel", got, sizeof(got)));
	for (int i = 0; i < 3; i++)
		ck_assert_float_eq_tol(got[i], (float)(w[i] - 0.1 * (e0 * x[i] + e1 * x[3 + i])), 1e-6);
	ck_assert(cnnc_get(m, "dense.bias", got, sizeof(b)));
	ck_assert_float_eq_tol(got[0], (float)(b - 0.1 * (e0 + e1)), 1e-6);
	cnnc_free(m);
}
END_TEST

START_TEST(steps_that_are_refused)
{
	CnncModel *m = load(linear, 1);
	float x[15] = {0}, y[5] = {0}, w[3] = {1, 2, 3}, got[3];
	ck_assert(cnnc_set(m, "dense.kernel", w, sizeof(w)));
	ck_assert(!cnnc_train_step(m, x, y, 5, 0.1, NULL) && strstr(cnnc_error(), "1 to 4"));
	ck_assert(!cnnc_train_step(m, x, y, 0, 0.1, NULL) && !cnnc_predict(m, x, 0, y));
	x[0] = NAN;
	ck_assert(!cnnc_train_step(m, x, y, 4, 0.1, NULL) && strstr(cnnc_error(), "finite"));
	ck_assert(cnnc_get(m, "dense.kernel", got, sizeof(got)) && memcmp(got, w, sizeof(w)) == 0);
	ck_assert(!cnnc_get(m, "dense.kernel", got, 4) && strstr(cnnc_error(), "12 bytes"));
	ck_assert(!cnnc_set(m, "dense.krenel", got, 12) && strstr(cnnc_error(), "dense.krenel"));
	cnnc_free(m);
}
END_TEST

enum { N = 8, IN = 6 * 6 * 2 };

static void make_data(float *x, int32_t *y)
{
	for (int i = 0; i < N; i++) {
		y[i] = i % 3;
		for (int j = 0; j < IN; j++)
			x[i * IN + j] = (float)((i * 37 + j * 11) % 23) / 23 + (j % 3 == y[i] ? 1.0f : 0.0f);
	}
}

static void train(CnncModel *m, int steps, double *first, double *last)
{
	float x[N * IN];
	int32_t y[N];
	make_data(x, y);
	for (int i = 0; i < steps; i++)
		ck_assert_msg(cnnc_train_step(m, x, y, N, 0.01, i ? last : first), "%s", cnnc_error());
}

START_TEST(learns_and_keeps_weights)
{
	CnncModel *m = load(classes, 1), *other = load(classes, 2);
	float x[20 * IN], p[20 * 3], q[20 * 3];
	double first, last;
	char path[] = "/tmp/cnnc-weights-XXXXXX";
	int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	for (int i = 0; i < 20 * IN; i++)
		x[i] = (float)(i % 17) / 17;
	cnnc_init_weights(m, 7);
	train(m, 60, &first, &last);
	ck_assert(last < first / 2);
	ck_assert_msg(cnnc_save_weights(m, path), "%s", cnnc_error());
	ck_assert_msg(cnnc_load_weights(other, path), "%s", cnnc_error());
	ck_assert(cnnc_predict(m, x, 20, p) && cnnc_predict(other, x, 20, q)); /* more than a batch */
	ck_assert_int_eq(memcmp(p, q, sizeof(p)), 0);
	for (int i = 0; i < 20; i++)
		ck_assert_float_eq_tol(p[3 * i] + p[3 * i + 1] + p[3 * i + 2], 1.0f, 1e-5);
	CnncModel *misfit = load(linear, 1);
	ck_assert(!cnnc_load_weights(misfit, path) && !cnnc_load_weights(m, "/no/such/file"));
	unlink(path);
	cnnc_free(misfit);
	cnnc_free(other);
	cnnc_free(m);
}
END_TEST

START_TEST(same_seed_same_bits)
{
	CnncModel *m[2];
	double first[2], last[2];
	for (int i = 0; i < 2; i++) {
		m[i] = load(classes, i + 1);
		cnnc_init_weights(m[i], 3);
		train(m[i], 10, &first[i], &last[i]);
	}
	ck_assert(first[0] == first[1] && last[0] == last[1]);
	for (int i = 0; i < cnnc_ntensors(m[0]); i++) {
		CnncArray t;
		ck_assert(cnnc_tensor(m[0], i, &t));
		void *a = malloc(t.bytes), *b = malloc(t.bytes);
		ck_assert(cnnc_get(m[0], t.name, a, t.bytes) && cnnc_get(m[1], t.name, b, t.bytes));
		ck_assert_msg(memcmp(a, b, t.bytes) == 0, "%s", t.name);
		free(a);
		free(b);
	}
	cnnc_free(m[0]);
	cnnc_free(m[1]);
}
END_TEST

/* What predictions make of the weights is kept between calls, until weights change: by a step, by hand, or all at once. */
static const char wide[] =
	"cnnc: 1\n"
	"name: wide\n"
	"data: {type: npy, train: {x: x.npy, y: y.npy}, label_mode: int, batch_size: 8}\n"
	"model:\n"
	"  input_shape: [12, 12, 16]\n"
	"  layers:\n"
	"    - Conv2D: {filters: 32, kernel_size: 3, activation: relu, padding: same}\n"
	"    - MaxPooling2D\n"
	"    - Flatten\n"
	"    - Dense: {units: 160, activation: relu}\n"
	"    - Dense: {units: 3, activation: softmax}\n"
	"train: {optimizer: adam, loss: sparse_categorical_crossentropy}\n"
	"build: {math: fast}\n";

enum { WIDE = 12 * 12 * 16 };

static void same_as_fresh(CnncModel *m, const float *x, const char *what)
{
	char path[] = "/tmp/cnnc-weights-XXXXXX";
	int fd = mkstemp(path);
	CnncModel *fresh = load(wide, 1);
	float p[N * 3], q[N * 3];
	close(fd);
	ck_assert(cnnc_save_weights(m, path) && cnnc_load_weights(fresh, path));
	unlink(path);
	for (int n = 1; n <= N; n += N - 1) {
		for (int again = 0; again < 2; again++)
			ck_assert(cnnc_predict(m, x, n, p));
		ck_assert(cnnc_predict(fresh, x, n, q));
		ck_assert_msg(memcmp(p, q, sizeof(*p) * 3 * (size_t)n) == 0, "%s, %d samples", what, n);
	}
	cnnc_free(fresh);
}

START_TEST(changed_weights_are_seen)
{
	static const char *const kernel[] = {"conv2d.kernel", "dense.kernel"};
	CnncModel *m = load(wide, 2);
	float *x = malloc(sizeof(*x) * N * WIDE);
	int32_t y[N] = {0, 1, 2, 0, 1, 2, 0, 1};
	CnncArray t;
	for (int i = 0; i < N * WIDE; i++)
		x[i] = (float)(i * 7 % 31) / 31;
	cnnc_init_weights(m, 1);
	same_as_fresh(m, x, "first");
	ck_assert(cnnc_train_step(m, x, y, N, 0.01, NULL));
	same_as_fresh(m, x, "after a step");
	for (size_t i = 0; i < sizeof(kernel) / sizeof(*kernel); i++) {
		for (int k = 0; k < cnnc_ntensors(m); k++) {
			ck_assert(cnnc_tensor(m, k, &t));
			if (strcmp(t.name, kernel[i]) == 0)
				break;
		}
		float *all = malloc(t.bytes);
		ck_assert(cnnc_get(m, kernel[i], all, t.bytes));
		all[t.bytes / sizeof(*all) / 2] += 1;
		ck_assert(cnnc_set(m, kernel[i], all, t.bytes));
		free(all);
		same_as_fresh(m, x, kernel[i]);
	}
	cnnc_init_weights(m, 9);
	same_as_fresh(m, x, "other weights");
	free(x);
	cnnc_free(m);
}
END_TEST

START_TEST(errors_are_located)
{
	ck_assert(!cnnc_load_text("bad.yaml", "cnnc: 1\nmodel:\n  layers:\n    - Dense: {unit: 1}\n", NULL));
	ck_assert_msg(strstr(cnnc_error(), "bad.yaml:4:") && strstr(cnnc_error(), "units"), "%s", cnnc_error());
	ck_assert(!cnnc_load("/no/such/model.yaml", NULL) && strstr(cnnc_error(), "/no/such/model.yaml"));
	ck_assert(!cnnc_load_text("m.yaml", linear, &(CnncOptions){.cpu = "z80"}) && strstr(cnnc_error(), "z80"));
	const char *define[] = {"data.batch_size=2"};
	CnncModel *m = cnnc_load_text("m.yaml", linear, &(CnncOptions){.define = define, .ndefines = 1, .threads = 1});
	ck_assert_msg(m && cnnc_max_batch(m) == 2, "%s", cnnc_error());
	cnnc_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("library");
	TCase *t = tcase_create("api");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, looks_inside);
	tcase_add_test(t, one_step_by_hand);
	tcase_add_test(t, steps_that_are_refused);
	tcase_add_test(t, learns_and_keeps_weights);
	tcase_add_test(t, same_seed_same_bits);
	tcase_add_test(t, changed_weights_are_seen);
	tcase_add_test(t, errors_are_located);
	suite_add_tcase(s, t);
	return suite_run(s);
}

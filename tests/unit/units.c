/* units.c -- a model as several objects that threads make at the same time: the same bytes and results for any number of them */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cnnc.h"
#include "pipeline.h"
#include "tests/support/suite.h"

/* Enough for several units, which call each other. */
static const char text[] =
	"cnnc: 1\n"
	"name: units\n"
	"data: {type: npy, train: {x: x.npy, y: y.npy}, label_mode: int, batch_size: 6, class_names: [a, b, c]}\n"
	"model:\n"
	"  input_shape: [9, 10, 3]\n"
	"  layers:\n"
	"    - Conv2D: {filters: 8, kernel_size: 3, padding: same, activation: relu}\n"
	"    - MaxPooling2D\n"
	"    - BatchNormalization\n"
	"    - Flatten\n"
	"    - Dense: {units: 3, activation: softmax}\n"
	"train: {optimizer: adam, loss: sparse_categorical_crossentropy, metrics: [accuracy]}\n";

enum { N = 6, PIXELS = 9 * 10 * 3, CLASSES = 3, STEPS = 3 };

typedef struct Made { CgObjects objects; char folder[64]; } Made;

static Made make(int threads, const char *cpu, Arena *a)
{
	Made m = {.folder = "/tmp/cnnc-units-XXXXXX"};
	Diag *d = diag_new();
	Pipeline p;
	ck_assert_ptr_nonnull(mkdtemp(m.folder));
	bool ok = pipeline_open(&p, &(PipelineIn){.path = "units.yaml", .text = text, .cpu = cpu, .threads = threads}, d);
	diag_print(d, stderr);
	ck_assert(ok);
	CgModule *c = pipeline_code(&p, d);
	ck_assert(c && cg_objects(c, m.folder, a, &m.objects, d));
	cg_free(c);
	pipeline_close(&p);
	diag_free(d);
	return m;
}

static void unmake(Made *m)
{
	for (int i = 0; i < m->objects.n; i++)
		ck_assert_int_eq(unlink(m->objects.path[i]), 0);
	ck_assert_int_eq(rmdir(m->folder), 0);
}

static char *bytes_of(const char *path, size_t *n, Arena *a)
{
	enum { MOST = 1 << 20 };
	char *bytes = NEWN(a, char, MOST);
	FILE *f = fopen(path, "rb");
	ck_assert_ptr_nonnull(f);
	*n = fread(bytes, 1, MOST, f);
	fclose(f);
	ck_assert(*n > 0 && *n < MOST);
	return bytes;
}

START_TEST(same_objects)
{
	Arena *a = arena_new();
	static const char *const cpu[] = {"native", "x86-64-v2"};
	Made one = make(1, cpu[_i], a);
	ck_assert_int_gt(one.objects.n, 2);
	for (int threads = 2; threads <= 3; threads++) {
		Made more = make(threads, cpu[_i], a);
		ck_assert_int_eq(more.objects.n, one.objects.n);
		for (int i = 0; i < one.objects.n; i++) {
			size_t n, m;
			const char *x = bytes_of(one.objects.path[i], &n, a), *y = bytes_of(more.objects.path[i], &m, a);
			ck_assert_uint_eq(n, m);
			ck_assert_mem_eq(x, y, n);
		}
		unmake(&more);
	}
	unmake(&one);
	arena_free(a);
}
END_TEST

/* Results of a few steps and a prediction by code that so many threads made. */
static void run(int threads, double loss[STEPS], float out[N * CLASSES])
{
	float x[N * PIXELS];
	int32_t y[N];
	CnncModel *m = cnnc_load_text("units.yaml", text, &(CnncOptions){.threads = threads});
	ck_assert_msg(m != NULL, "%s", cnnc_error());
	for (int i = 0; i < N * PIXELS; i++)
		x[i] = (float)(i * 37 % 101) / 101;
	for (int i = 0; i < N; i++)
		y[i] = i % CLASSES;
	cnnc_init_weights(m, 7);
	for (int i = 0; i < STEPS; i++)
		ck_assert_msg(cnnc_train_step(m, x, y, N, 0.01, &loss[i]), "%s", cnnc_error());
	ck_assert_msg(cnnc_predict(m, x, N, out), "%s", cnnc_error());
	cnnc_free(m);
}

START_TEST(same_results)
{
	double loss[2][STEPS];
	float out[2][N * CLASSES];
	run(1, loss[0], out[0]);
	run(3, loss[1], out[1]);
	ck_assert_mem_eq(loss[0], loss[1], sizeof(loss[0]));
	ck_assert_mem_eq(out[0], out[1], sizeof(out[0]));
	ck_assert(loss[0][STEPS - 1] < loss[0][0]);
}
END_TEST

static void *load_and_run(void *out)
{
	double loss[STEPS];
	run(2, loss, out);
	return NULL;
}

/* Compilations of a process know nothing of each other. */
START_TEST(at_the_same_time)
{
	float out[3][N * CLASSES];
	pthread_t thread[3];
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, load_and_run, out[i]), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
	ck_assert_mem_eq(out[0], out[1], sizeof(out[0]));
	ck_assert_mem_eq(out[0], out[2], sizeof(out[0]));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("units");
	TCase *c = tcase_create("units");
	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, same_objects, 0, 2);
	tcase_add_test(c, same_results);
	tcase_add_test(c, at_the_same_time);
	suite_add_tcase(s, c);
	return suite_run(s);
}

/* cuda_faults.c -- each call of the driver fails once, on the GPU of host memory (tests/cuda)
 *
 * Opening a model there, training steps, predicting, fetching weights, closing: with any one call failing there is a sentence and
 * a status, memory is given back, and the next attempt goes well. tests/e2e/cuda_mock.sh does some of these with whole programs.
 */
#include <check.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/cuda_call.h"
#include "tests/support/model_check.h"
#include "tests/support/suite.h"

static const char text[] =
	"cnnc: 1\ndata: {type: npy, batch_size: 3}\nmodel:\n  input_shape: [5, 4, 2]\n  layers:\n"
	"    - Conv2D: {filters: 3, kernel_size: 2, activation: relu}\n    - Flatten\n    - Dense: {units: 2}\n"
	"train:\n  optimizer: {sgd: {momentum: 0.9}}\n  loss: mse\n  metrics: [mae]\n";

enum { SAMPLES = 2, PORT_BYTES = 4096 };

/* What the mock counts; both are found by name, as the driver is. */
typedef int CountFn(void);
static CountFn *calls, *allocations;

static void find_counters(void)
{
	void *lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL), *at;
	ck_assert_ptr_nonnull(lib);
	at = dlsym(lib, "mock_calls");
	memcpy(&calls, &at, sizeof at);
	at = dlsym(lib, "mock_allocations");
	memcpy(&allocations, &at, sizeof at);
	ck_assert(calls && allocations);
}

static RtStatus run_entry(const Jitted *j, RtCudaRun *r, const char *name, unsigned char *const *ports)
{
	const RtEntry *e = rt_entry(j->model, name);
	RtScalars s = {.seed = 1, .lr = 0.01f};
	rt_scalars_set(&s, j->model, SAMPLES, 1);
	ck_assert_ptr_nonnull(e);
	return rt_cuda_run(r, e, &s, ports, j->instance.out, j->instance.metric);
}

static RtStatus everything(const Jitted *j, bool graph, unsigned char *const *ports)
{
	static const char *const entries[] = {"train_step", "evaluate", "predict"};
	RtCudaRun *r;
	RtStatus s = rt_cuda_open(j->model, j->instance.params, entries, COUNT(entries), 0, graph, &r);
	if (s == RT_OK)
		s = run_entry(j, r, "train_step", ports);
	if (s == RT_OK)
		s = run_entry(j, r, "train_step", ports);
	if (s == RT_OK)
		s = run_entry(j, r, "predict", ports);
	if (s == RT_OK)
		s = rt_cuda_settle(r);
	if (s == RT_OK)
		s = run_entry(j, r, "evaluate", ports);
	rt_cuda_close(r);
	return s;
}

static void fail_at(int n)
{
	char number[40];
	snprintf(number, sizeof number, "%d", n);
	setenv("MOCK_CUDA_FAIL", number, 1);
}

START_TEST(each_call_fails_once)
{
	const ModelCheck c = {.name = "small", .text = text};
	static unsigned char memory[RT_MAX_PORTS][PORT_BYTES];
	unsigned char *ports[RT_MAX_PORTS];
	Diag *d = diag_new();
	for (int i = 0; i < RT_MAX_PORTS; i++)
		ports[i] = memory[i];
	unsetenv("TEST_CPU");
	Jitted j = jit_open(model_load(&c, d), "cuda", 1);
	find_counters();
	const int held = allocations(), before = calls();
	ck_assert_int_eq(everything(&j, _i == 0, ports), RT_OK);
	const int n = calls() - before;
	int failed = 0;
	ck_assert_int_gt(n, 50);
	for (int i = 1; i <= n; i++) {
		fail_at(calls() + i);
		const RtStatus s = everything(&j, _i == 0, ports);
		ck_assert_msg(s == RT_OK || s == RT_DEVICE || s == RT_NOMEM, "call %d of %d: status %d", i, n, (int)s);
		ck_assert_msg(s == RT_OK || (*rt_message() && !strchr(rt_message(), '\n')), "call %d of %d: not one sentence", i, n);
		failed += s != RT_OK;
	}
	unsetenv("MOCK_CUDA_FAIL");
	ck_assert_int_gt(failed, n * 2 / 3); /* the rest frees things */
	ck_assert_int_eq(everything(&j, _i == 0, ports), RT_OK);
	ck_assert_int_le(allocations() - held, 2); /* a free that fails keeps what it was to free: one call for each of two */
	jit_close(&j);
	diag_free(d);
}
END_TEST

int main(void)
{
	if (!getenv("MOCK_CUDA_SHIM"))
		return 77; /* run by ctest, which says where the mock is */
	Suite *s = suite_create("cuda_faults");
	TCase *t = tcase_create("faults");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, each_call_fails_once, 0, 2);
	suite_add_tcase(s, t);
	return suite_run(s);
}

/* energy.c -- counters of energy in a tree of the test's own: what counts, what starts again, what can't be read; limits */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/energy.h"
#include "runtime/predict.h"
#include "runtime/sys.h"
#include "runtime/train.h"
#include "tests/support/suite.h"
#include "tests/unit/tiny_model.h"

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

static void zone(const char *file, const char *name, const char *range, const char *energy)
{
	char path[200];
	snprintf(path, sizeof path, "mkdir -p powercap/%s", file);
	ck_assert_int_eq(system(path), 0);
	snprintf(path, sizeof path, "powercap/%s/name", file);
	put(path, name);
	snprintf(path, sizeof path, "powercap/%s/max_energy_range_uj", file);
	put(path, range);
	snprintf(path, sizeof path, "powercap/%s/energy_uj", file);
	put(path, energy);
}

static void two_packages(void)
{
	zone("intel-rapl:0", "package-0\n", "262143328850\n", "1000000\n");
	zone("intel-rapl:0:0", "core\n", "262143328850\n", "500000\n");
	zone("intel-rapl:0:1", "dram\n", "65712999613\n", "20\n");
	zone("intel-rapl:1", "package-1\n", "262143328850\n", "262143328800\n");
	zone("intel-rapl:2", "psys\n", "262143328850\n", "7\n");
	zone("intel-rapl-mmio:0", "package-0\n", "262143328850\n", "1000000\n");
	ck_assert_int_eq(system("mkdir -p powercap/dtpm powercap/intel-rapl"), 0);
}

START_TEST(packages_and_their_memory_count)
{
	RtEnergy e;
	tiny_empty_folder();
	unsetenv("CNNC_POWERCAP");
	two_packages();
	rt_energy_open(&e, "powercap", NULL);
	ck_assert(rt_energy_known(&e) && e.nzones == 3);
	ck_assert_double_eq(rt_energy_joules(&e), 0);
	put("powercap/intel-rapl:0/energy_uj", "3500000\n");
	put("powercap/intel-rapl:0:0/energy_uj", "9900000\n");
	put("powercap/intel-rapl:0:1/energy_uj", "250020\n");
	put("powercap/intel-rapl:2/energy_uj", "9900000\n");
	rt_energy_update(&e, true);
	ck_assert_double_eq_tol(rt_energy_joules(&e), 2.75, 1e-9);
	put("powercap/intel-rapl:1/energy_uj", "149\n"); /* 51 up to 0, 149 beyond it */
	rt_energy_update(&e, true);
	ck_assert_double_eq_tol(rt_energy_joules(&e), 2.7502, 1e-9);
	ck_assert_double_eq_tol(rt_energy_kwh(3.6e6), 1, 1e-12);
	rt_energy_close(&e);
}
END_TEST

START_TEST(what_cannot_be_read_is_unknown)
{
	RtEnergy e;
	tiny_empty_folder();
	unsetenv("CNNC_POWERCAP");
	rt_energy_open(&e, "powercap", NULL);
	ck_assert(!rt_energy_known(&e) && isnan(rt_energy_joules(&e)));
	ck_assert_ptr_nonnull(strstr(e.why, "powercap: No such file"));
	ck_assert_int_eq(system("mkdir powercap"), 0);
	rt_energy_open(&e, "powercap", NULL);
	ck_assert(!rt_energy_known(&e) && strstr(e.why, "no counter"));
	two_packages();
	put("powercap/intel-rapl:1/energy_uj", "many\n");
	rt_energy_open(&e, "powercap", NULL); /* one package of two is no sum */
	ck_assert(!rt_energy_known(&e) && isnan(rt_energy_joules(&e)));
	two_packages();
	rt_energy_open(&e, "powercap", NULL);
	ck_assert(rt_energy_known(&e));
	ck_assert_int_eq(unlink("powercap/intel-rapl:1/energy_uj"), 0);
	rt_energy_update(&e, true);
	ck_assert(!rt_energy_known(&e) && isnan(rt_energy_joules(&e)));
	two_packages();
	rt_energy_open(&e, "powercap", "00000000:ff:1f.0"); /* there is no such GPU */
	ck_assert(e.cpu_known && !rt_energy_known(&e) && isnan(rt_energy_joules(&e)));
	rt_energy_close(&e);
}
END_TEST

/* ---- limits of a training ---- */

static int (*real_open)(const char *, int, mode_t);
static int64_t clock_ns;
static unsigned long long counter_uj;

/* Each look at the clock takes a second, each look at the counter a thousand joules. */
static int64_t slow_clock(void)
{
	return clock_ns += 1000000000;
}

static int counting_open(const char *path, int flags, mode_t mode)
{
	char text[40];
	if (strstr(path, "energy_uj")) {
		snprintf(text, sizeof text, "%llu\n", counter_uj += 1000000000);
		put(path, text);
	}
	return real_open(path, flags, mode);
}

static json_t *results(const char *run)
{
	char path[100];
	snprintf(path, sizeof path, "runs/tiny/%s/results.json", run);
	return json_load_file(path, 0, NULL);
}

#define TRAIN(...) tiny_run(rt_train_main, "./tiny-train", __VA_ARGS__, NULL)

START_TEST(a_training_stops_at_its_time_and_goes_on)
{
	tiny_folder();
	setenv("CNNC_POWERCAP", "absent", 1);
	ck_assert_int_eq(TRAIN("epochs=6"), 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("out"), "energy: unknown (absent: No such file"));
	json_t *j = results("1"), *energy = json_object_get(j, "energy");
	ck_assert_str_eq(json_string_value(json_object_get(energy, "kwh")), "unknown");
	ck_assert_int_eq(json_integer_value(json_object_get(j, "epochs")), 6);
	json_decref(j);
	int64_t (*real_clock)(void) = rt_sys.monotonic_ns;
	clock_ns = real_clock();
	rt_sys.monotonic_ns = slow_clock;
	int code = TRAIN("epochs=6", "max_time=30s");
	rt_sys.monotonic_ns = real_clock;
	ck_assert_int_eq(code, 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "train.max_time is reached at epoch"));
	j = results("2");
	ck_assert_str_eq(json_string_value(json_object_get(j, "limit")), "train.max_time");
	json_decref(j);
	ck_assert_int_eq(access("runs/tiny/2/weights/last.safetensors", F_OK), 0);
	ck_assert_int_eq(TRAIN("epochs=6", "max_time=30s", "--resume"), 0); /* there is no time left */
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "train.max_time is reached at epoch"));
	ck_assert_int_eq(TRAIN("epochs=6", "max_time=1d", "--resume"), 0);
	ck_assert_int_eq(system("cmp runs/tiny/1/weights/last.safetensors runs/tiny/2/weights/last.safetensors"), 0);
	ck_assert_int_eq(TRAIN("max_energy_kwh=1"), RT_USAGE);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "train.max_energy_kwh can't be kept: the energy is unknown here"));
}
END_TEST

START_TEST(a_training_stops_at_its_energy)
{
	tiny_folder();
	zone("intel-rapl:0", "package-0\n", "262143328850\n", "0\n");
	setenv("CNNC_POWERCAP", "powercap", 1);
	int64_t (*real_clock)(void) = rt_sys.monotonic_ns;
	clock_ns = real_clock();
	counter_uj = 0;
	real_open = rt_sys.open;
	rt_sys.monotonic_ns = slow_clock;
	rt_sys.open = counting_open;
	int code = TRAIN("epochs=50", "max_energy_kwh=0.005"); /* 18 looks at the counter */
	rt_sys.monotonic_ns = real_clock;
	rt_sys.open = real_open;
	ck_assert_int_eq(code, 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "train.max_energy_kwh is reached at epoch"));
	ck_assert_ptr_nonnull(strstr(tiny_text("out"), "energy: 0.005"));
	json_t *j = results("1"), *kwh = json_object_get(json_object_get(j, "energy"), "kwh");
	ck_assert(json_real_value(kwh) >= 0.005 && json_real_value(kwh) < 0.006);
	json_decref(j);
	setenv("CNNC_POWERCAP", "absent", 1); /* another machine: what was known before is lost */
	ck_assert_int_eq(TRAIN("epochs=3", "--resume"), 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("out"), "energy: unknown"));
	unsetenv("CNNC_POWERCAP");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("energy");
	TCase *tc = tcase_create("energy");
	tcase_add_test(tc, packages_and_their_memory_count);
	tcase_add_test(tc, what_cannot_be_read_is_unknown);
	tcase_add_test(tc, a_training_stops_at_its_time_and_goes_on);
	tcase_add_test(tc, a_training_stops_at_its_energy);
	suite_add_tcase(s, tc);
	return suite_run(s);
}

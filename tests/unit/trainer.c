/* trainer.c -- the trainer from end to end on the hand-written model: results, resume, threads, disk and number trouble
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "runtime/sys.h"
#include "runtime/train.h"
#include "tests/support/suite.h"
#include "tests/unit/tiny_model.h"

#define TRAIN(...) tiny_run(rt_train_main, "./tiny-train", __VA_ARGS__, NULL)

static bool same_file(const char *a, const char *b)
{
	char line[3 * 4096];
	snprintf(line, sizeof line, "cmp -s %s %s", a, b);
	return system(line) == 0;
}

static int lines(const char *path)
{
	int n = 0;
	for (const char *p = tiny_text(path); *p; p++)
		n += *p == '\n';
	return n;
}

START_TEST(a_run_leaves_its_files)
{
	tiny_folder();
	ck_assert_int_eq(TRAIN("epochs=20", "threads=2"), 0);
	ck_assert_int_eq(lines("runs/tiny/1/results.csv"), 21);
	ck_assert_int_eq(lines("runs/tiny/1/log.csv"), 21);
	ck_assert_ptr_nonnull(strstr(tiny_text("runs/tiny/1/results.csv"),
				     "epoch,step,time_s,loss,accuracy,val_loss,val_accuracy,learning_rate\n1,6,"));
	ck_assert_ptr_nonnull(strstr(tiny_text("runs/tiny/1/args.yaml"), "epochs: 20"));
	ck_assert_int_eq(access("runs/tiny/1/weights/best.safetensors", R_OK), 0);
	ck_assert_int_eq(access("runs/tiny/1/weights/last.safetensors", R_OK), 0);
	ck_assert_int_eq(access("runs/tiny/1/checkpoint-a", R_OK), 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("out"), "runs/tiny/1: args.yaml results.csv"));
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "Epoch 20/20 - 6/6"));
	/* it learns */
	const char *last = strstr(tiny_text("runs/tiny/1/results.csv"), "\n20,");
	ck_assert_ptr_nonnull(last);
	double loss, accuracy;
	ck_assert_int_eq(sscanf(last, "\n20,120,%*f,%lf,%lf", &loss, &accuracy), 2);
	ck_assert_double_lt(loss, 0.45);
	ck_assert_double_gt(accuracy, 0.85);
	ck_assert_int_eq(TRAIN("epochs=1"), 0);
	ck_assert_int_eq(access("runs/tiny/2/args.yaml", R_OK), 0);
}
END_TEST

START_TEST(threads_do_not_change_bits)
{
	tiny_folder();
	ck_assert_int_eq(TRAIN("threads=1", "epochs=4"), 0);
	ck_assert_int_eq(TRAIN("threads=3", "epochs=4"), 0);
	ck_assert_int_eq(TRAIN("--threads", "8", "epochs=4", "data.workers=2"), 0);
	ck_assert(same_file("runs/tiny/1/weights/last.safetensors", "runs/tiny/2/weights/last.safetensors"));
	ck_assert(same_file("runs/tiny/1/weights/last.safetensors", "runs/tiny/3/weights/last.safetensors"));
	ck_assert_int_eq(TRAIN("seed=2", "epochs=4"), 0);
	ck_assert(!same_file("runs/tiny/1/weights/last.safetensors", "runs/tiny/4/weights/last.safetensors"));
}
END_TEST

/* Ends the process in the middle of the n-th write, as kill -9 would. */
static int writes_left;
static ssize_t (*real_write)(int, const void *, size_t);

static ssize_t dying_write(int fd, const void *bytes, size_t n)
{
	if (--writes_left == 0) {
		real_write(fd, bytes, n / 2);
		_exit(99);
	}
	return real_write(fd, bytes, n);
}

static int train_killed_at(int write)
{
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		real_write = rt_sys.write;
		rt_sys.write = dying_write;
		writes_left = write;
		_exit(TRAIN("epochs=6", "--resume", "EarlyStopping.restore_best_weights=true"));
	}
	int status;
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}

START_TEST(a_killed_run_resumes_bit_equal)
{
	tiny_folder();
	ck_assert_int_eq(TRAIN("epochs=6", "EarlyStopping.restore_best_weights=true"), 0);
	ck_assert_int_eq(rename("runs/tiny/1", "whole"), 0);
	for (int write = 12; write < 220; write += 13) {
		ck_assert_int_eq(system("rm -rf runs"), 0);
		int code = train_killed_at(write);
		if (code == 0)
			break;
		ck_assert_int_eq(code, 99);
		code = train_killed_at(write + 5);
		ck_assert(code == 99 || code == 0);
		ck_assert_int_eq(TRAIN("epochs=6", "resume=must", "EarlyStopping.restore_best_weights=true"), 0);
		ck_assert_int_eq(access("runs/tiny/2", F_OK), -1);
		ck_assert(same_file("whole/weights/last.safetensors", "runs/tiny/1/weights/last.safetensors"));
		ck_assert(same_file("whole/weights/best.safetensors", "runs/tiny/1/weights/best.safetensors"));
		ck_assert(same_file("whole/log.csv", "runs/tiny/1/log.csv"));
		ck_assert_int_eq(lines("runs/tiny/1/results.csv"), 7);
	}
}
END_TEST

static int64_t slow_clock_calls;

static int64_t counting_clock(void)
{
	/* a signal in the middle of training, always at the same place */
	if (--slow_clock_calls == 0)
		raise(SIGTERM);
	return 1000 * (slow_clock_calls < 0 ? -slow_clock_calls : 0);
}

static int64_t (*real_clock)(void);

START_TEST(an_interrupted_run_resumes_in_mid_epoch)
{
	tiny_folder();
	ck_assert_int_eq(TRAIN("epochs=5", "threads=1"), 0);
	ck_assert_int_eq(rename("runs/tiny/1", "whole"), 0);
	real_clock = rt_sys.monotonic_ns;
	for (int at = 20; at < 140; at += 23) {
		rt_sys.monotonic_ns = counting_clock;
		slow_clock_calls = at;
		int code = TRAIN("epochs=5", "threads=1");
		rt_sys.monotonic_ns = real_clock;
		if (code == 0)
			break;
		ck_assert_int_eq(code, 143);
		ck_assert_ptr_nonnull(strstr(tiny_text("err"), "go on with: ./tiny-train --resume"));
		ck_assert_int_eq(TRAIN("epochs=5", "threads=2", "--resume"), 0);
		ck_assert_ptr_nonnull(strstr(tiny_text("err"), "Resuming runs/tiny/1 at epoch"));
		ck_assert(same_file("whole/weights/last.safetensors", "runs/tiny/1/weights/last.safetensors"));
		ck_assert(same_file("whole/log.csv", "runs/tiny/1/log.csv"));
		ck_assert_int_eq(system("rm -rf runs"), 0);
	}
}
END_TEST

START_TEST(resume_says_what_differs)
{
	tiny_folder();
	ck_assert_int_eq(TRAIN("resume=must"), RT_BAD_WEIGHTS);
	ck_assert_int_eq(TRAIN("resume=auto", "epochs=2"), 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "nothing to resume"));
	ck_assert_int_eq(TRAIN("--resume", "epochs=2"), 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "runs/tiny/1 is finished: 2 epochs"));
	ck_assert_int_eq(TRAIN("--resume", "epochs=3", "learning_rate=0.2"), RT_BAD_WEIGHTS);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "train.optimizer.learning_rate is '0.2' now and was '0.1'"));
	tiny_data("x.npy", "y.npy", 46, 1);
	ck_assert_int_eq(TRAIN("--resume", "epochs=3"), RT_BAD_WEIGHTS);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "data files"));
	tiny_data("x.npy", "y.npy", 45, 1);
	ck_assert_int_eq(TRAIN("--resume", "epochs=4"), 0);
	ck_assert_int_eq(lines("runs/tiny/1/results.csv"), 5);
	ck_assert_int_eq(system("printf xxxx | dd of=runs/tiny/1/checkpoint-a bs=1 seek=900 conv=notrunc 2>/dev/null"),
			 0);
	ck_assert_int_eq(TRAIN("--resume", "epochs=5"), 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "checkpoint-a is damaged"));
	ck_assert_int_eq(lines("runs/tiny/1/results.csv"), 6);
}
END_TEST

static bool disk_full;
static ssize_t full_write(int fd, const void *bytes, size_t n)
{
	if (disk_full && fd > 2) {
		errno = ENOSPC;
		return -1;
	}
	return real_write(fd, bytes, n);
}

static int renames;
static int (*real_rename)(const char *, const char *);
static int filling_rename(const char *from, const char *to)
{
	disk_full = ++renames >= 3; /* after args.yaml, the first checkpoint and one more */
	return real_rename(from, to);
}

START_TEST(a_full_disk_is_survived)
{
	tiny_folder();
	real_write = rt_sys.write;
	real_rename = rt_sys.rename;
	rt_sys.write = full_write;
	rt_sys.rename = filling_rename;
	ck_assert_int_eq(TRAIN("epochs=3"), RT_IO);
	rt_sys.write = real_write;
	rt_sys.rename = real_rename;
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "No space left"));
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "Epoch 3/3"));
	ck_assert_int_eq(TRAIN("epochs=3", "resume=must"), 0);
	ck_assert_int_eq(lines("runs/tiny/1/results.csv"), 4);
}
END_TEST

START_TEST(a_bad_number_is_named)
{
	tiny_folder();
	ck_assert_int_eq(TRAIN("epochs=1", "learning_rate=0.1"), 0);
	ck_assert_int_eq(TRAIN("epochs=9", "learning_rate=3e38"), RT_NONFINITE);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "first bad tensor"));
	ck_assert_int_eq(TRAIN("epochs=1", "learning_rate=0.1", "initial_weights=runs/tiny/1/weights/last.safetensors"),
			 0);
	float nan_rows[8] = {0, 0, 0, __builtin_nanf(""), 0, 0, 0, 0};
	float y[2] = {0, 1};
	ck_assert_int_eq(rt_npy_write("x.npy", RT_F32, 2, (int64_t[]){2, 4}, nan_rows), RT_OK);
	ck_assert_int_eq(rt_npy_write("y.npy", RT_F32, 2, (int64_t[]){2, 1}, y), RT_OK);
	ck_assert_int_eq(TRAIN("epochs=1"), RT_NONFINITE);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "the input 'x'"));
}
END_TEST

/* ---- the n-th call of any kind fails: exit code of its class, or trained as if nothing was ---- */

static atomic_int calls_left;
static bool fails_forever;
static RtSys real;

static bool fails(int error)
{
	int left = atomic_fetch_sub(&calls_left, 1);
	errno = error;
	return left == 1 || (fails_forever && left < 1);
}

static void *no_alloc(size_t size)
{
	return fails(ENOMEM) ? NULL : real.alloc(size);
}

static void *no_resize(void *p, size_t size)
{
	return fails(ENOMEM) ? NULL : real.resize(p, size);
}

static void *no_slab(size_t size)
{
	return fails(ENOMEM) ? NULL : real.slab(size);
}

static int no_open(const char *path, int flags, mode_t mode)
{
	return fails(EIO) ? -1 : real.open(path, flags, mode);
}

static ssize_t no_read(int fd, void *bytes, size_t n)
{
	return fails(EIO) ? -1 : real.read(fd, bytes, n);
}

static ssize_t no_write(int fd, const void *bytes, size_t n)
{
	return fails(ENOSPC) ? -1 : real.write(fd, bytes, n);
}

static int no_fsync(int fd)
{
	return fails(EIO) ? -1 : real.fsync(fd);
}

static int no_rename(const char *from, const char *to)
{
	return fails(EIO) ? -1 : real.rename(from, to);
}

static int no_mkdir(const char *path, mode_t mode)
{
	return fails(ENOSPC) ? -1 : real.mkdir(path, mode);
}

static int run_failing(bool memory, int n)
{
	calls_left = n;
	if (memory) {
		rt_sys.alloc = no_alloc;
		rt_sys.resize = no_resize;
		rt_sys.slab = no_slab;
	} else {
		rt_sys.open = no_open;
		rt_sys.read = no_read;
		rt_sys.write = no_write;
		rt_sys.fsync = no_fsync;
		rt_sys.rename = no_rename;
		rt_sys.mkdir = no_mkdir;
	}
	int code = TRAIN("epochs=2", "threads=2", "resume=auto", "EarlyStopping.restore_best_weights=true", "--profile");
	rt_sys = real;
	return code;
}

START_TEST(any_call_may_fail)
{
	bool memory = _i & 1;
	fails_forever = _i & 2;
	tiny_folder();
	real = rt_sys;
	ck_assert_int_eq(TRAIN("epochs=2", "EarlyStopping.restore_best_weights=true"), 0);
	ck_assert_int_eq(rename("runs/tiny/1/weights/last.safetensors", "want"), 0);
	int n = 0, step = memory || !fails_forever ? 1 : 3;
	do {
		ck_assert_int_eq(system("rm -rf runs"), 0);
		n += step;
		int code = run_failing(memory, n);
		const char *said = tiny_text("err");
		if (memory)
			ck_assert_msg(code == 0 || code == RT_NOMEM, "memory %d: exit code %d: %s", n, code, said);
		else
			ck_assert_msg(code == 0 || code == RT_IO || code == RT_BAD_DATA, "file %d: exit code %d: %s", n,
				      code, said);
		ck_assert_msg(code == 0 || strstr(said, "error: "), "no sentence: %s", said);
		/* and what is on the disk is good: the run goes on from there */
		if (code == 0 || n % 7 == 0) {
			ck_assert_int_eq(TRAIN("epochs=2", "resume=auto", "EarlyStopping.restore_best_weights=true"),
					 0);
			ck_assert(same_file("want", "runs/tiny/1/weights/last.safetensors") ||
				  access("runs/tiny/2", F_OK) == 0);
		}
	} while (calls_left < 1 && n < 2000);
	ck_assert_int_gt(n, 20);
}
END_TEST

START_TEST(usage_errors_end_with_2)
{
	tiny_folder();
	ck_assert_int_eq(TRAIN("epoch=1"), RT_USAGE);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "did you mean 'train.epochs'"));
	ck_assert_int_eq(TRAIN("data.image_size.0=3"), RT_USAGE);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "-D data.image_size.0=3"));
	ck_assert_int_eq(TRAIN("batch_size=64"), RT_USAGE);
	ck_assert_int_eq(TRAIN("--frobnicate"), RT_USAGE);
	ck_assert_int_eq(TRAIN("--device=cuda:0"), RT_DEVICE);
	ck_assert_int_eq(TRAIN("data.train.x=absent.npy"), RT_BAD_DATA);
	ck_assert_int_eq(TRAIN("initial_weights=x.npy"), RT_BAD_WEIGHTS);
	ck_assert_int_eq(TRAIN("--help"), 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("out"), "train.epochs=3"));
	ck_assert_int_eq(access("runs", F_OK), -1);
}
END_TEST

START_TEST(early_stopping_ends_the_run)
{
	tiny_folder();
	ck_assert_int_eq(TRAIN("epochs=50", "EarlyStopping.patience=1", "EarlyStopping.monitor=val_accuracy"), 0);
	int rows = lines("runs/tiny/1/results.csv");
	ck_assert_int_lt(rows, 51);
	ck_assert_int_eq(
		TRAIN("epochs=50", "EarlyStopping.patience=1", "EarlyStopping.monitor=val_accuracy", "--resume"), 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "stopped early"));
	ck_assert_int_eq(lines("runs/tiny/1/results.csv"), rows);
}
END_TEST

START_TEST(profile_and_split)
{
	tiny_folder();
	ck_assert_int_eq(TRAIN("epochs=1", "--profile", "steps_per_epoch=9", "validation_steps=1"), 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "GFLOP/s"));
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "dense\"dw                                          9 "));
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "9 steps of "));
	ck_assert_ptr_nonnull(strstr(tiny_text("out"), "profile.json"));
	json_t *trace = json_load_file("runs/tiny/1/profile.json", 0, NULL);
	size_t forward = 0, backward = 0, at;
	json_t *event;
	json_array_foreach(json_object_get(trace, "traceEvents"), at, event)
	{
		const char *name = json_string_value(json_object_get(event, "name"));
		forward += strcmp(name, "dense") == 0;
		backward += strcmp(name, "dense\"dw") == 0;
	}
	ck_assert_uint_eq(backward, 9);
	ck_assert_uint_ge(forward, 9 * 3);
	json_decref(trace);
	ck_assert_ptr_nonnull(strstr(tiny_text("runs/tiny/1/results.csv"), "\n1,9,"));
	ck_assert_int_eq(TRAIN("epochs=1", "data.validation.x=", "data.validation.y=", "validation_split=0.2"), 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("err"), "Using 36 for training and 9 for validation."));
	ck_assert_int_eq(TRAIN("epochs=1", "data.validation.x=", "data.validation.y="), 0);
	ck_assert_ptr_null(strstr(tiny_text("runs/tiny/3/results.csv"), "val_loss"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("trainer");
	TCase *c = tcase_create("trainer");
	tcase_add_test(c, a_run_leaves_its_files);
	tcase_add_test(c, threads_do_not_change_bits);
	tcase_add_test(c, a_killed_run_resumes_bit_equal);
	tcase_add_test(c, an_interrupted_run_resumes_in_mid_epoch);
	tcase_add_test(c, resume_says_what_differs);
	tcase_add_test(c, a_full_disk_is_survived);
	tcase_add_test(c, a_bad_number_is_named);
	tcase_add_loop_test(c, any_call_may_fail, 0, 4);
	tcase_add_test(c, usage_errors_end_with_2);
	tcase_add_test(c, early_stopping_ends_the_run);
	tcase_add_test(c, profile_and_split);
	tcase_set_timeout(c, 120);
	suite_add_tcase(s, c);
	return suite_run(s);
}

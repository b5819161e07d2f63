/* checkpoint.c -- two generations, damage of any bit seen, the older one used then; failed writes leave the good file
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/checkpoint.h"
#include "runtime/crc32c.h"
#include "runtime/durable.h"
#include "runtime/sys.h"
#include "tests/support/suite.h"
#include "tests/unit/tiny_model.h"

static RtStatus write_one(uint64_t generation)
{
	float a[3] = {1, 2, (float)generation};
	unsigned char b[5] = {9, 8, 7, 6, 5};
	char state[64];
	RtStTensor t[2] = {{.name = "a", .dtype = RT_ST_F32, .rank = 1, .dim = {3}, .data = (void *)a, .bytes = 12},
			   {.name = "b", .dtype = RT_ST_U8, .rank = 1, .dim = {5}, .data = b, .bytes = 5}};
	snprintf(state, sizeof state, "{\"step\":%d}", (int)generation * 10);
	return rt_checkpoint_write(".", generation, t, 2, state);
}

static uint64_t newest(char note[500])
{
	RtCheckpoint c;
	ck_assert_int_eq(rt_checkpoint_newest(".", &c, note, 500), RT_OK);
	uint64_t generation = c.generation;
	if (c.bytes) {
		float last;
		memcpy(&last, rt_st_find(&c.st, "a")->data + 8, 4);
		ck_assert_float_eq(last, (float)generation);
		ck_assert_int_eq(json_integer_value(json_object_get(c.state, "step")), (json_int_t)generation * 10);
	}
	rt_checkpoint_free(&c);
	return generation;
}

START_TEST(crc_is_castagnoli)
{
	unsigned char zeros[32] = {0}, text[] = "123456789", long_text[1000];
	ck_assert_uint_eq(rt_crc32c(0, text, 9), 0xe3069283);
	ck_assert_uint_eq(rt_crc32c(0, zeros, 32), 0x8a9136aa);
	for (int i = 0; i < 1000; i++)
		long_text[i] = (unsigned char)(i * 7);
	for (size_t cut = 0; cut < 40; cut++)
		ck_assert_uint_eq(rt_crc32c(rt_crc32c(0, long_text, cut), long_text + cut, 1000 - cut),
				  rt_crc32c(0, long_text, 1000));
}
END_TEST

START_TEST(the_newest_is_found)
{
	char note[500];
	tiny_empty_folder();
	ck_assert_uint_eq(newest(note), 0);
	for (uint64_t g = 1; g < 6; g++) {
		ck_assert_int_eq(write_one(g), RT_OK);
		ck_assert_uint_eq(newest(note), g);
		ck_assert_str_eq(note, "");
	}
	ck_assert_int_eq(access("checkpoint-a.tmp", F_OK), -1);
}
END_TEST

START_TEST(every_flipped_bit_is_seen)
{
	unsigned char *bytes;
	size_t n;
	char note[500];
	tiny_empty_folder();
	ck_assert_int_eq(write_one(1), RT_OK);
	ck_assert_int_eq(write_one(2), RT_OK);
	ck_assert_int_eq(rt_read_file("checkpoint-b", RT_IO, &bytes, &n), RT_OK);
	for (size_t i = 0; i < n; i++) {
		FILE *f = fopen("checkpoint-b", "w");
		bytes[i] ^= (unsigned char)(1 << i % 8);
		fwrite(bytes, 1, n, f);
		fclose(f);
		bytes[i] ^= (unsigned char)(1 << i % 8);
		ck_assert_uint_eq(newest(note), 1);
		ck_assert_ptr_nonnull(strstr(note, "checkpoint-b is damaged"));
	}
	for (size_t i = 0; i < n; i += 5) {
		FILE *f = fopen("checkpoint-b", "w");
		fwrite(bytes, 1, i, f);
		fclose(f);
		ck_assert_uint_eq(newest(note), 1);
	}
	rt_sys.release(bytes);
	FILE *f = fopen("checkpoint-a", "w");
	fclose(f);
	RtCheckpoint c;
	ck_assert_int_eq(rt_checkpoint_newest(".", &c, note, sizeof note), RT_BAD_WEIGHTS);
	ck_assert_ptr_nonnull(strstr(rt_message(), "no checkpoint in . can be read"));
}
END_TEST

/* ---- the n-th call fails: whatever call it is, the older generation stays and no temporary does ---- */

static int calls_left;
static RtSys real;

static bool fails(void)
{
	errno = ENOSPC;
	return --calls_left == 0;
}

static int failing_open(const char *path, int flags, mode_t mode)
{
	return fails() ? -1 : real.open(path, flags, mode);
}

static ssize_t failing_write(int fd, const void *bytes, size_t n)
{
	if (calls_left > 1 && n > 3)
		n = 3; /* short writes too */
	return fails() ? -1 : real.write(fd, bytes, n);
}

static int failing_fsync(int fd)
{
	return fails() ? -1 : real.fsync(fd);
}

static int failing_rename(const char *from, const char *to)
{
	return fails() ? -1 : real.rename(from, to);
}

static void *failing_alloc(size_t size)
{
	return fails() ? NULL : real.alloc(size);
}

START_TEST(any_failing_call_keeps_the_good_file)
{
	char note[500];
	tiny_empty_folder();
	ck_assert_int_eq(write_one(1), RT_OK);
	real = rt_sys;
	for (int n = 1;; n++) {
		calls_left = n;
		rt_sys.open = failing_open;
		rt_sys.write = failing_write;
		rt_sys.fsync = failing_fsync;
		rt_sys.rename = failing_rename;
		rt_sys.alloc = failing_alloc;
		RtStatus s = write_one(2);
		rt_sys = real;
		uint64_t g = newest(note);
		ck_assert_str_eq(note, "");
		ck_assert_int_eq(access("checkpoint-b.tmp", F_OK), -1);
		if (s == RT_OK) {
			ck_assert_uint_eq(g, 2);
			break;
		}
		ck_assert(s == RT_IO || s == RT_NOMEM);
		ck_assert(g == 1 || g == 2); /* 2: only the folder's fsync failed */
		unlink("checkpoint-b");
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("checkpoint");
	TCase *c = tcase_create("checkpoint");
	tcase_add_test(c, crc_is_castagnoli);
	tcase_add_test(c, the_newest_is_found);
	tcase_add_test(c, every_flipped_bit_is_seen);
	tcase_add_test(c, any_failing_call_keeps_the_good_file);
	tcase_set_timeout(c, 120);
	suite_add_tcase(s, c);
	return suite_run(s);
}

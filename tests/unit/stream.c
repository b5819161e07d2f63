/* stream.c -- batches are the same for any number of workers, any cache and from any place that is sought; bad samples
 * are skipped and listed; streams end cleanly at any time */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/data.h"
#include "runtime/hash.h"
#include "runtime/sys.h"
#include "tests/support/suite.h"
#include "tests/unit/fixtures.h"

enum { SIDE = 6, CLASSES = 3, EACH = 15, COUNT = CLASSES * EACH, ROW = SIDE * SIDE * 3 };

/* COUNT pictures, each of its own grey; of the second class, pictures 3, 4 and 14 are no pictures. */
static void make_tree(bool with_bad)
{
	folder_new();
	for (int c = 0; c < CLASSES; c++) {
		folder_make("%d", c);
		for (int i = 0; i < EACH; i++) {
			const char *path = in_folder("%d/%02d.jpg", c, i);
			if (with_bad && c == 1 && (i == 3 || i == 4 || i == 14))
				write_bytes(path, "\xff\xd8\xff\xe0 no more than a start", i == 3 ? 0 : 20);
			else
				write_jpeg(path, 8 + i, 9, 5 * (c * EACH + i));
		}
	}
}

static RtDataSpec tree_spec(RtCache cache)
{
	return (RtDataSpec){.directory = in_folder("%s", ""),
			    .has_y = true,
			    .cache = cache,
			    .xport = {.rank = 4, .dtype = RT_U8, .dim = {0, SIDE, SIDE, 3}, .row_bytes = ROW},
			    .yport = {.rank = 2, .dtype = RT_F32, .dim = {0, CLASSES}, .row_bytes = 4 * CLASSES}};
}

static RtDataset *opened(RtCache cache)
{
	RtDataSpec spec = tree_spec(cache);
	RtDataset *d;
	ck_assert_msg(rt_dataset_open(&spec, &d) == RT_OK, "%s", rt_message());
	return d;
}

static RtStream *started(RtDataset *d, int workers, bool shuffle, bool endless)
{
	RtStream *s;
	RtStreamSpec spec = {.batch = 7,
			     .shuffle = shuffle,
			     .seed = 11,
			     .workers = workers,
			     .ahead = 1 + workers % 3,
			     .endless = endless};
	ck_assert_msg(rt_stream_new(d, &spec, &s) == RT_OK, "%s", rt_message());
	return s;
}

static RtBatch next(RtStream *s)
{
	RtBatch b;
	ck_assert_msg(rt_stream_next(s, &b) == RT_OK, "%s", rt_message());
	return b;
}

static void add_batch(RtHash *h, const RtBatch *b)
{
	uint32_t head[3] = {(uint32_t)b->n, b->pass, b->last_of_pass};
	rt_hash_add(h, head, sizeof head);
	rt_hash_add(h, b->id, (size_t)b->n * sizeof *b->id);
	rt_hash_add(h, b->x, (size_t)b->n * ROW);
	rt_hash_add(h, b->y, (size_t)b->n * 4 * CLASSES);
}

/* What n batches are, as one number of 32 bytes. */
static void digest(RtStream *s, int n, unsigned char out[32])
{
	RtHash h;
	rt_hash_start(&h);
	for (int i = 0; i < n; i++) {
		RtBatch b = next(s);
		add_batch(&h, &b);
	}
	rt_hash_end(&h, out);
}

START_TEST(same_for_workers_and_caches)
{
	static const RtCache caches[] = {RT_CACHE_AUTO, RT_CACHE_RAM, RT_CACHE_DISK, RT_CACHE_NONE};
	static const int workers[] = {0, 1, 2, 4};
	unsigned char first[32], other[32];
	make_tree(true);
	setenv("TMPDIR", in_folder("%s", ""), 1);
	for (int c = 0; c < 4; c++)
		for (int w = 0; w < 4; w++) {
			RtDataset *d = opened(caches[c]);
			RtStream *s = started(d, workers[w], true, true);
			digest(s, 20, c + w ? other : first);
			if (c + w)
				ck_assert_mem_eq(first, other, 32);
			ck_assert_int_eq(rt_dataset_bad(d), 3);
			rt_stream_free(s);
			rt_dataset_free(d);
		}
	folder_remove();
}
END_TEST

START_TEST(passes)
{
	make_tree(true);
	RtDataset *d = opened(RT_CACHE_AUTO);
	RtStream *s = started(d, 2, true, true);
	uint32_t order[2][COUNT];
	for (uint32_t pass = 0; pass < 4; pass++) {
		int seen[COUNT] = {0}, n = 0;
		RtBatch b;
		do {
			b = next(s);
			ck_assert_uint_eq(b.pass, pass);
			ck_assert_int_eq(b.n, b.last_of_pass ? (COUNT - 3) % 7 ? (COUNT - 3) % 7 : 7 : 7);
			for (int i = 0; i < b.n; i++) {
				float *y = (float *)b.y + i * CLASSES;
				int label = rt_dataset_label(d, b.id[i]);
				order[pass % 2][n++] = b.id[i];
				ck_assert_int_eq(seen[b.id[i]]++, 0);
				ck_assert(abs(b.x[i * ROW] - 5 * (int)b.id[i]) <= 2);
				for (int c = 0; c < CLASSES; c++)
					ck_assert(y[c] == (c == label));
			}
		} while (!b.last_of_pass);
		ck_assert_int_eq(n, COUNT - 3);
	}
	ck_assert_mem_ne(order[0], order[1], sizeof *order);
	rt_stream_free(s);
	rt_dataset_free(d);
	folder_remove();
}
END_TEST

/* In the order of the disk, the bad pictures 18, 19 and 29 are skipped; the 15 before the last class make three
 * batches. */
START_TEST(without_shuffle)
{
	make_tree(true);
	RtDataset *d = opened(RT_CACHE_NONE);
	RtStream *s = started(d, 1, false, false);
	uint32_t want = 0;
	for (int k = 0; k < 6; k++) {
		RtBatch b = next(s);
		ck_assert_int_eq(b.n, 7);
		ck_assert_int_eq(b.last_of_pass, k == 5);
		for (int i = 0; i < b.n; i++, want++) {
			want += want == 18 ? 2 : want == 29;
			ck_assert_uint_eq(b.id[i], want);
		}
	}
	for (int k = 0; k < 2; k++) {
		RtBatch b = next(s);
		ck_assert_int_eq(b.n, 0);
	}
	uint32_t pass;
	int64_t position;
	rt_stream_tell(s, &pass, &position);
	ck_assert(pass == 0 && position == COUNT);
	ck_assert_int_eq(rt_stream_seek(s, 0, 0), RT_OK);
	ck_assert_int_eq(next(s).n, 7);
	rt_stream_free(s);
	rt_dataset_free(d);
	folder_remove();
}
END_TEST

/* Bad pictures at the very end of a pass: the batch before them is the last one, and is known to be. */
START_TEST(bad_at_the_end)
{
	make_tree(false);
	for (int i = EACH - 3; i < EACH; i++)
		write_bytes(in_folder("2/%02d.jpg", i), "x", 1); /* 42 remain: six whole batches */
	for (int workers = 0; workers < 3; workers++) {
		RtDataset *d = opened(RT_CACHE_AUTO);
		RtStream *s = started(d, workers, false, true);
		for (int k = 0; k < 18; k++) {
			RtBatch b = next(s);
			ck_assert_int_eq(b.n, 7);
			ck_assert_int_eq(b.last_of_pass, k % 6 == 5);
			ck_assert_uint_eq(b.pass, (uint32_t)k / 6);
		}
		ck_assert_int_eq(rt_dataset_bad(d), 3);
		rt_stream_free(s);
		rt_dataset_free(d);
	}
	folder_remove();
}
END_TEST

/* Ports NAME_next: the rows from the second on, then the first; whatever the size of the batch. */
START_TEST(next_of_each)
{
	static const char *const names[] = {"x", "y", "id", "x_next", "y_next", "id_next"};
	RtPort port[6] = {{0}};
	RtEntry e = {.nin = 6, .in = port};
	unsigned char *at[6];
	for (int i = 0; i < 6; i++)
		port[i].name = names[i];
	make_tree(false);
	RtDataSpec spec = tree_spec(RT_CACHE_RAM);
	spec.yport.name = "y";
	RtDataset *d;
	ck_assert_int_eq(rt_dataset_open(&spec, &d), RT_OK);
	RtStream *s = started(d, 2, true, true);
	const size_t bytes[3] = {ROW, 4 * CLASSES, sizeof(uint32_t)};
	for (int batch = 0; batch < 2 * CLASSES * EACH / 7; batch++) {
		RtBatch b = next(s);
		rt_stream_ports(s, &b, &e, at);
		for (int row = 0; row < b.n; row++) {
			for (int i = 0; i < 3; i++)
				ck_assert_mem_eq(at[3 + i] + (size_t)row * bytes[i], at[i] + (size_t)((row + 1) % b.n) * bytes[i], bytes[i]);
		}
	}
	rt_stream_free(s);
	rt_dataset_free(d);
}
END_TEST

START_TEST(seek)
{
	enum { BATCHES = 24 };
	unsigned char want[32], have[32];
	uint32_t pass[BATCHES];
	int64_t position[BATCHES];
	make_tree(true);
	RtDataset *d = opened(RT_CACHE_AUTO);
	RtStream *s = started(d, 2, true, true);
	for (int k = 0; k < BATCHES; k++) {
		rt_stream_tell(s, &pass[k], &position[k]);
		next(s);
	}
	for (int k = BATCHES - 1; k >= 0; k -= 5) {
		ck_assert_int_eq(rt_stream_seek(s, pass[k], position[k]), RT_OK);
		digest(s, 5, want);
		RtDataset *fresh = opened(RT_CACHE_NONE);
		RtStream *other = started(fresh, k % 3, true, true);
		ck_assert_int_eq(rt_stream_seek(other, pass[k], position[k]), RT_OK);
		digest(other, 5, have);
		ck_assert_mem_eq(want, have, 32);
		rt_stream_free(other);
		rt_dataset_free(fresh);
	}
	ck_assert_int_eq(rt_stream_seek(s, 0, COUNT + 1), RT_INTERNAL);
	ck_assert_int_eq(rt_stream_seek(s, 0, COUNT), RT_OK);
	ck_assert_uint_eq(next(s).pass, 1);
	rt_stream_free(s);
	rt_dataset_free(d);
	folder_remove();
}
END_TEST

START_TEST(any_time)
{
	make_tree(true);
	RtDataset *d = opened(RT_CACHE_NONE);
	for (int k = 0; k < 60; k++) {
		RtStream *s = started(d, k % 5, k & 1, k & 2);
		for (int i = 0; i < k % 7; i++) {
			if (k % 4 == 3)
				ck_assert_int_eq(rt_stream_seek(s, (uint32_t)i, i * k % COUNT), RT_OK);
			else
				next(s);
		}
		rt_stream_free(s);
	}
	rt_dataset_free(d);
	folder_remove();
}
END_TEST

START_TEST(list_of_bad)
{
	char *text = NULL;
	size_t n = 0;
	make_tree(true);
	RtDataset *d = opened(RT_CACHE_AUTO);
	RtStream *s = started(d, 2, true, true);
	ck_assert_int_eq(rt_dataset_bad(d), 0);
	for (int k = 0; k < 20; k++)
		next(s);
	FILE *f = open_memstream(&text, &n);
	rt_dataset_print_bad(d, f, 2);
	fclose(f);
	char *first = strstr(text, "1/03.jpg: the file is empty\n"), *second = strstr(text, "1/04.jpg: ");
	ck_assert_msg(first && second && first < second && strstr(text, "… and 1 more\n"), "%s", text);
	free(text);
	rt_stream_free(s);
	rt_dataset_free(d);
	folder_remove();
}
END_TEST

START_TEST(stop_on_error)
{
	make_tree(true);
	RtDataSpec spec = tree_spec(RT_CACHE_AUTO);
	spec.stop_on_error = true;
	RtDataset *d;
	RtBatch b;
	ck_assert_int_eq(rt_dataset_open(&spec, &d), RT_OK);
	RtStream *s = started(d, 2, false, true);
	ck_assert_int_eq(next(s).n, 7);
	ck_assert_int_eq(next(s).n, 7);
	ck_assert_int_eq(rt_stream_next(s, &b), RT_BAD_DATA);
	ck_assert_msg(strstr(rt_message(), "1/03.jpg: the file is empty") != NULL, "%s", rt_message());
	rt_stream_free(s);
	rt_dataset_free(d);
	folder_remove();
}
END_TEST

START_TEST(all_bad)
{
	RtBatch b;
	make_tree(false);
	for (int i = 0; i < COUNT; i++)
		write_bytes(in_folder("%d/%02d.jpg", i / EACH, i % EACH), "x", 1);
	for (int k = 0; k < 6; k++) {
		RtDataset *d = opened(RT_CACHE_AUTO);
		RtStream *s = started(d, k % 3, true, k < 3);
		ck_assert_int_eq(rt_stream_next(s, &b), RT_BAD_DATA);
		ck_assert(strstr(rt_message(), "none of the 45 samples can be read") != NULL);
		rt_stream_free(s);
		rt_dataset_free(d);
	}
	folder_remove();
}
END_TEST

/* Pictures that go, or change, while the program runs: bad when they come, unless they are cached. */
START_TEST(changing_files)
{
	make_tree(false);
	RtDataset *d = opened(RT_CACHE_AUTO), *uncached = opened(RT_CACHE_NONE);
	RtStream *s = started(d, 0, false, true);
	unlink(in_folder("0/00.jpg"));
	write_jpeg(in_folder("0/01.jpg"), 30, 30, 99);
	for (int k = 0; k < 7; k++)
		next(s);
	ck_assert_int_eq(rt_dataset_bad(d), 2);
	rt_stream_free(s);
	unlink(in_folder("0/02.jpg"));
	s = started(d, 2, false, true);
	for (int k = 0; k < 7; k++)
		next(s);
	ck_assert_int_eq(rt_dataset_bad(d), 2);
	rt_stream_free(s);
	s = started(uncached, 2, false, true);
	for (int k = 0; k < 7; k++)
		next(s);
	ck_assert_int_eq(rt_dataset_bad(uncached), 3);
	rt_stream_free(s);
	rt_dataset_free(d);
	rt_dataset_free(uncached);
	folder_remove();
}
END_TEST

/* Two views and two streams over one of them, at the same time. */
START_TEST(shared_store)
{
	RtDataset *train, *validation;
	unsigned char a[32], b[32];
	make_tree(true);
	RtDataset *d = opened(RT_CACHE_RAM);
	ck_assert_int_eq(rt_dataset_split(d, 0.3, 4, &train, &validation), RT_OK);
	RtStream *s[3] = {started(train, 2, true, true), started(validation, 2, false, true),
			  started(train, 3, true, true)};
	for (int k = 0; k < 12; k++) {
		digest(s[0], 1, a);
		digest(s[2], 1, b);
		ck_assert_mem_eq(a, b, 32);
		next(s[1]);
	}
	ck_assert_int_eq(rt_dataset_bad(train) + rt_dataset_bad(validation), 3);
	for (int k = 0; k < 3; k++)
		rt_stream_free(s[k]);
	rt_dataset_free(train);
	rt_dataset_free(validation);
	rt_dataset_free(d);
	folder_remove();
}
END_TEST

/* ---- the n-th call fails ---- */

static RtSys real;
static int until_failure;

static bool fails(void)
{
	return __atomic_sub_fetch(&until_failure, 1, __ATOMIC_SEQ_CST) == 0;
}

static void *failing_alloc(size_t n)
{
	return fails() ? NULL : real.alloc(n);
}

static void *failing_resize(void *p, size_t n)
{
	return fails() ? NULL : real.resize(p, n);
}

static void *failing_slab(size_t n)
{
	return fails() ? NULL : real.slab(n);
}

static ssize_t full_pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (!fails())
		return real.pwrite(fd, p, n, at);
	errno = ENOSPC;
	return -1;
}

static RtStatus whole_run(int workers)
{
	RtDataSpec spec = tree_spec(RT_CACHE_RAM);
	RtStreamSpec stream = {.batch = 7, .shuffle = true, .workers = workers, .ahead = 2, .endless = true};
	RtDataset *d = NULL;
	RtStream *s = NULL;
	RtBatch b;
	RtStatus status = rt_dataset_open(&spec, &d);
	if (!status)
		status = rt_stream_new(d, &stream, &s);
	for (int k = 0; k < 8 && !status; k++)
		status = rt_stream_next(s, &b);
	rt_stream_free(s);
	rt_dataset_free(d);
	return status;
}

START_TEST(out_of_memory)
{
	int n = 0, clean = 0;
	make_tree(true);
	real = rt_sys;
	rt_sys.alloc = failing_alloc;
	rt_sys.resize = failing_resize;
	rt_sys.slab = failing_slab;
	while (clean < 2 && n < 1000) { /* twice: memory for a bad sample's reason may be missed without harm */
		until_failure = ++n;
		RtStatus status = whole_run(n % 2 ? 0 : 2);
		ck_assert(status == RT_OK || status == RT_NOMEM);
		clean = status || until_failure <= 0 ? 0 : clean + 1;
	}
	rt_sys = real;
	ck_assert_int_gt(n, 20);
	ck_assert_int_lt(n, 1000);
	folder_remove();
}
END_TEST

START_TEST(full_disk)
{
	unsigned char want[32], have[32];
	make_tree(true);
	setenv("TMPDIR", in_folder("%s", ""), 1);
	RtDataset *d = opened(RT_CACHE_NONE);
	RtStream *s = started(d, 0, true, true);
	digest(s, 15, want);
	rt_stream_free(s);
	rt_dataset_free(d);
	real = rt_sys;
	rt_sys.pwrite = full_pwrite;
	until_failure = 10;
	d = opened(RT_CACHE_DISK);
	s = started(d, 2, true, true);
	digest(s, 15, have);
	ck_assert_mem_eq(want, have, 32);
	rt_sys = real;
	rt_stream_free(s);
	rt_dataset_free(d);
	folder_remove();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stream");
	TCase *t = tcase_create("stream");
	tcase_add_test(t, same_for_workers_and_caches);
	tcase_add_test(t, passes);
	tcase_add_test(t, without_shuffle);
	tcase_add_test(t, bad_at_the_end);
	tcase_add_test(t, next_of_each);
	tcase_add_test(t, seek);
	tcase_add_test(t, any_time);
	tcase_add_test(t, list_of_bad);
	tcase_add_test(t, stop_on_error);
	tcase_add_test(t, all_bad);
	tcase_add_test(t, changing_files);
	tcase_add_test(t, shared_store);
	tcase_add_test(t, out_of_memory);
	tcase_add_test(t, full_disk);
	suite_add_tcase(suite, t);
	return suite_run(suite);
}

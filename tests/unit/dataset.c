/* dataset.c -- folders, IDX files and arrays: what is indexed, how it is labelled, and what is refused with which
 * sentence */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "runtime/data.h"
#include "tests/support/suite.h"
#include "tests/unit/fixtures.h"

static RtPort port(int32_t dtype, int rank, int a, int b, int c)
{
	RtPort p = {.dtype = dtype, .rank = rank, .dim = {0, a, b, c}, .row_bytes = dtype == RT_U8 ? 1 : 4};
	for (int i = 1; i < rank; i++)
		p.row_bytes *= (uint64_t)p.dim[i];
	return p;
}

static RtDataSpec folder_spec(const char *directory)
{
	return (RtDataSpec){.directory = directory,
			    .xport = port(RT_U8, 4, 8, 8, 3),
			    .yport = port(RT_I32, 1, 0, 0, 0),
			    .has_y = true};
}

static RtDataset *opened(const RtDataSpec *spec)
{
	RtDataset *d;
	ck_assert_msg(rt_dataset_open(spec, &d) == RT_OK, "%s", rt_message());
	return d;
}

static void ck_refused(const RtDataSpec *spec, const char *reason)
{
	RtDataset *d;
	ck_assert_int_eq(rt_dataset_open(spec, &d), RT_BAD_DATA);
	ck_assert_ptr_null(d);
	ck_assert_msg(strstr(rt_message(), reason) != NULL, "'%s' does not say '%s'", rt_message(), reason);
}

/* Two classes of three and two pictures, among files that are none. */
static void make_tree(void)
{
	folder_new();
	folder_make("dog");
	folder_make("cat");
	folder_make("cat/more");
	folder_make(".hidden");
	write_jpeg(in_folder("dog/b.jpg"), 9, 9, 10);
	write_jpeg(in_folder("dog/a.JPG"), 9, 9, 20);
	write_jpeg(in_folder("cat/z.jpeg"), 9, 9, 30);
	write_jpeg(in_folder("cat/more/1.jpg"), 9, 9, 40);
	write_jpeg(in_folder("cat/.secret.jpg"), 9, 9, 50);
	write_jpeg(in_folder(".hidden/a.jpg"), 9, 9, 60);
	write_bytes(in_folder("cat/notes.txt"), "hello", 5);
	write_bytes(in_folder("cat/renamed.png"), "MZ\x90 this is a program", 20);
}

static const char *below(const RtDataset *d, int64_t i)
{
	return rt_dataset_path(d, i) + strlen(in_folder("%s", ""));
}

START_TEST(folders)
{
	make_tree();
	RtDataSpec spec = folder_spec(in_folder("%s", ""));
	RtDataset *d = opened(&spec);
	static const char *const want[] = {"cat/more/1.jpg", "cat/renamed.png", "cat/z.jpeg", "dog/a.JPG", "dog/b.jpg"};
	ck_assert_int_eq(rt_dataset_count(d), 5);
	ck_assert_int_eq(rt_dataset_classes(d), 2);
	ck_assert_str_eq(rt_dataset_class(d, 0), "cat");
	ck_assert_str_eq(rt_dataset_class(d, 1), "dog");
	for (int i = 0; i < 5; i++) {
		ck_assert_str_eq(below(d, i), want[i]);
		ck_assert_int_eq(rt_dataset_label(d, i), i >= 3);
	}
	ck_assert_ptr_null(rt_dataset_path(d, 5));
	ck_assert_ptr_null(rt_dataset_class(d, 2));
	rt_dataset_free(d);
	char *names[] = {"dog", "cat"};
	spec.class_names = names;
	spec.nclass_names = 2;
	d = opened(&spec);
	ck_assert_str_eq(rt_dataset_class(d, 0), "dog");
	ck_assert_int_eq(rt_dataset_label(d, 0), 0);
	ck_assert_str_eq(below(d, 0), "dog/a.JPG");
	rt_dataset_free(d);
	spec = folder_spec(in_folder("%s", ""));
	spec.has_y = false;
	d = opened(&spec);
	ck_assert_int_eq(rt_dataset_count(d), 5);
	ck_assert_int_eq(rt_dataset_label(d, 0), -1);
	rt_dataset_free(d);
	folder_remove();
}
END_TEST

START_TEST(folders_refused)
{
	char *names[] = {"cat", "dog", "horse"};
	make_tree();
	RtDataSpec spec = folder_spec(in_folder("none"));
	ck_refused(&spec, "does not exist");
	spec.directory = in_folder("cat/notes.txt");
	ck_refused(&spec, "is not a folder");
	spec.directory = in_folder("dog");
	ck_refused(&spec, "holds pictures, but no folders");
	folder_make("empty");
	spec.directory = in_folder("empty");
	ck_refused(&spec, "no class folders");
	spec.directory = in_folder("%s", "");
	ck_refused(&spec, "the class folder");
	ck_refused(&spec, "empty holds no JPEG or PNG");
	spec.class_names = names;
	spec.nclass_names = 3;
	ck_refused(&spec, "no folder for the class horse");
	spec.nclass_names = 2;
	spec.yport = port(RT_F32, 2, 1, 0, 0);
	rt_dataset_free(opened(&spec));
	spec.class_names = NULL;
	rmdir(in_folder("empty"));
	rt_dataset_free(opened(&spec));
	spec.nclass_names = 4;
	ck_refused(&spec, "2 class folders, the model has 4");
	folder_make("third");
	write_jpeg(in_folder("third/a.jpg"), 4, 4, 1);
	spec.nclass_names = 0;
	ck_refused(&spec, "two classes apart, the data has 3");
	spec.yport = port(RT_F32, 2, 2, 0, 0);
	ck_refused(&spec, "2 classes, the data has 3");
	folder_remove();
}
END_TEST

/* Links, pipes and loops are met, and never wait or go round. */
START_TEST(hostile_folders)
{
	make_tree();
	ck_assert_int_eq(symlink("..", in_folder("cat/up")), 0);
	ck_assert_int_eq(symlink("loop.jpg", in_folder("cat/loop.jpg")), 0);
	ck_assert_int_eq(symlink("../dog", in_folder("cat/folder.jpg")), 0);
	ck_assert_int_eq(symlink("../dog/a.JPG", in_folder("cat/link.jpg")), 0);
	ck_assert_int_eq(symlink("dog", in_folder("linked")), 0);
	ck_assert_int_eq(mkfifo(in_folder("dog/pipe.jpg"), 0666), 0);
	write_bytes(in_folder("dog/zero.jpg"), "", 0);
	RtDataSpec spec = folder_spec(in_folder("%s", ""));
	RtDataset *d = opened(&spec);
	ck_assert_int_eq(rt_dataset_classes(d), 3);
	ck_assert_int_eq(rt_dataset_count(d), 5 + 4 + 4); /* cat: three, loop, link; dog and linked: two, pipe, zero */
	rt_dataset_free(d);
	folder_remove();
}
END_TEST

START_TEST(hash)
{
	unsigned char first[32], again[32], other[32];
	make_tree();
	RtDataSpec spec = folder_spec(in_folder("%s", ""));
	RtDataset *d = opened(&spec), *train, *validation;
	rt_dataset_hash(d, first);
	ck_assert_int_eq(rt_dataset_split(d, 0.4, 1, &train, &validation), RT_OK);
	rt_dataset_hash(train, other);
	ck_assert_mem_ne(first, other, 32);
	rt_dataset_free(train);
	rt_dataset_free(validation);
	rt_dataset_free(d);
	d = opened(&spec);
	rt_dataset_hash(d, again);
	ck_assert_mem_eq(first, again, 32);
	rt_dataset_free(d);
	write_bytes(in_folder("cat/renamed.png"), "longer than it was before", 25);
	d = opened(&spec);
	rt_dataset_hash(d, other);
	ck_assert_mem_ne(first, other, 32);
	rt_dataset_free(d);
	ck_assert_int_eq(rename(in_folder("dog/a.JPG"), in_folder("cat/a.JPG")), 0);
	d = opened(&spec);
	rt_dataset_hash(d, again);
	ck_assert_mem_ne(again, other, 32);
	rt_dataset_free(d);
	folder_remove();
}
END_TEST

START_TEST(split)
{
	RtDataset *train, *validation, *again[2];
	bool seen[5] = {false};
	make_tree();
	RtDataSpec spec = folder_spec(in_folder("%s", ""));
	RtDataset *d = opened(&spec);
	ck_assert_int_eq(rt_dataset_split(d, 0.4, 9, &train, &validation), RT_OK);
	ck_assert_int_eq(rt_dataset_count(train), 3);
	ck_assert_int_eq(rt_dataset_count(validation), 2);
	for (int k = 0; k < 5; k++)
		for (int i = 0; i < 5; i++)
			if (!strcmp(rt_dataset_path(d, i),
				    k < 3 ? rt_dataset_path(train, k) : rt_dataset_path(validation, k - 3)))
				seen[i] = true;
	for (int i = 0; i < 5; i++)
		ck_assert(seen[i]);
	ck_assert_int_eq(rt_dataset_split(d, 0.4, 9, &again[0], &again[1]), RT_OK);
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(rt_dataset_path(train, i), rt_dataset_path(again[0], i));
	for (int i = 0; i < 2; i++)
		rt_dataset_free(again[i]);
	rt_dataset_free(train);
	rt_dataset_free(validation);
	ck_assert_int_eq(rt_dataset_split(d, 0.1, 9, &train, &validation), RT_BAD_DATA);
	ck_assert_int_eq(rt_dataset_split(d, 1.5, 9, &train, &validation), RT_USAGE);
	rt_dataset_free(d);
	folder_remove();
}
END_TEST

/* ---- idx ---- */

enum { N = 6, SIDE = 4 };

static void write_idx(bool zip, int labels)
{
	unsigned char pixels[N * SIDE * SIDE], label[16];
	for (int i = 0; i < N * SIDE * SIDE; i++)
		pixels[i] = (unsigned char)(i * 5);
	for (int i = 0; i < 16; i++)
		label[i] = (unsigned char)(i % 3);
	Bytes file[2] = {make_idx(3, (int[]){N, SIDE, SIDE}, pixels), make_idx(1, (int[]){labels}, label)};
	for (int i = 0; i < 2; i++) {
		Bytes out = zip ? gzip(file[i].p, file[i].n) : file[i];
		write_bytes(in_folder(i ? "labels" : "images"), out.p, out.n);
		if (zip)
			free(out.p);
		free(file[i].p);
	}
}

static RtDataSpec idx_spec(int side, int channels)
{
	return (RtDataSpec){.type = RT_DATA_IDX,
			    .images = in_folder("images"),
			    .labels = in_folder("labels"),
			    .has_y = true,
			    .xport = port(RT_U8, 4, side, side, channels),
			    .yport = port(RT_I32, 1, 0, 0, 0)};
}

static void ck_idx_batch(const RtDataSpec *spec, int channels)
{
	RtDataset *d = opened(spec);
	RtStream *s;
	RtBatch b;
	ck_assert_int_eq(rt_dataset_classes(d), 3);
	ck_assert_str_eq(rt_dataset_class(d, 2), "2");
	ck_assert_int_eq(rt_stream_new(d, &(RtStreamSpec){.batch = N}, &s), RT_OK);
	ck_assert_int_eq(rt_stream_next(s, &b), RT_OK);
	ck_assert_int_eq(b.n, N);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(((int32_t *)b.y)[i], i % 3);
	for (int i = 0; i < N * SIDE * SIDE && spec->xport.dim[1] == SIDE; i++)
		for (int c = 0; c < channels; c++)
			ck_assert_int_eq(b.x[i * channels + c], c == 3 ? 255 : i * 5 & 255);
	rt_stream_free(s);
	rt_dataset_free(d);
}

START_TEST(idx)
{
	folder_new();
	for (int zip = 0; zip < 2; zip++) {
		write_idx(zip, N);
		for (int channels = 1; channels <= 4; channels += channels == 1 ? 2 : 1) {
			RtDataSpec spec = idx_spec(SIDE, channels);
			ck_idx_batch(&spec, channels);
			spec = idx_spec(7, channels);
			ck_idx_batch(&spec, channels);
		}
	}
	folder_remove();
}
END_TEST

static void ck_damaged_idx(const Bytes *file, size_t n, const RtDataSpec *spec)
{
	RtDataset *d;
	write_bytes(in_folder("images"), file->p, n);
	RtStatus status = rt_dataset_open(spec, &d);
	ck_assert_msg(status == RT_BAD_DATA, "%zu of %zu bytes: %d", n, file->n, status);
}

START_TEST(idx_refused)
{
	folder_new();
	write_idx(false, N - 1);
	RtDataSpec spec = idx_spec(SIDE, 1);
	ck_refused(&spec, "5 labels");
	write_idx(false, N);
	spec.nclass_names = 2;
	ck_refused(&spec, "label 2, but there are 2 classes");
	spec.nclass_names = 0;
	spec.labels = in_folder("images");
	ck_refused(&spec, "labels of type");
	spec.labels = in_folder("labels");
	spec.images = in_folder("none");
	ck_refused(&spec, "cannot read");
	spec.images = in_folder("images");
	unsigned char pixels[N * SIDE * SIDE] = {1, 2, 3};
	Bytes plain = make_idx(3, (int[]){N, SIDE, SIDE}, pixels), zipped = gzip(plain.p, plain.n);
	for (size_t n = 0; n < plain.n; n++)
		ck_damaged_idx(&plain, n, &spec);
	for (size_t n = 0; n < zipped.n; n++)
		ck_damaged_idx(&zipped, n, &spec);
	zipped.p[zipped.n - 6] ^= 1; /* checksum */
	ck_damaged_idx(&zipped, zipped.n, &spec);
	memset(plain.p + 4, 0x7f, 12); /* sizes beyond all memory */
	ck_damaged_idx(&plain, plain.n, &spec);
	memset(plain.p + 4, 0, 4);
	ck_damaged_idx(&plain, plain.n, &spec);
	free(plain.p);
	free(zipped.p);
	folder_remove();
}
END_TEST

/* ---- npy ---- */

START_TEST(npy)
{
	float x[4][6], y[4] = {0, 2, 1, 2};
	folder_new();
	for (int i = 0; i < 24; i++)
		x[i / 6][i % 6] = (float)i;
	ck_assert_int_eq(rt_npy_write(in_folder("x.npy"), RT_F32, 3, (int64_t[]){4, 2, 3}, x), RT_OK);
	ck_assert_int_eq(rt_npy_write(in_folder("y.npy"), RT_F32, 1, (int64_t[]){4}, y), RT_OK);
	RtDataSpec spec = {.type = RT_DATA_NPY,
			   .x = in_folder("x.npy"),
			   .y = in_folder("y.npy"),
			   .has_y = true,
			   .xport = port(RT_F32, 3, 2, 3, 0),
			   .yport = port(RT_I32, 1, 0, 0, 0)};
	RtDataset *d = opened(&spec);
	RtStream *s;
	RtBatch b;
	ck_assert_int_eq(rt_dataset_classes(d), 3);
	ck_assert_int_eq(rt_stream_new(d, &(RtStreamSpec){.batch = 3, .workers = 2, .ahead = 2}, &s), RT_OK);
	ck_assert_int_eq(rt_stream_next(s, &b), RT_OK);
	ck_assert_int_eq(b.n, 3);
	ck_assert_mem_eq(b.x, x, sizeof x / 4 * 3);
	ck_assert_int_eq(((int32_t *)b.y)[1], 2);
	rt_stream_free(s);
	rt_dataset_free(d);
	spec.nclass_names = 2;
	ck_refused(&spec, "label 2, but there are 2 classes");
	spec.nclass_names = 0;
	spec.yport = port(RT_F32, 2, 1, 0, 0); /* (N) for (N, 1) */
	rt_dataset_free(opened(&spec));
	spec.yport = port(RT_F32, 2, 3, 0, 0);
	ck_refused(&spec, "has the shape (4), the model's target is (N, 3)");
	spec.yport = port(RT_I32, 1, 0, 0, 0);
	spec.xport = port(RT_F32, 3, 3, 2, 0);
	ck_refused(&spec, "has the shape (4, 2, 3), the model's input is (N, 3, 2)");
	spec.xport = port(RT_F32, 3, 2, 3, 0);
	y[3] = 0.5f;
	ck_assert_int_eq(rt_npy_write(in_folder("y.npy"), RT_F32, 1, (int64_t[]){4}, y), RT_OK);
	ck_refused(&spec, "label 3 is 0.5");
	ck_assert_int_eq(rt_npy_write(in_folder("y.npy"), RT_F32, 1, (int64_t[]){3}, y), RT_OK);
	ck_refused(&spec, "has 4 rows");
	folder_remove();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dataset");
	TCase *t = tcase_create("dataset");
	tcase_add_test(t, folders);
	tcase_add_test(t, folders_refused);
	tcase_add_test(t, hostile_folders);
	tcase_add_test(t, hash);
	tcase_add_test(t, split);
	tcase_add_test(t, idx);
	tcase_add_test(t, idx_refused);
	tcase_add_test(t, npy);
	suite_add_tcase(suite, t);
	return suite_run(suite);
}

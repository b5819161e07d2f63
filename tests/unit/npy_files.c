/* npy_files.c -- .npy files: what is written reads back, and damaged headers are refused */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/data.h"
#include "tests/support/suite.h"
#include "tests/unit/fixtures.h"

static const RtPort f32_port = {.rank = 2, .dtype = RT_F32, .dim = {0, 3}, .row_bytes = 12};

START_TEST(round_trip)
{
	static const float x[2][3] = {{1.5f, -2, 3e30f}, {0, 7, -1e-30f}};
	static const int64_t dim[] = {2, 3};
	RtNpy a;
	float row[3];
	folder_new();
	ck_assert_int_eq(rt_npy_write(in_folder("x.npy"), RT_F32, 2, dim, x), RT_OK);
	ck_assert_int_eq(rt_npy_open(in_folder("x.npy"), &a), RT_OK);
	ck_assert(a.rank == 2 && a.dim[0] == 2 && a.dim[1] == 3 && a.dtype == RT_F32 && a.bytes == sizeof x);
	ck_assert_uint_eq((size_t)(a.data - (unsigned char *)a.base) % 64, 0);
	for (int i = 0; i < 2; i++) {
		rt_npy_row(&a, i, &f32_port, (unsigned char *)row);
		ck_assert_mem_eq(row, x[i], sizeof row);
	}
	rt_npy_close(&a);
	for (int rank = 0; rank <= RT_MAX_RANK; rank++) {
		static const int64_t ones[RT_MAX_RANK] = {1, 1, 1, 1, 1, 1};
		ck_assert_int_eq(rt_npy_write(in_folder("r.npy"), RT_F32, rank, ones, x), RT_OK);
		ck_assert_int_eq(rt_npy_open(in_folder("r.npy"), &a), RT_OK);
		ck_assert_int_eq(a.rank, rank);
		rt_npy_close(&a);
	}
	ck_assert_int_eq(rt_npy_write(in_folder("none/x.npy"), RT_F32, 2, dim, x), RT_IO);
	ck_assert_int_eq(rt_npy_write("/dev/full", RT_F32, 2, dim, x), RT_IO);
	folder_remove();
}
END_TEST

static void write_npy(const char *dict, int version, const void *data, size_t n)
{
	unsigned char file[1024] = "\x93NUMPY";
	size_t head = version == 1 ? 10 : 12, text = strlen(dict);
	file[6] = (unsigned char)version;
	file[8] = (unsigned char)text;
	file[9] = (unsigned char)(text >> 8);
	memcpy(file + head, dict, text);
	memcpy(file + head + text, data, n);
	write_bytes(in_folder("x.npy"), file, head + text + n);
}

START_TEST(types)
{
	static const double f64[3] = {1, -1.25, 200};
	static const int64_t i64[3] = {1, -5, 1000};
	static const int32_t i32[3] = {1, -5, 1000};
	static const unsigned char u8[3] = {1, 2, 255};
	static const struct {
		const char *dict;
		const void *data;
		size_t n;
		float want[3];
	} kinds[] = {
		{"{'descr': '<f8', 'fortran_order': False, 'shape': (1, 3), }\n", f64, sizeof f64, {1, -1.25f, 200}},
		{"{'shape':(1,3),'descr':\"<i8\",'fortran_order':False}", i64, sizeof i64, {1, -5, 1000}},
		{"{'descr': '<i4', 'fortran_order': False, 'shape': (1, 3)}   \n", i32, sizeof i32, {1, -5, 1000}},
		{"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 3), }\n", u8, sizeof u8, {1, 2, 255}},
	};
	folder_new();
	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
		for (int version = 1; version <= 3; version++) {
			RtNpy a;
			float row[3];
			write_npy(kinds[k].dict, version, kinds[k].data, kinds[k].n);
			ck_assert_msg(rt_npy_open(in_folder("x.npy"), &a) == RT_OK, "%s", rt_message());
			rt_npy_row(&a, 0, &f32_port, (unsigned char *)row);
			ck_assert_mem_eq(row, kinds[k].want, sizeof row);
			rt_npy_close(&a);
		}
	folder_remove();
}
END_TEST

START_TEST(conversions_stay_in_range)
{
	static const double wild[4] = {NAN, 1e300, -1e300, 3.7};
	static const int64_t dim[] = {1, 4};
	static const RtPort i32 = {.rank = 2, .dtype = RT_I32, .dim = {0, 4}, .row_bytes = 16};
	static const RtPort u8 = {.rank = 2, .dtype = RT_U8, .dim = {0, 4}, .row_bytes = 4};
	RtNpy a;
	int32_t ints[4];
	unsigned char bytes[4];
	folder_new();
	ck_assert_int_eq(rt_npy_write(in_folder("x.npy"), RT_F64, 2, dim, wild), RT_OK);
	ck_assert_int_eq(rt_npy_open(in_folder("x.npy"), &a), RT_OK);
	rt_npy_row(&a, 0, &i32, (unsigned char *)ints);
	ck_assert(ints[0] == INT32_MIN && ints[1] == INT32_MAX && ints[2] == INT32_MIN && ints[3] == 3);
	rt_npy_row(&a, 0, &u8, bytes);
	ck_assert(bytes[0] == 0 && bytes[1] == 255 && bytes[2] == 0 && bytes[3] == 3);
	rt_npy_close(&a);
	folder_remove();
}
END_TEST

START_TEST(refused)
{
	static const struct {
		const char *dict, *reason;
	} bad[] = {
		{"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", "Fortran order"},
		{"{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }", "type >f4"},
		{"{'descr': '<c8', 'fortran_order': False, 'shape': (2, 3), }", "type <c8"},
		{"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", "damaged"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }", "too short"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", "too short"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "damaged"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }", "damaged"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1), }", "damaged"},
		{"{'descr': '<f4', 'fortran_order': False, }", "damaged"},
		{"{'descr': '<f4' 'fortran_order': False, 'shape': (2, 3)}", "damaged"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)", "damaged"},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3", "damaged"},
		{"", "damaged"},
	};
	float data[6] = {0};
	RtNpy a;
	folder_new();
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
		write_npy(bad[k].dict, 1, data, sizeof data);
		ck_assert_msg(rt_npy_open(in_folder("x.npy"), &a) == RT_BAD_DATA, "%s", bad[k].dict);
		ck_assert_msg(strstr(rt_message(), bad[k].reason) != NULL, "%s: %s", bad[k].dict, rt_message());
	}
	write_bytes(in_folder("x.npy"), "\x93NUMPY\x01\x00\xff\xff{", 11);
	ck_assert_int_eq(rt_npy_open(in_folder("x.npy"), &a), RT_BAD_DATA);
	write_bytes(in_folder("x.npy"), "", 0);
	ck_assert_int_eq(rt_npy_open(in_folder("x.npy"), &a), RT_BAD_DATA);
	ck_assert_int_eq(rt_npy_open(in_folder("none.npy"), &a), RT_BAD_DATA);
	ck_assert_int_eq(rt_npy_open(in_folder("."), &a), RT_BAD_DATA);
	folder_remove();
}
END_TEST

/* Every byte of the header changed to some values, every length. */
START_TEST(damaged)
{
	static const int64_t dim[] = {2, 3};
	float x[6] = {1, 2, 3, 4, 5, 6};
	unsigned char file[256];
	RtNpy a;
	folder_new();
	ck_assert_int_eq(rt_npy_write(in_folder("x.npy"), RT_F32, 2, dim, x), RT_OK);
	FILE *f = fopen(in_folder("x.npy"), "rb");
	size_t n = fread(file, 1, sizeof file, f);
	fclose(f);
	for (size_t i = 0; i < n - sizeof x; i++)
		for (int v = 0; v < 256; v += 13) {
			unsigned char was = file[i];
			file[i] = (unsigned char)v;
			write_bytes(in_folder("y.npy"), file, n);
			file[i] = was;
			if (!rt_npy_open(in_folder("y.npy"), &a)) {
				ck_assert_uint_le(a.bytes, sizeof x + n);
				rt_npy_close(&a);
			}
		}
	for (size_t i = 0; i < n; i++) {
		write_bytes(in_folder("y.npy"), file, i);
		ck_assert_int_eq(rt_npy_open(in_folder("y.npy"), &a), RT_BAD_DATA);
	}
	folder_remove();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("npy");
	TCase *t = tcase_create("npy");
	tcase_add_test(t, round_trip);
	tcase_add_test(t, types);
	tcase_add_test(t, conversions_stay_in_range);
	tcase_add_test(t, refused);
	tcase_add_test(t, damaged);
	suite_add_tcase(suite, t);
	return suite_run(suite);
}

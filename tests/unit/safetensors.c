/* safetensors.c -- good files are read, bad ones refused with a sentence; no damage crashes the parser */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/call.h"
#include "runtime/init.h"
#include "runtime/safetensors.h"
#include "runtime/sys.h"
#include "runtime/weights.h"
#include "tests/support/suite.h"
#include "tests/unit/tiny_model.h"

/* Length word, header text, then `data` bytes 0, 1, 2 … */
static size_t make(unsigned char *out, const char *header, size_t data)
{
	size_t n = strlen(header);
	for (int i = 0; i < 8; i++)
		out[i] = (unsigned char)(n >> 8 * i);
	memcpy(out + 8, header, n);
	for (size_t i = 0; i < data; i++)
		out[8 + n + i] = (unsigned char)i;
	return 8 + n + data;
}

static const char good[] =
	"{\"__metadata__\":{\"format\":\"np\"},\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[8,11]},"
	"\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
	"\"empty\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[8,8]}}  ";

START_TEST(a_good_file)
{
	unsigned char file[500];
	RtSafetensors st;
	size_t n = make(file, good, 11);
	ck_assert_int_eq(rt_st_parse(file, n, &st), RT_OK);
	ck_assert_int_eq(st.ntensors, 3);
	ck_assert_str_eq(st.tensor[0].name, "a");
	const RtStTensor *b = rt_st_find(&st, "b");
	ck_assert_int_eq(b->rank, 1);
	ck_assert_int_eq(b->bytes, 3);
	ck_assert_int_eq(b->data[0], 8);
	ck_assert_ptr_null(rt_st_find(&st, "c"));
	ck_assert_str_eq(rt_st_meta(&st, "format"), "np");
	ck_assert_ptr_null(rt_st_meta(&st, "none"));
	rt_st_free(&st);
}
END_TEST

static const struct {
	const char *header;
	size_t data;
} bad[] = {
	{"[]", 0},
	{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", 8},
	{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7},
	{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9},
	{"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8},
	{"{\"a\":{\"dtype\":\"F99\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8},
	{"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8},
	{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8},
	{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8},
	{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8},
	{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8},
	{"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],\"data_offsets\":[0,8]}}", 8},
	{"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1},
	{"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_"
	 "offsets\":[2,6]}}",
	 6},
	{"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_"
	 "offsets\":[4,6]}}",
	 6},
	{"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_"
	 "offsets\":[2,4]}}",
	 4},
	{"{\"a\":7}", 0},
	{"{\"__metadata__\":3}", 0},
};

START_TEST(a_bad_file)
{
	unsigned char file[500];
	RtSafetensors st;
	size_t n = make(file, bad[_i].header, bad[_i].data);
	ck_assert_int_eq(rt_st_parse(file, n, &st), RT_BAD_WEIGHTS);
	ck_assert_int_gt(strlen(rt_message()), 10);
	ck_assert_ptr_null(st.tensor);
}
END_TEST

/* Every byte changed three ways, and every length: an error or a file, never a crash. The copy is exact so that ASan
 * sees all. */
START_TEST(damage_is_survived)
{
	unsigned char file[500];
	size_t n = make(file, good, 11);
	for (size_t i = 0; i < n; i++) {
		for (int k = 0; k < 4; k++) {
			size_t length = k == 3 ? i : n;
			unsigned char *copy = malloc(length ? length : 1);
			RtSafetensors st;
			memcpy(copy, file, length);
			if (k < 3)
				copy[i] ^= (unsigned char)(k == 0 ? 1 : k == 1 ? 0x80 : 0xff);
			if (rt_st_parse(copy, length, &st) == RT_OK)
				rt_st_free(&st);
			free(copy);
		}
	}
}
END_TEST

START_TEST(made_headers_parse)
{
	unsigned char data[64] = {0}, *header;
	RtStTensor t[2] = {
		{.name = "x", .dtype = RT_ST_F64, .rank = 0, .data = data, .bytes = 8},
		{.name = "y \"quoted\"", .dtype = RT_ST_F32, .rank = 2, .dim = {3, 2}, .data = data, .bytes = 24}};
	const char *meta[] = {"labels", "[\"a\",\"b\"]", NULL};
	size_t n;
	RtSafetensors st;
	ck_assert_int_eq(rt_st_header(t, 2, meta, &header, &n), RT_OK);
	ck_assert_uint_eq(n % 8, 0);
	unsigned char *file = malloc(n + 32);
	memcpy(file, header, n);
	memset(file + n, 0, 32);
	ck_assert_int_eq(rt_st_parse(file, n + 32, &st), RT_OK);
	ck_assert_int_eq(rt_st_find(&st, "y \"quoted\"")->dim[0], 3);
	ck_assert_str_eq(rt_st_meta(&st, "labels"), meta[1]);
	rt_st_free(&st);
	rt_sys.release(header);
	free(file);
}
END_TEST

START_TEST(halves_become_doubles)
{
	static const uint16_t half[] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x8000, 0x3555};
	static const double value[] = {1, -2, 65504, 5.9604644775390625e-08, 0, 0.333251953125};
	static const uint16_t brain[] = {0x3f80, 0xc040};
	RtStTensor t = {.dtype = RT_ST_F16, .data = (const void *)half};
	for (size_t i = 0; i < 6; i++)
		ck_assert_double_eq(rt_st_value(&t, i), value[i]);
	t = (RtStTensor){.dtype = RT_ST_BF16, .data = (const void *)brain};
	ck_assert_double_eq(rt_st_value(&t, 0), 1);
	ck_assert_double_eq(rt_st_value(&t, 1), -3);
}
END_TEST

/* Saved weights come back; a file of another model is refused with names and shapes. */
START_TEST(weights_round_trip)
{
	RtInstance in;
	RtPool *pool;
	int loaded;
	tiny_folder();
	ck_assert_int_eq(rt_pool_new(1, 0, &pool), RT_OK);
	ck_assert_int_eq(rt_instance_open(&in, &tiny_model, pool, NULL, 0), RT_OK);
	rt_init_tensors(&in, 5);
	float before[4], *w = (float *)(void *)in.params;
	memcpy(before, w, sizeof before);
	const char *meta[] = {"format", "cnnc", NULL};
	ck_assert_int_eq(rt_weights_save(&in, "w.safetensors", meta), RT_OK);
	memset(w, 0, sizeof before);
	ck_assert_int_eq(rt_weights_load_file(&in, "w.safetensors", false, &loaded), RT_OK);
	ck_assert_int_eq(loaded, 3);
	ck_assert_mem_eq(w, before, sizeof before);
	w[1] = __builtin_inff();
	ck_assert_int_eq(rt_weights_save(&in, "w.safetensors", meta), RT_NONFINITE);
	ck_assert_int_eq(rt_weights_load_file(&in, "w.safetensors", false, &loaded), RT_OK);

	RtStTensor other[] = {{.name = "dense.kernel", .dtype = RT_ST_F32, .rank = 2, .dim = {1, 4}, .bytes = 16},
			      {.name = "conv.kernel", .dtype = RT_ST_F32, .rank = 1, .dim = {1}, .bytes = 4},
			      {.name = "dense.bias", .dtype = RT_ST_F32, .rank = 1, .dim = {1}, .bytes = 4}};
	unsigned char *header, file[1000] = {0};
	size_t n;
	ck_assert_int_eq(rt_st_header(other, 3, NULL, &header, &n), RT_OK);
	memcpy(file, header, n);
	rt_sys.release(header);
	FILE *f = fopen("o.safetensors", "w");
	fwrite(file, 1, n + 24, f);
	fclose(f);
	ck_assert_int_eq(rt_weights_load_file(&in, "o.safetensors", false, &loaded), RT_BAD_WEIGHTS);
	ck_assert_str_eq(rt_message(),
			 "o.safetensors does not fit this model; missing: tracker.mean; unexpected: conv.kernel; "
			 "wrong shape: dense.kernel (1, 4) instead of (4, 1)");
	ck_assert_int_eq(rt_weights_load_file(&in, "o.safetensors", true, &loaded), RT_OK);
	ck_assert_int_eq(loaded, 1);
	rt_instance_close(&in);
	rt_pool_free(pool);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("safetensors");
	TCase *c = tcase_create("safetensors");
	tcase_add_test(c, a_good_file);
	tcase_add_loop_test(c, a_bad_file, 0, (int)(sizeof bad / sizeof *bad));
	tcase_add_test(c, damage_is_survived);
	tcase_add_test(c, made_headers_parse);
	tcase_add_test(c, halves_become_doubles);
	tcase_add_test(c, weights_round_trip);
	suite_add_tcase(s, c);
	return suite_run(s);
}

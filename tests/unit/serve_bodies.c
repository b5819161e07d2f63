/* serve_bodies.c -- the server's parsers: JSON, base64, tensors, pictures, forms; what they give and what they refuse */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/http_conn.h"
#include "runtime/json_write.h"
#include "runtime/serve_ask.h"
#include "runtime/sys.h"
#include "tests/support/suite.h"

static const RtPort outputs[] = {{.name = "p", .dtype = RT_F32, .rank = 2, .dim = {0, 3}, .row_bytes = 12},
				 {.name = "q", .dtype = RT_F32, .rank = 1, .row_bytes = 4}};
static const RtTakes takes = {
	.input = "x",
	.pictures = true,
	.pixels = {.name = "x", .dtype = RT_U8, .rank = 3, .dim = {0, 2, 2}, .row_bytes = 4},
	.floats = {.name = "x", .dtype = RT_F32, .rank = 3, .dim = {0, 2, 2}, .row_bytes = 16},
	.output = outputs,
	.noutputs = 2,
	.max_rows = 4,
};

static RtStatus ask(const char *text, RtAsk *a)
{
	bool tensorflow = strstr(text, "instances") || !strstr(text, "datatype");
	return tensorflow ? rt_ask_tensorflow(&takes, text, strlen(text), a)
			  : rt_ask_v2(&takes, text, strlen(text), SIZE_MAX, a);
}

static void refused(const char *text, const char *why)
{
	RtAsk a;
	ck_assert_msg(ask(text, &a) == RT_BAD_DATA, "taken: %s", text);
	ck_assert_msg(strstr(rt_message(), why) != NULL, "%s: '%s' is not in '%s'", text, why, rt_message());
	rt_ask_free(&a);
}

static float float_at(const RtAsk *a, int i)
{
	float v;
	memcpy(&v, a->tensor + 4 * (size_t)i, 4);
	return v;
}

START_TEST(numbers_as_strtod_has_them)
{
	static const char *const text[] = {"0",     "-0.0",   "1",     "0.1",      "1e22",   "1e23",    "123456.789e-3",
					   "1E+10", "5e-324", "1e400", "-1e400",   "1e-400", "9007199254740993",
					   "3.4028234663852886e38", "0.000000000000000000000000000000000001401298464324817"};
	for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
		RtJson j;
		double v;
		rt_scan_open(&j, text[i], strlen(text[i]));
		ck_assert(rt_scan_number(&j, &v) && rt_scan_end(&j));
		double want = strtod(text[i], NULL);
		ck_assert_msg(v == want && !signbit(v) == !signbit(want), "%s is %.17g", text[i], v);
	}
	static const char *const bad[] = {"", "-", "01", "1.", ".5", "1e", "1e+", "+1", "nan", "0x10", "1 2"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		RtJson j;
		double v;
		rt_scan_open(&j, bad[i], strlen(bad[i]));
		ck_assert_msg(!rt_scan_number(&j, &v) || !rt_scan_end(&j), "%s is %g", bad[i], v);
	}
}
END_TEST

/* Long texts of digits come out as close as a float can tell. */
START_TEST(long_numbers)
{
	char text[400];
	for (int zeros = 0; zeros < 300; zeros += 37) {
		int n = snprintf(text, sizeof text, "0.%0*d12345678901234567890123456789012345678901234567890123456789",
				 zeros + 1, 0);
		RtJson j;
		double v, want = strtod(text, NULL);
		rt_scan_open(&j, text, (size_t)n);
		ck_assert(rt_scan_number(&j, &v) && rt_scan_end(&j));
		ck_assert_double_le(fabs(v - want), fabs(want) * 1e-13);
	}
}
END_TEST

START_TEST(strings)
{
	unsigned char out[64];
	size_t n;
	const char *good = "a\\n\\u00e9\\ud83d\\ude00\\/\xc3\xa9";
	ck_assert(rt_scan_unescape((RtSpan){(const unsigned char *)good, strlen(good)}, out, &n));
	ck_assert_mem_eq(out, "a\n\xc3\xa9\xf0\x9f\x98\x80/\xc3\xa9", n);
	static const char *const bad[] = {"\\", "\\x", "\\u12", "\\ud83d", "\\ude00", "\\ud83d\\u0041", "\xff", "\xc0\x80",
					  "\xed\xa0\x80", "\xf4\x90\x80\x80"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert(!rt_scan_unescape((RtSpan){(const unsigned char *)bad[i], strlen(bad[i])}, out, &n));
	RtText t = {0};
	rt_json_say_bytes(&t, "a\"\\\n\xff\xc3\xa9", 7);
	rt_json_say_number(&t, 0.25);
	rt_json_say_number(&t, (double)NAN);
	ck_assert_str_eq(t.text, "\"a\\\"\\\\\\u000a?\xc3\xa9\"0.25null");
	rt_text_free(&t);
}
END_TEST

START_TEST(base64)
{
	static const struct {
		const char *text, *bytes;
	} good[] = {{"", ""},         {"QQ==", "A"},    {"QUI=", "AB"}, {"QUJD", "ABC"},
		    {"QUJDRA", "ABCD"}, {"Pz8/", "\?\?\?"}, {"Pz8\\/", "\?\?\?"}};
	unsigned char out[16];
	size_t n;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		RtSpan s = {(const unsigned char *)good[i].text, strlen(good[i].text)};
		ck_assert(rt_base64_decode(s, out, &n));
		ck_assert_uint_eq(n, strlen(good[i].bytes));
		ck_assert(memcmp(out, good[i].bytes, n) == 0);
	}
	static const char *const bad[] = {"A", "QQ==QQ==", "Q Q=", "Q===", "QQ-_"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert(!rt_base64_decode((RtSpan){(const unsigned char *)bad[i], strlen(bad[i])}, out, &n));
}
END_TEST

START_TEST(tensors)
{
	RtAsk a;
	ck_assert(!ask("{\"inputs\":[{\"data\":[[1,2],[3,4],5,6,7,-8e-1],\"datatype\":\"FP32\",\"shape\":[2,2,2],\"name\":\"x\"}]}", &a));
	ck_assert(a.kind == RT_ASK_FLOATS && a.rows == 2 && float_at(&a, 0) == 1 && float_at(&a, 7) == -0.8F);
	ck_assert(a.output[0].wanted && a.output[1].wanted && !a.output[0].binary);
	rt_ask_free(&a);
	ck_assert(!ask("{\"inputs\":[{\"data\":[0,255,3,4],\"datatype\":\"UINT8\",\"shape\":[1,2,2],\"name\":\"x\"}],"
		       "\"outputs\":[{\"name\":\"q\",\"parameters\":{\"classification\":2}}]}", &a));
	ck_assert(a.kind == RT_ASK_PIXELS && a.tensor[1] == 255 && !a.output[0].wanted && a.output[1].classes == 2);
	rt_ask_free(&a);
	ck_assert(!ask("{\"instances\":[[[1,2],[3,4]],{\"x\":[5,6,7,8]}]}", &a));
	ck_assert(a.rows == 2 && float_at(&a, 4) == 5 && !a.columns);
	rt_ask_free(&a);
	ck_assert(!ask("{\"inputs\":{\"x\":[[1,2,3,4]]}}", &a));
	ck_assert(a.rows == 1 && a.columns);
	rt_ask_free(&a);
}
END_TEST

START_TEST(pictures)
{
	RtAsk a;
	ck_assert(!ask("{\"id\":\"7\",\"inputs\":[{\"name\":\"x\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"QUI=\",\"QUJD\"]}]}", &a));
	ck_assert(a.kind == RT_ASK_PICTURES && a.rows == 2 && a.id_n == 1);
	ck_assert(rt_span_is(a.picture[0], "AB") && rt_span_is(a.picture[1], "ABC"));
	rt_ask_free(&a);
	ck_assert(!ask("{\"instances\":[{\"b64\":\"QUI=\"},{\"x\":{\"b64\":\"QUJD\"}}]}", &a));
	ck_assert(a.rows == 2 && rt_span_is(a.picture[1], "ABC"));
	rt_ask_free(&a);
	const char *json = "{\"inputs\":[{\"name\":\"x\",\"shape\":[2,1],\"datatype\":\"BYTES\",\"parameters\":{\"binary_data_size\":11}}],"
			   "\"parameters\":{\"binary_data_output\":true}}";
	char body[400];
	size_t n = strlen(json);
	memcpy(body, json, n);
	memcpy(body + n, "\2\0\0\0AB\1\0\0\0C", 11);
	ck_assert(!rt_ask_v2(&takes, body, n + 11, n, &a));
	ck_assert(a.rows == 2 && rt_span_is(a.picture[0], "AB") && rt_span_is(a.picture[1], "C") && a.output[1].binary);
	rt_ask_free(&a);
	for (size_t short_by = 1; short_by <= 11; short_by++) {
		ck_assert(rt_ask_v2(&takes, body, n + 11 - short_by, n, &a) == RT_BAD_DATA);
		rt_ask_free(&a);
	}
	ck_assert(rt_ask_v2(&takes, body, n, n + 1, &a) == RT_BAD_DATA);
	rt_ask_free(&a);
}
END_TEST

START_TEST(forms)
{
	const char *body = "preamble\r\n--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"1.jpg\"\r\n\r\none\r\n"
			   "--b\r\ncontent-disposition: form-data; name=text\r\n\r\nignored\r\n"
			   "--b\r\nContent-Disposition: form-data; filename=2.jpg\r\n\r\n\r\n--b--\r\n";
	RtAsk a;
	ck_assert(!rt_ask_plain(&takes, "multipart/form-data; boundary=b", body, strlen(body), &a));
	ck_assert(a.rows == 2 && rt_span_is(a.name[0], "1.jpg") && rt_span_is(a.name[1], "2.jpg"));
	ck_assert(rt_span_is(a.picture[0], "one") && a.picture[1].n == 0);
	rt_ask_free(&a);
	ck_assert(rt_ask_plain(&takes, "multipart/form-data", body, strlen(body), &a) == RT_BAD_DATA);
	ck_assert(rt_ask_plain(&takes, "multipart/form-data; boundary=c", body, strlen(body), &a) == RT_BAD_DATA);
	ck_assert(!rt_ask_plain(&takes, "image/jpeg", body, 8, &a));
	ck_assert(a.rows == 1 && rt_span_is(a.picture[0], "preamble") && !a.name);
	rt_ask_free(&a);
}
END_TEST

START_TEST(what_is_refused)
{
	refused("{\"instances\":[]}", "no sample");
	refused("{\"instances\":[[1,2,3]]}", "3 numbers where");
	refused("{\"instances\":[[1,2,3,4,5]]}", "more than");
	refused("{\"instances\":[[1,2,3,4]", "byte");
	refused("{\"instances\":[{\"b64\":\"QQ==\"},[1,2,3,4]]}", "sample 1");
	refused("{\"instances\":[{\"b64\":\"!\"}]}", "base64");
	refused("{\"instances\":[{\"y\":[1,2,3,4]}]}", "name of the model's input");
	refused("{\"instances\":[[0,0,0,0],[0,0,0,0],[0,0,0,0],[0,0,0,0],[0,0,0,0]]}", "at most 4");
	refused("{\"instances\":[[1,2,3,4]],\"signature_name\":\"other\"}", "serving_default");
	refused("{}", "neither");
	refused("{\"inputs\":[[1,2,3,4]],\"instances\":[[1,2,3,4]]}", "twice");
#define V2(shape, type, data) "{\"inputs\":[{\"name\":\"x\",\"shape\":" shape ",\"datatype\":\"" type "\"" data "}]}"
	refused(V2("[1,2,2]", "FP32", ""), "neither data");
	refused(V2("[1,2,2]", "FP64", ",\"data\":[1,2,3,4]"), "BYTES (pictures), UINT8 (pixels) and FP32");
	refused(V2("[1,2,3]", "FP32", ",\"data\":[1,2,3,4]"), "the shape is not the model's");
	refused(V2("[9007199254740991]", "BYTES", ",\"data\":[]"), "1 to 4 samples");
	refused(V2("[-1]", "BYTES", ",\"data\":[]"), "1 to 4 samples");
	refused(V2("[1.5]", "BYTES", ",\"data\":[]"), "whole number");
	refused(V2("[1,1,1,1,1,1,1]", "BYTES", ",\"data\":[]"), "too many dimensions");
	refused(V2("[2]", "BYTES", ",\"data\":[\"QQ==\"]"), "fewer strings");
	refused(V2("[1,2,2]", "UINT8", ",\"data\":[1,2,3,256]"), "no pixel");
	refused(V2("[1,2,2]", "UINT8", ",\"parameters\":{\"binary_data_size\":4}"), "more than the body has");
	refused("{\"datatype\":1,\"inputs\":[]}", "takes one input");
	refused("{\"datatype\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}", "nested too deeply");
}
END_TEST

static int allocations_left;

static void *alloc_until(size_t n)
{
	return allocations_left-- > 0 ? calloc(1, n ? n : 1) : NULL;
}

/* Whichever allocation fails, it is said, and nothing leaks. */
START_TEST(out_of_memory)
{
	static const char *const text[] = {
		"{\"instances\":[[1,2,3,4]]}",
		"{\"instances\":[{\"b64\":\"QQ==\"}]}",
		"{\"id\":\"7\",\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[\"QQ==\"]}]}",
		"{\"inputs\":[{\"name\":\"x\",\"shape\":[1,2,2],\"datatype\":\"FP32\",\"data\":[1,2,3,4]}]}",
	};
	RtSys real = rt_sys;
	rt_sys.alloc = alloc_until;
	for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
		RtStatus s = RT_NOMEM;
		for (int n = 0; s != RT_OK; n++) {
			RtAsk a;
			ck_assert_int_lt(n, 10);
			allocations_left = n;
			s = ask(text[i], &a);
			rt_ask_free(&a);
			ck_assert(s == RT_OK || s == RT_NOMEM);
		}
	}
	rt_sys = real;
}
END_TEST

START_TEST(rates)
{
	RtRates *t = rt_rates_new(10);
	int64_t now = INT64_C(1) << 40;
	int good = 0;
	for (int i = 0; i < 100; i++)
		good += rt_rates_take(t, "10.0.0.1", now);
	ck_assert_int_eq(good, 20);
	ck_assert(rt_rates_take(t, "10.0.0.2", now));
	for (int i = 0; i < 100; i++) /* ten seconds */
		good += rt_rates_take(t, "10.0.0.1", now += 100000000);
	ck_assert_int_eq(good, 120);
	for (int i = 0; i < 20; i++)
		ck_assert(rt_rates_take(t, "2001:db8:1:2:3::4", now));
	ck_assert(!rt_rates_take(t, "2001:db8:1:2:ffff::1", now)); /* the same network */
	ck_assert(rt_rates_take(t, "2001:db8:1:3::1", now));
	rt_rates_free(t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("serve_bodies");
	TCase *tc = tcase_create("all");
	tcase_add_test(tc, numbers_as_strtod_has_them);
	tcase_add_test(tc, long_numbers);
	tcase_add_test(tc, strings);
	tcase_add_test(tc, base64);
	tcase_add_test(tc, tensors);
	tcase_add_test(tc, pictures);
	tcase_add_test(tc, forms);
	tcase_add_test(tc, what_is_refused);
	tcase_add_test(tc, out_of_memory);
	tcase_add_test(tc, rates);
	suite_add_tcase(s, tc);
	return suite_run(s);
}

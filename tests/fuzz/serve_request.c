/* serve_request.c -- libFuzzer target: bodies of requests through the parsers of all protocols
 *
 * The first byte chooses the parser and the model, the second how much of the rest is JSON before binary data (v2) or the
 * header Content-Type (plain). What the parsers give is read to the last byte, so that a span outside the body is found.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. tests/fuzz/serve_request.c \
 *     runtime/{serve_ask,serve_ask_v2,serve_ask_tensorflow,json_read,json_write,sys,status,call,pool}.c -lm -o fuzz
 *   ./fuzz -max_total_time=60 tests/fuzz/serve_request
 */
#include <stdlib.h>
#include <string.h>
#include "runtime/json_write.h"
#include "runtime/serve_ask.h"
#include "tests/fuzz/fuzz.h"

static const RtPort outputs[] = {{.name = "p", .dtype = RT_F32, .rank = 2, .dim = {0, 3}, .row_bytes = 12},
				 {.name = "q", .dtype = RT_F32, .rank = 1, .row_bytes = 4}};

static unsigned sum_of(const unsigned char *p, size_t n)
{
	unsigned sum = 0;
	for (size_t i = 0; i < n; i++)
		sum = sum * 31 + p[i];
	return sum;
}

static unsigned look(const RtTakes *t, const RtAsk *a)
{
	unsigned sum = sum_of(a->id, a->id ? a->id_n : 0);
	size_t row = (size_t)(a->kind == RT_ASK_PIXELS ? t->pixels : t->floats).row_bytes;
	if (a->rows < 1 || a->rows > t->max_rows)
		abort();
	if (a->kind != RT_ASK_PICTURES)
		return sum + sum_of(a->tensor, row * (size_t)a->rows);
	for (int64_t i = 0; i < a->rows; i++) {
		sum += sum_of(a->picture[i].p, a->picture[i].n);
		if (a->name)
			sum += sum_of(a->name[i].p, a->name[i].n);
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	RtTakes t = {.input = "x", .output = outputs, .noutputs = 2, .max_rows = 8};
	RtAsk a;
	RtStatus s;
	if (n < 2)
		return 0;
	t.pictures = data[0] & 4;
	t.pixels = (RtPort){.name = "x", .dtype = RT_U8, .rank = 4, .dim = {0, 2, 2, 1}, .row_bytes = 4};
	t.floats = (RtPort){.name = "x", .dtype = RT_F32, .rank = 4, .dim = {0, 2, 2, 1}, .row_bytes = 16};
	size_t length = n - 2, split = data[1];
	unsigned char *body = malloc(length ? length : 1); /* its own, so that its end is guarded */
	memcpy(body, data + 2, length);
	switch (data[0] & 3) {
	case 0: s = rt_ask_v2(&t, body, length, SIZE_MAX, &a); break;
	case 1: s = rt_ask_v2(&t, body, length, split, &a); break;
	case 2: s = rt_ask_tensorflow(&t, body, length, &a); break;
	default: s = rt_ask_plain(&t, split ? "multipart/form-data; boundary=\"b\"" : NULL, body, length, &a); break;
	}
	volatile unsigned sum = s == RT_OK ? look(&t, &a) : 0;
	(void)sum;
	rt_ask_free(&a);
	RtText text = {0};
	rt_json_say_bytes(&text, body, length);
	rt_text_free(&text);
	free(body);
	return 0;
}

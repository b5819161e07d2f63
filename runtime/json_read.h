/* json_read.h -- a reader of JSON that builds nothing: a cursor over bytes that the caller keeps
 *
 * Made for bodies of requests, which may be megabytes of numbers: it takes no memory but where a string is asked for, and
 * its depth is bounded. The first mistake sticks (`error`), after which every function gives false, so that callers look
 * once:
 *
 *   rt_scan_open(&j, bytes, n);
 *   for (bool any = rt_scan_enter(&j, '{'); any && rt_scan_key(&j, &key);)
 *           if (rt_span_is(key, "id")) …; else rt_scan_skip(&j);
 *   if (!rt_scan_end(&j)) … j.error, at byte j.p - j.start
 */
#ifndef CNNC_RUNTIME_JSON_READ_H
#define CNNC_RUNTIME_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RT_JSON_DEPTH = 32 };

typedef struct RtSpan {
	const unsigned char *p;
	size_t n;
} RtSpan;

typedef struct RtJson {
	const unsigned char *start, *p, *end;
	const char *error; /* NULL: none so far */
	int depth;
	uint64_t object, started; /* a bit a level: inside an object; an element was read */
} RtJson;

void rt_scan_open(RtJson *j, const void *bytes, size_t n);
bool rt_scan_fail(RtJson *j, const char *error); /* false; the first one stays */
bool rt_scan_end(RtJson *j);                     /* nothing but blanks is left, and there was no mistake */
int rt_scan_peek(RtJson *j);                     /* '{' '[' '"' '0' (a number) 't' 'f' 'n'; 0: none of these */

bool rt_scan_enter(RtJson *j, char bracket);   /* '{' or '[' */
bool rt_scan_next(RtJson *j);                  /* in an array: moves to the next element, or past the end (false) */
bool rt_scan_key(RtJson *j, RtSpan *key);      /* in an object: the same; key as it is written, escapes and all */
bool rt_scan_string(RtJson *j, RtSpan *text);  /* as it is written, between the quotes */
bool rt_scan_number(RtJson *j, double *value); /* may be infinite where the text is out of range */
bool rt_scan_int(RtJson *j, int64_t *value);   /* a number that is whole and below 2^53 */
bool rt_scan_bool(RtJson *j, bool *value);
bool rt_scan_skip(RtJson *j); /* a value of any kind */

/* Text of a string as it is written, without its escapes: out has room for n bytes. False: not well formed. */
bool rt_scan_unescape(RtSpan written, unsigned char *out, size_t *out_n);
bool rt_span_is(RtSpan s, const char *text);

size_t rt_utf8_length(const unsigned char *s, size_t n); /* of the first character; 0: not UTF-8 */
/* Standard alphabet, with or without '=' at the end, also with "\/" for '/' as JSON may have it. out has room for
 * n / 4 * 3 + 3 bytes. */
bool rt_base64_decode(RtSpan text, unsigned char *out, size_t *out_n);

#endif

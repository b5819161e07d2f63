/* json_read.c -- the cursor over JSON (RFC 8259), strings, numbers, base64 */
#include "runtime/json_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void rt_scan_open(RtJson *j, const void *bytes, size_t n)
{
	*j = (RtJson){.start = bytes, .p = bytes, .end = (const unsigned char *)bytes + n};
}

bool rt_scan_fail(RtJson *j, const char *error)
{
	if (!j->error)
		j->error = error;
	return false;
}

static void blanks(RtJson *j)
{
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\t' || *j->p == '\r'))
		j->p++;
}

/* The next byte that is not blank; 0 at the end and after a mistake. */
static int look(RtJson *j)
{
	blanks(j);
	return j->error || j->p == j->end ? 0 : *j->p;
}

bool rt_scan_end(RtJson *j)
{
	blanks(j);
	if (!j->error && (j->p < j->end || j->depth))
		return rt_scan_fail(j, "more follows where the value should end");
	return !j->error;
}

int rt_scan_peek(RtJson *j)
{
	int c = look(j);
	if (c == '-' || (c >= '0' && c <= '9'))
		return '0';
	return c && strchr("{[\"tfn", c) ? c : 0;
}

/* ---- arrays and objects ---- */

bool rt_scan_enter(RtJson *j, char bracket)
{
	if (look(j) != bracket)
		return rt_scan_fail(j, bracket == '{' ? "an object is expected" : "a list is expected");
	if (j->depth == RT_JSON_DEPTH)
		return rt_scan_fail(j, "nested too deeply");
	uint64_t bit = UINT64_C(1) << j->depth++;
	j->object = bracket == '{' ? j->object | bit : j->object & ~bit;
	j->started &= ~bit;
	j->p++;
	return true;
}

bool rt_scan_next(RtJson *j)
{
	if (j->error || !j->depth)
		return false;
	uint64_t bit = UINT64_C(1) << (j->depth - 1);
	int c = look(j), close = j->object & bit ? '}' : ']';
	if (c == close) {
		j->p++;
		j->depth--;
		return false;
	}
	if (j->started & bit) {
		if (c != ',')
			return rt_scan_fail(j, "a comma or the end of the list is expected");
		j->p++;
	}
	j->started |= bit;
	return true;
}

bool rt_scan_key(RtJson *j, RtSpan *key)
{
	if (!rt_scan_next(j) || !rt_scan_string(j, key))
		return false;
	if (look(j) != ':')
		return rt_scan_fail(j, "a colon is expected");
	j->p++;
	return true;
}

/* ---- values ---- */

bool rt_scan_string(RtJson *j, RtSpan *text)
{
	if (look(j) != '"')
		return rt_scan_fail(j, "a string is expected");
	const unsigned char *s = ++j->p;
	while (s < j->end && *s != '"') {
		if (*s < 32)
			return rt_scan_fail(j, "a control character in a string");
		s += *s == '\\' && s + 1 < j->end ? 2 : 1;
	}
	if (s == j->end)
		return rt_scan_fail(j, "a string has no end");
	*text = (RtSpan){j->p, (size_t)(s - j->p)};
	j->p = s + 1;
	return true;
}

static bool digits(RtJson *j, uint64_t *mantissa, int *exponent, int step)
{
	const unsigned char *from = j->p;
	for (; j->p < j->end && *j->p >= '0' && *j->p <= '9'; j->p++) {
		if (*mantissa < UINT64_C(1) << 53)
			*mantissa = *mantissa * 10 + (uint64_t)(*j->p - '0'), *exponent += step;
		else
			*exponent += step + 1; /* too long for the short way: only its size is kept */
	}
	return j->p > from;
}

static double strtod_of(const unsigned char *from, const unsigned char *to)
{
	char text[64];
	size_t n = (size_t)(to - from);
	n = n < sizeof text ? n : sizeof text - 1; /* digits beyond the 60th can't change a float */
	memcpy(text, from, n);
	text[n] = '\0';
	return strtod(text, NULL);
}

static int exponent_of(RtJson *j)
{
	int sign = 1, value = 0;
	if (j->p < j->end && (*j->p == '+' || *j->p == '-'))
		sign = *j->p++ == '-' ? -1 : 1;
	if (j->p == j->end || *j->p < '0' || *j->p > '9')
		rt_scan_fail(j, "an exponent has no digits");
	for (; j->p < j->end && *j->p >= '0' && *j->p <= '9'; j->p++)
		value = value < 100000 ? value * 10 + (*j->p - '0') : value;
	return sign * value;
}

/* Below 2^53 and within 10^22 mantissa and power are exact doubles, so their quotient or product is rounded once. */
static double number_of(RtJson *j, const unsigned char *from, bool minus, uint64_t mantissa, int exponent)
{
	static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
				       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	if (mantissa >= UINT64_C(1) << 53 || exponent < -22 || exponent > 22) {
		if (j->p - from < 64)
			return strtod_of(from, j->p);
		double v = (double)mantissa; /* a very long text: to within a few units of the 17th digit */
		for (; exponent > 0 && v < 1e300 && v > 0; exponent--)
			v *= 10;
		for (; exponent < 0 && v > 0; exponent++)
			v /= 10;
		v = exponent > 0 && v > 0 ? HUGE_VAL : v;
		return minus ? -v : v;
	}
	double v = exponent < 0 ? (double)mantissa / power[-exponent] : (double)mantissa * power[exponent];
	return minus ? -v : v;
}

bool rt_scan_number(RtJson *j, double *value)
{
	if (rt_scan_peek(j) != '0')
		return rt_scan_fail(j, "a number is expected");
	const unsigned char *from = j->p;
	bool minus = *j->p == '-';
	uint64_t mantissa = 0;
	int exponent = 0;
	j->p += minus;
	const unsigned char *whole = j->p;
	if (!digits(j, &mantissa, &exponent, 0) || (*whole == '0' && j->p - whole > 1))
		return rt_scan_fail(j, "not a number as JSON has it");
	if (j->p < j->end && *j->p == '.') {
		j->p++;
		if (!digits(j, &mantissa, &exponent, -1))
			return rt_scan_fail(j, "a number ends in a point");
	}
	if (j->p < j->end && (*j->p == 'e' || *j->p == 'E')) {
		j->p++;
		exponent += exponent_of(j);
	}
	*value = number_of(j, from, minus, mantissa, exponent);
	return !j->error;
}

bool rt_scan_int(RtJson *j, int64_t *value)
{
	double v;
	if (!rt_scan_number(j, &v))
		return false;
	if (v < -9007199254740991.0 || v > 9007199254740991.0 || v != (double)(int64_t)v)
		return rt_scan_fail(j, "a whole number is expected");
	*value = (int64_t)v;
	return true;
}

static bool word(RtJson *j, const char *w)
{
	size_t n = strlen(w);
	if (look(j) != w[0] || (size_t)(j->end - j->p) < n || memcmp(j->p, w, n) != 0)
		return false;
	j->p += n;
	return true;
}

bool rt_scan_bool(RtJson *j, bool *value)
{
	*value = word(j, "true");
	return *value || word(j, "false") || rt_scan_fail(j, "true or false is expected");
}

bool rt_scan_skip(RtJson *j)
{
	RtSpan text;
	double number;
	int depth = j->depth;
	do { /* one value; or, inside one, all that is left of it */
		bool more = j->depth == depth || rt_scan_next(j);
		if (!more)
			continue;
		if (j->depth > depth && j->object >> (j->depth - 1) & 1) {
			if (!rt_scan_string(j, &text) || look(j) != ':')
				return rt_scan_fail(j, "a name and a colon are expected");
			j->p++;
		}
		switch (rt_scan_peek(j)) {
		case '{': rt_scan_enter(j, '{'); break;
		case '[': rt_scan_enter(j, '['); break;
		case '"': rt_scan_string(j, &text); break;
		case '0': rt_scan_number(j, &number); break;
		default:
			if (!word(j, "true") && !word(j, "false") && !word(j, "null"))
				return rt_scan_fail(j, "a value is expected");
		}
	} while (!j->error && j->depth > depth);
	return !j->error;
}

/* ---- strings ---- */

bool rt_span_is(RtSpan s, const char *text)
{
	return strlen(text) == s.n && memcmp(s.p, text, s.n) == 0;
}

size_t rt_utf8_length(const unsigned char *s, size_t n)
{
	if (n && s[0] < 0x80)
		return 1;
	size_t length = !n || s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
	if (length == 0 || length > n)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
	bool outside = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f); /* surrogates, > U+10FFFF */
	return overlong || outside ? 0 : length;
}

static int hex4(const unsigned char *s, const unsigned char *end)
{
	int v = 0;
	if (end - s < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int c = s[i], lower = c | 32;
		if (!(c >= '0' && c <= '9') && !(lower >= 'a' && lower <= 'f'))
			return -1;
		v = v * 16 + (c <= '9' ? c - '0' : lower - 'a' + 10);
	}
	return v;
}

static size_t put_utf8(uint32_t c, unsigned char *out)
{
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
	for (size_t i = n; i-- > 1; c >>= 6)
		out[i] = (unsigned char)(0x80 | (c & 0x3f));
	out[0] = (unsigned char)(lead[n] | c);
	return n;
}

/* \uXXXX, two of them for a surrogate pair; s is behind the 'u'. NULL: not well formed. */
static const unsigned char *unescape_u(const unsigned char *s, const unsigned char *end, unsigned char *out, size_t *n)
{
	int c = hex4(s, end);
	s += 4;
	if (c >= 0xd800 && c < 0xdc00) {
		int low = end - s >= 6 && s[0] == '\\' && s[1] == 'u' ? hex4(s + 2, end) : -1;
		if (low < 0xdc00 || low > 0xdfff)
			return NULL;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		s += 6;
	} else if (c < 0 || (c >= 0xdc00 && c < 0xe000)) {
		return NULL;
	}
	*n += put_utf8((uint32_t)c, out + *n);
	return s;
}

bool rt_scan_unescape(RtSpan written, unsigned char *out, size_t *out_n)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const unsigned char *s = written.p, *end = s + written.n;
	size_t n = 0, length;
	while (s < end) {
		if (*s != '\\') {
			length = rt_utf8_length(s, (size_t)(end - s));
			if (length == 0)
				return false;
			memmove(out + n, s, length);
			n += length;
			s += length;
			continue;
		}
		if (end - s < 2)
			return false;
		const char *known = s[1] ? strchr(from, s[1]) : NULL;
		if (known) {
			out[n++] = (unsigned char)to[known - from];
			s += 2;
		} else if (s[1] != 'u' || (s = unescape_u(s + 2, end, out, &n)) == NULL) {
			return false;
		}
	}
	*out_n = n;
	return true;
}

static int sextet(int c)
{
	return c >= 'A' && c <= 'Z'   ? c - 'A'
	       : c >= 'a' && c <= 'z' ? c - 'a' + 26
	       : c >= '0' && c <= '9' ? c - '0' + 52
	       : c == '+'             ? 62
	       : c == '/'             ? 63
				      : -1;
}

bool rt_base64_decode(RtSpan text, unsigned char *out, size_t *out_n)
{
	const unsigned char *s = text.p, *end = s + text.n;
	uint32_t bits = 0;
	size_t n = 0, symbols = 0;
	while (end > s && end[-1] == '=' && text.p + text.n - end < 2)
		end--;
	for (; s < end; s++) {
		if (*s == '\\' && end - s > 1 && s[1] == '/')
			s++;
		int v = sextet(*s);
		if (v < 0)
			return false;
		bits = bits << 6 | (uint32_t)v;
		if (++symbols % 4 == 0) {
			out[n++] = (unsigned char)(bits >> 16);
			out[n++] = (unsigned char)(bits >> 8);
			out[n++] = (unsigned char)bits;
		}
	}
	if (symbols % 4 == 1)
		return false;
	if (symbols % 4 >= 2)
		out[n++] = (unsigned char)(symbols % 4 == 2 ? bits >> 4 : bits >> 10);
	if (symbols % 4 == 3)
		out[n++] = (unsigned char)(bits >> 2);
	*out_n = n;
	return true;
}

/* json_write.c -- the growing text, strings with their escapes, numbers */
#include "runtime/json_write.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "ir/size.h"
#include "runtime/json_read.h"
#include "runtime/sys.h"

void rt_text_free(RtText *t)
{
	rt_sys.release(t->text);
	*t = (RtText){0};
}

/* Room for n more bytes and a '\0'. */
static char *reserve(RtText *t, size_t n)
{
	size_t need, room = t->room ? t->room : 256;
	if (t->failed || !size_add(t->n, n, &need) || !size_add(need, 1, &need)) {
		t->failed = true;
		return NULL;
	}
	while (room < need) {
		if (!size_mul(room, 2, &room)) {
			t->failed = true;
			return NULL;
		}
	}
	if (room > t->room) {
		char *bigger = rt_sys.resize(t->text, room);
		if (!bigger) {
			t->failed = true;
			return NULL;
		}
		t->text = bigger;
		t->room = room;
	}
	return t->text + t->n;
}

void rt_text_add(RtText *t, const void *bytes, size_t n)
{
	char *to = reserve(t, n);
	if (!to)
		return;
	if (n)
		memcpy(to, bytes, n);
	to[n] = '\0';
	t->n += n;
}

void rt_text_say(RtText *t, const char *s)
{
	rt_text_add(t, s, strlen(s));
}

void rt_text_format(RtText *t, const char *format, ...)
{
	char room[512];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(room, sizeof room, format, args);
	va_end(args);
	char *to = n < 0 ? NULL : reserve(t, (size_t)n);
	if (!to)
		return;
	if ((size_t)n < sizeof room) {
		memcpy(to, room, (size_t)n + 1);
	} else {
		va_start(args, format);
		vsnprintf(to, (size_t)n + 1, format, args);
		va_end(args);
	}
	t->n += (size_t)n;
}

void rt_json_say_bytes(RtText *t, const void *bytes, size_t n)
{
	const unsigned char *s = bytes;
	rt_text_add(t, "\"", 1);
	for (size_t i = 0, length; i < n; i += length) {
		length = rt_utf8_length(s + i, n - i);
		if (length == 0) {
			rt_text_add(t, "?", 1);
			length = 1;
		} else if (s[i] == '"' || s[i] == '\\') {
			rt_text_add(t, (char[]){'\\', (char)s[i]}, 2);
		} else if (s[i] < 32) {
			rt_text_format(t, "\\u%04x", s[i]);
		} else {
			rt_text_add(t, s + i, length);
		}
	}
	rt_text_add(t, "\"", 1);
}

void rt_json_say(RtText *t, const char *s)
{
	rt_json_say_bytes(t, s, strlen(s));
}

void rt_json_say_number(RtText *t, double v)
{
	if (isfinite(v))
		rt_text_format(t, "%.9g", v);
	else
		rt_text_say(t, "null");
}

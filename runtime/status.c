/* status.c -- the sentence that goes with a failed call
 *
 * One message slot a thread, so that decoding threads can fail without a lock. A message longer than the slot is cut.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "runtime/status.h"

enum { MESSAGE_MAX = 1024 };

static _Thread_local char message[MESSAGE_MAX];

RtStatus rt_fail(RtStatus s, const char *fmt, ...)
{
	char text[MESSAGE_MAX]; /* arguments may be rt_message() itself */
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	memcpy(message, text, sizeof text);
	return s;
}

RtStatus rt_fail_errno(RtStatus s, const char *what, const char *path)
{
	int error = errno;
	char text[128];
	return rt_fail(s, "cannot %s %s: %s", what, path, strerror_r(error, text, sizeof text));
}

const char *rt_message(void)
{
	return message;
}

void rt_print_failure(RtStatus s)
{
	fprintf(stderr, "error: %s [E10%02d]\n", rt_message(), (int)s);
}

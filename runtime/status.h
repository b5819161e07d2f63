/* status.h -- how runtime functions fail: a class that is also the exit code, and one sentence
 *
 * A function that fails returns its class after rt_fail() wrote the sentence into the thread's message slot;
 * callers pass the class up. RT_OK is 0.
 */
#ifndef CNNC_RUNTIME_STATUS_H
#define CNNC_RUNTIME_STATUS_H

typedef enum RtStatus {
	RT_OK = 0,
	RT_INTERNAL = 1,
	RT_USAGE = 2,
	RT_NOMEM = 3,
	RT_IO = 4,        /* disk full, unwritable … */
	RT_BAD_DATA = 5,
	RT_BAD_WEIGHTS = 6,
	RT_NONFINITE = 7,
	RT_DEVICE = 8,
	RT_INTERRUPTED = 130 /* 143 for SIGTERM; after a saved checkpoint */
} RtStatus;

RtStatus rt_fail(RtStatus s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
RtStatus rt_fail_errno(RtStatus s, const char *what, const char *path); /* "cannot WHAT PATH: strerror" */
const char *rt_message(void); /* of the last failure in this thread */

/* What a program says before it ends with s: the sentence and the class's code, of which `cnnc explain E1005` says more. */
void rt_print_failure(RtStatus s);

#endif

/* profile.h -- where the time of training steps goes: every run of every kernel, as a table and as a trace
 *
 * Generated code calls RtCall.mark around each kernel, on whatever thread runs it. Marks of one step are gathered
 * without locks in one array and taken apart when the step has ended, so that a kernel pays two looks at the clock and
 * no more. On a GPU events between the launches of a step are its marks.
 */
#ifndef CNNC_RUNTIME_PROFILE_H
#define CNNC_RUNTIME_PROFILE_H

#include <stdio.h>
#include "runtime/call.h"
#include "runtime/status.h"

typedef struct RtProfile RtProfile;

/* in: what will run e; on a GPU, its launches are timed by the device's clock, one after the other. */
RtStatus rt_profile_new(RtInstance *in, const RtEntry *e, RtProfile **out);
void rt_profile_free(RtProfile *p);
/* Around a run of the entry; nothing happens where p is NULL. */
void rt_profile_begin(RtProfile *p, RtInstance *in);
void rt_profile_end(RtProfile *p, RtInstance *in);
/* Kernels by time: runs, total and mean time, share of all kernels' time, GFLOP/s while it runs on one thread. */
void rt_profile_print(const RtProfile *p, FILE *f);
/* The last steps in the trace event format, which chrome://tracing and Perfetto read. */
RtStatus rt_profile_trace(const RtProfile *p, const char *path);

#endif

/* pool.h -- persistent worker threads that share out the parts of one job at a time
 *
 * The thread that calls rt_pool_for takes parts too, so a pool of n threads starts n - 1. Between jobs workers spin for
 * some 50 us, then sleep: a step of many short phases costs no system calls. Only one thread may use a pool at a time.
 */
#ifndef CNNC_RUNTIME_POOL_H
#define CNNC_RUNTIME_POOL_H

#include <stddef.h>
#include <stdint.h>
#include "runtime/model.h"
#include "runtime/status.h"

enum { RT_MAX_THREADS = 1024 };

/* Runs part `part`; parts of a job run in any order, at the same time. `scratch` belongs to the running thread. */
typedef void RtTaskFn(void *arg, uint32_t part, void *scratch);

/* threads: 0 is rt_cpu_count(). scratch_bytes: for each thread. */
RtStatus rt_pool_new(int threads, size_t scratch_bytes, RtPool **out);
void rt_pool_free(RtPool *pool); /* NULL is fine */
int rt_pool_threads(const RtPool *pool);
/* Makes each thread's scratch at least this large; not while a job runs. */
RtStatus rt_pool_reserve(RtPool *pool, size_t scratch_bytes);
void rt_pool_for(RtPool *pool, uint32_t parts, RtTaskFn *fn, void *arg); /* returns when all parts have run */

/* CPUs that this process may use: affinity mask, and the CPU quota of its cgroup rounded up. At least 1. */
int rt_cpu_count(void);

#endif

/* parallel.h -- jobs that know nothing of each other, on several threads
 *
 * Which thread runs a job depends on timing, so a job's result may depend on its number only: what jobs read is const, and
 * each writes to a place of its own, with an arena of its own. An ICE in a job ends the process as it does elsewhere.
 */
#ifndef CNNC_IR_PARALLEL_H
#define CNNC_IR_PARALLEL_H

/* thread: 0 for the caller's, then 1, 2, …: for what a thread keeps from one job to the next. */
typedef void ParallelJob(void *cx, int job, int thread);

enum { PARALLEL_MAX = 256 };
int parallel_threads(int threads, int njobs); /* how many take part: at least 1, at most njobs and PARALLEL_MAX */

/* Runs job 0 … njobs-1, each once, taken up in this order by at most so many threads, the caller's included; below 2: the
 * caller's alone. Returns when all have run. Where no more threads can be had, those that there are do the work. */
void parallel_run(int threads, int njobs, ParallelJob *job, void *cx);

#endif

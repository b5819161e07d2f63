/* tune.h -- `--tune`: schedules measured in this process, kept in a schedule file */
#ifndef CNNC_TUNE_H
#define CNNC_TUNE_H

#include "pipeline.h"

typedef struct TuneOptions {
	const char *path;  /* the schedule file: its lines are kept and need no measuring; made if there is none */
	double seconds;    /* a further round begins only while it can end in this time; INFINITY: all rounds */
	FILE *table;       /* what was found */
} TuneOptions;

enum { TUNE_INTERRUPTED = 128 }; /* plus the number of the signal */

/* Measures the kernels of p, writes the file, and compiles p's kernels again by it. Exit code: 0; 2, 4: reported; or interrupted
 * by a signal, after what was measured was written. */
int tune(Pipeline *p, const TuneOptions *o, Diag *d);

#endif

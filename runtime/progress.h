/* progress.h -- what training shows on stderr: a bar that redraws on a terminal, one line an epoch elsewhere */
#ifndef CNNC_RUNTIME_PROGRESS_H
#define CNNC_RUNTIME_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct RtShown { /* a number of the line; shown in the order of names, as Keras does */
	const char *name;
	double value;
} RtShown;

typedef struct RtProgress {
	FILE *f;
	int mode; /* 0: nothing, 1: bar, 2: one line an epoch */
	bool color;
	int64_t epoch, epochs, steps, steps_at_start;
	int64_t started, trained, drawn; /* ns; trained: when the last step ended, 0 before */
	int width;                       /* columns of the last drawn line */
} RtProgress;

/* verbose: "auto", "0", "1", "2". auto is a bar on a terminal. Colour only there, and not with NO_COLOR. */
void rt_progress_open(RtProgress *p, FILE *f, const char *verbose);
/* epoch counts from 1; steps: how many are expected; `done`: steps of it done before (after a resume). */
void rt_progress_epoch(RtProgress *p, int64_t epoch, int64_t epochs, int64_t steps, int64_t done);
void rt_progress_step(RtProgress *p, int64_t step, const RtShown *shown,
		      int n);            /* draws at most some 10 times a second */
void rt_progress_trained(RtProgress *p); /* the steps are done: what follows does not count as their time */
void rt_progress_end(RtProgress *p, int64_t steps, const RtShown *shown, int n);
void rt_progress_break(RtProgress *p); /* ends an unfinished bar before other text is printed */

#endif

/* runfolder.h -- runs/NAME/N: one folder a training */
#ifndef CNNC_RUNTIME_RUNFOLDER_H
#define CNNC_RUNTIME_RUNFOLDER_H

#include <stdbool.h>
#include "runtime/durable.h"
#include "runtime/status.h"

typedef struct RtRunFolder {
	char path[RT_PATH_MAX]; /* relative to the working directory */
	int lock;               /* descriptor of the folder; locked while a trainer works in it. -1: none */
} RtRunFolder;

/* Makes the next number, with weights/ inside, and locks it. */
RtStatus rt_run_new(RtRunFolder *r, const char *name);
/* Highest number that holds a checkpoint; *found false if there is none. Locks it: RT_USAGE if another process trains
 * there. */
RtStatus rt_run_latest(RtRunFolder *r, const char *name, bool *found);
void rt_run_close(RtRunFolder *r);
bool rt_run_file(const RtRunFolder *r, const char *name, char *out); /* PATH/name; out: RT_PATH_MAX */

#endif

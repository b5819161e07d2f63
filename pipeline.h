/* pipeline.h -- model file to code, the steps that cnnc, its benchmark and libcnnc share */
#ifndef CNNC_PIPELINE_H
#define CNNC_PIPELINE_H

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/passes.h"

typedef struct PipelineIn {
	const char *path;          /* NAME.yaml, or NAME.ir: a graph as `--stop-after` prints it */
	const char *text;          /* the model file itself, or NULL: read from path */
	const char *const *define; /* "train.epochs=5" … */
	int ndefines;
	const char *cpu, *triple;  /* NULL: as the model file says */
	const char *dump, *stop_after;
	bool time_passes;
	FILE *out;                 /* where dumps and times go */
} PipelineIn;

typedef struct Pipeline {
	FeModel fe;
	Target target;
	CgOptions code;
	bool stopped;              /* by stop_after */
	Arena *arena;
} Pipeline;

/* Frontend, target, passes. False: reported to d. pipeline_close either way, after d was printed. */
bool pipeline_open(Pipeline *p, const PipelineIn *in, Diag *d);
CgModule *pipeline_code(const Pipeline *p, Diag *d);
void pipeline_close(Pipeline *p);

#endif

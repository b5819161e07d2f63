/* pipeline.h -- model file to code, the steps that cnnc, its benchmark and libcnnc share */
#ifndef CNNC_PIPELINE_H
#define CNNC_PIPELINE_H

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/passes.h"

typedef struct PipelineIn {
	const char *path;          /* NAME.yaml, or NAME.ir: a graph as `--stop-after` prints it */
	const char *text;          /* the model file itself, or NULL: read from path */
	IrModule *module;          /* a graph that is there already, taken over; or NULL */
	const char *const *define; /* "train.epochs=5" … */
	int ndefines;
	const char *cpu, *triple;  /* NULL: as the model file says */
	bool here;                 /* the code will run in this process: `portable` means this machine's level */
	const char *dump, *stop_after;
	bool time_passes;
	FILE *out;                 /* where dumps and times go */
} PipelineIn;

typedef struct Pipeline {
	FeModel fe;
	Target target;
	CgOptions code;
	const char *level[CG_MAX_LEVELS]; /* portable: cpus, best first; this Pipeline is that of the first one */
	int nlevels;               /* else 0 */
	IrModule *graph;           /* portable: as it was before the passes */
	bool stopped;              /* by stop_after */
	Arena *arena;
} Pipeline;

/* Frontend, target, passes. False: reported to d. pipeline_close either way, after d was printed. */
bool pipeline_open(Pipeline *p, const PipelineIn *in, Diag *d);
/* Of a portable program: the same model for p->level[i], i > 0. `p` outlives it; pipeline_close either way. */
bool pipeline_level(const Pipeline *p, int i, Pipeline *out, Diag *d);
CgModule *pipeline_code(const Pipeline *p, Diag *d);
void pipeline_close(Pipeline *p);

#endif

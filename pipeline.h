/* pipeline.h -- model file to code, the steps that cnnc, its benchmark and libcnnc share */
#ifndef CNNC_PIPELINE_H
#define CNNC_PIPELINE_H

#include "codegen/codegen.h"
#include "codegen/cuda.h"
#include "frontend/frontend.h"
#include "passes/passes.h"
#include "passes/tile.h"

typedef struct PipelineIn {
	const char *path;          /* NAME.yaml, or NAME.ir: a graph as `--stop-after` prints it */
	const char *text;          /* the model file itself, or NULL: read from path */
	IrModule *module;          /* a graph that is there already, taken over; or NULL */
	const char *const *define; /* "train.epochs=5" … */
	int ndefines;
	const char *target, *cuda_arch, *cpu, *triple; /* NULL: as the model file says */
	bool here;                 /* the code will run in this process: `portable` means this machine's level */
	const char *schedule;      /* a schedule file to take schedules from, or NULL; not read where the model will be tuned */
	bool tunes;                /* even if the model file does not ask for it */
	bool alone;                /* a function that keeps nothing between calls */
	const char *dump, *stop_after;
	bool time_passes;
	int threads;               /* that work on it at most, 0: one for each CPU; changes nothing in the code */
	FILE *out;                 /* where dumps and times go */
} PipelineIn;

typedef struct Pipeline {
	FeModel fe;
	Target target;
	CgOptions code;
	const char *level[CG_MAX_LEVELS]; /* portable: cpus, best first; this Pipeline is that of the first one */
	int nlevels;               /* else 0 */
	bool tunes, alone;
	bool gpu;                  /* kernels of this Pipeline are for GPUs */
	bool cuda;                 /* the programs have code for GPUs, too: pipeline_gpu makes it */
	const char *cuda_arch;     /* NULL: the default set */
	IrModule *graph;           /* portable, tuned, or for GPUs too: as it was before the passes */
	IrModule *first;           /* tuned: what fe was made with */
	ScheduleFile *schedules;   /* what was read; or NULL */
	const char *weights;       /* imported or converted: a file of their own for as long as the pipeline is open */
	bool stopped;              /* by stop_after */
	bool quiet;                /* warnings of the target were given before */
	Arena *arena;
} Pipeline;

/* Frontend, target, passes. False: reported to d. pipeline_close either way, after d was printed. */
bool pipeline_open(Pipeline *p, const PipelineIn *in, Diag *d);
/* The same model with other schedules, or for another cpu: of a portable program p->level[i], i > 0. `p` outlives it;
 * pipeline_close either way. */
bool pipeline_again(const Pipeline *p, const char *cpu, ScheduleFile *schedules, TileLog *log, Pipeline *out, Diag *d);
/* The same model for GPUs, where p->cuda; as pipeline_again. */
bool pipeline_gpu(const Pipeline *p, Pipeline *out, Diag *d);
/* p itself, with other schedules. */
bool pipeline_retake(Pipeline *p, ScheduleFile *schedules, Diag *d);
/* A schedule file, in arena a; NULL: reported. */
ScheduleFile *pipeline_read_schedules(const char *path, Arena *a, Diag *d);
/* The texts of a gpu Pipeline and, if `compile`, code for its architectures; NULL: reported. */
CgCuda *pipeline_cuda(const Pipeline *p, bool compile, Diag *d);
/* p->fe.weights as native safetensors: another file is converted, for as long as p is open. */
bool pipeline_weights(Pipeline *p, Diag *d);
CgModule *pipeline_code(const Pipeline *p, Diag *d);
void pipeline_close(Pipeline *p);

#endif

/* passes.h -- the pass interface and its runner
 *
 * A pass is one function in a file of its name and one row of passes.def. It changes the module and returns true, or
 * reports to cx->diag and returns false. It never prints, times or verifies itself: the runner does, after every pass.
 */
#ifndef CNNC_PASSES_PASSES_H
#define CNNC_PASSES_PASSES_H

#include "ir/ir.h"
#include "ir/kernel.h"

typedef struct PassCx {
	Diag *diag;
	Arena *scratch;        /* reset by the runner after each pass */
	Target target;         /* filled by codegen from --cpu, or by hand in tests */
	const char *dump;      /* comma-separated pass names, or NULL; "import" is the module before the first pass */
	const char *stop_after;/* a pass name, "import" or NULL */
	bool time_passes;
	struct ScheduleFile *schedules; /* measured ones, which pass tile takes instead of its own choice; or NULL */
	struct TileLog *tile_log;       /* tile.h; or NULL */
	int threads;           /* that a pass may use, 0: one; changes nothing in what it does */
	bool stage_always;     /* GPU: products go through shared memory wherever they can, for tests */
	bool every_call;       /* nothing is kept between calls: each makes its views of weights itself */
	bool split_phases;     /* every kernel a phase of its own, so that a profile can time it */
	FILE *out;             /* where dumps and times go */
} PassCx;

typedef bool PassFn(IrModule *m, PassCx *cx);
#define PASS(name, level, doc) PassFn pass_##name;
#include "passes/passes.def"

/* Runs the pipeline; verifies after every pass. Sets *stopped when stop_after ended it early. */
bool passes_run(IrModule *m, PassCx *cx, bool *stopped);
void passes_list(FILE *f);                    /* --list-passes */
bool passes_known(const char *name);          /* for checking --dump and --stop-after */

#endif

/* train.h -- the trainer's parts; rt_train_main is the program
 *
 * train_main.c    main            train_run.c    opens all, runs, closes     train_args.c   the command line
 * train_loop.c    epochs, steps   train_state.c  checkpoint and resume       train_output.c results.csv, weights,
 * bundle train_blame.c   names the first non-finite tensor                          train_signal.c SIGINT and SIGTERM
 * train_average.c moving averages of the weights                          train_phase.c  phases
 * train_calibrate.c  the temperature of the probabilities   train_report.c   report.html, event files
 * train_card.c  MODEL_CARD.md       train_dry.c  --dry-run
 * train_limits.c  time and energy: results.json, limits
 */
#ifndef CNNC_RUNTIME_TRAIN_H
#define CNNC_RUNTIME_TRAIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include "runtime/answers.h"
#include "runtime/callbacks.h"
#include "runtime/checkpoint.h"
#include "runtime/config.h"
#include "runtime/data.h"
#include "runtime/energy.h"
#include "runtime/feature_cache.h"
#include "runtime/gallery.h"
#include "runtime/history.h"
#include "runtime/learning_rate.h"
#include "runtime/metrics.h"
#include "runtime/profile.h"
#include "runtime/progress.h"
#include "runtime/runfolder.h"
#include "runtime/tensorboard.h"

enum { RT_MAX_SHOWN = 2 * RT_MAX_METRICS + 1 };

typedef struct RtTrainArgs {
	const char *program; /* argv[0] */
	const char *bundle;  /* --bundle RUN */
	const char *device;  /* --device: auto, cpu, cuda:N */
	bool help, version, profile, no_graph, dry_run;
	int argc;            /* the command as it was given: for the report */
	char **argv;
} RtTrainArgs;

typedef struct RtTrainer {
	const RtModel *model;
	RtConfig config;
	RtTrainArgs args;
	FILE *out, *err;

	RtPool *pool;
	RtInstance in;
	const RtEntry *step_entry, *eval_entry;
	RtDataset *whole, *train_data, *val_data; /* whole: what the other two were split from, or NULL */
	RtStream *train_stream, *val_stream;      /* val_stream NULL: nothing is validated */
	RtMetrics train, val;
	RtCalibrator calibrator; /* with the scores of the running validation; no room: nothing to calibrate */
	RtCallbacks *callbacks;
	RtRunFolder run;
	RtProgress progress;
	json_t *arguments; /* fields that decide the numbers */
	unsigned char files_hash[32];
	char shown_name[RT_MAX_SHOWN][80];
	char *labels_json;
	RtProfile *profile; /* --profile */
	RtGallery gallery;  /* pictures of the running validation */
	RtBoard board;      /* made_ns 0: not open yet */
	RtFindings findings; /* of the last report */
	int64_t reported;    /* when that was written, ns */
	int64_t waited_ns, stepping_ns; /* of the steps of this start, and of waiting for their samples */

	/* ---- settings ---- */
	int64_t epochs; /* at which the phase ends */
	int64_t steps_per_epoch, validation_steps; /* 0: one pass */
	int batch;
	uint64_t seed;
	int64_t checkpoint_ns;
	double max_seconds, max_kwh; /* 0: any */
	int nphases;
	RtRate rate;   /* of the phase, as step_entry, epochs and callbacks are */
	RtFeatures *features, *val_features; /* of its frozen base; NULL: it has none to cut off */
	const RtEntry *val_entry;            /* eval_entry, or that on features */
	bool averages; /* the phase keeps moving averages of the weights */

	/* ---- state that a checkpoint holds ---- */
	uint32_t step; /* steps done, in all epochs */
	int64_t epoch; /* epochs done */
	int64_t step_in_epoch;
	bool epoch_trained; /* all steps of this epoch are done, its validation is not */
	float lr; /* where no schedule gives it */
	int phase;
	uint32_t phase_step; /* steps and epochs done when the phase began */
	int64_t phase_epoch;
	double best, seconds;   /* seconds: of training, before this start */
	double joules;          /* the same of energy; NaN: unknown */
	bool has_best, stopped; /* stopped: the phase, by a callback */
	int64_t best_epoch;
	RtCalibration calibration, best_calibration; /* of the last validation; of that of the best epoch */
	uint64_t generation;

	/* ---- rest ---- */
	char *csv;
	size_t csv_length;
	int64_t started, saved; /* ns */
	RtEnergy energy;        /* of this start */
	const char *limit;      /* the field whose limit has been reached, or NULL */
	bool unsaved;           /* the last checkpoint could not be written */
	bool outputs_failed;    /* weights or results.csv could not be written */
} RtTrainer;

typedef struct RtTrainMeta { /* metadata of weight files, as rt_st_header takes it */
	char hash[65], epoch[24], temperature[32];
	const char *pair[14];
} RtTrainMeta;

/* The whole program: returns its exit code. */
int rt_train_main(const RtModel *model, int argc, char **argv);

/* ---- train_args.c ---- */
RtStatus rt_train_args(RtTrainer *t, int argc, char **argv);
void rt_train_help(const RtTrainer *t);

/* ---- train_loop.c ---- */
RtStatus rt_train_loop(RtTrainer *t);
RtStatus rt_train_step(RtTrainer *t, const RtBatch *b);
RtStatus rt_train_validate(RtTrainer *t); /* t->val and t->calibration */
int64_t rt_train_steps_expected(const RtTrainer *t);

/* ---- train_state.c ---- */
RtStatus rt_train_identity(RtTrainer *t); /* t->arguments and t->files_hash */
RtStatus rt_train_save(RtTrainer *t);     /* RT_IO is a warning inside; RT_NONFINITE when weights are bad */
RtStatus rt_train_restore(RtTrainer *t, bool *found);
bool rt_train_finished(const RtTrainer *t);

/* ---- train_output.c ---- */
RtStatus rt_train_warned(RtTrainer *t, RtStatus s); /* RT_IO becomes a warning: RT_OK */
RtStatus rt_train_start_files(RtTrainer *t);                    /* args.yaml, labels.txt */
RtStatus rt_train_row(RtTrainer *t, const RtShown *log, int n); /* results.csv */
RtStatus rt_train_csv_keep(RtTrainer *t);                       /* rows up to t->epoch, after a resume */
RtStatus rt_train_weights(RtTrainer *t, const char *name);      /* "best" or "last" */
RtStatus rt_train_profile(RtTrainer *t);                        /* --profile: the table, and profile.json */
RtStatus rt_train_finish(RtTrainer *t);                         /* last weights, bundle, summary */
RtStatus rt_train_bundle(RtTrainer *t, const char *weights,
			 const char *said);                  /* a failure is a warning and given back */
RtStatus rt_train_bundle_run(RtTrainer *t, const char *run); /* --bundle */
void rt_train_meta(const RtTrainer *t, RtTrainMeta *out);

/* ---- train_blame.c ---- */
/* The loss of the call just made on `ports` is not finite: runs it again phase by phase and names the first bad tensor.
 */
RtStatus rt_train_blame(RtTrainer *t, unsigned char *const *ports, uint32_t n);

/* ---- train_phase.c ---- */
int rt_train_count_phases(const RtModel *m);
RtStatus rt_train_set_phase(RtTrainer *t, int p); /* t->phase_epoch and the run folder are known */
RtStatus rt_train_fresh_optimizer(RtTrainer *t);
void rt_train_close_features(RtTrainer *t);
bool rt_train_phase_finished(const RtTrainer *t);
RtStatus rt_train_next_phase(RtTrainer *t);
void rt_train_say_phase(const RtTrainer *t);

/* ---- train_calibrate.c ---- */
RtStatus rt_train_calibrate_open(RtTrainer *t);
void rt_train_calibrate_add(RtTrainer *t, unsigned char *const *ports, int64_t rows); /* a batch of the validation, just evaluated */
void rt_train_calibrate_end(RtTrainer *t);
json_t *rt_train_calibration_json(const RtCalibration *c);
void rt_train_calibration_read(RtCalibration *c, const json_t *j);
void rt_train_say_calibration(const RtTrainer *t, const RtCalibration *c);

/* ---- train_report.c ---- */
RtStatus rt_train_report_open(RtTrainer *t);
void rt_train_see(RtTrainer *t, const RtBatch *b);      /* a batch of the validation, just evaluated */
RtStatus rt_train_report(RtTrainer *t, bool finished);  /* report.html, event files; finished: MODEL_CARD.md, too */
void rt_train_say_findings(const RtTrainer *t);
/* ---- train_dry.c: --dry-run ---- */
RtStatus rt_train_dry(RtTrainer *t); /* phase and weights are set; there is no run folder */

/* ---- train_card.c: MODEL_CARD.md ---- */
RtStatus rt_train_card(const RtTrainer *t, const RtHistory *h, const RtAnswers *a, const RtFindings *f);

void rt_train_find_dead(const RtTrainer *t, RtFindings *f); /* train_blame.c: outputs of layers that never got a gradient */

/* ---- train_limits.c ---- */
RtStatus rt_train_limits_open(RtTrainer *t); /* after the memory */
double rt_train_seconds(const RtTrainer *t);
double rt_train_joules(const RtTrainer *t); /* NaN: unknown */
bool rt_train_over_limit(RtTrainer *t);     /* sets t->limit */
RtStatus rt_train_stop_at_limit(RtTrainer *t);
RtStatus rt_train_results(RtTrainer *t); /* results.json */
void rt_train_say_energy(const RtTrainer *t);

/* ---- train_average.c ---- */
void rt_train_start_averages(RtTrainer *t); /* each is its weights */
void rt_train_swap_averages(RtTrainer *t); /* weights and their averages change places; twice is nothing */

/* ---- train_signal.c ---- */
void rt_stop_on_signals(void);
void rt_stop_reset(void);
const atomic_int *rt_stop_flag(void); /* the signal's number, or 0 */

#endif

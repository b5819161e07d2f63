/* predict.h -- the predictor's parts; rt_predict_main is the program
 *
 * predict_main.c, serve_main.c  main               predict_command.c  the command line, weights, labels
 * predict_paths.c  files and folders  predict_evaluate.c, predict_array.c (`run`), predict_info.c, predict_explain.c  the other commands
 */
#ifndef CNNC_RUNTIME_PREDICT_H
#define CNNC_RUNTIME_PREDICT_H

#include <jansson.h>
#include <stdbool.h>
#include "runtime/bundle.h"
#include "runtime/call.h"
#include "runtime/config.h"
#include "runtime/scores.h"

typedef struct RtPredictor RtPredictor;
/* A command with options of its own: argv[0] is the command. */
typedef RtStatus RtCommandFn(RtPredictor *p, int argc, char **argv);

struct RtPredictor {
	const RtModel *model;
	RtConfig config;
	const char *program;
	FILE *out, *err;

	/* ---- the command line ---- */
	RtCommandFn *serve;
	const char *method, *class_name; /* of explain; NULL: not said */
	const char *command; /* "predict" "evaluate" "run" "info" "explain" */
	char **arg;          /* operands; owned */
	int nargs;
	const char *weights, *output, *device; /* device: auto, cpu, cuda:N */
	const char *input[RT_MAX_PORTS]; /* --input, each time it stands there */
	int ninputs;
	int threads; /* 0: not said */
	int64_t top_k;
	double threshold;
	bool json, csv, show_config, help, version, raw; /* raw: probabilities as the network gives them */

	/* ---- opened as the command needs ---- */
	RtPool *pool;
	RtInstance in;
	json_t *labels; /* array of strings, or NULL */
	RtScores scores; /* after rt_predict_open */
};

typedef struct RtAnswer { /* for one sample */
	int best;
	double probability;
	double *probabilities; /* rt_predict_classes of them; room of the caller */
} RtAnswer;

int rt_predict_main(const RtModel *model, int argc, char **argv);
/* serve: the command `serve`; NULL in programs that don't. */
int rt_predict_main_with(const RtModel *model, RtCommandFn *serve, int argc, char **argv);

/* ---- predict_command.c ---- */
/* Pool, memory for `entries`, weights and labels. threads: 0 for all CPUs. */
RtStatus rt_predict_open(RtPredictor *p, const char *const *entries, int n, int threads);
/* Labels only, from the weights if there are any: what `info` needs. */
void rt_predict_labels(RtPredictor *p);
const char *rt_predict_label(const RtPredictor *p, int i, char room[24]); /* class name, or its number */
int rt_predict_classes(const RtPredictor *p);                             /* 0: the outputs are not classes */
json_t *rt_path_json(const char *path);                                   /* predict_paths.c */
json_t *rt_json_number(double v); /* null where v is not finite: JSON has no word for it */
/* scores: output 0 of one sample, tempered. */
void rt_predict_answer(const RtPredictor *p, const float *scores, RtAnswer *a);
int64_t rt_predict_outputs(const RtPredictor *p); /* values of output 0 for a sample; 0: they are not scores */
/* Calibrates output 0 of `rows` samples, in place (scores.h): before rt_predict_answer. */
void rt_predict_temper(const RtPredictor *p, unsigned char *out, int64_t rows);

/* ---- one a command ---- */
RtStatus rt_predict_paths(RtPredictor *p);
RtStatus rt_predict_evaluate(RtPredictor *p);
RtStatus rt_predict_array(RtPredictor *p);
RtStatus rt_predict_info(RtPredictor *p);
RtStatus rt_predict_explain(RtPredictor *p);

#endif

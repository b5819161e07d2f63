/* options.h -- the command line of cnnc, parsed */
#ifndef CNNC_OPTIONS_H
#define CNNC_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

/* Up to CMD_BENCH they take a model file, up to CMD_IMPORT another file. */
typedef enum Command {
	CMD_COMPILE, CMD_CHECK, CMD_FMT, CMD_BENCH, CMD_INIT, CMD_WEIGHTS, CMD_IMPORT, CMD_DOCTOR, CMD_HELP, CMD_EXPLAIN, CMD_SCHEMA, CMD_VERSION,
	CMD_USAGE, CMD_LIST_PASSES
} Command;

typedef enum EmitKind {
	EMIT_GRAPH = 1, EMIT_KERNELS = 2, EMIT_LLVM = 4, EMIT_ASM = 8, EMIT_OBJ = 16, EMIT_HEADER = 32, EMIT_CUDA = 64, EMIT_DOT = 128,
	EMIT_ONNX = 256
} EmitKind;

typedef struct Options {
	Command command;
	const char *model, *output, *topic; /* model: the folder, of init */
	const char **define;
	int ndefines;
	unsigned emit;          /* EmitKind bits; 0: programs */
	const char *target, *cuda_arch; /* NULL: as the model file says */
	const char *cpu, *triple, *linker, *dump, *stop_after;
	const char *schedule;   /* a schedule file */
	double tune;            /* seconds for measuring schedules; 0: not asked for */
	bool json, time_passes;
	int threads;            /* 0: as many as there are */
	const char *op, *shape; /* bench: one operation; op_graph.h */
	bool fast_math;         /* of --op */
	const char **word;      /* its description */
	int nwords;
} Options;

/* Fills o; define and word must have room for argc strings. False: one sentence went to err, exit with 2. */
bool options_parse(Options *o, int argc, char **argv, FILE *err);

/* ---- written out of the same table (options_print.c) ---- */
void options_usage(FILE *f);
void options_man(FILE *f);                           /* cnnc(1), roff */
bool options_completion(const char *shell, FILE *f); /* for bash, zsh or fish; false: another shell */
void options_reference(FILE *f);                     /* Markdown */

#endif

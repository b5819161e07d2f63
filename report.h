/* report.h -- what cnnc prints about a compiled model: summary, layers, memory, JSON */
#ifndef CNNC_REPORT_H
#define CNNC_REPORT_H

#include "pipeline.h"

typedef struct Memory { /* bytes; exact */
	int64_t weights;    /* parameters and statistics */
	int64_t train;      /* weights, moments and the slab of the largest training entry; 0 without train_step */
	int64_t predict;    /* weights and the slab of predict */
	int64_t train_scratch, predict_scratch; /* more for each thread */
} Memory;

Memory report_memory(const IrModule *m);
void report_summary(const Pipeline *p, const char *path, FILE *f); /* two lines: layers, and the plan */
void report_layers(const Pipeline *p, FILE *f);
bool report_json(const Pipeline *p, FILE *f);                      /* of `cnnc check --json`; false: out of memory or f failed */
void report_dot(const Pipeline *p, FILE *f);                       /* the layers as a graph for Graphviz */

const char *text_count(Arena *a, int64_t n);   /* 683,329 */
const char *text_bytes(Arena *a, int64_t n);   /* 1.2 MB */
const char *text_flops(Arena *a, double n);    /* 60.1 MFLOP */
const char *text_time(Arena *a, double ms);    /* 12.3 ms, 1.2 s */

#endif

/* history.h -- results.csv as columns of numbers, and what they say about a training */
#ifndef CNNC_RUNTIME_HISTORY_H
#define CNNC_RUNTIME_HISTORY_H

#include <stdbool.h>
#include <stdio.h>
#include "runtime/status.h"

enum { RT_MAX_COLUMNS = 96 };

typedef struct RtHistory {
	int columns, rows;  /* a row an epoch */
	char *name[RT_MAX_COLUMNS];
	double *value;      /* [row][column]; NaN where the file says so */
	char *header;       /* owns the names */
} RtHistory;

/* csv: as rt_train_row writes it, NULL: no rows. Lines that are cut off are left out. */
RtStatus rt_history_new(RtHistory *h, const char *csv);
void rt_history_free(RtHistory *h);
int rt_history_column(const RtHistory *h, const char *name);          /* -1: none of that name */
double rt_history_at(const RtHistory *h, int row, int column);

/* ---- diagnose.c ---- */
enum { RT_MAX_FINDINGS = 12, RT_FINDING = 320 };

typedef struct RtFindings {
	int n;
	char text[RT_MAX_FINDINGS][RT_FINDING]; /* a sentence with its figures, and what helps */
} RtFindings;

void rt_find(RtFindings *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Overfitting, a loss that grows, a training that has not ended yet. */
void rt_diagnose_history(const RtHistory *h, RtFindings *f);
/* waited: share of the steps' time that went into waiting for samples. */
void rt_diagnose_waiting(double waited, int threads, RtFindings *f);
/* Of a validation: right of so many samples; counts[truth * classes + answer]. */
void rt_diagnose_classes(const long long *counts, int classes, const char *(*name)(void *arg, int), void *arg, RtFindings *f);

#endif

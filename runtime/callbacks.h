/* callbacks.h -- what happens at the end of an epoch because the model file asks for it: Keras' callbacks
 *
 * EarlyStopping, ModelCheckpoint, ReduceLROnPlateau, CSVLogger; TerminateOnNaN is always on, in the loop itself.
 * All state goes into the checkpoint, so that a resumed run decides as one that was never stopped.
 */
#ifndef CNNC_RUNTIME_CALLBACKS_H
#define CNNC_RUNTIME_CALLBACKS_H

#include <jansson.h>
#include <stdbool.h>
#include "runtime/call.h"
#include "runtime/config.h"
#include "runtime/progress.h"
#include "runtime/safetensors.h"

typedef struct RtCallbacks RtCallbacks;
typedef char RtKeptName[300]; /* "callback.0/conv2d.kernel" */

typedef struct RtEpochEnd {
	int64_t epoch;      /* counts from 0 */
	const RtShown *log; /* loss, accuracy, …, val_loss, …, learning_rate */
	int nlog;
	RtInstance *in;
	const char *const *meta; /* for weight files */
	float *lr;               /* ReduceLROnPlateau lowers it */
	bool *stop;              /* EarlyStopping sets it */
	FILE *say;               /* messages of verbose callbacks and warnings */
} RtEpochEnd;

/* Reads `section`.* ("train.callbacks"); files are relative to `folder`, which must outlive it. Out of range values: RT_USAGE. */
RtStatus rt_callbacks_new(const RtConfig *config, const char *section, const char *folder, RtCallbacks **out);
void rt_callbacks_free(RtCallbacks *c);
/* A file that can't be written is a warning; an unknown name in a file path is RT_USAGE. */
RtStatus rt_callbacks_epoch_end(RtCallbacks *c, const RtEpochEnd *e);
/* restore_best_weights: puts them back; says whether there were any. */
bool rt_callbacks_train_end(RtCallbacks *c, RtInstance *in, FILE *say);

json_t *rt_callbacks_state(const RtCallbacks *c);
/* Copies of weights that belong to the state: fills up to `room` entries and their names, returns how many there are.
 */
int rt_callbacks_tensors(const RtCallbacks *c, const RtInstance *in, RtStTensor *out, RtKeptName *names, int room);
RtStatus rt_callbacks_restore(RtCallbacks *c, const json_t *state, const RtSafetensors *st, const RtInstance *in);

/* Keras' `mode`: "auto" is more-is-better for everything but losses, errors and crossentropies. */
bool rt_more_is_better(const char *monitor, const char *mode);
/* Fills {epoch:02d} and {val_loss:.2f}; epoch counts from 1 there. */
RtStatus rt_format_path(char *out, size_t size, const char *pattern, int64_t epoch, const RtShown *log, int n);
/* Doubles in JSON without loss: their bits as 16 hexadecimal digits. */
json_t *rt_json_double(double v);
double rt_double_of_json(const json_t *j, double otherwise);

#endif

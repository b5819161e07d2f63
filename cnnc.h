/* cnnc.h -- compile a neural network from its model file and run it, in this process
 *
 *   CnncModel *m = cnnc_load("model.yaml", NULL);
 *   if (!m) { puts(cnnc_error()); … }
 *   cnnc_init_weights(m, 1);
 *   for (…) cnnc_train_step(m, x, y, n, 1e-3, &loss);
 *   cnnc_predict(m, x, n, probability);
 *   cnnc_save_weights(m, "w.safetensors");
 *   cnnc_free(m);
 *
 * Functions that can fail return false or NULL, and cnnc_error() of the same thread is one sentence or the listing of the model
 * file's errors. A model belongs to one thread at a time; different models may be used at once. Arrays are the caller's, dense,
 * row-major, native byte order; nothing keeps a pointer to them after the call. The library prints nothing.
 */
#ifndef CNNC_H
#define CNNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CnncModel CnncModel;

typedef struct CnncOptions {
	const char *cpu;             /* NULL: as the model file says, else this machine's; "x86-64-v3" … */
	int threads;                 /* 0: the CPUs of this process */
	const char *const *define;   /* fields to override, "data.batch_size=8" …, or NULL */
	int ndefines;
} CnncOptions;

typedef enum CnncDType { CNNC_F32, CNNC_F64, CNNC_I32, CNNC_U32, CNNC_U8, CNNC_BOOL } CnncDType;

enum { CNNC_MAX_RANK = 6 };

typedef struct CnncArray {       /* what a port or tensor looks like; strings live as long as the model */
	const char *name;
	CnncDType dtype;
	int rank;
	int64_t dim[CNNC_MAX_RANK];  /* 0 as dim[0]: the number of samples */
	size_t bytes;                /* of a sample (ports), of the whole (tensors) */
} CnncArray;

/* ---- life ---- */
/* Reads and compiles a model file. options: NULL is all defaults. All weights are zero until they are made or
 * loaded, but for a model file that names a file of them (model.weights). */
CnncModel *cnnc_load(const char *path, const CnncOptions *options);
/* The same from text; `name` stands for the path in messages. */
CnncModel *cnnc_load_text(const char *name, const char *yaml, const CnncOptions *options);
void cnnc_free(CnncModel *m); /* NULL is fine */
/* What went wrong last in this thread; valid until the next call that fails. */
const char *cnnc_error(void);
const char *cnnc_version(void);

/* ---- weights: parameters and running statistics under Keras' names ---- */
/* Fills them by the model's initializers, a pure function of model and seed; the optimizer starts over. */
void cnnc_init_weights(CnncModel *m, uint64_t seed);
/* safetensors; names and shapes must agree one to one, else false and nothing to rely on was changed. */
bool cnnc_load_weights(CnncModel *m, const char *path);
/* Written to a new file that replaces `path` when it is complete. A tensor that is not finite is refused. */
bool cnnc_save_weights(const CnncModel *m, const char *path);

/* ---- running: n samples, 1 … cnnc_max_batch for training; any n > 0 for predicting ---- */
/* x: the input port of the model (cnnc_input 0), n samples. out: n samples of its first output. */
bool cnnc_predict(CnncModel *m, const void *x, int64_t n, void *out);
/* One step of the model's optimizer on n samples: y is input port 1 of train_step. loss may be NULL; it is the mean over the
 * samples, regularizers included. False without a train section, and when the loss is not finite: the weights are then as before. */
bool cnnc_train_step(CnncModel *m, const void *x, const void *y, int64_t n, double learning_rate, double *loss);

/* ---- looking inside ---- */
int64_t cnnc_max_batch(const CnncModel *m);
bool cnnc_trains(const CnncModel *m);                          /* has cnnc_train_step */
/* Ports by number; false when there are fewer. Inputs are x and, for models that train, y. */
bool cnnc_input(const CnncModel *m, int i, CnncArray *out);
bool cnnc_output(const CnncModel *m, int i, CnncArray *out);
/* Tensors: weights, statistics, and the optimizer's moments. */
int cnnc_ntensors(const CnncModel *m);
bool cnnc_tensor(const CnncModel *m, int i, CnncArray *out);
/* Copies a tensor out or in; `bytes` must be the tensor's size. False for an unknown name or another size. */
bool cnnc_get(const CnncModel *m, const char *tensor, void *data, size_t bytes);
bool cnnc_set(CnncModel *m, const char *tensor, const void *data, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif

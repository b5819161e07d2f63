/* weight_file.h -- files of weights of other programs: one form, one reader a format
 *
 * Whatever the format (HDF5 and archives of Keras, NumPy's .npz, safetensors), an open WeightFile is a table of tensors: name,
 * type, shape, bytes. A reader takes (pointer, length), opens no file and trusts nothing in it. All readers but safetensors run in a
 * process of their own, with limits of memory, time and output, and write safetensors into a file without a name, which is
 * mapped here: a mistake in a library can end that process, not this one.
 *
 * Names are paths with dots, `layer.kernel`; variables that Keras 3 counts are `layer.0`, `layer.1` …
 */
#ifndef CNNC_FRONTEND_WEIGHT_FILE_H
#define CNNC_FRONTEND_WEIGHT_FILE_H

#include "ir/diag.h"
#include "runtime/safetensors.h"

enum { WEIGHT_MAX_TENSORS = 100000, WEIGHT_MAX_NAME = 1024 };

typedef struct WeightFile {
	const char *format;     /* "Keras HDF5" */
	RtSafetensors st;
	void *map;
	size_t length;
} WeightFile;

/* names_only: the bytes of tensors are not read (a safetensors file has them all the same). False: reported at `at`. */
bool weight_file_open(const char *path, bool names_only, Loc at, Arena *a, Diag *d, WeightFile *out);
void weight_file_close(WeightFile *f);

/* ---- readers ---- */
typedef struct WeightIn {
	Arena *arena;
	const unsigned char *bytes;
	size_t length;
	RtStTensor *tensor;     /* what `list` found; without data */
	int n, room;
	void *state;            /* of the reader */
	bool (*put)(struct WeightIn *in, const void *bytes, size_t n); /* takes the bytes of a tensor, in order */
	int fd;                 /* of put */
	char why[512];          /* what is wrong, one sentence */
} WeightIn;

typedef struct WeightReader {
	const char *format;
	bool (*claims)(const unsigned char *bytes, size_t length);
	bool (*list)(WeightIn *in);        /* all tensors, by weight_add */
	bool (*read)(WeightIn *in, int i); /* the bytes of tensor i, by in->put */
	void (*close)(WeightIn *in);       /* after list, whether that failed or not */
} WeightReader;

extern const WeightReader weight_h5, weight_npz, weight_keras;

bool weight_fail(WeightIn *in, const char *fmt, ...) CNNC_PRINTF(2, 3); /* false */
/* One more tensor; its shape is checked. False: in->why. */
bool weight_add(WeightIn *in, const char *name, RtStDType dtype, int rank, const int64_t *dim);
/* out: the elements of `in`, an array of shape dim, with axes in the order perm: out's axis k is in's axis perm[k]. */
void weight_permute(void *out, const void *in, size_t element, int rank, const int64_t *dim, const int *perm);

#endif

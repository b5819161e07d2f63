/* tiny_model.h -- a model written by hand against runtime/model.h, for tests of the runtime without the compiler
 *
 * Logistic regression on 4 numbers with momentum SGD and a little input noise keyed by (seed, sample, pass). train_step
 * and evaluate take arrays; predict takes 2x2 grey pictures; predict_raw takes arrays.
 */
#ifndef CNNC_TESTS_TINY_MODEL_H
#define CNNC_TESTS_TINY_MODEL_H

#include "runtime/model.h"

extern const RtModel tiny_model;

/* Writes x.npy (n, 4) and y.npy (n, 1) of a noisy linear rule into the working directory. */
void tiny_data(const char *x, const char *y, int n, unsigned seed);
/* Makes a fresh folder, which goes with the process, and goes there; tiny_folder also writes data. Once a test. */
void tiny_empty_folder(void);
void tiny_folder(void);
/* Runs a program's main with arguments up to NULL; stdout and stderr go to the files out and err. Returns the exit
 * code. */
int tiny_run(int (*program)(const RtModel *, int, char **), const char *name, ...);
/* Whole text of a file, good until the fourth call after; "" if it isn't there. */
char *tiny_text(const char *path);

#endif

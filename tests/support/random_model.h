/* random_model.h -- valid model files from a seed
 *
 * The same seed gives the same text on every machine: arrays or pictures, a graph of up to a dozen layers of all kinds
 * with odd sizes, a loss that fits its end, an optimizer, metrics. Small enough that the interpreter runs a batch in a
 * moment.
 */
#ifndef CNNC_TESTS_RANDOM_MODEL_H
#define CNNC_TESTS_RANDOM_MODEL_H

#include <stdint.h>

/* *batch: samples that it is compiled for. The caller frees the text. */
char *random_model(uint64_t seed, int *batch);

#endif

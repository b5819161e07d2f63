/* bundle.h -- weights appended to a predictor executable, so that one file is all to copy
 *
 * Layout: the program, padding to 64 bytes, a safetensors file, a trailer of 40 bytes (magic, place, length,
 * checksums).
 */
#ifndef CNNC_RUNTIME_BUNDLE_H
#define CNNC_RUNTIME_BUNDLE_H

#include <stddef.h>
#include "runtime/status.h"

typedef struct RtBundle {
	void *map; /* the whole file, read-only; NULL: it holds no weights */
	size_t mapped;
	const unsigned char *weights; /* safetensors bytes */
	size_t length;
} RtBundle;

/* Looks for weights in `program`. A trailer whose checksum is wrong: RT_BAD_WEIGHTS. */
RtStatus rt_bundle_open(const char *program, RtBundle *out);
void rt_bundle_close(RtBundle *b);
/* Puts the file `weights` into `program` (in place of those it holds): new file, same mode, rename. The program must
 * contain `model_hash`, that is, be made from the same model; otherwise RT_BAD_WEIGHTS. */
RtStatus rt_bundle_write(const char *program, const char *weights, const unsigned char model_hash[32]);

#endif

/* checkpoint.h -- checkpoint files: tensors and a JSON state, checksummed, two generations kept
 *
 * The file is a valid safetensors file. Metadata "cnnc.state" holds the caller's JSON, "cnnc.crc" the CRC-32C of each
 * tensor, "cnnc.generation" a number that grows; the last tensor, "cnnc.end", is the CRC-32C of all bytes before it and
 * its complement. Files checkpoint-a and checkpoint-b take turns, so that one good generation is always on the disk.
 */
#ifndef CNNC_RUNTIME_CHECKPOINT_H
#define CNNC_RUNTIME_CHECKPOINT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/safetensors.h"
#include "runtime/status.h"

typedef struct RtCheckpoint {
	unsigned char *bytes;
	size_t length;
	RtSafetensors st;
	json_t *state; /* an object */
	uint64_t generation;
} RtCheckpoint;

/* Writes generation `generation` into DIR: checkpoint-a if it is odd, -b if even. state: JSON text. */
RtStatus rt_checkpoint_write(const char *dir, uint64_t generation, const RtStTensor *tensor, int n, const char *state);
/* Reads and validates one file. RT_BAD_WEIGHTS with the reason when anything is amiss. */
RtStatus rt_checkpoint_read(const char *path, RtCheckpoint *out);
/* The newest generation in DIR that validates. Where a file had to be passed over, `note` (of `size`) says which and
 * why, else it is "". None there at all: RT_OK with out->bytes NULL. Files, but none valid: RT_BAD_WEIGHTS. */
RtStatus rt_checkpoint_newest(const char *dir, RtCheckpoint *out, char *note, size_t size);
void rt_checkpoint_free(RtCheckpoint *c);

#endif

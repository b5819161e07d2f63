/* digest.h -- SHA-256 (FIPS 180-4) over bytes given piece by piece */
#ifndef CNNC_CODEGEN_DIGEST_H
#define CNNC_CODEGEN_DIGEST_H

#include <stddef.h>
#include <stdint.h>

typedef struct Digest {
	uint32_t h[8];
	uint64_t bytes;
	unsigned char block[64];
} Digest;

void digest_begin(Digest *d);
void digest_add(Digest *d, const void *bytes, size_t n);
void digest_text(Digest *d, const char *text); /* with its terminator, so that texts do not run together */
void digest_end(Digest *d, unsigned char out[32]);

#endif

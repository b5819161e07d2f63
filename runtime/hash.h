/* hash.h -- SHA-256 (FIPS 180-4): pure, libc only, so the compiler uses it too */
#ifndef CNNC_RUNTIME_HASH_H
#define CNNC_RUNTIME_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct RtHash {
	uint32_t state[8];
	uint64_t length; /* bytes so far */
	unsigned char block[64];
} RtHash;

void rt_hash_start(RtHash *h);
void rt_hash_add(RtHash *h, const void *bytes, size_t n);
void rt_hash_end(RtHash *h, unsigned char out[32]);
void rt_hash(const void *bytes, size_t n, unsigned char out[32]);

#endif

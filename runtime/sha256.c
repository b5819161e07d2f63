/* sha256.c -- SHA-256 as FIPS 180-4 defines it; plain C, for identities and not for speed */
#include <string.h>
#include "runtime/hash.h"

static const uint32_t round_constant[64] = {
	/* cube roots of the first 64 primes, fractional bits */
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, int by)
{
	return x >> by | x << (32 - by);
}

static void schedule(uint32_t w[64], const unsigned char *block)
{
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
		       (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
	for (int i = 16; i < 64; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];
		w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
		       (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
	}
}

/* One round; the variables of the next round are these, renamed by one place. */
#define ROUND(a, b, c, d, e, f, g, h, i)                                                                               \
	do {                                                                                                           \
		h += (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (g ^ (e & (f ^ g))) + round_constant[i] + w[i];  \
		d += h;                                                                                                \
		h += (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) | (c & (a | b)));                       \
	} while (0)

static void compress(uint32_t state[8], const unsigned char *block)
{
	uint32_t w[64], s[8];
	schedule(w, block);
	memcpy(s, state, sizeof s);
	for (int i = 0; i < 64; i += 8) {
		ROUND(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], i);
		ROUND(s[7], s[0], s[1], s[2], s[3], s[4], s[5], s[6], i + 1);
		ROUND(s[6], s[7], s[0], s[1], s[2], s[3], s[4], s[5], i + 2);
		ROUND(s[5], s[6], s[7], s[0], s[1], s[2], s[3], s[4], i + 3);
		ROUND(s[4], s[5], s[6], s[7], s[0], s[1], s[2], s[3], i + 4);
		ROUND(s[3], s[4], s[5], s[6], s[7], s[0], s[1], s[2], i + 5);
		ROUND(s[2], s[3], s[4], s[5], s[6], s[7], s[0], s[1], i + 6);
		ROUND(s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[0], i + 7);
	}
	for (int i = 0; i < 8; i++)
		state[i] += s[i];
}

void rt_hash_start(RtHash *h)
{
	static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
	memcpy(h->state, first, sizeof first);
	h->length = 0;
}

void rt_hash_add(RtHash *h, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	while (n) {
		size_t at = h->length % 64, take = 64 - at < n ? 64 - at : n;
		memcpy(h->block + at, p, take);
		h->length += take;
		p += take;
		n -= take;
		if (at + take == 64)
			compress(h->state, h->block);
	}
}

void rt_hash_end(RtHash *h, unsigned char out[32])
{
	unsigned char tail[72] = {0x80};
	uint64_t bits = h->length * 8;
	size_t zeros = (119 - h->length % 64) % 64; /* so that tail ends a block */
	for (int i = 0; i < 8; i++)
		tail[1 + zeros + i] = (unsigned char)(bits >> (56 - 8 * i));
	rt_hash_add(h, tail, 1 + zeros + 8);
	for (int i = 0; i < 32; i++)
		out[i] = (unsigned char)(h->state[i / 4] >> (24 - 8 * (i % 4)));
}

void rt_hash(const void *bytes, size_t n, unsigned char out[32])
{
	RtHash h;
	rt_hash_start(&h);
	rt_hash_add(&h, bytes, n);
	rt_hash_end(&h, out);
}

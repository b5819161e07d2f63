/* philox.c -- the counter-based random generator: a pure function of key and counter
 *
 * Philox4x32-10 of Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11; constants from the
 * paper. The same function is emitted into programs, so a draw is the same wherever it is computed.
 */
#include "ir/ir.h"

uint32_t philox(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, int word)
{
	uint32_t c[4] = { c0, c1, c2, c3 };
	uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
	for (int round = 0; round < 10; round++) {
		uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
		uint32_t next[4] = {
			(uint32_t)(p1 >> 32) ^ c[1] ^ key[0], (uint32_t)p1,
			(uint32_t)(p0 >> 32) ^ c[3] ^ key[1], (uint32_t)p0,
		};
		for (int i = 0; i < 4; i++)
			c[i] = next[i];
		key[0] += 0x9E3779B9u; /* golden ratio, sqrt(3) - 1: Weyl sequence of the key */
		key[1] += 0xBB67AE85u;
	}
	return c[word & 3];
}

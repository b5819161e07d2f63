/* random.c -- Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC'11) and permutations drawn with it */
#include "runtime/random.h"

void rt_philox(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t out[4])
{
	uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
	for (int round = 0; round < 10; round++) {
		uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
		c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
		c1 = (uint32_t)p1;
		c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
		c3 = (uint32_t)p0;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
}

/* Uniform in 0 … bound-1 by Lemire's multiplication ("Fast random integer generation in an interval", 2019); of the
 * rare words that would favour some values, the next `try` is taken instead. */
static uint32_t below(uint32_t bound, uint64_t seed, uint32_t draw, uint32_t pass, uint32_t stream, uint32_t first)
{
	uint64_t product = (uint64_t)first * bound;
	uint32_t floor = -bound % bound, word[4];
	for (uint32_t try = 1; (uint32_t)product < floor; try++) {
		rt_philox(seed, draw, try, pass, stream, word);
		product = (uint64_t)word[0] * bound;
	}
	return (uint32_t)(product >> 32);
}

/* Fisher-Yates from the end. Four draws come from one block: draw i is word i % 4 of block i / 4. */
void rt_permutation(uint64_t seed, uint32_t pass, uint32_t stream, uint32_t n, uint32_t *out)
{
	uint32_t word[4];
	for (uint32_t i = 0; i < n; i++)
		out[i] = i;
	for (uint32_t i = 0; i + 1 < n; i++) {
		if (i % 4 == 0)
			rt_philox(seed, i / 4, 0, pass, stream, word);
		uint32_t last = n - 1 - i, other = below(last + 1, seed, i, pass, stream, word[i % 4]);
		uint32_t swap = out[last];
		out[last] = out[other];
		out[other] = swap;
	}
}

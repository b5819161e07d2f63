/* random.c -- Philox against published vectors and the compiler's, permutations, SHA-256 against published vectors */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ir/ir.h"
#include "runtime/hash.h"
#include "runtime/random.h"
#include "tests/support/suite.h"

/* The known answers of Random123 for philox4x32-10. */
START_TEST(philox_vectors)
{
	static const struct {
		uint32_t counter[4];
		uint64_t key;
		uint32_t out[4];
	} known[] = {
		{{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{{~0u, ~0u, ~0u, ~0u}, ~UINT64_C(0), {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
		 0x299f31d0a4093822,
		 {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	};
	for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
		const uint32_t *c = known[k].counter;
		uint32_t out[4];
		rt_philox(known[k].key, c[0], c[1], c[2], c[3], out);
		for (int i = 0; i < 4; i++) {
			ck_assert_uint_eq(out[i], known[k].out[i]);
			ck_assert_uint_eq(philox(known[k].key, c[0], c[1], c[2], c[3], i), out[i]);
		}
	}
}
END_TEST

START_TEST(permutations)
{
	static const uint32_t sizes[] = {0, 1, 2, 3, 5, 100, 4097};
	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		uint32_t n = sizes[k], *a = calloc(n + 1, sizeof *a), *b = calloc(n + 1, sizeof *b);
		unsigned char *seen = calloc(n + 1, 1);
		rt_permutation(5, 2, RT_STREAM_ORDER, n, a);
		rt_permutation(5, 2, RT_STREAM_ORDER, n, b);
		ck_assert_mem_eq(a, b, n * sizeof *a + 1);
		for (uint32_t i = 0; i < n; i++) {
			ck_assert_uint_lt(a[i], n);
			ck_assert_int_eq(seen[a[i]]++, 0);
		}
		rt_permutation(5, 3, RT_STREAM_ORDER, n, b);
		ck_assert(n < 100 || memcmp(a, b, n * sizeof *a));
		rt_permutation(6, 2, RT_STREAM_ORDER, n, b);
		ck_assert(n < 100 || memcmp(a, b, n * sizeof *a));
		free(a);
		free(b);
		free(seen);
	}
}
END_TEST

/* Each of the 24 orders of 4 comes up about as often: chi-square of 23 degrees, fixed draws, limit of 1 in 10,000. */
START_TEST(permutations_are_uniform)
{
	enum { DRAWS = 24000 };
	int count[256] = {0};
	double chi = 0;
	int kinds = 0;
	for (uint32_t pass = 0; pass < DRAWS; pass++) {
		uint32_t p[4];
		rt_permutation(1, pass, RT_STREAM_ORDER, 4, p);
		count[p[0] | p[1] << 2 | p[2] << 4 | p[3] << 6]++;
	}
	for (int i = 0; i < 256; i++)
		if (count[i]) {
			kinds++;
			chi += (count[i] - DRAWS / 24.0) * (count[i] - DRAWS / 24.0) / (DRAWS / 24.0);
		}
	ck_assert_int_eq(kinds, 24);
	ck_assert_msg(chi < 56, "chi-square %.1f", chi);
}
END_TEST

START_TEST(uniforms)
{
	ck_assert(rt_uniform(0) == 0 && rt_uniform(UINT32_MAX) < 1);
	ck_assert(rt_uniform53(0, 0) == 0 && rt_uniform53(UINT32_MAX, UINT32_MAX) < 1);
}
END_TEST

/* FIPS 180-4 examples, and a million times 'a' in pieces of every size. */
START_TEST(sha256)
{
	static const struct {
		const char *text, *hash;
	} known[] = {
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
	};
	unsigned char out[32];
	char text[65], a[1000];
	for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
		rt_hash(known[k].text, strlen(known[k].text), out);
		for (int i = 0; i < 32; i++)
			sprintf(text + 2 * i, "%02x", out[i]);
		ck_assert_str_eq(text, known[k].hash);
	}
	RtHash h;
	rt_hash_start(&h);
	memset(a, 'a', sizeof a);
	for (size_t left = 1000000, n = 1; left; left -= n, n = n % 997 + 1) {
		n = n < left ? n : left;
		rt_hash_add(&h, a, n);
	}
	rt_hash_end(&h, out);
	for (int i = 0; i < 32; i++)
		sprintf(text + 2 * i, "%02x", out[i]);
	ck_assert_str_eq(text, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("random");
	TCase *t = tcase_create("random");
	tcase_add_test(t, philox_vectors);
	tcase_add_test(t, permutations);
	tcase_add_test(t, permutations_are_uniform);
	tcase_add_test(t, uniforms);
	tcase_add_test(t, sha256);
	suite_add_tcase(suite, t);
	return suite_run(suite);
}

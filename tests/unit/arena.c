/* arena.c -- tests of ir/arena.c and ir/names.c: zeroed, aligned, disjoint, reusable memory; the map from names */
#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "ir/arena.h"
#include "ir/names.h"
#include "tests/support/suite.h"

static bool all_zero(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i])
			return false;
	}
	return true;
}

START_TEST(pieces_are_zeroed_aligned_and_disjoint)
{
	enum { PIECES = 2000 };
	Arena *a = arena_new();
	unsigned char *piece[PIECES];
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < PIECES; i++) {
			size_t size = i % 97 * (i % 13);
			piece[i] = arena_alloc(a, size, 1);
			ck_assert_uint_eq((uintptr_t)piece[i] % 16, 0);
			ck_assert(all_zero(piece[i], size));
			memset(piece[i], (int)i + 1, size);
		}
		for (size_t i = 0; i < PIECES; i++) {
			for (size_t k = 0; k < i % 97 * (i % 13); k++)
				ck_assert_uint_eq(piece[i][k], (unsigned char)(i + 1));
		}
		arena_reset(a); /* the second round meets dirty memory */
	}
	arena_free(a);
}
END_TEST

START_TEST(large_pieces_and_empty_ones)
{
	Arena *a = arena_new();
	unsigned char *large = arena_alloc(a, 5 << 20, 1), *none = arena_alloc(a, 0, 8), *other = arena_alloc(a, 8, 0);
	ck_assert(all_zero(large, 5 << 20));
	ck_assert_ptr_nonnull(none);
	ck_assert_ptr_ne(none, other);
	arena_free(a);
	arena_free(NULL);
}
END_TEST

START_TEST(grow_keeps_the_front_and_zeroes_the_tail)
{
	Arena *a = arena_new();
	int *v = NULL;
	size_t n = 0;
	for (size_t wide = 1; wide < 5000; wide *= 2) {
		v = arena_grow(a, v, n, wide, sizeof *v);
		for (size_t i = n; i < wide; i++) {
			ck_assert_int_eq(v[i], 0);
			v[i] = (int)i;
		}
		n = wide;
	}
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(v[i], (int)i);
	v = arena_grow(a, v, n, 2, sizeof *v);
	ck_assert_int_eq(v[1], 1);
	arena_free(a);
}
END_TEST

START_TEST(text)
{
	Arena *a = arena_new();
	ck_assert_str_eq(arena_strdup(a, "channels"), "channels");
	ck_assert_str_eq(arena_strndup(a, "channels", 4), "chan");
	ck_assert_str_eq(arena_strndup(a, "ab", 10), "ab");
	ck_assert_str_eq(arena_printf(a, "%d x %s", 3, "y"), "3 x y");
	char *wide = arena_printf(a, "%100000d", 7);
	ck_assert_uint_eq(strlen(wide), 100000);
	arena_free(a);
}
END_TEST

START_TEST(too_much_ends_the_process)
{
	Arena *a = arena_new();
	arena_alloc(a, SIZE_MAX / 2, 3);
}
END_TEST

START_TEST(names)
{
	Arena *a = arena_new();
	Names *t = names_new(a);
	int value[1000];
	for (int i = 0; i < 1000; i++)
		ck_assert_ptr_null(names_add(t, arena_printf(a, "layer_%d", i), &value[i]));
	for (int i = 0; i < 1000; i++)
		ck_assert_ptr_eq(names_get(t, arena_printf(a, "layer_%d", i)), &value[i]);
	ck_assert_ptr_null(names_get(t, "layer_1000"));
	ck_assert_ptr_null(names_get(t, ""));
	ck_assert_ptr_eq(names_add(t, "layer_5", &value[6]), &value[5]);
	ck_assert_ptr_eq(names_get(t, "layer_5"), &value[5]);
	arena_free(a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("arena");
	TCase *c = tcase_create("arena");
	tcase_add_test(c, pieces_are_zeroed_aligned_and_disjoint);
	tcase_add_test(c, large_pieces_and_empty_ones);
	tcase_add_test(c, grow_keeps_the_front_and_zeroes_the_tail);
	tcase_add_test(c, text);
	tcase_add_exit_test(c, too_much_ends_the_process, 3);
	tcase_add_test(c, names);
	suite_add_tcase(s, c);
	return suite_run(s);
}

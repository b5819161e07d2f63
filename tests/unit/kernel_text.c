/* kernel_text.c -- programs as text: printing and parsing are inverse, and no text does harm */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "tests/numeric/random_graph.h"
#include "tests/numeric/run_kernels.h"
#include "tests/support/suite.h"

static char *text_of(const KProgram *p, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);
	k_print_program(p, f);
	fclose(f);
	return text;
}

static IrModule *program(int seed)
{
	IrModule *m = random_graph((uint64_t)seed, 3 + seed % 30);
	kernels_make(m, seed % 2 ? "plan" : "fuse", "random graph");
	return m;
}

START_TEST(inverse)
{
	IrModule *m = program(_i);
	kernels_read_back(m, "random graph");
	ir_module_free(m);
}
END_TEST

static void spoil(char *text, size_t len, uint64_t *rng)
{
	static const char signs[] = "()[]{}+-*/=|@$#:,.\"\\ \n0129afnNtxN\377";
	for (uint64_t i = random_bits(rng) % 4 + 1; i > 0; i--) {
		const size_t at = random_bits(rng) % len;
		switch (random_bits(rng) % 3) {
		case 0: text[at] = signs[random_bits(rng) % sizeof signs]; break;
		case 1: memmove(text + at, text + at + 1, len - at - 1); break;
		default: {
			const size_t from = random_bits(rng) % len, n = random_bits(rng) % 40;
			memmove(text + at, text + from, n < len - (at > from ? at : from) ? n : 0);
		}
		}
	}
}

START_TEST(any_text_is_refused_or_sound)
{
	IrModule *m = program(_i);
	uint64_t rng = (uint64_t)_i;
	size_t len;
	char *text = text_of(m->program, &len), *bad = malloc(len);
	for (int i = 0; i < 60; i++) {
		Arena *a = arena_new();
		Diag *d = diag_new();
		memcpy(bad, text, len);
		spoil(bad, len, &rng);
		const KProgram *p = k_parse("text", bad, i % 8 ? len : random_bits(&rng) % len, a, d);
		ck_assert((p != NULL) == (diag_errors(d) == 0));
		diag_free(d);
		arena_free(a);
	}
	free(bad);
	free(text);
	ir_module_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("kernel_text");
	TCase *c = tcase_create("kernel_text");
	tcase_add_loop_test(c, inverse, 0, 60);
	tcase_add_loop_test(c, any_text_is_refused_or_sound, 0, 25);
	suite_add_tcase(s, c);
	return suite_run(s);
}

/* onnx_bytes.c -- bytes that call themselves ONNX: libFuzzer's target, and its seeds replayed with thousands of mutations
 *
 * Built by clang with -fsanitize=fuzzer -DCNNC_FUZZ this file is the fuzz target (tests/fuzz/run.sh); in the test suite its main
 * feeds every seed (graphs of libonnx-testdata and some of our own) cut short, with bits flipped, lengths changed and parts of
 * others inside. Whatever the bytes: an import or a located error, nothing outside the arena, in a bounded time.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "frontend/onnx.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	Arena *a = arena_new();
	Diag *d = diag_new();
	FeOnnx onnx;
	FeModel fe;
	if (fe_onnx_import("fuzz.onnx", data, size, NULL, NULL, 0, a, d, &onnx)) {
		if (fe_load_text("fuzz.yaml", onnx.text, onnx.length, NULL, 0, d, &fe))
			ir_module_free(fe.module);
	} else if (diag_errors(d) == 0) {
		abort(); /* refused without a word */
	}
	diag_free(d);
	arena_free(a);
	return 0;
}

#ifndef CNNC_FUZZ
static const char nodes[] = "/usr/share/libonnx-testdata/data/node";

typedef struct Seed { unsigned char *at; size_t n; } Seed;

static uint64_t next(uint64_t *state) /* splitmix64 */
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static Seed read_seed(const char *path)
{
	enum { MOST = 1 << 14 };
	Seed s = { malloc(MOST), 0 };
	FILE *f = fopen(path, "rb");
	if (f) {
		s.n = fread(s.at, 1, MOST, f);
		fclose(f);
	}
	return s;
}

static void mutate(Seed *s, size_t room, const Seed *other, uint64_t *rng)
{
	const int turns = 1 + (int)(next(rng) % 4);
	for (int i = 0; i < turns && s->n > 0; i++) {
		const size_t at = next(rng) % s->n;
		switch (next(rng) % 6) {
		case 0: s->at[at] ^= (unsigned char)(1u << next(rng) % 8); break;
		case 1: s->at[at] = (unsigned char)next(rng); break;
		case 2: s->at[at] = (unsigned char[]){ 0, 1, 127, 128, 255 }[next(rng) % 5]; break;
		case 3: s->n = at; break;
		case 4:
			if (s->n < room) {
				memmove(s->at + at + 1, s->at + at, s->n - at);
				s->n++;
			}
			break;
		default:
			if (other->n && at < other->n) {
				const size_t take = next(rng) % (other->n - at);
				memcpy(s->at + at, other->at + at, at + take < s->n ? take : s->n - at);
			}
		}
	}
}

START_TEST(mutations)
{
#ifdef __SANITIZE_ADDRESS__
	enum { ROUNDS = 1 };
#else
	enum { ROUNDS = 4 };
#endif
	struct dirent **list;
	uint64_t rng = 1;
	char path[512];
	const int n = scandir(nodes, &list, NULL, alphasort);
	Seed *seed = calloc((size_t)(n > 0 ? n : 0) + 1, sizeof *seed);
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof path, "%s/%s/model.onnx", nodes, list[i]->d_name);
		seed[i] = read_seed(path);
		free(list[i]);
	}
	for (int i = 0; i < n; i++) {
		for (int round = 0; round < ROUNDS; round++) {
			const size_t room = seed[i].n + 8;
			Seed s = { malloc(room + 1), seed[i].n };
			memcpy(s.at, seed[i].at, seed[i].n);
			mutate(&s, room, &seed[next(&rng) % (uint64_t)n], &rng);
			LLVMFuzzerTestOneInput(s.at, s.n);
			free(s.at);
		}
	}
	for (int i = 0; i < n; i++)
		free(seed[i].at);
	free(seed);
	if (n > 0)
		free(list);
}
END_TEST

/* Nested without end, and a shape that promises more than there is. */
START_TEST(bombs)
{
	unsigned char deep[4096], claim[64];
	size_t n = 0;
	/* field 7 (graph) of field 6 (g) of field 5 (attribute) of field 1 (node) …: every length ends where the bytes do */
	static const unsigned char tag[] = { 0x3a, 0x0a, 0x2a, 0x32 };
	for (size_t k = 0; n + 3 < sizeof deep; k++) {
		const size_t left = sizeof deep - n - 3;
		deep[n++] = k == 0 ? tag[0] : tag[1 + (k - 1) % 3];
		deep[n++] = (unsigned char)(128 | (left & 127));
		deep[n++] = (unsigned char)(left >> 7);
	}
	LLVMFuzzerTestOneInput(deep, n);
	/* graph { initializer { dims 2^40, float, name "w" } } */
	static const unsigned char bytes[] = { 0x3a, 0x0e, 0x2a, 0x0c, 0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0x10, 0x01, 0x42, 0x01, 'w' };
	memcpy(claim, bytes, sizeof bytes);
	LLVMFuzzerTestOneInput(claim, sizeof bytes);
	LLVMFuzzerTestOneInput(claim, 0);
}
END_TEST

/* Files beside the model: not outside its folder, not through links, not shorter than they say. */
static const char *location_problem(Arena *a, const char *folder, const char *location, int64_t offset)
{
	Diag *d = diag_new();
	const OnnxTensor t = { .name = "w", .type = ONNX_FLOAT, .rank = 1, .dim = { 4 }, .elems = 4, .location = location,
	                       .offset = offset, .length = -1 };
	const unsigned char *bytes = onnx_tensor_bytes(&t, arena_printf(a, "%s/model.onnx", folder), a, d);
	const char *said = bytes ? NULL : diag_errors(d) ? "refused" : "silent";
	diag_free(d);
	return said;
}

START_TEST(external)
{
	Arena *a = arena_new();
	char folder[] = "/tmp/cnnc-onnx-XXXXXX";
	ck_assert(mkdtemp(folder));
	const char *command = arena_printf(a, "cd %s && printf 0123456789abcdef >w.bin && ln -s w.bin link && cp w.bin two && ln two twin && "
	                                      "mkdir sub && cp w.bin sub && ln -s . here", folder);
	ck_assert_int_eq(system(command), 0);
	ck_assert_ptr_null(location_problem(a, folder, "w.bin", 0));
	ck_assert_ptr_null(location_problem(a, folder, "sub/w.bin", 0));
	static const char *const bad[] = { "../w.bin", "/etc/passwd", "link", "twin", "here/w.bin", "sub", "none", "sub/../../x", "" };
	for (size_t i = 0; i < COUNT(bad); i++)
		ck_assert_msg(location_problem(a, folder, bad[i], 0) && *location_problem(a, folder, bad[i], 0) == 'r', "%s", bad[i]);
	ck_assert_str_eq(location_problem(a, folder, "w.bin", 4), "refused");
	ck_assert_str_eq(location_problem(a, folder, "w.bin", INT64_MAX), "refused");
	ck_assert_int_eq(system(arena_printf(a, "rm -r %s", folder)), 0);
	arena_free(a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("onnx_bytes");
	TCase *t = tcase_create("bytes");
	tcase_add_test(t, mutations);
	tcase_add_test(t, bombs);
	tcase_add_test(t, external);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	const int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
#endif

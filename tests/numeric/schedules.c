/* schedules.c -- whatever schedule a file chooses, compiled programs give the same bits */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "passes/tile.h"
#include "tests/support/jit_check.h"
#include "tests/support/same_bits.h"
#include "tests/support/suite.h"

enum { GRAPHS = 15, MANY = 100000 };

/* Parameters after three steps; the caller frees them. */
static unsigned char *trained(uint64_t seed, const char *cpu, ScheduleFile *schedules, TileLog *log, size_t *bytes)
{
	Jitted j = jit_open_scheduled(random_graph(seed, 12), cpu, 2, schedules, log);
	IrModule *reference = jit_reference(random_graph(seed, 12));
	Arena *a = arena_new();
	IrEntry *e = ir_entry_find(reference, "train_step");
	Values v = random_values(a, e, 4, seed);
	unsigned char *params = jit_trained(&j, e, &v, 4, bytes);
	arena_free(a);
	jit_close(&j);
	ir_module_free(reference);
	return params;
}

/* Of each kernel the choice of that number, or its last: as text and back, as a file would hold it. */
static ScheduleFile *choices(const TileLog *log, int number, const char *target, Arena *a)
{
	ScheduleFile *s = schedule_new(a);
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	for (int i = 0; i < log->n; i++) {
		const TileKernel *k = &log->kernel[i];
		if (k->nchoices == 0) /* follows another kernel */
			continue;
		int c = number < k->nchoices ? number : k->nchoices - 1;
		schedule_put(s, &(ScheduleLine){.kernel = k->hash, .target = target, .version = CNNC_VERSION, .pass = TILE_PASS,
		                                .name = "a kernel", .sched = k->choice[c], .ns = 5});
	}
	schedule_print(s, f);
	fclose(f);
	Diag *d = diag_new();
	ScheduleFile *back = schedule_parse("test", text, n, a, d);
	ck_assert_ptr_nonnull(back);
	ck_assert_int_eq(back->n, s->n);
	for (int i = 0; i < back->n; i++)
		ck_assert(schedule_equal(&back->line[i]->sched, &s->line[i]->sched));
	diag_free(d);
	free(text);
	return back;
}

static void check_choices(uint64_t seed, const char *cpu)
{
	static const int number[] = {1, 2, 5, 11, MANY};
	Arena *a = arena_new();
	TileLog log = {.arena = a, .most = 400};
	size_t bytes, n;
	unsigned char *first = trained(seed, cpu, NULL, &log, &bytes);
	for (size_t i = 0; i < COUNT(number); i++) {
		ScheduleFile *s = choices(&log, number[i], cpu, a);
		unsigned char *other = trained(seed, cpu, s, NULL, &n);
		ck_assert_uint_eq(n, bytes);
		for (int l = 0; l < s->n; l++)
			ck_assert_msg(s->line[l]->used, "a kernel did not take its schedule");
		ck_assert_msg(!memcmp(first, other, n), "schedules %d of each kernel give other bits", number[i]);
		free(other);
	}
	free(first);
	arena_free(a);
}

START_TEST(bits_stay)
{
	check_choices((uint64_t)_i, _i % 3 == 2 || !cpu_runs("x86-64-v4") ? "x86-64-v3" : "x86-64-v4");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("schedules");
	TCase *t = tcase_create("random graphs");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, bits_stay, 0, GRAPHS);
	suite_add_tcase(s, t);
	return suite_run(s);
}

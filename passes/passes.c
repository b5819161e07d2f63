/* passes.c -- the runner: order, verification, dumps and times of the passes
 *
 * Everything that passes have in common is done here and nowhere else. Verification is always on: graphs are small.
 */
#include <string.h>
#include <time.h>
#include "passes/passes.h"

static const struct { const char *name; int level; PassFn *run; const char *doc; } passes[] = {
	{ "import", 0, NULL, "the module as the frontend built it" },
#define PASS(name, level, doc) { #name, level, pass_##name, doc },
#include "passes/passes.def"
};

/* ---- names ---- */
void passes_list(FILE *f)
{
	for (size_t i = 0; i < COUNT(passes); i++)
		fprintf(f, "%-10s %s\n", passes[i].name, passes[i].doc);
}

bool passes_known(const char *name)
{
	for (size_t i = 0; i < COUNT(passes); i++) {
		if (!strcmp(passes[i].name, name))
			return true;
	}
	return false;
}

/* True if `name` is one of the words of a comma-separated list. */
static bool listed(const char *list, const char *name)
{
	size_t len = strlen(name);
	while (list && *list) {
		size_t word = strcspn(list, ",");
		if (word == len && !memcmp(list, name, len))
			return true;
		list += word + (list[word] == ',');
	}
	return false;
}

/* ---- running ---- */
static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static bool verify(const IrModule *m, Diag *d)
{
	return ir_verify(m, d) && (!m->program || k_verify(m->program, d));
}

/* Several dumps in one file are told apart by a comment; one alone is text that parses back as it is. */
static void dump(const IrModule *m, const PassCx *cx, const char *name)
{
	if (strchr(cx->dump, ','))
		fprintf(cx->out, "# after %s\n", name);
	if (m->program)
		k_print_program(m->program, cx->out);
	else
		ir_print(m, cx->out);
}

static void print_times(const double *ms, size_t n, FILE *f)
{
	double total = 0.0;
	for (size_t i = 1; i < n; i++) {
		fprintf(f, "%-10s %10.3f ms\n", passes[i].name, ms[i]);
		total += ms[i];
	}
	fprintf(f, "%-10s %10.3f ms\n", "total", total);
}

bool passes_run(IrModule *m, PassCx *cx, bool *stopped)
{
	double ms[COUNT(passes)] = { 0 };
	size_t done = 0;
	*stopped = false;
	while (done < COUNT(passes) && !*stopped) {
		double start = now_ms();
		if (passes[done].run && !passes[done].run(m, cx))
			return false;
		ms[done] = now_ms() - start;
		arena_reset(cx->scratch);
		if (!verify(m, cx->diag)) {
			diag_note(cx->diag, "=", "after pass %s", passes[done].name);
			return false;
		}
		if (listed(cx->dump, passes[done].name))
			dump(m, cx, passes[done].name);
		*stopped = cx->stop_after && !strcmp(cx->stop_after, passes[done].name);
		done++;
	}
	if (cx->time_passes)
		print_times(ms, done, cx->out);
	return true;
}

/* form_check.c -- one small graph in the form that the passes give it: see form_check.h */
#include "tests/support/form_check.h"
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "tests/support/jit_check.h"
#include "tests/support/same_bits.h"

static void integers(double *v, int64_t n, unsigned seed)
{
	for (int64_t i = 0; i < n; i++) {
		seed = seed * 1664525u + 1013904223u;
		v[i] = (int)(seed >> 24) % 5 - 2;
	}
}

static Values values(Arena *a, const IrModule *m, const IrEntry *e, int64_t n, bool whole)
{
	Values v = random_values(a, e, n, 5);
	int i = 0;
	for (const IrState *s = m->state; s && whole; s = s->next, i++)
		integers(v.state[i], ir_elems(&s->type, 1), (unsigned)i + 1);
	for (i = 0; i < e->nport && whole; i++)
		integers(v.in[i], ir_elems(&e->port[i].type, n), (unsigned)i + 9);
	return v;
}

void form_equals(const FormCheck *c)
{
	static const struct { const char *cpu; int threads; } run[] = {{"native", 1}, {"native", 3}, {"x86-64-v3", 2}};
	IrModule *m = c->build(c->what);
	const IrEntry *e = ir_entry_find(m, "predict");
	Arena *a = arena_new();
	IrScalars s = {.lr = 0};
	Values v = values(a, m, e, c->n, true);
	ir_eval(e, c->n, &s, v.state, (const double *const *)v.in, v.out);
	for (size_t i = 0; i < COUNT(run); i++) {
		Jitted j = jit_open(c->build(c->what), run[i].cpu, run[i].threads);
		jit_check(&j, e, &v, c->n, &s, 0);
		if (c->holds && strcmp(run[i].cpu, "x86-64-v3") == 0)
			ck_assert_msg(c->holds(j.module, c->what), "%s: another form than the one meant", c->name);
		jit_close(&j);
	}
	arena_free(a);
	ir_module_free(m);
}

static unsigned char *results(const void *check, const char *cpu, int threads, size_t *bytes)
{
	const FormCheck *c = check;
	IrModule *m = c->build(c->what);
	const IrEntry *e = ir_entry_find(m, "predict");
	Arena *a = arena_new();
	Values v = values(a, m, e, c->n, false);
	Jitted j = jit_open(c->build(c->what), cpu, threads);
	unsigned char *out = jit_outputs(&j, e, &v, c->n, &(IrScalars){.lr = 0}, bytes);
	jit_close(&j);
	arena_free(a);
	ir_module_free(m);
	return out;
}

void form_same_bits(const FormCheck *c)
{
	same_bits(c->name, c, results);
}

void form_same_alone(const FormCheck *c)
{
	IrModule *m = c->build(c->what);
	const IrEntry *e = ir_entry_find(m, "predict");
	Arena *a = arena_new();
	Values v = values(a, m, e, c->n, false);
	Jitted j = jit_open(c->build(c->what), "native", 2);
	jit_same_bits(&j, e, &v, c->n, &(IrScalars){.lr = 0});
	jit_close(&j);
	arena_free(a);
	ir_module_free(m);
}

bool kernels_say(const IrModule *compiled, const char *what)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	ck_assert_ptr_nonnull(f);
	k_print_program(compiled->program, f);
	ck_assert_int_eq(fclose(f), 0);
	bool found = strstr(text, what) != NULL;
	free(text);
	return found;
}

/* run_kernels.c -- memory for a program, filled as the interpreter's, and the comparison */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "tests/numeric/random_graph.h"
#include "tests/numeric/run_kernels.h"

static const IrScalars scalars = { .lr = 0.25, .seed = 77, .step = 3, .pass = 2 };

/* ---- memory of a program, filled as the interpreter's ---- */
static int64_t buffer_elems(const KBuffer *b, int64_t n)
{
	int64_t elems = b->cls == B_PARTIAL ? (n + b->part_rows - 1) / b->part_rows : 1;
	for (int d = b->cls == B_PARTIAL; d < b->type.rank; d++)
		elems *= b->type.dim[d] == IR_N ? n : b->type.dim[d];
	return elems;
}

static int state_number(const IrModule *m, const IrState *of)
{
	int i = 0;
	IR_EACH_STATE(m, s) {
		if (s == of)
			return i;
		i++;
	}
	return -1;
}

static bool in_slab(const KBuffer *b)
{
	return b->cls == B_SLAB || b->cls == B_PARTIAL;
}

static bool touches(const KEntry *e, int buf)
{
	for (int i = 0; i < e->nkernels; i++) {
		for (int o = 0; o < e->kernel[i]->nopnds; o++) {
			if (e->kernel[i]->opnd[o].buf == buf)
				return true;
		}
	}
	return false;
}

/* After plan, buffers overlap as they will in the slab: one double for each of its bytes. */
static double **memory(Arena *a, const IrModule *m, const KEntry *e, const Values *v, int64_t n)
{
	const KProgram *p = m->program;
	double **buffer = NEWN(a, double *, p->nbuffers + 1), *slab = NEWN(a, double, e->slab_bytes + 1);
	for (int i = 0; i < p->nbuffers; i++) {
		const KBuffer *b = &p->buffer[i];
		const int64_t elems = buffer_elems(b, n);
		const bool planned = e->slab_bytes > 0 && in_slab(b);
		if (planned && !touches(e, i))
			continue;
		buffer[i] = planned ? slab + b->offset : NEWN(a, double, elems);
		for (int64_t k = 0; k < elems; k++)
			buffer[i][k] = NAN;
		const double *from = b->cls == B_STATE ? v->state[state_number(m, b->state)] : NULL;
		if (b->cls == B_IN && b->index < e->graph->nport && ir_type_eq(&b->type, &e->graph->port[b->index].type))
			from = v->in[b->index];
		if (from)
			memcpy(buffer[i], from, (size_t)elems * sizeof(double));
	}
	return buffer;
}

/* The buffer of root r: several entries and metrics may share a name, so it must be stored by this entry. */
static int root_buffer(const KProgram *p, const KEntry *e, const IrRoot *r)
{
	for (int i = 0; i < e->nkernels; i++) {
		for (int o = 0; o < e->kernel[i]->nopnds; o++) {
			const KOperand *opnd = &e->kernel[i]->opnd[o];
			const KBuffer *b = &p->buffer[opnd->buf];
			if (opnd->mode == M_IN)
				continue;
			if (r->kind == ROOT_UPDATE ? b->cls == B_STATE && b->state == r->state
			                           : b->cls == (r->kind == ROOT_METRIC ? B_METRIC : B_OUT) && !strcmp(b->name, r->name))
				return opnd->buf;
		}
	}
	return -1;
}

static bool close_to(double a, double b)
{
	return a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-9 * (1 + fabs(a) + fabs(b));
}

static void compare_entry(const IrModule *m, const KEntry *e, const Values *v, int64_t n, bool exact, const char *what)
{
	Arena *a = arena_new();
	KMemory mem = { memory(a, m, e, v, n), n, &scalars };
	k_eval_entry(m->program, e, &mem, false);
	ir_eval(e->graph, n, &scalars, v->state, (const double *const *)v->in, v->out);
	for (int r = 0; r < e->graph->nroot; r++) {
		const IrRoot *root = &e->graph->root[r];
		const int buf = root_buffer(m->program, e, root);
		ck_assert_msg(buf >= 0, "%s: nothing stores root %s", what, root->name);
		for (int64_t i = 0; i < v->out_elems[r]; i++) {
			const double want = v->out[r][i], got = mem.buffer[buf][i];
			const bool ok = exact ? want == got : close_to(want, got);
			if (!ok)
				k_print_program(m->program, stderr);
			ck_assert_msg(ok, "%s: entry %s, root %s[%lld], n %lld: graph %.17g, kernels %.17g", what, e->name,
			              root->name, (long long)i, (long long)n, want, got);
		}
	}
	arena_free(a);
}

void kernels_run(const IrModule *m, const char *entry, const Values *v, int64_t n, const IrScalars *s)
{
	Arena *a = arena_new();
	const KEntry *e = m->program->entry;
	while (strcmp(e->name, entry) != 0)
		e++;
	KMemory mem = { memory(a, m, e, v, n), n, s };
	k_eval_entry(m->program, e, &mem, true);
	for (int r = 0; r < e->graph->nroot; r++) {
		const int buf = root_buffer(m->program, e, &e->graph->root[r]);
		ck_assert_int_ge(buf, 0);
		memcpy(v->out[r], mem.buffer[buf], (size_t)v->out_elems[r] * sizeof(double));
	}
	arena_free(a);
}

static void must(bool ok, Diag *d, const char *what)
{
	if (!ok || diag_errors(d))
		diag_print(d, stderr);
	ck_assert_msg(ok, "%s", what);
}

static const Target target = { .name = "x86-64-v3", .vec_bytes = 32, .vec_regs = 16, .fma = true, .l1_bytes = 32768,
	                       .l2_bytes = 1 << 20 };

void kernels_make(IrModule *m, const char *until, const char *what)
{
	Diag *d = diag_new();
	PassCx cx = { .diag = d, .scratch = arena_new(), .target = target, .stop_after = until, .out = stderr };
	bool stopped;
	if (until)
		must(passes_run(m, &cx, &stopped), d, what);
	else
		must(pass_fuse(m, &cx) && k_verify(m->program, d), d, what);
	arena_free(cx.scratch);
	diag_free(d);
}

/* Port 1 is what maxpool_arg would give for some picture: cells of the window that lie inside. */
static void make_positions(const IrEntry *e, const Values *v, int64_t n)
{
	const IrNode *dx = e->last;
	Arena *a = arena_new();
	IrNode arg = *dx, picture = { .op = OP_input, .type = dx->type };
	double *x = NEWN(a, double, ir_elems(&dx->type, n));
	for (int64_t i = 0; i < ir_elems(&dx->type, n); i++)
		x[i] = (double)(i * 7 % 11);
	arg.op = OP_maxpool_arg;
	arg.type = e->port[1].type;
	arg.in = (IrNode *[]){ &picture };
	arg.nin = 1;
	ir_eval_node(&arg, n, &scalars, (const double *const[]){ x }, v->in[1]);
	arena_free(a);
}

void values_whole(const IrEntry *e, const Values *v, int64_t n)
{
	for (int p = 0; p < e->nport; p++) {
		for (int64_t k = 0; k < ir_elems(&e->port[p].type, n); k++)
			v->in[p][k] = trunc(v->in[p][k] * (e->port[p].type.dtype == DT_F32 ? 8 : 1));
		if (e->last->op == OP_maxpool_dx && p == 1)
			make_positions(e, v, n);
	}
}

void kernels_compare(const IrModule *m, int64_t n, uint64_t seed, bool integers, const char *what)
{
	Arena *a = arena_new();
	for (int i = 0; i < m->program->nentries; i++) {
		const KEntry *e = &m->program->entry[i];
		Values v = random_values(a, e->graph, n, seed);
		if (integers)
			values_whole(e->graph, &v, n);
		compare_entry(m, e, &v, n, integers, what);
	}
	arena_free(a);
}

static char *program_text(const KProgram *p, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);
	k_print_program(p, f);
	fclose(f);
	return text;
}

void kernels_read_back(const IrModule *m, const char *what)
{
	size_t len, again_len;
	char *text = program_text(m->program, &len);
	Arena *a = arena_new();
	Diag *d = diag_new();
	KProgram *p = k_parse("text", text, len, a, d);
	if (!p) {
		fputs(text, stderr);
		diag_print(d, stderr);
		ck_abort_msg("%s: its text is refused", what);
	}
	char *again = program_text(p, &again_len);
	ck_assert_str_eq(text, again);
	for (int i = 0; i < p->nentries; i++) {
		for (int k = 0; k < p->entry[i].nkernels; k++) {
			const Kernel *was = m->program->entry[i].kernel[k], *is = p->entry[i].kernel[k];
			ck_assert_str_eq(k_key(m->program, was, a), k_key(p, is, a));
			ck_assert_uint_eq(was->par, is->par);
			ck_assert_int_eq(was->flops, is->flops);
		}
	}
	free(text);
	free(again);
	diag_free(d);
	arena_free(a);
}

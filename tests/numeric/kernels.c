/* kernels.c -- the kernels of an entry compute what its graph defines
 *
 * Single ops over many shapes, fused patterns, and random graphs, forward and after autodiff: k_eval_entry against ir_eval.
 * Values are small integers where the ops allow it, so that both must be equal; else they agree to 1e-9.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "passes/passes.h"
#include "tests/numeric/one_op.h"
#include "tests/numeric/random_graph.h"

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

static void must(bool ok, Diag *d, const char *what)
{
	if (!ok || diag_errors(d))
		diag_print(d, stderr);
	ck_assert_msg(ok, "%s", what);
}

static const Target target = { .name = "x86-64-v3", .vec_bytes = 32, .vec_regs = 16, .fma = true, .l1_bytes = 32768,
	                       .l2_bytes = 1 << 20 };

/* Runs the passes up to `until`; NULL: fuse alone. */
static void fuse(IrModule *m, const char *until, const char *what)
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
static void make_positions(const KEntry *e, const Values *v, int64_t n)
{
	const IrNode *dx = e->graph->last;
	Arena *a = arena_new();
	IrNode arg = *dx, picture = { .op = OP_input, .type = dx->type };
	double *x = NEWN(a, double, ir_elems(&dx->type, n));
	for (int64_t i = 0; i < ir_elems(&dx->type, n); i++)
		x[i] = (double)(i * 7 % 11);
	arg.op = OP_maxpool_arg;
	arg.type = e->graph->port[1].type;
	arg.in = (IrNode *[]){ &picture };
	arg.nin = 1;
	ir_eval_node(&arg, n, &scalars, (const double *const[]){ x }, v->in[1]);
	arena_free(a);
}

static void compare(IrModule *m, int64_t n, uint64_t seed, bool integers, const char *what)
{
	Arena *a = arena_new();
	for (int i = 0; i < m->program->nentries; i++) {
		const KEntry *e = &m->program->entry[i];
		Values v = random_values(a, e->graph, n, seed);
		for (int p = 0; integers && p < e->graph->nport; p++) {
			for (int64_t k = 0; k < ir_elems(&e->graph->port[p].type, n); k++)
				v.in[p][k] = trunc(v.in[p][k] * (e->graph->port[p].type.dtype == DT_F32 ? 8 : 1));
			if (e->graph->last->op == OP_maxpool_dx && p == 1)
				make_positions(e, &v, n);
		}
		compare_entry(m, e, &v, n, integers, what);
	}
	arena_free(a);
}

/* ---- every op ---- */
typedef struct OpCase { OneOp op; bool exact; } OpCase;

#define WIN(sh, sw, th, tw, dh, dw, pt, pl, pb, pr, g) \
	{ { sh, sw }, { th, tw }, { dh, dw }, { pt, pl, pb, pr }, g }
#define CONV(...) { .conv = WIN(__VA_ARGS__) }
#define POOL(...) { .pool = WIN(__VA_ARGS__) }

static const OpCase cases[] = {
	{ { .op = OP_neg, .in = { "f32[N,3]" } }, true },
	{ { .op = OP_abs, .in = { "f32[N,2,3,4]" } }, true },
	{ { .op = OP_exp, .in = { "f32[N]" } }, false },
	{ { .op = OP_tanh, .in = { "f32[5]" } }, false },
	{ { .op = OP_sigmoid, .in = { "f32[]" } }, false },
	{ { .op = OP_relu, .in = { "f32[N,2,1,3]" } }, true },
	{ { .op = OP_cast, .in = { "u8[N,3]" }, .attr = { .cast = { DT_F32 } } }, true },
	{ { .op = OP_cast, .in = { "f32[N,3]" }, .attr = { .cast = { DT_I32 } } }, true },
	{ { .op = OP_add, .in = { "f32[N,3,4]", "f32[4]" } }, true },
	{ { .op = OP_sub, .in = { "f32[N,1]", "f32[N,4]" } }, true },
	{ { .op = OP_mul, .in = { "f32[3,1]", "f32[N,3,4]" } }, true },
	{ { .op = OP_div, .in = { "f32[N,4]", "f32[]" } }, false },
	{ { .op = OP_lt, .in = { "f32[N,4]", "f32[N,1]" } }, true },
	{ { .op = OP_eq, .in = { "i32[N,1]", "i32[4]" } }, true },
	{ { .op = OP_max, .in = { "f32[N,4]", "f32[N,4]" } }, true },
	{ { .op = OP_select, .in = { "bool[N,4]", "f32[N,4]", "f32[1]" } }, true },
	{ { .op = OP_reshape, .in = { "f32[N,2,6]" }, .want = "f32[N,12]" }, true },
	{ { .op = OP_reshape, .in = { "f32[N,2,6]" }, .want = "f32[N,2,1,6]" }, true },
	{ { .op = OP_broadcast, .in = { "f32[N,1,4]" }, .want = "f32[N,3,4]" }, true },
	{ { .op = OP_transpose, .in = { "f32[N,2,3,4]" }, .attr = { .perm = { { 0, 3, 1, 2 } } } }, true },
	{ { .op = OP_transpose, .in = { "f32[5,7]" }, .attr = { .perm = { { 1, 0 } } } }, true },
	{ { .op = OP_concat, .in = { "f32[N,2,3]", "f32[N,2,1]", "f32[N,2,5]" }, .attr = { .axis = { 2 } } }, true },
	{ { .op = OP_slice, .in = { "f32[N,7,2]" }, .attr = { .slice = { 1, 2, 4 } } }, true },
	{ { .op = OP_pad, .in = { "f32[N,3,2]" }, .attr = { .slice = { 1, 2, 7 } } }, true },
	{ { .op = OP_pad, .in = { "f32[N,3]" }, .attr = { .slice = { 1, 0, 4 } } }, true },
	{ { .op = OP_iota, .in = { NULL }, .want = "i32[3,5]", .attr = { .axis = { 1 } } }, true },
	{ { .op = OP_konst, .in = { NULL }, .want = "f32[2,3]", .attr = { .konst = { 0.5 } } }, true },
	{ { .op = OP_random, .in = { NULL }, .want = "f32[N,3,5]", .attr = { .random = { 9, false } } }, true },
	{ { .op = OP_random, .in = { "u32[N]" }, .want = "f32[N,3,5]", .attr = { .random = { 9, true } } }, true },
	{ { .op = OP_random, .in = { NULL }, .want = "f32[4,5]", .attr = { .random = { 9, false } } }, true },
	{ { .op = OP_scalar, .in = { NULL }, .attr = { .scalar = { SC_LR, 0 } } }, true },
	{ { .op = OP_scalar, .in = { NULL }, .attr = { .scalar = { SC_STEP, 0 } } }, true },
	{ { .op = OP_scalar, .in = { NULL }, .attr = { .scalar = { SC_POWER, 0.9 } } }, true },
	{ { .op = OP_sum, .in = { "f32[N,3,4]" }, .attr = { .reduce = { 1, false } } }, true },
	{ { .op = OP_sum, .in = { "f32[N,3,4]" }, .attr = { .reduce = { 6, true } } }, true },
	{ { .op = OP_sum, .in = { "f32[N,3,4]" }, .attr = { .reduce = { 7, false } } }, true },
	{ { .op = OP_sum, .in = { "f32[3,1,4]" }, .attr = { .reduce = { 2, false } } }, true },
	{ { .op = OP_reduce_max, .in = { "f32[N,3,4]" }, .attr = { .reduce = { 2, true } } }, true },
	{ { .op = OP_argmax, .in = { "f32[N,9]" }, .attr = { .reduce = { 2, false } } }, true },
	{ { .op = OP_argmax, .in = { "f32[N,3,4]" }, .attr = { .reduce = { 2, true } } }, true },
	{ { .op = OP_softmax, .in = { "f32[N,7]" } }, false },
	{ { .op = OP_softmax, .in = { "f32[N,3,1]" } }, false },
	{ { .op = OP_log_softmax, .in = { "f32[N,2,3,5]" } }, false },
	{ { .op = OP_matmul, .in = { "f32[N,5]", "f32[5,7]" } }, true },
	{ { .op = OP_matmul, .in = { "f32[N,5]", "f32[7,5]" }, .attr = { .matmul = { false, true } } }, true },
	{ { .op = OP_matmul, .in = { "f32[N,5]", "f32[N,7]" }, .attr = { .matmul = { true, false } } }, true },
	{ { .op = OP_matmul, .in = { "f32[5,3]", "f32[7,5]" }, .attr = { .matmul = { true, true } } }, true },
	{ { .op = OP_matmul, .in = { "f32[N,5]", "f32[5,1]" } }, true },
	{ { .op = OP_matmul, .in = { "f32[N,1]", "f32[1,4]" } }, true },
	{ { .op = OP_conv2d, .in = { "f32[N,6,7,3]", "f32[3,3,3,4]" }, .attr = CONV(3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1) }, true },
	{ { .op = OP_conv2d, .in = { "f32[N,6,7,3]", "f32[3,2,3,4]" }, .attr = CONV(3, 2, 2, 3, 1, 1, 1, 0, 1, 1, 1) }, true },
	{ { .op = OP_conv2d, .in = { "f32[N,7,7,4]", "f32[3,3,2,6]" }, .attr = CONV(3, 3, 1, 2, 2, 1, 2, 1, 1, 1, 2) }, true },
	{ { .op = OP_conv2d, .in = { "f32[N,5,5,4]", "f32[3,3,1,4]" }, .attr = CONV(3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 4) }, true },
	{ { .op = OP_conv2d, .in = { "f32[N,5,5,4]", "f32[1,1,1,8]" }, .attr = CONV(1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 4) }, true },
	{ { .op = OP_conv2d, .in = { "f32[N,12,12,64]", "f32[3,3,64,16]" }, .attr = CONV(3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1) }, true },
	{ { .op = OP_conv2d_dx, .in = { "f32[N,4,5,4]", "f32[3,3,3,4]" }, .want = "f32[N,6,7,3]", .attr = CONV(3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1) }, true },
	{ { .op = OP_conv2d_dx, .in = { "f32[N,3,3,4]", "f32[3,2,3,4]" }, .want = "f32[N,6,7,3]", .attr = CONV(3, 2, 2, 3, 1, 1, 1, 1, 1, 1, 1) }, true },
	{ { .op = OP_conv2d_dx, .in = { "f32[N,3,2,4]", "f32[2,3,3,4]" }, .want = "f32[N,7,6,3]", .attr = CONV(2, 3, 2, 3, 1, 1, 0, 0, 0, 0, 1) }, true },
	{ { .op = OP_conv2d_dx, .in = { "f32[N,4,4,6]", "f32[1,1,2,6]" }, .want = "f32[N,7,8,4]", .attr = CONV(1, 1, 2, 2, 1, 1, 0, 0, 0, 0, 2) }, true },
	{ { .op = OP_conv2d_dx, .in = { "f32[N,3,2,4]", "f32[3,3,3,4]" }, .want = "f32[N,9,9,3]", .attr = CONV(3, 3, 2, 4, 2, 2, 0, 0, 0, 0, 1) }, true },
	{ { .op = OP_conv2d_dx, .in = { "f32[N,3,2,4]", "f32[3,3,3,4]" }, .want = "f32[N,9,9,3]", .attr = CONV(3, 3, 2, 4, 2, 2, 0, 0, 0, 0, 1) }, true },
	{ { .op = OP_conv2d_dx, .in = { "f32[N,4,4,6]", "f32[2,2,2,6]" }, .want = "f32[N,4,4,4]", .attr = CONV(2, 2, 1, 1, 1, 1, 0, 0, 1, 1, 2) }, true },
	{ { .op = OP_conv2d_dw, .in = { "f32[N,6,7,3]", "f32[N,4,5,4]" }, .want = "f32[3,3,3,4]", .attr = CONV(3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1) }, true },
	{ { .op = OP_conv2d_dw, .in = { "f32[N,6,7,4]", "f32[N,3,3,6]" }, .want = "f32[3,2,2,6]", .attr = CONV(3, 2, 2, 3, 1, 1, 1, 1, 1, 1, 2) }, true },
	{ { .op = OP_conv2d_dw, .in = { "f32[N,5,5,4]", "f32[N,5,5,4]" }, .want = "f32[3,3,1,4]", .attr = CONV(3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 4) }, true },
	{ { .op = OP_maxpool, .in = { "f32[N,6,7,3]" }, .attr = POOL(2, 2, 2, 2, 1, 1, 0, 0, 0, 0, 1) }, true },
	{ { .op = OP_maxpool, .in = { "f32[N,6,7,3]" }, .attr = POOL(3, 2, 1, 2, 1, 2, 1, 1, 1, 0, 1) }, true },
	{ { .op = OP_maxpool_arg, .in = { "f32[N,6,7,3]" }, .attr = POOL(2, 3, 2, 2, 1, 1, 0, 1, 0, 1, 1) }, true },
	{ { .op = OP_maxpool_dx, .in = { "f32[N,3,3,2]", "u8[N,3,3,2]" }, .want = "f32[N,6,7,2]", .attr = POOL(2, 2, 2, 2, 1, 1, 0, 0, 0, 0, 1) }, true },
	{ { .op = OP_maxpool_dx, .in = { "f32[N,6,4,2]", "u8[N,6,4,2]" }, .want = "f32[N,6,7,2]", .attr = POOL(3, 3, 1, 2, 1, 1, 1, 1, 1, 1, 1) }, true },
	{ { .op = OP_maxpool_dx, .in = { "f32[N,3,2,2]", "u8[N,3,2,2]" }, .want = "f32[N,6,7,2]", .attr = POOL(1, 2, 2, 4, 1, 1, 0, 0, 0, 0, 1) }, true },
	{ { .op = OP_maxpool_dx, .in = { "f32[N,1,1,2]", "u8[N,1,1,2]" }, .want = "f32[N,5,5,2]", .attr = POOL(5, 5, 5, 5, 1, 1, 0, 0, 0, 0, 1) }, true },
	{ { .op = OP_avgpool, .in = { "f32[N,6,8,3]" }, .attr = POOL(2, 2, 2, 2, 1, 1, 0, 0, 0, 0, 1) }, true },
	{ { .op = OP_avgpool, .in = { "f32[N,6,7,3]" }, .attr = POOL(3, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1) }, false },
	{ { .op = OP_avgpool, .in = { "f32[N,8,7,3]" }, .attr = POOL(3, 2, 2, 1, 2, 3, 2, 1, 1, 2, 1) }, false },
	{ { .op = OP_avgpool_dx, .in = { "f32[N,3,4,2]" }, .want = "f32[N,6,8,2]", .attr = POOL(2, 2, 2, 2, 1, 1, 0, 0, 0, 0, 1) }, true },
	{ { .op = OP_avgpool_dx, .in = { "f32[N,3,7,2]" }, .want = "f32[N,6,7,2]", .attr = POOL(3, 3, 2, 1, 1, 1, 1, 1, 0, 1, 1) }, false },
	{ { .op = OP_avgpool_dx, .in = { "f32[N,2,3,2]" }, .want = "f32[N,8,8,2]", .attr = POOL(2, 2, 3, 3, 2, 2, 0, 1, 0, 1, 1) }, false },
	{ { .op = OP_affine_draw, .in = { "u32[N]" }, .attr = { .affine = { 10, .2, .1, 15, .8, 1.2, true, true, 5, 12, 16 } } }, true },
	{ { .op = OP_affine_draw, .in = { "u32[N]" }, .attr = { .affine = { 0, .2, .1, 0, 1, 1, true, false, 5, 12, 16 } } }, true },
	{ { .op = OP_affine_draw, .in = { "u32[N]" }, .attr = { .affine = { 0, 0, 0, 0, 1, 1, false, false, 5, 12, 16 } } }, true },
};

static IrModule *one_op_module(const OneOp *op)
{
	IrModule *m = ir_module_new("one");
	m->max_n = 5;
	IrEntry *e = ir_entry_new(m, "predict");
	IrNode *n = one_op_build(e, op);
	ir_root_new(e, (IrRoot){ .kind = ROOT_OUTPUT, .name = "y", .value = n });
	return m;
}

START_TEST(every_op_lowers)
{
	const OpCase *c = &cases[_i];
	IrModule *m = one_op_module(&c->op);
	const char *what = arena_printf(m->arena, "case %d: %s", _i, ir_ops[c->op.op].text);
	fuse(m, NULL, what);
	for (int64_t n = 1; n <= 5; n += 2)
		compare(m, n, (uint64_t)_i, c->exact, what);
	ir_module_free(m);
}
END_TEST

START_TEST(random_graphs)
{
	IrModule *m = random_graph((uint64_t)_i, 4 + _i % 40);
	const char *what = arena_printf(m->arena, "random graph %d", _i);
	if (m->max_n == 0)
		m->max_n = 4;
	static const char *const until[] = { NULL, "fuse", "plan" };
	fuse(m, until[_i % 3], what);
	for (int64_t n = 1; n <= 4; n += 3)
		compare(m, n, (uint64_t)_i, false, what);
	ir_module_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("kernels");
	TCase *t = tcase_create("kernels");
	tcase_add_loop_test(t, every_op_lowers, 0, (int)COUNT(cases));
	tcase_add_loop_test(t, random_graphs, 0, 800);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	const int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

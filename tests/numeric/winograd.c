/* winograd.c -- math: fast: convolutions as minimal filtering, against the interpreter
 *
 * The kernels in double give what the graph gives, to 1e-9. Compiled, float32 leaves 3e-5 of the largest result; small tiles on
 * small integers leave nothing, so pools of equal cells must find the same one. Sizes miss tiles, vectors and parts.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "tests/numeric/one_op.h"
#include "tests/numeric/run_kernels.h"
#include "tests/support/jit_check.h"
#include "tests/support/model_check.h"
#include "tests/support/same_bits.h"
#include "tests/support/suite.h"

typedef enum Tail { PLAIN, BIAS_RELU, MAX, MEAN, GRADIENT, GRADIENT_OF_RELU } Tail;

typedef struct Case {
	int32_t h, w, c, k;   /* of the convolution forward */
	int32_t pad[4], pool[2];
	Tail tail;
	int32_t max_n, tile;  /* tile: 0, 2 or 4, what is chosen */
} Case;

static const Case cases[] = {
	{30, 30, 32, 64, {0}, {2, 2}, MAX, 32, 4},
	{14, 14, 64, 128, {0}, {2, 2}, MAX, 32, 4},
	{13, 11, 17, 19, {1, 1, 1, 1}, {0}, BIAS_RELU, 32, 4},
	{23, 15, 16, 33, {1, 1, 1, 1}, {2, 2}, MAX, 32, 4},
	{16, 16, 16, 16, {1, 1, 1, 1}, {0}, PLAIN, 5, 4},
	{17, 19, 16, 32, {0}, {2, 2}, MEAN, 32, 4},
	{16, 20, 16, 16, {2, 0, 1, 3}, {4, 2}, MAX, 32, 4},
	{18, 21, 40, 24, {0, 2, 2, 0}, {1, 2}, MAX, 3, 4},
	{18, 10, 16, 16, {0}, {0}, GRADIENT, 32, 4},
	{15, 13, 24, 40, {0}, {0}, GRADIENT_OF_RELU, 32, 4},
	{14, 14, 32, 48, {1, 1, 1, 1}, {0}, GRADIENT_OF_RELU, 32, 4},
	{4, 34, 32, 32, {0}, {0}, BIAS_RELU, 32, 2},
	{3, 41, 16, 32, {1, 1, 0, 0}, {0}, GRADIENT, 32, 4},
	{8, 8, 32, 64, {0}, {2, 2}, MAX, 32, 2},
	{30, 30, 3, 64, {0}, {2, 2}, MAX, 32, 0},
	{5, 5, 512, 512, {1, 1, 1, 1}, {0}, PLAIN, 1, 0},
	{30, 30, 32, 64, {0}, {3, 3}, MAX, 32, 0},
};

/* ---- graphs ---- */

static const Loc nowhere = {0};

static IrNode *port(IrEntry *e, const char *name, int rank, const int32_t *dim)
{
	return ir_input(e, nowhere, ir_port_new(e, name, ir_type(DT_F32, rank, dim)));
}

static IrNode *node(IrEntry *e, OpCode op, IrNode *a, IrNode *b, const IrAttr *attr, const IrType *want)
{
	return ir_node(e, NULL, op, nowhere, b ? 2 : 1, (IrNode *[]){a, b}, attr, want);
}

static void output(IrEntry *e, const char *name, IrNode *v)
{
	ir_root_new(e, (IrRoot){.kind = ROOT_OUTPUT, .name = name, .value = v});
}

static IrModule *build(const Case *c, bool fast)
{
	IrModule *m = ir_module_new("winograd");
	IrEntry *e = ir_entry_new(m, "predict");
	IrAttr conv = {.conv = {{3, 3}, {1, 1}, {1, 1}, {c->pad[0], c->pad[1], c->pad[2], c->pad[3]}, 1}};
	IrAttr pool = {.pool = {{c->pool[0], c->pool[1]}, {c->pool[0], c->pool[1]}, {1, 1}, {0}, 1}};
	IrType x = ir_type(DT_F32, 4, (int32_t[]){IR_N, c->h, c->w, c->c});
	int32_t out[4] = {IR_N, c->h + c->pad[0] + c->pad[2] - 2, c->w + c->pad[1] + c->pad[3] - 2, c->k};
	m->max_n = c->max_n;
	m->fast_math = fast;
	bool backward = c->tail == GRADIENT || c->tail == GRADIENT_OF_RELU;
	IrNode *a = port(e, "a", 4, backward ? out : x.dim), *w = port(e, "w", 4, (int32_t[]){3, 3, c->c, c->k});
	IrNode *y = node(e, backward ? OP_conv2d_dx : OP_conv2d, a, w, &conv, backward ? &x : NULL);
	if (c->tail == GRADIENT_OF_RELU) {
		IrNode *zero = ir_konst(e, nowhere, DT_F32, 0);
		y = ir_select(e, ir_binary(e, OP_lt, zero, port(e, "x", 4, x.dim)), y, zero);
	}
	if (c->tail != PLAIN && !backward)
		y = ir_binary(e, OP_add, y, port(e, "b", 1, &c->k));
	if (c->tail == MAX)
		output(e, "cell", node(e, OP_maxpool_arg, y, NULL, &pool, NULL));
	if (c->tail == MAX)
		y = node(e, OP_maxpool, y, NULL, &pool, NULL);
	if (c->tail != PLAIN && !backward)
		y = ir_unary(e, OP_relu, y);
	if (c->tail == MEAN)
		y = node(e, OP_avgpool, y, NULL, &pool, NULL);
	output(e, "y", y);
	return m;
}

/* Edge of the tiles that pass choose took: V has five dimensions, one of them (tile + 2)^2. */
static int tile_of(const IrModule *m)
{
	for (int i = 0; i < m->program->nbuffers; i++) {
		const IrType *t = &m->program->buffer[i].type;
		if (t->rank == 5 && ir_batched(t))
			return t->dim[3] == 36 ? 4 : 2;
	}
	return 0;
}

/* ---- tests ---- */

START_TEST(kernels_agree)
{
	const Case *c = &cases[_i];
	IrModule *m = build(c, true);
	kernels_make(m, "plan", "winograd");
	ck_assert_int_eq(tile_of(m), c->tile);
	int64_t n = c->max_n < 3 ? 1 : 3;
	if (c->tile)
		kernels_compare(m, n, (uint64_t)_i, false, "winograd");
	ir_module_free(m);
}
END_TEST

static void make_whole(const IrEntry *e, const Values *v, int64_t n)
{
	for (int i = 0; i < e->nport; i++) {
		int64_t elems = ir_elems(&e->port[i].type, n);
		for (int64_t k = 0; k < elems; k++)
			v->in[i][k] = (double)(int)(v->in[i][k] * 2.5);
	}
}

START_TEST(code_agrees)
{
	static const char *const cpu[] = {"native", "x86-64-v3"};
	const Case *c = &cases[_i];
	IrModule *reference = build(c, false);
	IrScalars s = {.seed = 1, .step = 1};
	for (int i = 0; c->tile && i < 2; i++) {
		Jitted j = jit_open(build(c, true), cpu[i], 1 + i);
		ck_assert_int_eq(tile_of(j.module), c->tile);
		for (int64_t n = 1; n <= c->max_n && n <= 7; n += 2) {
			Arena *a = arena_new();
			Values v = random_values(a, reference->entry, n, (uint64_t)(_i + n));
			if (c->tile == 2)
				make_whole(reference->entry, &v, n);
			ir_eval(reference->entry, n, &s, v.state, (const double *const *)v.in, v.out);
			jit_check(&j, reference->entry, &v, n, &s, c->tile == 2 ? 0 : 3e-5);
			arena_free(a);
		}
		jit_close(&j);
	}
	ir_module_free(reference);
}
END_TEST

/* Mixed precision takes tiles with math: exact, too, where they beat pairs of bf16; their products stay float32. */
START_TEST(mixed_agrees)
{
	const Case *c = &cases[_i];
	IrModule *reference = build(c, false), *mixed = build(c, false);
	IrScalars s = {.seed = 1, .step = 1};
	mixed->precision = PRECISION_MIXED_BF16;
	Jitted j = jit_open(mixed, "native", 1);
	const int tile = tile_of(j.module);
	ck_assert(tile == 0 || tile == c->tile);
	ck_assert(tile || _i > 1); /* the reference model has those two */
	Arena *a = arena_new();
	Values v = random_values(a, reference->entry, 1, (uint64_t)_i);
	ir_eval(reference->entry, 1, &s, v.state, (const double *const *)v.in, v.out);
	if (tile)
		jit_check(&j, reference->entry, &v, 1, &s, 3e-5);
	arena_free(a);
	jit_close(&j);
	ir_module_free(reference);
}
END_TEST

static unsigned char *outputs(const void *what, const char *cpu, int threads, size_t *bytes)
{
	enum { SAMPLES = 7 };
	const Case *c = what;
	IrModule *reference = build(c, true);
	Jitted j = jit_open(build(c, true), cpu, threads);
	Arena *a = arena_new();
	int64_t n = c->max_n < SAMPLES ? c->max_n : SAMPLES;
	Values v = random_values(a, reference->entry, n, 5);
	unsigned char *all = jit_outputs(&j, reference->entry, &v, n, &(IrScalars){.seed = 1, .step = 1}, bytes);
	arena_free(a);
	jit_close(&j);
	ir_module_free(reference);
	return all;
}

START_TEST(bits_agree)
{
	if (cases[_i].tile)
		same_bits("winograd", &cases[_i], outputs);
}
END_TEST

/* ---- whole models ---- */

#define MODEL(shape, layers)                                                                                           \
	"cnnc: 1\ndata: {type: npy, batch_size: 32}\nmodel:\n  input_shape: [" shape "]\n  layers:\n" layers           \
	"    - GlobalAveragePooling2D\n    - Dense: {units: 3}\n"                                                       \
	"train: {optimizer: sgd, loss: mean_squared_error}\nbuild: {math: fast}\n"
#define CONV(args) "    - Conv2D: {" args ", kernel_size: 3}\n"
#define POOL "    - MaxPooling2D\n"

static const char *const models[] = {
	MODEL("20, 20, 16", CONV("filters: 32, activation: tanh") POOL CONV("filters: 48, activation: tanh")),
	MODEL("12, 16, 8", CONV("filters: 32, padding: same, activation: tanh") CONV("filters: 32, padding: same") POOL
	      CONV("filters: 32, padding: same, use_bias: false") "    - BatchNormalization\n"),
};

START_TEST(models_agree)
{
	for (int v3 = 0; v3 < 2; v3++) {
		ModelCheck c = {.name = "winograd", .text = models[_i], .cpu = v3 ? "x86-64-v3" : NULL, .threads = 1 + v3,
		                .n = {1, 3, 6}, .seed = (uint64_t)_i, .kinks = true, .tolerance = 2e-4};
		model_check(&c);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("winograd");
	TCase *t = tcase_create("winograd");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, kernels_agree, 0, (int)COUNT(cases));
	tcase_add_loop_test(t, code_agrees, 0, (int)COUNT(cases));
	tcase_add_loop_test(t, mixed_agrees, 0, (int)COUNT(cases));
	tcase_add_loop_test(t, bits_agree, 0, (int)COUNT(cases));
	tcase_add_loop_test(t, models_agree, 0, (int)COUNT(models));
	suite_add_tcase(s, t);
	return suite_run(s);
}

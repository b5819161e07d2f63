/* onnx_nodes.c -- the node tests of Debian's libonnx-testdata: each graph imported, run, compared with its outputs
 *
 * Every graph that imports must give its outputs, by the interpreter and by compiled code; how many do is counted against those
 * that need no sequence, optional, string or loop. ONNX_NODES=NAME runs that one and says more, ONNX_NODES= tells why graphs do
 * not import, ONNX_COMPILED=1 makes code for all of them instead of every fifth.
 */
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "frontend/onnx.h"
#include "tests/support/jit_check.h"

static const char data[] = "/usr/share/libonnx-testdata/data/node";

typedef struct Bytes { char *at; size_t n; } Bytes;

static Bytes read_bytes(Arena *a, const char *path)
{
	Bytes b = { NULL, 0 };
	struct stat st;
	FILE *f = fopen(path, "rb");
	if (!f || fstat(fileno(f), &st) != 0) {
		if (f)
			fclose(f);
		return b;
	}
	b.at = arena_alloc(a, (size_t)st.st_size + 1, 1);
	b.n = fread(b.at, 1, (size_t)st.st_size, f);
	fclose(f);
	return b;
}

/* ---- one test ---- */

typedef struct Case {
	const char *name, *folder;
	Arena *arena;
	Diag *diag;
	OnnxGraph graph;
	FeOnnxGiven given[16];
	FeOnnx onnx;
	IrModule *module;
	int64_t n;
	double *in[16], *want[16];
	int64_t elems[16];
} Case;

static bool import(Case *c)
{
	const char *path = arena_printf(c->arena, "%s/model.onnx", c->folder);
	Bytes model = read_bytes(c->arena, path);
	if (!onnx_read(path, model.at, model.n, c->arena, c->diag, &c->graph) || c->graph.ninputs > 16)
		return false;
	int n = 0;
	for (int i = 0; i < c->graph.ninputs; i++) {
		Bytes b = read_bytes(c->arena, arena_printf(c->arena, "%s/test_data_set_0/input_%d.pb", c->folder, i));
		if (b.at)
			c->given[n++] = (FeOnnxGiven){ c->graph.input[i].name, b.at, b.n };
	}
	if (!fe_onnx_import(path, model.at, model.n, NULL, c->given, n, c->arena, c->diag, &c->onnx))
		return false;
	FeModel fe;
	if (!fe_load_text(c->name, c->onnx.text, c->onnx.length, NULL, 0, c->diag, &fe)) {
		fprintf(stderr, "%s: FAIL the model file that was made is refused\n", c->name);
		fputs(c->onnx.text, stderr);
		return false;
	}
	c->module = fe.module;
	c->n = c->onnx.split ? c->onnx.batch : 1;
	return true;
}

/* type: what the graph says; bfloat16 is stored as uint16 there. */
static double *tensor_values(Case *c, Bytes b, int type, OnnxTensor *t)
{
	if (!b.at || !onnx_read_tensor(c->folder, b.at, b.n, c->arena, c->diag, t))
		return NULL;
	if (type == ONNX_BFLOAT16 && t->type == ONNX_UINT16)
		t->type = ONNX_BFLOAT16;
	double *d = NEWN(c->arena, double, t->elems + 1);
	for (int64_t i = 0; i < t->elems; i++)
		d[i] = onnx_element(t->type, t->data, i);
	return d;
}

/* (n, c, h, w) as (n, h, w, c) */
static double *channels_last(Case *c, const double *from, const OnnxTensor *t)
{
	double *to = NEWN(c->arena, double, t->elems + 1);
	const int64_t ch = t->dim[1], cells = t->dim[2] * t->dim[3];
	for (int64_t i = 0; i < t->elems; i++)
		to[(i / (ch * cells) * cells + i % cells) * ch + i / cells % ch] = from[i];
	return to;
}

static bool read_values(Case *c)
{
	OnnxTensor t;
	for (int i = 0; i < c->onnx.ninputs; i++) {
		for (int k = 0; k < c->graph.ninputs; k++) {
			if (strcmp(c->given[k].name, c->onnx.input[i].name) == 0)
				c->in[i] = tensor_values(c, (Bytes){ (char *)(uintptr_t)c->given[k].bytes, c->given[k].length }, c->onnx.input[i].onnx_type, &t);
		}
		if (!c->in[i])
			return false;
		if (c->onnx.input[i].channels_last)
			c->in[i] = channels_last(c, c->in[i], &t);
	}
	if (c->onnx.ninputs == 0)
		c->in[0] = NEWN(c->arena, double, 1);
	for (int i = 0; i < c->onnx.noutputs; i++) {
		const char *file = arena_printf(c->arena, "%s/test_data_set_0/output_%d.pb", c->folder, i);
		c->want[i] = tensor_values(c, read_bytes(c->arena, file), c->onnx.output[i].onnx_type, &t);
		if (!c->want[i])
			return false;
		c->elems[i] = t.elems;
	}
	return true;
}

static bool close_to(double is, double want, double largest)
{
	return is == want || (isnan(is) && isnan(want)) || fabs(is - want) <= 1e-7 + 1e-3 * fabs(want) + 1e-6 * largest;
}

static const char *compare(Case *c, int i, const double *is)
{
	double largest = 0;
	for (int64_t k = 0; k < c->elems[i]; k++)
		largest = isfinite(c->want[i][k]) ? fmax(largest, fabs(c->want[i][k])) : largest;
	for (int64_t k = 0; k < c->elems[i]; k++) {
		if (!close_to(is[k], c->want[i][k], largest))
			return arena_printf(c->arena, "output %d, element %lld is %.9g, not %.9g", i, (long long)k, is[k], c->want[i][k]);
	}
	return NULL;
}

/* Compiled code against the outputs that are given; integers exactly. */
static void run_compiled(Case *c, double **state, bool exact)
{
	int64_t elems[16] = { 0 };
	for (int i = 0; i < c->onnx.noutputs; i++)
		elems[i] = c->elems[i];
	Values v = { .state = state, .in = c->in, .out = c->want, .out_elems = elems };
	IrModule *kept = ir_clone(c->module);
	Jitted j = jit_open(c->module, NULL, 1);
	jit_check(&j, ir_entry_find(kept, "predict"), &v, c->n, &(IrScalars){ .seed = 1 }, exact ? 0 : 1e-3);
	jit_close(&j);
	ir_module_free(kept);
	c->module = NULL;
}

/* NULL: as it should be. Where double rounds another way than float32 did, compiled code must give the very numbers. */
static const char *run(Case *c, bool compiled)
{
	IrEntry *e = ir_entry_find(c->module, "predict");
	int states = 0;
	const char *why = NULL;
	bool whole = true;
	IR_EACH_STATE(c->module, s)
		states++;
	double **state = NEWN(c->arena, double *, states + 1), **out = NEWN(c->arena, double *, e->nroot + 1);
	states = 0;
	IR_EACH_STATE(c->module, s)
		state[states++] = NEWN(c->arena, double, ir_elems(&s->type, 1));
	if (!fe_onnx_set_states(&c->onnx, c->module, state))
		return "a weight is missing";
	for (int i = 0; i < e->nroot; i++) {
		const int64_t n = ir_elems(&e->root[i].value->type, c->n);
		whole = whole && e->root[i].value->type.dtype != DT_F32;
		if (n != c->elems[i])
			return arena_printf(c->arena, "output %d has %lld elements, not %lld", i, (long long)n, (long long)c->elems[i]);
		out[i] = NEWN(c->arena, double, n);
	}
	ir_eval(e, c->n, &(IrScalars){ .seed = 1 }, state, (const double *const *)c->in, out);
	for (int i = 0; i < c->onnx.noutputs && !why; i++)
		why = compare(c, i, out[i]);
	const bool quantized = strstr(c->name, "quantize") != NULL;
	if (why && !quantized)
		return why;
	if (compiled || why)
		run_compiled(c, state, whole);
	return NULL;
}

/* ---- all of them ---- */

static bool out_of_scope(const OnnxGraph *g)
{
	static const char *const ops[] = { "Loop", "If", "Scan", "SequenceMap", "StringNormalizer", "SequenceInsert", "SequenceEmpty",
	                                   "OptionalHasElement", "OptionalGetElement", "SequenceLength" };
	for (int i = 0; i < g->nnodes; i++) {
		for (size_t k = 0; k < COUNT(ops); k++) {
			if (strcmp(g->node[i].op, ops[k]) == 0)
				return true;
		}
	}
	for (int i = 0; i < g->ninputs; i++) {
		if (g->input[i].type == ONNX_NONE || g->input[i].type == ONNX_STRING)
			return true;
	}
	for (int i = 0; i < g->noutputs; i++) {
		if (g->output[i].type == ONNX_NONE || g->output[i].type == ONNX_STRING)
			return true;
	}
	return false;
}

typedef struct Tally { int scope, supported, failed; } Tally;

static void run_one(const char *name, Tally *t, bool compiled, bool loud)
{
	Case c = { .name = name, .arena = arena_new(), .diag = diag_new() };
	c.folder = arena_printf(c.arena, "%s/%s", data, name);
	const bool ok = import(&c);
	const bool counts = !out_of_scope(&c.graph);
	t->scope += counts;
	t->supported += counts && ok;
	const char *why = !ok ? NULL : !read_values(&c) ? "its data can't be read" : run(&c, compiled);
	if (loud && c.onnx.text)
		fputs(c.onnx.text, stderr);
	if (!ok && counts && getenv("ONNX_NODES")) {
		fprintf(stderr, "%s: ", name);
		diag_print(c.diag, stderr);
	}
	if (why)
		fprintf(stderr, "%s: FAIL %s\n", name, why);
	t->failed += why != NULL;
	if (c.module)
		ir_module_free(c.module);
	diag_free(c.diag);
	arena_free(c.arena);
}

/* Code is made for every `step`-th. */
static void run_all(int step)
{
	struct dirent **list;
	Tally t = { 0 };
	const char *only = getenv("ONNX_NODES");
	int n = scandir(data, &list, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;
		if (*name != '.' && (!only || !*only || strcmp(only, name) == 0))
			run_one(name, &t, i % step == 0 || (only && *only), only && *only);
		free(list[i]);
	}
	if (n > 0)
		free(list);
	printf("%d of %d node tests imported, %d of them differ\n", t.supported, t.scope, t.failed);
	ck_assert_int_eq(t.failed, 0);
	ck_assert_msg(only || n < 0 || t.supported * 100 >= t.scope * 90, "less than 90%% are supported");
}

START_TEST(nodes)
{
#ifdef __SANITIZE_ADDRESS__
	run_all(40);
#else
	run_all(getenv("ONNX_COMPILED") ? 1 : 5);
#endif
}
END_TEST

int main(void)
{
	Suite *s = suite_create("onnx_nodes");
	TCase *t = tcase_create("nodes");
	tcase_add_test(t, nodes);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	const int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

/* spills.c -- innermost loops of contractions keep their vectors in registers
 *
 * Typical layers are compiled to assembly, forward and backward. A vector register stored to or loaded from the stack
 * inside an innermost loop that multiplies and adds means that pass tile believed in registers that are not there.
 * Transforms of minimal filtering (math: fast) hold 36 values, more than there are registers: few of them may wait on the stack.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/passes.h"
#include "tests/support/suite.h"

enum { LINES_MAX = 1 << 14, LOOPS_MAX = 1 << 10, SPILL_SHARE = 8 };

typedef struct Function { /* lines of one function's assembly */
	char *line[LINES_MAX];
	int n;
	const char *name;
} Function;

typedef struct Span {
	int first, last;
} Span;

/* ---- assembly ---- */

static int label_line(const Function *f, const char *label, size_t len)
{
	for (int i = 0; i < f->n; i++) {
		if (!strncmp(f->line[i], label, len) && f->line[i][len] == ':')
			return i;
	}
	return -1;
}

/* Jumps back to a label are loops. */
static int find_loops(const Function *f, Span *loop)
{
	int n = 0;
	for (int i = 0; i < f->n && n < LOOPS_MAX; i++) {
		const char *to = f->line[i][0] == '\t' && f->line[i][1] == 'j' ? strstr(f->line[i], ".LBB") : NULL;
		int at = to ? label_line(f, to, strcspn(to, " \t#")) : -1;
		if (at >= 0 && at <= i)
			loop[n++] = (Span){at, i};
	}
	return n;
}

static bool innermost(const Span *loop, int n, int i)
{
	for (int j = 0; j < n; j++) {
		if (j != i && loop[j].first >= loop[i].first && loop[j].last <= loop[i].last)
			return false;
	}
	return true;
}

static bool wide(const char *line)
{
	return strstr(line, "%zmm") || strstr(line, "%ymm");
}

/* A nest without sums: loads, arithmetic, stores. */
static bool transforms(const Function *f, const char *model)
{
	return strstr(model, "math: fast") && !strstr(f->name, ".products");
}

static void check_loop(const Function *f, Span loop, const char *model)
{
	int products = 0, spills = 0;
	const char *spill = NULL;
	for (int i = loop.first; i <= loop.last; i++) {
		products += strstr(f->line[i], "vfmadd231ps") && wide(f->line[i]);
		if (wide(f->line[i]) && strstr(f->line[i], "(%rsp)")) {
			spill = f->line[i];
			spills++;
		}
	}
	if (transforms(f, model)) {
		ck_assert_msg(spills * SPILL_SHARE <= loop.last - loop.first, "%s, %s: %d spills", model, f->name, spills);
		return;
	}
	ck_assert_msg(!products || !spill, "%s, %s: a loop of %d products has%s", model, f->name, products, spill);
}

static void check_function(const Function *f, const char *model)
{
	static Span loop[LOOPS_MAX];
	int n = find_loops(f, loop);
	for (int i = 0; i < n; i++) {
		if (innermost(loop, n, i))
			check_loop(f, loop[i], model);
	}
}

/* `text` is cut into lines. Functions of kernels are called kN_…; returns how many there are. */
static int check_assembly(char *text, const char *model)
{
	static Function f;
	int functions = 0;
	f.name = NULL;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (line[0] == 'k' && strchr(line, ':')) {
			f.n = 0;
			f.name = line;
			*strchr(line, ':') = 0;
		} else if (f.name && f.n < LINES_MAX) {
			f.line[f.n++] = line;
		}
		if (f.name && strstr(line, "\t.size")) {
			check_function(&f, model);
			functions++;
			f.name = NULL;
		}
	}
	return functions;
}

/* ---- models ---- */

static char *read_all(const char *path)
{
	FILE *f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	char *text = NULL;
	size_t n = 0;
	ck_assert(getdelim(&text, &n, 0, f) >= 0);
	fclose(f);
	return text;
}

static char *assembly(const char *text, const char *cpu)
{
	char path[] = "/tmp/spills-XXXXXX";
	int fd = mkstemp(path);
	FeModel fe;
	Diag *d = diag_new();
	ck_assert(fd >= 0 && close(fd) == 0);
	ck_assert(fe_load_text("spills", text, strlen(text), NULL, 0, d, &fe));
	PassCx cx = {.diag = d, .scratch = arena_new(), .out = stdout};
	bool stopped;
	ck_assert(cg_target(cpu, "x86_64-pc-linux-gnu", d, fe.module->arena, &cx.target));
	ck_assert(passes_run(fe.module, &cx, &stopped));
	CgOptions o = {.cpu = cpu, .triple = "x86_64-pc-linux-gnu", .target = &cx.target};
	CgModule *c = cg_build(fe.module, &o, d);
	ck_assert(c && cg_emit(c, CG_ASM, path, d));
	cg_free(c);
	char *out = read_all(path);
	unlink(path);
	arena_free(cx.scratch);
	ir_module_free(fe.module);
	diag_free(d);
	return out;
}

#define MODEL(shape, layers)                                                                                           \
	"cnnc: 1\ndata: {type: npy, batch_size: 32}\nmodel:\n  input_shape: [" shape "]\n  layers:\n" layers           \
	"train: {optimizer: sgd, loss: mse}\n"
#define FAST(shape, layers) MODEL(shape, CONV("filters: 32, kernel_size: 1") layers) "build: {math: fast}\n"
#define CONV(args) "    - Conv2D: {" args ", use_bias: false}\n"

/* v4_only: 7x7 windows at the border of a picture are one test a column, which 16 registers do not hold. */
static const struct {
	const char *text;
	bool v4_only;
} cases[] = {
	{MODEL("62, 62, 3", CONV("filters: 32, kernel_size: 3")), false},
	{MODEL("29, 29, 32", CONV("filters: 64, kernel_size: 3")), false},
	{MODEL("14, 14, 64", CONV("filters: 128, kernel_size: 3, padding: same")), false},
	{MODEL("28, 28, 17", CONV("filters: 40, kernel_size: 3, padding: same")), false},
	{MODEL("28, 28, 64", CONV("filters: 48, kernel_size: 5")), false},
	{MODEL("56, 56, 64", CONV("filters: 256, kernel_size: 1") CONV("filters: 64, kernel_size: 1")), false},
	{MODEL("112, 112, 32",
	       CONV("filters: 64, kernel_size: 1") "    - BatchNormalization\n    - ReLU: {max_value: 6}\n"), false},
	{MODEL("56, 56, 64", CONV("filters: 64, kernel_size: 3, groups: 64, padding: same")), false},
	{MODEL("28, 28, 128", CONV("filters: 64, kernel_size: 3, strides: 2, padding: same")), false},
	{MODEL("64, 64, 3", CONV("filters: 64, kernel_size: 7, strides: 2, padding: same")), true},
	{MODEL("500", "    - Dense: {units: 300}\n    - Dense: {units: 10}\n"), false},
	{MODEL("2048", "    - Dense: {units: 1000}\n"), false},
	{FAST("56, 56, 64", CONV("filters: 64, kernel_size: 3, padding: same") "    - ReLU\n"), true},
	{FAST("30, 30, 32", CONV("filters: 64, kernel_size: 3") "    - MaxPooling2D\n"), true},
};

START_TEST(vectors_stay_in_registers)
{
	static const char *const cpu[] = {"x86-64-v4", "x86-64-v3"};
	for (int i = 0; i < (cases[_i].v4_only ? 1 : 2); i++) {
		char *text = assembly(cases[_i].text, cpu[i]);
		ck_assert_int_gt(check_assembly(text, strstr(cases[_i].text, "math: fast") ? "math: fast" : cpu[i]), 0);
		free(text);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("spills");
	TCase *t = tcase_create("contractions");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, vectors_stay_in_registers, 0, (int)COUNT(cases));
	suite_add_tcase(s, t);
	return suite_run(s);
}

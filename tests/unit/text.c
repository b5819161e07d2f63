/* text.c -- tests of ir/print.c, ir/parse.c and ir/lex.c: inverse of each other, located errors, any bytes survived */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "ir/ir.h"
#include "tests/support/suite.h"

/* Every op, and every attribute with a value that is not its default. */
static const char every_op[] =
	"module \"my model\" N<=32 streams 7 math fast from \"dir/classifier.yaml\"\n"
	"labels \"cat\" \"d\\\"o\\\\g\\x0a\" \"\"\n"
	"optimizer adamw {momentum 0.9, beta_1 0.1, beta_2 0.999, epsilon 1e-07, weight_decay 0.004,"
	" nesterov, amsgrad}\n"
	"param @conv2d.kernel f32[3,3,3,8] {init glorot_uniform, args 0.5 -0, stream 3, trainable, decay,"
	" l1 1e-300, l2 0.01} :25\n"
	"moment @conv2d.kernel/m f32[3,3,3,8]\n"
	"stat @\"odd name: \\x01\" f32[] {init constant, args 0.1 2}\n"
	"# a comment\n"
	"\n"
	"entry predict (img u8[N,9,9,3], \"sample id\" u32[N])\n"
	"  %img = input u8[N,9,9,3]\n"
	"  %id = input u32[N] {port 1} :3\n"
	"  %w = state f32[3,3,3,8] {of @conv2d.kernel} :25\n"
	"  %0 = state f32[] {of @\"odd name: \\x01\"}\n"
	"  %k = const f64[2,3] {value 0.1}\n"
	"  %k2 = const f32[] {value -inf}\n"
	"  %lr = scalar f32[] {which power, base 0.999}\n"
	"  %i = iota i32[N,4] {axis 1}\n"
	"  %r = random f32[N,9,9,3] %id {stream 4294967295, by_id}\n"
	"  %m = affine_draw i32[N,6] %id {rotation 1, width_shift 0.1, height_shift 0.2, shear 3,"
	" zoom_lo 0.9, zoom_hi 1.1, flip_h, flip_v, stream 2, height 9, width 9}\n"
	"  %x = warp f32[N,9,9,3] %img %m {fill reflect, cval 0.25} :17\n"
	"  %c = conv2d f32[N,9,9,8] %x %w {window 3 3, stride 1 1, pad 1 1 1 1}\n"
	"  %dx = conv2d_dx f32[N,9,9,3] %c %w {window 3 3, pad 1 1 1 1}\n"
	"  %dw = conv2d_dw f32[3,3,3,8] %x %c {window 3 3, pad 1 1 1 1}\n"
	"  %g = conv2d f32[N,3,3,3] %dx %gw {window 2 3, stride 3 2, dilation 2 2, pad 1 0 0 1, groups 3}\n"
	"  %p = maxpool f32[N,4,4,8] %c {window 2 2, stride 2 2}\n"
	"  %a = maxpool_arg u8[N,4,4,8] %c {window 2 2, stride 2 2}\n"
	"  %dp = maxpool_dx f32[N,9,9,8] %p %a {window 2 2, stride 2 2}\n"
	"  %v = avgpool f32[N,8,8,8] %c {window 2 2, groups 8}\n"
	"  %dv = avgpool_dx f32[N,9,9,8] %v {window 2 2}\n"
	"  %f = reshape f32[N,128] %p\n"
	"  %mm = matmul f32[128,128] %f %f {ta}\n"
	"  %mt = matmul f32[N,128] %f %mm {tb}\n"
	"  %s = sum f32[N,1] %f {axes 1, keep}\n"
	"  %rm = reduce_max f32[] %mm {axes 0 1}\n"
	"  %am = argmax i32[N] %f {axes 1}\n"
	"  %b = broadcast f32[N,5] %k2\n"
	"  %t = transpose f32[N,8,9,9] %c {perm 0 3 1 2}\n"
	"  %cc = concat f32[N,133] %f %b {axis 1}\n"
	"  %sl = slice f32[N,3] %f {axis 1, start 2, extent 3}\n"
	"  %pd = pad f32[N,9] %sl {axis 1, start 2, extent 9}\n"
	"  %sm = softmax f32[N,3] %sl\n"
	"  %ls = log_softmax f32[N,3] %sl\n"
	"  %cs = cast f64[N,3] %sl {to f64}\n"
	"  %lt = lt bool[N,3] %sl %k2\n"
	"  %le = le bool[N,3] %sl %k2\n"
	"  %eq = eq bool[N,3] %sl %k2\n"
	"  %an = and bool[N,3] %lt %le\n"
	"  %se = select f32[N,3] %an %sl %0\n"
	"EWISE"
	"  output \"class probability\" %sm\n"
	"  metric loss mean %s\n"
	"  metric precision precision %p8\n"
	"  metric recall recall %p8\n"
	"  metric f1 f1 %p8\n"
	"  metric auc auc %p8\n"
	"  update @conv2d.kernel %dw\n"
	"  loss %rm\n"
	"\n"
	"entry \"second one\" ()\n"
	"  %12 = const f32[2]\n"
	"  output o %12\n";

static const char *const unary[] = { "neg", "abs", "exp", "log", "log1p", "sqrt", "rsqrt", "sin", "cos", "tanh", "erf",
	                             "sigmoid", "relu", "sign", "floor" };
static const char *const binary[] = { "add", "sub", "mul", "div", "max", "min" };

/* Fills in what is easier made than written. */
static const char *full_text(Arena *a)
{
	const char *cut = strstr(every_op, "EWISE"), *rows = "";
	for (size_t i = 0; i < COUNT(unary); i++)
		rows = arena_printf(a, "%s  %%u%zu = %s f32[N,3] %%sl\n", rows, i, unary[i]);
	for (size_t i = 0; i < COUNT(binary); i++)
		rows = arena_printf(a, "%s  %%b%zu = %s f32[N,3] %%sl %%0\n", rows, i, binary[i]);
	rows = arena_printf(a, "%s  %%p8 = slice f32[N,8] %%f {axis 1, extent 8}\n", rows);
	const char *text = arena_printf(a, "%.*s%s%s", (int)(cut - every_op), every_op, rows, cut + 5);
	const char *before = strstr(text, "  %g = ");
	return arena_printf(a, "%.*s  %%gw = const f32[2,3,1,3] {value nan}\n%s", (int)(before - text), text, before);
}

static char *print(const IrModule *m)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	ir_print(m, f);
	fclose(f);
	return text;
}

/* Parses; an error is a failure of the test. */
static IrModule *parse(const char *text)
{
	Diag *d = diag_new();
	diag_source(d, "t.ir", text, strlen(text));
	IrModule *m = ir_parse("t.ir", text, strlen(text), d);
	if (m)
		ir_verify(m, d);
	diag_print(d, stderr);
	ck_assert_int_eq(diag_errors(d), 0);
	ck_assert_ptr_nonnull(m);
	diag_free(d);
	return m;
}

static void same_text(const char *a, const char *b)
{
	for (int line = 1; *a || *b; line++) {
		size_t na = strcspn(a, "\n"), nb = strcspn(b, "\n");
		ck_assert_msg(na == nb && memcmp(a, b, na) == 0, "line %d:\n%.*s\n%.*s", line, (int)na, a, (int)nb, b);
		a += na + (a[na] != 0);
		b += nb + (b[nb] != 0);
	}
}

static void same_nodes(const IrEntry *a, const IrEntry *b)
{
	const IrNode *y = b->first;
	IR_EACH(a, x) {
		ck_assert_ptr_nonnull(y);
		ck_assert_int_eq(x->op, y->op);
		ck_assert(ir_type_eq(&x->type, &y->type));
		ck_assert_int_eq(x->nin, y->nin);
		ck_assert_int_eq(x->loc.line, y->loc.line);
		if (x->loc.line)
			ck_assert_str_eq(x->loc.file, y->loc.file);
		if (x->op == OP_state)
			ck_assert_str_eq(x->attr.state.of->name, y->attr.state.of->name);
		else
			ck_assert_msg(memcmp(&x->attr, &y->attr, sizeof x->attr) == 0, "attributes of %s",
			              ir_ops[x->op].text);
		y = y->next;
	}
	ck_assert_ptr_null(y);
}

START_TEST(every_op_and_attribute)
{
	Arena *a = arena_new();
	bool seen[OP_COUNT] = { false };
	IrModule *m = parse(full_text(a));
	IR_EACH(m->entry, n)
		seen[n->op] = true;
	for (int op = 0; op < OP_COUNT; op++)
		ck_assert_msg(seen[op], "no line with op %s", ir_ops[op].text);
	char *once = print(m);
	IrModule *again = parse(once);
	char *twice = print(again);
	same_text(once, twice);
	same_nodes(m->entry, again->entry);
	same_nodes(m->entry->next, again->entry->next);
	free(once);
	free(twice);
	ir_module_free(m);
	ir_module_free(again);
	arena_free(a);
}
END_TEST

START_TEST(what_is_read)
{
	Arena *a = arena_new();
	IrModule *m = parse(full_text(a));
	const IrState *w = ir_state_find(m, "conv2d.kernel"), *odd = ir_state_find(m, "odd name: \x01");
	ck_assert_str_eq(m->name, "my model");
	ck_assert_int_eq(m->max_n, 32);
	ck_assert_uint_eq(m->next_stream, 7);
	ck_assert_int_eq(m->nlabels, 3);
	ck_assert_str_eq(m->labels[1], "d\"o\\g\n");
	ck_assert_int_eq(m->optimizer.kind, OPTIM_ADAMW);
	ck_assert(m->optimizer.amsgrad && m->optimizer.nesterov);
	ck_assert(m->optimizer.weight_decay == 0.004);
	ck_assert(w->kind == STATE_PARAM && w->init == INIT_GLOROT_UNIFORM && w->trainable && w->decay);
	ck_assert(w->init_arg[0] == 0.5 && signbit(w->init_arg[1]) && w->l1 == 1e-300 && w->init_stream == 3);
	ck_assert_int_eq(w->loc.line, 25);
	ck_assert_str_eq(w->loc.file, "dir/classifier.yaml");
	ck_assert(odd->kind == STATE_STAT && !odd->trainable && odd->loc.line == 0);
	ck_assert_str_eq(m->entry->port[1].name, "sample id");
	ck_assert_str_eq(m->entry->root[0].name, "class probability");
	ck_assert_int_eq(m->entry->root[5].metric, METRIC_AUC);
	ck_assert_ptr_eq(m->entry->root[6].state, w);
	ck_assert_int_eq(m->entry->loss->op, OP_reduce_max);
	ck_assert_uint_eq(m->entry->next->first->id, 12);
	ck_assert_uint_eq(m->entry->next->next_id, 13);
	ir_module_free(m);
	arena_free(a);
}
END_TEST

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	return *s ^= *s << 17; /* xorshift64, Marsaglia 2003 */
}

START_TEST(doubles_come_back)
{
	uint64_t seed = 88172645463325252u;
	IrModule *m = ir_module_new("m");
	IrEntry *e = ir_entry_new(m, "e");
	double special[] = { 0.0, -0.0, 1.0 / 255, 0.1, 5e-324, 1.7976931348623157e308, INFINITY, -INFINITY,
	                     NAN, 1e21, 123456789 };
	for (int i = 0; i < 2000; i++) {
		uint64_t bits = next_random(&seed);
		double x;
		memcpy(&x, &bits, sizeof x);
		if (i < (int)COUNT(special))
			x = special[i];
		ir_konst(e, (Loc){ 0 }, DT_F64, x);
	}
	char *text = print(m);
	IrModule *again = parse(text);
	const IrNode *y = again->entry->first;
	IR_EACH(e, n) {
		double was = n->attr.konst.value, is = y->attr.konst.value;
		ck_assert_msg(isnan(was) ? isnan(is) : memcmp(&was, &is, sizeof was) == 0, "%a became %a", was, is);
		y = y->next;
	}
	char *twice = print(again);
	same_text(text, twice);
	free(text);
	free(twice);
	ir_module_free(m);
	ir_module_free(again);
}
END_TEST

/* ---- errors ---- */
static const struct {
	const char *text, *error;
} bad[] = {
	{ "", "t.ir:1:1: error: 'module' is missing before the end of the text" },
	{ "entry e ()", "t.ir:1:1: error: 'module' is missing before 'entry'" },
	{ "module m", "t.ir:1:9: error: 'N<=' is missing before the end of the line" },
	{ "module m N<=0", "t.ir:1:13: error: '0' is out of range, possible are 1 to 2147483647" },
	{ "module m N<=99999999999999999999", "out of range" },
	{ "module m N<=4 junk", "t.ir:1:15: error: 'junk' does not belong here" },
	{ "module m N<=4\nparm @w f32[]", "t.ir:2:1: error: no line that begins with 'parm'; did you mean 'param'?" },
	{ "module m N<=4\n%1 = const f32[]", "stands in no entry" },
	{ "module m N<=4\nparam @w f32[N]", "t.ir:2:14: error: a number is missing before 'N'" },
	{ "module m N<=4\nparam @w f33[]", "no dtype 'f33'; did you mean 'f32'?" },
	{ "module m N<=4\nparam @w f32[1,2,3,4,5,6,7]", "at most 6 dimensions" },
	{ "module m N<=4\nparam @w f32[]\nparam @w f32[]", "t.ir:3:8: error: a second state @w" },
	{ "module m N<=4\nparam @w f32[] {init he_unifrom}", "no init 'he_unifrom'; did you mean 'he_uniform'?" },
	{ "module m N<=4\nparam @w f32[] {l1 0, l1 0}", "'l1' is given twice" },
	{ "module m N<=4\nparam @w f32[] {l1 0x10}", "a number is missing before '0x10'" },
	{ "module m N<=4\nparam @w f32[] {l1}", "a number is missing before '}'" },
	{ "module m N<=4\nparam @w f32[] {l1 0", "'}' is missing before the end of the line" },
	{ "module m N<=4\nparam @\"w", "t.ir:2:8: error: string does not end" },
	{ "module m N<=4\nparam @\"\\q\" f32[]", "bad escape" },
	{ "module m N<=4\nparam @\"\\x00\" f32[]", "bad escape" },
	{ "module m N<=4\nentry e (x f32[2], x f32[2])", "a second input 'x'" },
	{ "module m N<=4\nentry e ()\nentry e ()", "a second entry 'e'" },
	{ "module m N<=4\nentry e ()\n %1 = cnst f32[]", "t.ir:3:7: error: no op 'cnst'; did you mean 'const'?" },
	{ "module m N<=4\nentry e ()\n %1 = neg f32[] %0", "no value %0 above this line" },
	{ "module m N<=4\nentry e ()\n %1 = const f32[]\n %1 = const f32[]", "a second value %1" },
	{ "module m N<=4\nentry e ()\n %1 = input f32[]", "port 0, entry 'e' has 0 inputs" },
	{ "module m N<=4\nentry e (x f32[2])\n %1 = input f32[3]", "type is f32[3], input 'x' is f32[2]" },
	{ "module m N<=4\nentry e ()\n %1 = state f32[] {of @w}", "no state @w above this line" },
	{ "module m N<=4\nentry e ()\n %1 = const f32[] :0", "out of range" },
	{ "module m N<=4\nentry e ()\n %1 = const f32[2]\n loss %1", "loss is f32[2], not f32[]" },
	{ "module m N<=4\nentry e ()\n %1 = const f32[2]\n metric a mean %1",
	  "metric 'a' cannot be summed from f32[2]" },
	{ "module m N<=4\nentry e ()\n %1 = const f32[2]\n output a %1\n output a %1", "a second output 'a'" },
	{ "module m N<=4\nparam @w f32[]\nentry e ()\n %1 = const f32[2]\n update @w %1",
	  "state @w is f32[], its update f32[2]" },
	{ "module m N<=4\n\x01", "t.ir:2:1: error: byte 0x01 outside a string" },
};

START_TEST(errors_are_located)
{
	Diag *d = diag_new();
	char *printed = NULL;
	size_t len;
	ck_assert_ptr_null(ir_parse("t.ir", bad[_i].text, strlen(bad[_i].text), d));
	ck_assert_int_eq(diag_errors(d), 1);
	FILE *f = open_memstream(&printed, &len);
	diag_print(d, f);
	fclose(f);
	ck_assert_msg(strstr(printed, bad[_i].error), "%s\n%s", bad[_i].text, printed);
	free(printed);
	diag_free(d);
}
END_TEST

/* ---- any bytes ---- */

/* Either one error and no module, or a sound module that prints and parses back. */
static void survive(const char *text, size_t len)
{
	/* An exact copy, so that AddressSanitizer sees a read behind the end. */
	char *copy = malloc(len ? len : 1);
	memcpy(copy, text, len);
	Diag *d = diag_new();
	IrModule *m = ir_parse("t.ir", copy, len, d);
	ck_assert_int_eq(diag_errors(d), m ? 0 : 1);
	free(copy);
	if (m) {
		ck_assert(ir_verify(m, d));
		char *once = print(m);
		IrModule *again = parse(once);
		char *twice = print(again);
		same_text(once, twice);
		free(once);
		free(twice);
		ir_module_free(again);
	}
	ir_module_free(m);
	diag_free(d);
}

START_TEST(truncated_texts)
{
	Arena *a = arena_new();
	const char *text = full_text(a);
	for (size_t len = 0; len <= strlen(text); len += 1 + len % 3)
		survive(text, len);
	arena_free(a);
}
END_TEST

START_TEST(mutated_texts)
{
	static const char pool[] = " \n\"%@:{},()[]<=#-.0123456789NeEx\\\xff\0abcf";
	uint64_t seed = 1442695040888963407u;
	Arena *a = arena_new();
	const char *text = full_text(a);
	size_t len = strlen(text);
	char *work = arena_alloc(a, len + 64, 1);
	for (int round = 0; round < 1500; round++) {
		size_t n = len;
		memcpy(work, text, len);
		for (uint64_t edits = 1 + next_random(&seed) % 4; edits > 0; edits--) {
			size_t at = next_random(&seed) % n, from = next_random(&seed) % n;
			size_t run = next_random(&seed) % 16;
			run = run > n - at ? n - at : run;
			run = run > n - from ? n - from : run;
			if (next_random(&seed) % 3 == 0)
				memmove(work + at, work + from, run); /* a piece from elsewhere */
			else if (next_random(&seed) % 2)
				work[at] = pool[next_random(&seed) % (sizeof pool - 1)];
			else
				work[at] = (char)next_random(&seed);
		}
		survive(work, n);
	}
	arena_free(a);
}
END_TEST

START_TEST(large_texts_take_linear_time)
{
	enum { LINES = 60000 };
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	fputs("module m N<=4\n", f);
	for (int i = 0; i < LINES; i++)
		fprintf(f, "param @layer_%d.kernel f32[3]\n", i);
	fputs("entry e ()\n%0 = const f32[3]\n", f);
	for (int i = 1; i < LINES; i++)
		fprintf(f, "%%%d = neg f32[3] %%%d\n", i, i - 1);
	for (int i = 0; i < LINES; i++)
		fprintf(f, "update @layer_%d.kernel %%%d\n", i, i);
	fclose(f);
	IrModule *m = parse(text);
	ck_assert_int_eq(m->entry->nroot, LINES);
	ir_module_free(m);
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("text");
	TCase *c = tcase_create("text");
	tcase_set_timeout(c, 300);
	tcase_add_test(c, every_op_and_attribute);
	tcase_add_test(c, what_is_read);
	tcase_add_test(c, doubles_come_back);
	tcase_add_loop_test(c, errors_are_located, 0, (int)COUNT(bad));
	tcase_add_test(c, truncated_texts);
	tcase_add_test(c, mutated_texts);
	tcase_add_test(c, large_texts_take_linear_time);
	suite_add_tcase(s, c);
	return suite_run(s);
}

/* shapes.c -- tests of the shape and dtype rules (ir/infer*.c): what fits gives the type, what does not is explained
 *
 * Each case is one line of the text form, so a written type that the rule does not give is an error too.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "ir/ir.h"
#include "tests/support/suite.h"

typedef struct Case {
	const char *op, *in[3], *attr, *type;
	const char *error; /* NULL: the rule gives `type` */
} Case;

static const Case cases[] = {
	/* sources */
	{ "const", { 0 }, "{value 2}", "f32[3,3]", 0 },
	{ "const", { 0 }, "", "f32[2000000,2000000]", "too large" },
	{ "const", { 0 }, "", "f32[N,2000000,2000000]", "too large" },
	{ "scalar", { 0 }, "{which lr}", "f32[]", 0 },
	{ "scalar", { 0 }, "{which step}", "u32[]", 0 },
	{ "scalar", { 0 }, "{which pass}", "f32[]", "type is f32[], operands give u32[]" },
	{ "iota", { 0 }, "{axis 1}", "i32[N,7]", 0 },
	{ "iota", { 0 }, "{axis 2}", "i32[N,7]", "axis 2, result has 2 dimensions" },
	{ "iota", { 0 }, "", "f32[N,7]", "indices are i32" },
	{ "random", { 0 }, "{stream 1}", "f32[N,7]", 0 },
	{ "random", { "u32[N]" }, "{stream 1, by_id}", "f32[N,7]", 0 },
	{ "random", { "u32[N]" }, "{stream 1}", "f32[N,7]", "1 operands, by_id wants 0" },
	{ "random", { "i32[N]" }, "{by_id}", "f32[N,7]", "sample ids are i32[N]" },
	{ "random", { 0 }, "", "i32[7]", "random numbers are floats" },
	{ "state", { 0 }, "", "f32[]", "no state" },
	/* pointwise */
	{ "add", { "f32[N,6,5]", "f32[5]" }, "", "f32[N,6,5]", 0 },
	{ "add", { "f32[N,1,5]", "f32[6,1]" }, "", "f32[N,6,5]", 0 },
	{ "add", { "f32[1,5]", "f32[N,1]" }, "", "f32[N,5]", 0 },
	{ "add", { "f32[]", "f32[N]" }, "", "f32[N]", 0 },
	{ "mul", { "i32[4]", "i32[4]" }, "", "i32[4]", 0 },
	{ "add", { "f32[N,6]", "f32[5]" }, "", "f32[N,6]", "shapes do not fit: f32[N,6] and f32[5]" },
	{ "add", { "f32[N,6]", "f32[32,6]" }, "", "f32[N,6]", "shapes do not fit: f32[N,6] and f32[32,6]" },
	{ "add", { "f32[N]", "f32[5,1]" }, "", "f32[5,5]", "N would be dimension 1" },
	{ "add", { "f32[4]", "i32[4]" }, "", "f32[4]", "operands differ in type: f32 and i32" },
	{ "add", { "bool[4]", "bool[4]" }, "", "bool[4]", "bool has no arithmetic" },
	{ "add", { "f32[4]" }, "", "f32[4]", "1 operands, possible are 2 to 2" },
	{ "add", { "f32[1,100000,1]", "f32[100000,1,100000]" }, "", "f32[1]", "too large" },
	{ "exp", { "i32[4]" }, "", "i32[4]", "operand 0 is i32, a float type is needed" },
	{ "relu", { "f64[N,3]" }, "", "f64[N,3]", 0 },
	{ "cast", { "u8[N,3]" }, "{to f32}", "f32[N,3]", 0 },
	{ "cast", { "u8[N,3]" }, "", "f32[N,3]", "no such dtype: -1" },
	{ "cast", { "u8[N,3]" }, "{to bf16}", "bf16[N,3]", "bf16 is for kernels only" },
	{ "lt", { "f32[N,3]", "f32[]" }, "", "bool[N,3]", 0 },
	{ "and", { "bool[N,3]", "bool[3]" }, "", "bool[N,3]", 0 },
	{ "eq", { "i32[N]", "u32[N]" }, "", "bool[N]", "i32 and u32" },
	{ "select", { "bool[N,3]", "f32[3]", "f32[]" }, "", "f32[N,3]", 0 },
	{ "select", { "f32[N,3]", "f32[3]", "f32[]" }, "", "f32[N,3]", "condition is f32, not bool" },
	{ "select", { "bool[2]", "f32[3]", "f32[]" }, "", "f32[3]", "bool[2], f32[3] and f32[]" },
	{ "softmax", { "f32[N,10]" }, "", "f32[N,10]", 0 },
	{ "softmax", { "f32[N]" }, "", "f32[N]", "no axis of features" },
	/* shape */
	{ "reshape", { "f32[N,6,6,128]" }, "", "f32[N,4608]", 0 },
	{ "reshape", { "f32[N,6,6]" }, "", "f32[N,35]", "f32[N,6,6] has 36 elements a sample, f32[N,35] has 35" },
	{ "reshape", { "f32[N,6]" }, "", "f32[6]", "N must stay outermost" },
	{ "reshape", { "f32[6]" }, "", "i32[6]", "operand is f32, result i32" },
	{ "broadcast", { "f32[3,1]" }, "", "f32[N,3,4]", 0 },
	{ "broadcast", { "f32[3]" }, "", "f32[N,4]", "f32[3] does not stretch to f32[N,4]" },
	{ "broadcast", { "f32[N,3]" }, "", "f32[3]", "does not stretch" },
	{ "transpose", { "f32[N,3,4]" }, "{perm 0 2 1}", "f32[N,4,3]", 0 },
	{ "transpose", { "f32[N,3,4]" }, "{perm 1 0 2}", "f32[N,4,3]", "N would be dimension 1" },
	{ "transpose", { "f32[2,3,4]" }, "{perm 0 2 2}", "f32[2,3,4]", "2 at 2 is no permutation of 3 axes" },
	{ "transpose", { "f32[2,3]" }, "{perm 0 -1}", "f32[2,3]", "-1 at 1 is no permutation" },
	{ "concat", { "f32[N,3]", "f32[N,4]" }, "{axis 1}", "f32[N,7]", 0 },
	{ "concat", { "f32[N,3]", "f32[N,4]" }, "{axis 0}", "f32[N,7]", "axis 0 is N" },
	{ "concat", { "f32[2,3]", "f32[3,4]" }, "{axis 1}", "f32[2,7]", "f32[2,3] and f32[3,4] differ beside axis 1" },
	{ "concat", { "u8[2000000000]", "u8[2000000000]" }, "{axis 0}", "u8[1]",
	  "would be 4000000000, more than 2147483647" },
	{ "slice", { "f32[N,9]" }, "{axis 1, start 2, extent 3}", "f32[N,3]", 0 },
	{ "slice", { "f32[N,9]" }, "{axis 1, start 7, extent 3}", "f32[N,3]",
	  "3 at 7 does not lie in extent 9 of axis 1" },
	{ "slice", { "f32[9]" }, "{start 2147483647, extent 2147483647}", "f32[3]", "does not lie" },
	{ "slice", { "f32[9]" }, "{axis -1, extent 1}", "f32[1]", "axis -1" },
	{ "pad", { "f32[N,3]" }, "{axis 1, start 2, extent 9}", "f32[N,9]", 0 },
	{ "pad", { "f32[N,3]" }, "{axis 1, start 7, extent 9}", "f32[N,9]", "3 at 7 does not lie in extent 9" },
	/* reductions */
	{ "sum", { "f32[N,3,4]" }, "{axes 0 2}", "f32[3]", 0 },
	{ "sum", { "f32[N,3,4]" }, "{axes 0 2, keep}", "f32[1,3,1]", 0 },
	{ "sum", { "f32[N,3]" }, "", "f32[N,3]", "no axis to reduce" },
	{ "sum", { "f32[N,3]" }, "{axes 2}", "f32[N,3]", "axes 0x4, operand f32[N,3] has 2 dimensions" },
	{ "sum", { "bool[N,3]" }, "{axes 1}", "bool[N]", "bool has no arithmetic" },
	{ "reduce_max", { "u8[N,3]" }, "{axes 1}", "u8[N]", 0 },
	{ "argmax", { "f32[N,3]" }, "{axes 1}", "i32[N]", 0 },
	{ "argmax", { "f32[N,3]" }, "{axes 1, keep}", "i32[N,1]", 0 },
	{ "argmax", { "f32[N,3]" }, "{axes 0 1}", "i32[]", "one axis is possible" },
	/* matmul */
	{ "matmul", { "f32[N,4]", "f32[4,3]" }, "", "f32[N,3]", 0 },
	{ "matmul", { "f32[N,4]", "f32[N,3]" }, "{ta}", "f32[4,3]", 0 },
	{ "matmul", { "f32[N,3]", "f32[4,3]" }, "{tb}", "f32[N,4]", 0 },
	{ "matmul", { "f32[N,784]", "f32[28,3]" }, "", "f32[N,3]",
	  "inner sizes differ: 784 in f32[N,784] and 28 in f32[28,3]" },
	{ "matmul", { "f32[5,4]", "f32[N,4]" }, "{tb}", "f32[5,5]", "N would be dimension 1" },
	{ "matmul", { "f32[N,4]", "f32[4]" }, "", "f32[N]", "two matrices are needed" },
	{ "matmul", { "i32[2,4]", "i32[4,2]" }, "", "i32[2,2]", "a float type is needed" },
	/* convolutions */
	{ "conv2d", { "f32[N,64,64,3]", "f32[3,3,3,32]" }, "{window 3 3}", "f32[N,62,62,32]", 0 },
	{ "conv2d", { "f32[N,7,9,2]", "f32[3,2,2,5]" }, "{window 3 2, stride 2 3, dilation 1 2, pad 1 0 1 1}",
	  "f32[N,4,3,5]", 0 },
	{ "conv2d", { "f32[2,8,8,6]", "f32[1,1,2,9]" }, "{groups 3}", "f32[2,8,8,9]", 0 },
	{ "conv2d", { "f32[N,8,8,3]", "f32[3,3,4,8]" }, "{window 3 3}", "f32[N,6,6,8]",
	  "input has 3 channels, kernel wants 4" },
	{ "conv2d", { "f32[N,8,8,6]", "f32[3,3,6,8]" }, "{window 3 3, groups 2}", "f32[N,6,6,8]",
	  "input has 3 channels a group, kernel wants 6" },
	{ "conv2d", { "f32[N,8,8,6]", "f32[3,3,1,8]" }, "{window 3 3, groups 4}", "f32[N,6,6,8]",
	  "6 channels and 8 filters do not divide into 4 groups" },
	{ "conv2d", { "f32[N,8,8,6]", "f32[3,3,1,8]" }, "{window 3 3, groups 0}", "f32[N,6,6,8]", "into 0 groups" },
	{ "conv2d", { "f32[N,2,2,3]", "f32[3,3,3,8]" }, "{window 3 3}", "f32[N,1,1,8]",
	  "window of 3 does not fit into height 2" },
	{ "conv2d", { "f32[N,8,4,3]", "f32[3,3,3,8]" }, "{window 3 3, dilation 1 3, pad 0 1 0 1}", "f32[N,1,1,8]",
	  "window of 3 (7 dilated) does not fit into width 4 (6 padded)" },
	{ "conv2d", { "f32[N,8,8,3]", "f32[3,3,3,8]" }, "{window 5 5}", "f32[N,4,4,8]", "window is 5x5, kernel 3x3" },
	{ "conv2d", { "f32[N,8,8,3]", "f32[3,3,3,8]" }, "{window 3 3, stride 0 1}", "f32[N,4,4,8]",
	  "stride in height is 0" },
	{ "conv2d", { "f32[N,8,8,3]", "f32[3,3,3,8]" }, "{window 3 3, pad -1 0 0 0}", "f32[N,4,4,8]", "padding is -1" },
	{ "conv2d", { "f32[N,8,8]", "f32[3,3,3,8]" }, "{window 3 3}", "f32[N,4,4,8]",
	  "input f32[N,8,8] has 3 dimensions, 4 are needed" },
	{ "conv2d_dx", { "f32[N,6,6,8]", "f32[3,3,4,8]" }, "{window 3 3}", "f32[N,8,8,4]", 0 },
	{ "conv2d_dx", { "f32[N,3,3,8]", "f32[3,3,4,8]" }, "{window 3 3, stride 2 2}", "f32[N,8,8,4]", 0 },
	{ "conv2d_dx", { "f32[N,6,6,8]", "f32[3,3,4,8]" }, "{window 3 3}", "f32[N,9,9,4]",
	  "gradient is f32[N,6,6,8], the convolution" },
	{ "conv2d_dw", { "f32[N,8,8,4]", "f32[N,6,6,8]" }, "{window 3 3}", "f32[3,3,4,8]", 0 },
	{ "conv2d_dw", { "f32[N,8,8,4]", "f32[N,6,6,8]" }, "{window 3 3}", "f32[3,3,5,8]",
	  "input has 4 channels, kernel wants 5" },
	/* pooling */
	{ "maxpool", { "f32[N,7,7,3]" }, "{window 2 2, stride 2 2}", "f32[N,3,3,3]", 0 },
	{ "maxpool", { "f32[N,7,7,3]" }, "{window 3 3, stride 2 2, pad 1 1 1 1}", "f32[N,4,4,3]", 0 },
	{ "maxpool", { "f32[N,7,7,3]" }, "{window 2 2, pad 2 0 0 0}", "f32[N,8,6,3]", "lies in the padding" },
	{ "maxpool", { "f32[N,1,7,3]" }, "{window 2 1, dilation 2 1, pad 1 0 1 0}", "f32[N,1,7,3]",
	  "lies in the padding" },
	{ "avgpool", { "i32[N,7,7,3]" }, "{window 2 2}", "i32[N,6,6,3]", "a float type is needed" },
	{ "maxpool_arg", { "f32[N,8,8,3]" }, "{window 2 2, stride 2 2}", "u8[N,4,4,3]", 0 },
	{ "maxpool_arg", { "f32[N,80,80,3]" }, "{window 17 16}", "i32[N,64,65,3]", 0 },
	{ "maxpool", { "f32[N,5,7,7,3]" }, "{window 2 3, depth_window 2, stride 2 1, depth_stride 3, depth_dilation 1}", "f32[N,2,3,5,3]", 0 },
	{ "conv2d", { "f32[N,5,7,7,4]", "f32[2,3,3,2,6]" }, "{window 3 3, depth_window 2, depth_stride 1, depth_dilation 2, depth_pad 1 0, groups 2}",
	  "f32[N,4,5,5,6]", 0 },
	{ "conv2d", { "f32[N,7,7,4]", "f32[3,3,4,6]" }, "{window 3 3, depth_window 2, depth_stride 1, depth_dilation 1}", "f32[N,5,5,6]",
	  "has 4 dimensions, 5 are needed" },
	{ "maxpool_dx", { "f32[N,3,3,3]", "u8[N,3,3,3]" }, "{window 2 2, stride 2 2}", "f32[N,7,7,3]", 0 },
	{ "maxpool_dx", { "f32[N,3,3,3]", "u8[N,3,3,3]" }, "{window 2 2, stride 2 2}", "f32[N,8,7,3]",
	  "does not belong to input f32[N,8,7,3]" },
	{ "maxpool_dx", { "f32[N,3,3,3]", "i32[N,3,3,3]" }, "{window 2 2, stride 2 2}", "f32[N,7,7,3]",
	  "positions are i32[N,3,3,3], not u8[N,3,3,3]" },
	{ "avgpool_dx", { "f32[N,3,3,3]" }, "{window 2 2, stride 2 2}", "f32[N,7,7,3]", 0 },
	/* pictures */
	{ "affine_draw", { "u32[N]" }, "{height 64, width 48}", "i32[N,6]", 0 },
	{ "affine_draw", { "u32[N]" }, "{height 64}", "i32[N,6]", "picture of 64x0" },
	{ "affine_draw", { "f32[N]" }, "{height 64, width 48}", "i32[N,6]", "sample ids are f32[N]" },
	{ "warp", { "u8[N,64,48,3]", "i32[N,6]" }, "", "f32[N,64,48,3]", 0 },
	{ "warp", { "f32[N,64,48,3]", "i32[N,6]" }, "", "f32[N,64,48,3]", 0 },
	{ "warp", { "i32[N,64,48,3]", "i32[N,6]" }, "", "f32[N,64,48,3]", "picture is i32[N,64,48,3], not u8 or f32" },
	{ "warp", { "u8[N,64,48,3]", "i32[6]" }, "", "f32[N,64,48,3]", "map is i32[6], not i32[N,6]" },
	{ "warp", { "u8[N,64,40000,3]", "i32[N,6]" }, "", "f32[N,64,40000,3]", "picture of 64x40000" },
};

static const char *text_of(const Case *c, Arena *a)
{
	const char *ports = "", *inputs = "", *operands = "";
	for (int i = 0; i < 3 && c->in[i]; i++) {
		ports = arena_printf(a, "%s%sp%d %s", ports, i ? ", " : "", i, c->in[i]);
		inputs = arena_printf(a, "%s%%%d = input %s {port %d}\n", inputs, i, c->in[i], i);
		operands = arena_printf(a, "%s %%%d", operands, i);
	}
	return arena_printf(a, "module t N<=4\nentry e (%s)\n%s%%y = %s %s %s %s\noutput y %%y\n", ports, inputs, c->op,
	                    c->type, operands, c->attr);
}

START_TEST(rule)
{
	const Case *c = &cases[_i];
	Arena *a = arena_new();
	Diag *d = diag_new();
	const char *text = text_of(c, a);
	char *printed = NULL;
	size_t len;
	IrModule *m = ir_parse("t.ir", text, strlen(text), d);
	ck_assert_int_eq(m != NULL, diag_errors(d) == 0);
	if (m)
		ck_assert(ir_verify(m, d));
	FILE *f = open_memstream(&printed, &len);
	diag_print(d, f);
	fclose(f);
	if (c->error)
		ck_assert_msg(!m && strstr(printed, c->error), "%s%s: wanted '%s'", text, printed, c->error);
	else
		ck_assert_msg(m, "%s%s", text, printed);
	ir_module_free(m);
	free(printed);
	diag_free(d);
	arena_free(a);
}
END_TEST

START_TEST(flops)
{
	static const struct {
		const char *op, *in[2], *attr, *type;
		int64_t flops;
	} want[] = {
		{ "conv2d", { "f32[N,8,8,4]", "f32[3,3,4,16]" }, "{window 3 3}", "f32[N,6,6,16]",
		  2L * 6 * 6 * 16 * 9 * 4 },
		{ "conv2d", { "f32[N,8,8,4]", "f32[3,3,1,4]" }, "{window 3 3, groups 4}", "f32[N,6,6,4]",
		  2L * 6 * 6 * 4 * 9 },
		{ "conv2d_dx", { "f32[N,6,6,16]", "f32[3,3,4,16]" }, "{window 3 3}", "f32[N,8,8,4]",
		  2L * 6 * 6 * 16 * 9 * 4 },
		{ "conv2d_dw", { "f32[N,8,8,4]", "f32[N,6,6,16]" }, "{window 3 3}", "f32[3,3,4,16]",
		  2L * 6 * 6 * 16 * 9 * 4 },
		{ "matmul", { "f32[N,5]", "f32[N,7]" }, "{ta}", "f32[5,7]", 2L * 5 * 7 },
		{ "matmul", { "f32[3,5]", "f32[5,7]" }, "", "f32[3,7]", 2L * 3 * 5 * 7 },
	};
	for (size_t i = 0; i < COUNT(want); i++) {
		Arena *a = arena_new();
		Diag *d = diag_new();
		Case c = { want[i].op, { want[i].in[0], want[i].in[1] }, want[i].attr, want[i].type, NULL };
		const char *text = text_of(&c, a);
		IrModule *m = ir_parse("t.ir", text, strlen(text), d);
		ck_assert_ptr_nonnull(m);
		ck_assert_int_eq(ir_flops(m->entry->last), want[i].flops);
		ir_module_free(m);
		diag_free(d);
		arena_free(a);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("shapes");
	TCase *c = tcase_create("shapes");
	tcase_add_loop_test(c, rule, 0, (int)COUNT(cases));
	tcase_add_test(c, flops);
	suite_add_tcase(s, c);
	return suite_run(s);
}

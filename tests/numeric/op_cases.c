/* op_cases.c -- single ops over odd shapes: see op_cases.h */
#include "tests/numeric/op_cases.h"

#define WIN(sh, sw, th, tw, dh, dw, pt, pl, pb, pr, g) \
	{ { sh, sw }, { th, tw }, { dh, dw }, { pt, pl, pb, pr }, g }
#define CONV(...) { .conv = WIN(__VA_ARGS__) }
#define POOL(...) { .pool = WIN(__VA_ARGS__) }

const OpCase op_cases[] = {
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
	{ { .op = OP_affine_draw, .in = { "u32[N]" },
	    .attr = { .affine = { 10, .2, .1, 15, .8, 1.2, .8, 1.2, true, true, false, 5, 12, 16 } } }, true },
	{ { .op = OP_affine_draw, .in = { "u32[N]" },
	    .attr = { .affine = { 0, .2, .1, 0, 1, 1, 1, 1, true, false, false, 5, 12, 16 } } }, true },
	{ { .op = OP_affine_draw, .in = { "u32[N]" },
	    .attr = { .affine = { 0, 0, 0, 0, 1, 1, 1, 1, false, false, false, 5, 12, 16 } } }, true },
};

const int op_ncases = COUNT(op_cases);

IrModule *op_case_module(const OpCase *c)
{
	IrModule *m = ir_module_new("one");
	m->max_n = OP_CASE_SAMPLES;
	IrEntry *e = ir_entry_new(m, "predict");
	ir_root_new(e, (IrRoot){ .kind = ROOT_OUTPUT, .name = "y", .value = one_op_build(e, &c->op) });
	return m;
}

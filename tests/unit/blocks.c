/* blocks.c -- blocks, repetitions and layers used again: the layers that they become, and what is refused */
#include <check.h>
#include <string.h>
#include "frontend/frontend.h"
#include "tests/support/suite.h"

#define HEAD "cnnc: 1\ndata: {type: npy, batch_size: 5}\n"
#define MODEL "model:\n  input_shape: [8, 8, 4]\n  layers:\n"
#define L(text) "    - " text "\n"
#define IN(text) "      - " text "\n"

static FeModel model;
static Diag *diag;

static bool load(const char *text)
{
	diag = diag_new();
	return fe_load_text("m.yaml", text, strlen(text), NULL, 0, diag, &model);
}

/* "name channels" of all layers */
static const char *layers(void)
{
	Arena *a = model.module->arena;
	const char *text = "";
	for (int i = 0; i < model.nlayers; i++) {
		const IrType *t = &model.layer[i].type;
		text = arena_printf(a, "%s%s%s %d", text, i ? ", " : "", model.layer[i].name, t->dim[t->rank - 1]);
	}
	return text;
}

static const struct { const char *text, *want; int64_t params; } good[] = {
	{HEAD MODEL L("Conv2D: {filters: 3, kernel_size: 3, repeat: 2, name: c}") L("ReLU: {repeat: 2}"),
	 "c 3, c_1 3, re_lu 3, re_lu_1 3", 9 * 12 + 3 + 9 * 9 + 3},
	/* parameters and defaults, in expressions too; what is outside a block */
	{HEAD "define: {w: 4}\nblocks:\n  res:\n    params: {width: $w, act: relu}\n    layers:\n"
	 IN("Dense: {units: 2 * $width // 2, name: a, activation: $act}") IN("Dense: {units: $width, use_bias: false}")
	 IN("Add: {inputs: [x, a]}") MODEL L("res: {repeat: 2}") L("res: {name: last, act: {elu: {alpha: 0.5}}}"),
	 "res_a 4, dense 4, add 4, res_1_a 4, dense_1 4, add_1 4, last_a 4, dense_2 4, add_2 4", 3 * (20 + 16)},
	/* a block in a block; its name stands for its last layer, there and outside; x of the first one is the model's input */
	{HEAD "blocks:\n  two:\n    params: {n: null}\n    layers:\n" IN("Dense: {units: $n}") IN("Dense: {units: 1 + $n, name: d}")
	 "  both:\n    params: {n: 3}\n    layers:\n" IN("two: {n: $n + 1, name: t}") IN("two: {n: 2 * $n, inputs: x}")
	 IN("Concatenate: {inputs: [x, t, two]}") MODEL L("both") L("both: {n: 1, name: b}") L("Concatenate: {inputs: [both, b]}"),
	 "dense 4, both_t_d 5, dense_1 6, both_two_d 7, concatenate 16, dense_2 2, b_t_d 3, dense_3 2, b_two_d 3, concatenate_1 22, "
	 "concatenate_2 38",
	 20 + 25 + 30 + 49 + 34 + 9 + 34 + 9},
	/* several inputs of a block */
	{HEAD "blocks:\n  sum:\n    layers:\n" IN("Add") IN("Dense: {units: 2}") IN("Dense: {units: 3, inputs: dd}") MODEL
	 L("Dense: {units: 4, name: dd}") L("sum: {inputs: [input, dd]}") L("sum: {inputs: [dd, dd], name: s}"),
	 "dd 4, add 4, dense 2, dense_1 3, add_1 4, dense_2 2, dense_3 3", 20 + 2 * (10 + 15)},
	/* weights used again count once */
	{HEAD MODEL L("Dense: {units: 4, name: t}") L("t") L("Shared: {layer: t, inputs: input}") L("t: {name: u}") L("u"),
	 "t 4, shared 4, shared_1 4, u 4, shared_2 4", 20},
	{HEAD "blocks:\n  b:\n    layers:\n" IN("Dense: {units: 4, name: t}") IN("t") MODEL L("b: {repeat: 2}"),
	 "b_t 4, shared 4, b_1_t 4, shared_1 4", 40},
	{HEAD MODEL L("Conv2D: {filters: 4, kernel_size: 3, name: t}") L("t"), "t 4, shared 4", 148},
	/* numbers of copies, texts, fields and layers left out */
	{HEAD "define: {w: 2}\nblocks:\n  b:\n    params: {n: 1, on: 1, act: ~}\n    layers:\n"
	 IN("Dense: {units: $copy + $w, name: \"d${copy}\", repeat: $n, activation: $act}") IN("ReLU: {repeat: $on, name: \"r${n + 1}\"}")
	 MODEL L("b: {n: 2, act: ~, name: \"s${copy}\", repeat: 1}") L("b: {act: tanh, on: 0, name: \"t${copy * 2}\", repeat: 2}"),
	 "s1_d1 3, s1_d2 4, s1_r3 4, t2_d1 3, t4_d1 3", 5 * 3 + 4 * 4 + 5 * 3 + 4 * 3},
};

START_TEST(written_out)
{
	if (!load(good[_i].text)) {
		diag_print(diag, stderr);
		ck_abort_msg("refused:\n%s", good[_i].text);
	}
	ck_assert_str_eq(layers(), good[_i].want);
	ck_assert_int_eq(model.params, good[_i].params);
	ck_assert(ir_verify(model.module, diag));
	ir_module_free(model.module);
	diag_free(diag);
}
END_TEST

static const struct { const char *text, *error; } bad[] = {
	{HEAD "blocks: [1]\n" MODEL L("ReLU"), "blocks is a mapping"},
	{HEAD "blocks: {Dense: {layers: [ReLU]}}\n" MODEL L("ReLU"), "can't be called 'Dense'"},
	{HEAD "blocks: {b: {layers: []}}\n" MODEL L("b"), "block b: a mapping of 'layers'"},
	{HEAD "blocks: {b: {layers: [ReLU], n: 1}}\n" MODEL L("b"), "no 'n'"},
	{HEAD "blocks: {b: {layers: [b]}}\n" MODEL L("b"), "block b contains itself"},
	{HEAD "blocks: {b: {layers: [c]}, c: {layers: [ReLU, b]}}\n" MODEL L("b"), "block b contains itself"},
	{HEAD "blocks: {b: {params: {width: ~}, layers: [ReLU]}}\n" MODEL L("b"), "block b needs 'width'"},
	{HEAD "blocks: {b: {params: {width: 1}, layers: [ReLU]}}\n" MODEL L("b: {widht: 1}"), "did you mean 'width'?"},
	{HEAD "blocks: {b: {layers: [Dense: {units: $n}]}}\n" MODEL L("b"), "$n is not defined"},
	{HEAD "blocks: {b: {layers: [{ReLU: {repeat: 5000}}]}}\n" MODEL L("b: {repeat: 3}"), "more than 8192 layers"},
	{HEAD MODEL L("ReLU: {repeat: -1}"), "repeat must be an integer from 0 to 8192"},
	{HEAD "blocks: {b: {params: {n: 0}, layers: [{ReLU: {repeat: $n}}]}}\n" MODEL L("ReLU") L("b"), "block b has no layers here"},
	{HEAD "blocks: {b: {params: {n: 0}, layers: [{ReLU: {name: \"a${m}\"}}]}}\n" MODEL L("b"), "$m is not defined"},
	{HEAD "blocks: {b: {params: {n: 0}, layers: [{ReLU: {name: \"a${n +}\"}}]}}\n" MODEL L("b"), "is not a number"},
	{HEAD MODEL L("ReLU: {repeat: many}"), "'many' is not a number"},
	{HEAD MODEL L("Dense: {units: 3, name: t}") L("t"), "here it would be (3, 3)"},
	{HEAD MODEL L("Shared: {layer: t}"), "no layer 't' stands above"},
	{HEAD MODEL L("Shared: {layer: input}"), "is an input, not a layer"},
	{HEAD MODEL L("Shared"), "Shared needs 'layer'"},
	{HEAD MODEL L("t"), "there is no layer 't'"},
};

START_TEST(refused)
{
	char text[4096] = "";
	FILE *f = fmemopen(text, sizeof text - 1, "w");
	ck_assert(!load(bad[_i].text));
	diag_print(diag, f);
	fclose(f);
	ck_assert_msg(strstr(text, bad[_i].error) != NULL, "%s\nsays\n%s", bad[_i].text, text);
	diag_free(diag);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("blocks");
	TCase *t = tcase_create("blocks");
	tcase_add_loop_test(t, written_out, 0, (int)(sizeof good / sizeof *good));
	tcase_add_loop_test(t, refused, 0, (int)(sizeof bad / sizeof *bad));
	suite_add_tcase(s, t);
	return suite_run(s);
}

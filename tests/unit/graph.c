/* graph.c -- tests of ir/graph.c and ir/verify.c: building, order, copying; every checked invariant */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "ir/ir.h"
#include "tests/support/suite.h"

static const Loc nowhere = { 0 };

/* predict: y = relu(x . w + b), metric sum of y, update of b */
typedef struct Net {
	IrModule *m;
	IrEntry *e;
	IrState *w, *b;
	IrNode *x, *read_w, *read_b, *dot, *plus, *y;
} Net;

static Net net_new(void)
{
	Net t = { .m = ir_module_new("net") };
	int32_t x[] = { IR_N, 4 }, w[] = { 4, 3 }, b[] = { 3 };
	t.m->max_n = 8;
	t.w = ir_state_new(t.m, "dense.kernel", ir_type(DT_F32, 2, w), STATE_PARAM, nowhere);
	t.b = ir_state_new(t.m, "dense.bias", ir_type(DT_F32, 1, b), STATE_PARAM, nowhere);
	t.e = ir_entry_new(t.m, "predict");
	int port = ir_port_new(t.e, "x", ir_type(DT_F32, 2, x));
	t.x = ir_input(t.e, nowhere, port);
	t.read_w = ir_state_read(t.e, nowhere, t.w);
	t.read_b = ir_state_read(t.e, nowhere, t.b);
	t.dot = ir_matmul(t.e, t.x, t.read_w, false, false);
	t.plus = ir_binary(t.e, OP_add, t.dot, t.read_b);
	t.y = ir_unary(t.e, OP_relu, t.plus);
	ir_root_new(t.e, (IrRoot){ .kind = ROOT_OUTPUT, .name = "y", .value = t.y });
	IrNode *row = ir_reduce(t.e, OP_sum, t.y, 1u << 1, false);
	ir_root_new(t.e, (IrRoot){ .kind = ROOT_METRIC, .name = "loss", .value = row });
	IrNode *mean = ir_reduce(t.e, OP_sum, t.y, 1u << 0, false);
	ir_root_new(t.e, (IrRoot){ .kind = ROOT_UPDATE, .value = mean, .state = t.b });
	t.e->loss = ir_reduce(t.e, OP_sum, mean, 1u << 0, false);
	return t;
}

static char *text_of(const IrModule *m)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	ir_print(m, f);
	fclose(f);
	return text;
}

static int place(const IrEntry *e, const IrNode *want)
{
	int i = 0;
	IR_EACH(e, n) {
		if (n == want)
			return i;
		i++;
	}
	return -1;
}

START_TEST(building)
{
	Net t = net_new();
	Arena *a = arena_new();
	Diag *d = diag_new();
	ck_assert(ir_verify(t.m, d));
	ck_assert_str_eq(ir_type_text(a, &t.y->type), "f32[N,3]");
	ck_assert_str_eq(ir_shape_text(a, &t.y->type), "(N, 3)");
	ck_assert_str_eq(ir_shape_text(a, &t.b->type), "(3,)");
	ck_assert_int_eq(ir_elems(&t.y->type, 5), 15);
	ck_assert_int_eq(ir_row_elems(&t.y->type), 3);
	ck_assert_int_eq(ir_flops(t.dot), 2 * 4 * 3);
	ck_assert_int_eq(ir_flops(t.y), 0);
	ck_assert_ptr_eq(ir_entry_find(t.m, "predict"), t.e);
	ck_assert_ptr_null(ir_entry_find(t.m, "train_step"));
	ck_assert_ptr_eq(ir_state_find(t.m, "dense.bias"), t.b);
	ck_assert_ptr_eq(t.m->state->next, t.b);
	ck_assert_str_eq(t.e->root[2].name, "dense.bias");
	ck_assert(ir_has(t.y, EWISE | MONOTONE));
	ck_assert(!ir_has(t.dot, EWISE));
	diag_free(d);
	arena_free(a);
	ir_module_free(t.m);
	ir_module_free(NULL);
}
END_TEST

START_TEST(nothing_to_do_makes_no_node)
{
	Net t = net_new();
	uint32_t id = t.e->next_id;
	ck_assert_ptr_eq(ir_cast(t.e, t.y, DT_F32), t.y);
	ck_assert_ptr_eq(ir_reshape(t.e, t.y, t.y->type), t.y);
	ck_assert_ptr_eq(ir_broadcast(t.e, t.y, t.y->type), t.y);
	ck_assert_ptr_eq(ir_reduce(t.e, OP_sum, t.y, 0, false), t.y);
	ck_assert_uint_eq(t.e->next_id, id);
	ir_module_free(t.m);
}
END_TEST

START_TEST(misfit_is_reported_and_adds_nothing)
{
	Net t = net_new();
	Diag *d = diag_new();
	IrNode *last = t.e->last, *in[] = { t.x, t.read_b };
	ck_assert_ptr_null(ir_node(t.e, d, OP_add, nowhere, 2, in, NULL, NULL));
	ck_assert_int_eq(diag_errors(d), 1);
	ck_assert_ptr_eq(t.e->last, last);
	diag_free(d);
	ir_module_free(t.m);
}
END_TEST

START_TEST(misfit_without_a_listener_is_an_ice)
{
	Net t = net_new();
	ir_binary(t.e, OP_add, t.x, t.read_b);
}
END_TEST

START_TEST(cursor_and_changes)
{
	Net t = net_new();
	Diag *d = diag_new();
	t.e->cursor = t.y;
	IrNode *half = ir_konst(t.e, nowhere, DT_F32, 0.5);
	IrNode *scaled = ir_binary(t.e, OP_mul, t.plus, half);
	ck_assert_ptr_eq(half->next, scaled);
	ck_assert_ptr_eq(scaled->next, t.y);
	ir_replace(t.e, t.plus, scaled); /* but scaled itself goes on reading plus */
	ck_assert_ptr_eq(scaled->in[0], t.plus);
	ck_assert_ptr_eq(t.y->in[0], scaled);
	ir_count_uses(t.e);
	ck_assert_uint_eq(t.plus->nuse, 1);
	ck_assert_uint_eq(t.y->nuse, 3); /* output and two sums */
	ck_assert_uint_eq(t.e->loss->nuse, 1);
	ck_assert(ir_verify(t.m, d));
	ir_replace(t.e, t.y, scaled);
	ck_assert_ptr_eq(t.e->root[0].value, scaled);
	ir_remove(t.e, t.y);
	ck_assert_int_eq(place(t.e, t.y), -1);
	ck_assert_ptr_eq(t.e->cursor, scaled->next);
	t.e->cursor = NULL;
	ck_assert(ir_verify(t.m, d));
	diag_free(d);
	ir_module_free(t.m);
}
END_TEST

START_TEST(sort_is_stable)
{
	Net t = net_new();
	char *before = text_of(t.m);
	ir_sort(t.e);
	char *after = text_of(t.m);
	ck_assert_str_eq(before, after); /* in order already */
	free(after);
	/* What is needed too early is pulled up to its reader; nothing else moves. */
	ir_remove(t.e, t.read_b);
	t.read_b->prev = t.e->last;
	t.e->last = t.e->last->next = t.read_b;
	ir_sort(t.e);
	const IrNode *want[] = { t.x, t.read_w, t.dot, t.read_b, t.plus, t.y };
	for (int i = 0; i < (int)COUNT(want); i++)
		ck_assert_int_eq(place(t.e, want[i]), i);
	ck_assert_ptr_eq(t.e->last, t.e->loss);
	free(before);
	ir_module_free(t.m);
}
END_TEST

START_TEST(sort_of_a_deep_graph)
{
	enum { DEPTH = 300000 };
	IrModule *m = ir_module_new("deep");
	IrEntry *e = ir_entry_new(m, "predict");
	IrNode *n = ir_konst(e, nowhere, DT_F32, 1), *bottom = n;
	for (int i = 0; i < DEPTH; i++) {
		e->cursor = e->first; /* each reader in front of its operand */
		n = ir_unary(e, OP_neg, n);
	}
	ck_assert_ptr_eq(e->last, bottom);
	ir_sort(e);
	ck_assert_ptr_eq(e->first, bottom);
	ck_assert_ptr_eq(e->last, n);
	Diag *d = diag_new();
	ck_assert(ir_verify(m, d));
	IrModule *copy = ir_clone(m);
	ck_assert(ir_verify(copy, d));
	ir_module_free(copy);
	diag_free(d);
	ir_module_free(m);
}
END_TEST

START_TEST(sort_of_a_cycle_is_an_ice)
{
	Net t = net_new();
	t.plus->in[0] = t.plus;
	ir_sort(t.e);
}
END_TEST

START_TEST(clone_stands_alone)
{
	Net t = net_new();
	char file[] = "net.yaml";
	const char *labels[] = { "cat", "dog" };
	t.y->loc = (Loc){ file, 7, 3, 2 };
	t.y->name = "y";
	t.b->l2 = 0.25;
	t.m->labels = labels;
	t.m->nlabels = 2;
	t.m->field = &(IrField){ .path = "train.epochs", .value = "20", .type = FIELD_INT };
	t.m->nfield = 1;
	t.m->optimizer.kind = OPTIM_SGD;
	char *before = text_of(t.m);
	IrModule *copy = ir_clone(t.m);
	ir_module_free(t.m);
	memset(file, 'X', sizeof file - 1);
	char *after = text_of(copy);
	ck_assert_str_eq(before, after);
	ck_assert_str_eq(copy->field[0].value, "20");
	Diag *d = diag_new();
	ck_assert(ir_verify(copy, d)); /* states and nodes are its own */
	diag_free(d);
	free(before);
	free(after);
	ir_module_free(copy);
}
END_TEST

/* ---- the verifier ---- */
static void swapped(Net *t)
{
	ir_remove(t->e, t->plus);
	t->plus->prev = t->e->last;
	t->e->last->next = t->plus;
	t->e->last = t->plus;
}

static void unlinked(Net *t)
{
	t->dot->prev = NULL;
}

static void wrong_type(Net *t)
{
	t->y->type.dim[1] = 4;
}

static void inner_n(Net *t)
{
	t->y->type.dim[1] = IR_N;
}

static void wrong_arity(Net *t)
{
	t->plus->nin = 1;
}

static void no_operand(Net *t)
{
	t->plus->in[1] = NULL;
}

static void wrong_rule(Net *t)
{
	t->dot->attr.matmul.ta = true;
}

static void same_id(Net *t)
{
	t->y->id = t->dot->id;
}

static void same_name(Net *t)
{
	t->y->name = t->dot->name = "h";
}

static void old_mark(Net *t)
{
	t->y->mark = t->x;
}

static void wrong_port(Net *t)
{
	t->x->attr.input.port = 1;
}

static void foreign_state(Net *t)
{
	IrState *copy = NEW(t->m->arena, IrState);
	*copy = *t->w;
	t->read_w->attr.state.of = copy;
}

static void foreign_operand(Net *t)
{
	IrEntry *other = ir_entry_new(t->m, "other");
	IrNode *k = ir_konst(other, nowhere, DT_F32, 1);
	t->plus->in[1] = k;
}

static void same_state_name(Net *t)
{
	t->b->name = t->w->name;
}

static void update_type(Net *t)
{
	t->e->root[2].value = t->y;
}

static void two_updates(Net *t)
{
	ir_root_new(t->e, t->e->root[2]);
}

static void metric_shape(Net *t)
{
	t->e->root[1].value = t->y;
}

static void loss_shape(Net *t)
{
	t->e->loss = t->y;
}

static const struct {
	void (*spoil)(Net *t);
	const char *says;
} spoilers[] = {
	{ swapped, "does not stand before it" },
	{ unlinked, "linked both ways" },
	{ wrong_type, "is f32[N,4], its operands give f32[N,3]" },
	{ inner_n, "bad type" },
	{ wrong_arity, "1 operands" },
	{ no_operand, "operand 1 is missing" },
	{ wrong_rule, "break its shape rule" },
	{ same_id, "two nodes with id" },
	{ same_name, "two nodes of this name" },
	{ old_mark, "mark left" },
	{ wrong_port, "port 1 of 1" },
	{ foreign_state, "reads a state that is not the module's" },
	{ foreign_operand, "does not stand before it in this entry" },
	{ same_state_name, "two states of this name" },
	{ update_type, "state @dense.bias is f32[3], its update f32[N,3]" },
	{ two_updates, "two roots of this kind and name" },
	{ metric_shape, "cannot be summed from f32[N,3]" },
	{ loss_shape, "loss is no f32[]" },
};

START_TEST(broken_invariants_are_named)
{
	Net t = net_new();
	Diag *d = diag_new();
	char *text = NULL;
	size_t len;
	spoilers[_i].spoil(&t);
	ck_assert(!ir_verify(t.m, d));
	FILE *f = open_memstream(&text, &len);
	diag_print(d, f);
	fclose(f);
	ck_assert_ptr_nonnull(strstr(text, "internal error: "));
	ck_assert_msg(strstr(text, spoilers[_i].says), "%s", text);
	free(text);
	diag_free(d);
	ir_module_free(t.m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("graph");
	TCase *c = tcase_create("graph");
	tcase_add_test(c, building);
	tcase_add_test(c, nothing_to_do_makes_no_node);
	tcase_add_test(c, misfit_is_reported_and_adds_nothing);
	tcase_add_test_raise_signal(c, misfit_without_a_listener_is_an_ice, SIGABRT);
	tcase_add_test(c, cursor_and_changes);
	tcase_add_test(c, sort_is_stable);
	tcase_add_test(c, sort_of_a_deep_graph);
	tcase_add_test_raise_signal(c, sort_of_a_cycle_is_an_ice, SIGABRT);
	tcase_add_test(c, clone_stands_alone);
	tcase_add_loop_test(c, broken_invariants_are_named, 0, (int)COUNT(spoilers));
	suite_add_tcase(s, c);
	return suite_run(s);
}

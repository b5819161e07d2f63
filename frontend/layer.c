/* layer.c -- what all layers share: finding the kind, shapes, states, the activation */
#include "frontend/build.h"

#include <string.h>

const LayerKind *layer_kind(const char *name)
{
	const struct { const LayerKind *row; int n; } tables[] = {
		{layer_conv_kinds, layer_nconv}, {layer_window_kinds, layer_nwindow}, {layer_dense_kinds, layer_ndense},
		{layer_norm_kinds, layer_nnorm}, {layer_shape_kinds, layer_nshape}, {layer_merge_kinds, layer_nmerge},
		{layer_random_kinds, layer_nrandom}, {layer_pointwise_kinds, layer_npointwise},
		{layer_op_kinds, layer_nop},
	};
	for (size_t t = 0; t < COUNT(tables); t++) {
		for (int i = 0; i < tables[t].n; i++) {
			if (strcmp(tables[t].row[i].name, name) == 0)
				return &tables[t].row[i];
		}
	}
	return NULL;
}

bool shape_is(Model *m, const Layer *l, const IrType *in, int rank, const char *what)
{
	if (in->rank == rank)
		return true;
	snprintf(m->reason, sizeof m->reason, "input %s has %d dimensions, %s needs %d: %s", ir_shape_text(m->arena, in),
	         in->rank, l->kind->name, rank, what);
	return false;
}

bool shape_set(Model *m, Layer *l, int rank, const int64_t *dim)
{
	int64_t all = 1;
	l->out = (IrType){.dtype = DT_F32, .rank = rank + 1, .dim = {IR_N}};
	for (int i = 0; i < rank; i++) {
		if (dim[i] < 1 || dim[i] > INT32_MAX || __builtin_mul_overflow(all, dim[i], &all) || all > INT32_MAX) {
			snprintf(m->reason, sizeof m->reason, "its output would have more than %d elements a sample", INT32_MAX);
			return false;
		}
		l->out.dim[1 + i] = (int32_t)dim[i];
	}
	return true;
}

static void set_initializer(IrState *s, const Val *init)
{
	static const struct { const char *name; IrInit init; const char *arg[2]; } table[] = {
		{"zeros", INIT_ZEROS, {0}}, {"ones", INIT_ONES, {0}}, {"constant", INIT_CONSTANT, {"value", NULL}},
		{"random_uniform", INIT_UNIFORM, {"minval", "maxval"}}, {"random_normal", INIT_NORMAL, {"mean", "stddev"}},
		{"truncated_normal", INIT_TRUNCATED_NORMAL, {"mean", "stddev"}}, {"glorot_uniform", INIT_GLOROT_UNIFORM, {0}},
		{"glorot_normal", INIT_GLOROT_NORMAL, {0}}, {"he_uniform", INIT_HE_UNIFORM, {0}},
		{"he_normal", INIT_HE_NORMAL, {0}}, {"lecun_uniform", INIT_LECUN_UNIFORM, {0}},
		{"lecun_normal", INIT_LECUN_NORMAL, {0}},
	};
	for (size_t i = 0; i < COUNT(table); i++) {
		if (strcmp(table[i].name, init->section->name) != 0)
			continue;
		s->init = table[i].init;
		for (int k = 0; k < 2 && table[i].arg[k]; k++)
			s->init_arg[k] = val_number(init, table[i].arg[k]);
		return;
	}
	ICE("initializer %s is in the schema but not built", init->section->name);
}

IrState *layer_state(Model *m, Layer *l, const char *name, IrType type, const Val *init, const Val *regularizer,
                     bool stat)
{
	if (l->shared) {
		IrState *there = ir_state_find(m->module, arena_printf(m->arena, "%s.%s", l->shared->name, name));
		if (!there || !ir_type_eq(&there->type, &type))
			snprintf(m->reason, sizeof m->reason, "the %s of '%s' is %s, here it would be %s", name, l->shared->name,
			         there ? ir_shape_text(m->arena, &there->type) : "unset", ir_shape_text(m->arena, &type));
		return there;
	}
	IrState *s = ir_state_new(m->module, arena_printf(m->arena, "%s.%s", l->name, name), type,
	                          stat ? STATE_STAT : STATE_PARAM, l->loc);
	set_initializer(s, init);
	s->init_stream = m->module->next_stream++;
	s->trainable = l->trainable && !stat;
	s->decay = s->trainable;
	if (regularizer->kind == VAL_OBJECT) {
		const Val *r = regularizer;
		s->l1 = schema_field_index(r->section, "l1") >= 0 ? val_number(r, "l1") : 0;
		s->l2 = schema_field_index(r->section, "l2") >= 0 ? val_number(r, "l2") : 0;
	}
	l->params += ir_elems(&type, 1);
	return s;
}

IrNode *layer_activation(Build *b, const Layer *l, IrNode *x)
{
	IrNode *y = activation_emit(b, val(l->arg, "activation"), x);
	return y == x || y->name ? y : node_named(y, arena_printf(b->m->arena, "%s.act", l->name));
}

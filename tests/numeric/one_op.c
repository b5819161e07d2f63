/* one_op.c -- builds the node that a OneOp describes */
#include <stdlib.h>
#include <string.h>
#include "tests/numeric/one_op.h"

IrType one_op_type(const char *text)
{
	IrType t = { .dtype = DT_COUNT };
	size_t len = strcspn(text, "[");
	for (int i = 0; i < DT_COUNT; i++) {
		if (strlen(dtype_name((DType)i)) == len && !strncmp(text, dtype_name((DType)i), len))
			t.dtype = (DType)i;
	}
	INVARIANT(t.dtype != DT_COUNT && text[len] == '[');
	for (const char *p = text + len + 1; *p && *p != ']'; p += *p == ',') {
		char *end = (char *)p + 1;
		t.dim[t.rank++] = *p == 'N' ? IR_N : (int32_t)strtol(p, &end, 10);
		p = end;
	}
	return t;
}

IrNode *one_op_build(IrEntry *e, const OneOp *c)
{
	static const char *const names[3] = { "in0", "in1", "in2" };
	IrNode *in[3];
	int nin = 0;
	for (; nin < 3 && c->in[nin]; nin++)
		in[nin] = ir_input(e, (Loc){ 0 }, ir_port_new(e, names[nin], one_op_type(c->in[nin])));
	IrType want = c->want ? one_op_type(c->want) : (IrType){ 0 };
	return ir_node(e, NULL, c->op, (Loc){ 0 }, nin, in, &c->attr, c->want ? &want : NULL);
}

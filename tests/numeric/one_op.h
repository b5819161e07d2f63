/* one_op.h -- single nodes written down in one line, for tests of op rows */
#ifndef CNNC_TESTS_ONE_OP_H
#define CNNC_TESTS_ONE_OP_H

#include "ir/ir.h"

typedef struct OneOp {
	OpCode op;
	const char *in[3];  /* types of the operands, as the text form writes them: "f32[N,4]"; each becomes a port */
	const char *want;   /* type of the result, for ops that need it */
	IrAttr attr;
} OneOp;

IrType one_op_type(const char *text);
IrNode *one_op_build(IrEntry *e, const OneOp *c);

#endif

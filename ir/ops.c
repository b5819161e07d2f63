/* ops.c -- the op table: what every layer may ask about an op without knowing it
 *
 * The first columns of ops.def. Rules (infer, eval, grad, lower) are expanded where they are implemented.
 */
#include "ir/ir.h"

const IrOpInfo ir_ops[OP_COUNT] = {
#define OP(name, text, lo, hi, attr, traits, ...) [OP_##name] = { text, lo, hi, traits },
#include "ir/ops.def"
};

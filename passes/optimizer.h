/* optimizer.h -- update graphs of the optimizers: internal to pass autodiff */
#ifndef CNNC_PASSES_OPTIMIZER_H
#define CNNC_PASSES_OPTIMIZER_H

#include "ir/ir.h"

/* Adds the nodes that step `param` along its gradient, its moments as new states, and their update roots.
 * value: a node that reads param. */
void optimizer_update(IrEntry *e, IrState *param, IrNode *value, IrNode *gradient);

#endif

/* optimizer.h -- update graphs of the optimizers: internal to pass autodiff */
#ifndef CNNC_PASSES_OPTIMIZER_H
#define CNNC_PASSES_OPTIMIZER_H

#include "ir/ir.h"

typedef struct OptimizerTarget {
	IrState *param;
	IrNode *value;    /* a node that reads param */
	IrNode *gradient; /* of the loss */
} OptimizerTarget;

/* Adds the nodes that step all targets along their gradients, what the optimizer keeps as new states, and the update roots.
 * Gradients are accumulated and clipped on the way, averages of the weights kept, as the optimizer of the entry (or the module) says. */
void optimizer_updates(IrEntry *e, OptimizerTarget *target, int n);

#endif

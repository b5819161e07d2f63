/* order.h -- the tree of an entry for a GPU: see order_cuda.c */
#ifndef CNNC_PASSES_ORDER_H
#define CNNC_PASSES_ORDER_H

#include "ir/ir.h"
#include "ir/kernel.h"

void order_cuda(const IrModule *m, KEntry *e, Arena *scratch);

#endif

/* rules.h -- local rewrites of the graph and the loop that applies them: shared by canon, fold and simplify
 *
 * A rule looks at one node and gives what may stand for it, or NULL. New nodes go before it (the loop sets e->cursor).
 * Every rule must leave the graph smaller or closer to one fixed spelling, so that the loop ends.
 */
#ifndef CNNC_PASSES_RULES_H
#define CNNC_PASSES_RULES_H

#include "ir/ir.h"

typedef IrNode *Rule(IrEntry *e, IrNode *n);

extern Rule *const rules_canon[], *const rules_neutral[], *const rules_constant[]; /* NULL at the end */
extern Rule *const rules_sums[], *const rules_squares[]; /* of batch statistics: once their gradients are made */

/* Applies rules to every entry until none applies; dead nodes go. True if anything changed. */
bool rules_run(IrModule *m, Rule *const *rules);

void rules_replace(IrEntry *e, IrNode *n, IrNode *by); /* in readers, roots and loss; the name moves along */
void dce_entry(IrEntry *e);                            /* drops what neither a root nor the loss needs */

#endif

/* canon.c -- one spelling per idea, before gradients are made: what is moved here is differentiated in its new place
 *
 * not:  losses on logits: the frontend, which knows the last activation and the loss, builds them so
 */
#include "passes/passes.h"
#include "passes/rules.h"

bool pass_canon(IrModule *m, PassCx *cx)
{
	(void)cx;
	rules_run(m, rules_canon);
	return true;
}

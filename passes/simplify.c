/* simplify.c -- the rules of canon and fold, and those of batch statistics, over the whole entry, backward half and
 * updates included */
#include "passes/passes.h"
#include "passes/rules.h"

static void settle(IrModule *m)
{
	while (rules_run(m, rules_canon) || rules_run(m, rules_sums) || rules_run(m, rules_constant) ||
	       rules_run(m, rules_neutral))
		continue;
}

bool pass_simplify(IrModule *m, PassCx *cx)
{
	(void)cx;
	settle(m);
	if (rules_run(m, rules_squares)) /* last: they hide means from the other rules of sums */
		settle(m);
	return true;
}

/* simplify.c -- the rules of canon and fold over the whole entry, backward half and updates included */
#include "passes/passes.h"
#include "passes/rules.h"

bool pass_simplify(IrModule *m, PassCx *cx)
{
	(void)cx;
	while (rules_run(m, rules_canon) || rules_run(m, rules_constant) || rules_run(m, rules_neutral))
		continue;
	return true;
}

/* op_cases.h -- one table of single ops, for every test that runs each of them */
#ifndef CNNC_TESTS_OP_CASES_H
#define CNNC_TESTS_OP_CASES_H

#include "tests/numeric/one_op.h"

enum { OP_CASE_SAMPLES = 5 }; /* at most */

typedef struct OpCase {
	OneOp op;
	bool exact; /* small integers in, the very same numbers out */
} OpCase;

extern const OpCase op_cases[];
extern const int op_ncases;

/* An entry `predict` with the one output y. */
IrModule *op_case_module(const OpCase *c);

#endif

/* suite.h -- how a test program ends: its suite runs, and its exit status says whether all passed */
#ifndef CNNC_TESTS_SUITE_H
#define CNNC_TESTS_SUITE_H

#include <check.h>

int suite_run(Suite *s); /* frees it; 0: all passed, as main returns it */

#endif

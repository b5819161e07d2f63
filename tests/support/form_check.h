/* form_check.h -- one small graph, in the form that the passes give its kernels
 *
 * The graph has one entry, `predict`. On small whole numbers, where float32 is exact, compiled code equals the interpreter;
 * on others its bits depend neither on threads, nor on the target, nor on how many samples a call has.
 */
#ifndef CNNC_TESTS_FORM_CHECK_H
#define CNNC_TESTS_FORM_CHECK_H

#include "ir/kernel.h"

typedef struct FormCheck {
	const char *name;
	IrModule *(*build)(const void *what);
	const void *what;
	int64_t n; /* samples of a call */
	/* Is it the form meant? Asked of x86-64-v3, whose caches do not depend on the machine. NULL: any. */
	bool (*holds)(const IrModule *compiled, const void *what);
} FormCheck;

void form_equals(const FormCheck *c);
void form_same_bits(const FormCheck *c);
void form_same_alone(const FormCheck *c); /* each sample alone, with a few and with all n */

bool kernels_say(const IrModule *compiled, const char *what); /* does that stand in the text of its kernels and buffers? */

#endif

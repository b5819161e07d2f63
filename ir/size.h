/* size.h -- checked size arithmetic, for anything that came from a file
 *
 * Each function stores its result and returns true, or returns false when the exact result does not fit.
 * The only ir/ header that runtime/ may include. Depends on libc alone.
 */
#ifndef CNNC_IR_SIZE_H
#define CNNC_IR_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool size_mul(size_t a, size_t b, size_t *out)
{
	return !__builtin_mul_overflow(a, b, out);
}

static inline bool size_add(size_t a, size_t b, size_t *out)
{
	return !__builtin_add_overflow(a, b, out);
}

/* Product of n dimensions and an element size; false for a negative dimension or overflow. */
static inline bool size_of_dims(const int64_t *dim, int n, size_t elem, size_t *out)
{
	size_t total = elem;
	for (int i = 0; i < n; i++) {
		if (dim[i] < 0 || !size_mul(total, (size_t)dim[i], &total))
			return false;
	}
	*out = total;
	return true;
}

/* Rounds up to a multiple of a power of two. */
static inline bool size_align(size_t a, size_t align, size_t *out)
{
	if (!size_add(a, align - 1, out))
		return false;
	*out &= ~(align - 1);
	return true;
}

#endif

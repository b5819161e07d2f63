/* npy_header.h -- what stands before the data of a .npy file (format 1.0 to 3.0); takes (pointer, length), does no I/O */
#ifndef CNNC_RUNTIME_NPY_HEADER_H
#define CNNC_RUNTIME_NPY_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/status.h"

enum { RT_NPY_MAX_RANK = 16 };

typedef struct RtNpyHeader {
	char type[32];  /* "<f4" */
	bool fortran;   /* columns first */
	int rank;
	int64_t dim[RT_NPY_MAX_RANK];
	size_t data;    /* where the data begin */
} RtNpyHeader;

/* bytes: of the file, at least the header. `name` stands for the file in messages. RT_BAD_DATA. */
RtStatus rt_npy_header(const char *name, const unsigned char *bytes, size_t length, RtNpyHeader *out);

#endif

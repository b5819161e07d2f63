/* cuda_text_build.h -- what the cuda_text*.c files share: the state behind the emit table, and values */
#ifndef CNNC_CODEGEN_CUDA_TEXT_BUILD_H
#define CNNC_CODEGEN_CUDA_TEXT_BUILD_H

#include <stdarg.h>
#include <stdio.h>
#include "codegen/cuda_text.h"

enum { CU_MAX_DEPTH = 64 };

typedef struct CuVal {
	const char *text;  /* a name or a constant */
	const char *ctype; /* its type in C */
	bool known;        /* an index known here: */
	int64_t value;
} CuVal;

typedef struct CuText {
	KEmit emit;
	CudaKernelText k;
	Arena *arena;      /* values, of one kernel */
	FILE *f;           /* its body */
	char *body;
	size_t bytes;
	int nvals, depth, nloops;
	EVal *carried[CU_MAX_DEPTH]; /* variables of the open loops */
	bool shares[DT_COUNT];       /* arrays in shared memory that folds use */
	int64_t shared_bytes;        /* of the array of a product */
} CuText;

static inline CuText *ct(const KEmit *e)
{
	return e->cx;
}

static inline const char *str(EVal v)
{
	return ((const CuVal *)v)->text;
}

const char *cuda_type(DType t);
CuVal *cuda_new_val(CuText *c, const char *ctype, const char *text);
/* const TYPE NAME = …; */
EVal cuda_line(CuText *c, const char *ctype, const char *fmt, ...) CNNC_PRINTF(3, 4);
const char *cuda_cmp(ECmp cmp);
void cuda_value_rows(KEmit *e);
void cuda_tile_rows(KEmit *e);
/* s and v to the one that a reduction goes on with */
const char *cuda_combine(Arena *a, DType t, KRed red, const char *s, const char *v);

#endif

/* cuda_text.h -- the emit table that writes CUDA C
 *
 * One kernel at a time: cuda_text_begin, walk_kernel (which calls begin and end of the table), cuda_text_take. The text includes
 * nothing and declares no type of CUDA's; what it needs besides the language stands in cuda_prelude. It is also C11, so that a
 * header which defines CNNC_KERNEL and the few names of CUDA that it uses can run it on a CPU (tests/cuda/shim.h).
 * Vectors, phases and calls do not exist on a GPU: those rows of the table are empty.
 */
#ifndef CNNC_CODEGEN_CUDA_TEXT_H
#define CNNC_CODEGEN_CUDA_TEXT_H

#include "codegen/emit.h"

extern const char cuda_prelude[]; /* cuda_prelude.c */

typedef struct CudaKernelText {
	const Kernel *kernel;
	const KProgram *program;
	const char *name;
	int threads;       /* of a block */
	bool wide;         /* indices need 64 bits */
	int part_rows;     /* > 0: gridDim.y parts of so many samples; M_ADD operands lie once a part */
	const int64_t *part_bytes; /* by operand: from part to part */
	bool job;          /* one of several in a launch (cuda_join.c): a function that is told which block of it this is */
	bool update;       /* a last argument points at the loss: nothing happens when it is not finite */
} CudaKernelText;

KEmit *cuda_text_new(Arena *a);
void cuda_text_begin(KEmit *e, const CudaKernelText *k);
/* The finished function, in arena a. */
char *cuda_text_take(KEmit *e, Arena *a);

#endif

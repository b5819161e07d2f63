/* llvm_record.h -- constant structs of runtime/model.h, written member by member at the offsets that C gives them here
 *
 * Targets are 64-bit and little-endian like all hosts, so the layout is the same there.
 */
#ifndef CNNC_CODEGEN_LLVM_RECORD_H
#define CNNC_CODEGEN_LLVM_RECORD_H

#include <stddef.h>
#include "codegen/llvm_build.h"

enum { MAX_MEMBERS = 96 };

typedef struct Record { /* a struct under construction: packed, gaps filled by hand */
	LlvmBuild *b;
	LLVMValueRef member[MAX_MEMBERS];
	unsigned n;
	size_t at;
} Record;

void record_put(Record *r, size_t offset, size_t size, LLVMValueRef v);
LLVMValueRef record_finish(Record *r, size_t size);
LLVMValueRef record_integer(const Record *r, size_t size, int64_t v);
void record_bytes(Record *r, size_t offset, const void *bytes, size_t n);
LLVMValueRef llvm_constant(LlvmBuild *b, const char *name, LLVMValueRef value, unsigned align); /* a private one */
LLVMValueRef llvm_text(LlvmBuild *b, const char *s); /* NULL is a null pointer */
LLVMValueRef llvm_array(LlvmBuild *b, const char *name, LLVMValueRef *v, size_t n); /* of equal records or pointers; NULL for none */

/* member of struct T from an integer, pointer constant, text or doubles */
#define PUT_INT(r, T, m, v) record_put(r, offsetof(T, m), sizeof(((T *)0)->m), record_integer(r, sizeof(((T *)0)->m), (int64_t)(v)))
#define PUT_PTR(r, T, m, v) record_put(r, offsetof(T, m), sizeof(void *), v)
#define PUT_TEXT(r, T, m, s) PUT_PTR(r, T, m, llvm_text((r)->b, s))
#define PUT_BYTES(r, T, m, p) record_bytes(r, offsetof(T, m), p, sizeof(((T *)0)->m))
#define RECORD(lb) (&(Record){.b = (lb)})


/* ---- llvm_cuda.c ---- */

/* The table of the code for GPUs, of the best level's object; the objects of other levels refer to it. */
LLVMValueRef llvm_cuda_table(LlvmBuild *b, const CgOptions *o);

#endif

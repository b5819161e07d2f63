/* llvm_record.c -- constant structs and arrays of a module: see llvm_record.h */
#include <string.h>
#include "codegen/llvm_record.h"

_Static_assert(sizeof(void *) == 8, "tables are made for 64-bit targets");

static void gap(Record *r, size_t upto)
{
	INVARIANT(upto >= r->at && r->n < MAX_MEMBERS);
	if (upto > r->at)
		r->member[r->n++] = LLVMConstNull(LLVMArrayType2(r->b->i8, upto - r->at));
	r->at = upto;
}

void record_put(Record *r, size_t offset, size_t size, LLVMValueRef v)
{
	gap(r, offset);
	r->member[r->n++] = v;
	r->at += size;
}

LLVMValueRef record_finish(Record *r, size_t size)
{
	gap(r, size);
	return LLVMConstStructInContext(r->b->ctx, r->member, r->n, 1);
}

LLVMValueRef record_integer(const Record *r, size_t size, int64_t v)
{
	return LLVMConstInt(size == 8 ? r->b->i64 : r->b->i32, (unsigned long long)v, 1);
}

LLVMValueRef llvm_constant(LlvmBuild *b, const char *name, LLVMValueRef value, unsigned align)
{
	LLVMValueRef g = LLVMAddGlobal(b->module, LLVMTypeOf(value), name);
	LLVMSetInitializer(g, value);
	LLVMSetGlobalConstant(g, 1);
	LLVMSetLinkage(g, LLVMPrivateLinkage);
	LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
	LLVMSetAlignment(g, align);
	return g;
}

LLVMValueRef llvm_text(LlvmBuild *b, const char *s)
{
	return s ? llvm_constant(b, "text", LLVMConstStringInContext2(b->ctx, s, strlen(s), 0), 1) : LLVMConstNull(b->ptr);
}

LLVMValueRef llvm_array(LlvmBuild *b, const char *name, LLVMValueRef *v, size_t n)
{
	if (n == 0)
		return LLVMConstNull(b->ptr);
	return llvm_constant(b, name, LLVMConstArray2(LLVMTypeOf(v[0]), v, n), 16);
}

void record_bytes(Record *r, size_t offset, const void *bytes, size_t n)
{
	record_put(r, offset, n, LLVMConstStringInContext2(r->b->ctx, bytes, n, 1));
}

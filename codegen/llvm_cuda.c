/* llvm_cuda.c -- the constant table of a model's code for GPUs: RtCuda of runtime/model.h, with the images as data */
#include <string.h>
#include "codegen/cuda.h"
#include "codegen/llvm_record.h"

static const char TABLE[] = "cnnc_cuda_table";

static LLVMValueRef kernels(LlvmBuild *b, const RtCudaEntry *e)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, e->nlaunches + 1);
	for (uint32_t i = 0; i < e->nlaunches; i++) {
		Record *r = RECORD(b);
		PUT_TEXT(r, RtKernel, name, e->kernel[i].name);
		PUT_INT(r, RtKernel, flops, e->kernel[i].flops);
		PUT_INT(r, RtKernel, batched, e->kernel[i].batched);
		v[i] = record_finish(r, sizeof(RtKernel));
	}
	return llvm_array(b, "cuda_kernel", v, e->nlaunches);
}

static LLVMValueRef arguments(LlvmBuild *b, const RtCudaLaunch *l)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, l->nargs + 1);
	for (uint32_t i = 0; i < l->nargs; i++) {
		Record *r = RECORD(b);
		PUT_INT(r, RtCudaArg, base, l->arg[i].base);
		PUT_INT(r, RtCudaArg, port, l->arg[i].port);
		PUT_INT(r, RtCudaArg, offset, l->arg[i].offset);
		v[i] = record_finish(r, sizeof(RtCudaArg));
	}
	return llvm_array(b, "cuda_arg", v, l->nargs);
}

static LLVMValueRef numbers(LlvmBuild *b, const uint32_t *number, uint32_t n)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, n + 1);
	for (uint32_t i = 0; i < n; i++)
		v[i] = LLVMConstInt(LLVMInt32TypeInContext(b->ctx), number[i], 0);
	return llvm_array(b, "cuda_after", v, n);
}

static LLVMValueRef launches(LlvmBuild *b, const RtCudaEntry *e)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, e->nlaunches + 1);
	for (uint32_t i = 0; i < e->nlaunches; i++) {
		const RtCudaLaunch *l = &e->launch[i];
		LLVMValueRef arg = arguments(b, l), after = numbers(b, l->after, l->nafter);
		Record *r = RECORD(b);
		PUT_INT(r, RtCudaLaunch, function, l->function);
		PUT_INT(r, RtCudaLaunch, grid_x, l->grid_x);
		PUT_INT(r, RtCudaLaunch, grid_y, l->grid_y);
		PUT_INT(r, RtCudaLaunch, threads, l->threads);
		PUT_INT(r, RtCudaLaunch, nargs, l->nargs);
		PUT_INT(r, RtCudaLaunch, nafter, l->nafter);
		PUT_PTR(r, RtCudaLaunch, arg, arg);
		PUT_PTR(r, RtCudaLaunch, after, after);
		v[i] = record_finish(r, sizeof(RtCudaLaunch));
	}
	return llvm_array(b, "cuda_launch", v, e->nlaunches);
}

static LLVMValueRef entries(LlvmBuild *b, const CgCuda *c)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, c->nentries + 1);
	for (int i = 0; i < c->nentries; i++) {
		const RtCudaEntry *e = &c->entry[i];
		LLVMValueRef launch = launches(b, e), kernel = kernels(b, e);
		Record *r = RECORD(b);
		PUT_INT(r, RtCudaEntry, nlaunches, e->nlaunches);
		PUT_PTR(r, RtCudaEntry, launch, launch);
		PUT_PTR(r, RtCudaEntry, kernel, kernel);
		PUT_INT(r, RtCudaEntry, slab_bytes, e->slab_bytes);
		v[i] = record_finish(r, sizeof(RtCudaEntry));
	}
	return llvm_array(b, "cuda_entry", v, (size_t)c->nentries);
}

static LLVMValueRef images(LlvmBuild *b, const CgCuda *c, const CgCudaFunction *f)
{
	LLVMValueRef v[CG_MAX_ARCHS];
	for (int i = 0; i < c->narchs; i++) {
		const RtCudaImage *m = &f->image[i];
		LLVMValueRef data = LLVMConstStringInContext2(b->ctx, (const char *)m->data, m->bytes, 1);
		Record *r = RECORD(b);
		PUT_PTR(r, RtCudaImage, data, llvm_constant(b, "cuda_data", data, 16));
		PUT_INT(r, RtCudaImage, bytes, m->bytes);
		v[i] = record_finish(r, sizeof(RtCudaImage));
	}
	return llvm_array(b, "cuda_image", v, (size_t)c->narchs);
}

static LLVMValueRef functions(LlvmBuild *b, const CgCuda *c)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, c->nfunctions + 1);
	for (int i = 0; i < c->nfunctions; i++) {
		LLVMValueRef image = images(b, c, &c->function[i]);
		Record *r = RECORD(b);
		PUT_TEXT(r, RtCudaFunction, name, c->function[i].name);
		PUT_PTR(r, RtCudaFunction, image, image);
		v[i] = record_finish(r, sizeof(RtCudaFunction));
	}
	return llvm_array(b, "cuda_function", v, (size_t)c->nfunctions);
}

static LLVMValueRef archs(LlvmBuild *b, const CgCuda *c)
{
	LLVMValueRef v[CG_MAX_ARCHS];
	for (int i = 0; i < c->narchs; i++) {
		Record *r = RECORD(b);
		PUT_INT(r, RtCudaArch, number, c->arch[i].number);
		PUT_INT(r, RtCudaArch, kind, c->arch[i].kind);
		v[i] = record_finish(r, sizeof(RtCudaArch));
	}
	return llvm_array(b, "cuda_arch", v, (size_t)c->narchs);
}

LLVMValueRef llvm_cuda_table(LlvmBuild *b, const CgOptions *o)
{
	const CgCuda *c = o->cuda;
	if (o->nlevels && strcmp(o->level[0], o->target->name) != 0)
		return LLVMAddGlobal(b->module, b->i8, TABLE);
	LLVMValueRef arch = archs(b, c), function = functions(b, c), entry = entries(b, c);
	Record *r = RECORD(b);
	PUT_INT(r, RtCuda, narchs, c->narchs);
	PUT_INT(r, RtCuda, nfunctions, c->nfunctions);
	PUT_INT(r, RtCuda, nentries, c->nentries);
	PUT_PTR(r, RtCuda, arch, arch);
	PUT_PTR(r, RtCuda, function, function);
	PUT_PTR(r, RtCuda, entry, entry);
	PUT_BYTES(r, RtCuda, schedule_key, c->schedule_key);
	LLVMValueRef table = llvm_constant(b, TABLE, record_finish(r, sizeof(RtCuda)), 16);
	LLVMSetLinkage(table, LLVMExternalLinkage);
	LLVMSetUnnamedAddress(table, LLVMNoUnnamedAddr);
	return table;
}

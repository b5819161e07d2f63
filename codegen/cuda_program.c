/* cuda_program.c -- entries to CUDA: each kernel once as a function, each run of it as a launch
 *
 * in:   a module after the last pass, for a TARGET_CUDA      out: texts of functions, launches with addresses (codegen/cuda.h)
 *
 * A part of samples, whose kernels add into partial sums, becomes the second dimension of the grid; the partials are cleared before
 * the first of them. Everything else of a tree is kernels in order.
 */
#include "codegen/cuda.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "codegen/codegen.h"
#include "codegen/cuda_text.h"
#include "runtime/hash.h"

enum { WIDE_ELEMS = 1 << 30 };

typedef struct CudaProgram {
	KEmit *e;
	const IrModule *m;
	const KProgram *p;
	const Target *t;
	CgCuda *out;
	const char **key; /* by function */
	int room;
	RtCudaLaunch *launch; /* of the entry that is being listed */
	uint32_t nlaunches, launch_room;
} CudaProgram;

void cg_cuda_target(Target *out)
{
	*out = (Target){.kind = TARGET_CUDA, .name = "cuda", .vec_bytes = 4, .vec_regs = 255, .fma = true, .l1_bytes = 128 << 10,
	                .l2_bytes = 32 << 20};
}

/* ---- functions ---- */
/* Bytes from one part of a partial to the next. */
static int64_t copy_bytes(const KBuffer *b)
{
	int64_t bytes = dtype_size(b->type.dtype);
	for (int d = 1; d < b->type.rank; d++)
		bytes *= b->type.dim[d];
	return bytes;
}

static bool is_wide(const IrModule *m, const Kernel *k)
{
	for (int i = 0; i < k->nopnds; i++) {
		if (ir_elems(&k->opnd[i].type, m->max_n) >= WIDE_ELEMS)
			return true;
	}
	return false;
}

/* Letters and digits of the kernel's name, and a hash of what it does: equal kernels of different models have one name. */
static const char *function_name(Arena *a, const char *name, const char *key)
{
	unsigned char hash[32];
	rt_hash(key, strlen(key), hash);
	char *out = arena_printf(a, "%.40s_%02x%02x%02x%02x%02x%02x", name, hash[0], hash[1], hash[2], hash[3], hash[4], hash[5]);
	for (char *c = out; *c; c++) {
		if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') && !(*c >= '0' && *c <= '9'))
			*c = '_';
	}
	return *out >= '0' && *out <= '9' ? arena_printf(a, "k%s", out) : out;
}

static char *function_text(CudaProgram *c, const Kernel *k, const char *name, int part_rows)
{
	int64_t *bytes = NEWN(c->out->arena, int64_t, k->nopnds + 1);
	for (int i = 0; i < k->nopnds; i++)
		bytes[i] = copy_bytes(&c->p->buffer[k->opnd[i].buf]);
	CudaKernelText text = {.kernel = k, .name = name, .threads = (int)k_block_threads(k), .wide = is_wide(c->m, k),
	                       .part_rows = part_rows, .part_bytes = bytes, .update = k->update};
	cuda_text_begin(c->e, &text);
	walk_kernel(c->e, c->p, k, c->t, name, part_rows ? k_sample_axis(k) : -1);
	return cuda_text_take(c->e, c->out->arena);
}

static uint32_t function_of(CudaProgram *c, const Kernel *k, int part_rows)
{
	Arena *a = c->out->arena;
	const char *key = arena_printf(a, "%d %d %s", part_rows, k->update, k_key(c->p, k, a));
	for (int i = 0; i < c->out->nfunctions; i++) {
		if (strcmp(c->key[i], key) == 0)
			return (uint32_t)i;
	}
	if (c->out->nfunctions == c->room) {
		int room = c->room ? 2 * c->room : 64;
		c->out->function = arena_grow(a, c->out->function, (size_t)c->room, (size_t)room, sizeof(CgCudaFunction));
		c->key = (const char **)arena_grow(a, c->key, (size_t)c->room, (size_t)room, sizeof(*c->key));
		c->room = room;
	}
	CgCudaFunction *f = &c->out->function[c->out->nfunctions];
	f->name = function_name(a, k->name, key);
	f->text = function_text(c, k, f->name, part_rows);
	c->key[c->out->nfunctions] = key;
	return (uint32_t)c->out->nfunctions++;
}

/* ---- launches ---- */
static RtCudaArg address(const KBuffer *b)
{
	switch (b->cls) {
	case B_IN:
		return (RtCudaArg){RT_CUDA_IN, (uint32_t)b->index, 0};
	case B_OUT:
		return (RtCudaArg){RT_CUDA_OUT, (uint32_t)b->index, 0};
	case B_STATE:
		return (RtCudaArg){RT_CUDA_PARAMS, 0, (uint64_t)b->offset};
	case B_SLAB:
	case B_PARTIAL:
		return (RtCudaArg){RT_CUDA_SLAB, 0, (uint64_t)b->offset};
	case B_METRIC:
		return (RtCudaArg){RT_CUDA_METRIC, 0, (uint64_t)b->offset * sizeof(double)};
	case B_SCRATCH:
	case B_VIEW: /* pipeline.c: every call makes its own */
		break;
	}
	ICE("buffer %s has no place on a GPU", b->name);
}

static void add_launch(CudaProgram *c, const RtCudaLaunch *l)
{
	if (c->nlaunches == c->launch_room) {
		uint32_t room = c->launch_room ? 2 * c->launch_room : 64;
		c->launch = arena_grow(c->out->arena, c->launch, c->launch_room, room, sizeof(RtCudaLaunch));
		c->launch_room = room;
	}
	c->launch[c->nlaunches++] = *l;
}

/* Partial sums start at zero. Two kernels may add into the same buffer. */
static void clear_partials(CudaProgram *c, const Kernel *k, int number, bool *cleared)
{
	for (int i = 0; i < k->nopnds; i++) {
		const KBuffer *b = &c->p->buffer[k->opnd[i].buf];
		if (k->opnd[i].mode != M_ADD || cleared[k->opnd[i].buf])
			continue;
		INVARIANT(b->cls == B_PARTIAL);
		cleared[k->opnd[i].buf] = true;
		RtCudaArg *arg = NEW(c->out->arena, RtCudaArg);
		*arg = address(b);
		add_launch(c, &(RtCudaLaunch){.kernel = (uint32_t)number, .nargs = 1, .arg = arg, .clear = (uint64_t)b->bytes});
	}
}

static void launch(CudaProgram *c, const KEntry *e, int number, int part_rows, bool *cleared)
{
	const Kernel *k = e->kernel[number];
	RtCudaArg *arg = NEWN(c->out->arena, RtCudaArg, k->nopnds + 2);
	const int parts = part_rows ? (c->m->max_n + part_rows - 1) / part_rows : 1;
	clear_partials(c, k, number, cleared);
	for (int i = 0; i < k->nopnds; i++)
		arg[i + 1] = address(&c->p->buffer[k->opnd[i].buf]);
	if (k->update)
		arg[k->nopnds + 1] = (RtCudaArg){RT_CUDA_METRIC, 0, 0};
	add_launch(c, &(RtCudaLaunch){.function = function_of(c, k, part_rows), .kernel = (uint32_t)number,
	                              .grid_x = (uint32_t)k_blocks(k), .grid_y = (uint32_t)parts,
	                              .threads = (uint32_t)k_block_threads(k), .nargs = (uint32_t)(k->nopnds + 1 + k->update),
	                              .arg = arg});
}

static void launch_items(CudaProgram *c, const KEntry *e, const KItem *item, int n, int part_rows, bool *cleared)
{
	for (int i = 0; i < n; i++) {
		INVARIANT(item[i].kind == I_RUN || (item[i].axis < 0 && !part_rows));
		if (item[i].kind == I_RUN)
			launch(c, e, item[i].kernel, part_rows, cleared);
		else
			launch_items(c, e, item[i].body, item[i].nbody, item[i].size, cleared);
	}
}

static RtKernel *kernels_of(Arena *a, const KEntry *e)
{
	RtKernel *out = NEWN(a, RtKernel, e->nkernels + 1);
	for (int i = 0; i < e->nkernels; i++)
		out[i] = (RtKernel){arena_strdup(a, e->kernel[i]->name), e->kernel[i]->flops, k_sample_axis(e->kernel[i]) >= 0};
	return out;
}

CgCuda *cg_cuda(const IrModule *m, const Target *t)
{
	Arena *a = arena_new();
	CgCuda *out = NEW(a, CgCuda);
	unsigned char model[32];
	*out = (CgCuda){.arena = a, .nentries = m->program->nentries};
	out->entry = NEWN(a, RtCudaEntry, out->nentries + 1);
	CudaProgram c = {.e = cuda_text_new(a), .m = m, .p = m->program, .t = t, .out = out};
	for (int i = 0; i < out->nentries; i++) {
		const KEntry *e = &m->program->entry[i];
		c.launch = NULL;
		c.nlaunches = c.launch_room = 0;
		launch_items(&c, e, e->item, e->nitems, 0, NEWN(a, bool, m->program->nbuffers + 1));
		out->entry[i] = (RtCudaEntry){.nlaunches = c.nlaunches, .nkernels = (uint32_t)e->nkernels, .launch = c.launch,
		                              .kernel = kernels_of(a, e), .slab_bytes = (uint64_t)e->slab_bytes};
	}
	cg_identity(m, t, model, out->schedule_key);
	return out;
}

void cg_cuda_free(CgCuda *c)
{
	if (c)
		arena_free(c->arena);
}

bool cg_cuda_write(const CgCuda *c, const char *path, Diag *d)
{
	FILE *f = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
	if (!f)
		return diag_error(d, (Loc){0}, "cannot write %s: %s", path, strerror(errno));
	fputs(cuda_prelude, f);
	for (int i = 0; i < c->nfunctions; i++)
		fprintf(f, "\n%s", c->function[i].text);
	bool ok = (f == stdout ? fflush(f) : fclose(f)) == 0;
	return ok || diag_error(d, (Loc){0}, "cannot write %s: %s", path, strerror(errno));
}

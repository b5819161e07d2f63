/* cuda_program.c -- entries to CUDA: each kernel once as a function, each item of a tree as a launch
 *
 * in:   a module after the last pass, for a TARGET_CUDA      out: texts of functions, launches with addresses (codegen/cuda.h)
 *
 * A part of samples, whose kernel adds into partial sums, becomes the second dimension of the grid. Kernels that are joined become
 * one function (cuda_join.c), which holds the places of its operands as constants; others are the same for equal kernels.
 */
#include "codegen/cuda.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "codegen/codegen.h"
#include "codegen/cuda_join.h"
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

static char *kernel_text(CudaProgram *c, const Kernel *k, const char *name, int part_rows, bool job)
{
	int64_t *bytes = NEWN(c->out->arena, int64_t, k->nopnds + 1);
	for (int i = 0; i < k->nopnds; i++)
		bytes[i] = copy_bytes(&c->p->buffer[k->opnd[i].buf]);
	CudaKernelText text = {.kernel = k, .name = name, .threads = (int)k_block_threads(k), .wide = is_wide(c->m, k),
	                       .part_rows = part_rows, .part_bytes = bytes, .job = job, .update = k->update};
	cuda_text_begin(c->e, &text);
	walk_kernel(c->e, c->p, k, c->t, name, part_rows ? k_sample_axis(k) : -1);
	return cuda_text_take(c->e, c->out->arena);
}

static const char *kernel_key(CudaProgram *c, const Kernel *k, int part_rows)
{
	return arena_printf(c->out->arena, "%d %d %s", part_rows, k->update, k_key(c->p, k, c->out->arena));
}

/* The function of that key, or a new one without a text. */
static CgCudaFunction *function_of(CudaProgram *c, const char *key, const char *name, uint32_t *number)
{
	Arena *a = c->out->arena;
	for (int i = 0; i < c->out->nfunctions; i++) {
		*number = (uint32_t)i;
		if (strcmp(c->key[i], key) == 0)
			return &c->out->function[i];
	}
	if (c->out->nfunctions == c->room) {
		int room = c->room ? 2 * c->room : 64;
		c->out->function = arena_grow(a, c->out->function, (size_t)c->room, (size_t)room, sizeof(CgCudaFunction));
		c->key = (const char **)arena_grow(a, c->key, (size_t)c->room, (size_t)room, sizeof(*c->key));
		c->room = room;
	}
	*number = (uint32_t)c->out->nfunctions++;
	c->key[*number] = key;
	CgCudaFunction *f = &c->out->function[*number];
	*f = (CgCudaFunction){.name = function_name(a, name, key)};
	return f;
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

/* What one launch has of an entry: a run, or a part of samples that is one run. */
typedef struct Run { const Kernel *k; int number, part_rows; } Run;

static Run run_of(const KEntry *e, const KItem *item)
{
	const KItem *it = item;
	Run r = {.part_rows = 0};
	if (it->kind == I_PART) {
		INVARIANT(it->axis < 0 && it->nbody == 1);
		r.part_rows = it->size;
		it = &it->body[0];
	}
	INVARIANT(it->kind == I_RUN);
	r.number = it->kernel;
	r.k = e->kernel[it->kernel];
	return r;
}

static CudaJob job_of(CudaProgram *c, const Run *r)
{
	const Kernel *k = r->k;
	RtCudaArg *arg = NEWN(c->out->arena, RtCudaArg, k->nopnds + 2);
	for (int i = 0; i < k->nopnds; i++)
		arg[i + 1] = address(&c->p->buffer[k->opnd[i].buf]);
	if (k->update)
		arg[k->nopnds + 1] = (RtCudaArg){RT_CUDA_METRIC, 0, 0};
	const KStaged staged = k_staged(k);
	return (CudaJob){.shared = staged.stage < 0 ? 0 : k_shared_bytes(&staged), .grid_x = (uint32_t)k_blocks(k),
	                 .grid_y = r->part_rows ? (uint32_t)((c->m->max_n + r->part_rows - 1) / r->part_rows) : 1,
	                 .threads = (uint32_t)k_block_threads(k), .nargs = (uint32_t)(k->nopnds + 1 + k->update), .arg = arg};
}

static RtCudaLaunch alone(CudaProgram *c, const Run *r)
{
	const CudaJob j = job_of(c, r);
	RtCudaLaunch l = {.grid_x = j.grid_x, .grid_y = j.grid_y, .threads = j.threads, .nargs = j.nargs, .arg = j.arg};
	CgCudaFunction *f = function_of(c, kernel_key(c, r->k, r->part_rows), r->k->name, &l.function);
	if (!f->text)
		f->text = kernel_text(c, r->k, f->name, r->part_rows, false);
	return l;
}

/* Equal jobs share a function; texts: write them. Its name is that of the joined one, which no other has, and a number. */
static void name_jobs(CudaProgram *c, const char *const *key, const Run *run, CudaJob *job, int n, const char *joined, bool texts)
{
	for (int i = 0; i < n; i++) {
		int same = 0;
		while (strcmp(key[same], key[i]) != 0)
			same++;
		job[i].name = arena_printf(c->out->arena, "%s_%d", joined, same);
		if (texts)
			job[i].text = same < i ? job[same].text : kernel_text(c, run[i].k, job[i].name, run[i].part_rows, true);
	}
}

static RtCudaLaunch together(CudaProgram *c, const Run *run, int n)
{
	Arena *a = c->out->arena;
	CudaJob *job = NEWN(a, CudaJob, n);
	const char **key = (const char **)arena_alloc(a, (size_t)n, sizeof *key), *all = "";
	uint32_t number;
	for (int i = 0; i < n; i++) {
		job[i] = job_of(c, &run[i]);
		key[i] = kernel_key(c, run[i].k, run[i].part_rows);
		all = arena_printf(a, "%s%s", all, key[i]);
		for (uint32_t k = 0; k < job[i].nargs; k++)
			all = arena_printf(a, "%s %u %u %llu", all, job[i].arg[k].base, job[i].arg[k].port,
			                   (unsigned long long)job[i].arg[k].offset);
	}
	CgCudaFunction *f = function_of(c, all, arena_printf(a, "%s_and_%d", run[0].k->name, n - 1), &number);
	name_jobs(c, key, run, job, n, f->name, !f->text);
	RtCudaLaunch l = cuda_join(a, f->name, job, n, f->text ? NULL : &f->text);
	l.function = number;
	return l;
}

/* ---- what a launch touches ---- */
static uint64_t touched_bytes(const CudaProgram *c, const KBuffer *b)
{
	const int64_t elems = ir_elems(&b->type, c->m->max_n);
	return b->cls == B_METRIC ? (uint64_t)elems * sizeof(double) : (uint64_t)b->bytes;
}

static CudaTouches touches_of(CudaProgram *c, const Run *run, int n)
{
	int room = 0;
	for (int i = 0; i < n; i++)
		room += run[i].k->nopnds + 1;
	CudaTouches out = {.touch = NEWN(c->out->arena, CudaTouch, room)};
	for (int i = 0; i < n; i++) {
		const Kernel *k = run[i].k;
		for (int o = 0; o < k->nopnds; o++) {
			const KBuffer *b = &c->p->buffer[k->opnd[o].buf];
			out.touch[out.n++] = (CudaTouch){address(b), touched_bytes(c, b), k->opnd[o].mode != M_IN};
		}
		if (k->update)
			out.touch[out.n++] = (CudaTouch){{RT_CUDA_METRIC, 0, 0}, sizeof(double), false};
	}
	return out;
}

/* Of kernels that work by sample the FLOP of a sample; where there is none, those of the call. */
static RtKernel described(Arena *a, const Run *run, int n)
{
	RtKernel out = {.name = arena_strdup(a, run[0].k->name)};
	if (n > 1)
		out.name = arena_printf(a, "%s and %d more", run[0].k->name, n - 1);
	for (int i = 0; i < n; i++)
		out.batched |= k_sample_axis(run[i].k) >= 0;
	for (int i = 0; i < n; i++)
		out.flops += out.batched == (k_sample_axis(run[i].k) >= 0) ? run[i].k->flops : 0;
	return out;
}

/* One launch an item of the tree; the kernels of an item are numbered one after the other. */
static void launches_of(CudaProgram *c, const KEntry *e, RtCudaEntry *out)
{
	Arena *a = c->out->arena;
	RtCudaLaunch *launch = NEWN(a, RtCudaLaunch, e->nitems + 1);
	RtKernel *kernel = NEWN(a, RtKernel, e->nitems + 1);
	CudaTouches *touches = NEWN(a, CudaTouches, e->nitems + 1);
	for (int i = 0; i < e->nitems; i++) {
		const KItem *it = &e->item[i];
		const int n = it->kind == I_JOIN ? it->nbody : 1;
		Run *run = NEWN(a, Run, n);
		for (int j = 0; j < n; j++) {
			run[j] = run_of(e, it->kind == I_JOIN ? &it->body[j] : it);
			INVARIANT(run[j].number == run[0].number + j);
		}
		launch[i] = n > 1 ? together(c, run, n) : alone(c, &run[0]);
		kernel[i] = described(a, run, n);
		touches[i] = touches_of(c, run, n);
	}
	cuda_edges(a, launch, touches, (uint32_t)e->nitems);
	out->launch = launch;
	out->kernel = kernel;
	out->nlaunches = (uint32_t)e->nitems;
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
		out->entry[i] = (RtCudaEntry){.slab_bytes = (uint64_t)e->slab_bytes};
		launches_of(&c, e, &out->entry[i]);
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

/* cuda_join.c -- several kernels in one launch, and what launches wait for
 *
 * A joined kernel has the blocks of its jobs one behind the other; a block finds out whose it is, and threads that the job does
 * not need leave at once (barriers wait for those that are left, from sm_70 on). It takes the few regions of memory that its
 * jobs use, and adds their offsets as constants: parameters of a kernel are scarce, and an optimizer has hundreds of tensors.
 */
#include "codegen/cuda_join.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the joined kernel ---- */
static bool same_region(const RtCudaArg *a, const RtCudaArg *b)
{
	return a->base == b->base && a->port == b->port;
}

static uint32_t region_of(RtCudaArg *region, uint32_t *n, const RtCudaArg *at)
{
	uint32_t i = 0;
	while (i < *n && !same_region(&region[i], at))
		i++;
	if (i == *n)
		region[(*n)++] = (RtCudaArg){at->base, at->port, 0};
	return i;
}

static void put_call(FILE *f, const CudaJob *j, RtCudaArg *region, uint32_t *nregions)
{
	fprintf(f, "  at.x = rest %% %uu;\n  at.y = rest / %uu;\n", j->grid_x, j->grid_x);
	fprintf(f, "  if (threadIdx.x < %uu)\n   %s(at, %s", j->threads, j->name, j->shared ? "s_stage" : "0");
	for (uint32_t i = 0; i < j->nargs; i++)
		fprintf(f, ", r%u + %lluull", region_of(region, nregions, &j->arg[i]), (unsigned long long)j->arg[i].offset);
	fputs(");\n  return;\n", f);
}

static char *calls(Arena *a, const CudaJob *job, int n, RtCudaArg *region, uint32_t *nregions)
{
	char *text = NULL;
	size_t bytes;
	FILE *f = open_memstream(&text, &bytes);
	INVARIANT(f);
	for (int i = 0; i < n; i++) {
		fprintf(f, " if (rest < %uu) {\n", job[i].grid_x * job[i].grid_y);
		put_call(f, &job[i], region, nregions);
		fprintf(f, " }\n rest -= %uu;\n", job[i].grid_x * job[i].grid_y);
	}
	INVARIANT(fclose(f) == 0);
	char *out = arena_strndup(a, text, bytes);
	free(text);
	return out;
}

static bool first_of_its_name(const CudaJob *job, int i)
{
	for (int j = 0; j < i; j++) {
		if (strcmp(job[j].name, job[i].name) == 0)
			return false;
	}
	return true;
}

static const char *joined_text(Arena *a, const char *name, const CudaJob *job, int n, const char *body, const RtCudaLaunch *l)
{
	char *text = NULL;
	size_t bytes;
	int64_t shared = 0; /* a block does one job: all have the same */
	FILE *f = open_memstream(&text, &bytes);
	INVARIANT(f);
	for (int i = 0; i < n; i++)
		fputs(first_of_its_name(job, i) ? job[i].text : "", f);
	fprintf(f, "CNNC_KERNEL(%u) %s(", l->threads, name);
	for (uint32_t i = 0; i < l->nargs; i++)
		fprintf(f, "%sunsigned char *r%u", i ? ", " : "", i);
	fputs(")\n{\n", f);
	for (int i = 0; i < n; i++)
		shared = job[i].shared > shared ? job[i].shared : shared;
	if (shared)
		fprintf(f, " CNNC_ARRAY(unsigned char, s_stage, %lld);\n", (long long)shared);
	fprintf(f, " CnncBlock at;\n unsigned rest = blockIdx.x;\n%s}\n", body);
	INVARIANT(fclose(f) == 0);
	const char *joined = arena_strndup(a, text, bytes);
	free(text);
	return joined;
}

RtCudaLaunch cuda_join(Arena *a, const char *name, const CudaJob *job, int n, const char **text)
{
	RtCudaLaunch out = {.grid_y = 1};
	uint32_t room = 0;
	for (int i = 0; i < n; i++) {
		room += job[i].nargs;
		out.grid_x += job[i].grid_x * job[i].grid_y;
		out.threads = job[i].threads > out.threads ? job[i].threads : out.threads;
	}
	RtCudaArg *region = NEWN(a, RtCudaArg, room + 1);
	const char *body = calls(a, job, n, region, &out.nargs);
	out.arg = region;
	if (text)
		*text = joined_text(a, name, job, n, body, &out);
	return out;
}

/* ---- what a launch waits for ---- */
static bool overlap(const CudaTouch *a, const CudaTouch *b)
{
	return (a->write || b->write) && same_region(&a->at, &b->at) && a->at.offset < b->at.offset + b->bytes &&
	       b->at.offset < a->at.offset + a->bytes;
}

static bool conflict(const CudaTouches *a, const CudaTouches *b)
{
	for (int i = 0; i < a->n; i++) {
		for (int j = 0; j < b->n; j++) {
			if (overlap(&a->touch[i], &b->touch[j]))
				return true;
		}
	}
	return false;
}

/* From the latest on: one that is waited for anyway, through another, is left out. */
void cuda_edges(Arena *a, RtCudaLaunch *launch, const CudaTouches *touches, uint32_t n)
{
	bool *before = NEWN(a, bool, (size_t)n * n + 1); /* [i, j]: launch j is done when i starts */
	for (uint32_t i = 0; i < n; i++) {
		uint32_t *after = NEWN(a, uint32_t, i + 1);
		for (uint32_t j = i; j-- > 0;) {
			if (before[i * n + j] || !conflict(&touches[i], &touches[j]))
				continue;
			after[launch[i].nafter++] = j;
			before[i * n + j] = true;
			for (uint32_t k = 0; k < j; k++)
				before[i * n + k] |= before[j * n + k];
		}
		launch[i].after = after;
	}
}

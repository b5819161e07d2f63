/* cuda_text.c -- the emit table that writes CUDA C: functions, indices, control flow, memory (see cuda_text.h)
 *
 * Every value is a constant or a named local, so the text reads like the LLVM IR of the same kernel, one operation a line.
 * Nothing depends on contraction: products and sums stay apart, and fmaf says where they do not.
 */
#include "codegen/cuda_text_build.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/model.h"

static const char *const c_type[DT_COUNT] = {"float", "double", "int", "unsigned", "unsigned char", "bool", "unsigned short"};

const char *cuda_type(DType t)
{
	return c_type[t];
}

/* ---- values ---- */
CuVal *cuda_new_val(CuText *c, const char *ctype, const char *text)
{
	CuVal *v = NEW(c->arena, CuVal);
	v->ctype = ctype;
	v->text = text;
	return v;
}

EVal cuda_line(CuText *c, const char *ctype, const char *fmt, ...)
{
	va_list ap;
	char *name = arena_printf(c->arena, "v%d", c->nvals++);
	fprintf(c->f, "%*sconst %s %s = ", c->depth, "", ctype, name);
	va_start(ap, fmt);
	vfprintf(c->f, fmt, ap);
	va_end(ap);
	fputs(";\n", c->f);
	return cuda_new_val(c, ctype, name);
}

static const char *index_type(const CuText *c)
{
	return c->k.wide ? "long long" : "int";
}

static EVal i64(KEmit *e, int64_t v)
{
	CuText *c = ct(e);
	CuVal *x = cuda_new_val(c, index_type(c), arena_printf(c->arena, v < 0 ? "(%lld)" : "%lld", (long long)v));
	x->known = true;
	x->value = v;
	return x;
}

static bool is_i64(KEmit *e, EVal v, int64_t *out)
{
	(void)e;
	const CuVal *x = v;
	*out = x->value;
	return x->known;
}

static bool is_value(EVal v, int64_t want)
{
	const CuVal *x = v;
	return x->known && x->value == want;
}

static bool both(EVal a, EVal b)
{
	return ((CuVal *)a)->known && ((CuVal *)b)->known;
}

static int64_t val(EVal v)
{
	return ((CuVal *)v)->value;
}

static EVal iadd(KEmit *e, EVal a, EVal b)
{
	if (both(a, b))
		return i64(e, val(a) + val(b));
	if (is_value(a, 0))
		return b;
	return is_value(b, 0) ? a : cuda_line(ct(e), index_type(ct(e)), "%s + %s", str(a), str(b));
}

static EVal isub(KEmit *e, EVal a, EVal b)
{
	if (both(a, b))
		return i64(e, val(a) - val(b));
	return is_value(b, 0) ? a : cuda_line(ct(e), index_type(ct(e)), "%s - %s", str(a), str(b));
}

static EVal imul(KEmit *e, EVal a, EVal b)
{
	if (both(a, b))
		return i64(e, val(a) * val(b));
	if (is_value(a, 0) || is_value(b, 1))
		return a;
	if (is_value(b, 0) || is_value(a, 1))
		return b;
	return cuda_line(ct(e), index_type(ct(e)), "%s * %s", str(a), str(b));
}

static EVal idiv(KEmit *e, EVal a, EVal b)
{
	if (both(a, b))
		return i64(e, val(a) / val(b));
	return is_value(b, 1) ? a : cuda_line(ct(e), index_type(ct(e)), "%s / %s", str(a), str(b));
}

static EVal imin(KEmit *e, EVal a, EVal b)
{
	if (both(a, b))
		return i64(e, val(a) < val(b) ? val(a) : val(b));
	return cuda_line(ct(e), index_type(ct(e)), "%s < %s ? %s : %s", str(a), str(b), str(a), str(b));
}

static EVal imax(KEmit *e, EVal a, EVal b)
{
	if (both(a, b))
		return i64(e, val(a) > val(b) ? val(a) : val(b));
	return cuda_line(ct(e), index_type(ct(e)), "%s > %s ? %s : %s", str(a), str(b), str(a), str(b));
}

static EVal icmp(KEmit *e, ECmp cmp, EVal a, EVal b)
{
	return cuda_line(ct(e), "bool", "%s %s %s", str(a), cuda_cmp(cmp), str(b));
}

static EVal iselect(KEmit *e, EVal cond, EVal a, EVal b)
{
	return cuda_line(ct(e), index_type(ct(e)), "%s ? %s : %s", str(cond), str(a), str(b));
}

static EVal to_i64(KEmit *e, EVal scalar)
{
	return cuda_line(ct(e), index_type(ct(e)), "(%s)%s", index_type(ct(e)), str(scalar));
}

static EVal from_i64(KEmit *e, EVal i, DType to)
{
	return cuda_line(ct(e), c_type[to], "(%s)%s", c_type[to], str(i));
}

/* ---- functions ---- */
static void arguments(const CuText *c, FILE *f)
{
	const Kernel *k = c->k.kernel;
	fputs("const unsigned char *CNNC_RESTRICT p0", f);
	for (int i = 0; i < k->nopnds; i++)
		fprintf(f, ", %sunsigned char *CNNC_RESTRICT %s%d", k->opnd[i].mode == M_IN ? "const " : "",
		        k->opnd[i].mode == M_ADD && c->k.part_rows ? "part" : "p", i + 1);
	if (c->k.update)
		fputs(", const unsigned char *CNNC_RESTRICT loss", f);
}

/* The samples of this part, and where it adds. */
static void part(CuText *c)
{
	const Kernel *k = c->k.kernel;
	const char *t = index_type(c);
	fprintf(c->f, " const %s lo = (%s)blockIdx.y * %d, hi = lo + %d < n ? lo + %d : n;\n if (lo >= n)\n  return;\n", t, t,
	        c->k.part_rows, c->k.part_rows, c->k.part_rows);
	for (int i = 0; i < k->nopnds; i++) {
		if (k->opnd[i].mode == M_ADD)
			fprintf(c->f, " unsigned char *const p%d = part%d + (unsigned long long)blockIdx.y * %lldu;\n", i + 1, i + 1,
			        (long long)c->k.part_bytes[i]);
	}
}

static void begin(KEmit *e, const char *name, int nptr, int nint, bool internal)
{
	CuText *c = ct(e);
	(void)name, (void)nptr, (void)nint, (void)internal; /* cuda_text_take writes the head */
	c->depth = 1;
	fprintf(c->f, " const %s n = (%s)((const unsigned *)p0)[%d];\n", index_type(c), index_type(c),
	        (int)(offsetof(RtScalars, n) / sizeof(uint32_t)));
	if (c->k.update) /* neither NaN nor infinite */
		fputs(" if (!(*(const double *)loss - *(const double *)loss == 0))\n  return;\n", c->f);
	if (c->k.part_rows)
		part(c);
}

static EVal ptr_arg(KEmit *e, int i)
{
	return cuda_new_val(ct(e), "unsigned char *", arena_printf(ct(e)->arena, "p%d", i));
}

static EVal int_arg(KEmit *e, int i)
{
	static const char *const name[] = {"lo", "hi", "n"};
	if (i < 2 && !ct(e)->k.part_rows)
		return i64(e, 0);
	return cuda_new_val(ct(e), index_type(ct(e)), name[i]);
}

static void end(KEmit *e)
{
	CuText *c = ct(e);
	INVARIANT(c->depth == 1);
}

static EVal ptr_add(KEmit *e, EVal ptr, EVal bytes)
{
	return cuda_line(ct(e), "unsigned char *", "(unsigned char *)%s + %s", str(ptr), str(bytes));
}

/* ---- control ---- */
static EVal loop_begin(KEmit *e, EVal lo, EVal hi, int64_t step, bool maybe_empty, int ncarried, EVal *carried)
{
	CuText *c = ct(e);
	(void)maybe_empty;
	for (int i = 0; i < ncarried; i++) {
		const CuVal *start = carried[i];
		char *name = arena_printf(c->arena, "c%d", c->nvals++);
		fprintf(c->f, "%*s%s %s = %s;\n", c->depth, "", start->ctype, name, start->text);
		carried[i] = cuda_new_val(c, start->ctype, name);
	}
	INVARIANT(c->nloops < CU_MAX_DEPTH);
	EVal *kept = NEWN(c->arena, EVal, ncarried + 1);
	for (int i = 0; i < ncarried; i++)
		kept[i] = carried[i];
	c->carried[c->nloops++] = kept;
	char *iv = arena_printf(c->arena, "i%d", c->nvals++);
	fprintf(c->f, "%*sfor (%s %s = %s; %s < %s; %s += %lld) {\n", c->depth, "", index_type(c), iv, str(lo), iv, str(hi), iv,
	        (long long)step);
	c->depth++;
	return cuda_new_val(c, index_type(c), iv);
}

/* All new values are taken before the first is given to its variable: some may be other variables. */
static void loop_end(KEmit *e, int ncarried, EVal *carried)
{
	CuText *c = ct(e);
	EVal *var = c->carried[--c->nloops];
	for (int i = 0; i < ncarried; i++) {
		for (int j = 0; j < i; j++) {
			if (strcmp(str(carried[i]), str(var[j])) == 0)
				carried[i] = cuda_line(c, ((CuVal *)var[i])->ctype, "%s", str(carried[i]));
		}
	}
	for (int i = 0; i < ncarried; i++) {
		if (strcmp(str(carried[i]), str(var[i])) != 0)
			fprintf(c->f, "%*s%s = %s;\n", c->depth, "", str(var[i]), str(carried[i]));
		carried[i] = var[i];
	}
	c->depth--;
	fprintf(c->f, "%*s}\n", c->depth, "");
}

static void if_begin(KEmit *e, EVal cond)
{
	fprintf(ct(e)->f, "%*sif (%s) {\n", ct(e)->depth, "", str(cond));
	ct(e)->depth++;
}

static void if_end(KEmit *e)
{
	ct(e)->depth--;
	fprintf(ct(e)->f, "%*s}\n", ct(e)->depth, "");
}

static void set_lanes(KEmit *e, int lanes)
{
	(void)e, (void)lanes; /* there are no vectors */
}

/* ---- memory ---- */
static EVal load(KEmit *e, DType t, EVal base, EVal at, int64_t off)
{
	if (off == 0)
		return cuda_line(ct(e), c_type[t], "((const %s *)%s)[%s]", c_type[t], str(base), str(at));
	return cuda_line(ct(e), c_type[t], "((const %s *)%s)[%s + %lld]", c_type[t], str(base), str(at), (long long)off);
}

static void store(KEmit *e, DType t, EVal v, EVal base, EVal at, int64_t off)
{
	fprintf(ct(e)->f, "%*s((%s *)%s)[%s + %lld] = %s;\n", ct(e)->depth, "", c_type[t], str(base), str(at), (long long)off, str(v));
}

static void prefetch(KEmit *e, EVal base, EVal at, int64_t off, DType t, bool write, bool near)
{
	(void)e, (void)base, (void)at, (void)off, (void)t, (void)write, (void)near; /* other threads run meanwhile */
}

/* ---- blocks and threads ---- */
static EVal block_index(KEmit *e)
{
	return cuda_line(ct(e), index_type(ct(e)), "(%s)blockIdx.x", index_type(ct(e)));
}

static EVal thread_index(KEmit *e)
{
	return cuda_line(ct(e), index_type(ct(e)), "(%s)threadIdx.x", index_type(ct(e)));
}

/* Halves the threads that still hold something: thread i takes what i + half has. */
static EVal fold(KEmit *e, DType t, KRed red, EVal v, int threads, int distance)
{
	CuText *c = ct(e);
	const char *mine = str(cuda_line(c, "int", "(int)threadIdx.x / %d %% %d", distance, threads));
	const char *sum = arena_printf(c->arena, "s_%s", dtype_name(t));
	int half = 1;
	c->shares[t] = true;
	while (2 * half < threads)
		half *= 2;
	fprintf(c->f, "%*s%s[threadIdx.x] = %s;\n%*s__syncthreads();\n", c->depth, "", sum, str(v), c->depth, "");
	const char *own = arena_printf(c->arena, "%s[threadIdx.x]", sum);
	for (int left = threads; half >= 1 && threads > 1; left = half, half /= 2) {
		const char *other = arena_printf(c->arena, "%s[threadIdx.x + %d]", sum, half * distance);
		fprintf(c->f, "%*sif (%s < %d)\n%*s %s = %s;\n%*s__syncthreads();\n", c->depth, "", mine, left - half, c->depth, "", own,
		        cuda_combine(c->arena, t, red, own, other), c->depth, "");
	}
	EVal out = cuda_line(c, c_type[t], "%s[(int)threadIdx.x - %s * %d]", sum, mine, distance);
	fprintf(c->f, "%*s__syncthreads();\n", c->depth, "");
	return out;
}

static void fill_rows(KEmit *e)
{
	e->begin = begin;
	e->ptr_arg = ptr_arg;
	e->int_arg = int_arg;
	e->end = end;
	e->ptr_add = ptr_add;
	e->i64 = i64;
	e->is_i64 = is_i64;
	e->iadd = iadd;
	e->isub = isub;
	e->imul = imul;
	e->idiv = idiv;
	e->imin = imin;
	e->imax = imax;
	e->icmp = icmp;
	e->iselect = iselect;
	e->to_i64 = to_i64;
	e->from_i64 = from_i64;
	e->loop_begin = loop_begin;
	e->loop_end = loop_end;
	e->if_begin = if_begin;
	e->if_end = if_end;
	e->set_lanes = set_lanes;
	e->load = load;
	e->store = store;
	e->prefetch = prefetch;
	e->block_index = block_index;
	e->thread_index = thread_index;
	e->fold = fold;
}

KEmit *cuda_text_new(Arena *a)
{
	CuText *c = NEW(a, CuText);
	c->emit.cx = c;
	fill_rows(&c->emit);
	cuda_value_rows(&c->emit);
	cuda_tile_rows(&c->emit);
	return &c->emit;
}

void cuda_text_begin(KEmit *e, const CudaKernelText *k)
{
	CuText *c = ct(e);
	c->k = *k;
	c->arena = arena_new();
	c->nvals = c->nloops = 0;
	c->shared_bytes = 0;
	memset(c->shares, 0, sizeof c->shares);
	c->f = open_memstream(&c->body, &c->bytes);
	if (!c->f)
		ICE("no memory for the text of a kernel");
}

char *cuda_text_take(KEmit *e, Arena *a)
{
	CuText *c = ct(e);
	char *head = NULL, *out;
	size_t n;
	FILE *f = open_memstream(&head, &n);
	if (!f || fclose(c->f) != 0)
		ICE("no memory for the text of a kernel");
	if (c->k.job) /* its own number of the block has the place of CUDA's */
		fprintf(f, "CNNC_JOB %s(const CnncBlock blockIdx, unsigned char *const s_stage, ", c->k.name);
	else
		fprintf(f, "CNNC_KERNEL(%d) %s(", c->k.threads, c->k.name);
	arguments(c, f);
	fputs(")\n{\n", f);
	for (int t = 0; t < DT_COUNT; t++) {
		if (c->shares[t])
			fprintf(f, " CNNC_ARRAY(%s, s_%s, %d);\n", c_type[t], dtype_name((DType)t), c->k.threads);
	}
	if (c->shared_bytes && !c->k.job)
		fprintf(f, " CNNC_ARRAY(unsigned char, s_stage, %lld);\n", (long long)c->shared_bytes);
	fclose(f);
	out = arena_printf(a, "%s%s}\n", head, c->body);
	free(head);
	free(c->body);
	arena_free(c->arena);
	c->arena = NULL;
	return out;
}

/* cuda_mma.c -- the emit table that writes CUDA C: shared memory, copies to it, products of tiles (see cuda_text.h)
 *
 * A warp has a part of the block's tile. Without matrix instructions its lanes stand 4 by 8 in it, each with sums of rows 4 and
 * columns 8 apart, in fours where four of them lie side by side in shared memory. With them the part is made of 16x8 squares whose
 * sums lie in the lanes as the instruction has it: rows lane/4 and 8 further, columns 2*(lane%4) and the next one.
 * Loops stand in the text and are unrolled by the compiler.
 */
#include "codegen/cuda_text_build.h"

static void line(CuText *c, const char *fmt, ...) CNNC_PRINTF(2, 3);

static void line(CuText *c, const char *fmt, ...)
{
	va_list ap;
	fprintf(c->f, "%*s", c->depth, "");
	va_start(ap, fmt);
	vfprintf(c->f, fmt, ap);
	va_end(ap);
	fputc('\n', c->f);
}

/* ---- shared memory ---- */
static EVal shared(KEmit *e, int64_t bytes)
{
	ct(e)->shared_bytes = bytes;
	return cuda_new_val(ct(e), "unsigned char *", "s_stage");
}

static void barrier(KEmit *e)
{
	line(ct(e), "__syncthreads();");
}

static void copy(KEmit *e, DType t, int n, EVal to, EVal to_at, EVal base, EVal at, int64_t off, EVal inside)
{
	const char *type = cuda_type(t);
	line(ct(e), "cnnc_copy%d((%s *)%s + %s, (const %s *)%s + %s + %lld, %s);", n * dtype_size(t), type, str(to), str(to_at), type,
	     str(base), str(at), (long long)off, inside ? str(inside) : "true");
}

static void copies_close(KEmit *e)
{
	line(ct(e), "cnnc_copies_close();");
}

static void copies_wait(KEmit *e, int behind)
{
	line(ct(e), "cnnc_copies_wait(%d);", behind);
}

/* ---- a warp's part ---- */
static int part(const KSide *s)
{
	return s->padded / s->warps;
}

/* Sums of a lane, or squares of a warp, along a side. */
static int sums(const KStaged *t, int side)
{
	const int unit = t->mma ? (side ? 8 : 16) : side ? 8 : 4;
	return part(&t->side[side]) / unit;
}

/* Where the lane's first sum is: row0, col0. */
static void tile_clear(KEmit *e, const KStaged *t)
{
	static const char *const by_fours[] = {"lane / 8 * 4", "lane % 8 * 4"}, *const by_ones[] = {"lane / 8", "lane % 8"};
	CuText *c = ct(e);
	line(c, "const int lane = (int)threadIdx.x %% %d, warp = (int)threadIdx.x / %d;", K_WARP, K_WARP);
	for (int i = 0; i < 2; i++) {
		const KSide *s = &t->side[i];
		const char *first = t->mma ? "0" : s->deep ? by_ones[i] : by_fours[i];
		line(c, "const int %s = warp %c %d * %d + %s;", i ? "col0" : "row0", i ? '%' : '/', t->side[1].warps, part(s), first);
	}
	line(c, "float sum[%d][%d]%s = {%s0%s};", sums(t, 0), sums(t, 1), t->mma ? "[4]" : "", t->mma ? "{{" : "{", t->mma ? "}}" : "}");
}

/* ---- fused multiply-adds ---- */
static void load_fours(CuText *c, const KStaged *t, int side, bool deep)
{
	const KSide *s = &t->side[side];
	const char name = side ? 'b' : 'a', *const base = side ? "columns" : "rows", *const first = side ? "col0" : "row0";
	const int n = deep ? sums(t, side) : sums(t, side) / 4, apart = side ? 8 : 4;
	if (s->deep != deep)
		return;
	line(c, "CnncFour %c[%d];", name, n);
	line(c, "#pragma unroll");
	line(c, "for (int i = 0; i < %d; i++)", n);
	if (deep)
		line(c, " %c[i] = *(const CnncFour *)(%s + (%s + %d * i) * %d + k);", name, base, first, apart, s->lead);
	else
		line(c, " %c[i] = *(const CnncFour *)(%s + (k + s) * %d + %s + %d * i);", name, base, s->lead, first, 4 * apart);
}

static void add_products(CuText *c, const KStaged *t)
{
	line(c, "#pragma unroll 2");
	line(c, "for (int k = 0; k < %d; k += 4) {", t->padded);
	c->depth++;
	load_fours(c, t, 0, true);
	load_fours(c, t, 1, true);
	line(c, "#pragma unroll");
	line(c, "for (int s = 0; s < 4; s++) {");
	c->depth++;
	load_fours(c, t, 0, false);
	load_fours(c, t, 1, false);
	line(c, "#pragma unroll");
	line(c, "for (int i = 0; i < %d; i++) {", sums(t, 0));
	line(c, "#pragma unroll");
	line(c, " for (int j = 0; j < %d; j++)", sums(t, 1));
	line(c, "  sum[i][j] = fmaf(%s, %s, sum[i][j]);", t->side[0].deep ? "a[i].v[s]" : "a[i / 4].v[i % 4]",
	     t->side[1].deep ? "b[j].v[s]" : "b[j / 4].v[j % 4]");
	line(c, "}");
	for (int i = 0; i < 2; i++) {
		c->depth--;
		line(c, "}");
	}
}

static void take_sums(CuText *c, const KStaged *t)
{
	line(c, "#pragma unroll");
	line(c, "for (int i = 0; i < %d; i++) {", sums(t, 0));
	line(c, "#pragma unroll");
	line(c, " for (int j = 0; j < %d; j++)", sums(t, 1));
	line(c, "  to[(row0 + %s) * %d + col0 + %s] = sum[i][j];", t->side[0].deep ? "4 * i" : "i / 4 * 16 + i % 4", t->result_lead,
	     t->side[1].deep ? "8 * j" : "j / 4 * 32 + j % 4");
	line(c, "}");
}

/* ---- matrix instructions ---- */
/* Element (row or column, point of the sum) of a factor, as the places of constants: text + first of side + k. */
static const char *element(Arena *a, const KSide *s, const char *along, const char *deep)
{
	return s->deep ? arena_printf(a, "(%s) * %d + %s", along, s->lead, deep) : arena_printf(a, "(%s) * %d + %s", deep, s->lead, along);
}

/* tf32: rows lane/4 and 8 further, points of the sum lane%4 and 4 further. */
static void load_tf32(CuText *c, const KStaged *t, int side)
{
	const KSide *s = &t->side[side];
	const int unit = side ? 8 : 16, n = side ? 2 : 4;
	line(c, "unsigned %c[%d][%d];", side ? 'b' : 'a', sums(t, side), n);
	line(c, "#pragma unroll");
	line(c, "for (int i = 0; i < %d; i++) {", sums(t, side));
	for (int j = 0; j < n; j++) {
		const int along = side ? 0 : j % 2 * 8, deep = (side ? j : j / 2) * 4;
		const char *first = arena_printf(c->arena, "%s + lane / 4 + %d * i + %d", side ? "col0" : "row0", unit, along);
		line(c, " %c[i][%d] = cnnc_tf32(%s[%s]);", side ? 'b' : 'a', j, side ? "columns" : "rows",
		     element(c->arena, s, first, arena_printf(c->arena, "k + lane %% 4 + %d", deep)));
	}
	line(c, "}");
}

/* bf16: four 8x8 squares an instruction, each lane points at a row of one of them: of 16 rows and 16 points of the sum, or of 16
 * columns, that is two of the product's squares, and 16 points. */
static void load_bf16(CuText *c, const KStaged *t, int side)
{
	const KSide *s = &t->side[side];
	const char *const along_by[] = {"lane / 8 % 2 * 8", "lane / 16 * 8"}, *const deep_by[] = {"lane / 16 * 8", "lane / 8 % 2 * 8"};
	const char *along = arena_printf(c->arena, "%s + 16 * i + %s%s", side ? "col0" : "row0", along_by[side], s->deep ? " + lane % 8" : "");
	const char *deep = arena_printf(c->arena, "k + %s%s", deep_by[side], s->deep ? "" : " + lane % 8");
	const int n = side ? sums(t, 1) / 2 : sums(t, 0);
	line(c, "unsigned %c[%d][%d];", side ? 'b' : 'a', sums(t, side), side ? 2 : 4);
	line(c, "#pragma unroll");
	line(c, "for (int i = 0; i < %d; i++)", n);
	line(c, " cnnc_ldmatrix%s(%s, %s + %s);", s->deep ? "" : "_trans", side ? "b[2 * i]" : "a[i]", side ? "columns" : "rows",
	     element(c->arena, s, along, deep));
}

static void add_squares(CuText *c, const KStaged *t)
{
	const bool tf32 = t->type == DT_F32;
	line(c, "#pragma unroll");
	line(c, "for (int k = 0; k < %d; k += %d) {", t->padded, t->mma);
	c->depth++;
	for (int i = 0; i < 2; i++)
		(tf32 ? load_tf32 : load_bf16)(c, t, i);
	line(c, "#pragma unroll");
	line(c, "for (int i = 0; i < %d; i++) {", sums(t, 0));
	line(c, "#pragma unroll");
	line(c, " for (int j = 0; j < %d; j++)", sums(t, 1));
	line(c, "  cnnc_mma_%s(sum[i][j], a[i], b[j]);", tf32 ? "tf32" : "bf16");
	line(c, "}");
	c->depth--;
	line(c, "}");
}

static void take_squares(CuText *c, const KStaged *t)
{
	line(c, "#pragma unroll");
	line(c, "for (int i = 0; i < %d; i++) {", sums(t, 0));
	line(c, "#pragma unroll");
	line(c, " for (int j = 0; j < %d; j++) {", sums(t, 1));
	line(c, "#pragma unroll");
	line(c, "  for (int q = 0; q < 4; q++)");
	line(c, "   to[(row0 + 16 * i + lane / 4 + q / 2 * 8) * %d + col0 + 8 * j + lane %% 4 * 2 + q %% 2] = sum[i][j][q];", t->result_lead);
	line(c, " }");
	line(c, "}");
}

static void tile_add(KEmit *e, const KStaged *t, EVal rows, EVal columns)
{
	CuText *c = ct(e);
	const char *type = cuda_type(t->type);
	line(c, "{");
	c->depth++;
	line(c, "const %s *const rows = (const %s *)%s, *const columns = (const %s *)%s;", type, type, str(rows), type, str(columns));
	(t->mma ? add_squares : add_products)(c, t);
	c->depth--;
	line(c, "}");
}

static void tile_take(KEmit *e, const KStaged *t, EVal to)
{
	CuText *c = ct(e);
	line(c, "{");
	c->depth++;
	line(c, "float *const to = (float *)%s;", str(to));
	(t->mma ? take_squares : take_sums)(c, t);
	c->depth--;
	line(c, "}");
}

void cuda_tile_rows(KEmit *e)
{
	e->shared = shared;
	e->barrier = barrier;
	e->copy = copy;
	e->copies_close = copies_close;
	e->copies_wait = copies_wait;
	e->tile_clear = tile_clear;
	e->tile_add = tile_add;
	e->tile_take = tile_take;
}

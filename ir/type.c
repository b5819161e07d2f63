/* type.c -- dtypes and shapes: equality, sizes, text
 *
 * Knows nothing of ops. Sizes saturate at INT64_MAX instead of overflowing; ir_infer refuses shapes that come near.
 */
#include "ir/ir.h"

#include <string.h>

static const struct {
	const char *name;
	int size;
} dtypes[DT_COUNT] = {
	[DT_F32] = { "f32", 4 }, [DT_F64] = { "f64", 8 }, [DT_I32] = { "i32", 4 },
	[DT_U32] = { "u32", 4 }, [DT_U8] = { "u8", 1 },   [DT_BOOL] = { "bool", 1 },
	[DT_BF16] = { "bf16", 2 },
};

int dtype_size(DType t)
{
	return dtypes[t].size;
}

const char *dtype_name(DType t)
{
	return (unsigned)t < DT_COUNT ? dtypes[t].name : "?";
}

IrType ir_type(DType dtype, int rank, const int32_t *dim)
{
	INVARIANT(rank >= 0 && rank <= IR_MAX_RANK);
	IrType t = { .dtype = dtype, .rank = rank };
	for (int i = 0; i < rank; i++)
		t.dim[i] = dim[i];
	return t;
}

bool ir_type_eq(const IrType *a, const IrType *b)
{
	return a->dtype == b->dtype && a->rank == b->rank &&
	       memcmp(a->dim, b->dim, (size_t)a->rank * sizeof a->dim[0]) == 0;
}

bool ir_batched(const IrType *t)
{
	return t->rank > 0 && t->dim[0] == IR_N;
}

int64_t ir_elems(const IrType *t, int64_t n)
{
	int64_t total = 1;
	for (int i = 0; i < t->rank; i++) {
		if (__builtin_mul_overflow(total, t->dim[i] == IR_N ? n : t->dim[i], &total))
			return INT64_MAX;
	}
	return total;
}

int64_t ir_row_elems(const IrType *t)
{
	return ir_elems(t, 1);
}

static const char *dims_text(Arena *a, const IrType *t, const char *comma)
{
	const char *text = "";
	for (int i = 0; i < t->rank; i++) {
		const char *sep = i ? comma : "";
		if (t->dim[i] == IR_N)
			text = arena_printf(a, "%s%sN", text, sep);
		else
			text = arena_printf(a, "%s%s%d", text, sep, t->dim[i]);
	}
	return text;
}

const char *ir_type_text(Arena *a, const IrType *t)
{
	return arena_printf(a, "%s[%s]", dtype_name(t->dtype), dims_text(a, t, ","));
}

const char *ir_shape_text(Arena *a, const IrType *t)
{
	/* As Python writes a tuple of one. */
	return arena_printf(a, t->rank == 1 ? "(%s,)" : "(%s)", dims_text(a, t, ", "));
}

/* attr.c -- the attribute table as data: attrs.def, and the fields of states and optimizers
 *
 * Generic access by offset; what a field means is known to the rules only.
 */
#include "ir/attr.h"

#include <string.h>

#define MEMBER(type, text, kind, what, count, preset) { text, MEMBER_##kind, offsetof(type, what), count, preset }

/* Rows of one group stand together in attrs.def: a group is a range of this array. */
static const IrMember attr_member[] = {
#define ATTR(group, text, kind, member, count, preset) MEMBER(IrAttr, text, kind, member, count, preset),
#include "ir/attrs.def"
};

typedef enum Group {
	GROUP_none, GROUP_input, GROUP_state, GROUP_konst, GROUP_scalar, GROUP_axis, GROUP_random, GROUP_cast,
	GROUP_perm, GROUP_slice, GROUP_reduce, GROUP_matmul, GROUP_conv, GROUP_pool, GROUP_affine, GROUP_warp
} Group;

static const Group group_of_member[] = {
#define ATTR(group, ...) GROUP_##group,
#include "ir/attrs.def"
};

static const Group group_of_op[OP_COUNT] = {
#define OP(name, text, lo, hi, attr, ...) [OP_##name] = GROUP_##attr,
#include "ir/ops.def"
};

IrMembers ir_attr_members(OpCode op)
{
	Group group = group_of_op[op];
	IrMembers list = { attr_member, 0 };
	for (size_t i = 0; i < COUNT(attr_member); i++) {
		if (group_of_member[i] != group)
			continue;
		if (list.n++ == 0)
			list.member = attr_member + i;
	}
	return list;
}

IrMembers ir_state_members(void)
{
	static const IrMember member[] = {
		MEMBER(IrState, "init", INIT, init, 1, INIT_ZEROS),
		MEMBER(IrState, "args", F64, init_arg, 2, 0),
		MEMBER(IrState, "stream", U32, init_stream, 1, 0),
		MEMBER(IrState, "trainable", FLAG, trainable, 1, 0),
		MEMBER(IrState, "decay", FLAG, decay, 1, 0),
		MEMBER(IrState, "l1", F64, l1, 1, 0),
		MEMBER(IrState, "l2", F64, l2, 1, 0),
	};
	return (IrMembers){ member, COUNT(member) };
}

IrMembers ir_optimizer_members(void)
{
	static const IrMember member[] = {
		MEMBER(IrOptimizer, "momentum", F64, momentum, 1, 0),
		MEMBER(IrOptimizer, "beta_1", F64, beta_1, 1, 0),
		MEMBER(IrOptimizer, "beta_2", F64, beta_2, 1, 0),
		MEMBER(IrOptimizer, "rho", F64, rho, 1, 0),
		MEMBER(IrOptimizer, "epsilon", F64, epsilon, 1, 0),
		MEMBER(IrOptimizer, "weight_decay", F64, weight_decay, 1, 0),
		MEMBER(IrOptimizer, "accumulator", F64, accumulator, 1, 0),
		MEMBER(IrOptimizer, "clipnorm", F64, clipnorm, 1, 0),
		MEMBER(IrOptimizer, "clipvalue", F64, clipvalue, 1, 0),
		MEMBER(IrOptimizer, "global_clipnorm", F64, global_clipnorm, 1, 0),
		MEMBER(IrOptimizer, "ema_momentum", F64, ema_momentum, 1, 0),
		MEMBER(IrOptimizer, "nesterov", FLAG, nesterov, 1, 0),
		MEMBER(IrOptimizer, "amsgrad", FLAG, amsgrad, 1, 0),
		MEMBER(IrOptimizer, "centered", FLAG, centered, 1, 0),
		MEMBER(IrOptimizer, "ema", FLAG, ema, 1, 0),
		MEMBER(IrOptimizer, "accumulate", I32, accumulate, 1, 0),
		MEMBER(IrOptimizer, "ema_overwrite", I32, ema_overwrite, 1, 0),
	};
	return (IrMembers){ member, COUNT(member) };
}

const char *const ir_optimizer_words[OPTIM_COUNT] = {
	"none", "sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "lion", "lamb",
};

const char *const *ir_member_words(IrMemberKind kind, int *out_n)
{
	static const char *const dtypes[] = { "f32", "f64", "i32", "u32", "u8", "bool", "bf16" };
	static const char *const scalars[] = { "lr", "inv_n", "step", "pass", "power", "update", "due" };
	static const char *const fills[] = { "nearest", "constant", "reflect", "wrap" };
	static const char *const inits[] = {
		"zeros",          "ones",          "constant",   "uniform",   "normal",        "truncated_normal",
		"glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
	};
	_Static_assert(COUNT(dtypes) == DT_COUNT && COUNT(inits) == INIT_COUNT, "a word for every value");
	_Static_assert(COUNT(scalars) == SC_DUE + 1 && COUNT(fills) == FILL_WRAP + 1, "a word for every value");
	switch (kind) {
	case MEMBER_DTYPE:
		*out_n = COUNT(dtypes);
		return dtypes;
	case MEMBER_SCALAR:
		*out_n = COUNT(scalars);
		return scalars;
	case MEMBER_FILL:
		*out_n = COUNT(fills);
		return fills;
	case MEMBER_INIT:
		*out_n = COUNT(inits);
		return inits;
	default:
		*out_n = 0;
		return NULL;
	}
}

static size_t value_bytes(IrMemberKind kind)
{
	_Static_assert(sizeof(DType) == 4 && sizeof(IrScalar) == 4 && sizeof(IrFill) == 4 && sizeof(IrInit) == 4,
	               "enum fields are read as int32_t");
	return kind == MEMBER_F64 ? sizeof(double) : kind == MEMBER_FLAG ? sizeof(bool) :
	       kind == MEMBER_STATE ? sizeof(IrState *) : sizeof(int32_t);
}

static void preset_value(const IrMember *f, void *to)
{
	double real = f->preset;
	bool flag = f->preset != 0;
	int32_t integer = f->preset;
	if (f->kind == MEMBER_F64)
		memcpy(to, &real, sizeof real);
	else if (f->kind == MEMBER_FLAG)
		memcpy(to, &flag, sizeof flag);
	else if (f->kind == MEMBER_STATE)
		memset(to, 0, sizeof(IrState *));
	else
		memcpy(to, &integer, sizeof integer);
}

void ir_members_preset(IrMembers list, void *at)
{
	for (int i = 0; i < list.n; i++) {
		const IrMember *f = &list.member[i];
		for (int k = 0; k < f->count; k++)
			preset_value(f, (char *)at + f->offset + (size_t)k * value_bytes(f->kind));
	}
}

bool ir_member_is_preset(const IrMember *f, const void *at)
{
	unsigned char want[sizeof(double)];
	size_t bytes = value_bytes(f->kind);
	preset_value(f, want);
	for (int k = 0; k < f->count; k++) {
		/* By bits, so that -0.0 is written. */
		if (memcmp((const char *)at + f->offset + (size_t)k * bytes, want, bytes) != 0)
			return false;
	}
	return true;
}

void ir_attr_copy(OpCode op, IrAttr *to, const IrAttr *from)
{
	IrMembers list = ir_attr_members(op);
	IrAttr clean;
	memset(&clean, 0, sizeof clean);
	for (int i = 0; i < list.n; i++) {
		const IrMember *f = &list.member[i];
		size_t bytes = (size_t)f->count * value_bytes(f->kind);
		memcpy((char *)&clean + f->offset, (const char *)from + f->offset, bytes);
	}
	memcpy(to, &clean, sizeof clean);
}

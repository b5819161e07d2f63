/* attr.h -- attributes as data: what building, printing and parsing need to treat every attribute alike
 *
 * A row is a member of a struct by offset; ir_attr_members gives those of an op's attributes, the other two lists are
 * the fields of IrState and IrOptimizer that the text form writes in braces.
 */
#ifndef CNNC_IR_ATTR_H
#define CNNC_IR_ATTR_H

#include "ir/ir.h"

typedef enum IrMemberKind {
	MEMBER_I32, MEMBER_U32, MEMBER_F64, MEMBER_FLAG, MEMBER_AXES, MEMBER_DTYPE, MEMBER_SCALAR, MEMBER_FILL,
	MEMBER_INIT, MEMBER_STATE, MEMBER_PERM
} IrMemberKind;

typedef struct IrMember {
	const char *name;
	IrMemberKind kind;
	size_t offset;
	int count;
	int preset; /* not printed while every value is this */
} IrMember;

typedef struct IrMembers { const IrMember *member; int n; } IrMembers;

IrMembers ir_attr_members(OpCode op);
IrMembers ir_state_members(void);
IrMembers ir_optimizer_members(void);
extern const char *const ir_optimizer_words[OPTIM_COUNT]; /* by kind: as Keras and the schema spell them */

/* Words of an enum kind (DTYPE, SCALAR, FILL, INIT) by value; *out_n is how many, 0 for other kinds. */
const char *const *ir_member_words(IrMemberKind kind, int *out_n);

void ir_members_preset(IrMembers list, void *at);             /* every field to its default */
bool ir_member_is_preset(const IrMember *f, const void *at);
void ir_attr_copy(OpCode op, IrAttr *to, const IrAttr *from); /* leaves no stray bytes: memcmp works afterwards */

#endif

/* emit.h -- the table through which every emitter writes code
 *
 * walk.c, nest and contraction emitters, math.c and program.c call these functions and nothing else, so they know neither
 * LLVM nor CUDA. llvm_build.c implements the table with the LLVM C API; a text printer can implement it too.
 * Values are opaque. A value is a scalar (lanes 1) or a vector of one dtype, K_LANES lanes or what set_lanes says; indices are i64 scalars.
 * Nothing fails: a misuse is an ICE. Code is emitted at the current place, straight through; loops nest like brackets.
 */
#ifndef CNNC_CODEGEN_EMIT_H
#define CNNC_CODEGEN_EMIT_H

#include "ir/kernel.h"

typedef void *EVal;

/* Machine arithmetic beyond ewise.def's rows, needed by math.c. Operands have the same dtype and lanes. */
typedef enum EBit { E_SHL, E_LSHR, E_ASHR, E_AND, E_OR, E_XOR, E_MULHI_U32 } EBit;
typedef enum ECmp { E_LT, E_LE, E_EQ, E_NE, E_GT, E_GE } ECmp; /* floats: ordered, but E_NE unordered; u8 u32: unsigned */

enum { E_MAX_CARRIED = 64 };

typedef struct KEmit KEmit;
struct KEmit {
	/* ---- functions: void name(ptr × nptr, i64 × nint), no pointer argument aliases another that is written ---- */
	void (*begin)(KEmit *e, const char *name, int nptr, int nint, bool internal);
	EVal (*ptr_arg)(KEmit *e, int i);
	EVal (*int_arg)(KEmit *e, int i);
	void (*end)(KEmit *e);
	void (*call)(KEmit *e, const char *name, int nptr, EVal const *ptr, int nint, EVal const *i64);
	/* A phase: void name(const RtCall *, uint32_t part, void *scratch); part arrives as i64. Between begin_phase and end. */
	void (*begin_phase)(KEmit *e, const char *name);
	EVal (*phase_call)(KEmit *e);    /* pointer to RtCall */
	EVal (*phase_part)(KEmit *e);
	EVal (*phase_scratch)(KEmit *e);
	/* The function that is open runs seldom or does little but call others: made in little time, not to be fast. */
	void (*seldom)(KEmit *e);
	/* if (call->mark) call->mark(call->mark_arg, kernel, end): the profile; only in a phase. */
	void (*mark)(KEmit *e, EVal call, int kernel, bool end);

	/* ---- pointers: byte offsets, whole-pointer loads ---- */
	EVal (*ptr_add)(KEmit *e, EVal ptr, EVal bytes);              /* inbounds */
	EVal (*ptr_load)(KEmit *e, EVal ptr, int64_t byte_offset);    /* *(void **)(ptr + offset), invariant in the function */

	/* ---- i64 indices; constants fold ---- */
	EVal (*i64)(KEmit *e, int64_t v);
	bool (*is_i64)(KEmit *e, EVal v, int64_t *out);               /* known at compile time? */
	EVal (*iadd)(KEmit *e, EVal a, EVal b);
	EVal (*isub)(KEmit *e, EVal a, EVal b);
	EVal (*imul)(KEmit *e, EVal a, EVal b);
	EVal (*idiv)(KEmit *e, EVal a, EVal b);                       /* b > 0, a >= 0 */
	EVal (*imin)(KEmit *e, EVal a, EVal b);                       /* signed */
	EVal (*imax)(KEmit *e, EVal a, EVal b);
	EVal (*icmp)(KEmit *e, ECmp c, EVal a, EVal b);               /* signed; bool scalar */
	EVal (*iselect)(KEmit *e, EVal cond, EVal a, EVal b);
	EVal (*to_i64)(KEmit *e, EVal scalar);                        /* from i32, u8, u32 (below 2^31) */
	EVal (*from_i64)(KEmit *e, EVal i, DType to);                 /* truncates to i32, u32, or converts to f32 */

	/* ---- control ---- */
	/* for (iv = lo; iv < hi; iv += step), carrying ncarried values. maybe_empty false: lo < hi is known (a do-while).
	 * carried[] holds the starts on entry and the values inside the loop on return. Returns iv. */
	EVal (*loop_begin)(KEmit *e, EVal lo, EVal hi, int64_t step, bool maybe_empty, int ncarried, EVal *carried);
	/* carried[] holds the values at the end of an iteration on entry, and those after the loop on return. */
	void (*loop_end)(KEmit *e, int ncarried, EVal *carried);
	void (*if_begin)(KEmit *e, EVal cond);                        /* values made inside must not be used outside */
	void (*if_end)(KEmit *e);

	/* Vectors made from here to the end of the function have so many lanes: a power of two, at most K_LANES. */
	void (*set_lanes)(KEmit *e, int lanes);

	/* ---- memory: element index `at` (i64) plus constant `off` elements from base, in elements of t ---- */
	EVal (*load)(KEmit *e, DType t, EVal base, EVal at, int64_t off);                      /* scalar */
	EVal (*load_vec)(KEmit *e, DType t, EVal base, EVal at, int64_t off, int active);      /* consecutive; lanes >= active are 0 and not touched */
	EVal (*gather)(KEmit *e, DType t, EVal base, EVal lane_index, int64_t off, int active);/* i32 vector of element indices; untouched lanes are 0 */
	void (*store)(KEmit *e, DType t, EVal v, EVal base, EVal at, int64_t off);
	void (*store_vec)(KEmit *e, DType t, EVal v, EVal base, EVal at, int64_t off, int active);
	void (*scatter)(KEmit *e, DType t, EVal v, EVal base, EVal lane_index, int64_t off, int active); /* lanes have distinct indices */
	/* Asks for the line: near, or in the second-level cache; for writing too if write. The address may lie outside of everything. */
	void (*prefetch)(KEmit *e, EVal base, EVal at, int64_t off, DType t, bool write, bool near);
	/* The lanes of v (t: four bytes) at which cond (bool vector) holds, one after the other from base[at] on. As many
	 * elements as v has lanes may be written. */
	void (*push_vec)(KEmit *e, DType t, EVal v, EVal cond, EVal base, EVal at);
	EVal (*count)(KEmit *e, EVal cond);                           /* lanes that hold (a scalar: 0 or 1), as i64 */

	/* ---- GPU: which block, which thread of it, from 0 ---- */
	EVal (*block_index)(KEmit *e);
	EVal (*thread_index)(KEmit *e);
	/* All threads of a block come here together. Threads i whose i / distance % threads differ, and nothing else, bring a value
	 * each; all of them get the sum or maximum, taken by a fixed tree. */
	EVal (*fold)(KEmit *e, DType t, KRed red, EVal v, int threads, int distance);
	/* Shared memory of the block, once a function; waits for all threads of the block. */
	EVal (*shared)(KEmit *e, int64_t bytes);
	void (*barrier)(KEmit *e);
	/* n elements of t from base[at + off], or zeros where `inside` (NULL: always) does not hold, to shared memory, some time before
	 * the thread waits for them. copies_close ends a group; copies_wait: all groups but the `behind` newest are there. */
	void (*copy)(KEmit *e, DType t, int n, EVal to, EVal to_at, EVal base, EVal at, int64_t off, EVal inside);
	void (*copies_close)(KEmit *e);
	void (*copies_wait)(KEmit *e, int behind);
	/* The sums of the block's tile, in its threads' registers, once a function: set to zero; a stage's products added, rows and
	 * columns in shared memory; all of them to shared memory, `result_lead` floats from row to row. All threads of the block come here. */
	void (*tile_clear)(KEmit *e, const KStaged *t);
	void (*tile_add)(KEmit *e, const KStaged *t, EVal rows, EVal columns);
	void (*tile_take)(KEmit *e, const KStaged *t, EVal to);

	/* ---- values ---- */
	EVal (*konst)(KEmit *e, DType t, double v, int lanes);
	EVal (*splat)(KEmit *e, EVal scalar);                         /* to all lanes */
	EVal (*lanes)(KEmit *e, DType t);                             /* 0 1 2 … */
	EVal (*extract)(KEmit *e, EVal v, int lane);
	EVal (*insert)(KEmit *e, EVal v, EVal scalar, int lane);
	int (*width)(KEmit *e, EVal v);                               /* its lanes */
	void (*transpose)(KEmit *e, EVal v[K_LANES]);                 /* of 32 bits: lane j of v[i] and lane i of v[j] change places */
	/* Fixed tree: lane i with i+8 (where there are 16), then i+4, i+2, i+1. red: sum, max (as ewise max, NaN passes). Inactive lanes hold the start value. */
	EVal (*reduce)(KEmit *e, DType t, KRed red, EVal v);

	/* Rows of ewise.def that are one or a few instructions: neg abs sqrt relu floor add sub mul div max min lt le eq and select
	 * fma shr shl band (and sign, rsqrt as 1/sqrt). t: dtype of the operands (select: of a and b). Others: ICE; math.c expands them.
	 * fma fuses on targets that have it, else multiplies and adds. lt le eq give bool. */
	EVal (*ewise)(KEmit *e, KRow row, DType t, EVal a, EVal b, EVal c);
	EVal (*cast)(KEmit *e, EVal v, DType from, DType to);         /* float to int truncates, saturating; int to float rounds to nearest */
	EVal (*bit)(KEmit *e, EBit op, DType t, EVal a, EVal b);      /* u32 i32 (and the u64 products inside MULHI) */
	EVal (*bitcast)(KEmit *e, EVal v, DType from, DType to);      /* f32 <-> u32/i32 */
	EVal (*cmp)(KEmit *e, ECmp c, DType t, EVal a, EVal b);       /* bool, same lanes */

	/* Pairs of bf16, one u32 a lane, the first in the lower half. A bf16 value itself has loads, stores and casts only. */
	EVal (*pair)(KEmit *e, EVal first, EVal second);              /* two bf16 values to pairs */
	EVal (*load_pair)(KEmit *e, EVal base, EVal at, int64_t off); /* a scalar, from any element on; at, off: elements of bf16 */
	/* acc + first * first + second * second: one instruction where there is one, which rounds as it likes and takes numbers
	 * below 2^-126 for 0; else widened, the first product added first. */
	EVal (*dot_pairs)(KEmit *e, EVal a, EVal b, EVal acc);

	void *cx; /* the implementation's */
};

/* ---- math.c: the rest of ewise.def, as polynomials over the table; within 2 ulp of libm in f32 ----
 * exp log log1p sin cos tanh erf sigmoid for f32; f64 operands are ICE except exp and log (not needed: cast to f32 first). */
EVal math_ewise(KEmit *e, KRow row, EVal a);
/* Philox4x32-10, word 0, of (c0, c1, c2, c3) u32 values (same lanes); key: two u32 scalars. */
EVal math_philox(KEmit *e, EVal key_lo, EVal key_hi, EVal c0, EVal c1, EVal c2, EVal c3);

/* ---- walk.c: one kernel as a function `name` of pointers (scalars, operand 0, 1, …) and integers (lo, hi, n) ----
 * lo, hi: range of the partitioned axis `part_axis` (an axis of k, or -1: none, both 0). n: samples of the call; an EXT_N axis
 * that is not the partitioned one runs over 0 … n. Operand pointers are those of the whole buffer (a partial: of this part). */
void walk_kernel(KEmit *e, const KProgram *p, const Kernel *k, const Target *t, const char *name, int part_axis);

/* ---- program.c: every kernel (equal ones once) and every phase of all entries ---- */
typedef struct CgPhase {
	char *name, *symbol;
	uint32_t rows, parts;
	bool update, prepare;
	int first_kernel; /* in the entry's list, for profiles */
} CgPhase;
typedef struct CgEntry {
	CgPhase *phase;
	int nphases;
} CgEntry;

/* What the code of a program is made of, listed before any of it is written. The list and the estimates depend on the
 * program alone. Functions call each other by name; several threads may write some, each through a table of its own. */
typedef struct CgFunction CgFunction;
typedef struct CgProgram {
	const IrModule *m;
	const Target *target;
	CgEntry *entry;       /* one a program entry */
	CgFunction *function;
	int nfunctions;
	const char ***callee; /* by entry and kernel: the function that runs it */
} CgProgram;
const CgProgram *cg_program(const IrModule *m, const Target *t, Arena *a); /* all of it in arena a */
int64_t cg_function_cost(const CgProgram *p, int function);                /* about so many instructions */
void cg_function(const CgProgram *p, int function, KEmit *e, Arena *a);    /* writes it; a: for what it takes to do so */

#endif

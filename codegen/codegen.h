/* codegen.h -- kernels to code: LLVM module, objects, JIT, link
 *
 * Only codegen/llvm_*.c name LLVM. A CgModule holds everything of one model for one instruction level: kernels, phases,
 * and its table (runtime/model.h) as constant data; the same module becomes an object file or runs in this process.
 */
#ifndef CNNC_CODEGEN_CODEGEN_H
#define CNNC_CODEGEN_CODEGEN_H

#include "ir/kernel.h"
#include "runtime/model.h"

typedef struct CgModule CgModule;
typedef struct CgJit CgJit;

/* cpu: "native", "x86-64-v2|v3|v4", an LLVM cpu name, each with "+bf16" behind it if those instructions may be used; triple: NULL or "" is the host. Fills what the passes need to know. */
bool cg_target(const char *cpu, const char *triple, Diag *d, Arena *a, Target *out);

const char *cg_llvm_version(Arena *a); /* of the library that is linked in */

/* The same cpu, asked to use its bf16 instructions if it has any. */
const char *cg_cpu_bf16(const char *cpu, const char *triple, Arena *a);

enum { CG_MAX_LEVELS = 4 };
/* What --cpu=portable stands for: cpu names, best first. Their number; 0: reported. bf16: with a level that has those. */
int cg_portable(const char *triple, bool bf16, Diag *d, Arena *a, const char *level[CG_MAX_LEVELS]);

typedef struct CgLayer { const char *name, *kind, *shape; int64_t params, flops; } CgLayer;
typedef struct CgOptions {
	const char *cpu, *triple;
	const Target *target;
	const CgLayer *layer; /* for `info` */
	int nlayers;
	const char *const *level; /* of a program of several objects: all their targets, best first. The best one's object */
	const struct CgCuda *cuda;/* code for GPUs, for the table; or NULL (codegen/cuda.h) */
	int nlevels;              /* lists the tables; 0: an object that is alone */
	int threads;              /* work on it at most, 0: one; changes nothing in the code */
} CgOptions;

/* SHA-256 of the graph, and of kernels, schedules and trees for the target; after the last pass. */
void cg_identity(const IrModule *m, const Target *t, unsigned char model[32], unsigned char schedule[32]);

/* After the last pass; NULL: reported. Code is made when it is asked for; m and what o points to must live until then. */
CgModule *cg_build(const IrModule *m, const CgOptions *o, Diag *d);
void cg_free(CgModule *c);

/* The same in parts, for tests and measurements: an empty module, the table that writes into it (emit.h), and where the
 * functions that are not internal came to lie. */
struct KEmit;
CgModule *cg_new(const char *name, const CgOptions *o, Diag *d);
struct KEmit *cg_emitter(CgModule *c);

/* Of a module of one entry: one C function `name` instead of a table (llvm_plain.c). Its `work` is cg_plain_slab bytes, then
 * the entry's scratch. */
CgModule *cg_build_plain(const IrModule *m, const char *name, const CgOptions *o, Diag *d);
int64_t cg_plain_slab(const IrModule *m);

typedef enum CgKind { CG_LLVM, CG_ASM, CG_OBJ } CgKind;
bool cg_emit(CgModule *c, CgKind kind, const char *path, Diag *d);  /* one file of all; path "-": stdout */

typedef struct CgObjects { const char **path; int n, room; } CgObjects;
/* The module as several objects that are linked together, made in parallel: appends the files that it writes into the
 * folder to `out`, those of a failure too. Paths are in arena a. */
bool cg_objects(CgModule *c, const char *folder, Arena *a, CgObjects *out, Diag *d);

CgJit *cg_jit(CgModule *c, Diag *d); /* takes c over */
const RtModel *cg_jit_model(const CgJit *j); /* NULL for a module of cg_new */
void *cg_jit_symbol(const CgJit *j, const char *name); /* NULL if there is none */
void cg_jit_free(CgJit *j);

typedef struct CgLink {
	const char *linker;   /* "cc" */
	const char *libdir;   /* folder of the runtime archives */
	const char *const *object; /* of all levels */
	int nobjects;
	const char *output;
	bool trainer;         /* else predictor */
	bool serves;          /* a predictor with the command `serve` */
	bool strip;
} CgLink;
bool cg_link(const CgLink *l, int n, Diag *d); /* n programs, at the same time */
/* lib/cnnc beside or above the running executable: build tree and install tree. NULL: reported. */
const char *cg_libdir(Arena *a, Diag *d);

#endif

/* llvm_module.c -- a model's code: one unit that is written as text, or several that are compiled at the same time
 *
 * How a program is cut into units depends on its functions alone, so the objects are the same whatever the number of
 * threads. Units hold neighbours of the list, about equal work each; the longest are begun first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "codegen/llvm_build.h"
#include "ir/parallel.h"

enum { UNIT_COST = 1500 }; /* instructions */

static CgModule *module_new(const char *name, const CgOptions *o, Diag *d)
{
	Arena *a = arena_new();
	CgModule *c = NEW(a, CgModule);
	*c = (CgModule){.arena = a, .name = arena_strdup(a, name), .options = *o};
	if (llvm_target(o, d, a, &c->target))
		return c;
	arena_free(a);
	return NULL;
}

static void open_whole(CgModule *c)
{
	c->machine = llvm_machine(&c->target);
	c->whole = llvm_unit_new(c->name, &c->target, c->machine, NULL);
}

CgModule *cg_new(const char *name, const CgOptions *o, Diag *d)
{
	CgModule *c = module_new(name, o, d);
	if (c)
		open_whole(c);
	return c;
}

KEmit *cg_emitter(CgModule *c)
{
	return &c->whole->emit;
}

CgModule *cg_build(const IrModule *m, const CgOptions *o, Diag *d)
{
	CgModule *c = module_new(m->name, o, d);
	if (!c)
		return NULL;
	c->m = m;
	c->program = cg_program(m, o->target, c->arena);
	return c;
}

void cg_free(CgModule *c)
{
	if (!c)
		return;
	llvm_unit_free(c->whole);
	if (c->machine)
		LLVMDisposeTargetMachine(c->machine);
	arena_free(c->arena);
}

/* ---- units ---- */
static void fill(LlvmUnit *u, const CgModule *c, int first, int end)
{
	for (int i = first; i < end; i++)
		cg_function(c->program, i, &u->emit, u->arena);
	if (first == 0)
		llvm_table(u, c);
}

typedef struct Part { int first, end; int64_t cost; LLVMMemoryBufferRef *object; } Part;
typedef struct Parts {
	const CgModule *c;
	Part *part;
	int n;
	LLVMTargetMachineRef *machine; /* by thread: it keeps tables that take time to make */
} Parts;

static Parts cut(const CgModule *c, Arena *a)
{
	const CgProgram *p = c->program;
	Parts s = {.c = c, .part = NEWN(a, Part, p->nfunctions + 1), .n = 1};
	for (int i = 0; i < p->nfunctions; i++) {
		int64_t cost = cg_function_cost(p, i);
		if (s.part[s.n - 1].cost > 0 && s.part[s.n - 1].cost + cost > UNIT_COST)
			s.part[s.n++].first = i;
		s.part[s.n - 1].cost += cost;
		s.part[s.n - 1].end = i + 1;
	}
	return s;
}

static void compile_part(void *cx, int i, int thread)
{
	const Parts *s = cx;
	const CgModule *c = s->c;
	if (!s->machine[thread])
		s->machine[thread] = llvm_machine(&c->target);
	LlvmUnit *u = llvm_unit_new(c->name, &c->target, s->machine[thread], c->options.target->name);
	fill(u, c, s->part[i].first, s->part[i].end);
	*s->part[i].object = llvm_unit_code(u, LLVMObjectFile);
	llvm_unit_free(u);
}

static int by_cost(const void *x, const void *y)
{
	const Part *a = x, *b = y;
	return a->cost != b->cost ? (a->cost < b->cost) - (a->cost > b->cost) : a->first - b->first;
}

LLVMMemoryBufferRef *llvm_objects(CgModule *c, Arena *a, int *n)
{
	if (c->whole) {
		LLVMMemoryBufferRef *one = NEW(a, LLVMMemoryBufferRef);
		*one = llvm_unit_code(c->whole, LLVMObjectFile);
		*n = 1;
		return one;
	}
	Parts s = cut(c, a);
	LLVMMemoryBufferRef *object = NEWN(a, LLVMMemoryBufferRef, s.n);
	for (int i = 0; i < s.n; i++)
		s.part[i].object = &object[i];
	qsort(s.part, (size_t)s.n, sizeof(*s.part), by_cost);
	int threads = parallel_threads(c->options.threads, s.n);
	s.machine = NEWN(a, LLVMTargetMachineRef, threads);
	parallel_run(threads, s.n, compile_part, &s);
	for (int i = 0; i < threads; i++) {
		if (s.machine[i])
			LLVMDisposeTargetMachine(s.machine[i]);
	}
	*n = s.n;
	return object;
}

/* ---- writing ---- */
static bool write_bytes(const char *path, const char *bytes, size_t n, Diag *d)
{
	bool out = strcmp(path, "-") == 0;
	const char *name = out ? "stdout" : path;
	FILE *f = out ? stdout : fopen(path, "wb");
	if (!f)
		return diag_error(d, (Loc){0}, "cannot write %s: %s", name, strerror(errno));
	bool ok = fwrite(bytes, 1, n, f) == n;
	ok = (out ? fflush(f) : fclose(f)) == 0 && ok;
	return ok || diag_error(d, (Loc){0}, "cannot write %s: %s", name, strerror(errno));
}

static bool write_code(LLVMMemoryBufferRef code, const char *path, Diag *d)
{
	bool ok = write_bytes(path, LLVMGetBufferStart(code), LLVMGetBufferSize(code), d);
	LLVMDisposeMemoryBuffer(code);
	return ok;
}

static bool write_text(CgModule *c, const char *path, Diag *d)
{
	llvm_unit_finish(c->whole);
	char *text = LLVMPrintModuleToString(c->whole->module);
	bool ok = write_bytes(path, text, strlen(text), d);
	LLVMDisposeMessage(text);
	return ok;
}

bool cg_emit(CgModule *c, CgKind kind, const char *path, Diag *d)
{
	if (!c->whole) {
		open_whole(c);
		fill(c->whole, c, 0, c->program->nfunctions);
	}
	if (kind == CG_LLVM)
		return write_text(c, path, d);
	return write_code(llvm_unit_code(c->whole, kind == CG_ASM ? LLVMAssemblyFile : LLVMObjectFile), path, d);
}

static void list_object(CgObjects *o, const char *path, Arena *a)
{
	if (o->n == o->room) {
		int room = o->room ? 2 * o->room : 32;
		o->path = (const char **)arena_grow(a, o->path, (size_t)o->room, (size_t)room, sizeof(*o->path));
		o->room = room;
	}
	o->path[o->n++] = path;
}

bool cg_objects(CgModule *c, const char *folder, Arena *a, CgObjects *out, Diag *d)
{
	int n;
	bool ok = true;
	LLVMMemoryBufferRef *object = llvm_objects(c, c->arena, &n);
	for (int i = 0; i < n; i++) {
		const char *path = arena_printf(a, "%s/%s-%d.o", folder, c->options.target->name, i);
		list_object(out, path, a);
		ok = write_code(object[i], path, d) && ok;
	}
	return ok;
}

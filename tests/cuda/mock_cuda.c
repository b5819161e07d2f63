/* mock_cuda.c -- a libcuda.so.1 of host memory: "code" is the text of a kernel, compiled by the host's C compiler with shim.h
 *
 * Every function that runtime/cuda_driver.c loads, for one pretended GPU. Streams are in order and done at once. Kernels loaded
 * since the last launch are compiled together. Environment:
 *   MOCK_CUDA_SHIM    folder of shim.h            MOCK_CUDA_CFLAGS   further flags for the compiler
 *   XDG_CACHE_HOME    where compiled code is kept
 *   MOCK_CUDA_FAIL    n or n:code: the n-th call from the start gives an error (default 700, an illegal address)
 *   MOCK_CUDA_CALLS   a file that gets the number of calls at the end
 *   MOCK_CUDA_ARCH    capability, default 80      MOCK_CUDA_MEMORY   bytes, default 1 GiB      MOCK_CUDA_DEVICES  default 1
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/cuda_driver.h"

enum { MAX_FUNCTIONS = 1024, MAX_ARGS = 64, MAX_NODES = 4096, FAILED = 700 };

typedef void ShimRun(unsigned gx, unsigned gy, unsigned threads, void **arguments);

struct CuModule_ { char *text; };
struct CuFunction_ {
	char *name, *text;
	int nargs;
	ShimRun *run; /* NULL: not compiled yet */
};
typedef struct Node {
	CuFunction function; /* NULL: memory is set */
	unsigned gx, gy, threads;
	unsigned long long argument[MAX_ARGS];
	CuMemsetNode set;
} Node;
struct CuGraph_ { Node *node; int n; };
struct CuGraphExec_ { Node *node; int n; };

static struct CuFunction_ function[MAX_FUNCTIONS];
static int nfunctions, ncalls, nallocs;
static size_t used;

/* ---- faults ---- */
static void write_calls(void)
{
	FILE *f = fopen(getenv("MOCK_CUDA_CALLS"), "w");
	if (f) {
		fprintf(f, "%d\n", ncalls);
		fclose(f);
	}
}

/* 0, or what the n-th call has to give. */
static CuResult call(void)
{
	const char *fail = getenv("MOCK_CUDA_FAIL"), *code = fail ? strchr(fail, ':') : NULL;
	if (ncalls == 0 && getenv("MOCK_CUDA_CALLS"))
		atexit(write_calls);
	ncalls++;
	return fail && atoi(fail) == ncalls ? (code ? atoi(code + 1) : FAILED) : 0;
}

#define CALL() \
	do { \
		CuResult result_ = call(); \
		if (result_) \
			return result_; \
	} while (0)

/* For tests in the same process. */
int mock_calls(void);
int mock_allocations(void);

int mock_calls(void)
{
	return ncalls;
}

int mock_allocations(void)
{
	return nallocs;
}

static long long setting(const char *name, long long otherwise)
{
	const char *v = getenv(name);
	return v ? atoll(v) : otherwise;
}

/* ---- compiling ---- */
static void adaptor(FILE *f, const struct CuFunction_ *fn)
{
	fprintf(f, "static void call_%s(void **a) { %s(", fn->name, fn->name);
	for (int i = 0; i < fn->nargs; i++)
		fprintf(f, "%s*(void **)a[%d]", i ? ", " : "", i);
	fprintf(f, "); }\nvoid run_%s(unsigned gx, unsigned gy, unsigned threads, void **a);\n", fn->name);
	fprintf(f, "void run_%s(unsigned gx, unsigned gy, unsigned threads, void **a) { shim_launch(call_%s, %s, gx, gy, threads, a); }\n",
	        fn->name, fn->name, strstr(fn->text, "__syncthreads") ? "true" : "false");
}

/* The library of all functions that have no code yet, kept under the hash of its text. */
static void compile(void)
{
	char *text = NULL, command[8192], path[2048], from[2100], made[2100];
	const char *flags = getenv("MOCK_CUDA_CFLAGS"), *cache = getenv("XDG_CACHE_HOME");
	size_t n;
	unsigned long long hash = 14695981039346656037ull;
	FILE *f = open_memstream(&text, &n);
	fprintf(f, "/* %s */\n#include \"%s/shim.h\"\n", flags ? flags : "", getenv("MOCK_CUDA_SHIM"));
	for (int i = 0; i < nfunctions; i++) {
		if (!function[i].run) {
			fputs(function[i].text, f);
			adaptor(f, &function[i]);
		}
	}
	fclose(f);
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)text[i]) * 1099511628211ull;
	snprintf(path, sizeof path, "%s/mock-%016llx.so", cache ? cache : "/tmp", hash);
	if (access(path, R_OK) != 0) {
		snprintf(from, sizeof from, "%s.%d.c", path, (int)getpid());
		snprintf(made, sizeof made, "%s.%d", path, (int)getpid());
		f = fopen(from, "w");
		if (!f || fputs(text, f) < 0 || fclose(f) != 0)
			abort();
		snprintf(command, sizeof command, "cc -std=c11 -D_GNU_SOURCE -O1 -w -fno-strict-aliasing -ffp-contract=off -fPIC -shared %s "
		         "-o %s %s -lm", flags ? flags : "", made, from);
		if (system(command) != 0 || rename(made, path) != 0)
			abort();
		unlink(from);
	}
	free(text);
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!lib) {
		fprintf(stderr, "mock: %s\n", dlerror());
		abort();
	}
	for (int i = 0; i < nfunctions; i++) {
		char name[300];
		snprintf(name, sizeof name, "run_%s", function[i].name);
		void *at = dlsym(lib, name);
		if (!function[i].run)
			memcpy(&function[i].run, &at, sizeof at);
	}
}

static void run(const Node *n)
{
	void *argument[MAX_ARGS];
	if (!n->function) {
		memset((void *)(uintptr_t)n->set.to, (int)n->set.value, n->set.width);
		return;
	}
	if (!n->function->run)
		compile();
	for (int i = 0; i < n->function->nargs; i++)
		argument[i] = (void *)(uintptr_t)&n->argument[i];
	n->function->run(n->gx, n->gy, n->threads, argument);
}

static Node kernel_node(CuFunction f, unsigned gx, unsigned gy, unsigned threads, void **arguments)
{
	Node n = {.function = f, .gx = gx, .gy = gy, .threads = threads};
	for (int i = 0; i < f->nargs; i++)
		memcpy(&n.argument[i], arguments[i], sizeof n.argument[i]);
	return n;
}

/* ---- devices ---- */
#define MOCK(name, ...) \
	CuResult name(__VA_ARGS__); \
	CuResult name(__VA_ARGS__)

MOCK(cuInit, unsigned flags)
{
	CALL();
	return (int)flags;
}

MOCK(cuDriverGetVersion, int *v)
{
	CALL();
	*v = (int)setting("MOCK_CUDA_VERSION", 13000);
	return 0;
}

MOCK(cuDeviceGetCount, int *n)
{
	CALL();
	*n = (int)setting("MOCK_CUDA_DEVICES", 1);
	return 0;
}

MOCK(cuDeviceGet, CuDevice *out, int i)
{
	CALL();
	*out = i;
	return 0;
}

MOCK(cuDeviceGetName, char *out, int room, CuDevice d)
{
	CALL();
	snprintf(out, (size_t)room, "Mock GPU %d", d);
	return 0;
}

MOCK(cuDeviceGetAttribute, int *out, int attribute, CuDevice d)
{
	CALL();
	(void)d;
	*out = (int)(attribute == CU_ATTRIBUTE_MAJOR ? setting("MOCK_CUDA_ARCH", 80) / 10 : setting("MOCK_CUDA_ARCH", 80) % 10);
	return 0;
}

MOCK(cuDevicePrimaryCtxRetain, CuContext *out, CuDevice d)
{
	CALL();
	(void)d;
	*out = (CuContext)(uintptr_t)1;
	return 0;
}

MOCK(cuDevicePrimaryCtxRelease_v2, CuDevice d)
{
	CALL();
	return d < 0;
}

MOCK(cuCtxSetCurrent, CuContext c)
{
	CALL();
	return !c;
}

/* ---- code ---- */
MOCK(cuModuleLoadData, CuModule *out, const void *image)
{
	CALL();
	*out = malloc(sizeof **out);
	(*out)->text = strdup(image);
	return 0;
}

MOCK(cuModuleUnload, CuModule m)
{
	CALL();
	free(m->text);
	free(m);
	return 0;
}

MOCK(cuModuleGetFunction, CuFunction *out, CuModule m, const char *name)
{
	CALL();
	char head[300];
	snprintf(head, sizeof head, " %s(", name);
	const char *at = strstr(m->text, head);
	if (!at)
		return 500;
	for (int i = 0; i < nfunctions; i++) {
		if (!strcmp(function[i].name, name) && !strcmp(function[i].text, m->text)) {
			*out = &function[i];
			return 0;
		}
	}
	if (nfunctions == MAX_FUNCTIONS)
		return 500;
	struct CuFunction_ *f = &function[nfunctions++];
	*f = (struct CuFunction_){.name = strdup(name), .text = strdup(m->text), .nargs = 1};
	for (at += strlen(head); *at && *at != ')'; at++)
		f->nargs += *at == ',';
	*out = f;
	return 0;
}

MOCK(cuFuncGetAttribute, int *out, int attribute, CuFunction f)
{
	CALL();
	*out = 32;
	return attribute != CU_FUNCTION_REGISTERS || !f;
}

/* ---- memory ---- */
MOCK(cuMemGetInfo_v2, size_t *available, size_t *total)
{
	CALL();
	*total = (size_t)setting("MOCK_CUDA_MEMORY", 1 << 30);
	*available = *total - used;
	return 0;
}

MOCK(cuMemAlloc_v2, CuAddress *out, size_t bytes)
{
	CALL();
	if (used + bytes > (size_t)setting("MOCK_CUDA_MEMORY", 1 << 30))
		return CU_OUT_OF_MEMORY;
	void *p = aligned_alloc(256, (bytes + 255) / 256 * 256);
	if (!p)
		return CU_OUT_OF_MEMORY;
	memset(p, 0xff, bytes);
	used += bytes;
	nallocs++;
	*out = (CuAddress)(uintptr_t)p;
	return 0;
}

MOCK(cuMemFree_v2, CuAddress a)
{
	CALL();
	free((void *)(uintptr_t)a);
	nallocs--;
	return 0;
}

MOCK(cuMemHostAlloc, void **out, size_t bytes, unsigned flags)
{
	CALL();
	*out = malloc(bytes);
	return flags || !*out ? CU_OUT_OF_MEMORY : 0;
}

MOCK(cuMemFreeHost, void *p)
{
	CALL();
	free(p);
	return 0;
}

MOCK(cuMemcpyHtoDAsync_v2, CuAddress to, const void *from, size_t bytes, CuStream s)
{
	CALL();
	memcpy((void *)(uintptr_t)to, from, bytes);
	return !s;
}

MOCK(cuMemcpyDtoHAsync_v2, void *to, CuAddress from, size_t bytes, CuStream s)
{
	CALL();
	memcpy(to, (void *)(uintptr_t)from, bytes);
	return !s;
}

MOCK(cuMemsetD8Async, CuAddress to, unsigned char value, size_t n, CuStream s)
{
	CALL();
	memset((void *)(uintptr_t)to, value, n);
	return !s;
}

/* ---- streams, launches, graphs ---- */
MOCK(cuStreamCreate, CuStream *out, unsigned flags)
{
	CALL();
	(void)flags;
	*out = (CuStream)(uintptr_t)1;
	return 0;
}

MOCK(cuStreamSynchronize, CuStream s)
{
	CALL();
	return !s;
}

MOCK(cuStreamDestroy_v2, CuStream s)
{
	CALL();
	return !s;
}

MOCK(cuLaunchKernel, CuFunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
     CuStream s, void **arguments, void **extra)
{
	CALL();
	(void)gz, (void)by, (void)bz, (void)shared, (void)extra;
	Node n = kernel_node(f, gx, gy, bx, arguments);
	run(&n);
	return !s;
}

MOCK(cuGraphCreate, CuGraph *out, unsigned flags)
{
	CALL();
	*out = calloc(1, sizeof **out);
	(*out)->node = calloc(MAX_NODES, sizeof(Node));
	return (int)flags;
}

static CuResult add_node(CuGraphNode *out, CuGraph g, size_t after, const Node *n)
{
	if (g->n == MAX_NODES || (after > 0) != (g->n > 0)) /* cuda_call.c makes one chain */
		return 1;
	g->node[g->n++] = *n;
	*out = (CuGraphNode)(uintptr_t)g->n;
	return 0;
}

MOCK(cuGraphAddKernelNode, CuGraphNode *out, CuGraph g, const CuGraphNode *after, size_t n, const CuKernelNode *k)
{
	CALL();
	(void)after;
	Node node = kernel_node(k->function, k->grid_x, k->grid_y, k->block_x, k->arguments);
	return add_node(out, g, n, &node);
}

MOCK(cuGraphAddMemsetNode, CuGraphNode *out, CuGraph g, const CuGraphNode *after, size_t n, const CuMemsetNode *m, CuContext c)
{
	CALL();
	(void)after, (void)c;
	Node node = {.set = *m};
	return add_node(out, g, n, &node);
}

MOCK(cuGraphInstantiateWithFlags, CuGraphExec *out, CuGraph g, unsigned long long flags)
{
	CALL();
	*out = calloc(1, sizeof **out);
	(*out)->node = malloc(sizeof(Node) * (size_t)(g->n + 1));
	memcpy((*out)->node, g->node, sizeof(Node) * (size_t)g->n);
	(*out)->n = g->n;
	return flags != 0;
}

MOCK(cuGraphLaunch, CuGraphExec e, CuStream s)
{
	CALL();
	for (int i = 0; i < e->n; i++)
		run(&e->node[i]);
	return !s;
}

MOCK(cuGraphExecDestroy, CuGraphExec e)
{
	CALL();
	free(e->node);
	free(e);
	return 0;
}

MOCK(cuGraphDestroy, CuGraph g)
{
	CALL();
	free(g->node);
	free(g);
	return 0;
}

MOCK(cuGetErrorName, CuResult r, const char **out)
{
	*out = r == FAILED ? "CUDA_ERROR_ILLEGAL_ADDRESS" : r == CU_OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_OF_THE_MOCK";
	return 0;
}

MOCK(cuGetErrorString, CuResult r, const char **out)
{
	*out = r == FAILED ? "an illegal memory access was encountered" : "as the test wanted";
	return 0;
}

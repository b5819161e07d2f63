/* mock_cuda.c -- a libcuda.so.1 of host memory: "code" is the text of a kernel, compiled by the host's C compiler with shim.h
 *
 * Every function that runtime/cuda_driver.c loads, for one pretended GPU. Streams are in order and done at once; a graph's
 * nodes run in any order that its edges allow. Kernels loaded since the last launch are compiled together. Environment:
 *   MOCK_CUDA_SHIM    folder of shim.h            MOCK_CUDA_CFLAGS   further flags for the compiler
 *   XDG_CACHE_HOME    where compiled code is kept
 *   MOCK_CUDA_FAIL    n or n:code: the n-th call from the start gives an error (default 700, an illegal address)
 *   MOCK_CUDA_CALLS   a file that gets the number of calls at the end
 *   MOCK_CUDA_GRAPHS  a file that gets a line for each graph: nodes, edges, longest chain
 *   MOCK_CUDA_POISON  set: what was allocated last (activations) is full of NaNs whenever a graph starts
 *   MOCK_CUDA_ARCH    capability, default 80      MOCK_CUDA_MEMORY   bytes, default 1 GiB      MOCK_CUDA_DEVICES  default 1
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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
	CuFunction function;
	unsigned gx, gy, threads;
	unsigned long long argument[MAX_ARGS];
	int *after, nafter; /* nodes of the same graph */
	bool done;
} Node;
struct CuGraph_ { Node *node; int n; };
struct CuGraphExec_ { Node *node; int n; };

static struct CuFunction_ function[MAX_FUNCTIONS];
static int nfunctions, ncalls, nallocs;
static size_t used;
static void *latest; /* allocation, and its bytes */
static size_t latest_bytes;

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
	const char *visible = getenv("CUDA_VISIBLE_DEVICES");
	return visible && !*visible ? CU_NO_DEVICE : (int)flags;
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
	latest = p;
	latest_bytes = bytes;
	*out = (CuAddress)(uintptr_t)p;
	return 0;
}

MOCK(cuMemFree_v2, CuAddress a)
{
	CALL();
	if (latest == (void *)(uintptr_t)a)
		latest = NULL;
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

/* ---- streams, launches, graphs ---- */
struct CuEvent_ { struct timespec at; };

MOCK(cuEventCreate, CuEvent *out, unsigned flags)
{
	CALL();
	*out = calloc(1, sizeof **out);
	return (int)flags;
}

MOCK(cuEventRecord, CuEvent e, CuStream s)
{
	CALL();
	clock_gettime(CLOCK_MONOTONIC, &e->at);
	return !s;
}

MOCK(cuEventElapsedTime, float *out, CuEvent from, CuEvent to)
{
	CALL();
	*out = (float)((double)(to->at.tv_sec - from->at.tv_sec) * 1e3 + (double)(to->at.tv_nsec - from->at.tv_nsec) * 1e-6);
	return 0;
}

MOCK(cuEventDestroy_v2, CuEvent e)
{
	CALL();
	free(e);
	return 0;
}

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

/* A node is its number plus 1. */
MOCK(cuGraphAddKernelNode, CuGraphNode *out, CuGraph g, const CuGraphNode *after, size_t n, const CuKernelNode *k)
{
	CALL();
	if (g->n == MAX_NODES)
		return 1;
	Node node = kernel_node(k->function, k->grid_x, k->grid_y, k->block_x, k->arguments);
	node.after = malloc(sizeof(int) * (n + 1));
	for (size_t i = 0; i < n; i++) {
		const int number = (int)(uintptr_t)after[i] - 1;
		if (number < 0 || number >= g->n)
			return 1;
		node.after[node.nafter++] = number;
	}
	g->node[g->n++] = node;
	*out = (CuGraphNode)(uintptr_t)g->n;
	return 0;
}

/* One line a graph: its nodes, its edges, and the nodes of its longest chain. */
static void note_graph(const struct CuGraph_ *g)
{
	const char *path = getenv("MOCK_CUDA_GRAPHS");
	FILE *f = path ? fopen(path, "a") : NULL;
	int depth[MAX_NODES] = {0}, longest = 0, edges = 0;
	for (int i = 0; i < g->n; i++) {
		for (int j = 0; j < g->node[i].nafter; j++)
			depth[i] = depth[g->node[i].after[j]] > depth[i] ? depth[g->node[i].after[j]] : depth[i];
		longest = ++depth[i] > longest ? depth[i] : longest;
		edges += g->node[i].nafter;
	}
	if (f) {
		fprintf(f, "%d nodes, %d edges, a chain of %d\n", g->n, edges, longest);
		fclose(f);
	}
}

MOCK(cuGraphInstantiateWithFlags, CuGraphExec *out, CuGraph g, unsigned long long flags)
{
	CALL();
	*out = calloc(1, sizeof **out);
	(*out)->node = malloc(sizeof(Node) * (size_t)(g->n + 1));
	memcpy((*out)->node, g->node, sizeof(Node) * (size_t)g->n);
	(*out)->n = g->n;
	note_graph(g);
	return flags != 0;
}

static bool ready(const struct CuGraphExec_ *e, const Node *n)
{
	bool all = !n->done;
	for (int i = 0; i < n->nafter; i++)
		all = all && e->node[n->after[i]].done;
	return all;
}

/* Of the nodes that may run now: the first, the last or any one, as SHIM_ORDER says. An edge that is missing shows. */
static Node *next_node(struct CuGraphExec_ *e)
{
	static unsigned long long state = 1;
	const char *order = getenv("SHIM_ORDER");
	Node *chosen = NULL;
	int n = 0;
	for (int i = 0; i < e->n; i++) {
		if (!ready(e, &e->node[i]))
			continue;
		state = state * 6364136223846793005u + 1442695040888963407u;
		n++;
		if (!chosen || (order && !strcmp(order, "reverse")) || (order && !strcmp(order, "random") && (state >> 33) % (unsigned)n == 0))
			chosen = &e->node[i];
	}
	return chosen;
}

MOCK(cuGraphLaunch, CuGraphExec e, CuStream s)
{
	CALL();
	if (latest && getenv("MOCK_CUDA_POISON"))
		memset(latest, 0xff, latest_bytes);
	for (int i = 0; i < e->n; i++)
		e->node[i].done = false;
	for (int i = 0; i < e->n; i++) {
		Node *n = next_node(e);
		run(n);
		n->done = true;
	}
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
	for (int i = 0; i < g->n; i++)
		free(g->node[i].after);
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

/* bench_peers.c -- oneDNN and OpenBLAS by dlopen: convolutions and matrix products for comparison
 *
 * Versions 2 and 3 of oneDNN differ in how descriptors are made: version 2 fills structs of the caller, which get more
 * room here than they need, version 3 gives pointers. All else is the same, and so are the numbers of the enums used.
 * The libraries themselves stay open until the process ends.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "bench_peers.h"

static void *open_first(const char *const *name, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		void *lib = dlopen(name[i], RTLD_NOW | RTLD_LOCAL);
		if (lib)
			return lib;
	}
	return NULL;
}

static float *floats(Arena *a, size_t n)
{
	char *room = arena_alloc(a, n + 32, sizeof(float));
	return (float *)(void *)(room + (64 - (uintptr_t)room % 64) % 64);
}

/* ---- matrix products: cblas_sgemm, dnnl_sgemm ---- */
typedef void CblasSgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
			const float *b, int ldb, float beta, float *c, int ldc);
typedef int DnnlSgemm(char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
		      const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

typedef struct Gemm {
	CblasSgemm *cblas;
	DnnlSgemm *dnnl;
	int64_t m, n, k, lda, ldb;
	bool ta, tb;
	const float *a, *b;
	float *c;
} Gemm;

static bool run_gemm(void *self)
{
	enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };
	const Gemm *g = self;
	if (g->dnnl)
		return g->dnnl(g->ta ? 'T' : 'N', g->tb ? 'T' : 'N', g->m, g->n, g->k, 1, g->a, g->lda, g->b, g->ldb, 0,
			       g->c, g->n) == 0;
	g->cblas(ROW_MAJOR, g->ta ? TRANSPOSED : PLAIN, g->tb ? TRANSPOSED : PLAIN, (int)g->m, (int)g->n, (int)g->k, 1,
		 g->a, (int)g->lda, g->b, (int)g->ldb, 0, g->c, (int)g->n);
	return true;
}

static Peer gemm_peer(const OpWork *w, const float *const in[2], size_t nout, Arena *a, const char *name)
{
	Gemm *g = NEW(a, Gemm);
	*g = (Gemm){.m = w->n,
		    .n = w->k,
		    .k = w->c,
		    .ta = w->ta,
		    .tb = w->tb,
		    .a = in[0],
		    .b = in[1],
		    .c = floats(a, nout)};
	g->lda = g->ta ? g->m : g->k;
	g->ldb = g->tb ? g->k : g->n;
	return (Peer){.name = name, .run = run_gemm, .self = g, .out = g->c};
}

static int open_blas(const OpWork *w, const float *const in[2], size_t nout, int threads, Arena *a, Peer *out)
{
	static const char *const name[] = {"libopenblas.so.0", "libopenblas.so"};
	CblasSgemm *sgemm = NULL;
	void (*set_threads)(int) = NULL;
	char *(*config)(void) = NULL;
	void *lib = w->op == OP_matmul ? open_first(name, COUNT(name)) : NULL;
	if (!lib)
		return 0;
	*(void **)&sgemm = dlsym(lib, "cblas_sgemm");
	*(void **)&set_threads = dlsym(lib, "openblas_set_num_threads");
	*(void **)&config = dlsym(lib, "openblas_get_config");
	if (!sgemm || !set_threads)
		return 0;
	set_threads(threads);
	const char *text = config ? config() : "OpenBLAS", *blank = strchr(text, ' ');
	const char *end = blank ? strchr(blank + 1, ' ') : NULL; /* "OpenBLAS 0.3.21 DYNAMIC_ARCH …" */
	*out = gemm_peer(w, in, nout, a, end ? arena_strndup(a, text, (size_t)(end - text)) : "OpenBLAS");
	((Gemm *)out->self)->cblas = sgemm;
	return 1;
}

/* ---- oneDNN ---- */
enum { SRC = 1, DST = 17, WEIGHTS = 33, DIFF_SRC = 129, DIFF_DST = 145, DIFF_WEIGHTS = 161 }; /* arguments */
enum { CPU = 1, IN_ORDER = 1, F32 = 3, ANY = 1, TRAINING = 64, AUTO = 3, Q_WEIGHTS = 131, Q_DIFF_WEIGHTS = 132 };
enum { MAX_DIMS = 12, DESC_BYTES = 16384, MAX_MADE = 32 };

typedef int64_t Dims[MAX_DIMS];
typedef struct DnnArg {
	int arg;
	void *memory;
} DnnArg;
typedef struct DnnVersion {
	int major, minor, patch;
} DnnVersion;

typedef struct Dnn {
	void *lib, *engine, *stream;
	const DnnVersion *version;
	Arena *arena;
	int (*memory_create)(void **, const void *, void *, void *);
	int (*primitive_create)(void **, const void *);
	int (*execute)(const void *, void *, int, const DnnArg *);
	int (*wait)(void *);
	const void *(*query_md)(const void *, int, int);
	size_t (*md_size)(const void *);
	int (*reorder)(void **, const void *, void *, const void *, void *, const void *);
	void *primitive, *to_plain; /* to_plain: weights' gradient to our layout */
	DnnArg arg[3], plain[2];
	struct {
		int (*destroy)(void *);
		void *what;
	} made[MAX_MADE]; /* in the order of making */
	int nmade;
} Dnn;

static void *symbol(const Dnn *d, const char *name)
{
	return dlsym(d->lib, name);
}

/* Remembers an object of the library, if there is one, and the function that ends it. */
static void *keep(Dnn *d, void *what, const char *destroy)
{
	INVARIANT(d->nmade < MAX_MADE);
	*(void **)&d->made[d->nmade].destroy = symbol(d, destroy);
	d->made[d->nmade].what = what;
	d->nmade += what && d->made[d->nmade].destroy;
	return what;
}

static void close_dnn(void *self)
{
	Dnn *d = self;
	while (d->nmade > 0) {
		d->nmade--;
		d->made[d->nmade].destroy(d->made[d->nmade].what);
	}
}

/* Memory descriptor of dims; strides NULL: as the primitive likes it. NULL: failed. */
static void *descriptor(Dnn *d, int n, const Dims dims, const int64_t *strides)
{
	void *md = arena_alloc(d->arena, 1, DESC_BYTES);
	int (*by_strides)(void *, int, const int64_t *, int, const int64_t *) = NULL;
	int (*by_tag)(void *, int, const int64_t *, int, int) = NULL;
	bool structs = d->version->major < 3;
	*(void **)&by_strides =
		symbol(d, structs ? "dnnl_memory_desc_init_by_strides" : "dnnl_memory_desc_create_with_strides");
	*(void **)&by_tag = symbol(d, structs ? "dnnl_memory_desc_init_by_tag" : "dnnl_memory_desc_create_with_tag");
	if (!by_strides || !by_tag)
		return NULL;
	int status = strides ? by_strides(md, n, dims, F32, strides) : by_tag(md, n, dims, F32, ANY);
	return status ? NULL : structs ? md : keep(d, *(void **)md, "dnnl_memory_desc_destroy");
}

typedef struct Conv { /* descriptors, and what the primitives take */
	void *x, *w, *y, *plain;
	Dims stride, dilation, before, after;
} Conv;

/* Logical dimensions are N C H W and [G] O I H W; strides say that memory is NHWC and HWIO. */
static bool conv_descriptors(Dnn *d, const OpWork *w, Conv *c)
{
	int64_t g = w->window.groups, ci = w->c / g, co = w->k / g;
	Dims xd = {w->n, w->c, w->h, w->w}, xs = {w->h * w->w * w->c, 1, w->w * w->c, w->c};
	Dims yd = {w->n, w->k, w->oh, w->ow}, ys = {w->oh * w->ow * w->k, 1, w->ow * w->k, w->k};
	Dims wd = {g, co, ci, w->r, w->s}, ws = {co, 1, w->k, w->s * ci * w->k, ci * w->k};
	int skip = g == 1;
	c->x = descriptor(d, 4, xd, xs);
	c->y = descriptor(d, 4, yd, ys);
	c->w = descriptor(d, 5 - skip, wd + skip, NULL);
	c->plain = descriptor(d, 5 - skip, wd + skip, ws + skip);
	for (int i = 0; i < 2; i++) {
		c->stride[i] = w->window.stride[i];
		c->dilation[i] = w->window.dilation[i] - 1;
		c->before[i] = w->window.pad[i];
		c->after[i] = w->window.pad[i + 2];
	}
	return c->x && c->y && c->w && c->plain;
}

/* Version 2: a struct says what to do, and gives a primitive descriptor. */
static void *conv_pd_2(const Dnn *d, OpCode op, const Conv *c, const void *hint)
{
	void *what = arena_alloc(d->arena, 1, DESC_BYTES), *pd = NULL;
	int (*forward)(void *, int, int, const void *, const void *, const void *, const void *, const int64_t *,
		       const int64_t *, const int64_t *, const int64_t *) = NULL;
	int (*data)(void *, int, const void *, const void *, const void *, const int64_t *, const int64_t *,
		    const int64_t *, const int64_t *) = NULL;
	int (*weights)(void *, int, const void *, const void *, const void *, const void *, const int64_t *,
		       const int64_t *, const int64_t *, const int64_t *) = NULL;
	int (*create)(void **, const void *, const void *, void *, const void *) = NULL;
	*(void **)&forward = symbol(d, "dnnl_dilated_convolution_forward_desc_init");
	*(void **)&data = symbol(d, "dnnl_dilated_convolution_backward_data_desc_init");
	*(void **)&weights = symbol(d, "dnnl_dilated_convolution_backward_weights_desc_init");
	*(void **)&create = symbol(d, "dnnl_primitive_desc_create");
	if (!forward || !data || !weights || !create)
		return NULL;
	int status = op == OP_conv2d_dx
			     ? data(what, AUTO, c->x, c->w, c->y, c->stride, c->dilation, c->before, c->after)
		     : op == OP_conv2d_dw
			     ? weights(what, AUTO, c->x, c->w, NULL, c->y, c->stride, c->dilation, c->before, c->after)
			     : forward(what, TRAINING, AUTO, c->x, c->w, NULL, c->y, c->stride, c->dilation, c->before,
				       c->after);
	return status || create(&pd, what, NULL, d->engine, hint) ? NULL : pd;
}

static void *conv_pd_3(const Dnn *d, OpCode op, const Conv *c, const void *hint)
{
	void *pd = NULL;
	int (*forward)(void **, void *, int, int, const void *, const void *, const void *, const void *,
		       const int64_t *, const int64_t *, const int64_t *, const int64_t *, const void *) = NULL;
	int (*data)(void **, void *, int, const void *, const void *, const void *, const int64_t *, const int64_t *,
		    const int64_t *, const int64_t *, const void *, const void *) = NULL;
	int (*weights)(void **, void *, int, const void *, const void *, const void *, const void *, const int64_t *,
		       const int64_t *, const int64_t *, const int64_t *, const void *, const void *) = NULL;
	*(void **)&forward = symbol(d, "dnnl_convolution_forward_primitive_desc_create");
	*(void **)&data = symbol(d, "dnnl_convolution_backward_data_primitive_desc_create");
	*(void **)&weights = symbol(d, "dnnl_convolution_backward_weights_primitive_desc_create");
	if (!forward || !data || !weights)
		return NULL;
	int status = op == OP_conv2d_dx   ? data(&pd, d->engine, AUTO, c->x, c->w, c->y, c->stride, c->dilation,
						 c->before, c->after, hint, NULL)
		     : op == OP_conv2d_dw ? weights(&pd, d->engine, AUTO, c->x, c->w, NULL, c->y, c->stride,
						    c->dilation, c->before, c->after, hint, NULL)
					  : forward(&pd, d->engine, TRAINING, AUTO, c->x, c->w, NULL, c->y, c->stride,
						    c->dilation, c->before, c->after, NULL);
	return status ? NULL : pd;
}

static void *conv_pd(Dnn *d, OpCode op, const Conv *c, const void *hint)
{
	void *pd = d->version->major < 3 ? conv_pd_2(d, op, c, hint) : conv_pd_3(d, op, c, hint);
	return keep(d, pd, "dnnl_primitive_desc_destroy");
}

static void *memory(Dnn *d, const void *md, const float *data)
{
	void *m = NULL;
	if (!md || d->memory_create(&m, md, d->engine, (void *)(uintptr_t)data))
		return NULL;
	return keep(d, m, "dnnl_memory_destroy");
}

static void *primitive(Dnn *d, const void *pd)
{
	void *p = NULL;
	return d->primitive_create(&p, pd) ? NULL : keep(d, p, "dnnl_primitive_destroy");
}

/* Primitive that copies memory of one layout to another. */
static void *reorder(Dnn *d, const void *from, const void *to)
{
	void *pd = NULL;
	if (d->reorder(&pd, from, d->engine, to, d->engine, NULL))
		return NULL;
	return primitive(d, keep(d, pd, "dnnl_primitive_desc_destroy"));
}

static bool execute(const Dnn *d, const void *what, int n, const DnnArg *arg)
{
	return d->execute(what, d->stream, n, arg) == 0 && d->wait(d->stream) == 0;
}

static bool run_conv(void *self)
{
	const Dnn *d = self;
	return execute(d, d->primitive, 3, d->arg);
}

static bool conv_result(void *self)
{
	const Dnn *d = self;
	return execute(d, d->to_plain, 2, d->plain);
}

/* Weights in the layout that the primitive chose: copied there before, or for conv2d_dw back afterwards. */
static bool bind_weights(Dnn *d, const Conv *c, const void *pd, bool gradient, const float *ours)
{
	const void *md = d->query_md(pd, gradient ? Q_DIFF_WEIGHTS : Q_WEIGHTS, 0);
	if (!md)
		return false;
	void *theirs = memory(d, md, floats(d->arena, d->md_size(md) / sizeof(float) + 1)),
	     *plain = memory(d, c->plain, ours);
	d->arg[2] = (DnnArg){gradient ? DIFF_WEIGHTS : WEIGHTS, theirs};
	d->plain[0] = (DnnArg){SRC, gradient ? theirs : plain};
	d->plain[1] = (DnnArg){DST, gradient ? plain : theirs};
	d->to_plain = gradient ? reorder(d, md, c->plain) : reorder(d, c->plain, md);
	return theirs && plain && d->to_plain && (gradient || execute(d, d->to_plain, 2, d->plain));
}

static int conv_peer(Dnn *d, const OpWork *w, const float *const in[2], size_t nout, const char *name, Peer *out)
{
	Conv c;
	if (!conv_descriptors(d, w, &c))
		return 0;
	void *forward = conv_pd(d, OP_conv2d, &c, NULL);
	void *pd = w->op == OP_conv2d ? forward : forward ? conv_pd(d, w->op, &c, forward) : NULL;
	d->primitive = pd ? primitive(d, pd) : NULL;
	if (!d->primitive)
		return 0;
	bool dx = w->op == OP_conv2d_dx, dw = w->op == OP_conv2d_dw;
	float *result = floats(d->arena, nout);
	d->arg[0] = (DnnArg){dx ? DIFF_SRC : SRC, memory(d, c.x, dx ? result : in[0])};
	d->arg[1] = (DnnArg){dx || dw ? DIFF_DST : DST, memory(d, c.y, dx ? in[0] : dw ? in[1] : result)};
	if (!d->arg[0].memory || !d->arg[1].memory || !bind_weights(d, &c, pd, dw, dw ? result : in[1]))
		return 0;
	*out = (Peer){.name = name,
		      .run = run_conv,
		      .result = dw ? conv_result : NULL,
		      .close = close_dnn,
		      .self = d,
		      .out = result};
	return 1;
}

static bool load_dnn(Dnn *d)
{
	int (*engine)(void **, int, size_t) = NULL;
	int (*stream)(void **, void *, unsigned) = NULL;
	const DnnVersion *(*version)(void) = NULL;
	*(void **)&engine = symbol(d, "dnnl_engine_create");
	*(void **)&stream = symbol(d, "dnnl_stream_create");
	*(void **)&version = symbol(d, "dnnl_version");
	*(void **)&d->memory_create = symbol(d, "dnnl_memory_create");
	*(void **)&d->primitive_create = symbol(d, "dnnl_primitive_create");
	*(void **)&d->execute = symbol(d, "dnnl_primitive_execute");
	*(void **)&d->wait = symbol(d, "dnnl_stream_wait");
	*(void **)&d->query_md = symbol(d, "dnnl_primitive_desc_query_md");
	*(void **)&d->md_size = symbol(d, "dnnl_memory_desc_get_size");
	*(void **)&d->reorder = symbol(d, "dnnl_reorder_primitive_desc_create");
	if (!engine || !stream || !version || !d->memory_create || !d->primitive_create || !d->execute || !d->wait ||
	    !d->query_md || !d->md_size || !d->reorder)
		return false;
	d->version = version();
	if (d->version->major < 2 || engine(&d->engine, CPU, 0))
		return false;
	keep(d, d->engine, "dnnl_engine_destroy");
	if (stream(&d->stream, d->engine, IN_ORDER))
		return false;
	keep(d, d->stream, "dnnl_stream_destroy");
	return true;
}

static int dnn_peer(Dnn *d, const OpWork *w, const float *const in[2], size_t nout, Peer *out)
{
	const DnnVersion *v = d->version;
	const char *name = arena_printf(d->arena, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
	if (w->op != OP_matmul)
		return conv_peer(d, w, in, nout, name, out);
	DnnlSgemm *sgemm = NULL;
	*(void **)&sgemm = symbol(d, "dnnl_sgemm");
	if (!sgemm)
		return 0;
	*out = gemm_peer(w, in, nout, d->arena, name);
	((Gemm *)out->self)->dnnl = sgemm;
	close_dnn(d); /* a product needs no engine */
	return 1;
}

static int open_dnn(const OpWork *w, const float *const in[2], size_t nout, Arena *a, Peer *out)
{
	static const char *const names[] = {"libdnnl.so.3", "libdnnl.so.2", "libdnnl.so"};
	Dnn *d = NEW(a, Dnn);
	d->arena = a;
	d->lib = open_first(names, COUNT(names));
	if (d->lib && load_dnn(d) && dnn_peer(d, w, in, nout, out))
		return 1;
	close_dnn(d);
	return 0;
}

int peers_open(const OpWork *w, const float *const in[2], size_t nout, int threads, Arena *a, Peer peer[MAX_PEERS])
{
	char text[16];
	snprintf(text, sizeof(text), "%d", threads);
	setenv("OMP_NUM_THREADS", text, 1); /* read when the libraries are loaded */
	unsetenv("OPENBLAS_CORETYPE");
	int n = open_dnn(w, in, nout, a, &peer[0]);
	return n + open_blas(w, in, nout, threads, a, &peer[n]);
}

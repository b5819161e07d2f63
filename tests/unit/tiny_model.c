/* tiny_model.c -- the hand-written model and what its tests share */
#include "tests/unit/tiny_model.h"

#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/data.h"
#include "runtime/random.h"

enum { D = 4, MAX_N = 8, ROWS = 2 };

typedef struct Params {
	float w[D];
	float pad0[16 - D];
	float b[1];
	float pad1[15];
	float mw[D];
	float pad2[16 - D];
	float mb[1];
	float pad3[15];
	float mean[1];
	float pad4[15];
} Params;

typedef struct Slab {
	float z[MAX_N], p[MAX_N], dz[MAX_N];
	float grad[D + 1];
} Slab;

/* Rows part*ROWS … : probabilities, losses; noise only in training. */
static void forward(const RtCall *c, uint32_t part, const float *x, const uint32_t *id)
{
	const Params *w = (const void *)c->params;
	Slab *s = (void *)c->slab;
	for (uint32_t r = part * ROWS; r < (part + 1) * ROWS && r < c->s->n; r++) {
		float z = w->b[0];
		uint32_t draw[4] = {0};
		if (id)
			rt_philox(c->s->seed, 0, id[r], c->s->pass, 7, draw);
		for (int i = 0; i < D; i++)
			z += w->w[i] * (x[r * D + i] + (id ? 0.02f * rt_uniform(draw[i]) : 0.0f));
		s->z[r] = z;
		s->p[r] = 1 / (1 + expf(-z));
	}
}

static void mark(const RtCall *c, uint32_t kernel, bool end)
{
	if (c->mark)
		c->mark(c->mark_arg, kernel, end);
}

static void train_forward(const RtCall *c, uint32_t part, void *scratch)
{
	(void)scratch;
	mark(c, 0, false);
	forward(c, part, (const void *)c->in[0], (const void *)c->in[2]);
	mark(c, 0, true);
}

static void eval_forward(const RtCall *c, uint32_t part, void *scratch)
{
	(void)scratch;
	forward(c, part, (const void *)c->in[0], NULL);
}

static void sums(const RtCall *c, const float *y)
{
	Slab *s = (void *)c->slab;
	for (uint32_t r = 0; r < c->s->n; r++) {
		double z = (double)s->z[r], t = (double)y[r];
		c->metric[0] += fmax(z, 0) - z * t + log1p(exp(-fabs(z)));
		c->metric[1] += (s->p[r] > 0.5f) == (y[r] > 0.5f);
		s->dz[r] = (s->p[r] - y[r]) * c->s->inv_n;
	}
}

static void train_backward(const RtCall *c, uint32_t part, void *scratch)
{
	Slab *s = (void *)c->slab;
	const float *x = (const void *)c->in[0];
	(void)part, (void)scratch;
	mark(c, 1, false);
	sums(c, (const void *)c->in[1]);
	memset(s->grad, 0, sizeof s->grad);
	for (uint32_t r = 0; r < c->s->n; r++) {
		for (int i = 0; i < D; i++)
			s->grad[i] += s->dz[r] * x[r * D + i];
		s->grad[D] += s->dz[r];
	}
	mark(c, 1, true);
}

static void train_update(const RtCall *c, uint32_t part, void *scratch)
{
	Params *w = (void *)c->params;
	const Slab *s = (const void *)c->slab;
	(void)part, (void)scratch;
	for (int i = 0; i < D; i++) {
		w->mw[i] = 0.9f * w->mw[i] - c->s->lr * s->grad[i];
		w->w[i] += w->mw[i];
	}
	w->mb[0] = 0.9f * w->mb[0] - c->s->lr * s->grad[D];
	w->b[0] += w->mb[0];
	w->mean[0] = 0.99f * w->mean[0] + 0.01f * s->p[0];
}

static void eval_end(const RtCall *c, uint32_t part, void *scratch)
{
	const Slab *s = (const void *)c->slab;
	(void)part, (void)scratch;
	sums(c, (const void *)c->in[1]);
	memcpy(c->out[0], s->p, c->s->n * sizeof(float));
}

static void raw(const RtCall *c, uint32_t part, void *scratch)
{
	const Slab *s = (const void *)c->slab;
	eval_forward(c, part, scratch);
	for (uint32_t r = part * ROWS; r < (part + 1) * ROWS && r < c->s->n; r++)
		memcpy(c->out[0] + 4 * r, &s->p[r], 4);
}

static void pictures(const RtCall *c, uint32_t part, void *scratch)
{
	const Slab *s = (const void *)c->slab;
	float x[MAX_N * D];
	(void)scratch;
	for (uint32_t i = 0; i < c->s->n * D; i++)
		x[i] = (float)c->in[0][i] / 255.0f;
	forward(c, part, x, NULL);
	for (uint32_t r = part * ROWS; r < (part + 1) * ROWS && r < c->s->n; r++)
		memcpy(c->out[0] + 4 * r, &s->p[r], 4);
}

#define TENSOR(n, k, field, ...)                                                                                       \
	{                                                                                                              \
		.name = n, .kind = k, .dtype = RT_F32, .offset = offsetof(Params, field),                              \
		.bytes = sizeof(((Params *)0)->field), __VA_ARGS__                                                     \
	}
static const RtTensor tensors[] = {
	TENSOR("dense.kernel", RT_PARAM, w, .rank = 2, .dim = {D, 1}, .trainable = 1, .init = RT_GLOROT_UNIFORM,
	       .init_stream = 3),
	TENSOR("dense.bias", RT_PARAM, b, .rank = 1, .dim = {1}, .trainable = 1, .init = RT_ZEROS),
	TENSOR("dense.kernel/momentum", RT_MOMENT, mw, .rank = 2, .dim = {D, 1}),
	TENSOR("dense.bias/momentum", RT_MOMENT, mb, .rank = 1, .dim = {1}),
	TENSOR("tracker.mean", RT_STAT, mean, .rank = 1, .dim = {1}),
};

static const RtPort train_in[] = {
	{"x", RT_F32, 2, {0, D}, 4 * D}, {"y", RT_F32, 2, {0, 1}, 4}, {"id", RT_U32, 1, {0}, 4}};
static const RtPort picture_in[] = {{"x", RT_U8, 4, {0, 2, 2, 1}, 4}};
static const RtPort probability[] = {{"prob", RT_F32, 2, {0, 1}, 4}};
static const RtPhase train_phases[] = {{"forward", train_forward, ROWS, 0, 0, 0},
				       {"backward", train_backward, 0, 1, 0, 0},
				       {"update", train_update, 0, 1, 1, 0}};
static const RtPhase eval_phases[] = {{"forward", eval_forward, ROWS, 0, 0, 0}, {"end", eval_end, 0, 1, 0, 0}};
static const RtPhase raw_phases[] = {{"forward", raw, ROWS, 0, 0, 0}};
static const RtPhase picture_phases[] = {{"forward", pictures, ROWS, 0, 0, 0}};
static const RtTap taps[] = {{"dense", 0, RT_F32, offsetof(Slab, z), 4, 0},
			     {"prob", 0, RT_F32, offsetof(Slab, p), 4, 0}};
static const RtKernel train_kernels[] = {{"dense", 2 * D, 1}, {"dense\"dw", 2 * D, 1}, {"update", 0, 0}};
static const RtEntry entries[] = {
	{"predict", 1, 1, 1, 0, picture_phases, picture_in, probability, NULL, sizeof(Slab), 64, 0, NULL, 0, NULL},
	{"predict_raw", 1, 1, 1, 0, raw_phases, train_in, probability, NULL, sizeof(Slab), 64, 0, NULL, 0, NULL},
	{"evaluate", 2, 2, 1, 0, eval_phases, train_in, probability, NULL, sizeof(Slab), 64, 0, NULL, 0, NULL},
	{"train_step", 3, 3, 0, 2, train_phases, train_in, NULL, taps, sizeof(Slab), 64, 3, train_kernels, 0, NULL},
};
static const RtMetric metrics[] = {{"loss", RT_MEAN, 0, 1}, {"accuracy", RT_MEAN, 1, 1}};
static const RtField fields[] = {
	{"name", "tiny", RT_FIELD_STRING, 0, NULL, "name of the model"},
	{"task", "image_classification", RT_FIELD_ENUM, 0, "image_classification|regression", ""},
	{"data.type", "npy", RT_FIELD_ENUM, 0, "image_directory|idx|npy", ""},
	{"data.train.x", "x.npy", RT_FIELD_PATH, 1, NULL, ""},
	{"data.train.y", "y.npy", RT_FIELD_PATH, 1, NULL, ""},
	{"data.validation.x", "vx.npy", RT_FIELD_PATH, 1, NULL, ""},
	{"data.validation.y", "vy.npy", RT_FIELD_PATH, 1, NULL, ""},
	{"data.validation_split", "0", RT_FIELD_FLOAT, 1, NULL, ""},
	{"data.image_size.0", "2", RT_FIELD_INT, 0, NULL, "height and width"},
	{"data.image_size.1", "2", RT_FIELD_INT, 0, NULL, "height and width"},
	{"data.batch_size", "8", RT_FIELD_INT, 1, NULL, "samples a step"},
	{"data.shuffle", "true", RT_FIELD_BOOL, 1, NULL, ""},
	{"data.seed", "", RT_FIELD_INT, 1, NULL, ""},
	{"data.workers", "auto", RT_FIELD_INT, 1, NULL, ""},
	{"train.optimizer.learning_rate", "0.1", RT_FIELD_FLOAT, 1, NULL, "step size"},
	{"train.epochs", "3", RT_FIELD_INT, 1, NULL, "epochs to train"},
	{"train.steps_per_epoch", "", RT_FIELD_INT, 1, NULL, ""},
	{"train.validation_steps", "", RT_FIELD_INT, 1, NULL, ""},
	{"train.callbacks.0.EarlyStopping.monitor", "val_loss", RT_FIELD_STRING, 1, NULL, ""},
	{"train.callbacks.0.EarlyStopping.patience", "1000", RT_FIELD_INT, 1, NULL, ""},
	{"train.callbacks.0.EarlyStopping.restore_best_weights", "false", RT_FIELD_BOOL, 1, NULL, ""},
	{"train.callbacks.1.CSVLogger.filename", "log.csv", RT_FIELD_PATH, 1, NULL, ""},
	{"train.callbacks.1.CSVLogger.separator", ",", RT_FIELD_STRING, 1, NULL, ""},
	{"train.initial_weights", "", RT_FIELD_PATH, 1, NULL, ""},
	{"train.max_time", "", RT_FIELD_DURATION, 1, NULL, ""},
	{"train.max_energy_kwh", "", RT_FIELD_FLOAT, 1, NULL, ""},
	{"train.resume", "never", RT_FIELD_ENUM, 1, "never|auto|must", ""},
	{"train.threads", "auto", RT_FIELD_INT, 1, "auto", ""},
	{"train.verbose", "auto", RT_FIELD_ENUM, 1, "auto|0|1|2", ""},
	{"train.seed", "1", RT_FIELD_INT, 1, NULL, "of everything random"},
};
static const char *const labels[] = {"no", "yes"};
static const RtLayer layers[] = {{"dense", "Dense", "(N, 1)", 5, 8}};
#define COUNT(a) (sizeof(a) / sizeof *(a))

const RtModel tiny_model = {
	.abi = RT_ABI,
	.size = sizeof(RtModel),
	.name = "tiny",
	.target = "x86-64",
	.cpu_needs = "sse3",
	.model_hash = {7, 1, 2, 3, 4, 5},
	.ntensors = COUNT(tensors),
	.nentries = COUNT(entries),
	.nmetrics = COUNT(metrics),
	.nfields = COUNT(fields),
	.nlabels = 2,
	.nlayers = 1,
	.metric_doubles = 2,
	.params_bytes = sizeof(Params),
	.max_n = MAX_N,
	.tensor = tensors,
	.entry = entries,
	.metric = metrics,
	.field = fields,
	.labels = labels,
	.layer = layers,
};

/* ---- what tests share ---- */

void tiny_data(const char *xfile, const char *yfile, int n, unsigned seed)
{
	float *x = malloc(sizeof(float) * D * (size_t)n), *y = malloc(sizeof(float) * (size_t)n);
	ck_assert(x && y);
	for (int i = 0; i < n; i++) {
		uint32_t w[4];
		rt_philox(seed, (uint32_t)i, 0, 0, 99, w);
		for (int k = 0; k < D; k++)
			x[i * D + k] = 2 * rt_uniform(w[k]) - 1;
		y[i] = x[i * D] + 0.5f * x[i * D + 1] - x[i * D + 2] + 0.2f * x[i * D + 3] > 0;
	}
	ck_assert_int_eq(rt_npy_write(xfile, RT_F32, 2, (int64_t[]){n, D}, x), RT_OK);
	ck_assert_int_eq(rt_npy_write(yfile, RT_F32, 2, (int64_t[]){n, 1}, y), RT_OK);
	free(x);
	free(y);
}

static char folder[] = "/tmp/cnnc-test-XXXXXX";

static void remove_folder(void)
{
	char line[64];
	snprintf(line, sizeof line, "rm -rf %s", folder);
	if (chdir("/") == 0 && system(line) != 0)
		fprintf(stderr, "%s stays\n", folder);
}

void tiny_empty_folder(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chdir(folder), 0);
	atexit(remove_folder);
}

void tiny_folder(void)
{
	tiny_empty_folder();
	tiny_data("x.npy", "y.npy", 45, 1);
	tiny_data("vx.npy", "vy.npy", 19, 2);
}

int tiny_run(int (*program)(const RtModel *, int, char **), const char *name, ...)
{
	char *argv[32] = {(char *)(uintptr_t)name};
	int argc = 1;
	va_list args;
	va_start(args, name);
	for (const char *a; argc < 31 && (a = va_arg(args, const char *)) != NULL;)
		argv[argc++] = (char *)(uintptr_t)a;
	va_end(args);
	fflush(stdout);
	fflush(stderr);
	int out = dup(1), err = dup(2);
	ck_assert_ptr_nonnull(freopen("out", "w", stdout));
	ck_assert_ptr_nonnull(freopen("err", "w", stderr));
	int code = program(&tiny_model, argc, argv);
	fflush(stdout);
	fflush(stderr);
	dup2(out, 1);
	dup2(err, 2);
	close(out);
	close(err);
	return code;
}

char *tiny_text(const char *path)
{
	FILE *f = fopen(path, "r");
	static char texts[4][100001];
	static int turn;
	size_t n = 0;
	char *text = texts[turn++ % 4];
	if (f) {
		n = fread(text, 1, 100000, f);
		fclose(f);
	}
	text[n] = '\0';
	return text;
}

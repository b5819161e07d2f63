/* model.h -- the contract between generated code and the runtime
 *
 * A compiled model is constant data: one RtModel whose tables point at generated functions. Generated code never allocates,
 * blocks, prints or fails; the runtime owns memory, threads, files and the loop over phases. The same structs describe
 * a model linked into a program and one made in this process by the JIT. A program may carry the model in several
 * instruction levels: one RtModel each (cnnc_model_x86_64_v3 …), listed in `cnnc_models`; cpu.c picks one at start.
 *
 * Sizes are bytes unless named otherwise; N is the number of samples of a call, 1 … max_n.
 */
#ifndef CNNC_RUNTIME_MODEL_H
#define CNNC_RUNTIME_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { RT_ABI = 5, RT_MAX_RANK = 6, RT_COUNTED = 64, RT_AUC_BINS = 199, RT_ALIGN = 64 };

typedef enum RtDType { RT_F32, RT_F64, RT_I32, RT_U32, RT_U8, RT_BOOL } RtDType;         /* order of DType */
typedef enum RtTensorKind { RT_PARAM, RT_MOMENT, RT_STAT } RtTensorKind;                  /* order of IrStateKind */
typedef enum RtInit {                                                                   /* order of IrInit */
	RT_ZEROS, RT_ONES, RT_CONSTANT, RT_UNIFORM, RT_NORMAL, RT_TRUNCATED_NORMAL, RT_GLOROT_UNIFORM, RT_GLOROT_NORMAL,
	RT_HE_UNIFORM, RT_HE_NORMAL, RT_LECUN_UNIFORM, RT_LECUN_NORMAL
} RtInit;
typedef enum RtMetricKind { RT_MEAN, RT_PRECISION, RT_RECALL, RT_F1, RT_AUC, RT_AUC_EACH, RT_IOU } RtMetricKind; /* order of IrMetricKind */
typedef enum RtFieldType {                                                              /* order of IrFieldType */
	RT_FIELD_BOOL, RT_FIELD_INT, RT_FIELD_FLOAT, RT_FIELD_STRING, RT_FIELD_ENUM, RT_FIELD_PATH, RT_FIELD_DURATION, RT_FIELD_SIZE
} RtFieldType;

/* A tensor of the parameter slab, stored dense and row-major as Keras has it (HWIO kernels, (in, out) dense). */
typedef struct RtTensor {
	const char *name;          /* "conv2d.kernel" */
	int32_t kind, dtype, rank, trainable;
	int64_t dim[RT_MAX_RANK];
	uint64_t offset, bytes;
	int32_t init;
	uint32_t init_stream;
	double init_arg[2];
} RtTensor;

typedef struct RtPort {        /* an input or output of an entry */
	const char *name;          /* in: "x" "y" "id"; out: "prob" … */
	int32_t dtype, rank;
	int64_t dim[RT_MAX_RANK];  /* dim[0] = 0: N */
	uint64_t row_bytes;        /* a sample */
} RtPort;

typedef struct RtScalars {     /* read by generated code: offsets are part of the ABI */
	uint64_t seed;
	uint32_t step;             /* counts from 1 */
	uint32_t pass;
	uint32_t n;
	float lr, inv_n;
	float counted[RT_COUNTED]; /* of model->counted[i] */
} RtScalars;

typedef enum RtCountedKind { RT_POWER, RT_UPDATE, RT_DUE } RtCountedKind; /* order of IrScalar from SC_POWER on */
typedef struct RtCounted {     /* of t = ceil(step / every): base^t; t; 1 where base divides t, else 0 */
	double base;
	int32_t kind, every;       /* every 0: as 1 */
} RtCounted;

typedef struct RtMetric {
	const char *name;          /* "loss" comes first where there is one */
	int32_t kind;
	uint32_t offset, count;    /* doubles in RtCall.metric */
} RtMetric;

typedef struct RtCall {        /* one call of an entry; all memory is the caller's */
	const RtScalars *s;
	unsigned char *params, *slab; /* params: params_bytes + views_bytes */
	unsigned char *const *in;  /* parallel to entry->in */
	unsigned char *const *out; /* parallel to entry->out */
	double *metric;            /* model->metric_doubles, overwritten by each call */
	bool prepared;             /* the same phases ran before, and no weight has changed since */
	void (*mark)(void *arg, uint32_t kernel, bool end); /* profile: called by every worker; NULL when off */
	void *mark_arg;
} RtCall;

/* Runs one part. Parts of one phase touch disjoint memory (or only read), so they may run in any order, at the same time. */
typedef void RtPartFn(const RtCall *call, uint32_t part, void *scratch);

typedef struct RtPhase {
	const char *name;
	RtPartFn *run;
	uint32_t rows;             /* > 0: ceil(N / rows) parts; 0: `parts` parts */
	uint32_t parts;
	uint32_t update;           /* writes weights: skipped when the loss of this call is not finite */
	uint32_t prepare;          /* writes only what follows from the weights, behind them: skipped in calls that say `prepared` */
} RtPhase;

typedef struct RtTap {         /* an intermediate value, for naming the first non-finite tensor */
	const char *name;
	uint32_t phase;            /* complete after this phase */
	int32_t dtype;
	uint64_t offset, row_bytes; /* in the slab; row_bytes a sample, or whole if `fixed` */
	uint32_t fixed;
} RtTap;

typedef struct RtKernel {      /* what `mark` numbers */
	const char *name;
	int64_t flops;             /* multiply-adds count 2; of a sample if `batched`, else of a call */
	uint32_t batched;
} RtKernel;

typedef struct RtVariant {     /* the same results, bit for bit, by phases that suit calls of at most n_max samples */
	uint32_t n_max, nphases, nkernels;
	const RtPhase *phase;
	const RtKernel *kernel;
} RtVariant;

typedef struct RtEntry {
	const char *name;          /* predict predict_raw evaluate train_step */
	uint32_t nphases, nin, nout, ntaps;
	const RtPhase *phase;
	const RtPort *in, *out;
	const RtTap *tap;
	uint64_t slab_bytes, scratch_bytes; /* for the whole call at max_n; for each worker */
	uint32_t nkernels;
	const RtKernel *kernel;
	uint32_t nvariants;
	const RtVariant *variant;  /* ascending n_max; the first that fits runs, else the phases above */
} RtEntry;

typedef struct RtField {
	const char *path, *value;
	int32_t type, runtime;
	const char *choices, *doc;
} RtField;

typedef struct RtLayer {       /* for `info` */
	const char *name, *kind, *shape;
	int64_t params, flops;
} RtLayer;

/* ---- the same entries for a GPU: what runtime/cuda_call.c launches, in order ---- */
typedef enum RtCudaBase { RT_CUDA_SCALARS, RT_CUDA_PARAMS, RT_CUDA_SLAB, RT_CUDA_METRIC, RT_CUDA_IN, RT_CUDA_OUT } RtCudaBase;

typedef struct RtCudaArg {     /* an address in memory of the device */
	uint32_t base, port;       /* port: of RT_CUDA_IN, RT_CUDA_OUT */
	uint64_t offset;
} RtCudaArg;

typedef struct RtCudaLaunch {
	uint32_t function;         /* of RtCuda.function */
	uint32_t grid_x, grid_y, threads, nargs, nafter;
	const RtCudaArg *arg;      /* pointers are all that a kernel takes */
	const uint32_t *after;     /* earlier launches that it has to wait for; others may run at the same time */
} RtCudaLaunch;

typedef struct RtCudaEntry {   /* parallel to RtModel.entry */
	uint32_t nlaunches;
	const RtCudaLaunch *launch;
	const RtKernel *kernel;    /* parallel to launch: what it does, for profiles */
	uint64_t slab_bytes;
} RtCudaEntry;

typedef struct RtCudaArch {
	uint32_t number;           /* 90: compute capability 9.0 */
	uint32_t kind;             /* 0: a cubin, also for later minor numbers; 1: a cubin for this one alone (sm_90a); 2: PTX, for all later ones */
} RtCudaArch;

typedef struct RtCudaImage {
	const unsigned char *data;
	uint64_t bytes;
} RtCudaImage;

typedef struct RtCudaFunction {
	const char *name;
	const RtCudaImage *image;  /* parallel to RtCuda.arch */
} RtCudaFunction;

typedef struct RtCuda {
	uint32_t narchs, nfunctions, nentries;
	const RtCudaArch *arch;
	const RtCudaFunction *function;
	const RtCudaEntry *entry;
	unsigned char schedule_key[32];
} RtCuda;

typedef struct RtModel {
	uint32_t abi, size;        /* RT_ABI, sizeof(RtModel) */
	const char *name, *target; /* target: what the code needs, "x86-64-v4" */
	const char *cpu_needs;     /* "avx512f avx512bw …": checked with CPUID at start */
	const char *levels;        /* targets that the program carries, best first: "x86-64-v4 x86-64-v3"; NULL: this one */
	unsigned char model_hash[32], schedule_key[32];
	uint32_t ntensors, nentries, nmetrics, nfields, nlabels, nlayers, ncounted, metric_doubles;
	uint64_t params_bytes, views_bytes, max_n; /* params: tensors; behind them, views of them that phases prepare */
	const RtTensor *tensor;
	const RtEntry *entry;
	const RtMetric *metric;
	const RtField *field;
	const char *const *labels;
	const RtLayer *layer;
	const RtCounted *counted;
	const RtCuda *cuda;        /* NULL: no code for a GPU */
} RtModel;

extern const RtModel *const cnnc_models[]; /* best level first, NULL at the end */

/* ---- call.c: running an entry ---- */
typedef struct RtPool RtPool;

const RtEntry *rt_entry(const RtModel *m, const char *name); /* NULL if the model has none of that name */
/* Runs all phases, parts over the pool, a barrier after each. `stop` (may be NULL) is looked at before the first phase only
 * for entries with updates, between phases otherwise; returns false when it stopped there. */
bool rt_call(RtPool *pool, const RtEntry *entry, const RtCall *call, const atomic_int *stop);

#endif

/* llvm_table.c -- the constant tables of a model: what runtime/model.h declares, as data with relocations
 *
 * Takes the module and the phases that program.c lists; gives a read-only table and nothing that runs. How a struct is written:
 * llvm_record.h.
 */
#include <string.h>
#include "codegen/llvm_record.h"

static void put_dims(Record *r, size_t offset, const IrType *t)
{
	LLVMValueRef dim[RT_MAX_RANK];
	_Static_assert((int)RT_MAX_RANK == (int)IR_MAX_RANK, "dims are copied");
	for (int i = 0; i < RT_MAX_RANK; i++)
		dim[i] = record_integer(r, 8, i < t->rank && t->dim[i] != IR_N ? t->dim[i] : 0);
	record_put(r, offset, RT_MAX_RANK * sizeof(int64_t), LLVMConstArray2(r->b->i64, dim, RT_MAX_RANK));
}

/* ---- tensors ---- */
static const KBuffer *buffer_of_state(const KProgram *p, const IrState *s)
{
	for (int i = 0; i < p->nbuffers; i++) {
		if (p->buffer[i].cls == B_STATE && p->buffer[i].state == s)
			return &p->buffer[i];
	}
	return NULL;
}

static LLVMValueRef tensor(LlvmBuild *b, const IrState *s, const KBuffer *home)
{
	Record *r = RECORD(b);
	PUT_TEXT(r, RtTensor, name, s->name);
	PUT_INT(r, RtTensor, kind, s->kind);
	PUT_INT(r, RtTensor, dtype, s->type.dtype);
	PUT_INT(r, RtTensor, rank, s->type.rank);
	PUT_INT(r, RtTensor, trainable, s->trainable);
	put_dims(r, offsetof(RtTensor, dim), &s->type);
	PUT_INT(r, RtTensor, offset, home->offset);
	PUT_INT(r, RtTensor, bytes, ir_elems(&s->type, 1) * dtype_size(s->type.dtype));
	PUT_INT(r, RtTensor, init, s->init);
	PUT_INT(r, RtTensor, init_stream, s->init_stream);
	LLVMValueRef arg[2] = {LLVMConstReal(b->elem[DT_F64], s->init_arg[0]), LLVMConstReal(b->elem[DT_F64], s->init_arg[1])};
	record_put(r, offsetof(RtTensor, init_arg), sizeof(double[2]), LLVMConstArray2(b->elem[DT_F64], arg, 2));
	return record_finish(r, sizeof(RtTensor));
}

static LLVMValueRef tensors(LlvmBuild *b, const IrModule *m, uint32_t *n)
{
	size_t count = 0;
	IR_EACH_STATE(m, s)
		count++;
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, count + 1);
	*n = 0;
	IR_EACH_STATE(m, s) {
		const KBuffer *home = buffer_of_state(m->program, s);
		if (home)
			v[(*n)++] = tensor(b, s, home);
	}
	return llvm_array(b, "tensor", v, *n);
}

/* ---- entries ---- */
static LLVMValueRef port(LlvmBuild *b, const char *name, const IrType *t)
{
	Record *r = RECORD(b);
	PUT_TEXT(r, RtPort, name, name);
	PUT_INT(r, RtPort, dtype, t->dtype);
	PUT_INT(r, RtPort, rank, t->rank);
	put_dims(r, offsetof(RtPort, dim), t);
	PUT_INT(r, RtPort, row_bytes, ir_row_elems(t) * dtype_size(t->dtype));
	return record_finish(r, sizeof(RtPort));
}

static LLVMValueRef inputs(LlvmBuild *b, const IrEntry *e)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, e->nport + 1);
	for (int i = 0; i < e->nport; i++)
		v[i] = port(b, e->port[i].name, &e->port[i].type);
	return llvm_array(b, "in", v, (size_t)e->nport);
}

static LLVMValueRef outputs(LlvmBuild *b, const IrEntry *e, uint32_t *n)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, e->nroot + 1);
	*n = 0;
	for (int i = 0; i < e->nroot; i++) {
		if (e->root[i].kind == ROOT_OUTPUT)
			v[(*n)++] = port(b, e->root[i].name, &e->root[i].value->type);
	}
	return llvm_array(b, "out", v, *n);
}

static LLVMValueRef phases(LlvmBuild *b, const CgEntry *e)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, e->nphases + 1);
	for (int i = 0; i < e->nphases; i++) {
		const CgPhase *p = &e->phase[i];
		LLVMValueRef run = llvm_phase(b, p->symbol);
		Record *r = RECORD(b);
		PUT_TEXT(r, RtPhase, name, p->name);
		PUT_PTR(r, RtPhase, run, run);
		PUT_INT(r, RtPhase, rows, p->rows);
		PUT_INT(r, RtPhase, parts, p->parts);
		PUT_INT(r, RtPhase, update, p->update);
		PUT_INT(r, RtPhase, prepare, p->prepare);
		v[i] = record_finish(r, sizeof(RtPhase));
	}
	return llvm_array(b, "phase", v, (size_t)e->nphases);
}

static bool writes(const Kernel *k, int buffer)
{
	for (int i = 0; i < k->nopnds; i++) {
		if (k->opnd[i].buf == buffer && k->opnd[i].mode != M_IN)
			return true;
	}
	return false;
}

/* Last phase with a kernel that writes the buffer, -1: none. A phase holds the kernels up to the next one's first. */
static int phase_of_buffer(const KEntry *k, const CgEntry *e, int buffer)
{
	int last = -1;
	for (int i = 0; i < e->nphases; i++) {
		int end = i + 1 < e->nphases ? e->phase[i + 1].first_kernel : k->nkernels;
		for (int j = e->phase[i].first_kernel; j < end; j++)
			last = writes(k->kernel[j], buffer) ? i : last;
	}
	return last;
}

static LLVMValueRef tap(LlvmBuild *b, const KBuffer *buf, int phase)
{
	const IrType *t = &buf->type;
	Record *r = RECORD(b);
	PUT_TEXT(r, RtTap, name, buf->name);
	PUT_INT(r, RtTap, phase, phase);
	PUT_INT(r, RtTap, dtype, t->dtype);
	PUT_INT(r, RtTap, offset, buf->offset);
	PUT_INT(r, RtTap, row_bytes, ir_row_elems(t) * dtype_size(t->dtype));
	PUT_INT(r, RtTap, fixed, !ir_batched(t));
	return record_finish(r, sizeof(RtTap));
}

/* Values of real numbers in the slab: the others cannot be non-finite. */
static LLVMValueRef taps(LlvmBuild *b, const KProgram *p, const KEntry *k, const CgEntry *e, uint32_t *n)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, p->nbuffers + 1);
	*n = 0;
	for (int i = 0; i < p->nbuffers; i++) {
		const KBuffer *buf = &p->buffer[i];
		bool real = buf->type.dtype == DT_F32 || buf->type.dtype == DT_F64;
		int phase = buf->cls == B_SLAB && real ? phase_of_buffer(k, e, i) : -1;
		if (phase >= 0)
			v[(*n)++] = tap(b, buf, phase);
	}
	return llvm_array(b, "tap", v, *n);
}

static LLVMValueRef kernels(LlvmBuild *b, const KEntry *e)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, e->nkernels + 1);
	for (int i = 0; i < e->nkernels; i++) {
		const Kernel *k = e->kernel[i];
		bool batched = false;
		for (int a = 0; a < k->naxes; a++)
			batched |= k->axis[a].ext == EXT_N;
		Record *r = RECORD(b);
		PUT_TEXT(r, RtKernel, name, k->name);
		PUT_INT(r, RtKernel, flops, k->flops);
		PUT_INT(r, RtKernel, batched, batched);
		v[i] = record_finish(r, sizeof(RtKernel));
	}
	return llvm_array(b, "kernel", v, (size_t)e->nkernels);
}

static bool is_variant(const KEntry *v, const KEntry *of)
{
	return v->few && !of->few && strcmp(v->name, of->name) == 0;
}

/* Of entry k, which stands in p->entry as its code does in code. */
static LLVMValueRef variants(LlvmBuild *b, const KProgram *p, const KEntry *k, const CgEntry *code, uint32_t *n)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, p->nentries + 1);
	*n = 0;
	for (int i = 0; i < p->nentries; i++) {
		if (!is_variant(&p->entry[i], k))
			continue;
		Record *r = RECORD(b);
		PUT_INT(r, RtVariant, n_max, p->entry[i].few);
		PUT_INT(r, RtVariant, nphases, code[i].nphases);
		PUT_INT(r, RtVariant, nkernels, p->entry[i].nkernels);
		PUT_PTR(r, RtVariant, phase, phases(b, &code[i]));
		PUT_PTR(r, RtVariant, kernel, kernels(b, &p->entry[i]));
		v[(*n)++] = record_finish(r, sizeof(RtVariant));
	}
	return llvm_array(b, "variant", v, *n);
}

static LLVMValueRef entry(LlvmBuild *b, const KProgram *p, const CgEntry *code, int i)
{
	const KEntry *k = &p->entry[i];
	const CgEntry *e = &code[i];
	uint32_t nout, ntaps, nvariants;
	LLVMValueRef variant = variants(b, p, k, code, &nvariants);
	LLVMValueRef out = outputs(b, k->graph, &nout), tapped = taps(b, p, k, e, &ntaps);
	Record *r = RECORD(b);
	PUT_TEXT(r, RtEntry, name, k->name);
	PUT_INT(r, RtEntry, nphases, e->nphases);
	PUT_INT(r, RtEntry, nin, k->graph->nport);
	PUT_INT(r, RtEntry, nout, nout);
	PUT_INT(r, RtEntry, ntaps, ntaps);
	PUT_PTR(r, RtEntry, phase, phases(b, e));
	PUT_PTR(r, RtEntry, in, inputs(b, k->graph));
	PUT_PTR(r, RtEntry, out, out);
	PUT_PTR(r, RtEntry, tap, tapped);
	PUT_INT(r, RtEntry, slab_bytes, k->slab_bytes);
	PUT_INT(r, RtEntry, scratch_bytes, k->scratch_bytes);
	PUT_INT(r, RtEntry, nkernels, k->nkernels);
	PUT_PTR(r, RtEntry, kernel, kernels(b, k));
	PUT_INT(r, RtEntry, nvariants, nvariants);
	PUT_PTR(r, RtEntry, variant, variant);
	return record_finish(r, sizeof(RtEntry));
}

static LLVMValueRef entries(LlvmBuild *b, const KProgram *p, const CgEntry *code, uint32_t *n)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, p->nentries + 1);
	*n = 0;
	for (int i = 0; i < p->nentries; i++) {
		if (!p->entry[i].few)
			v[(*n)++] = entry(b, p, code, i);
	}
	return llvm_array(b, "entry", v, *n);
}

/* ---- metrics ---- */
static const KBuffer *buffer_of_metric(const KProgram *p, const IrRoot *root, int64_t *count)
{
	const IrType *t = &root->value->type;
	*count = ir_row_elems(t);
	for (int i = 0; i < p->nbuffers; i++) {
		const KBuffer *b = &p->buffer[i];
		if (b->cls == B_METRIC && strcmp(b->name, root->name) == 0 && ir_elems(&b->type, 1) == *count)
			return b;
	}
	return NULL;
}

static LLVMValueRef metric(LlvmBuild *b, const IrRoot *root, int64_t offset, int64_t count)
{
	Record *r = RECORD(b);
	PUT_TEXT(r, RtMetric, name, root->name);
	PUT_INT(r, RtMetric, kind, root->metric);
	PUT_INT(r, RtMetric, offset, offset);
	PUT_INT(r, RtMetric, count, count);
	return record_finish(r, sizeof(RtMetric));
}

static bool seen(const IrRoot *const *root, uint32_t n, const char *name)
{
	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(root[i]->name, name) == 0)
			return true;
	}
	return false;
}

/* Those of all entries, each name once, the loss first */
static LLVMValueRef metrics(LlvmBuild *b, const IrModule *m, uint32_t *n)
{
	size_t bound = 1;
	IR_EACH_ENTRY(m, e)
		bound += (size_t)e->nroot;
	const IrRoot **root = (const IrRoot **)arena_alloc(b->arena, bound, sizeof(*root));
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, bound);
	*n = 0;
	for (int loss = 1; loss >= 0; loss--) {
		IR_EACH_ENTRY(m, e) {
			for (int i = 0; i < e->nroot; i++) {
				int64_t count;
				const IrRoot *at = &e->root[i];
				if (at->kind != ROOT_METRIC || (strcmp(at->name, "loss") == 0) != loss || seen(root, *n, at->name))
					continue;
				const KBuffer *buf = buffer_of_metric(m->program, at, &count);
				INVARIANT(buf);
				v[*n] = metric(b, at, buf->offset, count);
				root[(*n)++] = at;
			}
		}
	}
	return llvm_array(b, "metric", v, *n);
}

/* ---- what describes the model ---- */
static LLVMValueRef fields(LlvmBuild *b, const IrModule *m)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, m->nfield + 1);
	for (int i = 0; i < m->nfield; i++) {
		const IrField *f = &m->field[i];
		Record *r = RECORD(b);
		PUT_TEXT(r, RtField, path, f->path);
		PUT_TEXT(r, RtField, value, f->value);
		PUT_INT(r, RtField, type, f->type);
		PUT_INT(r, RtField, runtime, f->runtime);
		PUT_TEXT(r, RtField, choices, f->choices);
		PUT_TEXT(r, RtField, doc, f->doc);
		v[i] = record_finish(r, sizeof(RtField));
	}
	return llvm_array(b, "field", v, (size_t)m->nfield);
}

static LLVMValueRef labels(LlvmBuild *b, const IrModule *m)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, m->nlabels + 1);
	for (int i = 0; i < m->nlabels; i++)
		v[i] = llvm_text(b, m->labels[i]);
	return llvm_array(b, "label", v, (size_t)m->nlabels);
}

static LLVMValueRef layers(LlvmBuild *b, const CgOptions *o)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, o->nlayers + 1);
	for (int i = 0; i < o->nlayers; i++) {
		const CgLayer *l = &o->layer[i];
		Record *r = RECORD(b);
		PUT_TEXT(r, RtLayer, name, l->name);
		PUT_TEXT(r, RtLayer, kind, l->kind);
		PUT_TEXT(r, RtLayer, shape, l->shape);
		PUT_INT(r, RtLayer, params, l->params);
		PUT_INT(r, RtLayer, flops, l->flops);
		v[i] = record_finish(r, sizeof(RtLayer));
	}
	return llvm_array(b, "layer", v, (size_t)o->nlayers);
}

static LLVMValueRef counted(LlvmBuild *b, const KProgram *p)
{
	LLVMValueRef *v = NEWN(b->arena, LLVMValueRef, p->ncounted + 1);
	INVARIANT(p->ncounted <= RT_COUNTED);
	for (int i = 0; i < p->ncounted; i++) {
		const KCounted *c = &p->counted[i];
		Record *r = RECORD(b);
		record_put(r, offsetof(RtCounted, base), sizeof c->base, LLVMConstReal(b->elem[DT_F64], c->base));
		PUT_INT(r, RtCounted, kind, (int)c->which - SC_POWER);
		PUT_INT(r, RtCounted, every, c->every);
		v[i] = record_finish(r, sizeof(RtCounted));
	}
	return llvm_array(b, "counted", v, (size_t)p->ncounted);
}

/* ---- the model ---- */
static const char *table_name(Arena *a, const char *target)
{
	char *name = arena_printf(a, "cnnc_model_%s", target);
	for (char *c = name; *c; c++) {
		if (*c == '-' || *c == '.')
			*c = '_';
	}
	return name;
}

static const char *level_names(Arena *a, const CgOptions *o)
{
	const char *all = NULL;
	for (int i = 0; i < o->nlevels; i++)
		all = all ? arena_printf(a, "%s %s", all, o->level[i]) : o->level[i];
	return all ? all : o->target->name;
}

/* cnnc_models: this table, those of the further levels, NULL. */
static void list_tables(LlvmBuild *b, const CgOptions *o, LLVMValueRef model)
{
	LLVMValueRef table[CG_MAX_LEVELS + 1] = {model};
	int n = 1;
	INVARIANT(o->nlevels <= CG_MAX_LEVELS);
	for (; n < o->nlevels; n++)
		table[n] = LLVMAddGlobal(b->module, b->i8, table_name(b->arena, o->level[n]));
	table[n++] = LLVMConstNull(b->ptr);
	LLVMValueRef list = llvm_constant(b, "cnnc_models", LLVMConstArray2(b->ptr, table, (unsigned)n), 16);
	LLVMSetLinkage(list, LLVMExternalLinkage);
	LLVMSetUnnamedAddress(list, LLVMNoUnnamedAddr);
}

void llvm_table(LlvmUnit *u, const CgModule *c)
{
	LlvmBuild *b = &u->build;
	const IrModule *m = c->m;
	const CgOptions *o = &c->options;
	const KProgram *p = m->program;
	uint32_t ntensors, nmetrics, nentries;
	unsigned char hash[32], key[32];
	LLVMValueRef all_tensors = tensors(b, m, &ntensors), all_metrics = metrics(b, m, &nmetrics);
	LLVMValueRef all_entries = entries(b, p, c->program->entry, &nentries);
	cg_identity(m, o->target, hash, key);
	Record *r = RECORD(b);
	PUT_INT(r, RtModel, abi, RT_ABI);
	PUT_INT(r, RtModel, size, sizeof(RtModel));
	PUT_TEXT(r, RtModel, name, m->name);
	PUT_TEXT(r, RtModel, target, o->target->name);
	PUT_TEXT(r, RtModel, cpu_needs, c->target.needs);
	PUT_TEXT(r, RtModel, levels, level_names(b->arena, o));
	PUT_BYTES(r, RtModel, model_hash, hash);
	PUT_BYTES(r, RtModel, schedule_key, key);
	PUT_INT(r, RtModel, ntensors, ntensors);
	PUT_INT(r, RtModel, nentries, nentries);
	PUT_INT(r, RtModel, nmetrics, nmetrics);
	PUT_INT(r, RtModel, nfields, m->nfield);
	PUT_INT(r, RtModel, nlabels, m->nlabels);
	PUT_INT(r, RtModel, nlayers, o->nlayers);
	PUT_INT(r, RtModel, ncounted, p->ncounted);
	PUT_INT(r, RtModel, metric_doubles, p->metric_doubles);
	PUT_INT(r, RtModel, params_bytes, p->param_bytes);
	PUT_INT(r, RtModel, views_bytes, p->view_bytes);
	PUT_INT(r, RtModel, max_n, m->max_n);
	PUT_PTR(r, RtModel, tensor, all_tensors);
	PUT_PTR(r, RtModel, entry, all_entries);
	PUT_PTR(r, RtModel, metric, all_metrics);
	PUT_PTR(r, RtModel, field, fields(b, m));
	PUT_PTR(r, RtModel, labels, labels(b, m));
	PUT_PTR(r, RtModel, layer, layers(b, o));
	PUT_PTR(r, RtModel, counted, counted(b, p));
	PUT_PTR(r, RtModel, cuda, o->cuda ? llvm_cuda_table(b, o) : LLVMConstNull(b->ptr));
	LLVMValueRef model = llvm_constant(b, table_name(b->arena, o->target->name), record_finish(r, sizeof(RtModel)), 16);
	LLVMSetLinkage(model, LLVMExternalLinkage);
	LLVMSetUnnamedAddress(model, LLVMNoUnnamedAddr);
	if (o->nlevels == 0 || strcmp(o->level[0], o->target->name) == 0)
		list_tables(b, o, model);
}

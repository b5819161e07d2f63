/* model_table.c -- the constant cnnc_model, as C sees it, against the module that it was made from */
#include <check.h>
#include <string.h>
#include "pipeline.h"
#include "tests/support/suite.h"

static const char text[] =
	"cnnc: 1\n"
	"name: table\n"
	"data: {type: npy, train: {x: x.npy, y: y.npy}, label_mode: int, batch_size: 6, class_names: [cat, dog, owl]}\n"
	"model:\n"
	"  input_shape: [9, 8, 2]\n"
	"  layers:\n"
	"    - Conv2D: {filters: 5, kernel_size: 3, activation: relu}\n"
	"    - BatchNormalization\n"
	"    - MaxPooling2D\n"
	"    - Flatten\n"
	"    - Dense: {units: 3, activation: softmax}\n"
	"train: {optimizer: adam, loss: sparse_categorical_crossentropy, metrics: [accuracy]}\n";

typedef struct Made {
	Diag *d;
	Pipeline p;
	CgJit *jit;
	const RtModel *rt;
} Made;

static Made make(void)
{
	Made m = {.d = diag_new()};
	bool ok = pipeline_open(&m.p, &(PipelineIn){.path = "table.yaml", .text = text, .cpu = "native"}, m.d);
	diag_print(m.d, stderr);
	ck_assert(ok);
	m.jit = cg_jit(pipeline_code(&m.p, m.d), m.d);
	ck_assert_ptr_nonnull(m.jit);
	m.rt = cg_jit_model(m.jit);
	ck_assert_ptr_nonnull(m.rt);
	return m;
}

static void unmake(Made *m)
{
	cg_jit_free(m->jit);
	pipeline_close(&m->p);
	diag_free(m->d);
}

START_TEST(head)
{
	Made m = make();
	unsigned char hash[32], key[32];
	ck_assert_uint_eq(m.rt->abi, RT_ABI);
	ck_assert_uint_eq(m.rt->size, sizeof(RtModel));
	ck_assert_str_eq(m.rt->name, "table");
	ck_assert_str_eq(m.rt->target, m.p.target.name);
	ck_assert_uint_eq(m.rt->max_n, 6);
	ck_assert_int_eq((int64_t)m.rt->params_bytes, m.p.fe.module->program->param_bytes);
	ck_assert_int_eq(m.rt->metric_doubles, m.p.fe.module->program->metric_doubles);
	ck_assert_uint_eq(m.rt->nlabels, 3);
	ck_assert_str_eq(m.rt->labels[2], "owl");
	ck_assert_uint_eq(m.rt->ncounted, 2);
	ck_assert(m.rt->counted[0].base + m.rt->counted[1].base == 0.9 + 0.999);
	cg_identity(m.p.fe.module, &m.p.target, hash, key);
	ck_assert_mem_eq(m.rt->model_hash, hash, 32);
	ck_assert_mem_eq(m.rt->schedule_key, key, 32);
	unmake(&m);
}
END_TEST

START_TEST(tensors)
{
	Made m = make();
	uint32_t i = 0;
	uint64_t end = 0;
	IR_EACH_STATE(m.p.fe.module, s) {
		const RtTensor *t = &m.rt->tensor[i++];
		ck_assert_str_eq(t->name, s->name);
		ck_assert(t->kind == (int)s->kind && t->dtype == (int)s->type.dtype && t->rank == s->type.rank);
		for (int d = 0; d < t->rank; d++)
			ck_assert_int_eq(t->dim[d], s->type.dim[d]);
		ck_assert(t->trainable == s->trainable && t->init == (int)s->init && t->init_stream == s->init_stream);
		ck_assert(t->init_arg[0] == s->init_arg[0] && t->init_arg[1] == s->init_arg[1]);
		ck_assert_int_eq((int64_t)t->bytes, ir_elems(&s->type, 1) * 4);
		ck_assert(t->offset % RT_ALIGN == 0 && t->offset + t->bytes <= m.rt->params_bytes);
		end = t->offset + t->bytes > end ? t->offset + t->bytes : end;
	}
	ck_assert_uint_eq(i, m.rt->ntensors);
	ck_assert(end <= m.rt->params_bytes && m.rt->params_bytes < end + RT_ALIGN);
	unmake(&m);
}
END_TEST

static void check_entry(const RtEntry *e, const KEntry *k, uint64_t max_n)
{
	ck_assert_str_eq(e->name, k->name);
	ck_assert_uint_eq(e->nin, (unsigned)k->graph->nport);
	ck_assert_int_eq((int64_t)e->slab_bytes, k->slab_bytes);
	ck_assert_int_eq((int64_t)e->scratch_bytes, k->scratch_bytes);
	ck_assert_uint_gt(e->nphases, 0);
	for (uint32_t i = 0; i < e->nin; i++) {
		const IrType *t = &k->graph->port[i].type;
		ck_assert_str_eq(e->in[i].name, k->graph->port[i].name);
		ck_assert(e->in[i].dim[0] == 0 && e->in[i].rank == t->rank);
		ck_assert_int_eq((int64_t)e->in[i].row_bytes, ir_row_elems(t) * dtype_size(t->dtype));
	}
	ck_assert_uint_eq(e->nkernels, (unsigned)k->nkernels);
	for (uint32_t i = 0; i < e->nkernels; i++) {
		ck_assert_str_eq(e->kernel[i].name, k->kernel[i]->name);
		ck_assert_int_eq(e->kernel[i].flops, k->kernel[i]->flops);
	}
	for (uint32_t i = 0; i < e->nphases; i++)
		ck_assert(e->phase[i].run && e->phase[i].name[0] && (e->phase[i].rows > 0 || e->phase[i].parts > 0));
	for (uint32_t i = 0; i < e->ntaps; i++) {
		uint64_t rows = e->tap[i].fixed ? 1 : max_n;
		ck_assert(e->tap[i].phase < e->nphases && e->tap[i].name[0]);
		ck_assert(e->tap[i].offset + e->tap[i].row_bytes * rows <= e->slab_bytes);
	}
}

START_TEST(entries)
{
	Made m = make();
	const KProgram *p = m.p.fe.module->program;
	bool updates = false;
	int variants = 0;
	for (int i = 0; i < p->nentries; i++)
		variants += p->entry[i].few > 0;
	ck_assert_int_eq((int)m.rt->nentries + variants, p->nentries);
	for (int i = 0; i < (int)m.rt->nentries; i++) {
		const RtEntry *e = &m.rt->entry[i];
		check_entry(e, &p->entry[i], m.rt->max_n);
		for (uint32_t j = 0; j < e->nphases; j++) {
			ck_assert(!e->phase[j].update || strcmp(e->name, "train_step") == 0);
			updates |= e->phase[j].update != 0;
		}
	}
	ck_assert(updates);
	const RtEntry *predict = rt_entry(m.rt, "predict");
	ck_assert(predict && predict->nout == 1 && predict->out[0].rank == 2 && predict->out[0].dim[1] == 3);
	ck_assert_uint_eq(predict->out[0].row_bytes, 12);
	unmake(&m);
}
END_TEST

START_TEST(descriptions)
{
	Made m = make();
	const IrModule *ir = m.p.fe.module;
	ck_assert_uint_eq(m.rt->nmetrics, 2);
	ck_assert_str_eq(m.rt->metric[0].name, "loss");
	ck_assert_str_eq(m.rt->metric[1].name, "accuracy");
	ck_assert(m.rt->metric[0].count == 1 && m.rt->metric[0].offset != m.rt->metric[1].offset);
	ck_assert_int_eq((int)m.rt->nfields, ir->nfield);
	for (int i = 0; i < ir->nfield; i++) {
		ck_assert_str_eq(m.rt->field[i].path, ir->field[i].path);
		ck_assert_str_eq(m.rt->field[i].value, ir->field[i].value);
		ck_assert(m.rt->field[i].type == (int)ir->field[i].type && (m.rt->field[i].runtime != 0) == ir->field[i].runtime);
		ck_assert((m.rt->field[i].choices == NULL) == (ir->field[i].choices == NULL));
	}
	ck_assert_int_eq((int)m.rt->nlayers, m.p.fe.nlayers);
	ck_assert_str_eq(m.rt->layer[0].kind, "Conv2D");
	ck_assert_str_eq(m.rt->layer[0].shape, "(N, 7, 6, 5)");
	ck_assert(m.rt->layer[0].params == 3 * 3 * 2 * 5 + 5 && m.rt->layer[0].flops > 0);
	unmake(&m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("model_table");
	TCase *t = tcase_create("table");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, head);
	tcase_add_test(t, tensors);
	tcase_add_test(t, entries);
	tcase_add_test(t, descriptions);
	suite_add_tcase(s, t);
	return suite_run(s);
}

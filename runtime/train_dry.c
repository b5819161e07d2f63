/* train_dry.c -- --dry-run: one batch through everything, what it takes, and no file
 *
 * The same batch is stepped a few times: the first step touches its memory for the first time, so the quickest counts.
 */
#include <stdio.h>
#include "runtime/sys.h"
#include "runtime/train.h"

enum { STEPS = 4 };

static void print_count(FILE *f, uint64_t v)
{
	if (v >= 1000)
		print_count(f, v / 1000);
	fprintf(f, v >= 1000 ? ",%03llu" : "%llu", (unsigned long long)(v % 1000));
}

static void print_span(FILE *f, double s)
{
	if (s < 1)
		fprintf(f, "%.1f ms", s * 1e3);
	else if (s < 120)
		fprintf(f, "%.1f s", s);
	else if (s < 7200)
		fprintf(f, "%.1f min", s / 60);
	else
		fprintf(f, "%.1f h", s / 3600);
}

static void print_memory(const RtTrainer *t)
{
	const RtModel *m = t->model;
	uint64_t scratch = 0;
	for (uint32_t i = 0; i < m->nentries; i++)
		scratch = m->entry[i].scratch_bytes > scratch ? m->entry[i].scratch_bytes : scratch;
	fputs("memory: ", t->out);
	print_count(t->out, m->params_bytes + m->views_bytes + t->in.slab_bytes);
	fputs(" bytes of parameters, optimizer state and activations, ", t->out);
	print_count(t->out, scratch);
	fprintf(t->out, " for each of %d threads\n", rt_pool_threads(t->pool));
}

/* Seconds of one batch of the validation; 0: nothing is validated. */
static RtStatus try_validation(RtTrainer *t, double *seconds)
{
	const int64_t wanted = t->validation_steps, from = rt_sys.monotonic_ns();
	*seconds = 0;
	if (!t->val_stream)
		return RT_OK;
	t->validation_steps = 1;
	const RtStatus s = rt_train_validate(t);
	t->validation_steps = wanted;
	*seconds = (double)(rt_sys.monotonic_ns() - from) / 1e9;
	return s;
}

static RtStatus try_steps(RtTrainer *t, double *reading, double *step)
{
	RtBatch batch;
	int64_t from = rt_sys.monotonic_ns();
	RtStatus s = rt_stream_next(t->train_stream, &batch);
	*reading = (double)(rt_sys.monotonic_ns() - from) / 1e9;
	for (int i = 0; i < STEPS && s == RT_OK; i++) {
		from = rt_sys.monotonic_ns();
		s = rt_train_step(t, &batch);
		const double seconds = (double)(rt_sys.monotonic_ns() - from) / 1e9;
		*step = i == 0 || seconds < *step ? seconds : *step;
	}
	return s;
}

RtStatus rt_train_dry(RtTrainer *t)
{
	double reading, step = 0, validation;
	RtStatus s = try_steps(t, &reading, &step);
	if (s == RT_OK)
		s = try_validation(t, &validation);
	if (s != RT_OK)
		return s;
	const int64_t steps = rt_train_steps_expected(t), samples = t->val_data ? rt_dataset_count(t->val_data) : 0;
	const int64_t batches = t->validation_steps ? t->validation_steps : (samples + t->batch - 1) / t->batch;
	const double epoch = (double)steps * (step > reading ? step : reading) + validation * (double)batches;
	print_memory(t);
	fprintf(t->out, "one batch of %d samples: ", t->batch);
	print_span(t->out, reading);
	fputs(" to read it, ", t->out);
	print_span(t->out, step);
	fputs(" a step\none epoch: ", t->out);
	fprintf(t->out, "%lld steps, about ", (long long)steps);
	print_span(t->out, epoch);
	fprintf(t->out, "; %lld epochs: about ", (long long)t->epochs);
	print_span(t->out, epoch * (double)t->epochs);
	fputs("\ndry run: no file was written\n", t->out);
	return RT_OK;
}

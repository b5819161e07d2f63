/* train_average.c -- the moving averages of the weights (use_ema): what is validated and what the predictor gets
 *
 * The optimizer keeps them as "conv2d.kernel/average". They change places with the weights while an epoch is validated,
 * written and shown to the callbacks, and at the end; steps and checkpoints see the weights in their own place.
 */
#include <string.h>
#include "runtime/train.h"

static const RtTensor *weights_of(const RtModel *m, const RtTensor *average)
{
	static const char end[] = "/average";
	size_t n = strlen(average->name), k = sizeof end - 1;
	for (uint32_t i = 0; n > k && strcmp(average->name + n - k, end) == 0 && i < m->ntensors; i++) {
		const RtTensor *w = &m->tensor[i];
		if (w->kind == RT_PARAM && strlen(w->name) == n - k && strncmp(w->name, average->name, n - k) == 0)
			return w;
	}
	return NULL;
}

static void swap(unsigned char *a, unsigned char *b, size_t n)
{
	unsigned char part[4096];
	for (size_t at = 0; at < n; at += sizeof part) {
		size_t more = n - at < sizeof part ? n - at : sizeof part;
		memcpy(part, a + at, more);
		memcpy(a + at, b + at, more);
		memcpy(b + at, part, more);
	}
}

void rt_train_swap_averages(RtTrainer *t)
{
	const RtModel *m = t->model;
	for (uint32_t i = 0; t->averages && i < m->ntensors; i++) {
		const RtTensor *w = m->tensor[i].kind == RT_MOMENT ? weights_of(m, &m->tensor[i]) : NULL;
		if (w)
			swap(rt_tensor_write(&t->in, w), rt_tensor_write(&t->in, &m->tensor[i]), w->bytes);
	}
}

/* Of weights that a phase does not train, too. */
void rt_train_start_averages(RtTrainer *t)
{
	const RtModel *m = t->model;
	for (uint32_t i = 0; i < m->ntensors; i++) {
		const RtTensor *w = m->tensor[i].kind == RT_MOMENT ? weights_of(m, &m->tensor[i]) : NULL;
		if (w)
			memcpy(rt_tensor_write(&t->in, &m->tensor[i]), rt_tensor_data(&t->in, w), w->bytes);
	}
}

/* class_weight.c -- see class_weight.h */
#include "runtime/class_weight.h"

#include <string.h>
#include "runtime/sys.h"

static RtStatus from_fields(const RtConfig *c, float *weight, int64_t classes)
{
	RtStatus s = RT_OK;
	for (int64_t i = 0; i < classes && s == RT_OK; i++) {
		char path[64];
		double x = 1;
		snprintf(path, sizeof path, "train.class_weight.%lld", (long long)i);
		if (rt_config_get(c, path))
			s = rt_config_float_in(c, path, 1, 0, 3e38, &x);
		weight[i] = (float)x;
	}
	return s;
}

static RtStatus balanced(const RtDataset *d, float *weight, int64_t classes)
{
	int64_t *count = rt_sys.alloc((size_t)classes * sizeof *count), n = rt_dataset_count(d);
	RtStatus s = count ? RT_OK : rt_fail(RT_NOMEM, "out of memory for %lld classes", (long long)classes);
	for (int64_t i = 0; i < n && s == RT_OK; i++) {
		int32_t class = rt_dataset_true_class(d, i);
		if (class < 0 || class >= classes)
			s = rt_fail(RT_BAD_DATA, "class_weight: sample %lld has the label %d; the model has %lld classes",
				    (long long)i, class, (long long)classes);
		else
			count[class]++;
	}
	for (int64_t i = 0; i < classes && s == RT_OK; i++)
		weight[i] = count[i] ? (float)((double)n / ((double)classes * (double)count[i])) : 0;
	rt_sys.release(count);
	return s;
}

/* weight[2][classes]: of no, of yes. Where a sample may have any number of classes each is a question of two answers. */
static void balanced_answers(const RtDataset *d, float *weight, int64_t classes)
{
	double n = (double)rt_dataset_count(d);
	for (int64_t c = 0; c < classes; c++) {
		double yes = 0;
		for (int64_t i = 0; i < rt_dataset_count(d); i++)
			yes += rt_dataset_has(d, i, (int)c);
		weight[c] = yes < n ? (float)(n / (2 * (n - yes))) : 0;
		weight[classes + c] = yes > 0 ? (float)(n / (2 * yes)) : 0;
	}
}

RtStatus rt_class_weight_fill(const RtConfig *c, const RtDataset *d, RtInstance *in)
{
	const RtTensor *t = rt_tensor_find(in->model, "loss/class_weight");
	if (!t)
		return RT_OK;
	float *weight = (float *)(void *)rt_tensor_write(in, t);
	const bool counted = strcmp(rt_config_text(c, "train.class_weight", ""), "balanced") == 0, many = t->rank == 2;
	if (counted && many && d)
		balanced_answers(d, weight, t->dim[1]);
	else if (counted && d)
		return balanced(d, weight, t->dim[0]);
	if (counted)
		return RT_OK;
	for (int64_t i = 0; many && i < t->dim[1]; i++)
		weight[i] = 1; /* of no; the fields are of yes */
	return many ? from_fields(c, weight + t->dim[1], t->dim[1]) : from_fields(c, weight, t->dim[0]);
}

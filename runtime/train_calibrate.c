/* train_calibrate.c -- the temperature that probabilities are calibrated by, fitted at the end of each validation
 *
 * The scores that the validation computes anyway are kept until its end, so that it costs no further pass; every file of
 * weights says the temperature that was fitted with those weights.
 */
#include "runtime/train.h"

RtStatus rt_train_calibrate_open(RtTrainer *t)
{
	t->calibration = t->best_calibration = (RtCalibration){.temperature = 1};
	if (!t->val_data || !t->eval_entry)
		return RT_OK;
	RtScores scores = rt_scores_of(t->model, &t->config, rt_dataset_classes(t->train_data));
	int y = rt_port_find(t->eval_entry->in, t->eval_entry->nin, "y");
	if (!scores.exclusive || y < 0)
		return RT_OK;
	return rt_calibrator_new(&t->calibrator, &scores, &t->eval_entry->in[y], rt_dataset_count(t->val_data));
}

void rt_train_calibrate_add(RtTrainer *t, unsigned char *const *ports, int64_t rows)
{
	int y = rt_port_find(t->val_entry->in, t->val_entry->nin, "y");
	if (t->calibrator.room > 0 && y >= 0 && t->val_entry->nout > 0)
		rt_calibrator_add(&t->calibrator, (const float *)(const void *)t->in.out[0], ports[y], rows);
}

void rt_train_calibrate_end(RtTrainer *t)
{
	t->calibration = rt_calibrate(&t->calibrator);
}

json_t *rt_train_calibration_json(const RtCalibration *c)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I}", "temperature", rt_json_double(c->temperature), "ece",
	                 rt_json_double(c->ece), "ece_calibrated", rt_json_double(c->ece_calibrated), "nll",
	                 rt_json_double(c->nll), "nll_calibrated", rt_json_double(c->nll_calibrated), "samples",
	                 (json_int_t)c->samples);
}

void rt_train_calibration_read(RtCalibration *c, const json_t *j)
{
	c->temperature = rt_double_of_json(json_object_get(j, "temperature"), 1);
	c->ece = rt_double_of_json(json_object_get(j, "ece"), 0);
	c->ece_calibrated = rt_double_of_json(json_object_get(j, "ece_calibrated"), 0);
	c->nll = rt_double_of_json(json_object_get(j, "nll"), 0);
	c->nll_calibrated = rt_double_of_json(json_object_get(j, "nll_calibrated"), 0);
	c->samples = json_integer_value(json_object_get(j, "samples"));
}

void rt_train_say_calibration(const RtTrainer *t, const RtCalibration *c)
{
	if (c->samples > 0)
		fprintf(t->out,
		        "probabilities calibrated on %lld validation samples: temperature %.3f, expected calibration error "
		        "%.2f %% -> %.2f %%\n",
		        (long long)c->samples, c->temperature, 100 * c->ece, 100 * c->ece_calibrated);
}

/* train_limits.c -- what a training has cost: time and energy, results.json, and the limits train.max_time, train.max_energy_kwh
 *
 * Both count from the first start on, so a resumed training goes on with what is left. A limit that is reached ends the
 * training between two steps, as an end and not as an error: checkpoint, last weights, predictor.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/durable.h"
#include "runtime/sys.h"
#include "runtime/train.h"

RtStatus rt_train_limits_open(RtTrainer *t)
{
	char gpu[32];
	rt_energy_open(&t->energy, RT_POWERCAP, rt_instance_gpu(&t->in, gpu) ? gpu : NULL);
	t->max_seconds = rt_config_seconds(&t->config, "train.max_time", 0);
	t->max_kwh = rt_config_float(&t->config, "train.max_energy_kwh", 0);
	if (t->max_kwh > 0 && !rt_energy_known(&t->energy))
		return rt_fail(RT_USAGE, "train.max_energy_kwh can't be kept: the energy is unknown here (%s)", t->energy.why);
	return RT_OK;
}

double rt_train_seconds(const RtTrainer *t)
{
	return t->seconds + (double)(rt_sys.monotonic_ns() - t->started) / 1e9;
}

double rt_train_joules(const RtTrainer *t)
{
	return t->joules + rt_energy_joules(&t->energy);
}

/* Where a start before this one could not tell, this one alone; NaN where the counters can't be read any more. */
static double limited_joules(const RtTrainer *t)
{
	return (isfinite(t->joules) ? t->joules : 0) + rt_energy_joules(&t->energy);
}

bool rt_train_over_limit(RtTrainer *t)
{
	if (t->limit)
		return true;
	rt_energy_update(&t->energy, false);
	if (t->max_seconds > 0 && rt_train_seconds(t) >= t->max_seconds)
		t->limit = "train.max_time";
	else if (t->max_kwh > 0 && !(rt_energy_kwh(limited_joules(t)) < t->max_kwh))
		t->limit = "train.max_energy_kwh";
	return t->limit != NULL;
}

RtStatus rt_train_stop_at_limit(RtTrainer *t)
{
	RtStatus s = rt_train_save(t);
	if (s != RT_OK)
		return s;
	fprintf(t->err, "%s is reached at epoch %lld, step %lld: checkpoint saved in %s; go on with: %s --resume %s=…\n", t->limit,
		(long long)t->epoch + 1, (long long)t->step_in_epoch, t->run.path, t->args.program, t->limit);
	return RT_OK;
}

/* ---- what is said ---- */

static json_t *kwh_json(double joules)
{
	return isfinite(joules) ? json_real(rt_energy_kwh(joules)) : json_string("unknown");
}

static json_t *energy_json(const RtTrainer *t)
{
	const RtEnergy *e = &t->energy;
	double joules = rt_train_joules(t), epochs = t->epoch > 0 ? (double)t->epoch : NAN;
	json_t *j = json_pack("{s:o, s:o}", "kwh", kwh_json(joules), "kwh_per_epoch", kwh_json(joules / epochs));
	if (!rt_energy_known(e))
		json_object_set_new(j, "why_unknown", json_string(e->why));
	json_object_set_new(j, "this_start_cpu_kwh", kwh_json(e->cpu_known ? e->cpu_joules : NAN));
	if (e->gpu)
		json_object_set_new(j, "this_start_gpu_kwh", kwh_json(e->gpu_known ? e->gpu_joules : NAN));
	return j;
}

static json_t *calibration_json(const RtCalibration *c)
{
	if (c->samples == 0)
		return json_null();
	return json_pack("{s:f, s:f, s:f, s:f, s:f, s:I}", "temperature", c->temperature, "ece", c->ece, "ece_calibrated",
			 c->ece_calibrated, "nll", c->nll, "nll_calibrated", c->nll_calibrated, "samples", (json_int_t)c->samples);
}

RtStatus rt_train_results(RtTrainer *t)
{
	char path[RT_PATH_MAX];
	rt_energy_update(&t->energy, true);
	json_t *root = json_pack("{s:I, s:I, s:f, s:o, s:o, s:o}", "epochs", (json_int_t)t->epoch, "steps", (json_int_t)t->step,
				 "time_s", rt_train_seconds(t), "energy", energy_json(t), "calibration",
				 calibration_json(&t->calibration), "limit", t->limit ? json_string(t->limit) : json_null());
	if (root && t->has_best) {
		json_t *best = json_pack("{s:I, s:f, s:o}", "epoch", (json_int_t)t->best_epoch,
					 t->val_stream ? "val_loss" : "loss", t->best, "calibration",
					 calibration_json(&t->best_calibration));
		json_object_set_new(root, "best", best);
	}
	char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
	json_decref(root);
	if (!text || !rt_run_file(&t->run, "results.json", path)) {
		free(text);
		return rt_fail(RT_NOMEM, "out of memory for results.json");
	}
	RtStatus s = rt_write_file(path, text, strlen(text), 0666);
	free(text);
	return s;
}

void rt_train_say_energy(const RtTrainer *t)
{
	double kwh = rt_energy_kwh(rt_train_joules(t));
	if (isfinite(kwh) && t->epoch > 0)
		fprintf(t->out, "energy: %.4g kWh, %.4g an epoch\n", kwh, kwh / (double)t->epoch);
	else if (isfinite(kwh))
		fprintf(t->out, "energy: %.4g kWh\n", kwh);
	else
		fprintf(t->out, "energy: unknown%s%s%s\n", t->energy.why[0] ? " (" : "", t->energy.why, t->energy.why[0] ? ")" : "");
}

/* callbacks.c -- decisions epoch by epoch as Keras makes them, and their state across a checkpoint */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/callbacks.h"
#include "tests/support/suite.h"
#include "tests/unit/tiny_model.h"

enum { FIELDS = 12 };

typedef struct Rig {
	RtField field[FIELDS];
	RtModel model;
	RtConfig config;
	RtPool *pool;
	RtInstance in;
	RtCallbacks *callbacks;
	float lr;
	bool stop;
	FILE *said;
} Rig;

/* Fields are path below train.callbacks, value, …, NULL. */
static void rig_open(Rig *g, const char *const *fields)
{
	static char paths[FIELDS][120];
	int n = 0;
	for (; fields[2 * n]; n++) {
		snprintf(paths[n], sizeof paths[n], "train.callbacks.%s", fields[2 * n]);
		g->field[n] = (RtField){paths[n], fields[2 * n + 1], RT_FIELD_STRING, 1, NULL, ""};
	}
	g->model = tiny_model;
	g->model.nfields = (uint32_t)n;
	g->model.field = g->field;
	ck_assert_int_eq(rt_config_new(&g->config, &g->model), RT_OK);
	ck_assert_int_eq(rt_pool_new(1, 0, &g->pool), RT_OK);
	ck_assert_int_eq(rt_instance_open(&g->in, &g->model, g->pool, NULL, 0), RT_OK);
	g->lr = 1;
	g->stop = false;
	g->said = fopen("said", "w");
	ck_assert_int_eq(rt_callbacks_new(&g->config, "train.callbacks", ".", &g->callbacks), RT_OK);
}

static void rig_close(Rig *g)
{
	rt_callbacks_free(g->callbacks);
	rt_instance_close(&g->in);
	rt_pool_free(g->pool);
	rt_config_free(&g->config);
	fclose(g->said);
}

static RtStatus epoch(Rig *g, int64_t number, double val_loss)
{
	static const char *const meta[] = {"format", "cnnc", NULL};
	RtShown log[] = {
		{"loss", 2 * val_loss}, {"accuracy", 0.5}, {"val_loss", val_loss}, {"learning_rate", (double)g->lr}};
	RtEpochEnd e = {.epoch = number,
			.log = log,
			.nlog = 4,
			.in = &g->in,
			.meta = meta,
			.lr = &g->lr,
			.stop = &g->stop,
			.say = g->said};
	*(float *)(void *)g->in.params = (float)number; /* weights that tell the epoch */
	return rt_callbacks_epoch_end(g->callbacks, &e);
}

/* Epoch after which it stops, counting from 0; -1: never. */
static int stops_after(Rig *g, const double *losses, int n)
{
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(epoch(g, i, losses[i]), RT_OK);
		if (g->stop)
			return i;
	}
	return -1;
}

static const double curve[] = {1.0, 0.9, 0.95, 0.91, 0.85, 0.9, 0.9, 0.9, 0.9, 0.9};

START_TEST(early_stopping)
{
	static const struct {
		const char *patience, *min_delta, *start, *baseline;
		int stops;
	} cases[] = {
		{"0", "0", "0", "", 2},   {"1", "0", "0", "", 2}, {"2", "0", "0", "", 3},    {"3", "0", "0", "", 7},
		{"2", "0.2", "0", "", 2}, {"2", "0", "4", "", 6}, {"3", "0", "0", "0.5", 2}, {"20", "0", "0", "", -1},
	};
	tiny_folder();
	for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
		Rig g;
		rig_open(&g, (const char *const[]){"0.EarlyStopping.patience", cases[k].patience,
						   "0.EarlyStopping.min_delta", cases[k].min_delta,
						   "0.EarlyStopping.start_from_epoch", cases[k].start,
						   "0.EarlyStopping.baseline", cases[k].baseline, NULL});
		int stops = stops_after(&g, curve, 10);
		ck_assert_msg(stops == cases[k].stops, "case %zu stops after %d, not %d", k, stops, cases[k].stops);
		rig_close(&g);
	}
}
END_TEST

START_TEST(best_weights_come_back)
{
	Rig g;
	tiny_folder();
	rig_open(&g, (const char *const[]){"0.EarlyStopping.patience", "3", "0.EarlyStopping.restore_best_weights",
					   "true", NULL});
	ck_assert_int_eq(stops_after(&g, curve, 10), 7);
	rt_callbacks_train_end(g.callbacks, &g.in, g.said);
	ck_assert_float_eq(*(float *)(void *)g.in.params, 4);
	rig_close(&g);
}
END_TEST

START_TEST(more_or_less)
{
	ck_assert(!rt_more_is_better("val_loss", "auto"));
	ck_assert(rt_more_is_better("val_accuracy", "auto"));
	ck_assert(rt_more_is_better("auc", "auto"));
	ck_assert(!rt_more_is_better("mean_squared_error", "auto"));
	ck_assert(!rt_more_is_better("val_binary_crossentropy", "auto"));
	ck_assert(rt_more_is_better("val_loss", "max"));
	ck_assert(!rt_more_is_better("accuracy", "min"));
}
END_TEST

START_TEST(plateau)
{
	Rig g;
	tiny_folder();
	rig_open(&g,
		 (const char *const[]){"0.ReduceLROnPlateau.patience", "2", "0.ReduceLROnPlateau.factor", "0.5",
				       "0.ReduceLROnPlateau.cooldown", "1", "0.ReduceLROnPlateau.min_lr", "0.2", NULL});
	/* waits at 1 and 2: lowered; cooldown over at 3, which already waits; again at 4; never below min_lr */
	static const float rate[] = {1, 1, 0.5f, 0.5f, 0.25f, 0.25f, 0.2f, 0.2f, 0.2f};
	for (int i = 0; i < 9; i++) {
		ck_assert_int_eq(epoch(&g, i, 1), RT_OK);
		ck_assert_msg(g.lr == rate[i], "after epoch %d: %g, not %g", i, (double)g.lr, (double)rate[i]);
	}
	rig_close(&g);
}
END_TEST

START_TEST(weight_files)
{
	Rig g;
	tiny_folder();
	rig_open(&g, (const char *const[]){"0.ModelCheckpoint.filepath", "w/{epoch:02d}-{val_loss:.2f}",
					   "1.ModelCheckpoint.filepath", "best.safetensors",
					   "1.ModelCheckpoint.save_best_only", "true", NULL});
	ck_assert_int_eq(epoch(&g, 0, 1), RT_OK);
	ck_assert_int_eq(access("w/01-1.00.safetensors", R_OK), 0);
	ck_assert_int_eq(access("best.safetensors", R_OK), 0);
	unlink("best.safetensors");
	ck_assert_int_eq(epoch(&g, 1, 1.5), RT_OK);
	ck_assert_int_eq(access("w/02-1.50.safetensors", R_OK), 0);
	ck_assert_int_eq(access("best.safetensors", R_OK), -1);
	ck_assert_int_eq(epoch(&g, 2, 0.5), RT_OK);
	ck_assert_int_eq(access("best.safetensors", R_OK), 0);
	rig_close(&g);
}
END_TEST

START_TEST(path_formats)
{
	char out[100];
	RtShown log[] = {{"val_loss", 0.12345}};
	ck_assert_int_eq(rt_format_path(out, sizeof out, "a{epoch}b{val_loss:.3f}{val_loss:8.1e}", 4, log, 1), RT_OK);
	ck_assert_str_eq(out, "a5b0.123 1.2e-01");
	ck_assert_int_eq(rt_format_path(out, sizeof out, "{epoch:03d}", 4, log, 1), RT_OK);
	ck_assert_str_eq(out, "005");
	static const char *const wrong[] = {"{loss}",        "{epoch:s}",          "{epoch:.2f}",  "{val_loss:n}",
					    "{val_loss:%n}", "{val_loss:999999f}", "{val_loss:d}", "{}"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		ck_assert_msg(rt_format_path(out, sizeof out, wrong[i], 4, log, 1) == RT_USAGE, "%s", wrong[i]);
	ck_assert_int_eq(rt_format_path(out, 10, "longer than ten", 4, log, 1), RT_USAGE);
	ck_assert_int_eq(rt_format_path(out, sizeof out, "open { brace", 4, log, 1), RT_OK);
	ck_assert_str_eq(out, "open { brace");
}
END_TEST

START_TEST(csv)
{
	Rig g;
	tiny_folder();
	rig_open(&g, (const char *const[]){"0.CSVLogger.filename", "log.csv", "0.CSVLogger.separator", ";", NULL});
	ck_assert_int_eq(epoch(&g, 0, 1), RT_OK);
	ck_assert_int_eq(epoch(&g, 1, 0.25), RT_OK);
	ck_assert_str_eq(tiny_text("log.csv"), "epoch;accuracy;loss;val_loss\n0;0.5;2;1\n1;0.5;0.5;0.25\n");
	rig_close(&g);
}
END_TEST

/* After any epoch the state goes to a new set of callbacks, which then decides the same. */
START_TEST(state_survives)
{
	static const char *const fields[] = {"0.EarlyStopping.patience",
					     "3",
					     "1.ReduceLROnPlateau.patience",
					     "1",
					     "2.CSVLogger.filename",
					     "log.csv",
					     NULL};
	tiny_folder();
	for (int cut = 0; cut < 7; cut++) {
		Rig g, h;
		rig_open(&g, fields);
		for (int i = 0; i <= cut; i++)
			ck_assert_int_eq(epoch(&g, i, curve[i]), RT_OK);
		json_t *state = rt_callbacks_state(g.callbacks);
		float lr = g.lr;
		rig_close(&g);
		rig_open(&h, fields);
		h.lr = lr;
		ck_assert_int_eq(rt_callbacks_restore(h.callbacks, state, NULL, &h.in), RT_OK);
		for (int i = cut + 1; i < 10 && !h.stop; i++) {
			ck_assert_int_eq(epoch(&h, i, curve[i]), RT_OK);
			ck_assert_int_eq(h.stop, i == 7);
		}
		ck_assert_float_eq_tol(h.lr, 1e-5f, 1e-9f);
		ck_assert_ptr_nonnull(strstr(tiny_text("log.csv"), "\n6;0.5;")
					      ? NULL
					      : strstr(tiny_text("log.csv"), "\n7,0.5,1.8,0.9\n"));
		json_decref(state);
		rig_close(&h);
	}
}
END_TEST

START_TEST(bad_values_are_refused)
{
	static const char *const wrong[][2] = {{"0.EarlyStopping.patience", "-1"},
					       {"0.ReduceLROnPlateau.factor", "1"},
					       {"0.ReduceLROnPlateau.min_lr", "-1"},
					       {"0.ModelCheckpoint.filepath", ""},
					       {"0.CSVLogger.filename", ""}};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		char path[120];
		RtCallbacks *callbacks;
		RtConfig config;
		snprintf(path, sizeof path, "train.callbacks.%s", wrong[i][0]);
		RtField field = {path, wrong[i][1], RT_FIELD_STRING, 1, NULL, ""};
		RtModel model = {.nfields = 1, .field = &field};
		ck_assert_int_eq(rt_config_new(&config, &model), RT_OK);
		ck_assert_int_eq(rt_callbacks_new(&config, "train.callbacks", ".", &callbacks), RT_USAGE);
		ck_assert_ptr_nonnull(strstr(rt_message(), "train.callbacks.0"));
		rt_config_free(&config);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("callbacks");
	TCase *c = tcase_create("callbacks");
	tcase_add_test(c, early_stopping);
	tcase_add_test(c, best_weights_come_back);
	tcase_add_test(c, more_or_less);
	tcase_add_test(c, plateau);
	tcase_add_test(c, weight_files);
	tcase_add_test(c, path_formats);
	tcase_add_test(c, csv);
	tcase_add_test(c, state_survives);
	tcase_add_test(c, bad_values_are_refused);
	suite_add_tcase(s, c);
	return suite_run(s);
}

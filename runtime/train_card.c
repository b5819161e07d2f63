/* train_card.c -- MODEL_CARD.md: what a reader of the model must know; what only its maker knows is left to fill in
 *
 * Sections after Mitchell et al.: Model Cards for Model Reporting (FAT* 2019). Names from data go through a filter that leaves
 * Markdown nothing to interpret.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/train.h"

/* Punctuation that Markdown reads gets a backslash; control characters become blanks; < > & are HTML's. */
static void plain(FILE *f, const char *s)
{
	for (; *s; s++) {
		const bool html = strchr("<>&", *s) != NULL;
		if (html)
			fputs(*s == '<' ? "&lt;" : *s == '>' ? "&gt;" : "&amp;", f);
		else if (strchr("\\`*_{}[]()#+!|~$", *s))
			fprintf(f, "\\%c", *s);
		else
			fputc((unsigned char)*s < ' ' ? ' ' : *s, f);
	}
}

static void print_hash(FILE *f, const char *name, const unsigned char hash[32])
{
	fprintf(f, "- %s: `", name);
	for (int i = 0; i < 32; i++)
		fprintf(f, "%02x", hash[i]);
	fputs("`\n", f);
}

static void print_data(const RtTrainer *t, FILE *f)
{
	static const char *const fields[] = {"data.type", "data.directory", "data.train.directory", "data.train.file", "data.train.images",
	                                     "data.train.x", "data.validation.directory", "data.validation.file", "data.validation.images",
	                                     "data.validation.x", "data.validation_split"};
	const long long bad = (long long)(rt_dataset_bad(t->train_data) + (t->val_data ? rt_dataset_bad(t->val_data) : 0));
	fprintf(f, "\n## Data\n\n- %lld samples for training, %lld for validation\n", (long long)rt_dataset_count(t->train_data),
	        t->val_data ? (long long)rt_dataset_count(t->val_data) : 0);
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		const char *v = rt_config_get(&t->config, fields[i]);
		if (!v || !*v || strcmp(v, "0") == 0)
			continue;
		fprintf(f, "- %s: ", fields[i]);
		plain(f, v);
		fputc('\n', f);
	}
	if (bad)
		fprintf(f, "- %lld samples could not be read and were left out\n", bad);
	fputs("- Where they come from, who is in them, by which right they are used: *to be filled in*\n", f);
}

/* Of the epoch whose weights the predictor gets. */
static void print_metrics(const RtTrainer *t, const RtHistory *h, FILE *f)
{
	const bool best = t->val_stream && t->has_best && t->best_epoch >= 1 && t->best_epoch <= h->rows;
	const int row = best ? (int)t->best_epoch - 1 : h->rows - 1;
	const char *start = t->val_stream ? "val_" : "";
	fprintf(f, "\n## Metrics\n\n%s, after epoch %d, whose weights the predictor holds.\n\n| metric | value |\n|---|---:|\n",
	        t->val_stream ? "On the validation data" : "On the training data (nothing was validated)", row + 1);
	for (uint32_t i = 0; i < t->model->nmetrics && row >= 0; i++) {
		char name[120];
		snprintf(name, sizeof name, "%s%s", start, t->model->metric[i].name);
		fputs("| ", f);
		plain(f, t->model->metric[i].name);
		fprintf(f, " | %.4f |\n", rt_history_at(h, row, rt_history_column(h, name)));
	}
	const RtCalibration *c = best ? &t->best_calibration : &t->calibration;
	if (c->samples > 0)
		fprintf(f, "| expected calibration error | %.4f |\n", c->ece_calibrated);
}

static void print_classes(const RtTrainer *t, const RtHistory *h, const RtAnswers *a, FILE *f)
{
	if (a->samples == 0)
		return;
	fprintf(f, "\n### Each class\n\nOf %lld validation samples, after epoch %d.\n\n| class | precision | recall | F1 | samples |\n|---|---:|---:|---:|---:|\n",
	        (long long)a->samples, h->rows);
	for (int k = 0; k < a->classes; k++) {
		double sums[4] = {(double)a->counts[(int64_t)k * a->classes + k], 0, 0, 0};
		const char *name = rt_dataset_class(t->train_data, k);
		for (int i = 0; i < a->classes; i++) {
			sums[1] += i == k ? 0 : (double)a->counts[(int64_t)i * a->classes + k];
			sums[2] += i == k ? 0 : (double)a->counts[(int64_t)k * a->classes + i];
		}
		fputs("| ", f);
		if (name)
			plain(f, name);
		else
			fprintf(f, "%d", k);
		fprintf(f, " | %.4f | %.4f | %.4f | %.0f |\n", rt_precision(sums), rt_recall(sums), rt_f1(sums), sums[0] + sums[2]);
	}
}

static void print_rest(const RtTrainer *t, const RtFindings *findings, FILE *f)
{
	const double joules = rt_train_joules(t);
	fputs(findings->n ? "\n## What to know\n\n" : "", f);
	for (int i = 0; i < findings->n; i++) {
		fputs("- ", f);
		plain(f, findings->text[i]);
		fputc('\n', f);
	}
	fprintf(f, isfinite(joules) ? "\n## Energy\n\n%.6f kWh of training\n" : "\n## Energy\n\nunknown\n", joules / 3.6e6);
	fputs("\n## Licences\n\nThe programs contain the cnnc runtime (MIT) and, where they use them, libjpeg-turbo (IJG, BSD-3-Clause and zlib "
	      "licences), libpng (PNG Reference Library License version 2), zlib (zlib licence), jansson (MIT) and libevent (BSD-3-Clause). The C "
	      "library is linked dynamically. The licence of the weights and of the data: *to be filled in*\n", f);
}

static void print_card(const RtTrainer *t, const RtHistory *h, const RtAnswers *a, const RtFindings *findings, FILE *f)
{
	int64_t params = 0;
	for (uint32_t i = 0; i < t->model->nlayers; i++)
		params += t->model->layer[i].params;
	fputs("# Model card: ", f);
	plain(f, t->model->name);
	fprintf(f, "\n\n- Made by cnnc " CNNC_VERSION "; %u layers, %lld parameters; seed %llu\n", t->model->nlayers, (long long)params,
	        (unsigned long long)t->seed);
	print_hash(f, "Model", t->model->model_hash);
	print_hash(f, "Data", t->files_hash);
	fputs("\n## Intended use\n\n*To be filled in: what the model is for, who uses it, and what it must not be used for.*\n", f);
	print_data(t, f);
	print_metrics(t, h, f);
	print_classes(t, h, a, f);
	print_rest(t, findings, f);
}

RtStatus rt_train_card(const RtTrainer *t, const RtHistory *h, const RtAnswers *a, const RtFindings *f)
{
	char *text = NULL, path[RT_PATH_MAX];
	size_t length = 0;
	FILE *to = open_memstream(&text, &length);
	if (!to)
		return rt_fail(RT_NOMEM, "out of memory for the model card");
	print_card(t, h, a, f, to);
	RtStatus s = fclose(to) == 0 ? RT_OK : rt_fail(RT_NOMEM, "out of memory for the model card");
	if (s == RT_OK && !rt_run_file(&t->run, "MODEL_CARD.md", path))
		s = rt_fail(RT_IO, "the path is too long: %.200s", t->run.path);
	if (s == RT_OK)
		s = rt_write_file(path, text, length, 0666);
	free(text);
	return s;
}

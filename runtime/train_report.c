/* train_report.c -- report.html in the run folder: what a training did, on one page that needs no other file
 *
 * Written after each epoch and at the end, whole. Numbers are those of results.csv and of the last validation; no script runs
 * in the page, and all text that comes from users is escaped (page.h).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include "runtime/answers.h"
#include "runtime/durable.h"
#include "runtime/page.h"
#include "runtime/sys.h"
#include "runtime/train.h"

enum { MOST_CLASSES_SHOWN = 40, MOST_CURVES = 6, LEAST_NS = 1000000000 };

static const char style[] =
	":root{color-scheme:light dark;--ink:#1b1b1f;--paper:#fff;--soft:#5b5b66;--line:#d8d8de;--c0:#0b62d6;--c1:#c4420a;--c2:#0a7f50;"
	"--c3:#8a35c9;--c4:#9a6b00;--c5:#b0286b}"
	"@media(prefers-color-scheme:dark){:root{--ink:#ededf0;--paper:#17181b;--soft:#a5a5b0;--line:#3a3b42;--c0:#6aa8ff;--c1:#ff9a6b;"
	"--c2:#4fd39a;--c3:#cf9bff;--c4:#e6b93d;--c5:#ff8cc0}}"
	"body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:72rem;margin:0 auto;padding:1rem}"
	"h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line);padding-bottom:.2rem}"
	".soft,figcaption{color:var(--soft)}.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));gap:1rem 1.5rem}"
	"figure{margin:0}figure svg{width:100%;height:auto}figcaption{font-size:.875rem}figcaption b{color:var(--ink);margin-right:.5rem}"
	".key{white-space:nowrap;margin-right:.7rem}.key svg{width:24px;height:8px;margin-right:.25rem}svg text{font-size:12px;fill:var(--soft)}"
	".grid{stroke:var(--line);fill:none}.chance{stroke:var(--soft);stroke-dasharray:3 4;fill:none}.line{fill:none;stroke-width:2;stroke-linejoin:round}"
	".c0{stroke:var(--c0)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}.c4{stroke:var(--c4)}.c5{stroke:var(--c5)}span.key{stroke:none}"
	".scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:.2rem .7rem .2rem 0;text-align:left;"
	"border-bottom:1px solid var(--line)}th{font-weight:600;white-space:nowrap}.n,th.n{text-align:right;white-space:nowrap}.matrix td{text-align:right;padding:.2rem .5rem}"
	".facts{display:flex;flex-wrap:wrap;gap:.3rem 2rem;margin:1rem 0}.scroll{margin:.8rem 0}.facts div{min-width:7rem}.facts b{display:block;font-size:1.25rem;font-variant-numeric:tabular-nums}"
	".pictures{display:flex;flex-wrap:wrap;gap:1rem}.pictures figure{width:7rem}.pictures img{width:100%;image-rendering:auto;display:block;border-radius:4px}"
	"li{margin:.3rem 0}pre{overflow-x:auto;font:.8rem/1.4 ui-monospace,monospace;border:1px solid var(--line);border-radius:6px;padding:.8rem}"
	"a{color:var(--c0)}code{font:.875em ui-monospace,monospace;overflow-wrap:anywhere}";

typedef struct Report {
	RtTrainer *t;
	FILE *f;
	RtHistory history;
	RtAnswers answers;
	RtFindings findings;
	double *x, *y; /* rows of room for columns of a chart */
	bool finished;
} Report;

static const char *class_name(void *arg, int i)
{
	const RtTrainer *t = arg;
	return i < rt_dataset_classes(t->train_data) ? rt_dataset_class(t->train_data, i) : i ? "1" : "0";
}

/* ---- head ---- */

/* fmt NULL: a count. */
static void fact(FILE *f, const char *name, const char *fmt, double v)
{
	fputs("<div><b>", f);
	if (!fmt)
		rt_page_count(f, (long long)v);
	else if (isfinite(v))
		fprintf(f, fmt, v);
	else
		fputs("–", f);
	fprintf(f, "</b><span class=\"soft\">%s</span></div>", name);
}

static void print_head(const Report *r)
{
	const RtTrainer *t = r->t;
	FILE *f = r->f;
	fputs("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
	      "<link rel=\"icon\" href=\"data:,\">\n<title>", f);
	rt_page_text(f, t->model->name);
	fprintf(f, " – training</title>\n<style>%s</style>\n<main>\n<h1>", style);
	rt_page_text(f, t->model->name);
	fprintf(f, "</h1>\n<p class=\"soft\">%s, %d of %lld epochs, in ", r->finished ? "Finished" : "Training", r->history.rows, (long long)t->epochs);
	rt_page_text(f, t->run.path);
	fputs("</p>\n<div class=\"facts\">", f);
	const int last = r->history.rows - 1;
	if (t->has_best) {
		fact(f, t->val_stream ? "lowest val_loss" : "lowest loss", "%.4g", t->best);
		fact(f, "of epoch", NULL, (double)t->best_epoch);
	}
	if (rt_history_column(&r->history, "val_accuracy") >= 0)
		fact(f, "val_accuracy at the end", "%.4g", rt_history_at(&r->history, last, rt_history_column(&r->history, "val_accuracy")));
	fact(f, "seconds", "%.0f", rt_history_at(&r->history, last, rt_history_column(&r->history, "time_s")));
	fact(f, "samples to train on", NULL, (double)rt_dataset_count(t->train_data));
	if (t->val_data)
		fact(f, "to validate on", NULL, (double)rt_dataset_count(t->val_data));
	fputs("</div>\n", f);
}

static void print_findings(const Report *r)
{
	if (r->findings.n == 0)
		return;
	fputs("<h2>What to know</h2>\n<ul>", r->f);
	for (int i = 0; i < r->findings.n; i++) {
		fputs("<li>", r->f);
		rt_page_text(r->f, r->findings.text[i]);
		fputs("</li>\n", r->f);
	}
	fputs("</ul>\n", r->f);
}

/* ---- curves ---- */

static const double *column(const Report *r, int c, int slot)
{
	double *out = r->y + (size_t)slot * (size_t)(r->history.rows + 1);
	for (int i = 0; i < r->history.rows; i++)
		out[i] = rt_history_at(&r->history, i, c);
	return out;
}

/* A metric and its validation's form, by epoch. */
static void print_metric(const Report *r, const char *name)
{
	char val[100], title[100];
	snprintf(val, sizeof val, "val_%s", name);
	snprintf(title, sizeof title, "%s", name);
	const int a = rt_history_column(&r->history, name), b = rt_history_column(&r->history, val), n = r->history.rows;
	RtChart c = {.title = title, .x_name = "epoch", .y_name = title};
	if (a >= 0)
		c.line[c.n++] = (RtLine){"training", n, r->x, column(r, a, 0)};
	if (b >= 0)
		c.line[c.n++] = (RtLine){"validation", n, r->x, column(r, b, 1)};
	rt_page_chart(r->f, &c);
}

static void print_throughput(const Report *r)
{
	const int time = rt_history_column(&r->history, "time_s"), step = rt_history_column(&r->history, "step");
	double *y = r->y, before_t = 0, before_s = 0;
	for (int i = 0; i < r->history.rows; i++) {
		const double now = rt_history_at(&r->history, i, time), steps = rt_history_at(&r->history, i, step);
		y[i] = now > before_t ? (steps - before_s) * r->t->batch / (now - before_t) : NAN;
		before_t = now;
		before_s = steps;
	}
	RtChart c = {.title = "samples a second", .x_name = "epoch", .y_name = "with validation", .n = 1};
	c.line[0] = (RtLine){"with validation", r->history.rows, r->x, y};
	rt_page_chart(r->f, &c);
}

static void print_curves(const Report *r)
{
	if (r->history.rows < 2)
		return;
	fputs("<h2>Curves</h2>\n<div class=\"charts\">\n", r->f);
	for (uint32_t i = 0; i < r->t->model->nmetrics; i++)
		print_metric(r, r->t->model->metric[i].name);
	const int rate = rt_history_column(&r->history, "learning_rate");
	RtChart c = {.title = "learning rate", .x_name = "epoch", .y_name = "learning rate", .n = 1};
	c.line[0] = (RtLine){"at the end of the epoch", r->history.rows, r->x, column(r, rate, 0)};
	rt_page_chart(r->f, &c);
	print_throughput(r);
	fputs("</div>\n", r->f);
}

/* ---- classes ---- */

static long long counted(const RtAnswers *a, int truth, int answer)
{
	return a->counts[(long long)truth * a->classes + answer];
}

static void print_class_table(const Report *r)
{
	const RtAnswers *a = &r->answers;
	fputs("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th>class</th><th class=\"n\">precision</th><th class=\"n\">recall</th><th class=\"n\">F1</th>"
	      "<th class=\"n\">samples</th></tr></thead>\n", r->f);
	for (int k = 0; k < a->classes; k++) {
		double right = (double)counted(a, k, k), said = 0, is = 0;
		for (int i = 0; i < a->classes; i++) {
			said += (double)counted(a, i, k);
			is += (double)counted(a, k, i);
		}
		fputs("<tr>", r->f);
		rt_page_cell(r->f, class_name(r->t, k));
		rt_page_number(r->f, "%.3f", said > 0 ? right / said : NAN);
		rt_page_number(r->f, "%.3f", is > 0 ? right / is : NAN);
		rt_page_number(r->f, "%.3f", said + is > 0 ? 2 * right / (said + is) : NAN);
		rt_page_number(r->f, "%.0f", is);
		fputs("</tr>\n", r->f);
	}
	fputs("</table></div>\n", r->f);
}

/* Cells are tinted by their share of the row. */
static void print_matrix(const Report *r)
{
	const RtAnswers *a = &r->answers;
	fputs("<p class=\"soft\">Confusion: rows are what samples are, columns what was answered.</p>\n<div class=\"scroll\" tabindex=\"0\"><table class=\"matrix\"><tr><th></th>", r->f);
	for (int k = 0; k < a->classes; k++) {
		fputs("<th class=\"n\" scope=\"col\">", r->f);
		rt_page_text(r->f, class_name(r->t, k));
		fputs("</th>", r->f);
	}
	for (int i = 0; i < a->classes; i++) {
		double row = 0;
		for (int k = 0; k < a->classes; k++)
			row += (double)counted(a, i, k);
		fputs("</tr>\n<tr><th scope=\"row\">", r->f);
		rt_page_text(r->f, class_name(r->t, i));
		fputs("</th>", r->f);
		for (int k = 0; k < a->classes; k++)
			fprintf(r->f, "<td style=\"background:color-mix(in srgb,var(--%s) %.0f%%,transparent)\">%lld</td>", i == k ? "c2" : "c1",
			        row > 0 ? 45 * (double)counted(a, i, k) / row : 0, counted(a, i, k));
	}
	fputs("</tr></table></div>\n", r->f);
}

/* One class against the rest; of two classes, the second. */
static RtStatus print_rankings(const Report *r)
{
	const int first = r->answers.classes == 2, n = r->answers.classes < MOST_CURVES + first ? r->answers.classes : MOST_CURVES + first;
	char name[MOST_CURVES][120];
	RtCurve *curve = rt_sys.alloc(MOST_CURVES * sizeof *curve);
	RtChart roc = {.title = "ROC", .x_name = "false positive rate", .y_name = "true positive rate", .unit = true, .diagonal = true};
	RtChart pr = {.title = "Precision and recall", .x_name = "recall", .y_name = "precision", .unit = true};
	RtStatus s = curve ? RT_OK : rt_fail(RT_NOMEM, "out of memory for curves");
	for (int k = first; k < n && s == RT_OK; k++) {
		bool found;
		RtCurve *c = &curve[roc.n];
		s = rt_answers_curve(&r->answers, k, c, &found);
		if (!found)
			continue;
		snprintf(name[roc.n], sizeof name[0], "%.80s, area %.3f", class_name(r->t, k), c->auc);
		roc.line[roc.n] = (RtLine){name[roc.n], RT_CURVE, c->fpr, c->tpr};
		pr.line[pr.n] = (RtLine){class_name(r->t, k), RT_CURVE, c->tpr, c->precision};
		roc.n = ++pr.n;
	}
	if (s == RT_OK) {
		rt_page_chart(r->f, &roc);
		rt_page_chart(r->f, &pr);
	}
	rt_sys.release(curve);
	return s;
}

static void print_reliability(const Report *r)
{
	double x[2][RT_ECE_BINS], y[2][RT_ECE_BINS];
	const RtReliability *of[2] = {&r->answers.as_trained, &r->answers.calibrated};
	char name[2][80];
	for (int k = 0; k < 2; k++) {
		for (int b = 0; b < RT_ECE_BINS; b++) {
			const double n = (double)of[k]->samples[b];
			x[k][b] = n > 0 ? of[k]->confidence[b] / n : NAN;
			y[k][b] = n > 0 ? (double)of[k]->right[b] / n : NAN;
		}
		snprintf(name[k], sizeof name[k], "%s, expected error %.2f %%", k ? "calibrated" : "as trained", 100 * rt_reliability_ece(of[k]));
	}
	RtChart c = {.title = "Calibration", .x_name = "probability of the answer", .y_name = "share that is right", .n = 2, .unit = true, .diagonal = true};
	for (int k = 0; k < 2; k++)
		c.line[k] = (RtLine){name[k], RT_ECE_BINS, x[k], y[k]};
	rt_page_chart(r->f, &c);
}

static RtStatus print_classes(const Report *r)
{
	if (r->answers.samples == 0)
		return RT_OK;
	fprintf(r->f, "<h2>Answers</h2>\n<p class=\"soft\">Of %lld validation samples after epoch %d.</p>\n", (long long)r->answers.samples, r->history.rows);
	print_class_table(r);
	if (r->answers.classes <= MOST_CLASSES_SHOWN)
		print_matrix(r);
	fputs("<div class=\"charts\">\n", r->f);
	RtStatus s = print_rankings(r);
	print_reliability(r);
	fputs("</div>\n", r->f);
	return s;
}

/* ---- pictures ---- */

static void print_thumb(const Report *r, const RtThumb *t)
{
	size_t length;
	unsigned char *png = t->used ? rt_thumb_png(t, &length) : NULL;
	if (!png)
		return;
	fputs("<figure><img alt=\"\" src=\"data:image/png;base64,", r->f);
	rt_page_base64(r->f, png, length);
	rt_sys.release(png);
	fputs("\"><figcaption>", r->f);
	if (t->answer != t->truth) {
		rt_page_text(r->f, class_name(r->t, t->answer));
		fprintf(r->f, " %.0f %%, is ", 100 * t->probability);
	}
	rt_page_text(r->f, class_name(r->t, t->truth));
	fputs("</figcaption></figure>\n", r->f);
}

static void print_pictures(const Report *r)
{
	const RtGallery *g = &r->t->gallery;
	if (!g->room || r->answers.samples == 0)
		return;
	if (g->worst[0].used)
		fputs("<h2>The surest mistakes</h2>\n<div class=\"pictures\">\n", r->f);
	for (int i = 0; i < RT_WORST; i++)
		print_thumb(r, &g->worst[i]);
	fprintf(r->f, "%s<h2>One sample of each class</h2>\n<div class=\"pictures\">\n", g->worst[0].used ? "</div>\n" : "");
	for (int i = 0; i < RT_SAMPLES; i++)
		print_thumb(r, &g->sample[i]);
	fputs("</div>\n", r->f);
}

/* ---- model, environment ---- */

static void print_model(const Report *r)
{
	const RtModel *m = r->t->model;
	int64_t params = 0, flops = 0;
	fputs("<h2>Model</h2>\n<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th>layer</th><th>kind</th><th>output</th><th class=\"n\">parameters</th>"
	      "<th class=\"n\">FLOP a sample</th></tr></thead>\n", r->f);
	for (uint32_t i = 0; i < m->nlayers; i++) {
		const RtLayer *l = &m->layer[i];
		fputs("<tr>", r->f);
		rt_page_cell(r->f, l->name);
		rt_page_cell(r->f, l->kind);
		rt_page_cell(r->f, l->shape);
		fputs("<td class=\"n\">", r->f);
		rt_page_count(r->f, l->params);
		fputs("</td><td class=\"n\">", r->f);
		rt_page_count(r->f, l->flops);
		fputs("</td></tr>\n", r->f);
		params += l->params;
		flops += l->flops;
	}
	fputs("</table></div>\n<p>", r->f);
	rt_page_count(r->f, params);
	fputs(" parameters, ", r->f);
	rt_page_count(r->f, flops);
	fputs(" FLOP a sample. Memory: ", r->f);
	rt_page_count(r->f, (long long)(m->params_bytes + m->views_bytes));
	fputs(" bytes of parameters and optimizer state, ", r->f);
	rt_page_count(r->f, (long long)r->t->step_entry->slab_bytes);
	fputs(" of activations and gradients, ", r->f);
	rt_page_count(r->f, (long long)r->t->step_entry->scratch_bytes);
	fputs(" of scratch a thread.</p>\n", r->f);
}

static void print_hash(FILE *f, const char *name, const unsigned char hash[32])
{
	fprintf(f, "<tr><th>%s</th><td><code>", name);
	for (int i = 0; i < 32; i++)
		fprintf(f, "%02x", hash[i]);
	fputs("</code></td></tr>\n", f);
}

static void print_row(FILE *f, const char *name, const char *text)
{
	fprintf(f, "<tr><th>%s</th>", name);
	rt_page_cell(f, text);
	fputs("</tr>\n", f);
}

static void print_environment(const Report *r)
{
	const RtTrainer *t = r->t;
	char text[320], *yaml = NULL;
	struct utsname u;
	fputs("<h2>Environment</h2>\n<div class=\"scroll\" tabindex=\"0\"><table>\n<tr><th>command</th><td><code>", r->f);
	for (int i = 0; i < t->args.argc; i++) {
		rt_page_text(r->f, t->args.argv[i]);
		fputc(' ', r->f);
	}
	fputs("</code></td></tr>\n", r->f);
	snprintf(text, sizeof text, "cnnc " CNNC_VERSION ", code for %.60s, %d threads", t->model->target, rt_pool_threads(t->pool));
	print_row(r->f, "made by", text);
	if (uname(&u) == 0) {
		snprintf(text, sizeof text, "%.60s %.60s %.60s on %.60s", u.sysname, u.release, u.machine, u.nodename);
		print_row(r->f, "machine", text);
	}
	snprintf(text, sizeof text, "%llu", (unsigned long long)t->seed);
	print_row(r->f, "seed", text);
	const double joules = rt_train_joules(t);
	snprintf(text, sizeof text, isfinite(joules) ? "%.6f kWh" : "unknown", joules / 3.6e6);
	print_row(r->f, "energy", text);
	print_hash(r->f, "model", t->model->model_hash);
	print_hash(r->f, "data", t->files_hash);
	fputs("</table></div>\n", r->f);
	if (rt_config_yaml(&t->config, true, &yaml) == RT_OK) {
		fputs("<details><summary>The whole model file, as it was resolved</summary>\n<pre tabindex=\"0\">", r->f);
		rt_page_text(r->f, yaml);
		fputs("</pre></details>\n", r->f);
		rt_sys.release(yaml);
	}
}

/* ---- all ---- */

static void diagnose(Report *r)
{
	const RtTrainer *t = r->t;
	rt_diagnose_history(&r->history, &r->findings);
	if (t->stepping_ns > 0)
		rt_diagnose_waiting((double)t->waited_ns / (double)t->stepping_ns, rt_pool_threads(t->pool), &r->findings);
	if (r->answers.samples)
		rt_diagnose_classes(r->answers.counts, r->answers.classes, class_name, r->t, &r->findings);
	rt_train_find_dead(t, &r->findings);
}

static RtStatus open_report(Report *r, RtTrainer *t, bool finished)
{
	*r = (Report){.t = t, .finished = finished};
	RtStatus s = rt_history_new(&r->history, t->csv);
	if (s == RT_OK)
		s = rt_answers_new(&r->answers, &t->calibrator, t->calibration.temperature > 0 ? t->calibration.temperature : 1);
	r->x = rt_sys.alloc((size_t)(r->history.rows + 1) * 3 * sizeof *r->x);
	if (s == RT_OK && !r->x)
		s = rt_fail(RT_NOMEM, "out of memory for the report");
	for (int i = 0; s == RT_OK && i < r->history.rows; i++)
		r->x[i] = rt_history_at(&r->history, i, 0);
	r->y = r->x + r->history.rows + 1;
	if (s == RT_OK)
		diagnose(r);
	return s;
}

static RtStatus write_page(Report *r)
{
	char *text = NULL, path[RT_PATH_MAX];
	size_t length = 0;
	r->f = open_memstream(&text, &length);
	if (!r->f)
		return rt_fail(RT_NOMEM, "out of memory for the report");
	print_head(r);
	print_findings(r);
	print_curves(r);
	RtStatus s = print_classes(r);
	print_pictures(r);
	print_model(r);
	print_environment(r);
	fputs("</main>\n</html>\n", r->f);
	if (fclose(r->f) != 0)
		s = rt_fail(RT_NOMEM, "out of memory for the report");
	if (s == RT_OK && !rt_run_file(&r->t->run, "report.html", path))
		s = rt_fail(RT_IO, "the path is too long: %.200s", r->t->run.path);
	if (s == RT_OK)
		s = rt_write_file(path, text, length, 0666);
	free(text);
	return s;
}

RtStatus rt_train_report_open(RtTrainer *t)
{
	const RtEntry *e = rt_entry(t->model, "predict");
	const bool pictures = e && e->nin == 1 && e->in[0].dtype == RT_U8 && e->in[0].rank == 4;
	return pictures && t->calibrator.room ? rt_gallery_new(&t->gallery) : RT_OK;
}

void rt_train_see(RtTrainer *t, const RtBatch *b)
{
	const RtScores *s = &t->calibrator.scores;
	const RtPort *x = &rt_entry(t->model, "predict")->in[0], *y = &t->calibrator.y;
	double *p = t->gallery.room ? rt_sys.alloc(((size_t)s->classes + 1) * sizeof *p) : NULL;
	for (int32_t i = 0; p && i < b->n; i++) {
		int best = 0;
		rt_scores_probabilities(s, (const float *)(const void *)t->in.out[0] + (int64_t)i * s->outputs, p);
		for (int k = 1; k < s->classes; k++)
			best = p[k] > p[best] ? k : best;
		rt_gallery_add(&t->gallery, x, b->x + (size_t)i * x->row_bytes, rt_scores_truth(y, b->y + (size_t)i * y->row_bytes, s->classes), best, p[best]);
	}
	rt_sys.release(p);
}

static RtStatus write_board(RtTrainer *t, const RtHistory *h)
{
	if (!t->board.made_ns)
		rt_board_open(&t->board, t->run.path, rt_sys.realtime_ns());
	return rt_train_warned(t, rt_board_write(&t->board, h, rt_sys.realtime_ns(), rt_train_seconds(t)));
}

void rt_train_say_findings(const RtTrainer *t)
{
	for (int i = 0; i < t->findings.n; i++)
		fprintf(t->out, "note: %s\n", t->findings.text[i]);
}

/* After short epochs the page of the one before still stands; a finished run that is resumed has nothing to add to its page. */
static bool is_due(const RtTrainer *t, bool finished)
{
	return finished ? t->stepping_ns > 0 : !t->reported || rt_sys.monotonic_ns() - t->reported >= LEAST_NS;
}

RtStatus rt_train_report(RtTrainer *t, bool finished)
{
	Report r;
	if (!is_due(t, finished))
		return RT_OK;
	RtStatus s = open_report(&r, t, finished);
	if (s == RT_OK)
		s = write_page(&r);
	if (s == RT_OK)
		s = write_board(t, &r.history);
	if (s == RT_OK && finished)
		s = rt_train_card(t, &r.history, &r.answers, &r.findings);
	t->findings = r.findings;
	t->reported = rt_sys.monotonic_ns();
	rt_history_free(&r.history);
	rt_answers_free(&r.answers);
	rt_sys.release(r.x);
	return rt_train_warned(t, s);
}

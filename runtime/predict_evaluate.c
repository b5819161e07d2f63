/* predict_evaluate.c -- evaluate [DIR]: loss and metrics of the model, and where it errs
 *
 * Without DIR the files of data.test, else data.validation. Classes are those the weights were trained on, whatever the
 * folder holds; precision, recall and F1 come from the confusion matrix (0 / 0 is 0).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/calibrate.h"
#include "runtime/data_spec.h"
#include "runtime/energy.h"
#include "runtime/metrics.h"
#include "runtime/predict_heads.h"
#include "runtime/sys.h"

enum { AHEAD = 4, WIDEST = 40 };

typedef struct Evaluation {
	RtDataset *data;
	RtStream *stream;
	RtMetrics metrics;
	int classes;
	int64_t *confusion; /* [true class][predicted class] */
	double *answers;    /* tp fp fn tn of each class, where a sample has any number of them; NULL: it has one */
	RtHeads heads;
	double *room;
	RtReliability reliability;
	RtEnergy *energy; /* while it counts */
	double kwh;       /* for 1,000 samples; NaN: unknown */
} Evaluation;

/* ---- counting ---- */

/* A sample with any number of classes. */
static void count_answers(const RtPredictor *p, Evaluation *v, const float *truth, const float *scores)
{
	rt_head_probabilities(&v->heads.head[0], scores, v->room);
	for (int c = 0; c < v->classes; c++) {
		bool yes = v->room[c] > p->threshold, is = truth[c] > 0.5f;
		v->answers[4 * c + (yes ? is ? 0 : 1 : is ? 2 : 3)]++;
	}
}

static void count_class(const RtPredictor *p, Evaluation *v, const RtPort *y, const unsigned char *truth, const float *scores)
{
	RtAnswer a = {.probabilities = v->room};
	int class = rt_scores_truth(y, truth, v->classes);
	rt_predict_answer(p, scores, &a);
	if (class < 0)
		return;
	v->confusion[class * v->classes + a.best]++;
	rt_reliability_add(&v->reliability, a.probability, a.best == class);
}

static RtStatus count(RtPredictor *p, Evaluation *v, const RtEntry *e)
{
	int ypos = rt_port_find(e->in, e->nin, "y");
	for (;;) {
		unsigned char *ports[RT_MAX_PORTS];
		RtBatch b;
		RtStatus s = rt_stream_next(v->stream, &b);
		if (s != RT_OK || b.n == 0)
			return s;
		rt_stream_ports(v->stream, &b, e, ports);
		rt_scalars_set(&p->in.scalars, p->model, (uint32_t)b.n, 0);
		if (!rt_instance_run(&p->in, e, ports, NULL))
			return p->in.fault;
		rt_energy_update(v->energy, false);
		rt_metrics_add(&v->metrics, p->in.metric, (uint32_t)b.n);
		rt_predict_temper(p, p->in.out[0], b.n);
		for (int32_t row = 0; row < b.n && v->classes && ypos >= 0; row++) {
			const unsigned char *truth = b.y + (size_t)row * e->in[ypos].row_bytes;
			const float *scores = (const float *)(const void *)p->in.out[0] + row * rt_predict_outputs(p);
			if (v->answers)
				count_answers(p, v, (const float *)(const void *)truth, scores);
			else
				count_class(p, v, &e->in[ypos], truth, scores);
		}
	}
}

/* tp fp fn tn of class c. */
static void sums_of(const Evaluation *v, int c, double s[4])
{
	if (v->answers) {
		memcpy(s, v->answers + 4 * c, 4 * sizeof *s);
		return;
	}
	double row = 0, column = 0, all = 0, hit = (double)v->confusion[c * v->classes + c];
	for (int i = 0; i < v->classes; i++) {
		row += (double)v->confusion[c * v->classes + i];
		column += (double)v->confusion[i * v->classes + c];
	}
	for (int i = 0; i < v->classes * v->classes; i++)
		all += (double)v->confusion[i];
	s[0] = hit;
	s[1] = column - hit;
	s[2] = row - hit;
	s[3] = all - row - column + hit;
}

typedef struct Scores {
	double precision, recall, f1;
} Scores;

static Scores scores_of(const double s[4])
{
	return (Scores){rt_precision(s), rt_recall(s), rt_f1(s)};
}

/* macro: mean of the classes' scores; micro: scores of all decisions together. */
static void averages(const Evaluation *v, Scores *macro, Scores *micro)
{
	double all[4] = {0};
	*macro = (Scores){0};
	for (int c = 0; c < v->classes; c++) {
		double s[4];
		sums_of(v, c, s);
		Scores one = scores_of(s);
		macro->precision += one.precision / v->classes;
		macro->recall += one.recall / v->classes;
		macro->f1 += one.f1 / v->classes;
		for (int i = 0; i < 4; i++)
			all[i] += s[i];
	}
	*micro = scores_of(all);
}

/* ---- printing ---- */

static json_t *scores_json(Scores s)
{
	return json_pack("{s:f, s:f, s:f}", "precision", s.precision, "recall", s.recall, "f1", s.f1);
}

/* Intersection over union by class, of masks: the sums of the first such metric; NULL: there is none. */
static const double *iou_sums(const RtPredictor *p, const Evaluation *v, int *classes)
{
	for (uint32_t i = 0; i < p->model->nmetrics; i++) {
		const RtMetric *m = &p->model->metric[i];
		*classes = (int)m->count / 4;
		if (m->kind == RT_IOU)
			return v->metrics.sum + m->offset;
	}
	return NULL;
}

static void add_iou(const RtPredictor *p, const Evaluation *v, json_t *root)
{
	int classes;
	char room[24];
	const double *sum = iou_sums(p, v, &classes);
	json_t *all = sum ? json_object() : NULL;
	for (int c = 0; sum && c < classes; c++)
		json_object_set_new(all, rt_predict_label(p, c, room), rt_json_number(rt_iou(sum + 4 * c)));
	if (sum)
		json_object_set_new(root, "iou", all);
}

static void print_json(const RtPredictor *p, const Evaluation *v)
{
	json_t *root = json_pack("{s:I, s:I}", "samples", (json_int_t)v->metrics.samples, "unreadable",
				 (json_int_t)rt_dataset_bad(v->data));
	json_object_set_new(root, "energy_kwh_per_1000", isfinite(v->kwh) ? json_real(v->kwh) : json_string("unknown"));
	for (uint32_t i = 0; i < p->model->nmetrics; i++)
		json_object_set_new(root, p->model->metric[i].name, rt_json_number(rt_metrics_value(&v->metrics, i)));
	if (v->classes) {
		json_t *classes = json_array(), *matrix = json_array();
		if (!v->answers)
			json_object_set_new(root, "ece", rt_json_number(rt_reliability_ece(&v->reliability)));
		json_object_set_new(root, "temperature", rt_json_number(p->scores.temperature));
		Scores macro, micro;
		averages(v, &macro, &micro);
		for (int c = 0; c < v->classes; c++) {
			double s[4];
			char room[24];
			sums_of(v, c, s);
			json_t *one = scores_json(scores_of(s)), *row = json_array();
			json_object_set_new(one, "label", json_string(rt_predict_label(p, c, room)));
			json_object_set_new(one, "samples", json_integer((json_int_t)(s[0] + s[2])));
			json_array_append_new(classes, one);
			for (int k = 0; k < v->classes && !v->answers; k++)
				json_array_append_new(row, json_integer(v->confusion[c * v->classes + k]));
			json_array_append_new(matrix, row);
		}
		json_object_set_new(root, "classes", classes);
		json_object_set_new(root, "macro", scores_json(macro));
		json_object_set_new(root, "micro", scores_json(micro));
		if (v->answers)
			json_decref(matrix);
		else
			json_object_set_new(root, "confusion_matrix", matrix);
	}
	add_iou(p, v, root);
	json_dumpf(root, p->out, JSON_COMPACT | JSON_REAL_PRECISION(9));
	fputs("\n", p->out);
	json_decref(root);
}

static int label_width(const RtPredictor *p, const Evaluation *v)
{
	int width = (int)strlen("macro average");
	for (int c = 0; c < v->classes; c++) {
		char room[24];
		int n = (int)strlen(rt_predict_label(p, c, room));
		width = n > width ? n : width;
	}
	return width < WIDEST ? width : WIDEST;
}

static void print_scores(FILE *f, int width, const char *name, Scores s)
{
	fprintf(f, "%-*.*s  %9.4f  %9.4f  %9.4f", width, WIDEST, name, s.precision, s.recall, s.f1);
}

static void print_matrix(const RtPredictor *p, const Evaluation *v, int width)
{
	char room[24];
	fprintf(p->out,
		"\nconfusion matrix: a row for each true class, a column for each predicted one, in the same order\n");
	for (int c = 0; c < v->classes; c++) {
		fprintf(p->out, "%-*.*s", width, WIDEST, rt_predict_label(p, c, room));
		for (int k = 0; k < v->classes; k++)
			fprintf(p->out, "  %7lld", (long long)v->confusion[c * v->classes + k]);
		fputs("\n", p->out);
	}
}

static void print_iou(const RtPredictor *p, const Evaluation *v, int width)
{
	int classes;
	char room[24];
	const double *sum = iou_sums(p, v, &classes);
	if (sum)
		fprintf(p->out, "\n%-*s  %9s\n", width, "class", "iou");
	for (int c = 0; sum && c < classes; c++)
		fprintf(p->out, "%-*.*s  %9.4f\n", width, WIDEST, rt_predict_label(p, c, room), rt_iou(sum + 4 * c));
}

static void print_text(const RtPredictor *p, const Evaluation *v)
{
	int width = label_width(p, v);
	for (uint32_t i = 0; i < p->model->nmetrics; i++)
		fprintf(p->out, "%-*s  %.4f\n", width, p->model->metric[i].name, rt_metrics_value(&v->metrics, i));
	fprintf(p->out, "%-*s  %lld\n", width, "samples", (long long)v->metrics.samples);
	fprintf(p->out, isfinite(v->kwh) ? "%-*s  %.4g\n" : "%-*s  unknown\n", width, "kWh / 1,000", v->kwh);
	print_iou(p, v, width);
	if (v->classes == 0)
		return;
	if (!v->answers)
		fprintf(p->out, "%-*s  %.4f\n", width, "ece", rt_reliability_ece(&v->reliability));
	Scores macro, micro;
	averages(v, &macro, &micro);
	fprintf(p->out, "\n%-*s  %9s  %9s  %9s  %7s\n", width, "class", "precision", "recall", "f1", "samples");
	for (int c = 0; c < v->classes; c++) {
		double s[4];
		char room[24];
		sums_of(v, c, s);
		print_scores(p->out, width, rt_predict_label(p, c, room), scores_of(s));
		fprintf(p->out, "  %7.0f\n", s[0] + s[2]);
	}
	print_scores(p->out, width, "macro average", macro);
	fputs("\n", p->out);
	print_scores(p->out, width, "micro average", micro);
	fputs("\n", p->out);
	if (!v->answers)
		print_matrix(p, v, width);
}

/* ---- all ---- */

/* The weights' class names decide which folder is which class. */
static RtStatus open_data(RtPredictor *p, const RtEntry *e, RtDataset **out)
{
	size_t n = json_array_size(p->labels);
	const char *split = rt_data_has_split(&p->config, "test") ? "test" : "validation";
	if (p->nargs == 0 && !rt_data_has_split(&p->config, split))
		return rt_fail(RT_USAGE, "no data is named: give a folder, or set data.test");
	char **names = rt_sys.alloc((n + 1) * sizeof *names);
	if (!names)
		return rt_fail(RT_NOMEM, "out of memory for %zu class names", n);
	for (size_t i = 0; i < n; i++)
		names[i] = (char *)(uintptr_t)json_string_value(json_array_get(p->labels, i)); /* only read */
	RtStatus s = rt_data_open_named(&p->config, e, split, p->nargs ? p->arg[0] : NULL, names, (int)n, out);
	rt_sys.release(names);
	return s;
}

static RtStatus open_all(RtPredictor *p, const RtEntry *e, Evaluation *v)
{
	static const char *const entries[] = {"evaluate"};
	RtStatus s = rt_predict_open(p, entries, 1, p->threads);
	if (s == RT_OK)
		s = open_data(p, e, &v->data);
	if (s == RT_OK)
		s = rt_metrics_new(&v->metrics, p->model);
	RtStreamSpec spec = {.batch = (int32_t)p->model->max_n, .ahead = AHEAD};
	if (s == RT_OK) {
		spec.workers = rt_data_workers(&p->config, rt_pool_threads(p->pool));
		s = rt_stream_new(v->data, &spec, &v->stream);
	}
	if (s != RT_OK)
		return s;
	v->classes = rt_port_find(e->in, e->nin, "y") < 0 ? 0 : rt_predict_classes(p); /* of several targets none is the classes */
	v->confusion = rt_sys.alloc(((size_t)v->classes * (size_t)v->classes + 1) * sizeof *v->confusion);
	v->room = rt_sys.alloc(((size_t)v->classes + 1) * sizeof *v->room);
	s = rt_heads_open(p, e, &v->heads);
	bool many = s == RT_OK && v->classes && v->heads.head[0].kind == RT_HEAD_LABELS;
	v->answers = many ? rt_sys.alloc((size_t)v->classes * 4 * sizeof *v->answers) : NULL;
	if (s != RT_OK || (many && !v->answers))
		return s != RT_OK ? s : rt_fail(RT_NOMEM, "out of memory for %d classes", v->classes);
	return v->confusion && v->room ? RT_OK : rt_fail(RT_NOMEM, "out of memory for %d classes", v->classes);
}

static RtStatus count_measured(RtPredictor *p, Evaluation *v, const RtEntry *e)
{
	char gpu[32];
	RtEnergy energy;
	rt_energy_open(&energy, RT_POWERCAP, rt_instance_gpu(&p->in, gpu) ? gpu : NULL);
	v->energy = &energy;
	RtStatus s = count(p, v, e);
	rt_energy_update(&energy, true);
	v->kwh = v->metrics.samples > 0 ? rt_energy_kwh(rt_energy_joules(&energy)) * 1000 / (double)v->metrics.samples : NAN;
	rt_energy_close(&energy);
	return s;
}

RtStatus rt_predict_evaluate(RtPredictor *p)
{
	Evaluation v = {0};
	const RtEntry *e = rt_entry(p->model, "evaluate");
	if (!e)
		return rt_fail(RT_USAGE,
			       "this model was compiled without a train section, so it has no loss to evaluate");
	if (p->nargs > 1)
		return rt_fail(RT_USAGE, "evaluate takes one folder");
	RtStatus s = open_all(p, e, &v);
	if (s == RT_OK)
		s = count_measured(p, &v, e);
	if (s == RT_OK) {
		if (p->json)
			print_json(p, &v);
		else
			print_text(p, &v);
	}
	if (s == RT_OK && rt_dataset_bad(v.data)) {
		rt_dataset_print_bad(v.data, p->err, 20);
		s = rt_fail(RT_BAD_DATA, "%lld samples can't be read", (long long)rt_dataset_bad(v.data));
	}
	rt_stream_free(v.stream);
	rt_dataset_free(v.data);
	rt_metrics_free(&v.metrics);
	rt_sys.release(v.confusion);
	rt_sys.release(v.answers);
	rt_heads_close(&v.heads);
	rt_sys.release(v.room);
	return s;
}

/* predict_command.c -- NAME PATH… | evaluate [DIR] | run --input X --output Y | info; weights, labels and answers */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/cpu.h"
#include "runtime/durable.h"
#include "runtime/predict.h"
#include "runtime/sys.h"
#include "runtime/weights.h"

/* ---- the command line ---- */

static void print_help(const RtPredictor *p)
{
	fprintf(p->out,
		"usage: %s [OPTION …] PATH…              label and probability of pictures; folders with all below "
		"them\n"
		"       %s evaluate [DIR] [KEY=VALUE …]  loss, accuracy and errors by class on CLASS/picture files\n"
		"       %s run --input X.npy --output Y.npy   the network alone, on arrays (several inputs: --input NAME=X.npy each)\n"
		"       %s explain PICTURE -o HEAT.png [--class NAME] [--method M]   what the answer rests on\n"
		"       %s info [--config]               layers, sizes, memory; the resolved model file\n%s\n"
		"  --json            one object a line\n"
		"  --csv             a table: path, label, probabilities\n"
		"  -o FILE           masks: write them there as PNG; a folder for several pictures\n"
		"  --top-k N         the N most likely classes\n"
		"  --threshold X     two classes: probability above which the second one wins\n"
		"  --raw             probabilities as the network gives them, not calibrated\n"
		"  --weights FILE    these weights (safetensors) instead of those inside\n"
		"  --threads N       threads\n"
		"  --version  --help\n",
		p->program, p->program, p->program, p->program, p->program,
		p->serve ? "       serve [--help]                   answers over HTTP\n" : "");
}

static RtStatus take_count(const char *option_name, const char *value, int64_t most, int64_t *out)
{
	if (rt_parse_int(value, out) && *out >= 1 && *out <= most)
		return RT_OK;
	return rt_fail(RT_USAGE, "%s is a number from 1 to %lld, not '%s'", option_name, (long long)most, value);
}

static RtStatus take_flag(RtPredictor *p, const char *arg)
{
	if (strcmp(arg, "--json") == 0)
		p->json = true;
	else if (strcmp(arg, "--csv") == 0)
		p->csv = true;
	else if (strcmp(arg, "--config") == 0)
		p->show_config = true;
	else if (strcmp(arg, "--raw") == 0)
		p->raw = true;
	else if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
		p->help = true;
	else if (strcmp(arg, "--version") == 0)
		p->version = true;
	else
		return rt_fail(RT_USAGE, "there is no option '%s'; --help lists them", arg);
	return RT_OK;
}

static RtStatus take_threads(RtPredictor *p, const char *value)
{
	int64_t n;
	RtStatus s = take_count("threads", value, RT_MAX_THREADS, &n);
	p->threads = s == RT_OK ? (int)n : 0;
	return s;
}

static RtStatus take_option(RtPredictor *p, int argc, char **argv, int *i)
{
	const char *value;
	if ((value = rt_option(argc, argv, i, "--weights")) != NULL)
		p->weights = value;
	else if ((value = rt_option(argc, argv, i, "--input")) != NULL && p->ninputs < RT_MAX_PORTS)
		p->input[p->ninputs++] = value;
	else if ((value = rt_option(argc, argv, i, "--output")) != NULL || (value = rt_option(argc, argv, i, "-o")) != NULL)
		p->output = value;
	else if ((value = rt_option(argc, argv, i, "--class")) != NULL)
		p->class_name = value;
	else if ((value = rt_option(argc, argv, i, "--method")) != NULL)
		p->method = value;
	else if ((value = rt_option(argc, argv, i, "--device")) != NULL)
		return rt_device_known(p->model, p->device = value);
	else if ((value = rt_option(argc, argv, i, "--top-k")) != NULL)
		return take_count("--top-k", value, INT32_MAX, &p->top_k);
	else if ((value = rt_option(argc, argv, i, "--threads")) != NULL)
		return take_threads(p, value);
	else if ((value = rt_option(argc, argv, i, "--threshold")) != NULL) {
		if (!rt_parse_float(value, &p->threshold) || p->threshold < 0 || p->threshold > 1)
			return rt_fail(RT_USAGE, "--threshold is a number from 0 to 1, not '%s'", value);
	} else
		return take_flag(p, argv[*i]);
	return RT_OK;
}

static bool is_command(const char *arg)
{
	return strcmp(arg, "evaluate") == 0 || strcmp(arg, "run") == 0 || strcmp(arg, "info") == 0 ||
	       strcmp(arg, "explain") == 0;
}

static RtStatus parse(RtPredictor *p, int argc, char **argv)
{
	p->arg = rt_sys.alloc(((size_t)argc + 1) * sizeof *p->arg);
	if (!p->arg)
		return rt_fail(RT_NOMEM, "out of memory for %d arguments", argc);
	bool only_paths = false;
	for (int i = 1; i < argc; i++) {
		RtStatus s = RT_OK;
		if (!only_paths && strcmp(argv[i], "--") == 0)
			only_paths = true;
		else if (!only_paths && argv[i][0] == '-' && argv[i][1])
			s = take_option(p, argc, argv, &i);
		else if (!only_paths && !p->command && p->nargs == 0 && is_command(argv[i]))
			p->command = argv[i];
		else if (!only_paths && strncmp(argv[i], "threads=", 8) == 0)
			s = take_threads(p, argv[i] + 8);
		else if (!only_paths && p->command && strchr(argv[i], '='))
			s = rt_config_set_pair(&p->config, argv[i]);
		else
			p->arg[p->nargs++] = argv[i];
		if (s != RT_OK)
			return s;
	}
	if (!p->command)
		p->command = "predict";
	return RT_OK;
}

/* ---- weights and labels ---- */

static json_t *labels_of_model(const RtModel *m)
{
	json_t *labels = m->nlabels ? json_array() : NULL;
	for (uint32_t i = 0; i < m->nlabels; i++)
		json_array_append_new(labels, json_string(m->labels[i]));
	return labels;
}

/* What the trainer has fitted on its validation data (calibrate.h); 1: nothing. */
static double temperature_of_weights(const RtPredictor *p, const RtSafetensors *st)
{
	const char *text = rt_st_meta(st, "temperature");
	double t;
	bool wanted = !p->raw && rt_config_bool(&p->config, "predict.calibrate", true);
	return wanted && text && rt_parse_float(text, &t) && t > 0 ? t : 1;
}

static json_t *labels_of_weights(const RtSafetensors *st)
{
	const char *text = rt_st_meta(st, "labels");
	json_t *labels = text ? json_loads(text, 0, NULL) : NULL;
	bool good = json_is_array(labels);
	for (size_t i = 0; good && i < json_array_size(labels); i++)
		good = json_is_string(json_array_get(labels, i));
	if (!good) {
		json_decref(labels);
		labels = NULL;
	}
	return labels;
}

/* Gives the bytes of the weights; they live in *file or *bundle. */
static RtStatus find_weights(const RtPredictor *p, unsigned char **file, RtBundle *bundle, const unsigned char **bytes,
			     size_t *length)
{
	*file = NULL;
	*bytes = NULL;
	*bundle = (RtBundle){0};
	if (p->weights) {
		RtStatus s = rt_read_file(p->weights, RT_BAD_WEIGHTS, file, length);
		*bytes = *file;
		return s;
	}
	RtStatus s = rt_bundle_open("/proc/self/exe", bundle);
	*bytes = bundle->weights;
	*length = bundle->length;
	if (s == RT_OK && !*bytes)
		return rt_fail(RT_BAD_WEIGHTS,
			       "this predictor holds no weights yet: run %s-train, or give --weights FILE", p->program);
	return s;
}

static RtStatus use_weights(RtPredictor *p, bool tensors)
{
	unsigned char *file;
	const unsigned char *bytes;
	size_t length = 0;
	RtBundle bundle;
	RtSafetensors st;
	int loaded;
	const char *name = p->weights ? p->weights : p->program;
	RtStatus s = find_weights(p, &file, &bundle, &bytes, &length);
	if (s == RT_OK) {
		s = rt_st_parse(bytes, length, &st);
		if (s == RT_BAD_WEIGHTS)
			rt_fail(s, "%s: %s", name, rt_message());
	}
	if (s == RT_OK) {
		if (tensors)
			s = rt_weights_load(&p->in, &st, name, false, &loaded);
		json_t *labels = labels_of_weights(&st);
		p->scores.temperature = temperature_of_weights(p, &st);
		if (labels && !p->labels)
			p->labels = labels;
		else
			json_decref(labels);
		rt_st_free(&st);
	}
	rt_bundle_close(&bundle);
	rt_sys.release(file);
	return s;
}

void rt_predict_labels(RtPredictor *p)
{
	if (!p->labels)
		p->labels = labels_of_model(p->model);
	if (!p->labels)
		(void)use_weights(p, false); /* no weights, no names: classes are shown by number */
}

RtStatus rt_predict_open(RtPredictor *p, const char *const *entries, int n, int threads)
{
	p->labels = labels_of_model(p->model);
	RtStatus s = rt_pool_new(threads, 0, &p->pool);
	if (s == RT_OK)
		s = rt_instance_open(&p->in, p->model, p->pool, entries, n);
	if (s == RT_OK)
		s = rt_instance_device(&p->in, p->device, true, entries, n, p->err);
	if (s == RT_OK)
		s = use_weights(p, true);
	double temperature = p->scores.temperature;
	p->scores = rt_scores_of(p->model, &p->config, (int)json_array_size(p->labels));
	p->scores.temperature = temperature;
	return s;
}

/* ---- answers ---- */

int rt_predict_classes(const RtPredictor *p)
{
	return p->scores.classes;
}

const char *rt_predict_label(const RtPredictor *p, int i, char room[24])
{
	const char *label = json_string_value(json_array_get(p->labels, (size_t)i));
	if (label)
		return label;
	snprintf(room, 24, "%d", i);
	return room;
}

json_t *rt_json_number(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

int64_t rt_predict_outputs(const RtPredictor *p)
{
	return p->scores.outputs;
}

void rt_predict_temper(const RtPredictor *p, unsigned char *out, int64_t rows)
{
	rt_scores_temper(&p->scores, (float *)(void *)out, rows);
}

void rt_predict_answer(const RtPredictor *p, const float *out, RtAnswer *a)
{
	rt_scores_probabilities(&p->scores, out, a->probabilities);
	a->best = p->scores.outputs == 1 && a->probabilities[1] > p->threshold;
	for (int i = 1; i < p->scores.classes && p->scores.outputs > 1; i++)
		a->best = a->probabilities[i] > a->probabilities[a->best] ? i : a->best;
	a->probability = a->probabilities[a->best];
}

/* ---- all ---- */

static RtStatus dispatch(RtPredictor *p, int argc, char **argv)
{
	RtStatus s = rt_config_new(&p->config, p->model);
	if (s != RT_OK)
		return s;
	p->top_k = rt_config_int(&p->config, "predict.top_k", 1);
	p->threshold = rt_config_float(&p->config, "predict.threshold", 0.5);
	const char *form = rt_config_text(&p->config, "predict.output", "text");
	p->json = strcmp(form, "json") == 0;
	p->csv = strcmp(form, "csv") == 0;
	if (argc > 1 && strcmp(argv[1], "serve") == 0)
		return p->serve ? p->serve(p, argc - 1, argv + 1)
				: rt_fail(RT_USAGE, "this predictor was made without a server: give the model file a "
						    "section `serve: {}`");
	s = parse(p, argc, argv);
	if (s != RT_OK)
		return s;
	if (p->help) {
		print_help(p);
		return RT_OK;
	}
	if (p->version) {
		fprintf(p->out, "%s, made by cnnc " CNNC_VERSION " for ", p->model->name);
		rt_cpu_print(p->model, p->out);
		fputc('\n', p->out);
		return RT_OK;
	}
	if (strcmp(p->command, "info") == 0)
		return rt_predict_info(p);
	s = rt_cpu_check(p->model);
	if (s != RT_OK)
		return s;
	if (strcmp(p->command, "evaluate") == 0)
		return rt_predict_evaluate(p);
	if (strcmp(p->command, "explain") == 0)
		return rt_predict_explain(p);
	return strcmp(p->command, "run") == 0 ? rt_predict_array(p) : rt_predict_paths(p);
}

int rt_predict_main(const RtModel *model, int argc, char **argv)
{
	return rt_predict_main_with(model, NULL, argc, argv);
}

int rt_predict_main_with(const RtModel *model, RtCommandFn *serve, int argc, char **argv)
{
	RtPredictor p = {.model = model, .out = stdout, .err = stderr, .serve = serve, .device = "auto"};
	p.program = argc > 0 ? argv[0] : model->name;
	RtStatus s = dispatch(&p, argc, argv);
	if (s != RT_OK)
		rt_print_failure(s);
	if (p.in.model)
		rt_instance_close(&p.in);
	rt_pool_free(p.pool);
	json_decref(p.labels);
	rt_sys.release(p.arg);
	rt_config_free(&p.config);
	if ((fflush(stdout) != 0 || ferror(stdout)) && s == RT_OK) {
		fputs("error: cannot write to standard output\n", stderr);
		s = RT_IO;
	}
	return (int)s;
}

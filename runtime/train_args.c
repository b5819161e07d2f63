/* train_args.c -- NAME-train [KEY=VALUE …] [--resume] [--profile] [--dry-run] [--device=…] [--threads N] [--bundle RUN] */
#include <string.h>
#include "runtime/train.h"

void rt_train_help(const RtTrainer *t)
{
	fprintf(t->out,
		"usage: %s [KEY=VALUE …] [OPTION …]\n\n"
		"Trains %s. Results go to runs/%s/N; at the end the weights are put into the predictor.\n\n"
		"  --resume           go on from the last checkpoint, if there is one (resume=must: it has to be "
		"there)\n"
		"  --threads N        the same as threads=N\n"
		"  --device=auto|cpu|cuda:N   where to compute; auto: on a GPU if there is one that this program has code "
		"for\n"
		"  --no-graph         on a GPU: launch kernels one by one\n"
		"  --profile          time every kernel: a table at the end, and profile.json for chrome://tracing\n"
		"  --dry-run          one batch: memory, time of a step and of an epoch; no file is written\n"
		"  --bundle RUN       put the weights of that run folder into the predictor, and do nothing else\n"
		"  --version  --help\n\n"
		"Fields (the last part of a name is enough where it is unique: epochs=5):\n",
		t->args.program, t->model->name, t->model->name);
	rt_config_help(&t->config, t->out);
}

static RtStatus take_flag(RtTrainer *t, const char *arg)
{
	if (strcmp(arg, "--resume") == 0)
		return rt_config_set(&t->config, "train.resume", "auto");
	if (strcmp(arg, "--profile") == 0)
		t->args.profile = true;
	else if (strcmp(arg, "--dry-run") == 0)
		t->args.dry_run = true;
	else if (strcmp(arg, "--no-graph") == 0)
		t->args.no_graph = true;
	else if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
		t->args.help = true;
	else if (strcmp(arg, "--version") == 0)
		t->args.version = true;
	else
		return rt_fail(RT_USAGE, "there is no option '%s'; --help lists them", arg);
	return RT_OK;
}

RtStatus rt_train_args(RtTrainer *t, int argc, char **argv)
{
	t->args.argc = argc;
	t->args.argv = argv;
	t->args.program = argc > 0 ? argv[0] : "train";
	t->args.device = "auto";
	for (int i = 1; i < argc; i++) {
		const char *value;
		RtStatus s = RT_OK;
		if ((value = rt_option(argc, argv, &i, "--threads")) != NULL)
			s = rt_config_set(&t->config, "train.threads", value);
		else if ((value = rt_option(argc, argv, &i, "--device")) != NULL)
			s = rt_device_known(t->model, t->args.device = value);
		else if ((value = rt_option(argc, argv, &i, "--bundle")) != NULL)
			t->args.bundle = value;
		else if (argv[i][0] == '-')
			s = take_flag(t, argv[i]);
		else
			s = rt_config_set_pair(&t->config, argv[i]);
		if (s != RT_OK)
			return s;
	}
	return RT_OK;
}

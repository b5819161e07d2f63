/* serve_main.c -- main of a predictor that serves; the model is linked in, once a level of instructions */
#include "runtime/cpu.h"
#include "runtime/serve.h"

int main(int argc, char **argv)
{
	const RtModel *model;
	RtStatus s = rt_cpu_choose(cnnc_models, &model);
	if (s == RT_OK)
		return rt_predict_main_with(model, rt_serve, argc, argv);
	rt_print_failure(s);
	return (int)s;
}

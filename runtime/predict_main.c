/* predict_main.c -- main of the predictor; the model is linked in, once a level of instructions */
#include "runtime/cpu.h"
#include "runtime/predict.h"

int main(int argc, char **argv)
{
	const RtModel *model;
	RtStatus s = rt_cpu_choose(cnnc_models, &model);
	if (s == RT_OK)
		return rt_predict_main(model, argc, argv);
	rt_print_failure(s);
	return (int)s;
}

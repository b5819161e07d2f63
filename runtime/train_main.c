/* train_main.c -- main of NAME-train; the model is linked in, once a level of instructions */
#include "runtime/cpu.h"
#include "runtime/train.h"

int main(int argc, char **argv)
{
	const RtModel *model;
	RtStatus s = rt_cpu_choose(cnnc_models, &model);
	if (s == RT_OK)
		return rt_train_main(model, argc, argv);
	rt_print_failure(s);
	return (int)s;
}

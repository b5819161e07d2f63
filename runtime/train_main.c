/* train_main.c -- main of NAME-train; the model is linked in as `cnnc_model` */
#include "runtime/train.h"

int main(int argc, char **argv)
{
	return rt_train_main(&cnnc_model, argc, argv);
}

/* predict_main.c -- main of the predictor; the model is linked in as `cnnc_model` */
#include "runtime/predict.h"

int main(int argc, char **argv)
{
	return rt_predict_main(&cnnc_model, argc, argv);
}

/* device.c -- where a model runs: on a GPU that the program has code for, else on the CPU; and says which */
#include <stdlib.h>
#include <string.h>
#include "runtime/call.h"
#include "runtime/cuda_call.h"

/* cuda is cuda:0's longer name for any of them; -1: any, -2: no such device. */
static int device_number(const char *device)
{
	char *end;
	if (strcmp(device, "auto") == 0 || strcmp(device, "cuda") == 0)
		return -1;
	if (strncmp(device, "cuda:", 5) != 0 || device[5] < '0' || device[5] > '9')
		return -2;
	const long n = strtol(device + 5, &end, 10);
	return *end || n > 1023 ? -2 : (int)n;
}

RtStatus rt_device_known(const RtModel *m, const char *device)
{
	if (strcmp(device, "auto") == 0 || strcmp(device, "cpu") == 0)
		return RT_OK;
	if (device_number(device) == -2)
		return rt_fail(RT_USAGE, "--device is auto, cpu or cuda:N, not '%s'", device);
	if (!m->cuda)
		return rt_fail(RT_DEVICE, "this program was compiled for the CPU only, so there is no device '%s'", device);
	return RT_OK;
}

RtStatus rt_instance_device(RtInstance *in, const char *device, bool graph, const char *const *entries, int n, FILE *say)
{
	if (!in->model->cuda || strcmp(device, "cpu") == 0)
		return RT_OK;
	RtStatus s = rt_cuda_open(in->model, in->params, entries, n, device_number(device), graph, &in->cuda);
	if (s == RT_OK) {
		if (say)
			fprintf(say, "computing on %s\n", rt_cuda_name(in->cuda));
		return RT_OK;
	}
	if (strcmp(device, "auto") != 0 || s == RT_INTERNAL)
		return s;
	if (say)
		fprintf(say, "computing on the CPU: %s\n", rt_message());
	return RT_OK;
}

bool rt_instance_gpu(const RtInstance *in, char out[32])
{
	if (in->cuda && !rt_cuda_place(in->cuda, out))
		snprintf(out, 32, "GPU of unknown address");
	return in->cuda != NULL;
}

RtStatus rt_instance_settle(const RtInstance *in)
{
	return in->cuda ? rt_cuda_settle(in->cuda) : RT_OK;
}

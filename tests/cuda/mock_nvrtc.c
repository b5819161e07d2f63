/* mock_nvrtc.c -- a libnvrtc whose "code" is the text itself, for tests without NVIDIA's compiler; mock_cuda.c runs it */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct Program { char *text; } Program;

int nvrtcVersion(int *major, int *minor);
int nvrtcGetNumSupportedArchs(int *n);
int nvrtcGetSupportedArchs(int *list);
int nvrtcCreateProgram(Program **p, const char *text, const char *name, int n, const char *const *header, const char *const *include);
int nvrtcDestroyProgram(Program **p);
int nvrtcCompileProgram(Program *p, int n, const char *const *option);
int nvrtcGetProgramLogSize(Program *p, size_t *n);
int nvrtcGetProgramLog(Program *p, char *text);
int nvrtcGetCUBINSize(Program *p, size_t *n);
int nvrtcGetCUBIN(Program *p, char *data);
int nvrtcGetPTXSize(Program *p, size_t *n);
int nvrtcGetPTX(Program *p, char *data);
const char *nvrtcGetErrorString(int code);

static const int archs[] = {80, 86, 89, 90};

int nvrtcVersion(int *major, int *minor)
{
	*major = 99;
	*minor = 0;
	return 0;
}

int nvrtcGetNumSupportedArchs(int *n)
{
	*n = sizeof archs / sizeof *archs;
	return 0;
}

int nvrtcGetSupportedArchs(int *list)
{
	memcpy(list, archs, sizeof archs);
	return 0;
}

int nvrtcCreateProgram(Program **p, const char *text, const char *name, int n, const char *const *header, const char *const *include)
{
	(void)name, (void)n, (void)header, (void)include;
	*p = malloc(sizeof **p);
	(*p)->text = strdup(text);
	return 0;
}

int nvrtcDestroyProgram(Program **p)
{
	free((*p)->text);
	free(*p);
	*p = NULL;
	return 0;
}

/* What the text may not have; MOCK_NVRTC_FAIL: a kernel of that name does not compile. */
int nvrtcCompileProgram(Program *p, int n, const char *const *option)
{
	const char *fail = getenv("MOCK_NVRTC_FAIL");
	(void)n, (void)option;
	return strstr(p->text, "#include") || (fail && strstr(p->text, fail)) ? 6 : 0;
}

int nvrtcGetProgramLogSize(Program *p, size_t *n)
{
	(void)p;
	*n = sizeof "kernel.cu(1): error: the mock does not like it";
	return 0;
}

int nvrtcGetProgramLog(Program *p, char *text)
{
	(void)p;
	strcpy(text, "kernel.cu(1): error: the mock does not like it");
	return 0;
}

int nvrtcGetCUBINSize(Program *p, size_t *n)
{
	*n = strlen(p->text) + 1;
	return 0;
}

int nvrtcGetCUBIN(Program *p, char *data)
{
	strcpy(data, p->text);
	return 0;
}

int nvrtcGetPTXSize(Program *p, size_t *n)
{
	return nvrtcGetCUBINSize(p, n);
}

int nvrtcGetPTX(Program *p, char *data)
{
	return nvrtcGetCUBIN(p, data);
}

const char *nvrtcGetErrorString(int code)
{
	(void)code;
	return "NVRTC_ERROR_OF_THE_MOCK";
}

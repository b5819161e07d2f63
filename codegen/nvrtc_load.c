/* nvrtc_load.c -- finds and loads NVRTC: see nvrtc.h */
#include <dlfcn.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include "codegen/nvrtc.h"

static const char *const name[] = {"libnvrtc.so.13", "libnvrtc.so.12"};

/* %s: a name of the library. Environment variables and patterns as a shell has them. */
static const char *const place[] = {
	"%s", "$CUDA_HOME/lib64/%s", "$CUDA_PATH/lib64/%s", "/usr/local/cuda/lib64/%s", "/usr/local/cuda-1[23]*/lib64/%s",
	"/opt/cuda/lib64/%s", "/usr/lib/cuda/lib64/%s", "$VIRTUAL_ENV/lib/python3*/site-packages/nvidia/*/lib/%s",
	"$HOME/.local/lib/python3*/site-packages/nvidia/*/lib/%s", "/usr/local/lib/python3*/*-packages/nvidia/*/lib/%s",
	"/usr/lib/python3*/*-packages/nvidia/*/lib/%s",
};

/* The pattern with its variable replaced; NULL: that is not set. */
static const char *expanded(Arena *a, const char *pattern)
{
	const char *slash = strchr(pattern, '/');
	if (*pattern != '$')
		return pattern;
	const char *value = getenv(arena_strndup(a, pattern + 1, (size_t)(slash - pattern - 1)));
	return value && *value ? arena_printf(a, "%s%s", value, slash) : NULL;
}

static void *open_at(Arena *a, const char *pattern, const char **path)
{
	glob_t found;
	void *lib = NULL;
	if (!strchr(pattern, '/')) {
		*path = pattern;
		return dlopen(pattern, RTLD_NOW | RTLD_LOCAL);
	}
	if (glob(pattern, 0, NULL, &found) != 0)
		return NULL;
	for (size_t i = 0; !lib && i < found.gl_pathc; i++) {
		*path = arena_strdup(a, found.gl_pathv[i]);
		lib = dlopen(*path, RTLD_NOW | RTLD_LOCAL);
	}
	globfree(&found);
	return lib;
}

static void *find(Arena *a, const char **path, Diag *d)
{
	const char *given = getenv("CNNC_NVRTC");
	void *lib = NULL;
	if (given && *given) {
		*path = given;
		lib = dlopen(given, RTLD_NOW | RTLD_LOCAL);
		if (!lib && d)
			diag_error(d, (Loc){0}, "CNNC_NVRTC: %s", dlerror());
		return lib;
	}
	for (size_t n = 0; !lib && n < COUNT(name); n++) {
		for (size_t p = 0; !lib && p < COUNT(place); p++) {
			const char *base = expanded(a, place[p]);
			const char *file = base ? strstr(base, "%s") : NULL;
			if (file)
				lib = open_at(a, arena_printf(a, "%.*s%s", (int)(file - base), base, name[n]), path);
		}
	}
	if (!lib && d) {
		diag_error(d, (Loc){0}, "code for GPUs needs NVIDIA's compiler library NVRTC, and neither %s nor %s is here", name[0], name[1]);
		diag_note(d, "help", "install it (`pip install nvidia-cuda-nvrtc`, or a CUDA toolkit), or say where it is: CNNC_NVRTC=/path/to/%s; "
		          "--target=cpu and --emit=cuda do without", name[0]);
	}
	return lib;
}

bool nvrtc_load(Nvrtc *out, Arena *a, Diag *d)
{
	const char *path = NULL;
	void *lib = find(a, &path, d);
	*out = (Nvrtc){.path = path};
	if (!lib)
		return false;
	const struct { const char *symbol; void *slot; } symbols[] = {
		{"nvrtcVersion", &out->version}, {"nvrtcGetNumSupportedArchs", &out->num_archs}, {"nvrtcGetSupportedArchs", &out->archs},
		{"nvrtcCreateProgram", &out->create}, {"nvrtcDestroyProgram", &out->destroy}, {"nvrtcCompileProgram", &out->compile},
		{"nvrtcGetProgramLogSize", &out->log_size}, {"nvrtcGetProgramLog", &out->log}, {"nvrtcGetCUBINSize", &out->cubin_size},
		{"nvrtcGetCUBIN", &out->cubin}, {"nvrtcGetPTXSize", &out->ptx_size}, {"nvrtcGetPTX", &out->ptx},
		{"nvrtcGetErrorString", &out->error},
	};
	for (size_t i = 0; i < COUNT(symbols); i++) {
		void *at = dlsym(lib, symbols[i].symbol);
		memcpy(symbols[i].slot, &at, sizeof at);
		if (!at)
			return d && diag_error(d, (Loc){0}, "%s has no function %s: NVRTC 12 or 13 is needed", path, symbols[i].symbol);
	}
	if (out->version(&out->major, &out->minor) != 0 || out->major < 12)
		return d && diag_error(d, (Loc){0}, "%s is NVRTC %d.%d; 12 or 13 is needed", path, out->major, out->minor);
	return true;
}

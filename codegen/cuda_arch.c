/* cuda_arch.c -- GPU architectures by name: sm_80, sm_90a, compute_80 */
#include <stdlib.h>
#include <string.h>
#include "codegen/cuda.h"

static const char DEFAULT[] = "sm_80,sm_86,sm_89,sm_90a";

enum { LEAST = 80, MOST = 129, KIND_CUBIN = 0, KIND_EXACT = 1, KIND_PTX = 2 };

const char *cuda_arch_text(Arena *a, RtCudaArch arch)
{
	return arena_printf(a, "%s_%u%s", arch.kind == KIND_PTX ? "compute" : "sm", arch.number, arch.kind == KIND_EXACT ? "a" : "");
}

static bool parse(const char *word, size_t n, RtCudaArch *out)
{
	const bool ptx = n > 8 && !memcmp(word, "compute_", 8);
	const size_t skip = ptx ? 8 : 3;
	char *end;
	if (n <= skip || (!ptx && memcmp(word, "sm_", 3) != 0) || word[skip] < '0' || word[skip] > '9')
		return false;
	const long v = strtol(word + skip, &end, 10);
	const bool exact = end < word + n && *end == 'a' && !ptx;
	*out = (RtCudaArch){(uint32_t)v, ptx ? KIND_PTX : exact ? KIND_EXACT : KIND_CUBIN};
	return end + exact == word + n && v >= LEAST && v <= MOST;
}

static bool add(CgCuda *c, RtCudaArch arch, Diag *d)
{
	for (int i = 0; i < c->narchs; i++) {
		if (c->arch[i].number == arch.number && c->arch[i].kind == arch.kind)
			return true;
	}
	if (c->narchs == CG_MAX_ARCHS)
		return diag_error(d, (Loc){0}, "more than %d GPU architectures", CG_MAX_ARCHS);
	c->arch[c->narchs++] = arch;
	return true;
}

bool cuda_archs(CgCuda *c, const char *list, Diag *d)
{
	bool ok = true;
	for (const char *w = list ? list : DEFAULT; ok && *w;) {
		const size_t n = strcspn(w, ",");
		RtCudaArch arch = {0, KIND_CUBIN};
		ok = parse(w, n, &arch) ||
		     diag_error(d, (Loc){0}, "'%.*s' is no GPU architecture that cnnc knows: sm_80 … sm_%d, sm_90a, compute_80 for PTX", (int)n, w, MOST);
		ok = ok && add(c, arch, d);
		w += n + (w[n] == ',');
	}
	return ok && (list || add(c, (RtCudaArch){LEAST, KIND_PTX}, d));
}

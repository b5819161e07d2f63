/* feature_cache.c -- see feature_cache.h */
#include "runtime/feature_cache.h"

#include <string.h>
#include "runtime/sys.h"

struct RtFeatures {
	RtInstance *in;
	const RtEntry *entry;
	size_t row_bytes;
	int64_t samples;
	unsigned char *kept; /* (samples, row), or NULL: nothing is kept */
	unsigned char *have; /* by sample: its row is there */
	unsigned char *rows; /* of the batch */
};

static size_t kept_bytes(const RtFeatures *f)
{
	return (size_t)f->samples * f->row_bytes;
}

RtStatus rt_features_new(RtInstance *in, const RtEntry *entry, int64_t samples, bool keep, RtFeatures **out)
{
	RtFeatures *f = rt_sys.alloc(sizeof *f);
	size_t bytes, batch;
	*out = f;
	if (!f)
		return rt_fail(RT_NOMEM, "out of memory for features");
	*f = (RtFeatures){.in = in, .entry = entry, .row_bytes = entry->out[0].row_bytes, .samples = samples};
	batch = f->row_bytes * in->model->max_n;
	if (!keep || __builtin_mul_overflow(f->row_bytes, (size_t)samples, &bytes) || bytes > (size_t)rt_memory_limit() / 8)
		return RT_OK;
	f->rows = rt_sys.slab(batch);
	f->have = rt_sys.alloc((size_t)samples + 1);
	f->kept = rt_sys.slab(bytes + RT_ALIGN);
	if (f->kept && f->have && f->rows)
		return RT_OK;
	rt_features_free(f);
	*out = NULL;
	return rt_fail(RT_NOMEM, "out of memory: %zu bytes for features; data.cache: none does without", bytes);
}

void rt_features_free(RtFeatures *f)
{
	if (!f)
		return;
	if (f->rows)
		rt_sys.slab_free(f->rows, f->row_bytes * f->in->model->max_n);
	if (f->kept)
		rt_sys.slab_free(f->kept, kept_bytes(f) + RT_ALIGN);
	rt_sys.release(f->have);
	rt_sys.release(f);
}

static bool all_kept(const RtFeatures *f, const uint32_t *id, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!f->kept || id[i] >= f->samples || !f->have[id[i]])
			return false;
	}
	return true;
}

unsigned char *rt_features_of(RtFeatures *f, unsigned char *x, const uint32_t *id, uint32_t n)
{
	unsigned char *made = f->in->out[0];
	if (all_kept(f, id, n)) {
		for (uint32_t i = 0; i < n; i++)
			memcpy(f->rows + i * f->row_bytes, f->kept + id[i] * f->row_bytes, f->row_bytes);
		return f->rows;
	}
	f->in->scalars.n = n;
	f->in->scalars.inv_n = 1.0f / (float)n;
	rt_instance_run(f->in, f->entry, &x, NULL);
	for (uint32_t i = 0; f->kept && i < n; i++) {
		if (id[i] >= f->samples)
			continue;
		memcpy(f->kept + id[i] * f->row_bytes, made + i * f->row_bytes, f->row_bytes);
		f->have[id[i]] = 1;
	}
	return made;
}

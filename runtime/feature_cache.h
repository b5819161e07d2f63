/* feature_cache.h -- what a frozen base makes of each sample: computed once and kept while a phase lasts
 *
 * Where a phase has an entry "features", its steps take that entry's output as their x. Rows are kept in memory while all of
 * them fit an eighth of it (and data.cache is not `none`), else computed for each batch; the numbers are the same.
 */
#ifndef CNNC_RUNTIME_FEATURE_CACHE_H
#define CNNC_RUNTIME_FEATURE_CACHE_H

#include "runtime/call.h"

typedef struct RtFeatures RtFeatures;

/* samples: of the data set whose indices rt_features_of is called with; keep: as data.cache allows. */
RtStatus rt_features_new(RtInstance *in, const RtEntry *entry, int64_t samples, bool keep, RtFeatures **out);
void rt_features_free(RtFeatures *f);
/* Rows of a batch of n samples x with their indices; valid until the next call, or the next entry with outputs runs. */
unsigned char *rt_features_of(RtFeatures *f, unsigned char *x, const uint32_t *id, uint32_t n);

#endif

/* nvrtc_cache.h -- compiled kernels on disk, by the hash of what they were made from
 *
 * $XDG_CACHE_HOME/cnnc/cuda, else ~/.cache/cnnc/cuda. A file that is damaged, or a folder that cannot be written, is as if there
 * were none.
 */
#ifndef CNNC_CODEGEN_NVRTC_CACHE_H
#define CNNC_CODEGEN_NVRTC_CACHE_H

#include "codegen/cuda.h"

void cache_key(const char *options, const char *prelude, const char *text, char out[65]);
bool cache_get(const char *key, Arena *a, RtCudaImage *out);
void cache_put(const char *key, const RtCudaImage *image);

#endif

/* weights.h -- parameters and running statistics between memory and safetensors files */
#ifndef CNNC_RUNTIME_WEIGHTS_H
#define CNNC_RUNTIME_WEIGHTS_H

#include <stdbool.h>
#include "runtime/call.h"
#include "runtime/safetensors.h"

/* Fills the instance's parameters and statistics. Names and shapes must agree one to one, else RT_BAD_WEIGHTS with all
 * that is missing, unexpected or misshapen (`file` names it); skip_mismatch takes what fits and returns how many in
 * *out_loaded. */
RtStatus rt_weights_load(RtInstance *in, const RtSafetensors *st, const char *file, bool skip_mismatch,
			 int *out_loaded);
RtStatus rt_weights_load_file(RtInstance *in, const char *path, bool skip_mismatch, int *out_loaded);
/* Writes them to a new file and renames it. A tensor that is not finite is an error: RT_NONFINITE, nothing written.
 * meta: as rt_st_header. */
RtStatus rt_weights_save(const RtInstance *in, const char *path, const char *const *meta);

/* What rt_weights_save writes: kind is not RT_MOMENT. */
bool rt_tensor_is_weight(const RtTensor *t);
/* First tensor with a NaN or infinity among weights (and moments), or NULL. */
const RtTensor *rt_tensor_nonfinite(const RtInstance *in, bool moments_too);
bool rt_all_finite(int32_t dtype, const void *data, size_t elems);
RtStDType rt_st_dtype_of(int32_t dtype);
/* `t` as a safetensors entry whose data is `data`. */
RtStTensor rt_st_tensor_of(const RtTensor *t, const unsigned char *data);

#endif

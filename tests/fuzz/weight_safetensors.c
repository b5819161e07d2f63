/* weight_safetensors.c -- fuzz target: the parser of runtime/safetensors.c takes any bytes; libFuzzer: tests/fuzz/run.sh weight_safetensors */
#include "runtime/safetensors.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	RtSafetensors st;
	volatile double sum = 0;
	if (rt_st_parse(data, n, &st) != RT_OK)
		return 0;
	for (int i = 0; i < st.ntensors; i++) {
		const RtStTensor *t = &st.tensor[i];
		if (t->bytes > 0)
			sum += rt_st_value(t, t->bytes / rt_st_dtype_size(t->dtype) - 1);
	}
	rt_st_free(&st);
	return 0;
}

/* weight_h5.c -- fuzz target: the reader of frontend/weight_h5.c (weight_h5) takes any bytes; libFuzzer: tests/fuzz/run.sh weight_h5 */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	return fuzz_file(&weight_h5, data, n);
}

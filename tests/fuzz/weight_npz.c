/* weight_npz.c -- fuzz target: the reader of frontend/weight_zip.c (weight_npz) takes any bytes; libFuzzer: tests/fuzz/run.sh weight_npz */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	return fuzz_reader(&weight_npz, data, n);
}

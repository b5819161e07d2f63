/* weight_keras.c -- fuzz target: the reader of frontend/weight_zip.c (weight_keras) takes any bytes; libFuzzer: tests/fuzz/run.sh weight_keras */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	return fuzz_file(&weight_keras, data, n);
}

/* fuzz.h -- what a fuzz target gives: one function that takes any bytes, under libFuzzer or in replay.c */
#ifndef CNNC_TESTS_FUZZ_H
#define CNNC_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#endif

/* crc32c.h -- CRC-32C (Castagnoli), with the CPU's instruction where there is one */
#ifndef CNNC_RUNTIME_CRC32C_H
#define CNNC_RUNTIME_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 to start) over n bytes. */
uint32_t rt_crc32c(uint32_t crc, const void *bytes, size_t n);

#endif

/* safetensors.h -- the weight file format: a parser that takes (pointer, length), and the header of a new file
 *
 * Layout: u64 length of the header (little endian), the header (JSON), the tensors' bytes without holes.
 * The parser does no I/O, copies no data, and refuses what the reference implementation refuses: a header over 100 MB
 * or not starting with '{', duplicate keys, overlapping or missing bytes, sizes that do not match the shape.
 */
#ifndef CNNC_RUNTIME_SAFETENSORS_H
#define CNNC_RUNTIME_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>
#include "runtime/status.h"

enum { RT_ST_MAX_RANK = 16, RT_ST_MAX_HEADER = 100000000 };

typedef enum RtStDType {
	RT_ST_F32,
	RT_ST_F64,
	RT_ST_F16,
	RT_ST_BF16,
	RT_ST_I64,
	RT_ST_I32,
	RT_ST_I16,
	RT_ST_I8,
	RT_ST_U64,
	RT_ST_U32,
	RT_ST_U16,
	RT_ST_U8,
	RT_ST_BOOL,
	RT_ST_F8_E4M3,
	RT_ST_F8_E5M2,
	RT_ST_COUNT
} RtStDType;

typedef struct RtStTensor {
	const char *name;
	RtStDType dtype;
	int rank;
	int64_t dim[RT_ST_MAX_RANK];
	const unsigned char *data;
	size_t bytes;
} RtStTensor;

typedef struct RtSafetensors {
	RtStTensor *tensor; /* in the order of their bytes */
	int ntensors;
	size_t length; /* of the whole file */
	void *json;    /* owns the names */
} RtSafetensors;

/* `bytes` must outlive out. Fails with RT_BAD_WEIGHTS (one sentence that does not name the file) or RT_NOMEM. */
RtStatus rt_st_parse(const void *bytes, size_t length, RtSafetensors *out);
void rt_st_free(RtSafetensors *st);
const RtStTensor *rt_st_find(const RtSafetensors *st, const char *name);
const char *rt_st_meta(const RtSafetensors *st, const char *key); /* value in __metadata__, or NULL */
const char *rt_st_dtype_name(RtStDType t);                        /* "F32" */
size_t rt_st_dtype_size(RtStDType t);
/* Element `i` of a float tensor (F32 F64 F16 BF16) as a double. */
double rt_st_value(const RtStTensor *t, size_t i);

/* Makes length word and header for tensors in this order (their `data` is not read); padded so that the data starts at
 * a multiple of 8. meta: key, value, key, value, …, NULL. The text is freed with rt_sys.release. */
RtStatus rt_st_header(const RtStTensor *tensor, int n, const char *const *meta, unsigned char **out,
		      size_t *out_length);

#endif

/* serve_ask.h -- what a request asks for: pictures or tensors, from any of the protocols' bodies
 *
 * The parsers take pointer and length and give spans into the body, or into memory that rt_ask_free gives back. All of them fail
 * with RT_BAD_DATA and one sentence for the client. Memory is bounded by a small multiple of the body, whatever
 * sizes the body claims.
 */
#ifndef CNNC_RUNTIME_SERVE_ASK_H
#define CNNC_RUNTIME_SERVE_ASK_H

#include "runtime/call.h"
#include "runtime/json_read.h"

typedef struct RtTakes { /* by a model */
	const char *input;      /* its name */
	bool pictures;          /* then `pixels` is u8 (N, H, W, C) */
	RtPort pixels, floats;  /* floats: the network's own input, as `run --input` takes it */
	const RtPort *output;
	int noutputs;
	int64_t max_rows; /* samples a request */
} RtTakes;

typedef enum RtAskKind { RT_ASK_PICTURES, RT_ASK_PIXELS, RT_ASK_FLOATS, RT_ASK_KINDS } RtAskKind;

typedef struct RtAsk {
	RtAskKind kind;
	int64_t rows;
	RtSpan *picture;             /* [rows]; JPEG or PNG bytes */
	RtSpan *name;                /* [rows] of files, or NULL */
	const unsigned char *tensor; /* rows as the port has them; not aligned */
	bool columns;                /* tensorflow: "inputs" was said, not "instances" */
	unsigned char *id;           /* v2: to be said back; NULL: none */
	size_t id_n;
	struct {
		bool wanted, binary;
		int64_t classes; /* > 0: the most likely ones as text instead of the values */
	} output[RT_MAX_PORTS];
	void *memory[6];
	int nmemory;
} RtAsk;

/* n_json: bytes of JSON at the start, the rest is binary data; SIZE_MAX: all of it. */
RtStatus rt_ask_v2(const RtTakes *t, const void *body, size_t n, size_t n_json, RtAsk *out);
RtStatus rt_ask_tensorflow(const RtTakes *t, const void *body, size_t n, RtAsk *out);
/* A picture, or the files of multipart/form-data. type: the header Content-Type, or NULL. */
RtStatus rt_ask_plain(const RtTakes *t, const char *type, const void *body, size_t n, RtAsk *out);
void rt_ask_free(RtAsk *a); /* after failure too */

/* ---- between the parsers ---- */
void *rt_ask_alloc(RtAsk *a, size_t count, size_t size); /* NULL: reported */
RtStatus rt_ask_fail_json(const RtJson *j);              /* its mistake, and where */
/* The numbers of a list, however nested, into `count` elements of the port's type. */
RtStatus rt_ask_numbers(RtJson *j, int32_t dtype, void *out, size_t count);
/* A string of base64 into *at, which moves on; the room is the caller's. */
RtStatus rt_ask_base64(RtJson *j, unsigned char **at, RtSpan *out);
size_t rt_port_elems(const RtPort *p); /* of one sample */

#endif

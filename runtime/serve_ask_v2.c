/* serve_ask_v2.c -- requests of the Open Inference Protocol, version 2: JSON, and its binary tensors
 *
 * {"id": …, "inputs": [{"name", "shape", "datatype", "data" or "parameters": {"binary_data_size"}}], "outputs": [{"name",
 * "parameters": {"binary_data", "classification"}}], "parameters": {"binary_data_output"}}, members in any order. The one
 * input is BYTES of JPEG or PNG (base64 in JSON; 4 bytes of length before each in binary), UINT8 pixels, or FP32.
 */
#include <string.h>
#include "ir/size.h"
#include "runtime/serve_ask.h"

typedef struct Input {
	RtSpan name, type;
	int64_t shape[RT_MAX_RANK], bytes; /* bytes < 0: not binary */
	int rank;
	RtJson data; /* a cursor at the value; start NULL: absent */
} Input;

typedef struct Asking {
	const RtTakes *takes;
	RtAsk *out;
	RtJson j;
	RtSpan binary; /* what is left of it */
	size_t n;      /* of the whole body */
	bool all_binary, no_memory;
	Input input;
	int ninputs;
} Asking;

/* ---- the input's values ---- */

static RtStatus strings_of_json(Asking *q, RtJson *j)
{
	RtAsk *a = q->out;
	unsigned char *room = rt_ask_alloc(a, 1, q->n + 4);
	int depth = j->depth;
	int64_t n = 0;
	if (!room)
		return RT_NOMEM;
	do {
		if (j->depth > depth && !rt_scan_next(j))
			continue;
		if (rt_scan_peek(j) == '[') {
			rt_scan_enter(j, '[');
			continue;
		}
		if (n == a->rows)
			return rt_fail(RT_BAD_DATA, "more strings than the shape has");
		RtStatus s = rt_ask_base64(j, &room, &a->picture[n++]);
		if (s != RT_OK)
			return s;
	} while (j->depth > depth && !j->error);
	if (j->error)
		return rt_ask_fail_json(j);
	return n == a->rows ? RT_OK : rt_fail(RT_BAD_DATA, "fewer strings than the shape has");
}

static RtStatus strings_of_bytes(Asking *q, RtSpan s)
{
	for (int64_t i = 0; i < q->out->rows; i++) {
		uint32_t n;
		if (s.n < 4)
			return rt_fail(RT_BAD_DATA, "the binary data ends before string %lld", (long long)i);
		n = (uint32_t)s.p[0] | (uint32_t)s.p[1] << 8 | (uint32_t)s.p[2] << 16 | (uint32_t)s.p[3] << 24;
		if (n > s.n - 4)
			return rt_fail(RT_BAD_DATA, "string %lld has %u bytes, but %zu are left", (long long)i, n, s.n - 4);
		q->out->picture[i] = (RtSpan){s.p + 4, n};
		s.p += 4 + (size_t)n;
		s.n -= 4 + (size_t)n;
	}
	return s.n ? rt_fail(RT_BAD_DATA, "%zu bytes are left behind the strings", s.n) : RT_OK;
}

static RtStatus take_strings(Asking *q, Input *in, RtSpan bytes)
{
	RtAsk *a = q->out;
	if (!q->takes->pictures)
		return rt_fail(RT_BAD_DATA, "this model takes FP32, not BYTES");
	if (in->rank > 2 || (in->rank == 2 && in->shape[1] != 1))
		return rt_fail(RT_BAD_DATA, "pictures have the shape [N] or [N, 1]");
	a->kind = RT_ASK_PICTURES;
	a->picture = rt_ask_alloc(a, (size_t)a->rows, sizeof *a->picture);
	if (!a->picture)
		return RT_NOMEM;
	return in->bytes >= 0 ? strings_of_bytes(q, bytes) : strings_of_json(q, &in->data);
}

static RtStatus take_tensor(Asking *q, Input *in, const RtPort *port, RtSpan bytes)
{
	RtAsk *a = q->out;
	size_t row = (size_t)port->row_bytes, elems = rt_port_elems(port), all;
	bool same = in->rank == port->rank;
	for (int i = 1; same && i < in->rank; i++)
		same = in->shape[i] == port->dim[i];
	if (!same || !size_mul(row, (size_t)a->rows, &all))
		return rt_fail(RT_BAD_DATA, "the shape is not the model's: ask for its metadata");
	if (in->bytes >= 0) {
		a->tensor = bytes.p;
		return bytes.n == all ? RT_OK
				      : rt_fail(RT_BAD_DATA, "binary_data_size is %zu, the shape has %zu", bytes.n, all);
	}
	if (elems * (size_t)a->rows > q->n) /* a number and what parts it from the next: 2 bytes at least */
		return rt_fail(RT_BAD_DATA, "fewer numbers than the shape has");
	void *values = rt_ask_alloc(a, 1, all);
	a->tensor = values;
	return values ? rt_ask_numbers(&in->data, port->dtype, values, elems * (size_t)a->rows) : RT_NOMEM;
}

static RtStatus take_input(Asking *q, Input *in)
{
	const RtTakes *t = q->takes;
	RtSpan bytes = {0};
	if (!rt_span_is(in->name, t->input))
		return rt_fail(RT_BAD_DATA, "the model's input is called '%s'", t->input);
	if (in->rank < 1 || in->shape[0] < 1 || in->shape[0] > t->max_rows)
		return rt_fail(RT_BAD_DATA, "1 to %lld samples are taken at once", (long long)t->max_rows);
	if (in->bytes < 0 && !in->data.start)
		return rt_fail(RT_BAD_DATA, "the input has neither data nor binary_data_size");
	if (in->bytes >= 0) {
		if ((uint64_t)in->bytes > q->binary.n)
			return rt_fail(RT_BAD_DATA, "binary_data_size is more than the body has");
		bytes = (RtSpan){q->binary.p, (size_t)in->bytes};
	}
	q->out->rows = in->shape[0];
	if (rt_span_is(in->type, "BYTES"))
		return take_strings(q, in, bytes);
	if (rt_span_is(in->type, "UINT8") && t->pictures) {
		q->out->kind = RT_ASK_PIXELS;
		return take_tensor(q, in, &t->pixels, bytes);
	}
	q->out->kind = RT_ASK_FLOATS;
	if (rt_span_is(in->type, "FP32"))
		return take_tensor(q, in, &t->floats, bytes);
	return rt_fail(RT_BAD_DATA, "the datatypes that this model takes are %sFP32",
		       t->pictures ? "BYTES (pictures), UINT8 (pixels) and " : "");
}

/* ---- the JSON ---- */

static bool read_shape(RtJson *j, Input *in)
{
	in->rank = 0;
	for (bool in_list = rt_scan_enter(j, '['); in_list && rt_scan_next(j);) {
		if (in->rank == RT_MAX_RANK)
			return rt_scan_fail(j, "too many dimensions");
		if (!rt_scan_int(j, &in->shape[in->rank++]))
			return false;
	}
	return !j->error;
}

static bool read_input(RtJson *j, Input *in)
{
	RtSpan key;
	*in = (Input){.bytes = -1};
	for (bool any = rt_scan_enter(j, '{'); any && rt_scan_key(j, &key);) {
		if (rt_span_is(key, "name")) {
			rt_scan_string(j, &in->name);
		} else if (rt_span_is(key, "datatype")) {
			rt_scan_string(j, &in->type);
		} else if (rt_span_is(key, "shape")) {
			read_shape(j, in);
		} else if (rt_span_is(key, "data")) {
			in->data = *j;
			rt_scan_skip(j);
		} else if (rt_span_is(key, "parameters")) {
			for (bool more = rt_scan_enter(j, '{'); more && rt_scan_key(j, &key);) {
				if (rt_span_is(key, "binary_data_size"))
					rt_scan_int(j, &in->bytes);
				else
					rt_scan_skip(j);
			}
		} else {
			rt_scan_skip(j);
		}
	}
	return !j->error;
}

static int output_named(const RtTakes *t, RtSpan name)
{
	for (int i = 0; i < t->noutputs; i++) {
		if (rt_span_is(name, t->output[i].name))
			return i;
	}
	return -1;
}

static bool read_output(Asking *q)
{
	RtJson *j = &q->j;
	RtSpan key, name = {0};
	bool binary = false, said = false;
	int64_t classes = 0;
	for (bool any = rt_scan_enter(j, '{'); any && rt_scan_key(j, &key);) {
		if (rt_span_is(key, "name")) {
			rt_scan_string(j, &name);
		} else if (rt_span_is(key, "parameters")) {
			for (bool more = rt_scan_enter(j, '{'); more && rt_scan_key(j, &key);) {
				if (rt_span_is(key, "binary_data"))
					said = rt_scan_bool(j, &binary);
				else if (rt_span_is(key, "classification"))
					rt_scan_int(j, &classes);
				else
					rt_scan_skip(j);
			}
		} else {
			rt_scan_skip(j);
		}
	}
	int i = j->error ? -1 : output_named(q->takes, name);
	if (i < 0)
		return rt_scan_fail(j, "the model has no output of that name");
	q->out->output[i].wanted = true;
	q->out->output[i].binary = binary || (!said && q->all_binary);
	q->out->output[i].classes = classes > 0 ? classes : 0;
	return true;
}

static bool read_id(Asking *q)
{
	RtSpan text;
	if (!rt_scan_string(&q->j, &text))
		return false;
	if (q->out->id)
		return rt_scan_fail(&q->j, "the id is given twice");
	unsigned char *id = rt_ask_alloc(q->out, 1, text.n + 1);
	q->no_memory = !id;
	if (!id || !rt_scan_unescape(text, id, &q->out->id_n))
		return rt_scan_fail(&q->j, "the id is no text");
	q->out->id = id;
	return true;
}

static void read_body(Asking *q)
{
	RtJson *j = &q->j, outputs = {0};
	RtSpan key;
	for (bool any = rt_scan_enter(j, '{'); any && rt_scan_key(j, &key);) {
		if (rt_span_is(key, "id")) {
			read_id(q);
		} else if (rt_span_is(key, "inputs")) {
			for (bool in = rt_scan_enter(j, '['); in && rt_scan_next(j); q->ninputs++)
				read_input(j, &q->input);
		} else if (rt_span_is(key, "outputs")) {
			outputs = *j; /* "parameters" may follow and matter */
			rt_scan_skip(j);
		} else if (rt_span_is(key, "parameters")) {
			for (bool more = rt_scan_enter(j, '{'); more && rt_scan_key(j, &key);) {
				if (rt_span_is(key, "binary_data_output"))
					rt_scan_bool(j, &q->all_binary);
				else
					rt_scan_skip(j);
			}
		} else {
			rt_scan_skip(j);
		}
	}
	if (!rt_scan_end(j))
		return;
	bool named = false;
	if (outputs.start) {
		*j = outputs;
		for (bool in = rt_scan_enter(j, '['); in && rt_scan_next(j); named = true)
			read_output(q);
	}
	for (int i = 0; !named && i < q->takes->noutputs; i++) {
		q->out->output[i].wanted = true;
		q->out->output[i].binary = q->all_binary;
	}
}

/* No JSON at all: one picture, answered in JSON. */
static RtStatus ask_raw(const RtTakes *t, RtSpan body, RtAsk *out)
{
	RtStatus s = rt_ask_plain(t, NULL, body.p, body.n, out);
	for (int i = 0; i < t->noutputs; i++)
		out->output[i].wanted = true;
	return s;
}

RtStatus rt_ask_v2(const RtTakes *t, const void *body, size_t n, size_t n_json, RtAsk *out)
{
	Asking q = {.takes = t, .out = out, .n = n};
	*out = (RtAsk){0};
	if (n_json == SIZE_MAX)
		n_json = n;
	if (n_json > n)
		return rt_fail(RT_BAD_DATA, "Inference-Header-Content-Length is more than the body has");
	q.binary = (RtSpan){(const unsigned char *)body + n_json, n - n_json};
	if (n_json == 0 && n > 0)
		return ask_raw(t, q.binary, out);
	rt_scan_open(&q.j, body, n_json);
	read_body(&q);
	if (q.no_memory)
		return RT_NOMEM;
	if (q.j.error)
		return rt_ask_fail_json(&q.j);
	if (q.ninputs != 1)
		return rt_fail(RT_BAD_DATA, "the model takes one input, '%s', not %d", t->input, q.ninputs);
	return take_input(&q, &q.input);
}

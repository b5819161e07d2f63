/* serve_ask_tensorflow.c -- requests as TensorFlow Serving has them: "instances" (rows) or "inputs" (columns)
 *
 * A sample is {"b64": …} of a JPEG or PNG, or nested lists of the network's own input; each may be wrapped in {"NAME": …}
 * of the input. "inputs" is a list of samples, or {"NAME": list}.
 */
#include <string.h>
#include "ir/size.h"
#include "runtime/serve_ask.h"

/* Steps into {"NAME": if there is one and it is not "b64"; *wrapped tells to step out again. */
static bool unwrap(RtJson *j, const char *name, bool *wrapped)
{
	RtJson look = *j;
	RtSpan key;
	*wrapped = false;
	if (rt_scan_peek(j) != '{')
		return true;
	rt_scan_enter(&look, '{');
	if (!rt_scan_key(&look, &key))
		return rt_scan_fail(j, "an empty object, or none");
	if (rt_span_is(key, "b64"))
		return true;
	if (!rt_span_is(key, name))
		return rt_scan_fail(j, "neither \"b64\" nor the name of the model's input");
	*j = look;
	*wrapped = true;
	return true;
}

static bool wrap_up(RtJson *j, bool wrapped)
{
	RtSpan key;
	if (wrapped && rt_scan_key(j, &key))
		return rt_scan_fail(j, "the model has one input");
	return !j->error;
}

static RtStatus take_sample(const RtTakes *t, RtJson *j, RtAsk *a, int64_t i, unsigned char **room, float *values)
{
	RtSpan key;
	bool wrapped;
	RtStatus s;
	size_t elems = rt_port_elems(&t->floats);
	if (!unwrap(j, t->input, &wrapped))
		return rt_ask_fail_json(j);
	if (a->kind == RT_ASK_FLOATS) {
		s = rt_ask_numbers(j, RT_F32, values + (size_t)i * elems, elems);
	} else {
		if (!rt_scan_enter(j, '{') || !rt_scan_key(j, &key) || !rt_span_is(key, "b64"))
			return rt_fail(RT_BAD_DATA, "sample %lld is not {\"b64\": …}, as the first one is", (long long)i);
		s = rt_ask_base64(j, room, &a->picture[i]);
		if (s == RT_OK && rt_scan_key(j, &key))
			s = rt_fail(RT_BAD_DATA, "more than \"b64\" in sample %lld", (long long)i);
	}
	if (s == RT_OK && !wrap_up(j, wrapped))
		s = rt_ask_fail_json(j);
	return s;
}

/* How many samples, and of which kind the first one is. */
static RtStatus count_samples(const RtTakes *t, RtJson j, RtAsk *a)
{
	a->kind = RT_ASK_FLOATS;
	for (bool in = rt_scan_enter(&j, '['); in && rt_scan_next(&j); a->rows++) {
		RtJson first = j;
		bool wrapped;
		if (a->rows == 0 && unwrap(&first, t->input, &wrapped) && rt_scan_peek(&first) == '{')
			a->kind = RT_ASK_PICTURES;
		rt_scan_skip(&j);
		if (a->rows == t->max_rows)
			return rt_fail(RT_BAD_DATA, "at most %lld samples are taken at once", (long long)t->max_rows);
	}
	if (j.error)
		return rt_ask_fail_json(&j);
	if (a->rows == 0)
		return rt_fail(RT_BAD_DATA, "no sample is given");
	return a->kind == RT_ASK_PICTURES && !t->pictures
		       ? rt_fail(RT_BAD_DATA, "this model takes lists of numbers, not pictures")
		       : RT_OK;
}

static RtStatus take_samples(const RtTakes *t, RtJson *j, size_t n, RtAsk *a)
{
	unsigned char *room = NULL;
	float *values = NULL;
	size_t elems = rt_port_elems(&t->floats), all;
	RtStatus s = count_samples(t, *j, a);
	if (s != RT_OK)
		return s;
	if (a->kind == RT_ASK_PICTURES) {
		room = rt_ask_alloc(a, 1, n + 4);
		a->picture = room ? rt_ask_alloc(a, (size_t)a->rows, sizeof *a->picture) : NULL;
	} else if (!size_mul(elems, (size_t)a->rows, &all) || all > n) {
		return rt_fail(RT_BAD_DATA, "fewer numbers than %lld samples have", (long long)a->rows);
	} else {
		values = rt_ask_alloc(a, all, sizeof *values);
		a->tensor = (const unsigned char *)values;
	}
	if (!values && !a->picture)
		return RT_NOMEM;
	int64_t i = 0;
	for (bool in = rt_scan_enter(j, '['); in && rt_scan_next(j) && s == RT_OK; i++)
		s = take_sample(t, j, a, i, &room, values);
	return s;
}

/* {"inputs": {"NAME": …}} or the list itself. */
static RtStatus take_columns(const RtTakes *t, RtJson *j, size_t n, RtAsk *a)
{
	bool wrapped;
	if (!unwrap(j, t->input, &wrapped))
		return rt_ask_fail_json(j);
	RtStatus s = take_samples(t, j, n, a);
	return s == RT_OK && !wrap_up(j, wrapped) ? rt_ask_fail_json(j) : s;
}

RtStatus rt_ask_tensorflow(const RtTakes *t, const void *body, size_t n, RtAsk *out)
{
	RtJson j;
	RtSpan key, signature;
	RtStatus s = RT_OK;
	*out = (RtAsk){0};
	rt_scan_open(&j, body, n);
	for (bool any = rt_scan_enter(&j, '{'); any && s == RT_OK && rt_scan_key(&j, &key);) {
		bool rows = rt_span_is(key, "instances"), columns = rt_span_is(key, "inputs");
		if ((rows || columns) && out->rows) {
			return rt_fail(RT_BAD_DATA, "samples are given twice");
		} else if (rows || columns) {
			out->columns = columns;
			s = rows ? take_samples(t, &j, n, out) : take_columns(t, &j, n, out);
		} else if (rt_span_is(key, "signature_name")) {
			if (rt_scan_string(&j, &signature) && !rt_span_is(signature, "serving_default"))
				return rt_fail(RT_BAD_DATA, "the only signature is serving_default");
		} else {
			rt_scan_skip(&j);
		}
	}
	if (s == RT_OK && !rt_scan_end(&j))
		s = rt_ask_fail_json(&j);
	if (s == RT_OK && !out->rows)
		s = rt_fail(RT_BAD_DATA, "neither \"instances\" nor \"inputs\" is given");
	return s;
}

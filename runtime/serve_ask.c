/* serve_ask.c -- what the parsers share, and the plain request: a picture, or files of a form */
#include "runtime/serve_ask.h"

#include <string.h>
#include <strings.h>
#include "ir/size.h"
#include "runtime/sys.h"

void rt_ask_free(RtAsk *a)
{
	for (int i = 0; i < a->nmemory; i++)
		rt_sys.release(a->memory[i]);
	*a = (RtAsk){0};
}

void *rt_ask_alloc(RtAsk *a, size_t count, size_t size)
{
	size_t bytes;
	void *p = NULL;
	if (a->nmemory < (int)(sizeof a->memory / sizeof *a->memory) && size_mul(count, size, &bytes))
		p = rt_sys.alloc(bytes);
	if (p)
		a->memory[a->nmemory++] = p;
	else
		rt_fail(RT_NOMEM, "out of memory for %zu values", count);
	return p;
}

size_t rt_port_elems(const RtPort *p)
{
	return (size_t)p->row_bytes / (size_t)rt_dtype_bytes(p->dtype);
}

RtStatus rt_ask_fail_json(const RtJson *j)
{
	return rt_fail(RT_BAD_DATA, "not well-formed JSON at byte %zu: %s", (size_t)(j->p - j->start),
		       j->error ? j->error : "it ends too early");
}

/* ---- values ---- */

static bool put_number(int32_t dtype, void *out, size_t i, double v)
{
	if (dtype == RT_U8) {
		((unsigned char *)out)[i] = (unsigned char)(v >= 0 && v <= 255 ? v : 0);
		return v >= 0 && v <= 255;
	}
	((float *)out)[i] = (float)v;
	return true;
}

RtStatus rt_ask_numbers(RtJson *j, int32_t dtype, void *out, size_t count)
{
	int depth = j->depth;
	size_t n = 0;
	do {
		if (j->depth > depth && !rt_scan_next(j))
			continue;
		if (rt_scan_peek(j) == '[') {
			rt_scan_enter(j, '[');
			continue;
		}
		double v;
		if (!rt_scan_number(j, &v))
			break;
		if (n == count)
			return rt_fail(RT_BAD_DATA, "more than the %zu numbers that the shape has", count);
		if (!put_number(dtype, out, n++, v))
			return rt_fail(RT_BAD_DATA, "%g is no pixel: 0 to 255 are", v);
	} while (j->depth > depth && !j->error);
	if (j->error)
		return rt_ask_fail_json(j);
	return n == count ? RT_OK : rt_fail(RT_BAD_DATA, "%zu numbers where the shape has %zu", n, count);
}

RtStatus rt_ask_base64(RtJson *j, unsigned char **at, RtSpan *out)
{
	RtSpan text;
	size_t n;
	if (!rt_scan_string(j, &text))
		return rt_ask_fail_json(j);
	if (!rt_base64_decode(text, *at, &n))
		return rt_fail(RT_BAD_DATA, "the string that ends at byte %zu is not base64", (size_t)(j->p - j->start));
	*out = (RtSpan){*at, n};
	*at += n;
	return RT_OK;
}

/* ---- forms ---- */

/* name=value or name="value" within a header's value; an empty span where it is absent. */
static RtSpan parameter(RtSpan header, const char *name)
{
	size_t length = strlen(name);
	const unsigned char *end = header.p + header.n;
	for (const unsigned char *s = header.p; (s = memchr(s, ';', (size_t)(end - s))) != NULL;) {
		for (s++; s < end && (*s == ' ' || *s == '\t'); s++) {
		}
		if ((size_t)(end - s) <= length || strncasecmp((const char *)s, name, length) != 0 || s[length] != '=')
			continue;
		s += length + 1;
		bool quoted = s < end && *s == '"';
		s += quoted;
		const unsigned char *to = s;
		while (to < end && (quoted ? *to != '"' : *to != ';' && *to != ' '))
			to++;
		return (RtSpan){s, (size_t)(to - s)};
	}
	return (RtSpan){header.p, 0};
}

/* The value of a header line among those of a part; an empty span where it is absent. */
static RtSpan part_header(RtSpan lines, const char *name)
{
	size_t length = strlen(name);
	const unsigned char *s = lines.p, *end = s + lines.n;
	while (s < end) {
		const unsigned char *line = memchr(s, '\n', (size_t)(end - s));
		line = line ? line : end;
		if ((size_t)(line - s) > length && strncasecmp((const char *)s, name, length) == 0 && s[length] == ':')
			return (RtSpan){s + length + 1, (size_t)(line - s) - length - 1};
		s = line < end ? line + 1 : end;
	}
	return (RtSpan){lines.p, 0};
}

static const unsigned char *find(const unsigned char *s, const unsigned char *end, const char *what, size_t n)
{
	return s && s <= end ? memmem(s, (size_t)(end - s), what, n) : NULL;
}

typedef struct Form {
	const unsigned char *at, *end; /* at: behind a boundary */
	char boundary[80];             /* "\r\n--" and the client's own */
	size_t n;
} Form;

/* The next part. False: the end, or what follows is no part. */
static bool next_part(Form *f, RtSpan *lines, RtSpan *content)
{
	if (f->end - f->at < 2 || f->at[0] != '\r' || f->at[1] != '\n')
		return false;
	const unsigned char *blank = find(f->at, f->end, "\r\n\r\n", 4);
	const unsigned char *from = blank ? blank + 4 : NULL;
	const unsigned char *to = from ? find(blank + 2, f->end, f->boundary, f->n) : NULL; /* an empty part: at once */
	if (!to)
		return false;
	*lines = (RtSpan){f->at + 2, blank == f->at ? 0 : (size_t)(blank - f->at - 2)};
	*content = (RtSpan){from, to > from ? (size_t)(to - from) : 0};
	f->at = to + f->n;
	return true;
}

static bool form_open(Form *f, RtSpan type, const void *body, size_t n)
{
	RtSpan boundary = parameter(type, "boundary");
	if (boundary.n == 0 || boundary.n > 70)
		return false;
	memcpy(f->boundary, "\r\n--", 4);
	memcpy(f->boundary + 4, boundary.p, boundary.n);
	f->n = boundary.n + 4;
	f->end = (const unsigned char *)body + n;
	f->at = find(body, f->end, f->boundary + 2, f->n - 2);
	if (f->at)
		f->at += f->n - 2;
	return f->at != NULL;
}

static RtStatus ask_form(const RtTakes *t, RtSpan type, const void *body, size_t n, RtAsk *out)
{
	Form f, again;
	RtSpan lines, content;
	if (!form_open(&f, type, body, n))
		return rt_fail(RT_BAD_DATA, "the form's boundary is missing from its header or its body");
	int64_t files = 0;
	for (again = f; files <= t->max_rows && next_part(&again, &lines, &content);)
		files += parameter(part_header(lines, "Content-Disposition"), "filename").n > 0;
	if (files == 0 || files > t->max_rows)
		return rt_fail(RT_BAD_DATA, files ? "more than %lld files in the form" : "the form holds no file",
			       (long long)t->max_rows);
	out->picture = rt_ask_alloc(out, (size_t)files, sizeof *out->picture);
	out->name = out->picture ? rt_ask_alloc(out, (size_t)files, sizeof *out->name) : NULL;
	if (!out->name)
		return RT_NOMEM;
	while (out->rows < files && next_part(&f, &lines, &content)) {
		RtSpan name = parameter(part_header(lines, "Content-Disposition"), "filename");
		if (name.n == 0)
			continue;
		out->name[out->rows] = name;
		out->picture[out->rows++] = content;
	}
	return RT_OK;
}

RtStatus rt_ask_plain(const RtTakes *t, const char *type, const void *body, size_t n, RtAsk *out)
{
	*out = (RtAsk){.kind = RT_ASK_PICTURES};
	if (!t->pictures)
		return rt_fail(RT_BAD_DATA, "this model takes tensors, not pictures");
	if (type && strncasecmp(type, "multipart/form-data", 19) == 0)
		return ask_form(t, (RtSpan){(const unsigned char *)type, strlen(type)}, body, n, out);
	out->picture = rt_ask_alloc(out, 1, sizeof *out->picture);
	if (!out->picture)
		return RT_NOMEM;
	*out->picture = (RtSpan){body, n};
	out->rows = 1;
	return RT_OK;
}

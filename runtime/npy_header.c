/* npy_header.c -- parses the header of a .npy file: a Python dict literal, of which exactly the form that NumPy writes is
 * understood, in any order and spacing
 */
#include "runtime/npy_header.h"

#include <string.h>
#include "ir/size.h"

typedef struct Text {
	const char *at, *end;
} Text;

static void skip_space(Text *t)
{
	while (t->at < t->end && (*t->at == ' ' || *t->at == '\n' || *t->at == '\t'))
		t->at++;
}

static bool take(Text *t, const char *word)
{
	size_t n = strlen(word);
	skip_space(t);
	if ((size_t)(t->end - t->at) < n || memcmp(t->at, word, n))
		return false;
	t->at += n;
	return true;
}

/* 'text' without escapes. */
static bool take_string(Text *t, char *out, size_t room)
{
	skip_space(t);
	if (t->at == t->end || (*t->at != '\'' && *t->at != '"'))
		return false;
	char quote = *t->at++;
	const char *close = memchr(t->at, quote, (size_t)(t->end - t->at));
	if (!close || (size_t)(close - t->at) >= room)
		return false;
	memcpy(out, t->at, (size_t)(close - t->at));
	out[close - t->at] = '\0';
	t->at = close + 1;
	return true;
}

static bool take_size(Text *t, int64_t *out)
{
	skip_space(t);
	const char *start = t->at;
	for (*out = 0; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++)
		if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, *t->at - '0', out))
			return false;
	return t->at > start;
}

static bool take_shape(Text *t, RtNpyHeader *a)
{
	if (!take(t, "("))
		return false;
	while (!take(t, ")")) {
		if (a->rank == RT_NPY_MAX_RANK || !take_size(t, &a->dim[a->rank++]))
			return false;
		if (!take(t, ",")) /* nothing but the end may follow */
			return take(t, ")");
	}
	return true;
}

static RtStatus read_dict(const char *name, Text t, RtNpyHeader *a)
{
	char key[32];
	bool ok = take(&t, "{"), shape = false, comma = true;
	while (ok && !take(&t, "}")) {
		ok = comma && take_string(&t, key, sizeof key) && take(&t, ":");
		if (ok && !strcmp(key, "descr"))
			ok = take_string(&t, a->type, sizeof a->type);
		else if (ok && !strcmp(key, "fortran_order"))
			ok = (a->fortran = take(&t, "True")) || take(&t, "False");
		else if (ok && !strcmp(key, "shape"))
			ok = !shape && (shape = take_shape(&t, a));
		else
			ok = false;
		comma = take(&t, ",");
	}
	if (ok && shape && *a->type)
		return RT_OK;
	return rt_fail(RT_BAD_DATA,
		       "%s: the .npy header is damaged, or has more than %d dimensions or a structured type", name,
		       RT_NPY_MAX_RANK);
}

RtStatus rt_npy_header(const char *name, const unsigned char *p, size_t length, RtNpyHeader *out)
{
	*out = (RtNpyHeader){.rank = 0};
	size_t fixed = length > 6 && p[6] == 1 ? 10 : 12;
	if (length < fixed || memcmp(p, "\x93NUMPY", 6) || p[6] < 1 || p[6] > 3)
		return rt_fail(RT_BAD_DATA, "%s is not a .npy file", name);
	size_t text = p[8] | (size_t)p[9] << 8;
	if (fixed == 12)
		text |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
	if (!size_add(fixed, text, &out->data) || out->data > length)
		return rt_fail(RT_BAD_DATA, "%s ends within its header", name);
	return read_dict(name, (Text){(const char *)p + fixed, (const char *)p + out->data}, out);
}

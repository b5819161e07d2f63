/* config.c -- finding, checking and changing fields; numbers from text
 *
 * Values in the table are canonical text made by the compiler; what users give is checked against the field's type
 * here.
 */
#include "runtime/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/sys.h"

enum { LISTED = 6 };

RtStatus rt_config_new(RtConfig *c, const RtModel *model)
{
	*c = (RtConfig){.model = model, .set = rt_sys.alloc((model->nfields + 1) * sizeof(char *))};
	return c->set ? RT_OK : rt_fail(RT_NOMEM, "out of memory for %u fields", model->nfields);
}

void rt_config_free(RtConfig *c)
{
	for (uint32_t i = 0; c->set && i < c->model->nfields; i++)
		rt_sys.release(c->set[i]);
	rt_sys.release(c->set);
	*c = (RtConfig){0};
}

const char *rt_config_value(const RtConfig *c, uint32_t field)
{
	return c->set[field] ? c->set[field] : c->model->field[field].value ? c->model->field[field].value : "";
}

/* ---- numbers ---- */

static bool parse_plain(const char *text, const char *end, double *out)
{
	char *stop;
	/* strtod would take "inf", "nan", "0x10" and leading blanks too */
	if (text == end || strspn(text, "0123456789+-.eE") < (size_t)(end - text))
		return false;
	*out = strtod(text, &stop);
	return stop == end && isfinite(*out);
}

bool rt_parse_float(const char *text, double *out)
{
	const char *slash = strchr(text, '/'), *end = text + strlen(text);
	double over = 1;
	if (!parse_plain(text, slash ? slash : end, out) || (slash && !parse_plain(slash + 1, end, &over)) || over == 0)
		return false;
	*out /= over;
	return isfinite(*out);
}

bool rt_parse_int(const char *text, int64_t *out)
{
	double v;
	if (!rt_parse_float(text, &v) || v != floor(v) || fabs(v) > 9e15)
		return false;
	*out = (int64_t)v;
	return true;
}

/* A number and one of the units; `unit` is {name, factor} pairs, the first for no unit at all. */
typedef struct Unit {
	const char *name;
	double factor;
} Unit;

static bool parse_units(const char *text, const Unit *unit, int n, double *out)
{
	size_t digits = strspn(text, "0123456789.");
	char number[40];
	if (digits == 0 || digits >= sizeof number)
		return false;
	memcpy(number, text, digits);
	number[digits] = '\0';
	if (!rt_parse_float(number, out))
		return false;
	const char *name = text + digits + strspn(text + digits, " ");
	for (int i = 0; i < n; i++) {
		if (strcmp(name, unit[i].name) == 0) {
			*out *= unit[i].factor;
			return isfinite(*out);
		}
	}
	return false;
}

bool rt_parse_seconds(const char *text, double *out)
{
	static const Unit unit[] = {{"", 1}, {"s", 1}, {"ms", 1e-3}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};
	return parse_units(text, unit, sizeof unit / sizeof *unit, out);
}

bool rt_parse_bytes(const char *text, int64_t *out)
{
	static const Unit unit[] = {
		{"", 1},      {"B", 1},      {"kB", 1e3},      {"KB", 1e3},         {"MB", 1e6},           {"GB", 1e9},
		{"TB", 1e12}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}, {"TiB", 1099511627776}};
	double v;
	if (!parse_units(text, unit, sizeof unit / sizeof *unit, &v) || v > 9e15)
		return false;
	*out = (int64_t)v;
	return true;
}

/* ---- reading ---- */

static int find_path(const RtModel *m, const char *path)
{
	for (uint32_t i = 0; i < m->nfields; i++) {
		if (strcmp(m->field[i].path, path) == 0)
			return (int)i;
	}
	return -1;
}

const char *rt_config_get(const RtConfig *c, const char *path)
{
	int i = find_path(c->model, path);
	const char *value = i < 0 ? "" : rt_config_value(c, (uint32_t)i);
	return value[0] ? value : NULL;
}

const char *rt_config_text(const RtConfig *c, const char *path, const char *otherwise)
{
	const char *value = rt_config_get(c, path);
	return value ? value : otherwise;
}

bool rt_config_bool(const RtConfig *c, const char *path, bool otherwise)
{
	const char *value = rt_config_get(c, path);
	return value ? strcmp(value, "true") == 0 : otherwise;
}

int64_t rt_config_int(const RtConfig *c, const char *path, int64_t otherwise)
{
	int64_t v;
	const char *value = rt_config_get(c, path);
	return value && rt_parse_int(value, &v) ? v : otherwise;
}

double rt_config_float(const RtConfig *c, const char *path, double otherwise)
{
	double v;
	const char *value = rt_config_get(c, path);
	return value && rt_parse_float(value, &v) ? v : otherwise;
}

double rt_config_seconds(const RtConfig *c, const char *path, double otherwise)
{
	double v;
	const char *value = rt_config_get(c, path);
	return value && rt_parse_seconds(value, &v) ? v : otherwise;
}

RtStatus rt_config_int_in(const RtConfig *c, const char *path, int64_t otherwise, int64_t lo, int64_t hi, int64_t *out)
{
	*out = rt_config_int(c, path, otherwise);
	if (*out >= lo && *out <= hi)
		return RT_OK;
	return rt_fail(RT_USAGE, "%s is %lld; it must be %lld … %lld", path, (long long)*out, (long long)lo,
		       (long long)hi);
}

RtStatus rt_config_float_in(const RtConfig *c, const char *path, double otherwise, double lo, double hi, double *out)
{
	*out = rt_config_float(c, path, otherwise);
	if (*out >= lo && *out <= hi)
		return RT_OK;
	return rt_fail(RT_USAGE, "%s is %g; it must be %g … %g", path, *out, lo, hi);
}

const char *rt_config_match(const RtConfig *c, const char *start, const char *end)
{
	size_t a = strlen(start), b = strlen(end);
	for (uint32_t i = 0; i < c->model->nfields; i++) {
		const char *path = c->model->field[i].path;
		size_t n = strlen(path);
		if (n >= a + b && strncmp(path, start, a) == 0 && strcmp(path + n - b, end) == 0)
			return path;
	}
	return NULL;
}

/* ---- key=value ---- */

/* "epochs" and "optimizer.learning_rate" end "train.epochs" and "train.optimizer.learning_rate". */
static bool ends_with_key(const char *path, const char *key)
{
	size_t n = strlen(path), k = strlen(key);
	return n > k && path[n - k - 1] == '.' && strcmp(path + n - k, key) == 0;
}

static int distance(const char *a, const char *b)
{
	enum { LONGEST = 64 };
	int row[LONGEST + 1], na = (int)strlen(a), nb = (int)strlen(b);
	if (na > LONGEST || nb > LONGEST)
		return LONGEST;
	for (int j = 0; j <= nb; j++)
		row[j] = j;
	for (int i = 1; i <= na; i++) {
		int diagonal = row[0];
		row[0] = i;
		for (int j = 1; j <= nb; j++) {
			int change = diagonal + (a[i - 1] != b[j - 1]),
			    gap = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
			diagonal = row[j];
			row[j] = change < gap ? change : gap;
		}
	}
	return row[nb];
}

static RtStatus unknown_key(const RtModel *m, const char *key)
{
	const char *best = NULL;
	int least = (int)strlen(key) / 3 + 2;
	for (uint32_t i = 0; i < m->nfields; i++) {
		const char *path = m->field[i].path, *dot = strrchr(path, '.');
		int whole = distance(key, path), last = distance(key, dot ? dot + 1 : path);
		int d = whole < last ? whole : last;
		if (d < least) {
			least = d;
			best = path;
		}
	}
	if (best)
		return rt_fail(RT_USAGE, "there is no field '%s'; did you mean '%s'?", key, best);
	return rt_fail(RT_USAGE, "there is no field '%s'; --help lists them", key);
}

static RtStatus ambiguous_key(const RtModel *m, const char *key)
{
	char list[400] = "";
	int n = 0;
	for (uint32_t i = 0; i < m->nfields; i++) {
		size_t used = strlen(list);
		if (ends_with_key(m->field[i].path, key) && n++ < LISTED)
			snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", m->field[i].path);
	}
	return rt_fail(RT_USAGE, "'%s' may be any of %s%s; give the whole path", key, list, n > LISTED ? " …" : "");
}

/* Among several fields with this ending, run-time ones come before compile-time ones and set ones before unset ones (an
 * unset data.seed follows train.seed, so `seed` is train.seed). */
static RtStatus find_key(const RtConfig *c, const char *key, int *out)
{
	const RtModel *m = c->model;
	int best = 0, count = 0;
	*out = find_path(m, key);
	if (*out >= 0)
		return RT_OK;
	for (uint32_t i = 0; i < m->nfields; i++) {
		if (!ends_with_key(m->field[i].path, key))
			continue;
		int rank = 1 + 2 * (m->field[i].runtime != 0) + (rt_config_value(c, i)[0] != '\0');
		if (rank > best) {
			best = rank;
			count = 0;
			*out = (int)i;
		}
		count += rank == best;
	}
	return count == 0 ? unknown_key(m, key) : count > 1 ? ambiguous_key(m, key) : RT_OK;
}

static bool is_choice(const char *choices, const char *value)
{
	size_t n = strlen(value);
	for (const char *p = strchr(value, '|') ? NULL : choices; p; p = strchr(p, '|')) {
		p += *p == '|';
		if (strncmp(p, value, n) == 0 && (p[n] == '|' || p[n] == '\0'))
			return true;
	}
	return false;
}

static RtStatus check_value(const RtField *f, const char *value)
{
	double d;
	int64_t i;
	if (f->choices && is_choice(f->choices, value))
		return RT_OK;
	switch ((RtFieldType)f->type) {
	case RT_FIELD_BOOL:
		if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)
			return RT_OK;
		return rt_fail(RT_USAGE, "%s is true or false, not '%s'", f->path, value);
	case RT_FIELD_INT:
		if (rt_parse_int(value, &i) || (strcmp(value, "auto") == 0 && strcmp(f->value, "auto") == 0))
			return RT_OK;
		return rt_fail(RT_USAGE, "%s is a whole number, not '%s'", f->path, value);
	case RT_FIELD_FLOAT:
		if (rt_parse_float(value, &d))
			return RT_OK;
		return rt_fail(RT_USAGE, "%s is a number, not '%s'", f->path, value);
	case RT_FIELD_ENUM:
		return rt_fail(RT_USAGE, "%s is one of %s, not '%s'", f->path, f->choices ? f->choices : "nothing",
			       value);
	case RT_FIELD_DURATION:
		if (rt_parse_seconds(value, &d))
			return RT_OK;
		return rt_fail(RT_USAGE, "%s is a time such as 90s, 5m or 2h, not '%s'", f->path, value);
	case RT_FIELD_SIZE:
		if (rt_parse_bytes(value, &i))
			return RT_OK;
		return rt_fail(RT_USAGE, "%s is a size such as 512MB, not '%s'", f->path, value);
	case RT_FIELD_STRING:
	case RT_FIELD_PATH:
		return RT_OK;
	}
	return RT_OK;
}

RtStatus rt_config_set(RtConfig *c, const char *key, const char *value)
{
	int i;
	RtStatus s = find_key(c, key, &i);
	if (s != RT_OK)
		return s;
	const RtField *f = &c->model->field[i];
	if (!f->runtime)
		return rt_fail(RT_USAGE,
			       "%s changes the code, so it can't be set here; compile again with `cnnc … -D %s=%s`",
			       f->path, f->path, value);
	if (strcmp(value, "null") == 0 || strcmp(value, "none") == 0) {
		if (!(f->choices && is_choice(f->choices, value)) && f->type != RT_FIELD_STRING)
			value = "";
	}
	s = value[0] ? check_value(f, value) : RT_OK;
	if (s != RT_OK)
		return s;
	char *copy = rt_sys.alloc(strlen(value) + 1);
	if (!copy)
		return rt_fail(RT_NOMEM, "out of memory for the value of %s", f->path);
	memcpy(copy, value, strlen(value) + 1);
	rt_sys.release(c->set[i]);
	c->set[i] = copy;
	return RT_OK;
}

RtStatus rt_config_set_pair(RtConfig *c, const char *pair)
{
	char key[200];
	const char *eq = strchr(pair, '=');
	if (!eq || eq == pair || (size_t)(eq - pair) >= sizeof key)
		return rt_fail(RT_USAGE, "'%s' is not KEY=VALUE", pair);
	memcpy(key, pair, (size_t)(eq - pair));
	key[eq - pair] = '\0';
	return rt_config_set(c, key, eq + 1);
}

const char *rt_option(int argc, char **argv, int *i, const char *name)
{
	size_t n = strlen(name);
	if (strncmp(argv[*i], name, n) != 0)
		return NULL;
	if (argv[*i][n] == '=')
		return argv[*i] + n + 1;
	if (argv[*i][n] != '\0')
		return NULL;
	return *i + 1 < argc ? argv[++*i] : "";
}

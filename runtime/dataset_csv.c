/* dataset_csv.c -- a table of pictures: one row a sample, its file and its class
 *
 * RFC 4180: commas, quotes doubled inside quotes, lines that end in LF or CRLF; the first row names the columns. Paths are
 * relative to the table's folder. Samples are in the order of the rows; classes are those given, else the numbers that stand
 * there, else the names that occur, sorted bytewise. Opens no picture.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/dataset.h"
#include "runtime/sys.h"

enum { FIELD_BYTES = 4096, MOST_CLASSES = 65536 };

typedef struct Table {
	const char *file, *p, *end;
	int64_t line, at_line; /* of the next byte; where the row began */
	char field[FIELD_BYTES];
	bool row_ends;         /* behind the field */
	int path, label;       /* columns */
	char row_path[FIELD_BYTES], row_label[FIELD_BYTES];
} Table;

typedef struct Class {
	char *name;
	int32_t index;
} Class;

typedef struct Classes { /* sorted by name */
	Class *class;
	size_t n, room;
} Classes;

/* ---- reading ---- */

static RtStatus bad(const Table *t, const char *what)
{
	return rt_fail(RT_BAD_DATA, "%s:%lld: %s", t->file, (long long)t->at_line, what);
}

/* One field into t->field. */
static RtStatus next_field(Table *t)
{
	size_t n = 0;
	bool quoted = t->p < t->end && *t->p == '"';
	t->p += quoted;
	for (;; t->p++) {
		bool over = t->p == t->end;
		if (over && quoted)
			return bad(t, "a quote is not closed");
		if (quoted && *t->p == '"' && t->p + 1 < t->end && t->p[1] == '"')
			t->p++;
		else if (quoted && *t->p == '"') {
			t->p++;
			break;
		} else if (!quoted && (over || *t->p == ',' || *t->p == '\n' || *t->p == '\r'))
			break;
		if (*t->p == '\0' || n + 1 >= FIELD_BYTES)
			return bad(t, *t->p ? "a field is too long" : "a zero byte: this is no table");
		t->line += *t->p == '\n';
		t->field[n++] = *t->p;
	}
	t->field[n] = '\0';
	if (t->p < t->end && *t->p == '\r')
		t->p++;
	t->row_ends = t->p == t->end || *t->p == '\n';
	if (!t->row_ends && *t->p != ',')
		return bad(t, "text behind a closing quote");
	t->line += t->p < t->end && *t->p == '\n';
	t->p += t->p < t->end;
	return RT_OK;
}

static bool blank_line(const Table *t)
{
	return *t->p == '\n' || (*t->p == '\r' && t->p + 1 < t->end && t->p[1] == '\n');
}

static void skip_blank_lines(Table *t)
{
	while (t->p < t->end && blank_line(t)) {
		t->p += *t->p == '\r' ? 2 : 1;
		t->line++;
	}
	t->at_line = t->line;
}

static RtStatus read_head(Table *t, const RtDataSpec *spec)
{
	if (t->end - t->p >= 3 && memcmp(t->p, "\xEF\xBB\xBF", 3) == 0)
		t->p += 3;
	skip_blank_lines(t);
	t->path = t->label = -1;
	t->row_ends = t->p == t->end;
	for (int column = 0; !t->row_ends; column++) {
		RtStatus s = next_field(t);
		if (s != RT_OK)
			return s;
		if (strcmp(t->field, spec->path_column) == 0)
			t->path = column;
		if (strcmp(t->field, spec->label_column) == 0)
			t->label = column;
	}
	if (t->path < 0 || (spec->has_y && t->label < 0))
		return rt_fail(RT_BAD_DATA,
			       "%s has no column '%s'; its first line names the columns, data.columns says which are meant",
			       t->file, t->path < 0 ? spec->path_column : spec->label_column);
	return RT_OK;
}

/* The next row into row_path and row_label; *more false: there is none. */
static RtStatus next_row(Table *t, bool has_y, bool *more)
{
	skip_blank_lines(t);
	*more = t->p < t->end;
	t->row_path[0] = t->row_label[0] = '\0';
	t->row_ends = !*more;
	for (int column = 0; !t->row_ends; column++) {
		RtStatus s = next_field(t);
		if (s != RT_OK)
			return s;
		if (column == t->path)
			memcpy(t->row_path, t->field, sizeof t->field);
		if (column == t->label)
			memcpy(t->row_label, t->field, sizeof t->field);
	}
	if (*more && !t->row_path[0])
		return bad(t, "no path in this row");
	return *more && has_y && !t->row_label[0] ? bad(t, "no label in this row") : RT_OK;
}

/* ---- classes ---- */

static size_t place_of(const Classes *c, const char *name, bool *found)
{
	size_t lo = 0, hi = c->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int order = strcmp(c->class[mid].name, name);
		if (order == 0) {
			*found = true;
			return mid;
		}
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*found = false;
	return lo;
}

static RtStatus add_class(Classes *c, const char *name, int32_t index)
{
	bool found;
	size_t at = place_of(c, name, &found), bytes = strlen(name) + 1;
	if (found)
		return RT_OK;
	if (c->n == MOST_CLASSES)
		return rt_fail(RT_BAD_DATA, "more than %d classes", MOST_CLASSES);
	if (c->n == c->room) {
		size_t room = c->room ? 2 * c->room : 64;
		Class *bigger = rt_sys.resize(c->class, room * sizeof *bigger);
		if (!bigger)
			return rt_fail(RT_NOMEM, "out of memory for class names");
		c->class = bigger;
		c->room = room;
	}
	char *copy = rt_sys.alloc(bytes);
	if (!copy)
		return rt_fail(RT_NOMEM, "out of memory for class names");
	memcpy(copy, name, bytes);
	memmove(c->class + at + 1, c->class + at, (c->n - at) * sizeof *c->class);
	c->class[at] = (Class){copy, index};
	c->n++;
	return RT_OK;
}

static int32_t number_of(const char *name)
{
	size_t n = strspn(name, "0123456789");
	return n > 0 && n <= 5 && !name[n] && strtol(name, NULL, 10) < MOST_CLASSES ? (int32_t)strtol(name, NULL, 10) : -1;
}

/* Indices of the names that occur: numbers as they are, or the order of the names. */
static RtStatus number_classes(RtStore *s, Classes *c)
{
	int32_t most = -1;
	bool numbers = c->n > 0;
	for (size_t i = 0; i < c->n; i++) {
		int32_t k = number_of(c->class[i].name);
		numbers = numbers && k >= 0;
		most = k > most ? k : most;
	}
	int wanted = s->spec.nclass_names;
	if (numbers && wanted && most >= wanted)
		return rt_fail(RT_BAD_DATA, "%s has the label %d, but there are %d classes", s->spec.file, most, wanted);
	for (size_t i = 0; i < c->n; i++)
		c->class[i].index = numbers ? number_of(c->class[i].name) : (int32_t)i;
	if (numbers)
		return rt_store_name_classes(s, NULL, wanted ? wanted : most + 1);
	if (wanted && c->n != (size_t)wanted)
		return rt_fail(RT_BAD_DATA, "%s has %zu classes, the model has %d", s->spec.file, c->n, wanted);
	char **names = rt_sys.alloc((c->n + 1) * sizeof *names);
	for (size_t i = 0; names && i < c->n; i++)
		names[i] = c->class[i].name;
	RtStatus status = names ? rt_store_name_classes(s, names, (int)c->n)
				: rt_fail(RT_NOMEM, "out of memory for class names");
	rt_sys.release(names);
	return status;
}

static RtStatus find_classes(RtStore *s, Table t, Classes *c)
{
	RtStatus status = RT_OK;
	bool more = true;
	for (int i = 0; s->spec.class_names && i < s->spec.nclass_names && !status; i++)
		status = add_class(c, s->spec.class_names[i], i);
	if (s->spec.class_names)
		return status ? status : rt_store_name_classes(s, s->spec.class_names, s->spec.nclass_names);
	while (!status && more) {
		status = next_row(&t, true, &more);
		if (!status && more)
			status = add_class(c, t.row_label, 0);
	}
	return status ? status : number_classes(s, c);
}

/* ---- samples ---- */

static RtStatus add_row(RtStore *s, Table *t, const Classes *c, RtPictureRoom *room)
{
	char path[2 * FIELD_BYTES];
	bool found = true;
	const char *slash = strrchr(t->file, '/');
	size_t folder = slash && t->row_path[0] != '/' ? (size_t)(slash - t->file) + 1 : 0;
	if (folder >= FIELD_BYTES)
		return bad(t, "the path is too long");
	memcpy(path, t->file, folder);
	memcpy(path + folder, t->row_path, strlen(t->row_path) + 1);
	size_t at = s->spec.has_y ? place_of(c, t->row_label, &found) : 0;
	if (!found)
		return rt_fail(RT_BAD_DATA, "%s:%lld: there is no class '%.100s'", t->file, (long long)t->at_line, t->row_label);
	if (!folder)
		s->root = 0;
	return rt_store_add_picture(s, room, path, strlen(path), s->spec.has_y ? c->class[at].index : -1);
}

static RtStatus read_table(RtStore *s, Table *t)
{
	Classes c = {0};
	RtPictureRoom room = {0};
	bool more = true;
	const char *slash = strrchr(t->file, '/');
	RtStatus status = read_head(t, &s->spec);
	s->root = slash ? (size_t)(slash - t->file) + 1 : 0;
	if (!status && s->spec.has_y)
		status = find_classes(s, *t, &c);
	while (!status && more) {
		status = next_row(t, s->spec.has_y, &more);
		if (!status && more)
			status = add_row(s, t, &c, &room);
	}
	for (size_t i = 0; i < c.n; i++)
		rt_sys.release(c.class[i].name);
	rt_sys.release(c.class);
	return !status && !s->count ? rt_fail(RT_BAD_DATA, "%s has no rows", t->file) : status;
}

RtStatus rt_store_open_csv(RtStore *s)
{
	struct stat st;
	const char *file = s->spec.file;
	int fd = rt_sys.open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0 || rt_sys.fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		RtStatus failed = fd < 0 ? rt_fail_errno(RT_BAD_DATA, "read", file)
					 : rt_fail(RT_BAD_DATA, "%s is not a file", file);
		if (fd >= 0)
			rt_sys.close(fd);
		return failed;
	}
	size_t size = (size_t)st.st_size;
	char *text = size ? rt_sys.map(fd, size) : NULL;
	RtStatus status = size && !text ? rt_fail_errno(RT_BAD_DATA, "read", file) : RT_OK;
	rt_sys.close(fd);
	Table *t = status ? NULL : rt_sys.alloc(sizeof *t);
	if (t) {
		*t = (Table){.file = file, .p = text, .end = text + size, .line = 1, .at_line = 1};
		status = size ? read_table(s, t) : rt_fail(RT_BAD_DATA, "%s is empty", file);
	} else if (!status) {
		status = rt_fail(RT_NOMEM, "out of memory for reading %s", file);
	}
	rt_sys.release(t);
	if (text)
		rt_sys.unmap(text, size);
	return status;
}

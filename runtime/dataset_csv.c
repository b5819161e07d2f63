/* dataset_csv.c -- a table of pictures: one row a sample, its file and its class, or any number of classes
 *
 * RFC 4180: commas, quotes doubled inside quotes, lines that end in LF or CRLF; the first row names the columns. Paths are
 * relative to the table's folder. Samples are in the order of the rows; classes are those given, else the numbers that stand
 * there, else the names that occur, sorted bytewise. Where a sample may have any number of classes they stand in one field, with a
 * separator, or each has a column of 0 and 1. Opens no picture.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "ir/size.h"
#include "runtime/dataset.h"
#include "runtime/sys.h"

enum { FIELD_BYTES = 4096, MOST_CLASSES = 65536 };

typedef struct Table {
	const char *file, *p, *end;
	int64_t line, at_line; /* of the next byte; where the row began */
	char field[FIELD_BYTES];
	bool row_ends;         /* behind the field */
	int path, label;       /* columns */
	int *class_column;     /* number of the column that each of spec.class_columns is in */
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
		for (int c = 0; c < spec->nclass_columns; c++) {
			if (strcmp(t->field, spec->class_columns[c]) == 0)
				t->class_column[c] = column;
		}
	}
	for (int c = 0; c < spec->nclass_columns; c++) {
		if (t->class_column[c] < 0)
			return rt_fail(RT_BAD_DATA, "%s has no column '%s' (data.columns.labels)", t->file, spec->class_columns[c]);
	}
	bool labelled = spec->has_y && !spec->nclass_columns;
	if (t->path < 0 || (labelled && t->label < 0))
		return rt_fail(RT_BAD_DATA,
			       "%s has no column '%s'; its first line names the columns, data.columns says which are meant",
			       t->file, t->path < 0 ? spec->path_column : spec->label_column);
	return RT_OK;
}

/* A field of a column of 0 and 1. */
static RtStatus take_answer(const Table *t, unsigned char *answer)
{
	const char *f = t->field;
	*answer = strcmp(f, "1") == 0 || strcmp(f, "1.0") == 0 || strcasecmp(f, "true") == 0;
	return *answer || !*f || strcmp(f, "0") == 0 || strcmp(f, "0.0") == 0 || strcasecmp(f, "false") == 0
		       ? RT_OK
		       : rt_fail(RT_BAD_DATA, "%s:%lld: '%.40s' is neither 0 nor 1", t->file, (long long)t->at_line, f);
}

/* The next row into row_path and row_label, and into answers[] (NULL: not wanted), one for each of class_column; *more false: there
 * is none. */
static RtStatus next_row(Table *t, const RtDataSpec *spec, unsigned char *answers, bool *more)
{
	bool labelled = spec->has_y && !spec->many;
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
		for (int c = 0; answers && c < spec->nclass_columns && s == RT_OK; c++) {
			if (column == t->class_column[c])
				s = take_answer(t, &answers[c]);
		}
		if (s != RT_OK)
			return s;
	}
	if (*more && !t->row_path[0])
		return bad(t, "no path in this row");
	return *more && labelled && !t->row_label[0] ? bad(t, "no label in this row") : RT_OK;
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

/* The next of the names in *at, which are cut apart; blanks around them do not count. NULL: no more. */
static char *next_name(char **at, const char *separator)
{
	while (*at) {
		char *name = *at + strspn(*at, " "), *end = strstr(*at, separator);
		*at = end ? end + strlen(separator) : NULL;
		if (end)
			*end = '\0';
		size_t n = strlen(name);
		while (n && name[n - 1] == ' ')
			name[--n] = '\0';
		if (n)
			return name;
	}
	return NULL;
}

static RtStatus find_classes(RtStore *s, Table t, Classes *c)
{
	RtStatus status = RT_OK;
	bool more = true;
	for (int i = 0; s->spec.class_names && i < s->spec.nclass_names && !status; i++)
		status = add_class(c, s->spec.class_names[i], i);
	if (s->spec.class_names)
		return status ? status : rt_store_name_classes(s, s->spec.class_names, s->spec.nclass_names);
	if (s->spec.nclass_columns)
		return rt_store_name_classes(s, (char *const *)(uintptr_t)s->spec.class_columns, s->spec.nclass_columns);
	while (!status && more) {
		status = next_row(&t, &s->spec, NULL, &more);
		if (!status && more && !s->spec.many)
			status = add_class(c, t.row_label, 0);
		for (char *at = t.row_label, *name; !status && more && s->spec.many && (name = next_name(&at, s->spec.separator));)
			status = add_class(c, name, 0);
	}
	return status ? status : number_classes(s, c);
}

/* ---- samples ---- */

static RtStatus no_class(const Table *t, const char *name)
{
	return rt_fail(RT_BAD_DATA, "%s:%lld: there is no class '%.100s'", t->file, (long long)t->at_line, name);
}

/* Row s->count - 1 of s->many, whose room is doubled as needed. */
static RtStatus add_answers(RtStore *s, Table *t, const Classes *c, const unsigned char *answers, size_t *room)
{
	size_t classes = (size_t)s->classes, row = (size_t)s->count - 1;
	if (row >= *room) {
		size_t more = *room ? 2 * *room : 256, bytes;
		unsigned char *bigger = size_mul(more, classes, &bytes) ? rt_sys.resize(s->many, bytes) : NULL;
		if (!bigger)
			return rt_fail(RT_NOMEM, "out of memory for the classes of %zu samples", more);
		s->many = bigger;
		*room = more;
	}
	unsigned char *to = s->many + row * classes;
	memset(to, 0, classes);
	if (s->spec.nclass_columns) {
		memcpy(to, answers, classes);
		return RT_OK;
	}
	for (char *at = t->row_label, *name; (name = next_name(&at, s->spec.separator));) {
		bool found;
		size_t k = place_of(c, name, &found);
		if (!found)
			return no_class(t, name);
		to[c->class[k].index] = 1;
	}
	return RT_OK;
}

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
	bool one = s->spec.has_y && !s->spec.many;
	size_t at = one ? place_of(c, t->row_label, &found) : 0;
	if (!found)
		return no_class(t, t->row_label);
	if (!folder)
		s->root = 0;
	return rt_store_add_picture(s, room, path, strlen(path), one ? c->class[at].index : -1);
}

static RtStatus read_rows(RtStore *s, Table *t, const Classes *c, unsigned char *answers)
{
	RtPictureRoom room = {0};
	size_t answered = 0;
	bool more = true;
	RtStatus status = RT_OK;
	while (!status && more) {
		status = next_row(t, &s->spec, answers, &more);
		if (!status && more)
			status = add_row(s, t, c, &room);
		if (!status && more && s->spec.has_y && s->spec.many)
			status = add_answers(s, t, c, answers, &answered);
	}
	return status;
}

static RtStatus read_table(RtStore *s, Table *t)
{
	Classes c = {0};
	size_t columns = (size_t)s->spec.nclass_columns + 1;
	const char *slash = strrchr(t->file, '/');
	unsigned char *answers = rt_sys.alloc(columns);
	t->class_column = rt_sys.alloc(columns * sizeof *t->class_column);
	for (size_t i = 0; i < columns && t->class_column; i++)
		t->class_column[i] = -1;
	RtStatus status = answers && t->class_column ? read_head(t, &s->spec) : rt_fail(RT_NOMEM, "out of memory for %zu columns", columns);
	s->root = slash ? (size_t)(slash - t->file) + 1 : 0;
	if (!status && s->spec.has_y)
		status = find_classes(s, *t, &c);
	if (!status && s->spec.nclass_columns && s->classes != s->spec.nclass_columns)
		status = rt_fail(RT_BAD_DATA, "%d columns of classes, but %d classes", s->spec.nclass_columns, s->classes);
	if (!status)
		status = read_rows(s, t, &c, answers);
	for (size_t i = 0; i < c.n; i++)
		rt_sys.release(c.class[i].name);
	rt_sys.release(c.class);
	rt_sys.release(answers);
	rt_sys.release(t->class_column);
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

/* history.c -- reads the rows that the trainer has written */
#include "runtime/history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/sys.h"

static int count_lines(const char *text)
{
	int n = 0;
	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

static void split_header(RtHistory *h)
{
	char *at = h->header;
	while (at && h->columns < RT_MAX_COLUMNS) {
		h->name[h->columns++] = at;
		at = strchr(at, ',');
		if (at)
			*at++ = '\0';
	}
}

/* One line of numbers; those that are missing are NaN. */
static void read_row(const RtHistory *h, const char *line, double *out)
{
	const char *end = line + strcspn(line, "\n");
	for (int c = 0; c < h->columns; c++) {
		char *after;
		out[c] = line < end ? strtod(line, &after) : NAN;
		if (line < end && after == line)
			out[c] = NAN;
		line += strcspn(line, ",\n");
		line += *line == ',';
	}
}

RtStatus rt_history_new(RtHistory *h, const char *csv)
{
	*h = (RtHistory){0};
	const char *line = csv ? strchr(csv, '\n') : NULL;
	if (!line)
		return RT_OK;
	const size_t n = (size_t)(line - csv), rows = (size_t)count_lines(line + 1);
	h->header = rt_sys.alloc(n + 1);
	h->value = rt_sys.alloc((rows + 1) * RT_MAX_COLUMNS * sizeof *h->value);
	if (!h->header || !h->value) {
		rt_history_free(h);
		return rt_fail(RT_NOMEM, "out of memory for the results of %zu epochs", rows);
	}
	memcpy(h->header, csv, n);
	split_header(h);
	for (line++; h->rows < (int)rows; line += strcspn(line, "\n") + 1)
		read_row(h, line, h->value + (size_t)h->rows++ * (size_t)h->columns);
	return RT_OK;
}

void rt_history_free(RtHistory *h)
{
	rt_sys.release(h->header);
	rt_sys.release(h->value);
	*h = (RtHistory){0};
}

int rt_history_column(const RtHistory *h, const char *name)
{
	for (int c = 0; c < h->columns; c++) {
		if (strcmp(h->name[c], name) == 0)
			return c;
	}
	return -1;
}

double rt_history_at(const RtHistory *h, int row, int column)
{
	return column < 0 || row < 0 || row >= h->rows ? NAN : h->value[(size_t)row * (size_t)h->columns + (size_t)column];
}

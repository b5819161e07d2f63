/* page.h -- pieces of an HTML page: escaped text, numbers, tables, line charts in SVG, pictures as data
 *
 * Names of classes, files and fields come from users: whatever they hold is text in the page, never markup.
 */
#ifndef CNNC_RUNTIME_PAGE_H
#define CNNC_RUNTIME_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

void rt_page_text(FILE *f, const char *text);           /* escaped; also good within quotes of an attribute */
void rt_page_count(FILE *f, long long n);               /* 12,345 */
void rt_page_cell(FILE *f, const char *text);           /* <td> */
void rt_page_number(FILE *f, const char *fmt, double v); /* <td> to the right; "–" where it is not finite */
void rt_page_base64(FILE *f, const void *bytes, size_t n);

enum { RT_CHART_LINES = 8 };
typedef struct RtLine {
	const char *name;
	int n;
	const double *x, *y; /* points that are not finite are left out */
} RtLine;

typedef struct RtChart {
	const char *title, *x_name, *y_name;
	RtLine line[RT_CHART_LINES];
	int n;
	bool unit;     /* both axes are [0, 1] */
	bool diagonal; /* of chance, or of perfect calibration */
} RtChart;

/* A figure with caption and legend; values of the last points stand in the legend. Nothing without two points. */
void rt_page_chart(FILE *f, const RtChart *c);

#endif

/* chart.c -- line charts as inline SVG, one coordinate system for all sizes of screen
 *
 * Axes carry three to six round numbers. Lines differ by colour and by dashes, so that they are told apart without colour, too;
 * the legend names them with their last value.
 */
#include <math.h>
#include "runtime/page.h"

enum { WIDTH = 420, HEIGHT = 250, LEFT = 48, RIGHT = 12, TOP = 12, BOTTOM = 38, INNER_W = WIDTH - LEFT - RIGHT,
       INNER_H = HEIGHT - TOP - BOTTOM, MOST_STEPS = 20 };

typedef struct Axis {
	double lo, hi;
	int steps; /* between lo and hi: one number more stands on the axis */
} Axis;

static const char *const dashes[] = {"", "6 4", "2 3", "10 4 2 4"};

/* Round numbers that hold lo … hi: steps of 1, 2 or 5 times a power of ten. Values that differ by noise alone stand in the middle of
 * an axis that has room for them. */
static Axis axis_over(double lo, double hi)
{
	const double largest = fmax(fabs(lo), fabs(hi));
	if (!(hi - lo > 1e-6 * largest)) {
		const double around = largest > 0 ? largest / 2 : 1;
		lo -= around;
		hi += around;
	}
	const double raw = (hi - lo) / 4, power = pow(10, floor(log10(raw))), share = raw / power;
	const double step = power * (share < 1.5 ? 1 : share < 2.5 ? 2 : share < 6 ? 5 : 10), first = floor(lo / step), last = ceil(hi / step);
	if (!isfinite(step) || !(last - first <= MOST_STEPS))
		return (Axis){lo, hi, 1};
	return (Axis){first * step, last * step, (int)(last - first)};
}

/* The number that tick i stands for; the one that is nearly zero is zero. */
static double tick(const Axis *a, int i)
{
	const double step = (a->hi - a->lo) / a->steps, v = a->lo + i * step;
	return fabs(v) < step / 1e6 ? 0 : v;
}

static bool is_point(const RtLine *l, int i)
{
	return fabs(l->x[i]) < 1e305 && fabs(l->y[i]) < 1e305; /* their differences are finite, too */
}

static int extent(const RtChart *c, bool vertical, double *lo, double *hi)
{
	int n = 0;
	*lo = INFINITY;
	*hi = -INFINITY;
	for (int k = 0; k < c->n; k++) {
		for (int i = 0; i < c->line[k].n; i++) {
			const double v = vertical ? c->line[k].y[i] : c->line[k].x[i];
			if (!is_point(&c->line[k], i))
				continue;
			*lo = fmin(*lo, v);
			*hi = fmax(*hi, v);
			n++;
		}
	}
	return n;
}

static double across(const Axis *a, double v)
{
	return LEFT + (v - a->lo) / (a->hi - a->lo) * INNER_W;
}

static double down(const Axis *a, double v)
{
	return TOP + INNER_H - (v - a->lo) / (a->hi - a->lo) * INNER_H;
}

static void print_axes(FILE *f, const RtChart *c, const Axis *x, const Axis *y)
{
	for (int i = 0; i <= y->steps; i++) {
		const double v = tick(y, i), at = down(y, v);
		fprintf(f, "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>", LEFT, at, WIDTH - RIGHT,
		        LEFT - 6, at + 4, v);
	}
	for (int i = 0; i <= x->steps; i++)
		fprintf(f, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.4g</text>", across(x, tick(x, i)), HEIGHT - BOTTOM + 16, tick(x, i));
	fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", WIDTH - RIGHT, HEIGHT - 6);
	rt_page_text(f, c->x_name);
	fputs("</text>", f);
	if (c->diagonal)
		fprintf(f, "<path class=\"chance\" d=\"M%d %dL%d %d\"/>", LEFT, TOP + INNER_H, LEFT + INNER_W, TOP);
}

static void print_line(FILE *f, const RtLine *l, int k, const Axis *x, const Axis *y)
{
	bool begun = false;
	fprintf(f, "<path class=\"line c%d\" stroke-dasharray=\"%s\" d=\"", k, dashes[k % 4]);
	for (int i = 0; i < l->n; i++) {
		if (!is_point(l, i))
			continue;
		fprintf(f, "%c%.1f %.1f", begun ? 'L' : 'M', across(x, l->x[i]), down(y, l->y[i]));
		begun = true;
	}
	fputs("\"/>", f);
}

static void print_legend(FILE *f, const RtChart *c)
{
	fputs("<figcaption><b>", f);
	rt_page_text(f, c->title);
	fputs("</b>", f);
	for (int k = 0; k < c->n; k++) {
		const RtLine *l = &c->line[k];
		fprintf(f, " <span class=\"key c%d\"><svg viewBox=\"0 0 24 8\" aria-hidden=\"true\"><path class=\"line c%d\" stroke-dasharray=\"%s\" "
		           "d=\"M0 4H24\"/></svg>", k, k, dashes[k % 4]);
		rt_page_text(f, l->name);
		if (!c->unit && l->n && isfinite(l->y[l->n - 1]))
			fprintf(f, " %.4g", l->y[l->n - 1]);
		fputs("</span>", f);
	}
	fputs("</figcaption>", f);
}

void rt_page_chart(FILE *f, const RtChart *c)
{
	double x0, x1, y0, y1;
	if (extent(c, false, &x0, &x1) < 2)
		return;
	extent(c, true, &y0, &y1);
	const Axis x = c->unit ? (Axis){0, 1, 4} : axis_over(x0, x1), y = c->unit ? (Axis){0, 1, 4} : axis_over(y0, y1);
	fprintf(f, "<figure><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
	rt_page_text(f, c->title);
	fputs(": ", f);
	rt_page_text(f, c->y_name);
	fputs(" by ", f);
	rt_page_text(f, c->x_name);
	fputs("\">", f);
	print_axes(f, c, &x, &y);
	for (int k = 0; k < c->n; k++)
		print_line(f, &c->line[k], k, &x, &y);
	fputs("</svg>", f);
	print_legend(f, c);
	fputs("</figure>\n", f);
}

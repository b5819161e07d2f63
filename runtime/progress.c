/* progress.c -- Keras-style progress lines
 *
 *   Epoch 1/20
 *   100/100 ━━━━━━━━━━━━━━━━━━━━ 1s 8ms/step - accuracy: 0.7550 - loss: 0.5064
 */
#include "runtime/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/sys.h"

enum { BAR = 20, REDRAW_NS = 100000000, MOST_SHOWN = 80 };

void rt_progress_open(RtProgress *p, FILE *f, const char *verbose)
{
	*p = (RtProgress){.f = f};
	bool terminal = isatty(fileno(f));
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	bool dumb = term && strcmp(term, "dumb") == 0;
	p->mode = strcmp(verbose, "0") == 0   ? 0
		  : strcmp(verbose, "1") == 0 ? 1
		  : strcmp(verbose, "2") == 0 ? 2
		  : terminal && !dumb         ? 1
					      : 2;
	p->color = terminal && !dumb && !(no_color && no_color[0]);
}

static int by_name(const void *a, const void *b)
{
	const RtShown *x = a, *y = b;
	return strcmp(x->name, y->name);
}

/* Keras: four decimals, or scientific where that would show too little. */
static void put_numbers(RtProgress *p, const RtShown *shown, int n)
{
	RtShown sorted[MOST_SHOWN];
	n = n < MOST_SHOWN ? n : MOST_SHOWN;
	memcpy(sorted, shown, (size_t)n * sizeof *sorted);
	qsort(sorted, (size_t)n, sizeof *sorted, by_name);
	for (int i = 0; i < n; i++) {
		double v = sorted[i].value;
		fprintf(p->f, fabs(v) > 1e-3 || v == 0 ? " - %s: %.4f" : " - %s: %.4e", sorted[i].name, v);
	}
}

static void put_times(RtProgress *p, int64_t step)
{
	double seconds = (double)((p->trained ? p->trained : rt_sys.monotonic_ns()) - p->started) / 1e9;
	int64_t done = step - p->steps_at_start;
	double each = done > 0 ? seconds / (double)done : 0;
	fprintf(p->f, " %.0fs", seconds);
	if (each >= 1)
		fprintf(p->f, " %.0fs/step", each);
	else if (each >= 1e-3)
		fprintf(p->f, " %.0fms/step", each * 1e3);
	else
		fprintf(p->f, " %.0fus/step", each * 1e6);
}

static void draw(RtProgress *p, int64_t step, const RtShown *shown, int n)
{
	int64_t steps = p->steps > step ? p->steps : step;
	int full = steps > 0 ? (int)(BAR * step / steps) : BAR;
	fprintf(p->f, "\r%lld/%lld ", (long long)step, (long long)steps);
	fputs(p->color ? "\033[32m" : "", p->f);
	for (int i = 0; i < BAR; i++) {
		if (i == full && p->color)
			fputs("\033[37m", p->f);
		fputs(i < full || p->color ? "━" : " ", p->f);
	}
	fputs(p->color ? "\033[0m" : "", p->f);
	put_times(p, step);
	put_numbers(p, shown, n);
	fputs("\033[K", p->f);
	fflush(p->f);
	p->drawn = rt_sys.monotonic_ns();
	p->width = 1;
}

void rt_progress_epoch(RtProgress *p, int64_t epoch, int64_t epochs, int64_t steps, int64_t done)
{
	p->epoch = epoch;
	p->epochs = epochs;
	p->steps = steps;
	p->steps_at_start = done;
	p->started = rt_sys.monotonic_ns();
	p->drawn = p->trained = 0;
	if (p->mode == 1)
		fprintf(p->f, "Epoch %lld/%lld\n", (long long)epoch, (long long)epochs);
}

void rt_progress_step(RtProgress *p, int64_t step, const RtShown *shown, int n)
{
	if (p->mode == 1 && rt_sys.monotonic_ns() - p->drawn >= REDRAW_NS)
		draw(p, step, shown, n);
}

void rt_progress_trained(RtProgress *p)
{
	p->trained = rt_sys.monotonic_ns();
}

void rt_progress_end(RtProgress *p, int64_t steps, const RtShown *shown, int n)
{
	p->steps = steps;
	if (p->mode == 1) {
		draw(p, steps, shown, n);
		fputs("\n", p->f);
	} else if (p->mode == 2) {
		fprintf(p->f, "Epoch %lld/%lld - %lld/%lld -", (long long)p->epoch, (long long)p->epochs,
			(long long)steps, (long long)steps);
		put_times(p, steps);
		put_numbers(p, shown, n);
		fputs("\n", p->f);
	}
	p->width = 0;
	fflush(p->f);
}

void rt_progress_break(RtProgress *p)
{
	if (p->mode == 1 && p->width)
		fputs("\n", p->f);
	p->width = 0;
}

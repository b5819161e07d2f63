/* diagnose.c -- plain sentences about a training: what is wrong, by which figures, and what helps
 *
 * A sentence is said only where its figures are beyond doubt; thresholds stand with the rules that use them.
 */
#include <math.h>
#include <stdarg.h>
#include "runtime/history.h"

void rt_find(RtFindings *f, const char *fmt, ...)
{
	va_list args;
	if (f->n == RT_MAX_FINDINGS)
		return;
	va_start(args, fmt);
	vsnprintf(f->text[f->n++], RT_FINDING, fmt, args);
	va_end(args);
}

/* ---- curves ---- */

static int row_of_least(const RtHistory *h, int column)
{
	int best = 0;
	for (int r = 1; r < h->rows; r++) {
		if (rt_history_at(h, r, column) < rt_history_at(h, best, column))
			best = r;
	}
	return best;
}

/* The validation's loss stands a twentieth above its least for three epochs or more, the training's went on falling. */
static void overfitting(const RtHistory *h, RtFindings *f)
{
	const int loss = rt_history_column(h, "loss"), val = rt_history_column(h, "val_loss"), last = h->rows - 1;
	if (loss < 0 || val < 0 || h->rows < 5)
		return;
	const int best = row_of_least(h, val);
	const double least = rt_history_at(h, best, val), now = rt_history_at(h, last, val);
	const bool falls = rt_history_at(h, last, loss) < rt_history_at(h, best, loss);
	if (last - best < 3 || !(now > 1.05 * least) || !falls)
		return;
	rt_find(f, "Overfitting since epoch %d: val_loss rose from %.4g to %.4g while loss fell from %.4g to %.4g. The weights of epoch %d "
	        "are kept as the best; EarlyStopping ends such runs sooner, augmentation, Dropout or more data help.",
	        best + 1, least, now, rt_history_at(h, best, loss), rt_history_at(h, last, loss), best + 1);
}

/* A loss that ends an epoch three times as high as one before it: steps are too long. */
static void explosion(const RtHistory *h, RtFindings *f)
{
	const int loss = rt_history_column(h, "loss"), rate = rt_history_column(h, "learning_rate");
	double least = INFINITY;
	for (int r = 0; loss >= 0 && r < h->rows; r++) {
		const double now = rt_history_at(h, r, loss);
		if (now > 3 * least && now - least > 0.1) {
			rt_find(f, "The loss jumped to %.4g in epoch %d, after %.4g: gradients explode. A learning rate of %.2g instead of %.2g, or "
			        "clipnorm: 1 in the optimizer, prevents it.",
			        now, r + 1, least, rt_history_at(h, r, rate) / 10, rt_history_at(h, r, rate));
			return;
		}
		least = now < least ? now : least;
	}
}

/* The last epoch still made the validation's loss a twentieth smaller. */
static void unfinished(const RtHistory *h, RtFindings *f)
{
	const int val = rt_history_column(h, "val_loss"), last = h->rows - 1;
	if (val < 0 || h->rows < 4 || row_of_least(h, val) != last)
		return;
	const double before = rt_history_at(h, last - 1, val), now = rt_history_at(h, last, val);
	if (now < 0.95 * before)
		rt_find(f, "Still learning: the last epoch took val_loss from %.4g to %.4g. More epochs are worth their time (epochs=%d --resume).",
		        before, now, 2 * h->rows);
}

void rt_diagnose_history(const RtHistory *h, RtFindings *f)
{
	overfitting(h, f);
	explosion(h, f);
	unfinished(h, f);
}

void rt_diagnose_waiting(double waited, int threads, RtFindings *f)
{
	if (waited > 0.25)
		rt_find(f, "Decoding is slower than the step: %.0f %% of the training time went into waiting for samples. data.cache: ram keeps decoded "
		        "pictures, data.workers above %d decodes more at once, smaller files decode faster.", 100 * waited, threads);
}

/* ---- answers ---- */

/* Two standard errors of an accuracy wider than 5 % say little about small differences. */
static void too_few(long long right, long long n, RtFindings *f)
{
	const double accuracy = n ? (double)right / (double)n : 0, error = n ? 2 * sqrt(accuracy * (1 - accuracy) / (double)n) : 1;
	if (n > 0 && (n < 100 || error > 0.05))
		rt_find(f, "The validation set is small: of %lld samples, accuracy is known to ±%.1f %% only, and epochs that differ by less are alike. "
		        "A larger validation_split, or cross-validation, tells more.", n, 100 * (error > 0 ? error : 1 / (double)n));
}

void rt_diagnose_classes(const long long *counts, int classes, const char *(*name)(void *arg, int), void *arg, RtFindings *f)
{
	long long n = 0, right = 0, most = 0, most_true = 0;
	int favourite = 0, never = -1, nnever = 0;
	for (int a = 0; a < classes; a++) {
		long long answers = 0, truths = 0;
		for (int k = 0; k < classes; k++) {
			answers += counts[(long long)k * classes + a];
			truths += counts[(long long)a * classes + k];
		}
		right += counts[(long long)a * classes + a];
		n += truths;
		if (answers > most) {
			most = answers;
			most_true = truths;
			favourite = a;
		}
		if (answers == 0 && truths > 0 && nnever++ == 0)
			never = a;
	}
	if (n >= 20 && (double)most > 0.95 * (double)n && (double)most_true < 0.8 * (double)n)
		rt_find(f, "Class collapse: %.0f %% of the answers are '%s', which %.0f %% of the samples are. A smaller learning rate, "
		        "class_weight: balanced, or rescaled inputs (rescale: 1/255) help.",
		        100 * (double)most / (double)n, name(arg, favourite), 100 * (double)most_true / (double)n);
	else if (n >= 20 && nnever > 0)
		rt_find(f, "'%s'%s never the answer, though the validation data has %s. class_weight: balanced or more samples of the class help.",
		        name(arg, never), nnever > 1 ? " and others are" : " is", nnever > 1 ? "them" : "it");
	too_few(right, n, f);
}

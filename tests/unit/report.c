/* report.c -- findings that figures provoke, curves of known area, and a page that hostile names can't break */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/answers.h"
#include "runtime/gallery.h"
#include "runtime/history.h"
#include "runtime/page.h"
#include "runtime/sys.h"
#include "runtime/train.h"
#include "tests/support/suite.h"
#include "tests/unit/tiny_model.h"

/* ---- diagnosing ---- */

static const char *class_of(void *arg, int i)
{
	return ((const char *const *)arg)[i];
}

static void diagnose_csv(const char *csv, RtFindings *f)
{
	RtHistory h;
	*f = (RtFindings){0};
	ck_assert_int_eq(rt_history_new(&h, csv), RT_OK);
	rt_diagnose_history(&h, f);
	rt_history_free(&h);
}

START_TEST(histories)
{
	static const struct { const char *csv, *says; } cases[] = {
		{"epoch,loss,val_loss\n1,1,1\n2,.8,.7\n3,.6,.75\n4,.5,.8\n5,.4,.9\n6,.3,1\n", "Overfitting since epoch 2: val_loss rose from 0.7 to 1"},
		{"epoch,loss,learning_rate\n1,1,.5\n2,.8,.5\n3,9,.5\n", "The loss jumped to 9 in epoch 3, after 0.8: gradients explode. A learning rate of 0.05"},
		{"epoch,loss,val_loss\n1,1,1\n2,.9,.9\n3,.8,.8\n4,.7,.7\n", "Still learning: the last epoch took val_loss from 0.8 to 0.7"},
		{"epoch,loss,val_loss\n1,1,1\n2,.9,.9\n3,.8,.85\n4,.79,.84\n5,.78,.84\n", NULL},
		{"epoch,loss\n", NULL},
		{"", NULL},
		{"epoch,loss,val_loss\n1,nan,\n2,x,nan\n3", NULL},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		RtFindings f;
		diagnose_csv(cases[i].csv, &f);
		ck_assert_msg(f.n == (cases[i].says != NULL), "case %zu: %d findings: %s", i, f.n, f.text[0]);
		ck_assert_msg(!cases[i].says || strncmp(f.text[0], cases[i].says, strlen(cases[i].says)) == 0, "%s", f.text[0]);
	}
}
END_TEST

START_TEST(waiting_and_classes)
{
	const char *names[] = {"cat", "dog", "owl"};
	RtFindings f = {0};
	rt_diagnose_waiting(0.1, 2, &f);
	ck_assert_int_eq(f.n, 0);
	rt_diagnose_waiting(0.5, 2, &f);
	ck_assert_ptr_nonnull(strstr(f.text[0], "50 % of the training time"));
	f.n = 0;
	rt_diagnose_classes((const long long[]){500, 0, 500, 2}, 2, class_of, names, &f);
	ck_assert_msg(f.n == 1 && strstr(f.text[0], "Class collapse: 100 % of the answers are 'cat', which 50 %"), "%d %s", f.n, f.text[0]);
	f.n = 0;
	rt_diagnose_classes((const long long[]){400, 100, 0, 90, 400, 0, 100, 200, 0}, 3, class_of, names, &f);
	ck_assert_msg(f.n == 1 && strstr(f.text[0], "'owl' is never the answer"), "%d %s", f.n, f.text[0]);
	f.n = 0;
	rt_diagnose_classes((const long long[]){20, 10, 10, 20}, 2, class_of, names, &f);
	ck_assert_msg(f.n == 1 && strstr(f.text[0], "of 60 samples, accuracy is known to ±12.2 %"), "%d %s", f.n, f.text[0]);
	f.n = 0;
	rt_diagnose_classes((const long long[]){900, 100, 100, 900}, 2, class_of, names, &f);
	ck_assert_int_eq(f.n, 0);
	for (int i = 0; i < 2 * RT_MAX_FINDINGS; i++)
		rt_find(&f, "%500s", "long");
	ck_assert_int_eq(f.n, RT_MAX_FINDINGS);
}
END_TEST

/* ---- curves ---- */

/* Scores of one output: p, and the truth beside it. */
static RtCurve curve_of(const float *p, const float *truth, int n, RtAnswers *out)
{
	const RtScores two = {.classes = 2, .outputs = 1, .exclusive = true, .temperature = 1};
	const RtPort y = {.name = "y", .dtype = RT_F32, .rank = 1, .row_bytes = 4};
	RtCalibrator c;
	RtCurve curve;
	bool found;
	ck_assert_int_eq(rt_calibrator_new(&c, &two, &y, n), RT_OK);
	rt_calibrator_add(&c, p, (const unsigned char *)truth, n);
	ck_assert_int_eq(rt_answers_new(out, &c, 1), RT_OK);
	ck_assert_int_eq(rt_answers_curve(out, 1, &curve, &found), RT_OK);
	ck_assert(found);
	rt_calibrator_free(&c);
	return curve;
}

START_TEST(areas)
{
	static const float truth[] = {1, 1, 0, 1, 0, 0}, apart[] = {.9f, .8f, .3f, .7f, .2f, .1f}, mixed[] = {.9f, .4f, .6f, .7f, .2f, .1f};
	static const float alike[] = {.5f, .5f, .5f, .5f, .5f, .5f};
	RtAnswers a;
	RtCurve c = curve_of(apart, truth, 6, &a);
	ck_assert(c.auc == 1 && c.tpr[0] == 0 && c.tpr[RT_CURVE - 1] == 1 && c.fpr[RT_CURVE - 1] == 1 && c.precision[RT_CURVE - 1] == 0.5);
	ck_assert(a.counts[0] == 3 && a.counts[3] == 3 && a.counts[1] == 0);
	rt_answers_free(&a);
	c = curve_of(mixed, truth, 6, &a);
	ck_assert_msg(fabs(c.auc - 8.0 / 9) < 1e-12, "%g", c.auc); /* 8 of 9 pairs stand in order */
	rt_answers_free(&a);
	c = curve_of(alike, truth, 6, &a);
	ck_assert(c.auc == 0.5);
	rt_answers_free(&a);
}
END_TEST

/* ---- the page ---- */

static char *printed(void (*print)(FILE *))
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	print(f);
	fclose(f);
	return text;
}

static void hostile(FILE *f)
{
	rt_page_cell(f, "<script>alert('x')</script>&\"\x01");
	rt_page_count(f, -1234567);
	rt_page_number(f, "%.2f", NAN);
	rt_page_base64(f, "Man", 3);
	rt_page_base64(f, "Ma", 2);
	rt_page_base64(f, "M", 1);
}

static void chart(FILE *f)
{
	static const double x[] = {1, 2, 3, 4}, y[] = {1e-3, NAN, INFINITY, 2e-3}, same[] = {5, 5, 5, 5};
	RtChart c = {.title = "<a>", .x_name = "epoch", .y_name = "loss", .n = 2};
	c.line[0] = (RtLine){"training", 4, x, y};
	c.line[1] = (RtLine){"same", 4, x, same};
	rt_page_chart(f, &c);
}

/* Lines of any range end: the axis has some ticks, never one for each representable number. */
START_TEST(axes)
{
	static const double ranges[][2] = {{0.5, 0.5}, {0.5, 0.5 + 1e-16}, {0.9037, 0.9037 + 2e-16}, {1e300, -1e300}, {-1.7e308, 1.7e308}, {0, 5e-324},
		{1e-300, 2e-300}, {1, 1 + 1e-5}, {-3, 1e9}, {0, 0}, {1e16, 1e16 + 2}};
	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
		const double x[] = {1, 2};
		char *text = NULL;
		size_t n;
		FILE *f = open_memstream(&text, &n);
		rt_page_chart(f, &(RtChart){.title = "t", .x_name = "x", .y_name = "y", .n = 1, .line = {{"l", 2, x, ranges[i]}}});
		fclose(f);
		ck_assert_msg((n > 200 || fabs(ranges[i][0]) > 1e305) && n < 8000 && !strstr(text, "nan") && !strstr(text, "inf"), "range %zu: %zu bytes: %.300s", i, n, text);
		free(text);
	}
}
END_TEST

START_TEST(page)
{
	char *text = printed(hostile);
	ck_assert_str_eq(text, "<td>&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;?</td>-1,234,567<td class=\"n\">–</td>TWFuTWE=TQ==");
	free(text);
	text = printed(chart);
	ck_assert_ptr_null(strstr(text, "nan"));
	ck_assert_ptr_null(strstr(text, "inf"));
	ck_assert_ptr_null(strstr(text, "<a>"));
	ck_assert_ptr_nonnull(strstr(text, "class=\"line c1\""));
	free(text);
}
END_TEST

START_TEST(gallery)
{
	const RtPort x = {.name = "x", .dtype = RT_U8, .rank = 4, .dim = {0, 200, 100, 4}, .row_bytes = 80000};
	unsigned char *row = calloc(1, x.row_bytes);
	RtGallery g;
	ck_assert_int_eq(rt_gallery_new(&g), RT_OK);
	for (int i = 0; i < 40; i++)
		rt_gallery_add(&g, &x, row, 1, 0, (i * 7 % 40) / 40.0);
	rt_gallery_add(&g, &x, row, -1, 0, 1);
	for (int i = 0; i < RT_WORST; i++)
		ck_assert(g.worst[i].used && g.worst[i].probability == (39 - i) / 40.0);
	ck_assert(g.sample[1].used && !g.sample[0].used && g.sample[1].width == 48 && g.sample[1].height == 96 && g.sample[1].channels == 3);
	size_t n = 0;
	unsigned char *png = rt_thumb_png(&g.sample[1], &n);
	ck_assert(png && n > 50 && memcmp(png, "\x89PNG", 4) == 0);
	rt_sys.release(png);
	rt_gallery_free(&g);
	free(row);
}
END_TEST

/* ---- a run ---- */

START_TEST(a_run_reports)
{
	tiny_folder();
	ck_assert_int_eq(tiny_run(rt_train_main, "./tiny<train>", "epochs=5", NULL), 0);
	const char *text = tiny_text("runs/tiny/1/report.html");
	static const char *const must[] = {"<!doctype html>", "Finished, 5 of 5 epochs", "<b>loss</b>", "<b>accuracy</b>", "samples a second",
		"./tiny&lt;train&gt;", "Content-Security-Policy", "</html>"};
	for (size_t i = 0; i < sizeof must / sizeof *must; i++)
		ck_assert_msg(strstr(text, must[i]) != NULL, "no %s in the report", must[i]);
	ck_assert_ptr_null(strstr(text, "://"));
	ck_assert_ptr_null(strstr(text, "<script"));
	text = tiny_text("runs/tiny/1/MODEL_CARD.md");
	ck_assert_ptr_nonnull(strstr(text, "## Intended use"));
	ck_assert_ptr_nonnull(strstr(text, "| accuracy | 0."));
	ck_assert_int_eq(system("test $(ls runs/tiny/1/tensorboard/*/events.out.tfevents.* | wc -l) = 2"), 0);
	ck_assert_ptr_nonnull(strstr(tiny_text("out"), "MODEL_CARD.md"));
	char *before = strdup(tiny_text("runs/tiny/1/report.html"));
	ck_assert_int_eq(tiny_run(rt_train_main, "./tiny<train>", "epochs=5", "--resume", NULL), 0);
	ck_assert_msg(strcmp(before, tiny_text("runs/tiny/1/report.html")) == 0, "a finished run wrote another report");
	free(before);
}
END_TEST

/* ---- event files ---- */

START_TEST(events)
{
	/* as the package's own writer makes them: tests/peers/tensorboard_reads.py */
	static const unsigned char version[] = {0x18, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22, 0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f,
	                                        0x1a, 0x0d, 'b', 'r', 'a', 'i', 'n', '.', 'E', 'v', 'e', 'n', 't', ':', '2', 0x2a, 0x28, 0x64, 0x6c};
	static const unsigned char scalar[] = {0x1b, 0, 0, 0, 0, 0, 0, 0, 0x1a, 0x0d, 0x9e, 0x13, 0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x10, 0xac, 0x02,
	                                       0x2a, 0x0d, 0x0a, 0x0b, 0x0a, 0x04, 'l', 'o', 's', 's', 0x15, 0, 0, 0x80, 0x3e, 0x99, 0x08, 0xde, 0xed};
	RtText t = {0};
	rt_board_version(&t, 1.5);
	ck_assert_uint_eq(t.n, sizeof version);
	ck_assert_int_eq(memcmp(t.text, version, sizeof version), 0);
	rt_text_free(&t);
	rt_board_scalar(&t, 1.5, 300, "loss", 0.25f);
	ck_assert_uint_eq(t.n, sizeof scalar);
	ck_assert_int_eq(memcmp(t.text, scalar, sizeof scalar), 0);
	rt_text_free(&t);
}
END_TEST

START_TEST(a_dry_run_leaves_nothing)
{
	tiny_folder();
	ck_assert_int_eq(tiny_run(rt_train_main, "./tiny-train", "--dry-run", NULL), 0);
	static const char *const must[] = {"bytes of parameters", "one batch of 8 samples", " a step", "epochs: about", "no file was written"};
	for (size_t i = 0; i < sizeof must / sizeof *must; i++)
		ck_assert_msg(strstr(tiny_text("out"), must[i]) != NULL, "no %s", must[i]);
	ck_assert_int_eq(access("runs", F_OK), -1);
	ck_assert_int_eq(access("log.csv", F_OK), -1);
}
END_TEST

static int64_t bytes_of(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? st.st_size : -1;
}

START_TEST(event_files_grow_and_are_renewed)
{
	static const char file[] = "run/tensorboard/train/events.out.tfevents.5.cnnc", renewed[] = "run/tensorboard/train/events.out.tfevents.9.cnnc";
	RtHistory h;
	RtBoard b;
	const int64_t second = 1000000000;
	tiny_folder();
	rt_board_open(&b, "run", 5 * second);
	ck_assert_int_eq(rt_history_new(&h, "epoch,step,time_s,loss,val_loss,learning_rate\n1,9,1,1,1,0.1\n"), RT_OK);
	ck_assert_int_eq(rt_board_write(&b, &h, 6 * second, 1), RT_OK);
	rt_history_free(&h);
	const int64_t one = bytes_of(file);
	ck_assert_int_eq(rt_history_new(&h, "epoch,step,time_s,loss,val_loss,learning_rate\n1,9,1,1,1,0.1\n2,18,2,0.5,nan,0.1\n"), RT_OK);
	ck_assert_int_eq(rt_board_write(&b, &h, 7 * second, 2), RT_OK);
	ck_assert_int_eq(rt_board_write(&b, &h, 7 * second, 2), RT_OK); /* nothing new */
	ck_assert_int_eq(bytes_of(file), one + (one - 40));
	rt_board_open(&b, "run", 9 * second); /* another process: all epochs again, in one file */
	ck_assert_int_eq(rt_board_write(&b, &h, 9 * second, 2), RT_OK);
	ck_assert_int_eq(bytes_of(renewed), one + (one - 40));
	ck_assert_int_eq(bytes_of(file), -1);
	rt_history_free(&h);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("report");
	TCase *tc = tcase_create("report");
	tcase_add_test(tc, histories);
	tcase_add_test(tc, waiting_and_classes);
	tcase_add_test(tc, areas);
	tcase_add_test(tc, axes);
	tcase_add_test(tc, page);
	tcase_add_test(tc, gallery);
	tcase_add_test(tc, a_run_reports);
	tcase_add_test(tc, events);
	tcase_add_test(tc, a_dry_run_leaves_nothing);
	tcase_add_test(tc, event_files_grow_and_are_renewed);
	suite_add_tcase(s, tc);
	return suite_run(s);
}

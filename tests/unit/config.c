/* config.c -- fields are found, checked and written; numbers are read strictly */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/config.h"
#include "runtime/sys.h"
#include "tests/support/suite.h"
#include "tests/unit/tiny_model.h"

static RtConfig open_config(void)
{
	RtConfig c;
	ck_assert_int_eq(rt_config_new(&c, &tiny_model), RT_OK);
	return c;
}

START_TEST(values_by_path)
{
	RtConfig c = open_config();
	ck_assert_int_eq(rt_config_int(&c, "train.epochs", 7), 3);
	ck_assert_int_eq(rt_config_int(&c, "train.steps_per_epoch", 7), 7);
	ck_assert_int_eq(rt_config_int(&c, "train.threads", 5), 5);
	ck_assert_int_eq(rt_config_int(&c, "train.absent", 7), 7);
	ck_assert_double_eq(rt_config_float(&c, "train.optimizer.learning_rate", 0), 0.1);
	ck_assert(rt_config_bool(&c, "data.shuffle", false));
	ck_assert_str_eq(rt_config_text(&c, "data.train.x", ""), "x.npy");
	ck_assert_ptr_null(rt_config_get(&c, "data.seed"));
	ck_assert_str_eq(rt_config_match(&c, "train.optimizer", ".learning_rate"), "train.optimizer.learning_rate");
	rt_config_free(&c);
}
END_TEST

static const struct {
	const char *pair, *path, *value;
} accepted[] = {
	{"train.epochs=5", "train.epochs", "5"},
	{"epochs=5", "train.epochs", "5"},
	{"epochs=1e3", "train.epochs", "1e3"},
	{"optimizer.learning_rate=1/8", "train.optimizer.learning_rate", "1/8"},
	{"seed=9", "train.seed", "9"}, /* data.seed is unset and follows it */
	{"threads=auto", "train.threads", "auto"},
	{"resume=must", "train.resume", "must"},
	{"train.x=a=b.npy", "data.train.x", "a=b.npy"},
	{"steps_per_epoch=null", "train.steps_per_epoch", ""},
	{"patience=4", "train.callbacks.0.EarlyStopping.patience", "4"},
};

START_TEST(accepted_pairs)
{
	RtConfig c = open_config();
	ck_assert_msg(rt_config_set_pair(&c, accepted[_i].pair) == RT_OK, "%s", rt_message());
	ck_assert_str_eq(rt_config_text(&c, accepted[_i].path, ""), accepted[_i].value);
	rt_config_free(&c);
}
END_TEST

static const struct {
	const char *pair, *says;
} refused[] = {
	{"epochs", "'epochs' is not KEY=VALUE"},
	{"=3", "'=3' is not KEY=VALUE"},
	{"epocs=5", "there is no field 'epocs'; did you mean 'train.epochs'?"},
	{"train.epoch=5", "there is no field 'train.epoch'; did you mean 'train.epochs'?"},
	{"zzzzzz=5", "there is no field 'zzzzzz'; --help lists them"},
	{"x=5", "'x' may be any of data.train.x, data.validation.x; give the whole path"},
	{"epochs=many", "train.epochs is a whole number, not 'many'"},
	{"epochs=1.5", "train.epochs is a whole number, not '1.5'"},
	{"epochs=auto", "train.epochs is a whole number, not 'auto'"},
	{"epochs=0x10", "train.epochs is a whole number, not '0x10'"},
	{"learning_rate=nan", "train.optimizer.learning_rate is a number, not 'nan'"},
	{"learning_rate=1/0", "train.optimizer.learning_rate is a number, not '1/0'"},
	{"shuffle=yes", "data.shuffle is true or false, not 'yes'"},
	{"resume=perhaps", "train.resume is one of never|auto|must, not 'perhaps'"},
	{"resume=never|auto", "train.resume is one of never|auto|must, not 'never|auto'"},
	{"image_size.0=3", "data.image_size.0 changes the code, so it can't be set here; compile again with "
			   "`cnnc … -D data.image_size.0=3`"},
};

START_TEST(refused_pairs)
{
	RtConfig c = open_config();
	ck_assert_int_eq(rt_config_set_pair(&c, refused[_i].pair), RT_USAGE);
	ck_assert_str_eq(rt_message(), refused[_i].says);
	rt_config_free(&c);
}
END_TEST

START_TEST(ranges_are_checked)
{
	RtConfig c = open_config();
	int64_t i;
	double d;
	ck_assert_int_eq(rt_config_set(&c, "epochs", "-1"), RT_OK);
	ck_assert_int_eq(rt_config_int_in(&c, "train.epochs", 1, 0, 100, &i), RT_USAGE);
	ck_assert_str_eq(rt_message(), "train.epochs is -1; it must be 0 … 100");
	ck_assert_int_eq(rt_config_float_in(&c, "train.optimizer.learning_rate", 1, 0, 0.05, &d), RT_USAGE);
	ck_assert_int_eq(rt_config_float_in(&c, "train.optimizer.learning_rate", 1, 0, 1, &d), RT_OK);
	rt_config_free(&c);
}
END_TEST

START_TEST(number_texts)
{
	double d;
	int64_t i;
	ck_assert(rt_parse_float("1/255", &d) && d == 1.0 / 255);
	ck_assert(rt_parse_float("-2.5e-3", &d) && d == -2.5e-3);
	static const char *const wrong[] = {"",    " 1",  "1 ", "1/2/3", "inf", "nan", "1e999",
					    "0x1", "1,5", "e5", "--1",   "/2",  "1/"};
	for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++)
		ck_assert_msg(!rt_parse_float(wrong[k], &d), "'%s' was taken", wrong[k]);
	ck_assert(rt_parse_int("1e3", &i) && i == 1000);
	ck_assert(!rt_parse_int("1e30", &i));
	ck_assert(rt_parse_seconds("1.5h", &d) && d == 5400);
	ck_assert(rt_parse_seconds("200ms", &d) && d == 0.2);
	ck_assert(rt_parse_seconds("90", &d) && d == 90);
	ck_assert(!rt_parse_seconds("5 weeks", &d));
	ck_assert(rt_parse_bytes("8GB", &i) && i == 8000000000);
	ck_assert(rt_parse_bytes("2 MiB", &i) && i == 2097152);
	ck_assert(!rt_parse_bytes("1e30TB", &i) && !rt_parse_bytes("MB", &i));
}
END_TEST

/* A small table of its own: what needs quotes gets them. */
static const RtField odd_fields[] = {
	{"name", "yes", RT_FIELD_STRING, 0, NULL, ""},
	{"data.class_names.0", "a b", RT_FIELD_STRING, 0, NULL, ""},
	{"data.class_names.1", "1e3", RT_FIELD_STRING, 0, NULL, ""},
	{"data.rescale", "1/255", RT_FIELD_FLOAT, 0, NULL, ""},
	{"train.loss", "mse", RT_FIELD_STRING, 0, NULL, ""},
	{"train.callbacks.0", "TerminateOnNaN", RT_FIELD_STRING, 0, NULL, ""},
	{"train.callbacks.1.CSVLogger.filename", "a.csv", RT_FIELD_PATH, 1, NULL, ""},
	{"train.seed", "", RT_FIELD_INT, 1, NULL, ""},
};
static const RtModel odd_model = {.nfields = sizeof odd_fields / sizeof *odd_fields, .field = odd_fields};

START_TEST(as_yaml)
{
	RtConfig c;
	char *yaml;
	ck_assert_int_eq(rt_config_new(&c, &odd_model), RT_OK);
	ck_assert_int_eq(rt_config_yaml(&c, true, &yaml), RT_OK);
	ck_assert_str_eq(yaml, "# the resolved model file: every field that has a value\n"
			       "name: \"yes\"\n"
			       "data:\n"
			       "  class_names: [\"a b\", \"1e3\"]\n"
			       "  rescale: 0.00392156862745098\n"
			       "train:\n"
			       "  loss: mse\n"
			       "  callbacks:\n"
			       "    - TerminateOnNaN\n"
			       "    - CSVLogger:\n"
			       "        filename: a.csv\n");
	rt_sys.release(yaml);
	rt_config_free(&c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("config");
	TCase *c = tcase_create("config");
	tcase_add_test(c, values_by_path);
	tcase_add_loop_test(c, accepted_pairs, 0, (int)(sizeof accepted / sizeof *accepted));
	tcase_add_loop_test(c, refused_pairs, 0, (int)(sizeof refused / sizeof *refused));
	tcase_add_test(c, ranges_are_checked);
	tcase_add_test(c, number_texts);
	tcase_add_test(c, as_yaml);
	suite_add_tcase(s, c);
	return suite_run(s);
}

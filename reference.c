/* reference.c -- `cnnc help` and `cnnc explain`: finds what prints a topic */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "document.h"
#include "frontend/frontend.h"
#include "ir/errors.h"
#include "options.h"
#include "reference.h"

enum { EXIT_OK = 0, EXIT_USAGE = 2 };

/* What these print, one behind another; freed by the caller. */
static char *printed(void (*const *print)(FILE *), int n)
{
	char *text = NULL;
	size_t length;
	FILE *f = open_memstream(&text, &length);
	if (!f)
		arena_out_of_memory();
	for (int i = 0; i < n; i++)
		print[i](f);
	if (fclose(f) != 0)
		arena_out_of_memory();
	return text;
}

static void print_man_model(FILE *f)
{
	char *text = printed((void (*const[])(FILE *)){fe_reference}, 1);
	document_man(text, "cnnc-model", 5, "description of a neural network, its training and its programs", f);
	free(text);
}

static void print_html(FILE *f)
{
	char *text = printed((void (*const[])(FILE *)){options_reference, fe_reference, error_reference}, 3);
	document_html(text, "cnnc", f);
	free(text);
}

int reference_help(const char *topic)
{
	static const struct { const char *topic; void (*print)(FILE *); } documents[] = {
		{"man", options_man}, {"man-model", print_man_model}, {"html", print_html},
	};
	if (!topic) {
		options_usage(stdout);
		fe_help(NULL, stdout);
		return EXIT_OK;
	}
	for (size_t i = 0; i < COUNT(documents); i++) {
		if (strcmp(documents[i].topic, topic) == 0) {
			documents[i].print(stdout);
			return EXIT_OK;
		}
	}
	return options_completion(topic, stdout) || fe_help(topic, stdout) ? EXIT_OK : EXIT_USAGE;
}

int reference_explain(const char *code)
{
	if (!code)
		error_list(stdout);
	else if (strcmp(code, "reference") == 0)
		error_reference(stdout);
	else if (!error_explain(code, stdout)) {
		fprintf(stderr, "cnnc: there is no error '%.20s'; `cnnc explain` lists them\n", code);
		return EXIT_USAGE;
	}
	return EXIT_OK;
}

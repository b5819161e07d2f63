/* init_model.c -- `cnnc init`: says what a data folder holds, and writes a commented model file that trains on it; see init_model.h
 *
 * The network is small and plain: convolution, relu and pooling until 4 to 8 pixels are left, then two dense layers behind dropout.
 * Its size follows the pictures and their number; nothing is fitted to the content.
 */
#include "init_model.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "report.h"

enum { EXIT_OK = 0, EXIT_USAGE = 2, EXIT_IO = 4, EXIT_DATA = 5, SHOWN_CLASSES = 20, UNEVEN = 3 };

typedef struct Choice { /* what the model file will say */
	const char *name;
	int height, width, channels, batch, blocks, epochs;
	bool binary, flip;
	double rarest; /* the largest class over the smallest */
} Choice;

/* ---- what was found ---- */
static const char *range_text(Arena *a, const int v[3])
{
	return v[0] == v[2] ? arena_printf(a, "%d", v[0]) : arena_printf(a, "%d to %d (median %d)", v[0], v[2], v[1]);
}

static void report_classes(const InitFound *f, FILE *out)
{
	static const char *const heading[INIT_PARTS] = {"training", "validation", "test"};
	fprintf(out, "%-24s", "class");
	for (int p = 0; p < INIT_PARTS; p++) {
		if (f->part[p].count)
			fprintf(out, "%12s", heading[p]);
	}
	fputc('\n', out);
	for (int c = 0; c < f->nclasses && c < SHOWN_CLASSES; c++) {
		fprintf(out, "%-24s", f->class_name[c]);
		for (int p = 0; p < INIT_PARTS; p++) {
			if (f->part[p].count)
				fprintf(out, "%12lld", (long long)f->part[p].of_class[c]);
		}
		fputc('\n', out);
	}
	if (f->nclasses > SHOWN_CLASSES)
		fprintf(out, "… and %d more classes\n", f->nclasses - SHOWN_CLASSES);
}

static void report_damage(const InitFound *f, FILE *out)
{
	int bad = f->bad < INIT_EXAMPLES ? (int)f->bad : INIT_EXAMPLES;
	int copies = f->copies < INIT_EXAMPLES ? (int)f->copies : INIT_EXAMPLES;
	if (f->bad)
		fprintf(out, "unreadable: %lld files; training skips and lists them\n", (long long)f->bad);
	for (int i = 0; i < bad; i++)
		fprintf(out, "  %s\n", f->bad_example[i]);
	if (f->copies)
		fprintf(out, "copies: %lld files equal another one\n", (long long)f->copies);
	for (int i = 0; i < copies; i++)
		fprintf(out, "  %s = %s\n", f->copy_example[i][1], f->copy_example[i][0]);
	if (f->leaks)
		fprintf(out, "  %lld of them are training pictures among those of validation or test: results will look too good\n",
		        (long long)f->leaks);
	if (f->contradictions)
		fprintf(out, "  %lld of them lie in two classes: one of the labels is wrong\n", (long long)f->contradictions);
}

static void report_found(const InitFound *f, const Choice *c, Arena *a, FILE *out)
{
	int64_t all = 0;
	for (int p = 0; p < INIT_PARTS; p++)
		all += f->part[p].count;
	fprintf(out, "%s %s of %d classes", text_count(a, all), f->idx ? "samples" : "pictures", f->nclasses);
	if (f->bytes)
		fprintf(out, ", %s", text_bytes(a, f->bytes));
	fprintf(out, "; width %s, height %s, %s\n", range_text(a, f->width), range_text(a, f->height), f->grey ? "grey" : "colour");
	report_classes(f, out);
	if (c->rarest >= UNEVEN)
		fprintf(out, "uneven: the largest class has %.1f times the pictures of the smallest\n", c->rarest);
	report_damage(f, out);
}

/* ---- what to do with it ---- */
static int side(int have)
{
	static const int sides[] = {160, 128, 96, 64, 48, 32};
	for (size_t i = 0; i < COUNT(sides); i++) {
		if (have >= sides[i])
			return sides[i];
	}
	return have < 8 ? 8 : have;
}

static bool one_sign_names(const InitFound *f)
{
	for (int i = 0; i < f->nclasses; i++) {
		if (strlen(f->class_name[i]) > 1 && !isdigit((unsigned char)f->class_name[i][0]))
			return false;
	}
	return true;
}

static Choice choose(const InitFound *f, const char *name)
{
	int least = f->width[1] < f->height[1] ? f->width[1] : f->height[1], n = side(least);
	bool own = f->width[0] == f->width[2] && f->height[0] == f->height[2] && f->width[2] <= 64 && f->height[2] <= 64;
	Choice c = {.name = name, .height = own ? f->height[1] : n, .width = own ? f->width[1] : n, .channels = f->grey ? 1 : 3,
	            .binary = f->nclasses == 2, .flip = !one_sign_names(f)};
	int64_t most = 0, fewest = INT64_MAX, count = f->part[0].count;
	for (int i = 0; i < f->nclasses; i++) {
		int64_t k = f->part[0].of_class[i];
		most = k > most ? k : most;
		fewest = k < fewest ? k : fewest;
	}
	c.rarest = fewest > 0 ? (double)most / (double)fewest : 0;
	c.batch = count < 500 ? 16 : count < 20000 ? 32 : 64;
	c.epochs = count < 2000 ? 60 : count < 20000 ? 40 : 20;
	for (int s = c.height < c.width ? c.height : c.width; s >= 8 && c.blocks < 5; s /= 2)
		c.blocks++;
	return c;
}

/* A YAML scalar in quotes: whatever a folder is called, it is read back. */
static void put_text(const char *s, FILE *out)
{
	fputc('"', out);
	for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
		if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p);
		else if (*p < ' ' || *p == 127)
			fprintf(out, "\\x%02x", *p);
		else
			fputc(*p, out);
	}
	fputc('"', out);
}

static void put_part(const char *name, const InitPart *p, FILE *out)
{
	if (!p->count)
		return;
	fprintf(out, "  %s: {%s: ", name, p->directory ? "directory" : "images");
	put_text(p->directory ? p->directory : p->images, out);
	if (!p->directory) {
		fputs(", labels: ", out);
		put_text(p->labels, out);
	}
	fputs("}\n", out);
}

static void put_data(const InitFound *f, const Choice *c, FILE *out)
{
	static const char *const part[INIT_PARTS] = {"train", "validation", "test"};
	fprintf(out, "\ndata:\n  type: %s\n", f->idx ? "idx" : "image_directory                 # one folder a class");
	if (f->part[1].count || f->idx) {
		for (int p = 0; p < INIT_PARTS; p++)
			put_part(part[p], &f->part[p], out);
	} else {
		fputs("  directory: ", out);
		put_text(f->part[0].directory, out);
		fputc('\n', out);
	}
	if (!f->part[1].count)
		fputs("  validation_split: 0.2                 # kept for validation, chosen by the seed\n", out);
	fputs("  class_names: [", out);
	for (int i = 0; i < f->nclasses; i++) {
		fputs(i ? ", " : "", out);
		put_text(f->class_name[i], out);
	}
	fprintf(out, "]\n  image_size: [%d, %d]                # height, width; pictures were %d x %d at the median\n", c->height, c->width,
	        f->height[1], f->width[1]);
	if (!f->idx && f->width[0] * f->height[2] != f->width[2] * f->height[0])
		fputs("  crop_to_aspect_ratio: true            # shapes differ: cut, do not squeeze\n", out);
	fprintf(out, "  color_mode: %s\n  label_mode: %s\n  batch_size: %d\n", c->channels == 1 ? "grayscale" : "rgb",
	        c->binary ? "binary" : "int", c->batch);
	fputs("  preprocess: {rescale: 1/255}          # compiled into both programs\n", out);
	fputs("  augment:                              # training only; remove what changes the meaning of your pictures\n", out);
	if (c->flip)
		fputs("    horizontal_flip: true\n", out);
	fputs("    width_shift_range: 0.1\n    height_shift_range: 0.1\n    zoom_range: 0.1\n", out);
}

static void put_model(const InitFound *f, const Choice *c, FILE *out)
{
	fprintf(out, "\nmodel:\n  input_shape: [%d, %d, %d]\n  layers:\n", c->height, c->width, c->channels);
	for (int i = 0; i < c->blocks; i++) {
		fprintf(out, "    - Conv2D: {filters: %d, kernel_size: 3, padding: same, activation: relu}\n", i < 3 ? 32 << i : 128);
		fputs("    - MaxPooling2D: {pool_size: 2}\n", out);
	}
	fputs("    - Flatten\n    - Dropout: {rate: 0.3}\n    - Dense: {units: 128, activation: relu}\n    - Dropout: {rate: 0.3}\n", out);
	if (c->binary)
		fprintf(out, "    - Dense: {units: 1, activation: sigmoid}    # the probability of the second class\n");
	else
		fprintf(out, "    - Dense: {units: %d, activation: softmax}   # a probability for each class\n", f->nclasses);
}

static void put_train(const Choice *c, FILE *out)
{
	fprintf(out, "\ntrain:\n  seed: 1                               # same seed, same bits\n"
	        "  optimizer: {adam: {learning_rate: 0.001}}\n  loss: %s\n  metrics: [accuracy]\n"
	        "  epochs: %d                            # at most: EarlyStopping ends it\n",
	        c->binary ? "binary_crossentropy" : "sparse_categorical_crossentropy", c->epochs);
	fputs("  callbacks:\n    - ReduceLROnPlateau: {monitor: val_loss, factor: 0.3, patience: 3}\n"
	      "    - EarlyStopping: {monitor: val_loss, patience: 8, restore_best_weights: true}\n", out);
}

static void put_file(const InitFound *f, const Choice *c, const char *dir, FILE *out)
{
	fprintf(out, "# Written by `cnnc init` after a look at %s. `cnnc help FIELD` explains any line.\ncnnc: 1\nname: ", dir);
	put_text(c->name, out);
	fputs("\ntask: image_classification\n", out);
	put_data(f, c, out);
	put_model(f, c, out);
	put_train(c, out);
	fputs("\nserve: {}                               # the program's command `serve`; smaller without\n", out);
}

/* ---- the file ---- */

/* The folder's last name, as the name of a program: letters, digits, - and _. "photos/train/" is photos. A program cannot have
 * the name of a folder that is here. */
static const char *name_of(const char *dir, Arena *a)
{
	char *path = realpath(dir, NULL), *name = arena_strdup(a, path ? path : dir), *slash = strrchr(name, '/');
	free(path);
	if (slash && (strcmp(slash, "/train") == 0 || strcmp(slash, "/data") == 0)) {
		*slash = '\0';
		slash = strrchr(name, '/');
	}
	name = slash && slash[1] ? slash + 1 : name;
	for (char *p = name; *p; p++)
		*p = isalnum((unsigned char)*p) && (unsigned char)*p < 128 ? *p : *p == '-' ? '-' : '_';
	bool usable = isalnum((unsigned char)*name) && access(name, F_OK) != 0;
	return usable ? name : arena_printf(a, "%s-classifier", isalnum((unsigned char)*name) ? name : "picture");
}

static int write_file(const InitFound *f, const Choice *c, const char *dir, const char *path, Diag *d)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
	if (fd < 0 && errno == EEXIST)
		return diag_error(d, (Loc){0}, "%s is there already and is not overwritten; -o names another file", path), EXIT_USAGE;
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
	if (out)
		put_file(f, c, dir, out);
	if (!out || fclose(out) != 0)
		return diag_error(d, (Loc){0}, "cannot write %s: %s", path, strerror(errno)), EXIT_IO;
	return EXIT_OK;
}

int init_command(const char *dir, const char *path, Diag *d)
{
	Arena *a = arena_new();
	InitFound f;
	int code = EXIT_DATA;
	if (init_scan(dir, isatty(STDERR_FILENO) ? stderr : NULL, a, &f, &code, d)) {
		const char *name = name_of(dir, a);
		Choice c = choose(&f, name);
		path = path ? path : arena_printf(a, "%s.yaml", name);
		report_found(&f, &c, a, stdout);
		code = f.nclasses < 2 ? (diag_error(d, (Loc){0}, "one class cannot be told from another; %s needs a folder for each class", dir),
		                         EXIT_DATA)
		                      : write_file(&f, &c, dir, path, d);
		if (code == EXIT_OK)
			printf("wrote %s\nnext: cnnc %s -o %s && ./%s-train\n", path, path, name, name);
	}
	arena_free(a);
	return code;
}

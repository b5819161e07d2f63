/* init_model.h -- `cnnc init`: what a data folder holds, and a first model file for it */
#ifndef CNNC_INIT_MODEL_H
#define CNNC_INIT_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include "ir/arena.h"
#include "ir/diag.h"

enum { INIT_PARTS = 3, INIT_EXAMPLES = 5 };

typedef struct InitPart {      /* pictures that are there for one purpose: 0 training, 1 validation, 2 test */
	const char *directory; /* CLASS/picture below it; NULL: there is no such part */
	const char *images, *labels; /* IDX files instead */
	int64_t count;
	int64_t *of_class;     /* [nclasses] */
} InitPart;

typedef struct InitFound {
	bool idx;
	InitPart part[INIT_PARTS];
	int nclasses;
	const char **class_name;     /* sorted bytewise; IDX: the numbers */
	int width[3], height[3];     /* smallest, median, largest of the readable pictures */
	bool grey;                   /* no picture has a colour */
	int64_t bytes;               /* of all files */
	int64_t bad;                 /* unreadable files, and the first of them with the reason */
	const char *bad_example[INIT_EXAMPLES];
	int64_t copies;              /* files equal to an earlier one */
	int64_t leaks;               /* of these, training pictures that are in another part, too */
	int64_t contradictions;      /* of these, copies under another class */
	const char *copy_example[INIT_EXAMPLES][2];
} InitFound;

/* Looks at all files below dir: class folders, class folders below train/ and validation/ (test/), or IDX pairs. All
 * pictures are read and decoded. progress: a terminal, or NULL. False: reported to d with exit code *code. */
bool init_scan(const char *dir, FILE *progress, Arena *a, InitFound *out, int *code, Diag *d);

/* `cnnc init DIR [-o FILE]`: report to stdout, model file to `path` (NULL: NAME.yaml after the folder), which must not exist.
 * Exit code; errors are in d. */
int init_command(const char *dir, const char *path, Diag *d);

#endif

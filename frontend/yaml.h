/* yaml.h -- a YAML file as a tree of located values
 *
 * Scalars keep their text: what it means is the schema's business. Aliases share the node that they stand for, merge
 * keys are already merged. Every limit (bytes, depth, nodes after expansion) is checked here, so walking the tree is safe.
 */
#ifndef CNNC_FRONTEND_YAML_H
#define CNNC_FRONTEND_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include "ir/arena.h"
#include "ir/diag.h"

enum { YAML_MAX_BYTES = 1 << 20, YAML_MAX_DEPTH = 48, YAML_MAX_NODES = 100000, YAML_MAX_KEYS = 4096 };

typedef enum YKind { Y_SCALAR, Y_SEQ, Y_MAP } YKind;

typedef struct YNode YNode;

typedef struct YPair {
	const char *key;
	Loc loc;          /* of the key */
	YNode *value;
} YPair;

struct YNode {
	YKind kind;
	bool plain;       /* scalar without quotes */
	Loc loc;
	const char *text; /* scalar, without NUL bytes */
	int n, room;
	YNode **item;     /* seq */
	YPair *pair;      /* map, in file order */
	size_t size;      /* nodes of the tree below, aliases expanded */
};

/* NULL: reported. `at` is where the text begins: its file, and the column that the first line starts in (from 1). */
YNode *yaml_parse(Arena *a, Diag *d, Loc at, const char *text, size_t len);
YNode *yaml_scalar(Arena *a, Loc loc, const char *text); /* a plain scalar of our own making */
YNode *yaml_copy(Arena *a, const YNode *from);           /* this node; the ones below are shared */
YNode *yaml_find(const YNode *map, const char *key);     /* NULL if absent */
void yaml_set(Arena *a, YNode *map, const char *key, Loc loc, YNode *value); /* replaces or appends */

#endif

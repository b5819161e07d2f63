/* zoo.h -- applications: networks that are known by name
 *
 * Each is a row of kind APPLICATION in schema_application.def (its arguments) and a file frontend/zoo/NAME.yaml, which is part
 * of the compiler (cmake/embed.cmake):
 *
 *   input_shape: [224, 224, 3]   of the base, where neither the model nor the data say one
 *   variants: {keras: {…}}       values of names that differ: those of the argument `variant`; arguments that are given win
 *   params: {…}                  further names; their values may use the arguments, and $height, $width, $channels of the input
 *   blocks, layers               as in a model file; names are names of parameters of blocks
 *   top, avg, max                layers behind those: of include_top, of pooling
 *
 * Names of layers are those of keras.applications, where Keras has the network, so that weights of Keras fit by name.
 */
#ifndef CNNC_FRONTEND_ZOO_H
#define CNNC_FRONTEND_ZOO_H

#include "frontend/value.h"

typedef struct ZooFile { const char *name, *text; } ZooFile;
extern const ZooFile zoo_file[]; /* made from zoo/NAME.yaml */
extern const int zoo_nfiles;

typedef struct Application {
	const YNode *name;        /* mapping: names in it and their values; those to look at first come last */
	const YNode *params;      /* mapping: values that use them; NULL: none */
	const YNode *blocks;      /* mapping; NULL: none */
	const YNode *layers, *end; /* lists; end: NULL: none */
	const char *variant;      /* NULL: it has none */
} Application;

/* A use of the application `row` with the arguments `args`, a mapping or NULL; `shape`: list of three, what comes in, NULL:
 * not known. All nodes get the place `at`. False: reported. */
bool application_read(Scope *s, const SchemaRow *row, const YNode *args, const YNode *shape, Loc at, Application *out);
/* Its usual input_shape, at `at`. */
YNode *application_shape(Scope *s, const SchemaRow *row, Loc at);

#endif

/* config.h -- the resolved model file as the produced programs see it: typed values by dotted path, and key=value
 *
 * The field table is in the model; a value that is "" is unset. Only run-time fields may be set here.
 */
#ifndef CNNC_RUNTIME_CONFIG_H
#define CNNC_RUNTIME_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "runtime/model.h"
#include "runtime/status.h"

typedef struct RtConfig {
	const RtModel *model;
	char **set; /* parallel to model->field: value from the command line, or NULL */
} RtConfig;

RtStatus rt_config_new(RtConfig *c, const RtModel *model);
void rt_config_free(RtConfig *c);
/* key: a dotted path, or the end of one that is unique ("epochs"). RT_USAGE: unknown (with a suggestion), ambiguous,
 * wrong type, or compile-time (names `-D`). */
RtStatus rt_config_set(RtConfig *c, const char *key, const char *value);
RtStatus rt_config_set_pair(RtConfig *c, const char *pair); /* "key=value" */

const char *rt_config_get(const RtConfig *c, const char *path); /* NULL: no such field, or unset */
const char *rt_config_text(const RtConfig *c, const char *path, const char *otherwise);
bool rt_config_bool(const RtConfig *c, const char *path, bool otherwise);
int64_t rt_config_int(const RtConfig *c, const char *path, int64_t otherwise); /* "auto" is unset too */
double rt_config_float(const RtConfig *c, const char *path, double otherwise);
double rt_config_seconds(const RtConfig *c, const char *path, double otherwise);
/* The same within lo … hi, else RT_USAGE that names the field. */
RtStatus rt_config_int_in(const RtConfig *c, const char *path, int64_t otherwise, int64_t lo, int64_t hi, int64_t *out);
RtStatus rt_config_float_in(const RtConfig *c, const char *path, double otherwise, double lo, double hi, double *out);
/* Full path of the one field that starts with `start` and ends with `end`; NULL if none. */
const char *rt_config_match(const RtConfig *c, const char *start, const char *end);
const char *rt_config_value(const RtConfig *c, uint32_t field); /* of model->field[field]; "" if unset */

void rt_config_help(const RtConfig *c, FILE *f);                /* the run-time fields */
json_t *rt_config_json(const RtConfig *c, bool absolute_paths); /* nested, typed; NULL when out of memory */
RtStatus rt_config_yaml(const RtConfig *c, bool absolute_paths, char **out); /* the same as YAML; rt_sys.release */

/* Value of "--name=value" or "--name value" (then *i moves on); "" where it is missing, NULL if argv[*i] is another option. */
const char *rt_option(int argc, char **argv, int *i, const char *name);

/* Number texts: 12, 0x… is not one, 1e-3, 1/255. False if the text is anything else or not finite. */
bool rt_parse_float(const char *text, double *out);
bool rt_parse_int(const char *text, int64_t *out);
bool rt_parse_seconds(const char *text, double *out); /* 90, 90s, 5m, 2h, 1d, 200ms */
bool rt_parse_bytes(const char *text, int64_t *out);  /* 8GB, 512MiB, 100 */

#endif

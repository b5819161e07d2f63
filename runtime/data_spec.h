/* data_spec.h -- from the fields data.* to an open data set */
#ifndef CNNC_RUNTIME_DATA_SPEC_H
#define CNNC_RUNTIME_DATA_SPEC_H

#include <stdbool.h>
#include "runtime/config.h"
#include "runtime/data.h"

/* Everything of `out` but the files: ports of `entry`, resizing, cache, limits. The strings belong to the
 * configuration. */
RtStatus rt_data_spec(const RtConfig *c, const RtEntry *entry, RtDataSpec *out);
/* True if data.SPLIT.* names files of the configured type. */
bool rt_data_has_split(const RtConfig *c, const char *split);
/* Opens data.SPLIT.* (train also data.directory), or `directory` if that is not NULL. */
RtStatus rt_data_open(const RtConfig *c, const RtEntry *entry, const char *split, const char *directory,
		      RtDataset **out);
/* The same with the classes in this order; n = 0: as the data has them. */
RtStatus rt_data_open_named(const RtConfig *c, const RtEntry *entry, const char *split, const char *directory,
			    char **names, int n, RtDataset **out);
/* RT_BAD_DATA if the labels of d can't be the model's classes. */
RtStatus rt_check_classes(const RtModel *m, const RtDataset *d, const char *what);
int rt_data_workers(const RtConfig *c, int threads);
uint64_t rt_data_seed(const RtConfig *c);

#endif

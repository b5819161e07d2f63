/* tile_list.h -- schedules of kernels that fill lists or walk them: see tile_list.c */
#ifndef CNNC_PASSES_TILE_LIST_H
#define CNNC_PASSES_TILE_LIST_H

#include "passes/tile_cost.h"

bool has_list(const Kernel *k);
/* The order of each sum is the same for every target. */
void schedule_list(const Kernel *k, const Target *t, KSchedule *out);

#endif

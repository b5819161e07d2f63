/* class_weight.h -- the weights of the classes in the training loss */
#ifndef CNNC_RUNTIME_CLASS_WEIGHT_H
#define CNNC_RUNTIME_CLASS_WEIGHT_H

#include "runtime/call.h"
#include "runtime/config.h"
#include "runtime/data.h"

/* Fills the tensor of a model that weighs classes, from the fields train.class_weight.* or, for `balanced`, by counting the
 * labels of d (NULL: all 1): samples / (classes * samples of the class), 0 for a class without samples. Of a tensor
 * (2, classes) the rows are the weights of no and of yes: samples / (2 * samples that say so). */
RtStatus rt_class_weight_fill(const RtConfig *c, const RtDataset *d, RtInstance *in);

#endif

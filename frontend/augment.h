/* augment.h -- between the files of augmentation layers: those that change colours, and those that mix two pictures */
#ifndef CNNC_FRONTEND_AUGMENT_H
#define CNNC_FRONTEND_AUGMENT_H

#include "frontend/build.h"

typedef struct Range { double lo, hi; } Range;

Range augment_range(const Val *v, double lowest); /* [lo, hi], or f: [-f, f], not below lowest */
IrNode *augment_between(Build *b, int32_t extent, int axis, IrNode *ratio); /* bool: a piece of that share, anywhere along the axis */

/* ---- augment_color.c: layers of pictures of 0 … 255 ---- */
IrNode *augment_hue(Build *b, IrNode *x, const Val *v);
IrNode *augment_saturation(Build *b, IrNode *x, const Val *v);
IrNode *augment_jitter(Build *b, IrNode *x, const Val *v);
IrNode *augment_posterization(Build *b, IrNode *x, const Val *v);
IrNode *augment_sharpness(Build *b, IrNode *x, const Val *v);
IrNode *augment_solarization(Build *b, IrNode *x, const Val *v);
IrNode *augment_auto_contrast(Build *b, IrNode *x, const Val *v);
IrNode *augment_contrast(Build *b, IrNode *x, Range factor);   /* moves pixels from or towards the mean of their channel */
IrNode *augment_brightness(Build *b, IrNode *x, Range factor); /* of 255, added */

#endif

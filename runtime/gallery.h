/* gallery.h -- a few pictures of a validation worth looking at: the worst mistakes, and a sample of each class */
#ifndef CNNC_RUNTIME_GALLERY_H
#define CNNC_RUNTIME_GALLERY_H

#include <stdio.h>
#include "runtime/scores.h"

enum { RT_WORST = 12, RT_SAMPLES = 24, RT_THUMB = 96 };

typedef struct RtThumb {
	bool used;
	int truth, answer;
	double probability;   /* of the answer */
	int width, height, channels;
	unsigned char *pixels; /* RT_THUMB * RT_THUMB * 3 at most */
} RtThumb;

typedef struct RtGallery {
	RtThumb worst[RT_WORST], sample[RT_SAMPLES]; /* worst: surest first; sample: by class */
	unsigned char *room;                         /* NULL: the model takes no pictures */
} RtGallery;

RtStatus rt_gallery_new(RtGallery *g);
void rt_gallery_free(RtGallery *g);
void rt_gallery_reset(RtGallery *g);
/* A picture of port x (u8[H, W, C]) with the class that it has and what the network says. */
void rt_gallery_add(RtGallery *g, const RtPort *x, const unsigned char *row, int truth, int answer, double probability);
/* PNG of a thumb; rt_sys.release. NULL: out of memory. */
unsigned char *rt_thumb_png(const RtThumb *t, size_t *out_length);

#endif

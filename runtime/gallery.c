/* gallery.c -- keeps small copies of pictures, and writes them as PNG */
#include "runtime/gallery.h"

#include <png.h>
#include <string.h>
#include "runtime/data.h"
#include "runtime/sys.h"

enum { THUMB_BYTES = RT_THUMB * RT_THUMB * 3 };

RtStatus rt_gallery_new(RtGallery *g)
{
	*g = (RtGallery){.room = rt_sys.alloc((size_t)(RT_WORST + RT_SAMPLES) * THUMB_BYTES)};
	if (!g->room)
		return rt_fail(RT_NOMEM, "out of memory for the report's pictures");
	for (int i = 0; i < RT_WORST; i++)
		g->worst[i].pixels = g->room + (size_t)i * THUMB_BYTES;
	for (int i = 0; i < RT_SAMPLES; i++)
		g->sample[i].pixels = g->room + (size_t)(RT_WORST + i) * THUMB_BYTES;
	return RT_OK;
}

void rt_gallery_free(RtGallery *g)
{
	rt_sys.release(g->room);
	*g = (RtGallery){.room = NULL};
}

void rt_gallery_reset(RtGallery *g)
{
	for (int i = 0; i < RT_WORST; i++)
		g->worst[i].used = false;
	for (int i = 0; i < RT_SAMPLES; i++)
		g->sample[i].used = false;
}

/* Alpha is left out. The longer side becomes RT_THUMB where it is longer. */
static void shrink(RtThumb *t, const RtPort *x, const unsigned char *row)
{
	const int h = (int)x->dim[1], w = (int)x->dim[2], c = (int)x->dim[3], longer = h > w ? h : w;
	unsigned char wide[RT_THUMB * RT_THUMB * 4];
	const RtImage whole = {w, h, c, (unsigned char *)(size_t)row};
	t->height = longer > RT_THUMB ? h * RT_THUMB / longer : h;
	t->width = longer > RT_THUMB ? w * RT_THUMB / longer : w;
	t->height += t->height == 0;
	t->width += t->width == 0;
	t->channels = c == 1 ? 1 : 3;
	rt_image_resize(&whole, longer > RT_THUMB ? RT_AREA : RT_NEAREST, t->width, t->height, wide);
	for (int i = 0; i < t->width * t->height; i++)
		memcpy(t->pixels + i * t->channels, wide + i * c, (size_t)t->channels);
}

static void put(RtThumb *t, const RtPort *x, const unsigned char *row, int truth, int answer, double probability)
{
	*t = (RtThumb){.used = true, .truth = truth, .answer = answer, .probability = probability, .pixels = t->pixels};
	shrink(t, x, row);
}

/* Insertion by probability; the last one falls out. */
static void add_mistake(RtGallery *g, const RtPort *x, const unsigned char *row, int truth, int answer, double probability)
{
	int at = 0;
	while (at < RT_WORST && g->worst[at].used && g->worst[at].probability >= probability)
		at++;
	if (at == RT_WORST)
		return;
	unsigned char *free_pixels = g->worst[RT_WORST - 1].pixels;
	memmove(&g->worst[at + 1], &g->worst[at], (size_t)(RT_WORST - 1 - at) * sizeof g->worst[0]);
	g->worst[at].pixels = free_pixels;
	put(&g->worst[at], x, row, truth, answer, probability);
}

void rt_gallery_add(RtGallery *g, const RtPort *x, const unsigned char *row, int truth, int answer, double probability)
{
	if (!g->room || truth < 0)
		return;
	if (truth < RT_SAMPLES && !g->sample[truth].used)
		put(&g->sample[truth], x, row, truth, answer, probability);
	if (truth != answer)
		add_mistake(g, x, row, truth, answer, probability);
}

/* ---- PNG ---- */

unsigned char *rt_thumb_png(const RtThumb *t, size_t *out_length)
{
	png_image image = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)t->width, .height = (png_uint_32)t->height,
	                   .format = t->channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB};
	png_alloc_size_t length = PNG_IMAGE_PNG_SIZE_MAX(image);
	unsigned char *out = rt_sys.alloc(length);
	if (out && png_image_write_to_memory(&image, out, &length, 0, t->pixels, 0, NULL)) {
		*out_length = length;
		return out;
	}
	rt_sys.release(out);
	return NULL;
}
